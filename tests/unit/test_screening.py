"""Flags depend on a reading and those before it, on nothing else, and only physics fails a reading."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.limits import SiteFacts
from ingest.screening import STATE_VERSION, Screen
from sensors.flags import FAIL, Flag, usable
from sensors.quantities import QUANTITIES
from sensors.reading import RECORD, Records, empty_records
from tests.reference.screening import PlainScreen

NOW = np.datetime64("2026-11-20T22:00:00", "ms")
STATEFUL = ("sound_laeq", "people_flow", "power", "energy", "people_in", "people_out")


def readings(quantity: str, values: list[float], every_s: float = 60.0, site: int = 1) -> Records:
    records = empty_records(len(values))
    records["quantity"] = QUANTITIES[quantity].code
    records["site"] = site
    records["value"] = values
    records["time"] = NOW + (np.arange(len(values)) * every_s * 1000).astype("timedelta64[ms]")
    records["received"] = records["time"] + np.timedelta64(2, "s")
    return records


@st.composite
def series(draw, ordered=False):
    """A few sites, mixed, with runs, empty hours, gaps, bad clocks and bad values; disorder unless `ordered`."""
    n = draw(st.integers(1, 60))
    records = empty_records(n)
    records["site"] = draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))
    codes = [QUANTITIES[name].code for name in (*STATEFUL, "illuminance")]
    records["quantity"] = np.array(codes, np.uint8)[records["site"]]
    records["value"] = draw(
        st.lists(st.sampled_from([0.0, 0.0, 50.0, 50.05, 51.0, 90.0, 2000.0, -5.0, 1e6]), min_size=n, max_size=n)
    )
    records["duration_s"] = draw(st.lists(st.sampled_from([60, 900, 3600]), min_size=n, max_size=n))
    gaps = [0, 1, 5, 15, 60, 200, 10_080] if ordered else [0, 1, 5, 60, 200, 10_080, -3]
    minutes = np.cumsum(draw(st.lists(st.sampled_from(gaps), min_size=n, max_size=n)))
    records["time"] = NOW + minutes.astype("timedelta64[m]")
    late = draw(st.lists(st.sampled_from([0, 0, 0, 1, -10, 2000, 10**6]), min_size=n, max_size=n))
    records["received"] = records["time"] + np.array(late, "timedelta64[m]")
    return records


@st.composite
def packs(draw):
    """Messages of several values: noise with percentiles, a counter's two directions, a lamp's power and level."""
    groups = []
    kinds = (
        (10, ("sound_laeq", "sound_lamax", "sound_la10", "sound_la50", "sound_la90")),
        (20, ("people_in", "people_out", "people_flow")),
        (30, ("power", "dimming", "dimming_command")),
    )
    for number, minutes in enumerate(np.cumsum(draw(st.lists(st.sampled_from([15, 60, 5000]), max_size=25)))):
        site, names = draw(st.sampled_from(kinds))
        count = draw(st.integers(1, len(names)))
        records = empty_records(count)
        records["site"] = site + np.arange(count)
        records["quantity"] = [QUANTITIES[name].code for name in names[:count]]
        records["value"] = draw(st.lists(st.sampled_from([0, 1, 40, 41, 400]), min_size=count, max_size=count))
        records["part"] = np.arange(count)
        records["seq"] = number
        records["duration_s"] = 900
        records["time"] = NOW + np.timedelta64(int(minutes), "m")
        records["received"] = records["time"] + np.timedelta64(1, "s")
        groups.append(records)
    return groups


def in_chunks(records: Records, borders: list[int]) -> Records:
    screen = Screen()
    cuts = sorted(border for border in borders if border <= len(records))
    return np.concatenate([screen.flags(chunk) for chunk in np.split(records, cuts)])


@given(series(), st.lists(st.integers(0, 60), max_size=8))
def test_flags_are_the_same_at_once_one_by_one_or_in_chunks(records, cuts):
    at_once = Screen().flags(records)
    np.testing.assert_array_equal(in_chunks(records, cuts), at_once)
    np.testing.assert_array_equal(in_chunks(records, list(range(len(records)))), at_once)


@given(packs(), st.lists(st.booleans(), min_size=25, max_size=25))
def test_messages_are_flagged_the_same_however_they_are_gathered(groups, cut):
    records = np.concatenate([empty_records(), *groups])
    at_once = Screen().flags(records)
    ends = np.cumsum([len(group) for group in groups]).tolist()
    np.testing.assert_array_equal(
        in_chunks(records, [end for end, here in zip(ends, cut, strict=False) if here]), at_once
    )
    np.testing.assert_array_equal(in_chunks(records, ends), at_once)


@given(series(), st.integers(0, 60))
def test_flags_go_on_where_a_kept_state_was_taken(records, cut):
    screen = Screen()
    screen.learn(records[:cut])
    resumed = Screen.from_state(screen.state())
    np.testing.assert_array_equal(resumed.flags(records[cut:]), Screen().flags(records)[cut:])


@given(packs(), st.integers(0, 25))
def test_flags_of_messages_go_on_where_a_kept_state_was_taken(groups, cut):
    screen = Screen()
    screen.learn(np.concatenate([empty_records(), *groups[:cut]]))
    resumed = Screen.from_state(screen.state())
    rest = np.concatenate([empty_records(), *groups[cut:]])
    everything = Screen().flags(np.concatenate([empty_records(), *groups]))
    np.testing.assert_array_equal(resumed.flags(rest), everything[len(everything) - len(rest) :])


@given(series())
def test_flags_of_one_site_do_not_depend_on_the_others(records):
    together = Screen().flags(records)
    for site in np.unique(records["site"]):
        own = records["site"] == site
        np.testing.assert_array_equal(Screen().flags(records[own]), together[own])


@given(series(ordered=True), st.randoms(use_true_random=False))
def test_order_of_arrival_between_sites_does_not_matter(records, random):
    """Each site's readings in its own order; which site speaks first is the network's affair."""
    order = sorted(range(len(records)), key=lambda index: (random.random(), index))
    turn = np.argsort(records["site"][order], kind="stable")
    shuffled = np.empty(len(records), int)
    shuffled[turn] = np.argsort(records["site"], kind="stable")  # each site's in its own order, at places of its own
    expected = Screen().flags(records)
    np.testing.assert_array_equal(Screen().flags(records[shuffled]), expected[shuffled])


@settings(max_examples=200)
@given(series())
def test_the_fast_rules_say_what_the_plain_ones_say(records):
    flags = Screen().flags(records)
    plain = PlainScreen()
    series_bits = int(Flag.REPEAT | Flag.RATE | Flag.ATTENUATED | Flag.ZERO_RUN)
    for record, found in zip(records, flags.tolist(), strict=True):
        name = next(name for name, quantity in QUANTITIES.items() if quantity.code == record["quantity"])
        if found & int(FAIL) or name not in STATEFUL:
            assert not found & series_bits
            continue
        time = int(record["time"].astype(np.int64))
        expected = plain.flags(int(record["site"]), int(record["quantity"]), time, float(record["value"]),
                               float(record["duration_s"]))  # fmt: skip
        assert found & series_bits == expected


def test_the_fast_rules_say_what_the_plain_ones_say_for_months_of_a_street():
    """Eleven weeks of an hourly counter with a dead fortnight and of a meter that is blocked now and then."""
    generator = np.random.default_rng(3)
    hours = np.arange(11 * 168)
    counts = generator.poisson(30 + 25 * np.sin(hours * 2 * np.pi / 24)).astype(float)
    counts[8 * 168 + 5 : 10 * 168] = 0
    counter = readings("people_flow", counts.tolist(), 3600, site=1)
    counter["duration_s"] = 3600
    levels = np.where(hours // 40 % 5 == 0, 50.0, 60.0) + np.round(
        generator.normal(0, np.where(hours // 40 % 5 == 0, 0.2, 4.0)), 1
    )
    meter = readings("sound_laeq", levels.tolist(), 300, site=2)
    records = np.concatenate([counter, meter])
    records = records[np.argsort(records["time"], kind="stable")]
    flags = Screen().flags(records)
    plain = PlainScreen()
    expected = [
        plain.flags(int(r["site"]), int(r["quantity"]), int(r["time"].astype(np.int64)), float(r["value"]),
                    float(r["duration_s"]))
        for r in records
    ]  # fmt: skip
    assert (flags & ~np.uint16(Flag.EXTREME)).tolist() == expected
    for flag in (Flag.ZERO_RUN, Flag.ATTENUATED):
        assert 50 < np.count_nonzero(flags & flag) < 600
    np.testing.assert_array_equal(in_chunks(records, generator.integers(0, len(records), 30).tolist()), flags)


def test_a_late_reading_is_judged_by_itself_and_leaves_no_mark():
    """Out of order: the sixth equal value arrives before the third."""
    whole = readings("people_flow", [7.0] * 8, 900)
    order = [0, 1, 3, 4, 5, 6, 7, 2]
    flags = Screen().flags(whole[order])
    assert flags.tolist() == [0, 0, 0, 0, 0, Flag.REPEAT, Flag.REPEAT, 0]
    screen = Screen()
    screen.flags(whole[order])
    assert screen.flags(readings("people_flow", [7.0] * 9, 900)[8:]).tolist() == [Flag.REPEAT]


def story(quantity: str, values: list[float], every_s: float) -> Records:
    records = readings(quantity, values, every_s)
    records["duration_s"] = every_s
    return records


@given(
    st.lists(st.floats(35, 80, width=32), min_size=4, max_size=40),
    st.integers(1, 39),
    st.sampled_from([1.0, 60.0, 300.0]),
)
def test_a_scream_is_never_refused(levels, at, every_s):
    levels[min(at, len(levels) - 1)] += 40.0
    assert usable(Screen().flags(story("sound_laeq", levels, every_s))).all()


@given(st.lists(st.integers(0, 1500), min_size=2, max_size=60), st.integers(1, 8))
def test_the_crowd_of_new_year_is_never_refused(counts, lasts):
    """Twelve times the median at midnight (sensing.md C3), for as long as it lasts."""
    middle = len(counts) // 2
    crowd = [12.0 * count if middle <= at < middle + lasts else float(count) for at, count in enumerate(counts)]
    assert usable(Screen().flags(story("people_flow", crowd, 900))).all()


@given(st.integers(1, 30), st.integers(1, 200))
def test_a_power_cut_is_never_refused(before, during):
    for quantity, on in (("power", 50.0), ("supply_voltage", 230.0), ("illuminance", 18.0), ("dimming", 1.0),
                         ("lamp_ok", 1.0), ("people_flow", 120.0)):  # fmt: skip
        assert usable(Screen().flags(story(quantity, [on] * before + [0.0] * during + [on], 900))).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from(list(QUANTITIES)), st.data())
def test_no_series_rule_ever_fails_a_reading(site, quantity, data):
    limits = QUANTITIES[quantity]
    values = data.draw(st.lists(st.floats(limits.low, limits.high, width=32), min_size=1, max_size=30))
    flags = Screen().flags(readings(quantity, values, 900, site))
    assert usable(flags).all()


def test_records_may_be_of_any_length_and_number():
    assert Screen().flags(empty_records()).shape == (0,)
    many = np.tile(readings("sound_laeq", [50.0, 53.0]), 80_000)
    many["time"] = NOW + (np.arange(len(many)) * 1000).astype("timedelta64[ms]")
    many["received"] = many["time"]
    assert not Screen().flags(many).any()


def test_a_site_may_speak_of_several_quantities():
    """As in `noctule decode`, where nobody knows the sites."""
    one, two = readings("sound_laeq", [55.0] * 12, 60, 0), readings("power", [55.0] * 12, 60, 0)
    both = np.empty(24, RECORD)
    both[::2], both[1::2] = one, two
    assert np.count_nonzero(Screen().flags(both) & Flag.REPEAT) == 2


def test_a_state_of_another_version_is_learnt_again():
    screen = Screen()
    screen.learn(readings("sound_laeq", [55.0] * 15))
    state = screen.state()
    assert Screen.readable(state)
    other = msgspec.msgpack.encode(msgspec.msgpack.decode(state) | {"version": STATE_VERSION + 1})
    for unknown in (other, b"", b"\x80", msgspec.msgpack.encode({1: [55.0, 0, 0, 9]}), state[:-3]):
        assert not Screen.readable(unknown)
        assert Screen.from_state(unknown).flags(readings("sound_laeq", [55.0])).tolist() == [0]


def test_the_state_grows_with_sites_and_not_with_time():
    screen = Screen()
    week = story("people_flow", [7.0, 8.0] * 336, 900)
    screen.flags(week)
    size = len(screen.state())
    for _ in range(5):
        week["time"] += np.timedelta64(7, "D")
        week["received"] += np.timedelta64(7, "D")
        screen.flags(week)
    assert len(screen.state()) == size < 2_000


def test_lamps_leave_nothing_to_remember():
    screen = Screen()
    empty = len(screen.state())
    for name in ("dimming", "lamp_ok", "illuminance"):
        screen.flags(readings(name, [1.0] * 5))
    assert len(screen.state()) == empty


def test_facts_are_the_lamps_rated_power():
    facts = SiteFacts(np.array([1], np.int64), np.array([40.0]))
    flags = [Screen(known).flags(readings("power", [40.0, 47.0], 900)).tolist() for known in (None, facts)]
    assert flags == [[0, 0], [0, Flag.EXTREME]]
    assert not Screen(facts).flags(readings("power", [47.0], site=2)).any()
