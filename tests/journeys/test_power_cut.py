"""Kill the ingest, again and again: what the sensor's broker accepted is in the archive, once.

The accounting is Jepsen's: a list of what was acknowledged to the sender, kept by the sender, against what is read
back. NOCTULE_SLOW=1 kills twenty times.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from ingest.archive import follow, night_records, nights, read_manifest
from ingest.broker import start_embedded
from ingest.health import read_health
from ingest.mqtt import Publisher
from sensors.city import City
from sensors.wire import Sample, encode_pack, quantity_topic
from tests.shared_data import ROOT
from tests.synthetic_city import make_city

KILLS = 20 if os.environ.get("NOCTULE_SLOW") else 3
PER_LIFE = 400  # messages published between two kills
DEADLINE_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mosquitto(folder: Path, port: int = 0) -> Iterator[str]:
    """The broker with the settings that we ship, but for the port and the place of its files."""
    port = port or free_port()
    shipped = (ROOT / "ingest" / "deploy" / "mosquitto-trial.conf").read_text("utf-8")
    ours = shipped.replace("listener 1883 127.0.0.1", f"listener {port} 127.0.0.1")
    ours = ours.replace("/var/lib/mosquitto/", f"{folder}/")
    if os.geteuid() == 0:
        ours += "user root\n"  # it would become a user who may not write into the test's folder
    (folder / "mosquitto.conf").write_text(ours, "utf-8")
    process = subprocess.Popen(
        ["mosquitto", "-c", str(folder / "mosquitto.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, "mosquitto refuses the configuration that we ship"
                assert time.monotonic() < deadline, "mosquitto does not answer"
                time.sleep(0.05)
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def embedded(folder: Path) -> Iterator[str]:
    broker = start_embedded(free_port(), folder)
    try:
        yield broker.url
    finally:
        broker.stop()


class Ingest:
    """The ingest of a city, in a process of its own, started as often as it is killed."""

    def __init__(self, city: City, url: str) -> None:
        self.city = city
        self.url = url
        self.start()

    def start(self) -> None:
        """Returns once it is subscribed."""
        before = health_written(self.city)
        command = [sys.executable, "-m", "noctule", "ingest", str(self.city.path), "--broker", self.url]
        self.process = subprocess.Popen(command, cwd=ROOT)
        deadline = time.monotonic() + DEADLINE_S
        while health_written(self.city) == before or read_health(self.city)["state"] != "connected":
            assert self.process.poll() is None, "ingest ended by itself"
            assert time.monotonic() < deadline, f"ingest does not connect: {read_health(self.city)['sentence']}"
            time.sleep(0.02)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


def health_written(city: City) -> int:
    try:
        return city.shelf("health", "ingest.json").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def stored(city: City) -> list[tuple[int, int]]:
    """(site, seq) of all readings, with whatever is there twice."""
    return [
        (int(record["site"]), int(record["seq"]))
        for night in nights(city)
        for record in night_records(city, night)[["site", "seq"]]
    ]


@pytest.mark.parametrize(
    "broker",
    [
        pytest.param(
            mosquitto,
            marks=[
                pytest.mark.broker,
                pytest.mark.skipif(shutil.which("mosquitto") is None, reason="Debian's mosquitto is not installed"),
            ],
        ),
        embedded,
    ],
)
def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(tmp_path, broker):
    city = make_city(tmp_path / "town")
    (tmp_path / "broker").mkdir()
    meters = city.places("sites").query("quantity == 'sound_laeq'")[["site", "device"]].to_numpy()
    sent = 0
    follower = follow(city)
    with broker(tmp_path / "broker") as url, Ingest(city, url) as ingest:
        with Publisher(url, "sensors") as sensors:

            def publish(count: int) -> None:
                nonlocal sent
                for _ in range(count):
                    site, device = meters[sent % len(meters)]
                    now_ms = time.time_ns() // 1_000_000
                    pack = encode_pack([Sample("sound_laeq", now_ms, 40.0 + sent % 30, 1.0)], boot=1, seq=sent)
                    topic = quantity_topic("noctule", city.id, device, "sound_laeq")
                    sensors.publish(topic, pack, token=(int(site), sent))
                    sent += 1

            generator = np.random.default_rng(7)
            for _ in range(KILLS):
                publish(PER_LIFE // 2 + int(generator.integers(PER_LIFE // 2)))
                ingest.kill()  # while it still has its hands full
                publish(PER_LIFE // 4)  # nobody listens; the broker keeps them
                ingest.start()
            publish(PER_LIFE // 4)
            assert sensors.flush(DEADLINE_S)
            acknowledged = set(sensors.acknowledged)
        assert len(acknowledged) == sent
        deadline = time.monotonic() + DEADLINE_S
        while (missing := acknowledged - set(stored(city))) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not missing, f"{len(missing)} acknowledged readings were lost"
        assert ingest.stop() == 0
    assert read_health(city)["state"] == "stopped"
    found = stored(city)
    assert sorted(found) == sorted(acknowledged)
    rows = sum(file.rows for file in read_manifest(city).files)
    assert rows == len(acknowledged), "the archive's files hold a reading twice, or not at all"
    followed = follower.poll()
    assert set(zip(followed["site"].tolist(), followed["seq"].tolist(), strict=True)) == acknowledged
