"""Places that somebody watches, answered in one go: value, interval, confidence and the night's curve of each.

A place is a fixed square of at least 50 m, never less, so that no card speaks of a single door. Where the places are
and what they are called is kept by the browser that watches; the server is asked, answers, and forgets.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import numpy.typing as npt
from starlette.types import Receive, Scope

from dashboard import figures
from dashboard.asking import BODY_WAIT_S
from dashboard.pages.context import House
from dashboard.runs import NOW, Run
from dashboard.scales import SCALES, USUAL
from dashboard.security import Headers
from dashboard.watch_names import LONGEST, cleaned, venue_names, wrong_with
from dashboard.words import Words, words
from sensors.errors import NoctuleError

MOST_PLACES = 20
LEAST_M = 50.0
_MOST_BYTES = 8_000
_VENUES_KEPT_S = 60.0
_KEPT = 40_000  # numbers of places and steps; twenty places of a night are 800
_NEVER = (b"cache-control", b"no-store")
_JSON = (b"content-type", b"application/json")

Answer = tuple[int, Headers, bytes]
Square = tuple[int, int, int, int]  # rows from, to, columns from, to
Told = tuple[float, float, float, bool]  # value, standard deviation, metres to a sensor, whether there is open ground


class Watched:
    """What is under /watch."""

    def __init__(self, house: House, role_of: Callable[[Scope], str]) -> None:
        self._house, self._role_of = house, role_of
        self._told: OrderedDict[tuple[str, int, str, str, Square], Told] = OrderedDict()
        self._lock = Lock()
        self._venues: tuple[float, frozenset[str]] = (-1e9, frozenset())

    async def __call__(self, scope: Scope, receive: Receive) -> Answer:
        """Answer one request: values of places, or whether names may be given."""
        path = scope["path"]
        if path not in ("/watch", "/watch/names"):
            return 404, [_NEVER], b""
        if scope["method"] != "POST":
            return 405, [_NEVER, (b"allow", b"POST")], b""
        run = parse_qs(scope["query_string"][:500].decode("latin-1")).get("run", [""])[0]
        if path == "/watch" and not self._house.may_run(self._role_of(scope), run):
            return 403, [_NEVER], b""
        asked = read(await body_of(receive, _MOST_BYTES))
        if asked is None:
            return 400, [_NEVER], b""
        say = words(asked.get("lang") if isinstance(asked.get("lang"), str) else None)
        if path == "/watch/names":
            told = await asyncio.to_thread(self._names, asked, say)
        else:
            told = await asyncio.to_thread(self._values, run, asked, say)
        return (400, [_NEVER], b"") if told is None else (200, [_JSON, _NEVER], json.dumps(told).encode())

    def _names(self, asked: dict[str, Any], say: Words) -> dict[str, Any] | None:
        given = asked.get("names")
        if not isinstance(given, list) or len(given) > MOST_PLACES or not all(isinstance(one, str) for one in given):
            return None
        if time.monotonic() - self._venues[0] > _VENUES_KEPT_S:
            self._venues = (time.monotonic(), venue_names(self._house.city))
        venues, told = self._venues[1], []
        for name in map(cleaned, given):
            wrong = wrong_with(name, venues)
            told.append({"name": name[:LONGEST], "wrong": say(f"watch.wrong.{wrong}") if wrong else ""})
        return {"names": told}

    def _values(self, name: str, asked: dict[str, Any], say: Words) -> dict[str, Any] | None:
        house, layer = self._house, USUAL.get(str(asked.get("layer")), str(asked.get("layer")))
        frame, places = asked.get("frame"), asked.get("places")
        run = house.runs.get(name)
        if not isinstance(frame, int) or isinstance(frame, bool) or not isinstance(places, list):
            return None
        if len(places) > MOST_PLACES or (spots := [spot_of(place) for place in places]).count(None):
            return None
        if run is None or layer not in run.layers or not 0 <= frame < len(run.versions) or run.versions[frame] is None:
            return {"places": [{"state": "gone", "told": say("details.gone")} for _ in places]}
        try:
            cells = [run.frame.cell(spot[1], spot[0]) for spot in spots if spot is not None]
            squares = [cell and square_of(cell, run.frame.cell_m, run.frame.shape) for cell in cells]
            self._read(run, frame, layer, {square for square in squares if square})
            cards = [self._card(run, frame, layer, square, say) for square in squares]
            simulated = say("simulated.mark") if layer in house.runs.simulated(run) else ""
            return {"places": cards, "simulated": simulated}
        except (NoctuleError, OSError):  # replaced while it was read; the page asks again with the next version
            return {"places": [{"state": "gone", "told": say("details.gone")} for _ in places]}

    def _read(self, run: Run, frame: int, layer: str, squares: set[Square]) -> None:
        """Read what cards of these squares need, page by page: else each page would be read for each of them."""
        self._at(run, frame, layer, squares)
        night = self._night_of(run, layer)
        for step, version in enumerate(night.versions if night is not None else ()):
            if night is not None and version is not None:
                self._at(night, step, layer, squares)

    def _card(self, run: Run, frame: int, layer: str, square: Square | None, say: Words) -> dict[str, Any]:
        if square is None:
            return {"state": "outside", "told": say("details.outside")}
        value, sd, nearest, ground = self._at(run, frame, layer, {square})[square]
        if not np.isfinite(value):
            return {"state": "none", "told": say("details.hatched" if ground else "details.nothing")}
        scale, zone = SCALES[layer], self._house.city.zone
        low, high = scale.interval(value, sd)
        ends = [figures.amount(layer, end, say) for end in (low, high)]
        tier = int(scale.confidence(sd, nearest if layer == "noise" else None)) // 4
        card = {
            "state": "value",
            "told": figures.amount_words(layer, value, say),
            "likely": say("details.likely", low=ends[0], high=ends[1]) if layer != "evidence" else "",
            "tier": tier,
            "confidence": "",
        }
        if layer != "evidence" and not scale.differs:
            card["confidence"] = say("details.confidence", word=say(figures.confidence_word(tier * 4)))
        return card | self._curve(run, frame, layer, square, (value, low, high), say, zone)

    def _curve(
        self, run: Run, frame: int, layer: str, square: Square, here: tuple[float, float, float], say: Words, zone: Any
    ) -> dict[str, str]:
        """The night of a place as a picture, and in words for who does not see it."""
        night = self._night_of(run, layer)
        if night is None:
            return {}
        scale, times = SCALES[layer], night.times
        place = frame if night is run else int(np.searchsorted(times, run.times[frame]))
        values: list[float] = []
        band: list[tuple[float, float]] = []
        spoken = []
        for step, version in enumerate(night.versions):
            value, sd, _, _ = (
                (np.nan, 0.0, 0.0, True) if version is None else self._at(night, step, layer, {square})[square]
            )
            low, high = scale.interval(value, sd) if np.isfinite(value) else (np.nan, np.nan)
            if step == place:
                value, low, high = here
            ends = scale.to_value([value, low, high])
            values.append(float(ends[0]))
            band.append((float(ends[1]), float(ends[2])))
            if np.isfinite(value) and step % 4 == 0:
                spoken.append(f"{say.clock(times[step], zone)} {figures.amount_words(layer, value, say)}")
        if np.isfinite(values).sum() < 2:
            return {}
        labels = [say.clock(time, zone) for time in times]
        drawn = figures.curve_svg(values, labels, place, 0.0, 100.0, band)
        return {"curve": drawn, "alt": say("details.curve") + ": " + ", ".join(spoken)}

    def _night_of(self, run: Run, layer: str) -> Run | None:
        """The night that a card draws; None where there is no curve of the layer."""
        night = self._house.runs.get(run.night) if run.name == NOW else run
        return night if night is not None and layer in night.layers and not SCALES[layer].differs else None

    def _at(self, run: Run, frame: int, layer: str, squares: set[Square]) -> dict[Square, Told]:
        """Squares' numbers at a step; closed steps never change, so each is read once."""
        key = (run.name, frame, str(run.versions[frame]), layer)
        found: dict[Square, Told] = {}
        with self._lock:
            for square in squares:
                if (*key, square) in self._told:
                    self._told.move_to_end((*key, square))
                    found[square] = self._told[*key, square]
        if len(found) < len(squares):
            scale, ground = SCALES[layer], self._house.runs.ground(run.frame)
            fields = self._house.runs.fields(run, frame, (scale.variable, scale.sd, scale.nearest))
            for square in squares - found.keys():
                cut = slice(square[0], square[1]), slice(square[2], square[3])
                part = {name: np.asarray(field[cut], np.float64) for name, field in fields.items()}
                value, sd, nearest = part[scale.variable], part.get(scale.sd), part.get(scale.nearest)
                found[square] = mean_of(value, sd, nearest, ground[cut], scale.unit == "dB")
            with self._lock:
                self._told.update({(*key, square): found[square] for square in squares})
                while len(self._told) > _KEPT:
                    self._told.popitem(last=False)
        return found


def square_of(cell: tuple[int, int], cell_m: float, shape: tuple[int, int]) -> Square:
    """The fixed square of at least LEAST_M that a cell lies in.

    >>> square_of((7, 12), 10.0, (100, 100)), square_of((3, 4), 200.0, (10, 10))
    ((5, 10, 10, 15), (3, 4, 4, 5))
    """
    side = max(1, math.ceil(LEAST_M / cell_m - 1e-9))
    # The last one of a row takes what is left over, so that none is smaller.
    starts = [min(at // side, max(0, most // side - 1)) * side for at, most in zip(cell, shape, strict=True)]
    ends = [most if start + 2 * side > most else start + side for start, most in zip(starts, shape, strict=True)]
    return starts[0], ends[0], starts[1], ends[1]


def mean_of(
    value: npt.NDArray[np.float64],
    sd: npt.NDArray[np.float64] | None,
    nearest_m: npt.NDArray[np.float64] | None,
    ground: npt.NDArray[np.bool_],
    energy: bool,
) -> Told:
    """A square's mean, with its standard deviation as if errors within it were all one; NaN where most is not known."""
    known = np.isfinite(value)
    if not known.any() or 2 * known.sum() < ground.sum():
        return math.nan, math.nan, math.nan, bool(ground.any())
    amount = value[known]
    mean = 10 * math.log10(float(np.mean(10 ** (amount / 10)))) if energy else float(amount.mean())
    wide = 0.0 if sd is None else float(np.nan_to_num(sd[known]).mean())
    near = math.nan if nearest_m is None else float(np.nan_to_num(nearest_m[known], nan=1e6).mean())
    return mean, wide, near, True


def spot_of(given: object) -> tuple[float, float] | None:
    """Latitude and longitude; None for what is no place on earth."""
    if not isinstance(given, list) or len(given) != 2:
        return None
    if not all(isinstance(part, int | float) and not isinstance(part, bool) for part in given):
        return None
    try:
        latitude, longitude = float(given[0]), float(given[1])
    except OverflowError:
        return None
    return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None


def read(body: bytes | None) -> dict[str, Any] | None:
    """A JSON object; None for what is none, or too long."""
    try:
        given = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
    return given if isinstance(given, dict) else None


async def body_of(receive: Receive, most: int) -> bytes | None:
    """The body of a request; None where it is longer than `most`, too slow, or its sender went."""
    body = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(BODY_WAIT_S):
            while (message := await receive())["type"] == "http.request":
                part: bytes = message.get("body", b"")
                body += part
                if len(body) > most:
                    return None
                if not message.get("more_body", False):
                    return body
    return None
