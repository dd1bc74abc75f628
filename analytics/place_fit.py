"""The response and what is left of places, fitted together: u(s) at all hours and v(s) late at night.

    eta = columns beta + u(s) + late(t) v(s) + level of the person

u and v are Matérn 5/2 fields of one length-scale in a Hilbert-space basis. Range rho = 2 ell and sd of the field have
the joint penalised-complexity prior of Fuglstad et al. 2019 (JASA 114, 445-452) in the plane,

    pi(rho, sigma) ~ rho^-2 exp(-l1 / rho) exp(-l2 sigma),   P(rho < 100 m) = 0.05,  P(sigma_u > 0.8) = 0.05,

with sigma_v = sigma_u / 2. Both are integrated over a grid of 3 x 5 nodes weighed by Laplace evidence times prior: with
the best node alone 90 % intervals hold 83 % (perception.md 3). The waves of all nodes are the same, so the mixture is
kept as one normal distribution with its first two moments (law of total variance).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.hilbert_basis import HilbertBasis, basis_over
from analytics.ordered_posterior import Mode, OrderedPosterior

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LENGTHS_M = (250.0, 250.0 * 2**0.5, 500.0)
SDS = (0.1, 0.17, 0.28, 0.48, 0.8)  # even in logarithm
LATE_SHARE = 0.5  # sigma_v of sigma_u: P(sigma_v > 0.4) = P(sigma_u > 0.8) = 0.05
MOST_LATE_WAVES = 144
PERSON_SDS = (0.25, 0.4, 0.63, 1.0, 1.6)  # even in logarithm
_RANGE_RATE = 100.0 * np.log(20.0)  # l1: P(rho < 100 m) = exp(-l1 / 100)
_SD_RATE = np.log(20.0) / 0.8  # l2
_PERSON_RATE = np.log(20.0) / 1.5  # P(sigma_a > 1.5) = 0.05
_CHUNK = 4096
_TELLING = 1e-4  # share of the posterior below which the skewness of a node moves nothing

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Answers:
    """What is fitted, one row an answer.

    columns : (n, p); lower, upper : (n,) cuts as in `OrderedPosterior`; weight : (n,)
    easting, northing : (n,) metres; late : (n,) 0 before 22:00 to 1 from 01:00 on
    local : (n,) bool, whether the answer may speak of its own place; person : (n,) from 0, or None for no levels
    """

    columns: Floats
    lower: Ints
    upper: Ints
    weight: Floats
    easting: Floats
    northing: Floats
    late: Floats
    local: npt.NDArray[np.bool_]
    person: Ints | None


@dataclass(frozen=True)
class Region:
    """A rectangle, metres."""

    west: float
    east: float
    south: float
    north: float

    def holds(self, easting: Floats, northing: Floats, margin_m: float = 0.0) -> npt.NDArray[np.bool_]:
        """Which places lie in it or less than a margin beside it, (n,)."""
        inside: npt.NDArray[np.bool_] = (easting >= self.west - margin_m) & (easting <= self.east + margin_m)
        return inside & (northing >= self.south - margin_m) & (northing <= self.north + margin_m)


@dataclass(frozen=True)
class Node:
    """One pair of length-scale (metres) and sd, and its share of the posterior."""

    length_m: float
    sd: float
    weight: float


@dataclass(frozen=True)
class PlaceFit:
    """What answers say: coefficients and cuts first, then the waves of u, then those of v.

    n_terms : coefficients and cuts; mean : (n_terms + waves,); covariance : the same, squared
    region : where the waves hold; basis_u, basis_v : the waves
    unasked_u, unasked_v : variance of the fields where nobody was asked, after what answers elsewhere tell of them
    person_sd : of people's own levels, 0 where too few answered twice to tell
    """

    n_terms: int
    mean: Floats
    covariance: Floats
    region: Region
    basis_u: HilbertBasis
    basis_v: HilbertBasis
    nodes: tuple[Node, ...]
    unasked_u: float
    unasked_v: float
    person_sd: float
    log_likelihood: float

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and arrays, nested by part."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("region", "basis_u", "basis_v"):
            content[name] = asdict(getattr(self, name))
        return content | {"nodes": [asdict(node) for node in self.nodes]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> PlaceFit:
        """What `to_dict` gave."""
        parts = {
            "region": Region(**content["region"]),
            "basis_u": HilbertBasis(**content["basis_u"]),
            "basis_v": HilbertBasis(**content["basis_v"]),
            "nodes": tuple(Node(**node) for node in content["nodes"]),
        }
        return cls(**dict(content) | parts)


@dataclass(frozen=True)
class PlaceMoments:
    """u and v of some places, (n,) each, and their covariance with coefficients and cuts, (n, n_terms)."""

    mean_u: Floats
    mean_v: Floats
    variance_u: Floats
    variance_v: Floats
    covariance_uv: Floats
    across_u: Floats
    across_v: Floats

    def at(self, late: Floats) -> tuple[Floats, Floats, Floats]:
        """Mean, variance (n,) and covariance with coefficients and cuts (n, n_terms) of the effect at an hour.

        late : (n,) 0 before 22:00 to 1 from 01:00 on
        """
        variance = self.variance_u + 2 * late * self.covariance_uv + late**2 * self.variance_v
        return self.mean_u + late * self.mean_v, variance, self.across_u + late[:, None] * self.across_v


def fit_with_places(
    answers: Answers,
    region: Region,
    mean: Floats,
    precision: Floats,
    cuts: Floats,
    *,
    held_apart: tuple[int, ...] = (),
    chains: tuple[slice, ...] | None = None,
    progress: Progress | None = None,
) -> PlaceFit:
    """Fit coefficients, cuts and both fields; ModelError where the region is too large for one fit.

    region : holds every answer that may speak of its place
    mean, precision : (p + cuts,) of the priors, all proper; cuts : (cuts,) where to begin
    held_apart, chains : as in `OrderedPosterior`; progress : called with (done, all) nodes
    """
    basis_u = basis_over(region.west, region.east, region.south, region.north, LENGTHS_M[0], LENGTHS_M[-1])
    basis_v = basis_u.first(MOST_LATE_WAVES)
    waves = np.where(answers.local[:, None], basis_u.at(answers.easting, answers.northing), 0.0)
    late = waves[:, : basis_v.wave_e.size] * answers.late[:, None]
    problem = _Problem(answers, mean, precision, basis_u, basis_v, waves, late, held_apart, chains)
    theta = np.concatenate([mean[: answers.columns.shape[1]], np.zeros(waves.shape[1] + late.shape[1]), cuts])
    person_sd, theta = problem.person_sd(theta)
    pairs = [(length, sd) for length in LENGTHS_M for sd in SDS]
    fitted = []
    for number, (length, sd) in enumerate(pairs):
        posterior, used = problem.at(length, sd, person_sd)
        mode = posterior.mode(theta[used])
        theta[used] = mode.theta  # the next node begins where this one ended
        fitted.append((posterior.log_evidence(mode) + _log_prior(length, sd), mode, used, posterior))
        if progress is not None:
            progress(number + 1, len(pairs))
    return problem.together(region, pairs, fitted, person_sd)


def node_priors() -> Floats:
    """Share of each node before anyone was asked, (15,), sizes running fastest."""
    log_weight = np.array([_log_prior(length, sd) for length in LENGTHS_M for sd in SDS])
    weight = np.exp(log_weight - log_weight.max())
    shares: Floats = weight / weight.sum()
    return shares


def prior_variances() -> tuple[float, float]:
    """Of u and v before anyone was asked: means over the nodes."""
    variance = float(node_priors() @ np.tile(np.square(SDS), len(LENGTHS_M)))
    return variance, LATE_SHARE**2 * variance


def place_moments(fit: PlaceFit, easting: Floats, northing: Floats) -> PlaceMoments:
    """What a fit says of u and v at some places, (n,) metres."""
    n, terms = easting.size, fit.n_terms
    u, v = fit.basis_u.wave_e.size, fit.basis_v.wave_e.size
    part_u, part_v = slice(terms, terms + u), slice(terms + u, terms + u + v)
    out = PlaceMoments(*(np.empty(n) for _ in range(5)), *(np.empty((n, terms)) for _ in range(2)))
    for first in range(0, n, _CHUNK):
        rows = slice(first, first + _CHUNK)
        waves = fit.basis_u.at(easting[rows], northing[rows])
        late = waves[:, :v]
        out.mean_u[rows], out.mean_v[rows] = waves @ fit.mean[part_u], late @ fit.mean[part_v]
        out.variance_u[rows] = np.einsum("ij,ij->i", waves @ fit.covariance[part_u, part_u], waves)
        out.variance_v[rows] = np.einsum("ij,ij->i", late @ fit.covariance[part_v, part_v], late)
        out.covariance_uv[rows] = np.einsum("ij,ij->i", waves @ fit.covariance[part_u, part_v], late)
        out.across_u[rows] = waves @ fit.covariance[part_u, :terms]
        out.across_v[rows] = late @ fit.covariance[part_v, :terms]
    return out


class _Problem:
    """The answers with all waves beside them, and the posterior at any node."""

    def __init__(
        self,
        answers: Answers,
        mean: Floats,
        precision: Floats,
        basis_u: HilbertBasis,
        basis_v: HilbertBasis,
        waves: Floats,
        late: Floats,
        held_apart: tuple[int, ...],
        chains: tuple[slice, ...] | None,
    ) -> None:
        self.answers, self.mean, self.precision = answers, mean, precision
        self.basis_u, self.basis_v = basis_u, basis_v
        self.columns = np.hstack([answers.columns, waves, late])
        self.p, self.held_apart, self.chains = answers.columns.shape[1], held_apart, chains
        self.n_cuts = mean.size - self.p

    def at(self, length_m: float, sd: float, person_sd: float) -> tuple[OrderedPosterior, Ints]:
        """The posterior at a node, and which of all parameters it has."""
        answers = self.answers
        of_u = self.basis_u.variances(sd, length_m)
        of_v = self.basis_v.variances(LATE_SHARE * sd, length_m)
        variance = np.concatenate([of_u, of_v])
        needed = np.flatnonzero(variance > 0)
        used = np.concatenate([np.arange(self.p), self.p + needed])
        with_cuts = np.concatenate([used, self.columns.shape[1] + np.arange(self.n_cuts)])
        posterior = OrderedPosterior(
            np.ascontiguousarray(self.columns[:, used]),
            answers.lower,
            answers.upper,
            answers.weight,
            np.concatenate([self.mean[: self.p], np.zeros(needed.size), self.mean[self.p :]]),
            np.concatenate([self.precision[: self.p], 1.0 / variance[needed], self.precision[self.p :]]),
            held_apart=self.held_apart,
            chains=self.chains,
            person=answers.person if person_sd > 0 else None,
            person_sd=person_sd,
        )
        return posterior, with_cuts

    def person_sd(self, theta: Floats) -> tuple[float, Floats]:
        """The sd of people's own levels with the most evidence at the middle node, and the mode there."""
        if self.answers.person is None:
            return 0.0, theta
        best = (-np.inf, 0.0)
        for sd in PERSON_SDS:
            posterior, used = self.at(LENGTHS_M[1], SDS[2], sd)
            mode = posterior.mode(theta[used])
            theta[used] = mode.theta
            found = posterior.log_evidence(mode) - _PERSON_RATE * sd + np.log(sd)
            best = max(best, (found, sd))
        return best[1], theta

    def together(
        self,
        region: Region,
        pairs: list[tuple[float, float]],
        fitted: list[tuple[float, Mode, Ints, OrderedPosterior]],
        person_sd: float,
    ) -> PlaceFit:
        """The mixture's first two moments, coefficients and cuts first."""
        evidence = np.array([one[0] for one in fitted])
        weight = np.exp(evidence - evidence.max())
        weight /= weight.sum()
        size = self.columns.shape[1] + self.n_cuts
        mean, second = np.zeros(size), np.zeros((size, size))
        means = np.zeros((len(fitted), size))
        for share, (_, mode, used, posterior), row in zip(weight, fitted, means, strict=True):
            row[used] = posterior.mean_at(mode) if share > _TELLING else mode.theta
            mean += share * row
        for share, (_, mode, used, _), row in zip(weight, fitted, means, strict=True):
            inverse = _inverse(mode.factor)
            second[np.ix_(used, used)] += share * inverse
            away = row - mean
            second += share * np.outer(away, away)
        order = np.concatenate(
            [np.arange(self.p), np.arange(self.columns.shape[1], size), np.arange(self.p, self.columns.shape[1])]
        )
        likelihood = sum(
            share * posterior.log_likelihood(mode.theta, mode.levels)
            for share, (_, mode, _, posterior) in zip(weight, fitted, strict=True)
        )
        variance = float(sum(share * sd**2 for share, (_, sd) in zip(weight, pairs, strict=True)))
        return PlaceFit(
            n_terms=self.p + self.n_cuts,
            mean=mean[order],
            covariance=second[np.ix_(order, order)],
            region=region,
            basis_u=self.basis_u,
            basis_v=self.basis_v,
            nodes=tuple(Node(length, sd, float(w)) for (length, sd), w in zip(pairs, weight, strict=True)),
            unasked_u=variance,
            unasked_v=LATE_SHARE**2 * variance,
            person_sd=person_sd,
            log_likelihood=float(likelihood),
        )


def _log_prior(length_m: float, sd: float) -> float:
    """Log of the prior of a node, of which both axes are even in logarithm (so times rho and sigma)."""
    reach = 2 * length_m
    return float(-2 * np.log(reach) - _RANGE_RATE / reach - _SD_RATE * sd + np.log(reach) + np.log(sd))


def _inverse(factor: Floats) -> Floats:
    from scipy.linalg.lapack import dpotri

    lower, problem = dpotri(factor, lower=1)
    if problem:
        raise np.linalg.LinAlgError(f"dpotri says {problem}")
    whole: Floats = np.tril(lower) + np.tril(lower, -1).T
    return whole
