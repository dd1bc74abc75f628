"""Habits of a quantity by hour of the week, learnt from hourly values of many sensors and nights.

Hourly values z (ln persons/h, or dB beyond the sources' model), of sensor i in hour t, are

    z = level of i tonight + shape(hour of week) + deviation of i (hour of week) + effect (kind of night, hour)
        + what that night differed by

fitted by turns: each part is a mean over its own group, shrunk by the number of nights that would outweigh the prior
(so no history at all gives the documented default habits with a wide error). A level may wander: then it is a mean over
nights whose weight halves every `level_nights`. Values far from what is expected (a zero of a counter that is away, a
parade) count less, by Huber's weights. Nights of a special kind teach their effect and nothing else.
"""

from dataclasses import dataclass, field, replace

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
    level_nights: float = np.inf  # half-life of a sensor's level; infinite: it stays
    recent_nights: float = np.inf  # half-life of habits
    huber: float = np.inf  # departures above so many robust sds count less; infinite: all alike
    off_hours: float = 1.0  # weight, in a level, of hours that are not mapped
    drift: float = 0.0  # variance by which a level wanders a night
    local: float = 0.0  # share of the background's variance that ends within some metres of a sensor


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
    """Sensors by ascending row of `Sites`: level, deviation by hour of week, nights heard; and what they share.

    effect : (kinds, 24) what special nights add, kind 0 being usual; since : (n,) nights since a sensor spoke last;
    rest : of the values that were given, what their night differed by, NaN where a value is not known
    """

    rows: NDArray[np.int64]
    level: NDArray[np.float64]
    shape: NDArray[np.float64]
    deviation: NDArray[np.float64]
    nights: NDArray[np.float64]
    temporal_sd: float
    hour_correlation: float
    city_share: float
    drift: float = 0.0
    effect: NDArray[np.float64] = field(default_factory=lambda: np.zeros((1, 24)))
    since: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    rest: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


_TURNS = 12
_MANY = 10_000_000  # more nights than there are: one number for a sensor and a night
_SPECIAL_NIGHTS = 0.5  # nights that outweigh the prior of no effect: special nights differ by more than usual ones do


def fit_habits(
    row: NDArray[np.int64],
    hour: NDArray[np.int64],
    time: NDArray[np.int64],
    value: NDArray[np.float64],
    variance: NDArray[np.float64],
    n_sites: int,
    prior: Prior,
    *,
    evening: NDArray[np.int64] | None = None,
    kind: NDArray[np.int64] | None = None,
    kinds: int = 1,
) -> Habits:
    """Fit level, shape and deviations by turns; (n,) arrays of one value a sensor and hour.

    evening : the night of each value, days since 1970 (from `time` in UTC if not given); kind : of that night, 0 usual
    """
    known = np.isfinite(value)
    evening = time // 24 if evening is None else evening
    kind = np.zeros(time.shape, np.int64) if kind is None else kind
    row, hour, time, evening, kind = (a[known] for a in (row, hour, time, evening, kind))
    value, variance = value[known], variance[known]
    rows, place = np.unique(row, return_inverse=True)
    n = rows.size
    if not n:
        empty = np.empty(0)
        return Habits(
            rows, empty, prior.shape, np.empty((0, HOURS)), empty, prior.temporal_sd, prior.hour_correlation,
            prior.city_share, prior.drift, np.zeros((kinds, 24)), empty, np.full(known.size, np.nan),
        )  # fmt: skip
    usual = kind == 0
    usual |= (np.bincount(place, usual, n) == 0)[place]  # who spoke on special nights alone has no others to learn from
    last = int(evening.max())
    sure = 1.0 / (prior.temporal_sd**2 + variance)
    sure /= np.mean(sure)
    recent = 0.5 ** ((last - evening) / prior.recent_nights)
    mapped = np.zeros(24, bool)
    mapped[NIGHT_HOURS] = True
    in_level = np.where(mapped[hour % 24], 1.0, prior.off_hours)
    # a habit of the whole city is as sure as its nights, not as its sensors: neighbours share their nights
    nights_by_hour = np.bincount(np.unique(evening[usual] * HOURS + hour[usual]) % HOURS, minlength=HOURS)
    trust = nights_by_hour / (nights_by_hour + prior.shape_nights)
    group = kind * 24 + hour % 24
    special_nights = np.bincount(np.unique(evening * kinds * 24 + group) % (kinds * 24), minlength=kinds * 24)
    bins, nightly = place * HOURS + hour, place * 24 + hour % 24
    heard_at = np.minimum(np.bincount(bins, minlength=n * HOURS), 1)
    hour_of_bin = np.tile(np.arange(HOURS), n)
    sensors_at = np.maximum(np.bincount(hour_of_bin, heard_at, HOURS), 1.0)
    tracks = _Track(place, evening, n, prior.level_nights)
    shape, deviation, effect = prior.shape.copy(), np.zeros(n * HOURS), np.zeros(kinds * 24)
    far = np.ones(value.size)
    for _ in range(_TURNS):
        weight = sure * far * usual
        level = tracks.levels(value - shape[hour] - deviation[bins], weight * in_level)
        rest = value - tracks.at_values(level)
        # what all sensors deviate by is the city's and no deviation
        ours = deviation - np.tile(np.bincount(hour_of_bin, heard_at * deviation, HOURS) / sensors_at, n)
        shape = _mean(hour, weight * recent, rest - ours[bins], HOURS)
        shape = np.where(np.isfinite(shape), trust * np.nan_to_num(shape) + (1 - trust) * prior.shape, prior.shape)
        rest = rest - shape[hour]
        # a place has its own way through the night, known from all weekdays, and then one through the week
        by_night = _shrunk(nightly, weight * recent, rest, n * 24, prior.deviation_nights)
        by_week = _shrunk(bins, weight * recent, rest - by_night[nightly], n * HOURS, prior.deviation_nights)
        deviation = by_week + np.tile(by_night.reshape(n, 24), 7).ravel()
        rest = rest - deviation[bins]
        if kinds > 1:
            effect = np.nan_to_num(_mean(group, sure * far, rest, kinds * 24))
            effect *= special_nights / (special_nights + _SPECIAL_NIGHTS)
            effect[:24] = 0.0
        rest = rest - effect[group]
        if np.isfinite(prior.huber):
            apart = np.abs(rest) * np.sqrt(sure)
            robust_sd = 1.4826 * float(np.median(apart[usual])) + 1e-9
            far = 1.0 / np.maximum(apart / (prior.huber * robust_sd), 1.0)
    final = level[:, -1]
    if prior.shape.any():  # levels are means over the mapped hours, so that they compare between cities
        middle = shape.reshape(7, 24)[:, NIGHT_HOURS].mean()
        shape, final = shape - middle, final + middle
    spoke = np.unique(place * _MANY + evening)  # sensor by sensor, night by night
    nights = np.bincount(spoke // _MANY, minlength=n).astype(np.float64)
    since = last - spoke[np.cumsum(nights).astype(np.int64) - 1] % _MANY
    sd, hourly, shared = _temporal(rest[usual], place[usual], time[usual], variance[usual], prior)
    given = np.full(known.size, np.nan)
    given[known] = rest
    return Habits(
        rows, final, shape, deviation.reshape(n, HOURS), nights, sd, hourly, shared, prior.drift,
        effect.reshape(kinds, 24), since, given,
    )  # fmt: skip


class _Track:
    """Levels of sensors night by night: a mean over nights whose weight halves with the nights between."""

    def __init__(self, place: NDArray[np.int64], evening: NDArray[np.int64], n: int, half_life: float) -> None:
        self._wanders = np.isfinite(half_life)
        first = int(evening.min())
        self._nights = int(evening.max()) - first + 1 if self._wanders else 1
        self._keep = 0.5 ** (1.0 / half_life) if self._wanders else 1.0
        self._n = n
        self._cell = place * self._nights + (evening - first if self._wanders else 0)

    def levels(self, value: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Levels by sensor and night, (n, nights)."""
        size = self._n * self._nights
        total, heard = (
            np.bincount(self._cell, parts, size).astype(np.float64).reshape(self._n, self._nights)
            for parts in (weight * value, weight)
        )
        return self._both_ways(total) / np.maximum(self._both_ways(heard), 1e-12)

    def at_values(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """The level at each value, (values,)."""
        return np.asarray(levels.ravel()[self._cell], np.float64)

    def _both_ways(self, nightly: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self._wanders:
            return nightly
        forward, backward = nightly.copy(), nightly.copy()
        for night in range(1, self._nights):
            forward[:, night] += self._keep * forward[:, night - 1]
            backward[:, -1 - night] += self._keep * backward[:, -night]
        return forward + backward - nightly


def _shrunk(
    group: NDArray[np.int64], weight: NDArray[np.float64], value: NDArray[np.float64], size: int, held: float
) -> NDArray[np.float64]:
    """Weighted mean by group with so much weight of zeros beside."""
    return np.asarray(np.bincount(group, weight * value, size) / (np.bincount(group, weight, size) + held), np.float64)


def _mean(
    group: NDArray[np.int64], weight: NDArray[np.float64], value: NDArray[np.float64], size: int
) -> NDArray[np.float64]:
    """Weighted mean by group, NaN where a group has no weight."""
    heard = np.bincount(group, weight, size)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(heard > 1e-9, np.bincount(group, weight * value, size) / heard, np.nan), np.float64)


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
    heard = np.minimum(habits.nights, 2.9 * prior.level_nights)  # nights that a level of that half-life rests on
    variance = habits.temporal_sd**2 / (heard + 1.0)
    if habits.since.size:
        variance = variance + prior.drift * habits.since
    unit = prior.sd * np.sqrt(1.0 - prior.local)
    fitted = fit_covariance(
        sites.easting[habits.rows],
        sites.northing[habits.rows],
        place / unit,
        variance / unit**2 + prior.local / (1.0 - prior.local),
        prior.range_m,
    )
    return Profile(
        shape=habits.shape,
        temporal_sd=habits.temporal_sd,
        hour_correlation=habits.hour_correlation,
        city_share=habits.city_share,
        covariance=replace(fitted.covariance, variance=(1.0 - prior.local) * fitted.covariance.variance),
        range_interval=fitted.range_interval,
        variance_interval=tuple((1.0 - prior.local) * bound for bound in fitted.variance_interval),
        fitted_on=fitted.sensors,
        site=sites.site[habits.rows],
        bias=place[:, None] + habits.deviation,
        bias_variance=variance,
        simulated=bool(np.any(sites.origin[habits.rows] == ORIGINS.index("simulated"))),
        local_variance=prior.local,
        drift=prior.drift,
    )
