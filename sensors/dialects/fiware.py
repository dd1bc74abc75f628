"""FIWARE smart data models: NGSI-v2 normalized and key-values, NGSI-LD normalized, concise and key-values.

Sources: smart-data-models dataModel.Streetlighting, .Environment and .Transportation (schemas of 2024-2026), NGSI-v2,
ETSI GS CIM 009 (NGSI-LD). What is read of each entity type, and why the rest is not:

* Streetlight, StreetlightGroup: `illuminanceLevel` (0..1, a relative setting, not lux) is `dimming`. Without it
  `powerState` is: off 0, on 1; low and bootingUp name no level. A lamp that is off gives no light, whatever its
  setting: off is dimming 0, and the setting is then `dimming_command`. `status` ok is `lamp_ok` 1, defectiveLamp and
  brokenLantern 0; columnIssue says nothing of the lamp. `powerConsumption` and `voltage` have no unit in the schema
  and are taken only where the message states one.
* NoiseLevelObserved: `LAeq`, `LAmax` (and `LAmin`, `LA10`, `LA50`, `LA90`, which cities add). `LAS` is a level of
  about one second, not one of the interval; `LAeq_d` belongs to a day, not to the interval of its message.
* NoisePollution: `Laeq2`, `Lamax2`, by definition of the two hours before `dateObservedTo`.
* CrowdFlowObserved: `peopleCount`, `peopleCountTowards`, `peopleCountAway` as `people_flow`, `people_in`,
  `people_out`. ItemFlowObserved: `intensity` where `itemType` is people. A count without its interval is refused;
  `occupancy` is a share of time and never people.

The schema's numbers must be numbers. Texts of the schema (`heightAverage`) are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sensors.dialects.parsing import number, parse_json, shown
from sensors.dialects.table import COUNTED, MAX_RECORDS, Dialect, Outcome, Source, measured
from sensors.dialects.times import between, instant, interval
from sensors.dialects.units import factor
from sensors.errors import DecodeError
from sensors.wire import Rejection

_LIGHTS = ("Streetlight", "StreetlightGroup")
_TYPES = (*_LIGHTS, "NoiseLevelObserved", "NoisePollution", "CrowdFlowObserved", "ItemFlowObserved")

# Attribute -> quantity, by entity type; lights have rules of their own below.
_TAKEN = {
    "NoiseLevelObserved": {
        "LAeq": "sound_laeq",
        "LAmax": "sound_lamax",
        "LAmin": "sound_lamin",
        "LA10": "sound_la10",
        "LA50": "sound_la50",
        "LA90": "sound_la90",
    },
    "NoisePollution": {"Laeq2": "sound_laeq", "Lamax2": "sound_lamax"},
    "CrowdFlowObserved": {
        "peopleCount": "people_flow",
        "peopleCountTowards": "people_in",
        "peopleCountAway": "people_out",
    },
    "ItemFlowObserved": {"intensity": "people_flow"},
}
_TWO_HOURS_S = 7200.0
_PEOPLE = {"people", "person", "pedestrian", "pedestrians"}
_LAMP_OK = {"ok": 1.0, "defectivelamp": 0.0, "brokenlantern": 0.0}
_POWERED = {"off": 0.0, "on": 1.0}


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of an entity, whichever representation it came in."""

    value: Any
    unit: str = ""
    time: object = None  # when it was observed, where it says so itself
    problem: str = ""  # why its value cannot be had


def recognise(value: object, payload: bytes) -> bool:
    """Whether the content is entities, or a notification or batch of them."""
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, dict):
        return False
    inner = first.get("data") or first.get("entities") or first.get("features")
    if isinstance(inner, list) and inner and {"subscriptionId", "actionType", "type"} & first.keys():
        first = inner[0]
    if not isinstance(first, dict):
        return False
    if isinstance(first.get("properties"), dict) and first.get("type") == "Feature":
        return _type_of(first["properties"]) in _TYPES
    typed = isinstance(first.get("id"), str) and isinstance(first.get("type"), str | list)
    return _type_of(first) in _TYPES or (typed and ("@context" in first or first["id"].startswith("urn:ngsi-ld:")))


def read(source: Source, payload: bytes, received_ms: int) -> Outcome:
    """What the entities of a message measured; nothing is dated by its receipt, since brokers send old values."""
    entities = list(_entities(parse_json(payload)))
    if not entities:
        raise DecodeError("the message holds no NGSI entity (an object with 'type')")
    if len(entities) > MAX_RECORDS:
        raise DecodeError(f"the message holds {len(entities)} entities; at most {MAX_RECORDS} are read")
    lights = {str(entity.get("id")) for entity in entities if _type_of(entity) in _LIGHTS}
    if source.device and len(lights) > 1:
        raise DecodeError(
            f"the message holds {len(lights)} lights and its topic names one device; give [[dialects]] in city.toml "
            "their names in 'devices' instead of a device"
        )
    outcome: Outcome = []
    said: dict[tuple[str, str, int, float], str] = {}
    for entity in entities:
        for one in _read_entity(entity, source):
            part = len(outcome)
            if isinstance(one, str):
                outcome.append(Rejection(one, part))
                continue
            device, quantity, time_ms, value, duration_s = one
            name, key = str(entity.get("id")), (device, quantity, time_ms, duration_s)
            if said.setdefault(key, name) != name:
                outcome.append(Rejection(f"another entity of the message says {quantity} for the same time", part))
            else:
                outcome.append(measured(device, quantity, time_ms, value, duration_s, part))
    return outcome


Reading = tuple[str, str, int, float, float]  # device, quantity, time_ms, value, duration_s


def _entities(content: Any) -> Iterator[dict[str, Any]]:
    """The entities of a content: one, several, a notification, a batch, or GeoJSON features."""
    if isinstance(content, list):
        for one in content:
            yield from _entities(one)
    elif isinstance(content, dict):
        for name in ("data", "entities", "features"):
            if isinstance(content.get(name), list) and _type_of(content) not in _TYPES:
                yield from _entities(content[name])
                return
        properties = content.get("properties")
        if content.get("type") == "Feature" and isinstance(properties, dict):
            yield {"id": content.get("id"), **properties}
        elif "type" in content or "@type" in content:
            yield content


def _type_of(entity: dict[str, Any]) -> str:
    """The entity's type by its short name; an expanded one ends in it."""
    given = entity.get("type", entity.get("@type"))
    names = given if isinstance(given, list) else [given]
    short = [name.rsplit("/", 1)[-1].rsplit("#", 1)[-1] for name in names if isinstance(name, str)]
    return next((name for name in short if name in _TYPES), short[0] if short else "")


def _read_entity(entity: dict[str, Any], source: Source) -> Iterator[Reading | str]:
    kind = _type_of(entity)
    if kind not in _TYPES:
        yield f"entity type {shown(kind)} is not read; expected one of {', '.join(_TYPES)}"
        return
    attributes = {name.rsplit("/", 1)[-1]: _attribute(value) for name, value in entity.items()}
    device = _device(entity, attributes, source)
    if not device:
        yield (
            f"entity {shown(entity.get('id', ''))} has no device: the topic names none; name it in 'devices' of "
            "[[dialects]] in city.toml"
        )
        return
    found = list(_light(attributes) if kind in _LIGHTS else _observed(kind, attributes))
    if not found:
        wanted = ("illuminanceLevel", "powerState", "status") if kind in _LIGHTS else tuple(_TAKEN[kind])
        yield f"{kind} has none of {', '.join(wanted)}"
    for one in found:
        yield one if isinstance(one, str) else (device, *one)


def _device(entity: dict[str, Any], attributes: dict[str, Attribute], source: Source) -> str:
    """Our name: the topic's device; else what the settings call the entity or the device it refers to."""
    if source.device:
        return source.device
    refers = attributes["refDevice"].value if "refDevice" in attributes else None
    if isinstance(refers, list) and len(refers) == 1:
        refers = refers[0]
    names = (entity.get("id"), refers)
    return next((source.devices[name] for name in names if isinstance(name, str) and name in source.devices), "")


Found = tuple[str, int, float, float]  # quantity, time_ms, value, duration_s


def _observed(kind: str, attributes: dict[str, Attribute]) -> Iterator[Found | str]:
    """What an observation over an interval says."""
    if kind == "ItemFlowObserved":
        item = attributes.get("itemType", Attribute(None)).value
        if not isinstance(item, str) or item.lower() not in _PEOPLE:
            yield f"itemType {shown(item)} is not people"
            return
    for name, quantity in _TAKEN[kind].items():
        if name not in attributes:
            continue
        try:
            value = _number(name, attributes[name], quantity)
            if kind == "NoisePollution":
                time_ms, duration_s = _end(attributes, attributes[name]), _TWO_HOURS_S
            else:
                time_ms, duration_s = _when(attributes, attributes[name])
        except DecodeError as error:
            yield f"{name}: {error}"
            continue
        if quantity in COUNTED and not duration_s:
            yield f"{name}: a count needs its interval; dateObservedFrom and dateObservedTo are not both there"
            continue
        yield quantity, time_ms, value, duration_s


def _light(attributes: dict[str, Attribute]) -> Iterator[Found | str]:
    """What a lamp, or a group of lamps, says."""
    state = attributes.get("powerState")
    powered = _POWERED.get(state.value.lower()) if state and isinstance(state.value, str) else None
    level = attributes.get("illuminanceLevel")
    if state and powered is not None and (level is None or powered == 0.0):
        since = attributes.get("dateLastSwitchingOn" if powered else "dateLastSwitchingOff")
        yield from _state("powerState", "dimming", powered, attributes, state, since)
    elif state and level is None:
        yield f"powerState {shown(state.value)} names no level, and illuminanceLevel is not there"
    if level:
        try:
            value = _number("illuminanceLevel", level, "dimming")
        except DecodeError as error:
            yield f"illuminanceLevel: {error}"
        else:
            quantity = "dimming_command" if powered == 0.0 else "dimming"
            yield from _state("illuminanceLevel", quantity, value, attributes, level, None)
    status = attributes.get("status")
    if status:
        word = status.value
        works = _LAMP_OK.get(word.lower()) if isinstance(word, str) else None
        if works is None:
            yield f"status {shown(word)} does not say whether the lamp works; expected ok, defectiveLamp, brokenLantern"
        else:
            yield from _state("status", "lamp_ok", works, attributes, status, None)
    for name, quantity, code in (("powerConsumption", "power", "WTT"), ("voltage", "supply_voltage", "VLT")):
        given = attributes.get(name)
        if given is None or (name == "voltage" and not given.unit):
            continue
        if not given.unit:
            yield f"{name} states no unit and the schema has none; send it with unitCode '{code}'"
            continue
        try:
            yield from _state(name, quantity, _number(name, given, quantity), attributes, given, None)
        except DecodeError as error:
            yield f"{name}: {error}"


def _state(
    name: str,
    quantity: str,
    value: float,
    attributes: dict[str, Attribute],
    own: Attribute,
    since: Attribute | None,
) -> Iterator[Found | str]:
    """A state at its time; where the message has none, at the moment it says the state began."""
    try:
        try:
            yield quantity, _end(attributes, own), value, 0.0
        except _TimelessError:
            if since is None:
                raise
            yield quantity, instant(since.value), value, 0.0
    except DecodeError as error:
        yield f"{name}: {error}"


class _TimelessError(DecodeError):
    """The message says no time at all."""


def _end(attributes: dict[str, Attribute], own: Attribute) -> int:
    return _when(attributes, own)[0]


def _when(attributes: dict[str, Attribute], own: Attribute) -> tuple[int, float]:
    """End (ms) and length (s) of what an attribute was observed over.

    The attribute's own time wins, with the length of the entity's interval; then dateObservedFrom and -To, which are
    preferred to dateObserved because the models' own examples write the latter without a zone; then the entity's
    times of observation; last the broker's time of change.
    """
    start, end = (_given(attributes, name) for name in ("dateObservedFrom", "dateObservedTo"))
    span = between(instant(start), instant(end)) if start is not None and end is not None else None
    if own.time is not None:
        return instant(own.time), span[1] if span else 0.0
    if span:
        return span
    if end is not None:
        return instant(end), 0.0
    if start is not None:
        raise DecodeError("dateObservedFrom is there and dateObservedTo is not, so it is not known when it ended")
    for name in ("dateObserved", "observationDateTime", "TimeInstant", "dateModified", "modifiedAt"):
        if (given := _given(attributes, name)) is not None:
            return interval(given)
    raise _TimelessError("the message says no time (dateObservedTo, dateObserved, observationDateTime or observedAt)")


def _given(attributes: dict[str, Attribute], name: str) -> object:
    return attributes[name].value if name in attributes else None


def _number(name: str, attribute: Attribute, quantity: str) -> float:
    """The value in our unit; DecodeError when it is no number or in a unit that is not the quantity's."""
    if attribute.problem:
        raise DecodeError(attribute.problem)
    value = number(attribute.value)
    if value is None:
        raise DecodeError(f"{shown(attribute.value)} is not a number")
    if not attribute.unit:
        return value
    return value * factor(quantity, attribute.unit)


def _attribute(given: Any) -> Attribute:
    """An attribute in any representation: normalized, concise or plain value."""
    if isinstance(given, list) and given and all(isinstance(one, dict) and "value" in one for one in given):
        # NGSI-LD multi-attribute (4.5.5): the instance without datasetId is the default one.
        default = [one for one in given if "datasetId" not in one]
        return _attribute(default[0]) if len(default) == 1 else Attribute(None, problem="it has several values")
    if not isinstance(given, dict):
        return Attribute(given)
    if "@value" in given:
        return Attribute(given["@value"])
    if "value" not in given:
        return Attribute(given.get("object", given))
    value = given["value"]
    if isinstance(value, dict) and "@value" in value:
        value = value["@value"]
    metadata = given.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    unit = _attribute(given.get("unitCode", metadata.get("unitCode", ""))).value
    times = (given.get("observedAt"), *(metadata.get(name) for name in ("TimeInstant", "timestamp", "observedAt")))
    time = next((_attribute(one).value for one in times if one is not None), None)
    return Attribute(value, unit if isinstance(unit, str) else "?", time)


DIALECT = Dialect("ngsi", "FIWARE NGSI-v2 and NGSI-LD", (), 0, recognise, read)
