"""What the sensors were told against what the archive holds: the accounting of journeys that try to lose a reading.

It is Jepsen's: a list of what was acknowledged to the sender, kept by the sender, (device, boot, seq) a line, is
compared with what a reader finds. Nothing is left to what the service says of itself.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec
import numpy as np
import pytest

from ingest.archive import night_records, nights, read_manifest
from ingest.broker import start_embedded
from ingest.health import health_path
from ingest.mqtt import Publisher
from sensors.city import City, write_settings
from sensors.register import SiteRegister
from sensors.wire import Sample, encode_pack, quantity_topic
from tests.shared_data import ROOT
from tests.synthetic_city import make_city

PATIENCE_S = 120.0  # a busy machine starts a process in ten seconds; nothing here is measured
QUANTITY = "sound_laeq"

Line = tuple[str, int, int]  # device, boot, seq

needs_mosquitto = [
    pytest.mark.broker,
    pytest.mark.skipif(shutil.which("mosquitto") is None, reason="Debian's mosquitto is not installed"),
]


def until(true: Callable[[], object], what: Callable[[], str] | str, seconds: float = PATIENCE_S) -> None:
    """Wait for something to become true; says what was waited for in vain."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """The broker with the limits that we ship and without accounts; started as often as it is ended."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.port = port or free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        shipped = (ROOT / "ingest" / "deploy" / "mosquitto-trial.conf").read_text("utf-8")
        ours = shipped.replace("listener 1883 127.0.0.1", f"listener {self.port} 127.0.0.1")
        ours = ours.replace("/var/lib/mosquitto/", f"{folder}/")
        assert str(self.port) in ours
        assert str(folder) in ours
        if os.geteuid() == 0:
            ours += "user root\n"  # it would become a user who may not write into the test's folder
        self.file = folder / "mosquitto.conf"
        self.file.write_text(ours, "utf-8")
        self.start()

    def start(self) -> None:
        """Returns once it answers."""
        command = ["mosquitto", "-c", str(self.file)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, "mosquitto does not answer")

    def stop(self) -> None:
        """As the system does it: SIGTERM, on which it writes down what it holds."""
        self.process.terminate()
        self.process.wait(PATIENCE_S)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "mosquitto refuses the configuration that we ship"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False


@contextmanager
def mosquitto(folder: Path, port: int = 0) -> Iterator[str]:
    """Debian's broker while the block lasts; its URL."""
    broker = Mosquitto(folder, port)
    try:
        yield broker.url
    finally:
        broker.stop()


@contextmanager
def embedded(folder: Path) -> Iterator[str]:
    """The broker of the demo while the block lasts; its URL."""
    broker = start_embedded(free_port(), folder)
    try:
        yield broker.url
    finally:
        broker.stop()


class Ingest:
    """The ingest of a city, or one shard of it, in a process of its own; started as often as it is killed.

    shard : as `--shard` takes it, '0/2'; one for all when empty
    """

    def __init__(self, city: City, url: str, shard: str = "") -> None:
        self.city, self.url, self.shard = city, url, shard
        self.health = health_path(city, int(shard.partition("/")[0] or 0))
        self.start()

    def start(self) -> None:
        """Returns once it is subscribed."""
        before = self._stamp()
        command = [sys.executable, "-m", "noctule", "ingest", str(self.city.path), "--broker", self.url]
        self.process = subprocess.Popen([*command, *(("--shard", self.shard) if self.shard else ())], cwd=ROOT)
        until(lambda: self._stamp() != before and self.said("state") == "connected", self._in_vain)

    def said(self, name: str) -> object:
        """A member of what it last said of itself."""
        assert self.process.poll() is None, "ingest ended by itself"
        try:
            return json.loads(self.health.read_bytes()).get(name)
        except (FileNotFoundError, ValueError):
            return None

    def kill(self) -> None:
        """As a power cut, or the system when memory is short."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def stop(self) -> None:
        """As the system does it; it archives what it has."""
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0

    def _stamp(self) -> int:
        try:
            return self.health.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _in_vain(self) -> str:
        return f"ingest does not connect: {self.said('sentence')}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


class Sensors:
    """Noise meters of the town, in turn, each message numbered; keeps what the broker acknowledged."""

    def __init__(self, city: City, url: str) -> None:
        self.city = city
        self.devices = city.places("sites").query(f"quantity == '{QUANTITY}'")["device"].tolist()
        self.publisher = Publisher(url, "sensors")
        self.sent = 0

    def publish(self, count: int) -> None:
        """Hand over so many readings; returns before all of them are acknowledged."""
        for _ in range(count):
            seq, meter = divmod(self.sent, len(self.devices))
            device = self.devices[meter]
            now_ms = time.time_ns() // 1_000_000
            pack = encode_pack([Sample(QUANTITY, now_ms, 40.0 + self.sent % 30, 1.0)], boot=1, seq=seq)
            topic = quantity_topic("noctule", self.city.id, device, QUANTITY)
            self.publisher.publish(topic, pack, token=(device, 1, seq))
            self.sent += 1

    def told(self) -> set[Line]:
        """What was acknowledged, after waiting for the rest; all that was sent."""
        assert self.publisher.flush(PATIENCE_S), "the broker does not acknowledge"
        lines = Counter(self.publisher.acknowledged)
        assert len(lines) == self.sent
        return set(lines)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.publisher.close()


def unhurried_town(folder: Path) -> City:
    """The town, where a device may say as much as it likes: these journeys are about losing, not about refusing."""
    city = make_city(folder)
    patient = msgspec.structs.replace(city.settings.ingest, messages_per_second=100_000.0, burst=1_000_000)
    write_settings(folder, msgspec.structs.replace(city.settings, ingest=patient))
    return City.open(folder)


def held(city: City) -> list[Line]:
    """What a reader finds, with whatever is there twice."""
    records = np.concatenate([night_records(city, night) for night in nights(city)] or [np.empty(0)])
    if not len(records):
        return []
    table = SiteRegister.load(city).table
    device_of = dict(zip(table["site"].astype(int), table["device"], strict=True))
    return [(device_of[int(site)], int(boot), int(seq)) for site, boot, seq in records[["site", "boot", "seq"]]]


def all_arrive(city: City, told: set[Line]) -> None:
    """Wait until a reader finds all that the sensors were told; fails with how many are missing."""
    until(lambda: told <= set(held(city)), lambda: f"{len(told - set(held(city)))} acknowledged readings were lost")


def balanced(city: City, told: set[Line]) -> None:
    """Nothing lost, nothing twice, nothing that was never sent; once ingest has stopped also in the archive's files."""
    found = Counter(held(city))
    assert not told - set(found), f"{len(told - set(found))} acknowledged readings were lost"
    assert not set(found) - told, "there are readings that nobody sent"
    assert max(found.values()) == 1, "a reading is found twice"
    rows = sum(file.rows for file in read_manifest(city).files)
    assert rows == len(told), "the archive's files hold a reading twice, or not at all"
