"""Which answers are pairs: the same person at the same place, by day and after dark.

Only pairs resist the habit of spreading answers over the whole scale: after dark alone the brighter of any two places
looks safe (perception.md 1). Without pseudonyms nobody can tell who answered twice.
"""

from __future__ import annotations

import pandas as pd


def pairs_told(table: pd.DataFrame) -> str:
    """How many pairs are among some answers, for a person; '' where no answer is by day.

    table : answers as a file gave them, with instrument, light_state, pseudonym, lon, lat, and easting and northing of
        the middle of their street section where a city says where that is
    """
    by_day = table[table["light_state"] == "day"]
    if not len(by_day):
        return ""
    # A light state is of an instrument that is asked in both: what is asked only after dark is no half of a pair.
    here = table[table["instrument"].isin(set(by_day["instrument"]))]
    named = here[here["pseudonym"] != ""]
    if not len(named):
        return f"{len(by_day)} answers by day: without a pseudonym nobody can tell which answer after dark is theirs"
    if "easting" in named and named["easting"].notna().all():
        place = [named["easting"].round(1), named["northing"].round(1)]
    else:
        place = [pd.to_numeric(named[name], errors="coerce").round(4) for name in ("lon", "lat")]
    halves = named.groupby([named["instrument"], named["pseudonym"], *place])["light_state"]
    counts = halves.agg(lambda states: "both" if set(states) == {"day", "dark"} else states.iloc[0]).value_counts()
    pairs, day, dark = (int(counts.get(name, 0)) for name in ("both", "day", "dark"))
    alone = f"; {day} by day and {dark} after dark have no other half" if day or dark else ""
    return f"{pairs} pairs of one person at one place, by day and after dark{alone}"
