"""Acknowledged means stored: whatever the disk, the broker or the power does."""

from __future__ import annotations

import errno
import itertools
import time
from collections import deque

import numpy as np
import pytest

from ingest import service as module
from ingest.archive import follow, night_records, read_manifest, stored_until
from ingest.dead_letters import letters as kept_letters
from ingest.health import read_health
from ingest.lock import shelf_lock
from ingest.log import Disk, Message
from ingest.mqtt import Batch, Raw
from ingest.service import Service, run
from sensors.city import City
from sensors.clock import set_clock
from sensors.errors import ShelfLocked
from sensors.flags import Flag
from sensors.wire import Sample, encode_pack, encode_status, quantity_topic, status_topic
from tests.synthetic_city import make_city

NOW = np.datetime64("2026-11-20T20:00:00", "ms")
NOW_MS = 1_795_204_800_000
NIGHT = "2026-11-20"


class FakeSubscriber:
    """Delivers what the test puts in, and remembers what was acknowledged."""

    def __init__(self) -> None:
        self.inbox: deque[Batch] = deque()
        self.inbox_messages = self.inbox_bytes = 0
        self.acknowledged: list[int] = []
        self.state, self.sentence, self.url = "connected", "connected to a test", "mqtt://test"
        self.client_id, self.filters, self.receiver = "noctule-smalltown-0.test", (), "fast"
        self.connects = 1
        self.connection, self.subscribed = 1, True
        self._numbers = itertools.count(1)

    def deliver(self, topic: str, payload: bytes, *, retained: bool = False) -> int:
        number = next(self._numbers)
        self.inbox.append(Batch(1, [(topic.encode(), number, 1 << 1 | retained, payload)]))
        return number

    def pop(self, limit: int) -> Batch | None:
        return self.inbox.popleft() if self.inbox else None

    def receive(self, timeout_s: float, limit: int) -> None:
        time.sleep(min(timeout_s, 0.001))

    def acknowledge(self, connection: int, messages: list[Raw]) -> int:
        self.acknowledged += [mid for _, mid, _, _ in messages]
        return len(messages)

    def close(self) -> None:
        self.state = "stopped"
        self.sentence = "stopped"


class FullDisk(Disk):
    def __init__(self) -> None:
        self.full = False

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(descriptor, data, offset)


@pytest.fixture
def city(tmp_path) -> City:
    town = make_city(tmp_path / "town")
    set_clock(town.path, NOW, 1.0)
    return town


@pytest.fixture
def meter(city):
    table = city.places("sites")
    return table[table["quantity"] == "sound_laeq"].iloc[0]


def topic(meter) -> str:
    return quantity_topic("noctule", "smalltown", meter.device, "sound_laeq")


def level(seq: int, value: float = 55.0) -> bytes:
    return encode_pack([Sample("sound_laeq", NOW_MS - 3_600_000 + seq * 60_000, value, 60.0)], boot=1, seq=seq)


def start(city: City, disk: Disk | None = None) -> Service:
    service = Service(city, "0/1", "mqtt://127.0.0.1:1", disk=disk)
    service.subscriber = FakeSubscriber()
    return service


def dead(city: City) -> list[Message]:
    """The refused messages that are kept."""
    return [letter.message for letter in kept_letters(city)]


def turns(service: Service, times: int = 12) -> None:
    """Enough turns for a group to close and be stored."""
    for _ in range(times):
        service._turn()


def until_done(service: Service, wanted: int) -> None:
    deadline = time.monotonic() + 5
    while len(service.subscriber.acknowledged) < wanted and time.monotonic() < deadline:
        service._turn()


def test_a_message_is_acknowledged_after_it_is_in_the_log_and_seen_at_once(city, meter):
    service = start(city)
    follower = follow(city)
    numbers = [service.subscriber.deliver(topic(meter), level(seq)) for seq in range(5)]
    until_done(service, 5)
    assert service.subscriber.acknowledged == numbers
    assert follower.poll()["seq"].tolist() == [0, 1, 2, 3, 4]
    assert service.counts["stored"] == 5


def test_groups_that_follow_closely_are_shown_together_with_the_flags_of_each(city, meter, monkeypatch):
    levels = [level(seq, 60.0) for seq in range(40)]
    by_group = start(City.open(city.path))
    for number, payload in enumerate(levels, 1):
        by_group.subscriber.deliver(topic(meter), payload)
        until_done(by_group, number)
        turns(by_group, 2)
    expected = night_records(city, NIGHT)
    assert (expected["flags"] & Flag.REPEAT).any()
    other = make_city(city.path.parent / "other")
    set_clock(other.path, NOW, 1.0)
    together = start(other)
    with monkeypatch.context() as patch:
        patch.setattr(together.kept, "show", lambda: None)  # as in a flow that never pauses
        for number, payload in enumerate(levels, 1):
            together.subscriber.deliver(topic(meter), payload)
            until_done(together, number)
        assert len(night_records(other, NIGHT)) == 0
        assert stored_until(other) is None  # nobody is told that everything is to be seen
    together._finish()
    shown = night_records(other, NIGHT)
    for name in ("seq", "flags", "value"):
        np.testing.assert_array_equal(shown[name], expected[name])


def test_nothing_is_acknowledged_while_the_disk_is_full_and_all_is_once_it_is_not(city, meter, monkeypatch):
    monkeypatch.setattr(module, "_HOLD_FIRST_S", 0.005)
    disk = FullDisk()
    service = start(city, disk)
    service.subscriber.deliver(topic(meter), level(0))
    until_done(service, 1)
    disk.full = True
    for seq in range(1, 40):
        service.subscriber.deliver(topic(meter), level(seq, 40.0 + seq))
        service._turn()
    turns(service, 20)
    assert service.subscriber.acknowledged == [1]
    health = service.health()
    assert health["holding"]
    assert health["state"] == "retrying"
    assert "No space left" in health["sentence"]
    disk.full = False
    service._retry_at = 0.0
    until_done(service, 40)
    assert service.subscriber.acknowledged == list(range(1, 41))
    assert night_records(city, NIGHT)["seq"].tolist() == list(range(40))
    assert not service.health()["holding"]


def test_a_second_delivery_is_stored_once_and_acknowledged_both_times(city, meter):
    service = start(city)
    for _ in range(3):
        service.subscriber.deliver(topic(meter), level(7))
    until_done(service, 3)
    service.subscriber.deliver(topic(meter), level(7))
    until_done(service, 4)
    assert service.subscriber.acknowledged == [1, 2, 3, 4]
    assert len(night_records(city, NIGHT)) == 1
    assert (service.counts["stored"], service.counts["duplicates"]) == (1, 3)


def test_refused_messages_are_kept_with_their_reason_and_then_acknowledged(city, meter):
    service = start(city)
    service.subscriber.deliver(topic(meter), b"{broken")
    service.subscriber.deliver(quantity_topic("noctule", "smalltown", "ghost", "power"), b'[{"v":1}]')
    service.subscriber.deliver(topic(meter), level(1), retained=True)
    service.subscriber.deliver(topic(meter), b"9" * 400_000)
    until_done(service, 4)
    letters = {letter.payload[:3]: letter for letter in dead(city) if letter.payload[:2] != b"[{"}
    of_packs = [letter.reason for letter in dead(city) if letter.payload[:2] == b"[{"]
    assert len(service.subscriber.acknowledged) == len(letters) + len(of_packs) == 4
    assert "JSON" in letters[b"{br"].reason
    assert "400000 bytes" in letters[b"999"].reason
    assert len(letters[b"999"].payload) == 4096
    assert sorted(word for word in ("ghost", "retained") for reason in of_packs if word in reason) == [
        "ghost",
        "retained",
    ]
    assert len(night_records(city, NIGHT)) == 0
    assert sum(service.health()["refused_by_reason"].values()) == 4


@pytest.mark.parametrize("trouble", [AttributeError, OSError, TypeError])
def test_a_c_library_that_cannot_be_asked_is_no_reason_to_stop(monkeypatch, trouble):
    def library(_name):
        raise trouble

    monkeypatch.setattr(module.ctypes, "CDLL", library)
    module._keep_memory()


def test_a_decoders_own_fault_costs_one_message_not_the_service(city, meter, monkeypatch):
    service = start(city)
    real = service.intake.take

    def take(message):
        if b"55.0" in message.payload or b"55" in message.payload:
            raise ZeroDivisionError("a bug")
        return real(message)

    monkeypatch.setattr(service.intake, "take", take)
    for name in ("_quickly", "_all_quickly"):
        monkeypatch.setattr(f"ingest.intake.{name}", lambda *_: None)  # every message goes the ordinary way
    service.subscriber.deliver(topic(meter), level(1, 55.0))
    service.subscriber.deliver(topic(meter), level(2, 41.0))
    until_done(service, 2)
    assert len(night_records(city, NIGHT)) == 1
    assert "ZeroDivisionError" in dead(city)[0].reason


def test_hostile_reasons_do_not_fill_the_memory(city):
    service = start(city)
    for number in range(300):
        service.subscriber.deliver(quantity_topic("noctule", "smalltown", f"ghost-{number}", "power"), b'[{"v":1}]')
    until_done(service, 300)
    assert service.health()["refused_by_reason"] == {
        "device '…' is not in the site register; add it with 'noctule site add'": 300
    }  # fmt: skip


def test_each_connection_after_the_first_is_told_as_a_reconnection(city):
    service = start(city)
    assert service.health()["reconnects"] == 0
    service.subscriber.connects = 3
    assert service.health()["reconnects"] == 2


def test_status_messages_say_who_is_online_and_are_no_readings(city, meter):
    service = start(city)
    status = status_topic("noctule", "smalltown", meter.device)
    service.subscriber.deliver(status, encode_status("online", 1, NOW_MS), retained=True)
    service.subscriber.deliver(status_topic("noctule", "smalltown", "ghost"), encode_status("online", 1, NOW_MS))
    until_done(service, 2)
    assert service.health()["devices_online"] == 1
    service.subscriber.deliver(status, b"")
    until_done(service, 3)
    assert service.health()["devices_online"] == 0
    assert dead(city) == []


@pytest.mark.parametrize("tail_lost", ["nothing", "everything", "half a block"])
def test_after_a_kill_the_tail_is_whole_again_with_the_same_flags(city, meter, tail_lost):
    whole = start(city)
    for seq in range(30):
        whole.subscriber.deliver(topic(meter), level(seq))
        if seq % 4 == 0:
            until_done(whole, seq + 1)
    until_done(whole, 30)
    whole.kept.show()
    expected = night_records(city, NIGHT)
    assert (expected["flags"] & Flag.REPEAT).any()
    (file,) = city.shelf("log", "0", "tail").glob("*.rec")  # the process is gone; what is on disk stays
    if tail_lost == "everything":
        file.unlink()
    if tail_lost == "half a block":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    again = start(city)
    again.kept.recover()
    np.testing.assert_array_equal(night_records(city, NIGHT), expected)
    again.subscriber.deliver(topic(meter), level(29))  # un-acknowledged when it was killed, so delivered again
    again.subscriber.deliver(topic(meter), level(30))
    until_done(again, 2)
    again.kept.show()
    assert again.counts["duplicates"] == 1
    after = night_records(city, NIGHT)
    assert after["seq"].tolist() == list(range(31))
    assert after["flags"][-1] & Flag.REPEAT  # the run goes on as if nothing had happened


def test_screening_goes_on_across_a_clean_stop_and_archiving(city, meter):
    for part in range(3):
        service = start(city)
        service.kept.recover()
        for seq in range(part * 5, part * 5 + 5):
            service.subscriber.deliver(topic(meter), level(seq))
        until_done(service, 5)
        service._finish()
    records = night_records(city, NIGHT)
    assert records["seq"].tolist() == list(range(15))
    assert (records["flags"] & Flag.REPEAT).tolist() == [0] * 10 + [Flag.REPEAT] * 5
    assert sum(file.rows for file in read_manifest(city).files) == 15


def test_compaction_beside_loses_nothing_and_does_not_hold_up_acknowledgements(city, meter):
    service = start(city)
    slowest = 0.0
    for seq in range(200):
        service.subscriber.deliver(topic(meter), level(seq, 30 + seq % 50))
        if seq % 40 == 0:
            service._compact_beside()
        began = time.monotonic()
        until_done(service, seq + 1)
        slowest = max(slowest, time.monotonic() - began)
    service._finish()
    assert night_records(city, NIGHT)["seq"].tolist() == list(range(200))
    assert sum(file.rows for file in read_manifest(city).files) == 200
    assert slowest < 3.0  # seconds; nothing waits for the archive, however slow the machine


def test_an_archive_that_cannot_be_written_is_said_and_the_log_keeps_everything(city, meter, monkeypatch):
    service = start(city)
    service.subscriber.deliver(topic(meter), level(1))
    until_done(service, 1)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "compact", full)
        service._compact(service.kept.written, None)
    assert "the log keeps everything" in service.health()["sentence"]
    assert len(night_records(city, NIGHT)) == 1


def test_a_second_ingest_on_the_folder_is_refused(city):
    with shelf_lock(city.shelf("log", "0"), "noctule ingest town"), pytest.raises(ShelfLocked, match="process"):
        run(city, url="mqtt://127.0.0.1:1", until=lambda: True)


def test_without_a_broker_it_keeps_trying_and_says_so(city):
    deadline = time.monotonic() + 1.5
    seen = []

    def until() -> bool:
        health = read_health(city)
        seen.append((health["state"], health["sentence"]))
        return time.monotonic() > deadline

    run(city, url="mqtt://127.0.0.1:1", until=until)
    assert any(state == "retrying" and "no broker answers at 127.0.0.1:1" in sentence for state, sentence in seen)
    assert read_health(city)["state"] == "stopped"


def test_received_is_city_time(city, meter):
    set_clock(city.path, NOW, 60.0)
    service = start(city)
    service.subscriber.deliver(topic(meter), level(1))
    until_done(service, 1)
    (record,) = night_records(city, NIGHT)
    assert abs(record["received"] - NOW) < np.timedelta64(5, "m")


def test_answers_of_the_form_are_taken_in_while_it_runs(city, monkeypatch):
    from ingest.archive import answers
    from sensors.inbox import leave
    from tests.unit.test_inbox import given

    monkeypatch.setattr(module, "COLLECT_S", 0.0)
    monkeypatch.setattr(module, "HEALTH_S", 0.0)
    service = start(city)
    leave(city, given(time="2026-11-20T19:45:00.000Z"))
    turns(service, 2)
    service._collector.join(10)
    assert len(answers(city)) == 1 and "answers" not in service.troubles


def test_answers_that_cannot_be_kept_wait_and_the_trouble_is_told(city, monkeypatch):
    import ingest.inbox
    from sensors.inbox import leave, waiting
    from tests.unit.test_inbox import given

    service = start(city)
    leave(city, given(time="2026-11-20T19:45:00.000Z"))
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(ingest.inbox, "keep_answers", lambda *_: (_ for _ in ()).throw(full))
    service._collect()
    assert "wait in the inbox" in service.troubles["answers"] and len(waiting(city)) == 1
    monkeypatch.undo()
    service._collect()
    assert "answers" not in service.troubles and waiting(city) == []
