"""What sensors measured less what is mapped: one number a site, of means, and nothing finer."""

import numpy as np
import pytest

from analytics.night_residuals import LEAST_STEPS, doubted, residual
from dashboard.residual_desk import amount
from dashboard.words import words
from sensors.flags import Flag
from sensors.reading import RECORD


def test_a_map_that_says_what_was_measured_leaves_nothing():
    for field in ("noise", "illuminance", "footfall"):
        values = np.array([40.0, 55.0, 61.0, 48.0])
        assert residual(field, values, values) == pytest.approx(0)


def test_levels_differ_in_decibels_and_amounts_by_ratio():
    assert residual("noise", np.array([63.0, 63.0]), np.array([60.0, 60.0])) == pytest.approx(3)
    assert residual("illuminance", np.array([20.0, 10.0]), np.array([10.0, 5.0])) == pytest.approx(1)
    assert residual("footfall", np.array([0.0, 0.0]), np.array([10.0, 5.0])) == pytest.approx(-1)


def test_a_residual_rests_on_an_hour_at_least():
    assert LEAST_STEPS * 15 >= 60


def test_readings_are_counted_by_each_reason_to_doubt_them():
    records = np.zeros(5, RECORD)
    records["flags"] = [0, Flag.RATE, Flag.RATE | Flag.SPIKE, 0, Flag.LATE]
    assert doubted(records) == {"late": 1, "rate": 2, "spike": 1}
    assert doubted(records[:1]) == {}


def test_every_reason_has_words_in_both_languages():
    for language in ("en", "fr"):
        say = words(language)
        assert all(say(f"flag.{str(flag.name).lower()}") for flag in Flag)


def test_a_residual_is_told_with_its_sign_and_what_is_shown_as_nothing_without():
    say = words("en")
    assert [amount("noise", value, say) for value in (2.04, -1.0, 0.01)] == ["+2.0 dB", "−1.0 dB", "0.0 dB"]
    assert [amount("footfall", value, say) for value in (0.25, -0.5)] == ["+25\u00a0%", "−50\u00a0%"]
