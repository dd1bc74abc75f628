"""Those who pass: how many of a night's people are expected to feel safe, hour by hour, from its released pages.

Each cell of the map counts by the people who pass there. Where perceived safety is not shown (too few people answered,
too little evidence) nothing is said of who passes; what share of the night's people that is stands beside. The interval
takes all places to err together, which is the widest it can be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from analytics import atlas
from sensors.city import City
from sensors.night import Night, local_offset

_VARIABLES = ("safety", "safety_sd", "footfall", "safety_hatched")
_HALF_90 = 1.645


@dataclass(frozen=True)
class Share:
    """Of those who pass in some steps: per cent expected to feel safe, its 90 % interval, and what is behind it.

    hour : local clock, None of several hours; people : of the night's people, the share who pass
    then; shown : of them, the share who pass where the map is shown. safe, low and high are None where nobody does.
    """

    hour: int | None
    people: float
    safe: float | None
    low: float | None
    high: float | None
    shown: float


@dataclass(frozen=True)
class Passing:
    """The hours of a night in their order, all of them together, and the step with most people."""

    night: str
    hours: tuple[Share, ...]
    whole: Share
    busiest: np.datetime64
    steps: int
    simulated: bool
    answers: int
    newest_answer: str


def passing(city: City, night: Night) -> Passing | None:
    """The night as its pages have it; None where it has none, or none with footfall."""
    meta = atlas.night_meta(city, night)
    if meta is None or not meta["closed"]:
        return None
    steps = atlas.closed_steps(meta)
    sums = []
    answers, newest = 0, ""
    for step in steps:
        page = atlas.open_step(city, night, step, _has(city, night))
        sums.append(_sums(page))
        if "safety" in page:
            answers = int(page["safety"].attrs.get("answers", 0))
            newest = str(page["safety"].attrs.get("newest_answer", ""))
    table = np.array(sums)
    if not table[:, 0].sum() > 0:
        return None
    clock = (steps + local_offset(steps, city.zone)).astype("datetime64[h]").astype(np.int64) % 24
    order = list(dict.fromkeys(int(hour) for hour in clock))  # as the night has them, each hour of the clock once
    total = float(table[:, 0].sum())
    return Passing(
        night.name,
        tuple(_share(hour, table[clock == hour], total) for hour in order),
        _share(None, table, total),
        steps[int(np.argmax(table[:, 0]))],
        len(steps),
        bool(meta["simulated"]),
        answers,
        newest,
    )


def busiest_page(city: City, told: Iterable[Passing]) -> xr.Dataset:
    """The released page of the step with most people; of several nights, the medians of theirs, cell by cell."""
    pages = []
    for one in told:
        night = Night.named(one.night, city.zone)
        wanted = [name for name in _has(city, night) if name != "footfall"]
        pages.append(atlas.open_step(city, night, one.busiest, wanted))
    if len(pages) == 1:
        return pages[0]
    first = pages[0]
    out: dict[str, Any] = {}
    for name in (str(name) for name in first.data_vars):
        values = np.stack([page[name].values[0] for page in pages if name in page])
        if name == "safety_hatched":
            out[name] = (first[name].dims, values.max(axis=0)[np.newaxis])
            continue
        known = np.isfinite(values).sum(axis=0) * 2 >= len(pages)
        middle = np.full(values.shape[1:], np.nan, np.float32)
        middle[known] = np.nanmedian(values[:, known], axis=0)
        out[name] = (first[name].dims, middle[np.newaxis])
    return xr.Dataset(out, {name: first[name] for name in ("time", "northing", "easting")})


def _has(city: City, night: Night) -> tuple[str, ...]:
    """Those of our variables that the night's pages have: a city whom nobody answered maps no safety."""
    pages, _ = atlas.open_night(city, night)
    return tuple(name for name in _VARIABLES if name in pages)


def _sums(page: xr.Dataset) -> tuple[float, float, float, float]:
    """People, people where safety is shown, and those times share and times its deviation."""
    if "footfall" not in page:
        return 0.0, 0.0, 0.0, 0.0
    people = np.nan_to_num(page["footfall"].values[0].astype(np.float64), nan=0.0)
    if "safety" not in page:
        return float(people.sum()), 0.0, 0.0, 0.0
    safe, sd = page["safety"].values[0].astype(np.float64), page["safety_sd"].values[0].astype(np.float64)
    known = np.isfinite(safe) & np.isfinite(sd)
    if "safety_hatched" in page:  # what is neither shown nor hatched is indoors, where nobody passes
        people = np.where(known | (page["safety_hatched"].values[0] > 0), people, 0.0)
    shown = people[known]
    return float(people.sum()), float(shown.sum()), float(shown @ safe[known]), float(shown @ sd[known])


def _share(hour: int | None, rows: np.ndarray, total: float) -> Share:
    people, shown, safe, sd = (float(part) for part in rows.sum(axis=0))
    if shown <= 0:
        return Share(hour, people / total, None, None, None, 0.0)
    middle, half = safe / shown, _HALF_90 * sd / shown
    return Share(
        hour, people / total, middle, max(0.0, middle - half), min(100.0, middle + half), shown / max(people, 1e-12)
    )
