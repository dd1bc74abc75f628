"""The ingest process: receive, decode, store, and only then acknowledge.

One thread does all of it in turn; while a group is on its way to the disk, the next one gathers in the socket, bounded
by the receive maximum. A group closes at 8,192 messages, 1 MiB or 5 ms after its first message: durability then costs
a few microseconds a reading, and the rate adapts to the disk by itself. Compaction runs beside, in a second thread.

What cannot be stored is not acknowledged: the group waits in memory and is tried again, the broker's window closes,
and the broker keeps the rest.
"""

from __future__ import annotations

import itertools
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.archive import compact, read_manifest
from ingest.health import write_health
from ingest.intake import Intake, Row, as_records, kept_payload
from ingest.lock import shelf_lock
from ingest.log import DEAD, GOOD, Disk, Log, Message, Position, pack_frame, read_frames, segment_path, segments
from ingest.login import session_name, tls_of
from ingest.mqtt import Filter, Raw, Subscriber
from ingest.screening import Screen
from ingest.seen import REMEMBERED, Seen
from ingest.tail import TailReader, TailWriter, Upto, tail_path
from sensors.city import City
from sensors.clock import Clock, city_clock
from sensors.errors import BrokerError, NoctuleError, StoreError
from sensors.night import rfc3339
from sensors.reading import Records
from sensors.wire import STATUS

GROUP_MESSAGES = 8_192
GROUP_BYTES = 1 << 20
LINGER_S = 0.005
INBOX_BYTES = 64 << 20  # received and not yet decoded; beyond it the socket is left to fill
IDLE_S = 0.05  # how long one turn waits for a message
HEALTH_S = 1.0
COMPACT_S = 60.0
LOG_KEPT_S = 7 * 86_400.0  # of what is archived; the raw bytes are the truth while a decoder may still be mended
_HOLD_FIRST_S, _HOLD_LONGEST_S = 0.25, 5.0
_REASONS_KEPT = 50
_RETAINED = "a retained message is of unknown age, so it is no reading"


class _Status(msgspec.Struct):
    """What a status message says; other members are of no use to us."""

    state: str


@dataclass
class _Group:
    """Messages that are stored, and acknowledged, together."""

    began: float
    deliveries: list[tuple[int, Raw]] = field(default_factory=list)  # and the connection that each came by
    good: list[tuple[Message, int]] = field(default_factory=list)  # and how many rows it has
    dead: list[Message] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    size: int = 0

    def full(self) -> bool:
        """Whether it takes no more."""
        return len(self.deliveries) >= GROUP_MESSAGES or self.size >= GROUP_BYTES

    def due(self) -> bool:
        """Whether it is full, or has waited long enough."""
        return self.full() or time.monotonic() - self.began >= LINGER_S


class _Sealed(NamedTuple):
    """A group as bytes for the log, and as records for the tail."""

    frames: list[bytes]
    records: Records
    deliveries: list[tuple[int, Raw]]


class _Saved(msgspec.Struct, frozen=True):
    """The state of screening at a place in the log, so that a restart need not read all of it."""

    position: tuple[int, int]
    screen: bytes


def run(
    city: City,
    *,
    shard: str = "0",
    url: str = "",
    password: str = "",
    until: Callable[[], bool] | None = None,
    disk: Disk | None = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Ingest for a city until SIGTERM, SIGINT or `until()`; BrokerError when another client takes our session.

    shard : name of the log this process writes, and part of its session's name
    url : broker, instead of the one in city.toml
    password : of the account `broker.user` of city.toml
    say : is told each change of the connection, and each trouble that comes or goes, in a sentence
    """
    stopped = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
    folder = city.shelf("log", shard)
    try:
        with shelf_lock(folder, f"noctule ingest {city.path}"):
            service = Service(city, shard, url or city.settings.broker.url, password, disk, say)
            service.run(lambda: stopped.is_set() or (until is not None and until()))
    except OSError as error:
        raise StoreError(f"{folder} cannot be used ({error}); make it writable, or make room") from error


class Service:
    """One shard's ingest; the caller holds the lock of its folder."""

    def __init__(
        self,
        city: City,
        shard: str,
        url: str,
        password: str = "",
        disk: Disk | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        broker = city.settings.broker
        self.city = city
        self.shard = shard
        self.folder: Path = city.shelf("log", shard)
        self.clock: Clock = city_clock(city.path)
        self.intake = Intake(city)
        self.subscriber = Subscriber(
            url,
            session_name(city, shard),
            broker.user or None,
            password or None,
            tls_of(city),
            filters=(Filter(f"{broker.root}/{city.id}/+/+", 2), Filter(f"{broker.root}/{city.id}/+/{STATUS}", 0)),
        )
        self.counts = Counter(received=0, stored=0, refused=0, duplicates=0)
        self.reasons: Counter[str] = Counter()
        self.online: set[str] = set()
        self.last_received: int | None = None
        self.troubles: dict[str, str] = {}  # what is wrong now, by the part that it is wrong with
        self._disk = disk
        self._since = self.clock.now()
        self._seen = Seen()
        self._screen = Screen()
        self._tail = TailWriter(self.folder)
        self._upto = Upto(self.folder)
        self._log: Log | None = None
        self._group: _Group | None = None
        self._sealed: _Sealed | None = None
        self._hold_s = _HOLD_FIRST_S
        self._retry_at = 0.0
        self._compactor: threading.Thread | None = None
        self._compacted = time.monotonic()
        self._health_at = 0.0
        self._said: tuple[str, ...] = (self.subscriber.sentence,)
        self._say = say or (lambda _sentence: None)

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop()`."""
        self._recover()
        try:
            while not stop() and self.subscriber.state != "stopped":
                self._turn()
            refusal = self.subscriber.sentence if self.subscriber.state == "stopped" else ""
            self._finish()
        finally:
            self.subscriber.close()
            write_health(self.city, self.health())
        if refusal:
            write_health(self.city, self.health() | {"sentence": refusal})
            raise BrokerError(refusal)

    def health(self) -> dict[str, Any]:
        """What `store/health/ingest.json` says."""
        holding = "log" in self.troubles
        state = "retrying" if holding and self.subscriber.state == "connected" else self.subscriber.state
        return {
            "state": state,
            "broker": self.subscriber.url,
            "since": rfc3339(self._since),
            "last_received": None if self.last_received is None else rfc3339(np.datetime64(self.last_received, "ms")),
            "counts": dict(self.counts),
            "refused_by_reason": dict(self.reasons.most_common(_REASONS_KEPT)),
            "devices_online": len(self.online),
            "holding": holding,
            "shard": self.shard,
            "sentence": "; ".join([*self.troubles.values(), self.subscriber.sentence]),
        }

    def _turn(self) -> None:
        """Receive for a moment, store what is due, and see to the house."""
        if self.subscriber.inbox_bytes < INBOX_BYTES:
            waiting = self._group is not None or self._sealed is not None
            self.subscriber.receive(LINGER_S if waiting else IDLE_S, GROUP_MESSAGES)
        else:
            time.sleep(IDLE_S)  # only while nothing can be stored: let the broker keep it
        self._take()
        if self._group is not None and self._sealed is None and self._group.due():
            self._sealed, self._group = self._seal(self._group), None
        if self._sealed is not None and time.monotonic() >= self._retry_at:
            self._store()
        if self._group is None and self._sealed is None:
            self._upto.say(self.clock.now_ms())
        changed = (wrong := (*self.troubles, self.subscriber.sentence)) != self._said
        if changed:
            self._said = wrong
            self._say(self.health()["sentence"])
        if changed or time.monotonic() >= self._health_at:
            self._health_at = time.monotonic() + HEALTH_S
            self._look_around()

    def _take(self) -> None:
        """Decode what has arrived. While a group cannot be stored one more gathers; the rest stays in the inbox."""
        while self.subscriber.inbox and not (self._group is not None and self._group.full()):
            if self._group is None:
                self._group = _Group(time.monotonic())
            if batch := self.subscriber.pop(1):
                self._take_one(self._group, batch.connection, batch.messages[0])

    def _take_one(self, group: _Group, connection: int, raw: Raw) -> None:
        group.deliveries.append((connection, raw))
        topic, _mid, header, payload = raw[0].decode("utf-8", "replace"), *raw[1:]
        if topic.endswith("/" + STATUS):
            self._note_status(topic, payload)
            return
        self.counts["received"] += 1
        received_ms = self.clock.now_ms()
        self.last_received = received_ms
        message = Message(topic, payload, received_ms)
        if header & 1:
            self._refuse(group, message, [_RETAINED])
            return
        try:
            taken = self.intake.take(message)
        except Exception as error:  # a decoder's bug must cost a message its place, not everyone theirs
            self._refuse(group, message, [f"the decoder failed on it: {type(error).__name__}: {error}"])
            return
        if taken.reasons:
            self._refuse(group, message, taken.reasons)
        if taken.rows:
            group.good.append((message, len(taken.rows)))
            group.rows += taken.rows
            group.size += len(message.payload)

    def _refuse(self, group: _Group, message: Message, reasons: list[str]) -> None:
        """Keep a message among the dead letters: stored with the same promise as a good one."""
        self.counts["refused"] += len(reasons)
        for reason in reasons:
            # Counted by kind: without what was quoted from the message, or a device could fill our memory with kinds.
            kind = re.sub(r"\d+", "#", re.sub(r"'[^']*'", "'…'", reason))
            if kind in self.reasons or len(self.reasons) < _REASONS_KEPT:
                self.reasons[kind] += 1
        kept = kept_payload(message.payload)
        group.dead.append(Message(message.topic, kept, message.received_ms, "; ".join(reasons[:20])))
        group.size += len(kept)

    def _note_status(self, topic: str, payload: bytes) -> None:
        device = topic.split("/")[-2]
        try:
            state = msgspec.json.decode(payload, type=_Status).state
        except msgspec.DecodeError:
            state = "offline"
        if state == "online" and self.intake.register.device_known(device):
            self.online.add(device)
        else:
            self.online.discard(device)

    def _seal(self, group: _Group) -> _Sealed:
        """Drop what came before, flag the readings in order of arrival, and make the frames."""
        records = as_records(group.rows)
        new = self._seen.new(records)
        self.counts["duplicates"] += int(np.count_nonzero(~new))
        kept = _with_any_new(group.good, new)
        records = records[new]
        records["flags"] = self._screen.flags(records)
        frames = []
        if kept:
            frames.append(pack_frame(GOOD, kept))
        if group.dead:
            frames.append(pack_frame(DEAD, group.dead))
        return _Sealed(frames, records, group.deliveries)

    def _store(self) -> None:
        """Write, sync, show, acknowledge; or hold on to the group and try again later."""
        sealed = self._sealed
        assert sealed is not None
        try:
            self._tail.flush()  # what the disk refused after the last group was safe
            ends = self._opened().append(sealed.frames) if sealed.frames else []
        except OSError as error:
            self.troubles["log"] = (
                f"the log cannot be written ({error.strerror or error}); nothing is lost: "
                f"{len(sealed.deliveries)} messages wait un-acknowledged, the rest at the broker"
            )
            self._retry_at = time.monotonic() + self._hold_s
            self._hold_s = min(2 * self._hold_s, _HOLD_LONGEST_S)
            return
        self._sealed, self._hold_s = None, _HOLD_FIRST_S
        self.troubles.pop("log", None)
        self.counts["stored"] += len(sealed.records)
        if len(sealed.records):
            self._show(ends[0], sealed.records)
        for connection, deliveries in itertools.groupby(sealed.deliveries, key=lambda delivery: delivery[0]):
            self.subscriber.acknowledge(connection, [raw for _, raw in deliveries])

    def _opened(self) -> Log:
        if self._log is None:
            archived = read_manifest(self.city).positions.get(self.shard, (0, 0))
            self._log = Log.open(self.folder, self._disk, after=archived[0])
        return self._log

    def _show(self, end: Position, records: Records) -> None:
        try:
            self._tail.append(end, records)
            self.troubles.pop("tail", None)
        except OSError as error:
            self.troubles["tail"] = (
                f"readings are safe in the log, but followers do not see them yet ({error.strerror or error})"
            )

    def _look_around(self) -> None:
        """Once a second: the register, the archive, our own health."""
        try:
            self.intake.refresh()
            self.troubles.pop("register", None)
        except (NoctuleError, OSError) as error:
            self.troubles["register"] = f"the changed site register cannot be read, the old one is used: {error}"
        if time.monotonic() - self._compacted >= COMPACT_S and self._sealed is None:
            self._compact_beside()
        write_health(self.city, self.health())

    def _compact_beside(self) -> None:
        if self._compactor is not None and self._compactor.is_alive():
            return
        self._compacted = time.monotonic()
        end, screen = self._tail.written, self._screen.state()
        self._compactor = threading.Thread(target=self._compact, args=(end, screen), name="compaction", daemon=True)
        self._compactor.start()

    def _compact(self, end: Position, screen: bytes | None) -> None:
        """Archive up to `end`, then keep the state of screening there."""
        if end == Position(0, 0):
            return
        try:
            compact(self.city, {self.shard: end})
            if screen is not None:
                saved = msgspec.msgpack.encode(_Saved((end.segment, end.offset), screen))
                beside = self._saved_path().with_suffix(".new")
                beside.write_bytes(saved)
                beside.replace(self._saved_path())
            self._forget_old(end.segment)
            self.troubles.pop("archive", None)
        except (NoctuleError, OSError) as error:
            self.troubles["archive"] = f"the archive cannot be written, the log keeps everything meanwhile ({error})"

    def _forget_old(self, archived: int) -> None:
        """Remove segments that have been in the archive for long enough."""
        oldest = time.time() - LOG_KEPT_S
        for number in segments(self.folder):
            path = segment_path(self.folder, number)
            if number < archived and path.stat().st_mtime < oldest:
                path.unlink()
                tail_path(self.folder, number).unlink(missing_ok=True)

    def _finish(self) -> None:
        """Store what is at hand and archive it; what cannot be stored was never acknowledged."""
        if self._sealed is None and self._group is not None:
            self._sealed, self._group = self._seal(self._group), None
        if self._sealed is not None:
            self._store()
        if self._compactor is not None:
            self._compactor.join()
        # A group that could not be stored has left its mark on the screen, so that state is not kept.
        self._compact(self._tail.written, self._screen.state() if self._sealed is None else None)
        if self._log is not None:
            self._log.close()
        self._tail.close()

    def _recover(self) -> None:
        """Bring screening, and the tail, to where the log ends: read what is there, decode again what is not."""
        manifest = read_manifest(self.city)
        archived = Position(*manifest.positions.get(self.shard, (0, 0)))
        saved = self._load_saved()
        known = Position(*saved.position) if saved is not None else Position(0, 0)
        if saved is not None:
            self._screen = Screen.from_state(saved.screen)
        start = min(known, archived)
        for number in segments(self.folder):
            if number < start.segment:
                continue
            reached = self._learn_tail(number, known)
            self._rebuild_tail(number, reached)
        self._tail.written = max(self._tail.written, archived)

    def _learn_tail(self, number: int, known: Position) -> int:
        """Take in what the tail of a segment holds; the log offset at which it ends."""
        reader = TailReader(self.folder, number)
        blocks = reader.read()
        reader.close()
        self._tail.begin(number)
        remembered = 0
        recent: list[Records] = []
        for _, records in reversed(blocks):
            if remembered > REMEMBERED:
                break
            recent.append(records)
            remembered += len(records)
        for records in reversed(recent):
            self._seen.new(records)
        for position, records in blocks:
            if position > known:
                self._screen.learn(records)
            self._tail.written = position
        return blocks[-1][0].offset if blocks else 0

    def _rebuild_tail(self, number: int, reached: int) -> None:
        for frame in read_frames(segment_path(self.folder, number), reached):
            if frame.kind != GOOD:
                continue
            rows: list[Row] = []
            for message in frame.messages():
                rows += self.intake.take(message).rows
            records = as_records(rows)
            records = records[self._seen.new(records)]
            records["flags"] = self._screen.flags(records)
            self._show(frame.end, records)

    def _saved_path(self) -> Path:
        return self.folder / "screening.state"

    def _load_saved(self) -> _Saved | None:
        try:
            return msgspec.msgpack.decode(self._saved_path().read_bytes(), type=_Saved)
        except (FileNotFoundError, msgspec.DecodeError):
            return None  # learnt again from the tails that are left


def _with_any_new(good: list[tuple[Message, int]], new: npt.NDArray[np.bool_]) -> list[Message]:
    """The messages of which at least one row is new; `new` has one entry a row, in order."""
    if new.all():
        return [message for message, _ in good]
    kept = []
    start = 0
    for message, rows in good:
        if new[start : start + rows].any():
            kept.append(message)
        start += rows
    return kept
