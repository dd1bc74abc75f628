"""What devices send to a FIWARE IoT Agent: JSON, and the older Ultralight.

Source: user manual of telefonicaid/iotagent-json (MQTT binding), iotagent-ul. A device publishes to
`/json/<api key>/<device>/attrs` an object or an array of objects (groups), to `.../attrs/<attribute>` a bare value or
an array of {timestamp, value}; bodies in NGSI are allowed there as well. Attributes bear the names of our quantities
and come in our units; others are passed over. The agent dates a measure without `TimeInstant` by its receipt, and so
do we. Its own examples write numbers as texts, which are read here.

The API key is a secret that all devices of a service share: it authenticates nobody and never stands in a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sensors.dialects import fiware
from sensors.dialects.parsing import number, parse_json, shown, spelt_number
from sensors.dialects.table import COUNTED, MAX_RECORDS, Dialect, Outcome, Source, collected
from sensors.dialects.times import MAX_DURATION_MS, instant
from sensors.errors import DecodeError
from sensors.quantities import QUANTITIES, Quantity, quantity_named

_TIME = "TimeInstant"  # of a group, in ISO 8601

Group = dict[str, Any]


def recognise(value: object, payload: bytes) -> bool:
    """Whether the content alone shows it: a group with its TimeInstant and a quantity of ours."""
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, dict) and _TIME in first and any(quantity_named(name) for name in first)


def read(source: Source, payload: bytes, received_ms: int) -> Outcome:
    """What a device's JSON says."""
    content = parse_json(payload)
    if fiware.recognise(content, payload):
        return fiware.read(source, payload, received_ms)
    attribute = _attribute(source)
    if attribute:
        return _read_groups(source, [{attribute: content}], received_ms)
    groups = content if isinstance(content, list) else [content]
    if not all(isinstance(group, dict) for group in groups):
        raise DecodeError("expected an object of attributes, or an array of them; a bare value needs .../attrs/NAME")
    return _read_groups(source, groups, received_ms)


def read_ultralight(source: Source, payload: bytes, received_ms: int) -> Outcome:
    """What a device's Ultralight says: groups between '#', each name|value|name|value with a time before it or not."""
    try:
        text = payload.decode("ascii").strip()
    except UnicodeDecodeError:
        raise DecodeError("Ultralight is plain text, and this is not") from None
    attribute = _attribute(source)
    if attribute:
        return _read_groups(source, [{attribute: text}], received_ms)
    groups = []
    for group in text.split("#")[: MAX_RECORDS + 1]:
        words = group.split("|")
        time = {_TIME: words.pop(0)} if len(words) % 2 else {}
        groups.append(time | dict(zip(words[::2], words[1::2], strict=True)))
    return _read_groups(source, groups, received_ms)


def _attribute(source: Source) -> str:
    """The attribute that a topic names after its level 'attrs', else what the settings say of bare values."""
    before, found, after = source.topic.rpartition("/attrs/")
    named = after if found and "/" not in after else ""
    return named if quantity_named(named) else (source.quantity if named or not before else "")


def _read_groups(source: Source, groups: list[Group], received_ms: int) -> Outcome:
    if not source.device:
        raise DecodeError(
            "no topic level names the device; give 'device' or 'device_level' in [[dialects]] of city.toml"
        )
    found = (one for group in groups for one in _read_group(group, received_ms))
    return collected((one if isinstance(one, str) else (source.device, *one) for one in found), "values")


Found = tuple[str, int, float, float]  # quantity, time_ms, value, duration_s


def _read_group(group: Group, received_ms: int) -> Iterator[Found | str]:
    quantities = {name: quantity for name in group if (quantity := quantity_named(name))}
    if not quantities:
        yield f"no attribute is a quantity of ours; expected one of {', '.join(QUANTITIES)}"
    for name, quantity in quantities.items():
        given = group[name]
        series = isinstance(given, list) and bool(given) and all(isinstance(one, dict) for one in given)
        for one in given if series else [group | {"value": given, "timestamp": group.get(_TIME)}]:
            try:
                yield _value(quantity, one, received_ms)
            except DecodeError as error:
                yield f"{quantity.name}: {error}"


def _value(quantity: Quantity, said: Group, received_ms: int) -> Found:
    """One value with its `timestamp` and `duration_s`, where it has them."""
    given, time = said.get("value"), said.get("timestamp")
    if isinstance(given, bool) and quantity.name == "lamp_ok":
        given = float(given)
    value = spelt_number(given)
    if value is None:
        raise DecodeError(f"{shown(given)} is not a number")
    duration = number(said.get("duration_s", 0.0))
    if duration is None or not 0 <= duration <= MAX_DURATION_MS / 1000:
        raise DecodeError(f"duration_s must be a number of seconds between 0 and {MAX_DURATION_MS // 1000}")
    if quantity.name in COUNTED and not duration:
        raise DecodeError("a count needs its interval; send duration_s beside it")
    return quantity.name, received_ms if time is None else instant(time), value, duration


JSON = Dialect("iot-agent-json", "FIWARE IoT Agent JSON", ("/json/+/+/attrs/#",), 4, recognise, read)
ULTRALIGHT = Dialect(
    "iot-agent-ultralight",
    "FIWARE IoT Agent Ultralight",
    ("/ul/+/+/attrs/#",),
    4,
    lambda value, payload: False,
    read_ultralight,
)
