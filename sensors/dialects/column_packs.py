"""Packs of our own wire as columns, JSON or CBOR (`sensors.columns`): what devices send that store readings."""

from __future__ import annotations

from sensors.cbor import parse_cbor
from sensors.columns import decode_columns, is_columns
from sensors.dialects.parsing import parse_json
from sensors.dialects.table import Dialect, Outcome, Source
from sensors.errors import DecodeError


def recognise(value: object, payload: bytes) -> bool:
    """Whether the content has a column of times and one of values."""
    if value is None and b"\xa0" <= payload[:1] <= b"\xbf":  # a CBOR map; what is none is for SenML to refuse
        try:
            value = parse_cbor(payload)
        except DecodeError:
            return False
    return is_columns(value)


def read(source: Source, payload: bytes, received_ms: int) -> Outcome:
    """Each value as a measurement of the source's device, with our numbering where the pack has one."""
    content = parse_json(payload) if payload.lstrip()[:1] in (b"{", b"[") else parse_cbor(payload)
    if not isinstance(content, dict) or not is_columns(content):
        raise DecodeError("a column pack is an object with the arrays 't' and 'v'")
    return decode_columns(content, source.device, source.quantity, received_ms)


DIALECT = Dialect("columns", "Column packs of our own wire", (), 0, recognise, read)
