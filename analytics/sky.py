"""What the sky gives at a moment: how high the sun stands, what light is left of it, and how dark it is."""

from functools import lru_cache

import numpy as np

from sensors.night import sun_elevation

GLOW_LUX = 0.1  # urban sky glow and shop windows, overcast; a full moon gives 0.05 to 0.3

# Clear-sky horizontal illuminance by the sun's elevation, degrees and lx: 400 lx at sunset and 3.4 lx at the end of
# civil twilight (sensing.md A6); the rest after Seidelmann 1992, Explanatory Supplement, fig. 9.3-1.
_SKY_DEG = (-18.0, -12.0, -6.0, -0.833, 5.0, 10.0, 20.0, 40.0, 90.0)
_SKY_LUX = (0.0006, 0.008, 3.4, 400.0, 4_000.0, 11_000.0, 30_000.0, 70_000.0, 120_000.0)


def sky_lux(time: np.datetime64, latitude: float, longitude: float) -> float:
    """Horizontal illuminance in lx without any lamp at a moment (UTC): twilight or daylight, and urban glow."""
    return float(np.exp(np.interp(_elevation(time, latitude, longitude), _SKY_DEG, np.log(_SKY_LUX)))) + GLOW_LUX


def darkness(time: np.datetime64, latitude: float, longitude: float) -> float:
    """1 while the sun is below -6 degrees, 0 while it is up, in between by its height; polar nights and days too."""
    return float(np.clip(-_elevation(time, latitude, longitude) / 6, 0, 1))


def _elevation(time: np.datetime64, latitude: float, longitude: float) -> float:
    return _elevation_at(int(time.astype("datetime64[ms]").astype(np.int64)), latitude, longitude)


@lru_cache(maxsize=256)
def _elevation_at(time_ms: int, latitude: float, longitude: float) -> float:
    """Degrees; every part of a page asks for the same moment, and each answer takes 4 ms."""
    return float(sun_elevation(np.array([time_ms], "datetime64[ms]"), latitude, longitude)[0])
