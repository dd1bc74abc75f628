"""Times as strangers write them: ISO 8601 with a zone, alone or as the two ends of an interval.

A time without a zone is refused, never guessed: a clock that is an hour off looks like any other.
"""

from __future__ import annotations

from datetime import datetime

from sensors.dialects.parsing import shown
from sensors.errors import DecodeError

MAX_DURATION_MS = 7 * 86_400_000  # as on our own wire: a longer interval is no reading


def instant(text: object) -> int:
    """A time with its zone as ms since 1970, UTC; DecodeError when it is none.

    >>> instant("2021-01-11T15:51:02+05:30") == instant("2021-01-11T10:21:02Z")
    True
    """
    if not isinstance(text, str):
        raise DecodeError(f"time {shown(text)} is no text like '2026-11-20T22:00:00Z'")
    try:
        moment = datetime.fromisoformat(text.strip().upper())
    except ValueError:
        raise DecodeError(f"time {shown(text)} cannot be read; write it like '2026-11-20T22:00:00Z'") from None
    if moment.tzinfo is None:
        raise DecodeError(f"time {shown(text)} has no zone; end it with Z or an offset like +02:00")
    return round(moment.timestamp() * 1000)


def interval(text: object) -> tuple[int, float]:
    """End (ms since 1970, UTC) and length (s) of 'start/end', or of a single time, which has no length.

    >>> interval("2018-08-07T11:10:00Z/2018-08-07T11:15:00Z")
    (1533640500000, 300.0)
    """
    if not isinstance(text, str) or "/" not in text:
        return instant(text), 0.0
    start, end = text.split("/", 1)
    return between(instant(start), instant(end))


def between(start_ms: int, end_ms: int) -> tuple[int, float]:
    """End (ms) and length (s) of the interval between two times; DecodeError when it is none that a reading has."""
    if end_ms < start_ms:
        raise DecodeError("the interval ends before it begins")
    if end_ms - start_ms > MAX_DURATION_MS:
        raise DecodeError("the interval is longer than seven days")
    return end_ms, (end_ms - start_ms) / 1000
