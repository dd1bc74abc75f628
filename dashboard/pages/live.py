"""Live: tonight on the map, as it happens."""

from __future__ import annotations

from typing import Any

from dash import Dash

from dashboard.pages import stage
from dashboard.pages.context import Asked, House
from dashboard.pages.frame import header
from dashboard.scales import LAYERS


def layout(house: House, asked: Asked) -> list[Any]:
    """The page."""
    return [header(house, asked, "live"), stage.stage(house, asked, "", LAYERS, asked.say("title.live"))]


def register(app: Dash, house: House) -> None:
    """The stage's callbacks serve all pages that have one; Live is the first."""
    stage.register(app, house)
