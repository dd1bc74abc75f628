"""The ordered probit and the population view of a cell in plain Python, from the formulae of perception.md 3."""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtr


def log_likelihood(X, y, beta, cuts, weights=None):
    """Sum of log(Phi(tau_y - eta) - Phi(tau_{y-1} - eta)), in the tail where the difference does not cancel."""
    total = 0.0
    edges = np.concatenate([[-np.inf], cuts, [np.inf]])
    for i, (row, category) in enumerate(zip(np.atleast_2d(X), y, strict=True)):
        a, b = edges[category - 1] - row @ beta, edges[category] - row @ beta
        if a > 0:
            a, b = -b, -a
        upper, lower = log_ndtr(b), log_ndtr(a)
        total += (1.0 if weights is None else weights[i]) * (upper + np.log(-np.expm1(lower - upper)))
    return total


def population_view(x, fields, load, variance, share, spread, cuts, safe, own, across, person_variance):
    """P, sd from coefficients' covariance given as each class's own form, and the expected category, of one cell.

    x : (q+1,) features and a 1; fields : list of (q+1,) changes by one sd; load : class -> (q+1, P) form and mean
    own : mean and variance of the place's effect; across : (P,) its covariance with the coefficients
    """
    forms, mean, covariance = load
    p = 0.0
    score = 1.0
    slope = np.zeros(len(mean))
    sensed = np.zeros(len(fields))
    total = 0.0
    for g, form in enumerate(forms):
        contrast = x @ form
        m = contrast @ mean + own[0]
        v = contrast @ covariance @ contrast + 2 * contrast @ across + own[1] + person_variance + spread[g] + variance
        moves = [d @ form @ mean for d in fields]
        v += sum(move**2 for move in moves)
        scale = 1 / np.sqrt(1 + v)
        p += share[g] * ndtr(m * scale)
        score += share[g] * sum(ndtr((m - (cut - cuts[safe])) * scale) for cut in cuts)
        density = share[g] * np.exp(-0.5 * (m * scale) ** 2) / np.sqrt(2 * np.pi) * scale
        slope += density * contrast
        sensed += density * np.array(moves)
        total += density
    shared = 2 * total * slope @ across
    sd = np.sqrt(slope @ covariance @ slope + shared + (sensed**2).sum() + total**2 * (own[1] + variance))
    return p, sd, score
