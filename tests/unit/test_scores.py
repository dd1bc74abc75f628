"""Scores reward the truth, and only the truth; calibration shows where probabilities are not shares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from analytics import scores
from analytics.ordinal import fit_ordered_probit

CUTS = np.array([-1.0, -0.2, 0.8])


def answers(n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    eta = generator.normal(size=n)
    return ndtr(CUTS[None, :] - eta[:, None]), 1 + np.searchsorted(CUTS, eta + generator.normal(size=n))


@pytest.mark.parametrize("score", [scores.ranked_probability, scores.logarithmic, lambda b, y: scores.brier(b, y, 3)])
def test_the_truth_scores_better_than_anything_beside_it(score):
    below, category = answers()
    best = score(below, category).mean()
    for wrong in (below**1.3, 1 - (1 - below) ** 1.3, np.clip(below * 0.8 + 0.1, 0, 1), np.full_like(below, 0.5)):
        assert score(np.sort(wrong, axis=1), category).mean() > best


def test_hand_values():
    below = np.array([[0.2, 0.5, 0.9]])
    assert scores.ranked_probability(below, np.array([2])) == pytest.approx([0.2**2 + 0.5**2 + 0.1**2])
    assert scores.logarithmic(below, np.array([4])) == pytest.approx([-np.log(0.1)])
    assert scores.brier(below, np.array([2]), 3) == pytest.approx([0.5**2])


def test_ranked_probability_is_that_of_the_definition_by_categories():
    below, category = answers(200)
    probability = np.diff(np.hstack([np.zeros((200, 1)), below, np.ones((200, 1))]), axis=1)
    expected = []
    for row, y in zip(probability, category, strict=True):
        hit = np.eye(4)[y - 1]
        expected.append(sum((row[:k].sum() - hit[:k].sum()) ** 2 for k in range(1, 5)))
    assert scores.ranked_probability(below, category) == pytest.approx(expected)


def test_skill_of_the_reference_is_nothing_and_its_interval_holds_it():
    below, category = answers()
    score = scores.ranked_probability(below, category)
    none = scores.skill(score, score, np.arange(len(score)))
    assert (none.value, none.low, none.high) == (0, 0, 0)
    shares = np.cumsum(np.bincount(category, minlength=5)[1:] / len(category))[:3]
    climate = scores.ranked_probability(np.tile(shares, (len(category), 1)), category)
    found = scores.skill(score, climate, np.arange(len(score)))
    assert 0 < found.low < found.value < found.high


def test_answers_that_go_together_make_the_interval_wider():
    generator = np.random.default_rng(0)
    shared = np.repeat(generator.normal(1, 0.5, 50), 40)
    score, reference = shared + generator.normal(0, 0.1, 2000), np.full(2000, 1.2)
    apart = scores.skill(score, reference, np.arange(2000))
    together = scores.skill(score, reference, np.repeat(np.arange(50), 40))
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_a_calibrated_forecast_has_a_flat_transform_and_an_overconfident_one_has_not():
    below, category = answers(20_000)
    assert scores.pit(below, category) == pytest.approx(np.full(10, 0.1), abs=0.01)
    fit = fit_ordered_probit(np.zeros((20_000, 0)), category, 4)
    sharp = ndtr(2.5 * (fit.cuts[None, :] - np.random.default_rng(1).normal(size=(20_000, 1))))
    tilted = scores.pit(sharp, category)
    assert tilted[0] + tilted[-1] > 0.3
    assert scores.pit(sharp, category).sum() == pytest.approx(1)


def test_said_and_found_agree_where_calibrated():
    below, category = answers(20_000)
    found = scores.reliability(below, category, 3)
    known = found.answers > 200
    assert found.said[known] == pytest.approx(found.found[known], abs=0.04)
    assert found.answers.sum() == 20_000
    assert abs(scores.calibration_error(below, category, 3)) < 0.01


def test_blocks_are_covered_as_often_as_said():
    generator = np.random.default_rng(5)
    block = np.repeat(np.arange(600), 20)
    said = np.repeat(generator.uniform(0.2, 0.8, 600), 20)
    truth = np.clip(said + np.repeat(generator.normal(0, 0.08, 600), 20), 0, 1)
    category = np.where(generator.uniform(size=block.size) < truth, 4, 1)
    assert scores.block_coverage(said, np.full(block.size, 0.08), category, 3, block) == pytest.approx(0.9, abs=0.03)
    assert scores.block_coverage(said, np.full(block.size, 0.0), category, 3, block) < 0.85
