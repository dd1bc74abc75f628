"""What a reading costs on its way into the archive: CPU, disk, and how many a second are durable.

    python -m benchmarks.ingest.end_to_end [--readings 100000]

Four parts: the commit path without a network (decode, screen, log, sync, tail), the log alone by size of group, the
archive (compaction and reading a night), and the whole process behind a real broker. CPU is that of the measured
process and is the figure to trust; wall rates swing with the neighbours and the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ingest.archive import follow, night_records, read_manifest
from ingest.broker import start_embedded
from ingest.health import read_health
from ingest.log import GOOD, Log, Message, pack_frame
from ingest.mqtt import Publisher, Raw
from ingest.service import Service
from sensors.city import City
from sensors.night import night_of
from sensors.wire import Sample, encode_pack, quantity_topic
from tests.synthetic_city import make_city


def messages(city: City, readings: int, pack: int) -> list[tuple[str, bytes]]:
    """Levels from the town's meters, one minute apart within a pack."""
    meters = city.places("sites").query("quantity == 'sound_laeq'")["device"].tolist()
    now_ms = time.time_ns() // 1_000_000
    generator = np.random.default_rng(1)
    out = []
    for seq in range(readings // pack):
        values = np.round(50 + 10 * generator.standard_normal(pack), 1).tolist()
        samples = [
            Sample("sound_laeq", now_ms - 1000 * (pack - index), value, 1.0) for index, value in enumerate(values)
        ]
        topic = quantity_topic("noctule", city.id, meters[seq % len(meters)], "sound_laeq")
        out.append((topic, encode_pack(samples, boot=1, seq=seq)))
    return out


def commit_path(folder: Path, readings: int, pack: int) -> dict[str, float]:
    """The service's own work, fed from memory."""
    city = make_city(folder / f"town-{pack}")
    service = Service(city, "0/1", "mqtt://127.0.0.1:1")
    inbox = service.subscriber.inbox
    service.subscriber.receive = lambda timeout_s, limit: None  # type: ignore[method-assign]
    deliveries: list[Raw] = [(topic.encode(), 1, 1 << 1, payload) for topic, payload in messages(city, readings, pack)]
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(deliveries), 2000):
        service.subscriber.take_in(0, deliveries[start : start + 2000], 0)
        while inbox or service._group is not None or service._sealed is not None:
            service._turn()
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    stored = service.counts["stored"]
    log_bytes = sum(path.stat().st_size for path in city.shelf("log", "0").glob("*.seg"))
    began, compacting = time.perf_counter(), time.process_time()
    service._finish()
    compacting = time.process_time() - compacting
    log_bytes = sum(path.stat().st_size for path in city.shelf("log", "0").glob("*.seg")) or log_bytes
    parquet = sum(path.stat().st_size for path in city.shelf("readings").rglob("*.parquet"))
    night = night_of(np.datetime64("now", "ms"), city.zone)
    reading_began = time.perf_counter()
    found = len(night_records(city, night)) + len(night_records(city, night.previous()))
    reading = time.perf_counter() - reading_began
    assert found == stored == sum(file.rows for file in read_manifest(city).files)
    follower = follow(city)
    follower.poll()
    polled = time.process_time()
    for _ in range(1000):
        follower.poll()
    return {
        "pack": pack,
        "readings": stored,
        "cpu_us_per_reading": cpu / stored * 1e6,
        "durable_per_s_wall": stored / wall,
        "compaction_us_per_reading": compacting / stored * 1e6,
        "log_bytes_per_reading": log_bytes / stored,
        "archive_bytes_per_reading": parquet / stored,
        "read_night_ms": reading * 1000,
        "idle_poll_us": (time.process_time() - polled) * 1000,
    }


def log_alone(folder: Path, group: int, seconds: float = 2.0) -> dict[str, float]:
    """Groups of ready messages, framed, written and synced."""
    log = Log.open(folder / f"log-{group}")
    batch = [
        Message(
            f"noctule/town/meter-{index % 40}/sound-laeq", b'[{"v":%d.5,"boot":1,"seq":%d}]' % (index % 50, index), 0
        )
        for index in range(group)
    ]
    groups, began, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        log.append([pack_frame(GOOD, batch)])
        groups += 1
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    log.close()
    return {
        "group": group,
        "cpu_us_per_message": cpu / groups / group * 1e6,
        "durable_per_s_wall": groups * group / wall,
        "commits_per_s_wall": groups / wall,
    }


def behind_a_broker(folder: Path, readings: int, pack: int) -> dict[str, float]:
    """`noctule ingest` as it runs, behind the embedded broker or Debian's mosquitto."""
    city = make_city(folder / f"behind-{pack}")
    broker = start_embedded(18_830 + pack, folder / "broker")
    ingest = subprocess.Popen([sys.executable, "-m", "noctule", "ingest", str(city.path), "--broker", broker.url])
    try:
        while read_health(city)["state"] != "connected":
            time.sleep(0.05)
        before = _cpu_of(ingest.pid)
        began = time.perf_counter()
        with Publisher(broker.url, "bench") as publisher:
            for topic, payload in messages(city, readings, pack):
                publisher.publish(topic, payload)
            publisher.flush()
        while read_health(city)["counts"]["stored"] < readings // pack * pack:
            time.sleep(0.05)
        return {
            "pack": pack,
            "cpu_us_per_reading": (_cpu_of(ingest.pid) - before) / readings * 1e6,
            "readings_per_s_wall": readings / (time.perf_counter() - began),
        }
    finally:
        ingest.terminate()
        ingest.wait()
        broker.stop()


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=100_000)
    readings = parser.parse_args().readings
    folder = Path(tempfile.mkdtemp(prefix="noctule-bench-"))
    try:
        result = {
            "commit_path": [commit_path(folder, readings, pack) for pack in (1, 50)],
            "log_alone": [log_alone(folder, group) for group in (1, 100, 1000, 5000)],
            "behind_a_broker": [behind_a_broker(folder, min(readings, 20_000) * pack, pack) for pack in (1, 50)],
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    finally:
        shutil.rmtree(folder)
    for part, rows in result.items():
        print(part)
        for row in rows if isinstance(rows, list) else [{"": rows}]:
            print("   ", "  ".join(f"{name} {value:.6g}" for name, value in row.items()))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
