"""How full the disk is and which shelf of a city holds how much of it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ingest.machine import too_little_room
from sensors.city import City

SHELVES = ("log", "tail", "readings", "answers", "model", "atlas", "public", "basemap", "inbox", "reports", "other")
_MOST_FILES = 500_000
_NIGHTS = 7


@dataclass(frozen=True)
class ShelfSizes:
    """Bytes; a night is the mean of the last archived ones, None where there is none."""

    free: int
    whole: int
    shelves: dict[str, int] = field(default_factory=dict)
    night: int | None = None
    counted: bool = True  # whether all files were counted

    @property
    def low(self) -> bool:
        """Whether there is too little room, as `noctule doctor` says."""
        return too_little_room(self.free, self.whole)


def shelf_sizes(city: City) -> ShelfSizes:
    """Measure a city's disk and shelves; takes as long as the disk needs to name its files."""
    usage = shutil.disk_usage(city.path)
    sizes = dict.fromkeys(SHELVES, 0)
    nights: dict[str, int] = {}
    left = _MOST_FILES
    root = city.shelf()
    for folder, _, files in os.walk(root):
        parts = Path(folder).relative_to(root).parts
        shelf = parts[0] if parts and parts[0] in SHELVES else "other"
        if shelf == "log" and "tail" in parts:
            shelf = "tail"
        size = sum(_bytes(Path(folder, name)) for name in files)
        sizes[shelf] += size
        if len(parts) > 1 and parts[0] == "readings" and parts[1].startswith("night="):
            nights[parts[1]] = nights.get(parts[1], 0) + size
        left -= len(files)
        if left < 0:
            break
    last = [nights[name] for name in sorted(nights)][-_NIGHTS:]
    return ShelfSizes(usage.free, usage.total, sizes, sum(last) // len(last) if last else None, left >= 0)


def _bytes(path: Path) -> int:
    """What a file takes on the disk, which for one that is allocated ahead is not its length."""
    try:
        status = path.lstat()
    except OSError:
        return 0  # replaced while it was counted
    return status.st_blocks * 512
