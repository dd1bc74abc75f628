"""A number that never came is missed, a reboot is no gap, and two values of one interval contradict each other."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from ingest.gaps import CONFLICT_COLUMNS, GAP_COLUMNS, conflicts, gaps
from sensors.flags import Flag
from sensors.reading import NO_SEQ, RECORD, Records, empty_records
from tests.reference.gaps import plain_conflicts, plain_gaps

DUSK = np.datetime64("2026-11-20T18:00:00", "ms")
# Sites 1 and 2 are of one device.
SITES = pd.DataFrame(
    {"site": [1, 2, 7], "device": ["meter", "meter", "counter"], "quantity": ["sound_laeq", "power", "people_flow"]}
)
DEVICE = dict(zip(SITES["site"], SITES["device"], strict=True))


def messages(numbers: list[int], *, site: int = 1, boot: int = 1, at_min: float = 0.0) -> Records:
    """One reading a number, received a minute apart."""
    records = np.zeros(len(numbers), RECORD)
    records["site"], records["boot"], records["seq"], records["quantity"] = site, boot, numbers, 5
    minutes = at_min + np.arange(len(numbers))
    records["received"] = records["time"] = DUSK + (minutes * 60_000).astype("timedelta64[ms]")
    return records


def rows(table: pd.DataFrame) -> list[tuple[object, ...]]:
    return list(table[["device", "boot", "after_seq", "before_seq", "missing"]].itertuples(index=False, name=None))


def test_a_gap_is_told_by_the_numbers_and_the_receipts_on_either_side():
    table = gaps(messages([4, 5, 9]), SITES)
    assert rows(table) == [("meter", 1, 5, 9, 3)]
    assert table["since"][0] == DUSK + np.timedelta64(1, "m")
    assert table["until"][0] == DUSK + np.timedelta64(2, "m")


def test_a_reboot_is_no_gap_and_what_precedes_the_first_number_is_not_missed():
    restarted = np.concatenate([messages([500, 501]), messages([0, 1], boot=2, at_min=5), messages([7], boot=9)])
    assert rows(gaps(restarted, SITES)) == []


def test_numbers_are_shared_by_all_that_a_device_sends_and_by_no_other():
    assert rows(gaps(np.concatenate([messages([1, 3]), messages([2, 4], site=2)]), SITES)) == []
    apart = np.concatenate([messages([1, 3]), messages([2, 4], site=7)])
    assert rows(gaps(apart, SITES)) == [("counter", 1, 2, 4, 1), ("meter", 1, 1, 3, 1)]


def test_the_longest_gap_comes_first():
    assert [row[4] for row in rows(gaps(messages([1, 3, 50, 52, 60]), SITES))] == [46, 7, 1, 1]


def test_a_message_that_came_late_turns_no_time_round():
    records = messages([1, 5])
    records["received"] = records["received"][::-1].copy()
    table = gaps(records, SITES)
    assert table["since"][0] < table["until"][0]


def test_numbers_up_to_the_largest_are_compared_as_numbers():
    largest = NO_SEQ - 1
    assert rows(gaps(messages([0, largest]), SITES)) == [("meter", 1, 0, largest, largest - 1)]


def test_what_has_no_number_and_what_nobody_registered_says_nothing():
    unknown = messages([1, 9], site=4_000_000_000)
    assert rows(gaps(np.concatenate([messages([1, NO_SEQ]), unknown]), SITES)) == []


def test_a_night_without_readings_lacks_nothing():
    for sites in (SITES, SITES.iloc[:0]):
        for found, columns in (
            (gaps(empty_records(), sites), GAP_COLUMNS),
            (conflicts(empty_records(), sites), CONFLICT_COLUMNS),
        ):
            assert len(found) == 0 and tuple(found.columns) == columns


@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 7]), st.integers(1, 3), st.integers(0, 30)), max_size=60),
    st.randoms(use_true_random=False),
)
def test_the_plain_count_finds_the_same_gaps_in_any_order(came, random):
    shuffled = random.sample(came, len(came))
    records = np.concatenate(
        [empty_records(), *(messages([seq], site=site, boot=boot) for site, boot, seq in shuffled)]
    )
    plain = plain_gaps([(DEVICE[site], boot, seq) for site, boot, seq in came])
    found = rows(gaps(records, SITES))
    assert {row[:4] for row in found} == plain
    assert len(found) == len(plain)
    assert all(row[4] == row[3] - row[2] - 1 for row in found)


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2, 7]), st.integers(0, 4), st.sampled_from([1.0, 1.5, 2.0])),
        max_size=30,
    )
)
def test_the_plain_count_finds_the_same_conflicts(told):
    parts = [messages([number], site=site, at_min=minute) for number, (site, minute, _) in enumerate(told)]
    records = np.concatenate([empty_records(), *parts])
    records["value"] = [value for _, _, value in told]
    table = conflicts(records, SITES)
    minute = ((table["time"].to_numpy() - DUSK) // np.timedelta64(1, "m")).tolist()
    places = list(zip(table["site"].tolist(), minute, strict=True))
    plain = plain_conflicts(told)
    assert places == sorted(plain)
    assert table["values"].tolist() == [len(plain[place]) for place in places]
    assert table["lowest"].tolist() == [plain[place][0] for place in places]
    assert table["highest"].tolist() == [plain[place][-1] for place in places]
    assert table["device"].tolist() == [DEVICE[site] for site, _ in places]


def test_the_same_value_twice_is_no_conflict_nor_are_intervals_of_different_length():
    records = messages([1, 2, 3])
    records["time"] = DUSK
    records["value"] = [3.0, 3.0, 4.0]
    records["duration_s"] = [60, 60, 900]
    assert len(conflicts(records, SITES)) == 0


def test_a_clock_that_cannot_be_right_contradicts_nobody():
    """A device that starts in 1970 says so many times that it is that moment."""
    records = messages([1, 2, 3])
    records["time"] = np.datetime64(0, "ms")
    records["value"] = [1, 2, 3]
    assert conflicts(records, SITES)["values"].tolist() == [3]
    records["flags"] = Flag.CLOCK
    assert len(conflicts(records, SITES)) == 0
