"""A tiny made-up town of 320 x 320 m, quick to build, for tests that need a city folder.

Six straight streets, 66 lamps on them in three cabinets, nine houses, eight venues, one park, one traffic road, and
simulated (or real) lamp controllers, counters, noise meters and lux sensors. Its grid is 32 x 32 cells of 10 m, small
enough for kernels without JIT.
"""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
from shapely.geometry import LineString, Point, box

from sensors.city import City, CitySettings, GridSettings, PurposeSettings, write_settings
from sensors.places import save_place

CRS = "EPSG:3067"
WEST, SOUTH, SIDE = 385_800.0, 6_671_800.0, 320.0  # in the middle of Helsinki, where no map is needed
STREETS_AT = (60.0, 160.0, 260.0)  # metres from the western and from the southern edge
VALID_FROM = np.datetime64("2020-01-01T00:00", "ms")


def make_city(path: Path, *, simulated: bool = True, seed: int = 0) -> City:
    """Write the town into the folder `path` and open it; the same seed gives the same town."""
    generator = np.random.default_rng(seed)
    settings = CitySettings(
        format=1,
        id="smalltown",
        name="Smalltown",
        zone="Europe/Helsinki",
        crs=CRS,
        grid=GridSettings(west=WEST, south=SOUTH, east=WEST + SIDE, north=SOUTH + SIDE),
        simulated=simulated,
        purpose=PurposeSettings(uses=["tests"], responsible="the test suite", retention="none", review="2027-01-01"),
        attribution=["Made up for tests"],
    )
    write_settings(path, settings)
    streets = _streets()
    lamps = _lamps(generator)
    tables = {
        "streets": streets,
        "sections": _sections(streets),
        "lamps": lamps,
        "buildings": _buildings(),
        "venues": _venues(generator),
        "stops": _frame(
            {"stop": [1, 2], "name": ["West", "East"], "kind": ["tram"] * 2}, _points([(10, 160), (310, 160)])
        ),
        "areas": _frame({"area": [1], "kind": ["park"], "name": ["Green"]}, [_box(170, 170, 250, 250)]),
        "traffic": _frame({"road": ["Middle Road"], "aadt": [9000.0], "kind": ["arterial"]}, [_street_line(1, True)]),
        "sites": _sites(lamps, "simulated" if simulated else "device"),
    }
    for name, frame in tables.items():
        save_place(path, name, frame)
    return City.open(path)


def _frame(columns: dict[str, object], geometry: list[object]) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(columns, geometry=geometry, crs=CRS)


def _points(offsets: list[tuple[float, float]]) -> list[Point]:
    return [Point(WEST + east, SOUTH + north) for east, north in offsets]


def _box(west: float, south: float, east: float, north: float) -> object:
    return box(WEST + west, SOUTH + south, WEST + east, SOUTH + north)


def _street_line(index: int, eastward: bool) -> LineString:
    at = STREETS_AT[index]
    ends = [(0.0, at), (SIDE, at)] if eastward else [(at, 0.0), (at, SIDE)]
    return LineString([(WEST + east, SOUTH + north) for east, north in ends])


def _streets() -> geopandas.GeoDataFrame:
    names = ["South Street", "Middle Road", "North Street", "West Street", "Market Street", "East Street"]
    kinds = ["residential", "secondary", "residential", "residential", "pedestrian", "residential"]
    lines = [_street_line(index, True) for index in range(3)] + [_street_line(index, False) for index in range(3)]
    columns = {
        "street": np.arange(6, dtype=np.int64),
        "name": names,
        "kind": kinds,
        "walkable": np.ones(6, bool),
        "lit": ["yes"] * 6,
        "width_m": np.array([8, 14, 8, 8, 12, 8], np.float32),
    }
    return _frame(columns, lines)


def _sections(streets: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    rows, lines = [], []
    for street in streets.itertuples():
        pieces = 4
        for piece in range(pieces):
            ends = [street.geometry.interpolate(share / pieces, normalized=True) for share in (piece, piece + 1)]
            line = LineString(ends)
            rows.append((len(rows), street.street, street.name, line.length, "P3", "assumed"))
            lines.append(line)
    columns = pd.DataFrame(rows, columns=["section", "street", "name", "length_m", "required_class", "class_source"])
    return _frame(dict(columns), lines)


def _lamps(generator: np.random.Generator) -> geopandas.GeoDataFrame:
    offsets, cabinets = [], []
    for street in range(3):
        for along in np.arange(15.0, SIDE, 30.0):
            offsets += [(float(along), STREETS_AT[street] + 4.0), (STREETS_AT[street] + 4.0, float(along))]
            cabinets += [f"cabinet-{street}"] * 2
    n = len(offsets)
    ids = [f"lamp-{index:03d}" for index in range(n)]
    lumens = generator.choice([4000.0, 6000.0, 8000.0], n)
    columns = {
        "lamp": ids,
        "asset_id": [f"A{index:04d}" for index in range(n)],
        "cabinet": cabinets,
        "circuit": [f"{cabinet}-a" for cabinet in cabinets],
        "switchable_unit": ids,
        "luminaire": [""] * n,
        "lumens": lumens.astype(np.float32),
        "watts": (lumens / 120).astype(np.float32),
        "mf": np.full(n, 0.85, np.float32),
        "height_m": np.full(n, 6.0, np.float32),
        "cct_k": np.full(n, 3000.0, np.float32),
        "installed": ["2019-06-01"] * n,
        "source": ["assumed"] * n,
    }
    return _frame(columns, _points(offsets))


def _buildings() -> geopandas.GeoDataFrame:
    shapes = [
        _box(70 + 100 * column, 70 + 100 * row, 145 + 100 * column, 145 + 100 * row)
        for row in range(2)
        for column in range(2)
        if (row, column) != (1, 1)  # the park
    ]
    shapes += [_box(5 + 100 * i, 5, 50 + 100 * i, 50) for i in range(3)]
    shapes += [_box(5, 105 + 100 * i, 50, 150 + 100 * i) for i in range(2)] + [_box(270, 270, 315, 315)]
    columns = {
        "building": np.arange(len(shapes), dtype=np.int64),
        "height_m": np.full(len(shapes), 15.0, np.float32),
    }
    return _frame(columns, shapes)


def _venues(generator: np.random.Generator) -> geopandas.GeoDataFrame:
    kinds = ["bar", "pub", "nightclub", "restaurant", "bar", "pub", "restaurant", "nightclub"]
    closes = {"restaurant": 660, "pub": 780, "bar": 840, "nightclub": 960}  # minutes after local noon
    offsets = [(152.0, 70.0 + 22.0 * index) for index in range(4)] + [
        (168.0, 40.0 + 25.0 * index) for index in range(4)
    ]
    columns = {
        "venue": np.arange(8, dtype=np.int64),
        "name": [f"Venue {index}" for index in range(8)],
        "kind": kinds,
        "capacity": generator.integers(60, 300, 8).astype(np.float32),
        "closes_min": np.array([closes[kind] for kind in kinds], np.int16),
    }
    return _frame(columns, _points(offsets))


def _sites(lamps: geopandas.GeoDataFrame, origin: str) -> geopandas.GeoDataFrame:
    rows: list[tuple[object, ...]] = []
    points: list[Point] = []

    def add(device: str, quantity: str, point: Point, height_m: float, plane: str, mounting: str, lamp: str) -> None:
        rows.append(
            (
                len(rows),
                device,
                quantity,
                height_m,
                plane,
                mounting,
                "2",
                "",
                lamp,
                origin,
                VALID_FROM,
                np.datetime64("NaT"),
            )
        )
        points.append(point)

    for lamp in lamps.itertuples():
        for quantity in ("dimming", "lamp_ok"):
            add(f"node-{lamp.lamp}", quantity, lamp.geometry, 6.0, "none", "pole", lamp.lamp)
    footfall = [(160, 60), (160, 160), (160, 260), (60, 160), (260, 160), (60, 60)]
    for index, point in enumerate(_points(footfall)):
        add(f"counter-{index:02d}", "people_flow", point, 3.5, "none", "pole", "")
    noise = [(160, 80), (160, 150), (150, 160), (62, 262), (262, 62), (262, 258)]
    for index, point in enumerate(_points(noise)):
        add(f"meter-{index:02d}", "sound_laeq", point, 4.0, "none", "pole" if index % 2 else "facade", "")
    lux = [(100, 62), (158, 200), (258, 130), (30, 258)]
    for index, point in enumerate(_points(lux)):
        add(f"lux-{index:02d}", "illuminance", point, 0.0, "horizontal", "pole", "")
    names = ["site", "device", "quantity", "height_m", "plane", "mounting", "sensor_class", "calibration", "lamps"]
    table = pd.DataFrame(rows, columns=[*names, "origin", "valid_from", "valid_to"])
    table["site"] = table["site"].astype(np.uint32)
    for name in ("valid_from", "valid_to"):
        table[name] = table[name].astype("datetime64[ms]")
    return geopandas.GeoDataFrame(table, geometry=points, crs=CRS)
