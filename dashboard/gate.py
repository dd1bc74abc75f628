"""Stands before every handler: says who asks, holds back who asks too much, and keeps in the trail what was handed out.

What is refused for its role and what is handed out as a file is recorded here, by the answer itself, so that a handler
that comes later is recorded as well.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.audit import audit
from dashboard.pages.context import House
from dashboard.security import refuse
from dashboard.visitors import VISITOR, Visitor

# The first part of an address -> which limit it falls under.
KINDS = {
    "tiles": "tiles",
    "inset": "tiles",
    "_dash-update-component": "callbacks",
    "watch": "callbacks",
    "journal": "callbacks",
    "export": "exports",
    "report": "exports",
    "sheet": "exports",
    "lighting": "exports",
    "planning": "callbacks",
    "probes": "callbacks",
    "residuals": "callbacks",
    "picture": "exports",
    "operations.json": "callbacks",
}
_TOLD_AGAIN_S = 600.0  # a refusal of the same visitor under the same address is one line
_MOST_TOLD = 2000
_KEPT_QUERY = ("night", "from", "to", "format", "layer", "step", "hour", "run", "scenario", "lang")

_log = logging.getLogger("noctule.dashboard")


class Gate:
    """The ASGI application that stands between the door and the handlers."""

    def __init__(self, house: House, app: ASGIApp) -> None:
        self._house, self._app = house, app
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        house, path = self._house, str(scope["path"])
        first = path.split("/", 2)[1] if "/" in path else ""
        visitor = house.visitors.of(scope)
        kind = KINDS.get(first)
        if kind and (wait := house.limits.wait_s(kind, visitor)):
            await refuse(send, 429, [(b"retry-after", str(int(wait)).encode())])
            return
        if (streams := _is_stream(path)) and not house.limits.stream_begins(visitor):
            await refuse(send, 429, [(b"retry-after", b"30")])
            return
        told: list[tuple[str, str]] = []

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == 403:
                    told.append(("refused", first))
                elif message["status"] == 200 and _is_file(message):
                    told.append((first or "page", _asked(scope)))
            await send(message)

        within = VISITOR.set(visitor)
        try:
            await self._app(scope, receive, watched)
        finally:
            VISITOR.reset(within)
            if streams:
                house.limits.stream_ends(visitor)
        for what, detail in told:
            if what != "refused" or self._is_news(visitor, detail):
                await asyncio.to_thread(self._note, visitor, what, detail)

    def _is_news(self, visitor: Visitor, detail: str) -> bool:
        key, now = (visitor.key or visitor.address, detail), time.monotonic()
        if now - self._told.get(key, -1e9) < _TOLD_AGAIN_S:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        while len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)
        return True

    def _note(self, visitor: Visitor, what: str, detail: str) -> None:
        try:
            audit(self._house.visitors.desk, visitor.name, what, detail, visitor.role)
        except Exception:
            _log.exception("a line of the audit trail could not be kept")


def _is_stream(path: str) -> bool:
    return path.endswith("/events")


def _is_file(message: Message) -> bool:
    return any(
        name == b"content-disposition" and value.startswith(b"attachment") for name, value in message.get("headers", [])
    )


def _asked(scope: Scope) -> str:
    """What was asked for, by the parts of an address that say it; places and times of a view are nobody's business."""
    try:
        pairs = parse_qsl(scope["query_string"][:2000].decode("latin-1"), max_num_fields=30)
    except ValueError:
        return ""
    return " ".join(f"{name}={value[:60]}" for name, value in pairs if name in _KEPT_QUERY)
