"""How many answers are taken in a while: a bucket for each address and one for everybody, on the monotonic clock.

No address is written or kept: a bucket is known by a hash with a key that this program makes anew and never tells, and
forgotten once it is full again. Of an IPv6 address the network counts, since a house has a billion of them.

The buckets lie in memory that forked web workers share (`workers.py`), so that several of them allow no more than one.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import mmap
import secrets
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np

MOST_BUCKETS = 20_000  # beyond it, strangers share one
_TRIES = 24  # places in which a bucket may lie
_BUCKET = np.dtype([("name", "u8"), ("tokens", "f8"), ("at", "f8")])
_EVERYBODY, _STRANGERS = 0, 1  # the first two places; the others are of single addresses


class Allowance:
    """Token buckets.

    each_per_hour, each_burst : of one address, in the long run and at once; all_per_minute : of everybody together
    """

    def __init__(self, each_per_hour: float, each_burst: float, all_per_minute: float) -> None:
        self._per_s, self._burst = each_per_hour / 3600, max(each_burst, 1.0)
        self._all_per_s, self._all_burst = all_per_minute / 60, max(all_per_minute, 1.0)
        self._places = MOST_BUCKETS
        memory = mmap.mmap(-1, (self._places + 2) * _BUCKET.itemsize)  # shared with whoever is forked from us
        self._buckets = np.frombuffer(memory, _BUCKET)
        self._buckets["tokens"][:2] = self._all_burst, self._burst
        self._key = secrets.token_bytes(16)
        _between()  # made before anybody is forked

    def admit(self, address: str, now_s: float) -> bool:
        """Whether one more from an address is within both rates; if so it is counted."""
        name = self._name(address)
        with _held():
            place = self._place(name, now_s)
            mine = self._filled(place, self._per_s, self._burst, now_s)
            everybody = self._filled(_EVERYBODY, self._all_per_s, self._all_burst, now_s)
            admitted = mine >= 1 and everybody >= 1
            self._buckets[place] = (self._buckets["name"][place], mine - admitted, now_s)
            self._buckets[_EVERYBODY] = (0, everybody - admitted, now_s)
        return admitted

    def __len__(self) -> int:
        """Addresses that have a bucket."""
        return int(np.count_nonzero(self._buckets["name"]))

    def _name(self, address: str) -> int:
        digest = hashlib.blake2b(network_of(address).encode(), key=self._key, digest_size=8).digest()
        return int.from_bytes(digest, "little") or 1  # 0 is nobody

    def _place(self, name: int, now_s: float) -> int:
        """Where an address has its bucket: its own, else one that is free or full again, else that of strangers."""
        free = _STRANGERS
        for step in range(_TRIES):
            place = 2 + (name + step) % self._places
            held = int(self._buckets["name"][place])
            if held == name:
                return place
            unused = held == 0 or self._filled(place, self._per_s, self._burst, now_s) >= self._burst
            if free == _STRANGERS and unused:
                free = place
        if free != _STRANGERS:
            self._buckets[free] = (name, self._burst, now_s)
        return free

    def _filled(self, place: int, per_s: float, most: float, now_s: float) -> float:
        tokens, at = float(self._buckets["tokens"][place]), float(self._buckets["at"][place])
        return min(most, tokens + max(now_s - at, 0.0) * per_s)


_threads = threading.Lock()  # a record lock is of a whole process, so threads need one of their own


@contextmanager
def _held() -> Iterator[None]:
    """One at a time, of all threads and of all forked workers."""
    with _threads:
        fcntl.lockf(_between(), fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(_between(), fcntl.LOCK_UN)


@lru_cache(maxsize=1)
def _between() -> int:
    """A file whose lock the system lets go of when its holder is killed; one a process, for all its allowances."""
    descriptor, file = tempfile.mkstemp(prefix="noctule-allowance-")
    Path(file).unlink()
    return descriptor


def network_of(address: str) -> str:
    """The address, or of IPv6 its network of 64 bits; a text that is no address as it is, cut."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if parsed.version == 6:
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
