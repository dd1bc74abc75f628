"""The stage that Live, Research and Plan share: the map, the panel of layers, the details and the time bar."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from dash import ClientsideFunction, Dash, Input, Output, State, ctx, html

from analytics.views import GAPS
from dashboard import figures
from dashboard.basemap import LAND
from dashboard.comparing import difference
from dashboard.components import (
    Choice,
    Choices,
    CopyLink,
    Follow,
    Keys,
    NightMap,
    Pick,
    SheetButton,
    TableButton,
    TimeBar,
    Tray,
    Wall,
    aria,
    data,
)
from dashboard.pages.context import Asked, House, asked
from dashboard.pages.frame import address, header
from dashboard.pages.tools import register_tools, tools, watch_button, watch_strip
from dashboard.pages.versus import register_versus, usual_details, versus_switch
from dashboard.palette import LEVELS, STEPS, ramp_of
from dashboard.place_table import place_table, places_in_view
from dashboard.probe import probe
from dashboard.roles import may
from dashboard.runs import PLAN, Run
from dashboard.scales import (
    CHANGES,
    ENDS,
    EVERYONE,
    GAP_LAYERS,
    OF_GROUPS,
    PARTS,
    PEOPLE,
    SCALES,
    SDS,
    USUAL,
    base_layer,
    drawn_from,
)
from dashboard.words import Words
from sensors.errors import NoctuleError

OVERLAYS = ("lamps", "venues", "stops", "sensors")
_TIME_WORDS = ("play", "pause", "name", "live", "follow", "unmapped", "journal")
_FOLLOW_WORDS = ("reconnecting", "polling", "saving", "replay")


def page(
    house: House,
    asked: Asked,
    name: str,
    run: str,
    layers: tuple[str, ...],
    title: str,
    extra: list[Any] | None = None,
) -> list[Any]:
    """A page that has a stage: the header and the stage, embedded the stage alone."""
    main = stage(house, asked, run, layers, title, extra)
    if embedded(asked):  # the line that says how fresh it is has nowhere to stand
        return [html.Div(html.Div(id="status"), hidden=True), main]
    return [header(house, asked, name), main]


def stage(
    house: House, asked: Asked, run: str, layers: tuple[str, ...], title: str, extra: list[Any] | None = None
) -> html.Main:
    """The page's main part; `extra` stands in the panel below the title."""
    say = asked.say
    layer = asked.query.get("layer", "")
    layer = layer if layer in (*layers, "gap") and ("safety" in layers or layer in layers) else layers[0]
    asked_place = asked.query.get("t", "")
    close = html.Button("×", id="close", className="close", n_clicks=0, **aria(label=say("details.close")))
    bar = TimeBar(
        id="time",
        labels={name: say(f"time.{name}") for name in _TIME_WORDS},
        value=int(asked_place) if asked_place.isdecimal() else None,
        follow=run == "" and not asked_place,
        playing=False,
    )
    sources = html.P(" · ".join(house.city.settings.attribution), className="sources")
    tray = Tray(id="tray", labels={name: say(f"tray.{name}") for name in ("peek", "half", "full", "legend")})
    return html.Main(
        [
            _panel(house, asked, layers, layer, title, extra or []),
            NightMap(id="map", config=_map_config(house, asked, layers), view={"layer": layer}),
            html.Div(id="banner", className="banner", role="note"),
            html.Section(
                [
                    html.Button(
                        "×", id="places-close", className="close", n_clicks=0, **aria(label=say("table.close"))
                    ),
                    html.H2(say("table.title"), id="places-title", tabIndex=-1),
                    html.Div(
                        id="places-body", className="scroll", tabIndex=0, role="group", **aria(label=say("table.title"))
                    ),
                ],
                id="places",
                className="places",
                hidden=True,
                **aria(labelledby="places-title"),
            ),
            Wall(id="wall", label=say("wall.label"), alt=say("wall.alt")),
            html.Aside(
                [close, html.Div(id="details-body", **aria(live="polite")), *watch_button(asked)],
                id="details",
                className="details",
                hidden=True,
                **aria(label=say("details.name")),
            ),
            html.Div([*watch_strip(asked), tray, bar, sources], className="dock"),
            Follow(
                id="follow",
                url="/live/scene?" + urlencode({"lang": say.language, "run": run}),
                live=run == "",
                labels={name: say(f"follow.{name}") for name in _FOLLOW_WORDS},
            ),
        ],
        id="main",
        className="embed" if embedded(asked) else "",
    )


def embedded(asked: Asked) -> bool:
    """Whether a page is asked for to stand inside another one: the map, its legend and what it must say, no more."""
    return asked.query.get("embed") == "1"


def parts_of(asked: Asked) -> tuple[str, ...]:
    """The parts of layers that a page can show: on Research the ends of their intervals and how wide these are."""
    return tuple(PARTS) if asked.path == "/research" else ()


def register(app: Dash, house: House) -> None:
    """Reading a place; everything that needs no server is in `assets/wiring.js`."""

    @app.callback(
        Output("details-body", "children"),
        Output("details", "hidden"),
        Input("map", "reading"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def read_place(reading: Any, search: Any) -> tuple[list[object], bool]:
        if not reading:
            return [], True
        role = house.role_of(dict(ctx.cookies))
        return place_details(house, asked("/", str(search or ""), role), reading), False

    @app.callback(
        Output("places-body", "children"),
        Output("places-title", "children"),
        Output("places", "hidden"),
        Input("to-table", "asked"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def list_places(view: Any, search: Any) -> tuple[object, str, bool]:
        role = house.role_of(dict(ctx.cookies))
        return *table_of_view(house, asked("/", str(search or ""), role), view), False

    register_versus(app)
    register_tools(app)
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("noctule", "leave"),
        Output("places", "hidden", allow_duplicate=True),
        Input("places-close", "n_clicks"),
        prevent_initial_call=True,
    )
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("noctule", "show"),
        Output("map", "view"),
        Output("legends", "data-layer"),
        Output("whom", "data-layer"),
        Output("of", "options"),
        Output("gap-picture", "src"),
        Output("gap-picture", "alt"),
        Output("gap-words", "children"),
        Input("follow", "scene"),
        Input("time", "value"),
        Input("layer", "value"),
        Input("overlays", "value"),
        Input("of", "value"),
        Input("versus", "value"),
        State("map", "view"),
        State("of", "words"),
    )
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("noctule", "gap"),
        Output("layer", "value"),
        Input("to-gap", "n_clicks"),
        prevent_initial_call=True,
    )
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("noctule", "tell"),
        Output("title", "children"),
        Output("banner", "children"),
        Output("clock-sensors", "children"),
        Output("clock-answers", "children"),
        Output("status", "children"),
        Output("status", "className"),
        Output("time", "scene"),
        Input("follow", "scene"),
        Input("follow", "trouble"),
        Input("time", "follow"),
        Input("time", "value"),
        State("follow", "labels"),
    )
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("noctule", "close"),
        Output("map", "reading"),
        Input("close", "n_clicks"),
        prevent_initial_call=True,
    )


def place_details(house: House, asked: Asked, reading: Any) -> list[object]:
    """The words of a place; one sentence where this role may not read it or the question makes no sense."""
    say = asked.say
    gone: list[object] = [html.P(say("details.gone"))]
    try:
        longitude, latitude = float(reading["lon"]), float(reading["lat"])
        name, frame, layer = str(reading["run"]), int(reading["frame"]), str(reading["layer"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return gone
    run = _run(house, asked, name, frame, layer)
    if run is None:
        return gone
    layer = PARTS.get(layer, layer)  # its interval is told with every place
    if layer in USUAL:
        return usual_details(house, asked, run, frame, layer, longitude, latitude)
    try:
        found = probe(house.runs, run, frame, layer, longitude, latitude)
    except (NoctuleError, OSError):  # replaced while it was read; the page asks again with the next version
        return gone
    population = "out" if house.city.settings.group_shares else "answered"
    population = "shares" if run.shares_alone else population
    told = figures.details(found, say, house.city.zone, layer in house.runs.simulated(run), population)
    return [*told, *difference(house, asked, run, frame, found)]


def table_of_view(house: House, asked: Asked, view: Any) -> tuple[object, str]:
    """The table of the places in view, with its title; one sentence where this role may not read it or it is gone."""
    say = asked.say
    gone = html.P(say("details.gone")), say("table.title")
    try:
        name, frame, layer = str(view["run"]), int(view["frame"]), str(view["layer"])
        version, zoom = str(view["version"]), int(view["zoom"])
        west, south, east, north = (float(edge) for edge in view["box"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return gone
    run = _run(house, asked, name, frame, layer)
    levels = None if run is None else house.runs.levels(name, layer, frame, version)
    if run is None or levels is None:
        return gone
    rows = places_in_view(house.place_names.of(house.city), run.frame, levels, layer, (west, south, east, north), zoom)
    title = say("table.of", layer=figures.layer_name(layer, say))
    when = say.moment(run.times[frame], house.city.zone)
    if layer in house.runs.simulated(run):
        when += " · " + say("simulated.mark")
    return place_table(rows, layer, say, when), title


def _run(house: House, asked: Asked, name: str, frame: int, layer: str) -> Run | None:
    """The run that is asked about, if this role may read it and it has this frame of this layer."""
    run = house.runs.get(name) if house.may_run(asked.role, name) else None
    if (
        run is None
        or drawn_from(layer) not in run.layers
        or not 0 <= frame < len(run.versions)
        or run.versions[frame] is None
    ):
        return None
    return run


def _panel(
    house: House, asked: Asked, layers: tuple[str, ...], layer: str, title: str, extra: list[Any]
) -> html.Section:
    """Title, note line, layer switch, legend, overlays and the two clocks."""
    say = asked.say
    overlays = [name for name in OVERLAYS if name != "sensors" or may(asked.role, "sensors")]
    chosen = [name for name in asked.query.get("over", "").split(".") if name in overlays]
    chosen_layers = (layers[0], "gap", *layers[1:]) if "safety" in layers else layers
    drawn = [*layers, GAP_LAYERS[0], *USUAL] if "safety" in layers else [*layers]
    if "safety" in layers and asked.query.get("compare", "").startswith(PLAN):
        drawn += CHANGES
    if parts_of(asked):
        drawn += SDS
    legends = html.Div([figures.legend(name, say) for name in drawn], id="legends", **data(layer=layer))
    options = [{"value": name, "label": say(f"layer.{name}")} for name in chosen_layers]
    more = [
        Choices(
            id="overlays",
            legend=say("panel.overlays"),
            options=[{"value": name, "label": say(f"overlay.{name}")} for name in overlays],
            value=chosen,
        ),
        html.P(say("note.model"), className="note"),
    ]
    clocks = html.Div(
        [html.P(id="clock-sensors"), html.P(id="clock-answers")],
        className="clocks",
        role="group",
        **aria(label=say("panel.clocks")),
    )
    return html.Section(
        [
            html.H1(title, id="title"),
            html.P(say("note.line"), className="noteline"),
            *extra,
            Choice(id="layer", legend=say("panel.layer"), options=options, value=layer),
            versus_switch(asked, "safety" in layers),
            _whom(asked, layer),
            html.Details([html.Summary(say("panel.legend")), legends, _how(asked)], open=True, className="fold"),
            html.Div(
                [
                    TableButton(id="to-table", label=say("table.show"), asked=None),
                    CopyLink(id="copy", label=say("link.copy"), copied=say("link.copied"), by_hand=say("link.byhand")),
                    SheetButton(
                        id="to-sheet", label=say("sheet.make"), making=say("sheet.making"), failed=say("sheet.failed")
                    ),
                    _keys(say),
                ],
                className="acts",
            ),
            clocks,
            *tools(house, asked),
            html.Details([html.Summary(say("panel.more")), *more], open=bool(chosen), className="fold"),
        ],
        className="panel",
        id="panel",
        **aria(label=say("panel.name")),
    )


def _keys(say: Words) -> Any:
    """The list of keys, each with what it does."""
    arrows, space = ["←", "↑", "→", "↓"], say("keys.space")
    rows = [
        (["Tab"], "order"), (arrows, "pan"), (["+", "−"], "zoom"), ([say("keys.enter")], "read"),
        ([say("keys.escape")], "close"), ([space], "play"), (["←", "→"], "step"), (["L"], "layer"), (["?"], "list"),
    ]  # fmt: skip
    return Keys(
        id="keys",
        label=say("keys.label"),
        title=say("keys.title"),
        rows=[[keys, say(f"keys.{what}")] for keys, what in rows],
        letters=say("keys.letters"),
        close=say("keys.shut"),
    )


def _how(asked: Asked) -> html.P:
    """The way from a legend to how it is made."""
    return html.P(html.A(asked.say("legend.how"), href=address(asked, "/about")), className="note how")


def _whom(asked: Asked, layer: str) -> html.Div:
    """Of whom perceived safety speaks, and the gap between groups as a small map beside, always."""
    say = asked.say
    of = asked.query.get("of", "")
    options = [{"value": name, "label": say(f"of.{name}")} for name in PEOPLE]
    words = {
        "gap": {name: say(f"gap.{name}") for name in GAPS},
        "beside": say("gap.beside"),
        "missing": say("of.missing"),
        "options": options,
        "none": say("gap.none"),
        "parts": list(parts_of(asked)),
    }
    choice = Pick(id="of", legend=say("panel.of"), options=options, value=of if of in PEOPLE else EVERYONE, words=words)
    beside = html.Button(
        [html.Img(id="gap-picture", src="", alt=""), html.Span(id="gap-words")],
        id="to-gap",
        className="beside",
        n_clicks=0,
        type="button",
    )
    return html.Div([choice, beside], id="whom", className="whom", **data(layer=layer))


def _map_config(house: House, asked: Asked, layers: tuple[str, ...]) -> dict[str, Any]:
    """What the map must know once: where tiles are, how they are coloured, and its words."""
    say, frame = asked.say, house.runs.frame
    return {
        "tiles": f"/tiles/v/{house.city.id}",
        "base": {ground: f"/base/{digest}" for ground, digest in house.basemap.digests.items()},
        "palette": house.palette,
        "levels": LEVELS,
        "steps": STEPS,
        "land": LAND,
        "bounds": list(frame.bounds_lonlat),
        "nativeZoom": frame.native_zoom,
        "confidence": [say(f"confidence.{word}") for word in ("verylow", "low", "medium", "high")],
        "scales": {layer: _scale(layer, say) for layer in (*_drawable(layers), *parts_of(asked))},
        "labels": {name: say(f"map.{name}") for name in ("hatched", "confidence", "zoomin", "zoomout", "simulated")}
        | {"grey": say("legend.grey")}
        | {"name": say("map.name", city=house.city.name), "language": say.language},
    }


def _drawable(layers: tuple[str, ...]) -> tuple[str, ...]:
    return (*layers, *OF_GROUPS, *GAP_LAYERS, *USUAL, *CHANGES) if "safety" in layers else layers


def _scale(layer: str, say: Words) -> dict[str, Any]:
    """How the browser turns 0..100 back into a quantity for the label under the pointer."""
    scale = SCALES[layer]
    unit = {
        "safety": say("unit.of100"),
        "evidence": say("unit.of100"),
        "footfall": say("unit.people"),
        "safety_change": say("unit.points"),
        "gap": say("unit.points"),
        "usual_safety": say("unit.points"),
        "safety_sd": say("unit.points"),
    }.get(base_layer(ENDS.get(layer, layer)), scale.unit)
    high = 100.0 if layer == "evidence" else scale.high
    told = {
        "kind": scale.kind,
        "low": scale.low,
        "high": high,
        "unit": unit,
        "sure": layer == "evidence" or layer in SDS,
    }
    if layer in SDS:
        told["digits"] = 1
    told["differs"] = scale.differs
    return told | {"colours": ramp_of(layer)}
