"""A row of an export with several questions in it, spread out to one row an answer.

A form asks everybody several things, so its export has a column a question. Each question that a mapping names becomes
rows of its own, with its instrument; who left it empty gave no answer to it. All rows of a person keep the person's
pseudonym, so that several answers of one row never count as several people.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
import pandas as pd

from sensors.errors import AnswerError
from sensors.instrument import load_instrument

if TYPE_CHECKING:
    from ingest.survey_file import Mapping

MOST_ITEMS = 40  # no form asks more of these; each makes the table longer by all its rows
NEVER_WORD = "never"  # what a mapping's codes say for "I never go out there alone at night"


class MappedItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question of an export.

    column : theirs; instrument : what it is; light_state : where one question is of the day and one of the dark;
    codes : their code -> category as asked by the instrument, or 'never'
    """

    column: str
    instrument: str
    light_state: str = ""
    codes: dict[str, str | int] = {}


def spread_out(raw: pd.DataFrame, mapping: Mapping) -> tuple[pd.DataFrame, Mapping]:
    """The table with a row an answer, its index the row of the file, and the mapping that reads it."""
    columns = dict(mapping.columns)
    computed: dict[str, pd.Series[str]] = {}
    if mapping.geopoint:
        points = [read_point(cell) for cell in _column(raw, mapping.geopoint, "geopoint")]
        computed["lat"] = pd.Series([point[0] for point in points], raw.index, dtype=object)
        computed["lon"] = pd.Series([point[1] for point in points], raw.index, dtype=object)
    for ours, value in mapping.fixed.items():
        computed[ours] = _same(value, raw)
    table = _with(raw, computed)
    columns = {ours: theirs for ours, theirs in columns.items() if ours not in computed}
    if mapping.items:
        table, columns = _answers(table, columns, mapping.items)
    return table, msgspec.structs.replace(mapping, columns=columns, geopoint="", fixed={}, items=())


def read_point(cell: str) -> tuple[str, str]:
    """Latitude and longitude of a cell such as '60.17 24.94 0 5', '60.17;24.94' or '[60.17, 24.94]'; empty if none.

    >>> read_point("60.1702 24.9401 0 4.5")
    ('60.1702', '24.9401')
    """
    number = r"([+-]?\d{1,3}(?:\.\d{1,20})?)"
    found = re.match(rf"[\s\[(]*{number}[\s,;]+{number}(?:[\s,;\])].*)?$", cell[:200], re.DOTALL)
    return (found[1], found[2]) if found else ("", "")


def _answers(
    table: pd.DataFrame, columns: dict[str, str], items: tuple[MappedItem, ...]
) -> tuple[pd.DataFrame, dict[str, str]]:
    if len(items) > MOST_ITEMS:
        raise AnswerError(f"the mapping has {len(items)} items; at most {MOST_ITEMS} are read from one file")
    if own := sorted({"category", "instrument"} & set(columns)):
        raise AnswerError(f"a mapping with [[items]] says {' and '.join(own)} by them; take it out of [columns]")
    if len({(item.instrument, item.light_state) for item in items}) < len(items):
        raise AnswerError("the mapping has two items of one instrument and light state; they would be one answer twice")
    ids = _column(table, columns.get("response_id", "response_id"), "response_id")
    person = _column(table, columns["pseudonym"], "pseudonym") if "pseudonym" in columns else ids
    there = {str(name).strip().lower() for name in table.columns}
    state = columns.get("light_state", "light_state")
    states = _column(table, state, "light_state") if "light_state" in columns or state in there else _same("", table)
    parts = []
    for item in items:
        said, told = _told(table, item)
        name = f" {item.instrument} {item.light_state}".rstrip() if len(items) > 1 else ""
        computed = {
            "response_id": ids.map(lambda one, name=name: one + name if one else ""),
            "category": told,
            "instrument": _same(item.instrument, table),
            "light_state": _same(item.light_state, table) if item.light_state else states,
            "pseudonym": person.where(person != "", ids),
        }
        parts.append(_with(table, computed)[(said != "").to_numpy()])
    whole = pd.concat(parts)
    asked = {item.column.strip().lower() for item in items} - set(computed)
    whole = whole.drop(columns=[name for name in whole.columns if str(name).strip().lower() in asked])
    return whole, {ours: theirs for ours, theirs in columns.items() if ours not in computed}


def _told(table: pd.DataFrame, item: MappedItem) -> tuple[pd.Series[str], pd.Series[str]]:
    """What stands in the column of a question, and that in the words of its instrument."""
    tool = load_instrument(item.instrument)
    words = {str(code).strip().casefold(): str(category) for code, category in item.codes.items()}
    if NEVER_WORD in words.values():
        if not tool.never:
            raise AnswerError(
                f"the mapping calls a code of '{item.column}' '{NEVER_WORD}', but {tool.id} knows no such answer"
            )
        never = next(iter(tool.never.values()))[0]
        words = {code: never if category == NEVER_WORD else category for code, category in words.items()}
    said = _column(table, item.column, f"item {item.instrument}")
    return said, said.map(lambda value: words.get(value.casefold(), value))


def _with(table: pd.DataFrame, computed: dict[str, pd.Series[str]]) -> pd.DataFrame:
    """The table with our columns in place of any of that name, however spelled."""
    kept = [name for name in table.columns if str(name).strip().lower() not in computed]
    return table[kept].assign(**computed)


def _same(value: str, table: pd.DataFrame) -> pd.Series[str]:
    return pd.Series(value, table.index, dtype=object)


def _column(table: pd.DataFrame, wanted: str, ours: str) -> pd.Series[str]:
    from ingest.survey_file import text_of

    theirs = {str(name).strip().lower(): name for name in table.columns}
    found = theirs.get(wanted.strip().lower())
    if found is None:
        raise AnswerError(f"column '{wanted}' ({ours}) is missing; the file has {', '.join(theirs)}")
    return table[found].map(text_of)
