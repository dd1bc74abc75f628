"""The streets as a network on foot, and how many shortest walks lead along each of them.

Edge betweenness with weights (Brandes 2001; radii of 400 to 1600 m: sensing.md C4): from each stop, by how much it
brings, to each venue within the radius, by how many it holds. Streets are cut where they meet; an end that stops short
of another street (names drawn as lines, pavements drawn apart) is joined to it; bridges and tunnels are taken to meet
what they cross.
"""

from dataclasses import dataclass

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray

from analytics.grid import Grid
from analytics.kernels import paths

RADIUS_M = 800.0  # ten minutes on foot
_JOIN_M = 25.0  # half of a main street with its pavements
_PIECE_M = 50.0
_SNAP_M = 0.1
_UNIT = 5000.0  # about the median of the streets that lead anywhere in Melbourne and Helsinki


@dataclass(frozen=True)
class Network:
    """Nodes (n, 2) in metres, and edges (m,): their two nodes, length in metres, and line."""

    node: NDArray[np.float64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    length_m: NDArray[np.float64]
    line: NDArray[np.object_]


def network(lines: NDArray[np.object_]) -> Network:
    """The network of some lines, cut into pieces of at most 50 m."""
    drawn = lines[~(shapely.is_missing(lines) | shapely.is_empty(lines))]
    cut = _met(drawn)
    if cut.size:
        cut = _met(np.concatenate([cut, _joints(cut)]))
    pieces = _pieces(cut)
    ends = np.stack([shapely.get_coordinates(shapely.get_point(pieces, at)) for at in (0, -1)], axis=1)
    node, place = np.unique(np.round(ends.reshape(-1, 2), 1), axis=0, return_inverse=True)
    place = place.reshape(-1, 2)
    proper = place[:, 0] != place[:, 1]
    return Network(node, place[proper, 0], place[proper, 1], shapely.length(pieces[proper]), pieces[proper])


def walks(
    streets: Network,
    origin: NDArray[np.float64],
    leaving: NDArray[np.float64],
    target: NDArray[np.float64],
    arriving: NDArray[np.float64],
    radius_m: float = RADIUS_M,
) -> NDArray[np.float64]:
    """Weighted walks along each edge, (edges,): from origins (n, 2) to targets (m, 2) within so many metres."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import dijkstra

    out = np.zeros(streets.start.size)
    if not out.size or not origin.size or not target.size:
        return out
    n = len(streets.node)
    shortest = np.lexsort((streets.length_m, np.maximum(streets.start, streets.end),
                           np.minimum(streets.start, streets.end)))  # fmt: skip
    low, high = (pick(streets.start, streets.end)[shortest] for pick in (np.minimum, np.maximum))
    kept = shortest[np.r_[True, (np.diff(low) != 0) | (np.diff(high) != 0)]]  # of parallel edges the shortest
    both = np.r_[streets.start[kept], streets.end[kept]], np.r_[streets.end[kept], streets.start[kept]]
    graph = csr_matrix((np.tile(streets.length_m[kept], 2), both), shape=(n, n))
    edges = csr_matrix((np.tile(kept + 1, 2), both), shape=(n, n))
    graph.sort_indices()
    edges.sort_indices()
    sources, weight = _at_nodes(streets, origin, leaving)
    stays, held = _at_nodes(streets, target, arriving)
    ends_here = np.zeros(n)
    ends_here[stays] = held
    for first in range(0, sources.size, 200):
        chosen = sources[first : first + 200]
        distance, before = dijkstra(graph, limit=radius_m, indices=chosen, return_predecessors=True)
        order = np.argsort(distance, axis=1, kind="stable")
        paths.pass_along(
            0, chosen.size, order, distance, before.astype(np.int64), weight[first : first + 200], ends_here,
            edges.indptr.astype(np.int64), edges.indices.astype(np.int64), edges.data - 1, out,
        )  # fmt: skip
    return out


def walks_layer(
    grid: Grid,
    lines: NDArray[np.object_],
    origin: NDArray[np.float64],
    leaving: NDArray[np.float64],
    target: NDArray[np.float64],
    arriving: NDArray[np.float64],
) -> NDArray[np.float32]:
    """ln(1 + walks) of the street that leads through a cell or beside it, (northing, easting)."""
    from rasterio.features import rasterize
    from rasterio.transform import Affine
    from scipy.ndimage import maximum_filter

    streets = network(lines)
    value = np.log1p(walks(streets, origin, leaving, target, arriving) / _UNIT)
    walked = np.flatnonzero(value > 0)
    if not walked.size:
        return np.zeros(grid.shape, np.float32)
    walked = walked[np.argsort(value[walked], kind="stable")]  # of streets that share a cell the busiest is drawn last
    transform = Affine(grid.cell_m, 0, grid.west, 0, grid.cell_m, grid.south)
    shapes = zip(streets.line[walked], value[walked].tolist(), strict=True)
    drawn = rasterize(shapes, out_shape=grid.shape, transform=transform, all_touched=True, dtype=np.float32)
    return np.asarray(maximum_filter(drawn, size=3), np.float32)


def _met(lines: NDArray[np.object_]) -> NDArray[np.object_]:
    """Lines cut where they meet, joined where nothing else meets them."""
    if not lines.size:
        return np.empty(0, object)
    parts = shapely.get_parts(shapely.line_merge(shapely.union_all(lines, grid_size=_SNAP_M)))
    return np.asarray(parts[shapely.length(parts) > 0], object)


def _joints(lines: NDArray[np.object_]) -> NDArray[np.object_]:
    """A straight line from each loose end to the nearest other line, where one is near enough."""
    ends = np.stack([shapely.get_coordinates(shapely.get_point(lines, at)) for at in (0, -1)])
    owner = np.tile(np.arange(lines.size), 2)
    _, place, times = np.unique(ends.reshape(-1, 2), axis=0, return_inverse=True, return_counts=True)
    loose = np.flatnonzero(times[place.ravel()] == 1)
    points = np.asarray(shapely.points(ends.reshape(-1, 2)[loose]), object)
    end, other = shapely.STRtree(lines).query(points, predicate="dwithin", distance=_JOIN_M)
    apart = other != owner[loose][end]
    end, other = end[apart], other[apart]
    far = shapely.distance(points[end], lines[other])
    order = np.lexsort((other, far, end))
    order = order[np.r_[True, np.diff(end[order]) != 0]] if order.size else order
    end, other = end[order], other[order]
    foot = shapely.line_interpolate_point(lines[other], shapely.line_locate_point(lines[other], points[end]))
    both = np.stack([shapely.get_coordinates(points[end]), shapely.get_coordinates(foot)], axis=1)
    joints: NDArray[np.object_] = np.asarray(shapely.linestrings(both), object).reshape(-1)
    return joints[np.asarray(shapely.length(joints)) > 0]


def _pieces(lines: NDArray[np.object_]) -> NDArray[np.object_]:
    """Each line in equal pieces of at most `_PIECE_M`."""
    if not lines.size:
        return np.empty(0, object)
    number = np.maximum(np.ceil(shapely.length(lines) / _PIECE_M).astype(np.int64), 1)
    line = np.repeat(np.arange(lines.size), number)
    nth = np.arange(line.size) - np.repeat(np.cumsum(number) - number, number)
    share = [(nth + step) / number[line] for step in (0, 1)]
    ends = [
        shapely.get_coordinates(shapely.line_interpolate_point(lines[line], part, normalized=True)) for part in share
    ]
    # straight from end to end: within 50 m a street bends by less than its width
    return np.asarray(shapely.linestrings(np.stack(ends, axis=1)), object)


def _at_nodes(
    streets: Network, point: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nodes nearest to points, each once, and the sum of the points' weights there."""
    from scipy.spatial import cKDTree

    _, nearest = cKDTree(streets.node).query(point)
    nodes, place = np.unique(np.asarray(nearest, np.int64), return_inverse=True)
    return nodes, np.bincount(place, weight, nodes.size).astype(np.float64)


def lines_of(streets: geopandas.GeoDataFrame) -> NDArray[np.object_]:
    """The single lines of a table of streets."""
    return np.asarray(shapely.get_parts(streets.geometry.to_numpy()), object)
