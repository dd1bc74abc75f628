"""The tail: screened readings of each group, for whoever follows live; rebuilt from the log where it is missing.

One file a segment, `tail/NNNNNNNNNNNN.rec`, one block for each good frame, or for several that followed closely. Not
synced: a process that dies leaves it whole, and what a power cut takes, the next start decodes again from the log. A
disk that refuses the tail holds up nobody: blocks wait in memory within a bound, beyond it the tail is given up and
later rebuilt.

    block = magic "NTL1" | count u4 | log offset u8 | CRC-32 u4 | RECORD[count]

`log offset` is where the last of its frames ends in its segment, so that a place in the tail is also one in the log.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ingest.log import Position
from sensors.reading import RECORD, Records

_MAGIC = b"NTL1"
_HEADER = struct.Struct("<4sIQ")
_CRC = struct.Struct("<I")
_BLOCK_START = _HEADER.size + _CRC.size
WAITING_BYTES = 16 << 20  # of blocks that the disk refused; some 400,000 readings


def tail_path(folder: Path, segment: int) -> Path:
    """The tail of one segment of the shard in `folder`."""
    return folder / "tail" / f"{segment:012d}.rec"


@dataclass
class TailWriter:
    """Appends blocks; what the disk refuses waits in memory and goes first the next time.

    behind : more was refused than may wait: followers see nothing newer until the tail is rebuilt from the log
    """

    folder: Path
    segment: int = -1
    written: Position = field(default=Position(0, 0), init=False)  # end of the last block on file
    behind: bool = field(default=False, init=False)
    _descriptor: int | None = field(default=None, init=False)
    _size: int = field(default=0, init=False)
    _waiting: deque[tuple[Position, bytes]] = field(default_factory=deque, init=False)
    _waiting_bytes: int = field(default=0, init=False)

    @property
    def whole(self) -> bool:
        """Whether followers see everything that was appended."""
        return not self._waiting and not self.behind

    @property
    def size(self) -> int:
        """Bytes of the present segment's file."""
        return self._size

    def append(self, end: Position, records: Records) -> None:
        """Add screened records, of good frames up to the one that ends at `end`; OSError means that they wait."""
        body = np.ascontiguousarray(records).tobytes()
        header = _HEADER.pack(_MAGIC, len(records), end.offset)
        block = b"".join((header, _CRC.pack(zlib.crc32(body, zlib.crc32(header))), body))
        if self._waiting_bytes + len(block) > WAITING_BYTES:
            self.behind = True
        if self.behind:
            self._waiting.clear()
            self._waiting_bytes = 0
            raise OSError(errno.ENOBUFS, "more readings wait than memory is kept for")
        self._waiting.append((end, block))
        self._waiting_bytes += len(block)
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        while self._waiting:
            end, block = self._waiting[0]
            self.begin(end.segment)
            assert self._descriptor is not None
            try:
                if os.pwrite(self._descriptor, block, self._size) != len(block):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as the write of the rest would
            except OSError:
                os.ftruncate(self._descriptor, self._size)
                raise
            self._size += len(block)
            self.written = end
            self._waiting.popleft()
            self._waiting_bytes -= len(block)

    def begin(self, segment: int) -> None:
        """Write to the tail of this segment from now on; it exists afterwards, cut to whole blocks."""
        if segment == self.segment and self._descriptor is not None:
            return
        self.close()
        path = tail_path(self.folder, segment)
        path.parent.mkdir(parents=True, exist_ok=True)
        for number in range(self.segment + 1, segment) if self.segment >= 0 else ():
            tail_path(self.folder, number).touch()  # a segment that held nothing good; readers count on every number
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.segment = segment
        reader = TailReader(self.folder, segment)
        reader.read()
        self._size = reader.offset
        os.ftruncate(self._descriptor, self._size)

    def close(self) -> None:
        """Close the file; what waits is left to the log."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@dataclass
class Upto:
    """Says up to which city time everything that was received is to be seen, in `tail/upto`.

    A page that closes at a time waits until this has passed it, and so holds exactly what a replay will find.
    """

    folder: Path
    _descriptor: int | None = field(default=None, init=False)

    def say(self, city_ms: int) -> None:
        """Everything received before this moment (ms since 1970, city time) is in the tail."""
        if self._descriptor is None:
            path = upto_path(self.folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.pwrite(self._descriptor, struct.pack("<q", city_ms), 0)


def reached(folder: Path, after: Position) -> Position:
    """The end of the last whole block of a shard's tail that stands after a position; that position if none does."""
    end = after
    for path in sorted(tail_path(folder, 0).parent.glob("*.rec")):
        segment = int(path.stem)
        if segment >= after.segment:
            reader = TailReader(folder, segment, after.offset if segment == after.segment else 0)
            blocks = reader.read()
            reader.close()
            if blocks:
                end = blocks[-1][0]
    return end


def upto_path(folder: Path) -> Path:
    """The file in which a shard says up to when it is complete."""
    return folder / "tail" / "upto"


def read_upto(folder: Path) -> int | None:
    """What a shard last said (ms since 1970, city time), or None when it never did."""
    try:
        content = upto_path(folder).read_bytes()
    except FileNotFoundError:
        return None
    return int(struct.unpack("<q", content)[0]) if len(content) == 8 else None


@dataclass
class TailReader:
    """Reads the blocks of one segment's tail as they appear."""

    folder: Path
    segment: int
    after: int = 0  # log offset: frames that end at or before it are passed over
    offset: int = field(default=0, init=False)  # bytes of the file read so far
    _descriptor: int | None = field(default=None, init=False)

    def read(self) -> list[tuple[Position, Records]]:
        """The whole blocks that were added since the last call."""
        if self._descriptor is None:
            try:
                self._descriptor = os.open(tail_path(self.folder, self.segment), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return []
        size = os.fstat(self._descriptor).st_size
        if size <= self.offset:
            return []
        data = _read_all(self._descriptor, self.offset, size)
        blocks = []
        start = 0
        while (block := _block_at(data, start)) is not None:
            log_offset, records, start = block
            if log_offset > self.after:
                blocks.append((Position(self.segment, log_offset), records))
        self.offset += start
        return blocks

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.close()


def _read_all(descriptor: int, begin: int, end: int) -> bytes:
    """Bytes of a file; one call of the system gives at most 2 GiB, and may give less."""
    parts = []
    while begin < end and (part := os.pread(descriptor, end - begin, begin)):
        parts.append(part)
        begin += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _block_at(data: bytes, start: int) -> tuple[int, Records, int] | None:
    if start + _BLOCK_START > len(data):
        return None
    header = data[start : start + _HEADER.size]
    magic, count, log_offset = _HEADER.unpack(header)
    body_start = start + _BLOCK_START
    end = body_start + count * RECORD.itemsize
    if magic != _MAGIC or end > len(data):
        return None
    (crc,) = _CRC.unpack_from(data, start + _HEADER.size)
    body = data[body_start:end]
    if zlib.crc32(body, zlib.crc32(header)) != crc:
        return None
    return log_offset, np.frombuffer(body, RECORD), end
