"""Live: tonight on the map, as it happens."""

from __future__ import annotations

from typing import Any

from dash import Dash

from dashboard.pages import stage
from dashboard.pages.context import Asked, House
from dashboard.roles import may
from dashboard.runs import NOW, PUBLIC
from dashboard.scales import LAYERS
from sensors.night import night_of, parse_rfc3339


def layout(house: House, asked: Asked) -> list[Any]:
    """The page."""
    run = _earlier(house, asked)
    return stage.page(house, asked, "live", run, LAYERS, asked.say("title.live"))


def _earlier(house: House, asked: Asked) -> str:
    """The run of the night of an absolute time in the address; empty where that is tonight or not to be had.

    So a link that was copied last night still shows last night.
    """
    try:
        night = night_of(parse_rfc3339(asked.query.get("t", "")), house.city.zone).name
    except (ValueError, OverflowError):
        return ""
    public = not may(asked.role, "old nights")
    name = PUBLIC + night if public else night
    now = house.runs.get(NOW) if may(asked.role, "live") else None
    return name if name in house.nights_of(asked.role) and (now is None or now.night != night) else ""


def register(app: Dash, house: House) -> None:
    """The stage's callbacks serve all pages that have one; Live is the first."""
    stage.register(app, house)
