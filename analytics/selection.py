"""Where people chose to answer or to report, against what the fit left of those places (perception.md 3, Selection).

If answers come mostly from places that feel better or worse than light, people and sound say, a map that takes the
places for chosen by chance leans that way. So answers per street section of each 100 m cell are ranked against the
place's own effect u(s), by source: what people were asked, what they answered by themselves, and reports of apps.
Neighbouring cells are alike, so that a plain permutation would find something in nothing: the effect is laid over the
city again at every shift of whole cells, around the edges, and the share of shifts with a rank correlation as large is
the p-value. It moves nothing; it says how far to trust where nobody was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analytics.phrases import Phrases
from analytics.place_effect import CELL_M as EFFECT_M
from analytics.place_effect import PlaceEffect
from analytics.release import enough
from sensors.city import City
from sensors.coarsening import section_middles
from sensors.errors import ModelError

Floats = npt.NDArray[np.float64]

CELL_M = 100.0
SOURCES = ("asked", "spontaneous", "reports")
FEWEST_CELLS = 20  # with fewer cells and shifts a p-value says nothing
CLEAR = 0.05


@dataclass(frozen=True)
class Association:
    """Rank correlation of answers per street section with the place's own effect, and how often chance does that.

    correlation : positive where more is said of places that feel safer than expected; NaN where too little is known
    """

    source: str
    answers: int
    cells: int
    correlation: float
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        known = np.isfinite(self.correlation)
        return {
            "source": self.source,
            "answers": self.answers,
            "cells": self.cells,
            "rank_correlation": round(self.correlation, 3) if known else None,
            "p_value": round(self.p_value, 3) if known else None,
        }

    def text(self, say: Phrases) -> str:
        """A sentence."""
        source = say(f"selection.{self.source}")
        if not np.isfinite(self.correlation):
            return say("selection.little", source=source)
        lean = "none" if self.p_value > CLEAR else "better" if self.correlation > 0 else "worse"
        return say(
            f"selection.{lean}", source=source, answers=say.number(self.answers), cells=self.cells,
            rank=say.number(self.correlation, 2, sign=True), p=say.number(self.p_value, 2),
        )  # fmt: skip


def selection(city: City) -> list[Association]:
    """Each source of a city against the places' own effect of its current model."""
    from analytics.model import load_model
    from ingest.archive import answers

    own = load_model(city).perception.own
    table = pd.DataFrame(answers(city).drop(columns="geometry"))
    rule = city.settings.release
    effect, sections, corner = on_cells(own, section_middles(city))
    found = []
    for source in SOURCES:
        here = _of_source(table, source)
        # Reporters have no pseudonym and are one person a 400 m cell: many cells of them are no few people.
        few = source != "reports" and not enough(here, rule.minimum_people, rule.maximum_share)
        counts = _counts(here, effect.shape, corner)
        nothing = few or len(here) < rule.minimum_people
        found.append(_told(source, len(here), counts, effect, sections, nothing=nothing))
    return found


def association(counts: Floats, effect: Floats, sections: Floats) -> tuple[float, float, int]:
    """Rank correlation, p-value over all shifts, and cells that count; arrays are (rows, columns).

    counts : answers; effect : of the place; sections : street sections, cells without any do not count
    """
    inside = sections > 0
    if inside.sum() < FEWEST_CELLS or not np.ptp(counts[inside]) or not np.ptp(effect[inside]):
        return float("nan"), float("nan"), int(inside.sum())
    rate = _ranks(counts[inside] / sections[inside])
    shifts = [(north, east) for north in range(effect.shape[0]) for east in range(effect.shape[1])]
    said = np.array([_correlation(rate, np.roll(effect, shift, (0, 1))[inside]) for shift in shifts])
    p_value = float(np.mean(np.abs(said) >= abs(said[0]) - 1e-12))
    return float(said[0]), p_value, int(inside.sum())


def on_cells(own: PlaceEffect, middles: Floats) -> tuple[Floats, Floats, tuple[float, float]]:
    """The place's effect and the number of street sections on cells of 100 m, and the corner of the first."""
    side = round(CELL_M / EFFECT_M)
    rows, columns = (size // side for size in own.mean_u.shape)
    if not rows or not columns:
        raise ModelError(
            f"the model knows less than {CELL_M:g} m of places; nothing can be said of where people answer"
        )
    cut = own.mean_u[: rows * side, : columns * side].astype(np.float64)
    effect = cut.reshape(rows, side, columns, side).mean(axis=(1, 3))
    corner = (own.west, own.south)
    return effect, _on_grid(middles[:, 0], middles[:, 1], effect.shape, corner), corner


def _told(source: str, answers: int, counts: Floats, effect: Floats, sections: Floats, *, nothing: bool) -> Association:
    if nothing:
        return Association(source, 0, int((sections > 0).sum()), float("nan"), float("nan"))
    correlation, p_value, cells = association(counts, effect, sections)
    return Association(source, answers, cells, correlation, p_value)


def _of_source(table: pd.DataFrame, source: str) -> pd.DataFrame:
    from analytics.fitting import pooled_instruments

    if source == "reports":
        return table[table["instrument"] == "report-2"]
    pooled = table[table["instrument"].isin(pooled_instruments())]
    by_themselves = pooled["trigger"] == "spontaneous"
    return pooled[by_themselves if source == "spontaneous" else ~by_themselves]


def _counts(table: pd.DataFrame, shape: tuple[int, ...], corner: tuple[float, float]) -> Floats:
    return _on_grid(table["easting"].to_numpy(np.float64), table["northing"].to_numpy(np.float64), shape, corner)


def _on_grid(easting: Floats, northing: Floats, shape: tuple[int, ...], corner: tuple[float, float]) -> Floats:
    column = np.floor((easting - corner[0]) / CELL_M).astype(np.int64)
    row = np.floor((northing - corner[1]) / CELL_M).astype(np.int64)
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    counts = np.bincount(row[inside] * shape[1] + column[inside], minlength=shape[0] * shape[1])
    return counts.reshape(shape).astype(np.float64)


def _ranks(values: Floats) -> Floats:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values), np.float64)


def _correlation(ranks: Floats, values: Floats) -> float:
    other = _ranks(values)
    if not np.ptp(other):
        return 0.0
    return float(np.corrcoef(ranks, other)[0, 1])
