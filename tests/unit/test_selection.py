"""Whether people answer where places feel different is found where it is so, and seldom where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from analytics.phrases import phrases
from analytics.selection import Association, association


def smooth(seed, shape=(16, 16)):
    """A made-up place effect whose neighbours are alike."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2, mode="wrap")
    return field / field.std()


def answered(seed, effect, lean):
    sections = np.random.default_rng(seed + 1).integers(0, 5, effect.shape).astype(float)
    counts = np.random.default_rng(seed + 2).poisson(sections * np.exp(lean * effect)).astype(float)
    return counts, sections


def test_a_lean_towards_places_that_feel_worse_is_found_with_its_sign():
    for sign in (-1, 1):
        effect = smooth(0)
        correlation, p_value, cells = association(*swapped(answered(0, effect, 0.8 * sign), effect))
        assert np.sign(correlation) == sign and p_value < 0.05 and cells > 100


def swapped(pair, effect):
    return pair[0], effect, pair[1]


def test_answers_that_know_nothing_of_the_place_are_called_leaning_one_time_in_twenty():
    """Counts that are smooth themselves, like footfall: a plain permutation would call half of them leaning."""
    found = []
    for seed in range(60):
        effect, elsewhere = smooth(seed), smooth(seed + 1000)
        found.append(association(*swapped(answered(seed, elsewhere, 0.8), effect))[1])
    assert np.mean(np.array(found) <= 0.05) <= 0.12 and np.mean(found) == pytest.approx(0.5, abs=0.12)


def test_cells_without_streets_do_not_count_and_few_cells_say_nothing():
    effect = smooth(3)
    counts, sections = answered(3, effect, 1.0)
    counts[sections == 0] = 1000
    assert association(counts, effect, sections)[2] == (sections > 0).sum()
    few = np.zeros_like(sections)
    few[:2, :5] = 1
    assert np.isnan(association(counts, effect, few)[0])


@pytest.mark.parametrize("language", ["en", "fr"])
def test_it_is_said_in_both_languages_and_names_no_place(language):
    say = phrases(language)
    for rank, p in ((-0.3, 0.01), (0.3, 0.01), (0.1, 0.4), (float("nan"), float("nan"))):
        assert len(Association("reports", 120, 80, rank, p).text(say)) > 20
