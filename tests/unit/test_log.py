"""The log gives back what was stored, and after any crash nothing but what was stored."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.log import DEAD, GOOD, Disk, Log, Message, Position, pack_frame, read_frames, segment_path, segments

messages = st.builds(
    Message,
    topic=st.text(max_size=40),
    payload=st.binary(max_size=200),
    received_ms=st.integers(-(2**62), 2**62),
    reason=st.text(max_size=40),
)


def message(number: int, size: int = 20) -> Message:
    return Message(f"noctule/town/device-{number % 7}/power", b"%d" % number * size, 1_795_212_000_000 + number)


def stored(folder: Path) -> list[Message]:
    return [
        message
        for number in segments(folder)
        for frame in read_frames(segment_path(folder, number))
        for message in frame.messages()
    ]


@given(st.lists(messages, min_size=1, max_size=100), st.sampled_from([GOOD, DEAD]))
def test_a_frame_gives_back_its_messages(tmp_path_factory, sent, kind):
    path = tmp_path_factory.mktemp("log") / "000000000003.seg"
    path.write_bytes(pack_frame(kind, sent))
    (frame,) = read_frames(path)
    assert frame.messages() == sent
    assert (frame.kind, frame.end) == (kind, Position(3, path.stat().st_size))


def test_large_groups_are_compressed_and_small_ones_are_not():
    many = [message(number) for number in range(64)]
    raw = sum(len(one.payload) + len(one.topic) for one in many)
    assert len(pack_frame(GOOD, many)) < raw / 3
    assert many[0].payload in pack_frame(GOOD, many[:5])


def test_a_torn_tail_is_cut_at_every_byte_of_the_last_frame(tmp_path):
    first, last = pack_frame(GOOD, [message(1)]), pack_frame(GOOD, [message(2), message(3)])
    for length in range(len(last)):
        folder = tmp_path / str(length)
        folder.mkdir()
        segment_path(folder, 1).write_bytes(first + last[:length] + bytes(50))
        Log.open(folder).close()
        assert segment_path(folder, 1).read_bytes() == first
        assert stored(folder) == [message(1)]


def test_a_changed_byte_anywhere_in_a_frame_is_noticed(tmp_path):
    frame = pack_frame(GOOD, [message(1), message(2)])
    path = tmp_path / "000000000001.seg"
    for place in range(len(frame)):
        damaged = bytearray(frame)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        assert list(read_frames(path)) == []


def test_each_start_begins_a_new_segment_and_keeps_the_old_ones(tmp_path):
    for number in range(1, 4):
        log = Log.open(tmp_path)
        assert log.append([pack_frame(GOOD, [message(number)])])[0].segment == number
        log.close()
    assert stored(tmp_path) == [message(1), message(2), message(3)]


def test_numbers_go_on_after_what_is_archived_although_its_files_are_gone(tmp_path):
    assert Log.open(tmp_path, after=41).segment == 42


def test_space_is_reserved_ahead_and_given_back(tmp_path):
    log = Log.open(tmp_path)
    (end,) = log.append([pack_frame(GOOD, [message(1)])])
    path = segment_path(tmp_path, 1)
    assert path.stat().st_size > 1 << 20
    assert stored(tmp_path) == [message(1)]
    log.close()
    assert path.stat().st_size == end.offset


def test_a_full_segment_is_followed_by_the_next(tmp_path):
    log = Log.open(tmp_path, segment_bytes=300)
    for number in range(20):
        log.append([pack_frame(GOOD, [message(number)])])
    log.close()
    assert len(segments(tmp_path)) > 3
    assert stored(tmp_path) == [message(number) for number in range(20)]


class FullDisk(Disk):
    """Takes so many bytes, the last write in part, as a real one does."""

    def __init__(self, room: int) -> None:
        self.room = room

    def allocate(self, descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        taken = data[: self.room]
        super().write(descriptor, taken, offset)
        self.room -= len(taken)
        if len(taken) < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_nothing_behind_and_the_same_group_succeeds_later(tmp_path):
    disk = FullDisk(150)
    log = Log.open(tmp_path, disk)
    log.append([pack_frame(GOOD, [message(1)])])
    group = [pack_frame(GOOD, [message(2)]), pack_frame(DEAD, [message(3, 40)])]
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            log.append(group)
        assert stored(tmp_path) == [message(1)]
    disk.room = 10_000
    log.append(group)
    assert stored(tmp_path) == [message(1), message(2), message(3, 40)]
    assert segments(tmp_path) == [1]


def name_of(descriptor: int) -> str:
    return Path(f"/proc/self/fd/{descriptor}").readlink().name


class FailingSync(Disk):
    """Refuses one sync, and remembers which files were written and synced afterwards."""

    def __init__(self) -> None:
        self.failed: int | None = None
        self.fail_next = False
        self.touched: list[str] = []

    def sync(self, descriptor: int) -> None:
        name = name_of(descriptor)
        self.touched.append(name)
        if self.fail_next:
            self.fail_next = False
            raise OSError(errno.EIO, "Input/output error")
        super().sync(descriptor)


def test_a_failed_sync_is_never_tried_again_on_the_same_file(tmp_path):
    disk = FailingSync()
    log = Log.open(tmp_path, disk)
    log.append([pack_frame(GOOD, [message(1)])])
    disk.fail_next = True
    group = [pack_frame(GOOD, [message(2)])]
    with pytest.raises(OSError, match="Input/output"):
        log.append(group)
    disk.touched.clear()
    (end,) = log.append(group)
    assert end.segment == 2
    assert set(disk.touched) == {"000000000002.seg"}
    assert stored(tmp_path) == [message(1), message(2)]


class PowerCut(Disk):
    """Writes only reach the medium when they are synced; `cut_power` takes back the rest."""

    def __init__(self) -> None:
        self.pending: dict[int, list[tuple[str, bytes, int]]] = {}

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        self.pending.setdefault(descriptor, []).append((name_of(descriptor), data, offset))

    def sync(self, descriptor: int) -> None:
        for _, data, offset in self.pending.pop(descriptor, []):
            super().write(descriptor, data, offset)


def test_what_was_returned_from_append_survives_a_power_cut(tmp_path):
    disk = PowerCut()
    log = Log.open(tmp_path, disk, segment_bytes=400)
    promised = []
    for number in range(12):
        log.append([pack_frame(GOOD, [message(number)])])
        promised.append(message(number))
    assert not disk.pending  # nothing was promised that is not on the medium
    Log.open(tmp_path)
    assert stored(tmp_path) == promised
