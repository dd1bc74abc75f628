"""Local accounts of a city: names, roles and passwords, of which only an argon2id hash is kept.

For cities without an identity provider. Whoever changes an account ends its sessions in the same step.
"""

from __future__ import annotations

import re
import time
import unicodedata
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from dashboard.audit import AUDIT, audit
from dashboard.desk import Desk
from dashboard.roles import ROLES
from sensors.city import City
from sensors.errors import AccountError

SHORTEST, LONGEST = 12, 256  # signs of a password; NIST SP 800-63B-3: 8 at least, and no rules of composition
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}", re.ASCII)

TABLES = (
    *AUDIT,
    "CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, role TEXT NOT NULL, hash TEXT NOT NULL, "
    "disabled INTEGER NOT NULL DEFAULT 0, made TEXT NOT NULL, changed TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS session (digest BLOB PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, "
    "way TEXT NOT NULL, made REAL NOT NULL, seen REAL NOT NULL)",
    "CREATE INDEX IF NOT EXISTS session_of ON session (name)",
)
WAY = "account"  # how a session of a local account came to be


def sign_in_desk(city: City) -> Desk:
    """The city's desk with accounts, sessions and the audit trail."""
    return Desk(city, *TABLES)


class Accounts:
    """The accounts on a desk.

    >>> plain_name(" Anna.K@Example.org ")
    'anna.k@example.org'
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add(self, name: str, role: str, password: str, by: str = "command line") -> None:
        """Make an account; AccountError where it cannot be or is there already."""
        name, role, now = plain_name(name), known_role(role), _now()
        hashed = self._hashed(name, password)
        with self._desk.open() as connection:
            if connection.execute("SELECT 1 FROM account WHERE name = ?", (name,)).fetchone():
                raise AccountError(f"there is an account '{name}' already; 'noctule account role' changes what it may")
            connection.execute(
                "INSERT INTO account (name, role, hash, made, changed) VALUES (?, ?, ?, ?, ?)",
                (name, role, hashed, now, now),
            )
        audit(self._desk, by, "account added", f"{name} as {role}")

    def rows(self) -> list[dict[str, Any]]:
        """All accounts by name: `name`, `role`, `disabled`, `made`, `changed` and how many `sessions` are open."""
        with self._desk.open() as connection:
            rows = connection.execute(
                "SELECT name, role, disabled, made, changed, (SELECT count(*) FROM session WHERE session.name = "
                "account.name AND way = ?) AS sessions FROM account ORDER BY name",
                (WAY,),
            ).fetchall()
        return [{**dict(row), "disabled": bool(row["disabled"])} for row in rows]

    def set_role(self, name: str, role: str, by: str = "command line") -> None:
        """Change what an account may, and sign it out everywhere."""
        self._change(name, "role = ?", known_role(role))
        audit(self._desk, by, "account role", f"{plain_name(name)} is {role}")

    def set_password(self, name: str, password: str, by: str = "command line") -> None:
        """Change a password, and sign the account out everywhere."""
        self._change(name, "hash = ?", self._hashed(plain_name(name), password))
        audit(self._desk, by, "account password", plain_name(name))

    def disable(self, name: str, disabled: bool = True, by: str = "command line") -> None:
        """Let an account in no more, or again, and sign it out everywhere."""
        self._change(name, "disabled = ?", int(disabled))
        audit(self._desk, by, "account disabled" if disabled else "account enabled", plain_name(name))

    def remove(self, name: str, by: str = "command line") -> None:
        """Forget an account and its sessions; its lines in the audit trail stay."""
        name = plain_name(name)
        with self._desk.open() as connection:
            if not connection.execute("DELETE FROM account WHERE name = ?", (name,)).rowcount:
                raise AccountError(_nobody(name))
            _end_sessions(connection, name)
        audit(self._desk, by, "account removed", name)

    def role_for(self, name: str, password: str) -> str | None:
        """The role of who knows the password; None otherwise, after the same work whether there is such an account."""
        with self._desk.open() as connection:
            row = connection.execute("SELECT role, hash, disabled FROM account WHERE name = ?", (name,)).fetchone()
        hashed = str(row["hash"]) if row is not None else self._nobodys
        right = self._fits(hashed, password)
        if row is None or row["disabled"] or not right or row["role"] not in ROLES:
            return None
        if self._hasher.check_needs_rehash(hashed):  # made by a version that worked less hard
            with self._desk.open() as connection:
                connection.execute(
                    "UPDATE account SET hash = ? WHERE name = ? AND hash = ?",
                    (self._hasher.hash(_normal(password)), name, hashed),
                )
        return str(row["role"])

    def _fits(self, hashed: str, password: str) -> bool:
        try:
            return bool(self._hasher.verify(hashed, _normal(password)))
        except (VerificationError, InvalidHashError):
            return False

    def there(self, name: str) -> bool:
        """Whether there is an account of this name, for the audit trail alone."""
        with self._desk.open() as connection:
            return connection.execute("SELECT 1 FROM account WHERE name = ?", (name,)).fetchone() is not None

    def _change(self, name: str, what: str, value: object) -> None:
        name = plain_name(name)
        with self._desk.open() as connection:
            changed = connection.execute(
                f"UPDATE account SET {what}, changed = ? WHERE name = ?",  # noqa: S608  # `what` is ours
                (value, _now(), name),
            ).rowcount
            if not changed:
                raise AccountError(_nobody(name))
            _end_sessions(connection, name)

    def _hashed(self, name: str, password: str) -> str:
        plain = _normal(password)
        if not SHORTEST <= len(plain) <= LONGEST:
            raise AccountError(
                f"the password has {len(plain)} signs; it must have {SHORTEST} to {LONGEST}, and a few words are best"
            )
        if (len(name) > 3 and name in plain.lower()) or len(set(plain)) < 5:  # a short name stands in most sentences
            raise AccountError("the password holds the name, or is a few signs over and over; choose a few words")
        return self._hasher.hash(plain)

    @cached_property
    def _hasher(self) -> PasswordHasher:
        return PasswordHasher()  # RFC 9106's second choice: 64 MiB, 3 passes; some 60 ms

    @cached_property
    def _nobodys(self) -> str:
        """A hash that no password has, so that a name that is not there costs as much as one that is."""
        return self._hasher.hash(f"{time.time_ns()}")


def plain_name(name: str) -> str:
    """A name as it is kept: lower case, without spaces around; AccountError where it can be none."""
    plain = name.strip().lower()
    if not _NAME.fullmatch(plain):
        raise AccountError(
            f"'{name[:80]}' can be no account; write 1 to 64 letters a-z, digits and . _ @ + -, beginning with "
            "a letter or a digit"
        )
    return plain


def known_role(role: str) -> str:
    """The role; AccountError with the list of roles where there is no such role."""
    if role not in ROLES:
        raise AccountError(f"there is no role '{role[:40]}'; expected one of {', '.join(ROLES)}")
    return role


def _nobody(name: str) -> str:
    return f"there is no account '{name}'; 'noctule account list' shows those that are"


def _end_sessions(connection: Any, name: str) -> None:
    connection.execute("DELETE FROM session WHERE name = ? AND way = ?", (name, WAY))


def _normal(password: str) -> str:
    """NIST SP 800-63B 3.1.1.2: one form for what keyboards write in several."""
    return unicodedata.normalize("NFKC", password)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
