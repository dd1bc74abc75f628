"""What a series of readings says about its next one: too long the same, too sudden, too even, too empty, running back.

Rules and limits: sensing.md D. All of them look back only, are *suspect* and never fail a reading: a scream, a crowd
and a power cut look like faults.

    REPEAT      a run of equal values (QARTOD flat line), from the moment it has lasted too long
    RATE        sound: three steps running of more than 20 dB/min, up or down (a scream is two: there and back); what
                happens within a minute counts as a minute's, since readings of a second jump by nature
                people: eight times as many within a quarter of an hour
                energy: a counter that runs back, but for a reset, or faster than any lamp burns
    ATTENUATED  sound: standard deviation below 0.5 dB over the last whole hour and what has passed of this one
    ZERO_RUN    people: nobody for three hours of the week in which the site has been busy
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.limits import COUNTED
from ingest.memory import NEVER, Bools, Ints, Memory, Ordered, Periods, Saved, periods, since
from sensors.flags import Flag
from sensors.quantities import QUANTITIES

Flags = npt.NDArray[np.uint16]


class FlatLine(NamedTuple):
    """When a run of equal values is suspect: both limits reached, each value within the tolerance of the last."""

    tolerance: float
    seconds: float
    readings: int
    above: float  # values at or below it may rest for ever (an empty street, a lamp that is off)
    long: int  # times as long: the reference's limit for failing; here the whole run is then suspect, in retrospect


# sensing.md D, flat line. A quiet quarter-hour meter needs more than two equal values: six, as for
# counts. Equal is the same at a meter's resolution of 0.1 dB: within 0.1 dB either side a courtyard at night is flat
# for hours (56 false suspects among 86,235 simulated readings, 3 with 0.05). One, two or three people a quarter of an
# hour come six times running by chance: at a mean of one, once in ten nights (Poisson). Dimming and lamp_ok rest by
# nature, illuminance rests at night, so they have no line here.
_COUNT = FlatLine(0.0, 0.0, 6, 3.0, 3)
FLAT_LINES = {
    "sound_laeq": FlatLine(0.05, 600.0, 6, -np.inf, 3),
    "power": FlatLine(0.01, 6 * 3600.0, 6, 1.0, 4),
    **dict.fromkeys(COUNTED, _COUNT),
}

STEEP_DB_PER_MIN = 20.0
STEEP_STEPS = 3
CROWD_FACTOR = 8.0
CROWD_FROM = 10.0  # persons an interval: eight times one person is no crowd
CROWD_WITHIN_MS = 22 * 60_000  # a quarter of an hour and some jitter
RESET_SHARE = 0.05  # of the last value: a counter that began again, or that was given another unit (Wh, kWh)
FASTEST_W = 5_000.0  # of an energy counter, the limit of `power`
EVEN_DB = 0.5  # of levels over a minute or less
# Of longer means, which vary less: with 0.22 dB (0.5 over the root of five) 1.5 % of the five-minute means of healthy
# simulated meters are suspect, all in two courtyards at their floor; with 0.15 dB 0.3 %.
EVEN_MEANS_DB = 0.15
EVEN_READINGS = 10  # in the whole hour: of a few long means little can be said, they are even by nature
BUSY_PER_H = 20.0  # persons; by chance alone (Poisson) three hours of it are empty once in 10^26
BUSY_WEEKS = 2  # in which the hour of the week was seen before anything is said of it
_MEMORY_WEEKS = 8  # of an hour's level: the mean at first, then exponential
EMPTY_MS = 3 * 3_600_000
HOUR_MS = 3_600_000
WEEK_H = 168  # hours of the week are counted in UTC; summer time moves them by one, twice a year

_SOUND, _ENERGY = QUANTITIES["sound_laeq"].code, QUANTITIES["energy"].code
_COUNTS = tuple(QUANTITIES[name].code for name in COUNTED)

SERIES = np.zeros(256, bool)  # quantities that have rules here
SERIES[[QUANTITIES[name].code for name in (*FLAT_LINES, "energy")]] = True
_IS_COUNT = np.zeros(256, bool)
_IS_COUNT[list(_COUNTS)] = True

_TOLERANCE, _RUN_MS, _RUN_N = np.full(256, -1), np.zeros(256, np.int64), np.zeros(256, np.int64)
_ABOVE = np.full(256, np.iinfo(np.int64).min)
for _name, _line in FLAT_LINES.items():
    _code = QUANTITIES[_name].code
    _TOLERANCE[_code], _RUN_MS[_code], _RUN_N[_code] = round(_line.tolerance * 1e3), _line.seconds * 1e3, _line.readings
    if np.isfinite(_line.above):
        _ABOVE[_code] = round(_line.above * 1e3)

# Columns of the memory, after LAST.
_VALUE, _RUN_START, _RUN_COUNT, _STEEP, _HOUR, _SUMS, _EMPTY, _HABIT, _COLUMNS = 1, 2, 3, 4, 5, 6, 12, 13, 14
_FRESH = (0, 0, 0, 0, -2, 0, 0, 0, 0, 0, 0, 0, -1)


class Batch(NamedTuple):
    """Readings that may teach and be judged, in order of arrival; arrays are (n,)."""

    key: Ints  # site and quantity
    quantity: npt.NDArray[np.intp]
    time: Ints  # ms since 1970
    value: Ints  # thousandths of the quantity's unit
    duration: Ints  # ms


class Habits:
    """How many people pass in each hour of the week, by site."""

    def __init__(self) -> None:
        self.level = np.zeros((0, WEEK_H), np.float32)  # persons/h
        self.weeks = np.zeros((0, WEEK_H), np.uint8)  # in which it was seen

    def add(self, count: int) -> Ints:
        """Rows for so many new sites."""
        first = len(self.level)
        self.level = np.concatenate([self.level, np.zeros((count, WEEK_H), np.float32)])
        self.weeks = np.concatenate([self.weeks, np.zeros((count, WEEK_H), np.uint8)])
        return np.arange(first, first + count)

    def busy(self, row: Ints, hour: Ints) -> Bools:
        """Whether many passed in this hour of earlier weeks."""
        of_week = hour % WEEK_H
        busy: Bools = (self.weeks[row, of_week] >= BUSY_WEEKS) & (self.level[row, of_week] >= BUSY_PER_H)
        return busy

    def learn(self, row: Ints, hour: Ints, persons: Ints, duration_ms: Ints) -> None:
        """Take in whole hours, no two of the same site and hour of the week."""
        told = duration_ms > 0
        row, of_week = row[told], hour[told] % WEEK_H
        rate = persons[told] * float(HOUR_MS) / duration_ms[told]
        weeks = np.minimum(self.weeks[row, of_week] + np.uint8(1), np.uint8(_MEMORY_WEEKS))
        level = self.level[row, of_week].astype(np.float64)
        self.level[row, of_week] = level + (rate - level) / weeks
        self.weeks[row, of_week] = weeks


class Kept(msgspec.Struct, frozen=True):
    """What is remembered of all series."""

    memory: Saved
    level: bytes
    weeks: bytes


class Series:
    """Judges readings by those before them in their series."""

    def __init__(self) -> None:
        self._memory = Memory(_COLUMNS, _FRESH)
        self._habits = Habits()

    def __len__(self) -> int:
        return len(self._memory)

    def kept(self) -> Kept:
        """For `from_kept`."""
        return Kept(self._memory.saved(), self._habits.level.tobytes(), self._habits.weeks.tobytes())

    @classmethod
    def from_kept(cls, kept: Kept) -> Series:
        """One that goes on where `kept` was taken."""
        series = cls()
        series._memory.restore(kept.memory)
        series._habits.level = np.frombuffer(kept.level, np.float32).reshape(-1, WEEK_H).copy()
        series._habits.weeks = np.frombuffer(kept.weeks, np.uint8).reshape(-1, WEEK_H).copy()
        return series

    def flags(self, batch: Batch) -> Flags:
        """Reason bits of each reading, and remember them."""
        flags = np.zeros(len(batch.key), np.uint16)
        ordered = self._memory.ordered(batch.key, batch.time)
        if not len(ordered.order):
            return flags
        order, starts = ordered.order, ordered.starts
        before = self._memory.recall(ordered.slots)
        after = np.empty_like(before)
        quantity, time, value = batch.quantity[order], batch.time[order], batch.value[order]
        last_time, last_value = np.empty_like(time), np.empty_like(value)
        last_time[1:], last_value[1:] = time[:-1], value[:-1]
        last_time[starts], last_value[starts] = before[0], before[_VALUE]
        passed = np.where(last_time > NEVER, time - last_time, 0)  # 0 where there is no earlier reading
        change = value - last_value
        after[0], after[_VALUE] = time[ordered.ends], value[ordered.ends]

        found = _repeats(ordered, quantity, time, value, change, passed, before, after)
        found |= _too_sudden(ordered, quantity, last_value, change, passed, before, after)
        counts = _IS_COUNT[quantity]
        duration = batch.duration[order]
        hours = _hours(ordered, counts, time, value, duration, before, after)
        sound = quantity == _SOUND
        if sound.any():
            found |= _bit(_even(hours, sound, duration), Flag.ATTENUATED)
        after[_EMPTY], after[_HABIT] = 0, before[_HABIT]
        if counts.any():
            empty = self._empty(ordered, counts, value, duration, hours, before, after)
            found |= _bit(empty, Flag.ZERO_RUN)
        self._memory.remember(ordered.slots, after)
        flags[order] = found
        return flags

    def _empty(
        self, ordered: Ordered, counts: Bools, value: Ints, duration: Ints, hours: Periods, before: Ints, after: Ints
    ) -> Bools:
        """Whether nobody has come for too long, in hours that are busy; learns whole hours on the way."""
        series_counts = counts[ordered.starts]
        habit = before[_HABIT]
        new = (series_counts & (habit < 0)).nonzero()[0]
        if len(new):
            habit = habit.copy()
            habit[new] = self._habits.add(len(new))
            after[_HABIT] = habit
        nobody: Bools = counts & (value == 0)
        opening = hours.period[hours.of[ordered.starts]]
        closed = (series_counts & (before[_HOUR] >= 0) & (opening > before[_HOUR])).nonzero()[0]
        anybody_missing = bool(nobody.any())
        if not anybody_missing and not len(closed) and len(hours.begin) == len(ordered.starts):
            return nobody  # no hour ends here, so there is nothing to learn either
        busy = self._learn_hours(ordered, series_counts, habit, hours, before[:, closed], closed)
        if not anybody_missing:
            return nobody
        lasted = np.where(nobody & busy[hours.of], duration, 0)
        total = np.cumsum(lasted)
        begun = since(ordered.first | ~nobody)
        run = total - total[begun]
        carried = ordered.first[begun] & nobody[begun]
        run += np.where(carried, lasted[begun] + before[_EMPTY, ordered.series], 0)
        after[_EMPTY] = np.where(nobody[ordered.ends], run[ordered.ends], 0)
        empty: Bools = nobody & busy[hours.of] & (run >= EMPTY_MS)
        return empty

    def _learn_hours(
        self, ordered: Ordered, series_counts: Bools, habit: Ints, hours: Periods, ended: Ints, closed: Ints
    ) -> Bools:
        """For each hour of `hours`, whether earlier weeks were busy then; an hour is learnt when the next begins.

        ended : columns of the series `closed`, whose open hour is over
        """
        habits = self._habits
        if len(closed):
            habits.learn(habit[closed], ended[_HOUR], ended[_SUMS + 1], ended[_SUMS + 2])
        series = ordered.series[hours.begin]
        mine = series_counts[series].nonzero()[0]
        row, hour = habit[series[mine]], hours.period[mine]
        over = np.ones(len(mine), bool)  # whether a later hour of the series has begun
        over[:-1] = series[mine][1:] == series[mine][:-1]
        over[-1:] = False
        sums = hours.running[1:, hours.end[mine]]
        busy = np.zeros(len(series), bool)
        turn = _turns(row, hour)
        for number in range(int(turn.max(initial=0)) + 1):
            now = np.flatnonzero(turn == number) if turn.any() else np.arange(len(mine))
            busy[mine[now]] = habits.busy(row[now], hour[now])
            done = now[over[now]]
            if len(done):
                habits.learn(row[done], hour[done], *sums[:, done])
        return busy


def _turns(row: Ints, hour: Ints) -> Ints:
    """How many of the hours before each are the same hour of the week of the same site; 0 but in imports of weeks."""
    turn = np.zeros(len(row), np.int64)
    if len(hour) < 2 or hour.max() - hour.min() < WEEK_H:
        return turn
    cell = row * WEEK_H + hour % WEEK_H
    order = np.argsort(cell, kind="stable")
    ordered = cell[order]
    first = np.ones(len(order), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    turn[order] = np.arange(len(order)) - since(first)
    return turn


def _repeats(
    ordered: Ordered, quantity: Ints, time: Ints, value: Ints, change: Ints, passed: Ints, before: Ints, after: Ints
) -> Flags:
    same = (passed > 0) & (np.abs(change) <= _TOLERANCE[quantity]) & (value > _ABOVE[quantity])
    begun = since(ordered.first | ~same)
    carries = same[ordered.starts]
    count, start = np.zeros_like(time), time.copy()
    count[ordered.starts] = np.where(carries, before[_RUN_COUNT], 0)
    start[ordered.starts] = np.where(carries, before[_RUN_START], time[ordered.starts])
    count = np.arange(1, len(time) + 1) - begun + count[begun]
    start = start[begun]
    after[_RUN_COUNT], after[_RUN_START] = count[ordered.ends], start[ordered.ends]
    long = same & (count >= _RUN_N[quantity]) & (time - start >= _RUN_MS[quantity])
    return _bit(long, Flag.REPEAT)


def _too_sudden(
    ordered: Ordered, quantity: Ints, last: Ints, change: Ints, passed: Ints, before: Ints, after: Ints
) -> Flags:
    sudden = np.zeros(len(quantity), bool)
    after[_STEEP] = 0
    steep = np.abs(change) * 60 > int(STEEP_DB_PER_MIN) * np.maximum(passed, 60_000)
    steep &= (passed > 0) & (quantity == _SOUND)
    if steep.any():
        begun = since(ordered.first | ~steep)
        count = np.arange(len(steep)) - begun + np.where(steep[begun], 1 + before[_STEEP, ordered.series], 0)
        after[_STEEP] = np.where(steep[ordered.ends], count[ordered.ends], 0)
        sudden |= steep & (count >= STEEP_STEPS)
    grown = change + last > CROWD_FACTOR * np.maximum(last, int(CROWD_FROM) * 1000)
    sudden |= grown & (passed > 0) & (passed <= CROWD_WITHIN_MS) & _IS_COUNT[quantity]
    energy = np.flatnonzero((quantity == _ENERGY) & (passed > 0))
    if len(energy):
        step, value = change[energy], last[energy] + change[energy]
        back = (step < 0) & (value > RESET_SHARE * last[energy])
        # mWh of a step against W times ms: 3600 mWh are 1 W over 1 h = 3.6e6 W ms / 1000.
        sudden[energy] |= back | (step * 3600.0 > FASTEST_W * passed[energy])
    return _bit(sudden, Flag.RATE)


def _hours(
    ordered: Ordered, counts: Bools, time: Ints, value: Ints, duration: Ints, before: Ints, after: Ints
) -> Periods:
    """Of each clock hour: readings, and for sound the sum and sum of squares in 0.01 dB, for counts persons and ms."""
    amounts = np.empty((3, len(time)), np.int64)
    hundredths = value // 10
    amounts[0] = 1
    amounts[1] = np.where(counts, value // 1000, hundredths)
    amounts[2] = np.where(counts, duration, hundredths * hundredths)
    hours = periods(ordered, (time - 1) // HOUR_MS, amounts, before[_HOUR : _SUMS + 6])
    last = hours.of[ordered.ends]
    after[_HOUR] = hours.period[last]
    after[_SUMS : _SUMS + 3] = hours.running.take(ordered.ends, axis=1)
    after[_SUMS + 3 : _SUMS + 6] = hours.previous.take(last, axis=1)
    return hours


def _even(hours: Periods, sound: Bools, duration: Ints) -> Bools:
    """Whether the whole hour before, and this one so far, hardly vary."""
    of = hours.of[sound]
    previous = hours.previous.take(of, axis=1)
    n, total, squares = previous + hours.running[:, sound]
    limit = np.where(duration[sound] <= 60_000, round(EVEN_DB * 100), round(EVEN_MEANS_DB * 100))
    even = np.zeros(len(sound), bool)
    even[sound] = (previous[0] >= EVEN_READINGS) & (n * squares - total * total < limit * limit * n * n)
    return even


def _bit(where: Bools, flag: Flag) -> Flags:
    return where.astype(np.uint16) * np.uint16(flag)
