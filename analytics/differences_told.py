"""Named differences as rows for people: hours that follow one another and say the same are one row."""

from __future__ import annotations

from typing import Any

import numpy as np

from analytics.phrases import Phrases
from analytics.usual_differences import Comparison, Differences

HOURS = 24
_TIMES = float(np.log(3.0))  # beyond three times as much nobody reads per cent
_LEVELS = ((0.01, "sure_1"), (0.05, "sure_5"), (1.0, "sure_10"))


def difference_rows(differ: Differences, say: Phrases, *, several: bool) -> dict[str, Any]:
    """The rows, the surest first."""
    heads = [say(f"night_report.head_{head}") for head in ("what", "where", "when", "usual", "change", "sure")]
    rows = []
    for run in runs(differ.named):
        first = run[0]
        change, low, high = (float(np.mean([getattr(one, name) for one in run])) for name in ("change", "low", "high"))
        rate = max(one.rate for one in run)
        usual = float(np.mean([one.usual for one in run]))
        rows.append(
            [
                say(f"night_report.quantity_{first.what}"), first.area, _when(run, say, several=several),
                _usual(first.what, usual, say), _changed(first.what, change, low, high, say),
                say("night_report." + next(word for most, word in _LEVELS if rate <= most)),
            ]
        )  # fmt: skip
    return {"heads": heads, "rows": rows, "left": (0, 1, 2, 5)}


def runs(named: list[Comparison]) -> list[list[Comparison]]:
    """Differences of one quantity, part, weekday and direction whose hours follow one another, the surest run first."""

    def place(one: Comparison) -> tuple[Any, ...]:
        return one.what, one.area, one.weekday, one.change > 0, _since_noon(one.hour)

    out: list[list[Comparison]] = []
    for one in sorted(named, key=place):
        if (
            out
            and place(out[-1][-1])[:4] == place(one)[:4]
            and _since_noon(one.hour) == _since_noon(out[-1][-1].hour) + 1
        ):
            out[-1].append(one)
        else:
            out.append([one])
    return sorted(out, key=lambda run: min(one.p for one in run))


def _since_noon(hour: int) -> int:
    return (hour - 12) % HOURS


def _when(run: list[Comparison], say: Phrases, *, several: bool) -> str:
    from babel.dates import get_day_names

    hours = say("night_report.hours", **{"from": f"{run[0].hour:02d}:00", "to": f"{(run[-1].hour + 1) % HOURS:02d}:00"})
    if not several:
        return hours
    return f"{get_day_names('abbreviated', locale=say.language)[run[0].weekday]} {hours}"


def _usual(what: str, usual: float, say: Phrases) -> str:
    if what == "footfall":
        return say("night_report.per_hour", value=say.number(usual))
    if what == "noise":
        return f"{say.number(usual, 1)} dB"
    return f"{say.number(usual, 1)} lx"


def _changed(what: str, change: float, low: float, high: float, say: Phrases) -> str:
    if what == "noise":
        value, least, most = (say.number(part, 1, sign=True) for part in (change, low, high))
        return say("night_report.interval", value=f"{value} dB", low=least, high=most)
    if change > _TIMES:
        value, least, most = (say.number(float(np.exp(part)), 1) for part in (change, low, high))
        return say("night_report.interval", value=f"× {value}", low=least, high=most)
    value, least, most = (say.number(100 * float(np.expm1(part)), sign=True) for part in (change, low, high))
    return say("night_report.interval", value=say.typeset(f"{value} %"), low=least, high=most)
