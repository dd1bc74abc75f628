"""What earlier nights taught of light: how far each lux sensor lies from the lamps' photometry, for good."""

import numpy as np
from numpy.typing import NDArray

from analytics import light
from analytics.habits import Habits, Prior, profile_of
from analytics.hours import HOURS
from analytics.lamp_state import lamp_state
from analytics.observations import said
from analytics.profile import Profile
from analytics.sky import sky_lux
from analytics.surroundings import Surroundings
from sensors.reading import Records


def learn_light(departures: list[NDArray[np.float64]], around: Surroundings) -> Profile:
    """Lux sensors have no habits, only a lasting departure from the photometry."""
    prior = Prior(np.zeros(HOURS), 0.3, 0.9, 0.0, 150.0, 1.0, 1.0, 1.0)
    stacked = np.stack(departures) if departures else np.full((0, around.sites.site.size), np.nan)
    times = np.isfinite(stacked).sum(axis=0)
    rows = np.flatnonzero(times)
    mean = np.nansum(stacked[:, rows], axis=0) / times[rows]
    habits = Habits(
        rows, mean, prior.shape, np.zeros((rows.size, HOURS)), times[rows].astype(np.float64), 0.3, 0.9, 0.0
    )
    return profile_of(habits, mean, prior, around)


def night_departures(around: Surroundings, records: Records) -> NDArray[np.float64]:
    """Ln of lux sensors over the lamps' light by row of `Sites`, at the middle of a night's readings; NaN elsewhere."""
    out = np.full(around.sites.site.size, np.nan)
    readings = said(records, around.sites, "illuminance", None, records["time"][-1])
    if readings.row.size:
        middle = readings.time[readings.time.size // 2]
        step = middle - np.timedelta64(around.step_minutes, "m")
        sky = sky_lux(middle, around.latitude, around.longitude)
        if sky < 1.0:  # by daylight a lux sensor says nothing about lamps
            state = lamp_state(around, records, middle, sky)
            departures = light.lux_departures(around, state, sky, records, step)
            out[around.sites.rows(departures.site)] = departures.departure
    return out
