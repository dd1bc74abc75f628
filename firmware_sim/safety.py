"""How safe the pretend city's people feel: INVENTED, so that the service's map can be scored against something known.

None of these numbers describes real people. Their signs and sizes stay within the priors of perception.md 3, which come
from published studies; nothing that this file produces may be quoted as a finding.

    eta = b1 L + bF F + bc crowd + bn (LAeq - 60) / 10 + late + weekend + closing + group + u(place) + a(person)
    L = ln(1 + min(E, 50) / 2) / ln 16       F = ln(1 + f / 2) / ln 16       crowd = max(0, ln(f / 30))

with E in lx on the ground, f in passers a minute. An answer is the category in which eta + e falls, e ~ N(0, 1),
between the cuts; 1 very unsafe, 2 a bit unsafe, 3 fairly safe, 4 very safe.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from firmware_sim.streams import stream
from firmware_sim.town import Floats, Town

COEFFICIENTS: dict[str, float] = {
    "light": 0.9,
    "footfall": 0.45,
    "crowd": -0.2,
    "noise": -0.08,
    "late": -0.30,
    "weekend": -0.05,
    "closing": -0.15,
    "woman": -0.75,
    "another": -0.35,
    "woman x light": 0.15,
    "alone": -0.25,
    "16-24": -0.10,
    "65+": -0.20,
    "disability": -0.25,
    "visitor": -0.05,
    "spontaneous": -0.30,
}
CUTS = (-1.70, -0.75, 0.70)
PERSON_SD, PLACE_SD, PLACE_RANGE_M = 0.6, 0.3, 250.0
# Who is out and about in the population that the truth file's P(feels safe) speaks of.
WOMEN_SHARE, ALONE_SHARE = 0.5, 0.5
_WAVES = 200
Bools = npt.NDArray[np.bool_]


def conditions(
    light_lx: Floats, flow_per_h: Floats, level_db: Floats, hours: Floats, weekend: Floats | Bools
) -> Floats:
    """The part of eta that place and moment give to everyone; arrays broadcast.

    Parameters
    ----------
    light_lx, flow_per_h, level_db : array
        True illuminance (lx), people who pass (persons/h), LAeq (dB).
    hours : array
        Local hours after midnight of the evening's day.
    weekend : array
        1 (or true) for a Friday's or a Saturday's night.
    """
    passers = flow_per_h / 60.0
    late = np.clip((hours - 22.0) / 3.0, 0.0, 1.0)
    closing = np.exp(-np.abs(hours - 28.0) * 2.0)  # within half an hour of 04:00, when most places close
    return np.asarray(
        COEFFICIENTS["light"] * light_term(light_lx)
        + COEFFICIENTS["footfall"] * np.log1p(passers / 2.0) / np.log(16.0)
        + COEFFICIENTS["crowd"] * np.maximum(0.0, np.log(np.maximum(passers, 1e-9) / 30.0))
        + COEFFICIENTS["noise"] * (level_db - 60.0) / 10.0
        + COEFFICIENTS["late"] * late
        + COEFFICIENTS["weekend"] * weekend
        + COEFFICIENTS["closing"] * closing * weekend,
        np.float64,
    )


def light_term(light_lx: Floats) -> Floats:
    """L of the module's formula: 0 in the dark, 1 at 30 lx, flat after 50."""
    return np.asarray(np.log1p(np.minimum(light_lx, 50.0) / 2.0) / np.log(16.0), np.float64)


def place_effect(town: Town, points: Floats) -> Floats:
    """u: what else a place has, a smooth field with sd 0.3 over some 250 m, (n,) from (n, 2) metres.

    A sum of random cosine waves (Rahimi and Recht 2007) whose covariance is Gaussian with that length.
    """
    generator = stream(town.seed, "place effect")
    waves = generator.normal(0.0, 1.0 / PLACE_RANGE_M, (_WAVES, 2))
    phases = generator.uniform(0.0, 2.0 * np.pi, _WAVES)
    grid = town.city.settings.grid
    offset = points - np.array([grid.west, grid.south])
    return np.asarray(PLACE_SD * np.sqrt(2.0 / _WAVES) * np.cos(offset @ waves.T + phases).sum(axis=1), np.float64)


def category(eta: Floats, noise: Floats) -> npt.NDArray[np.int64]:
    """The answers, 1 to 4."""
    return np.asarray(1 + np.searchsorted(np.asarray(CUTS), eta + noise), np.int64)


def share_safe(eta: Floats, light_lx: Floats) -> Floats:
    """P(fairly or very safe) of the mixed population: half women, half alone, persons integrated out."""
    total = np.zeros(np.broadcast_shapes(eta.shape, light_lx.shape))
    for woman, women in ((1.0, WOMEN_SHARE), (0.0, 1.0 - WOMEN_SHARE)):
        for alone, lonely in ((1.0, ALONE_SHARE), (0.0, 1.0 - ALONE_SHARE)):
            group = woman * (COEFFICIENTS["woman"] + COEFFICIENTS["woman x light"] * light_term(light_lx))
            latent = eta + group + alone * COEFFICIENTS["alone"] - CUTS[1]
            total += women * lonely * ndtr(latent / np.sqrt(1.0 + PERSON_SD**2))
    return total
