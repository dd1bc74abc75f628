"""Which readings came lately, so that a second delivery is stored once.

A broker delivers again what it has no acknowledgement for, sometimes without the DUP mark (iotcore), and some devices
send twice by themselves; so identity is the reading's own key, never the broker's packet. The memory is bounded: what
comes back after it has been forgotten is still made one again when a night is read.

Devices count upwards, so nearly every reading is newer than all that its site ever sent, which a comparison of whole
columns finds out; keys are made and looked up only for sites that sent anything else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sensors.reading import NO_SEQ, Records

REMEMBERED = 200_000  # readings a generation; ten times what may be in flight (receive maximum 20,000)
_SITES = 1 << 22  # sites are numbered from 1; whoever has numbers beyond is looked up by key

_NUMBERED = np.dtype([("site", "u4"), ("boot", "u4"), ("seq", "u4"), ("part", "u2")])
_PLAIN = np.dtype([("site", "u4"), ("quantity", "u1"), ("time", "i8"), ("duration_s", "f4")])

_Bools = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.uint64]


class Seen:
    """The keys of the last readings, in two generations."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._young, self._old = _Generation(), _Generation()
        self._newest_numbered, self._newest_plain = _Newest(), _Newest()

    def __len__(self) -> int:
        return self._young.size + self._old.size

    def new(self, records: Records) -> _Bools:
        """Which records (one bool each) have not come before; remembers them all."""
        fresh = np.ones(len(records), bool)
        doubtful = self._doubtful(records)
        if np.count_nonzero(doubtful):
            fresh[doubtful] = self._looked_up(records[doubtful])
            records = records[fresh]
        self._young.add(records)
        if self._young.size > self._remembered:
            self._old, self._young = self._young, _Generation()
        return fresh

    def _doubtful(self, records: Records) -> _Bools:
        """Which records are of a site that sent something not newer than all it had sent."""
        site, seq, part = records["site"].astype(np.int64), records["seq"], records["part"]
        if len(site) and int(site.max()) >= _SITES:
            return np.ones(len(records), bool)
        # Newer is: of a later start or with a later number. Plus one, since nothing is newer than zero.
        count = (records["boot"].astype(np.uint64) << np.uint64(32)) + seq + np.uint64(1)
        plain = seq == NO_SEQ
        if not np.count_nonzero(plain):
            return self._newest_numbered.behind(site, count, part)
        moment = (records["time"].astype(np.int64) + (1 << 62)).astype(np.uint64)
        doubtful = np.empty(len(records), bool)
        doubtful[~plain] = self._newest_numbered.behind(site[~plain], count[~plain], part[~plain])
        doubtful[plain] = self._newest_plain.behind(site[plain], moment[plain], np.zeros_like(part[plain]))
        return doubtful

    def _looked_up(self, records: Records) -> _Bools:
        """Which records have a key that is neither remembered nor another record's before it."""
        young, old = self._young.keys(), self._old.keys()
        here: set[bytes] = set()
        fresh = np.zeros(len(records), bool)
        for index, key in enumerate(_keys(records)):
            if key not in young and key not in old and key not in here:
                fresh[index] = True
                here.add(key)
        return fresh


@dataclass
class _Generation:
    """Readings that came after another; their keys are made when somebody asks."""

    size: int = 0
    _waiting: list[Records] = field(default_factory=list)
    _keys: set[bytes] = field(default_factory=set)

    def add(self, records: Records) -> None:
        """Remember records that are all new."""
        if len(records):
            self._waiting.append(records)
            self.size += len(records)

    def keys(self) -> set[bytes]:
        """The keys of all of them."""
        for records in self._waiting:
            self._keys.update(_keys(records))
        self._waiting.clear()
        return self._keys


class _Newest:
    """What each site's newest reading is ordered by."""

    def __init__(self) -> None:
        self._newest = np.zeros(1024, np.uint64)
        self._place = np.zeros(1024, np.int64)  # of a site among those asked about; means nothing afterwards

    def behind(self, site: npt.NDArray[np.int64], order: _Numbers, part: npt.NDArray[np.uint16]) -> _Bools:
        """Which are of a site that is not ever newer, here or since before; the parts of a message rise."""
        if not len(site):
            return np.zeros(0, bool)
        self._make_room(int(site.max()))
        places = np.arange(len(site))
        self._place[site] = places
        if not np.count_nonzero((self._place[site] != places) | (order <= self._newest[site])):
            self._newest[site] = order  # each site once, as in a small group
            return np.zeros(len(site), bool)
        follows = (site[1:] == site[:-1]) & (order[1:] == order[:-1])
        stutters = follows & (part[1:] <= part[:-1])
        begins = np.append(True, ~follows)
        sites, orders = site[begins], order[begins]
        ranked = np.argsort(sites, kind="stable")
        by_site, then = sites[ranked], orders[ranked]
        back = (by_site[1:] == by_site[:-1]) & (then[1:] <= then[:-1])
        late = orders <= self._newest[sites]
        np.maximum.at(self._newest, sites, orders)
        if not (stutters.any() or back.any() or late.any()):
            return np.zeros(len(site), bool)
        return np.isin(site, np.concatenate([site[1:][stutters], by_site[1:][back], sites[late]]))

    def _make_room(self, highest: int) -> None:
        if highest >= len(self._newest):
            grown = np.zeros(max(2 * len(self._newest), highest + 1), np.uint64)
            grown[: len(self._newest)] = self._newest
            self._newest = grown
            self._place = np.zeros(len(grown), np.int64)


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
