"""Which of many comparisons differ by more than chance: false-discovery control.

Benjamini and Hochberg 1995: of m comparisons, ascending by p, all up to the last k with p(k) <= rate x k / m are named.
Of those that are named a share of at most `rate` is expected to be chance. It holds for independent comparisons and for
such as rise and fall together (Benjamini and Yekutieli 2001), as hours of one night and squares of one city do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def adjusted(p: ArrayLike) -> Floats:
    """The least rate at which each comparison would be named, (n,); NaN is no comparison and stays.

    >>> adjusted([0.01, 0.02, 0.5]).round(3).tolist()
    [0.03, 0.03, 0.5]
    """
    given = np.asarray(p, np.float64)
    out = np.full(given.shape, np.nan)
    known = np.flatnonzero(np.isfinite(given))
    order = known[np.argsort(given[known], kind="stable")]
    rates = given[order] * order.size / np.arange(1, order.size + 1)
    out[order] = np.minimum(np.minimum.accumulate(rates[::-1])[::-1], 1.0)
    return out


def named(p: ArrayLike, rate: float) -> NDArray[np.bool_]:
    """Which comparisons differ, (n,), with at most a share `rate` of them expected to be chance.

    >>> named([0.01, 0.02, 0.5], 0.05).tolist()
    [True, True, False]
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(adjusted(p) <= rate)
