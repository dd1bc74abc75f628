"""A scenario: what a lighting department would change, read from a TOML file.

    format = 1
    name = "weekend-exception"                       # a folder name: lower-case letters, digits, hyphens
    title = "Full light in Market Street until three"

    [[change]]
    what = "dim"                                     # or "replace", "add", "remove"
    street = "Market Street"                         # or lamps = ["L1", "L2"], or polygon = [[lon, lat], ...]
    level = 1.0                                      # of full output, 0..1; whatever the schedule says
    hours = ["23:00", "03:00"]                       # local; the whole night without it

    [[change]]
    what = "add"
    positions = [[24.941, 60.169]]                   # lon, lat (WGS 84)
    lumens = 5000
    watts = 42
    height_m = 6

`replace` takes any of lumens, watts, height_m, cct_k, mf, azimuth_deg, tilt_deg, overhang_m and luminaire; `remove`
nothing more. A luminaire is a photometric file of the city, `road` or `lambert`; a file brings its own lumens and watts
where the change says none. Changes are applied in order; of two that dim the same lamp at the same hour the later one
holds.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sensors.city import City
from sensors.errors import LuminaireError, ScenarioError, gather
from sensors.night import Night

if TYPE_CHECKING:
    import geopandas

FORMAT = 1
WHATS = ("dim", "replace", "add", "remove")
SELECTORS = ("lamps", "polygon", "street")

# What a lamp may be given: (lowest, highest), in the unit of the lamps table. The bounds refuse slips of the unit or
# of a digit; the largest street luminaires give some 60,000 lm from 25 m masts (sensing.md A5).
LAMP_NUMBERS = {
    "lumens": (50.0, 200_000.0),
    "watts": (0.5, 2_000.0),
    "height_m": (0.5, 40.0),
    "cct_k": (1_600.0, 10_000.0),
    "mf": (0.1, 1.0),
    "azimuth_deg": (-360.0, 360.0),
    "tilt_deg": (-45.0, 90.0),
    "overhang_m": (0.0, 10.0),
}
_ALLOWED = {
    "dim": {"level", "hours", *SELECTORS},
    "replace": {*LAMP_NUMBERS, "luminaire", *SELECTORS},
    "add": {*LAMP_NUMBERS, "luminaire", "positions", "hours"},
    "remove": {*SELECTORS},
}
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_MOST_CORNERS = 2_000  # of a polygon; a larger one was not drawn by a hand
_STREET_REACH_M = 30.0  # a lamp stands in the nearest street that has a name, no farther than this


@dataclass(frozen=True)
class Change:
    """One change, with the rows of the city's lamps that it is about.

    rows : (n,) positions in `city.places("lamps")`; empty for `add`
    new : columns of the lamps table and their new values; positions are (n, 2) easting, northing of added lamps
    """

    what: str
    rows: npt.NDArray[np.int64]
    hours: tuple[str, str] | None = None
    level: float | None = None
    new: Mapping[str, float | str] = field(default_factory=dict)
    positions: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))

    def holds(self, night: Night, step: np.datetime64) -> bool:
        """Whether the change holds in a step of a night; a range past midnight goes over it."""
        if self.hours is None:
            return True
        begins, ends = (night.time_of(clock) for clock in self.hours)
        return bool(begins <= step < ends)


@dataclass(frozen=True)
class Scenario:
    """What would be changed in a city's lighting."""

    name: str
    title: str
    changes: tuple[Change, ...]
    lamps: geopandas.GeoDataFrame  # the city's, as they are

    @cached_property
    def after(self) -> geopandas.GeoDataFrame:
        """The lamps as they would stand.

        Column `row` is the old row, -1 for an added lamp; `change` the number of the change that added it, else -1.
        """
        import geopandas
        import pandas as pd

        table = self.lamps.reset_index(drop=True).copy()
        table["row"] = np.arange(len(table), dtype=np.int64)
        table["change"] = np.int64(-1)
        added = []
        for number, change in enumerate(self.changes):
            if change.what == "replace":
                for column, value in change.new.items():
                    table.loc[table["row"].isin(change.rows), column] = value
            elif change.what == "remove":
                table = table[~table["row"].isin(change.rows)]
            elif change.what == "add":
                added.append(self._new_lamps(number, change))
        return geopandas.GeoDataFrame(pd.concat([table, *added], ignore_index=True), crs=self.lamps.crs)

    def levels(self, night: Night, step: np.datetime64) -> npt.NDArray[np.float64]:
        """The level, 0..1, at which the scenario holds each lamp of `after` in a step; NaN where it leaves it be."""
        level = np.full(len(self.after), np.nan)
        rows = self.after["row"].to_numpy()
        made_by = self.after["change"].to_numpy()
        for number, change in enumerate(self.changes):
            holds = change.holds(night, step)
            if change.what == "dim" and holds and change.level is not None:
                level[np.isin(rows, change.rows)] = change.level
            elif change.what == "add" and not holds:
                level[made_by == number] = 0.0
        return level

    def _new_lamps(self, number: int, change: Change) -> geopandas.GeoDataFrame:
        import geopandas

        count = len(change.positions)
        names = [f"new-{number + 1}-{index + 1}" for index in range(count)]
        blank = {column: [""] * count for column in self.lamps.columns if column != "geometry"}
        columns: dict[str, Any] = blank | {column: [np.nan] * count for column in LAMP_NUMBERS}
        columns |= {column: [value] * count for column, value in change.new.items()}
        columns |= {"lamp": names, "asset_id": names, "switchable_unit": names, "source": ["council"] * count}
        columns |= {"row": np.full(count, -1, np.int64), "change": np.full(count, number, np.int64)}
        points = geopandas.points_from_xy(change.positions[:, 0], change.positions[:, 1])
        return geopandas.GeoDataFrame(columns, geometry=points, crs=self.lamps.crs)


def read_scenario(file: Path, city: City) -> Scenario:
    """A scenario for a city; ScenarioError says everything that is wrong with the file in one message."""
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ScenarioError(f"there is no scenario file '{file}'; docs/plan.md shows one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{file} is not TOML: {error}") from error
    return parse_scenario(content, city, str(file), file.stem)


def parse_scenario(content: Mapping[str, Any], city: City, source: str, default_name: str = "scenario") -> Scenario:
    """A scenario from the content of its file; `source` names it in messages."""
    problems: list[str] = []
    if content.get("format") != FORMAT:
        problems.append(f"format is {content.get('format')!r}; this version reads format = {FORMAT}")
    unknown = sorted(set(content) - {"format", "name", "title", "author", "change"})
    problems += [f"unknown key '{key}'; expected format, name, title, author and [[change]]" for key in unknown]
    name = content.get("name", default_name.lower().replace("_", "-").replace(" ", "-"))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.append(f"name {name!r} must be lower-case letters, digits and single hyphens")
    entries = content.get("change", [])
    if not isinstance(entries, list) or not entries:
        problems.append("there is no [[change]]; a scenario changes at least one thing")
        entries = []
    changes = []
    for number, entry in enumerate(entries, 1):
        wrong: list[str] = []
        change = _change(entry, city, wrong)
        problems += [f"change {number}: {problem}" for problem in wrong]
        if change is not None and not wrong:
            changes.append(change)
    if problems:
        raise ScenarioError(gather(source, problems))
    lamps = city.places("lamps")
    return Scenario(str(name), str(content.get("title", name)), tuple(changes), lamps)


def lamp_streets(city: City, rows: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.object_]:
    """The street in which each lamp of a city stands, (n,) names; empty where none with a name is within 30 m.

    rows : (n,) of the lamps that are asked about, all of them without
    """
    lamps, streets = city.places("lamps"), city.places("streets")
    lamps = lamps if rows is None else lamps.iloc[rows]
    names = streets["name"].fillna("").astype(str)
    # Pavements and crossings are streets without a name, and a lamp stands nearest to one of those.
    named = streets[(names != "").to_numpy()]
    found = np.full(len(lamps), "", object)
    if len(named):
        index, distance = named.sindex.nearest(lamps.geometry, return_all=False, return_distance=True)
        near = distance <= _STREET_REACH_M
        found[index[0][near]] = named["name"].to_numpy()[index[1][near]]
    return found


def scenario_text(content: Mapping[str, Any]) -> str:
    """The content of a scenario as the TOML file that `read_scenario` reads.

    >>> print(scenario_text({"format": 1, "name": "off", "change": [{"what": "remove", "lamps": ["L1"]}]}), end="")
    format = 1
    name = "off"
    <BLANKLINE>
    [[change]]
    what = "remove"
    lamps = ["L1"]
    """
    head = [f"{key} = {_toml(content[key])}" for key in ("format", "name", "title", "author") if key in content]
    tables = [["[[change]]", *(f"{key} = {_toml(entry[key])}" for key in entry)] for entry in content.get("change", [])]
    return "\n\n".join("\n".join(lines) for lines in [head, *tables]) + "\n"


def _toml(value: Any) -> str:
    """A value of a scenario; texts are written as in JSON, but for the one control that JSON leaves as it is."""
    if isinstance(value, list):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if not _number(value):
        raise ScenarioError(f"a scenario holds {value!r}; expected texts, numbers and lists of them")
    return repr(value)


def _change(entry: Any, city: City, problems: list[str]) -> Change | None:
    if not isinstance(entry, dict) or entry.get("what") not in WHATS:
        found = entry.get("what") if isinstance(entry, dict) else entry
        problems.append(f"what is {found!r}; expected one of {', '.join(WHATS)}")
        return None
    what = entry["what"]
    allowed = _ALLOWED[what]
    for key in sorted(set(entry) - allowed - {"what"}):
        hint = "; use 'dim' for some hours" if key == "hours" else f"; expected {', '.join(sorted(allowed))}"
        problems.append(f"'{key}' does not go with {what}{hint}")
    new = _lamp_values(entry, city, allowed, problems)
    hours = _hours(entry.get("hours"), problems)
    positions, rows = np.zeros((0, 2)), np.zeros(0, np.int64)
    if what == "add":
        positions = _positions(entry.get("positions"), city, problems)
        problems += [f"add needs {key}" for key in ("lumens", "watts", "height_m") if key not in entry]
    else:
        rows = _selected(entry, city, problems)
    if what == "replace" and not new:
        problems.append("replace needs at least one of " + ", ".join([*LAMP_NUMBERS, "luminaire"]))
    level = entry.get("level")
    fraction = float(level) if level is not None and _number(level) else np.nan
    if what == "dim" and not 0 <= fraction <= 1:
        problems.append(f"level is {level!r}; expected a number between 0 (off) and 1 (full output)")
    return Change(what, rows, hours, fraction if what == "dim" else None, new, positions)


def _lamp_values(
    entry: Mapping[str, Any], city: City, allowed: set[str], problems: list[str]
) -> dict[str, float | str]:
    values: dict[str, float | str] = {}
    for key, (low, high) in LAMP_NUMBERS.items():
        if key not in entry or key not in allowed:
            continue
        if _number(entry[key]) and low <= entry[key] <= high:
            values[key] = float(entry[key])
        else:
            problems.append(f"{key} is {entry[key]!r}; expected a number between {low:g} and {high:g}")
    if "luminaire" in entry and "luminaire" in allowed:
        if isinstance(entry["luminaire"], str):
            values = _of_file(entry["luminaire"], city, problems) | values
        else:
            problems.append(f"luminaire is {entry['luminaire']!r}; expected the name of one")
    return values


def _of_file(name: str, city: City, problems: list[str]) -> dict[str, float | str]:
    """The luminaire, and the lumens and watts that its photometric file says."""
    from sensors.luminaire_files import NO_FILE, luminaires

    if name.strip().lower() in NO_FILE:
        return {"luminaire": name}
    try:
        found = luminaires(city, [name])
    except LuminaireError as error:
        problems.append(str(error))
        return {}
    if name not in found:
        problems.append(
            f"luminaire '{name}' has no file in places/luminaires; put {name}.ies or {name}.ldt there, or write 'road' "
            "or 'lambert'"
        )
        return {}
    says = {"lumens": found[name].lumens, "watts": found[name].watts}
    return {"luminaire": name} | {column: value for column, value in says.items() if value > 0}


def _hours(hours: Any, problems: list[str]) -> tuple[str, str] | None:
    if hours is None:
        return None
    shaped = (
        isinstance(hours, list) and len(hours) == 2 and all(isinstance(h, str) and _CLOCK.fullmatch(h) for h in hours)
    )
    if not shaped:
        problems.append(f'hours is {hours!r}; expected two local times like ["23:00", "05:00"]')
        return None
    since_noon = [(int(clock[:2]) - 12) % 24 * 60 + int(clock[3:]) for clock in hours]
    if since_noon[0] >= since_noon[1]:
        problems.append(f"hours {hours} end before they begin; a night runs from noon to noon")
        return None
    return hours[0], hours[1]


def _selected(entry: Mapping[str, Any], city: City, problems: list[str]) -> npt.NDArray[np.int64]:
    none = np.zeros(0, np.int64)
    given = [key for key in SELECTORS if key in entry]
    if len(given) != 1:
        problems.append(f"name the lamps by exactly one of {', '.join(SELECTORS)}; found {', '.join(given) or 'none'}")
        return none
    value = entry[given[0]]
    if given[0] == "lamps":
        return _by_id(value, city, problems)
    if given[0] == "street":
        return _by_street(value, city, problems)
    shape = _polygon(value, city, problems)
    if shape is None:
        return none
    rows = np.flatnonzero(city.places("lamps").within(shape).to_numpy(bool))
    if not len(rows):
        problems.append("no lamp stands inside the polygon; its corners are [longitude, latitude]")
    return rows


def _by_id(value: Any, city: City, problems: list[str]) -> npt.NDArray[np.int64]:
    if not isinstance(value, list) or not value or not all(isinstance(lamp, str) for lamp in value):
        problems.append(f"lamps is {value!r}; expected a list of lamp ids")
        return np.zeros(0, np.int64)
    row_of = {str(lamp): row for row, lamp in enumerate(city.places("lamps")["lamp"])}
    missing = [lamp for lamp in value if lamp not in row_of]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        problems.append(f"the city has no lamp {', '.join(missing[:5])}{more}")
    return np.array(sorted({row_of[lamp] for lamp in value if lamp in row_of}), np.int64)


def _by_street(value: Any, city: City, problems: list[str]) -> npt.NDArray[np.int64]:
    import difflib

    names = city.places("streets")["name"].fillna("").astype(str)
    if not isinstance(value, str) or value == "" or not (names == value).any():
        known = sorted(set(names) - {""})
        near = difflib.get_close_matches(str(value), known, n=3, cutoff=0.5)
        problems.append(f"the city has no street {value!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
        return np.zeros(0, np.int64)
    here = city.places("streets").geometry[(names == value).to_numpy()]
    _, near = city.places("lamps").sindex.query(here, predicate="dwithin", distance=_STREET_REACH_M)
    beside = np.unique(near).astype(np.int64)
    rows: npt.NDArray[np.int64] = beside[lamp_streets(city, beside) == value]
    if not len(rows):
        problems.append(f"no lamp stands in street {value!r}")
    return rows


def _polygon(value: Any, city: City, problems: list[str]) -> Any:
    from shapely import Polygon

    corners = _points(value)
    if corners is None or len(corners) < 3:
        problems.append("polygon must be a list of at least three [longitude, latitude]")
        return None
    if len(corners) > _MOST_CORNERS:
        problems.append(f"polygon has {len(corners)} corners; at most {_MOST_CORNERS} are taken")
        return None
    shape = Polygon(_projected(corners, city))
    if not shape.is_valid:
        problems.append("polygon crosses itself; list its corners in order around it")
        return None
    return shape


def _positions(value: Any, city: City, problems: list[str]) -> npt.NDArray[np.float64]:
    points = _points(value)
    if points is None or not len(points):
        problems.append("positions must be a list of [longitude, latitude]")
        return np.zeros((0, 2))
    places = _projected(points, city)
    grid = city.settings.grid
    inside = (
        (places[:, 0] >= grid.west)
        & (places[:, 0] <= grid.east)
        & (places[:, 1] >= grid.south)
        & (places[:, 1] <= grid.north)
    )
    if not inside.all():
        outside = [[float(degree) for degree in points[index]] for index in np.flatnonzero(~inside)[:3]]
        problems.append(
            f"{(~inside).sum()} positions lie outside the map, such as {outside}; write [longitude, latitude]"
        )
    return places


def _points(value: Any) -> npt.NDArray[np.float64] | None:
    shaped = isinstance(value, list) and all(
        isinstance(point, list) and len(point) == 2 and all(_number(part) for part in point) for point in value
    )
    return np.array(value, np.float64).reshape(-1, 2) if shaped else None


def _projected(points: npt.NDArray[np.float64], city: City) -> npt.NDArray[np.float64]:
    from pyproj import Transformer

    transform = Transformer.from_crs("EPSG:4326", city.crs, always_xy=True)
    easting, northing = transform.transform(points[:, 0], points[:, 1])
    return np.column_stack([easting, northing])


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
