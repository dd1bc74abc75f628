"""Puts the dashboard together: Dash on its FastAPI backend, with tiles, events and pictures answered in front of it."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import dash_leaflet  # noqa: F401  # puts Leaflet (window.L) on the page
from dash import Dash, Input, Output, ctx, dcc, html
from dash.fingerprint import check_fingerprint
from fastapi import FastAPI

from dashboard.basemap import Basemap
from dashboard.bundles import Bundles
from dashboard.figures import picture
from dashboard.gate import Gate
from dashboard.late_scripts import LateScripts
from dashboard.page_scripts import unused, used
from dashboard.pages import (
    about,
    about_accessibility,
    about_done,
    about_model,
    about_privacy,
    about_sensors,
    answers,
    live,
    operations,
    plan,
    research,
)
from dashboard.pages.context import House, asked, theme_of
from dashboard.pages.frame import MARK
from dashboard.palette import GROUNDS
from dashboard.push import Push
from dashboard.routes import Routes, palettes
from dashboard.runs import Runs
from dashboard.scene import Viewer, live_scene
from dashboard.security import Door, content_policy, headers
from dashboard.signing_in import SigningIn
from dashboard.words import words
from sensors.city import City
from sensors.clock import city_clock
from sensors.errors import CityError

VIEWS: dict[str, Any] = {
    "/": live,
    "/plan": plan,
    "/research": research,
    "/answers": answers,
    "/operations": operations,
    "/about": about,
    "/about/done": about_done,
    "/about/sensors": about_sensors,
    "/about/model": about_model,
    "/about/privacy": about_privacy,
    "/about/accessibility": about_accessibility,
}
_OWN = re.compile(r"/_dash-(layout|dependencies|update-component)|/assets/.*|/_favicon\.ico")
_SUITES = "/_dash-component-suites/"

_INDEX = """<!DOCTYPE html>
<html lang="__LANGUAGE__" data-late="__LATE__"__THEME__>
<head>
<title>{%title%}</title>
{%metas%}
<link rel="icon" type="image/svg+xml" href="__ICON__">
{%css%}
</head>
<body>
{%app_entry%}
<footer>
{%config%}
{%scripts%}
{%renderer%}
</footer>
</body>
</html>"""


class Pages(Dash):
    """Dash, with the language and the chosen theme of each page on its `html` element."""

    def interpolate_index(self, **parts: Any) -> str:  # type: ignore[override]  # Dash passes keywords only
        """The first bytes of a page, in the language and the theme that its address asks for."""
        request = self.backend.request_adapter()
        query = parse_qs(str(request.full_path).partition("?")[2]) if self.backend.has_request_context() else {}
        say = words(query.get("lang", [""])[0])
        page: str = super().interpolate_index(**parts)  # type: ignore[no-untyped-call]
        theme = theme_of(query.get("theme", [""])[0])
        page = page.replace("__THEME__", f' data-theme="{theme}"' if theme else "", 1)
        return page.replace("__LANGUAGE__", escape(say.language, quote=True), 1)

    def _generate_scripts_html(self) -> str:
        return used(super()._generate_scripts_html())


def build(
    city_path: Path | str,
    *,
    switch: bool = False,
    role: str = "viewer",
    warm: bool = True,
    here: bool = True,
    oidc_secret: str = "",
) -> Door:
    """The dashboard of a city folder as an ASGI application.

    Parameters
    ----------
    city_path : path
        The city folder; its atlas may still be empty.
    switch : bool
        Whether visitors may choose their role, for a demo on this machine only.
    role : str
        Everyone's role without the switch, and before a choice with it.
    warm : bool
        Whether, once it begins to answer, it loads and draws in the background what first visitors need.
    here : bool
        Whether only this machine reaches the server, so that it is asked by no name but its own.
    oidc_secret : str
        What the OpenID provider knows us by; never in a setting.
    """
    city = City.open(city_path)
    if not switch and not city.settings.purpose.uses:
        raise CityError(
            f"{city.path}/city.toml says nothing under [purpose]; a city that is served must say what it uses the map "
            "for and who answers for it (uses, responsible, retention, review)"
        )
    palette = f"/palette/{hashlib.sha256(b''.join(map(palettes, GROUNDS))).hexdigest()[:12]}"
    house = House(city, city_clock(city.path), Runs(city), Basemap(city), switch, role, palette, here=here)
    late = LateScripts()
    dash = _dash(house, late)
    push = Push(house.runs, house.clock)
    house.operations.listening = lambda: push.listening
    hashes = dash.csp_hashes()
    always, embedded = (headers(content_policy(hashes, who)) for who in ((), city.settings.embed.ancestors))

    def begin(draws: bool) -> None:
        if warm:
            threading.Thread(target=_warm, args=(house, draws), name="warm", daemon=True).start()

    bundles = Bundles(_Known(dash))
    if warm:  # before workers are forked, so that it is done once
        in_a_loop_of_its_own = threading.Thread(target=lambda: asyncio.run(bundles.prepare()))
        in_a_loop_of_its_own.start()
        in_a_loop_of_its_own.join()
    routes = Routes(house, push, late, bundles, SigningIn(house, oidc_secret))
    return Door(Gate(house, routes), always, embedded, house.visitors.peers, begin, push.end)


def _dash(house: House, late: LateScripts) -> Dash:
    app = Pages(
        __name__,
        server=FastAPI(openapi_url=None, docs_url=None, redoc_url=None),  # type: ignore[arg-type]  # typed for Flask
        assets_folder=str(Path(__file__).parent / "assets"),
        index_string=_INDEX.replace("__LATE__", late.digest).replace("__ICON__", picture(MARK)),
        title=f"Noctule · {house.city.name}",
        update_title="",
        serve_locally=True,
        suppress_callback_exceptions=True,
        enable_mcp=False,
        meta_tags=[
            {"name": "viewport", "content": "width=device-width, initial-scale=1, viewport-fit=cover"},
            {"name": "theme-color", "content": "#0d131c"},
            {"name": "description", "content": f"How safe people feel at night in {house.city.name}"},
        ],
    )
    # Undocumented switch: otherwise Dash opens a websocket for every browser, used or not (tests/unit/test_app.py).
    app.backend.websocket_capability = False
    app.layout = html.Div([dcc.Location(id="url", refresh="callback-nav"), html.Div(id="page")], id="app")

    @app.callback(Output("page", "children"), Input("url", "pathname"), Input("url", "search"))
    def show_page(pathname: Any, search: Any) -> list[Any]:
        path = str(pathname or "/")
        wanted = asked(path if path in VIEWS else "/", str(search or ""), house.role_of(dict(ctx.cookies)))
        children: list[Any] = VIEWS[wanted.path].layout(house, wanted)
        return children

    for view in VIEWS.values():
        view.register(app, house)
    # Registers what csp_hashes must know; Dash itself does so only on the first request.
    app._setup_server()  # type: ignore[no-untyped-call]
    return app


class _Known:
    """Answers 404 for what is neither a page nor one of Dash's own addresses.

    Dash would answer with a page, and a script that it does not have with an error of its own (500).
    """

    def __init__(self, dash: Dash) -> None:
        self._app, self._scripts = dash.server, dash.registered_paths

    def _has(self, path: str) -> bool:
        if path.startswith(_SUITES):
            package, _, file = path.removeprefix(_SUITES).partition("/")
            known: set[str] = self._scripts.get(package, set())
            return not unused(path) and check_fingerprint(file)[0] in known  # type: ignore[no-untyped-call]
        return path in VIEWS or bool(_OWN.fullmatch(path))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not self._has(scope["path"]):
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"there is no such page"})
            return
        await self._app(scope, receive, send)


def _warm(house: House, draws: bool) -> None:
    """Load and, in one process, draw what the first visitors need, so that they need not wait for it."""
    house.runs.ground(house.runs.frame)
    live_scene(house.runs, house.clock, Viewer("viewer", words("en")))
    for ground in ("dark", "light") if draws else ():  # high contrast is rarer, and drawn when it is first asked for
        for density in (1, 2):
            house.basemap.warm(density, pause_s=0.1, ground=ground)
