"""Laws of reading strangers' JSON: what two readers could read differently is refused, and nothing takes long."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.dialects.parsing import MAX_DEPTH, number, parse_json, shown
from sensors.dialects.times import between, instant, interval
from sensors.dialects.units import factor
from sensors.errors import DecodeError
from sensors.quantities import QUANTITIES, quantity_named

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(plain)
def test_what_is_json_is_read(value):
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b'{"v":1,"v":2}', "'v' stands twice"),
        (b'{"a":{"v":1,"x":2,"v":2}}', "'v' stands twice"),
        (b"[NaN]", "NaN is no number"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b"[1e999]", "not a finite number"),
        (b"[" + b"9" * 31 + b"]", "31 digits"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested more than 32 deep"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nested more than 32 deep"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b'{"v":', "not JSON"),
        (b'["]', "not JSON"),
        (b"{} {}", "not JSON"),
    ],
)
def test_what_is_not_is_refused_with_a_sentence(payload, reason):
    with pytest.raises(DecodeError, match=reason):
        parse_json(payload)


def test_as_deep_as_allowed_is_read():
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None
    assert len(parse_json(b"[" + b"[]," * 100 + b"[]]")) == 101


def test_brackets_in_texts_have_no_depth():
    text = "[{" * 100 + '"\\'
    assert parse_json(json.dumps({"a": text}).encode()) == {"a": text}


def test_a_byte_order_mark_is_passed_over():
    assert parse_json(b'\xef\xbb\xbf{"v":1}') == {"v": 1}


@pytest.mark.parametrize(
    "payload", [b'"\\' * 131_000, b"[" * 40 + b'"' * 262_000, b'{"a":"' + b"\\" * 262_000, b"[" * 262_144]
)
def test_hostile_payloads_are_refused(payload):
    with pytest.raises(DecodeError):
        parse_json(payload)


@given(plain)
def test_what_a_reason_quotes_is_short_and_on_one_line(value):
    said = shown(value)
    assert len(said) <= 64
    assert said.isprintable()


def test_truth_and_texts_are_no_numbers():
    assert [number(value) for value in (True, "1", None, [], 1e300)] == [None] * 5
    assert number(2) == 2.0


@given(st.datetimes(timezones=st.timezones()))
def test_an_instant_is_the_same_in_every_zone(moment):
    if moment.utcoffset() is not None and moment.utcoffset().microseconds == 0 and moment.utcoffset().seconds % 60 == 0:
        assert instant(moment.isoformat()) == round(moment.timestamp() * 1000)


@pytest.mark.parametrize(
    "text", ["2026-11-20", "2026-11-20T22:00", "22:00Z", "", 12, None, "2026-13-01T00:00:00Z", "9" * 99]
)
def test_a_time_without_zone_or_sense_is_refused(text):
    with pytest.raises(DecodeError):
        instant(text)


def test_an_interval_has_its_end_and_length():
    assert interval("2026-11-20T21:45:00Z/2026-11-20T23:00:00+01:00") == (1_795_212_000_000, 900.0)
    with pytest.raises(DecodeError, match="before it begins"):
        between(1, 0)


@pytest.mark.parametrize("quantity", [q for q in QUANTITIES.values() if quantity_named(q.name)], ids=str)
def test_the_units_that_we_write_are_read(quantity):
    assert all(factor(quantity.name, unit) == 1.0 for unit in quantity.senml_units)
