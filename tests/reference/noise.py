"""Sound energy in plain Python: hemispherical spreading of point sources, ISO 9613-2 eq. 3 with D = 3 dB."""

import math


def energy(
    sources: list[tuple[float, float, float]], east: float, north: float, reach_m: float, near_m: float
) -> float:
    """Energy at a point from sources (east, north, L_W in dB) within reach."""
    total = 0.0
    for x, y, power_db in sources:
        distance = math.hypot(x - east, y - north)
        if distance <= reach_m:
            total += 10 ** (power_db / 10) / (2 * math.pi * (distance**2 + near_m**2))
    return total


def convolve(power: list[list[float]], stencil: list[list[float]]) -> list[list[float]]:
    """What each cell gets when every cell sends its power through the stencil."""
    rows, columns, k = len(power), len(power[0]), len(stencil) // 2
    out = [[0.0] * columns for _ in range(rows)]
    for row in range(rows):
        for column in range(columns):
            for i in range(-k, k + 1):
                for j in range(-k, k + 1):
                    if 0 <= row + i < rows and 0 <= column + j < columns:
                        out[row][column] += stencil[i + k][j + k] * power[row + i][column + j]
    return out
