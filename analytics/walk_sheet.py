"""The keying sheet of a walk: one row a participant, stop and light, as a table to type answers from paper into.

Its columns are those of `noctule survey import`; what is known before the walk stands in it already. Who somebody is
need be typed on one row of theirs only, and rows without an answer are nobody's.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import pandas as pd

from analytics.walk_route import Route
from analytics.walk_times import at_stops, ordered
from sensors.answer import CODES
from sensors.city import City
from sensors.errors import WalkError
from sensors.instrument import load_instrument
from sensors.walk import MOST_STOPS, Walk

INSTRUMENT = "core-4"
CONSENT = "walk-1"  # the version of the words in the booklet
MOST_PARTICIPANTS = 60
WHO = ("gender", "age_band", "disability", "role", "familiarity")  # of a person, the same on all of their rows
KEYED = ("category", *WHO)  # what is typed from paper
COLUMNS = (
    "participant", "stop", "light_state", "category", *WHO, "time", "response_id", "pseudonym", "lon", "lat", "alone",
    "trigger", "instrument", "consent_version",
)  # fmt: skip
_FIXED_DAY = (1980, 1, 1, 0, 0, 0)  # a ZIP file knows no earlier one
_WIDTHS = {"time": 27, "response_id": 16, "consent_version": 16, "familiarity": 13, "light_state": 11, "instrument": 11}


def sheet_rows(city: City, walk: Walk, route: Route, participants: int) -> list[dict[str, Any]]:
    """Rows of the sheet, participant by participant, in the order in which they pass the stops."""
    if not 1 <= participants <= MOST_PARTICIPANTS:
        raise WalkError(f"a sheet of {participants} participants cannot be made; expected 1 to {MOST_PARTICIPANTS}")
    moments = {state: at_stops(city, walk, route, state) for state in walk.settings.light_states}
    rows = []
    for number in range(1, participants + 1):
        who = f"p{number:02d}"
        for state in ordered(walk.settings.light_states):
            for stop, moment in zip(walk.stops.itertuples(), moments[state], strict=True):
                rows.append(
                    {
                        "participant": number,
                        "stop": int(stop.Index),
                        "light_state": state,
                        "time": moment.isoformat(timespec="seconds"),
                        "response_id": f"{who}-s{stop.Index}-{state}",
                        "pseudonym": who,
                        "lon": f"{stop.lon:.6f}",
                        "lat": f"{stop.lat:.6f}",
                        "alone": "accompanied",
                        "trigger": "prompted",
                        "instrument": INSTRUMENT,
                        "consent_version": CONSENT,
                    }
                )
    return [{name: row.get(name, "") for name in COLUMNS} for row in rows]


def sheet_csv(rows: Sequence[dict[str, Any]]) -> str:
    """The sheet as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def sheet_xlsx(rows: Sequence[dict[str, Any]]) -> bytes:
    """The sheet as XLSX, with lists of what may be typed; the same rows give the same bytes."""
    from openpyxl import Workbook
    from openpyxl.styles import Font, PatternFill
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "answers"
    sheet.append(list(COLUMNS))
    typed, known = PatternFill("solid", fgColor="FFF7E8C0"), Font(color="FF666666")
    for row in rows:
        sheet.append([row[name] for name in COLUMNS])
    for index, name in enumerate(COLUMNS, start=1):
        letter = get_column_letter(index)
        sheet.column_dimensions[letter].width = _WIDTHS.get(name, 12)
        sheet.cell(1, index).font = Font(bold=True)
        for at in range(2, len(rows) + 2):
            cell = sheet.cell(at, index)
            if name in KEYED:
                cell.fill = typed
            else:
                cell.font = known
        if name in KEYED:
            allowed = [str(one) for one in range(1, _categories() + 1)] if name == "category" else list(CODES[name])
            rule = DataValidation(type="list", formula1=f'"{",".join(allowed)}"', allow_blank=True, showDropDown=False)
            rule.errorTitle, rule.error = name, f"one of {', '.join(allowed)}, or nothing"
            rule.showErrorMessage = True
            sheet.add_data_validation(rule)
            rule.add(f"{letter}2:{letter}{len(rows) + 1}")
    sheet.freeze_panes = "E2"
    _explained(book)
    held = io.BytesIO()
    book.save(held)
    return _without_the_time(held.getvalue())


def completed(table: pd.DataFrame, walk: Walk) -> pd.DataFrame:
    """A keyed sheet as `survey import` takes it: rows with an answer, each with its stop's place and who answered.

    table : all text, as `ingest.surveys.load_table` gives it or with numbers where a spreadsheet made them
    """
    most = MOST_PARTICIPANTS * MOST_STOPS * len(CODES["light_state"])
    if len(table) > most:
        raise WalkError(f"the sheet has {len(table)} rows; no walk has more than {most}")
    text = pd.DataFrame({str(name).strip().lower(): [_text(one) for one in table[name]] for name in table.columns})
    missing = [name for name in ("response_id", "category", "pseudonym", "stop") if name not in text.columns]
    if missing:
        raise WalkError(f"the sheet lacks the columns {', '.join(missing)}; key into the sheet of 'noctule walk pack'")
    stops = {str(stop.Index): stop for stop in walk.stops.itertuples()}
    unknown = sorted(set(text["stop"][text["category"] != ""]) - set(stops))
    if unknown:
        raise WalkError(f"stop '{unknown[0][:20]}' of the sheet is none of walk '{walk.id}', {', '.join(stops)}")
    for name in (one for one in WHO if one in text.columns):
        said = text[text[name] != ""].groupby("pseudonym")[name]
        differing = [str(who) for who, codes in said if len(set(codes.str.lower())) > 1 and who]
        if differing:
            raise WalkError(
                f"{name} of {', '.join(sorted(differing)[:5])} is not the same on all of their rows; type it on one row"
            )
        first = {str(who): str(codes.iloc[0]) for who, codes in said if who}
        text[name] = [known or first.get(who, "") for known, who in zip(text[name], text["pseudonym"], strict=True)]
    answered = text[text["category"] != ""].reset_index(drop=True)
    if answered.empty:
        raise WalkError("the sheet holds no answer; type 1 to 4 into the column 'category'")
    places = {"lon": [f"{stops[one].lon:.6f}" for one in answered["stop"]]}
    return answered.assign(**places, lat=[f"{stops[one].lat:.6f}" for one in answered["stop"]])


def _categories() -> int:
    return load_instrument(INSTRUMENT).categories


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value) or value is pd.NaT:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value.isoformat() if hasattr(value, "isoformat") else value).strip()


def _explained(book: Any) -> None:
    """A second page that says how to key."""
    sheet = book.create_sheet("how to key")
    tool = load_instrument(INSTRUMENT)
    lines = [
        "Key the yellow columns; the others are known already. / Saisissez les colonnes jaunes ; le reste est connu.",
        "category: the box that was ticked, from 1 at the top. / la case cochée, 1 pour la première.",
        *(
            f"    {number}  {english} / {french}"
            for number, (english, french) in enumerate(
                zip(tool.items[0].answers["en"], tool.items[0].answers["fr"], strict=True), start=1
            )
        ),
        "Who somebody is: on one of their rows is enough. / Qui répond : une seule de ses lignes suffit.",
        "A stop that was passed by stays empty. / Un arrêt laissé de côté reste vide.",
        "Correct the time where the walk was earlier or later. / Corrigez l'heure si la marche a eu lieu à une autre.",
        "Then: noctule walk close CITY ID --sheet THIS-FILE",
    ]
    for line in lines:
        sheet.append([line])
    sheet.column_dimensions["A"].width = 100


def _without_the_time(book: bytes) -> bytes:
    """The same workbook without when it was written, so that packing twice changes nothing."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist()):
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb">\d{4}-\d\d-\d\dT[^<]*<", b">1980-01-01T00:00:00Z<", content)
            info = zipfile.ZipInfo(name, _FIXED_DAY)
            info.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(info, content)
    return out.getvalue()
