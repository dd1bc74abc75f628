"""Means over fixed squares of the ground, such as the 50 m cells that are released."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


class Squares:
    """Which square each row and column of a grid lies in; both ascend."""

    def __init__(self, row: Places, column: Places) -> None:
        self.row, self.column = row, column
        self.shape = (int(row.max()) + 1, int(column.max()) + 1)
        self._starts_n = np.flatnonzero(np.diff(row, prepend=row[0] - 1))
        self._starts_e = np.flatnonzero(np.diff(column, prepend=column[0] - 1))

    @classmethod
    def of_side(cls, northing: Floats, easting: Floats, side: float) -> Squares:
        """Squares of a side whose corners are whole multiples of it."""
        return cls(cells_of(northing, side)[0], cells_of(easting, side)[0])

    def total(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Sums (k, rows, columns) of values (k, northing, easting), of the rows and columns that the grid reaches."""
        return np.add.reduceat(np.add.reduceat(values, self._starts_n, axis=1), self._starts_e, axis=2)

    def joined(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Bits that any cell of a square has, (k, rows, columns)."""
        bits = np.bitwise_or.reduceat(np.bitwise_or.reduceat(values, self._starts_n, axis=1), self._starts_e, axis=2)
        return np.asarray(bits, values.dtype)

    def mean(self, values: npt.NDArray[Any], where: npt.NDArray[np.bool_]) -> Floats:
        """Means (k, rows, columns) of the cells where `where` is true, NaN without any; both (k, northing, easting)."""
        mean = np.full((len(values), *self.shape), np.nan)
        if len(values):
            sums, counts = self.total(np.where(where, values, np.float64(0))), self.total(where.astype(np.float64))
            known = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
            mean[:, self.row[self._starts_n][:, None], self.column[self._starts_e][None, :]] = known
        return mean

    @property
    def edges(self) -> tuple[Places, Places]:
        """Where squares begin on the grid, northwards and eastwards, and its end."""
        return np.append(self._starts_n, self.row.size), np.append(self._starts_e, self.column.size)

    def corners(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What stands at each square's first cell, (squares,), row by row."""
        return np.ascontiguousarray(values[self._starts_n[:, None], self._starts_e[None, :]].ravel())

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values (squares,), row by row, put into each of their cells, (northing * easting,)."""
        shape = self._starts_n.size, self._starts_e.size
        row, column = (
            np.searchsorted(starts, np.arange(n.size), side="right") - 1
            for starts, n in ((self._starts_n, self.row), (self._starts_e, self.column))
        )
        return values.reshape(shape)[row[:, None], column[None, :]].ravel()

    def back(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values of squares (k, rows, columns) put into each of their cells, (k, northing, easting)."""
        return values[:, self.row[:, None], self.column[None, :]]


def cells_of(centres: Floats, side: float) -> tuple[Places, Floats]:
    """Which fixed cell of a side each centre is in, from 0, and the centres of those cells."""
    number = np.floor(centres / side).astype(np.intp)
    first, last = int(number.min()), int(number.max())
    middles: Floats = (np.arange(first, last + 1, dtype=np.float64) + 0.5) * side
    return number - first, middles
