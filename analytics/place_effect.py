"""What is left of a place when light, people, noise, hour and group are accounted for: u(s), its mean and variance.

The answers' mode becomes Gaussian pseudo-answers about what the covariates leave over (z = g/W with variance 1/W, where
g and W are the first and minus the second derivative of the log-likelihood in the latent mean), merged by precision in
squares and smoothed with a Matern-5/2 covariance (fusion.md 8). Where nobody was asked the mean is 0 and the variance
is the prior's, so the interval is as wide as a place can differ.

This is the plain form: sd and length-scale are fixed and the coefficients do not move with it. A field fitted together
with them (perception.md 3) takes its place behind the same four arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg

from analytics.grid import Grid
from sensors.errors import ModelError

Floats = npt.NDArray[np.float64]

SD = 0.35  # probit units; what perception.md 4 takes for a realistic city
LENGTH_M = 200.0  # the shorter of the length-scales of perception.md 3
CELL_M = 50.0  # the released cell
MOST_SQUARES = 2500  # a dense solve of these takes about a second
_CHUNK = 4096


@dataclass(frozen=True)
class PlaceEffect:
    """Mean and variance of u on 50 m cells, (n_northing, n_easting) f4; `west`, `south` is the corner, metres."""

    west: float
    south: float
    mean: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32]
    prior_variance: float

    def on(self, northing: Floats, easting: Floats) -> npt.NDArray[np.float32]:
        """Mean and variance at the cells of a grid, (n_northing * n_easting, 2) f4."""
        row = np.floor((northing - self.south) / CELL_M).astype(np.intp)
        column = np.floor((easting - self.west) / CELL_M).astype(np.intp)
        if row.min() < 0 or column.min() < 0 or row.max() >= len(self.mean) or column.max() >= self.mean.shape[1]:
            raise ModelError("the model was fitted for another grid; run 'noctule fit' again")
        where = np.ix_(row, column)
        return np.stack([self.mean[where], self.variance[where]], axis=-1).reshape(-1, 2)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and arrays."""
        return {
            "west": self.west,
            "south": self.south,
            "mean": self.mean,
            "variance": self.variance,
            "prior_variance": self.prior_variance,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> PlaceEffect:
        """What `to_dict` gave."""
        return cls(**content)


def place_effect(grid: Grid, easting: Floats, northing: Floats, slope: Floats, curvature: Floats) -> PlaceEffect:
    """Smooth what the covariates leave over at the answers' places.

    easting, northing : (n,) arrays, metres; slope, curvature : (n,) g and W of each answer, weighted
    """
    west, south = np.floor(grid.west / CELL_M) * CELL_M, np.floor(grid.south / CELL_M) * CELL_M
    columns = int(np.ceil((grid.west + grid.shape[1] * grid.cell_m - west) / CELL_M))
    rows = int(np.ceil((grid.south + grid.shape[0] * grid.cell_m - south) / CELL_M))
    centre_e, centre_n = west + (np.arange(columns) + 0.5) * CELL_M, south + (np.arange(rows) + 0.5) * CELL_M
    cells = np.column_stack([np.tile(centre_e, rows), np.repeat(centre_n, columns)])
    mean, variance = np.zeros(len(cells)), np.full(len(cells), SD**2)
    points, value, noise = _merged(easting, northing, slope, curvature)
    if len(points):
        covariance = _matern(points, points)
        factor = scipy.linalg.cho_factor(covariance + np.diag(noise), lower=True)
        pull = scipy.linalg.cho_solve(factor, value)
        for first in range(0, len(cells), _CHUNK):
            part = slice(first, first + _CHUNK)
            across = _matern(cells[part], points)
            mean[part] = across @ pull
            half = scipy.linalg.solve_triangular(factor[0], across.T, lower=True)
            variance[part] = SD**2 - np.einsum("ij,ij->j", half, half)
    return PlaceEffect(
        float(west),
        float(south),
        mean.reshape(rows, columns).astype(np.float32),
        np.maximum(variance, 0).reshape(rows, columns).astype(np.float32),
        SD**2,
    )


def _merged(easting: Floats, northing: Floats, slope: Floats, curvature: Floats) -> tuple[Floats, Floats, Floats]:
    """Pseudo-answers merged by precision in squares: places (m, 2), values and noise variances (m,)."""
    told = curvature > 1e-9
    if not told.any():
        return np.empty((0, 2)), np.empty(0), np.empty(0)
    easting, northing, slope, curvature = easting[told], northing[told], slope[told], curvature[told]
    side = CELL_M
    while True:
        squares = np.floor(np.column_stack([northing, easting]) / side).astype(np.int64)
        _, index = np.unique(squares, axis=0, return_inverse=True)
        number = int(index.max()) + 1
        if number <= MOST_SQUARES:
            break
        side *= 2
    weight = np.bincount(index, curvature, number)
    points = np.column_stack(
        [np.bincount(index, curvature * easting, number), np.bincount(index, curvature * northing, number)]
    )
    return points / weight[:, None], np.bincount(index, slope, number) / weight, 1 / weight


def _matern(a: Floats, b: Floats) -> Floats:
    distance = np.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=-1)) * (np.sqrt(5.0) / LENGTH_M)
    covariance: Floats = SD**2 * (1 + distance + distance**2 / 3) * np.exp(-distance)
    return covariance
