"""Frames of ESP32-Paxcounter, which counts the radio devices that Wi-Fi and Bluetooth see.

Source: docs/payloadformat.md and src/payload.cpp of cyberman54/ESP32-Paxcounter. Port 1 holds the counts of a scan
cycle, 60 s as delivered. *plain* is big-endian, *packed* little-endian, and the bytes do not say which: `decoder` must,
or what the network's formatter made of them, if only one of the two agrees with it. Both counts together are one
`devices_seen`, the devices' own `pax`; no number of devices is ever a number of people. Positions are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sensors.dialects.frame_values import Found, Value
from sensors.errors import DecodeError

CYCLE_S = 60.0
_PORT = 1


def read_plain(data: bytes, port: int, period_s: float) -> Found:
    """The devices seen in a cycle, as a counter set to *plain* sends them.

    >>> read_plain(bytes.fromhex("00070003"), 1, 60.0)[0].value
    10.0
    """
    return [Value("devices_seen", float(sum(_counts(data, port, "big"))), period_s)]


def read_packed(data: bytes, port: int, period_s: float) -> Found:
    """The devices seen in a cycle, as a counter set to *packed* sends them.

    >>> read_packed(bytes.fromhex("07000300"), 1, 60.0)[0].value
    10.0
    """
    return [Value("devices_seen", float(sum(_counts(data, port, "little"))), period_s)]


def is_decoded(decoded: object) -> bool:
    """Whether a network's formatter took the frame for one of a Paxcounter."""
    return isinstance(decoded, Mapping) and ("pax" in decoded or "wifi" in decoded)


def byte_order(data: bytes, port: int, decoded: object) -> str:
    """'plain' or 'packed', where what the formatter made of the frame allows one alone; DecodeError otherwise."""
    assert isinstance(decoded, Mapping)
    fitting = [word for word, order in _ORDERS.items() if _agrees(order, data, port, decoded)]
    if len(fitting) == 1 or (fitting and _counts(data, port, "big") == _counts(data, port, "little")):
        return fitting[0]
    said = "both byte orders fit it" if fitting else "neither byte order fits it"
    raise DecodeError(f"a Paxcounter does not say its byte order, and {said}")


_ORDERS: dict[str, Literal["big", "little"]] = {"plain": "big", "packed": "little"}


def _agrees(order: Literal["big", "little"], data: bytes, port: int, decoded: Mapping[object, object]) -> bool:
    try:
        counts = _counts(data, port, order)
    except DecodeError:
        return False
    said = [decoded.get(name) for name in ("wifi", "ble")[: len(counts)]]
    if any(isinstance(one, int | float) for one in said):
        return all(one == count for one, count in zip(said, counts, strict=True) if one is not None)
    return decoded.get("pax") == sum(counts)


def _counts(data: bytes, port: int, order: Literal["big", "little"]) -> list[int]:
    """Wi-Fi and Bluetooth devices; the second is left out where Bluetooth is not scanned."""
    if port != _PORT:
        raise DecodeError(f"port {port} of a Paxcounter holds no counts; port {_PORT} does")
    # Length of the frame = (offset of the counts, how many). plain appends a position of 13 bytes; packed does as
    # well, or puts a short one of 8 bytes in front (openSenseMap), or appends two particle values.
    shapes = {2: (0, 1), 4: (0, 2), 15: (0, 1), 17: (0, 2)}
    if order == "little":
        shapes |= {8: (0, 2), 10: (8, 1), 12: (8, 2)}
    if len(data) not in shapes:
        lengths = ", ".join(str(length) for length in sorted(shapes))
        raise DecodeError(f"the frame has {len(data)} bytes; a Paxcounter sends {lengths}")
    offset, count = shapes[len(data)]
    return [int.from_bytes(data[at : at + 2], order) for at in range(offset, offset + 2 * count, 2)]
