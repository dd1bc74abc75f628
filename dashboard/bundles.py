"""Serves scripts and sheets compressed once and kept, instead of compressing 1.5 MB for every visitor.

Addresses that carry a fingerprint or a time stamp never change what they hold, so browsers keep them.
"""

from __future__ import annotations

import gzip

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_KEPT = ("/_dash-component-suites/", "/assets/")
_SQUEEZED = (b"javascript", b"css", b"json", b"html", b"svg")
_MOST = 200  # answers kept; a page needs about twenty


class Bundles:
    """Wraps an application; every answer worth it leaves gzipped."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: dict[str, list[Message]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not any(
            b"gzip" in value for name, value in scope["headers"] if name == b"accept-encoding"
        ):
            await self._app(scope, receive, send)
            return
        address = scope["path"] + "?" + scope["query_string"].decode("latin-1")
        lasting = scope["method"] == "GET" and scope["path"].startswith(_KEPT)
        messages = self._kept.get(address) if lasting else None
        if messages is None:
            messages = await self._answer(scope, receive, lasting)
            if lasting and messages[0]["status"] == 200 and len(self._kept) < _MOST:
                self._kept[address] = messages
        for message in messages:
            await send(dict(message, headers=list(message["headers"])) if "headers" in message else message)

    async def _answer(self, scope: Scope, receive: Receive, lasting: bool) -> list[Message]:
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
        if len(body) > 800 and any(kind in media for kind in _SQUEEZED):
            body = gzip.compress(body, 9 if lasting else 4)
            headers += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
        kept = b"public, max-age=31536000, immutable" if lasting and start["status"] == 200 else b"no-store"
        headers += [(b"cache-control", kept), (b"content-length", str(len(body)).encode())]
        return [dict(start, headers=headers), {"type": "http.response.body", "body": body}]
