"""Keeps fresh answers: what looks like brigading stands aside until somebody decides, and stays out of every fit.

    store/answers/quarantine/<campaign>.parquet   those answers, coarsened as all, each with its case, its reason and
                                                  its state: 'waiting', 'in' or 'out'
    store/answers/decisions.jsonl                 who decided what, when: a line a decision, never rewritten

An answer that was let in stands in its campaign as well, so that it can be taken out again. Functions that write need
the lock of `store/answers`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ingest.brigading import HISTORY, Suspect, case_of, suspects
from ingest.campaigns import (
    campaigns,
    campaigns_off,
    erased,
    note_erased,
    read_campaign,
    read_table,
    write_campaign,
    write_table,
)
from sensors.answer import ANSWER_COLUMNS, empty_answers
from sensors.city import City
from sensors.errors import AnswerError
from sensors.night import nights_of

STATES = ("waiting", "in", "out")
OF_THE_CASE = {"case": "str", "rule": "str", "count": "int64", "usual": "float64", "probability": "float64",
               "held": "datetime64[ms]", "state": "str"}  # fmt: skip
_KEY = ["response_id", "instrument"]  # a response may answer several items


@dataclass(frozen=True)
class Kept:
    """What became of fresh answers; rows."""

    fresh: int  # not known before
    known: int
    held: int  # of the campaign's answers that were set aside now, fresh or not


def keep_answers(city: City, campaign: str, coarse: pd.DataFrame, now: np.datetime64) -> Kept:
    """Add answers to a campaign once each; those that look like brigading stand aside. Keeping twice changes nothing.

    coarse : columns of `sensors.answer`, coarsened
    """
    gone = erased(city)
    before, held = read_campaign(city, campaign), read_quarantine(city, campaign)
    before, held = before[~before["response_id"].isin(gone)], held[~held["response_id"].isin(gone)]
    fresh = coarse[~coarse["response_id"].isin(gone)].drop_duplicates(_KEY)
    fresh = fresh[~_among(fresh, before) & ~_among(fresh, held)]
    table = _joined(before, fresh)
    found: list[Suspect] = []
    if len(fresh):
        # Those that stand aside already belong to their case as well: it goes on while it is looked at.
        whole = _joined(table, held[list(ANSWER_COLUMNS)]).drop_duplicates(_KEY)
        nights = nights_of(fresh["time"].to_numpy().astype("datetime64[ms]"), city.zone)
        tonight = np.isin(nights_of(whole["time"].to_numpy().astype("datetime64[ms]"), city.zone), nights)
        found = suspects(whole[tonight], _history(city, fresh["time"].min()), city.zone)
    now_held = _set_aside(table, held, found, campaign, now)
    _settle(city, campaign, table, now_held)
    return Kept(len(fresh), len(coarse) - len(fresh), len(now_held) - len(held))


def would_hold(city: City, coarse: pd.DataFrame) -> int:
    """How many of some answers would stand aside if they were kept as a campaign of their own."""
    found = suspects(coarse, _history(city, coarse["time"].min()), city.zone)
    return len({name for one in found for name in one.response_ids})


def hold_answers(city: City, campaign: str, found: Sequence[Suspect], now: np.datetime64) -> int:
    """Set aside answers of a campaign that something else than our rules points to; how many were."""
    table, held = read_campaign(city, campaign), read_quarantine(city, campaign)
    now_held = _set_aside(table, held, found, campaign, now)
    _settle(city, campaign, table, now_held)
    return len(now_held) - len(held)


def decide_case(city: City, case: str, state: str, role: str, time: str) -> tuple[str, int]:
    """Let the answers of a case in, leave them out, or put the decision off again; its campaign, and how many answers.

    role, time : of who decides, for the audit trail
    """
    if state not in STATES:
        raise AnswerError(f"a decision is one of {', '.join(STATES)}, not '{state[:40]}'")
    for campaign in quarantined(city):
        held = read_quarantine(city, campaign)
        members = held["case"] == case
        if members.any():
            told = int(held[members]["response_id"].nunique())
            if not (held["state"][members] == state).all():
                _audit(city, {"time": time, "role": role, "case": case, "campaign": campaign, "state": state})
            changed = held.assign(state=held["state"].where(~members, state))
            _settle(city, campaign, read_campaign(city, campaign), changed)
            return campaign, told
    raise AnswerError(f"there is no case '{case[:40]}' in quarantine; 'noctule survey queue {city.path}' lists them")


def erase_answers(city: City, response_ids: Sequence[str], within: Sequence[str] | None = None) -> int:
    """Erase responses wherever they are kept, for good; how many went.

    within : only in these campaigns
    """
    known: set[str] = set()
    for campaign in within or sorted({*campaigns(city), *campaigns_off(city), *quarantined(city)}):
        held, table = read_quarantine(city, campaign), read_campaign(city, campaign)
        lost, lost_held = table["response_id"].isin(response_ids), held["response_id"].isin(response_ids)
        here = {*table["response_id"][lost], *held["response_id"][lost_held]}
        if here:
            # First the promise that they do not come back, so that a crash in between erases them at the next keeping.
            # Ids that nobody knows are not noted, or whoever makes up receipts would fill the disk.
            note_erased(city, here)
        if lost_held.any():
            _write_quarantine(city, campaign, held[~lost_held])
        if lost.any():
            write_campaign(city, campaign, table[~lost])
        known |= here
    return len(known)


def drop_campaign(city: City, campaign: str) -> int:
    """Erase a whole campaign with what it has in quarantine; how many answers went."""
    table, held = read_campaign(city, campaign), read_quarantine(city, campaign)
    aside = held[held["state"] != "in"]
    write_campaign(city, campaign, empty_answers())
    for path in (quarantine_path(city, campaign), quarantine_path(city, campaign).with_suffix(".json")):
        path.unlink(missing_ok=True)
    return len(table) + len(aside)


def quarantined(city: City) -> list[str]:
    """Campaigns with answers in quarantine."""
    return sorted(path.stem for path in city.shelf("answers", "quarantine").glob("*.parquet"))


def read_quarantine(city: City, campaign: str) -> pd.DataFrame:
    """A campaign's answers in quarantine, with their cases; none where it has none."""
    path = quarantine_path(city, campaign)
    if path.is_file():
        return read_table(path)
    return empty_answers().assign(**{name: pd.Series(dtype=kind) for name, kind in OF_THE_CASE.items()})


def quarantine_path(city: City, campaign: str) -> Path:
    """Where they are kept, or would be."""
    return city.shelf("answers", "quarantine") / f"{campaign}.parquet"


def read_decisions(city: City, most: int = 50) -> list[dict[str, Any]]:
    """The last decisions, newest first."""
    path = city.shelf("answers") / "decisions.jsonl"
    try:
        lines = path.read_text("utf-8").splitlines()[-most:]
    except FileNotFoundError:
        return []
    found = []
    for line in reversed(lines):
        with suppress(ValueError):  # a line that a power cut left half written
            found.append(json.loads(line))
    return [line for line in found if isinstance(line, dict) and {"time", "role", "campaign"} <= line.keys()]


def note_switch(city: City, campaign: str, *, on: bool, role: str, time: str) -> None:
    """Write into the audit trail that somebody switched a campaign."""
    _audit(city, {"time": time, "role": role, "campaign": campaign, "on": on})


def _set_aside(
    table: pd.DataFrame, held: pd.DataFrame, found: Sequence[Suspect], campaign: str, now: np.datetime64
) -> pd.DataFrame:
    """The quarantine with the answers of the cases found; a case that was decided keeps its decision."""
    decided = dict(zip(held["case"], held["state"], strict=True))
    parts = [held]
    aside = set(held["response_id"])
    for one in found:
        members = table[table["response_id"].isin(set(one.response_ids) - aside)]
        if not len(members):
            continue
        aside |= set(members["response_id"])
        case = case_of(campaign, one.rule, one.key)
        parts.append(
            members.assign(
                case=case,
                rule=one.rule,
                count=one.count,
                usual=one.usual,
                probability=one.probability,
                held=now,
                state=decided.get(case, "waiting"),
            )
        )
    whole = pd.concat([part for part in parts if len(part)] or [held], ignore_index=True)
    return whole.astype(OF_THE_CASE)


def _settle(city: City, campaign: str, table: pd.DataFrame, held: pd.DataFrame) -> None:
    """Write the quarantine, and then the campaign without what is held and with what was let in, where they changed.

    Whatever a crash left half done is done by the next call.
    """
    stored = read_quarantine(city, campaign)
    if not _same(stored, held, [*_KEY, "state"]):
        _write_quarantine(city, campaign, held)
    wanted = _joined(table[~_among(table, held)], held[held["state"] == "in"][list(ANSWER_COLUMNS)])
    if not _same(read_campaign(city, campaign), wanted, _KEY):
        write_campaign(city, campaign, wanted)


def _same(one: pd.DataFrame, other: pd.DataFrame, columns: list[str]) -> bool:
    return len(one) == len(other) and set(one[columns].itertuples(index=False, name=None)) == set(
        other[columns].itertuples(index=False, name=None)
    )


def _joined(*parts: pd.DataFrame) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else empty_answers()


def _write_quarantine(city: City, campaign: str, held: pd.DataFrame) -> None:
    path = quarantine_path(city, campaign)
    if len(held):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, held[[*ANSWER_COLUMNS, *OF_THE_CASE]])
    else:
        path.unlink(missing_ok=True)


def _among(table: pd.DataFrame, others: pd.DataFrame) -> pd.Series:
    known = set(zip(others["response_id"], others["instrument"], strict=True))
    return pd.Series(
        [pair in known for pair in zip(table["response_id"], table["instrument"], strict=True)], table.index, dtype=bool
    )


def _history(city: City, first: Any) -> pd.DataFrame:
    """What was answered in the last months in any campaign that is on; what is held is no measure of the usual."""
    since = np.datetime64(first, "ms") - HISTORY
    columns = ["response_id", "instrument", "category", "k", "easting", "northing", "time", "campaign", "trigger",
               "gender", "age_band", "disability", "alone", "role", "familiarity", "light_state"]  # fmt: skip
    parts = [read_campaign(city, name)[columns] for name in campaigns(city)]
    parts = [part[part["time"].to_numpy() >= since] for part in parts]
    return _joined(*parts)[columns]


def _audit(city: City, line: dict[str, Any]) -> None:
    path = city.shelf("answers") / "decisions.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
