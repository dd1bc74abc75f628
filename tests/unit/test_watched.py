"""Watched places: never finer than 50 m, never named after a venue or a person, and only for who may see the run."""

import asyncio
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import watched
from dashboard.app import build
from dashboard.runs import Runs
from dashboard.watch_names import cleaned, folded, venue_names, wrong_with
from dashboard.watched import LEAST_M, mean_of, square_of
from sensors.clock import set_clock
from tests import synthetic_atlas
from tests.synthetic_city import make_city
from tests.unit.test_app import ask

JSON = ((b"content-type", b"application/json"),)


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    made = make_city(tmp_path_factory.mktemp("watched") / "smalltown")
    synthetic_atlas.write_night(made, "2026-11-20", steps=3)
    synthetic_atlas.write_now(made, "2026-11-20", 3)
    set_clock(made.path, np.datetime64("2026-11-20T19:12", "ms"), 1e-6)
    return made


@pytest.fixture(scope="module")
def app(city):
    return build(city.path, switch=True, warm=False)


def watch(app, content, role="viewer", path="/watch?run=now"):
    if isinstance(content, dict) and "run" in content:
        path = f"/watch?run={content.pop('run')}"
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    status, _, answer = ask(app, path, method="POST", body=body, role=role, headers=JSON)
    return status, json.loads(answer) if answer else None


def asked(**changes):
    return {"lang": "en", "frame": 0, "layer": "light", "places": []} | changes


@pytest.mark.parametrize(
    "name",
    [
        "Moloko",
        "MOLOKO!",
        "mólòkó",
        "M o-l o k o",
        "corner by Moloko, left",
        "Bar Moloko",
        "ＭＯＬＯＫＯ",
        "the moloko bar",
    ],
)
def test_a_name_that_holds_a_venues_is_refused_however_it_is_written(name):
    assert wrong_with(cleaned(name), {folded("Möloko")}) == "venue"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("Market Square", ""),
        ("Arrêt Hôtel de Ville", ""),
        ("Tram stop 9, south", ""),
        ("Anna’s flat", "person"),
        ("chez Luc", "person"),
        ("Mr Smith", "person"),
        ("call 040 123 4567", "person"),
        ("a@b.fi", "person"),
        ("", "blank"),
        ("42 !", "blank"),
        ("x" * 41, "long"),
        ("<img src=x onerror=alert(1)>", "script"),
        ("javascript://x", "script"),
        ("left\u202eright", "script"),
        ("bell\x07", "script"),
    ],
)
def test_other_names_are_judged_by_their_signs(name, wrong):
    assert wrong_with(name, frozenset()) == wrong


def test_short_names_of_venues_count_only_alone():
    assert wrong_with("Bio", {"bio"}) == "venue" and wrong_with("Biology garden", {"bio"}) == ""


def test_a_venue_is_known_without_what_many_are_called(city):
    assert folded("Venue 0") in venue_names(city)


@given(
    st.floats(1, 400), st.integers(1, 90), st.integers(1, 90), st.integers(0, 89), st.integers(0, 89)
)  # fmt: skip
def test_a_square_holds_its_cell_and_is_never_finer_than_50_m(cell_m, high, wide, row, column):
    row, column = row % high, column % wide
    top, bottom, left, right = square_of((row, column), cell_m, (high, wide))
    assert 0 <= top <= row < bottom <= high and 0 <= left <= column < right <= wide
    for length, whole in ((bottom - top, high), (right - left, wide)):
        assert length * cell_m >= min(LEAST_M, whole * cell_m) - 1e-6


def test_two_places_of_a_square_have_one_value(app, city):
    frame = Runs(city).frame
    spots = [list(reversed(frame.lonlat(row, column))) for row, column in ((20, 20), (21, 22))]
    _, told = watch(app, asked(places=spots))
    assert told["places"][0] == told["places"][1] and told["simulated"].startswith("SIMULATED")
    card = told["places"][0]
    assert card["state"] == "value" and "lx" in card["told"] and "interval" in card["likely"]
    assert card["curve"].startswith("<svg") and "20:00" in card["alt"]


def test_levels_are_averaged_as_energy_and_little_knowledge_is_none():
    ground = np.ones((2, 2), bool)
    two = np.array([[60.0, 60.0], [np.nan, np.nan]])
    assert mean_of(two, np.full((2, 2), 3.0), None, ground, True)[:2] == pytest.approx((60.0, 3.0))
    pair = np.array([[60.0, 63.0103], [60.0, 63.0103]])
    assert mean_of(pair, None, None, ground, True)[0] == pytest.approx(10 * np.log10((1e6 + 2e6) / 2), abs=1e-3)
    assert np.isnan(mean_of(np.array([[60.0, np.nan], [np.nan, np.nan]]), None, None, ground, True)[0])


def test_a_role_sees_no_place_of_a_run_that_it_may_not_see(app):
    assert watch(app, asked(places=[[60.17, 24.94]]), role="public")[0] == 403
    assert watch(app, asked(run="2026-11-20"), role="partner")[0] == 403
    assert watch(app, asked(run="plan-x"), role="viewer")[0] == 403


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{", b"[" * 5000, b"x" * 9000,
        asked(places=[[1]]), asked(places=[["a", "b"]]), asked(places=[[91, 0]]), asked(places=[[True, 1]]),
        asked(places=[[float("nan"), 1]]), asked(places=[[1, 2]] * 21), asked(places="x"), asked(frame="0"),
        asked(frame=True), asked(places=[[10**400, 1]]),
    ],
)  # fmt: skip
def test_nonsense_is_refused_and_never_an_error(app, content):
    assert watch(app, content)[0] in (400, 403)


def test_a_step_that_is_gone_is_said(app):
    for changes in ({"frame": 99}, {"frame": -1}, {"layer": "nothing"}, {"run": "2026-11-20", "frame": 39}):
        status, told = watch(app, asked(places=[[60.17, 24.94]], **changes))
        assert status == 200 and told["places"][0]["state"] == "gone"
    assert watch(app, asked(places=[[10.0, 10.0]]))[1]["places"][0]["state"] == "outside"


def test_names_are_judged_in_the_language_asked_for_and_not_kept(app):
    status, told = watch(app, {"lang": "fr", "names": ["Venue 0, entrée", "  La   place "]}, path="/watch/names")
    assert status == 200 and "établissement" in told["names"][0]["wrong"]
    assert told["names"][1] == {"name": "La place", "wrong": ""}
    assert watch(app, {"names": ["x"] * 21}, path="/watch/names")[0] == 400
    assert ask(app, "/watch/names", role="viewer")[0] == 405


def test_many_places_read_each_page_once(city, monkeypatch):
    house = build(city.path, switch=True, warm=False)
    read = []
    fields = Runs.fields
    monkeypatch.setattr(Runs, "fields", lambda *asks: read.append(asks[2:]) or fields(*asks))
    frame, (rows, columns) = Runs(city).frame, Runs(city).frame.shape
    spots = [frame.lonlat(row, column) for row in range(0, rows, 8) for column in range(0, columns, 8)][:20]
    assert len({square_of(frame.cell(*spot), frame.cell_m, frame.shape) for spot in spots}) > 5
    content = asked(places=[[latitude, longitude] for longitude, latitude in spots], layer="footfall", run="2026-11-20")
    status, told = watch(house, content)
    assert status == 200
    assert any("curve" in card for card in told["places"])
    assert [step for step, names in read if "footfall" in names] == [0, 1, 2]


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    async def trickle():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    monkeypatch.setattr(watched, "BODY_WAIT_S", 0.1)
    assert asyncio.run(asyncio.wait_for(watched.body_of(trickle, 8_000), 5)) is None
