"""Versus usual on the stage: its switch, and the words of a place that is compared with what is usual there."""

from __future__ import annotations

from typing import Any

import numpy as np
from dash import ClientsideFunction, Dash, Input, Output, html

from dashboard import figures
from dashboard.components import Versus
from dashboard.pages.context import Asked, House
from dashboard.runs import Run
from dashboard.scales import SCALES, USUAL
from sensors.errors import NoctuleError


def versus_switch(asked: Asked, offered: bool) -> Any:
    """The switch; without a word where a page has nothing to compare."""
    say = asked.say
    label = say("usual.switch") if offered else ""
    return Versus(id="versus", label=label, note=say("usual.note"), value=asked.query.get("versus") == "usual")


def register_versus(app: Dash) -> None:
    """What it is compared with comes with each scene."""
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("noctule", "usual"), Output("versus", "scene"), Input("follow", "scene")
    )


def usual_details(
    house: House, asked: Asked, run: Run, frame: int, layer: str, longitude: float, latitude: float
) -> list[object]:
    """A place in words: what differs from the usual, how surely, and both sides of it."""
    say, base = asked.say, USUAL[layer]
    head: list[object] = [
        html.H2(figures.layer_name(layer, say)),
        html.P(f"{latitude:.5f}, {longitude:.5f}", className="where"),
    ]
    cell = run.frame.cell(longitude, latitude)
    if cell is None:
        return [*head, html.P(say("details.outside"), className="none")]
    try:
        found = house.runs.unlike(run, layer, frame)
        tonight = float(house.runs.fields(run, frame, (SCALES[base].variable,))[SCALES[base].variable][cell])
    except (NoctuleError, OSError):
        return [html.P(say("details.gone"))]
    change, half = float(found.change[cell]), float(found.half[cell])
    if not np.isfinite(change):
        ground = bool(house.runs.ground(run.frame)[cell])
        key = "details.nothing" if not ground else "details.hatched" if np.isnan(tonight) else "usual.nothere"
        return [*head, html.P(say(key), className="none")]
    usual = float(found.usual.mean[cell])
    usual = float(np.exp(usual)) if SCALES[base].kind == "log" else usual
    sure = abs(change) > half
    low, high = (figures.amount_words(layer, bound, say) for bound in (change - half, change + half))
    rows = [
        ("usual.tonight", figures.amount_words(base, tonight, say)),
        ("usual.usually", figures.amount_words(base, usual, say)),
        ("usual.nights", say.number(int(found.usual.nights[cell]))),
    ]
    body: list[object] = [
        html.P([html.Strong(figures.amount_words(layer, change, say))], className="big"),
        html.P(say("details.likely", low=low, high=high)),
        html.P(say("usual.differs") if sure else say("usual.inside"), className="source"),
        html.Table(html.Tbody([html.Tr([html.Th(say(key), scope="row"), html.Td(text)]) for key, text in rows])),
        html.P(say("usual.note"), className="note"),
    ]
    if base in house.runs.simulated(run):
        body.insert(3, html.P(say("simulated.mark"), className="simulated"))
    return [*head, *body]
