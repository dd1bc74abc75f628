"""Answers /sheet: a view of the map as a PDF, one at a time, kept for a minute."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, urlsplit

from starlette.types import Receive, Scope

from dashboard.pages.context import House
from dashboard.security import Headers
from dashboard.view_sheet import View, run_of, view_of, view_sheet
from dashboard.words import Words, words
from sensors.errors import NoctuleError

_KEPT_S = 60.0  # who presses twice, or sends the address on, waits once
_MOST_KEPT = 8
_LONGEST_LINK = 600  # more than any view of ours has; the code of a longer one no phone reads across a room
_NEVER = (b"cache-control", b"no-store")

Answer = tuple[int, Headers, bytes]
_Key = tuple[View, str, str, str]


class Sheets:
    """The sheets of a city."""

    def __init__(self, house: House, role_of: Callable[[Scope], str]) -> None:
        self._house, self._role_of = house, role_of
        self._kept: dict[_Key, tuple[float, bytes]] = {}
        self._setting = asyncio.Semaphore(1)  # one takes a second of a core

    async def __call__(self, scope: Scope, _receive: Receive) -> Answer:
        """Answer one request."""
        query = _query(scope)
        view = view_of(query)
        if scope["path"] != "/sheet" or scope["method"] not in ("GET", "HEAD") or view is None:
            return 404, [_NEVER], b""
        role, say = self._role_of(scope), words(query.get("lang"))
        if not self._house.may_run(role, view.run):
            return 403, [_NEVER], b""
        run = run_of(self._house, role, view)
        if run is None:
            return _told(404, say("details.gone"))
        link = own_link(scope, query.get("to", ""))
        # The version is part of the key: a step that is mapped anew must not be printed as it was.
        key = (view, role, say.language, f"{run.versions[view.frame]} {link}")
        async with self._setting:
            body = await asyncio.to_thread(self._body, key, say, link)
        if isinstance(body, str):
            return _told(503, body)
        if body is None:
            return _told(404, say("details.gone"))
        stem = f"{self._house.city.id}-{run.name}-{view.layer}.{say.language}.pdf"
        name = f'attachment; filename="{stem}"'.encode()
        return 200, [(b"content-type", b"application/pdf"), (b"content-disposition", name), _NEVER], body

    def _body(self, key: _Key, say: Words, link: str) -> bytes | str | None:
        now = time.monotonic()
        self._kept = {one: held for one, held in self._kept.items() if now - held[0] <= _KEPT_S}
        if key in self._kept:
            return self._kept[key][1]
        try:
            body = view_sheet(self._house, key[1], key[0], say, link)
        except (NoctuleError, OSError) as error:
            return str(error)
        if body is not None:
            while len(self._kept) >= _MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = (now, body)
        return body


def _told(status: int, text: str) -> Answer:
    return status, [_NEVER, (b"content-type", b"text/plain; charset=utf-8")], text.encode()


def own_link(scope: Scope, to: str) -> str:
    """An address of this server, to be printed or drawn as a code; of no other's, else we would vouch for it."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    try:
        parts = urlsplit(to)
    except ValueError:
        return ""
    ours = bool(hosts) and parts.netloc == hosts[0].decode("latin-1") and parts.scheme in ("http", "https")
    return to if ours and len(to) <= _LONGEST_LINK and to.isascii() and to.isprintable() else ""


def _query(scope: Scope) -> Mapping[str, str]:
    given = parse_qs(scope["query_string"][:3000].decode("latin-1"))
    return {name: values[0] for name, values in given.items()}
