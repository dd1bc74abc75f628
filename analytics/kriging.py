"""Mean and variance of a Gaussian field everywhere, from sensors that each have their own noise.

Simple kriging (mean zero) with the nearest sensors of each small tile of nodes; nodes stand on a lattice whose step is
chosen in metres against the covariance range, and cubic interpolation carries them to the cells. Crowds of sensors are
pooled first, and heaps of them get larger neighbourhoods. Against the exact Gaussian process at 5,000 sensors: rms
difference of the mean 0.03 posterior sd (`benchmarks kriging`). `live_kriging.py` keeps such a field up to date.
"""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from analytics.covariance import Matern
from analytics.kernels import tiles
from analytics.kernels.buckets import EVERYWHERE, Buckets, sort_into_buckets
from analytics.kernels.jit import over_rows

_NODES_PER_RANGE = 12.0  # lattice step <= range / 12: interpolation error stays below a hundredth of the posterior sd
_EXACT = 1e-3  # noise / variance below this: float64, and nodes at every cell
_UNRELATED = 5e-4  # a sensor with less correlation than this cannot move a mean by what anyone could see
_CLUSTERED = 2.5  # variance over mean of sensors a bucket; 1 when they stand at random
_HEAPED = 10.0  # the same, where nearly all stand in heaps: the next heap has to be heard as well
_LEAST = 1e-12  # noise of an exact sensor, when it is weighed against others at its place
_FLAT = 1e-12  # 1/m, the least slope of a correlation: beyond that the field is one number, and float32 ends
_CROWD = 4  # so many sensors in a square of the pooling make a crowd
_POOLED = 0.02  # of the noise: what the field may differ by across such a square
_PINHOLE = 3.0  # times the noise: what the field may differ by from one node to the next
_EVEN = 1e-6  # coordinates count as evenly spaced to this share of the step


class Sensors(NamedTuple):
    """Sensors ready for the kernels: buckets, and value and noise in bucket order in units of the field's sd.

    Several that were given may be one of these: place says which each became (-1: none), share how much of its value
    it gives.
    """

    buckets: Buckets
    value: NDArray[np.floating]
    noise: NDArray[np.floating]
    place: NDArray[np.int64]
    share: NDArray[np.float64]


class Lattice(NamedTuple):
    """Nodes: cells from one to the next, metres, the first one's place, (rows, columns) of nodes and of cells."""

    factor: int
    node_m: float
    easting: float
    northing: float
    nodes: tuple[int, int]
    cells: tuple[int, int]


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

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> centres = np.arange(5.0, 300.0, 10.0)
    >>> grid = xr.Dataset(coords={"northing": centres, "easting": centres})
    >>> mean, variance = krige([95.0, 205.0], [95.0, 205.0], [2.0, -1.0], 0.25, grid, Matern(1.5, 100.0, 1.0))
    >>> mean.dims, round(float(mean.sel(northing=95, easting=95)), 2)
    (('northing', 'easting'), 1.54)
    >>> round(float(variance.sel(northing=95, easting=95)), 2)
    0.2
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
    around = cells_east, cells_north
    sensors = None if 0 in shape else prepare(easting, northing, value, noise_variance, covariance, around)
    if sensors is None:
        return np.zeros(shape, np.float32), np.full(shape, covariance.variance, np.float32)
    lattice = lattice_of(sensors, cells_east, cells_north, covariance, nodes_per_range)
    if lattice is None:
        at_north, at_east = np.meshgrid(cells_north, cells_east, indexing="ij")
        given = easting, northing, value, noise_variance
        mean, variance = krige_at(*given, at_east.ravel(), at_north.ravel(), covariance)
        return mean.reshape(shape), variance.reshape(shape)
    return _on_lattice(sensors, lattice, covariance)


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
    if at_east.shape != at_north.shape:
        raise ValueError(f"{at_east.size} eastings and {at_north.size} northings of points; expected equal (krige_at)")
    mean, variance = np.zeros(at_east.shape, np.float32), np.full(at_east.shape, covariance.variance, np.float32)
    somewhere = np.isfinite(at_east) & np.isfinite(at_north)
    mean[~somewhere] = variance[~somewhere] = np.nan
    around = at_east[somewhere], at_north[somewhere]
    if somewhere.any():
        sensors = prepare(easting, northing, value, noise_variance, covariance, around)
        if sensors is not None:
            mean[somewhere], variance[somewhere] = _scaled(*_at_points(sensors, *around, covariance), covariance)
    return mean, variance


def prepare(
    easting: ArrayLike,
    northing: ArrayLike,
    value: ArrayLike,
    noise_variance: ArrayLike,
    covariance: Matern,
    around: tuple[NDArray[np.float64], NDArray[np.float64]],
    like: Buckets | None = None,
) -> Sensors | None:
    """Check and merge sensors and sort them into buckets (the same as `like`); None when nobody says anything.

    around : eastings and northings of what is asked for; who is out of reach of all of it is left out

    Sensors at one position become one of their precision-weighted mean, and so do crowds (`_grouped`).
    """
    x, y, z, noise = (np.asarray(a, np.float64).ravel() for a in (easting, northing, value, noise_variance))
    if not x.size == y.size == z.size or noise.size not in (1, z.size):
        raise ValueError(
            f"{x.size} eastings, {y.size} northings, {z.size} values and {noise.size} noise variances; "
            "expected equal numbers, or one noise for all (krige)"
        )
    noise = np.broadcast_to(noise, z.shape)
    known = np.isfinite(x) & np.isfinite(y) & np.isfinite(z) & ~np.isnan(noise) & ~np.isposinf(noise)
    if np.any(noise[known] < 0):
        raise ValueError(f"{int(np.sum(noise[known] < 0))} noise variances are below 0; expected 0 or more (krige)")
    beyond = _reach(covariance) + 2.0 * covariance.range_m  # the outermost nodes stand a little outside
    for place, asked in ((x, around[0]), (y, around[1])):
        known &= (place >= np.fmin.reduce(asked) - beyond) & (place <= np.fmax.reduce(asked) + beyond)
    if not known.any():
        return None
    row = np.flatnonzero(known)
    row = row[_order(x[row], y[row], z[row], noise[row])]
    x, y, z, noise = x[row], y[row], z[row] / np.sqrt(covariance.variance), noise[row] / covariance.variance
    exact = bool(noise.min() < _EXACT)
    grouped = _grouped(x, y, noise, covariance)
    group: NDArray[np.int64] = np.arange(x.size)
    share = np.ones(x.size)
    if grouped is not None:
        group, share = grouped
        together = np.bincount(group, 1.0 / np.maximum(noise, _LEAST))
        precise = np.bincount(group, noise == 0.0) > 0
        noise = np.where(precise, 0.0, 1.0 / together)
        x, y, z = (np.bincount(group, share * a).astype(np.float64) for a in (x, y, z))
    index = sort_into_buckets(x, y, like)
    precision: type[np.floating] = np.float32
    if exact or noise.min() < 0.1 * _EXACT:
        precision = np.float64
        noise = np.maximum(noise, 1e-10)  # two exact sensors a hair apart must not make the matrix singular
    in_buckets = np.empty_like(index.order)
    in_buckets[index.order] = np.arange(index.order.size)
    became, given = np.full(known.size, -1), np.zeros(known.size)
    became[row], given[row] = in_buckets[group], share
    return Sensors(index, z[index.order].astype(precision), noise[index.order].astype(precision), became, given)


def _reach(covariance: Matern) -> float:
    """Metres beyond which no sensor counts."""
    return min(covariance.distance_at(_UNRELATED), EVERYWHERE)


def _order(
    x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64], noise: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Sort by northing and so on, so that any order of the same sensors gives the same bits."""
    order = np.argsort(y)
    if np.all(np.diff(y[order]) > 0):
        return order
    return np.lexsort((noise, z, x, y))


def _grouped(
    x: NDArray[np.float64], y: NDArray[np.float64], noise: NDArray[np.float64], covariance: Matern
) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Which sorted sensors count as one, and the share of each in its group by precision; None where each is alone.

    Those at one position are one: same answer, and no singular matrix. Crowds are pooled over squares so small that the
    field in them differs by less than sensors err; otherwise the neighbours that a tile shares would all be of one
    crowd. Few beside each other stay as they are.
    """
    moves = (np.diff(x) != 0) | (np.diff(y) != 0)
    usual = float(np.partition(noise, x.size // 10)[x.size // 10])
    pooled = _POOLED * (0.1 if covariance.two_nu == 1 else 1.0)  # a field with nu = 1/2 is rough within a square too
    square = min(_metres_apart(covariance, pooled * usual), covariance.range_m / 12)
    crowd, cell = np.zeros(x.size, bool), np.zeros(x.size, np.int64)
    if square > 1e-3 * covariance.range_m and x.size >= _CROWD:
        column, row = ((a - a.min()) // square for a in (x, y))
        corner = column + row * (column.max() + 1.0)
        beside = np.sort(corner)
        if np.any(beside[_CROWD - 1 :] == beside[: 1 - _CROWD]):
            _, cell, size = np.unique(corner, return_inverse=True, return_counts=True)
            crowd = (size >= _CROWD)[cell] & (noise >= 0.5 * usual)
    if moves.all() and not crowd.any():
        return None
    group = np.r_[0, np.cumsum(moves)]
    if crowd.any():
        group = np.where(crowd, x.size + cell, group)
    _, group = np.unique(group, return_inverse=True)
    precision = 1.0 / np.maximum(noise, _LEAST)
    return group, precision / np.bincount(group, precision)[group]


def _metres_apart(covariance: Matern, variance: float) -> float:
    """Metres at which two places of the field differ by this variance, in units of the field's; at most a range."""
    farthest = 2.0 * (1.0 - float(covariance(covariance.range_m)) / covariance.variance)
    return covariance.distance_at(1.0 - 0.5 * variance) if variance < farthest else covariance.range_m


def neighbours_for(sensors: Sensors, covariance: Matern) -> int:
    """Sensors a tile shares: 64 where near ones screen off the rest, more where they do not.

    Noise weakens screening, and so does a smooth field (nu = 5/2); sensors that stand in rows along streets fill a
    neighbourhood with one direction. Each step was chosen at 5,000 sensors for 0.035 sd from the exact process.
    """
    typical = float(np.median(sensors.noise))
    wanted = 64 if typical <= 0.2 else 96 if typical <= 1.0 else 128
    occupied = np.diff(sensors.buckets.start)
    crowding = float(np.var(occupied)) / float(np.mean(occupied))
    if covariance.two_nu == 5 or crowding > _CLUSTERED:
        wanted = max(wanted, 112)
    if crowding > _HEAPED:
        wanted = 192 if sensors.value.dtype == np.float64 else 384
    return wanted


def lattice_of(
    sensors: Sensors,
    cells_east: NDArray[np.float64],
    cells_north: NDArray[np.float64],
    covariance: Matern,
    nodes_per_range: float = _NODES_PER_RANGE,
) -> Lattice | None:
    """Lay nodes over cells; None where cells are not square, even and ascending."""
    step_east, step_north = _even_step(cells_east), _even_step(cells_north)
    steps = [step for step in (step_east, step_north) if step is not None]
    square = len(steps) < 2 or abs(steps[0] - steps[1]) <= _EVEN * steps[0]
    if not steps or not square or _uneven(cells_east, cells_north):
        return None
    cell_m, shape = steps[0], (cells_north.size, cells_east.size)
    factor = _cells_per_node(sensors, cell_m, covariance, nodes_per_range)
    margin = 2 if factor > 1 else 0
    rows, columns = (-(-n // factor) + 2 * margin for n in shape)
    offset = (0.5 * (factor - 1) - margin * factor) * cell_m
    return Lattice(
        factor, factor * cell_m, float(cells_east[0]) + offset, float(cells_north[0]) + offset, (rows, columns), shape
    )


def nodes_arguments(sensors: Sensors, lattice: Lattice, covariance: Matern) -> tuple[Any, ...]:
    """What the kernels of tiles take of the lattice, the neighbourhoods and the buckets, in their order."""
    index = sensors.buckets
    return (
        lattice.node_m, lattice.easting - index.west, lattice.northing - index.south,
        neighbours_for(sensors, covariance), _reach(covariance), covariance.two_nu,
        max(covariance.scale, _FLAT), index.start, index.n_east, index.n_north, index.width, index.east, index.north,
    )  # fmt: skip


def _on_lattice(
    sensors: Sensors, lattice: Lattice, covariance: Matern
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    work = np.float32 if lattice.factor > 1 else sensors.value.dtype
    mean, variance = np.empty((2, *lattice.nodes), work)
    over_rows(
        tiles.krige_tiles, -(-lattice.nodes[0] // tiles.TILE), *nodes_arguments(sensors, lattice, covariance),
        sensors.value, sensors.noise, mean, variance,
    )  # fmt: skip
    if lattice.factor == 1:
        return _scaled(mean, variance, covariance)
    fine_mean, fine_variance = np.empty((2, *lattice.cells), np.float32)  # together large enough for large pages
    upsample(mean * np.float32(np.sqrt(covariance.variance)), lattice, fine_mean)
    upsample(variance * np.float32(covariance.variance), lattice, fine_variance, 0.0, covariance.variance)
    return fine_mean, fine_variance


def upsample(
    nodes: NDArray[np.float32],
    lattice: Lattice,
    out: NDArray[np.float32],
    least: float = -np.inf,
    most: float = np.inf,
) -> None:
    """Carry nodes to all cells, held between two bounds."""
    weights, shift = tiles.upsample_weights(lattice.factor)
    bounds = np.float32(least), np.float32(most)
    over_rows(tiles.upsample, lattice.cells[0], nodes, lattice.factor, weights, shift, *bounds, out)


def _cells_per_node(sensors: Sensors, cell_m: float, covariance: Matern, nodes_per_range: float) -> int:
    """Cells from one node to the next: neither the field nor the pinhole of a precise sensor is stepped over."""
    step, allowed = covariance.range_m / nodes_per_range, _PINHOLE * float(sensors.noise.min())
    if covariance.two_nu == 1:  # the mean has a cusp at every sensor
        step, allowed = 0.5 * step, 0.1 * allowed
    step = min(step, _metres_apart(covariance, allowed))
    return max(1, min(int(step / cell_m), 64))


def _at_points(
    sensors: Sensors, at_east: NDArray[np.float64], at_north: NDArray[np.float64], covariance: Matern
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    index = sensors.buckets
    mean, variance = np.empty(at_east.size, sensors.value.dtype), np.empty(at_east.size, sensors.value.dtype)
    over_rows(
        tiles.krige_points, at_east.size, at_east - index.west, at_north - index.south,
        neighbours_for(sensors, covariance),
        _reach(covariance),
        covariance.two_nu, max(covariance.scale, _FLAT), index.start, index.n_east, index.n_north, index.width,
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
