"""What the values of one message say about each other.

    ORDER      physics, fails: L10 >= L50 >= L90, maximum >= mean >= minimum, in + out = total (sensing.md D)
    ONE_WAY    one direction counts hundreds while the other stays at nought (Dublin: 79 % of one site's busy hours)
    IMBALANCE  over a week one direction counts more than three times the other (Dublin: 7.56 and 4.89 at two sites)
    RATE       power that steps while neither the level ordered nor the level given does

A message is judged whole: its values belong to the same time and duration, and whoever hands readings over never
splits one. Which of two values that contradict each other is wrong nobody can say, so both are flagged.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.memory import Bools, Ints, Memory, Saved, periods, since
from sensors.flags import FAIL, Flag
from sensors.quantities import QUANTITIES
from sensors.reading import Records

Flags = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float64]

# Pairs of which the first is never below the second, and by how much rounding and time weighting may seem to say so:
# percentiles are of the same samples; a maximum may be F-weighted beside an unweighted mean.
NEVER_BELOW = (
    ("sound_la10", "sound_la50", 0.1),
    ("sound_la50", "sound_la90", 0.1),
    ("sound_la10", "sound_la90", 0.1),
    ("sound_lamax", "sound_laeq", 0.5),
    ("sound_laeq", "sound_lamin", 0.5),
    ("sound_lamax", "sound_lamin", 0.5),
)
ONE_WAY_PERSONS = 100  # in one direction while the other stays at nought,
ONE_WAY_MS = 3 * 3_600_000  # and over at least this long
IMBALANCE = 3.0  # times; entrances and exits of healthy sites differ by less than two
IMBALANCE_PERSONS = 1_000  # in the week before, or chance may play
STEP_W = 5.0
STEP_SHARE = 0.2  # of the larger of two powers: a step, not the drift of a driver that warms up
DIM_STEP = 0.02  # a smaller change of level is none
_WEEK_MS = 7 * 86_400_000

_NAMES = tuple(
    dict.fromkeys(
        [name for pair in NEVER_BELOW for name in pair[:2]]
        + ["people_in", "people_out", "people_flow", "power", "dimming", "dimming_command"]
    )
)
_COLUMN = {name: column for column, name in enumerate(_NAMES)}
_COLUMN_OF = np.full(256, -1)
for _name in _NAMES:
    _COLUMN_OF[QUANTITIES[_name].code] = _COLUMN[_name]
_IN, _OUT, _TOTAL = (_COLUMN[name] for name in ("people_in", "people_out", "people_flow"))
_POWER, _DIM, _COMMAND = (_COLUMN[name] for name in ("power", "dimming", "dimming_command"))

# Columns of the memories, after LAST.
_SINCE, _ALONE, _WEEK, _COUNTS, _PAIR_COLUMNS = 1, 3, 5, 6, 10
_PAIR_FRESH = (0, 0, 0, 0, -2, 0, 0, 0, 0)
_LAMP_COLUMNS, _LAMP_FRESH = 4, (-1, -1, -1)


class Kept(msgspec.Struct, frozen=True):
    """What is remembered of all messages."""

    pairs: Saved
    lamps: Saved


class _Joined(NamedTuple):
    """Values that belong together, one row a message and interval; NaN and -1 where a message has no such value."""

    values: Floats  # (k, len(_NAMES))
    at: Ints  # (k, len(_NAMES)) index of each value's reading


class Messages:
    """Judges readings by the others of their message, and by earlier messages of the same kind."""

    def __init__(self) -> None:
        self._pairs = Memory(_PAIR_COLUMNS, _PAIR_FRESH)
        self._lamps = Memory(_LAMP_COLUMNS, _LAMP_FRESH)

    def kept(self) -> Kept:
        """For `from_kept`."""
        return Kept(self._pairs.saved(), self._lamps.saved())

    @classmethod
    def from_kept(cls, kept: Kept) -> Messages:
        """One that goes on where `kept` was taken."""
        messages = cls()
        messages._pairs.restore(kept.pairs)
        messages._lamps.restore(kept.lamps)
        return messages

    def add_flags(self, records: Records, quantity: npt.NDArray[np.intp], value: Floats, flags: Flags) -> None:
        """Set reason bits in `flags`, which holds what each reading says about itself."""
        joined = _joined(records, quantity, value, flags)
        if joined is None:
            return
        wrong = _contradictions(joined)
        flags[joined.at[wrong]] |= np.uint16(Flag.ORDER)
        values = np.where(wrong, np.nan, joined.values)
        known = ~np.isnan(values)
        rows = np.flatnonzero(known[:, _IN] & known[:, _OUT])
        if len(rows):
            self._judge_pairs(records, values[rows], joined.at[rows], flags)
        rows = np.flatnonzero(known[:, _POWER] & (known[:, _DIM] | known[:, _COMMAND]))
        if len(rows):
            self._judge_lamps(records, values[rows], joined.at[rows], flags)

    def _judge_pairs(self, records: Records, values: Floats, at: Ints, flags: Flags) -> None:
        ends = at[:, _OUT]
        keys, times = records["site"][ends].astype(np.int64), records["time"][ends].astype(np.int64)
        ordered = self._pairs.ordered(keys, times)
        if not len(ordered.order):
            return
        order = ordered.order
        before = self._pairs.recall(ordered.slots)
        after = np.empty_like(before)
        time = times[order]
        counts = values[order][:, [_IN, _OUT]].T.astype(np.int64)
        after[0] = time[ordered.ends]
        flagged = np.zeros(len(order), np.uint16)
        for direction in (0, 1):  # which counts, while the other is silent
            silent = counts[1 - direction] == 0
            breaks = ordered.first | ~silent
            breaks[1:] |= ~silent[:-1]  # the silence begins with its first message, not with the last word before it
            begun = since(breaks)
            alone = np.where(silent, counts[direction], 0)
            total = np.cumsum(alone)
            carried = ordered.first[begun] & silent[begun] & (before[_SINCE + direction, ordered.series] > 0)
            began = np.where(carried, before[_SINCE + direction, ordered.series], time[begun])
            run = total - total[begun] + alone[begun]
            run += np.where(carried, before[_ALONE + direction, ordered.series], 0)
            dead = silent & (run >= ONE_WAY_PERSONS) & (time - began >= ONE_WAY_MS)
            flagged[dead] |= np.uint16(Flag.ONE_WAY)
            after[_SINCE + direction] = np.where(silent[ordered.ends], began[ordered.ends], 0)
            after[_ALONE + direction] = np.where(silent[ordered.ends], run[ordered.ends], 0)
        weeks = periods(ordered, (time - 1) // _WEEK_MS, counts, before[_WEEK : _COUNTS + 4])
        last = weeks.of[ordered.ends]
        after[_WEEK] = weeks.period[last]
        after[_COUNTS : _COUNTS + 2] = weeks.running[:, ordered.ends]
        after[_COUNTS + 2 : _COUNTS + 4] = weeks.previous[:, last]
        previous = weeks.previous[:, weeks.of]
        both = previous + weeks.running
        uneven = (previous.sum(axis=0) >= IMBALANCE_PERSONS) & (both.max(axis=0) > IMBALANCE * both.min(axis=0))
        flagged[uneven] |= np.uint16(Flag.IMBALANCE)
        self._pairs.remember(ordered.slots, after)
        for column in (_IN, _OUT):
            flags[at[order, column]] |= flagged

    def _judge_lamps(self, records: Records, values: Floats, at: Ints, flags: Flags) -> None:
        ends = at[:, _POWER]
        keys, times = records["site"][ends].astype(np.int64), records["time"][ends].astype(np.int64)
        ordered = self._lamps.ordered(keys, times)
        if not len(ordered.order):
            return
        order = ordered.order
        told = np.nan_to_num(values[order][:, [_POWER, _DIM, _COMMAND]] * 1000.0, nan=-1.0)
        told = np.rint(told).astype(np.int64)
        told[:, 0] = np.maximum(told[:, 0], 0)  # a meter's small negative noise is no power
        last = np.empty_like(told)
        last[1:] = told[:-1]
        last[ordered.starts] = self._lamps.table[ordered.slots, 1:]
        step = np.abs(told[:, 0] - last[:, 0])
        stepped = (last[:, 0] >= 0) & (step > np.maximum(STEP_W * 1e3, STEP_SHARE * np.maximum(told, last)[:, 0]))
        same = (np.abs(told[:, 1:] - last[:, 1:]) < DIM_STEP * 1e3).all(axis=1)
        flags[at[order[stepped & same], _POWER]] |= np.uint16(Flag.RATE)
        self._lamps.table[ordered.slots] = np.column_stack(
            [records["time"][ends][order[ordered.ends]].astype(np.int64), told[ordered.ends]]
        )


def _joined(records: Records, quantity: npt.NDArray[np.intp], value: Floats, flags: Flags) -> _Joined | None:
    """The values of each message and interval side by side; None where no message has two of them."""
    part = records["part"]
    if not part.any():
        return None
    begins = np.ones(len(records), bool)
    begins[1:] = part[1:] <= part[:-1]
    for name in ("seq", "boot", "received"):
        begins[1:] |= records[name][1:] != records[name][:-1]
    message = np.cumsum(begins)
    good = (flags & np.uint16(int(FAIL))) == 0
    rows = np.flatnonzero((_COLUMN_OF[quantity] >= 0) & good)
    if len(rows) < 2:
        return None
    time, duration = records["time"][rows].astype(np.int64), records["duration_s"][rows]
    order = np.lexsort((duration, time, message[rows]))
    rows, time, duration, number = rows[order], time[order], duration[order], message[rows][order]
    new = np.ones(len(rows), bool)
    new[1:] = (number[1:] != number[:-1]) | (time[1:] != time[:-1]) | (duration[1:] != duration[:-1])
    group = np.cumsum(new) - 1
    shared = np.bincount(group)[group] > 1
    if not shared.any():
        return None
    rows = rows[shared]
    _, group = np.unique(group[shared], return_inverse=True)
    shape = (int(group[-1]) + 1, len(_NAMES))
    values, at = np.full(shape, np.nan), np.full(shape, -1, np.int64)
    column = _COLUMN_OF[quantity[rows]]
    values[group, column] = value[rows]
    at[group, column] = rows
    return _Joined(values, at)


def _contradictions(joined: _Joined) -> Bools:
    """Which values (k, len(_NAMES)) another one of their message contradicts."""
    values = joined.values
    wrong = np.zeros(values.shape, bool)
    for above, below, tolerance in NEVER_BELOW:
        pair = [_COLUMN[above], _COLUMN[below]]
        wrong[:, pair] |= (values[:, pair[0]] < values[:, pair[1]] - tolerance)[:, None]
    sums = [_IN, _OUT, _TOTAL]
    wrong[:, sums] |= (np.abs(values[:, _IN] + values[:, _OUT] - values[:, _TOTAL]) > 0.5)[:, None]
    return wrong
