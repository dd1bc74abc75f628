"""Our own contract with devices: topics, and SenML packs with three extra members.

A device publishes `ROOT/CITY/DEVICE/QUANTITY` at QoS 1: lower-case ASCII letters, digits and hyphens. The payload is a
SenML pack (RFC 8428, JSON or CBOR). Its first record may carry `boot` (how often the device started) and `seq` (its
message number); any record may carry `duration_s`, the length of the interval that ends at its time. A record's `n`
names its quantity; without it the topic does, and a mismatch refuses that record. `ROOT/CITY/DEVICE/status` is
retained and set to offline by the last will.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cbor2
import msgspec

from sensors.histogram import bins_of
from sensors.quantities import HISTOGRAM, QUANTITIES, Quantity, is_histogram, quantity_named, topic_name
from sensors.reading import NO_SEQ
from sensors.senml import Record, parse_pack, resolve

MAX_PAYLOAD = 262_144  # bytes; also the MaximumPacketSize that we announce
STATUS = "status"
_LEVEL = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")  # an underscore is read as a hyphen: people_flow, people-flow
_MAX_DURATION_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of ours, taken apart."""

    root: str
    city: str
    device: str
    leaf: str  # a quantity or 'status'


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value as a device sent it, in our quantities and units."""

    device: str
    quantity: str
    time_ms: int  # UTC, end of the interval
    value: float
    unit: str
    duration_s: float
    boot: int
    seq: int
    part: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a message, or one record of it, was refused."""

    reason: str
    part: int | None = None
    exposing: bool = False  # the message identifies observed people, so nothing else of it may be kept


@dataclass(frozen=True, slots=True)
class Sample:
    """What a device has to say: a value of a quantity over the interval that ends at its time."""

    quantity: str
    time_ms: int
    value: float
    duration_s: float = 0.0


def parse_topic(topic: str) -> Topic | None:
    """The parts of a topic of ours, or None when it is not one.

    >>> parse_topic("noctule/helsinki/counter-3/people-flow").leaf
    'people-flow'
    """
    levels = topic.split("/")
    if len(levels) != 4 or not all(_LEVEL.fullmatch(level) for level in levels):
        return None
    return Topic(*levels)


def quantity_topic(root: str, city: str, device: str, quantity: str) -> str:
    """Where a device publishes a quantity.

    >>> quantity_topic("noctule", "helsinki", "counter-3", "people_flow")
    'noctule/helsinki/counter-3/people-flow'
    """
    return f"{root}/{city}/{device}/{topic_name(quantity)}"


def status_topic(root: str, city: str, device: str) -> str:
    """Where a device says whether it is online, retained."""
    return f"{root}/{city}/{device}/{STATUS}"


def encode_status(state: str, boot: int, time_ms: int) -> bytes:
    """The payload of a status topic; `state` is 'online' or 'offline'."""
    return msgspec.json.encode({"state": state, "boot": boot, "time": time_ms / 1000})


def encode_pack(samples: Sequence[Sample], boot: int, seq: int, *, cbor: bool = False) -> bytes:
    """A SenML pack of the samples, as JSON or CBOR."""
    records: list[dict[str, Any]] = []
    for sample in samples:
        quantity = QUANTITIES[sample.quantity]
        record: dict[str, Any] = {
            "n": sample.quantity,
            "u": quantity.senml_units[0],
            "v": sample.value,
            "t": sample.time_ms / 1000,
        }
        if sample.duration_s:
            record["duration_s"] = sample.duration_s
        records.append(record)
    records[0] |= {"boot": boot, "seq": seq}
    if not cbor:
        return msgspec.json.encode(records)
    labels = {"n": 0, "u": 1, "v": 2, "t": 6}
    return cbor2.dumps([{labels.get(name, name): value for name, value in record.items()} for record in records])


def decode_pack(topic: Topic, payload: bytes, received_ms: int) -> list[Measurement | Rejection]:
    """What our own wire says in one message; DecodeError when nothing of it can be read.

    Parameters
    ----------
    received_ms : int
        When the message was received, ms since 1970, UTC; relative times refer to it.
    """
    pack = parse_pack(payload)
    boot, seq, problem = _numbers(pack[0])
    if problem is not None:
        return [Rejection(problem)]
    named = quantity_named(topic.leaf)
    records = resolve(pack, received_ms / 1000)
    if is_histogram(topic.leaf):
        return _histogram(records, topic.device, boot, seq)
    if named is None and topic.leaf:
        return [Rejection(f"topic names '{topic.leaf}'; expected one of {_expected()}")]
    return [
        _measurement(record, topic.device, named, boot, seq) for record in records if not _is_base_only(record, pack)
    ]


def _measurement(record: Record, device: str, named: Quantity | None, boot: int, seq: int) -> Measurement | Rejection:
    part = record.part
    if record.problem is not None:
        return Rejection(record.problem, part)
    # A base name is the device's own (RFC 8428 7: urn:dev:...), so only the record's own name says what it measures.
    last = re.split(r"[:/]", record.own_name)[-1]
    quantity = named if not last else quantity_named(last)
    if quantity is None:
        said = f"'{last}'" if last else "no quantity"
        return Rejection(f"record names {said}; expected one of {_expected()}", part)
    if named is not None and quantity is not named:
        return Rejection(f"record names '{quantity.name}' under the topic of '{named.name}'", part)
    if record.unit and record.unit not in quantity.senml_units:
        return Rejection(f"{quantity.name} came in '{record.unit}'; expected '{quantity.senml_units[0]}'", part)
    value = record.value
    if value is None and record.truth is not None and quantity.name == "lamp_ok":
        value = float(record.truth)
    if value is None:
        return Rejection("record has no number in 'v'", part)
    if not math.isfinite(value) or abs(value) > 3e38:
        return Rejection("value is not a finite number", part)
    duration = record.extra.get("duration_s", 0.0)
    if (wrong := _wrong_interval(record, duration)) is not None:
        return wrong
    return Measurement(
        device=device,
        quantity=quantity.name,
        time_ms=round(record.time_s * 1000),
        value=value,
        unit=quantity.unit,
        duration_s=float(duration),
        boot=boot,
        seq=seq,
        part=part,
    )


def _wrong_interval(record: Record, duration: object) -> Rejection | None:
    if isinstance(duration, bool) or not isinstance(duration, int | float) or not 0 <= duration <= _MAX_DURATION_S:
        return Rejection(f"duration_s must be a number of seconds between 0 and {_MAX_DURATION_S:.0f}", record.part)
    if not -62e9 < record.time_s < 250e9:
        return Rejection("time is outside what a calendar holds", record.part)
    return None


def _histogram(records: list[Record], device: str, boot: int, seq: int) -> list[Measurement | Rejection]:
    """One record, as a measurement for each decibel that lasted: its part is the decibel, its value the seconds."""
    if seq == NO_SEQ:
        return [Rejection(f"{HISTOGRAM} needs 'seq': without it bins of one interval cannot be told apart")]
    if len(records) != 1:
        return [Rejection(f"{len(records)} records under {HISTOGRAM}; a message holds one histogram")]
    record = records[0]
    if record.problem is not None:
        return [Rejection(record.problem, 0)]
    last = re.split(r"[:/]", record.own_name)[-1]
    if last and not is_histogram(last):
        return [Rejection(f"record names '{last}' under the topic of '{HISTOGRAM}'", 0)]
    if record.unit and record.unit != "s":
        return [Rejection(f"{HISTOGRAM} came in '{record.unit}'; expected 's'", 0)]
    duration = record.extra.get("duration_s", 0.0)
    if (wrong := _wrong_interval(record, duration)) is not None:
        return [wrong]
    bins = bins_of(record.extra, float(duration))
    if isinstance(bins, str):
        return [Rejection(bins, 0)]
    time_ms = round(record.time_s * 1000)
    return [
        Measurement(device, HISTOGRAM, time_ms, float(count), "s", float(duration), boot, seq, decibel)
        for decibel, count in bins
    ] or [Rejection("no second of the histogram is valid", 0)]


def _numbers(first: dict[str, Any]) -> tuple[int, int, str | None]:
    """Boot and seq of the message; without `seq` the message is not numbered."""
    boot, seq = first.get("boot", 0), first.get("seq", NO_SEQ)
    for name, number in (("boot", boot), ("seq", seq)):
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**32:
            return 0, NO_SEQ, f"'{name}' must be a whole number below 2**32"
    return boot, seq, None


def _is_base_only(record: Record, pack: list[dict[str, Any]]) -> bool:
    """A first record that only sets base fields is no measurement."""
    content = set(pack[record.part]) - {"boot", "seq"}
    return record.problem is None and bool(content) and content <= {"bn", "bt", "bu", "bv", "bs", "bver"}


def _expected() -> str:
    return ", ".join(f"'{name}'" for name in QUANTITIES)
