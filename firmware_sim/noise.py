"""Sound in the pretend city: traffic, voices and venues spread in the energy domain over 300 m.

    traffic   LAeq at 10 m from a road = 35.5 + 10 lg(vehicles/h), the CRTN basic level (42.2 + 10 lg q, L10) less 3 dB
              for LAeq and 3.7 dB for city speed; hourly shares of the day's vehicles from data README 6
    voices    sound power of N people LWA = 64 + 15 lg N (sensing.md B5); people on a piece of street, those who smoke
              outside a venue, and those who linger at its door after closing time
    spread    1 / (2 pi r^2), 4 dB of reflections between facades, 0.03 dB/m of screening; no walls
    floor     36 to 42 dB at each place

plus a swing in dB shared by the city and one of each place (sensing.md data: residual sd about 3 dB, lag-1 h 0.76).
A level is energy: levels are only ever added or averaged as 10^(L/10).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from firmware_sim.crowd import STEPS_PER_HOUR, CrowdNight, hours_of_evening
from firmware_sim.streams import stream, wander
from firmware_sim.town import HABITS, Floats, Ints, Town

REACH_M = 300.0
METER_FLOOR_DB, METER_CEILING_DB = 33.0, 120.0
FACADE_DB = 3.0  # a microphone on a wall hears the reflection as well (sensing.md B4)
CITY_SD_DB, PLACE_SD_DB, SWING_HOURS = 1.5, 2.0, 3.6  # exp(-1 / 3.6) = 0.76
_CANYON_DB, _SCREEN_DB_PER_M = 4.0, 0.03
_WALK_M_S = 1.3
_OUTSIDE_SHARE, _LINGER_H = 0.08, 10.0 / 60.0
_CLOCK = np.array([0, 1, 2, 4, 5, 6, 7, 9, 12, 16, 18, 20, 22, 24], np.float64)
_SHARE = np.array([1.0, 0.8, 0.5, 0.5, 1.2, 4.0, 6.0, 5.5, 5.8, 7.5, 6.0, 4.0, 2.5, 1.0]) / 100.0


@dataclass(frozen=True)
class Hearing:
    """What reaches each place, per unit of each source; energies are 10^(L/10)."""

    traffic: Floats  # (n,) energy per share of the day's vehicles in an hour
    voices: Floats  # (n, habits * zones) energy per growth^1.5
    venues: csr_matrix  # (n, venues) energy per person^1.5
    floor: Floats  # (n,) energy

    @classmethod
    def at(cls, town: Town, points: Floats, name: str) -> Hearing:
        """At (n, 2) metres; `name` is the stream that the floors are drawn from."""
        road = _spread(points, town.roads.points)
        # A line of pieces at 10 m gives the basic level: the integral of dx / (d^2 + x^2) is pi / d.
        at_10_m = 10.0**3.55 * town.vehicles * town.roads.length_m * 10.0 / np.pi
        traffic = 2.0 * np.pi * (road @ at_10_m) / 10.0 ** (_CANYON_DB / 10.0)  # CRTN includes its reflections
        street = _spread(points, town.walk.points)
        people = town.base / 3600.0 * town.walk.length_m / _WALK_M_S
        group = town.habit * town.zones + town.zone
        by_group = csr_matrix(
            (10.0**6.4 * people**1.5, (np.arange(len(group)), group)), shape=(len(group), HABITS * town.zones)
        )
        venues = _spread(points, town.venues.points) * 10.0**6.4
        floor = 10.0 ** (stream(town.seed, f"floor {name}").uniform(36.0, 42.0, len(points)) / 10.0)
        return cls(np.asarray(traffic).reshape(-1), (street @ by_group).toarray(), csr_matrix(venues), floor)

    def levels(self, town: Town, crowd: CrowdNight, name: str) -> Floats:
        """LAeq of each step of 5 minutes, dB, (n, T)."""
        voices = self.voices @ _voice_growth(crowd)
        energy = self.traffic[:, None] * hourly_share(crowd)[None, :] + voices + self.venues @ _talkers(crowd)
        swing = _city_swing(town, crowd) + wander(
            stream(town.seed, f"noise {name}", crowd.night.date),
            len(self.floor),
            len(crowd.ends),
            PLACE_SD_DB,
            SWING_HOURS * STEPS_PER_HOUR,
        )
        return np.asarray(10.0 * np.log10(energy * 10.0 ** (swing / 10.0) + self.floor[:, None]), np.float64)

    def levels_at(self, town: Town, crowd: CrowdNight, rows: Ints, steps: Ints) -> Floats:
        """LAeq at place `rows[i]` in step `steps[i]`, dB, (n,); without the places' own swings."""
        voices = np.einsum("ng,gn->n", self.voices[rows], _voice_growth(crowd)[:, steps])
        talkers = np.asarray(self.venues[rows].multiply(_talkers(crowd)[:, steps].T).sum(axis=1)).reshape(-1)
        energy = self.traffic[rows] * hourly_share(crowd)[steps] + voices + talkers
        swing = _city_swing(town, crowd)[0, steps]
        return np.asarray(10.0 * np.log10(energy * 10.0 ** (swing / 10.0) + self.floor[rows]), np.float64)


def mean_level(levels_db: Floats, every: int) -> Floats:
    """Energy mean of each `every` consecutive steps along the last axis, dB.

    >>> round(float(mean_level(np.array([[50.0, 60.0]]), 2)[0, 0]), 2)
    57.4
    """
    energy = 10.0 ** (levels_db / 10.0)
    together = energy.reshape(*energy.shape[:-1], energy.shape[-1] // every, every)
    return np.asarray(10.0 * np.log10(together.mean(axis=-1)), np.float64)


def hourly_share(crowd: CrowdNight) -> Floats:
    """Share of a day's vehicles that pass per hour, (T,)."""
    hours = hours_of_evening(crowd.ends, crowd.night) % 24.0
    return np.asarray(np.interp(hours, _CLOCK, _SHARE), np.float64)


def heard(levels_db: Floats, gain_db: Floats) -> Floats:
    """What a meter makes of true levels: its gain error, its own noise of 33 dB, its ceiling of 120 dB."""
    sum_db = 10.0 * np.log10(10.0 ** ((levels_db + gain_db) / 10.0) + 10.0 ** (METER_FLOOR_DB / 10.0))
    return np.asarray(np.minimum(sum_db, METER_CEILING_DB), np.float64)


def _spread(points: Floats, sources: Floats) -> csr_matrix:
    """Energy at each point per unit of sound power of each source, (n, sources), in dB re 1 pW and 20 uPa."""
    if not len(sources) or not len(points):
        return csr_matrix((len(points), len(sources)))
    near = cKDTree(points).query_ball_tree(cKDTree(sources), REACH_M)
    rows = np.repeat(np.arange(len(points)), [len(found) for found in near])
    columns = np.concatenate([np.asarray(found, np.int64) for found in near]) if len(rows) else np.zeros(0, np.int64)
    apart = np.hypot(
        np.linalg.norm(points[rows] - sources[columns], axis=1), 4.0
    )  # never nearer than 4 m, head to mast
    gain_db = _CANYON_DB - _SCREEN_DB_PER_M * apart
    energy = 10.0 ** (gain_db / 10.0) / (2.0 * np.pi * apart**2)
    return csr_matrix((energy, (rows, columns)), shape=(len(points), len(sources)))


def _voice_growth(crowd: CrowdNight) -> Floats:
    return np.asarray(crowd.growth.reshape(-1, crowd.growth.shape[-1]) ** 1.5, np.float64)


def _talkers(crowd: CrowdNight) -> Floats:
    """People outside each venue to the power 1.5: those who smoke and those who linger after closing."""
    outside = _OUTSIDE_SHARE * crowd.inside + _LINGER_H * crowd.leaving
    return outside**1.5


def _city_swing(town: Town, crowd: CrowdNight) -> Floats:
    generator = stream(town.seed, "noise city", crowd.night.date)
    return wander(generator, 1, len(crowd.ends), CITY_SD_DB, SWING_HOURS * STEPS_PER_HOUR)
