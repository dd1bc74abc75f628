"""The dashboard's own shelf, `store/desk.sqlite`: accounts, sessions, scenarios, jobs and the audit trail.

SQLite in write-ahead mode, so that several web workers share it on one machine. Each file that keeps something there
says its table itself and names it when it opens the desk.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sensors.city import City

_WAIT_S = 10.0  # for another worker that writes


class Desk:
    """The shelf of a city, with the tables that are asked for."""

    def __init__(self, city: City, *tables: str) -> None:
        """`tables` are CREATE ... IF NOT EXISTS statements; nothing is made before the first `open`."""
        self._path, self._tables, self._made = city.shelf("desk.sqlite"), tables, False

    @property
    def path(self) -> Path:
        """Where the shelf lies."""
        return self._path

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are committed together at the end, or not at all; rows are read by name."""
        if not self._made:
            self._make()
        connection = sqlite3.connect(self._path, timeout=_WAIT_S)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            with connection:
                yield connection
        finally:
            connection.close()

    def _make(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Password hashes and session digests lie here: nobody else on the machine reads them. We open the file only to
        # make it: closing one that SQLite has open would drop its locks (POSIX), and readers meet a disk error.
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self._path, timeout=_WAIT_S)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            with connection:
                for table in self._tables:
                    connection.execute(table)
        finally:
            connection.close()
        self._made = True
