"""Every dialect that devices speak, as pure functions from a message to measurements or reasons for refusal.

A dialect is a line in DIALECTS: it recognises a topic and reads a payload. What nobody recognises is a rejection that
says what was tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sensors.errors import DecodeError
from sensors.wire import MAX_PAYLOAD, STATUS, Measurement, Rejection, Topic, decode_pack, parse_topic

Outcome = list[Measurement | Rejection]


@dataclass(frozen=True, slots=True)
class Dialect:
    """A way of saying readings: a name for people, how a topic is recognised, and how a payload is read."""

    name: str
    recognise: Callable[[str], Topic | None]
    read: Callable[[Topic, bytes, int], Outcome]


DIALECTS: tuple[Dialect, ...] = (Dialect("Noctule SenML", parse_topic, decode_pack),)


def decode(topic: str, payload: bytes, received_ms: int, root: str = "noctule") -> Outcome:
    """What a message says: measurements and rejections, at least one of them.

    Parameters
    ----------
    topic : str
        The topic as received.
    payload : bytes
        The payload as received; hostile until parsed.
    received_ms : int
        When it was received, ms since 1970, UTC (city time).
    root : str
        First level of our own topics.
    """
    if len(payload) > MAX_PAYLOAD:
        return [Rejection(f"the payload has {len(payload)} bytes; at most {MAX_PAYLOAD} are read")]
    for dialect in DIALECTS:
        parsed = dialect.recognise(topic)
        if parsed is None or parsed.root != root:
            continue
        if parsed.leaf == STATUS:
            return [Rejection("a status message holds no readings")]
        try:
            return dialect.read(parsed, payload, received_ms) or [Rejection("the message holds no records")]
        except DecodeError as error:
            return [Rejection(str(error))]
    tried = ", ".join(dialect.name for dialect in DIALECTS)
    return [Rejection(f"no dialect knows the topic '{topic[:200]}'; tried {tried} under '{root}/CITY/DEVICE/QUANTITY'")]
