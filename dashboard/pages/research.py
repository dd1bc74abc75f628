"""Research: a past night, step by step, with where it came from and its export."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from dash import ClientsideFunction, Dash, Input, Output, State, html

from dashboard.citing import citation
from dashboard.comparing import comparison, night_options, plan_options
from dashboard.components import Pick, Pictures, Probes, Residuals, TimeTools, data
from dashboard.night_calendar import calendar
from dashboard.pages.context import Asked, House
from dashboard.pages.frame import address
from dashboard.pages.stage import page
from dashboard.roles import may
from dashboard.runs import PUBLIC, Run
from dashboard.scales import LAYERS
from dashboard.words import Words
from sensors.city import City
from sensors.night import parse_rfc3339

FORMATS = ("netcdf", "cog", "csv", "geojson", "geoparquet")
_ONE_STEP = ("csv", "geojson")


def layout(house: House, asked: Asked) -> list[Any]:
    """The page; without a night in its address it opens the newest."""
    say = asked.say
    names = house.nights_of(asked.role)
    wanted = asked.query.get("night", "")
    name = next((run for run in names if run.removeprefix(PUBLIC) == wanted), names[-1] if names else "")
    run = house.runs.get(name) if name else None
    extra: list[Any] = [calendar(house, asked, names, name)] if names else []
    if run is not None:
        options = [*night_options(house, asked, name), *plan_options(house, asked, name)]
        extra += [
            comparison(house, asked, name, options),
            _part(asked),
            _probes(asked),
            provenance(run, asked, house.city.zone),
            *residuals(run, asked),
        ]
        extra += [*taking(house.city, run, asked), _tools(run, say)]
    title = say("title.empty") if run is None else say("title.night", day=say.day(run.night))
    return page(house, asked, "research", name or "none", LAYERS, title, extra)


def register(app: Dash, house: House) -> None:
    """Another part of a layer draws the scene once more; choosing a night opens its address."""
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("noctule", "part"),
        Output("follow", "scene", allow_duplicate=True),
        Input("part", "value"),
        State("follow", "scene"),
        prevent_initial_call=True,
    )


def _tools(run: Run, say: Words) -> Any:
    """What plays the night: with how many readings came with each step, as far as its pages say it."""
    # Each step is made from all that came until its cut, so what came with it is the difference to the one before.
    made_from = {str(entry["step"]): int(entry.get("records", 0)) for entry in run.meta.get("closed", [])}
    readings, before = [], 0
    for step in run.meta.get("steps", []):
        total = made_from.get(str(step), before)
        readings.append(max(total - before, 0))
        before = max(total, before)
    labels = {
        "name": say("play.name"),
        "back": say("play.back"),
        "on": say("play.on"),
        "speed": say("play.speed"),
        "jump": say("play.jump"),
        "jump_to": say("play.jumpto"),
        "from": say("play.from"),
        "to": say("play.to"),
        "no": say("play.no"),
        "readings": say("play.readings"),
    }
    return TimeTools(id="tools", labels=labels, readings=readings if any(readings) else [])


def _part(asked: Asked) -> Any:
    """Which part of a layer is shown: its mean, an end of its 90 % interval, or how wide that is."""
    say, chosen = asked.say, asked.query.get("part", "")
    parts = ("", "lower", "upper", "sd")
    options = [{"value": part, "label": say(f"part.{part or 'mean'}")} for part in parts]
    return Pick(id="part", legend=say("part.head"), options=options, value=chosen if chosen in parts else "")


def _probes(asked: Asked) -> Any:
    say = asked.say
    labels = {
        "add": say("probes.add"),
        "centre": say("probes.centre"),
        "how": say("probes.how"),
        "count": say("probes.count", count="{count}", most="{most}"),
        "full": say("probes.full"),
        "title": say("probes.title"),
        "of": say("probes.of", layer="{layer}"),
        "alt": say("probes.alt", layer="{layer}"),
        "at": say("probes.at", time="{time}"),
        "place": say("probes.place"),
        "value": say("probes.value"),
        "there": say("probes.there"),
        "time": say("probes.time"),
        "drop": say("probes.drop", number="{number}"),
        "none": say("probes.none"),
        "steps": say("probes.steps"),
        "csv": say("probes.csv"),
        "clear": say("probes.clear"),
    }
    return Probes(id="probes", legend=say("probes.title"), labels=labels, table=may(asked.role, "export"))


def provenance(run: Run, asked: Asked, zone: ZoneInfo) -> html.Details:
    """What the night's pages were made from, and how to take them along."""
    say = asked.say
    closed = sum(version is not None for version in run.versions)
    # Each step is made from all that came until its cut, so the counts must not be added up.
    records = max((int(entry.get("records", 0)) for entry in run.meta.get("closed", [])), default=0)
    rows = [
        ("research.model", str(run.meta.get("model", ""))[:12]),
        ("research.places", str(run.meta.get("places", ""))[:12]),
        ("research.code", str(run.meta.get("code", ""))),
        ("research.version", f"v{run.meta.get('version', '')}"),
        ("research.closed", f"{say.number(closed)} / {say.number(len(run.versions))}"),
        ("research.records", say.number(records)),
        ("research.written", _written(run, say, zone)),
        ("research.settings", str(run.meta.get("settings", ""))),
        ("research.fields", _fields(run, say)),
        ("research.simulated", say("word.yes") if run.simulated else say("word.no")),
    ]
    table = html.Table(html.Tbody([html.Tr([html.Th(say(key), scope="row"), html.Td(text)]) for key, text in rows]))
    return html.Details([html.Summary(say("research.provenance")), table], className="fold foot")


def _written(run: Run, say: Words, zone: ZoneInfo) -> str:
    """When the page was written, in the city's own time as every time on the page."""
    try:
        return say.moment(parse_rfc3339(str(run.meta.get("written", ""))), zone)
    except ValueError:
        return ""


def residuals(run: Run, asked: Asked) -> list[Any]:
    """What sensors measured less what is mapped, for who may take data along."""
    say = asked.say
    if not may(asked.role, "export") or run.name != run.night:
        return []
    names = ("show", "what", "failed", "working", "none", "head", "site", "difference", "steps", "flags")
    labels = {name: say(f"residual.{name}") for name in names}
    labels |= {"sign1": say("residual.above"), "sign-1": say("residual.below"), "sign0": say("residual.within")}
    shown = Residuals(id="residuals", labels=labels, night=run.night)
    return [
        html.Details(
            [html.Summary(say("residual.head")), shown], open="residuals" in asked.query, className="fold foot"
        )
    ]


def _fields(run: Run, say: Words) -> str:
    """Of each corrected field, how many sensors taught it and over how far it corrects."""
    told = []
    for field, layer in (("illuminance", "light"), ("noise", "noise"), ("footfall", "footfall")):
        found = (run.meta.get("covariance") or {}).get(field) or {}
        if found:
            reach = say.significant(float(found.get("range_m", 0.0)))
            count = say.number(int(found.get("sensors", 0)))
            told.append(say("research.field", layer=say(f"layer.{layer}"), count=count, reach=reach))
    return "; ".join(told)


def taking(city: City, run: Run, asked: Asked) -> list[Any]:
    """How to take the night along, and how to cite what is shown of it."""
    say = asked.say
    taken = [*_report(run, asked), *_exports(run, asked)]
    if may(asked.role, "export"):
        labels = {name: say(f"picture.{name}") for name in ("title", "png", "webp", "gif", "done", "busy", "failed")}
        labels["making"] = say("picture.making", seconds="{seconds}")
        taken += [
            Pictures(id="pictures", labels=labels, city=city.id),
            html.P(say("picture.note"), className="note"),
        ]
    cited = [html.Summary(say("cite.head")), citation(city, asked, run)]
    return [
        html.Details([html.Summary(say("research.taking")), *taken], className="fold foot"),
        html.Details(cited, className="fold foot"),
    ]


def _report(run: Run, asked: Asked) -> list[Any]:
    """The night report of the night that is shown, for who may see nights."""
    if not may(asked.role, "report") or run.name.startswith(PUBLIC):
        return []
    to = address(asked, "/report", night=run.night)
    link = html.A(asked.say("research.report"), href=to, className="btn small", download="")
    return [html.Div([link], className="exports"), html.P(asked.say("research.reportnote"), className="note")]


def _exports(run: Run, asked: Asked) -> list[Any]:
    say = asked.say
    if not may(asked.role, "export"):
        return [html.P(say("research.exportrole"), className="note")]
    links = []
    for kind in FORMATS:
        # The script adds the layer and the step that are shown: a GeoTIFF holds one layer, a CSV one step of it.
        more = {} if kind in ("netcdf", "geoparquet") else {"layer": "safety"}
        more |= {"step": str(run.meta["closed"][-1]["step"])} if kind in _ONE_STEP and run.meta.get("closed") else {}
        to = address(asked, "/export", night=run.night, format=kind, **more)
        links.append(html.A(say(f"export.{kind}"), href=to, className="btn small", **data(format=kind)))
    note = html.P(say("research.exportnote"), className="note")
    return [html.Div([html.Span(say("research.export")), *links], className="exports"), note]
