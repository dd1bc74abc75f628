"""Where the response may be applied: how unlike a place's conditions are to those that anyone answered in.

Area of applicability after Meyer and Pebesma 2021 (Methods in Ecology and Evolution 12, 1620-1633): the dissimilarity
index of a place is its distance to the nearest conditions that were answered in, each feature counted by what it does
to the answer, over the mean distance among those conditions. Beyond the threshold, the upper whisker (third quartile
and one and a half times the interquartile range) of what answers themselves have to those of other squares of 400 m,
the model has not been tried. Conditions are those of the answers, held within their 1 and 99 %, so that nobody's
single answer opens what nobody else was in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

FOLD_M = 400.0
MOST_ANSWERS = 2_000  # of many, evenly: conditions repeat
MOST_POINTS = 160  # that stand for them
_NEIGHBOURS = 64
_CHUNK = 1024


@dataclass(frozen=True)
class Applicability:
    """Conditions answered in and how far from them is too far.

    importance : (q,), root mean square of each feature's coefficient; points : (k, q), conditions times importance
    mean_distance : among the answers; threshold : of the dissimilarity index, inf where there is nothing to compare
    """

    importance: Floats
    points: Floats
    mean_distance: float
    threshold: float

    def index(self, features: npt.NDArray[Any]) -> Floats:
        """Dissimilarity index (n,) of conditions (n, q) that are not held within the answers' range; NaN stays."""
        if not len(self.points):
            return np.full(len(features), np.inf)
        found = np.empty(len(features))
        for start in range(0, len(features), _CHUNK):
            rows = slice(start, start + _CHUNK)
            at = features[rows].astype(np.float64) * self.importance
            # |a - b|^2 = |a|^2 - 2 a.b + |b|^2: one product of matrices instead of n k distances.
            squared = (self.points**2).sum(axis=1) - 2 * (at @ self.points.T)
            found[rows] = np.maximum(squared.min(axis=1) + (at**2).sum(axis=1), 0)
        return np.asarray(np.sqrt(found) / self.mean_distance)

    def beyond(self, features: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which conditions (n, q) are unlike any that was answered in; unknown ones are not."""
        return np.asarray(self.index(features) > self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and arrays."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Applicability:
        """What `to_dict` gave."""
        return cls(**content)


EVERYWHERE = Applicability(np.zeros(0), np.empty((0, 0)), 1.0, np.inf)


def applicability(features: Floats, coefficients: Floats, sd: Floats, answers: pd.DataFrame) -> Applicability:
    """From the conditions of answers (n, q), held within their range, and the features' coefficients (q,).

    answers : easting and northing, metres, of the folds
    """
    importance = np.sqrt(coefficients**2 + sd**2)
    chosen = np.unique(np.linspace(0, len(features) - 1, min(len(features), MOST_ANSWERS)).astype(np.int64))
    at = features[chosen] * importance
    squares = np.floor(answers[["easting", "northing"]].to_numpy(np.float64)[chosen] / FOLD_M).astype(np.int64)
    fold = pd.MultiIndex.from_arrays(list(squares.T)).factorize()[0] if len(at) else np.zeros(0, np.int64)
    if len(at) < 2 or not np.ptp(fold) or not np.ptp(at, axis=0).any():
        return Applicability(importance, np.empty((0, importance.size)), 1.0, np.inf)
    from scipy.spatial.distance import pdist

    mean = float(pdist(at[:: max(1, len(at) // 500)]).mean())
    own = _to_other_folds(at, fold) / mean
    lower, upper = np.quantile(own, [0.25, 0.75])
    points, reach = _standing_for(at)
    whisker = min(upper + 1.5 * (upper - lower), own.max())
    # What is within reach of a point that stands for others may be no farther from one of those.
    return Applicability(importance, points, mean, float(whisker + reach / mean))


def _to_other_folds(at: Floats, fold: npt.NDArray[np.int64]) -> Floats:
    """Distance of each condition to the nearest of another fold; to the farthest looked at where all are its own."""
    from scipy.spatial import cKDTree

    distance, index = cKDTree(at).query(at, k=min(_NEIGHBOURS, len(at)))
    other = fold[index] != fold[:, None]
    first = np.where(other.any(axis=1), other.argmax(axis=1), distance.shape[1] - 1)
    return np.asarray(distance[np.arange(len(at)), first])


def _standing_for(at: Floats) -> tuple[Floats, float]:
    """A few points such that every other is near one of them, farthest first (Gonzalez 1985), and how near."""
    chosen = [0]
    distance = np.linalg.norm(at - at[0], axis=1)
    while len(chosen) < MOST_POINTS and distance.max() > 0:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(at - at[chosen[-1]], axis=1))
    return at[chosen], float(distance.max())
