"""Shares of what people told whom, and of what puts them at ease, by district, year and group: never on a map.

Everything that is told is a union of *atoms*: parts of the filled forms that are disjoint and hold enough people each
(`release.enough`). Forms are divided by district, then year, gender and age, where every piece holds enough people for
each question that the whole tells; codes of too few people are told together. A question that only some were asked
(whom did you tell?) is told of a part only if those who were asked it and those who were not are nobody or enough
people. So whatever is put together from tables, or taken from one another, is nobody or enough people.

All optional items are divided together, so that tables of two of them do not show somebody either. What was told is
kept in `store/model/optional-items-told.json`, and its atoms stay as they are: answers that come later are told as
atoms of their own, so that the tables of two days differ by enough people as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analytics.phrases import Phrases, phrases
from analytics.release import enough
from sensors.answer import CODES
from sensors.city import City
from sensors.errors import ModelError
from sensors.instrument import NOMINAL, Instrument, instrument_names, load_instrument
from sensors.night import local_offset

FORMAT = 1
COLUMNS = ("district", "year", "gender", "age_band")  # in the order in which forms are divided
ALIASES = {"group": ("gender", "age_band")}
NOWHERE = "no district"
APART = "not told apart"  # of forms that were not divided by a column
_ORDERED = ("year", "age_band")  # classes of these hold neighbours only
_UNSAID = "undisclosed"

Class = tuple[str, ...]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Atom:
    """Filled forms that are told together and never divided.

    labels : column -> codes, of the columns that it was divided by; instruments : asked in all of its forms and told;
    answers : response ids
    """

    labels: dict[str, Class]
    instruments: frozenset[str]
    answers: frozenset[str]


@dataclass(frozen=True)
class Shares:
    """What may be told of one construct.

    rows : one a part and question, with the columns asked for, question, people, answers and `shares`, whole per cent
    by category; waiting : answers that no atom holds yet
    """

    construct: str
    by: tuple[str, ...]
    rows: list[dict[str, Any]]
    told: int
    waiting: int
    origins: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return {
            "construct": self.construct,
            "by": list(self.by),
            "told": self.told,
            "waiting": self.waiting,
            "origins": list(self.origins),
            "rows": self.rows,
        }


def shares(city: City, construct: str, by: Sequence[str] = ()) -> Shares:
    """Tell shares of a city's answers to the items of one construct, and keep in mind what was told.

    construct : 'telling' or 'presence'; by : columns among COLUMNS, or 'group' for gender and age
    """
    if construct not in NOMINAL:
        raise ModelError(f"shares are told of {' and '.join(NOMINAL)}, not of '{construct}'; a feeling is on the map")
    columns = columns_of(by)
    if "district" in columns and not len(city.places("districts")):
        raise ModelError(f"{city.name} has no districts; 'noctule city districts' takes them in")
    every = with_labels(city, _answers(city))
    rule = city.settings.release
    atoms = atoms_of(every, _told_before(city), people=rule.minimum_people, share=rule.maximum_share)
    _keep(city, atoms)
    here = [tool.id for tool in _items() if tool.construct == construct]
    table = every[every["instrument"].isin(here)].reset_index(drop=True)
    atoms = [replace(atom, instruments=atom.instruments & set(here)) for atom in atoms]
    ids = frozenset().union(*(atom.answers for atom in atoms)) if atoms else frozenset()
    told = table["response_id"].isin(ids)
    rows = list(rows_of(table, atoms, columns))
    origins = tuple(sorted(table["origin"][told].unique()))
    return Shares(construct, columns, rows, int(told.sum()), int((~told).sum()), origins)


def columns_of(by: Sequence[str]) -> tuple[str, ...]:
    """The columns that are asked for, in the order of COLUMNS."""
    asked = {name for one in by for name in ALIASES.get(one, (one,))}
    if alien := sorted(asked - set(COLUMNS)):
        known = ", ".join((*COLUMNS, *ALIASES))
        raise ModelError(f"shares are told by {known}; '{alien[0]}' was asked")
    return tuple(name for name in COLUMNS if name in asked)


def with_labels(city: City, table: pd.DataFrame) -> pd.DataFrame:
    """Answers with the district of their street section, their local year, and the form they stand on."""
    import geopandas

    district = np.full(len(table), NOWHERE, object)
    areas = city.places("districts")
    if len(areas) and len(table):
        points = geopandas.GeoSeries.from_xy(table["easting"], table["northing"], crs=city.crs)
        at, area = areas.sindex.query(points, predicate="intersects")
        names = areas["name"].astype(str).to_numpy(object)
        # A point on a border is in the first of its districts.
        for row, of in sorted(zip(at.tolist(), area.tolist(), strict=True), reverse=True):
            district[row] = names[of]
    times = table["time"].to_numpy().astype("datetime64[ms]")
    local = times + local_offset(times, city.zone) if len(times) else times
    form = table.groupby(["campaign", "pseudonym", "time", "easting", "northing"], sort=False).ngroup()
    return table.assign(district=district, year=local.astype("datetime64[Y]").astype(str), form=form.to_numpy(np.int64))


def atoms_of(table: pd.DataFrame, earlier: Sequence[Atom] = (), *, people: int = 10, share: float = 0.30) -> list[Atom]:
    """The atoms of some answers; those told before stay, and tell nothing any more where erasure left too few people.

    table : columns of `sensors.answer` and those of `with_labels`, answers to optional items
    """
    here = table.reset_index(drop=True)
    here = here.assign(weight=np.minimum(here["weight"].to_numpy(np.float64), 1.0))
    atoms, used = [], set()
    for atom in earlier:
        left = here[here["response_id"].isin(atom.answers)]
        if not len(left):
            continue
        told = atom.instruments if enough(left.drop_duplicates("form"), people, share) else frozenset()
        atoms.append(Atom(atom.labels, told, frozenset(left["response_id"])))
        # Its forms stay with it whole, also where it is taken back: told with others, they would show who was erased.
        used |= set(left["form"])
    fresh = here[~here["form"].isin(used)].reset_index(drop=True)
    parts = _Parts(fresh, people, share)
    whole = np.arange(len(fresh))
    if parts.fits(whole, frozenset()):
        pieces: list[tuple[dict[str, Class], Rows]] = [({}, whole)]
        for column in COLUMNS:
            pieces = [smaller for piece in pieces for smaller in parts.divided(column, *piece)]
        for labels, rows in pieces:
            atoms += parts.atoms(labels, rows)
    return atoms


def rows_of(table: pd.DataFrame, atoms: Sequence[Atom], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row a question and a part: as fine as asked, joined where an atom reaches across."""
    places = {one: row for row, one in enumerate(table["response_id"])}
    asked = sorted({name for atom in atoms for name in atom.instruments})
    weight = np.minimum(table["weight"].to_numpy(np.float64), 1.0)
    category, of = table["category"].to_numpy(np.int64), table["instrument"].to_numpy(object)
    pseudonym = table["pseudonym"].to_numpy(object)
    for labels, members in _joined(atoms, columns):
        for name in asked:
            answers = [answer for atom in members if name in atom.instruments for answer in atom.answers]
            rows = np.array(sorted(places[one] for one in answers if one in places), np.int64)
            rows = rows[of[rows] == name] if rows.size else rows
            if not rows.size:
                continue
            tool = load_instrument(name)
            sums = np.bincount(category[rows], weight[rows], tool.categories + 1)[1:]
            yield {
                **{column: list(labels[column]) for column in columns},
                "question": name,
                "people": len(set(pseudonym[rows])),
                "answers": int(rows.size),
                "shares": [int(one) for one in np.rint(100 * sums / sums.sum())],
            }


def as_text(found: Shares, language: str = "en") -> str:
    """The rows for people, in the words of the questions."""
    say = phrases(language)
    if not found.rows:
        return say("answer_shares.none")
    lines = []
    for name in dict.fromkeys(row["question"] for row in found.rows):
        item = load_instrument(name).items[0]
        lines.append(item.words[language])
        for row in (row for row in found.rows if row["question"] == name):
            part = ", ".join(_part(row[column], column, say) for column in found.by) or say("answer_shares.whole")
            shares_told = zip(item.answers[language], row["shares"], strict=True)
            told = ", ".join(f"{words} {say.percent(share / 100)}" for words, share in shares_told)
            people = say("answer_shares.people", n=row["people"])
            lines.append(f"  {say.told(part, told)} ({people})")
    return "\n".join(lines)


def _part(codes: Sequence[str], column: str, say: Phrases) -> str:
    """The codes of a row in words."""
    ours = {APART: say("answer_shares.apart"), NOWHERE: say("answer_shares.nowhere")}
    return " + ".join(ours.get(code) or say.texts.get(f"{column}.{code}", code) for code in codes)


def as_csv(found: Shares) -> str:
    """The rows as CSV: one line a part, question and answer."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*found.by, "question", "answer", "share_per_cent", "people", "answers"])
    for row in found.rows:
        words = load_instrument(row["question"]).items[0].answers["en"]
        for said, share in zip(words, row["shares"], strict=True):
            part = [" + ".join(row[column]) for column in found.by]
            writer.writerow([*map(_cell, part), row["question"], said, share, row["people"], row["answers"]])
    return out.getvalue()


class _Parts:
    """Forms that are not told yet, and how they may be divided; rows are answers."""

    def __init__(self, table: pd.DataFrame, people: int, share: float) -> None:
        self.table, self.people, self.share = table, people, share
        self.form = table["form"].to_numpy(np.int64)
        self.asked = table["instrument"].to_numpy(object)

    def enough(self, rows: Rows) -> bool:
        """Whether enough people stand behind some answers; who answered several questions of a form counts once."""
        forms = self.table.iloc[rows].drop_duplicates("form")
        return bool(len(forms)) and enough(forms, self.people, self.share)

    def fits(self, rows: Rows, wanted: frozenset[str]) -> bool:
        """Whether a part can be told, with each of the questions that its whole tells and somebody in it answered."""
        if not self.enough(rows):
            return False
        present = frozenset(self.asked[rows])
        return wanted & present <= self.told_in(rows)

    def told_in(self, rows: Rows) -> frozenset[str]:
        """The questions that can be told of a part, taken in from the one that most people answered."""
        counts = pd.Series(self.asked[rows]).value_counts()
        told: frozenset[str] = frozenset()
        for name in sorted(counts.index, key=lambda one: (-int(counts[one]), one)):
            if all(self.enough(piece) for _, piece in self.by_signature(rows, told | {name})):
                told |= {name}
        return told

    def by_signature(self, rows: Rows, told: frozenset[str]) -> list[tuple[frozenset[str], Rows]]:
        """Answers to some questions by which of them their form answers."""
        inside = rows[np.isin(self.asked[rows], list(told))]
        answered: dict[int, set[str]] = {}
        for form, name in zip(self.form[inside].tolist(), self.asked[inside], strict=True):
            answered.setdefault(form, set()).add(str(name))
        found: dict[frozenset[str], list[int]] = {}
        for row in inside.tolist():
            found.setdefault(frozenset(answered[int(self.form[row])]), []).append(row)
        return [(key, np.array(found[key], np.int64)) for key in sorted(found, key=sorted)]

    def atoms(self, labels: dict[str, Class], rows: Rows) -> list[Atom]:
        """A part that is not divided any more, by what its forms answer."""
        ids = self.table["response_id"].to_numpy(object)
        pieces = self.by_signature(rows, self.told_in(rows))
        return [Atom(labels, signature, frozenset(ids[piece])) for signature, piece in pieces]

    def divided(self, column: str, labels: dict[str, Class], rows: Rows) -> list[tuple[dict[str, Class], Rows]]:
        """A part by classes of a column, each of which can be told; the part itself where there are no two."""
        code = self.table[column].to_numpy(object)[rows]
        if len(set(code)) == 1:
            return [({**labels, column: (str(code[0]),)}, rows)]
        wanted = self.told_in(rows)

        def fits(klass: Class) -> bool:
            return self.fits(rows[np.isin(code, klass)], wanted)

        codes = _in_order(set(code), column)
        classes = _neighbours(codes, fits) if column in _ORDERED else _with_a_pool(codes, fits)
        if len(classes) < 2:
            return [(labels, rows)]
        return [({**labels, column: klass}, rows[np.isin(code, klass)]) for klass in classes]


def _in_order(codes: set[Any], column: str) -> list[str]:
    known = CODES.get(column, ())
    return sorted(map(str, codes), key=lambda code: (known.index(code) if code in known else len(known), code))


def _neighbours(codes: Sequence[str], fits: Callable[[Class], bool]) -> list[Class]:
    """Runs of codes in their order, each as short as can be told; who did not say goes with the last."""
    classes: list[Class] = []
    waiting: Class = ()
    for code in codes:
        waiting = (*waiting, code)
        if fits(waiting):
            classes.append(waiting)
            waiting = ()
    while waiting and classes:
        waiting = (*classes.pop(), *waiting)
        if fits(waiting):
            return [*classes, waiting]
    return classes if not waiting else []


def _with_a_pool(codes: Sequence[str], fits: Callable[[Class], bool]) -> list[Class]:
    """Each code that can be told alone, and the others together; the pool takes in codes until it can be told."""
    alone = [code for code in codes if fits((code,))]
    pool = [code for code in codes if code not in alone]
    while pool and alone and not fits(tuple(pool)):
        pool = [code for code in codes if code in pool or code == alone[-1]]
        alone = alone[:-1]
    return [*((code,) for code in alone), *([tuple(pool)] if pool else [])]


def _joined(atoms: Sequence[Atom], columns: Sequence[str]) -> list[tuple[dict[str, Class], list[Atom]]]:
    """Atoms by the columns asked for: classes that share a code are one row, and what was not divided is another."""
    groups: list[tuple[dict[str, Class], list[Atom]]] = [({}, list(atoms))] if atoms else []
    for column in columns:
        finer = []
        for labels, members in groups:
            sets: list[tuple[set[str], list[Atom]]] = []
            for atom in members:
                own = set(atom.labels.get(column, (APART,)))
                touching = [one for one in sets if one[0] & own]
                rest = [one for one in sets if not one[0] & own]
                together = [atom, *(other for _, others in touching for other in others)]
                sets = [*rest, (own.union(*(one[0] for one in touching)), together)]
            finer += [({**labels, column: tuple(_in_order(codes, column))}, together) for codes, together in sets]
        groups = sorted(finer, key=lambda one: tuple(one[0].values()))
    return groups


def _items() -> list[Instrument]:
    """The instruments whose answers leave as shares alone."""
    return [tool for name in instrument_names() if (tool := load_instrument(name)).construct in NOMINAL]


def _answers(city: City) -> pd.DataFrame:
    from ingest.archive import answers

    every = pd.DataFrame(answers(city).drop(columns="geometry"))
    here = every[every["instrument"].isin([tool.id for tool in _items()])].drop_duplicates("response_id")
    return here.sort_values("response_id", ignore_index=True)


def _told_before(city: City) -> list[Atom]:
    path = _path(city)
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            raise ModelError(f"{path} has format {content['format']}; this version reads {FORMAT}")
        return [
            Atom(
                {column: tuple(codes) for column, codes in atom["labels"].items()},
                frozenset(atom["instruments"]),
                frozenset(atom["answers"]),
            )
            for atom in content["atoms"]
        ]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelError(
            f"{path} cannot be read ({problem}); restore it, since without it what is told could be compared with what "
            f"was told before"
        ) from problem


def _keep(city: City, atoms: Sequence[Atom]) -> None:
    path = _path(city)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = [
        {"labels": atom.labels, "instruments": sorted(atom.instruments), "answers": sorted(atom.answers)}
        for atom in atoms
    ]
    beside = path.with_suffix(".json.new")
    beside.write_text(json.dumps({"format": FORMAT, "atoms": content}, indent=1, ensure_ascii=False), "utf-8")
    beside.replace(path)


def _path(city: City) -> Path:
    return city.shelf("model") / "optional-items-told.json"


def _cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text
