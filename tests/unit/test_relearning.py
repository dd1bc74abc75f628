"""A screen without a state knows the usual hours of a counter from the archive, and the rest from the tails."""

from __future__ import annotations

import numpy as np

from ingest.archive import append_records
from ingest.relearning import relearnt
from ingest.screening import Screen
from sensors.flags import Flag
from sensors.reading import Records
from tests.synthetic_city import make_city
from tests.unit.test_reflag import levels

BEGIN = np.datetime64("2026-10-20T00:00", "ms")


def counter(city, hours: int) -> Records:
    """Hourly counts of a busy place, of which the last twelve hours are dead."""
    counts = 60.0 + np.arange(hours) % 7
    counts[-12:] = 0
    return levels(city, counts.tolist(), every_s=3600, quantity="people_flow", start=BEGIN)


def test_a_dead_counter_is_found_at_once_where_history_knows_its_hours(tmp_path):
    city = make_city(tmp_path / "town")
    records = counter(city, 4 * 168)
    append_records(city, records[:-12], "history")
    dead = records[-12:]
    assert not (Screen().flags(dead) & Flag.ZERO_RUN).any()
    found = relearnt(city).flags(dead) & Flag.ZERO_RUN
    assert np.flatnonzero(found).tolist() == list(range(2, 12))


def test_learning_the_tails_again_changes_nothing(tmp_path):
    city = make_city(tmp_path / "town")
    records = counter(city, 4 * 168)
    append_records(city, records[:-12], "history")
    once, twice = relearnt(city), relearnt(city)
    twice.learn(records[300:-12])
    assert twice.state() == once.state()


def test_a_city_without_an_archive_is_a_fresh_screen(tmp_path):
    assert relearnt(make_city(tmp_path / "town")).state() == Screen().state()
