"""The lamps that a scenario changes, as CSV and GeoJSON with the city's own asset ids, for its lighting management."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from analytics.scenario import Change, Scenario, lamp_streets
from dashboard.probe_series import plain
from sensors.city import City

COMPARED = ("lumens", "watts", "cct_k", "height_m", "mf", "luminaire")
_TEXTS = ("asset_id", "lamp", "cabinet", "circuit", "switchable_unit")
COLUMNS = (
    *_TEXTS, "street", "what", "levels",
    *(f"{name}_{side}" for name in COMPARED for side in ("before", "after")),
    "longitude", "latitude",
)  # fmt: skip

Row = dict[str, Any]
Columns = dict[str, list[Any]]


def changed_lamps(scenario: Scenario, city: City) -> list[Row]:
    """A row a lamp that is dimmed, given something else, added or removed; levels like '23:00-03:00 1.00'."""
    after = scenario.after
    before, new = _columns(scenario.lamps), _columns(after)
    did: dict[int, list[str]] = {}
    levels: dict[int, list[str]] = {}
    for change in scenario.changes:
        for row in change.rows.tolist():
            if change.what not in did.setdefault(row, []):
                did[row].append(change.what)
            if change.what == "dim":
                levels.setdefault(row, []).append(_level(change))
    touched = sorted(did)
    streets = lamp_streets(city, np.array(touched, np.int64))
    at_new = {int(row): place for place, row in enumerate(after["row"]) if row >= 0}
    rows = [
        _row(before, row, before, row, new, at_new.get(row))
        | {"street": street, "what": "; ".join(did[row]), "levels": "; ".join(levels.get(row, []))}
        for row, street in zip(touched, streets, strict=True)
    ]
    for place in np.flatnonzero(after["row"].to_numpy() < 0).tolist():
        hours = scenario.changes[int(after["change"].iloc[place])].hours
        told = f"{hours[0]}-{hours[1]} 1.00" if hours else ""
        rows.append(_row(new, place, None, None, new, place) | {"street": "", "what": "add", "levels": told})
    return rows


def as_csv(rows: Iterable[Row]) -> str:
    """The rows as CSV; a cell that a spreadsheet would compute begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: plain(row[name]) for name in COLUMNS})
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


def _columns(lamps: Any) -> Columns:
    """Columns of a lamps table as lists: of a city's lamps one by one pandas takes ten seconds."""
    points = lamps.to_crs("EPSG:4326").geometry
    texts = {name: lamps[name].fillna("").astype(str).tolist() for name in (*_TEXTS, "luminaire")}
    numbers = {name: [_plain(value) for value in lamps[name].tolist()] for name in COMPARED if name != "luminaire"}
    return texts | numbers | {"longitude": points.x.round(6).tolist(), "latitude": points.y.round(6).tolist()}


def _row(of: Columns, at: int, old: Columns | None, was: int | None, new: Columns, is_at: int | None) -> Row:
    """What a lamp is called and where it stands, and its values on both sides; None where it does not stand there."""
    row: Row = {name: of[name][at] for name in (*_TEXTS, "longitude", "latitude")}
    for name in COMPARED:
        row[f"{name}_before"] = None if old is None or was is None else old[name][was]
        row[f"{name}_after"] = None if is_at is None else new[name][is_at]
    return row


def _plain(value: Any) -> float | None:
    return float(f"{value:.6g}") if value is not None and np.isfinite(value) else None
