"""Published shares of small areas, as levels with their error: binomial, partly pooled, each respondent used once.

The share of an area in a year is of n respondents (n over its design effect) with mean

    P = Phi(mu + area + year + area x year),   area ~ N(0, s_a^2), year ~ N(0, s_t^2), area x year ~ N(0, s_e^2),

so that an area of few respondents is drawn to the city and one without any has what areas differ by. Years wander more
than samples can (weighting, another field firm); s_e holds that and keeps large n from claiming too much. The sds are
integrated over a grid with Laplace evidence (as `place_fit`), priors of constant rate (Simpson et al. 2017, Statistical
Science 32, 1-28).

The same respondents stand in the tables of areas, of sexes, of ages and in the total. Where tables overlap in
proportion, n_ab = n_a n_b / N, a share of one table has the same covariance p(1-p)/N with every share of another, hence
none with differences between those. So the table of areas gives the level, and of each other table only the
differences are used: it has a level of its own for each year, on which nothing is assumed. The total adds no
respondent; less the areas that are told, it is a share of the rest of the city: the mean of m areas (m by respondents,
so sds of s / sqrt(m)), around which an area that is not told lies with variance s^2 (1 - 1/m).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, ndtri

from analytics.ordered_posterior import OrderedPosterior
from sensors.area_share import ALL
from sensors.errors import ModelError

Floats = npt.NDArray[np.float64]

AREA_SDS = (0.05, 0.1, 0.2, 0.4, 0.8)  # even in logarithm, probit units
YEAR_SDS = (0.05, 0.1, 0.2, 0.4)
EXTRA_SDS = (0.05, 0.1, 0.2, 0.4)  # of area x year, and of group x year
LEVEL_SD = 1.5  # of mu, as of a cut of the answers (perception.md 3)
GROUP_SD = 0.5  # of what a sex or an age band differs from the city by
_FREE_SD = 3.0  # of a table's own level in a year: no share between 1 and 99 % is far from it
_AREA_RATE = np.log(20.0) / 0.8  # P(s_a > 0.8) = 0.05, as of places
_OTHER_RATE = np.log(20.0) / 0.5  # P(s > 0.5) = 0.05: half a probit unit from a year to the next is a change of method
_LEAST_REST = 0.05  # of all respondents
REST = "(rest of the city)"
DRAWS = 4000
_SEED = 20260  # draws are arithmetic here: the same table gives the same numbers


@dataclass(frozen=True)
class Estimate:
    """A share with its standard deviation and 90 % interval, 0 to 1."""

    mean: float
    sd: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: Floats) -> Estimate:
        """From draws of the share."""
        low, high = np.quantile(draws, [0.05, 0.95])
        return cls(float(draws.mean()), float(draws.std()), float(low), float(high))


@dataclass(frozen=True)
class SmallAreas:
    """What published shares say of areas: draws of the levels and of groups' differences.

    areas, years : names of the columns; level : (draws, areas + 1, years), probit units, the last area any other one
    told : (areas + 1, years) effective respondents behind each; groups : partition -> code -> share of respondents
    offsets : partition -> (draws, groups), probit units, their mean over respondents 0
    sds : posterior means of s_a, s_t, s_e
    """

    areas: tuple[str, ...]
    years: tuple[int, ...]
    level: Floats
    told: Floats
    groups: Mapping[str, Mapping[str, float]]
    offsets: Mapping[str, Floats]
    sds: tuple[float, float, float]
    notes: tuple[str, ...]

    def draws(self, area: str, *, years: Mapping[int, float] | None = None) -> Floats:
        """Draws of an area's share over years, weighed; an area that no share is of has what areas differ by.

        'all' are the areas with shares together, by their respondents.
        """
        if area == ALL and self.areas:
            size = self.told[: len(self.areas)].sum(axis=1)
            each = np.column_stack([self.draws(one, years=years) for one in self.areas])
            together: Floats = each @ (size / size.sum())
            return together
        place = self.areas.index(area) if area in self.areas else len(self.areas)
        weight = self._weights(place, years)
        mixed: Floats = ndtr(self.level[:, place]) @ weight
        return mixed

    def share(self, area: str, *, years: Mapping[int, float] | None = None) -> Estimate:
        """An area's share of people who feel safe, over all years by their respondents unless weights are given."""
        return Estimate.of(self.draws(area, years=years))

    def group_share(self, area: str, partition: str, code: str) -> Estimate:
        """The share among a sex or an age band of an area, whose mix is taken as the city's.

        The area's own level is moved so that its groups together have the area's share.
        """
        groups = self.groups.get(partition, {})
        if code not in groups:
            known = [f"{table} {name}" for table, names in self.groups.items() for name in names]
            raise ModelError(f"no share is of {partition} '{code}'; expected one of {', '.join(known) or 'none'}")
        offsets = self.offsets[partition]
        wanted = ndtri(np.clip(self.draws(area), 1e-9, 1 - 1e-9))
        weight = np.array(list(groups.values()))
        at = _mixed_level(wanted, offsets, weight)
        return Estimate.of(ndtr(at + offsets[:, list(groups).index(code)]))

    def levels(self) -> tuple[Floats, Floats]:
        """Probits of the areas' mean shares over all years (areas,), and the covariance of their probit levels."""
        shares = np.clip(np.column_stack([self.draws(area) for area in self.areas]), 1e-9, 1 - 1e-9)
        return ndtri(shares.mean(axis=0)), np.atleast_2d(np.cov(ndtri(shares), rowvar=False))

    def _weights(self, place: int, years: Mapping[int, float] | None) -> Floats:
        if years is not None:
            weight = np.array([float(years.get(year, 0.0)) for year in self.years])
        else:
            told = place < len(self.areas) and self.told[place].sum() > 0
            weight = self.told[place] if told else self.told.sum(axis=0)
        total = weight.sum()
        if total <= 0:
            raise ModelError(f"no share is of these years; expected some of {', '.join(map(str, self.years))}")
        return np.asarray(weight / total, np.float64)


@dataclass(frozen=True)
class LeftOut:
    """One area foretold from all others, against what was published of it."""

    area: str
    published: float
    sampling_sd: float
    foretold: Estimate
    published_again: Estimate  # with the sampling error that a published share of so many respondents has

    @property
    def error(self) -> float:
        """Foretold less published, 0 to 1."""
        return self.foretold.mean - self.published

    @property
    def covered(self) -> bool:
        """Whether the 90 % interval of the area's share holds the published one."""
        return self.foretold.low <= self.published <= self.foretold.high

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "area": self.area,
            "published": self.published,
            "sampling_sd": self.sampling_sd,
            "foretold": self.foretold.mean,
            "low": self.foretold.low,
            "high": self.foretold.high,
            "covered": self.covered,
        }


def small_areas(table: pd.DataFrame) -> SmallAreas:
    """Fit the shares of one question; ModelError where none of them can be used.

    table : columns of `sensors.area_share`, one question and light state
    """
    asked = table[["question", "light_state"]].drop_duplicates()
    if len(asked) > 1:
        words = ", ".join(f"{question} ({light})" for question, light in asked.to_numpy().tolist())
        raise ModelError(f"shares of several questions cannot be fitted in one: {words}")
    sized, notes = sample_sizes(table)
    level = level_rows(sized)
    if not len(level):
        raise ModelError("no published share has a number of respondents; give 'n' for at least one year")
    random = np.random.default_rng(_SEED)
    areas = tuple(sorted(set(level["code"]) - {ALL, REST}))
    years = tuple(int(year) for year in sorted(set(level["year"])))
    drawn, sds = _levels(level, areas, years, random)
    told = np.zeros((len(areas) + 1, len(years)))
    for code, year, trials in zip(level["code"], level["year"], level["trials"], strict=True):
        told[areas.index(code) if code in areas else len(areas), years.index(int(year))] += trials
    groups: dict[str, dict[str, float]] = {}
    offsets: dict[str, Floats] = {}
    for partition in ("gender", "age_band"):
        rows = sized[sized["partition"] == partition]
        if len(set(rows["code"])) > 1:
            offsets[partition], groups[partition] = _contrasts(rows, random)
    return SmallAreas(areas, years, drawn, told, groups, offsets, sds, tuple(notes))


def sample_sizes(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows with `trials`, respondents over the design effect; unknown n is the smallest of the same group's years.

    Groups of which no year has a number of respondents are left out and told.
    """
    n = table["n"].to_numpy(np.float64)
    known = table[n > 0].groupby(["partition", "code"])["n"].min()
    assumed = np.array([known.get(key, 0) for key in zip(table["partition"], table["code"], strict=True)], np.float64)
    size = np.where(n > 0, n, assumed)
    notes = []
    guessed = (n <= 0) & (assumed > 0)
    if guessed.any():
        when = ", ".join(map(str, sorted(set(table["year"][guessed]))))
        notes.append(
            f"{int(guessed.sum())} shares of {when} have no number of respondents: the smallest of their group is taken"
        )
    lost = size <= 0
    if lost.any():
        notes.append(f"{int(lost.sum())} shares have no number of respondents in any year and are left out")
    out = table.assign(size=size, told=n > 0, trials=size / table["design_effect"].to_numpy(np.float64))[~lost]
    return out.reset_index(drop=True), notes


def level_rows(sized: pd.DataFrame) -> pd.DataFrame:
    """The rows that give the level, each respondent in one of them: areas, and the rest that the total leaves.

    A year without areas has its total, else the sum of its sexes or ages.
    """
    parts = []
    for _, rows in sized.groupby("year", sort=True):
        areas = rows[rows["partition"] == "area"]
        total = rows[rows["partition"] == ALL].head(1)
        if len(areas):
            parts += [areas, _rest(areas, total)]
        elif len(total):
            parts.append(total)
        else:
            for partition in ("gender", "age_band"):
                part = rows[rows["partition"] == partition]
                if len(part):
                    share, trials = (part[name].to_numpy(np.float64) for name in ("share", "trials"))
                    mean = float(share @ trials / trials.sum())
                    parts.append(part.head(1).assign(partition=ALL, code=ALL, share=mean, trials=trials.sum()))
                    break
    whole = pd.concat(parts, ignore_index=True) if parts else sized.iloc[:0]
    return whole[["year", "code", "share", "trials"]].reset_index(drop=True)


def left_out(table: pd.DataFrame, area: str) -> LeftOut:
    """Foretell an area from the others alone: its own rows and the totals, which hold it, are not looked at."""
    sized, _ = sample_sizes(table)
    own = sized[(sized["partition"] == "area") & (sized["code"] == area)]
    if not len(own):
        raise ModelError(f"no published share is of the area '{area}'")
    others = table[~(((table["partition"] == "area") & (table["code"] == area)) | (table["partition"] == ALL))]
    if not (others["partition"] == "area").any():
        raise ModelError(f"'{area}' is the only area with a share: there is none to foretell it from")
    weight = own["size"].to_numpy(np.float64)
    weight = weight / weight.sum()
    share = own["share"].to_numpy(np.float64)
    published = float(weight @ share)
    sampling = float(np.sqrt(np.sum(weight**2 * share * (1 - share) / own["trials"].to_numpy(np.float64))))
    fitted = small_areas(others)
    wanted = dict(zip(own["year"].astype(int), weight, strict=True))
    drawn = fitted.draws(area, years=wanted)
    again = drawn + sampling * np.random.default_rng(_SEED).standard_normal(drawn.size)
    return LeftOut(area, published, sampling, Estimate.of(drawn), Estimate.of(again))


def _rest(areas: pd.DataFrame, total: pd.DataFrame) -> pd.DataFrame:
    """What the total says beyond the areas, where both tell their respondents; otherwise nothing."""
    if not len(total) or not bool(total["told"].iloc[0]) or not areas["told"].all():
        return areas.iloc[:0]
    everyone, share = (float(total[name].to_numpy(np.float64)[0]) for name in ("trials", "share"))
    each, theirs = (areas[name].to_numpy(np.float64) for name in ("trials", "share"))
    trials, safe = everyone - each.sum(), everyone * share - float(each @ theirs)
    # Weighting keeps sums from being exact: of a small difference nothing is left but that.
    if trials < _LEAST_REST * everyone or not 0.0 < safe < trials:
        return areas.iloc[:0]
    return total.assign(partition="area", code=REST, share=safe / trials, trials=trials)


def _levels(
    rows: pd.DataFrame, areas: Sequence[str], years: Sequence[int], random: np.random.Generator
) -> tuple[Floats, tuple[float, float, float]]:
    """Draws of the level of each area in each year, any other area last, and the mean sds."""
    n_areas, n_years = len(areas), len(years)
    place = np.array([areas.index(code) if code in areas else n_areas for code in rows["code"]])
    when = np.array([years.index(int(year)) for year in rows["year"]])
    # The whole city has no area of its own; neither has it the wander of one area's sample, but it has one.
    whole = (rows["code"] == ALL).to_numpy()
    blocks = (n_areas + 1, n_years, len(rows))
    columns = np.zeros((len(rows), sum(blocks)))
    number = np.arange(len(rows))
    rest, trials = (rows["code"] == REST).to_numpy(), rows["trials"].to_numpy(np.float64)
    named = ~rest & ~whole
    # The rest is the mean of so many areas as the told ones have respondents.
    several = max(1.0, float(trials[rest].mean() / trials[named].mean())) if rest.any() and named.any() else 1.0
    shrunken = np.where(rest, several**-0.5, 1.0)
    columns[number, place] = np.where(whole, 0.0, shrunken)
    columns[number, n_areas + 1 + when] = 1.0
    columns[number, n_areas + 1 + n_years + number] = shrunken
    nodes = list(product(AREA_SDS, YEAR_SDS, EXTRA_SDS))
    log_prior = [
        -_AREA_RATE * a - _OTHER_RATE * (t + e) + np.log(a) + np.log(t) + np.log(e) for a, t, e in nodes
    ]  # the grids are even in logarithm
    sds = [np.repeat(node, blocks) for node in nodes]
    count, drawn = _mixture(columns, rows, sds, np.array(log_prior), LEVEL_SD, random)
    out = np.empty((DRAWS, n_areas + 1, n_years))
    first = 0
    means = np.zeros(3)
    for node, size, theta in zip(nodes, count, drawn, strict=True):
        if not size:
            continue
        part = slice(first, first + size)
        first += size
        means += np.array(node) * size / DRAWS
        mu, of_area = -theta[:, -1], theta[:, : n_areas + 1].copy()
        # An area that is not told is one of the rest where there is a rest, else any other.
        around = (1 - 1 / several) ** 0.5 if rest.any() else 1.0
        others = of_area[:, n_areas] * several**-0.5 if rest.any() else 0.0
        of_area[:, n_areas] = others + around * node[0] * random.standard_normal(size)
        of_year = theta[:, n_areas + 1 : n_areas + 1 + n_years]
        extra = node[2] * random.standard_normal((size, n_areas + 1, n_years))
        for row, (here, year) in enumerate(zip(place, when, strict=True)):
            own = theta[:, n_areas + 1 + n_years + row]
            if here < n_areas:
                extra[:, here, year] = own
            elif rest[row]:
                extra[:, here, year] = own * several**-0.5 + around * extra[:, here, year]
        out[part] = mu[:, None, None] + of_area[:, :, None] + of_year[:, None, :] + extra
    return out, (float(means[0]), float(means[1]), float(means[2]))


def _contrasts(rows: pd.DataFrame, random: np.random.Generator) -> tuple[Floats, dict[str, float]]:
    """Draws of what the groups of one table differ by, their mean over respondents 0, and the respondents' shares."""
    codes, years = sorted(set(rows["code"])), sorted(set(rows["year"]))
    group = np.array([codes.index(code) for code in rows["code"]])
    when = np.array([years.index(year) for year in rows["year"]])
    blocks = (len(codes), len(years), len(rows))
    columns = np.zeros((len(rows), sum(blocks)))
    number = np.arange(len(rows))
    columns[number, group] = 1.0
    columns[number, len(codes) + when] = 1.0
    columns[number, len(codes) + len(years) + number] = 1.0
    sds = [np.repeat([GROUP_SD, _FREE_SD, sd], blocks) for sd in EXTRA_SDS]
    log_prior = np.array([-_OTHER_RATE * sd + np.log(sd) for sd in EXTRA_SDS])
    _, drawn = _mixture(columns, rows, sds, log_prior, LEVEL_SD, random)
    offsets = np.vstack([theta[:, : len(codes)] for theta in drawn])
    size = np.bincount(group, rows["trials"].to_numpy(np.float64), len(codes))
    share = size / size.sum()
    return offsets - (offsets @ share)[:, None], dict(zip(codes, share.tolist(), strict=True))


def _mixture(
    columns: Floats,
    rows: pd.DataFrame,
    sds: Sequence[Floats],
    log_prior: Floats,
    level_sd: float,
    random: np.random.Generator,
) -> tuple[list[int], list[Floats]]:
    """Draws of columns' effects and the cut from the mixture over nodes, (count of each node, its draws)."""
    n, p = columns.shape
    trials, share = rows["trials"].to_numpy(np.float64), rows["share"].to_numpy(np.float64)
    # Feels safe or not is an item of two categories: one row above its cut and one below, weighed.
    lower = np.concatenate([np.zeros(n, np.int64), np.full(n, -1, np.int64)])
    upper = np.concatenate([np.full(n, -1, np.int64), np.zeros(n, np.int64)])
    weight = np.concatenate([trials * share, trials * (1 - share)])
    theta = np.zeros(p + 1)
    evidence, modes = [], []
    for sd in sds:
        precision = np.concatenate([1 / sd**2, [1 / level_sd**2]])
        posterior = OrderedPosterior(np.vstack([columns, columns]), lower, upper, weight, np.zeros(p + 1), precision)
        mode = posterior.mode(theta)
        theta = mode.theta
        evidence.append(posterior.log_evidence(mode))
        modes.append(mode)
    height = np.array(evidence) + log_prior
    chance = np.exp(height - height.max())
    chance /= chance.sum()
    count = _apportioned(chance)
    from scipy.linalg import solve_triangular

    drawn = []
    for size, mode in zip(count, modes, strict=True):
        noise = random.standard_normal((p + 1, size))
        drawn.append(mode.theta + solve_triangular(mode.factor, noise, lower=True, trans="T").T)
    return count, drawn


def _apportioned(chance: Floats) -> list[int]:
    """How many of all draws each node has: whole numbers by largest remainder."""
    exact = chance * DRAWS
    count = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - count), kind="stable")
    count[order[: DRAWS - int(count.sum())]] += 1
    return [int(one) for one in count]


def _mixed_level(wanted: Floats, offsets: Floats, weight: Floats) -> Floats:
    """The level at which groups with these offsets together have the probability Phi(wanted), (draws,)."""
    target = ndtr(wanted)
    low, high = wanted - 6.0, wanted + 6.0
    for _ in range(50):
        middle = (low + high) / 2
        above = ndtr(middle[:, None] + offsets) @ weight > target
        high, low = np.where(above, middle, high), np.where(above, low, middle)
    return (low + high) / 2
