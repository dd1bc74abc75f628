from __future__ import annotations

import warnings
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from analytics.ordinal import fit_ordered_probit, log_likelihood_gradient_hessian
from sensors.errors import ModelError
from tests.reference import probit as reference
from tests.reference import probit_exact as exact

pytestmark = pytest.mark.kernel

CUTS = np.array([-1.1, -0.2, 0.9])
BETA = np.array([0.8, -0.5, 0.2])


def answers(n=250, seed=0, beta=BETA, cuts=CUTS):
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n, len(beta)))
    return X, 1 + np.searchsorted(cuts, X @ beta + generator.normal(size=n))


@pytest.mark.parametrize("k", [2, 3, 4, 7, 11])
@pytest.mark.parametrize("weighted", [False, True])
def test_flat_priors_agree_with_statsmodels_to_one_millionth(k, weighted):
    """Coefficients, cuts, standard errors of both and the likelihood; weights are rows that stand there twice."""
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    X, y = answers(150, seed=k, cuts=np.linspace(-1, 1, k - 1) if k > 2 else np.array([0.2]))
    weight = np.random.default_rng(k).integers(1, 4, len(y)) if weighted else np.ones(len(y), int)
    fit = fit_ordered_probit(X, y, k, weights=weight)
    # It starts near our answer, because each of its steps differentiates numerically and takes seconds.
    near = np.concatenate([fit.beta, fit.cuts[:1], np.log(np.diff(fit.cuts))]) + 0.01
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own remarks on its optimiser and on pandas
        model = OrderedModel(np.repeat(y, weight), np.repeat(X, weight, axis=0), distr="probit")
        oracle = model.fit(near, method="newton", disp=0, maxiter=8, tol=1e-13).params
    # Its standard errors come from second differences; its own likelihood is differentiated better here, by differences
    # of fourth order, and its thresholds (first cut and log gaps) are turned into cuts by the delta rule.
    curvature = -differences(lambda at: differences(model.loglike, at), oracle)
    to_cuts = differences(lambda at: np.concatenate([at[:3], model.transform_threshold_params(at[3:])[1:-1]]), oracle)
    covariance = to_cuts.T @ np.linalg.inv(0.5 * (curvature + curvature.T)) @ to_cuts
    cuts = model.transform_threshold_params(oracle[3:])[1:-1]
    assert np.concatenate([fit.beta, fit.cuts]) == pytest.approx(np.concatenate([oracle[:3], cuts]), abs=1e-6)
    assert fit.standard_errors == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-6)
    assert fit.log_likelihood == pytest.approx(model.loglike(oracle), rel=1e-9)


@pytest.mark.parametrize(
    ("z", "known"),
    [
        # ln Phi(z) by mpmath 1.4, 40 digits
        ("-14.5", "-108.7227881543204723345214"),
        ("-12", "-75.41067300156879593883968"),
        ("-2.5", "-5.081648277278690498380462"),
        ("3.7", "-0.0001078055442862634186001771"),
    ],
)
def test_the_decimal_tails_are_those_of_mpmath(z, known):
    assert abs(exact.distribution(Decimal(z)).ln() / Decimal(known) - 1) < Decimal("1e-24")


@pytest.mark.parametrize("k", range(2, 12))
@pytest.mark.parametrize("away", [-12.0, 12.0])
def test_gradient_and_hessian_are_those_of_exact_arithmetic_to_one_millionth_in_the_tails(k, away):
    cuts = np.linspace(-1.5, 1.5, k - 1) if k > 2 else np.array([0.3])
    for category in range(1, k + 1):
        likelihood, gradient, hessian = log_likelihood_gradient_hessian([[1.0]], [category], [away], cuts)
        wanted = exact.log_likelihood_gradient_hessian(1.0, away, cuts.tolist(), category)
        assert likelihood == pytest.approx(float(wanted[0]), rel=1e-6, abs=1e-15)
        # Element by element and relative to each, however small: 1e-300 is nothing but exact zeros.
        assert gradient == pytest.approx(np.array(wanted[1], float), rel=1e-6, abs=1e-300)
        assert hessian == pytest.approx(np.array(wanted[2], float), rel=1e-6, abs=1e-300)


@pytest.mark.parametrize("k", range(2, 12))
@pytest.mark.parametrize("shift", [-12.0, -6.0, 0.0, 6.0, 12.0])
def test_gradient_and_hessian_are_central_differences_of_the_likelihood(k, shift):
    generator = np.random.default_rng(k)
    cuts = np.linspace(-1.5, 1.5, k - 1) if k > 2 else np.array([0.3])
    X = generator.normal(size=(30, 2))
    y = generator.integers(1, k + 1, 30)
    beta = np.array([0.4, -0.7])
    theta = np.concatenate([beta, cuts + shift])

    def value(at):
        return reference.log_likelihood(X, y, at[:2], at[2:])

    def slope(at):
        return log_likelihood_gradient_hessian(X, y, at[:2], at[2:])[1]

    likelihood, gradient, hessian = log_likelihood_gradient_hessian(X, y, theta[:2], theta[2:])
    assert likelihood == pytest.approx(value(theta), rel=1e-12)
    scale = max(1.0, np.abs(gradient).max())
    assert gradient == pytest.approx(differences(value, theta), rel=1e-6, abs=1e-6 * scale)
    steepest = max(1.0, np.abs(hessian).max())
    assert hessian == pytest.approx(np.array(differences(slope, theta)), rel=1e-6, abs=1e-6 * steepest)


def differences(function, at, h=1e-3):
    """Central differences of fourth order."""
    out = []
    for j in range(at.size):
        unit = np.zeros(at.size)
        unit[j] = h
        near = np.asarray(function(at + unit)) - np.asarray(function(at - unit))
        far = np.asarray(function(at + 2 * unit)) - np.asarray(function(at - 2 * unit))
        out.append((8 * near - far) / (12 * h))
    return np.array(out)


def test_far_tails_stay_finite_and_keep_their_slope():
    for distance in (40.0, 200.0):
        value, gradient, hessian = log_likelihood_gradient_hessian([[1.0], [-1.0]], [1, 3], [distance], [-0.5, 0.5])
        assert np.isfinite(value) and np.all(np.isfinite(gradient)) and np.all(np.isfinite(hessian))
        # d/dz log Phi(-z) tends to -z: each answer pulls with its distance to its own cut
        assert gradient[0] == pytest.approx(-2 * (distance + 0.5), rel=1e-3)


def test_a_weight_of_two_is_the_row_twice():
    X, y = answers(120)
    weight = np.random.default_rng(1).integers(1, 4, len(y))
    once = fit_ordered_probit(X, y, 4, weights=weight)
    twice = fit_ordered_probit(np.repeat(X, weight, axis=0), np.repeat(y, weight), 4)
    assert once.beta == pytest.approx(twice.beta, abs=1e-9)
    assert once.covariance == pytest.approx(twice.covariance, abs=1e-9)
    assert once.log_likelihood == pytest.approx(twice.log_likelihood)


def test_rows_without_weight_are_as_if_they_were_not_there():
    X, y = answers(120)
    weight = np.ones(120)
    weight[60:] = 0
    assert fit_ordered_probit(X, y, 4, weights=weight).beta == pytest.approx(fit_ordered_probit(X[:60], y[:60], 4).beta)


def test_turning_scale_and_columns_round_turns_the_cuts_round():
    X, y = answers()
    fit, turned = fit_ordered_probit(X, y, 4), fit_ordered_probit(-X, 5 - y, 4)
    assert turned.beta == pytest.approx(fit.beta, abs=1e-8)
    assert turned.cuts == pytest.approx(-fit.cuts[::-1], abs=1e-8)


def test_moving_a_column_moves_only_the_cuts():
    X, y = answers()
    fit, moved = fit_ordered_probit(X, y, 4), fit_ordered_probit(X + np.array([2.0, 0, 0]), y, 4)
    assert moved.beta == pytest.approx(fit.beta, abs=1e-7)
    assert moved.cuts == pytest.approx(fit.cuts + 2 * fit.beta[0], abs=1e-7)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_answers_does_not_matter_and_cuts_ascend(seed):
    X, y = answers(80, seed)
    order = np.random.default_rng(seed).permutation(len(y))
    priors = np.zeros(6), np.full(6, 1.0)
    fit, shuffled = fit_ordered_probit(X, y, 4, *priors), fit_ordered_probit(X[order], y[order], 4, *priors)
    assert fit.beta == pytest.approx(shuffled.beta, abs=1e-9)
    assert np.all(np.diff(fit.cuts) > 0)
    assert fit.covariance == pytest.approx(fit.covariance.T, abs=0)
    assert np.linalg.eigvalsh(fit.covariance)[0] > 0


def test_truth_lies_within_four_standard_errors():
    X, y = answers(4000, seed=5)
    fit = fit_ordered_probit(X, y, 4)
    away = np.abs(np.concatenate([fit.beta - BETA, fit.cuts - CUTS])) / fit.standard_errors
    assert away.max() < 4


def test_a_sharp_prior_holds_and_a_wide_one_is_flat():
    X, y = answers()
    sharp = fit_ordered_probit(X, y, 4, [2.0, 2.0, 2.0], [1e-4] * 3)
    wide = fit_ordered_probit(X, y, 4, [2.0, 2.0, 2.0], [1e5] * 3)
    assert sharp.beta == pytest.approx([2.0] * 3, abs=1e-3)
    assert wide.beta == pytest.approx(fit_ordered_probit(X, y, 4).beta, abs=1e-6)
    infinite = fit_ordered_probit(X, y, 4, [2.0, 2.0, 0.0], [np.inf, np.inf, np.inf])
    assert infinite.beta == pytest.approx(wide.beta, abs=1e-6)


def test_no_columns_give_the_cuts_of_the_shares():
    y = np.repeat([1, 2, 3, 4], [10, 20, 30, 40])
    fit = fit_ordered_probit(np.empty((100, 0)), y, 4)
    assert fit.cuts == pytest.approx(ndtri([0.1, 0.3, 0.6]), abs=1e-8)
    assert fit.probabilities(np.empty((1, 0)))[0] == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=1e-8)


def test_without_answers_the_posterior_is_the_prior():
    mean, sd = np.array([0.5, -0.3, 0.4]), np.array([1.0, 2.0, 0.5])
    fit = fit_ordered_probit(np.empty((0, 1)), [], 3, mean, sd)
    assert np.concatenate([fit.beta, fit.cuts]) == pytest.approx(mean)
    assert fit.covariance == pytest.approx(np.diag(sd**2))
    assert fit.log_likelihood == 0


def test_a_category_nobody_chose_needs_a_prior_and_then_keeps_its_place():
    X, y = answers()
    for missing in (1, 2, 4):
        merged = np.where(y == missing, 3, y)
        with pytest.raises(ModelError, match=rf"category {missing} of 4 has no answers"):
            fit_ordered_probit(X, merged, 4)
        fit = fit_ordered_probit(X, merged, 4, np.zeros(6), np.full(6, 1.5))
        assert np.all(np.diff(fit.cuts) > 0)


@pytest.mark.parametrize(
    ("X", "y", "k", "why"),
    [
        (np.repeat([0.0, 1.0], 5)[:, None], np.repeat([1, 2], 5), 2, "separated"),
        (np.ones((8, 1)), np.tile([1, 2], 4), 2, "cannot be told apart"),
        (np.empty((0, 1)), [], 2, "no answers"),
        ([[np.nan]], [1], 2, "not finite"),
        ([[1.0]], [3], 2, "expected categories 1 to 2"),
        ([[1.0]], [1.5], 2, "whole categories"),
        ([[1.0], [2.0]], [1], 2, "has shape"),
        ([[1.0]], [1], 1, "at least 2"),
        ([[1.0]], [1], 10**9, "at most 1000"),
        ([[1.0]], [1], 2.5, "whole number"),
        ([[1.0]], [1], "2", "whole number"),
        ([[1.0]], [1], np.nan, "whole number"),
        ([["a"]], [1], 2, "X must hold numbers"),
        ([[1.0], [1.0, 2.0]], [1, 2], 2, "X must hold numbers"),
        ([[1j]], [1], 2, "X must hold numbers"),
        ([[1e200]], [1], 2, "not finite"),
        ([[1.0]], ["safe"], 2, "y must hold numbers"),
        # Half of them tell nothing apart, and still the likelihood grows with the coefficient for ever.
        (np.repeat([0.0, 1.0], 10)[:, None], [*np.tile([1, 2], 5), *np.full(10, 2)], 2, "separated"),
        (np.column_stack([np.arange(8.0), 2 * np.arange(8.0) + 3]), np.tile([1, 2], 4), 2, "cannot be told apart"),
        (np.arange(60.0).reshape(4, 15) % 7, [1, 2, 1, 2], 2, "cannot be told apart"),
    ],
)
def test_what_has_no_best_fit_is_refused_with_the_reason(X, y, k, why):
    with pytest.raises(ModelError, match=why):
        fit_ordered_probit(X, y, k)


def test_priors_and_weights_are_checked():
    X, y = answers(40)
    with pytest.raises(ModelError, match="prior_mean without prior_sd"):
        fit_ordered_probit(X, y, 4, prior_mean=[0, 0, 0])
    with pytest.raises(ModelError, match="must be positive"):
        fit_ordered_probit(X, y, 4, prior_sd=[1, 0, 1])
    with pytest.raises(ModelError, match="prior_sd has shape"):
        fit_ordered_probit(X, y, 4, prior_sd=[1, 1])
    for weights in (-np.ones(40), np.full(40, np.nan), np.full(40, np.inf), np.ones(39), 1.0, ["a"] * 40):
        with pytest.raises(ModelError, match="weights"):
            fit_ordered_probit(X, y, 4, weights=weights)
    with pytest.raises(ModelError, match="prior_mean must hold finite"):
        fit_ordered_probit(X, y, 4, [np.nan, 0, 0], [1, 1, 1])
    with pytest.raises(ModelError, match="prior_sd must hold numbers"):
        fit_ordered_probit(X, y, 4, prior_sd=["wide"] * 3)
    with pytest.raises(ModelError, match="cuts ascend"):
        fit_ordered_probit(X, y, 4, [0, 0, 0, 1, 0, -1], np.ones(6))


def test_metres_from_far_away_lose_no_digits():
    """Eastings of a city lie hundreds of kilometres from their origin, and years thousands of years."""
    X, y = answers()
    scale, far = np.array([400.0, 1e-6, 3.0]), np.array([6_672_000.0, 0.0, 2026.0])
    fit, moved = fit_ordered_probit(X, y, 4), fit_ordered_probit(X * scale + far, y, 4)
    assert moved.beta * scale == pytest.approx(fit.beta, rel=1e-7)
    assert moved.standard_errors[:3] * scale == pytest.approx(fit.standard_errors[:3], rel=1e-7)
    assert moved.cuts - far @ moved.beta == pytest.approx(fit.cuts, abs=1e-7)
    assert moved.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-12)


def test_separation_is_no_problem_with_a_prior():
    X, y = np.repeat([0.0, 1.0], 20)[:, None], np.repeat([1, 2], 20)
    fit = fit_ordered_probit(X, y, 2, [0.0], [1.0])
    assert 1 < fit.beta[0] < 4
