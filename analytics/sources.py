"""How much sound roads, venues and people send out, as power 10^(L_W/10), and what of it reaches each cell.

roads    L_W' = 96 + 10 lg(Q / v) dB a metre, Q vehicles an hour, v = 50,000 m/h. 96 dB is a light vehicle at
50 km/h with 3 % heavy ones (CNOSSOS-EU, Directive 2015/996 tables F-1 to F-4); 66 dB at 10 m for
Q = 1000, as CRTN gives. Q is the day's traffic times the share of the hour.
rails    L_W' = 68 dB a metre for a train an hour, 58 for a tram: 51 dB at 25 m for 100 m of train at 100 km/h, and
10 dB less for a tram of 30 m at 40 km/h (from memory of Schall 03, so provisional)
voices   L_W = 64 + 15 lg N for N people talking (sensing.md B5); below one person, in proportion
"""

from typing import Any

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray

from analytics.grid import Grid
from analytics.hours import hour_of_week, minutes_after_noon
from analytics.kernels import noise as kernels
from analytics.kernels.jit import over_rows
from analytics.sound_paths import Blocks, SoundPaths, cast, venue_patches, voice_factor

_ROAD_REACH_M = 300.0
VENUE_REACH_M = 150.0
_VOICE_REACH_M = 100.0
_NEAR_M = 4.0  # nobody stands nearer to the middle of a source
_VEHICLE_POWER = 10**9.6  # 10^(L_W/10) of one vehicle
_SPEED_M_H = 50_000.0
_VOICE_POWER = 10**6.4  # of one person talking
_WALK_M_H = 4_500.0  # 1.25 m/s

# Vehicles a day by kind of street where nobody counted (minor streets 500 to 2,000; shared data README 6).
_VEHICLES = {
    "motorway": 40_000.0, "trunk": 20_000.0, "primary": 15_000.0, "arterial": 15_000.0, "secondary": 8_000.0,
    "tertiary": 4_000.0, "council major": 4_000.0, "unclassified": 1_000.0, "residential": 1_000.0,
    "council minor": 1_000.0, "living_street": 300.0, "service": 200.0, "private": 200.0,
}  # fmt: skip
# Share of the day's traffic by local clock hour: 20 h 4 %, 22 h 2.5 %, 0 h 1 %, 2 to 4 h 0.5 %, 6 h 4 % (literature,
# shared data README 6); the day between them by the usual double peak.
_SHARES = np.array(
    [1.0, 0.7, 0.5, 0.5, 0.5, 1.5, 4.0, 6.5, 7.0, 5.8, 5.4, 5.4,
     5.6, 5.6, 5.9, 6.5, 7.2, 7.4, 6.0, 4.8, 4.0, 3.2, 2.5, 1.6]
)  # fmt: skip
# Trains and trams a day on a line, both ways, where nobody says; and their share by local clock hour: every ten
# minutes by day, every twenty in the evening, none between 1 and 5 h (usual timetables; assumed).
_TRAINS_A_DAY = {"rail": 150.0, "light_rail": 200.0, "tram": 200.0}
_TRAIN_POWER = {"rail": 10**6.8, "light_rail": 10**6.0, "tram": 10**5.8}  # 10^(L_W'/10) a metre for one an hour
_TIMETABLE = np.array(
    [2.5, 0.5, 0.0, 0.0, 0.0, 2.5, 4.5, 6.5, 6.5, 6.0, 5.0, 5.0,
     5.0, 5.0, 5.0, 5.5, 6.5, 6.5, 6.0, 5.0, 4.5, 4.5, 4.0, 4.0]
)  # fmt: skip
_OUTSIDE = {"nightclub": 0.10, "bar": 0.10, "pub": 0.10}  # share of patrons who stand outside talking
_OUTSIDE_ELSE = 0.03
_LEAK = {"nightclub": 10**8.0}  # music through doors, 80 dB
_OPENS_MIN = 300.0  # 17:00
_LEAVING_MIN = 30.0  # the pavement empties over half an hour
_WEEKDAY_VENUES = (0.4, 0.4, 0.4, 0.7, 1.0, 1.0, 0.4)  # Monday to Sunday evening


def spread(
    grid: Grid,
    easting: NDArray[np.float64],
    northing: NDArray[np.float64],
    power: NDArray[np.float64],
    reach_m: float,
    energy: NDArray[np.float32],
) -> None:
    """Add to `energy` (northing, easting) what sources sorted by northing send, power as 10^(L_W/10)."""
    over_rows(
        kernels.spread_energy, grid.shape[0], grid.cell_m, float(grid.easting[0]), float(grid.northing[0]), reach_m,
        _NEAR_M**2, easting, northing, power, energy,
    )  # fmt: skip


def traffic_energy(
    grid: Grid, streets: geopandas.GeoDataFrame, traffic: geopandas.GeoDataFrame, blocks: Blocks | None = None
) -> NDArray[np.float32]:
    """Energy at each cell if a whole day's traffic passed within one hour, from counted roads and kinds of street.

    blocks : what stands in the way; without, sound spreads freely
    """
    roads = traffic[~_on_rails(traffic)]
    parts = [_street_sources(grid, streets, roads), _road_sources(grid, roads)]
    easting, northing, power = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    if blocks is not None and blocks.built.any():
        return cast(grid, blocks, easting, northing, power, _ROAD_REACH_M, _NEAR_M)
    order = np.lexsort((power, easting, northing))
    energy = np.zeros(grid.shape, np.float32)
    spread(grid, easting[order], northing[order], power[order], _ROAD_REACH_M, energy)
    return energy


def sound_paths(
    grid: Grid,
    blocks: Blocks,
    street: NDArray[np.bool_],
    traffic: geopandas.GeoDataFrame,
    venues: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> SoundPaths:
    """Ways of sound from rails, venues (their easting and northing) and people on `street` (northing, easting)."""
    cell, patch = venue_patches(grid, blocks, street, *venues, VENUE_REACH_M, _NEAR_M)
    nothing = np.zeros((0, 0), np.float32)
    voices = voice_factor(grid, blocks, street, _voice_stencil(grid.cell_m)) if blocks.built.any() else nothing
    return SoundPaths(_rail_energy(grid, traffic, blocks), voices, cell, patch)


def _rail_energy(grid: Grid, traffic: geopandas.GeoDataFrame, blocks: Blocks) -> NDArray[np.float32]:
    """Energy at each cell if a whole day's trains and trams passed within one hour; empty where nothing runs."""
    lines = traffic[_on_rails(traffic)]
    if not len(lines):
        return np.zeros((0, 0), np.float32)
    easting, northing, line, metres = along(lines.geometry, grid.cell_m)
    kinds = lines.kind.astype(str).str.lower()
    a_day = lines.aadt.to_numpy(np.float64)
    a_day = np.where(np.isfinite(a_day) & (a_day > 0), a_day, [_TRAINS_A_DAY[kind] for kind in kinds])
    power = a_day * np.array([_TRAIN_POWER[kind] for kind in kinds])
    return cast(grid, blocks, easting, northing, power[line] * metres, _ROAD_REACH_M, _NEAR_M)


def rail_share(time: np.datetime64, zone: str) -> float:
    """Share of a day's trains and trams in the hour around a moment (UTC), between the middles of clock hours."""
    return _share_at(_TIMETABLE, time, zone)


def _on_rails(traffic: geopandas.GeoDataFrame) -> NDArray[np.bool_]:
    if not len(traffic) or "kind" not in traffic:
        return np.zeros(len(traffic), bool)
    return np.asarray(traffic.kind.fillna("").astype(str).str.lower().isin(list(_TRAIN_POWER)), bool)


def traffic_share(time: np.datetime64, zone: str) -> float:
    """Share of a day's traffic that passes in the hour around a moment (UTC), between the middles of clock hours."""
    return _share_at(_SHARES, time, zone)


def _share_at(shares: NDArray[np.float64], time: np.datetime64, zone: str) -> float:
    hour = (minutes_after_noon(time, zone) / 60.0 + 12.0 - 0.5) % 24.0
    first = int(hour)
    share = (1 - (hour - first)) * shares[first] + (hour - first) * shares[(first + 1) % 24]
    return float(share / shares.sum())


def venue_power(kinds: NDArray[np.str_], capacity: NDArray[np.float64]) -> NDArray[np.float64]:
    """10^(L_W/10) outside open venues of these kinds (OpenStreetMap words) and capacities."""
    outside = np.array([_OUTSIDE.get(kind, _OUTSIDE_ELSE) for kind in kinds]) * capacity
    leak = np.array([_LEAK.get(kind, 0.0) for kind in kinds], np.float64)
    return np.asarray(_talk(outside) + leak, np.float64)


def open_share(closes_min: NDArray[np.int64], time: np.datetime64, zone: str) -> NDArray[np.float64]:
    """How much of its outdoor crowd each venue has at a moment (UTC): 0 closed, falling for half an hour after closing.

    closes_min is that of Friday and Saturday; on other evenings venues close an hour earlier and are quieter.
    """
    weekday = int(hour_of_week(np.array([time]), zone)[0]) // 24
    now = minutes_after_noon(time, zone)
    busy = _WEEKDAY_VENUES[weekday]
    closes = closing_minutes(closes_min, weekday)
    leaving = np.clip(1.0 - (now - closes) / _LEAVING_MIN, 0.0, 1.0)
    return np.asarray(busy * leaving if now >= _OPENS_MIN else np.zeros(closes_min.size), np.float64)


def closing_minutes(closes_min: NDArray[Any], weekday: int) -> NDArray[np.float64]:
    """Minutes after noon at which venues close on an evening (Monday 0), by when they do on Friday and Saturday."""
    return np.asarray(closes_min - (0.0 if _WEEKDAY_VENUES[weekday] == 1.0 else 60.0), np.float64)


def spread_voices(
    grid: Grid, footfall: NDArray[np.float32], factor: NDArray[np.float32], energy: NDArray[np.float32]
) -> None:
    """Add to `energy` (northing, easting) the voices of people who walk, footfall in persons/h.

    factor : (northing, easting), what buildings and streets make of them; empty where they spread freely
    """
    over_rows(
        kernels.spread_cells, grid.shape[0], _voice_stencil(grid.cell_m), voice_power(footfall, grid.cell_m), factor,
        energy,
    )  # fmt: skip


def voice_power(footfall: NDArray[np.float32], cell_m: float) -> NDArray[np.float32]:
    """10^(L_W/10) of the people who are in each cell: flow over walking speed times the cell's length."""
    return _talk(footfall * np.float32(cell_m / _WALK_M_H)).astype(np.float32)


def _talk(people: NDArray[np.floating]) -> NDArray[np.floating]:
    return _VOICE_POWER * np.where(people > 1, people * np.sqrt(people), people)


def _voice_stencil(cell_m: float) -> NDArray[np.float32]:
    """1 / (2 pi r^2) from a cell to those around it, softened by the near distance and the cell's own spread."""
    k = int(_VOICE_REACH_M / cell_m)
    offset = np.arange(-k, k + 1) * cell_m
    r2 = offset[:, None] ** 2 + offset[None, :] ** 2
    spread_m2 = _NEAR_M**2 + cell_m**2 / 6
    return np.where(r2 <= _VOICE_REACH_M**2, 1 / (2 * np.pi * (r2 + spread_m2)), 0).astype(np.float32)


def _street_sources(
    grid: Grid, streets: geopandas.GeoDataFrame, traffic: geopandas.GeoDataFrame
) -> tuple[NDArray[np.float64], ...]:
    """Sources on streets nobody counted: where a counted road runs within 20 m, that one speaks."""
    if not len(streets):
        return np.empty(0), np.empty(0), np.empty(0)
    kinds = streets.kind.fillna("").astype(str).str.lower()
    vehicles = np.array([_VEHICLES.get(kind, 0.0) for kind in kinds])
    driven = vehicles > 0
    easting, northing, line, metres = along(streets.geometry[driven], grid.cell_m)
    power = _road_power(vehicles[driven][line]) * metres
    if len(traffic):
        tree = shapely.STRtree(traffic.geometry.to_numpy())
        counted, _ = tree.query_nearest(shapely.points(easting, northing), max_distance=20.0, all_matches=False)
        keep = np.ones(easting.size, bool)
        keep[counted] = False
        easting, northing, power = easting[keep], northing[keep], power[keep]
    return easting, northing, power


def _road_sources(grid: Grid, traffic: geopandas.GeoDataFrame) -> tuple[NDArray[np.float64], ...]:
    if not len(traffic):
        return np.empty(0), np.empty(0), np.empty(0)
    easting, northing, line, metres = along(traffic.geometry, grid.cell_m)
    vehicles = np.nan_to_num(traffic.aadt.to_numpy(np.float64))
    return easting, northing, _road_power(vehicles[line]) * metres


def _road_power(vehicles_a_day: NDArray[np.float64]) -> NDArray[np.float64]:
    """10^(L_W'/10) a metre when all of a day's vehicles pass in one hour."""
    return _VEHICLE_POWER * vehicles_a_day / _SPEED_M_H


def along(
    lines: geopandas.GeoSeries, spacing_m: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Points about every `spacing_m` metres of lines: easting, northing, place of the line, metres each stands for."""
    shapes, number = shapely.get_parts(lines.to_numpy(), return_index=True)
    lengths = shapely.length(shapes)
    counts = np.maximum(np.round(lengths / spacing_m).astype(np.int64), 1)
    which = np.repeat(np.arange(len(shapes)), counts)
    place = np.arange(which.size) - np.repeat(np.cumsum(counts) - counts, counts)
    points = shapely.line_interpolate_point(shapes[which], (place + 0.5) / counts[which], normalized=True)
    return shapely.get_x(points), shapely.get_y(points), number[which], (lengths / counts)[which]
