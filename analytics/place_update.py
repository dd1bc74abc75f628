"""More answers at once: the exact rank-2 step of a joint fit (perception.md 3).

Each answer touches the latent scale at its two cuts only. With J the two rows of derivatives of (a, b) = (cut below,
cut above) minus latent mean, g and N slope and curvature of its log-likelihood in (a, b),

    C <- C - C J' (I + N J C J')^-1 N J C,     mean <- mean + C J' g

which is one Newton step of the posterior with the answer added. Length-scale, size and people's own sd stay as the last
refit found them; the person's own level is unknown and widens the unit noise. A refit each noon makes up for what steps
leave out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dgemm, dsymm

from analytics.kernels.probit import answer_terms
from analytics.place_fit import Answers, PlaceFit

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moved:
    """A fit with more answers, and by what: covariance before less covariance after = factor factor'.

    factor : (parameters, 2 n) of n answers
    """

    fit: PlaceFit
    factor: Floats


def with_answers(fit: PlaceFit, answers: Answers) -> PlaceFit:
    """The fit with more answers, one after the other; the given fit is left as it is. `person` is not read."""
    return moved_by(fit, answers).fit


def moved_by(fit: PlaceFit, answers: Answers) -> Moved:
    """The same, with what it took from the covariance, so that a map need not be made anew."""
    mean, covariance = fit.mean.copy(), np.array(fit.covariance, order="F")
    updated = replace(fit, mean=mean, covariance=covariance)
    number, p = answers.columns.shape
    waves = np.where(answers.local[:, None], fit.basis_u.at(answers.easting, answers.northing), 0.0)
    late = waves[:, : fit.basis_v.wave_e.size] * answers.late[:, None]
    rows = np.hstack([answers.columns, np.zeros((number, fit.n_terms - p)), waves, late])
    scale = 1.0 / np.sqrt(1.0 + fit.person_sd**2)
    factor = np.zeros((mean.size, 2 * number))
    for n, (row, lower, upper, weight) in enumerate(
        zip(rows, answers.lower, answers.upper, answers.weight, strict=True)
    ):
        factor[:, 2 * n : 2 * n + 2] = _step(
            mean, covariance, scale * row, scale, slice(p, fit.n_terms), int(lower), int(upper), float(weight)
        )
    return Moved(updated, factor)


def _step(
    mean: Floats, covariance: Floats, row: Floats, scale: float, cuts: slice, lower: int, upper: int, weight: float
) -> Floats:
    """Change mean and covariance in place by one answer; the row of its latent mean is scaled already.

    Gives what was taken from the covariance as a factor, (parameters, 2).
    """
    margins = np.asfortranarray(np.column_stack([-row, -row]))
    for side, cut in enumerate((lower, upper)):
        if cut >= 0:
            margins[cuts.start + cut, side] += scale
    terms = np.empty((1, 6))
    answer_terms(0, 1, np.array([row @ mean]), np.array([lower]), np.array([upper]), scale * mean[cuts], terms)
    slope = weight * terms[0, 1:3]
    curvature = -weight * np.array([[terms[0, 3], terms[0, 5]], [terms[0, 5], terms[0, 4]]])
    moved = dsymm(1.0, covariance, margins)  # C J'
    inner = np.linalg.solve(np.eye(2) + curvature @ (margins.T @ moved), curvature)
    inner = 0.5 * (inner + inner.T)
    mean += (moved - moved @ (inner @ (margins.T @ moved))) @ slope
    dgemm(-1.0, moved @ inner, moved, 1.0, covariance, trans_b=1, overwrite_c=1)
    values, vectors = np.linalg.eigh(inner)  # an end category has one cut, and a curvature of rank 1
    factor: Floats = moved @ (vectors * np.sqrt(np.maximum(values, 0)))
    return factor
