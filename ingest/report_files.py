"""Reads what a reporting app exports: Open311 GeoReport v2 (`GET requests`) as JSON or XML, and the CSV of FixMyStreet.

Only the fields that are named here are looked at. Who reported, the address and pictures are passed over before a
report exists, so that nothing behind this door can keep them. The text of a report is read so that it can be judged
(`ingest.report_words`) and goes no further. XML with a document type or entities is refused, since GeoReport has none.

GeoReport v2: https://wiki.open311.org/GeoReport_v2 ; FixMyStreet: the export of a body's dashboard.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers import expat

import msgspec

from sensors.errors import AnswerError

LARGEST_BYTES = 64 * 1024 * 1024  # about 100,000 reports; more come as several files
MOST_REPORTS = 200_000
DEEPEST = 12  # elements of XML within one another; a report needs three
LONGEST_TEXT, LONGEST_FIELD = 8_000, 300  # characters that are looked at
SYSTEMS = ("open311", "fixmystreet")
# ours -> element of GeoReport, header of FixMyStreet
_OPEN311 = {
    "number": ("service_request_id",),
    "code": ("service_code",),
    "category": ("service_name",),
    "text": ("description", "status_notes"),
    "requested": ("requested_datetime",),
    "replied": ("updated_datetime",),
    "status": ("status",),
    "agency": ("agency_responsible",),
    "notice": ("service_notice",),
    "latitude": ("lat",),
    "longitude": ("long",),
}
_FIXMYSTREET = {
    "number": ("report id",),
    "code": ("subcategory",),
    "category": ("category",),
    "text": ("title", "detail"),
    "requested": ("confirmed", "created"),
    "replied": ("acknowledged", "fixed", "closed"),
    "status": ("status",),
    "latitude": ("latitude",),
    "longitude": ("longitude",),
}
_CLOSED = ("closed", "fixed", "duplicate", "unable to fix", "not responsible", "no further action", "internal referral")


@dataclass(frozen=True, slots=True)
class AppReport:
    """One report as an app gave it, every field still text; `text` is to be judged and dropped."""

    row: int  # in the file, from 1
    number: str
    code: str
    category: str
    text: str
    requested: str
    replied: str
    status: str
    agency: str
    notice: str
    latitude: str
    longitude: str

    @property
    def closed(self) -> bool:
        """Whether nobody works on it any more, by its own status."""
        return self.status.strip().casefold().startswith(_CLOSED)


def read_reports(file: Path) -> tuple[str, list[AppReport]]:
    """Which system a file is of ('open311' or 'fixmystreet'), and its reports.

    AnswerError says what is wrong with the file as a whole.
    """
    try:
        size = file.stat().st_size
        if size > LARGEST_BYTES:
            raise AnswerError(f"{file.name} has {size:,} bytes; at most {LARGEST_BYTES:,} are read, so split it")
        return reports_of(file.read_bytes(), file.name)
    except OSError as error:
        raise AnswerError(f"{file}: {error.strerror}") from error


def reports_of(content: bytes, name: str) -> tuple[str, list[AppReport]]:
    """The same of the bytes of a file, whatever they are."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnswerError(f"{name} is not UTF-8 text ({error}); GeoReport and FixMyStreet both are") from error
    beginning = text.lstrip()[:1]
    if beginning == "<":
        system, rows = "open311", _xml(text, name)
    elif beginning in ("[", "{"):
        system, rows = "open311", _json(text, name)
    else:
        system, rows = "fixmystreet", _csv(text, name)
    fields = _OPEN311 if system == "open311" else _FIXMYSTREET
    reports = [_report(number, row, fields) for number, row in enumerate(rows, start=1)]
    if not reports:
        raise AnswerError(f"{name} holds no report")
    return system, reports


def _report(number: int, row: Mapping[str, Any], fields: Mapping[str, tuple[str, ...]]) -> AppReport:
    found = {}
    for ours in ("number", "code", "category", "requested", "replied", "status", "agency", "notice"):
        # The first that says something: the day a report was confirmed before the day it was begun.
        found[ours] = next((said for name in fields.get(ours, ()) if (said := _plain(row.get(name)))), "")
    for ours in ("latitude", "longitude"):
        found[ours] = _plain(row.get(fields[ours][0]))
    text = "\n".join(_plain(row.get(name), LONGEST_TEXT) for name in fields["text"])
    return AppReport(row=number, text=text, **found)


def _plain(value: object, longest: int = LONGEST_FIELD) -> str:
    """A value as text on one line, cut to what is looked at; what is neither text nor number says nothing."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    return " ".join(str(value)[:longest].split())


def _json(text: str, name: str) -> list[Mapping[str, Any]]:
    try:
        content = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise AnswerError(f"{name} is no JSON ({error})") from error
    if isinstance(content, dict):  # some servers put the list into an object
        content = next((value for value in content.values() if isinstance(value, list)), content)
    if not isinstance(content, list):
        raise AnswerError(f"{name} holds no list of service requests; ask the server for requests.json")
    _few_enough(len(content), name)
    known = [row for row in content if isinstance(row, dict) and "service_request_id" in row]
    if content and not known:
        raise AnswerError(
            f"{name}: none of its {len(content)} entries has a service_request_id; is it a list of services?"
        )
    return [row if isinstance(row, dict) else {} for row in content]


def _csv(text: str, name: str) -> list[Mapping[str, Any]]:
    delimiter = ";" if text.split("\n", 1)[0].count(";") > text.split("\n", 1)[0].count(",") else ","
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    try:
        header = [title.strip().lower() for title in next(reader, [])]
        needed = ("report id", "category", "latitude", "longitude")
        if missing := [title for title in needed if title not in header]:
            raise AnswerError(
                f"{name} is neither Open311 (JSON, XML) nor an export of FixMyStreet: it has no column "
                f"{', '.join(missing)}"
            )
        wanted = {title for titles in _FIXMYSTREET.values() for title in titles}
        places = {title: place for place, title in enumerate(header) if title in wanted}
        rows: list[Mapping[str, Any]] = []
        for cells in reader:
            if not any(cells):
                continue
            rows.append({title: cells[place] for title, place in places.items() if place < len(cells)})
            _few_enough(len(rows), name)
    except csv.Error as error:
        raise AnswerError(f"{name} is no table ({error}); a quote may not be closed") from error
    return rows


def _xml(text: str, name: str) -> list[Mapping[str, Any]]:
    reader = _Requests(name)
    reader.read(text)
    return reader.rows


class _Requests:
    """The `request` elements of a GeoReport document as rows, each bounded; nothing in it can name another file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[Mapping[str, Any]] = []
        self._root = ""
        self._path: list[str] = []
        self._row: dict[str, str] | None = None
        self._said: list[str] = []
        self._wanted = {field for fields in _OPEN311.values() for field in fields}

    def read(self, text: str) -> None:
        """Take in the whole document."""
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(text, True)
        except expat.ExpatError as error:
            raise AnswerError(f"{self.name} is no XML ({error})") from error
        if self._root not in ("service_requests", "requests", "service_request"):
            raise AnswerError(f"{self.name} begins with <{self._root}>; expected <service_requests> of GeoReport v2")

    def _refuse(self, *_: object) -> None:
        raise AnswerError(f"{self.name} declares a document type or entities, which GeoReport has not; it is not read")

    def _begin(self, element: str, _: object) -> None:
        element = element.rsplit(":", 1)[-1]
        self._root = self._root or element[:80]
        self._path.append(element)
        if len(self._path) > DEEPEST:
            raise AnswerError(f"{self.name} has elements more than {DEEPEST} deep; a service request has three")
        if element == "request":
            _few_enough(len(self.rows) + 1, self.name)
            self._row = {}
        self._said = []

    def _text(self, said: str) -> None:
        if self._row is not None and self._path[-1] in self._wanted and sum(map(len, self._said)) < LONGEST_TEXT:
            self._said.append(said)

    def _end(self, _: object) -> None:
        element = self._path.pop()
        if self._row is None:
            return
        if element == "request":
            self.rows.append(self._row)
            self._row = None
        elif element in self._wanted:
            self._row[element] = "".join(self._said)
        self._said = []


def _few_enough(count: int, name: str) -> None:
    if count > MOST_REPORTS:
        raise AnswerError(f"{name} holds more than {MOST_REPORTS:,} reports; split it")
