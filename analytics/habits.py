"""Habits of a quantity by hour of the week, learnt from hourly values of many sensors and nights.

Hourly values z (ln persons/h, or dB beyond the sources' model), of sensor i in hour t, are

    z = level of i + shape(hour of week) + deviation of i (hour of week) + what that night differed by

fitted by turns: each part is a mean over its own group, shrunk by the number of nights that would outweigh the prior
(so no history at all gives the documented default habits with a wide error).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.hours import HOURS, hour_of_week
from analytics.likelihood import fit_covariance
from analytics.observations import Said
from analytics.profile import Profile
from analytics.surroundings import ORIGINS, Surroundings

NIGHT_HOURS = slice(8, 18)  # 20:00 to 06:00 in hours since noon: levels are means over these


@dataclass(frozen=True)
class Prior:
    """What is believed of a quantity before any night: sds in its unit.

    shape_nights, deviation_nights : nights that outweigh the prior of a habit, the square of what one night differs by
    over what cities (or places of one city) differ by
    """

    shape: NDArray[np.float64]
    temporal_sd: float
    hour_correlation: float
    city_share: float
    range_m: float
    sd: float  # of the background, which the covariance is in units of
    shape_nights: float
    deviation_nights: float


def by_hour(
    readings: Said, value: NDArray[np.float64], zone: str, *, mean: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Sums (or means weighted by seconds) of values by sensor and whole hour.

    Returns row of `Sites`, hour of the week, hours since 1970 (UTC), the value, and hours that it rests on.
    """
    timed = readings.duration_s > 0
    row, seconds, value = readings.row[timed], readings.duration_s[timed], value[timed]
    middle = readings.time[timed] - (500 * seconds).astype("timedelta64[ms]")
    utc_hour = middle.astype("datetime64[ms]").astype(np.int64) // 3_600_000
    key = row.astype(np.int64) * 10_000_000 + utc_hour  # ten million hours are a thousand years
    cell, place = np.unique(key, return_inverse=True)
    total_seconds = np.bincount(place, seconds, cell.size)
    total = np.bincount(place, value * seconds if mean else value, cell.size).astype(np.float64)
    if mean:
        total /= total_seconds
    utc_hour = cell % 10_000_000
    moments = (utc_hour * 3_600_000 + 1_800_000).astype("datetime64[ms]")
    hour = hour_of_week(moments, zone) if cell.size else np.empty(0, np.int64)
    return cell // 10_000_000, hour, utc_hour, total, total_seconds / 3600.0


@dataclass(frozen=True)
class Habits:
    """Sensors by ascending row of `Sites`: level, deviation by hour of week, nights heard; and what they share."""

    rows: NDArray[np.int64]
    level: NDArray[np.float64]
    shape: NDArray[np.float64]
    deviation: NDArray[np.float64]
    nights: NDArray[np.float64]
    temporal_sd: float
    hour_correlation: float
    city_share: float


def fit_habits(
    row: NDArray[np.int64],
    hour: NDArray[np.int64],
    time: NDArray[np.int64],
    value: NDArray[np.float64],
    variance: NDArray[np.float64],
    n_sites: int,
    prior: Prior,
) -> Habits:
    """Fit level, shape and deviations by turns; (n,) arrays of one value a sensor and hour."""
    known = np.isfinite(value)
    row, hour, time = row[known], hour[known], time[known]
    value, variance = value[known], variance[known]
    rows, place = np.unique(row, return_inverse=True)
    n = rows.size
    if not n:
        empty = np.empty(0)
        return Habits(
            rows, empty, prior.shape, np.empty((0, HOURS)), empty,
            prior.temporal_sd, prior.hour_correlation, prior.city_share,
        )  # fmt: skip
    weight = 1.0 / (prior.temporal_sd**2 + variance)
    weight /= np.mean(weight)
    heard = np.bincount(place, weight, n)
    by_hour = np.bincount(hour, weight, HOURS)
    # a habit of the whole city is as sure as its nights, not as its sensors: neighbours share their nights
    nights_by_hour = np.bincount(np.unique(time * HOURS + hour) % HOURS, minlength=HOURS)
    trust = nights_by_hour / (nights_by_hour + prior.shape_nights)
    shape = prior.shape.copy()
    level = np.zeros(n)
    for _ in range(20):
        level = np.bincount(place, weight * (value - shape[hour]), n) / heard
        mean = np.bincount(hour, weight * (value - level[place]), HOURS) / np.maximum(by_hour, 1e-12)
        shape = np.where(by_hour > 0, trust * mean + (1 - trust) * prior.shape, prior.shape)
    if prior.shape.any():  # levels are means over the mapped hours, so that they compare between cities
        middle = shape.reshape(7, 24)[:, NIGHT_HOURS].mean()
        shape, level = shape - middle, level + middle
    rest = value - level[place] - shape[hour]
    bins = place * HOURS + hour
    count = np.bincount(bins, minlength=n * HOURS)
    deviation = np.bincount(bins, rest, n * HOURS) / (count + prior.deviation_nights)
    rest = rest - deviation[bins]
    nights = np.array([np.unique(time[place == i] // 24).size for i in range(n)], np.float64)
    sd, hourly, shared = _temporal(rest, place, time, variance, prior)
    return Habits(rows, level, shape, deviation.reshape(n, HOURS), nights, sd, hourly, shared)


def _temporal(
    rest: NDArray[np.float64],
    place: NDArray[np.int64],
    time: NDArray[np.int64],
    variance: NDArray[np.float64],
    prior: Prior,
) -> tuple[float, float, float]:
    """Sd of what nights differ by, its correlation an hour later and between sensors, shrunk towards the prior."""
    signal = max(float(np.mean(rest**2) - np.mean(variance)), (0.3 * prior.temporal_sd) ** 2)
    hours = rest.size
    held = 24.0 * 14.0  # hours that outweigh the prior: a fortnight of one sensor
    sd = np.sqrt((hours * signal + held * prior.temporal_sd**2) / (hours + held))
    order = np.lexsort((time, place))
    follows = (np.diff(place[order]) == 0) & (np.diff(time[order]) == 1)
    pairs = float(np.sum(follows))
    lagged = float(np.sum(rest[order][:-1][follows] * rest[order][1:][follows]))
    hourly = (lagged / signal + held * prior.hour_correlation) / (pairs + held)
    _, moment = np.unique(time, return_inverse=True)
    count = np.bincount(moment)
    total, squares = np.bincount(moment, rest), np.bincount(moment, rest**2)
    between = float(np.sum(count * (count - 1)))
    shared = (float(np.sum(total**2 - squares)) / signal + held * prior.city_share) / (between + held)
    return float(sd), float(np.clip(hourly, 0.05, 0.98)), float(np.clip(shared, 0.0, 0.9))


def profile_of(habits: Habits, place: NDArray[np.float64], prior: Prior, around: Surroundings) -> Profile:
    """A profile for the map: habits, and the covariance of what the background leaves at each sensor, `place` (n,)."""
    sites = around.sites
    variance = habits.temporal_sd**2 / (habits.nights + 1.0)
    covariance, interval = fit_covariance(
        sites.easting[habits.rows], sites.northing[habits.rows], place / prior.sd, variance / prior.sd**2, prior.range_m
    )
    return Profile(
        shape=habits.shape,
        temporal_sd=habits.temporal_sd,
        hour_correlation=habits.hour_correlation,
        city_share=habits.city_share,
        covariance=covariance,
        range_interval=interval,
        site=sites.site[habits.rows],
        bias=place[:, None] + habits.deviation,
        bias_variance=variance,
        simulated=bool(np.any(sites.origin[habits.rows] == ORIGINS.index("simulated"))),
    )
