"""The intensity towards any C of a table that holds a part of the circle, plane by plane from what symmetry means."""

from __future__ import annotations

from collections.abc import Sequence


def stored_c(c: float, symmetry: str) -> float:
    """The C within the part that is stored, 0 to 360, where the light is the same as at `c`."""
    c = c % 360.0
    if symmetry == "axial":
        return 0.0
    if symmetry in ("c0-c180", "quadrant") and c > 180.0:
        c = 360.0 - c
    if symmetry == "quadrant" and c > 90.0:
        c = 180.0 - c
    if symmetry == "c90-c270" and not 90.0 <= c <= 270.0:
        c = (180.0 - c) % 360.0
    return c


def intensity(planes: Sequence[float], gammas: Sequence[float], table: Sequence[Sequence[float]], symmetry: str,
              c: float, gamma: float) -> float:  # fmt: skip
    """Linear in C, then in gamma, between what is stored; nothing beyond the gammas."""
    if not gammas[0] <= gamma <= gammas[-1]:
        return 0.0
    c = stored_c(c, symmetry)
    if symmetry == "none" and planes[-1] < 360.0:
        planes, table = [*planes, planes[0] + 360.0], [*table, table[0]]
    if len(planes) == 1:
        planes, table, c = [0.0, 1.0], [table[0], table[0]], 0.0
    i = max(at for at in range(len(planes) - 1) if planes[at] <= c)
    j = max(at for at in range(len(gammas) - 1) if gammas[at] <= gamma)
    u = (c - planes[i]) / (planes[i + 1] - planes[i])
    v = (gamma - gammas[j]) / (gammas[j + 1] - gammas[j])
    low = table[i][j] + u * (table[i + 1][j] - table[i][j])
    high = table[i][j + 1] + u * (table[i + 1][j + 1] - table[i][j + 1])
    return low + v * (high - low)
