"""What a walk agreed on, as a small table, and its way into the city's journal."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from datetime import date, datetime, time
from pathlib import Path

from analytics.walk_route import Route
from analytics.walk_times import beginning, ordered
from sensors.city import City
from sensors.errors import WalkError, gather
from sensors.journal import COLUMNS, KINDS, Entry, import_entries, read_journal
from sensors.walk import Walk

ACTION_COLUMNS = ("title", "owner", "due", "stop")
MOST_ACTIONS = 200
LONGEST = 200  # characters of a cell
_LARGEST_FILE = 200_000


def read_actions(file: Path, city: City, walk: Walk, route: Route) -> list[Entry]:
    """Entries of the journal from a CSV of actions; WalkError gathers all that is wrong with it.

    Columns: title; owner, who is responsible; due, a day by which; stop, its number, may be empty; kind of the journal,
    a measure where it is not there.
    """
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise WalkError(f"{file} has more than {_LARGEST_FILE} bytes; no list of actions needs as many")
        reader = csv.DictReader(io.StringIO(file.read_text("utf-8-sig")), strict=True)
        rows = [{key: (value or "").strip() for key, value in row.items() if isinstance(key, str)} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WalkError(f"{file} cannot be read ({error})") from error
    missing = [name for name in ACTION_COLUMNS if name not in (reader.fieldnames or [])]
    if missing:
        raise WalkError(f"{file} lacks the columns {', '.join(missing)}; it needs {', '.join(ACTION_COLUMNS)}")
    start = beginning(city, walk, route, ordered(walk.settings.light_states)[-1]).isoformat(timespec="seconds")
    entries, problems = [], []
    for line, cells in enumerate(rows, start=2):
        if not any(cells.values()):
            continue
        wrong = _problems(cells, walk)
        problems += [f"line {line}: {problem}" for problem in wrong]
        if not wrong:
            entries.append(_entry(cells, city, walk, start))
    if len(rows) > MOST_ACTIONS:
        problems.append(f"it has {len(rows)} lines; at most {MOST_ACTIONS} actions are taken")
    if problems:
        raise WalkError(gather(str(file), problems))
    return entries


def into_journal(city: City, walk: Walk, route: Route, actions: list[Entry]) -> tuple[int, int]:
    """Write that the walk took place and what it agreed on into the journal; how many entries were new, and stood.

    What stands already stays as it is, so that an action that somebody has closed since is not opened again.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in [_campaign(city, walk, route), *actions]:
        writer.writerow([getattr(entry, name) for name in COLUMNS])
    with tempfile.TemporaryDirectory(prefix="noctule-") as folder:
        file = Path(folder) / "walk.csv"
        file.write_text(out.getvalue(), "utf-8")
        return import_entries(city, file)


def actions_in_journal(city: City, walk: Walk, route: Route) -> list[Entry]:
    """The walk's actions as they stand in the journal now, open or not, in their order."""
    start = beginning(city, walk, route, ordered(walk.settings.light_states)[-1]).isoformat(timespec="seconds")
    journal = read_journal(city)
    own = journal[(journal["start"] == start) & journal["place"].str.startswith(_mark(walk))]
    own = own[own["kind"] != "campaign"].sort_values("entry", key=lambda numbers: numbers.str.zfill(9))
    return [Entry(**{name: str(row[name]) for name in COLUMNS}) for row in own.to_dict("records")]


def _problems(cells: dict[str, str], walk: Walk) -> list[str]:
    problems = [
        f"{name} must be one line of at most {LONGEST} characters"
        for name, said in cells.items()
        if len(said) > LONGEST or not said.isprintable()
    ]
    problems += [f"{name} is empty" for name in ("title", "owner", "due") if not cells[name]]
    if cells["due"] and _day(cells["due"]) is None:
        problems.append(f"due '{cells['due'][:20]}' must be a day like 2027-01-31")
    stop = cells["stop"]
    if stop and not (re.fullmatch(r"[0-9]{1,3}", stop) and int(stop) in walk.stops.index):
        problems.append(f"stop '{stop[:20]}' is none of the walk's, {', '.join(map(str, walk.stops.index))}")
    if cells.get("kind") and cells["kind"] not in KINDS:
        problems.append(f"kind '{cells['kind'][:20]}' is not one of {', '.join(KINDS)}")
    return problems


def _entry(cells: dict[str, str], city: City, walk: Walk, start: str) -> Entry:
    place = _mark(walk)
    if cells["stop"]:
        stop = walk.stops.loc[int(cells["stop"])]
        place = f"{place}, stop {int(cells['stop'])}: {stop['label']}"
    day = _day(cells["due"])
    assert day is not None
    due = datetime.combine(day, time(23, 59), city.zone).isoformat(timespec="seconds")
    return Entry(
        entry="", kind=cells.get("kind") or "measure", title=cells["title"], start=start, place=place,
        owner=cells["owner"], status="open", due=due,
    )  # fmt: skip


def _campaign(city: City, walk: Walk, route: Route) -> Entry:
    """That the walk took place, from its first beginning to its last end."""
    from datetime import UTC, timedelta

    moments = [beginning(city, walk, route, state) for state in ordered(walk.settings.light_states)]
    end = (moments[-1].astimezone(UTC) + timedelta(minutes=round(route.minutes))).astimezone(city.zone)
    return Entry(
        entry="", kind="campaign", title=walk.title, start=moments[0].isoformat(timespec="seconds"),
        end=end.isoformat(timespec="seconds"), place=_mark(walk), status="done",
    )  # fmt: skip


def _mark(walk: Walk) -> str:
    """How the journal names the walk."""
    return walk.campaign


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
