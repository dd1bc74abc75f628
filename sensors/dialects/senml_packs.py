"""Our own wire, spoken under a topic of ours or under a foreign one: SenML packs, JSON or CBOR (`sensors.wire`)."""

from __future__ import annotations

from sensors.dialects.table import Dialect, Outcome, Source
from sensors.wire import Topic, decode_pack

_SAYS = {"v", "vs", "vb", "vd", "s"}  # RFC 8428 4.3: a record has one of these, or a base value
_BASE = {"bn", "bt", "bu", "bv", "bs", "bver"}


def recognise(value: object, payload: bytes) -> bool:
    """Whether each record says a value or sets a base, as RFC 8428 has it; CBOR is told by its first byte."""
    if value is None:
        return payload[:1] > b"\x7f"  # CBOR arrays and maps begin here, and no JSON text does
    records = value if isinstance(value, list) else [value]
    return bool(records) and all(isinstance(record, dict) and record.keys() & (_SAYS | _BASE) for record in records)


def read(source: Source, payload: bytes, received_ms: int) -> Outcome:
    """Each record as a measurement of the source's device, with our numbering where it has one."""
    return decode_pack(Topic("", "", source.device, source.quantity), payload, received_ms)


DIALECT = Dialect("senml", "SenML", (), 0, recognise, read)
