"""How surprising the answers of one campaign, night and place are to the model: its posterior-predictive p-value.

For the n answers to the reference instrument in a cell of 200 m, in one night of one campaign, the model says with
which probability each falls into each category. Their errors are not independent: coefficients, the place's own effect
and the level of a person who answers several times are shared. With s2, the mean covariance of two of them, and d_i,
what is left of each variance,

    P(y_i <= k | z) = Phi((tau_k - m_i - z) / sqrt(1 + d_i)),  z ~ N(0, s2)

and the distribution of the sum of the categories is the convolution of these, integrated over z by Gauss-Hermite. The
p-value is twice the smaller tail (Gelman, Meng and Stern 1996). Answers that the fit has seen pull it towards
themselves, so their p-value is too large rather than too small. A small one says that something differs from what was
answered before, in the place, among those who answer or in the model; only a person can say which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr

from analytics import covariates
from analytics.fitting import INSTRUMENT, answers_to_fit, fields_at_answers
from analytics.model import load_model
from analytics.place_effect import CELL_M as OWN_CELL_M
from analytics.response import Perception
from analytics.surroundings import surroundings
from sensors.city import City
from sensors.errors import ModelError
from sensors.inbox import Hold, leave

Floats = npt.NDArray[np.float64]

CELL_M = 200.0
RARE = 1e-4  # of some fifty places a night, a false case in half a year
FEWEST = 5  # answers; two or three people may well differ from everybody
_NODES = 61


@dataclass(frozen=True)
class Surprise:
    """The answers of one campaign, night and cell: how many, what was expected, what was answered, how surprising.

    expected, answered : mean category, 1 to K; probability : two-sided
    """

    campaign: str
    night: str
    key: str  # night and cell, names the case
    response_ids: tuple[str, ...]
    expected: float
    answered: float
    probability: float

    @property
    def answers(self) -> int:
        """How many."""
        return len(self.response_ids)


def surprises(city: City, nights: Sequence[str] | None = None) -> list[Surprise]:
    """The most surprising first; ModelError without a fitted model that knows answers.

    nights : which, like '2026-11-20'; the last seven with answers if None
    """
    model = load_model(city)
    perception = model.perception
    if not perception.n_answers:
        raise ModelError(f"the model of {city.name} knows no answers, so none can surprise it")
    table, _ = answers_to_fit(city, None)
    table = table[table["instrument"] == INSTRUMENT]
    known = table["night"].astype(str)
    wanted = sorted(known.unique())[-7:] if nights is None else list(nights)
    table = table[known.isin(wanted)].reset_index(drop=True)
    if not len(table):
        return []
    around = surroundings(city)
    raw = fields_at_answers(city, around, model.knowledge, table)
    design = covariates.design(table, perception.scales.features(raw), city.zone)
    found = []
    for (campaign, night, north, east), members in table.groupby(_groups(table), sort=True):
        if len(members) >= FEWEST:
            place = members.index.to_numpy()
            expected, probability = _judged(members, design[place], perception, city)
            found.append(
                Surprise(
                    campaign=str(campaign),
                    night=str(night),
                    key=f"{night} {north} {east}",
                    response_ids=tuple(members["response_id"]),
                    expected=expected,
                    answered=float(members["category"].mean()),
                    probability=probability,
                )
            )
    return sorted(found, key=lambda one: (one.probability, one.key))


def hold_surprising(city: City, found: Sequence[Surprise], rare: float = RARE) -> int:
    """Leave word that answers less probable than `rare` stand aside until somebody decides; how many cases."""
    cases = [one for one in found if one.probability < rare]
    for one in cases:
        leave(city, Hold(one.campaign, one.key, one.response_ids, one.expected, one.probability))
    return len(cases)


def text(found: Sequence[Surprise], fewest: int, rare: float = RARE) -> str:
    """For people: the improbable ones; counts below the release rule's are not told."""
    shown = [one for one in found if one.probability < max(rare, 0.01)]
    lines = [
        f"{len(found)} places and nights with {FEWEST} answers or more; {sum(one.probability < rare for one in found)} "
        f"of them less probable than {rare:g}"
    ]
    for one in shown:
        count = str(one.answers) if one.answers >= fewest else f"fewer than {fewest}"
        means = "" if one.answers < fewest else f", mean category {one.answered:.1f}, expected {one.expected:.1f}"
        lines.append(f"  {one.campaign}, night of {one.night}: {count} answers{means}, p = {one.probability:.2g}")
    return "\n".join(lines)


def to_dict(found: Sequence[Surprise], fewest: int) -> list[dict[str, Any]]:
    """The same for a machine, small groups without their means."""
    rows: list[dict[str, Any]] = []
    for one in found:
        row: dict[str, Any] = {"campaign": one.campaign, "night": one.night, "probability": one.probability}
        if one.answers >= fewest:
            row |= {"answers": one.answers, "answered": one.answered, "expected": one.expected}
        rows.append(row)
    return rows


def sum_of_categories(mean: Floats, spare: Floats, shared: float, cuts: Floats) -> Floats:
    """P(the sum of n categories is n + j), j = 0 .. n (K - 1).

    mean, spare : (n,) latent mean, and variance that an answer has for itself beside the unit noise
    shared : variance that all have in common; cuts : (K-1,) ascending
    """
    nodes, weights = np.polynomial.hermite.hermgauss(_NODES)
    out = np.zeros(len(mean) * len(cuts) + 1)
    scale = np.sqrt(1 + spare)
    for node, weight in zip(nodes * np.sqrt(2 * shared), weights / np.sqrt(np.pi), strict=True):
        below = ndtr((cuts[None, :] - mean[:, None] - node) / scale[:, None])
        shares = np.diff(np.column_stack([np.zeros(len(mean)), below, np.ones(len(mean))]), axis=1)
        total = np.ones(1)
        for row in shares:
            total = np.convolve(total, row)
        out += weight * total
    return out


def tail(distribution: Floats, total: int) -> float:
    """Twice the smaller tail of a sum's distribution at what was found, at most 1."""
    lower, upper = distribution[: total + 1].sum(), distribution[total:].sum()
    return float(min(1.0, 2 * min(lower, upper)))


def _groups(table: pd.DataFrame) -> list[Any]:
    cell = [np.floor(table[name].to_numpy(np.float64) / CELL_M).astype(np.int64) for name in ("northing", "easting")]
    return [table["campaign"].to_numpy(dtype=object), table["night"].astype(str).to_numpy(dtype=object), *cell]


def _judged(members: pd.DataFrame, design: Floats, perception: Perception, city: City) -> tuple[float, float]:
    """Expected mean category of some answers, and the probability of theirs."""
    p, k = design.shape[1], perception.categories
    middle = p + perception.safe_from - 2  # the cut that "feels safe" begins at
    form = np.zeros((len(members), perception.mean.size))
    form[:, :p], form[:, middle] = design, -1
    times = members["time"].to_numpy().astype("datetime64[ms]")
    late = covariates.late(times, city.zone)
    own_mean, own_variance, across = _own(perception, members, late)
    covariance = form @ perception.covariance @ form.T
    covariance += np.sqrt(np.outer(own_variance, own_variance))  # one place: what it is unsure of, all share
    covariance += np.einsum("ij,kj->ik", form, across) + np.einsum("ij,kj->ik", across, form)
    who = members["pseudonym"].to_numpy(dtype=object)
    covariance += perception.own.person_variance * (who[:, None] == who[None, :])
    n = len(members)
    shared = max((covariance.sum() - np.trace(covariance)) / (n * (n - 1)), 0.0)
    spare = np.maximum(np.diag(covariance) - shared, 0.0)
    mean = design @ perception.mean[:p] + own_mean
    distribution = sum_of_categories(mean, spare, shared, perception.cuts)
    expected = 1 + float(distribution @ np.arange(n * (k - 1) + 1)) / n
    return expected, tail(distribution, int(members["category"].sum()) - n)


def _own(perception: Perception, members: pd.DataFrame, late: Floats) -> tuple[Floats, Floats, Floats]:
    """The place's own effect at each answer: mean, variance, covariance with coefficients and cuts."""
    own = perception.own
    rows, columns = own.mean_u.shape
    row = np.floor((members["northing"].to_numpy(np.float64) - own.south) / OWN_CELL_M).astype(np.int64)
    column = np.floor((members["easting"].to_numpy(np.float64) - own.west) / OWN_CELL_M).astype(np.int64)
    at = np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)
    u, v, uv = (part[at].astype(np.float64) for part in (own.variance_u, own.variance_v, own.covariance_uv))
    mean = own.mean_u[at].astype(np.float64) + late * own.mean_v[at]
    across = own.across_u[at].astype(np.float64) + late[:, None] * own.across_v[at]
    return mean, np.maximum(u + 2 * late * uv + late**2 * v, 0.0), across
