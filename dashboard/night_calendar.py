"""The nights that have pages, with how much of each is mapped and what was special about it, for a calendar."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np

from analytics.special_nights import BEFORE_HOLIDAY, EVENT, HOLIDAY, kinds_of_nights
from dashboard.components import NightCalendar
from dashboard.pages.context import Asked, House
from dashboard.runs import PUBLIC
from dashboard.words import Words
from sensors.city import City
from sensors.journal import read_journal
from sensors.night import night_of

_KINDS = {BEFORE_HOLIDAY: "before", HOLIDAY: "holiday", EVENT: "event"}
_MOST_TITLES = 3  # of one night; more would not be read in a cell's words

Mark = tuple[str, str]  # kind of a special night ('' where it is only noted), words


def calendar(house: House, asked: Asked, names: list[str], shown: str) -> Any:
    """The calendar of a page's panel: nights by month, with the night `shown`, and the nights before and after it."""
    say = asked.say
    shares, marks = house.coverage.of(house.runs, names), special_nights(house.city, say)
    nights = []
    for name, (closed, steps) in shares.items():
        night = name.removeprefix(PUBLIC)
        kind, text = marks.get(night, ("", ""))
        nights.append([night, closed, steps, kind, text])
    labels = {
        "before": say("calendar.earlier"),
        "after": say("calendar.later"),
        "open": say("calendar.open"),
        "month": say("calendar.month"),
        "earlier": say("calendar.monthback"),
        "later": say("calendar.monthon"),
        "as": say("calendar.as"),
        "view": say("calendar.view"),
        "compare": say("calendar.compare"),
        "none": say("calendar.none"),
        "beside": say("calendar.beside"),
        "steps": say("research.coverage", closed="{closed}", steps="{steps}"),
        "key": say("calendar.key"),
    }
    return NightCalendar(
        id="night",
        legend=say("research.nights"),
        labels=labels,
        nights=nights,
        value=shown.removeprefix(PUBLIC),
        beside=asked.query.get("compare", "").removeprefix(PUBLIC),
        language=say.language,
    )


def special_nights(city: City, say: Words) -> dict[str, Mark]:
    """What is known of nights out of the usual: holidays, events of the whole city, entries of the journal."""
    marks: dict[str, tuple[str, list[str]]] = {}
    for day, kind in kinds_of_nights(city).items():
        night = (date(1970, 1, 1) + timedelta(days=day)).isoformat()
        marks[night] = (_KINDS[kind], [say(f"calendar.{_KINDS[kind]}")])
    journal = read_journal(city)
    journal = journal[journal["status"] != "dropped"]
    for kind, title, start in zip(
        journal["kind"], journal["title"], journal["start_time"].to_numpy("datetime64[ms]"), strict=True
    ):
        if not np.isnat(start):
            night = night_of(start, city.zone).name
            said = marks.setdefault(night, ("", []))[1]
            if len(said) <= _MOST_TITLES:
                said.append(f"{say(f'journal.{kind}')}: {title}")
    return {night: (kind, " · ".join(said)) for night, (kind, said) in marks.items()}
