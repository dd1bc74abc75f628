import json

import numpy as np
import pytest

from analytics import footfall, footfall_habits
from analytics.covariance import Matern
from analytics.hours import hour_of_week
from analytics.knowledge import Knowledge, learn_from
from analytics.likelihood import fit_covariance
from analytics.noise import background_level
from analytics.surroundings import FEATURES, Surroundings, surroundings
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records, sort_by_key
from tests.synthetic_city import make_city

FIRST = np.datetime64("2026-09-25T09:00", "ms")  # Friday noon in Helsinki


@pytest.fixture(scope="module")
def town(tmp_path_factory) -> Surroundings:
    return surroundings(make_city(tmp_path_factory.mktemp("town")))


def truth_shape() -> np.ndarray:
    """ln(persons/h) beyond a place's level: falls through the night, three times the crowd on Friday and Saturday."""
    hour = np.arange(24)
    shape = np.tile(1.0 - 0.3 * np.maximum(hour - 8, 0), (7, 1)) * 1.0
    shape[4:6] += np.log(3.0)
    return (shape - shape[:, 8:18].mean()).ravel()


def counted_nights(town: Surroundings, n: int, seed: int = 0, minutes: int = 60) -> list[Records]:
    """Counts of the town's counters over n nights, 20:00 to 06:00: known shape, levels and spread of nights."""
    generator = np.random.default_rng(seed)
    rows = town.sites.of("people_flow")
    level = np.linspace(4.0, 6.0, rows.size)
    nights = []
    for night in range(n):
        start = FIRST + np.timedelta64(night * 24 + 8, "h")
        times = start + np.arange(minutes, 10 * 60 + 1, minutes) * np.timedelta64(1, "m")
        middle = times - np.timedelta64(minutes * 30_000, "ms")
        city = 0.25 * generator.standard_normal(times.size)
        parts = []
        for row, base in zip(rows, level, strict=True):
            own = 0.3 * generator.standard_normal(times.size)
            rate = np.exp(base + truth_shape()[hour_of_week(middle, town.zone)] + city + own)
            part = empty_records(times.size)
            part["time"], part["received"] = times, times
            part["site"], part["quantity"] = town.sites.site[row], QUANTITIES["people_flow"].code
            part["value"] = generator.poisson(rate * minutes / 60)
            part["duration_s"] = minutes * 60.0
            parts.append(part)
        nights.append(sort_by_key(np.concatenate(parts)))
    return nights


@pytest.fixture(scope="module")
def learnt(town) -> Knowledge:
    return learn_from(counted_nights(town, 56), town)


def mapped(hours: np.ndarray) -> np.ndarray:
    return hours.reshape(7, 24)[:, 8:18]


def test_eight_weeks_recover_the_shape_of_the_week(learnt):
    error = mapped(learnt.footfall.shape - truth_shape())
    assert np.sqrt(np.mean(error**2)) < 0.15
    assert learnt.footfall.nights == 56


def test_eight_weeks_recover_what_nights_differ_by(learnt):
    assert learnt.footfall.temporal_sd == pytest.approx(np.hypot(0.25, 0.3), rel=0.25)
    assert learnt.footfall.city_share == pytest.approx(0.25**2 / (0.25**2 + 0.3**2), abs=0.15)
    assert learnt.footfall.hour_correlation < 0.4  # the simulated nights forget within the hour


def test_a_counter_is_expected_to_count_what_it_used_to(town, learnt):
    rows = town.sites.of("people_flow")
    level = footfall.place_level(town, learnt.coefficients)[town.sites.row[rows], town.sites.column[rows]]
    friday_22h = np.datetime64("2026-11-20T20:30", "ms")
    bias, variance = learnt.footfall.bias_at(town.sites.site[rows], friday_22h, town.zone)
    expected = level + learnt.footfall.at(friday_22h, town.zone) + bias
    assert np.allclose(expected, np.linspace(4.0, 6.0, rows.size) + truth_shape()[4 * 24 + 10], atol=0.3)
    assert np.all(variance < 0.1)


def test_quarter_hours_teach_what_hours_teach(town, learnt):
    quarters = learn_from(counted_nights(town, 56, minutes=15), town)
    assert np.sqrt(np.mean(mapped(quarters.footfall.shape - learnt.footfall.shape) ** 2)) < 0.15


def test_no_history_gives_the_documented_habits_with_a_wide_error(town):
    default = learn_from([], town)
    friday, sunday = default.footfall.shape.reshape(7, 24)[[4, 6]]
    assert friday[14] - sunday[14] == pytest.approx(np.log(132 / 28), abs=1e-9)  # 02:00
    assert footfall.place_sd(default.footfall) > 0.8
    assert default.noise.shape.max() == 0.0
    assert not default.footfall.simulated
    assert default.footfall.site.size == 0


def test_empty_nights_teach_nothing(town):
    assert learn_from([empty_records(0)] * 3, town).to_dict() == learn_from([], town).to_dict()


def test_the_order_of_nights_and_of_their_records_does_not_matter(town):
    nights = counted_nights(town, 10)
    turned = [night[::-1] for night in nights[::-1]]
    one, two = learn_from(nights, town), learn_from(turned, town)
    assert np.allclose(one.footfall.shape, two.footfall.shape, atol=1e-9)
    assert np.allclose(one.footfall.bias, two.footfall.bias, atol=1e-9)


def test_simulated_teachers_are_remembered(learnt):
    assert learnt.footfall.simulated
    assert not learnt.light.simulated


def test_json_keeps_every_bit(learnt):
    back = Knowledge.from_dict(json.loads(json.dumps(learnt.to_dict())))
    assert back.to_dict() == learnt.to_dict()
    assert np.array_equal(back.footfall.bias, learnt.footfall.bias)
    assert back.footfall.covariance == learnt.footfall.covariance


def test_noise_learns_what_the_model_misses(town):
    generator = np.random.default_rng(2)
    default = learn_from([], town)
    rows = town.sites.of("sound_laeq")
    nights = []
    for night in range(14):
        times = FIRST + np.timedelta64(night * 24 + 9, "h") + np.arange(8) * np.timedelta64(1, "h")
        parts = []
        for row in rows:
            part = empty_records(times.size)
            part["time"], part["received"] = times, times
            part["site"], part["quantity"] = town.sites.site[row], QUANTITIES["sound_laeq"].code
            people = np.exp(
                footfall.place_level(town, default.coefficients) + np.float32(default.footfall.at(times[3], town.zone))
            )
            level = background_level(town, people, times[3])[town.sites.row[row], town.sites.column[row]]
            part["value"] = level + 6.0 + generator.normal(0, 1.0, times.size) + 3.0 * town.sites.facade[row]
            part["duration_s"] = 900.0
            parts.append(part)
        nights.append(sort_by_key(np.concatenate(parts)))
    found = learn_from(nights, town).noise
    expected = found.shape.reshape(7, 24)[:, 9:16].mean() + found.bias[:, 9:16].mean()
    assert expected == pytest.approx(6.0, abs=1.5)
    assert found.shape.max() > 1.0  # what all meters have in common is the whole city's


def test_the_ridge_leaves_unseen_features_where_they_were(town):
    features = 1 + len(FEATURES)
    prior = footfall_habits._ridge(np.empty((0, features)), np.empty(0))
    design = np.zeros((5, features))
    design[:, 0] = 1.0
    moved = footfall_habits._ridge(design, np.full(5, 8.0))
    assert moved[0] > prior[0]
    assert np.array_equal(moved[1:], prior[1:])


@pytest.mark.parametrize("range_m", [80.0, 250.0])
def test_the_likelihood_finds_the_range_of_a_simulated_field(range_m):
    generator = np.random.default_rng(0)
    position = generator.uniform(0, 1000, (2, 150))
    distance = np.hypot(*(position[:, :, None] - position[:, None, :]))
    covariance = Matern(1.5, range_m, 1.0)(distance) + 0.05 * np.eye(150)
    value = np.linalg.cholesky(covariance) @ generator.standard_normal(150)
    found, (low, high), _, _ = fit_covariance(*position, value, np.full(150, 0.05), 150.0)
    assert low <= range_m * 1.15
    assert high >= range_m / 1.15
    assert found.range_m == pytest.approx(range_m, rel=0.3)


def test_few_sensors_leave_the_usual_range():
    found, (low, high), _, _ = fit_covariance(np.array([0.0]), np.array([0.0]), np.array([1.0]), np.array([0.1]), 150.0)
    assert found.range_m == pytest.approx(150.0, rel=0.02)
    assert found.variance == pytest.approx(1.0, rel=0.02)
    assert low < 100.0 < 200.0 < high


def test_the_covariance_is_told_with_its_intervals_and_what_it_rests_on(learnt):
    told = json.loads(json.dumps(learnt.covariances()))
    assert set(told) == {"illuminance", "noise", "footfall"}
    walking = told["footfall"]
    assert walking["nu"] == 1.5
    assert walking["range_m_90"][0] < walking["range_m"] < walking["range_m_90"][1]
    assert walking["variance_90"][0] < walking["variance"] < walking["variance_90"][1]
    assert walking["sensors"] == learnt.footfall.site.size > 0
