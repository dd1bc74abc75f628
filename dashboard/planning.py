"""Answers the addresses under /planning: lamps, scenarios, jobs and their progress, for planners.

Every address asks for the role 'plan' before anything else. What is refused is told as `{"error": sentence}` in the
page's language, with what is wrong with a file beside it as `details`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import shapely
from pyproj import Transformer
from starlette.types import Receive, Scope, Send

from analytics import atlas
from analytics.scenario import parse_scenario, scenario_text
from dashboard.allowance import Allowance
from dashboard.changed_lamps import as_csv, as_geojson, changed_lamps
from dashboard.lamp_list import LampList
from dashboard.pages.context import House
from dashboard.pages.plan import scenario_rows
from dashboard.plan_jobs import FullError, PlanJobs
from dashboard.roles import may
from dashboard.scenarios import Kept, Scenarios, StaleError, changes_of
from dashboard.security import Headers, refuse, whole_body
from dashboard.words import Words, words
from sensors.errors import NoctuleError, ScenarioError

EVENTS = "/planning/events"
MOST_LISTENERS = 100
HEARTBEAT_S = 15.0
_LOOK_S = 0.4
_SNAP_M = 30.0  # a new lamp is put to the nearest street, no farther than this
_SAVES_PER_MINUTE = 120  # a page saves once a second at most; everybody together four times as often
_FOR_EVER = (b"cache-control", b"private, max-age=31536000, immutable")
_NEVER = (b"cache-control", b"no-store")
_JSON = (b"content-type", b"application/json")
_GZIP = (b"content-encoding", b"gzip")
_FILES = {"toml": "application/toml", "csv": "text/csv", "geojson": "application/geo+json"}

Answer = tuple[int, Headers, bytes]
_GONE: Answer = (404, [_NEVER], b"")
_FORBIDDEN: Answer = (403, [_NEVER], b"")

_log = logging.getLogger("noctule.dashboard")


class Planning:
    """What is under /planning for one city."""

    def __init__(self, house: House) -> None:
        self._house, self._city = house, house.city
        self.lamps = LampList(house.city)
        self.scenarios = Scenarios(house.city)
        self.jobs = PlanJobs(house.city, house.clock, self.scenarios)
        self._saves = Allowance(60 * _SAVES_PER_MINUTE, _SAVES_PER_MINUTE, 4 * _SAVES_PER_MINUTE)
        self._listening = 0

    async def __call__(self, scope: Scope, receive: Receive) -> Answer:
        """Answer one request."""
        if not may(self._role_of(scope), "plan"):
            return _FORBIDDEN
        parts = scope["path"].removeprefix("/planning/").split("/")
        query = _query(scope)
        say = words(query.get("lang"))
        work: Callable[[], Answer] | None
        if scope["method"] in ("GET", "HEAD"):
            work = self._get(parts, query, say)
        elif scope["method"] == "POST":
            body = await whole_body(receive)
            if body is None:
                return _refused(413, say("desk.wrong_body"))
            who = self._house.who()  # behind a proxy all come from one address
            if not self._saves.admit(who.key or who.address, time.monotonic()):
                return _refused(429, say("desk.wrong_often"))
            work = self._post(parts, body, scope, say)
        else:
            return 405, [_NEVER, (b"allow", b"GET, HEAD, POST")], b""
        if work is None:
            return _GONE
        return await asyncio.to_thread(_told, work, say)

    async def events(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The stream of jobs: all of them at first, then each that changes."""
        if not may(self._role_of(scope), "plan"):
            await refuse(send, 403)
            return
        if self._listening >= MOST_LISTENERS:
            await refuse(send, 503)
            return
        self._listening += 1
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            headers = [(b"content-type", b"text/event-stream"), _NEVER, (b"x-accel-buffering", b"no")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
            told, quiet = "", time.monotonic()
            while not gone.done():
                visitor = await asyncio.to_thread(self._house.visitors.of, scope)
                if not may(visitor.role, "plan"):
                    break  # signed out meanwhile
                jobs = await asyncio.to_thread(self.jobs.all)
                text = json.dumps([asdict(job) for job in jobs], separators=(",", ":"))
                if text != told:
                    told, quiet = text, time.monotonic()
                    await send({"type": "http.response.body", "body": f"data: {text}\n\n".encode(), "more_body": True})
                elif time.monotonic() - quiet > HEARTBEAT_S:
                    quiet = time.monotonic()
                    await send({"type": "http.response.body", "body": b": heartbeat\n\n", "more_body": True})
                await asyncio.wait({gone}, timeout=_LOOK_S)
        except (asyncio.CancelledError, OSError):
            pass  # the server stops, or the browser went while we wrote
        finally:
            self._listening -= 1
            gone.cancel()

    def _get(self, parts: list[str], query: Mapping[str, str], say: Words) -> Callable[[], Answer] | None:
        match parts:
            case ["lamps"]:
                return lambda: (302, [(b"location", self.lamps.address.encode()), _NEVER], b"")
            case ["lamps", "now.json"]:
                return lambda: (200, [_JSON, _GZIP, _NEVER], self.lamps.now())
            case ["lamps", name] if name.endswith(".json"):
                return lambda: self._lamps(name.removesuffix(".json"))
            case ["scenarios"]:
                return lambda: _json({"scenarios": [asdict(kept) for kept in self.scenarios.all()]})
            case ["scenarios", number] if _is_number(number):
                return lambda: self._scenario(int(number), query.get("version", ""))
            case ["scenarios", number, file] if _is_number(number):
                return lambda: self._file(int(number), file, query.get("version", ""))
            case ["jobs"]:
                return lambda: _json({"jobs": [asdict(job) for job in self.jobs.all()]})
            case ["results"]:
                return lambda: self._results(query.get("names", ""), say)
            case ["snap"]:
                return lambda: self._snap(query, say)
        return None

    def _post(self, parts: list[str], body: bytes, scope: Scope, say: Words) -> Callable[[], Answer] | None:
        author = self._author(scope)
        if parts == ["import"]:
            return lambda: self._import(body, author)
        given = _table(body, scope)
        if given is None:
            return lambda: _refused(400, say("desk.wrong_body"))
        match parts:
            case ["scenarios"]:
                return lambda: self._create(given, author)
            case ["scenarios", number] if _is_number(number):
                return lambda: self._save(int(number), given, author)
            case ["scenarios", number, "keep"] if _is_number(number):
                return lambda: self._keep(int(number))
            case ["jobs"]:
                return lambda: self._ask(given, author, say)
            case ["jobs", number, "cancel"] if _is_number(number):
                return lambda: _json({}) if self.jobs.cancel(int(number)) else _GONE
        return None

    def _lamps(self, digest: str) -> Answer:
        known, body = self.lamps.body()
        if digest != known:
            return _GONE
        return 200, [_JSON, _GZIP, _FOR_EVER, (b"etag", f'"{known}"'.encode())], body

    def _scenario(self, number: int, version: str) -> Answer:
        kept = self.scenarios.get(number)
        if kept is None or (version and not _is_number(version)):
            return _GONE
        changes = self.scenarios.changes(number, int(version) if version else kept.version)
        if changes is None:
            return _GONE
        return self._whole(kept, changes)

    def _whole(self, kept: Kept, changes: list[dict[str, Any]]) -> Answer:
        return _json(asdict(kept) | {"changes": changes, "versions": self._versions(kept.id)})

    def _versions(self, number: int) -> list[dict[str, Any]]:
        return [asdict(version) for version in self.scenarios.versions(number)]

    def _create(self, given: Mapping[str, Any], author: str) -> Answer:
        now = self._now()
        if "copy" in given:
            source = self.scenarios.get(given["copy"]) if _is_count(given["copy"]) else None
            if source is None:
                return _GONE
            changes = self.scenarios.changes(source.id, source.version) or []
            kept = self.scenarios.create(str(given.get("title", source.title)), changes, author, now)
        else:
            changes = changes_of(given)
            kept = self.scenarios.create(str(given.get("title", "")), changes, author, now)
        return self._whole(kept, changes)

    def _save(self, number: int, given: Mapping[str, Any], author: str) -> Answer:
        revision, title, archived = given.get("revision"), given.get("title"), given.get("archived")
        if not _is_count(revision) or not isinstance(title, str | None) or not isinstance(archived, bool | None):
            raise ScenarioError("a save needs the revision that it began from")
        changes = changes_of(given) if "changes" in given else None
        try:
            kept = self.scenarios.save(
                number, int(revision or 0), author, self._now(), title=title, changes=changes, archived=archived
            )
        except StaleError as stale:
            current = stale.current
            theirs = self.scenarios.changes(current.id, current.version) or []
            return 409, [_JSON, _NEVER], _bytes({"current": asdict(current) | {"changes": theirs}})
        if archived is not None:
            self._house.note("scenario archived" if archived else "scenario out of the archive", kept.name)
        return _json(asdict(kept) | {"versions": self._versions(number)})

    def _keep(self, number: int) -> Answer:
        kept = self.scenarios.get(number)
        if kept is None:
            return _GONE
        self.scenarios.keep(number, kept.version)
        return _json({"versions": self._versions(number)})

    def _import(self, body: bytes, author: str) -> Answer:
        """A scenario of a file, checked as `noctule plan` checks it."""
        try:
            content = tomllib.loads(body.decode("utf-8"))
        except (ValueError, RecursionError) as error:  # also of a number of thousands of digits
            raise ScenarioError(f"the file is not TOML: {error}") from error
        scenario = parse_scenario(content, self._city, "the file", "imported")
        kept = self.scenarios.create(scenario.title, content["change"], author, self._now(), scenario.name)
        self._house.note("scenario imported", kept.name)
        return self._whole(kept, content["change"])

    def _ask(self, given: Mapping[str, Any], author: str, say: Words) -> Answer:
        kept = self.scenarios.get(given["scenario"]) if _is_count(given.get("scenario")) else None
        if kept is None:
            return _GONE
        if not self.scenarios.changes(kept.id, kept.version):
            return _refused(400, say("desk.wrong_empty"))
        if self._house.limits.wait_s("jobs", self._house.who()):
            return _refused(429, say("desk.wrong_runs"))
        try:
            number = self.jobs.ask(kept, author)
        except FullError:
            return _refused(429, say("desk.wrong_full"))
        self._house.note("scenario computed", f"{kept.name} version {kept.version}")
        return _json({"job": number})

    def _file(self, number: int, file: str, version: str) -> Answer:
        """What goes out: the scenario itself, or the lamps that it changes with their asset ids."""
        kind = file.removeprefix("scenario.") if file.startswith("scenario.") else file.removeprefix("lamps.")
        kept = self.scenarios.get(number)
        known = {"scenario.toml", "lamps.csv", "lamps.geojson"}
        if kept is None or file not in known or (version and not _is_number(version)):
            return _GONE
        content = self.scenarios.content(kept, int(version) if version else None)
        if not content["change"]:
            return _GONE
        if kind == "toml":
            text = scenario_text(content)
        else:
            rows = changed_lamps(parse_scenario(content, self._city, "scenario"), self._city)
            about = {"scenario": kept.name, "title": kept.title, "version": int(version or kept.version)}
            settings = self._city.settings
            about |= {"attribution": list(settings.attribution), "licence": settings.licence}
            text = as_csv(rows) if kind == "csv" else as_geojson(rows, about)
        ending = "toml" if kind == "toml" else f"lamps.{kind}"
        name = f'attachment; filename="{self._city.id}-{kept.name}.{ending}"'
        media = f"{_FILES[kind]}; charset=utf-8"
        return 200, [(b"content-type", media.encode()), (b"content-disposition", name.encode()), _NEVER], text.encode()

    def _results(self, names: str, say: Words) -> Answer:
        """What planned scenarios would change, in words, for a table of two."""
        told = {}
        for name in names.split(",")[:2]:
            meta = atlas.plan_meta(self._city, name) if name in self._house.runs.plans() else None
            if meta is not None:
                told[name] = {"title": str(meta.get("title") or name), "rows": scenario_rows(meta, say)}
        return _json({"results": told})

    def _snap(self, query: Mapping[str, str], say: Words) -> Answer:
        """The place at the kerb of the nearest street, for a lamp that is put somewhere near it."""
        try:
            longitude, latitude = float(query["longitude"]), float(query["latitude"])
        except (KeyError, ValueError):
            return _GONE
        west, south, east, north = self._house.runs.frame.bounds_lonlat
        if not (west <= longitude <= east and south <= latitude <= north):
            return _refused(400, say("desk.wrong_outside"))
        tree, lines, half = self._kerbs
        to, back = self._projections
        point = shapely.Point(*to.transform(longitude, latitude))
        near = tree.query_nearest(point, max_distance=_SNAP_M, all_matches=False)
        if not len(near):
            return _json({"longitude": longitude, "latitude": latitude, "snapped": False})
        line, aside = lines[near[0]], half[near[0]]
        foot = line.interpolate(line.project(point))
        away = np.array([point.x - foot.x, point.y - foot.y])
        length = float(np.hypot(*away))
        place = np.array([foot.x, foot.y]) + (away / length * aside if length > 0 else 0.0)
        x, y = back.transform(float(place[0]), float(place[1]))
        return _json({"longitude": round(x, 6), "latitude": round(y, 6), "snapped": True})

    @cached_property
    def _kerbs(self) -> tuple[Any, Any, Any]:
        streets = self._city.places("streets")
        lines = streets.geometry.to_numpy()
        return shapely.STRtree(lines), lines, np.nan_to_num(streets["width_m"].to_numpy(float), nan=6.0) / 2

    @cached_property
    def _projections(self) -> tuple[Any, Any]:
        there, here = "EPSG:4326", self._city.crs
        return Transformer.from_crs(there, here, always_xy=True), Transformer.from_crs(here, there, always_xy=True)

    def _now(self) -> np.datetime64:
        return self._house.clock.now()

    def _author(self, scope: Scope) -> str:
        """The name of who is signed in, else the role."""
        return self._house.who().name or self._role_of(scope)

    def _role_of(self, scope: Scope) -> str:
        return self._house.visitors.of(scope).role  # asked anew, since a stream outlives a session


def _told(work: Callable[[], Answer], say: Words) -> Answer:
    """An answer, or a sentence that says why there is none."""
    try:
        return work()
    except ScenarioError as error:
        return 400, [_JSON, _NEVER], _bytes({"error": say("desk.wrong_scenario"), "details": str(error)[:4000]})
    except NoctuleError as error:
        return 503, [_JSON, _NEVER], _bytes({"error": say("desk.wrong_server"), "details": str(error)[:1000]})


def _json(content: Mapping[str, Any]) -> Answer:
    return 200, [_JSON, _NEVER], _bytes(content)


def _bytes(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _refused(status: int, sentence: str) -> Answer:
    return status, [_JSON, _NEVER], _bytes({"error": sentence})


def _table(body: bytes, scope: Scope) -> dict[str, Any] | None:
    """A body as a JSON table; only of a request that says so, which no form of another site can."""
    kind = next((value for key, value in scope["headers"] if key == b"content-type"), b"")
    if not kind.startswith(b"application/json"):
        return None
    with contextlib.suppress(ValueError, RecursionError):
        content = json.loads(body or b"{}")
        if isinstance(content, dict):
            return content
    return None


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _query(scope: Scope) -> dict[str, str]:
    given = parse_qs(scope["query_string"][:2000].decode("latin-1"))
    return {name: values[0] for name, values in given.items()}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 9


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
