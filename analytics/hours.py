"""Which hour of the week a moment is, in the city's time, when a night belongs to the evening on which it began.

An hour of the week is weekday * 24 + hours since local noon, 0 to 167; Saturday 02:00 is hour 14 of Friday. The hour
that the clocks skip does not occur, the doubled one falls twice into the same bin.
"""

from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from sensors.night import local_offset

HOURS = 168
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0


def minute_of_week(times: NDArray[np.datetime64], zone: str) -> NDArray[np.float64]:
    """Minutes since the noon of Monday, local, of moments in UTC; shape of `times`, 0 to 10080."""
    times = times.astype("datetime64[ms]")
    since_noon = (times + local_offset(times, _zone(zone))).astype(np.int64) / 60_000 - 720.0
    day, minute = np.divmod(since_noon, 1440.0)
    return (day + _EPOCH_WEEKDAY) % 7 * 1440.0 + minute


def hour_of_week(times: NDArray[np.datetime64], zone: str) -> NDArray[np.int64]:
    """Hour of the week of moments in UTC, 0 to 167."""
    return (minute_of_week(times, zone) // 60).astype(np.int64)


def evening_of(times: NDArray[np.datetime64], zone: str) -> NDArray[np.int64]:
    """The night of moments in UTC, named by the local date on which it begins: days since 1970."""
    times = times.astype("datetime64[ms]")
    since_noon = (times + local_offset(times, _zone(zone))).astype(np.int64) - 43_200_000
    return np.asarray(since_noon // 86_400_000, np.int64)


def hour_blend(time: np.datetime64, zone: str) -> tuple[int, int, float]:
    """The two hours of the week whose middles surround a moment, and the share of the second.

    An hour's value stands at its half hour; between two nights (at noon) the last value is held.
    """
    first, second, share = hour_blends(np.array([time]), zone)
    return int(first[0]), int(second[0]), float(share[0])


def hour_blends(
    times: NDArray[np.datetime64], zone: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Do what `hour_blend` does for many moments at once."""
    day, within = np.divmod(minute_of_week(times, zone), 1440.0)
    place = np.clip(within / 60.0 - 0.5, 0.0, 23.0)
    hour = np.minimum(place.astype(np.int64), 22)
    first = day.astype(np.int64) * 24 + hour
    return first, first + 1, place - hour


def minutes_after_noon(time: np.datetime64, zone: str) -> float:
    """Minutes since the local noon at which the night began, 0 to 1440."""
    return float(minute_of_week(np.array([time]), zone)[0]) % 1440.0


@lru_cache(maxsize=32)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
