"""Measure noise: the LAeq of an hour of seconds from 3,000 meters, and the background of a city of a million cells.

    python -m benchmarks noise [-- --repeats N --json]

Core-seconds on one thread, best of N, what is compared measured in turn. *Share of STREAM* is the bandwidth at which
levels are read, of that of STREAM's triad (a = b + s c over float32 arrays as large; three are moved); beside it stand
a loop that only sums what it reads, the same series with a tenth of the seconds missing, and numpy. The city has
streets every 100 m, a block of buildings between, venues, and people on every street: its background is a step's
energy of roads, rails, venues and voices; *laid out* is what is worked out once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

os.environ["NUMBA_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy and numba are imported

import numba
import numpy as np

from analytics import noise
from analytics.levels import laeq_of_rows
from benchmarks.fields.town import STEP, town
from benchmarks.verdict import arguments, at_least, at_most, report

METERS, SECONDS = 3_000, 3_600
GATES = {"stream": 0.65, "error_db": 1e-3, "background_ms": 60.0}


@numba.njit(error_model="numpy", fastmath=True)
def _read(a: Any) -> Any:
    total = np.float32(0)
    for k in range(a.size):
        total += a[k]
    return total


@numba.njit(error_model="numpy", fastmath=True)
def _triad(a: Any, b: Any, c: Any) -> None:
    for k in range(a.size):
        a[k] = b[k] + np.float32(3) * c[k]


def in_turn(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Least CPU seconds of each of some calls, measured one after another, again and again."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            begun = time.process_time()
            call()
            spent[name].append(time.process_time() - begun)
    return {name: min(times) for name, times in spent.items()}


def levels_of_an_hour(repeats: int) -> dict[str, Any]:
    """LAeq of every meter against the memory's bandwidth, numpy and float64."""
    level = np.random.default_rng(0).uniform(35, 85, (METERS, SECONDS)).astype(np.float32)
    gaps = level.copy()
    gaps[np.random.default_rng(1).random(level.shape) < 0.1] = np.nan
    flat, a, c = level.ravel(), np.empty(level.size, np.float32), level.ravel().copy()
    spent = in_turn(
        {
            "laeq": lambda: laeq_of_rows(level),
            "gaps": lambda: laeq_of_rows(gaps),
            "triad": lambda: _triad(a, flat, c),
            "read": lambda: _read(flat),
        },
        repeats,
    )
    plain = in_turn({"numpy": lambda: 10 * np.log10(np.mean(10 ** (level / np.float32(10)), axis=1))}, 3)
    bandwidth = {name: level.nbytes * (3 if name == "triad" else 1) / core_s for name, core_s in spent.items()}
    exact = [10 * np.log10(np.nanmean(10 ** (one.astype(np.float64) / 10), axis=1)) for one in (level, gaps)]
    found = [laeq_of_rows(one).level for one in (level, gaps)]
    return {
        "laeq_ms": spent["laeq"] * 1e3,
        "with_gaps_ms": spent["gaps"] * 1e3,
        "numpy_ms": plain["numpy"] * 1e3,
        "gb_s": bandwidth["laeq"] / 1e9,
        "triad_gb_s": bandwidth["triad"] / 1e9,
        "read_gb_s": bandwidth["read"] / 1e9,
        "share_of_stream": bandwidth["laeq"] / bandwidth["triad"],
        "share_of_read": bandwidth["laeq"] / bandwidth["read"],
        "error_db": float(max(np.abs(a - b).max() for a, b in zip(exact, found, strict=True))),
    }


def background_of_a_city(repeats: int) -> dict[str, Any]:
    """What a step costs, and what was worked out once."""
    begun = time.process_time()
    around = town(1000, 1000, meters=50, counters=50, lux=5, lamp_every_m=500.0)
    laid_out = time.process_time() - begun
    people = np.where(around.street, 60.0, 1.0).astype(np.float32)
    spent = in_turn({"background": lambda: noise.background_level(around, people, STEP)}, repeats)
    return {
        "cells": around.indoor.size,
        "venues": around.venues.power.size,
        "laid_out_s": laid_out,
        "patches_mb": around.sound.venue_patch.nbytes / 1e6,
        "background_ms": spent["background"] * 1e3,
    }


def main() -> int:
    asked = arguments(__doc__, repeats=15)
    hour, city = levels_of_an_hour(asked.repeats), background_of_a_city(asked.repeats)
    gates = [
        at_least("LAeq of 3,000 x 3,600 seconds, share of STREAM", hour["share_of_stream"], GATES["stream"]),
        at_most("its error, dB", hour["error_db"], GATES["error_db"]),
        at_most("background of a million cells, core-ms", city["background_ms"], GATES["background_ms"]),
    ]
    return report({"levels": hour, "city": city, "gates": gates}, asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
