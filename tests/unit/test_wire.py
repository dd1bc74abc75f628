"""Laws of our wire: what is written is read, what cannot be right is refused with a reason, nothing crashes."""

import json
import re

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.dialects import decode
from sensors.quantities import QUANTITIES
from sensors.reading import NO_SEQ
from sensors.senml import parse_pack, resolve
from sensors.wire import Measurement, Rejection, Sample, encode_pack, parse_topic, quantity_topic
from tests.shared_data import shared_data

TOPIC = "noctule/helsinki/counter-3/people-flow"
NOW = 1_790_000_000_000


def one(payload, topic=TOPIC):
    outcome = decode(topic, payload if isinstance(payload, bytes) else json.dumps(payload).encode(), NOW)
    assert len(outcome) == 1
    return outcome[0]


samples = st.builds(
    Sample,
    quantity=st.just("people_flow"),
    time_ms=st.integers(2**28 * 1000, 4_000_000_000_000),
    value=st.floats(0, 1e6, allow_nan=False),
    duration_s=st.sampled_from([0.0, 60.0, 900.0]),
)


@given(st.lists(samples, min_size=1, max_size=20), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.booleans())
def test_what_is_written_is_read(written, boot, seq, cbor):
    outcome = decode(TOPIC, encode_pack(written, boot, seq, cbor=cbor), NOW)
    assert [(m.time_ms, m.value, m.duration_s, m.boot, m.seq, m.part) for m in outcome] == [
        (sample.time_ms, sample.value, sample.duration_s, boot, seq, part) for part, sample in enumerate(written)
    ]


@given(st.binary(max_size=300))
def test_no_payload_crashes_the_decoder(payload):
    assert decode(TOPIC, payload, NOW)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_cbor_value_crashes_the_decoder(value):
    assert decode(TOPIC, cbor2.dumps(value), NOW)


def test_without_a_name_the_topic_names_the_quantity():
    measurement = one([{"v": 12, "t": 1_790_000_000, "seq": 4}])
    assert isinstance(measurement, Measurement)
    assert (measurement.quantity, measurement.unit, measurement.seq) == ("people_flow", "count", 4)


def test_without_a_number_a_message_has_no_sequence():
    assert one([{"v": 12}]).seq == NO_SEQ


def test_a_missing_time_means_now():
    assert one([{"v": 12}]).time_ms == NOW


def test_a_small_time_is_relative_to_now():
    assert one([{"v": 12, "t": -60}]).time_ms == NOW - 60_000


def test_a_base_name_is_the_device_and_not_the_quantity():
    assert one([{"bn": "urn:dev:ow:10e2073a01080063", "v": 12}]).quantity == "people_flow"
    assert one([{"bn": "urn:dev:ow:10e2073a01080063:", "n": "people_flow", "v": 12}]).quantity == "people_flow"


def test_a_mismatch_refuses_only_that_record():
    outcome = decode(TOPIC, json.dumps([{"n": "dimming", "v": 1}, {"n": "people_flow", "v": 2}]).encode(), NOW)
    assert isinstance(outcome[0], Rejection)
    assert "under the topic" in outcome[0].reason
    assert outcome[1].value == 2


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b"[]", "array of records"),
        (b"[1]", "not a record"),
        (b'{"v":', "not JSON"),
        (b'[{"v":NaN}]', "not JSON"),
        (cbor2.dumps([{2: float("nan")}]), "not a finite number"),
        (b'[{"v":1e999}]', "finite|JSON"),
        (b'[{"v":"12"}]', "must be a number"),
        (b'[{"vs":"many"}]', "no number"),
        (b'[{"u":"lx","v":1}]', "came in 'lx'; expected 'count'"),
        (b'[{"v":1,"seq":-1}]', "whole number"),
        (b'[{"v":1,"duration_s":-5}]', "duration_s"),
        (b'[{"v":1,"t":1e18}]', "calendar"),
        (b'[{"v":1,"secret_":2}]', "must be understood"),
        (b"\xff\xfe\x00", "neither JSON nor CBOR"),
        (b"[" * 5000, "JSON|nested"),
        (b" " * 300_000, "at most 262144"),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_reason(payload, reason):
    rejection = one(payload)
    assert isinstance(rejection, Rejection)
    assert re.search(reason, rejection.reason), rejection.reason


@pytest.mark.parametrize(
    "topic", ["noctule/Helsinki/a/dimming", "noctule/h/a", "noctule/h/a/b/dimming", "noctule/h/é/dimming"]
)
def test_a_topic_below_our_root_that_is_not_ours_names_nobody(topic):
    assert "tried columns, senml" in one([{"v": 1}], topic).reason


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_quantity_has_a_topic(quantity):
    parsed = parse_topic(quantity_topic("noctule", "helsinki", "device-1", quantity))
    assert parsed is not None
    assert parsed.leaf.replace("-", "_") == quantity


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_the_examples_of_rfc_8428_resolve_as_the_standard_says(number):
    folder = shared_data("payloads/senml")
    pack = parse_pack((folder / f"ex{number}.json").read_bytes())
    expected = json.loads((folder / f"ex{number}.resolved.json").read_text())
    now = next((record["t"] for record in expected if "t" in record), 0.0) if not any("bt" in r for r in pack) else 0.0
    records = resolve(pack, now)
    assert [record.name for record in records] == [record["n"] for record in expected]
    for record, wanted in zip(records, expected, strict=True):
        if "v" in wanted:
            assert record.value == pytest.approx(wanted["v"])
        if "u" in wanted:
            assert record.unit == wanted["u"]
