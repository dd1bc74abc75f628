"""The tables of both sides of a night: those who pass, by hour or by weekday, and those who sleep, meter by meter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analytics.night_facts import NightFacts
from analytics.passing import Share
from analytics.phrases import Phrases
from analytics.sleeping import FACADE
from sensors.night import Night

_NONE = "–"


def passing_table(facts: NightFacts, say: Phrases) -> dict[str, Any]:
    """Of one night a row an hour; of several a row a weekday, with medians of its nights."""
    if not facts.several:
        heads = [say(f"night_report.head_{head}") for head in ("hour", "people", "safe")]
        hours = facts.passing[0].hours if facts.passing else ()
        return {
            "heads": heads,
            "rows": [[f"{one.hour or 0:02d}:00", say.percent(one.people), _told([one], say)] for one in hours],
        }
    from babel.dates import get_day_names

    heads = [say(f"night_report.head_{head}") for head in ("weekday", "nights", "safe")]
    names = get_day_names("wide", locale=say.language)
    by_day: dict[int, list[Share]] = {}
    for one in facts.passing:
        by_day.setdefault(Night.named(one.night, facts.city.zone).weekday, []).append(one.whole)
    rows = [[str(names[day]), str(len(by_day[day])), _told(by_day[day], say)] for day in sorted(by_day)]
    return {"heads": heads, "rows": rows}


def sleeping_table(facts: NightFacts, say: Phrases) -> dict[str, Any]:
    """A row a meter; of several nights medians."""
    yearly = any(one.year is not None and one.year.l_night is not None for one in facts.sleepers)
    heads = ["meter", "minutes", "level", "step", *(["lnight"] if yearly else [])]
    rows = []
    for one in facts.sleepers:
        name = say("night_report.facade", device=one.device) if one.mounting == FACADE else one.device
        row = [name, _number(one.minutes, 0, say), _decibels(one.level, say), _decibels(one.step, say, sign=True)]
        year = None if one.year is None else one.year.l_night
        rows.append([*row, _decibels(year, say)] if yearly else row)
    return {"heads": [say(f"night_report.head_{head}") for head in heads], "rows": rows}


def _told(shares: Sequence[Share], say: Phrases) -> str:
    known = [(one.safe, one.low, one.high) for one in shares if one.safe is not None]
    if not known:
        return _NONE
    safe, low, high = (float(part) for part in np.median(np.array(known, np.float64), axis=0))
    return say("night_report.interval", value=say.percent(safe / 100), low=say.number(low), high=say.number(high))


def _number(value: float | None, digits: int, say: Phrases) -> str:
    return _NONE if value is None else say.number(value, digits)


def _decibels(value: float | None, say: Phrases, *, sign: bool = False) -> str:
    return _NONE if value is None else f"{say.number(value, 1, sign=sign)} dB"
