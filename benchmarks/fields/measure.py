"""Measure the fields: one step of a city, kriging a million cells, and the warm start. Prints one JSON object.

    python benchmarks/fields/measure.py [--repeats N]

Core-seconds are process CPU time on one thread, best of N, so that other work on the machine counts as little as it
can. Gates: a full step of 500 x 500 cells <= 0.10 core-s.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["NUMBA_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy and numba are imported
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import numpy as np  # noqa: E402  the threads are set first
from town import STEP, evening, town  # noqa: E402

from analytics.covariance import Matern  # noqa: E402
from analytics.fields import fields_at  # noqa: E402
from analytics.knowledge import learn_from  # noqa: E402
from analytics.kriging import krige_cells  # noqa: E402

GATE_STEP_CORE_S = 0.10
_WARM_START = """
import time, json
begun = time.process_time()
from town import STEP, evening, town
from analytics.fields import fields_at
from analytics.knowledge import learn_from
imported = time.process_time()
village = town(32, 32, meters=3, counters=3, lux=2)
laid_out = time.process_time()
night = evening(village)
knowledge = learn_from([night], village)
learnt = time.process_time()
fields_at(village, knowledge, night, STEP)
first = time.process_time()
print(json.dumps({"import": imported - begun, "surroundings": laid_out - imported, "learn": learnt - laid_out,
                  "first_field": first - learnt, "total": first - begun}))
"""


def core_seconds(call: Callable[[], object], repeats: int) -> float:
    """Least CPU seconds of some calls, after one that does not count."""
    call()
    spent = []
    for _ in range(repeats):
        begun = time.process_time()
        call()
        spent.append(time.process_time() - begun)
    return min(spent)


def step_of(rows: int, columns: int, repeats: int, **sensors: int) -> dict[str, float]:
    surroundings = town(rows, columns, **sensors)
    night = evening(surroundings)
    knowledge = learn_from([night], surroundings)
    return {
        "cells": rows * columns,
        "lamps": int(surroundings.lamps.easting.size),
        "records": int(night.size),
        "core_s": round(core_seconds(lambda: fields_at(surroundings, knowledge, night, STEP), repeats), 5),
    }


def million_cells(repeats: int) -> dict[str, float]:
    generator = np.random.default_rng(0)
    east, north = generator.uniform(0, 10_000, (2, 5000))
    value = generator.standard_normal(5000)
    centres = (np.arange(1000) + 0.5) * 10.0
    covariance = Matern(1.5, 500.0, 1.0)
    spent = core_seconds(lambda: krige_cells(east, north, value, 0.1, centres, centres, covariance), repeats)
    return {"cells": 1_000_000, "sensors": 5000, "core_s": round(spent, 5)}


def warm_start() -> dict[str, float]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[:2])}
    spent = []
    for _ in range(3):  # the first fills whatever cache is still cold
        done = subprocess.run([sys.executable, "-c", _WARM_START], env=environment, capture_output=True, check=True)
        spent.append(json.loads(done.stdout))
    best: dict[str, float] = min(spent, key=lambda one: one["total"])
    return {name: round(seconds, 3) for name, seconds in best.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    result = {
        "step_500x500": step_of(500, 500, repeats),
        "step_170x105": step_of(170, 105, repeats, meters=12, counters=20, lux=8),
        "krige_million": million_cells(repeats),
        "warm_start_core_s": warm_start(),
        "gates": {"step_500x500_core_s": GATE_STEP_CORE_S},
    }
    result["passed"] = result["step_500x500"]["core_s"] <= GATE_STEP_CORE_S
    print(json.dumps(result, indent=1))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
