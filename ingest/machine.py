"""What of this machine would keep readings from being kept: its disk, its clock, another process, what is installed."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import shutil
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from ingest.finding import Finding, Severity
from sensors.city import City

_LEAST_FREE_SHARE, _LEAST_FREE_BYTES = 0.05, 2 << 30  # of the store's disk; below it ingest may have to hold
_SYNCS = 20
_SLOW_SYNC_S = 0.1  # a group waits for it: ten groups a second are the end of 5 ms linger
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_PACKAGES = ("numpy", "paho-mqtt", "pyarrow", "numba")


def examine_machine(city: City) -> list[Finding]:
    """Disk, syncs, lock, clock and packages, for a city's store."""
    store = city.shelf()
    try:
        store.mkdir(parents=True, exist_ok=True)
        findings = [_room(store), _sync(store)]
    except OSError as error:
        findings = [
            Finding(
                Severity.LOSES,
                "store",
                f"{store} cannot be written ({error.strerror or error}), so nothing can be stored or acknowledged",
                "make it writable for the user who runs 'noctule ingest', or make room",
            )
        ]
    return [*findings, *_locks(city), _clock(), _installed()]


def too_little_room(free: int, whole: int) -> bool:
    """Whether so many free bytes of a disk are so few that ingest may have to hold."""
    return free < max(_LEAST_FREE_SHARE * whole, _LEAST_FREE_BYTES)


def _room(store: Path) -> Finding:
    usage = shutil.disk_usage(store)
    share, free = usage.free / usage.total, usage.free / 2**30
    if too_little_room(usage.free, usage.total):
        return Finding(
            Severity.RISK,
            "disk",
            f"{free:.1f} GiB ({100 * share:.0f} %) are free at {store}; a full disk makes ingest hold, and the "
            "broker's queue is bounded",
            "make room, or put the store on a larger disk",
        )
    return Finding(Severity.FINE, "disk", f"{free:.0f} GiB ({100 * share:.0f} %) are free at {store}")


def _sync(store: Path) -> Finding:
    """How long 4 KiB take to be safe."""
    path = store / f".doctor-{os.getpid()}"
    took = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for _ in range(_SYNCS):
            began = time.perf_counter()
            os.write(descriptor, b"\0" * 4096)
            _datasync(descriptor)
            took.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)
    usual, longest = float(np.median(took)), max(took)
    sentence = f"4 KiB are on the disk after {1e3 * usual:.1f} ms, {1e3 * longest:.0f} ms at the longest of {_SYNCS}"
    if usual > _SLOW_SYNC_S:
        return Finding(
            Severity.RISK, "sync", sentence, "a disk of its own for store/log, or one with a power-safe cache"
        )
    return Finding(Severity.FINE, "sync", sentence)


def _datasync(descriptor: int) -> None:
    if sys.platform == "darwin":  # which has no fdatasync
        os.fsync(descriptor)
    else:
        os.fdatasync(descriptor)


def _locks(city: City) -> list[Finding]:
    """Who writes which shelf; a stale lock is none, for the kernel lets go of it with its holder."""
    findings = []
    for lock in sorted(city.shelf().glob("**/.lock")):
        holder = _holder(lock)
        if holder:
            findings.append(Finding(Severity.FINE, "lock", f"{lock.parent} is written by {holder}"))
    return findings


def _holder(lock: Path) -> str:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid, _, name = os.pread(descriptor, 200, 0).decode(errors="replace").strip().partition(" ")
        return f"'{name or 'another process'}' (process {pid or 'unknown'})"
    finally:
        os.close(descriptor)
    return ""


def _clock() -> Finding:
    """Whether the kernel takes its clock for synchronised; a reading is judged by the time at which it is received."""
    if not sys.platform.startswith("linux"):
        return Finding(Severity.NOTE, "clock", "whether this machine's clock is synchronised is not known here")
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # struct timex: modes 0 changes nothing
    if state == _TIME_ERROR or state < 0:
        return Finding(
            Severity.NOTE,
            "clock",
            "the kernel does not know this machine's clock to be synchronised; readings two minutes ahead of it fail",
            "run chrony or systemd-timesyncd (on the host, where this is a container)",
        )
    return Finding(Severity.FINE, "clock", "this machine's clock is synchronised")


def _installed() -> Finding:
    found = [f"Python {platform.python_version()}"]
    missing = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    compiled = _compiled_kernels()
    found.append(f"{compiled} kernels compiled" if compiled else "kernels not compiled yet")
    if missing:
        return Finding(
            Severity.RISK,
            "installed",
            f"{', '.join(missing)} cannot be found beside {', '.join(found)}",
            "install again",
        )
    return Finding(
        Severity.FINE if compiled else Severity.NOTE,
        "installed",
        ", ".join(found),
        "" if compiled else "'noctule warmup' compiles them, so that the first map does not wait for it",
    )


def _compiled_kernels() -> int:
    """How many kernels lie in the cache; noctule.py says where that is."""
    folder = os.environ.get("NUMBA_CACHE_DIR", "")
    return sum(1 for _ in Path(folder).rglob("*.nbc")) if folder else 0
