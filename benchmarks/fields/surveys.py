"""Measure surveys of light and the shares by origin.

    python -m benchmarks surveys [-- --rows N --repeats N --json]

A drive of `--rows` rows with decimal commas, a third of them in the grid, taken in by the command (core-seconds and
highest resident size of its process); what laying out a survey costs once, for 10,000 cells of a drive and for an image
of a million; what shares by origin cost a step of a million cells, in core-seconds and compressed bytes; and, where the
open data stand beside the repository, the drives of Cambridge left out by blocks of 250 m and by cells.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.verdict import arguments, report

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
_PART = 100_000


def taken_in(rows: int, folder: Path) -> dict[str, Any]:
    """Write a drive through the small town of the tests and let the command take it in."""
    from pyproj import Transformer

    from tests.synthetic_city import CRS, SIDE, SOUTH, WEST, make_city

    town = make_city(folder / "town", simulated=False)
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    generator = np.random.default_rng(0)
    file = folder / "drive.csv"
    with open(file, "w", encoding="ascii") as out:
        out.write("time;lon;lat;lux;plate\n")
        for part in range(-(-rows // _PART)):
            east = WEST + generator.uniform(-0.5, 1.2, _PART) * SIDE
            north = SOUTH + generator.uniform(-0.4, 1.2, _PART) * SIDE
            longitude, latitude = to_degrees.transform(east, north)
            second, lux = generator.integers(0, 3 * 3600, _PART), generator.lognormal(1.5, 1.0, _PART)
            day = f"2026-11-1{part % 10}"
            lines = (
                f"{day}T{21 + s // 3600}:{s // 60 % 60:02}:{s % 60:02}+02:00;{x:.6f};{y:.6f};{v:.2f};A1\n"
                for s, x, y, v in zip(second.tolist(), longitude, latitude, lux, strict=True)
            )
            out.write("".join(lines).replace(".", ","))
    command = [sys.executable, "-m", "noctule", "light-survey", "import", str(town.path), str(file), "--height", "1.6"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError("the command refused the drive")
    return {"rows": rows, "core_s": used.ru_utime + used.ru_stime, "memory_mb": used.ru_maxrss / 1024}


def laid_out(repeats: int) -> list[dict[str, Any]]:
    """What learning from a survey costs, a drive and an image, on a million cells."""
    from analytics import light_surveys
    from analytics.grid import Grid

    around = SimpleNamespace(grid=Grid(10.0, 0.0, 0.0, (1000, 1000)))
    model_sd = np.full((1000, 1000), 0.8, np.float32)
    generator = np.random.default_rng(0)
    street = generator.integers(0, 1000, 40)
    drive = np.array(
        [(n, e) for n in street[:20] for e in range(1000)] + [(n, e) for e in street[20:] for n in range(1000)]
    )
    drive = np.unique(drive[generator.permutation(len(drive))[:10_000]], axis=0)
    image = np.indices((1000, 1000)).reshape(2, -1).T
    costs = []
    for name, cells in (("drive", drive), ("image", image)):
        n = len(cells)
        seen = light_surveys.Departed(
            cells[:, 1] * 10.0 + 5, cells[:, 0] * 10.0 + 5, generator.normal(0.3, 0.8, n), np.full(n, 0.8),
            np.full(n, 0.04), np.zeros(n, bool), np.ones(n),
        )  # fmt: skip
        spent = []
        for _ in range(repeats):
            begun = time.process_time()
            light_surveys.learn(around, seen, 0.15, model_sd)
            spent.append(time.process_time() - begun)
        costs.append({"survey": name, "cells": n, "core_s": min(spent)})
    return costs


def shares(repeats: int) -> dict[str, Any]:
    """What shares by origin cost a step of a million cells."""
    import zstandard

    from analytics import assimilation, footfall, layers, light, noise
    from analytics.fields import fields_at
    from analytics.knowledge import learn_from
    from benchmarks.fields.town import STEP, evening, town

    around = town(1000, 1000, meters=3000, counters=3000, lux=50, lamp_every_m=39.0)
    night = evening(around, hours=1.0)
    knowledge = learn_from([night], around)
    fields = fields_at(around, knowledge, night, STEP)
    compressor = zstandard.ZstdCompressor(level=1)
    size = {str(name): len(compressor.compress(fields[name].values.tobytes())) for name in fields}
    spent = [0.0]

    def counted(function: Any) -> Any:
        def run(*given: Any) -> Any:
            begun = time.process_time()
            result = function(*given)
            spent[0] += time.process_time() - begun
            return result

        return run

    whole = counted(layers.shares)
    for room in (light, noise, footfall):
        room.shares = whole
    assimilation._shares = counted(assimilation._shares)
    best = (np.inf, 0.0)
    for _ in range(repeats):
        spent[0], begun = 0.0, time.process_time()
        fields_at(around, knowledge, night, STEP)
        best = min(best, (time.process_time() - begun, spent[0]))
    of_shares = sum(bytes_ for name, bytes_ in size.items() if name.endswith(("_measured", "_simulated")))
    return {
        "step_core_s": best[0], "shares_core_s": best[1], "fields_mb": sum(size.values()) / 1e6,
        "shares_mb": of_shares / 1e6,
    }  # fmt: skip


def cambridge(folder: Path) -> dict[str, Any]:
    """The drives of Cambridge, predicted where they were left out: median |log10 ratio| and cover of 90 %."""
    from analytics import light_surveys
    from analytics.surroundings import surroundings
    from tests.unit.test_layers import cambridge as city_and_drives

    city, terms, cells = city_and_drives(folder)
    around = surroundings(city)
    seen = light_surveys.departures(around, terms, cells)
    row, column, _ = around.grid.cells(seen.easting, seen.northing)
    model_sd, from_lamps = light_surveys.lamps_model(around)
    block = np.unique((seen.easting // 250) * 1e6 + seen.northing // 250, return_inverse=True)[1]
    generator = np.random.default_rng(0)
    folds = {
        "blocks": (generator.permutation(block.max() + 1) % 5)[block],
        "cells": generator.integers(0, 5, seen.y.size),
    }
    result: dict[str, Any] = {"cells": seen.y.size, "without": float(np.median(np.abs(seen.y)) / np.log(10))}
    for name, fold in folds.items():
        error, sd = np.empty(seen.y.size), np.empty(seen.y.size)
        for k in range(5):
            out = fold == k
            learnt = light_surveys.learn(around, seen.only(~out), terms.gain_sd, model_sd, from_lamps)
            error[out] = seen.y[out] - learnt.mean[row[out], column[out]]
            sd[out] = np.sqrt(learnt.variance[row[out], column[out]] + seen.own[out] + learnt.structure.spot)
        result[name] = float(np.median(np.abs(error)) / np.log(10))
        result[f"{name}_cover"] = float(np.mean(np.abs(error) < 1.645 * sd))
    return result


def main() -> int:
    given = arguments(__doc__, rows=10_000_000, repeats=3)
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    result: dict[str, Any] = {"gates": []}
    with tempfile.TemporaryDirectory() as folder:
        result["drive taken in"] = taken_in(given.rows, Path(folder))
        result["laid out"] = laid_out(given.repeats)
        result["shares"] = shares(given.repeats)
        if (DATA / "cambridge-ma").is_dir():
            result["cambridge"] = cambridge(Path(folder) / "cambridge")
    return report(result, given.json)


if __name__ == "__main__":
    raise SystemExit(main())
