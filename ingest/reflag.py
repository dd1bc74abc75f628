"""What is learnt about a night's readings when it is over, written as dated re-flag rows.

Each run computes what the flags should be, from the flags that readings came with and the whole night, and writes the
difference to what is known. So a second run writes nothing, and a run after late readings came corrects the first.
Rows carry the city time at which they were learnt: pages that closed before do not know them and replay unchanged.

    store/readings/night=.../reflags-*.parquet  the rows
    store/readings/reflagged.json               when each night was looked at, and what was found
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ingest import lamp_faults
from ingest.archive import add_reflags, night_records, nights, read_manifest
from ingest.hindsight import RULED, found, in_order_bits, judged_in_order
from ingest.hindsight import Night as Whole
from ingest.night_files import REFLAG, Reflags
from ingest.usual_nights import CODES, WEEKS, WEEKS_LEAST, hours, unusual
from sensors.city import City
from sensors.clock import city_clock
from sensors.flags import TEXTS, Flag, names, roll_up
from sensors.journal import read_journal
from sensors.night import Night, rfc3339
from sensors.reading import Records

Flags = npt.NDArray[np.uint16]

RULES = 2  # raised when a rule changes, so that the last nights are looked at again
LOOK_BACK = 14  # nights; older ones are looked at again only when asked for
AGAIN = np.timedelta64(24, "h")  # how soon a night is looked at again when late readings have come
AFTER = np.timedelta64(2, "h")  # of the next night that is needed to judge the last readings of one
# What is wrong with the lamp; a voltage is the supply's, a wrong asset the inventory's, silence has no readings.
LAMP_KINDS = frozenset(
    {
        lamp_faults.DEAD,
        lamp_faults.PARTIAL,
        lamp_faults.DAY_BURNER,
        lamp_faults.STUCK,
        lamp_faults.CYCLING,
        lamp_faults.OUTAGE,
    }
)


@dataclass(frozen=True)
class Reflagged:
    """What a run found: how many readings it looked at, and how many get or lose each flag."""

    night: str
    readings: int
    rows: Reflags = field(repr=False)
    reasons: list[str] = field(repr=False)
    added: dict[str, int]
    removed: dict[str, int]
    qartod: dict[str, int]  # readings by QARTOD word, with what was found
    dated: np.datetime64
    written: bool

    def to_dict(self) -> dict[str, Any]:
        """For a machine to read."""
        return {
            "night": self.night,
            "readings": self.readings,
            "rows": len(self.rows),
            "added": self.added,
            "removed": self.removed,
            "qartod": self.qartod,
            "dated": rfc3339(self.dated),
            "written": self.written,
        }

    def sentence(self) -> str:
        """For a person."""
        changes = [f"{count:,} {name}" for name, count in self.added.items()]
        changes += [f"{count:,} no longer {name}" for name, count in self.removed.items()]
        what = ", ".join(changes) if changes else "nothing new"
        return f"night of {self.night}: {self.readings:,} readings, {what}{'' if self.written else ' (not written)'}"


def reflag(city: City, night: Night | date | str, *, dry_run: bool = False) -> Reflagged:
    """Look at a whole night and keep what is learnt; with `dry_run` say it only."""
    whole = night if isinstance(night, Night) else Night.named(str(night), city.zone)
    number = read_manifest(city).number
    came = night_records(city, whole, reflagged=False)
    known = night_records(city, whole)["flags"] if len(came) else np.zeros(0, np.uint16)
    wanted = _wanted(city, whole, came)
    if len(known) != len(came):  # a reading came between the two looks
        known = came["flags"]
    added, removed = wanted & ~known, known & ~wanted
    changed = np.flatnonzero(added | removed)
    rows = np.zeros(len(changed), REFLAG)
    for name in ("site", "quantity", "boot", "seq", "part", "time", "duration_s"):
        rows[name] = came[name][changed]
    rows["flags_added"], rows["flags_removed"] = added[changed], removed[changed]
    # What is learnt cannot be older than the readings it was learnt from.
    now = city_clock(city.path).now()
    rows["dated"] = dated = max(now, came["received"].max()) if len(came) else now
    reasons = _reasons(rows)
    if not dry_run:
        add_reflags(city, whole, rows, reasons)
        _log(city, whole.name, {"dated": rfc3339(dated), "number": number, "rules": RULES, "rows": len(rows)})
    return Reflagged(
        whole.name,
        len(came),
        rows,
        reasons,
        _counted(rows["flags_added"]),
        _counted(rows["flags_removed"]),
        _words(wanted),
        dated,
        not dry_run,
    )


def due(city: City, now: np.datetime64) -> list[str]:
    """Nights that are over and were not looked at since: the oldest first, none older than LOOK_BACK nights."""
    logged = _read_log(city)
    manifest = read_manifest(city)
    newest: dict[str, int] = {}
    for file in manifest.files:
        newest[file.night] = max(newest.get(file.night, 0), file.number)
    names_due = []
    for name in sorted(newest)[-LOOK_BACK - 1 :]:
        night = Night.named(name, city.zone)
        if now < night.end + AFTER or now > night.end + np.timedelta64(LOOK_BACK, "D"):
            continue
        last = logged.get(name)
        if last is not None and last["rules"] == RULES:
            since = now - np.datetime64(last["dated"].rstrip("Z"), "ms")
            if newest[name] <= last["number"] or since < AGAIN:
                continue
        names_due.append(name)
    return names_due


def reflag_due(city: City, say: Callable[[str], None] | None = None) -> list[Reflagged]:
    """Look at one night that is due, if there is one: for the compactor to call after each compaction."""
    done = [reflag(city, name) for name in due(city, city_clock(city.path).now())[:1]]
    for one in done:
        if say is not None:
            say(one.sentence())
    return done


def _wanted(city: City, night: Night, came: Records) -> Flags:
    """The flags that readings of a night should have."""
    if not len(came):
        return np.zeros(0, np.uint16)
    ruled = np.flatnonzero(np.isin(came["quantity"], RULED))
    before = night_records(city, night.previous(), reflagged=False, quantities=RULED)
    after = night_records(city, night.next(), reflagged=False, quantities=RULED)
    after = after[after["time"] <= night.end + AFTER]
    whole = Whole.of_records(np.concatenate([came[ruled], before, after]))
    mine = whole.of < len(ruled)
    own = ruled[whole.of[mine]]
    bits = np.zeros(len(came), np.uint16)
    bits[own] = found(whole, city.centre_lonlat())[mine]
    wanted: Flags = came["flags"].copy()
    again, in_order = judged_in_order(whole)
    judged = ruled[whole.of[mine & again]]
    wanted[judged] = (wanted[judged] & ~in_order_bits()) | in_order[mine & again]
    return wanted | bits | _unusual(city, night, came) | _lamps(city, night, came)


def _lamps(city: City, night: Night, came: Records) -> Flags:
    """LAMP on what a controller says while its lamp is at fault."""
    bits = np.zeros(len(came), np.uint16)
    sites, lamps = city.places("sites"), city.places("lamps")
    until = min(night.end, came["time"][(came["flags"] & np.uint16(Flag.CLOCK)) == 0].max(initial=night.start))
    faults = lamp_faults.find(came, sites, lamps, until=until, lonlat=city.centre_lonlat())
    spans: dict[int, list[tuple[np.datetime64, np.datetime64]]] = {}
    for fault in faults:
        if fault.kind in LAMP_KINDS:
            ended = night.end if np.isnat(fault.until) else fault.until
            for number in fault.sites:
                spans.setdefault(number, []).append((fault.since, ended))
    if not spans:
        return bits
    rows = np.flatnonzero(np.isin(came["site"], list(spans)))
    order = rows[np.argsort(came["site"][rows], kind="stable")]
    site = came["site"][order]
    for number, its in spans.items():
        mine = order[slice(*np.searchsorted(site, [number, number + 1]))]
        time = came["time"][mine]
        for since, ended in its:
            # The first report that shows the fault is one of it, the first that no longer does is not.
            bits[mine[(time >= since) & (time < ended)]] |= np.uint16(Flag.LAMP)
    return bits


def _unusual(city: City, night: Night, came: Records) -> Flags:
    bits = np.zeros(len(came), np.uint16)
    if _eventful(city, night):
        return bits
    held = set(nights(city))
    weeks = [night.date - timedelta(days=7 * week) for week in range(1, WEEKS + 1)]
    earlier = [Night(day, city.zone) for day in weeks if day in held]
    earlier = [one for one in earlier if not _eventful(city, one)]
    if len(earlier) < WEEKS_LEAST:
        return bits
    lonlat = city.centre_lonlat()
    past = [hours(night_records(city, one, reflagged=False, quantities=CODES), one.start, lonlat) for one in earlier]
    sites = city.places("sites")
    points = np.column_stack([sites.geometry.x, sites.geometry.y]).reshape(-1, 2)
    strange = unusual(hours(came, night.start, lonlat), past, sites["site"].to_numpy(np.int64), points)
    bits[strange.climatology] |= np.uint16(Flag.CLIMATOLOGY)
    bits[strange.neighbour] |= np.uint16(Flag.NEIGHBOUR)
    return bits


def _eventful(city: City, night: Night) -> bool:
    """Whether the journal has an event in a night: it is meant to be unlike others."""
    journal = read_journal(city)
    events = journal[(journal["kind"] == "event") & (journal["status"] != "dropped")]
    begin = events["start_time"].to_numpy("datetime64[ms]")
    end = events["end_time"].to_numpy("datetime64[ms]")
    end = np.where(np.isnat(end), begin, end)
    return bool(np.any((begin < night.end) & (end >= night.start)))


def _reasons(rows: Reflags) -> list[str]:
    """A sentence for each row, of the bits that it changes."""
    texts: dict[tuple[int, int], str] = {}
    pairs = list(zip(rows["flags_added"].tolist(), rows["flags_removed"].tolist(), strict=True))
    for added, removed in set(pairs):
        said = [TEXTS[flag] for flag in Flag if added & flag]
        said += [f"no longer: {TEXTS[flag]}" for flag in Flag if removed & flag]
        texts[added, removed] = "; ".join(said)
    return [texts[pair] for pair in pairs]


def _counted(bits: Flags) -> dict[str, int]:
    counted = {names(int(flag))[0]: int(np.count_nonzero(bits & np.uint16(flag))) for flag in Flag}
    return {name: count for name, count in counted.items() if count}


def _words(flags: Flags) -> dict[str, int]:
    told = Counter(roll_up(flags).tolist())
    return {name: told.get(word, 0) for name, word in (("good", 1), ("suspect", 3), ("fail", 4))}


def _log_path(city: City) -> Any:
    return city.shelf("readings", "reflagged.json")


def _read_log(city: City) -> dict[str, dict[str, Any]]:
    try:
        logged: dict[str, dict[str, Any]] = msgspec.json.decode(_log_path(city).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return {}  # only a shortcut: without it nights are looked at once more, which writes nothing new
    return logged


def _log(city: City, night: str, entry: dict[str, Any]) -> None:
    path = _log_path(city)
    logged = _read_log(city) | {night: entry}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".json.new")
    with beside.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(logged), indent=1))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
