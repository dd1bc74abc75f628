"""Nights by month: how much of each is mapped, at what cost, and what was special about them."""

import json
import time

import numpy as np
import pytest

from dashboard.night_calendar import special_nights
from dashboard.night_coverage import NightCoverage
from dashboard.runs import Runs
from dashboard.words import words
from sensors.journal import Entry, add_entry
from tests import synthetic_atlas
from tests.synthetic_city import make_city


@pytest.fixture
def city(tmp_path):
    made = make_city(tmp_path / "smalltown")
    synthetic_atlas.write_night(made, "2026-11-20", steps=3)
    return made


def test_a_night_is_told_by_its_closed_steps_and_looked_at_again_when_its_page_changes(city):
    runs, coverage = Runs(city), NightCoverage()
    closed, steps = coverage.of(runs, ["2026-11-20"])["2026-11-20"]
    assert (closed, steps) == (3, len(runs.get("2026-11-20").times))
    synthetic_atlas.write_night(city, "2026-11-20", steps=5)
    assert coverage.of(runs, ["2026-11-20"])["2026-11-20"][0] == 5


def test_a_night_whose_page_cannot_be_read_is_left_out(city):
    runs = Runs(city)
    runs.page_file("2026-11-20").write_text("{")
    assert NightCoverage().of(runs, ["2026-11-20", "2026-11-21"]) == {}


def test_three_years_of_nights_cost_little_the_first_time_and_next_to_nothing_after(city):
    meta = json.loads((city.shelf("atlas", "2026-11-20") / "current.json").read_text())
    nights = [str(np.datetime64("2024-01-01") + day) for day in range(1000)]
    for night in nights:
        folder = city.shelf("atlas", night)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "current.json").write_text(json.dumps({**meta, "night": night}))
    runs, coverage = Runs(city), NightCoverage()
    names = runs.nights()
    first = _seconds(lambda: coverage.of(runs, names))
    again = _seconds(lambda: coverage.of(runs, names))
    assert len(coverage.of(runs, names)) >= 1000
    assert first < 3.0
    assert again < 0.3


def test_holidays_events_and_the_journal_mark_their_nights(city):
    add_entry(city, Entry("", "holiday", "Independence Day", "2026-12-06T00:00:00+02:00", "2026-12-06T23:00:00+02:00"))
    add_entry(city, Entry("", "works", "New lamps", "2026-11-20T20:00:00+02:00", place="24.9,60.2"))
    add_entry(city, Entry("", "works", "Never", "2026-11-21T20:00:00+02:00", status="dropped"))
    marks = special_nights(city, words("en"))
    assert marks["2026-12-06"][0] == "holiday"
    assert marks["2026-12-05"][0] == "before"
    assert marks["2026-11-20"][0] == ""
    assert "New lamps" in marks["2026-11-20"][1]
    assert "2026-11-21" not in marks


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
