"""What is unlike the same weekday of earlier weeks, and unlike the sites around it: suspect, and never more.

Each hour of a site is one number: the median level in dB, the rate of people and the median light as logarithms. It is
compared with the same hour of the same weekday in the last eight weeks.

    CLIMATOLOGY  further from their median than four median absolute deviations, which are never taken for less than
                 sites differ from week to week anyway
    NEIGHBOUR    the night's departure from the usual differs from that of the three nearest sites: a lamp that fails
                 is alone, an outage, fog or a feast is not

Nights with an event in the city's journal are unusual by intention, so nothing is said of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ingest.hindsight import DARK_DEG
from ingest.limits import COUNTED
from sensors.flags import FAIL
from sensors.night import sun_elevation
from sensors.quantities import QUANTITIES
from sensors.reading import Records

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WEEKS = 8
WEEKS_LEAST = 4
DEVIATIONS = 4.0
NEIGHBOURS = 3
_MAD_TO_SD = 1.4826  # of a normal distribution
_FEW_PER_H = 20.0  # persons: below it an hour's count is chance


class Usual(NamedTuple):
    """What is usual of a quantity: whether it is taken as a logarithm, its least deviation, and how far neighbours."""

    logarithm: bool
    added: float  # before the logarithm, so that nothing stays a number
    least: float  # standard deviation from week to week: dB, or ln
    apart: float  # from the neighbours' departure: dB, or ln


# Footfall: log-residual sd 0.54 (sensing.md C3). Sound: residual sd about 3 dB (data README 6). Light: 10-20 % of a
# sensor's error, moon and shop windows (sensing.md A6).
USUAL = {
    "sound_laeq": Usual(False, 0.0, 3.0, 10.0),
    "illuminance": Usual(True, 0.5, 0.4, math.log(4.0)),
    **dict.fromkeys(COUNTED, Usual(True, 5.0, 0.54, math.log(8.0))),
}
CODES = tuple(QUANTITIES[name].code for name in USUAL)


class Hours(NamedTuple):
    """A number for each hour of each series of a night, ascending by key."""

    key: Ints  # site, quantity and hour of the night
    value: Floats
    rate: Floats  # persons/h; inf for what is no count
    of: Ints  # (n,) row of each reading's hour, -1 for a reading that has none


def hours(records: Records, start: np.datetime64, lonlat: tuple[float, float]) -> Hours:
    """The hours of a night that begins at `start` (UTC); light only while it is dark, since dusk moves with the season.

    lonlat : degrees, for the sun
    """
    of = np.full(len(records), -1, np.int64)
    wanted = np.isin(records["quantity"], CODES) & ((records["flags"] & np.uint16(int(FAIL))) == 0)
    light = np.flatnonzero(wanted & (records["quantity"] == QUANTITIES["illuminance"].code))
    if len(light):
        longitude, latitude = lonlat
        wanted[light] = sun_elevation(records["time"][light], latitude, longitude) < DARK_DEG
    rows = np.flatnonzero(wanted)
    quantity = records["quantity"][rows].astype(np.int64)
    since = (records["time"][rows] - start.astype("datetime64[ms]")).astype(np.int64) - 1
    keys = (records["site"][rows].astype(np.int64) << 16) | (quantity << 8) | np.clip(since // 3_600_000, 0, 255)
    key, of[rows] = np.unique(keys, return_inverse=True)
    back, value = of[rows], records["value"][rows].astype(np.float64)
    order = np.lexsort((value, back))
    begin = np.searchsorted(back[order], np.arange(len(key)))
    count = np.bincount(back, minlength=len(key))
    result = value[order[begin + (count - 1) // 2]] if len(key) else np.zeros(0)
    duration = np.bincount(back, records["duration_s"][rows], minlength=len(key))
    persons = np.bincount(back, value, minlength=len(key))
    code = (key >> 8) & 0xFF
    rate = np.full(len(key), np.inf)
    for name, usual in USUAL.items():
        mine = code == QUANTITIES[name].code
        if name in COUNTED:
            with np.errstate(divide="ignore", invalid="ignore"):
                result[mine] = rate[mine] = persons[mine] * 3600.0 / duration[mine]
        if usual.logarithm:
            result[mine] = np.log(np.maximum(result[mine], 0.0) + usual.added)
    return Hours(key, result, rate, of)


class Unusual(NamedTuple):
    """Which readings (n,) are unlike their hour of the week, and unlike their neighbours."""

    climatology: Bools
    neighbour: Bools


def unusual(tonight: Hours, earlier: Sequence[Hours], sites: npt.NDArray[np.int64], points: Floats) -> Unusual:
    """Compare a night with the same weekday of earlier weeks.

    earlier : at most WEEKS nights; nothing is said of an hour that fewer than WEEKS_LEAST of them have
    sites, points : (m,) numbers and (m, 2) metres of the sites, for who is near
    """
    n = len(tonight.key)
    past = np.full((max(1, len(earlier)), n), np.nan)
    rates = np.full((max(1, len(earlier)), n), np.nan)
    for row, night in enumerate(earlier):
        if len(night.key):
            at = np.minimum(np.searchsorted(night.key, tonight.key), len(night.key) - 1)
            same = night.key[at] == tonight.key
            past[row, same], rates[row, same] = night.value[at[same]], night.rate[at[same]]
    known = (np.isfinite(past).sum(axis=0) >= WEEKS_LEAST) & np.isfinite(tonight.value)
    departure, deviation, often = np.full(n, np.nan), np.zeros(n), np.zeros(n)
    if known.any():
        median = np.nanmedian(past[:, known], axis=0)
        departure[known] = tonight.value[known] - median
        deviation[known] = _MAD_TO_SD * np.nanmedian(np.abs(past[:, known] - median), axis=0)
        often[known] = np.maximum(np.nanmedian(rates[:, known], axis=0), tonight.rate[known])
    code = (tonight.key >> 8) & 0xFF
    least, apart = np.full(n, np.inf), np.full(n, np.inf)
    for name, usual in USUAL.items():
        least[code == QUANTITIES[name].code] = usual.least
        apart[code == QUANTITIES[name].code] = usual.apart
    known &= often >= _FEW_PER_H
    climatology = known & (np.abs(departure) > DEVIATIONS * np.maximum(deviation, least))
    neighbour = _alone(tonight.key >> 8, np.where(known, departure, np.nan), apart, sites, points)
    return Unusual(_of_readings(climatology, tonight.of), _of_readings(neighbour, tonight.of))


def _alone(series: Ints, departure: Floats, apart: Floats, sites: npt.NDArray[np.int64], points: Floats) -> Bools:
    """Hours of series whose night departs otherwise than that of the nearest sites of their quantity."""
    from scipy.spatial import cKDTree

    names, begin, of = np.unique(series, return_index=True, return_inverse=True)
    by_series = [departure[of == number] for number in range(len(names))]
    night = np.array([np.nanmedian(own) if np.isfinite(own).any() else np.nan for own in by_series])
    place = {int(site): row for row, site in enumerate(sites)}
    at = np.array([place.get(int(name) >> 8, -1) for name in names], np.int64)
    odd = np.zeros(len(names), bool)
    for code in np.unique(names & 0xFF):
        mine = np.flatnonzero((names & 0xFF == code) & np.isfinite(night) & (at >= 0))
        if len(mine) <= NEIGHBOURS:
            continue
        _, near = cKDTree(points[at[mine]]).query(points[at[mine]], k=NEIGHBOURS + 1)
        others = np.median(night[mine][near[:, 1:]], axis=1)
        odd[mine] = np.abs(night[mine] - others) > apart[begin[mine]]
    return odd[of] & np.isfinite(departure) if len(names) else np.zeros(0, bool)


def _of_readings(hours_found: Bools, of: Ints) -> Bools:
    found = np.zeros(len(of), bool)
    has = of >= 0
    found[has] = hours_found[of[has]]
    return found
