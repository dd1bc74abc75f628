"""About: what the map is and is not, how it is made, its limits, who is missing, its sources and its purpose."""

from __future__ import annotations

from typing import Any

from dash import Dash, html

from analytics import atlas
from analytics.phrases import phrases
from analytics.who_answered import Told
from dashboard.pages.chapters import chapter, table, terms, unsaid
from dashboard.pages.context import Asked, House
from dashboard.pages.frame import address
from dashboard.words import Words
from sensors.city import review_passed
from sensors.city_layer import layer_terms
from sensors.errors import NoctuleError
from sensors.light_survey import survey_terms
from sensors.night import night_of

_METHOD = ("light", "noise", "footfall", "safety", "release")
_LIMITS = ("association", "within", "coverage", "noise", "groups")
_PLACES = ("streets", "lamps", "buildings", "venues", "stops", "areas", "districts", "traffic")


def layout(house: House, asked: Asked) -> list[Any]:
    """The page."""
    say, city = asked.say, house.city
    parts: list[Any] = [
        html.H1(say("about.title", city=city.name)),
        html.P(say("note.line"), className="lead"),
        *([html.P(say(_invented(house)))] if city.simulated else []),
        html.H2(say("about.is.title")),
        html.P(say("about.is")),
        html.H2(say("about.isnot.title")),
        html.P(say("about.isnot")),
        html.H2(say("about.method.title"), id="method"),
        terms([(say(f"method.{key}"), say(f"method.{key}.text")) for key in _METHOD]),
        html.P(html.A(say("about.method.card"), href=address(asked, "/about/model"))),
        html.H2(say("about.limits.title"), id="limits"),
        html.Ul([html.Li(say(f"limits.{key}")) for key in _LIMITS]),
        html.H2(say("about.missing.title"), id="missing"),
        html.P(_answers(house, say)),
        *_who(house, say),
        html.P(say("about.missing")),
        *([_invitation(asked)] if city.settings.asking.form else []),
        html.H2(say("about.sources.title"), id="sources"),
        *_sources(house, say),
        html.H2(say("about.changes.title"), id="changes"),
        *_changes(house, say),
        html.H2(say("about.purpose.title"), id="purpose"),
        *_purpose(house, asked),
        html.H2(say("about.data.title"), id="data"),
        html.P([say("about.data"), " ", html.A(say("about.data.more"), href=address(asked, "/about/privacy"))]),
        html.H2(say("privacy.contact"), id="contact"),
        html.P(unsaid(city.settings.about.contact, asked)),
    ]
    return chapter(house, asked, "about", parts)


def register(app: Dash, house: House) -> None:
    """A page to read: nothing to register."""


def uses(house: House, say: Words) -> str:
    """What the city says that it uses the map for, one after the other."""
    return say("about.separator").join(house.city.settings.purpose.uses)


def excluded(house: House, say: Words) -> str:
    """The uses that the city excludes, one after the other."""
    return say("about.separator").join(_excluded(text, say) for text in house.city.settings.purpose.excluded)


def review_is_due(house: House) -> bool:
    """Whether the day on which the purpose was to be reviewed has passed."""
    return review_passed(house.city.settings, night_of(house.clock.now(), house.city.zone).date)


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


def _who(house: House, say: Words) -> list[Any]:
    """Who answered, group by group, beside those who live here and those who are out, where the city knows."""
    try:
        told = house.about.who(house.city)
    except (NoctuleError, OSError):
        return [html.P(say("who.unread"))]
    if not told.rows:
        return [html.P(say("who.few", count=say.number(house.city.settings.release.minimum_people)))]
    group = phrases(say.language)
    residents = any(row.residents is not None for row in told.rows)
    out = any(row.out is not None for row in told.rows)
    heads = [say("who.group"), say("who.answered")]
    heads += [say("who.residents")] if residents else []
    heads += [say("who.out")] if out else []
    heads += [say("who.found")] if residents or out else []
    rows = []
    for row in told.rows:
        cells: list[Any] = [group.group({row.column: (row.code,)}), _share(row, say)]
        cells += [_percent(row.residents, say)] if residents else []
        cells += [_percent(row.out, say)] if out else []
        cells += [say("who.under") if row.under else ""] if residents or out else []
        rows.append(cells)
    missing = [group.group({row.column: (row.code,)}) for row in told.rows if row.nobody or row.under]
    found = say("who.missing", groups=group.listed(missing)) if missing else say("who.nobodymissing")
    if not residents and not out:
        found = f"{found} {say('who.noshares')}"
    return [table(say("about.missing.title"), heads, rows), html.P(found), html.P(say("who.rule"), className="note")]


def _share(row: Told, say: Words) -> str:
    if row.nobody:
        return say("who.nobody")
    return say("who.fewer") if row.sample is None else _percent(row.sample, say)


def _percent(share: float | None, say: Words) -> str:
    return say("who.notgiven") if share is None else say("who.percent", count=say.number(100 * share))


def _sources(house: House, say: Words) -> list[Any]:
    """What the map rests on: what, how much of it, from where, under which licence."""
    city, settings = house.city, house.city.settings
    lines = list(settings.attribution) or [say("about.sources.none")]
    rows: list[list[Any]] = []
    for name in _PLACES:
        try:
            frame = city.places(name)
        except NoctuleError:
            continue
        if len(frame):
            rows.append([say(f"place.{name}"), say.number(len(frame)), _origins(frame, say), "–"])
    sites = city.places("sites")
    for origin, group in sites.groupby("origin"):
        words = say(f"origin.{origin}") if origin in ("device", "recorded", "simulated") else str(origin)
        rows.append([say("place.sites"), say.number(group["device"].nunique()), words, "–"])
    rows += _own_layers(house, say)
    licence = settings.licence or say("about.unsaid")
    heads = [say(f"sources.{name}") for name in ("what", "count", "from", "licence")]
    return [
        html.Ul([html.Li(line) for line in lines]),
        table(say("about.sources.title"), heads, rows),
        html.P(say("sources.exports", licence=licence)),
        html.P(say("sources.dates"), className="note"),
        html.P(say("about.software")),
    ]  # fmt: skip


def _origins(frame: Any, say: Words) -> str:
    """Where the rows of a table of places come from, where it says so."""
    if "source" not in frame:
        return "–"
    names = {
        "osm": "OpenStreetMap",
        "openstreetmap": "OpenStreetMap",
        "assumed": say("source.assumed"),
        "council": say("source.council"),
    }
    return ", ".join(sorted({names.get(str(one), str(one)) for one in frame["source"] if one}))[:120] or "–"


def _own_layers(house: House, say: Words) -> list[list[Any]]:
    """Rasters and light surveys that the city brought, each with its own attribution and licence."""
    try:
        layers, surveys = layer_terms(house.city), survey_terms(house.city)
    except NoctuleError:
        return []
    rows: list[list[Any]] = [
        [one.title or one.layer, "1", one.attribution or say("about.unsaid"), one.licence or say("about.unsaid")]
        for one in layers
    ]
    return rows + [
        [say("sources.survey", name=one.survey), "1", one.attribution or say("about.unsaid"),
         one.licence or say("about.unsaid")]
        for one in surveys
    ]  # fmt: skip


def _changes(house: House, say: Words) -> list[Any]:
    """Which program and which model made the nights that are kept."""
    rows: list[list[Any]] = []
    for night in _public_nights(house)[-14:]:
        try:
            meta = atlas.night_meta(house.city, night, "public")
        except NoctuleError:
            continue
        if meta is not None:
            code = next((part for part in str(meta.get("code", "")).split(", ") if part.startswith("noctule")), "–")
            made = [code, str(meta.get("model", "")) or "–"]
            if rows and rows[-1][1:] == made:
                rows[-1][0] = f"{str(rows[-1][0]).partition(' – ')[0]} – {say.date(night)}"
            else:
                rows.append([say.date(night), *made])
    heads = [say("changes.nights"), say("changes.program"), say("changes.model")]
    shown = [table(say("about.changes.title"), heads, rows[::-1])] if rows else [html.P(say("changes.none"))]
    return [html.P(say("about.changes")), *shown]


def _public_nights(house: House) -> list[str]:
    try:
        return atlas.nights(house.city, "public")
    except NoctuleError:
        return []


def _purpose(house: House, asked: Asked) -> list[Any]:
    say, purpose = asked.say, house.city.settings.purpose
    rows = [
        (say("about.uses"), uses(house, say)),
        (say("about.responsible"), purpose.responsible),
        (say("about.excluded"), excluded(house, say)),
        (say("about.retention"), purpose.retention),
        (say("about.review"), purpose.review),
    ]
    due = [html.P(say("about.review.due", day=purpose.review), className="simulated")] if review_is_due(house) else []
    return [terms([(term, unsaid(text, asked)) for term, text in rows]), *due]


def _excluded(text: str, say: Words) -> str:
    """The three exclusions that every city starts with are translated; what a city wrote stands as it wrote it."""
    known = {"patrol deployment": "patrol", "enforcement": "enforcement", "licensing sanctions": "licensing"}
    return say(f"excluded.{known[text]}") if text in known else text
