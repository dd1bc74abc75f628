"""The frame of About's chapters: the header, the way between them, and the mark of a simulated city."""

from __future__ import annotations

from typing import Any

from dash import html

from dashboard.components import aria
from dashboard.pages.context import Asked, House
from dashboard.pages.frame import address, header

CHAPTERS = {
    "about": "/about",
    "done": "/about/done",
    "sensors": "/about/sensors",
    "model": "/about/model",
    "privacy": "/about/privacy",
    "accessibility": "/about/accessibility",
}


def chapter(house: House, asked: Asked, name: str, parts: list[Any]) -> list[Any]:
    """One chapter as a page; `parts` begin with its heading."""
    say = asked.say
    links = [
        html.A(
            say(f"chapter.{other}"),
            href=address(asked, path),
            className="btn small",
            **(aria(current="page") if other == name else {}),
        )
        for other, path in CHAPTERS.items()
    ]
    ways = html.Nav(links, className="chapters", **aria(label=say("chapter.name")))
    mark = [html.P(html.Strong(say("simulated.mark")), className="simulated")] if house.city.simulated else []
    article = html.Article([ways, parts[0], *mark, *parts[1:]])
    return [header(house, asked, "about"), html.Main(article, id="main", className="text about", tabIndex=0)]


def table(name: str, heads: list[str], rows: list[list[Any]]) -> html.Div:
    """A table that scrolls in a frame of its own, which the keyboard reaches; the first cell of a row names it."""
    head = html.Thead(html.Tr([html.Th(text, scope="col") for text in heads]))
    body = html.Tbody([html.Tr([html.Th(row[0], scope="row"), *(html.Td(cell) for cell in row[1:])]) for row in rows])
    return html.Div(html.Table([head, body]), className="wide", tabIndex=0, role="region", **aria(label=name))


def unsaid(text: str, asked: Asked) -> Any:
    """What a city says of itself, or that it has not."""
    return text if text else html.Em(asked.say("about.unsaid"))


def terms(pairs: list[tuple[str, Any]]) -> html.Dl:
    """Terms and what is said of each."""
    return html.Dl([part for term, said in pairs for part in (html.Dt(term), html.Dd(said))])
