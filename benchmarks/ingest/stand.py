"""The stand on which subscribers are measured: a broker in C that costs nothing, and one process's processor time."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.archive import night_records, nights
from sensors.city import City

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WINDOW = 20_000  # what our subscriber announces; the others are given it as well
_PATIENCE_S = 240.0
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What it took a process to take in so many messages and acknowledge them all."""

    messages: int
    cpu_s: float
    seconds: float
    memory_mb: float

    def cpu_us(self, readings: int) -> float:
        """Microseconds of processor time a reading."""
        return self.cpu_s / readings * 1e6


def program(name: str, peers: Path) -> Path:
    """A C program of this folder, compiled if its source is newer."""
    built = peers / "bin" / name
    sources = [HERE / f"{name}.c", HERE / "mqtt_wire.h"]
    if built.exists() and built.stat().st_mtime > max(source.stat().st_mtime for source in sources):
        return built
    if shutil.which("gcc") is None:
        raise SystemExit("this measurement needs gcc, so that its broker costs nothing beside what is measured")
    built.parent.mkdir(parents=True, exist_ok=True)
    beside = built.with_suffix(f".{os.getpid()}")
    subprocess.run(["gcc", "-O2", "-Wall", "-o", str(beside), str(sources[0])], check=True)
    beside.replace(built)
    return built


def behind_the_fake_broker(
    command: Callable[[int], Sequence[str]],
    messages: Path,
    count: int,
    peers: Path,
    *,
    window: int = WINDOW,
    stored: Callable[[], bool] | None = None,
    after: Callable[[subprocess.Popen[bytes]], None] | None = None,
) -> Cost:
    """Feed the messages of a file to a subscriber; its cost from the first message to the last acknowledgement.

    command : of the subscriber, given the broker's port
    stored : for one that acknowledges early: whether everything is where it should be; its cost counts until then
    after : what else is done with the living process once it has been measured
    """
    port = free_port()
    arguments = [str(program("fake_broker", peers)), str(port), str(messages), str(window)]
    broker = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert broker.stdin is not None
    assert broker.stdout is not None
    assert broker.stdout.readline() == "ready\n", "the fake broker does not start"
    process = subprocess.Popen(
        command(port), cwd=ROOT, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert _line(broker, process) == "subscribed\n", "it does not subscribe"
        _until_quiet(process.pid)
        before = cpu_of(process.pid)
        began = time.monotonic()
        broker.stdin.write("go\n")
        broker.stdin.flush()
        said = _line(broker, process)
        assert said, f"{command(port)[:4]} did not acknowledge all of {count} messages"
        ended = json.loads(said)
        deadline = time.monotonic() + _PATIENCE_S
        while stored is not None and not stored():
            assert time.monotonic() < deadline, "it acknowledged everything, and never stored it"
            time.sleep(0.05)
        seconds = time.monotonic() - began
        cost = Cost(ended["acknowledged"], cpu_of(process.pid) - before, seconds, peak_mb(process.pid))
        assert cost.messages == count
        if after is not None:
            after(process)
        return cost
    finally:
        end(process)
        end(broker)


def ingest_command(city: City, *more: str) -> Callable[[int], Sequence[str]]:
    """Our own process, as a city runs it."""
    return lambda port: [
        sys.executable, "-m", "noctule", "ingest", str(city.path), "--broker", f"mqtt://127.0.0.1:{port}", *more,
    ]  # fmt: skip


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and all the time it takes to archive what it has."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(_PATIENCE_S) == 0, "ingest did not end well"


def in_the_archive(city: City) -> int:
    """How many readings a reader finds; each once."""
    return sum(len(night_records(city, night)) for night in nights(city))


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """Debian's mosquitto with the limits that we ship, on a port of its own."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    text = (ROOT / "ingest" / "deploy" / "mosquitto-trial.conf").read_text("utf-8")
    text = text.replace("listener 1883 127.0.0.1", f"listener {port} 127.0.0.1")
    text = text.replace("/var/lib/mosquitto/", f"{folder}/")
    if os.geteuid() == 0:
        text += "user root\n"
    (folder / "mosquitto.conf").write_text(text, "utf-8")
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin"}
    command = ["mosquitto", "-c", str(folder / "mosquitto.conf")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, "mosquitto refuses the configuration that we ship"
                time.sleep(0.05)
        yield port
    finally:
        end(process)


def cpu_of(pid: int) -> float:
    """Processor seconds, user and system, of all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _environment() -> dict[str, str]:
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def _line(broker: subprocess.Popen[str], process: subprocess.Popen[bytes]) -> str:
    """What the fake broker says next; nothing if it has nothing to say because the subscriber is gone."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if select.select([broker.stdout], [], [], 0.2)[0]:
            assert broker.stdout is not None
            return broker.stdout.readline()
        if process.poll() is not None:
            break
    return ""


def _until_quiet(pid: int) -> None:
    """Until start-up is over: half a second in which it does next to nothing."""
    deadline = time.monotonic() + 30
    last = cpu_of(pid)
    while time.monotonic() < deadline:
        time.sleep(0.5)
        if (spent := cpu_of(pid)) - last < 0.03:
            return
        last = spent
