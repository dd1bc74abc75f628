"""Keeps answers a file a campaign under `store/answers/`, each campaign switched off or on and removed as a whole.

    store/answers/<campaign>.parquet        what a fit sees
    store/answers/off/<campaign>.parquet    the same of a campaign that is switched off
    store/answers/erased.json               ids of answers that were erased, so that no second sending brings them back

Ids and pseudonyms are kept as keyed hashes; without the city's own key nobody can try out response numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sensors.answer import ANSWER_COLUMNS, empty_answers
from sensors.city import City
from sensors.coarsening import quarters
from sensors.errors import AnswerError, StoreError

LOCK_WAIT_S = 10.0  # another import of the same city takes seconds
CAMPAIGN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def campaigns(city: City) -> list[str]:
    """Ids of the campaigns whose answers a fit sees."""
    return sorted(path.stem for path in city.shelf("answers").glob("*.parquet"))


def campaigns_off(city: City) -> list[str]:
    """Ids of the campaigns that are switched off."""
    return sorted(path.stem for path in city.shelf("answers", "off").glob("*.parquet"))


def campaign_path(city: City, campaign: str) -> Path:
    """Where a campaign's answers are kept, or would be."""
    off = city.shelf("answers", "off") / f"{campaign}.parquet"
    return off if off.is_file() else city.shelf("answers") / f"{campaign}.parquet"


def read_campaign(city: City, campaign: str) -> pd.DataFrame:
    """A campaign's answers as they are kept; none where it has none."""
    path = campaign_path(city, campaign)
    return read_table(path) if path.is_file() else empty_answers()


def write_campaign(city: City, campaign: str, table: pd.DataFrame) -> None:
    """Keep these answers and no others as a campaign; without any its file goes."""
    path = campaign_path(city, campaign)
    if len(table):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, in_order(table[list(ANSWER_COLUMNS)].astype(ANSWER_COLUMNS)))
    else:
        path.unlink(missing_ok=True)


def switch_campaign(city: City, campaign: str, *, on: bool) -> bool:
    """Switch a campaign off, so that fits do not see it, or on again; whether anything changed. Needs the shelf's lock.

    Its answers stay as they are, and what is imported into it meanwhile joins them.
    """
    here, away = city.shelf("answers") / f"{campaign}.parquet", city.shelf("answers", "off") / f"{campaign}.parquet"
    if not CAMPAIGN.fullmatch(campaign) or not (here.is_file() or away.is_file()):
        known = ", ".join([*campaigns(city), *campaigns_off(city)]) or "none"
        raise AnswerError(f"there is no campaign '{campaign[:60]}'; expected one of {known}")
    source, target = (away, here) if on else (here, away)
    if not source.is_file():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    return True


def erased(city: City) -> set[str]:
    """Ids of answers that somebody erased."""
    path = city.shelf("answers") / "erased.json"
    try:
        return set(json.loads(path.read_text("ascii")))
    except FileNotFoundError:
        return set()
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path} cannot be read ({error}); bring it back, or erased answers might return") from error


def note_erased(city: City, response_ids: Iterable[str]) -> None:
    """Remember ids whose answers must not come back."""
    write_json(city.shelf("answers") / "erased.json", sorted(erased(city) | set(response_ids)))


def coarsened(table: pd.DataFrame, city: City, campaign: str, origin: str, salt: bytes) -> pd.DataFrame:
    """The rows as they are kept; what is not among ANSWER_COLUMNS ends here."""
    moment = table["moment"].to_numpy().astype("datetime64[ms]")
    month = np.datetime_as_string(moment.astype("datetime64[M]"))
    ids = table["response_id"].tolist()
    people = [who or f"answer {number}" for who, number in zip(table["pseudonym"], ids, strict=True)]
    kept: dict[str, Any] = {
        "response_id": [hashed(salt, campaign, number) for number in ids],
        "time": quarters(moment),
        "weight": table["weight_value"].to_numpy(np.float32),
        "campaign": campaign,
        "origin": origin,
        "pseudonym": [hashed(salt, campaign, when, who) for when, who in zip(month, people, strict=True)],
    }
    whole = table.drop(columns=["time", "weight", "pseudonym", "response_id"]).assign(**kept)
    coarse: pd.DataFrame = whole[list(ANSWER_COLUMNS)].astype(ANSWER_COLUMNS)
    return coarse


def hashed(salt: bytes, *parts: str) -> str:
    """What is kept of a number or a name: 16 hexadecimal digits that only the city's key could tell from chance."""
    return hashlib.blake2b("\x1f".join(parts).encode(), key=salt, digest_size=8).hexdigest()


def salt_of(shelf: Path) -> bytes:
    """The city's own key of the hashes: without it nobody can try out response numbers."""
    path = shelf / "key"
    try:
        return bytes.fromhex(path.read_text("ascii"))
    except FileNotFoundError:
        key = secrets.token_bytes(32)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(key.hex())
        return key


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows in an order that their hashes do not change, so that a fit adds them up the same way everywhere."""
    last = ["response_id", "pseudonym"]
    columns = ["time", "northing", "easting", *[name for name in ANSWER_COLUMNS if name not in (*last, "time")], *last]
    return table.sort_values(list(dict.fromkeys(columns)), kind="stable", ignore_index=True)


def read_table(path: Path) -> pd.DataFrame:
    """A table of answers; StoreError where it is damaged."""
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}); nothing is written over it, bring it back from a backup"
        ) from error


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write beside, then rename; on the disk before this returns."""
    beside = path.with_suffix(".parquet.new")
    table.to_parquet(beside, index=False, compression="zstd")
    _rename_synced(beside, path)


def write_json(path: Path, content: Any) -> None:
    """Write beside, then rename; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".json.new")
    beside.write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
    _rename_synced(beside, path)


def _rename_synced(beside: Path, path: Path) -> None:
    with open(beside, "rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
