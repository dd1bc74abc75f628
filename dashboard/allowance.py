"""How many answers are taken in a while: a bucket for each address and one for everybody, on the monotonic clock.

No address is written or kept: a bucket is known by a hash with a key that this process makes anew and never tells, and
forgotten once it is full again. Of an IPv6 address the network counts, since a house has a billion of them.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import secrets

MOST_BUCKETS = 20_000  # beyond it, strangers share one


class Allowance:
    """Token buckets.

    each_per_hour, each_burst : of one address, in the long run and at once; all_per_minute : of everybody together
    """

    def __init__(self, each_per_hour: float, each_burst: float, all_per_minute: float) -> None:
        self._per_s, self._burst = each_per_hour / 3600, max(each_burst, 1.0)
        self._all_per_s, self._all_burst = all_per_minute / 60, max(all_per_minute, 1.0)
        self._all = (self._all_burst, -math.inf)
        self._buckets: dict[bytes, tuple[float, float]] = {}
        self._key = secrets.token_bytes(16)

    def admit(self, address: str, now_s: float) -> bool:
        """Whether one more from an address is within both rates; if so it is counted."""
        bucket = self._bucket(address, now_s)
        mine = _filled(self._buckets.get(bucket, (self._burst, now_s)), self._per_s, self._burst, now_s)
        everybody = _filled(self._all, self._all_per_s, self._all_burst, now_s)
        admitted = mine >= 1 and everybody >= 1
        self._buckets[bucket] = (mine - admitted, now_s)
        self._all = (everybody - admitted, now_s)
        return admitted

    def __len__(self) -> int:
        return len(self._buckets)

    def _bucket(self, address: str, now_s: float) -> bytes:
        name = hashlib.blake2b(_network(address).encode(), key=self._key, digest_size=8).digest()
        if name in self._buckets or len(self._buckets) < MOST_BUCKETS:
            return name
        self._buckets = {
            key: bucket
            for key, bucket in self._buckets.items()
            if _filled(bucket, self._per_s, self._burst, now_s) < self._burst
        }
        return name if len(self._buckets) < MOST_BUCKETS else b"strangers"


def _filled(bucket: tuple[float, float], per_s: float, most: float, now_s: float) -> float:
    tokens, at = bucket
    return most if math.isinf(at) else min(most, tokens + max(now_s - at, 0.0) * per_s)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if parsed.version == 6:
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
