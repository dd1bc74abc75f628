"""The map tried on answers that it has not seen: how much better than simpler guesses, and how honest its intervals.

Answers are left out in four ways (`folds`), the fit is made anew without them, and each of those to the reference
instrument is predicted as a distribution. Length-scale, size and people's levels are fitted in every fold; what the
fields said at an answer is not (sensors do not know who will be asked). Guesses to beat:

    climatology      the shares of all answers kept
    groups           an ordered probit of who answered, without place, light or hour
    covariates       the same response without effects of places
    area mean        shares of the 500 m square, ten answers of climatology beside
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr

from analytics import covariates, folds, scores
from analytics.covariates import COLUMN, NAMES
from analytics.fitting import (
    INSTRUMENT,
    answers_to_fit,
    fields_at_answers,
    fit_together,
    ladders_of,
    priors_with_cuts,
    reference_night,
    scales_of,
    street_means,
)
from analytics.ordinal import fit_ordered_probit
from analytics.place_fit import PlaceFit, place_moments
from analytics.release import settled
from analytics.surroundings import Surroundings
from sensors.city import City
from sensors.errors import ModelError
from sensors.instrument import load_instrument
from sensors.night import Night

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]

SCHEMES = ("random", "respondents", "blocks", "as the map's cells")
GUESSES = ("climatology", "groups", "covariates", "area mean")
FOLDS = 5
BLOCK_M = 500.0  # at least one length-scale: what block folds leave out, and what intervals resample
LEAST_ANSWERS = 100
_AREA_M = 500.0
_AREA_PRIOR = 10.0
GOOD_SKILL = 0.08  # against climatology, of a real city (perception.md 4)


@dataclass(frozen=True)
class Scheme:
    """What came of one way of leaving out; scores are means over answers, lower is better."""

    name: str
    answers: int
    distance_m: float  # median from an answer left out to the nearest kept
    score: dict[str, dict[str, float]]  # rps, log, brier of the map and of each guess
    skill: dict[str, scores.Skill]  # RPSS of the map against each guess
    pit: list[float]
    said: list[float]
    found: list[float]
    counted: list[int]
    calibration_error: float
    coverage: float  # of 90 % intervals of shares of blocks


@dataclass(frozen=True)
class Validation:
    """How a city's map does on answers it has not seen."""

    city: str
    night: str
    answers: int
    people: int
    simulated: bool
    schemes: list[Scheme] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and lists, as JSON takes them."""
        from dataclasses import asdict

        return asdict(self)


@dataclass(frozen=True)
class _Data:
    table: pd.DataFrame
    design: Floats
    local: npt.NDArray[np.bool_]
    category: Ints
    reference: npt.NDArray[np.bool_]  # answers to the reference instrument


def validate(
    city: City,
    surroundings: Surroundings,
    knowledge: Any,
    *,
    before: Night | None = None,
    preset: str = "standard",
    progress: Progress | None = None,
) -> Validation:
    """Try the map of a city in four ways; ModelError where there are too few answers to leave any out.

    progress : called with (done, all) fits
    """
    table, _ = answers_to_fit(city, before)
    asked = int((table["instrument"] == INSTRUMENT).sum())
    if asked < LEAST_ANSWERS:
        raise ModelError(
            f"{city.name} has {asked} answers to '{INSTRUMENT}'; expected {LEAST_ANSWERS} or more, to leave some out "
            f"and still fit the others"
        )
    raw = fields_at_answers(city, surroundings, knowledge, table)
    streets = street_means(surroundings, knowledge, reference_night(city, table, before))
    weight = table["count"].to_numpy(np.float64)
    scales, features = scales_of(raw, streets, weight)
    rule = city.settings.release
    data = _Data(
        table,
        covariates.design(table, np.clip(features, scales.low, scales.high), city.zone),
        settled(table, city.zone, people=rule.minimum_people, share=rule.maximum_share),
        table["category"].to_numpy(np.int64),
        (table["instrument"] == INSTRUMENT).to_numpy(),
    )
    parts = {name: fold for name, fold in _left_out(data, surroundings).items() if np.unique(fold).size > 1}
    done, out = 0, []
    fits = sum(np.unique(fold).size for fold in parts.values())
    for name, fold in parts.items():
        below = {guess: np.full((len(table), _cuts()), np.nan) for guess in ("map", *GUESSES)}
        sd = np.full(len(table), np.nan)
        for number in np.unique(fold):
            _predict(data, fold == number, city, surroundings, preset, below, sd)
            done += 1
            if progress is not None:
                progress(done, fits)
        out.append(_scheme(name, data, fold, below, sd))
    people = int(table["pseudonym"].nunique())
    simulated = bool((table["origin"] == "simulated").any())
    night = "" if before is None else before.name
    return Validation(city.name, night, len(table), people, simulated, out)


def answer_distribution(
    fit: PlaceFit, design: Floats, table: pd.DataFrame, city: City, n_cuts: int
) -> tuple[Floats, Floats]:
    """P(y <= k) of answers to the reference instrument, (n, n_cuts), and the sd of P(feels safe), (n,)."""
    times = table["time"].to_numpy().astype("datetime64[ms]")
    late = covariates.late(times, city.zone)
    said = place_moments(fit, table["easting"].to_numpy(np.float64), table["northing"].to_numpy(np.float64))
    mean = said.mean_u + late * said.mean_v
    own = said.variance_u + 2 * late * said.covariance_uv + late**2 * said.variance_v
    across = said.across_u + late[:, None] * said.across_v
    terms = fit.covariance[: fit.n_terms, : fit.n_terms]
    below, p = np.empty((len(table), n_cuts)), design.shape[1]
    sd = np.empty(len(table))
    safe = load_instrument(INSTRUMENT).safe_from - 2
    for k in range(n_cuts):
        form = np.zeros((len(table), fit.n_terms))
        form[:, :p], form[:, p + k] = design, -1
        m = form @ fit.mean[: fit.n_terms] + mean
        v = np.einsum("ij,jk,ik->i", form, terms, form, optimize=True) + own + 2 * np.einsum("ij,ij->i", form, across)
        v = np.maximum(v, 0)
        scale = 1 / np.sqrt(1 + fit.person_sd**2 + v)
        below[:, k] = ndtr(-m * scale)
        if k == safe:
            sd = np.exp(-0.5 * (m * scale) ** 2) / np.sqrt(2 * np.pi) * scale * np.sqrt(v)
    return below, sd


def _left_out(data: _Data, surroundings: Surroundings) -> dict[str, Ints]:
    east, north = (data.table[name].to_numpy(np.float64) for name in ("easting", "northing"))
    walked = surroundings.street & ~surroundings.indoor
    row, column = np.nonzero(walked if walked.any() else ~surroundings.indoor)
    pick = np.linspace(0, row.size - 1, min(row.size, 5000)).astype(np.int64)
    cells = surroundings.grid.easting[column[pick]], surroundings.grid.northing[row[pick]]
    person = data.table["pseudonym"].to_numpy(dtype=object)
    return {
        "random": folds.random_folds(len(data.table), FOLDS),
        "respondents": folds.respondent_folds(person, FOLDS),
        "blocks": folds.block_folds(east, north, BLOCK_M, FOLDS),
        "as the map's cells": folds.matched_folds(east, north, *cells, FOLDS),
    }


def _predict(
    data: _Data,
    out: npt.NDArray[np.bool_],
    city: City,
    surroundings: Surroundings,
    preset: str,
    below: dict[str, Floats],
    sd: Floats,
) -> None:
    """Fill what the map and each guess say of the answers left out, from the others."""
    kept = data.table[~out].reset_index(drop=True)
    weight = kept["count"].to_numpy(np.float64)
    ladders = ladders_of(kept)
    mean, prior_sd = priors_with_cuts(preset, ladders)
    fit = fit_together(kept, data.design[~out], ladders, weight, data.local[~out], mean, prior_sd, city, surroundings)
    below["map"][out], sd[out] = answer_distribution(fit, data.design[out], data.table[out], city, _cuts())
    used = ~out & data.reference
    category, counts = data.category[used], data.table["count"].to_numpy(np.float64)[used]
    k, cuts = _cuts() + 1, slice(len(NAMES), len(NAMES) + _cuts())
    shares = np.bincount(category, counts, k + 1)[1:] / counts.sum()
    below["climatology"][out] = np.cumsum(shares)[:-1]
    for guess, columns in (("groups", _group_columns()), ("covariates", np.arange(len(NAMES)))):
        plain = fit_ordered_probit(
            data.design[used][:, columns], category, k, np.concatenate([mean[columns], mean[cuts]]),
            np.concatenate([prior_sd[columns], prior_sd[cuts]]), counts,
        )  # fmt: skip
        below[guess][out] = np.cumsum(plain.probabilities(data.design[out][:, columns]), axis=1)[:, :-1]
    east, north = (data.table[name].to_numpy(np.float64) for name in ("easting", "northing"))
    square = folds.squares(east, north, _AREA_M)
    below["area mean"][out] = _area_means(square[used], category, counts, shares, square[out])


def _area_means(square: Ints, category: Ints, counts: Floats, shares: Floats, asked: Ints) -> Floats:
    areas, place = np.unique(square, return_inverse=True)
    table = np.zeros((areas.size + 1, shares.size)) + _AREA_PRIOR * shares  # the last row is of an area never seen
    np.add.at(table, (place, category - 1), counts)
    table /= table.sum(axis=1, keepdims=True)
    at = np.searchsorted(areas, asked)
    known = (at < areas.size) & (areas[np.minimum(at, areas.size - 1)] == asked)
    return np.cumsum(table[np.where(known, at, areas.size)], axis=1)[:, :-1]


def _scheme(name: str, data: _Data, fold: Ints, below: dict[str, Floats], sd: Floats) -> Scheme:
    told = data.reference
    category = data.category[told]
    safe_from = load_instrument(INSTRUMENT).safe_from
    said = {guess: part[told] for guess, part in below.items()}
    east, north = (data.table[axis].to_numpy(np.float64) for axis in ("easting", "northing"))
    square = folds.squares(east, north, BLOCK_M)[told]
    person = pd.factorize(data.table["pseudonym"])[0][told].astype(np.int64)
    rps = {guess: scores.ranked_probability(part, category) for guess, part in said.items()}
    together = person if name == "respondents" else square
    reliable = scores.reliability(said["map"], category, safe_from)
    return Scheme(
        name=name,
        answers=int(told.sum()),
        distance_m=float(np.median(folds.left_out_distances(np.column_stack([east, north]), fold))),
        score={
            guess: {
                "rps": float(rps[guess].mean()),
                "log": float(scores.logarithmic(part, category).mean()),
                "brier": float(scores.brier(part, category, safe_from).mean()),
            }
            for guess, part in said.items()
        },
        skill={guess: scores.skill(rps["map"], rps[guess], together) for guess in GUESSES},
        pit=[float(share) for share in scores.pit(said["map"], category)],
        said=[float(value) for value in reliable.said],
        found=[float(value) for value in reliable.found],
        counted=[int(value) for value in reliable.answers],
        calibration_error=scores.calibration_error(said["map"], category, safe_from),
        coverage=scores.block_coverage(1 - said["map"][:, safe_from - 2], sd[told], category, safe_from, square),
    )


def _group_columns() -> Ints:
    return np.array([COLUMN[name] for name in covariates.GROUP_TERMS], np.int64)


def _cuts() -> int:
    return load_instrument(INSTRUMENT).categories - 1
