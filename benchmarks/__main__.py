"""Runs the measurements one after another: `python -m benchmarks [NAME ...]`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

NAMES = {
    "fields": "fields/measure.py",
    "ingest": "ingest/end_to_end.py",
    "demo": "demo/night.py",
}


def main() -> int:
    asked = sys.argv[1:] or list(NAMES)
    unknown = [name for name in asked if name not in NAMES]
    if unknown:
        print(f"there is no measurement '{unknown[0]}'; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    results = []
    for name in asked:
        print(f"--- {name}", flush=True)
        results.append(subprocess.run([sys.executable, str(HERE / NAMES[name])], check=False).returncode)
    return max(results)


if __name__ == "__main__":
    raise SystemExit(main())
