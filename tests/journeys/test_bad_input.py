"""Bad input and bad luck, with real processes, a real broker and real files: a clear sentence each, nothing lost."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import geopandas
import numpy as np
import psutil
import pytest

from ingest.archive import night_records, nights
from ingest.broker import EmbeddedBroker, start_embedded
from ingest.health import read_health
from ingest.lock import shelf_lock
from ingest.mqtt import Publisher
from sensors.city import City
from sensors.flags import Flag
from sensors.wire import MAX_PAYLOAD, Sample, encode_pack, quantity_topic
from tests.shared_data import ROOT
from tests.synthetic_city import make_city

DEADLINE_S = 60.0
DAY_MS = 86_400_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def noctule(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "noctule.py"), *map(str, arguments)]


def refused(*arguments: object) -> str:
    """What a command says that is refused: one sentence, at once."""
    done = subprocess.run(noctule(*arguments), capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("noctule: ")
    return done.stderr


def until(happened, what: str, seconds: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def town(tmp_path) -> City:
    return make_city(tmp_path / "town")


@pytest.fixture
def broker(tmp_path) -> Iterator[EmbeddedBroker]:
    running = start_embedded(free_port(), tmp_path / "broker")
    yield running
    running.stop()


@contextmanager
def ingesting(city: City, url: str, kill: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """An ingest of the city that is connected."""
    process = subprocess.Popen(noctule("ingest", city.path, "--broker", url), stderr=subprocess.DEVNULL)

    def connected() -> bool:
        assert process.poll() is None, "ingest ended by itself"
        health = read_health(city)
        return health["state"] == "connected" and city.shelf("health", "ingest.json").stat().st_mtime > began

    began = time.time()
    try:
        until(connected, "ingest does not connect")
        yield process
        if not kill:
            process.terminate()
            assert process.wait(DEADLINE_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


class Meter:
    """A noise meter of the town that numbers its messages."""

    def __init__(self, city: City, publisher: Publisher) -> None:
        device = city.places("sites").query("quantity == 'sound_laeq'").iloc[0].device
        self.topic = quantity_topic("noctule", city.id, device, "sound_laeq")
        self.publisher = publisher
        self.sent = 0

    def send(self, count: int, ahead_ms: int = 0) -> None:
        for _ in range(count):
            sample = Sample(
                "sound_laeq", time.time_ns() // 1_000_000 + ahead_ms, 40.0 + self.sent * 7919 % 3001 / 100, 1.0
            )
            self.publisher.publish(self.topic, encode_pack([sample], boot=1, seq=self.sent), token=self.sent)
            self.sent += 1
        assert self.publisher.flush(DEADLINE_S)


def stored(city: City) -> np.ndarray:
    return np.concatenate([night_records(city, night) for night in nights(city)])


def counts(city: City) -> dict[str, int]:
    return read_health(city)["counts"]


# ------------------------------------------------------------------------------------------------------------ messages


def test_hostile_messages_cost_themselves_only(town, broker):
    now_s = time.time()
    meter_device = town.places("sites").query("quantity == 'sound_laeq'").iloc[0].device
    own = quantity_topic("noctule", town.id, meter_device, "sound_laeq")
    hostile = {
        "device '…' is not in the site register": ("noctule/smalltown/ghost-1/power", b'[{"n":"power","u":"W","v":3}]'),
        "came in": (own, b'[{"n":"sound_laeq","u":"Pa","v":50}]'),
        "not JSON (NaN is no number": (own, b'[{"n":"sound_laeq","u":"dB","v":NaN}]'),
        "is an array of records": (own, b"[" + b" " * (MAX_PAYLOAD - 200) + b"]"),  # the broker hangs up on more
        "": (own, bytes(range(256))),
        "no dialect knows": ("noctule/smalltown/x/Y", b"1"),
    }
    with ingesting(town, broker.url), Publisher(broker.url, "attacker") as publisher:
        meter = Meter(town, publisher)
        meter.send(3)
        for topic, payload in hostile.values():
            publisher.publish(topic, payload)
        # An hour after midnight of 1 January 1970: RFC 8428 reads it as an hour from now, which is as impossible.
        meter.send(1, ahead_ms=int(-now_s * 1000) + 3_600_000)
        meter.send(1, ahead_ms=DAY_MS)  # tomorrow
        meter.send(3)
        until(lambda: counts(town)["stored"] == 8, f"8 readings are not stored: {read_health(town)}")
        until(lambda: counts(town)["refused"] >= len(hostile), f"not all are refused: {read_health(town)}")
        said = "\n".join(read_health(town)["refused_by_reason"])
        listed = subprocess.run(noctule("health", town.path, "--dead"), capture_output=True, text=True, check=True)
    for words in hostile:
        assert words in said
    assert listed.stdout.count("Z  noctule/smalltown/") == len(hostile)
    records = stored(town)
    clock = (records["flags"] & Flag.CLOCK) != 0
    assert sorted(records["seq"][clock].tolist()) == [3, 4]
    assert sorted(records["seq"].tolist()) == list(range(8))


# -------------------------------------------------------------------------------------------------------------- broker


def test_a_broker_that_is_absent_or_goes_away_is_waited_for_and_said(town, tmp_path):
    port = free_port()
    process = subprocess.Popen(noctule("ingest", town.path, "--broker", f"mqtt://127.0.0.1:{port}"))
    try:
        until(lambda: "no broker answers at" in read_health(town)["sentence"], "absence is not said")
        assert read_health(town)["state"] == "retrying"
        shown = subprocess.run(noctule("health", town.path), capture_output=True, text=True, check=True).stdout
        assert f"no broker answers at 127.0.0.1:{port}" in shown
        for sent in (5, 10):
            running = start_embedded(port, tmp_path / "broker")
            until(lambda: read_health(town)["state"] == "connected", "it does not come back")
            with Publisher(running.url, "meter") as publisher:
                meter = Meter(town, publisher)
                meter.sent = sent
                meter.send(5)
            until(lambda sent=sent: counts(town)["stored"] == sent, "5 readings are not stored")
            running.stop()
            until(lambda: read_health(town)["state"] == "retrying", "the loss is not said")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert len(stored(town)) == 10


def test_a_wrong_address_is_refused_at_once_by_whoever_takes_one(town, tmp_path):
    for command in (("ingest", town.path), ("simulate", town.path), ("run", town.path, "--port", free_port()),
                    ("demo", "--folder", tmp_path, "--port", free_port())):  # fmt: skip
        assert "mqtt://" in refused(*command, "--broker", "http://127.0.0.1:1883")


# ---------------------------------------------------------------------------------------------------------------- disk


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(mount)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a disk of 3 MB cannot be mounted here (needs root)")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        os.close(descriptor)


def test_on_a_full_disk_nothing_is_acknowledged_or_lost_and_it_goes_on_by_itself(small_disk, broker):
    town = make_city(small_disk / "town")
    filler = small_disk / "filler"
    with ingesting(town, broker.url), Publisher(broker.url, "meter") as publisher:
        meter = Meter(town, publisher)
        meter.send(100)
        until(lambda: counts(town)["stored"] == 100, "100 readings are not stored")
        fill(filler)
        meter.send(1000)  # more than fits in what is left of the log's last block
        until(lambda: read_health(town).get("holding"), "the full disk is not said")
        said = subprocess.run(noctule("health", town.path), capture_output=True, text=True, check=True).stdout
        assert "No space left on device" in said
        assert "nothing is lost" in said
        refusal = refused("fit", town.path)
        assert "full" in refusal or "no reading" in refusal or "answers" in refusal
        filler.unlink()
        until(lambda: counts(town)["stored"] == 1100, f"it does not go on: {read_health(town)}")
        fill(filler)  # and once more, now across a restart
        meter.send(700)
        until(lambda: read_health(town).get("holding"), "the full disk is not said again")
    filler.unlink()
    with ingesting(town, broker.url):
        until(lambda: len(stored(town)) == 1800, "what the broker kept is lost")
    assert sorted(stored(town)["seq"].tolist()) == list(range(1800))


def test_a_folder_that_may_not_be_written_is_one_sentence(small_disk):
    make_city(small_disk / "town")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert "Read-only file system" in refused("ingest", small_disk / "town")
    assert "Read-only file system" in refused("demo", "--folder", small_disk / "demo", "--port", free_port())
    assert "Read-only file system" in refused("run", small_disk / "town", "--port", free_port())


def test_a_corrupt_last_frame_costs_that_frame_only(town, broker):
    with ingesting(town, broker.url, kill=True) as process:
        with Publisher(broker.url, "meter") as publisher:
            meter = Meter(town, publisher)
            for total in (10, 20):
                meter.send(10)
                until(lambda total=total: counts(town)["stored"] == total, "readings are not stored")
        process.kill()
        process.wait()
    shard = town.shelf("log", "0")
    (segment,) = shard.glob("*.seg")
    content = bytearray(segment.read_bytes())
    last = len(content.rstrip(b"\0")) - 5
    content[last] ^= 0xFF
    segment.write_bytes(content)
    shutil.rmtree(shard / "tail")
    with ingesting(town, broker.url):
        pass
    numbers = stored(town)["seq"].tolist()
    assert numbers == list(range(len(numbers)))
    assert 10 <= len(numbers) < 20


# -------------------------------------------------------------------------------------------------------------- folders


def test_a_second_ingest_or_demo_on_a_folder_is_refused(town, tmp_path):
    with shelf_lock(town.shelf("log", "0"), "noctule ingest town"):
        assert f"process {os.getpid()}" in refused("ingest", town.path)
    with shelf_lock(tmp_path / "demo", "noctule demo"):
        assert "already written by noctule demo" in refused(
            "demo", "--folder", tmp_path / "demo", "--port", free_port()
        )


def test_a_missing_table_is_named_by_every_command_that_needs_it(town, tmp_path):
    shutil.move(town.path / "places" / "lamps.parquet", tmp_path)
    port = free_port()
    for command in (("ingest", town.path), ("map", town.path), ("serve", town.path, "--port", port),
                    ("run", town.path, "--port", port), ("simulate", town.path), ("fit", town.path),
                    ("demo", "--city", town.path, "--folder", tmp_path, "--port", port),
                    ("replay", town.path, "--from", "2026-11-20"), ("city", "check", town.path)):  # fmt: skip
        assert "lamps.parquet" in refused(*command), command


def test_simulated_devices_in_a_city_that_is_not_declared_simulated_are_refused(tmp_path, broker):
    town = make_city(tmp_path / "real", simulated=False)
    sites = town.path / "places" / "sites.parquet"
    table = geopandas.read_parquet(sites)
    table["origin"] = "simulated"
    table.to_parquet(sites)
    assert "simulated = true" in refused("city", "check", town.path)
    assert "simulated" in refused("simulate", town.path, "--broker", broker.url)
    assert "simulated" in refused("run", town.path, "--port", free_port())
    with ingesting(town, broker.url), Publisher(broker.url, "meter") as publisher:
        Meter(town, publisher).send(3)
        until(lambda: counts(town)["refused"] == 3, "simulated readings are taken")
    assert counts(town)["stored"] == 0


# --------------------------------------------------------------------------------------------------------------- parts


@contextmanager
def service(town: City, broker: EmbeddedBroker, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`noctule run` with its three parts up; what it says goes to a file."""
    command = noctule("run", town.path, "--port", free_port(), "--broker", broker.url)
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        until(lambda: read_health(town)["state"] == "connected", "ingest does not connect")
        yield process, log
    finally:
        process.kill()
        process.wait()


def part(process: subprocess.Popen[bytes], command: str) -> psutil.Process | None:
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.Error):  # one that has just been killed
            if command in child.cmdline():
                return child
    return None


def test_a_part_that_is_killed_is_started_again_and_all_end_on_ctrl_c(town, broker, tmp_path):
    with service(town, broker, tmp_path / "said") as (process, said):
        for command in ("ingest", "map", "serve"):
            victim = part(process, command)
            assert victim is not None
            victim.kill()
            until(lambda victim=victim, command=command: part(process, command) not in (None, victim), command)
        assert said.read_text().count("was ended by SIGKILL; starting it again") == 3
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
        assert not psutil.wait_procs(children, timeout=5)[1]
        assert "Traceback" not in said.read_text()


def test_when_the_supervisor_is_killed_its_parts_end_too(town, broker, tmp_path):
    with service(town, broker, tmp_path / "said") as (process, _):
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 3
        process.kill()
        assert not psutil.wait_procs(children, timeout=60)[1]  # at once, unless one is compiling
    assert read_health(town)["state"] == "stopped"


@pytest.mark.parametrize("command", ["run", "serve"])
def test_a_port_in_use_is_said_at_once(town, command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "choose another with --port" in refused(command, town.path, "--port", taken.getsockname()[1])
