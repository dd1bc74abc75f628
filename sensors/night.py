"""The night, the unit of everything: named by the local date on which it begins, local noon to noon.

Nights of a change to or from summer time have 23 or 25 hours, and so one hour of steps fewer or more. Whether it is
*dark* is decided by the sun's elevation (below -6 degrees, end of civil twilight), which also answers polar day and
polar night. Solar position: NREL SPA as implemented by pvlib (Reda and Andreas 2004, Solar Energy 76).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.datetime64]

_UTC = ZoneInfo("UTC")
_SUNSET_DEG = -0.833  # upper limb on the horizon with mean refraction
_CIVIL_DEG = -6.0
_YEARS = range(1970, 2200)  # what times in ms and in pandas' ns hold, with eight weeks to spare on either side
_END_NIGHT = (23, 7)  # Directive 2002/49/EC Annex I: night is 23:00-07:00 local


@dataclass(frozen=True)
class Night:
    """One night of a city: `date` is the local date of its dusk."""

    date: date
    zone: ZoneInfo

    @classmethod
    def named(cls, text: str, zone: ZoneInfo) -> Night:
        """The night with this name, 'YYYY-MM-DD'; ValueError for what is no night of our time."""
        day = date.fromisoformat(text)
        if day.year not in _YEARS:
            raise ValueError(f"'{text}' is outside the years {_YEARS[0]} to {_YEARS[-1]}")
        return cls(day, zone)

    @property
    def name(self) -> str:
        """'YYYY-MM-DD'."""
        return self.date.isoformat()

    @property
    def start(self) -> np.datetime64:
        """Local noon of the date, UTC."""
        return self.at(12, 0)

    @property
    def end(self) -> np.datetime64:
        """Local noon of the next day, UTC."""
        return self.next().start

    @property
    def weekday(self) -> int:
        """Monday 0 to Sunday 6, of the evening on which the night begins."""
        return self.date.weekday()

    def next(self) -> Night:
        """The night after this one."""
        return Night(self.date + timedelta(days=1), self.zone)

    def previous(self) -> Night:
        """The night before this one."""
        return Night(self.date - timedelta(days=1), self.zone)

    def at(self, hour: int, minute: int = 0) -> np.datetime64:
        """A local time of the calendar day on which the night begins (hour >= 24 is the next day), UTC.

        A time that does not exist (the hour skipped in spring) is read with the offset before the change.
        """
        day = self.date + timedelta(days=hour // 24)
        local = datetime(day.year, day.month, day.day, hour % 24, minute, tzinfo=self.zone)
        return _ms(local)

    def time_of(self, clock: str) -> np.datetime64:
        """'HH:MM' local as UTC; before noon it belongs to the next calendar day."""
        hour, minute = (int(part) for part in clock.split(":"))
        return self.at(hour + 24 if hour < 12 else hour, minute)

    def steps(self, from_: str = "20:00", to: str = "06:00", minutes: int = 15) -> Times:
        """Starts of the night's steps from one local time to another, UTC.

        40 of 15 minutes between 20:00 and 06:00; 36 or 44 when the clocks change in between.
        """
        return np.arange(self.time_of(from_), self.time_of(to), np.timedelta64(minutes, "m")).astype("datetime64[ms]")


def night_of(time: np.datetime64, zone: ZoneInfo) -> Night:
    """The night to which a moment (UTC) belongs."""
    local = _local(time, zone)
    day = local.date() if local.hour >= 12 else local.date() - timedelta(days=1)
    return Night(day, zone)


def nights_of(times: Times, zone: ZoneInfo) -> npt.NDArray[np.datetime64]:
    """Local date of the night of each moment (UTC), as datetime64[D], shape of `times`."""
    if times.size == 0:
        return np.zeros(times.shape, "datetime64[D]")
    local = times.astype("datetime64[ms]") + local_offset(times, zone)
    return (local - np.timedelta64(12, "h")).astype("datetime64[D]")


def local_offset(times: Times, zone: ZoneInfo) -> npt.NDArray[np.timedelta64]:
    """What to add to UTC to get local wall time, as timedelta64[ms], shape of `times`.

    Offsets change at whole quarter hours UTC, so one look-up a quarter hour is enough.
    """
    quarters = times.astype("datetime64[ms]").astype(np.int64) // 900_000
    distinct, back = np.unique(quarters, return_inverse=True)
    offsets = np.array([_offset_ms(int(quarter), zone) for quarter in distinct], np.int64)
    return offsets[back].reshape(times.shape).astype("timedelta64[ms]")


@dataclass(frozen=True)
class SunTimes:
    """When the sun sets and rises in a night, UTC; None where it does not oblige."""

    night: str
    sunset: np.datetime64 | None
    civil_dusk: np.datetime64 | None
    civil_dawn: np.datetime64 | None
    sunrise: np.datetime64 | None
    dark_hours: float  # sun below -6 degrees, within the night
    end_night_hours: float  # 23:00-07:00 local: 7, 8 or 9 real hours

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it: RFC 3339 UTC or None."""
        moments = {name: getattr(self, name) for name in ("sunset", "civil_dusk", "civil_dawn", "sunrise")}
        texts = {name: None if moment is None else rfc3339(moment) for name, moment in moments.items()}
        return {
            "night": self.night,
            **texts,
            "dark_hours": round(self.dark_hours, 4),
            "end_night_hours": self.end_night_hours,
        }


def sun_times(latitude: float, longitude: float, night: Night) -> SunTimes:
    """Sunset, civil dusk, civil dawn and sunrise between the night's noons, to about a second.

    Parameters
    ----------
    latitude, longitude : float
        Degrees, WGS 84, north and east positive.
    """
    minutes = np.arange(night.start, night.end + np.timedelta64(1, "m"), np.timedelta64(1, "m"))
    elevation = sun_elevation(minutes, latitude, longitude)
    zero, six = elevation - _SUNSET_DEG, elevation - _CIVIL_DEG
    night_hours = (night.at(24 + _END_NIGHT[1]) - night.at(_END_NIGHT[0])) / np.timedelta64(1, "h")
    return SunTimes(
        night=night.name,
        sunset=_crossing(minutes, zero, falling=True),
        civil_dusk=_crossing(minutes, six, falling=True),
        civil_dawn=_crossing(minutes, six, falling=False),
        sunrise=_crossing(minutes, zero, falling=False),
        dark_hours=_hours_below_zero(six),
        end_night_hours=float(night_hours),
    )


def sun_elevation(times: Times, latitude: float, longitude: float) -> npt.NDArray[np.float64]:
    """Geometric elevation of the sun's centre in degrees, shape of `times` (1-D, UTC)."""
    from pvlib import spa

    seconds = times.astype("datetime64[ms]").astype(np.int64) / 1000
    # What pvlib.solarposition.spa_python asks for without its table of a frame, which takes twice as long as the sun:
    # sea level, 1013.25 mbar, 12 degrees, TT - UT of 67 s, refraction of 0.5667 degrees (none in the true elevation).
    _, _, _, elevation, _, _ = spa.solar_position(seconds, latitude, longitude, 0, 1013.25, 12, 67.0, 0.5667)
    return np.asarray(elevation, np.float64)


def rfc3339(time: np.datetime64) -> str:
    """UTC with milliseconds.

    >>> rfc3339(np.datetime64("2026-11-20T18:00", "ms"))
    '2026-11-20T18:00:00.000Z'
    """
    return f"{np.datetime_as_string(time.astype('datetime64[ms]'), unit='ms')}Z"


def parse_rfc3339(text: str) -> np.datetime64:
    """A moment written with its zone, as UTC datetime64[ms]; ValueError when it has none."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(f"'{text}' has no zone; write 2026-11-20T18:00:00Z")
    return _ms(moment)


def _crossing(minutes: Times, height: npt.NDArray[np.float64], *, falling: bool) -> np.datetime64 | None:
    sign = height if falling else -height
    where = np.flatnonzero((sign[:-1] >= 0) & (sign[1:] < 0))
    if not len(where):
        return None
    index = int(where[0] if falling else where[-1])
    share = height[index] / (height[index] - height[index + 1])
    moment: np.datetime64 = minutes[index].astype("datetime64[ms]") + np.timedelta64(int(share * 60_000), "ms")
    return moment


def _hours_below_zero(height: npt.NDArray[np.float64]) -> float:
    """Trapezoidal share of each minute below zero, summed."""
    a, b = height[:-1], height[1:]
    span = np.where(a == b, 1.0, np.abs(a - b))
    mixed = np.where(a < 0, -a, -b) / span
    share = np.where((a < 0) & (b < 0), 1.0, np.where((a >= 0) & (b >= 0), 0.0, mixed))
    return float(share.sum() / 60)


@lru_cache(maxsize=65_536)
def _offset_ms(quarter: int, zone: ZoneInfo) -> int:
    moment = datetime.fromtimestamp(quarter * 900, _UTC).astimezone(zone)
    offset = moment.utcoffset()
    assert offset is not None
    return int(offset.total_seconds() * 1000)


def _local(time: np.datetime64, zone: ZoneInfo) -> datetime:
    seconds = int(time.astype("datetime64[ms]").astype(np.int64)) / 1000
    return datetime.fromtimestamp(seconds, zone)


def _ms(moment: datetime) -> np.datetime64:
    return np.datetime64(round(moment.timestamp() * 1000), "ms")
