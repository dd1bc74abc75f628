"""What a reading is: one value of one quantity at one site over one interval.

A reading covers the half-open interval (time - duration_s, time]: `time` is its END. Values are in the unit of
`sensors.quantities`. Bad readings carry a reason in `flags` (`sensors.flags`) and stay.
"""

from __future__ import annotations

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


def sort_by_key(records: Records) -> Records:
    """The same records in the one order that everything downstream may rely on.

    Ordered by time, site, quantity, boot, seq, part, duration, and then by receipt, so that the order does not
    depend on how they arrived.
    """
    order = np.lexsort(
        (
            records["value"],
            records["received"],
            records["duration_s"],
            records["part"],
            records["seq"],
            records["boot"],
            records["quantity"],
            records["site"],
            records["time"],
        )
    )
    return records[order]


def unique_by_key(records: Records) -> Records:
    """Each reading once, the first one received, in the order of `sort_by_key`.

    The key is (device, boot, seq, part), where the site stands for the device; records without a sequence number
    are told apart by (site, quantity, time, duration_s).
    """
    if len(records) < 2:
        return records.copy()
    numbered = records["seq"] != NO_SEQ
    kept = [
        _first_received(records[numbered], _SEQUENCE_KEY),
        _first_received(records[~numbered], _CONTENT_KEY),
    ]
    return sort_by_key(np.concatenate(kept))


def _first_received(records: Records, key: tuple[str, ...]) -> Records:
    if not len(records):
        return records
    order = np.lexsort((records["received"], *(records[name] for name in reversed(key))))
    ordered = records[order]
    new = np.ones(len(ordered), bool)
    new[1:] = False
    for name in key:
        new[1:] |= ordered[name][1:] != ordered[name][:-1]
    return ordered[new]
