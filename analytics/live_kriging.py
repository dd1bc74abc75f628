"""A kriged field that is kept up to date: new values cost microseconds, and one sensor that moves costs its own tiles.

The weights of sensors' values depend on where sensors stand and how much they err, not on what they say. They are kept
for every node of the lattice (4 bytes a node and neighbour: 17 MB for a million cells), so a new value is added to the
nodes that it reaches, and those are carried to the cells. The variance stays as it is until a sensor moves, dies or is
rated anew; then the tiles are factored again whose sensors changed.
"""

from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from analytics.covariance import Matern
from analytics.kernels import tiles, weights
from analytics.kernels.jit import over_rows
from analytics.kriging import Lattice, Sensors, lattice_of, neighbours_for, nodes_arguments, prepare, upsample

_UPDATES = 256  # after so many, the mean is summed anew from all values, so that rounding cannot add up


class LiveField:
    """A zero-mean Gaussian field on a grid, estimated from sensors whose values change.

    Parameters
    ----------
    easting, northing, value, noise_variance, grid, covariance
        As `analytics.kriging.krige` takes them; the grid's cells are square, even and ascending.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from analytics.covariance import Matern
    >>> centres = np.arange(5.0, 400.0, 10.0)
    >>> grid = xr.Dataset(coords={"northing": centres, "easting": centres})
    >>> field = LiveField([95.0, 305.0], [95.0, 305.0], [1.0, 0.0], 0.01, grid, Matern(1.5, 120.0, 1.0))
    >>> round(float(field.mean.sel(easting=95, northing=95)), 2)
    0.99
    >>> field.update([1], [2.0])
    >>> round(float(field.mean.sel(easting=305, northing=305)), 2)
    1.98
    """

    def __init__(
        self,
        easting: ArrayLike,
        northing: ArrayLike,
        value: ArrayLike,
        noise_variance: ArrayLike,
        grid: xr.Dataset | xr.DataArray,
        covariance: Matern,
    ) -> None:
        self.covariance = covariance
        self._easting, self._northing, self._value = (
            np.array(a, np.float64).ravel() for a in (easting, northing, value)
        )
        self._noise = np.array(np.broadcast_to(np.asarray(noise_variance, np.float64), self._value.shape))
        self._coordinates = {"northing": grid["northing"], "easting": grid["easting"]}
        self._cells = (grid["easting"].values.astype(np.float64), grid["northing"].values.astype(np.float64))
        self._sensors: Sensors | None = None
        self._lattice: Lattice | None = None
        self.rebuild()

    @property
    def mean(self) -> xr.DataArray:
        """Mean (northing, easting), float32; the same memory is written by later updates."""
        return xr.DataArray(self._mean, self._coordinates, ("northing", "easting"), name="mean")

    @property
    def variance(self) -> xr.DataArray:
        """Variance (northing, easting), float32, without sensor noise."""
        return xr.DataArray(self._variance, self._coordinates, ("northing", "easting"), name="variance")

    def update(self, index: ArrayLike, value: ArrayLike) -> None:
        """Give some sensors, by their place in the arrays at the beginning, new values; NaN is silence."""
        which = np.asarray(index, np.int64).ravel()
        new = np.broadcast_to(np.asarray(value, np.float64), which.shape)
        if which.size > 1 and np.unique(which).size < which.size:
            raise ValueError("a sensor stands twice among those to update; expected each once (LiveField.update)")
        turned = np.isfinite(new) != np.isfinite(self._value[which])
        if turned.any():
            self.move(which, value=new)
            return
        changed = np.where(np.isfinite(new), new - self._value[which], 0.0)
        self._value[which] = new
        sensors = self._sensors
        if sensors is None or not which.size:
            return
        heard = sensors.place[which] >= 0
        which, changed = which[heard], changed[heard] * sensors.share[which[heard]] / np.sqrt(self.covariance.variance)
        np.add.at(sensors.value, sensors.place[which], changed.astype(sensors.value.dtype))
        self._updates += 1
        if self._updates >= _UPDATES:
            self._sum_anew()
            return
        touched = np.zeros(len(self._first_of_row), np.uint8)
        weights.add_changes(
            sensors.place[which], changed.astype(self._weights.dtype), *self._slots_of_sensor, self._leaves,
            self._weights, self._nodes_mean, touched,
        )  # fmt: skip
        self._carry_over(touched[:-1])

    def move(
        self,
        index: ArrayLike,
        *,
        easting: ArrayLike | None = None,
        northing: ArrayLike | None = None,
        value: ArrayLike | None = None,
        noise_variance: ArrayLike | None = None,
    ) -> int:
        """Move sensors, or rate them anew (an infinite noise is a dead one); return how many tiles were factored."""
        which = np.asarray(index, np.int64).ravel()
        given = {"_easting": easting, "_northing": northing, "_value": value, "_noise": noise_variance}
        for name, new in given.items():
            if new is not None:
                getattr(self, name)[which] = new
        before, lattice = self._sensors, self._lattice
        if before is None or lattice is None:
            return self.rebuild()
        sensors = self._prepared(before)
        if sensors is None or sensors.value.dtype != before.value.dtype:
            return self.rebuild()
        same_neighbours = neighbours_for(sensors, self.covariance) == neighbours_for(before, self.covariance)
        if not same_neighbours or lattice_of(sensors, *self._cells, self.covariance) != lattice:
            return self.rebuild()
        self._sensors = sensors
        factored = self._weigh(sensors, lattice, everything=False)
        if factored < 0:
            return self.rebuild()
        self._forget()
        if value is not None:
            self._sum_anew()
        self._carry_over()
        return factored

    def rebuild(self) -> int:
        """Compute everything anew; return how many tiles were factored."""
        self._updates = 0
        self._forget()
        self._sensors = sensors = self._prepared(None)
        shape = (self._cells[1].size, self._cells[0].size)
        self._mean = np.zeros(shape, np.float32)
        self._variance = np.full(shape, self.covariance.variance, np.float32)
        self._lattice = None
        if sensors is None:
            return 0
        self._lattice = lattice = lattice_of(sensors, *self._cells, self.covariance)
        if lattice is None:
            raise ValueError("the grid is not of square, even, ascending cells; 'krige' answers any grid (LiveField)")
        rows = -(-lattice.nodes[0] // tiles.TILE)
        counts = np.empty((rows, 3), np.int64)
        node_m, east, north, neighbours, reach, _, _, *index = nodes_arguments(sensors, lattice, self.covariance)
        over_rows(weights.count_leaves, rows, lattice.nodes[1], node_m, east, north, neighbours, reach, *index, counts)
        self._first_of_row = np.vstack([np.zeros((1, 3), np.int64), np.cumsum(counts, axis=0)])
        leaves, slots, held = self._first_of_row[-1]
        work = sensors.value.dtype
        self._leaves = np.zeros(leaves, weights.LEAF)
        self._slots, self._stands = np.empty(slots, np.int32), np.empty((slots, 3))
        self._weights = np.empty(held, work)
        self._nodes_mean, self._nodes_variance = np.empty((2, *lattice.nodes), work)
        factored = self._weigh(sensors, lattice, everything=True)
        self._carry_over()
        return factored

    def _prepared(self, before: Sensors | None) -> Sensors | None:
        like = None if before is None else before.buckets
        if 0 in (self._cells[0].size, self._cells[1].size):
            return None
        return prepare(self._easting, self._northing, self._value, self._noise, self.covariance, self._cells, like)

    def _weigh(self, sensors: Sensors, lattice: Lattice, *, everything: bool) -> int:
        """Factor tiles; how many, or -1 if they are cut differently from what is kept."""
        done = np.zeros(len(self._first_of_row) - 1, np.int64)
        over_rows(
            weights.weigh, done.size, *nodes_arguments(sensors, lattice, self.covariance), sensors.value,
            sensors.noise, self._first_of_row, everything, self._leaves, self._slots, self._stands, self._weights,
            self._nodes_mean, self._nodes_variance, done,
        )  # fmt: skip
        return -1 if np.any(done < 0) else int(done.sum())

    def _sum_anew(self) -> None:
        assert self._sensors is not None
        self._updates = 0
        over_rows(
            weights.weighted, len(self._first_of_row) - 1, self._first_of_row, self._leaves, self._slots,
            self._weights, self._sensors.value, self._nodes_mean,
        )  # fmt: skip
        self._carry_over(np.ones(len(self._first_of_row) - 1, np.uint8))

    def _carry_over(self, touched: NDArray[np.uint8] | None = None) -> None:
        """Carry nodes to cells: of the mean in touched rows of tiles, or of both everywhere."""
        lattice = self._lattice
        assert lattice is not None
        sd, prior = np.float32(np.sqrt(self.covariance.variance)), np.float32(self.covariance.variance)
        if touched is None:
            if lattice.factor == 1:
                self._variance[:] = np.clip(self._nodes_variance, 0, 1) * prior
            else:
                upsample(self._nodes_variance.astype(np.float32) * prior, lattice, self._variance, 0.0, float(prior))
            touched = np.ones(len(self._first_of_row) - 1, np.uint8)
        mean = self._nodes_mean.astype(np.float32, copy=False)
        mean = mean if sd == 1 else mean * sd
        for first, last in _runs(touched, lattice):
            if lattice.factor == 1:
                self._mean[first:last] = mean[first:last]
            else:
                table, shift = self._upsample_weights
                free = np.float32(np.inf)
                tiles.upsample(first, last, mean, lattice.factor, table, shift, -free, free, self._mean)

    def _forget(self) -> None:
        for name in ("_slots_of_sensor", "_upsample_weights"):
            self.__dict__.pop(name, None)

    @cached_property
    def _slots_of_sensor(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
        assert self._sensors is not None
        pointer = np.zeros(self._sensors.value.size + 1, np.int64)
        slots, leaf_of = np.empty_like(self._slots), np.empty_like(self._slots)
        weights.invert(0, self._leaves.size, self._leaves, self._slots, pointer, slots, leaf_of)
        return pointer, slots, leaf_of

    @cached_property
    def _upsample_weights(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        assert self._lattice is not None
        return tiles.upsample_weights(self._lattice.factor)


def _runs(touched: NDArray[np.uint8], lattice: Lattice) -> list[tuple[int, int]]:
    """Rows of cells, first and last, that touched rows of tiles reach; what lies side by side is one run."""
    edges = np.flatnonzero(np.diff(np.r_[0, touched > 0, 0]))
    runs: list[tuple[int, int]] = []
    margin = 0 if lattice.factor == 1 else 4
    for begin, end in edges.reshape(-1, 2) * tiles.TILE:
        first = max(int(begin) - margin, 0) * lattice.factor
        last = min((int(end) + (0 if margin == 0 else 1)) * lattice.factor, lattice.cells[0])
        if runs and first <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(last, runs[-1][1]))
        elif first < last:
            runs.append((first, last))
    return runs
