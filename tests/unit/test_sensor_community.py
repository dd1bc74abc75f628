"""Laws of Sensor.Community: values are texts, levels are over the node's interval, dust is not noise."""

import json

import pytest

from sensors.city import DialectRule
from sensors.dialects import decode
from sensors.wire import Measurement, Rejection

NOW = 1_795_212_005_000  # 2026-11-20T22:00:05Z
# As airrohr-firmware writes what it sends to an address of one's own.
NODE = {
    "esp8266id": "12345678",
    "software_version": "NRZ-2020-133-DNMS-4.3",
    "sensordatavalues": [
        {"value_type": "SDS_P1", "value": "4.20"},
        {"value_type": "DNMS_noise_LAeq", "value": "55.31"},
        {"value_type": "DNMS_noise_LA_min", "value": "45.10"},
        {"value_type": "DNMS_noise_LA_max", "value": "71.02"},
        {"value_type": "samples", "value": "5026314"},
        {"value_type": "interval", "value": "150000"},
        {"value_type": "signal", "value": "-62"},
    ],
}
# As data.sensor.community answers, shortened.
API = {
    "id": 12345678901,
    "timestamp": "2026-11-20 21:58:11",
    "sensor": {"id": 50038, "pin": "15", "sensor_type": {"name": "Laerm"}},
    "location": {"latitude": "60.17", "longitude": "24.94", "indoor": 0},
    "sensordatavalues": [
        {"id": 1, "value": "49.9", "value_type": "noise_LAeq"},
        {"id": 2, "value": "60.1", "value_type": "noise_LA_max"},
    ],
}


def read(content, topic="nodes/mic-4", *rules):
    return decode(topic, json.dumps(content).encode(), NOW, rules=rules)


def values(*pairs):
    return NODE | {"sensordatavalues": [{"value_type": kind, "value": value} for kind, value in pairs]}


def test_a_node_says_three_levels_over_its_interval():
    assert [(m.device, m.quantity, m.value, m.time_ms, m.duration_s) for m in read(NODE)] == [
        ("mic-4", "sound_laeq", 55.31, NOW, 150.0),
        ("mic-4", "sound_lamin", 45.1, NOW, 150.0),
        ("mic-4", "sound_lamax", 71.02, NOW, 150.0),
    ]


def test_the_interval_is_the_usual_where_none_is_said():
    (one,) = read(values(("DNMS_noise_LAeq", "55.3")))
    assert one.duration_s == 145.0


def test_the_apis_answer_is_dated_in_utc():
    rule = DialectRule(topic="bridge/api", dialect="sensor-community", devices={"50038": "mic-4"})
    laeq, lamax = read([API], "bridge/api", rule)
    assert (laeq.device, laeq.quantity, laeq.value, laeq.time_ms) == ("mic-4", "sound_laeq", 49.9, 1_795_211_891_000)
    assert (lamax.quantity, lamax.value) == ("sound_lamax", 60.1)
    for said in ("2026-11-20T21:58:11Z", "2026-11-20T23:58:11+02:00"):
        assert read([API | {"timestamp": said}], "bridge/api", rule)[0].time_ms == laeq.time_ms


def test_a_node_that_the_city_does_not_name_is_refused():
    rule = DialectRule(topic="bridge/api", devices={"50038": "mic-4", "12345678": "mic-5"})
    assert read(NODE, "bridge/api", rule)[0].device == "mic-5"
    (one,) = read(NODE | {"esp8266id": "9"}, "bridge/api", rule)
    assert "node '9' has no device" in one.reason


def test_one_message_of_an_array_that_is_wrong_leaves_the_others():
    outcome = read([NODE, API | {"timestamp": "yesterday"}, 7, API])
    assert [type(one) for one in outcome] == [Measurement] * 3 + [Rejection] * 2 + [Measurement] * 2
    assert [one.part for one in outcome] == list(range(7))


@pytest.mark.parametrize("value", ["", "nan", "-inf", "1,5", "55.3 dB", None, True, [], {}, "9" * 400, "1e999"])
def test_a_text_that_spells_no_number_is_refused_alone(value):
    wrong, right = read(values(("DNMS_noise_LAeq", value), ("DNMS_noise_LA_max", "71")))
    assert isinstance(wrong, Rejection)
    assert right.value == 71.0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (values(("SDS_P1", "4.2")), "none of the values is a noise level"),
        (values(("DNMS_noise_LAeq", "55"), ("noise_LAeq", "56")), "stands twice"),
        (values(("DNMS_noise_LAeq", "55"), ("interval", "0")), "interval"),
        (values(("DNMS_noise_LAeq", "55"), ("interval", "x")), "interval"),
        (NODE | {"sensordatavalues": [1]}, "value_type"),
        (NODE | {"sensordatavalues": []}, "none of the values"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_message_that_says_no_level_is_refused_with_its_reason(content, reason):
    (one,) = read(content)
    assert reason in one.reason
