"""The scenarios that planners write on the Plan page: kept as they are typed, with versions and their authors.

A save names the revision it began from; when somebody else, or another tab, saved meanwhile it is refused and nobody's
work is lost. Saves of one author run on in one version for ten minutes; a version that was computed or kept is never
written over. Nothing is ever deleted: a scenario is archived.
"""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics import atlas
from analytics.scenario import FORMAT, parse_scenario
from dashboard.desk import Desk
from sensors.city import City
from sensors.errors import ScenarioError
from sensors.night import parse_rfc3339, rfc3339

TABLES = (
    "CREATE TABLE IF NOT EXISTS scenario (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, title TEXT NOT NULL, "
    "author TEXT NOT NULL, changed TEXT NOT NULL, changed_by TEXT NOT NULL, archived INTEGER NOT NULL DEFAULT 0, "
    "revision INTEGER NOT NULL, version INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS scenario_version (scenario INTEGER NOT NULL REFERENCES scenario(id), "
    "version INTEGER NOT NULL, author TEXT NOT NULL, begun TEXT NOT NULL, saved TEXT NOT NULL, "
    "kept INTEGER NOT NULL DEFAULT 0, content BLOB NOT NULL, PRIMARY KEY (scenario, version))",
)
LONGEST_TITLE = 120
MOST_SCENARIOS = 1_000  # of a city, archived ones with them
MOST_CHANGES = 500
MOST_BYTES = 1_000_000  # of one scenario as JSON; fifty thousand lamps named one by one are two thirds of that
_LONGEST_NAME = 40
_RUN_ON = np.timedelta64(10, "m")  # of one author's saves in one version

Content = dict[str, Any]


class StaleError(Exception):
    """The scenario was saved by somebody else since it was read; `current` is how it stands."""

    def __init__(self, current: Kept) -> None:
        super().__init__(current.name)
        self.current = current


@dataclass(frozen=True)
class Kept:
    """A scenario as it is kept."""

    id: int
    name: str
    title: str
    author: str
    changed: str
    changed_by: str
    archived: bool
    revision: int
    version: int


@dataclass(frozen=True)
class Version:
    """One version of a scenario."""

    version: int
    author: str
    saved: str
    kept: bool


class Scenarios:
    """A city's scenarios on the dashboard's own shelf."""

    def __init__(self, city: City) -> None:
        self._city, self._desk = city, Desk(city, *TABLES)

    def all(self) -> list[Kept]:
        """All of them, the one that was changed last first."""
        with self._desk.open() as desk:
            return [_kept(row) for row in desk.execute("SELECT * FROM scenario ORDER BY changed DESC, id DESC")]

    def get(self, number: int) -> Kept | None:
        """One of them."""
        with self._desk.open() as desk:
            return _get(desk, number)

    def changes(self, number: int, version: int) -> list[Content] | None:
        """The changes of a version, as in its file; None where there is none."""
        with self._desk.open() as desk:
            row = desk.execute(
                "SELECT content FROM scenario_version WHERE scenario = ? AND version = ?", (number, version)
            ).fetchone()
        if row is None:
            return None
        changes: list[Content] = json.loads(zlib.decompress(row["content"]))
        return changes

    def content(self, kept: Kept, version: int | None = None) -> Content:
        """A version as the content of a scenario file, the newest without a number."""
        changes = self.changes(kept.id, version or kept.version) or []
        head = {"format": FORMAT, "name": kept.name, "title": kept.title, "author": kept.author}
        return head | {"change": changes}

    def versions(self, number: int) -> list[Version]:
        """Versions of one, newest first."""
        with self._desk.open() as desk:
            rows = desk.execute(
                "SELECT version, author, saved, kept FROM scenario_version WHERE scenario = ? ORDER BY version DESC",
                (number,),
            ).fetchall()
        return [Version(row["version"], row["author"], row["saved"], bool(row["kept"])) for row in rows]

    def create(self, title: str, changes: list[Content], author: str, now: np.datetime64, name: str = "") -> Kept:
        """A new scenario; its name is made from `name` or the title and is no other's."""
        title = clean_title(title)
        body = self._checked(changes)
        planned = set(atlas.plans(self._city))
        with self._desk.open() as desk:
            desk.execute("BEGIN IMMEDIATE")
            taken = planned | {row["name"] for row in desk.execute("SELECT name FROM scenario")}
            if len(taken) >= MOST_SCENARIOS:
                raise ScenarioError(
                    f"{self._city.name} has {len(taken)} scenarios; no more than {MOST_SCENARIOS} are kept"
                )
            stamp = rfc3339(now)
            made = desk.execute(
                "INSERT INTO scenario (name, title, author, changed, changed_by, revision, version) "
                "VALUES (?, ?, ?, ?, ?, 1, 1)",
                (_free(slug(name or title), taken), title, author, stamp, author),
            )
            number = int(made.lastrowid or 0)
            desk.execute(
                "INSERT INTO scenario_version (scenario, version, author, begun, saved, content) "
                "VALUES (?, 1, ?, ?, ?, ?)",
                (number, author, stamp, stamp, body),
            )
            kept = _get(desk, number)
        assert kept is not None
        return kept

    def save(
        self,
        number: int,
        revision: int,
        author: str,
        now: np.datetime64,
        *,
        title: str | None = None,
        changes: list[Content] | None = None,
        archived: bool | None = None,
    ) -> Kept:
        """Change a scenario that was read at `revision`; StaleError where it has another one by now."""
        body = None if changes is None else self._checked(changes)
        title = None if title is None else clean_title(title)
        with self._desk.open() as desk:
            desk.execute("BEGIN IMMEDIATE")
            kept = _get(desk, number)
            if kept is None:
                raise ScenarioError(f"there is no scenario {number}")
            if kept.revision != revision:
                raise StaleError(kept)
            version = kept.version if body is None else self._put(desk, kept, body, author, now)
            desk.execute(
                "UPDATE scenario SET title = ?, archived = ?, changed = ?, changed_by = ?, revision = ?, version = ? "
                "WHERE id = ?",
                (
                    kept.title if title is None else title,
                    kept.archived if archived is None else archived,
                    rfc3339(now), author, revision + 1, version, number,
                ),
            )  # fmt: skip
            saved = _get(desk, number)
        assert saved is not None
        return saved

    def keep(self, number: int, version: int) -> None:
        """Never write over a version again."""
        with self._desk.open() as desk:
            desk.execute("UPDATE scenario_version SET kept = 1 WHERE scenario = ? AND version = ?", (number, version))

    def _put(self, desk: sqlite3.Connection, kept: Kept, body: bytes, author: str, now: np.datetime64) -> int:
        last = desk.execute(
            "SELECT author, begun, kept FROM scenario_version WHERE scenario = ? AND version = ?",
            (kept.id, kept.version),
        ).fetchone()
        age = now - parse_rfc3339(last["begun"])
        stamp = rfc3339(now)
        if last["author"] == author and not last["kept"] and np.timedelta64(0, "m") <= age < _RUN_ON:
            desk.execute(
                "UPDATE scenario_version SET saved = ?, content = ? WHERE scenario = ? AND version = ?",
                (stamp, body, kept.id, kept.version),
            )
            return kept.version
        desk.execute(
            "INSERT INTO scenario_version (scenario, version, author, begun, saved, content) VALUES (?, ?, ?, ?, ?, ?)",
            (kept.id, kept.version + 1, author, stamp, stamp, body),
        )
        return kept.version + 1

    def _checked(self, changes: list[Content]) -> bytes:
        """The changes as they are kept, once they are known to be some that `noctule plan` takes."""
        if len(changes) > MOST_CHANGES:
            raise ScenarioError(f"{len(changes)} changes; a scenario has at most {MOST_CHANGES}")
        if changes:  # one that is being begun has none yet
            parse_scenario({"format": FORMAT, "name": "draft", "change": changes}, self._city, "scenario")
        text = json.dumps(changes, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        if len(text) > MOST_BYTES:
            raise ScenarioError(f"the scenario has {len(text)} bytes; at most {MOST_BYTES} are kept")
        return zlib.compress(text, 6)


def clean_title(text: str) -> str:
    """A title without controls and runs of spaces; ScenarioError where nothing is left or it is too long."""
    title = " ".join("".join(c if unicodedata.category(c)[0] != "C" else " " for c in text).split())
    if not title or len(title) > LONGEST_TITLE:
        raise ScenarioError(f"a title of {len(title)} letters; expected 1 to {LONGEST_TITLE}")
    return title


def slug(title: str) -> str:
    """A folder name of a title.

    >>> slug("Pleine lumière, rue d'Été !"), slug("照明")
    ('pleine-lumiere-rue-d-ete', 'scenario')
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain))[:_LONGEST_NAME].strip("-") or "scenario"


def changes_of(given: Mapping[str, Any]) -> list[Content]:
    """The changes that a browser sent; ScenarioError where they are no list of tables."""
    changes = given.get("changes", [])
    if not isinstance(changes, list) or not all(isinstance(entry, dict) for entry in changes):
        raise ScenarioError("changes must be a list of tables like those under [[change]]")
    return changes


def _free(wanted: str, taken: Iterable[str]) -> str:
    names = set(taken)
    return next(
        name
        for name in (wanted, *(f"{wanted}-{number}" for number in range(2, MOST_SCENARIOS + 2)))
        if name not in names
    )


def _get(desk: sqlite3.Connection, number: int) -> Kept | None:
    row = desk.execute("SELECT * FROM scenario WHERE id = ?", (number,)).fetchone()
    return _kept(row) if row else None


def _kept(row: sqlite3.Row) -> Kept:
    return Kept(**{**dict(row), "archived": bool(row["archived"])})
