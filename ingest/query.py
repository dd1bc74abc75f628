"""Readings by place and time, for a researcher: those of one night, of the sites in a box, between two clock times.

Asked of the archive as it lies: of each Parquet file only row groups of that time are opened, and of those the columns
that say whether a reading is meant come first.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ingest.archive import night_records
from sensors.city import City
from sensors.errors import CityError, ExportError
from sensors.flags import names
from sensors.night import Night
from sensors.quantities import by_code
from sensors.reading import NO_SEQ, Records
from sensors.register import SiteRegister

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("csv", "parquet")
Bounds = tuple[float, float, float, float]


def readings_in_box(
    city: City,
    night: Night,
    bounds: Bounds | None = None,
    *,
    from_: str = "",
    to: str = "",
    quantities: Collection[int] | None = None,
) -> Records:
    """Readings of a night whose site lies in a box and whose interval ends between two local times.

    bounds : west, south, east, north, in degrees (WGS 84); None for the whole city
    from_, to : local clock times like 22:00, begin exclusive, end inclusive; the night's own where empty
    quantities : codes, where only some are wanted
    """
    start = night.time_of(from_) if from_ else night.start
    end = night.time_of(to) if to else night.end
    if start >= end:
        raise CityError(f"{from_} is not before {to} in a night, which begins and ends at noon")
    sites = None if bounds is None else sites_in_box(city, bounds)
    return night_records(city, night, quantities=quantities, sites=sites, between=(start, end) if from_ or to else None)


def sites_in_box(city: City, bounds: Bounds) -> list[int]:
    """The numbers of all sites, of now and of earlier, that lie in a box of degrees (WGS 84)."""
    import pyarrow.parquet as parquet
    import shapely
    from pyproj import Transformer

    west, south, east, north = bounds
    if not (west < east and south < north):
        raise CityError(f"{west:g},{south:g},{east:g},{north:g} is no box; write west,south,east,north in degrees")
    # Only two columns: the table of places with all of its checks takes longer than the readings.
    table = parquet.read_table(city.path / "places" / "sites.parquet", columns=["site", "geometry"])
    at = shapely.from_wkb(table["geometry"].to_numpy())
    to_degrees = Transformer.from_crs(city.crs, "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(shapely.get_x(at), shapely.get_y(at))
    inside = (longitude >= west) & (longitude <= east) & (latitude >= south) & (latitude <= north)
    found: list[int] = np.unique(table["site"].to_numpy()[inside]).astype(int).tolist()
    return found


def parse_bounds(text: str) -> Bounds:
    """A box as the command takes it.

    >>> parse_bounds("24.93,60.16,24.96,60.18")
    (24.93, 60.16, 24.96, 60.18)
    """
    if not re.fullmatch(r"(-?\d+(\.\d+)?,){3}-?\d+(\.\d+)?", text):
        raise CityError(f"'{text}' is no box; write west,south,east,north in degrees, like 24.93,60.16,24.96,60.18")
    west, south, east, north = (float(part) for part in text.split(","))
    return west, south, east, north


def readings_table(city: City, records: Records) -> pd.DataFrame:
    """Readings as a table for other programs, a row each.

    Columns: time, received (UTC), site, device, quantity, value, unit, duration_s, flags (names, '|' between), origin,
    boot, seq (empty without a number), part.
    """
    import pandas as pd

    register = SiteRegister.load(city).table.set_index("site")
    sites = register.loc[records["site"].astype(np.int64)]
    quantities = [by_code(code) for code in records["quantity"].tolist()]
    distinct, which = np.unique(records["flags"], return_inverse=True)
    said = np.array(["|".join(names(int(flags))) for flags in distinct], object)
    return pd.DataFrame(
        {
            "time": pd.to_datetime(records["time"], utc=True),
            "received": pd.to_datetime(records["received"], utc=True),
            "site": records["site"],
            "device": sites["device"].to_numpy(),
            "quantity": [quantity.name for quantity in quantities],
            "value": records["value"],
            "unit": [quantity.unit for quantity in quantities],
            "duration_s": records["duration_s"],
            "flags": said[which] if len(records) else [],
            "origin": sites["origin"].to_numpy(),
            "boot": records["boot"],
            "seq": pd.array(np.where(records["seq"] == NO_SEQ, -1, records["seq"].astype(np.int64))).astype("Int64"),
            "part": records["part"],
        }
    ).assign(seq=lambda table: table["seq"].mask(table["seq"] < 0))


def write_table(table: pd.DataFrame, out: Path) -> None:
    """Write a table as CSV or Parquet, by the ending of the file; beside and then renamed."""
    kind = out.suffix[1:].lower()
    if kind not in FORMATS:
        raise ExportError(f"'{out.name}' is neither .csv nor .parquet; name the file so that its ending says which")
    beside = out.with_name(out.name + ".new")
    if kind == "csv":
        table.to_csv(beside, index=False, date_format="%Y-%m-%dT%H:%M:%S.%f")
    else:
        table.to_parquet(beside, index=False)
    beside.replace(out)
