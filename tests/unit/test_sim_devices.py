"""The devices over a real broker on loopback."""

import gzip
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
import pytest

from firmware_sim.devices import Run, last_reports, simulate, with_duplicates
from firmware_sim.mqtt import Address, Connection, Status
from firmware_sim.truth import DUPLICATED, LOST, PLAN
from ingest.broker import start_embedded
from sensors.city import City
from sensors.clock import clear_clock, set_clock
from sensors.errors import BrokerError
from sensors.wire import decode_pack, parse_topic
from tests.synthetic_city import make_city

EVENING = np.datetime64("2026-11-20T18:00", "ms")


class Listener:
    """Everything that arrives, as (topic, payload)."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.ready = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.client.on_message = lambda client, data, message: self.heard.append((message.topic, message.payload))
        self.client.on_connect = lambda client, *rest: client.subscribe("noctule/#", qos=1)
        self.client.on_subscribe = lambda *rest: self.ready.set()
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def readings(self) -> list[tuple[str, bytes]]:
        return [(topic, payload) for topic, payload in self.heard if not topic.endswith("/status")]

    def topics(self) -> set[str]:
        return {topic for topic, _ in self.readings()}

    def devices(self) -> set[str]:
        return {topic.split("/")[2] for topic in self.topics()}

    def states(self) -> dict[str, str]:
        return {
            topic.split("/")[2]: json.loads(payload)["state"]
            for topic, payload in list(self.heard)
            if topic.endswith("/status") and payload
        }

    def copies(self) -> Counter[tuple[str, int, int]]:
        packs = [(topic, json.loads(payload)[0]) for topic, payload in self.readings()]
        return Counter((topic.split("/")[2], pack["boot"], pack["seq"]) for topic, pack in packs)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def broker_on(port: int, folder: Path) -> Iterator[None]:
    broker = start_embedded(port, folder)
    try:
        yield
    finally:
        broker.stop()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    number = free_port()
    with broker_on(number, tmp_path / "broker"):
        yield number


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return make_city(tmp_path_factory.mktemp("town"))


def play(
    city: City,
    port: int,
    *,
    speed: float,
    until: Callable[[], bool],
    truth: Path | None = None,
    devices: int | None = None,
) -> Run:
    """Run the devices from 20:00 on until something has happened, 15 s of the wall at most."""
    stop = threading.Event()

    def watch() -> None:
        give_up = time.monotonic() + 15
        while not until() and time.monotonic() < give_up:
            time.sleep(0.02)
        stop.set()

    set_clock(city.path, EVENING, speed)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return simulate(
            city,
            broker=f"mqtt://127.0.0.1:{port}",
            truth_file=truth,
            devices=devices,
            stop=stop,
            say=lambda line: None,
        )
    finally:
        watcher.join()
        clear_clock(city.path)


def truth_rows(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def test_every_device_is_heard_within_seconds_on_the_topics_of_the_wire(city: City, port: int, tmp_path: Path) -> None:
    listener = Listener(port)
    sites = city.places("sites")
    run = play(city, port, speed=60, until=lambda: len(listener.topics()) == len(sites))
    wait_until(lambda: len(listener.readings()) == run.published and "online" not in listener.states().values())
    listener.close()
    expected = {
        f"noctule/smalltown/{device}/{quantity.replace('_', '-')}"
        for device, quantity in zip(sites["device"], sites["quantity"], strict=True)
    }
    assert listener.topics() == expected
    for topic, payload in listener.readings():
        parsed = parse_topic(topic)
        assert parsed is not None
        (measurement,) = decode_pack(parsed, payload, 0)
        assert measurement.device == parsed.device  # not a rejection
    sensors = set(sites["device"][sites["lamps"] == ""])
    assert listener.states() == dict.fromkeys(sensors, "offline")  # clean: everybody has said goodbye
    assert run.acknowledged == run.published == len(listener.readings())


def test_stored_is_sent_plus_recovered_minus_duplicates(city: City, port: int, tmp_path: Path) -> None:
    listener = Listener(port)
    file = tmp_path / "truth.jsonl.gz"
    run = play(city, port, speed=1800, until=lambda: len(listener.heard) > 2500, truth=file)
    wait_until(lambda: len(listener.readings()) == run.published)
    listener.close()
    stored = listener.copies()
    readings = [row for row in truth_rows(file) if row["kind"] == "reading"]
    boot = truth_rows(file)[0]["boot"]
    start, stop = (np.datetime64(text[:-1], "ms").astype(np.int64) for text in (run.started, run.stopped))
    came_due = {
        (row["device"], boot, row["seq"])
        for row in readings
        if row["fate"] != "lost" and start + 10_000 < row["due"] <= stop - 120_000
    }
    assert len(came_due) > 1000
    assert came_due <= set(stored)  # nothing that was sent is missing
    assert not set(stored) & {(row["device"], boot, row["seq"]) for row in readings if row["fate"] == "lost"}
    assert len(stored) == run.due - run.lost - run.duplicates
    assert sum(stored.values()) == run.published
    assert json.loads(file.with_name("truth.jsonl.gz.run.json").read_text())["published"] == run.published


def test_the_truth_is_the_same_at_any_speed(city: City, port: int, tmp_path: Path) -> None:
    for speed in (1, 600):
        play(city, port, speed=speed, until=lambda: True, truth=tmp_path / f"{speed}.jsonl.gz")
    assert (tmp_path / "1.jsonl.gz").read_bytes() == (tmp_path / "600.jsonl.gz").read_bytes()


def test_what_waits_while_the_broker_is_away_comes_later(tmp_path: Path) -> None:
    number = free_port()
    status = Status("noctule/t/d/status", b'{"state":"online"}', b'{"state":"offline"}')
    connection = Connection(Address.parse(f"mqtt://127.0.0.1:{number}"), "noctule-t-d", status=status, ring=5)
    connection.start()
    try:
        for seq in range(8):
            connection.send("d", "noctule/t/d/sound-laeq", b'[{"boot":1,"seq":%d}]' % seq)
            connection.pump()
        assert connection.tally.dropped == 3  # the oldest of a ring of five
        with broker_on(number, tmp_path / "broker"):
            listener = Listener(number)
            pump_until(connection, lambda: connection.tally.acknowledged == 5)
            listener.close()
        assert sorted(seq for _, _, seq in listener.copies()) == [3, 4, 5, 6, 7]
        assert listener.states() == {"d": "online"}
    finally:
        connection.farewell()
        connection.join()


def test_a_broker_that_comes_back_gets_what_came_meanwhile(tmp_path: Path) -> None:
    number = free_port()
    connection = Connection(Address.parse(f"mqtt://127.0.0.1:{number}"), "noctule-t-d")
    connection.start()
    try:
        with broker_on(number, tmp_path / "first"):
            connection.send("d", "noctule/t/d/sound-laeq", b'[{"boot":1,"seq":0}]')
            pump_until(connection, lambda: connection.tally.acknowledged == 1)
        pump_until(connection, lambda: not connection.connected)
        connection.send("d", "noctule/t/d/sound-laeq", b'[{"boot":1,"seq":1}]')
        connection.pump()
        assert connection.waiting == 1
        with broker_on(number, tmp_path / "second"):
            listener = Listener(number)
            pump_until(connection, lambda: connection.tally.acknowledged == 2)
            listener.close()
        assert [seq for _, _, seq in listener.copies()] == [1]
    finally:
        connection.farewell()
        connection.join()


def pump_until(connection: Connection, reached: Callable[[], bool]) -> None:
    def pumped() -> bool:
        connection.pump()
        return reached()

    wait_until(pumped)


def wait_until(reached: Callable[[], bool], timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < until, f"not reached within {timeout_s} s"
        time.sleep(0.02)


def test_fewer_devices_leave_lamps_out_and_more_are_virtual(city: City, port: int) -> None:
    listener = Listener(port)
    play(city, port, speed=1, until=lambda: len(listener.devices()) == 20, devices=20)
    assert len(listener.devices()) == 20
    assert not any(name.startswith("virtual") for name in listener.devices())
    listener.heard.clear()
    extra = {f"virtual-{number:05d}" for number in range(1, 19)}
    play(city, port, speed=1, until=lambda: listener.devices() >= extra, devices=100)
    listener.close()
    assert {name for name in listener.devices() if name.startswith("virtual")} == extra


def plan_of(rows: list[tuple[int, int, int, int]]) -> np.ndarray:  # type: ignore[type-arg]
    plan = np.zeros(len(rows), PLAN)
    for row, (site, time_ms, fate, due) in enumerate(rows):
        plan[row]["site"], plan[row]["time"], plan[row]["fate"], plan[row]["due"] = site, time_ms, fate, due
    return plan


def test_a_start_repeats_the_last_report_of_each_site_that_was_not_lost() -> None:
    plan = plan_of([(1, 10, 0, 11), (2, 10, 0, 12), (1, 20, 0, 21), (2, 20, LOST, 22)])
    assert [(row["site"], row["time"]) for row in plan[last_reports(plan)]] == [(2, 10), (1, 20)]


def test_a_duplicate_is_the_same_message_a_little_later() -> None:
    both = with_duplicates(plan_of([(1, 10, DUPLICATED, 11), (2, 10, 0, 12)]))
    assert [row["site"] for row in both] == [1, 2, 1]
    assert both[2]["due"] > both[0]["due"] and both[2]["seq"] == both[0]["seq"]


@pytest.mark.parametrize("url", ["127.0.0.1:1883", "http://127.0.0.1", "mqtt://", "mqtt://host:port"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BrokerError, match="mqtt://"):
        Address.parse(url)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    for url in ("mqtt://me:hush@host", "mqtt://me:hush@host:port", "http://me:hush@host"):
        with pytest.raises(BrokerError) as refusal:
            Address.parse(url)
        assert "hush" not in str(refusal.value)
