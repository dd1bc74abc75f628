"""What screening remembers of each series: a row of whole numbers, so that sums are the same in any chunks.

Whole numbers (milliseconds, thousandths of a unit, persons) add up to the same in any order, which floating point does
not promise; a flag must not depend on how readings were gathered into groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

LAST = 0  # column of every memory: time of the last reading taken in, ms since 1970; NEVER before the first
NEVER = -1
_INDEX_BITS = 22  # of a sort key: the index of a reading; 40 bits of site and quantity stand above it
MOST = 1 << _INDEX_BITS  # readings that may be ordered in one call
_TIME_BITS = 43  # ms since 1970 up to the year 2248


class Saved(msgspec.Struct, frozen=True):
    """A memory as it is kept."""

    keys: bytes
    table: bytes


class Ordered(NamedTuple):
    """The readings that go on where their series stood, sorted by series, each series in order of time."""

    order: Ints  # (n,) indexes of the readings
    first: Bools  # (n,) whether a reading is the first of its series here
    series: Ints  # (n,) row of `slots`
    starts: Ints  # (m,) where each series begins in `order`
    ends: Ints  # (m,) its last place
    slots: Ints  # (m,) the series' rows in the memory's table


class Memory:
    """Rows of `columns` int64 by key; grows with the number of series, never with time."""

    def __init__(self, columns: int, fresh: Sequence[int]) -> None:
        self.columns = columns
        self._fresh = np.array([NEVER, *fresh], np.int64)
        assert len(self._fresh) == columns
        self._keys = np.zeros(0, np.int64)  # ascending
        self._slot = np.zeros(0, np.int64)  # row of each key
        self.table = np.zeros((0, columns), np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def slots(self, keys: Ints) -> Ints:
        """Rows of some distinct, ascending keys; those not known yet get a fresh one."""
        at = np.searchsorted(self._keys, keys)
        if len(self._keys):
            known = self._keys[np.minimum(at, len(self._keys) - 1)] == keys
        else:
            known = np.zeros(len(keys), bool)
        if not known.all():
            self._add(keys[~known], at[~known])
            at = np.searchsorted(self._keys, keys)
        return self._slot[at]

    def recall(self, slots: Ints) -> Ints:
        """(columns, m): what is remembered of some series, a column of the table a row."""
        return np.ascontiguousarray(self.table.take(slots, axis=0).T)

    def remember(self, slots: Ints, columns: Ints) -> None:
        """Remember (columns, m) of some series, each named once."""
        self.table[slots] = columns.T

    def ordered(self, keys: Ints, times: Ints) -> Ordered:
        """Which readings come after all earlier ones of their series; (n,) arrays in order of arrival, n < MOST.

        One that does not (an old message delivered late, a clock set back) says nothing about what follows what, so
        it neither is judged by the series nor changes what is remembered of it.
        """
        packed = np.sort((keys << _INDEX_BITS) | np.arange(len(keys)))
        order = packed & (MOST - 1)
        sorted_keys = packed >> _INDEX_BITS
        first = np.empty(len(keys), bool)
        first[0] = True
        np.not_equal(sorted_keys[1:], sorted_keys[:-1], out=first[1:])
        starts = first.nonzero()[0]
        slots = self.slots(sorted_keys[starts])
        series = first.cumsum() - 1
        last = self.table[slots, LAST]
        time = times[order]
        if len(starts) == len(order):
            kept = time > last
        else:
            base = series << _TIME_BITS
            reached = base + time
            reached[starts] = np.maximum(reached[starts], base[starts] + last)
            np.maximum.accumulate(reached, out=reached)
            before = np.empty_like(reached)
            before[1:] = reached[:-1]
            before[starts] = base[starts] + last
            kept = base + time > before
        if not kept.all():
            order, series = order[kept], series[kept]
            if not len(order):
                none = np.zeros(0, np.int64)
                return Ordered(none, np.zeros(0, bool), none, none, none, none)
            first = np.empty(len(order), bool)
            first[0] = True
            np.not_equal(series[1:], series[:-1], out=first[1:])
            starts = first.nonzero()[0]
            slots = slots[series[starts]]
            series = first.cumsum() - 1
        return Ordered(order, first, series, starts, _ends(starts, len(order)), slots)

    def saved(self) -> Saved:
        """To be kept, and given to `restored`."""
        return Saved(self._keys.tobytes(), self.table[self._slot].tobytes())

    def restore(self, saved: Saved) -> None:
        """Remember what was saved instead."""
        self._keys = np.frombuffer(saved.keys, np.int64).copy()
        self._slot = np.arange(len(self._keys))
        self.table = np.frombuffer(saved.table, np.int64).reshape(-1, self.columns).copy()

    def _add(self, keys: Ints, at: Ints) -> None:
        count = len(self._keys)
        if count + len(keys) > len(self.table):
            grown = np.empty((max(64, 2 * len(self.table), count + len(keys)), self.columns), np.int64)
            grown[:count] = self.table[:count]
            self.table = grown
        self.table[count : count + len(keys)] = self._fresh
        self._keys = np.insert(self._keys, at, keys)
        self._slot = np.insert(self._slot, at, np.arange(count, count + len(keys)))


def since(breaks: Bools) -> Ints:
    """For each place the last place at or before it where something begins; `breaks[0]` must be true.

    >>> since(np.array([True, False, True, False])).tolist()
    [0, 0, 2, 2]
    """
    found: Ints = np.maximum.accumulate(np.where(breaks, np.arange(len(breaks)), 0))
    return found


class Periods(NamedTuple):
    """Sums over a period (an hour, a week) as it grows, and over the one before it."""

    period: Ints  # (k,) number of each period of each series
    begin: Ints  # (k,) place of its first reading
    end: Ints  # (k,) place of its last
    of: Ints  # (n,) row of the period of each reading
    running: Ints  # (s, n) sums up to and with each reading
    previous: Ints  # (s, k) sums over the period directly before; zeros where that had no reading


def periods(ordered: Ordered, period: Ints, amounts: Ints, before: Ints) -> Periods:
    """Sum amounts by period, going on from what is remembered.

    Parameters
    ----------
    period : (n,) array
        Number of the period in which each reading lies, never falling within a series.
    amounts : (s, n) array
        What is summed.
    before : (1 + 2 s, m) array
        Of each series: number of its open period, its sums, the sums of the period before.
    """
    n_sums = len(amounts)
    breaks = ordered.first.copy()
    breaks[1:] |= period[1:] != period[:-1]
    begin = breaks.nonzero()[0]
    of = breaks.cumsum() - 1
    number, series, leads = period[begin], ordered.series[begin], ordered.first[begin]
    remembered = before.take(series, axis=1)
    open_sums, older_sums = remembered[1 : 1 + n_sums], remembered[1 + n_sums :]
    goes_on = leads & (remembered[0] == number)
    running = amounts.cumsum(axis=1)
    offset = (amounts - running).take(begin, axis=1) + open_sums * goes_on
    running += offset.take(of, axis=1)
    end = _ends(begin, len(period))
    previous = open_sums * (leads & (remembered[0] == number - 1)) + older_sums * goes_on
    if len(begin) > len(ordered.starts):
        follows = (~leads[1:] & (number[1:] == number[:-1] + 1)).nonzero()[0] + 1
        previous[:, follows] = running[:, end[follows - 1]]
    return Periods(number, begin, end, of, running, previous)


def _ends(begins: Ints, total: int) -> Ints:
    """The last place of each stretch that begins at `begins`."""
    ends = np.empty_like(begins)
    ends[:-1] = begins[1:]
    ends[-1] = total
    return ends - 1
