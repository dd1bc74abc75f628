"""What a reading costs our whole process: alone, in packs, and at the steady rate of a city.

    python -m benchmarks.ingest.readings [--repeats 3] [--readings 1000000] [--seconds 30] [--json]

`noctule ingest` runs as it does in a city: receive, decode, look up the site, screen, log, sync, show, acknowledge.
Behind the broker in C it is fed as fast as it acknowledges (5,000 meters, 20,000 in flight); processor time counts
from the first message to the last acknowledgement, and what archiving costs afterwards is said beside it. The steady
rate comes from 20 sensors through Debian's mosquitto with the configuration that we ship.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.ingest.stand import (
    ROOT,
    Cost,
    behind_the_fake_broker,
    cpu_of,
    end,
    in_the_archive,
    ingest_command,
    mosquitto,
    program,
    stop,
)
from benchmarks.ingest.traffic import PACK, meter_town, packs, singles, write_messages
from benchmarks.verdict import arguments, at_most, middle, report
from ingest.health import read_health
from sensors.city import City

KINDS: dict[str, tuple[Callable[[City, int], Iterator[tuple[bytes, bytes]]], int]] = {
    "singles": (singles, 1),
    "packs of 50": (packs, PACK),
}
BOUNDS_US = {"singles": 4.0, "packs of 50": 1.2}
STEADY_PER_S = 6_000
SENSORS = 20


def main() -> int:
    asked = arguments(__doc__, readings=1_000_000, repeats=3, seconds=30)
    folder = Path(tempfile.mkdtemp(prefix="noctule-bench-"))
    try:
        flat_out = [
            flat_out_run(folder / f"{turn}-{number}", asked.peers, kind, asked.readings)
            for turn in range(asked.repeats)
            for number, kind in enumerate(KINDS)
        ]
        share = steady(folder / "steady", asked.peers, asked.seconds) if shutil.which("mosquitto") else None
    finally:
        shutil.rmtree(folder)
    alone = [run for run in flat_out if run["kind"] == "singles"]
    gates = [
        at_most(
            f"CPU per reading, {kind}, us",
            middle([run["cpu_us_per_reading"] for run in flat_out if run["kind"] == kind]),
            bound,
        )
        for kind, bound in BOUNDS_US.items()
    ]
    gates += [
        at_most(f"{where} on disk per reading, singles, bytes", middle([float(str(run[key])) for run in alone]), bound)
        for where, key, bound in (("log", "log_bytes", 30.0), ("history", "history_bytes", 10.0))
    ]
    if share is not None:
        gates.append(at_most(f"share of a core at {STEADY_PER_S} readings/s", share["core_share"], 0.12))
    return report({"flat_out": flat_out, "steady": share or "mosquitto is not installed", "gates": gates}, asked.json)


def flat_out_run(folder: Path, peers: Path, kind: str, readings: int) -> dict[str, object]:
    folder.mkdir()
    city = meter_town(folder / "town")
    make, per_message = KINDS[kind]
    count = write_messages(folder / "messages", make(city, readings))
    archiving: list[float] = []

    def archive(process: subprocess.Popen[bytes]) -> None:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = cpu_of(process.pid)
        stop(process)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        whole = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        archiving.append(whole - spent)

    cost: Cost = behind_the_fake_broker(ingest_command(city), folder / "messages", count, peers, after=archive)
    total = count * per_message
    assert in_the_archive(city) == total, "readings were lost or doubled"
    log = sum(file.stat().st_size for file in city.shelf("log", "0").glob("*.seg"))
    history = sum(file.stat().st_size for file in city.shelf("readings").rglob("*.parquet"))
    shutil.rmtree(folder)
    return {
        "kind": kind,
        "cpu_us_per_reading": cost.cpu_us(total),
        "archiving_us_per_reading": archiving[0] / total * 1e6,
        "readings_per_s_wall": total / cost.seconds,
        "log_bytes": log / total,
        "history_bytes": history / total,
        "memory_mb": cost.memory_mb,
    }


def steady(folder: Path, peers: Path, seconds: int) -> dict[str, float]:
    """Share of one core that ingest takes while 6,000 readings a second come through mosquitto."""
    folder.mkdir()
    city = meter_town(folder / "town")
    count = write_messages(folder / "messages", singles(city, STEADY_PER_S * seconds))
    with mosquitto(folder / "broker") as port:
        process = subprocess.Popen(ingest_command(city)(port), cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            while read_health(city)["state"] != "connected":
                assert process.poll() is None
                time.sleep(0.1)
            command = [str(program("publisher", peers)), str(port), str(folder / "messages"), str(SENSORS)]
            before, began = cpu_of(process.pid), time.monotonic()
            sensors = subprocess.run([*command, str(STEADY_PER_S)], stdout=subprocess.PIPE, check=True)
            while read_health(city)["counts"]["stored"] < count:
                time.sleep(0.05)
            spent, lasted = cpu_of(process.pid) - before, time.monotonic() - began
            stop(process)
        finally:
            end(process)
    assert in_the_archive(city) == count, "readings were lost or doubled"
    log = sum(file.stat().st_size for file in city.shelf("log", "0").glob("*.seg"))
    return {
        "core_share": spent / lasted,
        "cpu_us_per_reading": spent / count * 1e6,
        "readings_per_s": count / json.loads(sensors.stdout)["seconds"],
        "log_bytes": log / count,
    }


if __name__ == "__main__":
    raise SystemExit(main())
