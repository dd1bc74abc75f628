"""The light of each lamp on the cells around it, kept apart, so that dimming is one multiplication.

A footprint holds a lamp's mean horizontal illuminance at full level over every cell within the cutoff, one after the
other in the order of its layout (analytics/footprints.py). A cell's mean is a Gauss-Legendre sum over points, many
beside the pole and one far away. All points of a lamp are one vector and pass three loops: where in the table each
looks (arithmetic only), the look-up (one load each), the interpolation. With unit vectors,

    E = I(C, gamma) cos gamma / d^2 = I(C, gamma) h / (h^2 + r^2)^(3/2)          (EN 13201-3:2015 clause 7)

Table: both angles enter without inverse functions as the diamond angle of a direction (a, b), |b| / (|a| + |b|) in each
quadrant; for gamma that is r / (r + h), nearly even in degrees. An entry packs the four corners of one cell of the
table, 16 bits each, into 64 bits: one load for a bilinear value instead of four.

The default distribution needs no table: E = peak / h^2 q^2 (1 + b (1 - q)^2), q = h^2 / (h^2 + r^2) (kernels/light.py).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.kernels.jit import cell_kernel, kernel
from analytics.kernels.light import count_upto, horizontal, table_intensity, widest

AZIMUTHS = 128  # of the table, over the circle: 2.8 degrees
RADII = 96  # over gamma 0 to 90: 0.9 degrees; a table is 99 kB and eight of them stay in a core's L2 cache

f4 = np.float32
i4 = np.int32
_LOW = np.uint32(0xFFFF)
_SIXTEEN = np.uint32(16)
_THIRTY_TWO = np.uint64(32)
_TINY = np.float32(1e-12)


class Layout(NamedTuple):
    """Which cells around a lamp its light is given for, and at which points; of every class of heights.

    east, north : (points,) f4 metres from the middle of the lamp's own cell; share : (points,) f4 of its cell's mean
    point_start : (classes + 1,) i8
    group : (groups, 3) i8 first point, cells, points a cell; the points of a group stand point by point over its cells,
    groups and cells follow one another; group_start : (classes + 1,) i8
    cell_east, cell_north : (cells,) i4 columns and rows from the lamp's own cell; cell_start : (classes + 1,) i8
    offset : (cells,) i4 the same in a flat raster; reach : (classes,) i8 cells
    """

    east: NDArray[np.float32]
    north: NDArray[np.float32]
    share: NDArray[np.float32]
    point_start: NDArray[np.int64]
    group: NDArray[np.int64]
    group_start: NDArray[np.int64]
    cell_east: NDArray[np.int32]
    cell_north: NDArray[np.int32]
    cell_start: NDArray[np.int64]
    offset: NDArray[np.int32]
    reach: NDArray[np.int64]


@kernel()
def _default_light(
    n: Any, east: Any, north: Any, share: Any, cutoff2: Any, h2: Any, scale: Any, b: Any, out: Any
) -> None:
    """Illuminance in lx at the first n points of a lamp of the default distribution, each times its share."""
    for p in range(n):
        r2 = east[p] * east[p] + north[p] * north[p]
        lux = share[p] * horizontal(r2, h2, scale, b, f4(1))
        out[p] = lux if r2 <= cutoff2 else f4(0)


@kernel()
def _where_in_table(
    n: Any, east: Any, north: Any, share: Any, cutoff2: Any, height: Any, cosine: Any, sine: Any,
    entry: Any, along: Any, across: Any, geometry: Any,
) -> None:  # fmt: skip
    """Entry of the table for each point, how far it lies between the corners, and share / d^3."""
    h2 = height * height
    for p in range(n):
        r2 = east[p] * east[p] + north[p] * north[p]
        r = np.sqrt(r2)
        radius = r / (r + height) * f4(RADII)
        j = i4(radius)
        along[p] = radius - f4(j)
        forward = east[p] * cosine + north[p] * sine
        left = north[p] * cosine - east[p] * sine
        diamond = forward / (abs(forward) + abs(left) + _TINY)
        azimuth = (f4(1) - diamond if left >= f4(0) else f4(3) + diamond) * f4(AZIMUTHS / 4)
        i = i4(azimuth)
        across[p] = azimuth - f4(i)
        entry[p] = i * i4(RADII) + j
        inverse = f4(1) / (r2 + h2)
        cubed = share[p] * inverse * np.sqrt(inverse)
        geometry[p] = cubed if r2 <= cutoff2 else f4(0)


@kernel()
def _look_up(n: Any, table: Any, entry: Any, corners: Any) -> None:
    for p in range(n):
        corners[p] = table[np.uint32(entry[p])]


@kernel()
def _interpolate(n: Any, corners: Any, along: Any, across: Any, geometry: Any, scale: Any, out: Any) -> None:
    """Bilinear intensity of the packed corners, times the geometry and the candela of one count."""
    for p in range(n):
        near = np.uint32(corners[p])
        far = np.uint32(corners[p] >> _THIRTY_TWO)
        a, b = f4(i4(near & _LOW)), f4(i4(near >> _SIXTEEN))
        c, d = f4(i4(far & _LOW)), f4(i4(far >> _SIXTEEN))
        first = a + (b - a) * along[p]
        second = c + (d - c) * along[p]
        out[p] = scale * geometry[p] * (first + (second - first) * across[p])


@kernel()
def _sum_points(group: Any, first_point: Any, lux: Any, out: Any) -> None:
    """Fill `out` with the cells' means: of each group the sum over the points of its cells."""
    cell = 0
    for g in range(group.shape[0]):
        begin, cells, points = group[g, 0] - first_point, group[g, 1], group[g, 2]
        mean = out[cell : cell + cells]
        one = lux[begin : begin + cells]
        for c in range(cells):
            mean[c] = one[c]
        for k in range(1, points):
            more = lux[begin + k * cells : begin + (k + 1) * cells]
            for c in range(cells):
                mean[c] += more[c]
        cell += cells


@cell_kernel()
def footprints(
    first: Any, last: Any, sources: Any, layout: Any, kind: Any, middle_east: Any, middle_north: Any, cutoff: Any,
    tables: Any, candela: Any, start: Any, seen: Any, value: Any,
) -> None:  # fmt: skip
    """Fill `value` with the footprints of lamps first to last, lx at full level.

    kind : (n,) i8 class of heights; middle_east, middle_north : (n,) f8 middle of the lamp's own cell
    tables : (tables, (AZIMUTHS + 1) x RADII) u8; candela : (tables,) f8 of one count
    start : (n + 1,) i8 of each lamp in `value`, f4; seen : u1 in the same order, share of the cell in 255ths, or empty
    """
    longest = 0
    for k in range(first, last):
        longest = max(longest, layout.point_start[kind[k] + 1] - layout.point_start[kind[k]])
    east, north = np.empty(longest, np.float32), np.empty(longest, np.float32)
    entry, corners = np.empty(longest, np.int32), np.empty(longest, np.uint64)
    along, across = np.empty(longest, np.float32), np.empty(longest, np.float32)
    geometry, lux = np.empty(longest, np.float32), np.empty(longest, np.float32)
    for k in range(first, last):
        a, b = layout.point_start[kind[k]], layout.point_start[kind[k] + 1]
        n = b - a
        at_east, at_north, share = layout.east[a:b], layout.north[a:b], layout.share[a:b]
        d_east, d_north = f4(middle_east[k] - sources.east[k]), f4(middle_north[k] - sources.north[k])
        for p in range(n):
            east[p] = at_east[p] + d_east
            north[p] = at_north[p] + d_north
        height, cutoff2 = sources.height[k], f4(cutoff * cutoff)
        if sources.table[k] < 0:
            scale = f4(sources.strength[k] / (height * height))
            _default_light(n, east, north, share, cutoff2, f4(height * height), scale, f4(sources.shape[k]), lux)
        else:
            table = sources.table[k]
            _where_in_table(
                n, east, north, share, cutoff2, f4(height), f4(sources.cosine[k]), f4(sources.sine[k]),
                entry, along, across, geometry,
            )  # fmt: skip
            _look_up(n, tables[table], entry, corners)
            scale = f4(sources.strength[k] * height * candela[table])
            _interpolate(n, corners, along, across, geometry, scale, lux)
        groups = layout.group[layout.group_start[kind[k]] : layout.group_start[kind[k] + 1]]
        mine = value[start[k] : start[k + 1]]
        _sum_points(groups, a, lux, mine)
        if seen.size:
            visible = seen[start[k] : start[k + 1]]
            for c in range(mine.size):
                mine[c] *= f4(visible[c]) * f4(1 / 255)


@cell_kernel()
def add_footprints(
    first: Any, last: Any, layout: Any, kind: Any, row: Any, column: Any, start: Any, value: Any, level: Any,
    weight: Any, total: Any, weighted: Any,
) -> None:  # fmt: skip
    """Add to rows of `total` each lamp's footprint times its level, and to `weighted` that times its weight.

    row, column : (n,) i8 the lamp's own cell, rows ascending; level, weight : (n,) f4; total, weighted : (rows,
    columns) f4. Lamps add in their order, so a cell is the same whatever band of rows it is in.
    """
    columns = total.shape[1]
    flat, flat_weighted = total.reshape(-1), weighted.reshape(-1)
    reach = widest(layout)
    begin = count_upto(row, first - reach - 1)
    end = count_upto(row, last + reach)
    for k in range(begin, end):
        if not level[k] > 0:
            continue
        c0, c1 = layout.cell_start[kind[k]], layout.cell_start[kind[k] + 1]
        mine, share = value[start[k] : start[k + 1]], level[k] * weight[k]
        near = layout.reach[kind[k]]
        whole = row[k] - near >= first and row[k] + near < last and column[k] - near >= 0 and column[k] + near < columns
        if whole:
            own = row[k] * columns + column[k]
            offset = layout.offset[c0:c1]
            for c in range(mine.size):
                cell = np.uint64(own + offset[c])
                flat[cell] += level[k] * mine[c]
                flat_weighted[cell] += share * mine[c]
        else:
            cell_north, cell_east = layout.cell_north[c0:c1], layout.cell_east[c0:c1]
            for c in range(mine.size):
                r, e = row[k] + cell_north[c], column[k] + cell_east[c]
                if first <= r < last and 0 <= e < columns:
                    total[r, e] += level[k] * mine[c]
                    weighted[r, e] += share * mine[c]


@cell_kernel()
def dim_footprints(
    first: Any, last: Any, lamp: Any, change: Any, layout: Any, kind: Any, row: Any, column: Any, start: Any,
    value: Any, total: Any,
) -> None:  # fmt: skip
    """Add to `total` the footprints of some lamps times the change of their level.

    lamp : (m,) i8; change : (m,) f4; first to last of them. Two threads may not work on one raster.
    """
    rows, columns = total.shape
    flat = total.reshape(-1)
    for m in range(first, last):
        k, by = lamp[m], change[m]
        c0, c1 = layout.cell_start[kind[k]], layout.cell_start[kind[k] + 1]
        mine, near = value[start[k] : start[k + 1]], layout.reach[kind[k]]
        whole = row[k] - near >= 0 and row[k] + near < rows and column[k] - near >= 0 and column[k] + near < columns
        if whole:
            own = row[k] * columns + column[k]
            offset = layout.offset[c0:c1]
            for c in range(mine.size):
                flat[np.uint64(own + offset[c])] += by * mine[c]
        else:
            for c in range(mine.size):
                r, e = row[k] + layout.cell_north[c0 + c], column[k] + layout.cell_east[c0 + c]
                if 0 <= r < rows and 0 <= e < columns:
                    total[r, e] += by * mine[c]


@cell_kernel()
def world_table(
    first: Any, last: Any, distributions: Any, luminaire: Any, tilt_cosine: Any, tilt_sine: Any, candela: Any
) -> None:
    """Fill rows of `candela`, (AZIMUTHS + 1, RADII + 1) f8, with a tilted luminaire's intensity at a table's nodes."""
    for i in range(first, last):
        diamond = 4.0 * (i % AZIMUTHS) / AZIMUTHS
        forward = 1.0 - diamond if diamond < 2.0 else diamond - 3.0
        left = diamond if diamond < 1.0 else (2.0 - diamond if diamond < 3.0 else diamond - 4.0)
        length = np.hypot(forward, left)
        for j in range(RADII + 1):
            ahead, aside, down = j * forward / length, j * left / length, 1.0 * (RADII - j)
            tilted = ahead * tilt_cosine - down * tilt_sine
            candela[i, j] = table_intensity(
                distributions, luminaire, tilted, aside, ahead * tilt_sine + down * tilt_cosine
            )
