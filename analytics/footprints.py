"""The light of every lamp on the cells around it, worked out once, so that a step only adds what is lit.

A cell holds the mean over its area. It is a Gauss-Legendre sum of n x n points; n is the least that keeps the default
distribution's mean, from a lamp of the lowest height of its class and wherever in its own cell it stands, within
0.01 lx per 1000 lm of 10 x 10 points. So a 10 m cell under a 5 m pole has 36 points and one at 40 m a single one. What
a single point misses of the default distribution on average over the lamp's stand is made good by a gain of some per
cent.

Values are kept while they fit in 300 MB (50,000 lamps on 10 m cells: 27 MB); else they are worked out block by block
at each call, to the same bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from analytics.distribution import packed
from analytics.grid import Grid
from analytics.kernels import footprint as kernels
from analytics.kernels import sight
from analytics.kernels.footprint import Layout
from analytics.kernels.jit import over_rows
from analytics.kernels.light import Sources
from analytics.kernels.sight import Walls
from analytics.photometry import ROAD_SHAPE, Lamps, peak_intensity

CUTOFF_M = 60.0  # ten mounting heights of a 6 m lamp: it still gives 0.01 lx there, less than the sky
KEPT_BYTES = 300_000_000
_BLOCK_BYTES = 64_000_000

_CLASSES_M = np.array([0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 7.0, 9.0, 12.0, 16.0])  # lowest height of each
_ORDERS = (1, 2, 3, 4, 5, 6, 8)
_JUDGE = 10
_TOLERANCE_LX = 0.01  # per 1000 lm
_STANDS = (-0.5, -0.25, 0.0, 0.25, 0.5)  # where in its own cell a lamp may stand, from the middle


@dataclass(frozen=True)
class Footprints:
    """What the lamps of a city can light on its grid, at full level.

    walls : what shades, possibly nothing; inside : (2 rows, 2 columns) bool, quarters of cells inside buildings
    """

    grid: Grid
    lamps: Lamps
    walls: Walls
    inside: NDArray[np.bool_]

    def light(
        self, level: NDArray[np.float64], weight: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Illuminance in lx of lamps at levels 0..1, and of illuminance times each lamp's weight; (n,) each."""
        total, weighted = np.zeros(self.grid.shape, np.float32), np.zeros(self.grid.shape, np.float32)
        levels, weights = np.asarray(level, np.float32), np.asarray(weight, np.float32)
        for first, last, value in self._blocks():
            over_rows(
                kernels.add_footprints, self.grid.shape[0], self.layout, self.kind[first:last], self.row[first:last],
                self.column[first:last], self.start[first : last + 1] - self.start[first], value, levels[first:last],
                weights[first:last], total, weighted,
            )  # fmt: skip
        return total, weighted

    def dim(self, total: NDArray[np.float32], lamp: NDArray[np.int64], change: NDArray[np.float32]) -> None:
        """Change the level of some lamps in a raster of `light`, in place; only while the values are kept."""
        kernels.dim_footprints(
            0, lamp.size, lamp, change, self.layout, self.kind, self.row, self.column, self.start, self.value, total
        )

    @property
    def bytes(self) -> int:
        """Size of all values."""
        return int(self.start[-1]) * 4

    @cached_property
    def value(self) -> NDArray[np.float32]:
        """All values, lx at full level, lamp by lamp in the order of the layout."""
        return self._work_out(0, self.lamps.easting.size)

    @cached_property
    def layout(self) -> Layout:
        """Cells and points around a lamp, by class of heights."""
        return layout_of(self.grid.cell_m, self.grid.shape[1])

    @cached_property
    def kind(self) -> NDArray[np.int64]:
        """Class of heights of each lamp."""
        return class_of_height(self.lamps.height_m)

    @cached_property
    def row(self) -> NDArray[np.int64]:
        """Row of the lamp's own cell, outside of the grid too; ascending, as lamps are."""
        return np.floor((self.lamps.northing - self.grid.south) / self.grid.cell_m).astype(np.int64)

    @cached_property
    def column(self) -> NDArray[np.int64]:
        """Column of the lamp's own cell, outside of the grid too."""
        return np.floor((self.lamps.easting - self.grid.west) / self.grid.cell_m).astype(np.int64)

    @cached_property
    def start(self) -> NDArray[np.int64]:
        """(n + 1,) where each lamp's values begin."""
        cells = np.diff(self.layout.cell_start)[self.kind]
        return np.concatenate([[0], np.cumsum(cells)]).astype(np.int64)

    @cached_property
    def sources(self) -> Sources:
        """The lamps for the kernels."""
        return self.lamps.sources

    @cached_property
    def seen(self) -> NDArray[np.uint8]:
        """Share of each cell that its lamp sees, 255ths; empty where nothing shades."""
        if self.walls.start.size < 2:
            return np.zeros(0, np.uint8)
        seen = np.empty(int(self.start[-1]), np.uint8)
        over_rows(
            sight.seen_shares, self.lamps.easting.size, self.grid.cell_m, self.grid.west, self.grid.south,
            self.sources, self.layout, self.kind, self.row, self.column, self.start, self.walls, self.inside, seen,
        )  # fmt: skip
        return seen

    @cached_property
    def _tables(self) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
        """The packed tables of the lamps' luminaires and tilts, and the candela of one count of each."""
        made = [packed(self.lamps.distributions, int(one), float(tilt)) for one, tilt in self.lamps.kinds]
        size = (kernels.AZIMUTHS + 1) * kernels.RADII
        tables = np.stack([table for table, _ in made]) if made else np.zeros((0, size), np.uint64)
        return tables, np.array([candela for _, candela in made], np.float64)

    def _blocks(self) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
        """First and last lamp of each block, and its values."""
        n = self.lamps.easting.size
        if self.bytes <= KEPT_BYTES:
            yield 0, n, self.value
            return
        bounds = np.searchsorted(self.start, np.arange(0, int(self.start[-1]), _BLOCK_BYTES // 4))
        for first, last in zip(bounds, [*bounds[1:], n], strict=True):
            yield int(first), int(last), self._work_out(int(first), int(last))

    def _work_out(self, first: int, last: int) -> NDArray[np.float32]:
        start = self.start[first : last + 1] - self.start[first]
        value = np.empty(int(start[-1]), np.float32)
        seen = self.seen[self.start[first] : self.start[last]] if self.seen.size else self.seen
        tables, candela = self._tables
        over_rows(
            kernels.footprints, last - first, Sources._make(part[first:last] for part in self.sources), self.layout,
            self.kind[first:last], self.grid.easting[0] + self.column[first:last] * self.grid.cell_m,
            self.grid.northing[0] + self.row[first:last] * self.grid.cell_m, CUTOFF_M, tables, candela, start, seen,
            value,
        )  # fmt: skip
        return value


def class_of_height(height_m: NDArray[np.float64]) -> NDArray[np.int64]:
    """Class of heights above the plane, in the order of a layout."""
    return np.maximum(np.searchsorted(_CLASSES_M, height_m, side="right") - 1, 0).astype(np.int64)


@lru_cache(maxsize=8)
def layout_of(cell_m: float, columns: int, cutoff_m: float = CUTOFF_M) -> Layout:
    """Cells and points around a lamp for each class of heights, on a raster of square cells."""
    parts = [_around(cell_m, cutoff_m, height) for height in _CLASSES_M]
    points, groups, cells = zip(*parts, strict=True)
    first_point = _starts([part.shape[1] for part in points])
    shifted = [group + np.array([begin, 0, 0]) for group, begin in zip(groups, first_point[:-1], strict=True)]
    east, north, share = np.concatenate(points, axis=1).astype(np.float32)
    cell_east, cell_north = np.concatenate(cells, axis=1).astype(np.int32)
    return Layout(
        east=east,
        north=north,
        share=share,
        point_start=first_point,
        group=np.concatenate(shifted).astype(np.int64),
        group_start=_starts([len(group) for group in groups]),
        cell_east=cell_east,
        cell_north=cell_north,
        cell_start=_starts([part.shape[1] for part in cells]),
        offset=cell_north * np.int32(columns) + cell_east,
        reach=np.array([int(np.abs(part).max()) for part in cells], np.int64),
    )


def _around(
    cell_m: float, cutoff_m: float, height_m: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """For one height: (3, points) east, north, share; (groups, 3) first point, cells, points a cell; (2, cells)."""
    reach = int(np.ceil(cutoff_m / cell_m + 0.5))
    north, east = (side.ravel() for side in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    nearest = np.hypot(np.maximum(np.abs(east) - 0.5, 0), np.maximum(np.abs(north) - 0.5, 0)) * cell_m
    east, north = east[nearest <= cutoff_m], north[nearest <= cutoff_m]
    order_of, gain_of = _orders(cell_m, height_m, reach)
    far, near = np.maximum(abs(east), abs(north)), np.minimum(abs(east), abs(north))
    order, gain = order_of[far, near], gain_of[far, near]
    points, groups, cells, begin = [], [], [], 0
    for n in np.unique(order):
        mine = order == n
        at, weight = _gauss(int(n))
        d_north, d_east = (side.ravel()[:, None] for side in np.meshgrid(at, at, indexing="ij"))
        share = np.outer(weight, weight).ravel()[:, None] * gain[mine]
        part = np.stack([(east[mine] + d_east) * cell_m, (north[mine] + d_north) * cell_m, share]).reshape(3, -1)
        points.append(part)
        cells.append(np.stack([east[mine], north[mine]]))
        groups.append((begin, int(mine.sum()), int(n * n)))
        begin += part.shape[1]
    return np.concatenate(points, axis=1), np.array(groups, np.int64), np.concatenate(cells, axis=1)


def _orders(cell_m: float, height_m: float, reach: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Points a side that a cell needs and their gain, by cells that it lies away: [farther of both ways, nearer]."""
    far, near = np.tril_indices(reach + 1)
    judged = _means(cell_m, height_m, far, near, _JUDGE)
    waiting = np.arange(far.size)
    order, gain = np.full(far.size, _ORDERS[-1], np.int64), np.ones(far.size)
    for n in _ORDERS:
        means = _means(cell_m, height_m, far[waiting], near[waiting], n)
        ratio = judged[:, waiting].sum(axis=0) / means.sum(axis=0)
        error = np.abs(means - judged[:, waiting]).max(axis=0)
        done = (error <= _TOLERANCE_LX) | (n == _ORDERS[-1])
        order[waiting[done]] = n
        if n == 1:
            gain[waiting[done]] = ratio[done]
        waiting = waiting[~done]
    orders, gains = np.zeros((reach + 1, reach + 1), np.int64), np.ones((reach + 1, reach + 1))
    orders[far, near], gains[far, near] = order, gain
    return orders, gains


def _means(
    cell_m: float, height_m: float, east: NDArray[np.int64], north: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    """Means over cells by n x n points of 1000 lm of the default distribution; (stands of the lamp, cells)."""
    at, weight = _gauss(n)
    stand = np.array(_STANDS)
    east2 = ((east[:, None] + at - stand[:, None, None]) * cell_m) ** 2  # (stands, cells, n)
    north2 = ((north[:, None] + at - stand[:, None, None]) * cell_m) ** 2
    h2 = height_m**2
    q = h2 / (h2 + east2[:, None, :, None, :] + north2[None, :, :, :, None])
    scale = float(peak_intensity(np.array([1000.0]), np.array([ROAD_SHAPE]))[0]) / h2
    lux = q * q * (1.0 + ROAD_SHAPE * (1.0 - q) ** 2)
    return np.asarray(scale * (lux.reshape(stand.size**2, east.size, n * n) @ np.outer(weight, weight).ravel()))


def _gauss(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points and weights over a cell of side 1 about its middle."""
    at, weight = np.polynomial.legendre.leggauss(n)
    return at / 2, weight / 2


def _starts(sizes: list[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *sizes]).astype(np.int64)
