"""Folds leave out what they say: anybody, whole people, whole places, or as far away as the map's cells are."""

from __future__ import annotations

import numpy as np
import pytest

from analytics import folds


def clustered(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Answers of eight places of a 2 km city, 60 m wide each."""
    generator = np.random.default_rng(seed)
    middle = generator.uniform(200, 1800, (8, 2))[generator.integers(0, 8, n)]
    return tuple((middle + generator.normal(0, 30, (n, 2))).T)


def cells() -> tuple[np.ndarray, np.ndarray]:
    line = np.arange(25.0, 2000.0, 50.0)
    east, north = np.meshgrid(line, line)
    return east.ravel(), north.ravel()


def test_random_folds_are_equal_and_repeatable():
    fold = folds.random_folds(103, 5)
    assert sorted(np.bincount(fold)) == [20, 20, 21, 21, 21]
    assert np.array_equal(fold, folds.random_folds(103, 5))


def test_nobody_is_in_two_folds():
    person = np.array([f"p{i % 37}" for i in range(300)], object)
    fold = folds.respondent_folds(person, 5)
    assert all(np.unique(fold[person == name]).size == 1 for name in set(person))
    assert np.unique(fold).size == 5


def test_no_square_is_in_two_folds():
    east, north = clustered()
    fold = folds.block_folds(east, north, 250.0, 4)
    square = folds.squares(east, north, 250.0)
    assert all(np.unique(fold[square == one]).size == 1 for one in np.unique(square))


def test_matched_folds_leave_out_answers_as_far_away_as_the_cells_are():
    east, north = clustered()
    cell_east, cell_north = cells()
    away = np.hypot(cell_east[:, None] - east[None, :], cell_north[:, None] - north[None, :])
    wanted = np.median(away.min(axis=1))
    places = np.column_stack([east, north])
    matched = folds.left_out_distances(places, folds.matched_folds(east, north, *cells(), 5))
    near = folds.left_out_distances(places, folds.random_folds(400, 5))
    assert np.median(near) < 0.1 * wanted
    assert np.median(matched) == pytest.approx(wanted, rel=0.6)


def test_answers_all_over_the_city_are_matched_by_folds_that_are_nearly_random():
    generator = np.random.default_rng(1)
    east, north = generator.uniform(0, 2000, (2, 1500))
    matched = folds.matched_folds(east, north, *cells(), 5)
    places = np.column_stack([east, north])
    random = folds.left_out_distances(places, folds.random_folds(1500, 5))
    assert np.median(folds.left_out_distances(places, matched)) < 2 * np.median(random)
