"""A table of intensities: its symmetry expanded to the whole circle, its flux, and whether it can be true.

Flux is the sum that the industry uses: trapezoid over C, then the mean of neighbouring intensities times the exact
solid angle of their zone, 2 pi (cos gamma_1 - cos gamma_2). It reproduces the lumens of Acuity's Photometric Toolbox to
0.01 lm, which an exact integral of straight lines in gamma misses by up to 0.14 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sensors.errors import LuminaireError

Floats = npt.NDArray[np.float64]

SYMMETRIES = ("none", "axial", "c0-c180", "c90-c270", "quadrant")
WARN_SHARE, REFUSE_SHARE = 0.03, 0.10  # of the declared flux; real files differ by rounding, wrong ones by far more
_SAME_DEG = 1e-6


@dataclass(frozen=True)
class Flux:
    """Of a table: all its light and what of it goes down, in lumens where the table is in candela."""

    total: float
    down: float

    @property
    def down_share(self) -> float:
        """The downward flux fraction."""
        return self.down / self.total


def expanded(planes: Floats, table: Floats, symmetry: str) -> tuple[Floats, Floats]:
    """C angles from 0 to below 360, and the table (C, gamma), from the planes that a file holds.

    'axial' has one plane, 'quadrant' those from 0 to 90, 'c0-c180' those from 0 to 180, 'c90-c270' those from 90 to
    270, 'none' all.
    """
    if symmetry == "axial":
        return np.zeros(1), table[:1]
    if symmetry == "quadrant":
        planes, table = _mirrored(planes, table, 90.0)
    if symmetry in ("quadrant", "c0-c180"):
        planes, table = _mirrored(planes, table, 180.0)
    if symmetry == "c90-c270":
        planes, table = _mirrored(planes, table, 270.0)
    around = planes % 360.0
    keep = np.ones(planes.size, bool)
    keep[-1] = abs(planes[-1] - planes[0] - 360.0) > _SAME_DEG
    order = np.argsort(around[keep], kind="stable")
    return around[keep][order], table[keep][order]


def flux(c_deg: Floats, gamma_deg: Floats, candela: Floats) -> Flux:
    """Flux of a table of the whole circle; there is no light beyond its gammas."""
    mean = round_mean(c_deg, candela)
    cosine = np.cos(np.radians(gamma_deg))
    between = 0.5 * (mean[1:] + mean[:-1])
    zones = 2.0 * np.pi * between * (cosine[:-1] - cosine[1:])
    below = 2.0 * np.pi * between * (np.maximum(cosine[:-1], 0.0) - np.maximum(cosine[1:], 0.0))
    return Flux(float(zones.sum()), float(below.sum()))


def round_mean(c_deg: Floats, candela: Floats) -> Floats:
    """Mean over the circle at each gamma, each plane weighted by the angle that it stands for."""
    if c_deg.size == 1:
        return np.asarray(candela[0], np.float64)
    gaps = np.diff(np.append(c_deg, c_deg[0] + 360.0))
    weights = 0.5 * (gaps + np.roll(gaps, 1)) / 360.0
    return np.asarray(weights @ candela, np.float64)


def check_angles(angles: Floats, what: str, least: float, most: float) -> None:
    """LuminaireError where angles do not ascend or leave their bounds."""
    if angles.min() < least or angles.max() > most:
        odd = angles[(angles < least) | (angles > most)][0]
        raise LuminaireError(f"{what} angle {odd:g} does not lie within {least:g} to {most:g} degrees")
    falls = np.flatnonzero(np.diff(angles) <= 0)
    if falls.size:
        at = int(falls[0])
        raise LuminaireError(f"{what} angles do not ascend: {angles[at]:g} is followed by {angles[at + 1]:g}")


def check_candela(table: Floats) -> None:
    """LuminaireError for intensities that are negative, or nothing at all."""
    if table.min() < 0:
        raise LuminaireError(f"an intensity is negative ({table.min():g}); a luminaire takes no light away")
    if not table.max() > 0:
        raise LuminaireError("all intensities are zero; a luminaire without light has no photometry")


def gamma_warnings(gamma: Floats) -> list[str]:
    """What the first and last gamma leave open."""
    found = []
    if gamma[0] not in (0.0, 90.0):
        found.append(f"the table begins at gamma {gamma[0]:g}, below it there is taken to be no light")
    if gamma[-1] < 90.0:
        found.append(f"the table ends at gamma {gamma[-1]:g}, beyond it there is taken to be no light")
    return found


def declared_warnings(integrated: float, declared: float, what: str, unit: str) -> list[str]:
    """A warning where a table's flux is more than 3 % off what is declared; LuminaireError beyond 10 %."""
    off = integrated / declared - 1.0
    said = f"the table integrates to {integrated:,.1f} {unit} but {what} declares {declared:,.1f} ({100 * off:+.1f} %)"
    if abs(off) > REFUSE_SHARE:
        raise LuminaireError(
            f"{said}; more than {100 * REFUSE_SHARE:g} % is no rounding, ask its maker for a right one"
        )
    return [said] if abs(off) > WARN_SHARE else []


def _mirrored(planes: Floats, table: Floats, at: float) -> tuple[Floats, Floats]:
    """Planes up to `at`, and behind it their mirror images."""
    if abs(planes[-1] - at) > _SAME_DEG:
        raise LuminaireError(f"planes of this symmetry end at C {at:g}, not at {planes[-1]:g}")
    return np.concatenate([planes, 2.0 * at - planes[-2::-1]]), np.vstack([table, table[-2::-1]])
