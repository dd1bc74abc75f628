"""Answers made from a known response with known effects of places and people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from analytics.hilbert_basis import HilbertBasis, basis_over
from analytics.ordered_posterior import between
from analytics.place_fit import Answers, PlaceFit, Region, fit_with_places

CUTS = np.array([-1.2, -0.5, 0.7])
LENGTH_M = 300.0


@dataclass(frozen=True)
class World:
    """Answers, where they lie, and what made them."""

    answers: Answers
    region: Region
    category: np.ndarray
    beta: np.ndarray
    basis: HilbertBasis
    waves_u: np.ndarray
    waves_v: np.ndarray

    def u(self, easting: np.ndarray, northing: np.ndarray) -> np.ndarray:
        return self.basis.at(easting, northing) @ self.waves_u

    def v(self, easting: np.ndarray, northing: np.ndarray) -> np.ndarray:
        return self.basis.at(easting, northing) @ self.waves_v


def world(
    n: int,
    *,
    west: float = 0.0,
    south: float = 0.0,
    width: float = 1000.0,
    height: float = 1000.0,
    sd: float = 0.35,
    people: int = 0,
    person_sd: float = 0.0,
    terms: int = 4,
    seed: int = 0,
) -> World:
    generator = np.random.default_rng(seed)
    east, north = west + generator.uniform(0, width, n), south + generator.uniform(0, height, n)
    region = Region(west, west + width, south, south + height)
    basis = basis_over(region.west, region.east, region.south, region.north, LENGTH_M, LENGTH_M)
    waves_u = generator.normal(size=basis.wave_e.size) * np.sqrt(basis.variances(sd, LENGTH_M))
    waves_v = generator.normal(size=basis.wave_e.size) * np.sqrt(basis.variances(sd / 2, LENGTH_M))
    late = generator.choice([0.0, 0.0, 0.5, 1.0], n)
    columns, beta = generator.normal(size=(n, terms)), generator.normal(0, 0.4, terms)
    at = basis.at(east, north)
    eta = columns @ beta + at @ waves_u + late * (at @ waves_v)
    person = None
    if people:
        person = generator.integers(0, people, n)
        eta = eta + generator.normal(0, person_sd, people)[person]
    category = 1 + np.searchsorted(CUTS, eta + generator.normal(size=n))
    lower, upper = between(category, 0, len(CUTS) + 1)
    answers = Answers(columns, lower, upper, np.ones(n), east, north, late, np.ones(n, bool), person)
    return World(answers, region, category, beta, basis, waves_u, waves_v)


def priors(terms: int) -> tuple[np.ndarray, np.ndarray]:
    """Wide normal priors of coefficients and cuts: means and precisions."""
    mean = np.concatenate([np.zeros(terms), ndtri(np.arange(1, 4) / 4)])
    return mean, np.concatenate([np.ones(terms), np.full(3, 1 / 1.5**2)])


def fitted_world(n: int, **changes: float) -> PlaceFit:
    made = world(n, **changes)
    mean, precision = priors(made.beta.size)
    return fit_with_places(made.answers, made.region, mean, precision, CUTS)
