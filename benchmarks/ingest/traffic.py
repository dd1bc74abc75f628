"""A town of noise meters, and what they say: the same bytes for every system that is measured."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import geopandas
import msgspec
import numpy as np
from shapely import points

from sensors.city import City, write_settings
from sensors.places import save_place
from sensors.wire import quantity_topic
from tests.synthetic_city import CRS, SOUTH, VALID_FROM, WEST, make_city

METERS = 5_000
PACK = 50
QUANTITY = "sound_laeq"
STEP_MS = 1_000  # a level a second and meter


def meter_town(folder: Path, meters: int = METERS, side_m: float = 10_000.0) -> City:
    """A city folder with so many noise meters, anywhere in a square of this side."""
    town = make_city(folder)
    grid = msgspec.structs.replace(town.settings.grid, east=WEST + side_m, north=SOUTH + side_m, cell_m=100.0)
    write_settings(folder, msgspec.structs.replace(town.settings, grid=grid))
    east, north = np.random.default_rng(3).uniform(0, side_m, (2, meters))
    columns = {
        "site": np.arange(meters, dtype=np.uint32),
        "device": [meter_name(number) for number in range(meters)],
        "quantity": QUANTITY,
        "height_m": np.float32(4.0),
        "plane": "none",
        "mounting": "pole",
        "sensor_class": "2",
        "calibration": "",
        "lamps": "",
        "origin": "simulated",
        "valid_from": VALID_FROM,
        "valid_to": np.datetime64("NaT", "ms"),
    }
    save_place(folder, "sites", geopandas.GeoDataFrame(columns, geometry=points(WEST + east, SOUTH + north), crs=CRS))
    return City.open(folder)


def meter_name(number: int) -> str:
    return f"meter-{number:06d}"


def levels(n: int, seed: int = 1) -> np.ndarray:
    """Levels as a class 2 meter gives them, dB with one decimal."""
    generator = np.random.default_rng(seed)
    return np.round(52 + 6 * np.sin(np.arange(n) / 9973) + 5 * generator.standard_normal(n), 1)


def singles(city: City, readings: int, meters: int = METERS) -> Iterator[tuple[bytes, bytes]]:
    """(topic, payload) of one reading each, SenML, the meters in turn; the last one is of now."""
    topics = _topics(city, meters)
    rounds = -(-readings // meters)
    first_ms = time.time_ns() // 1_000_000 - rounds * STEP_MS
    for index, level in enumerate(levels(readings).tolist()):
        seq, meter = divmod(index, meters)
        t = (first_ms + seq * STEP_MS + meter * STEP_MS // meters) / 1000
        yield (
            topics[meter],
            b'[{"n":"sound_laeq","u":"dB","v":%.1f,"t":%.3f,"duration_s":1,"boot":1,"seq":%d}]' % (level, t, seq),
        )


def packs(city: City, readings: int, meters: int = METERS) -> Iterator[tuple[bytes, bytes]]:
    """(topic, payload) of 50 readings each, SenML with base time and base unit."""
    for topic, first_ms, seq, values in _fifties(city, readings, meters):
        records = [
            b'{"bt":%.3f,"bu":"dB","v":%.1f,"t":0,"duration_s":1,"boot":1,"seq":%d}' % (first_ms / 1000, values[0], seq)
        ]
        records += [b'{"v":%.1f,"t":%d,"duration_s":1}' % (value, number) for number, value in enumerate(values[1:], 1)]
        yield topic, b"[" + b",".join(records) + b"]"


def write_messages(path: Path, messages: Iterator[tuple[bytes, bytes]]) -> int:
    """The file that fake_broker.c and publisher.c read; how many messages it has."""
    count = 0
    with path.open("wb") as file:
        for topic, payload in messages:
            file.write(struct.pack("<H", len(topic)) + topic + struct.pack("<I", len(payload)) + payload)
            count += 1
    return count


def _fifties(city: City, readings: int, meters: int) -> Iterator[tuple[bytes, int, int, list[float]]]:
    topics = _topics(city, meters)
    rounds = -(-readings // PACK // meters)
    first_ms = time.time_ns() // 1_000_000 - rounds * PACK * STEP_MS
    values = levels(readings // PACK * PACK).reshape(-1, PACK).tolist()
    for index, fifty in enumerate(values):
        seq, meter = divmod(index, meters)
        yield topics[meter], first_ms + seq * PACK * STEP_MS, seq, fifty


def _topics(city: City, meters: int) -> list[bytes]:
    root = city.settings.broker.root
    return [quantity_topic(root, city.id, meter_name(number), QUANTITY).encode() for number in range(meters)]
