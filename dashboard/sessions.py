"""Sessions: a random token in a cookie, of which only the SHA-256 is kept, with an end after idleness and in any case.

Several web workers share them through SQLite. Looking one up costs two `stat` calls while nothing on the desk changes:
what was read is remembered until the desk's file or its write-ahead log changes, and `_REMEMBERED_S` at most, so a
session that is ended anywhere ends with its next request. Times are the machine's own, not the city's, which a demo
lets run.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

from dashboard.accounts import WAY
from dashboard.desk import Desk
from sensors.city import SignInSettings

MOST_EACH = 20  # sessions of one name; the oldest gives way
_REMEMBERED_S = 5.0
_MOST_REMEMBERED = 4096
_PATIENCE_MS = 20
_TOUCH_S = 60.0  # how exactly it is known when a session was last used

_Stamp = tuple[int, ...]


@dataclass(frozen=True)
class Session:
    """Somebody who is signed in: `way` is 'account' or 'oidc', `key` names the session without being it."""

    name: str
    role: str
    way: str
    key: str


class Sessions:
    """The sessions on a desk."""

    def __init__(self, desk: Desk, settings: SignInSettings) -> None:
        self._desk = desk
        self._idle_s, self._longest_s = settings.idle_hours * 3600, settings.longest_hours * 3600
        self._known: OrderedDict[bytes, tuple[float, Session | None]] = OrderedDict()
        self._stamp: _Stamp = ()
        self._any: tuple[float, bool] = (-1e9, False)
        self._lock = threading.Lock()

    def open(self, name: str, role: str, way: str, before: str = "") -> str:
        """Begin a session and return its token; the session of the token `before` ends.

        The token is always new: one that a browser brings is never taken over.
        """
        token, now = secrets.token_urlsafe(32), time.time()
        with self._desk.open() as connection:
            if before:
                connection.execute("DELETE FROM session WHERE digest = ?", (_digest(before),))
            self._sweep(connection, now)
            connection.execute(
                "DELETE FROM session WHERE digest IN (SELECT digest FROM session WHERE name = ? AND way = ? "
                "ORDER BY made DESC LIMIT -1 OFFSET ?)",
                (name, way, MOST_EACH - 1),
            )
            connection.execute(
                "INSERT INTO session (digest, name, role, way, made, seen) VALUES (?, ?, ?, ?, ?, ?)",
                (_digest(token), name, role, way, now, now),
            )
        return token

    def close(self, token: str) -> None:
        """End the session of a token."""
        with self._desk.open() as connection:
            connection.execute("DELETE FROM session WHERE digest = ?", (_digest(token),))

    def close_all(self, name: str, way: str) -> int:
        """End every session of a name; how many there were."""
        with self._desk.open() as connection:
            return connection.execute("DELETE FROM session WHERE name = ? AND way = ?", (name, way)).rowcount

    def of(self, token: str) -> Session | None:
        """The session of a token, if it is still open."""
        if not 40 <= len(token) <= 50:  # of ours 43; nothing else is worth a hash
            return None
        digest, now = _digest(token), time.monotonic()
        with self._lock:
            self._forget_if_changed()
            known, stamp = self._known.get(digest), self._stamp
        if known is not None and now - known[0] < _REMEMBERED_S:
            return known[1]
        session = self._read(digest) if self._desk.path.exists() else None
        with self._lock:
            if stamp != self._stamp:  # the desk changed since: what was read may have been before it
                return session
            self._known[digest] = (now, session)
            self._known.move_to_end(digest)
            while len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)
        return session

    def any_account(self) -> bool:
        """Whether the city has local accounts, also disabled ones."""
        now = time.monotonic()
        with self._lock:
            self._forget_if_changed()
            made, there = self._any
        if now - made < _REMEMBERED_S:
            return there
        there = False
        if self._desk.path.exists():
            with self._desk.open() as connection:
                there = connection.execute("SELECT 1 FROM account LIMIT 1").fetchone() is not None
        with self._lock:
            self._any = (now, there)
        return there

    def _read(self, digest: bytes) -> Session | None:
        now = time.time()
        with self._desk.open() as connection:
            row = connection.execute(
                "SELECT session.name, session.role, way, session.made, seen, account.role AS now_role, disabled "
                "FROM session LEFT JOIN account ON account.name = session.name WHERE digest = ?",
                (digest,),
            ).fetchone()
            if row is None:
                return None
            if now - row["made"] > self._longest_s or now - row["seen"] > self._idle_s:
                _soon(connection, "DELETE FROM session WHERE digest = ?", digest)
                return None
            if row["way"] == WAY and (row["now_role"] != row["role"] or row["disabled"]):
                return None  # changed by another hand than ours, which would have ended it
            if now - row["seen"] > _TOUCH_S:
                _soon(connection, "UPDATE session SET seen = ? WHERE digest = ?", now, digest)
        return Session(row["name"], row["role"], row["way"], digest.hex()[:16])

    def _sweep(self, connection: sqlite3.Connection, now: float) -> None:
        """Forget sessions that have ended by themselves."""
        connection.execute(
            "DELETE FROM session WHERE made < ? OR seen < ?", (now - self._longest_s, now - self._idle_s)
        )

    def _forget_if_changed(self) -> None:
        stamp = (*_of(str(self._desk.path)), *_of(f"{self._desk.path}-wal"))
        if stamp != self._stamp:
            self._stamp = stamp
            self._known.clear()
            self._any = (-1e9, False)


def _soon(connection: sqlite3.Connection, change: str, *values: object) -> None:
    """Write now or with a later request: we stand before every answer, and another may write for seconds."""
    connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
    with suppress(sqlite3.OperationalError):
        connection.execute(change, values)


def _of(path: str) -> _Stamp:
    try:
        status = os.stat(path)  # noqa: PTH116  # twice as quick as through Path, and asked for every tile
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
