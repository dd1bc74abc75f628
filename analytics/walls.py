"""The walls of a city's buildings, laid out for rays of light (`kernels/sight.py`)."""

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray

from analytics.kernels.sight import Walls

_BUCKET_M = 24.0  # a ray of 30 m meets two or three; houses have some ten walls in one
_NOTHING = np.zeros(0)


def no_walls() -> Walls:
    """A city in which nothing shades."""
    none = np.zeros(0, np.int32)
    return Walls(
        0.0, 0.0, _BUCKET_M, 0, 0, np.zeros(1, np.int64), _NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, none, none
    )  # fmt: skip


def walls_of(buildings: geopandas.GeoDataFrame, easting: NDArray[np.float64], northing: NDArray[np.float64]) -> Walls:
    """Walls of all buildings, with the building that each lamp stands in; one of unknown height is above all lamps.

    easting, northing : (n,) of the lamps, metres
    """
    shapes = buildings.geometry.to_numpy()
    parts, building = shapely.get_parts(shapes, return_index=True)
    areas = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    rings, part = shapely.get_rings(parts[areas], return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    joined = np.flatnonzero(ring[1:] == ring[:-1])
    if not joined.size:
        return no_walls()
    owner = building[areas][part][ring[joined]]
    height = buildings["height_m"].to_numpy(np.float64) if "height_m" in buildings else np.full(len(shapes), np.nan)
    top = np.where(np.isfinite(height) & (height > 0), height, np.inf)[owner]
    ends = np.column_stack([points[joined], points[joined + 1], top])
    return _in_buckets(ends, owner.astype(np.int32), _hosts(shapes, easting, northing))


def _hosts(
    shapes: NDArray[np.object_], easting: NDArray[np.float64], northing: NDArray[np.float64]
) -> NDArray[np.int32]:
    host = np.full(easting.size, -1, np.int32)
    lamp, building = shapely.STRtree(shapes).query(shapely.points(easting, northing), predicate="intersects")
    host[lamp] = building
    return host


def _in_buckets(ends: NDArray[np.float64], owner: NDArray[np.int32], host: NDArray[np.int32]) -> Walls:
    west, south = min(ends[:, 0].min(), ends[:, 2].min()), min(ends[:, 1].min(), ends[:, 3].min())
    c0 = ((np.minimum(ends[:, 0], ends[:, 2]) - west) // _BUCKET_M).astype(np.int64)
    c1 = ((np.maximum(ends[:, 0], ends[:, 2]) - west) // _BUCKET_M).astype(np.int64)
    r0 = ((np.minimum(ends[:, 1], ends[:, 3]) - south) // _BUCKET_M).astype(np.int64)
    r1 = ((np.maximum(ends[:, 1], ends[:, 3]) - south) // _BUCKET_M).astype(np.int64)
    n_east, n_north = int(c1.max()) + 1, int(r1.max()) + 1
    touched = (c1 - c0 + 1) * (r1 - r0 + 1)
    wall = np.repeat(np.arange(len(ends)), touched)
    within = np.arange(wall.size) - np.repeat(np.cumsum(touched) - touched, touched)
    width = (c1 - c0 + 1)[wall]
    bucket = (r0[wall] + within // width) * n_east + c0[wall] + within % width
    order = np.lexsort((wall, bucket))
    start = np.searchsorted(bucket[order], np.arange(n_east * n_north + 1)).astype(np.int64)
    parts = [np.ascontiguousarray(column) for column in ends[wall[order]].T]
    owners = owner[wall[order]]
    return Walls(
        float(west), float(south), _BUCKET_M, n_east, n_north, start, parts[0], parts[1], parts[2], parts[3], parts[4],
        owners, host,
    )  # fmt: skip
