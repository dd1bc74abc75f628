"""Illuminance on the ground: lamps as point sources, dimmed and failing as they report, corrected by lux sensors.

Photometry by EN 13201-3:2015 (formulas at the top of `kernels/light.py`, distribution in `photometry.py`). Live dimming
scales it, a failed lamp gives nothing whatever its dimming says, a lamp without telemetry follows the city's schedule
with a wider error.

The sky adds what the sun leaves in twilight and a small urban glow, so that no place is at 0 lx. Shadows of trees,
walls and vehicles are not modelled; they are in the error.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.assimilation import SIMULATED, Departures, correct
from analytics.hours import minutes_after_noon
from analytics.kernels import light as kernels
from analytics.kernels.jit import over_rows
from analytics.observations import latest, said, weighted_mean
from analytics.profile import Profile
from analytics.sky import sky_lux
from analytics.surroundings import ORIGINS, PLANES, Sites, Surroundings
from sensors.reading import Records

CUTOFF_M = 60.0  # ten mounting heights of a 6 m lamp: it still gives 0.01 lx there, less than the sky
_SCHEDULE_SD = 0.35  # what a lamp does that does not report: schedule, switching times, and 1 to 2 % out
_TELEMETRY_SD = 0.05
_TELEMETRY_FADES_H = 2.0  # heartbeats come every 15 to 60 min; two hours of silence and the schedule is as good
_CELL_SD = 0.25  # within a cell and a quarter of an hour: parked vehicles, leaves, people

_LUX_SD = 0.15  # cosine error, dirt and temperature of a pole sensor: 10 to 20 %
_LUX_SPOT_SD = 0.3  # a few square metres stand for a cell of a hundred
_LUX_FLOOR = 0.1  # lx; below this a pole sensor reads noise
_SKY_SD = 0.7  # clouds
_BURNS_BELOW_LUX = 50.0  # photocells switch at 35 to 70 lx

_CHECK_RADIUS_M = 25.0  # uniformity looks this far: about one lamp spacing


@dataclass(frozen=True)
class LampState:
    """What the lamps do at a moment; (n,) each: level 0..1, sd of ln level, and whether a simulated device said so."""

    level: NDArray[np.float64]
    sd: NDArray[np.float64]
    simulated: NDArray[np.bool_]


@dataclass(frozen=True)
class LightField:
    """(northing, easting) arrays: lx, sd of ln lx, lowest lx around, metres to the nearest live lux sensor, bits."""

    illuminance: NDArray[np.float32]
    sd: NDArray[np.float32]
    lowest: NDArray[np.float32]
    nearest: NDArray[np.float32]
    origin: NDArray[np.uint8]


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
    departures = lux_departures(surroundings, state, sky, records, step)
    correction = correct(grid, departures, profile, model_sd, middle, surroundings.zone)
    shape = profile.at(middle, surroundings.zone)
    illuminance = np.exp(np.log(total) + correction.mean + np.float32(shape + correction.shift))
    lowest = lowest_around(surroundings, illuminance)
    origin = correction.origin
    if state.simulated.any():
        origin = origin | np.where(_simulated_light(surroundings, state, lamps), SIMULATED, 0).astype(np.uint8)
    return LightField(
        illuminance=illuminance,
        sd=np.sqrt(correction.variance + np.float32(correction.shift_variance + _CELL_SD**2)),
        lowest=lowest,
        nearest=correction.nearest,
        origin=origin,
    )


def lowest_around(surroundings: Surroundings, illuminance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lowest illuminance of the street within 25 m of each cell, lx; (northing, easting)."""
    grid = surroundings.grid
    lowest = np.empty(grid.shape, np.float32)
    outside = surroundings.street & ~surroundings.indoor
    walked = np.where(outside, illuminance, np.float32(np.inf))
    over_rows(kernels.lowest_around, grid.shape[0], _CHECK_RADIUS_M / grid.cell_m, walked, lowest)
    return np.where(np.isinf(lowest), illuminance, lowest)  # no street within reach: the place speaks for itself


def lamp_state(surroundings: Surroundings, records: Records, until: np.datetime64, sky: float) -> LampState:
    """Level of every lamp at a moment from what its controller last said, else from the schedule.

    sky : lx from the sky; lamps without telemetry are off while it is light
    """
    sites, n = surroundings.sites, surroundings.lamps.easting.size
    scheduled = scheduled_level(surroundings, until) if sky < _BURNS_BELOW_LUX else 0.0
    level = np.full(n, scheduled)
    sd = np.full(n, _SCHEDULE_SD)
    simulated = np.zeros(n, bool)
    dimming, dimming_time = latest(said(records, sites, "dimming", None, until), sites.site.size)
    for lamp, row in _lamps_told(sites, dimming_time):
        age_h = (until - dimming_time[row]) / np.timedelta64(1, "h")
        level[lamp] = np.clip(dimming[row], 0.0, 1.0)
        faded = 1.0 - np.exp(-age_h / _TELEMETRY_FADES_H)
        sd[lamp] = np.sqrt(_TELEMETRY_SD**2 + faded * _SCHEDULE_SD**2)
        simulated[lamp] = sites.origin[row] == ORIGINS.index("simulated")
    works, works_time = latest(said(records, sites, "lamp_ok", None, until), sites.site.size)
    for lamp, row in _lamps_told(sites, works_time):
        level[lamp] = np.where(works[row] < 0.5, 0.0, level[lamp])
        simulated[lamp] |= sites.origin[row] == ORIGINS.index("simulated")
    return LampState(level, sd, simulated)


def _lamps_told(sites: Sites, time: NDArray[np.datetime64]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Lamps that somebody spoke for and the row of `Sites` that did so last, as one batch; empty when nobody did."""
    rows = np.flatnonzero(~np.isnat(time))
    if not rows.size:
        return []
    rows = rows[np.argsort(time[rows], kind="stable")]
    counts = sites.lamp_start[rows + 1] - sites.lamp_start[rows]
    speaker = np.repeat(rows, counts)
    first = np.repeat(sites.lamp_start[rows] - np.cumsum(counts) + counts, counts)
    lamp = sites.lamp_index[first + np.arange(speaker.size)]
    last = np.full(int(sites.lamp_index.max(initial=-1)) + 1, -1, np.int64)
    last[lamp] = speaker  # in order of time, so the latest word on a lamp stays
    told = np.flatnonzero(last >= 0)
    return [(told, last[told])]


def lamp_light(surroundings: Surroundings, state: LampState) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cell averages of the lamps' illuminance in lx, and of illuminance times the sd of its logarithm.

    Lamps of one make err together, so their errors add like their light and not like independent ones.
    """
    grid, lamps = surroundings.grid, surroundings.lamps
    total, weighted = np.empty(grid.shape, np.float32), np.empty(grid.shape, np.float32)
    over_rows(
        kernels.light_raster, grid.shape[0], grid.cell_m, float(grid.easting[0]), float(grid.northing[0]), CUTOFF_M,
        lamps.easting, lamps.northing, lamps.height_m, lamps.peak_cd * state.level, lamps.shape,
        np.hypot(lamps.model_sd, state.sd), total, weighted,
    )  # fmt: skip
    return total, weighted


def light_at(
    surroundings: Surroundings,
    state: LampState,
    easting: NDArray[np.float64],
    northing: NDArray[np.float64],
    height_m: NDArray[np.float64],
    vertical: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Do what `lamp_light` does at points of their own height; a vertical plane sees the mean of all facings."""
    lamps = surroundings.lamps
    total, weighted = np.empty(easting.size), np.empty(easting.size)
    over_rows(
        kernels.light_points, easting.size, easting, northing, height_m, vertical, CUTOFF_M, lamps.easting,
        lamps.northing, lamps.height_m, lamps.peak_cd * state.level, lamps.shape,
        np.hypot(lamps.model_sd, state.sd), total, weighted,
    )  # fmt: skip
    return total, weighted


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
        surroundings, state, sites.easting[rows], sites.northing[rows], sites.height_m[rows], vertical
    )
    seen_sky = np.where(vertical, 0.5 * sky, sky)  # a wall hides half of it
    expected = lamps + seen_sky
    readings = said(records, sites, "illuminance", step, until)
    value = weighted_mean(readings, readings.value, sites.site.size)[rows]
    noise = _LUX_SD**2 + _LUX_SPOT_SD**2 + (_LUX_FLOOR / np.maximum(expected, _LUX_FLOOR)) ** 2
    return Departures(
        site=sites.site[rows],
        easting=sites.easting[rows],
        northing=sites.northing[rows],
        origin=sites.origin[rows],
        departure=np.log((np.maximum(value, 0.0) + 0.5 * _LUX_FLOOR) / (expected + 0.5 * _LUX_FLOOR)),
        noise_variance=np.where(vertical, 2.0, 1.0) * noise,  # the facing of a vertical sensor is not known
        last=np.full(rows.size, np.nan),  # lamps change at once; an old lux value says nothing about now
        last_variance=np.full(rows.size, np.nan),
        hours_since=np.full(rows.size, np.nan),
        sd=np.hypot((lamps_sd + seen_sky * _SKY_SD) / expected, 1e-3),
    )


def scheduled_level(surroundings: Surroundings, time: np.datetime64) -> float:
    """Level that the city's schedule asks of a lamp at a moment (UTC)."""
    if not surroundings.schedule:
        return 1.0
    now = minutes_after_noon(time, surroundings.zone)
    entries = sorted(
        ((int(clock[:2]) * 60 + int(clock[3:]) - 720) % 1440, level) for clock, level in surroundings.schedule
    )
    begun = [level for minute, level in entries if minute <= now]
    return float(begun[-1] if begun else entries[-1][1])


def _simulated_light(surroundings: Surroundings, state: LampState, lamps: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Cells that a lamp lights (or would light) whose state a simulated device reports."""
    on = np.where(state.simulated, 1.0, 0.0)
    if np.array_equal(on > 0, state.level > 0):
        return lamps > 0
    reached, _ = lamp_light(surroundings, LampState(on, state.sd, state.simulated))
    return reached > 0
