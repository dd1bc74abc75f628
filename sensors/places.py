"""The city's places: what columns each table has, and whether a folder's tables are as they should be.

Tables are GeoParquet in the city's projection, metres. Extra columns are kept and ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd

from sensors.city import DIMMING_CURVES, City, GridSettings
from sensors.errors import CityError, gather
from sensors.quantities import QUANTITIES

# What people can see of being looked after: what it does to how they feel is asked, never assumed.
PRESENCE = ("camera", "staff", "patrol")
ORIGINS = ("device", "recorded", "simulated")


@dataclass(frozen=True, slots=True)
class PlaceTable:
    """A kind of place: its columns (name -> kind of value), its geometry, and whether a city can do without."""

    columns: dict[str, str]  # 'int', 'float', 'str', 'bool' or 'time'
    geometry: tuple[str, ...]
    key: str | None  # the column that names a row once
    optional: bool = False


_LINE = ("LineString", "MultiLineString")
_AREA = ("Polygon", "MultiPolygon")

PLACES: dict[str, PlaceTable] = {
    "sites": PlaceTable(
        {
            "site": "int",
            "device": "str",
            "quantity": "str",
            "height_m": "float",
            "plane": "str",
            "mounting": "str",
            "sensor_class": "str",
            "calibration": "str",
            "lamps": "str",
            "origin": "str",
            "valid_from": "time",
            "valid_to": "time",
        },
        ("Point",),
        "site",
    ),
    "lamps": PlaceTable(
        {
            "lamp": "str",
            "asset_id": "str",
            "cabinet": "str",
            "circuit": "str",
            "switchable_unit": "str",
            "luminaire": "str",
            "lumens": "float",
            "watts": "float",
            "mf": "float",
            "height_m": "float",
            "cct_k": "float",
            "installed": "str",
            "source": "str",
        },
        ("Point",),
        "lamp",
    ),
    "streets": PlaceTable(
        {"street": "int", "name": "str", "kind": "str", "walkable": "bool", "lit": "str", "width_m": "float"},
        _LINE,
        "street",
    ),
    "sections": PlaceTable(
        {
            "section": "int",
            "street": "int",
            "name": "str",
            "length_m": "float",
            "required_class": "str",
            "class_source": "str",
        },
        _LINE,
        "section",
    ),
    "buildings": PlaceTable({"building": "int", "height_m": "float"}, _AREA, "building"),
    "venues": PlaceTable(
        {"venue": "int", "name": "str", "kind": "str", "capacity": "float", "closes_min": "int"}, ("Point",), "venue"
    ),
    "stops": PlaceTable({"stop": "int", "name": "str", "kind": "str"}, ("Point",), "stop", optional=True),
    "areas": PlaceTable({"area": "int", "kind": "str", "name": "str"}, _AREA, "area", optional=True),
    "districts": PlaceTable({"district": "int", "name": "str", "source": "str"}, _AREA, "district", optional=True),
    "presence": PlaceTable(
        {"presence": "int", "kind": "str", "from_min": "int", "to_min": "int", "source": "str"},
        ("Point",),
        "presence",
        optional=True,
    ),
    "traffic": PlaceTable({"road": "str", "aadt": "float", "kind": "str"}, _LINE, None, optional=True),
}

# Optional columns of the lamps: lowest and highest that is no slip.
_LAMP_OPTIONS = {"azimuth_deg": (-360.0, 360.0), "tilt_deg": (-45.0, 90.0), "overhang_m": (0.0, 10.0)}

_KINDS = {
    "int": pd.api.types.is_integer_dtype,
    "float": pd.api.types.is_numeric_dtype,
    "str": lambda dtype: pd.api.types.is_string_dtype(dtype) or pd.api.types.is_object_dtype(dtype),
    "bool": pd.api.types.is_bool_dtype,
    "time": pd.api.types.is_datetime64_any_dtype,
}


def load_place(city_path: Path, name: str, crs: str) -> geopandas.GeoDataFrame:
    """One table of places of the city folder; CityError when it is missing or not as it should be.

    An optional table that is missing is an empty one.
    """
    table = PLACES[name]
    file = city_path / "places" / f"{name}.parquet"
    if not file.is_file():
        if table.optional:
            return empty_place(name, crs)
        raise CityError(f"{file} is missing; build the city again with 'noctule city build' or restore the file")
    try:
        frame = geopandas.read_parquet(file)
    except Exception as error:  # whatever the Parquet and geometry readers raise on a damaged file
        raise CityError(f"{file} cannot be read ({error}); restore it or build the city again") from error
    problems = table_problems(name, frame, crs)
    if problems:
        raise CityError(gather(str(file), problems))
    return frame


def missing_places(city_path: Path) -> list[str]:
    """The files of tables that a city cannot do without and that are not there."""
    files = [f"{name}.parquet" for name, table in PLACES.items() if not table.optional]
    return [file for file in files if not (city_path / "places" / file).is_file()]


def empty_place(name: str, crs: str) -> geopandas.GeoDataFrame:
    """A table of places with the right columns and no rows."""
    dtypes = {"int": "int64", "float": "float32", "str": "str", "bool": "bool", "time": "datetime64[ms]"}
    columns = {column: pd.Series(dtype=dtypes[kind]) for column, kind in PLACES[name].columns.items()}
    return geopandas.GeoDataFrame(columns, geometry=geopandas.GeoSeries([], crs=crs), crs=crs)


def save_place(city_path: Path, name: str, frame: geopandas.GeoDataFrame) -> None:
    """Write one table of places, checked, beside and then renamed."""
    problems = table_problems(name, frame, str(frame.crs))
    if problems:
        raise CityError(gather(f"places/{name}", problems))
    folder = city_path / "places"
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f"{name}.parquet.new"
    frame.to_parquet(beside, index=False, compression="zstd")
    beside.replace(folder / f"{name}.parquet")


def table_problems(name: str, frame: geopandas.GeoDataFrame, crs: str) -> list[str]:
    """Everything that is wrong with a table of places, a sentence each."""
    table = PLACES[name]
    problems = [f"column '{column}' is missing" for column in table.columns if column not in frame.columns]
    problems += [
        f"column '{column}' holds {frame[column].dtype}, expected {kind}"
        for column, kind in table.columns.items()
        if column in frame.columns and len(frame) and not _KINDS[kind](frame[column].dtype)
    ]
    if frame.crs is None or frame.crs != crs:
        problems.append(f"coordinates are in {frame.crs}, the city's are {crs}")
    if problems or not len(frame):
        return problems
    kinds = set(frame.geom_type.dropna().unique()) - set(table.geometry)
    if kinds:
        problems.append(f"geometry holds {', '.join(sorted(kinds))}; expected {' or '.join(table.geometry)}")
    missing = int((frame.geometry.isna() | frame.geometry.is_empty).sum())
    if missing:
        problems.append(f"{missing} rows have no geometry")
    if table.key is not None:
        twice = frame[table.key][frame[table.key].duplicated()].unique()
        if len(twice):
            problems.append(f"{table.key} {', '.join(str(value) for value in twice[:5])} stand more than once")
    if name == "sites":
        problems += _site_problems(frame)
    if name == "lamps":
        problems += _lamp_problems(frame)
    return problems


def check_city(city_path: Path) -> list[str]:
    """Everything that is wrong with a city folder, a line each; empty when all is well."""
    try:
        city = City.open(city_path)
    except CityError as error:
        return str(error).splitlines()
    problems: list[str] = []
    for name in PLACES:
        try:
            frame = city.places(name)
        except CityError as error:
            problems += str(error).splitlines()
            continue
        problems += _outside(name, frame, city.settings.grid)
    from sensors.city_layer import layer_problems
    from sensors.light_survey import survey_problems
    from sensors.luminaire_files import luminaire_problems

    problems += survey_problems(city) + layer_problems(city) + luminaire_problems(city)
    if not city.simulated and not problems:
        simulated = city.places("sites")["origin"] == "simulated"
        if simulated.any():
            problems.append(
                f"places/sites: {int(simulated.sum())} sites are simulated, but city.toml lacks 'simulated = true'"
            )
    return problems


def _outside(name: str, frame: geopandas.GeoDataFrame, grid: GridSettings) -> list[str]:
    if not len(frame):
        return [f"places/{name}: the table is empty; without streets there is no map"] if name == "streets" else []
    box = frame.geometry.bounds
    out = (box.maxx < grid.west) | (box.minx > grid.east) | (box.maxy < grid.south) | (box.miny > grid.north)
    return [f"places/{name}: all {len(frame)} rows lie outside the grid"] if bool(np.all(out)) else []


def _lamp_problems(frame: geopandas.GeoDataFrame) -> list[str]:
    """What is wrong with the columns that a table of lamps may have (docs/map.md, Light)."""
    problems = []
    for column, (low, high) in _LAMP_OPTIONS.items():
        if column not in frame:
            continue
        values = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64)
        odd = frame[column].notna().to_numpy() & (frame[column].astype(str) != "").to_numpy()
        odd &= ~((values >= low) & (values <= high))
        if odd.any():
            row = frame[odd].iloc[0]
            problems.append(f"lamp '{row.lamp}' has {column} '{row[column]}'; expected {low:g} to {high:g} or nothing")
    if "dimming_curve" in frame:
        unknown = sorted(set(frame["dimming_curve"].fillna("").astype(str)) - {"", *DIMMING_CURVES})
        if unknown:
            problems.append(f"dimming_curve '{unknown[0]}' is not known; expected one of {', '.join(DIMMING_CURVES)}")
    return problems


def _site_problems(frame: geopandas.GeoDataFrame) -> list[str]:
    problems = []
    for column, allowed in (("quantity", tuple(QUANTITIES)), ("origin", ORIGINS)):
        odd = sorted(set(frame[column]) - set(allowed))
        if odd:
            problems.append(f"{column} '{odd[0]}' is not known; expected one of {', '.join(allowed)}")
    both = frame[frame.valid_to.isna()]
    twice = both[both.duplicated(["device", "quantity"])]
    if len(twice):
        row = twice.iloc[0]
        problems.append(f"device '{row.device}' has more than one valid site for {row.quantity}; retire the old one")
    return problems
