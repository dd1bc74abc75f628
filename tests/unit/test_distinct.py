"""Which numbers occur, few or many, is what numpy.unique says of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.distinct import distinct


@given(
    st.lists(st.integers(0, 2**40), max_size=20) | st.lists(st.integers(0, 5), max_size=20),
    st.sampled_from([1, 1, 100, 1_000]),
)
def test_each_number_stands_once_and_every_place_is_told_which_it_is(numbers, times):
    asked = np.array(numbers * times, np.int64)
    found, which = distinct(asked)
    assert sorted(found.tolist()) == sorted(set(numbers))
    np.testing.assert_array_equal(found[which], asked)


@pytest.mark.parametrize("highest", [3, 7_999, 8_001, 10**12])
def test_a_high_number_among_many_needs_no_table_as_long(highest):
    asked = np.append(np.arange(1_000), highest)
    found, which = distinct(asked)
    assert len(found) == len(set(asked.tolist()))
    np.testing.assert_array_equal(found[which], asked)
