"""The quartic kernel sum in plain Python."""


def quartic_sum(points: list[tuple[float, float, float]], east: float, north: float, radius_m: float) -> float:
    """Sum of the weights of points (east, north, weight), each times (1 - d^2 / R^2)^2 within R."""
    total = 0.0
    for x, y, weight in points:
        share = 1 - ((x - east) ** 2 + (y - north) ** 2) / radius_m**2
        total += weight * share**2 if share > 0 else 0.0
    return total
