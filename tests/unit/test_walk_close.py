from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import shapely
from typer.testing import CliRunner

from analytics.model import fit
from analytics.phrases import LANGUAGES, phrases
from analytics.release import enough
from analytics.told_answers import answers_to_tell, told_before
from analytics.typeset import page_pictures
from analytics.walk_actions import actions_in_journal, into_journal, read_actions
from analytics.walk_close import close_walk
from analytics.walk_map import route_map
from analytics.walk_report import Report, paper_content, report_content, report_html
from analytics.walk_route import route_of
from analytics.walk_sheet import completed, sheet_rows
from analytics.walk_sureness import Sureness, model_before
from analytics.walk_told import Part, Place, WalkTold, tell_walk
from ingest.surveys import import_answers, remove_answers
from noctule import app
from sensors.clock import set_clock
from sensors.errors import WalkError
from sensors.instrument import load_instrument
from sensors.journal import Entry, read_journal
from sensors.night import Night
from sensors.walk import Walk, make_stops, read_walk, walk_settings, write_walk
from tests.synthetic_city import SOUTH, WEST, make_city
from tests.unit.test_surveys import rows as resident_rows
from tests.unit.test_surveys import written
from tests.unit.test_words import BANNED

NIGHT = "2026-11-20"
AT = ((60.0, 120.0), (160.0, 280.0), (260.0, 120.0))


def walked(city, walk_id="autumn", title="Autumn walk", at=AT):
    points = [shapely.Point(WEST + east, SOUTH + north) for east, north in at]
    stops = make_stops(city, [f"Stop at {number}" for number in range(len(at))], points, [-1] * len(at))
    walk = Walk(walk_settings(walk_id, title, NIGHT), stops)
    write_walk(city, walk)
    return read_walk(city, walk_id)


def keyed(city, walk, people, *, women=0.5, safe_by_day=1.0, safe_in_dark=0.5, seed=0):
    """The sheet of a walk as it comes back, in a table."""
    generator = np.random.default_rng(seed)
    table = pd.DataFrame(sheet_rows(city, walk, route_of(city, walk), people))
    share = table["light_state"].map({"day": safe_by_day, "dark": safe_in_dark})
    table["category"] = np.where(generator.random(len(table)) < share, "4", "1")
    first = ~table.duplicated("pseudonym")
    table.loc[first, "gender"] = ["woman" if number < women * people else "man" for number in range(first.sum())]
    return completed(table, walk)


def take(city, walk, table):
    return import_answers(city, city.path / "sheet.csv", campaign=walk.campaign, simulated=True, rows=table)


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def test_of_fewer_than_ten_people_nothing_is_told(city):
    walk = walked(city)
    take(city, walk, keyed(city, walk, 9))
    told = tell_walk(city, walk)
    assert told.kept
    assert (told.people, told.total, told.places, told.parts, told.change) == (None, None, [], [], None)
    report = Report(city, walk, route_of(city, walk), told, None, [])
    assert "Fewer than ten people" in report_html(report, phrases("en"))
    assert not re.search(r"\b9 people", report_html(report, phrases("en")))


def test_each_stop_is_told_by_day_and_after_dark_where_ten_answered(city):
    walk = walked(city)
    take(city, walk, keyed(city, walk, 12, safe_in_dark=0.3))
    told = tell_walk(city, walk)
    assert (told.people, told.answers, told.whole) == (12, 12 * 6, True)
    assert sorted(stop for place in told.places for stop in place.stops) == [1, 2, 3]
    assert {place.day for place in told.places} == {100}
    change, low, high = told.change
    assert low <= change <= high < 0
    assert told.total.dark - told.total.day == pytest.approx(change, abs=1)


def test_telling_a_walk_again_tells_the_same(city):
    walk = walked(city)
    take(city, walk, keyed(city, walk, 12))
    assert tell_walk(city, walk) == tell_walk(city, walk)


def test_groups_are_told_where_each_of_them_is_ten(city):
    walk = walked(city)
    take(city, walk, keyed(city, walk, 24))
    assert {part.classes["gender"]: part.people for part in tell_walk(city, walk).parts} == {
        ("man",): 12,
        ("woman",): 12,
    }
    other = walked(city, "other")
    take(city, other, keyed(city, other, 15, women=0.8))
    assert tell_walk(city, other).parts == []


def test_two_who_answered_in_the_same_week_are_not_what_is_left_when_the_walk_is_taken_away(city):
    walk = walked(city)
    take(city, walk, keyed(city, walk, 12))
    residents = resident_rows(2, time="2026-11-19T20:00:00Z")
    import_answers(city, written(city.path, residents), simulated=True)
    tell_walk(city, walk)
    run = CliRunner().invoke(app, ["statistics", str(city.path), "--zoom", "city", "--json"])
    said = json.loads(run.stdout)
    assert sum(row["answers"] for row in said["rows"]) == said["told"] == 12 * 6  # the walk's own
    assert said["waiting"] == 2


def test_a_walk_whose_answers_were_told_with_others_tells_none_of_them_apart(city):
    walk = walked(city)
    take(city, walk, keyed(city, walk, 12))
    import_answers(city, written(city.path, resident_rows(2, time="2026-11-19T20:00:00Z")), simulated=True)
    set_clock(city.path, np.datetime64("2026-12-10T12:00", "ms"), 1.0)
    said = CliRunner().invoke(app, ["statistics", str(city.path), "--zoom", "city", "--json"]).stdout
    together = json.loads(said)["told"]
    told = tell_walk(city, walk)
    assert together > 0
    assert told.answers is None or told.answers <= 12 * 6
    assert told.people is None or told.people >= 10
    again = json.loads(CliRunner().invoke(app, ["statistics", str(city.path), "--zoom", "city", "--json"]).stdout)
    left = sum(row["answers"] for row in again["rows"]) - (told.answers or 0)
    assert left == 0 or left >= 10


def test_whatever_walks_and_tables_are_told_in_any_order_are_disjoint_parts_of_ten(city):
    generator = np.random.default_rng(5)
    rule = city.settings.release
    for number in range(8):
        walk = walked(city, f"walk-{number}", at=AT[: int(generator.integers(1, 4))])
        table = keyed(city, walk, int(generator.integers(8, 26)), women=float(generator.random()), seed=number)
        take(city, walk, table[generator.random(len(table)) < 0.9])
        residents = resident_rows(int(generator.integers(1, 14)), seed=number, time="2026-11-18T20:00:00Z")
        residents["pseudonym"] = [f"{number} {row}" for row in range(len(residents))]
        import_answers(city, written(city.path, residents, f"residents-{number}.csv"), simulated=True)
        later = np.timedelta64(int(generator.integers(20)), "D")
        set_clock(city.path, np.datetime64("2026-11-21T12:00", "ms") + later, 1.0)
        for told_of in generator.permutation(["walk", "statistics"]):
            if told_of == "walk":
                tell_walk(city, walk)
            else:
                assert CliRunner().invoke(app, ["statistics", str(city.path), "--json"]).exit_code == 0
        atoms = told_before(city, load_instrument("core-4")).atoms
        every = answers_to_tell(city, load_instrument("core-4")).set_index("response_id")
        assert sum(len(atom.answers) for atom in atoms) == len(set().union(*(atom.answers for atom in atoms)))
        for atom in atoms:
            assert enough(every.loc[sorted(atom.answers)], rule.minimum_people, rule.maximum_share)


def test_when_one_of_ten_is_erased_nothing_is_told_any_more(city):
    walk = walked(city)
    table = keyed(city, walk, 10)
    take(city, walk, table)
    assert tell_walk(city, walk).people == 10
    remove_answers(city, campaign=walk.campaign)
    take(city, walk, table[table["pseudonym"] != "p01"])
    assert tell_walk(city, walk).people is None


def test_the_map_of_before_is_one_without_the_walk(city):
    assert model_before(city, walked(city)) is None
    walk = walked(city)
    first = fit(city, Night.named(NIGHT, city.zone))
    assert model_before(city, walk).digest == first.digest
    take(city, walk, keyed(city, walk, 12))
    second = fit(city, Night.named("2026-11-22", city.zone))
    assert walk.campaign in second.perception.campaigns
    assert model_before(city, walk).digest == first.digest


def test_closing_without_a_fit_says_that_the_map_is_as_it_was(city):
    walk = walked(city)
    take(city, walk, keyed(city, walk, 12))
    closed = close_walk(city, walk, refit=False)
    assert closed.sure is None and not closed.fitted
    assert "not in the map yet" in (city.path / "walks" / "autumn" / "report.en.html").read_text("utf-8")


def test_an_action_that_was_done_since_is_not_opened_again(city, tmp_path):
    walk = walked(city)
    route = route_of(city, walk)
    file = tmp_path / "actions.csv"
    agreed = "=Mend the lamp,Lighting,2027-01-31,2\nKeep it,Parks,2027-02-01,\n"
    file.write_text(f"title,owner,due,stop\n{agreed}", "utf-8")
    actions = read_actions(file, city, walk, route)
    assert into_journal(city, walk, route, actions) == (3, 0)
    journal = city.path / "journal" / "journal.csv"
    journal.write_text(journal.read_text("utf-8").replace(",open,", ",done,"), "utf-8")
    assert into_journal(city, walk, route, actions) == (0, 3)
    standing = actions_in_journal(city, walk, route)
    assert [(one.title, one.owner, one.status) for one in standing] == [
        ("=Mend the lamp", "Lighting", "done"), ("Keep it", "Parks", "done"),
    ]  # fmt: skip
    assert standing[0].place == "walk-autumn, stop 2: Stop at 1"
    assert standing[0].due.startswith("2027-01-31T23:59")
    assert len(read_journal(city)) == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title,owner\nx,y\n", "lacks the columns due, stop"),
        ("title,owner,due,stop\n,Parks,2027-01-01,\n", "title is empty"),
        ("title,owner,due,stop\nx,,2027-01-01,\n", "owner is empty"),
        ("title,owner,due,stop\nx,y,soon,\n", "due 'soon' must be a day"),
        ("title,owner,due,stop\nx,y,2027-01-01,9\n", "stop '9' is none of the walk's"),
        ("title,owner,due,stop\nx,y,2027-01-01,1\n" * 1, ""),
        ("title,owner,due,stop\n" + "x" * 300 + ",y,2027-01-01,\n", "at most 200 characters"),
        ("title,owner,due,stop,kind\nx,y,2027-01-01,,party\n", "kind 'party'"),
        ("title,owner,due,stop\n" + "x,y,2027-01-01,\n" * 201, "at most 200 actions"),
        ('title,owner,due,stop\n"x', "cannot be read"),
    ],
)
def test_actions_that_cannot_be_are_refused_with_their_line(city, tmp_path, text, says):
    walk = walked(city)
    file = tmp_path / "actions.csv"
    file.write_text(text, "utf-8")
    if not says:
        assert len(read_actions(file, city, walk, route_of(city, walk))) == 1
        return
    with pytest.raises(WalkError, match=says):
        read_actions(file, city, walk, route_of(city, walk))


def full_report(city, stops=3):
    at = [(5 + 7.5 * number, 60.0) for number in range(stops)] if stops > 3 else AT
    walk = walked(city, "full", "<script>alert(1)</script> #strong[walk]", at)
    numbers = tuple(int(stop) for stop in walk.stops.index)
    told = WalkTold(
        kept=True, people=40, answers=3000, total=Place(numbers, 98, 2), change=(-18, -23, -14),
        places=[Place((stop,), 97, 40) for stop in numbers],
        parts=[Part({"gender": ("woman",)}, 20, 80, None), Part({"gender": ("man", "another")}, 20, 80, 3)] * 6,
        whole=True, mixed=50,
    )  # fmt: skip
    sure = Sureness("20:45", 32.0, 25.0, 29.0, 2, 1, 1, 0.5, 0.6)
    entry = Entry(
        "1", "measure", "A title that is long. " * 9, "2026-11-20T20:00:00+02:00", place="walk-full, stop 2: B",
        owner="An office with a long name " * 6, due="2027-01-31T23:59:00+02:00",
    )  # fmt: skip
    return Report(city, walk, route_of(city, walk), told, sure, [entry] * 60)


@pytest.mark.parametrize(("language", "stops"), [("en", 3), ("fr", 40)])
def test_it_is_two_pages_whatever_was_said(city, language, stops):
    report = full_report(city, stops)
    content = paper_content(report, phrases(language))
    pictures = {"route.svg": route_map(city, report.walk, report.route)}
    assert len(page_pictures("walk-report", content, pictures, ppi=15)) == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_holds_no_markup_of_others_and_no_word_that_we_do_not_say(city, language):
    report = full_report(city)
    page = report_html(report, phrases(language))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert re.search(BANNED[language], page, re.IGNORECASE) is None
    assert phrases(language)("word.simulated") in page
    assert "http" not in page


def test_that_everybody_agreed_is_not_told_of_people_who_know_one_another(city):
    content = report_content(full_report(city), phrases("en"))
    assert content["places"]["rows"][0][1:] == ["> 95 %", "< 5 %"]
    assert content["places"]["rows"][1][1:] == ["> 95 %", "40 %"]
    assert "-18" not in content["said"][0].replace("−", "-") and "-23" in content["said"][0].replace("−", "-")
