"""A reading that comes twice is new once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.seen import Seen
from sensors.reading import NO_SEQ, Records, empty_records, unique_by_key


@st.composite
def deliveries(draw) -> Records:
    n = draw(st.integers(0, 40))
    records = empty_records(n)
    for name, most in (("site", 2), ("boot", 1), ("part", 2), ("quantity", 1), ("duration_s", 1)):
        records[name] = draw(st.lists(st.integers(0, most), min_size=n, max_size=n))
    records["seq"] = draw(st.lists(st.sampled_from([0, 1, 2, NO_SEQ]), min_size=n, max_size=n))
    records["time"] = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    return records


@given(deliveries(), st.integers(0, 40))
def test_new_are_as_many_as_there_are_keys_however_they_are_cut(records, cut):
    seen = Seen()
    kept = np.concatenate([part[seen.new(part)] for part in (records[:cut], records[cut:])])
    assert len(kept) == len(unique_by_key(records))
    assert not seen.new(records).any()


def test_memory_is_bounded_and_the_latest_are_remembered():
    seen = Seen(remembered=100)
    records = empty_records(1)
    for number in range(1000):
        records["seq"] = number
        assert seen.new(records).all()
    records["seq"] = 999
    assert not seen.new(records).any()
    assert len(seen._young) + len(seen._old) <= 202
