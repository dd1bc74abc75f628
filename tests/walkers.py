"""Walks of the tiny town and the sheets that simulated walkers bring back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import shapely

from analytics.walk_route import route_of
from analytics.walk_sheet import completed, sheet_rows
from ingest.surveys import import_answers
from sensors.walk import Walk, make_stops, read_walk, walk_settings, write_walk
from tests.synthetic_city import SOUTH, WEST

NIGHT = "2026-11-20"
AT = ((60.0, 120.0), (160.0, 280.0), (260.0, 120.0))


def walked(city, walk_id="autumn", title="Autumn walk", at=AT):
    points = [shapely.Point(WEST + east, SOUTH + north) for east, north in at]
    stops = make_stops(city, [f"Stop at {number}" for number in range(len(at))], points, [-1] * len(at))
    walk = Walk(walk_settings(walk_id, title, NIGHT), stops)
    write_walk(city, walk)
    return read_walk(city, walk_id)


def keyed(city, walk, people, *, women=0.5, safe_by_day=1.0, safe_in_dark=0.5, seed=0):
    """The sheet of a walk as it comes back, in a table."""
    generator = np.random.default_rng(seed)
    table = pd.DataFrame(sheet_rows(city, walk, route_of(city, walk), people))
    share = table["light_state"].map({"day": safe_by_day, "dark": safe_in_dark})
    table["category"] = np.where(generator.random(len(table)) < share, "4", "1")
    first = ~table.duplicated("pseudonym")
    table.loc[first, "gender"] = ["woman" if number < women * people else "man" for number in range(first.sum())]
    return completed(table, walk)


def take(city, walk, table):
    return import_answers(city, city.path / "sheet.csv", campaign=walk.campaign, simulated=True, rows=table)
