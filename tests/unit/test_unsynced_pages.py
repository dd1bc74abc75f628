"""The power may go at any moment: what was acknowledged is there afterwards, whatever the disk made of the rest.

The log's file layer is replaced by one that forgets what was not synced (`tests/forgetful_disk.py`); after every call
that the log made, the disk is left as a power cut could leave it, opened again, and compared with what had been
acknowledged by then. Systems that sync lazily fail exactly this (Jepsen, NATS 2.12.1: 131,418 of 930,005 lost).
"""

from __future__ import annotations

import errno
import itertools
import random
import shutil
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from ingest.archive import night_records, nights
from ingest.log import DEAD, GOOD, Log, Message, pack_frame, read_frames, segment_path, segments
from ingest.mqtt import Batch
from ingest.service import Service
from sensors.city import City
from sensors.clock import set_clock
from sensors.wire import Sample, encode_pack, quantity_topic
from tests.forgetful_disk import PAGE, ForgetfulDisk
from tests.synthetic_city import make_city

NOW = np.datetime64("2026-11-20T20:00:00", "ms")
NOW_MS = int(NOW.astype(np.int64))
METER = "meter-00"
MESSAGES = 60


def what_is_kept(seed: int) -> list[random.Random | bool]:
    return [False, True, *(random.Random(1000 * seed + number) for number in range(3))]


def frame(number: int) -> bytes:
    """Frames of very different sizes: within a page, over two, over many; good and dead."""
    size = (20, 3 * PAGE // 2, 5 * PAGE)[number % 3]
    noise = random.Random(number).randbytes(size)  # zstd makes nothing of it
    return pack_frame(GOOD if number % 4 else DEAD, [Message(f"noctule/town/meter-{number}/power", noise, number)])


def recovered(folder: Path) -> list[bytes]:
    """The frames that the log gives after it was opened again, as it was written."""
    Log.open(folder).close()
    return [
        pack_frame(one.kind, one.messages())
        for number in segments(folder)
        for one in read_frames(segment_path(folder, number))
    ]


@pytest.mark.parametrize("failing", [False, True], ids=["syncs", "some syncs fail"])
def test_every_frame_that_append_returned_survives_a_power_cut_after_any_call(tmp_path, failing):
    def before_sync(number: int) -> None:
        if failing and number % 4 == 0:
            raise OSError(errno.EIO, "Input/output error")

    disk = ForgetfulDisk(before_sync)
    log = Log.open(tmp_path / "log", disk, segment_bytes=12 * PAGE)
    returned: list[tuple[int, bytes]] = []  # how many calls had been made, and the frame
    sent = [frame(number) for number in range(18)]
    for one in sent:
        for _attempt in range(5):
            try:
                log.append([one])
            except OSError:
                continue
            returned.append((len(disk.calls), one))
            break
    log.close()
    assert [one for _, one in returned] == sent
    for after in range(len(disk.calls) + 1):
        promised = [one for calls, one in returned if calls <= after]
        for number, keeps in enumerate(what_is_kept(after)):
            folder = tmp_path / f"{after}-{number}"
            disk.power_cut(after, folder, keeps)
            found = list(dict.fromkeys(recovered(folder)))  # a group whose sync failed may be there twice
            assert found[: len(promised)] == promised, f"lost after call {after}: {disk.calls[max(0, after - 1)][:4]}"
            assert found == sent[: len(found)], "something is there that was never written"
            shutil.rmtree(folder)


class LazyDisk(ForgetfulDisk):
    """Syncs every fourth time, as brokers do that sync by the clock."""

    def sync(self, descriptor: int) -> None:
        self.asked = getattr(self, "asked", 0) + 1
        if self.asked % 4 == 0:
            super().sync(descriptor)


def test_a_log_that_syncs_lazily_would_be_caught(tmp_path):
    disk = LazyDisk()
    log = Log.open(tmp_path / "log", disk)
    for number in range(7):
        log.append([frame(number)])
    disk.power_cut(len(disk.calls), tmp_path / "left", False)
    assert len(recovered(tmp_path / "left")) < 7


class Broker:
    """Stands where the subscriber stands; notes when each message was acknowledged."""

    def __init__(self, disk: ForgetfulDisk) -> None:
        self.inbox: deque[Batch] = deque()
        self.inbox_bytes = self.inbox_messages = 0
        self.acknowledged: list[tuple[int, int]] = []  # how many calls the disk had had, and which message
        self.state, self.sentence, self.url, self.receiver = "connected", "connected to a test", "mqtt://test", "test"
        self.connects = 1
        self.client_id, self.filters, self.connection, self.subscribed = "noctule-smalltown-0.test", (), 1, True
        self._disk = disk

    def deliver(self, messages: list[tuple[int, str, bytes]]) -> None:
        raw = [(topic.encode(), number, 2, payload) for number, topic, payload in messages]
        self.inbox.append(Batch(1, raw))
        self.inbox_messages += len(raw)
        self.inbox_bytes += sum(len(one[3]) for one in raw)

    def pop(self, limit: int = 1 << 30) -> Batch | None:
        if not self.inbox:
            return None
        batch = self.inbox.popleft()
        if len(batch.messages) > limit:
            self.inbox.appendleft(Batch(batch.connection, batch.messages[limit:]))
            batch = Batch(batch.connection, batch.messages[:limit])
        self.inbox_messages -= len(batch.messages)
        self.inbox_bytes -= sum(len(one[3]) for one in batch.messages)
        return batch

    def receive(self, timeout_s: float, limit: int) -> None:
        """Everything is there already."""

    def acknowledge(self, connection: int, messages: list) -> int:
        self.acknowledged += [(len(self._disk.calls), message[1]) for message in messages]
        return len(messages)

    def set_filters(self, filters: object) -> None:
        """Nothing is filtered."""

    def close(self) -> None:
        self.state = "stopped"


def messages() -> list[tuple[int, str, bytes]]:
    topic = quantity_topic("noctule", "smalltown", METER, "sound_laeq")
    return [
        (
            number,
            topic,
            encode_pack([Sample("sound_laeq", NOW_MS - 60_000 * (MESSAGES - number), 50.0, 60.0)], boot=1, seq=number),
        )
        for number in range(MESSAGES)
    ]


def run(city: City, broker: Broker, disk: ForgetfulDisk | None, done) -> None:
    service = Service(city, "0/1", "mqtt://127.0.0.1:1", disk=disk)
    service.subscriber = broker
    turns = itertools.count()
    service.run(lambda: done() or next(turns) > 20_000)


def held(city: City) -> list[int]:
    return [int(seq) for night in nights(city) for seq in night_records(city, night)["seq"]]


def town(folder: Path, places: Path | None = None) -> City:
    if places is None:
        city = make_city(folder)
    else:
        folder.mkdir()
        shutil.copy(places / "city.toml", folder)
        (folder / "places").symlink_to(places / "places")
        city = City.open(folder)
    set_clock(city.path, NOW, 1.0)
    return city


@pytest.mark.parametrize("points", [12, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_every_acknowledged_reading_survives_a_power_cut(tmp_path, points):
    """CI cuts at a dozen of the moments, `make test-slow` at each, with every choice of what the disk keeps."""
    city = town(tmp_path / "town")
    disk = ForgetfulDisk()
    broker = Broker(disk)
    all_messages = messages()
    waiting = deque(all_messages[start : start + 5] for start in range(0, MESSAGES, 5))
    tails: dict[int, dict[str, bytes]] = {}  # the tail is not synced: what it held after so many calls of the disk

    def done() -> bool:
        tails[len(disk.calls)] = {path.name: path.read_bytes() for path in city.shelf("log", "0", "tail").glob("*")}
        if not broker.inbox and len(broker.acknowledged) == MESSAGES - 5 * len(waiting):
            if not waiting:
                return True
            broker.deliver(waiting.popleft())
        return False

    run(city, broker, disk, done)
    assert sorted(number for _, number in broker.acknowledged) == list(range(MESSAGES))
    generator = random.Random(5)
    moments = range(len(disk.calls) + 1)
    chosen = sorted(generator.sample(list(moments), min(points, len(moments))))
    for after in chosen:
        choices = what_is_kept(after)
        for number, keeps in enumerate(choices if points > 100 else [choices[after % len(choices)]]):
            crashed = town(tmp_path / f"{after}-{number}", city.path)
            disk.power_cut(after, crashed.shelf("log", "0"), keeps)
            tail = crashed.shelf("log", "0", "tail")
            tail.mkdir()
            for name, content in tails[max(calls for calls in tails if calls <= after)].items():
                if kept := forget_some(content, keeps):
                    (tail / name).write_bytes(kept)
            promised = {one for calls, one in broker.acknowledged if calls <= after}
            again = Broker(ForgetfulDisk())
            run(crashed, again, None, lambda: True)
            found = held(crashed)
            assert not promised - set(found), f"lost after call {after}"
            assert len(found) == len(set(found)), "there twice"
            # What was not acknowledged comes again, as a broker does; some that was comes again, as a device does.
            again = Broker(ForgetfulDisk())
            again.deliver([one for one in all_messages if one[0] not in promised or one[0] % 7 == 0])
            wanted = again.inbox_messages
            run(crashed, again, None, lambda again=again, wanted=wanted: len(again.acknowledged) == wanted)
            assert sorted(held(crashed)) == list(range(MESSAGES))
            shutil.rmtree(crashed.path)


def forget_some(content: bytes, keeps: random.Random | bool) -> bytes:
    """A file that was never synced, as a power cut may leave it: nothing, all, or short and with pages of zeros."""
    if isinstance(keeps, bool):
        return content if keeps else b""
    left = bytearray(content[: keeps.randint(0, len(content))])
    for start in range(0, len(left), PAGE):
        if keeps.random() < 0.3:
            left[start : start + PAGE] = bytes(len(left[start : start + PAGE]))
    return bytes(left)
