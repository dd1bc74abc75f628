"""Which lamps are at fault, from what their controllers say: the rules of street-light maintenance on telemetry.

Let cmd be the level that was ordered and act the level that the driver is at (0..1), P the power that was measured,
Pn the asset's watts and Pe = P0 + (Pn - P0) act what that level should draw, with P0 = 0.08 Pn of the driver alone.

    dead            cmd > 0 for ten minutes and P < max(2 W, 0.2 Pe), or the controller's own word
                    (lamp_ok 0)                                                                  2 reports or 30 min
    partial         0.2 Pe <= P < 0.7 Pe: part of the LED strings is dark                        3 reports
    day-burner      sun above +3 degrees and P > 0.5 Pn (without power: act > 0)                 2 reports and 30 min
    stuck-dimming   act leaves cmd by more than 0.1 ten minutes after it was given, or neither
                    act nor P follows a step of cmd of 0.2 or more                               2 steps or 1 h
    cycling         6 switch-ons in a night beyond those that were ordered                       -
    silent          3 reports of its own rhythm are missing while others are heard               more where many fail
    cabinet-outage  80 % of the controllers of a cabinet or circuit fall silent together         one finding for all
    over-voltage, under-voltage  outside 230 V +- 10 %                                           3 reports
    wrong-asset     P / Pe constant, but off by more than 15 %                                   20 reports

Where a controller sends no command, the level that most controllers of its circuit are at stands for it; where it
sends no power, its own word decides. A rule without the quantities that it needs says nothing. Rates below 1 Hz tell
nothing about flicker, and a slow loss by dirt needs a season: neither is claimed here.

Sources: TALQ 2.7.1 (lampFailure, dayBurner, cyclingFailure), uCIFI LwM2M 3416, EN 50160 (voltage), and the defaults of
sensing.md A7, which every constant below repeats.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sensors.flags import usable
from sensors.night import sun_elevation
from sensors.quantities import QUANTITIES
from sensors.reading import Records

if TYPE_CHECKING:
    import pandas as pd

DEAD, PARTIAL, DAY_BURNER, STUCK = "dead", "partial", "day-burner", "stuck-dimming"
CYCLING, SILENT, OUTAGE = "cycling", "silent", "cabinet-outage"
OVER_VOLTAGE, UNDER_VOLTAGE, WRONG_ASSET = "over-voltage", "under-voltage", "wrong-asset"
KINDS = (DEAD, PARTIAL, DAY_BURNER, STUCK, CYCLING, SILENT, OUTAGE, OVER_VOLTAGE, UNDER_VOLTAGE, WRONG_ASSET)
LAMP_QUANTITIES = ("dimming", "dimming_command", "power", "lamp_ok", "supply_voltage")

STANDBY_SHARE = 0.08  # P0 / Pn: a driver takes 5-10 % of its lamp's watts whatever the level (sensing.md A2)
DEAD_WATTS, DEAD_SHARE = 2.0, 0.2
DEAD_REPORTS, DEAD_AFTER = 2, 30.0  # minutes
PARTIAL_SHARE, PARTIAL_REPORTS = 0.7, 3
DAY_SUN_DEG, DAY_SHARE, DAY_AFTER = 3.0, 0.5, 30.0
STUCK_LEVEL, STUCK_STEP, STUCK_POWER_SHARE = 0.1, 0.2, 0.03
STUCK_STEPS, STUCK_AFTER, SETTLE = 2, 60.0, 10.0
CYCLING_ON = 6
SILENT_MISSED, SILENT_AT_LEAST = 3, 20.0
OUTAGE_SHARE, OUTAGE_WITHIN, OUTAGE_LEAST = 0.8, 5.0, 3  # of controllers, minutes, controllers
VOLTAGE_LOW, VOLTAGE_HIGH, VOLTAGE_REPORTS = 207.0, 253.0, 3  # EN 50160: 230 V +- 10 %
VOLTAGE_OFF = 50.0  # below it the supply is switched off, which is no fault of the supply
ASSET_SHARE, ASSET_SPREAD, ASSET_REPORTS = 0.15, 0.05, 20

# With reports every 15 min the moment of an outage is known only as well as chance allows: this many reports should
# have come since the last one before it is called, so that chance alone does it once in exp(12) = 160,000 times. So
# missing reports count by how rare they are: n of them where a share p is lost are called from p^n = exp(-12).
_EXPECTED_REPORTS = _EXPECTED_NATS = 12.0
_LOSS_LEAST = 0.005  # no network is trusted to lose less; cellular ones lose 0.5 %, poor LoRa 9 % (sensing.md E1)
_LOSS_KNOWN = 96  # reports, a day of them, by which a controller's own losses outweigh those of all
_LATE_BEATS = 0.3  # a report that is this much of an interval overdue is missing: clocks jitter by a few per cent
_GAP_BEATS = 1.6  # a gap between two reports is one when a report of the device's rhythm is missing
_TOGETHER_BEATS = 1.2  # controllers that lose current together were each last heard within one interval of that
_PEERS, _PEERS_AGREE = 4, 0.6  # controllers of a circuit that stand for a command, and their share at one level
_SLOT_MS = 900_000
_SLOTS_KEPT = 8 * 96  # eight nights; a report that is older says only when its sender was last heard
_SAME_REPORT_MS = 60_000  # what a controller says within a minute is one report
_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_HELD_MS = 3_600_000  # a level that was reported longer ago than this says nothing of now
_DAWN_DEG = -6.0
_SAME_LEVEL = 0.03

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LampFault:
    """One fault: a lamp's, or one cabinet's for all of its lamps."""

    kind: str  # one of KINDS
    device: str  # its controller; empty for an outage
    lamps: tuple[str, ...]  # ids of places/lamps
    sites: tuple[int, ...]  # of the controllers concerned, all their lamp quantities
    cabinet: str
    circuit: str  # empty where an outage takes the whole cabinet
    since: np.datetime64  # UTC ms: the first report that showed it, or the last one before silence
    confirmed: np.datetime64  # UTC ms: when there were reports enough to say so
    until: np.datetime64  # UTC ms: the first report that showed it no longer; NaT while it stands
    evidence: str  # a sentence for a person
    lost: float  # share of the light that is missing, 0..1; NaN where nobody can say (a controller that is silent)

    @property
    def standing(self) -> bool:
        """Whether it had not ended by the last report."""
        return bool(np.isnat(self.until))


class _Series(NamedTuple):
    """Reports of one quantity, by device and time."""

    device: npt.NDArray[np.int64]  # row of `_Fleet`
    time: Ints  # ms UTC
    value: Floats

    @property
    def key(self) -> Ints:
        """Ascending, and told apart by device: for searching."""
        return _key(self.device, self.time)


@dataclass(frozen=True)
class _Fleet:
    """The lamp controllers: arrays are (n_devices,)."""

    device: npt.NDArray[np.object_]
    lamps: list[tuple[str, ...]]
    sites: list[tuple[int, ...]]
    cabinet: npt.NDArray[np.object_]
    circuit: npt.NDArray[np.object_]
    watts: Floats  # NaN where the assets do not say

    @classmethod
    def of(cls, sites: pd.DataFrame, lamps: pd.DataFrame) -> _Fleet:
        """Controllers are the devices with a site of a lamp quantity."""
        rows = sites[sites["quantity"].isin(LAMP_QUANTITIES)].sort_values(["device", "site"])
        row_of = {str(lamp): row for row, lamp in enumerate(lamps["lamp"].tolist())}
        cabinet, circuit = lamps["cabinet"].tolist(), lamps["circuit"].tolist()
        watts = lamps["watts"].to_numpy(np.float64)
        numbers: dict[str, list[int]] = {}
        ids: dict[str, dict[str, None]] = {}
        columns = rows["device"].tolist(), rows["site"].tolist(), rows["lamps"].tolist()
        for device, site, text in zip(*columns, strict=True):
            numbers.setdefault(device, []).append(int(site))
            ids.setdefault(device, {}).update(dict.fromkeys(lamp for lamp in str(text).split(";") if lamp))
        known = [[row_of[lamp] for lamp in found if lamp in row_of] for found in ids.values()]
        return cls(
            np.array(list(numbers), object),
            [tuple(found) for found in ids.values()],
            [tuple(found) for found in numbers.values()],
            np.array([str(cabinet[found[0]]) if found else "" for found in known], object),
            np.array([str(circuit[found[0]]) if found else "" for found in known], object),
            np.array([watts[found].sum() if found else np.nan for found in known], np.float64),
        )

    def rows_of_sites(self) -> npt.NDArray[np.int32]:
        """Site number -> row of its device, -1 for sites that are no lamp's."""
        row = np.full(max((max(numbers) for numbers in self.sites), default=0) + 1, -1, np.int32)
        for index, numbers in enumerate(self.sites):
            row[list(numbers)] = index
        return row


def find(
    records: Records,
    sites: pd.DataFrame,
    lamps: pd.DataFrame,
    *,
    until: np.datetime64,
    lonlat: tuple[float, float],
) -> list[LampFault]:
    """The lamp faults of a night (or several), by kind, then since, then device; ended ones included.

    Parameters
    ----------
    records : (n,) RECORD array
        Of any quantities and in any order; what physics refuses (`sensors.flags.FAIL`) is passed over.
    sites, lamps : DataFrame
        The tables of places; a site's `lamps` are ids of the lamps that its controller switches, joined by ';'.
    until : datetime64[ms]
        Up to which moment (UTC) everything that was sent is in `records`.
    lonlat : (longitude, latitude)
        Degrees, for the sun.
    """
    fleet = _Fleet.of(sites, lamps)
    night = _Night.of(records, fleet, int(until.astype("datetime64[ms]").astype(np.int64)), lonlat)
    if not len(night.reports.time):
        return []
    outages = list(_outages(night))
    faults = [
        *_dead(night),
        *_partial(night),
        *_day_burners(night),
        *_stuck(night),
        *_cycling(night),
        *_silent(night),
        *_voltage(night),
        *_wrong_assets(night),
    ]
    reach = dict(zip(fleet.device.tolist(), night.patience_ms.tolist(), strict=True))
    flickering = {fault.device for fault in faults if fault.kind == CYCLING}
    faults = [
        fault
        for fault in faults
        if not _explained(fault, outages, reach)
        # A lamp that goes on and off is dark now and then.
        and (fault.kind != DEAD or fault.standing or fault.device not in flickering)
    ] + outages
    return sorted(faults, key=lambda fault: (fault.kind, fault.since, fault.device, fault.cabinet, fault.circuit))


@dataclass
class _Night:
    """What was reported, arranged for the rules."""

    fleet: _Fleet
    series: dict[str, _Series]
    reports: _Series  # every report of any lamp quantity once
    beat_ms: Floats  # (n_devices,) usual time between its reports
    nats: Floats  # (n_devices,) how much one missing report says: -log of the share that is lost anyway
    until: int
    air: tuple[Ints, Ints]  # moments, and how long by then nobody at all had been heard, ms
    sun: tuple[Ints, Floats]  # moments and elevation, degrees

    @classmethod
    def of(cls, records: Records, fleet: _Fleet, until: int, lonlat: tuple[float, float]) -> _Night:
        """Reports by device and time, the rhythm of each device, and the sun."""
        row = fleet.rows_of_sites()
        site = records["site"]
        rows = np.where(site < len(row), row[np.minimum(site, len(row) - 1)], np.int32(-1))
        time = records["time"].astype(np.int64)
        kept = (rows >= 0) & usable(records["flags"]) & (time <= until)
        # Copied in the order in which they lie before anything is sorted: a structured array is slow to jump about in.
        device, time = rows[kept], time[kept]
        quantity, value = records["quantity"][kept], records["value"][kept]
        if len(time) and bool(np.any(time[1:] < time[:-1])):
            by_time = np.argsort(time, kind="stable")
            device, time, quantity, value = device[by_time], time[by_time], quantity[by_time], value[by_time]
        # numpy sorts 16-bit numbers by radix, ten times as fast as wider ones.
        order = np.argsort(device.astype(np.uint16) if len(fleet.device) <= 0xFFFF else device, kind="stable")
        device, time, quantity, value = device[order], time[order], quantity[order], value[order]
        series = {}
        for name in LAMP_QUANTITIES:
            mine = quantity == QUANTITIES[name].code
            series[name] = _Series(device[mine].astype(np.int64), time[mine], value[mine].astype(np.float64))
        first = np.ones(len(time), bool)
        first[1:] = (device[1:] != device[:-1]) | (np.diff(time) > _SAME_REPORT_MS)
        reports = _Series(device[first].astype(np.int64), time[first], np.zeros(int(first.sum())))
        beats = _rhythm(reports, len(fleet.device))
        # The other cabinets are the witnesses of one; where there is no other, whatever else is heard.
        alone = len(set(fleet.cabinet)) < 2
        heard = records["time"][usable(records["flags"])].astype(np.int64) if alone else reports.time
        air = _dead_air(heard[heard <= until], float((1.0 / beats[np.unique(reports.device)]).sum()), until)
        return cls(fleet, series, reports, beats, _surprise(reports, beats), until, air, _sun(time, until, lonlat))

    def elevation(self, time: Ints) -> Floats:
        """The sun's elevation at some moments, degrees."""
        return np.asarray(np.interp(time, *self.sun), np.float64)

    def unheard(self, begin: Ints, end: Ints) -> Ints:
        """How much of each interval passed while nobody at all was heard, ms: the network's silence, not a lamp's."""
        return np.asarray(np.interp(end, *self.air) - np.interp(begin, *self.air), np.int64)

    @property
    def patience_ms(self) -> Floats:
        """(n_devices,) How long a device may say nothing before it counts as silent."""
        missed = np.maximum(SILENT_MISSED, np.ceil(_EXPECTED_NATS / self.nats))
        return np.asarray((missed + _LATE_BEATS) * self.beat_ms, np.float64)

    def level(self, device: Ints, time: Ints) -> tuple[Floats, Floats]:
        """The level at which each device should burn at a moment, and ten minutes before; NaN where nobody says."""
        now = _as_of(self.series["dimming_command"], device, time)
        act = _as_of(self.series["dimming"], device, time, _HELD_MS)
        before = _as_of(self.series["dimming_command"], device, time - int(SETTLE * _MINUTE_MS))
        act_before = _as_of(self.series["dimming"], device, time - int(SETTLE * _MINUTE_MS), _HELD_MS)
        told = ~np.isnan(now)
        level = np.where(told, now, act)
        return level, np.where(told, before, act_before)

    @property
    def slots(self) -> tuple[int, tuple[int, int]]:
        """Begin of the first slot of 15 minutes (ms), and the shape (n_devices, n_slots) of what is told by slot."""
        first = max(int(self.reports.time.min()), self.until - (_SLOTS_KEPT - 1) * _SLOT_MS) // _SLOT_MS
        return first * _SLOT_MS, (len(self.fleet.device), self.until // _SLOT_MS - first + 1)

    @cached_property
    def power_level(self) -> tuple[Floats, Floats]:
        """`level` at each report of power."""
        return self.level(self.series["power"].device, self.series["power"].time)

    @cached_property
    def drawn(self) -> tuple[_Series, Floats]:
        """Reports of power at a settled level above 0, and what share of the expected power each is."""
        power = self.series["power"]
        level, earlier = self.power_level
        settled = _settled(level, earlier)
        act = _as_of(self.series["dimming"], power.device, power.time, _HELD_MS)
        level = np.where(np.isnan(act), level, act)
        expected = _expected_watts(self.fleet.watts[power.device], level)
        known = settled & (level > 0) & np.isfinite(expected)
        return _picked(power, known), power.value[known] / expected[known]

    @cached_property
    def said_dead(self) -> dict[int, list[_Run]]:
        """When controllers say themselves that the lamp has failed, by device."""
        said = self.series["lamp_ok"]
        by_device: dict[int, list[_Run]] = {}
        for run in _runs(said, said.value < 0.5, self.until, reports=DEAD_REPORTS, minutes=DEAD_AFTER):
            by_device.setdefault(run.device, []).append(run)
        return by_device

    def is_said_dead(self, run: _Run) -> bool:
        """Whether the controller says of the same failure itself what was concluded from its power."""
        return any(_overlap(run, word, self.until) for word in self.said_dead.get(run.device, ()))

    def sends(self, quantity: str) -> Bools:
        """(n_devices,) which controllers send this quantity."""
        sends = np.zeros(len(self.fleet.device), bool)
        sends[self.series[quantity].device] = True
        return sends

    def after_daylight(self, since: int, daylight: int) -> int:
        """When so much daylight (ms) will have passed since a moment."""
        moments, elevation = self.sun
        passed = np.concatenate([[0.0], np.cumsum(np.diff(moments) * (elevation[1:] > DAY_SUN_DEG))])
        wanted = np.interp(since, moments, passed) + daylight
        index = int(np.searchsorted(passed, wanted, side="left"))
        if index >= len(moments):
            return int(np.iinfo(np.int64).max)
        return int(moments[index] - (passed[index] - wanted))

    def fault(
        self, kind: str, row: int, since: int, confirmed: int, until: int | None, evidence: str, lost: float = 0.0
    ) -> LampFault:
        """A fault of one controller's lamps."""
        fleet = self.fleet
        return LampFault(
            kind,
            str(fleet.device[row]),
            fleet.lamps[row],
            fleet.sites[row],
            str(fleet.cabinet[row]),
            str(fleet.circuit[row]),
            _moment(since),
            _moment(confirmed),
            np.datetime64("NaT", "ms") if until is None else _moment(until),
            evidence,
            lost,
        )


class _Run(NamedTuple):
    """Reports in a row of one device that show a fault: positions in its series, and the moments of it."""

    device: int
    first: int
    last: int
    since: int
    confirmed: int
    until: int | None


def _runs(series: _Series, bad: Bools, end: int, *, reports: int | None, minutes: float | None) -> Iterator[_Run]:
    """Runs of bad reports that are confirmed: by a number of reports, or by lasting for some minutes."""
    if not bad.any():
        return
    change = np.ones(len(bad), bool)
    change[1:] = (bad[1:] != bad[:-1]) | (series.device[1:] != series.device[:-1])
    starts = np.flatnonzero(change)
    lasts = np.append(starts[1:], len(bad)) - 1
    starts, lasts = starts[bad[starts]], lasts[bad[starts]]
    after = np.minimum(lasts + 1, len(bad) - 1)
    ended = (lasts + 1 < len(bad)) & (series.device[after] == series.device[starts])
    over = np.where(ended, series.time[after], end)
    never = np.iinfo(np.int64).max
    confirmed = np.full(len(starts), never)
    if reports is not None:
        enough = lasts - starts + 1 >= reports
        confirmed[enough] = series.time[starts[enough] + reports - 1]
    if minutes is not None:
        moment = series.time[starts] + int(minutes * _MINUTE_MS)
        confirmed = np.where(moment <= over, np.minimum(confirmed, moment), confirmed)
    for index in np.flatnonzero(confirmed < never).tolist():
        first, last = int(starts[index]), int(lasts[index])
        until = int(over[index]) if ended[index] else None
        yield _Run(int(series.device[first]), first, last, int(series.time[first]), int(confirmed[index]), until)


def _dead(night: _Night) -> Iterator[LampFault]:
    power = night.series["power"]
    for run in itertools.chain.from_iterable(night.said_dead.values()):
        count = run.last - run.first + 1
        evidence = f"its controller says that the lamp has failed ({count} report{'s' * (count > 1)})"
        yield night.fault(DEAD, run.device, run.since, run.confirmed, run.until, evidence, lost=1.0)
    if not len(power.time):
        return
    level, earlier = night.power_level
    untold = np.isnan(level)
    level = np.where(untold, 0.0, level)
    # What is measured in the moment of switching on may be of the moment before.
    should = np.where(untold, _circuit_draws(night, power), (level > 0) & (earlier > 0))
    bad = should & (power.value < _dead_below(night.fleet.watts[power.device], level))
    for run in _runs(power, bad, night.until, reports=DEAD_REPORTS, minutes=DEAD_AFTER):
        if night.is_said_dead(run):
            continue
        order = "its circuit burns" if untold[run.last] else f"{level[run.last]:.0%} is ordered"
        evidence = f"draws {power.value[run.last]:.1f} W while {order}{_of_asset(night.fleet.watts[run.device])}"
        yield night.fault(DEAD, run.device, run.since, run.confirmed, run.until, evidence, lost=1.0)


def _partial(night: _Night) -> Iterator[LampFault]:
    lit, ratio = night.drawn
    bad = (ratio >= DEAD_SHARE) & (ratio < PARTIAL_SHARE) & (lit.value >= DEAD_WATTS)
    for run in _runs(lit, bad, night.until, reports=PARTIAL_REPORTS, minutes=None):
        if night.is_said_dead(run):
            continue  # one of the lamps of this controller
        share = float(np.median(ratio[run.first : run.last + 1]))
        evidence = f"draws {share:.0%} of what its level should take{_of_asset(night.fleet.watts[run.device])}"
        yield night.fault(PARTIAL, run.device, run.since, run.confirmed, run.until, evidence, lost=1.0 - share)


def _day_burners(night: _Night) -> Iterator[LampFault]:
    power, dimming = night.series["power"], night.series["dimming"]
    threshold = np.fmax(DAY_SHARE * night.fleet.watts[power.device], DEAD_WATTS)
    for run in _by_day(night, power, power.value > threshold):
        evidence = f"draws {power.value[run.last]:.0f} W by day{_of_asset(night.fleet.watts[run.device])}"
        yield night.fault(DAY_BURNER, run.device, run.since, run.confirmed, run.until, evidence)
    # Without a power reading the driver's level has to do, unless the controller says that the lamp is dead.
    dimming = _picked(dimming, ~night.sends("power")[dimming.device])
    whole = _as_of(night.series["lamp_ok"], dimming.device, dimming.time, _HELD_MS)
    for run in _by_day(night, dimming, (dimming.value > _SAME_LEVEL) & ~(whole < 0.5)):
        evidence = f"reports {dimming.value[run.last]:.0%} light by day, and sends no power"
        yield night.fault(DAY_BURNER, run.device, run.since, run.confirmed, run.until, evidence)


def _by_day(night: _Night, series: _Series, burns: Bools) -> Iterator[_Run]:
    """Runs of burning by day; the night between two days is passed over, and does not count as daylight."""
    positions = np.flatnonzero(night.elevation(series.time) > DAY_SUN_DEG)
    day = _Series(series.device[positions], series.time[positions], series.value[positions])
    daylight = int(DAY_AFTER * _MINUTE_MS)
    # Two reports: a lamp that was seen burning once and lost its supply with the daylight burns no longer.
    for run in _runs(day, burns[positions], night.until, reports=2, minutes=None):
        confirmed = max(run.confirmed, night.after_daylight(run.since, daylight))
        known = min(night.until, int(day.time[run.last]) + _HELD_MS) if run.until is None else run.until
        if confirmed <= known:
            first, last = int(positions[run.first]), int(positions[run.last])
            yield run._replace(first=first, last=last, confirmed=confirmed)


def _stuck(night: _Night) -> Iterator[LampFault]:
    """Steps that were not followed, by level or by power, and levels that stand apart from what was ordered."""
    dimming, power = night.series["dimming"], night.series["power"]
    told = night.sends("dimming_command")
    found: dict[int, _Told] = {}
    if len(power.time):
        found |= _power_unmoved(night, told)
    if len(dimming.time):
        found |= _apart(night, told) | dict(_unfollowed(night, _Slots.of(night), told))
    for row, (since, confirmed, until, evidence) in sorted(found.items()):
        yield night.fault(STUCK, row, since, confirmed, until, evidence)


_Told = tuple[int, int, int | None, str]  # since, confirmed, until, evidence


@dataclass(frozen=True)
class _Slots:
    """Levels in steps of 15 minutes, (n_devices, n_slots); NaN where nothing was reported for an hour."""

    begin: int
    level: npt.NDArray[np.float32]
    order: npt.NDArray[np.float32]  # what was ordered, by command or as most of the circuit do

    @classmethod
    def of(cls, night: _Night) -> _Slots:
        """Levels of all devices, and their orders."""
        begin, shape = night.slots
        level = _held(_fill(night.series["dimming"], begin, shape), _HELD_MS // _SLOT_MS)
        command = _held(_fill(night.series["dimming_command"], begin, shape), shape[1])
        # While a circuit changes, which takes some minutes, no level is that of most.
        most = _held(_as_most(night.fleet, level), 2)
        return cls(begin, level, np.where(np.isnan(command), most, command))

    def time(self, slot: Ints) -> Ints:
        """Begin of a slot, ms."""
        return self.begin + slot * _SLOT_MS


def _unfollowed(night: _Night, slots: _Slots, told: Bools) -> Iterator[tuple[int, _Told]]:
    """Devices whose level did not move when its order did: the last run of such steps of each."""
    order, level = slots.order, slots.level
    if order.shape[1] < 6:
        return
    step = np.zeros(order.shape, bool)
    lit = (order[:, 1:] > 0) & (order[:, :-1] > 0)
    step[:, 1:] = lit & (np.abs(order[:, 1:] - order[:, :-1]) >= STUCK_STEP)
    # Clocks differ by minutes, so the level is taken two slots before and one after. And light that somebody's coming
    # calls for some minutes is over before the next report: the order must have stood for one slot more on each side.
    step[:, :3] = step[:, -2:] = False
    steady = _settled(order[:, 1:], order[:, :-1])
    step[:, 3:-2] &= steady[:, :-4] & steady[:, 1:-3] & steady[:, 3:-1] & steady[:, 4:]
    row, slot = np.nonzero(step)
    before, after = level[row, slot - 2], level[row, slot + 1]
    known = (before > 0) & (after > 0)
    row, slot, before, after = row[known], slot[known], before[known], after[known]
    unmoved = np.abs(after - before) < _SAME_LEVEL
    apart = np.abs(level - order) > STUCK_LEVEL
    apart &= (level > 0) & (order > 0)
    standing = int(STUCK_AFTER * _MINUTE_MS) // _SLOT_MS
    steps = _Series(row.astype(np.int64), slots.time(slot), after.astype(np.float64))
    for run in _runs(steps, unmoved, night.until, reports=1, minutes=None):
        count = run.last - run.first + 1
        until_slot = order.shape[1] if run.until is None else int((run.until - slots.begin) // _SLOT_MS)
        disagrees = np.flatnonzero(apart[run.device, int(slot[run.first]) + 1 : until_slot])
        if count < STUCK_STEPS and len(disagrees) < standing:
            continue
        confirmed = [int(slots.time(slot[run.first + STUCK_STEPS - 1])) + 2 * _SLOT_MS] if count >= STUCK_STEPS else []
        if len(disagrees) >= standing:
            confirmed.append(int(slots.time(slot[run.first] + 2 + disagrees[standing - 1])))
        whose = "was ordered" if told[run.device] else "the others of its circuit took"
        evidence = f"stays at {after[run.first]:.0%} through {count} step{'s' * (count > 1)} that {whose}"
        yield run.device, (run.since, min(confirmed), run.until, evidence)


def _apart(night: _Night, told: Bools) -> dict[int, _Told]:
    """Devices whose level differs from their own command for long."""
    dimming = _picked(night.series["dimming"], told[night.series["dimming"].device])
    if not len(dimming.time):
        return {}
    ordered, earlier = night.level(dimming.device, dimming.time)
    bad = _settled(ordered, earlier) & (np.abs(dimming.value - ordered) > STUCK_LEVEL)
    found = {}
    for run in _runs(dimming, bad, night.until, reports=None, minutes=STUCK_AFTER):
        known = int(dimming.time[run.last]) + _HELD_MS
        if run.first == run.last or (run.until is None and run.confirmed > known):
            continue  # a report and then silence tell of a moment, not of an hour
        evidence = f"is at {dimming.value[run.last]:.0%} while {ordered[run.last]:.0%} is ordered"
        found[run.device] = (run.since, run.confirmed, run.until, evidence)
    return found


def _power_unmoved(night: _Night, told: Bools) -> dict[int, _Told]:
    """Devices whose power is the same before and after steps of their level."""
    orders, levels, power = night.series["dimming_command"], night.series["dimming"], night.series["power"]
    levels = _picked(levels, ~told[levels.device])
    merged = np.argsort(np.concatenate([orders.key, levels.key]), kind="stable")
    device = np.concatenate([orders.device, levels.device])[merged]
    time = np.concatenate([orders.time, levels.time])[merged]
    value = np.concatenate([orders.value, levels.value])[merged]
    if len(time) < 2:
        return {}
    step = np.flatnonzero(
        (device[1:] == device[:-1])
        & (value[1:] > 0)
        & (value[:-1] > 0)
        & (np.abs(value[1:] - value[:-1]) >= STUCK_STEP)
    )
    step_device, step_time = device[step + 1], time[step + 1]
    settle = int(SETTLE * _MINUTE_MS)
    # The level must have stood before and after for as long as power needs to follow, else nobody expects it to differ.
    changed = np.ones(len(time), bool)
    changed[1:] = (device[1:] != device[:-1]) | (np.abs(value[1:] - value[:-1]) >= _SAME_LEVEL)
    at = np.flatnonzero(changed)
    place = np.searchsorted(at, step + 1)
    following = np.append(at, len(time))[place + 1]
    ends = np.where(
        (following < len(time)) & (device[np.minimum(following, len(time) - 1)] == step_device),
        time[np.minimum(following, len(time) - 1)] - 1,
        step_time + _HELD_MS,
    )
    # A command is given at its moment; a level may have been reached at any time since it was reported last.
    until = np.where(told[step_device], step_time - _SAME_REPORT_MS, time[step])
    before = _between_moments(power, step_device, time[at[place - 1]] + settle, until)
    late = _between_moments(power, step_device, step_time + settle, np.minimum(ends, step_time + _HELD_MS))
    known = (before > DEAD_WATTS) & (late > DEAD_WATTS)
    steps = _Series(step_device[known], step_time[known], late[known])
    unmoved = np.abs(late[known] - before[known]) < STUCK_POWER_SHARE * before[known]
    found = {}
    for run in _runs(steps, unmoved, night.until, reports=STUCK_STEPS, minutes=None):
        count = run.last - run.first + 1
        evidence = f"draws {steps.value[run.last]:.0f} W before and after {count} steps of its level"
        found[run.device] = (run.since, run.confirmed, run.until, evidence)
    return found


def _cycling(night: _Night) -> Iterator[LampFault]:
    power, said, dimming = night.series["power"], night.series["lamp_ok"], night.series["dimming"]
    said = _picked(said, ~night.sends("power")[said.device])
    spoke = night.sends("power") | night.sends("lamp_ok")
    dimming = _picked(dimming, ~spoke[dimming.device])
    first_ms = int(night.reports.time.min())
    ordered = _orders_to_switch_on(night, first_ms)
    for series, limit in ((power, DEAD_WATTS), (said, 0.5), (dimming, _SAME_LEVEL)):
        on = series.value > limit
        again = np.flatnonzero(on[1:] & ~on[:-1] & (series.device[1:] == series.device[:-1])) + 1
        if not len(again):
            continue
        day = (series.time[again] - first_ms) // _DAY_MS
        pair, where, count = np.unique(
            np.column_stack([series.device[again], day]), axis=0, return_index=True, return_counts=True
        )
        for (row, number), first, times in zip(pair.tolist(), where.tolist(), count.tolist(), strict=True):
            # Dusk is one that nobody had to order; a lamp whose word alone is known is not switched at all.
            allowed = 0 if series is said else max(1, ordered.get((row, number), 0))
            if times - allowed < CYCLING_ON:
                continue
            mine = again[first : first + times]
            evidence = f"went on {times} times in a night, {allowed} of them ordered"
            confirmed = int(series.time[mine[CYCLING_ON + allowed - 1]])
            yield night.fault(CYCLING, row, int(series.time[mine[0]]), confirmed, None, evidence)


def _orders_to_switch_on(night: _Night, first_ms: int) -> dict[tuple[int, int], int]:
    """How often each device was ordered on in each day since a moment, where it was."""
    command = night.series["dimming_command"]
    on = command.value > 0
    again = np.flatnonzero(on[1:] & ~on[:-1] & (command.device[1:] == command.device[:-1])) + 1
    days = ((command.time[again] - first_ms) // _DAY_MS).tolist()
    return Counter(zip(command.device[again].tolist(), days, strict=True))


def _silent(night: _Night) -> Iterator[LampFault]:
    device, begin, end, still = _gaps(night, night.patience_ms)
    least = int(SILENT_AT_LEAST * _MINUTE_MS)
    for index in np.flatnonzero(end - begin - night.unheard(begin, end) >= least).tolist():
        row = int(device[index])
        beat = night.beat_ms[row]
        lasted = "" if still[index] else f" for {(end[index] - begin[index]) / _MINUTE_MS:.0f} min"
        evidence = f"sent nothing{lasted}; it used to report every {beat / _MINUTE_MS:.0f} min"
        confirmed = min(int(begin[index] + max(night.patience_ms[row], least)), int(end[index]))
        over = None if still[index] else int(end[index])
        yield night.fault(SILENT, row, int(begin[index]), confirmed, over, evidence, lost=np.nan)


def _voltage(night: _Night) -> Iterator[LampFault]:
    volts = _picked(night.series["supply_voltage"], night.series["supply_voltage"].value > VOLTAGE_OFF)
    for kind, bad in ((OVER_VOLTAGE, volts.value > VOLTAGE_HIGH), (UNDER_VOLTAGE, volts.value < VOLTAGE_LOW)):
        for run in _runs(volts, bad, night.until, reports=VOLTAGE_REPORTS, minutes=None):
            seen = volts.value[run.first : run.last + 1]
            worst = seen.max() if kind == OVER_VOLTAGE else seen.min()
            evidence = f"{worst:.0f} V; {VOLTAGE_LOW:.0f} to {VOLTAGE_HIGH:.0f} V are allowed"
            yield night.fault(kind, run.device, run.since, run.confirmed, run.until, evidence)


def _wrong_assets(night: _Night) -> Iterator[LampFault]:
    lit, ratio = night.drawn
    if not len(ratio):
        return
    # Sorted by size within each device, so that percentiles are look-ups.
    sorted_ratio = np.sort(lit.device * 8.0 + np.minimum(ratio, 7.0))
    begin = np.flatnonzero(np.diff(lit.device, prepend=-1))
    count = np.diff(np.append(begin, len(ratio)))
    low, middle, high = (
        sorted_ratio[begin + ((count - 1) * share // 100)] - lit.device[begin] * 8.0 for share in (10, 50, 90)
    )
    wrong = (count >= ASSET_REPORTS) & (middle >= PARTIAL_SHARE)
    wrong &= (np.abs(middle - 1.0) > ASSET_SHARE) & (high - low <= ASSET_SPREAD * middle)
    for index in np.flatnonzero(wrong).tolist():
        first = int(begin[index])
        row = int(lit.device[first])
        watts = night.fleet.watts[row]
        evidence = f"always draws {middle[index]:.0%} of what {watts:.0f} W would; the asset may be another"
        confirmed = int(lit.time[first + ASSET_REPORTS - 1])
        yield night.fault(WRONG_ASSET, row, int(lit.time[first]), confirmed, None, evidence)


def _outages(night: _Night) -> Iterator[LampFault]:
    """Cabinets first; circuits where their cabinet as a whole still speaks."""
    device, begin, end, still = _gaps(night, _GAP_BEATS * night.beat_ms, _group_is_quiet(night))
    # How much each gap says: the reports that are missing in it, by how rare that is.
    beats = (end - begin) / night.beat_ms[device]
    said = np.where(still, beats, np.floor(beats + 1.0 - _GAP_BEATS)) * night.nats[device]
    taken = np.zeros(len(begin), bool)
    for group_names in (night.fleet.cabinet, night.fleet.circuit):
        names, group = np.unique(group_names.astype(str), return_inverse=True)
        if not len(names):
            continue
        first = np.full(len(group), np.iinfo(np.int64).max)
        np.minimum.at(first, night.reports.device, night.reports.time)
        free = ~taken & (names[group[device]] != "")
        for gaps in list(_together(night, _Gaps(device, begin, end, said), group, first, free)):
            taken[gaps] = True
            yield _outage(night, device[gaps], begin[gaps], end[gaps], still[gaps], group_names is night.fleet.circuit)


class _Gaps(NamedTuple):
    """Times without a report: arrays are (n_gaps,)."""

    device: Ints
    begin: Ints
    end: Ints
    nats: Floats  # what it says against chance


def _together(night: _Night, gaps: _Gaps, group: Ints, first: Ints, free: Bools) -> Iterator[Ints]:
    """Positions of gaps that began together in most of a group, group by group.

    group, first : (n_devices,) which group each controller is of, and when it was first heard (ms)
    free : which gaps no outage has explained yet
    """
    device, begin, end, nats = gaps
    mine = group[device]
    heard = first < np.iinfo(np.int64).max
    for number in np.unique(mine[free]).tolist():
        index = np.flatnonzero(free & (mine == number))
        if len(index) < OUTAGE_LEAST:
            continue
        members = np.flatnonzero((group == number) & heard)
        index = index[np.argsort(begin[index], kind="stable")]
        within = int(max(OUTAGE_WITHIN * _MINUTE_MS, _TOGETHER_BEATS * np.median(night.beat_ms[members])))
        starts = begin[index]
        beyond = np.searchsorted(starts, starts + within, side="right")
        position = 0
        while position < len(index):
            window = index[position : beyond[position]]
            latest = int(begin[window].max())
            gone = int(np.count_nonzero((starts < starts[position]) & (end[index] > latest)))
            alive = int(np.count_nonzero(first[members] <= latest)) - gone
            silent = len(np.unique(device[window]))
            if silent >= max(OUTAGE_LEAST, OUTAGE_SHARE * alive) and nats[window].sum() >= _EXPECTED_NATS:
                # Some had lost their last reports before; silent for longer, a controller has a fault of its own.
                before = index[:position]
                before = before[(end[before] > latest) & (begin[before] >= latest - night.patience_ms[device[before]])]
                yield np.concatenate([before, window])
                position = int(beyond[position])
            else:
                position += 1


def _outage(night: _Night, rows: Ints, begin: Ints, end: Ints, still: Bools, circuit: bool) -> LampFault:
    fleet = night.fleet
    rows = np.unique(rows)
    since = int(begin.max())  # the last sign of life
    back = end[~still]
    # Over once most of them are back.
    over = int(np.sort(back)[len(back) // 2]) if len(back) > len(end) / 2 else None
    lamps = tuple(lamp for row in rows.tolist() for lamp in fleet.lamps[row])
    expected = float((1.0 / night.beat_ms[rows]).sum())
    certain = min(_EXPECTED_REPORTS / expected, _GAP_BEATS * float(np.median(night.beat_ms[rows])))
    confirmed = since + int(max(OUTAGE_WITHIN * _MINUTE_MS, certain))
    if over is not None:
        confirmed = min(confirmed, over)
    name = str(fleet.circuit[rows[0]] if circuit else fleet.cabinet[rows[0]])
    what = "circuit" if circuit else "cabinet"
    evidence = f"{len(rows)} controllers with {len(lamps)} lamps of {what} {name} fell silent together"
    return LampFault(
        OUTAGE,
        "",
        lamps,
        tuple(site for row in rows.tolist() for site in fleet.sites[row]),
        str(fleet.cabinet[rows[0]]),
        str(fleet.circuit[rows[0]]) if circuit else "",
        _moment(since),
        _moment(min(confirmed, night.until)),
        np.datetime64("NaT", "ms") if over is None else _moment(over),
        evidence,
        1.0,
    )


def _gaps(night: _Night, longest: Floats, gone: Bools | None = None) -> tuple[Ints, Ints, Ints, Bools]:
    """Times in which a device should have reported and did not: device, begin, end (ms), and whether it still lasts.

    Silence while nobody at all was heard does not count, nor that of controllers which are fed only by night.

    longest : (n_devices,) ms that may pass between two reports
    gone : (n_devices,) which are known to be silent now, however short that is
    """
    reports = night.reports
    last = np.ones(len(reports.time), bool)
    last[:-1] = reports.device[1:] != reports.device[:-1]
    following = np.append(reports.time[1:], night.until)
    end = np.where(last, night.until, following)
    limit = longest[reports.device]
    gap = end - reports.time > limit
    if gone is not None:
        gap |= last & gone[reports.device]
    where = np.flatnonzero(gap)
    device, begin, end, still = reports.device[where], reports.time[where], end[where], last[where]
    quiet = night.unheard(begin, end)
    fed = np.zeros(len(night.fleet.device), bool)
    fed[reports.device[night.elevation(reports.time) > DAY_SUN_DEG]] = True
    dawn = night.elevation(begin + limit[where].astype(np.int64)) > _DAWN_DEG
    short = (end - begin - quiet <= limit[where]) & ~(still & (quiet == 0))
    kept = ~short & ~(dawn & ~fed[device])
    return device[kept], begin[kept], end[kept], still[kept]


def _group_is_quiet(night: _Night) -> Bools:
    """(n_devices,) whether its cabinet or circuit has been so quiet up to now that chance cannot be the reason.

    A whole circuit that has just gone is known sooner than each of its controllers.
    """
    quiet = np.zeros(len(night.fleet.device), bool)
    reports = night.reports
    latest = np.full(len(night.fleet.device), np.iinfo(np.int64).min)
    np.maximum.at(latest, reports.device, reports.time)
    for names in (night.fleet.cabinet, night.fleet.circuit):
        known, group = np.unique(names.astype(str), return_inverse=True)
        heard = np.full(len(known), np.iinfo(np.int64).min)
        np.maximum.at(heard, group, latest)
        alive = (latest > heard[group] - _GAP_BEATS * night.beat_ms) & (heard[group] > np.iinfo(np.int64).min)
        rate = np.bincount(group, np.where(alive, 1.0 / night.beat_ms, 0.0), minlength=len(known))
        since = (night.until - np.maximum(heard, 0)) - night.unheard(
            np.maximum(heard, 0), np.full_like(heard, night.until)
        )
        called = (rate * since >= _EXPECTED_REPORTS) & (since >= OUTAGE_WITHIN * _MINUTE_MS) & (known != "")
        quiet |= called[group] & alive
    return quiet


def _explained(fault: LampFault, outages: list[LampFault], reach_ms: dict[str, float]) -> bool:
    """Whether a controller's silence, or the death of its lamp, is that of its cabinet."""
    if fault.kind not in (DEAD, SILENT):
        return False
    # Each was last heard up to one of its own intervals before the last one of all, and the loss may hide a report.
    reach = np.timedelta64(int(reach_ms[fault.device]), "ms")
    return any(
        set(fault.sites) <= set(outage.sites)
        and outage.since - reach <= fault.since
        and (outage.standing or bool(fault.since <= outage.until))
        and (fault.kind == SILENT or bool(outage.since <= fault.since))
        for outage in outages
    )


def _key(device: Ints, time: Ints) -> Ints:
    """Ascends with device and then time; holds times up to the year 2109."""
    return (device << 42) + time


def _as_of(series: _Series, device: Ints, time: Ints, held_ms: int | None = None) -> Floats:
    """The last value of each device at or before each moment, NaN where there is none (or none so recent)."""
    if not len(series.time):
        return np.full(len(time), np.nan)
    index = np.searchsorted(series.key, _key(device, time), side="right") - 1
    found = np.maximum(index, 0)
    good = (index >= 0) & (series.device[found] == device)
    if held_ms is not None:
        good &= time - series.time[found] <= held_ms
    return np.where(good, series.value[found], np.nan)


def _between_moments(series: _Series, device: Ints, begin: Ints, end: Ints) -> Floats:
    """The last value of each device from `begin` to `end`, both included; NaN where there is none."""
    if not len(series.time):
        return np.full(len(end), np.nan)
    found = np.maximum(np.searchsorted(series.key, _key(device, end), side="right") - 1, 0)
    good = (series.device[found] == device) & (series.time[found] >= begin) & (series.time[found] <= end)
    return np.where(good, series.value[found], np.nan)


def _picked(series: _Series, mask: Bools) -> _Series:
    return _Series(series.device[mask], series.time[mask], series.value[mask])


def _rhythm(reports: _Series, n_devices: int) -> Floats:
    """Usual time between the reports of each device, ms; the fleet's own where a device has said too little.

    The upper quartile: a device that also reports what changes says more by night than its own rhythm, and by day no
    less; and of a device that loses a fifth of its reports it is still one interval.
    """
    same = reports.device[1:] == reports.device[:-1]
    apart = np.diff(reports.time)[same]
    device = reports.device[1:][same]
    # Sorted by length within each device, so that its quartile is a look-up.
    ordered = np.sort((device << 42) + apart)
    count = np.bincount(device, minlength=n_devices)
    quartile = np.cumsum(count) - count + (count - 1) * 3 // 4
    enough = count >= 2
    beat = np.full(n_devices, float(np.median(apart)) if len(apart) else float(_SLOT_MS))
    beat[enough] = ordered[quartile[enough]] & ((1 << 42) - 1)
    return np.asarray(np.maximum(beat, _SAME_REPORT_MS), np.float64)


def _surprise(reports: _Series, beat_ms: Floats) -> Floats:
    """(n_devices,) -log of the share of a device's reports that is lost, from how often a single one is missing."""
    same = reports.device[1:] == reports.device[:-1]
    device = reports.device[1:][same]
    beats = np.diff(reports.time)[same] / beat_ms[device]
    near = beats < _GAP_BEATS + 1.0  # longer ones are an outage or a fault more often than loss
    device, single = device[near], beats[near] > _GAP_BEATS
    came = np.bincount(device, minlength=len(beat_ms))
    missed = np.bincount(device[single], minlength=len(beat_ms))
    usual = missed.sum() / max(int(came.sum()), 1)
    share = (missed + _LOSS_KNOWN * usual) / (came + _LOSS_KNOWN)
    return np.asarray(-np.log(np.clip(share, _LOSS_LEAST, 0.5)), np.float64)


def _dead_air(heard: Ints, rate: float, until: int) -> tuple[Ints, Ints]:
    """Moments, and for how long by then nobody had been heard (ms): a silent network says nothing of its lamps.

    rate : reports that are expected, per ms
    """
    if not len(heard) or rate <= 0:
        return np.array([0, until]), np.array([0, 0])
    moments = np.append(np.sort(heard), until)
    apart = np.diff(moments)
    quiet = apart > max(OUTAGE_WITHIN * _MINUTE_MS, _EXPECTED_REPORTS / rate)
    begin, end = moments[:-1][quiet], moments[1:][quiet]
    total = np.cumsum(end - begin)
    corners = np.column_stack([begin, end]).reshape(-1)
    passed = np.column_stack([total - (end - begin), total]).reshape(-1)
    return np.concatenate([[0], corners, [until + 1]]), np.concatenate(
        [[0], passed, passed[-1:] if len(passed) else [0]]
    )


def _sun(time: Ints, until: int, lonlat: tuple[float, float]) -> tuple[Ints, Floats]:
    """Elevation every 5 minutes from an hour before the first report to an hour after the last moment."""
    begin = (int(time.min()) if len(time) else until) - _HELD_MS
    moments = np.arange(begin, until + 2 * _HELD_MS, 5 * _MINUTE_MS)
    return moments, sun_elevation(moments.astype("datetime64[ms]"), lonlat[1], lonlat[0])


def _settled(level: npt.NDArray[np.floating], earlier: npt.NDArray[np.floating]) -> Bools:
    return np.asarray(np.abs(level - earlier) < _SAME_LEVEL, np.bool_)


def _expected_watts(watts: Floats, level: Floats) -> Floats:
    return np.asarray(watts * (STANDBY_SHARE + (1.0 - STANDBY_SHARE) * level), np.float64)


def _dead_below(watts: Floats, level: Floats) -> Floats:
    """Watts below which a lamp that should burn does not."""
    return np.fmax(DEAD_WATTS, DEAD_SHARE * _expected_watts(watts, level))


def _fill(series: _Series, begin: int, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The last value in each slot, NaN where there is none."""
    matrix = np.full(shape, np.nan, np.float32)
    kept = series.time >= begin
    matrix[series.device[kept], (series.time[kept] - begin) // _SLOT_MS] = series.value[kept]
    return matrix


def _held(matrix: npt.NDArray[np.float32], slots: int) -> npt.NDArray[np.float32]:
    """Each value goes on for some slots where nothing newer came."""
    column = np.arange(matrix.shape[1], dtype=np.int32)
    last = np.maximum.accumulate(np.where(np.isnan(matrix), np.int32(-1), column), axis=1)
    held = np.take_along_axis(matrix, np.maximum(last, 0), axis=1)
    held[(last < 0) | (column - last > slots)] = np.nan
    return held


def _as_most(fleet: _Fleet, level: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The level that most controllers of each one's circuit are at, else of its cabinet; NaN where they disagree."""
    order = np.full(level.shape, np.nan, np.float32)
    codes = 21  # levels in steps of 0.05
    for names in (fleet.cabinet, fleet.circuit):  # the circuit's word holds where it has one
        known, group = np.unique(names.astype(str), return_inverse=True)
        for start in range(0, level.shape[1], 96):  # a day at a time: the counts of a city would not fit otherwise
            part = level[:, start : start + 96]
            row, slot = np.nonzero(np.isfinite(part))
            code = np.rint(part[row, slot] * (codes - 1)).astype(np.int64)
            cell = (group[row] * part.shape[1] + slot) * codes + code
            count = np.bincount(cell, minlength=len(known) * part.shape[1] * codes).reshape(-1, part.shape[1], codes)
            heard, most = count.sum(axis=2), count.max(axis=2)
            agreed = (heard >= _PEERS) & (most >= _PEERS_AGREE * heard) & (known != "")[:, None]
            mode = np.where(agreed, count.argmax(axis=2) / (codes - 1), np.nan).astype(np.float32)[group]
            into = order[:, start : start + 96]
            np.copyto(into, mode, where=np.isfinite(mode))
    return order


def _circuit_draws(night: _Night, power: _Series) -> Bools:
    """For each report of power, whether most of the controller's circuit draws power then."""
    begin, shape = night.slots
    watts = _held(_fill(power, begin, shape), _HELD_MS // _SLOT_MS)
    burns = np.where(np.isnan(watts), np.nan, watts > DEAD_WATTS).astype(np.float32)
    slot = (power.time - begin) // _SLOT_MS
    most = _as_most(night.fleet, burns)
    # Before and after as well: lamps of a circuit go on and off some minutes apart, and are heard of a report later.
    drawn = slot >= 0
    for apart in (-2, 0, 2):
        drawn &= most[power.device, np.clip(slot + apart, 0, shape[1] - 1)] > 0.5
    return np.asarray(drawn, np.bool_)


def _overlap(one: _Run, other: _Run, end: int) -> bool:
    return one.since <= (other.until or end) and other.since <= (one.until or end)


def _of_asset(watts: float) -> str:
    return "" if np.isnan(watts) else f"; the asset takes {watts:.0f} W"


def _moment(time_ms: int) -> np.datetime64:
    return np.datetime64(time_ms, "ms")
