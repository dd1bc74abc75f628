"""Publishes recorded counts over MQTT as they happened, so that a real past night can be lived through again.

An hour's count becomes four messages of a quarter hour: a multinomial draw with equal chances, so that the four add up
to the recorded count exactly. The draw depends on the seed, the device and the hour alone, not on where a replay
begins. Each message leaves when the city's clock passes the end of its quarter hour. `boot` is 0 and `seq` the number
of the quarter hour since 1970, so that a replay that is begun again repeats its messages and the archive keeps one.
"""

from __future__ import annotations

import signal
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ingest.archive import night_records, nights
from ingest.history import as_records, read_history
from ingest.login import tls_of
from ingest.mqtt import Publisher
from sensors.city import City
from sensors.clock import Clock, city_clock, clear_clock, set_clock
from sensors.draft import Say, quiet
from sensors.errors import RecipeError, StoreError
from sensors.night import Night, rfc3339
from sensors.quantities import QUANTITIES
from sensors.reading import NO_SEQ
from sensors.register import SiteRegister
from sensors.wire import Sample, encode_pack, encode_status, quantity_topic, status_topic

QUARTER_S = 900
_BOOT = 0
_LONGEST_WAIT_S = 0.5  # how often the clock is looked at again while nothing is due
_SAY_EVERY_S = 3600  # city time between two lines of progress
_ROOM_S = 0.05  # how long a turn is while acknowledgements are awaited
_LAST_WORDS_S = 3.0  # how long a stopped replay waits for acknowledgements
_BEHIND_MS = QUARTER_S * 1000  # on a running clock, what ended longer ago than this is not sent any more


class Message(NamedTuple):
    """What a counter says at the end of a quarter hour."""

    time_ms: int
    device: str
    quantity: str
    value: float
    duration_s: float


@dataclass
class Replayed:
    """What became of a replay."""

    published: int
    acknowledged: int
    people: float
    late: int  # ended before the clock that the replay had to follow
    stopped: bool
    skipped: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As `noctule replay-counts --json` prints it."""
        return {
            "published": self.published,
            "acknowledged": self.acknowledged,
            "people": self.people,
            "late": self.late,
            "stopped": self.stopped,
            "skipped": self.skipped,
        }


def replay_counts(
    city: City,
    file: Path,
    recipe: str,
    *,
    first: date,
    until: date,
    speed: float = 60.0,
    seed: int = 20,
    broker: str = "",
    password: str = "",
    own_clock: bool = True,
    say: Say = quiet,
    stop: Callable[[], bool] | None = None,
) -> Replayed:
    """Publish the counts of the nights from `first` up to, and without, the night `until`.

    Parameters
    ----------
    speed : float
        City seconds per second of the world; not used without `own_clock`.
    own_clock : bool
        Drive the city's clock, from noon of `first` on; otherwise follow the clock that is there.
    stop : callable, optional
        Asked often; the replay ends when it says so, or on SIGINT or SIGTERM.
    """
    messages, skipped = recorded_messages(city, file, recipe, first=first, until=until, seed=seed)
    for reason, count in skipped.items():
        say(f"{count:,} rows left out: {reason}")
    _refuse_imported(city, messages, first, until)
    clock = city_clock(city.path)
    if own_clock:
        if clock.simulated:
            raise StoreError(
                f"{city.name} already has a driven clock (store/clock.json): follow it with --no-clock, or stop the "
                "demo or replay that drives it; after a crash, remove the file"
            )
        set_clock(city.path, Night(first, city.zone).start, speed)
        clock = city_clock(city.path)
    try:
        with _asked_to_stop(stop) as stopped:
            due = messages if own_clock else _not_past(messages, clock.now_ms(), say)
            done = Replayed(0, 0, 0.0, late=len(messages) - len(due), stopped=False, skipped=skipped)
            _publish(city, due, clock, broker or city.settings.broker.url, password, done, say, stopped)
            return done
    finally:
        if own_clock:
            clear_clock(city.path)


def recorded_messages(
    city: City, file: Path, recipe: str, *, first: date, until: date, seed: int
) -> tuple[list[Message], dict[str, int]]:
    """Every message of the nights from `first` until `until` in order of time, and the rows left out, by reason."""
    history = read_history(file, recipe, city.zone)
    begin, end = Night(first, city.zone).start, Night(until, city.zone).start
    ends = history.rows["time"].to_numpy()
    # A recorded interval that begins before noon and ends after it belongs to two nights, each of its quarters to one.
    begins = ends - (history.rows["duration_s"].to_numpy() * 1000).astype("timedelta64[ms]")
    rows = history.rows[(ends >= begin) & (begins < end)]
    if not len(rows):
        span = history.rows["time"]
        raise RecipeError(
            f"'{file}' has no counts between the nights {first} and {until}; it goes from {span.min():%Y-%m-%d} to "
            f"{span.max():%Y-%m-%d}"
        )
    _, unknown = as_records(city, rows)
    skipped = {f"no site of {device} in the register": count for device, count in unknown.items()}
    skipped |= {f"{reason} (in the whole file)": count for reason, count in history.skipped.items()}
    rows = rows[~rows["device"].isin(list(unknown))]
    messages = [message for row in rows.itertuples(index=False) for message in quarter_hours(row, seed)]
    low, high = (int(moment.astype(np.int64)) for moment in (begin, end))
    messages = [message for message in messages if low <= message.time_ms < high]
    if not messages:
        raise RecipeError(f"none of the counters in '{file}' is in the register of {city.name}")
    return sorted(messages), skipped


def quarter_hours(row: Any, seed: int) -> list[Message]:
    """A recorded interval as messages of a quarter hour whose counts add up to its own.

    What is not a count, or not made of whole quarter hours, stays one message.

    Parameters
    ----------
    row : named tuple
        device, quantity, time (UTC, end), duration_s and value.
    """
    end_ms = pd.Timestamp(row.time).value // 1_000_000
    parts, rest = divmod(row.duration_s, QUARTER_S)
    if (
        rest
        or parts < 2
        or QUANTITIES[row.quantity].unit != "count"
        or row.value < 0
        or not float(row.value).is_integer()
    ):
        return [Message(end_ms, row.device, row.quantity, float(row.value), float(row.duration_s))]
    parts = int(parts)
    chance = np.random.default_rng([seed, zlib.crc32(f"{row.device}/{row.quantity}".encode()), end_ms // 1000])
    counts = chance.multinomial(int(row.value), np.full(parts, 1 / parts))
    first_ms = end_ms - (parts - 1) * QUARTER_S * 1000
    return [
        Message(first_ms + part * QUARTER_S * 1000, row.device, row.quantity, float(count), float(QUARTER_S))
        for part, count in enumerate(counts)
    ]


def _not_past(messages: list[Message], now_ms: int, say: Say) -> list[Message]:
    """What a clock that runs already has not left behind."""
    due = [message for message in messages if message.time_ms >= now_ms - _BEHIND_MS]
    now = rfc3339(np.datetime64(now_ms, "ms"))
    if not due:
        last = rfc3339(np.datetime64(messages[-1].time_ms, "ms"))
        raise StoreError(f"the city's clock reads {now}, the last count is of {last}; replay without --no-clock")
    if len(due) < len(messages):
        say(f"{len(messages) - len(due):,} messages are of before {now} and are not sent")
    return due


def _refuse_imported(city: City, messages: list[Message], first: date, until: date) -> None:
    """StoreError where the archive holds imported counts of these nights: each passer-by would count twice."""
    devices = {message.device for message in messages}
    sites = SiteRegister.load(city).table
    ours = sites["site"][sites["device"].isin(devices) & (sites["quantity"] == "people_flow")].to_numpy()
    for night in nights(city):
        if not first <= night < until:
            continue
        records = night_records(city, night)
        twice = (records["seq"] == NO_SEQ) & np.isin(records["site"], ours)
        if twice.any():
            raise StoreError(
                f"the archive of {city.name} holds {int(twice.sum()):,} imported counts of the night {night}, which a "
                f"replay would count twice; replay into a city folder whose history ends before (--to {first})"
            )


def _publish(
    city: City,
    due: list[Message],
    clock: Clock,
    url: str,
    password: str,
    done: Replayed,
    say: Say,
    stopped: Callable[[], bool],
) -> None:
    """Send each message when its time has come, and count in `done` what became of them."""
    settings = city.settings.broker
    root, begun_ms = settings.root, clock.now_ms()
    devices = sorted({message.device for message in due})
    say(f"{len(due):,} messages of {len(devices)} counters at {clock.speed:g}x to {url}")
    name = f"noctule-{city.id}-counts"
    topics = [status_topic(root, city.id, device) for device in devices]
    with Publisher(url, name, settings.user or None, password or None, tls_of(city)) as publisher:
        line = _Line(publisher, say, stopped)
        for topic in topics:
            line.send(topic, encode_status("online", _BOOT, begun_ms), retain=True)
        said_ms = 0
        for message in due:
            line.wait_for(message.time_ms, clock)
            sample = Sample(message.quantity, message.time_ms, message.value, message.duration_s)
            payload = encode_pack([sample], _BOOT, message.time_ms // (QUARTER_S * 1000))
            topic = quantity_topic(root, city.id, message.device, message.quantity)
            if not line.send(topic, payload, token=message):
                done.stopped = True
                break
            done.published += 1
            done.people += message.value
            if message.time_ms - said_ms >= _SAY_EVERY_S * 1000:
                said_ms = message.time_ms
                local = pd.Timestamp(message.time_ms, unit="ms", tz="UTC").tz_convert(city.zone)
                say(f"{local:%a %Y-%m-%d %H:%M}  {done.published:,} messages, {done.people:,.0f} people")
        # A replay that was stopped does not wait for a broker that is away.
        if line.drained(_LAST_WORDS_S if done.stopped else np.inf):
            for topic in topics:
                publisher.publish(topic, encode_status("offline", _BOOT, clock.now_ms()), retain=True)
            publisher.flush(_LAST_WORDS_S)
        done.acknowledged = sum(isinstance(token, Message) for token in publisher.acknowledged)


@dataclass
class _Line:
    """A publisher that can be asked to stop while its broker is away, and says when the connection comes and goes."""

    publisher: Publisher
    say: Say
    stopped: Callable[[], bool]
    said: str = ""

    def wait_for(self, time_ms: int, clock: Clock) -> None:
        """Wait until it is this time in the city."""
        while not self.stopped() and (wait_ms := time_ms - clock.now_ms()) > 0:
            self._turn(min(_LONGEST_WAIT_S, wait_ms / 1000 / clock.speed))

    def send(self, topic: str, payload: bytes, *, retain: bool = False, token: object = None) -> bool:
        """Hand over a message once there is room for it; False when asked to stop before."""
        # The publisher itself waits inside `publish` while its window is full, for as long as the broker is away.
        while not self.stopped() and self.publisher.unacknowledged >= self.publisher.window - 1:
            self._turn(_ROOM_S)
        if self.stopped():
            return False
        self.publisher.publish(topic, payload, retain=retain, token=token)
        return True

    def drained(self, patience_s: float) -> bool:
        """Wait until everything is acknowledged, the time is up, or somebody asks to stop; whether everything is."""
        waited, was_stopped = 0.0, self.stopped()
        while self.publisher.unacknowledged and waited < patience_s and (was_stopped or not self.stopped()):
            self._turn(_ROOM_S)
            waited += _ROOM_S
        return not self.publisher.unacknowledged

    def _turn(self, seconds: float) -> None:
        self.publisher.pause(seconds)
        if self.publisher.state != self.said and self.publisher.sentence != "not connected yet":
            self.said = self.publisher.state
            self.say(self.publisher.sentence + ("" if self.said == "connected" else "; trying again"))


class _asked_to_stop:  # noqa: N801 - a context manager reads as a verb
    """Turns SIGINT and SIGTERM into an answer while it lasts, so that a replay ends between two messages."""

    def __init__(self, stop: Callable[[], bool] | None) -> None:
        self._stop = stop
        self._asked = threading.Event()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Callable[[], bool]:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, lambda *_: self._asked.set())
        return lambda: self._asked.is_set() or (self._stop is not None and self._stop())

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
