"""How good the joint fit is: against an oracle that knows the truth, and calibrated over worlds drawn from its priors.

The first is the ship gate of perception.md 4: a simulated city of 2 x 2 km, 1,000 answers, shares 10/20/45/25 %.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import chisquare, kstest

from analytics.hilbert_basis import basis_over
from analytics.ordered_posterior import between
from analytics.ordinal import fit_ordered_probit
from analytics.place_fit import (
    LATE_SHARE,
    LENGTHS_M,
    MOST_LATE_WAVES,
    SDS,
    Answers,
    Region,
    fit_with_places,
    node_priors,
    place_moments,
)

SIDE = 2000.0
REGION = Region(0.0, SIDE, 0.0, SIDE)
# light, people, noise, woman, alone, 65 and over, women's own slopes on light and people (perception.md 1 to 3)
TRUTH = np.array([0.8, 0.4, -0.1, -0.8, -0.3, -0.2, 0.1, 0.1])
PRIOR_MEAN = np.array([0.8, 0.4, 0.0, -0.8, -0.3, -0.2, 0.0, 0.0])
PRIOR_SD = np.array([0.5, 0.4, 0.3, 0.4, 0.4, 0.4, 0.25, 0.25])
CUT_SD = 1.5
GROUP = [3, 4, 5]


def covariates(generator: np.random.Generator, n: int) -> np.ndarray:
    light, people, noise = generator.uniform(0, 1.1, n), generator.uniform(0, 1.2, n), generator.normal(0, 0.6, n)
    woman, alone, older = generator.integers(0, 2, n), generator.integers(0, 2, n), generator.uniform(size=n) < 0.2
    return np.column_stack([light, people, noise, woman, alone, older, woman * light, woman * people]).astype(float)


def skilled(seed: int, n: int = 1000, n_test: int = 3000) -> dict[str, float]:
    """Skill of fit and oracle against climatology and groups on answers left out, and cover of 90 % intervals."""
    generator = np.random.default_rng(seed)
    every = n + n_test
    east, north = generator.uniform(0, SIDE, (2, every))
    basis = basis_over(0, SIDE, 0, SIDE, 300.0, 300.0)
    u, v = (
        basis.at(east, north) @ (generator.normal(size=basis.wave_e.size) * np.sqrt(basis.variances(sd, 300.0)))
        for sd in (0.35, 0.175)
    )
    late = np.clip(generator.uniform(-1.5, 2, every), 0, 1)
    columns = covariates(generator, every)
    eta = columns @ TRUTH - columns.mean(axis=0) @ TRUTH + u + late * v
    cuts = ndtri(np.cumsum([0.10, 0.20, 0.45])) * np.sqrt(1 + eta.var())
    category = 1 + np.searchsorted(cuts, eta + generator.normal(size=every))
    seen, asked = slice(0, n), slice(n, every)
    lower, upper = between(category[seen], 0, 4)
    answers = Answers(
        columns[seen], lower, upper, np.ones(n), east[seen], north[seen], late[seen], np.ones(n, bool), None
    )
    mean = np.concatenate([PRIOR_MEAN, ndtri([0.25, 0.5, 0.75])])
    precision = 1 / np.concatenate([PRIOR_SD, np.full(3, CUT_SD)]) ** 2
    fit = fit_with_places(answers, REGION, mean, precision, mean[-3:])
    said, hour, p = place_moments(fit, east[asked], north[asked]), late[asked], columns.shape[1]
    effect, own, across = said.at(hour)
    below, cover = np.empty((n_test, 3)), []
    for k in range(3):
        form = np.column_stack([columns[asked], np.zeros((n_test, 3))])
        form[:, p + k] = -1
        m = form @ fit.mean[: fit.n_terms] + effect
        terms = fit.covariance[: fit.n_terms, : fit.n_terms]
        variance = np.einsum("ij,jk,ik->i", form, terms, form) + own + 2 * np.einsum("ij,ij->i", form, across)
        below[:, k] = ndtr(-m / np.sqrt(1 + variance))
        cover.append(np.mean(np.abs(m - (eta[asked] - cuts[k])) < ndtri(0.95) * np.sqrt(variance)))
    groups = fit_ordered_probit(columns[seen][:, GROUP], category[seen], 4, np.zeros(3), np.ones(3))
    shares = np.cumsum(np.bincount(category[seen], minlength=5)[1:] / n)[:3]
    y = category[asked]
    score = {
        "fit": rps(below, y),
        "oracle": rps(ndtr(cuts[None, :] - eta[asked, None]), y),
        "climatology": rps(np.tile(shares, (n_test, 1)), y),
        "groups": rps(np.cumsum(groups.probabilities(columns[asked][:, GROUP]), axis=1)[:, :3], y),
    }
    worse = score["fit"] - score["groups"]
    return {
        "fit": 1 - score["fit"].mean() / score["climatology"].mean(),
        "oracle": 1 - score["oracle"].mean() / score["climatology"].mean(),
        "worse_than_groups_z": float(worse.mean() / (worse.std() / np.sqrt(n_test))),
        "cover": float(np.mean(cover)),
    }


def rps(below: np.ndarray, category: np.ndarray) -> np.ndarray:
    """Ranked probability score of each answer (Epstein 1969), of cumulative probabilities (n, K-1)."""
    reached = category[:, None] <= np.arange(1, below.shape[1] + 1)[None, :]
    return ((below - reached) ** 2).sum(axis=1)


def test_twenty_worlds_reach_most_of_what_the_truth_itself_would():
    found = [skilled(seed) for seed in range(20)]
    share = np.mean([one["fit"] for one in found]) / np.mean([one["oracle"] for one in found])
    assert share >= 0.8  # the gate is 0.6; docs/perception.md says four fifths
    assert max(one["worse_than_groups_z"] for one in found) < 1.645
    assert 0.85 <= np.mean([one["cover"] for one in found]) <= 0.95


def ranks(seed: int, n: int = 300) -> np.ndarray:
    """Where in its own posterior each of some true numbers lies, in a world drawn from the priors."""
    generator = np.random.default_rng(10_000 + seed)
    weights = node_priors()
    node = generator.choice(weights.size, p=weights)
    length, sd = LENGTHS_M[node // len(SDS)], SDS[node % len(SDS)]
    basis = basis_over(0, SIDE, 0, SIDE, LENGTHS_M[0], LENGTHS_M[-1])
    slow = basis.first(MOST_LATE_WAVES)
    waves_u = generator.normal(size=basis.wave_e.size) * np.sqrt(basis.variances(sd, length))
    waves_v = generator.normal(size=slow.wave_e.size) * np.sqrt(slow.variances(LATE_SHARE * sd, length))
    beta = PRIOR_MEAN + PRIOR_SD * generator.normal(size=PRIOR_MEAN.size)
    middle = ndtri([0.25, 0.5, 0.75])
    while True:  # cuts in order
        cuts = middle + CUT_SD * generator.normal(size=3)
        if (np.diff(cuts) > 0).all():
            break
    east, north = generator.uniform(0, SIDE, (2, n))
    late = np.clip(generator.uniform(-1.5, 2, n), 0, 1)
    columns = covariates(generator, n)
    at = basis.at(east, north)
    eta = columns @ beta + at @ waves_u + late * (at[:, : slow.wave_e.size] @ waves_v)
    category = 1 + np.searchsorted(cuts, eta + generator.normal(size=n))
    lower, upper = between(category, 0, 4)
    answers = Answers(columns, lower, upper, np.ones(n), east, north, late, np.ones(n, bool), None)
    mean = np.concatenate([PRIOR_MEAN, middle])
    precision = 1 / np.concatenate([PRIOR_SD, np.full(3, CUT_SD)]) ** 2
    fit = fit_with_places(answers, REGION, mean, precision, np.sort(cuts))
    spots = np.array([[400.0, 900.0], [1000.0, 1000.0], [1700.0, 300.0]]).T
    said, truth = place_moments(fit, *spots), basis.at(*spots)
    sd_terms = np.sqrt(np.diag(fit.covariance))[: fit.n_terms]
    of_terms = (np.concatenate([beta, cuts]) - fit.mean[: fit.n_terms]) / sd_terms
    of_u = (truth @ waves_u - said.mean_u) / np.sqrt(said.variance_u)
    of_v = (truth[:, : slow.wave_e.size] @ waves_v - said.mean_v) / np.sqrt(said.variance_v)
    return ndtr(np.concatenate([of_terms, of_u, of_v]))


def calibrated(worlds: int, bins: int) -> None:
    """The rank histogram of every number is flat over worlds, of coefficients, cuts and both fields at three places.

    Talts et al. 2018, with ranks among infinitely many draws; a number fails by chance once in a hundred runs of all.
    """
    found = np.array([ranks(seed) for seed in range(worlds)])
    for one in found.T:
        counts = np.histogram(one, bins=bins, range=(0.0, 1.0))[0]
        assert chisquare(counts).pvalue > 0.01 / found.shape[1], counts
        assert kstest(one, "uniform").pvalue > 0.01 / found.shape[1]


def test_forty_worlds_from_the_priors_are_calibrated():
    calibrated(40, bins=5)


@pytest.mark.slow
def test_two_hundred_worlds_from_the_priors_are_calibrated():
    calibrated(200, bins=10)
