import numpy as np
import pytest

from analytics.observations import latest, ordered, said, weighted_mean
from analytics.surroundings import Sites
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records, sort_by_key

NOW = np.datetime64("2026-11-20T20:00", "ms")
MINUTE = np.timedelta64(1, "m")


def sites(n: int = 4, **changes) -> Sites:
    none = np.full(n, np.datetime64("NaT"), "M8[ms]")
    plain = {
        "site": np.arange(n, dtype=np.uint32) * 2, "quantity": np.full(n, QUANTITIES["people_flow"].code, np.uint8),
        "easting": np.zeros(n), "northing": np.zeros(n), "height_m": np.zeros(n), "plane": np.zeros(n, np.uint8),
        "facade": np.zeros(n, bool), "facing_deg": np.full(n, np.nan), "origin": np.zeros(n, np.uint8),
        "inside": np.ones(n, bool),
        "row": np.zeros(n, int), "column": np.zeros(n, int), "valid_from": none, "valid_to": none.copy(),
        "lamp_start": np.zeros(n + 1, int), "lamp_index": np.empty(0, int),
    }  # fmt: skip
    return Sites(**{**plain, **changes})


def readings(*rows: tuple[int, float, float]) -> Records:
    """Rows of (site, minutes from NOW, value)."""
    records = empty_records(len(rows))
    records["site"] = [row[0] for row in rows]
    records["time"] = [NOW + np.timedelta64(int(row[1] * 60_000), "ms") for row in rows]
    records["value"] = [row[2] for row in rows]
    records["quantity"] = QUANTITIES["people_flow"].code
    records["duration_s"] = 60.0
    return sort_by_key(records)


def values(records: Records, after=NOW, until=NOW + 15 * MINUTE, of: Sites | None = None) -> list[float]:
    return said(records, of or sites(), "people_flow", after, until).value.tolist()


def test_a_step_holds_what_ends_after_its_start_up_to_its_end():
    assert values(readings((0, 0, 1), (0, 0.001, 2), (0, 15, 3), (0, 15.001, 4))) == [2.0, 3.0]


def test_unknown_sites_say_nothing():
    assert values(readings((1, 5, 1), (99, 5, 2), (2, 5, 3), (2**32 - 1, 5, 4))) == [3.0]


def test_what_physics_refuses_says_nothing_and_what_is_doubted_speaks():
    records = readings((0, 5, 1), (0, 6, 2), (0, 7, 3), (0, 8, np.nan))
    records["flags"] = [1, 4, 2, 0]
    assert values(records) == [2.0]


def test_a_site_speaks_only_while_it_is_valid():
    moved = sites(valid_to=np.array([NOW + 6 * MINUTE, "NaT", "NaT", "NaT"], "M8[ms]"))
    assert values(readings((0, 5, 1), (0, 7, 2)), of=moved) == [1.0]
    new = sites(valid_from=np.array([NOW + 6 * MINUTE, "NaT", "NaT", "NaT"], "M8[ms]"))
    assert values(readings((0, 5, 1), (0, 7, 2)), of=new) == [2.0]


def test_a_site_of_another_quantity_says_nothing_of_this_one():
    other = sites(quantity=np.full(4, QUANTITIES["devices_seen"].code, np.uint8))
    assert values(readings((0, 5, 1)), of=other) == []


def test_no_sites_and_no_records_are_answered():
    assert values(empty_records(0)) == []
    assert values(readings((0, 5, 1)), of=sites(0)) == []


def test_the_latest_word_is_the_last_in_time():
    value, time = latest(
        said(readings((0, 9, 1), (0, 3, 2), (4, 1, 5)), sites(), "people_flow", NOW, NOW + 15 * MINUTE), 4
    )
    assert value[0] == 1.0
    assert value[2] == 5.0
    assert np.isnan(value[1])
    assert np.isnat(time[1])


def test_an_instant_counts_as_a_second():
    records = readings((0, 1, 4.0), (0, 2, 8.0))
    records["duration_s"] = [0.0, 3.0]
    part = said(records, sites(), "people_flow", NOW, NOW + 15 * MINUTE)
    assert weighted_mean(part, part.value, 4)[0] == pytest.approx((4 + 3 * 8) / 4)


def test_any_order_of_records_becomes_the_order_of_keys():
    records = readings(*[(0, minute % 3, minute) for minute in range(9)])
    records["seq"] = np.arange(9)
    kept = sort_by_key(records)
    assert ordered(kept) is kept
    shuffled = kept[np.random.default_rng(0).permutation(9)]
    assert np.array_equal(ordered(shuffled), kept)
