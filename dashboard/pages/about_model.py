"""About, model card: what the model is, what it was fitted to, how well it did and for whom, from the city's files."""

from __future__ import annotations

from typing import Any

from dash import Dash, html

from dashboard.markdown_parts import markdown_parts
from dashboard.pages.chapters import chapter
from dashboard.pages.context import Asked, House
from sensors.errors import NoctuleError


def layout(house: House, asked: Asked) -> list[Any]:
    """The chapter."""
    say = asked.say
    try:
        card = markdown_parts(house.about.card(house.city, say.language), say("model.table"))
    except (NoctuleError, OSError):
        card = [html.P(say("model.unread"))]
    parts = [html.H1(say("model.title")), html.P(say("model.lead"), className="lead"), *card]
    return chapter(house, asked, "model", parts)


def register(app: Dash, house: House) -> None:
    """A page to read: nothing to register."""
