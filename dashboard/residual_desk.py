"""Answers `/residuals`: what sensors measured over a night less what its pages say there, for who may take data along.

One number a site, worked out by `analytics.night_residuals`; readings themselves never come here.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs

from pyproj import Transformer
from starlette.types import Receive, Scope

from dashboard.pages.context import House
from dashboard.roles import may
from dashboard.runs import PLAN, PUBLIC
from dashboard.words import Words, words
from sensors.errors import NoctuleError
from sensors.night import Night

_NEVER = (b"cache-control", b"no-store")
_LAYERS = {"illuminance": "light"}  # layers as people see them, where a field is called otherwise
_KEPT = 8  # nights; one takes seconds to work out

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class ResidualDesk:
    """The route."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._working = asyncio.Semaphore(1)
        self._kept: dict[tuple[Any, ...], bytes] = {}

    async def answer(self, scope: Scope, _receive: Receive, role: str) -> Answer:
        """Answer one request."""
        given = parse_qs(scope["query_string"][:500].decode("latin-1"))
        night, language = given.get("night", [""])[0], given.get("lang", [""])[0]
        if scope["path"] != "/residuals" or night.startswith((PUBLIC, PLAN)):
            return 404, [_NEVER], b""
        if not may(role, "export") or not self._house.may_run(role, night):
            return 403, [_NEVER], b""
        run = await asyncio.to_thread(self._house.runs.get, night)
        if run is None or run.name != run.night:
            return 404, [_NEVER], b""
        say = words(language)
        key = (night, run.stamp, say.language)
        async with self._working:
            if key not in self._kept:
                body = await asyncio.to_thread(self._body, night, say)
                while len(self._kept) >= _KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[key] = body
        return 200, [(b"content-type", b"application/json"), _NEVER], self._kept[key]

    def _body(self, night: str, say: Words) -> bytes:
        from analytics.night_residuals import Residual, night_residuals

        city = self._house.city
        try:
            found = night_residuals(city, Night.named(night, city.zone))
        except NoctuleError:  # a city whose readings are elsewhere has pages all the same
            return json.dumps({"rows": [], "flags": [], "said": say("residual.unknown")}).encode()
        project = Transformer.from_crs(city.crs, "EPSG:4326", always_xy=True)

        def row(one: Residual) -> dict[str, Any]:
            longitude, latitude = project.transform(one.easting, one.northing)
            return {
                "layer": _LAYERS.get(one.field, one.field),
                "at": [round(latitude, 6), round(longitude, 6)],
                "site": say("residual.number", number=one.site),
                "sign": (one.difference > 0) - (one.difference < 0) if one.told else 0,
                "amount": amount(one.field, one.difference, say),
                "steps": say.number(one.steps),
                "simulated": one.simulated,
            }

        flags = [[say(f"flag.{name}"), say.number(count)] for name, count in found.doubted.items()]
        rows = [row(one) for one in found.residuals]
        told = say("residual.readings", count=say.number(found.readings))
        if any(one.simulated for one in found.residuals):
            told += " " + say("simulated.mark") + "."
        return json.dumps({"rows": rows, "flags": flags, "said": told}, separators=(",", ":")).encode()


def amount(field: str, difference: float, say: Words) -> str:
    """A residual with its sign: dB for noise, else per cent."""
    value, digits, unit = (difference, 1, " dB") if field == "noise" else (difference * 100, 0, "\u00a0%")
    return ("+" if round(value, digits) > 0 else "") + say.number(value, digits) + unit
