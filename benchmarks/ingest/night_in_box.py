"""One night, 22:00 to 06:00, in a box that holds about 5 % of a city, out of a hundred million readings.

    python -m benchmarks.ingest.night_in_box [--readings 100000000] [--keep DIR] [--json]

Ten nights of 20,000 noise meters all over 10 x 10 km. The readings are drawn at random and put where the service puts
its own: into the log's tail, in groups, from where `ingest.archive.compact` moves them into Parquet, four times a
night; so the files are those that a city would have, and only receiving and decoding were left out. Then
`readings_in_box` is asked for each night in turn, and the median counts. `--readings 10000000` is done within a minute;
`--keep DIR` leaves the city for another look (and uses it if it is there).
"""

from __future__ import annotations

import argparse
import itertools
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from pyproj import Transformer

from benchmarks.ingest.traffic import STEP_MS, levels, meter_town
from benchmarks.verdict import arguments, at_most, report
from ingest.archive import compact, read_manifest
from ingest.log import Position
from ingest.query import readings_in_box
from ingest.shard_log import TAIL_BYTES
from ingest.tail import TailWriter
from sensors.city import City
from sensors.night import Night
from sensors.quantities import QUANTITIES
from sensors.reading import RECORD, Records
from tests.synthetic_city import CRS, SOUTH, WEST

NIGHTS = 10
SITES = 20_000
SIDE_M = 10_000.0
SHARE = 0.05  # of the city's area
FIRST = "2026-11-16"
COMPACTIONS = 4  # a night; a city archives every minute and merges, which comes to the same few files
GROUP = 8_192


def main() -> int:
    asked = arguments(__doc__, options, readings=100_000_000)
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="noctule-bench-"))
    try:
        if (folder / "city.toml").exists():
            city, seconds = City.open(folder), 0.0
        else:
            begun = time.perf_counter()
            city = make(folder, asked.readings)
            seconds = time.perf_counter() - begun
        return report(measure(city) | {"made_in_s": seconds}, asked.json)
    finally:
        if asked.keep is None:
            shutil.rmtree(folder)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", type=Path, help="leave the city in this folder")


def make(folder: Path, readings: int) -> City:
    """A city with so many readings in ten nights."""
    city = meter_town(folder, SITES, SIDE_M)
    tail = TailWriter(city.shelf("log", "0"))
    night = Night.named(FIRST, city.zone)
    end, seq = Position(1, 0), 0
    for _ in range(NIGHTS):
        per_site = max(1, readings // NIGHTS // SITES)
        edges = np.linspace(0, per_site, COMPACTIONS + 1).astype(int)
        for first, last in itertools.pairwise(edges):
            if first == last:
                continue
            records = some(night, first, last, per_site, seq)
            for start in range(0, len(records), GROUP):
                group = records[start : start + GROUP]
                full = tail.size >= TAIL_BYTES
                end = Position(end.segment + full, (0 if full else end.offset) + len(group) * 30)  # as their frames
                tail.append(end, group)
            compact(city, {"0": end})
            for path in city.shelf("log", "0", "tail").glob("*.rec"):
                if int(path.stem) < end.segment:
                    path.unlink()  # a city forgets it after a week
        seq += per_site
        night = night.next()
    tail.close()
    return city


def some(night: Night, first: int, last: int, per_site: int, seq: int) -> Records:
    """Readings `first` to `last` of each site's `per_site` in a night, in the order in which they come."""
    every_ms = int((night.end - night.start) / np.timedelta64(1, "ms")) // per_site
    number, site = np.divmod(np.arange((last - first) * SITES), SITES)
    number += first
    generator = np.random.default_rng(first)
    records = np.zeros(len(number), RECORD)
    at = number * every_ms + site * every_ms // SITES
    records["time"] = night.start + at.astype("timedelta64[ms]")
    records["received"] = records["time"] + generator.integers(50, 900, len(number)).astype("timedelta64[ms]")
    records["site"], records["quantity"] = site, QUANTITIES["sound_laeq"].code
    records["value"], records["duration_s"] = levels(len(number), first), STEP_MS / 1000
    records["boot"], records["seq"] = 1, seq + number
    return records


def measure(city: City) -> dict[str, object]:
    side = SIDE_M * SHARE**0.5
    middle_m = SIDE_M / 2
    west, south = WEST + middle_m - side / 2, SOUTH + middle_m - side / 2
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    bounds = to_degrees.transform_bounds(west, south, west + side, south + side)
    night = Night.named(FIRST, city.zone)
    wall, cpu, rows = [], [], []
    for _ in range(NIGHTS):
        begun, spent = time.perf_counter(), time.process_time()
        found = readings_in_box(city, night, bounds, from_="22:00", to="06:00")
        wall.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - spent)
        rows.append(len(found))
        night = night.next()
    manifest = read_manifest(city)
    stored = sum(file.rows for file in manifest.files)
    size = sum(city.shelf("readings", file.path).stat().st_size for file in manifest.files)
    typical = float(np.median(wall)) * 1000
    return {
        "stored": stored,
        "files": len(manifest.files),
        "history_bytes_per_reading": size / stored,
        "found": int(np.median(rows)),
        "wall_ms": typical,
        "slowest_ms": max(wall) * 1000,
        "cpu_ms": float(np.median(cpu)) * 1000,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "gates": [
            at_most("one night in a box, wall ms", typical, 500.0),
            at_most("bytes a reading in the history", size / stored, 10.0),
        ],
    }


if __name__ == "__main__":
    raise SystemExit(main())
