"""The one step that corrects a background by its sensors, the same for light, noise and footfall.

All in the quantity's transformed unit. A sensor's departure from the background is

    departure = city-wide shift of tonight + correction of the place + error of the sensor

The shift is a precision-weighted mean, shrunk to 0 by what nights usually differ by; the rest, divided by the
background's own sd there, is kriged with unit-variance Matérn covariance and multiplied by the sd again, so a vague
background yields to a sensor sooner than a sure one. A sensor that is silent stands in with its learnt bias plus what
is left of its last departure tonight; the variance of that stand-in grows back to the profile's (AR(1) in continuous
time, a Kalman local level), so silence visibly widens the interval.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.grid import Grid
from analytics.kernels import buckets
from analytics.kernels.jit import over_rows
from analytics.kriging import krige_cells
from analytics.profile import Profile
from analytics.surroundings import ORIGINS

MEASURED, MODELLED, SIMULATED = 1, 2, 4  # bits of <field>_origin

# Half the density that `krige` promises: a city's sensors stand farther apart than 25 m and err by more than a tenth of
# the background, and then nodes at a sixth of the range differ from exact ones by less than 0.02 sd (test_kriging).
_NODES_PER_RANGE = 6.0

_MEASURED_CORRELATION = 0.7  # a cell counts as measured while it shares half of its variance with a live sensor
_INFLUENCE_CORRELATION = 0.05  # beyond this a sensor moves a cell by less than rounding shows


@dataclass(frozen=True)
class Departures:
    """What sensors say beyond the background; (n,) arrays, in a fixed order of sites.

    site : numbers; easting, northing : metres; origin : index into ORIGINS; departure : live value minus background,
    NaN where silent; noise_variance : of the live value; last : last departure tonight before this step, NaN if none;
    last_variance : of that; hours_since : hours since then; sd : the background's sd at the sensor
    """

    site: NDArray[np.uint32]
    easting: NDArray[np.float64]
    northing: NDArray[np.float64]
    origin: NDArray[np.uint8]
    departure: NDArray[np.float64]
    noise_variance: NDArray[np.float64]
    last: NDArray[np.float64]
    last_variance: NDArray[np.float64]
    hours_since: NDArray[np.float64]
    sd: NDArray[np.float64]


@dataclass(frozen=True)
class Correction:
    """What to add to the background, (northing, easting) f4 but for the shift.

    mean and variance are of the place's correction; shift and shift_variance are of the whole city tonight;
    nearest : metres to the nearest live sensor, infinite without one; origin : bits; measured and simulated : what of
    the background's variance real and simulated sensors took away, 0..1, silent ones with what they taught included
    """

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    shift: float
    shift_variance: float
    nearest: NDArray[np.float32]
    origin: NDArray[np.uint8]
    measured: NDArray[np.float32]
    simulated: NDArray[np.float32]


def correct(
    grid: Grid,
    departures: Departures,
    profile: Profile,
    background_sd: NDArray[np.float32] | float,
    time: np.datetime64,
    zone: str,
) -> Correction:
    """Correct a background on a grid at the middle of a step (UTC)."""
    bias, bias_variance = profile.bias_at(departures.site, time, zone)
    live = np.isfinite(departures.departure)
    shift, shift_variance = _shift(departures, live, bias, bias_variance, profile)
    met = np.isfinite(bias_variance)
    silent_value, silent_variance = _stand_in(departures, bias, bias_variance, profile)
    value = np.where(live, departures.departure - shift, silent_value)
    noise = np.where(live, departures.noise_variance, silent_variance)
    used = live | met | np.isfinite(departures.last)
    scaled_mean, scaled_variance = krige_cells(
        departures.easting[used],
        departures.northing[used],
        value[used] / departures.sd[used],
        noise[used] / departures.sd[used] ** 2,
        grid.easting,
        grid.northing,
        profile.covariance,
        nodes_per_range=_NODES_PER_RANGE,
    )
    sd = np.asarray(background_sd, np.float32)
    measured, simulated = _shares(grid, departures, used, noise, scaled_variance, profile)
    nearest = distance_to(grid, departures.easting[live], departures.northing[live])
    return Correction(
        mean=scaled_mean * sd,
        variance=scaled_variance * sd * sd,
        shift=shift,
        shift_variance=shift_variance,
        nearest=nearest,
        origin=_origin(grid, departures, live, used, nearest, profile),
        measured=measured,
        simulated=simulated,
    )


def distance_to(grid: Grid, easting: NDArray[np.float64], northing: NDArray[np.float64]) -> NDArray[np.float32]:
    """Metres from each cell centre to the nearest of some points, infinite when there are none."""
    out = np.full(grid.shape, np.inf, np.float32)
    if easting.size:
        index = buckets.sort_into_buckets(easting, northing)
        tiles = -(-grid.shape[0] // buckets.DISTANCE_TILE)
        over_rows(
            buckets.nearest_distance, tiles, grid.cell_m, float(grid.easting[0]) - index.west,
            float(grid.northing[0]) - index.south, index.start, index.n_east, index.n_north, index.width,
            index.east, index.north, out,
        )  # fmt: skip
    return out


def _shift(
    departures: Departures,
    live: NDArray[np.bool_],
    bias: NDArray[np.float64],
    bias_variance: NDArray[np.float64],
    profile: Profile,
) -> tuple[float, float]:
    """Tonight's city-wide departure and its variance; only sensors with a learnt bias can tell it from their place."""
    prior = profile.city_share * profile.temporal_sd**2
    usable = live & np.isfinite(bias_variance)
    if prior <= 0.0:
        return 0.0, 0.0
    own = (1.0 - profile.city_share) * profile.temporal_sd**2
    precision = 1.0 / (own + departures.noise_variance[usable] + bias_variance[usable])
    total = float(np.sum(precision)) + 1.0 / prior
    return float(np.sum(precision * (departures.departure[usable] - bias[usable]))) / total, 1.0 / total


def _stand_in(
    departures: Departures, bias: NDArray[np.float64], bias_variance: NDArray[np.float64], profile: Profile
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Value and variance with which a silent sensor stands in, relative to the background."""
    own = (1.0 - profile.city_share) * profile.temporal_sd**2
    known_bias = np.isfinite(bias_variance)
    spread = np.where(known_bias, bias_variance, profile.covariance.variance * departures.sd**2)
    spoke = np.isfinite(departures.last)
    kept = np.where(spoke, profile.hour_correlation ** np.where(spoke, departures.hours_since, 0.0), 0.0)
    value = bias + kept * np.where(spoke, departures.last - bias, 0.0)
    # what is left of the last word is as unsure as that word; what has faded is as unsure as the profile
    word = kept**2 * departures.last_variance
    return value, np.where(spoke, word + (1 - kept**2) * (own + spread), own + spread)


def _shares(
    grid: Grid,
    departures: Departures,
    used: NDArray[np.bool_],
    noise: NDArray[np.float64],
    scaled_variance: NDArray[np.float32],
    profile: Profile,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What of the variance real sensors took away, and what simulated ones did beside them; (northing, easting)."""
    taken = np.float32(1) - scaled_variance / np.float32(profile.covariance.variance)
    simulated = departures.origin == ORIGINS.index("simulated")
    nothing = np.zeros_like(taken)
    if not np.any(used & simulated):
        return taken, nothing
    if not np.any(used & ~simulated):
        return nothing, taken
    real = used & ~simulated
    _, alone = krige_cells(
        departures.easting[real],
        departures.northing[real],
        np.zeros(int(real.sum())),
        noise[real] / departures.sd[real] ** 2,
        grid.easting,
        grid.northing,
        profile.covariance,
        nodes_per_range=_NODES_PER_RANGE,
    )
    measured = np.minimum(np.float32(1) - alone / np.float32(profile.covariance.variance), taken)
    return measured, taken - measured


def _origin(
    grid: Grid,
    departures: Departures,
    live: NDArray[np.bool_],
    used: NDArray[np.bool_],
    nearest: NDArray[np.float32],
    profile: Profile,
) -> NDArray[np.uint8]:
    simulated = departures.origin == ORIGINS.index("simulated")
    real = live & ~simulated
    if np.any(live & simulated):
        nearest = distance_to(grid, departures.easting[real], departures.northing[real])
    measured = nearest <= profile.covariance.distance_at(_MEASURED_CORRELATION)
    origin = np.where(measured, MEASURED, MODELLED).astype(np.uint8)
    if profile.simulated or (profile.city_share > 0 and np.any(live & simulated)):
        origin |= np.uint8(SIMULATED)  # a shape or a shift that simulated sensors taught reaches every cell
    elif np.any(used & simulated):
        near = distance_to(grid, departures.easting[used & simulated], departures.northing[used & simulated])
        reach = profile.covariance.distance_at(_INFLUENCE_CORRELATION)
        origin |= np.where(near <= reach, SIMULATED, 0).astype(np.uint8)
    return origin
