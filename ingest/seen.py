"""Which readings came lately, so that a second delivery is stored once.

A broker delivers again what it has no acknowledgement for, sometimes without the DUP mark (iotcore), and some devices
send twice by themselves; so identity is the reading's own key, never the broker's packet. The memory is bounded: what
comes back after it has been forgotten is still made one again when a night is read.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sensors.reading import NO_SEQ, Records

REMEMBERED = 200_000  # readings a generation; ten times what may be in flight (receive maximum 20,000)

_NUMBERED = np.dtype([("site", "u4"), ("boot", "u4"), ("seq", "u4"), ("part", "u2")])
_PLAIN = np.dtype([("site", "u4"), ("quantity", "u1"), ("time", "i8"), ("duration_s", "f4")])


class Seen:
    """The keys of the last readings, in two generations."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def new(self, records: Records) -> npt.NDArray[np.bool_]:
        """Which records (one bool each) have not come before; remembers them all."""
        keys = _keys(records)
        fresh = np.zeros(len(records), bool)
        for index, key in enumerate(keys):
            if key not in self._young and key not in self._old:
                fresh[index] = True
                self._young.add(key)
        if len(self._young) > self._remembered:
            self._old, self._young = self._young, set()
        return fresh


def _keys(records: Records) -> list[bytes]:
    """Each record's key as bytes: 14 where the message was numbered, 17 where it was not, so that they never meet."""
    keys = _bytes(records, _NUMBERED)
    plain = np.flatnonzero(records["seq"] == NO_SEQ)
    for index, key in zip(plain.tolist(), _bytes(records[plain], _PLAIN), strict=True):
        keys[index] = key
    return keys


def _bytes(records: Records, layout: np.dtype[np.void]) -> list[bytes]:
    picked = np.empty(len(records), layout)
    for name in layout.names or ():
        picked[name] = records[name]
    data, size = picked.tobytes(), layout.itemsize
    return [data[start : start + size] for start in range(0, len(data), size)]
