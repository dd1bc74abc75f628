"""Answers: campaigns with their counts, what stands in quarantine and why, and where to ask next.

For planners and researchers. A decision is a note that ingest applies; nothing here writes an answer or shows one.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update

from dashboard.components import aria
from dashboard.pages.account_menu import role_notice
from dashboard.pages.context import Asked, House, asked
from dashboard.pages.frame import address, header
from dashboard.roles import may
from dashboard.words import Words
from ingest.answers_desk import CampaignRow, CaseRow, Desk, answers_desk
from sensors.errors import NoctuleError
from sensors.inbox import Decide, Switch, leave, read_note, waiting
from sensors.night import parse_rfc3339, rfc3339

TICK_MS = 5_000
STATES = ("in", "out", "waiting")
_HISTORY = 20
_MOST_ODDS = 1e9  # 1 in a billion; no model's tail is known any farther


def layout(house: House, asked: Asked) -> list[Any]:
    """The page."""
    say = asked.say
    if not may(asked.role, "answers"):
        return [header(house, asked, "answers"), _main(role_notice(house, asked, "answers"))]
    body, digest = _body(house, asked)
    parts = [
        html.H1(say("answers.title", city=house.city.name)),
        html.P(say("answers.lead"), className="lead"),
        *([html.P(html.Strong(say("simulated.mark")), className="simulated")] if house.city.simulated else []),
        html.P(id="answers-said", role="status", className="note"),
        html.Div(body, id="answers-body"),
        dcc.Store(id="answers-digest", data=digest),
        dcc.Interval(id="answers-tick", interval=TICK_MS),
    ]
    return [header(house, asked, "answers"), _main(parts)]


def register(app: Dash, house: House) -> None:
    """Decisions, switches, and looking again while ingest works."""

    @app.callback(
        Output("answers-body", "children"),
        Output("answers-digest", "data"),
        Output("answers-said", "children"),
        Input({"type": "answers-decide", "case": ALL, "state": ALL}, "n_clicks"),
        Input({"type": "answers-switch", "campaign": ALL, "on": ALL}, "n_clicks"),
        Input("answers-tick", "n_intervals"),
        State("answers-digest", "data"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def act(_decide: Any, _switch: Any, _tick: Any, digest: Any, search: Any) -> tuple[Any, Any, Any]:
        wanted = asked("/answers", str(search or ""), house.role_of(dict(ctx.cookies)))
        if not may(wanted.role, "answers"):
            return [], "", wanted.say("answers.role")
        pressed, value = ctx.triggered_id, (ctx.triggered or [{}])[0].get("value")
        # Buttons that are drawn anew trigger as well, without having been pressed.
        said = _note(house, pressed, wanted) if isinstance(pressed, dict) and value else no_update
        body, fresh = _body(house, wanted)
        return (no_update, no_update, said) if fresh == digest else (body, fresh, said)


def note_of(pressed: dict[str, Any], role: str, time: str) -> Decide | Switch | None:
    """What a button asks for; None where what a browser sent is no button of ours."""
    kind, case, campaign = pressed.get("type"), str(pressed.get("case", "")), str(pressed.get("campaign", ""))
    if kind == "answers-decide" and case.isalnum() and len(case) <= 20 and pressed.get("state") in STATES:
        return Decide(case, str(pressed["state"]), role, time)
    if kind == "answers-switch" and 0 < len(campaign) <= 80 and pressed.get("on") in ("on", "off"):
        return Switch(campaign, pressed["on"] == "on", role, time)
    return None


def odds(probability: float, say: Words) -> str:
    """1 in how many, to one digit, and no more than is worth saying."""
    number = min(1 / max(probability, 1e-12), _MOST_ODDS)
    digits = 10 ** int(np.floor(np.log10(number) + 1e-9))
    return say.number(max(np.floor(number / digits + 1e-9), 1) * digits)


def _note(house: House, pressed: dict[str, Any], asked: Asked) -> str:
    note = note_of(pressed, asked.role, rfc3339(house.clock.now()))
    if note is None:
        return ""
    try:
        leave(house.city, note)
    except (NoctuleError, OSError) as error:
        return str(error)
    house.note("decision", " ".join(str(value) for value in pressed.values()))
    return asked.say("answers.noted")


def _body(house: House, asked: Asked) -> tuple[list[Any], str]:
    """The page's parts, and a digest that changes with them."""
    say = asked.say
    desk, pending = answers_desk(house.city), _pending(house)
    places = house.next_places.get(house.city)
    content = [desk.to_dict(), sorted(pending), places, say.language]
    digest = hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:16]
    return [
        html.H2(say("answers.queue")),
        html.P(say("answers.queue.note"), className="note"),
        *[_case(case, desk.fewest, say, case.case in pending) for case in desk.cases],
        *([] if desk.cases else [html.P(say("answers.queue.none"))]),
        html.H2(say("answers.campaigns")),
        *_campaigns(desk, say, pending),
        html.H2(say("answers.next")),
        html.P(say("answers.next.note"), className="note"),
        _next(places, say) if places else html.P(say("answers.next.none")),
        html.H2(say("answers.history")),
        _history(desk, say, house),
        *_form(house, asked),
    ], digest


def _pending(house: House) -> set[str]:
    """Cases and campaigns on which something was decided that ingest has not done yet."""
    notes = [read_note(path) for path in waiting(house.city) if not path.name.startswith("answer-")]
    cases = {note.case for note in notes if isinstance(note, Decide)}
    return cases | {note.campaign for note in notes if isinstance(note, Switch)}


def _case(case: CaseRow, fewest: int, say: Words, pending: bool) -> html.Div:
    """One case: what, why, how improbable, decided or not, and what may be done."""
    usual = say.number(case.usual, 0 if case.rule == "many" else 1)
    count = say("answers.few", count=say.number(fewest)) if case.answers is None else say.number(case.answers)
    lines = [html.P(say(f"answers.rule.{case.rule}", count=count, usual=usual))]
    if not np.isnan(case.probability):
        lines.append(html.P(say("answers.chance", number=odds(case.probability, say)), className="note"))
    state = say("answers.pending") if pending else say(f"answers.state.{case.state}")
    buttons = [
        html.Button(
            say(f"answers.do.{wish}"),
            id={"type": "answers-decide", "case": case.case, "state": wish},
            className="btn small",
            disabled=pending,
            **aria(label=f"{say(f'answers.do.{wish}')}: {case.case}"),
        )
        for wish in STATES
        if wish != case.state
    ]
    title = say("answers.case", campaign=case.campaign, night=say.short_day(case.night))
    head = html.H3([f"{title} · ", html.Strong(state)])
    return html.Div([head, *lines, html.Div(buttons, className="deeds")], className="case")


def _campaigns(desk: Desk, say: Words, pending: set[str]) -> list[Any]:
    if not desk.campaigns:
        return [html.P(say("answers.campaigns.none"))]
    names = ("campaign", "count", "people", "when", "origin", "state", "act")
    head = html.Thead(html.Tr([html.Th(say(f"answers.{name}"), scope="col") for name in names]))
    rows = [_campaign(row, desk.fewest, say, row.campaign in pending) for row in desk.campaigns]
    # Wide tables scroll in a frame of their own, which the keyboard must reach.
    frame = html.Div(
        html.Table([head, html.Tbody(rows)]),
        className="wide",
        tabIndex=0,
        role="region",
        **aria(label=say("answers.campaigns")),
    )
    return [frame, html.P(say("answers.turn.note"), className="note")]


def _campaign(row: CampaignRow, fewest: int, say: Words, pending: bool) -> html.Tr:
    few = say("answers.few", count=say.number(fewest))
    counts = [few if n is None else say.number(n) for n in (row.answers, row.people)]
    when = f"{say.short_day(row.oldest)} – {say.short_day(row.newest)}" if row.oldest else "–"
    state = say("answers.pending") if pending else say("answers.on") if row.on else say("answers.off")
    wish = "off" if row.on else "on"
    button = html.Button(
        say(f"answers.turn.{wish}"),
        id={"type": "answers-switch", "campaign": row.campaign, "on": wish},
        className="btn small",
        disabled=pending,
        **aria(label=f"{say(f'answers.turn.{wish}')}: {row.campaign}"),
    )
    origin = say(f"answers.origin.{row.origin}") if row.origin in ("recorded", "simulated") else row.origin
    cells = [html.Th(row.campaign, scope="row"), *(html.Td(text) for text in (*counts, when, origin, state))]
    # A campaign whose answers are all in quarantine has nothing to be switched.
    return html.Tr([*cells, html.Td(button if row.origin else "")])


def _next(places: list[dict[str, Any]], say: Words) -> html.Ol:
    """Places by footfall times variance, with who could ask there and what that would show."""
    items = []
    for row in places:
        way = str(row["way"])
        host = say(f"answers.way.{way}", host=str(row["host"])) if way in ("stop", "venue") else say("answers.way.pair")
        asked_for = say(
            "answers.next.row",
            people=say.number(float(row["people"])),
            shown=say.number(100 * float(row["shown_after"])),
            footfall=say.significant(float(row["footfall"])),
        )
        items.append(html.Li([html.Strong(str(row["label"])), f" · {host}", html.Br(), asked_for]))
    return html.Ol(items)


def _history(desk: Desk, say: Words, house: House) -> Any:
    lines = []
    for line in desk.decisions[:_HISTORY]:
        time = say.moment(parse_rfc3339(str(line["time"])), house.city.zone)
        role = say(f"role.{line['role']}") if line.get("role") in ("planner", "researcher") else str(line.get("role"))
        values = {"time": time, "role": role, "campaign": str(line["campaign"])}
        if "case" in line:
            state = say(f"answers.state.{line['state']}") if line.get("state") in STATES else str(line.get("state"))
            lines.append(say("answers.history.case", case=str(line["case"]), state=state, **values))
        else:
            state = say("answers.on") if line.get("on") else say("answers.off")
            lines.append(say("answers.history.switch", state=state, **values))
    return html.Ul([html.Li(line) for line in lines]) if lines else html.P(say("answers.history.none"))


def _form(house: House, asked: Asked) -> list[Any]:
    if not house.city.settings.asking.form:
        return []
    return [html.P(html.A(asked.say("answers.form"), href=address(asked, "/ask"), className="btn"))]


def _main(parts: list[Any]) -> html.Main:
    return html.Main(html.Article(parts), id="main", className="text desk", tabIndex=0)
