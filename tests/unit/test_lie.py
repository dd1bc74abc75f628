"""The colour of light and the open view of a place, from lamps and walls."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.lie import colour_at, lie_of, open_view
from analytics.surroundings import surroundings
from tests.synthetic_city import make_city


def test_a_square_is_open_a_court_is_shut_in_and_beside_a_wall_it_is_between():
    indoor = np.zeros((41, 41), bool)
    assert open_view(indoor, 10.0) == pytest.approx(0.5)
    court = np.ones((41, 41), bool)
    court[20, 20] = False
    assert open_view(court, 10.0)[20, 20] == pytest.approx(-0.5)
    wall = indoor.copy()
    wall[:, :20] = True
    assert open_view(wall, 10.0)[20, 20] == pytest.approx(0.5 - 3 / 8)  # three of eight directions are shut
    assert open_view(wall, 10.0)[20, 30] == pytest.approx(0.5)


def test_the_view_is_the_mean_free_distance_of_a_plain_walk():
    generator = np.random.default_rng(0)
    indoor = generator.random((20, 25)) < 0.2
    found = open_view(indoor, 10.0)
    for row, column in ((10, 12), (0, 0), (19, 24), (3, 20)):
        total = 0.0
        for north, east in ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)):
            most = int(50 // (10 * np.hypot(north, east)))
            free = 0
            for k in range(1, most + 1):
                r, c = row + k * north, column + k * east
                if 0 <= r < 20 and 0 <= c < 25 and indoor[r, c]:
                    break
                free += 1
            total += 0.0 if indoor[row, column] else free / most
        assert found[row, column] == pytest.approx(total / 8 - 0.5)


def test_the_colour_is_that_of_the_lamp_that_gives_the_light():
    lamps, kelvin = np.array([[0.0, 0.0], [30.0, 0.0]]), np.array([2700.0, 4000.0])
    cells = np.array([[0.0, 0.0], [30.0, 0.0], [15.0, 0.0], [500.0, 0.0]])
    found = colour_at(cells, lamps, kelvin, np.full(2, 5000.0), np.full(2, 6.0))
    assert -0.3 <= found[0] < -0.2 and 0.9 < found[1] <= 1.0
    assert found[2] == pytest.approx((2700 + 4000) / 2000 - 3)
    assert found[3] == 0  # no lamp around
    assert not colour_at(cells, lamps[:0], kelvin[:0], np.zeros(0), np.zeros(0)).any()


def test_lamps_that_tell_no_colour_or_an_impossible_one_say_nothing(tmp_path):
    city = make_city(tmp_path / "town")
    lamps = city.places("lamps")
    lamps["cct_k"] = np.nan
    lamps.loc[lamps.index[0], "cct_k"] = 40.0
    colour, view = lie_of(city, surroundings(city))
    assert not colour.any() and view.shape == colour.shape
    assert view.min() >= -0.5 and view.max() <= 0.5
