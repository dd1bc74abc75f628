"""The lamps that a scenario changes, as CSV and GeoJSON with the city's own asset ids, for its lighting management."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from analytics.scenario import Change, Scenario, lamp_streets
from sensors.city import City

COMPARED = ("lumens", "watts", "cct_k", "height_m", "mf", "luminaire")
COLUMNS = (
    "asset_id", "lamp", "cabinet", "circuit", "switchable_unit", "street", "what", "levels",
    *(f"{name}_{side}" for name in COMPARED for side in ("before", "after")),
    "longitude", "latitude",
)  # fmt: skip

Row = dict[str, Any]


def changed_lamps(scenario: Scenario, city: City) -> list[Row]:
    """A row a lamp that is dimmed, given something else, added or removed; levels like '23:00-03:00 1.00'."""
    before, after = scenario.lamps.reset_index(drop=True), scenario.after
    streets = lamp_streets(city)
    did: dict[int, list[str]] = {}
    levels: dict[int, list[str]] = {}
    for change in scenario.changes:
        for row in change.rows.tolist():
            if change.what not in did.setdefault(row, []):
                did[row].append(change.what)
            if change.what == "dim":
                levels.setdefault(row, []).append(_level(change))
    at_new = {int(row): place for place, row in enumerate(after["row"]) if row >= 0}
    old_points, new_points = before.to_crs("EPSG:4326").geometry, after.to_crs("EPSG:4326").geometry
    rows = []
    for row in sorted(did):
        old = before.iloc[row]
        new = after.iloc[at_new[row]] if row in at_new else None
        rows.append(
            _texts(old)
            | {"street": streets[row], "what": "; ".join(did[row]), "levels": "; ".join(levels.get(row, []))}
            | _sides(old, new)
            | _place(old_points.iloc[row])
        )
    for place in np.flatnonzero(after["row"].to_numpy() < 0).tolist():
        new = after.iloc[place]
        change = scenario.changes[int(new["change"])]
        told = f"{change.hours[0]}-{change.hours[1]} 1.00" if change.hours else ""
        rows.append(
            _texts(new)
            | {"street": "", "what": "add", "levels": told}
            | _sides(None, new)
            | _place(new_points.iloc[place])
        )
    return rows


def as_csv(rows: Iterable[Row]) -> str:
    """The rows as CSV; a cell that a spreadsheet would compute begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _harmless(row[name]) for name in COLUMNS})
    return out.getvalue()


def as_geojson(rows: Iterable[Row], about: Row) -> str:
    """The rows as GeoJSON points; `about` stands beside them."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [row["longitude"], row["latitude"]]},
            "properties": {name: row[name] for name in COLUMNS if name not in ("longitude", "latitude")},
        }
        for row in rows
    ]
    content = {"type": "FeatureCollection", **about, "features": features}
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def _level(change: Change) -> str:
    span = f"{change.hours[0]}-{change.hours[1]}" if change.hours else "night"
    return f"{span} {change.level:.2f}"


def _texts(lamp: Any) -> Row:
    return {name: str(lamp[name]) for name in ("asset_id", "lamp", "cabinet", "circuit", "switchable_unit")}


def _sides(old: Any, new: Any) -> Row:
    sides: Row = {}
    for name in COMPARED:
        for side, lamp in (("before", old), ("after", new)):
            sides[f"{name}_{side}"] = None if lamp is None else _plain(lamp[name])
    return sides


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return float(f"{value:.6g}") if value is not None and np.isfinite(value) else None


def _place(point: Any) -> Row:
    return {"longitude": round(float(point.x), 6), "latitude": round(float(point.y), 6)}


def _harmless(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value
