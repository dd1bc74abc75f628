"""Our tests of QARTOD against the reference implementation ioos_qc, where it is installed: on series of any shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.hindsight import spike_words
from ingest.limits import USUAL
from ingest.screening import Screen
from ingest.series import FLAT_LINES
from sensors.flags import Flag, roll_up
from sensors.quantities import QUANTITIES
from tests.unit.test_screening import readings, story

qartod = pytest.importorskip("ioos_qc.qartod", reason="ioos_qc, the reference implementation, is not installed")

halves = st.integers(-80, 400).map(lambda number: number / 2)  # exact in float32, so that limits are met exactly


@given(st.lists(halves, min_size=1, max_size=40), st.integers(1, 30), st.integers(0, 30))
def test_the_differential_spike_is_the_reference_s(values, suspect, more):
    theirs = qartod.spike_test(np.array(values), suspect, suspect + more, method="differential")
    assert spike_words(np.array(values), suspect, suspect + more).tolist() == np.asarray(theirs).tolist()


@given(st.lists(halves, min_size=1, max_size=40))
def test_the_gross_range_is_the_reference_s(values):
    for name in ("sound_laeq", "supply_voltage"):
        quantity, usual = QUANTITIES[name], USUAL[name]
        theirs = qartod.gross_range_test(values, fail_span=(quantity.low, quantity.high), suspect_span=tuple(usual))
        flags = Screen().flags(readings(name, values)) & np.uint16(Flag.RANGE | Flag.EXTREME)
        assert roll_up(flags).tolist() == np.asarray(theirs).tolist()


@settings(max_examples=60)
@given(st.lists(st.sampled_from([50.0, 50.0, 50.0, 51.0, 52.0]), min_size=2, max_size=60))
def test_the_flat_line_is_the_reference_s(values):
    """Ten minutes of minutes; the reference also wants its whole window and calls the first of a series good."""
    records = story("sound_laeq", values, 60)
    line = FLAT_LINES["sound_laeq"]
    theirs = qartod.flat_line_test(
        np.array(values), records["time"], int(line.seconds), 10**6, tolerance=line.tolerance
    )
    suspect = np.asarray(theirs) == 3
    ours = (Screen().flags(records) & np.uint16(Flag.REPEAT)) != 0
    assert ours.tolist() == suspect.tolist()


@given(st.lists(halves, min_size=4, max_size=40))
def test_a_sustained_rate_is_three_rates_of_the_reference(values):
    levels = np.clip(np.array(values), 30, 120)
    records = story("sound_laeq", levels.tolist(), 60)
    steep = np.asarray(qartod.rate_of_change_test(levels, records["time"], threshold=20 / 60)) == 3
    three = np.zeros(len(steep), bool)
    three[2:] = steep[2:] & steep[1:-1] & steep[:-2]
    ours = (Screen().flags(records) & np.uint16(Flag.RATE)) != 0
    assert ours.tolist() == three.tolist()
