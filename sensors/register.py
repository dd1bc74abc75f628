"""The register of sites: which device measures what, where, since when, and whether it is real.

`places/sites.parquet` is written only here and by `city build`. Site numbers are never used twice: a sensor that moves
retires one site and opens another, so a reading keeps the position at which it was taken. Origin (a real device,
recorded history, a simulation) comes from this table and never from the wire.
"""

from __future__ import annotations

import re
from typing import Any

import geopandas
import numpy as np
import pandas as pd
from shapely.geometry import Point

from sensors.city import City
from sensors.errors import CityError
from sensors.places import ORIGINS, load_place, save_place
from sensors.quantities import QUANTITIES

_DEVICE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")  # as the wire has it, else the device could never speak
_FOREVER = np.iinfo(np.int64).max


class SiteRegister:
    """The sites of a city, quick to look up by device and quantity."""

    def __init__(self, table: geopandas.GeoDataFrame) -> None:
        self.table = table
        self._by_device: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
        starts, ends = _milliseconds(table.valid_from, -_FOREVER), _milliseconds(table.valid_to, _FOREVER)
        for site, device, quantity, start, end in zip(
            table.site.to_numpy(), table.device, table.quantity, starts, ends, strict=True
        ):
            self._by_device.setdefault((device, quantity), []).append((int(start), int(end), int(site)))
        self._devices = set(table.device)
        self._rows = {int(site): row for row, site in enumerate(table.site.to_numpy())}

    @classmethod
    def load(cls, city: City) -> SiteRegister:
        """Read the register as it is on disk now."""
        return cls(load_place(city.path, "sites", city.crs))

    def device_known(self, device: str) -> bool:
        """Whether any site, retired ones included, belongs to the device."""
        return device in self._devices

    def quantities_of(self, device: str) -> list[str]:
        """What the device measures, sorted."""
        return sorted(quantity for name, quantity in self._by_device if name == device)

    def site(self, device: str, quantity: str, time: np.datetime64 | int) -> int | None:
        """The site of a device's quantity at a time (UTC, or ms since 1970), or None."""
        moment = time if isinstance(time, int) else int(time.astype("datetime64[ms]").astype(np.int64))
        for start, end, site in self._by_device.get((device, quantity), ()):
            if start <= moment < end:
                return site
        return None

    def spans(self, device: str, quantity: str) -> list[tuple[int, int, int]]:
        """Each site that the device's quantity has or had: from, until (ms since 1970, UTC, exclusive), its number."""
        return self._by_device.get((device, quantity), [])

    def latest_site(self, device: str, quantity: str) -> int | None:
        """The site opened last for a device's quantity, for readings whose own time cannot be true."""
        entries = self._by_device.get((device, quantity))
        return max(entries)[2] if entries else None

    def find(self, sites: np.ndarray[Any, Any]) -> geopandas.GeoDataFrame:
        """The rows of these sites, in their order; KeyError for a number never given."""
        return self.table.iloc[[self._rows[int(site)] for site in sites]]


def add_site(
    city: City,
    *,
    device: str,
    quantity: str,
    easting: float,
    northing: float,
    origin: str = "device",
    height_m: float = 0.0,
    plane: str = "none",
    mounting: str = "pole",
    sensor_class: str = "",
    calibration: str = "",
    lamps: str = "",
    since: np.datetime64 | None = None,
) -> int:
    """Open a site for a device's quantity and return its number."""
    table = load_place(city.path, "sites", city.crs)
    if quantity not in QUANTITIES:
        raise CityError(f"quantity '{quantity}' is not known; expected one of {', '.join(QUANTITIES)}")
    if origin not in ORIGINS:
        raise CityError(f"origin '{origin}' is not known; expected one of {', '.join(ORIGINS)}")
    if origin == "simulated" and not city.simulated:
        raise CityError(f"{city.name} is not declared simulated, so it takes no simulated site")
    if bool(((table.device == device) & (table.quantity == quantity) & table.valid_to.isna()).any()):
        raise CityError(f"device '{device}' already has a site for {quantity}; retire or move that one")
    if not _DEVICE.fullmatch(device):
        raise CityError(
            f"device '{device}' is no level of a topic; write lower-case letters, digits and single hyphens"
        )
    _require_inside(city, easting, northing)
    number = _next_number(table)
    row = {
        "site": np.uint32(number),
        "device": device,
        "quantity": quantity,
        "height_m": np.float32(height_m),
        "plane": plane,
        "mounting": mounting,
        "sensor_class": sensor_class,
        "calibration": calibration,
        "lamps": lamps,
        "origin": origin,
        "valid_from": pd.NaT if since is None else pd.Timestamp(since),
        "valid_to": pd.NaT,
        "geometry": Point(easting, northing),
    }
    _append(city, table, row)
    return number


def move_site(city: City, site: int, *, easting: float, northing: float, since: np.datetime64) -> int:
    """Retire a site and open one at the new position from `since` on; returns the new number."""
    table = load_place(city.path, "sites", city.crs)
    index = _open_row(table, site)
    _require_inside(city, easting, northing)
    number = _next_number(table)
    row = table.loc[index].to_dict() | {
        "site": np.uint32(number),
        "valid_from": pd.Timestamp(since),
        "valid_to": pd.NaT,
        "geometry": Point(easting, northing),
    }
    table.loc[index, "valid_to"] = pd.Timestamp(since)
    _append(city, table, row)
    return number


def retire_site(city: City, site: int, *, until: np.datetime64) -> None:
    """Close a site; its readings stay."""
    table = load_place(city.path, "sites", city.crs)
    table.loc[_open_row(table, site), "valid_to"] = pd.Timestamp(until)
    save_place(city.path, "sites", table)


def calibrate_site(city: City, site: int, calibration: str) -> None:
    """Write down how an open site was calibrated, in place of what stood there."""
    table = load_place(city.path, "sites", city.crs)
    table.loc[_open_row(table, site), "calibration"] = calibration
    save_place(city.path, "sites", table)


def _require_inside(city: City, easting: float, northing: float) -> None:
    grid = city.settings.grid
    if not (grid.west <= easting <= grid.east and grid.south <= northing <= grid.north):
        raise CityError(f"{easting:.1f} E {northing:.1f} N ({city.crs}) lies outside the city's grid")


def _append(city: City, table: geopandas.GeoDataFrame, row: dict[str, Any]) -> None:
    addition = geopandas.GeoDataFrame([row], geometry="geometry", crs=table.crs)
    for column in table.columns:
        if column in addition.columns and column != "geometry":
            addition[column] = addition[column].astype(table[column].dtype)
    save_place(city.path, "sites", geopandas.GeoDataFrame(pd.concat([table, addition], ignore_index=True)))


def _open_row(table: geopandas.GeoDataFrame, site: int) -> Any:
    rows = table.index[(table.site == site)]
    if not len(rows):
        raise CityError(f"there is no site {site}; 'noctule site list' shows them all")
    if not pd.isna(table.valid_to.loc[rows[0]]):
        raise CityError(f"site {site} was retired on {table.valid_to.loc[rows[0]]:%Y-%m-%d %H:%M} UTC")
    return rows[0]


def _next_number(table: geopandas.GeoDataFrame) -> int:
    return int(table.site.max()) + 1 if len(table) else 1


def _milliseconds(times: pd.Series[Any], missing: int) -> list[int]:
    values = times.to_numpy("datetime64[ms]")
    numbers = values.astype(np.int64)
    return [missing if absent else int(number) for number, absent in zip(numbers, np.isnat(values), strict=True)]
