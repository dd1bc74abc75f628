"""Arithmetic of sound levels: everything is averaged as energy and weighted by the seconds it rests on, never in dB.

    LAeq,T     10 lg( sum s_i 10^(L_i/10) / sum s_i ), s_i valid seconds
    L_N        level exceeded N % of the time: the (100 - N)th percentile of LAeq,1s, linear between two values; of a
               histogram of 1 dB, linear within the bin. Percentiles are merged from histograms only, never from L_N
    IR         100 * energy of events / energy, events being seconds louder than LAeq,T + 3 dB
    Harmonica  BGN = 0.2 (LA95eq - 30), EVT = 0.25 (LAeq - LA95eq), their sum the index of an hour; LA95eq is the
               energy mean of the 5th percentile in a window of ten minutes that ends at each second (sensing.md B2)

The largest LAeq,1s is not LAFmax, which needs F weighting. A value rests on at least 75 % of its seconds, or on half of
them, and is then hatched; below that there is none (sensing.md B1).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analytics.kernels import levels as kernels
from analytics.kernels.jit import over_rows
from sensors.quantities import HISTOGRAM_BINS, HISTOGRAM_FROM_DB

Floats = NDArray[np.float64]

REPORTED, HATCHED = 0.75, 0.50  # shares of valid seconds from which a value is reported, or shown hatched
_EVENT_DB = 3.0  # an event is louder than the mean by this
_WINDOW_S = 600  # of the rolling percentile of Harmonica
_HARMONICA_SHARE = 0.80  # of the hour, and of each window


class Harmonica(NamedTuple):
    """The index of an hour, 0 to 10 and beyond, and its two parts."""

    background: float
    events: float
    total: float


class SecondsMean(NamedTuple):
    """LAeq of each row in dB, and the valid seconds it rests on."""

    level: Floats
    seconds: NDArray[np.int64]


def laeq(level_db: ArrayLike, seconds: ArrayLike = 1.0) -> float:
    """Energy mean in dB of levels weighted by their valid seconds; NaN where nothing is valid.

    level_db : (n,) array
        Levels, NaN where not valid.
    seconds : (n,) array or number
        Valid seconds behind each level.

    >>> round(laeq([50.0, 60.0]), 2)
    57.4
    """
    level = np.asarray(level_db, np.float64)
    weight = np.where(np.isfinite(level), np.broadcast_to(np.asarray(seconds, np.float64), level.shape), 0.0)
    energy = np.where(weight > 0, 10.0 ** (level / 10.0), 0.0)
    total = float(weight.sum())
    return _db(float((weight * energy).sum()) / total) if total > 0 else float("nan")


def laeq_of_rows(level_db: NDArray[np.float32]) -> SecondsMean:
    """LAeq of each row of one-second levels, at the speed of memory; not finite is not valid.

    level_db : (n, seconds) f4 array, finite ones within 300 dB
    """
    rows = np.ascontiguousarray(level_db, np.float32)
    energy, valid = np.empty(rows.shape[0]), np.empty(rows.shape[0], np.int64)
    over_rows(kernels.sum_energy, rows.shape[0], rows, energy, valid)
    with np.errstate(divide="ignore", invalid="ignore"):
        return SecondsMean(10.0 * np.log10(energy / valid), valid)


def laeq_by(group: NDArray[np.int64], level_db: Floats, seconds: Floats, n: int) -> tuple[Floats, Floats]:
    """LAeq and valid seconds of `n` groups; `group` (n,) says to which each level belongs, NaN levels to none."""
    weight = np.where(np.isfinite(level_db), seconds, 0.0)
    energy = np.bincount(group, weight * np.where(weight > 0, 10.0 ** (level_db / 10.0), 0.0), n)
    total = np.bincount(group, weight, n).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10.0 * np.log10(energy / total), total


def exceeded(level_1s: ArrayLike, percent: float) -> float:
    """Level exceeded `percent` of the time by one-second levels; NaN where none is valid.

    >>> exceeded(range(101), 90)
    10.0
    """
    level = np.asarray(level_1s, np.float64)
    level = level[np.isfinite(level)]
    return float(np.percentile(level, 100.0 - percent)) if level.size else float("nan")


def exceeded_of_histogram(seconds: ArrayLike, percent: float) -> float:
    """Level exceeded `percent` of the time, from seconds in each bin of 1 dB from 20 dB up, or a sum of such.

    Linear within the bin, so it differs from the percentile of the seconds by less than the bin.
    """
    counts = np.asarray(seconds, np.float64)
    if counts.shape != (HISTOGRAM_BINS,):
        raise ValueError(f"a histogram of 1 dB has {HISTOGRAM_BINS} bins; this one has shape {counts.shape}")
    below = np.cumsum(counts)
    wanted = below[-1] * (1.0 - percent / 100.0)
    if below[-1] <= 0:
        return float("nan")
    bin_ = int(np.searchsorted(below, wanted, side="left"))
    bin_ = min(int(np.flatnonzero(counts)[-1]), max(bin_, int(np.flatnonzero(counts)[0])))
    within = (wanted - (below[bin_] - counts[bin_])) / counts[bin_] if counts[bin_] else 1.0
    return float(HISTOGRAM_FROM_DB + bin_ + min(max(within, 0.0), 1.0))


def histogram(level_1s: ArrayLike) -> NDArray[np.int64]:
    """Seconds in each bin of 1 dB from 20 dB up, as a meter counts them; what is louder or quieter is in the ends."""
    level = np.asarray(level_1s, np.float64)
    level = level[np.isfinite(level)]
    bins = np.clip(np.floor(level) - HISTOGRAM_FROM_DB, 0, HISTOGRAM_BINS - 1).astype(np.int64)
    return np.asarray(np.bincount(bins, minlength=HISTOGRAM_BINS), np.int64)


def largest_1s(level_1s: ArrayLike) -> float:
    """LAeq,1s,max: the loudest second. It is not LAFmax."""
    level = np.asarray(level_1s, np.float64)
    return float(np.nanmax(level)) if np.isfinite(level).any() else float("nan")


def intermittency(level_1s: ArrayLike) -> float:
    """Intermittency ratio in per cent: the share of energy in events louder than LAeq,T + 3 dB.

    Half the time at 50 and half at 60 dB is 57.40 dB with a threshold of 60.40, so nothing is an event:

    >>> intermittency([50.0, 60.0])
    0.0
    """
    level = np.asarray(level_1s, np.float64)
    level = level[np.isfinite(level)]
    if not level.size:
        return float("nan")
    energy = 10.0 ** (level / 10.0)
    return 100.0 * float(energy[level > laeq(level) + _EVENT_DB].sum() / energy.sum())


def harmonica(hour_1s: ArrayLike, before_1s: ArrayLike = ()) -> Harmonica:
    """The Harmonica index of an hour of one-second levels; NaN with fewer than 80 % of its seconds.

    hour_1s : (3600,) array
        LAeq,1s of the hour in order, NaN where not valid.
    before_1s : (n,) array
        The seconds before it, of which the last ten minutes count; without them the windows begin within the hour.
    """
    hour = np.asarray(hour_1s, np.float64)
    nothing = Harmonica(*[float("nan")] * 3)
    if hour.size != 3600:
        raise ValueError(f"the Harmonica index is of an hour of 3600 seconds; these are {hour.size}")
    if np.isfinite(hour).mean() < _HARMONICA_SHARE:
        return nothing
    before = np.asarray(before_1s, np.float64)[-(_WINDOW_S - 1) :]
    rolling = _rolling_percentile(np.concatenate([before, hour]), 5.0)
    background_db = laeq(rolling)
    background, events = 0.2 * (background_db - 30.0), 0.25 * (laeq(hour) - background_db)
    return Harmonica(background, events, background + events)


def exceedance_minutes(level_db: Floats, seconds: Floats, limit_db: float) -> float:
    """Minutes of intervals whose LAeq exceeds a limit, by their valid seconds."""
    return float(np.sum(np.where(level_db > limit_db, seconds, 0.0))) / 60.0


def closing_step(
    end: NDArray[np.datetime64], level_db: Floats, seconds: Floats, close: np.datetime64, minutes: int = 30
) -> float:
    """LAeq of the half hour after closing less that of the half hour before, in dB.

    Parameters
    ----------
    end : (n,) array
        UTC, the end of each interval.
    close : datetime64
        When the venue closes, UTC. NaN where either half hour has less than 75 % valid seconds.
    """
    span = np.timedelta64(minutes, "m")
    step = []
    for begin in (close, close - span):
        inside = (end > begin) & (end <= begin + span)
        enough = coverage(level_db[inside], seconds[inside], 60.0 * minutes) >= REPORTED
        step.append(laeq(level_db[inside], seconds[inside]) if enough else float("nan"))
    return step[0] - step[1]


def emergence(level_db: float, usual_db: Sequence[float] | Floats) -> float:
    """How far a level stands above the median of the same hour's levels on Tuesdays and Wednesdays, in dB.

    A median takes one of the levels (or the energy mean of the middle two), so nothing is averaged in dB.
    """
    usual = np.sort(np.asarray(usual_db, np.float64)[np.isfinite(usual_db)])
    if not usual.size:
        return float("nan")
    return level_db - laeq(usual[(usual.size - 1) // 2 : usual.size // 2 + 1])


def coverage(level_db: Floats, seconds: Floats, span_s: float) -> float:
    """Share of a span that has valid seconds."""
    return min(float(np.sum(np.where(np.isfinite(level_db), seconds, 0.0))) / span_s, 1.0) if span_s > 0 else 0.0


def standing(share: float) -> str:
    """What a share of valid seconds allows: 'reported', 'hatched' or 'none'.

    >>> standing(0.8), standing(0.6), standing(0.4)
    ('reported', 'hatched', 'none')
    """
    return "reported" if share >= REPORTED else "hatched" if share >= HATCHED else "none"


def _rolling_percentile(level: Floats, percent: float) -> Floats:
    """Of the ten minutes that end at each second, where 80 % of them are valid; NaN elsewhere."""
    if level.size < _WINDOW_S:
        return np.full(0, np.nan)
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(level, _WINDOW_S), axis=1)  # NaN come last
    valid = np.isfinite(windows).sum(axis=1)
    place = percent / 100.0 * np.maximum(valid - 1, 0)
    lower = np.floor(place).astype(np.int64)
    rows = np.arange(valid.size)
    a, b = windows[rows, lower], windows[rows, np.minimum(lower + 1, np.maximum(valid - 1, 0))]
    return np.where(valid >= _HARMONICA_SHARE * _WINDOW_S, a + (place - lower) * (b - a), np.nan)


def _db(energy: float) -> float:
    return 10.0 * float(np.log10(energy)) if energy > 0 else float("-inf")
