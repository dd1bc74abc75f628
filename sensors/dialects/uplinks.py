"""An uplink of LoRaWAN as any network server hands it over: a frame, the port it came by, and when.

A frame's own time dates its values, then a time that the network's formatter found in it, then the gateways', then the
servers'; last the receipt, since networks pass uplinks on at once. The device is whom the topic names; where the topic
names none, whom the settings say the payload's names are.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sensors.dialects.frame_values import Refused
from sensors.dialects.frames import read_frame
from sensors.dialects.parsing import shown
from sensors.dialects.table import Outcome, Source, measured, ours
from sensors.dialects.times import instant
from sensors.errors import DecodeError
from sensors.wire import Rejection

_LONGEST_FRAME = 344  # characters of base64; LoRaWAN carries at most 242 bytes, and 255 with its header
_PORTS = range(256)
_DATED = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:")  # a formatter's `time` may also be a time of day or of running


class Uplink(NamedTuple):
    """What a network server says of one uplink, as it stands in the message."""

    names: tuple[object, ...]  # by which the payload calls the device
    data: object  # base64 of the frame
    port: object  # left out where it is 0
    decoded: object  # what the network's formatter made of the frame
    times: tuple[object, ...]  # when it was received, the best first; None where one is not there


def read_uplink(source: Source, uplink: Uplink, received_ms: int) -> Outcome:
    """What the frame of an uplink says of the device that sent it."""
    device = ours(source, *uplink.names)
    if not device:
        names = " or ".join(shown(name) for name in uplink.names if name)
        raise DecodeError(
            f"nothing names the device {names}: give its [[dialects]] in city.toml a 'device_level', or name it in "
            "'devices' there"
        )
    values = read_frame(source.decoder, _bytes(uplink.data), _port(uplink.port), uplink.decoded)
    time_ms = _time(uplink, received_ms)
    return [
        Rejection(one.reason, part)
        if isinstance(one, Refused)
        else measured(
            device,
            one.quantity,
            time_ms if one.time_ms is None else one.time_ms,
            one.value,
            one.duration_s,
            part,
        )
        for part, one in enumerate(values)
    ]


def listed(given: object, names: Iterable[str]) -> Iterator[object]:
    """What the objects of an array say under some names, in order of the names."""
    objects = [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
    return (one[name] for name in names for one in objects if one.get(name) is not None)


def member(content: Any, *names: str) -> Any:
    """What stands at a path of members; None where it does not."""
    for name in names:
        content = content.get(name) if isinstance(content, Mapping) else None
    return content


def _bytes(data: object) -> bytes:
    if data is None or data == "":
        raise DecodeError("the uplink has no frame, so it holds no reading")
    if not isinstance(data, str) or len(data) > _LONGEST_FRAME:
        raise DecodeError(f"the frame must be base64 of at most 255 bytes, found {shown(data)}")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise DecodeError(f"the frame is not base64: {shown(data)}") from None


def _port(port: object) -> int:
    if port is None:
        return 0
    if isinstance(port, bool) or not isinstance(port, int) or port not in _PORTS:
        raise DecodeError(f"the port must be a whole number below 256, found {shown(port)}")
    return port


def _time(uplink: Uplink, received_ms: int) -> int:
    own = (member(uplink.decoded, name) for name in ("time", "timestamp"))
    dated = [said for said in own if isinstance(said, str) and _DATED.match(said)]
    said = next((time for time in (*dated, *uplink.times) if time is not None), None)
    return received_ms if said is None else instant(said)
