"""Answers predicted from the others: the fit is made anew without a part of them, part by part.

Answers are left out in four ways (`folds`), and each of those to the reference instrument is predicted as a
distribution by a fit that has not seen it. Length-scale, size and people's levels are fitted in every fold; what the
fields said at an answer is not (sensors do not know who will be asked). Beside the map stand simpler guesses:

    climatology      the shares of all answers kept
    groups           an ordered probit of who answered, without place, light or hour
    covariates       the same response without effects of places
    area mean        shares of the 500 m square, ten answers of climatology beside
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr

from analytics import covariates, folds
from analytics.covariates import COLUMN, NAMES
from analytics.fitting import (
    INSTRUMENT,
    answers_to_fit,
    closing_places,
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


@dataclass(frozen=True)
class Sample:
    """The answers of a fit with what was laid beside them.

    table : as `fitting.answers_to_fit`; design : (n, p); local : which count for their own place; category : (n,);
    reference : which answer the reference instrument
    """

    table: pd.DataFrame
    design: Floats
    local: npt.NDArray[np.bool_]
    category: Ints
    reference: npt.NDArray[np.bool_]

    def summary(self) -> dict[str, Any]:
        """How many answers of how many people, and the days of the oldest and the newest."""
        times = self.table["time"]
        return {
            "answers": len(self.table),
            "people": int(self.table["pseudonym"].nunique()),
            "oldest": f"{times.min():%Y-%m-%d}",
            "newest": f"{times.max():%Y-%m-%d}",
        }


@dataclass(frozen=True)
class HeldOut:
    """What was said of answers to the reference instrument without having seen them, in one way of leaving out.

    table : the n answers; category : (n,) 1..K; below : P(y <= k) of the map and of each guess, (n, K-1);
    sd : (n,) of the map's P(feels safe); square, person : (n,) which answers are neighbours, which of one person;
    distance_m : median from an answer left out to the nearest kept
    """

    name: str
    distance_m: float
    table: pd.DataFrame
    category: Ints
    below: dict[str, Floats]
    sd: Floats
    square: Ints
    person: Ints


def sample_of(city: City, surroundings: Surroundings, knowledge: Any, before: Night | None = None) -> Sample:
    """The answers that a fit for the night `before` would have, all without it; ModelError where they are too few."""
    table, _ = answers_to_fit(city, before)
    asked = int((table["instrument"] == INSTRUMENT).sum())
    if asked < LEAST_ANSWERS:
        raise ModelError(
            f"{city.name} has {asked} answers to '{INSTRUMENT}'; expected {LEAST_ANSWERS} or more, to leave some out "
            f"and still fit the others"
        )
    raw = fields_at_answers(city, surroundings, knowledge, table)
    places = closing_places(city, surroundings)
    streets = street_means(surroundings, knowledge, reference_night(city, table, before), places)
    scales, features = scales_of(raw, streets, table["count"].to_numpy(np.float64))
    rule = city.settings.release
    return Sample(
        table,
        covariates.design(table, np.clip(features, scales.low, scales.high), city.zone),
        settled(table, city.zone, people=rule.minimum_people, share=rule.maximum_share),
        table["category"].to_numpy(np.int64),
        (table["instrument"] == INSTRUMENT).to_numpy(),
    )


def held_out(
    sample: Sample,
    city: City,
    surroundings: Surroundings,
    *,
    schemes: Sequence[str] = SCHEMES,
    preset: str = "standard",
    progress: Progress | None = None,
) -> Iterator[HeldOut]:
    """Predictions of all answers, each from a fit without it, in one way of leaving out after the other.

    A way that would leave out everything at once is passed over. progress : called with (done, all) fits
    """
    parts = {name: _folds(name, sample, surroundings) for name in schemes}
    parts = {name: fold for name, fold in parts.items() if np.unique(fold).size > 1}
    done, fits = 0, sum(np.unique(fold).size for fold in parts.values())
    east, north = (sample.table[axis].to_numpy(np.float64) for axis in ("easting", "northing"))
    told = sample.reference
    for name, fold in parts.items():
        below = {guess: np.full((len(sample.table), _cuts()), np.nan) for guess in ("map", *GUESSES)}
        sd = np.full(len(sample.table), np.nan)
        for number in np.unique(fold):
            _predict(sample, fold == number, city, surroundings, preset, below, sd)
            done += 1
            if progress is not None:
                progress(done, fits)
        yield HeldOut(
            name=name,
            distance_m=float(np.median(folds.left_out_distances(np.column_stack([east, north]), fold))),
            table=sample.table[told].reset_index(drop=True),
            category=sample.category[told],
            below={guess: part[told] for guess, part in below.items()},
            sd=sd[told],
            square=folds.squares(east, north, BLOCK_M)[told],
            person=pd.factorize(sample.table["pseudonym"])[0][told].astype(np.int64),
        )


def answer_distribution(
    fit: PlaceFit, design: Floats, table: pd.DataFrame, city: City, n_cuts: int
) -> tuple[Floats, Floats]:
    """P(y <= k) of answers to the reference instrument, (n, n_cuts), and the sd of P(feels safe), (n,)."""
    times = table["time"].to_numpy().astype("datetime64[ms]")
    late = covariates.late(times, city.zone)
    said = place_moments(fit, table["easting"].to_numpy(np.float64), table["northing"].to_numpy(np.float64))
    mean, own, across = said.at(late)
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


def _folds(name: str, sample: Sample, surroundings: Surroundings) -> Ints:
    """Fold of each answer in one of SCHEMES."""
    east, north = (sample.table[axis].to_numpy(np.float64) for axis in ("easting", "northing"))
    if name == "random":
        return folds.random_folds(len(sample.table), FOLDS)
    if name == "respondents":
        return folds.respondent_folds(sample.table["pseudonym"].to_numpy(dtype=object), FOLDS)
    if name == "blocks":
        return folds.block_folds(east, north, BLOCK_M, FOLDS)
    walked = surroundings.street & ~surroundings.indoor
    row, column = np.nonzero(walked if walked.any() else ~surroundings.indoor)
    pick = np.linspace(0, row.size - 1, min(row.size, 5000)).astype(np.int64)
    cells = surroundings.grid.easting[column[pick]], surroundings.grid.northing[row[pick]]
    return folds.matched_folds(east, north, *cells, FOLDS)


def _predict(
    sample: Sample,
    out: npt.NDArray[np.bool_],
    city: City,
    surroundings: Surroundings,
    preset: str,
    below: dict[str, Floats],
    sd: Floats,
) -> None:
    """Fill what the map and each guess say of the answers left out, from the others."""
    kept = sample.table[~out].reset_index(drop=True)
    weight = kept["count"].to_numpy(np.float64)
    ladders = ladders_of(kept)
    mean, prior_sd = priors_with_cuts(preset, ladders)
    fit = fit_together(
        kept, sample.design[~out], ladders, weight, sample.local[~out], mean, prior_sd, city, surroundings
    )
    below["map"][out], sd[out] = answer_distribution(fit, sample.design[out], sample.table[out], city, _cuts())
    used = ~out & sample.reference
    category, counts = sample.category[used], sample.table["count"].to_numpy(np.float64)[used]
    k, cuts = _cuts() + 1, slice(len(NAMES), len(NAMES) + _cuts())
    shares = np.bincount(category, counts, k + 1)[1:] / counts.sum()
    below["climatology"][out] = np.cumsum(shares)[:-1]
    for guess, columns in (("groups", _group_columns()), ("covariates", np.arange(len(NAMES)))):
        plain = fit_ordered_probit(
            sample.design[used][:, columns], category, k, np.concatenate([mean[columns], mean[cuts]]),
            np.concatenate([prior_sd[columns], prior_sd[cuts]]), counts,
        )  # fmt: skip
        below[guess][out] = np.cumsum(plain.probabilities(sample.design[out][:, columns]), axis=1)[:, :-1]
    east, north = (sample.table[name].to_numpy(np.float64) for name in ("easting", "northing"))
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


def _group_columns() -> Ints:
    return np.array([COLUMN[name] for name in covariates.GROUP_TERMS], np.int64)


def _cuts() -> int:
    return load_instrument(INSTRUMENT).categories - 1
