"""The parts of a city that published shares are of, as areas: `places/districts.parquet`.

A file of areas is taken as it is. Where a city has only points that tell which part they lie in (a census of venues, an
address list), each spot within reach of such a point belongs to the part of the nearest one, and `source` says so.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely

from sensors.area_share import area_key
from sensors.city import City, GridSettings
from sensors.errors import CityError
from sensors.places import save_place

REACH_M = 300.0  # a spot farther from every point is of no part; about three blocks
CELL_M = 50.0  # of what is drawn around points; the released cell


def import_districts(city: City, file: Path, column: str) -> geopandas.GeoDataFrame:
    """Make the city's districts from a file of areas or points with their name in a column."""
    frame = _read(file, city.crs)
    if column not in frame:
        raise CityError(f"{file.name} has no column '{column}'; it has {', '.join(map(str, frame.columns[:-1]))}")
    known = np.isfinite(frame.geometry.bounds.to_numpy(np.float64)).all(axis=1)  # an empty cell of a table is no place
    frame = frame[frame[column].notna().to_numpy() & frame.geometry.notna().to_numpy() & known]
    kinds = set(frame.geom_type)
    if not len(frame) or not (kinds <= {"Polygon", "MultiPolygon"} or kinds <= {"Point"}):
        raise CityError(f"{file.name} holds {', '.join(sorted(kinds)) or 'nothing'}; expected areas, or points alone")
    names = frame[column].astype(str).str.strip()
    grid = city.settings.grid
    low = np.floor(np.array([grid.west, grid.south]) / CELL_M) * CELL_M
    high = np.ceil(np.array([grid.east, grid.north]) / CELL_M) * CELL_M  # released cells that the edge cuts are whole
    whole = shapely.box(*low, *high)
    drawn = kinds <= {"Point"}
    shapes = _around(frame.geometry, names, grid) if drawn else _joined(frame.geometry, names)
    shapes = {name: shape.intersection(whole) for name, shape in sorted(shapes.items())}
    kept = {name: shape for name, shape in shapes.items() if shape.area > 0}
    if not kept:
        raise CityError(f"nothing of {file.name} lies in {city.name}; is it of another city?")
    source = f"drawn around points of {file.name}" if drawn else f"areas of {file.name}"
    table = {"district": np.arange(1, len(kept) + 1), "name": list(kept), "source": source}
    districts = geopandas.GeoDataFrame(table, geometry=[_flat(one) for one in kept.values()], crs=city.crs)
    save_place(city.path, "districts", districts)
    return districts


def districts_of(codes: list[str], districts: geopandas.GeoDataFrame) -> dict[str, list[int]]:
    """Which rows of the districts each area of published shares consists of; areas without any are left out.

    codes : as `area_key` gives them. 'Melbourne (CBD)' is of 'melbourne'. A district is of one area: an area of one
    name comes before one that has the name among others.
    """
    base = [area_key(re.sub(r"\(.*?\)", " ", name)) for name in districts["name"]]
    owner: dict[str, str] = {}
    for code in sorted(codes, key=lambda code: code.count(" + ")):
        for name in {code, *code.split(" + ")}:
            owner.setdefault(name, code)
    found: dict[str, list[int]] = {}
    for row, name in enumerate(base):
        if name in owner:
            found.setdefault(owner[name], []).append(row)
    return found


def _read(file: Path, crs: str) -> geopandas.GeoDataFrame:
    try:
        if file.name.lower().endswith((".csv", ".csv.gz")):
            table = pd.read_csv(file)
            lower = {str(name).lower(): name for name in table.columns}
            if not {"lon", "lat"} <= set(lower):
                raise CityError(f"{file.name} has no columns lon and lat; a CSV of points needs both")
            points = geopandas.points_from_xy(table[lower["lon"]], table[lower["lat"]], crs="EPSG:4326")
            return geopandas.GeoDataFrame(table, geometry=points).to_crs(crs)
        path = f"/vsigzip/{file}" if file.name.endswith(".gz") else file
        frame = geopandas.read_file(path).to_crs(crs)
        return frame.set_geometry(frame.geometry.make_valid())
    except CityError:
        raise
    except Exception as error:  # whatever the readers of spatial files raise
        raise CityError(f"{file} cannot be read as areas or points ({error})") from error


def _joined(shapes: geopandas.GeoSeries, names: pd.Series[str]) -> dict[str, Any]:
    return {str(name): shapely.union_all(part.to_numpy()) for name, part in shapes.groupby(names)}


def _around(points: geopandas.GeoSeries, names: pd.Series[str], grid: GridSettings) -> dict[str, Any]:
    """The 50 m cells of the map whose middle is nearest to a point of each name and within reach of it."""
    from scipy.spatial import cKDTree

    west, south = np.floor(grid.west / CELL_M) * CELL_M, np.floor(grid.south / CELL_M) * CELL_M
    easting, northing = np.meshgrid(np.arange(west, grid.east, CELL_M), np.arange(south, grid.north, CELL_M))
    corner = np.column_stack([easting.ravel(), northing.ravel()])
    place = np.column_stack([points.x.to_numpy(np.float64), points.y.to_numpy(np.float64)])
    distance, nearest = cKDTree(place).query(corner + CELL_M / 2)
    of = np.where(distance <= REACH_M, names.to_numpy(dtype=object)[np.minimum(nearest, len(place) - 1)], "")
    cells = shapely.box(corner[:, 0], corner[:, 1], corner[:, 0] + CELL_M, corner[:, 1] + CELL_M)
    return {str(name): shapely.union_all(cells[of == name]) for name in sorted(set(of) - {""})}


def _flat(shape: Any) -> Any:
    """Only the areas of what is left after clipping."""
    parts = [part for part in getattr(shape, "geoms", [shape]) if part.geom_type == "Polygon"]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
