"""What never came, and what contradicts itself: kept beside the readings, since no reading says it.

    gaps-NNNNNNNN.parquet       runs of message numbers that did not come, by device and boot; closed when they did
    heard-NNNNNNNN.parquet      the first and last number of each boot of each device
    conflicts-NNNNNNNN.parquet  readings that were refused because their key had another value before: the first
                                received counts, the last ones refused are listed here and all are counted

A device counts its messages (`boot`, `seq`), so a number that is missing is a message that was lost before it reached
us or that was refused. Numbers may come in any order and any message may hold many readings; what precedes the first
number that a boot was heard with is not missed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.manifest import Manifest, StoredFile, settled
from ingest.night_files import device_names, record_keys
from sensors.city import City
from sensors.reading import NO_SEQ, Records

GAP = np.dtype(
    [
        ("sender", "u4"),  # of the device: the lowest of its site numbers, which are never given again
        ("boot", "u4"),
        ("seq_from", "u4"),
        ("seq_to", "u4"),
        ("first_seen", "datetime64[ms]"),  # receipt of the message that showed the gap
        ("closed", "datetime64[ms]"),  # receipt of the message that filled it; NaT while it is open
    ]
)
HEARD = np.dtype([("sender", "u4"), ("boot", "u4"), ("first", "u4"), ("last", "u4"), ("received", "datetime64[ms]")])
CONFLICT = np.dtype(
    [
        ("site", "u4"),
        ("quantity", "u1"),
        ("boot", "u4"),
        ("seq", "u4"),
        ("part", "u2"),
        ("time", "datetime64[ms]"),
        ("kept", "f4"),
        ("refused", "f4"),
        ("received", "datetime64[ms]"),  # of the one that was refused
    ]
)
GAPS_KEPT = 100_000  # the newest; a device that invents numbers must not fill the disk with their gaps
CONFLICTS_KEPT = 10_000
CLOSED_KEPT = np.timedelta64(60, "D")  # how long a closed gap, or a boot that ended, is told
_NEVER = np.datetime64("NaT", "ms")
Table = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]
_KINDS = (("gaps", GAP), ("heard", HEARD), ("conflicts", CONFLICT))


@dataclass
class Ledger:
    """The three tables, as of a commit."""

    gaps: Table = field(default_factory=lambda: np.zeros(0, GAP))
    heard: Table = field(default_factory=lambda: np.zeros(0, HEARD))
    conflicts: Table = field(default_factory=lambda: np.zeros(0, CONFLICT))

    def note_messages(self, records: Records, senders: Senders) -> None:
        """Take in new readings, in any order: gaps they show, and gaps they fill."""
        numbered = records[records["seq"] != NO_SEQ]
        if not len(numbered):
            return
        seq, received = numbered["seq"].astype(np.int64), numbered["received"].astype(np.int64)
        key = (senders.of(numbered["site"]) << 32) | numbered["boot"]
        new = np.ones(len(seq), bool)  # the other readings of a message follow its first
        new[1:] = (key[1:] != key[:-1]) | (seq[1:] != seq[:-1])
        key, seq, received = key[new], seq[new], received[new]
        order = np.lexsort((received, seq, key))
        key, seq, received = key[order], seq[order], received[order]
        new = np.ones(len(seq), bool)
        new[1:] = (key[1:] != key[:-1]) | (seq[1:] != seq[:-1])
        self._take(key[new], seq[new], received[new])

    def note_conflicts(self, records: Records) -> int:
        """Readings of one key that differ from the one of them received first; lists and counts them."""
        keys = record_keys(records)
        order = np.lexsort((records["received"], keys))
        keys = keys[order]
        first = np.ones(len(keys), bool)
        first[1:] = keys[1:] != keys[:-1]
        if first.all():
            return 0
        leader = np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0))
        kept = records[order[leader]]
        ordered = records[order]
        differs = np.zeros(len(keys), bool)
        for name in ("value", "time", "quantity", "duration_s"):
            differs |= ordered[name] != kept[name]
        differs &= ~(np.isnan(ordered["value"]) & np.isnan(kept["value"]))
        refused, kept = ordered[differs], kept[differs]
        rows = np.zeros(len(refused), CONFLICT)
        for name in ("site", "quantity", "boot", "seq", "part", "time", "received"):
            rows[name] = refused[name]
        rows["kept"], rows["refused"] = kept["value"], refused["value"]
        fresh = rows[~_contained(rows, self.conflicts)]
        if len(fresh):
            self.conflicts = np.concatenate([self.conflicts, fresh])[-CONFLICTS_KEPT:]
        return len(fresh)

    def _take(self, key: Ints, seq: Ints, received: Ints) -> None:
        """Distinct message numbers by boot of a device (`key`), ascending in both."""
        leads = np.ones(len(key), bool)
        leads[1:] = key[1:] != key[:-1]
        begins = np.flatnonzero(leads)
        ends = np.append(begins[1:], len(key)) - 1
        boot_of = leads.cumsum() - 1
        known_keys = _keys(self.heard)
        at = np.minimum(np.searchsorted(known_keys, key[begins]), max(len(known_keys) - 1, 0))
        known = known_keys[at] == key[begins] if len(known_keys) else np.zeros(len(begins), bool)
        first, last = seq[begins].copy(), seq[begins].copy()
        first[known], last[known] = self.heard["first"][at[known]], self.heard["last"][at[known]]

        # After the last number that was known: missing since the number before, or since that last one.
        before = np.where(leads, -1, np.concatenate([[-1], seq[:-1]]))
        before = np.maximum(before, last[boot_of])
        later = np.flatnonzero(seq - before > 1)
        # Before the first one that was known: missing up to the number after, or up to that first one.
        follows = np.append(~leads[1:], False)
        after = np.where(follows, np.append(seq[1:], 0), np.iinfo(np.int64).max)
        after = np.minimum(after, first[boot_of])
        earlier = np.flatnonzero(after - seq > 1)
        within = (seq > first[boot_of]) & (seq < last[boot_of])
        self._fill(key, seq, received, within)
        self._add(key[later], before[later] + 1, seq[later] - 1, received[later])
        self._add(key[earlier], seq[earlier] + 1, after[earlier] - 1, received[earlier])

        newest = np.maximum.reduceat(received, begins).astype("datetime64[ms]")
        heard = self.heard.copy()
        old = at[known]
        heard["first"][old] = np.minimum(heard["first"][old], seq[begins[known]])
        heard["last"][old] = np.maximum(heard["last"][old], seq[ends[known]])
        heard["received"][old] = np.maximum(heard["received"][old], newest[known])
        fresh = np.zeros(int(np.count_nonzero(~known)), HEARD)
        fresh["sender"], fresh["boot"] = key[begins[~known]] >> 32, key[begins[~known]] & 0xFFFFFFFF
        fresh["first"], fresh["last"], fresh["received"] = seq[begins[~known]], seq[ends[~known]], newest[~known]
        if len(fresh):
            heard = np.concatenate([heard, fresh])
            heard = heard[np.argsort(_keys(heard))]
        self.heard = heard
        self._forget()

    def _fill(self, key: Ints, seq: Ints, received: Ints, within: npt.NDArray[np.bool_]) -> None:
        """Close, or cut in pieces, the open gaps in which numbers have come."""
        open_gaps = np.flatnonzero(np.isnat(self.gaps["closed"]))
        if not len(open_gaps) or not within.any():
            return
        touched = open_gaps[np.isin(_keys(self.gaps[open_gaps]), np.unique(key[within]))]
        gaps = self.gaps.copy()
        for at in touched.tolist():
            gap = gaps[at]
            begin, end = np.searchsorted(key, [_keys(gaps[at : at + 1])[0], _keys(gaps[at : at + 1])[0] + 1])
            low, high = int(gap["seq_from"]), int(gap["seq_to"])
            begin, end = begin + np.searchsorted(seq[begin:end], [low, high + 1])
            if begin == end:
                continue
            gaps["closed"][at] = received[begin:end].max()
            runs = _between(low - 1, seq[begin:end].tolist(), high + 1)
            pieces = np.repeat(gaps[at : at + 1], len(runs))
            pieces["seq_from"], pieces["seq_to"] = [run[0] for run in runs], [run[1] for run in runs]
            pieces["closed"] = _NEVER
            gaps = np.concatenate([gaps, pieces])
        self.gaps = gaps

    def _add(self, key: Ints, low: Ints, high: Ints, seen: Ints) -> None:
        if not len(key):
            return
        rows = np.zeros(len(key), GAP)
        rows["sender"], rows["boot"], rows["seq_from"], rows["seq_to"] = key >> 32, key & 0xFFFFFFFF, low, high
        rows["first_seen"], rows["closed"] = seen.astype("datetime64[ms]"), _NEVER
        self.gaps = np.concatenate([self.gaps, rows])

    def _forget(self) -> None:
        if not len(self.heard):
            return
        oldest = self.heard["received"].max() - CLOSED_KEPT
        self.heard = self.heard[self.heard["received"] >= oldest]
        self.gaps = self.gaps[~(self.gaps["closed"] < oldest)][-GAPS_KEPT:]


class Senders:
    """Which device a site's messages come from."""

    def __init__(self, city: City) -> None:
        self._name = device_names(city)
        lowest: dict[str, int] = {}
        for site in sorted(self._name):
            lowest.setdefault(self._name[site], site)
        self._site = np.array(sorted(self._name), np.int64)
        self._sender = np.array([lowest[self._name[site]] for site in sorted(self._name)], np.int64)

    def of(self, sites: npt.NDArray[np.uint32]) -> Ints:
        """The number of each site's device; a site that nobody knows is a device of its own."""
        if not len(self._site):
            return sites.astype(np.int64)
        at = np.minimum(np.searchsorted(self._site, sites), len(self._site) - 1)
        return np.where(self._site[at] == sites, self._sender[at], sites.astype(np.int64))

    def names(self, senders: npt.NDArray[np.uint32]) -> list[str]:
        """The devices' names, empty for one that nobody knows."""
        return [self._name.get(number, "") for number in senders.tolist()]


def read_ledger(city: City, manifest: Manifest) -> Ledger:
    """The ledger that belongs to a manifest."""
    import pyarrow.parquet as parquet

    tables = {}
    for file in manifest.ledger:
        kind = file.path.split("-")[0]
        dtype = dict(_KINDS)[kind]
        with city.shelf("readings", file.path).open("rb") as source:
            table = parquet.ParquetFile(source).read(columns=list(dtype.names or ()), use_threads=False)
        rows = np.zeros(table.num_rows, dtype)
        for name in dtype.names or ():
            rows[name] = table[name].to_numpy()
        tables[kind] = rows
    return Ledger(**tables)


def write_ledger(
    city: City, number: int, old: Manifest, was: Ledger, now: Ledger, senders: Senders
) -> tuple[StoredFile, ...]:
    """Files of what has changed, and the old ones of what has not."""
    import pyarrow
    import pyarrow.parquet as parquet

    files = {file.path.split("-")[0]: file for file in old.ledger}
    for kind, dtype in _KINDS:
        before, rows = getattr(was, kind), getattr(now, kind)
        if rows is before or rows.tobytes() == before.tobytes():
            continue
        columns = {}
        for name in dtype.names or ():
            column = pyarrow.array(np.ascontiguousarray(rows[name]))
            columns[name] = column.cast(pyarrow.timestamp("ms", tz="UTC")) if dtype[name].kind == "M" else column
        if "sender" in columns:
            columns["device"] = pyarrow.array(senders.names(rows["sender"]))
        table = pyarrow.table(columns)
        name = f"{kind}-{number:08d}.parquet"

        def write(path: Path, table: Any = table) -> None:
            parquet.write_table(table, path, compression="zstd")

        digest = settled(city.shelf("readings"), name, write)
        files[kind] = StoredFile(name, "", len(rows), digest, number, {}, "ledger")
    return tuple(files.values())


def _keys(rows: Table) -> Ints:
    keys: Ints = (rows["sender"].astype(np.int64) << 32) | rows["boot"]
    return keys


def _between(low: int, came: list[int], high: int) -> list[tuple[int, int]]:
    """Runs of whole numbers strictly between `low` and `high` that are not among the ascending `came`."""
    runs = []
    for number in [*came, high]:
        if number > low + 1:
            runs.append((low + 1, number - 1))
        low = number
    return runs


def _contained(rows: Table, known: Table) -> npt.NDArray[np.bool_]:
    """Which conflicts stand in the list already, as when pieces of a night are merged again."""
    held = {row.tobytes() for row in known}
    return np.array([row.tobytes() in held for row in rows], bool)
