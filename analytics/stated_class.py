"""Lighting classes that a city states for its streets, in a table of its own: `places/required_classes.csv`.

A row names a `section` (number), a `street` (number) or a street by `name`; the nearer of several rows goes before. It
holds `required_class`, and if wanted `required_by_hour` ("18:00 P3; 23:00 P4; 05:00 P3"), `required_sc` (an SC class,
where faces are to be recognised) and `class_source`. The table stays when the city is built again.
"""

from __future__ import annotations

from pathlib import Path

import geopandas
import pandas as pd

from analytics.hand_table import read_table
from analytics.lighting_classes import CLASSES
from analytics.required_class import is_schedule
from sensors.city import City
from sensors.errors import LightingError, gather

FILE = "required_classes.csv"
KEYS = ("name", "street", "section")  # from the widest to the nearest
STATED = ("required_class", "required_by_hour", "required_sc", "class_source")
_EXPECTED = "section, street or name, required_class, required_by_hour, required_sc, class_source"
_MOST_ROWS = 200_000


def with_stated(city: City, sections: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The sections with what the city's table states of them; LightingError gathers all that is wrong with it."""
    file = city.path / "places" / FILE
    if not file.exists():
        return sections
    return stated(sections, file)


def stated(sections: geopandas.GeoDataFrame, file: Path) -> geopandas.GeoDataFrame:
    """Do what `with_stated` does from a file."""
    names, rows = read_table(file, _EXPECTED, _MOST_ROWS)
    if not any(key in names for key in KEYS) or not any(column in names for column in STATED[:3]):
        raise LightingError(f"{file} has the columns {', '.join(names)[:120]}; expected {_EXPECTED}")
    found = sections.copy()
    for column in STATED:
        if column not in found:
            found[column] = ""
        found[column] = found[column].fillna("").astype(object)
    problems: list[str] = []
    for key in KEYS:
        places = _places(sections, key)
        for line, row in rows:
            if _key_of(row) != key:
                continue
            where = places.get(row[key].casefold())
            problems += _row_problems(line, row, key, known=where is not None)
            if where is None:
                continue
            for column in STATED[:3]:
                if row.get(column):
                    found.loc[where, column] = row[column]
            found.loc[where, "class_source"] = row.get("class_source") or "stated"
    problems += [f"line {line} names no section, street or name" for line, row in rows if not _key_of(row)]
    if problems:
        raise LightingError(gather(str(file), problems))
    return found


def _key_of(row: dict[str, str]) -> str:
    """The nearest key that a row has."""
    return next((key for key in reversed(KEYS) if row.get(key)), "")


def _places(sections: geopandas.GeoDataFrame, key: str) -> dict[str, pd.Index]:
    """Rows of the sections by what a key may say, in lower case."""
    said = sections[key].fillna("").astype(str).str.casefold()
    return {str(word): index for word, index in sections.groupby(said, sort=False).groups.items() if word}


def _row_problems(line: int, row: dict[str, str], key: str, *, known: bool) -> list[str]:
    problems = [] if known else [f"line {line}: the city has no {key} '{row[key][:40]}'"]
    for column, families in (("required_class", ("M", "C", "P", "HS")), ("required_sc", ("SC",))):
        name = row.get(column, "")
        if name and (name not in CLASSES or CLASSES[name].family not in families):
            problems.append(f"line {line}: {column} '{name[:20]}' is none of the classes {', '.join(families)}")
    if row.get("required_by_hour") and not is_schedule(row["required_by_hour"]):
        problems.append(
            f"line {line}: required_by_hour '{row['required_by_hour'][:40]}' is not like '18:00 P3; 23:00 P4'"
        )
    return problems
