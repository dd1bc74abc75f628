"""The audit trail: who did what, as what, when; it only grows.

Each line holds a time (UTC), a name and a role, what was done and a word about it. Addresses of machines are not kept:
a failed sign-in says from which source by four letters of a hash whose key dies with the process, so that a hundred
failures of one source can be told from those of a hundred. SQLite itself refuses to change a line, and to delete one
outside the purge, which leaves a line of its own.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from typing import Any

from dashboard.desk import Desk
from sensors.errors import AccountError

YOUNGEST_PURGE_DAYS = 30  # what is younger stays: a trail that can be wiped on the day is none
LONGEST = 300  # of a word about it; longer ones are cut

AUDIT = (
    "CREATE TABLE IF NOT EXISTS audit (id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, who TEXT NOT NULL, "
    "role TEXT NOT NULL, what TEXT NOT NULL, detail TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS audit_purge (before TEXT NOT NULL)",
    "CREATE TRIGGER IF NOT EXISTS audit_stands BEFORE UPDATE ON audit "
    "BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END",
    "CREATE TRIGGER IF NOT EXISTS audit_stays BEFORE DELETE ON audit "
    "WHEN NOT EXISTS (SELECT 1 FROM audit_purge WHERE OLD.time < before) "
    "BEGIN SELECT RAISE(ABORT, 'the audit trail only grows; see noctule account audit --purge-before'); END",
)


def audit(desk: Desk, who: str, what: str, detail: str = "", role: str = "") -> None:
    """Add a line to the trail of a desk that was opened with the tables `AUDIT`.

    who : a name, or '' for somebody who is not signed in; what : e.g. 'sign-in', 'export'; detail : a word about it
    """
    with desk.open() as connection:
        connection.execute(
            "INSERT INTO audit (time, who, role, what, detail) VALUES (?, ?, ?, ?, ?)",
            (_stamp(time.time()), _plain(who), role, what, _plain(detail)),
        )


def trail(desk: Desk, since: str = "", most: int = 1000) -> list[dict[str, Any]]:
    """The newest lines, oldest first, each with `time`, `who`, `role`, `what` and `detail`.

    since : a day like 2026-11-20; earlier lines are left out
    """
    since = since and _day(since).isoformat()
    with desk.open() as connection:
        rows = connection.execute(
            "SELECT time, who, role, what, detail FROM audit WHERE time >= ? ORDER BY id DESC LIMIT ?", (since, most)
        ).fetchall()
    return [dict(row) for row in reversed(rows)]


def purge(desk: Desk, before: str, who: str = "noctule account audit") -> int:
    """Delete lines from before a day, which must be at least 30 days ago, and say so in a line; how many went."""
    day = _day(before)
    age = (datetime.now(UTC).date() - day).days
    if age < YOUNGEST_PURGE_DAYS:
        raise AccountError(
            f"{before} is {age} days ago; the trail of the last {YOUNGEST_PURGE_DAYS} days stays, choose an earlier day"
        )
    with desk.open() as connection:
        connection.execute("INSERT INTO audit_purge (before) VALUES (?)", (day.isoformat(),))
        gone = connection.execute("DELETE FROM audit WHERE time < ?", (day.isoformat(),)).rowcount
        connection.execute("DELETE FROM audit_purge")
    audit(desk, who, "purge", f"{gone} lines before {day.isoformat()}")
    return gone


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise AccountError(f"'{text[:40]}' is no day; write one like 2026-05-01") from None


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(text: str) -> str:
    """One line of what may have come from outside, without what would steer a terminal."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)[:LONGEST]
