"""Ordered probit: how a few numbers about a place and a person move an answer on an ordered scale.

    P(y <= k) = Phi(tau_k - X beta),   k = 1..K-1

Larger X beta means higher categories. There is no intercept: the cuts tau carry it. The log-likelihood is concave in
(beta, tau) (Pratt 1981, JASA 76, 103-106), so Newton steps, halved while they would leave the order of the cuts or lose
height, find the one mode; the covariance is the inverse of minus the Hessian there (Laplace).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

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
_STILL = 1e-3  # latent sd: at a mode the next step is nothing, while towards separation each is as long as the last
_LARGEST = 1e100  # its square is still a number
_MOST_CATEGORIES = 1000
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
    n_categories = _number_of(n_categories)
    columns, category, weight = _checked(X, y, n_categories, weights)
    mean, precision = _priors(prior_mean, prior_sd, columns.shape[1], n_categories)
    counts = np.bincount(category, weight, n_categories + 1)[1:].astype(np.float64)
    _refuse_unfittable(columns, counts, precision)
    units = _Units.of(columns, weight, precision)
    lower, upper = between(category, 0, n_categories)
    posterior = OrderedPosterior(
        (columns - units.middle) / units.sd, lower, upper, weight, mean * units.scale, precision / units.scale**2,
        held_apart=unheard_gaps(counts),
    )  # fmt: skip
    start = _start(counts, columns.shape[1], posterior.mean, precision)
    return units.as_given(_Fit(posterior).best(start))


def log_likelihood_gradient_hessian(
    X: npt.ArrayLike, y: npt.ArrayLike, beta: npt.ArrayLike, cuts: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[float, Floats, Floats]:
    """Log-likelihood of answers with its gradient (p+K-1,) and Hessian (p+K-1, p+K-1) in beta and then the cuts."""
    theta = np.concatenate([_numbers("beta", beta), _numbers("cuts", cuts)])
    n_categories = np.asarray(cuts).size + 1
    columns, category, weight = _checked(X, y, n_categories, weights)
    flat = np.zeros(theta.size)
    lower, upper = between(category, 0, n_categories)
    here = OrderedPosterior(columns, lower, upper, weight, flat, flat).curvature(theta, _NOBODY)
    return here.value, here.slope, -here.curvature


@dataclass(frozen=True)
class _Units:
    """Columns are fitted around their middle in units of their sd, so that metres and years lose no digits.

    middle : (p,), 0 where the cuts have priors, which are about the columns as given; sd : (p,); n_cuts : K-1
    """

    middle: Floats
    sd: Floats
    n_cuts: int

    @classmethod
    def of(cls, columns: Floats, weight: Floats, precision: Floats) -> _Units:
        p = columns.shape[1]
        used = columns[weight > 0]
        sd = used.std(axis=0) if len(used) else np.ones(p)
        sd = np.where(sd > 1e-9 * np.abs(used).max(axis=0, initial=0.0), sd, 1.0)  # a constant stays one
        free = len(used) > 0 and not np.any(precision[p:])
        return cls(used.mean(axis=0) if free else np.zeros(p), sd, precision.size - p)

    @property
    def scale(self) -> Floats:
        """What coefficients and cuts are multiplied by, (p+K-1,)."""
        return np.concatenate([self.sd, np.ones(self.n_cuts)])

    def as_given(self, fit: OrderedProbit) -> OrderedProbit:
        """The fit in the units of the columns as they were given."""
        p = self.sd.size
        back = np.diag(1.0 / self.scale)
        back[p:, :p] = (self.middle / self.sd)[None, :]
        theta = back @ np.concatenate([fit.beta, fit.cuts])
        covariance = back @ fit.covariance @ back.T
        return OrderedProbit(theta[:p], theta[p:], 0.5 * (covariance + covariance.T), fit.log_likelihood, fit.n_steps)


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
        here = posterior.curvature(theta, _NOBODY)
        move = _solve(here.curvature, here.slope)
        if move is None or np.abs(move[: self.p]).max(initial=0.0) > _STILL:
            raise ModelError(self.why_singular(theta))
        covariance = np.linalg.inv(here.curvature)
        covariance = 0.5 * (covariance + covariance.T)
        likelihood = posterior.log_likelihood(theta, _NOBODY)
        return OrderedProbit(theta[: self.p].copy(), theta[self.p :].copy(), covariance, likelihood, n_steps)

    def why_singular(self, theta: Floats) -> str:
        """A sentence for answers that have no one best fit."""
        used = self.posterior.columns[self.posterior.weight > 0]
        centred = used - used.mean(axis=0) if len(used) else used
        if len(used) and np.linalg.matrix_rank(centred) < self.p:
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
    if not np.all(sd > 1 / _LARGEST):
        raise ModelError("prior_sd must be positive; leave a column out of X instead of fixing it at its mean")
    known = np.isfinite(sd)
    if not np.all(np.abs(mean[known]) < _LARGEST):
        raise ModelError("prior_mean must hold finite numbers; an sd of infinity is how a prior is left flat")
    if np.all(known[p:]) and np.any(np.diff(mean[p:]) < 0):
        raise ModelError(f"prior_mean of the cuts is {mean[p:].tolist()}; cuts ascend")
    return np.where(known, mean, 0.0), 1.0 / sd**2


def _prior_vector(name: str, values: npt.ArrayLike, p: int, size: int, rest: float) -> Floats:
    given = np.atleast_1d(_numbers(name, values))
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
    answers, columns = _numbers("y", y), _numbers("X", X)
    if columns.ndim == 1 and columns.size == 0:
        columns = columns.reshape(answers.size, 0)
    if columns.ndim != 2 or answers.ndim != 1 or len(columns) != len(answers):
        raise ModelError(f"X has shape {columns.shape} and y {answers.shape}; expected (n, p) and (n,)")
    weight = np.ones(len(answers)) if weights is None else _numbers("weights", weights)
    if weight.shape != answers.shape or not np.all((weight >= 0) & (weight < _LARGEST)):
        raise ModelError("weights must be finite, not negative, one for each answer")
    weight = np.where(weight < 1e-12, 0.0, weight)  # less than a millionth of a millionth of an answer is none
    known = np.abs(columns) < _LARGEST
    if not np.all(known):
        raise ModelError(f"X holds {int((~known).sum())} values that are not finite; leave them out")
    if not np.all(answers == np.round(answers)):
        raise ModelError("y must hold whole categories 1 to n_categories")
    if len(answers) and (answers.min() < 1 or answers.max() > n_categories):
        raise ModelError(f"y runs from {answers.min():g} to {answers.max():g}; expected categories 1 to {n_categories}")
    return np.ascontiguousarray(columns), answers.astype(np.int64), weight


def _number_of(n_categories: float) -> int:
    try:
        number = int(n_categories)
        whole = number == n_categories
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise ModelError(f"n_categories is {n_categories!r}; expected a whole number")
    if not 2 <= number <= _MOST_CATEGORIES:
        raise ModelError(f"n_categories is {number}; an ordered answer has at least 2 and at most {_MOST_CATEGORIES}")
    return number


def _numbers(name: str, values: npt.ArrayLike) -> Floats:
    """An array of real numbers, or ModelError with what stands there instead."""
    try:
        given = np.asarray(values)
        if given.dtype.kind in "OUS" and not all(isinstance(one, Real) for one in given.ravel()):
            raise ValueError(f"{given.ravel()[0]!r} among them")
        if given.dtype.kind not in "bifuOUS":
            raise ValueError(f"they are {given.dtype}")
        return given.astype(np.float64)
    except (ValueError, TypeError, OverflowError) as problem:
        raise ModelError(f"{name} must hold numbers, as many in each row: {problem}") from None
