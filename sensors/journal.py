"""The city's journal: what it did, when and where, so that a change on the map can be read beside what caused it.

One CSV file, `journal/journal.csv`, in and out: it opens in any spreadsheet and is the record that a working group
keeps. Entries are never rewritten by the service; an entry that is imported twice stands once.
"""

from __future__ import annotations

import csv
import fcntl
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from sensors.city import City
from sensors.errors import CityError, gather
from sensors.night import parse_rfc3339

KINDS = ("event", "works", "measure", "campaign", "closing-time", "decision", "holiday")
STATUSES = ("planned", "open", "done", "dropped")
_DANGEROUS_FIRST = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would read such a cell as a formula


@dataclass(frozen=True)
class Entry:
    """One thing the city did; times RFC 3339, place as longitude and latitude or a name, lamps ';'-joined ids."""

    entry: str
    kind: str
    title: str
    start: str
    end: str = ""
    place: str = ""
    lamps: str = ""
    owner: str = ""
    status: str = "open"
    due: str = ""
    outcome: str = ""


COLUMNS = tuple(column.name for column in fields(Entry))


def read_journal(city: City) -> pd.DataFrame:
    """All entries, by start: the columns of `Entry` as text, and `start_time`, `end_time` (UTC, NaT where open)."""
    file = _file(city)
    rows = _read_rows(file.read_text("utf-8"), str(file)) if file.is_file() else []
    frame = pd.DataFrame([asdict(row) for row in rows], columns=list(COLUMNS), dtype="str")
    frame["start_time"] = np.array([_moment(row.start) for row in rows], "datetime64[ms]")
    frame["end_time"] = np.array([_moment(row.end) for row in rows], "datetime64[ms]")
    return frame.sort_values(["start_time", "entry"], ignore_index=True)


def add_entry(city: City, entry: Entry) -> Entry:
    """Append an entry; an empty `entry` gets the next number. Returns it as written."""
    with _writing(city):
        rows = _existing(city)
        if not entry.entry:
            numbers = [int(row.entry) for row in rows if row.entry.isdigit()]
            entry = Entry(**{**asdict(entry), "entry": str(max(numbers, default=0) + 1)})
        problems = _problems(entry)
        if entry.entry in {row.entry for row in rows}:
            problems.append(f"entry '{entry.entry}' exists already")
        if problems:
            raise CityError(gather("journal entry", problems))
        _write(city, [*rows, entry])
    return entry


def import_entries(city: City, file: Path) -> tuple[int, int]:
    """Take entries from a CSV file with the journal's columns; returns how many were new and how many stood already."""
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CityError(f"{file} cannot be read ({error})") from error
    rows = _read_rows(text, str(file))
    with _writing(city):
        present = _existing(city)
        numbers = {row.entry for row in present}
        contents = {_content(row) for row in present}
        fresh: list[Entry] = []
        following = max((int(number) for number in numbers if number.isdigit()), default=0)
        for row in rows:
            if _content(row) in contents:
                continue
            if not row.entry or row.entry in numbers:
                following += 1
                row = Entry(**{**asdict(row), "entry": str(following)})
            numbers.add(row.entry)
            contents.add(_content(row))
            fresh.append(row)
        _write(city, present + fresh)
    return len(fresh), len(rows) - len(fresh)


def journal_csv(city: City) -> str:
    """The journal as CSV text, cells that a spreadsheet would run as a formula made harmless."""
    return _csv(_existing(city))


def _existing(city: City) -> list[Entry]:
    file = _file(city)
    return _read_rows(file.read_text("utf-8"), str(file)) if file.is_file() else []


def _read_rows(text: str, source: str) -> list[Entry]:
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in ("kind", "title", "start") if name not in (reader.fieldnames or [])]
    if missing:
        raise CityError(
            f"{source}: column {', '.join(missing)} is missing; the journal's columns are {', '.join(COLUMNS)}"
        )
    rows, problems = [], []
    for line, raw in enumerate(reader, start=2):
        cells = {name: _unguarded((raw.get(name) or "").strip()) for name in COLUMNS}
        entry = Entry(**{**cells, "status": cells["status"] or "open"})
        problems += [f"line {line}: {problem}" for problem in _problems(entry)]
        rows.append(entry)
    if problems:
        raise CityError(gather(source, problems))
    return rows


def _problems(entry: Entry) -> list[str]:
    problems = []
    if entry.kind not in KINDS:
        problems.append(f"kind '{entry.kind}' is not one of {', '.join(KINDS)}")
    if entry.status not in STATUSES:
        problems.append(f"status '{entry.status}' is not one of {', '.join(STATUSES)}")
    if not entry.title:
        problems.append("the title is empty")
    moments = {}
    for name in ("start", "end", "due"):
        text = getattr(entry, name)
        if not text and name != "start":
            continue
        try:
            moments[name] = parse_rfc3339(text)
        except ValueError:
            problems.append(f"{name} '{text}' must be a time with its zone, like 2026-11-20T22:00:00+02:00")
    if "start" in moments and "end" in moments and moments["end"] < moments["start"]:
        problems.append("end lies before start")
    return problems


def _write(city: City, rows: list[Entry]) -> None:
    file = _file(city)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".csv.new")
    beside.write_text(_csv(rows), "utf-8")
    beside.replace(file)


def _csv(rows: list[Entry]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_guarded(value) for value in asdict(row).values()] for row in rows)
    return out.getvalue()


def _guarded(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_DANGEROUS_FIRST) else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_DANGEROUS_FIRST) else cell


def _content(row: Entry) -> tuple[str, ...]:
    return (row.kind, row.title, row.start, row.end, row.place)


def _moment(text: str) -> np.datetime64:
    return parse_rfc3339(text) if text else np.datetime64("NaT", "ms")


@contextmanager
def _writing(city: City) -> Iterator[None]:
    folder = city.path / "journal"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _file(city: City) -> Path:
    return city.path / "journal" / "journal.csv"
