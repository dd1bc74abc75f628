"""How ingest is doing, for people and for the page: what it last said, and which sites have fallen silent.

`store/health/ingest.json` is replaced about once a second while an ingest runs. On a full disk it is written over in
place, because that is when it has something to say.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ingest.archive import night_records, nights
from ingest.log import DEAD, Message, read_frames, segment_path, segments
from sensors.city import City
from sensors.clock import city_clock
from sensors.flags import Flag, usable
from sensors.night import night_of
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
    """What ingest says about itself: state ('connected', 'retrying' or 'stopped'), counts, reasons, one sentence."""
    path = health_path(city)
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


def write_health(city: City, health: dict[str, Any]) -> None:
    """Replace what ingest says about itself; a disk without room for that is no reason to stop."""
    path = health_path(city)
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


def health_path(city: City) -> Path:
    """The file in which ingest says how it is doing."""
    return city.shelf("health", "ingest.json")


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
    rows = table.loc[in_use, ["site", "device", "quantity", "origin"]].reset_index(drop=True)
    known = _last_known(city, set(rows["site"].astype(int)), [tonight.date, tonight.previous().date])
    states = [_site_state(known[known["site"] == site], current, int(site), now) for site in rows["site"]]
    return pd.concat([pd.DataFrame(rows), pd.DataFrame(states, columns=_STATE)], axis=1)


def _last_known(city: City, sites: set[int], always: list[date]) -> Records:
    """The readings of some nights, and of earlier ones for as long as there are sites that were not heard in them."""
    parts = [night_records(city, night) for night in always]
    silent = sites - {int(site) for part in parts for site in np.unique(part["site"])}
    others = [night for night in reversed(nights(city)) if night not in always] if silent else []
    for night in others[:LOOK_BACK]:
        records = night_records(city, night)
        parts.append(records[np.isin(records["site"], sorted(silent))])
        silent -= {int(site) for site in np.unique(records["site"])}
        if not silent:
            break
    return np.concatenate([empty_records(), *parts])


def _site_state(records: Records, current: Records, site: int, now: np.datetime64) -> dict[str, Any]:
    tonight = current[current["site"] == site]
    state: dict[str, Any] = {
        "readings": len(tonight),
        "failed": int(np.count_nonzero(~usable(tonight["flags"]))),
    }
    if not len(records):
        never = np.datetime64("NaT", "ms")
        return {"last": never, "received": never, "value": np.nan, "flags": 0, "silent": True, "late": False} | state
    last = records[np.argmax(records["received"])]
    arrivals = np.unique(records["received"])
    rhythm = np.median(np.diff(arrivals)) if len(arrivals) > 2 else np.timedelta64(0, "ms")
    patience = max(SILENT_AT_LEAST, rhythm * SILENT_INTERVALS)
    return {
        "last": last["time"],
        "received": last["received"],
        "value": float(last["value"]),
        "flags": int(last["flags"]),
        "silent": bool(now - last["received"] > patience),
        "late": bool(last["flags"] & int(Flag.LATE)),
    } | state


def dead_letters(city: City) -> Iterator[Message]:
    """Every refused message that the log still holds, oldest first within a shard, with its reason."""
    for shard in sorted(path for path in city.shelf("log").glob("*") if path.is_dir()):
        for number in segments(shard):
            for frame in read_frames(segment_path(shard, number)):
                if frame.kind == DEAD:
                    yield from frame.messages()
