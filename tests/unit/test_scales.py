"""Quantities and the whole numbers that stand for them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.scales import SCALES


@pytest.mark.parametrize("layer", SCALES)
@given(value=st.floats(0, 100))
def test_a_value_survives_the_way_to_its_quantity_and_back(layer, value):
    scale = SCALES[layer]
    assert scale.to_value(scale.to_quantity(value)) == pytest.approx(value, abs=0.02)


@pytest.mark.parametrize("layer", SCALES)
def test_what_is_not_known_stays_not_known(layer):
    assert np.isnan(SCALES[layer].to_value(np.nan))


def test_equal_ratios_of_light_are_equal_steps():
    a, b, c = SCALES["light"].to_value([1.0, 3.0, 9.0])
    assert b - a == pytest.approx(c - b, rel=1e-5)


@given(st.floats(0, 30), st.floats(0, 30))
def test_confidence_never_rises_with_the_standard_deviation(one, other):
    low, high = sorted((one, other))
    assert SCALES["safety"].confidence(high) <= SCALES["safety"].confidence(low)


def test_confidence_is_nil_without_a_standard_deviation():
    assert SCALES["light"].confidence(np.nan) == 0


def test_noise_fades_beyond_a_hundred_metres_of_a_meter():
    confidence = SCALES["noise"].confidence(np.zeros(5), np.array([0.0, 100.0, 200.0, 399.0, 1000.0]))
    assert confidence[0] == confidence[1] == 15
    assert (np.diff(confidence[1:].astype(int)) <= 0).all()
    assert confidence[-1] == 0


def test_the_likely_interval_of_light_is_a_ratio():
    low, high = SCALES["light"].interval(10.0, 0.5)
    assert low * high == pytest.approx(100.0)
