"""What earlier nights taught of sound: how far each meter lies from the sources' model, by hour of the week."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analytics import footfall, noise
from analytics.habits import Prior, by_hour, fit_habits, profile_of
from analytics.hours import HOURS
from analytics.observations import Said
from analytics.profile import Profile
from analytics.surroundings import Surroundings


def learn_noise(readings: Said, around: Surroundings, walking: Profile, coefficients: NDArray[np.float64]) -> Profile:
    """Habits of meters and of the city beyond the sources' model; `coefficients` are those of footfall."""
    inside = around.sites.inside[readings.row]
    readings = Said(*(getattr(readings, name)[inside] for name in ("row", "time", "value", "duration_s")))
    free = noise.free_field(readings.value, around.sites.facade[readings.row])
    row, hour, time, energy, _ = by_hour(readings, 10 ** (free / 10.0), around.zone, mean=True)
    value = 10.0 * np.log10(np.maximum(energy, 1.0)) - _modelled_at(row, hour, time, around, walking, coefficients)
    # 3.3 dB, 0.76 from hour to hour and 0.53 between points: Leuven's meters (shared data README 6); habits of cities
    # and of places differ from the sources' by 1.5 dB
    prior = Prior(np.zeros(HOURS), 3.3, 0.76, 0.53, 150.0, noise.MODEL_SD, 2.5, 2.5)
    habits = fit_habits(row, hour, time, value, np.full(row.size, 1.5**2), around.sites.site.size, prior)
    # what all meters have in common belongs to the model of the whole city (sd 3 dB), the rest to their places
    common = float(np.mean(habits.level)) if habits.rows.size else 0.0
    common *= habits.rows.size / (habits.rows.size + (noise.MODEL_SD / 3.0) ** 2)
    profile = profile_of(habits, habits.level - common, prior, around)
    return replace(profile, shape=profile.shape + common)


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
