"""Answers `/picture`: the view as a PNG, or a night as a loop, for roles that may take data along; one at a time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from dashboard.frame_picture import MOST_FRAMES, Box, View, loop, still
from dashboard.pages.context import House
from dashboard.palette import GROUNDS
from dashboard.roles import may
from dashboard.scales import USUAL, drawn_from
from dashboard.words import words

_NEVER = (b"cache-control", b"no-store")
_MEDIA = {"png": b"image/png", "webp": b"image/webp", "gif": b"image/gif"}
_SMALLEST, _LARGEST = 0.0005, 2.0  # degrees across; a doorway, a region
_WAITING = 3  # more who press at once are told to try again

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Picturing:
    """The route."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._drawing = asyncio.Semaphore(1)  # a loop of a night takes seconds of a core
        self._asked = 0

    async def answer(self, scope: Scope, _receive: Receive, role: str) -> Answer:
        """Answer one request."""
        given = parse_qs(scope["query_string"][:2000].decode("latin-1"))
        query = {name: values[0] for name, values in given.items()}
        kind, name = query.get("format", "png"), query.get("run", "")
        box = read_box(query.get("box", ""))
        if scope["path"] != "/picture" or kind not in _MEDIA:
            return 404, [_NEVER], b""
        if not may(role, "export") or not self._house.may_run(role, name):
            return 403, [_NEVER], b""
        if box is None:
            return 404, [_NEVER], b""
        if self._asked >= _WAITING:
            return 429, [_NEVER, (b"retry-after", b"20")], b""
        self._asked += 1
        try:
            async with self._drawing:
                body = await asyncio.to_thread(self._body, name, box, query, kind)
        finally:
            self._asked -= 1
        if body is None:
            return 404, [_NEVER], b""
        return 200, [(b"content-type", _MEDIA[kind]), _NEVER], body

    def _body(self, name: str, box: Box, query: Mapping[str, str], kind: str) -> bytes | None:
        house, say = self._house, words(query.get("lang"))
        run, layer, ground = house.runs.get(name), query.get("layer", ""), query.get("ground", "dark")
        if run is None or drawn_from(layer) not in run.layers or layer in USUAL or ground not in GROUNDS:
            return None
        view = View(run, layer, box, ground)
        if kind == "png":
            frame = query.get("frame", "")
            return still(house, view, int(frame), say) if frame.isdecimal() and len(frame) < 5 else None
        clocks = [say.clock(time, house.city.zone) for time in run.times]
        first, last = query.get("from", ""), query.get("to", "")
        start = clocks.index(first) if first in clocks else 0
        end = clocks.index(last) if last in clocks[start:] else len(clocks) - 1
        frames = [frame for frame in range(start, end + 1) if run.versions[frame] is not None]
        return loop(house, view, frames[:MOST_FRAMES], say, kind)


def read_box(text: str) -> Box | None:
    """'west,south,east,north' in degrees, None where it is no box or no place that a map shows.

    >>> read_box("24.9,60.1,25.0,60.2"), read_box("25,60,24,61"), read_box("0,0,nan,1")
    ((24.9, 60.1, 25.0, 60.2), None, None)
    """
    try:
        west, south, east, north = (float(edge) for edge in text[:120].split(","))
    except ValueError:
        return None
    if not all(math.isfinite(edge) for edge in (west, south, east, north)):
        return None
    fits = -180 <= west < east <= 180 and -85 <= south < north <= 85
    sides = (east - west, north - south)
    return (west, south, east, north) if fits and max(sides) <= _LARGEST and min(sides) >= _SMALLEST else None
