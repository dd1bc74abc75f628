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


def on_plane(
    plane: str, candela: float, east: float, north: float, height: float, bearing: float = 0.0, n: int = 20_000
) -> float:
    """Lux that a ray of so many candela gives at a point, from a lamp `east`, `north` of it and `height` above it.

    Planes are sums over small flat pieces: E = I / d^2 max(cos of incidence, 0), averaged over the pieces of a half
    cylinder (axis upright), of a whole one, or of a half sphere; bearing : where it faces, radians from north eastward.
    """
    d = math.sqrt(east**2 + north**2 + height**2)
    ray = (east / d, north / d, height / d)  # from the point towards the lamp
    flat = candela / d**2
    facing = (math.sin(bearing), math.cos(bearing))
    if plane == "horizontal":
        return flat * max(ray[2], 0.0)
    if plane == "vertical":
        return flat * max(ray[0] * facing[0] + ray[1] * facing[1], 0.0)
    if plane in ("semi-cylindrical", "cylindrical"):
        span = math.pi if plane == "semi-cylindrical" else 2 * math.pi
        turns = [bearing - span / 2 + span * (i + 0.5) / n for i in range(n)]
        return flat * sum(max(ray[0] * math.sin(t) + ray[1] * math.cos(t), 0.0) for t in turns) / n
    side = math.isqrt(n)
    total = 0.0  # over the half sphere, equal areas: the cosine of the angle from the vertical is even
    for i in range(side):
        up = (i + 0.5) / side
        across = math.sqrt(1 - up**2)
        for j in range(side):
            turn = 2 * math.pi * (j + 0.5) / side
            total += max(ray[0] * across * math.sin(turn) + ray[1] * across * math.cos(turn) + ray[2] * up, 0.0)
    return flat * total / side**2


def table_intensity(
    c_deg: list[float], gamma_deg: list[float], candela: list[list[float]], c: float, gamma: float
) -> float:
    """Linear between the angles of a whole-circle table; degrees."""
    if not gamma_deg[0] <= gamma <= gamma_deg[-1]:
        return 0.0
    planes = [*c_deg, c_deg[0] + 360.0]
    rows = [*candela, candela[0]]
    c = c % 360.0
    c += 360.0 if c < planes[0] else 0.0
    i = max(k for k in range(len(planes) - 1) if planes[k] <= c)
    j = max(k for k in range(len(gamma_deg) - 1) if gamma_deg[k] <= gamma)
    u = (c - planes[i]) / (planes[i + 1] - planes[i])
    v = (gamma - gamma_deg[j]) / (gamma_deg[j + 1] - gamma_deg[j])
    ends = [rows[k][j] * (1 - v) + rows[k][j + 1] * v for k in (i, i + 1)]
    return ends[0] * (1 - u) + ends[1] * u


def tilted_angles(east: float, north: float, down: float, azimuth: float, tilt: float) -> tuple[float, float]:
    """C and gamma in degrees of a direction in a luminaire's own frame, by a matrix of rotation.

    azimuth : of C = 0, radians from east; tilt : radians, lifts that side
    """
    forward = east * math.cos(azimuth) + north * math.sin(azimuth)
    left = -east * math.sin(azimuth) + north * math.cos(azimuth)
    up = -down
    # turning the luminaire up by t is turning the world down by t about its left-hand axis
    turned = (forward * math.cos(tilt) + up * math.sin(tilt), left, -forward * math.sin(tilt) + up * math.cos(tilt))
    length = math.sqrt(sum(part**2 for part in turned))
    return math.degrees(math.atan2(turned[1], turned[0])) % 360.0, math.degrees(math.acos(-turned[2] / length))


def sees(
    lamp: tuple[float, float, float], point: tuple[float, float], walls: list[tuple[list[tuple[float, float]], float]]
) -> bool:
    """Whether the lamp's head sees a point on the ground, tried at 4000 places along the ray; walls as ring and top."""
    n = 4000
    for i in range(1, n):
        t = i / n
        east, north = lamp[0] + t * (point[0] - lamp[0]), lamp[1] + t * (point[1] - lamp[1])
        if any(lamp[2] * (1 - t) < height and _within(east, north, ring) for ring, height in walls):
            return False
    return True


def _within(east: float, north: float, ring: list[tuple[float, float]]) -> bool:
    inside = False
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        if (y0 > north) != (y1 > north) and east < x0 + (north - y0) / (y1 - y0) * (x1 - x0):
            inside = not inside
    return inside
