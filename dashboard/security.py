"""What every answer carries, and which requests are turned away at the door."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.peers import Peers, values

EMBEDDABLE = ("/", "/research", "/plan")  # pages with a map
MOST_BODY_BYTES = 1_000_000
BODY_WAIT_S = 30.0  # who trickles bytes longer holds nothing of ours
JSON_ONLY = "/_dash-update-component"  # another type is what a form of another site could send

Headers = list[tuple[bytes, bytes]]

_WRONG_HOST = b"asked by a name that is not ours; name it in city.toml as sign_in.public_url or in sign_in.hosts"


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
        "cross-origin-resource-policy": "same-origin",
    }
    return [(name.encode(), value.encode()) for name, value in named.items()]


def foreign(scope: Scope) -> bool:
    """Whether a request that changes or asks something was sent from another site.

    Browsers say so in Sec-Fetch-Site; where they do not, the Origin must be the host that is asked.
    """
    if scope["method"] in ("GET", "HEAD"):
        return False
    sites = values(scope, b"sec-fetch-site")
    if sites:
        return any(site not in (b"same-origin", b"none") for site in sites)
    hosts = values(scope, b"host")
    return any(hosts != [origin.partition(b"://")[2] or origin] for origin in values(scope, b"origin"))


class Door:
    """Adds the headers, and refuses foreign, oversized, wrongly addressed and websocket requests.

    `begin(draws)` is called once in the process that will answer, `end()` when it is asked to stop.
    """

    def __init__(
        self,
        app: ASGIApp,
        always: Headers,
        embedded: Headers,
        peers: Peers,
        begin: Callable[[bool], None] = lambda draws: None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._app, self._always, self._embedded = app, always, embedded
        self._peers, self._begin, self._end = peers, begin, end

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

        if not self._peers.known_host(scope):
            await refuse(with_headers, 421, [(b"content-type", b"text/plain")], _WRONG_HOST)
        elif foreign(scope):
            await refuse(with_headers, 403)
        elif _length(scope) > MOST_BODY_BYTES:
            await refuse(with_headers, 413)
        elif scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, with_headers)
        elif scope["path"] == JSON_ONLY and not _is_json(scope):
            await refuse(with_headers, 415)
        else:
            await self._with_body(scope, receive, with_headers)

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read what is sent before anybody works on it: a body without a stated length may have no end."""
        try:
            body = await asyncio.wait_for(whole_body(receive), BODY_WAIT_S)
        except TimeoutError:
            await refuse(send, 408)
            return
        if body is None:
            await refuse(send, 413)
            return
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return given.pop() if given else await receive()

        await self._app(scope, again, send)


def _embeds(scope: Scope) -> bool:
    """Whether a page is asked for as one that stands inside another."""
    query = parse_qs(scope["query_string"][:2000].decode("latin-1"))
    return scope["path"] in EMBEDDABLE and query.get("embed", [""])[0] == "1"


async def refuse(send: Send, status: int, more: Headers | None = None, body: bytes = b"") -> None:
    """An answer without a page, mostly an empty one."""
    length = (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": status, "headers": [length, *(more or [])]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def whole_body(receive: Receive) -> bytes | None:
    """A body, or None where it is larger than any that we take; who goes away meanwhile has sent what came."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > MOST_BODY_BYTES:
            return None
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return body


def _is_json(scope: Scope) -> bool:
    kinds = values(scope, b"content-type")
    return len(kinds) == 1 and kinds[0].partition(b";")[0].strip().lower() == b"application/json"


def _length(scope: Scope) -> int:
    given = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(given) if given.isdigit() else MOST_BODY_BYTES + 1
