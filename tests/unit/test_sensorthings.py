"""Laws of the SensorThings dialect: the city says what a Datastream is, and a stated unit must be the quantity's."""

import json
from pathlib import Path

import pytest

from sensors.city import DialectRule
from sensors.dialects import decode
from sensors.wire import Measurement, Rejection

EXAMPLES = Path(__file__).with_name("examples")
NOW = 1_790_000_000_000
RULE = DialectRule(
    topic="v1.1/#",
    datastreams={
        "5": "mic-1/sound_laeq",
        "14": "lux-2/illuminance",
        "6": "counter-3/people_flow",
        "7": "lamp-1/lamp_ok",
        "8/0": "mic-2/sound_laeq",
        "8/2": "mic-2/sound_lamax",
        "kerb 9": "lux-3/illuminance",
    },
)
MINUTE = "2026-11-20T21:59:00Z/2026-11-20T22:00:00Z"


def example(name):
    return json.loads((EXAMPLES / f"sensorthings-{name}.json").read_text("utf-8"))


def read(content, topic="v1.1/Datastreams(5)/Observations", rules=(RULE,)):
    return decode(topic, json.dumps(content).encode(), NOW, rules=rules)


def test_the_topic_names_the_datastream_and_the_city_says_what_it_is():
    (one,) = read(example("observation"))
    assert (one.device, one.quantity, one.value, one.time_ms) == ("mic-1", "sound_laeq", 49.0, 1_602_411_194_000)


def test_without_the_citys_word_a_datastream_is_nothing():
    (one,) = read(example("observation"), rules=())
    assert "'5'" in one.reason
    assert "[[dialects]]" in one.reason


def test_an_observation_without_time_is_dated_by_its_receipt():
    (one,) = read(example("linked"), "v1.1/Observations")
    assert (one.device, one.value, one.time_ms) == ("lux-2", 21.0, NOW)


@pytest.mark.parametrize("datastream", ["'kerb 9'", "kerb 9"])
def test_ids_may_be_texts(datastream):
    (one,) = read({"result": 3, "resultTime": "2026-11-20T22:00:00Z"}, f"v1.1/Datastreams({datastream})/Observations")
    assert (one.device, one.time_ms) == ("lux-3", 1_795_212_000_000)


def test_a_payload_that_links_elsewhere_than_its_topic_is_refused():
    (one,) = read(example("linked"))
    assert "'14'" in one.reason


def test_a_temperature_is_no_light():
    (one,) = read(example("expanded"), "v1.1/Observations")
    assert "°C" in one.reason


@pytest.mark.parametrize(
    ("symbol", "taken"), [("dB(A)", True), ("dBA", True), ("dB", True), ("dB(C)", False), ("°C", False), ("", True)]
)
def test_a_stated_unit_is_held_against_the_quantity(symbol, taken):
    link = {"@iot.id": 5, "unitOfMeasurement": {"name": None, "symbol": symbol, "definition": None}}
    (one,) = read({"result": 61, "phenomenonTime": MINUTE, "Datastream": link}, "v1.1/Observations?$expand=Datastream")
    assert isinstance(one, Measurement) is taken


def test_an_interval_gives_its_end_and_length():
    (one,) = read({"result": 61, "phenomenonTime": MINUTE})
    assert (one.time_ms, one.duration_s) == (1_795_212_000_000, 60.0)


def test_a_count_needs_its_interval():
    topic = "v1.1/Datastreams(6)/Observations"
    assert "interval" in read({"result": 12, "phenomenonTime": "2026-11-20T22:00:00Z"}, topic)[0].reason
    assert read({"result": 12, "phenomenonTime": MINUTE}, topic)[0].value == 12.0


@pytest.mark.parametrize("result", ["61", None, True, {"a": 1}])
def test_a_result_that_is_no_number_is_refused(result):
    (one,) = read({"result": result, "phenomenonTime": MINUTE})
    assert isinstance(one, Rejection)


def test_a_truth_says_whether_a_lamp_works():
    (one,) = read({"result": False, "phenomenonTime": MINUTE}, "v1.1/Datastreams(7)/Observations")
    assert (one.quantity, one.value) == ("lamp_ok", 0.0)


@pytest.mark.parametrize("quality", ["bad", 4, {"code": "missing"}])
def test_what_its_own_source_calls_bad_is_refused(quality):
    (one,) = read({"result": 61, "phenomenonTime": MINUTE, "resultQuality": quality})
    assert "bad" in one.reason
    assert isinstance(read({"result": 61, "phenomenonTime": MINUTE, "resultQuality": "good"})[0], Measurement)


@pytest.mark.parametrize("time", ["2026-11-20T22:00:00", "2026-11-20T22:00:00Z/..", "yesterday", 17, ""])
def test_a_time_that_is_none_is_refused(time):
    (one,) = read({"result": 61, "phenomenonTime": time})
    assert isinstance(one, Rejection)


def test_a_multidatastream_has_a_place_for_each_result():
    link = {"@iot.id": 8, "unitOfMeasurements": [{"symbol": "dB(A)"}, {"symbol": "°C"}, {"symbol": "dB(A)"}]}
    outcome = read({"result": [61, 20, 75], "phenomenonTime": MINUTE, "MultiDatastream": link}, "v1.1/Observations")
    assert [(one.quantity, one.value) for one in outcome] == [("sound_laeq", 61.0), ("sound_lamax", 75.0)]


def test_a_data_array_is_its_rows():
    array = {
        "Datastream": {"@iot.id": 5},
        "components": ["phenomenonTime", "result"],
        "dataArray@iot.count": 3,
        "dataArray": [["2026-11-20T22:00:00Z", 61], ["2026-11-20T22:01:00Z", 62], ["2026-11-20T22:02:00Z"]],
    }
    outcome = read([array], "v1.1/Observations")
    assert [one.value for one in outcome[:2]] == [61.0, 62.0]
    assert isinstance(outcome[2], Rejection)


def test_under_our_own_topic_an_observation_needs_no_datastream():
    (one,) = read({"result": 61, "phenomenonTime": MINUTE}, "noctule/helsinki/mic-9/sound-laeq", ())
    assert (one.device, one.quantity) == ("mic-9", "sound_laeq")
