"""The log: every message as it was received, on disk before it is acknowledged.

Bytes (little-endian). A segment `NNNNNNNNNNNN.seg` is a run of frames; the space after the last one is zeros, since
segments grow ahead of their content (an append that changes the file's size costs a journal commit: 4.0 ms against
0.26 ms, measured on ext4).

    frame  = magic "NLG1" | kind u1 | codec u1 | 2 zeros | stored length u4 | count u4 | CRC-32 u4 | body
    body   = received i8[count] | payload length u4[count] | topic u4[count] | reason u4[count]
             | texts u4 | text length u2[texts] | texts | payloads            (zstd when codec is 1)

The CRC covers the header before it and the stored body. `topic` and `reason` are indexes into the texts; a reason is
empty in a good frame. What follows the first frame that does not check is torn and is cut off when the folder is
opened again; each start begins a new segment.

A failed fsync may have dropped pages that a second one would call clean ("fsyncgate", PostgreSQL 2018), so the file
is cut back to its last good frame and never written again: the group is written once more, from memory, to a new
segment. A full disk is the caller's to wait out; nothing of the refused group stays behind.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import zstandard

from sensors.errors import StoreError

GOOD, DEAD = 1, 2
SEGMENT_BYTES = 64 << 20
ALLOCATE_BYTES = 8 << 20
COMPRESS_FROM = 512  # bytes of a frame; from a few messages on zstd costs 4 us and leaves a tenth

_per_thread = threading.local()
_MAGIC = b"NLG1"
_HEADER = struct.Struct("<4sBBxxII")
_CRC = struct.Struct("<I")
_FRAME_START = _HEADER.size + _CRC.size
_RAW, _ZSTD = 0, 1


class Message(NamedTuple):
    """A message as it was received, and why it was refused (empty where it was not)."""

    topic: str
    payload: bytes
    received_ms: int
    reason: str = ""


class Position(NamedTuple):
    """The end of a frame: segment number and byte offset; positions of a shard compare in order of writing."""

    segment: int
    offset: int


class Frame(NamedTuple):
    """One frame read back: where it ends, its kind (GOOD or DEAD), and its messages on demand."""

    end: Position
    kind: int
    n_messages: int
    codec: int
    stored: bytes

    def messages(self) -> list[Message]:
        """The messages of this frame, in the order in which they were received."""
        body = zstandard.ZstdDecompressor().decompress(self.stored) if self.codec == _ZSTD else self.stored
        return _unpack(body, self.n_messages)


class Disk:
    """The few calls that the log makes to the file system, so that a test can make each of them fail."""

    def create(self, path: Path) -> int:
        """A new file, open for writing; fails if it exists."""
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)

    def allocate(self, descriptor: int, offset: int, length: int) -> None:
        """Reserve space ahead of writing."""
        os.posix_fallocate(descriptor, offset, length)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""
        view = memoryview(data)
        while view:
            written = os.pwrite(descriptor, view, offset)
            view, offset = view[written:], offset + written

    def sync(self, descriptor: int) -> None:
        """Return only when the data is on the medium."""
        os.fdatasync(descriptor)

    def cut(self, descriptor: int, size: int) -> None:
        """Make the file this long."""
        os.ftruncate(descriptor, size)

    def close(self, descriptor: int) -> None:
        """Close the file."""
        os.close(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Make the names of new files durable."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass
class Log:
    """The open end of a shard's log; `append` returns when its frames are on disk."""

    folder: Path
    disk: Disk
    segment_bytes: int
    segment: int
    _descriptor: int | None = None
    _size: int = 0
    _allocated: int = 0

    @classmethod
    def open(cls, folder: Path, disk: Disk | None = None, segment_bytes: int = SEGMENT_BYTES, after: int = 0) -> Log:
        """Cut what a crash tore off, and begin a new segment. The caller holds the folder's lock.

        segment_bytes : a segment is closed once it is this long
        after : number of a segment that is already archived; numbers go on after it even if its file is gone
        """
        folder.mkdir(parents=True, exist_ok=True)
        numbers = segments(folder)
        # The last one, and the one before it: a crash may have come between a refused fsync and its cut.
        for number in numbers[-2:]:
            _cut_torn(segment_path(folder, number))
        log = cls(folder, disk or Disk(), segment_bytes, max([*numbers, after]))
        log._begin()
        return log

    def append(self, frames: Sequence[bytes]) -> list[Position]:
        """Write frames, sync, and return where each ends. On OSError none of them is in the log."""
        if self._descriptor is None:
            self._begin()
        elif self._size >= self.segment_bytes:
            self._finish()
            self._begin()
        assert self._descriptor is not None
        data = b"".join(frames)
        self._allocate(self._size + len(data))
        try:
            self.disk.write(self._descriptor, data, self._size)
        except OSError:
            # Nothing was promised about these bytes; the file is as good as it was once they are cut off.
            self._cut_or_abandon()
            raise
        try:
            self.disk.sync(self._descriptor)
        except OSError:
            self._abandon()
            raise
        ends = []
        for frame in frames:
            self._size += len(frame)
            ends.append(Position(self.segment, self._size))
        return ends

    def end_segment(self) -> None:
        """What is appended from now on goes into a new segment."""
        if self._descriptor is not None:
            self._finish()

    def close(self) -> None:
        """Give back the space that was reserved and not used."""
        if self._descriptor is not None:
            self._finish()

    def _begin(self) -> None:
        self.segment += 1
        self._descriptor = self.disk.create(segment_path(self.folder, self.segment))
        self._size = self._allocated = 0
        try:
            self.disk.sync_folder(self.folder)
        except OSError:
            self._abandon()
            raise

    def _finish(self) -> None:
        assert self._descriptor is not None
        descriptor, self._descriptor = self._descriptor, None
        try:
            self.disk.cut(descriptor, self._size)
        finally:
            self.disk.close(descriptor)

    def _allocate(self, needed: int) -> None:
        if needed <= self._allocated:
            return
        assert self._descriptor is not None
        ahead = max(ALLOCATE_BYTES, needed - self._allocated)
        try:
            self.disk.allocate(self._descriptor, self._allocated, ahead)
            self._allocated += ahead
        except OSError:
            # Only an optimisation: where there is no room ahead, the write itself says whether there is room.
            self._allocated = needed

    def _cut_or_abandon(self) -> None:
        assert self._descriptor is not None
        try:
            self.disk.cut(self._descriptor, self._size)
            self._allocated = self._size
        except OSError:
            self._abandon()

    def _abandon(self) -> None:
        assert self._descriptor is not None
        descriptor, self._descriptor = self._descriptor, None
        try:
            self.disk.cut(descriptor, self._size)
        except OSError:
            pass  # what stays behind is either torn, or a copy of what the next segment holds again
        finally:
            self.disk.close(descriptor)


def segments(folder: Path) -> list[int]:
    """The numbers of a shard's segments, ascending."""
    return sorted(int(path.stem) for path in folder.glob("*.seg") if path.stem.isdigit())


def segment_path(folder: Path, number: int) -> Path:
    """The file of a segment."""
    return folder / f"{number:012d}.seg"


def pack_frame(kind: int, messages: Sequence[Message]) -> bytes:
    """The bytes of one frame."""
    index: dict[str, int] = {}
    topics = [index.setdefault(message.topic, len(index)) for message in messages]
    reasons = b"".join([index.setdefault(message.reason, len(index)).to_bytes(4, "little") for message in messages])
    received = [message.received_ms for message in messages]
    payloads = [message.payload for message in messages]
    return _frame(kind, [text.encode() for text in index], topics, reasons, received, payloads)


def pack_columns(
    texts: Sequence[bytes], topics: npt.NDArray[np.int64], received_ms: npt.NDArray[np.int64], payloads: Sequence[bytes]
) -> bytes:
    """The bytes of one frame of good messages, from columns with an entry for each.

    texts : the topics that occur, each once, UTF-8
    topics : (n_messages,) array, indexes into `texts`
    received_ms : (n_messages,) array, ms since 1970, UTC
    """
    no_reason = len(texts).to_bytes(4, "little") * len(payloads)
    return _frame(GOOD, [*texts, b""], topics, no_reason, received_ms, payloads)


def read_frames(path: Path, after: int = 0) -> Iterator[Frame]:
    """The frames of a segment that end beyond the offset `after`, up to the first that does not check."""
    number = int(path.stem)
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            offset = after
            while (frame := _frame_at(view, offset, number)) is not None:
                yield frame
                offset = frame.end.offset


def _frame_at(view: mmap.mmap, offset: int, number: int) -> Frame | None:
    if offset + _FRAME_START > len(view):
        return None
    header = view[offset : offset + _HEADER.size]
    magic, kind, codec, length, count = _HEADER.unpack(header)
    end = offset + _FRAME_START + length
    if magic != _MAGIC or end > len(view):
        return None
    (crc,) = _CRC.unpack_from(view, offset + _HEADER.size)
    stored = view[offset + _FRAME_START : end]
    if zlib.crc32(stored, zlib.crc32(header)) != crc:
        return None
    return Frame(Position(number, end), kind, count, codec, stored)


def _cut_torn(path: Path) -> None:
    good = 0
    for frame in read_frames(path):
        good = frame.end.offset
    if path.stat().st_size > good:
        with path.open("r+b") as file:
            file.truncate(good)
            os.fsync(file.fileno())


def _frame(
    kind: int,
    texts: Sequence[bytes],
    topics: npt.ArrayLike,
    reasons: bytes,
    received_ms: npt.ArrayLike,
    payloads: Sequence[bytes],
) -> bytes:
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    if lengths.max(initial=0) > 0xFFFF:
        raise StoreError("a topic or reason is longer than 65,535 bytes, which MQTT does not allow (log)")
    body = b"".join(
        (
            np.asarray(received_ms, "<i8").tobytes(),
            np.fromiter(map(len, payloads), "<u4", len(payloads)).tobytes(),
            np.asarray(topics, "<u4").tobytes(),
            reasons,
            len(texts).to_bytes(4, "little"),
            lengths.astype("<u2").tobytes(),
            *texts,
            *payloads,
        )
    )
    codec = _RAW
    if len(body) >= COMPRESS_FROM:
        body, codec = _compressor().compress(body), _ZSTD
    header = _HEADER.pack(_MAGIC, kind, codec, len(body), len(payloads))
    return b"".join((header, _CRC.pack(zlib.crc32(body, zlib.crc32(header))), body))


def _compressor() -> zstandard.ZstdCompressor:
    """One a thread: making it costs twice as much as what it does for a group of thirty."""
    if not hasattr(_per_thread, "compressor"):
        _per_thread.compressor = zstandard.ZstdCompressor(level=1)
    found: zstandard.ZstdCompressor = _per_thread.compressor
    return found


def _unpack(body: bytes, count: int) -> list[Message]:
    received = np.frombuffer(body, "<i8", count, 0).tolist()
    lengths = np.frombuffer(body, "<u4", count, 8 * count).tolist()
    topics = np.frombuffer(body, "<u4", count, 12 * count).tolist()
    reasons = np.frombuffer(body, "<u4", count, 16 * count).tolist()
    offset = 20 * count
    n_texts = int.from_bytes(body[offset : offset + 4], "little")
    text_lengths = np.frombuffer(body, "<u2", n_texts, offset + 4).tolist()
    offset += 4 + 2 * n_texts
    texts = []
    for length in text_lengths:
        texts.append(body[offset : offset + length].decode())
        offset += length
    messages = []
    for when, length, topic, reason in zip(received, lengths, topics, reasons, strict=True):
        messages.append(Message(texts[topic], body[offset : offset + length], when, texts[reason]))
        offset += length
    return messages
