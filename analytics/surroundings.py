"""What stands still in a city, laid out for the kernels: lamps, walls, streets, venues, roads and sensors' places.

Computed once from the city folder; `digest` names it, so that a page can say which surroundings it was made with.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import geopandas
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.counter_gain import Gains
from analytics.footprints import Footprints
from analytics.grid import Grid
from analytics.kernels import density
from analytics.kernels.jit import over_rows
from analytics.kernels.sight import Walls
from analytics.layers import Layers, laid_on
from analytics.photometry import Lamps, prepare_lamps
from analytics.sound_paths import SoundPaths, blocks_of
from analytics.sources import sound_paths, traffic_energy, venue_power
from analytics.walking import lines_of, walks_layer
from analytics.walls import no_walls, walls_of
from sensors.city import City, LightingSettings
from sensors.luminaire import Luminaire
from sensors.quantities import QUANTITIES

ORIGINS = ("device", "recorded", "simulated")
PLANES = ("horizontal", "vertical", "none")

# Features of a place that footfall goes with (sensing.md C4: at night venues and stops dominate, centrality weakens);
# radius in metres of the quartic kernel, half of whose weight lies within 0.45 of it.
FEATURES = (
    "venues_100m",
    "venues_400m",
    "stops_250m",
    "stations_600m",
    "walks_800m",
    "pedestrian_street",
    "main_street",
    "minor_street",
    "off_street",
)
_MAIN_KINDS = ("primary", "secondary", "tertiary", "trunk", "arterial", "council major", "major")
_PEDESTRIAN_KINDS = ("pedestrian", "living_street", "square")
_MINOR_KINDS = ("service", "path", "trail", "track", "steps", "corridor", "elevator", "cycleway", "council minor")
# Beside a tram stop, how much a stop brings (trains and their intervals; a metro station has several entrances).
_BRINGS = {"rail": 10.0, "metro": 4.0, "tram": 1.0, "bus": 0.5}
_METER_SD, _METER_SD_CALIBRATED, _METER_SD_UNKNOWN = {"1": 1.0, "2": 1.5}, 2.0, 3.0  # dB
_KERB_M = 3.0  # a walkable street reaches this far beyond its half width: pavements are not in the carriageway


@dataclass(frozen=True)
class Sites:
    """Every site of the register by ascending number; (n,) arrays.

    quantity : code; origin, plane : index into ORIGINS, PLANES; inside : within the grid; row, column : its cell;
    facing_deg : bearing that a vertical plane faces, NaN where not known
    valid_from, valid_to : UTC, NaT open; lamp_start, lamp_index : lamps of site i are
    lamp_index[lamp_start[i] : lamp_start[i + 1]], rows of `Lamps`; gains : of counters that are calibrated
    meter_sd : dB, what noise meters of each site's class err by
    """

    site: NDArray[np.uint32]
    quantity: NDArray[np.uint8]
    easting: NDArray[np.float64]
    northing: NDArray[np.float64]
    height_m: NDArray[np.float64]
    plane: NDArray[np.uint8]
    facing_deg: NDArray[np.float64]
    facade: NDArray[np.bool_]
    origin: NDArray[np.uint8]
    inside: NDArray[np.bool_]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    valid_from: NDArray[np.datetime64]
    valid_to: NDArray[np.datetime64]
    lamp_start: NDArray[np.int64]
    lamp_index: NDArray[np.int64]
    gains: Gains = dataclasses.field(default_factory=Gains)
    meter_sd: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.zeros(0))

    def of(self, quantity: str) -> NDArray[np.int64]:
        """Rows of the sites that measure a quantity."""
        return np.flatnonzero(self.quantity == QUANTITIES[quantity].code)

    def rows(self, numbers: NDArray[np.uint32]) -> NDArray[np.int64]:
        """The row of each site number, -1 where the register has no such site."""
        listed = self._row_of_number
        row = listed[np.minimum(numbers, listed.size - 1)]
        return np.where(numbers < listed.size, row, -1)

    @cached_property
    def _row_of_number(self) -> NDArray[np.int64]:
        """Row by site number: numbers are given out one after the other, so the table is dense."""
        listed = np.full(int(self.site.max(initial=0)) + 1, -1, np.int64)
        listed[self.site] = np.arange(self.site.size)
        return listed


@dataclass(frozen=True)
class Venues:
    """Places that people leave at night; (n,) arrays: metres, patrons, minutes after local noon, 10^(L_W/10) open."""

    easting: NDArray[np.float64]
    northing: NDArray[np.float64]
    capacity: NDArray[np.float64]
    closes_min: NDArray[np.int64]
    power: NDArray[np.float64]


@dataclass(frozen=True)
class Surroundings:
    """A city's standing parts on its grid.

    indoor, street : (northing, easting) bool, inside a building; on a walkable street
    features : (FEATURES, northing, easting) f4; traffic : (northing, easting) f4, energy of one whole day's traffic
    passing within one hour; sound : how the rest of the sound gets past buildings
    walls : what shades lamps, nothing unless the city asks for it, and quarters : (2 rows, 2 columns) bool, quarters
    of cells inside a building, empty without walls
    layers : what the city holds of its fields besides sensors
    """

    grid: Grid
    zone: str
    longitude: float
    latitude: float
    step_minutes: int
    window: tuple[str, str]
    schedule: tuple[tuple[str, float], ...]
    indoor: NDArray[np.bool_]
    street: NDArray[np.bool_]
    features: NDArray[np.float32]
    traffic: NDArray[np.float32]
    lamps: Lamps
    walls: Walls
    quarters: NDArray[np.bool_]
    sites: Sites
    venues: Venues
    digest: str
    layers: Layers = field(default_factory=Layers)
    sound: SoundPaths = field(default_factory=SoundPaths)

    @cached_property
    def footprints(self) -> Footprints:
        """What each lamp can light, worked out at the first step and kept."""
        return Footprints(self.grid, self.lamps, self.walls, self.quarters)

    def __getstate__(self) -> dict[str, Any]:
        """Without what was worked out from it: another process does that again in less time than it would travel."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


def surroundings(city: City) -> Surroundings:
    """Lay out a city's standing parts; reads `places/` and `city.toml`, and the journal where light was surveyed."""
    settings = city.settings
    names = ("sites", "lamps", "streets", "buildings", "venues", "stops", "traffic")
    laid_out = lay_out(
        Grid.of(city),
        {name: city.places(name) for name in names},
        zone=settings.zone,
        lonlat=city.centre_lonlat(),
        lighting=settings.lighting,
        luminaires=_luminaires(city, city.places("lamps")),
        step_minutes=settings.night.step_minutes,
        window=(settings.night.from_, settings.night.to),
    )
    layers, traffic = laid_on(city, laid_out)
    if not layers.any:
        return laid_out
    held = replace(laid_out, layers=layers, traffic=traffic)
    return replace(held, digest=_digest(held))


def lay_out(
    grid: Grid,
    places: Mapping[str, geopandas.GeoDataFrame],
    *,
    zone: str,
    lonlat: tuple[float, float],
    lighting: LightingSettings,
    luminaires: Mapping[str, Luminaire] | None = None,
    step_minutes: int = 15,
    window: tuple[str, str] = ("20:00", "06:00"),
) -> Surroundings:
    """Do what `surroundings` does from tables of places in the grid's projection."""
    lamps = _prepared(places["lamps"], places["streets"], lighting, luminaires)
    streets = places["streets"]
    walkable = streets[streets.walkable.to_numpy(bool)] if len(streets) else streets
    sites = _sites(grid, places["sites"], lamps)
    by_kind = _streets_by_kind(grid, walkable)
    street = np.logical_or.reduce([*by_kind.values(), _around_counters(grid, sites)])
    venues = _venues(places["venues"])
    indoor = _inside(grid, places["buildings"])
    blocks = blocks_of(grid, indoor)
    laid_out = Surroundings(
        grid=grid,
        zone=zone,
        longitude=lonlat[0],
        latitude=lonlat[1],
        step_minutes=step_minutes,
        window=window,
        schedule=lighting.schedule,
        indoor=indoor,
        street=street,
        features=_features(grid, by_kind, street, walkable, venues, places["stops"]),
        traffic=traffic_energy(grid, streets, places["traffic"], blocks),
        sound=sound_paths(grid, blocks, street, places["traffic"], (venues.easting, venues.northing)),
        lamps=lamps,
        walls=walls_of(places["buildings"], lamps.easting, lamps.northing) if lighting.occlusion else no_walls(),
        quarters=_inside(_halved(grid), places["buildings"]) if lighting.occlusion else np.zeros((0, 0), bool),
        sites=sites,
        venues=venues,
        digest="",
    )
    return replace(laid_out, digest=_digest(laid_out))


def with_lamps(before: Surroundings, city: City, table: geopandas.GeoDataFrame) -> Surroundings:
    """The same surroundings with other lamps; sites keep those of their lamps that stay."""
    lighting = city.settings.lighting
    lamps = _prepared(table, city.places("streets"), lighting, _luminaires(city, table))
    walls = walls_of(city.places("buildings"), lamps.easting, lamps.northing) if lighting.occlusion else no_walls()
    sites = before.sites
    place_of = {lamp: index for index, lamp in enumerate(lamps.lamp.tolist())}
    new = np.array([place_of.get(lamp, -1) for lamp in before.lamps.lamp.tolist()], np.int64)
    index = new[sites.lamp_index] if sites.lamp_index.size else sites.lamp_index
    stays = index >= 0
    before_each = np.concatenate([[0], np.cumsum(stays)]).astype(np.int64)
    kept = replace(sites, lamp_index=index[stays], lamp_start=before_each[sites.lamp_start])
    return replace(before, lamps=lamps, walls=walls, sites=kept)


def _prepared(
    table: geopandas.GeoDataFrame,
    streets: geopandas.GeoDataFrame,
    lighting: LightingSettings,
    luminaires: Mapping[str, Luminaire] | None,
) -> Lamps:
    return prepare_lamps(
        table,
        lighting.maintenance_factor,
        luminaires=luminaires,
        streets=streets,
        dimming_curve=lighting.dimming_curve,
    )


def _luminaires(city: City, lamps: geopandas.GeoDataFrame) -> Mapping[str, Luminaire]:
    """The luminaires that a table of lamps names, C = 0 facing the street."""
    from sensors.luminaire_files import luminaires  # what a city without photometric files need not import

    names = sorted(set(lamps["luminaire"].fillna("").astype(str)) - {""}) if len(lamps) else []
    return luminaires(city, names, street_c_deg=0.0) if names else {}


def _inside(grid: Grid, buildings: geopandas.GeoDataFrame) -> NDArray[np.bool_]:
    """Cells whose centre lies in a building."""
    return _burn(grid, buildings.geometry, all_touched=False)


def _halved(grid: Grid) -> Grid:
    return replace(grid, cell_m=grid.cell_m / 2, shape=(2 * grid.shape[0], 2 * grid.shape[1]))


def _on_streets(grid: Grid, streets: geopandas.GeoDataFrame) -> NDArray[np.bool_]:
    """Cells that a street, as wide as it is and with its pavements, touches."""
    if not len(streets):
        return np.zeros(grid.shape, bool)
    half = streets.width_m.fillna(8.0).clip(2.0, 40.0).to_numpy(np.float64) / 2 + _KERB_M
    return _burn(grid, streets.geometry.buffer(half, quad_segs=2), all_touched=False) | _burn(
        grid, streets.geometry, all_touched=True
    )


def _streets_by_kind(grid: Grid, walkable: geopandas.GeoDataFrame) -> dict[str, NDArray[np.bool_]]:
    """Cells on pedestrian, main and other streets; each street is drawn once, all of them are the union."""
    kinds = walkable.kind.fillna("").astype(str).str.lower() if len(walkable) else pd.Series(dtype=str)
    pedestrian = kinds.isin(_PEDESTRIAN_KINDS).to_numpy(bool)
    main = kinds.isin(_MAIN_KINDS).to_numpy(bool)
    minor = kinds.isin(_MINOR_KINDS).to_numpy(bool)
    parts = {"pedestrian": pedestrian, "main": main, "minor": minor, "other": ~pedestrian & ~main & ~minor}
    return {name: _on_streets(grid, walkable[among]) for name, among in parts.items()}


def _around_counters(grid: Grid, sites: Sites) -> NDArray[np.bool_]:
    """Cells beside counters: where people are counted they walk, whatever the map of streets says of a mall."""
    walked = np.zeros(grid.shape, bool)
    counters = sites.of("people_flow")
    for row, column in zip(sites.row[counters], sites.column[counters], strict=True):
        walked[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
    return walked


def _burn(grid: Grid, shapes: geopandas.GeoSeries, all_touched: bool) -> NDArray[np.bool_]:
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    drawn = [shape for shape in shapes if shape is not None and not shape.is_empty]
    if not drawn:
        return np.zeros(grid.shape, bool)
    # rasterio's rows go south; ours go north: a positive row step turns them over
    transform = Affine(grid.cell_m, 0, grid.west, 0, grid.cell_m, grid.south)
    burnt = rasterize(drawn, out_shape=grid.shape, transform=transform, all_touched=all_touched, dtype=np.uint8)
    return np.asarray(burnt, bool)


def _features(
    grid: Grid,
    by_kind: Mapping[str, NDArray[np.bool_]],
    street: NDArray[np.bool_],
    walkable: geopandas.GeoDataFrame,
    venues: Venues,
    stops: geopandas.GeoDataFrame,
) -> NDArray[np.float32]:
    """What footfall goes with, in the order of FEATURES; sums enter as ln(1 + sum / unit)."""
    stop_east, stop_north = stops.geometry.x.to_numpy(np.float64), stops.geometry.y.to_numpy(np.float64)
    kinds = stops.kind.fillna("").astype(str) if "kind" in stops else pd.Series("", index=stops.index)
    brings = np.asarray(kinds.map(_BRINGS).fillna(1.0), np.float64)
    trains = brings >= _BRINGS["metro"]
    minor = by_kind["minor"] & ~by_kind["pedestrian"] & ~by_kind["main"] & ~by_kind["other"]
    layers = [
        np.log1p(_around(grid, venues.easting, venues.northing, venues.capacity, 100.0) / 50.0),
        np.log1p(_around(grid, venues.easting, venues.northing, venues.capacity, 400.0) / 200.0),
        np.log1p(_around(grid, stop_east, stop_north, np.ones(stop_east.size), 250.0)),
        np.log1p(_around(grid, stop_east[trains], stop_north[trains], brings[trains], 600.0) / 3.0),
        walks_layer(
            grid,
            lines_of(walkable),
            np.column_stack([stop_east, stop_north]),
            brings,
            np.column_stack([venues.easting, venues.northing]),
            venues.capacity,
        ),
        by_kind["pedestrian"],
        by_kind["main"],
        minor,
        ~street,
    ]
    return np.stack([np.asarray(layer, np.float32) for layer in layers])


def _around(
    grid: Grid,
    easting: NDArray[np.float64],
    northing: NDArray[np.float64],
    weight: NDArray[np.float64],
    radius_m: float,
) -> NDArray[np.float32]:
    out = np.zeros(grid.shape, np.float32)
    order = np.lexsort((weight, easting, northing))
    over_rows(
        density.quartic_sum, grid.shape[0], grid.cell_m, float(grid.easting[0]), float(grid.northing[0]), radius_m,
        easting[order], northing[order], weight[order], out,
    )  # fmt: skip
    return out


def _venues(table: geopandas.GeoDataFrame) -> Venues:
    easting, northing = table.geometry.x.to_numpy(np.float64), table.geometry.y.to_numpy(np.float64)
    order = np.lexsort((table.venue.to_numpy(np.int64), easting, northing))
    capacity = table.capacity.fillna(60.0).clip(0).to_numpy(np.float64)[order]
    kinds = table.kind.fillna("").astype(str).str.lower().to_numpy(str)[order]
    return Venues(
        easting=easting[order],
        northing=northing[order],
        capacity=capacity,
        closes_min=table.closes_min.to_numpy(np.int64)[order],
        power=venue_power(kinds, capacity),
    )


def _sites(grid: Grid, table: geopandas.GeoDataFrame, lamps: Lamps) -> Sites:
    table = table.sort_values("site", kind="stable")
    codes = {name: quantity.code for name, quantity in QUANTITIES.items()}
    easting, northing = table.geometry.x.to_numpy(np.float64), table.geometry.y.to_numpy(np.float64)
    row, column, inside = grid.cells(easting, northing)
    place_of = {lamp: index for index, lamp in enumerate(lamps.lamp.tolist())}
    of_site = [[place_of[lamp] for lamp in str(text).split(";") if lamp in place_of] for text in table.lamps.fillna("")]
    return Sites(
        site=table.site.to_numpy(np.uint32),
        quantity=table.quantity.map(codes).fillna(0).to_numpy(np.uint8),
        easting=easting,
        northing=northing,
        height_m=table.height_m.fillna(0.0).to_numpy(np.float64),
        plane=_index_of(table.plane, PLANES, "none"),
        facing_deg=_bearing(table),
        facade=(table.mounting == "facade").to_numpy(bool),
        origin=_index_of(table.origin, ORIGINS, "simulated"),
        inside=inside,
        row=row,
        column=column,
        valid_from=table.valid_from.to_numpy("datetime64[ms]"),
        valid_to=table.valid_to.to_numpy("datetime64[ms]"),
        lamp_start=np.cumsum([0, *map(len, of_site)]).astype(np.int64),
        lamp_index=np.array([index for indices in of_site for index in indices], np.int64),
        gains=Gains.read(table.calibration.fillna("") if "calibration" in table else ()),
        meter_sd=_meter_sd(table),
    )


def _meter_sd(table: geopandas.GeoDataFrame) -> NDArray[np.float64]:
    """Error of noise meters in the field, dB, by the class of IEC 61672-1 (sensing.md B4).

    Unclassed ones spread by 2 to 3 dB, less where somebody calibrated them.
    """
    if "sensor_class" not in table:
        return np.full(len(table), _METER_SD_CALIBRATED)
    words = table.sensor_class.fillna("").astype(str).str.lower().str.removeprefix("class").str.strip()
    calibrated = (table.calibration.fillna("") != "").to_numpy(bool) if "calibration" in table else False
    unknown = np.where(calibrated, _METER_SD_CALIBRATED, _METER_SD_UNKNOWN)
    return np.where(words == "1", _METER_SD["1"], np.where(words == "2", _METER_SD["2"], unknown))


def _bearing(table: geopandas.GeoDataFrame) -> NDArray[np.float64]:
    """Optional column `azimuth_deg` of the sites."""
    if "azimuth_deg" not in table:
        return np.full(len(table), np.nan)
    return np.asarray(pd.to_numeric(table["azimuth_deg"], errors="coerce"), np.float64)


def _index_of(column: Any, words: tuple[str, ...], otherwise: str) -> NDArray[np.uint8]:
    return np.array([words.index(word) if word in words else words.index(otherwise) for word in column], np.uint8)


def _digest(part: Any) -> str:
    """SHA-256 over every array and setting of nested dataclasses, in the order of their fields."""
    hasher = hashlib.sha256()
    for one in fields(part):
        value = getattr(part, one.name)
        if is_dataclass(value):
            hasher.update(_digest(value).encode())
        elif hasattr(value, "_fields"):  # a named tuple of a kernel
            for part_name, part_value in value._asdict().items():
                array = np.asarray(part_value)
                hasher.update(f"{one.name}{part_name}{array.dtype}{array.shape}".encode())
                hasher.update(np.ascontiguousarray(array).tobytes())
        elif isinstance(value, np.ndarray):
            hasher.update(f"{one.name}{value.dtype}{value.shape}".encode())
            hasher.update(np.ascontiguousarray(value).tobytes())
        else:
            hasher.update(f"{one.name}{value!r}".encode())
    return hasher.hexdigest()
