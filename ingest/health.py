"""How ingest is doing, for people and for the page: what it last said, and which sites have fallen silent.

`store/health/ingest.json` is replaced about once a second while an ingest runs, `ingest-1.json` by its shard 1. On a
full disk it is written over in place, because that is when it has something to say.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.archive import night_records, nights
from sensors.city import City
from sensors.clock import city_clock
from sensors.flags import Flag, usable
from sensors.night import Night, night_of
from sensors.reading import Records, empty_records
from sensors.register import SiteRegister

if TYPE_CHECKING:
    import pandas as pd

STALE_S = 5.0  # seconds without a word after which an ingest is taken for dead
LOOK_BACK = 14  # nights; a site that was silent for longer is not worth reading all years for
SILENT_INTERVALS = 3  # missed reports of its own rhythm after which a site is silent
SILENT_AT_LEAST = np.timedelta64(20, "m")  # no site is called silent sooner, city time
_STATE = ("last", "received", "value", "flags", "readings", "failed", "silent", "late")
_NEVER: dict[str, Any] = {
    "state": "stopped",
    "broker": "",
    "since": None,
    "last_received": None,
    "counts": {"received": 0, "stored": 0, "refused": 0, "duplicates": 0},
    "refused_by_reason": {},
    "devices_online": 0,
    "sentence": "ingest has never run for this city; start it with 'noctule ingest'",
}


def read_health(city: City) -> dict[str, Any]:
    """What ingest says about itself: state ('connected', 'retrying' or 'stopped'), counts, reasons, one sentence.

    Of several shards (`shards`) the counts are summed, the state is the worst one, and `each` lists what each says. A
    shard that stopped and that the city has no more, since it is divided otherwise now, is left out.
    """
    first = _read_one(health_path(city))
    shards = first.get("shards", 1)
    said = [first]
    for path in city.shelf("health").glob("ingest-*.json"):
        other = _read_one(path)
        number = path.stem.partition("-")[2]
        if number.isdigit() and (int(number) < shards or other["state"] != "stopped"):
            said.append(other)
    said += [_never(number) for number in range(1, shards) if not health_path(city, number).is_file()]
    said[1:] = sorted(said[1:], key=lambda health: int(health.get("shard", 0)))
    return said[0] if len(said) == 1 else _merged(said)


def _never(shard: int) -> dict[str, Any]:
    return _NEVER | {"shard": str(shard), "sentence": f"shard {shard} has never run; start it"}


def write_health(city: City, health: dict[str, Any], shard: int = 0) -> None:
    """Replace what a shard of ingest says about itself; a disk without room for that is no reason to stop."""
    path = health_path(city, shard)
    content = msgspec.json.encode(health)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".json.new")
        beside.write_bytes(content)
        beside.replace(path)
    except OSError:
        try:
            descriptor = os.open(path, os.O_WRONLY)
        except OSError:
            return
        try:
            os.pwrite(descriptor, content, 0)
            os.ftruncate(descriptor, len(content))
        except OSError:
            pass  # not even the blocks it has: the reader sees that we have fallen silent
        finally:
            os.close(descriptor)


def health_path(city: City, shard: int = 0) -> Path:
    """The file in which a shard of ingest says how it is doing; that of shard 0 is `ingest.json`."""
    return city.shelf("health", f"ingest-{shard}.json" if shard else "ingest.json")


def _read_one(path: Path) -> dict[str, Any]:
    for _attempt in range(3):
        try:
            health: dict[str, Any] = msgspec.json.decode(path.read_bytes())
            silent_s = time.time() - path.stat().st_mtime
            break
        except FileNotFoundError:
            return dict(_NEVER)
        except msgspec.DecodeError:
            time.sleep(0.02)  # read while it was written over in place
    else:
        return _NEVER | {"sentence": f"{path.name} cannot be read; the disk may be full"}
    if health["state"] != "stopped" and silent_s > STALE_S:
        health["state"] = "stopped"
        health["sentence"] = f"ingest has said nothing for {silent_s:.0f} s; it was killed or is stuck"
    return health


def _merged(said: list[dict[str, Any]]) -> dict[str, Any]:
    """One answer for all shards."""
    order = ("stopped", "retrying", "connected")
    reasons: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for health in said:
        reasons.update(health.get("refused_by_reason", {}))
        counts.update(health.get("counts", {}))
    states = [health["state"] for health in said]
    last = [health["last_received"] for health in said if health.get("last_received")]
    since = [health["since"] for health in said if health.get("since")]
    sentences: dict[str, list[str]] = {}
    for index, health in enumerate(said):
        sentences.setdefault(health["sentence"], []).append(str(health.get("shard", index)))
    parts = [f"shard {', '.join(names)}: {sentence}" for sentence, names in sentences.items()]
    return said[0] | {
        "state": min(states, key=order.index),
        "since": min(since, default=None),
        "last_received": max(last, default=None),
        "counts": dict(counts),
        "refused_by_reason": dict(reasons.most_common()),
        "devices_online": sum(health.get("devices_online", 0) for health in said),
        "reconnects": sum(health.get("reconnects", 0) for health in said),
        "holding": any(health.get("holding", False) for health in said),
        "sentence": said[0]["sentence"] if len(sentences) == 1 else "; ".join(parts),
        "each": said,
    }


def site_health(city: City) -> pd.DataFrame:
    """One row a site that is in use now: its last reading, whether it is silent or late.

    Columns: site, device, quantity, origin, last (UTC), received (UTC), value, flags, readings (tonight), failed
    (tonight), silent, late. A site is silent when it has missed three reports of its own rhythm, or never spoke. The
    last reading is looked for in the last LOOK_BACK nights that have any, however long ago they were.
    """
    import pandas as pd

    now = city_clock(city.path).now()
    tonight = night_of(now, city.zone)
    current = night_records(city, tonight)
    table = SiteRegister.load(city).table
    moment = pd.Timestamp(now)
    in_use = (table["valid_from"].isna() | (table["valid_from"] <= moment)) & (
        table["valid_to"].isna() | (table["valid_to"] > moment)
    )
    rows = pd.DataFrame(table.loc[in_use, ["site", "device", "quantity", "origin"]].reset_index(drop=True))
    sites = rows["site"].to_numpy(np.int64)
    known = _last_known(city, set(sites.tolist()), tonight, current)
    return pd.concat([rows, pd.DataFrame(_states(known, current, sites, now), columns=_STATE)], axis=1)


def _last_known(city: City, sites: set[int], tonight: Night, current: Records) -> Records:
    """The readings of two nights, and of earlier ones for as long as there are sites that were not heard in them."""
    before = tonight.previous()
    parts = [current, night_records(city, before)]
    silent = sites - {int(site) for part in parts for site in np.unique(part["site"])}
    others = [night for night in reversed(nights(city)) if night not in (tonight.date, before.date)] if silent else []
    for night in others[:LOOK_BACK]:
        records = night_records(city, night)
        parts.append(records[np.isin(records["site"], sorted(silent))])
        silent -= {int(site) for site in np.unique(records["site"])}
        if not silent:
            break
    return np.concatenate([empty_records(), *parts])


def _states(known: Records, current: Records, sites: npt.NDArray[np.int64], now: np.datetime64) -> dict[str, Any]:
    """The columns _STATE for `sites`, from what is known of them and what came tonight."""
    n = len(sites)
    by_number = np.argsort(sites, kind="stable")

    def row_of(records: Records) -> npt.NDArray[np.int64]:
        """The row of each record's site, -1 for sites that are not asked for."""
        if not n:
            return np.full(len(records), -1)
        at = np.minimum(np.searchsorted(sites[by_number], records["site"]), n - 1)
        return np.where(sites[by_number][at] == records["site"], by_number[at], -1)

    tonight = row_of(current)
    mine = tonight >= 0
    readings = np.bincount(tonight[mine], minlength=n)
    failed = np.bincount(tonight[mine & ~usable(current["flags"])], minlength=n)
    row = row_of(known)
    known, row = known[row >= 0], row[row >= 0]
    received = known["received"].astype(np.int64)
    order = np.lexsort((known["time"].astype(np.int64), received, row))
    known, row, received = known[order], row[order], received[order]
    ends = np.flatnonzero(np.diff(row, append=-1)) if len(row) else np.zeros(0, np.int64)
    heard = row[ends]
    rhythm = _rhythm(row, received, n)
    patience = np.maximum(SILENT_AT_LEAST.astype("timedelta64[ms]").astype(np.int64), rhythm * SILENT_INTERVALS)
    last, came = np.full(n, "NaT", "datetime64[ms]"), np.full(n, "NaT", "datetime64[ms]")
    value, flags = np.full(n, np.nan), np.zeros(n, np.int64)
    last[heard], came[heard] = known["time"][ends], known["received"][ends]
    value[heard], flags[heard] = known["value"][ends], known["flags"][ends]
    silent = np.ones(n, bool)
    silent[heard] = (now.astype("datetime64[ms]").astype(np.int64) - received[ends]) > patience[heard]
    return {
        "last": last,
        "received": came,
        "value": value,
        "flags": flags,
        "readings": readings,
        "failed": failed,
        "silent": silent,
        "late": (flags & int(Flag.LATE)) != 0,
    }


def _rhythm(row: npt.NDArray[np.int64], received: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.float64]:
    """Median time between the arrivals of each row's readings, ms; 0 where fewer than three came."""
    fresh = (row[1:] == row[:-1]) & (received[1:] > received[:-1])
    apart, device = (received[1:] - received[:-1])[fresh], row[1:][fresh]
    order = np.lexsort((apart, device))
    apart = apart[order]
    count = np.bincount(device, minlength=n)
    begin = np.cumsum(count) - count
    rhythm = np.zeros(n)
    enough = np.flatnonzero(count >= 2)
    middle = begin[enough] + (count[enough] - 1) // 2
    other = begin[enough] + count[enough] // 2
    rhythm[enough] = (apart[middle] + apart[other]) / 2.0
    return rhythm
