"""Which answers are left out together when a map is tried on answers that it has not seen.

Random folds flatter (neighbours stay behind), leaving out respondents tells of new people in known places, blocks tell
of new places. The figure that stands on a map comes from folds whose distances from answers left out to answers kept
match those from the map's cells to all answers: k-fold nearest neighbour distance matching (Linnenbrink et al. 2024,
Geoscientific Model Development 17, 5897-5912).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_MOST_CLUSTERS = 100


def random_folds(number: int, folds: int, seed: int = 0) -> Ints:
    """Fold of each of `number` answers, (n,), of equal size."""
    return np.random.default_rng(seed).permutation(np.arange(number) % folds).astype(np.int64)


def respondent_folds(person: npt.NDArray[np.object_], folds: int, seed: int = 0) -> Ints:
    """Fold of each answer, all answers of a person in one."""
    _, place = np.unique(person.astype(str), return_inverse=True)
    return random_folds(int(place.max(initial=-1)) + 1, folds, seed)[place]


def block_folds(easting: Floats, northing: Floats, side_m: float, folds: int, seed: int = 0) -> Ints:
    """Fold of each answer, whole squares of a side together."""
    _, place = np.unique(squares(easting, northing, side_m), return_inverse=True)
    return random_folds(int(place.max(initial=-1)) + 1, folds, seed)[place]


def squares(easting: Floats, northing: Floats, side_m: float) -> Ints:
    """Number of the square of a side that each answer lies in, (n,)."""
    row, column = np.floor(northing / side_m).astype(np.int64), np.floor(easting / side_m).astype(np.int64)
    return row * 1_000_003 + column


def matched_folds(
    easting: Floats, northing: Floats, cells_east: Floats, cells_north: Floats, folds: int, seed: int = 0
) -> Ints:
    """Fold of each answer such that distances to what is kept match those of the map's cells to all answers.

    Answers are clustered, from one cluster a fold to nearly one an answer; clusters are dealt out to folds; the dealing
    with the least area between the two distributions of distances is taken.
    """
    places = np.column_stack([easting, northing])
    wanted = cKDTree(places).query(np.column_stack([cells_east, cells_north]))[0]
    best, chosen = np.inf, random_folds(len(places), folds, seed)
    for clusters in _numbers(len(places), folds):
        dealt = _dealt(places, clusters, folds, seed)
        if np.unique(dealt).size < folds:
            continue
        away = _area_between(left_out_distances(places, dealt), wanted)
        if away < best:
            best, chosen = away, dealt
    return chosen


def left_out_distances(places: Floats, fold: Ints) -> Floats:
    """Metres from each answer to the nearest of another fold, (n,)."""
    out = np.empty(len(places))
    for number in np.unique(fold):
        here = fold == number
        out[here] = cKDTree(places[~here]).query(places[here])[0]
    return out


def _numbers(number: int, folds: int) -> list[int]:
    most = min(number, _MOST_CLUSTERS)
    return [*sorted({int(n) for n in np.geomspace(folds, max(most, folds), 12)}), number]


def _dealt(places: Floats, clusters: int, folds: int, seed: int) -> Ints:
    if clusters >= len(places):
        return random_folds(len(places), folds, seed)
    from scipy.cluster.vq import kmeans2

    _, cluster = kmeans2(places, clusters, minit="++", seed=np.random.default_rng(seed))
    size = np.bincount(cluster, minlength=clusters)
    fold_of, load = np.zeros(clusters, np.int64), np.zeros(folds)
    for index in np.argsort(-size, kind="stable"):  # the largest first, each to the emptiest fold
        fold_of[index] = int(np.argmin(load))
        load[fold_of[index]] += size[index]
    dealt: Ints = fold_of[cluster]
    return dealt


def _area_between(a: Floats, b: Floats) -> float:
    """Wasserstein distance of two samples, metres."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(a, b))
