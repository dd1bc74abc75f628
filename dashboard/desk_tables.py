"""What the desk's tables say to who looks after the service: jobs by state and the end of the audit trail.

Read without writing or making it, and only the columns named here, as far as a desk of another version has them.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sensors.city import City

_JOB = ("name", "title", "author", "state", "done", "steps", "asked", "ended", "message")
_AUDIT = ("time", "who", "role", "what", "detail")
_LAST = 20
_LONGEST = 200


def desk_tables(city: City) -> dict[str, Any]:
    """`jobs` by state with the last of them, `audit` with its last lines; empty where there is no desk.

    `unread` says what could not be read.
    """
    path = city.shelf("desk.sqlite")
    told: dict[str, Any] = {"there": path.is_file(), "jobs": {}, "last_jobs": [], "audit": [], "unread": ""}
    if not told["there"]:
        return told
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
        try:
            connection.row_factory = sqlite3.Row
            tables = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "plan_job" in tables:
                told["jobs"] = _states(connection)
                told["last_jobs"] = _last(connection, "plan_job", _JOB, 5)
            if "audit" in tables:
                told["audit"] = _last(connection, "audit", _AUDIT, _LAST)
        finally:
            connection.close()
    except sqlite3.Error as error:
        told["unread"] = str(error)[:_LONGEST]
    return told


def _states(connection: sqlite3.Connection) -> dict[str, int]:
    if "state" not in _columns(connection, "plan_job"):
        return {}
    rows = connection.execute("SELECT state, count(*) FROM plan_job GROUP BY state ORDER BY state")
    return {str(state)[:40]: int(count) for state, count in rows}


def _last(connection: sqlite3.Connection, table: str, wanted: tuple[str, ...], most: int) -> list[dict[str, str]]:
    """The newest rows, of the wanted columns those that are there."""
    columns = _columns(connection, table)
    chosen = [name for name in wanted if name in columns]
    if not chosen:
        return []
    rows = connection.execute(f"SELECT {', '.join(chosen)} FROM {table} ORDER BY rowid DESC LIMIT {most}")  # noqa: S608  # our names
    return [{name: _text(row[name]) for name in chosen} for row in rows]


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]


def _text(value: Any) -> str:
    return "" if value is None else str(value)[:_LONGEST]
