"""What the sensors said in one step, one row a site; and what they last said before it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.surroundings import Sites
from sensors.flags import usable
from sensors.quantities import QUANTITIES
from sensors.reading import Records, sort_by_key


@dataclass(frozen=True)
class Said:
    """Readings of one quantity in order of their keys: row of `Sites`, end time (UTC), value and seconds; (n,) each."""

    row: NDArray[np.int64]
    time: NDArray[np.datetime64]
    value: NDArray[np.float64]
    duration_s: NDArray[np.float64]


def ordered(records: Records) -> Records:
    """The records in the order of their keys; those already so are returned as they are."""
    if records.size < 2:
        return records
    same = np.ones(records.size - 1, bool)
    for name in ("time", "site", "quantity", "boot", "seq", "part", "duration_s", "received"):
        before, after = records[name][:-1], records[name][1:]
        if np.any(same & (before > after)):
            return sort_by_key(records)
        same &= before == after
        if not same.any():
            return records
    return sort_by_key(records)


def said(records: Records, sites: Sites, quantity: str, after: np.datetime64 | None, until: np.datetime64) -> Said:
    """Usable readings of a quantity whose interval ends in (after, until], of sites known and valid at that time.

    records : in the order of their keys, so ascending in time
    """
    code = QUANTITIES[quantity].code
    times = records["time"]
    first = 0 if after is None else int(np.searchsorted(times, after, side="right"))
    last = int(np.searchsorted(times, until, side="right"))
    if not sites.site.size:
        last = first
    place = first + np.flatnonzero(records["quantity"][first:last] == code)
    time, value, row = times[place], records["value"][place], sites.rows(records["site"][place])
    # an unknown site, a registered one of another quantity, or one not yet or no longer valid says nothing here
    known = (row >= 0) & usable(records["flags"][place]) & np.isfinite(value)
    if row.size:
        known &= (sites.quantity[row] == code) & ~(sites.valid_from[row] > time) & ~(sites.valid_to[row] < time)
    duration = records["duration_s"][place[known]].astype(np.float64)
    return Said(row[known], time[known], value[known].astype(np.float64), duration)


def latest(readings: Said, n_sites: int) -> tuple[NDArray[np.float64], NDArray[np.datetime64]]:
    """Last value and its time of every row of `Sites`; NaN and NaT where a site has said nothing."""
    value = np.full(n_sites, np.nan)
    time = np.full(n_sites, np.datetime64("NaT"), "datetime64[ms]")
    value[readings.row] = readings.value  # the order is by time, and the last of repeated indices is the one kept
    time[readings.row] = readings.time
    return value, time


def weighted_mean(readings: Said, value: NDArray[np.float64], n_sites: int) -> NDArray[np.float64]:
    """Mean of `value` by row of `Sites`, weighted by seconds (at least one: an instant counts too); NaN where none."""
    weight = np.maximum(readings.duration_s, 1.0)
    total = np.bincount(readings.row, weight, n_sites)
    with np.errstate(invalid="ignore"):
        return np.bincount(readings.row, weight * value, n_sites) / np.where(total > 0, total, np.nan)


def seconds(readings: Said, n_sites: int) -> NDArray[np.float64]:
    """Seconds that the readings of each row of `Sites` rest on."""
    return np.bincount(readings.row, readings.duration_s, n_sites).astype(np.float64)
