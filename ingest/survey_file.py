"""Reads a file of survey answers and checks it row by row; a wrong row is left out and told with its number and reason.

A wrong file (a missing column, an unknown instrument) is refused as a whole.

Columns of a file (others are ignored); a mapping file renames columns and translates codes, see docs/perception.md:

    response_id    names the answer within its campaign
    category       1..K as asked, or the words of the answer in any language of the instrument
    lon, lat       WGS 84 degrees; GeoJSON and other spatial files bring their own point
    time           RFC 3339 with its zone
    instrument, k, light_state, gender, age_band, disability, alone, role, familiarity, trigger, weight, pseudonym,
    consent_version: optional; an empty code means that the person did not say
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from ingest.day_dark_pairs import pairs_told
from ingest.survey_items import MappedItem, spread_out
from sensors.answer import CODES
from sensors.city import City
from sensors.clock import city_clock
from sensors.coarsening import OUTSIDE_M, nearest_middles
from sensors.errors import AnswerError, gather
from sensors.instrument import NEVER, Instrument, instrument_names, load_instrument
from sensors.night import parse_rfc3339, sun_elevation

REQUIRED = ("response_id", "category", "time")
OPTIONAL = ("instrument", "k", *CODES, "weight", "pseudonym", "consent_version")
_EARLIEST = np.datetime64("2000-01-01", "ms")
TOLD_ROWS = 20
_DEFAULTS = {"light_state": "dark", "trigger": "prompted"}
# Nobody means these by "after dark" and "by day"; twilight answers stay what the person said.
_FULL_SUN_DEG, _DEEP_DUSK_DEG = 3.0, -6.0
# What a response system may carry that we must not even read past the door.
_NEVER = ("name", "email", "e-mail", "phone", "mac", "ip", "address", "device_id", "imei")


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a file's own columns and codes become ours.

    columns : ours -> theirs; codes : our column -> their code -> ours; zone : of times written without one;
    crs : of lon and lat when they are not WGS 84; geopoint : a column that holds 'lat lon' in one cell;
    fixed : our column -> its value in every row; items : questions that stand beside one another in a row
    """

    columns: dict[str, str] = {}
    codes: dict[str, dict[str, str | int]] = {}
    zone: str = ""
    crs: str = "EPSG:4326"
    geopoint: str = ""
    fixed: dict[str, str] = {}
    items: tuple[MappedItem, ...] = ()


@dataclass
class SurveyReport:
    """What became of a file of answers."""

    file: str
    rows: int
    accepted: int = 0
    known: int = 0  # rows of an earlier import of the same campaign
    problems: list[str] = field(default_factory=list)  # 'row 7: category 9 ...', wrong rows in their order
    wrong_rows: int = 0
    held: int = 0  # answers that look like brigading and wait for somebody's decision
    columns: dict[str, str] = field(default_factory=dict)  # what was understood of each column
    ignored: list[str] = field(default_factory=list)
    pairs: str = ""  # how many are pairs by day and after dark
    campaign: str = ""
    origin: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return {
            "file": self.file,
            "rows": self.rows,
            "accepted": self.accepted,
            "already_known": self.known,
            "quarantined": self.wrong_rows,
            "held": self.held,
            "problems": self.problems,
            "columns": self.columns,
            "ignored_columns": self.ignored,
            "pairs": self.pairs,
            "campaign": self.campaign,
            "origin": self.origin,
        }

    def text(self) -> str:
        """For people: what was taken, what was left out and why."""
        lines = [f"{self.file}: {self.rows} rows, {self.accepted} answers"]
        if self.known:
            lines[0] += f", {self.known} of them known already"
        lines += [f"  {ours}: {what}" for ours, what in self.columns.items() if what != "read"]
        if self.ignored:
            lines.append(f"  not read: {', '.join(self.ignored)}")
        if self.pairs:
            lines.append(f"  {self.pairs}")
        if self.held:
            lines.append(f"  {self.held} answers look as if few people gave them and stay out of every fit until")
            lines.append("  somebody decides: 'noctule survey queue' says why")
        return "\n".join(lines + left_out(self.wrong_rows, "rows", self.problems))


def left_out(number: int, what: str, problems: list[str]) -> list[str]:
    """Lines that say how many rows or reports are left out, and the first reasons; none where nothing is."""
    lines = [f"  {number} {what} are left out:"] if number else []
    lines += [f"    {problem}" for problem in problems[:TOLD_ROWS]]
    if len(problems) > TOLD_ROWS:
        lines.append(f"    ... and {len(problems) - TOLD_ROWS} more problems; --json lists all")
    return lines


def read_mapping(file: Path | None) -> Mapping:
    """A mapping from TOML; an empty one without a file."""
    if file is None:
        return Mapping()
    try:
        return msgspec.convert(tomllib.loads(file.read_text("utf-8")), Mapping)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise AnswerError(f"{file}: {error}; a mapping has [columns], [codes.<column>], zone and crs") from error


def problem_counts(problems: list[str]) -> dict[str, int]:
    """How often each column went wrong, for a summary of many rows."""
    return dict(Counter(problem.split(": ", 1)[1].split(" ")[0] for problem in problems).most_common())


def read_answers(
    file: Path,
    instrument: str,
    mapping: Mapping,
    city: City | None,
    *,
    simulated: bool,
    rows: pd.DataFrame | None = None,
) -> tuple[SurveyReport, pd.DataFrame]:
    """The report and the good rows, still raw; every wrong row has its reasons in the report."""
    raw, mapping = spread_out(load_table(file) if rows is None else rows, mapping)
    numbers = raw.index.to_numpy()
    table, report = _renamed(raw, file, mapping)
    report.rows = len(set(numbers))  # of the file: a row with several questions is one
    wrong: dict[int, list[str]] = {}

    def refuse(rows: npt.NDArray[np.bool_] | int, why: Any) -> None:
        for index in [rows] if isinstance(rows, int) else np.flatnonzero(rows):
            wrong.setdefault(int(index), []).append(why(int(index)) if callable(why) else str(why))

    table = _translated(table, mapping)
    asked = table["instrument"].where(table["instrument"] != "", instrument)
    table["instrument"] = asked
    unknown = ~asked.isin(instrument_names()).to_numpy()
    names = ", ".join(instrument_names())
    refuse(unknown, lambda i: f"instrument '{asked.iloc[i]}' has no definition; expected one of {names}")
    tools = {name: load_instrument(name) for name in asked[~unknown].unique()} or {
        instrument: load_instrument(instrument)
    }
    _read_categories(table, tools, refuse)
    _read_codes(table, tools, refuse)
    _read_numbers(table, refuse)
    _read_times(table, mapping, tools, city, simulated, refuse)
    _read_places(table, mapping, city, refuse)
    ids = table["response_id"]
    refuse((ids == "").to_numpy(), "response_id is empty")
    twice = ids.duplicated(keep="first").to_numpy() & (ids != "").to_numpy()
    refuse(twice, lambda i: f"response_id '{ids.iloc[i]}' stands in the file twice; the first one counts")
    good = np.ones(len(table), bool)
    good[list(wrong)] = False
    # Row numbers as a spreadsheet shows them: the header is row 1.
    report.problems = [f"row {numbers[index] + 2}: {reason}" for index in sorted(wrong) for reason in wrong[index]]
    report.wrong_rows, report.accepted = len(wrong), int(good.sum())
    report.pairs = pairs_told(table[good])
    return report, table[good].reset_index(drop=True)


def looks_like_identity(column: str) -> bool:
    """Whether a column's name says that it holds who somebody is."""
    return any(re.search(rf"(^|[_\W]){re.escape(word)}([_\W]|$)", column.lower()) for word in _NEVER)


def load_table(file: Path, rows: int | None = None) -> pd.DataFrame:
    """A file of answers or shares as it is, everything text where the format allows; only its first rows if asked."""
    if not file.is_file():
        raise AnswerError(f"there is no file '{file}'")
    kind = file.name.lower()
    try:
        if kind.endswith((".geojson", ".gpkg", ".shp")):
            import geopandas

            frame = geopandas.read_file(file, rows=rows).to_crs("EPSG:4326")
            points = frame.geometry.representative_point()
            return (
                pd.DataFrame(frame.drop(columns=frame.geometry.name)).assign(lon=points.x, lat=points.y).astype(object)
            )
        if kind.endswith((".xlsx", ".xlsm")):
            return pd.read_excel(file, dtype=object, nrows=rows)
        if kind.endswith((".csv", ".csv.gz", ".tsv", ".txt")):
            # Everything is text first: an id like 007 keeps its zeros and a wrong number its spelling.
            as_text: Any = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
            table: pd.DataFrame = pd.read_csv(file, sep=None, engine="python", nrows=rows, **as_text)
            return table
    except Exception as error:  # whatever the readers of four formats raise on a damaged file
        raise AnswerError(f"{file} cannot be read ({error})") from error
    raise AnswerError(f"{file.name} is none of .csv, .csv.gz, .geojson, .gpkg, .xlsx; save it as one of these")


def text_of(value: Any) -> str:
    """A cell as text; what is missing is empty, 2018.0 is 2018."""
    if value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NaT:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value).strip()


def _renamed(raw: pd.DataFrame, file: Path, mapping: Mapping) -> tuple[pd.DataFrame, SurveyReport]:
    ours = (*REQUIRED, "lon", "lat", *OPTIONAL)
    alien = set(mapping.columns) - set(ours)
    if alien:
        raise AnswerError(f"the mapping names {', '.join(sorted(alien))}; our columns are {', '.join(ours)}")
    theirs = {name.strip().lower(): name for name in map(str, raw.columns)}
    report = SurveyReport(str(file.name), len(raw))
    table = pd.DataFrame(index=pd.RangeIndex(len(raw)))
    missing = []
    for name in ours:
        wanted = mapping.columns.get(name, name)
        found = theirs.get(wanted.strip().lower())
        if found is None and (name in mapping.columns or name in (*REQUIRED, "lon", "lat")):
            missing.append(f"column '{wanted}' ({name}) is missing")
        elif found is not None:
            report.columns[name] = "read" if found == name else f"read from '{found}'"
        else:
            report.columns[name] = _absent(name)
        table[name] = "" if found is None else raw[found].map(text_of).to_numpy(dtype=object)
    if missing:
        hint = "'noctule survey check FILE --draft OUT.toml' drafts a mapping"
        there = f"it has {', '.join(theirs.values())}; {hint}"
        raise AnswerError(gather(f"{file.name} cannot be imported", [*missing, there]))
    used = {mapping.columns.get(name, name).strip().lower() for name in ours}
    report.ignored = [original for lower, original in theirs.items() if lower not in used]
    report.columns |= {
        name: "looks like identity and is not read" for name in report.ignored if looks_like_identity(name)
    }
    return table, report


def _absent(name: str) -> str:
    if name in _DEFAULTS:
        return f"not in the file: '{_DEFAULTS[name]}'"
    if name in CODES:
        return f"not in the file: '{CODES[name][-1]}'"
    return {
        "instrument": "not in the file: the one of the import",
        "k": "not in the file: not compared",
        "weight": "not in the file: 1",
        "pseudonym": "not in the file: every answer counts as another person",
        "consent_version": "not in the file: not told",
    }[name]


def _translated(table: pd.DataFrame, mapping: Mapping) -> pd.DataFrame:
    for name, codes in mapping.codes.items():
        if name not in table:
            raise AnswerError(f"the mapping translates codes of '{name}', which is none of our columns")
        words = {str(theirs).strip().casefold(): str(ours) for theirs, ours in codes.items()}
        table[name] = [words.get(value.casefold(), value) for value in table[name]]
    return table


def _read_categories(table: pd.DataFrame, tools: dict[str, Instrument], refuse: Any) -> None:
    n = len(table)
    category, sizes, turned = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    for index, (name, said, k) in enumerate(zip(table["instrument"], table["category"], table["k"], strict=True)):
        tool = tools.get(name)
        if tool is None:
            continue
        sizes[index] = tool.categories
        number = int(said) if re.fullmatch(r"\d{1,3}", said) else tool.category_of_words(said)
        never = number == NEVER and not said.isdigit()
        if number is None or not (1 <= number <= tool.categories or never):
            what = f"category '{said}' is not 1 to {tool.categories} and none of the answers of {name}"
            refuse(index, what)
            continue
        category[index], turned[index] = number, tool.normalised(number)
        if k and k != str(tool.categories):
            refuse(index, f"the file says {k} categories, {name} has {tool.categories}")
    table["category"], table["k"] = turned, sizes
    table["item"] = [tools[name].items[0].id if name in tools else "" for name in table["instrument"]]


def _read_codes(table: pd.DataFrame, tools: dict[str, Instrument], refuse: Any) -> None:
    for name, codes in CODES.items():
        values = table[name].str.lower().str.replace(" ", "-")
        values = values.where(values != "", _DEFAULTS.get(name, codes[-1]))
        bad = ~values.isin(codes).to_numpy()
        refuse(
            bad, lambda i, name=name, values=values: f"{name} '{values.iloc[i]}' is none of {', '.join(CODES[name])}"
        )
        table[name] = values
    allowed = [
        name not in tools or state in tools[name].light_states
        for name, state in zip(table["instrument"], table["light_state"], strict=True)
    ]
    asked_so = table["light_state"].isin(CODES["light_state"]).to_numpy()
    refuse(~np.array(allowed, bool) & asked_so, "its instrument is not asked in this light")


def _read_numbers(table: pd.DataFrame, refuse: Any) -> None:
    weight = pd.to_numeric(table["weight"].where(table["weight"] != "", "1"), errors="coerce").to_numpy(np.float64)
    bad = ~(np.isfinite(weight) & (weight > 0))
    refuse(bad, lambda i: f"weight '{table['weight'].iloc[i]}' must be a number above 0")
    table["weight_value"] = weight


def _read_times(
    table: pd.DataFrame,
    mapping: Mapping,
    tools: dict[str, Instrument],
    city: City | None,
    simulated: bool,
    refuse: Any,
) -> None:
    times = np.full(len(table), np.datetime64("NaT", "ms"), "datetime64[ms]")
    for index, said in enumerate(table["time"]):
        moment = moment_of(said, mapping.zone)
        if isinstance(moment, str):
            refuse(index, moment)
        else:
            times[index] = moment
    table["moment"] = times
    known = ~np.isnat(times)
    refuse(known & (times < _EARLIEST), lambda i: f"time {table['time'].iloc[i]} is before the year 2000")
    if city is None:
        return
    if not simulated:  # a simulated city may be asked about nights that are still to come
        now = city_clock(city.path).now()
        refuse(known & (times > now), lambda i: f"time {table['time'].iloc[i]} has not come yet")
    # Of an area, or of what somebody told, people are asked by day as well.
    of_a_moment = table["instrument"].map(lambda name: name in tools and tools[name].of_a_moment).to_numpy(bool)
    asked = known & of_a_moment
    if asked.any():
        longitude, latitude = city.centre_lonlat()
        sun = np.zeros(len(table))
        sun[asked] = sun_elevation(times[asked], latitude, longitude)
        said = table["light_state"].to_numpy(object)
        bright = asked & (said == "dark") & (sun > _FULL_SUN_DEG)
        deep = asked & (said == "day") & (sun < _DEEP_DUSK_DEG)
        refuse(bright, lambda i: f"time {table['time'].iloc[i]} is in full daylight, the answer says after dark")
        refuse(deep, lambda i: f"time {table['time'].iloc[i]} is after dark, the answer says by day")


def moment_of(said: str, zone: str) -> np.datetime64 | str:
    """A time in UTC, or what is wrong with it; one without a zone is local time of `zone`."""
    try:
        return parse_rfc3339(said)
    except ValueError:
        pass
    if not zone or not said:
        return f"time '{said}' must be RFC 3339 with its zone, like 2026-11-20T22:10:00+02:00"
    try:
        local = pd.Timestamp(said)
        moment = local.tz_localize(zone, ambiguous="raise", nonexistent="raise")
    except (ValueError, KeyError) as error:
        return f"time '{said}' cannot be read as local time of {zone} ({type(error).__name__})"
    return np.datetime64(int(moment.tz_convert("UTC").timestamp() * 1000), "ms")


def _read_places(table: pd.DataFrame, mapping: Mapping, city: City | None, refuse: Any) -> None:
    first = pd.to_numeric(table["lon"], errors="coerce").to_numpy(np.float64)
    second = pd.to_numeric(table["lat"], errors="coerce").to_numpy(np.float64)
    known = np.isfinite(first) & np.isfinite(second)
    refuse(~known, "lon and lat must be numbers in degrees")
    if mapping.crs == "EPSG:4326":
        off = known & ((np.abs(first) > 180) | (np.abs(second) > 90))
        refuse(off, lambda i: f"lon {first[i]:g}, lat {second[i]:g} is not on the globe")
        known &= ~off
    table["easting"], table["northing"] = np.nan, np.nan
    if city is None or not known.any():
        return
    from pyproj import Transformer

    to_city = Transformer.from_crs(mapping.crs, city.crs, always_xy=True)
    east, north = np.full(len(table), np.nan), np.full(len(table), np.nan)
    east[known], north[known] = to_city.transform(first[known], second[known])
    middles, inside = nearest_middles(city, east, north)
    outside = known & ~inside
    refuse(
        outside,
        lambda i: (
            f"lon {first[i]:.3f}, lat {second[i]:.3f} is not in {city.name} or not within {OUTSIDE_M:g} m of a street"
        ),
    )
    table["easting"], table["northing"] = middles[:, 0], middles[:, 1]
