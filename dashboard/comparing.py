"""A second night, public night, tonight or scenario beside the one that a page shows (`compare=` in the address).

The page names what may be compared; tiles, scenes and readings of the second run are asked for, and its role checked,
like those of any other. The browser's part is `late/compare.js`.
"""

from __future__ import annotations

import math
from typing import Any

from dash import html

from analytics import atlas
from dashboard import figures
from dashboard.components import Compare
from dashboard.pages.context import Asked, House
from dashboard.probe import Probe, probe
from dashboard.roles import may
from dashboard.runs import NOW, PLAN, PUBLIC, Run
from dashboard.scales import CHANGES, LAYERS, SCALES
from dashboard.words import Words
from sensors.errors import NoctuleError

Option = dict[str, str]


def other_run(house: House, asked: Asked) -> str:
    """The run that `compare=` names, as this role may see it; empty where it names none."""
    wanted = asked.query.get("compare", "")
    if not wanted:
        return ""
    if not wanted.startswith((PLAN, PUBLIC)) and wanted != NOW and not may(asked.role, "old nights"):
        wanted = PUBLIC + wanted
    if not house.may_run(asked.role, wanted) or house.runs.get(wanted) is None:
        return ""
    return wanted


def run_name(house: House, run: Run, say: Words, beside: Run | None = None) -> str:
    """What a run is called on its side of the map; with the year where the other side is of another."""
    if run.name.startswith(PLAN):
        return str(run.meta.get("title") or run.name.removeprefix(PLAN))
    if run.name == NOW:
        return say("compare.now")
    day = say.short_day(run.night)
    if beside is not None and beside.night[:4] != run.night[:4]:
        day += f" {run.night[:4]}"
    return say("compare.public", day=day) if run.name.startswith(PUBLIC) else day


def night_options(house: House, asked: Asked, shown: str, most: int = 12) -> list[Option]:
    """Tonight, and the nights nearest to the one that is shown, as choices of what to compare it with."""
    say, names = asked.say, house.nights_of(asked.role)
    here = names.index(shown) if shown in names else len(names)
    first = max(0, min(here - most // 2, len(names) - most - 1))
    near = [name for name in names[first : first + most + 1] if name != shown]
    options = [{"value": name.removeprefix(PUBLIC), "label": _dated(name.removeprefix(PUBLIC), say)} for name in near]
    options.reverse()
    if may(asked.role, "live") and house.runs.get(NOW) is not None:
        options.insert(0, {"value": NOW, "label": say("compare.now")})
    return options


def plan_options(house: House, asked: Asked, shown: str) -> list[Option]:
    """The other scenarios that were planned, for roles that may see them."""
    if not may(asked.role, "plan"):
        return []
    options = []
    for name in house.runs.plans():
        if PLAN + name != shown:
            title = (atlas.plan_meta(house.city, name) or {}).get("title")
            options.append({"value": PLAN + name, "label": str(title or name)})
    return options


def comparison(house: House, asked: Asked, shown: str, options: list[Option]) -> Any:
    """The control that puts a second run beside the run `shown`, for a page's panel.

    options : what the list offers, {value, label}; what the address names is added where it is not among them
    """
    say = asked.say
    run, wanted, name = house.runs.get(shown), asked.query.get("compare", ""), other_run(house, asked)
    other = house.runs.get(name) if name else None
    label = "" if other is None else run_name(house, other, say, run)
    if wanted and all(option["value"] != wanted for option in options):
        options = [{"value": wanted, "label": label or wanted}, *options]
    known = [layer for layer in (*LAYERS, *CHANGES) if other is not None and layer in other.layers]
    labels = {
        "with": say("compare.with"),
        "none": say("compare.none"),
        "gone": say("compare.gone"),
        "swipe": say("compare.swipe"),
        "side": say("compare.side"),
        "layer": say("compare.layer"),
        "same": say("compare.same"),
        "edge": say("compare.edge"),
        # The script puts in what it alone knows.
        "edge_text": say("compare.edgetext", here="{here}", there="{there}", share="{share}"),
        "lacks": say("compare.lacks", time="{time}"),
        "second": say("compare.second", there="{there}"),
        "unmapped": say("time.unmapped"),
        "nothing": say("compare.nothing"),
    }
    return Compare(
        id="compare",
        legend=say("compare.title"),
        labels=labels,
        value=wanted,
        run="" if name == NOW else name,  # tonight with all of its steps
        known=other is not None,
        name=label,
        here="" if run is None else run_name(house, run, say, other),
        options=options,
        layers=[{"value": layer, "label": say(f"layer.{layer}")} for layer in known],
    )


def difference(house: House, asked: Asked, run: Run, frame: int, here: Probe) -> list[object]:
    """One sentence for a place: what the second run says there at the same hour, and whether they can be told apart."""
    name = other_run(house, asked)
    other = house.runs.get(name) if name else None
    if other is None or here.state != "value" or here.layer not in other.layers:
        return []
    say, zone = asked.say, house.city.zone
    clock = say.clock(run.times[frame], zone)
    clocks = [say.clock(time, zone) for time in other.times]
    place = 0 if len(clocks) == 1 else clocks.index(clock) if clock in clocks else -1
    title, label = html.H3(say("compare.title")), run_name(house, other, say, run)
    if place < 0 or other.versions[place] is None:
        return [title, html.P(say("compare.lackshere", name=label, time=clock))]
    try:
        there = probe(house.runs, other, place, here.layer, here.longitude, here.latitude)
    except (NoctuleError, OSError):
        return []
    if there.state != "value":
        return [title, html.P(say("compare.untold", name=label))]
    amount = figures.amount_words(here.layer, there.value, say)
    said = [say("compare.there", name=label, amount=amount)]
    if here.layer != "evidence" and SCALES[here.layer].kind != "change":
        said.append(say("compare.apart" if distinct(here, there) else "compare.alike"))
    return [title, html.P(" ".join(said))]


def distinct(here: Probe, there: Probe) -> bool:
    """Whether two readings of a layer differ by more than their 90 % intervals explain, in the layer's own terms.

    Both come from one model, whose errors they share, so the sum of their variances overstates the error of the
    difference: what is called different is so.
    """

    def told(amount: float) -> float:
        return math.log(max(amount, 1e-9)) if SCALES[here.layer].kind == "log" else amount

    half = math.hypot(*(told(one.high) - told(one.value) for one in (here, there)))
    return bool(abs(told(here.value) - told(there.value)) > half)


def _dated(night: str, say: Words) -> str:
    return f"{say.short_day(night)} {night[:4]}"
