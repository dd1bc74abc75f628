"""Measure the light of 50,000 lamps with photometric tables on a raster of 10 m: whole, again, and a hundred dimmed.

    python -m benchmarks light [-- --repeats N --json]

Eight road distributions of 72 x 91 angles, any rotation, four heights, 60 m cutoff, a square of 10 km; a cell is the
mean over its area. Core-seconds on one thread, best of N. *Whole* is everything from the lamps on; *again* adds
the kept footprints at new levels; *dimmed* changes 100 lamps in a map. Beside the speed stands what it costs in truth:
against the exact tables at the same points, and against the mean of 24 x 24 exact points a cell.

Roofline: loads of table entries a second, of the limit that a loop of nothing but such loads reaches on this machine;
and kept values a second when they are added, of the limit of reading them and adding to two rasters in a row.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any

os.environ["NUMBA_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy and numba are imported

import geopandas
import numba
import numpy as np
import shapely

from analytics import light
from analytics.walls import walls_of
from benchmarks.verdict import arguments, at_most, report
from tests.synthetic_light import bare_town, lamps_everywhere, road_luminaires

LAMPS, CELLS, SIDE_M = 50_000, 1_000, 10_000.0
DIMMED = 100
GATES = {"whole_ms": 70.0, "dimmed_us": 30.0, "rms_lx": 0.005, "kept_mb": 300.0, "drift_lx": 1e-4}


def core_seconds(call: Callable[[], Any], repeats: int, inner: int = 1) -> float:
    """Least CPU seconds of some calls, after one that does not count."""
    call()
    spent = []
    for _ in range(repeats):
        begun = time.process_time()
        for _ in range(inner):
            call()
        spent.append((time.process_time() - begun) / inner)
    return min(spent)


@numba.njit(error_model="numpy")
def _loads(table: Any, entry: Any, out: Any) -> None:
    for p in range(entry.size):
        out[p] = table[np.uint32(entry[p])]


@numba.njit(error_model="numpy", fastmath=True)
def _adds(value: Any, total: Any, weighted: Any) -> None:
    n = total.size
    for block in range(value.size // n):
        part = value[block * n : (block + 1) * n]
        for p in range(n):
            total[p] += np.float32(0.5) * part[p]
            weighted[p] += np.float32(0.2) * part[p]


def accuracy(lamps: Any, repeats: int) -> dict[str, float]:
    """Of the middle 2 x 2 km of the same lamps."""
    near = (np.abs(lamps.easting - 5000) < 1100) & (np.abs(lamps.northing - 5000) < 1100)
    part = type(lamps)(
        **{name: getattr(lamps, name)[near] for name in lamps.__dataclass_fields__ if name != "distributions"},
        distributions=lamps.distributions,
    )
    town = bare_town(part, cells=(CELLS, CELLS))
    fast = light.illuminance_raster(town).to_numpy()[400:600, 400:600].astype(np.float64)
    begun = time.process_time()
    exact = light.illuminance_raster(town, height_m=1e-9).to_numpy()[400:600, 400:600]
    exact_s = time.process_time() - begun
    generator, within = np.random.default_rng(1), (np.arange(24) + 0.5) / 24 - 0.5
    errors, means = [], []
    for row, column in generator.integers(400, 600, (150, 2)):
        east, north = np.meshgrid((column + within) * 10.0, (row + within) * 10.0)
        mean = light.illuminance_at(town, east.ravel(), north.ravel()).mean()
        errors.append(float(fast[row - 400, column - 400]) - mean)
        means.append(mean)
    return {
        "mean_lx": float(fast.mean()),
        "rms_to_exact_table_lx": math.sqrt(np.mean((fast - exact) ** 2)),
        "worst_to_exact_table_lx": float(np.abs(fast - exact).max()),
        "rms_of_cell_mean_lx": math.sqrt(np.mean(np.square(errors))),
        "cell_mean_bias_lx": float(np.mean(errors)),
        "exact_kernel_us_a_lamp": exact_s / part.easting.size * 1e6,
    }


def walls(lamps: Any, repeats: int) -> dict[str, float]:
    """What it costs once to see which cells houses of 20 x 12 m, 40 m apart, hide from a tenth of the lamps."""
    few = lamps_everywhere(LAMPS // 10, SIDE_M / math.sqrt(10), road_luminaires())
    side = np.arange(0.0, SIDE_M / math.sqrt(10), 40.0)
    corners = [(east, north) for east in side for north in side]
    houses = geopandas.GeoDataFrame(
        {"height_m": np.full(len(corners), 12.0)},
        geometry=shapely.box(*np.array([(e + 8, n + 8, e + 28, n + 20) for e, n in corners]).T),
    )
    begun = time.process_time()
    laid_out = walls_of(houses, few.easting, few.northing)
    prepared = time.process_time() - begun

    def see() -> object:
        return bare_town(few, cells=(330, 330), walls=laid_out).footprints.seen

    return {"houses": len(corners), "lay_out_s": prepared, "core_s_of_50000_lamps": 10 * core_seconds(see, 2)}


def main() -> int:
    asked = arguments(__doc__, repeats=9)
    repeats = asked.repeats
    lamps = lamps_everywhere(LAMPS, SIDE_M, road_luminaires())
    feet = bare_town(lamps, cells=(CELLS, CELLS)).footprints
    generator = np.random.default_rng(0)
    level, weight = generator.uniform(0.3, 1.0, LAMPS), np.full(LAMPS, 0.4)
    feet.light(level, weight)  # compiles, lays out and keeps
    work_out = core_seconds(lambda: feet._work_out(0, LAMPS), repeats)
    again = core_seconds(lambda: feet.light(level, weight), repeats)
    points = int(np.diff(feet.layout.point_start)[feet.kind].sum())

    chosen = [generator.choice(LAMPS, DIMMED, replace=False).astype(np.int64) for _ in range(16)]
    total, _ = feet.light(level, weight)
    changes = generator.uniform(-0.3, 0.3, (len(chosen), DIMMED)).astype(np.float32)

    def dim() -> None:
        for which, change in zip(chosen, changes, strict=True):
            feet.dim(total, which, change)
        for which, change in zip(chosen, changes, strict=True):
            feet.dim(total, which, -change)

    dim()
    dim()
    dim()
    drift = float(np.abs(total - feet.light(level, weight)[0]).max())
    dimmed = core_seconds(dim, repeats, 10) / (2 * len(chosen))

    tables, _ = feet._tables
    entry = generator.integers(0, tables.shape[1], 2_000).astype(np.int32)
    out = np.empty(entry.size, np.uint64)
    rounds = 2_000

    def load() -> None:
        for k in range(rounds):
            _loads(tables[k % len(tables)], entry, out)

    loads = rounds * entry.size / core_seconds(load, repeats)
    rows = np.zeros((2, 13 * CELLS), np.float32)  # as many as a lamp reaches
    adds = feet.value.size / core_seconds(lambda: _adds(feet.value, rows[0], rows[1]), repeats)

    truth = accuracy(lamps, repeats)
    speed = {
        "whole_core_ms": (work_out + again) * 1e3,
        "footprints_core_ms": work_out * 1e3,
        "again_core_ms": again * 1e3,
        "dimmed_100_us": dimmed * 1e6,
        "points_million": points / 1e6,
        "kept_mb": feet.bytes / 1e6,
        "tables_kb": tables.nbytes / 1e3,
    }
    roofline = {
        "points_a_second_million": points / work_out / 1e6,
        "loads_alone_million": loads / 1e6,
        "share_of_loads": points / work_out / loads,
        "values_a_second_million": feet.value.size / again / 1e6,
        "adds_alone_million": adds / 1e6,
        "share_of_adds": feet.value.size / again / adds,
    }
    gates = [
        at_most("50,000 lamps on 10 m, whole, core-ms (aim 40)", speed["whole_core_ms"], GATES["whole_ms"]),
        at_most("100 of them dimmed, us (aim 15)", speed["dimmed_100_us"], GATES["dimmed_us"]),
        at_most("rms to the exact tables, lx", truth["rms_to_exact_table_lx"], GATES["rms_lx"]),
        at_most("what is kept, MB", speed["kept_mb"], GATES["kept_mb"]),
        at_most("drift after 96 changes of 100 lamps, lx", drift, GATES["drift_lx"]),
    ]
    return report(
        {"speed": speed, "roofline": roofline, "truth": truth, "walls": walls(lamps, repeats), "gates": gates},
        asked.json,
    )


if __name__ == "__main__":
    raise SystemExit(main())
