"""What a reading is: one value of one quantity at one site over one interval.

A reading covers the half-open interval (time - duration_s, time]: `time` is its END. Values are in the unit of
`sensors.quantities`. Bad readings carry a reason in `flags` (`sensors.flags`) and stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

READING = np.dtype(
    [
        ("time", "datetime64[ms]"),  # UTC, end of the interval
        ("received", "datetime64[ms]"),  # UTC, when our process had it in hand
        ("site", "u4"),
        ("quantity", "u1"),
        ("value", "f4"),
        ("duration_s", "f4"),
        ("flags", "u2"),
    ]
)

# The archived form adds where in which message the value stood: with the site (which stands for device and
# quantity) these three are the reading's identity.
RECORD = np.dtype([*READING.descr, ("boot", "u4"), ("seq", "u4"), ("part", "u2")])

# Stands in `seq` where a device numbers nothing (imported history, foreign dialects).
NO_SEQ = 2**32 - 1

Records = npt.NDArray[np.void]

_SEQUENCE_KEY = ("site", "boot", "seq", "part")
_CONTENT_KEY = ("site", "quantity", "time", "duration_s")


def empty_records(n: int = 0) -> Records:
    """`n` records of zeros in the archived form, without sequence numbers."""
    records = np.zeros(n, RECORD)
    records["seq"] = NO_SEQ
    return records


def joined(parts: Sequence[Records]) -> Records:
    """Records in the archived form, one part after the other; a fiftieth of the time in which numpy compares fields."""
    return np.frombuffer(bytearray(b"".join([part.tobytes() for part in parts])), RECORD)


def sort_by_key(records: Records) -> Records:
    """The same records in the one order that everything downstream may rely on.

    Ordered by time, site, quantity, boot, seq, part, duration, and then by receipt, so that the order does not
    depend on how they arrived.
    """
    # The first six decide nearly always, and packed into four columns they sort in a third of the time.
    origin = (records["boot"].astype(np.uint64) << np.uint64(32)) | records["seq"]
    place = (records["site"].astype(np.int64) << 8) | records["quantity"]
    time = records["time"].astype(np.int64)
    order = np.lexsort((records["part"], origin, place, time))
    equal = np.ones(max(0, len(order) - 1), bool)
    for column in (time, place, origin, records["part"]):
        equal &= column[order[1:]] == column[order[:-1]]
    if equal.any():
        columns = ("value", "received", "duration_s", "part")
        order = np.lexsort((*(records[name] for name in columns), origin, place, time))
    return records[order]


def unique_by_key(records: Records) -> Records:
    """Each reading once, the first one received, in the order of `sort_by_key`.

    The key is (device, boot, seq, part), where the site stands for the device; records without a sequence number
    are told apart by (site, quantity, time, duration_s).
    """
    if len(records) < 2:
        return records.copy()
    first = np.zeros(len(records), bool)
    numbered = records["seq"] != NO_SEQ
    for rows, key in ((np.flatnonzero(numbered), _SEQUENCE_KEY), (np.flatnonzero(~numbered), _CONTENT_KEY)):
        if len(rows):
            first[rows[_first_received(records if len(rows) == len(records) else records[rows], key)]] = True
    return sort_by_key(records if first.all() else records[first])


def _first_received(records: Records, key: tuple[str, ...]) -> npt.NDArray[np.intp]:
    """Of each key, the index of the record that was received first."""
    columns = _packed(records, key)
    order = np.lexsort((records["received"], *columns))
    new = np.zeros(len(order), bool)
    new[0] = True
    for column in columns:
        ordered = column[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    return order[new]


def _packed(records: Records, key: tuple[str, ...]) -> list[npt.NDArray[Any]]:
    """A key's columns for `lexsort`, the last one deciding first; two to a column where whole numbers allow."""
    if key != _SEQUENCE_KEY:
        return [records[name] for name in reversed(key)]
    message = (records["seq"].astype(np.int64) << 16) | records["part"]
    origin = (records["site"].astype(np.uint64) << np.uint64(32)) | records["boot"]
    return [message, origin]
