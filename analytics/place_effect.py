"""What is left of places when light, people, noise, hour and group are accounted for, on the 50 m cells that leave.

u(s) at all hours and v(s) late at night come from one fit with the coefficients (`place_fit`); here they stand as mean,
variance and covariance with the coefficients of every 50 m cell, so that a map needs neither waves nor answers. Where
nobody was asked the mean is 0 and the variance is what places of this city are found to differ by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.grid import Grid
from analytics.place_fit import PlaceFit, Region, place_moments, prior_variances
from analytics.place_update import Moved
from sensors.errors import ModelError

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

CELL_M = 50.0  # the released cell
BEYOND_M = 400.0  # farther than this from all answers nothing is known of a place that its prior does not say


@dataclass(frozen=True)
class PlaceNow:
    """The effect of each 50 m cell at a moment, (c,) f8 each, and its covariance with coefficients and cuts."""

    mean: Floats
    variance: Floats
    across: Floats  # (c, terms)
    prior_variance: float


@dataclass(frozen=True)
class PlaceEffect:
    """u and v on 50 m cells: (rows, columns) f4, and (rows, columns, terms) f4 with coefficients and cuts.

    west, south : the corner, metres; prior_variance_u, prior_variance_v : before anyone was asked anywhere
    person_variance : of people's own levels, which every answer carries beside
    """

    west: float
    south: float
    mean_u: Singles
    mean_v: Singles
    variance_u: Singles
    variance_v: Singles
    covariance_uv: Singles
    across_u: Singles
    across_v: Singles
    prior_variance_u: float
    prior_variance_v: float
    person_variance: float

    def at(self, late: float) -> PlaceNow:
        """The effect at a moment; `late` is 0 before 22:00 and 1 from 01:00 on."""
        variance = self.variance_u + 2 * late * self.covariance_uv + late**2 * self.variance_v
        terms = self.across_u.shape[-1]
        return PlaceNow(
            mean=(self.mean_u + late * self.mean_v).astype(np.float64).ravel(),
            variance=np.maximum(variance, 0).astype(np.float64).ravel(),
            across=(self.across_u + late * self.across_v).astype(np.float64).reshape(-1, terms),
            prior_variance=self.prior_variance_u + late**2 * self.prior_variance_v,
        )

    def cells(self, northing: Floats, easting: Floats) -> npt.NDArray[np.int32]:
        """Which 50 m cell each cell of a grid lies in, (n_northing * n_easting,), as `at` orders them."""
        row = np.floor((northing - self.south) / CELL_M).astype(np.int32)
        column = np.floor((easting - self.west) / CELL_M).astype(np.int32)
        rows, columns = self.mean_u.shape
        if row.min() < 0 or column.min() < 0 or row.max() >= rows or column.max() >= columns:
            raise ModelError("the model was fitted for another grid; run 'noctule fit' again")
        return np.asarray(row[:, None] * columns + column[None, :], np.int32).ravel()

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and arrays."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> PlaceEffect:
        """What `to_dict` gave."""
        return cls(**content)


def region_of(grid: Grid, easting: Floats, northing: Floats) -> Region:
    """The part of the grid that is within reach of answers at some places, (n,) metres; all of it without any."""
    west, south, east, north = _edges(grid)
    if not easting.size:
        return Region(west, east, south, north)
    return Region(
        max(west, float(easting.min()) - BEYOND_M),
        min(east, float(easting.max()) + BEYOND_M),
        max(south, float(northing.min()) - BEYOND_M),
        min(north, float(northing.max()) + BEYOND_M),
    )


def place_effect(grid: Grid, fit: PlaceFit) -> PlaceEffect:
    """A fit's word on every 50 m cell of a grid; beyond the fit's region the prior's."""
    west, south, columns, rows = _cells(grid)
    east_of, north_of = west + (np.arange(columns) + 0.5) * CELL_M, south + (np.arange(rows) + 0.5) * CELL_M
    easting, northing = np.tile(east_of, rows), np.repeat(north_of, columns)
    known = np.flatnonzero(fit.region.holds(easting, northing, CELL_M / 2))
    said = place_moments(fit, easting[known], northing[known])
    before_u, before_v = prior_variances()

    def laid(values: Floats, otherwise: float) -> Singles:
        out = np.full((rows * columns, *values.shape[1:]), otherwise, np.float32)
        out[known] = values
        return out.reshape(rows, columns, *values.shape[1:])

    return PlaceEffect(
        west=west,
        south=south,
        mean_u=laid(said.mean_u, 0.0),
        mean_v=laid(said.mean_v, 0.0),
        variance_u=laid(said.variance_u, fit.unasked_u),
        variance_v=laid(said.variance_v, fit.unasked_v),
        covariance_uv=laid(said.covariance_uv, 0.0),
        across_u=laid(said.across_u, 0.0),
        across_v=laid(said.across_v, 0.0),
        prior_variance_u=before_u,
        prior_variance_v=before_v,
        person_variance=fit.person_sd**2,
    )


def moved_effect(effect: PlaceEffect, grid: Grid, before: PlaceFit, moved: Moved) -> PlaceEffect:
    """The effect after more answers, from what they moved of the fit it was laid out from: (cells, 2 n) products."""
    fit, factor = moved.fit, moved.factor
    columns = effect.mean_u.shape[1]
    number = np.arange(effect.mean_u.size)
    easting = effect.west + (number % columns + 0.5) * CELL_M
    northing = effect.south + (number // columns + 0.5) * CELL_M
    known = np.flatnonzero(fit.region.holds(easting, northing, CELL_M / 2))
    terms, u = fit.n_terms, fit.basis_u.wave_e.size
    change = fit.mean - before.mean
    waves = fit.basis_u.at(easting[known], northing[known])
    late = waves[:, : fit.basis_v.wave_e.size]
    of_u, of_v = waves @ factor[terms : terms + u], late @ factor[terms + u :]
    parts = {
        "mean_u": waves @ change[terms : terms + u],
        "mean_v": late @ change[terms + u :],
        "variance_u": -(of_u**2).sum(axis=1),
        "variance_v": -(of_v**2).sum(axis=1),
        "covariance_uv": -(of_u * of_v).sum(axis=1),
        "across_u": -of_u @ factor[:terms].T,
        "across_v": -of_v @ factor[:terms].T,
    }
    out = {}
    for name, added in parts.items():
        values = getattr(effect, name).reshape(number.size, -1).copy()
        values[known] += added.reshape(known.size, -1).astype(np.float32)
        out[name] = values.reshape(getattr(effect, name).shape)
    return replace(effect, **out)


def nowhere(grid: Grid, terms: int) -> PlaceEffect:
    """The effect when nobody was asked: nothing but the prior."""
    variance_u, variance_v = prior_variances()
    west, south, columns, rows = _cells(grid)
    none, across = np.zeros((rows, columns), np.float32), np.zeros((rows, columns, terms), np.float32)
    return PlaceEffect(
        west, south, none, none, none + np.float32(variance_u), none + np.float32(variance_v), none, across, across,
        variance_u, variance_v, 0.0,
    )  # fmt: skip


def _edges(grid: Grid) -> tuple[float, float, float, float]:
    return (
        grid.west, grid.south,
        grid.west + grid.shape[1] * grid.cell_m, grid.south + grid.shape[0] * grid.cell_m,
    )  # fmt: skip


def _cells(grid: Grid) -> tuple[float, float, int, int]:
    """Corner of the 50 m cells that cover a grid, and how many there are east and north."""
    left, bottom, right, top = _edges(grid)
    west, south = float(np.floor(left / CELL_M) * CELL_M), float(np.floor(bottom / CELL_M) * CELL_M)
    return west, south, int(np.ceil((right - west) / CELL_M)), int(np.ceil((top - south) / CELL_M))
