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
    assert len(seen) <= 202


@given(st.lists(deliveries(), max_size=5))
def test_what_is_looked_up_by_column_is_what_a_set_of_keys_says(parts):
    seen, keys = Seen(), set()
    for records in parts:
        expected = []
        for record in records.tolist():
            _time, _received, site, quantity, _value, duration, _flags, boot, seq, part = record
            key = (site, boot, seq, part) if seq != NO_SEQ else (site, quantity, record[0], duration)
            expected.append(key not in keys)
            keys.add(key)
        assert seen.new(records).tolist() == expected


def test_a_site_whose_number_is_out_of_all_proportion_costs_no_memory():
    seen = Seen()
    records = empty_records(2)
    records["site"] = 2**32 - 1
    records["seq"] = 5
    assert seen.new(records).tolist() == [True, False]
