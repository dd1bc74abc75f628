"""How many messages were refused lately and for which kinds of reason, and never what they held: the log tells it.

Counted by the minute in city time and read on from where it was last read, so that asking again costs what is new. Of
a long log only the newest part is read.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ingest.dead_letters import printable, shard_folders
from ingest.log import DEAD, read_frames, segment_path, segments
from ingest.refusals import kind_of
from sensors.city import City
from sensors.night import rfc3339

MOST_BYTES = 256 * 1024 * 1024  # of the log that a first look reads
MOST_KINDS = 50
_LONGEST = 160  # characters of a kind of reason
_MINUTE_MS, _HOUR, _DAY = 60_000, 60, 1440
OTHER = "other reasons"


@dataclass(frozen=True)
class Refused:
    """One kind of reason: how many in the last hour and the last day of city time, and when the newest came."""

    kind: str
    hour: int
    day: int
    newest: str  # RFC 3339, UTC


class RefusedRecently:
    """Counts the dead letters of a city; one instance for as long as a process runs, used by one thread at a time."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._read: dict[tuple[str, int], int] = {}  # (shard, segment) -> offset of the last frame that was read
        self._minutes: dict[str, Counter[int]] = {}
        self._newest: dict[str, int] = {}
        self._left: dict[str, int] = {}  # shard -> the newest segment that was too much to read; no older one is read

    @property
    def whole(self) -> bool:
        """Whether all of the log that is kept has been read."""
        return not self._left

    def look(self, now: np.datetime64) -> list[Refused]:
        """What was refused in the day before `now`, the most frequent of the last hour first."""
        for folder, number in self._segments():
            self._read_on(folder, number)
        minute = int(now.astype("datetime64[ms]").astype(np.int64)) // _MINUTE_MS
        found = []
        for kind, minutes in self._minutes.items():
            for old in [one for one in minutes if one <= minute - _DAY]:
                del minutes[old]
            hour = sum(count for one, count in minutes.items() if one > minute - _HOUR)
            if day := sum(minutes.values()):
                found.append(Refused(kind, hour, day, rfc3339(np.datetime64(self._newest[kind], "ms"))))
        for kind in [kind for kind, minutes in self._minutes.items() if not minutes]:
            del self._minutes[kind], self._newest[kind]  # room for new kinds
        return sorted(found, key=lambda one: (-one.hour, -one.day, one.kind))

    def _segments(self) -> list[tuple[Path, int]]:
        """What there is to read: of each shard the newest segments, as many as fit; known ones read on for nothing."""
        found: list[tuple[Path, int]] = []
        folders = shard_folders(self._city)
        for folder in folders:
            left, mine = MOST_BYTES // len(folders), list[tuple[Path, int]]()
            for number in reversed(segments(folder)):
                if number <= self._left.get(folder.name, -1):
                    break
                if (folder.name, number) not in self._read:
                    left -= _size(segment_path(folder, number))
                    if left < 0 and mine:
                        self._left[folder.name] = number
                        break
                mine.append((folder, number))
            else:
                self._left.pop(folder.name, None)  # what was too much is no longer kept
            found += mine
        kept = {(folder.name, number) for folder, number in found}
        self._read = {key: offset for key, offset in self._read.items() if key in kept}
        return found

    def _read_on(self, folder: Path, number: int) -> None:
        key = (folder.name, number)
        try:
            for frame in read_frames(segment_path(folder, number), self._read.get(key, 0)):
                self._read[key] = frame.end.offset
                if frame.kind == DEAD:
                    for message in frame.messages():
                        self._count(kind_of(message.reason), message.received_ms)
        except FileNotFoundError:
            pass  # archived and forgotten meanwhile

    def _count(self, reason: str, received_ms: int) -> None:
        kind = printable(reason)[:_LONGEST]
        if kind not in self._minutes and len(self._minutes) >= MOST_KINDS:
            kind = OTHER
        self._minutes.setdefault(kind, Counter())[received_ms // _MINUTE_MS] += 1
        self._newest[kind] = max(self._newest.get(kind, 0), received_ms)


def as_dicts(found: list[Refused]) -> list[dict[str, Any]]:
    """For a machine."""
    return [{"kind": one.kind, "hour": one.hour, "day": one.day, "newest": one.newest} for one in found]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
