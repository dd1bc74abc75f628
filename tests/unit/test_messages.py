"""Values of one message against each other, and two directions against each other over hours and a week."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.screening import Screen
from sensors.flags import Flag, usable
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records
from tests.unit.test_screening import NOW


def message(number: int = 0, every_s: int = 900, site: int = 10, **values: float) -> Records:
    """One message whose record n is the n-th value; each quantity is a site of its own."""
    records = empty_records(len(values))
    records["quantity"] = [QUANTITIES[name].code for name in values]
    records["site"] = site + np.arange(len(values))
    records["value"] = list(values.values())
    records["part"] = np.arange(len(values))
    records["seq"], records["boot"], records["duration_s"] = number, 1, every_s
    records["time"] = NOW + np.timedelta64(number * every_s, "s")
    records["received"] = records["time"] + np.timedelta64(1, "s")
    return records


def flags_of(*messages: Records) -> list[int]:
    return Screen().flags(np.concatenate(messages)).tolist()


def test_percentiles_in_order_and_a_maximum_above_the_mean_are_good():
    assert flags_of(message(sound_laeq=61, sound_lamax=78, sound_lamin=40, sound_la10=66, sound_la50=58,
                            sound_la90=45)) == [0] * 6  # fmt: skip


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"sound_la10": 50, "sound_la50": 58, "sound_la90": 45}, [1, 1, 0]),
        ({"sound_la10": 60, "sound_la50": 50, "sound_la90": 55}, [0, 1, 1]),
        ({"sound_laeq": 61, "sound_lamax": 55}, [1, 1]),
        ({"sound_laeq": 61, "sound_lamin": 65}, [1, 1]),
        ({"people_in": 3, "people_out": 4, "people_flow": 9}, [1, 1, 1]),
        ({"people_in": 3, "people_out": 4, "people_flow": 7}, [0, 0, 0]),
        ({"sound_la10": 50.0, "sound_la50": 50.09}, [0, 0]),  # rounding
        ({"sound_laeq": 60.0, "sound_lamax": 59.6}, [0, 0]),
    ],
)
def test_values_that_contradict_each_other_fail(values, wrong):
    flags = np.array(flags_of(message(**values)))
    assert ((flags & Flag.ORDER) > 0).astype(int).tolist() == wrong
    assert usable(flags.astype(np.uint16)).tolist() == [not bad for bad in wrong]


def test_other_messages_and_other_intervals_are_not_compared():
    assert flags_of(message(0, sound_la10=50), message(1, sound_la50=58)) == [0, 0]
    same_moment = [message(0, sound_la10=50), message(0, site=20, sound_la50=58)]  # two devices, numbered alike
    assert flags_of(*same_moment) == [0, 0]
    pack = message(0, sound_laeq=61, sound_lamax=55)
    pack["time"][1] += np.timedelta64(60, "s")
    assert flags_of(pack) == [0, 0]


def test_what_is_impossible_by_itself_contradicts_nobody():
    assert flags_of(message(sound_laeq=60, sound_lamin=500)) == [0, Flag.RANGE]


def test_one_direction_that_stays_dead_is_suspect_after_hours_and_hundreds():
    alive = [message(number, people_in=20 + number % 3, people_out=0) for number in range(30)]
    flags = np.array(flags_of(*alive)).reshape(-1, 2)
    dead = np.flatnonzero((flags & Flag.ONE_WAY).all(axis=1))
    assert dead.tolist() == list(range(12, 30))  # three hours after the first
    again = flags_of(*alive, message(30, people_in=20, people_out=1))
    assert again[-2:] == [0, 0]


def test_few_people_one_way_are_chance():
    assert not any(flags_of(*[message(number, people_in=1, people_out=0) for number in range(90)]))


def test_in_and_out_that_differ_threefold_over_a_week_are_suspect():
    def hours(weeks: int, into: int, out: int) -> np.ndarray:
        messages = [message(n, 3600, people_in=into + n % 3, people_out=out) for n in range(168 * weeks)]
        return np.array(flags_of(*messages)).reshape(-1, 2)

    uneven = hours(3, 40, 10)
    suspect = np.flatnonzero((uneven & Flag.IMBALANCE).all(axis=1))
    assert 0 < suspect[0] < 2 * 168 and len(suspect) == len(uneven) - suspect[0]
    assert not (hours(3, 40, 20) & Flag.IMBALANCE).any()
    assert not (hours(3, 2, 1) & Flag.IMBALANCE).any()  # too few for a word


def lamp(number: int, power: float, dimming: float, command: float | None = None) -> Records:
    values = {"power": power, "dimming": dimming} | ({} if command is None else {"dimming_command": command})
    return message(number, **values)


def test_power_that_steps_without_a_command_is_suspect():
    assert flags_of(lamp(0, 80, 1.0), lamp(1, 81, 1.0), lamp(2, 30, 1.0)) == [0, 0, 0, 0, Flag.RATE, 0]
    assert flags_of(lamp(0, 80, 1.0), lamp(1, 40, 0.5), lamp(2, 0, 0.0)) == [0] * 6
    assert flags_of(lamp(0, 80, 1.0, 1.0), lamp(1, 40, 1.0, 0.5)) == [0] * 6
    assert flags_of(lamp(0, 3, 0.1), lamp(1, 6, 0.1)) == [0] * 4  # a few watts are a driver's mood
