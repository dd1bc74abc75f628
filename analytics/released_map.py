"""A released page of perceived safety drawn as SVG for paper: colours where we are sure, grey and hatching where not.

The colours are those of the map on screen, given here for white paper: the less sure, the fewer of them (eight, four,
two, one grey), so that nobody reads a fine difference out of a coarse estimate. Hatched is where people pass and too
few answered. There is no red, and lightness rises with the value, so that a copy in grey keeps the order. Nothing finer
than the released cell is drawn, buildings stay empty, and places carry no names but the letters of squares.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np
import shapely
import xarray as xr
from numpy.typing import NDArray

from analytics.night_areas import SIDE_M, Areas, column_letter
from analytics.phrases import Phrases
from analytics.squares import Squares
from analytics.street_paths import clipped, path_of
from analytics.views import SAFETY_RAMP
from sensors.city import City

GREY = "#b9bdc4"
# Widths of the 90 % interval, in points, up to which eight, four and two colours are shown: quarters of the deviation
# of 24 points at which the screen's map is all grey.
WIDTHS = (20.0, 40.0, 60.0)
COLOURS = (8, 4, 2, 1)
_PIXELS = 1000.0
_MOST_CELLS = 120  # along the longer side; a larger city is drawn in cells of 100, 200 or 400 m
_DETAIL_M = 6000.0  # beyond it single buildings are smaller than a dot
_INK, _STREET, _BUILDING, _WATER, _GROUND = "#1b1b1f", "#ffffff", "#e4e4e9", "#dfe8ef", "#f6f6f8"
_HATCH = (
    '<defs><pattern id="hatch" width="9" height="9" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="9" height="9" fill="#ffffff"/><rect width="2.4" height="9" fill="#8a8f99"/></pattern></defs>'
)
Floats = NDArray[np.float64]


def released_map(city: City, page: xr.Dataset, areas: Areas, mark: str = "") -> str:
    """The page as a picture as wide as the city, with squares where `areas` are squares.

    page : one step with `safety`, `safety_sd`, `safety_hatched`; mark : written across it where not empty
    """
    grid = city.settings.grid
    west, south, east, north = grid.west, grid.south, grid.east, grid.north
    scale = _PIXELS / max(east - west, (north - south) * 0.75)
    wide, tall = (east - west) * scale, (north - south) * scale
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.1f} {tall:.1f}">{_HATCH}'
        f'<rect width="{wide:.1f}" height="{tall:.1f}" fill="{_GROUND}"/>'
    ]
    frame = _Frame(west, north, scale, shapely.box(west, south, east, north))
    out += _cells(page, frame, max(float(page["safety"].attrs.get("cell_m", 50.0)), 50.0))
    out += _ground(city, frame, max(east - west, north - south))
    if areas.squares:
        out += _squares(areas, frame, wide, tall)
    if mark:
        size = min(wide / (0.52 * len(mark)), 44.0)
        out.append(
            f'<text x="{wide / 2:.0f}" y="{tall / 2:.0f}" font-size="{size:.0f}" text-anchor="middle" fill="{_INK}" '
            f'fill-opacity="0.62" font-weight="bold" font-family="Libertinus Serif, serif" transform="rotate(-24 '
            f'{wide / 2:.0f} {tall / 2:.0f})">{escape(mark)}</text>'
        )
    return "".join([*out, "</svg>"])


def colour_of(safe: float, sd: float) -> str:
    """The colour of a share in per cent with its standard deviation in points."""
    count = COLOURS[tier_of(sd)]
    if count == 1:
        return GREY
    return tier_colours(count)[min(int(safe * count / 100.0), count - 1)]


def tier_of(sd: float) -> int:
    """0 for the surest, 3 for what is only grey."""
    return int(np.searchsorted(WIDTHS, 3.29 * sd, side="left"))


def tier_colours(count: int) -> list[str]:
    """So many colours: means of the eight, and the fewer the greyer."""
    ramp = np.array([[int(one[at : at + 2], 16) for at in (1, 3, 5)] for one in SAFETY_RAMP], np.float64)
    grey = np.array([int(GREY[at : at + 2], 16) for at in (1, 3, 5)], np.float64)
    share = {8: 0.0, 4: 0.30, 2: 0.58, 1: 1.0}[count]
    mean = ramp.reshape(count, 8 // count, 3).mean(axis=1) * (1 - share) + grey * share
    return ["#" + "".join(f"{round(part):02x}" for part in colour) for colour in mean]


class _Frame:
    """From metres to the picture."""

    def __init__(self, west: float, north: float, scale: float, box: Any) -> None:
        self.west, self.north, self.scale, self.box = west, north, scale, box

    def x(self, easting: float) -> float:
        return (easting - self.west) * self.scale

    def y(self, northing: float) -> float:
        return (self.north - northing) * self.scale

    def path(self, geometries: Iterable[Any], simple_m: float) -> str:
        return path_of(clipped(geometries, self.box, simple_m), self.west, self.north, self.scale)


def _cells(page: xr.Dataset, frame: _Frame, cell_m: float) -> list[str]:
    """Squares of one colour, row by row, neighbours of the same colour as one."""
    northing, easting = page["northing"].values, page["easting"].values
    longer = max(northing[-1] - northing[0], easting[-1] - easting[0])
    side = cell_m
    while longer / side > _MOST_CELLS and side < 400.0:
        side *= 2.0
    squares = Squares.of_side(northing, easting, side)
    safe, sd = (page[name].values.astype(np.float64) for name in ("safety", "safety_sd"))
    known = np.isfinite(safe) & np.isfinite(sd)
    mean, spread = squares.mean(safe, known)[0], squares.mean(sd, known)[0]
    hatched = np.zeros(mean.shape, bool)
    if "safety_hatched" in page:
        hatched = squares.total((page["safety_hatched"].values > 0).astype(np.int64))[0] > 0
    fills = np.full(mean.shape, "", object)
    fills[hatched] = "url(#hatch)"
    shown = np.isfinite(mean)
    fills[shown] = [colour_of(float(a), float(b)) for a, b in zip(mean[shown], spread[shown], strict=True)]
    first_n, first_e = np.floor(northing[0] / side) * side, np.floor(easting[0] / side) * side
    out = []
    long = side * frame.scale
    for row in range(fills.shape[0]):
        y = frame.y(first_n + (row + 1) * side)
        begin = 0
        for column in range(1, fills.shape[1] + 1):
            if column < fills.shape[1] and fills[row, column] == fills[row, begin]:
                continue
            if fills[row, begin]:
                out.append(
                    f'<rect x="{frame.x(first_e + begin * side):.1f}" y="{y:.1f}" width="{(column - begin) * long:.1f}"'
                    f' height="{long + 0.8:.1f}" fill="{fills[row, begin]}"/>'
                )
            begin = column
    return out  # each a hair taller than its square, so that no line of paper shows between rows


def _ground(city: City, frame: _Frame, longer_m: float) -> list[str]:
    """Water and buildings, where nothing is said, and streets to find one's way."""
    areas = city.places("areas")
    water = frame.path(areas.geometry[areas["kind"] == "water"], 1.0) if len(areas) else ""
    out = [f'<path d="{water}" fill="{_WATER}"/>'] if water else []
    if longer_m <= _DETAIL_M and (built := frame.path(city.places("buildings").geometry, 1.0)):
        out.append(f'<path d="{built}" fill="{_BUILDING}"/>')
    streets = city.places("streets")
    if len(streets) and longer_m <= 2 * _DETAIL_M:
        lines = frame.path(streets[streets["walkable"].to_numpy(bool)].geometry, 2.0)
        broad = max(0.8, 2.5 * frame.scale)
        out.append(
            f'<path d="{lines}" fill="none" stroke="{_STREET}" stroke-width="{broad:.1f}" stroke-opacity="0.6"/>'
        )
    return out


def _squares(areas: Areas, frame: _Frame, wide: float, tall: float) -> list[str]:
    """Lines between the squares, and the name of each in its corner."""
    rows = -(-len(areas.names) // areas.columns)
    lines = "".join(f"M{frame.x(areas.west + k * SIDE_M):.1f} 0V{tall:.1f}" for k in range(1, areas.columns))
    lines += "".join(f"M0 {frame.y(areas.north - k * SIDE_M):.1f}H{wide:.1f}" for k in range(1, rows))
    out = [f'<path d="{lines}" stroke="{_INK}" stroke-width="1.2" stroke-dasharray="7 5" stroke-opacity="0.55"/>']
    if areas.columns > 26 or rows > 40:
        return out  # letters of so many squares would cover the map; the report's words still name them
    for row in range(rows):
        for column in range(areas.columns):
            x, y = frame.x(areas.west + column * SIDE_M), frame.y(areas.north - row * SIDE_M)
            x, y = max(x, 0.0) + 7, max(y, 0.0) + 26
            if x < wide - 30 and y < tall:
                style = 'font-size="24" font-weight="bold" font-family="Libertinus Serif, serif"'
                name = f"{column_letter(column)}{row + 1}"
                out.append(
                    f'<text x="{x:.0f}" y="{y:.0f}" {style} fill="none" stroke="#ffffff" stroke-width="5">{name}</text>'
                    f'<text x="{x:.0f}" y="{y:.0f}" {style} fill="{_INK}">{name}</text>'
                )
    return out


def legend(say: Phrases, squares: bool) -> str:
    """What colours, hatching and gaps mean, as SVG."""
    line, y = 44, 30
    out = [_words(0, y, say("night_report.legend_title"), bold=True)]
    y += 16
    for at, count in enumerate(COLOURS):
        wide = 320.0 / count
        out += [
            f'<rect x="{number * wide:.1f}" y="{y}" width="{wide:.1f}" height="30" fill="{colour}"/>'
            for number, colour in enumerate(tier_colours(count))
        ]
        sure = (
            say("night_report.legend_sure", points=say.number(WIDTHS[at]))
            if count > 1
            else say("night_report.legend_grey")
        )
        if at == 0:
            y += 30
            out += [_words(x, y + 22, say.percent(share), anchor=anchor) for x, share, anchor in _ENDS]
            y -= 2
            out.append(_words(0, y + 56, sure))
            y += 70
        else:
            out.append(_words(0, y + 54, sure))
            y += line + 26
    for fill, key in (("url(#key)", "legend_hatched"), (_BUILDING, "legend_empty")):
        out.append(f'<rect x="0" y="{y}" width="60" height="30" fill="{fill}"/>')
        for number, words in enumerate(_broken(say(f"night_report.{key}"), 26)):
            out.append(_words(74, y + 22 + 26 * number, words))
        y += line + 26
    if squares:
        for number, words in enumerate(_broken(say("night_report.legend_squares", side=say.number(SIDE_M)), 34)):
            out.append(_words(0, y + 18 + 26 * number, words))
        y += line + 30
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 420 {y}">'
    return "".join([head, _HATCH.replace('"hatch"', '"key"'), *out, "</svg>"])


_ENDS = ((0, 0.0, "start"), (160, 0.5, "middle"), (320, 1.0, "end"))


def _words(x: float, y: float, text: str, *, bold: bool = False, anchor: str = "start") -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="22"{weight} text-anchor="{anchor}" fill="{_INK}" '
        f'font-family="Libertinus Serif, serif">{escape(text)}</text>'
    )


def _broken(text: str, most: int) -> list[str]:
    """Lines of at most so many letters."""
    import textwrap

    return textwrap.wrap(text, most)
