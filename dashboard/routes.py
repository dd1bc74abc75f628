"""What is answered beside Dash: tiles, pictures, overlays, scenes, events, roles, exports, reports, the answer form.

These are plain ASGI, in front of Dash's middleware, which costs more than a tile does. Every part of an address is
checked; what does not exist is 404, what a role may not see is 403, and nothing that is asked makes a 500.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import date
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import zstandard
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard.asking import Asking
from dashboard.citing import export_layer
from dashboard.inset import NO_PICTURE, inset
from dashboard.journal_desk import JournalDesk
from dashboard.late_scripts import LateScripts
from dashboard.operating import Operating
from dashboard.overlays import KINDS, overlay
from dashboard.pages.context import House
from dashboard.palette import GROUNDS, RAMPS, lookup
from dashboard.picturing import Picturing
from dashboard.planning import EVENTS, Planning
from dashboard.probing import Probing
from dashboard.push import Push, version_of
from dashboard.residual_desk import ResidualDesk
from dashboard.roles import COOKIE, ROLES, may
from dashboard.runs import NOW
from dashboard.scales import GAP_LAYERS, SCALES
from dashboard.scene import Viewer, live_scene, night_scene
from dashboard.security import Headers
from dashboard.sheet_route import Sheets, own_link
from dashboard.signing_in import SigningIn
from dashboard.tiles import Block, compress, render
from dashboard.view_sheet import code
from dashboard.watched import Watched
from dashboard.words import DEFAULT, LANGUAGES, words
from sensors.errors import NoctuleError
from sensors.night import Night, parse_rfc3339

FOR_EVER = (b"cache-control", b"private, max-age=31536000, immutable")
NEVER = (b"cache-control", b"no-store")
PALETTE_LAYERS = tuple(RAMPS)
EXPORTS = {
    "netcdf": ("application/x-netcdf", "nc"),
    "cog": ("image/tiff", "tif"),
    "csv": ("text/csv", "csv"),
    "geojson": ("application/geo+json", "geojson"),
    "geoparquet": ("application/vnd.apache.parquet", "parquet"),
}
LIGHTING = {
    "json": ("application/json", "json"),
    "csv": ("text/csv", "csv"),
    "geojson": ("application/geo+json", "geojson"),
}

_TILES = re.compile(
    r"/tiles/v/(?P<city>[a-z0-9-]{1,64})/(?P<layer>[a-z_]{1,20})/(?P<run>[A-Za-z0-9_.-]{1,80})/(?P<frame>\d{1,4})/"
    r"(?P<version>[0-9a-z]{1,24})/(?P<zoom>\d{1,2})/(?P<x0>\d{1,7})-(?P<x1>\d{1,7})/(?P<y0>\d{1,7})-(?P<y1>\d{1,7})\.bin",
    re.ASCII,
)
_BASE = re.compile(
    r"/base/(?P<digest>[0-9a-f]{12})/(?P<zoom>\d{1,2})/(?P<x>\d{1,7})/(?P<y>\d{1,7})(?P<retina>@2x)?\.png", re.ASCII
)
_INSET = re.compile(
    r"/inset/(?P<layer>[a-z_]{1,20})/(?P<run>[A-Za-z0-9_.-]{1,80})/(?P<frame>\d{1,4})/(?P<version>[0-9a-z]{1,16})"
    r"(?:/(?P<ground>dark|light|contrast))?\.png",
    re.ASCII,
)
_OVERLAY = re.compile(r"/overlay/(?P<kind>[a-z]{1,12})\.json")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_LIGHTING_KEPT_S = 600.0  # a city's table takes seconds, and lamps and streets change by the day
_REPORT_KEPT_S = 60.0  # one takes seconds to gather; who presses twice waits once
_OVERLAY_KEPT_S = 20.0  # lamps' last words are gathered from the night's records; not oftener than this

Answer = tuple[int, Headers, bytes]
_GONE: Answer = (404, [NEVER], b"")
_FORBIDDEN: Answer = (403, [NEVER], b"")

_log = logging.getLogger("noctule.dashboard")


class Routes:
    """The ASGI application in front of Dash."""

    def __init__(self, house: House, push: Push, late: LateScripts, dash: ASGIApp, signing: SigningIn) -> None:
        self._house, self._push, self._late, self._dash = house, push, late, dash
        self._overlays: dict[tuple[str, str, bool, str], tuple[float, bytes]] = {}
        self._tables: dict[tuple[str, str], tuple[float, bytes | str]] = {}
        self._reports: dict[tuple[str, str], tuple[float, bytes]] = {}
        self._asking = Asking(house)
        self._planning = Planning(house)
        self._sheets = Sheets(house, self._role_of)
        self._operating = Operating(house, self._role_of)
        self._signing = signing
        self._probing, self._picturing, self._desk = Probing(house), Picturing(house), ResidualDesk(house)
        self._watched = Watched(house, self._role_of)
        self._journal = JournalDesk(house, self._role_of)
        self._exporting = asyncio.Semaphore(1)  # an export reads a whole night; one at a time is enough for a desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._dash(scope, receive, send)
            return
        path: str = scope["path"]
        first = path.split("/", 2)[1] if "/" in path else ""
        if first == "live" and path == "/live/events":
            await self._events(scope, receive, send)
            return
        if path == EVENTS:
            await self._planning.events(scope, receive, send)
            return
        route = self._route(first)
        if route is None:
            await self._dash(scope, receive, send)
            return
        try:
            status, headers, body = await route(scope, receive)
        except Exception:
            _log.exception("a request failed: %s", path[:200])
            status, headers, body = 503, [NEVER], b""
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _route(self, first: str) -> Callable[[Scope, Receive], Awaitable[Answer]] | None:
        routes: dict[str, Callable[[Scope, Receive], Awaitable[Answer]]] = {
            "tiles": self._tiles,
            "base": self._base,
            "palette": self._palette,
            "overlay": self._overlay,
            "inset": self._inset,
            "live": self._scene,
            "role": self._role,
            "export": self._export,
            "lighting": self._lighting,
            "report": self._report,
            "qr.svg": self._qr,
            "ask": self._asking,
            "planning": self._planning,
            "probes": self._probes,
            "picture": self._picture,
            "residuals": self._residuals,
            "late": self._late_script,
            "sheet": self._sheets,
            "operations.json": self._operating,
            "sign-in": self._signing,
            "sign-out": self._signing,
            "watch": self._watched,
            "journal": self._journal,
        }
        return routes.get(first)

    async def _tiles(self, scope: Scope, _receive: Receive) -> Answer:
        match = _TILES.fullmatch(scope["path"])
        if match is None or match["city"] != self._house.city.id or match["layer"] not in SCALES:
            return _GONE
        if not self._house.may_run(self._role_of(scope), match["run"]):
            return _FORBIDDEN
        block = Block(*(int(match[name]) for name in ("zoom", "x0", "x1", "y0", "y1")))
        if not block.valid or block.zoom > max(8, self._house.runs.frame.native_zoom):
            return _GONE
        encoding = _encoding(scope)
        key = (match["run"], match["layer"], int(match["frame"]), match["version"], block, encoding)
        body = self._house.runs.bodies.get(key)
        if body is None:
            body = await asyncio.to_thread(self._tile_body, key)
        if body is None:
            return _GONE
        if not body:
            return 204, [NEVER], b""
        return 200, [
            (b"content-type", b"application/octet-stream"), (b"content-encoding", encoding.encode()),
            (b"vary", b"accept-encoding"), FOR_EVER,
        ], body  # fmt: skip

    def _tile_body(self, key: tuple[str, str, int, str, Block, str]) -> bytes | None:
        run, layer, frame, version, block, encoding = key
        opened = self._house.runs.at(run, frame, version)
        levels = self._house.runs.levels(run, layer, frame, version)
        if levels is None or opened is None:
            # Replaced meanwhile, which is no error and must not look like one in the browser's console.
            return b"" if self._house.runs.has(run, layer, frame) else None
        body = compress(render(opened.frame, levels, block), encoding)
        self._house.runs.bodies.put(key, body)
        return body

    async def _base(self, scope: Scope, _receive: Receive) -> Answer:
        match = _BASE.fullmatch(scope["path"])
        if match is None or match["digest"] not in self._house.basemap.digests.values():
            return _GONE
        place = (int(match["zoom"]), int(match["x"]), int(match["y"]))
        ground = next(name for name, digest in self._house.basemap.digests.items() if digest == match["digest"])
        body = await asyncio.to_thread(self._house.basemap.tile, *place, 2 if match["retina"] else 1, ground)
        return _GONE if body is None else (200, [(b"content-type", b"image/png"), FOR_EVER], body)

    async def _palette(self, scope: Scope, _receive: Receive) -> Answer:
        base, _, ground = scope["path"].removesuffix(".bin").rpartition("/")
        if base != self._house.palette or ground not in GROUNDS or not scope["path"].endswith(".bin"):
            return _GONE
        return (
            200,
            [(b"content-type", b"application/octet-stream"), (b"content-encoding", b"gzip"), FOR_EVER],
            palettes(ground),
        )

    async def _late_script(self, scope: Scope, _receive: Receive) -> Answer:
        found = self._late.body(scope["path"])
        if found is None:
            return _GONE
        media, body = found
        return 200, [(b"content-type", media), (b"content-encoding", b"gzip"), FOR_EVER], body

    async def _inset(self, scope: Scope, _receive: Receive) -> Answer:
        """A layer of the whole city as a small picture: the gap between groups beside the map of everyone."""
        match = _INSET.fullmatch(scope["path"])
        if match is None or match["layer"] not in GAP_LAYERS:
            return _GONE
        if not self._house.may_run(self._role_of(scope), match["run"]):
            return _FORBIDDEN
        key = (match["run"], match["layer"], int(match["frame"]), match["version"], "inset", match["ground"] or "dark")
        body = self._house.runs.bodies.get(key)
        if body is None:
            body = await asyncio.to_thread(self._inset_body, key)
        if body is None:
            return _GONE
        return 200, [(b"content-type", b"image/png"), FOR_EVER], body

    def _inset_body(self, key: tuple[str, str, int, str, str, str]) -> bytes | None:
        levels = self._house.runs.levels(*key[:4])
        if levels is None:
            # Replaced meanwhile, which is no error: an empty picture until the page asks for the next one.
            return NO_PICTURE if self._house.runs.has(*key[:3]) else None
        body = inset(levels, key[1], key[5])
        self._house.runs.bodies.put(key, body)
        return body

    async def _qr(self, scope: Scope, _receive: Receive) -> Answer:
        """An address of this server as a picture for phones; of no other server's, else we would vouch for it."""
        to = own_link(scope, _query(scope).get("to", ""))
        if scope["path"] != "/qr.svg" or not to:
            return _GONE
        return 200, [(b"content-type", b"image/svg+xml"), NEVER], code(to).encode()

    async def _overlay(self, scope: Scope, _receive: Receive) -> Answer:
        match = _OVERLAY.fullmatch(scope["path"])
        if match is None or match["kind"] not in KINDS:
            return _GONE
        if match["kind"] == "sensors" and not may(self._role_of(scope), "sensors"):
            return _FORBIDDEN
        tonight = may(self._role_of(scope), "live")
        language, encoding = _query(scope).get("lang", ""), _encoding(scope)
        body = await asyncio.to_thread(self._overlay_body, match["kind"], language, tonight, encoding)
        told = [(b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding")]
        return 200, [(b"content-type", b"application/json"), *told, NEVER], body

    def _overlay_body(self, kind: str, language: str, tonight: bool, encoding: str) -> bytes:
        key = (kind, language if language in LANGUAGES else "", tonight, encoding)
        made, body = self._overlays.get(key, (-1e9, b""))
        if time.monotonic() - made > _OVERLAY_KEPT_S:
            content = overlay(self._house.city, kind, words(language), tonight=tonight)
            text = json.dumps(content, separators=(",", ":")).encode()
            body = zstandard.ZstdCompressor(level=9).compress(text) if encoding == "zstd" else gzip.compress(text, 6)
            self._overlays[key] = (time.monotonic(), body)
        return body

    async def _scene(self, scope: Scope, _receive: Receive) -> Answer:
        if scope["path"] != "/live/scene":
            return _GONE
        query = _query(scope)
        viewer = Viewer(self._role_of(scope), words(query.get("lang")))
        body = await asyncio.to_thread(self._scene_body, viewer, query.get("run", ""))
        if body is None:
            return _FORBIDDEN
        return 200, [(b"content-type", b"application/json"), NEVER], body

    def _scene_body(self, viewer: Viewer, run: str) -> bytes | None:
        house = self._house
        if run and run != "none" and not house.may_run(viewer.role, run):
            return None
        standing = version_of(house.runs.stamp(NOW))  # before it is read: what changes meanwhile is asked for again
        scene = (
            night_scene(house.runs, house.clock, viewer, run) if run else live_scene(house.runs, house.clock, viewer)
        )
        if may(viewer.role, "live"):
            scene["standing"] = standing
        return json.dumps(scene, separators=(",", ":"), default=_plain).encode()

    async def _events(self, scope: Scope, receive: Receive, send: Send) -> None:
        role = self._role_of(scope)
        stream = self._push.listen(role)
        first = await anext(stream)
        headers = [(b"content-type", b"text/event-stream"), NEVER, (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            while not gone.done():
                event = asyncio.ensure_future(anext(stream))
                await asyncio.wait({event, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not event.done():
                    event.cancel()
                    break
                # This process ends, or who listens was signed out or changed: the browser comes again.
                if isinstance(event.exception(), StopAsyncIteration) or self._role_of(scope) != role:
                    await send({"type": "http.response.body", "body": b""})
                    break
                await send({"type": "http.response.body", "body": event.result(), "more_body": True})
        except (asyncio.CancelledError, OSError):
            pass  # the server stops, or the browser went while we wrote
        finally:
            gone.cancel()

    async def _role(self, scope: Scope, receive: Receive) -> Answer:
        if scope["path"] != "/role" or scope["method"] != "POST":
            return _GONE
        if not self._house.switch:
            return _FORBIDDEN
        chosen = (await _body(receive, 200)).decode("ascii", "replace").removeprefix("role=")
        if chosen not in ROLES:
            return _GONE
        cookie = f"{COOKIE}={chosen}; Path=/; HttpOnly; SameSite=Strict"
        return 204, [NEVER, (b"set-cookie", cookie.encode())], b""

    async def _export(self, scope: Scope, _receive: Receive) -> Answer:
        query = _query(scope)
        kind, night = query.get("format", ""), query.get("night", "")
        if scope["path"] != "/export" or kind not in EXPORTS or not _is_date(night):
            return _GONE
        if not may(role := self._role_of(scope), "export") or not self._house.may_run(role, night):
            return _FORBIDDEN
        layer, step = query.get("layer"), None
        try:
            step = parse_rfc3339(query["step"]) if query.get("step") else None
        except ValueError:
            return _GONE
        async with self._exporting:
            body = await asyncio.to_thread(self._export_body, night, kind, layer and export_layer(layer), step)
        if isinstance(body, str):
            return 404, [NEVER, (b"content-type", b"text/plain; charset=utf-8")], body.encode()
        media, suffix = EXPORTS[kind]
        name = f'attachment; filename="{self._house.city.id}-{night}.{suffix}"'
        return 200, [(b"content-type", media.encode()), (b"content-disposition", name.encode()), NEVER], body

    def _export_body(self, night: str, kind: str, layer: str | None, step: np.datetime64 | None) -> bytes | str:
        from analytics.export import export

        with tempfile.TemporaryDirectory(prefix="noctule-export-") as folder:
            out = Path(folder) / f"{night}.{EXPORTS[kind][1]}"
            try:
                export(self._house.city, Night.named(night, self._house.city.zone), kind, out, layer=layer, step=step)
            except NoctuleError as error:
                return str(error)
            return out.read_bytes()

    async def _lighting(self, scope: Scope, _receive: Receive) -> Answer:
        """Required, computed and measured light of every section at an hour of a typical night, for planners."""
        query = _query(scope)
        kind, hour = query.get("format", "json"), query.get("hour", "23:00")
        if scope["path"] != "/lighting" or kind not in LIGHTING or not _CLOCK.fullmatch(hour):
            return _GONE
        if not may(self._role_of(scope), "lighting"):
            return _FORBIDDEN
        async with self._exporting:
            body = await asyncio.to_thread(self._lighting_body, kind, hour)
        if isinstance(body, str):
            return 404, [NEVER, (b"content-type", b"text/plain; charset=utf-8")], body.encode()
        media, suffix = LIGHTING[kind]
        name = f'attachment; filename="{self._house.city.id}-lighting-{hour.replace(":", "")}.{suffix}"'
        return 200, [(b"content-type", media.encode()), (b"content-disposition", name.encode()), NEVER], body

    def _lighting_body(self, kind: str, hour: str) -> bytes | str:
        from analytics.lighting_table import lighting_table

        made, body = self._tables.get((kind, hour), (-1e9, b""))
        if time.monotonic() - made > _LIGHTING_KEPT_S:
            try:
                table = lighting_table(self._house.city, hours=(hour,))
            except NoctuleError as error:
                return str(error)
            body = (table.csv() if kind == "csv" else table.geojson() if kind == "geojson" else table.json()).encode()
            self._tables = {(kind, hour): (time.monotonic(), body)}  # the last one asked for; a city's has megabytes
        return body

    async def _probes(self, scope: Scope, receive: Receive) -> Answer:
        return await self._probing.answer(scope, receive, self._role_of(scope))

    async def _residuals(self, scope: Scope, receive: Receive) -> Answer:
        return await self._desk.answer(scope, receive, self._role_of(scope))

    async def _picture(self, scope: Scope, receive: Receive) -> Answer:
        return await self._picturing.answer(scope, receive, self._role_of(scope))

    async def _report(self, scope: Scope, _receive: Receive) -> Answer:
        """The night report of a night that has pages, as a PDF."""
        query = _query(scope)
        night, language = query.get("night", ""), query.get("lang", "")
        if scope["path"] != "/report" or not _is_date(night):
            return _GONE
        if not may(role := self._role_of(scope), "report") or not self._house.may_run(role, night):
            return _FORBIDDEN
        language = language if language in LANGUAGES else DEFAULT
        if night not in self._house.runs.nights():
            return _GONE
        async with self._exporting:
            body = await asyncio.to_thread(self._report_body, night, language)
        if isinstance(body, str):
            return 404, [NEVER, (b"content-type", b"text/plain; charset=utf-8")], body.encode()
        name = f'attachment; filename="{self._house.city.id}-{night}-report.{language}.pdf"'
        return 200, [(b"content-type", b"application/pdf"), (b"content-disposition", name.encode()), NEVER], body

    def _report_body(self, night: str, language: str) -> bytes | str:
        from analytics.night_facts import night_facts
        from analytics.night_report import report_pdf
        from analytics.phrases import phrases

        made, body = self._reports.get((night, language), (-1e9, b""))
        if time.monotonic() - made > _REPORT_KEPT_S:
            city = self._house.city
            try:
                body = report_pdf(night_facts(city, [Night.named(night, city.zone)]), phrases(language))
            except NoctuleError as error:
                return str(error)
            self._reports = {(night, language): (time.monotonic(), body)}  # the last one asked for
        return body

    def _role_of(self, scope: Scope) -> str:
        return self._house.visitors.of(scope).role


@lru_cache(maxsize=len(GROUNDS))
def palettes(ground: str) -> bytes:
    """The colour tables of all layers on a ground, in the order of `PALETTE_LAYERS`, gzipped."""
    return gzip.compress(b"".join(lookup(layer, ground).tobytes() for layer in PALETTE_LAYERS), 9, mtime=0)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive, most: int) -> bytes:
    body = b""
    while len(body) <= most:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body[:most]


def _header(scope: Scope, name: bytes) -> bytes:
    return b", ".join(value for key, value in scope["headers"] if key == name)


def _encoding(scope: Scope) -> str:
    return "zstd" if b"zstd" in _header(scope, b"accept-encoding") else "gzip"


def _query(scope: Scope) -> dict[str, str]:
    given = parse_qs(scope["query_string"][:2000].decode("latin-1"))
    return {name: values[0] for name, values in given.items()}


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be sent")
