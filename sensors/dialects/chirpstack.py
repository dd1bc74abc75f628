"""Uplink events of ChirpStack v4, as its MQTT integration hands them over in JSON.

Source: chirpstack-docs, Event types, and integration.proto. Zeros and empty members are left out, as Protocol Buffers
has it: without `fPort` the port is 0, without `data` there is no frame, hence no reading. The frame's bytes are what is
read; `object`, the codec's opinion, tells a time and the byte order of a Paxcounter only.

Times: the frame's, the codec's, `time` of the event, then the gateways' `gwTime` and their servers' `nsTime`.
"""

from __future__ import annotations

from sensors.dialects.parsing import parse_json
from sensors.dialects.table import Dialect, Outcome, Source
from sensors.dialects.uplinks import Uplink, listed, member, read_uplink
from sensors.errors import DecodeError


def recognise(value: object, payload: bytes) -> bool:
    """Whether the content says which device it is about."""
    return member(value, "deviceInfo", "devEui") is not None


def read(source: Source, payload: bytes, received_ms: int) -> Outcome:
    """What the frame of an uplink event says."""
    content = parse_json(payload)
    if not recognise(content, payload):
        raise DecodeError("the message has no deviceInfo with a devEui, so it is no event of ChirpStack v4")
    if content.get("joinServerContext"):
        raise DecodeError("the frame is still encrypted (joinServerContext); ChirpStack must have the device's AppSKey")
    info = content["deviceInfo"]
    times = (content.get("time"), next(listed(content.get("rxInfo"), ("gwTime", "nsTime")), None))
    uplink = Uplink((info["devEui"],), content.get("data"), content.get("fPort"), content.get("object"), times)
    return read_uplink(source, uplink, received_ms)


DIALECT = Dialect("chirpstack", "ChirpStack v4 (LoRaWAN)", ("application/+/device/+/event/up",), 4, recognise, read)
