"""Survey answers in: a file read and checked, coarsened at the door, kept as a campaign that can be removed.

At the door an answer's place becomes the middle of its street section, its time the quarter of an hour in which it was
given, its response and pseudonym a keyed hash that changes with the month. The raw point, the exact time and whatever
else the file holds are never written anywhere.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from ingest.campaigns import (
    CAMPAIGN,
    LOCK_WAIT_S,
    campaigns,
    coarsened,
    in_order,
    salt_of,
    write_json,
    write_table,
)
from ingest.lock import shelf_lock
from ingest.survey_file import (
    TOLD_ROWS,
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
from sensors.errors import AnswerError, gather

__all__ = [
    "CAMPAIGN",
    "LOCK_WAIT_S",
    "TOLD_ROWS",
    "Mapping",
    "SurveyReport",
    "campaigns",
    "check_answers",
    "import_answers",
    "load_table",
    "looks_like_identity",
    "problem_counts",
    "read_mapping",
    "remove_answers",
    "text_of",
    "write_table",
]


def check_answers(
    file: Path, *, instrument: str = "core-4", mapping: Path | None = None, city: City | None = None
) -> SurveyReport:
    """Read a file of answers as an import would and say what would become of it; nothing is kept.

    city : with it, places and times are checked as well
    """
    return read_answers(file, instrument, read_mapping(mapping), city, simulated=city is None or city.simulated)[0]


def import_answers(
    city: City,
    file: Path,
    *,
    campaign: str = "",
    instrument: str = "core-4",
    simulated: bool = False,
    mapping: Path | None = None,
    rows: pd.DataFrame | None = None,
) -> SurveyReport:
    """Take a file of answers into the city as a campaign; the same file twice changes nothing.

    campaign : its id, lower-case letters, digits and hyphens; the file's name without it
    simulated : the answers come from simulated residents; only a city that is declared simulated takes them
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
        stored = shelf / f"{name}.parquet"
        before = pd.read_parquet(stored) if stored.is_file() else None
        if before is not None and set(before["origin"].unique()) - {report.origin}:
            raise AnswerError(
                f"campaign '{name}' holds {before['origin'].iloc[0]} answers already; choose another campaign id"
            )
        coarse = coarsened(table, city, name, report.origin, salt_of(shelf))
        if before is not None:
            fresh = coarse[~coarse["response_id"].isin(before["response_id"])]
            report.known = len(coarse) - len(fresh)
            coarse = pd.concat([before, fresh], ignore_index=True)
        if before is None or len(coarse) > len(before):
            write_table(stored, in_order(coarse))
        if report.wrong_rows:
            # Only how often which column was wrong: the reasons themselves quote raw places and numbers.
            left_out = {"rows": report.wrong_rows, "columns": problem_counts(report.problems)}
            write_json(shelf / "quarantine" / f"{name}.json", left_out)
    return report


def remove_answers(city: City, *, campaign: str, receipt: str = "") -> int:
    """Erase a campaign, or the one answer whose receipt (stored response id) is given; how many answers went."""
    shelf = city.shelf("answers")
    stored = shelf / f"{campaign}.parquet"
    if not CAMPAIGN.fullmatch(campaign) or not stored.is_file():
        raise AnswerError(f"there is no campaign '{campaign}'; expected one of {', '.join(campaigns(city)) or 'none'}")
    with shelf_lock(shelf, "noctule survey remove", wait_s=LOCK_WAIT_S):
        table = pd.read_parquet(stored)
        kept = table[table["response_id"] != receipt] if receipt else table.iloc[:0]
        if len(kept) == len(table):
            raise AnswerError(f"campaign '{campaign}' has no answer with the receipt '{receipt}'")
        if len(kept):
            write_table(stored, kept)
        else:
            stored.unlink()
            (shelf / "quarantine" / f"{campaign}.json").unlink(missing_ok=True)
    return len(table) - len(kept)
