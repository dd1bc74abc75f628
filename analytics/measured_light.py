"""What was measured in each street section: surveys of light, and lux sensors that lie on the ground.

Only level planes count, since classes P and C are of horizontal illuminance; an aerial image counts as calibrated by
its surveyor. A survey as in EN 13201-4 measures the points of the calculation grid, which neither a lux drive nor a
sensor does: so they can say that an average is not reached, never that a class is met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from analytics.observations import said, weighted_mean
from analytics.surroundings import PLANES, Surroundings
from sensors.city import City
from sensors.light_survey import load_surveys
from sensors.night import local_offset
from sensors.reading import Records

Floats = NDArray[np.float64]

COLUMNS = ("section", "lux", "low", "high", "places", "hour", "when", "source", "height_m", "simulated")
GROUND_M = 0.5  # a level sensor higher than this sees other light than the ground does
_HALF_WIDTH = 1.645
_BESIDE_M = 5.0  # half a cell of 10 m: a survey's cell is given by its middle
_SENSOR_SD = 0.335  # of ln lux: cosine, temperature and dirt 0.15, a few square metres for a street 0.3
_LEAST_LUX = 0.05
_BETWEEN_SD = 0.86  # of ln lux between cells of one section, where under five tell: Melbourne 2014, 23 sections
_FEW = 5


@dataclass(frozen=True)
class Places:
    """Sections with the width of their streets in metres."""

    sections: geopandas.GeoDataFrame
    width_m: Floats

    def beside(self, easting: Floats, northing: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which places lie in which section, as (row of the place, row of its nearest section)."""
        if not easting.size or not len(self.sections):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        lines = self.sections.geometry.to_numpy()
        point, line = shapely.STRtree(lines).query_nearest(
            shapely.points(easting, northing), max_distance=float(self.width_m.max()) / 2 + _BESIDE_M, all_matches=False
        )
        apart = shapely.distance(shapely.points(easting[point], northing[point]), lines[line])
        inside = apart <= self.width_m[line] / 2 + _BESIDE_M
        return point[inside].astype(np.int64), line[inside].astype(np.int64)


def surveyed(city: City, places: Places) -> pd.DataFrame:
    """What surveys say, a row a section and survey: COLUMNS, where `section` is the section's row.

    lux : mean over the section's cells, with its 90 % interval (infinite where the instrument was at its end); hour :
    local, of the middle value
    """
    parts = []
    for terms, cells in load_surveys(city):
        if terms.plane not in ("horizontal", "aerial"):
            continue
        cell, section = places.beside(cells["easting"].to_numpy(np.float64), cells["northing"].to_numpy(np.float64))
        if not cell.size:
            continue
        time = cells["time"].to_numpy("datetime64[ms]")[cell]
        local = time + local_offset(time, city.zone)
        found = pd.DataFrame(
            {
                "section": section,
                "lux": cells["lux"].to_numpy(np.float64)[cell],
                "end": cells["at_least"].to_numpy(bool)[cell],
                "local": local,
            }
        )
        grouped = found.groupby("section", sort=True)
        mean, count = grouped["lux"].mean(), grouped["lux"].size()
        sd = np.hypot(terms.gain_sd, np.hypot(terms.sd, _between(grouped, count)) / np.sqrt(count))
        middle = grouped["local"].median()
        at_end = grouped["end"].any()
        parts.append(
            pd.DataFrame(
                {
                    "section": mean.index.to_numpy(np.int64),
                    "lux": mean.to_numpy(np.float64),
                    "low": (mean * np.exp(-_HALF_WIDTH * sd)).to_numpy(np.float64),
                    "high": np.where(at_end, np.inf, mean * np.exp(_HALF_WIDTH * sd)),
                    "places": count.to_numpy(np.int64),
                    "hour": middle.dt.hour.to_numpy(np.int64),
                    "when": middle.dt.strftime("%Y-%m-%d %H:%M").to_numpy(object),
                    "source": f"survey {terms.survey} ({terms.plane})",
                    "height_m": terms.height_m,
                    "simulated": terms.origin == "simulated",
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else _nothing()


def sensed(
    surroundings: Surroundings, places: Places, records: Records, begin: np.datetime64, end: np.datetime64, zone: str
) -> pd.DataFrame:
    """What level lux sensors near the ground said in (begin, end], a row a section: COLUMNS."""
    from zoneinfo import ZoneInfo

    sites = surroundings.sites
    rows = sites.of("illuminance")
    rows = rows[(sites.plane[rows] == PLANES.index("horizontal")) & (sites.height_m[rows] <= GROUND_M)]
    readings = said(records, sites, "illuminance", begin, end)
    value = weighted_mean(readings, readings.value, sites.site.size)[rows]
    rows, value = rows[np.isfinite(value)], value[np.isfinite(value)]
    site, section = places.beside(sites.easting[rows], sites.northing[rows])
    if not site.size:
        return _nothing()
    found = pd.DataFrame({"section": section, "lux": np.maximum(value[site], 0.0)})
    found["simulated"] = sites.origin[rows[site]] == 2
    grouped = found.groupby("section", sort=True)
    mean, count = grouped["lux"].mean(), grouped["lux"].size()
    apart = np.hypot(_SENSOR_SD, _between(grouped, count))
    sd = np.hypot(apart / np.sqrt(count), _LEAST_LUX / np.maximum(mean, _LEAST_LUX))
    local = (end + local_offset(np.array([end]), ZoneInfo(zone))[0]).astype("datetime64[m]")
    return pd.DataFrame(
        {
            "section": mean.index.to_numpy(np.int64),
            "lux": mean.to_numpy(np.float64),
            "low": (mean * np.exp(-_HALF_WIDTH * sd)).to_numpy(np.float64),
            "high": (mean * np.exp(_HALF_WIDTH * sd)).to_numpy(np.float64),
            "places": count.to_numpy(np.int64),
            "hour": int(str(local)[11:13]),
            "when": str(local).replace("T", " "),
            "source": "lux sensors on the ground",
            "height_m": 0.0,
            "simulated": grouped["simulated"].any().to_numpy(bool),
        }
    )


def _between(grouped: Any, count: pd.Series[Any]) -> pd.Series[Any]:
    """Sd of ln lux between the places of a section, of which some were measured; assumed where they are too few."""
    own = grouped["lux"].agg(lambda lux: np.log(lux.clip(lower=_LEAST_LUX)).std())
    widest: pd.Series[Any] = own.where(count >= _FEW, np.maximum(own.fillna(0.0), _BETWEEN_SD))
    return widest


def _nothing() -> pd.DataFrame:
    return pd.DataFrame({column: [] for column in COLUMNS})
