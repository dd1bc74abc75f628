"""What the lamps do at a moment: dimmed, failed or in part dark as their controllers report, else by the schedule.

A lamp's own word on its dimming is turned into light by its curve (`analytics.photometry.light_output`). Whether it
burns at all is what `lamp_ok` says. Where no `lamp_ok` came, power tells, against the rating P_n by the lamp's
expected P = P_n (0.08 + 0.92 level) (sensing.md A2 and A7): less than a fifth of it is a dead lamp, less than seven
tenths is in part dark and gives the light of its power, and a lamp that reports no dimming gives that too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.hours import minutes_after_noon
from analytics.observations import latest, said
from analytics.photometry import light_output
from analytics.surroundings import ORIGINS, Sites, Surroundings
from sensors.reading import Records

DRIVER_SHARE = 0.08  # of full power at level 0, sensing.md A2 and A8
_DEAD_BELOW, _PARTIAL_BELOW = 0.2, 0.7  # of the expected power, sensing.md A7

_SCHEDULE_SD = 0.35  # what a lamp does that does not report: schedule, switching times, and 1 to 2 % out
_TELEMETRY_SD = 0.05
_POWER_SD = 0.15  # a rating is off by some 15 % before anyone calls the asset wrong (sensing.md A7)
_TELEMETRY_FADES_H = 2.0  # heartbeats come every 15 to 60 min; two hours of silence and the schedule is as good
_BURNS_BELOW_LUX = 50.0  # photocells switch at 35 to 70 lx


@dataclass(frozen=True)
class LampState:
    """What the lamps do at a moment; (n,) each: level 0..1, sd of ln level, and whether a simulated device said so."""

    level: NDArray[np.float64]
    sd: NDArray[np.float64]
    simulated: NDArray[np.bool_]


def lamp_state(surroundings: Surroundings, records: Records, until: np.datetime64, sky: float) -> LampState:
    """Level of every lamp, as a share of full light, from what its controller last said, else from the schedule.

    sky : lx from the sky; lamps without telemetry are off while it is light
    """
    sites, lamps = surroundings.sites, surroundings.lamps
    n = lamps.easting.size
    level = np.full(n, scheduled_level(surroundings, until) if sky < _BURNS_BELOW_LUX else 0.0)
    sd = np.full(n, _SCHEDULE_SD)
    simulated = np.zeros(n, bool)
    dimmed_at = np.full(n, np.datetime64("NaT"), "datetime64[ms]")
    judged = np.zeros(n, bool)
    dimming, dimming_time = latest(said(records, sites, "dimming", None, until), sites.site.size)
    for lamp, row in _lamps_told(sites, dimming_time):
        level[lamp] = light_output(dimming[row], lamps.curve[lamp])
        sd[lamp] = _aged(_TELEMETRY_SD, dimming_time[row], until)
        dimmed_at[lamp] = dimming_time[row]
        simulated[lamp] = sites.origin[row] == ORIGINS.index("simulated")
    works, works_time = latest(said(records, sites, "lamp_ok", None, until), sites.site.size)
    for lamp, row in _lamps_told(sites, works_time):
        judged[lamp] = True
        level[lamp] = np.where(works[row] < 0.5, 0.0, level[lamp])
        simulated[lamp] |= sites.origin[row] == ORIGINS.index("simulated")
    power, power_time = latest(said(records, sites, "power", None, until), sites.site.size)
    for lamp, row in _lamps_told(sites, power_time):
        rated = _rated_watts(surroundings)[row]
        stale = power_time[row] < dimmed_at[lamp]  # it was drawn at another level
        told = np.isfinite(rated) & ~judged[lamp] & ~stale
        lamp, row, rated = lamp[told], row[told], rated[told]
        alone = np.isnat(dimmed_at[lamp])
        drawn = np.clip((power[row] / rated - DRIVER_SHARE) / (1.0 - DRIVER_SHARE), 0.0, 1.0)
        expected = np.where(level[lamp] > 0, DRIVER_SHARE + (1.0 - DRIVER_SHARE) * level[lamp], np.inf)
        share = power[row] / rated / expected
        partial = np.where(share < _DEAD_BELOW, 0.0, np.minimum(drawn, level[lamp]))
        changed = alone | ((level[lamp] > 0) & (share < _PARTIAL_BELOW))
        level[lamp] = np.where(alone, drawn, np.where(changed, partial, level[lamp]))
        sd[lamp] = np.where(changed, _aged(_POWER_SD, power_time[row], until), sd[lamp])
        simulated[lamp] |= changed & (sites.origin[row] == ORIGINS.index("simulated"))
    return LampState(level, sd, simulated)


def _aged(sd: float, time: NDArray[np.datetime64], until: np.datetime64) -> NDArray[np.float64]:
    """Sd of ln level of a word of some age: as good as the schedule in the end."""
    faded = 1.0 - np.exp(-((until - time) / np.timedelta64(1, "h")) / _TELEMETRY_FADES_H)
    return np.asarray(np.sqrt(sd**2 + faded * _SCHEDULE_SD**2), np.float64)


def _rated_watts(surroundings: Surroundings) -> NDArray[np.float64]:
    """Rated watts of all lamps of each site, NaN where one of them is not known; (sites,)."""
    sites = surroundings.sites
    site = np.repeat(np.arange(sites.site.size), np.diff(sites.lamp_start))
    watts = np.bincount(site, surroundings.lamps.watts[sites.lamp_index], sites.site.size)
    return np.where(watts > 0, watts, np.nan)


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
