"""Payloads that differ in nothing but digits, read as one table of characters: 0.07 us each, against 0.6 us decoded.

Devices of one make write alike: the same members in the same order, with as many digits. Of payloads of one length one
is decoded; it says which characters are digits of which member. The others are held against it, all at once, and their
numbers are taken by the column. A payload that differs in anything else, if only by a sign or a digit more, is not read
here. What is read, `sensors.quick_pack` reads to the same numbers; tests/unit/test_alike.py holds the two together.

A number of up to 15 digits is a whole number over a power of ten, both exact as doubles, so that their quotient is
rounded once, as a parser rounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self

import msgspec
import numpy as np
import numpy.typing as npt

from sensors.quick_pack import Floats, Packs, QuickRecord, Whole, columns
from sensors.reading import NO_SEQ

FEWEST = 256  # payloads of one length; fewer are decoded in less time
_SHAPES = 4  # of payloads of one length; what has none of them is left
_REMEMBERED = 1_000  # shapes
_NUMBER = re.compile(rb'"(\w+)"\s*:\s*(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?=\s*[,}])')
_DIGITS_AS_ZERO = bytes(ord("0") if ord("0") <= code <= ord("9") else code for code in range(256))
# Digits before the point with which a member is within its limits, whatever they are; only a value may have a sign.
_MOST_DIGITS = {b"v": 15, b"t": 10, b"bt": 10, b"duration_s": 5, b"boot": 9, b"seq": 9}
_EXACT_DIGITS = 15

Reader = Callable[[bytes], list[QuickRecord]]
Bools = npt.NDArray[np.bool_]
Characters = npt.NDArray[np.uint8]


class Alike:
    """Reads payloads that are alike, and remembers the shapes that it has met."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[int, bytes], _Shape] = {}

    def read(self, payloads: Sequence[bytes], kinds: Whole, reader: Callable[[int], Reader | None]) -> Packs:
        """Those of some payloads that hold one reading each and are alike; `pack` is the place of each, ascending.

        kinds : (n_payloads,) array of whole numbers up to 255; those of one kind have the same reader
        reader : gives the quick reader of the payload at a place; None if it has none
        """
        found = []
        for kind, places in _of_one_length(payloads, kinds):
            for _ in range(_SHAPES):
                if len(places) < FEWEST:
                    break
                first = int(places[0])
                shape = self._shape(kind, payloads[first], reader(first))
                if shape is None:
                    places = places[1:]
                    continue
                text = b"".join(payloads if len(places) == len(payloads) else [payloads[at] for at in places.tolist()])
                packs, good = shape.read(np.frombuffer(text, np.uint8).reshape(len(places), -1), places)
                found.append(packs)
                places = places[1:][~good[1:]]
        return found[0] if len(found) == 1 else _together(found)

    def _shape(self, kind: int, payload: bytes, read: Reader | None) -> _Shape | None:
        key = (kind, payload.translate(_DIGITS_AS_ZERO))
        shape = self._shapes.get(key)
        if shape is None and read is not None:
            shape = _Shape.of(payload, read)
            if shape is not None:
                if len(self._shapes) >= _REMEMBERED:
                    self._shapes.clear()
                self._shapes[key] = shape
        return shape


def _of_one_length(payloads: Sequence[bytes], kinds: Whole) -> Iterator[tuple[int, Whole]]:
    """Places of payloads of one kind and length, each ascending, where there are enough of them."""
    classes = np.fromiter(map(len, payloads), np.int64, len(payloads)) << 8 | kinds
    if len(classes) and (classes == classes[0]).all():
        yield int(classes[0]) & 255, np.arange(len(classes))
        return
    order = np.argsort(classes, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(classes[order])) + 1):
        if len(places) >= FEWEST:
            yield int(classes[places[0]]) & 255, places


def _together(found: Sequence[Packs]) -> Packs:
    if not found:
        none, no_numbers = np.zeros(0, np.int64), np.zeros(0)
        return Packs(none, 0, no_numbers, no_numbers, no_numbers, none, none)
    pack, _, *columns = zip(*found, strict=True)
    all_of_them = Packs(np.concatenate(pack), 0, *(np.concatenate(column) for column in columns))
    return _those(all_of_them, np.argsort(all_of_them.pack))


class _Number(NamedTuple):
    """A number in a payload: its digits begin at `begin`, so many before the point and so many after it."""

    sign: int
    begin: int
    before: int
    after: int

    def digits(self) -> list[int]:
        """Where its digits stand."""
        point = self.begin + self.before
        return [*range(self.begin, point), *range(point + 1, point + 1 + self.after)]


class _Shape(NamedTuple):
    """What some payloads have in common: each character but for the digits, which are 0 in `least` and 9 in `span`."""

    least: Characters
    span: Characters
    numbers: dict[bytes, _Number]

    @classmethod
    def of(cls, payload: bytes, read: Reader) -> Self | None:
        """The shape of a usual pack of one record; None of anything else."""
        try:
            pack = read(payload)
        except msgspec.DecodeError:
            return None
        truth = columns([pack], [payload])
        if truth is None or len(pack) != 1:
            return None
        least, span = np.frombuffer(payload, np.uint8).copy(), np.zeros(len(payload), np.uint8)
        numbers = {}
        for member in _NUMBER.finditer(payload):
            name, sign, before, after = member.groups(b"")
            few = len(before) <= _MOST_DIGITS.get(name, 0) and len(before) + len(after) <= _EXACT_DIGITS
            if not few or (sign and name != b"v"):
                return None
            number = numbers[name] = _Number(-1 if sign else 1, member.start(3), len(before), len(after))
            least[number.digits()], span[number.digits()] = ord("0"), 9
        shape = cls(least, span, numbers)
        mine, _ = shape.read(np.frombuffer(payload, np.uint8).reshape(1, -1), truth.pack)
        return shape if mine == truth else None  # a member was written so that it is not recognised here

    def read(self, characters: Characters, places: Whole) -> tuple[Packs, Bools]:
        """The records of those payloads, a row of characters each, that have this shape, and which ones have."""
        n = len(characters)
        digits = characters - self.least  # what is less becomes much more
        wrong = digits > self.span
        good = np.ones(n, bool)
        if wrong.any():
            good &= ~wrong.any(axis=1)
        whole = {}
        for name, number in self.numbers.items():
            whole[name] = _whole(digits.T[number.digits()])
            if number.before > 1:  # a number does not begin with 0
                good &= digits[:, number.begin] > 0

        def exact(name: bytes) -> Floats:
            number = self.numbers.get(name)
            return np.zeros(n) if number is None else whole[name] * np.float64(number.sign) / 10**number.after

        boot, seq = whole.get(b"boot", np.zeros(n, np.int64)), whole.get(b"seq", np.full(n, NO_SEQ))
        packs = Packs(places, 0, exact(b"t") + exact(b"bt"), exact(b"v"), exact(b"duration_s"), boot, seq)
        return packs if good.all() else _those(packs, good), good


def _those(packs: Packs, places: Bools | Whole) -> Packs:
    """Some of the records, of which each is a pack."""
    return Packs(
        packs.pack[places],
        0,
        packs.time_s[places],
        packs.value[places],
        packs.duration_s[places],
        packs.boot[places],
        packs.seq[places],
    )


def _whole(digits: Characters) -> Whole:
    """Whole numbers of (n_digits, n) digits."""
    number = np.zeros(digits.shape[1], np.int64)
    for row in digits:
        number *= 10
        number += row
    return number
