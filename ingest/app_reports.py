"""Reports of reporting apps in: what each is about is a matter of its category, and what is about a person stays out.

A mapping says what a service code or category is: `lamp` (evidence of a lamp fault), `feeling` (how safe a place
feels), `person` (refused) or `pass` (not for us, like a pothole). A report that feels unsafe is a spontaneous answer to
the instrument `report-2`. Nobody writes that a place feels safe, and who writes is not known, so a flood of reports
must not be one of opinion: all of one 400 m cell and month count as one person who may say three answers' worth.

The text of a report is read once, judged (`ingest.report_words`) and dropped; it is never kept, printed or quoted.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from ingest.lamp_reports import keep_lamp_reports, lamp_campaigns, remove_lamp_reports
from ingest.report_files import AppReport, read_reports
from ingest.report_words import folded, speaks_of_somebody
from ingest.survey_file import left_out
from sensors.errors import AnswerError, gather
from sensors.night import local_offset, parse_rfc3339, sun_elevation

if TYPE_CHECKING:
    from sensors.city import City

Times = npt.NDArray[np.datetime64]

FORMAT = 1
INSTRUMENT = "report-2"
KINDS = ("lamp", "feeling", "person", "pass")
ANY = "*"  # in a mapping: every category that it does not name
CELL_M, MOST_OF_A_MONTH = 400.0, 3.0  # what all reports of a cell and a month count together
_DARK_DEG = 3.0  # as answers from files: nobody means full sun by "after dark"

# What a draft takes a category for, by words in it; the first that fits. English and French, without accents.
_HINTS = (
    ("person", r"anti.?social|behaviou?r|nuisance|person|harass|drug|homeless|rough sleep|begg|neighbou?r|noise from"),
    ("person", r"incivilit|harcel|personne|drogue|sans.abri|mendic|voisin|tapage|squat"),
    ("lamp", r"street.?light|lighting|lamp|luminaire|eclairage|lampadaire|candelabre|light(s)? (out|not working)"),
    ("feeling", r"unsafe|feel(ing)? (un)?safe|safety|sentiment de securite|securite ressentie|insecure|mal a l.aise"),
)


class ReportMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the categories of an app are to us.

    services : service code, service name or category -> one of KINDS; ANY for all others
    zone : of times written without one; agency : who answers, where the file does not say
    """

    format: int = FORMAT
    zone: str = ""
    agency: str = ""
    services: dict[str, str] = {}

    def kind_of(self, report: AppReport) -> str | None:
        """What a report is by its subcategory or code, else its category, else ANY; None where nothing is said."""
        known = {name.strip().casefold(): kind for name, kind in self.services.items()}
        for name in (report.code, report.category, ANY):
            if name and (kind := known.get(name.casefold())):
                return kind
        return None


@dataclass
class ReportsTaken:
    """What became of a file of reports; texts are in none of it."""

    file: str
    system: str
    rows: int
    lamps: int = 0
    feelings: int = 0
    persons: int = 0  # refused
    passed: int = 0
    known: int = 0  # of an earlier import
    held: int = 0  # feelings that wait in the quarantine: too many at once
    unmapped: int = 0
    categories: dict[str, tuple[int, str]] = field(default_factory=dict)  # category -> how many, and what it is to us
    problems: list[str] = field(default_factory=list)
    wrong_rows: int = 0
    far_lamps: int = 0  # lamp reports with no lamp within reach
    campaign: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return {
            "file": self.file,
            "system": self.system,
            "rows": self.rows,
            "lamp_reports": self.lamps,
            "lamp_reports_without_lamp": self.far_lamps,
            "feelings": self.feelings,
            "about_persons_refused": self.persons,
            "passed_over": self.passed,
            "not_mapped": self.unmapped,
            "already_known": self.known,
            "held_in_quarantine": self.held,
            "left_out": self.wrong_rows,
            "problems": self.problems,
            "categories": {name: {"reports": n, "is": kind} for name, (n, kind) in self.categories.items()},
            "campaign": self.campaign,
        }

    def text(self) -> str:
        """For people: by category and by what became of it."""
        lines = [
            f"{self.file} ({self.system}): {self.rows} reports",
            f"  {self.lamps} about lamps, {self.feelings} about how safe a place feels, {self.passed} passed over",
            f"  {self.persons} about persons are refused; their texts are not kept",
        ]
        if self.far_lamps:
            lines.append(f"  {self.far_lamps} of the lamp reports have no lamp within reach and name their street only")
        if self.known:
            lines.append(f"  {self.known} were known already")
        if self.held:
            lines.append(
                f"  {self.held} wait in the quarantine, since more came at once than people write by themselves"
            )
        for name, (count, kind) in self.categories.items():
            lines.append(f"  {count:>6}  {name}: {kind}")
        if self.unmapped:
            lines.append(f"  {self.unmapped} reports are in categories that the mapping does not name")
        return "\n".join(lines + left_out(self.wrong_rows, "reports", self.problems))


@dataclass(frozen=True)
class _Sorted:
    """A report that may be kept, with what it is, when and where."""

    report: AppReport
    kind: str
    requested: np.datetime64
    replied: np.datetime64  # NaT while nobody answered
    longitude: float
    latitude: float


def check_reports(file: Path, *, mapping: Path | None = None, city: City | None = None) -> ReportsTaken:
    """What would become of a file of reports; nothing is kept.

    city : with it, places and times are checked as well; without a mapping categories are guessed by their words
    """
    system, reports = read_reports(file)
    said = read_report_mapping(mapping) if mapping else drafted(reports)
    taken, _ = _sorted(file.name, system, reports, said, city)
    return taken


def import_reports(
    city: City, file: Path, *, mapping: Path, campaign: str = "", simulated: bool = False
) -> ReportsTaken:
    """Take reports into the city: feelings as spontaneous answers, lamp reports beside the lamps.

    The same file twice changes nothing but for what was answered since.
    """
    from ingest.surveys import CAMPAIGN, import_answers

    name = campaign or re.sub(r"[^a-z0-9]+", "-", file.name.split(".")[0].lower()).strip("-")
    if not CAMPAIGN.fullmatch(name):
        raise AnswerError(f"campaign '{name}' must be lower-case letters, digits and single hyphens")
    if simulated and not city.simulated:
        raise AnswerError(f"{city.name} is not declared simulated and takes no simulated reports")
    said = read_report_mapping(mapping)
    system, reports = read_reports(file)
    taken, kept = _sorted(file.name, system, reports, said, city)
    taken.campaign = name
    if not kept:
        raise AnswerError(gather(f"{file.name} holds no report that can be taken", taken.problems or [_none(taken)]))
    feelings = [one for one in kept if one.kind == "feeling"]
    if feelings:
        _refuse_mixed(city, name)
        answers = import_answers(city, file, campaign=name, simulated=simulated, rows=_answers(city, feelings))
        taken.known += answers.known
        taken.held = answers.held
        level_weights(city, name)
    lamps = [one for one in kept if one.kind == "lamp"]
    if lamps:
        known, taken.far_lamps = keep_lamp_reports(city, name, _lamp_rows(lamps, said.agency), simulated)
        taken.known += known
    return taken


def remove_reports(city: City, *, campaign: str) -> tuple[int, int]:
    """Erase a campaign of reports: how many feelings and how many lamp reports went."""
    from ingest.surveys import campaigns, remove_answers

    feelings = remove_answers(city, campaign=campaign) if _of_reports(city, campaign) else 0
    lamps = remove_lamp_reports(city, campaign) if campaign in lamp_campaigns(city) else 0
    if not feelings and not lamps:
        there = sorted({*lamp_campaigns(city), *(one for one in campaigns(city) if _of_reports(city, one))})
        raise AnswerError(f"there are no reports '{campaign}'; expected one of {', '.join(there) or 'none'}")
    return feelings, lamps


def read_report_mapping(file: Path) -> ReportMapping:
    """A mapping from TOML; AnswerError says what is wrong with it."""
    try:
        mapping = msgspec.convert(tomllib.loads(file.read_text("utf-8")), ReportMapping)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise AnswerError(f"{file}: {error}; a mapping of reports has format, zone, agency and [services]") from error
    problems = [
        f"service '{name}' is '{kind}', which is none of {', '.join(KINDS)}"
        for name, kind in mapping.services.items()
        if kind not in KINDS
    ]
    if mapping.format != FORMAT:
        problems.append(f"format {mapping.format} is not {FORMAT}")
    if mapping.zone and not _zone(mapping.zone):
        problems.append(f"zone '{mapping.zone}' is not known; write one like Europe/Paris")
    if not mapping.services:
        problems.append("it names no service")
    if problems:
        raise AnswerError(gather(str(file), problems))
    return mapping


def drafted(reports: Sequence[AppReport], zone: str = "") -> ReportMapping:
    """A mapping guessed from the words of the categories; what no word fits is passed over."""
    services = {name: _guess(name) for name in _by_count(reports)}
    return ReportMapping(zone=zone, services=services | {ANY: "pass"})


def draft_text(reports: Sequence[AppReport], zone: str = "") -> str:
    """The draft as TOML to read and correct before it is used."""
    counts = _by_count(reports)
    lines = [
        "# What each category of the app is: 'lamp', 'feeling' (how safe a place feels), 'person' (refused) or 'pass'.",
        "# Guessed from its name alone: read every line before the import.",
        f"format = {FORMAT}",
        f"zone = {_quoted(zone)}   # of times written without a zone, like Europe/Paris",
        'agency = ""   # who answers, where the file does not say',
        "",
        "[services]",
    ]
    lines += [f"{_quoted(name)} = {_quoted(_guess(name))}   # {count} reports" for name, count in counts.items()]
    lines.append(f'{_quoted(ANY)} = "pass"')
    return "\n".join(lines) + "\n"


def felt_at(requested: Times, city: City) -> Times:
    """When reports were felt: as written after dark, else the evening before the day on which they were written.

    A report says when it was sent. One that was sent at noon is about the dark hours before it.
    """
    longitude, latitude = city.centre_lonlat()
    felt = requested.copy()
    by_day = sun_elevation(felt, latitude, longitude) > _DARK_DEG
    local = requested + local_offset(requested, city.zone)
    days = local.astype("datetime64[D]")
    # 21:00 of the evening before and then midnight, as wall time; a clock that changes that night moves it by an hour.
    for wall in (days - np.timedelta64(3, "h"), days.astype("datetime64[h]")):
        if not by_day.any():
            break
        walls = wall.astype("datetime64[ms]")
        about: Times = (walls - (local - requested)).astype("datetime64[ms]")
        felt[by_day] = (walls - local_offset(about, city.zone))[by_day]
        by_day &= sun_elevation(felt, latitude, longitude) > _DARK_DEG
    return felt


def level_weights(city: City, campaign: str) -> None:
    """Let all reports of a cell and a month count MOST_OF_A_MONTH together, however many imports they came by.

    Their shared pseudonym is of the cell and the month, so it groups them.
    """
    from ingest.lock import shelf_lock
    from ingest.surveys import LOCK_WAIT_S, write_table

    shelf = city.shelf("answers")
    with shelf_lock(shelf, "noctule reports import", wait_s=LOCK_WAIT_S):
        stored = shelf / f"{campaign}.parquet"
        if not stored.is_file():
            return
        table = pd.read_parquet(stored)
        together = table.groupby("pseudonym")["response_id"].transform("size").to_numpy(np.float64)
        weight = np.minimum(1.0, MOST_OF_A_MONTH / together).astype(np.float32)
        if not np.array_equal(weight, table["weight"].to_numpy(np.float32)):
            write_table(stored, table.assign(weight=weight))


def _sorted(
    name: str, system: str, reports: Sequence[AppReport], mapping: ReportMapping, city: City | None
) -> tuple[ReportsTaken, list[_Sorted]]:
    """Each report put where it belongs, or left out with its reason."""
    taken = ReportsTaken(name, system, len(reports))
    for category, count in _by_count(reports).items():
        example = next(one for one in reports if _category(one) == category)
        taken.categories[category] = (count, mapping.kind_of(example) or "not mapped: passed over")
    kept: list[_Sorted] = []
    seen: set[str] = set()
    now = _now(city)
    for report in reports:
        kind = mapping.kind_of(report)
        if kind is None:
            taken.unmapped += 1
        if kind in (None, "pass"):
            taken.passed += 1
            continue
        if kind == "person" or speaks_of_somebody(report.text):
            taken.persons += 1
            continue
        found = _placed(report, kind or "", mapping, now, system)
        if isinstance(found, str) or report.number in seen:
            why = found if isinstance(found, str) else "its number stands in the file twice; the first one counts"
            taken.problems.append(f"report {report.row}: {why}")
            taken.wrong_rows += 1
            continue
        seen.add(report.number)
        kept.append(found)
    if city is not None:
        kept = _in_city(kept, city, taken)
    taken.lamps = sum(one.kind == "lamp" for one in kept)
    taken.feelings = sum(one.kind == "feeling" for one in kept)
    return taken, kept


def _placed(
    report: AppReport, kind: str, mapping: ReportMapping, now: np.datetime64 | None, system: str
) -> _Sorted | str:
    """A report with its time and place as numbers, or what is wrong with it; nothing of its text is said.

    GeoReport tells when a request was last changed, which is an answer once it is closed.
    """
    if not report.number:
        return "it has no number of its own"
    requested = _moment(report.requested, mapping.zone)
    if requested is None:
        return f"time '{report.requested[:40]}' must have its zone, or the mapping must name one"
    if requested < np.datetime64("2000-01-01", "ms") or (now is not None and requested > now):
        return f"time '{report.requested[:40]}' is before the year 2000 or has not come yet"
    replied = _moment(report.replied, mapping.zone)
    answered = replied is not None and replied > requested and (report.closed or system == "fixmystreet")
    try:
        latitude, longitude = float(report.latitude), float(report.longitude)
    except ValueError:
        return "its place is no pair of numbers"
    if not (abs(latitude) <= 90 and abs(longitude) <= 180) or (latitude, longitude) == (0.0, 0.0):
        return "its place is not on the globe, or is the point 0, 0"
    until = replied if answered and replied is not None else np.datetime64("NaT", "ms")
    return _Sorted(report, kind, requested, until, longitude, latitude)


def _in_city(kept: list[_Sorted], city: City, taken: ReportsTaken) -> list[_Sorted]:
    """Those that lie in the city; the others are left out and told."""
    from sensors.coarsening import OUTSIDE_M, nearest_middles

    if not kept:
        return kept
    east, north = _projected(city, kept)
    _, inside = nearest_middles(city, east, north)
    for one, here in zip(kept, inside, strict=True):
        if not here:
            taken.problems.append(
                f"report {one.report.row}: its place is not in {city.name} or not within {OUTSIDE_M:g} m of a street"
            )
            taken.wrong_rows += 1
    return [one for one, here in zip(kept, inside, strict=True) if here]


def _projected(city: City, kept: Sequence[_Sorted]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    from pyproj import Transformer

    to_city = Transformer.from_crs("EPSG:4326", city.crs, always_xy=True)
    east, north = to_city.transform([one.longitude for one in kept], [one.latitude for one in kept])
    return np.asarray(east, np.float64), np.asarray(north, np.float64)


def _answers(city: City, feelings: Sequence[_Sorted]) -> pd.DataFrame:
    """The reports as rows of answers: the lower category, spontaneous, one person a cell."""
    east, north = _projected(city, feelings)
    cells = [f"{int(e // CELL_M)} {int(n // CELL_M)}" for e, n in zip(east, north, strict=True)]
    felt = felt_at(np.array([one.requested for one in feelings], "datetime64[ms]"), city)
    month = [np.datetime_as_string(moment, unit="M") for moment in felt]
    together = Counter(zip(cells, month, strict=True))
    weights = [min(1.0, MOST_OF_A_MONTH / together[key]) for key in zip(cells, month, strict=True)]
    table = {
        "response_id": [one.report.number for one in feelings],
        "category": "1",
        "time": [f"{np.datetime_as_string(moment, unit='s')}Z" for moment in felt],
        "lon": [one.longitude for one in feelings],
        "lat": [one.latitude for one in feelings],
        "instrument": INSTRUMENT,
        "light_state": "dark",
        "trigger": "spontaneous",
        "weight": weights,
        "pseudonym": cells,
    }
    return pd.DataFrame(table, index=[one.report.row - 1 for one in feelings], dtype=object)


def _lamp_rows(lamps: Sequence[_Sorted], agency: str) -> pd.DataFrame:
    """What is told of lamp reports: a notice that speaks of somebody is left out."""
    notices = [one.report.notice[:160] for one in lamps]
    return pd.DataFrame(
        {
            "number": [one.report.number for one in lamps],
            "lon": [one.longitude for one in lamps],
            "lat": [one.latitude for one in lamps],
            "requested": np.array([one.requested for one in lamps], "datetime64[ms]"),
            "replied": np.array([one.replied for one in lamps], "datetime64[ms]"),
            "state": ["closed" if one.report.closed else "open" for one in lamps],
            "agency": [_agency(one.report.agency or agency) for one in lamps],
            "notice": ["" if speaks_of_somebody(notice) else notice for notice in notices],
        }
    )


def _agency(name: str) -> str:
    """A service's name; one that reaches or describes a person is not kept."""
    return "" if speaks_of_somebody(name) else name[:80]


def _moment(said: str, zone: str) -> np.datetime64 | None:
    """A time in UTC; None where it is none or says no zone."""
    if not said:
        return None
    try:
        return parse_rfc3339(said)
    except ValueError:
        pass
    try:
        stamp = pd.Timestamp(said)
        if stamp.tzinfo is None:
            if not zone:
                return None
            # Of an hour that exists twice the first: a report's own time need not be surer than a quarter of an hour.
            stamp = stamp.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
        return np.datetime64(int(stamp.tz_convert("UTC").timestamp() * 1000), "ms")
    except (ValueError, KeyError, OverflowError, TypeError):
        return None


def _now(city: City | None) -> np.datetime64 | None:
    from sensors.clock import city_clock

    return None if city is None else city_clock(city.path).now()


def _by_count(reports: Sequence[AppReport]) -> dict[str, int]:
    """Categories by how many reports are in them."""
    return dict(Counter(_category(report) for report in reports).most_common())


def _category(report: AppReport) -> str:
    """The name by which people know it."""
    return report.category or report.code or "(no category)"


def _guess(category: str) -> str:
    plain = folded(category)
    return next((kind for kind, hint in _HINTS if re.search(hint, plain)), "pass")


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _none(taken: ReportsTaken) -> str:
    return (
        f"{taken.passed} are passed over by the mapping and {taken.persons} are about persons; "
        "'noctule reports check' lists the categories"
    )


def _refuse_mixed(city: City, campaign: str) -> None:
    """Reports join no campaign of answers: they count otherwise."""
    from ingest.surveys import campaigns

    if campaign in campaigns(city) and not _of_reports(city, campaign):
        raise AnswerError(f"campaign '{campaign}' holds survey answers; choose another id for the reports")


def _of_reports(city: City, campaign: str) -> bool:
    """Whether a campaign's answers, wherever they are kept, are reports and nothing else."""
    from ingest.campaigns import CAMPAIGN

    if not CAMPAIGN.fullmatch(campaign):
        return False
    shelf = city.shelf("answers")
    asked: set[str] = set()
    for folder in (shelf, shelf / "off", shelf / "quarantine"):
        stored = folder / f"{campaign}.parquet"
        if stored.is_file():
            asked |= set(pd.read_parquet(stored, columns=["instrument"])["instrument"])
    return asked == {INSTRUMENT}
