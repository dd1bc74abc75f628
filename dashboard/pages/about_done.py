"""About, you said, we did: who was asked, what the city did, how long it took, and who answers for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from dash import Dash, html

from dashboard.pages.chapters import chapter, table, terms, unsaid
from dashboard.pages.context import Asked, House
from dashboard.words import Words
from dashboard.you_said import Action, YouSaid, you_said
from ingest.campaigns_told import CampaignTold
from sensors.journal import STATUSES

_SHOWN = 60  # actions on the page; the journal has them all


def layout(house: House, asked: Asked) -> list[Any]:
    """The chapter."""
    say, settings = asked.say, house.city.settings
    told = you_said(house.city, house.clock.now())
    parts: list[Any] = [
        html.H1(say("done.title")),
        html.P(say("done.lead"), className="lead"),
        *([html.P(say("done.unread"), className="simulated")] if told.unread else []),
        html.H2(say("done.said")),
        *_walks(told, say),
        *_campaigns(told, say, settings.release.minimum_people),
        html.H2(say("done.did")),
        *_actions(told, say, house),
        html.H2(say("done.time")),
        *_times(told, say, settings.release.minimum_people),
        html.H2(say("done.who")),
        terms(
            [
                (say("about.responsible"), unsaid(settings.purpose.responsible, asked)),
                (say("privacy.contact"), unsaid(settings.about.contact, asked)),
            ]
        ),
    ]
    return chapter(house, asked, "done", parts)


def register(app: Dash, house: House) -> None:
    """A page to read: nothing to register."""


def _walks(told: YouSaid, say: Words) -> list[Any]:
    if not told.walks:
        return [html.P(say("done.nowalks"))]
    lines = [
        say("done.walk", title=walk.title, day=say.day(walk.day), stops=say.number(walk.stops)) for walk in told.walks
    ]
    return [html.H3(say("done.walks")), html.Ul([html.Li(line) for line in lines])]


def _campaigns(told: YouSaid, say: Words, fewest: int) -> list[Any]:
    if not told.campaigns:
        return [html.P(say("answers.campaigns.none"))]
    heads = [say(f"answers.{name}") for name in ("campaign", "count", "people", "when", "origin")]
    rows = [_campaign(row, say) for row in told.campaigns]
    few = any(row.people is None for row in told.campaigns)
    note = [html.P(say("done.few", count=say.number(fewest)), className="note")] if few else []
    return [html.H3(say("done.campaigns")), table(say("done.campaigns"), heads, rows), *note]


def _campaign(row: CampaignTold, say: Words) -> list[Any]:
    counts = [say("done.untold") if n is None else say.number(n) for n in (row.answers, row.people)]
    when = f"{_day(row.oldest, say)} – {_day(row.newest, say)}" if row.oldest else "–"
    origin = say(f"answers.origin.{row.origin}") if row.origin in ("recorded", "simulated") else row.origin
    return [row.campaign, *counts, when, origin]


def _actions(told: YouSaid, say: Words, house: House) -> list[Any]:
    if not told.actions:
        return [html.P(say("done.nothing"))]
    heads = [say(f"done.{name}") for name in ("action", "state", "owner", "due", "after", "outcome")]
    rows = [_action(action, say) for action in told.actions[:_SHOWN]]
    open_ = sum(action.status in ("planned", "open") for action in told.actions)
    late = sum(action.late for action in told.actions)
    lines = [html.P(say("done.open", open=say.number(open_), all=say.number(len(told.actions)), late=say.number(late)))]
    if len(told.actions) > _SHOWN:
        lines.append(html.P(say("done.more", count=say.number(_SHOWN)), className="note"))
    return [*lines, table(say("done.did"), heads, rows)]


def _action(action: Action, say: Words) -> list[Any]:
    status = say(f"status.{action.status}") if action.status in STATUSES else action.status
    if action.late:
        status = f"{status} ({say('done.late')})"
    kind = say(f"kind.{action.kind}")
    title = [action.title, html.Br(), html.Small(f"{kind} · {action.place}" if action.place else kind)]
    due = _day(action.due, say) if action.due else "–"
    after = say("done.afterwalk", walk=action.walk) if action.walk else "–"
    return [title, status, action.owner or say("done.noowner"), due, after, action.outcome or "–"]


def _times(told: YouSaid, say: Words, fewest: int) -> list[Any]:
    lines = []
    if not told.agreed:
        lines.append(say("done.time.nowalk"))
    elif told.median_days is None:
        lines.append(say("done.time.notyet", all=say.number(told.agreed)))
    else:
        lines.append(
            say(
                "done.time.walk",
                days=_days(told.median_days, say),
                done=say.number(len(told.waits)),
                all=say.number(told.agreed),
            )
        )
    if not told.lamps:
        lines.append(say("done.time.nolamps"))
    for row in told.lamps:
        service = row.service or say("done.unnamed")
        if row.reports is None or row.answered is None:
            lines.append(say("done.time.lampsfew", service=service, count=say.number(fewest)))
        elif row.median_days is None:
            lines.append(say("done.time.lampsnotyet", service=service, all=say.number(row.reports)))
        else:
            lines.append(
                say(
                    "done.time.lamps",
                    service=service,
                    days=_days(row.median_days, say),
                    done=say.number(row.answered),
                    all=say.number(row.reports),
                )
            )
    return [html.Ul([html.Li(line) for line in lines])]


def _days(days: float, say: Words) -> str:
    return say.number(days, 1 if days < 10 else 0)


def _day(day: str, say: Words) -> str:
    try:
        np.datetime64(day, "D")
        return say.date(day)
    except ValueError:
        return day
