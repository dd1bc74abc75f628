"""What a night walk is: a folder of the city with its title and the stops at which a group says how safe it feels.

    <city>/walks/<walk-id>/walk.toml    format, id, title, date, light_states, loop, day_from, dark_from, url, repeats
    <city>/walks/<walk-id>/stops.csv    stop, label, lon, lat, easting, northing, section

Both are made to be changed by hand. A stop may be given by lon and lat or by easting and northing; where both stand
they must be the same place. Stops are visited in the order of their numbers, by day and after dark.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import msgspec
import numpy as np
import shapely

from sensors.answer import CODES
from sensors.city import City
from sensors.errors import WalkError, gather

FORMAT = 1
STOP_COLUMNS = ("stop", "label", "lon", "lat", "easting", "northing", "section")
MOST_STOPS = 24  # three hours and more; by day and after dark still fewer answers of one person than look like many
LONGEST_ID = 40
LONGEST_TITLE, LONGEST_LABEL, LONGEST_URL = 120, 80, 200
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")  # the walk's answers are the campaign 'walk-<id>'
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_URL = re.compile(r"https?://[^\s\"'<>\\]+")
_LARGEST_FILE = 64_000  # bytes; as many stops take three thousand
_SAME_PLACE_M = 5.0  # five decimals of a degree are a metre
_DANGEROUS_FIRST = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would read such a label as a formula


class WalkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything in `walk.toml`."""

    format: int
    id: str
    title: str
    date: datetime.date
    light_states: tuple[str, ...] = ("day", "dark")  # a pair at the same stops says what the dark changes
    loop: bool = True  # back to the first stop after the last
    day_from: str = ""  # local times like 14:00 at which it begins; by the sun of its day where empty
    dark_from: str = ""
    url: str = ""  # of the city's answer form, for the codes on paper
    repeats: str = ""  # the earlier walk whose stops these are


@dataclass(frozen=True)
class Walk:
    """A walk as planned.

    stops : GeoDataFrame indexed by stop number with `label`, `lon`, `lat` (WGS 84 degrees), `section` (number of the
    street section to which its answers are coarsened, -1 where it is not told) and the projected point
    """

    settings: WalkSettings
    stops: geopandas.GeoDataFrame

    @property
    def id(self) -> str:
        """The walk's name in paths, addresses and its campaign."""
        return self.settings.id

    @property
    def title(self) -> str:
        """The walk's name for people."""
        return self.settings.title

    @property
    def date(self) -> datetime.date:
        """The day of the walk; after midnight it is still that night's."""
        return self.settings.date

    @property
    def campaign(self) -> str:
        """The campaign under which its answers are kept, from phones and from paper."""
        return f"walk-{self.id}"


def walk_names(city: City) -> list[str]:
    """Ids of the city's walks, in order."""
    folder = city.path / "walks"
    return sorted(file.parent.name for file in folder.glob("*/walk.toml") if _is_id(file.parent.name))


def walk_folder(city: City, walk_id: str) -> Path:
    """Where a walk of that id is kept; WalkError where it is no id."""
    if not _is_id(walk_id):
        raise WalkError(
            f"walk id '{walk_id[:LONGEST_ID]}' must be lower-case letters, digits and single hyphens, "
            f"at most {LONGEST_ID} of them"
        )
    return city.path / "walks" / walk_id


def read_walk(city: City, walk_id: str) -> Walk:
    """One walk of a city; WalkError gathers all that is wrong with its two files."""
    folder = walk_folder(city, walk_id)
    if not (folder / "walk.toml").is_file():
        raise WalkError(f"{city.name} has no walk '{walk_id}'; it has {', '.join(walk_names(city)) or 'none'}")
    settings = _read_settings(folder / "walk.toml", walk_id)
    return Walk(settings, _read_stops(folder / "stops.csv", city))


def write_walk(city: City, walk: Walk) -> Path:
    """Write a walk's two files, beside and then renamed; gives its folder."""
    folder = walk_folder(city, walk.id)
    problems = settings_problems(walk.settings, walk.id)
    if problems:
        raise WalkError(gather(f"walk '{walk.id}'", problems))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("stops.csv", stops_csv(walk)), ("walk.toml", _toml(walk.settings))):
        beside = folder / f"{name}.new"
        beside.write_text(text, "utf-8")
        beside.replace(folder / name)
    return folder


def stops_csv(walk: Walk) -> str:
    """The stops as they are kept, a label that a spreadsheet would run made harmless."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(STOP_COLUMNS)
    for stop in walk.stops.itertuples():
        label = f"'{stop.label}" if stop.label.startswith(_DANGEROUS_FIRST) else stop.label
        place = (f"{stop.geometry.x:.1f}", f"{stop.geometry.y:.1f}")
        section = "" if stop.section < 0 else stop.section
        writer.writerow((stop.Index, label, f"{stop.lon:.6f}", f"{stop.lat:.6f}", *place, section))
    return out.getvalue()


def make_stops(
    city: City, labels: list[str], points: list[shapely.Point], sections: list[int]
) -> geopandas.GeoDataFrame:
    """Stops numbered from 1 at some places of the city, as `Walk.stops` holds them."""
    from pyproj import Transformer

    east, north = shapely.get_x(points), shapely.get_y(points)
    lon, lat = Transformer.from_crs(city.crs, "EPSG:4326", always_xy=True).transform(east, north)
    columns = {"label": labels, "lon": np.asarray(lon, float), "lat": np.asarray(lat, float), "section": sections}
    numbers = np.arange(1, len(labels) + 1, dtype=np.int64)
    frame = geopandas.GeoDataFrame(columns, index=numbers, geometry=list(points), crs=city.crs)
    frame.index.name = "stop"
    return frame


def walk_settings(walk_id: str, title: str, date: str, *, url: str = "", repeats: str = "") -> WalkSettings:
    """Settings from what somebody types; WalkError gathers all that is wrong with them."""
    problems = []
    try:
        day = datetime.date.fromisoformat(date)
    except ValueError:
        problems.append(f"date '{date[:20]}' must be a day like 2026-11-20")
        day = datetime.date(2000, 1, 1)
    settings = WalkSettings(format=FORMAT, id=walk_id, title=title, date=day, url=url, repeats=repeats)
    problems += settings_problems(settings, walk_id)
    if problems:
        raise WalkError(gather(f"walk '{walk_id[:LONGEST_ID]}'", problems))
    return settings


def settings_problems(settings: WalkSettings, walk_id: str) -> list[str]:
    """Everything that is wrong with what `walk.toml` says, a sentence each."""
    problems = []
    if settings.format != FORMAT:
        problems.append(f"format {settings.format} is not the format {FORMAT} of this version")
    if settings.id != walk_id or not _is_id(settings.id):
        problems.append(f"id '{settings.id[:LONGEST_ID]}' must be the name of its folder, '{walk_id}'")
    if not settings.title.strip() or len(settings.title) > LONGEST_TITLE or not settings.title.isprintable():
        problems.append(f"the title must be one line of 1 to {LONGEST_TITLE} characters")
    states = settings.light_states
    if not states or len(set(states)) != len(states) or set(states) - set(CODES["light_state"]):
        problems.append(f"light_states {list(states)[:4]} must be day, dark or both, each once")
    problems += [
        f"{name} '{said[:20]}' must be a local time like 21:00"
        for name, said in (("day_from", settings.day_from), ("dark_from", settings.dark_from))
        if said and not _CLOCK.fullmatch(said)
    ]
    if settings.url and (len(settings.url) > LONGEST_URL or not _URL.fullmatch(settings.url)):
        problems.append(f"url must be an address like https://night.example.org of at most {LONGEST_URL} characters")
    if settings.repeats and (not _is_id(settings.repeats) or settings.repeats == settings.id):
        problems.append("repeats must be the id of an earlier walk")
    return problems


def _read_settings(file: Path, walk_id: str) -> WalkSettings:
    text = _text(file)
    try:
        settings = msgspec.convert(tomllib.loads(text), WalkSettings)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise WalkError(f"{file}: {error}; a walk has format, id, title, date and more, see docs/walks.md") from error
    problems = settings_problems(settings, walk_id)
    if problems:
        raise WalkError(gather(str(file), problems))
    return settings


def _read_stops(file: Path, city: City) -> geopandas.GeoDataFrame:
    """The stops of a file, each with its place in degrees and in metres."""
    try:
        reader = csv.DictReader(io.StringIO(_text(file)), strict=True)
        missing = [name for name in ("stop", "label", "lon", "lat") if name not in (reader.fieldnames or [])]
        if missing:
            raise WalkError(f"{file} lacks the columns {', '.join(missing)}; it needs {', '.join(STOP_COLUMNS)}")
        raw = [{name: (row.get(name) or "").strip() for name in STOP_COLUMNS} for row in reader]
    except csv.Error as error:
        raise WalkError(f"{file} is no CSV table ({error})") from error
    rows, problems = [], []
    for line, cells in enumerate(raw, start=2):
        row, wrong = _stop(cells, city)
        problems += [f"line {line}: {problem}" for problem in wrong]
        rows.append(row)
    numbers = [row["stop"] for row in rows if row["stop"]]
    problems += [f"stop {number} stands twice" for number in sorted({n for n in numbers if numbers.count(n) > 1})]
    if not rows or len(rows) > MOST_STOPS:
        problems.append(f"it has {len(rows)} stops; a walk has 1 to {MOST_STOPS}")
    if problems:
        raise WalkError(gather(str(file), problems))
    rows.sort(key=lambda row: row["stop"])
    names = ("label", "lon", "lat", "section")
    index = np.array([row["stop"] for row in rows], np.int64)
    points = [shapely.Point(row["easting"], row["northing"]) for row in rows]
    columns = {name: [row[name] for row in rows] for name in names}
    frame = geopandas.GeoDataFrame(columns, index=index, geometry=points, crs=city.crs)
    frame.index.name = "stop"
    return frame


def _stop(cells: dict[str, str], city: City) -> tuple[dict[str, Any], list[str]]:
    """One row of stops.csv read, and what is wrong with it."""
    problems = []
    number = int(cells["stop"]) if re.fullmatch(r"[0-9]{1,3}", cells["stop"]) else 0
    if not number:
        problems.append(f"stop '{cells['stop'][:20]}' must be a number from 1 to 999")
    label = cells["label"]
    label = label[1:] if label[:1] == "'" and label[1:].startswith(_DANGEROUS_FIRST) else label
    if not label or len(label) > LONGEST_LABEL or not label.isprintable():
        problems.append(f"the label must be one line of 1 to {LONGEST_LABEL} characters")
    section = int(cells["section"]) if re.fullmatch(r"[0-9]{1,9}", cells["section"]) else -1
    if cells["section"] and section < 0:
        problems.append(f"section '{cells['section'][:20]}' must be the number of a street section, or nothing")
    place, wrong = _place(cells, city)
    names = ("lon", "lat", "easting", "northing")
    row = {"stop": number, "label": label, "section": section, **dict(zip(names, place, strict=True))}
    return row, problems + wrong


def _place(cells: dict[str, str], city: City) -> tuple[tuple[float, float, float, float], list[str]]:
    """Degrees and metres of a stop from whichever pair it gives."""
    nowhere = (float("nan"),) * 4
    given = {}
    for pair in (("lon", "lat"), ("easting", "northing")):
        if not (cells[pair[0]] or cells[pair[1]]):
            continue
        values = tuple(_number(cells[name]) for name in pair)
        if not np.isfinite(values).all():
            return nowhere, [
                f"{pair[0]} '{cells[pair[0]][:20]}', {pair[1]} '{cells[pair[1]][:20]}' must be two numbers"
            ]
        given[pair[0]] = values
    if not given:
        return nowhere, ["it has neither lon and lat nor easting and northing"]
    from pyproj import Transformer

    if "lon" in given:
        lon, lat = given["lon"]
        if abs(lon) > 180 or abs(lat) > 90:
            return nowhere, [f"lon {lon:g}, lat {lat:g} is not on the globe"]
        east, north = Transformer.from_crs("EPSG:4326", city.crs, always_xy=True).transform(lon, lat)
    else:
        east, north = given["easting"]
        lon, lat = Transformer.from_crs(city.crs, "EPSG:4326", always_xy=True).transform(east, north)
    grid = city.settings.grid
    if not (grid.west <= east < grid.east and grid.south <= north < grid.north):
        return nowhere, [f"its place is not in {city.name}"]
    if len(given) == 2:
        apart = float(np.hypot(east - given["easting"][0], north - given["easting"][1]))
        if apart > _SAME_PLACE_M:
            say = f"lon and lat lie {apart:.0f} m from easting and northing; empty the pair that is not meant"
            return nowhere, [say]
    return (float(lon), float(lat), float(east), float(north)), []


def _number(text: str) -> float:
    try:
        return float(text) if len(text) <= 30 else float("nan")
    except ValueError:
        return float("nan")


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise WalkError(f"{file} has more than {_LARGEST_FILE} bytes; no walk needs as many")
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise WalkError(f"{file} cannot be read ({error})") from error


def _toml(settings: WalkSettings) -> str:
    lines = []
    for name, value in msgspec.to_builtins(settings).items():
        # JSON strings, numbers, booleans and arrays of them are TOML as well; a date stands bare.
        text = value if name == "date" else msgspec.json.encode(value).decode()
        lines.append(f"{name} = {text}")
    return "\n".join(lines) + "\n"


def _is_id(text: str) -> bool:
    return len(text) <= LONGEST_ID and _ID.fullmatch(text) is not None
