"""Illuminance from lamps by the point-source law on any plane, exactly as their distributions say.

A lamp at height h above the point, r away along the ground, d^2 = h^2 + r^2; gamma is the angle of its ray from nadir,
e the angle between the ray and the vertical at the point (the same), a the azimuth between the way to the lamp and the
way the plane faces (EN 13201-3:2015 clause 7; CIE 140):

    horizontal         E   = I cos e / d^2                      of a plane that looks up
    vertical           Ev  = I sin e max(cos a, 0) / d^2
    semi-cylindrical   Esc = I sin e (1 + cos a) / (pi d^2)     over the whole circle: 0 only from right behind
    cylindrical        Ez  = I sin e / (pi d^2)                 the mean of Ev over all facings
    hemispherical      Ehs = I (1 + cos e) / (4 d^2)

I(C, gamma) of a luminaire is linear between the angles of its table; tilted by t about the line along the street, a
direction (forward, left, down) is (forward cos t - down sin t, left, forward sin t + down cos t) to the luminaire.

The default distribution, where no photometric file is known, is axial and downward (analytics/photometry.py says why):

    I(gamma) = peak cos gamma (1 + b sin^4 gamma),   luminous flux = pi peak (1 + b / 3)

so that horizontally E = peak / h^2 q^2 (1 + b (1 - q)^2), q = cos^2 gamma = h^2 / (h^2 + r^2): one division, no root.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.kernels.jit import cell_kernel, kernel
from analytics.kernels.sight import shaded

_DEGREES = 180.0 / np.pi
HORIZONTAL, VERTICAL, SEMICYLINDRICAL, CYLINDRICAL, HEMISPHERICAL = range(5)


class Sources(NamedTuple):
    """Lamps sorted by northing, (n,) arrays; what they give at full level.

    east, north, height : f8 metres; strength : f8, cd of the peak of the default distribution, or what the candela of
    the luminaire's table are multiplied by; shape : f8 b of the default distribution; luminaire : i4 row of
    `Distributions`, -1 without; table : i4 row of the packed tables, -1 without; cosine, sine : f8 of the direction
    that its C = 0 faces, from east; tilt_cosine, tilt_sine : f8
    """

    east: NDArray[np.float64]
    north: NDArray[np.float64]
    height: NDArray[np.float64]
    strength: NDArray[np.float64]
    shape: NDArray[np.float64]
    luminaire: NDArray[np.int32]
    table: NDArray[np.int32]
    cosine: NDArray[np.float64]
    sine: NDArray[np.float64]
    tilt_cosine: NDArray[np.float64]
    tilt_sine: NDArray[np.float64]


class Distributions(NamedTuple):
    """Tables of luminaires one after the other, C = 0 facing the street.

    c_deg : f8, each luminaire's azimuths from 0 up and its first again, a turn later; gamma_deg : f8; candela : f8,
    (C, gamma) row by row; c_start, gamma_start, candela_start : (luminaires + 1,) i8
    """

    c_deg: NDArray[np.float64]
    gamma_deg: NDArray[np.float64]
    candela: NDArray[np.float64]
    c_start: NDArray[np.int64]
    gamma_start: NDArray[np.int64]
    candela_start: NDArray[np.int64]


@kernel()
def horizontal(r2: Any, h2: Any, peak_over_h2: Any, b: Any, one: Any) -> Any:
    """Horizontal illuminance in lx at squared horizontal distance r2 from a default lamp (metres squared)."""
    q = h2 / (h2 + r2)
    s = one - q
    return peak_over_h2 * q * q * (one + b * s * s)


@kernel()
def count_upto(ascending: Any, value: Any) -> Any:
    """How many of ascending values are not above a value; numba's `searchsorted` takes 3 s to compile."""
    low, high = 0, ascending.size
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel()
def table_intensity(distributions: Any, luminaire: Any, forward: Any, left: Any, down: Any) -> Any:
    """Candela of a luminaire towards a direction in its own frame, of any length; 0 outside its table's gamma."""
    across = np.sqrt(forward * forward + left * left)
    gamma = _DEGREES * np.arctan2(across, down)
    c = _DEGREES * np.arctan2(left, forward)
    c0, c1 = distributions.c_start[luminaire], distributions.c_start[luminaire + 1]
    g0, g1 = distributions.gamma_start[luminaire], distributions.gamma_start[luminaire + 1]
    c_deg, gamma_deg = distributions.c_deg[c0:c1], distributions.gamma_deg[g0:g1]
    width = g1 - g0
    begin = distributions.candela_start[luminaire]
    if c < c_deg[0]:
        c += 360.0
    if gamma < gamma_deg[0] or gamma > gamma_deg[width - 1]:
        return 0.0
    i = min(max(count_upto(c_deg, c) - 1, 0), c1 - c0 - 2)
    u = (c - c_deg[i]) / (c_deg[i + 1] - c_deg[i])
    if width == 1:
        return (1 - u) * distributions.candela[begin + i] + u * distributions.candela[begin + i + 1]
    j = min(max(count_upto(gamma_deg, gamma) - 1, 0), width - 2)
    v = (gamma - gamma_deg[j]) / (gamma_deg[j + 1] - gamma_deg[j])
    at = begin + i * width + j
    low = (1 - v) * distributions.candela[at] + v * distributions.candela[at + 1]
    high = (1 - v) * distributions.candela[at + width] + v * distributions.candela[at + width + 1]
    return (1 - u) * low + u * high


@kernel()
def intensity(sources: Any, distributions: Any, k: Any, d_east: Any, d_north: Any, h: Any) -> Any:
    """Candela of lamp k at full level towards a point d_east, d_north away and h below it, metres."""
    if sources.luminaire[k] < 0:
        d2 = d_east * d_east + d_north * d_north + h * h
        if h <= 0.0 or d2 <= 0.0:
            return 0.0
        q = h * h / d2
        return sources.strength[k] * np.sqrt(q) * (1.0 + sources.shape[k] * (1.0 - q) ** 2)
    forward = d_east * sources.cosine[k] + d_north * sources.sine[k]
    left = d_north * sources.cosine[k] - d_east * sources.sine[k]
    tilted = forward * sources.tilt_cosine[k] - h * sources.tilt_sine[k]
    down = forward * sources.tilt_sine[k] + h * sources.tilt_cosine[k]
    return sources.strength[k] * table_intensity(distributions, sources.luminaire[k], tilted, left, down)


@kernel()
def widest(layout: Any) -> Any:
    """Cells that the light of any class of lamps reaches beyond a lamp's own."""
    reach = 0
    for kind in range(layout.reach.size):
        reach = max(reach, layout.reach[kind])
    return reach


@kernel()
def on_plane(plane: Any, candela: Any, d_east: Any, d_north: Any, h: Any, face_east: Any, face_north: Any) -> Any:
    """Illuminance in lx that so many candela give on a plane; face_east, face_north : unit vector that it faces."""
    r2 = d_east * d_east + d_north * d_north
    d2 = r2 + h * h
    if d2 <= 0.0:
        return 0.0
    d = np.sqrt(d2)
    if plane == HORIZONTAL:
        return candela * max(h, 0.0) / (d * d2)
    if plane == HEMISPHERICAL:
        return candela * (1.0 + h / d) / (4.0 * d2)
    if plane == CYLINDRICAL:
        return candela * np.sqrt(r2) / (np.pi * d * d2)
    facing = -(d_east * face_east + d_north * face_north)  # r cos a
    if plane == VERTICAL:
        return candela * max(facing, 0.0) / (d * d2)
    return candela * (np.sqrt(r2) + facing) / (np.pi * d * d2)


@cell_kernel()
def light_points(
    first: Any, last: Any, at_east: Any, at_north: Any, at_height: Any, plane: Any, face_east: Any, face_north: Any,
    cutoff: Any, sources: Any, distributions: Any, walls: Any, level: Any, weight: Any, total: Any, weighted: Any,
) -> None:  # fmt: skip
    """Fill `total` and `weighted` at points first to last, each at its own height in metres above the ground.

    plane : (points,) u1; face_east, face_north : (points,) f8; level, weight : (n,) f8; walls : `Walls`, may be empty
    """
    for p in range(first, last):
        total[p] = 0.0
        weighted[p] = 0.0
        begin = count_upto(sources.north, at_north[p] - cutoff)
        end = count_upto(sources.north, at_north[p] + cutoff)
        for k in range(begin, end):
            d_east, d_north = at_east[p] - sources.east[k], at_north[p] - sources.north[k]
            if not level[k] > 0.0 or d_east * d_east + d_north * d_north > cutoff * cutoff:
                continue
            h = sources.height[k] - at_height[p]
            candela = intensity(sources, distributions, k, d_east, d_north, h)
            lux = level[k] * on_plane(plane[p], candela, d_east, d_north, h, face_east[p], face_north[p])
            if lux > 0.0 and shaded(
                walls, k, sources.east[k], sources.north[k], sources.height[k], at_east[p], at_north[p], at_height[p]
            ):
                lux = 0.0
            total[p] += lux
            weighted[p] += weight[k] * lux


@cell_kernel()
def plane_raster(
    first: Any, last: Any, cell: Any, west: Any, south: Any, height: Any, plane: Any, face_east: Any, face_north: Any,
    cutoff: Any, sources: Any, distributions: Any, walls: Any, layout: Any, kind: Any, row: Any, column: Any,
    level: Any, total: Any,
) -> None:  # fmt: skip
    """Fill rows of `total` with the mean over each cell of the illuminance on a plane `height` metres up.

    west, south: centre of cell (0, 0); row, column : (n,) i8 the lamp's own cell, rows ascending; kind : its class of
    heights above the plane; layout : where the points of a cell lie (kernels/footprint.py); total : (rows, columns) f8
    """
    for r in range(first, last):
        for c in range(total.shape[1]):
            total[r, c] = 0.0
    reach = widest(layout)
    begin = count_upto(row, first - reach - 1)
    end = count_upto(row, last + reach)
    for k in range(begin, end):
        if not level[k] > 0.0:
            continue
        at = layout.cell_start[kind[k]]
        h = sources.height[k] - height
        own_east, own_north = west + column[k] * cell, south + row[k] * cell
        for g in range(layout.group_start[kind[k]], layout.group_start[kind[k] + 1]):
            point, cells, points = layout.group[g, 0], layout.group[g, 1], layout.group[g, 2]
            for c in range(cells):
                r, e = row[k] + layout.cell_north[at + c], column[k] + layout.cell_east[at + c]
                if r < first or r >= last or e < 0 or e >= total.shape[1]:
                    continue
                lux = 0.0
                for i in range(point + c, point + points * cells, cells):
                    east, north = own_east + layout.east[i], own_north + layout.north[i]
                    d_east, d_north = east - sources.east[k], north - sources.north[k]
                    if d_east * d_east + d_north * d_north > cutoff * cutoff:
                        continue
                    if shaded(walls, k, sources.east[k], sources.north[k], sources.height[k], east, north, height):
                        continue
                    candela = intensity(sources, distributions, k, d_east, d_north, h)
                    lux += layout.share[i] * on_plane(plane, candela, d_east, d_north, h, face_east, face_north)
                total[r, e] += level[k] * lux
            at += cells


@cell_kernel()
def lowest_around(first: Any, last: Any, radius_cells: Any, value: Any, out: Any) -> None:
    """Fill rows of `out` with the lowest `value` within radius_cells of each cell; infinite cells do not count."""
    rows, columns = value.shape
    reach = int(radius_cells)
    for row in range(first, last):
        for c in range(columns):
            out[row, c] = np.float32(np.inf)
        for d in range(-reach, reach + 1):
            r = row + d
            if r < 0 or r >= rows:
                continue
            span = int(np.sqrt(radius_cells * radius_cells - d * d))
            for e in range(-span, span + 1):
                line = out[row, max(0, -e) : min(columns, columns - e)]
                around = value[r, max(0, e) : min(columns, columns + e)]
                for c in range(line.size):
                    line[c] = min(line[c], around[c])
