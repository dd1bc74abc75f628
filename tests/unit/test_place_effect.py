"""What a fit says of places, on 50 m cells."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analytics.grid import Grid
from analytics.place_effect import BEYOND_M, PlaceEffect, nowhere, place_effect, region_of
from analytics.place_fit import PlaceFit, place_moments, prior_variances
from sensors.errors import ModelError
from tests.worlds import fitted_world

GRID = Grid(10.0, 1000.0, 2000.0, (100, 120))


@pytest.fixture(scope="module")
def fit() -> PlaceFit:
    return fitted_world(900, west=1000.0, south=2000.0, width=1200.0, height=1000.0)


def test_a_cell_says_what_the_fit_says_of_its_middle(fit):
    effect = place_effect(GRID, fit)
    row, column = 7, 11
    there = place_moments(fit, np.array([1000 + 50 * column + 25.0]), np.array([2000 + 50 * row + 25.0]))
    assert effect.mean_u[row, column] == pytest.approx(there.mean_u[0], rel=1e-5)
    assert effect.variance_v[row, column] == pytest.approx(there.variance_v[0], rel=1e-5)
    assert effect.across_u[row, column] == pytest.approx(there.across_u[0], abs=1e-6)
    cells = effect.cells(GRID.northing, GRID.easting).reshape(GRID.shape)
    assert cells[5 * row + 2, 5 * column + 2] == row * effect.mean_u.shape[1] + column


def test_the_late_effect_comes_in_with_the_hour(fit):
    effect = place_effect(GRID, fit)
    early, half, late = effect.at(0.0), effect.at(0.5), effect.at(1.0)
    assert early.mean == pytest.approx(effect.mean_u.ravel(), rel=1e-6)
    assert half.mean == pytest.approx((early.mean + late.mean) / 2, abs=1e-6)
    whole = effect.variance_u + 2 * effect.covariance_uv + effect.variance_v
    assert late.variance == pytest.approx(whole.ravel(), rel=1e-5)
    assert late.prior_variance == pytest.approx(effect.prior_variance_u + effect.prior_variance_v)


def test_beyond_the_reach_of_answers_a_place_is_as_unknown_as_before():
    near = fitted_world(600, west=1000.0, south=2000.0, width=300.0, height=300.0)
    wide = Grid(10.0, 1000.0, 2000.0, (200, 200))
    region = region_of(wide, np.array([1000.0, 1300.0]), np.array([2000.0, 2300.0]))
    assert (region.west, region.east, region.north) == (1000.0, 1300.0 + BEYOND_M, 2300.0 + BEYOND_M)
    effect = place_effect(wide, dataclasses.replace(near, region=region))
    far = effect.mean_u[-1, -1], effect.variance_u[-1, -1]
    assert far == (0.0, np.float32(near.unasked_u))
    assert not effect.across_u[-1, -1].any()
    assert effect.variance_u[3, 3] < near.unasked_u


def test_nobody_asked_is_nothing_but_the_prior():
    now = nowhere(GRID, 5).at(1.0)
    assert (now.mean == 0).all() and now.across.shape[1] == 5
    assert now.variance == pytest.approx(sum(prior_variances()), rel=1e-6)
    assert now.prior_variance == pytest.approx(sum(prior_variances()))


def test_it_survives_its_dictionary_and_another_grid_is_refused(fit):
    effect = place_effect(GRID, fit)
    again = PlaceEffect.from_dict(effect.to_dict())
    assert np.array_equal(again.at(0.3).variance, effect.at(0.3).variance)
    with pytest.raises(ModelError, match="another grid"):
        effect.cells(GRID.northing + 5000, GRID.easting)
