"""Flags depend on a reading and those before it, on nothing else, and only physics fails a reading."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.screening import FLAT_LINES, Screen
from sensors.flags import Flag, usable
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records

NOW = np.datetime64("2026-11-20T22:00:00", "ms")


def readings(quantity: str, values: list[float], every_s: float = 60.0, site: int = 1) -> Records:
    records = empty_records(len(values))
    records["quantity"] = QUANTITIES[quantity].code
    records["site"] = site
    records["value"] = values
    records["time"] = NOW + (np.arange(len(values)) * every_s * 1000).astype("timedelta64[ms]")
    records["received"] = records["time"] + np.timedelta64(2, "s")
    return records


def delayed(**delay: int) -> Records:
    ((unit, number),) = delay.items()
    records = readings("power", [50.0])
    records["received"] = records["time"] + np.timedelta64(number, unit)
    return records


@st.composite
def series(draw):
    """A few sites, mixed, with runs, gaps, bad clocks, bad values and disorder."""
    n = draw(st.integers(1, 60))
    records = empty_records(n)
    records["site"] = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    codes = [QUANTITIES[name].code for name in ("sound_laeq", "people_flow", "power", "illuminance")]
    records["quantity"] = np.array(codes, np.uint8)[records["site"]]
    records["value"] = draw(st.lists(st.sampled_from([0.0, 50.0, 50.05, 51.0, -5.0, 1e6]), min_size=n, max_size=n))
    minutes = np.cumsum(draw(st.lists(st.sampled_from([0, 1, 5, 200, -3]), min_size=n, max_size=n)))
    records["time"] = NOW + minutes.astype("timedelta64[m]")
    late = draw(st.lists(st.sampled_from([0, 0, 0, 1, -10, 2000, 10**6]), min_size=n, max_size=n))
    records["received"] = records["time"] + np.array(late, "timedelta64[m]")
    return records


@given(series(), st.lists(st.integers(0, 60), max_size=8))
def test_flags_are_the_same_at_once_one_by_one_or_in_chunks(records, cuts):
    at_once = Screen().flags(records)
    for borders in (sorted(cuts), range(len(records))):
        screen = Screen()
        chunks = [screen.flags(chunk) for chunk in np.split(records, [cut for cut in borders if cut <= len(records)])]
        np.testing.assert_array_equal(np.concatenate(chunks), at_once)


@given(series(), st.integers(0, 60))
def test_flags_go_on_where_a_kept_state_was_taken(records, cut):
    screen = Screen()
    screen.learn(records[:cut])
    resumed = Screen.from_state(screen.state())
    np.testing.assert_array_equal(resumed.flags(records[cut:]), Screen().flags(records)[cut:])


@given(series())
def test_flags_of_one_site_do_not_depend_on_the_others(records):
    together = Screen().flags(records)
    for site in np.unique(records["site"]):
        own = records["site"] == site
        np.testing.assert_array_equal(Screen().flags(records[own]), together[own])


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (delayed(s=1), 0),
        (delayed(s=-120), 0),
        (delayed(s=-121), Flag.CLOCK),
        (delayed(h=24), 0),
        (delayed(h=25), Flag.LATE),
        (delayed(D=366), Flag.LATE),
        (delayed(D=367), Flag.CLOCK),
        (delayed(D=-1), Flag.CLOCK),
    ],
)
def test_a_clock_may_be_two_minutes_ahead_and_a_year_behind(records, expected):
    assert Screen().flags(records).tolist() == [expected]


def test_1970_is_a_failed_clock():
    records = readings("power", [50.0])
    records["time"] = np.datetime64(0, "ms")
    assert Screen().flags(records).tolist() == [Flag.CLOCK]


@pytest.mark.parametrize("quantity", list(QUANTITIES.values()), ids=lambda quantity: quantity.name)
def test_range_is_the_quantitys_own_and_its_limits_are_inside(quantity):
    beyond = [np.nextafter(np.float32(quantity.low), np.float32(-np.inf)), np.float32(quantity.high) * 1.01 + 1]
    records = readings(quantity.name, [quantity.low, quantity.high, *beyond, float("nan")])
    assert (Screen().flags(records) & Flag.RANGE).tolist() == [0, 0, 1, 1, 1]


def test_a_stuck_meter_becomes_suspect_and_stays_usable():
    flags = Screen().flags(readings("sound_laeq", [55.0] * 15))
    assert flags.tolist() == [0] * 10 + [Flag.REPEAT] * 5  # 10 minutes after the first
    assert usable(flags).all()


@pytest.mark.parametrize("other", [55.1, 55.3])
def test_a_living_meter_is_never_flat(other):
    assert not Screen().flags(readings("sound_laeq", [55.0, other] * 20)).any()


def test_six_equal_counts_are_suspect_but_an_empty_street_is_not():
    assert Screen().flags(readings("people_flow", [7.0] * 7, 900)).tolist() == [0] * 5 + [Flag.REPEAT] * 2
    assert not Screen().flags(readings("people_flow", [0.0] * 40, 900)).any()


def test_a_crowd_or_a_scream_is_never_flagged():
    assert not Screen().flags(readings("people_flow", [10.0, 12.0, 4000.0, 11.0], 900)).any()
    assert not Screen().flags(readings("sound_laeq", [45.0, 98.0, 46.0])).any()


def test_a_second_delivery_does_not_lengthen_a_run():
    once = readings("people_flow", [7.0] * 5, 900)
    assert not Screen().flags(np.repeat(once, 3)).any()


def test_lamps_may_rest():
    resting = {"dimming", "lamp_ok", "illuminance"}
    assert not {QUANTITIES[name].code for name in resting} & set(FLAT_LINES)
