"""One writer a shelf: a lock that the kernel releases when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sensors.errors import ShelfLocked


@contextmanager
def shelf_lock(shelf: Path, who: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the only right to write `shelf` for the length of a `with`.

    shelf : folder, created where it does not exist; the lock is its file `.lock`
    who : the command that takes it, told to whoever comes second
    wait_s : seconds to wait for another holder before refusing
    """
    shelf.mkdir(parents=True, exist_ok=True)
    path = shelf / ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _take(descriptor, shelf, who, time.monotonic() + wait_s)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {who}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, shelf: Path, who: str, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            pid, _, name = holder.partition(" ")
            raise ShelfLocked(
                f"{shelf} is already written by {name or 'another process'} (process {pid or 'unknown'}); "
                f"stop it before starting '{who}' on this folder"
            ) from None
