"""Readings by place and time: those of one night, of the sites in a box, between two clock times.

Asked of the archive as it lies: of each Parquet file only row groups of that time are opened, and of those the columns
that say whether a reading is meant come first.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ingest.archive import night_records
from sensors.city import City
from sensors.errors import CityError
from sensors.night import Night
from sensors.reading import Records

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
