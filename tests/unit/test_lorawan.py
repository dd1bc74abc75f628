"""Laws of LoRaWAN networks: the topic names the device, the frame is what counts, and a gateway leaves no trace."""

import base64
import copy
import json
from pathlib import Path

import pytest

from sensors.city import DialectRule
from sensors.dialects import decode
from sensors.exposure import cleaned, exposed
from sensors.wire import Measurement, Rejection
from tests.shared_data import shared_data

NOW = 1_795_212_005_000  # 2026-11-20T22:00:05Z
EXAMPLES = Path(__file__).parent / "examples"
WS302 = base64.b64encode(bytes.fromhex("017564055B053F02DA016A02")).decode()
TTS_TOPIC, CHIRP_TOPIC = "v3/app1@tenant1/devices/MIC-1/up", "application/17c82e96/device/0101010101010101/event/up"


def example(name):
    return json.loads((EXAMPLES / name).read_bytes())


@pytest.fixture
def stack():
    """The documentation's uplink of The Things Stack, with a frame that we read."""
    uplink = example("the-things-stack-uplink.json")
    uplink["uplink_message"] |= {"frm_payload": WS302, "f_port": 85}
    return uplink


@pytest.fixture
def chirp():
    """The documentation's uplink event of ChirpStack, with a frame that we read."""
    return example("chirpstack-up.json") | {"data": WS302, "fPort": 85}


def read(topic, content, *rules):
    return decode(topic, json.dumps(content).encode(), NOW, rules=rules)


def refused(topic, content, *rules):
    (one,) = read(topic, content, *rules)
    assert isinstance(one, Rejection)
    return one.reason


# ------------------------------------------------------------------------------------------------ the documentation


def test_the_documentations_frames_are_of_nobody_whom_we_know():
    assert "channel 82 41" in refused(TTS_TOPIC, example("the-things-stack-uplink.json"))
    assert "byte 0 begins a channel that is cut off" in refused(CHIRP_TOPIC, example("chirpstack-up.json"))


def test_other_events_hold_no_reading():
    assert "a join_accept holds no reading" in refused(TTS_TOPIC, example("the-things-stack-join-accept.json"))
    assert "no frame" in refused(CHIRP_TOPIC.replace("/up", "/status"), example("chirpstack-status.json"))


@pytest.mark.parametrize("name", ["join_accept.json", "uplink.json", "uplink_with_decoded_payload.json"])
def test_no_message_that_the_network_documents_makes_a_reading_of_itself(name):
    payload = (shared_data("payloads/ttn_v3") / name).read_bytes()
    assert all(isinstance(one, Rejection) for one in decode(TTS_TOPIC, payload, NOW))


# -------------------------------------------------------------------------------------------------- what is read


def test_a_sound_level_meter_speaks_through_either_network(stack, chirp):
    for topic, content, device, when in (
        (TTS_TOPIC, stack, "mic-1", 1_581_520_545_787),
        (CHIRP_TOPIC, chirp, "0101010101010101", 1_795_205_700_250),
    ):
        laeq, lamax = read(topic, content)
        assert (laeq.device, laeq.quantity, laeq.value, laeq.duration_s) == (device, "sound_laeq", 47.4, 600.0)
        assert (lamax.quantity, lamax.value, lamax.part) == ("sound_lamax", 61.8, 1)
        assert laeq.time_ms == lamax.time_ms == when


def test_a_rule_names_decoder_level_and_device(stack, chirp):
    pax = base64.b64encode(bytes([0, 7, 0, 3])).decode()
    stack["uplink_message"] |= {"frm_payload": pax, "f_port": 1}
    rule = DialectRule(topic="v3/+/devices/+/up", decoder="paxcounter-plain/120", devices={"MIC-1": "pax-1"})
    (one,) = read(TTS_TOPIC, stack, rule)
    assert (one.device, one.quantity, one.value, one.duration_s) == ("pax-1", "devices_seen", 10.0, 120.0)
    rule = DialectRule(topic="hub/up", dialect="chirpstack", devices={"0101010101010101": "mic-7"})
    assert read("hub/up", chirp, rule)[0].device == "mic-7"
    rule = DialectRule(topic="hub/up", devices={"dev1": "pax-1"}, decoder="paxcounter-plain")
    assert read("hub/up", stack, rule)[0].device == "pax-1"


def test_the_payload_names_nobody_whom_the_city_does_not_name(stack, chirp):
    rule = DialectRule(topic="hub/up", devices={"somebody": "mic-7"})
    assert "nothing names the device 'dev1' or '0004A30B001C0530'" in refused("hub/up", stack, rule)
    assert "'0101010101010101'" in refused("hub/up", chirp, rule)


def test_under_our_topic_a_frame_says_the_quantity_of_the_topic(stack):
    laeq, lamax = read("noctule/h/mic-1/sound-laeq", stack)
    assert isinstance(laeq, Measurement)
    assert "under the topic of 'sound_laeq'" in lamax.reason


# -------------------------------------------------------------------------------------------------- absent is absent


@pytest.mark.parametrize("gone", [None, ""])
def test_without_a_frame_there_is_no_reading_whatever_a_formatter_says(stack, chirp, gone):
    stack["uplink_message"] |= {"frm_payload": gone, "decoded_payload": {"LAeq": -32.0}}
    assert "no frame" in refused(TTS_TOPIC, stack)
    assert "no frame" in refused(CHIRP_TOPIC, chirp | {"data": gone, "object": {"LAeq": -32.0}})
    del stack["uplink_message"]["frm_payload"], chirp["data"]
    assert "no frame" in refused(TTS_TOPIC, stack)
    assert "no frame" in refused(CHIRP_TOPIC, chirp)


def test_a_port_that_is_left_out_is_port_zero(stack, chirp):
    del stack["uplink_message"]["f_port"], chirp["fPort"]
    assert [one.value for one in read(TTS_TOPIC, stack)] == [one.value for one in read(CHIRP_TOPIC, chirp)]
    chirp["data"] = "AAcAAw=="  # a Paxcounter's counts come by port 1 alone
    rule = DialectRule(topic="application/#", dialect="chirpstack", device_level=4, decoder="paxcounter-plain")
    assert "port 0" in refused(CHIRP_TOPIC, chirp, rule)
    assert read(CHIRP_TOPIC, chirp | {"fPort": 1}, rule)[0].value == 10


@pytest.mark.parametrize("simulated", [True, 1, "true"])
def test_what_a_console_simulated_is_refused(stack, simulated):
    assert "simulated" in refused(TTS_TOPIC, stack | {"simulated": simulated})
    assert len(read(TTS_TOPIC, stack | {"simulated": False})) == 2


def test_what_is_still_encrypted_is_not_read_as_if_it_were_not(stack, chirp):
    stack["uplink_message"]["app_s_key"] = {"kek_label": "x", "encrypted_key": "AQ=="}
    assert "encrypted" in refused(TTS_TOPIC, stack)
    assert "encrypted" in refused(CHIRP_TOPIC, chirp | {"joinServerContext": {"sessionKeyId": "AQ=="}})


@pytest.mark.parametrize("data", ["!", "AQ", "A" * 345, 7, True, ["AQ=="], {"v": "AQ=="}, "Aé=="])
def test_a_frame_that_is_no_base64_is_refused(stack, chirp, data):
    stack["uplink_message"]["frm_payload"] = data
    assert "base64" in refused(TTS_TOPIC, stack)
    assert "base64" in refused(CHIRP_TOPIC, chirp | {"data": data})


@pytest.mark.parametrize("port", [-1, 256, 1.5, "85", True, []])
def test_a_port_that_is_none_is_refused(stack, chirp, port):
    stack["uplink_message"]["f_port"] = port
    assert "port" in refused(TTS_TOPIC, stack)
    assert "port" in refused(CHIRP_TOPIC, chirp | {"fPort": port})


# -------------------------------------------------------------------------------------------------- times


def test_times_are_taken_in_the_order_that_is_documented(stack):
    message = stack["uplink_message"]
    message["decoded_payload"] = {"time": "2026-11-20T21:00:00+00:00"}
    message["normalized_payload"] = [{"air": {}}, {"time": "2026-11-20T21:00:01Z"}]
    message["settings"]["time"] = "2026-11-20T21:00:02Z"
    message["rx_metadata"] = [{"rssi": 1}, {"time": "2026-11-20T21:00:03Z"}]
    message["received_at"] = "2026-11-20T21:00:04.999999999Z"
    stack["received_at"] = "2026-11-20T21:00:05Z"
    begins, found = 1_795_208_400_000, []
    for path in (
        ("uplink_message", "decoded_payload"),
        ("uplink_message", "normalized_payload"),
        ("uplink_message", "settings"),
        ("uplink_message", "rx_metadata"),
        ("uplink_message", "received_at"),
        ("received_at",),
        ("end_device_ids",),
    ):
        found.append(read(TTS_TOPIC, stack)[0].time_ms)
        place = stack
        for name in path[:-1]:
            place = place[name]
        if path != ("end_device_ids",):
            del place[path[-1]]
    assert found[:4] == [begins, begins + 1000, begins + 2000, begins + 3000]
    assert found[4] in (begins + 4999, begins + 5000)
    assert found[5:] == [begins + 5000, NOW]


def test_chirpstack_dates_by_its_event_then_by_gateway_and_server(chirp):
    chirp |= {"time": "2026-11-20T21:00:00Z", "object": {"time": "22:00", "LAeq": 47.4}}
    chirp["rxInfo"] = [{"nsTime": "2026-11-20T21:00:02Z"}, {"gwTime": "2026-11-20T21:00:01Z"}]
    found = []
    for gone in ("time", "gwTime", "nsTime", ""):
        found.append(read(CHIRP_TOPIC, chirp)[0].time_ms - 1_795_208_400_000)
        chirp.pop(gone, None)
        chirp["rxInfo"] = [{k: v for k, v in one.items() if k != gone} for one in chirp["rxInfo"]]
    assert found == [0, 1000, 2000, NOW - 1_795_208_400_000]


def test_a_time_without_zone_is_refused_and_a_time_of_day_passed_over(stack):
    stack["uplink_message"]["decoded_payload"] = {"time": "2026-11-20T22:00:00"}
    assert "no zone" in refused(TTS_TOPIC, stack)
    for said in ("22:00:00", 1234, "since noon", None, {}):
        stack["uplink_message"]["decoded_payload"] = {"time": said}
        assert read(TTS_TOPIC, stack)[0].time_ms == 1_581_520_545_787


# -------------------------------------------------------------------------------------------------- exposure


def test_what_is_kept_of_an_uplink_makes_the_same_readings_and_names_no_gateway(stack, chirp):
    stack["uplink_message"]["rx_metadata"][0]["location"] = {"latitude": 60.17, "longitude": 24.94}
    chirp["rxInfo"][0] |= {"gwTime": "2026-11-20T21:00:01Z", "location": {"latitude": 60.17}}
    del stack["uplink_message"]["settings"]["time"], chirp["time"]
    for topic, content in ((TTS_TOPIC, stack), (CHIRP_TOPIC, chirp)):
        payload = json.dumps(content).encode()
        kept = cleaned(topic, payload)
        for word in (b"gtw1", b"9C5C8E00001A05C4", b"0016c001f153a14c", b"atitude", b"uplink_token", b"E3OWOQ"):
            assert word not in kept
        assert decode(topic, kept, NOW) == decode(topic, payload, NOW)
        assert cleaned(topic, kept) == kept


def test_the_senders_own_names_are_let_in_and_those_of_people_are_not(stack, chirp):
    stack["end_device_ids"] |= {"device_id": "24:E1:24:53:6C:01", "dev_eui": "24E124536C012345"}
    chirp["deviceInfo"] |= {"devEui": "24e124536c012345", "deviceName": "24:e1:24:53:6c:01"}
    for topic, content in ((TTS_TOPIC, stack), (CHIRP_TOPIC, chirp)):
        assert exposed(json.dumps(content).encode()) is None
        assert isinstance(read(topic, content)[0], Measurement)
    tracked = copy.deepcopy(stack)
    tracked["uplink_message"]["decoded_payload"] = {"macs": ["aa:bb:cc:dd:ee:01", "aa:bb:cc:dd:ee:02"]}
    (one,) = read(TTS_TOPIC, tracked)
    assert one.exposing
    (one,) = read(CHIRP_TOPIC, chirp | {"object": {"scan": [{"bssid": "aa:bb:cc:dd:ee:01", "rssi": -60}]}})
    assert one.exposing
