"""What a page is told: frames, states, clocks and the journal."""

import msgspec
import numpy as np
import pytest

from analytics import atlas
from dashboard.runs import Runs
from dashboard.scene import Viewer, journal_marks, last_hours, live_scene, night_scene
from dashboard.words import words
from ingest import health
from sensors.city import City
from sensors.clock import city_clock, set_clock
from sensors.journal import Entry, add_entry
from tests import synthetic_atlas
from tests.synthetic_city import make_city

VIEWER = Viewer("viewer", words("en"))


@pytest.fixture
def city(tmp_path):
    made = make_city(tmp_path / "town")
    synthetic_atlas.write_night(made, "2026-11-20", steps=3)
    return made


def scene(city, at="2026-11-20T18:57"):
    set_clock(city.path, np.datetime64(at, "ms"), 1e-6)
    return live_scene(Runs(city), city_clock(city.path), VIEWER)


def connected(city, state="connected"):
    health.write_health(city, {**health._NEVER, "state": state, "since": "2026-11-20T18:00:00.000Z"})


def test_tonight_shows_closed_steps_and_now_in_its_place(city):
    connected(city)
    synthetic_atlas.write_now(city, "2026-11-20", 3)
    told = scene(city)
    assert told["state"] == "live"
    assert told["live"] == 3
    assert len(told["frames"]) == 40
    assert [frame["run"] for frame in told["frames"][:5]] == ["2026-11-20"] * 3 + ["now", "2026-11-20"]
    assert [bool(frame["version"]) for frame in told["frames"][:5]] == [True, True, True, True, False]
    assert told["words"]["title"] == "Expected from tonight’s conditions"
    assert "42 live" in told["words"]["sensors"]
    assert "1,532" in told["words"]["answers"]
    assert told["alert"] == ""


def test_what_was_recorded_is_not_marked_as_simulated_and_what_rests_on_simulated_answers_is(city):
    night = synthetic_atlas.night(city)
    steps = atlas.night_steps(city, night)[:3]
    pages = [synthetic_atlas.page(city, step) for step in steps]
    for page in pages:
        page["footfall_origin"][:] = 1 | 2  # measured and modelled
    pages[-1]["noise_origin"][:] = 2
    atlas.write_night(city, night, [(page, synthetic_atlas.meta(city)) for page in pages], "atlas")
    runs = Runs(city)
    told = night_scene(runs, city_clock(city.path), VIEWER, "2026-11-20")
    of_groups = ["gap_women", "safety_men", "safety_women"]
    assert told["simulated"] == sorted(
        ["evidence", "light", "noise", "safety", *of_groups]
    )  # noise by two of three steps
    assert runs.simulated(runs.get("2026-11-20")) == {"evidence", "light", "noise", "safety", *of_groups}


def test_a_page_of_published_shares_alone_is_known_as_such(city):
    assert not Runs(city).get("2026-11-20").shares_alone
    night = synthetic_atlas.night(city)
    pages = [synthetic_atlas.page(city, step) for step in atlas.night_steps(city, night)[:2]]
    for page in pages:
        page["safety"].attrs |= {"answers": 0, "shares": 4}
    atlas.write_night(city, night, [(page, synthetic_atlas.meta(city)) for page in pages], "atlas")
    assert Runs(city).get("2026-11-20").shares_alone


def test_closing_a_step_leaves_earlier_versions_as_they_are(city):
    synthetic_atlas.write_now(city, "2026-11-20", 3)
    before = [frame["version"] for frame in scene(city)["frames"][:3]]
    synthetic_atlas.write_night(city, "2026-11-20", steps=4)
    assert [frame["version"] for frame in scene(city)["frames"][:3]] == before


def test_readings_that_stop_are_said(city):
    connected(city)
    synthetic_atlas.write_now(city, "2026-11-20", 3)
    assert "45 min" in scene(city, "2026-11-20T19:41")["alert"]
    assert "5 h" in scene(city, "2026-11-21T00:00")["alert"]


def test_a_broker_that_goes_away_is_said(city):
    synthetic_atlas.write_now(city, "2026-11-20", 3)
    connected(city, "retrying")
    assert scene(city)["alert"].startswith("The broker is away")
    connected(city, "stopped")
    assert scene(city)["alert"].startswith("Reception is not running")


def test_before_dusk_the_last_night_is_shown_and_said(city):
    synthetic_atlas.write_now(city, "2026-11-21", 0, state="before-dusk")
    told = scene(city, "2026-11-21T15:00")
    assert told["state"] == "before-dusk"
    assert told["night"] == "2026-11-20"
    assert told["words"]["banner"] == "The night starts at 20:00. Shown below: Friday 20 November 2026."


def test_a_city_without_any_map_is_said(tmp_path):
    assert scene(make_city(tmp_path / "bare"))["state"] == "empty"


def test_journal_entries_stand_on_the_bar_where_they_happened(city):
    add_entry(city, Entry("", "event", "Market <b>night</b>", "2026-11-20T19:30:00Z", "2026-11-20T20:30:00Z"))
    add_entry(city, Entry("", "works", "Long ago", "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"))
    steps = np.arange(
        np.datetime64("2026-11-20T18:00", "ms"), np.datetime64("2026-11-21T04:00", "ms"), np.timedelta64(15, "m")
    )
    marks = journal_marks(city, steps, words("en"))
    assert len(marks) == 1
    assert marks[0]["from"] == pytest.approx(1.5 / 9.75)
    assert marks[0]["text"] == "21:30 · event: Market <b>night</b>"


def test_a_plan_shows_the_journal_as_every_page_does(city):
    add_entry(city, Entry("", "event", "Market night", "2026-11-20T20:05:00Z", "2026-11-20T20:10:00Z"))
    synthetic_atlas.write_plan(city, frames=2)
    told = night_scene(Runs(city), city_clock(city.path), VIEWER, "plan-brighter-park")
    assert [mark["text"] for mark in told["journal"]] == ["22:05 · event: Market night"]


def test_the_last_twelve_hours_reach_into_the_night_before(city):
    runs = Runs(city)
    frames, times = last_hours(runs, "2026-11-21", np.datetime64("2026-11-21T06:20", "ms"), words("en"))
    assert [(frame["label"], frame["run"], frame["frame"]) for frame in frames] == [("20:30", "2026-11-20", 2)]
    assert frames[-1]["ends"] and times.size == 1
    assert last_hours(runs, "2026-11-21", np.datetime64("2026-11-21T18:30", "ms"), words("en"))[0] == []
    assert last_hours(runs, "2026-11-20", np.datetime64("2026-11-20T06:20", "ms"), words("en"))[0] == []


def test_a_long_night_begins_with_the_end_of_the_one_before(city, monkeypatch):
    connected(city)
    synthetic_atlas.write_now(city, "2026-11-20", 3)
    night = atlas.night_steps(city, synthetic_atlas.night(city))
    before = night[:2] - np.timedelta64(9, "h")
    ended = [{"label": "x", "at": "", "run": "2026-11-19", "version": "abc", "frame": 38 + place} for place in (0, 1)]
    monkeypatch.setattr("dashboard.scene.last_hours", lambda *_: (ended, before))
    add_entry(city, Entry("", "event", "Market night", "2026-11-20T18:00:00Z", "2026-11-20T18:15:00Z"))
    told = scene(city)
    assert told["live"] == 5 and len(told["frames"]) == 42
    assert [frame["frame"] for frame in told["frames"][:6]] == [38, 39, 0, 1, 2, 0]
    assert told["journal"][0]["from"] == pytest.approx(2 / 41)  # by the steps on the bar


@pytest.mark.parametrize("form", [True, False])
def test_a_city_without_answers_invites_to_give_the_first_where_it_asks(city, form):
    asks = msgspec.structs.replace(city.settings.asking, form=form)
    asking = City(city.path, msgspec.structs.replace(city.settings, asking=asks))
    connected(asking)
    synthetic_atlas.write_now(asking, "2026-11-20", 3, mapper="no-answers")
    told = scene(asking)
    assert told["words"]["banner"].startswith("Nobody has answered yet")
    assert ("/ask" in told["words"]["banner"]) == form
