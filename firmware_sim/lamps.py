"""Street lamps of the pretend city: when they burn, how bright, which fail, and the light that reaches the ground.

Lamps follow `lighting.schedule` of `city.toml` between dusk and dawn (sun below -2 degrees, each controller up to
3 minutes off). Illuminance is a sum over lamps within 60 m: E = I(gamma) cos^3(gamma) / h^2, here as I h / d^3 with
I(gamma) = lumens m / (2 pi) cos(gamma) (1 + 2 sin^2(gamma)): flux is lumens x m, the peak near 55 degrees. That is
deliberately not the distribution that the service assumes, and each lamp's true maintenance m is its own: the service
is honestly wrong. No wall casts a shadow. Shop windows add up to 4 lx within some 15 m until 22:00, the sky 0.1 lx.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from firmware_sim.crowd import hours_of_evening, step_ends
from firmware_sim.streams import stream
from firmware_sim.sun import elevation_deg
from firmware_sim.town import Floats, Ints, Town
from sensors.night import Night

REACH_M = 60.0
DEAD_SHARE = 0.015
SKY_LX = 0.1
_SWITCH_DEG = -2.0
_STANDING_DAYS = 9  # how long a dead lamp waits for its repair; then others are dead
_SHOP_LX, _SHOP_REACH_M, _SHOPS_CLOSE_HOUR = 4.0, 12.0, 22.0
# Elexon D60 (sensing.md A8) with full light on the nights when the crowd peaks; only where city.toml has no schedule.
_D60 = [("16:00", 1.0), ("20:00", 0.7), ("22:00", 0.5), ("05:00", 1.0)]
_D60_WEEKEND = [("16:00", 1.0), ("03:00", 0.7), ("05:00", 1.0)]
_NEVER = np.iinfo(np.int64).max
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Fault:
    """What is wrong with a device, when; times in UTC milliseconds."""

    device: str
    kind: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Lamps:
    """The lamps as they really are; arrays are (n_lamps,)."""

    ids: npt.NDArray[np.object_]
    cabinet: npt.NDArray[np.object_]
    points: Floats  # (n, 2)
    height_m: Floats
    candela: Floats  # lumens x true maintenance / 2 pi
    late_ms: Ints  # each controller's clock and dusk are a little off

    @classmethod
    def of(cls, town: Town) -> Lamps:
        """The lamps of the town."""
        table = town.city.places("lamps")
        generator = stream(town.seed, "lamps")
        n = len(table)
        lumens = np.nan_to_num(table["lumens"].to_numpy(np.float64), nan=5000.0)
        maintenance = generator.uniform(0.72, 0.95, n)
        return cls(
            table["lamp"].to_numpy(object),
            table["cabinet"].to_numpy(object),
            np.column_stack([table.geometry.x, table.geometry.y]).reshape(-1, 2),
            np.maximum(np.nan_to_num(table["height_m"].to_numpy(np.float64), nan=6.0), 2.5),
            lumens * maintenance / (2.0 * np.pi),
            generator.integers(-180_000, 180_001, n),
        )


@dataclass(frozen=True)
class LampNight:
    """The lamps through one night."""

    lamps: Lamps
    switch_ms: Ints  # moments at which the level changes, before each lamp's own lateness
    level: Floats  # (len(switch_ms) + 1,) level before the first and after each
    dead_from: Ints  # (n,)
    dead_to: Ints
    outage: Bools  # (n,) lamps of the cabinet that fails
    outage_from: int
    outage_to: int
    stuck: Bools  # (n,) lamps whose level stays full while others dim
    faults: list[Fault]

    def command(self, lamp: Ints, times_ms: Ints) -> Floats:
        """Level that each lamp's driver is at, 0..1, whether or not the lamp burns."""
        level = self.level[np.searchsorted(self.switch_ms, times_ms - self.lamps.late_ms[lamp], side="right")]
        return np.where(self.stuck[lamp] & (level > 0), 1.0, level)

    def powered(self, lamp: Ints, times_ms: Ints) -> Bools:
        """Whether the lamp's cabinet gives current."""
        dark = self.outage[lamp] & (times_ms >= self.outage_from) & (times_ms < self.outage_to)
        return np.asarray(~dark)

    def burning(self, lamp: Ints, times_ms: Ints) -> Bools:
        """Whether the lamp itself is whole."""
        return np.asarray((times_ms < self.dead_from[lamp]) | (times_ms >= self.dead_to[lamp]))

    def output(self, lamp: Ints, times_ms: Ints) -> Floats:
        """True light output of each lamp, 0..1; `lamp` and `times_ms` broadcast."""
        lit = self.powered(lamp, times_ms) & self.burning(lamp, times_ms)
        return np.where(lit, self.command(lamp, times_ms), 0.0)


@dataclass(frozen=True)
class Lighting:
    """Which lamps light which places: pairs of place and lamp with the lux at full output."""

    place: Ints  # (pairs,)
    lamp: Ints  # (pairs,)
    full_lx: Floats  # (pairs,)
    shop_lx: Floats  # (n_places,)

    @classmethod
    def at(cls, town: Town, lamps: Lamps, points: Floats, height_m: Floats, upright: Bools) -> Lighting:
        """For places at (n, 2) metres and `height_m` (n,); `upright` places have a vertical plane.

        A vertical plane whose bearing nobody noted gets the mean over all bearings, (1/pi) I sin(gamma) / d^2.
        """
        near = cKDTree(points).query_ball_tree(cKDTree(lamps.points), REACH_M) if len(lamps.ids) and len(points) else []
        place = np.repeat(np.arange(len(near)), [len(found) for found in near]).astype(np.int64)
        lamp = np.concatenate([np.asarray(found, np.int64) for found in near]) if len(place) else np.zeros(0, np.int64)
        across = np.linalg.norm(points[place] - lamps.points[lamp], axis=1)
        above = np.maximum(lamps.height_m[lamp] - height_m[place], 0.5)
        apart = np.hypot(across, above)
        cosine, sine = above / apart, across / apart
        intensity = lamps.candela[lamp] * cosine * (1.0 + 2.0 * sine**2)
        facing = np.where(upright[place], sine / np.pi, cosine)
        return cls(place, lamp, intensity * facing / apart**2, _shop_light(town, points))

    def illuminance(self, lamps: LampNight, night: Night, times_ms: Ints) -> Floats:
        """True illuminance at each place and moment, lx, (n, T)."""
        out = lamps.output(self.lamp[:, None], times_ms[None, :]) * self.full_lx[:, None]
        total = np.zeros((len(self.shop_lx), len(times_ms)))
        np.add.at(total, self.place, out)
        return total + SKY_LX + self.shop_lx[:, None] * _shops_open(times_ms, night)[None, :]

    def illuminance_at(self, lamps: LampNight, night: Night, rows: Ints, times_ms: Ints) -> Floats:
        """True illuminance at place `rows[i]` at `times_ms[i]`, lx, (n,)."""
        order = np.argsort(self.place, kind="stable")
        first = np.searchsorted(self.place[order], rows, side="left")
        count = np.searchsorted(self.place[order], rows, side="right") - first
        asked = np.repeat(np.arange(len(rows)), count)
        pair = order[np.arange(len(asked)) - np.repeat(np.cumsum(count) - count, count) + first[asked]]
        lux = lamps.output(self.lamp[pair], times_ms[asked]) * self.full_lx[pair]
        total = np.bincount(asked, lux, minlength=len(rows))
        return np.asarray(total + SKY_LX + self.shop_lx[rows] * _shops_open(times_ms, night), np.float64)


def sun_of(town: Town, night: Night) -> Floats:
    """Elevation of the sun at the end of each step of 5 minutes, degrees, (T,)."""
    return elevation_deg(step_ends(night), *town.lonlat)


def lamp_night(town: Town, lamps: Lamps, night: Night) -> LampNight:
    """The lamps through a night: schedule, dead lamps, a lamp that fails, a cabinet that does, a stuck driver."""
    switch_ms, level = _switching(town, night)
    n = len(lamps.ids)
    start, end = int(night.start.astype(np.int64)), int(night.end.astype(np.int64))
    generator = stream(town.seed, "lamp faults", night.date)
    dead_from, dead_to = np.full(n, _NEVER), np.full(n, _NEVER)
    faults: list[Fault] = []
    for lamp in _standing_dead(town.seed, n, night.date):
        dead_from[lamp], dead_to[lamp] = start, end
        faults.append(Fault(str(lamps.ids[lamp]), "dead-lamp", start, end))
    stuck, outage = np.zeros(n, bool), np.zeros(n, bool)
    outage_from = outage_to = _NEVER
    if n:
        lamp = int(generator.integers(n))
        moment = int(night.at(20).astype(np.int64)) + int(generator.integers(0, 8 * 3600)) * 1000
        if dead_from[lamp] == _NEVER:
            dead_from[lamp], dead_to[lamp] = moment, end
            faults.append(Fault(str(lamps.ids[lamp]), "lamp-failure", moment, end))
        lamp = int(generator.integers(n))
        stuck[lamp] = True
        faults.append(Fault(str(lamps.ids[lamp]), "stuck-dimming", start, end))
        # A feeder fails on Fridays, the night that is shown most, and now and then on others.
        cabinets, sizes = np.unique(lamps.cabinet.astype(str), return_counts=True)
        cabinets = cabinets[(sizes >= 2) & (sizes <= 80) & (cabinets != "")]
        often = 1.0 if night.weekday == 4 else 0.15
        if len(cabinets) and generator.random() < often:
            cabinet = str(generator.choice(cabinets))
            outage = lamps.cabinet == cabinet
            outage_from = int(night.at(21, 30).astype(np.int64)) + int(generator.integers(0, 4 * 3600)) * 1000
            outage_to = outage_from + int(generator.integers(30 * 60, 75 * 60)) * 1000
            faults.append(Fault(cabinet, "cabinet-outage", outage_from, outage_to))
    return LampNight(
        lamps, switch_ms, level, dead_from, dead_to, outage.astype(bool), outage_from, outage_to, stuck, faults
    )


def _standing_dead(seed: int, n: int, day: date) -> Ints:
    """Lamps that are dead for the whole night: about 1.5 %, at least one, the same for nine days running."""
    if not n:
        return np.zeros(0, np.int64)
    block = date.fromordinal(day.toordinal() // _STANDING_DAYS * _STANDING_DAYS)
    chosen = stream(seed, "dead lamps", block).choice(n, max(1, round(DEAD_SHARE * n)), replace=False)
    return np.sort(chosen)


def _switching(town: Town, night: Night) -> tuple[Ints, Floats]:
    """Moments of change and the levels between them, from dusk to dawn; polar days have no moment."""
    ends = step_ends(night)
    dark = sun_of(town, night) < _SWITCH_DEG
    schedule = list(town.city.settings.lighting.schedule) or (_D60_WEEKEND if night.weekday in (4, 5) else _D60)
    moments = np.array([int(night.time_of(clock).astype(np.int64)) for clock, _ in schedule], np.int64)
    order = np.argsort(moments, kind="stable")
    moments, levels = moments[order], np.array([level for _, level in schedule])[order]
    # The last level of a schedule holds until its first moment comes round again.
    planned = np.concatenate([[levels[-1]], levels])[np.searchsorted(moments, ends, side="right")]
    level = np.where(dark, planned, 0.0)
    change = np.flatnonzero(np.diff(level)) + 1
    return ends[change], np.concatenate([[level[0]], level[change]])


def _shop_light(town: Town, points: Floats) -> Floats:
    if not len(town.venues.points) or not len(points):
        return np.zeros(len(points))
    distance, _ = cKDTree(town.venues.points).query(points)
    return np.asarray(_SHOP_LX * np.exp(-distance / _SHOP_REACH_M), np.float64)


def _shops_open(times_ms: Ints, night: Night) -> Floats:
    hours = hours_of_evening(times_ms, night)
    return np.where((hours >= 15.0) & (hours < _SHOPS_CLOSE_HOUR), 1.0, 0.15)
