"""Planning: what a scenario would change in light, in how safe people report feeling, and in energy.

The scenario's lamps take the place of the city's in the light model, and everything else of the night stays: the same
sensors' corrections, the same people around, the same noise. Lux sensors measured the old lamps, so a correction is
kept as the factor that it is: E_after = E_before (lamps_after + sky) / (lamps_before + sky).

A *passage* is one walk through one street section of at most 100 m. Passages expected to feel safer are
R = sum over sections and steps of footfall x step x change of P(feels safe): an association with what people answered
under such light, not an effect that was tried, and never a number of persons made safe. One set of coefficients stands
behind all cells, hours and both sides of the difference, so the 90 % interval is that of the difference and of its sum
(delta rule, `analytics.perception.weighted_change`); it does not hold the error of footfall, which scales R as a whole.

Energy: P = watts (0.08 + 0.92 level) while a lamp burns (a driver's own share at low level: sensing.md A8), over the
whole dark night and not the mapped window only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.special import ndtri

from analytics.atlas import night_steps, write_plan
from analytics.closing import Desk, cut_of, received_by
from analytics.fields import fields_at
from analytics.lamp_state import DRIVER_SHARE, LampState, lamp_state
from analytics.light import lamp_light, lowest_around
from analytics.perception import fuse, safety_change, total_sd, weighted_change
from analytics.photometry import DEFAULT_LUMENS
from analytics.release import release
from analytics.scenario import Scenario
from analytics.sky import sky_lux
from analytics.sources import along
from analytics.surroundings import Surroundings, with_lamps
from sensors.city import City
from sensors.clock import city_clock
from sensors.night import Night, night_of, rfc3339
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records

Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]

_LUMENS_PER_WATT = 130.0  # of a lamp whose watts nobody knows: middle of today's 110 to 160, sensing.md A5
_NOTICED_LX = 0.05  # a cell counts as changed from here on; pole sensors read noise below 0.1 lx
_FULL_LIGHT = (("12:00", 1.0),)
_HALF_WIDTH = float(ndtri(0.95))

NOTE = "association with what people answered under such light; passages, not persons; 90 % intervals"


@dataclass(frozen=True)
class Interval:
    """A value with its 90 % interval; None where it cannot be told."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Planned:
    """What one scenario would change in one night."""

    name: str
    title: str
    night: str
    typical: bool  # expected from what earlier nights taught; else the night's own readings
    lamps_changed: int
    lamps_added: int
    lamps_removed: int
    illuminance: Interval  # lx, mean change over street cells that change
    safety: Interval  # points of 100, mean change of P(feels safe) over changed street cells that may be shown
    passages: Interval  # a night, expected to feel safer (association)
    passages_there: float  # a night, through what changes
    passages_untold: float  # of them where too few people answered; not in `passages`
    energy_kwh: float  # change a night
    energy_before_kwh: float
    watts_assumed: int  # lamps whose watts nobody knows
    simulated: bool
    model: str

    def row(self) -> dict[str, Any]:
        """One row of the table, intervals as value, `_low` and `_high`."""
        row: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if isinstance(value, dict):
                row |= {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
            else:
                row[name] = value
        for name in ("illuminance", "safety", "passages"):
            row[f"{name}_clear"] = getattr(self, name).clear
        return row | {"note": NOTE}


def plan(
    city: City,
    scenarios: Sequence[Scenario],
    night: Night | None = None,
    *,
    desk: Desk | None = None,
    write: bool = True,
    progress: Progress | None = None,
) -> list[Planned]:
    """What each scenario would change, against the city as it is, in a typical or a given night.

    Parameters
    ----------
    night : a night with readings to plan with; without it the present night as earlier ones would have it expected
    desk : the surroundings and model to plan with, the city's current ones without
    write : keep each scenario's table and difference pages in `store/atlas/plan/<name>`
    """
    opened = desk or Desk.open(city)
    chosen = night or night_of(city_clock(city.path).now(), city.zone)
    records = _records(city, night)
    sides = [_Side.of(city, opened.surroundings, scenario) for scenario in scenarios]
    sums = [_Sums() for _ in sides]
    walked = passage_weights(city, opened.surroundings)
    steps = night_steps(city, chosen)
    for number, step in enumerate(steps):
        used = received_by(records, cut_of(city, step))
        before = fields_at(opened.surroundings, opened.model.knowledge, used, step)
        shown = release(_fused(opened, city, before), opened.model.support, city)
        for side, sum_ in zip(sides, sums, strict=True):
            after = side.fields(before, used, chosen, step)
            _add(sum_, opened, city, before, after, shown, walked)
        if progress is not None:
            progress(number + 1, len(steps))
    results = []
    for side, sum_ in zip(sides, sums, strict=True):
        result = _planned(opened, chosen, night is None, side, sum_, records)
        if write:
            meta = opened.meta | {
                "night": chosen.name,
                "title": result.title,
                "typical": result.typical,
                "table": [result.row()],
                "note": NOTE,
                "written": rfc3339(city_clock(city.path).now()),
            }
            write_plan(city, result.name, xr.concat(sum_.pages, "time"), meta)
        results.append(result)
    return results


def first_look(city: City, scenario: Scenario, desk: Desk, clock: str = "23:00") -> None:
    """Keep the difference page of one step of a typical night, to look at while the night is computed.

    clock : the local time whose step is taken; the page says `preview` and has no table, since a step is no night
    """
    chosen = night_of(city_clock(city.path).now(), city.zone)
    steps = night_steps(city, chosen)
    step = steps[np.argmin(np.abs(steps - chosen.time_of(clock)))]
    side, sums, none = _Side.of(city, desk.surroundings, scenario), _Sums(), _records(city, None)
    before = fields_at(desk.surroundings, desk.model.knowledge, none, step)
    shown = release(_fused(desk, city, before), desk.model.support, city)
    after = side.fields(before, none, chosen, step)
    _add(sums, desk, city, before, after, shown, np.zeros(desk.surroundings.grid.shape))
    meta = desk.meta | {"night": chosen.name, "title": scenario.title, "typical": True, "preview": True, "table": []}
    write_plan(
        city, scenario.name, sums.pages[0], meta | {"note": NOTE, "written": rfc3339(city_clock(city.path).now())}
    )


def passage_weights(city: City, surroundings: Surroundings) -> Floats:
    """For each cell, in how many sections a walk through it stands for a passage: (northing, easting).

    Each section weighs 1 in all, shared out over the cells along it, so that a person who walks through a section is
    counted once and not once a cell.
    """
    grid = surroundings.grid
    weight = np.zeros(grid.shape)
    sections = city.places("sections")
    if not len(sections):
        return weight
    easting, northing, line, _ = along(sections.geometry, grid.cell_m)
    row, column, inside = grid.cells(easting, northing)
    share = 1.0 / np.bincount(line, minlength=len(sections))[line]
    np.add.at(weight, (row[inside], column[inside]), share[inside])
    return np.where(surroundings.indoor, 0.0, weight)


def table_text(results: Sequence[Planned]) -> str:
    """The table for people: one scenario a paragraph, 90 % intervals, and what stands behind it."""
    parts = []
    for result in results:
        kind = "a typical night, as earlier ones have it expected" if result.typical else "with its own readings"
        lines = [
            f"{result.title} ({result.name}), night of {result.night}, {kind}",
            f"  lamps                     {result.lamps_changed} changed, {result.lamps_added} added, "
            f"{result.lamps_removed} removed",
            f"  light where it changes    {_words(result.illuminance, 'lx', 2)}",
            f"  P(feels safe) there       {_words(result.safety, 'points of 100', 1)}",
            f"  passages expected to feel safer (association)  {_words(result.passages, 'a night', None)}",
            f"    of {_rounded(result.passages_there)} passages through what changes, "
            f"{_rounded(result.passages_untold)} where "
            "too few people answered to say",
            f"  energy                    {result.energy_kwh:+.1f} kWh a night (now {result.energy_before_kwh:.1f})",
        ]
        if result.watts_assumed:
            lines.append(f"  the watts of {result.watts_assumed} lamps are assumed from their lumens")
        if result.simulated:
            lines.append("  SIMULATED: not what people here said")
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, f"({NOTE})"])


def _rounded(amount: float, sign: str = "") -> str:
    """To two significant digits: footfall, and so every count of passages, is known no better."""
    return f"{float(f'{amount:.2g}'):{sign},.0f}"


def _words(interval: Interval, unit: str, digits: int | None) -> str:
    """A difference in words; `digits` behind the point, two significant ones where None."""
    if interval.value is None or interval.low is None or interval.high is None:
        return "cannot be told: too few people answered nearby, or nothing changes there"
    value, low, high = (
        _rounded(amount, "+") if digits is None else f"{amount:+.{digits}f}"
        for amount in (interval.value, interval.low, interval.high)
    )
    text = f"{value} {unit} ({low} to {high})"
    return text if interval.clear else f"{text}, not distinguishable from no change"


@dataclass(frozen=True)
class _Side:
    """The city as it is and as a scenario would have it, for the light model."""

    scenario: Scenario
    before: Surroundings
    after: Surroundings
    order: npt.NDArray[np.int64]  # rows of `scenario.after` in the order of the kernels' lamps
    watts_before: Floats  # of the kernels' lamps
    watts_after: Floats
    watts_assumed: int

    @classmethod
    def of(cls, city: City, before: Surroundings, scenario: Scenario) -> _Side:
        """Lay out the scenario's lamps; everything else stands as it does."""
        table = scenario.after
        after = with_lamps(before, city, table)
        lamps = after.lamps
        row_of = {str(lamp): row for row, lamp in enumerate(table["lamp"].astype(str))}
        order = np.array([row_of[lamp] for lamp in lamps.lamp.tolist()], np.int64)
        old = scenario.lamps
        old_row = {str(lamp): row for row, lamp in enumerate(old["lamp"].astype(str))}
        old_order = np.array([old_row[lamp] for lamp in before.lamps.lamp.tolist()], np.int64)
        unknown = ~(table["watts"].to_numpy(np.float64) > 0)
        return cls(
            scenario, before, after, order, _watts(old)[old_order], _watts(table)[order], int(unknown.sum())
        )  # fmt: skip

    def states(self, records: Records, night: Night, step: np.datetime64, sky: float) -> tuple[LampState, LampState]:
        """What the lamps do in a step, as they are and as they would be."""
        until = step + np.timedelta64(self.before.step_minutes, "m")
        was = lamp_state(self.before, records, until, sky)
        would = lamp_state(self.after, records, until, sky)
        # What a lamp could do at most in that step: nothing by day or when it has failed, whatever it is told.
        told = records[records["quantity"] != QUANTITIES["dimming"].code]
        able = lamp_state(replace(self.after, schedule=_FULL_LIGHT), told, until, sky).level
        wanted = self.scenario.levels(night, step)[self.order]
        level = np.where(np.isnan(wanted), would.level, wanted * able)
        return was, LampState(level, would.sd, would.simulated)

    def fields(self, before: xr.Dataset, records: Records, night: Night, step: np.datetime64) -> xr.Dataset:
        """The step's fields with the scenario's light."""
        middle = step + np.timedelta64(self.before.step_minutes * 30, "s")
        sky = sky_lux(middle, self.before.latitude, self.before.longitude)
        was, would = self.states(records, night, step, sky)
        lamps_before, _ = lamp_light(self.before, was)
        lamps_after, _ = lamp_light(self.after, would)
        ratio = (lamps_after + np.float32(sky)) / (lamps_before + np.float32(sky))
        illuminance = before["illuminance"].to_numpy() * ratio
        # Where nothing changes, nothing may seem to: the same bits, not the same sum in another order.
        same = lamps_after == lamps_before
        lowest = lowest_around(self.before, illuminance[0])[None]
        out = before.copy(deep=False)
        out["illuminance"] = before["illuminance"].copy(data=np.where(same, before["illuminance"], illuminance))
        out["illuminance_min"] = before["illuminance_min"].copy(data=lowest)
        return out

    def energy_kwh(self, records: Records, night: Night) -> tuple[float, float]:
        """Of the whole night from noon to noon, as it is and as it would be."""
        length = np.timedelta64(self.before.step_minutes * 60_000, "ms")
        hours = float(length / np.timedelta64(1, "h"))
        totals = np.zeros(2)
        for step in np.arange(night.start, night.end, length):
            sky = sky_lux(step + length / 2, self.before.latitude, self.before.longitude)
            was, would = self.states(records, night, step, sky)
            totals += (_power(self.watts_before, was.level), _power(self.watts_after, would.level))
        before, after = totals * hours / 1000
        return float(before), float(after)


@dataclass
class _Sums:
    """What adds up over the steps of a night."""

    pages: list[xr.Dataset] = field(default_factory=list)
    lux: Floats = field(default_factory=lambda: np.zeros(3))  # change, low, high, summed over cells
    cells: int = 0
    shown: float = 0.0  # cells and steps that count for the mean change of P
    value: Floats = field(default_factory=lambda: np.zeros(2))  # mean change of P (unscaled), passages
    slope: Floats | None = None
    own: Floats | None = None
    there: float = 0.0
    untold: float = 0.0


def _add(
    sums: _Sums, desk: Desk, city: City, before: xr.Dataset, after: xr.Dataset, shown: xr.Dataset, walked: Floats
) -> None:
    """Take one step into the sums and keep its released difference page."""
    lux_before, lux_after = before["illuminance"].to_numpy()[0], after["illuminance"].to_numpy()[0]
    change = lux_after - lux_before
    half = np.exp(_HALF_WIDTH * before["illuminance_sd"].to_numpy()[0])  # lamps of one make err together
    lux_low, lux_high = np.minimum(change / half, change * half), np.maximum(change / half, change * half)
    street = desk.surroundings.street & ~desk.surroundings.indoor & np.isfinite(change)
    changed = street & (np.abs(change) >= _NOTICED_LX)
    sums.lux += [float(np.sum(layer[changed], dtype=np.float64)) for layer in (change, lux_low, lux_high)]
    sums.cells += int(changed.sum())

    hours = desk.surroundings.step_minutes / 60
    footfall = np.nan_to_num(before["footfall"].to_numpy()[0].astype(np.float64))
    passing = walked * footfall * hours * (np.abs(change) >= _NOTICED_LX)
    told = np.isfinite(shown["safety"].to_numpy()[0])
    sums.there += float(passing.sum())
    sums.untold += float(passing[~told].sum())
    weight = np.stack([(changed & told).astype(np.float64).ravel(), (passing * told).ravel()])
    if weight.any():
        value, slope, own = weighted_change(before, after, weight, desk.model.perception, city)
        sums.value = sums.value + value
        sums.slope = slope if sums.slope is None else sums.slope + slope
        sums.own = own if sums.own is None else sums.own + own
        sums.shown += float(weight[0].sum())
    sums.pages.append(_page(desk, city, before, after, change, lux_low, lux_high))


def _fused(desk: Desk, city: City, fields: xr.Dataset) -> xr.Dataset:
    """A step's fields with how safe everyone feels in them, masked as the map is; a plan shows no single groups."""
    everyone = replace(desk.model.perception, views={})
    return fuse(fields, everyone, city, desk.model.support.indoor)


def _page(
    desk: Desk,
    city: City,
    before: xr.Dataset,
    after: xr.Dataset,
    change: npt.NDArray[np.float32],
    lux_low: npt.NDArray[np.float32],
    lux_high: npt.NDArray[np.float32],
) -> xr.Dataset:
    """The released difference page of a step: `safety_change` in points, grey where `safety_change_clear` is 0."""
    fused = _fused(desk, city, before)
    names = [name for name in ("safety", "safety_sd", "safety_evidence", "safety_beyond") if name in fused]
    differences = fused[names].assign(safety_change(before, after, desk.model.perception, city) * 100.0)
    dims = differences["safety"].dims
    lux = {"illuminance_change": change, "illuminance_change_low": lux_low, "illuminance_change_high": lux_high}
    for name, layer in lux.items():
        differences[name] = (dims, layer[None].astype(np.float32), {"units": "lx"})
    page = release(differences, desk.model.support, city)
    low, high = page["safety_change_low"], page["safety_change_high"]
    page["safety_change_clear"] = ((low > 0) | (high < 0)).astype(np.uint8)
    kept = [*lux, "safety_change", "safety_change_low", "safety_change_high", "safety_change_clear"]
    titles = {
        "illuminance_change": "change of illuminance",
        "safety_change": "change of the share of people expected to feel safe (association)",
        "safety_change_clear": "1 where the 90 % interval leaves out no change; the rest is grey",
    }
    for name in kept:
        stem = name.removesuffix("_low").removesuffix("_high")
        unit = {"illuminance_change": "lx", "safety_change": "1/100"}.get(stem, "1")
        page[name].attrs = {"units": unit, "long_name": titles.get(name, f"{titles[stem]}, end of its 90 % interval")}
    return page[kept]


def _planned(desk: Desk, night: Night, typical: bool, side: _Side, sums: _Sums, records: Records) -> Planned:
    scenario = side.scenario
    before_kwh, after_kwh = side.energy_kwh(records, night)
    passages, safety = Interval(None, None, None), Interval(None, None, None)
    if sums.slope is not None and sums.own is not None:
        grid = desk.surroundings.grid
        sd = total_sd(sums.slope, sums.own, desk.model.perception, grid.northing, grid.easting)
        passages = _interval(sums.value[1], sd[1], 1.0)
        if sums.shown:
            safety = _interval(sums.value[0], sd[0], 100.0 / sums.shown)
    mean_lux = sums.lux / max(sums.cells, 1)
    touched = {int(row) for change in scenario.changes if change.what in ("dim", "replace") for row in change.rows}
    removed = {int(row) for change in scenario.changes if change.what == "remove" for row in change.rows}
    return Planned(
        name=scenario.name,
        title=scenario.title,
        night=night.name,
        typical=typical,
        lamps_changed=len(touched - removed),
        lamps_added=int((scenario.after["row"] < 0).sum()),
        lamps_removed=len(removed),
        illuminance=Interval(*(round(float(value), 3) for value in mean_lux)),
        safety=safety,
        passages=passages,
        passages_there=round(sums.there, 1),
        passages_untold=round(sums.untold, 1),
        energy_kwh=round(after_kwh - before_kwh, 3),
        energy_before_kwh=round(before_kwh, 3),
        watts_assumed=side.watts_assumed,
        simulated=bool(desk.meta["simulated"]),
        model=desk.model.digest,
    )


def _interval(total: float, sd: float, scale: float) -> Interval:
    value, half = float(total) * scale, _HALF_WIDTH * float(sd) * scale
    return Interval(round(value, 3), round(value - half, 3), round(value + half, 3))


def _records(city: City, night: Night | None) -> Records:
    if night is None:
        return empty_records()
    from ingest.archive import night_records

    return night_records(city, night)


def _watts(table: Any) -> Floats:
    lumens, watts = table["lumens"].to_numpy(np.float64), table["watts"].to_numpy(np.float64)
    assumed = np.where(lumens > 0, lumens, DEFAULT_LUMENS) / _LUMENS_PER_WATT
    known: Floats = np.where(watts > 0, watts, assumed)
    return known


def _power(watts: Floats, level: Floats) -> float:
    """W of all lamps at their levels, (n,) each; one that is off takes nothing."""
    return float(np.where(level > 0, watts * (DRIVER_SHARE + (1 - DRIVER_SHARE) * level), 0.0).sum())
