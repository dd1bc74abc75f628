"""What is missing from a night, and what contradicts itself, from the readings alone.

A device numbers its messages (`boot`, `seq`), so a number that never came is a message that was lost before it reached
us, or that was refused. Two readings of one site and interval with different values are a conflict: at most one is
true, and both stay. A clock that cannot be right says nothing of an interval, so it makes no conflict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sensors.flags import Flag
from sensors.quantities import HISTOGRAM, QUANTITIES
from sensors.reading import NO_SEQ, Records

if TYPE_CHECKING:
    import pandas as pd

GAP_COLUMNS = ("device", "boot", "after_seq", "before_seq", "missing", "since", "until")
_BINS = QUANTITIES[HISTOGRAM].code
CONFLICT_COLUMNS = ("site", "device", "quantity", "time", "duration_s", "values", "lowest", "highest")


def gaps(records: Records, sites: pd.DataFrame) -> pd.DataFrame:
    """Runs of message numbers that did not come, the longest first; columns GAP_COLUMNS.

    since, until : receipt (UTC) of the messages on either side of the gap
    """
    import pandas as pd

    numbered = records[records["seq"] != NO_SEQ]
    device = _device_of(numbered, sites)
    known = device >= 0
    numbered, device = numbered[known], device[known]
    received = numbered["received"].astype(np.int64)
    order = np.lexsort((received, numbered["seq"], numbered["boot"], device))
    device, boot, seq = device[order], numbered["boot"][order], numbered["seq"][order].astype(np.int64)
    received = received[order]
    same = (device[1:] == device[:-1]) & (boot[1:] == boot[:-1])
    last = np.flatnonzero(same & (np.diff(seq) > 1))
    names = _names(sites)
    table = pd.DataFrame(
        {
            "device": names[device[last]],
            "boot": boot[last],
            "after_seq": seq[last],
            "before_seq": seq[last + 1],
            "missing": seq[last + 1] - seq[last] - 1,
            # A late message may have come before its neighbour in number.
            "since": np.minimum(received[last], received[last + 1]).astype("datetime64[ms]"),
            "until": np.maximum(received[last], received[last + 1]).astype("datetime64[ms]"),
        },
        columns=GAP_COLUMNS,
    )
    return table.sort_values(["missing", "device", "after_seq"], ascending=[False, True, True]).reset_index(drop=True)


def conflicts(records: Records, sites: pd.DataFrame) -> pd.DataFrame:
    """Intervals of a site for which it sent different values; columns CONFLICT_COLUMNS, by site and time."""
    import pandas as pd

    timely = (records["flags"] & np.uint16(int(Flag.CLOCK))) == 0
    records = records[timely & (records["quantity"] != _BINS)]  # a histogram says one value for each decibel
    order = np.lexsort(
        (
            records["value"],
            records["duration_s"],
            records["time"].astype(np.int64),
            records["quantity"],
            records["site"],
        )
    )
    ordered = records[order]
    new = np.ones(len(ordered), bool)
    new[1:] = False
    for name in ("site", "quantity", "time", "duration_s"):
        new[1:] |= ordered[name][1:] != ordered[name][:-1]
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(ordered)) - 1
    # Sorted by value within each interval.
    differ = ordered["value"][first] != ordered["value"][last] if len(ordered) else np.zeros(0, bool)
    first, last = first[differ], last[differ]
    by_site = sites.set_index("site")
    known = by_site.reindex(ordered["site"][first].astype(np.int64))
    return pd.DataFrame(
        {
            "site": ordered["site"][first],
            "device": known["device"].fillna("").to_numpy(object),
            "quantity": known["quantity"].fillna("").to_numpy(object),
            "time": ordered["time"][first],
            "duration_s": ordered["duration_s"][first],
            "values": last - first + 1,
            "lowest": ordered["value"][first],
            "highest": ordered["value"][last],
        },
        columns=CONFLICT_COLUMNS,
    )


def _names(sites: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.unique(sites["device"].to_numpy(object).astype(str)).astype(object)


def _device_of(records: Records, sites: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The place of each record's device among `_names`, -1 for a site that the table does not hold."""
    import pandas as pd

    codes = np.searchsorted(_names(sites).astype(str), sites["device"].to_numpy(object).astype(str))
    row = pd.Series(codes, index=sites["site"].to_numpy(np.int64)).reindex(records["site"].astype(np.int64))
    return row.fillna(-1).to_numpy(np.int64)
