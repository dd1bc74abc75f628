"""A table of text and how a recipe maps its columns: rows kept, values looked up, numbers checked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sensors.errors import RecipeError
from sensors.recipe import Column, Value


def read_csv(path: Path, separator: str = ",") -> pd.DataFrame:
    """A CSV file, plain or gzip, every value as text; an empty cell is missing."""
    if not path.is_file():
        raise RecipeError(f"there is no file '{path}'")
    try:
        frame = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise RecipeError(f"'{path}' is empty") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, EOFError) as error:
        raise RecipeError(f"'{path}' cannot be read as CSV ({error})") from error
    if not len(frame):
        raise RecipeError(f"'{path}' has a header but no rows")
    return frame


def kept_rows(
    frame: pd.DataFrame, keep: dict[str, list[Value]], drop: dict[str, list[Value]], where: str
) -> pd.DataFrame:
    """The rows that a recipe's `keep` and `drop` leave; values are compared as text."""
    for conditions, wanted in ((keep, True), (drop, False)):
        for column, values in conditions.items():
            texts = {_as_text(value) for value in values}
            frame = frame[texts_of(column_of(frame, column, where)).isin(texts) == wanted]
    return frame


def mapped(frame: pd.DataFrame, rule: str | Column, kind: str, where: str) -> pd.Series[Any]:
    """One column as its rule says, of kind 'int', 'float', 'str' or 'bool', with the index of `frame`.

    Missing numbers are NaN, missing texts are ''.
    """
    rule = Column(column=rule) if isinstance(rule, str) else rule
    if rule.value is not None:
        values: pd.Series[Any] = pd.Series([rule.value] * len(frame), index=frame.index, dtype=object)
    else:
        values = _looked_up(column_of(frame, rule.column, where), rule)
    if kind in ("float", "int"):
        values = numbers_of(values, where, rule.column) * rule.scale + rule.offset
        if rule.times is not None:
            values = values * mapped(frame, rule.times, "float", where)
        if rule.fill_by:
            category = column_of(frame, rule.fill_by, where)
            values = values.fillna(values.groupby(category).transform("median"))
    if rule.default is not None:
        values = values.where(values.notna(), rule.default)
    return _cast(values, rule, kind, where)


def column_of(frame: pd.DataFrame, name: str, where: str) -> pd.Series[Any]:
    """A column; RecipeError names those that there are."""
    if name not in frame.columns:
        has = ", ".join(str(column) for column in frame.columns if column != "geometry")
        raise RecipeError(f"{where} has no column '{name}'; it has {has}")
    return frame[name]


def texts_of(values: pd.Series[Any]) -> pd.Series[Any]:
    """Values as a person would write them in a recipe; '' where missing."""
    if isinstance(values.dtype, pd.StringDtype):  # from CSV: text already, and there may be millions
        return values.fillna("").str.strip().astype(object)
    return values.map(_as_text).astype(object)


def numbers_of(values: pd.Series[Any], where: str, column: str) -> pd.Series[Any]:
    """Values as numbers, NaN where missing; RecipeError on the first that is no number."""
    given = texts_of(values) != ""
    numbers = pd.to_numeric(values.where(given, None), errors="coerce").astype(float)
    wrong = given & ~np.isfinite(numbers)
    if wrong.any():
        row = int(np.flatnonzero(wrong.to_numpy())[0])
        text = _as_text(values.iloc[row])
        raise RecipeError(
            f"{where}: {int(wrong.sum())} values of column '{column}' are not numbers, the first is '{text}' "
            f"in row {row + 1}"
        )
    return numbers


def _looked_up(values: pd.Series[Any], rule: Column) -> pd.Series[Any]:
    texts = texts_of(values)
    result = values.astype(object).where(texts != "", None)
    if rule.unknown:
        result = result.where(~texts.isin({_as_text(value) for value in rule.unknown}), None)
    if rule.table:
        result = texts.map(rule.table).astype(object)
    if rule.patterns:
        rules = [(re.compile(pattern, re.IGNORECASE), value) for pattern, value in rule.patterns.items()]
        found = texts.map(lambda text: next((value for pattern, value in rules if pattern.search(text)), None))
        result = result.where(result.notna(), found) if rule.table else found.astype(object)
    return result


def _cast(values: pd.Series[Any], rule: Column, kind: str, where: str) -> pd.Series[Any]:
    if kind == "str":
        texts = texts_of(values)
        if rule.title:
            texts = texts.str.split().str.join(" ").str.title().str.replace("'S ", "'s ", regex=False)
        if rule.text:
            before, after = rule.text.split("{}")
            texts = before + texts + after
        return texts.astype(object)
    if kind == "bool":
        truth = values.map({True: True, False: False, "true": True, "false": False, "yes": True, "no": False})
        if truth.isna().any():
            text = _as_text(values[truth.isna()].iloc[0])
            raise RecipeError(f"{where}: '{text}' in column '{rule.column}' is neither true nor false")
        return truth.astype(bool)
    if kind == "int":
        if values.isna().any():
            raise RecipeError(f"{where}: column '{rule.column}' has rows without a number; add a default")
        return values.round().astype(np.int64)
    return values.astype(float)


def _as_text(value: Any) -> str:
    """As a person would write it in a recipe: whole numbers without a point, booleans as in TOML."""
    if value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NaT:
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip() if not isinstance(value, dict | list) else json.dumps(value)
