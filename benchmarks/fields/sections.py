"""Measure the light of every street section of a town: points laid out, and their light on three planes.

    python -m benchmarks sections [-- --cells N --repeats N --json]

A town of N x N cells of 10 m with a street every 100 m, a lamp every 28 m of it, and the points of EN 13201-3 along
sections of at most 100 m: horizontal on the ground, semi-cylindrical at 1.5 m both ways. Core-seconds on one thread,
best of some.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

os.environ["NUMBA_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy and numba are imported

import geopandas
import numpy as np
from shapely.geometry import LineString

from analytics.section_light import section_light, section_points
from benchmarks.fields.town import BLOCK_M, CRS, town
from benchmarks.verdict import arguments, report
from sensors.sections import LONGEST_M, cut_lines


def core_seconds(call: Callable[[], Any], repeats: int) -> float:
    """Least CPU seconds of some calls, after one that does not count."""
    call()
    spent = []
    for _ in range(repeats):
        begun = time.process_time()
        call()
        spent.append(time.process_time() - begun)
    return min(spent)


def main() -> int:
    """Measure and print."""
    asked = arguments(__doc__, cells=500, repeats=3)
    side = 10.0 * asked.cells
    around = town(asked.cells, asked.cells)
    middles = np.arange(BLOCK_M / 2, side, BLOCK_M)
    streets = [LineString([(0, y), (side, y)]) for y in middles] + [LineString([(x, 0), (x, side)]) for x in middles]
    lines, _ = cut_lines(np.array(streets), LONGEST_M)
    sections = geopandas.GeoDataFrame({"section": range(len(lines))}, geometry=lines, crs=CRS)
    width = np.full(len(sections), 9.0)
    points = section_points(sections, width)
    n = around.lamps.easting.size
    level, sd, default = np.ones(n), np.zeros(n), np.ones(n, bool)
    laid = core_seconds(lambda: section_points(sections, width), asked.repeats)
    lit = core_seconds(lambda: section_light(around, points, level, sd, default), asked.repeats)
    return report(
        {
            "town": {"sections": len(sections), "points": points.easting.size, "lamps": n},
            "core_s": {"points": laid, "light": lit, "light_us_a_point": 1e6 * lit / points.easting.size},
            "gates": [],
        },
        asked.json,
    )


if __name__ == "__main__":
    raise SystemExit(main())
