"""Serves scripts and sheets compressed once and kept, instead of compressing a megabyte for every visitor.

Addresses that carry a fingerprint or a time stamp never change what they hold, so browsers keep them. What a page loads
is made before the first visitor asks (`prepare`): as zstd for browsers that know it, a tenth smaller, else as gzip.
Nothing else gets such pains: an address with any number behind it is another one, and each would hold everybody up.
"""

from __future__ import annotations

import asyncio
import gzip

import zstandard
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.page_scripts import addresses

_KEPT = ("/_dash-component-suites/", "/assets/", "/_favicon.ico")
_SQUEEZED = (b"javascript", b"css", b"json", b"html", b"svg")
_JSON_ADDRESSES = ("/_dash-update-component",)  # Dash sends it without saying what it is
_MOST = 200  # answers kept; a page needs about twenty
_SMALLEST = 800  # bytes; what fits a packet gains nothing


class Bundles:
    """Wraps an application; every answer worth it leaves compressed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: dict[tuple[str, str], list[Message]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        encoding = _best(scope) if scope["type"] == "http" else ""
        if not encoding:
            await self._app(scope, receive, send)
            return
        for message in await self._messages(scope, receive, encoding):
            await send(dict(message, headers=list(message["headers"])) if "headers" in message else message)

    async def prepare(self) -> None:
        """Compress what the first page loads, in every encoding, before somebody waits for it."""
        page: list[bytes] = []

        async def keep(message: Message) -> None:
            page.append(message.get("body", b""))

        await self._app(_asked("/", "", ""), _nothing_more(), keep)
        for address in addresses(b"".join(page).decode()):
            path, _, query = address.partition("?")
            for encoding in ("zstd", "gzip"):
                await self._messages(_asked(path, query, encoding), _nothing_more(), encoding, small=True)

    async def _messages(self, scope: Scope, receive: Receive, encoding: str, *, small: bool = False) -> list[Message]:
        address = scope["path"] + "?" + scope["query_string"].decode("latin-1"), encoding
        lasting = scope["method"] == "GET" and scope["path"].startswith(_KEPT)
        messages = self._kept.get(address) if lasting else None
        if messages is None:
            messages = await self._answer(scope, receive, encoding, lasting, small)
            if lasting and messages[0]["status"] == 200 and len(self._kept) < _MOST:
                self._kept[address] = messages
        return messages

    async def _answer(self, scope: Scope, receive: Receive, encoding: str, lasting: bool, small: bool) -> list[Message]:
        start: Message = {}
        parts: list[bytes] = []

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))

        # Conditional requests would be answered 304 without a body, which must not be kept.
        plain = dict(scope, headers=[(name, value) for name, value in scope["headers"] if not name.startswith(b"if-")])
        await self._app(plain, receive, keep)
        body = b"".join(parts)
        headers = [
            (name, value) for name, value in start["headers"] if name not in (b"content-length", b"cache-control")
        ]
        media = next((value for name, value in headers if name == b"content-type"), b"")
        if not media and scope["path"] in _JSON_ADDRESSES and body:
            media = b"application/json"
            headers.append((b"content-type", media))
        if len(body) > _SMALLEST and any(kind in media for kind in _SQUEEZED):
            body = _squeezed(body, encoding, small)
            headers += [(b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding")]
        kept = b"public, max-age=31536000, immutable" if lasting and start["status"] == 200 else b"no-store"
        headers += [(b"cache-control", kept), (b"content-length", str(len(body)).encode())]
        return [dict(start, headers=headers), {"type": "http.response.body", "body": body}]


def _best(scope: Scope) -> str:
    """The best encoding that a browser takes; empty where it takes none of ours."""
    taken = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding")
    return next((name for name in ("zstd", "gzip") if name.encode() in taken), "")


def _squeezed(body: bytes, encoding: str, small: bool) -> bytes:
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=19 if small else 3).compress(body)
    return gzip.compress(body, 9 if small else 4, mtime=0)


def _asked(path: str, query: str, encoding: str) -> Scope:
    return {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(b"accept-encoding", encoding.encode())], "http_version": "1.1", "scheme": "http",
        "server": None, "client": None, "root_path": "", "state": {},
    }  # fmt: skip


def _nothing_more() -> Receive:
    """A request without a body, from somebody who then waits for the answer and stays."""
    said = False

    async def receive() -> Message:
        nonlocal said
        if said:
            await asyncio.Event().wait()
        said = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive
