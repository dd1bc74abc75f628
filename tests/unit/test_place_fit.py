"""The joint fit finds the places, the coefficients and the people's own levels that made the answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import norm

from analytics.ordered_posterior import OrderedPosterior, between
from analytics.ordinal import fit_ordered_probit
from analytics.place_fit import LENGTHS_M, SDS, PlaceFit, fit_with_places, place_moments, prior_variances
from tests.worlds import CUTS, World, fitted_world, priors, world


def fit_of(made: World) -> PlaceFit:
    return fit_with_places(made.answers, made.region, *priors(made.beta.size), CUTS)


def lattice(side: float) -> tuple[np.ndarray, np.ndarray]:
    line = np.linspace(0.05 * side, 0.95 * side, 12)
    east, north = np.meshgrid(line, line)
    return east.ravel(), north.ravel()


def test_intervals_hold_the_truth_of_places_and_coefficients_over_worlds():
    held_u, held_v, held_beta = [], [], []
    for seed in range(16):
        made = world(900, seed=seed)
        fit = fit_of(made)
        east, north = lattice(1000.0)
        said = place_moments(fit, east, north)
        held_u.append(np.mean(np.abs(said.mean_u - made.u(east, north)) < 1.645 * np.sqrt(said.variance_u)))
        held_v.append(np.mean(np.abs(said.mean_v - made.v(east, north)) < 1.645 * np.sqrt(said.variance_v)))
        sd = np.sqrt(np.diag(fit.covariance))[: made.beta.size]
        held_beta.append(np.mean(np.abs(fit.mean[: made.beta.size] - made.beta) < 1.645 * sd))
    # a world of 3 x 3 length-scales has about ten independent places: the share of one has an sd of 0.08, of 16 of 0.02
    assert 0.85 <= np.mean(held_u) <= 0.99
    assert 0.8 <= np.mean(held_v) <= 1.0
    assert 0.75 <= np.mean(held_beta) <= 1.0


def test_many_answers_show_where_people_feel_safer():
    made = world(6000, sd=0.5)
    east, north = lattice(1000.0)
    said = place_moments(fit_of(made), east, north)
    assert np.corrcoef(said.mean_u, made.u(east, north))[0, 1] > 0.9


def test_without_effects_of_places_it_agrees_with_the_plain_fit():
    """Places that differ by next to nothing leave the coefficients where the plain probit has them."""
    made = world(1500, sd=1e-6)
    mean, precision = priors(made.beta.size)
    together = fit_with_places(made.answers, made.region, mean, precision, CUTS)
    alone = fit_ordered_probit(made.answers.columns, made.category, 4, mean, 1 / np.sqrt(precision))
    sd = np.sqrt(np.diag(alone.covariance))[:4]
    assert np.abs(together.mean[:4] - alone.beta).max() < 0.3 * sd.min()
    assert together.nodes[0].sd == SDS[0] and sum(node.weight for node in together.nodes if node.sd == SDS[0]) > 0.3


def test_an_answer_that_may_not_speak_of_its_place_moves_no_place():
    made = world(600)
    quiet = replace(made.answers, local=np.zeros(600, bool))
    fit = fit_with_places(quiet, made.region, *priors(4), CUTS)
    said = place_moments(fit, *lattice(1000.0))
    assert np.abs(said.mean_u).max() < 1e-9
    assert said.variance_u == pytest.approx(fit.unasked_u, rel=0.03)
    assert fit.unasked_u == pytest.approx(prior_variances()[0], rel=1e-6)  # answers tell nothing of it


def test_a_place_is_better_known_where_people_were_asked():
    made = world(900)
    west = replace(made.answers, local=made.answers.easting < 300)
    fit = fit_with_places(west, made.region, *priors(4), CUTS)
    said = place_moments(fit, np.array([150.0, 500.0, 950.0]), np.full(3, 500.0))
    assert said.variance_u[0] < 0.7 * said.variance_u[1] < said.variance_u[2]


def test_nodes_share_the_posterior_and_cover_the_grid():
    fit = fitted_world(600)
    assert len(fit.nodes) == len(LENGTHS_M) * len(SDS)
    assert sum(node.weight for node in fit.nodes) == pytest.approx(1)
    assert np.linalg.eigvalsh(fit.covariance).min() > -1e-9


def test_peoples_own_levels_are_told_from_noise():
    made = world(3000, people=600, person_sd=1.0)
    fit = fit_of(made)
    assert fit.person_sd in (0.63, 1.0, 1.6)
    sd = np.sqrt(np.diag(fit.covariance))[:4]
    assert np.abs((fit.mean[:4] - made.beta) / sd).max() < 3.5
    without = fit_of(replace(made, answers=replace(made.answers, person=None)))
    assert without.person_sd == 0
    assert np.abs(without.mean[:4]).sum() < np.abs(fit.mean[:4]).sum()  # unheard levels shrink everything


@pytest.mark.kernel
def test_levels_taken_out_leave_the_curvature_of_all_parameters_together():
    """The Schur complement is the inverse of the block of the inverse, here with dummies for four people."""
    made = world(40, people=4, person_sd=0.5, terms=2)
    answers, sd = made.answers, 0.7
    mean, precision = priors(2)
    mode = OrderedPosterior(
        answers.columns, answers.lower, answers.upper, answers.weight, mean, precision,
        person=answers.person, person_sd=sd,
    ).mode(np.concatenate([np.zeros(2), CUTS]))  # fmt: skip
    dummies = np.hstack([answers.columns, np.eye(4)[answers.person]])
    plain = fit_ordered_probit(
        dummies, made.category, 4, np.concatenate([np.zeros(6), ndtri([0.25, 0.5, 0.75])]),
        np.concatenate([np.ones(2), np.full(4, sd), np.full(3, 1.5)]),
    )  # fmt: skip
    assert mode.theta == pytest.approx(np.concatenate([plain.beta[:2], plain.cuts]), abs=1e-5)
    assert mode.levels == pytest.approx(plain.beta[2:], abs=1e-5)
    kept = [0, 1, 6, 7, 8]
    assert np.linalg.inv(mode.at.curvature) == pytest.approx(plain.covariance[np.ix_(kept, kept)], abs=1e-5)


@pytest.mark.kernel
def test_the_mean_is_that_of_all_parameters_together_when_levels_are_taken_out():
    """What skewness does to beta and cuts is the same whether levels are eliminated or stand there as dummies."""
    made = world(40, people=4, person_sd=0.5, terms=2)
    answers, sd = made.answers, 0.7
    given = answers.lower, answers.upper, answers.weight
    mean, precision = priors(2)
    start = np.concatenate([np.zeros(2), CUTS])
    apart = OrderedPosterior(answers.columns, *given, mean, precision, person=answers.person, person_sd=sd)
    dummies = np.ascontiguousarray(np.hstack([answers.columns, np.eye(4)[answers.person]]))
    levels = np.zeros(4), np.full(4, sd**-2)
    wide = [np.concatenate([part[:2], more, part[2:]]) for part, more in zip((mean, precision), levels, strict=True)]
    together = OrderedPosterior(dummies, *given, *wide)
    found = apart.mean_at(apart.mode(start))
    wanted = together.mean_at(together.mode(np.concatenate([start[:2], np.zeros(4), start[2:]])))
    assert found == pytest.approx(wanted[[0, 1, 6, 7, 8]], abs=1e-7)


@pytest.mark.kernel
def test_the_mean_of_a_skew_posterior_is_that_of_numerical_integration():
    """One coefficient and few answers: skewness takes more than half of the mode's error away."""
    x = np.array([0.2, 0.5, 1.0, 1.5, 2.0, 2.5])
    category = np.array([1, 2, 2, 2, 2, 2])
    lower, upper = between(category, 0, 2)
    posterior = OrderedPosterior(x[:, None], lower, upper, np.ones(6), np.zeros(2), np.array([0.25, 1e12]))
    mode = posterior.mode(np.zeros(2))
    beta = np.linspace(-6, 12, 20001)
    sign = np.where(category == 2, 1, -1)
    height = norm.logcdf(sign[:, None] * x[:, None] * beta[None, :]).sum(axis=0) + norm.logpdf(beta, scale=2.0)
    weight = np.exp(height - height.max())
    mean = weight @ beta / weight.sum()
    sd = np.sqrt(weight @ (beta - mean) ** 2 / weight.sum())
    assert abs(mode.theta[0] - mean) > 0.1 * sd
    assert abs(posterior.mean_at(mode)[0] - mean) < 0.5 * abs(mode.theta[0] - mean)


@pytest.mark.kernel
def test_two_instruments_share_coefficients_and_keep_their_own_cuts():
    generator = np.random.default_rng(3)
    columns = generator.normal(size=(800, 2))
    eta = columns @ np.array([0.8, -0.4])
    four, five = np.array([-1.0, 0.0, 1.0]), np.array([-1.5, -0.5, 0.2, 1.1])
    which = np.arange(800) % 2
    drawn = eta + generator.normal(size=800)
    category = np.where(which == 0, 1 + np.searchsorted(four, drawn), 1 + np.searchsorted(five, drawn))
    lower, upper = between(category, np.where(which == 0, 0, 3), np.where(which == 0, 4, 5))
    posterior = OrderedPosterior(
        columns, lower, upper, np.ones(800), np.zeros(9), np.full(9, 0.01), chains=(slice(0, 3), slice(3, 7))
    )
    mode = posterior.mode(np.concatenate([np.zeros(2), four, five]))
    assert mode.theta == pytest.approx(np.concatenate([[0.8, -0.4], four, five]), abs=0.25)
    apart = fit_ordered_probit(columns[which == 0], category[which == 0], 4, np.zeros(2), np.full(2, 10.0))
    assert np.abs(mode.theta[2:5] - apart.cuts).max() < 0.1


@pytest.mark.kernel
def test_evidence_of_one_normal_effect_is_that_of_numerical_integration():
    """Laplace against the integral over one coefficient, where the posterior is nearly normal."""
    generator = np.random.default_rng(1)
    x = generator.normal(size=60)
    category = 1 + (0.5 * x + generator.normal(size=60) > 0).astype(int)
    lower, upper = between(category, 0, 2)
    precision = np.array([4.0, 1e12])  # the cut is known
    posterior = OrderedPosterior(x[:, None], lower, upper, np.ones(60), np.zeros(2), precision)
    found = posterior.log_evidence(posterior.mode(np.zeros(2)))
    beta = np.linspace(-3, 3, 4001)
    sign = np.where(category == 2, 1, -1)
    height = norm.logcdf(sign[:, None] * x[:, None] * beta[None, :]).sum(axis=0) + norm.logpdf(beta, scale=0.5)
    integral = np.log(np.trapezoid(np.exp(height), beta))
    assert found == pytest.approx(integral, abs=0.02)
