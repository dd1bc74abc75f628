"""Up to six places through a night: a layer's value and 90 % interval at every closed step, for curves and tables.

A place is told by the middle of its cell, of at least 50 m for what rests on answers, so that nobody is told a finer
place than the map has.
"""

from __future__ import annotations

import csv
import io
import re
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from dashboard import figures
from dashboard.runs import Run, Runs
from dashboard.scales import CHANGES, SCALES, base_layer
from dashboard.tiles import GridFrame
from dashboard.words import Words
from sensors.errors import NoctuleError
from sensors.night import rfc3339

MOST = 6
COARSE_M = 50.0
_POINT = re.compile(r"(-?\d{1,2}(?:\.\d{1,8})?),(-?\d{1,3}(?:\.\d{1,8})?)", re.ASCII)
_KEPT = 64
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Place = tuple[float, float]  # latitude, longitude
Square = tuple[slice, slice]  # of rows and columns
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """A layer at some places through a run: (places, frames) arrays, NaN where nothing is told."""

    places: tuple[Place, ...]
    value: Floats
    low: Floats
    high: Floats


def read_places(text: str) -> list[Place]:
    """'lat,lon;lat,lon' as places; what is not a place on the globe, or beyond the sixth, is left out.

    >>> read_places("60.17,24.94;up,down;95,1")
    [(60.17, 24.94)]
    """
    found = []
    for part in text[:400].split(";"):
        match = _POINT.fullmatch(part.strip())
        if match and abs(float(match[1])) <= 90 and abs(float(match[2])) <= 180:
            found.append((float(match[1]), float(match[2])))
    return found[:MOST]


def snapped(frame: GridFrame, layer: str, place: Place) -> tuple[Place, Square] | None:
    """The middle of the square of ground that tells a place, and its cells; None outside the grid."""
    latitude, longitude = place
    cell = frame.cell(longitude, latitude)
    if cell is None:
        return None
    rests_on_answers = base_layer(layer) in ("safety", "gap", "evidence") or layer in CHANGES
    side = max(COARSE_M, frame.cell_m) if rests_on_answers else frame.cell_m
    (south, north), (west, east) = (
        _square(n, edge, frame.cell_m, side, size)
        for n, edge, size in zip(cell, (frame.south, frame.west), frame.shape, strict=True)
    )
    longitude, latitude = frame.lonlat((south + north) // 2, (west + east) // 2)
    return (round(latitude, 5), round(longitude, 5)), (slice(south, north + 1), slice(west, east + 1))


def _square(cell: int, edge_m: float, cell_m: float, side_m: float, size: int) -> tuple[int, int]:
    """First and last cell of the square of ground that holds a cell, along one axis."""
    if side_m <= cell_m:
        return cell, cell
    start = np.floor((edge_m + (cell + 0.5) * cell_m) / side_m) * side_m
    ends = np.rint((start + np.array([0.0, side_m]) - edge_m) / cell_m).astype(int) - [0, 1]
    first, last = np.clip(ends, 0, size - 1)
    return int(first), int(last)


class ProbeSeries:
    """Reads places through runs, and keeps what was read last."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._kept: OrderedDict[tuple[Any, ...], Series] = OrderedDict()
        self._lock = Lock()

    def of(self, run: Run, layer: str, places: list[Place]) -> Series:
        """The layer at the places, snapped to their cells; places outside are left out, and so is a cell told twice."""
        squares = dict(found for place in places if (found := snapped(run.frame, layer, place)) is not None)
        key = (run.name, run.stamp, layer, tuple(squares))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        series = self._read(run, layer, squares)
        with self._lock:
            self._kept[key] = series
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return series

    def _read(self, run: Run, layer: str, squares: dict[Place, Square]) -> Series:
        scale = SCALES[layer]
        value, low, high = (np.full((len(squares), len(run.versions)), np.nan) for _ in range(3))
        names = (scale.variable, scale.sd, f"{scale.variable}_low", f"{scale.variable}_high")
        for frame, version in enumerate(run.versions):
            if version is None or not squares:
                continue
            try:
                fields = self._runs.fields(run, frame, names)
            except (NoctuleError, OSError):  # replaced while it was read
                continue
            for number, square in enumerate(squares.values()):
                # A square has one value; its cells indoors have none.
                here = {name: _known(field[square]) for name, field in fields.items()}
                known = here.get(scale.variable, np.nan)
                value[number, frame] = known
                if names[2] in here and names[3] in here:
                    low[number, frame], high[number, frame] = here[names[2]], here[names[3]]
                elif scale.sd in here and np.isfinite(known):
                    low[number, frame], high[number, frame] = scale.interval(known, here[scale.sd])
        return Series(tuple(squares), value, low, high)


def _known(values: npt.NDArray[np.floating]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def told_series(series: Series, run: Run, layer: str, say: Words, zone: ZoneInfo) -> dict[str, Any]:
    """The series for a browser: places on the layer's scale 0..100 and words for each step."""
    scale = SCALES[layer]

    def on_scale(amounts: Floats) -> list[list[float | None]]:
        shown = scale.to_value(amounts)
        return [[round(float(v), 1) if np.isfinite(v) else None for v in row] for row in shown]

    words = [
        [_words(layer, v, low, high, say) for v, low, high in zip(*rows, strict=True)]
        for rows in zip(series.value, series.low, series.high, strict=True)
    ]
    ticks = scale.ticks or ((0.0, 0.5, 1.0) if layer == "evidence" else (0.0, 25.0, 50.0, 75.0, 100.0))
    return {
        "places": [f"{latitude:.5f},{longitude:.5f}" for latitude, longitude in series.places],
        "labels": [say.clock(time, zone) for time in run.times],
        "value": on_scale(series.value),
        "low": on_scale(series.low),
        "high": on_scale(series.high),
        "words": words,
        "ticks": [
            [float(place), figures.amount(layer, tick, say)]
            for place, tick in zip(scale.to_value(ticks).tolist(), ticks, strict=True)
        ],
        "title": figures.layer_name(layer, say),
    }


def series_csv(series: Series, run: Run, layer: str, notes: list[str]) -> str:
    """The series as a table, a row a place and step, below lines of `notes`; no cell begins like a formula."""
    out = io.StringIO()
    for note in notes:
        out.write("# " + note.replace("\n", " ") + "\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["place", "latitude", "longitude", "time", SCALES[layer].variable, "low_90", "high_90"])
    for number, (latitude, longitude) in enumerate(series.places, 1):
        for frame, time in enumerate(run.times):
            amounts = [series.value[number - 1, frame], series.low[number - 1, frame], series.high[number - 1, frame]]
            if np.isfinite(amounts[0]):
                row = [f"probe {number}", latitude, longitude, rfc3339(time), *(f"{amount:.6g}" for amount in amounts)]
                writer.writerow([plain(cell) for cell in row])
    return out.getvalue()


def plain(cell: object) -> object:
    """A cell that no spreadsheet runs: text that begins like a formula has an apostrophe before it, numbers stay."""
    if not isinstance(cell, str) or not cell.startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return "'" + cell
    return cell


def _words(layer: str, value: float, low: float, high: float, say: Words) -> str:
    if not np.isfinite(value):
        return "–"
    amount = figures.amount_words(layer, value, say)
    if not np.isfinite(low) or low == high:
        return amount
    return f"{amount} ({figures.amount(layer, low, say)}–{figures.amount(layer, high, say)})"
