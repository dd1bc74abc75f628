"""The refused messages that the log still holds: listed with their reasons, and read again after something was mended.

A dead letter is stored with the same promise as a reading and lives as long as its segment. A replay reads letters
again with today's dialects, settings and register. What is a reading now goes through the ordinary log, with the time
at which it was received first, and from there the ordinary way: screened, shown, archived. A letter that brought
readings is marked in the same append, in a frame of its own kind that every other reader passes over:

    REPLAYED frame: one message a letter, its topic being 'segment:offset:index' of the letter

A letter of which every reading is stored already adds nothing, so a replay that was killed between any two steps is
simply run again. Nothing is kept of what could identify people, so such a letter cannot come back; a retained message
is of unknown age, however well it is understood.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ingest.archive import compact, night_records
from ingest.intake import KEPT_OF_OVERSIZE, Intake, Row, as_records
from ingest.ledger import Senders
from ingest.limits import SiteFacts
from ingest.lock import shelf_lock
from ingest.log import DEAD, GOOD, Message, Position, pack_frame, read_frames, segment_path, segments
from ingest.refusals import kind_of
from ingest.screening import Screen
from ingest.shard_log import ShardLog
from sensors.city import City
from sensors.night import nights_of, rfc3339
from sensors.reading import Records, empty_records, unique_by_key

REPLAYED = 3  # the kind of the frame that marks letters; GOOD and DEAD are those of `ingest.log`
BATCH = 4_096  # letters that are stored by one append
REASONS_SHOWN = 50
PAYLOAD_SHOWN = 200  # bytes of a letter's payload that a person is shown; --json has all of it
RATE = "messages a second"  # what the reason of a letter says whose sender sent too much
RETAINED = "a retained message is of unknown age"  # and of one that was no news
# Reasons that may be those of a payload of which only the beginning was kept; any other was given by who had read it.
_MAY_BE_CUT = ("bytes; at most", RATE, "the decoder failed")


class Letter(NamedTuple):
    """A refused message and where the log holds it."""

    shard: str
    place: str  # 'segment:offset:index'
    message: Message
    replayed: bool

    @property
    def device(self) -> str:
        """The topic's level that names the device where it is spoken our way."""
        levels = self.message.topic.split("/")
        return levels[-2] if len(levels) > 1 else self.message.topic

    def to_dict(self) -> dict[str, Any]:
        """As `noctule health --dead --json` prints it."""
        message = self.message
        return {
            "received": rfc3339(np.datetime64(message.received_ms, "ms")),
            "topic": message.topic,
            "device": self.device,
            "reason": message.reason,
            "bytes": len(message.payload),
            "payload": message.payload.decode("utf-8", "backslashreplace"),
            "shard": self.shard,
            "place": self.place,
            "replayed": self.replayed,
        }

    def text(self) -> str:
        """As a person reads it."""
        message = self.message
        received = rfc3339(np.datetime64(message.received_ms, "ms"))
        payload = message.payload[:PAYLOAD_SHOWN].decode("utf-8", "backslashreplace")
        more = f"... {len(message.payload):,} bytes" if len(message.payload) > PAYLOAD_SHOWN else ""
        replayed = "  (replayed)" if self.replayed else ""
        said = printable(f"{message.topic}  {message.reason}")
        return f"{received}  {said}{replayed}\n    {payload!r}{more}"


@dataclass(frozen=True)
class Wanted:
    """Which letters are meant; an empty member asks for nothing.

    reason : text that the reason contains, in any case
    device : a level of the topic
    since : UTC; received then or later
    """

    reason: str = ""
    device: str = ""
    since: np.datetime64 | None = None

    def matches(self, message: Message) -> bool:
        """Whether this letter is meant."""
        if self.reason.lower() not in message.reason.lower():
            return False
        if self.device and self.device not in message.topic.split("/"):
            return False
        return self.since is None or bool(np.datetime64(message.received_ms, "ms") >= self.since)


@dataclass
class Replayed:
    """What a replay did: letters by what became of them, and readings that are new."""

    letters: int = 0
    stored: int = 0  # letters that brought at least one new reading
    readings: int = 0
    known: int = 0  # letters that are readable now and brought nothing that is not stored already
    refused: int = 0
    dry: bool = False
    reasons: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """For a machine."""
        return {
            "letters": self.letters,
            "stored": self.stored,
            "readings": self.readings,
            "known": self.known,
            "refused": self.refused,
            "refused_by_reason": dict(self.reasons.most_common(REASONS_SHOWN)),
            "dry_run": self.dry,
        }

    def lines(self) -> list[str]:
        """For people."""
        would = "would be " if self.dry else ""
        lines = [
            f"{self.letters} dead letters read again: {self.readings} readings of {self.stored} letters {would}stored, "
            f"{self.known} letters brought nothing new, {self.refused} are still refused"
        ]
        lines += [
            f"  still refused {times} times: {printable(reason)}" for reason, times in self.reasons.most_common(20)
        ]
        return lines


def printable(text: str) -> str:
    r"""Text of a stranger on one line, with what would command a terminal written as an escape.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def letters(city: City, wanted: Wanted | None = None) -> Iterator[Letter]:
    """Every refused message that the log holds, oldest first within a shard."""
    for folder in shard_folders(city):
        marked = _marked(folder)
        for letter in _letters_of(folder, marked):
            if wanted is None or wanted.matches(letter.message):
                yield letter


def replay(city: City, wanted: Wanted | None = None, *, dry: bool = False) -> Replayed:
    """Read dead letters again and store what is a reading now, each once; ShelfLocked while an ingest runs.

    dry : only say what would happen; works beside a running ingest
    """
    done = Replayed(dry=dry)
    known = _Known(city)
    intake = Intake(city)
    folders = shard_folders(city)
    if dry:
        for folder in folders:
            for batch in _batches(_readable(folder, wanted or Wanted(), intake, done)):
                _fresh(batch, known, done)
        return done
    with ExitStack() as locks:
        for folder in folders:  # all of them before anything is written
            locks.enter_context(shelf_lock(folder, f"noctule ingest {city.path} --replay-dead"))
        # Listed before anything is appended: what the replay itself writes is not read again.
        batches = {folder: list(_batches(_readable(folder, wanted or Wanted(), intake, done))) for folder in folders}
        shards = {folder: ShardLog(city, folder.name, intake) for folder in folders}
        for kept in shards.values():
            locks.callback(kept.close)
        for kept in shards.values():  # what a kill left in a log only is known before anything is called new
            kept.recover()
        for folder, kept in shards.items():
            _replay_shard(city, kept, batches[folder], known, done)
    return done


def shard_folders(city: City) -> list[Path]:
    """The folders of the log, one a shard."""
    return sorted(path for path in city.shelf("log").glob("*") if path.is_dir() and segments(path))


def _replay_shard(city: City, kept: ShardLog, batches: list[_Batch], known: _Known, done: Replayed) -> None:
    for batch in batches:
        fresh, rows = _fresh(batch, known, done)
        marks = [Message(letter.place, b"", letter.message.received_ms) for letter, _ in batch]
        frames = [pack_frame(REPLAYED, marks)]
        records = as_records(rows)
        records = records[kept.new(records)]
        if fresh:
            # First: torn between the two, readings are stored and known, and their marks are written next time.
            frames.insert(0, pack_frame(GOOD, fresh))
        kept.append(frames, records)
        if len(records):
            kept.show(_flags_of_then(city, known, records))
    if kept.written > Position(0, 0):
        compact(city, {kept.name: kept.written})
    if (saved := kept.state()) is not None:
        kept.save(saved)


def _flags_of_then(city: City, known: _Known, records: Records) -> npt.NDArray[np.uint16]:
    """The flags that readings would have had if they had been understood when they were received.

    By now their sites may have sent later ones, and screening looks no further back than the last reading.
    """
    story = known.around(records)  # with these: they are known by now
    order = np.lexsort((story["part"], story["seq"], story["boot"], Senders(city).of(story["site"]), story["received"]))
    story = story[order]
    flags = dict(zip(_keys(story), Screen(SiteFacts.of(city)).flags(story).tolist(), strict=True))
    # What contradicts a stored reading of its key is in nobody's story; the archive lists it as a conflict.
    return np.array([flags.get(key, 0) for key in _keys(records)], np.uint16)


def _keys(records: Records) -> list[tuple[object, ...]]:
    """What tells readings apart, numbered or not."""
    keys: list[tuple[object, ...]] = records[["site", "quantity", "boot", "seq", "part", "duration_s", "time"]].tolist()
    return keys


_Batch = list[tuple[Letter, list[Row]]]


def _readable(folder: Path, wanted: Wanted, intake: Intake, done: Replayed) -> Iterator[tuple[Letter, list[Row]]]:
    """The letters that are meant, were not replayed and hold readings today, with their rows."""
    for letter in _letters_of(folder, _marked(folder)):
        if letter.replayed or not wanted.matches(letter.message):
            continue
        done.letters += 1
        rows, reasons = _read_again(intake, letter.message, wanted)
        if rows:
            yield letter, rows
        else:
            done.refused += 1
            _count(done, reasons)


def _batches(letters: Iterable[tuple[Letter, list[Row]]]) -> Iterator[_Batch]:
    batch: _Batch = []
    for entry in letters:
        batch.append(entry)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _fresh(batch: _Batch, known: _Known, done: Replayed) -> tuple[list[Message], list[Row]]:
    """Those letters of a batch that bring something new, as messages, and their rows."""
    fresh: list[Message] = []
    added: list[Row] = []
    for letter, rows in batch:
        new = known.add(as_records(rows))
        done.readings += new
        done.stored += new > 0
        done.known += new == 0
        if new:
            fresh.append(letter.message._replace(reason=""))
            added += rows
    return fresh, added


def _read_again(intake: Intake, message: Message, wanted: Wanted) -> tuple[list[Row], list[str]]:
    """Rows of a letter as it would be read today, or why there are none."""
    if RETAINED in message.reason:
        return [], [RETAINED]
    if not message.payload:
        return [], ["nothing of it was kept"]
    if len(message.payload) == KEPT_OF_OVERSIZE and any(reason in message.reason for reason in _MAY_BE_CUT):
        return [], ["only its beginning was kept"]  # it may look whole where a format needs no end
    if RATE in message.reason and not wanted.reason:
        return [], [f'its sender was above its rate; ask for it with --reason "{RATE}"']
    taken = intake.take_safely(message)
    return taken.rows, taken.reasons


def _count(done: Replayed, reasons: list[str]) -> None:
    for reason in reasons[:1]:
        kind = kind_of(reason)
        if kind in done.reasons or len(done.reasons) < REASONS_SHOWN:
            done.reasons[kind] += 1


class _Known:
    """The readings of the nights concerned, to tell new ones from stored ones."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._nights: dict[str, Records] = {}

    def add(self, records: Records) -> int:
        """How many of these are not stored yet; from now on they are."""
        new = 0
        # A reading lies in the night of its time, or of its receipt where its clock cannot be right.
        by_time = nights_of(records["time"], self._city.zone).astype(str)
        by_receipt = nights_of(records["received"], self._city.zone).astype(str)
        for name, other in sorted(set(zip(by_time.tolist(), by_receipt.tolist(), strict=True))):
            part = records[(by_time == name) & (by_receipt == other)]
            held = self._of(name) if name == other else np.concatenate([self._of(name), self._of(other)])
            held = held[np.isin(held["site"], part["site"])]
            before = unique_by_key(held)
            # What is stored is older than what is read again, whatever their times of receipt.
            after = unique_by_key(np.concatenate([before, part]))
            if len(after) > len(before):
                new += len(after) - len(before)
                self._nights[name] = np.concatenate([self._of(name), part])
        return new

    def around(self, records: Records) -> Records:
        """What is known of the sites of some readings, from the nights of these and those before."""
        names = np.unique(nights_of(np.concatenate([records["time"], records["received"]]), self._city.zone))
        wanted = np.unique(np.concatenate([names, names - 1])).astype(str).tolist()
        held = np.concatenate([self._of(name) for name in wanted])
        return unique_by_key(held[np.isin(held["site"], records["site"])])

    def _of(self, night: str) -> Records:
        if night not in self._nights:
            try:
                self._nights[night] = night_records(self._city, night)
            except ValueError:  # a time so wrong that it has no night
                self._nights[night] = empty_records()
        return self._nights[night]


def _letters_of(folder: Path, marked: frozenset[str]) -> Iterator[Letter]:
    for number in segments(folder):
        for frame in read_frames(segment_path(folder, number)):
            if frame.kind != DEAD:
                continue
            for index, message in enumerate(frame.messages()):
                place = f"{number}:{frame.end.offset}:{index}"
                yield Letter(folder.name, place, message, place in marked)


def _marked(folder: Path) -> frozenset[str]:
    """Places of the letters that were replayed."""
    return frozenset(
        message.topic
        for number in segments(folder)
        for frame in read_frames(segment_path(folder, number))
        if frame.kind == REPLAYED
        for message in frame.messages()
    )
