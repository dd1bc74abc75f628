"""About, accessibility: what these pages meet, what they do not, how that was tested, and whom to tell (EN 301 549)."""

from __future__ import annotations

from typing import Any

from dash import Dash, html

from dashboard.pages.chapters import chapter, terms, unsaid
from dashboard.pages.context import Asked, House

_WAYS = ("table", "keyboard", "colour", "zoom", "motion", "quiet", "language")
_GAPS = ("map", "curve", "reader", "browsers", "papers")
_TESTS = ("axe", "keyboard", "reflow", "missing")


def layout(house: House, asked: Asked) -> list[Any]:
    """The chapter."""
    say, about = asked.say, house.city.settings.about
    parts: list[Any] = [
        html.H1(say("access.title")),
        html.P(say("access.lead", city=house.city.name), className="lead"),
        html.H2(say("access.status")),
        html.P(say("access.status.text")),
        html.H2(say("access.ways")),
        html.Ul([html.Li(say(f"way.{key}")) for key in _WAYS]),
        html.H2(say("access.gaps")),
        html.Ul([html.Li(say(f"lack.{key}")) for key in _GAPS]),
        html.H2(say("access.tests")),
        html.Ul([html.Li(say(f"tested.{key}")) for key in _TESTS]),
        html.H2(say("access.contact")),
        html.P(say("access.contact.text")),
        terms(
            [
                (say("privacy.contact"), unsaid(about.contact, asked)),
                (say("access.enforcement"), unsaid(about.enforcement, asked)),
            ]
        ),
    ]
    return chapter(house, asked, "accessibility", parts)


def register(app: Dash, house: House) -> None:
    """A page to read: nothing to register."""
