"""Weights of sensors' values at every node of the lattice, kept so that new values reach the map without any algebra.

With U and v of a tile as in `tiles.py`, the mean at its nodes is weights'z with weights = U^-1 v; they depend on where
sensors stand and how much they err, and not on what they say. A leaf is a tile, cut or whole.
"""

from typing import Any

import numpy as np

from analytics.kernels.blocks import PAD, ROWS, subtract_products
from analytics.kernels.buckets import neighbourhood
from analytics.kernels.jit import cell_kernel, kernel
from analytics.kernels.tiles import TILE, around, cut_in_four, factor, lay_nodes, padded_size, solve

LEAF = np.dtype([("row", "i4"), ("column", "i4"), ("side", "i4"), ("n", "i4"), ("slot", "i8"), ("weight", "i8")])


@cell_kernel()
def count_leaves(
    first: Any,
    last: Any,
    columns: Any,
    node_m: Any,
    origin_east: Any,
    origin_north: Any,
    neighbours: Any,
    reach: Any,
    start: Any,
    n_east: Any,
    n_north: Any,
    width: Any,
    east: Any,
    north: Any,
    counts: Any,
) -> None:
    """Count in rows of tiles the leaves, their sensors, and their weights; counts : (rows of tiles, 3) i8."""
    m = min(neighbours, east.size)
    found = np.empty(m + 1, np.int64)
    near, near_distance = np.empty(east.size, np.int64), np.empty(padded_size(east.size), np.float32)
    waiting = np.empty((16, 3), np.int64)
    for tile_row in range(first, last):
        counts[tile_row] = 0
        for tile_column in range((columns + TILE - 1) // TILE):
            waiting[0, 0], waiting[0, 1], waiting[0, 2] = tile_row * TILE, tile_column * TILE, TILE
            left = 1
            while left > 0:
                left -= 1
                r, c, side = waiting[left, 0], waiting[left, 1], waiting[left, 2]
                at_east = origin_east + (c + 0.5 * (side - 1)) * node_m
                at_north = origin_north + (r + 0.5 * (side - 1)) * node_m
                half = 0.5 * side * node_m
                n = neighbourhood(
                    at_east, at_north, half, m, reach, start, n_east, n_north, width, east, north, near, near_distance,
                    found,
                )  # fmt: skip
                inside = 0
                for i in range(n):
                    inside += abs(east[found[i]] - at_east) <= half and abs(north[found[i]] - at_north) <= half
                if side > 1 and 4 * inside > neighbours and m < east.size:
                    left = cut_in_four(waiting, left, r, c, side // 2)
                    continue
                counts[tile_row, 0] += 1
                counts[tile_row, 1] += n
                counts[tile_row, 2] += n * side * side


@cell_kernel()
def weigh(
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
    first_of_row: Any,
    everything: Any,
    leaves: Any,
    sensor: Any,
    stands: Any,
    weights: Any,
    mean: Any,
    variance: Any,
    done: Any,
) -> None:
    """Factor the leaves of rows of tiles and keep their weights; unless `everything`, those only whose sensors changed.

    first_of_row : (rows of tiles + 1, 3) where the leaves, sensors and weights of each row begin; sensor : (slots,) in
    bucket order; stands : (slots, 3) east and north in the frame of the buckets, and noise, by which a change is seen;
    done : (rows of tiles,) leaves that were factored, -1 where tiles are cut differently from what is kept
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
    waiting = np.empty((16, 3), np.int64)
    rows, columns = mean.shape
    for tile_row in range(first, last):
        leaf = first_of_row[tile_row, 0]
        slot, place = first_of_row[tile_row, 1], first_of_row[tile_row, 2]
        done[tile_row] = 0
        for tile_column in range((columns + TILE - 1) // TILE):
            waiting[0, 0], waiting[0, 1], waiting[0, 2] = tile_row * TILE, tile_column * TILE, TILE
            left = 1
            while left > 0:
                left -= 1
                r, c, side = waiting[left, 0], waiting[left, 1], waiting[left, 2]
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
                own = leaves[leaf]
                if everything:
                    own["row"], own["column"], own["side"], own["n"] = r, c, side, n
                    own["slot"], own["weight"] = slot, place
                elif leaf >= first_of_row[tile_row + 1, 0] or own["row"] != r or own["column"] != c or own["n"] != n:
                    done[tile_row] = -1
                    break
                changed = everything
                for i in range(n):
                    f, k = found[i], slot + i
                    if stands[k, 0] != east[f] or stands[k, 1] != north[f] or stands[k, 2] != noise[f]:
                        changed = True
                        stands[k, 0], stands[k, 1], stands[k, 2] = east[f], north[f], noise[f]
                    sensor[k] = f
                if changed:
                    done[tile_row] += 1
                    factor(n, two_nu, s, x, y, noisy, u, pending, w, pivots)
                    lay_nodes(side, node_m, node_x, node_y)
                    solve(n, side * side, two_nu, s, node_x, node_y, x, y, u, w, v, pivots, tile_mean, tile_variance)
                    substitute_back(n, side * side, u, v)
                    for i in range(n):
                        for j in range(side * side):
                            weights[place + i * side * side + j] = v[i, j]
                    for i in range(min(side, rows - r)):
                        for j in range(min(side, columns - c)):
                            mean[r + i, c + j] = tile_mean[i * side + j]
                            variance[r + i, c + j] = tile_variance[i * side + j]
                leaf += 1
                slot += n
                place += n * side * side
            if done[tile_row] < 0:
                break


@kernel()
def substitute_back(n: Any, nodes: Any, u: Any, v: Any) -> None:
    """Overwrite v with U^-1 v; u has inverse pivots on its diagonal, and its lower triangle is overwritten."""
    columns = padded_size(nodes)
    rows = (n + ROWS - 1) // ROWS * ROWS
    for i in range(rows):
        for j in range(i):
            u[i, j] = u[j, i]
    for back in range(0, rows, ROWS):
        i = rows - ROWS - back
        subtract_products(u, v, v, i, 0, columns, i + ROWS, rows)
        d0, d1, d2, d3 = u[i, i], u[i + 1, i + 1], u[i + 2, i + 2], u[i + 3, i + 3]
        u01, u02, u03 = u[i, i + 1], u[i, i + 2], u[i, i + 3]
        u12, u13, u23 = u[i + 1, i + 2], u[i + 1, i + 3], u[i + 2, i + 3]
        for c in range(0, columns, PAD):
            part = slice(c, c + PAD)
            one, two, three, four = v[i, part], v[i + 1, part], v[i + 2, part], v[i + 3, part]
            for k in range(PAD):
                a3 = four[k] * d3
                a2 = (three[k] - u23 * a3) * d2
                a1 = (two[k] - u12 * a2 - u13 * a3) * d1
                a0 = (one[k] - u01 * a1 - u02 * a2 - u03 * a3) * d0
                one[k], two[k], three[k], four[k] = a0, a1, a2, a3


@cell_kernel()
def invert(first: Any, last: Any, leaves: Any, sensor: Any, pointer: Any, slots: Any, leaf_of: Any) -> None:
    """Sort the slots of leaves first to last by sensor; pointer : (sensors + 1,) all 0 before, see `add_changes`."""
    for k in range(sensor.size):
        pointer[sensor[k] + 1] += 1
    for i in range(pointer.size - 1):
        pointer[i + 1] += pointer[i]
    free = pointer[:-1].copy()
    for leaf in range(first, last):
        own = leaves[leaf]
        for k in range(own["slot"], own["slot"] + own["n"]):
            e = free[sensor[k]]
            slots[e], leaf_of[e] = k, leaf
            free[sensor[k]] = e + 1


@cell_kernel()
def add_changes(
    which: Any, change: Any, pointer: Any, slots: Any, leaf_of: Any, leaves: Any, weights: Any, mean: Any, touched: Any
) -> None:
    """Add what changes of sensors' values do to the mean at the nodes.

    which : sensors in bucket order; change : of their values; slots[pointer[i]:pointer[i + 1]] : those of sensor i;
    leaf_of : (slots,) leaf of each slot; touched : (rows of tiles,) set where anything changed
    """
    rows, columns = mean.shape
    for q in range(which.size):
        d = change[q]
        for e in range(pointer[which[q]], pointer[which[q] + 1]):
            own = leaves[leaf_of[e]]
            r, c, side = own["row"], own["column"], own["side"]
            begin = own["weight"] + (slots[e] - own["slot"]) * side * side
            touched[r // TILE] = 1
            if side == TILE and r + TILE <= rows and c + TILE <= columns:
                for i in range(TILE):
                    line = mean[r + i, c : c + TILE]
                    weight = weights[begin + i * TILE : begin + (i + 1) * TILE]
                    for j in range(TILE):
                        line[j] += d * weight[j]
            else:
                for i in range(min(side, rows - r)):
                    for j in range(min(side, columns - c)):
                        mean[r + i, c + j] += d * weights[begin + i * side + j]


@cell_kernel()
def weighted(
    first: Any, last: Any, first_of_row: Any, leaves: Any, sensor: Any, weights: Any, value: Any, mean: Any
) -> None:
    """Fill the mean at the nodes of rows of tiles from all values and the weights that are kept."""
    rows, columns = mean.shape
    total = np.empty(TILE * TILE, mean.dtype)
    for leaf in range(first_of_row[first, 0], first_of_row[last, 0]):
        own = leaves[leaf]
        nodes = own["side"] * own["side"]
        for j in range(nodes):
            total[j] = mean.dtype.type(0)
        for i in range(own["n"]):
            z = value[sensor[own["slot"] + i]]
            weight = weights[own["weight"] + i * nodes : own["weight"] + (i + 1) * nodes]
            for j in range(nodes):
                total[j] += z * weight[j]
        for i in range(min(own["side"], rows - own["row"])):
            for j in range(min(own["side"], columns - own["column"])):
                mean[own["row"] + i, own["column"] + j] = total[i * own["side"] + j]
