"""Shares of areas in one year without Laplace, draws or matrices: sums over a grid of levels, from the formula."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, xlog1py, xlogy


def two_areas(shares, sizes, area_sds, year_sds, extra_sds, level_sd, log_prior):
    """Posterior mean and sd of the shares of two areas asked in one year.

    eta_j = mu + year + area_j + extra_j are normal with variance level^2 + year^2 + area^2 + extra^2 and covariance
    level^2 + year^2; log_prior(a, t, e) : of a node of sds.
    """
    eta = np.linspace(-4.0, 4.0, 401)
    likelihood = np.zeros((eta.size, eta.size))
    for axis, (share, size) in enumerate(zip(shares, sizes, strict=True)):
        p = ndtr(eta)
        one = size * (xlogy(share, p) + xlog1py(1 - share, -p))
        likelihood += one[:, None] if axis == 0 else one[None, :]
    likelihood = np.exp(likelihood - likelihood.max())
    total, first, second = 0.0, np.zeros(2), np.zeros(2)
    for a in area_sds:
        for t in year_sds:
            for e in extra_sds:
                common, own = level_sd**2 + t**2, a**2 + e**2
                determinant = (common + own) ** 2 - common**2
                x, y = eta[:, None], eta[None, :]
                quadratic = ((common + own) * (x**2 + y**2) - 2 * common * x * y) / determinant
                weight = np.exp(log_prior(a, t, e) - 0.5 * quadratic) / np.sqrt(determinant) * likelihood
                total += weight.sum()
                for axis, margin in enumerate((weight.sum(axis=1), weight.sum(axis=0))):
                    first[axis] += margin @ ndtr(eta)
                    second[axis] += margin @ ndtr(eta) ** 2
    mean = first / total
    return mean, np.sqrt(second / total - mean**2)


def share_covariance(memberships, p):
    """Covariance of the shares of any groups of the same respondents, each of whom feels safe with chance p.

    memberships : (groups, respondents) 0 or 1
    """
    average = memberships / memberships.sum(axis=1, keepdims=True)
    return p * (1 - p) * average @ average.T
