from __future__ import annotations

import numpy as np
import pytest

from analytics import place_effect as module
from analytics.grid import Grid
from analytics.place_effect import SD, PlaceEffect, place_effect
from sensors.errors import ModelError

GRID = Grid(10.0, 1000.0, 2000.0, (100, 120))


def told(easting, northing, value, precision):
    n = len(np.atleast_1d(easting))
    curvature = np.full(n, precision, float)
    return np.full(n, easting, float), np.full(n, northing, float), np.full(n, value) * curvature, curvature


def test_where_nobody_was_asked_a_place_is_as_unknown_as_before():
    nobody = place_effect(GRID, *told([], [], 0.0, 1.0))
    assert (nobody.mean == 0).all() and nobody.variance == pytest.approx(SD**2)
    one = place_effect(GRID, *told([1025.0], [2025.0], 1.0, 50.0))
    assert one.mean[-1, -1] == pytest.approx(0, abs=1e-3) and one.variance[-1, -1] == pytest.approx(SD**2, rel=1e-3)


def test_a_surely_known_place_takes_its_value_and_lends_it_to_its_neighbours():
    effect = place_effect(GRID, *told([1525.0], [2525.0], 0.4, 1e6))
    assert effect.mean[10, 10] == pytest.approx(0.4, abs=1e-3) and effect.variance[10, 10] < 1e-3
    row = effect.mean[10, 10:]
    assert (np.diff(row) < 0).all() and row[1] > 0.3


def test_ten_answers_at_one_place_are_one_answer_ten_times_as_sure():
    ten = place_effect(GRID, *told([1525.0] * 10, [2525.0] * 10, 0.4, 1.0))
    one = place_effect(GRID, *told([1525.0], [2525.0], 0.4, 10.0))
    assert ten.mean == pytest.approx(one.mean, abs=1e-6) and ten.variance == pytest.approx(one.variance, abs=1e-6)


def test_more_answers_never_make_a_place_less_known():
    generator = np.random.default_rng(0)
    e, n = 1000 + generator.uniform(0, 1200, 40), 2000 + generator.uniform(0, 1000, 40)
    g, w = generator.normal(size=40), np.ones(40)
    few, many = place_effect(GRID, e[:20], n[:20], g[:20], w[:20]), place_effect(GRID, e, n, g, w)
    assert (many.variance <= few.variance + 1e-4).all()  # merging moves points by up to half a square


def test_a_city_of_too_many_squares_is_merged_into_larger_ones(monkeypatch):
    generator = np.random.default_rng(0)
    e, n = 1000 + generator.uniform(0, 1200, 400), 2000 + generator.uniform(0, 1000, 400)
    value = np.sin((e - 1000) / 300) * 0.3
    fine = place_effect(GRID, e, n, value * 5, np.full(400, 5.0))
    monkeypatch.setattr(module, "MOST_SQUARES", 130)
    coarse = place_effect(GRID, e, n, value * 5, np.full(400, 5.0))
    assert coarse.mean == pytest.approx(fine.mean, abs=0.1)


def test_cells_of_the_grid_take_the_value_of_their_square():
    effect = place_effect(GRID, *told([1525.0], [2525.0], 0.4, 100.0))
    on = effect.on(GRID.northing, GRID.easting).reshape(*GRID.shape, 2)
    assert on[52, 52, 0] == effect.mean[10, 10] and on[52, 52, 1] == effect.variance[10, 10]
    again = PlaceEffect.from_dict(effect.to_dict())
    assert np.array_equal(again.on(GRID.northing, GRID.easting), effect.on(GRID.northing, GRID.easting))
    with pytest.raises(ModelError, match="another grid"):
        effect.on(GRID.northing + 5000, GRID.easting)
