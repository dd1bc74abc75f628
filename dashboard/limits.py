"""How much one visitor may ask: token buckets, on the monotonic clock, in bounded memory.

Who is signed in is counted by the session, others by their address, of which ten times as much is taken: a network may
show a whole office, or everybody on one carrier, as one. Web workers share the buckets, not the count of streams.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections import Counter
from dataclasses import dataclass

from dashboard.allowance import Allowance, network_of
from dashboard.visitors import Visitor

SHARED = 10.0  # times as much for an address as for a session
MOST_STREAMS, STREAMS_EACH, STREAMS_OF_ADDRESS = 500, 4, 120
_UNBOUNDED = 1e12  # these buckets hold back each visitor, not everybody together


@dataclass(frozen=True)
class Rate:
    """How many a second in the long run, and how many at once."""

    per_s: float
    burst: float


# A screen is one block of tiles a frame. Playing at x8 asks for 8 a second, on two maps 16, and fetches a dozen frames
# ahead when it begins; a pan asks for one or two.
RATES = {
    "tiles": Rate(20.0, 120.0),
    "callbacks": Rate(10.0, 60.0),
    "jobs": Rate(5 / 60, 5.0),
    "exports": Rate(10 / 3600, 10.0),
    # Of an address as of a session; a working group that signs in together in one office is ten people or so.
    "sign-in": Rate(5 / 60, 10.0),
    "sign-in back": Rate(5 / 60, 10.0),  # from the provider: each asks it, and leaves a line in the trail
    "name": Rate(30 / 60, 30.0),  # sign-ins under one name from anywhere: slow, without locking its owner out
}
_SIGNING_IN = ("sign-in", "sign-in back", "name")  # a session of one's own makes no second try of them


class Limits:
    """What each visitor has left."""

    def __init__(self) -> None:
        self._of_sessions = {kind: _allowance(rate, 1.0) for kind, rate in RATES.items() if kind not in _SIGNING_IN}
        self._of_addresses = {
            kind: _allowance(rate, 1.0 if kind in _SIGNING_IN else SHARED) for kind, rate in RATES.items()
        }
        self._streams: Counter[str] = Counter()
        self._key = secrets.token_bytes(16)

    def wait_s(self, kind: str, visitor: Visitor) -> float:
        """0 where one more is within the limit, and counts; else how many seconds to wait.

        kind : one of RATES
        """
        of_session = bool(visitor.key) and kind not in _SIGNING_IN
        held, who = (self._of_sessions, visitor.key) if of_session else (self._of_addresses, visitor.address)
        return 0.0 if held[kind].admit(who, time.monotonic()) else math.ceil(1 / RATES[kind].per_s)

    def wait_for_name_s(self, name: str) -> float:
        """The same of sign-ins under a name."""
        return 0.0 if self._of_addresses["name"].admit(f"name {name}", time.monotonic()) else 2.0

    def source(self, visitor: Visitor) -> str:
        """Four letters that tell sources apart while this process lives, and lead back to no address."""
        return hashlib.blake2b(network_of(visitor.address).encode(), key=self._key, digest_size=2).hexdigest()

    def stream_begins(self, visitor: Visitor) -> bool:
        """Whether a visitor may listen to one more stream; if so it counts until `stream_ends`."""
        who, most = (visitor.key, STREAMS_EACH) if visitor.key else (visitor.address, STREAMS_OF_ADDRESS)
        if self._streams.total() >= MOST_STREAMS or self._streams[who] >= most:
            return False
        self._streams[who] += 1
        return True

    def stream_ends(self, visitor: Visitor) -> None:
        """A stream that had begun has ended."""
        who = visitor.key or visitor.address
        self._streams[who] -= 1
        if self._streams[who] <= 0:
            del self._streams[who]


def _allowance(rate: Rate, times: float) -> Allowance:
    return Allowance(rate.per_s * times * 3600, rate.burst * times, _UNBOUNDED)
