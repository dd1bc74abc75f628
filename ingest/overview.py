"""What `noctule health` says of a city: the ingest, its sites, what is missing, contradicts itself or drifts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.archive import night_records
from ingest.dead_letters import printable
from ingest.drift import drift
from ingest.gaps import conflicts, gaps
from ingest.health import read_health, site_health
from sensors.city import City
from sensors.clock import city_clock
from sensors.errors import CityError
from sensors.flags import TEXTS, Flag, usable
from sensors.night import Night, night_of
from sensors.reading import Records
from sensors.register import SiteRegister

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 20  # rows of a kind that a person is shown; --json has them all


@dataclass(frozen=True)
class Overview:
    """All of it, as tables.

    of : the site or the device that was asked for; empty for the whole city
    failed : readings of the night that are not used
    flagged : name of a flag -> how many of the night's readings have it
    drift : None where it was not asked for, since it reads four weeks
    """

    city: City
    night: Night
    of: str
    said: dict[str, Any]
    sites: pd.DataFrame
    readings: int
    failed: int
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
        counts = {"night": self.night.name, "readings": self.readings, "failed": self.failed, "flagged": self.flagged}
        return self.said | counts | tables

    def lines(self) -> list[str]:
        """For people."""
        said, sites = self.said, self.sites
        lines = [f"{self.city.name}: {_once(said['state'], printable(said['sentence']))}"]
        if self.of:
            devices = sites["device"].unique()
            about = f" --device {devices[0]}" if len(devices) == 1 else ""
            lines.append(f"  of {self.of}; what was refused of it: noctule health {self.city.path} --dead{about}")
        else:
            lines += self._since_lines()
        if not len(sites):
            return [*lines, "  no site is in use; add one with 'noctule site add'"]
        silent = sites[sites["silent"]]
        lines.append(f"  {_many(len(sites), 'site')} in use, {len(silent)} silent, {int(sites['late'].sum())} late")
        if len(silent):
            lines += _indented(silent[["site", "device", "quantity", "last"]])
        simulated = " (SIMULATED)" if bool((sites["origin"] == "simulated").any()) else ""
        night = f"night of {self.night.name}{simulated}"
        if not self.readings:
            return [*lines, f"  no reading in the {night}", *self._drift_lines()]
        lines.append(f"  {night}: {_many(self.readings, 'reading')}, {self.failed} failed")
        lines += [f"    {count} {name}: {_text(name)}" for name, count in self.flagged.items()]
        return [*lines, *self._gap_lines(), *self._conflict_lines(), *self._drift_lines()]

    def _since_lines(self) -> list[str]:
        counts = self.said["counts"]
        first = (
            f"  since {self.said['since'] or 'never'}: {_many(counts.get('received', 0), 'message')} received, "
            f"{_many(counts.get('stored', 0), 'reading')} stored, {counts.get('duplicates', 0)} came twice, "
            f"{counts.get('refused', 0)} refused"
        )
        reasons = self.said["refused_by_reason"].items()
        return [first, *(f"  refused {_many(times, 'time')}: {printable(reason)}" for reason, times in reasons)]

    def _gap_lines(self) -> list[str]:
        if not len(self.gaps):
            return []
        parts = self.gaps.groupby("device", as_index=False).agg(
            missing=("missing", "sum"), gaps=("missing", "size"), since=("since", "min"), until=("until", "max")
        )
        missing = _many(int(parts["missing"].sum()), "message number")
        lines = [f"  {missing} of {_many(len(parts), 'device')} never came"]
        return lines + _indented(parts.sort_values(["missing", "device"], ascending=[False, True]))

    def _conflict_lines(self) -> list[str]:
        if not len(self.conflicts):
            return []
        lines = [f"  {_many(len(self.conflicts), 'interval')} told twice, with different values"]
        return lines + _indented(self.conflicts[["site", "device", "quantity", "time", "lowest", "highest"]])

    def _drift_lines(self) -> list[str]:
        if self.drift is None:
            return []
        if not len(self.drift):
            return ["  drift: no site has nights enough"]
        suspects = self.drift[self.drift["suspect"]]
        lines = [f"  drift: {_many(len(self.drift), 'site')} looked at, {len(suspects)} suspect"]
        return [
            *lines,
            *(f"    site {row.site} {row.device} {row.quantity}: {row.sentence}" for row in suspects.itertuples()),
        ]


def overview(
    city: City, *, night: Night | None = None, site: int | None = None, device: str = "", drifting: bool = False
) -> Overview:
    """How a city's sensing is doing now; of one site or one device where that is asked for.

    night : whose readings are counted; the present one if None. Which sites are silent is said of now.
    """
    night = night or night_of(city_clock(city.path).now(), city.zone)
    table = SiteRegister.load(city).table
    meant = np.ones(len(table), bool)
    if site is not None:
        meant &= (table["site"] == site).to_numpy()
    if device:
        meant &= (table["device"] == device).to_numpy()
    of = " of ".join([*([f"site {site}"] if site is not None else []), *([f"device {device}"] if device else [])])
    if of and not meant.any():
        raise CityError(f"{city.path}: there is no {of} in the site register; 'noctule site list {city.path}' has all")
    records = sent = night_records(city, night)
    sites = site_health(city)
    moved = drift(city, night) if drifting else None
    if of:
        numbers = table["site"].to_numpy(np.int64)[meant]
        # Message numbers are shared by all that a device sends.
        shared = table["device"].isin(set(table["device"][meant])).to_numpy()
        sent = records[np.isin(records["site"], table["site"].to_numpy(np.int64)[shared])]
        records = records[np.isin(records["site"], numbers)]
        sites = sites[sites["site"].isin(numbers)].reset_index(drop=True)
        moved = None if moved is None else moved[moved["site"].isin(numbers)].reset_index(drop=True)
    return Overview(
        city,
        night,
        of,
        read_health(city),
        sites,
        len(records),
        int(np.count_nonzero(~usable(records["flags"]))),
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


def _many(count: int, noun: str) -> str:
    """A number with its noun.

    >>> _many(1, "site"), _many(2, "site")
    ('1 site', '2 sites')
    """
    return f"{count} {noun}{'s' * (count != 1)}"


def _once(state: str, sentence: str) -> str:
    """A state and what is said of it; not twice where that is the same word."""
    return sentence if sentence.startswith(state) else f"{state}, {sentence}"


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows for JSON; times are UTC and say so, as RFC 3339."""
    rows: list[dict[str, Any]] = json.loads(_in_utc(table, "%Y-%m-%dT%H:%M:%S.%f").to_json(orient="records"))
    return rows


def _indented(table: pd.DataFrame) -> list[str]:
    shown = _in_utc(table.head(_SHOWN), "%Y-%m-%d %H:%M:%S").to_string(index=False, na_rep="never")
    lines = [f"    {line}" for line in shown.splitlines()]
    return lines + ([f"    and {len(table) - _SHOWN} more; --json lists them all"] if len(table) > _SHOWN else [])


def _in_utc(table: pd.DataFrame, form: str) -> pd.DataFrame:
    """The table with its times as text that ends in Z."""
    written = table.copy()
    for name in table.columns[[kind.kind == "M" for kind in table.dtypes]]:
        text = table[name].dt.strftime(form)
        milliseconds = text.str[:-3] if form.endswith("%f") else text
        written[name] = (milliseconds + "Z").where(table[name].notna(), None)
    return written
