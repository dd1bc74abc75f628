"""A view of the map on two pages of A4: the picture with its legend, and what it says at named places, with its notes.

What is read of an address is hostile until it is understood; the sheet shows what the role may see and no more, and
leaves no view without what it must say: the note line, SIMULATED, who answered, who is missing, and the sources.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.typeset import pdf
from dashboard.figures import layer_name, legend_parts
from dashboard.overlays import KINDS, overlay
from dashboard.pages.context import House
from dashboard.place_table import Row, cells, heads, places_in_view, shortened
from dashboard.roles import may
from dashboard.runs import NOW, PLAN, Run
from dashboard.scales import base_layer
from dashboard.sheet_map import Box, Dots, drawn, map_picture
from dashboard.words import Words
from sensors.night import parse_rfc3339

MOST_PLACES = 40
_METHODS = {"light", "noise", "footfall", "safety"}
_EXCLUDED = {"patrol deployment": "patrol", "enforcement": "enforcement", "licensing sanctions": "licensing"}


@dataclass(frozen=True, slots=True)
class View:
    """What is to be printed."""

    run: str
    frame: int
    layer: str
    over: tuple[str, ...]
    box: Box
    zoom: int  # of the screen, which decides how fine the table reads


def view_of(query: Mapping[str, str]) -> View | None:
    """The view that an address asks for; None where it makes no sense.

    >>> view_of({"run": "now", "frame": "0", "layer": "safety", "box": "24.9,60.1,24.8,60.2"}) is None
    True
    """
    try:
        west, south, east, north = (float(edge) for edge in query.get("box", "").split(","))
        frame, zoom = int(query.get("frame", "")[:6]), int(query.get("zoom", "14")[:3])
    except (ValueError, OverflowError):
        return None
    edges = (west, south, east, north)
    if not all(map(math.isfinite, edges)) or not (-180 <= west < east <= 180 and -85 <= south < north <= 85):
        return None
    over = tuple(kind for kind in KINDS if kind in query.get("over", "").split("."))
    return View(query.get("run", "")[:80], frame, query.get("layer", "")[:24], over, edges, zoom)


def run_of(house: House, role: str, view: View) -> Run | None:
    """The run of a view, where this role may see it and it holds this frame of this layer."""
    run = house.runs.get(view.run) if house.may_run(role, view.run) else None
    if run is None or view.layer not in run.layers or not 0 <= view.frame < len(run.versions):
        return None
    return run if run.versions[view.frame] is not None else None


def view_sheet(house: House, role: str, view: View, say: Words, link: str) -> bytes | None:
    """The sheet as a PDF; None where there is nothing that this role may see.

    link : the address of the same view, printed and drawn as a code; '' for none
    """
    run = run_of(house, role, view)
    version = None if run is None else run.versions[view.frame]
    levels = None if run is None or version is None else house.runs.levels(run.name, view.layer, view.frame, version)
    if run is None or levels is None:
        return None
    simulated = view.layer in house.runs.simulated(run)
    over = [kind for kind in view.over if kind != "sensors" or may(role, "sensors")]
    box = _within(view.box, run.frame.bounds_lonlat)
    picture = map_picture(
        lambda zoom, x, y: house.basemap.tile(zoom, x, y, 2, "light"),
        run.frame, levels, view.layer, box, [_dots(house, role, kind, say) for kind in over],
    )  # fmt: skip
    rows = places_in_view(house.place_names.of(house.city), run.frame, levels, view.layer, box, view.zoom)
    content = sheet_content(house, run, view, rows, say) | {
        "simulated": say("simulated.mark") if simulated else "",
        "over": [{"kind": kind, "word": say(f"overlay.{kind}")} for kind in over],
        "link": link,
        "link_label": say("sheet.link") if link else "",
    }
    pictures = {"map.svg": drawn(picture, say("simulated.mark") if simulated else "")}
    if link:
        pictures["code.svg"] = code(link)
    return pdf("view-sheet", content, pictures, accessible=True)


def sheet_content(house: House, run: Run, view: View, rows: list[Row], say: Words) -> dict[str, Any]:
    """Every word and number of the sheet, but what stands in its picture."""
    city = house.city
    name, when = layer_name(view.layer, say), _when(house, run, view.frame, say)
    shown = shortened(rows, MOST_PLACES)
    base = base_layer(view.layer)
    tiers, ticks, unit = legend_parts(view.layer, say, "light")
    count = say("table.count", shown=say.number(len(shown)), all=say.number(len(rows)))
    method = say(f"method.{base if base in _METHODS else 'safety'}.text")
    if run.name.startswith(PLAN):
        method = say("plan.note")
    answers = int((run.meta.get("answers") or {}).get("count", 0))
    made = say("sheet.made", moment=say.moment(house.clock.now(), city.zone), zone=str(city.zone))
    return {
        "language": say.language,
        "title": f"{name} · {city.name}",
        "when": when,
        "note": say("note.line"),
        "model": say("note.model"),
        "map_alt": say("sheet.alt", layer=name, city=city.name, when=when),
        "code_alt": say("wall.alt"),
        "legend_title": say("panel.legend"),
        "tiers": [{"colours": colours, "word": word} for colours, word in tiers],
        "ticks": [{"at": place, "word": word} for place, word in ticks],
        "unit": unit.replace("\u00a0", "").strip(),
        "hatched": say("legend.hatched"),
        "places_title": say("table.title"),
        "places_count": count if rows else say("table.none"),
        "heads": heads(view.layer, say),
        "rows": [cells(row, view.layer, say) for row in shown],
        "method_title": say("about.method.title"),
        "method": [method, *([say("legend.noise")] if base == "noise" else [])],
        "missing_title": say("about.missing.title"),
        "missing": [*([say.many("clock.answers", answers)] if answers else []), say("about.missing")],
        "purpose_title": say("about.purpose.title"),
        "purpose": _purpose(house, say),
        "sources_title": say("about.sources.title"),
        "sources": " · ".join(city.settings.attribution),
        "made": made,
    }


def _when(house: House, run: Run, frame: int, say: Words) -> str:
    """Night and step in the city's own time."""
    zone = house.city.zone
    start = run.times[frame]
    end = start + np.timedelta64(house.city.settings.night.step_minutes, "m")
    if run.name == NOW and run.meta.get("as_of"):
        return say("sheet.asof", moment=say.moment(parse_rfc3339(run.meta["as_of"]), zone))
    first, last = say.clock(start, zone), say.clock(end, zone)
    key = "sheet.plan" if run.name.startswith(PLAN) else "sheet.step"
    return say(key, day=say.day(run.night), start=first, end=last) if run.night else say("title.plan")


def _purpose(house: House, say: Words) -> list[str]:
    purpose = house.city.settings.purpose
    excluded = (say(f"excluded.{_EXCLUDED[text]}") if text in _EXCLUDED else text for text in purpose.excluded)
    separator = say("about.separator")
    rows = (
        ("about.uses", separator.join(purpose.uses)),
        ("about.responsible", purpose.responsible),
        ("about.excluded", separator.join(excluded)),
    )
    return [say("sheet.told", name=say(key), text=text) for key, text in rows if text]


def _dots(house: House, role: str, kind: str, say: Words) -> Dots:
    found = overlay(house.city, kind, say, tonight=may(role, "live"))
    return Dots(
        kind, [(x, y) for x, y in found["points"]], [kind == "lamps" and state == 2 for state in found["states"]]
    )


def _within(box: Box, city: Box) -> Box:
    """A view that reaches far beyond the city is brought back to a third of its size around it."""
    wide, tall = (city[2] - city[0]) / 3, (city[3] - city[1]) / 3
    west, south = max(box[0], city[0] - wide), max(box[1], city[1] - tall)
    east, north = min(box[2], city[2] + wide), min(box[3], city[3] + tall)
    return (west, south, east, north) if west < east and south < north else city


def code(link: str) -> str:
    """An address as a picture for phones, an SVG."""
    import segno

    picture = io.BytesIO()
    segno.make(link, error="l", micro=False).save(picture, kind="svg", border=2, dark="#000", light="#fff")
    return picture.getvalue().decode()
