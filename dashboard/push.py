"""Tells browsers that something changed: server-sent events that carry {layer, version, time} and nothing else.

One watcher looks at the atlas's small commit files every 100 ms and at ingest's health every second; each browser has a
queue of its own. A browser then asks for the scene and for the tiles that it shows, so nothing is said here that a role
might not hear. `layer` is 'now', 'night', 'plan', 'public', 'health' or 'journal', and in the first event 'standing'.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from analytics import atlas
from dashboard.roles import may
from dashboard.runs import NOW, PLAN, Runs
from ingest.health import read_health
from sensors.clock import Clock
from sensors.errors import NoctuleError
from sensors.night import rfc3339

HEARTBEAT_S = 15.0
STANDING = "standing"
_LOOK_S = 0.1
_SLOW_S = 1.0

Event = dict[str, Any]


class Push:
    """The watcher and those who listen."""

    def __init__(self, runs: Runs, clock: Clock) -> None:
        self._runs, self._clock = runs, clock
        self._listeners: set[asyncio.Queue[Event | None]] = set()
        self._ended = False
        self._watcher: asyncio.Task[None] | None = None
        self._seen: dict[str, object] = {}

    @property
    def listening(self) -> int:
        """How many browsers listen to this process."""
        return len(self._listeners)

    async def listen(self, role: str) -> AsyncIterator[bytes]:
        """The bytes of an event stream for one browser; ends when the browser goes."""
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.get_running_loop().create_task(self._watch())
        queue: asyncio.Queue[Event | None] = asyncio.Queue(maxsize=64)
        self._listeners.add(queue)
        try:
            # What stands now: a page whose scene is older asks again, so that nothing falls between scene and stream.
            yield b"retry: 2000\n\n" + (encode(self._standing()) if may(role, "live") else b"")
            while not self._ended:
                try:
                    event = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
                except TimeoutError:
                    yield b": heartbeat\n\n"
                    continue
                if event is not None and heard_by(role, str(event["layer"])):
                    yield encode(event)
        finally:
            self._listeners.discard(queue)

    def end(self) -> None:
        """End all streams, because this process is about to; browsers come back to whoever answers next."""
        self._ended = True
        for queue in self._listeners:
            with contextlib.suppress(asyncio.QueueFull):  # it has something to read, and then ends
                queue.put_nowait(None)

    def _standing(self) -> Event:
        return {"layer": STANDING, "version": version_of(self._now()), "time": rfc3339(self._clock.now())}

    async def _watch(self) -> None:
        since_slow = _SLOW_S
        while self._listeners:
            since_slow += _LOOK_S
            for event in self._changes(slow=since_slow >= _SLOW_S):
                for queue in self._listeners:
                    with contextlib.suppress(asyncio.QueueFull):  # who does not read for so long asks anew
                        queue.put_nowait(event)
            if since_slow >= _SLOW_S:
                since_slow = 0.0
            await asyncio.sleep(_LOOK_S)

    def _changes(self, *, slow: bool) -> list[Event]:
        """What is new since the last look; the very first look is nobody's news."""
        looks: list[tuple[str, Callable[[], object]]] = [(NOW, self._now)]
        if slow:
            looks += [("night", self._night), ("public", self._public), ("plan", self._plans), ("health", self._health)]
            looks.append(("journal", self._journal))
        events = []
        for layer, look in looks:
            try:
                stamp = look()
            except (NoctuleError, OSError):
                continue
            if layer in self._seen and self._seen[layer] != stamp:
                events.append({"layer": layer, "version": version_of(stamp), "time": rfc3339(self._clock.now())})
            self._seen[layer] = stamp
        return events

    def _now(self) -> object:
        return self._runs.stamp(NOW)

    def _night(self) -> object:
        names = atlas.nights(self._runs.city)
        return (names[-1], self._runs.stamp(names[-1])) if names else None

    def _public(self) -> object:
        return tuple(atlas.nights(self._runs.city, "public"))

    def _plans(self) -> object:
        return tuple((name, self._runs.stamp(PLAN + name)) for name in self._runs.plans())

    def _journal(self) -> object:
        try:
            status = (self._runs.city.path / "journal" / "journal.csv").stat()
        except FileNotFoundError:  # before the first entry
            return None
        return status.st_mtime_ns, status.st_size

    def _health(self) -> object:
        health = read_health(self._runs.city)
        return health["state"], str(health.get("since"))


def heard_by(role: str, layer: str) -> bool:
    """Whether a role is told of a change."""
    if layer == "public":
        return True
    return may(role, "plan" if layer == "plan" else "live")


def encode(event: Event) -> bytes:
    """One event as it goes over the wire."""
    return f"data: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


def version_of(stamp: object) -> str:
    """A short name of a state; equal states have equal names in every web worker."""
    return hashlib.sha256(repr(stamp).encode()).hexdigest()[:12]
