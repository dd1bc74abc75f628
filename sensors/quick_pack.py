"""The usual SenML pack of one quantity, read in one step by msgspec: types, names, units and limits at once.

What `quick_reader` reads, `sensors.dialects.decode` reads as well and to the same measurements; that stays the truth,
and tests/unit/test_quick_pack.py holds the two together. Whatever is unusual (base fields, other members, text where a
number is expected, CBOR) raises, and then the ordinary way is taken: 0.25 us a record in packs of fifty against 8.

A member that stands twice in one object refuses the message (`sensors.dialects.parsing`), but msgspec keeps the last
and says nothing. So members are counted: no name and no text of a usual pack holds a colon, hence the pack has as many
members as colons, and none stands twice if that is how many different ones its records have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from sensors.quantities import Quantity, topic_name
from sensors.reading import NO_SEQ

RELATIVE_BELOW_S = 2.0**28  # a time below it counts from receipt (RFC 8428 4.5.3)
_MAX_RECORDS = 5_000  # as sensors.senml
_LARGEST = 1e28  # the ordinary way refuses whole numbers of more than 30 digits


class QuickRecord(Protocol):
    """A record of a usual pack; `boot` and `seq` count in the first one only."""

    v: float
    t: float  # seconds since 1970, or relative where below RELATIVE_BELOW_S
    duration_s: float
    boot: int
    seq: int


class _Unsaid(int):
    """A default told by its identity from the same number in a message, whose numbers are all made anew."""


_DEFAULTS: dict[str, Any] = {
    "t": float("0"),
    "duration_s": float("0"),
    "n": None,
    "u": None,
    "boot": _Unsaid(0),
    "seq": _Unsaid(NO_SEQ),
}
_BOOT, _SEQ = _DEFAULTS["boot"], _DEFAULTS["seq"]


class _Shape(NamedTuple):
    """A way of writing packs: which members, `boot` and `seq` aside, stand in every record."""

    decode: Callable[[bytes], list[QuickRecord]]
    every: int  # how many these are


@cache
def quick_reader(quantity: Quantity) -> Callable[[bytes], list[QuickRecord]]:
    """A reader of packs under the topic of a quantity; it raises msgspec.DecodeError on anything unusual.

    >>> from sensors.quantities import QUANTITIES
    >>> quick_reader(QUANTITIES["power"])(b'[{"u":"W","v":31,"t":1795212000.5,"boot":1,"seq":7}]')[0].v
    31.0
    """
    anything = usual = _shape(quantity, ())

    def read(payload: bytes) -> list[QuickRecord]:
        nonlocal usual
        members = payload.count(b":")
        try:
            records = usual.decode(payload)
            first = records[0]
            # At least so many are different; the records need not be looked at one by one where these are all.
            if members == len(records) * usual.every + (first.boot is not _BOOT) + (first.seq is not _SEQ):
                return records
        except msgspec.ValidationError:  # perhaps only of another shape than the pack before
            pass
        records = anything.decode(payload)
        said = [_said(record) for record in records]
        if members != sum(map(len, said)):
            raise msgspec.DecodeError("a member stands twice in one object")
        usual = _shape(quantity, tuple(name for name in said[-1] if name not in ("boot", "seq")))
        return records

    return read


def _said(record: QuickRecord) -> list[str]:
    """The members that a record has, besides `v` which all have."""
    return ["v", *(name for name, default in _DEFAULTS.items() if getattr(record, name) is not default)]


@cache
def _shape(quantity: Quantity, every: Sequence[str]) -> _Shape:
    names = Literal.__getitem__(tuple({"", quantity.name, topic_name(quantity.name)}))
    units = Literal.__getitem__(("", *quantity.senml_units))
    whole = Annotated[int, Meta(ge=0, lt=2**32)]
    kinds: dict[str, Any] = {
        "v": Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)],
        "t": Annotated[float, Meta(ge=-1e9, lt=250e9)],
        "duration_s": Annotated[float, Meta(ge=0, le=7 * 86_400)],
        "n": names,
        "u": units,
        "boot": whole,
        "seq": whole,
    }
    required = {"v", *every}
    fields: list[Any] = [(name, kinds[name]) for name in kinds if name in required]
    fields += [(name, kinds[name], _DEFAULTS[name]) for name in kinds if name not in required]
    # Records hold nothing that could refer back to them, so the garbage collector need not look at them.
    record = msgspec.defstruct("Record", fields, forbid_unknown_fields=True, gc=False)
    pack = Annotated[list[record], Meta(min_length=1, max_length=_MAX_RECORDS)]  # type: ignore[valid-type]
    return _Shape(msgspec.json.Decoder(pack).decode, len(required))
