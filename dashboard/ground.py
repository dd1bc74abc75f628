"""Where people could be told something: near a street, not in the water, not inside a building.

Elsewhere a missing value is drawn as nothing; here it is hatched, because its absence is news.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from rasterio.features import rasterize
from rasterio.transform import Affine

from dashboard.tiles import GridFrame
from sensors.city import City
from sensors.errors import CityError

_NEAR_STREET_M = 60.0  # about a block's depth: squares and parks between streets still belong to the city


def ground_mask(city: City, frame: GridFrame) -> npt.NDArray[np.bool_]:
    """True where a cell's centre lies on open ground of the city, (northing, easting) ascending."""
    # Rows ascend with northing, so the transform has a positive step in both directions.
    transform = Affine(frame.cell_m, 0, frame.west, 0, frame.cell_m, frame.south)

    def covered(shapes: list[object]) -> npt.NDArray[np.bool_]:
        if not shapes:
            return np.zeros(frame.shape, bool)
        return np.asarray(rasterize(shapes, frame.shape, transform=transform, dtype="uint8"), bool)

    streets = city.places("streets").geometry
    near = covered(list(streets.buffer(_NEAR_STREET_M, quad_segs=3)))
    indoors = covered(list(city.places("buildings").geometry))
    try:
        areas = city.places("areas")
        water = covered(list(areas.geometry[areas["kind"] == "water"]))
    except CityError:  # a city may have no table of areas
        water = np.zeros(frame.shape, bool)
    return near & ~indoors & ~water
