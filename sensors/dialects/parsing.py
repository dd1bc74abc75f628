"""JSON from strangers: read strictly, or refused with a sentence.

RFC 8259 leaves open what a reader does with a member that stands twice, with numbers no double can hold, and with
nesting without end; readers that differ there can be played against each other, so all three are refused. NaN and
Infinity are no JSON. A byte order mark is passed over (RFC 8259 8.1 allows it), since Windows gateways write one.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from sensors.errors import DecodeError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_DEPTH = 32  # NGSI-LD, the deepest of our dialects, needs 8
_LONGEST_INTEGER = 30  # digits; a 64-bit number has 20
# A string is passed over as a whole; a quote that never closes ends the count, and the parser then refuses it.
_STRUCTURE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{}]', re.DOTALL)
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?([eE][+-]?\d{1,2})?")  # as texts spell one
_SHOWN = 60  # characters of theirs that a reason quotes


def parse_json(payload: bytes) -> Any:
    """The JSON value of a payload; DecodeError says what is wrong with it."""
    if not payload.strip():
        raise DecodeError("the payload is empty")
    if _depth_beyond(payload, MAX_DEPTH):
        raise DecodeError(f"the payload is nested more than {MAX_DEPTH} deep")
    try:
        return _DECODER.decode(payload.removeprefix(BYTE_ORDER_MARK).decode())
    except UnicodeDecodeError:
        raise DecodeError("the payload is not JSON (it is not UTF-8 text)") from None
    except json.JSONDecodeError as error:
        raise DecodeError(f"the payload is not JSON ({error.msg}, byte {error.pos})") from None


def shown(value: object) -> str:
    """Something of theirs as a reason may quote it: short, on one line, in quotes, without control characters."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    safe = "".join(letter if letter.isprintable() else "?" for letter in text[: _SHOWN + 1])
    return f"'{safe[:_SHOWN]}…'" if len(text) > _SHOWN else f"'{safe}'"


def number(value: object) -> float | None:
    """A JSON number that is finite as a 32-bit float, or None: truth values and texts are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) < 3e38 else None


def spelt_number(value: object) -> float | None:
    """A number, or the number that a text spells, for dialects that write numbers as texts; None otherwise.

    >>> spelt_number("58.30"), spelt_number("1,5")
    (58.3, None)
    """
    return number(float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value)


def _depth_beyond(payload: bytes, limit: int) -> bool:
    if payload.count(b"[") + payload.count(b"{") <= limit:
        return False
    depth = 0
    for found in _STRUCTURE.finditer(payload):
        mark = found[0]
        if mark in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif mark in b"]}":
            depth -= 1
        elif mark == b'"':
            return False
    return False


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise DecodeError(f"member {shown(twice)} stands twice in one object")
    return members


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise DecodeError(f"number {shown(text)} is not a finite number")
    return value


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise DecodeError(f"a whole number has {len(text)} digits; at most {_LONGEST_INTEGER} are read")
    return int(text)


def _no_number(text: str) -> Any:
    raise DecodeError(f"the payload is not JSON ({text} is no number of it)")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_float=_real, parse_int=_integer, parse_constant=_no_number
)
