"""Answers `/probes`: places through a night, as curves for a page (JSON) or as a table to take along (CSV)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from dashboard.pages.context import House
from dashboard.probe_series import ProbeSeries, read_places, series_csv, told_series
from dashboard.roles import may
from dashboard.scales import SCALES
from dashboard.words import words

_NEVER = (b"cache-control", b"no-store")
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Probing:
    """The route; curves for whoever may see the run, tables for whoever may take data along."""

    def __init__(self, house: House) -> None:
        self._house, self._series = house, ProbeSeries(house.runs)
        self._reading = asyncio.Semaphore(2)  # a night of a million cells takes a second to read

    async def answer(self, scope: Scope, _receive: Receive, role: str) -> Answer:
        """Answer one request."""
        given = parse_qs(scope["query_string"][:2000].decode("latin-1"))
        query = {name: values[0] for name, values in given.items()}
        table = query.get("format") == "csv"
        if scope["path"] != "/probes" or query.get("format", "json") not in ("json", "csv"):
            return 404, [_NEVER], b""
        name, layer = query.get("run", ""), query.get("layer", "")
        if not self._house.may_run(role, name) or (table and not may(role, "export")):
            return 403, [_NEVER], b""
        if layer not in SCALES:
            return 404, [_NEVER], b""
        async with self._reading:
            body = await asyncio.to_thread(self._body, name, layer, query, table)
        if body is None:
            return 404, [_NEVER], b""
        if table:
            file = f'attachment; filename="{self._house.city.id}-{name}-probes.csv"'
            kind = (b"content-type", b"text/csv; charset=utf-8")
            return 200, [kind, (b"content-disposition", file.encode()), _NEVER], body
        return 200, [(b"content-type", b"application/json"), _NEVER], body

    def _body(self, name: str, layer: str, query: Mapping[str, str], table: bool) -> bytes | None:
        house, say = self._house, words(query.get("lang"))
        run = house.runs.get(name)
        if run is None or layer not in run.layers:
            return None
        series = self._series.of(run, layer, read_places(query.get("points", "")))
        simulated = layer in house.runs.simulated(run)
        if table:
            marks = [say("simulated.mark")] if simulated else []
            notes = [say("note.model"), *marks, *house.city.settings.attribution]
            return series_csv(series, run, layer, notes).encode()
        told = told_series(series, run, layer, say, house.city.zone)
        told["simulated"] = say("simulated.mark") if simulated else ""
        return json.dumps(told, separators=(",", ":"), allow_nan=False).encode()
