"""Point-source photometry in plain Python with angles, as EN 13201-3 writes it."""

import math


def intensity(gamma: float, peak_cd: float, b: float) -> float:
    """Candela of the default distribution at an angle from nadir, radians."""
    return peak_cd * math.cos(gamma) * (1 + b * math.sin(gamma) ** 4) if gamma < math.pi / 2 else 0.0


def horizontal(distance_m: float, height_m: float, peak_cd: float, b: float) -> float:
    """Illuminance in lx of a horizontal plane `height_m` below a lamp, at a horizontal distance."""
    gamma = math.atan2(distance_m, height_m)
    return intensity(gamma, peak_cd, b) * math.cos(gamma) ** 3 / height_m**2


def vertical_mean(distance_m: float, height_m: float, peak_cd: float, b: float) -> float:
    """Vertical illuminance in lx averaged over 3600 facings."""
    gamma = math.atan2(distance_m, height_m)
    d2 = distance_m**2 + height_m**2
    n = 3600
    facing = sum(max(math.cos(2 * math.pi * i / n), 0.0) for i in range(n)) / n
    return intensity(gamma, peak_cd, b) * math.sin(gamma) / d2 * facing


def flux(peak_cd: float, b: float, n: int = 20_000) -> float:
    """Lumens of the distribution: its integral over the sphere."""
    step = math.pi / 2 / n
    return sum(
        2 * math.pi * intensity((i + 0.5) * step, peak_cd, b) * math.sin((i + 0.5) * step) * step for i in range(n)
    )


def cell_mean(
    east: float, north: float, cell_m: float, height_m: float, peak_cd: float, b: float, n: int = 40
) -> float:
    """Mean horizontal illuminance in lx over a cell centred at (east, north) from a lamp at the origin."""
    total = 0.0
    for i in range(n):
        for j in range(n):
            x = east + ((i + 0.5) / n - 0.5) * cell_m
            y = north + ((j + 0.5) / n - 0.5) * cell_m
            total += horizontal(math.hypot(x, y), height_m, peak_cd, b)
    return total / n**2


def lowest_around(value: list[list[float]], radius: float) -> list[list[float]]:
    """The lowest value within `radius` cells of each cell."""
    rows, columns = len(value), len(value[0])
    return [
        [
            min(
                value[r][c]
                for r in range(rows)
                for c in range(columns)
                if (r - row) ** 2 + (c - column) ** 2 <= radius**2
            )
            for column in range(columns)
        ]
        for row in range(rows)
    ]
