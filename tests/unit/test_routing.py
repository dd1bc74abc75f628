"""Laws of finding a dialect: who speaks comes from the topic and the city, and every message has an outcome."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.city import DialectRule
from sensors.dialects import DIALECTS, Dialect, decode, matches
from sensors.dialects.routing import FAULT
from sensors.dialects.table import measured
from sensors.wire import Measurement, Rejection

NOW = 1_790_000_000_000
NOISE = {"type": "NoiseLevelObserved", "LAeq": 61, "dateObserved": "2026-11-20T22:00:00Z"}
PACK = [{"n": "dimming", "v": 0.5, "t": 1_790_000_000}]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**25), 10**25)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
LEVELS = ["noctule", "h", "c-1", "people-flow", "status", "", "json", "ul", "v3", "v1.1", "attrs", "Observations"]
LEVELS += ["Datastreams(5)", "application", "1", "device", "event", "up", "devices", "DEV_1", "é", "+", "#", "paxout"]
topics = st.lists(st.sampled_from(LEVELS), min_size=1, max_size=6).map("/".join) | st.sampled_from(
    [wanted.replace("+", "a").replace("#", "b") for dialect in DIALECTS for wanted in dialect.filters]
)
rules = st.builds(
    DialectRule,
    topic=st.sampled_from(["#", "+/#", "v1.1/#", "json/#"]),
    dialect=st.sampled_from(["", *(dialect.name for dialect in DIALECTS)]),
    device=st.sampled_from(["", "d-1"]),
    device_level=st.integers(0, 5),
    quantity=st.sampled_from(["", "sound_laeq", "people_flow"]),
    datastreams=st.just({"5": "mic-1/sound_laeq"}),
)


def read(topic, content, *rules_, **options):
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    return decode(topic, payload, NOW, rules=rules_, **options)


@given(topics, json_values, st.lists(rules, max_size=1))
def test_any_json_at_any_topic_has_an_outcome(topic, value, rules):
    outcome = read(topic, value, *rules)
    assert outcome
    assert all(one.device if isinstance(one, Measurement) else FAULT not in one.reason for one in outcome)


@given(topics, st.binary(max_size=200), st.lists(rules, max_size=1))
def test_any_bytes_at_any_topic_have_an_outcome(topic, payload, rules):
    outcome = read(topic, payload, *rules)
    assert outcome
    assert all(one.device if isinstance(one, Measurement) else FAULT not in one.reason for one in outcome)


def test_a_rule_comes_before_everything():
    (one,) = read("noctule/h/c-1/sound-laeq", NOISE, DialectRule(topic="noctule/h/+/sound-laeq", device="mic-9"))
    assert one.device == "mic-9"


def test_the_first_rule_that_matches_holds():
    first, second = (DialectRule(topic=topic, device=name) for topic, name in (("a/#", "one"), ("a/b", "two")))
    assert read("a/b", NOISE, first, second)[0].device == "one"


def test_a_rule_may_name_the_level_and_rename_what_stands_there():
    rule = DialectRule(topic="lamps/+/state", device_level=2, devices={"Lamp 7": "lamp-0007"})
    assert read("lamps/Lamp 7/state", NOISE, rule)[0].device == "lamp-0007"
    assert read("lamps/Lamp 8/state", NOISE, rule)[0].device == "lamp-8"


def test_any_dialect_may_be_spoken_under_our_topic_which_names_device_and_quantity():
    (one,) = read("noctule/h/mic-1/sound-laeq", NOISE | {"id": "urn:somebody:else"})
    assert (one.device, one.quantity) == ("mic-1", "sound_laeq")
    (one,) = read("noctule/h/mic-1/people-flow", NOISE)
    assert one.reason == "message says 'sound_laeq' under the topic of 'people_flow'"


@pytest.mark.parametrize(
    ("topic", "device"),
    [("city/noise/MIC_4", "mic-4"), ("mic-4/up", "mic-4"), ("mic-4/sound-laeq", "mic-4"), ("a/mic-4/v1/data", "mic-4")],
)
def test_by_content_alone_the_last_telling_level_is_the_device(topic, device):
    assert read(topic, NOISE)[0].device == device


@pytest.mark.parametrize(
    "topic", ["noctule/h/hostile/victim/sound-laeq", "noctule/h/hostile", "noctule/victim", "noctule"]
)
def test_nobody_speaks_for_another_below_our_root(topic):
    (one,) = read(topic, NOISE)
    assert isinstance(one, Rejection)


@pytest.mark.parametrize("wanted", ["#", "noctule/#"])
def test_a_wide_rule_opens_no_way_to_speak_for_another(wanted):
    rule = DialectRule(topic=wanted)
    (one,) = read("noctule/h/hostile/victim/sound-laeq", NOISE, rule)
    assert isinstance(one, Rejection)
    (one,) = read("noctule/h/mic-1/dimming", [{"v": 0.5}], rule)
    assert (one.device, one.quantity) == ("mic-1", "dimming")


def test_json_of_our_own_wire_is_read_as_strictly():
    assert "stands twice" in read("noctule/h/a/dimming", b'[{"v":1,"v":0}]')[0].reason
    assert read("noctule/h/a/dimming", b'\xef\xbb\xbf[{"v":1}]')[0].value == 1.0


def test_a_reader_that_fails_costs_one_message():
    mine = Dialect("mine", "Mine", ("mine/+",), 2, lambda value, payload: False, lambda *_: 1 // 0)
    (one,) = read("mine/a", b"1", dialects=[mine])
    assert one.reason == "the reader of 'mine' failed on this message (ZeroDivisionError)"


def test_senml_under_a_foreign_topic_names_its_quantity():
    assert read("city/lamp-7", PACK)[0].quantity == "dimming"
    assert "no quantity" in read("city/lamp-7", [{"v": 0.5}])[0].reason
    assert read("city/lamp-7/dimming", [{"v": 0.5}])[0].quantity == "dimming"


def test_what_nobody_recognises_says_what_was_tried():
    (one,) = read("hello/there", {"a": 1})
    assert all(dialect.name in one.reason for dialect in DIALECTS)
    assert "docs/dialects.md" in one.reason


def test_a_rule_for_a_dialect_that_the_message_is_not_in_says_so():
    (one,) = read("x/y", {"a": 1}, DialectRule(topic="x/#"))
    assert "'x/#'" in one.reason


def test_a_status_holds_no_readings():
    assert "status" in read("noctule/h/c-1/status", {"state": "online"})[0].reason


def test_a_payload_beyond_the_limit_is_not_even_parsed():
    assert "bytes" in read("noctule/h/c-1/dimming", b"[" * 262_145)[0].reason


def test_what_identifies_people_is_refused_first_and_said_so():
    (one,) = read("city/mic-4", NOISE | {"faces": ["aGVsbG8="]})
    assert one.exposing


def test_every_dialect_has_its_own_name():
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)


def test_a_table_may_hold_a_dialect_of_ones_own():
    mine = Dialect(
        "mine",
        "Mine",
        ("mine/+",),
        2,
        lambda value, payload: False,
        lambda source, payload, received_ms: [measured(source.device, "illuminance", received_ms, float(payload))],
    )
    (one,) = read("mine/Lux_1", b"12.5", dialects=(*DIALECTS, mine))
    assert (one.device, one.value) == ("lux-1", 12.5)


@pytest.mark.parametrize(
    ("wanted", "topic", "taken"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("+/b", "/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("a/+/c", "a/b", False),
        ("a", "a/b", False),
    ],
)
def test_filters_match_as_mqtt_says(wanted, topic, taken):
    assert matches(wanted, topic) is taken
