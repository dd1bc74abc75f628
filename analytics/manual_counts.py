"""People counted by hand beside a counter: a CSV file, and what the counter itself told in the same minutes.

Columns `start`, `end` (times with their zone, like 2026-11-20T22:00:00+02:00) and `people`; `counted` is what the
counter told and may be left out, then the archive says it. A count whose minutes the counter did not tell whole is
refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analytics.counter_gain import Calibration, calibrate
from sensors.city import City
from sensors.errors import CityError, gather
from sensors.night import parse_rfc3339
from sensors.register import SiteRegister

_COLUMNS = ("start", "end", "people")
_WHOLE = 0.98  # of the minutes of a manual count that the counter must have told
_SECOND = np.timedelta64(1, "s")


@dataclass(frozen=True)
class ManualCounts:
    """(n,) arrays: start and end (UTC), people who passed, what the counter told (NaN: the archive is to say it)."""

    start: NDArray[np.datetime64]
    end: NDArray[np.datetime64]
    people: NDArray[np.float64]
    counted: NDArray[np.float64]


def read_manual_counts(file: Path) -> ManualCounts:
    """The counts of a CSV file; all that is wrong with it in one message."""
    import csv

    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or [])]
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CityError(f"{file} cannot be read ({error}); it must be a CSV file of manual counts") from error
    if missing:
        raise CityError(f"{file}: column {', '.join(missing)} is missing; manual counts have start, end and people")
    problems: list[str] = []
    times, numbers = [], []
    for line, row in enumerate(rows, start=2):
        try:
            start, end = (parse_rfc3339((row[name] or "").strip()) for name in ("start", "end"))
            people = float(row["people"] or "nan")
            counted = float(row.get("counted") or "nan")
        except ValueError:
            problems.append(f"line {line}: needs two times with their zone and whole numbers")
            continue
        if not start < end:
            problems.append(f"line {line}: end must come after start")
        elif not 0 < people < 1e6 or counted <= 0:
            problems.append(f"line {line}: people and counted must be above 0; leave out times in which nobody passed")
        else:
            times.append((start, end))
            numbers.append((people, counted))
    if problems:
        raise CityError(gather(str(file), problems))
    moments = np.array(times, "datetime64[ms]").reshape(-1, 2)
    values = np.array(numbers, np.float64).reshape(-1, 2)
    return ManualCounts(moments[:, 0], moments[:, 1], values[:, 0], values[:, 1])


def calibrate_counter(city: City, site: int, manual: ManualCounts) -> Calibration:
    """Fit a counter of the register to manual counts."""
    register = SiteRegister.load(city)
    try:
        row = register.find(np.array([site])).iloc[0]
    except KeyError:
        raise CityError(f"there is no site {site}; 'noctule site list' shows them all") from None
    if row.quantity not in ("people_flow", "devices_seen"):
        raise CityError(f"site {site} measures {row.quantity}; only people_flow and devices_seen are counted by hand")
    told = manual.counted.copy()
    for index in np.flatnonzero(np.isnan(told)):
        told[index] = _told(city, site, str(row.quantity), manual.start[index], manual.end[index])
    seconds = (manual.end - manual.start) / _SECOND
    return calibrate(_listed(told), _listed(manual.people), _listed(seconds), devices=row.quantity == "devices_seen")


def calibration_words(found: Calibration, site: int, *, kept: bool) -> str:
    """A calibration in words."""
    low, high = found.interval
    form = "none" if found.dead_time_s == 0 else f"{found.dead_time_s:.2f} s"
    lines = [
        f"site {site}, {found.counts} manual counts",
        f"  gain        {found.gain:.2f} people for each told ({low:.2f} to {high:.2f}, 90 %)",
        f"  dead time   {form}",
        f"  at peak     errs by {100 * found.mape:.0f} % on average (15 % at most)",
        f"  bias        {100 * found.bias:+.1f} % of all people (5 % at most)",
    ]
    if found.accepted:
        lines.append("  written to the register" if kept else "  would be accepted")
    return "\n".join(lines)


def _told(city: City, site: int, quantity: str, start: np.datetime64, end: np.datetime64) -> float:
    """What the archive says the counter told from start to end; an interval that reaches over an end counts in part."""
    from ingest.archive import night_records
    from sensors.flags import usable
    from sensors.night import night_of
    from sensors.quantities import QUANTITIES

    nights = sorted({night_of(moment, city.zone).date for moment in (start, end, end + np.timedelta64(1, "h"))})
    total = covered = 0.0
    for night in nights:
        records = night_records(city, night)
        mine = (records["site"] == site) & (records["quantity"] == QUANTITIES[quantity].code)
        records = records[mine & usable(records["flags"]) & (records["duration_s"] > 0)]
        seconds = records["duration_s"].astype(np.float64)
        begun = records["time"] - (1000 * seconds).astype("timedelta64[ms]")
        shared = (np.minimum(records["time"], end) - np.maximum(begun, start)) / _SECOND
        shared = np.clip(shared, 0.0, seconds)
        total += float(np.sum(records["value"] * shared / seconds))
        covered += float(np.sum(shared))
    asked = float((end - start) / _SECOND)
    if covered < _WHOLE * asked:
        raise CityError(
            f"site {site} told {covered / 60:.0f} of the {asked / 60:.0f} minutes from {start} UTC; count while it "
            "reports, or give its number in the column counted"
        )
    return total


def _listed(values: NDArray[np.float64]) -> Sequence[float]:
    return [float(value) for value in values]
