"""A synthetic town of any size, laid out in memory: streets every 100 m, lamps along them, sensors, a night."""

import geopandas
import numpy as np
import pandas as pd
from shapely.geometry import LineString, Point, box

from analytics.grid import Grid
from analytics.surroundings import Surroundings, lay_out
from sensors.city import LightingSettings
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records, sort_by_key

CRS = "EPSG:3067"
BLOCK_M = 100.0
STEP = np.datetime64("2026-11-20T20:00", "ms")  # 22:00 in Helsinki, a Friday


def town(
    rows: int,
    columns: int,
    *,
    meters: int = 150,
    counters: int = 150,
    lux: int = 50,
    lamp_every_m: float = 28.0,
    seed: int = 0,
) -> Surroundings:
    """A town of rows x columns cells of 10 m with lamps along its streets and telemetry from each."""
    generator = np.random.default_rng(seed)
    height, width = 10.0 * rows, 10.0 * columns
    lines = [LineString([(0, y), (width, y)]) for y in np.arange(BLOCK_M / 2, height, BLOCK_M)]
    lines += [LineString([(x, 0), (x, height)]) for x in np.arange(BLOCK_M / 2, width, BLOCK_M)]
    kinds = generator.choice(["residential", "residential", "pedestrian", "tertiary", "primary"], len(lines))
    streets = geopandas.GeoDataFrame(
        {"street": np.arange(len(lines)), "name": "", "kind": kinds, "walkable": True, "lit": "yes", "width_m": 9.0},
        geometry=lines, crs=CRS,
    )  # fmt: skip
    along = [line.interpolate(d) for line in lines for d in np.arange(lamp_every_m / 2, line.length, lamp_every_m)]
    n = len(along)
    lamps = geopandas.GeoDataFrame(
        {
            "lamp": [f"L{i}" for i in range(n)], "luminaire": "", "lumens": generator.choice([4e3, 6e3, 9e3], n),
            "mf": 0.85, "height_m": generator.choice([5.0, 6.0, 8.0], n), "source": "council",
        },
        geometry=[Point(p.x + 4, p.y + 4) for p in along], crs=CRS,
    )  # fmt: skip
    blocks = [
        box(x + 60, y + 60, x + 140, y + 140)
        for x in np.arange(0, width - 140, BLOCK_M)
        for y in np.arange(0, height - 140, BLOCK_M)
    ]
    buildings = geopandas.GeoDataFrame({"building": np.arange(len(blocks))}, geometry=blocks, crs=CRS)
    n_venues = max(4, rows * columns // 1200)
    places = generator.choice(n, n_venues)
    venues = geopandas.GeoDataFrame(
        {
            "venue": np.arange(n_venues), "kind": generator.choice(["bar", "pub", "nightclub", "restaurant"], n_venues),
            "capacity": generator.uniform(50, 400, n_venues), "closes_min": generator.choice([780, 840, 960], n_venues),
        },
        geometry=[along[i] for i in places], crs=CRS,
    )  # fmt: skip
    stops = geopandas.GeoDataFrame({"stop": np.arange(n_venues)}, geometry=[along[i] for i in places[::-1]], crs=CRS)
    traffic = geopandas.GeoDataFrame({"road": [], "aadt": [], "kind": []}, geometry=[], crs=CRS)
    wanted = {"people_flow": counters, "sound_laeq": meters, "illuminance": lux}
    spots = [along[i] for i in generator.choice(n, sum(wanted.values()), replace=False)]
    quantity = [name for name, number in wanted.items() for _ in range(number)]
    rows_of_sites = pd.DataFrame(
        {
            "quantity": [*["dimming"] * n, *["lamp_ok"] * n, *quantity],
            "lamps": [*lamps.lamp, *lamps.lamp, *[""] * len(quantity)],
        }
    )
    sites = geopandas.GeoDataFrame(
        rows_of_sites.assign(
            site=np.arange(len(rows_of_sites), dtype=np.uint32), height_m=0.0, plane="horizontal", mounting="pole",
            origin="device", valid_from=np.datetime64("2020-01-01", "ms"), valid_to=np.datetime64("NaT", "ms"),
        ),
        geometry=[*lamps.geometry, *lamps.geometry, *spots], crs=CRS,
    )  # fmt: skip
    tables = {
        "lamps": lamps, "streets": streets, "buildings": buildings, "venues": venues, "stops": stops,
        "traffic": traffic, "sites": sites,
    }  # fmt: skip
    return lay_out(
        Grid(10.0, 0.0, 0.0, (rows, columns)), tables, zone="Europe/Helsinki", lonlat=(24.94, 60.17),
        lighting=LightingSettings(),
    )  # fmt: skip


def evening(surroundings: Surroundings, *, hours: float = 4.0, seed: int = 1) -> Records:
    """Readings of the hours up to the end of STEP: every quarter of an hour from sensors, hourly from lamps."""
    generator = np.random.default_rng(seed)
    parts = []
    end = STEP + np.timedelta64(15, "m")
    likely = {"dimming": (0.7, 1.0), "lamp_ok": (1.0, 1.0), "people_flow": (5, 200), "sound_laeq": (48, 66)}
    for quantity, minutes in {
        "dimming": 60,
        "lamp_ok": 60,
        "people_flow": 15,
        "sound_laeq": 15,
        "illuminance": 15,
    }.items():
        rows = surroundings.sites.of(quantity)
        low, high = likely.get(quantity, (1.0, 30.0))
        for back in range(0, int(hours * 60), minutes):
            part = empty_records(rows.size)
            part["time"] = end - np.timedelta64(back, "m") - generator.integers(0, 5000, rows.size).astype("m8[ms]")
            part["received"] = part["time"]
            part["site"] = surroundings.sites.site[rows]
            part["quantity"] = QUANTITIES[quantity].code
            part["value"] = np.round(generator.uniform(low, high, rows.size), 1)
            part["duration_s"] = 0.0 if minutes == 60 else 900.0
            parts.append(part)
    return sort_by_key(np.concatenate(parts))
