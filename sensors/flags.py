"""Why a reading is doubted: one table of reason bits; 0 means good.

Only physics may *fail* a reading (an impossible value, an impossible time); everything else makes it *suspect* and it
stays in, so that a real crowd or a real scream is never filtered away.
"""

from __future__ import annotations

from enum import IntFlag

import numpy as np
import numpy.typing as npt


class Flag(IntFlag):
    """Reason bits of `READING.flags`; the words on each line are what a person is told."""

    RANGE = 1  # outside what the quantity can be
    CLOCK = 2  # the device's time cannot be true; filed under its time of receipt
    REPEAT = 4  # the same value for too long
    LATE = 8  # arrived more than a day after its time; good, but too late for closed pages


FAIL = Flag.RANGE | Flag.CLOCK
SUSPECT = Flag.REPEAT

TEXTS: dict[Flag, str] = {
    Flag.RANGE: "value outside what this quantity can be",
    Flag.CLOCK: "the device's clock cannot be right",
    Flag.REPEAT: "the same value for too long",
    Flag.LATE: "arrived more than a day late",
}


def usable(flags: npt.NDArray[np.uint16]) -> npt.NDArray[np.bool_]:
    """Which readings may enter a field: all but those that physics refuses.

    >>> usable(np.array([0, 1, 4, 8], np.uint16)).tolist()
    [True, False, True, True]
    """
    good: npt.NDArray[np.bool_] = (flags & np.uint16(int(FAIL))) == 0
    return good


def names(flags: int) -> list[str]:
    """The names of the bits that are set, lower case, in order of their bits.

    >>> names(5)
    ['range', 'repeat']
    """
    return [str(flag.name).lower() for flag in Flag if flags & flag]
