"""Ordered probit: how a few numbers about a place and a person move an answer on an ordered scale.

    P(y <= k) = Phi(tau_k - X beta),   k = 1..K-1

Larger X beta means higher categories. There is no intercept: the cuts tau carry it. The log-likelihood is concave in
(beta, tau) (Pratt 1981, JASA 76, 103-106), so Newton steps, halved while they would leave the order of the cuts or lose
height, find the one mode; the covariance is the inverse of minus the Hessian there (Laplace).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy.special import ndtri

from analytics.ordered_posterior import OrderedPosterior, between
from sensors.errors import ModelError

Floats = npt.NDArray[np.float64]

_MAX_STEPS = 200
_DECREMENT = 1e-12  # a last move of at most 1e-6 sd: Newton's error is squared by it
_SINGULAR = 1e-11  # smallest eigenvalue of the Hessian scaled to a unit diagonal
_FAR = 12.0  # an answer this many sd inside its category says nothing more: all of them there is separation
_NOBODY = np.empty(0)  # no levels of persons


@dataclass(frozen=True)
class OrderedProbit:
    """A fitted ordered probit.

    beta : (p,) array, probit units per unit of each column
    cuts : (K-1,) array, ascending
    covariance : (p+K-1, p+K-1) array, of beta and then the cuts
    log_likelihood : float, of the answers at the mode, weighted, without the priors
    n_steps : int, Newton steps taken
    """

    beta: Floats
    cuts: Floats
    covariance: Floats
    log_likelihood: float
    n_steps: int = 0

    @property
    def standard_errors(self) -> Floats:
        """(p+K-1,) array, of beta and then the cuts."""
        return np.sqrt(np.diag(self.covariance))

    def probabilities(self, X: npt.ArrayLike) -> Floats:
        """(n, K) array: probability of each category at the mode."""
        from scipy.special import ndtr

        eta = np.atleast_2d(np.asarray(X, np.float64)) @ self.beta
        below = ndtr(self.cuts[None, :] - eta[:, None])
        ends = np.zeros((len(eta), 1)), np.ones((len(eta), 1))
        return np.diff(np.hstack([ends[0], below, ends[1]]), axis=1)


def fit_ordered_probit(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    n_categories: int,
    prior_mean: npt.ArrayLike | None = None,
    prior_sd: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
) -> OrderedProbit:
    """Fit an ordered probit to answers; ModelError says why where there is no one best fit.

    Parameters
    ----------
    X : (n, p) array
        What may go with the answers, without an intercept; p may be 0.
    y : (n,) array
        Categories, 1 to `n_categories`.
    n_categories : int
        K, at least 2.
    prior_mean, prior_sd : (p,) or (p+K-1,) arrays, or None
        Independent normal priors of beta, and of the cuts where K-1 more are given; None is flat, and so is an sd of
        infinity. A missing mean is 0.
    weights : (n,) array or None
        What each answer counts; 2 is the same as the row twice.

    Examples
    --------
    >>> fit = fit_ordered_probit([[0.0], [0.0], [0.0], [1.0], [1.0], [1.0]], [1, 2, 1, 2, 2, 1], 2)
    >>> fit.beta.round(3), fit.cuts.round(3)
    (array([0.861]), array([0.431]))
    """
    columns, category, weight = _checked(X, y, n_categories, weights)
    mean, precision = _priors(prior_mean, prior_sd, columns.shape[1], n_categories)
    counts = np.bincount(category, weight, n_categories + 1)[1:].astype(np.float64)
    _refuse_unfittable(columns, counts, precision)
    lower, upper = between(category, 0, n_categories)
    posterior = OrderedPosterior(columns, lower, upper, weight, mean, precision, held_apart=unheard_gaps(counts))
    return _Fit(posterior).best(_start(counts, columns.shape[1], mean, precision))


def log_likelihood_gradient_hessian(
    X: npt.ArrayLike, y: npt.ArrayLike, beta: npt.ArrayLike, cuts: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[float, Floats, Floats]:
    """Log-likelihood of answers with its gradient (p+K-1,) and Hessian (p+K-1, p+K-1) in beta and then the cuts."""
    theta = np.concatenate([np.asarray(beta, np.float64), np.asarray(cuts, np.float64)])
    n_categories = np.asarray(cuts).size + 1
    columns, category, weight = _checked(X, y, n_categories, weights)
    flat = np.zeros(theta.size)
    lower, upper = between(category, 0, n_categories)
    here = OrderedPosterior(columns, lower, upper, weight, flat, flat).curvature(theta, _NOBODY)
    return here.value, here.slope, -here.curvature


class _Fit:
    """The search of the one mode, and a sentence where there is none."""

    def __init__(self, posterior: OrderedPosterior) -> None:
        self.posterior = posterior
        self.p = posterior.p

    def best(self, theta: Floats) -> OrderedProbit:
        """Climb from `theta` by Newton's steps."""
        posterior = self.posterior
        for step in range(_MAX_STEPS):
            here = posterior.curvature(theta, _NOBODY)
            move = _solve(here.curvature, here.slope)
            if move is None:
                raise ModelError(self.why_singular(theta))
            # Close to the mode the gain drowns in the rounding of the likelihood, while the move itself is still exact.
            small = here.slope @ move <= _DECREMENT
            if small or not posterior.climb(theta, _NOBODY.copy(), here.value, move, _NOBODY):
                return self.result(theta + move, step + 1)
        raise ModelError(self.why_singular(theta))

    def result(self, theta: Floats, n_steps: int) -> OrderedProbit:
        posterior = self.posterior
        if posterior.n and np.min(posterior.terms(theta, _NOBODY)[:, 0]) > -1e-12:
            raise ModelError(self.why_singular(theta))
        covariance = np.linalg.inv(posterior.curvature(theta, _NOBODY).curvature)
        covariance = 0.5 * (covariance + covariance.T)
        likelihood = posterior.log_likelihood(theta, _NOBODY)
        return OrderedProbit(theta[: self.p].copy(), theta[self.p :].copy(), covariance, likelihood, n_steps)

    def why_singular(self, theta: Floats) -> str:
        """A sentence for answers that have no one best fit."""
        used = self.posterior.columns[self.posterior.weight > 0]
        centred = used - used.mean(axis=0) if len(used) else used
        if np.linalg.matrix_rank(centred) < self.p:
            return (
                "the columns of X cannot be told apart: one is constant (the cuts are the intercept) or follows from "
                "the others; leave it out or give it a prior_sd"
            )
        steepest = int(np.argmax(np.abs(theta[: self.p]) * used.std(axis=0))) if self.p else 0
        return (
            f"the answers are separated: column {steepest} of X alone (or with others) tells the categories apart, so "
            f"its coefficient has no largest likelihood; give a prior_sd, or ask more people"
        )


def _solve(hessian: Floats, gradient: Floats) -> Floats | None:
    """Newton's move, or None where the curvature does not hold it."""
    scale = np.sqrt(np.diag(hessian))
    if not np.all(np.isfinite(hessian)) or np.any(scale <= 1e-12):
        return None
    scaled = hessian / scale[:, None] / scale[None, :]
    if np.linalg.eigvalsh(scaled)[0] < _SINGULAR:
        return None
    factor = scipy.linalg.cho_factor(scaled, lower=True)
    move: Floats = scipy.linalg.cho_solve(factor, gradient / scale) / scale
    return move


def _start(counts: Floats, p: int, mean: Floats, precision: Floats) -> Floats:
    """Coefficients at their prior means (or 0) and the cuts where the shares of the answers put them."""
    smoothed = (counts + 0.5) / (counts + 0.5).sum()
    cuts = ndtri(np.cumsum(smoothed)[:-1])
    theta = np.where(precision > 0, mean, 0.0)
    if counts.sum() or np.any(np.diff(theta[p:]) <= 0):
        theta[p:] = cuts
    return theta


def unheard_gaps(counts: Floats) -> tuple[int, ...]:
    """Index j of each cut whose category below it has no answer and is not the first: its gap needs holding."""
    return tuple(j for j in range(1, counts.size - 1) if counts[j] == 0 and counts.sum() > 0)


def _refuse_unfittable(columns: Floats, counts: Floats, precision: Floats) -> None:
    flat = precision == 0
    p = columns.shape[1]
    if counts.sum() == 0:
        if np.any(flat):
            raise ModelError("there are no answers to fit; give every coefficient and cut a prior_sd, or ask people")
        return
    n_cuts = counts.size - 1
    for k in np.flatnonzero(counts == 0):
        bounds = [j for j in (k - 1, k) if 0 <= j < n_cuts]
        if np.any(flat[[p + j for j in bounds]]):
            raise ModelError(
                f"category {k + 1} of {counts.size} has no answers, so its cuts have no best place; merge it with a "
                f"neighbour or give the cuts a prior_sd"
            )


def _priors(
    prior_mean: npt.ArrayLike | None, prior_sd: npt.ArrayLike | None, p: int, n_categories: int
) -> tuple[Floats, Floats]:
    size = p + n_categories - 1
    if prior_sd is None:
        if prior_mean is not None:
            raise ModelError("prior_mean without prior_sd says nothing; give both, or neither for flat priors")
        return np.zeros(size), np.zeros(size)
    sd = _prior_vector("prior_sd", prior_sd, p, size, np.inf)
    mean = np.zeros(size) if prior_mean is None else _prior_vector("prior_mean", prior_mean, p, size, 0.0)
    if np.any(sd <= 0) or np.any(np.isnan(sd)):
        raise ModelError("prior_sd must be positive; leave a column out of X instead of fixing it at its mean")
    return np.where(np.isfinite(sd), mean, 0.0), 1.0 / sd**2


def _prior_vector(name: str, values: npt.ArrayLike, p: int, size: int, rest: float) -> Floats:
    given = np.atleast_1d(np.asarray(values, np.float64))
    if given.shape not in ((p,), (size,)):
        raise ModelError(
            f"{name} has shape {given.shape}; expected ({p},) for the coefficients or ({size},) with the cuts"
        )
    full = np.full(size, rest)
    full[: given.size] = given
    return full


def _checked(
    X: npt.ArrayLike, y: npt.ArrayLike, n_categories: int, weights: npt.ArrayLike | None
) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
    if n_categories < 2:
        raise ModelError(f"n_categories is {n_categories}; an ordered answer has at least 2")
    answers = np.asarray(y)
    columns = np.asarray(X, np.float64)
    if columns.ndim == 1 and columns.size == 0:
        columns = columns.reshape(answers.size, 0)
    if columns.ndim != 2 or answers.ndim != 1 or len(columns) != len(answers):
        raise ModelError(f"X has shape {columns.shape} and y {answers.shape}; expected (n, p) and (n,)")
    weight = np.ones(len(answers)) if weights is None else np.asarray(weights, np.float64)
    if weight.shape != answers.shape or np.any(~np.isfinite(weight)) or np.any(weight < 0):
        raise ModelError("weights must be finite, not negative, one for each answer")
    if not np.all(np.isfinite(columns)):
        raise ModelError(f"X holds {int((~np.isfinite(columns)).sum())} values that are not finite; leave them out")
    numbers = answers.astype(np.float64)
    if np.any(~np.isfinite(numbers)) or np.any(numbers != np.round(numbers)):
        raise ModelError("y must hold whole categories 1 to n_categories")
    if len(numbers) and (numbers.min() < 1 or numbers.max() > n_categories):
        raise ModelError(f"y runs from {numbers.min():g} to {numbers.max():g}; expected categories 1 to {n_categories}")
    return np.ascontiguousarray(columns), numbers.astype(np.int64), weight
