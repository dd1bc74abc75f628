"""Laws of the IoT Agent dialects: the topic names the device, the key stays secret, other attributes do not disturb."""

from pathlib import Path

import pytest

from sensors.city import DialectRule
from sensors.dialects import decode
from sensors.quantities import QUANTITIES, quantity_named
from sensors.wire import Measurement, Rejection

EXAMPLES = Path(__file__).with_name("examples")
NOW = 1_790_000_000_000
TOPIC = "/json/ABCDEF/id_sen1/attrs"


def read(payload, topic=TOPIC, rules=()):
    return decode(topic, payload.encode(), NOW, rules=rules)


def test_the_manuals_measures_are_not_quantities_of_ours():
    (one,) = read((EXAMPLES / "iot-agent-measures.json").read_text("utf-8"))
    assert "no attribute is a quantity of ours" in one.reason
    assert len(read((EXAMPLES / "iot-agent-groups.json").read_text("utf-8"))) == 2


def test_the_manuals_series_are_values_at_their_times():
    outcome = read((EXAMPLES / "iot-agent-series.json").read_text("utf-8"), f"{TOPIC}/sound_laeq")
    assert [(one.device, one.quantity, one.value, one.time_ms) for one in outcome] == [
        ("id-sen1", "sound_laeq", 44.0, 1_737_892_800_000),
        ("id-sen1", "sound_laeq", 33.0, 1_737_968_400_000),
    ]


def test_a_bare_value_is_of_the_topics_attribute_and_dated_by_its_receipt():
    (one,) = read("70", f"{TOPIC}/sound-laeq")
    assert (one.quantity, one.value, one.time_ms) == ("sound_laeq", 70.0, NOW)


def test_what_an_attribute_of_theirs_measures_may_be_said_by_the_city():
    rule = DialectRule(topic="/json/+/+/attrs/l", quantity="illuminance", devices={"id_sen1": "lux-4"})
    (one,) = read("1570", f"{TOPIC}/l", [rule])
    assert (one.device, one.quantity, one.value) == ("lux-4", "illuminance", 1570.0)


def test_groups_have_their_own_time_and_numbers_may_be_texts():
    payload = '[{"sound_laeq":"61.5","TimeInstant":"2026-11-20T22:00:00Z","battery":3.6},{"dimming":0.5}]'
    outcome = read(payload)
    assert [(one.quantity, one.value, one.time_ms) for one in outcome] == [
        ("sound_laeq", 61.5, 1_795_212_000_000),
        ("dimming", 0.5, NOW),
    ]


@pytest.mark.parametrize("value", ['"45%"', "null", "true", '"nan"', '"1e999"', "{}", "[]", '""'])
def test_what_is_no_number_is_refused(value):
    (one,) = read(f'{{"sound_laeq":{value}}}')
    assert isinstance(one, Rejection)


def test_a_count_needs_its_interval():
    assert "duration_s" in read('{"people_flow":12}')[0].reason
    (one,) = read('{"people_flow":12,"duration_s":300}')
    assert (one.value, one.duration_s) == (12.0, 300.0)


def test_a_time_without_zone_is_refused():
    assert "no zone" in read('{"dimming":1,"TimeInstant":"2026-11-20T22:00:00"}')[0].reason


def test_bodies_in_ngsi_are_of_the_topics_device():
    body = '{"id":"MyEntityId1","type":"Streetlight","status":{"value":"ok","observedAt":"2018-09-21T12:00:00Z"}}'
    (one,) = read(body)
    assert (one.device, one.quantity) == ("id-sen1", "lamp_ok")


def test_ultralight_groups_have_their_own_time():
    outcome = read("2016-06-13T00:35:30Z|illuminance|100#dimming|0.5|battery|3", "/ul/ABCDEF/id_sen1/attrs")
    assert [(one.quantity, one.value, one.time_ms) for one in outcome] == [
        ("illuminance", 100.0, 1_465_778_130_000),
        ("dimming", 0.5, NOW),
    ]
    (one,) = read("10", "/ul/ABCDEF/id_sen1/attrs/illuminance")
    assert one.value == 10.0


@pytest.mark.parametrize(
    "topic",
    [
        "/json/SECRET/d/attrs",
        "/json/SECRET/d/attrs/x",
        "/json/SECRET/d/cmdexe",
        "/SECRET/d/cmd",
        "/SECRET",
        "/ul/SECRET/d",
    ],
)
@pytest.mark.parametrize("payload", ["hello", "{}", '{"h":1}', '{"type":"Streetlight"}', "[1]", ""])
def test_the_api_key_is_never_in_a_reason(topic, payload):
    for one in read(payload, topic) + read(payload, topic, [DialectRule(topic=topic)]):
        assert "secret" not in repr(one.reason).lower() if isinstance(one, Rejection) else "secret" not in one.device


@pytest.mark.parametrize("quantity", [name for name in QUANTITIES if quantity_named(name)])  # a histogram is no number
def test_every_quantity_is_an_attribute(quantity):
    (one,) = read(f'{{"{quantity}":1,"duration_s":60}}')
    assert isinstance(one, Measurement)
    assert one.quantity == quantity
