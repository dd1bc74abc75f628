"""Illuminance on the ground: lamps as point sources, dimmed and failing as they report, corrected by lux sensors.

Photometry by EN 13201-3:2015 (formulas at the top of `kernels/light.py`, what a lamp gives in `photometry.py`). Live
dimming scales it, a failed lamp gives nothing whatever its dimming says (`lamp_state.py`). A cell holds the mean over
its area (`footprints.py`); buildings shade it where the city asks for that (`lighting.occlusion`).

The sky adds what the sun leaves in twilight and a small urban glow, so that no place is at 0 lx. Shadows of trees and
vehicles are not modelled; they are in the error.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from analytics.assimilation import SIMULATED, Departures, correct
from analytics.footprints import CUTOFF_M, class_of_height, layout_of
from analytics.kernels import light as kernels
from analytics.kernels.jit import over_rows
from analytics.lamp_state import LampState, lamp_state
from analytics.layers import shares, weighed_against, with_layers
from analytics.observations import said, weighted_mean
from analytics.profile import Profile
from analytics.sky import GLOW_LUX, sky_lux
from analytics.surroundings import PLANES, Surroundings
from sensors.reading import Records

# Where light is asked for (EN 13201-3): the code of the kernels, and the usual height in metres.
LIGHT_PLANES = {
    "horizontal": (kernels.HORIZONTAL, 0.0),
    "vertical": (kernels.VERTICAL, 1.5),
    "semi-cylindrical": (kernels.SEMICYLINDRICAL, 1.5),
    "cylindrical": (kernels.CYLINDRICAL, 1.5),
    "hemispherical": (kernels.HEMISPHERICAL, 0.0),
}
_FACING = ("vertical", "semi-cylindrical")

_CELL_SD = 0.25  # within a cell and a quarter of an hour: parked vehicles, leaves, people

_LUX_SD = 0.15  # cosine error, dirt and temperature of a pole sensor: 10 to 20 %
_LUX_SPOT_SD = 0.3  # a few square metres stand for a cell of a hundred
_LUX_FLOOR = 0.1  # lx; below this a pole sensor reads noise
_HEIGHT_SD_M = 0.3  # of a sensor on a pole against its lamp, as registers have it
_LEAST_OF_GROUND = 0.5  # a level sensor with less of the lamps' light than the ground below it stands above them
_SKY_SD = 0.7  # clouds

_CHECK_RADIUS_M = 25.0  # uniformity looks this far: about one lamp spacing


@dataclass(frozen=True)
class LightField:
    """(northing, easting) arrays: lx, sd of ln lx, lowest lx around, metres to the nearest live lux sensor, bits, %."""

    illuminance: NDArray[np.float32]
    sd: NDArray[np.float32]
    lowest: NDArray[np.float32]
    nearest: NDArray[np.float32]
    origin: NDArray[np.uint8]
    measured: NDArray[np.uint8]
    simulated: NDArray[np.uint8]


def light_field(surroundings: Surroundings, profile: Profile, records: Records, step: np.datetime64) -> LightField:
    """Illuminance of the step that starts at `step` (UTC): median, sd of its logarithm, and where it comes from.

    records : of the night, in the order of their keys
    """
    grid = surroundings.grid
    until = step + np.timedelta64(surroundings.step_minutes, "m")
    middle = step + np.timedelta64(surroundings.step_minutes * 30, "s")
    sky = sky_lux(middle, surroundings.latitude, surroundings.longitude)
    state = lamp_state(surroundings, records, until, sky)
    lamps, lamps_sd = lamp_light(surroundings, state)
    total = lamps + np.float32(sky)
    model_sd = (lamps_sd + np.float32(sky * _SKY_SD)) / total
    held = surroundings.layers.illuminance.weigh(middle, surroundings.zone, model_sd)  # surveys, and maps of lx
    if held.shift.ndim:
        held = held.of_part((lamps + np.float32(min(sky, GLOW_LUX))) / total, model_sd)  # they know no daylight
    departures = lux_departures(surroundings, state, sky, records, step)
    departures, profile = weighed_against(held, model_sd, departures, profile, surroundings.sites)
    correction = correct(grid, departures, profile, held.sd, middle, surroundings.zone)
    shape = profile.at(middle, surroundings.zone)
    illuminance = np.exp(np.log(total) + held.shift + correction.mean + np.float32(shape + correction.shift))
    lowest = lowest_around(surroundings, illuminance)
    simulated = _simulated_light(surroundings, state, lamps) if state.simulated.any() else np.zeros(grid.shape, bool)
    measured, made_up = shares(held, correction, simulated)
    origin = with_layers(correction.origin | np.where(simulated, SIMULATED, 0).astype(np.uint8), held)
    return LightField(
        illuminance=illuminance,
        sd=np.sqrt(correction.variance + np.float32(correction.shift_variance + _CELL_SD**2)),
        lowest=lowest,
        nearest=correction.nearest,
        origin=origin,
        measured=measured,
        simulated=made_up,
    )


def lowest_around(surroundings: Surroundings, illuminance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lowest illuminance of the street within 25 m of each cell, lx; (northing, easting)."""
    grid = surroundings.grid
    lowest = np.empty(grid.shape, np.float32)
    outside = surroundings.street & ~surroundings.indoor
    walked = np.where(outside, illuminance, np.float32(np.inf))
    over_rows(kernels.lowest_around, grid.shape[0], _CHECK_RADIUS_M / grid.cell_m, walked, lowest)
    return np.where(np.isinf(lowest), illuminance, lowest)  # no street within reach: the place speaks for itself


def lamp_light(surroundings: Surroundings, state: LampState) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cell averages of the lamps' illuminance in lx, and of illuminance times the sd of its logarithm.

    Lamps of one make err together, so their errors add like their light and not like independent ones.
    """
    return surroundings.footprints.light(state.level, np.hypot(surroundings.lamps.model_sd, state.sd))


def illuminance_raster(
    surroundings: Surroundings,
    level: float | NDArray[np.float64] = 1.0,
    *,
    plane: str = "horizontal",
    height_m: float | None = None,
    facing_deg: float | None = None,
) -> xr.DataArray:
    """The lamps' maintained illuminance on any plane over the city's grid, each cell the mean over its area.

    Parameters
    ----------
    level : share of full light of all lamps, or (n_lamps,) of each, in the order of `surroundings.lamps`
    plane : horizontal, vertical, semi-cylindrical, cylindrical or hemispherical (EN 13201-3:2015)
    height_m : of the plane above the ground; without it the standard's: 0 horizontal and hemispherical, else 1.5
    facing_deg : bearing, degrees clockwise from north, that a vertical or semi-cylindrical plane faces

    Returns
    -------
    DataArray (northing, easting)
        lx; `height_m` and `facing_deg` in the attributes.
    """
    code, height, face = _plane(plane, height_m, facing_deg)
    grid, lamps, feet = surroundings.grid, surroundings.lamps, surroundings.footprints
    levels = np.broadcast_to(np.asarray(level, np.float64), lamps.easting.shape)
    if code == kernels.HORIZONTAL and height == 0.0:
        values = feet.light(levels, np.zeros(levels.size))[0]
    else:
        total = np.empty(grid.shape)
        over_rows(
            kernels.plane_raster, grid.shape[0], grid.cell_m, float(grid.easting[0]), float(grid.northing[0]), height,
            code, face[0], face[1], CUTOFF_M, lamps.sources, lamps.distributions, surroundings.walls,
            layout_of(grid.cell_m, grid.shape[1]), class_of_height(lamps.height_m - height), feet.row, feet.column,
            np.ascontiguousarray(levels), total,
        )  # fmt: skip
        values = total.astype(np.float32)
    attributes = {"units": "lx", "long_name": f"{plane} illuminance, maintained", "height_m": height}
    if plane in _FACING:
        attributes["facing_deg"] = float(facing_deg or 0.0)
    return xr.DataArray(values, grid.coordinates, ("northing", "easting"), name="illuminance", attrs=attributes)


def illuminance_at(
    surroundings: Surroundings,
    easting: ArrayLike,
    northing: ArrayLike,
    level: float | NDArray[np.float64] = 1.0,
    *,
    plane: str = "horizontal",
    height_m: float | None = None,
    facing_deg: float | None = None,
) -> NDArray[np.float64]:
    """Do what `illuminance_raster` does at single points, exactly; lx, (n,) for (n,) metres of the projection."""
    code, height, face = _plane(plane, height_m, facing_deg)
    east, north = (np.atleast_1d(np.asarray(side, np.float64)) for side in (easting, northing))
    n = east.size
    levels = np.ascontiguousarray(np.broadcast_to(np.asarray(level, np.float64), surroundings.lamps.easting.shape))
    return _at_points(
        surroundings, levels, np.zeros(levels.size), east, north, np.full(n, height), np.full(n, code, np.uint8),
        np.full(n, face[0]), np.full(n, face[1]),
    )[0]  # fmt: skip


def light_at(
    surroundings: Surroundings,
    state: LampState,
    easting: NDArray[np.float64],
    northing: NDArray[np.float64],
    height_m: NDArray[np.float64],
    vertical: NDArray[np.bool_],
    facing_deg: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Do what `lamp_light` does at points of their own height.

    facing_deg : bearing of each vertical plane; one that is NaN, or all without it, sees the mean of all facings
    """
    facing = np.full(easting.size, np.nan) if facing_deg is None else np.asarray(facing_deg, np.float64)
    mean = np.where(np.isfinite(facing), kernels.VERTICAL, kernels.CYLINDRICAL)  # the mean of Ev over all facings
    plane = np.where(vertical, mean, kernels.HORIZONTAL).astype(np.uint8)
    bearing = np.radians(np.nan_to_num(facing))
    weight = np.hypot(surroundings.lamps.model_sd, state.sd)
    return _at_points(
        surroundings, state.level, weight, easting, northing, height_m, plane, np.sin(bearing), np.cos(bearing)
    )


def lux_departures(
    surroundings: Surroundings, state: LampState, sky: float, records: Records, step: np.datetime64
) -> Departures:
    """Lux sensors in a step against the lamps' light in their own plane and at their own height, in ln lx."""
    sites = surroundings.sites
    until = step + np.timedelta64(surroundings.step_minutes, "m")
    rows = sites.of("illuminance")
    rows = rows[sites.plane[rows] != PLANES.index("none")]  # nothing can be compared with no plane
    vertical = sites.plane[rows] == PLANES.index("vertical")
    lamps, lamps_sd = light_at(
        surroundings, state, sites.easting[rows], sites.northing[rows], sites.height_m[rows], vertical,
        sites.facing_deg[rows],
    )  # fmt: skip
    seen_sky = np.where(vertical, 0.5 * sky, sky)  # a wall hides half of it
    expected = lamps + seen_sky
    readings = said(records, sites, "illuminance", step, until)
    value = weighted_mean(readings, readings.value, sites.site.size)[rows]
    value[_above_its_lamps(surroundings, state, rows, lamps)] = np.nan  # it sees none of what lights the ground
    noise = _LUX_SD**2 + _LUX_SPOT_SD**2 + (_LUX_FLOOR / np.maximum(expected, _LUX_FLOOR)) ** 2
    noise += _height_variance(surroundings, state, rows, expected)
    return Departures(
        site=sites.site[rows],
        easting=sites.easting[rows],
        northing=sites.northing[rows],
        origin=sites.origin[rows],
        departure=np.log((np.maximum(value, 0.0) + 0.5 * _LUX_FLOOR) / (expected + 0.5 * _LUX_FLOOR)),
        noise_variance=np.where(vertical & np.isnan(sites.facing_deg[rows]), 2.0, 1.0)
        * noise,  # its facing is not known
        last=np.full(rows.size, np.nan),  # lamps change at once; an old lux value says nothing about now
        last_variance=np.full(rows.size, np.nan),
        hours_since=np.full(rows.size, np.nan),
        sd=np.hypot((lamps_sd + seen_sky * _SKY_SD) / expected, 1e-3),
    )


def _above_its_lamps(
    surroundings: Surroundings, state: LampState, rows: NDArray[np.int64], lamps: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Level sensors on poles that have less of the lamps' light, lx, than the ground below; (n,) for rows of sites."""
    sites = surroundings.sites
    level = (sites.plane[rows] == PLANES.index("horizontal")) & (sites.height_m[rows] > 0)
    above = np.zeros(rows.size, bool)
    if level.any():
        at = rows[level]
        ground, _ = light_at(
            surroundings, state, sites.easting[at], sites.northing[at], np.zeros(at.size), np.zeros(at.size, bool)
        )
        above[level] = lamps[level] < _LEAST_OF_GROUND * ground
    return above


def _height_variance(
    surroundings: Surroundings, state: LampState, rows: NDArray[np.int64], expected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Variance of ln lx that an error of a sensor's height makes, great beside a lamp; none on the ground."""
    sites = surroundings.sites
    up = np.flatnonzero(sites.height_m[rows] > 0)
    variance = np.zeros(rows.size)
    if up.size:
        at = rows[up]
        vertical = sites.plane[at] == PLANES.index("vertical")
        above, below = (
            light_at(
                surroundings, state, sites.easting[at], sites.northing[at], sites.height_m[at] + by, vertical,
                sites.facing_deg[at],
            )[0]
            for by in (_HEIGHT_SD_M, -_HEIGHT_SD_M)
        )  # fmt: skip
        floor = np.maximum(expected[up], _LUX_FLOOR)
        variance[up] = (0.5 * (above - below) / floor) ** 2
    return variance


def _simulated_light(surroundings: Surroundings, state: LampState, lamps: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Cells that a lamp lights (or would light) whose state a simulated device reports."""
    on = np.where(state.simulated, 1.0, 0.0)
    if np.array_equal(on > 0, state.level > 0):
        return lamps > 0
    reached, _ = lamp_light(surroundings, LampState(on, state.sd, state.simulated))
    return reached > 0


def _at_points(
    surroundings: Surroundings,
    level: NDArray[np.float64],
    weight: NDArray[np.float64],
    easting: NDArray[np.float64],
    northing: NDArray[np.float64],
    height_m: NDArray[np.float64],
    plane: NDArray[np.uint8],
    face_east: NDArray[np.float64],
    face_north: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lamps = surroundings.lamps
    total, weighted = np.empty(easting.size), np.empty(easting.size)
    over_rows(
        kernels.light_points, easting.size, easting, northing, height_m, plane, face_east, face_north, CUTOFF_M,
        lamps.sources, lamps.distributions, surroundings.walls, level, weight, total, weighted,
    )  # fmt: skip
    return total, weighted


def _plane(plane: str, height_m: float | None, facing_deg: float | None) -> tuple[int, float, tuple[float, float]]:
    """Code of the kernels, height, and the unit vector (east, north) that the plane faces."""
    if plane not in LIGHT_PLANES:
        raise ValueError(f"there is no plane '{plane}'; expected one of {', '.join(LIGHT_PLANES)}")
    if plane in _FACING and facing_deg is None:
        raise ValueError(f"a {plane} plane needs the bearing that it faces: facing_deg, degrees clockwise from north")
    code, usual = LIGHT_PLANES[plane]
    bearing = np.radians(facing_deg or 0.0)
    return code, usual if height_m is None else float(height_m), (float(np.sin(bearing)), float(np.cos(bearing)))
