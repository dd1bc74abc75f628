"""Numbers of the ordered probit: log-likelihood terms of answers, and the population view of a cell.

An answer in category k has P = Phi(b) - Phi(a), a = tau_{k-1} - eta, b = tau_k - eta (tau_0 = -inf, tau_K = inf).
Where a > 0 both ends are mirrored, so that the difference is always taken in the lower tail, in logarithms:
log P = log Phi(b) + log(1 - exp(log Phi(a) - log Phi(b))). Below -25 log Phi is its asymptotic series (Abramowitz and
Stegun 26.2.12), whose sixth term is below 1e-11 there.

With r_a = phi(a)/P and r_b = phi(b)/P the derivatives of log P are -r_a in a and r_b in b, and the second ones
a r_a - r_a^2, -b r_b - r_b^2 and r_a r_b.

Maps need Phi and phi sixteen times a cell: there they come from a table, cubic between entries a 32nd apart, within
h^4/384 max|f(4)| (Hermite): 4e-9 of Phi and 8e-9 of phi. What is left is float32, in which z + 8 is rounded by up to
5e-7: both are within 4e-7.
"""

import math
from typing import Any

import numpy as np

from analytics.kernels.jit import cell_kernel, kernel

SQRT_HALF = 0.7071067811865476
LOG_SQRT_2PI = 0.9189385332046727
SERIES_FROM = -25.0
LANES = 64
ZERO, ONE, TWO, UNKNOWN = np.float32(0), np.float32(1), np.float32(2), np.float32(np.nan)
PER_UNIT = 32  # entries of the table
TABLE_TO = 8.0  # Phi(-8) = 6e-16

_AT = np.arange(-TABLE_TO * PER_UNIT, TABLE_TO * PER_UNIT + 2) / PER_UNIT
_CDF = np.array([0.5 * math.erfc(-z * SQRT_HALF) for z in _AT])
_PDF = np.exp(-0.5 * _AT**2 - LOG_SQRT_2PI)
# Value, and slope times the distance of entries, of Phi and of phi.
_TABLE = np.column_stack([_CDF, _PDF / PER_UNIT, _PDF, -_AT * _PDF / PER_UNIT]).astype(np.float32)
_TO, _PER_UNIT = np.float32(TABLE_TO), np.float32(PER_UNIT)
_THREE = np.float32(3)


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
def _between(at: Any, first: Any, column: Any) -> Any:
    """Cubic through two entries of a column and their slopes, `at` within 0..1 after the first."""
    rise = _TABLE[first + 1, column] - _TABLE[first, column]
    slope, last = _TABLE[first, column + 1], _TABLE[first + 1, column + 1]
    bend = _THREE * rise - TWO * slope - last
    return _TABLE[first, column] + at * (slope + at * (bend + at * (slope + last - TWO * rise)))


@kernel()
def normal_of_table(z: Any) -> Any:
    """Standard normal distribution function and density, to 4e-7; beyond 8 those of 8."""
    place = (min(max(z, -_TO), _TO) + _TO) * _PER_UNIT
    first = int(place)
    return _between(place - np.float32(first), first, 0), _between(place - np.float32(first), first, 2)


@kernel()
def normal_cdf_of_table(z: Any) -> Any:
    """Standard normal distribution function, to 4e-7."""
    place = (min(max(z, -_TO), _TO) + _TO) * _PER_UNIT
    first = int(place)
    return _between(place - np.float32(first), first, 0)


@kernel()
def log_interval(a: Any, b: Any) -> Any:
    """log(Phi(b) - Phi(a)) for a < b; -inf and inf are ends too."""
    if a > 0.0:
        a, b = -b, -a
    upper = log_normal_cdf(b) if b < math.inf else 0.0
    if a == -math.inf:
        return upper
    lower = log_normal_cdf(a) - upper
    if lower < -0.6931471805599453:  # of a small part both forms are near nought, and only this one keeps its digits
        return upper + math.log1p(-math.exp(lower))
    return upper + math.log(-math.expm1(lower))


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
    apart: Any,
    out: Any,
) -> None:
    """Fill P(feels safe), its sd, the expected category and the evidence of cells first to last.

    With x the q features of a cell and a last 1, the people of group class g stand m = load[g] . x above the safe cut,
    with variance x' variance[g] x from the coefficients; the cell's own effect with its covariance with them, what the
    sensors leave open, the spread within the class and people's own levels are added. P = sum of share[g]
    Phi(m / sqrt(1 + v)); its sd is the delta rule's, of a whole population, so people's own levels are not in it.

    features : (n, q) f4, NaN where a cell is not known
    steps : (n, e) f4, change of feature step_feature[e] by one sd of field step_field[e] (0, 1 or 2)
    square : (n,) i4, the 50 m cell of each cell; own : (c, 2) f4, mean and variance of the effect of each of those
    across : (c, r) f4, its covariance with the gradient coordinates; across_place : (c, q) f4, with main effects
    share, spread : (g,) f4; load : (g, q+1) f4; variance : (g, q+1, q+1) f4
    cut_steps : (c,) f4, every other cut minus the safe cut
    route : (g, q+1) i8, to which of r coordinates the gradient of class g in x belongs
    joint : (r, r) f4, covariance of those coordinates
    place_after : (q, q) f4, posterior covariance of the features' main effects
    place_before : (q,) f4, their prior variances
    own_before : f4, prior variance of the cell's own effect; person_variance : f4, of people's own levels
    apart : (n,) f4, variance of the latent mean among the places that a row stands for; 0 where it stands for one
    out : (n, 4) f4
    """
    n_groups, width = load.shape
    q = width - 1
    n_steps = step_feature.size
    coordinates = joint.shape[0]
    # Cells go through in lanes, so that sums over pairs of features are sums of whole vectors. All lanes are always
    # computed, the last cell in those that are left over, so that a cell's bits do not depend on where its band begins.
    x = np.ones((width, LANES), np.float32)
    d = np.empty((n_steps, LANES), np.float32)
    crossing = np.empty((coordinates, LANES), np.float32)
    gradient = np.empty((coordinates, LANES), np.float32)
    one = np.empty((3, LANES), np.float32)
    sensed = np.empty((3, LANES), np.float32)
    known, where, here = np.empty(LANES, np.bool_), np.empty(LANES, np.int64), np.empty(LANES, np.float32)
    # Features that no cell of the lanes has (cameras, staff, patrols) cost nothing, nor do numbers that only they use.
    busy, reached = np.ones(width, np.bool_), np.empty(coordinates, np.bool_)
    place, of_place, left_open, after, before = (
        np.empty(LANES, np.float32),
        np.empty(LANES, np.float32),
        np.empty(LANES, np.float32),
        np.empty(LANES, np.float32),
        np.empty(LANES, np.float32),
    )
    m, v, t = np.empty(LANES, np.float32), np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    p_safe, score, total = np.empty(LANES, np.float32), np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    for start in range(first, last, LANES):
        for i in range(LANES):
            row = min(start + i, last - 1)
            where[i], here[i] = square[row], apart[row]
            t[i] = ZERO
            for a in range(q):
                x[a, i] = features[row, a]
                t[i] += x[a, i]
            for e in range(n_steps):
                d[e, i] = steps[row, e]
            known[i] = not math.isnan(t[i])
        for a in range(q):
            most = ZERO
            for i in range(LANES):
                x[a, i] = x[a, i] if known[i] else ZERO
                most = max(most, abs(x[a, i]))
            busy[a] = most > ZERO
        for i in range(LANES):
            c = where[i]
            place[i], of_place[i] = own[c, 0], own[c, 1]
            after[i] = of_place[i]
            before[i] = own_before
            left_open[i] = ZERO
            p_safe[i] = ZERO
            score[i] = ONE
            total[i] = ZERO
            for a in range(coordinates):
                crossing[a, i] = across[c, a]
        for a in range(q):
            if not busy[a]:
                continue
            for i in range(LANES):
                t[i] = across_place[where[i], a]
            for b in range(a):
                if busy[b]:
                    each = place_after[a, b]
                    for i in range(LANES):
                        t[i] += each * x[b, i]
            own_after, own_prior = place_after[a, a], place_before[a]
            for i in range(LANES):
                after[i] += x[a, i] * (TWO * t[i] + own_after * x[a, i])
                before[i] += own_prior * x[a, i] * x[a, i]
        for e in range(n_steps):
            for f in range(e + 1):
                if step_field[e] == step_field[f]:
                    weight = place_after[step_feature[e], step_feature[f]] * (ONE if f == e else TWO)
                    for i in range(LANES):
                        left_open[i] += weight * d[e, i] * d[f, i]
        gradient[:] = ZERO
        reached[:] = False
        sensed[:] = ZERO
        for g in range(n_groups):
            each = spread[g] + person_variance
            for i in range(LANES):
                m[i] = place[i]
                v[i] = of_place[i] + each + left_open[i] + here[i]
            for a in range(width):
                if not busy[a]:
                    continue
                reached[route[g, a]] = True
                each, coordinate = load[g, a], route[g, a]
                for i in range(LANES):
                    m[i] += each * x[a, i]
                    t[i] = crossing[coordinate, i]
                for b in range(a):
                    if busy[b]:
                        each = variance[g, a, b]
                        for i in range(LANES):
                            t[i] += each * x[b, i]
                each = variance[g, a, a]
                for i in range(LANES):
                    v[i] += x[a, i] * (TWO * t[i] + each * x[a, i])
            one[:] = ZERO
            for e in range(n_steps):
                each, field = load[g, step_feature[e]], step_field[e]
                for i in range(LANES):
                    one[field, i] += each * d[e, i]
            for i in range(LANES):
                v[i] += one[0, i] * one[0, i] + one[1, i] * one[1, i] + one[2, i] * one[2, i]
                v[i] = ONE / math.sqrt(ONE + max(v[i], ZERO))
            of_class = share[g]
            for i in range(LANES):
                p, density = normal_of_table(m[i] * v[i])
                p_safe[i] += of_class * p
                score[i] += of_class * p
                t[i] = of_class * density * v[i]
                total[i] += t[i]
            for k in range(cut_steps.size):
                each = cut_steps[k]
                for i in range(LANES):
                    score[i] += of_class * normal_cdf_of_table((m[i] - each) * v[i])
            for a in range(width):
                if not busy[a]:
                    continue
                coordinate = route[g, a]
                for i in range(LANES):
                    gradient[coordinate, i] += t[i] * x[a, i]
            for a in range(3):
                for i in range(LANES):
                    sensed[a, i] += t[i] * one[a, i]
        for i in range(LANES):
            v[i] = total[i] * total[i] * (of_place[i] + left_open[i])
            v[i] += sensed[0, i] * sensed[0, i] + sensed[1, i] * sensed[1, i] + sensed[2, i] * sensed[2, i]
        for a in range(coordinates):
            if not reached[a]:
                continue
            for i in range(LANES):
                t[i] = total[i] * crossing[a, i]
            for b in range(a):
                if reached[b]:
                    each = joint[a, b]
                    for i in range(LANES):
                        t[i] += each * gradient[b, i]
            each = joint[a, a]
            for i in range(LANES):
                v[i] += gradient[a, i] * (TWO * t[i] + each * gradient[a, i])
        for i in range(min(LANES, last - start)):
            out[start + i, 0] = p_safe[i] if known[i] else UNKNOWN
            out[start + i, 1] = math.sqrt(max(v[i], ZERO)) if known[i] else UNKNOWN
            out[start + i, 2] = score[i] if known[i] else UNKNOWN
            out[start + i, 3] = min(max(ONE - after[i] / before[i], ZERO), ONE) if known[i] else UNKNOWN
