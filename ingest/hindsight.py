"""What a night says about its readings once it is whole: tests that look ahead, on a night in order of time.

    SPIKE       far from both neighbours, on the same side of them: the differential method of QARTOD. The textbook's
                average of the neighbours would flag the neighbours of a spike as well.
    REPEAT      all of a run of equal values that turned out long (sensing.md D, the reference's limit for failing)
    ATTENUATED  the first hour of an evenness that was known only when it had passed
    ZERO_RUN    the first three hours of an emptiness
    EXTREME     more than 200 lx while the sun is below -6 degrees

and what arrived out of order is judged in order. All of it is suspect and none of it fails a reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ingest.limits import COUNTED
from ingest.screening import Screen
from ingest.series import FLAT_LINES, HOUR_MS, SERIES
from sensors.flags import FAIL, FAILED, GOOD, NOT_EVALUATED, SUSPECTED, Flag
from sensors.night import sun_elevation
from sensors.quantities import QUANTITIES
from sensors.reading import Records

Bools = npt.NDArray[np.bool_]
Flags = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DARK_DEG, DARK_LX = -6.0, 200.0
_IN_ORDER = np.uint16(Flag.REPEAT | Flag.RATE | Flag.ATTENUATED)  # of these a fresh screen needs a night to say all
_TOGETHER = 3.0  # times a series' usual interval: neighbours that are further apart are none


class Spike(NamedTuple):
    """How far from both neighbours is too far; where noise differs by site it is measured in its own scale."""

    least: float  # in the quantity's unit
    share: float  # and of the value or its neighbour, whichever is larger
    scales: float  # and times the median absolute difference of the series
    seconds: float  # of readings over shorter intervals nothing is said: a shout lasts a second


# sensing.md D: sound 15 dB, light 3 x MAD about; both of the reference's limits, suspect and fail, are suspect here.
# Five scales, two lux and a third of the light: a bus' headlights in one reading, and no switching of lamps.
SPIKES = {
    "sound_laeq": Spike(15.0, 0.0, 0.0, 60.0),
    "illuminance": Spike(2.0, 0.33, 5.0, 0.0),
    "power": Spike(5.0, 0.2, 5.0, 0.0),
}


# Codes of the quantities that any rule here is about; lamps' levels, most of a night, are not among them.
RULED = tuple(sorted({*np.flatnonzero(SERIES).tolist(), *(QUANTITIES[name].code for name in SPIKES)}))


def spike_words(values: Floats, suspect: float, fail: float) -> npt.NDArray[np.uint8]:
    """QARTOD words of the differential spike test on one series; first and last cannot be evaluated.

    >>> spike_words(np.array([10, 12, 999.99, 13, 15, 40, 9, 9]), 25, 50).tolist()
    [2, 1, 4, 1, 1, 1, 1, 2]
    """
    words = np.full(len(values), NOT_EVALUATED, np.uint8)
    if len(values) > 2:
        size = _beyond_both(values[1:-1], values[:-2], values[2:])
        words[1:-1] = np.where(size > fail, FAILED, np.where(size > suspect, SUSPECTED, GOOD))
    return words


@dataclass(frozen=True)
class Night:
    """Usable readings of a night and of what surrounds it, sorted by series and time.

    of : (n,) index of each in the records that were given
    """

    records: Records
    of: Ints

    @classmethod
    def of_records(cls, records: Records) -> Night:
        """Records in any order; what physics refuses says nothing about others."""
        usable = np.flatnonzero((records["flags"] & np.uint16(int(FAIL))) == 0)
        kept = records[usable]
        order = np.lexsort((kept["received"], kept["time"], kept["quantity"], kept["site"]))
        return cls(kept[order], usable[order])

    @cached_property
    def first(self) -> Bools:
        """Whether a reading is the first of its series."""
        first = np.ones(len(self.records), bool)
        for name in ("site", "quantity"):
            column = self.records[name]
            first[1:] &= column[1:] == column[:-1]
        first[1:] = ~first[1:]
        return first

    @cached_property
    def series(self) -> Ints:
        """Number of each reading's series."""
        number: Ints = self.first.cumsum() - 1
        return number

    @cached_property
    def time(self) -> Ints:
        """Ms since 1970."""
        return np.ascontiguousarray(self.records["time"]).astype(np.int64)

    @cached_property
    def value(self) -> Floats:
        """In the quantity's unit, as far as float32 holds it."""
        return np.ascontiguousarray(self.records["value"]).astype(np.float64)

    def are(self, *names: str) -> Bools:
        """Which readings are of these quantities."""
        return np.isin(self.records["quantity"], [QUANTITIES[name].code for name in names])


def found(night: Night, lonlat: tuple[float, float]) -> Flags:
    """Reason bits to be added to each reading of `night`."""
    if not len(night.records):
        return np.zeros(0, np.uint16)
    bits = np.zeros(len(night.records), np.uint16)
    for which, flag in (
        (_spikes(night), Flag.SPIKE),
        (_long_runs(night), Flag.REPEAT),
        (_even_from_the_start(night), Flag.ATTENUATED),
        (_empty_from_the_start(night), Flag.ZERO_RUN),
        (_light_in_the_dark(night, lonlat), Flag.EXTREME),
    ):
        bits[which] |= np.uint16(flag)
    return bits


def judged_in_order(night: Night) -> tuple[Bools, Flags]:
    """Readings of series that did not arrive in order (True), and the bits REPEAT, RATE, ATTENUATED they have in it."""
    received = night.records["received"].astype(np.int64)
    disordered = np.zeros(len(received), bool)
    disordered[1:] = ~night.first[1:] & (received[1:] < received[:-1]) & SERIES[night.records["quantity"][1:]]
    again = np.isin(night.series, night.series[disordered])
    flags = np.zeros(len(received), np.uint16)
    if again.any():
        records = night.records[again]
        records["part"] = 0  # each reading by itself: what its message says was said when it came
        flags[again] = Screen().flags(records) & _IN_ORDER
    return again, flags


def in_order_bits() -> np.uint16:
    """The bits that `judged_in_order` says."""
    return _IN_ORDER


def _spikes(night: Night) -> Bools:
    spikes = np.zeros(len(night.records), bool)
    middle = np.flatnonzero(~night.first[1:-1] & ~night.first[2:]) + 1 if len(spikes) > 2 else np.zeros(0, np.int64)
    if not len(middle):
        return spikes
    value, time = night.value, night.time
    size = _beyond_both(value[middle], value[middle - 1], value[middle + 1])
    apart = np.maximum(time[middle] - time[middle - 1], time[middle + 1] - time[middle])
    usual = _by_series(night, middle, (time[middle] - time[middle - 1]).astype(np.float64))
    scale = _by_series(night, middle, np.abs(value[middle] - value[middle - 1]))
    larger = np.maximum(np.abs(value[middle]), np.maximum(np.abs(value[middle - 1]), np.abs(value[middle + 1])))
    together = (size > 0) & (apart <= _TOGETHER * usual)
    for name, rule in SPIKES.items():
        limit = np.maximum(rule.least, np.maximum(rule.share * larger, rule.scales * scale))
        long = night.records["duration_s"][middle] >= rule.seconds
        spikes[middle[together & (size > limit) & long & night.are(name)[middle]]] = True
    return spikes


def _beyond_both(value: Floats, before: Floats, after: Floats) -> Floats:
    """How far a value lies above, or below, both of its neighbours; 0 if between them."""
    rise, fall = value - before, value - after
    return np.where(rise * fall > 0, np.minimum(np.abs(rise), np.abs(fall)), 0.0)


def _by_series(night: Night, places: Ints, amounts: Floats) -> Floats:
    """The median of the amounts of each place's series."""
    series = night.series[places]
    order = np.lexsort((amounts, series))
    ordered = series[order]
    begin = np.searchsorted(ordered, series, side="left")
    end = np.searchsorted(ordered, series, side="right")
    middle: Floats = amounts[order[(begin + end - 1) // 2]]
    return middle


def _long_runs(night: Night) -> Bools:
    flagged = np.zeros(len(night.records), bool)
    for name, line in FLAT_LINES.items():
        mine = np.flatnonzero(night.are(name))
        if not len(mine):
            continue
        value, time, series = night.value[mine], night.time[mine], night.series[mine]
        same = np.zeros(len(mine), bool)
        same[1:] = (series[1:] == series[:-1]) & (np.abs(np.diff(value)) <= line.tolerance + 1e-6)
        same &= value > line.above
        run = (~same).cumsum() - 1
        begin = np.flatnonzero(~same)
        count = np.bincount(run)
        lasted = time[begin + count - 1] - time[begin]
        long = (count >= line.readings * line.long) & (lasted >= line.seconds * line.long * 1000)
        flagged[mine[long[run]]] = True
    return flagged


def _even_from_the_start(night: Night) -> Bools:
    """Readings of the hour before one that was found even."""
    even: Bools = (night.records["flags"] & np.uint16(Flag.ATTENUATED)) != 0
    if not even.any():
        return even
    hour = night.series * (1 << 32) + (night.time - 1) // HOUR_MS
    earlier: Bools = np.isin(hour + 1, np.unique(hour[even]))
    return earlier


def _empty_from_the_start(night: Night) -> Bools:
    """Every nought of a run of noughts that was found too long."""
    nobody = (night.value == 0) & night.are(*COUNTED)
    long: Bools = (night.records["flags"] & np.uint16(Flag.ZERO_RUN)) != 0
    if not long.any():
        return long
    begins = nobody.copy()
    begins[1:] &= ~nobody[:-1] | night.first[1:]
    run = begins.cumsum()
    empty: Bools = nobody & np.isin(run, run[long & nobody])
    return empty


def _light_in_the_dark(night: Night, lonlat: tuple[float, float]) -> Bools:
    bright = night.are("illuminance") & (night.value > DARK_LX)
    at = np.flatnonzero(bright)
    if len(at):
        longitude, latitude = lonlat
        bright[at] = sun_elevation(night.records["time"][at], latitude, longitude) < DARK_DEG
    return bright
