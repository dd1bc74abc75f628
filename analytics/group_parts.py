"""People who answered as disjoint parts by gender, age and role, each of which holds enough of them to be told.

Every group that is described by numbers is a union of these parts. So whatever somebody puts together from groups or
takes from one another is nothing or enough people, as for places (`release_plan`). Columns are divided
one after the other: the codes of a column are put into classes, and a part is divided if each class in it has nobody
or enough people. Of all ways to form classes the one is taken that tells most: the sum over divided parts of their
people times ln(classes). Codes that too few people have are told together; where they are too few even so, they go
with the largest code of their column, and are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analytics.release import enough
from sensors.answer import CODES

COLUMNS = ("gender", "age_band", "role")
_ORDERED = ("age_band",)  # classes of these hold neighbours only
_SPARSE = "undisclosed"

Class = tuple[str, ...]  # codes told together, in the order of CODES
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """One group that may be told.

    classes : column -> class, of the columns that name it, none for everybody; members : (n,) bool among the answers;
    parts : numbers of the parts it is made of
    """

    classes: dict[str, Class]
    members: npt.NDArray[np.bool_]
    parts: frozenset[int]

    @property
    def level(self) -> int:
        """How many columns name it."""
        return len(self.classes)


@dataclass(frozen=True)
class Groups:
    """What can be told of, and what cannot.

    groups : everybody first, then by level; part : (n,) part of each answer; few : column -> codes that too few people
    have, told with the column's largest; missing : codes that nobody has, and crossings that nobody has of codes that
    enough people have; unsaid : crossings of codes that somebody has and that are in no group of their own
    """

    groups: list[Group]
    part: Ints
    few: dict[str, Class]
    missing: list[dict[str, str]]
    unsaid: list[dict[str, str]]


def groups_of(table: pd.DataFrame, *, people: int = 10, share: float = 0.30) -> Groups:
    """The groups of some answers by COLUMNS; none where not even everybody is enough people.

    table : columns of `sensors.answer`; people, share : as `release.enough`
    """
    here = table.reset_index(drop=True)
    if not len(here) or not enough(here, people, share):
        return Groups([], np.zeros(len(here), np.int64), {}, _missing(here, people, share), [])
    few: dict[str, Class] = {}
    parts: list[tuple[dict[str, Class], Ints]] = [({}, np.arange(len(here)))]
    for column in COLUMNS:
        fold = folded(here, column, people=people, share=share)
        few[column] = fold.few
        parts = _divided(here, fold, column, parts, people, share)
    part = np.zeros(len(here), np.int64)
    for number, (_, rows) in enumerate(parts):
        part[rows] = number
    groups = _groups(part, [classes for classes, _ in parts])
    told_few = {column: codes for column, codes in few.items() if codes}
    return Groups(groups, part, told_few, _missing(here, people, share), _unsaid(here, groups))


@dataclass(frozen=True)
class Fold:
    """A column whose codes of too few people are told together, or with the largest.

    told : (n,) codes, a pooled one by the first of the pool; pool : codes that are enough people only together; few :
    codes that even together are too few, told with the largest
    """

    told: pd.Series
    pool: Class
    few: Class

    def spelled(self, klass: Class, column: str) -> Class:
        """A class with the pool's codes in place of its first."""
        codes = {*klass, *(self.pool if self.pool and self.pool[0] in klass else ())}
        return tuple(code for code in CODES[column] if code in codes)


def folded(table: pd.DataFrame, column: str, *, people: int = 10, share: float = 0.30) -> Fold:
    """A column of answers without codes that too few people have."""
    told = table[column].astype(str)
    counts = table.groupby(told)["pseudonym"].nunique()
    present = [code for code in CODES[column] if code in counts.index]
    largest = max(present, key=lambda code: int(counts[code]))
    few = tuple(code for code in present if code != largest and not enough(table[told == code], people, share))
    rare = told.isin(few)
    if few and enough(table[rare], people, share):
        return Fold(told.where(~rare, few[0]), few, ())
    return Fold(told.where(~rare, largest), (), few)


def _divided(
    table: pd.DataFrame,
    fold: Fold,
    column: str,
    parts: list[tuple[dict[str, Class], Ints]],
    people: int,
    share: float,
) -> list[tuple[dict[str, Class], Ints]]:
    """The parts divided by the classes of a column that tell most."""
    codes = tuple(code for code in CODES[column] if (fold.told == code).any())
    code_of = fold.told.to_numpy(dtype=object)
    persons = [table["pseudonym"].iloc[rows].nunique() for _, rows in parts]
    known: dict[tuple[int, Class], bool | None] = {}

    def fits(number: int, klass: Class) -> bool | None:
        """Whether a class has enough people in a part; None where nobody is."""
        if (number, klass) not in known:
            rows = parts[number][1]
            inside = rows[np.isin(code_of[rows], klass)]
            known[number, klass] = enough(table.iloc[inside], people, share) if inside.size else None
        return known[number, klass]

    best, where = -1.0, set[int]()
    chosen: tuple[Class, ...] = (codes,)
    for classes in _classes(codes, column in _ORDERED):
        score, divided = 0.0, set()
        for number in range(len(parts)):
            found = [fits(number, klass) for klass in classes]
            if False not in found and found.count(True) > 1:
                score += persons[number] * float(np.log(found.count(True)))
                divided.add(number)
        if score > best + 1e-9:
            best, chosen, where = score, classes, divided
    out: list[tuple[dict[str, Class], Ints]] = []
    for number, (known_as, rows) in enumerate(parts):
        if number not in where:
            out.append((known_as, rows))
            continue
        for klass in chosen:
            inside = rows[np.isin(code_of[rows], klass)]
            if inside.size:
                out.append(({**known_as, column: fold.spelled(klass, column)}, inside))
    return out


def _classes(codes: Class, ordered: bool) -> Iterator[tuple[Class, ...]]:
    """All ways to put codes into classes, the finest first; of ordered codes only neighbours together."""
    ways = sorted(_set_partitions(codes), key=len, reverse=True)
    for classes in ways:
        if not ordered or all(_neighbours(klass, codes) for klass in classes):
            yield tuple(classes)


def _neighbours(klass: Class, codes: Class) -> bool:
    places = [codes.index(code) for code in klass if code != _SPARSE]
    return not places or places == list(range(places[0], places[0] + len(places)))


def _set_partitions(codes: Class) -> list[list[Class]]:
    if not codes:
        return [[]]
    first, rest = codes[0], codes[1:]
    out = []
    for partition in _set_partitions(rest):
        out.append([(first,), *partition])
        out += [[*partition[:index], (first, *klass), *partition[index + 1 :]] for index, klass in enumerate(partition)]
    return out


def _groups(part: Ints, classes: Sequence[dict[str, Class]]) -> list[Group]:
    """Every union of parts that a choice of columns names; of two of the same people the one that says more."""
    columns = [tuple(c for i, c in enumerate(COLUMNS) if choice >> i & 1) for choice in range(1 << len(COLUMNS))]
    found: dict[frozenset[int], Group] = {}
    for chosen in sorted(columns, key=len):
        named: dict[tuple[Class, ...], list[int]] = {}
        for number, known_as in enumerate(classes):
            if all(column in known_as for column in chosen):
                named.setdefault(tuple(known_as[column] for column in chosen), []).append(number)
        for key, numbers in named.items():
            made = frozenset(numbers)
            if made and (not chosen or len(made) < len(classes)):
                found[made] = Group(dict(zip(chosen, key, strict=True)), np.isin(part, numbers), made)
    whole = found.pop(frozenset(range(len(classes))))
    everybody = Group({}, whole.members, whole.parts)
    return [everybody, *sorted(found.values(), key=_place)]


def _place(group: Group) -> tuple[object, ...]:
    columns = tuple(COLUMNS.index(column) for column in group.classes)
    return (
        group.level,
        columns,
        tuple(tuple(CODES[column].index(code) for code in klass) for column, klass in group.classes.items()),
    )


def _crossings() -> Iterator[dict[str, str]]:
    """Codes that say something, then pairs and triples of them."""
    for size in range(1, len(COLUMNS) + 1):
        for choice in range(1 << len(COLUMNS)):
            columns = [column for index, column in enumerate(COLUMNS) if choice >> index & 1]
            if len(columns) == size:
                crossed: list[dict[str, str]] = [{}]
                for column in columns:
                    crossed = [{**one, column: code} for one in crossed for code in CODES[column] if code != _SPARSE]
                yield from crossed


def _holds(table: pd.DataFrame, crossing: dict[str, str]) -> npt.NDArray[np.bool_]:
    inside = np.ones(len(table), bool)
    for column, code in crossing.items():
        inside &= (table[column] == code).to_numpy()
    return inside


def _missing(table: pd.DataFrame, people: int, share: float) -> list[dict[str, str]]:
    """What nobody has; what follows from a wider one that is missing is not said again.

    A crossing is named only if each wider one has enough people: of few, nothing is said of what they are not either.
    """
    out: list[dict[str, str]] = []
    known: dict[tuple[tuple[str, str], ...], bool] = {(): True}  # crossing -> enough people
    for crossing in _crossings():
        items = tuple(crossing.items())
        inside = _holds(table, crossing)
        known[items] = bool(inside.any()) and enough(table[inside], people, share)
        wider = [tuple(item for item in items if item != one) for one in items]
        if not inside.any() and all(known[one] for one in wider if len(items) > 1):
            out.append(crossing)
    return out


def _unsaid(table: pd.DataFrame, groups: Sequence[Group]) -> list[dict[str, str]]:
    """What somebody has and no group tells alone, the widest only."""
    told = [
        {column: klass[0] for column, klass in group.classes.items()}
        for group in groups
        if all(len(klass) == 1 for klass in group.classes.values())
    ]
    out: list[dict[str, str]] = []
    for crossing in _crossings():
        wider = any(one.items() <= crossing.items() for one in out)
        if not wider and crossing not in told and _holds(table, crossing).any():
            out.append(crossing)
    return out
