"""What stands still about a place besides its light: the colour of the lamps around, and how open the view is.

colour : (correlated colour temperature - 3,000 K) / 1,000 K, mean over the lamps within 60 m by flux over squared
    distance, as their light reaches the ground; 0 where no lamp around tells its own
view : mean over eight directions of the free distance to the next wall, at most 50 m, over 50 m, less 1/2: from -1/2,
    shut in, to 1/2, in the open. Buildings only: hedges and vehicles are not known. Prospect and entrapment carry what
    light has to do with feeling safe (van Rijswijk and Haans 2018, doi 10.1177/0013916517718888).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sensors.city import City

if TYPE_CHECKING:
    from analytics.surroundings import Surroundings

Plane = npt.NDArray[np.float32]

USUAL_K = 3000.0
POSSIBLE_K = (1500.0, 10_000.0)
LIT_WITHIN_M = 60.0
VIEW_M = 50.0
USUAL_HEIGHT_M = 6.0
_LAMPS = 6  # the nearest; farther ones add little
_DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))


def lie_of(city: City, surroundings: Surroundings) -> tuple[Plane, Plane]:
    """Colour and view of every cell, (northing, easting) f4 each."""
    grid = surroundings.grid
    lamps = city.places("lamps")
    kelvin = lamps["cct_k"].to_numpy(np.float64)
    told = np.isfinite(kelvin) & (kelvin >= POSSIBLE_K[0]) & (kelvin <= POSSIBLE_K[1])
    lamps = lamps[told]
    points = np.column_stack([lamps.geometry.x.to_numpy(), lamps.geometry.y.to_numpy()])
    height = np.nan_to_num(lamps["height_m"].to_numpy(np.float64), nan=USUAL_HEIGHT_M)
    flux = np.nan_to_num(lamps["lumens"].to_numpy(np.float64), nan=1.0)
    cells = np.stack(np.meshgrid(grid.easting, grid.northing), axis=-1).reshape(-1, 2)
    colour = colour_at(cells, points, kelvin[told], flux, height).reshape(grid.shape)
    return colour, open_view(surroundings.indoor, grid.cell_m)


def colour_at(
    cells: npt.NDArray[np.float64],
    lamps: npt.NDArray[np.float64],
    kelvin: npt.NDArray[np.float64],
    flux_lm: npt.NDArray[np.float64],
    height_m: npt.NDArray[np.float64],
) -> Plane:
    """Thousands of kelvin above the usual at places (n, 2), from lamps (l, 2); 0 where none is near."""
    if not len(lamps):
        return np.zeros(len(cells), np.float32)
    from scipy.spatial import cKDTree

    distance, index = cKDTree(lamps).query(cells, k=min(_LAMPS, len(lamps)), distance_upper_bound=LIT_WITHIN_M)
    distance, index = distance.reshape(len(cells), -1), index.reshape(len(cells), -1)
    near = index < len(lamps)
    index = np.where(near, index, 0)
    weight = np.where(near, flux_lm[index] / (np.where(near, distance, 0.0) ** 2 + height_m[index] ** 2), 0.0)
    total = weight.sum(axis=1)
    mean = (weight * (kelvin[index] - USUAL_K)).sum(axis=1) / np.where(total > 0, total, 1.0)
    return np.asarray(np.where(total > 0, mean / 1000, 0.0), np.float32)


def open_view(indoor: npt.NDArray[np.bool_], cell_m: float) -> Plane:
    """How open the view is from each cell of a grid, -1/2 to 1/2; past its edge the view is as far as it goes."""
    free = np.zeros(indoor.shape)
    rows, columns = indoor.shape
    for north, east in _DIRECTIONS:
        step = cell_m * np.hypot(north, east)
        most = int(VIEW_M // step)
        seen, clear = np.zeros(indoor.shape), ~indoor
        for k in range(1, most + 1):
            wall = np.zeros(indoor.shape, bool)
            here = (
                slice(max(0, -k * north), rows - max(0, k * north)),
                slice(max(0, -k * east), columns - max(0, k * east)),
            )
            there = (
                slice(max(0, k * north), rows - max(0, -k * north)),
                slice(max(0, k * east), columns - max(0, -k * east)),
            )
            if here[0].start < here[0].stop and here[1].start < here[1].stop:
                wall[here] = indoor[there]
            clear &= ~wall
            seen += clear
        free += seen / max(most, 1)
    return np.asarray(free / len(_DIRECTIONS) - 0.5, np.float32)
