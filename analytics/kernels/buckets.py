"""Points sorted into square buckets, so that the nearest of them are found without looking at all.

Points of one bucket lie next to each other in memory; buckets hold about three points. The search looks at rings of
buckets around the bucket of the query and stops when everything not yet seen is farther than what is held.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.kernels.approximations import bits_of_float, float_of_bits
from analytics.kernels.jit import cell_kernel, kernel

DISTANCE_TILE = 16  # cells along the side of a tile that shares its candidates
_CANDIDATES = 32
_POINTS_PER_BUCKET = 3.0
_FAR = 1e30
EVERYWHERE = 1e29  # a reach that holds back nothing


class Buckets(NamedTuple):
    """Where the points of each bucket start, and the points in bucket order.

    start : (n_north * n_east + 1,) i8; east and north : (n,) f8 metres from (west, south); order : (n,) i8, the place
    that each sorted point had in the input; width in metres.
    """

    start: NDArray[np.int64]
    n_east: int
    n_north: int
    width: float
    west: float
    south: float
    east: NDArray[np.float64]
    north: NDArray[np.float64]
    order: NDArray[np.int64]


def sort_into_buckets(
    easting: NDArray[np.float64], northing: NDArray[np.float64], like: Buckets | None = None
) -> Buckets:
    """Sort at least one point, coordinates in metres, into buckets over the points' own bounding box.

    like : sort into the same buckets as these instead; points beyond them go into the outermost ones
    """
    if like is not None:
        west, south, width, n_east, n_north = like.west, like.south, like.width, like.n_east, like.n_north
    else:
        west, south = float(easting.min()), float(northing.min())
        span_east, span_north = float(easting.max()) - west, float(northing.max()) - south
        area = max(span_east, 1.0) * max(span_north, 1.0)
        width = max(float(np.sqrt(area * _POINTS_PER_BUCKET / easting.size)), max(span_east, span_north) / 1000, 1e-3)
        n_east, n_north = int(span_east / width) + 1, int(span_north / width) + 1
    column = np.clip(((easting - west) / width).astype(np.int64), 0, n_east - 1)
    row = np.clip(((northing - south) / width).astype(np.int64), 0, n_north - 1)
    bucket, number = row * n_east + column, n_east * n_north
    small = bucket.astype(np.uint16) if number <= 65_536 else bucket  # numpy sorts short integers ten times as fast
    order = np.argsort(small, kind="stable")
    start = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(bucket, minlength=number))])
    return Buckets(
        start, n_east, n_north, width, west, south, (easting - west)[order], (northing - south)[order], order
    )


@kernel()
def nearest(
    at_east: Any,
    at_north: Any,
    half: Any,
    k: Any,
    reach: Any,
    start: Any,
    n_east: Any,
    n_north: Any,
    width: Any,
    east: Any,
    north: Any,
    found: Any,
    distance2: Any,
) -> Any:
    """Find the k points nearest to the square of half-width `half` around (at_east, at_north); return how many.

    Points farther than `reach` metres from the square are not looked for. Distance is to the square's edge, 0 inside,
    plus a thousandth of the squared distance to its centre, which orders the points inside. found : (k,) i8 sorted
    points; distance2 : (k,) f8, ascending; equal ones in sorted order.
    """
    column = min(max(int(at_east / width), 0), n_east - 1)
    row = min(max(int(at_north / width), 0), n_north - 1)
    n = 0
    ring = 0
    while True:
        bottom, top = row - ring, row + ring
        left, right = column - ring, column + ring
        for r in range(max(bottom, 0), min(top, n_north - 1) + 1):
            whole = abs(r - row) == ring
            c = max(left, 0)
            while c <= min(right, n_east - 1):
                if not whole and c != left and c != right:
                    c = right
                    if c > n_east - 1:
                        break
                b = r * n_east + c
                for s in range(start[b], start[b + 1]):
                    d_east = east[s] - at_east
                    d_north = north[s] - at_north
                    out_east = max(abs(d_east) - half, 0.0)
                    out_north = max(abs(d_north) - half, 0.0)
                    d = out_east * out_east + out_north * out_north
                    if d > reach * reach:
                        continue
                    d += 1e-3 * (d_east * d_east + d_north * d_north)
                    if n < k or d < distance2[n - 1]:
                        j = n if n < k else k - 1
                        n = min(n + 1, k)
                        while j > 0 and distance2[j - 1] > d:
                            distance2[j] = distance2[j - 1]
                            found[j] = found[j - 1]
                            j -= 1
                        distance2[j] = d
                        found[j] = s
                c += 1
        gap = _FAR  # from the query to the nearest bucket not yet seen; a side that has run out holds nothing
        if left > 0:
            gap = min(gap, at_east - left * width)
        if right < n_east - 1:
            gap = min(gap, (right + 1) * width - at_east)
        if bottom > 0:
            gap = min(gap, at_north - bottom * width)
        if top < n_north - 1:
            gap = min(gap, (top + 1) * width - at_north)
        gap -= half
        if gap > reach:
            break
        if n == k and gap > 0 and gap * gap >= distance2[k - 1]:
            break
        ring += 1
    return n


@cell_kernel()
def neighbourhood(
    at_east: Any,
    at_north: Any,
    half: Any,
    k: Any,
    reach: Any,
    start: Any,
    n_east: Any,
    n_north: Any,
    width: Any,
    east: Any,
    north: Any,
    near: Any,
    near_distance: Any,
    found: Any,
) -> Any:
    """Find the same k points as `nearest`, in sorted order instead of by distance; return how many.

    Every point of a box of buckets is measured at once, and the k-th smallest distance is found by halving the range of
    its bits: no list is kept in order. near : (n,) i8 and near_distance : (n padded by 16,) f4 are room to work in;
    found : (k + 1,).
    """
    column = min(max(int(at_east / width), 0), n_east - 1)
    row = min(max(int(at_north / width), 0), n_north - 1)
    ring, wanted = 0, -1.0
    while True:
        bottom, top = max(row - ring, 0), min(row + ring, n_north - 1)
        left, right = max(column - ring, 0), min(column + ring, n_east - 1)
        gap = _FAR  # from the square to the nearest bucket outside the box; a side that has run out holds nothing
        if left > 0:
            gap = min(gap, at_east - left * width)
        if right < n_east - 1:
            gap = min(gap, (right + 1) * width - at_east)
        if bottom > 0:
            gap = min(gap, at_north - bottom * width)
        if top < n_north - 1:
            gap = min(gap, (top + 1) * width - at_north)
        gap -= half
        everything = gap > reach
        if not everything:
            if wanted >= 0.0:
                if gap <= 0.0 or gap * gap < wanted:
                    ring += 1
                    continue
            else:
                held = 0
                for r in range(bottom, top + 1):
                    held += start[r * n_east + right + 1] - start[r * n_east + left]
                if held < k:
                    ring += 1
                    continue
        n = 0
        for r in range(bottom, top + 1):
            begin, end = start[r * n_east + left], start[r * n_east + right + 1]
            for s in range(begin, end):
                d_east = east[s] - at_east
                d_north = north[s] - at_north
                out_east = max(abs(d_east) - half, 0.0)
                out_north = max(abs(d_north) - half, 0.0)
                d = out_east * out_east + out_north * out_north
                beyond = d > reach * reach
                d += 1e-3 * (d_east * d_east + d_north * d_north)
                near[n + s - begin] = s
                near_distance[n + s - begin] = np.float32(_FAR) if beyond else np.float32(d)
            n += end - begin
        limit, ties = _smallest(near_distance, n, k)
        if everything or (gap > 0.0 and gap * gap >= limit):
            break
        wanted = min(np.float64(limit), reach * reach)
        ring += 1
    count: Any = 0
    if ties < 0:  # nobody else is at the limit: no branch for the processor to guess
        for j in range(n):
            found[count] = near[j]
            count = count + np.int64(near_distance[j] <= limit)
        return count
    for j in range(n):
        d = near_distance[j]
        if d < limit or (d == limit and ties > 0):
            found[count] = near[j]
            count += 1
            ties -= np.int64(d == limit)
    return count


@kernel()
def _smallest(distance: Any, n: Any, k: Any) -> Any:
    """Return a limit that holds the k smallest of n distances, and how many equal to it belong to them.

    -1 if all equal to it do; _FAR counts for nothing: without k others, the limit is just below it.
    """
    whole = (n + 15) // 16 * 16
    for j in range(n, whole):
        distance[j] = np.float32(_FAR)
    all_of_them = np.float32(_FAR) * np.float32(0.999)
    if count_to(distance, whole, all_of_them) <= k:
        return all_of_them, -1
    low, high = np.int32(-1), bits_of_float(all_of_them)
    while high - low > 1:
        middle = np.int32(low + (high - low) // 2)
        held = count_to(distance, whole, float_of_bits(middle))
        if held == k:
            return float_of_bits(middle), -1
        if held > k:
            high = middle
        else:
            low = middle
    below = count_to(distance, whole, float_of_bits(low)) if low >= 0 else 0
    return float_of_bits(high), k - below


@kernel()
def count_to(distance: Any, n: Any, limit: Any) -> Any:
    """How many of the first n (a multiple of 16) distances are at most `limit`."""
    total = np.int32(0)
    for j in range(n):
        total += np.int32(distance[j] <= limit)
    return total


@cell_kernel()
def nearest_distance(
    first: Any,
    last: Any,
    cell: Any,
    origin_east: Any,
    origin_north: Any,
    start: Any,
    n_east: Any,
    n_north: Any,
    width: Any,
    east: Any,
    north: Any,
    out: Any,
) -> None:
    """Fill rows of tiles of `out` with the distance in metres from each cell centre to the nearest point.

    origin_east, origin_north: centre of cell (0, 0) from the buckets' west and south, in metres. The points nearest to
    a tile serve all its cells, if they surely hold the nearest of each; where points crowd, each cell searches itself.
    """
    k = min(_CANDIDATES, east.size)
    found = np.empty(k, np.int64)
    distance2 = np.empty(k)
    rows, columns = out.shape
    half = 0.5 * DISTANCE_TILE * cell
    diagonal = half * np.sqrt(2.0)
    step = np.float32(cell)
    for tile_row in range(first, last):
        r0, r1 = tile_row * DISTANCE_TILE, min((tile_row + 1) * DISTANCE_TILE, rows)
        for c0 in range(0, columns, DISTANCE_TILE):
            c1 = min(c0 + DISTANCE_TILE, columns)
            middle_east = origin_east + (c0 + 0.5 * (DISTANCE_TILE - 1)) * cell
            middle_north = origin_north + (r0 + 0.5 * (DISTANCE_TILE - 1)) * cell
            nearest(
                middle_east, middle_north, 0.0, 1, EVERYWHERE, start, n_east, n_north, width, east, north, found,
                distance2,
            )  # fmt: skip
            d_east, d_north = east[found[0]] - middle_east, north[found[0]] - middle_north
            bound = np.sqrt(d_east * d_east + d_north * d_north) + diagonal  # no cell of the tile has to look farther
            n = nearest(
                middle_east, middle_north, half, k, bound, start, n_east, n_north, width, east, north, found, distance2
            )
            shared = n < k or k == east.size
            for r in range(r0, r1):
                at_north = origin_north + r * cell
                line = out[r, c0:c1]
                if shared:
                    for c in range(line.size):
                        line[c] = np.float32(_FAR)
                    for i in range(n):
                        d_north2 = np.float32((north[found[i]] - at_north) ** 2)
                        offset = np.float32(origin_east + c0 * cell - east[found[i]])
                        for c in range(line.size):
                            d = offset + np.float32(np.int32(c)) * step
                            line[c] = min(line[c], d * d + d_north2)
                    for c in range(line.size):
                        line[c] = np.sqrt(line[c])
                else:
                    for c in range(line.size):
                        at_east = origin_east + (c0 + c) * cell
                        nearest(
                            at_east, at_north, 0.0, 1, bound, start, n_east, n_north, width, east, north, found,
                            distance2,
                        )  # fmt: skip
                        d_east, d_north = east[found[0]] - at_east, north[found[0]] - at_north
                        line[c] = np.sqrt(d_east * d_east + d_north * d_north)
