"""The disk is full for a while: nothing is acknowledged, health says so, and when there is room it goes on by itself.

Once with a real file system that is too small (needs root, to mount it), once with a file layer that refuses.
"""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingest.health import read_health
from ingest.log import Disk
from ingest.service import run
from tests.journeys.ledger import Ingest, Sensors, all_arrive, balanced, embedded, held, unhurried_town, until

SMALL, ENOUGH = "600k", "200m"


@contextmanager
def small_file_system(folder: Path, size: str) -> Iterator[None]:
    """A file system in memory of this size, while the block lasts."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_disk_that_is_full_for_a_while_loses_nothing(tmp_path):
    """Once: with room again the log reserves 8 MiB ahead, which would take a million messages to fill."""
    city = unhurried_town(tmp_path / "town")
    (tmp_path / "broker").mkdir()
    with small_file_system(tmp_path / "store", SMALL), embedded(tmp_path / "broker") as url:
        city.shelf().symlink_to(tmp_path / "store")
        with Ingest(city, url) as ingest, Sensors(city, url) as sensors:
            until(lambda: fill(sensors, ingest), "the disk does not get full")
            sensors.publish(500)  # and more, for which there is no room
            told = sensors.told()
            assert told - set(held(city)), "there was room for everything, so nothing has been shown"
            subprocess.run(["mount", "-o", f"remount,size={ENOUGH}", str(tmp_path / "store")], check=True)
            all_arrive(city, told)
            until(lambda: not ingest.said("holding"), "it does not say that it goes on")
            ingest.stop()
        balanced(city, told)


def fill(sensors: Sensors, ingest: Ingest) -> bool:
    """Publish a little more; whether ingest now holds on to what it cannot store."""
    sensors.publish(200)
    return bool(ingest.said("holding"))


class RefusingDisk(Disk):
    """Has no room while `full` is set; keeps half of what it refuses, as a real one does."""

    def __init__(self) -> None:
        self.full = threading.Event()
        self.refused = 0

    def allocate(self, descriptor: int, offset: int, length: int) -> None:
        self._look()
        super().allocate(descriptor, offset, length)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        if self.full.is_set():
            super().write(descriptor, data[: len(data) // 2], offset)
        self._look()
        super().write(descriptor, data, offset)

    def _look(self) -> None:
        if self.full.is_set():
            self.refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("times", [2, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_a_file_layer_without_room_for_a_while_loses_nothing(tmp_path, times):
    city = unhurried_town(tmp_path / "town")
    (tmp_path / "broker").mkdir()
    disk, stopped = RefusingDisk(), threading.Event()
    with embedded(tmp_path / "broker") as url:
        ingest = threading.Thread(
            target=run, args=(city,), kwargs={"url": url, "disk": disk, "until": stopped.is_set}, daemon=True
        )
        ingest.start()
        until(lambda: read_health(city)["state"] == "connected", "ingest does not connect")
        try:
            with Sensors(city, url) as sensors:
                for _ in range(times):
                    sensors.publish(300)
                    refused = disk.refused
                    disk.full.set()
                    sensors.publish(300)
                    told = sensors.told()
                    until(lambda refused=refused: disk.refused > refused + 1, "it does not try again")
                    until(lambda: read_health(city).get("holding"), "health does not say that it holds on")
                    assert told - set(held(city)), "it shows what is not on disk"
                    disk.full.clear()
                    all_arrive(city, told)
        finally:
            stopped.set()
            ingest.join(60)
        assert not ingest.is_alive()
    balanced(city, told)
