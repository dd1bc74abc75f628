"""Answers the addresses under /ask: the form, its scripts, what a phone sends, and erasing by receipt.

An answer is coarsened here, before anything is written, and left in the city's inbox; the page then has a receipt. No
cookie is set and no address is kept. What is refused is told in a sentence: 400 for a field, 429 and 503 for later.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from dashboard.allowance import Allowance
from dashboard.ask_page import form_page, in_theme, sent_page, told_page
from dashboard.given_answer import Asker, WrongAnswer, read_given
from dashboard.pages.context import House, theme_of
from dashboard.security import Headers
from dashboard.street_list import StreetList, street_list
from dashboard.words import LANGUAGES, Words, words
from sensors.errors import AnswerError, NoctuleError
from sensors.inbox import Erase, leave
from sensors.night import parse_rfc3339
from sensors.receipt import receipt_of, response_of
from sensors.walk import Walk, read_walk, walk_names

FORM = Path(__file__).parent / "form"
MOST_BYTES = 16_000  # of an answer; a full one has some six hundred
MOST_FIELDS, LONGEST_FIELD = 60, 200
BODY_WAIT_S = 15.0  # for a phone on a poor network; who trickles bytes longer holds nothing of ours
_WALKS_KEPT_S = 5.0
_FILES = {
    "form.css": "text/css; charset=utf-8",
    "form.js": "text/javascript; charset=utf-8",
    "worker.js": "text/javascript; charset=utf-8",
}
# Beside the policy of every page: nothing inline at all, and nobody may frame the form.
_STRICT = (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; "
    b"worker-src 'self'; base-uri 'none'; frame-ancestors 'none'",
)
_NEVER = (b"cache-control", b"no-store")
_KEPT = (b"cache-control", b"no-cache")
_JSON = (b"content-type", b"application/json")
_HTML = (b"content-type", b"text/html; charset=utf-8")

Answer = tuple[int, Headers, bytes]

_log = logging.getLogger("noctule.dashboard")


class Asking:
    """What is under /ask for one city."""

    def __init__(self, house: House) -> None:
        self._house, self._city = house, house.city
        asking = self._city.settings.asking
        self._answers = Allowance(asking.each_per_hour, asking.each_burst, asking.all_per_minute)
        self._erasures = Allowance(asking.each_per_hour, asking.each_burst, asking.all_per_minute)
        self._walks: tuple[float, dict[str, Walk]] = (-1e9, {})
        self._listing = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive) -> Answer:
        """Answer one request."""
        query = _pairs(scope["query_string"][:2000].decode("latin-1"))
        status, headers, body = await self._answer(scope, receive, query)
        return status, headers, in_theme(body, theme_of(query.get("theme", ""))) if _HTML in headers else body

    async def _answer(self, scope: Scope, receive: Receive, query: Mapping[str, str]) -> Answer:
        path, method = scope["path"].rstrip("/"), scope["method"]
        say = words(query.get("lang") or _language(scope))
        if not self._city.settings.asking.form:
            return await asyncio.to_thread(self._closed, say)
        if method in ("GET", "HEAD"):
            return await self._get(path, query, say)
        if method != "POST" or path not in ("/ask", "/ask/erase"):
            return 405 if path in ("/ask", "/ask/erase") else 404, [_NEVER, (b"allow", b"GET, HEAD, POST")], b""
        fields = await _fields(scope, receive)
        plain = "application/json" not in _header(scope, b"accept")
        say = words((fields or {}).get("lang") or say.language)
        address = str((scope.get("client") or ("", 0))[0])
        work = self._take if path == "/ask" else self._erase
        return await asyncio.to_thread(work, fields, address, say, plain)

    async def _get(self, path: str, query: Mapping[str, str], say: Words) -> Answer:
        name = path.removeprefix("/ask").lstrip("/")
        if not name:
            return await asyncio.to_thread(self._form, query, say, 200)
        if name == "streets.json":
            body = await asyncio.to_thread(lambda: self._streets_body)
            return 200, [_JSON, (b"content-encoding", b"gzip"), _KEPT], body
        if name not in _FILES:
            return 404, [_NEVER], b""
        more = [(b"service-worker-allowed", b"/ask")] if name == "worker.js" else []
        return 200, [(b"content-type", _FILES[name].encode()), _STRICT, _KEPT, *more], self._files[name]

    def _form(self, query: Mapping[str, str], say: Words, status: int, wrong: WrongAnswer | None = None) -> Answer:
        told = say(wrong.key, **wrong.values) if wrong else ""
        page = form_page(
            self._asker,
            say,
            query={name: query.get(name, "") for name in ("walk", "stop", "campaign")},
            word=secrets.token_urlsafe(16),
            version=self._version,
            wrong=told,
            wrong_field=wrong.field if wrong else "",
        )
        return status, [_HTML, _STRICT, _NEVER, (b"vary", b"accept-language")], page.encode()

    def _take(self, fields: Mapping[str, str] | None, address: str, say: Words, plain: bool) -> Answer:
        """Keep an answer, or say why not."""
        if fields is None:
            return self._refused(400, "ask.wrong.body", say, plain)
        if not self._answers.admit(address, time.monotonic()):
            return self._refused(429, "ask.wrong.many", say, plain)
        clock = self._house.clock
        try:
            given, place = read_given(fields, self._asker, clock.now(), clock.speed)
        except WrongAnswer as wrong:
            if plain:
                return self._form(fields, say, 400, wrong)
            content = {"error": say(wrong.key, **wrong.values), "field": wrong.field}
            return 400, [_JSON, _NEVER], _json(content)
        try:
            leave(self._city, given)
        except (NoctuleError, OSError):
            _log.exception("an answer could not be left in the inbox")
            return self._refused(503, "ask.wrong.full", say, plain)
        receipt = receipt_of(given.response_id)
        when = say.moment(parse_rfc3339(given.time), self._city.zone)
        if plain:
            page = sent_page(self._asker, say, receipt=receipt, place=place, time=when, version=self._version)
            return 200, [_HTML, _STRICT, _NEVER], page.encode()
        kept = say("ask.kept.place", place=place, time=when) if place else say("ask.kept", time=when)
        return 200, [_JSON, _NEVER], _json({"receipt": receipt, "kept": kept})

    def _erase(self, fields: Mapping[str, str] | None, address: str, say: Words, plain: bool) -> Answer:
        """Leave word to erase the answer of a receipt; whether there is one is not told to who only guesses."""
        if fields is None:
            return self._refused(400, "ask.wrong.body", say, plain)
        if not self._erasures.admit(address, time.monotonic()):
            return self._refused(429, "ask.wrong.many", say, plain)
        try:
            response_id = response_of(fields.get("receipt", ""))
        except AnswerError:
            return self._refused(400, "ask.wrong.receipt", say, plain)
        try:
            leave(self._city, Erase(response_id))
        except (NoctuleError, OSError):
            _log.exception("an erasure could not be left in the inbox")
            return self._refused(503, "ask.wrong.full", say, plain)
        if plain:
            page = told_page(self._asker, say, say("ask.erased"), say("ask.erased.note"), self._version)
            return 200, [_HTML, _STRICT, _NEVER], page.encode()
        return 200, [_JSON, _NEVER], _json({"erased": say("ask.erased.note")})

    def _refused(self, status: int, key: str, say: Words, plain: bool) -> Answer:
        more = [(b"retry-after", b"60")] if status in (429, 503) else []
        if plain:
            page = told_page(self._asker, say, say("ask.refused"), say(key), self._version)
            return status, [_HTML, _STRICT, _NEVER, *more], page.encode()
        return status, [_JSON, _NEVER, *more], _json({"error": say(key)})

    def _closed(self, say: Words) -> Answer:
        text = say("ask.closed", city=self._city.name)
        page = told_page(Asker(self._city, StreetList({})), say, say("ask.title"), text, self._version)
        return 404, [_HTML, _STRICT, _NEVER], page.encode()

    @property
    def _asker(self) -> Asker:
        with self._listing:
            streets = self._streets
        return Asker(self._city, streets, self._known_walks())

    def _known_walks(self) -> dict[str, Walk]:
        """The city's walks, looked at again now and then; one that is damaged is not offered."""
        made, walks = self._walks
        if time.monotonic() - made > _WALKS_KEPT_S:
            walks = {}
            for name in walk_names(self._city):
                try:
                    walks[name] = read_walk(self._city, name)
                except NoctuleError:
                    _log.warning("the walk '%s' cannot be read and is not offered", name)
            self._walks = (time.monotonic(), walks)
        return walks

    @cached_property
    def _streets(self) -> StreetList:
        return street_list(self._city)

    @cached_property
    def _streets_body(self) -> bytes:
        with self._listing:
            labels = self._streets.labels
        return gzip.compress(json.dumps(labels, ensure_ascii=False, separators=(",", ":")).encode(), 6, mtime=0)

    @cached_property
    def _files(self) -> dict[str, bytes]:
        """The form's own files; the worker knows by the version when to fetch them again."""
        files = {name: (FORM / name).read_bytes() for name in _FILES}
        return files | {"worker.js": files["worker.js"].replace(b"__VERSION__", self._version.encode())}

    @cached_property
    def _version(self) -> str:
        whole = b"".join((FORM / name).read_bytes() for name in sorted(_FILES))
        return hashlib.sha256(whole).hexdigest()[:10]


async def _fields(scope: Scope, receive: Receive) -> dict[str, str] | None:
    """The fields of a body, JSON or a form's; None where it is too large, too slow or none."""
    try:
        body = await asyncio.wait_for(_body(receive), BODY_WAIT_S)
    except TimeoutError:
        return None
    if body is None:
        return None
    try:
        text = body.decode("utf-8")
        if "application/json" in _header(scope, b"content-type"):
            content = json.loads(text)
            if not isinstance(content, dict):
                return None
            pairs = [(str(name), str(value)) for name, value in content.items() if isinstance(value, str | int | float)]
        else:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except (ValueError, RecursionError):
        return None
    if len(pairs) > MOST_FIELDS or any(
        len(name) > LONGEST_FIELD or len(value) > LONGEST_FIELD for name, value in pairs
    ):
        return None
    # Of a field that is given twice the first counts.
    return dict(reversed(pairs))


async def _body(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message.get("body", b""))
        if len(body) > MOST_BYTES:
            return None
        if not message.get("more_body", False):
            return body


def _pairs(text: str) -> dict[str, str]:
    try:
        given = parse_qsl(text, max_num_fields=MOST_FIELDS)
    except ValueError:
        return {}
    return dict(reversed([(name, value) for name, value in given if len(value) <= 80]))


def _language(scope: Scope) -> str:
    """The first of the browser's languages that we have."""
    for part in _header(scope, b"accept-language")[:200].split(","):
        code = part.split(";")[0].strip().lower()[:2]
        if code in LANGUAGES:
            return code
    return ""


def _header(scope: Scope, name: bytes) -> str:
    return ", ".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


def _json(content: Mapping[str, str]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()
