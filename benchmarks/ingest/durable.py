"""Validated, on disk, acknowledged: our ingest against what people write and use instead.

    python -m benchmarks.ingest.durable [--repeats 3] [--readings 300000] [--json]

The same messages (one reading each, about 90 bytes of SenML, 5,000 meters in turn) go through the same broker in C to
each system, one after the other and round again. What is compared is processor time per reading, from the first
message to the last acknowledgement; Node-RED, which acknowledges before it stores, is given until its file is
complete. What a PUBACK means: ours, and SQLite as it comes: on disk. SQLite with WAL and NORMAL: in the page cache.
Node-RED to a file: nothing.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.ingest.peers import node_red
from benchmarks.ingest.stand import HERE, Cost, behind_the_fake_broker, in_the_archive, ingest_command, stop
from benchmarks.ingest.traffic import meter_town, singles, write_messages
from benchmarks.verdict import arguments, at_least, middle, report

# A round of each takes some seconds: an SQLite commit waits for the disk, so it gets few readings.
SHARE = {"ours": 1.0, "sqlite": 1 / 200, "sqlite wal": 1 / 15, "node-red": 1 / 5}


def main() -> int:
    asked = arguments(__doc__, readings=300_000, repeats=3)
    folder = Path(tempfile.mkdtemp(prefix="noctule-bench-"))
    try:
        return report(measure(folder, asked.peers, asked.readings, asked.repeats), asked.json)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, peers: Path, readings: int, repeats: int) -> dict[str, object]:
    systems: dict[str, Callable[[Path, Path, int], Cost]] = {
        "ours": lambda at, file, count: _ours(at, file, count, peers),
        "sqlite": lambda at, file, count: _naive(at, file, count, peers, "default"),
        "sqlite wal": lambda at, file, count: _naive(at, file, count, peers, "wal"),
    }
    left_out = {}
    try:
        red = node_red.install(peers)
        systems["node-red"] = lambda at, file, count: _node_red(at, file, count, peers, red)
    except node_red.NotHereError as reason:
        left_out["node-red"] = str(reason)
    costs: dict[str, list[Cost]] = {name: [] for name in systems}
    for turn in range(repeats):
        for name, run in systems.items():
            at = folder / f"{name.replace(' ', '-')}-{turn}"
            at.mkdir()
            file = at / "messages"
            count = write_messages(file, singles(meter_town(at / "town"), max(500, int(readings * SHARE[name]))))
            costs[name].append(run(at, file, count))
            shutil.rmtree(at)
    us = {name: [cost.cpu_us(cost.messages) for cost in runs] for name, runs in costs.items()}
    # Of one round, so that both sides of a ratio had the same neighbours.
    ratios = {
        name: middle([theirs / ours for theirs, ours in zip(us[name], us["ours"], strict=True)])
        for name in us
        if name != "ours"
    }
    bounds = {"sqlite": 200, "sqlite wal": 25, "node-red": 10}
    return {
        "system": [
            {
                "name": name,
                "cpu_us_per_reading": middle(us[name]),
                "least": min(us[name]),
                "readings_per_s_wall": middle([cost.messages / cost.seconds for cost in runs]),
                "memory_mb": max(cost.memory_mb for cost in runs),
                "times_ours": ratios.get(name, 1.0),
            }
            for name, runs in costs.items()
        ],
        "left_out": left_out,
        "gates": [at_least(f"CPU of {name} / ours", ratios[name], bounds[name]) for name in ratios],
    }


def _ours(at: Path, file: Path, count: int, peers: Path) -> Cost:
    from sensors.city import City

    city = City.open(at / "town")
    cost = behind_the_fake_broker(ingest_command(city), file, count, peers, after=stop)
    assert in_the_archive(city) == count, "readings were lost or doubled"
    return cost


def _naive(at: Path, file: Path, count: int, peers: Path, mode: str) -> Cost:
    def command(port: int) -> list[str]:
        return [sys.executable, str(HERE / "peers" / "naive.py"), str(port), str(at / "naive.db"), mode, str(count)]

    return behind_the_fake_broker(command, file, count, peers)


def _node_red(at: Path, file: Path, count: int, peers: Path, red: Path) -> Cost:
    out = at / "readings.jsonl"

    def stored() -> bool:
        return out.exists() and sum(1 for _ in out.open("rb")) >= count

    return behind_the_fake_broker(
        lambda port: node_red.command(red, at / "node-red", port, out), file, count, peers, stored=stored
    )


if __name__ == "__main__":
    raise SystemExit(main())
