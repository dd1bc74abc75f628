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
    EXTREME = 16  # possible, and seldom seen
    RATE = 32  # changed faster than such a thing changes
    SPIKE = 64  # far from both neighbours; known only when the next one has come
    ATTENUATED = 128  # hardly varies: a blocked microphone
    ORDER = 256  # contradicts another value of its message: L10 below L50
    DELAYED = 512  # arrived more than five minutes after its time
    ZERO_RUN = 1024  # nobody for hours where people pass
    ONE_WAY = 2048  # one direction counts, the other is dead
    IMBALANCE = 4096  # in and out differ over a week
    LAMP = 8192  # a fault of the lamp, not of its sensor
    NEIGHBOUR = 16384  # unlike the sites around it
    CLIMATOLOGY = 32768  # unlike this hour of the week


FAIL = Flag.RANGE | Flag.CLOCK | Flag.ORDER
CLASSES = Flag.LATE | Flag.LAMP  # say something about a good reading
SUSPECT = Flag(0xFFFF) ^ FAIL ^ CLASSES

TEXTS: dict[Flag, str] = {
    Flag.RANGE: "value outside what this quantity can be",
    Flag.CLOCK: "the device's clock cannot be right",
    Flag.REPEAT: "the same value for too long",
    Flag.LATE: "arrived more than a day late",
    Flag.EXTREME: "value seldom seen",
    Flag.RATE: "changed faster than such a thing changes",
    Flag.SPIKE: "far from the values before and after",
    Flag.ATTENUATED: "hardly varies, as a blocked sensor does",
    Flag.ORDER: "contradicts another value of the same message",
    Flag.DELAYED: "arrived more than five minutes late",
    Flag.ZERO_RUN: "nobody for hours where people pass",
    Flag.ONE_WAY: "one direction counts, the other does not",
    Flag.IMBALANCE: "in and out differ over a week",
    Flag.LAMP: "the lamp is at fault",
    Flag.NEIGHBOUR: "unlike the sites around it",
    Flag.CLIMATOLOGY: "unlike this hour of the week",
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


GOOD, NOT_EVALUATED, SUSPECTED, FAILED, MISSING = 1, 2, 3, 4, 9  # the words of QARTOD


def roll_up(
    flags: npt.NDArray[np.uint16],
    *,
    evaluated: npt.NDArray[np.bool_] | None = None,
    missing: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.uint8]:
    """QARTOD's one word for all tests of a reading: fail 4 before suspect 3, good 1, not evaluated 2, missing 9.

    evaluated : which readings any test has looked at; all where it is left out
    missing : where there is no reading, only a place for one

    >>> roll_up(np.array([0, 4, 5, 8, 0], np.uint16), evaluated=np.array([1, 1, 1, 1, 0], bool)).tolist()
    [1, 3, 4, 1, 2]
    """
    words = np.full(flags.shape, GOOD, np.uint8)
    if evaluated is not None:
        words[~evaluated] = NOT_EVALUATED
    if missing is not None:
        words[missing] = MISSING
    words[(flags & np.uint16(int(SUSPECT))) != 0] = SUSPECTED
    words[(flags & np.uint16(int(FAIL))) != 0] = FAILED
    return words
