"""What one shard keeps: its log and tail, the state of screening and the memory of what came lately, held together.

A group is on disk when `append` returns. It is flagged and shown a moment later, several groups at once: flagging
thirty readings costs as much as flagging five hundred, and nobody who follows sees a difference of a tenth of a second.

After any end (a stop, a kill, a power cut) `recover` brings them to one place again: the log is the truth, and what
the tail lacks of it is read once more.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.archive import read_manifest
from ingest.intake import Intake
from ingest.limits import SiteFacts
from ingest.log import DEAD, GOOD, Disk, Frame, Log, Message, Position, read_frames, segment_path, segments
from ingest.screening import Screen
from ingest.seen import REMEMBERED, Seen
from ingest.tail import TailReader, TailWriter, Upto, tail_path
from sensors.city import City
from sensors.errors import NoctuleError
from sensors.reading import Records, joined

KEPT_S = 7 * 86_400.0  # of what is archived; the raw bytes are the truth while a decoder may still be mended
TAIL_BYTES = 64 << 20  # of a segment's tail, which a restart reads whole; well compressed, a segment holds far more
SHOW_S, SHOW_READINGS = 0.1, 4_096  # after which what is stored is flagged and shown
REBUILD_S = 30.0  # from one try to rebuild a lost tail to the next
_LETTERS = 20_000  # dead letters that may be un-acknowledged: as many as may be in flight


class Saved(msgspec.Struct, frozen=True):
    """The state of screening at a place in the log, so that a restart need not read all of it."""

    position: tuple[int, int]
    screen: bytes


class ShardLog:
    """The folder `store/log/NAME` of a city; the caller holds its lock.

    troubles : what is wrong with showing or flagging what is stored, by the part that it is wrong with
    """

    def __init__(self, city: City, name: str, intake: Intake, disk: Disk | None = None) -> None:
        self.city = city
        self.name = name
        self.folder: Path = city.shelf("log", name)
        self.troubles: dict[str, str] = {}
        self._intake = intake
        self._disk = disk
        self._facts = _facts(city)
        self._log: Log | None = None
        self._rebuild_at = 0.0
        self._stored: list[Records] = []  # on disk, not yet flagged and shown
        self._stored_readings = 0
        self._stored_end = Position(0, 0)
        self._stored_at = 0.0  # monotonic; when the first of them was stored
        self._forget()

    @property
    def written(self) -> Position:
        """Up to where followers see the log."""
        return self._tail.written

    def new(self, records: Records) -> npt.NDArray[np.bool_]:
        """Which of some records did not come before (one bool each); from now on they did."""
        return self._seen.new(records)

    def append(self, frames: list[bytes], records: Records) -> None:
        """Frames are on disk when this returns; on OSError nothing was stored.

        records : those of the first frame, in order; `show` flags them and lets followers see them
        """
        ends = self._opened().append(frames)
        if len(records):
            if ends[0].segment != self._stored_end.segment:
                self.show()  # a tail's block lies in one segment
            if not self._stored:
                self._stored_at = time.monotonic()
            self._stored.append(records)
            self._stored_end = ends[0]
            self._stored_readings += len(records)

    @property
    def unshown(self) -> bool:
        """Whether something is stored that followers do not see yet."""
        return bool(self._stored)

    @property
    def due(self) -> bool:
        """Whether what is stored has waited long enough, or is enough, to be shown."""
        return self._stored_readings >= SHOW_READINGS or (
            bool(self._stored) and time.monotonic() - self._stored_at >= SHOW_S
        )

    def show(self, flags: npt.NDArray[np.uint16] | None = None) -> None:
        """Flag what is stored, and let followers see it.

        flags : those of each stored record, where they are known better than by what came last
        """
        if self._stored:
            records = self._stored[0] if len(self._stored) == 1 else joined(self._stored)
            self._stored.clear()
            self._stored_readings = 0
            self._show(self._stored_end, records, flags)

    def tend(self, now_ms: int) -> None:
        """See to the tail, and say that everything received before `now_ms` (city time) is to be seen, if it is."""
        if self._tail.behind:
            self._rebuild()
        elif self._tail.size >= TAIL_BYTES and self._log is not None:
            with suppress(OSError):  # it is closed all the same, and what it holds is whole
                self._log.end_segment()
        elif not self._tail.whole:
            self._try_again()
        if self._tail.whole and not self._stored:
            self._upto.say(now_ms)

    def register_changed(self) -> None:
        """Read again what the register says of sites."""
        self._facts = _facts(City.open(self.city.path))
        self._screen.facts = self._facts

    def state(self) -> Saved | None:
        """The state of screening where the tail ends; None while that cannot be said."""
        if self._stored or self._tail.written == Position(0, 0) or not self._tail.whole:
            return None
        return Saved((self._tail.written.segment, self._tail.written.offset), self._screen.state())

    def save(self, saved: Saved) -> None:
        """Keep a state of screening for the next start."""
        beside = self._saved_path().with_suffix(".new")
        beside.write_bytes(msgspec.msgpack.encode(saved))
        beside.replace(self._saved_path())

    def forget_old(self) -> None:
        """Remove segments that have been in the archive, and learnt from, for long enough."""
        saved = self._load_saved()
        learnt = saved.position[0] if saved is not None else 0
        archived = read_manifest(self.city).positions.get(self.name, (0, 0))[0]
        oldest = time.time() - KEPT_S
        for number in segments(self.folder):
            path = segment_path(self.folder, number)
            if number < min(learnt, archived) and path.stat().st_mtime < oldest:
                path.unlink()
                tail_path(self.folder, number).unlink(missing_ok=True)

    def last_letters(self) -> list[Message]:
        """The dead letters stored last, of which some may not have been acknowledged."""
        frames: deque[Frame] = deque()
        held = 0
        for number in segments(self.folder)[-2:]:
            for frame in read_frames(segment_path(self.folder, number)):
                if frame.kind == DEAD:
                    frames.append(frame)
                    held += frame.n_messages
                while held - frames[0].n_messages > _LETTERS if frames else False:
                    held -= frames.popleft().n_messages
        return [message for frame in frames for message in frame.messages()]

    def recover(self) -> None:
        """Bring screening, and the tail, to where the log ends: read what is there, decode again what is not."""
        archived = Position(*read_manifest(self.city).positions.get(self.name, (0, 0)))
        saved = self._load_saved()
        known = Position(0, 0)
        if saved is not None and Screen.readable(saved.screen):
            known = Position(*saved.position)
            self._screen = Screen.from_state(saved.screen, self._facts)
        start = min(known, archived)
        for number in segments(self.folder):
            if number >= start.segment:
                self._rebuild_tail(number, self._learn_tail(number, known))
        self._tail.written = max(self._tail.written, archived)

    def close(self) -> None:
        """Show what is stored and give back what was reserved; what the tail lacks the next start rebuilds."""
        self.show()
        if self._log is not None:
            self._log.close()
        self._tail.close()

    def _forget(self) -> None:
        self._seen = Seen()
        self._screen = Screen(self._facts)
        self._tail = TailWriter(self.folder)
        self._upto = Upto(self.folder)
        self._stored.clear()
        self._stored_readings = 0

    def _opened(self) -> Log:
        if self._log is None:
            archived = read_manifest(self.city).positions.get(self.name, (0, 0))
            self._log = Log.open(self.folder, self._disk, after=archived[0])
        return self._log

    def _show(self, end: Position, records: Records, known: npt.NDArray[np.uint16] | None = None) -> None:
        """Flag records, and give them to whoever follows."""
        try:
            flags = self._screen.flags(records)
            records["flags"] = flags if known is None else known
            self.troubles.pop("screening", None)
        except Exception as error:  # a fault of ours in judging readings is no reason to lose them
            self.troubles["screening"] = (
                f"readings are kept unflagged, screening failed: {type(error).__name__}: {error}"
            )
        try:
            self._tail.append(end, records)
            self.troubles.pop("tail", None)
        except OSError as error:
            self._refused(error)

    def _try_again(self) -> None:
        try:
            self._tail.flush()
            self.troubles.pop("tail", None)
        except OSError as error:
            self._refused(error)

    def _rebuild(self) -> None:
        """Begin anew, as after a start: the log holds what the tail has lost, and the disk may take it now."""
        if time.monotonic() < self._rebuild_at:
            return
        self._rebuild_at = time.monotonic() + REBUILD_S
        self._tail.close()
        self._forget()
        try:
            self.recover()
            self.troubles.pop("tail", None)
        except OSError as error:
            self._tail.behind = True
            self._refused(error)

    def _refused(self, error: OSError) -> None:
        self.troubles["tail"] = (
            f"readings are safe in the log, but followers do not see them yet ({error.strerror or error})"
        )

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
        """Read again the good frames of a segment that end beyond the offset `reached`."""
        for frame in read_frames(segment_path(self.folder, number), reached):
            if frame.kind != GOOD:
                continue
            messages = frame.messages()
            received = np.array([message.received_ms for message in messages], np.int64)
            topics = [message.topic.encode() for message in messages]
            routes = self._intake.routes(topics, int(received[-1]))
            reading = self._intake.read(routes, [message.payload for message in messages], received)
            self._show(frame.end, reading.records[self.new(reading.records)])

    def _saved_path(self) -> Path:
        return self.folder / "screening.state"

    def _load_saved(self) -> Saved | None:
        try:
            return msgspec.msgpack.decode(self._saved_path().read_bytes(), type=Saved)
        except (FileNotFoundError, msgspec.DecodeError):
            return None  # learnt again from the tails that are left


def _facts(city: City) -> SiteFacts | None:
    """What the register says of sites; None where the places are not all there."""
    try:
        return SiteFacts.of(city)
    except (NoctuleError, OSError, KeyError, ValueError):
        return None
