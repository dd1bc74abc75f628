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

from analytics.kernels.jit import over_rows
from analytics.kernels.probit import answer_terms
from sensors.errors import ModelError

Floats = npt.NDArray[np.float64]

_MAX_STEPS = 200
_MAX_HALVINGS = 60
_DECREMENT = 1e-12  # a last move of at most 1e-6 sd: Newton's error is squared by it
_SINGULAR = 1e-11  # smallest eigenvalue of the Hessian scaled to a unit diagonal
_FAR = 12.0  # an answer this many sd inside its category says nothing more: all of them there is separation
_HALF_ANSWER = 0.5  # what holds two cuts apart that no answer parts (Jeffreys' half count)


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
    problem = _Problem(columns, category, weight, mean, precision, _gaps_without_answers(counts))
    theta = _start(counts, columns.shape[1], mean, precision)
    for step in range(_MAX_STEPS):
        value, gradient, hessian = problem.value_gradient_hessian(theta)
        move = _solve(hessian, gradient)
        if move is None:
            raise ModelError(problem.why_singular(theta, hessian))
        # Close to the mode the gain drowns in the rounding of the likelihood, while the move itself is still exact.
        better = problem.climb(theta, value, move) if gradient @ move > _DECREMENT else None
        if better is None:
            return problem.result(theta + move, step + 1)
        theta = better
    raise ModelError(problem.why_singular(theta, None))


def log_likelihood_gradient_hessian(
    X: npt.ArrayLike, y: npt.ArrayLike, beta: npt.ArrayLike, cuts: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[float, Floats, Floats]:
    """Log-likelihood of answers with its gradient (p+K-1,) and Hessian (p+K-1, p+K-1) in beta and then the cuts."""
    theta = np.concatenate([np.asarray(beta, np.float64), np.asarray(cuts, np.float64)])
    n_categories = np.asarray(cuts).size + 1
    columns, category, weight = _checked(X, y, n_categories, weights)
    flat = np.zeros(theta.size)
    value, gradient, hessian = _Problem(columns, category, weight, flat, flat, ()).value_gradient_hessian(theta)
    return value, gradient, -hessian


class _Problem:
    """Minus the log posterior's curvature, its gradient and value at (beta, cuts)."""

    def __init__(
        self,
        columns: Floats,
        category: npt.NDArray[np.int64],
        weight: Floats,
        mean: Floats,
        precision: Floats,
        held_apart: tuple[int, ...],
    ) -> None:
        self.columns, self.category, self.weight = columns, category, weight
        self.mean, self.precision, self.held_apart = mean, precision, held_apart
        self.n, self.p = columns.shape
        # Which two cuts an answer lies between; the ends lie outside and carry no derivative.
        self.lower, self.upper = category - 2, category - 1

    def value(self, theta: Floats) -> float:
        terms = self._terms(theta)
        return float(self.weight @ terms[:, 0]) + self._prior(theta)

    def value_gradient_hessian(self, theta: Floats) -> tuple[float, Floats, Floats]:
        terms = self._terms(theta)
        w = self.weight
        da, db = w * terms[:, 1], w * terms[:, 2]
        daa, dbb, dab = w * terms[:, 3], w * terms[:, 4], w * terms[:, 5]
        size, n_cuts, p = theta.size, theta.size - self.p, self.p
        gradient = np.zeros(size)
        gradient[:p] = -self.columns.T @ (da + db)
        gradient[p:] = self._by_cut(self.lower, da, n_cuts) + self._by_cut(self.upper, db, n_cuts)
        hessian = np.zeros((size, size))
        hessian[:p, :p] = self.columns.T @ (self.columns * (daa + dbb + 2 * dab)[:, None])
        for j in range(n_cuts):
            below, above = self.upper == j, self.lower == j
            across = np.where(below, dbb + dab, 0.0) + np.where(above, daa + dab, 0.0)
            hessian[:p, p + j] = hessian[p + j, :p] = -self.columns.T @ across
            hessian[p + j, p + j] = dbb[below].sum() + daa[above].sum()
            if j:
                between = dab[self.category == j + 1].sum()
                hessian[p + j, p + j - 1] = hessian[p + j - 1, p + j] = between
        away = self.mean - theta
        gradient += self.precision * away
        hessian -= np.diag(self.precision)
        for j in self.held_apart:
            gap = theta[p + j] - theta[p + j - 1]
            gradient[[p + j, p + j - 1]] += _HALF_ANSWER / gap * np.array([1.0, -1.0])
            ends = np.ix_([p + j, p + j - 1], [p + j, p + j - 1])
            hessian[ends] -= _HALF_ANSWER / gap**2 * np.array([[1.0, -1.0], [-1.0, 1.0]])
        return float(w @ terms[:, 0]) + self._prior(theta), gradient, -hessian

    def climb(self, theta: Floats, value: float, move: Floats) -> Floats | None:
        """The first of the move, its half, its quarter... that keeps the cuts in order and gains height."""
        for halving in range(_MAX_HALVINGS):
            candidate = theta + move * 0.5**halving
            if np.any(np.diff(candidate[self.p :]) <= 0):
                continue
            if self.value(candidate) > value:
                return candidate
        return None

    def result(self, theta: Floats, n_steps: int) -> OrderedProbit:
        if self.n and np.min(self._terms(theta)[:, 0]) > -1e-12:
            raise ModelError(self.why_singular(theta, None))
        covariance = np.linalg.inv(self.value_gradient_hessian(theta)[2])
        covariance = 0.5 * (covariance + covariance.T)
        likelihood = float(self.weight @ self._terms(theta)[:, 0])
        return OrderedProbit(theta[: self.p].copy(), theta[self.p :].copy(), covariance, likelihood, n_steps)

    def why_singular(self, theta: Floats, hessian: Floats | None) -> str:
        """A sentence for answers that have no one best fit."""
        used = self.columns[self.weight > 0]
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

    def _terms(self, theta: Floats) -> Floats:
        terms = np.empty((self.n, 6))
        eta = self.columns @ theta[: self.p]
        over_rows(answer_terms, self.n, eta, self.category, np.ascontiguousarray(theta[self.p :]), terms)
        return terms

    def _prior(self, theta: Floats) -> float:
        held = sum(_HALF_ANSWER * np.log(theta[self.p + j] - theta[self.p + j - 1]) for j in self.held_apart)
        return float(-0.5 * self.precision @ (theta - self.mean) ** 2 + held)

    @staticmethod
    def _by_cut(which: npt.NDArray[np.int64], value: Floats, n_cuts: int) -> Floats:
        inside = (which >= 0) & (which < n_cuts)
        return np.bincount(which[inside], value[inside], n_cuts).astype(np.float64)


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


def _gaps_without_answers(counts: Floats) -> tuple[int, ...]:
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
