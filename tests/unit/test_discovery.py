"""False discoveries: agreement with the definition, and its limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.discovery import adjusted, named

PROBABILITIES = st.lists(st.floats(0.0, 1.0), min_size=0, max_size=40)


def slowly(p, rate):
    """The step-up procedure as Benjamini and Hochberg write it: all up to the largest k with p(k) <= k / m rate."""
    ordered = sorted(p)
    most = max((k for k in range(1, len(p) + 1) if ordered[k - 1] <= k / len(p) * rate), default=0)
    return [one <= ordered[most - 1] if most else False for one in p]


@given(PROBABILITIES, st.sampled_from([0.01, 0.05, 0.1, 0.25]))
def test_it_names_what_the_step_up_procedure_names(p, rate):
    away = [one for one in p if all(abs(one - k / len(p) * rate) > 1e-12 for k in range(len(p) + 1))]
    if len(away) == len(p):  # on a limit itself the last bit decides
        assert named(p, rate).tolist() == slowly(p, rate)


@given(PROBABILITIES)
def test_a_larger_rate_never_names_fewer_and_order_plays_no_part(p):
    assert not np.any(named(p, 0.05) & ~named(p, 0.1))
    assert adjusted(p[::-1]).tolist() == adjusted(p).tolist()[::-1]


def test_one_comparison_needs_no_correction_and_none_is_none():
    assert adjusted([0.03]).tolist() == [0.03]
    assert adjusted([]).size == 0
    assert np.isnan(adjusted([np.nan, 0.2])[0]) and adjusted([np.nan, 0.2])[1] == 0.2


def test_of_pure_chance_hardly_ever_anything_is_named():
    generator = np.random.default_rng(3)
    often = np.mean([named(generator.uniform(size=200), 0.1).any() for _ in range(600)])
    assert often == pytest.approx(0.1, abs=0.04)


def test_of_what_is_named_no_more_than_the_rate_is_chance():
    generator = np.random.default_rng(4)
    shares = []
    for _ in range(200):
        p = np.concatenate([generator.uniform(size=150), generator.uniform(size=50) * 1e-3])
        found = named(p, 0.1)
        shares.append(found[:150].sum() / max(found.sum(), 1))
    assert np.mean(shares) < 0.1
