from __future__ import annotations

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from analytics.phrases import phrases
from analytics.release import enough
from analytics.told_answers import answers_to_tell, told_before
from analytics.walk_report import Report, report_html
from analytics.walk_route import route_of
from analytics.walk_told import tell_walk
from ingest.surveys import import_answers, remove_answers
from noctule import app
from sensors.clock import set_clock
from sensors.instrument import load_instrument
from tests.synthetic_city import make_city
from tests.unit.test_surveys import rows as resident_rows
from tests.unit.test_surveys import written
from tests.walkers import AT, keyed, take, walked


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
    for number in range(5):
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
