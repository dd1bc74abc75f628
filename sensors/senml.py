"""SenML (RFC 8428): JSON and CBOR packs resolved into plain records.

Resolution (4.6): base fields hold from the record in which they stand; name = bn + n, value = bv + v, time = bt + t,
unit = u or bu; a time below 2**28 is relative to now (4.5.3). Members whose name ends in '_' must be understood
(4.4), so a record with one is refused; other unknown members are ignored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sensors.cbor import parse_cbor
from sensors.errors import DecodeError

_RELATIVE_BELOW = 2**28  # RFC 8428 4.5.3
_VERSION = 10  # RFC 8428 4.4: the version that this format describes
_MAX_RECORDS = 5_000  # a pack is a message of one device, not an archive
_CBOR_LABELS = {  # RFC 8428 6, table 4
    -1: "bver",
    -2: "bn",
    -3: "bt",
    -4: "bu",
    -5: "bv",
    -6: "bs",
    0: "n",
    1: "u",
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
}
_KNOWN = set(_CBOR_LABELS.values())
_json = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Record:
    """A resolved record: `problem` says why it cannot be used, None when it can."""

    part: int  # index in its message
    name: str  # base name and own name together
    own_name: str  # what the record itself says in `n`
    unit: str
    value: float | None
    text: str | None
    truth: bool | None
    time_s: float  # seconds since 1970, UTC
    problem: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def parse_pack(payload: bytes) -> list[dict[str, Any]]:
    """The records of a SenML pack as they stand, JSON or CBOR told apart by the first byte; DecodeError when neither.

    CBOR integer labels come back under their JSON names.
    """
    if not payload.strip():
        raise DecodeError("the payload is empty")
    content = _parse_json(payload) if payload.lstrip()[:1] in (b"[", b"{") else parse_cbor(payload)
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list) or not content:
        raise DecodeError("a SenML pack is an array of records")
    if len(content) > _MAX_RECORDS:
        raise DecodeError(f"the pack has {len(content)} records; at most {_MAX_RECORDS} are read")
    if not all(isinstance(record, dict) for record in content):
        raise DecodeError("a SenML pack holds something that is not a record")
    return [_named(record) for record in content]


def resolve(pack: list[dict[str, Any]], now_s: float) -> list[Record]:
    """Records with their base fields applied, each with a problem where it has one.

    Parameters
    ----------
    now_s : float
        Seconds since 1970 to which relative times refer: when the message was received.
    """
    base: dict[str, Any] = {"bn": "", "bt": 0.0, "bu": "", "bv": None}
    return [_resolve(record, part, base, now_s) for part, record in enumerate(pack)]


def _resolve(record: dict[str, Any], part: int, base: dict[str, Any], now_s: float) -> Record:
    problem = _wrong_types(record)
    if problem is None:
        for label in base:
            if label in record:
                base[label] = record[label]
        if record.get("bver", _VERSION) > _VERSION:
            problem = f"SenML version {record['bver']} is newer than {_VERSION}"
    strange = [label for label in record if isinstance(label, str) and label.endswith("_") and label not in _KNOWN]
    if strange and problem is None:
        problem = f"member '{strange[0]}' must be understood and is not"
    if problem is not None:
        return Record(part, "", "", "", None, None, None, now_s, problem)
    time_s = float(base["bt"]) + float(record.get("t", 0.0))
    if time_s < _RELATIVE_BELOW:
        time_s += now_s
    value = record.get("v")
    if base["bv"] is not None and value is not None:
        value = base["bv"] + value
    return Record(
        part=part,
        name=f"{base['bn']}{record.get('n', '')}",
        own_name=record.get("n", ""),
        unit=record.get("u", base["bu"]),
        value=None if value is None else float(value),
        text=record.get("vs"),
        truth=record.get("vb"),
        time_s=time_s,
        extra={label: value for label, value in record.items() if label not in _KNOWN},
    )


def _wrong_types(record: dict[str, Any]) -> str | None:
    for label in ("bn", "n", "bu", "u", "vs", "vd"):
        if not isinstance(record.get(label, ""), str):
            return f"member '{label}' must be text"
    for label in ("bt", "t", "bv", "v", "bs", "s", "ut", "bver"):
        number = record.get(label, 0)
        if isinstance(number, bool) or not isinstance(number, int | float):
            return f"member '{label}' must be a number"
        if not math.isfinite(number) or abs(number) > 1e300:
            return f"member '{label}' is not a finite number"
    return None if isinstance(record.get("vb", True), bool) else "member 'vb' must be true or false"


def _parse_json(payload: bytes) -> Any:
    try:
        return _json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"the payload is not JSON ({error})") from error


def _named(record: dict[Any, Any]) -> dict[str, Any]:
    return {
        _CBOR_LABELS.get(label, str(label)) if isinstance(label, int) else str(label): record[label] for label in record
    }
