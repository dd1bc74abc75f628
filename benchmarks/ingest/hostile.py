"""How much later are the readings of others stored while a device floods its own topics.

    python -m benchmarks.ingest.hostile [--pairs 5] [--seconds 15] [--json]

Mosquitto with the settings and the access list that we ship. Five honest lux sensors send 20 readings a second each;
their delay is the time from handing a reading to the client until it stands in the log's file (the sync that follows
is told apart: `commit_ms` is the mean of writing and syncing), and `seen` is until a follower of the archive has it.
In every other run a counter that has an account sends 10,000 messages a second under its own topic. Compared are the
99th percentiles of one pair of runs, so that both had the same neighbours.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.ingest.stand import ROOT, end, free_port, ingest_command, program, stop
from benchmarks.ingest.traffic import write_messages
from benchmarks.verdict import arguments, at_least, at_most, middle, report
from ingest.archive import follow
from ingest.health import read_health
from ingest.log import GOOD, read_frames, segment_path, segments
from ingest.mqtt import Publisher
from sensors.city import City
from sensors.register import SiteRegister, add_site
from sensors.wire import Sample, encode_pack, quantity_topic
from tests.brokers import secured
from tests.synthetic_city import SOUTH, WEST, make_city

HONEST = 5
PER_S = 20  # of each honest sensor
FLOOD_PER_S = 10_000
HOSTILE = "counter-00"
PASSWORD = "benchmark"  # of everybody, on loopback, for a quarter of a minute
READER = "noctule-ingest"

Reading = tuple[str, int]  # device and number


def main() -> int:
    asked = arguments(__doc__, pairs=5, seconds=15)
    folder = Path(tempfile.mkdtemp(prefix="noctule-bench-"))
    try:
        pairs = [
            {
                "alone": run(folder / f"{number}-alone", asked.peers, asked.seconds, flood=False),
                "beside_the_flood": run(folder / f"{number}-flood", asked.peers, asked.seconds, flood=True),
            }
            for number in range(asked.pairs)
        ]
    finally:
        shutil.rmtree(folder)
    growth = [pair["beside_the_flood"]["stored_p99_ms"] / pair["alone"]["stored_p99_ms"] - 1 for pair in pairs]
    flood = middle([pair["beside_the_flood"]["flood_per_s"] for pair in pairs])
    lost = sum(run["lost"] for pair in pairs for run in pair.values())
    return report(
        {
            "pairs": [
                {f"{name} {key}": value for name, run in pair.items() for key, value in run.items()} for pair in pairs
            ],
            "growth_of_p99": middle(growth),
            "gates": [
                at_most("growth of the others' p99 stored delay", middle(growth), 0.20),
                at_most("honest readings lost", lost, 0),
                at_least("flood that the broker took in, messages a second", flood, 0.95 * FLOOD_PER_S),
            ],
        },
        asked.json,
    )


def run(folder: Path, peers: Path, seconds: int, *, flood: bool) -> dict[str, float]:
    """Delays of honest readings, ms, and what became of the flood."""
    folder.mkdir()
    city = town(folder / "town")
    honest = [f"honest-{number}" for number in range(HONEST)]
    accounts = dict.fromkeys((READER, HOSTILE, *honest), PASSWORD)
    with secured(folder / "broker", city, accounts) as broker:
        metrics = free_port()
        command = ingest_command(city, "--metrics", str(metrics))(broker.port)
        ingest = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        attacker: subprocess.Popen[str] | None = None
        try:
            while read_health(city)["state"] != "connected":
                assert ingest.poll() is None
                time.sleep(0.1)
            if flood:
                write_messages(folder / "flood", flooding(city, FLOOD_PER_S * (seconds + 4)))
                command = [str(program("publisher", peers)), str(broker.port), str(folder / "flood"), "1"]
                attacker = subprocess.Popen(
                    [*command, str(FLOOD_PER_S), "-", HOSTILE, PASSWORD], stdout=subprocess.PIPE, text=True
                )
                time.sleep(2.0)  # its burst is over
            found = delays(city, broker.url, honest, seconds)
            said = read_health(city)["counts"]
            took = {"commit_ms": commit_ms(metrics), "flood_per_s": float("nan"), "refused": float(said["refused"])}
            if attacker is not None:
                told = json.loads(attacker.communicate(timeout=120)[0])
                took["flood_per_s"] = told["acknowledged"] / told["seconds"]
            stop(ingest)
        finally:
            end(ingest)
            if attacker is not None:
                end(attacker)
    shutil.rmtree(folder)
    sent = HONEST * PER_S * seconds
    rows = {
        f"{where}_p{share}_ms": float(np.percentile(delay, share))
        for where, delay in found.items()
        for share in (50, 99)
    }
    return rows | {"lost": float(sent - len(found["seen"])), **took}


def town(folder: Path) -> City:
    """A city with the honest sensors, which reads as an account."""
    city = make_city(folder)
    text = (folder / "city.toml").read_text("utf-8")
    (folder / "city.toml").write_text(text.replace('user = ""', f'user = "{READER}"'), "utf-8")
    (folder / "secrets.toml").write_text(f'broker_password = "{PASSWORD}"\n', "utf-8")
    (folder / "secrets.toml").chmod(0o600)
    for number in range(HONEST):
        add_site(
            city, device=f"honest-{number}", quantity="illuminance", easting=WEST + 50 + number, northing=SOUTH + 50
        )
    return City.open(folder)


def flooding(city: City, count: int) -> Iterator[tuple[bytes, bytes]]:
    """Readings that are well formed, each another one."""
    topic = quantity_topic(city.settings.broker.root, city.id, HOSTILE, "people_flow").encode()
    now = time.time()
    for seq in range(count):
        yield topic, b'[{"n":"people_flow","u":"count","v":1,"t":%.3f,"duration_s":60,"boot":1,"seq":%d}]' % (now, seq)


class Watched:
    """The two places at which a reading appears: the log's file, and what a follower of the archive is given."""

    def __init__(self, city: City) -> None:
        self._folder = city.shelf("log", "0")
        table = SiteRegister.load(city).table
        self._device = dict(zip(table["site"].astype(int), table["device"], strict=True))
        self._follower = follow(city)
        self._segment, self._offset = 0, 0

    def stored(self) -> list[Reading]:
        """Readings of the honest that have come to stand in the log since the last call."""
        numbers = segments(self._folder)
        if not numbers:
            return []
        if numbers[-1] != self._segment:
            self._segment, self._offset = numbers[-1], 0
        found = []
        for frame in read_frames(segment_path(self._folder, self._segment), self._offset):
            self._offset = frame.end.offset
            if frame.kind == GOOD:
                for message in frame.messages():
                    device = message.topic.split("/")[2]
                    if device != HOSTILE:
                        found.append((device, int(json.loads(message.payload)[0]["seq"])))
        return found

    def seen(self) -> list[Reading]:
        """Readings that a follower was given since the last call."""
        records = self._follower.poll()
        return [(self._device[site], seq) for site, seq in records[["site", "seq"]].tolist()]

    def close(self) -> None:
        """Close the files."""
        self._follower.close()


def delays(city: City, url: str, devices: list[str], seconds: int) -> dict[str, list[float]]:
    """Time from handing over until stored, and until seen, ms, of each reading that was within ten seconds."""
    senders = [Publisher(url, device, device, PASSWORD, window=1_000) for device in devices]
    for sender in senders:
        while sender.state != "connected":
            sender.step(0.02)
    watched = Watched(city)
    handed: dict[Reading, float] = {}
    found: dict[str, list[float]] = {"stored": [], "seen": []}
    began = time.monotonic()
    total = PER_S * seconds
    sent = 0
    while len(found["seen"]) < total * len(devices) and time.monotonic() - began < seconds + 10:
        while sent < total and time.monotonic() - began >= sent / PER_S:
            for sender, device in zip(senders, devices, strict=True):
                pack = encode_pack([Sample("illuminance", time.time_ns() // 1_000_000, sent % 97, 0.0)], 1, sent)
                handed[device, sent] = time.monotonic()
                sender.publish(quantity_topic("noctule", city.id, device, "illuminance"), pack)
                sender.step(0.0)
            sent += 1
        for sender in senders:
            sender.step(0.0)
        for where, new in (("stored", watched.stored()), ("seen", watched.seen())):
            now = time.monotonic()
            found[where] += [(now - handed[reading]) * 1000 for reading in new if reading in handed]
        time.sleep(0.001)
    watched.close()
    for sender in senders:
        sender.close()
    return found


def commit_ms(port: int) -> float:
    """Mean time of writing and syncing a group, as ingest says it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[:1] != "#")
    name = "noctule_ingest_commit_seconds"
    return 1000 * float(lines[f"{name}_sum"]) / max(1.0, float(lines[f"{name}_count"]))


if __name__ == "__main__":
    sys.exit(main())
