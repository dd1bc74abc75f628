"""Legends, curves and the words of a place: pure functions of numbers, tested without a browser."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

import numpy as np
from dash import html

from dashboard.components import Curve, aria, data
from dashboard.palette import GROUNDS, tiers
from dashboard.probe import Probe
from dashboard.scales import ENDS, EVERYONE, PARTS, SCALES, SDS, USUAL, base_layer, people_of
from dashboard.words import Words

# Below a twentieth of a probit a contribution moves P(feels safe) by less than two points of 100; a quarter moves ten.
_A_LITTLE, _CLEARLY = 0.05, 0.25
_CURVE_MARKS = {"safety": (50.0, 100.0), "light": (1.0, 100.0), "footfall": (100.0, 10_000.0), "noise": (60.0, 90.0)}
_GROUND_COLOURS = tuple(f"--{ground}" for ground in GROUNDS)  # the style sheet takes the theme's
_CONFIDENCE = ("confidence.verylow", "confidence.low", "confidence.medium", "confidence.high")


def legend(layer: str, say: Words) -> html.Div:
    """A layer's colours by value and confidence, its ticks, and the hatched entry."""
    bars = []
    for row, word in _tiers(layer, say):
        cells = [html.I(style=dict(zip(_GROUND_COLOURS, colours, strict=True))) for colours in row]
        bars.append(html.Div([html.Div(cells, className="ramp"), html.Span(word, className="sure")], className="tier"))
    ticks = [html.Span(text, style={"left": f"{place:.0f}%", "transform": f"translateX(-{place:.0f}%)"})
             for place, text in legend_ticks(layer, say)]  # fmt: skip
    ends = html.Div([html.Div(ticks, className="ticks"), html.Span(_legend_unit(layer, say), className="sure")],
                    className="tier")  # fmt: skip
    hatch = html.Div([html.I(className="hatch"), html.Span(say("legend.hatched"))], className="none")
    note = [html.P(say("legend.noise"), className="note")] if layer == "noise" else []
    what = html.P(layer_name(layer, say) if base_layer(layer) != "gap" else say("layer.gap"), className="what")
    return html.Div([what, *bars, ends, hatch, *note], className="legend", **data(layer=base_layer(layer)))


def legend_parts(
    layer: str, say: Words, ground: str
) -> tuple[list[tuple[list[str], str]], list[tuple[float, str]], str]:
    """The same for paper: colours with their word of confidence, ticks with their place in per cent, and the unit."""
    place = GROUNDS.index(ground)
    rows = [([colours[place] for colours in row], word) for row, word in _tiers(layer, say)]
    return rows, legend_ticks(layer, say), _legend_unit(layer, say)


def _tiers(layer: str, say: Words) -> list[tuple[list[tuple[str, ...]], str]]:
    """The rows that a legend shows, surest first, each with its word."""
    rows = _rows(layer)
    if _differs(layer):
        return [(rows[0], say("legend.sure")), (rows[-1], say("legend.grey"))]
    if layer == "safety":
        return [(row, say(key)) for row, key in zip(rows, reversed(_CONFIDENCE), strict=True)]
    if layer == "evidence" or layer in SDS:
        return [(rows[0], "")]
    return [(rows[0], say("confidence.high")), (rows[2], say("confidence.low"))]


def _rows(layer: str) -> list[list[tuple[str, ...]]]:
    """The legend's rows, surest first: for each cell its colour on every ground.

    High contrast has fewer colours, so that neighbours share one; a theme then costs no request.
    """
    grounds = [tiers(layer, ground) for ground in GROUNDS]
    return [list(zip(*(tier.colours for tier in row), strict=True)) for row in zip(*grounds, strict=True)]


def details(found: Probe, say: Words, zone: ZoneInfo, simulated: bool, population: str = "answered") -> list[object]:
    """A place in words: value, interval, confidence, what measured it, what goes with it, and its night.

    population : of whom perceived safety speaks: 'answered', people mixed as those who answered, 'out', the people
        out at night as the city says, or 'shares', residents asked by a survey that was published
    """
    base, whom = base_layer(found.layer), people_of(found.layer)
    head: list[object] = [html.H2(layer_name(found.layer, say))]
    where = html.P(f"{found.latitude:.5f}, {found.longitude:.5f}", className="where")
    if found.state != "value":
        why = f"hatched.{found.why}" if found.state == "hatched" and found.why else f"details.{found.state}"
        return [*head, where, html.P(say(why), className="none"), *_others(found, say)]
    body = [
        html.P(
            [html.Strong(_amount(found.layer, found.value, say)), html.Span(_unit(found.layer, found.value, say))],
            className="big",
        ),
        *([html.P(_whose(whom, population, say), className="source")] if base == "safety" else []),
        html.P(_likely(found, say)),
        *_how_sure(found, say),
        _confidence(found, say),
        html.P(_source(found, say), className="source"),
    ]
    if simulated:
        body.append(html.P(say("simulated.mark"), className="simulated"))
    if found.layer == "noise":
        body.append(html.P(say("legend.noise"), className="note"))
    parts = (_groups(found, say), _reasons(found, say), _curve(found, say, zone), _others(found, say))
    return [*head, where, *body, *(element for part in parts for element in part)]


def layer_name(layer: str, say: Words) -> str:
    """A layer's name, and of whom it speaks where that is not everyone."""
    if layer in PARTS:
        return say("part.of", layer=layer_name(PARTS[layer], say), part=say(f"part.{layer.rpartition('_')[2]}"))
    base, whom = base_layer(layer), people_of(layer)
    if base == "gap":
        return say(f"gap.{whom}")
    name = say(f"layer.{base}")
    return name if whom == EVERYONE else f"{name} · {say(f'of.{whom}')}"


def amount_words(layer: str, value: float, say: Words) -> str:
    """A layer's quantity with its unit, to as many digits as are claimed."""
    return _amount(layer, value, say) + _unit(layer, value, say)


def amount(layer: str, value: float, say: Words) -> str:
    """A layer's quantity without its unit, to as many digits as are claimed."""
    return _amount(layer, value, say)


def confidence_word(confidence: int) -> str:
    """The key of the word for a confidence of 0..15."""
    return _CONFIDENCE[confidence // 4]


def _differs(layer: str) -> bool:
    """Whether a layer is a difference: it has a sign, and is grey unless distinguishable from 0."""
    return SCALES[layer].differs


def _whose(whom: str, population: str, say: Words) -> str:
    if whom == EVERYONE:
        return say(f"details.people.{population}")
    return say("details.people.of", group=say(f"of.{whom}"))


def _how_sure(found: Probe, say: Words) -> list[object]:
    """How sure it is that more than half feel safe, and how many answered around."""
    said = []
    if found.exceeds is not None:
        said.append(say("details.exceeds", share=say.number(found.exceeds)))
    if found.people:
        said.append(say("details.answered", count=say.number(found.people)))
    return [html.P(" ".join(said), className="source")] if said else []


def _groups(found: Probe, say: Words) -> list[object]:
    """What single groups are expected to feel here, beside everyone, and the gaps that can be told from nothing."""
    if not found.groups:
        return []
    rows = []
    for layer, (value, low, high) in found.groups.items():
        amount = _amount(layer, value, say)
        if _differs(layer):
            amount = say("details.between", low=_amount(layer, low, say), high=_amount(layer, high, say))
        rows.append(html.Tr([html.Th(layer_name(layer, say).split(" · ")[-1], scope="row"), html.Td(amount)]))
    return [html.H3(say("details.groups")), html.Table(html.Tbody(rows))]


def reasons(goes_with: dict[str, float], say: Words) -> tuple[list[str], list[str]]:
    """What goes with feeling safer and less safe here, strongest first, in words; too small ones are left out.

    These are associations relative to the city's mean of the night. They are never called causes.
    """
    strongest = sorted(goes_with.items(), key=lambda item: -abs(item[1]))
    chosen = [(name, amount) for name, amount in strongest if abs(amount) >= _A_LITTLE]

    def words(name: str, amount: float) -> str:
        much = "reason.clearly" if abs(amount) >= _CLEARLY else "reason.alittle"
        return say("reason.item", thing=say(f"reason.{name}"), much=say(much))

    safer = [words(name, amount) for name, amount in chosen if amount > 0]
    return safer, [words(name, amount) for name, amount in chosen if amount < 0]


def curve_svg(
    values: list[float],
    labels: list[str],
    frame: int,
    low: float,
    high: float,
    band: list[tuple[float, float]] | None = None,
    marks: list[tuple[float, str]] | None = None,
) -> str:
    """A small line through the night in its interval; gaps where nothing is known, a dot at the step that is shown.

    Colours are named, as in `fill="{soft}"`; the page puts those of its theme in (`late/curve.js`).

    band : the interval of each value
    marks : values that the scale names, with their words
    """
    wide, high_px, left, top = 300, 64, 4, 8
    count = max(2, len(values))

    def at(place: int, value: float) -> tuple[float, float]:
        share = (value - low) / (high - low) if high > low else 0.5
        return left + place * wide / (count - 1), top + high_px * (1 - min(1.0, max(0.0, share)))

    parts = []
    for value, word in marks or []:
        _, y = at(0, value)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + wide}" y2="{y:.1f}" stroke="{{line}}"/>')
        parts.append(
            f'<text x="{left + wide}" y="{y + 9.5:.1f}" text-anchor="end" font-size="9.5">{escape(word)}</text>'
        )
    parts += [f'<path d="{area}" fill="{{sure}}" fill-opacity=".22"/>' for area in _areas(band or [], at)]
    path, pen_down = [], False
    for place, value in enumerate(values):
        if np.isfinite(value):
            x, y = at(place, value)
            path.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
        pen_down = bool(np.isfinite(value))
    parts += [
        f'<line x1="{left}" y1="{top + high_px + 4}" x2="{left + wide}" y2="{top + high_px + 4}" stroke="{{strong}}"/>',
        f'<path d="{" ".join(path)}" fill="none" stroke="{{sure}}" stroke-width="2" stroke-linejoin="round" '
        'stroke-linecap="round"/>',
    ]
    if 0 <= frame < len(values) and np.isfinite(values[frame]):
        x, y = at(frame, values[frame])
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{{warm}}" stroke="{{solid}}" stroke-width="2"/>')
    for place, anchor in ((0, "start"), (len(labels) // 2, "middle"), (len(labels) - 1, "end")):
        if labels:
            x = left + place * wide / (count - 1)
            parts.append(f'<text x="{x:.0f}" y="94" text-anchor="{anchor}">{escape(labels[place])}</text>')
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 308 100" '
        'font-family="system-ui,sans-serif" font-size="11" fill="{soft}">'
    )
    return head + "".join(parts) + "</svg>"


def _areas(band: list[tuple[float, float]], at: Callable[[int, float], tuple[float, float]]) -> list[str]:
    """Outlines of an interval, one for each stretch in which it is known; a step alone gets a little width."""
    areas: list[str] = []
    run: list[int] = []
    for place in range(len(band) + 1):
        if place < len(band) and np.isfinite(band[place]).all():
            run.append(place)
            continue
        if run:
            side = 1.5 if len(run) == 1 else 0.0
            ends = [(at(step, band[step][0]), at(step, band[step][1])) for step in run]
            under = [low for low, _ in ends]
            over = [high for _, high in reversed(ends)]
            corners = [under[0], *under, under[-1], over[0], *over, over[-1]]
            shift = [-side, *[0.0] * len(under), side, side, *[0.0] * len(over), -side]
            areas.append("M" + "L".join(f"{x + more:.1f} {y:.1f}" for (x, y), more in zip(corners, shift, strict=True)))
        run = []
    return areas


def picture(svg: str) -> str:
    """An SVG as the address of an image."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def legend_ticks(layer: str, say: Words) -> list[tuple[float, str]]:
    """What is written under a ramp, and where on it, 0..100."""
    scale = SCALES[layer]
    if not scale.ticks:
        base = base_layer(layer)
        return [(0.0, say(f"legend.{base}.low")), (100.0, say(f"legend.{base}.high"))]
    signs = ["+" if _differs(layer) and tick > 0 else "" for tick in scale.ticks]
    places = scale.to_value(scale.ticks).tolist()
    shown = [math.expm1(tick) * 100 if scale.kind == "ratio" else tick for tick in scale.ticks]
    return [(place, sign + say.significant(tick)) for place, sign, tick in zip(places, signs, shown, strict=True)]


def _legend_unit(layer: str, say: Words) -> str:
    """What stands beside the ticks; a space where only the room beside the ramp is kept."""
    return _unit(layer, 0.0, say).strip() if SCALES[layer].ticks else "" if layer == "evidence" else "\u00a0"


def _amount(layer: str, value: float, say: Words) -> str:
    if layer in SDS:
        return say.number(value, 1)
    layer = ENDS.get(layer, layer)
    if layer == "evidence":
        return say.number(value * 100)
    if layer in ("light", "footfall"):
        return say.significant(value)
    if SCALES[layer].kind == "ratio":
        value = math.expm1(value) * 100
    if _differs(layer):
        # What is shown as 0 has no sign.
        digits = 0 if base_layer(layer) == "gap" or layer in USUAL else 1
        return say.number(0) if round(value, digits) == 0 else ("+" if value > 0 else "") + say.number(value, digits)
    return say.number(value)


def _unit(layer: str, value: float, say: Words) -> str:
    layer = ENDS.get(layer, layer)
    if base_layer(layer) in ("safety", "evidence"):
        return " " + say("unit.of100")
    if layer == "footfall":
        return " " + say("unit.people")
    if layer in ("safety_change", "usual_safety", "safety_sd") or base_layer(layer) == "gap":
        return " " + say("unit.points")
    return " " + SCALES[layer].unit


def _likely(found: Probe, say: Words) -> str:
    if found.layer == "evidence" or found.low == found.high:
        return ""
    low, high = (_amount(found.layer, bound, say) for bound in (found.low, found.high))
    return say("details.likely", low=low, high=high)


def _confidence(found: Probe, say: Words) -> object:
    if found.layer == "evidence" or _differs(found.layer):
        return html.P(hidden=True)
    tier = found.confidence // 4
    dots = [html.I(className="dot on" if place <= tier else "dot") for place in range(4)]
    text = html.Span(say("details.confidence", word=say(_CONFIDENCE[tier])))
    return html.P([text, html.Span(dots, className="dots", **aria(hidden="true"))], className="confidence")


def _source(found: Probe, say: Words) -> str:
    shared = (f"{say(f'origin.{origin}')} {share}\u202f%" for origin, share in found.shares.items())
    origins = ", ".join(shared if found.shares else (say(f"origin.{origin}") for origin in found.origins))
    if np.isinf(found.nearest_m):  # not one live sensor of this kind
        return f"{origins} · {say('details.nosensor')}"
    if np.isnan(found.nearest_m):
        return origins
    nearest = say("details.nearest", metres=say.significant(max(10.0, found.nearest_m)))
    return f"{origins} · {nearest}"


def _reasons(found: Probe, say: Words) -> list[object]:
    if not found.goes_with:
        return []
    safer, less = reasons(found.goes_with, say)
    if not safer and not less:
        return [html.H3(say("reason.title")), html.P(say("reason.none"))]
    parts = []
    for texts, key in ((safer, "safer"), (less, "less")):
        if texts:
            items = html.Ul([html.Li(text) for text in texts])
            parts.append(html.Div([html.Span(say(f"reason.{key}")), items], className=f"goes {key}"))
    return [html.H3(say("reason.title")), *parts]


def _curve(found: Probe, say: Words, zone: ZoneInfo) -> list[object]:
    known = [value for value in found.curve if value is not None]
    if len(known) < 2:
        return []
    scale, labels = SCALES[found.layer], [say.clock(time, zone) for time in found.times]
    values = [np.nan if value is None else float(scale.to_value(value)) for value in found.curve]
    band = [(np.nan, np.nan) if ends is None else tuple(scale.to_value(ends).tolist()) for ends in found.band]
    marks = [(float(scale.to_value(tick)), say.significant(tick)) for tick in _CURVE_MARKS.get(found.layer, ())]
    drawn = curve_svg(values, labels, found.place, 0.0, 100.0, band, marks)
    spoken = [
        f"{labels[place]} {_amount(found.layer, value, say)}"
        for place, value in enumerate(found.curve)
        if value is not None and place % 4 == 0
    ]
    alt = say("details.curve") + ": " + ", ".join(spoken)
    return [html.H3(say("details.curve")), Curve(svg=drawn, alt=alt)]


def _others(found: Probe, say: Words) -> list[object]:
    if not found.others:
        return []
    rows = [
        html.Tr(
            [
                html.Th(say(f"layer.{name}"), scope="row"),
                html.Td(_amount(name, value, say) + _unit(name, value, say)),
            ]
        )
        for name, value in found.others.items()
    ]
    return [html.H3(say("details.others")), html.Table(html.Tbody(rows))]
