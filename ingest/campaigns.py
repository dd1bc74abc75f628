"""Keeps answers a file a campaign under `store/answers/`, each campaign switched off or on and removed as a whole.

    store/answers/<campaign>.parquet        what a fit sees
    store/answers/off/<campaign>.parquet    the same of a campaign that is switched off

Ids and pseudonyms are kept as keyed hashes; without the city's own key nobody can try out response numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sensors.answer import ANSWER_COLUMNS
from sensors.city import City
from sensors.coarsening import quarters

LOCK_WAIT_S = 10.0  # another import of the same city takes seconds
CAMPAIGN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def campaigns(city: City) -> list[str]:
    """Ids of the campaigns whose answers are kept."""
    return sorted(path.stem for path in city.shelf("answers").glob("*.parquet"))


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


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write beside, then rename."""
    beside = path.with_suffix(".parquet.new")
    table.to_parquet(beside, index=False, compression="zstd")
    beside.replace(path)


def write_json(path: Path, content: Any) -> None:
    """Write beside, then rename; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".json.new")
    beside.write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
    beside.replace(path)
