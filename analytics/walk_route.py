"""The way on foot between the stops of a walk: its length, its legs and its line along the city's streets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from analytics.walking import network
from sensors.city import City
from sensors.errors import WalkError
from sensors.walk import Walk

Floats = npt.NDArray[np.float64]

SPEED_M_PER_MIN = 67.0  # 4 km/h: a group waits for its slowest
MINUTES_A_STOP = 7.0  # to stand, look, answer and note
AROUND_M = 400.0  # streets this far from the stops may be on the way
NEAR_M = 60.0  # a stop farther than this from any street on foot is not on one
FARTHEST_M = 10_000.0  # between two stops


@dataclass(frozen=True)
class Route:
    """The way of a walk: one leg from each stop to the next, on a loop also back to the first.

    legs_m : (legs,) metres; lines : a line a leg, the city's projection
    """

    legs_m: Floats
    lines: list[shapely.LineString]
    stops: int

    @property
    def length_m(self) -> float:
        """All legs together, metres."""
        return float(self.legs_m.sum())

    @property
    def minutes(self) -> float:
        """How long a group takes, with its time at the stops."""
        return self.length_m / SPEED_M_PER_MIN + self.stops * MINUTES_A_STOP


class Ways:
    """Shortest ways on foot between some points of a city, (n, 2) metres."""

    def __init__(self, city: City, points: Floats) -> None:
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import dijkstra
        from scipy.spatial import cKDTree

        self.points = points
        streets = city.places("streets")
        box = shapely.box(*(points.min(axis=0) - AROUND_M), *(points.max(axis=0) + AROUND_M))
        lines = streets.geometry.to_numpy()[streets["walkable"].to_numpy(bool)]
        net = network(np.asarray(lines[shapely.intersects(lines, box)], object))
        if not len(net.node):
            raise WalkError(f"{city.name} has no street on foot around the stops; build the city again")
        self.node = net.node
        low, high = np.minimum(net.start, net.end), np.maximum(net.start, net.end)
        order = np.lexsort((net.length_m, high, low))
        first = order[
            np.r_[True, (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)]
        ]  # of parallels the shortest
        both = np.r_[low[first], high[first]], np.r_[high[first], low[first]]
        graph = csr_matrix((np.tile(net.length_m[first], 2), both), shape=(len(net.node),) * 2)
        self.off_m, self.at = cKDTree(net.node).query(points)
        distance, self._before = dijkstra(graph, limit=FARTHEST_M, indices=self.at, return_predecessors=True)
        self.way_m = distance[:, self.at] + self.off_m[:, None] + self.off_m[None, :]
        self.way_m = np.minimum(self.way_m, self.way_m.T)  # both sums of the same lengths, equal to the last bit
        np.fill_diagonal(self.way_m, 0.0)

    def line(self, one: int, other: int) -> shapely.LineString:
        """The way from one point to another."""
        nodes = [int(self.at[other])]
        while nodes[-1] != self.at[one]:
            nodes.append(int(self._before[one, nodes[-1]]))
        return shapely.LineString([self.points[one], *self.node[nodes[::-1]], self.points[other]])


def route_of(city: City, walk: Walk) -> Route:
    """The way of a walk past its stops in their order; WalkError where no way leads."""
    points = np.column_stack([walk.stops.geometry.x, walk.stops.geometry.y]).astype(np.float64)
    numbers = walk.stops.index.to_list()
    return _route(Ways(city, points), numbers, walk.settings.loop)


def _route(ways: Ways, numbers: Sequence[int], loop: bool) -> Route:
    count = len(numbers)
    legs = [(at, at + 1) for at in range(count - 1)] + ([(count - 1, 0)] if loop and count > 1 else [])
    blocked = [(numbers[one], numbers[other]) for one, other in legs if not np.isfinite(ways.way_m[one, other])]
    if blocked:
        said = ", ".join(f"{one} to {other}" for one, other in blocked)
        raise WalkError(f"no way on foot leads from stop {said}; move one of the two to the same side")
    lengths = np.array([ways.way_m[one, other] for one, other in legs], np.float64)
    return Route(lengths, [ways.line(one, other) for one, other in legs], count)
