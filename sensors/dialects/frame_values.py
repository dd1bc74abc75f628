"""What a LoRaWAN frame says, in our quantities, before anybody has said which device sent it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Value(NamedTuple):
    """One value of a frame; `time_ms` is the device's own time where the frame carries one."""

    quantity: str
    value: float
    duration_s: float = 0.0
    time_ms: int | None = None


class Refused(NamedTuple):
    """One value that was understood and is not what any of our quantities means."""

    reason: str


Found = list[Value | Refused]
FrameReader = Callable[[bytes, int, float], Found]  # data, port, interval in s; DecodeError when nothing can be read
