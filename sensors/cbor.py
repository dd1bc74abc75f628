"""CBOR from strangers: one item, read whole, or refused with a sentence."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import cbor2

from sensors.errors import DecodeError


def parse_cbor(payload: bytes) -> Any:
    """The one item of a payload; DecodeError when it is none, or when anything stands behind it.

    >>> parse_cbor(bytes.fromhex("83010203"))
    [1, 2, 3]
    """
    source = BytesIO(payload)
    try:
        item = cbor2.CBORDecoder(source).decode()
    except Exception as error:  # cbor2 raises its own and, on hostile bytes, ValueError, OverflowError or MemoryError
        raise DecodeError("the payload is neither JSON nor CBOR") from error
    if source.tell() < len(payload):
        raise DecodeError(f"{len(payload) - source.tell()} bytes stand behind the CBOR item, which nobody would read")
    return item
