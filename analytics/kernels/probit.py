"""Numbers of the ordered probit: log-likelihood terms of answers, and the population view of a cell.

An answer in category k has P = Phi(b) - Phi(a), a = tau_{k-1} - eta, b = tau_k - eta (tau_0 = -inf, tau_K = inf).
Where a > 0 both ends are mirrored, so that the difference is always taken in the lower tail, in logarithms:
log P = log Phi(b) + log(1 - exp(log Phi(a) - log Phi(b))). Below -25 log Phi is its asymptotic series (Abramowitz and
Stegun 26.2.12), whose sixth term is below 1e-11 there.

With r_a = phi(a)/P and r_b = phi(b)/P the derivatives of log P are -r_a in a and r_b in b, and the second ones
a r_a - r_a^2, -b r_b - r_b^2 and r_a r_b.
"""

import math
from typing import Any

import numpy as np

from analytics.kernels.jit import cell_kernel, kernel

SQRT_HALF = 0.7071067811865476
LOG_SQRT_2PI = 0.9189385332046727
SERIES_FROM = -25.0


@kernel()
def log_normal_cdf(z: Any) -> Any:
    """Logarithm of the standard normal distribution function, to 1e-14 relative, for any z."""
    if z > 0.0:
        return math.log1p(-0.5 * math.erfc(z * SQRT_HALF))
    if z > SERIES_FROM:
        return math.log(0.5 * math.erfc(-z * SQRT_HALF))
    w = 1.0 / (z * z)
    series = 1.0 - w * (1.0 - 3.0 * w * (1.0 - 5.0 * w * (1.0 - 7.0 * w * (1.0 - 9.0 * w))))
    return -0.5 * z * z - LOG_SQRT_2PI - math.log(-z) + math.log(series)


@kernel()
def normal_cdf(z: Any) -> Any:
    """Standard normal distribution function."""
    return 0.5 * math.erfc(-z * SQRT_HALF)


@kernel()
def log_interval(a: Any, b: Any) -> Any:
    """log(Phi(b) - Phi(a)) for a < b; -inf and inf are ends too."""
    if a > 0.0:
        a, b = -b, -a
    upper = log_normal_cdf(b) if b < math.inf else 0.0
    if a == -math.inf:
        return upper
    return upper + math.log(-math.expm1(log_normal_cdf(a) - upper))


@kernel()
def _ratio(z: Any, log_p: Any) -> Any:
    """phi(z) / P; 0 at an infinite end."""
    if math.isinf(z):
        return 0.0
    return math.exp(-0.5 * z * z - LOG_SQRT_2PI - log_p)


@cell_kernel()
def answer_terms(first: Any, last: Any, eta: Any, lower: Any, upper: Any, cuts: Any, terms: Any) -> None:
    """Fill log P and its derivatives for answers first to last.

    eta : (n,) f8, latent means; lower, upper : (n,) i8, the cuts that each answer lies between, -1 for none
    cuts : (c,) f8, of one instrument after the other, each ascending
    terms : (n, 6) f8: log P, d/da, d/db, d2/da2, d2/db2, d2/dadb (0 at an infinite end)
    """
    for i in range(first, last):
        a = -math.inf if lower[i] < 0 else cuts[lower[i]] - eta[i]
        b = math.inf if upper[i] < 0 else cuts[upper[i]] - eta[i]
        log_p = log_interval(a, b)
        ra = _ratio(a, log_p)
        rb = _ratio(b, log_p)
        terms[i, 0] = log_p
        terms[i, 1] = -ra
        terms[i, 2] = rb
        terms[i, 3] = ra * (a - ra) if ra > 0.0 else 0.0
        terms[i, 4] = -rb * (b + rb) if rb > 0.0 else 0.0
        terms[i, 5] = ra * rb


@cell_kernel()
def population_view(
    first: Any,
    last: Any,
    features: Any,
    steps: Any,
    step_feature: Any,
    step_field: Any,
    square: Any,
    own: Any,
    across: Any,
    across_place: Any,
    share: Any,
    load: Any,
    variance: Any,
    spread: Any,
    cut_steps: Any,
    route: Any,
    joint: Any,
    place_after: Any,
    place_before: Any,
    own_before: Any,
    person_variance: Any,
    out: Any,
) -> None:
    """Fill P(feels safe), its sd, the expected category and the evidence of cells first to last.

    With x the q features of a cell and a last 1, the people of group class g stand m = load[g] . x above the safe cut,
    with variance x' variance[g] x from the coefficients; the cell's own effect with its covariance with them, what the
    sensors leave open, the spread within the class and people's own levels are added. P = sum of share[g]
    Phi(m / sqrt(1 + v)); its sd is the delta rule's, of a whole population, so people's own levels are not in it.

    features : (n, q) f4, NaN where a cell is not known
    steps : (n, e) f4, change of feature step_feature[e] by one sd of field step_field[e] (0, 1 or 2)
    square : (n,) i4, the 50 m cell of each cell; own : (c, 2) f8, mean and variance of the effect of each of those
    across : (c, r) f8, its covariance with the gradient coordinates; across_place : (c, q) f8, with main effects
    share, spread : (g,) f8; load : (g, q+1) f8; variance : (g, q+1, q+1) f8
    cut_steps : (c,) f8, every other cut minus the safe cut
    route : (g, q+1) i8, to which of r coordinates the gradient of class g in x belongs
    joint : (r, r) f8, covariance of those coordinates
    place_after : (q, q) f8, posterior covariance of the features' main effects
    place_before : (q,) f8, their prior variances
    own_before : f8, prior variance of the cell's own effect; person_variance : f8, of people's own levels
    out : (n, 4) f4
    """
    n_groups, width = load.shape
    q = width - 1
    n_steps = step_feature.size
    x = np.empty(width)
    d = np.empty(n_steps)
    gradient = np.empty(joint.shape[0])
    one = np.empty(3)
    sensed = np.empty(3)
    for i in range(first, last):
        known = True
        for a in range(q):
            x[a] = features[i, a]
            known = known and not math.isnan(x[a])
        x[q] = 1.0
        if not known:
            for a in range(4):
                out[i, a] = np.nan
            continue
        c = square[i]
        of_place = own[c, 1]
        after = of_place
        before = own_before
        for a in range(q):
            t = across_place[c, a]
            for b in range(a):
                t += place_after[a, b] * x[b]
            after += x[a] * (2.0 * t + place_after[a, a] * x[a])
            before += place_before[a] * x[a] * x[a]
        left_open = 0.0
        for e in range(n_steps):
            d[e] = steps[i, e]
            for f in range(e + 1):
                if step_field[e] == step_field[f]:
                    t = place_after[step_feature[e], step_feature[f]] * d[e] * d[f]
                    left_open += t if f == e else 2.0 * t
        gradient[:] = 0.0
        sensed[:] = 0.0
        p_safe = 0.0
        score = 1.0
        total = 0.0
        for g in range(n_groups):
            m = own[c, 0]
            v = of_place + spread[g] + left_open + person_variance
            for a in range(width):
                m += load[g, a] * x[a]
                t = across[c, route[g, a]]
                for b in range(a):
                    t += variance[g, a, b] * x[b]
                v += x[a] * (2.0 * t + variance[g, a, a] * x[a])
            one[:] = 0.0
            for e in range(n_steps):
                one[step_field[e]] += load[g, step_feature[e]] * d[e]
            v += one[0] * one[0] + one[1] * one[1] + one[2] * one[2]
            scale = 1.0 / math.sqrt(1.0 + max(v, 0.0))
            z = m * scale
            p = normal_cdf(z)
            p_safe += share[g] * p
            score += share[g] * p
            for k in range(cut_steps.size):
                score += share[g] * normal_cdf((m - cut_steps[k]) * scale)
            weight = share[g] * math.exp(-0.5 * z * z - LOG_SQRT_2PI) * scale
            total += weight
            for a in range(width):
                gradient[route[g, a]] += weight * x[a]
            for a in range(3):
                sensed[a] += weight * one[a]
        v = total * total * (of_place + left_open)
        for a in range(3):
            v += sensed[a] * sensed[a]
        for a in range(joint.shape[0]):
            t = total * across[c, a]
            for b in range(a):
                t += joint[a, b] * gradient[b]
            v += gradient[a] * (2.0 * t + joint[a, a] * gradient[a])
        out[i, 0] = p_safe
        out[i, 1] = math.sqrt(max(v, 0.0))
        out[i, 2] = score
        out[i, 3] = min(max(1.0 - after / before, 0.0), 1.0)
