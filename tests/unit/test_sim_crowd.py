from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from firmware_sim.crowd import (
    STEP_S,
    Passing,
    closing_left,
    closing_pulse,
    crowd_night,
    draw_counts,
    habit_curve,
    hours_of_evening,
    site_swing,
)
from firmware_sim.noise import Hearing
from firmware_sim.streams import wander
from firmware_sim.town import NIGHTLIFE, QUIET, STREET, Town, Venues
from sensors.city import City
from sensors.night import Night
from tests.synthetic_city import SOUTH, WEST, make_city


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return make_city(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def town(city: City) -> Town:
    return Town.of(city, 1)


def test_counts_have_the_moments_of_a_negative_binomial() -> None:
    mean, k = 80.0, 4.5
    counts = draw_counts(np.random.default_rng(0), np.full(200_000, mean), np.full(200_000, k))
    assert counts.mean() == pytest.approx(mean, rel=0.01)
    assert counts.var() == pytest.approx(mean + mean**2 / k, rel=0.03)


def test_a_wandering_path_keeps_its_spread_and_forgets_at_its_pace() -> None:
    paths = wander(np.random.default_rng(0), 4000, 40, 0.3, 12.0)
    assert paths.std(axis=0) == pytest.approx(0.3, rel=0.06)
    assert np.corrcoef(paths[:, 10], paths[:, 22])[0, 1] == pytest.approx(np.exp(-1), abs=0.05)


def test_everyone_has_left_some_time_after_closing_and_nobody_before() -> None:
    minutes = np.linspace(-30, 300, 33_001)
    pulse = closing_pulse(minutes) / 60.0  # per minute
    step = minutes[1] - minutes[0]
    assert pulse.sum() * step == pytest.approx(1.0, abs=1e-3)
    assert (pulse * minutes).sum() * step == pytest.approx(20.0, rel=0.01)  # the mean that was asked for
    assert (pulse[minutes <= 0] == 0).all()
    assert np.allclose(np.cumsum(pulse) * step, closing_left(minutes), atol=1e-3)


def test_friday_stays_up_and_collapses_at_closing_time() -> None:
    hours = np.array([20.0, 25.0, 26.0, 28.0])
    friday, tuesday = habit_curve(STREET, 4, hours), habit_curve(STREET, 1, hours)
    assert (friday / tuesday)[1:3].min() > 4  # sensing.md C3: 4.27 between 00 and 03 in Melbourne
    assert friday[2] / friday[1] > 0.85  # plateau
    assert friday[3] / friday[2] < 0.35  # collapse
    assert habit_curve(NIGHTLIFE, 5, hours)[1] > habit_curve(STREET, 5, hours)[1] > habit_curve(QUIET, 5, hours)[1]


def test_closing_time_is_seen_and_heard_at_the_door(town: Town) -> None:
    door = np.array([[WEST + 160.0, SOUTH + 60.0]])
    club = Venues(door + 8.0, np.array([600.0]), np.array([840.0]))  # 02:00
    lively, still = (replace(town, venues=replace(club, capacity=np.array([people]))) for people in (600.0, 0.0))
    night = Night(date(2026, 11, 20), town.city.zone)
    with_club, without = crowd_night(lively, night), crowd_night(still, night)
    hours = hours_of_evening(with_club.ends, night)
    extra = Passing.at(lively, door).flow(lively, with_club) - Passing.at(still, door).flow(still, without)
    before, after = (hours > 25.0) & (hours <= 26.0), (hours > 26.0) & (hours <= 27.0)
    assert extra[0, before].sum() == pytest.approx(0.0, abs=1e-9)
    assert extra[0, after].sum() * STEP_S / 3600 > 50  # people of some 400 guests
    heard = Hearing.at(lively, door, "t").levels(lively, with_club, "t")[0]
    silent = Hearing.at(still, door, "t").levels(still, without, "t")[0]
    assert (heard - silent)[(hours > 26.1) & (hours < 26.4)].min() > 3.0


def test_twice_the_distance_is_at_least_six_decibels_quieter(town: Town) -> None:
    street = np.array([[WEST + 160.0, SOUTH + 160.0]])
    lone = replace(town, roads=replace_pieces(town, street), vehicles=np.array([10_000.0]))
    near, far = street + np.array([20.0, 0.0]), street + np.array([40.0, 0.0])
    energy = Hearing.at(lone, np.concatenate([near, far]), "t").traffic
    assert 6.0 < 10 * np.log10(energy[0] / energy[1]) < 7.5  # the rest is screening


def replace_pieces(town: Town, points: np.ndarray):  # type: ignore[no-untyped-def, type-arg]
    one = np.ones(len(points))
    return replace(town.roads, easting=points[:, 0], northing=points[:, 1], length_m=20 * one, row=one.astype(int))


def test_counters_swing_together_as_real_ones_do(town: Town) -> None:
    """Log residuals of hourly counts: sd 0.54, lag-1 h 0.61, between sites 0.40 (sensing.md C3), within tolerance."""
    points = np.array([[WEST + 20.0 + 45.0 * i, SOUTH + 60.0] for i in range(6)])
    quiet = replace(town, venues=replace(town.venues, capacity=np.zeros_like(town.venues.capacity)))
    passing = Passing.at(quiet, points)
    residuals = []
    for back in range(60):
        night = Night(date(2026, 11, 20) - timedelta(days=7 * back), town.city.zone)
        crowd = crowd_night(quiet, night)
        flow = passing.flow(quiet, crowd) * site_swing(quiet, night, len(points))
        generator = np.random.default_rng(back)
        mean = flow.reshape(len(points), -1, 3).mean(axis=2) / 4
        hours = hours_of_evening(crowd.ends[2::3], night)
        window = np.flatnonzero((hours > 18) & (hours <= 26))[:32]
        counts = draw_counts(generator, mean, np.full((len(points), 1), 4.6))[:, window]
        residuals.append(np.log(np.maximum(counts.reshape(len(points), -1, 4).sum(axis=2), 0.5)))
    values = np.stack(residuals)  # (nights, sites, hours)
    values = values - values.mean(axis=0)
    assert values.std() == pytest.approx(0.54, abs=0.10)
    lag = np.corrcoef(values[:, :, :-1].ravel(), values[:, :, 1:].ravel())[0, 1]
    assert lag == pytest.approx(0.61, abs=0.12)
    between = np.corrcoef(np.swapaxes(values, 0, 1).reshape(len(points), -1))
    assert 0.30 < between[np.triu_indices(len(points), 1)].mean() < 0.75  # one zone or two: zones add to 0.35
