"""How much each identity may send: a token bucket for every one, on the monotonic clock.

An identity is the device that the topic names. What it sends above its rate is refused and acknowledged, so that it
fills neither the disk nor the broker's window for the others (sensing.md F3). Two things are no flood and are let
through: a clock that runs faster than the world (a demo, a replay) fills the buckets as much faster, and what the
broker kept for us while we were away is what each identity may have sent in that time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ingest.distinct import distinct

_Bools = npt.NDArray[np.bool_]
_Indexes = npt.NDArray[np.int64]


class Rates:
    """One bucket for each identity, told apart by number.

    per_second : messages a second that an identity may send in the long run
    burst : messages that it may send at once after it was silent
    now_s : seconds of the monotonic clock
    """

    def __init__(self, per_second: float, burst: float, now_s: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._credit = 0.0  # beyond the burst, for what queued up while we were away
        self._tokens = np.zeros(0)
        self._filled_at = np.zeros(0)
        self._began_s = now_s
        self._numbers: dict[str, int] = {}

    def number(self, identity: str) -> int:
        """The number of an identity's bucket, which is full at first."""
        number = self._numbers.setdefault(identity, len(self._numbers))
        if number >= len(self._tokens):
            room = max(64, 2 * len(self._tokens))
            full = np.full(room - len(self._tokens), np.inf)  # cut to its size when it is first used
            self._tokens = np.concatenate([self._tokens, full])
            self._filled_at = np.concatenate([self._filled_at, np.full(len(full), self._began_s)])
        return number

    def known(self, identity: str) -> bool:
        """Whether an identity has a bucket."""
        return identity in self._numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def away(self, seconds: float) -> None:
        """Nothing was taken in for so long: each identity may bring what it was allowed to send meanwhile."""
        self._credit = self._per_second * seconds
        self._tokens += self._credit

    def admit(self, numbers: _Indexes, now_s: float, speed: float = 1.0) -> _Bools:
        """Which of some messages (one bool each, in order of arrival) are within the rate of their identity.

        numbers : (n_messages,) array
            The bucket of each message's identity.
        speed : float
            Seconds of city time in a second; slower than the world counts as 1.
        """
        speed = max(speed, 1.0)
        used, which = distinct(numbers)
        wanted = np.bincount(which)
        earned = (now_s - self._filled_at[used]) * self._per_second * speed
        room = self._burst * speed + self._credit
        tokens = np.minimum(self._tokens[used] + np.maximum(earned, 0.0), room)
        self._filled_at[used] = now_s
        granted = np.minimum(wanted, np.floor(tokens)).astype(np.int64)
        self._tokens[used] = tokens - granted
        admitted = np.ones(len(numbers), bool)
        for index in (granted < wanted).nonzero()[0]:
            admitted[(which == index).nonzero()[0][granted[index] :]] = False
        return admitted
