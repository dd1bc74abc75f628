"""The metric grid on which a city's fields live."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sensors.city import City


@dataclass(frozen=True)
class Grid:
    """Square cells in the city's projection; edges are whole multiples of the cell, centres ascend on both axes.

    cell_m : side of a cell, metres; west, south : outer edges, metres; shape : rows (northing) and columns (easting)
    """

    cell_m: float
    west: float
    south: float
    shape: tuple[int, int]

    @classmethod
    def of(cls, city: City) -> "Grid":
        """The grid that `city.toml` asks for."""
        wanted = city.settings.grid
        columns = round((wanted.east - wanted.west) / wanted.cell_m)
        rows = round((wanted.north - wanted.south) / wanted.cell_m)
        return cls(wanted.cell_m, wanted.west, wanted.south, (rows, columns))

    @property
    def northing(self) -> NDArray[np.float64]:
        """Centres of the rows, metres, ascending."""
        return self.south + (np.arange(self.shape[0], dtype=np.float64) + 0.5) * self.cell_m

    @property
    def easting(self) -> NDArray[np.float64]:
        """Centres of the columns, metres, ascending."""
        return self.west + (np.arange(self.shape[1], dtype=np.float64) + 0.5) * self.cell_m

    def dataset(self) -> xr.Dataset:
        """An empty dataset with the grid's coordinates."""
        return xr.Dataset(coords=self.coordinates)

    @cached_property
    def coordinates(self) -> xr.Coordinates:
        """The grid's coordinates with their indexes, laid out once: each page has the same."""
        coordinates = {}
        for name, values, axis in (("northing", self.northing, "y"), ("easting", self.easting, "x")):
            attributes = {"units": "m", "standard_name": f"projection_{axis}_coordinate", "axis": axis.upper()}
            coordinates[name] = (name, values, attributes)
        return xr.Dataset(coords=coordinates).coords

    def cells(
        self, easting: NDArray[np.float64], northing: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Row and column of the cell that holds each point, clipped to the grid, and whether the point is inside."""
        row = np.floor((northing - self.south) / self.cell_m).astype(np.int64)
        column = np.floor((easting - self.west) / self.cell_m).astype(np.int64)
        inside = (row >= 0) & (row < self.shape[0]) & (column >= 0) & (column < self.shape[1])
        return row.clip(0, self.shape[0] - 1), column.clip(0, self.shape[1] - 1), inside
