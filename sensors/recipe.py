"""What a recipe may say: a TOML file that maps a council's files and columns to places or to history.

So that the next city needs no code. `docs/recipes.md` explains the words with examples; `sensors.council` makes a city
from a recipe of kind 'city', `ingest.history` records from one of kind 'history'. Everything that is wrong with a
recipe is said in one message, unknown keys by name.
"""

from __future__ import annotations

import re
import tomllib
import types
import typing
from collections.abc import Iterable
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from pyproj import CRS
from pyproj.exceptions import CRSError

from sensors.errors import RecipeError, gather
from sensors.lanterns import LAMP_CLASSES
from sensors.places import PLACES
from sensors.quantities import QUANTITIES

FORMAT = 1
Value = str | float | bool

_S = TypeVar("_S", bound=msgspec.Struct)


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a recipe; it refuses keys that it does not know."""


class Column(_Part, frozen=True):
    """How one column comes about; a plain string stands for `{ column = "that" }`."""

    column: str = ""  # of the file, or one already mapped above
    value: Value | None = None  # the same for every row, instead of a column
    text: str = ""  # a pattern with {}, e.g. "counter-{}"
    unknown: list[Value] = []  # values that mean "not known"
    table: dict[str, Value] = {}  # the value for each text in the file
    patterns: dict[str, Value] = {}  # the value for the first regular expression found in the text, any case
    scale: float = 1.0
    offset: float = 0.0
    times: Column | None = None  # multiplied by another column
    fill_by: str = ""  # missing numbers become the median of the rows that have the same value in this column
    default: Value | None = None  # where still missing
    title: bool = False  # WRITTEN IN CAPITALS -> Written In Capitals


class OnlyIn(_Part, frozen=True):
    """Keep the rows whose key occurs in another file."""

    file: str
    column: str  # there
    on: str  # here


class Join(_Part, frozen=True):
    """Columns of another table, looked up by a key; a name that is taken already gets `_joined` at its end."""

    file: str
    column: str  # the key there
    on: str  # the key here
    columns: list[str]


class Overlay(_Part, frozen=True):
    """Columns of the polygons of another file on which the rows lie; lines are cut where the polygon changes."""

    file: str
    columns: list[str]
    width: str = ""  # name of a column for the width of the polygon: the short side of the equal rectangle, metres
    crs: str = "EPSG:4326"


class Source(_Part, frozen=True):
    """One file and how its rows become rows of a table."""

    file: str  # within the data folder
    format: str = ""  # 'csv' or 'geojson'; taken from the name when empty
    crs: str = "EPSG:4326"
    position: list[str] = []  # the columns of longitude and latitude (or easting and northing) of a CSV file
    separator: str = ","
    keep: dict[str, list[Value]] = {}  # keep the rows with one of these values
    drop: dict[str, list[Value]] = {}  # leave out the rows with one of these values
    only_in: OnlyIn | None = None
    join: Join | None = None
    overlay: Overlay | None = None
    columns: dict[str, str | Column] = {}


class Area(_Part, frozen=True):
    """The rectangle of the city, degrees WGS 84."""

    west: float
    south: float
    east: float
    north: float


class Lanterns(_Part, frozen=True):
    """Road lanterns assumed along streets where nobody publishes them."""

    kinds: list[str]  # of streets
    lamp_class: str
    spacing_m: float
    both_sides: bool = False
    narrow_m: float = 0.0  # streets narrower than this have lamps at their ends only
    lumens: float | None = None  # instead of the class's
    watts: float | None = None
    lit_only: bool = False  # only along streets whose `lit` says so
    clear_m: float = 10.0  # none so near to a lantern of an earlier rule
    published_clear_m: float = 0.0  # none so near to a lamp that the source has


class Virtual(_Part, frozen=True):
    """Devices that the builder invents; only in a city declared simulated."""

    footfall: int = 0
    noise: int = 0
    lux: int = 0
    controllers: str = "none"  # 'lamp', 'circuit' or 'none'


class Recorded(_Part, frozen=True):
    """A file of records that is laid into the city folder for a demo of real nights."""

    file: str
    recipe: str  # of kind 'history': a name, or a file beside this recipe
    demo_night: str  # the night that the demo lives through by default


class CityRecipe(_Part, frozen=True):
    """A recipe of kind 'city'."""

    format: int
    kind: str
    id: str
    name: str
    zone: str
    crs: str
    area: Area
    attribution: list[str]
    streets: list[Source]
    licence: str = ""
    simulated: bool = False
    cell_m: float = 10.0
    lamp_source: str = "council"
    buildings: list[Source] = []
    lamps: list[Source] = []
    venues: list[Source] = []
    stops: list[Source] = []
    areas: list[Source] = []
    traffic: list[Source] = []
    devices: list[Source] = []
    lanterns: list[Lanterns] = []
    virtual: Virtual = Virtual()
    history: Recorded | None = None


class TimeColumn(_Part, frozen=True):
    """How the file writes time."""

    column: str
    stamp: str = "end"  # of the interval, or its 'start'
    zone: str = "utc"  # 'utc' (texts carry Z or an offset) or 'city' (wall clock without offset)
    format: str = ""  # strptime; empty: ISO 8601
    # What the one row stands for where the wall clock showed an hour twice and the file has it once: 'first' or
    # 'second' of the two, 'both' (one record of twice the duration), or 'drop'.
    doubled_hour: str = "drop"


class HistoryRecipe(_Part, frozen=True):
    """A recipe of kind 'history': a CSV file of records."""

    format: int
    kind: str
    title: str
    time: TimeColumn
    device: str | Column
    value: str | Column
    quantity: str | Column
    duration_s: float | str
    separator: str = ","
    keep: dict[str, list[Value]] = {}
    drop: dict[str, list[Value]] = {}
    attribution: list[str] = []


TABLES = ("streets", "buildings", "lamps", "venues", "stops", "areas", "traffic", "devices")
DEVICE_COLUMNS = {
    "device": "str",
    "quantity": "str",
    "height_m": "float",
    "plane": "str",
    "mounting": "str",
    "sensor_class": "str",
    "calibration": "str",
    "lamps": "str",
    "origin": "str",
}


def columns_of(table: str) -> dict[str, str]:
    """The columns that a recipe may map for a table, with the kind of each."""
    if table == "devices":
        return DEVICE_COLUMNS
    places = PLACES[table]
    numbered = places.key if places.key is not None and places.columns[places.key] == "int" else None
    return {name: kind for name, kind in places.columns.items() if name not in (numbered, "source")}


def city_recipe(name: str) -> CityRecipe:
    """The recipe with this name, or in this file, for a city."""
    where, content = _content(name, "city")
    problems: list[str] = []
    recipe = _converted(content, CityRecipe, "", problems)
    if recipe is not None:
        problems += _city_problems(recipe)
    return _sound(recipe, where, problems)


def history_recipe(name: str) -> HistoryRecipe:
    """The recipe with this name, or in this file, for history."""
    where, content = _content(name, "history")
    problems: list[str] = []
    recipe = _converted(content, HistoryRecipe, "", problems)
    if recipe is not None:
        problems += _history_problems(recipe)
    return _sound(recipe, where, problems)


def recipe_names(kind: str) -> list[str]:
    """Names of the recipes that travel with Noctule.

    >>> "melbourne" in recipe_names("city")
    True
    """
    folder = resources.files("sensors") / "recipes"
    return sorted(
        file.name.removesuffix(".toml")
        for file in folder.iterdir()
        if file.name.endswith(".toml") and tomllib.loads(file.read_text("utf-8")).get("kind") == kind
    )


def _content(name: str, kind: str) -> tuple[str, dict[str, Any]]:
    if name.endswith(".toml") or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise RecipeError(f"there is no recipe file '{name}'")
        where, text = str(path), path.read_bytes()
    else:
        file = resources.files("sensors") / "recipes" / f"{name}.toml"
        if not file.is_file():
            known = ", ".join(recipe_names(kind))
            raise RecipeError(f"there is no recipe '{name}'; expected one of {known}, or a file ending in .toml")
        where, text = f"recipe '{name}'", file.read_bytes()
    try:
        content = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{where} is not TOML: {error}") from error
    if content.get("kind") != kind:
        found = content.get("kind", "nothing")
        raise RecipeError(f"{where}: its kind is '{found}', but here a recipe of kind '{kind}' is needed")
    if content.get("format") != FORMAT:
        raise RecipeError(f"{where}: format {content.get('format')} is not the format {FORMAT} of this version")
    return where, content


def _sound(recipe: _S | None, where: str, problems: list[str]) -> _S:
    if problems or recipe is None:
        raise RecipeError(gather(where, problems))
    return recipe


def _converted(content: Any, kind: type[_S], where: str, problems: list[str]) -> _S | None:
    """The part of a recipe as its struct; msgspec stops at the first error, so each field is converted on its own."""
    if not isinstance(content, dict):
        problems.append(f"{where or 'the recipe'} must be a table of keys")
        return None
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    dot = f"{where}." if where else ""
    unknown = sorted(set(content) - set(fields))
    problems += [f"unknown key '{dot}{key}'; expected one of {', '.join(fields)}" for key in unknown]
    missing = [key for key, field in fields.items() if field.required and key not in content]
    problems += [f"'{dot}{key}' is missing" for key in missing]
    values = {
        field.name: _value(content[key], field.type, f"{dot}{key}", problems)
        for key, field in fields.items()
        if key in content
    }
    # A recipe with a problem is refused in the end; it is made up as far as it goes, so that the rest is checked too.
    sound = {name: value for name, value in values.items() if value is not None}
    if missing or any(field.required and field.name not in sound for field in fields.values()):
        return None
    return kind(**sound)


def _value(content: Any, kind: Any, where: str, problems: list[str]) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    struct = _struct_in((kind, *inner) if origin in (types.UnionType, typing.Union) else (kind,))
    if struct is not None and isinstance(content, dict):
        return _converted(content, struct, where, problems)
    if origin is list and _struct_in(inner) and isinstance(content, list):
        items = [_value(item, inner[0], f"{where}[{number}]", problems) for number, item in enumerate(content, 1)]
        return [item for item in items if item is not None]
    if origin is dict and _struct_in(typing.get_args(inner[1])) and isinstance(content, dict):
        entries = {key: _value(item, inner[1], f"{where}.{key}", problems) for key, item in content.items()}
        return {key: entry for key, entry in entries.items() if entry is not None}
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        problems.append(f"{where}: {error}")
        return None


def _struct_in(kinds: Iterable[Any]) -> type[Any] | None:
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)), None)


def _city_problems(recipe: CityRecipe) -> list[str]:
    problems = []
    area = recipe.area
    if not (-180 <= area.west < area.east <= 180 and -90 <= area.south < area.north <= 90):
        problems.append("area must have west < east and south < north, in degrees")
    problems += _zone_problems(recipe.zone) + _crs_problems(recipe.crs, projected=True)
    if recipe.cell_m <= 0:
        problems.append(f"cell_m {recipe.cell_m:g} must be positive")
    for table in TABLES:
        known = columns_of(table)
        for number, source in enumerate(getattr(recipe, table), 1):
            where = f"{table}[{number}]"
            odd = sorted(set(source.columns) - set(known))
            problems += [f"{where}.columns has '{name}'; expected one of {', '.join(known)}" for name in odd]
            problems += _source_problems(source, where)
            for name, rule in source.columns.items():
                problems += _rule_problems(rule, f"{where}.columns.{name}")
    for number, rule in enumerate(recipe.lanterns, 1):
        if rule.lamp_class not in LAMP_CLASSES:
            expected = ", ".join(LAMP_CLASSES)
            problems.append(f"lanterns[{number}].lamp_class '{rule.lamp_class}'; expected one of {expected}")
        if rule.spacing_m < 5:
            problems.append(f"lanterns[{number}].spacing_m {rule.spacing_m:g} must be at least 5")
    if recipe.virtual.controllers not in ("lamp", "circuit", "none"):
        problems.append(f"virtual.controllers '{recipe.virtual.controllers}'; expected lamp, circuit or none")
    if recipe.history is not None and not _is_day(recipe.history.demo_night):
        problems.append(f"history.demo_night '{recipe.history.demo_night}' must be a day like 2014-09-26")
    if recipe.virtual != Virtual() and not recipe.simulated:
        problems.append("virtual devices belong to a city that says 'simulated = true'")
    return problems


def _zone_problems(zone: str) -> list[str]:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return [f"zone '{zone}' is no time zone; write one like Europe/Helsinki"]
    return []


def _crs_problems(name: str, *, projected: bool = False) -> list[str]:
    try:
        system = CRS.from_user_input(name)
    except CRSError:
        return [f"crs '{name}' is not known; write one like EPSG:4326"]
    if projected and (not system.is_projected or any(axis.unit_name != "metre" for axis in system.axis_info[:2])):
        return [f"crs '{name}' is not projected in metres; choose the national grid or a UTM zone"]
    return []


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _source_problems(source: Source, where: str) -> list[str]:
    problems = []
    if source.format not in ("", "csv", "geojson"):
        problems.append(f"{where}.format '{source.format}'; expected csv or geojson")
    if len(source.position) not in (0, 2):
        problems.append(f"{where}.position must name two columns, longitude and latitude")
    if len(source.separator) != 1:
        problems.append(f"{where}.separator must be one character")
    named = [source.crs] if source.overlay is None else [source.crs, source.overlay.crs]
    return problems + [f"{where}: {problem}" for name in dict.fromkeys(named) for problem in _crs_problems(name)]


def _history_problems(recipe: HistoryRecipe) -> list[str]:
    problems = []
    time = recipe.time
    for key, value, allowed in (
        ("stamp", time.stamp, ("start", "end")),
        ("zone", time.zone, ("utc", "city")),
        ("doubled_hour", time.doubled_hour, ("first", "second", "both", "drop")),
    ):
        if value not in allowed:
            problems.append(f"time.{key} '{value}'; expected one of {', '.join(allowed)}")
    if isinstance(recipe.duration_s, float) and recipe.duration_s <= 0:
        problems.append(f"duration_s {recipe.duration_s:g} must be positive")
    if time.doubled_hour == "both" and recipe.duration_s != 3600:
        problems.append("time.doubled_hour 'both' makes one record of two hours: it needs duration_s = 3600")
    for key in ("device", "value", "quantity"):
        problems += _rule_problems(getattr(recipe, key), key)
    quantity = recipe.quantity
    if isinstance(quantity, Column) and isinstance(quantity.value, str) and quantity.value not in QUANTITIES:
        problems.append(f"quantity '{quantity.value}'; expected one of {', '.join(QUANTITIES)}")
    return problems


def _rule_problems(rule: str | Column, where: str) -> list[str]:
    if isinstance(rule, str):
        return [] if rule else [f"{where} must name a column"]
    problems = []
    if bool(rule.column) == (rule.value is not None):
        problems.append(f"{where} needs either 'column' or 'value'")
    for pattern in rule.patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            problems.append(f"{where}.patterns '{pattern}' is no regular expression: {error}")
    if rule.text and rule.text.count("{}") != 1:
        problems.append(f"{where}.text '{rule.text}' must hold {{}} once")
    return problems
