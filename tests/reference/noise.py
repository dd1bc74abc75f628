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


def laeq(levels: list[float], seconds: list[float]) -> float:
    """Energy mean, second by second as the formula has it; NaN levels are no levels."""
    energy = time = 0.0
    for level, valid in zip(levels, seconds, strict=True):
        if not math.isnan(level):
            energy += valid * 10 ** (level / 10)
            time += valid
    return 10 * math.log10(energy / time)


def intermittency(levels: list[float]) -> float:
    """Share of energy, in per cent, of seconds more than 3 dB above the mean."""
    threshold = laeq(levels, [1.0] * len(levels)) + 3.0
    total = sum(10 ** (level / 10) for level in levels)
    return 100 * sum(10 ** (level / 10) for level in levels if level > threshold) / total


def percentile(levels: list[float], percent: float) -> float:
    """Linear between the two nearest of the ordered values."""
    ordered = sorted(levels)
    place = percent / 100 * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def built_between(built: list[list[bool]], row: int, column: int, i: int, j: int) -> int:
    """Built cells on the ray from a cell to the one i rows and j columns away, neither end counted."""
    count = 0
    while max(abs(i), abs(j)) > 1:
        ring = max(abs(i), abs(j))
        i, j = round(i * (ring - 1) / ring), round(j * (ring - 1) / ring)
        r, c = row + i, column + j
        if 0 <= r < len(built) and 0 <= c < len(built[0]) and built[r][c]:
            count += 1
    return count


def passed_on(cells_between: int, cell_m: float, distance_m: float, canyon: float) -> float:
    """Share of freely spread energy: a step of 10 dB and 0.25 dB a metre up to 20; in a street up to four times."""
    if cells_between:
        return 10 ** (-min(10 + 0.25 * cell_m * (cells_between - 1), 20) / 10)
    return max(1.0, min(distance_m * canyon, 4.0))
