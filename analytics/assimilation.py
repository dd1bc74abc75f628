"""The one step that corrects a background by its sensors, the same for light, noise and footfall.

All in the quantity's transformed unit. A sensor's departure from the background is

    departure = city-wide shift of tonight + correction of the place + error of the sensor

The shift is a precision-weighted mean, shrunk to 0 by what nights usually differ by; the rest, divided by the
background's own sd there, is kriged with unit-variance Matérn covariance and multiplied by the sd again, so a vague
background yields to a sensor sooner than a sure one. A sensor that is silent stands in with its learnt bias plus what
is left of its last departure tonight, and what live sensors beside it differ by tonight; the variance of that stand-in
grows back to the profile's (AR(1) in continuous time, a Kalman local level), so silence visibly widens the interval.

Part of what a place differs by ends within some metres (the other pavement, the mouth of a passage). For the map that
part is noise of the sensor; at the sensor's own cell it is given back, exactly: with f the smooth part, u the local one
of variance t and e the error of variance s, the mean of u is t (y - f) / (t + s) there, and

    var(f + u) = s - s^2 (s + t - var f) / (s + t)^2
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.covariance import Matern
from analytics.grid import Grid
from analytics.kernels import buckets
from analytics.kernels.jit import over_rows
from analytics.kriging import krige_at, krige_cells
from analytics.profile import Profile
from analytics.surroundings import ORIGINS

MEASURED, MODELLED, SIMULATED = 1, 2, 4  # bits of <field>_origin

# Half the density that `krige` promises: a city's sensors stand farther apart than 25 m and err by more than a tenth of
# the background, and then nodes at a sixth of the range differ from exact ones by less than 0.02 sd (test_kriging).
_NODES_PER_RANGE = 6.0

LOCAL_M = 15.0  # how far the local part reaches: counters 15 to 25 m apart, across a street, share little of it

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
    silent_value, tonight, lasting = _stand_in(departures, live, shift, bias, bias_variance, profile)
    value = np.where(live, departures.departure - shift, silent_value)
    noise = np.where(live, departures.noise_variance, tonight + lasting)
    tonight = np.where(live | ~met, 0.0, tonight)
    used = live | met | np.isfinite(departures.last)
    scaled_mean, scaled_variance = _kriged(grid, departures, used, value, noise, tonight, profile)
    sd = np.asarray(background_sd, np.float32)
    measured, simulated = _shares(grid, departures, used, noise, tonight, scaled_variance, profile)
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


def _kriged(
    grid: Grid,
    departures: Departures,
    used: NDArray[np.bool_],
    value: NDArray[np.float64],
    noise: NDArray[np.float64],
    tonight: NDArray[np.float64],
    profile: Profile,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and variance of the place's correction in units of the background's sd, (northing, easting).

    tonight : (n,) what of the noise is tonight's and no doubt about the place, of sensors that stand in
    """
    easting, northing, sd = departures.easting[used], departures.northing[used], departures.sd[used]
    scaled_value, scaled_noise = value[used] / sd, noise[used] / sd**2
    mean, variance = krige_cells(
        easting,
        northing,
        scaled_value,
        scaled_noise + profile.local_variance,
        grid.easting,
        grid.northing,
        profile.covariance,
        nodes_per_range=_NODES_PER_RANGE,
    )
    if profile.local_variance > 0:
        scaled_tonight = tonight[used] / sd**2
        _give_back(
            grid, easting, northing, scaled_value, scaled_noise, scaled_tonight, profile.local_variance, mean, variance
        )
    return mean, variance


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
    departures: Departures,
    live: NDArray[np.bool_],
    shift: float,
    bias: NDArray[np.float64],
    bias_variance: NDArray[np.float64],
    profile: Profile,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """With what a silent sensor stands in, relative to the background and the city's shift.

    Its value, and the variances of what tonight differs by and of what lasts.
    """
    own = (1.0 - profile.city_share) * profile.temporal_sd**2
    known_bias = np.isfinite(bias_variance)
    spread = np.where(known_bias, bias_variance, profile.covariance.variance * departures.sd**2)
    spoke = np.isfinite(departures.last)
    kept = np.where(spoke, profile.hour_correlation ** np.where(spoke, departures.hours_since, 0.0), 0.0)
    # of the shift that the whole city has now, so much was in the last word already, and is not to be added twice
    differed = kept * np.where(spoke, departures.last - bias - np.where(known_bias, kept * shift, 0.0), 0.0)
    # what is left of the last word is as unsure as that word; what has faded is as unsure as the profile
    tonight = np.where(spoke, (1 - kept**2) * own + kept**2 * departures.last_variance, own)
    silent = known_bias & ~live
    if profile.night_share > 0 and own > 0 and silent.any() and np.any(known_bias & live):
        beside, beside_variance = _beside(departures, known_bias & live, silent, shift, bias, bias_variance, profile)
        precision = 1.0 / tonight[silent] + 1.0 / beside_variance - 1.0 / own
        differed[silent] = (differed[silent] / tonight[silent] + beside / beside_variance) / precision
        tonight[silent] = 1.0 / precision
    return bias + differed, tonight, np.where(spoke, 1 - kept**2, 1.0) * spread


def _beside(
    departures: Departures,
    heard: NDArray[np.bool_],
    silent: NDArray[np.bool_],
    shift: float,
    bias: NDArray[np.float64],
    bias_variance: NDArray[np.float64],
    profile: Profile,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What silent sensors are likely to differ by tonight, from those that are heard beside them, and its variance."""
    own = (1.0 - profile.city_share) * profile.temporal_sd**2
    alone = (1.0 - profile.night_share) * own
    mean, variance = krige_at(
        departures.easting[heard],
        departures.northing[heard],
        departures.departure[heard] - shift - bias[heard],
        departures.noise_variance[heard] + bias_variance[heard] + alone,
        departures.easting[silent],
        departures.northing[silent],
        Matern(0.5, profile.night_range_m, profile.night_share * own),
    )
    return mean.astype(np.float64), variance.astype(np.float64) + alone


def _give_back(
    grid: Grid,
    easting: NDArray[np.float64],
    northing: NDArray[np.float64],
    value: NDArray[np.float64],
    noise: NDArray[np.float64],
    tonight: NDArray[np.float64],
    local: float,
    mean: NDArray[np.float32],
    variance: NDArray[np.float32],
) -> None:
    """Add the local part to a kriged map, in place: unsure everywhere, known beside sensors; all in units of the sd."""
    row, column, inside = grid.cells(easting, northing)
    row, column, value, tonight = row[inside], column[inside], value[inside], tonight[inside]
    # a silent sensor's habit is known far better than tonight is: it yields to its neighbours as little as a live one
    noise = noise[inside] - tonight
    total = noise + local
    smooth_variance = variance[row, column].astype(np.float64)
    known = local / total * (value - mean[row, column])
    after = noise * (1.0 - noise * np.maximum(total - smooth_variance, 0.0) / total**2) + tonight
    gained = np.maximum(smooth_variance + local - after, 0.0)
    variance += np.float32(local)
    reach = int(np.ceil(2.0 * LOCAL_M / grid.cell_m))
    aside = np.arange(-reach, reach + 1)
    offsets = np.stack(np.meshgrid(aside, aside, indexing="ij"), axis=-1).reshape(-1, 2)
    nearest = np.full(mean.size, -1, np.int32)
    # each cell asks its nearest sensor alone: near ones are written over far ones
    for north, east in offsets[np.argsort(-np.hypot(*offsets.T), kind="stable")]:
        within = (row + north >= 0) & (row + north < grid.shape[0])
        within &= (column + east >= 0) & (column + east < grid.shape[1])
        sensor = np.flatnonzero(within)
        nearest[(row[sensor] + north) * grid.shape[1] + column[sensor] + east] = sensor
    cell = np.flatnonzero(nearest >= 0)
    owner = nearest[cell]
    # one that shares the sensor's cell is as near as it can be, wherever in the cell the sensor stands
    apart = grid.cell_m * np.hypot(cell // grid.shape[1] - row[owner], cell % grid.shape[1] - column[owner])
    near = np.exp(-apart / LOCAL_M)
    mean.reshape(-1)[cell] += (near * known[owner]).astype(np.float32)
    variance.reshape(-1)[cell] -= (near**2 * gained[owner]).astype(np.float32)


def _shares(
    grid: Grid,
    departures: Departures,
    used: NDArray[np.bool_],
    noise: NDArray[np.float64],
    tonight: NDArray[np.float64],
    scaled_variance: NDArray[np.float32],
    profile: Profile,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What of the variance real sensors took away, and what simulated ones did beside them.

    (northing, easting), or a single 0 where there are none of a kind.
    """
    whole = np.float32(profile.covariance.variance + profile.local_variance)
    simulated = departures.origin == ORIGINS.index("simulated")
    nothing = np.zeros((), np.float32)
    if not np.any(used):
        return nothing, nothing
    taken = scaled_variance * (np.float32(-1) / whole)
    taken += np.float32(1)
    if not np.any(used & simulated):
        return taken, nothing
    if not np.any(used & ~simulated):
        return nothing, taken
    real = used & ~simulated
    _, alone = _kriged(grid, departures, real, np.zeros(real.size), noise, tonight, profile)
    measured = np.minimum(np.float32(1) - alone / whole, taken)
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
