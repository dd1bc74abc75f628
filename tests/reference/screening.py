"""The rules of screening in plain Python, a reading at a time, from sensing.md D and the sentences of `ingest.series`.

Slow and easy to read; `ingest.series` must say the same, whatever the chunks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

HOUR = 3_600_000
SOUND, POWER, ENERGY = 5, 4, 17
COUNTS = (7, 14, 15)
REPEAT, RATE, ATTENUATED, ZERO_RUN = 4, 32, 128, 1024
TOLERANCE = {SOUND: 50, POWER: 10, 7: 0, 14: 0, 15: 0}
ABOVE = {SOUND: -math.inf, POWER: 1000, 7: 3000, 14: 3000, 15: 3000}
LONG = {SOUND: 600_000, POWER: 6 * HOUR, 7: 0, 14: 0, 15: 0}


@dataclass
class PlainSeries:
    """One site's one quantity."""

    quantity: int
    last: tuple[int, int] | None = None  # time, value in thousandths
    run: list[int] = field(default_factory=list)  # times of equal values
    steep: int = 0
    hours: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # hour -> (value, duration)
    empty_ms: int = 0
    level: dict[int, tuple[float, int]] = field(default_factory=dict)  # hour of the week -> persons/h, weeks
    open_hour: int | None = None

    def flags(self, time: int, value: int, duration: int) -> int:
        if self.last is not None and time <= self.last[0]:
            return 0
        found = self._repeat(time, value) | self._sudden(time, value)
        hour = (time - 1) // HOUR
        if self.open_hour is not None and hour > self.open_hour:
            self._learn(self.open_hour)
        self.open_hour = hour
        self.hours.setdefault(hour, []).append((value, duration))
        self.hours = {number: held for number, held in self.hours.items() if number >= hour - 1}
        if self.quantity == SOUND:
            found |= self._even(hour, duration)
        if self.quantity in COUNTS:
            found |= self._nobody(hour, value, duration)
        self.last = time, value
        return found

    def _repeat(self, time: int, value: int) -> int:
        if self.quantity not in TOLERANCE:
            return 0
        near = self.last is not None and abs(value - self.last[1]) <= TOLERANCE[self.quantity]
        self.run = [*self.run, time] if near and value > ABOVE[self.quantity] else [time]
        long = len(self.run) >= 6 and time - self.run[0] >= LONG[self.quantity]
        return REPEAT if long else 0

    def _sudden(self, time: int, value: int) -> int:
        if self.last is None:
            return 0
        passed, change = time - self.last[0], value - self.last[1]
        if self.quantity == SOUND:
            self.steep = self.steep + 1 if abs(change) / 1000 > 20 * max(passed / 60_000, 1) else 0
            return RATE if self.steep >= 3 else 0
        if self.quantity in COUNTS:
            return RATE if passed <= 22 * 60_000 and value > 8 * max(self.last[1], 10_000) else 0
        if self.quantity == ENERGY:
            back = change < 0 and value > 0.05 * self.last[1]
            return RATE if back or change / 1000 > 5000 * passed / HOUR else 0
        return 0

    def _even(self, hour: int, duration: int) -> int:
        whole = self.hours.get(hour - 1, [])
        values = [value // 10 for value, _ in [*whole, *self.hours[hour]]]
        mean = sum(values) / len(values)
        sd = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
        return ATTENUATED if len(whole) >= 10 and sd < (50 if duration <= 60_000 else 15) - 1e-9 else 0

    def _nobody(self, hour: int, value: int, duration: int) -> int:
        level, weeks = self.level.get(hour % 168, (0.0, 0))
        busy = weeks >= 2 and level >= 20
        if value != 0:
            self.empty_ms = 0
            return 0
        self.empty_ms += duration * busy
        return ZERO_RUN if busy and self.empty_ms >= 3 * HOUR else 0

    def _learn(self, hour: int) -> None:
        held = self.hours[hour]
        told = sum(duration for _, duration in held)
        if told:
            level, weeks = self.level.get(hour % 168, (0.0, 0))
            weeks = min(weeks + 1, 8)
            rate = sum(value // 1000 for value, _ in held) * HOUR / told
            self.level[hour % 168] = level + (rate - level) / weeks, weeks


@dataclass
class PlainScreen:
    """All series of a screen; only readings that physics does not refuse."""

    series: dict[tuple[int, int], PlainSeries] = field(default_factory=dict)

    def flags(self, site: int, quantity: int, time: int, value: float, duration_s: float) -> int:
        one = self.series.setdefault((site, quantity), PlainSeries(quantity))
        return one.flags(time, round(value * 1000), int(duration_s * 1000))
