"""Draws a walk on the city's own streets as SVG: nothing is fetched, so it prints without a network."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from math import floor, log10
from typing import Any

import numpy as np
import shapely

from analytics.street_paths import clipped, path_of
from analytics.walk_route import Route
from sensors.city import City
from sensors.walk import Walk

# Dark enough for a copier, and told apart without colour: the way is broad, the stops are numbered.
_STREET, _STREET_EDGE, _BUILDING, _GREEN, _WATER, _WAY, _STOP, _INK = (
    "#ffffff", "#c9c9cf", "#dedee3", "#e9efe6", "#dfe8ef", "#5b4a9c", "#2b2350", "#1b1b1f",
)  # fmt: skip
_PIXELS = 1000.0  # width of a drawing in its own units
_MARGIN_M = 90.0
_LOCATOR_M = 130.0  # half the side of the map of one stop
_LARGER = 1.8  # letters and signs on a map that is printed half as wide
_LABELS = 14  # street names on a map; more would cover it


def route_map(city: City, walk: Walk, route: Route, shape: float = 1.0) -> str:
    """The whole way with its numbered stops.

    shape : height divided by width
    """
    west, south, east, north = shapely.total_bounds([*walk.stops.geometry, *route.lines])
    return _drawn(city, walk, route, _framed(west, south, east, north, _MARGIN_M, shape), None, shape)


def stop_map(city: City, walk: Walk, route: Route, stop: int, shape: float = 1.0) -> str:
    """The streets around one stop."""
    point = walk.stops.geometry.loc[stop]
    half = _LOCATOR_M
    frame = _framed(point.x - half, point.y - half, point.x + half, point.y + half, 0.0, shape)
    return _drawn(city, walk, route, frame, stop, shape, _LARGER)


def _framed(
    west: float, south: float, east: float, north: float, margin: float, shape: float
) -> tuple[float, float, float, float]:
    """Bounds with a margin, widened to a shape."""
    width, height = east - west + 2 * margin, north - south + 2 * margin
    width, height = max(width, height / shape), max(height, width * shape)
    middle_e, middle_n = (west + east) / 2, (south + north) / 2
    return middle_e - width / 2, middle_n - height / 2, middle_e + width / 2, middle_n + height / 2


def _drawn(
    city: City,
    walk: Walk,
    route: Route,
    frame: tuple[float, float, float, float],
    stop: int | None,
    shape: float,
    larger: float = 1.0,
) -> str:
    west, _, east, north = frame
    scale = _PIXELS / (east - west)
    box = shapely.box(*frame)

    def path(geometries: Iterable[Any], simple_m: float) -> str:
        return path_of(clipped(geometries, box, simple_m), west, north, scale)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_PIXELS:.0f} {_PIXELS * shape:.0f}">'
        f'<rect width="{_PIXELS:.0f}" height="{_PIXELS * shape:.0f}" fill="#f6f6f8"/>'
    ]
    areas = city.places("areas")
    layers = [
        (areas.geometry[areas["kind"] != "water"], _GREEN),
        (areas.geometry[areas["kind"] == "water"], _WATER),
        (city.places("buildings").geometry, _BUILDING),
    ]
    for shapes, colour in layers:
        drawn = path(shapes, 1.0)
        out.append(f'<path d="{drawn}" fill="{colour}"/>' if drawn else "")
    streets = city.places("streets")
    streets = streets[shapely.intersects(streets.geometry.to_numpy(), box)]
    drawn = path(streets[streets["walkable"].to_numpy(bool)].geometry, 0.5)
    broad = max(3.0, 5.0 * scale)
    for colour, width in ((_STREET_EDGE, broad + 3), (_STREET, broad)):
        out.append(
            f'<path d="{drawn}" fill="none" stroke="{colour}" stroke-width="{width:.1f}" stroke-linecap="round"/>'
        )
    way = path(route.lines, 0.0)
    out.append(
        f'<path d="{way}" fill="none" stroke="{_WAY}" stroke-width="{9 * larger:.0f}" stroke-opacity="0.75" '
        'stroke-linejoin="round" stroke-linecap="round"/>'
    )
    out += _street_names(streets, frame, scale, walk, larger)
    for number, point in zip(walk.stops.index, walk.stops.geometry, strict=True):
        if box.contains(point):
            x, y = (point.x - west) * scale, (north - point.y) * scale
            large = (30.0 if number == stop else 24.0) * larger
            inside, ink = (_STOP, "#ffffff") if stop in (None, number) else ("#ffffff", _STOP)
            out.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{large:.0f}" fill="{inside}" stroke="{_STOP}" stroke-width="4"/>'
                f'<text x="{x:.1f}" y="{y + large * 0.36:.1f}" font-size="{large * 1.1:.0f}" font-weight="bold" '
                f'text-anchor="middle" fill="{ink}" font-family="Libertinus Serif">{number}</text>'
            )
    out += _scale_bar(scale, shape, larger)
    return "".join([*out, "</svg>"])


def _street_names(
    streets: Any, frame: tuple[float, float, float, float], scale: float, walk: Walk, larger: float
) -> list[str]:
    """Names of the longest streets, each once, along a straight stretch, where no stop stands and no other name."""
    west, _, east, north = frame
    box = shapely.box(*frame).buffer(-0.06 * (east - west))
    named = streets[streets["name"].fillna("").astype(str).str.strip() != ""]
    taken = [((p.x - west) * scale, (north - p.y) * scale, 42.0 * larger) for p in walk.stops.geometry]
    found: list[tuple[float, str, Any]] = []
    for name, lines in named.groupby("name", sort=True):
        inside = shapely.intersection(shapely.line_merge(shapely.union_all(lines.geometry.to_numpy())), box)
        parts = [part for part in shapely.get_parts(inside) if part.geom_type == "LineString"]
        if parts:
            longest = max(parts, key=lambda part: part.length)
            found.append((longest.length, str(name), longest))
    out: list[str] = []
    for length, name, line in sorted(found, key=lambda one: (-one[0], one[1])):
        needed = len(name) * 12.5 * larger
        if len(out) >= _LABELS or length * scale < needed:
            continue
        for share in (0.5, 0.3, 0.7, 0.2, 0.8):
            half = needed / scale / 2
            a, b = (line.interpolate(share * length + side * half) for side in (-1, 1))
            middle = line.interpolate(share * length)
            straight = np.hypot(b.x - a.x, b.y - a.y) > 0.93 * 2 * half
            x, y = (middle.x - west) * scale, (north - middle.y) * scale
            if not straight or any(np.hypot(x - at, y - up) < needed / 2 + r for at, up, r in taken):
                continue
            turn = -np.degrees(np.arctan2(b.y - a.y, b.x - a.x))
            turn = turn - 180 if turn > 90 else turn + 180 if turn < -90 else turn
            text = escape(name)
            style = f'font-size="{24 * larger:.0f}" text-anchor="middle" font-family="Libertinus Serif"'
            place = f'x="{x:.1f}" y="{y + 8 * larger:.1f}" transform="rotate({turn:.1f} {x:.1f} {y:.1f})"'
            out.append(
                f'<text {place} {style} fill="none" stroke="#ffffff" stroke-width="6" stroke-linejoin="round">{text}'
                f'</text><text {place} {style} fill="{_INK}">{text}</text>'
            )
            taken.append((x, y, needed / 2))
            break
    return out


def _scale_bar(scale: float, shape: float, larger: float) -> list[str]:
    """A bar of a round length, and which way is north."""
    metres = 220.0 / scale
    step = 10.0 ** floor(log10(metres))
    metres = max(factor * step for factor in (1, 2, 5) if factor * step <= metres)
    y, long, tall = _PIXELS * shape - 26, metres * scale, 22 * larger
    style = f'font-size="{tall:.0f}" text-anchor="middle" fill="{_INK}" font-family="Libertinus Serif"'
    up, right = 36 * larger, _PIXELS - 45 * larger
    north = f"M{right:.1f} {up - 24 * larger:.1f}l{10 * larger:.1f} {28 * larger:.1f}h{-20 * larger:.1f}Z"
    return [
        f'<rect x="14" y="{y - tall - 14:.0f}" width="{long + 32:.0f}" height="{tall + 32:.0f}" fill="#ffffff" '
        f'fill-opacity="0.85"/><path d="M30 {y - 8:.0f}V{y:.0f}H{30 + long:.1f}V{y - 8:.0f}" fill="none" '
        f'stroke="{_INK}" stroke-width="3"/>'
        f'<text x="{30 + long / 2:.1f}" y="{y - 12:.0f}" {style}>{metres:.0f} m</text>'
        f'<circle cx="{right:.1f}" cy="{up:.1f}" r="{33 * larger:.0f}" fill="#ffffff" fill-opacity="0.85"/>'
        f'<path d="{north}" fill="{_INK}"/><text x="{right:.1f}" y="{up + 25 * larger:.1f}" {style}>N</text>'
    ]
