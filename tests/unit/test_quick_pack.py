"""The quick way reads what the ordinary way reads, and leaves it whatever it does not read to the end."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sensors.dialects import decode
from sensors.quantities import QUANTITIES, topic_name
from sensors.quick_pack import RELATIVE_BELOW_S, columns, quick_reader, usual
from sensors.wire import Measurement, Sample, encode_pack

RECEIVED_MS = 1_795_212_000_123

numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(0, 2**33),
    st.sampled_from(
        [0, 1, 7.0, 1e3, -0.0, 2**32 - 1, 2**32, 2**28, 2**28 - 0.5, 1_795_212_000.123, 3e38, 604_800, 1e309]
    ),
)
odd = st.one_of(st.none(), st.booleans(), st.text(max_size=4), st.just([]), st.just({}))
members = st.one_of(
    st.tuples(st.sampled_from(["v", "t", "duration_s", "boot", "seq"]), st.one_of(numbers, numbers, numbers, odd)),
    st.tuples(st.just("n"), st.sampled_from(["", "power", "illuminance", "people-flow", "urn:x:power", "POWER"])),
    st.tuples(st.just("u"), st.sampled_from(["", "W", "lx", "w"])),
    st.tuples(st.sampled_from(["bn", "bv", "bver", "vs", "vb", "extra", "extra_"]), st.one_of(numbers, odd)),
    st.tuples(st.just("bt"), st.one_of(numbers, numbers, odd)),
    st.tuples(st.just("bu"), st.sampled_from(["", "W", "lx", "count"])),
)


@st.composite
def payloads(draw) -> bytes:
    """JSON as text, so that members may stand twice and numbers be spelt in any way."""
    records = []
    for _ in range(draw(st.integers(0, 3))):
        usual = [("v", draw(st.integers(0, 50)))] if draw(st.integers(0, 3)) else []
        chosen = usual + draw(st.lists(members, max_size=4))
        records.append("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in chosen) + "}")
    return ("[" + ",".join(records) + "]").encode()


def read_quickly(quantity: str, *payloads: bytes) -> list[tuple[float, ...]] | None:
    """What the quick way makes of payloads, as ingest does; None where it gives up."""
    try:
        packs = [quick_reader(QUANTITIES[quantity])(payload) for payload in payloads]
    except msgspec.DecodeError:
        return None
    found = columns(packs, payloads)
    if found is None:
        return None
    time_s = np.where(found.time_s < RELATIVE_BELOW_S, found.time_s + RECEIVED_MS / 1000, found.time_s)
    part = np.broadcast_to(found.part, time_s.shape)
    rows = (np.rint(time_s * 1000).astype(int), found.value, found.duration_s, found.boot, found.seq, part)
    return list(zip(*(row.tolist() for row in rows), strict=True))


@given(st.sampled_from(["power", "people_flow", "illuminance"]), payloads())
@example("power", b'[{"v":1,"v":2,"t":5,"t":6}]')
@example("power", b' [ {"v" : 1e0 } ]\n')
@example("power", b'[{"v":1,"seq":7.0}]')
@example("power", b'[{"v":1,"seq":1e3}]')
@example("power", b'[{"v":1,"boot":-0}]')
@example("power", b'[{"v":1,"t":-1000000000}]')
@example("power", b'[{"v":1,"t":5},{"v":1,"t":5,"t":6}]')
@example("power", b'[{"v":1,"t":5,"t":6},{"v":1}]')
@example("power", b'[{"v":1,"\\u0076":2}]')
@example("power", b'[{"v":1,"boot":1,"boot":1},{"v":1}]')
@example("power", b'[{"v":1,"n":"","n":""}]')
@example("power", b'[{"bt":1795212000,"bu":"W","v":1,"t":0},{"v":2,"t":60}]')
@example("power", b'[{"v":1,"t":0},{"bt":1795212000,"v":2,"t":60}]')
@example("power", b'[{"bt":1795212000,"v":1},{"bt":5,"v":2}]')
@example("power", b'[{"bt":249999999999,"v":1,"t":249999999999}]')
@example("power", b'[{"bt":1,"bt":1795212000,"v":1},{"v":2}]')
@example("power", b'[{"bu":"W","bu":"W","v":1}]')
@example("power", b'[{"bu":"lx","v":1,"u":"W"}]')
@example("power", b'[{"bt":1795212000}]')
@example("power", b'[{"v":10000000000000000000000000000001}]')
def test_what_is_read_quickly_is_what_the_ordinary_way_reads(quantity, payload):
    quick = read_quickly(quantity, payload)
    ordinary = decode(f"noctule/town/device/{topic_name(quantity)}", payload, RECEIVED_MS)
    if quick is None:
        return
    assert all(isinstance(one, Measurement) for one in ordinary), ordinary
    assert quick == [(one.time_ms, one.value, one.duration_s, one.boot, one.seq, one.part) for one in ordinary]
    assert {one.quantity for one in ordinary} == {quantity}


@pytest.mark.parametrize(
    "twice", [b'"v":1', b'"t":5', b'"duration_s":9', b'"n":"power"', b'"u":"W"', b'"boot":0', b'"seq":4']
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_member_that_stands_twice_is_left_to_the_ordinary_way_which_refuses(twice, place):
    records = [[b'"v":1', b'"t":5', b'"duration_s":9', b'"n":"power"', b'"u":"W"'] for _ in range(2)]
    records[0] += [b'"boot":0', b'"seq":4']

    def payload() -> bytes:
        return b"[" + b",".join(b"{" + b",".join(record) + b"}" for record in records) + b"]"

    assert len(read_quickly("power", payload())) == 2
    records[place] += [twice] if twice in records[place] else [twice, twice]
    assert read_quickly("power", payload()) is None
    (refused,) = decode("noctule/town/device/power", payload(), RECEIVED_MS)
    assert "stands twice" in refused.reason


@given(st.lists(payloads(), max_size=6))
def test_of_a_group_those_are_usual_that_are_by_themselves(group):
    decoded = []
    for payload in group:
        try:
            decoded.append((payload, quick_reader(QUANTITIES["power"])(payload)))
        except msgspec.DecodeError:
            continue
    alone = [columns([pack], [payload]) is not None for payload, pack in decoded]
    if decoded:
        assert usual([pack for _, pack in decoded], [payload for payload, _ in decoded]) == alone
    kept = [payload for (payload, _), is_usual in zip(decoded, alone, strict=True) if is_usual]
    if kept:
        one_by_one = [row for payload in kept for row in read_quickly("power", payload) or ()]
        assert read_quickly("power", *kept) == one_by_one


def test_packs_of_many_shapes_are_read_quickly_one_after_another():
    shapes = [
        b'[{"v":1}]',
        b'[{"v":1,"t":5,"boot":0}]',
        b'[{"v":1},{"v":2,"t":5}]',
        b'[{"bt":1795212000,"bu":"W","v":1,"seq":3},{"v":1,"t":1}]',
    ]
    for payload in [*shapes, *reversed(shapes), *shapes]:
        assert read_quickly("power", payload) is not None


@pytest.mark.parametrize("quantity", sorted(QUANTITIES))
def test_what_our_own_devices_send_is_read_quickly(quantity):
    samples = [Sample(quantity, RECEIVED_MS - 1000 * at, 1.0, 60.0 * at) for at in range(3)]
    assert read_quickly(quantity, encode_pack(samples, 3, 9)) == [
        (RECEIVED_MS - 1000 * at, 1.0, 60.0 * at, 3, 9, at) for at in range(3)
    ]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'{"v":1}',
        b'[{"n":"power"}]',
        b'[{"v":1,"mac":"00:11:22:33:44:55"}]',
        b'[{"v":1}' + b',{"v":1}' * 5_000 + b"]",
        b'[{"v":"1"}]',
        b'[{"v":true}]',
        b'[{"bn":"urn:x:","v":1}]',
        b'[{"v":1e999}]',
        b'[{"v":NaN}]',
        b"\x81\xa1\x02\x01",
        b'[{"v":1}] ,[{"v":1}]',
        b'[{"v":1,"seq":3},{"seq":4,"v":1}]',
    ],
)
def test_the_unusual_is_left_to_the_ordinary_way(payload):
    assert read_quickly("power", payload) is None
