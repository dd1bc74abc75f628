"""What the answer form and the answers page leave for ingest: one small file a note in `store/inbox/`.

An answer is coarsened before it is left here; the raw place and time are never written. A note stays until ingest has
put what it says into the answers, so that an answer is in the inbox or in its campaign and never nowhere. An answer's
file has the name of its id: sending it twice leaves one file.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import msgspec

from sensors.city import City
from sensors.errors import StoreError

FORMAT = 1
MOST_WAITING = 20_000  # notes; a form that fills the disk while nobody collects would take the readings down with it
LARGEST_NOTE = 200_000  # bytes; a note that holds a night's ids has some twenty for each


class ItemAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to one item: its instrument and its category, turned so that k is very safe."""

    instrument: str
    item: str
    category: int
    k: int


class Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="answer"):
    """One person's response, coarsened: easting and northing of a section's middle, time of a quarter of an hour."""

    response_id: str
    campaign: str
    time: str
    easting: float
    northing: float
    items: tuple[ItemAnswer, ...]
    light_state: str
    trigger: str
    origin: str
    consent_version: str
    pseudonym: str  # a word of the phone for this month, hashed; empty where it has none
    gender: str = "undisclosed"
    age_band: str = "undisclosed"
    disability: str = "undisclosed"
    alone: str = "undisclosed"
    role: str = "undisclosed"
    familiarity: str = "undisclosed"
    format: int = FORMAT


class Erase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="erase"):
    """Somebody erases the answer of a receipt."""

    response_id: str


class Hold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="hold"):
    """Answers of a campaign that a model finds surprising, to stand aside until somebody decides."""

    campaign: str
    key: str  # night and cell, names the case
    response_ids: tuple[str, ...]
    usual: float
    probability: float


class Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="decide"):
    """What somebody decided of a case in quarantine: 'in', 'out' or 'waiting'."""

    case: str
    state: str
    role: str
    time: str


class Switch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="switch"):
    """A campaign is switched off or on."""

    campaign: str
    on: bool
    role: str
    time: str


Note = Given | Erase | Hold | Decide | Switch
_ORDER = {"answer": 0, "hold": 1, "decide": 2, "switch": 3, "erase": 4}
_NAME = re.compile(r"(answer-[0-9a-f]{16}|(?:hold|decide|switch|erase)-\d{20}-[0-9a-f]{8})\.json")


def leave(city: City, note: Note) -> Path:
    """Leave a note, on the disk before this returns; StoreError where too many wait already."""
    folder = city.shelf("inbox")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_name(note)}.json"
    if not path.exists() and sum(1 for _ in os.scandir(folder)) >= MOST_WAITING:
        raise StoreError(
            f"{folder} holds {MOST_WAITING} notes already; 'noctule survey collect {city.path}' empties it"
        )
    beside = folder / f".{path.stem}-{secrets.token_hex(4)}.new"
    try:
        with open(beside, "wb") as file:
            file.write(msgspec.json.encode(note))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    _sync(folder)
    return path


def waiting(city: City) -> list[Path]:
    """The notes that wait: answers first, then what is decided of them in the order of decision, erasures last."""
    found = [path for path in city.shelf("inbox").glob("*.json") if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: (_ORDER[path.name.split("-", 1)[0]], path.name))


def read_note(path: Path) -> Note | None:
    """A note, or None where its file is damaged or none of ours."""
    try:
        if path.stat().st_size > LARGEST_NOTE:
            return None
        note: Note = msgspec.json.decode(path.read_bytes(), type=Note)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return note


def _name(note: Note) -> str:
    if isinstance(note, Given):
        if not re.fullmatch(r"[0-9a-f]{16}", note.response_id):
            raise StoreError(f"response id '{note.response_id[:40]}' must be 16 hexadecimal digits")
        return f"answer-{note.response_id}"
    kind = str(note.__struct_config__.tag)
    return f"{kind}-{_count():020d}-{secrets.token_hex(4)}"


def _count() -> int:
    """Orders notes by when they were left; of the machine's clock, since the city's may be set back."""
    import time

    return time.time_ns()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
