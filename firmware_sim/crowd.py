"""People in the pretend city: an hour-of-week habit, swings that the city shares, and closing time.

    flow(place, t) = base(place) habit(t) exp(z_city(t) + z_zone(t) + z_site(t)) + people leaving venues

Habits follow the hourly medians of Dame Street, Dublin, 2023 (sensing.md C3: plateau from 01 to 03 on Friday and
Saturday, collapse at 04); nightlife streets are stronger on weekends (Melbourne, ibid.), quiet streets fall faster.
z are Ornstein-Uhlenbeck paths; their sizes and time constants, with the counts' own dispersion below, give what real
counters show over an hour: sd of the log residual 0.54, autocorrelation over an hour about 0.6, correlation between
sites 0.40 (ibid.; tests/unit/test_sim_crowd.py). At its closing time a venue empties in a gamma pulse, mean 20 min.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from firmware_sim.streams import stream, wander
from firmware_sim.town import HABITS, NIGHTLIFE, QUIET, STREET, Floats, Ints, Town
from sensors.night import Night, local_offset

STEP_S = 300
STEP_MS = STEP_S * 1000
STEPS_PER_HOUR = 3600 // STEP_S
CITY_SD, CITY_HOURS = 0.32, 3.0
ZONE_SD, ZONE_HOURS = 0.30, 3.0
SITE_SD, SITE_HOURS = 0.22, 2.0
COUNT_K = (3.7, 5.6)  # negative binomial shape of 15-minute counts: Dublin 3.7, Melbourne 5.6
CLOSING_MEAN_MIN = 20.0  # of a gamma pulse of shape 2: nobody at once, most after ten minutes
_REACH_M, _PASS_SHARE = 100.0, 0.3  # of those who leave, this share passes a place next door, less with distance

# Persons/h at hours after midnight of the evening's day (20 = 20:00, 27 = 03:00 of the next day).
_HOURS = np.array([12, 14, 16, 18, 20, 22, 23, 24, 25, 26, 27, 28, 29, 30, 32, 34, 36], np.float64)
_TUESDAY = np.array([600, 640, 760, 720, 485, 374, 265, 104, 47, 41, 26, 22, 33, 70, 330, 420, 600], np.float64)
_THURSDAY = np.array([620, 660, 780, 760, 565, 453, 388, 178, 102, 92, 62, 39, 34, 72, 330, 420, 620], np.float64)
_FRIDAY = np.array([650, 700, 850, 820, 622, 599, 576, 324, 212, 199, 131, 57, 26, 40, 120, 330, 700], np.float64)
_SATURDAY = np.array([900, 1000, 950, 800, 638, 631, 618, 418, 309, 306, 259, 80, 33, 30, 80, 230, 600], np.float64)
_EVENINGS = (
    0.93 * _TUESDAY,
    _TUESDAY,
    np.sqrt(_TUESDAY * _THURSDAY),
    _THURSDAY,
    _FRIDAY,
    _SATURDAY,
    np.where((_HOURS >= 24) & (_HOURS <= 27), 1.05, 0.85) * _TUESDAY,
)
# How full venues are at their best hour, Monday to Sunday evening (invented).
_FULL = np.array([0.20, 0.22, 0.28, 0.45, 0.70, 0.80, 0.22])
_EARLIER_MIN = np.array([90, 90, 90, 30, 0, 0, 90], np.float64)  # weekday closing before that of the weekend


@dataclass(frozen=True)
class CrowdNight:
    """The crowd of one night in steps of 5 minutes, local noon to noon.

    ends : (T,) array
        End of each step, UTC milliseconds since 1970.
    growth : (habits, zones, T) array
        Flow relative to a place's base.
    leaving : (venues, T) array
        People who leave each venue at closing time, persons/h.
    inside : (venues, T) array
        People in each venue.
    """

    night: Night
    ends: Ints
    growth: Floats
    leaving: Floats
    inside: Floats

    def step_of(self, times_ms: Ints) -> Ints:
        """The step in which each moment lies; clipped to the night."""
        index = (times_ms - (self.ends[0] - STEP_MS)) // STEP_MS
        return np.asarray(np.clip(index, 0, len(self.ends) - 1), np.int64)


@dataclass(frozen=True)
class Passing:
    """Places where people pass: which piece of street they lie on, and which venues' guests come by."""

    piece: Ints  # (n,)
    share: Floats  # (n, venues)

    @classmethod
    def at(cls, town: Town, points: Floats) -> Passing:
        """From (n, 2) metres."""
        apart = np.linalg.norm(points[:, None, :] - town.venues.points[None, :, :], axis=2)
        share = np.where(apart < 4 * _REACH_M, _PASS_SHARE * np.exp(-apart / _REACH_M), 0.0)
        return cls(town.nearest_walk(points), share)

    def flow(self, town: Town, crowd: CrowdNight) -> Floats:
        """Persons/h at each place, (n, T)."""
        usual = crowd.growth[town.habit[self.piece], town.zone[self.piece]] * town.base[self.piece, None]
        return np.asarray(usual + self.share @ crowd.leaving, np.float64)

    def flow_at(self, town: Town, crowd: CrowdNight, rows: Ints, steps: Ints) -> Floats:
        """Persons/h at place `rows[i]` in step `steps[i]`, (n,)."""
        piece = self.piece[rows]
        usual = crowd.growth[town.habit[piece], town.zone[piece], steps] * town.base[piece]
        leaving = np.einsum("nv,vn->n", self.share[rows], crowd.leaving[:, steps])
        return np.asarray(usual + leaving, np.float64)


def crowd_night(town: Town, night: Night) -> CrowdNight:
    """The crowd of a night."""
    ends = step_ends(night)
    hours = hours_of_evening(ends - STEP_MS // 2, night)
    generator = stream(town.seed, "crowd", night.date)
    city = wander(generator, 1, len(ends), CITY_SD, CITY_HOURS * STEPS_PER_HOUR)
    zones = wander(generator, town.zones, len(ends), ZONE_SD, ZONE_HOURS * STEPS_PER_HOUR)
    habits = np.stack([habit_curve(habit, night.date.weekday(), hours) for habit in range(HABITS)])
    # Half the variance is taken off, so that the swings leave the mean where the habit puts it.
    swing = np.exp(city + zones - (CITY_SD**2 + ZONE_SD**2) / 2)
    leaving, inside = _venues(town, night.date, hours)
    return CrowdNight(night, ends, habits[:, None, :] * swing[None, :, :], leaving, inside)


def site_swing(town: Town, night: Night, n: int) -> Floats:
    """What makes each counter's place a little busier or emptier than its street, a factor (n, T) of mean 1."""
    steps = len(step_ends(night))
    path = wander(stream(town.seed, "site swing", night.date), n, steps, SITE_SD, SITE_HOURS * STEPS_PER_HOUR)
    return np.exp(path - SITE_SD**2 / 2)


def step_ends(night: Night) -> Ints:
    """Ends of the night's steps of 5 minutes, UTC milliseconds; 276, 288 or 300 of them."""
    start, end = (int(moment.astype(np.int64)) for moment in (night.start, night.end))
    return np.arange(start + STEP_MS, end + 1, STEP_MS, dtype=np.int64)


def hours_of_evening(times_ms: Ints, night: Night) -> Floats:
    """Local wall-clock hours after midnight of the evening's day: 20.0 is 20:00, 27.0 is 03:00 of the next day."""
    times = times_ms.astype("datetime64[ms]")
    local = times + local_offset(times, night.zone)
    midnight = np.datetime64(night.date, "ms").astype(np.int64)
    return (local.astype(np.int64) - midnight) / 3_600_000.0


def habit_curve(habit: int, weekday: int, hours: Floats) -> Floats:
    """Flow relative to 20:00 on a Tuesday; `weekday` is the evening's, Monday 0.

    Between the table's hours the curve is straight in the logarithm.
    """
    curve = np.exp(np.interp(hours, _HOURS, np.log(_EVENINGS[weekday] / 485.0)))
    if habit == STREET:
        return curve
    late = np.clip((hours - 21.0) / 2.0, 0.0, 1.0) * np.clip((28.5 - hours) / 1.0, 0.0, 1.0)
    if habit == NIGHTLIFE:
        boost = {3: 1.2, 4: 1.5, 5: 1.7}.get(weekday, 1.0)
        return np.asarray(curve * (1.0 + (boost - 1.0) * late), np.float64)
    assert habit == QUIET
    return np.asarray(np.where((hours > 20) & (hours < 30), np.minimum(curve, 1.5) ** 1.25, curve), np.float64)


def closing_pulse(minutes: Floats) -> Floats:
    """Share of a venue's guests who leave per hour, `minutes` after closing; its integral over time is 1."""
    scaled = np.maximum(minutes, 0.0) / (CLOSING_MEAN_MIN / 2.0)
    return np.asarray(60.0 / (CLOSING_MEAN_MIN / 2.0) * scaled * np.exp(-scaled), np.float64)


def closing_left(minutes: Floats) -> Floats:
    """Share of a venue's guests who have left `minutes` after closing, the integral of `closing_pulse`."""
    scaled = np.maximum(minutes, 0.0) / (CLOSING_MEAN_MIN / 2.0)
    return np.asarray(1.0 - (1.0 + scaled) * np.exp(-scaled), np.float64)


def draw_counts(generator: np.random.Generator, mean: Floats, k: Floats) -> npt.NDArray[np.int64]:
    """Negative binomial counts with variance mean + mean^2 / k."""
    return np.asarray(generator.negative_binomial(k, k / (k + np.maximum(mean, 1e-9))), np.int64)


def _venues(town: Town, evening: date, hours: Floats) -> tuple[Floats, Floats]:
    """People leaving (persons/h) and inside, (venues, T)."""
    weekday = evening.weekday()
    closes = np.maximum(town.venues.closes_min - _EARLIER_MIN[weekday], 600.0)
    generator = stream(town.seed, "venues", evening)
    full = np.clip(_FULL[weekday] * np.exp(generator.normal(0.0, 0.2, len(closes))), 0.0, 1.0)
    guests = (town.venues.capacity * full)[:, None]
    after = (hours[None, :] - 12.0) * 60.0 - closes[:, None]  # minutes after closing
    fill = 1.0 / (1.0 + np.exp(-(after + 240.0) / 45.0))  # half full four hours before closing
    return guests * closing_pulse(after), guests * fill * (1.0 - closing_left(after))
