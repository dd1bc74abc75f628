"""About: what the map is and is not, how it is made, its limits, its sources, and what the city uses it for."""

from __future__ import annotations

from typing import Any

from dash import Dash, html

from analytics import atlas
from dashboard.pages.context import Asked, House
from dashboard.pages.frame import address, header
from dashboard.words import Words
from sensors.errors import NoctuleError

_METHOD = ("light", "noise", "footfall", "safety", "release")
_LIMITS = ("association", "within", "coverage", "noise", "groups")


def layout(house: House, asked: Asked) -> list[Any]:
    """The page."""
    say, city = asked.say, house.city
    parts: list[Any] = [
        html.H1(say("about.title", city=city.name)),
        html.P(say("note.line"), className="lead"),
    ]
    if city.simulated:
        parts.append(html.P([html.Strong(say("simulated.mark")), " ", say(_invented(house))], className="simulated"))
    parts += [
        html.H2(say("about.is.title")),
        html.P(say("about.is")),
        html.H2(say("about.isnot.title")),
        html.P(say("about.isnot")),
        html.H2(say("about.method.title")),
        html.Dl(
            [part for key in _METHOD for part in (html.Dt(say(f"method.{key}")), html.Dd(say(f"method.{key}.text")))]
        ),
        html.H2(say("about.limits.title")),
        html.Ul([html.Li(say(f"limits.{key}")) for key in _LIMITS]),
        html.H2(say("about.missing.title")),
        html.P(_answers(house, say)),
        html.P(say("about.missing")),
        *([_invitation(asked)] if city.settings.asking.form else []),
        html.H2(say("about.sources.title")),
        html.Ul([html.Li(source) for source in city.settings.attribution] or [html.Li(say("about.sources.none"))]),
        html.P(say("about.software")),
        html.H2(say("about.purpose.title")),
        *_purpose(house, say),
        html.H2(say("about.data.title")),
        html.P(say("about.data")),
    ]
    return [header(house, asked, "about"), html.Main(html.Article(parts), id="main", className="text", tabIndex=0)]


def register(app: Dash, house: House) -> None:
    """A page to read: nothing to register."""


def _invented(house: House) -> str:
    """What of the city comes from a simulator: all that is sensed, or all but what was recorded."""
    return "about.simulated.partly" if (house.city.places("sites").origin == "recorded").any() else "about.simulated"


def _invitation(asked: Asked) -> html.P:
    """The way to the answer form, where the city asks."""
    return html.P(html.A(asked.say("about.ask"), href=address(asked, "/ask"), className="btn"))


def _answers(house: House, say: Words) -> str:
    try:
        meta = atlas.now_meta(house.city) or {}
    except NoctuleError:
        meta = {}
    count = int((meta.get("answers") or {}).get("count", 0))
    return say.many("clock.answers", count) if count else say("clock.answers.none")


def _purpose(house: House, say: Words) -> list[Any]:
    purpose = house.city.settings.purpose
    rows = [
        ("about.uses", say("about.separator").join(purpose.uses)),
        ("about.responsible", purpose.responsible),
        ("about.excluded", say("about.separator").join(_excluded(text, say) for text in purpose.excluded)),
        ("about.retention", purpose.retention),
        ("about.review", purpose.review),
    ]
    said = [(key, text) for key, text in rows if text]
    return [html.Dl([part for key, text in said for part in (html.Dt(say(key)), html.Dd(text))])]


def _excluded(text: str, say: Words) -> str:
    """The three exclusions that every city starts with are translated; what a city wrote stands as it wrote it."""
    known = {"patrol deployment": "patrol", "enforcement": "enforcement", "licensing sanctions": "licensing"}
    return say(f"excluded.{known[text]}") if text in known else text
