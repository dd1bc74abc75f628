"""Which points a lamp sees past the buildings around it: straight rays over walls of known height.

A ray from a lamp head at height z0 to a point at z1 crosses a wall at the share t of its way; it is shaded where it
passes lower than the building, z0 + t (z1 - z0) < top. A building is met at the wall where the ray enters and at the
one where it leaves; the ray falls, so the lower of both counts. Walls lie in square buckets, each in all that its box
touches. A lamp inside a footprint hangs on that building (a facade, or a position a metre off), which shades nothing
of it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.kernels.jit import cell_kernel, kernel


class Walls(NamedTuple):
    """Walls of buildings in buckets; without any, nothing is shaded.

    west, south, width : metres, of the buckets; n_east, n_north : buckets; start : (buckets + 1,) i8
    from_east, from_north, to_east, to_north, top : f8 metres, in order of the buckets; building : i4
    host : (lamps,) i4 building that each lamp stands in, -1 without
    """

    west: float
    south: float
    width: float
    n_east: int
    n_north: int
    start: NDArray[np.int64]
    from_east: NDArray[np.float64]
    from_north: NDArray[np.float64]
    to_east: NDArray[np.float64]
    to_north: NDArray[np.float64]
    top: NDArray[np.float64]
    building: NDArray[np.int32]
    host: NDArray[np.int32]


@kernel()
def shaded(
    walls: Any, lamp: Any, east: Any, north: Any, height: Any, to_east: Any, to_north: Any, to_height: Any
) -> Any:
    """Whether a wall stands between a lamp's head and a point, all in metres."""
    if walls.start.size < 2:
        return False
    d_east, d_north, fall = to_east - east, to_north - north, to_height - height
    host = walls.host[lamp]
    c0 = max(int(np.floor((min(east, to_east) - walls.west) / walls.width)), 0)
    c1 = min(int(np.floor((max(east, to_east) - walls.west) / walls.width)), walls.n_east - 1)
    r0 = max(int(np.floor((min(north, to_north) - walls.south) / walls.width)), 0)
    r1 = min(int(np.floor((max(north, to_north) - walls.south) / walls.width)), walls.n_north - 1)
    for r in range(r0, r1 + 1):
        for c in range(c0, c1 + 1):
            for w in range(walls.start[r * walls.n_east + c], walls.start[r * walls.n_east + c + 1]):
                a_east, a_north = walls.from_east[w] - east, walls.from_north[w] - north
                b_east, b_north = walls.to_east[w] - east, walls.to_north[w] - north
                side_a = d_east * a_north - d_north * a_east
                side_b = d_east * b_north - d_north * b_east
                if (side_a > 0.0) == (side_b > 0.0) or walls.building[w] == host:
                    continue
                along_east, along_north = b_east - a_east, b_north - a_north
                t = (a_east * along_north - a_north * along_east) / (d_east * along_north - d_north * along_east)
                if 0.0 < t < 1.0 and height + t * fall < walls.top[w]:
                    return True
    return False


@cell_kernel()
def seen_shares(
    first: Any, last: Any, cell: Any, west: Any, south: Any, sources: Any, layout: Any, kind: Any, row: Any,
    column: Any, start: Any, walls: Any, inside: Any, seen: Any,
) -> None:  # fmt: skip
    """Fill `seen` for lamps first to last: share of each cell's ground outside buildings that the lamp sees, 255ths.

    west, south : outer edges of the raster; inside : (2 rows, 2 columns) bool, quarters of cells within a building,
    at whose middles the lamp is looked for; a cell all inside counts its quarters all the same
    """
    half = 0.5 * cell
    for k in range(first, last):
        c0 = layout.cell_start[kind[k]]
        for c in range(start[k + 1] - start[k]):
            r, e = row[k] + layout.cell_north[c0 + c], column[k] + layout.cell_east[c0 + c]
            outside, visible, any_visible = 0, 0, 0
            for quarter in range(4):
                q_row, q_column = 2 * r + quarter // 2, 2 * e + quarter % 2
                east, north = west + (q_column + 0.5) * half, south + (q_row + 0.5) * half
                free = not shaded(walls, k, sources.east[k], sources.north[k], sources.height[k], east, north, 0.0)
                indoors = 0 <= q_row < inside.shape[0] and 0 <= q_column < inside.shape[1] and inside[q_row, q_column]
                any_visible += free
                if not indoors:
                    outside += 1
                    visible += free
            share = visible / outside if outside > 0 else any_visible / 4
            seen[start[k] + c] = np.uint8(share * 255.0 + 0.5)
