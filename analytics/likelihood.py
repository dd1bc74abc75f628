"""Variance and range of a field's covariance by marginal likelihood on a subset of sensors, with their intervals.

log p(z) = -z' (K + N)^-1 z / 2 - log |K + N| / 2 (Rasmussen & Williams 2006, eq. 5.8), under log-normal priors: on a
coarse grid of ranges and variances first, then on a fine one where the posterior is.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.covariance import Matern

Floats = NDArray[np.float64]

RANGE_FACTOR, VARIANCE_FACTOR = 1.6, 1.5  # one sd of the priors, as a factor
_WIDEST = 2.8  # prior sds that the grids reach to
_COARSE, _FINE = 9, 11
_COUNTS = 1e-3  # of the highest weight: what less is plausible is outside the fine grid
_NINETY = (0.05, 0.95)


class Fitted(NamedTuple):
    """A covariance, the central 90 % of its range (metres) and of its variance, and on how many sensors it rests."""

    covariance: Matern
    range_interval: tuple[float, float]
    variance_interval: tuple[float, float]
    sensors: int


def fit_covariance(
    easting: Floats,
    northing: Floats,
    value: Floats,
    noise_variance: Floats,
    usual_range_m: float,
    nu: float = 1.5,
    most: int = 400,
) -> Fitted:
    """Matérn covariance of a zero-mean field of about unit variance by marginal likelihood.

    Log-normal priors: range around `usual_range_m` within a factor 1.6, variance around 1 within 1.5 (one sd), so that
    a handful of sensors leaves them where they were. The covariance has the posterior medians; at most `most` sensors,
    evenly picked in the order given, those left out whose value is not known.
    """
    known = np.flatnonzero(np.isfinite(value) & np.isfinite(noise_variance))
    if known.size > most:
        known = known[np.linspace(0, known.size - 1, most).astype(np.int64)]
    easting, northing, value, noise_variance = (a[known] for a in (easting, northing, value, noise_variance))
    distance = np.hypot(easting[:, None] - easting[None, :], northing[:, None] - northing[None, :])

    def posterior(ranges: Floats, variances: Floats) -> Floats:
        """Logarithm of prior times evidence, (ranges, variances), of logarithms of both relative to the usual ones."""
        out = -0.5 * (ranges / np.log(RANGE_FACTOR))[:, None] ** 2 - 0.5 * (variances / np.log(VARIANCE_FACTOR)) ** 2
        if value.size > 1:
            for i, log_range in enumerate(ranges):
                correlation = Matern(nu, float(usual_range_m * np.exp(log_range)), 1.0)(distance)
                for j, log_variance in enumerate(variances):
                    out[i, j] += _log_evidence(np.exp(log_variance) * correlation, value, noise_variance)
        return np.asarray(out)

    axes = tuple(np.linspace(-_WIDEST, _WIDEST, _COARSE) * np.log(factor) for factor in (RANGE_FACTOR, VARIANCE_FACTOR))
    coarse = posterior(*axes)
    axes = tuple(_where_it_is(axis, coarse.max(axis=1 - k)) for k, axis in enumerate(axes))
    fine = posterior(*axes)
    weight = np.exp(fine - fine.max())
    ranges, variances = (_quantiles(axis, weight.sum(axis=1 - k)) for k, axis in enumerate(axes))
    return Fitted(
        Matern(nu, float(usual_range_m * ranges[1]), float(variances[1])),
        (float(usual_range_m * ranges[0]), float(usual_range_m * ranges[2])),
        (float(variances[0]), float(variances[2])),
        int(value.size),
    )


def _where_it_is(axis: Floats, log_weight: Floats) -> Floats:
    """Return a fine axis over what is plausible of a coarse one, a coarse step more on either side."""
    plausible = np.flatnonzero(log_weight >= log_weight.max() + np.log(_COUNTS))
    first, last = max(plausible[0] - 1, 0), min(plausible[-1] + 1, axis.size - 1)
    return np.linspace(axis[first], axis[last], _FINE)


def _quantiles(axis: Floats, weight: Floats) -> Floats:
    """5 %, 50 % and 95 % of what is spread over an even axis of logarithms, as factors."""
    fine = np.linspace(axis[0], axis[-1], 20 * axis.size)
    log_density = np.interp(fine, axis, np.log(np.maximum(weight, 1e-300)))
    between = np.exp(log_density - log_density.max())
    total = np.cumsum(between)
    return np.asarray(np.exp(np.interp((_NINETY[0], 0.5, _NINETY[1]), total / total[-1], fine)))


def _log_evidence(covariance: Floats, value: Floats, noise_variance: Floats) -> float:
    from scipy.linalg import solve_triangular  # a tenth of the import time of a map that only reads what was learnt

    lower = np.linalg.cholesky(covariance + np.diag(noise_variance + 1e-9))
    white = solve_triangular(lower, value, lower=True, check_finite=False)
    return float(-0.5 * white @ white - np.sum(np.log(np.diag(lower))))
