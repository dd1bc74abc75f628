"""Plan: what scenarios would change, as a table and as a map of differences."""

from __future__ import annotations

from typing import Any

from dash import Dash, html

from analytics import atlas
from dashboard.components import aria
from dashboard.pages.context import Asked, House
from dashboard.pages.frame import address, header
from dashboard.pages.stage import page
from dashboard.roles import may
from dashboard.runs import PLAN
from dashboard.scales import CHANGES
from dashboard.words import Words

Row = dict[str, Any]

_DIGITS = {"illuminance": 2, "safety": 1, "energy_kwh": 0}
_LAMPS = ("lamps_changed", "lamps_added", "lamps_removed")


def layout(house: House, asked: Asked) -> list[Any]:
    """The page; without a scenario in its address it opens the newest."""
    say = asked.say
    if not may(asked.role, "plan"):
        return [header(house, asked, "plan"), _notice(say("plan.role"))]
    names = house.runs.plans()
    if not names:
        return [header(house, asked, "plan"), _notice(say("plan.none"))]
    chosen = asked.query.get("scenario", "")
    chosen = chosen if chosen in names else names[0]
    title = say("title.plan")
    extra = [_table(house, asked, names, chosen), html.P(say("plan.note"), className="note")]
    return page(house, asked, "plan", PLAN + chosen, CHANGES, title, extra)


def register(app: Dash, house: House) -> None:
    """Nothing beyond the stage: choosing a scenario opens its address."""


def _table(house: House, asked: Asked, names: list[str], chosen: str) -> html.Div:
    """One card a scenario: what it would change, with 90 % intervals."""
    cards = []
    for name in names:
        meta = atlas.plan_meta(house.city, name) or {}
        rows = scenario_rows(meta, asked.say)
        link = html.A(str(meta.get("title") or name), href=address(asked, "/plan", scenario=name))
        body = html.Table(html.Tbody([html.Tr([html.Th(head, scope="row"), html.Td(text)]) for head, text in rows]))
        current = aria(current="true") if name == chosen else {}
        cards.append(html.Div([html.H2(link), *([body] if name == chosen else [])], className="scenario", **current))
    return html.Div(cards, className="scenarios")


def scenario_rows(meta: Row, say: Words) -> list[tuple[str, str]]:
    """The table of a planned scenario in words; what it does not hold is left out."""
    table = meta.get("table") or {}
    row: Row = (table[0] if table else {}) if isinstance(table, list) else table
    shown = []
    for key in ("illuminance", "safety", "energy_kwh", "passages"):
        value = row.get(key)
        if value is None:
            continue
        text = _signed(_amount(key, value, say)) + say(f"plan.{key}.unit")
        low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
        if low is not None and high is not None:
            text += "\n" + say("plan.interval", low=_amount(key, low, say), high=_amount(key, high, say))
        shown.append((say(f"plan.{key}"), text))
    if row.get("passages_untold"):
        shown.append((say("plan.untold"), say.significant(float(row["passages_untold"]))))
    if meta.get("night"):
        kind = "plan.typical" if meta.get("typical") else "plan.given"
        shown.insert(0, (say("plan.night"), say(kind, day=say.short_day(str(meta["night"])).replace(" ", "\u00a0"))))
    lamps = [say(f"plan.{key}", count=say.number(row[key])) for key in _LAMPS if row.get(key)]
    if lamps:
        shown.insert(0, (say("plan.lamps"), ", ".join(lamps)))
    return shown


def _amount(key: str, value: float, say: Words) -> str:
    """With no more digits than the interval bears: passages are known to a tenth or so, never to one."""
    return say.significant(float(value)) if key == "passages" else say.number(float(value), _DIGITS[key])


def _signed(amount: str) -> str:
    """With a plus where it stands for a gain; what is shown as 0 has no sign."""
    if not amount.strip("− .,0"):
        return amount.lstrip("−")
    return amount if amount.startswith("−") else "+" + amount


def _notice(text: str) -> html.Main:
    return html.Main(html.Article(html.P(text)), id="main", className="text", tabIndex=0)
