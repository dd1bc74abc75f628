"""What Noctule makes of one message, in words that a person or a script reads: the command `noctule decode`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ingest.intake import Row, as_records
from ingest.screening import Screen
from sensors.dialects import decode
from sensors.flags import names
from sensors.night import rfc3339
from sensors.quantities import QUANTITIES
from sensors.wire import Measurement


def outcomes(topic: str, payload: bytes, received_ms: int, root: str = "noctule") -> list[dict[str, Any]]:
    """One entry for each measurement or rejection, in the order of the message.

    A measurement has device, quantity, time (RFC 3339, UTC, ms), value, unit, duration_s and flags (names); a
    rejection has rejected (true) and reason. The site register is not asked: this is about the message alone.
    """
    found = decode(topic, payload, received_ms, root)
    measurements = [outcome for outcome in found if isinstance(outcome, Measurement)]
    records = as_records([_row(measurement, received_ms) for measurement in measurements])
    flags = iter(Screen().flags(records).tolist())
    entries: list[dict[str, Any]] = []
    for outcome in found:
        if not isinstance(outcome, Measurement):
            part = "" if outcome.part is None else f"record {outcome.part}: "
            entries.append({"rejected": True, "reason": part + outcome.reason})
            continue
        entries.append(
            {
                "device": outcome.device,
                "quantity": outcome.quantity,
                "time": rfc3339(np.datetime64(outcome.time_ms, "ms")),
                "value": outcome.value,
                "unit": outcome.unit,
                "duration_s": outcome.duration_s,
                "flags": names(next(flags)),
            }
        )
    return entries


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
