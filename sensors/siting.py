"""Where the devices of a simulated city would plausibly stand, spread so that they cover it.

The choice is greedy and exact: the best candidate is the one whose score, discounted near what is already chosen, is
the highest; ties go to the first. No random numbers, so a rebuild stands every device where it stood.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from scipy.spatial import cKDTree

from sensors.draft import VirtualDevices, slug
from sensors.sections import middles

Points = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float64]

# How busy a street looks before anything is known of it; relative.
_STREET_WEIGHT = {
    "pedestrian": 3.0,
    "primary": 1.5,
    "secondary": 1.4,
    "tertiary": 1.2,
    "residential": 0.8,
    "unclassified": 0.8,
    "living_street": 1.0,
    "footway": 0.5,
}
_INDOORS = ("corridor", "elevator")
_MAIN = ("trunk", "primary", "secondary")
_QUIET = ("residential", "living_street", "unclassified")

_VENUE_REACH_M = 80.0
_STOP_REACH_M = 60.0
_SPREAD_M = 220.0  # a candidate this far from the chosen ones keeps 63 % of its score
_EVENLY_M = 1e5  # so wide that the discount grows with the square of the distance for any: the farthest is best
_FACADE_M = 14.0  # a meter beside a building hangs on it
_LAMP_REACH_M = 35.0  # a lux sensor stands where some lamp lights


@dataclass(frozen=True)
class Candidates:
    """Middles of outdoor walkable sections: where a device may stand."""

    points: Points  # (n, 2) metres
    kinds: npt.NDArray[np.object_]
    venues: Scores  # pull of venues, relative
    busy: Scores  # venues, stops and the street itself


def virtual_devices(layers: dict[str, geopandas.GeoDataFrame], virtual: VirtualDevices) -> geopandas.GeoDataFrame:
    """Rows for the table `sites` (without numbers) of every device that a simulated city gets.

    Parameters
    ----------
    layers : dict
        The finished tables `streets`, `sections`, `buildings`, `venues`, `stops`, `areas` and `lamps`, metres.
    virtual : VirtualDevices
        How many of each.
    """
    candidates = _candidates(layers)
    rows: list[dict[str, object]] = []
    if len(candidates.points):
        rows += _counters(candidates, virtual.footfall)
        rows += _meters(candidates, layers, virtual.noise)
        rows += _lux_sensors(candidates, layers["lamps"], virtual.lux)
    rows += _controllers(layers["lamps"], virtual.controllers)
    crs = layers["streets"].crs
    columns = [
        "device",
        "quantity",
        "height_m",
        "plane",
        "mounting",
        "sensor_class",
        "calibration",
        "lamps",
        "geometry",
    ]
    frame = geopandas.GeoDataFrame(pd.DataFrame(rows, columns=columns), geometry="geometry", crs=crs)
    frame["origin"] = "simulated"
    return frame


def choose(
    points: Points, scores: Scores, count: int, taken: Points | None = None, spread_m: float = _SPREAD_M
) -> list[int]:
    """Numbers of the `count` best candidates, each discounted by how near it is to those already chosen or `taken`.

    The discount is 1 - exp(-(d / spread)^2), d the distance to the nearest of them.

    >>> line = np.array([[0.0, 0.0], [10.0, 0.0], [500.0, 0.0]])
    >>> choose(line, np.array([3.0, 2.9, 1.0]), 2)
    [0, 2]
    """
    distance = np.full(len(points), np.inf)
    if taken is not None and len(taken) and len(points):
        distance = cKDTree(taken).query(points)[0]
    chosen: list[int] = []
    for _ in range(min(count, len(points))):
        worth = scores * -np.expm1(-((distance / spread_m) ** 2))
        worth[chosen] = -1.0
        best = int(np.argmax(worth))
        chosen.append(best)
        distance = np.minimum(distance, np.hypot(*(points - points[best]).T))
    return chosen


def _candidates(layers: dict[str, geopandas.GeoDataFrame]) -> Candidates:
    streets, sections = layers["streets"], layers["sections"]
    kinds = streets.set_index("street")["kind"].reindex(sections["street"]).to_numpy(dtype=object)
    points = middles(sections.geometry.to_numpy())
    outdoors = ~np.isin(kinds.astype(str), _INDOORS)
    # Passages of shopping centres and tunnels are streets as well; a device inside a building tells nothing of outside.
    walls = shapely.STRtree(layers["buildings"].geometry.to_numpy())
    outdoors[walls.query(shapely.points(points), predicate="intersects")[0]] = False
    points, kinds = points[outdoors], kinds[outdoors]
    weight = np.array([_STREET_WEIGHT.get(kind, 0.5) for kind in kinds])
    venues, stops = layers["venues"], layers["stops"]
    pull = _pull(points, venues, np.sqrt(venues["capacity"].to_numpy(np.float64)) / 10.0, _VENUE_REACH_M)
    arrivals = _pull(points, stops, np.ones(len(stops)), _STOP_REACH_M)
    return Candidates(points, kinds, pull, weight * (0.3 + pull + 0.7 * arrivals))


def _pull(points: Points, places: geopandas.GeoDataFrame, weight: Scores, reach_m: float) -> Scores:
    """Sum over places of weight x exp(-d^2 / (2 reach^2)) at each point, cut at four reaches."""
    total = np.zeros(len(points))
    if not len(places) or not len(points):
        return total
    sources = shapely.get_coordinates(places.geometry.to_numpy())
    near = cKDTree(points).sparse_distance_matrix(cKDTree(sources), 4 * reach_m, output_type="ndarray")
    np.add.at(total, near["i"], weight[near["j"]] * np.exp(-((near["v"] / reach_m) ** 2) / 2))
    return total


def _counters(candidates: Candidates, count: int) -> list[dict[str, object]]:
    """Three quarters where it looks busiest, one quarter where people come in from outside."""
    points = candidates.points
    entries = count // 4
    chosen = choose(points, candidates.busy, count - entries)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.minimum(points - low, high - points).min(axis=1)
    edge = np.flatnonzero(margin < 0.12 * (high - low).min())
    chosen += [int(edge[index]) for index in choose(points[edge], candidates.busy[edge], entries, points[chosen])]
    return [
        _row(
            f"counter-{number:02d}", "people_flow", points[index], height_m=3.5, mounting="pole", sensor_class="stereo"
        )
        for number, index in enumerate(chosen, 1)
    ]


def _meters(candidates: Candidates, layers: dict[str, geopandas.GeoDataFrame], count: int) -> list[dict[str, object]]:
    """A third near venues, the rest by quarters on quiet streets, in parks and beside main roads."""
    points, kinds = candidates.points, candidates.kinds.astype(str)
    parks = _parks(layers["areas"])
    n_venue = count - 3 * (count // 4) + (count // 4) // 4
    n_park = min(count // 4, len(parks))
    n_main = count // 4 - (count // 4) // 4
    n_quiet = count - n_venue - n_park - n_main
    quiet_score: Scores = np.isin(kinds, _QUIET) / (1.0 + 3.0 * candidates.venues) + 1e-3
    main_score: Scores = np.isin(kinds, _MAIN) + np.float64(1e-3)
    placed: list[tuple[float, float]] = []
    for score, wanted in ((candidates.venues, n_venue), (quiet_score, n_quiet), (main_score, n_main)):
        taken: Points = np.array(placed, np.float64).reshape(-1, 2)
        placed += [(float(points[i, 0]), float(points[i, 1])) for i in choose(points, score, wanted, taken)]
    in_parks = choose(parks, np.ones(len(parks)), n_park, np.array(placed, np.float64).reshape(-1, 2))
    rows: list[dict[str, object]] = []
    positions: Points = np.array(placed + [(float(parks[i, 0]), float(parks[i, 1])) for i in in_parks]).reshape(-1, 2)
    walls = layers["buildings"].geometry.boundary.to_numpy()
    for number, position in enumerate(positions, 1):
        free = number > len(placed)
        where, mounting = (position, "free") if free else _beside_wall(position, walls)
        rows += [
            _row(f"noise-{number:02d}", quantity, where, height_m=4.0, mounting=mounting, sensor_class="2")
            for quantity in ("sound_laeq", "sound_lamax")
        ]
    return rows


def _lux_sensors(candidates: Candidates, lamps: geopandas.GeoDataFrame, count: int) -> list[dict[str, object]]:
    """At ground level, evenly over the lit streets."""
    if not len(lamps):
        return []
    away = cKDTree(shapely.get_coordinates(lamps.geometry.to_numpy())).query(candidates.points)[0]
    lit = np.flatnonzero(away < _LAMP_REACH_M)
    chosen = lit[choose(candidates.points[lit], np.ones(len(lit)), count, spread_m=_EVENLY_M)]
    return [
        _row(f"lux-{number:02d}", "illuminance", candidates.points[index], plane="horizontal", mounting="free")
        for number, index in enumerate(chosen, 1)
    ]


def _controllers(lamps: geopandas.GeoDataFrame, each: str) -> list[dict[str, object]]:
    """One device on every lamp that the source knows, or one on every circuit of lamps, assumed ones included."""
    if each == "lamp":
        lamps = lamps[(lamps["source"] != "assumed").to_numpy()]
    if each == "none" or not len(lamps):
        return []
    positions = shapely.get_coordinates(lamps.geometry.to_numpy())
    names = lamps["lamp"].to_numpy(dtype=object)
    heights = lamps["height_m"].to_numpy(np.float64)
    if each == "lamp":
        groups = [(f"lamp-{slug(name)}", np.array([row])) for row, name in enumerate(names)]
    else:
        by_circuit = lamps.groupby("circuit", sort=True).indices
        groups = [(f"lamps-{slug(str(circuit))}", rows) for circuit, rows in by_circuit.items()]
    rows_out = []
    for device, rows in groups:
        centre = positions[rows].mean(axis=0)
        home = rows[int(np.argmin(np.hypot(*(positions[rows] - centre).T)))]
        for quantity in ("dimming", "lamp_ok"):
            row = _row(device, quantity, positions[home], height_m=float(heights[home]), mounting="pole")
            rows_out.append(row | {"lamps": ";".join(str(name) for name in names[rows])})
    return rows_out


def _parks(areas: geopandas.GeoDataFrame) -> Points:
    """A point inside each park of at least 1,500 m2, the largest first."""
    parks = areas[(areas["kind"] == "park").to_numpy()] if len(areas) else areas
    parks = parks[parks.area > 1_500.0]
    if not len(parks):
        return np.zeros((0, 2))
    order = np.argsort(-parks.area.to_numpy(), kind="stable")
    return shapely.get_coordinates(parks.geometry.iloc[order].representative_point().to_numpy())


def _beside_wall(position: Points, walls: npt.NDArray[np.object_]) -> tuple[Points, str]:
    """A metre before the nearest wall, when there is one near enough to hang a meter on; else where it is."""
    if not len(walls):
        return position, "pole"
    point = shapely.Point(position)
    wall = walls[int(np.argmin(shapely.distance(walls, point)))]
    foot = shapely.get_coordinates(shapely.shortest_line(wall, point))[0]
    away = position - foot
    distance = float(np.hypot(*away))
    if not 1.5 < distance < _FACADE_M:
        return position, "pole"
    return foot + away / distance, "facade"


def _row(
    device: str,
    quantity: str,
    position: Points,
    *,
    height_m: float = 0.0,
    plane: str = "none",
    mounting: str = "pole",
    sensor_class: str = "",
) -> dict[str, object]:
    return {
        "device": device,
        "quantity": quantity,
        "height_m": height_m,
        "plane": plane,
        "mounting": mounting,
        "sensor_class": sensor_class,
        "calibration": "",
        "lamps": "",
        "geometry": shapely.Point(float(position[0]), float(position[1])),
    }
