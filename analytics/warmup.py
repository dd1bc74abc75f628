"""Compile every kernel that a map uses once into numba's cache, by mapping a village of twelve cells a side.

The cache is keyed to the processor and to the sources of all kernels; what no map of a city needs (other planes of
light, houses' shadows, sensors so exact that they are kriged in float64) is compiled when it is first asked for.
"""

import time

import geopandas
import numpy as np
import pandas as pd
from shapely.geometry import LineString, Point, box

from analytics.covariance import Matern
from analytics.fields import fields_at
from analytics.grid import Grid
from analytics.kernels.jit import forget_older_caches
from analytics.knowledge import learn_from
from analytics.kriging import krige, krige_at
from analytics.ordinal import fit_ordered_probit
from analytics.perception import compile_view
from analytics.sources import spread
from analytics.surroundings import Surroundings, lay_out
from sensors.city import LightingSettings
from sensors.luminaire import Luminaire
from sensors.places import empty_place
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records, sort_by_key

_CRS = "EPSG:3067"
_STEP = np.datetime64("2026-11-20T20:00", "ms")
_SIDE_M = 120.0


def compile_kernels() -> float:
    """Compile what is not yet in the cache; return the processor seconds that took."""
    begun = time.process_time()
    village = _village()
    night = _readings(village)
    knowledge = learn_from([night], village)
    fields_at(village, knowledge, night, _STEP)
    _krige(village.grid)
    spread(village.grid, np.ones(1), np.ones(1), np.ones(1), 50.0, village.traffic.copy())  # a city without buildings
    fit_ordered_probit(np.arange(8.0)[:, None] % 3, np.arange(8) % 2 + 1, 2)
    compile_view()
    forget_older_caches()
    return time.process_time() - begun


def _krige(grid: Grid) -> None:
    """Coarse and fine nodes and single points; sensors so exact that they need float64 are met by no field of ours."""
    position = np.array([10.0, 60.0, 90.0])
    for range_m in (20.0, 500.0):
        covariance = Matern(1.5, range_m, 1.0)
        krige(position, position, position, 0.1, grid.dataset(), covariance)
        krige_at(position, position, position, 0.1, position, position, covariance)


def _village() -> Surroundings:
    """One street with a lamp, a house, a venue, a stop, and a sensor of each kind."""
    middle = Point(60.0, 60.0)
    street = LineString([(0.0, 60.0), (_SIDE_M, 60.0)])
    lamp = {
        "lamp": ["1"], "luminaire": ["lantern"], "lumens": [4000.0], "mf": [0.85], "height_m": [6.0],
        "source": ["assumed"],
    }  # fmt: skip
    names = ["dimming", "lamp_ok", "people_flow", "sound_laeq", "illuminance"]
    sites = pd.DataFrame({"site": np.arange(5, dtype=np.uint32), "quantity": names, "lamps": ["1", "1", "", "", ""]})
    sites = sites.assign(
        height_m=0.0, plane="horizontal", mounting="facade", origin="simulated",
        valid_from=np.datetime64("2020-01-01", "ms"), valid_to=np.datetime64("NaT", "ms"),
    )  # fmt: skip
    kind = {"street": [1], "kind": ["residential"], "walkable": [True], "width_m": [8.0]}
    tables = {
        "lamps": _frame(lamp, [middle]),
        "streets": _frame(kind, [street]),
        "buildings": _frame({"building": [1]}, [box(80.0, 80.0, 110.0, 110.0)]),
        "venues": _frame({"venue": [1], "kind": ["bar"], "capacity": [80.0], "closes_min": [840]}, [middle]),
        "stops": _frame({"stop": [1]}, [middle]),
        "traffic": empty_place("traffic", _CRS),
        "sites": _frame(dict(sites), [middle] * len(names)),
    }
    grid = Grid(10.0, 0.0, 0.0, (12, 12))
    lantern = Luminaire(
        "lantern", "", np.zeros(1), np.array([0.0, 90.0]), np.full((1, 2), 400.0), 4000.0, 1000.0, 1.0, 1.0, 0.0, 30.0,
        "axial", (0.0, 0.0, 0.0),
    )  # fmt: skip
    return lay_out(
        grid, tables, zone="UTC", lonlat=(24.94, 60.17), lighting=LightingSettings(),
        luminaires={"lantern": lantern},
    )  # fmt: skip


def _frame(columns: dict[str, object], shapes: list[object]) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(columns, geometry=shapes, crs=_CRS)


def _readings(village: Surroundings) -> Records:
    """One reading of each sensor within the step."""
    records = empty_records(village.sites.site.size)
    records["time"] = _STEP + np.timedelta64(10, "m")
    records["received"] = records["time"]
    records["site"] = village.sites.site
    records["quantity"] = village.sites.quantity
    likely = {"dimming": 0.7, "lamp_ok": 1.0, "people_flow": 30.0, "sound_laeq": 55.0, "illuminance": 8.0}
    value_of = {QUANTITIES[name].code: value for name, value in likely.items()}
    records["value"] = [value_of[code] for code in records["quantity"].tolist()]
    records["duration_s"] = 600.0
    return sort_by_key(records)
