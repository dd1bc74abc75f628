"""People passing, persons an hour through a line across the street: habits of the hour and the place, and counters.

In ln(persons/h): level of the place (venues, stops, kind of street; fitted on counters) plus the hour-of-week shape
that counters share, plus what tonight differs by, kriged. A count of y in T hours says ln((y + 1/2) / T) with variance
1 / (y + 1/2) + 1 / k: Poisson for small counts, k = 25 (20 %) for counters' own error and people who walk in groups.
Absent is not zero: a silent counter falls back to its habit, with growing variance. Presence and devices are other
quantities and are never added in.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.assimilation import Departures, correct
from analytics.layers import shares, weighed_against, with_layers
from analytics.observations import Said, latest, said
from analytics.profile import Profile
from analytics.surroundings import Sites, Surroundings
from sensors.reading import Records

PLACE_SD = 0.95  # ln, between the place features and a street: 77 counters of Melbourne, 2023 to 2025
LOCAL_SHARE = 0.45  # of that variance, what ends within some metres: counters 20 m apart differ by 0.9 (ibid.)
OFF_STREET_SD = 1.3  # ln, courtyards and parks: hardly anybody ever counted there
_COUNT_K = 25.0
_CELL_SD = 0.2  # ln, one line for a cell


@dataclass(frozen=True)
class FootfallField:
    """(northing, easting) arrays: persons/h (median), sd of its logarithm, metres to a live counter, bits, per cent."""

    rate: NDArray[np.float32]
    sd: NDArray[np.float32]
    nearest: NDArray[np.float32]
    origin: NDArray[np.uint8]
    measured: NDArray[np.uint8]
    simulated: NDArray[np.uint8]


def footfall_field(
    surroundings: Surroundings,
    profile: Profile,
    coefficients: NDArray[np.float64],
    records: Records,
    step: np.datetime64,
) -> FootfallField:
    """People passing in the step that starts at `step` (UTC), the sd of its logarithm, and where it comes from.

    coefficients : (1 + FEATURES,) level of a plain street and what features add; records : in the order of their keys
    """
    zone = surroundings.zone
    middle = step + np.timedelta64(surroundings.step_minutes * 30, "s")
    background = place_level(surroundings, coefficients) + np.float32(profile.at(middle, zone))
    departures = _departures(surroundings, profile, background, records, step, middle)
    on_street, off_street = _sds(profile, middle, zone)
    sd = np.where(surroundings.street, np.float32(on_street), np.float32(off_street))
    layers = surroundings.layers
    beyond_hours = layers.footfall_offset(profile.shape) - profile.at(middle, zone)
    held = layers.footfall.weigh(middle, zone, sd, background, beyond_hours)  # maps of flows that the city owns
    departures, profile = weighed_against(held, sd, departures, profile, surroundings.sites)
    correction = correct(surroundings.grid, departures, profile, held.sd, middle, zone)
    measured, made_up = shares(held, correction, profile.simulated)
    return FootfallField(
        rate=np.exp(background + held.shift + correction.mean + np.float32(correction.shift)),
        sd=np.sqrt(correction.variance + np.float32(correction.shift_variance + _CELL_SD**2)),
        nearest=correction.nearest,
        origin=with_layers(correction.origin, held),
        measured=measured,
        simulated=made_up,
    )


def place_level(surroundings: Surroundings, coefficients: NDArray[np.float64]) -> NDArray[np.float32]:
    """ln(persons/h) that places have beyond the hour's shape, (northing, easting)."""
    level = np.full(surroundings.grid.shape, coefficients[0], np.float32)
    for coefficient, feature in zip(coefficients[1:], surroundings.features, strict=True):
        level += np.float32(coefficient) * feature
    return level


def place_sd(profile: Profile, spread: float = 0.0) -> float:
    """Sd of the background on a street: between places, between their hours, and of one around its habit tonight."""
    own = (1.0 - profile.city_share) * profile.temporal_sd**2
    return float(np.sqrt(PLACE_SD**2 + spread**2 + own))


def log_rate(count: NDArray[np.float64], hours: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ln(persons/h) that a count over some hours says, and the variance of that; NaN where no hours were counted."""
    known = np.where(hours > 0, hours, np.nan)
    return np.log((count + 0.5) / known), 1.0 / (count + 0.5) + 1.0 / _COUNT_K


def counters(sites: Sites) -> NDArray[np.int64]:
    """Rows of the sites that tell how many people pass: counters of people, and of devices once they are calibrated.

    People present in an area are another quantity, and so are devices without a gain: neither is ever among them.
    """
    devices = sites.of("devices_seen")
    return np.sort(np.r_[sites.of("people_flow"), devices[sites.gains.calibrated(devices)]])


def passing(records: Records, sites: Sites, after: np.datetime64 | None, until: np.datetime64) -> Said:
    """What counters said of people passing in (after, until]: dead time and gain are seen to where they are known."""
    people = said(records, sites, "people_flow", after, until)
    if not sites.gains.gain.size:
        return people
    devices = said(records, sites, "devices_seen", after, until)
    calibrated = sites.gains.calibrated(devices.row)
    joined = Said(
        *(
            np.concatenate([getattr(people, name), getattr(devices, name)[calibrated]])
            for name in ("row", "time", "value", "duration_s")
        )
    )
    order = np.argsort(joined.time, kind="stable")
    row, time, value, seconds = (getattr(joined, name)[order] for name in ("row", "time", "value", "duration_s"))
    timed = seconds > 0
    value[timed] = sites.gains.people(row[timed], np.maximum(value[timed], 0.0), seconds[timed])
    return Said(row, time, value, seconds)


def counted(readings: Said, n_sites: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """People and hours counted by each row of `Sites`; a count without a duration counts for nothing."""
    timed = readings.duration_s > 0
    row = readings.row[timed]
    people = np.bincount(row, np.maximum(readings.value[timed], 0.0), n_sites).astype(np.float64)
    return people, np.bincount(row, readings.duration_s[timed], n_sites) / 3600.0


def _departures(
    surroundings: Surroundings,
    profile: Profile,
    background: NDArray[np.float32],
    records: Records,
    step: np.datetime64,
    middle: np.datetime64,
) -> Departures:
    sites, zone = surroundings.sites, surroundings.zone
    rows = counters(sites)
    rows = rows[sites.inside[rows]]
    until = step + np.timedelta64(surroundings.step_minutes, "m")
    now = passing(records, sites, step, until)
    people, hours = counted(now, sites.site.size)
    value, variance = log_rate(people[rows], hours[rows])
    variance = variance + _gain_variance(sites, rows)
    here = background[sites.row[rows], sites.column[rows]].astype(np.float64)
    before = passing(records, sites, None, step)
    last_count, last_time = latest(before, sites.site.size)
    last_seconds = np.zeros(sites.site.size)
    last_seconds[before.row] = before.duration_s
    last_value, last_variance = log_rate(np.maximum(last_count[rows], 0.0), last_seconds[rows] / 3600.0)
    now_shape = profile.at(middle, zone)
    on_street, off_street = _sds(profile, middle, zone)
    # a count is of its own interval: an hour that ends in this step is told of its half hour, not of the step
    now_time = _middles(now, sites.site.size)[rows]
    then_time = last_time[rows] - (500 * last_seconds[rows]).astype("timedelta64[ms]")
    return Departures(
        site=sites.site[rows],
        easting=sites.easting[rows],
        northing=sites.northing[rows],
        origin=sites.origin[rows],
        departure=value - here + now_shape - profile.shape_at(now_time, zone),
        noise_variance=variance,
        last=last_value - here + now_shape - profile.shape_at(then_time, zone),
        last_variance=last_variance + _gain_variance(sites, rows),
        hours_since=(middle - then_time) / np.timedelta64(1, "h"),
        sd=np.where(surroundings.street[sites.row[rows], sites.column[rows]], on_street, off_street),
    )


def _sds(profile: Profile, time: np.datetime64, zone: str) -> tuple[float, float]:
    """Sd of the background on and off the streets at a moment."""
    spread = profile.spread_at(time, zone)
    return place_sd(profile, spread), float(np.hypot(OFF_STREET_SD, spread))


def _middles(readings: Said, n_sites: int) -> NDArray[np.datetime64]:
    """The middle of what each row of `Sites` counted in a step, NaT where it counted nothing."""
    timed = readings.duration_s > 0
    row, seconds = readings.row[timed], readings.duration_s[timed]
    total = np.bincount(row, seconds, n_sites)
    middle = readings.time[timed].astype("datetime64[ms]").astype(np.int64) - (500 * seconds).astype(np.int64)
    first = middle.min(initial=np.iinfo(np.int64).max)
    out = np.full(n_sites, np.datetime64("NaT"), "datetime64[ms]")
    heard = total > 0
    mean = np.bincount(row, seconds * (middle - first), n_sites)[heard] / total[heard]
    out[heard] = (first + np.rint(mean).astype(np.int64)).astype("datetime64[ms]")
    return out


def _gain_variance(sites: Sites, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """What the gain adds to the variance of a count; beside 1 / `_COUNT_K`, which holds an uncalibrated counter's."""
    return np.nan_to_num(sites.gains.variance(rows), nan=0.0)
