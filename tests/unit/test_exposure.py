"""Laws of the door: nothing that identifies observed people passes in any wrapping, and honest senders are let in."""

import base64
import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.exposure import MAX_DEPTH, cleaned, exposed

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(60)
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(60)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)

FORBIDDEN = [
    {"mac": "aa:bb:cc:dd:ee:ff"},
    {"macs": ["a8b1"]},
    {"client_mac": "x"},
    {"wifi": {"stations": [{"bssid": "0c:47:c9:00:11:22", "rssi": -70}]}},
    {"probes": [{"ssid": "home", "t": 1}]},
    {"probeRequests": ["x"]},
    {"probe_request_list": [1]},
    {"mac_hash": "5f4dcc3b5aa765d61d8327deb882cf99"},
    {"seen": ["aa:bb:cc:dd:ee:ff"]},
    {"seen": ["AA-BB-CC-DD-EE-FF", "AA-BB-CC-DD-EE-00"]},
    {"seen": ["aabb.ccdd.eeff"]},
    {"seen": ["a8bb12dd90ff", "0047c9aa1122"]},
    {"seen": "a8bb12dd90ff,0047c9aa1122"},
    {"aa:bb:cc:dd:ee:ff": -70},
    {"devices": [{"id": "aa:bb:cc:dd:ee:01"}, {"id": "aa:bb:cc:dd:ee:02"}]},
    {"licensePlate": "ABC-123"},
    {"number_plates": ["ABC-123"]},
    {"vehiclePlateIdentifier": "3456ABC"},
    {"faces": [{"x": 1}]},
    {"faceEmbedding": [0.1, 0.2]},
    {"embeddings": [[0.1]]},
    {"imei": 356938035643809},
    {"IMSI": "310150123456789"},
    {"audio": base64.b64encode(WAV).decode()},
    {"snapshot": "https://example.org/1.jpg"},
    {"blob": base64.b64encode(JPEG).decode()},
    {"blob": base64.urlsafe_b64encode(PNG).decode()},
    {"blob": JPEG.hex()},
    {"blob": list(JPEG)},
    {"x": "see data:image/png;base64,AAAA"},
    {"data": base64.b64encode(JPEG * 10).decode()},
    {"person_id": "p-17"},
]
HARMLESS = [
    [{"n": "people_flow", "u": "count", "v": 41, "t": 1795208400, "duration_s": 900, "boot": 3, "seq": 812}],
    [{"bn": "urn:dev:mac:0024befffe804ff1/", "n": "voltage", "u": "V", "v": 0}],
    [{"bn": "urn:dev:ow:10e2073a01080063:", "n": "temp", "v": 1}],
    {"end_device_ids": {"device_id": "dev1", "dev_eui": "0004A30B001C0530", "dev_addr": "00BCB929"}},
    {"device_id": "AA:BB:CC:DD:EE:FF", "id": "aa-bb-cc-dd-ee-ff", "v": 3},
    {"devEui": "00:04:a3:0b:00:1c:05:30"},
    {"frm_payload": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQ==", "f_port": 85},
    {"faces": 3, "probes": 7, "camera": "off", "audio": False, "image": None, "video": ""},
    {"mac_version": "MAC_V1_0_3", "macSettings": {"rx1_delay": 5}, "macCommand": 2},
    {"surface": "asphalt", "interface": "eth0", "plateau": 4, "template": "x", "imaginary": 1.5},
    {"t": "2026-11-20T22:00:00Z", "from": "22:00:00", "date": "2026-11-20"},
    {"correlation_ids": ["as:up:01E0WZGT6Y7657CPFPE5WEYDSQ", "3ac7e3c4-4401-4b8d-9386-a5c902f9202d"]},
    {"n": [202611232200, 202611232201], "t": ["202611232200", "202611232201"]},
    {"coordinates": [24.9384, 60.1699], "v": [255, 216, 255, 0.5] * 10},
]


def wrappings(value):
    text = json.dumps(value)
    yield text.encode()
    yield json.dumps([{"a": {"b": [0, value]}}]).encode()
    yield json.dumps({"message": text}).encode()
    yield json.dumps({"message": json.dumps({"inner": text})}).encode()
    yield cbor2.dumps(value)
    yield cbor2.dumps({1: [value]})
    yield cbor2.dumps({"payload": text})
    yield cbor2.dumps([1]) + cbor2.dumps(value)


@pytest.mark.parametrize("value", FORBIDDEN, ids=str)
def test_what_identifies_observed_people_is_found_in_every_wrapping(value):
    for payload in wrappings(value):
        assert exposed(payload), payload


@pytest.mark.parametrize("value", HARMLESS, ids=str)
def test_what_identifies_nobody_is_let_in(value):
    for payload in (json.dumps(value).encode(), cbor2.dumps(value)):
        assert exposed(payload) is None
    assert exposed(json.dumps(value).encode(), value) is None


@pytest.mark.parametrize(
    "payload",
    [JPEG, WAV, PNG, b"\x00\x00\x00\x18ftypmp42" + bytes(40), cbor2.dumps({"x": JPEG}), base64.b64encode(JPEG)],
)
def test_media_are_found_as_bytes(payload):
    assert exposed(payload)


def test_a_reason_names_the_member_and_never_its_value():
    reason = exposed(b'{"a":{"client_mac":"aa:bb:cc:dd:ee:ff"}}')
    assert "client_mac" in reason
    assert "aa:bb" not in reason
    assert "ee:ff" not in exposed(b'{"aa:bb:cc:dd:ee:ff":1}')


def test_a_member_that_stands_twice_hides_nothing():
    assert exposed(b'{"macs":["a8:b1"],"macs":0}')


def test_a_message_that_cannot_be_read_is_judged_by_its_words():
    assert exposed(b'{"macs":["a8:b1"')
    assert exposed(b"a8:bb:12:dd:90:ff -70\n")
    assert exposed(b"22:00:00 41 passed") is None


def test_what_lies_too_deep_to_be_seen_is_refused():
    assert exposed(b"[" * (MAX_DEPTH + 5) + b"]" * (MAX_DEPTH + 5))
    assert exposed(b"[" * 100_000)  # neither read nor believed
    shared = cbor2.loads(cbor2.dumps([1]))
    for _ in range(24):
        shared = [shared, shared]
    assert exposed(b"x", shared)


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_door(payload):
    assert exposed(payload) is None or isinstance(exposed(payload), str)
    assert isinstance(cleaned("v3/a/devices/b/up", payload), bytes)


UPLINK = {
    "end_device_ids": {"device_id": "dev1", "dev_eui": "0004A30B001C0530"},
    "uplink_message": {
        "frm_payload": "gkHe",
        "rx_metadata": [
            {
                "gateway_ids": {"gateway_id": "gtw1", "eui": "9C5C8E00001A05C4"},
                "time": "2020-02-12T15:15:45.787Z",
                "rssi": -35,
                "location": {"latitude": 60.1, "longitude": 24.9},
                "uplink_token": "ChIKEA",
            }
        ],
        "locations": {"user": {"latitude": 60.1, "longitude": 24.9}},
        "settings": {"time": "2020-02-12T15:15:45.787Z"},
    },
}
CHIRP = {
    "deviceInfo": {"devEui": "0101010101010101"},
    "data": "qg==",
    "rxInfo": [{"gatewayId": "0016c001f153a14c", "gwTime": "2022-07-18T09:34:15Z", "location": {"latitude": 1.5}}],
}


@pytest.mark.parametrize("uplink", [UPLINK, CHIRP], ids=["the-things-stack", "chirpstack"])
def test_gateways_leave_no_trace_but_their_times(uplink):
    kept = cleaned("v3/app/devices/dev1/up", json.dumps(uplink).encode())
    for word in (b"atitude", b"gtw1", b"9C5C8E00001A05C4", b"0016c001f153a14c", b"ChIKEA"):
        assert word not in kept
    again = json.loads(kept)
    for name in ("end_device_ids", "deviceInfo", "data"):
        assert again.get(name) == uplink.get(name)
    assert b"2020-02-12T15:15:45.787Z" in kept or b"2022-07-18T09:34:15Z" in kept
    assert cleaned("v3/app/devices/dev1/up", kept) == kept


def test_an_escaped_name_hides_no_gateway():
    payload = json.dumps(UPLINK).replace("rx_metadata", "rx\\u005fmetadata").encode()
    assert b"gtw1" not in cleaned("lamps/7/up", payload)


@pytest.mark.parametrize("payload", [b"not json", b"[1, 2]", b'{"v": 1.50, "location": {"type": "Point"}}', b"\xa1"])
def test_what_has_no_gateway_stays_byte_for_byte(payload):
    assert cleaned("lamps/7/up", payload) == payload
