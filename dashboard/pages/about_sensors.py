"""About, sensors: what each kind tells, what it is good for, what it gets wrong, what to ask, and which stand here."""

from __future__ import annotations

from typing import Any

from dash import Dash, html

from dashboard.pages.chapters import chapter, terms
from dashboard.pages.context import Asked, House
from dashboard.sensor_kinds import KINDS, REFUSED, Count, sensor_counts
from dashboard.words import Words
from ingest.campaigns_told import campaigns_told
from sensors.errors import NoctuleError
from sensors.walk import walk_names


def layout(house: House, asked: Asked) -> list[Any]:
    """The chapter."""
    say = asked.say
    counts = sensor_counts(house.city.places("sites"))
    here = {kind: _here(counts.get(kind, Count()), say) for kind in KINDS}
    here["answers"], here["walk"] = _asked_here(house, say)
    parts: list[Any] = [
        html.H1(say("sensors.title")),
        html.P(say("sensors.lead"), className="lead"),
        html.P(say("sensors.rule")),
        html.Nav(html.Ul([html.Li(html.A(say(f"sensor.{k}"), href=f"#sensor-{k}")) for k in (*KINDS, *REFUSED)])),
    ]
    for kind in KINDS:
        parts += [
            html.H2(say(f"sensor.{kind}"), id=f"sensor-{kind}"),
            html.P(html.Strong(here[kind])),
            terms(
                [
                    (say("sensors.good"), say(f"sensor.{kind}.good")),
                    (say("sensors.risk"), say(f"sensor.{kind}.risk")),
                    (say("sensors.ask"), say(f"sensor.{kind}.ask")),
                ]
            ),
        ]
    parts += [html.H2(say("sensors.refused")), html.P(say("sensors.refused.text"))]
    for kind in REFUSED:
        parts += [
            html.H3(say(f"sensor.{kind}"), id=f"sensor-{kind}"),
            terms([(say(f"sensors.{part}"), say(f"sensor.{kind}.{part}")) for part in ("good", "why")]),
        ]
    return chapter(house, asked, "sensors", parts)


def register(app: Dash, house: House) -> None:
    """A page to read: nothing to register."""


def _here(count: Count, say: Words) -> str:
    if not count.devices:
        return say("sensors.none")
    text = say.many("sensors.here", count.devices)
    if count.simulated == count.devices:
        return f"{text}, {say('sensors.simulated')}"
    return f"{text}, {say('sensors.partly', count=say.number(count.simulated))}" if count.simulated else text


def _asked_here(house: House, say: Words) -> tuple[str, str]:
    """What stands here of answers and of walks."""
    try:
        campaigns = len(campaigns_told(house.city))
    except (NoctuleError, OSError):
        campaigns = 0
    walks = len(walk_names(house.city))
    return (
        say.many("sensors.campaigns", campaigns) if campaigns else say("sensors.noanswers"),
        say.many("sensors.walks", walks) if walks else say("sensors.nowalks"),
    )
