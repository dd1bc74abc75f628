"""What a dialect is: a line of the table in `sensors.dialects.routing`, and who is speaking when it is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sensors.errors import DecodeError
from sensors.quantities import QUANTITIES
from sensors.reading import NO_SEQ
from sensors.wire import Measurement, Rejection

Outcome = list[Measurement | Rejection]
Said = tuple[str, str, int, float, float]  # device, quantity, time (ms since 1970, UTC), value, duration_s
COUNTED = frozenset(
    ("people_flow", "people_in", "people_out")
)  # mean nothing without the interval they were counted in
MAX_RECORDS = 5_000  # of one message, as in a SenML pack: it is a message of devices, not an archive


@dataclass(frozen=True, slots=True)
class Source:
    """Who speaks, as the topic and the city's settings say; never as the payload says."""

    topic: str
    device: str = ""  # our name for it; '' where only the payload could name it: then `devices` must know that name
    devices: Mapping[str, str] = field(default_factory=dict)  # their name = ours
    quantity: str = ""  # what bare values measure; '' where neither topic nor settings say
    decoder: str = ""  # how the bytes of a LoRaWAN frame are read
    datastreams: Mapping[str, str] = field(default_factory=dict)  # SensorThings id = device/quantity


@dataclass(frozen=True, slots=True)
class Dialect:
    """A way of saying readings: by what it is recognised, and how it is read.

    `recognise` gets the parsed JSON (None when the payload is none) and the payload; `read` gets source, payload and
    the time of receipt in ms since 1970, UTC, and raises DecodeError when nothing of the message can be read.
    """

    name: str  # as city.toml writes it
    title: str  # for people
    filters: tuple[str, ...]  # topics by which it is recognised without a rule
    device_level: int  # level of those topics that names the device, counted from 1; 0 when none does
    recognise: Callable[[object, bytes], bool]
    read: Callable[[Source, bytes, int], Outcome]


def measured(
    device: str, quantity: str, time_ms: int, value: float, duration_s: float = 0.0, part: int = 0
) -> Measurement:
    """A measurement of a device that numbers nothing; `part` is the record's place in its message."""
    unit = QUANTITIES[quantity].unit
    return Measurement(device, quantity, time_ms, value, unit, duration_s, boot=0, seq=NO_SEQ, part=part)


def collected(found: Iterable[Said | str], what: str) -> Outcome:
    """What a reader found in a message, one after the other: measurements, or the reason why one is none.

    what : what they are called in the refusal of a message that holds too many of them
    """
    outcome: Outcome = []
    for part, one in enumerate(found):
        if part >= MAX_RECORDS:
            raise DecodeError(f"the message holds more than {MAX_RECORDS} {what}")
        outcome.append(Rejection(one, part) if isinstance(one, str) else measured(*one, part))
    return outcome


def device_name(text: str) -> str:
    """Their name for a device in our spelling: lower case, and a hyphen for whatever a topic of ours may not hold.

    >>> device_name("urn:ngsi-ld:Streetlight:Lamp_07")
    'urn-ngsi-ld-streetlight-lamp-07'
    """
    return re.sub(r"[^a-z0-9-]", "-", text.lower())


def ours(source: Source, *theirs: object) -> str:
    """Our name for what a payload calls by any of `theirs`: the topic's device, else the settings'; '' if neither.

    >>> ours(Source("hub/up", devices={"4711": "mic-1"}), None, 4711)
    'mic-1'
    """
    names = (str(name) for name in theirs if isinstance(name, int | str))
    return source.device or next((source.devices[name] for name in names if name in source.devices), "")
