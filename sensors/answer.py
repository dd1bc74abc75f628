"""What an answer is: one person's answer to one item, coarsened in place and time.

People are sensors too. Answers never travel over MQTT; they come through `noctule survey import` or the web form,
which round time to 15 minutes and move the place to the middle of its street section before anything is kept.
Categories run from 1 (very unsafe) to K (very safe) whatever the item's own polarity was.
"""

from __future__ import annotations

import pandas as pd

# name -> pandas dtype of the long answer table (perception.md 1)
ANSWER_COLUMNS: dict[str, str] = {
    "response_id": "str",
    "instrument": "str",
    "item": "str",
    "category": "uint8",
    "k": "uint8",
    "easting": "float64",
    "northing": "float64",
    "time": "datetime64[ms]",
    "light_state": "str",
    "gender": "str",
    "age_band": "str",
    "disability": "str",
    "alone": "str",
    "role": "str",
    "familiarity": "str",
    "trigger": "str",
    "weight": "float32",
    "campaign": "str",
    "origin": "str",
    "pseudonym": "str",
    "consent_version": "str",
}

# Codes of the closed columns; the last of each means that the person did not say.
CODES: dict[str, tuple[str, ...]] = {
    "light_state": ("dark", "day"),
    "gender": ("woman", "man", "another", "undisclosed"),
    "age_band": ("16-24", "25-44", "45-64", "65+", "undisclosed"),
    "disability": ("yes", "no", "undisclosed"),
    "alone": ("alone", "accompanied", "undisclosed"),
    "role": ("resident", "visitor", "worker", "undisclosed"),
    "familiarity": ("daily", "often", "seldom", "first-time", "undisclosed"),
    "trigger": ("prompted", "random-time", "intercept", "panel", "spontaneous"),
}


def empty_answers() -> pd.DataFrame:
    """An answer table with the right columns and no rows."""
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in ANSWER_COLUMNS.items()})
