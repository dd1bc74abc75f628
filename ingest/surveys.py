"""Survey answers in: a file read and checked, coarsened at the door, kept as a campaign that can be removed.

At the door an answer's place becomes the middle of its street section, its time the quarter of an hour in which it was
given, its response and pseudonym a keyed hash that changes with the month. The raw point, the exact time and whatever
else the file holds are never written anywhere.
"""

from __future__ import annotations

import csv
import os
import re
import secrets
from pathlib import Path

import pandas as pd

from ingest.campaigns import (
    CAMPAIGN,
    LOCK_WAIT_S,
    campaigns,
    campaigns_off,
    coarsened,
    read_campaign,
    salt_of,
    write_json,
    write_table,
)
from ingest.lock import shelf_lock
from ingest.quarantine import drop_campaign, erase_answers, keep_answers, quarantined, would_hold
from ingest.survey_file import (
    Mapping,
    SurveyReport,
    load_table,
    looks_like_identity,
    problem_counts,
    read_answers,
    read_mapping,
    text_of,
)
from sensors.city import City
from sensors.clock import city_clock
from sensors.errors import AnswerError, gather
from sensors.receipt import receipt_of, response_of

__all__ = [
    "CAMPAIGN",
    "LOCK_WAIT_S",
    "Mapping",
    "SurveyReport",
    "campaigns",
    "check_answers",
    "import_answers",
    "load_table",
    "looks_like_identity",
    "problem_counts",
    "read_answers",
    "read_mapping",
    "remove_answers",
    "text_of",
    "write_table",
]


def check_answers(
    file: Path, *, instrument: str = "core-4", mapping: Path | None = None, city: City | None = None
) -> SurveyReport:
    """Read a file of answers as an import would and say what would become of it; nothing is kept.

    city : with it, places and times are checked as well, and whether answers look like brigading
    """
    simulated = city is None or city.simulated
    report, table = read_answers(file, instrument, read_mapping(mapping), city, simulated=simulated)
    if city is not None and len(table):
        report.held = would_hold(city, coarsened(table, city, "checked", "", secrets.token_bytes(16)))
    return report


def import_answers(
    city: City,
    file: Path,
    *,
    campaign: str = "",
    instrument: str = "core-4",
    simulated: bool = False,
    mapping: Path | None = None,
    receipts: Path | None = None,
    rows: pd.DataFrame | None = None,
) -> SurveyReport:
    """Take a file of answers into the city as a campaign; the same file twice changes nothing.

    campaign : its id, lower-case letters, digits and hyphens; the file's name without it
    simulated : the answers come from simulated residents; only a city that is declared simulated takes them
    receipts : a CSV file to write, response_id and receipt of every answer that was taken
    rows : what the file holds where it was read already, with our columns
    """
    name = campaign or re.sub(r"[^a-z0-9]+", "-", file.name.split(".")[0].lower()).strip("-")
    if not CAMPAIGN.fullmatch(name):
        raise AnswerError(f"campaign '{name}' must be lower-case letters, digits and single hyphens")
    if simulated and not city.simulated:
        raise AnswerError(
            f"{city.name} is not declared simulated and takes no simulated answers; set 'simulated = true' in its "
            f"city.toml only if nothing in it is meant to be real"
        )
    report, table = read_answers(file, instrument, read_mapping(mapping), city, simulated=simulated, rows=rows)
    report.campaign, report.origin = name, "simulated" if simulated else "recorded"
    if not len(table):
        raise AnswerError(
            gather(f"{file.name} holds no answer that can be taken", report.problems or ["it has no rows"])
        )
    shelf = city.shelf("answers")
    with shelf_lock(shelf, "noctule survey import", wait_s=LOCK_WAIT_S):
        if other := set(read_campaign(city, name)["origin"].unique()) - {report.origin}:
            raise AnswerError(f"campaign '{name}' holds {min(other)} answers already; choose another campaign id")
        coarse = coarsened(table, city, name, report.origin, salt_of(shelf))
        kept = keep_answers(city, name, coarse, city_clock(city.path).now())
        report.known, report.held = kept.known, kept.held
        if report.wrong_rows:
            # Only how often which column was wrong: the reasons themselves quote raw places and numbers.
            left_out = {"rows": report.wrong_rows, "columns": problem_counts(report.problems)}
            write_json(shelf / "quarantine" / f"{name}.json", left_out)
    if receipts is not None:
        _write_receipts(receipts, table["response_id"].tolist(), coarse["response_id"].tolist())
    return report


def remove_answers(city: City, *, campaign: str = "", receipt: str = "") -> int:
    """Erase a campaign, or the one answer of a receipt wherever it is kept; how many answers went.

    An answer that was erased by its receipt does not come back when its file is imported again; a campaign does.
    receipt : a receipt code, or the stored response id
    """
    shelf = city.shelf("answers")
    known = sorted({*campaigns(city), *campaigns_off(city), *quarantined(city)})
    if campaign and campaign not in known:
        raise AnswerError(f"there is no campaign '{campaign}'; expected one of {', '.join(known) or 'none'}")
    with shelf_lock(shelf, "noctule survey remove", wait_s=LOCK_WAIT_S):
        if receipt:
            response_id = receipt if re.fullmatch(r"[0-9a-f]{16}", receipt) else response_of(receipt)
            gone = erase_answers(city, [response_id], within=[campaign] if campaign else None)
            if not gone:
                where = f"campaign '{campaign}' has" if campaign else f"{city.name} keeps"
                raise AnswerError(f"{where} no answer with the receipt '{receipt}'")
            return gone
        if not campaign:
            raise AnswerError("nothing is named to erase; give a campaign or a receipt")
        return drop_campaign(city, campaign)


def _write_receipts(path: Path, given: list[str], stored: list[str]) -> None:
    """The receipt of each answer beside its number in the file, for whoever holds the file to hand out."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["response_id", "receipt"])
        writer.writerows(zip(given, map(receipt_of, stored), strict=True))
