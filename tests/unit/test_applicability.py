"""Where the response may be applied: conditions like those that answers were given in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analytics.applicability import EVERYWHERE, MOST_POINTS, applicability


def answered(n=600, seed=0, features=3):
    generator = np.random.default_rng(seed)
    places = pd.DataFrame({"easting": generator.uniform(0, 2000, n), "northing": generator.uniform(0, 2000, n)})
    return generator.normal(size=(n, features)), places


def test_the_index_is_the_distance_to_the_nearest_over_the_mean_distance():
    conditions, places = answered(n=MOST_POINTS - 10)  # every one of them is kept
    beta = np.array([1.0, 0.5, 0.0])
    made = applicability(conditions, beta, np.zeros(3), places)
    at = np.random.default_rng(1).normal(size=(50, 3))
    weighed, known = at * beta, conditions * beta
    pairs = np.linalg.norm(known[:, None] - known[None], axis=2)
    mean = pairs[np.triu_indices(len(known), 1)].mean()
    nearest = np.linalg.norm(weighed[:, None] - known[None], axis=2).min(axis=1)
    assert made.index(at) == pytest.approx(nearest / mean, rel=1e-6, abs=1e-6)


def test_what_does_nothing_to_the_answer_makes_no_place_unlike():
    conditions, places = answered()
    made = applicability(conditions, np.array([1.0, 1.0, 0.0]), np.zeros(3), places)
    assert not made.beyond(np.array([[0.0, 0.0, 99.0]]))[0]
    assert made.beyond(np.array([[9.0, 0.0, 0.0]]))[0]


def test_hardly_any_place_like_those_that_were_answered_in_is_masked():
    conditions, places = answered()
    made = applicability(conditions, np.ones(3), np.zeros(3), places)
    fresh, _ = answered(n=2000, seed=5)
    assert made.beyond(fresh).mean() < 0.1
    assert made.beyond(fresh + 6).all()


def test_an_unsure_coefficient_counts_too():
    conditions, places = answered()
    unsure = applicability(conditions, np.array([1.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]), places)
    assert unsure.beyond(np.array([[0.0, 0.0, 9.0]]))[0]


def test_unknown_conditions_are_not_masked_and_nothing_is_where_nobody_answered():
    conditions, places = answered()
    made = applicability(conditions, np.ones(3), np.zeros(3), places)
    assert not made.beyond(np.array([[np.nan, 0.0, 0.0]]))[0]
    assert not EVERYWHERE.beyond(np.zeros((2, 0))).any()
    alone = applicability(conditions[:1], np.ones(3), np.zeros(3), places[:1])
    assert not alone.beyond(np.full((1, 3), 50.0)).any()


def test_many_answers_are_stood_for_by_a_few_points_and_the_mask_hardly_changes():
    conditions, places = answered(n=1900)
    made = applicability(conditions, np.ones(3), np.zeros(3), places)
    assert len(made.points) == MOST_POINTS
    fresh = np.random.default_rng(3).normal(scale=2.0, size=(3000, 3))
    known = np.linalg.norm(fresh[:, None] - conditions[None], axis=2).min(axis=1) / made.mean_distance
    reach = known > made.threshold
    assert not (reach & ~made.beyond(fresh)).any()  # what is too far from all is too far from those that stand for them
    assert (made.beyond(fresh) & ~reach).mean() < 0.12
