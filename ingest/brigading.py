"""Which answers look as if somebody answered many times over: rules that need no identity.

Answers that come by themselves, by the form or as spontaneous ones of a file, are looked at a night at a time:

    many    more answers of one pseudonym in a night than a person on foot gives: one every ten minutes of ten hours,
            and twelve where nobody asked for them
    burst   far more answers in one place (200 m) and hour than usual. Where anybody answers, how many do so in that
            hour? With m on average, n or more have the probability (1 - 1/m)^(n-1) of a geometric distribution. m is
            the city's, or the place's own where that is larger: a square where many answer may have many
    alike   many answers in one place and hour that agree in everything, category and group, at the lowest or highest
            category. Shares of a category differ between places, so that n in a row are not as rare as q^n: they have
            the beta-binomial probability with mean q and the weight of four answers, times the share of people with
            just these group codes, to the power n - 1

A case is held where its probability is below one in 100,000: of a city with fifty places and hours a night in which
somebody answers, one honest evening in five years. Answers that a staffed campaign or a night walk asked for come in
bursts by design; only `many` looks at those. Who decides on a case sees these numbers and never an answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import cast
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from sensors.night import nights_of

CELL_M = 200.0
RARE = 1e-5
MOST_A_NIGHT, MOST_UNASKED = 60, 12
FEWEST_IN_A_BURST, FEWEST_ALIKE = 8, 6  # a circle of friends is no brigade
HISTORY = np.timedelta64(90, "D")
_PLACE_WEIGHT = 4.0  # answers; how much places differ in the share of a category (sd 0.13 at a share of 0.1)
_USUAL, _USUAL_WEIGHT = 2.0, 10.0  # answers a place and hour before any are known, and what that counts
_CODES = ["gender", "age_band", "disability", "alone", "role", "familiarity", "light_state"]


@dataclass(frozen=True)
class Suspect:
    """Answers of one case: why, of whom, how many against how many usually, and how probable by chance (NaN: a limit).

    key : night and place, or night and pseudonym, as a word without meaning
    """

    rule: str
    key: str
    response_ids: tuple[str, ...]
    count: int
    usual: float
    probability: float


def suspects(table: pd.DataFrame, history: pd.DataFrame, zone: ZoneInfo) -> list[Suspect]:
    """The cases among some answers of one campaign.

    table : answers of whole nights, columns of `sensors.answer`
    history : what else is known, of any campaign; those among `table` do not count
    """
    table = table.drop_duplicates("response_id").reset_index(drop=True)
    if not len(table):
        return []
    night = nights_of(table["time"].to_numpy().astype("datetime64[ms]"), zone).astype(str)
    return [*_too_many(table, night), *_in_one_place(table, night, history)]


def unasked(table: pd.DataFrame) -> pd.Series:
    """Which answers came by themselves, or by a form that anybody can open, and not on a night walk."""
    by_form = table["campaign"].str.startswith("ask-")
    return (table["trigger"] == "spontaneous") | by_form


def case_of(campaign: str, rule: str, key: str) -> str:
    """The word by which a case is decided on; the same answers make the same word again."""
    return hashlib.blake2b(f"{campaign}\x1f{rule}\x1f{key}".encode(), digest_size=5).hexdigest()


def _too_many(table: pd.DataFrame, night: np.ndarray) -> list[Suspect]:
    found = []
    most = np.where(unasked(table), MOST_UNASKED, MOST_A_NIGHT)
    for (when, who), members in table.groupby([night, "pseudonym"], sort=True):
        limit = int(most[members.index].min())
        if len(members) > limit:
            ids = tuple(members["response_id"])
            found.append(Suspect("many", f"{when} {who}", ids, len(members), float(limit), float("nan")))
    return found


def _in_one_place(table: pd.DataFrame, night: np.ndarray, history: pd.DataFrame) -> list[Suspect]:
    alone = unasked(table).to_numpy()
    table, night = table[alone], night[alone]
    if not len(table):
        return []
    history = history[unasked(history) & ~history["response_id"].isin(table["response_id"])]
    recent = history["time"].to_numpy().astype("datetime64[ms]") >= table["time"].min() - HISTORY
    history = history[recent].drop_duplicates("response_id")
    city_mean, by_place = _usual(history)
    found = []
    for at, members in table.groupby(_place_and_hour(table), sort=True):
        north, east, hour = cast("tuple[int, int, str]", at)
        mean = max(city_mean, by_place.get((north, east), 0.0))
        when = night[table.index.get_indexer(members.index)][0]
        key = f"{when} {north} {east} {hour}"
        ids, n = tuple(members["response_id"]), len(members)
        probability = (1.0 - 1.0 / mean) ** (n - 1)
        if n >= FEWEST_IN_A_BURST and probability < RARE:
            found.append(Suspect("burst", key, ids, n, mean, probability))
        else:
            found += _alike(members, history, key)
    return found


def _alike(members: pd.DataFrame, history: pd.DataFrame, key: str) -> list[Suspect]:
    """Answers of one place and hour that agree in everything, at one end of the scale."""
    found = []
    for codes, same in members.groupby(["instrument", "category", "k", *_CODES], sort=True):
        category, k, n = int(same["category"].iloc[0]), int(same["k"].iloc[0]), len(same)
        if n < FEWEST_ALIKE or category not in (1, k):
            continue
        asked = history[history["instrument"] == codes[0]]
        share = ((asked["category"] == category).sum() + 1.0) / (len(asked) + k)
        group = ((asked[_CODES] == list(codes[3:])).all(axis=1).sum() + 5.0) / (len(asked) + 10.0)
        steps = np.arange(n)
        in_a_row = np.log((_PLACE_WEIGHT * share + steps) / (_PLACE_WEIGHT + steps)).sum()
        probability = float(np.exp(in_a_row + (n - 1) * np.log(group)))
        if probability < RARE:
            ids = tuple(same["response_id"])
            found.append(Suspect("alike", f"{key} {category}", ids, n, float(share), probability))
    return found


def _usual(history: pd.DataFrame) -> tuple[float, dict[tuple[int, int], float]]:
    """How many answer in a place and hour in which anybody does, on average: in the city, and in places of it."""
    if not len(history):
        return _USUAL, {}
    north, east, hour = _place_and_hour(history)
    counts = pd.DataFrame({"north": north, "east": east, "hour": hour}).value_counts()
    city = max((counts.sum() + _USUAL * _USUAL_WEIGHT) / (len(counts) + _USUAL_WEIGHT), 1.01)
    places = counts.groupby(["north", "east"]).agg(["sum", "size"])
    own = (places["sum"] + city * _USUAL_WEIGHT) / (places["size"] + _USUAL_WEIGHT)
    return float(city), {(int(at[0]), int(at[1])): float(mean) for at, mean in zip(own.index, own, strict=True)}


def _place_and_hour(table: pd.DataFrame) -> list[np.ndarray]:
    north = np.floor(table["northing"].to_numpy(np.float64) / CELL_M).astype(np.int64)
    east = np.floor(table["easting"].to_numpy(np.float64) / CELL_M).astype(np.int64)
    return [north, east, table["time"].to_numpy().astype("datetime64[h]").astype(str)]
