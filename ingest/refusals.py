"""What was refused: dead letters with their reasons, within bounds that no sender can break.

A refused message is kept as it came, with the same promise as a reading. Whoever sends too much is kept in full a few
times a minute, and then only counted: one letter a minute says how many messages and bytes there were. What was kept
and never acknowledged, because the connection or the process ended, comes again, and is not kept twice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ingest.log import Message

REASONS_KEPT = 50  # kinds of reason that are counted each
LETTERS_A_MINUTE = 5  # of an identity above its rate that are kept in full
IDENTITIES = 10_000  # that are counted each; those beyond share one count
COMING_AGAIN_S = 60.0  # a broker delivers again at once; later, the same bytes are a new message
COMING_AGAIN = 40_000  # letters; twice what may be un-acknowledged
OTHERS = "others"
_QUOTED = re.compile(r"'(?!noctule site add')[^']*'")  # what a device said; the one advice in quotes is ours
_SEVERAL = re.compile(r"'…'(?:, '…')+")


@dataclass
class _Count:
    began_s: float
    topic: str
    messages: int = 0
    size: int = 0


@dataclass
class Tally:
    """Counts what is too much to be kept, by identity.

    kept : messages of an identity that are kept in full in a period
    period_s : seconds of the monotonic clock
    """

    kept: int
    period_s: float
    _open: dict[str, _Count] = field(default_factory=dict)

    def keep(self, identity: str, topic: str, size: int, now_s: float, messages: int = 1) -> int:
        """Count messages of `size` bytes in all; how many of them are among the first, to be kept in full."""
        count = self._open.get(identity)
        if count is None:
            if len(self._open) >= IDENTITIES:
                identity = OTHERS
            count = self._open.setdefault(identity, _Count(now_s, topic))
        kept = min(messages, max(0, self.kept - count.messages))
        count.messages += messages
        count.size += size
        return kept

    def due(self, now_s: float, *, all_of_them: bool = False) -> list[tuple[str, str, int, int]]:
        """Identity, topic, messages beyond the kept ones and bytes of all, for each period that is over."""
        over = [name for name, count in self._open.items() if all_of_them or now_s - count.began_s >= self.period_s]
        counts = [(name, self._open.pop(name)) for name in over]
        return [
            (name, count.topic, count.messages - self.kept, count.size)
            for name, count in counts
            if count.messages > self.kept
        ]


class Refusals:
    """Counts what was refused, by kind, and knows which letters are only coming again."""

    def __init__(self) -> None:
        self.refused = 0
        self.reasons: Counter[str] = Counter()
        self._again: Counter[int] = Counter()
        self._again_until_s: float | None = None

    def count(self, reasons: list[str], times: int = 1) -> None:
        """Count each reason by its kind: without what was quoted, or a device could fill our memory with kinds."""
        self.refused += len(reasons) * times
        for reason in reasons:
            kind = kind_of(reason)
            if kind in self.reasons or len(self.reasons) < REASONS_KEPT:
                self.reasons[kind] += times

    def letter(self, topic: str, payload: bytes, received_ms: int, reasons: list[str], now_s: float) -> Message | None:
        """The dead letter of a message, counted; None when it was kept before and is only delivered again."""
        letter = Message(topic, payload, received_ms, "; ".join(reasons[:20]))
        if self._again:
            if self._again_until_s is not None and now_s > self._again_until_s:
                self._again.clear()
            elif self._again[key := _key(letter)] > 0:
                self._again[key] -= 1
                return None
        self.count(reasons)
        return letter

    def expect(self, letters: Iterable[Message]) -> None:
        """These were kept, and may not have been acknowledged."""
        for letter in letters:
            if len(self._again) < COMING_AGAIN:
                self._again[_key(letter)] += 1

    def connected(self, now_s: float) -> None:
        """From now on the broker delivers again what it has no acknowledgement for."""
        self._again_until_s = now_s + COMING_AGAIN_S


def kind_of(reason: str) -> str:
    """A reason without what was quoted and without numbers.

    >>> kind_of("record 3 names 'lx'; expected one of 'dB', 'W', 'count'")
    "record # names '…'; expected one of '…', …"
    """
    return re.sub(r"\d+", "#", _SEVERAL.sub("'…', …", _QUOTED.sub("'…'", reason)))


def _key(letter: Message) -> int:
    return hash((letter.topic, letter.payload, letter.reason))
