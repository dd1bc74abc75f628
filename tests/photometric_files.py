"""Writers of LM-63 and EULUMDAT files for tests: any table, wrapped and spelled as asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def lambert(planes: int = 1, step: float = 5.0, peak: float = 100.0) -> tuple[Floats, Floats, Floats]:
    """C angles, gammas and table of a plate that looks down: I = peak cos gamma."""
    gamma = np.arange(0.0, 90.0 + step / 2, step)
    c = np.arange(planes) * (360.0 / planes)
    return c, gamma, np.tile(np.maximum(peak * np.cos(np.radians(gamma)), 0.0), (planes, 1))


def street_like(c: Floats, gamma: Floats, facing: float = 90.0) -> Floats:
    """A distribution that leans towards C = `facing` and throws to both sides of it, symmetric about that plane."""
    around, down = np.radians(c - facing)[:, None], np.radians(gamma)[None]
    lobe = np.exp(-(((down - 1.05) / 0.35) ** 2)) * (1.0 - 0.6 * np.cos(2 * around) + 0.3 * np.cos(around))
    return np.maximum(60.0 * np.cos(down) + 180.0 * lobe, 0.0) * (gamma < 90.0)[None]


def zonal_lumens(c: Floats, gamma: Floats, table: Floats) -> float:
    """The industry's flux sum, written plainly, zone by zone and plane by plane."""
    total = 0.0
    for j in range(len(gamma) - 1):
        zone = 2 * np.pi * (np.cos(np.radians(gamma[j])) - np.cos(np.radians(gamma[j + 1])))
        mean = 0.0
        for i in range(len(c)):
            after = c[i + 1] if i + 1 < len(c) else c[0] + 360.0
            nxt = (i + 1) % len(c)
            share = (after - c[i]) / 360.0
            mean += share * (table[i, j] + table[i, j + 1] + table[nxt, j] + table[nxt, j + 1]) / 4
        total += zone * mean
    return float(total)


def lm63(
    planes: Sequence[float] | Floats, gamma: Sequence[float] | Floats, table: Any, *, lumens: float = -1,
    edition: str = "IESNA:LM-63-2002", keywords: Sequence[str] = ("[TEST] 1", "[LUMINAIRE] Lantern"), lamps: Any = 1,
    tilt: str = "TILT=NONE", multiplier: float = 1.0, kind: Any = 1, units: Any = 2,
    size: tuple[float, float, float] = (0.2, 0.5, 0.1), ballast: float = 1.0, second: Any = 1.0, watts: float = 50.0,
    wrap: int = 8, between: str = " ", end: str = "\n",
) -> str:  # fmt: skip
    """The text of an LM-63 file; rows of numbers are wrapped after `wrap` and parted by `between`."""

    def rows(values: Any) -> list[str]:
        words = [f"{value:.10g}" for value in np.ravel(values)]
        return [between.join(words[at : at + wrap]) for at in range(0, len(words), wrap)]

    lines = [edition] if edition else []
    lines += [*keywords, *tilt.split("\n")]
    head = [lamps, lumens, multiplier, len(gamma), len(planes), kind, units, *size]
    lines += [
        between.join(str(value) for value in head),
        between.join(str(value) for value in (ballast, second, watts)),
    ]
    lines += [*rows(gamma), *rows(planes)]
    for row in np.atleast_2d(table):
        lines += rows(row)
    return end.join([*lines, ""])


def eulumdat(
    planes: Sequence[float] | Floats, gamma: Sequence[float] | Floats, stored: Any, *, isym: int, lorl: float,
    dff: float = 100.0, dc: float = 0.0, dg: float = 0.0, factor: Any = 1, tilt: float = 0.0,
    sets: Sequence[tuple[Any, str, float, str, str, float]] = ((1, "LED", 1000.0, "3000", "70", 10.0),),
    sets_by_line: bool = False, size: tuple[float, float] = (500.0, 200.0), decimal: str = ".", end: str = "\n",
    name: str = "Lantern",
) -> str:  # fmt: skip
    """The text of a EULUMDAT file; `stored` are the planes that its Isym keeps, cd per 1000 lm."""

    def said(value: Any) -> str:
        return f"{value:.10g}".replace(".", decimal) if isinstance(value, float | np.floating) else str(value)

    lines: list[Any] = [
        "Maker",
        1,
        isym,
        len(planes),
        dc,
        len(gamma),
        dg,
        "report",
        name,
        "number",
        "file.ldt",
        "today",
    ]
    lines += [600, 250, 100, *size, 20, 20, 20, 20, dff, lorl, factor, tilt, len(sets)]
    if sets_by_line:
        lines += [one[at] for at in range(6) for one in sets]
    else:
        lines += [value for one in sets for value in one]
    lines += [0.5] * 10 + list(planes) + list(gamma) + list(np.ravel(stored))
    return end.join([*map(said, lines), ""])
