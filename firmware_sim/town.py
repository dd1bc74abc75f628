"""What stands still in the pretend city: pieces of street with their usual crowd, roads with their traffic, venues.

Streets are cut into pieces of about 25 m. Each piece has a *base*, the people who pass it in the hour from 20:00 on an
ordinary Tuesday, a *habit* (how its crowd moves through the night: quiet, street or nightlife) and a *zone* (a square
of 400 m whose crowd swings together). Bases are invented: they grow with the capacity of venues within 150 m, near
stops and on busy kinds of street, times a seeded spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas
import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial import cKDTree

from firmware_sim.streams import stream
from sensors.city import City

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

QUIET, STREET, NIGHTLIFE = 0, 1, 2
HABITS = 3
ZONE_M = 400.0
_PIECE_M = 25.0
_VENUE_REACH_M = 150.0
_STOP_REACH_M = 80.0

# How much busier on foot a kind of street is than an ordinary one (invented; OpenStreetMap's words).
_ON_FOOT = {
    "pedestrian": 4.0,
    "primary": 2.5,
    "secondary": 2.2,
    "tertiary": 1.8,
    "living_street": 1.2,
    "residential": 0.9,
    "footway": 1.0,
    "unclassified": 0.9,
    "service": 0.5,
    "path": 0.5,
    "cycleway": 0.5,
    "steps": 0.6,
    "arterial": 2.5,
    "council major": 2.0,
    "council minor": 1.0,
}
# Vehicles a day where no traffic table says: minor streets 500-2,000 (data README 6), others by rank.
_VEHICLES = {
    "motorway": 40_000.0,
    "trunk": 25_000.0,
    "primary": 14_000.0,
    "secondary": 9_000.0,
    "tertiary": 4_000.0,
    "residential": 900.0,
    "unclassified": 900.0,
    "living_street": 500.0,
    "service": 200.0,
    "arterial": 14_000.0,
    "council major": 6_000.0,
    "council minor": 1_000.0,
}
_BASE_PER_HOUR = 25.0
_LATE_MIN = 780.0  # a venue that closes at 01:00 or later makes nightlife


@dataclass(frozen=True)
class Pieces:
    """Short pieces of line, as points in their middle; arrays are (n_pieces,)."""

    easting: Floats
    northing: Floats
    length_m: Floats
    row: Ints  # of the table that was cut

    @property
    def points(self) -> Floats:
        """(n, 2) array of easting and northing, metres."""
        return np.column_stack([self.easting, self.northing])


@dataclass(frozen=True)
class Venues:
    """Where people go in the evening; arrays are (n_venues,)."""

    points: Floats  # (n, 2) metres
    capacity: Floats  # persons
    closes_min: Floats  # minutes after local noon on Friday and Saturday


@dataclass(frozen=True)
class Town:
    """Everything of the pretend city that does not change from night to night."""

    city: City
    seed: int
    walk: Pieces
    base: Floats  # (n_walk,) persons/h from 20:00 on a Tuesday
    habit: Ints  # (n_walk,)
    zone: Ints  # (n_walk,)
    zones: int
    roads: Pieces
    vehicles: Floats  # (n_roads,) vehicles a day
    venues: Venues
    lonlat: tuple[float, float]  # degrees, of the middle; for the sun

    @classmethod
    def of(cls, city: City, seed: int) -> Town:
        """The pretend city on the places of a city folder; the same seed gives the same city."""
        streets, sections = city.places("streets"), city.places("sections")
        kinds = streets.set_index("street")["kind"].str.lower()
        on_foot = sections[sections["street"].map(streets.set_index("street")["walkable"]).fillna(False).astype(bool)]
        if not len(on_foot):
            on_foot = sections
        venues = _venues(city)
        walk = cut(on_foot)
        kind = on_foot["street"].map(kinds).fillna("").to_numpy()
        base, nightlife = _bases(kind, walk, venues, city.places("stops"), stream(seed, "bases"), len(on_foot))
        habit = np.select([nightlife > 0.6, (nightlife > 0.2) | (base > 120)], [NIGHTLIFE, STREET], QUIET).astype(
            np.int64
        )
        squares = np.floor(walk.points / ZONE_M).astype(np.int64)
        distinct, zone = np.unique(squares, axis=0, return_inverse=True)
        roads, vehicles = _roads(city, kinds)
        return cls(
            city,
            seed,
            walk,
            base,
            habit,
            zone.reshape(-1),
            len(distinct),
            roads,
            vehicles,
            venues,
            city.centre_lonlat(),
        )

    def nearest_walk(self, points: Floats) -> Ints:
        """The piece of walkable street nearest to each point, (n,) from (n, 2) metres."""
        _, index = cKDTree(self.walk.points).query(points)
        return np.asarray(index, np.int64)


def cut(lines: geopandas.GeoDataFrame, piece_m: float = _PIECE_M) -> Pieces:
    """Lines cut into equal pieces no longer than `piece_m`."""
    geometry = np.asarray(lines.geometry.array)
    length = shapely.length(geometry)
    count = np.maximum(1, np.ceil(length / piece_m)).astype(np.int64)
    row = np.repeat(np.arange(len(geometry)), count)
    within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    piece = length[row] / count[row]
    middle = shapely.line_interpolate_point(geometry[row], (within + 0.5) * piece)
    return Pieces(shapely.get_x(middle), shapely.get_y(middle), piece, row)


def _venues(city: City) -> Venues:
    table = city.places("venues")
    points = np.column_stack([table.geometry.x, table.geometry.y]).reshape(-1, 2)
    return Venues(
        points,
        np.nan_to_num(table["capacity"].to_numpy(np.float64), nan=60.0),
        table["closes_min"].to_numpy(np.float64),
    )


def _bases(
    kind: npt.NDArray[np.object_],
    walk: Pieces,
    venues: Venues,
    stops: geopandas.GeoDataFrame,
    generator: np.random.Generator,
    sections: int,
) -> tuple[Floats, Floats]:
    """Usual crowd (persons/h) and share of nightlife (0..1) of each piece."""
    spread = np.exp(generator.normal(0.0, 0.35, sections))
    on_foot = np.array([_ON_FOOT.get(str(name), 0.8) for name in kind])
    capacity, late = np.zeros(len(walk.row)), np.zeros(len(walk.row))
    if len(venues.capacity):
        near = cKDTree(walk.points).query_ball_point(venues.points, _VENUE_REACH_M)
        for people, closes_min, pieces in zip(venues.capacity, venues.closes_min, near, strict=True):
            capacity[pieces] += people
            late[pieces] += people * (closes_min >= _LATE_MIN)
    stop = np.ones(len(walk.row))
    if len(stops):
        positions = np.column_stack([stops.geometry.x, stops.geometry.y])
        distance, _ = cKDTree(positions).query(walk.points)
        stop = 1.0 + 0.8 * np.exp(-distance / _STOP_REACH_M)
    base = _BASE_PER_HOUR * on_foot[walk.row] * spread[walk.row] * (1.0 + capacity / 300.0) ** 0.7 * stop
    return np.minimum(base, 1500.0), 1.0 - np.exp(-late / 400.0)


def _roads(city: City, kinds: object) -> tuple[Pieces, Floats]:
    """Pieces of road with their vehicles a day: from the traffic table where there is one, else by kind of street."""
    streets, traffic = city.places("streets"), city.places("traffic")
    by_kind = np.array([_VEHICLES.get(str(kind).lower(), 0.0) for kind in streets["kind"]])
    # With a traffic table the main roads are known, so only minor streets are guessed.
    driven = streets[(by_kind > 0) & ((by_kind < 5_000) | (len(traffic) == 0))]
    pieces = [cut(driven)]
    vehicles = [by_kind[driven.index.to_numpy()][pieces[0].row]]
    if len(traffic):
        lines = traffic.explode(index_parts=False).reset_index(drop=True)
        pieces.append(cut(lines))
        vehicles.append(np.nan_to_num(lines["aadt"].to_numpy(np.float64))[pieces[1].row])
    joined = Pieces(
        *(
            np.concatenate([getattr(part, name) for part in pieces])
            for name in ("easting", "northing", "length_m", "row")
        )
    )
    return joined, np.concatenate(vehicles)
