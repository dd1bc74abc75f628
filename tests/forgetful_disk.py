"""A disk that remembers every call, so that the power may be cut after any of them.

What a machine keeps in that moment is what was synced; of the rest it keeps what it likes: each page of 4 KiB of a
write, each change of a file's length and each new name is there or is not, in any combination. `kill -9` tests none
of this, because the kernel's page cache survives the process.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ingest.log import Disk

PAGE = 4096


class Call(NamedTuple):
    """One call to the file system, by what it did to which file."""

    kind: str  # create, allocate, write, sync, cut, names
    name: str = ""
    offset: int = 0
    length: int = 0
    data: bytes = b""


class ForgetfulDisk(Disk):
    """The real disk, with a list of what was done to it.

    before_sync : called with the number of syncs so far; may raise, as a disk that fails does
    """

    def __init__(self, before_sync: Callable[[int], None] | None = None) -> None:
        self.calls: list[Call] = []
        self._names: dict[int, str] = {}
        self._before_sync = before_sync
        self._syncs = 0

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        self._names[descriptor] = path.name
        self.calls.append(Call("create", path.name))
        return descriptor

    def allocate(self, descriptor: int, offset: int, length: int) -> None:
        length = min(length, 64 * PAGE)  # quick to copy
        super().allocate(descriptor, offset, length)
        self.calls.append(Call("allocate", self._names[descriptor], offset, length))

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        super().write(descriptor, data, offset)
        self.calls.append(Call("write", self._names[descriptor], offset, len(data), bytes(data)))

    def sync(self, descriptor: int) -> None:
        self._syncs += 1
        if self._before_sync is not None:
            self._before_sync(self._syncs)
        super().sync(descriptor)
        self.calls.append(Call("sync", self._names[descriptor]))

    def cut(self, descriptor: int, size: int) -> None:
        super().cut(descriptor, size)
        self.calls.append(Call("cut", self._names[descriptor], size))

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        self.calls.append(Call("names"))

    def power_cut(self, after: int, into: Path, keeps: random.Random | bool) -> None:
        """Leave in the folder `into` what the disk holds when the power goes after so many calls.

        keeps : of what was not synced, True keeps all, False nothing, a generator some
        """
        into.mkdir(parents=True, exist_ok=True)
        done = self.calls[:after]
        named = max((index for index, call in enumerate(done) if call.kind == "names"), default=-1)
        for created, call in enumerate(done):
            if call.kind == "create" and (created < named or _kept(keeps)):
                (into / call.name).write_bytes(_content([one for one in done if one.name == call.name], keeps))


def _content(calls: list[Call], keeps: random.Random | bool) -> bytes:
    """The bytes of one file: all calls up to its last sync, and some of those after it."""
    synced = max((index for index, call in enumerate(calls) if call.kind == "sync"), default=-1)
    content = bytearray()
    for index, call in enumerate(calls):
        sure = index <= synced
        if call.kind == "allocate" and (sure or _kept(keeps)):
            content.extend(bytes(max(0, call.offset + call.length - len(content))))
        elif call.kind == "cut" and (sure or _kept(keeps)):
            del content[call.offset :]
            content.extend(bytes(call.offset - len(content)))
        elif call.kind == "write":
            _write(content, call, True if sure else keeps)
    return bytes(content)


def _write(content: bytearray, call: Call, keeps: random.Random | bool) -> None:
    end = call.offset + call.length
    start = call.offset
    while start < end:
        stop = min(end, (start // PAGE + 1) * PAGE)
        if _kept(keeps):
            content.extend(bytes(max(0, stop - len(content))))
            content[start:stop] = call.data[start - call.offset : stop - call.offset]
        start = stop


def _kept(keeps: random.Random | bool) -> bool:
    return keeps if isinstance(keeps, bool) else keeps.random() < 0.5
