"""Whom a map can be of: everyone out at night, residents, single groups, and the gap between a group and the rest.

A *view* is a mix of classes of people with shares that add up to 1; the gap between two groups is the mix of both with
the shares of the second taken negative, so that what they have in common (a place's own effect, most coefficients)
cancels in the difference and in its error as well.

Who is out is not who answered: answers are weighed so that each square of 400 m counts by the people who pass there and
not by how many were asked, and by `group_shares` of `city.toml` where the city knows better. Residents are those who
answered, raked to `resident_shares` (post-stratification by groups' margins; Deming and Stephan 1940).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analytics import covariates
from analytics.covariates import COLUMN, NAMES, Floats
from analytics.response import Classes
from analytics.views import GAP, GAPS, GROUPS, RESIDENTS
from sensors.errors import ModelError

SQUARE_M = 400.0
MOST_OF_PASSERS = 10.0  # what one answer may count more than the least because many pass where few were asked


def everyone(
    answers: pd.DataFrame, weight: Floats, footfall: Floats, mean: Floats, shares: Mapping[str, float]
) -> tuple[Classes, Floats]:
    """The people out at night, and what each answer counts among them.

    answers : columns of `sensors.answer`; weight : (n,); footfall : (n,) passers at each, NaN where not known
    mean : coefficients and cuts; shares : `group_shares` of `city.toml`
    """
    frame = "people out at night, mixed as those who answered where they pass"
    weight = weight * passing(answers, footfall)
    if len(answers) and shares:
        weight = raked(answers, weight, shares)
        frame = "people out at night, by the group shares of city.toml"
    return classes_of(answers, weight, mean, frame), weight


def views_of(
    answers: pd.DataFrame, weight: Floats, out: Floats, mean: Floats, resident_shares: Mapping[str, float], people: int
) -> dict[str, Classes]:
    """The other mixes by name: residents, groups of enough people, `gap_` of each against those it is compared with.

    weight : (n,) of the answers; out : (n,) of them among the people out; people : fewest that make a group
    """
    views: dict[str, Classes] = {}
    if len(answers) and resident_shares:
        residents = raked(answers, weight, resident_shares, "resident_shares")
        views[RESIDENTS] = classes_of(answers, residents, mean, "residents, by the resident shares of city.toml")
    for group in GROUPS:
        here, beside = group.among(answers), group.beside(answers)
        if answers.loc[here, "pseudonym"].nunique() < people:
            continue
        views[group.name] = classes_of(answers[here], out[here], mean, group.name)
        if group.name in GAPS and answers.loc[beside, "pseudonym"].nunique() >= people:
            views[GAP + group.name] = _less(
                views[group.name], classes_of(answers[beside], out[beside], mean, f"not {group.name}")
            )
    return views


def passing(answers: pd.DataFrame, footfall: Floats) -> Floats:
    """What makes each square of 400 m count by its passers, (n,): passers there over answers there, mean 1, held.

    footfall : (n,) passers an hour at each answer
    """
    if not len(answers):
        return np.ones(0)
    known = np.isfinite(footfall)
    passers = np.where(known, footfall, footfall[known].mean() if known.any() else 1.0)
    row = np.floor(answers["northing"].to_numpy(np.float64) / SQUARE_M).astype(np.int64)
    column = np.floor(answers["easting"].to_numpy(np.float64) / SQUARE_M).astype(np.int64)
    square = pd.MultiIndex.from_arrays([row, column]).factorize()[0]
    asked = np.bincount(square)
    factor = (np.bincount(square, passers) / asked**2)[square]
    factor = np.clip(factor, factor.min(), MOST_OF_PASSERS * factor.min()) if factor.min() > 0 else np.ones(len(row))
    counted: Floats = factor / factor.mean()
    return counted


def classes_of(answers: pd.DataFrame, weight: Floats, mean: Floats, frame: str) -> Classes:
    """Answers' people in classes that differ in what goes with them: women or not, 65 and over or not."""
    group = covariates.group_design(answers)
    woman, older = group[:, COLUMN["woman"]], group[:, COLUMN["age_65"]]
    beta = mean[: len(NAMES)]
    rows = []
    for w, o in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        members = (woman == w) & (older == o)
        total = weight[members].sum()
        if total <= 0:
            continue
        centre = np.average(group[members], axis=0, weights=weight[members])
        effect = (group[members] - centre) @ beta
        rows.append((total, w, o, centre, float(np.average(effect**2, weights=weight[members]))))
    if not rows:
        rows = [(1.0, 0.0, 0.0, np.zeros(len(NAMES)), 0.0)]
    share, women, old, centres, spread = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    return Classes(share / share.sum(), women, old, centres, spread, frame)


def raked(answers: pd.DataFrame, weight: Floats, shares: Mapping[str, float], setting: str = "group_shares") -> Floats:
    """Weights whose sums by group follow the given shares (iterative proportional fitting)."""
    targets: dict[str, dict[str, float]] = {}
    for key, share in shares.items():
        column, _, code = key.rpartition(".")
        found = [column] if column else [c for c in covariates.GROUP_COLUMNS if key in set(answers[c])]
        if len(found) != 1 or found[0] not in covariates.GROUP_COLUMNS or code not in set(answers[found[0]]):
            raise ModelError(
                f"{setting} '{key}' of city.toml is no group among the answers; write column.code, like gender.woman"
            )
        targets.setdefault(found[0], {})[code] = share
    out = weight.copy()
    for _ in range(50):
        for column, wanted in targets.items():
            codes = answers[column].to_numpy(dtype=object)
            named = np.isin(codes, list(wanted))
            whole = out.sum()
            rest = max(1 - sum(wanted.values()), 0.0)
            for code, share in wanted.items():
                out[codes == code] *= share * whole / out[codes == code].sum()
            others = out[~named].sum()
            if others > 0:  # shares that add up to 1 leave nothing to the others
                out[~named] *= rest * whole / others
    return out


def _less(group: Classes, rest: Classes) -> Classes:
    """A group minus the rest: both mixes together, the rest's shares negative."""
    return Classes(
        share=np.concatenate([group.share, -rest.share]),
        woman=np.concatenate([group.woman, rest.woman]),
        older=np.concatenate([group.older, rest.older]),
        group=np.concatenate([group.group, rest.group]),
        spread=np.concatenate([group.spread, rest.spread]),
        frame=f"{group.frame} less {rest.frame}",
    )
