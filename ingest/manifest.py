"""What belongs to the archive: one small file, whose replacement is the commit of everything written before it.

A file is written beside, synced and renamed before the manifest names it. A process killed before the manifest is
replaced leaves files that nobody lists, which the next one removes; killed after it, it has nothing left to do.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from sensors.city import City
from sensors.errors import StoreError

FORMAT = 2
_READ_FORMATS = (1, 2)  # of 1, everything is of 2, which added re-flags, the ledger and the numbers of imports


class StoredFile(msgspec.Struct, frozen=True):
    """One Parquet file of the archive."""

    path: str  # below store/readings
    night: str  # empty for the ledger
    rows: int
    sha256: str
    number: int  # of the commit that brought its newest reading
    upto: dict[str, tuple[int, int]]  # shard -> end of what it holds of the log; empty if it holds nothing of it
    source: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What belongs to the archive."""

    format: int = FORMAT
    number: int = 0  # of the last commit
    positions: dict[str, tuple[int, int]] = {}  # shard -> (segment, offset) up to which the log is archived
    files: tuple[StoredFile, ...] = ()
    reflags: tuple[StoredFile, ...] = ()  # what was learnt later about readings of a night
    ledger: tuple[StoredFile, ...] = ()  # message numbers that never came, readings that contradict each other
    imports: tuple[int, ...] = ()  # commits that brought history, ascending
    conflicts: int = 0  # readings refused because their key had another value before

    def all_files(self) -> tuple[StoredFile, ...]:
        """Every file that belongs to the archive."""
        return (*self.files, *self.reflags, *self.ledger)


def manifest_path(city: City) -> Path:
    """The file whose replacement commits a change of the archive."""
    return city.shelf("readings", "manifest.json")


def read_manifest(city: City) -> Manifest:
    """What belongs to the archive now."""
    path = manifest_path(city)
    try:
        content = path.read_bytes()
        found = msgspec.json.decode(content, type=_Format).format
        if found not in _READ_FORMATS:
            raise StoreError(f"{path} has format {found}, this version reads up to {FORMAT}; try 'noctule migrate'")
        return msgspec.json.decode(content, type=Manifest)
    except FileNotFoundError:
        return Manifest()
    except msgspec.DecodeError as error:
        raise StoreError(f"{path} cannot be read ({error}); restore it from a backup") from error


class _Format(msgspec.Struct, frozen=True):
    format: int


def commit(city: City, old: Manifest, new: Manifest) -> None:
    """Make `new` the archive; what `old` listed and `new` does not is removed."""
    new = msgspec.structs.replace(
        new,
        format=FORMAT,
        files=_by_path(new.files),
        reflags=_by_path(new.reflags),
        ledger=_by_path(new.ledger),
    )
    path = manifest_path(city)
    beside = path.with_suffix(".json.new")
    with beside.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(new), indent=1))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)
    kept = {file.path for file in new.all_files()}
    for gone in old.all_files():
        if gone.path not in kept:
            path.parent.joinpath(gone.path).unlink(missing_ok=True)


def tidied(city: City) -> Manifest:
    """The manifest, after removing files that a killed process left behind."""
    manifest = read_manifest(city)
    listed = {file.path for file in manifest.all_files()}
    shelf = city.shelf("readings")
    for pattern in ("night=*/*", "*.parquet*"):
        for path in shelf.glob(pattern):
            if str(path.relative_to(shelf)) not in listed:
                path.unlink(missing_ok=True)
    return manifest


def settled(shelf: Path, name: str, write: Callable[[Path], None]) -> str:
    """Write a file beside, sync it and give it its name below `shelf`; its SHA-256."""
    path = shelf / name
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    write(beside)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    beside.replace(path)
    sync_folder(path.parent)
    return digest


def verify(city: City) -> list[str]:
    """What of the archive is not as it was written, a sentence each; empty when every file has its SHA-256."""
    shelf = city.shelf("readings")
    wrong = []
    for file in read_manifest(city).all_files():
        try:
            with shelf.joinpath(file.path).open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
        except FileNotFoundError:
            if any(listed.path == file.path for listed in read_manifest(city).all_files()):
                wrong.append(f"{file.path} is listed and not there; restore it from a backup")
            continue
        except OSError as error:
            wrong.append(f"{file.path} cannot be read ({error.strerror or error}); restore it from a backup")
            continue
        if digest != file.sha256:
            wrong.append(f"{file.path} has changed since it was written (SHA-256 differs); restore it from a backup")
    return wrong


def sync_folder(folder: Path) -> None:
    """Make the names of new files durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _by_path(files: Sequence[StoredFile]) -> tuple[StoredFile, ...]:
    return tuple(sorted(files, key=lambda file: file.path))
