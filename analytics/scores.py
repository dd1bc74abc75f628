"""How good predicted answers are: proper scores, calibration, and skill with an interval that respects neighbours.

    RPS        sum over k of (P(y <= k) - [y <= k])^2                       Epstein 1969
    log score  -log P(y), in nats                                          Good 1952
    Brier      (P(feels safe) - [feels safe])^2                            Brier 1950
    PIT        of an ordinal answer, not randomised                        Czado, Gneiting and Held 2009

Predictions are cumulative: below[i, k - 1] = P(y_i <= k), k = 1..K-1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Skill:
    """1 - score / reference score, with its 90 % interval by resampling whole blocks."""

    value: float
    low: float
    high: float


def ranked_probability(below: Floats, category: Ints) -> Floats:
    """RPS of each answer, (n,).

    >>> ranked_probability(np.array([[0.0, 0.0, 1.0]]), np.array([3]))
    array([0.])
    """
    reached = category[:, None] <= np.arange(1, below.shape[1] + 1)[None, :]
    score: Floats = ((below - reached) ** 2).sum(axis=1)
    return score


def logarithmic(below: Floats, category: Ints) -> Floats:
    """Log score of each answer in nats, (n,); what was held impossible counts as one in a million."""
    return -np.log(np.maximum(_of_answer(below, category), 1e-6))


def brier(below: Floats, category: Ints, safe_from: int) -> Floats:
    """Brier score of "feels safe" for each answer, (n,)."""
    score: Floats = (1 - below[:, safe_from - 2] - (category >= safe_from)) ** 2
    return score


def skill(score: Floats, reference: Floats, block: Ints, *, draws: int = 999, seed: int = 0) -> Skill:
    """How much better than a reference, on the same answers.

    block : (n,) which answers are resampled together: neighbours in place, or the answers of one person
    """
    _, place = np.unique(block, return_inverse=True)
    number = int(place.max()) + 1
    sums = np.stack([np.bincount(place, part, number) for part in (score, reference)])
    drawn = np.random.default_rng(seed).integers(0, number, (draws, number))
    total = sums[:, drawn].sum(axis=2)
    low, high = np.quantile(1 - total[0] / total[1], [0.05, 0.95])
    return Skill(float(1 - score.sum() / reference.sum()), float(low), float(high))


def pit(below: Floats, category: Ints, bins: int = 10) -> Floats:
    """Share of the probability integral transform in each of equal bins, (bins,): 1 / bins each where calibrated."""
    padded = np.hstack([np.zeros((len(below), 1)), below, np.ones((len(below), 1))])
    rows = np.arange(len(below))
    low, high = padded[rows, category - 1], padded[rows, category]
    edges = np.linspace(0, 1, bins + 1)
    width = np.maximum(high - low, 1e-12)
    share = np.clip((edges[None, :] - low[:, None]) / width[:, None], 0, 1)
    share = np.where(edges[None, :] >= high[:, None], 1.0, share)
    return np.diff(share.mean(axis=0))


@dataclass(frozen=True)
class Reliability:
    """What was said and what was found in bins of what was said, (bins,) each; NaN where nothing was said."""

    said: Floats
    found: Floats
    answers: Ints


def reliability(
    below: Floats, category: Ints, safe_from: int, bins: int = 10, *, person: Ints | None = None, people: int = 10
) -> Reliability:
    """Calibration of P(feels safe).

    person : (n,) whose answer; bins of fewer than `people` of them are told with a neighbour
    """
    said, safe = 1 - below[:, safe_from - 2], category >= safe_from
    place = np.minimum((said * bins).astype(np.int64), bins - 1)
    if person is not None:
        place = _told_together(place, person, people)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_said = np.bincount(place, said, bins) / count
        mean_found = np.bincount(place, safe, bins) / count
    return Reliability(mean_said, mean_found, count.astype(np.int64))


def _told_together(place: Ints, person: Ints, people: int) -> Ints:
    """Bins joined from below until each holds enough people; what is left at the end goes with the last of them."""
    joined = place.copy()
    first, last_full = 0, -1
    for number in range(int(place.max(initial=-1)) + 1):
        here = (place >= first) & (place <= number)
        if np.unique(person[here]).size >= people:
            joined[here] = number
            first, last_full = number + 1, number
    joined[place >= first] = max(last_full, 0)
    return joined


def calibration_error(below: Floats, category: Ints, safe_from: int) -> float:
    """Mean of P(feels safe) minus the share that does."""
    return float(np.mean(1 - below[:, safe_from - 2]) - np.mean(category >= safe_from))


def block_coverage(
    p_safe: Floats, sd: Floats, category: Ints, safe_from: int, block: Ints, share: float = 0.9
) -> float:
    """Share of blocks of five answers or more whose share of safe answers lies in the interval of its mean.

    p_safe, sd : (n,) predicted share and its sd, which the answers of a block have in common; binomial chance is added
    """
    held, counted = blocks_held(p_safe, sd, category, safe_from, block, share)
    return held / counted if counted else float("nan")


def blocks_held(
    p_safe: Floats, sd: Floats, category: Ints, safe_from: int, block: Ints, share: float = 0.9
) -> tuple[int, int]:
    """How many blocks of five answers or more hold their interval, and how many there are; as `block_coverage`."""
    from scipy.special import ndtri

    _, place = np.unique(block, return_inverse=True)
    number = int(place.max()) + 1
    count = np.bincount(place, minlength=number)
    mean, found = (np.bincount(place, part, number) / count for part in (p_safe, category >= safe_from))
    common = np.bincount(place, sd, number) / count
    chance = np.bincount(place, p_safe * (1 - p_safe), number) / count**2
    enough = count >= 5
    inside = np.abs(found - mean) <= ndtri(0.5 + share / 2) * np.sqrt(common**2 + chance)
    return int(inside[enough].sum()), int(enough.sum())


def mean_interval(values: Floats, block: Ints, *, draws: int = 999, seed: int = 0) -> tuple[float, float]:
    """90 % interval of a mean by resampling whole blocks.

    block : (n,) which values are resampled together, such as the answers of one person
    """
    _, place = np.unique(block, return_inverse=True)
    number = int(place.max()) + 1
    total, count = np.bincount(place, values, number), np.bincount(place, minlength=number)
    drawn = np.random.default_rng(seed).integers(0, number, (draws, number))
    low, high = np.quantile(total[drawn].sum(axis=1) / count[drawn].sum(axis=1), [0.05, 0.95])
    return float(low), float(high)


def _of_answer(below: Floats, category: Ints) -> Floats:
    padded = np.hstack([np.zeros((len(below), 1)), below, np.ones((len(below), 1))])
    rows = np.arange(len(below))
    return padded[rows, category] - padded[rows, category - 1]
