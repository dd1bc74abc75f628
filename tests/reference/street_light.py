"""Light of a street section in plain Python with angles, as EN 13201-3 writes it, and a half cylinder summed up."""

import math
from collections.abc import Callable

Intensity = Callable[[float, float], float]  # candela of C (0 facing the street) and gamma, radians
Lamp = tuple[float, float, float, float]  # x, y, height, azimuth of the street side


def points(spacing_m: float, width_m: float) -> list[tuple[float, float]]:
    """The grid, counted up from its smallest size."""
    n = 10
    if spacing_m > 30:
        n = 1
        while spacing_m / n > 3 + 1e-9:
            n += 1
    m = 3
    while width_m / m > 1.5 + 1e-9:
        m += 1
    return [((i + 0.5) * spacing_m / n, (j + 0.5) * width_m / m) for i in range(n) for j in range(m)]


def road(
    spacing_m: float, width_m: float, height_m: float, overhang_m: float, arrangement: str, spacings: int = 5
) -> list[Lamp]:
    """Luminaires that stand from so many spacings before the field to so many behind it."""
    near = [(k * spacing_m, overhang_m, height_m, math.pi / 2) for k in range(-spacings, spacings + 2)]
    far_y, house = width_m - overhang_m, -math.pi / 2
    if arrangement == "opposite":
        return near + [(x, far_y, height_m, house) for x, *_ in near]
    if arrangement == "staggered":
        far = [(k + 0.5) * spacing_m for k in range(-spacings, spacings + 1)]
        return near + [(x, far_y, height_m, house) for x in far]
    return near


def plane(what: str, lamp: Lamp, x: float, y: float, intensity: Intensity, facing: float = 0.0) -> float:
    """Illuminance in lx on one plane at a point from one luminaire; facing: azimuth of a plane that stands."""
    z = 0.0 if what in ("horizontal", "hemispherical") else 1.5
    xs, ys, height, street = lamp
    r, h = math.hypot(x - xs, y - ys), height - z
    d2, e = r * r + h * h, math.atan2(r, h)
    candela = intensity(math.atan2(y - ys, x - xs) - street, e)
    a = math.atan2(ys - y, xs - x) - facing
    if what == "horizontal":
        return candela * math.cos(e) / d2
    if what == "hemispherical":
        return candela * (1 + math.cos(e)) / (4 * d2)
    if what == "vertical":
        return candela * math.sin(e) * max(math.cos(a), 0.0) / d2
    if what == "semi-cylindrical":
        return candela * math.sin(e) * (1 + math.cos(a)) / (math.pi * d2)
    return candela * math.sin(e) / (math.pi * d2)  # cylindrical


def half_cylinder(lamp: Lamp, x: float, y: float, intensity: Intensity, facing: float, n: int = 20_000) -> float:
    """Mean illuminance over the curved side of an upright half cylinder at 1.5 m that faces an azimuth, lx."""
    total = 0.0
    for i in range(n):
        normal = facing + math.pi * ((i + 0.5) / n - 0.5)
        total += plane("vertical", lamp, x, y, intensity, normal)
    return total / n
