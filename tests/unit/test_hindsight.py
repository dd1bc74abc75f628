"""What only a whole night can tell, told of the readings that it is about and of no others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.hindsight import Night, found, judged_in_order, spike_words
from ingest.screening import Screen
from sensors.flags import FAIL, Flag, roll_up, usable
from tests.unit.test_screening import readings, series, story

HELSINKI = (24.94, 60.17)


def seen(records, flag):
    night = Night.of_records(records)
    bits = np.zeros(len(records), np.uint16)
    bits[night.of] = found(night, HELSINKI)
    return np.flatnonzero(bits & flag).tolist()


def test_the_differential_spike_leaves_the_neighbours_of_a_spike_alone():
    """sensing.md D: the average method says 2 4 4 4 1 3 1 2."""
    assert spike_words(np.array([10, 12, 999.99, 13, 15, 40, 9, 9]), 25, 50).tolist() == [2, 1, 4, 1, 1, 1, 1, 2]


def test_first_and_last_of_a_series_are_not_evaluated():
    assert spike_words(np.array([5.0, 6.0]), 1, 2).tolist() == [2, 2]
    assert spike_words(np.array([]), 1, 2).tolist() == []


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=30), st.floats(1, 50))
def test_a_spike_is_one_upside_down_as_well_and_a_ramp_is_none(values, limit):
    both = [spike_words(sign * np.array(values), limit, 2 * limit).tolist() for sign in (1, -1)]
    assert both[0] == both[1]
    assert not set(spike_words(np.sort(values), limit, 2 * limit).tolist()) & {3, 4}


def test_a_scream_is_a_spike_and_stays_in():
    levels = [45.0, 46.0, 85.0, 47.0, 45.0]
    assert seen(story("sound_laeq", levels, 60), Flag.SPIKE) == [2]
    assert seen(story("sound_laeq", levels, 1), Flag.SPIKE) == []  # within a second it is a word
    assert seen(story("sound_laeq", [45.0, 46.0, 85.0, 84.0, 45.0], 60), Flag.SPIKE) == []


def test_neighbours_beyond_a_gap_are_none():
    records = story("sound_laeq", [45.0, 46.0, 45.0, 85.0, 47.0, 45.0, 46.0], 60)
    records["time"][4:] += np.timedelta64(1, "h")
    assert seen(records, Flag.SPIKE) == []


def test_a_flash_in_the_light_is_a_spike_and_a_switch_is_none():
    lux = [10.0, 10.2, 9.9, 10.1, 60.0, 10.0, 10.1, 5.0, 5.1, 4.9, 5.0, 5.1]
    assert seen(story("illuminance", lux, 300), Flag.SPIKE) == [4]


def test_all_of_a_run_is_suspect_once_it_was_long():
    short, long = [50.0] * 20, [51.0] * 40
    records = story("sound_laeq", [49.0, *short, *long, 52.0], 60)
    records["flags"] = Screen().flags(records)
    assert seen(records, Flag.REPEAT) == list(range(21, 61))


def test_the_first_hour_of_an_evenness_is_told_in_hindsight():
    generator = np.random.default_rng(1)
    records = story("sound_laeq", np.round(41 + generator.normal(0, 0.2, 150), 1).tolist(), 60)
    records["flags"] = Screen().flags(records)
    assert seen(records, Flag.ATTENUATED)[0] == 1  # 22:01: the hour from 22:00 on
    assert not records["flags"][1] & Flag.ATTENUATED


def test_all_of_an_emptiness_is_told_in_hindsight():
    records = story("people_flow", [30.0, 0.0, 0.0, 0.0, 0.0, 20.0, 0.0], 900)
    records["flags"][4] = Flag.ZERO_RUN
    assert seen(records, Flag.ZERO_RUN) == [1, 2, 3, 4]


def test_light_is_seldom_bright_at_night_and_always_by_day():
    records = story("illuminance", [180.0, 250.0, 260.0], 300)
    assert seen(records, Flag.EXTREME) == [1, 2]
    records["time"] += np.timedelta64(12, "h")
    assert seen(records, Flag.EXTREME) == []


@given(series())
def test_nothing_is_failed_in_hindsight_and_what_failed_is_not_asked(records):
    records["flags"] = Screen().flags(records)
    night = Night.of_records(records)
    assert usable(found(night, HELSINKI)).all()
    assert not (records["flags"][night.of] & np.uint16(int(FAIL))).any()
    assert len(set(night.of.tolist())) == len(night.of)


@given(series(ordered=True), st.randoms(use_true_random=False))
def test_what_arrived_in_any_order_is_judged_as_if_it_had_come_in_order(records, random):
    _, first = np.unique(records[["site", "time"]], return_index=True)  # no two readings of one moment
    records = records[np.sort(first)]
    records["received"] = records["time"] + np.timedelta64(1, "s")
    bits = np.uint16(Flag.REPEAT | Flag.RATE | Flag.ATTENUATED)
    order = np.array(random.sample(range(len(records)), len(records)))
    late = records.copy()
    late["received"][order] = np.sort(records["received"])  # the n-th to arrive is any of them
    expected = Screen().flags(late) & bits  # one after the other by time, whenever each came
    arrived = np.argsort(late["received"], kind="stable")
    late["flags"][arrived] = Screen().flags(late[arrived])
    night = Night.of_records(late)
    again, flags = judged_in_order(night)
    got = late["flags"] & bits
    got[night.of[again]] = flags[again]
    usable_rows = usable(late["flags"])
    np.testing.assert_array_equal(got[usable_rows], expected[usable_rows])


def test_the_words_of_qartod_in_their_order():
    flags = np.array([0, Flag.RATE, Flag.RATE | Flag.RANGE, Flag.LATE, Flag.LAMP, 0, 0], np.uint16)
    evaluated = np.array([1, 1, 1, 1, 1, 0, 1], bool)
    missing = np.array([0, 0, 0, 0, 0, 0, 1], bool)
    assert roll_up(flags, evaluated=evaluated, missing=missing).tolist() == [1, 3, 4, 1, 1, 2, 9]
    assert roll_up(flags[:3]).tolist() == [1, 3, 4]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_night_may_be_nearly_empty(count):
    assert seen(readings("sound_laeq", [50.0] * count), Flag.SPIKE) == []
