"""Entries of the city's journal by form: `POST /journal`, for those who may keep it.

The journal is no shelf of a process but the city's own record, which people and `noctule journal` write as well. It has
one writer at a time by its own lock, and is replaced whole (`sensors.journal`), so an entry is written here directly:
a note in the inbox would wait for somebody to collect it, and the time bar would show it later.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import unicodedata
from collections.abc import Callable
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
from starlette.types import Receive, Scope

from dashboard.allowance import Allowance
from dashboard.audit import audit
from dashboard.pages.context import House
from dashboard.roles import may
from dashboard.security import Headers
from dashboard.visitors import VISITOR
from dashboard.watched import body_of, read
from dashboard.words import Words, words
from sensors.errors import NoctuleError
from sensors.journal import KINDS, STATUSES, Entry, add_entry, read_journal
from sensors.night import rfc3339

LONGEST = {"title": 120, "place": 80, "owner": 60}
_FIELDS = ("kind", "title", "start", "end", "place", "owner", "status", "due")
_MOST_BYTES = 8_000
_YEARS = (1990, 2150)
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NEVER = (b"cache-control", b"no-store")
_JSON = (b"content-type", b"application/json")

Answer = tuple[int, Headers, bytes]

_log = logging.getLogger("noctule.dashboard")


class WrongEntryError(Exception):
    """What is wrong with a field, by the key of its sentence."""

    def __init__(self, field: str, key: str) -> None:
        super().__init__(f"{field}: {key}")
        self.field, self.key = field, key


class JournalDesk:
    """What is under /journal."""

    def __init__(self, house: House, role_of: Callable[[Scope], str]) -> None:
        self._house, self._role_of = house, role_of
        self._allowance = Allowance(120, 20, 60)  # a person types an entry a minute; a loop does not

    async def __call__(self, scope: Scope, receive: Receive) -> Answer:
        """Take one entry."""
        if scope["path"] != "/journal":
            return 404, [_NEVER], b""
        if scope["method"] != "POST":
            return 405, [_NEVER, (b"allow", b"POST")], b""
        if not may(self._role_of(scope), "journal"):
            return 403, [_NEVER], b""
        given = read(await body_of(receive, _MOST_BYTES))
        language = None if given is None else given.get("lang")
        say = words(language if isinstance(language, str) else None)
        if given is None:
            return _told(400, {"error": say("journal.wrong.body"), "field": ""})
        if not self._allowance.admit(str((scope.get("client") or ("", 0))[0]), time.monotonic()):
            return _told(429, {"error": say("journal.wrong.many"), "field": ""})
        return await asyncio.to_thread(self._take, given, say)

    def _take(self, given: dict[str, object], say: Words) -> Answer:
        city = self._house.city
        try:
            entry = entry_of(given, city.zone)
            self._refuse_twice(entry)
            kept = add_entry(city, entry)
        except WrongEntryError as wrong:
            return _told(400, {"error": say(f"journal.wrong.{wrong.key}"), "field": wrong.field})
        except (NoctuleError, OSError):
            _log.exception("an entry could not be written to the journal")
            return _told(503, {"error": say("journal.wrong.file"), "field": ""})
        self._note(kept.entry)
        return _told(200, {"entry": kept.entry, "said": say("journal.kept", title=kept.title)})

    def _note(self, entry: str) -> None:
        """Who wrote an entry stands in the trail, not in the journal, which is handed on."""
        visitor = VISITOR.get()
        if visitor is None:
            return
        try:
            audit(self._house.visitors.desk, visitor.name, "journal", f"entry {entry}", visitor.role)
        except Exception:
            _log.exception("a line of the audit trail could not be kept")

    def _refuse_twice(self, entry: Entry) -> None:
        """Who presses the button again after a lost answer finds the entry there already."""
        journal = read_journal(self._house.city)
        same = np.ones(len(journal), bool)
        for column in ("kind", "title", "start", "end", "place"):
            same &= (journal[column] == getattr(entry, column)).to_numpy(bool)
        if same.any():
            raise WrongEntryError("title", "twice")


def entry_of(given: dict[str, object], zone: ZoneInfo) -> Entry:
    """An entry out of what a browser sent, hostile until understood; WrongEntryError names the field.

    Times are the city's own clock, `YYYY-MM-DDTHH:MM`; the day when something is due is meant until its end.
    """
    text: dict[str, str] = {}
    for name in _FIELDS:
        value = given.get(name, "")
        if not isinstance(value, str):
            raise WrongEntryError(name, "body")
        text[name] = " ".join(value.split())
        if any(unicodedata.category(letter)[0] == "C" for letter in text[name]):
            raise WrongEntryError(name, "signs")
        if len(text[name]) > LONGEST.get(name, 40):
            raise WrongEntryError(name, "long")
    if text["kind"] not in KINDS:
        raise WrongEntryError("kind", "kind")
    if text["status"] not in STATUSES:
        raise WrongEntryError("status", "status")
    if not any(letter.isalnum() for letter in text["title"]):
        raise WrongEntryError("title", "title")
    start, end = _moment("start", text["start"], zone), _moment("end", text["end"], zone)
    if not start:
        raise WrongEntryError("start", "start")
    if end and end < start:
        raise WrongEntryError("end", "end")
    due = text["due"]
    if due and not _DAY.fullmatch(due):
        raise WrongEntryError("due", "time")
    due = _moment("due", f"{due}T23:59" if due else "", zone)
    return Entry("", text["kind"], text["title"], start, end, text["place"], "", text["owner"], text["status"], due)


def _moment(field: str, text: str, zone: ZoneInfo) -> str:
    """A time of the city's clock as RFC 3339 UTC, empty as it is."""
    if not text:
        return ""
    try:
        if not _LOCAL.fullmatch(text) or not _YEARS[0] <= date.fromisoformat(text[:10]).year <= _YEARS[1]:
            raise ValueError(text)
        local = datetime.fromisoformat(text).replace(tzinfo=zone)
    except ValueError:
        raise WrongEntryError(field, "time") from None
    return rfc3339(np.datetime64(round(local.timestamp() * 1000), "ms"))


def _told(status: int, content: dict[str, str]) -> Answer:
    more = [(b"retry-after", b"60")] if status in (429, 503) else []
    return status, [_JSON, _NEVER, *more], json.dumps(content).encode()
