"""What one reading says about itself: possible values, values seldom seen, and how its time stands to its receipt.

Gross range (QARTOD; sensing.md D): outside the limits of `sensors.quantities` a value cannot be true and fails; outside
the narrower ones here it is seldom seen and *suspect*. Clock: more than two minutes ahead of receipt cannot be true,
and neither can a year behind (a device that lost its clock says 1970, 2000 or its year of manufacture). More than five
minutes late is suspect; more than a day late is the class *late*, and good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sensors.city import City
from sensors.flags import Flag
from sensors.quantities import QUANTITIES

Flags = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

AHEAD = np.timedelta64(2, "m")
DELAYED = np.timedelta64(5, "m")
LATE = np.timedelta64(24, "h")
LOST = np.timedelta64(366, "D")


class Usual(NamedTuple):
    """Values inside are common; beyond them a reading is suspect."""

    low: float
    high: float


# sensing.md D, gross range, 'suspect' column. Illuminance: full sun is some 110,000 lx, and whether 300 lx at night are
# too much is a question to the sun, so it is asked afterwards (reflag). A meter's own noise is no less than 28 dB.
USUAL = {
    "illuminance": Usual(0.0, 130_000.0),
    "power": Usual(0.0, 1_000.0),
    "sound_laeq": Usual(28.0, 110.0),
    "sound_lamax": Usual(28.0, 130.0),
    "sound_lamin": Usual(20.0, 110.0),
    "sound_la10": Usual(28.0, 115.0),
    "sound_la50": Usual(25.0, 110.0),
    "sound_la90": Usual(20.0, 110.0),
    "people_present": Usual(0.0, 50_000.0),
    "devices_seen": Usual(0.0, 50_000.0),
    "supply_voltage": Usual(207.0, 253.0),  # EN 50160: 230 V +-10 %; a power cut reads 0 and is no fault of its meter
}
# 80 persons/min/m is the most that passes a line (sensing.md C2). Nobody tells us a line's width: 5 m is a wide path
# under one counter, 50 m a square.
COUNTED = ("people_flow", "people_in", "people_out")
PERSONS_PER_S_SELDOM = 80 * 5 / 60
PERSONS_PER_S_POSSIBLE = 80 * 50 / 60
RATED_EXCEEDED = 1.15  # of rated power; 1.3 is the reference's limit for a failure, but it may be the inventory's

_LOW, _HIGH = np.full(256, -np.inf), np.full(256, np.inf)
_SELDOM_LOW, _SELDOM_HIGH = np.full(256, -np.inf), np.full(256, np.inf)
for _quantity in QUANTITIES.values():
    _LOW[_quantity.code], _HIGH[_quantity.code] = _quantity.low, _quantity.high
for _name, _usual in USUAL.items():
    _SELDOM_LOW[QUANTITIES[_name].code], _SELDOM_HIGH[QUANTITIES[_name].code] = _usual

_IS_COUNT = np.zeros(256, bool)
_IS_COUNT[[QUANTITIES[_name].code for _name in COUNTED]] = True
_POWER = QUANTITIES["power"].code


def _ms(span: np.timedelta64) -> int:
    return int(span.astype("timedelta64[ms]").astype(np.int64))


# Limits of received - time, each the first value of the class after it.
_DELAYS = np.array([-_ms(AHEAD), _ms(DELAYED) + 1, _ms(LATE) + 1, _ms(LOST) + 1], np.int64)
_DELAY_FLAGS = np.array([Flag.CLOCK, 0, Flag.DELAYED, Flag.LATE, Flag.CLOCK], np.uint16)


@dataclass(frozen=True)
class SiteFacts:
    """What the register knows that a reading cannot: rated power of the lamps behind a site of `power`, in W."""

    sites: npt.NDArray[np.int64]  # ascending
    rated_w: Floats

    @classmethod
    def of(cls, city: City) -> SiteFacts:
        """From the city's places; sites whose lamps nobody knows are left out."""
        sites = city.places("sites")
        watts = city.places("lamps").set_index("lamp")["watts"].astype(float)
        powers = sites[sites["quantity"] == "power"].sort_values("site")
        rated = [float(watts.reindex(lamps.split(";")).sum(skipna=False)) for lamps in powers["lamps"]]
        known = np.array([power > 0 for power in rated], bool)
        return cls(powers["site"].to_numpy(np.int64)[known], np.array(rated, np.float64)[known])

    def rated(self, sites: Ints) -> Floats:
        """Rated power of each site; inf where it is not known."""
        if not len(self.sites):
            return np.full(len(sites), np.inf)
        at = np.minimum(np.searchsorted(self.sites, sites), len(self.sites) - 1)
        return np.where(self.sites[at] == sites, self.rated_w[at], np.inf)


def own_flags(
    quantity: npt.NDArray[np.intp],
    value: Floats,
    duration_s: Floats,
    delay_ms: Ints,
    sites: Ints,
    facts: SiteFacts | None = None,
) -> Flags:
    """What each reading says about itself; arrays are (n,), `delay_ms` is receipt less time."""
    flags = _DELAY_FLAGS[np.searchsorted(_DELAYS, delay_ms, side="right")]
    possible = (value >= _LOW[quantity]) & (value <= _HIGH[quantity])  # NaN is not
    usual = (value >= _SELDOM_LOW[quantity]) & (value <= _SELDOM_HIGH[quantity])
    counts = np.flatnonzero(_IS_COUNT[quantity])
    if len(counts):
        most = value[counts] / np.where(duration_s[counts] > 0, duration_s[counts], np.inf)
        possible[counts] &= most <= PERSONS_PER_S_POSSIBLE
        usual[counts] &= most <= PERSONS_PER_S_SELDOM
    if facts is not None:
        powers = np.flatnonzero(quantity == _POWER)
        if len(powers):
            usual[powers] &= value[powers] <= RATED_EXCEEDED * facts.rated(sites[powers])
    if not usual.all() or not possible.all():
        flags[~possible] |= np.uint16(Flag.RANGE)
        flags[possible & ~usual] |= np.uint16(Flag.EXTREME)
    return flags
