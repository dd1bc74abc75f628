"""Where people could be told something: near a street, not in the water, not inside a building.

Elsewhere a missing value is drawn as nothing; here it is hatched, because its absence is news. The mask is kept in
`store/basemap/` under a digest of the places, because laying it costs the first visitor about a second.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from dashboard.tiles import GridFrame
from sensors.city import City
from sensors.errors import CityError

_NEAR_STREET_M = 60.0  # about a block's depth: squares and parks between streets still belong to the city


def places_digest(city: City, note: str) -> str:
    """Which streets, buildings and areas a drawing shows, and by which `note` on how it was made."""
    seen = hashlib.sha256(note.encode())
    for name in ("streets", "buildings", "areas"):
        file = city.path / "places" / f"{name}.parquet"
        seen.update(file.read_bytes() if file.is_file() else b"none")
    return seen.hexdigest()[:12]


def kept_ground(city: City, frame: GridFrame) -> npt.NDArray[np.bool_]:
    """The ground mask from the shelf, laid and kept there when it is not."""
    file = city.shelf("basemap", f"ground-{places_digest(city, repr((_NEAR_STREET_M, frame)))}.npy")
    if file.is_file():
        return np.asarray(np.load(file), bool)
    mask = ground_mask(city, frame)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new.npy")
    np.save(beside, mask)
    beside.replace(file)
    return mask


def ground_mask(city: City, frame: GridFrame) -> npt.NDArray[np.bool_]:
    """True where a cell's centre lies on open ground of the city, (northing, easting) ascending."""
    from rasterio.features import rasterize
    from rasterio.transform import Affine

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
