"""Which part of a city one ingest process takes in: exact device filters, its own session, log and lock.

A device's shard is the smallest number of its sites, modulo the number of shards. Numbers are never used twice and a
new site has a larger one, so a device stays where it is when it gets another sensor or is moved. One shard of one takes
the whole city by wildcards; of more, each takes its devices by name, so that what one has not stored no other is sent.

The session at the broker is named after the shard *and* their number. When that number changes, the sessions of the old
division still hold what came meanwhile; `Mark` remembers them, so that they are emptied and then given up.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from ingest.mqtt import Filter
from sensors.city import City
from sensors.errors import CityError
from sensors.register import SiteRegister
from sensors.wire import STATUS

_ALWAYS, _NEVER = 0, 2  # when retained messages are sent: at each subscription, or not at all


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `of` parts of a city, counted from 0."""

    index: int = 0
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A shard as the command says it.

        >>> Shard.parse("1/4")
        Shard(index=1, of=4)
        """
        found = re.fullmatch(r"(\d{1,3})(?:/(\d{1,3}))?", text)
        shard = cls(int(found[1]), int(found[2] or 1)) if found else None
        if shard is None or shard.index >= shard.of:
            raise CityError(f"shard '{text}' is none; write i/n with i from 0 to n-1, like 0/2 and 1/2")
        return shard

    @property
    def name(self) -> str:
        """Its folder under store/log."""
        return str(self.index)

    def session(self, city_id: str) -> str:
        """What the name of its session at the broker begins with (`ingest.login`)."""
        return f"noctule-{city_id}-{self.index}" + (f"-of-{self.of}" if self.of > 1 else "")

    def filters(self, city: City, register: SiteRegister) -> list[Filter]:
        """What it subscribes to, in a fixed order."""
        own = f"{city.settings.broker.root}/{city.id}"
        if self.of == 1:
            foreign = [Filter(rule.topic, _NEVER) for rule in city.settings.dialects]
            return [Filter(f"{own}/+/+", _NEVER), Filter(f"{own}/+/{STATUS}", _ALWAYS), *_once(foreign)]
        shards = device_shards(register, self.of)
        mine = sorted(device for device, index in shards.items() if index == self.index)
        foreign = [
            Filter(rule.topic, _NEVER)
            for rule in city.settings.dialects
            if shards.get(rule.device, 0) == self.index  # a rule that names no device is of shard 0
        ]
        devices = [Filter(f"{own}/{device}/+", _NEVER) for device in mine]
        statuses = [Filter(f"{own}/{device}/{STATUS}", _ALWAYS) for device in mine]
        return [*devices, *statuses, *_once(foreign)]

    def discovery(self, city: City) -> list[Filter]:
        """What tells shard 0 of several which devices the register does not know: all of the city, at QoS 0."""
        if self.of == 1 or self.index:
            return []
        return [Filter(f"{city.settings.broker.root}/{city.id}/+/+", _NEVER, 0)]


class Session(msgspec.Struct, frozen=True):
    """A session at the broker, and what it is subscribed to."""

    client_id: str
    filters: list[Filter]


class Mark(msgspec.Struct, frozen=True):
    """What a shard's folder says about the process that wrote it last: its division, and its session at the broker."""

    of: int
    session: Session
    subscribed: bool = False  # whether the broker has accepted its filters
    old: list[Session] = []  # of earlier divisions, not yet emptied
    ended: bool = False  # no process writes here any more; nobody is to wait for it

    @classmethod
    def read(cls, folder: Path) -> Mark | None:
        """The mark of a folder; None where there is none."""
        try:
            return msgspec.json.decode((folder / "shard.json").read_bytes(), type=cls)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def write(self, folder: Path) -> None:
        """Replace the mark of a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / "shard.json.new"
        beside.unlink(missing_ok=True)
        # Who knows a session's name can take its queue (ingest.login), so it is for its owner's eyes.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(self))
            file.flush()
            os.fsync(descriptor)
        beside.replace(folder / "shard.json")


def device_shards(register: SiteRegister, of: int) -> dict[str, int]:
    """The shard of each registered device, by the smallest of its site numbers, so that all its sites go together."""
    table = register.table
    first: dict[str, int] = {}
    for device, site in zip(table["device"], table["site"].to_numpy(np.int64).tolist(), strict=True):
        first[device] = min(site, first.get(device, site))
    return {device: site % of for device, site in first.items()}


def all_subscribed(log: Path, of: int) -> bool:
    """Whether every shard of this division has been accepted by the broker; `log` is the folder of their folders."""
    marks = [Mark.read(log / str(index)) for index in range(of)]
    return all(mark is not None and mark.of == of and mark.subscribed for mark in marks)


def left_over(log: Path, of: int) -> list[Path]:
    """Folders of shards that this division has no more, and that are not given up yet."""
    found = []
    for folder in sorted(log.glob("*")):
        if folder.is_dir() and folder.name.isdigit() and int(folder.name) >= of:
            mark = Mark.read(folder)
            if mark is None or not mark.ended:
                found.append(folder)
    return found


def _once(filters: Iterable[Filter]) -> list[Filter]:
    return list(dict.fromkeys(filters))
