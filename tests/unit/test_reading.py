"""Laws of readings: one key, one reading; the order of arrival changes nothing."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sensors.flags import FAIL, Flag, names, usable
from sensors.reading import NO_SEQ, RECORD, empty_records, sort_by_key, unique_by_key

rows = st.tuples(
    st.integers(0, 3),  # site
    st.integers(0, 2),  # boot
    st.sampled_from([0, 1, 2, NO_SEQ]),
    st.integers(0, 1),  # part
    st.integers(0, 3),  # time
    st.integers(0, 9),  # received
)


def records_of(drawn):
    records = empty_records(len(drawn))
    for row, (site, boot, seq, part, time, received) in zip(records, drawn, strict=True):
        row["site"], row["boot"], row["seq"], row["part"] = site, boot, seq, part
        row["time"], row["received"] = np.datetime64(time, "s"), np.datetime64(received, "s")
        row["value"] = received
    return records


def key(row):
    if row["seq"] != NO_SEQ:
        return ("n", row["site"], row["boot"], row["seq"], row["part"])
    return ("c", row["site"], row["quantity"], row["time"], row["duration_s"])


@given(st.lists(rows, max_size=30), st.randoms())
def test_each_key_stands_once_and_the_first_received_stays(drawn, random):
    records = records_of(drawn)
    unique = unique_by_key(records)
    assert len({key(row) for row in unique}) == len(unique) == len({key(row) for row in records})
    for row in unique:
        twins = [other["received"] for other in records if key(other) == key(row)]
        assert row["received"] == min(twins)


@given(st.lists(rows, max_size=30), st.randoms())
def test_the_order_of_arrival_changes_nothing(drawn, random):
    shuffled = list(drawn)
    random.shuffle(shuffled)
    assert sort_by_key(records_of(drawn)).tobytes() == sort_by_key(records_of(shuffled)).tobytes()


def test_the_archived_form_begins_with_the_reading():
    assert RECORD.names[:7] == ("time", "received", "site", "quantity", "value", "duration_s", "flags")


def test_only_physics_takes_a_reading_out():
    assert usable(np.array([int(flag) for flag in Flag], np.uint16)).tolist() == [not flag & FAIL for flag in Flag]


def test_flags_have_names():
    assert names(int(Flag.CLOCK | Flag.LATE)) == ["clock", "late"]
