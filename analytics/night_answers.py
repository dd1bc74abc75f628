"""Answers that came in a night, as few of them as may be told, and who is missing among all that came so far.

A night's people are told as whole tens and only where they are enough by themselves (`release.enough`); nights are
disjoint, and a period is told as the nights of it that may be told. So two reports of overlapping periods differ by
nights that hold enough people, and never by somebody's answers. No share of one night is told here: shares leave by the
one plan of `noctule statistics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analytics.release import enough
from ingest.archive import answers
from sensors.answer import CODES
from sensors.city import City
from sensors.night import Night, nights_of

_COLUMNS = ("gender", "age_band", "role")
_TENS = 10


@dataclass(frozen=True)
class NightAnswers:
    """What may be told.

    people : in tens, of the nights told; told, untold : how many nights had enough people, and had some but too few
    few : codes of `sensors.answer.CODES` that too few people gave, by column; anybody : whether anybody ever answered
    """

    people: int
    told: int
    untold: int
    few: dict[str, tuple[str, ...]]
    anybody: bool
    simulated: bool


def night_answers(city: City, wanted: Sequence[Night]) -> NightAnswers:
    """What may be told of the answers of some nights, and who is missing up to the last of them."""
    rule = city.settings.release
    table = pd.DataFrame(answers(city).drop(columns="geometry"))
    night = nights_of(table["time"].to_numpy("datetime64[ms]"), city.zone)
    last = max(np.datetime64(one.date, "D") for one in wanted)
    people = told = untold = 0
    for one in wanted:
        mine = table[night == np.datetime64(one.date, "D")]
        if enough(mine, rule.minimum_people, rule.maximum_share) if len(mine) else False:
            people += int(mine["pseudonym"].nunique()) // _TENS * _TENS
            told += 1
        else:
            untold += 1
    before = table[night <= last]
    few = {}
    for column in _COLUMNS:
        by_code = before.groupby(column)["pseudonym"].nunique()
        codes = [code for code in CODES[column] if code != "undisclosed"]
        few[column] = tuple(code for code in codes if int(by_code.get(code, 0)) < rule.minimum_people)
    of_them = bool((before["origin"] == "simulated").any())
    return NightAnswers(people, told, untold, few, bool(len(before)), of_them)
