"""From one division of a city into shards to another, without losing what waits at the broker.

A session at the broker belongs to one division (`ingest.shards`). When the number of shards changes, each new shard
empties the session that its folder had before, and shard 0 also those of shards that are no more. The old session is
first only resumed, and takes in what the whole of it takes in; once every shard of the new division is subscribed it is
unsubscribed, emptied, and given up. So every message is in one of the two, some in both, and those are made one.

The folder of a shard that is no more is brought to its end once, and then nobody waits for it (`stored_until`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ingest.intake import Intake
from ingest.lock import shelf_lock
from ingest.log import segments
from ingest.login import session_name
from ingest.mqtt import Filter, Subscriber
from ingest.shard_log import ShardLog
from ingest.shards import Mark, Session, Shard, all_subscribed, left_over
from ingest.tail import upto_path
from sensors.city import City
from sensors.errors import NoctuleError, ShelfLocked

QUIET_S = 10.0  # without a message until an unsubscribed session counts as empty
_LOOK_S = 10.0  # between looks for shards that are no more


@dataclass
class _Emptied:
    """An old session on its way out."""

    session: Session
    source: Subscriber
    heard_at: float
    unsubscribed: bool = False


class Redivision:
    """What one shard does about the division before; nothing while there was none.

    connect : makes a subscriber for a session's name; the second argument is whether the session is to begin empty
    troubles : what stands in the way, by folder
    """

    def __init__(self, city: City, shard: Shard, intake: Intake, connect: Callable[[str, bool], Subscriber]) -> None:
        self.troubles: dict[str, str] = {}
        self._city = city
        self._shard = shard
        self._intake = intake
        self._connect = connect
        self._log = city.shelf("log")
        self._folder = self._log / shard.name
        self._mark: Mark | None = None
        self._emptied: list[_Emptied] = []
        self._look_at = 0.0

    @property
    def sources(self) -> list[Subscriber]:
        """The old sessions that are being emptied."""
        return [one.source for one in self._emptied]

    def begin(self, client_id: str, filters: Iterable[Filter]) -> None:
        """Mark the folder as this division's, and take up the sessions that it had before."""
        before = Mark.read(self._folder)
        if before is None and segments(self._folder):
            whole = Shard()  # from before there were marks
            before = Mark(
                1, Session(session_name(self._city, whole.name), whole.filters(self._city, self._intake.register))
            )
        old = [] if before is None else [*before.old, *([] if before.ended else [before.session])]
        self._mark = Mark(self._shard.of, Session(client_id, list(filters)))
        self._adopt(one for one in old if one.client_id != client_id)

    def heard(self, source: Subscriber) -> None:
        """An old session has handed something over."""
        for one in self._emptied:
            if one.source is source:
                one.heard_at = time.monotonic()

    def tend(self, subscriber: Subscriber) -> None:
        """Go on, once a second; `subscriber` is the session of this shard."""
        if self._mark is None:
            return
        session = Session(subscriber.client_id, list(subscriber.filters))
        if subscriber.subscribed and not (self._mark.subscribed and self._mark.session == session):
            self._write(msgspec.structs.replace(self._mark, session=session, subscribed=True))
        if self._shard.index == 0 and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_S
            for folder in left_over(self._log, self._shard.of):
                self._end(folder)
        for one in list(self._emptied):
            self._empty(one)

    def _adopt(self, sessions: Iterable[Session]) -> None:
        assert self._mark is not None
        have = {one.session.client_id for one in self._emptied}
        for session in sessions:
            if session.client_id not in have:
                source = self._connect(session.client_id, False)
                source.filters = session.filters
                self._emptied.append(_Emptied(session, source, time.monotonic()))
        self._write(msgspec.structs.replace(self._mark, old=[one.session for one in self._emptied]))

    def _empty(self, one: _Emptied) -> None:
        source, now = one.source, time.monotonic()
        if source.state != "connected" or source.inbox:
            one.heard_at = now
        elif not one.unsubscribed:
            if all_subscribed(self._log, self._shard.of):
                source.set_filters([])
                one.unsubscribed, one.heard_at = True, now
        elif now - one.heard_at > QUIET_S:
            source.close()
            self._give_up(one.session.client_id)
            self._emptied.remove(one)
            self._adopt([])

    def _give_up(self, client_id: str) -> None:
        """Connect once with a clean start, so that the broker forgets the session."""
        last = self._connect(client_id, True)
        deadline = time.monotonic() + 5.0
        while last.state != "connected" and time.monotonic() < deadline:
            last.step(0.05)
        last.close()

    def _end(self, folder: Path) -> None:
        """Bring the folder of a shard that is no more to its end, and take over what it still had at the broker."""
        try:
            with shelf_lock(folder, f"noctule ingest {self._city.path}"):
                mark = Mark.read(folder)
                if mark is not None:
                    self._adopt([*mark.old, mark.session])
                else:
                    mark = Mark(0, Session("", []))
                kept = ShardLog(self._city, folder.name, self._intake)
                kept.recover()
                if (state := kept.state()) is not None:
                    kept.save(state)
                kept.close()
                msgspec.structs.replace(mark, old=[], ended=True).write(folder)
                upto_path(folder).unlink(missing_ok=True)
            self.troubles.pop(folder.name, None)
        except ShelfLocked:
            self.troubles[folder.name] = (
                f"the city is divided into {self._shard.of}, but shard {folder.name} of another division still runs; "
                "stop it, so that what it had at the broker can be taken over"
            )
        except (NoctuleError, OSError) as error:
            self.troubles[folder.name] = f"what is left of shard {folder.name} cannot be read yet: {error}"

    def _write(self, mark: Mark) -> None:
        mark.write(self._folder)
        self._mark = mark
