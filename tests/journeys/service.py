"""A small town's whole service as real processes: broker, ingest, mapper and dashboard, for journeys that need it all.

Its answers, its dead letters and its secrets carry words that stand nowhere else (`planted`), so that a journey can ask
where they come out.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
from pyproj import Transformer

from analytics import atlas
from ingest.broker import start_embedded
from ingest.health import read_health
from ingest.mqtt import Publisher
from sensors.city import City
from sensors.clock import city_clock, set_clock
from sensors.errors import StoreError
from sensors.wire import Sample, encode_pack, quantity_topic
from tests.shared_data import ROOT
from tests.synthetic_city import CRS, SIDE, SOUTH, WEST, make_city

NIGHT = "2026-11-20"
BEGINS = np.datetime64("2026-11-20T18:20", "ms")  # 20:20 in the town: one step is over, the next has begun
SECRET = "planted-password-5c1e"
PARTS = ("ingest", "map", "serve")
_PATIENCE_S = 90.0  # a busy machine starts a process in ten seconds
_PEOPLE = 150


class Service:
    """Started by `with`; ends with everything it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.city: City = make_city(folder / "town")
        self.answers = planted_answers()
        self.port, self.broker_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._stack = ExitStack()
        self._boot = 0

    def __enter__(self) -> Service:
        try:
            self._begin()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _begin(self) -> None:
        (self.city.path / "secrets.toml").write_text(f'broker_password = "{SECRET}"\n', "utf-8")
        (self.city.path / "secrets.toml").chmod(0o600)
        file = self.folder / "answers.csv"
        self.answers.to_csv(file, index=False)
        self.noctule("survey", "import", str(self.city.path), str(file), "--simulated")
        self.noctule("fit", str(self.city.path), "--night", NIGHT)
        set_clock(self.city.path, BEGINS, 1.0)
        self.broker = start_embedded(self.broker_port, self.folder / "broker")
        self._stack.callback(lambda: self.broker.stop())
        self._start("ingest", "--broker", self.broker.url)
        self._start("map")
        self._start("serve", "--port", str(self.port), "--demo")
        self.until(lambda: read_health(self.city)["state"] == "connected", "ingest to reach the broker")
        self.until(self.answers_http, "the dashboard to answer")
        self.until(self.mapped, "a first map")

    def noctule(self, *arguments: str) -> str:
        """One command, run to its end."""
        done = subprocess.run(self._command(*arguments), cwd=ROOT, env=_environment(), capture_output=True, text=True)
        assert done.returncode == 0, f"noctule {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def said(self) -> bytes:
        """Everything that the three processes printed."""
        return b"".join((self.folder / f"{part}.log").read_bytes() for part in PARTS)

    def publish(self, device: str, quantity: str, value: float) -> None:
        """One reading of a device, now, as its own small sender would."""
        now_ms = int(city_clock(self.city.path).now().astype(np.int64))
        self.send(
            quantity_topic("noctule", self.city.id, device, quantity),
            encode_pack([Sample(quantity, now_ms, value, 0.0)], boot=self._boot, seq=0),
        )

    def send(self, topic: str, payload: bytes) -> None:
        """A message as it is, acknowledged by the broker."""
        self._boot += 1
        with Publisher(f"mqtt://127.0.0.1:{self.broker_port}", f"sender-{self._boot}") as sender:
            sender.publish(topic, payload)
            assert sender.flush(30)

    def until(self, true: Callable[[], object], what: str, seconds: float = _PATIENCE_S) -> None:
        """Wait for something to become true; says what it waited for and what the processes said."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"waited in vain for {what}\n{self.said().decode()[-3000:]}"
            time.sleep(0.05)

    def answers_http(self) -> bool:
        """Whether the dashboard answers."""
        try:
            with urllib.request.urlopen(self.url + "/about", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def mapped(self) -> bool:
        """Whether the page of now holds layers."""
        try:
            return atlas.open_now(self.city)[0] is not None
        except StoreError:  # none yet
            return False

    def _start(self, part: str, *more: str) -> None:
        command = self._command(part, str(self.city.path), *more)
        with open(self.folder / f"{part}.log", "wb") as log:  # the process has a handle of its own
            process = subprocess.Popen(command, cwd=ROOT, env=_environment(), stdout=log, stderr=subprocess.STDOUT)
        self._stack.callback(_end, process)

    @staticmethod
    def _command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "noctule", *arguments]


def planted_answers() -> pd.DataFrame:
    """Answers whose every private column is unique, with a remark that nobody may ever read back."""
    generator = np.random.default_rng(4)
    east, north = WEST + generator.uniform(0, SIDE, _PEOPLE), SOUTH + generator.uniform(0, SIDE, _PEOPLE)
    lon, lat = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(east, north)
    people = range(_PEOPLE)
    return pd.DataFrame(
        {
            "response_id": [f"planted-response-{i:03d}" for i in people],
            "instrument": "core-4",
            "category": generator.integers(1, 5, _PEOPLE),
            "lon": [f"{value:.7f}" for value in lon],
            "lat": [f"{value:.7f}" for value in lat],
            "time": [f"2026-11-{1 + i % 14:02d}T2{i % 2}:{i % 60:02d}:31Z" for i in people],
            "light_state": "dark",
            "pseudonym": [f"planted-pseudonym-{i:03d}" for i in people],
            "remark": [f"planted-remark-{i:03d} my neighbour waits here" for i in people],
        }
    )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
