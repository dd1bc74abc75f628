"""Lamps as sources of light: what they are taken to give where no photometric file is known.

The default road distribution is I = peak cos gamma (1 + 6 sin^4 gamma): axial, nothing upward, peak at 61 degrees as
road lanterns have (60 to 68), 2.2 times its intensity straight down; flux pi peak (1 + 6 / 3).
"""

from dataclasses import dataclass

import geopandas
import numpy as np
from numpy.typing import NDArray

DEFAULT_LUMENS = 4000.0  # residential LED (sensing.md A5)
DEFAULT_HEIGHT_M = 5.5
ROAD_SHAPE = 6.0  # b of the default distribution
DISTRIBUTIONS = {"road": ROAD_SHAPE, "lambert": 0.0}  # b by the word in a lamp's `luminaire`; a file's name is "road"

# sd of ln illuminance. One intensity for all lamps leaves a median |log10 ratio| of 0.215 on the Cambridge lux drives,
# an sd of 0.73 in ln; a council's own lumens and heights know a little more, assumed ones less.
MODEL_SD = {"council": 0.6, "openstreetmap": 0.75, "assumed": 0.85}


@dataclass(frozen=True)
class Lamps:
    """Lamps sorted by northing, then easting; (n,) arrays.

    easting, northing, height_m : metres; peak_cd : peak of the default distribution at full level, maintained;
    shape : its b; model_sd : sd of ln illuminance of this lamp's photometry; lamp : ids
    """

    lamp: NDArray[np.str_]
    easting: NDArray[np.float64]
    northing: NDArray[np.float64]
    height_m: NDArray[np.float64]
    peak_cd: NDArray[np.float64]
    shape: NDArray[np.float64]
    model_sd: NDArray[np.float64]


def prepare_lamps(table: geopandas.GeoDataFrame, maintenance_factor: float) -> Lamps:
    """Lamps for the kernels from a table of lamps; missing lumens, heights and factors get documented defaults."""
    lumens = _known_or(table, "lumens", DEFAULT_LUMENS)
    factor = _known_or(table, "mf", maintenance_factor)
    luminaire = table.luminaire.fillna("").astype(str).str.lower().to_numpy(str) if len(table) else np.empty(0, str)
    shape = np.array([DISTRIBUTIONS.get(kind, ROAD_SHAPE) for kind in luminaire], np.float64)
    order = np.lexsort((table.lamp.astype(str).to_numpy(str), table.geometry.x, table.geometry.y))
    source = table.source.fillna("").astype(str).to_numpy(str) if len(table) else np.empty(0, str)
    unsure = np.array([MODEL_SD.get(kind, MODEL_SD["assumed"]) for kind in source], np.float64)
    return Lamps(
        lamp=table.lamp.astype(str).to_numpy(str)[order],
        easting=table.geometry.x.to_numpy(np.float64)[order],
        northing=table.geometry.y.to_numpy(np.float64)[order],
        height_m=np.maximum(_known_or(table, "height_m", DEFAULT_HEIGHT_M), 0.5)[order],
        peak_cd=peak_intensity(lumens * factor, shape)[order],
        shape=shape[order],
        model_sd=unsure[order],
    )


def peak_intensity(lumens: NDArray[np.float64], shape: NDArray[np.float64]) -> NDArray[np.float64]:
    """Peak in candela of the default distribution that gives this flux in lumens, for its b.

    >>> peak_intensity(np.array([3141.592653589793]), np.array([0.0])).round(6)
    array([1000.])
    """
    return lumens / (np.pi * (1.0 + shape / 3.0))


def _known_or(table: geopandas.GeoDataFrame, column: str, otherwise: float) -> NDArray[np.float64]:
    """A column of numbers with a default where it is not known or not positive."""
    values = table[column].to_numpy(np.float64)
    return np.where(np.isfinite(values) & (values > 0), values, otherwise)
