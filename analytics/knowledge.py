"""What earlier nights taught: habits by hour of the week, what places add, and how far a sensor's word carries.

A quantity's hourly values z (ln persons/h, or dB beyond the sources' model), of sensor i in hour t, are

    z = level of i + shape(hour of week) + deviation of i (hour of week) + what that night differed by

fitted by turns: each part is a mean over its own group, shrunk by the number of nights that would outweigh the prior
(so no history at all gives the documented default habits with a wide error). Levels of counters are regressed on the
features of their places by ridge towards documented coefficients. What the regression leaves, over the background's own
sd, gives variance and range of the kriging covariance by marginal likelihood under log-normal priors on a fixed grid.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics import footfall, light, noise
from analytics.covariance import Matern
from analytics.hours import HOURS, hour_of_week
from analytics.observations import Said, ordered, said
from analytics.profile import Profile
from analytics.sky import sky_lux
from analytics.surroundings import FEATURES, ORIGINS, Surroundings, surroundings
from sensors.city import City
from sensors.night import Night
from sensors.reading import Records

FORMAT = 1
HISTORY_NIGHTS = 182  # half a year: recent enough for a season, long enough for every hour of the week 26 times

# Mean persons/h of Melbourne's counters by local hour, 20:00 to 05:00, 2013-10 to 2014-09 (shared data README 6); the
# default shape of cities without history. Hours outside are held at the nearest.
_FRIDAY_SATURDAY = (741.0, 649.0, 598.0, 436.0, 290.0, 188.0, 132.0, 95.0, 57.0, 46.0)
_OTHER_EVENINGS = (508.0, 402.0, 289.0, 165.0, 80.0, 43.0, 28.0, 21.0, 20.0, 61.0)
_NIGHT_HOURS = slice(8, 18)  # 20:00 to 06:00 in hours since noon: levels are means over these

# ln(persons/h) of a plain street over these hours, what each feature adds, and how sure that is before any counter
# spoke (sensing.md C4: venues dominate at night; a pedestrian street and a main street carry about twice as many).
_COEFFICIENTS = {
    "level": (np.log(40.0), 1.2),
    "venues_100m": (0.35, 0.25),
    "venues_400m": (0.30, 0.25),
    "stops_250m": (0.20, 0.25),
    "pedestrian_street": (0.5, 0.5),
    "main_street": (0.4, 0.5),
    "off_street": (-2.0, 0.3),  # counters stand on streets, so nights teach nothing about this
}


@dataclass(frozen=True)
class _Prior:
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


@dataclass(frozen=True)
class Knowledge:
    """Everything learnt before a night; frozen at its noon.

    coefficients : (1 + FEATURES,) of `footfall.place_level`; before : name of the night, '' when not bounded
    """

    light: Profile
    noise: Profile
    footfall: Profile
    coefficients: NDArray[np.float64]
    before: str

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and lists, as JSON takes them."""
        parts = {name: getattr(self, name).to_dict() for name in ("light", "noise", "footfall")}
        return {"format": FORMAT, **parts, "coefficients": self.coefficients.tolist(), "before": self.before}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Knowledge":
        """What `to_dict` wrote."""
        parts = {name: Profile.from_dict(content[name]) for name in ("light", "noise", "footfall")}
        return cls(**parts, coefficients=np.array(content["coefficients"], np.float64), before=content["before"])


def learn(city: City, before: Night | None) -> Knowledge:
    """Learn from a city's archive, from the last half year of nights before one (all that there are when None)."""
    from ingest.archive import night_records, nights

    known = sorted(night for night in nights(city) if before is None or night < before.date)
    recent = (night_records(city, night) for night in known[-HISTORY_NIGHTS:])
    return learn_from(recent, surroundings(city), before="" if before is None else before.name)


def learn_from(nights: Iterable[Records], around: Surroundings, *, before: str = "") -> Knowledge:
    """Learn from the records of nights, one array a night, in any order; no nights give the defaults."""
    sites = around.sites
    heard: dict[str, list[Said]] = {"people_flow": [], "sound_laeq": []}
    lux: list[NDArray[np.float64]] = []
    number = 0
    for night in nights:
        records = ordered(night)
        if not records.size:
            continue
        number += 1
        for quantity, parts in heard.items():
            parts.append(said(records, sites, quantity, None, records["time"][-1]))
        lux.append(_lux_departures(around, records))
    walking, coefficients = _learn_footfall(_joined(heard["people_flow"]), around)
    sound = _learn_noise(_joined(heard["sound_laeq"]), around, walking, coefficients)
    seen = _learn_light(lux, around)
    return Knowledge(
        light=replace(seen, nights=number),
        noise=replace(sound, nights=number),
        footfall=replace(walking, nights=number),
        coefficients=coefficients,
        before=before,
    )


def _learn_footfall(readings: Said, around: Surroundings) -> tuple[Profile, NDArray[np.float64]]:
    row, hour, time, people, hours = _by_hour(readings, np.maximum(readings.value, 0.0), around.zone)
    value, _ = footfall.log_rate(people, hours)
    variance = 1.0 / (people + 0.5)  # Poisson alone: a counter's own error is the same every night and so in its level
    # 0.51, 0.66 from hour to hour and 0.34 between counters: Melbourne's nights (shared data README 6); cities' habits
    # differ by about 0.5 and those of places by 0.35
    prior = _Prior(_default_shape(), 0.51, 0.66, 0.34, 300.0, float(np.hypot(footfall.PLACE_SD, 0.41)), 0.4, 1.5)
    habits = _fit_habits(row, hour, time, value, variance, around.sites.site.size, prior)
    counters = habits.rows[around.sites.inside[habits.rows]]
    features = around.features[:, around.sites.row[counters], around.sites.column[counters]].T.astype(np.float64)
    level = habits.level[np.searchsorted(habits.rows, counters)]
    coefficients = _ridge(np.column_stack([np.ones(len(level)), features]), level)
    place = np.zeros(habits.rows.size)
    inside = around.sites.inside[habits.rows]
    place[inside] = level - np.column_stack([np.ones(len(level)), features]) @ coefficients
    return _profile(habits, place, prior, around), coefficients


def _learn_noise(readings: Said, around: Surroundings, walking: Profile, coefficients: NDArray[np.float64]) -> Profile:
    inside = around.sites.inside[readings.row]
    readings = Said(*(getattr(readings, name)[inside] for name in ("row", "time", "value", "duration_s")))
    free = noise.free_field(readings.value, around.sites.facade[readings.row])
    row, hour, time, energy, _ = _by_hour(readings, 10 ** (free / 10.0), around.zone, mean=True)
    value = 10.0 * np.log10(np.maximum(energy, 1.0)) - _modelled_at(row, hour, time, around, walking, coefficients)
    # 3.3 dB, 0.76 from hour to hour and 0.53 between points: Leuven's meters (shared data README 6); habits of cities
    # and of places differ from the sources' by 1.5 dB
    prior = _Prior(np.zeros(HOURS), 3.3, 0.76, 0.53, 150.0, noise.MODEL_SD, 2.5, 2.5)
    habits = _fit_habits(row, hour, time, value, np.full(row.size, 1.5**2), around.sites.site.size, prior)
    # what all meters have in common belongs to the model of the whole city (sd 3 dB), the rest to their places
    common = float(np.mean(habits.level)) if habits.rows.size else 0.0
    common *= habits.rows.size / (habits.rows.size + (noise.MODEL_SD / 3.0) ** 2)
    profile = _profile(habits, habits.level - common, prior, around)
    return replace(profile, shape=profile.shape + common)


def _learn_light(departures: list[NDArray[np.float64]], around: Surroundings) -> Profile:
    """Lux sensors have no habits, only a lasting departure from the photometry."""
    prior = _Prior(np.zeros(HOURS), 0.3, 0.9, 0.0, 150.0, 1.0, 1.0, 1.0)
    stacked = np.stack(departures) if departures else np.full((0, around.sites.site.size), np.nan)
    times = np.isfinite(stacked).sum(axis=0)
    rows = np.flatnonzero(times)
    mean = np.nansum(stacked[:, rows], axis=0) / times[rows]
    habits = _Habits(
        rows, mean, prior.shape, np.zeros((rows.size, HOURS)), times[rows].astype(np.float64), 0.3, 0.9, 0.0
    )
    return _profile(habits, mean, prior, around)


def _default_shape() -> NDArray[np.float64]:
    """Ln of the default hour-of-week shape, (168,), its mean over the mapped hours of the week 0."""
    shape = np.empty((7, 24), np.float64)
    for weekday in range(7):
        evening = np.log(_FRIDAY_SATURDAY if weekday in (4, 5) else _OTHER_EVENINGS)
        shape[weekday] = np.interp(np.arange(24), np.arange(8, 18), evening)
    return np.asarray(shape - shape[:, _NIGHT_HOURS].mean(), np.float64).ravel()


def _joined(parts: list[Said]) -> Said:
    if not parts:
        empty = np.empty(0)
        return Said(empty.astype(np.int64), empty.astype("datetime64[ms]"), empty, empty)
    row, time, value, seconds = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "time", "value", "duration_s")
    )
    return Said(row, time, value, seconds)


def _by_hour(
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
class _Habits:
    """Sensors by ascending row of `Sites`: level, deviation by hour of week, nights heard; and what they share."""

    rows: NDArray[np.int64]
    level: NDArray[np.float64]
    shape: NDArray[np.float64]
    deviation: NDArray[np.float64]
    nights: NDArray[np.float64]
    temporal_sd: float
    hour_correlation: float
    city_share: float


def _fit_habits(
    row: NDArray[np.int64],
    hour: NDArray[np.int64],
    time: NDArray[np.int64],
    value: NDArray[np.float64],
    variance: NDArray[np.float64],
    n_sites: int,
    prior: _Prior,
) -> _Habits:
    """Fit level, shape and deviations by turns; (n,) arrays of one value a sensor and hour."""
    known = np.isfinite(value)
    row, hour, time = row[known], hour[known], time[known]
    value, variance = value[known], variance[known]
    rows, place = np.unique(row, return_inverse=True)
    n = rows.size
    if not n:
        empty = np.empty(0)
        return _Habits(
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
        middle = shape.reshape(7, 24)[:, _NIGHT_HOURS].mean()
        shape, level = shape - middle, level + middle
    rest = value - level[place] - shape[hour]
    bins = place * HOURS + hour
    count = np.bincount(bins, minlength=n * HOURS)
    deviation = np.bincount(bins, rest, n * HOURS) / (count + prior.deviation_nights)
    rest = rest - deviation[bins]
    nights = np.array([np.unique(time[place == i] // 24).size for i in range(n)], np.float64)
    sd, hourly, shared = _temporal(rest, place, time, variance, prior)
    return _Habits(rows, level, shape, deviation.reshape(n, HOURS), nights, sd, hourly, shared)


def _temporal(
    rest: NDArray[np.float64],
    place: NDArray[np.int64],
    time: NDArray[np.int64],
    variance: NDArray[np.float64],
    prior: _Prior,
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


def _ridge(design: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients of places by ridge towards the documented ones, given levels of counters."""
    mean = np.array([_COEFFICIENTS[name][0] for name in ("level", *FEATURES)])
    sd = np.array([_COEFFICIENTS[name][1] for name in ("level", *FEATURES)])
    if not level.size:
        return mean
    noise_variance = footfall.PLACE_SD**2
    precision = design.T @ design / noise_variance + np.diag(1.0 / sd**2)
    return mean + np.linalg.solve(precision, design.T @ (level - design @ mean) / noise_variance)


def _profile(habits: _Habits, place: NDArray[np.float64], prior: _Prior, around: Surroundings) -> Profile:
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


def fit_covariance(
    easting: NDArray[np.float64],
    northing: NDArray[np.float64],
    value: NDArray[np.float64],
    noise_variance: NDArray[np.float64],
    usual_range_m: float,
    nu: float = 1.5,
    most: int = 400,
) -> tuple[Matern, tuple[float, float]]:
    """Matérn covariance of a zero-mean field of about unit variance by marginal likelihood, and 90 % for its range.

    Log-normal priors: range around `usual_range_m` within a factor 1.6, variance around 1 within 1.5 (one sd), so that
    a handful of sensors leaves them where they were. Posterior means over a fixed grid; at most `most` sensors, evenly
    picked in the order given.
    """
    ranges = usual_range_m * 2.0 ** np.linspace(-2.0, 2.0, 17)
    variances = 2.0 ** np.linspace(-1.5, 1.5, 13)
    prior = -0.5 * (np.log(ranges / usual_range_m) / np.log(1.6))[:, None] ** 2
    prior = prior - 0.5 * (np.log(variances) / np.log(1.5))[None, :] ** 2
    if value.size > most:
        pick = np.linspace(0, value.size - 1, most).astype(np.int64)
        easting, northing, value, noise_variance = (a[pick] for a in (easting, northing, value, noise_variance))
    evidence = np.zeros_like(prior)
    if value.size > 1:
        distance = np.hypot(easting[:, None] - easting[None, :], northing[:, None] - northing[None, :])
        for i, range_m in enumerate(ranges):
            correlation = Matern(nu, float(range_m), 1.0)(distance)
            for j, variance in enumerate(variances):
                evidence[i, j] = _log_evidence(variance * correlation, value, noise_variance)
    weight = np.exp(prior + evidence - np.max(prior + evidence))
    weight /= weight.sum()
    by_range = weight.sum(axis=1)
    best_range = float(np.exp(np.sum(by_range * np.log(ranges))))
    best_variance = float(np.exp(np.sum(weight.sum(axis=0) * np.log(variances))))
    cumulative = np.cumsum(by_range) - 0.5 * by_range
    low, high = (float(np.exp(np.interp(q, cumulative, np.log(ranges)))) for q in (0.05, 0.95))
    return Matern(nu, best_range, best_variance), (low, high)


def _log_evidence(
    covariance: NDArray[np.float64], value: NDArray[np.float64], noise_variance: NDArray[np.float64]
) -> float:
    from scipy.linalg import solve_triangular  # a tenth of the import time of a map that only reads what was learnt

    lower = np.linalg.cholesky(covariance + np.diag(noise_variance + 1e-9))
    white = solve_triangular(lower, value, lower=True)
    return float(-0.5 * white @ white - np.sum(np.log(np.diag(lower))))


def _modelled_at(
    row: NDArray[np.int64],
    hour: NDArray[np.int64],
    time: NDArray[np.int64],
    around: Surroundings,
    walking: Profile,
    coefficients: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The sources' level in dB at sensors' cells by hour of the week, with the usual crowd of that hour."""
    out = np.zeros(row.size)
    level = footfall.place_level(around, coefficients)
    for bin_ in np.unique(hour):
        here = hour == bin_
        moment = np.datetime64(int(time[here][0]) * 3_600_000 + 1_800_000, "ms")
        people = np.exp(level + np.float32(walking.shape[bin_]))
        modelled = noise.background_level(around, people, moment)
        out[here] = modelled[around.sites.row[row[here]], around.sites.column[row[here]]]
    return out


def _lux_departures(around: Surroundings, records: Records) -> NDArray[np.float64]:
    """Ln of lux sensors over the lamps' light by row of `Sites`, at the middle of a night's readings; NaN elsewhere."""
    out = np.full(around.sites.site.size, np.nan)
    readings = said(records, around.sites, "illuminance", None, records["time"][-1])
    if readings.row.size:
        middle = readings.time[readings.time.size // 2]
        step = middle - np.timedelta64(around.step_minutes, "m")
        sky = sky_lux(middle, around.latitude, around.longitude)
        if sky < 1.0:  # by daylight a lux sensor says nothing about lamps
            state = light.lamp_state(around, records, middle, sky)
            departures = light.lux_departures(around, state, sky, records, step)
            out[around.sites.rows(departures.site)] = departures.departure
    return out
