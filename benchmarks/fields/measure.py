"""Measure the fields: a step of a whole city, of a district and of a quarter, warm start and cold compilation.

    python -m benchmarks fields [-- --repeats N --json]

Core-seconds are process CPU time on one thread, best of N, so that other work on the machine counts as little as it
can. A whole city is a million cells, 50,000 lamps with telemetry, 3,000 counters and 3,000 meters; its memory is the
highest resident size from the end of laying it out on, interpreter and surroundings included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.verdict import arguments, at_most, report

ROOT = Path(__file__).resolve().parents[2]
_ONE_THREAD = {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

TOWNS: dict[str, dict[str, float]] = {
    "whole city": {
        "rows": 1000, "columns": 1000, "meters": 3000, "counters": 3000, "lux": 50, "lamp_every_m": 39.0, "hours": 1.0
    },
    "district": {"rows": 500, "columns": 500, "hours": 4.0},
    "quarter": {"rows": 170, "columns": 105, "meters": 12, "counters": 20, "lux": 8, "hours": 4.0},
}  # fmt: skip

# Each runs in a process of its own, so that its memory is its own and the threads are set before numpy is imported.
_STEP = """
import json, sys, time
from pathlib import Path
from benchmarks.fields.town import STEP, evening, town
from analytics.fields import fields_at
from analytics.knowledge import learn_from

asked = json.loads(sys.argv[1])
repeats, hours = asked.pop("repeats"), asked.pop("hours")
surroundings = town(int(asked.pop("rows")), int(asked.pop("columns")), **asked)
night = evening(surroundings, hours=hours)
knowledge = learn_from([night], surroundings)
Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins here
spent = []
for _ in range(repeats + 1):
    begun = time.process_time()
    fields_at(surroundings, knowledge, night, STEP)
    spent.append(time.process_time() - begun)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps({
    "cells": surroundings.indoor.size, "lamps": surroundings.lamps.easting.size, "records": night.size,
    "core_s": min(spent[1:]), "memory_mb": int(peak.split()[1]) / 1024}))
"""
_START = """
import json, time
begun = time.process_time()
from benchmarks.fields.town import STEP, evening, town
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
                  "first_field": first - learnt}))
"""
_COMPILE = "from analytics.warmup import compile_kernels; print(compile_kernels())"


def run(program: str, *given: str, **environment: str) -> str:
    """What a program says that runs in a process of its own, on one thread."""
    done = subprocess.run(
        [sys.executable, "-c", program, *given], cwd=ROOT, env={**os.environ, **_ONE_THREAD, **environment},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def _to_first_field(start: dict[str, float]) -> float:
    """From nothing imported to a map, without the making of the town that is mapped."""
    return start["import"] + start["first_field"]


def main() -> int:
    asked = arguments(__doc__, repeats=9)
    steps = {
        name: json.loads(run(_STEP, json.dumps(town | {"repeats": asked.repeats}))) for name, town in TOWNS.items()
    }
    starts = [json.loads(run(_START)) for _ in range(3)]  # the first fills whatever cache is still cold
    warm = min(starts, key=_to_first_field)
    with tempfile.TemporaryDirectory() as empty:
        cold = float(run(_COMPILE, NUMBA_CACHE_DIR=empty))
    city = steps["whole city"]
    gates = [
        at_most("three fields of a whole city, core-s", city["core_s"], 0.25),
        at_most("its memory, MB", city["memory_mb"], 600.0),
        at_most("a step of 500 x 500 cells, core-s", steps["district"]["core_s"], 0.10),
        at_most("warm start to the first field, core-s", _to_first_field(warm), 1.0),
        at_most("cold compilation of every kernel, core-s", cold, 20.0),
    ]
    return report({**steps, "warm start": warm, "cold compilation": {"core_s": cold}, "gates": gates}, asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
