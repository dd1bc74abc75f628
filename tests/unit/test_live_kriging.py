"""A field kept up to date is the field computed anew."""

import numba
import numpy as np
import pytest
import xarray as xr

from analytics.covariance import Matern
from analytics.kernels.jit import use_threads
from analytics.kriging import krige
from analytics.live_kriging import LiveField

pytestmark = pytest.mark.kernel

JIT = not numba.config.DISABLE_JIT
CELLS, SENSORS = (150, 300) if JIT else (12, 9)
SIDE = 1500.0
COVARIANCE = Matern(1.5, 300.0, 2.0)


def town(seed=0, sensors=SENSORS):
    generator = np.random.default_rng(seed)
    centres = (np.arange(CELLS) + 0.5) * SIDE / CELLS
    grid = xr.Dataset(coords={"northing": centres, "easting": centres})
    return *generator.uniform(0, SIDE, (2, sensors)), generator.standard_normal(sensors), grid, generator


def close(field, easting, northing, value, noise, grid, covariance=COVARIANCE):
    mean, variance = krige(easting, northing, value, noise, grid, covariance)
    assert np.abs(field.mean - mean).max() < 1e-4
    assert np.abs(field.variance - variance).max() < 1e-4


@pytest.mark.parametrize("covariance", [COVARIANCE, Matern(0.5, 40.0, 1.0), Matern(2.5, 150.0, 1.0)])
@pytest.mark.parametrize("noise", [0.1, 1e-4])
def test_new_values_give_the_map_of_all_values(covariance, noise):
    easting, northing, value, grid, generator = town()
    field = LiveField(easting, northing, value, noise, grid, covariance)
    close(field, easting, northing, value, noise, grid, covariance)
    before = field.variance.values.copy()
    for _ in range(3):
        which = generator.choice(SENSORS, 5, replace=False)
        value[which] = generator.standard_normal(5)
        field.update(which, value[which])
        assert np.array_equal(field.variance, before)
    close(field, easting, northing, value, noise, grid, covariance)


@pytest.mark.skipif(not JIT, reason="small cells need compiled kernels")
def test_one_value_changes_nothing_out_of_its_reach():
    easting, northing, value, grid, _ = town()
    covariance = Matern(1.5, 20.0, 1.0)
    field = LiveField(easting, northing, value, 0.1, grid, covariance)
    before = field.mean.copy(deep=True)
    field.update([0], [value[0] + 3.0])
    moved = np.abs(field.mean - before) > 0
    away = np.hypot(grid.easting - easting[0], grid.northing - northing[0]).transpose("northing", "easting")
    assert moved.any()
    assert away.values[moved.values].max() < covariance.distance_at(5e-4) + 8 * 20 / 6 + 300


@pytest.mark.parametrize("change", ["moved", "silent", "rated anew", "dead", "back again", "far away"])
def test_a_sensor_that_changes_gives_the_map_of_all_sensors(change):
    easting, northing, value, grid, _ = town()
    noise = np.full(SENSORS, 0.1)
    field = LiveField(easting, northing, value, noise, grid, COVARIANCE)
    if change == "moved":
        easting[3] += 40.0
        field.move([3], easting=easting[3])
    elif change == "far away":
        easting[3] += 1e6
        field.move([3], easting=easting[3])
    elif change == "silent":
        value[3] = np.nan
        field.update([3], [np.nan])
    elif change == "rated anew":
        noise[3:5] = 0.7
        field.move([3, 4], noise_variance=0.7)
    elif change == "dead":
        noise[3] = np.inf
        field.move([3], noise_variance=np.inf)
    else:
        field.update([3], [np.nan])
        field.update([3], [value[3]])
    close(field, easting, northing, value, noise, grid)
    value[:4] = np.where(np.isnan(value[:4]), np.nan, [1.0, 2.0, 3.0, 4.0])
    field.update(np.arange(4), value[:4])
    close(field, easting, northing, value, noise, grid)


@pytest.mark.skipif(not JIT, reason="many tiles need compiled kernels")
def test_one_sensor_rated_anew_factors_its_own_tiles_only():
    easting, northing, value, grid, _ = town()
    field = LiveField(easting, northing, value, 0.1, grid, Matern(1.5, 60.0, 1.0))
    whole = field.rebuild()
    assert 0 < field.move([3], noise_variance=0.2) < whole / 2


@pytest.mark.skipif(not JIT, reason="a thousand updates need compiled kernels")
def test_a_thousand_updates_do_not_drift():
    easting, northing, value, grid, generator = town()
    field = LiveField(easting, northing, value, 0.1, grid, COVARIANCE)
    for _ in range(1000):
        which = generator.choice(SENSORS, 20, replace=False)
        value[which] = 30 * generator.standard_normal(20)
        field.update(which, value[which])
    mean, _ = krige(easting, northing, value, 0.1, grid, COVARIANCE)
    assert np.abs(field.mean - mean).max() < 30 * 1e-4


def test_sensors_at_one_place_and_crowds_share_what_they_say():
    easting, northing, value, grid, generator = town()
    easting[:6], northing[:6] = 700.0, 700.0
    easting[6:], northing[6:] = (
        a[6:] if SENSORS < 20 else np.where(np.arange(6, SENSORS) < 100, 300 + a[6:] / 500, a[6:])
        for a in (easting, northing)
    )
    noise = generator.uniform(0.5, 2.0, SENSORS)
    field = LiveField(easting, northing, value, noise, grid, COVARIANCE)
    value[:50] += 1.0
    which = np.arange(min(50, SENSORS))
    field.update(which, value[which])
    close(field, easting, northing, value, noise, grid)


def test_the_number_of_threads_changes_no_bit():
    easting, northing, value, grid, _ = town()
    maps = []
    for threads in (1, 2):
        with use_threads(threads):
            field = LiveField(easting, northing, value, 0.1, grid, COVARIANCE)
            field.update([1, 2], [0.0, 1.0])
            field.move([5], noise_variance=0.3)
            maps.append((field.mean.values.copy(), field.variance.values.copy()))
    assert np.array_equal(maps[0][0], maps[1][0])
    assert np.array_equal(maps[0][1], maps[1][1])


def test_nobody_leaves_the_prior_until_somebody_speaks():
    *_, grid, _ = town()
    field = LiveField([700.0], [700.0], [np.nan], 0.1, grid, COVARIANCE)
    assert np.all(field.mean == 0)
    assert np.all(field.variance == 2)
    field.update([0], [1.0])
    close(field, [700.0], [700.0], [1.0], 0.1, grid)


def test_what_cannot_be_kept_is_refused_with_a_sentence():
    easting, northing, value, grid, _ = town()
    field = LiveField(easting, northing, value, 0.1, grid, COVARIANCE)
    with pytest.raises(ValueError, match="stands twice"):
        field.update([1, 1], [0.0, 1.0])
    with pytest.raises(ValueError, match="square, even, ascending"):
        LiveField(easting, northing, value, 0.1, grid.isel(northing=slice(None, None, -1)), COVARIANCE)
