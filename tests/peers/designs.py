"""Answers with places, as plain matrices that another program can sample, and what our own fit says of them.

One node of length-scale and size is held fixed: columns of the response, then the waves of u, then those of v times
late(t), each with its own normal prior. What is compared are coefficients, cuts, and how far new answers at other
places, at all hours, stand above the cut below "fairly safe".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import ndtr

from analytics import place_fit
from tests.worlds import CUTS, LENGTH_M, priors, world

SIZES = (150, 600)
SD = 0.35
SAFE = 1  # the second cut parts a bit unsafe from fairly safe
EDGES = (-1.0, -0.5, 0.0, 0.5, 1.0)  # thresholds of exceedance, probit units
_SIDE_M = 1000.0
_ASKED = 60


@dataclass(frozen=True)
class Design:
    """What both programs are given.

    columns : (n, p + waves); category : (n,) 1..4; mean, sd : of the priors of all columns; cut_mean, cut_sd : of the
    cuts; asked : (60, p + waves), rows of places that nobody answered at; terms : p
    """

    columns: np.ndarray
    category: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    cut_mean: np.ndarray
    cut_sd: np.ndarray
    asked: np.ndarray
    terms: int


@dataclass(frozen=True)
class Said:
    """Mean and sd of coefficients, cuts and the asked rows; P(feels safe) and exceedances of the asked rows."""

    mean: np.ndarray
    sd: np.ndarray
    p_safe: np.ndarray
    exceeds: np.ndarray


def design_and_fit(n: int) -> tuple[Design, Said]:
    """The design of n answers and what our own fit says at its one node."""
    made = world(n, width=_SIDE_M, height=_SIDE_M, seed=n)
    answers, terms = made.answers, made.beta.size
    mean, precision = priors(terms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place_fit, "LENGTHS_M", (LENGTH_M,))
        patch.setattr(place_fit, "SDS", (SD,))
        fit = place_fit.fit_with_places(answers, made.region, mean, precision, CUTS)
    generator = np.random.default_rng(1)
    east, north = generator.uniform(0, _SIDE_M, (2, _ASKED))
    late, features = generator.choice([0.0, 0.5, 1.0], _ASKED), generator.normal(size=(_ASKED, terms))

    def rows(columns: np.ndarray, east: np.ndarray, north: np.ndarray, late: np.ndarray) -> np.ndarray:
        waves = fit.basis_u.at(east, north)
        return np.hstack([columns, waves, waves[:, : fit.basis_v.wave_e.size] * late[:, None]])

    variances = [fit.basis_u.variances(SD, LENGTH_M), fit.basis_v.variances(SD * place_fit.LATE_SHARE, LENGTH_M)]
    waves = np.sqrt(np.concatenate(variances))
    design = Design(
        rows(answers.columns, answers.easting, answers.northing, answers.late),
        made.category,
        np.concatenate([mean[:terms], np.zeros(waves.size)]),
        np.concatenate([1 / np.sqrt(precision[:terms]), waves]),
        mean[terms:],
        1 / np.sqrt(precision[terms:]),
        rows(features, east, north, late),
        terms,
    )
    effect, own, across = place_fit.place_moments(fit, east, north).at(late)
    form = np.hstack([features, np.zeros((_ASKED, len(CUTS)))])
    form[:, terms + SAFE] = -1.0
    covariance = fit.covariance[: fit.n_terms, : fit.n_terms]
    latent = form @ fit.mean[: fit.n_terms] + effect
    variance = np.einsum("ij,jk,ik->i", form, covariance, form) + own + 2 * np.einsum("ij,ij->i", form, across)
    said = Said(
        np.concatenate([fit.mean[: fit.n_terms], latent]),
        np.concatenate([np.sqrt(np.diag(covariance)), np.sqrt(variance)]),
        ndtr(latent / np.sqrt(1 + variance)),
        ndtr((latent[:, None] - np.array(EDGES)) / np.sqrt(variance)[:, None]),
    )
    return design, said
