"""A city from a council's open data: reads the files of a recipe and maps their columns to the tables of places."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS, Transformer
from shapely.ops import substring

from sensors.draft import Draft, LanternRule, RecordedHistory, Say, VirtualDevices, quiet
from sensors.errors import RecipeError, gather
from sensors.quantities import QUANTITIES
from sensors.recipe import TABLES, CityRecipe, Overlay, Recorded, Source, city_recipe, columns_of, history_recipe
from sensors.sections import cut_lines, middles
from sensors.tables import column_of, kept_rows, mapped, numbers_of, read_csv, texts_of

_PIECE_M = 20.0  # how finely a line is asked on which polygon it lies
_WIDTH_LIMITS_M = (2.0, 60.0)  # a road polygon outside of this is a square or a sliver, not a street
_REQUIRED_COLUMNS = {"devices": ("device", "quantity"), "streets": ("kind",), "venues": ("kind",), "stops": ("kind",)}


def draft_from_recipe(name: str, data: Path, *, say: Say = quiet) -> Draft:
    """What the files in `data` say of a city, by the recipe with this name or in this file."""
    recipe = city_recipe(name)
    if not data.is_dir():
        raise RecipeError(f"there is no folder '{data}' with the files of recipe '{name}'")
    problems: list[str] = []
    layers: dict[str, geopandas.GeoDataFrame] = {}
    repaired: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for table in TABLES:
        parts = []
        for number, source in enumerate(getattr(recipe, table), 1):
            try:
                parts.append(_rows(source, table, data, recipe, repaired, dropped))
                say(f"{table}: {len(parts[-1])} rows of {source.file}")
            except RecipeError as error:
                problems.append(f"{table}[{number}]: {error}")
        if parts:
            layers[table] = _stacked(parts)
    history = None
    if recipe.history is not None:
        try:
            history = _recorded(name, recipe.history, data)
        except RecipeError as error:
            problems.append(f"history: {error}")
    if problems:
        raise RecipeError(gather(f"recipe '{name}' with {data}", problems))
    area = recipe.area
    return Draft(
        id=recipe.id,
        name=recipe.name,
        zone=recipe.zone,
        crs=recipe.crs,
        simulated=recipe.simulated,
        attribution=recipe.attribution,
        licence=recipe.licence,
        layers=layers,
        virtual=VirtualDevices(
            recipe.virtual.footfall, recipe.virtual.noise, recipe.virtual.lux, recipe.virtual.controllers
        ),
        area=(area.west, area.south, area.east, area.north),
        cell_m=recipe.cell_m,
        lanterns=[
            LanternRule(
                tuple(rule.kinds),
                rule.lamp_class,
                rule.spacing_m,
                rule.both_sides,
                rule.narrow_m,
                rule.lumens,
                rule.watts,
                rule.lit_only,
                rule.clear_m,
                rule.published_clear_m,
            )
            for rule in recipe.lanterns
        ],
        history=history,
        lamp_source=recipe.lamp_source,
        repaired=repaired,
        dropped=dropped,
    )


def _recorded(name: str, recorded: Recorded, data: Path) -> RecordedHistory:
    """The file of records and its recipe, both checked to be there."""
    file = _within(data, recorded.file)
    if not file.is_file():
        raise RecipeError(f"there is no file '{file}'")
    recipe = recorded.recipe
    if recipe.endswith(".toml"):
        recipe = str(Path(name).parent / recipe)
    history_recipe(recipe)
    return RecordedHistory(file, recipe, recorded.demo_night)


def _rows(
    source: Source,
    table: str,
    data: Path,
    recipe: CityRecipe,
    repaired: Counter[str],
    dropped: Counter[str],
) -> geopandas.GeoDataFrame:
    """The rows of one source with the columns of its table."""
    frame = _read(source, data, table, dropped)
    where = f"'{source.file}'"
    frame = geopandas.GeoDataFrame(kept_rows(frame, source.keep, source.drop, where))
    if source.only_in is not None:
        keys = column_of(
            read_csv(_within(data, source.only_in.file)), source.only_in.column, f"'{source.only_in.file}'"
        )
        before = len(frame)
        frame = frame[texts_of(column_of(frame, source.only_in.on, where)).isin(set(texts_of(keys)))]
        dropped[f"{table}: not in {source.only_in.file}"] += before - len(frame)
    if source.join is not None:
        there = read_csv(_within(data, source.join.file))
        column_of(frame, source.join.on, where)
        for column in (source.join.column, *source.join.columns):
            column_of(there, column, f"'{source.join.file}'")
        there = there.drop_duplicates(source.join.column).set_index(source.join.column)[source.join.columns]
        there = there.rename(columns={name: f"{name}_joined" for name in there.columns if name in frame})
        frame = frame.join(there, on=source.join.on)
    if not len(frame):
        raise RecipeError(f"{where}: no row is left after keep, drop and only_in")
    if source.overlay is not None:
        # Only here, where every row is cut into pieces: half the time of building Melbourne.
        near = shapely.intersects(frame.to_crs(recipe.crs).geometry.to_numpy(), _rectangle(recipe))
        dropped[f"{table}: outside the area"] += int((~near).sum())
        if not near.any():
            raise RecipeError(f"{where}: no row lies in the city's area; are the area and the crs right?")
        frame = _overlaid(frame[near], source.overlay, data, recipe, repaired)
    problems = [
        f"{where}: the column '{name}' must be mapped"
        for name in _REQUIRED_COLUMNS.get(table, ())
        if name not in source.columns
    ]
    kinds = columns_of(table)
    mapped_names = []
    for name, rule in source.columns.items():
        try:
            frame[name] = mapped(frame, rule, kinds[name], where)
            mapped_names.append(name)
        except RecipeError as error:
            problems.append(str(error))
    if table == "devices" and not problems:
        odd = sorted(set(frame["quantity"]) - set(QUANTITIES))
        problems += [f"{where}: quantity '{name}'; expected one of {', '.join(QUANTITIES)}" for name in odd]
        if "origin" not in mapped_names:
            frame["origin"] = "recorded"
            mapped_names.append("origin")
    if problems:
        raise RecipeError("; ".join(problems))
    return frame[[*mapped_names, "geometry"]].explode(ignore_index=True).to_crs("EPSG:4326")


def _rectangle(recipe: CityRecipe) -> shapely.Polygon:
    """The projected rectangle around the area, with a margin of two cells for the grid's whole cells."""
    area = recipe.area
    to_city = Transformer.from_crs("EPSG:4326", recipe.crs, always_xy=True)
    bounds = to_city.transform_bounds(area.west, area.south, area.east, area.north, 21)
    return shapely.box(*bounds).buffer(2 * recipe.cell_m)


def _read(source: Source, data: Path, table: str, dropped: Counter[str]) -> geopandas.GeoDataFrame:
    path = _within(data, source.file)
    kind = source.format or ("csv" if ".csv" in path.name else "geojson")
    if kind == "geojson":
        frame = _read_geojson(path).set_crs(source.crs, allow_override=True)
    else:
        if not source.position:
            raise RecipeError(f'\'{source.file}\' is CSV: add position = ["lon", "lat"]')
        rows = read_csv(path, source.separator)
        where = f"'{source.file}'"
        east, north = (numbers_of(column_of(rows, name, where), where, name) for name in source.position)
        placed = east.notna() & north.notna()
        dropped[f"{table}: no position"] += int((~placed).sum())
        frame = geopandas.GeoDataFrame(
            rows[placed], geometry=geopandas.points_from_xy(east[placed], north[placed]), crs=source.crs
        )
    _check_degrees(frame, source)
    return frame.reset_index(drop=True)


def _read_geojson(path: Path) -> geopandas.GeoDataFrame:
    if not path.is_file():
        raise RecipeError(f"there is no file '{path}'")
    name = f"/vsigzip/{path.resolve()}" if path.name.endswith(".gz") else path
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fields of mixed type: every value is read as text below anyway
            frame = geopandas.read_file(name)
    except Exception as error:  # whatever the vector reader raises on a damaged file
        raise RecipeError(f"'{path}' cannot be read as GeoJSON ({error})") from error
    if not len(frame) or not isinstance(frame, geopandas.GeoDataFrame):
        raise RecipeError(f"'{path}' holds no features")
    missing = frame.geometry.isna() | frame.geometry.is_empty
    return frame[~missing]


def _check_degrees(frame: geopandas.GeoDataFrame, source: Source) -> None:
    west, south, east, north = frame.total_bounds
    if CRS.from_user_input(source.crs).is_geographic and not (
        -180 <= west <= east <= 180 and -90 <= south <= north <= 90
    ):
        raise RecipeError(
            f"'{source.file}' has coordinates like ({west:.6g}, {south:.6g}), which are not degrees of {source.crs}; "
            "say its crs, or swap the columns of position"
        )


def _within(data: Path, file: str) -> Path:
    path = data / file
    if not path.resolve().is_relative_to(data.resolve()):
        raise RecipeError(f"'{file}' lies outside the data folder")
    return path


def _overlaid(
    frame: geopandas.GeoDataFrame, overlay: Overlay, data: Path, recipe: CityRecipe, repaired: Counter[str]
) -> geopandas.GeoDataFrame:
    """The rows with the columns of the polygon below each; lines are cut where it changes.

    Where no polygon lies below, the columns are missing.
    """
    polygons = _read_geojson(_within(data, overlay.file)).set_crs(overlay.crs, allow_override=True)
    for column in overlay.columns:
        column_of(polygons, column, f"'{overlay.file}'")
    polygons = polygons.to_crs(recipe.crs).reset_index(drop=True)
    invalid = ~polygons.is_valid
    repaired[overlay.file] += int(invalid.sum())
    shapes = shapely.make_valid(polygons.geometry.to_numpy())
    here = frame.to_crs(recipe.crs).explode(ignore_index=True)
    is_line = (here.geom_type == "LineString").all()
    if is_line:
        pieces, of = cut_lines(here.geometry.to_numpy(), _PIECE_M)
        below = _polygon_below(shapes, middles(pieces))
        here, below = _runs(here, pieces, of, below)
    else:
        below = _polygon_below(shapes, shapely.get_coordinates(here.geometry.representative_point().to_numpy()))
    found = below >= 0
    for column in overlay.columns:
        values = polygons[column].to_numpy(dtype=object)[below]
        here[column] = pd.Series(np.where(found, values, None), index=here.index, dtype=object)
    if overlay.width:
        widths = _rectangle_width(shapes)[below]
        here[overlay.width] = np.where(found, np.clip(widths, *_WIDTH_LIMITS_M), np.nan)
    return here


def _polygon_below(shapes: Any, points: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Number of the first polygon under each point, -1 where there is none."""
    below = np.full(len(points), len(shapes), np.int64)
    point, polygon = shapely.STRtree(shapes).query(shapely.points(points), predicate="intersects")
    np.minimum.at(below, point, polygon)
    return np.where(below == len(shapes), -1, below)


def _runs(
    frame: geopandas.GeoDataFrame, pieces: Any, of: Any, below: Any
) -> tuple[geopandas.GeoDataFrame, np.ndarray[Any, np.dtype[np.int64]]]:
    """Neighbouring pieces of one line over one polygon put together again."""
    first = np.ones(len(of), bool)
    first[1:] = (of[1:] != of[:-1]) | (below[1:] != below[:-1])
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], len(of))
    lengths = shapely.length(pieces)
    upto = np.cumsum(lengths)
    begin_of_line = np.zeros(len(frame))
    begin_of_line[of[::-1]] = (upto - lengths)[::-1]
    lines = frame.geometry.to_numpy()
    rows = of[starts]
    cut = [
        substring(lines[row], upto[start] - lengths[start] - begin_of_line[row], upto[end - 1] - begin_of_line[row])
        for row, start, end in zip(rows, starts, ends, strict=True)
    ]
    result = frame.iloc[rows].reset_index(drop=True).set_geometry(geopandas.GeoSeries(cut, crs=frame.crs))
    return result, below[starts]


def _rectangle_width(shapes: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Short side of the rectangle with the same area and perimeter, metres."""
    half, area = shapely.length(shapes) / 2, shapely.area(shapes)
    width: np.ndarray[Any, np.dtype[np.float64]] = (half - np.sqrt(np.maximum(half**2 - 4 * area, 0.0))) / 2
    return width


def _stacked(parts: list[geopandas.GeoDataFrame]) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(pd.concat(parts, ignore_index=True), crs="EPSG:4326")
