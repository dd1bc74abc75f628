"""The usual of a place: what the pages of the same weekday's earlier nights said at the same time, and what differs.

In a layer's own terms (points, dB, ln lux, ln persons/h), with a(w) of n earlier nights w and a(0) of tonight

    d = a(0) - mean a(w),   error^2 = max(sd(0)^2, s^2) + max(mean sd(w)^2, s^2) / n

where s^2 is the variance from week to week, drawn towards its median over the map with the weight of PRIOR_NIGHTS
nights (Smyth 2004), as the night report does it (`analytics.usual_differences`). Errors that all nights share cancel in
a difference; the pages' own sd counts them in full, so an interval is rather too wide than too narrow.

Released pages are compared with released pages of their own level, public ones with public ones. Nights with a holiday
or an event of the whole city in the journal are no usual ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from analytics import atlas
from analytics.special_nights import kinds_of_nights
from analytics.usual_differences import PRIOR_NIGHTS
from ingest.usual_nights import WEEKS, WEEKS_LEAST
from sensors.city import City
from sensors.errors import NoctuleError
from sensors.night import Night, local_offset

Floats = npt.NDArray[np.float32]

_EPOCH = date(1970, 1, 1)
_LEAST_SD = 1e-3  # of what never varied: not known to a hair


class UsualNights(NamedTuple):
    """The earlier nights that tonight is compared with, the latest first, and a short name of how they stand."""

    names: tuple[str, ...]
    digest: str

    @property
    def enough(self) -> bool:
        """Whether they are enough to say what is usual."""
        return len(self.names) >= WEEKS_LEAST


@dataclass(frozen=True)
class Usual:
    """The usual of every cell in the layer's own terms; NaN where fewer than WEEKS_LEAST nights say something."""

    mean: Floats
    spread: Floats  # variance from week to week
    error: Floats  # mean variance of the pages' own errors
    nights: npt.NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        """How much it holds."""
        return self.mean.nbytes + self.spread.nbytes + self.error.nbytes + self.nights.nbytes


def usual_nights(city: City, night: str, level: str = "atlas") -> UsualNights:
    """The nights of the same weekday in the WEEKS weeks before that have pages and were nothing special."""
    day, special = date.fromisoformat(night), kinds_of_nights(city)
    found = []
    for name in reversed(atlas.nights(city, level)):
        before = date.fromisoformat(name)
        apart = (day - before).days
        if 0 < apart <= 7 * WEEKS and apart % 7 == 0 and (before - _EPOCH).days not in special:
            found.append(name)
    pages = []
    for name in found:
        status = city.shelf(level, name, "current.json").stat()
        pages.append(f"{name} {status.st_mtime_ns} {status.st_size}")
    return UsualNights(tuple(found), hashlib.sha256("\n".join(pages).encode()).hexdigest()[:6])


def usual_step(
    city: City, names: tuple[str, ...], step: np.datetime64, variable: str, sd: str, level: str, least: float
) -> Usual | None:
    """The usual of a variable at a step's time of the clock; None where too few nights have that step.

    Parameters
    ----------
    names : earlier nights
    sd : variable with the standard deviation in the layer's own terms
    level : 'atlas' or 'public'
    least : what is taken as a logarithm counts for at least so much; 0 for what is no ratio
    """
    values: list[Floats] = []
    errors: list[Floats] = []
    offset = local_offset(np.array([step]), city.zone)[0]
    clock = str((step + offset).astype("datetime64[m]"))[11:16]
    for name in names:
        then = Night.named(name, city.zone).time_of(clock)
        try:
            page = atlas.open_step(city, name, then.astype("datetime64[ms]"), (variable, sd), level)
        except (NoctuleError, OSError):
            continue  # not closed, or mapped without this layer
        value, error = page[variable].values[0], page[sd].values[0]
        if values and value.shape != values[0].shape:
            continue  # of another grid
        values.append(own_terms(value, least))
        errors.append(np.asarray(error, np.float32))
    if len(values) < WEEKS_LEAST:
        return None
    return usual_of(values, errors)


def own_terms(value: npt.NDArray[np.floating], least: float) -> Floats:
    """A quantity as it is, or its logarithm where `least` says so."""
    if not least:
        return np.asarray(value, np.float32)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.log(np.maximum(value, least)), np.float32)


def usual_of(values: Sequence[Floats], errors: Sequence[Floats]) -> Usual:
    """Mean, spread and error over nights.

    Parameters
    ----------
    values, errors : (rows, columns) arrays, one a night
        The layer and its standard deviation, in its own terms; NaN where a night said nothing.
    """
    # Sums of what differs from the first night: nights are alike, so single precision is enough.
    first = np.nan_to_num(values[0])
    count = np.zeros(first.shape, np.uint8)
    total, squares, error = (np.zeros(first.shape, np.float32) for _ in range(3))
    for value, sd in zip(values, errors, strict=True):
        known = np.isfinite(value)
        away = np.where(known, value - first, np.float32(0))
        own = np.where(known & np.isfinite(sd), sd, np.float32(0))
        count += known
        total += away
        squares += away * away
        error += own * own
    share = np.maximum(count, 1).astype(np.float32)
    total /= share
    spread = np.maximum(squares - share * total * total, 0) / np.maximum(share - 1, 1)
    mean = np.where(count >= WEEKS_LEAST, first + total, np.float32(np.nan))
    return Usual(mean, np.asarray(spread, np.float32), np.asarray(error / share, np.float32), count)


def unlike(value: Floats, sd: Floats, usual: Usual) -> tuple[Floats, Floats]:
    """What differs from the usual, and half of its 90 % interval; both in the layer's own terms, NaN where not known.

    Parameters
    ----------
    value, sd : (rows, columns) arrays
        Tonight in the layer's own terms, and its standard deviation.
    """
    nights = np.maximum(usual.nights, 2).astype(np.float32)
    told = np.isfinite(usual.mean)
    shared = np.float32(np.median(usual.spread[told])) if told.any() else np.float32(0)
    freedom = PRIOR_NIGHTS + nights - 1
    spread = (PRIOR_NIGHTS * shared + (nights - 1) * usual.spread) / freedom
    spread = np.maximum(spread, np.float32(_LEAST_SD**2))
    here = np.nan_to_num(np.asarray(sd, np.float32)) ** 2
    error = np.maximum(here, spread) + np.maximum(usual.error, spread) / nights
    wide = stats.t.ppf(0.95, PRIOR_NIGHTS + np.arange(WEEKS + 1) - 1.0).astype(np.float32)
    half = wide[np.minimum(nights, WEEKS).astype(np.uint8)] * np.sqrt(error)
    return np.asarray(value - usual.mean, np.float32), np.asarray(half, np.float32)
