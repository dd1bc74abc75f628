"""Local kriging, mean and variance: tiles of nodes share one neighbourhood and one Cholesky factor.

For unit-variance correlation C, sensors at s with noise variances n_i and values z, and a node at t, simple kriging is
(Rasmussen & Williams 2006, alg. 2.1)

    K = C(s, s) + diag(n) = U'U      w = U^-T z      v = U^-T C(s, t)      mean = v'w      variance = 1 - v'v

A tile is a square of nodes that share the m sensors nearest to it. Where sensors stand close (more than m / 4 of them
inside one tile) the tile is cut in four, again down to a single node, so that a shared neighbourhood still reaches past
the tile on every side. Coordinates are metres from the tile's centre, so float32 holds them to a millimetre; the pivot
is at least the noise, so float32 is safe down to a noise of 1e-3; below that the caller passes float64 work arrays.

`upsample` carries nodes to cells by 4-point Lagrange interpolation on both axes, exact for cubics.
"""

from typing import Any

import numpy as np

from analytics.kernels.buckets import nearest
from analytics.kernels.jit import cell_kernel, kernel
from analytics.kernels.matern import correlations

TILE = 8  # nodes along the side of an uncut tile
PANEL = 8  # rank-1 updates folded into one pass over a row: hides loads and stores


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
    nodes = TILE * TILE
    found = np.empty(m, np.int64)
    distance2 = np.empty(m)
    x, y, w = np.empty(m, work), np.empty(m, work), np.empty(m, work)
    u = np.empty((m, m), work)
    v = np.empty((m, nodes), work)
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
                n = nearest(
                    at_east, at_north, half, m, reach, start, n_east, n_north, width, east, north, found, distance2
                )
                inside = 0
                for i in range(n):
                    x[i] = east[found[i]] - at_east
                    y[i] = north[found[i]] - at_north
                    w[i] = value[found[i]]
                    if abs(x[i]) <= half and abs(y[i]) <= half:
                        inside += 1
                if side > 1 and 4 * inside > neighbours and m < value.size:
                    side //= 2
                    for quarter in range(4):
                        waiting[left, 0] = r + (quarter // 2) * side
                        waiting[left, 1] = c + (quarter % 2) * side
                        waiting[left, 2] = side
                        left += 1
                    continue
                factor(n, two_nu, s, x, y, noise, found, u, w)
                for i in range(side):
                    for j in range(side):
                        node_x[i * side + j] = (j - 0.5 * (side - 1)) * node_m
                        node_y[i * side + j] = (i - 0.5 * (side - 1)) * node_m
                solve(n, side * side, two_nu, s, node_x, node_y, x, y, u, w, v, tile_mean, tile_variance)
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
    found = np.empty(m, np.int64)
    distance2 = np.empty(m)
    x, y, w = np.empty(m, work), np.empty(m, work), np.empty(m, work)
    u = np.empty((m, m), work)
    v = np.empty((m, 1), work)
    origin = np.zeros(1, work)
    point_mean, point_variance = np.empty(1, work), np.empty(1, work)
    for p in range(first, last):
        n = nearest(
            at_east[p], at_north[p], 0.0, m, reach, start, n_east, n_north, width, east, north, found, distance2
        )
        for i in range(n):
            x[i] = east[found[i]] - at_east[p]
            y[i] = north[found[i]] - at_north[p]
            w[i] = value[found[i]]
        factor(n, two_nu, s, x, y, noise, found, u, w)
        solve(n, 1, two_nu, s, origin, origin, x, y, u, w, v, point_mean, point_variance)
        mean[p] = point_mean[0]
        variance[p] = point_variance[0]


@kernel()
def factor(n: Any, two_nu: Any, s: Any, x: Any, y: Any, noise: Any, found: Any, u: Any, w: Any) -> None:
    """Overwrite the upper triangle of u with U (its diagonal inverted) and w, given as values, with U^-T values.

    Right-looking, in panels: each pass over a trailing row subtracts PANEL outer products at once.
    """
    one = u.dtype.type(1)
    for i in range(n):
        correlations(two_nu, s, x, y, x[i], y[i], i, n, u[i])
        u[i, i] = one + u.dtype.type(noise[found[i]])
    a = 0
    while a < n:
        b = min(a + PANEL, n)
        for p in range(a, b):
            inverse = one / np.sqrt(u[p, p])
            for j in range(p, n):
                u[p, j] *= inverse
            w[p] *= inverse
            for q in range(p + 1, b):
                f = u[p, q]
                for j in range(q, n):
                    u[q, j] -= f * u[p, j]
                w[q] -= f * w[p]
            u[p, p] = inverse
        if b == a + PANEL:
            for i in range(b, n):
                f0, f1, f2, f3 = u[a, i], u[a + 1, i], u[a + 2, i], u[a + 3, i]
                f4, f5, f6, f7 = u[a + 4, i], u[a + 5, i], u[a + 6, i], u[a + 7, i]
                w[i] -= ((f0 * w[a] + f1 * w[a + 1]) + (f2 * w[a + 2] + f3 * w[a + 3])) + (
                    (f4 * w[a + 4] + f5 * w[a + 5]) + (f6 * w[a + 6] + f7 * w[a + 7])
                )
                for j in range(i, n):
                    u[i, j] -= ((f0 * u[a, j] + f1 * u[a + 1, j]) + (f2 * u[a + 2, j] + f3 * u[a + 3, j])) + (
                        (f4 * u[a + 4, j] + f5 * u[a + 5, j]) + (f6 * u[a + 6, j] + f7 * u[a + 7, j])
                    )
        a = b


@kernel()
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
    mean: Any,
    variance: Any,
) -> None:
    """Fill mean and variance of the first `nodes` nodes by forward substitution, all nodes of a row at once."""
    real = u.dtype.type
    for c in range(nodes):
        mean[c] = real(0)
        variance[c] = real(1)
    for i in range(n):
        correlations(two_nu, s, node_x, node_y, x[i], y[i], 0, nodes, v[i])
        p = 0
        while p + PANEL <= i:
            f0, f1, f2, f3 = u[p, i], u[p + 1, i], u[p + 2, i], u[p + 3, i]
            f4, f5, f6, f7 = u[p + 4, i], u[p + 5, i], u[p + 6, i], u[p + 7, i]
            for c in range(nodes):
                v[i, c] -= ((f0 * v[p, c] + f1 * v[p + 1, c]) + (f2 * v[p + 2, c] + f3 * v[p + 3, c])) + (
                    (f4 * v[p + 4, c] + f5 * v[p + 5, c]) + (f6 * v[p + 6, c] + f7 * v[p + 7, c])
                )
            p += PANEL
        while p < i:
            f0 = u[p, i]
            for c in range(nodes):
                v[i, c] -= f0 * v[p, c]
            p += 1
        inverse, weight = u[i, i], w[i]
        for c in range(nodes):
            t = v[i, c] * inverse
            v[i, c] = t
            mean[c] += weight * t
            variance[c] -= t * t


@cell_kernel()
def upsample(first: Any, last: Any, nodes: Any, factor_cells: Any, weights: Any, shift: Any, out: Any) -> None:
    """Fill cell rows of `out` from `nodes`, factor_cells cells apart with two nodes of margin on every side.

    weights : (factor_cells, 4) and shift : (factor_cells,) from `upsample_weights`, one row a cell of a node's block.
    """
    columns = out.shape[1]
    n = nodes.shape[1]
    line = np.empty(n, np.float32)
    for row in range(first, last):
        block, q = row // factor_cells, row % factor_cells
        r = block + 1 + shift[q]
        a, b, c, d = weights[q, 0], weights[q, 1], weights[q, 2], weights[q, 3]
        for j in range(n):
            line[j] = a * nodes[r, j] + b * nodes[r + 1, j] + c * nodes[r + 2, j] + d * nodes[r + 3, j]
        for p in range(factor_cells):
            a, b, c, d = weights[p, 0], weights[p, 1], weights[p, 2], weights[p, 3]
            o = 1 + shift[p]
            for j in range((columns - p + factor_cells - 1) // factor_cells):
                out[row, j * factor_cells + p] = (
                    a * line[j + o] + b * line[j + o + 1] + c * line[j + o + 2] + d * line[j + o + 3]
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
