"""Sound past buildings: straight rays over a raster of what is built, a step of screening, and the canyon of a street.

    E(r) = 10^(L_W/10) / (2 pi r^2) * g,     g = 10^(-A/10) where buildings stand between, else max(1, min(r c, 4))

A is 10 dB as soon as a building stands between, and 0.25 dB a metre of it up to 20 dB. c = (1/w_s + 1/w_r) / 2, w the
width between the buildings on both sides of source and receiver: beyond w sound in a street falls by 3 dB a doubling
(sensing.md B5), as it does from a line, until after some four widths a crossing lets it out. Offsets from a cell are in
rings outwards; each knows the one before it on its ray, so a ray costs one step a cell.
"""

from typing import Any

import numpy as np

from analytics.kernels.jit import cell_kernel, kernel

f4 = np.float32
_MOST = f4(4.0)  # a street keeps no more than 6 dB together


@kernel()
def _between(t: Any, r: Any, c: Any, parent: Any, built: Any, crossed: Any, inside: Any) -> Any:
    """Note how many built cells stand between the source and offset t, which lies at row r, column c; return it."""
    p = parent[t]
    n = crossed[p] + inside[p]
    crossed[t] = n
    within = 0 <= r < built.shape[0] and 0 <= c < built.shape[1]
    inside[t] = built[r, c] if within else 0
    return n


@kernel()
def _factor(n: Any, screen: Any, d2: Any, canyon: Any) -> Any:
    """G of the formula."""
    if n > 0:
        return screen[min(n, screen.size - 1)]
    if canyon <= f4(0):
        return f4(1)
    return max(f4(1), min(f4(np.sqrt(d2)) * canyon, _MOST))


@cell_kernel()
def cast(
    first: Any, last: Any, cell: Any, west: Any, south: Any, near2: Any, east: Any, north: Any, power: Any,
    at: Any, built: Any, narrow: Any, offset: Any, parent: Any, reach: Any, screen: Any, out: Any,
) -> None:  # fmt: skip
    """Add to rows of `out` (energy) what sources send there past buildings.

    east, north, power : (n,) f8, of sources; at : (n, 2) i8, their cells, by ascending row; built : (rows, columns) u1
    narrow : (rows, columns) f4, 1 / width of the street, 0 in the open; offset : (k, 2) i8 in rings; parent : (k,) i8
    reach : in cells; screen : f4 by built cells between
    """
    columns = out.shape[1]
    crossed, inside = np.zeros(parent.size, np.int64), np.zeros(parent.size, np.int64)
    for k in range(power.size):
        row, column = at[k, 0], at[k, 1]
        if row + reach < first or row - reach >= last:
            continue
        sent = f4(power[k] / (2.0 * np.pi))
        own = narrow[row, column] if 0 <= row < out.shape[0] and 0 <= column < columns else f4(0)
        for t in range(parent.size):
            r, c = row + offset[t, 0], column + offset[t, 1]
            n = _between(t, r, c, parent, built, crossed, inside) if t > 0 else 0
            if first <= r < last and 0 <= c < columns:
                d_east, d_north = f4(west + c * cell - east[k]), f4(south + r * cell - north[k])
                d2 = d_east * d_east + d_north * d_north
                out[r, c] += sent / (d2 + f4(near2)) * _factor(n, screen, d2, f4(0.5) * (own + narrow[r, c]))


@cell_kernel()
def cast_patches(
    first: Any, last: Any, cell: Any, west: Any, south: Any, near2: Any, east: Any, north: Any,
    at: Any, built: Any, narrow: Any, offset: Any, parent: Any, screen: Any, out: Any,
) -> None:  # fmt: skip
    """Fill for each source first to last what a power of one sends to the cells around its own.

    out : (n, 2 k + 1, 2 k + 1) f4, zeros; the rest as in `cast`
    """
    rows, columns = built.shape
    half = out.shape[1] // 2
    crossed, inside = np.zeros(parent.size, np.int64), np.zeros(parent.size, np.int64)
    for k in range(first, last):
        row, column = at[k, 0], at[k, 1]
        own = narrow[row, column] if 0 <= row < rows and 0 <= column < columns else f4(0)
        for t in range(parent.size):
            r, c = row + offset[t, 0], column + offset[t, 1]
            n = _between(t, r, c, parent, built, crossed, inside) if t > 0 else 0
            if 0 <= r < rows and 0 <= c < columns:
                d_east, d_north = f4(west + c * cell - east[k]), f4(south + r * cell - north[k])
                d2 = d_east * d_east + d_north * d_north
                g = _factor(n, screen, d2, f4(0.5) * (own + narrow[r, c]))
                out[k, half + offset[t, 0], half + offset[t, 1]] = f4(0.15915494) / (d2 + f4(near2)) * g


@cell_kernel()
def add_patches(first: Any, last: Any, at: Any, power: Any, patch: Any, out: Any) -> None:
    """Add to rows of `out` the patches of sources, each times its power (f4); `at` : (n, 2) i8, their cells."""
    columns = out.shape[1]
    half = patch.shape[1] // 2
    for k in range(power.size):
        row, column, p = at[k, 0], at[k, 1], power[k]
        if p <= f4(0):
            continue
        c0, c1 = max(column - half, 0), min(column + half + 1, columns)
        for r in range(max(row - half, first), min(row + half + 1, last)):
            line = out[r, c0 : max(c0, c1)]
            sent = patch[k, r - row + half, c0 - column + half :]
            for c in range(line.size):
                line[c] += p * sent[c]


@cell_kernel()
def mean_factor(
    first: Any, last: Any, cell: Any, weight: Any, walked: Any, built: Any, narrow: Any, offset: Any, parent: Any,
    screen: Any, out: Any,
) -> None:  # fmt: skip
    """Fill rows of `out` with the mean of g towards the walked cells around, weighted by free spreading; 1 without any.

    weight : (k,) f4, of each offset; walked : (rows, columns) u1
    """
    rows, columns = built.shape
    crossed, inside = np.zeros(parent.size, np.int64), np.zeros(parent.size, np.int64)
    for row in range(first, last):
        for column in range(columns):
            total = heard = f4(0)
            for t in range(parent.size):
                r, c = row + offset[t, 0], column + offset[t, 1]
                n = _between(t, r, c, parent, built, crossed, inside) if t > 0 else 0
                if 0 <= r < rows and 0 <= c < columns and walked[r, c]:
                    d2 = f4((offset[t, 0] * offset[t, 0] + offset[t, 1] * offset[t, 1]) * cell * cell)
                    g = _factor(n, screen, d2, f4(0.5) * (narrow[row, column] + narrow[r, c]))
                    total += weight[t]
                    heard += weight[t] * g
            out[row, column] = heard / total if total > f4(0) else f4(1)
