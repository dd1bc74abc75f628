"""Which readings to trust: reason bits from a reading and those that came before it.

Range (QARTOD gross range, sensing.md D): the limits of `sensors.quantities`. Clock: more than two minutes ahead of
receipt cannot be true, and neither can a year behind (a device that lost its clock says 1970, 2000 or its year of
manufacture); more than a day late is the class *late*, and good. Repeat (QARTOD flat line): a run of equal values that
is too long to be measured. Only range and clock fail a reading; a run is *suspect* and stays in.

Nothing looks ahead, so a series gets the same flags at once, one by one, or in any chunks; after a restart `learn`
brings the state back from readings that are already flagged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from sensors.flags import FAIL, Flag
from sensors.quantities import QUANTITIES
from sensors.reading import Records

Flags = npt.NDArray[np.uint16]

AHEAD = np.timedelta64(2, "m")
LATE = np.timedelta64(24, "h")
LOST = np.timedelta64(366, "D")


class FlatLine(NamedTuple):
    """When a run of equal values is suspect: both limits reached, values within the tolerance of the run's first."""

    tolerance: float
    seconds: float
    readings: int
    above: float  # values at or below it may rest for ever (an empty street, a lamp that is off)


# sensing.md D, flat line, 'suspect' column. A quiet quarter-hour meter needs more than two equal values: six, as for
# counts. Equal is the same at a meter's resolution of 0.1 dB: within 0.1 dB either side a courtyard at night is flat
# for hours (56 false suspects among 86,235 simulated readings, 3 with 0.05). Dimming and
# lamp_ok rest by nature, illuminance rests at night, so they have no line here.
FLAT_LINES = {
    QUANTITIES["sound_laeq"].code: FlatLine(0.05, 600.0, 6, -np.inf),
    QUANTITIES["power"].code: FlatLine(0.01, 6 * 3600.0, 6, 1.0),
    QUANTITIES["people_flow"].code: FlatLine(0.0, 0.0, 6, 0.0),
}

_LOW = np.full(256, -np.inf)
_HIGH = np.full(256, np.inf)
for _quantity in QUANTITIES.values():
    _LOW[_quantity.code], _HIGH[_quantity.code] = _quantity.low, _quantity.high


class _Run(NamedTuple):
    value: float  # the run's first value
    start_ms: int
    last_ms: int
    readings: int


@dataclass
class Screen:
    """Flags readings in the order in which they come; keeps one run for each site."""

    _runs: dict[int, _Run] = field(default_factory=dict)

    def flags(self, records: Records) -> Flags:
        """Reason bits (u2, one a record) of the next records, in order; their own `flags` are not read."""
        flags = _own_flags(records)
        for index in np.flatnonzero(np.isin(records["quantity"], _FLAT_CODES) & (flags & int(FAIL) == 0)):
            if self._repeats(records[index]):
                flags[index] |= Flag.REPEAT
        return flags

    def learn(self, records: Records) -> None:
        """Take in records that were flagged before."""
        self.flags(records)

    def state(self) -> bytes:
        """Everything that later flags depend on."""
        return msgspec.msgpack.encode(self._runs)

    @classmethod
    def from_state(cls, state: bytes) -> Screen:
        """A screen that goes on where `state` was taken."""
        return cls(msgspec.msgpack.decode(state, type=dict[int, _Run]))

    def _repeats(self, record: np.void) -> bool:
        """Extend the site's run by a usable reading; whether the run is now too long."""
        rule = FLAT_LINES[int(record["quantity"])]
        site, value = int(record["site"]), float(record["value"])
        time_ms = int(record["time"].astype(np.int64))
        run = self._runs.get(site)
        if run is not None and time_ms <= run.last_ms:
            return False  # out of order: says nothing about the run
        if run is None or abs(value - run.value) > rule.tolerance or value <= rule.above:
            self._runs[site] = _Run(value, time_ms, time_ms, 1)
            return False
        run = _Run(run.value, run.start_ms, time_ms, run.readings + 1)
        self._runs[site] = run
        return run.readings >= rule.readings and run.last_ms - run.start_ms >= rule.seconds * 1000


_FLAT_CODES = np.array(sorted(FLAT_LINES), np.uint8)


def _own_flags(records: Records) -> Flags:
    """What a reading says about itself: range, clock, late."""
    value, quantity = records["value"], records["quantity"]
    outside = ~((value >= _LOW[quantity]) & (value <= _HIGH[quantity]))  # NaN is outside
    delay = records["received"] - records["time"]
    clock = (delay < -AHEAD) | (delay > LOST)
    late = (delay > LATE) & ~clock
    flags = np.zeros(len(records), np.uint16)
    for failed, flag in ((outside, Flag.RANGE), (clock, Flag.CLOCK), (late, Flag.LATE)):
        flags[failed] |= np.uint16(flag)
    return flags
