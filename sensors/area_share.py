"""What a published share is: of n respondents of an area, a sex or an age band, how many said that they feel safe.

One row is one share of one *table*: the same respondents of a year stand in the table of areas, in that of sexes, in
that of ages and in the city's total, so tables are never added up (analytics/small_area.py). Shares are of many people
and are kept apart from single answers.
"""

from __future__ import annotations

import re

import pandas as pd

# name -> pandas dtype of the table of shares
SHARE_COLUMNS: dict[str, str] = {
    "question": "str",  # what was asked, as the file names it
    "light_state": "str",  # dark or day
    "year": "int32",
    "partition": "str",  # which table of the same respondents the row is of
    "code": "str",  # area, sex, age band, or 'all'
    "words": "str",  # the group as the file spells it
    "share": "float64",  # 0 to 1
    "n": "int32",  # respondents; 0 where the file does not say
    "design_effect": "float32",  # how many times the variance of a simple sample of n; 1 where nobody says
    "campaign": "str",
    "origin": "str",
}
PARTITIONS = ("area", "gender", "age_band", "all")
ALL = "all"
_POSTCODE = re.compile(r"\b\d{4,6}\b")


def empty_shares() -> pd.DataFrame:
    """A table of shares with the right columns and no rows."""
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in SHARE_COLUMNS.items()})


def area_key(words: str) -> str:
    """The names in the words for an area, in one spelling and order, without postcodes.

    >>> area_key("North Melbourne 3051 / West Melbourne 3003")
    'north melbourne + west melbourne'
    >>> area_key("West Melbourne/NORTH MELBOURNE")
    'north melbourne + west melbourne'
    """
    names = re.split(r"[/,;&+]|\band\b|\bet\b|\s-\s", _POSTCODE.sub(" ", words.casefold()))
    plain = {" ".join(re.findall(r"\w+", name)) for name in names} - {""}
    return " + ".join(sorted(plain))


def postcodes(words: str) -> frozenset[str]:
    """The postcodes in the words for an area.

    >>> sorted(postcodes("North Melbourne 3051 / West Melbourne 3003"))
    ['3003', '3051']
    """
    return frozenset(_POSTCODE.findall(words))
