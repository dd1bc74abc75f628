from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from analytics.ordinal import fit_ordered_probit, log_likelihood_gradient_hessian
from sensors.errors import ModelError
from tests.reference import probit as reference

pytestmark = pytest.mark.kernel

CUTS = np.array([-1.1, -0.2, 0.9])
BETA = np.array([0.8, -0.5, 0.2])


def answers(n=250, seed=0, beta=BETA, cuts=CUTS):
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n, len(beta)))
    return X, 1 + np.searchsorted(cuts, X @ beta + generator.normal(size=n))


@pytest.mark.parametrize("k", [3, 4, 7])
def test_flat_priors_agree_with_statsmodels_to_one_millionth(k):
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    X, y = answers(150, seed=k, cuts=np.linspace(-1, 1, k - 1))
    fit = fit_ordered_probit(X, y, k)
    # It starts near our answer, because each of its steps differentiates numerically and takes seconds.
    near = np.concatenate([fit.beta, fit.cuts[:1], np.log(np.diff(fit.cuts))]) + 0.01
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own remarks on its optimiser and on pandas
        model = OrderedModel(y, X, distr="probit")
        oracle = model.fit(near, method="newton", disp=0, maxiter=8, tol=1e-13)
        cuts = model.transform_threshold_params(oracle.params[X.shape[1] :])[1:-1]
        # its thresholds are first cut and log gaps: only the standard errors of beta compare directly
        errors = np.asarray(oracle.bse)[: X.shape[1]]
    assert fit.beta == pytest.approx(oracle.params[: X.shape[1]], abs=1e-6)
    assert fit.cuts == pytest.approx(cuts, abs=1e-6)
    assert fit.log_likelihood == pytest.approx(oracle.llf, abs=1e-6)
    assert fit.standard_errors[: X.shape[1]] == pytest.approx(
        errors, rel=1e-5
    )  # statsmodels differentiates numerically


@pytest.mark.parametrize("k", [2, 3, 5, 11])
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
    with pytest.raises(ModelError, match="weights"):
        fit_ordered_probit(X, y, 4, weights=-np.ones(40))


def test_separation_is_no_problem_with_a_prior():
    X, y = np.repeat([0.0, 1.0], 20)[:, None], np.repeat([1, 2], 20)
    fit = fit_ordered_probit(X, y, 2, [0.0], [1.0])
    assert 1 < fit.beta[0] < 4
