"""Lamps as sources of light: what their luminaires' files say, and what they are taken to give where there is none.

A lamp whose `luminaire` names a photometric file of the city has that file's I(C, gamma), times its own lumens over the
file's where the lamp has any (of all its lamps, as the file counts them), and times its maintenance factor. C = 0
faces the bearing `azimuth_deg` (degrees clockwise from north), without one the nearest point of the street that it
lights: the nearest carriageway within 12 m, else the nearest street. `tilt_deg` lifts the street side; it counts to
half a degree, 0 without one. `overhang_m` is how far that way the lamp hangs from the position given, 0 without one.

Without a file the distribution is I = peak cos gamma (1 + 6 sin^4 gamma): axial, nothing upward, peak at 61 degrees as
road lanterns have (60 to 68), 2.2 times its intensity straight down; flux pi peak (1 + 6 / 3). Lumens and height that
are not known are those of a typical installation in such a street (sensors/lanterns.py, after sensing.md A5).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from analytics.distribution import distributions_of
from analytics.kernels.light import Distributions, Sources
from sensors.city import DIMMING_CURVES
from sensors.lanterns import LAMP_CLASS_OF_STREET, LAMP_CLASSES, lamp_classes
from sensors.luminaire import Luminaire

DEFAULT_CLASS = "residential"  # where no street says more
DEFAULT_LUMENS = LAMP_CLASSES[DEFAULT_CLASS].lumens
ROAD_SHAPE = 6.0  # b of the default distribution
DISTRIBUTIONS = {"road": ROAD_SHAPE, "lambert": 0.0}  # b by the word in a lamp's `luminaire`

# sd of ln illuminance. Classes of lamps with fitted strengths leave a median |log10 ratio| of 0.22 on the Cambridge
# lux drives (tests/unit/test_cambridge_light.py), an sd of 0.75 in ln, one intensity for all 0.85; a council's own
# lumens and heights know a little more, assumed ones less. A file leaves positions, dirt, trees, walls and the light of
# others, which are most of it: 0.5 is a judgement, no measurement.
MODEL_SD = {"council": 0.6, "openstreetmap": 0.75, "assumed": 0.85}
FILE_SD = 0.5

_CARRIAGEWAY_M = 12.0  # as in sensors/lanterns.py: pavements are mapped beside the street that a lamp lights
_TILT_STEP_DEG = 0.5


@dataclass(frozen=True)
class Lamps:
    """Lamps sorted by northing, then easting; (n,) arrays.

    easting, northing, height_m : metres; strength : of full level, maintained: cd of the default distribution's peak,
    or what the luminaire's candela are multiplied by; shape : b of the default distribution; luminaire : row of
    `distributions`, -1 without a file; azimuth : radians from east towards north, where C = 0 faces; tilt : radians;
    model_sd : sd of ln illuminance of this lamp's photometry; watts : at full level, NaN where not known;
    curve : index into DIMMING_CURVES; lamp : ids
    """

    lamp: NDArray[np.str_]
    easting: NDArray[np.float64]
    northing: NDArray[np.float64]
    height_m: NDArray[np.float64]
    strength: NDArray[np.float64]
    shape: NDArray[np.float64]
    luminaire: NDArray[np.int32]
    azimuth: NDArray[np.float64]
    tilt: NDArray[np.float64]
    model_sd: NDArray[np.float64]
    watts: NDArray[np.float64]
    curve: NDArray[np.uint8]
    distributions: Distributions

    @cached_property
    def kinds(self) -> NDArray[np.float64]:
        """(m, 2) luminaire and tilt of each table that a raster needs."""
        return self._kinds_and_tables[0]

    @cached_property
    def sources(self) -> Sources:
        """The lamps for the kernels."""
        return Sources(
            self.easting, self.northing, self.height_m, self.strength, self.shape, self.luminaire,
            self._kinds_and_tables[1], np.cos(self.azimuth), np.sin(self.azimuth), np.cos(self.tilt), np.sin(self.tilt),
        )  # fmt: skip

    @cached_property
    def _kinds_and_tables(self) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        table = np.full(self.luminaire.size, -1, np.int32)
        known = self.luminaire >= 0
        pairs = np.column_stack([self.luminaire[known].astype(np.float64), self.tilt[known]])
        kinds, index = np.unique(pairs, axis=0, return_inverse=True)
        table[known] = index.ravel()
        return kinds, table


def prepare_lamps(
    table: geopandas.GeoDataFrame,
    maintenance_factor: float,
    *,
    luminaires: Mapping[str, Luminaire] | None = None,
    streets: geopandas.GeoDataFrame | None = None,
    dimming_curve: str = "linear",
) -> Lamps:
    """Lamps for the kernels from a table of lamps; what is missing gets documented defaults.

    Parameters
    ----------
    luminaires : by the name that `luminaire` uses, C = 0 facing the street
    streets : the city's, for the street that a lamp lights; without them lamps are residential and face north
    dimming_curve : of lamps without their own in column `dimming_curve`
    """
    known = {name.strip().lower(): one for name, one in (luminaires or {}).items()}
    named = _words(table, "luminaire")
    used = sorted({name for name in named if name in known})
    row_of = {name: row for row, name in enumerate(used)}
    luminaire = np.array([row_of.get(name, -1) for name in named], np.int32)
    filed = luminaire >= 0
    typical = _typical(table, streets)
    lumens = _known_or(table, "lumens", np.where(filed, np.nan, typical[0]))
    factor = _known_or(table, "mf", np.full(len(table), maintenance_factor))
    shape = np.array([DISTRIBUTIONS.get(kind, ROAD_SHAPE) for kind in named], np.float64)
    strength = peak_intensity(lumens * factor, shape)
    of_file = np.array([known[name].lumens for name in used] or [np.nan])[np.maximum(luminaire, 0)]
    share = np.where(np.isfinite(lumens) & (of_file > 0), lumens / of_file, 1.0)
    strength[filed] = (share * factor)[filed]
    model_sd = np.array([MODEL_SD.get(kind, MODEL_SD["assumed"]) for kind in _words(table, "source")], np.float64)
    model_sd[filed] = FILE_SD
    tilt = np.round(_numbers(table, "tilt_deg", 0.0) / _TILT_STEP_DEG) * _TILT_STEP_DEG
    overhang = _numbers(table, "overhang_m", 0.0)
    azimuth = _azimuth(table, filed | (overhang != 0), streets)
    east = table.geometry.x.to_numpy(np.float64) + overhang * np.cos(azimuth)
    north = table.geometry.y.to_numpy(np.float64) + overhang * np.sin(azimuth)
    order = np.lexsort((table.lamp.astype(str).to_numpy(str), east, north))
    return Lamps(
        lamp=table.lamp.astype(str).to_numpy(str)[order],
        easting=east[order],
        northing=north[order],
        height_m=np.maximum(_known_or(table, "height_m", typical[1]), 0.5)[order],
        strength=strength[order],
        shape=shape[order],
        luminaire=luminaire[order],
        azimuth=azimuth[order],
        tilt=np.radians(np.where(filed, tilt, 0.0))[order],
        model_sd=model_sd[order],
        watts=_known_or(table, "watts", np.full(len(table), np.nan))[order],
        curve=_curve(table, dimming_curve)[order],
        distributions=distributions_of([known[name] for name in used]),
    )


def peak_intensity(lumens: NDArray[np.float64], shape: NDArray[np.float64]) -> NDArray[np.float64]:
    """Peak in candela of the default distribution that gives this flux in lumens, for its b.

    >>> peak_intensity(np.array([3141.592653589793]), np.array([0.0])).round(6)
    array([1000.])
    """
    return lumens / (np.pi * (1.0 + shape / 3.0))


def light_output(dimming: NDArray[np.float64], curve: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of full light at a reported dimming, 0..1, by index into DIMMING_CURVES.

    'dali-log' takes it for an arc power level n = 254 x dimming: 10^((n - 1) / (253 / 3) - 1) per cent (IEC 62386-102);
    below level 1 a lamp is off.

    >>> light_output(np.array([229, 170, 127]) / 254, np.array([1, 1, 1], np.uint8)).round(3)
    array([0.505, 0.101, 0.031])
    """
    linear = np.clip(np.asarray(dimming, np.float64), 0.0, 1.0)
    arc = 254.0 * linear
    logarithmic = np.where(arc < 0.5, 0.0, 10.0 ** ((np.maximum(arc, 1.0) - 1.0) * 3.0 / 253.0 - 3.0))
    return np.where(curve == DIMMING_CURVES.index("dali-log"), logarithmic, linear)


def street_bearing(
    easting: NDArray[np.float64], northing: NDArray[np.float64], streets: geopandas.GeoDataFrame | None
) -> NDArray[np.float64]:
    """Where a lamp's street lies, radians from east towards north: at right angles to its line, towards it.

    A lamp on the very line faces its left; without streets all face north.
    """
    facing = np.full(easting.size, np.pi / 2)
    if streets is None or not len(streets) or not easting.size:
        return facing
    lines = streets.geometry.to_numpy()
    lamps = shapely.points(easting, northing)
    chosen = np.asarray(shapely.STRtree(lines).nearest(lamps)).ravel()
    roads = np.flatnonzero([kind in LAMP_CLASS_OF_STREET for kind in streets["kind"]])
    if roads.size:
        lamp, near = shapely.STRtree(lines[roads]).query_nearest(lamps, max_distance=_CARRIAGEWAY_M, all_matches=False)
        chosen[lamp] = roads[near]
    line = lines[chosen]
    at = shapely.line_locate_point(line, lamps)
    foot = shapely.get_coordinates(shapely.line_interpolate_point(line, at))
    before = shapely.get_coordinates(shapely.line_interpolate_point(line, np.maximum(at - 0.5, 0.0)))
    after = shapely.get_coordinates(shapely.line_interpolate_point(line, np.minimum(at + 0.5, shapely.length(line))))
    way = after - before
    towards = foot - np.column_stack([easting, northing])
    on_line = np.hypot(*towards.T) < 0.05
    towards = np.where(on_line[:, None], np.column_stack([-way[:, 1], way[:, 0]]), towards)
    return np.arctan2(towards[:, 1], towards[:, 0])


def _azimuth(
    table: geopandas.GeoDataFrame, facing: NDArray[np.bool_], streets: geopandas.GeoDataFrame | None
) -> NDArray[np.float64]:
    """Radians from east where C = 0 of each lamp that faces somewhere points; 0 for the others."""
    bearing = _numbers(table, "azimuth_deg", np.nan)
    azimuth = np.where(facing & np.isfinite(bearing), np.radians(90.0 - bearing), 0.0)
    rest = np.flatnonzero(facing & ~np.isfinite(bearing))
    easting, northing = table.geometry.x.to_numpy(np.float64), table.geometry.y.to_numpy(np.float64)
    azimuth[rest] = street_bearing(easting[rest], northing[rest], streets)
    return azimuth


def _typical(
    table: geopandas.GeoDataFrame, streets: geopandas.GeoDataFrame | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lumens and height in metres of a typical installation where a lamp's own are not known."""
    lacks = ~(_numbers(table, "lumens", np.nan) > 0) | ~(_numbers(table, "height_m", np.nan) > 0)
    rows = np.flatnonzero(lacks)
    names = np.full(len(table), DEFAULT_CLASS, object)
    if rows.size and streets is not None and len(streets):
        points = np.column_stack([table.geometry.x.to_numpy(np.float64), table.geometry.y.to_numpy(np.float64)])
        names[rows] = lamp_classes(points[rows], streets)
    lumens = np.array([LAMP_CLASSES[name].lumens for name in names], np.float64)
    return lumens, np.array([LAMP_CLASSES[name].height_m for name in names], np.float64)


def _curve(table: geopandas.GeoDataFrame, otherwise: str) -> NDArray[np.uint8]:
    index = {name: number for number, name in enumerate(DIMMING_CURVES)}
    return np.array([index.get(name, index[otherwise]) for name in _words(table, "dimming_curve")], np.uint8)


def _words(table: geopandas.GeoDataFrame, column: str) -> list[str]:
    """A column of words in lower case, empty where there is none."""
    if column not in table:
        return [""] * len(table)
    return [str(word).strip().lower() for word in table[column].fillna("")]


def _numbers(table: geopandas.GeoDataFrame, column: str, otherwise: float) -> NDArray[np.float64]:
    """A column of numbers with a default where it is not there or not known."""
    if column not in table:
        return np.full(len(table), otherwise)
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    return np.where(np.isfinite(values), values, otherwise)


def _known_or(table: geopandas.GeoDataFrame, column: str, otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    """A column of numbers with defaults where it is not known or not positive."""
    values = _numbers(table, column, np.nan)
    return np.where(values > 0, values, otherwise)
