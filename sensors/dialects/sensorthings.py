"""OGC SensorThings 1.0 and 1.1 Observations, as a server hands them over and as devices publish them.

Sources: OGC 18-088 as FROST-Server documents and tests it. `v1.1/Datastreams(5)/Observations` names its Datastream in
the topic; under `v1.1/Observations` the payload links to it. Either way city.toml says which device and quantity a
Datastream is (`datastreams`). Under a topic that names both, neither is asked for.

`phenomenonTime` (an instant, or start/end) dates a result, then `resultTime`; the standard dates an Observation that
has neither by its receipt. A stated unit must be the quantity's; a result that its own source calls bad is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sensors.dialects.parsing import number, parse_json, shown
from sensors.dialects.table import COUNTED, Dialect, Outcome, Source, collected
from sensors.dialects.times import interval
from sensors.dialects.units import factor
from sensors.errors import DecodeError
from sensors.quantities import quantity_named

_ADDRESSED = re.compile(r"(?:^|/)(Multi)?Datastreams\('?([^()']{1,100})'?\)/Observations")
_LINKS = ("Datastream", "MultiDatastream")
_SHOWS = {"phenomenonTime", "resultTime", "FeatureOfInterest", "resultQuality", "@iot.id", *_LINKS}
_BAD = {"bad", "fail", "failed", "invalid", "missing", "4", "9"}  # words, and QARTOD's numbers for fail and missing

Observation = dict[str, Any]


def recognise(value: object, payload: bytes) -> bool:
    """Whether the content is an Observation, several, or a data array of them."""
    first = next(_raw(value), None)
    return first is not None and bool(_SHOWS & first.keys())


def read(source: Source, payload: bytes, received_ms: int) -> Outcome:
    """What the Observations of a message say."""
    observations = _raw(parse_json(payload))
    outcome = collected(
        (one for said in observations for one in _read_observation(said, source, received_ms)), "results"
    )
    if not outcome:
        raise DecodeError("the message holds no Observation (an object with 'result')")
    return outcome


def _raw(content: Any) -> Iterator[Observation]:
    """The Observations of a content: one, an array, a page of a collection, or data arrays."""
    if isinstance(content, list):
        for one in content:
            if isinstance(one, dict):  # no array within an array: it would be no Observation
                yield from _raw(one)
    elif isinstance(content, dict):
        components, rows = content.get("components"), content.get("dataArray")
        if isinstance(components, list) and isinstance(rows, list):
            link = {name: content[name] for name in _LINKS if name in content}
            for row in rows:
                said = dict(zip(map(str, components), row, strict=False)) if isinstance(row, list) else {}
                yield {**link, "result": None, **said, "phenomenonTime": said.get("phenomenonTime")}
        elif "result" in content:
            yield content
        elif isinstance(content.get("value"), list):
            yield from _raw(content["value"])


Reading = tuple[str, str, int, float, float]  # device, quantity, time_ms, value, duration_s


def _read_observation(observation: Observation, source: Source, received_ms: int) -> Iterator[Reading | str]:
    result = observation["result"]
    try:
        datastream = _datastream(observation, source)
        time_ms, duration_s = _when(observation, received_ms)
        _check_quality(observation.get("resultQuality"))
        if not isinstance(result, list):
            device, quantity = _target(datastream, source)
            unit = _unit(observation, None)
            yield device, quantity, time_ms, _value(result, quantity, unit, duration_s), duration_s
            return
        known = [at for at in range(min(len(result), 100)) if f"{datastream}/{at}" in source.datastreams]
        if not known:
            raise DecodeError(
                f'no result of MultiDatastream {shown(datastream)} is named; write "{datastream}/0" = '
                '"DEVICE/QUANTITY" under datastreams of [[dialects]] in city.toml'
            )
        for at in known:
            device, quantity = _target(f"{datastream}/{at}", source)
            value = _value(result[at], quantity, _unit(observation, at), duration_s)
            yield device, quantity, time_ms, value, duration_s
    except DecodeError as error:
        yield str(error)


def _datastream(observation: Observation, source: Source) -> str:
    """The id of the Datastream: as the topic says, else as the payload links; '' where neither does."""
    linked = ""
    for name in _LINKS:
        link = observation.get(name)
        if isinstance(link, dict):
            given = link.get("@iot.id", link.get("id"))
            linked = str(given) if isinstance(given, int | str) else ""
    addressed = _ADDRESSED.search(source.topic)
    if addressed is None:
        return linked
    if linked and linked != addressed[2]:
        raise DecodeError(f"the payload links to Datastream {shown(linked)} under the topic of {shown(addressed[2])}")
    return addressed[2]


def _target(datastream: str, source: Source) -> tuple[str, str]:
    """Device and quantity of a Datastream, by the settings or by the topic."""
    said = source.datastreams.get(datastream, "") if datastream else ""
    device, quantity = said.rsplit("/", 1) if "/" in said else (source.device, said or source.quantity)
    named = quantity_named(quantity)
    if not device or named is None:
        raise DecodeError(
            f"nothing says what Datastream {shown(datastream or '?')} is; write it in city.toml, under datastreams of "
            '[[dialects]], as "ID" = "DEVICE/QUANTITY"'
        )
    return device, named.name


def _when(observation: Observation, received_ms: int) -> tuple[int, float]:
    for name in ("phenomenonTime", "resultTime"):
        if (given := observation.get(name)) is not None:
            return interval(given)
    return received_ms, 0.0


def _value(result: object, quantity: str, unit: str, duration_s: float) -> float:
    if isinstance(result, bool) and quantity == "lamp_ok":  # OM_TruthObservation
        result = float(result)
    value = number(result)
    if value is None:
        raise DecodeError(f"result {shown(result)} is not a number")
    if quantity in COUNTED and not duration_s:
        raise DecodeError(f"{quantity} needs its interval; send phenomenonTime as start/end")
    return value * factor(quantity, unit) if unit else value


def _unit(observation: Observation, at: int | None) -> str:
    """The unit that an expanded Datastream states, by its symbol, else by its name; '' when it states none."""
    for name in _LINKS:
        link = observation.get(name)
        if not isinstance(link, dict):
            continue
        unit = link.get("unitOfMeasurement") if at is None else link.get("unitOfMeasurements")
        if at is not None and isinstance(unit, list):
            unit = unit[at] if at < len(unit) else None
        if isinstance(unit, dict):
            stated = unit.get("symbol") or unit.get("name") or ""
            return stated if isinstance(stated, str) else "?"
    return ""


def _check_quality(quality: object) -> None:
    said = next(iter(quality.values()), None) if isinstance(quality, dict) and len(quality) == 1 else quality
    if isinstance(said, str | int) and str(said).lower() in _BAD:
        raise DecodeError(f"its own source calls the result bad (resultQuality {shown(said)})")


DIALECT = Dialect("sensorthings", "OGC SensorThings", ("v1.0/#", "v1.1/#"), 0, recognise, read)
