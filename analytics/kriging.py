"""Mean and variance of a Gaussian field everywhere, from sensors that each have their own noise.

Simple kriging (mean zero) with the nearest sensors of each small tile of nodes; nodes stand on a lattice whose step is
chosen in metres against the covariance range, and cubic interpolation carries them to the cells. Measured against the
exact Gaussian process at 5,000 sensors: root-mean-square difference of the mean 0.03 posterior sd.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from analytics.covariance import Matern
from analytics.kernels import tiles
from analytics.kernels.buckets import Buckets, sort_into_buckets
from analytics.kernels.jit import over_rows

_NODES_PER_RANGE = 12.0  # lattice step <= range / 12: interpolation error stays below a hundredth of the posterior sd
_EXACT = 1e-3  # noise / variance below this: float64, and nodes at every cell
_UNRELATED = 5e-4  # a sensor with less correlation than this cannot move a mean by what anyone could see
_CLUSTERED = 2.5  # variance over mean of sensors a bucket; 1 when they stand at random
_EVEN = 1e-6  # coordinates count as evenly spaced to this share of the step


class Sensors(NamedTuple):
    """Sensors ready for the kernels: buckets, and value and noise in bucket order in units of the field's sd."""

    buckets: Buckets
    value: NDArray[np.floating]
    noise: NDArray[np.floating]


def krige(
    easting: ArrayLike,
    northing: ArrayLike,
    value: ArrayLike,
    noise_variance: ArrayLike,
    grid: xr.Dataset | xr.DataArray,
    covariance: Matern,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Estimate a zero-mean Gaussian field on a grid from noisy sensors.

    Parameters
    ----------
    easting, northing : (n,) array
        Positions in metres; inside or outside the grid, duplicates allowed.
    value : (n,) array
        What each sensor says, in any unit; NaN is not known and is left out.
    noise_variance : (n,) array or number
        Variance of each sensor's own error, in that unit squared; infinite is left out.
    grid : Dataset or DataArray
        Has 1-D coordinates `northing` and `easting`, the cell centres in metres.
    covariance : Matern
        Covariance of the field, in the unit squared.

    Returns
    -------
    mean, variance : DataArray (northing, easting), float32
        The variance is that of the field, without sensor noise; far from sensors it is `covariance.variance`.
    """
    cells_north = np.asarray(grid["northing"].values, np.float64)
    cells_east = np.asarray(grid["easting"].values, np.float64)
    mean, variance = krige_cells(easting, northing, value, noise_variance, cells_east, cells_north, covariance)
    coordinates = {"northing": grid["northing"], "easting": grid["easting"]}
    dimensions = ("northing", "easting")
    return (
        xr.DataArray(mean, coordinates, dimensions, name="mean"),
        xr.DataArray(variance, coordinates, dimensions, name="variance"),
    )


def krige_cells(
    easting: ArrayLike,
    northing: ArrayLike,
    value: ArrayLike,
    noise_variance: ArrayLike,
    cells_east: NDArray[np.float64],
    cells_north: NDArray[np.float64],
    covariance: Matern,
    *,
    nodes_per_range: float = _NODES_PER_RANGE,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Do what `krige` does for plain coordinate arrays of cell centres; return mean and variance as (north, east).

    nodes_per_range : least number of lattice nodes along one covariance range
    """
    shape = (cells_north.size, cells_east.size)
    sensors = prepare(easting, northing, value, noise_variance, covariance)
    if sensors is None or 0 in shape:
        return np.zeros(shape, np.float32), np.full(shape, covariance.variance, np.float32)
    step_east, step_north = _even_step(cells_east), _even_step(cells_north)
    steps = [step for step in (step_east, step_north) if step is not None]
    if cells_east.size == 1 and cells_north.size == 1:
        steps = [1.0]
    square = len(steps) < 2 or abs(steps[0] - steps[1]) <= _EVEN * steps[0]
    if not steps or not square or _uneven(cells_east, cells_north):
        at_north, at_east = np.meshgrid(cells_north, cells_east, indexing="ij")
        mean, variance = _at_points(sensors, at_east.ravel(), at_north.ravel(), covariance)
        return _scaled(mean.reshape(shape), variance.reshape(shape), covariance)
    return _on_lattice(sensors, cells_east[0], cells_north[0], steps[0], shape, covariance, nodes_per_range)


def krige_at(
    easting: ArrayLike,
    northing: ArrayLike,
    value: ArrayLike,
    noise_variance: ArrayLike,
    at_easting: ArrayLike,
    at_northing: ArrayLike,
    covariance: Matern,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Do what `krige` does at single points, each with its own neighbourhood; return mean and variance, (points,)."""
    at_east = np.asarray(at_easting, np.float64)
    at_north = np.asarray(at_northing, np.float64)
    sensors = prepare(easting, northing, value, noise_variance, covariance)
    if sensors is None or at_east.size == 0:
        return np.zeros(at_east.shape, np.float32), np.full(at_east.shape, covariance.variance, np.float32)
    mean, variance = _at_points(sensors, at_east, at_north, covariance)
    return _scaled(mean, variance, covariance)


def prepare(
    easting: ArrayLike, northing: ArrayLike, value: ArrayLike, noise_variance: ArrayLike, covariance: Matern
) -> Sensors | None:
    """Check and merge sensors and sort them into buckets; None when nobody says anything.

    Sensors at one position become one of their precision-weighted mean: same answer, and no singular matrix.
    """
    x, y, z = (np.asarray(a, np.float64).ravel() for a in (easting, northing, value))
    noise = np.broadcast_to(np.asarray(noise_variance, np.float64), z.shape).ravel()
    if not x.shape == y.shape == z.shape:
        raise ValueError(f"{x.size} eastings, {y.size} northings and {z.size} values; expected equal numbers (krige)")
    known = np.isfinite(x) & np.isfinite(y) & np.isfinite(z) & ~np.isnan(noise) & ~np.isposinf(noise)
    if np.any(noise[known] < 0):
        raise ValueError(f"{int(np.sum(noise[known] < 0))} noise variances are below 0; expected 0 or more (krige)")
    if not known.any():
        return None
    x, y, z, noise = x[known], y[known], z[known], noise[known]
    order = np.lexsort((noise, z, x, y))  # any order of the same sensors gives the same bits
    z, noise = z / np.sqrt(covariance.variance), noise / covariance.variance
    x, y, z, noise = _merged(x[order], y[order], z[order], noise[order])
    index = sort_into_buckets(x, y)
    precision: type[np.floating] = np.float32
    if noise.min() < _EXACT:
        precision = np.float64
        noise = np.maximum(noise, 1e-10)  # two exact sensors a hair apart must not make the matrix singular
    return Sensors(index, z[index.order].astype(precision), noise[index.order].astype(precision))


def _merged(
    x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64], noise: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Merge sorted sensors that share a position, by precision; an exact one among them outweighs all others."""
    first = np.r_[True, (np.diff(x) != 0) | (np.diff(y) != 0)]
    if first.all():
        return x, y, z, noise
    starts = np.flatnonzero(first)
    precision = 1.0 / np.maximum(noise, 1e-12)
    total = np.add.reduceat(precision, starts)
    merged = np.where(np.minimum.reduceat(noise, starts) == 0, 0.0, 1.0 / total)
    return x[starts], y[starts], np.add.reduceat(precision * z, starts) / total, merged


def neighbours_for(sensors: Sensors, covariance: Matern) -> int:
    """Sensors a tile shares: 64 where near ones screen off the rest, more where they do not.

    Noise weakens screening, and so does a smooth field (nu = 5/2); sensors that stand in rows along streets fill a
    neighbourhood with one direction. Each step was chosen at 5,000 sensors for 0.035 sd from the exact process.
    """
    typical = float(np.median(sensors.noise))
    wanted = 64 if typical <= 0.2 else 96 if typical <= 1.0 else 128
    occupied = np.diff(sensors.buckets.start)
    if float(np.var(occupied)) > _CLUSTERED * float(np.mean(occupied)):
        wanted = max(wanted, 112)
    return max(wanted, 112) if covariance.two_nu == 5 else wanted


def _on_lattice(
    sensors: Sensors,
    east: float,
    north: float,
    cell_m: float,
    shape: tuple[int, int],
    covariance: Matern,
    nodes_per_range: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    factor = _cells_per_node(sensors, cell_m, covariance, nodes_per_range)
    index = sensors.buckets
    margin = 2 if factor > 1 else 0
    rows, columns = (-(-n // factor) + 2 * margin for n in shape)
    node_m = factor * cell_m
    origin_east = east - index.west + (0.5 * (factor - 1) - margin * factor) * cell_m
    origin_north = north - index.south + (0.5 * (factor - 1) - margin * factor) * cell_m
    work = np.float32 if factor > 1 else sensors.value.dtype
    mean, variance = np.empty((rows, columns), work), np.empty((rows, columns), work)
    over_rows(
        tiles.krige_tiles, -(-rows // tiles.TILE), node_m, origin_east, origin_north,
        neighbours_for(sensors, covariance),
        covariance.distance_at(_UNRELATED),
        covariance.two_nu, covariance.scale, index.start, index.n_east, index.n_north, index.width,
        index.east, index.north, sensors.value, sensors.noise, mean, variance,
    )  # fmt: skip
    if factor == 1:
        return _scaled(mean, variance, covariance)
    mean *= np.float32(np.sqrt(covariance.variance))
    variance *= np.float32(covariance.variance)
    weights, shift = tiles.upsample_weights(factor)
    fine_mean, fine_variance = np.empty((2, *shape), np.float32)  # together large enough for large pages of memory
    free, prior = np.float32(np.inf), np.float32(covariance.variance)
    over_rows(tiles.upsample, shape[0], mean, factor, weights, shift, -free, free, fine_mean)
    over_rows(tiles.upsample, shape[0], variance, factor, weights, shift, np.float32(0), prior, fine_variance)
    return fine_mean, fine_variance


def _cells_per_node(sensors: Sensors, cell_m: float, covariance: Matern, nodes_per_range: float) -> int:
    """Cells from one node to the next: 1 where the field has cusps or pinholes that a lattice would step over."""
    if covariance.two_nu == 1 or sensors.noise.dtype == np.float64:
        return 1  # nu = 1/2 has a cusp, and an exact sensor a pinhole in the variance, at every sensor
    step = covariance.range_m / nodes_per_range
    return max(1, min(int(step / cell_m), 64))


def _at_points(
    sensors: Sensors, at_east: NDArray[np.float64], at_north: NDArray[np.float64], covariance: Matern
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    index = sensors.buckets
    mean, variance = np.empty(at_east.size, sensors.value.dtype), np.empty(at_east.size, sensors.value.dtype)
    over_rows(
        tiles.krige_points, at_east.size, at_east - index.west, at_north - index.south,
        neighbours_for(sensors, covariance),
        covariance.distance_at(_UNRELATED),
        covariance.two_nu, covariance.scale, index.start, index.n_east, index.n_north, index.width,
        index.east, index.north, sensors.value, sensors.noise, mean, variance,
    )  # fmt: skip
    return mean, variance


def _scaled(
    mean: NDArray[np.floating], variance: NDArray[np.floating], covariance: Matern
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Back to the caller's unit, the variance held between 0 and the prior against rounding and interpolation."""
    mean = (mean * mean.dtype.type(np.sqrt(covariance.variance))).astype(np.float32)
    variance = np.clip(variance, 0, 1) * variance.dtype.type(covariance.variance)
    return mean, variance.astype(np.float32)


def _even_step(centres: NDArray[np.float64]) -> float | None:
    """Metres between ascending, evenly spaced centres; None for a single one or any other spacing."""
    if centres.size < 2:
        return None
    step = np.diff(centres)
    even = step[0] > 0 and np.all(np.abs(step - step[0]) <= _EVEN * step[0])
    return float((centres[-1] - centres[0]) / (centres.size - 1)) if even else None


def _uneven(cells_east: NDArray[np.float64], cells_north: NDArray[np.float64]) -> bool:
    return any(a.size > 1 and _even_step(a) is None for a in (cells_east, cells_north))
