from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from tests.frankfurt import FEATURES, FILE, LIGHT_OR_HOUR, features_of, out_of_fold, ridge, study
from tests.shared_data import shared_data


@pytest.fixture(scope="module")
def places():
    return pd.read_csv(shared_data(FILE))


@pytest.fixture(scope="module")
def tried(places):
    return study(places)


def test_words_about_places_carry_a_third_of_the_rating_on_paths_not_seen(tried):
    assert (tried.places, tried.paths) == (525, 19)
    assert tried.r2 >= 0.30


def test_all_features_are_better_than_any_single_one(tried):
    assert tried.r2 > max(tried.alone.values()) + 0.1


def test_what_is_known_of_places_by_day_has_the_sign_it_should(tried):
    assert tried.coefficients["residential"] > 0
    assert tried.coefficients["open, good view"] > 0
    assert tried.coefficients["building works"] < 0
    assert tried.coefficients["narrow, hidden"] < 0


def test_no_feature_is_of_light_or_hour_or_says_the_rating_itself():
    judged = ("safe", "unsafe", "safety", "dangerous", "attractive", "fear", "scary", "uncomfortable")
    for words in (*LIGHT_OR_HOUR, "well lit", "street lamps", "at night", "daylight", *judged):
        assert not [name for name, feature in FEATURES.items() if re.search(feature, words)], words


def test_a_shuffled_rating_is_not_foretold(places):
    random = np.random.default_rng(1)
    rating = random.permutation(places["safety_avg"].to_numpy(float))
    foretold = out_of_fold(
        features_of(places).to_numpy(float),
        rating,
        places["rating_count"].to_numpy(float),
        places["path_id"].to_numpy(),
    )
    assert 1 - np.sum((rating - foretold) ** 2) / np.sum((rating - rating.mean()) ** 2) < 0.02


def test_ridge_without_a_penalty_is_weighted_least_squares():
    random = np.random.default_rng(0)
    values, raters = random.normal(size=(40, 3)), random.integers(1, 9, 40).astype(float)
    rating = values @ [0.5, -1.0, 0.2] + 3 + random.normal(size=40)
    level, (mean, sd), slope = ridge(values, rating, raters, 1e-10)
    root = np.sqrt(raters)[:, None]
    expected = np.linalg.lstsq(np.column_stack([np.ones(40), values]) * root, rating * root[:, 0], rcond=None)[0]
    np.testing.assert_allclose(slope / sd, expected[1:], rtol=1e-8)
    assert level - mean @ (slope / sd) == pytest.approx(expected[0])
