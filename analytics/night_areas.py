"""The parts of a city that a night report speaks of: its districts, or squares of 400 m with a letter and a number.

A square is never called by the name of a street or a house: letters run from the west, numbers from the north, as on a
town plan.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas
import numpy as np
import numpy.typing as npt

from sensors.city import City, GridSettings

SIDE_M = 400.0


@dataclass(frozen=True)
class Areas:
    """Parts by number from 0; `names` (n,), and whether they are squares of the ground."""

    names: tuple[str, ...]
    squares: bool
    shapes: geopandas.GeoSeries | None
    west: float = 0.0
    north: float = 0.0
    columns: int = 0

    def of(self, easting: npt.NDArray[np.float64], northing: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The part in which each point lies, (n,); -1 where it is in none."""
        if self.shapes is None:
            column = np.floor((easting - self.west) / SIDE_M)
            row = np.floor((self.north - northing) / SIDE_M)
            inside = (column >= 0) & (column < self.columns) & (row >= 0) & (row * self.columns < len(self.names))
            return np.where(inside, row * self.columns + column, -1).astype(np.int64)
        points = geopandas.GeoSeries(geopandas.points_from_xy(easting, northing), crs=self.shapes.crs)
        which, area = self.shapes.sindex.query(points, predicate="intersects")[:2]
        out = np.full(len(points), -1, np.int64)
        out[which[::-1]] = area[::-1]  # on a border: the first
        return out


def areas_of(city: City) -> Areas:
    """The city's districts where it has any, else its squares."""
    districts = city.places("districts")
    if len(districts):
        return Areas(tuple(districts["name"].astype(str)), False, districts.geometry.reset_index(drop=True))
    return _squares(city.settings.grid)


def _squares(grid: GridSettings) -> Areas:
    west, north = np.floor(grid.west / SIDE_M) * SIDE_M, np.ceil(grid.north / SIDE_M) * SIDE_M
    columns, rows = int(np.ceil((grid.east - west) / SIDE_M)), int(np.ceil((north - grid.south) / SIDE_M))
    names = tuple(f"{column_letter(column)}{row + 1}" for row in range(rows) for column in range(columns))
    return Areas(names, True, None, float(west), float(north), columns)


def column_letter(column: int) -> str:
    """A, B, ... Z, AA, AB, ...

    >>> column_letter(0), column_letter(25), column_letter(26)
    ('A', 'Z', 'AA')
    """
    text = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text
