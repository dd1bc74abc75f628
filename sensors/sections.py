"""Cuts streets into pieces short enough to be one place: the sections that answers are coarsened to."""

from __future__ import annotations

import geopandas
import numpy as np
import numpy.typing as npt
import shapely
from shapely.ops import substring

LONGEST_M = 100.0  # perception.md: an answer is kept at the middle of a section of at most this length

Lines = npt.NDArray[np.object_]


def cut_lines(lines: Lines, longest_m: float) -> tuple[Lines, npt.NDArray[np.int64]]:
    """Equal pieces of each line, none longer than `longest_m`, and the number of the line each came from.

    >>> pieces, of = cut_lines(np.array([shapely.LineString([(0, 0), (250, 0)])]), 100.0)
    >>> [round(piece.length, 1) for piece in pieces], of.tolist()
    ([83.3, 83.3, 83.3], [0, 0, 0])
    """
    lengths = shapely.length(lines)
    counts = np.maximum(np.ceil(lengths / longest_m - 1e-9), 1).astype(np.int64)
    of = np.repeat(np.arange(len(lines)), counts)
    pieces = np.empty(len(of), object)
    at = 0
    for line, length, count in zip(lines, lengths, counts, strict=True):
        for part in range(count):
            share = length / count
            pieces[at] = line if count == 1 else substring(line, part * share, (part + 1) * share)
            at += 1
    return pieces, of


def middles(lines: Lines) -> npt.NDArray[np.float64]:
    """Easting and northing halfway along each line, metres, shape (n, 2)."""
    return shapely.get_coordinates(shapely.line_interpolate_point(lines, 0.5, normalized=True))


def sections_of(streets: geopandas.GeoDataFrame, required: dict[str, str]) -> geopandas.GeoDataFrame:
    """The table `sections` of the walkable streets.

    Parameters
    ----------
    streets : GeoDataFrame
        The table `streets`, metres.
    required : dict
        Assumed lighting class (EN 13201-2) by kind of street; a kind that is not there gets ''.
    """
    walkable = streets[streets.walkable]
    pieces, of = cut_lines(walkable.geometry.to_numpy(), LONGEST_M)
    rows = walkable.iloc[of]
    classes = rows.kind.map(required).fillna("").to_numpy(dtype=object)
    return geopandas.GeoDataFrame(
        {
            "section": np.arange(len(of), dtype=np.int64),
            "street": rows.street.to_numpy(),
            "name": rows["name"].to_numpy(dtype=object),
            "length_m": shapely.length(pieces).astype(np.float32),
            "required_class": classes,
            "class_source": np.where(classes == "", "", "assumed").astype(object),
        },
        geometry=pieces,
        crs=streets.crs,
    )
