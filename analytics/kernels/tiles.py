"""Local kriging, mean and variance: tiles of nodes share one neighbourhood and one Cholesky factor.

For unit-variance correlation C, sensors at s with noise variances n_i and values z, and a node at t, simple kriging is
(Rasmussen & Williams 2006, alg. 2.1)

    K = C(s, s) + diag(n) = U'U      w = U^-T z      v = U^-T C(s, t)      mean = v'w      variance = 1 - v'v

and the weights of the values, for maps that change value by value (`kernels/weights.py`), are U^-1 v.

A tile is a square of nodes that share the m sensors nearest to it. Where sensors stand close (more than m / 4 of them
inside one tile) the tile is cut in four, again down to a single node, so that a shared neighbourhood still reaches past
the tile on every side. Coordinates are metres from the tile's centre, so float32 holds them to a millimetre; the pivot
is at least the noise, so float32 is safe down to a noise of 1e-3; below that the caller passes float64 work arrays.

Four rows are eliminated at a time by products of blocks (`blocks.py`). Neighbourhoods are padded to whole vectors with
sensors that are out of everybody's reach and say nothing.

`upsample` carries nodes to cells by 4-point Lagrange interpolation on both axes, exact for cubics.
"""

from typing import Any

import numpy as np

from analytics.kernels.blocks import PAD, ROWS, eliminate, project, subtract_products
from analytics.kernels.buckets import neighbourhood
from analytics.kernels.jit import cell_kernel, kernel
from analytics.kernels.matern import correlations

TILE = 8  # nodes along the side of an uncut tile
_AWAY = 1e3  # in ranges: where padding stands


@cell_kernel()
def krige_tiles(
    first: Any,
    last: Any,
    node_m: Any,
    origin_east: Any,
    origin_north: Any,
    neighbours: Any,
    reach: Any,
    two_nu: Any,
    scale: Any,
    start: Any,
    n_east: Any,
    n_north: Any,
    width: Any,
    east: Any,
    north: Any,
    value: Any,
    noise: Any,
    mean: Any,
    variance: Any,
) -> None:
    """Fill rows of tiles of `mean` and `variance` at nodes node_m metres apart.

    neighbours, reach: most sensors that a tile shares, and metres beyond which none counts;
    origin_east, origin_north: node (0, 0) from the buckets' west and south in metres; value and noise : (n,) in bucket
    order, in units of the field's sd and variance; their precision is the precision of all arithmetic.
    """
    work = value.dtype
    s = work.type(scale)
    m = min(neighbours, value.size)
    padded = padded_size(m)
    nodes = TILE * TILE
    found = np.empty(m + 1, np.int64)
    near, near_distance = np.empty(value.size, np.int64), np.empty(padded_size(value.size), np.float32)
    x, y, w = np.empty(padded, work), np.empty(padded, work), np.empty(padded, work)
    pending, noisy, pivots = np.empty(padded, work), np.empty(padded, work), np.empty((ROWS, ROWS), work)
    u, v = np.empty((padded, padded), work), np.empty((padded, nodes), work)
    node_x, node_y = np.empty(nodes, work), np.empty(nodes, work)
    tile_mean, tile_variance = np.empty(nodes, work), np.empty(nodes, work)
    waiting = np.empty((16, 3), np.int64)  # tiles still to do: row, column, side; three cuts leave at most ten waiting
    rows, columns = mean.shape
    for tile_row in range(first, last):
        for tile_column in range((columns + TILE - 1) // TILE):
            waiting[0, 0], waiting[0, 1], waiting[0, 2] = tile_row * TILE, tile_column * TILE, TILE
            left = 1
            while left > 0:
                left -= 1
                r, c, side = waiting[left, 0], waiting[left, 1], waiting[left, 2]
                if r >= rows or c >= columns:
                    continue
                at_east = origin_east + (c + 0.5 * (side - 1)) * node_m
                at_north = origin_north + (r + 0.5 * (side - 1)) * node_m
                half = 0.5 * side * node_m
                n = neighbourhood(
                    at_east, at_north, half, m, reach, start, n_east, n_north, width, east, north, near, near_distance,
                    found,
                )  # fmt: skip
                inside = around(n, found, at_east, at_north, half, s, east, north, value, noise, x, y, pending, noisy)
                if side > 1 and 4 * inside > neighbours and m < value.size:
                    left = cut_in_four(waiting, left, r, c, side // 2)
                    continue
                factor(n, two_nu, s, x, y, noisy, u, pending, w, pivots)
                lay_nodes(side, node_m, node_x, node_y)
                solve(n, side * side, two_nu, s, node_x, node_y, x, y, u, w, v, pivots, tile_mean, tile_variance)
                for i in range(min(side, rows - r)):
                    for j in range(min(side, columns - c)):
                        mean[r + i, c + j] = tile_mean[i * side + j]
                        variance[r + i, c + j] = tile_variance[i * side + j]


@cell_kernel()
def krige_points(
    first: Any,
    last: Any,
    at_east: Any,
    at_north: Any,
    neighbours: Any,
    reach: Any,
    two_nu: Any,
    scale: Any,
    start: Any,
    n_east: Any,
    n_north: Any,
    width: Any,
    east: Any,
    north: Any,
    value: Any,
    noise: Any,
    mean: Any,
    variance: Any,
) -> None:
    """Fill `mean` and `variance` at points first to last, each with its own neighbourhood; else as `krige_tiles`."""
    work = value.dtype
    s = work.type(scale)
    m = min(neighbours, value.size)
    padded = padded_size(m)
    found = np.empty(m + 1, np.int64)
    near, near_distance = np.empty(value.size, np.int64), np.empty(padded_size(value.size), np.float32)
    x, y, w = np.empty(padded, work), np.empty(padded, work), np.empty(padded, work)
    pending, noisy, pivots = np.empty(padded, work), np.empty(padded, work), np.empty((ROWS, ROWS), work)
    u, v = np.empty((padded, padded), work), np.empty((padded, PAD), work)
    origin = np.zeros(PAD, work)
    point_mean, point_variance = np.empty(PAD, work), np.empty(PAD, work)
    for p in range(first, last):
        n = neighbourhood(
            at_east[p], at_north[p], 0.0, m, reach, start, n_east, n_north, width, east, north, near, near_distance,
            found,
        )  # fmt: skip
        around(n, found, at_east[p], at_north[p], 0.0, s, east, north, value, noise, x, y, pending, noisy)
        factor(n, two_nu, s, x, y, noisy, u, pending, w, pivots)
        # not PAD itself: a constant would be a type of its own, and `solve` compiled once more for it
        solve(n, origin.size, two_nu, s, origin, origin, x, y, u, w, v, pivots, point_mean, point_variance)
        mean[p] = point_mean[0]
        variance[p] = point_variance[0]


@kernel()
def cut_in_four(waiting: Any, left: Any, r: Any, c: Any, side: Any) -> Any:
    """Put the quarters of a tile, `side` nodes wide, among those that wait; return how many do."""
    for quarter in range(4):
        waiting[left + quarter, 0] = r + (quarter // 2) * side
        waiting[left + quarter, 1] = c + (quarter % 2) * side
        waiting[left + quarter, 2] = side
    return left + 4


@kernel()
def padded_size(n: Any) -> Any:
    """The next multiple of PAD."""
    return (n + PAD - 1) // PAD * PAD


@kernel()
def around(
    n: Any,
    found: Any,
    at_east: Any,
    at_north: Any,
    half: Any,
    s: Any,
    east: Any,
    north: Any,
    value: Any,
    noise: Any,
    x: Any,
    y: Any,
    pending: Any,
    noisy: Any,
) -> Any:
    """Lay the sensors found around a tile's centre, with padding; return how many stand within the tile."""
    real = x.dtype.type
    inside = 0
    for i in range(n):
        x[i] = east[found[i]] - at_east
        y[i] = north[found[i]] - at_north
        pending[i] = value[found[i]]
        noisy[i] = noise[found[i]]
        if abs(x[i]) <= half and abs(y[i]) <= half:
            inside += 1
    for i in range(n, padded_size(n)):
        x[i], y[i], pending[i], noisy[i] = real(_AWAY) / s, real(0), real(0), real(1)
    return inside


@kernel()
def lay_nodes(side: Any, node_m: Any, node_x: Any, node_y: Any) -> None:
    """Lay a tile's nodes around its centre, and padding at the last of them."""
    for i in range(side):
        for j in range(side):
            node_x[i * side + j] = (j - 0.5 * (side - 1)) * node_m
            node_y[i * side + j] = (i - 0.5 * (side - 1)) * node_m
    for i in range(side * side, padded_size(side * side)):
        node_x[i], node_y[i] = node_x[side * side - 1], node_y[side * side - 1]


@cell_kernel()
def factor(n: Any, two_nu: Any, s: Any, x: Any, y: Any, noisy: Any, u: Any, pending: Any, w: Any, pivots: Any) -> None:
    """Overwrite the upper triangle of u with U, its diagonal inverted, and w with U^-T of the values `pending`.

    What stands left of the diagonal afterwards is of no use. pivots : (4, 4) to work in
    """
    one = u.dtype.type(1)
    columns = padded_size(n)
    for i in range(0, n, ROWS):
        block = i // PAD * PAD
        for a in range(ROWS):
            correlations(two_nu, s, x, y, x[i + a], y[i + a], block, columns, u[i + a])
            u[i + a, i + a] = one + noisy[i + a]
        subtract_products(u, u, u, i, block, block + PAD, 0, i)  # the pivots have to be known before the rest
        d0 = one / np.sqrt(u[i, i])
        u01, u02, u03 = u[i, i + 1] * d0, u[i, i + 2] * d0, u[i, i + 3] * d0
        d1 = one / np.sqrt(u[i + 1, i + 1] - u01 * u01)
        u12, u13 = (u[i + 1, i + 2] - u01 * u02) * d1, (u[i + 1, i + 3] - u01 * u03) * d1
        d2 = one / np.sqrt(u[i + 2, i + 2] - u02 * u02 - u12 * u12)
        u23 = (u[i + 2, i + 3] - u02 * u03 - u12 * u13) * d2
        d3 = one / np.sqrt(u[i + 3, i + 3] - u03 * u03 - u13 * u13 - u23 * u23)
        pivots[0, 0], pivots[0, 1], pivots[0, 2], pivots[0, 3] = d0, u01, u02, u03
        pivots[1, 1], pivots[1, 2], pivots[1, 3] = d1, u12, u13
        pivots[2, 2], pivots[2, 3], pivots[3, 3] = d2, u23, d3
        eliminate(u, u, u, i, block, block + PAD, 0, pivots)
        eliminate(u, u, u, i, block + PAD, columns, i, pivots)
        u[i, i], u[i + 1, i + 1], u[i + 2, i + 2], u[i + 3, i + 3] = d0, d1, d2, d3
        w0 = pending[i] * d0
        w1 = (pending[i + 1] - u01 * w0) * d1
        w2 = (pending[i + 2] - u02 * w0 - u12 * w1) * d2
        w3 = (pending[i + 3] - u03 * w0 - u13 * w1 - u23 * w2) * d3
        w[i], w[i + 1], w[i + 2], w[i + 3] = w0, w1, w2, w3
        for c in range(block, columns, PAD):
            part = slice(c, c + PAD)
            first, second, third, fourth = u[i, part], u[i + 1, part], u[i + 2, part], u[i + 3, part]
            rest = pending[part]
            for k in range(PAD):
                rest[k] -= (first[k] * w0 + second[k] * w1) + (third[k] * w2 + fourth[k] * w3)


@cell_kernel()
def solve(
    n: Any,
    nodes: Any,
    two_nu: Any,
    s: Any,
    node_x: Any,
    node_y: Any,
    x: Any,
    y: Any,
    u: Any,
    w: Any,
    v: Any,
    pivots: Any,
    mean: Any,
    variance: Any,
) -> None:
    """Fill v with U^-T of the correlations, and mean and variance of the first `nodes` nodes, padded to vectors."""
    columns = padded_size(nodes)
    rows = (n + ROWS - 1) // ROWS * ROWS
    for i in range(0, rows, ROWS):
        for a in range(ROWS):
            correlations(two_nu, s, node_x, node_y, x[i + a], y[i + a], 0, columns, v[i + a])
            for b in range(a, ROWS):
                pivots[a, b] = u[i + a, i + b]
        eliminate(u, v, v, i, 0, columns, i, pivots)
    project(v, w, mean, variance, columns, rows)


@cell_kernel()
def upsample(
    first: Any, last: Any, nodes: Any, factor_cells: Any, weights: Any, shift: Any, least: Any, most: Any, out: Any
) -> None:
    """Fill cell rows of `out` from `nodes`, factor_cells cells apart with two nodes of margin on every side.

    weights : (factor_cells, 4) and shift : (factor_cells,) from `upsample_weights`, one row a cell of a node's block;
    least, most : bounds of what is written. Rows of nodes are carried to the columns of cells once and kept while they
    are needed, so that what is left for a cell is four products of neighbours in memory.
    """
    columns = out.shape[1]
    lines = np.empty((4, columns + factor_cells), np.float32)
    done = -1
    for row in range(first, last):
        q = row % factor_cells
        r = row // factor_cells + 1 + shift[q]
        for k in range(max(r, done + 1), r + 4):
            across(nodes[k], factor_cells, weights, shift, columns, lines[k % 4])
        done = r + 3
        a, b, c, d = weights[q, 0], weights[q, 1], weights[q, 2], weights[q, 3]
        one, two, three, four = lines[r % 4], lines[(r + 1) % 4], lines[(r + 2) % 4], lines[(r + 3) % 4]
        line = out[row]
        for j in range(columns):
            line[j] = min(max((a * one[j] + b * two[j]) + (c * three[j] + d * four[j]), least), most)


@kernel()
def across(nodes: Any, factor_cells: Any, weights: Any, shift: Any, columns: Any, line: Any) -> None:
    """Carry one row of nodes to the columns of cells."""
    for p in range(factor_cells):
        a, b, c, d = weights[p, 0], weights[p, 1], weights[p, 2], weights[p, 3]
        o = 1 + shift[p]
        for j in range((columns - p + factor_cells - 1) // factor_cells):
            line[j * factor_cells + p] = (a * nodes[j + o] + b * nodes[j + o + 1]) + (
                c * nodes[j + o + 2] + d * nodes[j + o + 3]
            )


def upsample_weights(factor_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Lagrange weights (factor_cells, 4) f4 and the shift of the first node (factor_cells,) i8, a cell of a block.

    A node sits at the middle of its block of factor_cells cells.
    """
    t = (np.arange(factor_cells) - 0.5 * (factor_cells - 1)) / factor_cells
    shift = np.where(t < 0, -1, 0).astype(np.int64)
    t = t - shift
    weights = np.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ],
        axis=1,
    )
    return weights.astype(np.float32), shift
