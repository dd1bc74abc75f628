"""Counts of people as negative binomial: how widely they spread around what is expected, and what follows from that.

A count over an hour with the expected ln rate eta has the density

    NB(y; m, k) = G(y + k) / (G(k) y!) (k / (k + m))^k (m / (k + m))^y,     m = exp(eta) k / exp(digamma(k))

a Poisson count whose rate is a gamma variable of shape k with E ln(rate) = eta (Hilbe 2011, ch. 8); variance m + m^2/k.
Poisson alone is far too tidy: k is 3.7 in Dublin and 5.6 in Melbourne (sensing.md C3). A counter's own k is found by
maximum likelihood and shrunk to the city's, log-normally, so that one with a week of history has the city's.
"""

import numpy as np
from numpy.typing import NDArray

USUAL_K = 5.6  # Melbourne's nights 2013-10 to 2014-09 around sensor x hour of week
_K = np.geomspace(0.4, 120.0, 32)
_PRIOR_SD = 0.5  # ln k, between the counters of one city
_INDEPENDENT = 0.25  # what an hour tells beside the hour before, which differed the same way (autocorrelation 0.6)
_MOST = 600  # values of one counter that are enough


def dispersion(
    count: NDArray[np.float64], eta: NDArray[np.float64], place: NDArray[np.int64], n: int
) -> tuple[NDArray[np.float64], float]:
    """Shape k of each of n counters' counts and the city's, from counts and their expected ln; (values,) arrays."""
    picked = _picked(place, n)
    count, eta, place = count[picked], eta[picked], place[picked]
    if not count.size:
        return np.full(n, USUAL_K), USUAL_K
    likelihood = _INDEPENDENT * np.stack([np.bincount(place, log_density(count, eta, k), n) for k in _K], axis=1)
    city = likelihood.sum(axis=0) - 0.5 * (np.log(_K / USUAL_K) / _PRIOR_SD) ** 2
    city_k = _posterior_mean(city)
    own = likelihood - 0.5 * (np.log(_K / city_k) / _PRIOR_SD) ** 2
    return np.array([_posterior_mean(row) for row in own]), city_k


def log_density(count: NDArray[np.float64], eta: NDArray[np.float64], k: float) -> NDArray[np.float64]:
    """Ln of the negative binomial density of counts whose expected ln is eta."""
    from scipy.special import gammaln

    mean = mean_of(eta, np.asarray(k))
    return np.asarray(
        gammaln(count + k) - gammaln(k) - gammaln(count + 1.0)
        - (count + k) * np.log1p(mean / k) + count * np.log(np.maximum(mean, 1e-300) / k)
    )  # fmt: skip


def mean_of(eta: NDArray[np.float64], k: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of counts whose ln rate is expected to be eta."""
    from scipy.special import digamma

    return np.asarray(np.exp(eta + np.log(k) - digamma(k)))


def widened(k: NDArray[np.float64], log_variance: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The shape when the expected ln itself is unsure by `log_variance`: 1/k and that variance add up."""
    return np.asarray(1.0 / (1.0 / k + log_variance))


def quantile(share: float, eta: NDArray[np.float64], k: NDArray[np.float64]) -> NDArray[np.float64]:
    """The count below which `share` of all counts lie."""
    from scipy.stats import nbinom

    return np.asarray(nbinom.ppf(share, k, k / (k + mean_of(eta, k))), np.float64)


def poisson_interval(
    count: NDArray[np.float64] | float, share: float = 0.9
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact interval of the rate behind a count of independent people (Garwood 1936), from chi-square quantiles.

    >>> low, high = poisson_interval(0.0, 0.95)
    >>> round(float(low), 3), round(float(high), 3)
    (0.0, 3.689)
    """
    from scipy.special import chdtri

    seen = np.asarray(count, np.float64)
    tail = (1.0 - share) / 2.0
    low = np.where(seen > 0, 0.5 * chdtri(2.0 * np.maximum(seen, 1e-9), 1.0 - tail), 0.0)
    return np.asarray(low), np.asarray(0.5 * chdtri(2.0 * (seen + 1.0), tail))


def _picked(place: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """At most `_MOST` values of each counter, evenly picked."""
    order = np.argsort(place, kind="stable")
    heard = np.bincount(place, minlength=n)
    nth = np.arange(place.size) - np.repeat(np.cumsum(heard) - heard, heard)
    step = np.maximum(-(-heard // _MOST), 1)
    return np.asarray(order[nth % np.repeat(step, heard) == 0], np.int64)


def _posterior_mean(log_weight: NDArray[np.float64]) -> float:
    weight = np.exp(log_weight - np.max(log_weight))
    return float(np.exp(np.sum(weight * np.log(_K)) / np.sum(weight)))
