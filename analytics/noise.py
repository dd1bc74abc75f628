"""Sound level outdoors: energy of roads, venues and voices, corrected by noise meters. Modelled, not legal metrology.

Levels (dB, A-weighted) are added and averaged only as energy. Sources (`sources.py`) spread past buildings and along
streets (`sound_paths.py`), coarsely; heights, wind and single events are not modelled and are in the error: never less
than 5 dB away from a meter, since without propagation nobody can claim more (sensing.md B5).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.assimilation import SIMULATED, Departures, correct
from analytics.layers import shares, weighed_against, with_layers
from analytics.observations import Said, latest, said, seconds, weighted_mean
from analytics.profile import Profile
from analytics.sound_paths import add_venues
from analytics.sources import open_share, rail_share, spread_voices, traffic_share
from analytics.surroundings import Surroundings
from sensors.reading import Records

MODEL_SD = 6.0  # dB, between the sources' model and a place: screening, surfaces, what drives past
BETWEEN_METERS_SD = 5.0  # dB, the least error where there is no meter
_METER_REACH_M = 50.0  # from here on the full error between meters holds
SPOT_SD = 1.0  # dB, one height and one side of the street stand for a cell
_FACADE_DB = 3.0  # what a facade adds to the free field
_GAP_SD = 4.0  # dB, of a step that a meter heard nothing of
_FLOOR = 10**3.8  # energy of the far city, 38 dB


@dataclass(frozen=True)
class NoiseField:
    """(northing, easting) arrays: dB, sd in dB, metres to the nearest live meter, origin bits, per cent by origin."""

    level: NDArray[np.float32]
    sd: NDArray[np.float32]
    nearest: NDArray[np.float32]
    origin: NDArray[np.uint8]
    measured: NDArray[np.uint8]
    simulated: NDArray[np.uint8]


def noise_field(
    surroundings: Surroundings,
    profile: Profile,
    footfall: NDArray[np.float32],
    footfall_origin: NDArray[np.uint8],
    records: Records,
    step: np.datetime64,
) -> NoiseField:
    """LAeq of the step that starts at `step` (UTC) in the free field, its sd, and where it comes from.

    footfall : (northing, easting) persons/h, whose voices are heard; records : of the night, in the order of their keys
    """
    grid, zone = surroundings.grid, surroundings.zone
    middle = step + np.timedelta64(surroundings.step_minutes * 30, "s")
    background = background_level(surroundings, footfall, middle) + np.float32(profile.at(middle, zone))
    departures = _departures(surroundings, profile, background, records, step, middle)
    model_sd = surroundings.layers.noise_sd(MODEL_SD)
    held = surroundings.layers.noise.weigh(middle, zone, model_sd, background)  # maps of levels that the city owns
    departures, profile = weighed_against(held, model_sd, departures, profile, surroundings.sites)
    correction = correct(grid, departures, profile, held.sd, middle, zone)
    between = np.minimum(correction.nearest / np.float32(_METER_REACH_M), np.float32(1)) * np.float32(BETWEEN_METERS_SD)
    variance = correction.variance + np.float32(correction.shift_variance)
    heard = footfall_origin & np.uint8(SIMULATED)  # voices of simulated people
    measured, made_up = shares(held, correction, heard > 0)
    return NoiseField(
        level=background + held.shift + correction.mean + np.float32(correction.shift),
        sd=np.sqrt(np.maximum(variance, between * between)),
        nearest=correction.nearest,
        origin=with_layers(correction.origin | heard, held),
        measured=measured,
        simulated=made_up,
    )


def background_level(
    surroundings: Surroundings, footfall: NDArray[np.float32], time: np.datetime64
) -> NDArray[np.float32]:
    """LAeq in dB of roads, rails, venues, voices and the far city at a moment (UTC)."""
    grid = surroundings.grid
    zone, paths, venues = surroundings.zone, surroundings.sound, surroundings.venues
    energy = surroundings.traffic * np.float32(traffic_share(time, zone)) + np.float32(_FLOOR)
    if paths.rail.size:
        energy += paths.rail * np.float32(rail_share(time, zone))
    add_venues(paths, venues.power * open_share(venues.closes_min, time, zone), energy)
    spread_voices(grid, footfall, paths.voices, energy)
    level: NDArray[np.float32] = np.float32(10) * np.log10(energy)
    return level


def free_field(level_db: NDArray[np.float64], facade: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Levels as they would be without the reflection of the facade a meter hangs on."""
    return level_db - np.where(facade, _FACADE_DB, 0.0)


def energy_mean(readings: Said, n_sites: int) -> NDArray[np.float64]:
    """LAeq in dB of each row of `Sites`, energy averaged over the seconds of its readings; NaN where none."""
    with np.errstate(divide="ignore"):
        return 10.0 * np.log10(weighted_mean(readings, 10 ** (readings.value / 10.0), n_sites))


def _departures(
    surroundings: Surroundings,
    profile: Profile,
    background: NDArray[np.float32],
    records: Records,
    step: np.datetime64,
    middle: np.datetime64,
) -> Departures:
    sites = surroundings.sites
    rows = sites.of("sound_laeq")
    rows = rows[sites.inside[rows]]
    until = step + np.timedelta64(surroundings.step_minutes, "m")
    readings = said(records, sites, "sound_laeq", step, until)
    here = background[sites.row[rows], sites.column[rows]].astype(np.float64)
    level = free_field(energy_mean(readings, sites.site.size)[rows], sites.facade[rows])
    heard = np.minimum(seconds(readings, sites.site.size)[rows] / (60.0 * surroundings.step_minutes), 1.0)
    last, last_time = latest(said(records, sites, "sound_laeq", None, step), sites.site.size)
    now_shape = profile.at(middle, surroundings.zone)
    return Departures(
        site=sites.site[rows],
        easting=sites.easting[rows],
        northing=sites.northing[rows],
        origin=sites.origin[rows],
        departure=level - here,
        noise_variance=sites.meter_sd[rows] ** 2 + SPOT_SD**2 + (1.0 - heard) * _GAP_SD**2,
        last=free_field(last[rows], sites.facade[rows])
        - here
        + now_shape
        - profile.shape_at(last_time[rows], surroundings.zone),
        last_variance=sites.meter_sd[rows] ** 2 + SPOT_SD**2,
        hours_since=(middle - last_time[rows]) / np.timedelta64(1, "h"),
        sd=np.full(rows.size, MODEL_SD),
    )
