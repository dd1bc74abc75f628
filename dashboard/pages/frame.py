"""The frame of every page: the header with city, pages, status, role, theme and language."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from dash import html

from dashboard import figures
from dashboard.components import Menu, RoleSwitch, ThemePick, aria, data
from dashboard.pages.account_menu import account_menu
from dashboard.pages.context import THEMES, Asked, House, theme_of
from dashboard.roles import ROLES, may
from dashboard.words import LANGUAGES

PATHS = {
    "live": "/", "plan": "/plan", "research": "/research", "answers": "/answers", "operations": "/operations",
    "about": "/about",
}  # fmt: skip
_OF_ROLES = ("plan", "answers", "operations")  # pages that are of some roles only

# A noctule before the moon, drawn for this project.
MARK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="19" cy="13" r="11" fill="#ffd479"/>'
    '<path d="M1 16c4-3 8-3 10.500 0l1.500-4 2 2.500h2l2-2.500 1.500 4c2.500-3 6.500-3 10.500 0-3.500 0-5.500 1.500-6 4'
    '-2-1-4-.5-5 1l-4 5.500-4-5.500c-1-1.500-3-2-5-1-.5-2.500-2.500-4-6-4z" fill="#0b1017"/></svg>'
)


def header(house: House, asked: Asked, page: str) -> html.Header:
    """City, pages, status, role, theme and language."""
    say = asked.say
    brand = html.Div(
        [
            html.Img(src=figures.picture(MARK), alt=""),
            html.Div([html.Span("Noctule", className="name"), html.Span(house.city.name, className="city")]),
        ],
        className="brand",
    )
    tabs = [_tab(asked, name, name == page) for name in PATHS if name not in _OF_ROLES or may(asked.role, name)]
    languages = [
        html.A(name, href=address(asked, asked.path, lang=code), lang=code, className="btn lang", **data(lang=code))
        for code, name in LANGUAGES.items()
        if code != say.language
    ]
    return html.Header(
        [
            html.A(say("frame.skip"), href="#main", className="skip"),
            brand,
            html.Div(id="status", className="status", role="status"),
            Menu(id="menu-button", label=say("frame.menu"), controls="menu"),
            html.Div(
                [
                    html.Nav(tabs, **aria(label=say("frame.pages"))),
                    html.Div([_role(house, asked), _theme(asked), *languages], className="right"),
                ],
                id="menu",
                className="menu",
            ),
        ]
    )


def address(asked: Asked, path: str, **changes: str) -> str:
    """A page's address in the language and the chosen theme of this one."""
    theme = theme_of(asked.query.get("theme", ""))
    kept = {"lang": asked.say.language} | ({"theme": theme} if theme else {})
    return f"{path}?{urlencode(kept | changes)}"


def _tab(asked: Asked, name: str, here: bool) -> html.A:
    current = aria(current="page") if here else {}
    return html.A(asked.say(f"page.{name}"), href=address(asked, PATHS[name]), className="page-tab", **current)


def _theme(asked: Asked) -> Any:
    say = asked.say
    options = [{"value": name, "label": say(f"theme.{name or 'device'}")} for name in ("", *THEMES)]
    return ThemePick(
        id="theme", legend=say("theme.name"), options=options, value=theme_of(asked.query.get("theme", ""))
    )


def _role(house: House, asked: Asked) -> Any:
    say = asked.say
    if not house.switch:
        return account_menu(house, asked)
    options = [{"value": role, "label": say(f"role.{role}")} for role in ROLES]
    return RoleSwitch(id="role", label=say("role.name"), note=say("role.demo"), options=options, value=asked.role)
