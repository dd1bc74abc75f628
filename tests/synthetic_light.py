"""Luminaires and lamps made up for tests of light: smooth road distributions, bare towns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics.distribution import distributions_of
from analytics.footprints import Footprints
from analytics.grid import Grid
from analytics.kernels.sight import Walls
from analytics.photometry import Lamps
from analytics.walls import no_walls
from sensors.luminaire import Luminaire


def luminaire(
    candela: NDArray[np.float64], c_deg: Any = (0.0,), gamma_deg: Any = None, lumens: float = 1000.0
) -> Luminaire:
    """A luminaire from its table, (C, gamma); gamma 0..180 in even steps without angles."""
    table = np.atleast_2d(np.asarray(candela, np.float64))
    gamma = np.linspace(0.0, 180.0, table.shape[1]) if gamma_deg is None else np.asarray(gamma_deg, np.float64)
    return Luminaire(
        "made-up", "made up", np.asarray(c_deg, np.float64), gamma, table, lumens, 1000.0, 1.0, 1.0, 0.0, 30.0, "none",
        (0.0, 0.0, 0.0),
    )  # fmt: skip


def lm63_file(watts: float = 33.0) -> tuple[str, float]:
    """An absolute LM-63 road file that throws to C = 0 only, four to one, and its lumens."""
    gamma, c = np.arange(0.0, 91.0, 2.5), np.arange(0.0, 361.0, 15.0)
    forward = 1.0 + 0.6 * np.cos(np.radians(c))[:, None]
    candela = np.round(500.0 * forward * np.cos(np.radians(gamma)), 1)
    numbers = [f"1 -1 1 {gamma.size} {c.size} 1 2 0 0 0", f"1 1 {watts:g}"]
    rows = [" ".join(f"{value:g}" for value in row) for row in (gamma, c, *candela)]
    return "\n".join(["IESNA:LM-63-2002", "[TEST] made up", "TILT=NONE", *numbers, *rows, ""]), 500.0 * np.pi


def road_luminaires(number: int = 8, seed: int = 3) -> list[Luminaire]:
    """Smooth road distributions of types II and III, cd per 1000 lm, planes every 5 degrees and gamma every degree."""
    generator = np.random.default_rng(seed)
    c, gamma = np.radians(np.arange(72) * 5.0)[:, None], np.radians(np.arange(91))[None]
    made = []
    for _ in range(number):
        a, b = generator.uniform(0.3, 0.8), generator.uniform(0.2, 0.6)
        peak = np.radians(generator.uniform(50, 68))
        lobe = np.exp(-(((gamma - peak) / np.radians(18)) ** 2)) * (1 + a * np.cos(2 * c) + b * np.sin(c))
        candela = np.maximum(120 * np.cos(gamma) + 350 * lobe, 0) * (gamma < np.radians(88))
        made.append(luminaire(candela, np.arange(72) * 5.0, np.arange(91.0)))
    return made


def lamps_of(
    east: Any, north: Any, height: Any, strength: Any, *, shape: Any = 6.0, luminaires: Any = (), which: Any = 0,
    azimuth: Any = 0.0, tilt: Any = 0.0,
) -> Lamps:  # fmt: skip
    """Lamps in order of their northing; `which` luminaire each has when there are any; angles in radians."""
    east, north = np.broadcast_arrays(*(np.atleast_1d(np.asarray(side, np.float64)) for side in (east, north)))
    order = np.argsort(north, kind="stable")
    n = order.size

    def column(value: Any, kind: Any = np.float64) -> Any:
        return np.broadcast_to(np.asarray(value, kind), n)[order].copy()

    return Lamps(
        lamp=np.arange(n).astype(str), easting=column(east), northing=column(north), height_m=column(height),
        strength=column(strength), shape=column(shape), luminaire=column(which if len(luminaires) else -1, np.int32),
        azimuth=column(azimuth), tilt=column(tilt), model_sd=np.full(n, 0.5), watts=np.full(n, np.nan),
        curve=np.zeros(n, np.uint8), distributions=distributions_of(list(luminaires)),
    )  # fmt: skip


def bare_town(
    lamps: Lamps, cells: tuple[int, int] = (16, 16), cell_m: float = 10.0, walls: Walls | None = None,
    inside: NDArray[np.bool_] | None = None,
) -> Any:  # fmt: skip
    """As much of `Surroundings` as light needs; cell (0, 0) centred at (0, 0)."""
    grid = Grid(cell_m, -cell_m / 2, -cell_m / 2, cells)
    around = no_walls() if walls is None else walls
    quarters = np.zeros((2 * cells[0], 2 * cells[1]), bool) if inside is None else inside
    return SimpleNamespace(grid=grid, lamps=lamps, walls=around, footprints=Footprints(grid, lamps, around, quarters))


def lamps_everywhere(number: int, side_m: float, luminaires: list[Luminaire], seed: int = 4) -> Lamps:
    """Lamps of four heights and all luminaires, anywhere in a square, facing anywhere; 2 to 12 thousand lumens."""
    generator = np.random.default_rng(seed)
    east, north = generator.uniform(0.0, side_m, (2, number))
    return lamps_of(
        east, north, generator.choice([5.0, 6.0, 8.0, 10.0], number), generator.uniform(2, 12, number),
        luminaires=luminaires, which=generator.integers(0, len(luminaires), number),
        azimuth=generator.uniform(0, 2 * np.pi, number),
    )  # fmt: skip
