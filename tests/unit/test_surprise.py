from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

from analytics.model import fit
from analytics.surprise import hold_surprising, sum_of_categories, surprises, tail, text, to_dict
from ingest.archive import answers
from ingest.inbox import collect
from ingest.surveys import import_answers
from sensors.errors import ModelError
from sensors.night import Night
from tests.synthetic_city import make_city
from tests.unit.test_surveys import rows, written

CUTS = np.array([-1.0, -0.2, 0.9])


def test_the_sum_of_one_answer_has_the_probit_s_probabilities():
    mean, spare, shared = np.array([0.3]), np.array([0.4]), 0.5
    below = ndtr((CUTS - 0.3) / np.sqrt(1 + 0.4 + 0.5))
    found = np.cumsum(sum_of_categories(mean, spare, shared, CUTS))
    assert found[:3] == pytest.approx(below, abs=1e-9) and found[-1] == pytest.approx(1)


def test_without_anything_shared_the_sum_is_a_plain_convolution():
    mean = np.array([0.0, 0.5, -0.7])
    shares = np.diff(np.column_stack([np.zeros(3), ndtr(CUTS - mean[:, None]), np.ones(3)]), axis=1)
    plain = np.convolve(np.convolve(shares[0], shares[1]), shares[2])
    assert sum_of_categories(mean, np.zeros(3), 0.0, CUTS) == pytest.approx(plain, abs=1e-12)


def test_what_is_shared_makes_extremes_less_surprising():
    mean, nothing = np.zeros(30), np.zeros(30)
    alone = tail(sum_of_categories(mean, nothing + 0.3, 0.0, CUTS), 5)
    together = tail(sum_of_categories(mean, nothing, 0.3, CUTS), 5)
    assert alone < 1e-3 * together


def test_a_sum_agrees_with_drawing_it():
    generator = np.random.default_rng(4)
    mean, spare, shared = generator.normal(0, 0.5, 8), np.full(8, 0.2), 0.6
    draws = generator.normal(0, np.sqrt(shared), (40_000, 1)) + mean + generator.normal(0, np.sqrt(1.2), (40_000, 8))
    sums = (draws[..., None] > CUTS).sum(axis=(1, 2))
    drawn = np.bincount(sums, minlength=25) / len(sums)
    assert np.abs(np.cumsum(sum_of_categories(mean, spare, shared, CUTS)) - np.cumsum(drawn)).max() < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_p_values_of_what_the_model_says_are_no_smaller_than_they_say(seed):
    generator = np.random.default_rng(seed)
    mean = generator.normal(0, 0.5, 12)
    distribution = sum_of_categories(mean, np.full(12, 0.1), 0.4, CUTS)
    sums = generator.choice(len(distribution), 4_000, p=distribution / distribution.sum())
    p = np.array([tail(distribution, int(total)) for total in sums])
    for level in (0.01, 0.05, 0.2):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 4_000)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    folder = tmp_path_factory.mktemp("surprise")
    city = make_city(folder / "town")
    table = rows(240)
    table["time"] = [f"2026-11-{1 + i % 18:02d}T2{i % 2}:00:00Z" for i in range(240)]
    table["pseudonym"] = [f"p{i}" for i in range(240)]
    import_answers(city, written(folder, table), simulated=True)
    fit(city, Night.named("2026-11-20", city.zone))
    return city, folder


def strangers(folder, city, category, name, n=40):
    table = rows(n, seed=8, category=category, trigger="intercept")
    table["response_id"] = [f"{name}{i}" for i in range(n)]
    table["pseudonym"] = [f"{name} {i}" for i in range(n)]
    table["lon"], table["lat"] = table["lon"].iloc[0], table["lat"].iloc[0]
    table["time"] = [f"2026-11-21T2{i % 2}:10:00Z" for i in range(n)]
    import_answers(city, written(folder, table, f"{name}.csv"), simulated=True)


def test_a_place_where_suddenly_all_answer_alike_surprises_and_can_be_held(town):
    city, folder = town
    strangers(folder, city, 1, "chorus")
    before = len(answers(city))
    found = surprises(city, ["2026-11-21"])
    assert found[0].campaign == "chorus" and found[0].probability < 1e-4
    assert found[0].answered == 1 and found[0].expected > 2
    assert "chorus" in text(found, 10) and to_dict(found, 10)[0]["answers"] == 40
    assert hold_surprising(city, found) == 1
    assert collect(city).held == 40
    assert len(answers(city)) == before - 40
    assert all(one.campaign != "chorus" for one in surprises(city, ["2026-11-21"]))


def test_people_like_those_before_do_not_surprise(town):
    city, folder = town
    generator = np.random.default_rng(3)
    strangers(folder, city, generator.integers(1, 5, 40), "others")
    found = {one.campaign: one.probability for one in surprises(city, ["2026-11-21"])}
    assert found["others"] > 0.01


def test_small_groups_are_told_without_their_answers(town):
    city, folder = town
    strangers(folder, city, 1, "handful", n=6)
    found = [one for one in surprises(city, ["2026-11-21"]) if one.campaign == "handful"]
    assert found and set(to_dict(found, 10)[0]) == {"campaign", "night", "probability"}
    assert "fewer than 10" in text(found, 10, rare=1.0) and "mean category" not in text(found, 10, rare=1.0)


def test_without_a_model_that_knows_answers_nothing_can_surprise(tmp_path):
    with pytest.raises(ModelError):
        surprises(make_city(tmp_path / "town"))


def test_a_night_without_answers_is_empty(town):
    assert surprises(town[0], ["2020-01-01"]) == []
    assert isinstance(answers(town[0]), pd.DataFrame)
