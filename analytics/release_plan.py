"""One plan by which statistics of answers themselves leave: over cells, zooms, windows and groups at once.

Counts and shares of answers are told of *boxes*: a fixed nested cell (400, 200, 100, 50 m), whole weeks or nights of
them, and classes of gender, age and role that are fixed beforehand. A box is divided along one of these only if each of
its pieces holds nobody or enough people (complementary suppression), and every piece that is not divided any more is an
*atom*. Atoms are disjoint, each holds enough people, and whatever is asked (by cells, by weeks, by women and age at
once) is answered in unions of atoms. So all that somebody can put together from answers to all questions, or take from
one another, is a union of atoms again: nobody, or enough people.

    enough: at least 10 people, none with more than 30 % of the weight

Answers of a cell wait until four weeks, or several times four, are over and together hold enough people, and are then
told once for all. So what is told next month differs from what was told today by whole atoms too. Answers that come
late (a file of last month) are told as atoms of their own beside those told already, which a plan takes from the one
before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from sensors.answer import CODES
from sensors.errors import ModelError
from sensors.night import nights_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Class = tuple[str, ...]  # codes told together, in the order of CODES

SIDES_M = (400.0, 200.0, 100.0, 50.0)
ORDER = ("place", "groups", "time")  # what boxes are divided by first, so what is told most finely
WINDOWS = ("all", "block", "week", "night")
MOST_OF_AN_ANSWER = 1.0  # weight
MOST_OF_A_NIGHT = 3.0  # weight of one person's answers of a night, as in the fit
_WEEK = 7
_BLOCK = 4 * _WEEK  # shorter blocks are told sooner and more coarsely: of ten people nothing more can be divided
_OVER = np.datetime64("9000-01-01", "D")  # after whatever was answered
_CITY = (0, 0, np.inf)  # the cell that holds all others
_MONDAY = np.datetime64("1970-01-05", "D")  # weeks run from the night of a Monday, the same for every city and plan

# Each column's classes from fine to coarse: those of one row are unions of those above, so any two rows can be joined.
LADDERS: dict[str, tuple[tuple[Class, ...], ...]] = {
    "gender": (
        (("woman",), ("man",), ("another",), ("undisclosed",)),
        (("woman",), ("man",), ("another", "undisclosed")),
        (("woman",), ("man", "another", "undisclosed")),
    ),
    "age_band": (
        (("16-24",), ("25-44",), ("45-64",), ("65+",), ("undisclosed",)),
        (("16-24",), ("25-44",), ("45-64",), ("65+", "undisclosed")),
        (("16-24",), ("25-44",), ("45-64", "65+", "undisclosed")),
        (("16-24", "25-44"), ("45-64", "65+", "undisclosed")),
    ),
    "role": (
        (("resident",), ("visitor",), ("worker",), ("undisclosed",)),
        (("resident",), ("visitor",), ("worker", "undisclosed")),
        (("resident",), ("visitor", "worker", "undisclosed")),
    ),
}


@dataclass(frozen=True)
class Box:
    """A cell, some nights of it and some people.

    row, column : of the cell among all of its side; side_m : metres; first : night; nights : how many; classes : column
    -> class of the columns that it was divided by
    """

    row: int
    column: int
    side_m: float
    first: int
    nights: int
    classes: Mapping[str, Class] = field(default_factory=dict)


@dataclass(frozen=True)
class Atom:
    """What is never divided: a box and the answers in it that are told together, by their response_id."""

    box: Box
    answers: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """All atoms that have been told, and how many answers wait for others.

    people, share : the rule that each atom keeps
    """

    atoms: tuple[Atom, ...]
    waiting: int
    people: int
    share: float


def plan_of(
    answers: pd.DataFrame,
    zone: ZoneInfo,
    *,
    tonight: np.datetime64,
    people: int = 10,
    share: float = 0.30,
    order: Sequence[str] = ORDER,
    earlier: Plan | None = None,
) -> Plan:
    """What may be told of some answers.

    answers : columns of `sensors.answer`, one instrument; tonight : the night that is not over, of which and of whose
    four weeks nothing is told yet; order : what is divided first; earlier : the plan that was told before, whose atoms
    stay. An atom that erasure leaves without enough people is taken back whole.
    """
    if sorted(order) != sorted(ORDER):
        raise ModelError(f"a plan is divided by {', '.join(order)}; expected {', '.join(ORDER)} in some order")
    table = _Table(capped(answers, zone), zone, people, share)
    kept, told = _kept(table, earlier)
    block_of_tonight = (tonight.astype("datetime64[D]") - _MONDAY).astype(int) // _BLOCK
    open_rows = np.flatnonzero(~told & (table.block < block_of_tonight))
    divide = {"place": _by_place, "groups": _by_groups, "time": _by_time}
    blocks = list(_blocks(table, open_rows))
    for what in order:
        blocks = [piece for block in blocks for piece in divide[what](table, *block)]
    fresh = [Atom(box, frozenset(table.ids[rows])) for box, rows in blocks]
    in_atoms = int(told.sum()) + sum(rows.size for _, rows in blocks)
    return Plan((*kept, *fresh), len(answers) - in_atoms, people, share)


def told_statistics(
    answers: pd.DataFrame,
    plan: Plan,
    zone: ZoneInfo,
    *,
    by: str | Sequence[str] = (),
    window: str = "all",
    zoom_m: float = SIDES_M[-1],
    safe_from: int = 3,
) -> pd.DataFrame:
    """Counts and shares of answers by a plan, one row a union of atoms: as fine as is asked, coarser where it must be.

    by : columns among gender, age_band and role, crossed; window : 'night', 'week', 'block' (the weeks that were told
    together) or 'all'; zoom_m : the smallest cell asked for, infinity for the whole city

    A row of a group is of those parts that could be told apart by it, and the row '' of the others. Returns west,
    south, side_m (infinite for the whole city), first_night, nights, one column for each of `by`, people, answers and
    `share_safe` (weighted, whole per cent).
    """
    return Told(answers, plan, zone).statistics(by=by, window=window, zoom_m=zoom_m, safe_from=safe_from)


class Told:
    """The answers that a plan tells, for many questions about them: see `told_statistics`."""

    def __init__(self, answers: pd.DataFrame, plan: Plan, zone: ZoneInfo) -> None:
        known = capped(answers, zone)
        place = {one: number for number, one in enumerate(known["response_id"])}
        self.atoms = plan.atoms
        self.rows = [np.array(sorted(place[one] for one in atom.answers), np.int64) for atom in plan.atoms]
        self.person = pd.factorize(known["pseudonym"])[0]
        self.weight, self.category = known["weight"].to_numpy(np.float64), known["category"].to_numpy(np.int64)

    def statistics(
        self,
        *,
        by: str | Sequence[str] = (),
        window: str = "all",
        zoom_m: float = SIDES_M[-1],
        safe_from: int = 3,
    ) -> pd.DataFrame:
        """The table that `told_statistics` describes."""
        columns = (by,) if isinstance(by, str) and by else tuple(by)
        rows: list[tuple[Any, ...]] = []
        for label, members in self.unions(columns, window, zoom_m):
            rows.append((*label, *self._sums(members, safe_from)))
        rows.sort(key=itemgetter(slice(0, 5 + len(columns))))
        names = ["west", "south", "side_m", "first_night", "nights", *columns, "people", "answers", "share_safe"]
        return pd.DataFrame(rows, columns=names)

    def unions(self, by: Sequence[str], window: str, zoom_m: float) -> Iterable[tuple[tuple[Any, ...], list[int]]]:
        """What each row of a table is called and the numbers of its atoms."""
        _refuse_question(by, window, zoom_m)
        for apart in _places_apart(self.atoms, zoom_m):
            for first, nights, of_window in _windows(self.atoms, apart, window):
                for (row, column, side), of_cell in _cells(self.atoms, of_window, zoom_m):
                    corner = (column * side, row * side) if np.isfinite(side) else (-np.inf, -np.inf)
                    for classes, members in _groups(self.atoms, of_cell, by):
                        group = (", ".join(klass) for klass in classes)
                        yield (*corner, side, _MONDAY + first, nights, *group), members

    def _sums(self, members: Sequence[int], safe_from: int) -> tuple[int, int, int]:
        rows = np.concatenate([self.rows[number] for number in members])
        weight = self.weight[rows]
        safe = weight[self.category[rows] >= safe_from].sum() / weight.sum()
        return np.unique(self.person[rows]).size, rows.size, int(np.rint(100 * safe))


def direct_statistics(
    answers: pd.DataFrame,
    *,
    by: str | Sequence[str] = (),
    window: str = "all",
    zoom_m: float = SIDES_M[-1],
    safe_from: int = 3,
    people: int = 10,
    share: float = 0.30,
    zone: ZoneInfo | None = None,
    tonight: np.datetime64 | None = None,
) -> pd.DataFrame:
    """Plan and tell in one go, for answers of which nothing was told before and of which none is to come.

    answers : columns of `sensors.answer`, one instrument; without a time they are of one night, without an id of
    their own each row is one, and a group column that is missing was not asked
    by, window, zoom_m, safe_from : as `told_statistics`; people, share, tonight : as `plan_of`, None when all is over
    """
    zone = ZoneInfo("UTC") if zone is None else zone
    missing: dict[str, Any] = {column: CODES[column][-1] for column in LADDERS if column not in answers}
    if "time" not in answers:
        missing["time"] = _MONDAY.astype("datetime64[ms]") + np.timedelta64(20, "h")
    if "response_id" not in answers:
        missing["response_id"] = np.arange(len(answers)).astype(str)
    whole = answers.assign(**missing)
    plan = plan_of(whole, zone, tonight=_OVER if tonight is None else tonight, people=people, share=share)
    return told_statistics(whole, plan, zone, by=by, window=window, zoom_m=zoom_m, safe_from=safe_from)


def capped(answers: pd.DataFrame, zone: ZoneInfo) -> pd.DataFrame:
    """Answers of which none counts more than one, and those of one person in one night no more than three."""
    weight = np.minimum(answers["weight"].to_numpy(np.float64), MOST_OF_AN_ANSWER)
    night = nights_of(answers["time"].to_numpy().astype("datetime64[ms]"), zone)
    together = pd.Series(weight).groupby([answers["pseudonym"].to_numpy(), night]).transform("sum").to_numpy()
    over = np.maximum(together, MOST_OF_A_NIGHT) / MOST_OF_A_NIGHT
    return answers.assign(weight=weight / over, night=night)


class _Table:
    """Answers as plain arrays, for the many questions that a plan asks of them."""

    def __init__(self, answers: pd.DataFrame, zone: ZoneInfo, people: int, share: float) -> None:
        self.ids = answers["response_id"].to_numpy(dtype=object)
        if len(set(self.ids)) != len(self.ids):
            raise ModelError("two answers have one response_id; a plan tells each answer once")
        self.person = pd.factorize(answers["pseudonym"])[0]
        self.weight = answers["weight"].to_numpy(np.float64)
        self.easting = answers["easting"].to_numpy(np.float64)
        self.northing = answers["northing"].to_numpy(np.float64)
        self.night = (answers["night"].to_numpy().astype("datetime64[D]") - _MONDAY).astype(np.int64)
        self.block = np.floor_divide(self.night, _BLOCK)
        self.code = {column: answers[column].astype(str).to_numpy(dtype=object) for column in LADDERS}
        self.people, self.share = people, share

    def cell(self, rows: Ints, side: float) -> Ints:
        """Row and column of the cell of a side that holds each answer, (2, n)."""
        return np.floor(np.stack([self.northing[rows], self.easting[rows]]) / side).astype(np.int64)

    def enough(self, rows: Ints) -> bool:
        """At least so many people, none of them with more than a share of the weight."""
        if rows.size < self.people:
            return False
        _, person = np.unique(self.person[rows], return_inverse=True)
        weight = np.bincount(person, self.weight[rows])
        return bool(weight.size >= self.people and weight.max() <= self.share * weight.sum() * (1 + 1e-9))


_Piece = tuple[Box, Ints]


def _kept(table: _Table, earlier: Plan | None) -> tuple[list[Atom], npt.NDArray[np.bool_]]:
    """The atoms told before that still are enough, and which answers are told or were."""
    told = np.zeros(table.ids.size, bool)
    if earlier is None:
        return [], told
    place = {one: number for number, one in enumerate(table.ids)}
    kept = []
    for atom in earlier.atoms:
        rows = np.array(sorted(place[one] for one in atom.answers if one in place), np.int64)
        if table.enough(rows):
            told[rows] = True
            kept.append(Atom(atom.box, frozenset(table.ids[rows])))
    return kept, told


def _blocks(table: _Table, rows: Ints) -> Iterable[_Piece]:
    """In each of the largest cells, four weeks or runs of them in which enough people answered; what is left waits."""
    side = SIDES_M[0]
    for (row, column), members in _split(rows, *table.cell(rows, side)):
        begun: int | None = None
        waiting = np.empty(0, np.int64)
        for (block,), of_block in _split(members, table.block[members]):
            begun = block if begun is None else begun
            waiting = np.concatenate([waiting, of_block])
            if table.enough(waiting):
                yield Box(row, column, side, begun * _BLOCK, (block - begun + 1) * _BLOCK), np.sort(waiting)
                begun, waiting = None, np.empty(0, np.int64)


def _by_place(table: _Table, box: Box, rows: Ints) -> list[_Piece]:
    if box.side_m <= SIDES_M[-1]:
        return [(box, rows)]
    side = box.side_m / 2
    quarters = _split(rows, *table.cell(rows, side))
    if not all(table.enough(quarter) for _, quarter in quarters):
        return [(box, rows)]
    pieces = [
        (Box(row, column, side, box.first, box.nights, box.classes), quarter) for (row, column), quarter in quarters
    ]
    return [smaller for piece in pieces for smaller in _by_place(table, *piece)]


def _by_time(table: _Table, box: Box, rows: Ints) -> list[_Piece]:
    for nights in (_BLOCK, _WEEK, 1):
        if box.nights <= nights:
            continue
        parts = _split(rows, np.floor_divide(table.night[rows], nights))
        if all(table.enough(part) for _, part in parts):
            pieces = [
                (Box(box.row, box.column, box.side_m, key * nights, nights, box.classes), part)
                for (key,), part in parts
            ]
            return [smaller for piece in pieces for smaller in _by_time(table, *piece)]
        return [(box, rows)]
    return [(box, rows)]


def _by_groups(table: _Table, box: Box, rows: Ints) -> list[_Piece]:
    pieces = [(box, rows)]
    for column in LADDERS:
        pieces = [smaller for piece in pieces for smaller in _by_column(table, column, *piece)]
    return pieces


def _by_column(table: _Table, column: str, box: Box, rows: Ints) -> list[_Piece]:
    """By the finest classes of a column of which each has nobody or enough people."""
    code = table.code[column][rows]
    for classes in LADDERS[column]:
        parts = [(klass, rows[np.isin(code, klass)]) for klass in classes]
        parts = [(klass, part) for klass, part in parts if part.size]
        # A code that no class knows would be in no part, and then the others would tell of it.
        whole = sum(part.size for _, part in parts) == rows.size
        if whole and len(parts) > 1 and all(table.enough(part) for _, part in parts):
            return [
                (Box(box.row, box.column, box.side_m, box.first, box.nights, {**box.classes, column: klass}), part)
                for klass, part in parts
            ]
    return [(box, rows)]


def _split(rows: Ints, *keys: Ints) -> list[tuple[tuple[int, ...], Ints]]:
    """Rows by equal keys, in their order."""
    if not rows.size:
        return []
    order = np.lexsort(keys[::-1])
    sorted_keys = np.stack(keys)[:, order]
    starts = np.flatnonzero(np.any(np.diff(sorted_keys, axis=1) != 0, axis=0)) + 1
    firsts = np.concatenate([[0], starts])
    parts = np.split(rows[order], starts)
    return [(tuple(int(key) for key in sorted_keys[:, first]), part) for first, part in zip(firsts, parts, strict=True)]


# --- what is asked, as unions of atoms


def _refuse_question(columns: Sequence[str], window: str, zoom_m: float) -> None:
    unknown = [column for column in columns if column not in LADDERS]
    if unknown or len(set(columns)) != len(columns):
        raise ModelError(f"statistics are told by {', '.join(LADDERS)}; '{', '.join(columns)}' was asked")
    if window not in WINDOWS:
        raise ModelError(f"statistics are told by {', '.join(WINDOWS)}; '{window}' was asked")
    if zoom_m not in (*SIDES_M, np.inf):
        raise ModelError(
            f"statistics are told in cells of {', '.join(f'{m:g}' for m in SIDES_M)} m; {zoom_m} was asked"
        )


def _places_apart(atoms: Sequence[Atom], zoom_m: float) -> list[list[int]]:
    """Atoms that may share a row: those of one largest cell, or all where the whole city is asked."""
    found: dict[tuple[int, int, float], list[int]] = {}
    for number, atom in enumerate(atoms):
        found.setdefault(_CITY if np.isinf(zoom_m) else _within(atom.box, SIDES_M[0]), []).append(number)
    return list(found.values())


def _windows(atoms: Sequence[Atom], numbers: Sequence[int], window: str) -> list[tuple[int, int, list[int]]]:
    """First night, nights and atoms of each window: as short as asked, longer where atoms reach across."""
    step = {"night": 1, "week": _WEEK, "block": 1, "all": 0}[window]
    spans = []
    for number in numbers:
        first, last = atoms[number].box.first, atoms[number].box.first + atoms[number].box.nights
        if step:
            first, last = first // step * step, -(-last // step) * step
        spans.append((first, last, number))
    found: list[tuple[int, int, list[int]]] = []
    for first, last, number in sorted(spans):
        if found and (not step or first < found[-1][1]):
            found[-1] = (found[-1][0], max(found[-1][1], last), [*found[-1][2], number])
        else:
            found.append((first, last, [number]))
    return [(first, last - first, members) for first, last, members in found]


def _cells(
    atoms: Sequence[Atom], numbers: Sequence[int], zoom_m: float
) -> list[tuple[tuple[int, int, float], list[int]]]:
    """Cell and atoms of each cell: as small as asked, larger where one atom is of a larger one."""
    if np.isinf(zoom_m):
        return [(_CITY, list(numbers))]
    found: dict[tuple[int, int, float], list[int]] = {}
    for number in sorted(numbers, key=lambda one: -atoms[one].box.side_m):
        box = atoms[number].box
        wider = [_within(box, side) for side in SIDES_M if side >= max(box.side_m, zoom_m)]
        cell = next((one for one in wider if one in found), wider[-1])
        found.setdefault(cell, []).append(number)
    return list(found.items())


def _groups(
    atoms: Sequence[Atom], numbers: Sequence[int], columns: Sequence[str]
) -> list[tuple[tuple[Class, ...], list[int]]]:
    """Classes and atoms of each group, coarser where one atom is; what was not divided by a column stands under ()."""
    found: dict[tuple[Class, ...], list[int]] = {(): list(numbers)}
    for column in columns:
        finer: dict[tuple[Class, ...], list[int]] = {}
        for classes, members in found.items():
            own = [atoms[number].box.classes.get(column, ()) for number in members]
            joined = {(): (), **_joined({klass for klass in own if klass}, column)}
            for number, klass in zip(members, own, strict=True):
                finer.setdefault((*classes, joined[klass]), []).append(number)
        found = finer
    return list(found.items())


def _joined(classes: set[Class], column: str) -> dict[Class, Class]:
    """For each class the one it is told in: those that share a code are one, and all codes together are ()."""
    merged: list[set[str]] = []
    for one in map(set, classes):
        touching = [other for other in merged if other & one]
        merged = [other for other in merged if not other & one] + [one.union(*touching)]
    told = {}
    for klass in classes:
        whole = next(one for one in merged if one.issuperset(klass))
        told[klass] = () if len(whole) == len(CODES[column]) else tuple(c for c in CODES[column] if c in whole)
    return told


def _within(box: Box, side: float) -> tuple[int, int, float]:
    """The cell of a side that holds a box's cell."""
    times = round(side / box.side_m)
    return box.row // times, box.column // times, side
