"""Each rule of a series finds its fault, and leaves alone what only looks like one."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.screening import Screen
from ingest.series import FLAT_LINES
from sensors.flags import Flag, usable
from tests.unit.test_screening import readings, story


def found(flags, flag):
    return np.flatnonzero(flags & flag).tolist()


def test_a_stuck_meter_becomes_suspect_and_stays_usable():
    flags = Screen().flags(readings("sound_laeq", [55.0] * 15))
    assert flags.tolist() == [0] * 10 + [Flag.REPEAT] * 5  # 10 minutes after the first
    assert usable(flags).all()


@pytest.mark.parametrize("other", [55.1, 55.3])
def test_a_living_meter_is_never_flat(other):
    assert not Screen().flags(readings("sound_laeq", [55.0, other] * 20)).astype(int).__and__(Flag.REPEAT).any()


def test_six_equal_counts_are_suspect_but_a_quiet_street_is_not():
    assert Screen().flags(readings("people_flow", [7.0] * 7, 900)).tolist() == [0] * 5 + [Flag.REPEAT] * 2
    for few in (0.0, 1.0, 3.0):
        assert not Screen().flags(readings("people_flow", [few] * 40, 900)).any()


def test_a_crowd_within_one_interval_is_at_most_suspect():
    flags = Screen().flags(readings("people_flow", [30.0, 12.0, 4000.0, 11.0], 900))
    assert flags.tolist() == [0, 0, Flag.RATE, 0]
    assert not Screen().flags(readings("people_flow", [1.0, 60.0, 2.0], 900)).any()  # eight times nobody is nobody


def test_a_scream_is_no_rate():
    assert not Screen().flags(readings("sound_laeq", [45.0, 98.0, 46.0])).any()


def test_a_rattling_microphone_is():
    flags = Screen().flags(readings("sound_laeq", [45.0, 98.0] * 4))
    assert found(flags, Flag.RATE) == [3, 4, 5, 6, 7]


def test_a_second_delivery_does_not_lengthen_a_run():
    once = readings("people_flow", [7.0] * 5, 900)
    assert not Screen().flags(np.repeat(once, 3)).any()


def test_lamps_may_rest():
    assert not {"dimming", "lamp_ok", "illuminance"} & set(FLAT_LINES)


def test_a_blocked_microphone_is_even_after_its_first_whole_hour_and_no_longer_once_it_hears():
    generator = np.random.default_rng(1)
    blocked = np.round(41.0 + generator.normal(0, 0.2, 150), 1)
    heard = np.round(55.0 + generator.normal(0, 3.0, 60), 1)
    flags = Screen().flags(readings("sound_laeq", [*blocked, *heard]))
    even = found(flags, Flag.ATTENUATED)
    assert even[0] == 61 and even[-1] == 149  # 22:00 itself ends the hour before
    assert len(even) == 150 - 61


def test_quarter_hours_say_too_little_to_be_called_even():
    assert not found(Screen().flags(readings("sound_laeq", [50.0, 50.2] * 40, 900)), Flag.ATTENUATED)


def weeks_of_a_counter(weeks: int, dead_hours: int) -> np.ndarray:
    """Hourly counts of 60 by day and 2 by night, UTC; then nobody."""
    hour = np.arange(weeks * 168 + dead_hours)
    counts = np.where((hour + 22) % 24 > 7, 60.0, 2.0) + hour % 5
    counts[weeks * 168 :] = 0
    records = story("people_flow", counts.tolist(), 3600)
    records["time"] += np.timedelta64(1, "h")
    records["received"] += np.timedelta64(1, "h")
    return records


def test_nobody_for_three_busy_hours_is_suspect():
    records = weeks_of_a_counter(3, 48)
    flags = Screen().flags(records)
    empty = found(flags, Flag.ZERO_RUN)
    begins = 3 * 168  # a Friday, 22:00: busy until midnight, quiet until eight, then busy
    assert [index - begins for index in empty[:5]] == [10, 11, 12, 13, 14]
    assert not any((index + 22) % 24 <= 7 for index in empty)


def test_a_new_site_or_a_quiet_hour_says_nothing_about_nobody():
    assert not found(Screen().flags(weeks_of_a_counter(1, 48)), Flag.ZERO_RUN)
    assert not found(Screen().flags(story("people_flow", [2.0] * 700 + [0.0] * 100, 3600)), Flag.ZERO_RUN)


def test_somebody_ends_the_emptiness():
    records = weeks_of_a_counter(3, 40)
    records["value"][-1] = 1
    assert not Screen().flags(records)[-1]


def test_an_energy_counter_may_begin_again_but_never_runs_back():
    ordinary = [1000.0, 1012.0, 1024.0]
    assert not Screen().flags(story("energy", [*ordinary, 3.0, 15.0], 900)).any()
    assert Screen().flags(story("energy", [*ordinary, 900.0, 912.0], 900)).tolist() == [0, 0, 0, Flag.RATE, 0]
    assert Screen().flags(story("energy", [*ordinary, 9000.0], 900)).tolist() == [0, 0, 0, Flag.RATE]
