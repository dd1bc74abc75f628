"""What every answer carries, and which requests are turned away at the door."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

EMBEDDABLE = ("/", "/research", "/plan")  # pages with a map
MOST_BODY_BYTES = 1_000_000

Headers = list[tuple[bytes, bytes]]


def content_policy(script_hashes: Iterable[str], ancestors: Iterable[str] = ()) -> str:
    """The Content-Security-Policy: our own origin only, no eval, inline scripts only by their hash.

    `ancestors` are the origins whose pages may show ours inside them.

    `style-src` needs 'unsafe-inline': React writes style attributes and Leaflet's package injects its sheet.
    """
    return "; ".join(
        [
            "default-src 'self'",
            "script-src 'self' " + " ".join(f"'{digest}'" if digest[0] != "'" else digest for digest in script_hashes),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "connect-src 'self'",
            "worker-src 'self'",  # the form's own, for a phone without a network
            "object-src 'none'",
            "base-uri 'none'",
            " ".join(["frame-ancestors 'self'", *ancestors]),
            "form-action 'self'",
        ]
    )


def headers(policy: str) -> Headers:
    """Headers of every answer."""
    named = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "permissions-policy": "geolocation=(self), camera=(), microphone=()",
        "cross-origin-opener-policy": "same-origin",
    }
    return [(name.encode(), value.encode()) for name, value in named.items()]


def foreign(scope: Scope) -> bool:
    """Whether a request that changes or asks something was sent from another site.

    Browsers say so in Sec-Fetch-Site; where they do not, the Origin must be the host that is asked.
    """
    if scope["method"] in ("GET", "HEAD"):
        return False
    given = {name: value.decode("latin-1") for name, value in scope["headers"]}
    site = given.get(b"sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = given.get(b"origin")
    return origin is not None and origin.split("://", 1)[-1] != given.get(b"host")


class Door:
    """Adds the headers, and refuses foreign, oversized and websocket requests.

    `begin(draws)` is called once in the process that will answer, `end()` when it is asked to stop.
    """

    def __init__(
        self,
        app: ASGIApp,
        always: Headers,
        embedded: Headers,
        begin: Callable[[bool], None] = lambda draws: None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._app, self._always, self._embedded = app, always, embedded
        self._begin, self._end = begin, end

    def begin(self, draws: bool) -> None:
        """Make ready what the first visitors need; one of several processes draws for all."""
        self._begin(draws)

    def end(self) -> None:
        """Let go of those who only listen, so that this process can end."""
        self._end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":  # nothing here speaks it; Dash's own socket is switched off
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        always = self._embedded if _embeds(scope) else self._always

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", []))
                own = {name for name, _ in given}  # the answer form has a stricter policy than the pages
                message["headers"] = [*given, *(pair for pair in always if pair[0] not in own)]
            await send(message)

        if foreign(scope):
            await refuse(with_headers, 403)
        elif _length(scope) > MOST_BODY_BYTES:
            await refuse(with_headers, 413)
        else:
            await self._app(scope, receive, with_headers)


def _embeds(scope: Scope) -> bool:
    """Whether a page is asked for as one that stands inside another."""
    query = parse_qs(scope["query_string"][:2000].decode("latin-1"))
    return scope["path"] in EMBEDDABLE and query.get("embed", [""])[0] == "1"


async def refuse(send: Send, status: int) -> None:
    """An empty answer."""
    start = {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]}
    await send(start)
    await send({"type": "http.response.body", "body": b""})


def _length(scope: Scope) -> int:
    given = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(given) if given.isdigit() else MOST_BODY_BYTES + 1
