"""What of a night differed from the usual same weekday, by part of the city and hour, and how sure that is.

One comparison is of one quantity, one part and one hour of the local clock. Each sensor's hour is the number that
`ingest.usual_nights` gives it (ln persons/h, median dB, ln lux in the dark); from it its own median of the earlier
nights is taken, and what is left is averaged over the part's sensors. With a(w) of an earlier night w, a(0) of tonight

    d = median a(0) - median a(w),   t = d / (s sqrt(c(m) / m + c(n) / n))

for m nights and n earlier ones, c = pi / 2 the variance of a median of more than two (1 of fewer). s^2 is the variance
of the part's earlier nights, drawn towards that of all parts of the quantity with the weight of PRIOR_NIGHTS nights
(Smyth 2004), since eight nights alone say little of a variance. p is two-sided, of Student's t.

Earlier nights with a holiday or an event of the whole city in the journal are no usual ones. Tonight is compared
whatever the journal has of it, which the report says beside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from analytics.discovery import adjusted
from analytics.levels import laeq
from analytics.night_areas import Areas, areas_of
from analytics.special_nights import kinds_of_nights
from ingest.archive import night_records, nights
from ingest.usual_nights import USUAL, WEEKS, WEEKS_LEAST, hours
from sensors.city import City
from sensors.night import Night, local_offset
from sensors.quantities import QUANTITIES

RATE = 0.10  # of the differences that are named, at most so many are expected to be chance
BY_CHANCE = 0.05  # the level at which comparisons are counted that differ by chance alone
PRIOR_NIGHTS = 4.0
QUANTITY_OF = {"footfall": "people_flow", "noise": "sound_laeq", "light": "illuminance"}
_LEAST_SHARE = 0.1  # of the usual deviation from week to week: a part that never varied is not known to a hair
_HOURS = 24
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """One quantity in one part of the city at one hour.

    weekday : of the evening, Monday 0; hour : local clock; usual : persons/h past a counter, dB or lx; change, low,
    high : with its 90 % interval, ln or dB; rate : the least at which it would be named
    """

    what: str
    area: str
    weekday: int
    hour: int
    sensors: int
    nights: int
    earlier: int
    usual: float
    change: float
    low: float
    high: float
    p: float
    rate: float = 1.0

    @property
    def named(self) -> bool:
        """Whether it is told as a difference."""
        return self.rate <= RATE


@dataclass(frozen=True)
class Differences:
    """All comparisons that could be made; `lacking` names quantities without a tonight or without earlier nights."""

    comparisons: tuple[Comparison, ...]
    lacking: tuple[str, ...]
    areas: Areas
    earlier: int

    @property
    def named(self) -> list[Comparison]:
        """Those that differ, the surest first."""
        return sorted((one for one in self.comparisons if one.named), key=lambda one: one.p)

    @property
    def raw(self) -> int:
        """How many differ at BY_CHANCE before false-discovery control."""
        return sum(one.p <= BY_CHANCE for one in self.comparisons)

    @property
    def expected(self) -> float:
        """How many would by chance alone."""
        return BY_CHANCE * len(self.comparisons)


def differences(
    city: City, wanted: Sequence[Night], progress: Callable[[int, int], None] = lambda done, total: None
) -> Differences:
    """Compare nights with the same weekdays of at most WEEKS weeks before the first of them."""
    areas = areas_of(city)
    usual = _usual_nights(city, wanted)
    told = sorted({day for days in usual.values() for day in days})
    by_night = {}
    for done, day in enumerate([*(night.date for night in wanted), *told]):
        progress(done, len(wanted) + len(told))
        by_night[day] = _hourly(city, Night(day, city.zone))
    progress(len(wanted) + len(told), len(wanted) + len(told))
    area = _area_of_sites(city, areas)
    found: list[Comparison] = []
    for weekday, earlier in usual.items():
        tonight = [by_night[night.date] for night in wanted if night.weekday == weekday]
        found += _compared(weekday, tonight, [by_night[day] for day in earlier], area, areas.names)
    rates = adjusted([one.p for one in found])
    rated = tuple(replace(one, rate=float(rate)) for one, rate in zip(found, rates, strict=True))
    lacking = tuple(what for what in QUANTITY_OF if not any(one.what == what for one in rated))
    return Differences(rated, lacking, areas, max((len(days) for days in usual.values()), default=0))


def compared(values: Floats, tonight: int, least_sd: float, weight: float = PRIOR_NIGHTS) -> tuple[Floats, ...]:
    """Change, its standard error, degrees of freedom and p of each row.

    values : (rows, nights), NaN where a night said nothing, the first `tonight` columns those to compare
    """
    now, before = values[:, :tonight], values[:, tonight:]
    m, n = np.isfinite(now).sum(axis=1), np.isfinite(before).sum(axis=1)
    change = np.nanmedian(now, axis=1) - np.nanmedian(before, axis=1)
    variance = np.nanvar(before, axis=1, ddof=1)
    shared = float(np.sum(variance * (n - 1)) / np.sum(n - 1))
    drawn = (weight * shared + (n - 1) * variance) / (weight + n - 1)
    error = np.sqrt(np.maximum(drawn, least_sd**2) * (_of_median(m) / m + _of_median(n) / n))
    freedom = weight + n - 1.0
    return change, error, freedom, np.asarray(2.0 * stats.t.sf(np.abs(change / error), freedom), np.float64)


def _of_median(nights: NDArray[np.int64]) -> Floats:
    """Variance of a median over that of a mean of so many nights."""
    return np.where(nights > 2, np.pi / 2, 1.0)


def _usual_nights(city: City, wanted: Sequence[Night]) -> dict[int, list[date]]:
    """For each weekday the usual nights before the first of those wanted, the latest first."""
    special = kinds_of_nights(city)
    first = min(night.date for night in wanted)
    epoch = date(1970, 1, 1)
    before = [day for day in nights(city) if day < first and (day - epoch).days not in special]
    return {
        weekday: [day for day in reversed(before) if day.weekday() == weekday and (first - day).days <= 7 * WEEKS][
            :WEEKS
        ]
        for weekday in sorted({night.weekday for night in wanted})
    }


def _hourly(city: City, night: Night) -> pd.DataFrame:
    """A row for each site, quantity and clock hour of the mapped window."""
    codes = [QUANTITIES[name].code for name in QUANTITY_OF.values()]
    settings = city.settings.night
    begin, end = night.time_of(settings.from_), night.time_of(settings.to)
    records = night_records(city, night, quantities=codes, between=(begin, end))
    # Whole clock hours of the window: an hour counted from noon is one of them, but for zones of half hours.
    found = hours(records, night.start, city.centre_lonlat())
    since = night.start + (found.key & 0xFF) * np.timedelta64(1, "h")
    clock = ((since + local_offset(since, city.zone)).astype("datetime64[h]").astype(np.int64)) % _HOURS
    frame = pd.DataFrame({
        "site": found.key >> 16, "code": (found.key >> 8) & 0xFF, "hour": clock, "value": found.value,
    })  # fmt: skip
    # A doubled hour of autumn is one hour of the clock.
    return pd.DataFrame(frame.groupby(["code", "hour", "site"])["value"].mean().reset_index())


def _area_of_sites(city: City, areas: Areas) -> pd.Series:
    sites = city.places("sites")
    points = sites.geometry
    which = areas.of(points.x.to_numpy(np.float64), points.y.to_numpy(np.float64))
    return pd.Series(which, index=sites["site"].to_numpy(np.int64))


def _compared(
    weekday: int,
    tonight: Sequence[pd.DataFrame],
    earlier: Sequence[pd.DataFrame],
    area: pd.Series,
    names: Sequence[str],
) -> list[Comparison]:
    if not tonight or len(earlier) < WEEKS_LEAST:
        return []
    frames = [frame.assign(night=number) for number, frame in enumerate([*tonight, *earlier])]
    long = pd.concat(frames, ignore_index=True)
    if long.empty:
        return []
    table = long.set_index(["code", "hour", "site", "night"])["value"].unstack("night")  # noqa: PD010  # keys are unique
    table = table.reindex(columns=range(len(frames)))
    values = table.to_numpy(np.float64)
    m = len(tonight)
    enough = (np.isfinite(values[:, m:]).sum(axis=1) >= WEEKS_LEAST) & np.isfinite(values[:, :m]).any(axis=1)
    table, values = table[enough], values[enough]
    index = table.index.to_frame(index=False)
    index["area"] = area.reindex(index["site"]).fillna(-1).to_numpy(np.int64)
    placed = index["area"].to_numpy() >= 0
    index, values = index[placed].reset_index(drop=True), values[placed]
    if index.empty:
        return []
    usual = np.nanmedian(values[:, m:], axis=1)
    left = pd.DataFrame(values - usual[:, None])
    keys = [index["code"], index["hour"], index["area"]]
    parts = left.groupby(keys).mean()
    sensors = left.groupby(keys).size().to_numpy()
    ordinary = pd.Series(usual).groupby(keys).apply(list)
    out: list[Comparison] = []
    for what, quantity in QUANTITY_OF.items():
        code = QUANTITIES[quantity].code
        mine = parts.index.get_level_values("code") == code
        nightly = parts.to_numpy(np.float64)[mine]
        told = (np.isfinite(nightly[:, m:]).sum(axis=1) >= WEEKS_LEAST) if len(nightly) else np.zeros(0, bool)
        if not told.any():
            continue
        change, error, freedom, p = compared(nightly[told], m, _LEAST_SHARE * USUAL[quantity].least)
        half = stats.t.ppf(0.95, freedom) * error
        rows = parts[mine].index[told]
        for at, (_, hour, part) in enumerate(rows):
            out.append(
                Comparison(
                    what, names[part], weekday, int(hour), int(sensors[mine][told][at]),
                    int(np.isfinite(nightly[told][at, :m]).sum()), int(np.isfinite(nightly[told][at, m:]).sum()),
                    _natural(what, quantity, ordinary[mine].iloc[np.flatnonzero(told)[at]]),
                    float(change[at]), float(change[at] - half[at]), float(change[at] + half[at]), float(p[at]),
                )
            )  # fmt: skip
    return out


def _natural(what: str, quantity: str, usual: Sequence[float]) -> float:
    """The usual of a part in its own unit: a mean over its sensors, of sound the energy mean."""
    values = np.asarray(usual, np.float64)
    if what == "noise":
        return laeq(values)
    return float(np.maximum(np.exp(values) - USUAL[quantity].added, 0.0).mean())
