"""What Noctule makes of one message, in words that a person or a script reads: the command `noctule decode`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from ingest.intake import Row, as_records
from ingest.screening import Screen
from sensors.city import City, DialectRule
from sensors.dialects import decode, matches
from sensors.flags import names
from sensors.night import rfc3339
from sensors.quantities import HISTOGRAM, QUANTITIES
from sensors.register import SiteRegister
from sensors.wire import Measurement

NO_BASIS = "counting radio devices needs its legal basis: [privacy] devices_seen_basis in city.toml is empty"


def outcomes(
    topic: str,
    payload: bytes,
    received_ms: int,
    root: str = "noctule",
    *,
    city: City | None = None,
    decoder: str = "",
) -> list[dict[str, Any]]:
    """One entry for each measurement or rejection, in the order of the message.

    A measurement has device, quantity, time (RFC 3339, UTC, ms), value, unit, duration_s and flags (names); a
    rejection has rejected (true) and reason. Without a city this is about the message alone.

    Parameters
    ----------
    root : str
        First level of our own topics; a city's own instead, where one is given.
    city : City, optional
        Its `[[dialects]]` and its legal basis hold, and a measurement that its site register does not take has a
        `note` that says why.
    decoder : str
        How the bytes of a LoRaWAN frame are read, instead of what the city says.
    """
    rules: Sequence[DialectRule] = city.settings.dialects if city else ()
    if decoder:
        said = next((rule for rule in rules if matches(rule.topic, topic)), DialectRule(topic=topic))
        rules = [msgspec.structs.replace(said, topic=topic, decoder=decoder)]
    found = decode(topic, payload, received_ms, city.settings.broker.root if city else root, rules)
    measurements = [outcome for outcome in found if isinstance(outcome, Measurement)]
    records = as_records([_row(measurement, received_ms) for measurement in measurements])
    flags = iter(Screen().flags(records).tolist())
    register = SiteRegister.load(city) if city and measurements else None
    entries: list[dict[str, Any]] = []
    for outcome in found:
        if not isinstance(outcome, Measurement):
            part = "" if outcome.part is None else f"record {outcome.part}: "
            entries.append({"rejected": True, "reason": part + outcome.reason})
            continue
        entry = _entry(outcome, next(flags))
        if city and outcome.quantity == "devices_seen" and not city.settings.privacy.devices_seen_basis:
            entry = {"rejected": True, "reason": f"record {outcome.part}: {NO_BASIS}"}
        elif register and (note := _note(register, outcome)):
            entry["note"] = note
        entries.append(entry)
    return entries


def _entry(measurement: Measurement, flags: int) -> dict[str, Any]:
    return {
        "device": measurement.device,
        "quantity": measurement.quantity,
        "time": rfc3339(np.datetime64(measurement.time_ms, "ms")),
        "value": measurement.value,
        "unit": measurement.unit,
        "duration_s": measurement.duration_s,
        "flags": names(flags),
    } | ({"from_db": measurement.part} if measurement.quantity == HISTOGRAM else {})


def _note(register: SiteRegister, measurement: Measurement) -> str:
    """Why the register would not take a measurement; '' when it would."""
    device, quantity = measurement.device, measurement.quantity
    if not register.device_known(device):
        return f"device '{device}' is not in the site register; add it with 'noctule site add'"
    if register.site(device, quantity, measurement.time_ms) is None:
        known = ", ".join(register.quantities_of(device))
        return f"device '{device}' has no site for {quantity} at this time; the register has {known} of it"
    return ""


def _row(measurement: Measurement, received_ms: int) -> Row:
    code = QUANTITIES[measurement.quantity].code
    message = (measurement.boot, measurement.seq, measurement.part)
    return (measurement.time_ms, received_ms, 0, code, measurement.value, measurement.duration_s, 0, *message)


def received_at(text: str) -> int:
    """An RFC 3339 time with its offset as ms since 1970; now when it is empty.

    >>> received_at("2026-11-20T22:00:00Z")
    1795212000000
    """
    if not text:
        return int(time.time() * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"'{text}' is no time; write it like 2026-11-20T22:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"'{text}' has no offset; write it like {text}Z or {text}+02:00")
    return round(moment.astimezone(UTC).timestamp() * 1000)
