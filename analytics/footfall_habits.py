"""What earlier nights taught of people passing: the hour's shape, what places add, and each counter's own habit.

Levels of counters are regressed on the features of their places by ridge towards documented coefficients.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analytics import footfall
from analytics.counts import dispersion
from analytics.habits import NIGHT_HOURS, Habits, Prior, by_hour, fit_habits, profile_of
from analytics.hours import HOURS, evening_of
from analytics.observations import Said
from analytics.profile import Profile
from analytics.special_nights import KINDS, USUAL
from analytics.surroundings import FEATURES, Surroundings

# Mean persons/h of Melbourne's counters by local hour, 20:00 to 05:00, 2013-10 to 2014-09 (shared data README 6); the
# default shape of cities without history. Hours outside are held at the nearest.
_FRIDAY_SATURDAY = (741.0, 649.0, 598.0, 436.0, 290.0, 188.0, 132.0, 95.0, 57.0, 46.0)
_OTHER_EVENINGS = (508.0, 402.0, 289.0, 165.0, 80.0, 43.0, 28.0, 21.0, 20.0, 61.0)

# ln(persons/h) of a plain street over these hours, what each feature adds, and how sure that is before any counter of
# the city spoke: fitted to 55 counters of Melbourne in 2023 to 2025 that are none of the 28 of 2012 to 2014, doubled in
# variance since cities differ; the kinds of streets by sensing.md C4 (a pedestrian street carries more, a lane less).
_COEFFICIENTS = {
    "level": (3.0, 1.2),
    "venues_100m": (0.15, 0.1),
    "venues_400m": (0.15, 0.1),
    "stops_250m": (0.0, 0.1),
    "stations_600m": (0.4, 0.2),
    "walks_800m": (0.45, 0.15),
    "pedestrian_street": (0.5, 0.5),
    "main_street": (0.0, 0.3),
    "minor_street": (-0.4, 0.4),
    "off_street": (-2.0, 0.3),  # counters stand on streets, so nights teach nothing about this
}
# Counters are put where many pass, which the features do not know (preferential sampling, Diggle et al. 2010). The 21
# that Melbourne had by 2014 stand 0.43 +- 0.25 above the 56 that came later, in the same months and with the same
# features; a prior of 0 +- 0.3 leaves this of it.
_SELECTED = 0.25
# Levels of 28 counters in Melbourne, 2012 to 2014, wander by 0.0007 a night in ln^2; a mean whose weight halves every
# 20 nights (habits: 90) forecasts the next eight weeks best.
_LEVEL_NIGHTS, _RECENT_NIGHTS, _DRIFT = 20.0, 90.0, 0.0007
# Of what a counter differs by tonight beyond the whole city, so much is shared with counters beside it and fades over
# so many metres (the same nights, counters left out: hardly worse with 0.5 to 0.8 and 400 to 1000 m).
_NIGHT_SHARE, _NIGHT_RANGE_M = 0.6, 600.0
_SPREAD = 0.35  # ln, of places' own ways through the night (ibid.)
_AHEAD_NIGHTS = 120  # special nights are kept so far ahead


def learn_footfall(
    readings: Said, around: Surroundings, special: Mapping[int, int] | None = None
) -> tuple[Profile, NDArray[np.float64]]:
    """Habits of counters and the city, and the (1 + FEATURES,) coefficients of `footfall.place_level`.

    special : kinds of nights out of the usual (`special_nights`), by days since 1970
    """
    row, hour, time, people, hours = by_hour(readings, np.maximum(readings.value, 0.0), around.zone)
    value, _ = footfall.log_rate(people, hours)
    variance = _poisson(row, hour, people)
    moments = (time * 3_600_000 + 1_800_000).astype("datetime64[ms]")
    evening = evening_of(moments, around.zone) if time.size else time
    kind = np.array([(special or {}).get(night, USUAL) for night in evening.tolist()], np.int64)
    habits = fit_habits(
        row, hour, time, value, variance, around.sites.site.size, _prior(), evening=evening, kind=kind, kinds=KINDS
    )
    counters = habits.rows[around.sites.inside[habits.rows]]
    features = around.features[:, around.sites.row[counters], around.sites.column[counters]].T.astype(np.float64)
    design = np.column_stack([np.ones(counters.size), features])
    level = habits.level[np.searchsorted(habits.rows, counters)]
    coefficients = _ridge(design, level - _SELECTED)
    place = np.zeros(habits.rows.size)
    place[around.sites.inside[habits.rows]] = level - design @ coefficients
    profile = profile_of(habits, place, _prior(), around)
    k, city_k = _dispersion(habits, row, hour, people)
    kept = {night: habits.effect[kind] for night, kind in (special or {}).items() if _near(night, evening)}
    profile = replace(
        profile, k=k, city_k=city_k, special=kept, night_share=_NIGHT_SHARE, night_range_m=_NIGHT_RANGE_M,
        spread=_spread(habits),
    )  # fmt: skip
    return profile, coefficients


def _spread(habits: Habits) -> NDArray[np.float64]:
    """Sd among counters of their own way through the night, (24,); `_SPREAD` weighs as much as eight of them."""
    own = habits.deviation.reshape(-1, 7, 24).mean(axis=1)
    return np.asarray(np.sqrt((np.sum(own**2, axis=0) + 8 * _SPREAD**2) / (len(own) + 8)), np.float64)


def _poisson(row: NDArray[np.int64], hour: NDArray[np.int64], people: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of the ln of counts by chance alone; a counter's own error is the same every night and so in its level.

    By what this counter usually counts in this hour: by the count itself, low ones would seem less sure than high ones
    and every mean would be too high.
    """
    _, group = np.unique(row * HOURS + hour, return_inverse=True)
    usual = np.bincount(group, people) / np.maximum(np.bincount(group), 1)
    return np.asarray(1.0 / (usual[group] + 0.5), np.float64)


def _prior() -> Prior:
    # 0.51, 0.66 from hour to hour and 0.34 between counters: Melbourne's nights (shared data README 6); cities' habits
    # differ by about 0.5 and those of places by 0.35
    return Prior(
        _default_shape(), 0.51, 0.66, 0.34, 300.0, float(np.hypot(footfall.PLACE_SD, 0.41)), 0.4, 1.0,
        level_nights=_LEVEL_NIGHTS, recent_nights=_RECENT_NIGHTS, huber=1.0, off_hours=0.02, drift=_DRIFT,
        local=footfall.LOCAL_SHARE,
    )  # fmt: skip


def _dispersion(
    habits: Habits, row: NDArray[np.int64], hour: NDArray[np.int64], people: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Negative binomial shape of each counter's hourly counts in mapped hours, and the city's."""
    used = np.isfinite(habits.rest) & (hour % 24 >= NIGHT_HOURS.start) & (hour % 24 < NIGHT_HOURS.stop)
    place = np.searchsorted(habits.rows, row[used])
    expected = np.log(people[used] + 0.5) - habits.rest[used]  # of the count itself, where an hour was counted in part
    return dispersion(np.round(people[used]), expected, place, habits.rows.size)


def _near(night: int, evening: NDArray[np.int64]) -> bool:
    if not evening.size:
        return True
    return bool(evening.min() <= night <= evening.max() + _AHEAD_NIGHTS)


def _default_shape() -> NDArray[np.float64]:
    """Ln of the default hour-of-week shape, (168,), its mean over the mapped hours of the week 0."""
    shape = np.empty((7, 24), np.float64)
    for weekday in range(7):
        evening = np.log(_FRIDAY_SATURDAY if weekday in (4, 5) else _OTHER_EVENINGS)
        shape[weekday] = np.interp(np.arange(24), np.arange(8, 18), evening)
    return np.asarray(shape - shape[:, NIGHT_HOURS].mean(), np.float64).ravel()


def _ridge(design: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients of places by ridge towards the documented ones, given levels of counters."""
    mean = np.array([_COEFFICIENTS[name][0] for name in ("level", *FEATURES)])
    sd = np.array([_COEFFICIENTS[name][1] for name in ("level", *FEATURES)])
    if not level.size:
        return mean
    noise_variance = footfall.PLACE_SD**2
    precision = design.T @ design / noise_variance + np.diag(1.0 / sd**2)
    return mean + np.linalg.solve(precision, design.T @ (level - design @ mean) / noise_variance)
