"""Noise of Sensor.Community: a DNMS sound level meter on a node that otherwise counts dust.

Sources: airrohr-firmware of opendata-stuttgart/sensors-software and of hbitter/DNMS for what a node sends, and the API
of data.sensor.community for what bridges fetch. Values are texts. `DNMS_noise_LAeq`, `_LA_min` and `_LA_max` (without
`DNMS_` in the API) are A-weighted levels over the time since the node sent last: `interval`, in ms, among the values;
145 s as delivered. The extremes are those of short levels (35 ms, later 125 ms). A node has no clock, so what it sends
is dated by its receipt; `timestamp` of the API has no zone and is UTC (feinstaub-api #25, meta #65). Dust, climate and
positions are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sensors.dialects.parsing import parse_json, shown, spelt_number
from sensors.dialects.table import Dialect, Outcome, Source, collected, ours
from sensors.dialects.times import MAX_DURATION_MS, instant
from sensors.errors import DecodeError

_TAKEN = {"noise_LAeq": "sound_laeq", "noise_LA_min": "sound_lamin", "noise_LA_max": "sound_lamax"}
_NODE = "DNMS_"  # how a node begins these names
_INTERVAL_MS = 145_000.0
_NAIVE = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d")  # of the API, UTC

Message = dict[str, Any]


def recognise(value: object, payload: bytes) -> bool:
    """Whether the content is a node's message, or an array of them."""
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, dict) and isinstance(first.get("sensordatavalues"), list)


def read(source: Source, payload: bytes, received_ms: int) -> Outcome:
    """The levels of a message, or of an array of them."""
    content = parse_json(payload)
    messages = content if isinstance(content, list) else [content]
    return collected((one for message in messages for one in _read_message(source, message, received_ms)), "values")


Reading = tuple[str, str, int, float, float]  # device, quantity, time_ms, value, duration_s


def _read_message(source: Source, message: Any, received_ms: int) -> Iterator[Reading | str]:
    try:
        values = _values(message)
        levels = {name: given for name, given in values.items() if name in _TAKEN}
        if not levels:
            raise DecodeError(f"none of the values is a noise level; expected one of {', '.join(_TAKEN)}")
        device = _device(source, message)
        time_ms = _time(message.get("timestamp"), received_ms)
        duration_s = _duration(values.get("interval"))
    except DecodeError as error:
        yield str(error)
        return
    for name, given in levels.items():
        value = spelt_number(given)
        if value is None:
            yield f"{name}: {shown(given)} is not a number"
        else:
            yield device, _TAKEN[name], time_ms, value, duration_s


def _values(message: object) -> dict[str, object]:
    """Value by its type, without what a node puts before the names."""
    given = message.get("sensordatavalues") if isinstance(message, dict) else None
    if not isinstance(given, list):
        raise DecodeError("expected an object with an array 'sensordatavalues'")
    values: dict[str, object] = {}
    for one in given:
        kind = one.get("value_type") if isinstance(one, dict) else None
        if not isinstance(kind, str):
            raise DecodeError("each of 'sensordatavalues' must be an object with 'value_type' and 'value'")
        name = kind.removeprefix(_NODE)
        if name in values and name in _TAKEN:
            raise DecodeError(f"{name} stands twice in 'sensordatavalues'")
        values[name] = one.get("value")
    return values


def _device(source: Source, message: Message) -> str:
    sensor = message.get("sensor")
    names = [message.get(name) for name in ("esp8266id", "esp32id", "raspiid")]
    names.append(sensor.get("id") if isinstance(sensor, dict) else None)
    device = ours(source, *names)
    if not device:
        said = next((name for name in names if name is not None), "?")
        raise DecodeError(
            f"node {shown(said)} has no device: the topic names none; name it in 'devices' of [[dialects]] in city.toml"
        )
    return device


def _time(timestamp: object, received_ms: int) -> int:
    if timestamp is None:
        return received_ms
    if isinstance(timestamp, str) and _NAIVE.fullmatch(timestamp):
        return instant(f"{timestamp}Z")
    return instant(timestamp)


def _duration(interval_ms: object) -> float:
    given = spelt_number(_INTERVAL_MS if interval_ms is None else interval_ms)
    if given is None or not 0 < given <= MAX_DURATION_MS:
        raise DecodeError(f"interval {shown(interval_ms)} must be milliseconds, up to seven days")
    return given / 1000


DIALECT = Dialect("sensor-community", "Sensor.Community noise (DNMS)", (), 0, recognise, read)
