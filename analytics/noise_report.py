"""What each noise meter heard in a night, or over months, for an acoustician and for a machine (`noctule noise`).

Levels are as the meter measured them: one on a facade includes its reflection, which is said beside it. Percentiles,
intermittency and Harmonica need seconds or histograms; where a meter sends neither they are 'not available' and
nothing is made up from minutes. Not legal metrology.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import geopandas
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics import levels
from analytics.noise_day import LongTerm, long_term, night_span
from analytics.sources import closing_minutes
from ingest.archive import night_records, nights
from sensors.city import City
from sensors.errors import CityError
from sensors.flags import usable
from sensors.night import Night, local_offset, rfc3339
from sensors.quantities import HISTOGRAM, HISTOGRAM_BINS, HISTOGRAM_FROM_DB, QUANTITIES
from sensors.reading import Records

NOTE = (
    "not legal metrology: levels as the meters measured them, with their class and mounting; one night is LAeq,23-07, "
    "not Lnight"
)
NOT_AVAILABLE = "not available"
_SIMULATED = "SIMULATED: not what was measured here"
_HOUR = np.timedelta64(1, "h")
_NEAR_M = 100.0  # venues within it are heard at a meter
_USUAL_DAYS = 28  # before the first night, of which Tuesdays and Wednesdays are the usual
_EVENING = 19  # hours are listed from here to 07
_PERCENTS = (10, 50, 90)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Hour:
    """A local clock hour; `start` with its offset, so a doubled hour stands twice."""

    start: str
    laeq: float | None
    coverage: float
    emergence: float | None
    harmonica: dict[str, float] | None


@dataclass(frozen=True)
class Closing:
    """What changed at a meter when venues near it closed."""

    time: str
    venues: int
    capacity: float
    step_db: float | None


@dataclass(frozen=True)
class MeterNight:
    """One night of one meter; levels in dB, None where too few seconds are behind them or the meter cannot say."""

    night: str
    hours_of_night: float
    laeq_23_07: float | None
    coverage: float
    standing: str
    interval_s: float | None
    l10: float | None
    l50: float | None
    l90: float | None
    percentiles_from: str
    laeq_1s_max: float | None
    intermittency_ratio: float | None
    exceedance_minutes: float | None
    hours: tuple[Hour, ...]
    closings: tuple[Closing, ...]


@dataclass(frozen=True)
class Meter:
    """A meter as the register has it, and what it heard."""

    site: int
    device: str
    easting: float
    northing: float
    height_m: float
    mounting: str
    sensor_class: str
    calibration: str
    origin: str
    nights: tuple[MeterNight, ...]
    long_term: LongTerm | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("nights", "long_term")}
        nights = [asdict(night) for night in self.nights]
        return plain | {"nights": nights, "long_term": self.long_term.to_dict() if self.long_term else None}


@dataclass(frozen=True)
class NoiseReport:
    """All meters that were asked for."""

    city: str
    limit_db: float
    meters: tuple[Meter, ...]

    def json(self) -> str:
        """One object."""
        whole = {"city": self.city, "note": NOTE, "limit_db": self.limit_db, "simulated": self._simulated}
        return json.dumps(whole | {"meters": [meter.to_dict() for meter in self.meters]}, allow_nan=False)

    def csv(self) -> str:
        """A row a meter and night."""
        out = io.StringIO()
        own = ("site", "device", "mounting", "sensor_class", "calibration", "origin")
        told = [name for name in MeterNight.__dataclass_fields__ if name not in ("hours", "closings")]
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*own, *told, "limit_db", "note"])
        for meter in self.meters:
            for night in meter.nights:
                values = [getattr(night, name) for name in told]
                row = [*(getattr(meter, name) for name in own), *values, self.limit_db, NOTE]
                writer.writerow(["" if value is None else value for value in row])
        return out.getvalue()

    def text(self) -> str:
        """For people."""
        lines = [f"{self.city}: {NOTE}."]
        lines += [_SIMULATED] if self._simulated else []
        for meter in self.meters:
            lines += _meter_lines(meter, self.limit_db)
        return "\n".join(lines)

    @property
    def _simulated(self) -> bool:
        return any(meter.origin == "simulated" for meter in self.meters)


def noise_report(
    city: City,
    wanted: Sequence[Night],
    *,
    site: int | None = None,
    limit_db: float = 55.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NoiseReport:
    """What meters heard in some nights; with more than one, also their averages by period of the day.

    site : the number of one meter's sound_laeq; limit_db : for minutes above it
    """
    table = city.places("sites")
    chosen = table[table.quantity == "sound_laeq"].sort_values("site")
    if site is not None:
        chosen = chosen[chosen.site == site]
        if not len(chosen):
            raise CityError(f"site {site} is no noise meter (sound_laeq); 'noctule site list' shows them")
    beside = table[table.quantity == HISTOGRAM]
    usual = _usual_levels(city, chosen, wanted[0])
    venues = city.places("venues")
    told: dict[int, list[MeterNight]] = {int(number): [] for number in chosen.site}
    whole: dict[int, list[Series]] = {int(number): [] for number in chosen.site}
    for done, night in enumerate(wanted):
        progress(done, len(wanted))
        codes = [QUANTITIES["sound_laeq"].code, QUANTITIES[HISTOGRAM].code]
        numbers = [*chosen.site.astype(int), *beside.site.astype(int)]
        records = night_records(city, night, quantities=codes, sites=numbers)
        records = records[usable(records["flags"])]
        for row in chosen.itertuples():
            series = heard_by(records, int(row.site))
            counted = _counted(records, beside[beside.device == row.device].site.to_numpy(np.int64))
            near = venues[venues.distance(row.geometry) <= _NEAR_M] if len(venues) else venues
            told[int(row.site)].append(
                _meter_night(night, series, counted, usual.get(int(row.site), {}), near, limit_db)
            )
            whole[int(row.site)].append(series)
    progress(len(wanted), len(wanted))
    meters = tuple(_meter(row, tuple(told[int(row.site)]), whole[int(row.site)], city) for row in chosen.itertuples())
    return NoiseReport(city.name, limit_db, meters)


@dataclass(frozen=True)
class Series:
    """Levels of one meter by the end of their intervals (UTC), all of about the same duration."""

    end: NDArray[np.datetime64]
    level: Floats
    seconds: Floats

    def within(self, begin: np.datetime64, end: np.datetime64) -> "Series":
        """What ended after `begin` and by `end`."""
        inside = (self.end > begin) & (self.end <= end)
        return Series(self.end[inside], self.level[inside], self.seconds[inside])

    @property
    def of_seconds(self) -> bool:
        """Whether every level is of a second or less."""
        return self.end.size > 0 and bool((self.seconds <= 1.0).all())

    def each_second(self, begin: np.datetime64, end: np.datetime64) -> Floats:
        """One level a second of (begin, end], NaN where there is none."""
        size = int((end - begin) / np.timedelta64(1, "s"))
        out = np.full(max(size, 0), np.nan)
        at = np.ceil((self.end - begin) / np.timedelta64(1, "s")).astype(np.int64) - 1
        inside = (at >= 0) & (at < size)
        out[at[inside]] = self.level[inside]
        return out


def heard_by(records: Records, site: int) -> Series:
    """A site's levels; where it sends both seconds and longer means, those that cover more of the night."""
    mine = records[(records["site"] == site) & (records["quantity"] == QUANTITIES["sound_laeq"].code)]
    seconds = np.maximum(mine["duration_s"].astype(np.float64), 0.0)
    short = (seconds > 0) & (seconds <= 1.0)
    keep = short if seconds[short].sum() >= seconds[~short].sum() and short.any() else ~short & (seconds > 0)
    return Series(mine["time"][keep], mine["value"][keep].astype(np.float64), seconds[keep])


def _counted(records: Records, sites: NDArray[np.int64]) -> Records:
    mine = np.isin(records["site"], sites) & (records["quantity"] == QUANTITIES[HISTOGRAM].code)
    in_range = (records["part"] >= HISTOGRAM_FROM_DB) & (records["part"] < HISTOGRAM_FROM_DB + HISTOGRAM_BINS)
    counted: Records = records[mine & in_range]
    return counted


def _meter_night(
    night: Night,
    series: Series,
    counted: Records,
    usual: dict[int, list[float]],
    venues: geopandas.GeoDataFrame,
    limit_db: float,
) -> MeterNight:
    begin, end = night_span(night)
    span_s = float((end - begin) / np.timedelta64(1, "s"))
    heard = series.within(begin, end)
    share = levels.coverage(heard.level, heard.seconds, span_s)
    enough = share >= levels.HATCHED
    each = heard.each_second(begin, end) if heard.of_seconds and enough else None
    percentiles, source = _percentiles(each, counted, begin, end, span_s)
    return MeterNight(
        night=night.name,
        hours_of_night=span_s / 3600.0,
        laeq_23_07=_number(levels.laeq(heard.level, heard.seconds)) if enough else None,
        coverage=round(share, 3),
        standing=levels.standing(share),
        interval_s=float(np.median(heard.seconds)) if heard.end.size else None,
        l10=percentiles[0],
        l50=percentiles[1],
        l90=percentiles[2],
        percentiles_from=source,
        laeq_1s_max=_number(levels.largest_1s(each)) if each is not None else None,
        intermittency_ratio=_number(levels.intermittency(each)) if each is not None else None,
        exceedance_minutes=_number(levels.exceedance_minutes(heard.level, heard.seconds, limit_db)) if enough else None,
        hours=tuple(_hours(night, series, usual)),
        closings=tuple(_closings(night, series, venues)),
    )


def _percentiles(
    each: Floats | None, counted: Records, begin: np.datetime64, end: np.datetime64, span_s: float
) -> tuple[tuple[float | None, ...], str]:
    """L10, L50 and L90 of the seconds themselves, else of merged histograms, else nothing."""
    if each is not None:
        return tuple(_number(levels.exceeded(each, percent)) for percent in _PERCENTS), "seconds"
    inside = counted[(counted["time"] > begin) & (counted["time"] <= end)]
    merged = np.bincount(inside["part"] - HISTOGRAM_FROM_DB, inside["value"], HISTOGRAM_BINS)
    if merged.sum() >= levels.HATCHED * span_s:
        return tuple(_number(levels.exceeded_of_histogram(merged, percent)) for percent in _PERCENTS), "histogram"
    return (None, None, None), NOT_AVAILABLE


def _hours(night: Night, series: Series, usual: dict[int, list[float]]) -> list[Hour]:
    found = []
    for start in _starts(night):
        heard = series.within(start, start + _HOUR)
        share = levels.coverage(heard.level, heard.seconds, 3600.0)
        level = levels.laeq(heard.level, heard.seconds) if share >= levels.HATCHED else float("nan")
        emergence = levels.emergence(level, usual.get(_clock_hour(start, night), []))
        index = None
        if heard.of_seconds:
            before = series.within(start - np.timedelta64(10, "m"), start)
            three = levels.harmonica(
                heard.each_second(start, start + _HOUR), before.each_second(start - np.timedelta64(10, "m"), start)
            )
            index = None if np.isnan(three.total) else {name: round(v, 3) for name, v in three._asdict().items()}
        found.append(Hour(_local(start, night), _number(level), round(share, 3), _number(emergence), index))
    return found


def _starts(night: Night) -> list[np.datetime64]:
    """Of the hours from 19 to 07, UTC: eleven or thirteen when the clocks change."""
    first = night.at(_EVENING)
    count = int(np.ceil((night_span(night)[1] - first) / _HOUR))
    return [first + hour * _HOUR for hour in range(count)]


def _closings(night: Night, series: Series, venues: geopandas.GeoDataFrame) -> list[Closing]:
    """One row for each time at which venues near the meter close on this evening."""
    if not len(venues):
        return []
    minutes = closing_minutes(venues.closes_min.to_numpy(np.float64), night.weekday)
    found = []
    for minute in np.unique(minutes[np.isfinite(minutes)]):
        close = night.start + np.timedelta64(int(minute * 60), "s")
        closing = venues[minutes == minute]
        step = levels.closing_step(series.end, series.level, series.seconds, close)
        capacity = float(closing.capacity.fillna(0.0).sum())
        found.append(Closing(_local(close, night), len(closing), capacity, _number(step)))
    return found


def _usual_levels(city: City, chosen: geopandas.GeoDataFrame, first: Night) -> dict[int, dict[int, list[float]]]:
    """Hourly levels on Tuesday and Wednesday evenings of the four weeks before, by site and local hour."""
    days = [day for day in nights(city) if day.weekday() in (1, 2) and 0 < (first.date - day).days <= _USUAL_DAYS]
    found: dict[int, dict[int, list[float]]] = {int(number): {} for number in chosen.site}
    for day in days:
        night = Night(day, city.zone)
        records = night_records(city, night, quantities=[QUANTITIES["sound_laeq"].code], sites=[*found])
        records = records[usable(records["flags"])]
        for site, by_hour in found.items():
            series = heard_by(records, site)
            for start in _starts(night):
                heard = series.within(start, start + _HOUR)
                if levels.coverage(heard.level, heard.seconds, 3600.0) >= levels.HATCHED:
                    by_hour.setdefault(_clock_hour(start, night), []).append(levels.laeq(heard.level, heard.seconds))
    return found


def _meter(row: Any, told: tuple[MeterNight, ...], whole: list[Series], city: City) -> Meter:
    over = None
    if len(told) > 1:
        end, level, seconds = (
            np.concatenate([getattr(series, name) for series in whole]) for name in ("end", "level", "seconds")
        )
        over = long_term(end, level, seconds, city.zone)
    text = {name: str(value) if pd.notna(value := getattr(row, name)) else "" for name in _WORDS}
    height = float(row.height_m) if pd.notna(row.height_m) else 0.0
    return Meter(
        site=int(row.site), easting=float(row.geometry.x), northing=float(row.geometry.y), height_m=height,
        nights=told, long_term=over, **text,
    )  # fmt: skip


_WORDS = ("device", "mounting", "sensor_class", "calibration", "origin")


def _meter_lines(meter: Meter, limit_db: float) -> list[str]:
    kind = f"class {meter.sensor_class}" if meter.sensor_class else "class unknown"
    facade = ", with the facade's reflection" if meter.mounting == "facade" else ""
    calibrated = f", {meter.calibration}" if meter.calibration else ""
    lines = [
        "",
        f"{meter.device} (site {meter.site}): {kind}, {meter.mounting or 'mounting unknown'}{facade}{calibrated}",
    ]
    for night in meter.nights:
        mark = " (hatched: under 75 % valid)" if night.standing == "hatched" else ""
        lines.append(
            f"  {night.night}  LAeq,23-07 {_dB(night.laeq_23_07)}{mark}, {night.coverage:.0%} of "
            f"{night.hours_of_night:g} h"
        )
        if night.percentiles_from == NOT_AVAILABLE:
            lines.append("    L10, L50, L90: not available (neither seconds nor histograms)")
        else:
            lines.append(
                f"    L10 {_dB(night.l10)}, L50 {_dB(night.l50)}, L90 {_dB(night.l90)} (of {night.percentiles_from})"
            )
        ratio = NOT_AVAILABLE if night.intermittency_ratio is None else f"{night.intermittency_ratio:.0f} %"
        lines.append(f"    intermittency ratio {ratio}; LAeq,1s,max {_dB(night.laeq_1s_max)}")
        if night.exceedance_minutes is not None:
            lines.append(
                f"    {night.exceedance_minutes:.0f} min above {limit_db:g} dB (intervals of {night.interval_s:g} s)"
            )
        lines += [f"    {_hour_words(hour)}" for hour in night.hours if hour.laeq is not None]
        lines += [
            f"    closing {one.time[11:16]}: {one.venues} venues within {_NEAR_M:.0f} m, step "
            + (NOT_AVAILABLE if one.step_db is None else f"{one.step_db:+.1f} dB")
            for one in night.closings
        ]
    if meter.long_term is not None:
        lines.append(f"  {_year_words(meter.long_term)}")
    return lines


def _hour_words(hour: Hour) -> str:
    words = f"{hour.start[11:16]} LAeq {_dB(hour.laeq)}"
    words += "" if hour.coverage >= levels.REPORTED else f" (hatched: {hour.coverage:.0%} valid)"
    words += "" if hour.emergence is None else f", {hour.emergence:+.1f} dB on Tuesdays and Wednesdays"
    return words + ("" if hour.harmonica is None else f", Harmonica {hour.harmonica['total']:.1f}")


def _year_words(over: LongTerm) -> str:
    share = min(over.share_of_year)
    if over.l_den is None:
        return f"all nights: LAeq,23-07 {over.level[2]:.1f} dB; no Lden or Lnight, {share:.0%} of a year is behind it"
    flag = "" if over.standing == "reported" else " (hatched: under 75 %)"
    return f"Lden {over.l_den:.1f} dB, Lnight {over.level[2]:.1f} dB{flag}, {share:.0%} of a year"


def _dB(value: float | None) -> str:  # noqa: N802  # the unit's spelling
    return NOT_AVAILABLE if value is None else f"{value:.1f} dB"


def _number(value: float) -> float | None:
    return None if not np.isfinite(value) else round(value, 2)


def _local(moment: np.datetime64, night: Night) -> str:
    """RFC 3339 with the city's offset."""
    offset = local_offset(np.array([moment]), night.zone)[0]
    minutes = int(offset / np.timedelta64(1, "m"))
    sign = "+" if minutes >= 0 else "-"
    return f"{rfc3339(moment + offset)[:19]}{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def _clock_hour(moment: np.datetime64, night: Night) -> int:
    local = moment.astype("datetime64[ms]") + local_offset(np.array([moment]), night.zone)[0]
    return int(local.astype(np.int64) // 3_600_000 % 24)
