"""Answers the addresses under /sign-in and /sign-out: the page, a name with its password, and the way to a provider.

A wrong password and a name that is not there read the same and cost the same. Where to go afterwards is an address of
our own pages or the first page. What happens is kept in the audit trail.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.types import Receive, Scope

from dashboard.accounts import WAY, Accounts, plain_name
from dashboard.audit import audit
from dashboard.openid import BACK, OpenIdError, Provider, Try, new_try
from dashboard.pages.chapters import CHAPTERS
from dashboard.pages.context import House, theme_of
from dashboard.pages.frame import PATHS
from dashboard.peers import values
from dashboard.roles import mapped_role
from dashboard.security import Headers
from dashboard.sign_in_page import SignInView, sign_in_page
from dashboard.visitors import PLAIN_COOKIE, SECURE_COOKIE, Visitor, cookie
from dashboard.words import LANGUAGES, Words, words
from sensors.errors import AccountError

MOST_BYTES = 4_000  # of a form with a name and a password
_LONGEST_NEXT = 600
_TRY_S = 600  # how long a provider may take to ask for a password and a second factor
_FILES = ("form.css", "sign-in.css")
_FOLDER = Path(__file__).parent / "form"
_STRICT = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
)
_NEVER = (b"cache-control", b"no-store")
_HTML = (b"content-type", b"text/html; charset=utf-8")
_VARY = (b"vary", b"accept-language, cookie")

_PAGES = frozenset((*PATHS.values(), *CHAPTERS.values()))

Answer = tuple[int, Headers, bytes]

_log = logging.getLogger("noctule.dashboard")


class SigningIn:
    """What is under /sign-in and /sign-out for one city."""

    def __init__(self, house: House, secret: str) -> None:
        self._house, self._visitors = house, house.visitors
        self._accounts = Accounts(self._visitors.desk)
        settings = house.city.settings.sign_in
        self._provider = Provider(settings, secret) if settings.issuer and not house.switch else None
        self._files = {name: (_FOLDER / name).read_bytes() for name in _FILES}
        self._version = hashlib.sha256(b"".join(self._files.values())).hexdigest()[:10]
        self._hashing = asyncio.Semaphore(2)  # 64 MiB each
        self._asking = asyncio.Semaphore(2)  # a provider that does not answer holds no more threads than these

    async def __call__(self, scope: Scope, receive: Receive) -> Answer:
        """Answer one request."""
        path, method = scope["path"], scope["method"]
        if path == "/sign-out":
            return await self._out(scope, receive) if method == "POST" else _not("POST")
        if path == "/sign-in" and method == "POST":
            return await self._with_password(scope, receive)
        if method not in ("GET", "HEAD"):
            return _not("GET, HEAD, POST" if path == "/sign-in" else "GET, HEAD")
        query = _pairs(scope["query_string"][:4000].decode("latin-1")) or {}
        if path == "/sign-in":
            return await asyncio.to_thread(self._page, scope, query)
        if path == "/sign-in/provider" and self._provider is not None:
            async with self._asking:
                return await asyncio.to_thread(self._to_provider, scope, query)
        if path == BACK and self._provider is not None:
            async with self._asking:
                return await asyncio.to_thread(self._back, scope, query)
        name = path.removeprefix("/sign-in/")
        if name in self._files:
            kept = (b"cache-control", b"no-cache")
            return 200, [(b"content-type", b"text/css; charset=utf-8"), _STRICT, kept], self._files[name]
        return 404, [_NEVER], b""

    def _page(
        self, scope: Scope, fields: Mapping[str, str], wrong: str = "", status: int = 200, more: Headers | None = None
    ) -> Answer:
        say = _say(scope, fields)
        session = None if wrong else self._visitors.session(scope)
        open_here = self._visitors.sign_in and self._visitors.peers.may_sign_in(scope)
        if self._visitors.sign_in and not open_here and not wrong:
            wrong = say("sign.insecure")
        settings = self._house.city.settings.sign_in
        view = SignInView(
            city=self._house.city.name,
            version=self._version,
            back=safe_next(fields.get("next", "")),
            theme=theme_of(fields.get("theme", "")),
            provider=(settings.label or say("sign.somewhere")) if self._provider and open_here else "",
            local=open_here and self._visitors.sessions.any_account(),
            wrong=say("sign.wrong.provider") if fields.get("failed") == "1" and not wrong else wrong,
            told=say("sign.outnow") if fields.get("out") == "1" and session is None else "",
            name=session.name if session else "",
            role=say(f"role.{session.role}") if session else "",
        )
        return status, [_HTML, _STRICT, _NEVER, _VARY, *(more or [])], sign_in_page(view, say).encode()

    async def _with_password(self, scope: Scope, receive: Receive) -> Answer:
        fields = await _form(scope, receive)
        if isinstance(fields, int):
            return fields, [_NEVER], b""
        visitor, say = self._visitors.of(scope), _say(scope, fields)
        if not self._visitors.sign_in or not self._visitors.peers.may_sign_in(scope):
            return await asyncio.to_thread(self._page, scope, fields, say("sign.insecure"), 400)
        try:
            name = plain_name(fields.get("name", ""))
        except AccountError:
            name = ""
        limits = self._house.limits
        wait = limits.wait_s("sign-in", visitor) or (limits.wait_for_name_s(name) if name else 0.0)
        if wait:
            after = [(b"retry-after", str(int(wait)).encode())]
            return await asyncio.to_thread(self._page, scope, fields, say("sign.wrong.many"), 429, after)
        async with self._hashing:
            return await asyncio.to_thread(self._checked, scope, fields, name, visitor, say)

    def _checked(self, scope: Scope, fields: Mapping[str, str], name: str, visitor: Visitor, say: Words) -> Answer:
        role = self._accounts.role_for(name, fields.get("password", "")[:1000])
        if role is None:
            # A name that is none may be a password in the wrong field, so it is not written down.
            who = name if name and self._accounts.there(name) else ""
            audit(self._visitors.desk, who, "sign-in failed", f"source {self._house.limits.source(visitor)}", "public")
            return self._page(scope, fields, say("sign.wrong"), 400)
        return self._signed_in(scope, name, role, WAY, fields.get("next", ""))

    def _to_provider(self, scope: Scope, query: Mapping[str, str]) -> Answer:
        visitor, say = self._visitors.of(scope), _say(scope, query)
        if not self._visitors.peers.may_sign_in(scope):
            return self._page(scope, query, say("sign.insecure"), 400)
        if wait := self._house.limits.wait_s("sign-in", visitor):
            return self._page(scope, query, say("sign.wrong.many"), 429, [(b"retry-after", str(int(wait)).encode())])
        attempt = new_try()
        try:
            to = self._provider.address(attempt) if self._provider else ""
        except OpenIdError as error:
            _log.warning("sign-in by the provider cannot begin: %s", error)
            return self._page(scope, query, say("sign.wrong.provider"), 502)
        kept = {
            "state": attempt.state, "nonce": attempt.nonce, "verifier": attempt.verifier,
            "next": safe_next(query.get("next", "")), "lang": say.language, "theme": theme_of(query.get("theme", "")),
        }  # fmt: skip
        packed = base64.urlsafe_b64encode(json.dumps(kept).encode()).decode().rstrip("=")
        return 303, [_NEVER, (b"location", to.encode()), self._cookie(scope, packed, _TRY_S, "-oidc")], b""

    def _back(self, scope: Scope, query: Mapping[str, str]) -> Answer:
        """Who comes back from the provider; the attempt is over either way."""
        over = self._cookie(scope, "", 0, "-oidc")
        kept = _unpacked(cookie(scope, _named(self._visitors.peers.secure(scope), "-oidc")))
        visitor, say = self._visitors.of(scope), _say(scope, kept)
        if wait := self._house.limits.wait_s("sign-in back", visitor):
            after = (b"retry-after", str(int(wait)).encode())
            return self._page(scope, kept, say("sign.wrong.many"), 429, [over, after])
        try:
            if not kept or self._provider is None:
                raise OpenIdError("this browser has not begun to sign in, or too long ago")
            attempt = Try(kept.get("state", ""), kept.get("nonce", ""), kept.get("verifier", ""))
            if not (attempt.state and attempt.nonce and attempt.verifier):
                raise OpenIdError("what the browser kept is not whole")
            person = self._provider.person(attempt, query)
        except OpenIdError as error:
            _log.warning("sign-in by the provider failed: %s", error)
            detail = f"source {self._house.limits.source(visitor)}: {error}"
            audit(self._visitors.desk, "", "sign-in failed", detail, "public")
            return self._page(scope, kept, say("sign.wrong.provider"), 400, [over])
        role = mapped_role(person.groups, self._house.city.settings.sign_in.roles)
        if role is None:
            audit(self._visitors.desk, person.name, "sign-in refused", "no group that has a role", "public")
            return self._page(scope, kept, say("sign.wrong.role", name=person.name), 400, [over])
        status, headers, body = self._signed_in(scope, person.name, role, "oidc", kept.get("next", ""))
        return status, [over, *headers], body

    def _signed_in(self, scope: Scope, name: str, role: str, way: str, back: str) -> Answer:
        token = self._visitors.sessions.open(name, role, way, before=self._visitors.token(scope))
        audit(self._visitors.desk, name, "sign-in", way, role)
        longest = round(self._house.city.settings.sign_in.longest_hours * 3600)
        to = (b"location", safe_next(back).encode())
        return 303, [_NEVER, to, self._cookie(scope, token, longest)], b""

    async def _out(self, scope: Scope, receive: Receive) -> Answer:
        fields = await _form(scope, receive)
        if isinstance(fields, int):
            return fields, [_NEVER], b""
        await asyncio.to_thread(self._end, scope)
        query = _pairs(scope["query_string"][:4000].decode("latin-1")) or {}
        kept = {"lang": _say(scope, query).language, "theme": theme_of(query.get("theme", ""))}
        kept = {key: value for key, value in kept.items() if value}
        to = "/sign-in?" + urlencode({**kept, "out": "1"})
        # What the browser keeps of the nights goes with the session; tiles of another role must not outlive it.
        clear = (b"clear-site-data", b'"cache"')
        return 303, [_NEVER, (b"location", to.encode()), self._cookie(scope, "", 0), clear], b""

    def _end(self, scope: Scope) -> None:
        session, token = self._visitors.session(scope), self._visitors.token(scope)
        if session is None:
            return
        self._visitors.sessions.close(token)
        audit(self._visitors.desk, session.name, "sign-out", session.way, session.role)

    def _cookie(self, scope: Scope, value: str, age_s: int, more: str = "") -> tuple[bytes, bytes]:
        secure = self._visitors.peers.secure(scope)
        name = _named(secure, more)
        text = f"{name}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
        return b"set-cookie", text.encode()


def safe_next(text: str) -> str:
    r"""An address of one of our pages, or the first page.

    >>> safe_next("/research?night=2026-11-20"), safe_next("//evil.example"), safe_next("/\\evil.example")
    ('/research?night=2026-11-20', '/', '/')
    """
    if len(text) > _LONGEST_NEXT or not (text.isascii() and text.isprintable()) or "\\" in text:
        return "/"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc or text.startswith("//") or parts.path not in _PAGES:
        return "/"
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _named(secure: bool, more: str = "") -> str:
    return (SECURE_COOKIE if secure else PLAIN_COOKIE) + more


async def _form(scope: Scope, receive: Receive) -> dict[str, str] | int:
    """The fields of a form; the status of the refusal where it is none, too large, or says a thing twice."""
    kinds = values(scope, b"content-type")
    if len(kinds) != 1 or kinds[0].partition(b";")[0].strip().lower() != b"application/x-www-form-urlencoded":
        return 415
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > MOST_BYTES:
            return 413
        if not message.get("more_body", False):
            break
    fields = _pairs(body.decode("latin-1"))
    return 400 if fields is None else fields


def _pairs(text: str) -> dict[str, str] | None:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=20, errors="replace")
    except ValueError:
        return None
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else None


def _unpacked(text: str) -> dict[str, str]:
    try:
        content = json.loads(base64.urlsafe_b64decode(text[:4000] + "=" * (-len(text[:4000]) % 4)))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {str(key): value for key, value in content.items() if isinstance(value, str) and value.isascii()}


def _say(scope: Scope, fields: Mapping[str, str]) -> Words:
    """The language asked for, or the first of the browser's that we have."""
    if fields.get("lang") in LANGUAGES:
        return words(fields["lang"])
    for part in b",".join(values(scope, b"accept-language")).decode("latin-1")[:200].split(","):
        code = part.split(";")[0].strip().lower()[:2]
        if code in LANGUAGES:
            return words(code)
    return words("")


def _not(allowed: str) -> Answer:
    return 405, [_NEVER, (b"allow", allowed.encode())], b""
