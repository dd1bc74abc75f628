"""Where the sun stands, as a lamp controller works it out: the low-precision formulae of the Astronomical Almanac.

Michalsky 1988, Solar Energy 40(3), good to about 0.01 degrees between 1950 and 2050; no refraction.
"""

from __future__ import annotations

import numpy as np

from firmware_sim.town import Floats, Ints

_J2000_MS = 946_728_000_000  # 2000-01-01 12:00 UTC


def elevation_deg(times_ms: Ints, longitude: float, latitude: float) -> Floats:
    """Geometric elevation of the sun, degrees, shape of `times_ms` (UTC milliseconds)."""
    days = (times_ms - _J2000_MS) / 86_400_000.0
    anomaly = np.radians(357.528 + 0.9856003 * days)
    ecliptic = np.radians(280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2.0 * anomaly))
    oblique = np.radians(23.439 - 4e-7 * days)
    ascension = np.arctan2(np.cos(oblique) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(oblique) * np.sin(ecliptic))
    sidereal_deg = 280.46062 + 360.98564737 * days + longitude
    hour_angle = np.radians(sidereal_deg) - ascension
    phi = np.radians(latitude)
    height = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour_angle)
    return np.asarray(np.degrees(np.arcsin(height)), np.float64)
