"""A survey of light: lux that somebody measured on some nights where no sensor stands, a value a cell.

A survey is kept under `places/light-surveys/` as a table of cells (`ID.parquet`, columns SURVEY_COLUMNS) with what the
surveyor states of it beside (`ID.json`, the fields of `Terms`). Only cells, quarters of an hour and lux are kept: no
track, no exact time, nothing that names a vehicle, a device or a person. Lux drives come by `lux_drive.py`, images of
the night from the air by `night_image.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from sensors.city import City
from sensors.errors import CityError, LayerError

FORMAT = 1
PLANES = ("horizontal", "vertical", "aerial")
ORIGINS = ("device", "recorded", "simulated")
SURVEY_COLUMNS = {
    "easting": "float64",  # centre of the cell, metres of the city's projection
    "northing": "float64",
    "time": "datetime64[ms]",  # UTC, the quarter of an hour of the cell's middle reading
    "lux": "float32",  # median of the cell's readings
    "readings": "uint32",
    "spread": "float32",  # sd of ln lux within the cell, from its median deviation; NaN with fewer than three readings
    "at_least": "bool",  # the instrument was at its end: it was this bright or brighter
}
STEP_MS = 900_000
LEAST_LUX, MOST_LUX = 0.0, 5_000.0  # by night; a floodlit pitch has 500, a forecourt 300
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_HEIGHTS = {"horizontal": (0.0, 5.0), "vertical": (0.0, 5.0), "aerial": (0.0, 0.0)}


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the surveyor states, and what came of the file.

    plane : what the sensor faced; 'aerial' is light that went up, calibrated to lux on the ground by the user
    height_m : of the sensor above the ground; sd : of ln lux, of one cell's own error; gain_sd : of ln lux, of an error
    that the whole survey shares (calibration, cosine, windscreen); clip_lux : end of the instrument, 0 without one
    """

    survey: str
    plane: str
    height_m: float
    sd: float
    gain_sd: float
    clip_lux: float = 0.0
    origin: str = "recorded"
    instrument: str = ""
    attribution: str = ""
    licence: str = ""
    crs: str = ""
    cell_m: float = 0.0
    readings: int = 0
    first: str = ""  # night, local
    last: str = ""
    digest: str = ""  # of the file, so that the same file is not taken twice
    format: int = FORMAT


@dataclass
class SurveyReport:
    """What became of a file."""

    file: str
    rows: int = 0
    readings: int = 0
    cells: int = 0
    at_least: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    nights: tuple[str, str] = ("", "")
    quantiles: tuple[float, ...] = ()  # 5, 50, 95 % of the cells' lux
    notes: list[str] = field(default_factory=list)
    survey: str = ""
    known: bool = False  # the same file stands already under this id

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return {
            "file": self.file,
            "survey": self.survey,
            "rows": self.rows,
            "readings": self.readings,
            "cells": self.cells,
            "at_least": self.at_least,
            "left_out": self.left_out,
            "columns": self.columns,
            "ignored_columns": self.ignored,
            "nights": list(self.nights),
            "lux_5_50_95": list(self.quantiles),
            "notes": self.notes,
            "already_known": self.known,
        }

    def text(self) -> str:
        """For people."""
        lines = [f"{self.file}: {self.rows} rows, {self.readings} readings in {self.cells} cells"]
        if self.quantiles:
            low, middle, high = self.quantiles
            lines.append(
                f"  nights {' to '.join(dict.fromkeys(self.nights))}; {middle:.3g} lx (5-95 %: {low:.3g}-{high:.3g})"
            )
        if self.columns:
            lines.append("  read: " + ", ".join(f"{ours} from '{theirs}'" for ours, theirs in self.columns.items()))
        if self.ignored:
            lines.append(f"  not read, not kept: {', '.join(self.ignored[:12])}")
        if self.at_least:
            lines.append(f"  {self.at_least} cells are at the end of the instrument and count as 'at least'")
        lines += [f"  left out: {count} ({reason})" for reason, count in self.left_out.items()]
        return "\n".join(lines + [f"  {note}" for note in self.notes])


def checked_terms(terms: Terms, city: City) -> Terms:
    """The terms if they can be; LayerError says all that is wrong."""
    from sensors.errors import gather

    problems = []
    if not _NAME.fullmatch(terms.survey):
        problems.append(f"id '{terms.survey[:60]}' must be lower-case letters, digits and single hyphens")
    if terms.plane not in PLANES:
        problems.append(f"plane '{terms.plane}' is none of {', '.join(PLANES)}")
    else:
        low, high = _HEIGHTS[terms.plane]
        if not low <= terms.height_m <= high:
            what = (
                "light seen from above counts on the ground: height 0"
                if high == 0
                else f"expected {low:g} to {high:g} m"
            )
            problems.append(f"height {terms.height_m:g} m; {what}")
    if terms.origin not in ORIGINS:
        problems.append(f"origin '{terms.origin}' is none of {', '.join(ORIGINS)}")
    elif terms.origin == "simulated" and not city.simulated:
        problems.append(f"{city.name} is not declared simulated and takes no simulated survey")
    for name in ("sd", "gain_sd"):
        value = getattr(terms, name)
        if not 0.01 <= value <= 3.0:
            problems.append(f"{name} {value:g} must be an sd of ln lux between 0.01 and 3 (0.2 is about 20 %)")
    if not (terms.clip_lux == 0.0 or 1.0 <= terms.clip_lux <= 1e6):
        problems.append(f"clip {terms.clip_lux:g} lx must be the instrument's end, 1 lx or more")
    if problems:
        raise LayerError(gather("light survey", problems))
    return terms


def save_survey(city: City, terms: Terms, cells: pd.DataFrame) -> bool:
    """Keep a survey; False if the same file stands already under its id, LayerError if another does."""
    folder = _folder(city)
    if (folder / f"{terms.survey}.json").is_file():
        held = _terms(folder / f"{terms.survey}.json")
        if held == terms:
            return False
        what = "from another file" if held.digest != terms.digest else "of this file with other terms"
        raise LayerError(
            f"{city.name} has a light survey '{terms.survey}' {what}; remove it first with 'noctule light-survey "
            f"remove {city.path} {terms.survey}', or choose another --id"
        )
    folder.mkdir(parents=True, exist_ok=True)
    table = cells.sort_values(["northing", "easting", "time"], kind="stable", ignore_index=True).astype(SURVEY_COLUMNS)
    beside = folder / f"{terms.survey}.parquet.new"
    table[list(SURVEY_COLUMNS)].to_parquet(beside, index=False, compression="zstd")
    beside.replace(folder / f"{terms.survey}.parquet")
    words = folder / f"{terms.survey}.json.new"
    words.write_bytes(msgspec.json.format(msgspec.json.encode(terms), indent=1) + b"\n")
    words.replace(folder / f"{terms.survey}.json")  # the commit: a table without it is not a survey
    return True


def load_surveys(city: City) -> list[tuple[Terms, pd.DataFrame]]:
    """All surveys of a city in the order of their ids; CityError where one is damaged or of another projection."""
    return [_load(city, name) for name in surveys(city)]


def surveys(city: City) -> list[str]:
    """Ids of the city's light surveys."""
    return sorted(path.stem for path in _folder(city).glob("*.json"))


def survey_terms(city: City) -> list[Terms]:
    """What was stated of each survey, without its cells."""
    return [_terms(_folder(city) / f"{name}.json") for name in surveys(city)]


def remove_survey(city: City, survey: str) -> int:
    """Take a survey out of the city; how many cells went."""
    if survey not in surveys(city):
        raise LayerError(f"{city.name} has no light survey '{survey}'; it has {', '.join(surveys(city)) or 'none'}")
    table = _folder(city) / f"{survey}.parquet"
    cells = len(pd.read_parquet(table, columns=["lux"])) if table.is_file() else 0
    (_folder(city) / f"{survey}.json").unlink()
    table.unlink(missing_ok=True)
    return cells


def survey_problems(city: City) -> list[str]:
    """Everything that is wrong with the city's light surveys, a line each."""
    problems = []
    for name in surveys(city):
        try:
            terms, _ = _load(city, name)
        except CityError as error:
            problems += str(error).splitlines()
            continue
        if terms.origin == "simulated" and not city.simulated:
            problems.append(
                f"places/light-surveys/{name}: it is simulated, but city.toml lacks 'simulated = true'; remove it with "
                f"'noctule light-survey remove {city.path} {name}'"
            )
    return problems


def by_cell(
    city: City,
    easting: npt.NDArray[np.float64],
    northing: npt.NDArray[np.float64],
    time: npt.NDArray[np.datetime64],
    lux: npt.NDArray[np.float64],
    at_least: npt.NDArray[np.bool_],
) -> pd.DataFrame:
    """Medians of readings by cell of the city: robust against the headlights of a few oncoming cars.

    easting, northing : (n,) metres; time : UTC; lux : at or above 0; at_least : the instrument was at its end
    """
    grid = city.settings.grid
    column = np.floor((easting - grid.west) / grid.cell_m).astype(np.int64)
    row = np.floor((northing - grid.south) / grid.cell_m).astype(np.int64)
    key = row * 10_000_000 + column
    order = np.lexsort((lux, key))
    key, sorted_lux = key[order], lux[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if key.size else np.empty(0, np.int64)
    count = np.diff(np.r_[first, key.size])
    middle = _middle(sorted_lux, first, count)
    log = np.log(np.maximum(sorted_lux, 1e-3))
    deviation = np.abs(log - np.repeat(np.log(np.maximum(middle, 1e-3)), count))
    again = np.lexsort((deviation, key))
    spread = 1.4826 * _middle(deviation[again], first, count)
    cell = key[first]
    moments = time[order].astype("datetime64[ms]").astype(np.int64)
    by_time = np.lexsort((moments, key))
    half = moments[by_time][first + (count - 1) // 2] if key.size else moments
    clipped = np.add.reduceat(at_least[order].astype(np.int64), first) if key.size else count
    return pd.DataFrame(
        {
            "easting": grid.west + (cell % 10_000_000 + 0.5) * grid.cell_m,
            "northing": grid.south + (cell // 10_000_000 + 0.5) * grid.cell_m,
            "time": (half // STEP_MS * STEP_MS).astype("datetime64[ms]"),
            "lux": middle,
            "readings": count,
            "spread": np.where(count >= 3, spread, np.nan),
            "at_least": 2 * clipped > count,  # the median itself is at the end
        }
    ).astype(SURVEY_COLUMNS)


def name_from(file: Path, wanted: str) -> str:
    """An id for what a file brings: the one wanted, or made from the file's name."""
    return wanted or re.sub(r"[^a-z0-9]+", "-", file.name.split(".")[0].lower()).strip("-")


def _middle(
    values: npt.NDArray[np.float64], first: npt.NDArray[np.int64], count: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Medians of runs of ascending values."""
    if not first.size:
        return np.empty(0)
    middle: npt.NDArray[np.float64] = 0.5 * (values[first + (count - 1) // 2] + values[first + count // 2])
    return middle


def _load(city: City, name: str) -> tuple[Terms, pd.DataFrame]:
    file = _folder(city) / f"{name}.parquet"
    terms = _terms(_folder(city) / f"{name}.json")
    try:
        table = pd.read_parquet(file)
    except Exception as error:  # whatever the Parquet reader raises on a damaged or missing file
        raise CityError(f"{file} cannot be read ({error}); import the survey again or remove it") from error
    missing = [column for column in SURVEY_COLUMNS if column not in table.columns]
    if missing:
        raise CityError(f"{file} lacks the columns {', '.join(missing)}; import the survey again or remove it")
    if terms.crs != city.crs:
        raise CityError(f"{file} is in {terms.crs}, the city's projection is {city.crs}; import the survey again")
    return terms, table[list(SURVEY_COLUMNS)].astype(SURVEY_COLUMNS)


def _terms(file: Path) -> Terms:
    try:
        terms = msgspec.json.decode(file.read_bytes(), type=Terms)
    except (OSError, msgspec.DecodeError) as error:
        raise CityError(f"{file} cannot be read ({error}); import the survey again or remove both its files") from error
    if terms.format != FORMAT:
        raise CityError(f"{file} has format {terms.format}, this version reads {FORMAT}; import the survey again")
    return terms


def _folder(city: City) -> Path:
    return city.path / "places" / "light-surveys"
