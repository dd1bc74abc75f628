"""Collects what the answer form and the answers page left in `store/inbox/`: answers, erasures, decisions, switches.

A note is deleted only once what it says stands in `store/answers/` on the disk, and an answer that stands there already
is not added again: killed at any moment, an answer is in the inbox or in its campaign. A note that cannot be read or is
not true of this city is kept aside in `store/inbox/unread/` and told.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ingest.brigading import Suspect
from ingest.campaigns import CAMPAIGN, LOCK_WAIT_S, hashed, read_campaign, salt_of, switch_campaign
from ingest.lock import shelf_lock
from ingest.quarantine import decide_case, erase_answers, hold_answers, keep_answers, note_switch
from sensors.answer import ANSWER_COLUMNS, CODES
from sensors.city import City
from sensors.clock import city_clock
from sensors.coarsening import QUARTER_MS
from sensors.errors import AnswerError
from sensors.inbox import Decide, Erase, Given, Hold, Note, Switch, read_note, waiting
from sensors.instrument import instrument_names, load_instrument
from sensors.night import parse_rfc3339

_EARLIEST = np.datetime64("2000-01-01", "ms")
_AHEAD = np.timedelta64(900, "s")  # clocks of two processes; a quarter of an hour begins before it is over
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass
class Collected:
    """What was done with the notes of one look."""

    answers: int = 0  # rows that were added
    held: int = 0
    erased: int = 0
    decided: int = 0
    switched: int = 0
    unread: list[str] = field(default_factory=list)  # 'answer-….json: the reason'

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def text(self) -> str:
        """For people."""
        parts = [
            f"{self.answers} answers collected",
            f"{self.held} of them set aside" if self.held else "",
            f"{self.erased} erased" if self.erased else "",
            f"{self.decided} decisions" if self.decided else "",
            f"{self.switched} campaigns switched" if self.switched else "",
        ]
        lines = [", ".join(part for part in parts if part)]
        return "\n".join([*lines, *(f"  kept aside in store/inbox/unread: {told}" for told in self.unread)])


def collect(city: City) -> Collected:
    """Put everything that waits in the inbox where it belongs; looking twice changes nothing."""
    done = Collected()
    if not waiting(city):
        return done
    shelf = city.shelf("answers")
    with shelf_lock(shelf, "noctule survey collect", wait_s=LOCK_WAIT_S):
        # Whoever erases an answer has left it before: what is done with answers waits until all that came before it is
        # seen, for one look at a folder may miss what another process is just putting there.
        before = {path for path in waiting(city) if not path.name.startswith("answer-")}
        listed = [path for path in waiting(city) if path in before or path.name.startswith("answer-")]
        notes = [(path, read_note(path)) for path in listed]
        given = [(path, note) for path, note in notes if isinstance(note, Given)]
        _keep_given(city, given, done, salt_of(shelf))
        for path, note in notes:
            if note is None:
                if path.exists():  # not merely taken back by who left it
                    _set_unread(city, path, "it cannot be read", done)
            elif not isinstance(note, Given):
                try:
                    _apply(city, note, done)
                except AnswerError as error:
                    _set_unread(city, path, str(error), done)
                else:
                    path.unlink(missing_ok=True)
    return done


def _keep_given(city: City, given: Sequence[tuple[Path, Given]], done: Collected, salt: bytes) -> None:
    """Answers by campaign, each campaign written once, and only then their notes deleted."""
    now = city_clock(city.path).now()
    together: dict[str, list[tuple[Path, Given]]] = defaultdict(list)
    for path, note in given:
        problem = _problem(note, city, now)
        if problem:
            _set_unread(city, path, problem, done)
        else:
            together[note.campaign].append((path, note))
    for campaign, members in together.items():
        rows = [row for _, note in members for row in _rows(note, salt)]
        table = pd.DataFrame(rows, columns=list(ANSWER_COLUMNS)).astype(ANSWER_COLUMNS)
        origins = set(read_campaign(city, campaign)["origin"]) | set(table["origin"])
        if len(origins) > 1:
            for path, _ in members:
                _set_unread(city, path, f"campaign '{campaign}' holds answers of another origin", done)
            continue
        kept = keep_answers(city, campaign, table, now)
        done.answers += kept.fresh
        done.held += kept.held
        for path, _ in members:
            path.unlink(missing_ok=True)


def _rows(note: Given, salt: bytes) -> list[dict[str, Any]]:
    time = parse_rfc3339(note.time)
    month = str(time.astype("datetime64[M]"))
    person = note.pseudonym or f"answer {note.response_id}"
    shared = {name: getattr(note, name) for name in ANSWER_COLUMNS if name in note.__struct_fields__}
    shared |= {"time": time, "weight": 1.0, "pseudonym": hashed(salt, note.campaign, month, person)}
    return [
        shared | {"instrument": one.instrument, "item": one.item, "category": one.category, "k": one.k}
        for one in note.items
    ]


def _problem(note: Given, city: City, now: np.datetime64) -> str:
    """Why an answer cannot be kept; empty where it can. The form checked all of this: what fails here is no answer."""
    if not _ID.fullmatch(note.response_id) or not CAMPAIGN.fullmatch(note.campaign) or len(note.campaign) > 80:
        return "its id or its campaign is none"
    try:
        time = parse_rfc3339(note.time)
    except ValueError:
        return f"time '{note.time[:40]}' is no time"
    if not _EARLIEST <= time <= now + _AHEAD or time.astype(np.int64) % QUARTER_MS:
        return f"time {note.time[:40]} is not the beginning of a quarter of an hour that has come"
    grid = city.settings.grid
    if not (grid.west <= note.easting < grid.east and grid.south <= note.northing < grid.north):
        return f"its place is not in {city.name}"
    odd = [name for name, codes in CODES.items() if getattr(note, name) not in codes]
    if odd:
        return f"its {odd[0]} is none of {', '.join(CODES[odd[0]])}"
    if note.origin != ("simulated" if city.simulated else "recorded"):
        return f"answers of {city.name} are not '{note.origin[:20]}'"
    return _item_problem(note)


def _item_problem(note: Given) -> str:
    names = [one.instrument for one in note.items]
    if not names or len(set(names)) != len(names):
        return "it answers nothing, or one thing twice"
    for one in note.items:
        if one.instrument not in instrument_names():
            return f"instrument '{one.instrument[:40]}' has no definition"
        tool = load_instrument(one.instrument)
        if one.k != tool.categories or not 1 <= one.category <= one.k or one.item not in {i.id for i in tool.items}:
            return f"{one.instrument} has no category {one.category} of {one.k}"
    return ""


def _apply(city: City, note: Note, done: Collected) -> None:
    if isinstance(note, Erase):
        if _ID.fullmatch(note.response_id):  # a receipt of an answer that is gone already erases nothing more
            done.erased += erase_answers(city, [note.response_id])
    elif isinstance(note, Hold):
        ids = tuple(note.response_ids)
        found = Suspect("surprise", note.key, ids, len(ids), note.usual, note.probability)
        done.held += hold_answers(city, note.campaign, [found], city_clock(city.path).now())
    elif isinstance(note, Decide):
        decide_case(city, note.case, note.state, note.role, note.time)
        done.decided += 1
    elif isinstance(note, Switch) and switch_campaign(city, note.campaign, on=note.on):
        note_switch(city, note.campaign, on=note.on, role=note.role, time=note.time)
        done.switched += 1


def _set_unread(city: City, path: Path, reason: str, done: Collected) -> None:
    """Keep a note that says nothing we can use; it holds no more than a coarsened answer."""
    folder = city.shelf("inbox", "unread")
    folder.mkdir(parents=True, exist_ok=True)
    path.replace(folder / path.name)
    done.unread.append(f"{path.name}: {reason}")
