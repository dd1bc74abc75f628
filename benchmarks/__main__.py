"""Runs the measurements one after another: `python -m benchmarks [NAME ...] [-- OPTION ...]`.

Options go to each of them; `--help` of one says which it has. Exit code 1 if a gate was not met.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

NAMES = {
    "fields": "fields.measure",
    "kriging": "fields.kriging",
    "light": "fields.light",
    "sections": "fields.sections",
    "surveys": "fields.surveys",
    "noise": "fields.noise",
    "perception": "perception.measure",
    "demo": "demo.night",
    "dashboard": "dashboard.measure",
    "receive": "ingest.receive",
    "readings": "ingest.readings",
    "durable": "ingest.durable",
    "hostile": "ingest.hostile",
    "box": "ingest.night_in_box",
    "commit": "ingest.end_to_end",
}


def main() -> int:
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    asked, options = given[:cut] or list(NAMES), given[cut + 1 :]
    unknown = [name for name in asked if name not in NAMES]
    if unknown:
        print(f"there is no measurement '{unknown[0]}'; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    results = []
    for name in asked:
        print(f"--- {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{NAMES[name]}", *options]
        results.append(subprocess.run(command, cwd=ROOT, check=False).returncode)
    return max(results)


if __name__ == "__main__":
    raise SystemExit(main())
