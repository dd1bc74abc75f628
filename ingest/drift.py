"""Which sensors seem to drift: their nightly values against their neighbours' and their own history.

    sound    the level that is left between 04:00 and 05:00 local, when the city is quietest: the median of L90 where it
             is sent, else of LAeq, in dB
    light    the median between 01:00 and 03:00 local, when no shop is open, as ln lx; only nights with some light, and
             only while the sun is below -12 degrees: in a northern spring twilight adds to a dim place far more in ln
             than to its bright neighbours
    footfall the count of the whole night, as ln; only nights that are counted nearly whole

From each night's value the median of its three nearest neighbours of that night is taken away (all others where there
are fewer), so that weather, season and a quiet week cancel. What remains is asked for a trend: Mann-Kendall, two-sided,
with the correction for ties, and the slope of Sen (Gilbert 1987, Statistical Methods for Environmental Pollution
Monitoring, ch. 16). A trend is *suspect* when chance alone would show it less than once in a hundred sites and when it
is large enough to matter; with fewer than 10 nights nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ingest.archive import night_records, nights
from sensors.city import City
from sensors.flags import usable
from sensors.night import Night, sun_elevation
from sensors.quantities import QUANTITIES
from sensors.reading import Records
from sensors.register import SiteRegister

if TYPE_CHECKING:
    import pandas as pd

NIGHTS = 28
LEAST_NIGHTS = 10
NEIGHBOURS = 3
CHANCE = 0.01
DARK_DEG = -12.0  # nautical twilight, 0.01 lx; at -6 degrees there are 3 lx
DRIFT_COLUMNS = ("site", "device", "quantity", "nights", "change", "unit", "p", "against", "suspect", "sentence")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Watch:
    """How a quantity is watched: the local hours, what of them, and the change over all nights that matters."""

    quantities: tuple[str, ...]  # the first that a site's device sends
    hours: tuple[int, int] | None  # None: the whole night
    total: bool  # the sum, not the median
    logarithm: bool
    matters: float  # dB, or ln
    unit: str
    dark: bool = False  # only readings of the dark


# A calibration session is refused for 1 dB, and meters in the field spread by 2-3 dB (sensing.md B4).
# A third of the light, or half the people, is beyond what dirt, lamps and the season do to neighbours alike.
_WATCHES = (
    _Watch(("sound_la90", "sound_laeq"), (28, 29), False, False, 1.5, "dB"),
    _Watch(("illuminance",), (25, 27), False, True, math.log(1.3), "ln lx", dark=True),
    _Watch(("people_flow",), None, True, True, math.log(1.5), "ln"),
)


def drift(city: City, until: Night, *, most: int = NIGHTS) -> pd.DataFrame:
    """A row a site with nights enough, suspects first; columns DRIFT_COLUMNS.

    until : the last night that is looked at, itself included; `most` nights are
    change : over the nights looked at, in `unit`, by Sen's slope
    """
    import pandas as pd

    table = SiteRegister.load(city).table
    held = [date for date in nights(city) if date <= until.date][-most:]
    values: list[list[Floats]] = [[] for _ in _WATCHES]
    watched = [_sites_of(table, watch) for watch in _WATCHES]
    for date in held:
        records = night_records(city, date)
        records = records[usable(records["flags"])]
        for number, watch in enumerate(_WATCHES):
            values[number].append(_nightly(records, watched[number], watch, Night(date, city.zone), city))
    rows: list[dict[str, object]] = []
    for number, watch in enumerate(_WATCHES):
        series = np.array(values[number]).reshape(len(held), len(watched[number])).T
        rows += _judged(watched[number], series, watch)
    frame = pd.DataFrame(rows, columns=DRIFT_COLUMNS)
    return frame.sort_values(["suspect", "p", "site"], ascending=[False, True, True]).reset_index(drop=True)


def mann_kendall(values: Sequence[float] | Floats) -> tuple[float, float]:
    """Sen's slope a step and the two-sided chance of so clear a trend where there is none; NaN are left out.

    >>> slope, p = mann_kendall([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    >>> slope, p < 0.01
    (1.0, True)
    """
    series = np.asarray(values, np.float64)
    where = np.flatnonzero(np.isfinite(series))
    x = series[where]
    n = len(x)
    if n < 4:
        return float("nan"), 1.0
    later, earlier = np.triu_indices(n, 1)[::-1]
    apart = x[later] - x[earlier]
    slope = float(np.median(apart / (where[later] - where[earlier])))
    statistic = float(np.sign(apart).sum())
    _, ties = np.unique(x, return_counts=True)
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18.0
    if variance <= 0:
        return slope, 1.0
    z = (abs(statistic) - 1.0) / math.sqrt(variance) if statistic else 0.0
    return slope, math.erfc(max(z, 0.0) / math.sqrt(2.0))


def _sites_of(table: pd.DataFrame, watch: _Watch) -> pd.DataFrame:
    """Of each device in use the site of the first of the quantities that it sends."""
    used = table[table["valid_to"].isna() & table["quantity"].isin(watch.quantities)].copy()
    used["order"] = [watch.quantities.index(quantity) for quantity in used["quantity"]]
    used = used.sort_values(["device", "order"]).drop_duplicates("device")
    return used.sort_values("site").reset_index(drop=True)


def _nightly(records: Records, sites: pd.DataFrame, watch: _Watch, night: Night, city: City) -> Floats:
    """(n_sites,) the value of a night, NaN where it cannot be said."""
    numbers = sites["site"].to_numpy(np.int64)
    codes = [QUANTITIES[name].code for name in watch.quantities]
    mine = np.isin(records["quantity"], codes)
    begin, end = (
        (night.start, night.end) if watch.hours is None else (night.at(watch.hours[0]), night.at(watch.hours[1]))
    )
    mine &= (records["time"] > begin) & (records["time"] <= end)
    records = records[mine]
    if watch.dark and len(records):
        longitude, latitude = city.centre_lonlat()
        moments, which = np.unique(records["time"], return_inverse=True)
        records = records[(sun_elevation(moments, latitude, longitude) < DARK_DEG)[which]]
    value = np.full(len(numbers), np.nan)
    if not len(numbers) or not len(records):
        return value
    at = np.minimum(np.searchsorted(numbers, records["site"]), len(numbers) - 1)
    known = numbers[at] == records["site"]
    row, records = at[known], records[known]
    if watch.total:
        people = np.bincount(row, records["value"], minlength=len(numbers))
        covered = np.bincount(row, records["duration_s"], minlength=len(numbers)) / float(
            (end - begin) / np.timedelta64(1, "s")
        )
        whole = (covered >= 0.9) & (people > 0)
        value[whole] = people[whole] / covered[whole]
    else:
        order = np.lexsort((records["value"], row))
        row, ordered = row[order], records["value"][order].astype(np.float64)
        count = np.bincount(row, minlength=len(numbers))
        start = np.cumsum(count) - count
        some = np.flatnonzero(count)
        middle = ordered[start[some] + (count[some] - 1) // 2] + ordered[start[some] + count[some] // 2]
        value[some] = middle / 2.0
    if watch.logarithm:
        value = np.log(value, where=value > 0, out=np.full(len(value), np.nan))
    return value


def _judged(sites: pd.DataFrame, series: Floats, watch: _Watch) -> list[dict[str, object]]:
    """Rows of the sites whose `series` (n_sites, n_nights) are long enough."""
    rows: list[dict[str, object]] = []
    if not len(sites) or not series.shape[1]:
        return rows
    points = np.column_stack([sites.geometry.x, sites.geometry.y])
    for row in range(len(sites)):
        beside = np.argsort(np.hypot(*(points - points[row]).T), kind="stable")
        beside = beside[beside != row]
        beside = beside[np.isfinite(series[beside]).sum(axis=1) >= LEAST_NIGHTS][:NEIGHBOURS]
        apart = series[row] - _median(series[beside]) if len(beside) else series[row]
        heard = int(np.isfinite(apart).sum())
        if heard < LEAST_NIGHTS:
            continue
        slope, p = mann_kendall(apart)
        change = slope * (series.shape[1] - 1)
        suspect = p < CHANCE and abs(change) >= watch.matters
        against = f"{len(beside)} neighbours" if len(beside) else "its own history only"
        rows.append(
            {
                "site": int(sites["site"][row]),
                "device": str(sites["device"][row]),
                "quantity": str(sites["quantity"][row]),
                "nights": heard,
                "change": round(change, 3),
                "unit": watch.unit,
                "p": round(p, 5),
                "against": against,
                "suspect": bool(suspect),
                "sentence": _sentence(change, heard, against, watch, suspect),
            }
        )
    return rows


def _median(values: Floats) -> Floats:
    known = np.isfinite(values).any(axis=0)
    middle = np.full(values.shape[1], np.nan)
    middle[known] = np.nanmedian(values[:, known], axis=0)
    return middle


def _sentence(change: float, heard: int, against: str, watch: _Watch, suspect: bool) -> str:
    say: Callable[[float], str] = (
        (lambda moved: f"{math.expm1(moved):+.0%}") if watch.logarithm else (lambda moved: f"{moved:+.1f} {watch.unit}")
    )
    if not suspect:
        return f"no drift beyond chance in {heard} nights"
    return f"suspect: {say(change)} over {heard} nights against {against}; check it before believing or dismissing it"
