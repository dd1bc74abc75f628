"""What earlier nights taught of people passing: the hour's shape, what places add, and each counter's own habit.

Levels of counters are regressed on the features of their places by ridge towards documented coefficients.
"""

import numpy as np
from numpy.typing import NDArray

from analytics import footfall
from analytics.habits import NIGHT_HOURS, Prior, by_hour, fit_habits, profile_of
from analytics.observations import Said
from analytics.profile import Profile
from analytics.surroundings import FEATURES, Surroundings

# Mean persons/h of Melbourne's counters by local hour, 20:00 to 05:00, 2013-10 to 2014-09 (shared data README 6); the
# default shape of cities without history. Hours outside are held at the nearest.
_FRIDAY_SATURDAY = (741.0, 649.0, 598.0, 436.0, 290.0, 188.0, 132.0, 95.0, 57.0, 46.0)
_OTHER_EVENINGS = (508.0, 402.0, 289.0, 165.0, 80.0, 43.0, 28.0, 21.0, 20.0, 61.0)

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


def learn_footfall(readings: Said, around: Surroundings) -> tuple[Profile, NDArray[np.float64]]:
    """Habits of counters and the city, and the (1 + FEATURES,) coefficients of `footfall.place_level`."""
    row, hour, time, people, hours = by_hour(readings, np.maximum(readings.value, 0.0), around.zone)
    value, _ = footfall.log_rate(people, hours)
    variance = 1.0 / (people + 0.5)  # Poisson alone: a counter's own error is the same every night and so in its level
    # 0.51, 0.66 from hour to hour and 0.34 between counters: Melbourne's nights (shared data README 6); cities' habits
    # differ by about 0.5 and those of places by 0.35
    prior = Prior(_default_shape(), 0.51, 0.66, 0.34, 300.0, float(np.hypot(footfall.PLACE_SD, 0.41)), 0.4, 1.5)
    habits = fit_habits(row, hour, time, value, variance, around.sites.site.size, prior)
    counters = habits.rows[around.sites.inside[habits.rows]]
    features = around.features[:, around.sites.row[counters], around.sites.column[counters]].T.astype(np.float64)
    level = habits.level[np.searchsorted(habits.rows, counters)]
    coefficients = _ridge(np.column_stack([np.ones(len(level)), features]), level)
    place = np.zeros(habits.rows.size)
    inside = around.sites.inside[habits.rows]
    place[inside] = level - np.column_stack([np.ones(len(level)), features]) @ coefficients
    return profile_of(habits, place, prior, around), coefficients


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
