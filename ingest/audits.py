"""Safety audits after the model of Safetipin: eight parameters of a place, kept by street section, and how it feels.

A walking auditor rates eight things that describe the place and, as the ninth, how the place feels, each from 0 to 3.
The feeling is an answer to the instrument `audit-feeling-4`, coarsened and kept as every answer. The eight others are
no answers: they are kept as the median of the ratings of each street section with how many auditors gave one, under
`store/audits/<campaign>.parquet`, without who rated or when to the day. The model does not use them: they are handed
out as they are, to be laid beside the map.

Columns of a file: response_id, lon, lat, time, any of PARAMETERS, and feeling; pseudonym tells auditors apart. A
mapping renames columns as that of answers does.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd

from ingest.lock import shelf_lock
from ingest.survey_file import Mapping, left_out, load_table, read_answers, text_of
from sensors.errors import AnswerError, gather

if TYPE_CHECKING:
    from sensors.city import City

INSTRUMENT = "audit-feeling-4"
# The words of a place, not of a person; what 0 and 3 mean stands in docs/surveys.md.
PARAMETERS = (
    "lighting",
    "openness",
    "visibility",
    "people",
    "security",
    "walk_path",
    "public_transport",
    "gender_usage",
)
FEELING = "feeling"
LOWEST, HIGHEST = 0, 3
COLUMNS: dict[str, str] = {
    "easting": "float64",  # the middle of the street section
    "northing": "float64",
    "parameter": "str",
    "median": "float64",
    "lowest": "uint8",
    "highest": "uint8",
    "auditors": "int32",
    "year": "int32",
    "campaign": "str",
    "origin": "str",
}
_OURS = ("response_id", "lon", "lat", "time", "pseudonym", *PARAMETERS, FEELING)


class AuditMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ours -> theirs, and the zone of times written without one."""

    columns: dict[str, str] = {}
    zone: str = ""


@dataclass
class AuditsTaken:
    """What became of a file of audits."""

    file: str
    rows: int
    feelings: int = 0
    ratings: int = 0
    sections: int = 0
    problems: list[str] = field(default_factory=list)
    campaign: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return {
            "file": self.file,
            "rows": self.rows,
            "feelings": self.feelings,
            "ratings": self.ratings,
            "sections": self.sections,
            "problems": self.problems,
            "campaign": self.campaign,
        }

    def text(self) -> str:
        """For people."""
        lines = [
            f"{self.file}: {self.rows} audits, {self.feelings} feelings as answers, {self.ratings} ratings of "
            f"{self.sections} street sections",
            "  the ratings are kept to be handed out; the model does not use them",
        ]
        return "\n".join(lines + left_out(0, "audits", self.problems))


def import_audits(
    city: City, file: Path, *, campaign: str = "", mapping: Path | None = None, simulated: bool = False
) -> AuditsTaken:
    """Take audits into the city: feelings as answers, the parameters by street section; again, it replaces its own."""
    from ingest.campaigns import CAMPAIGN, LOCK_WAIT_S, write_table
    from ingest.surveys import import_answers

    name = campaign or re.sub(r"[^a-z0-9]+", "-", file.name.split(".")[0].lower()).strip("-")
    if not CAMPAIGN.fullmatch(name):
        raise AnswerError(f"campaign '{name}' must be lower-case letters, digits and single hyphens")
    said = _mapping(mapping)
    table = _renamed(load_table(file), file, said)
    taken = AuditsTaken(file.name, len(table), campaign=name)
    rated = table[[*(one for one in PARAMETERS if one in table), *([FEELING] if FEELING in table else [])]]
    numbers = rated.apply(lambda column: column.map(_rating))
    for row, column in zip(*np.nonzero((numbers == -1).to_numpy()), strict=True):
        asked = rated.iloc[row, column]
        taken.problems.append(f"row {row + 2}: {rated.columns[column]} '{asked[:20]}' is not {LOWEST} to {HIGHEST}")
    numbers = numbers.where(numbers >= 0)
    feeling = numbers[FEELING] if FEELING in numbers else pd.Series(np.nan, table.index)
    rows = table[[one for one in ("response_id", "lon", "lat", "time", "pseudonym") if one in table]].assign(
        category=[str(int(one) + 1) if one == one else "1" for one in feeling],
        instrument=INSTRUMENT,
        role="worker",
        trigger="panel",
        light_state=_light_state(city, table, said.zone),
    )
    plain = Mapping(zone=said.zone)
    report, good = read_answers(file, INSTRUMENT, plain, city, simulated=simulated, rows=rows)
    taken.problems += report.problems
    if not len(good):
        raise AnswerError(gather(f"{file.name} holds no audit that can be taken", taken.problems))
    felt = rows[rows["response_id"].isin(good["response_id"]) & feeling.notna()]
    if len(felt):
        kept = felt.assign(time=_utc(good, felt))
        answers = import_answers(city, file, campaign=name, instrument=INSTRUMENT, simulated=simulated, rows=kept)
        taken.feelings = answers.accepted
    first = numbers.groupby(table["response_id"]).first()
    ratings = _by_section(good, first, name, "simulated" if simulated else "recorded")
    taken.ratings, taken.sections = int(ratings["auditors"].sum()), len(ratings.groupby(["easting", "northing"]))
    shelf = city.shelf("audits")
    shelf.mkdir(parents=True, exist_ok=True)
    with shelf_lock(shelf, "noctule survey audits", wait_s=LOCK_WAIT_S):
        write_table(shelf / f"{name}.parquet", ratings)
    return taken


def audits(city: City) -> pd.DataFrame:
    """Every campaign's ratings by street section, columns COLUMNS."""
    frames = [pd.read_parquet(path) for path in sorted(city.shelf("audits").glob("*.parquet"))]
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({name: [] for name in COLUMNS})
    return table[list(COLUMNS)].astype(COLUMNS)


def as_csv(city: City) -> str:
    """The ratings for others: longitude and latitude of the section's middle, a line a section and parameter."""
    import geopandas

    table = audits(city)
    points = geopandas.GeoSeries.from_xy(table["easting"], table["northing"], crs=city.crs).to_crs("EPSG:4326")
    table.insert(0, "longitude", points.x.round(6).to_numpy())
    table.insert(1, "latitude", points.y.round(6).to_numpy())
    return str(table.drop(columns=["easting", "northing"]).to_csv(index=False, lineterminator="\n"))


def remove_audits(city: City, *, campaign: str) -> int:
    """Erase a campaign's ratings; its feelings go with `survey remove`."""
    from ingest.campaigns import CAMPAIGN

    stored = city.shelf("audits") / f"{campaign}.parquet"
    if not CAMPAIGN.fullmatch(campaign) or not stored.is_file():
        there = ", ".join(sorted(path.stem for path in city.shelf("audits").glob("*.parquet"))) or "none"
        raise AnswerError(f"there are no audits '{campaign}'; expected one of {there}")
    count = len(pd.read_parquet(stored, columns=["parameter"]))
    stored.unlink()
    return count


def _mapping(file: Path | None) -> AuditMapping:
    if file is None:
        return AuditMapping()
    try:
        mapping = msgspec.convert(tomllib.loads(file.read_text("utf-8")), AuditMapping)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise AnswerError(f"{file}: {error}; a mapping of audits has [columns] and zone") from error
    if alien := sorted(set(mapping.columns) - set(_OURS)):
        raise AnswerError(f"{file} names {', '.join(alien)}; the columns of audits are {', '.join(_OURS)}")
    return mapping


def _renamed(raw: pd.DataFrame, file: Path, mapping: AuditMapping) -> pd.DataFrame:
    """Our columns alone, as text; nothing else of the file is looked at."""
    theirs = {str(name).strip().lower().replace(" ", "_"): name for name in raw.columns}
    found = {}
    for ours in _OURS:
        name = mapping.columns.get(ours, ours).strip().lower().replace(" ", "_")
        if name in theirs:
            found[ours] = raw[theirs[name]].map(text_of)
        elif ours in mapping.columns or ours in ("response_id", "lon", "lat", "time"):
            raise AnswerError(f"{file.name} has no column '{name}' ({ours}); it has {', '.join(theirs)}")
    if not set(found) & {*PARAMETERS, FEELING}:
        raise AnswerError(f"{file.name} rates nothing; an audit has columns like {', '.join((*PARAMETERS, FEELING))}")
    return pd.DataFrame(found).reset_index(drop=True)


def _rating(said: str) -> float:
    """0 to 3; NaN where nothing was rated, -1 where it is none."""
    if said == "":
        return float("nan")
    return float(said) if re.fullmatch(r"[0-3](\.0)?", said) else -1.0


def _light_state(city: City, table: pd.DataFrame, zone: str) -> list[str]:
    """By the sun: an audit says when it was, not whether it was dark."""
    from ingest.survey_file import moment_of
    from sensors.night import sun_elevation

    longitude, latitude = city.centre_lonlat()
    states = []
    for said in table["time"]:
        moment = moment_of(said, zone)
        dark = isinstance(moment, str) or sun_elevation(np.array([moment]), latitude, longitude)[0] < 0
        states.append("dark" if dark else "day")
    return states


def _utc(good: pd.DataFrame, felt: pd.DataFrame) -> list[str]:
    """The times that were read, so that they are read the same once more."""
    moments = dict(zip(good["response_id"], good["moment"], strict=True))
    return [f"{np.datetime_as_string(np.datetime64(moments[one], 'ms'), unit='ms')}Z" for one in felt["response_id"]]


def _by_section(good: pd.DataFrame, numbers: pd.DataFrame, campaign: str, origin: str) -> pd.DataFrame:
    """Median, lowest and highest of each parameter on each street section, and how many rated it."""
    who = good["pseudonym"].where(good["pseudonym"] != "", good["response_id"])
    rows = []
    for parameter in (one for one in PARAMETERS if one in numbers):
        rating = numbers[parameter].reindex(good["response_id"]).to_numpy()
        known = good.assign(rating=rating, who=who, year=good["moment"].to_numpy().astype("datetime64[Y]").astype(int))
        for (easting, northing), group in known[known["rating"].notna()].groupby(["easting", "northing"], sort=True):
            # One auditor who passes twice is one voice: their own median first.
            each = group.groupby("who")["rating"].median()
            rows.append(
                {
                    "easting": easting,
                    "northing": northing,
                    "parameter": parameter,
                    "median": float(each.median()),
                    "lowest": int(group["rating"].min()),
                    "highest": int(group["rating"].max()),
                    "auditors": len(each),
                    "year": 1970 + int(group["year"].max()),
                    "campaign": campaign,
                    "origin": origin,
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
