"""The ingest process: receive, decode, store, and only then acknowledge.

One thread does all of it in turn; while a group is on its way to the disk, the next one gathers in the socket, bounded
by the receive maximum. A group closes at 8,192 messages, 1 MiB or 5 ms after its first message: durability then costs
a few microseconds a reading, and the rate adapts to the disk by itself. Compaction runs beside, in a second thread.

What cannot be stored is not acknowledged: the group waits in memory and is tried again, the broker's window closes,
and the broker keeps the rest. What is above an identity's rate is refused before anybody reads it.
"""

from __future__ import annotations

import ctypes
import gc
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.archive import compact, read_manifest
from ingest.distinct import distinct
from ingest.fast_receive import Raw
from ingest.health import write_health
from ingest.intake import READINGS, STATUS_KIND, STRANGER, Intake, Reading, Route, indexes, keepable
from ingest.lock import shelf_lock
from ingest.log import DEAD, Disk, Message, Position, pack_columns, pack_frame
from ingest.login import session_name, tls_of
from ingest.mqtt import SESSION_EXPIRY_S, Subscriber
from ingest.rates import Rates
from ingest.redivision import Redivision
from ingest.refusals import IDENTITIES, LETTERS_A_MINUTE, OTHERS, Refusals, Tally
from ingest.shard_log import Saved, ShardLog
from ingest.shards import Shard
from ingest.tail import reached, upto_path
from sensors.city import City
from sensors.clock import Clock, city_clock
from sensors.errors import BrokerError, NoctuleError, StoreError
from sensors.inbox import waiting
from sensors.night import rfc3339
from sensors.reading import Records, empty_records

if TYPE_CHECKING:
    from ingest.metrics import Metrics

GROUP_MESSAGES = 8_192
GROUP_BYTES = 1 << 20
LINGER_S = 0.005
INBOX_BYTES = 64 << 20  # received and not yet decoded; beyond it the socket is left to fill
IDLE_S = 0.05  # how long one turn waits for a message
HEALTH_S = 1.0
COMPACT_S = 60.0
COLLECT_S = 10.0  # between two looks into the inbox of answers
STALL_S = 600.0  # silence after which the same session is connected anew (mosquitto 2362)
# Devices that nobody registered share this many identities' rate beside their own, so that made-up names fill no disk.
STRANGERS_RATE = 10
STRANGER_S = 3600.0  # in which a device that shard 0 of several has discovered is told once
_HOLD_FIRST_S, _HOLD_LONGEST_S = 0.25, 5.0
_RETAINED = "a retained message is of unknown age, so it is no reading"
_ALLOCATIONS = 50_000  # between two looks of the garbage collector: a group's records are no garbage
# glibc's mallopt(3): what is freed at the end of the heap stays ours up to the first, single pieces up to the second.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _KEPT_PIECE = 64 << 20, 32 << 20


class _Status(msgspec.Struct):
    """What a status message says; other members are of no use to us."""

    state: str


class _Delivered(NamedTuple):
    """Messages that came by one connection of one session, in order."""

    source: Subscriber
    connection: int
    messages: list[Raw]


@dataclass
class _Group:
    """Messages that are stored, and acknowledged, together."""

    began: float
    delivered: list[_Delivered] = field(default_factory=list)
    moments: list[int] = field(default_factory=list)  # when each part of it was taken in, city time, ms
    lengths: list[int] = field(default_factory=list)
    count: int = 0
    size: int = 0

    def add(self, source: Subscriber, connection: int, messages: list[Raw], size: int, moment_ms: int) -> None:
        """Take in messages; the list is the group's from now on."""
        last = self.delivered[-1] if self.delivered else None
        if last is not None and last.source is source and last.connection == connection:
            last.messages.extend(messages)
        else:
            self.delivered.append(_Delivered(source, connection, messages))
        self.moments.append(moment_ms)
        self.lengths.append(len(messages))
        self.count += len(messages)
        self.size += size

    def full(self) -> bool:
        """Whether it takes no more."""
        return self.count >= GROUP_MESSAGES or self.size >= GROUP_BYTES

    def left_s(self) -> float:
        """Seconds until it is to be stored."""
        return 0.0 if self.full() else self.began + LINGER_S - time.monotonic()


class _Sealed(NamedTuple):
    """A group as bytes for the log, and its records."""

    frames: list[bytes]
    records: Records
    letters: list[Message]
    delivered: list[_Delivered]


def run(
    city: City,
    *,
    shard: str = "0/1",
    url: str = "",
    password: str = "",
    metrics: str = "",
    until: Callable[[], bool] | None = None,
    disk: Disk | None = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Ingest for a city until SIGTERM, SIGINT or `until()`; BrokerError when another client takes our session.

    shard : which part of the city, i/n
    url : broker, instead of the one in city.toml
    password : of the account `broker.user` of city.toml
    metrics : where /metrics and /healthz are served, PORT or HOST:PORT; nowhere if empty
    say : is told each change of the connection, and each trouble that comes or goes, in a sentence
    """
    stopped = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
    folder = city.shelf("log", Shard.parse(shard).name)
    try:
        with shelf_lock(folder, f"noctule ingest {city.path}"):
            service = Service(city, shard, url or city.settings.broker.url, password, disk, say)
            with _served(metrics) as service.metrics:
                gc.freeze()  # what was imported stays
                gc.set_threshold(_ALLOCATIONS)
                _keep_memory()
                service.run(lambda: stopped.is_set() or (until is not None and until()))
    except OSError as error:
        raise StoreError(f"{folder} cannot be used ({error}); make it writable, or make room") from error


def _keep_memory() -> None:
    """Let the C library keep what one group needed for the next; given back and asked for again, it costs 200 page
    faults a thousand readings, which is a fifth of the processor time. Other libraries than glibc go on as they do.
    """
    with suppress(OSError, TypeError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _KEPT_PIECE)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


@contextmanager
def _served(address: str) -> Iterator[Metrics | None]:
    """Metrics at an address, while somebody wants them."""
    if not address:
        yield None
        return
    from ingest.metrics import Metrics  # a tenth of a second to load, which most starts do not need

    served = Metrics(address)
    try:
        yield served
    finally:
        served.close()


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
        broker, limits = city.settings.broker, city.settings.ingest
        self.city = city
        self.shard = Shard.parse(shard)
        self.clock: Clock = city_clock(city.path)
        self.intake = Intake(city)
        self.kept = ShardLog(city, self.shard.name, self.intake, disk)
        filters = self.shard.filters(city, self.intake.register)
        account = (broker.user or None, password or None, tls_of(city))
        self.subscriber = Subscriber(
            url,
            session_name(city, self.shard.name, self.shard.session(city.id)),
            *account,
            filters=filters,
            stall_s=STALL_S,
        )
        self.discovery = Subscriber(
            url, f"{self.subscriber.client_id}-discovery", *account, clean=True, filters=self.shard.discovery(city)
        )
        self.redivision = Redivision(
            city, self.shard, self.intake, lambda name, clean: Subscriber(url, name, *account, clean=clean)
        )
        self.counts = Counter(received=0, stored=0, refused=0, duplicates=0)
        self.metrics: Metrics | None = None
        self.refusals = Refusals()
        self.online: set[str] = set()
        self.last_received: int | None = None
        self.troubles: dict[str, str] = {}  # what is wrong now, by the part that it is wrong with
        now_s = time.monotonic()
        self._since = self.clock.now()
        self._rates = Rates(limits.messages_per_second, limits.burst, now_s)
        self._strangers = Rates(
            limits.messages_per_second * STRANGERS_RATE, float(limits.burst * STRANGERS_RATE), now_s
        )
        self._strangers.number(OTHERS)
        self._too_much = Tally(LETTERS_A_MINUTE, 60.0)
        self._discovered = Tally(1, STRANGER_S)
        self._letters: list[Message] = []  # that no message of the next group stands for
        self._came = False  # whether the last look at the broker brought anything
        self._flowing = False  # whether a group has just been stored, so that more is to be expected
        self._emptied_at = self._arrived_at = now_s  # the last look, and when the first of what it brought had come
        self._group: _Group | None = None
        self._sealed: _Sealed | None = None
        self._hold_s = _HOLD_FIRST_S
        self._held_since: float | None = None
        self._retry_at = 0.0
        self._compactor: threading.Thread | None = None
        self._compacted = self._collected = now_s
        self._collector: threading.Thread | None = None
        self._health_at = 0.0
        self._connection = 0  # the last one of which we know that it was made
        self._cut_at = now_s - self._away_s()
        self._said: tuple[str, ...] = (self.subscriber.sentence,)
        self._say = say or (lambda _sentence: None)

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop()`."""
        self.kept.recover()
        self.intake.prepare(self.clock.now_ms())
        self.refusals.expect(self.kept.last_letters())
        self.redivision.begin(self.subscriber.client_id, self.subscriber.filters)
        try:
            while not stop() and self.subscriber.state != "stopped":
                self._turn()
            refusal = self.subscriber.sentence if self.subscriber.state == "stopped" else ""
            self._finish()
        finally:
            for source in (*self._sources(), self.discovery):
                source.close()
            self._tell_health()
        if refusal:
            self._tell_health({"sentence": refusal})
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
            "counts": dict(self.counts) | {"refused": self.refusals.refused},
            "refused_by_reason": dict(self.refusals.reasons.most_common()),
            "devices_online": len(self.online),
            "reconnects": max(self.subscriber.connects - 1, 0),
            "holding": holding,
            "waiting": self._waiting(),
            "disk_free_bytes": _free(self.kept.folder),
            "shard": self.shard.name,
            "shards": self.shard.of,
            "receiver": self.subscriber.receiver,
            "sentence": "; ".join([*self._wrong(), self.subscriber.sentence]),
        }

    def _turn(self) -> None:
        """Receive for a moment, store what is due, and see to the house."""
        self._receive()
        self._take()
        if self._group is not None and self._sealed is None and self._group.left_s() <= 0:
            self._sealed, self._group = self._seal(self._group), None
        if self._sealed is not None and time.monotonic() >= self._retry_at:
            self._store()
        self._tend_kept()
        changed = (wrong := (*self._wrong(), self.subscriber.sentence)) != self._said
        if changed:
            self._said = wrong
            self._say(self.health()["sentence"])
        if changed or time.monotonic() >= self._health_at:
            self._health_at = time.monotonic() + HEALTH_S
            self._look_around()
        self._rest()

    def _tend_kept(self) -> None:
        """Let followers see what is stored: by the group while little comes, and several groups at once in a flow."""
        if self._group is not None or self._sealed is not None:
            return
        if self.kept.due or not self._came:
            self.kept.show()
        self.kept.tend(self.clock.now_ms())

    def _receive(self) -> None:
        sources = self._sources()
        if sum(source.inbox_bytes for source in sources) >= INBOX_BYTES:
            time.sleep(IDLE_S)  # only while nothing can be stored: let the broker keep it
            return
        # At one of them only, and not while a group waits for company: the rest of its time is slept.
        waits = self._group is None and self._sealed is None and not self._flowing
        for source in sources:
            patience_s = 0.0
            if waits and source is self.subscriber:
                patience_s = LINGER_S if len(sources) > 1 or self.kept.unshown else IDLE_S
            source.receive(patience_s, GROUP_MESSAGES)
        self._came, self._flowing = any(source.inbox for source in sources), False
        now_s = time.monotonic()
        self._arrived_at = now_s if waits else self._emptied_at
        self._emptied_at = now_s
        if self.subscriber.connection != self._connection and self.subscriber.state == "connected":
            self._connection = self.subscriber.connection
            self._welcome()
        if self.subscriber.state == "connected":
            self._cut_at = time.monotonic()
        if self.discovery.filters:
            self.discovery.receive(0.0, GROUP_MESSAGES)
            self._discover()

    def _rest(self) -> None:
        """Sleep while a group waits for company and nothing has come: a system call a group and not one a message.

        Where one group has just followed another, the next gathers in the socket meanwhile.
        """
        if self._sealed is not None:
            time.sleep(min(LINGER_S, max(0.0, self._retry_at - time.monotonic())))
        elif any(source.inbox for source in self._sources()):
            return
        elif self._group is not None:
            time.sleep(max(0.0, self._group.left_s()))
        elif self._flowing:
            time.sleep(LINGER_S)

    def _welcome(self) -> None:
        """A connection is made: what comes first is what the broker kept for us meanwhile."""
        now_s = time.monotonic()
        self._credit(now_s - self._cut_at)
        self.refusals.connected(now_s)

    def _credit(self, seconds: float) -> None:
        seconds *= max(1.0, self.clock.speed)
        self._rates.away(seconds)
        self._strangers.away(seconds)

    def _away_s(self) -> float:
        """How long ago somebody last wrote here: for so long the broker may have kept messages for us."""
        try:
            return min(SESSION_EXPIRY_S, max(0.0, time.time() - upto_path(self.kept.folder).stat().st_mtime))
        except FileNotFoundError:
            return 0.0

    def _take(self) -> None:
        """Gather what has arrived. While a group cannot be stored one more gathers; the rest stays in the inbox."""
        for source in self._sources():
            while source.inbox and not (self._group is not None and self._group.full()):
                if self._group is None:
                    self._group = _Group(self._arrived_at)
                if batch := source.pop(GROUP_MESSAGES - self._group.count):
                    moment = self.clock.now_ms()
                    self._group.add(source, batch.connection, batch.messages, batch.size, moment)
                    self.last_received = moment
                    if source is not self.subscriber:
                        self.redivision.heard(source)

    def _discover(self) -> None:
        """Tell of devices that nobody registered; what registered ones say comes to their own shard."""
        while batch := self.discovery.pop(GROUP_MESSAGES):
            now_ms, now_s = self.clock.now_ms(), time.monotonic()
            routes = self.intake.routes([raw[0] for raw in batch.messages], now_ms)
            for route, raw in zip(routes, batch.messages, strict=True):
                if route.kind != STRANGER:
                    continue
                if self._discovered.keep(route.identity, route.text, len(raw[3]), now_s):
                    taken = self.intake.take_safely(Message(route.text, raw[3], now_ms))
                    self._dead(route, taken.kept, now_ms, taken.reasons, now_s, self._letters)

    def _seal(self, group: _Group) -> _Sealed:
        """Decode a group, drop what came before, and make the frames."""
        raws = group.delivered[0].messages if len(group.delivered) == 1 else [m for d in group.delivered for m in d[2]]
        now_s = time.monotonic()
        received = np.array(group.moments, np.int64).repeat(group.lengths)
        letters, self._letters = self._letters, []
        if not raws:
            return _Sealed([pack_frame(DEAD, letters)] if letters else [], empty_records(), letters, group.delivered)
        routes = self.intake.routes([raw[0] for raw in raws], int(received[-1]))
        payloads = [raw[3] for raw in raws]
        index = indexes(routes)
        kinds = {route.kind for route in routes}
        admitted = self._admit(routes, index, now_s)
        if STRANGER in kinds:
            self._admit_strangers(routes, admitted, now_s)
        self.counts["received"] += len(raws)
        retained = any(header & 1 for header in {raw[2] for raw in raws})
        if retained or kinds != {READINGS} or np.count_nonzero(admitted) < len(raws):
            places = self._set_aside(raws, routes, received, admitted, now_s, letters)
            routes, payloads = [routes[at] for at in places.tolist()], [payloads[at] for at in places.tolist()]
            received, index = received[places], index[places]
        reading = self.intake.read(routes, payloads, received, index)
        for at, taken in reading.refused.items():
            self._dead(routes[at], taken.kept, int(received[at]), taken.reasons, now_s, letters)
        new = self.kept.new(reading.records)
        n_new = int(np.count_nonzero(new))
        records = reading.records if n_new == len(new) else reading.records[new]
        self.counts["duplicates"] += len(new) - n_new
        frames = self._good_frame(reading, new, index, payloads, received) if n_new else []
        if letters:
            frames.append(pack_frame(DEAD, letters))
        return _Sealed(frames, records, letters, group.delivered)

    def _good_frame(
        self,
        reading: Reading,
        new: npt.NDArray[np.bool_],
        index: npt.NDArray[np.int64],
        payloads: list[bytes],
        received: npt.NDArray[np.int64],
    ) -> list[bytes]:
        """The frame of the messages of which at least one record is new."""
        for at, kept in reading.kept.items():
            payloads[at] = kept
        if reading.refused or len(new) != np.count_nonzero(new):
            places = np.unique(reading.messages[new])
            payloads, received, index = [payloads[at] for at in places.tolist()], received[places], index[places]
        used, topics = distinct(index)
        return [pack_columns([self.intake.topics[at] for at in used.tolist()], topics, received, payloads)]

    def _admit(self, routes: Sequence[Route], index: npt.NDArray[np.int64], now_s: float) -> npt.NDArray[np.bool_]:
        """Which messages are within the rate of whoever sent them."""
        buckets = self.intake.facts["bucket"][index]
        if fresh := (buckets < 0).nonzero()[0].tolist():
            for at in fresh:
                identity = routes[at].identity
                if routes[at].kind == STRANGER and not self._rates.known(identity) and len(self._rates) > IDENTITIES:
                    identity = OTHERS
                self.intake.facts["bucket"][index[at]] = self._rates.number(identity)
            buckets = self.intake.facts["bucket"][index]
        return self._rates.admit(buckets, now_s, self.clock.speed)

    def _admit_strangers(self, routes: Sequence[Route], admitted: npt.NDArray[np.bool_], now_s: float) -> None:
        """Take back, of those that are admitted, what devices that nobody registered send above the rate they share."""
        strangers = np.array([at for at, route in enumerate(routes) if route.kind == STRANGER and admitted[at]], int)
        admitted[strangers] = self._strangers.admit(np.zeros(len(strangers), np.int64), now_s, self.clock.speed)

    def _set_aside(
        self,
        raws: Sequence[Raw],
        routes: Sequence[Route],
        received: npt.NDArray[np.int64],
        admitted: npt.NDArray[np.bool_],
        now_s: float,
        letters: list[Message],
    ) -> npt.NDArray[np.int64]:
        """See to what is no reading: too much of one sender, status messages, retained ones; where the others stand."""
        status = np.array([route.kind == STATUS_KIND for route in routes])
        retained = np.array([raw[2] & 1 for raw in raws], bool)
        self.counts["received"] -= int(np.count_nonzero(status))
        limit = self.city.settings.ingest.messages_per_second
        for places in _by_route(np.flatnonzero(~admitted), routes):
            route = routes[places[0]]
            reason = f"more than {limit:g} messages a second came from '{route.identity}'"
            size = sum([len(raws[at][3]) for at in places])
            first = self._too_much.keep(route.identity, route.text, size, now_s, len(places))
            for at in places[:first]:
                taken = self.intake.take_safely(Message(route.text, raws[at][3], int(received[at])))
                self._dead(route, taken.kept, int(received[at]), [reason], now_s, letters)
            if len(places) > first:
                self.refusals.count([reason], len(places) - first)
        for at in np.flatnonzero(admitted & status).tolist():
            self._note_status(routes[at], raws[at][3])
        for at in np.flatnonzero(admitted & retained & ~status).tolist():
            kept = keepable(routes[at].text, raws[at][3])
            self._dead(routes[at], kept, int(received[at]), [_RETAINED], now_s, letters)
        return np.flatnonzero(admitted & ~(status | retained))

    def _dead(
        self, route: Route, kept: bytes, received_ms: int, reasons: list[str], now_s: float, letters: list[Message]
    ) -> None:
        """Keep a message among the dead letters: stored with the same promise as a good one."""
        letter = self.refusals.letter(route.text, kept, received_ms, reasons, now_s)
        if letter is not None:
            letters.append(letter)

    def _note_status(self, route: Route, payload: bytes) -> None:
        try:
            state = msgspec.json.decode(payload, type=_Status).state
        except (msgspec.DecodeError, UnicodeDecodeError):
            state = "offline"
        if state == "online" and self.intake.register.device_known(route.device):
            self.online.add(route.device)
        else:
            self.online.discard(route.device)

    def _store(self) -> None:
        """Write, sync, acknowledge; or hold on to the group and try again later."""
        sealed = self._sealed
        assert sealed is not None
        began = time.monotonic()
        try:
            if sealed.frames:
                self.kept.append(sealed.frames, sealed.records)
        except OSError as error:
            waiting = sum(len(delivered.messages) for delivered in sealed.delivered)
            self.troubles["log"] = (
                f"the log cannot be written ({error.strerror or error}); nothing is lost: "
                f"{waiting} messages wait un-acknowledged, the rest at the broker"
            )
            self._held_since = self._held_since or time.monotonic()
            self._retry_at = time.monotonic() + self._hold_s
            self._hold_s = min(2 * self._hold_s, _HOLD_LONGEST_S)
            return
        self._sealed, self._hold_s, self._flowing = None, _HOLD_FIRST_S, True
        if self._held_since is not None:
            self._credit(time.monotonic() - self._held_since)
            self._held_since = None
            self.troubles.pop("log", None)
        self.counts["stored"] += len(sealed.records)
        if self.metrics is not None and sealed.frames:
            self.metrics.commit_seconds.observe(time.monotonic() - began)
            self.metrics.group_messages.observe(sum(len(delivered.messages) for delivered in sealed.delivered))
        for source, connection, messages in sealed.delivered:
            if not source.acknowledge(connection, messages) and messages:
                self.refusals.expect(sealed.letters)  # un-acknowledged, so they come once more

    def _look_around(self) -> None:
        """Once a second: the register, the archive, the old division, what was only counted, our own health."""
        try:
            if self.intake.refresh():
                self.kept.register_changed()
                self.subscriber.set_filters(self.shard.filters(self.city, self.intake.register))
            self.troubles.pop("register", None)
        except (NoctuleError, OSError) as error:
            self.troubles["register"] = f"the changed site register cannot be read, the old one is used: {error}"
        self._tell_counts(time.monotonic())
        self.redivision.tend(self.subscriber)
        if time.monotonic() - self._compacted >= COMPACT_S and self._sealed is None:
            self._compact_beside()
        if self.shard.index == 0 and time.monotonic() - self._collected >= COLLECT_S:
            self._collect_beside()
        self._tell_health()

    def _tell_health(self, otherwise: dict[str, Any] | None = None) -> None:
        health = self.health() | (otherwise or {})
        write_health(self.city, health, self.shard.index)
        if self.metrics is not None:
            self.metrics.publish(health)

    def _waiting(self) -> dict[str, int]:
        """What was received and is not stored yet."""
        sources = self._sources()
        groups = [group for group in (self._group, self._sealed) if group is not None]
        inside = [delivered.messages for group in groups for delivered in group.delivered]
        return {
            "messages": sum(source.inbox_messages for source in sources) + sum(len(part) for part in inside),
            "bytes": sum(source.inbox_bytes for source in sources)
            + sum(len(raw[0]) + len(raw[3]) for part in inside for raw in part),
        }

    def _tell_counts(self, now_s: float, *, all_of_them: bool = False) -> None:
        """A dead letter for each sender of whom more came than was kept."""
        now_ms = self.clock.now_ms()
        for identity, topic, messages, size in self._too_much.due(now_s, all_of_them=all_of_them):
            reason = f"{messages} more messages came from '{identity}' above its rate and were not kept"
            self._letters.append(Message(topic, b"", now_ms, f"{reason} ({size} bytes in all)"))
        for identity, topic, messages, size in self._discovered.due(now_s, all_of_them=all_of_them):
            reason = f"{messages} more messages came from '{identity}', which is not in the site register"
            self._letters.append(Message(topic, b"", now_ms, f"{reason} ({size} bytes in all, not kept)"))
        if self._letters and self._group is None:
            self._group = _Group(now_s)

    def _compact_beside(self) -> None:
        if self._compactor is not None and self._compactor.is_alive():
            return
        self._compacted = time.monotonic()
        self.kept.show()
        end, saved = self.kept.written, self.kept.state()
        self._compactor = threading.Thread(target=self._tend, args=(end, saved), name="compaction", daemon=True)
        self._compactor.start()

    def _collect_beside(self) -> None:
        """Take in the answers of the form, where any wait; tables are written in a thread of their own."""
        self._collected = time.monotonic()
        if (self._collector is None or not self._collector.is_alive()) and waiting(self.city):
            self._collector = threading.Thread(target=self._collect, name="answers", daemon=True)
            self._collector.start()

    def _collect(self) -> None:
        from ingest.inbox import collect  # tables of answers are not needed before somebody answers

        try:
            done = collect(self.city)
            self.troubles.pop("answers", None)
        except (NoctuleError, OSError) as error:
            self.troubles["answers"] = f"answers wait in the inbox, they could not be collected ({error})"
            return
        for told in done.unread:
            self._say(f"a note of the answer form is kept aside in store/inbox/unread: {told}")

    def _tend(self, end: Position, saved: Saved | None) -> None:
        """Archive, and look once at a night that is over; shard 0 alone, which writes the archive."""
        self._compact(end, saved)
        if self.shard.index:
            return
        from ingest.reflag import reflag_due  # seconds to load, and not needed before the first night is over

        try:
            reflag_due(self.city, self._say)
            self.troubles.pop("reflag", None)
        except (NoctuleError, OSError) as error:
            self.troubles["reflag"] = (
                f"a night that is over could not be looked at, 'noctule reflag' tries again: {error}"
            )

    def _compact(self, end: Position, saved: Saved | None) -> None:
        """Archive up to `end`, and what other shards have shown; then keep the state of screening there.

        Shard 0 alone writes the archive; the others only keep their state.
        """
        try:
            if self.shard.index == 0 and (
                upto := {**self._others_shown(), **({self.shard.name: end} if end > Position(0, 0) else {})}
            ):
                compact(self.city, upto)
            if saved is not None:
                self.kept.save(saved)
            self.kept.forget_old()
            self.troubles.pop("archive", None)
        except (NoctuleError, OSError) as error:
            self.troubles["archive"] = f"the archive cannot be written, the log keeps everything meanwhile ({error})"

    def _others_shown(self) -> dict[str, Position]:
        """Up to where the tails of the other shards reach."""
        positions = read_manifest(self.city).positions
        shown = {}
        for folder in self.city.shelf("log").glob("*"):
            if folder.is_dir() and folder.name != self.shard.name:
                end = reached(folder, Position(*positions.get(folder.name, (0, 0))))
                if end > Position(0, 0):
                    shown[folder.name] = end
        return shown

    def _finish(self) -> None:
        """Store what is at hand and archive it; what cannot be stored was never acknowledged."""
        self._tell_counts(time.monotonic(), all_of_them=True)
        if self._sealed is None and self._group is not None:
            self._sealed, self._group = self._seal(self._group), None
        if self._sealed is not None:
            self._store()
        for beside in (self._compactor, self._collector):
            if beside is not None:
                beside.join()
        self.kept.show()
        if self._sealed is None:
            self.kept.tend(self.clock.now_ms())
        self._compact(self.kept.written, self.kept.state())
        self.kept.close()

    def _sources(self) -> list[Subscriber]:
        """The sessions whose messages are stored: ours, and those of an old division until they are empty."""
        return [self.subscriber, *self.redivision.sources]

    def _wrong(self) -> list[str]:
        return [*self.troubles.values(), *self.kept.troubles.values(), *self.redivision.troubles.values()]


def _by_route(places: npt.NDArray[np.int64], routes: Sequence[Route]) -> Iterator[list[int]]:
    """Places of messages, together those of one topic: whoever floods is dealt with once a group."""
    if len(places):
        index = np.array([routes[at].index for at in places.tolist()])
        order = np.argsort(index, kind="stable")
        for part in np.split(places[order], np.flatnonzero(np.diff(index[order])) + 1):
            yield part.tolist()


def _free(folder: Path) -> int | None:
    """Bytes that may still be written to the disk of a folder; None where nobody says."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
