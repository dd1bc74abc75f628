"""Both sides of a night as small curves: the share expected to feel safe, and the sound at metered facades, by hour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from analytics.levels import laeq
from analytics.night_facts import NightFacts
from analytics.phrases import Phrases
from analytics.sleeping import FACADE

_WIDE, _TALL, _LEFT, _BELOW = 520.0, 190.0, 52.0, 34.0
_INK, _SOFT, _LINE, _BAND = "#1b1b1f", "#c9c9cf", "#2b2350", "#d3cbe8"
_TICKS = 4


class Point(NamedTuple):
    """An hour of the local clock, a value, and its interval where it has one."""

    hour: int
    value: float
    low: float
    high: float


def passing_points(facts: NightFacts) -> list[Point]:
    """Shares by hour in per cent; of several nights the medians of each hour."""
    by_hour: dict[int, list[tuple[float, float, float]]] = {}
    for one in facts.passing:
        for share in one.hours:
            if share.hour is not None and share.safe is not None and share.low is not None and share.high is not None:
                by_hour.setdefault(share.hour, []).append((share.safe, share.low, share.high))
    out = []
    for hour in _ordered(by_hour):
        value, low, high = (float(part) for part in np.median(np.array(by_hour[hour]), axis=0))
        out.append(Point(hour, value, low, high))
    return out


def sleeping_points(facts: NightFacts) -> list[Point]:
    """Energy means over metered facades by hour in dB, over all nights."""
    by_hour: dict[int, list[float]] = {}
    for one in facts.sleepers:
        if one.mounting != FACADE:
            continue
        for hour in (hour for night in one.nights for hour in night.hours):
            if hour.laeq is not None:
                by_hour.setdefault(int(hour.start[11:13]), []).append(hour.laeq)
    levels = {hour: laeq(values) for hour, values in by_hour.items()}
    return [Point(hour, levels[hour], levels[hour], levels[hour]) for hour in _ordered(levels)]


def curve(
    points: Sequence[Point], say: Phrases, unit: str, least: float, most: float, line: float | None = None
) -> str:
    """The points as SVG, between two values of the axis; `line` is drawn across."""
    right, bottom = _WIDE - 12.0, _TALL - _BELOW
    begin = _since_noon(points[0].hour)
    hours = max(_since_noon(points[-1].hour) - begin, 1)

    def x(point: Point) -> float:
        return _LEFT + (right - _LEFT) * (_since_noon(point.hour) - begin) / hours

    def y(value: float) -> float:
        return bottom - (bottom - 10.0) * (min(max(value, least), most) - least) / (most - least)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE:.0f} {_TALL:.0f}">']
    for tick in np.linspace(least, most, _TICKS + 1):
        out.append(f'<path d="M{_LEFT:.0f} {y(tick):.1f}H{right:.0f}" stroke="{_SOFT}" stroke-width="1"/>')
        if tick in (least, (least + most) / 2, most):
            out.append(_words(_LEFT - 6, y(tick) + 5, say.typeset(f"{say.number(tick)} {unit}"), "end"))
    upper = [f"{x(point):.1f} {y(point.high):.1f}" for point in points]
    lower = [f"{x(point):.1f} {y(point.low):.1f}" for point in reversed(points)]
    out.append(f'<path d="M{" ".join([*upper, *lower])}Z" fill="{_BAND}"/>')
    if line is not None:
        out.append(f'<path d="M{_LEFT:.0f} {y(line):.1f}H{right:.0f}" stroke="{_INK}" stroke-dasharray="6 4"/>')
    through = " ".join(f"{x(point):.1f} {y(point.value):.1f}" for point in points)
    out.append(f'<path d="M{through}" fill="none" stroke="{_LINE}" stroke-width="3" stroke-linejoin="round"/>')
    for point in points:
        out.append(f'<circle cx="{x(point):.1f}" cy="{y(point.value):.1f}" r="4" fill="{_LINE}"/>')
        if (_since_noon(point.hour) - begin) % 2 == 0:
            out.append(_words(x(point), _TALL - 12, f"{point.hour:02d}", "middle"))
    return "".join([*out, "</svg>"])


def _ordered(hours: Iterable[int]) -> list[int]:
    return sorted(hours, key=_since_noon)


def _since_noon(hour: int) -> int:
    return (hour - 12) % 24


def _words(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="16" text-anchor="{anchor}" fill="{_INK}" '
        f'font-family="Libertinus Serif, serif">{text}</text>'
    )
