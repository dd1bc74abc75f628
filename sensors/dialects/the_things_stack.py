"""Uplinks of The Things Stack v3, as its MQTT server and its webhooks hand them over.

Source: lorawan-stack-docs, Data Formats and MQTT Server. Members that are empty, zero or false are left out: without
`f_port` the port is 0, and without `frm_payload` there is no frame, hence no reading, whatever `decoded_payload` says:
formatters have made -32 degrees of nothing (lorawan-devices #421). The frame's bytes are what is read;
`decoded_payload` tells a time and the byte order of a Paxcounter only.

Times: the frame's, the formatter's, `settings.time`, the gateways' `time`, then `received_at` of the network server and
of the application server. `simulated` uplinks come from a console and not from a device.
"""

from __future__ import annotations

from sensors.dialects.parsing import parse_json, shown
from sensors.dialects.table import Dialect, Outcome, Source
from sensors.dialects.uplinks import Uplink, listed, member, read_uplink
from sensors.errors import DecodeError

# What else an application is told of its devices.
_EVENTS = (
    *("join_accept", "uplink_normalized", "location_solved", "service_data"),
    *("downlink_ack", "downlink_nack", "downlink_sent", "downlink_failed", "downlink_queued"),
    "downlink_queue_invalidated",
)


def recognise(value: object, payload: bytes) -> bool:
    """Whether the content says which end device it is about."""
    return isinstance(member(value, "end_device_ids"), dict)


def read(source: Source, payload: bytes, received_ms: int) -> Outcome:
    """What the frame of an uplink says."""
    content = parse_json(payload)
    uplink = member(content, "uplink_message")
    if not isinstance(uplink, dict):
        event = next((name for name in _EVENTS if member(content, name) is not None), "")
        raise DecodeError(f"a {event} holds no reading" if event else "the message has no uplink_message")
    if (said := content.get("simulated") or uplink.get("simulated")) not in (None, False):
        raise DecodeError(f"the uplink was simulated in a console (simulated {shown(said)}); no device sent it")
    if uplink.get("app_s_key") is not None:
        raise DecodeError(
            "the frame is still encrypted (app_s_key); let The Things Stack decrypt the device's payloads"
        )
    ids = member(content, "end_device_ids")
    times = (
        next(listed(uplink.get("normalized_payload"), ("time",)), None),
        member(uplink, "settings", "time"),
        next(listed(uplink.get("rx_metadata"), ("time", "received_at")), None),
        uplink.get("received_at"),
        content.get("received_at"),
    )
    names = (member(ids, "device_id"), member(ids, "dev_eui"))
    taken = (uplink.get("frm_payload"), uplink.get("f_port"), uplink.get("decoded_payload"))
    return read_uplink(source, Uplink(names, *taken, times), received_ms)


DIALECT = Dialect("the-things-stack", "The Things Stack v3 (LoRaWAN)", ("v3/+/devices/+/up",), 4, recognise, read)
