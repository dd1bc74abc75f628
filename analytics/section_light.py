"""The lamps' light in every street section of a city: the points of EN 13201-3 laid along real streets, exactly summed.

The field is the whole section, as wide as its street, instead of one spacing between two luminaires: 10 points along
where it is up to 30 m long and otherwise one every 3 m at most, 3 across and more where they were over 1.5 m apart.
Points of bent streets stand at right angles to the line. Lamps within 60 m count, each with its own file, height,
level and facing; buildings shade them where the city asks for that. The ground is level, the sky adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from analytics.footprints import CUTOFF_M
from analytics.kernels import light as kernels
from analytics.kernels.jit import over_rows
from analytics.street_light import FACE_M, calculation_grid
from analytics.surroundings import Surroundings

Floats = NDArray[np.float64]

_TANGENT_M = 0.25  # half of the piece of a line whose direction is the street's at a point
_SHORTEST_M = 0.1  # a section of no length is a point
_LEAST_WIDTH_M, _MOST_WIDTH_M = 1.0, 40.0  # of a street; beyond them a width is a mistake of the map
USUAL_WIDTH_M = 8.0  # of a street whose width nobody knows
LIT_BY_M = 30.0  # a lamp nearer than this is counted as one of the section's: about one spacing


@dataclass(frozen=True)
class SectionPoints:
    """Points of all sections, one section after the other; (n_points,) arrays unless said.

    first : (n_sections,) place of each section's first point; bearing : of the street at the point, degrees clockwise
    from north, the way its line runs
    """

    first: NDArray[np.int64]
    easting: Floats
    northing: Floats
    bearing: Floats


@dataclass(frozen=True)
class SectionLight:
    """(n_sections,) arrays in lx, with sds of their logarithms.

    semicylindrical : lowest at 1.5 m of both ways along the street; defaults : share of the light that comes from lamps
    without a photometric file or with an assumed position
    """

    average: Floats
    average_sd: Floats
    lowest: Floats
    lowest_sd: Floats
    semicylindrical: Floats
    semicylindrical_sd: Floats
    defaults: Floats


def section_points(sections: geopandas.GeoDataFrame, width_m: Floats) -> SectionPoints:
    """The points of each section for the width of its street in metres; (n,) NaN where not known."""
    known = np.where(np.isfinite(width_m), width_m, USUAL_WIDTH_M).clip(_LEAST_WIDTH_M, _MOST_WIDTH_M)
    lines = sections.geometry.to_numpy()
    length = shapely.length(lines)
    grids = [
        calculation_grid(max(float(metres), _SHORTEST_M), float(width))
        for metres, width in zip(length, known, strict=True)
    ]
    if not grids:
        none = np.empty(0)
        return SectionPoints(np.empty(0, np.int64), none, none, none)
    stations = np.array([grid.along.size for grid in grids])
    wide = np.repeat([grid.across.size for grid in grids], stations)  # points across at each place along
    line, at = np.repeat(lines, stations), np.concatenate([grid.along for grid in grids])
    middle, before, after = (
        shapely.get_coordinates(shapely.line_interpolate_point(line, np.maximum(at + shift, 0.0)))
        for shift in (0.0, -_TANGENT_M, _TANGENT_M)
    )
    way = after - before
    norm = np.hypot(*way.T)
    way = np.where(norm[:, None] > 0, way / np.where(norm > 0, norm, 1.0)[:, None], [1.0, 0.0])
    middle, way = np.repeat(middle, wide, axis=0), np.repeat(way, wide, axis=0)
    aside = np.concatenate(
        [np.tile(grid.across - width / 2, grid.along.size) for grid, width in zip(grids, known, strict=True)]
    )
    counts = stations * [grid.across.size for grid in grids]
    return SectionPoints(
        first=np.cumsum(counts) - counts,
        easting=middle[:, 0] - way[:, 1] * aside,
        northing=middle[:, 1] + way[:, 0] * aside,
        bearing=np.degrees(np.arctan2(way[:, 0], way[:, 1])) % 360.0,
    )


def section_light(
    surroundings: Surroundings, points: SectionPoints, level: Floats, level_sd: Floats, default: NDArray[np.bool_]
) -> SectionLight:
    """Light of every section with lamps at their levels.

    level, level_sd : (n_lamps,) share of full light and sd of its logarithm, in the order of `surroundings.lamps`
    default : (n_lamps,) whether a lamp's photometry is a default
    """
    weight = np.hypot(surroundings.lamps.model_sd, level_sd)
    horizontal, horizontal_sd = _at(surroundings, points, level, weight, kernels.HORIZONTAL, 0.0, 0.0)
    ways = [_at(surroundings, points, level, weight, kernels.SEMICYLINDRICAL, FACE_M, turn) for turn in (0.0, 180.0)]
    back = ways[1][0] < ways[0][0]
    faces, faces_sd = (np.where(back, ways[1][part], ways[0][part]) for part in (0, 1))
    total, weighted = (np.add.reduceat(values, points.first) for values in (horizontal, horizontal * horizontal_sd))
    size = np.diff(np.append(points.first, horizontal.size))
    low, face_low = _lowest(horizontal, points.first), _lowest(faces, points.first)
    if default.all() or not default.any():
        share = np.full(points.first.size, float(default.all() and default.size > 0))
    else:
        assumed, _ = _at(surroundings, points, np.where(default, level, 0.0), weight, kernels.HORIZONTAL, 0.0, 0.0)
        share = np.add.reduceat(assumed, points.first) / np.where(total > 0, total, np.inf)
    return SectionLight(
        average=total / size,
        average_sd=weighted / np.where(total > 0, total, np.inf),
        lowest=horizontal[low],
        lowest_sd=horizontal_sd[low],
        semicylindrical=faces[face_low],
        semicylindrical_sd=faces_sd[face_low],
        defaults=share,
    )


def lamps_beside(
    sections: geopandas.GeoDataFrame, surroundings: Surroundings, level: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many lamps stand within 30 m of each section, and how many of them give no light."""
    lamps = surroundings.lamps
    tree = shapely.STRtree(np.atleast_1d(np.asarray(shapely.points(lamps.easting, lamps.northing), object)))
    section, lamp = tree.query(sections.geometry.to_numpy(), predicate="dwithin", distance=LIT_BY_M)
    dark = level[lamp] <= 0
    return np.bincount(section, minlength=len(sections)), np.bincount(section[dark], minlength=len(sections))


def within_reach(points: SectionPoints, surroundings: Surroundings) -> NDArray[np.bool_]:
    """Whether any lamp is known within 60 m of a section's points, lit or not."""
    lamps = surroundings.lamps
    if not lamps.easting.size or not points.first.size:
        return np.zeros(points.first.size, bool)
    tree = cKDTree(np.column_stack([lamps.easting, lamps.northing]))
    distance, _ = tree.query(np.column_stack([points.easting, points.northing]), distance_upper_bound=CUTOFF_M)
    return np.asarray(np.logical_or.reduceat(np.isfinite(distance), points.first), bool)


def _at(
    surroundings: Surroundings,
    points: SectionPoints,
    level: Floats,
    weight: Floats,
    plane: int,
    height_m: float,
    turn_deg: float,
) -> tuple[Floats, Floats]:
    """Illuminance on one plane at every point, facing along the street or turned from it, and sd of its logarithm."""
    lamps, n = surroundings.lamps, points.easting.size
    total, weighted = np.empty(n), np.empty(n)
    bearing = np.radians(points.bearing + turn_deg)
    over_rows(
        kernels.light_points, n, points.easting, points.northing, np.full(n, height_m), np.full(n, plane, np.uint8),
        np.sin(bearing), np.cos(bearing), CUTOFF_M, lamps.sources, lamps.distributions, surroundings.walls,
        np.ascontiguousarray(level), weight, total, weighted,
    )  # fmt: skip
    return total, weighted / np.where(total > 0, total, np.inf)


def _lowest(values: Floats, first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of the first lowest value of each run."""
    run = np.repeat(np.arange(first.size), np.diff(np.append(first, values.size)))
    order = np.lexsort((values, run))
    return np.asarray(order[first], np.int64)
