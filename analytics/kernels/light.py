"""Illuminance from lamps by the point-source law, as cell averages and at single points.

A lamp at height h above the plane, at distance d, gamma from nadir, q = cos^2 gamma = h^2 / (h^2 + r^2)
(EN 13201-3:2015 clause 7; CIE 140):

    horizontal     E = I(gamma) cos^3 gamma / h^2
    cylindrical    E = I(gamma) sin gamma / (pi d^2)      vertical illuminance averaged over all facings

The default distribution, where no photometric file is known, is axial and downward (analytics/light.py says why):

    I(gamma) = peak cos gamma (1 + b sin^4 gamma),   luminous flux = pi peak (1 + b / 3)

so that E = peak / h^2 q^2 (1 + b (1 - q)^2) needs one division and no root. A cell holds the mean of its four Gauss
points, exact for cubics across the cell; its centre alone is coarse beside a 5 m pole.
"""

from typing import Any

import numpy as np

from analytics.kernels.jit import cell_kernel, kernel

_GAUSS = 0.28867513459481287  # 1 / (2 sqrt 3): the Gauss-Legendre points of a unit cell, from its centre


@kernel()
def horizontal(r2: Any, h2: Any, peak_over_h2: Any, b: Any, one: Any) -> Any:
    """Horizontal illuminance in lx at squared horizontal distance r2 from a lamp (metres squared)."""
    q = h2 / (h2 + r2)
    s = one - q
    return peak_over_h2 * q * q * (one + b * s * s)


@cell_kernel()
def light_raster(
    first: Any,
    last: Any,
    cell: Any,
    west: Any,
    south: Any,
    cutoff: Any,
    east: Any,
    north: Any,
    height: Any,
    peak: Any,
    b: Any,
    weight: Any,
    total: Any,
    weighted: Any,
) -> None:
    """Fill rows of `total` with the illuminance in lx of all lamps and of `weighted` with it times each lamp's weight.

    west, south: centre of cell (0, 0); lamps sorted by northing, (n,) f8 metres, peak : (n,) f8 cd, b : (n,) f8;
    weight : (n,) f8; total, weighted : (rows, columns) f4. Lamps count within `cutoff` metres of a cell's centre.
    """
    one = np.float32(1)
    columns = total.shape[1]
    step = np.float32(cell)
    lo, hi = np.float32(-_GAUSS * cell), np.float32(_GAUSS * cell)
    for row in range(first, last):
        for c in range(columns):
            total[row, c] = 0
            weighted[row, c] = 0
    begin = np.searchsorted(north, south + first * cell - cutoff)
    end = np.searchsorted(north, south + (last - 1) * cell + cutoff, side="right")
    for k in range(begin, end):
        if not peak[k] > 0:
            continue
        h2 = np.float32(height[k] * height[k])
        scale = np.float32(0.25 * peak[k] / (height[k] * height[k]))
        shape, share = np.float32(b[k]), np.float32(weight[k])
        r0 = max(int(np.ceil((north[k] - cutoff - south) / cell)), first)
        r1 = min(int(np.floor((north[k] + cutoff - south) / cell)) + 1, last)
        for row in range(r0, r1):
            d_north = south + row * cell - north[k]
            reach = np.sqrt(max(cutoff * cutoff - d_north * d_north, 0.0))
            c0 = max(int(np.ceil((east[k] - reach - west) / cell)), 0)
            c1 = min(int(np.floor((east[k] + reach - west) / cell)) + 1, columns)
            below, above = np.float32(d_north) + lo, np.float32(d_north) + hi
            below *= below
            above *= above
            offset = np.float32(west + c0 * cell - east[k])
            line, share_line = total[row, c0 : max(c0, c1)], weighted[row, c0 : max(c0, c1)]
            for j in range(line.size):
                d_east = offset + np.float32(np.int32(j)) * step
                left, right = d_east + lo, d_east + hi
                left *= left
                right *= right
                lux = (
                    horizontal(left + below, h2, scale, shape, one) + horizontal(right + below, h2, scale, shape, one)
                ) + (horizontal(left + above, h2, scale, shape, one) + horizontal(right + above, h2, scale, shape, one))
                line[j] += lux
                share_line[j] += share * lux


@cell_kernel()
def light_points(
    first: Any,
    last: Any,
    at_east: Any,
    at_north: Any,
    at_height: Any,
    cylindrical: Any,
    cutoff: Any,
    east: Any,
    north: Any,
    height: Any,
    peak: Any,
    b: Any,
    weight: Any,
    total: Any,
    weighted: Any,
) -> None:
    """Fill `total` and `weighted` at points first to last, each at its own height in metres above the ground.

    cylindrical : (points,) bool; where False the plane is horizontal and looks up. A lamp below the point adds nothing.
    """
    for p in range(first, last):
        total[p] = 0.0
        weighted[p] = 0.0
        begin = np.searchsorted(north, at_north[p] - cutoff)
        end = np.searchsorted(north, at_north[p] + cutoff, side="right")
        for k in range(begin, end):
            h = height[k] - at_height[p]
            d_east, d_north = at_east[p] - east[k], at_north[p] - north[k]
            r2 = d_east * d_east + d_north * d_north
            if h <= 0.0 or r2 > cutoff * cutoff:
                continue
            if cylindrical[p]:
                d2 = h * h + r2
                q = h * h / d2
                intensity = peak[k] * np.sqrt(q) * (1.0 + b[k] * (1.0 - q) ** 2)
                lux = intensity * np.sqrt(1.0 - q) / (np.pi * d2)
            else:
                lux = horizontal(r2, h * h, peak[k] / (h * h), b[k], 1.0)
            total[p] += lux
            weighted[p] += weight[k] * lux


@cell_kernel()
def lowest_around(first: Any, last: Any, radius_cells: Any, value: Any, out: Any) -> None:
    """Fill rows of `out` with the lowest `value` within radius_cells of each cell; infinite cells do not count."""
    rows, columns = value.shape
    reach = int(radius_cells)
    for row in range(first, last):
        for c in range(columns):
            out[row, c] = np.float32(np.inf)
        for d in range(-reach, reach + 1):
            r = row + d
            if r < 0 or r >= rows:
                continue
            span = int(np.sqrt(radius_cells * radius_cells - d * d))
            for e in range(-span, span + 1):
                line = out[row, max(0, -e) : min(columns, columns - e)]
                around = value[r, max(0, e) : min(columns, columns + e)]
                for c in range(line.size):
                    line[c] = min(line[c], around[c])
