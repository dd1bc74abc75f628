"""What the atlas says about one place at one step: the numbers behind a click."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analytics.views import HATCHED
from dashboard.runs import NOW, Run, Runs
from dashboard.scales import (
    CHANGES,
    GAP_LAYERS,
    LAYERS,
    MEASURED,
    MODELLED,
    OF_GROUPS,
    SCALES,
    SIMULATED,
    base_layer,
)

REASONS = ("light", "people", "noise", "hour", "presence", "view")


@dataclass(frozen=True)
class Probe:
    """One place, one step, one layer."""

    layer: str
    longitude: float
    latitude: float
    state: str  # 'value', 'hatched' (no evidence), 'nothing' (water, indoors) or 'outside'
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    confidence: int = 0  # 0..15
    origins: tuple[str, ...] = ()  # 'measured', 'modelled', 'simulated'
    nearest_m: float = float("nan")  # to the nearest live sensor of the layer
    shares: dict[str, int] = field(default_factory=dict)  # per cent by origin, where the page says it
    goes_with: dict[str, float] = field(default_factory=dict)  # probit units, relative to the city's mean of the night
    curve: tuple[float | None, ...] = ()  # the layer's quantity through the night
    band: tuple[tuple[float, float] | None, ...] = ()  # and its interval
    times: tuple[np.datetime64, ...] = ()  # starts of the curve's steps, UTC
    place: int = 0  # of this step on the curve
    others: dict[str, float] = field(default_factory=dict)  # the other layers here and now
    why: str = ""  # of a hatched place, by which rule
    exceeds: float | None = None  # per cent, how sure it is that more than half of everyone feels safe
    people: int = 0  # how many answered around, at least
    groups: dict[str, tuple[float, float, float]] = field(default_factory=dict)  # views and gaps here, with intervals


def probe(runs: Runs, run: Run, frame: int, layer: str, longitude: float, latitude: float) -> Probe:
    """Read a place; whole numbers and confidence are those that the tile shows."""
    cell = run.frame.cell(longitude, latitude)
    if cell is None:
        return Probe(layer, longitude, latitude, "outside")
    shown = [name for name in run.layers if name in LAYERS or name in CHANGES or name == layer]
    beside = [
        name for name in (*OF_GROUPS, *GAP_LAYERS) if name in run.layers and base_layer(layer) in ("safety", "gap")
    ]
    names = [SCALES[name].variable for name in (*shown, *beside)] + [SCALES[name].sd for name in (*shown, *beside)]
    names += [SCALES[name].nearest for name in shown] + [SCALES[name].origin for name in shown]
    names += [f"{SCALES[layer].variable}_{part}" for part in ("measured", "simulated")]
    names += [*(f"goes_{reason}" for reason in REASONS), "safety_hatched", "safety_exceeds", "safety_n"]
    names += [f"{SCALES[name].variable}_{end}" for name in CHANGES for end in ("low", "high")]
    fields = runs.fields(run, frame, tuple(dict.fromkeys(names)))
    here = {name: float(values[cell]) for name, values in fields.items()}
    scale = SCALES[layer]
    value = here.get(scale.variable, float("nan"))
    if not np.isfinite(value):
        state = "hatched" if runs.ground(run.frame)[cell] else "nothing"
        return Probe(layer, longitude, latitude, state, others=_others(run, layer, here), why=_why(layer, here))
    sd = here.get(scale.sd, 0.0)
    low, high = scale.interval(value, sd)
    if layer in CHANGES:
        low, high = here.get(f"{scale.variable}_low", low), here.get(f"{scale.variable}_high", high)
    nearest = here.get(scale.nearest, float("nan"))
    confidence = int(scale.confidence(sd, nearest if layer == "noise" else None))
    curve, band, times, place = _curve(runs, run, frame, layer, cell, value, (low, high))
    return Probe(
        layer,
        longitude,
        latitude,
        "value",
        value,
        low,
        high,
        confidence,
        _origins(run, layer, here),
        nearest,
        _shares(scale.variable, here),
        {reason: here[f"goes_{reason}"] for reason in REASONS if np.isfinite(here.get(f"goes_{reason}", np.nan))}
        if layer in ("safety", "evidence")
        else {},
        curve,
        band,
        times,
        place,
        _others(run, layer, here),
        exceeds=here.get("safety_exceeds") if layer == "safety" else None,
        people=int(np.nan_to_num(here.get("safety_n", 0.0))) if base_layer(layer) == "safety" else 0,
        groups=_groups(beside, here),
    )


def _why(layer: str, here: dict[str, float]) -> str:
    """By which rule a place says nothing: of everyone, or only of the group that is asked for."""
    if base_layer(layer) not in ("safety", "gap") or "safety_hatched" not in here:
        return ""
    rule = int(here["safety_hatched"])
    named = {number: name for name, number in HATCHED.items()}
    return named.get(rule, "group_too_few" if layer != "safety" else "")


def _groups(layers: list[str], here: dict[str, float]) -> dict[str, tuple[float, float, float]]:
    found = {}
    for name in layers:
        scale = SCALES[name]
        value = here.get(scale.variable, float("nan"))
        if np.isfinite(value):
            found[name] = (value, *scale.interval(value, here.get(scale.sd, 0.0)))
    return found


def _curve(
    runs: Runs, run: Run, frame: int, layer: str, cell: tuple[int, int], value: float, interval: tuple[float, float]
) -> tuple[tuple[float | None, ...], tuple[tuple[float, float] | None, ...], tuple[np.datetime64, ...], int]:
    """The layer and its interval through the night; tonight: the closed steps and, in its place, what was just read."""
    if layer in CHANGES:
        return (), (), (), 0
    night = runs.get(run.night) if run.name == NOW else run
    if night is None or layer not in night.layers:
        return (value,), (interval,), tuple(run.times), 0
    scale = SCALES[layer]
    curve, spread = runs.curve(night, layer, *cell), runs.spread(night, layer, *cell)
    band = [
        None if known is None or sd is None else scale.interval(known, sd)
        for known, sd in zip(curve, spread, strict=True)
    ]
    place = frame if night is run else int(np.searchsorted(night.times, run.times[frame]))
    if place < len(curve):
        curve[place], band[place] = value, interval
    return tuple(curve), tuple(band), tuple(night.times), place


def _origins(run: Run, layer: str, here: dict[str, float]) -> tuple[str, ...]:
    """What the value rests on; perceived safety always comes out of a model, and says if answers were simulated."""
    bits = int(here.get(SCALES[layer].origin, MODELLED | (SIMULATED if run.simulated else 0)))
    named = {"measured": MEASURED, "modelled": MODELLED, "simulated": SIMULATED}
    return tuple(name for name, bit in named.items() if bits & bit)


def _shares(variable: str, here: dict[str, float]) -> dict[str, int]:
    """What of the value is measured, modelled and simulated, per cent; empty on pages that do not say it."""
    measured, simulated = (here.get(f"{variable}_{part}", float("nan")) for part in ("measured", "simulated"))
    if not (np.isfinite(measured) and np.isfinite(simulated)):
        return {}
    parts = {"measured": measured, "modelled": max(100 - measured - simulated, 0), "simulated": simulated}
    return {origin: round(share) for origin, share in parts.items() if share >= 1}


def _others(run: Run, layer: str, here: dict[str, float]) -> dict[str, float]:
    wanted = [name for name in LAYERS if name != layer and name in run.layers]
    return {name: here[SCALES[name].variable] for name in wanted if np.isfinite(here[SCALES[name].variable])}
