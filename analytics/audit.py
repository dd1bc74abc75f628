"""Whether the map is as right for one group as for all: by gender, age and role, on answers that it has not seen.

For each group that may be told (`group_parts`), from predictions by fits without those answers (`held_out`):

    calibration error   mean of P(feels safe) minus the share that does           flagged beyond 0.05 either way
    RPS ratio           the group's ranked probability score over everybody's     flagged above 1.15
    coverage            of 90 % intervals of the shares of 500 m squares          flagged below 0.80
    sample share        the group's share of the people who answered, over its share in `group_shares` of city.toml
                                                                                  flagged below 0.8 or above 1.25

The limits are those of perception.md 6. Small groups go beyond them by chance as well, so each figure has a 90 %
interval from resampling people, and a flag says whether all of the interval is beyond the limit. An audit that finds
flags is a finding, not an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analytics import scores
from analytics.fitting import INSTRUMENT
from analytics.group_parts import COLUMNS, Class, Group, folded, groups_of
from analytics.held_out import HeldOut, Progress, held_out, sample_of
from analytics.surroundings import Surroundings
from sensors.answer import CODES
from sensors.city import City
from sensors.errors import ModelError
from sensors.instrument import load_instrument
from sensors.night import Night

CALIBRATION = 0.05
RPS_RATIO = 1.15
COVERAGE = 0.80
SHARE_LOW, SHARE_HIGH = 0.8, 1.25
# What to leave out: the map's own figure (perception.md 4 d), or whole people, none of whose answers stay behind.
LEFT_OUT = {"cells": "as the map's cells", "people": "respondents"}

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A number with its 90 % interval; NaN where it cannot be told."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Flag:
    """One figure of a group beyond its limit; `clear` where all of its interval is."""

    what: str  # 'calibration', 'rps_ratio', 'coverage' or 'share'
    clear: bool


@dataclass(frozen=True)
class Row:
    """One group: who, how many, and how the map does for them.

    classes : column -> codes told together, none for everybody; left_aside : whether people of these codes are in
    other rows, since they are too few to be told by all of these columns
    """

    classes: dict[str, Class]
    left_aside: bool
    people: int
    answers: int
    calibration: Figure
    rps: float
    rps_ratio: Figure
    coverage: Figure
    blocks: int  # squares with five answers or more, of which the coverage is
    flags: list[Flag]


@dataclass(frozen=True)
class Share:
    """How many of those who answered have a code, in whole per cent, beside the population's share.

    sample : with its 90 % interval, NaN where too few people have it; ratio : to the population's share
    """

    column: str
    code: str
    nobody: bool
    sample: Figure
    population: float | None  # where city.toml gives it
    ratio: float
    flags: list[Flag]


@dataclass(frozen=True)
class Audit:
    """How even-handed a city's map is."""

    city: str
    night: str
    left_out: str  # of SCHEMES
    answers: int
    people: int
    simulated: bool
    preset: str
    oldest: str
    newest: str
    sample: dict[str, Any]  # of all answers fitted, as `Sample.summary`
    frame_given: bool  # whether city.toml gives any population shares
    rows: list[Row]
    shares: list[Share]
    few: dict[str, Class]  # column -> codes of too few people, told with the column's largest
    missing: list[dict[str, str]]  # codes and crossings of codes that nobody has
    unsaid: list[dict[str, str]]  # those that somebody has and that no row tells alone

    @property
    def flagged(self) -> int:
        """How many figures are beyond their limit."""
        return len(self._flags)

    @property
    def clear(self) -> int:
        """How many of them are so with all of their interval."""
        return sum(flag.clear for flag in self._flags)

    @property
    def _flags(self) -> list[Flag]:
        return [flag for row in self.rows for flag in row.flags] + [flag for one in self.shares for flag in one.flags]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and lists, as JSON takes them; `flagged` and `clear` count the flags."""
        content = asdict(self) | {"flagged": self.flagged, "clear": self.clear}
        plain: dict[str, Any] = _plain(content)
        return plain


def audit(
    city: City,
    surroundings: Surroundings,
    knowledge: Any,
    *,
    before: Night | None = None,
    preset: str = "standard",
    leave_out: str = "cells",
    progress: Progress | None = None,
) -> Audit:
    """Audit the map of a city; ModelError where too few people answered to say anything of groups.

    leave_out : a key of LEFT_OUT; progress : called with (done, all) fits
    """
    scheme = LEFT_OUT[leave_out]
    shares = population_shares(city.settings.group_shares)
    sample = sample_of(city, surroundings, knowledge, before)
    tried = list(held_out(sample, city, surroundings, schemes=(scheme,), preset=preset, progress=progress))
    if not tried:
        raise ModelError(f"the answers of {city.name} cannot be left out {scheme}: they are all of one place or person")
    rule, night = city.settings.release, "" if before is None else before.name
    return audited(
        tried[0], shares, city.name, sample=sample.summary(), night=night, preset=preset, people=rule.minimum_people,
        share=rule.maximum_share,
    )  # fmt: skip


def audited(
    part: HeldOut,
    shares: Mapping[tuple[str, str], float],
    city_name: str,
    *,
    sample: Mapping[str, Any],
    night: str = "",
    preset: str = "standard",
    people: int = 10,
    share: float = 0.30,
) -> Audit:
    """The audit of predictions that are there already.

    shares : (column, code) -> share of the population, as `population_shares` reads them; sample : of all answers
    fitted, as `Sample.summary`
    """
    table = part.table
    groups = groups_of(table, people=people, share=share)
    if not groups.groups:
        raise ModelError(
            f"{city_name} has answers of {table['pseudonym'].nunique()} people; expected {people} or more, none with "
            f"more than {share:.0%} of the weight, before anything is said of groups"
        )
    judged = _Judged.of(part)
    rows = [_row(group, judged, table) for group in groups.groups]
    return Audit(
        city=city_name,
        night=night,
        left_out=part.name,
        answers=len(table),
        people=int(table["pseudonym"].nunique()),
        simulated=bool((table["origin"] == "simulated").any()),
        preset=preset,
        oldest=f"{table['time'].min():%Y-%m-%d}",
        newest=f"{table['time'].max():%Y-%m-%d}",
        sample=dict(sample),
        frame_given=bool(shares),
        rows=rows,
        shares=sample_shares(table, shares, people=people, share=share),
        few=groups.few,
        missing=groups.missing,
        unsaid=groups.unsaid,
    )


def population_shares(group_shares: Mapping[str, float]) -> dict[tuple[str, str], float]:
    """`group_shares` of city.toml by column and code; ModelError where a key is no group or stands for several."""
    out = {}
    for key, share in group_shares.items():
        column, _, code = key.rpartition(".")
        found = [column] if column else [name for name, codes in CODES.items() if key in codes]
        if len(found) != 1 or code not in CODES.get(found[0], ()):
            raise ModelError(f"group_shares '{key}' of city.toml is no group; write column.code, like gender.woman")
        out[found[0], code] = float(share)
    return out


def sample_shares(
    table: pd.DataFrame, shares: Mapping[tuple[str, str], float], *, people: int = 10, share: float = 0.30
) -> list[Share]:
    """Who answered, code by code; no share is told of a code that too few people have.

    Those too few even together count with the largest code, as in the rows, so that no difference tells their number.
    A person who told two codes counts with both.
    """
    unknown = Figure(float("nan"), float("nan"), float("nan"))
    out = []
    for column in COLUMNS:
        fold = folded(table, column, people=people, share=share)
        count = table.groupby(fold.told)["pseudonym"].nunique()
        whole = int(count.sum())
        for code in CODES[column]:
            population = shares.get((column, code))
            nobody, few = not (table[column] == code).any(), code in (*fold.pool, *fold.few)
            figure = unknown if few else _share_figure(int(count.get(code, 0)), whole)
            figure = Figure(round(figure.value, 2), round(figure.low, 2), round(figure.high, 2))
            # Of few people not even their number is said: the most that they could be stands for them in the flag.
            most = _share_figure(min(people - 1, whole), whole) if few else figure
            flags = _share_flags(most, population, only_low=few)
            ratio = figure.value / population if population else float("nan")
            out.append(Share(column, code, nobody, figure, population, ratio, flags))
    return out


def _share_flags(sample: Figure, population: float | None, *, only_low: bool) -> list[Flag]:
    if not population:
        return []
    low, high = SHARE_LOW * population, SHARE_HIGH * population
    if sample.value < low:
        return [Flag("share", sample.high < low)]
    return [Flag("share", sample.low > high)] if sample.value > high and not only_low else []


@dataclass(frozen=True)
class _Judged:
    """Predictions and what came, (n,) each."""

    off: Floats  # P(feels safe) minus whether they do
    rps: Floats
    p_safe: Floats
    sd: Floats
    category: npt.NDArray[np.int64]
    square: npt.NDArray[np.int64]
    person: npt.NDArray[np.int64]
    safe_from: int

    @classmethod
    def of(cls, part: HeldOut) -> _Judged:
        safe_from = load_instrument(INSTRUMENT).safe_from
        below = part.below["map"]
        p_safe = 1 - below[:, safe_from - 2]
        off = p_safe - (part.category >= safe_from)
        rps = scores.ranked_probability(below, part.category)
        return cls(off, rps, p_safe, part.sd, part.category, part.square, part.person, safe_from)


def _row(group: Group, judged: _Judged, table: pd.DataFrame) -> Row:
    inside, person = group.members, judged.person[group.members]
    calibration = Figure(float(judged.off[inside].mean()), *scores.mean_interval(judged.off[inside], person))
    whole, rps = float(judged.rps.mean()), float(judged.rps[inside].mean())
    low, high = scores.mean_interval(judged.rps[inside], person)
    ratio = Figure(rps / whole, low / whole, high / whole)
    held, blocks = scores.blocks_held(
        judged.p_safe[inside], judged.sd[inside], judged.category[inside], judged.safe_from, judged.square[inside]
    )
    coverage = _share_figure(held, blocks)
    counted = int(np.unique(person).size)
    flags = []
    if abs(calibration.value) > CALIBRATION:
        flags.append(Flag("calibration", calibration.low > CALIBRATION or calibration.high < -CALIBRATION))
    if ratio.value > RPS_RATIO:
        flags.append(Flag("rps_ratio", ratio.low > RPS_RATIO))
    if coverage.value < COVERAGE:
        flags.append(Flag("coverage", coverage.high < COVERAGE))
    return Row(
        classes=group.classes,
        left_aside=_left_aside(group, table),
        people=counted,
        answers=int(inside.sum()),
        calibration=calibration,
        rps=rps,
        rps_ratio=ratio,
        coverage=coverage,
        blocks=blocks,
        flags=flags,
    )


def _share_figure(held: int, counted: int) -> Figure:
    """A share with its exact binomial 90 % interval (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    if not counted:
        return Figure(float("nan"), float("nan"), float("nan"))
    low = float(beta.ppf(0.05, held, counted - held + 1)) if held else 0.0
    high = float(beta.ppf(0.95, held + 1, counted - held)) if held < counted else 1.0
    return Figure(held / counted, low, high)


def _left_aside(group: Group, table: pd.DataFrame) -> bool:
    wide = np.ones(len(table), bool)
    for column, klass in group.classes.items():
        wide &= table[column].isin(klass).to_numpy()
    return bool((wide & ~group.members).any())


def _plain(value: Any) -> Any:
    """Without NaN, which is no JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value
