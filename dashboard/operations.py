"""How the service is doing, for who looks after it: what stands in the files of each process, and what follows from it.

Nothing here reads a reading, an answer or what a refused message held. What takes a while (disk, silent sites, refused
messages) is measured in a thread and kept; a page that asks meanwhile gets what was measured last, with its time.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np

from analytics import atlas
from analytics import model as model_shelf
from dashboard.desk_tables import desk_tables
from dashboard.shelf_sizes import ShelfSizes, shelf_sizes
from ingest import manifest
from ingest.health import health_path, read_health, site_health
from ingest.refused_recently import RefusedRecently, as_dicts
from sensors import city as city_folder
from sensors.city import City, review_passed
from sensors.clock import Clock
from sensors.errors import NoctuleError
from sensors.night import night_of, parse_rfc3339

Told = dict[str, Any]

STALE_S = 15.0  # without a word from the mapper, which speaks once a second while it runs
LAG_S = 300.0  # the mapper this far behind is no longer live
QUIET_S = 900.0  # connected, and no message for so long in city time
SHOWN = 20  # silent sites on the page
PACKAGES = ("noctule", "numpy", "numba", "xarray", "zarr", "pyarrow", "paho-mqtt", "dash", "dash-leaflet", "fastapi",
            "uvicorn")  # fmt: skip
_RATES_OVER_S = 60.0
_KEPT_S = {"disk": 300.0, "sites": 60.0, "refused": 30.0}
_LARGEST_HEALTH = 1_000_000


@dataclass(frozen=True)
class Finding:
    """Something to look at: `code` names its two sentences, what is so and what would do."""

    code: str
    grave: bool
    values: Told = field(default_factory=dict)


@dataclass
class _Measured:
    value: Any = None
    at: float = -1e9  # monotonic
    wall: str = ""
    running: bool = False
    failed: str = ""


class OperationsDesk:
    """Measures and remembers for one server process."""

    def __init__(self) -> None:
        self.listening: Callable[[], int] = lambda: 0
        self._lock = threading.Lock()
        self._measured = {name: _Measured() for name in _KEPT_S}
        self._counts: deque[tuple[float, dict[str, int]]] = deque(maxlen=120)
        self._disks: tuple[float, ShelfSizes] | None = None  # the first one measured
        self._refusals: RefusedRecently | None = None
        self._began = time.monotonic()

    def state(self, city: City, clock: Clock, *, wait: bool = False) -> Told:
        """All of it as plain values; `wait` measures at once instead of in a thread."""
        now = clock.now()
        for name in _KEPT_S:
            self._measure(name, city, now, wait)
        told: Told = {
            "time": str(now) + "Z",
            "clock": {"simulated": clock.simulated, "speed": clock.speed},
            "ingest": self._ingest(city, now),
            "mapper": _mapper(city),
            "refused": self._told("refused"),
            "sites": self._told("sites"),
            "disk": self._told("disk"),
            "desk": desk_tables(city),
            "web": self._web(),
            "versions": versions(city),
        }
        told["findings"] = [asdict(one) for one in findings(told, city, now)]
        return told

    def _told(self, name: str) -> Told:
        kept = self._measured[name]
        value = {} if kept.value is None else kept.value
        return {"measured": kept.wall, "failed": kept.failed} | value

    def _measure(self, name: str, city: City, now: np.datetime64, wait: bool) -> None:
        kept = self._measured[name]
        with self._lock:
            if kept.running or time.monotonic() - kept.at < _KEPT_S[name]:
                return
            kept.running = True
        work = threading.Thread(target=self._work, args=(name, city, now), name=f"measure-{name}", daemon=True)
        work.start()
        if wait:
            work.join()

    def _work(self, name: str, city: City, now: np.datetime64) -> None:
        kept = self._measured[name]
        try:
            kept.value = {"disk": self._disk, "sites": _sites, "refused": self._refused}[name](city, now)
            kept.failed, kept.wall = "", _wall()
        except (NoctuleError, OSError, ValueError, KeyError, TypeError) as error:
            kept.failed = _plain(error)
        finally:
            kept.at, kept.running = time.monotonic(), False

    def _ingest(self, city: City, now: np.datetime64) -> Told:
        """What ingest says of itself, how fresh that is, and how fast messages come."""
        try:
            said = read_health(city)
            counts = {name: int(count) for name, count in said.get("counts", {}).items()}
            state = str(said["state"])
        except (NoctuleError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return {"state": "unreadable", "sentence": _plain(error), "file": str(health_path(city))}
        last = said.get("last_received")
        return {
            "state": state if health_path(city).is_file() or said.get("each") else "never",
            "sentence": _plain(said.get("sentence", "")),
            "broker": bare_address(str(said.get("broker", "") or city.settings.broker.url)),
            "since": said.get("since"),
            "last_received": last,
            "quiet_s": None if not last else _seconds(now, str(last)),
            "counts": counts,
            "rates": self._rates(counts),
            "refused_by_reason": said.get("refused_by_reason", {}),
            "devices_online": said.get("devices_online"),
            "reconnects": said.get("reconnects"),
            "holding": bool(said.get("holding", False)),
            "waiting": said.get("waiting", {}),
            "receiver": said.get("receiver", ""),
            "silent_s": _age(health_path(city)),
            "shards": [_shard(one) for one in said.get("each", [])],
            "newest_segment": _newest_segment(city),
        }

    def _rates(self, counts: dict[str, int]) -> dict[str, float]:
        """Messages and readings a second over the last minute that somebody looked; empty until there are two looks."""
        now = time.monotonic()
        with self._lock:
            if self._counts and any(counts.get(name, 0) < count for name, count in self._counts[-1][1].items()):
                self._counts.clear()  # ingest began anew
            if not self._counts or now - self._counts[-1][0] >= 1.0:
                self._counts.append((now, counts))
            while len(self._counts) > 2 and now - self._counts[1][0] > _RATES_OVER_S:
                self._counts.popleft()
            first, last = self._counts[0], self._counts[-1]
        if last[0] - first[0] < 1.0:
            return {}
        return {
            name: round((last[1].get(name, 0) - first[1].get(name, 0)) / (last[0] - first[0]), 2)
            for name in ("received", "stored", "refused")
        }

    def _refused(self, city: City, now: np.datetime64) -> Told:
        if self._refusals is None:
            self._refusals = RefusedRecently(city)
        rows = as_dicts(self._refusals.look(now))
        return {
            "kinds": rows,
            "hour": sum(row["hour"] for row in rows),
            "day": sum(row["day"] for row in rows),
            "whole_log": self._refusals.whole,
        }

    def _disk(self, city: City, _now: np.datetime64) -> Told:
        sizes = shelf_sizes(city)
        if self._disks is None:
            self._disks = (time.monotonic(), sizes)
        began, first = self._disks
        hours = (time.monotonic() - began) / 3600
        grown = sum(sizes.shelves.values()) - sum(first.shelves.values())
        return {
            "free_bytes": sizes.free,
            "whole_bytes": sizes.whole,
            "low": sizes.low,
            "shelves": sizes.shelves,
            "night_bytes": sizes.night,
            "all_counted": sizes.counted,
            "grown_bytes": grown if hours > 0 else None,
            "grown_hours": round(hours, 2),
        }

    def _web(self) -> Told:
        return {
            "process": os.getpid(),
            "since_s": round(time.monotonic() - self._began),
            "listening": self.listening(),
            "memory_bytes": _memory(),
            "threads": threading.active_count(),
        }


def findings(told: Told, city: City, now: np.datetime64) -> list[Finding]:
    """What somebody should look at, the gravest first; empty when all is well."""
    ingest, mapper, disk = told["ingest"], told["mapper"], told["disk"]
    found = [*_of_ingest(ingest), *_of_mapper(mapper, ingest)]
    if disk.get("low"):
        found.append(Finding("disk-low", True, {"bytes": disk["free_bytes"]}))
    if told["refused"].get("hour"):
        found.append(Finding("refused", False, {"count": told["refused"]["hour"]}))
    if told["sites"].get("silent"):
        found.append(Finding("silent", False, {"count": told["sites"]["silent"], "of": told["sites"]["sites"]}))
    found += [Finding("unmeasured", False, {"what": name}) for name in _KEPT_S if told[name]["failed"]]
    if told["desk"]["unread"]:
        found.append(Finding("desk-unread", True))
    if review_passed(city.settings, night_of(now, city.zone).date):
        found.append(Finding("review", False, {"day": city.settings.purpose.review}))
    if not city.settings.purpose.uses:
        found.append(Finding("purpose", False))
    return sorted(found, key=lambda one: not one.grave)


def _of_ingest(ingest: Told) -> list[Finding]:
    state = ingest["state"]
    if state in ("unreadable", "never"):
        return [Finding(f"ingest-{state}", True)]
    if state == "stopped":
        stuck = (ingest.get("silent_s") or 0.0) > STALE_S and "nothing for" in ingest["sentence"]
        return [Finding("ingest-stuck" if stuck else "ingest-stopped", True)]
    if ingest["holding"]:
        return [Finding("ingest-holding", True)]
    if state != "connected":
        return [Finding("ingest-retrying", True)]
    if (ingest.get("quiet_s") or 0.0) > QUIET_S:
        return [Finding("ingest-quiet", False, {"seconds": ingest["quiet_s"]})]
    return [] if str(ingest.get("receiver", "")) in ("", "fast") else [Finding("receiver", False)]


def _of_mapper(mapper: Told, ingest: Told) -> list[Finding]:
    state = mapper["state"]
    if state in ("never", "unreadable", "stopped", "trouble", "no-model"):
        return [Finding(f"mapper-{state}", state != "no-model")]
    if (mapper.get("silent_s") or 0.0) > STALE_S:
        return [Finding("mapper-stuck", True)]
    late = (mapper.get("lag_s") or 0.0) > LAG_S and ingest["state"] == "connected"
    return [Finding("mapper-lag", False, {"seconds": mapper["lag_s"]})] if late else []


def versions(city: City) -> Told:
    """What runs here, and in which formats the shelves are kept beside those that this version reads."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    lock = Path(__file__).parents[1] / "requirements.lock"
    formats = {
        "city.toml": (city.settings.format, city_folder.FORMAT),
        "store/readings": (_format(manifest.manifest_path(city)), manifest.FORMAT),
        "store/model": (_model_format(city), model_shelf.FORMAT),
        "store/atlas": (_format(city.shelf("atlas", "now", "current.json")), atlas.FORMAT),
    }
    return {
        "python": platform.python_version(),
        "packages": packages,
        "lock": sha256(lock.read_bytes()).hexdigest()[:12] if lock.is_file() else "",
        "formats": {name: {"found": found, "reads": reads} for name, (found, reads) in formats.items()},
    }


def bare_address(url: str) -> str:
    """An address without a name or a password in it.

    >>> bare_address("mqtts://city:secret@broker.example.org:8883/x?token=1")
    'mqtts://broker.example.org:8883'
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "?"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}" if host else "?"


def _mapper(city: City) -> Told:
    """What the mapper says of itself, and the model behind its newest page."""
    path = city.shelf("health", "map.json")
    try:
        said = _object(path)
    except FileNotFoundError:
        return {"state": "never", "sentence": ""}
    except (OSError, ValueError) as error:
        return {"state": "unreadable", "sentence": _plain(error)}
    try:
        meta = atlas.now_meta(city) or {}
    except NoctuleError:
        meta = {}
    return {
        "state": str(said.get("state", "")),
        "sentence": _plain(said.get("sentence", "")),
        "step": said.get("step"),
        "lag_s": _number(said.get("lag_s")),
        "last_render_ms": _number(said.get("last_render_ms")),
        "message_to_page_p95_s": _number(said.get("message_to_page_p95_s")),
        "written": said.get("written"),
        "silent_s": _age(path),
        "model": meta.get("model", ""),
        "page": meta.get("version"),
        "code": str(meta.get("code", "")),
    }


def _sites(city: City, _now: np.datetime64) -> Told:
    """Which sites are silent, late, or sent only what is not used."""
    table = site_health(city)
    faulty = (table["readings"] > 0) & (table["failed"] == table["readings"])
    silent = table[table["silent"]]
    last = silent["last"].to_numpy().astype("datetime64[s]")
    rows = [
        {"site": int(str(row.site)), "device": str(row.device), "quantity": str(row.quantity),
         "last": "" if np.isnat(at) else f"{at}Z"}
        for row, at in zip(silent.head(SHOWN).itertuples(), last, strict=False)
    ]  # fmt: skip
    return {
        "sites": len(table),
        "silent": len(silent),
        "late": int(table["late"].sum()),
        "faulty": int(faulty.sum()),
        "by_quantity": {str(name): int(n) for name, n in silent.groupby("quantity").size().items()},
        "first_silent": rows,
    }


def _newest_segment(city: City) -> Told:
    """The newest file of the log, over all shards."""
    newest: tuple[float, str, int] | None = None
    for path in city.shelf("log").glob("*/*.seg"):
        try:
            status = path.stat()
        except OSError:
            continue
        if newest is None or status.st_mtime > newest[0]:
            newest = (status.st_mtime, f"{path.parent.name}/{path.name}", status.st_size)
    if newest is None:
        return {}
    return {"name": newest[1], "bytes": newest[2], "written": _wall(newest[0])}


def _shard(one: Told) -> Told:
    counts = one.get("counts", {})
    return {
        "shard": str(one.get("shard", "")),
        "state": str(one.get("state", "")),
        "received": int(counts.get("received", 0)),
        "refused": int(counts.get("refused", 0)),
        "sentence": _plain(one.get("sentence", "")),
    }


def _object(path: Path) -> Told:
    """A small JSON file that holds an object; ValueError where it does not."""
    if path.stat().st_size > _LARGEST_HEALTH:
        raise ValueError(f"{path.name} has more than {_LARGEST_HEALTH} bytes")
    content = msgspec.json.decode(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no object")
    return content


def _format(path: Path) -> int | None:
    """The format that a shelf's small file tells; None where there is none to read."""
    try:
        found = _object(path).get("format")
    except (OSError, ValueError):
        return None
    return found if isinstance(found, int) else None


def _model_format(city: City) -> int | None:
    try:
        digest = str(_object(city.shelf("model", "current.json"))["digest"])
        with city.shelf("model", Path(digest).name, "model.json").open("rb") as file:
            head = file.read(64)  # {"format": 3, ... megabytes of numbers
        return int(json.loads(head[head.index(b"{") : head.index(b",")] + b"}")["format"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _seconds(now: np.datetime64, time_: str) -> float | None:
    try:
        return float((now - parse_rfc3339(time_)) / np.timedelta64(1, "s"))
    except ValueError:
        return None


def _age(path: Path) -> float | None:
    try:
        return max(time.time() - path.stat().st_mtime, 0.0)
    except OSError:
        return None


def _memory() -> int | None:
    """Resident memory of this process; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _wall(at: float | None = None) -> str:
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _plain(text: Any) -> str:
    """A stranger's sentence on one line, and no more of it than a page has room for."""
    return "".join(sign if sign.isprintable() else " " for sign in str(text))[:400]
