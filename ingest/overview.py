"""What `noctule health` says of a city: the ingest, its sites, what is missing, contradicts itself or drifts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.archive import night_records
from ingest.drift import drift
from ingest.gaps import conflicts, gaps
from ingest.health import read_health, site_health
from sensors.city import City
from sensors.clock import city_clock
from sensors.flags import TEXTS, Flag
from sensors.night import Night, night_of
from sensors.reading import Records
from sensors.register import SiteRegister

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 20  # rows of a kind that a person is shown; --json has them all


@dataclass(frozen=True)
class Overview:
    """All of it, as tables.

    flagged : name of a flag -> how many of the night's readings have it
    drift : None where it was not asked for, since it reads four weeks
    """

    city: City
    night: Night
    said: dict[str, Any]
    sites: pd.DataFrame
    readings: int
    flagged: dict[str, int]
    gaps: pd.DataFrame
    conflicts: pd.DataFrame
    drift: pd.DataFrame | None

    def to_dict(self) -> dict[str, Any]:
        """For a machine: what ingest says of itself, and lists of the rows; described in docs/operations.md."""
        tables: dict[str, Any] = {
            "sites": _rows(self.sites),
            "gaps": _rows(self.gaps),
            "conflicts": _rows(self.conflicts),
        }
        if self.drift is not None:
            tables["drift"] = _rows(self.drift)
        return self.said | {"night": self.night.name, "readings": self.readings, "flagged": self.flagged} | tables

    def lines(self) -> list[str]:
        """For people."""
        said, sites = self.said, self.sites
        counts = said["counts"]
        lines = [
            f"{self.city.name}: {said['state']}, {said['sentence']}",
            f"  since {said['since'] or 'never'}: {counts.get('received', 0)} messages received, "
            f"{counts.get('stored', 0)} readings stored, {counts.get('duplicates', 0)} came twice, "
            f"{counts.get('refused', 0)} refused",
        ]
        lines += [f"  refused {times} times: {reason}" for reason, times in said["refused_by_reason"].items()]
        if not len(sites):
            return [*lines, "  no site is in use; add one with 'noctule site add'"]
        silent = sites[sites["silent"]]
        lines.append(f"  {len(sites)} sites in use, {len(silent)} silent, {int(sites['late'].sum())} late")
        if len(silent):
            lines += _indented(silent[["site", "device", "quantity", "last"]])
        if not self.readings:
            return [*lines, f"  no reading yet in the night of {self.night.name}", *self._drift_lines()]
        lines.append(f"  night of {self.night.name}: {self.readings} readings, {int(sites['failed'].sum())} failed")
        lines += [f"    {count} {name}: {_text(name)}" for name, count in self.flagged.items()]
        if len(self.gaps):
            parts = self.gaps.groupby("device", as_index=False).agg(
                missing=("missing", "sum"), gaps=("missing", "size"), since=("since", "min"), until=("until", "max")
            )
            lines.append(f"  {int(parts['missing'].sum())} message numbers of {len(parts)} devices never came")
            lines += _indented(parts.sort_values(["missing", "device"], ascending=[False, True]))
        if len(self.conflicts):
            lines.append(f"  {len(self.conflicts)} intervals were told twice, with different values")
            lines += _indented(self.conflicts[["site", "device", "quantity", "time", "lowest", "highest"]])
        return [*lines, *self._drift_lines()]

    def _drift_lines(self) -> list[str]:
        if self.drift is None:
            return []
        if not len(self.drift):
            return ["  drift: no site has nights enough"]
        suspects = self.drift[self.drift["suspect"]]
        lines = [f"  drift: {len(self.drift)} sites looked at, {len(suspects)} suspect"]
        return [
            *lines,
            *(f"    site {row.site} {row.device} {row.quantity}: {row.sentence}" for row in suspects.itertuples()),
        ]


def overview(city: City, *, site: int | None = None, device: str = "", drifting: bool = False) -> Overview:
    """How a city's sensing is doing now; of one site or one device where that is asked for."""
    night = night_of(city_clock(city.path).now(), city.zone)
    table = SiteRegister.load(city).table
    records = night_records(city, night)
    sites = site_health(city)
    moved = drift(city, night) if drifting else None
    if site is not None or device:
        meant = np.ones(len(table), bool)
        if site is not None:
            meant &= (table["site"] == site).to_numpy()
        if device:
            meant &= (table["device"] == device).to_numpy()
        numbers = table["site"].to_numpy(np.int64)[meant]
        # Message numbers are shared by all that a device sends.
        shared = table["device"].isin(set(table["device"][meant])).to_numpy()
        sent = records[np.isin(records["site"], table["site"].to_numpy(np.int64)[shared])]
        records = records[np.isin(records["site"], numbers)]
        sites = sites[sites["site"].isin(numbers)].reset_index(drop=True)
        moved = None if moved is None else moved[moved["site"].isin(numbers)].reset_index(drop=True)
    else:
        sent = records
    return Overview(
        city,
        night,
        read_health(city),
        sites,
        len(records),
        _flagged(records),
        gaps(sent, table),
        conflicts(records, table),
        moved,
    )


def _flagged(records: Records) -> dict[str, int]:
    counts = {str(flag.name).lower(): int(np.count_nonzero(records["flags"] & np.uint16(int(flag)))) for flag in Flag}
    return {name: count for name, count in counts.items() if count}


def _text(name: str) -> str:
    return TEXTS[Flag[name.upper()]]


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", date_format="iso"))
    return rows


def _indented(table: pd.DataFrame) -> list[str]:
    lines = [f"    {line}" for line in table.head(_SHOWN).to_string(index=False).splitlines()]
    return lines + ([f"    and {len(table) - _SHOWN} more; --json lists them all"] if len(table) > _SHOWN else [])
