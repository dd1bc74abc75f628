"""What people can see of being looked after: cameras, staff and patrols, where and at which hours.

It is taken from what a city tells, never from the cameras themselves, and only what people can see counts: whether it
goes with feeling safer or less safe, and for whom, is asked and never assumed.

A file is CSV or any spatial file, one row a place: `kind` (camera, staff or patrol), `lon` and `lat` in degrees (or the
file's own point), `from` and `to` as local hours such as 22:00 and 03:00 (empty: at all hours), `source`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd

from sensors.city import City
from sensors.errors import CityError, gather
from sensors.places import PRESENCE

MOST_ROWS = 50_000
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_DAY_MIN = 1440
_TOLD = 20


def read_presence(file: Path, city: City) -> geopandas.GeoDataFrame:
    """The rows of a file as `places/presence.parquet` keeps them; CityError names everything that is wrong."""
    table = _load(file)
    missing = [name for name in ("kind", "lon", "lat") if name not in table]
    if missing:
        raise CityError(f"{file.name} has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    if not 0 < len(table) <= MOST_ROWS:
        raise CityError(f"{file.name} has {len(table)} rows; expected 1 to {MOST_ROWS}")
    problems: list[str] = []
    rows = [_row(number, row, problems) for number, row in enumerate(table.to_dict("records"), start=2)]
    kept = pd.DataFrame([row for row in rows if row is not None])
    if problems:
        more = [f"... and {len(problems) - _TOLD} more"] if len(problems) > _TOLD else []
        raise CityError(gather(file.name, [*problems[:_TOLD], *more]))
    points = geopandas.points_from_xy(kept.pop("lon"), kept.pop("lat"), crs="EPSG:4326").to_crs(city.crs)
    frame = geopandas.GeoDataFrame(kept.assign(presence=np.arange(len(kept))), geometry=points, crs=city.crs)
    grid = city.settings.grid
    inside = frame.geometry.x.between(grid.west, grid.east) & frame.geometry.y.between(grid.south, grid.north)
    if not inside.any():
        raise CityError(f"none of the {len(frame)} places of {file.name} is within the map of {city.name}")
    return frame[inside].reset_index(drop=True)


def keep_presence(city: City, frame: geopandas.GeoDataFrame) -> None:
    """Write the city's presence anew; what stood there before is replaced."""
    path = city.path / "places" / "presence.parquet"
    beside = path.with_suffix(".parquet.new")
    frame.to_parquet(beside)
    beside.replace(path)


def _load(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise CityError(f"there is no file '{file}'")
    try:
        if file.suffix.lower() == ".csv":
            return pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig", nrows=MOST_ROWS + 1)
        spatial = geopandas.read_file(file, rows=MOST_ROWS + 1).to_crs("EPSG:4326")
        points = spatial.geometry.representative_point()
        return pd.DataFrame(spatial.drop(columns=spatial.geometry.name)).assign(lon=points.x, lat=points.y)
    except Exception as error:  # whatever the readers raise on a damaged file
        raise CityError(f"{file} cannot be read ({error})") from error


def _row(number: int, row: dict[Any, Any], problems: list[str]) -> dict[str, Any] | None:
    said = {str(name): "" if value is None or value != value else str(value).strip() for name, value in row.items()}
    kind = said["kind"].strip().lower()
    begins, ends = (said.get(name, "") for name in ("from", "to"))
    if kind not in PRESENCE:
        problems.append(f"row {number}: kind '{said['kind'][:40]}' is none of {', '.join(PRESENCE)}")
    try:
        lon, lat = float(said["lon"]), float(said["lat"])
    except ValueError:
        lon = lat = np.nan
    if not (abs(lon) <= 180 and abs(lat) <= 90):
        problems.append(f"row {number}: lon '{said['lon'][:20]}', lat '{said['lat'][:20]}' is not on the globe")
    hours = _minutes(begins, ends)
    if hours is None:
        problems.append(
            f"row {number}: from '{begins[:20]}' and to '{ends[:20]}' must both be hours like 22:00, or empty"
        )
        return None
    return {
        "kind": kind,
        "from_min": hours[0],
        "to_min": hours[1],
        "source": said.get("source", ""),
        "lon": lon,
        "lat": lat,
    }


def _minutes(begins: str, ends: str) -> tuple[int, int] | None:
    """Minutes after local noon; a span over noon is two places, which nobody needs at night, and is refused."""
    if not begins and not ends:
        return 0, _DAY_MIN
    found = [_CLOCK.fullmatch(text.strip()) for text in (begins, ends)]
    if found[0] is None or found[1] is None:
        return None
    first, last = ((60 * int(hit[1]) + int(hit[2]) - 720) % _DAY_MIN for hit in found if hit is not None)
    last = last or _DAY_MIN
    return (first, last) if first < last else None
