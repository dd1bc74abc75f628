"""A made-up city of a million cells and 50,000 lamps, with a night of 21 closed steps and `now`, to measure with."""

from __future__ import annotations

import os
import time
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import zoom
from shapely.geometry import LineString, Point, box

from analytics import atlas
from ingest import health
from sensors.city import City, write_settings
from sensors.clock import set_clock
from sensors.night import Night, rfc3339
from sensors.places import save_place
from tests.synthetic_city import CRS, SOUTH, WEST, make_city

CELL_M, APART_M = 10.0, 100.0
NIGHT = "2026-11-20"
STEPS = 21
LAYERS = ("safety", "light", "footfall", "noise")
_FORMS = 24  # how finely the made-up fields vary: numbers along a side


def make(folder: Path, cells: int = 1_000, lamps: int = 50_000) -> City:
    """The city folder with its atlas; the clock stands within the night's 22nd step."""
    city = make_city(folder)
    side = cells * CELL_M
    grid = city.settings.grid
    from msgspec.structs import replace

    large = replace(grid, west=WEST, south=SOUTH, east=WEST + side, north=SOUTH + side)
    write_settings(folder, replace(city.settings, grid=large))
    for name, table in _places(city, side, lamps).items():
        save_place(folder, name, table)
    city = City.open(folder)
    night = Night.named(NIGHT, city.zone)
    steps = atlas.night_steps(city, night)[: STEPS + 1]
    atlas.write_night(city, night, ((page(city, step, number), meta(city)) for number, step in enumerate(steps[:-1])))
    change(city, 0.0)
    set_clock(folder, steps[-1] + np.timedelta64(11, "m"), 1e-6)
    health.write_health(city, {**health.read_health(city), "state": "connected"})
    later = time.time() + 86_400  # what ingest says of itself from the future is never stale
    os.utime(health.health_path(city), (later, later))
    return city


def change(city: City, shift: float, ready: xr.Dataset | None = None) -> dict[str, object]:
    """Replace `now`, as the mapper would; `ready` is a page made before."""
    night = Night.named(NIGHT, city.zone)
    step = atlas.night_steps(city, night)[STEPS]
    as_of = rfc3339(step + np.timedelta64(11, "m"))
    content = {
        "night": NIGHT, "step": rfc3339(step), "as_of": as_of, "state": "live", "mapper": "live",
        "sensors": {"newest": as_of, "live": 42, "silent": 0},
        "answers": {"count": 1_532, "newest": rfc3339(step - np.timedelta64(5, "D"))},
        "model": "made up", "simulated": True,
    }  # fmt: skip
    return atlas.write_now(city, page(city, step, STEPS, shift) if ready is None else ready, content)


def page(city: City, step: np.datetime64, number: int, shift: float = 0.0) -> xr.Dataset:
    """All layers of a step: smooth fields that differ from step to step, with a corner that has no evidence."""
    grid = city.settings.grid
    east = np.arange(grid.west + grid.cell_m / 2, grid.east, grid.cell_m)
    north = np.arange(grid.south + grid.cell_m / 2, grid.north, grid.cell_m)
    shape = north.size, east.size
    chance = np.random.default_rng(number)

    def smooth(low: float, high: float, decimals: int) -> np.ndarray:
        rough = chance.uniform(low, high, (_FORMS, _FORMS))
        return np.round(zoom(rough, (shape[0] / _FORMS, shape[1] / _FORMS), order=1), decimals)

    safety = np.clip(np.rint(smooth(10, 90, 0) + shift), 0, 100)
    safety[: shape[0] // 8, : shape[1] // 8] = np.nan
    lux = 0.2 + smooth(0, 12, 1) * (1 + 2 * ((np.arange(shape[1]) // 5) % 2))  # streets beside houses
    fields = {
        "safety": safety, "safety_sd": smooth(3, 20, 1), "safety_evidence": smooth(0, 1, 2),
        "illuminance": lux, "illuminance_sd": np.full(shape, 0.3), "illuminance_nearest": np.full(shape, 80.0),
        "footfall": smooth(5, 900, 0), "footfall_sd": smooth(0.2, 1.2, 1), "footfall_nearest": np.full(shape, 220.0),
        "noise": smooth(38, 72, 0), "noise_sd": np.full(shape, 3.0), "noise_nearest": smooth(0, 600, 0),
        "goes_light": smooth(-1, 1, 1), "goes_people": smooth(-1, 1, 1), "goes_noise": smooth(-1, 1, 1),
    }  # fmt: skip
    cells = ("time", "northing", "easting")
    data = {name: (cells, values[np.newaxis].astype("f4")) for name, values in fields.items()}
    for name in ("illuminance", "footfall", "noise"):
        data[f"{name}_origin"] = (cells, np.full((1, *shape), 2 | 4, np.uint8))
    data["safety_hatched"] = (cells, np.isnan(safety)[np.newaxis].astype(np.uint8))
    return xr.Dataset(data, {"time": np.array([step], "datetime64[ms]"), "northing": north, "easting": east})


def meta(city: City) -> dict[str, object]:
    """What a closed page says of itself."""
    return {
        "model": "made up", "places": "b" * 64, "settings": "d" * 12, "code": "c" * 12, "simulated": True,
        "records": 1_200, "cut": "close", "attribution": city.settings.attribution,
        "written": "2026-11-21T04:00:00.000Z",
    }  # fmt: skip


def _places(city: City, side: float, lamps: int) -> dict[str, geopandas.GeoDataFrame]:
    """A lattice of streets with lamps along them, houses, venues and stops."""
    chance = np.random.default_rng(0)
    at = np.arange(APART_M / 2, side, APART_M)
    lines = [LineString([(WEST, SOUTH + y), (WEST + side, SOUTH + y)]) for y in at]
    lines += [LineString([(WEST + x, SOUTH), (WEST + x, SOUTH + side)]) for x in at]
    n = len(lines)
    streets = {
        "street": np.arange(n), "name": [f"Street {i}" for i in range(n)], "kind": ["residential"] * n,
        "walkable": np.ones(n, bool), "lit": ["yes"] * n, "width_m": np.full(n, 8, np.float32),
    }  # fmt: skip
    ids = [f"lamp-{i:05d}" for i in range(lamps)]
    street, along = chance.integers(0, at.size, lamps), np.round(chance.uniform(0, side, lamps), 1)
    eastward = chance.random(lamps) < 0.5
    x, y = np.where(eastward, along, at[street] + 4), np.where(eastward, at[street] + 4, along)
    own = city.places("lamps")
    rows = pd.DataFrame({name: np.resize(own[name].to_numpy(), lamps) for name in own.columns if name != "geometry"})
    rows["lamp"] = rows["asset_id"] = rows["switchable_unit"] = ids
    venues, stops = city.places("venues"), city.places("stops")
    spread = chance.uniform(0, side, (600, 2))
    corners = chance.uniform(0, side - 40, (400, 2)) // APART_M * APART_M + 60

    def table(columns: object, shapes: list[object]) -> geopandas.GeoDataFrame:
        return geopandas.GeoDataFrame(columns, geometry=shapes, crs=CRS)

    def many(frame: geopandas.GeoDataFrame, number: int, shapes: list[object]) -> geopandas.GeoDataFrame:
        names = [name for name in frame.columns if name != "geometry"]
        repeated = pd.DataFrame({name: np.resize(frame[name].to_numpy(), number) for name in names})
        repeated[names[0]] = np.arange(number).astype(frame[names[0]].dtype, copy=False) if (
            frame[names[0]].dtype.kind in "iu"
        ) else [f"{names[0]}-{i}" for i in range(number)]  # fmt: skip
        return table(repeated, shapes)

    points = [Point(WEST + px, SOUTH + py) for px, py in spread]
    houses = [box(WEST + px, SOUTH + py, WEST + px + 30, SOUTH + py + 30) for px, py in corners]
    return {
        "streets": table(streets, lines),
        "lamps": table(rows, [Point(WEST + px, SOUTH + py) for px, py in zip(x, y, strict=True)]),
        "venues": many(venues, 300, points[:300]),
        "stops": many(stops, 300, points[300:]),
        "buildings": many(city.places("buildings"), len(houses), houses),
    }
