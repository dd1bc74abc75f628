"""Covariances are found again in simulated fields, and the intervals say how well."""

import numpy as np
import pytest

from analytics.likelihood import RANGE_FACTOR, VARIANCE_FACTOR, fit_covariance
from tests.reference.kriging import matern

SIDE = 1500.0
USUAL_M = 150.0


def simulated(generator, sensors, range_m, variance, noise, nu=1.5):
    position = generator.uniform(0, SIDE, (2, sensors))
    distance = np.hypot(*(position[:, :, None] - position[:, None, :]))
    lower = np.linalg.cholesky(variance * matern(distance, nu, range_m) + 1e-9 * np.eye(sensors))
    truth = lower @ generator.standard_normal(sensors)
    return *position, truth + np.sqrt(noise) * generator.standard_normal(sensors), np.full(sensors, noise)


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
@pytest.mark.parametrize(("range_m", "variance"), [(90.0, 0.7), (150.0, 1.0), (260.0, 1.6)])
def test_range_and_variance_are_found_again(nu, range_m, variance):
    found = []
    for seed in range(4):
        data = simulated(np.random.default_rng(seed), 300, range_m, variance, 0.05, nu)
        found.append(fit_covariance(*data, USUAL_M, nu).covariance)
    assert np.exp(np.mean(np.log([c.range_m for c in found]))) == pytest.approx(range_m, rel=0.25)
    assert np.exp(np.mean(np.log([c.variance for c in found]))) == pytest.approx(variance, rel=0.3)


@pytest.mark.parametrize("sensors", [12, 80])
def test_the_ninety_per_cent_intervals_hold_ninety_per_cent(sensors):
    generator = np.random.default_rng(sensors)
    held = []
    for _ in range(150):
        range_m = USUAL_M * RANGE_FACTOR ** generator.standard_normal()
        variance = VARIANCE_FACTOR ** generator.standard_normal()
        fitted = fit_covariance(*simulated(generator, sensors, range_m, variance, 0.1), USUAL_M)
        low, high = fitted.range_interval
        least, most = fitted.variance_interval
        held.append((low <= range_m <= high, least <= variance <= most))
    for share in np.mean(held, axis=0):
        assert 0.9 - 0.065 <= share <= 0.9 + 0.065  # 2.6 binomial sds of 150


def test_more_sensors_narrow_the_interval():
    width = []
    for sensors in (10, 60, 350):
        low, high = fit_covariance(
            *simulated(np.random.default_rng(1), sensors, 150.0, 1.0, 0.05), USUAL_M
        ).range_interval
        width.append(high / low)
    assert width[0] > width[1] > width[2]


def test_nobody_gives_the_priors():
    empty = np.empty(0)
    fitted = fit_covariance(empty, empty, empty, empty, USUAL_M)
    assert fitted.covariance.range_m == pytest.approx(USUAL_M, rel=0.01)
    assert fitted.range_interval[0] == pytest.approx(USUAL_M * RANGE_FACTOR**-1.645, rel=0.05)
    assert fitted.range_interval[1] == pytest.approx(USUAL_M * RANGE_FACTOR**1.645, rel=0.05)
    assert fitted.sensors == 0


def test_sensors_that_say_nothing_are_left_out():
    data = simulated(np.random.default_rng(2), 60, 150.0, 1.0, 0.05)
    with_silence = [np.r_[a, b] for a, b in zip(data, (3.0, 3.0, np.nan, 0.05), strict=True)]
    assert fit_covariance(*with_silence, USUAL_M) == fit_covariance(*data, USUAL_M)
