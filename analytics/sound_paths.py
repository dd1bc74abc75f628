"""How sound gets from roads, rails, venues and voices to each cell, past buildings and along streets; worked out once.

On the raster of what is built: coarse, and stated as such. What it does not know (heights, reflections into yards,
wind) is in the error, which is never below 5 dB between meters. `kernels/canyon.py` has the formula.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analytics.grid import Grid
from analytics.kernels import canyon as kernels
from analytics.kernels.jit import over_rows

_SCREEN_DB, _SCREEN_DB_A_M, _MOST_DB = 10.0, 0.25, 20.0  # sensing.md B5: walls screen 10 to 20 dB within metres
_WIDEST_M = 40.0  # a street wider than this is none
_OUT_M = 50.0  # how far a source in a building is moved into the open
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Blocks:
    """built : (northing, easting) u1; narrow : f4, 1 / metres between the buildings on both sides, 0 in the open."""

    built: NDArray[np.uint8]
    narrow: NDArray[np.float32]


def _none() -> NDArray[np.float32]:
    return np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class SoundPaths:
    """What is worked out once.

    rail : (northing, easting) f4, energy of one whole day's trains and trams within one hour, empty without any
    voices : (northing, easting) f4, what buildings and streets make of freely spread voices, empty where nothing
    venue_cell : (n, 2) i8; venue_patch : (n, 2 k + 1, 2 k + 1) f4, what a venue's power of one sends around it
    """

    rail: NDArray[np.float32] = field(default_factory=_none)
    voices: NDArray[np.float32] = field(default_factory=_none)
    venue_cell: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    venue_patch: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 1, 1), np.float32))


def blocks_of(grid: Grid, indoor: NDArray[np.bool_]) -> Blocks:
    """What stands in the way of sound, and how narrow each street is, across, along and on both diagonals."""
    cells = int(_WIDEST_M / grid.cell_m)
    narrow = np.zeros(indoor.shape, np.float32)
    for step in ((0, 1), (1, 0), (1, 1), (1, -1)):
        ahead, behind = _first_built(indoor, step, cells), _first_built(indoor, (-step[0], -step[1]), cells)
        width = np.maximum(ahead + behind - 1, 1) * np.float32(grid.cell_m * np.hypot(*step))
        narrow = np.maximum(narrow, np.where((ahead > 0) & (behind > 0) & (width <= _WIDEST_M), 1 / width, 0))
    narrow[indoor] = 0
    return Blocks(indoor.astype(np.uint8), narrow.astype(np.float32))


def cast(
    grid: Grid, blocks: Blocks, easting: Floats, northing: Floats, power: Floats, reach_m: float, near_m: float
) -> NDArray[np.float32]:
    """Energy (northing, easting) of point sources of a power 10^(L_W/10), past buildings."""
    energy = np.zeros(grid.shape, np.float32)
    at = _cells(grid, easting, northing)
    order = np.lexsort((power, easting, northing))
    offset, parent, reach = _rays(reach_m, grid.cell_m)
    over_rows(
        kernels.cast, grid.shape[0], grid.cell_m, float(grid.easting[0]), float(grid.northing[0]), near_m**2,
        easting[order], northing[order], power[order], at[order], blocks.built, blocks.narrow, offset, parent, reach,
        _screen(grid.cell_m), energy,
    )  # fmt: skip
    return energy


def venue_patches(
    grid: Grid, blocks: Blocks, street: NDArray[np.bool_], easting: Floats, northing: Floats, reach_m: float,
    near_m: float,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:  # fmt: skip
    """Cells of venues and what a power of one sends from each to the cells around; one in a building stands outside."""
    easting, northing = _outside(grid, blocks, street, easting, northing)
    at = _cells(grid, easting, northing)
    offset, parent, reach = _rays(reach_m, grid.cell_m)
    patch = np.zeros((len(at), 2 * reach + 1, 2 * reach + 1), np.float32)
    over_rows(
        kernels.cast_patches, len(at), grid.cell_m, float(grid.easting[0]), float(grid.northing[0]), near_m**2,
        easting, northing, at, blocks.built, blocks.narrow, offset, parent, _screen(grid.cell_m), patch,
    )  # fmt: skip
    return at, patch


def add_venues(paths: SoundPaths, power: Floats, energy: NDArray[np.float32]) -> None:
    """Add to `energy` what venues send, power as 10^(L_W/10)."""
    over_rows(
        kernels.add_patches, energy.shape[0], paths.venue_cell, power.astype(np.float32), paths.venue_patch, energy
    )


def voice_factor(
    grid: Grid, blocks: Blocks, street: NDArray[np.bool_], stencil: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What buildings and streets make of voices at each cell, were people everywhere on the streets around.

    stencil : (2 k + 1, 2 k + 1) f4, free spreading
    """
    half = stencil.shape[0] // 2
    offset, parent, _ = _rays(half * grid.cell_m, grid.cell_m)
    weight = stencil[half + offset[:, 0], half + offset[:, 1]]
    out = np.empty(grid.shape, np.float32)
    over_rows(
        kernels.mean_factor, grid.shape[0], grid.cell_m, weight, street.astype(np.uint8), blocks.built, blocks.narrow,
        offset, parent, _screen(grid.cell_m), out,
    )  # fmt: skip
    return out


def _first_built(indoor: NDArray[np.bool_], step: tuple[int, int], cells: int) -> NDArray[np.int64]:
    """How many steps away the first built cell lies, 0 where none is within `cells`."""
    rows, columns = indoor.shape
    found = np.zeros(indoor.shape, np.int64)
    padded = np.pad(indoor, cells)
    for k in range(cells, 0, -1):
        r, c = cells + k * step[0], cells + k * step[1]
        found[padded[r : r + rows, c : c + columns]] = k
    return found


def _rays(reach_m: float, cell_m: float) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Offsets within reach in rings outwards, the place of each one's predecessor on its ray, the reach in cells."""
    k = int(reach_m / cell_m)
    row, column = (axis.ravel() for axis in np.mgrid[-k : k + 1, -k : k + 1])
    near = row**2 + column**2 <= k * k
    row, column = row[near], column[near]
    ring = np.maximum(np.abs(row), np.abs(column))
    order = np.lexsort((column, row, ring))
    row, column, ring = row[order], column[order], ring[order]
    place = np.full((2 * k + 1, 2 * k + 1), -1, np.int64)
    place[row + k, column + k] = np.arange(row.size)
    back = (ring - 1) / np.maximum(ring, 1)
    parent = place[np.round(row * back).astype(np.int64) + k, np.round(column * back).astype(np.int64) + k]
    parent[0] = 0
    return np.column_stack([row, column]).astype(np.int64), parent, k


def _screen(cell_m: float) -> NDArray[np.float32]:
    """10^(-A/10) by the number of built cells between."""
    cells = np.arange(int((_MOST_DB - _SCREEN_DB) / _SCREEN_DB_A_M / cell_m) + 3)
    decibel = np.minimum(_SCREEN_DB + _SCREEN_DB_A_M * cell_m * np.maximum(cells - 1, 0), _MOST_DB)
    return np.where(cells > 0, 10.0 ** (-decibel / 10.0), 1.0).astype(np.float32)


def _cells(grid: Grid, easting: Floats, northing: Floats) -> NDArray[np.int64]:
    row = np.floor((northing - grid.south) / grid.cell_m)
    column = np.floor((easting - grid.west) / grid.cell_m)
    return np.column_stack([row, column]).astype(np.int64)


def _outside(
    grid: Grid, blocks: Blocks, street: NDArray[np.bool_], easting: Floats, northing: Floats
) -> tuple[Floats, Floats]:
    """Positions in buildings moved to the nearest street cell, else to the nearest open one; none within 50 m stays."""
    offset, _, _ = _rays(_OUT_M, grid.cell_m)
    offset = offset[np.argsort(np.hypot(*offset.T), kind="stable")]
    at = _cells(grid, easting, northing)
    moved = np.column_stack([easting, northing])
    rows, columns = grid.shape

    def is_at(layer: NDArray[np.bool_], cells: NDArray[np.int64], otherwise: bool) -> NDArray[np.bool_]:
        r, c = np.clip(cells[:, 0], 0, rows - 1), np.clip(cells[:, 1], 0, columns - 1)
        on = (cells[:, 0] == r) & (cells[:, 1] == c)
        return np.where(on, layer[r, c], otherwise)

    open_ = blocks.built == 0
    waiting = ~is_at(open_, at, True)
    for wanted in (street & open_, open_):
        for step in offset:
            there = at + step
            found = waiting & is_at(wanted, there, False)
            moved[found, 0] = grid.west + (there[found, 1] + 0.5) * grid.cell_m
            moved[found, 1] = grid.south + (there[found, 0] + 0.5) * grid.cell_m
            waiting &= ~found
    return moved[:, 0], moved[:, 1]
