"""The one clock: what time it is in the city.

A live city runs on the system clock. A demo or a replay runs faster than the world: its supervisor writes
`store/clock.json` with the wall time and the city time of one moment and the speed between them, and every process
reads its time from there. Back-off, time-outs, rate limits and latency figures never use this clock but the monotonic
one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from sensors.errors import StoreError

_RECHECK_S = 0.25  # how often the file is looked at again; a supervisor changes it a few times a day


class _ClockFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    wall: float  # seconds since 1970, system clock, when the file was written
    city: float  # seconds since 1970, city clock, at that moment
    speed: float  # city seconds per second


@dataclass
class Clock:
    """Tells city time; follows `store/clock.json` while it changes."""

    path: Path
    _file: _ClockFile | None = field(default=None, init=False)
    _stamp: tuple[int, int] | None = field(default=None, init=False)
    _checked: float = field(default=-1e9, init=False)

    def now(self) -> np.datetime64:
        """City time, UTC, as datetime64[ms]."""
        return np.datetime64(self.now_ms(), "ms")

    def now_ms(self) -> int:
        """City time in milliseconds since 1970, UTC."""
        self._look()
        if self._file is None:
            return int(time.time() * 1000)
        return int((self._file.city + (time.time() - self._file.wall) * self._file.speed) * 1000)

    @property
    def speed(self) -> float:
        """City seconds per second of the world; 1 on the system clock."""
        self._look()
        return 1.0 if self._file is None else self._file.speed

    @property
    def simulated(self) -> bool:
        """Whether a supervisor drives this clock."""
        self._look()
        return self._file is not None

    def _look(self) -> None:
        if time.monotonic() - self._checked < _RECHECK_S:
            return
        self._checked = time.monotonic()
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                self._file = msgspec.json.decode(self.path.read_bytes(), type=_ClockFile)
                self._stamp = stamp
        except FileNotFoundError:
            self._file = self._stamp = None
        except msgspec.DecodeError as error:
            message = f"{self.path.name} is not a clock file ({error}); stop the demo or replay and remove it"
            raise StoreError(message) from error


def city_clock(city_path: Path | str) -> Clock:
    """The clock of a city folder."""
    return Clock(Path(city_path) / "store" / "clock.json")


def set_clock(city_path: Path | str, city_time: np.datetime64, speed: float) -> None:
    """Make it `city_time` (UTC) in the city from now on, `speed` times as fast; for the supervisor only."""
    path = Path(city_path) / "store" / "clock.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    seconds = city_time.astype("datetime64[ms]").astype(np.int64) / 1000
    content = msgspec.json.encode(_ClockFile(wall=time.time(), city=float(seconds), speed=float(speed)))
    beside = path.with_suffix(".json.new")
    beside.write_bytes(content)
    beside.replace(path)


def clear_clock(city_path: Path | str) -> None:
    """Give the city back to the system clock; for the supervisor only."""
    (Path(city_path) / "store" / "clock.json").unlink(missing_ok=True)
