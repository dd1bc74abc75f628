"""Runs everything that CI runs, says how long each part took, and fails if one fails.

Two parts at a time while they only compute; journeys after them, because they start brokers, services and browsers and
watch the clock.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Part:
    """One command of the suite."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


def pytest(*arguments: str) -> tuple[str, ...]:
    return (str(BIN / "python"), "-m", "pytest", "-q", *arguments)


UNIT = [str(file.relative_to(ROOT)) for file in sorted((ROOT / "tests" / "unit").glob("test_*.py"))]

COMPUTING = (
    Part("types", (str(BIN / "mypy"),)),
    Part("house tests and half of the unit tests", pytest("tests/house", *UNIT[0::2], "-m", "not slow")),
    Part("the other half of the unit tests", pytest(*UNIT[1::2], "-m", "not slow")),
    Part("lint", (str(BIN / "ruff"), "check", ".")),
    Part("format", (str(BIN / "ruff"), "format", "--check", ".")),
    Part("contracts", (str(BIN / "lint-imports"),)),
    Part("doctests", pytest("--doctest-modules", *(["sensors", "ingest", "analytics", "dashboard", "firmware_sim"]))),
    Part(
        "kernels with the compiler off",
        pytest("tests/unit", "-m", "kernel and not slow"),
        {"NUMBA_DISABLE_JIT": "1"},
    ),
)
# Browsers keep one core busy, brokers and services mostly wait for each other.
WATCHING = (
    Part("journeys of pages in a browser", pytest("tests/journeys", "-m", "browser and not slow")),
    Part("journeys of brokers and services", pytest("tests/journeys", "-m", "not browser and not slow")),
)
SLOW = (Part("slow suites", pytest("tests", "-m", "slow")),)


def run(part: Part) -> bool:
    start = time.monotonic()
    done = subprocess.run(
        part.command,
        cwd=ROOT,
        env={**os.environ, **part.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    verdict = "ok" if done.returncode == 0 else f"FAILED ({done.returncode})"
    print(f"=== {part.name}: {verdict} in {time.monotonic() - start:.0f} s\n{done.stdout.rstrip()}", flush=True)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slow", action="store_true", help="also the slow suites: soak, kill loops, large models")
    slow = parser.parse_args().slow
    for program, needed_by in (("mosquitto", "broker journeys"), ("chromium", "browser journeys")):
        if shutil.which(program) is None:
            print(f"{program} is not installed: {needed_by} that need it will be skipped", flush=True)
    start = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, COMPUTING))
        results += pool.map(run, WATCHING)
    results += [run(part) for part in (SLOW if slow else ())]
    failed = results.count(False)
    print(f"{len(results) - failed} of {len(results)} parts passed in {time.monotonic() - start:.0f} s")
    if not slow:
        print("not run here: the slow suites ('make test-slow')")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
