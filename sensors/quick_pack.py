"""The usual SenML packs of one quantity each, read by the group: msgspec decodes, and numpy takes the columns.

What `quick_reader` decodes and `columns` takes, `sensors.dialects.decode` reads as well and to the same measurements;
that stays the truth, and tests/unit/test_quick_pack.py holds the two together. Whatever is unusual (other members, text
where a number is expected, a base time in the middle, CBOR) is left to it: 0.3 us a record against 8.

A member that stands twice in one object refuses the message (`sensors.dialects.parsing`), but msgspec keeps the last
and says nothing. So members are counted, all of a group at once: no name and no text of a usual pack holds a colon,
hence there are as many members as colons, and none stands twice if that is how many different ones the records have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from sensors.quantities import Quantity, topic_name
from sensors.reading import NO_SEQ

RELATIVE_BELOW_S = 2.0**28  # a time below it counts from receipt (RFC 8428 4.5.3)
_MAX_RECORDS = 5_000  # as sensors.senml
_LARGEST = 1e28  # the ordinary way refuses whole numbers of more than 30 digits
_EARLIEST_S, _LATEST_S = -1e9, 250e9
_UNSAID, _NO_NUMBER = float("nan"), -1  # what no message can say

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


class QuickRecord(Protocol):
    """A record of a usual pack; where it does not say, NaN, None or -1."""

    v: float
    t: float
    duration_s: float
    n: str | None
    u: str | None
    boot: int
    seq: int
    bt: float
    bu: str | None


class Packs(NamedTuple):
    """The records of some packs, one after the other; an entry for each record.

    pack : which pack it is of
    time_s : since 1970, or relative where below RELATIVE_BELOW_S; base times are added
    """

    pack: Whole
    part: Whole | int
    time_s: Floats
    value: Floats
    duration_s: Floats
    boot: Whole
    seq: Whole


@cache
def quick_reader(quantity: Quantity) -> Callable[[bytes], list[QuickRecord]]:
    """A reader of packs under the topic of a quantity; it raises msgspec.DecodeError on what is unusual at a glance.

    >>> from sensors.quantities import QUANTITIES
    >>> quick_reader(QUANTITIES["power"])(b'[{"u":"W","v":31,"t":1795212000.5,"boot":1,"seq":7}]')[0].v
    31.0
    """
    names = Literal.__getitem__(tuple({"", quantity.name, topic_name(quantity.name)}))
    units = Literal.__getitem__(("", *quantity.senml_units))
    whole = Annotated[int, Meta(ge=0, lt=2**32)]
    time = Annotated[float, Meta(ge=_EARLIEST_S, lt=_LATEST_S)]
    fields: list[Any] = [
        ("v", Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)]),
        ("t", time, _UNSAID),
        ("duration_s", Annotated[float, Meta(ge=0, le=7 * 86_400)], _UNSAID),
        ("n", names, None),
        ("u", units, None),
        ("boot", whole, _NO_NUMBER),
        ("seq", whole, _NO_NUMBER),
        ("bt", time, _UNSAID),
        ("bu", units, None),
    ]
    # Records hold nothing that could refer back to them, so the garbage collector need not look at them.
    record = msgspec.defstruct("Record", fields, forbid_unknown_fields=True, gc=False)
    pack = Annotated[list[record], Meta(min_length=1, max_length=_MAX_RECORDS)]  # type: ignore[valid-type]
    decode: Callable[[bytes], list[QuickRecord]] = msgspec.json.Decoder(pack).decode
    return decode


def columns(packs: Sequence[list[QuickRecord]], payloads: Sequence[bytes]) -> Packs | None:
    """The records of packs that `quick_reader` decoded from payloads; None if one of them is unusual after all."""
    n = len(packs)
    records = list(chain.from_iterable(packs))
    pack = np.arange(n)
    part: Whole | int = 0
    firsts = records
    if len(records) > n:
        counts = np.fromiter(map(len, packs), np.int64, n)
        pack = np.repeat(pack, counts)
        part = np.arange(len(records)) - np.repeat(np.cumsum(counts) - counts, counts)
        firsts = [one[0] for one in packs]
    time_s, duration_s, value = amounts = np.array(
        [[record.t for record in records], [record.duration_s for record in records], [record.v for record in records]]
    )
    boot, seq = numbers = np.array([[first.boot for first in firsts], [first.seq for first in firsts]], np.int64)
    unsaid, unnumbered = np.isnan(amounts), numbers == _NO_NUMBER
    members = int(
        3 * len(records)
        - np.count_nonzero(unsaid)
        + 2 * len(firsts)
        - np.count_nonzero(unnumbered)
        + 2 * len(records)
        - [record.u for record in records].count(None)
        - [record.n for record in records].count(None)
    )
    amounts[unsaid] = 0.0
    left = b"".join(payloads).count(b":") - members
    if left and not _based(records, firsts, left, time_s, pack):
        return None
    boot[unnumbered[0]], seq[unnumbered[1]] = 0, NO_SEQ
    if firsts is not records:
        boot, seq = boot[pack], seq[pack]
    return Packs(pack, part, time_s, value, duration_s, boot, seq)


def usual(packs: Sequence[list[QuickRecord]], payloads: Sequence[bytes]) -> list[bool]:
    """Which of some packs `columns` takes; by halves, so that a few unusual ones cost little."""
    if columns(packs, payloads) is not None:
        return [True] * len(packs)
    if len(packs) == 1:
        return [False]
    middle = len(packs) // 2
    return usual(packs[:middle], payloads[:middle]) + usual(packs[middle:], payloads[middle:])


def _based(
    records: Sequence[QuickRecord], firsts: Sequence[QuickRecord], members: int, time_s: Floats, pack: Whole
) -> bool:
    """Add base times, in place; whether base members are all that was left to count, and stand where they usually do.

    A base unit is one of the quantity's own, so whatever it holds for has that unit.
    """
    begins = np.array([first.bt for first in firsts])
    begun = ~np.isnan(begins)
    units = len(records) - [record.bu for record in records].count(None)
    if np.count_nonzero(begun) + units != members:
        return False  # one stands twice, or a base time in the middle
    time_s += np.where(begun, begins, 0.0)[pack]
    return bool(((time_s >= _EARLIEST_S) & (time_s < _LATEST_S)).all())
