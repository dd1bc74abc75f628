"""Every message number that did not come is known until it comes, whatever the order; contradictions are told once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.archive import FILES_A_NIGHT
from ingest.ledger import CLOSED_KEPT, Ledger, Senders, read_ledger
from ingest.manifest import read_manifest
from sensors.reading import NO_SEQ, RECORD, Records
from tests.synthetic_city import make_city
from tests.unit.test_archive import DUSK, Shard, city, readings  # noqa: F401


class OneToOne(Senders):
    """Sites 10 and 11 are of one device, others of their own."""

    def __init__(self) -> None:
        pass

    def of(self, sites):
        return np.where(sites == 11, 10, sites.astype(np.int64))

    def names(self, senders):
        return [f"device {number}" for number in senders]


def messages(numbers: list[int], *, site: int = 10, boot: int = 1, at_min: int = 0, parts: int = 1) -> Records:
    records = np.zeros(len(numbers) * parts, RECORD)
    records["site"], records["boot"], records["quantity"] = site, boot, 1
    records["seq"] = np.repeat(numbers, parts)
    records["part"] = np.tile(np.arange(parts), len(numbers))
    records["time"] = records["received"] = DUSK + np.timedelta64(at_min, "m")
    return records


def missing(ledger: Ledger, boot: int = 1) -> set[int]:
    found: set[int] = set()
    for gap in ledger.gaps:
        if np.isnat(gap["closed"]) and gap["boot"] == boot:
            run = set(range(int(gap["seq_from"]), int(gap["seq_to"]) + 1))
            assert not run & found
            found |= run
    return found


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 2)), min_size=1, max_size=50),
    st.lists(st.integers(0, 50), max_size=6),
)
def test_what_is_missing_is_what_did_not_come_whatever_the_order_and_the_batches(came, cuts):
    ledger = Ledger()
    records = np.concatenate([messages([number], boot=boot, at_min=at) for at, (number, boot) in enumerate(came)])
    for batch in np.split(records, sorted(cut for cut in cuts if cut <= len(records))):
        ledger.note_messages(batch, OneToOne())
    for boot in (1, 2):
        numbers = {number for number, its in came if its == boot}
        expected = set(range(min(numbers), max(numbers) + 1)) - numbers if numbers else set()
        assert missing(ledger, boot) == expected


def test_a_gap_says_when_it_was_seen_and_when_it_was_filled():
    ledger = Ledger()
    ledger.note_messages(messages([1, 2, 6], at_min=5, parts=3), OneToOne())
    (gap,) = ledger.gaps
    assert (gap["seq_from"], gap["seq_to"]) == (3, 5)
    assert gap["first_seen"] == DUSK + np.timedelta64(5, "m") and np.isnat(gap["closed"])
    ledger.note_messages(messages([4], at_min=9), OneToOne())
    assert missing(ledger) == {3, 5}
    ledger.note_messages(messages([3], at_min=10), OneToOne())
    ledger.note_messages(messages([5], at_min=11), OneToOne())
    assert missing(ledger) == set()
    assert ledger.gaps["closed"].max() == DUSK + np.timedelta64(11, "m")


def test_what_came_before_the_first_number_and_what_has_no_number_is_not_missed():
    ledger = Ledger()
    ledger.note_messages(messages([1000, NO_SEQ]), OneToOne())
    assert not len(ledger.gaps)
    assert ledger.heard[["first", "last"]].tolist() == [(1000, 1000)]


def test_sites_of_one_device_share_their_numbers_and_devices_do_not():
    ledger = Ledger()
    ledger.note_messages(np.concatenate([messages([1, 3], site=10), messages([2, 4], site=11)]), OneToOne())
    assert not len(ledger.gaps)
    ledger.note_messages(messages([3], site=12), OneToOne())
    ledger.note_messages(messages([9], site=12), OneToOne())
    assert ledger.gaps[["sender", "seq_from", "seq_to"]].tolist() == [(12, 4, 8)]


def test_old_boots_and_closed_gaps_are_forgotten_and_open_gaps_are_not():
    ledger = Ledger()
    ledger.note_messages(messages([1, 3, 5]), OneToOne())
    ledger.note_messages(messages([2]), OneToOne())
    later = int(CLOSED_KEPT / np.timedelta64(1, "m")) + 10
    ledger.note_messages(messages([1], boot=2, at_min=later), OneToOne())
    assert ledger.heard["boot"].tolist() == [2]
    assert ledger.gaps[["seq_from", "seq_to"]].tolist() == [(4, 4)]


def test_a_second_value_for_one_key_is_counted_and_listed_once(city):  # noqa: F811
    shard = Shard(city)
    again = readings(0, 4)
    again["received"] += np.timedelta64(1, "m")
    again["value"][2] += 1
    shard.store(np.concatenate([readings(0, 4), again]))
    for number in range(FILES_A_NIGHT + 2):  # with a merge in between
        shard.compact()
        shard.store(readings(10 + number, 1))
    manifest = read_manifest(city)
    assert manifest.conflicts == 1
    (conflict,) = read_ledger(city, manifest).conflicts
    assert (conflict["site"], conflict["seq"]) == (3, 2)
    assert conflict["refused"] == pytest.approx(conflict["kept"] + 1)


def test_a_contradiction_that_comes_in_a_later_commit_is_found_when_they_are_merged(city):  # noqa: F811
    shard = Shard(city)
    other = readings(0, 1)
    other["value"], other["received"] = 5, other["received"] + np.timedelta64(1, "m")
    for number in range(FILES_A_NIGHT + 2):
        shard.store(readings(number, 1) if number != 3 else other)
        shard.compact()
    assert read_manifest(city).conflicts == 1


def test_the_ledger_names_the_devices_for_others_to_read(city):  # noqa: F811
    import pandas as pd

    shard = Shard(city)
    shard.store(np.concatenate([readings(0, 2), readings(5, 1)]))
    shard.compact()
    paths = {file.path.split("-")[0]: file.path for file in read_manifest(city).ledger}
    gaps = pd.read_parquet(city.shelf("readings", paths["gaps"]))
    assert gaps[["device", "seq_from", "seq_to"]].values.tolist() == [["node-lamp-001", 2, 4]]


def test_senders_are_devices(tmp_path):
    senders = Senders(make_city(tmp_path / "town"))
    sites = np.array([0, 1, 2, 3, 999_999], np.uint32)
    assert senders.of(sites).tolist() == [0, 0, 2, 2, 999_999]
    assert senders.names(np.array([2, 999_999], np.uint32)) == ["node-lamp-001", ""]
