"""Where and when an answer is kept: at the middle of its street section, in its quarter of an hour.

The raw point and the exact time are never written anywhere, by whichever door an answer comes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sensors.city import City
from sensors.errors import AnswerError
from sensors.sections import middles

OUTSIDE_M = 150.0  # an answer farther than this from any street section of the city was not given in it
QUARTER_MS = 900_000

Floats = npt.NDArray[np.float64]


def quarters(times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    """The beginning of the quarter of an hour in which each time lies.

    >>> str(quarters(np.array(["2026-11-20T22:29:59"], "datetime64[ms]"))[0])
    '2026-11-20T22:15:00.000'
    """
    moments = times.astype("datetime64[ms]").astype(np.int64)
    kept: npt.NDArray[np.datetime64] = (moments // QUARTER_MS * QUARTER_MS).astype("datetime64[ms]")
    return kept


def nearest_middles(city: City, easting: Floats, northing: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The middle of the street section nearest to each place, (n, 2) in metres, and whether the place is in the city.

    easting, northing : (n,) metres; a place that is not finite is not in the city
    """
    from scipy.spatial import cKDTree

    points = section_middles(city)
    known = np.isfinite(easting) & np.isfinite(northing)
    distance = np.full(len(easting), np.inf)
    nearest = np.zeros(len(easting), np.int64)
    if known.any():
        distance[known], nearest[known] = cKDTree(points).query(np.column_stack([easting[known], northing[known]]))
    grid = city.settings.grid
    inside = (easting >= grid.west) & (easting < grid.east) & (northing >= grid.south) & (northing < grid.north)
    return points[nearest], inside & (distance <= OUTSIDE_M)


def section_middles(city: City) -> Floats:
    """Middles of the street sections within the grid, (n, 2) easting and northing in metres."""
    sections = city.places("sections")
    if not len(sections):
        raise AnswerError(f"{city.name} has no street sections to move answers to; build the city again")
    points = middles(sections.geometry.to_numpy())
    grid = city.settings.grid
    inside = (points[:, 0] >= grid.west) & (points[:, 0] < grid.east)
    inside &= (points[:, 1] >= grid.south) & (points[:, 1] < grid.north)
    if not inside.any():
        raise AnswerError(f"{city.name} has no street section within its grid; build the city again")
    return points[inside]
