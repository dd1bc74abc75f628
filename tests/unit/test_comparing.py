"""What may stand beside a run, and when two readings of a place differ."""

import pytest

from dashboard.comparing import distinct
from dashboard.probe import Probe


def reading(layer, value, low, high):
    return Probe(layer, 24.9, 60.2, "value", value, low, high)


def test_readings_whose_intervals_lie_far_apart_differ():
    assert distinct(reading("safety", 40, 36, 44), reading("safety", 60, 56, 64))


def test_a_reading_does_not_differ_from_itself():
    one = reading("noise", 55.0, 50.0, 60.0)
    assert not distinct(one, one)


def test_wider_intervals_never_turn_what_is_alike_into_a_difference():
    assert not distinct(reading("safety", 40, 30, 50), reading("safety", 48, 38, 58))
    assert not distinct(reading("safety", 40, 20, 60), reading("safety", 48, 28, 68))


@pytest.mark.parametrize("scale", (1.0, 100.0))
def test_lux_and_people_differ_by_ratios_whatever_their_amount(scale):
    low, high = (reading("footfall", n * scale, n * scale / 1.5, n * scale * 1.5) for n in (10.0, 30.0))
    near = reading("footfall", 12.0 * scale, 8.0 * scale, 18.0 * scale)
    assert distinct(low, high)
    assert not distinct(low, near)
