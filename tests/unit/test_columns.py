"""Laws of column packs: what is written is read, quick and slow reading agree, uneven columns are refused whole."""

import json
from decimal import Decimal

import cbor2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sensors.city import DialectRule
from sensors.columns import decode_columns, encode_columns, is_columns, read_columns, series_records
from sensors.dialects import decode
from sensors.errors import DecodeError
from sensors.quantities import QUANTITIES
from sensors.reading import NO_SEQ
from sensors.wire import Measurement, Rejection

NOW = 1_795_212_000_000
PACK = {"boot": 3, "seq": 812, "n": "people_flow", "duration_s": 900, "bt": 1795208400, "t": [0, 900], "v": [41, 38]}

times = st.lists(st.integers(2**28 * 1000, 4_000_000_000_000), min_size=1, max_size=30)
levels = st.none() | st.floats(-1e6, 1e6, allow_nan=False, width=32)


def slow(pack, quantity="", device="mic-1"):
    return decode_columns(pack, device, quantity, NOW)


def quick(payload, codes=None):
    """What the quick reading makes of a payload, as the slow one would say it."""
    pack = read_columns(payload)
    codes = [QUANTITIES[series.quantity.replace("-", "_")].code for series in pack.series] if codes is None else codes
    records = series_records(pack.series, [7] * len(codes), codes, [NOW] * len(codes))
    assert len(records) == pack.readings
    return records


@given(st.data(), times, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 2), st.booleans(), st.integers(1, 3))
def test_what_is_written_is_read_by_both_readings(data, when, boot, seq, cbor, width):
    names = list(QUANTITIES)[4 : 4 + width]
    columns = [(name, data.draw(st.lists(levels, min_size=len(when), max_size=len(when)))) for name in names]
    payload = encode_columns(columns, when, 60.0, boot, seq, cbor=cbor)
    pack = cbor2.loads(payload) if cbor else json.loads(payload)
    written = [
        (when[row], QUANTITIES[name].code, np.float32(values[row]), boot, seq, row * width + column)
        for column, (name, values) in enumerate(columns)
        for row in range(len(when))
        if values[row] is not None
    ]
    said = [one for one in slow(pack) if isinstance(one, Measurement)]
    assert [
        (m.time_ms, QUANTITIES[m.quantity].code, np.float32(m.value), m.boot, m.seq, m.part) for m in said
    ] == written
    records = quick(payload)
    assert [
        (int(r["time"].astype("i8")), r["quantity"], r["value"], r["boot"], r["seq"], r["part"]) for r in records
    ] == written
    assert set(records["duration_s"].tolist()) <= {60.0}
    assert set(records["site"].tolist()) <= {7}


@given(
    st.fixed_dictionaries(
        {"t": st.lists(st.floats(-1e12, 1e12) | st.just(1795208400), max_size=4), "v": st.lists(levels, max_size=4)},
        optional={
            "n": st.sampled_from(["people_flow", "people-flow", "noize", ""])
            | st.lists(st.integers(-1, 5), max_size=4),
            "u": st.sampled_from(["count", "lx", "", 3]),
            "seq": st.integers(-1, 2**33) | st.lists(st.integers(0, 5), max_size=4),
            "boot": st.integers(-1, 2**33),
            "duration_s": st.floats(-1, 1e6) | st.lists(st.floats(0, 900), max_size=4),
            "bt": st.sampled_from([0, 1795208400, 1e300, -1e300]),
        },
    ),
    st.booleans(),
)
def test_the_quick_reading_takes_only_what_the_slow_one_takes_whole(pack, cbor):
    payload = cbor2.dumps(pack) if cbor else json.dumps(pack).encode()
    found = read_columns(payload)
    if found is None:
        return
    outcome = slow(pack, "people_flow")
    measured = [one for one in outcome if isinstance(one, Measurement)]
    assert len(measured) == found.readings
    assert found.readings == 0 or len(outcome) == len(measured)
    records = quick(payload, [QUANTITIES["people_flow"].code])
    assert records["time"].astype("i8").tolist() == [m.time_ms for m in measured]
    assert records["seq"].tolist() == [m.seq for m in measured]
    assert records["part"].tolist() == [m.part for m in measured]
    assert np.array_equal(records["duration_s"], np.array([m.duration_s for m in measured], "f4"))


def test_a_number_for_each_row_makes_each_row_a_message():
    for name in ("seq", "n"):
        pack = {"t": [1795208400, 1795208460], "v": [1, 2], name: [7, 8]}
        outcome = slow(pack, "people_flow")
        assert [(m.seq, m.part) for m in outcome] == [(7, 0), (8, 0)]
        records = quick(json.dumps(pack).encode(), [7])
        assert records["seq"].tolist() == [7, 8]
        assert records["part"].tolist() == [0, 0]
    assert slow({"t": [1795208400], "v": [1]}, "people_flow")[0].seq == NO_SEQ


def test_times_below_two_to_the_28_are_relative_to_the_receipt():
    pack = {"n": "people_flow", "t": [-120, -60, 0], "v": [1, 2, 3]}
    ends = [NOW - 120_000, NOW - 60_000, NOW]
    assert [m.time_ms for m in slow(pack)] == ends
    assert quick(json.dumps(pack).encode())["time"].astype("i8").tolist() == ends


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": [41]}, "2 times and 1 in v people_flow"),
        ({"seq": [1]}, "2 times and 1 in seq"),
        ({"duration_s": [900]}, "2 times and 1 in duration_s"),
        ({"t": []}, "no times"),
        ({"t": [0, "900"]}, "'t' must be an array of numbers"),
        ({"t": [0, float("inf")]}, "'t' must be an array of numbers"),
        ({"v": 3}, "'v' must be an array"),
        ({"v": {"people_flow": [1, 2]}}, "several columns"),
        ({"n": "", "v": {"people_flow": [1, 2], "people-flow": [1, 2]}}, "two columns of people_flow"),
        ({"n": "", "v": {"people_flow": 3}}, "must be an array"),
        ({"boot": -1}, "'boot'"),
        ({"seq": 2**32}, "sequence numbers"),
        ({"seq": True}, "sequence numbers"),
        ({"n": [1, 2]}, "twice"),
        ({"n": 7}, "'n' must be"),
        ({"bt": "x"}, "'bt'"),
        ({"id": "mic-2"}, "another device"),
        ({"must_": 1}, "'must_' must be understood"),
        ({"t": [0] * 5001, "v": [0] * 5001}, "at most 5000"),
    ],
    ids=str,
)
def test_a_pack_that_is_wrong_as_a_whole_is_refused_with_a_reason(change, reason):
    with pytest.raises(DecodeError, match=reason):
        slow(PACK | change)
    try:
        payload = json.dumps(PACK | change).encode()
    except ValueError:
        return
    found = read_columns(payload)
    assert found is None or found.id == "mic-2"  # the caller compares that name with the topic's


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"v": [41, "x"]}, ["value is no number"]),
        ({"v": [41, True]}, ["value is no number"]),
        ({"v": [41, 4e38]}, ["not a finite number"]),
        ({"t": [0, 1e12]}, ["calendar"]),
        ({"duration_s": -1}, ["duration_s", "duration_s"]),
        ({"n": "noize"}, ["names 'noize'"]),
        ({"u": "lx"}, ["came in 'lx'; expected 'count'"]),
        ({"n": "", "v": {"people_flow": [1, 2], "lux": [1, 2]}}, ["names 'lux'"]),
    ],
    ids=str,
)
def test_a_wrong_value_or_column_is_refused_and_the_others_stay(change, reasons):
    pack = PACK | change
    refused = [one for one in slow(pack) if isinstance(one, Rejection)]
    assert len(refused) == len(reasons)
    for one, reason in zip(refused, reasons, strict=True):
        assert reason in one.reason
    assert read_columns(json.dumps(pack).encode()) is None


def test_a_column_of_another_quantity_than_the_topic_is_refused():
    assert "under the topic of 'dimming'" in slow(PACK, "dimming")[0].reason
    assert "no quantity" in slow({"t": [1795208400], "v": [1]})[0].reason


def test_unknown_members_are_left_to_the_slow_reading():
    assert read_columns(json.dumps(PACK | {"battery": 3.6}).encode()) is None
    assert len(slow(PACK | {"battery": 3.6})) == 2


def test_nothing_but_nulls_says_so():
    assert "no values" in slow(PACK | {"v": [None, None]})[0].reason


def test_what_is_no_pack_of_columns_is_not_taken_for_one():
    for value in (None, [], 3, {"v": 1}, {"t": 1, "v": 2}, [{"t": 1, "v": 2}]):
        assert not is_columns(value)
        assert read_columns(json.dumps(value).encode()) is None


@given(st.binary(max_size=100))
def test_no_bytes_crash_the_quick_reading(payload):
    read_columns(payload)


# ------------------------------------------------------------------------------------------- as a dialect of the table

TOPIC = "noctule/town/counter-3/people-flow"


def rows(payload):
    """What the quick reading says of a payload under TOPIC, where ingest takes it; None where it gives up."""
    pack = read_columns(payload)
    if pack is None or pack.id not in ("", "counter-3") or len(pack.series) != 1 or not pack.readings:
        return None
    if pack.series[0].quantity not in ("", "people_flow", "people-flow"):
        return None
    records = series_records(pack.series, [7], [QUANTITIES["people_flow"].code], [NOW])
    columns = (records[name] for name in ("time", "value", "duration_s", "boot", "seq", "part"))
    return list(zip(*(column.astype("f8").tolist() for column in columns), strict=True))


said_members = st.one_of(
    st.tuples(
        st.just("n"), st.sampled_from(['""', '"people_flow"', '"people-flow"', '"power"', "[1]", "[1,2]", "null"])
    ),
    st.tuples(st.just("id"), st.sampled_from(['""', '"counter-3"', '"a:b"', '"other"', "null", "3"])),
    st.tuples(st.just("u"), st.sampled_from(['""', '"count"', '"lx"', '{"people_flow":"count"}', '{"a:b":"c"}', "{}"])),
    st.tuples(st.just("seq"), st.sampled_from(["0", "7.0", "4294967295", "4294967296", "[1]", "[1,2]", "null", "-1"])),
    st.tuples(st.just("boot"), st.sampled_from(["0", "3", "true", "1e0", "4294967296"])),
    st.tuples(st.just("duration_s"), st.sampled_from(["900", "0", "[1]", "[1,2]", "604801", "-1", "null"])),
    st.tuples(st.just("bt"), st.sampled_from(["0", "1795208400", "-1e300", "1" + "0" * 40, "1e400"])),
    st.tuples(st.just("t"), st.sampled_from(["[0]", "[0,900]", "[1e999]", "[-0.0]", "[268435456]", "[]"])),
    st.tuples(
        st.just("v"),
        st.sampled_from(
            [
                *("[1]", "[1,2]", "[null]", "[1e38]", "[1" + "0" * 31 + "]", '["1"]', "[true]", "{}"),
                '{"people_flow":[1]}',
                '{"people_flow":[1],"people_flow":[2]}',
                '{"people_flow":[1],"people-flow":[2]}',
                "[255" + ",216,255" * 12 + "]",
            ]
        ),
    ),
    st.tuples(st.sampled_from(["extra", "extra_", "mac"]), st.just("1")),
)


@given(st.lists(said_members, max_size=4), st.booleans())
@example([("u", '{"aa:bb:cc:dd:ee:ff":"count"}')], True)
@example([("v", "[255" + ",216,255" * 12 + "]"), ("t", "[" + "0," * 24 + "0]")], False)
@example([("seq", "4294967295"), ("n", "[1]")], True)
@example([("bt", "1" + "0" * 40), ("t", "[-1" + "0" * 40 + "]")], False)
def test_what_is_read_quickly_is_what_the_ordinary_way_reads(members, whole):
    usual = [("t", "[0]"), ("v", "[1]")] if whole else []
    payload = ("{" + ",".join(f'"{name}":{value}' for name, value in usual + members) + "}").encode()
    quick = rows(payload)
    ordinary = decode(TOPIC, payload, NOW)
    if quick is None:
        return
    assert all(isinstance(one, Measurement) for one in ordinary), ordinary
    assert quick == [(m.time_ms, np.float32(m.value), m.duration_s, m.boot, m.seq, m.part) for m in ordinary]


@pytest.mark.parametrize(
    "odd",
    [
        {"t": {0, 900}, "v": [1, 2]},
        {"t": [Decimal(0)], "v": [1]},
        {"t": [0], "v": [Decimal(1)]},
        {"t": [0], "v": {"people_flow": [Decimal(1)]}},
        {"t": [0], "v": [True]},
        {"t": [0], "v": [1], "boot": Decimal(1)},
    ],
    ids=str,
)
def test_what_only_cbor_can_say_is_no_reading_however_it_is_read(odd):
    payload = cbor2.dumps(odd)
    assert rows(payload) is None
    assert not any(isinstance(one, Measurement) for one in decode(TOPIC, payload, NOW))


def test_bytes_behind_a_cbor_pack_refuse_it_however_it_is_read():
    payload = cbor2.dumps(PACK) + cbor2.dumps([1])
    assert read_columns(payload) is None
    assert "stand behind" in decode(TOPIC, payload, NOW)[0].reason


@pytest.mark.parametrize("dump", [lambda pack: json.dumps(pack).encode(), cbor2.dumps])
def test_a_pack_is_recognised_at_any_topic_and_named_by_it(dump):
    for topic in (TOPIC, "old/counter-3/people-flow", "old/counter-3/data"):
        assert [(m.device, m.quantity, m.value) for m in decode(topic, dump(PACK), NOW)] == [
            ("counter-3", "people_flow", 41.0),
            ("counter-3", "people_flow", 38.0),
        ]
    (refused,) = decode("noctule/town/counter-3/dimming", dump(PACK), NOW)
    assert "under the topic of 'dimming'" in refused.reason


def test_a_rule_may_say_that_columns_are_spoken():
    rule = DialectRule(topic="old/#", dialect="columns", device="counter-3", quantity="people_flow")
    (one,) = decode("old/x", b'{"t":[0],"v":[5]}', NOW, rules=[rule])
    assert (one.device, one.quantity, one.value) == ("counter-3", "people_flow", 5.0)
    assert "'t' and 'v'" in decode("old/x", b'[{"v":5}]', NOW, rules=[rule])[0].reason
