"""Published shares of areas as evidence on the level of the map: what an area says as a whole, nothing of its streets.

An area's share is, on the probit scale, a noisy sight of the map's own mean over the area's streets, hours and people,

    z_A = Phi^-1( mean over streets, hours and classes of Phi((x beta + u_A + a_A - tau) / k) ) + error,

with u_A what is left of its places on average and a_A ~ N(0, s_a^2) what areas differ by beyond. Coefficients, cuts and
each 50 m cell's effect are normal before and are conditioned on all shares at once (a linear update,
repeated at its own result). Within an area every cell moves alike: the street pattern is that of
the terms and of single answers, and its variance stays. Cells of no area with a share have s_a^2 on top.

A share is a mean over streets and hours whose own levels are unsure as well, so what is compared with it is the
expected mean, Phi(mean / sqrt(1 + variance)) row by row with the variance that is left after the shares (posterior
linearisation, García-Fernández et al. 2015, IEEE Trans. Signal Processing 63, 5561-5573).

Differences between the sexes and between ages come from their own tables (analytics/small_area.py) as sights of the
group terms. A question about a whole area is not one asked on the spot: where there are single answers an offset with
sd `ASKED_SD`, the same for all areas, stands between them; where there are none the map speaks of the shares' question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from scipy.special import ndtr, ndtri

from analytics import covariates
from analytics.covariates import COLUMN, NAMES, Floats
from analytics.lie import lie_of
from analytics.place_effect import CELL_M, PlaceEffect
from analytics.response import Classes, Perception
from analytics.small_area import SmallAreas, small_areas
from sensors.city import City
from sensors.districts import districts_of
from sensors.night import Night

if TYPE_CHECKING:
    from analytics.knowledge import Knowledge
    from analytics.surroundings import Surroundings

ASKED_SD = 0.3  # a question of the neighbourhood against one of the spot: parks against streets differ by 0.8 (GB 2021)
FRAME = "residents mixed as in the published shares; what streets within an area differ by is a model's"
MOST_CELLS = 300  # of an area, evenly spread: the mean of a smooth function over its streets
_STEPS_APART = 8
_ROUNDS = 8
# Age bands as such tables have them, by the term of the response they are of; 25 to 44 is its reference.
_AGES = {"age_16_24": (15, 24), "": (25, 44), "age_45_64": (45, 64), "age_65": (65, 150)}


@dataclass(frozen=True)
class AreaConditions:
    """What the streets of areas are like through a night.

    areas : codes; area : (n,) index of each row; raw : (n) rows as `fitting.street_means` has them; time : (n,)
    square : (cells,) area of each 50 m cell of the place effect, -1 in none
    """

    areas: tuple[str, ...]
    area: npt.NDArray[np.int64]
    raw: pd.DataFrame
    time: npt.NDArray[np.datetime64]
    square: npt.NDArray[np.int64]


def with_shares(
    perception: Perception, city: City, surroundings: Surroundings, knowledge: Knowledge, night: Night
) -> Perception:
    """The response with the city's published shares of after dark; as it was where there are none for its districts."""
    table, question = shares_to_use(city, night)
    if not len(table):
        return perception
    fitted = small_areas(table)
    conditions = area_conditions(city, surroundings, knowledge, night, fitted, perception.own)
    if not conditions.areas:
        return perception
    told = int(table["n"][table["partition"].isin(["area"])].sum())
    return conditioned(perception, fitted, conditions, city, question, told)


def shares_to_use(city: City, night: Night) -> tuple[pd.DataFrame, str]:
    """Shares of after dark until a night's year, of the question with the most respondents in areas."""
    from ingest.area_shares import shares

    table = shares(city)
    table = table[(table["light_state"] == "dark") & (table["year"] <= int(str(night.date)[:4]))]
    areas = table[table["partition"] == "area"]
    if not len(areas) or not len(city.places("districts")):
        return table.iloc[:0], ""
    size = areas.groupby("question")["n"].sum().sort_index()
    question = str(size.index[int(np.argmax(size.to_numpy()))])
    return table[table["question"] == question].reset_index(drop=True), question


def area_conditions(
    city: City, surroundings: Surroundings, knowledge: Knowledge, night: Night, fitted: SmallAreas, own: PlaceEffect
) -> AreaConditions:
    """What is expected on the streets of each area with shares every two hours of a night."""
    from analytics.fields import fields_at
    from sensors.reading import RECORD

    shapes = _shapes(city, fitted.areas)
    areas = tuple(shapes)
    grid = surroundings.grid
    east, north = np.meshgrid(grid.easting, grid.northing)
    square = _squares(shapes, own)
    street = surroundings.street & ~surroundings.indoor
    cells: list[npt.NDArray[np.int64]] = []
    for shape in shapes.values():
        inside = shapely.contains_xy(shape, east, north)
        found = np.flatnonzero(inside & street)
        found = found if found.size else np.flatnonzero(inside & ~surroundings.indoor)
        cells.append(found[np.linspace(0, found.size - 1, min(found.size, MOST_CELLS)).astype(np.int64)])
    some = [number for number, found in enumerate(cells) if found.size]
    colour, view = lie_of(city, surroundings)
    frames, times = [], []
    for step in night.steps(*surroundings.window, surroundings.step_minutes)[::_STEPS_APART]:
        fields = fields_at(surroundings, knowledge, np.empty(0, RECORD), step)
        planes = {name: fields[name].to_numpy()[0].ravel() for name in ("illuminance", "noise", "footfall")}
        lowest = fields["illuminance_min"].to_numpy()[0]
        planes |= {"colour": colour.ravel(), "view": view.ravel()}
        planes["even"] = covariates.evenness(fields["illuminance"].to_numpy()[0], lowest, grid.cell_m).ravel()
        for number in some:
            frames.append(
                pd.DataFrame({name: plane[cells[number]] for name, plane in planes.items()} | {"closing": 0.0})
            )
            frames[-1]["area"] = number
            times.append(np.full(cells[number].size, step))
    if not frames:
        return AreaConditions((), np.zeros(0, np.int64), pd.DataFrame(), np.empty(0, "datetime64[ms]"), square)
    whole = pd.concat(frames, ignore_index=True)
    number_of = {number: index for index, number in enumerate(some)}
    square = np.array([number_of.get(int(one), -1) for one in square], np.int64)
    row_area = np.array([number_of[int(one)] for one in whole.pop("area")], np.int64)
    return AreaConditions(tuple(areas[number] for number in some), row_area, whole, np.concatenate(times), square)


def squares_with_shares(city: City, night: Night, own: PlaceEffect) -> npt.NDArray[np.bool_]:
    """Which 50 m cells of the place effect lie in an area that a published share is of, (rows, columns)."""
    table, _ = shares_to_use(city, night)
    areas = sorted(set(table["code"][table["partition"] == "area"]))
    known: npt.NDArray[np.bool_] = _squares(_shapes(city, areas), own).reshape(own.mean_u.shape) >= 0
    return known


def _shapes(city: City, areas: Sequence[str]) -> dict[str, Any]:
    """The shape of each area that has districts."""
    districts = city.places("districts")
    of_area = districts_of(list(areas), districts)
    shapes = districts.geometry.to_numpy()
    return {area: shapely.union_all(shapes[of_area[area]]) for area in areas if area in of_area}


def _squares(shapes: Mapping[str, Any], own: PlaceEffect) -> npt.NDArray[np.int64]:
    """Number of the area in which the middle of each 50 m cell lies, -1 in none."""
    rows, columns = own.mean_u.shape
    easting, northing = np.meshgrid(
        own.west + (np.arange(columns) + 0.5) * CELL_M, own.south + (np.arange(rows) + 0.5) * CELL_M
    )
    square = np.full(easting.size, -1, np.int64)
    for number, shape in enumerate(shapes.values()):
        shapely.prepare(shape)
        square[shapely.contains_xy(shape, easting.ravel(), northing.ravel())] = number
    return square


def conditioned(
    perception: Perception, fitted: SmallAreas, conditions: AreaConditions, city: City, question: str, told: int
) -> Perception:
    """The response given the levels of the areas and the differences of the groups."""
    from analytics.fitting import scales_of

    if not perception.n_answers:  # nothing has said yet what is usual here but the streets
        scales, _ = scales_of(conditions.raw, conditions.raw, np.ones(len(conditions.raw)))
        perception = replace(perception, scales=scales, classes=classes_of(fitted))
    features = perception.scales.features(conditions.raw)
    wanted, noise = fitted.levels()
    chosen = [fitted.areas.index(area) for area in conditions.areas]
    wanted, noise = wanted[chosen], noise[np.ix_(chosen, chosen)]
    if perception.n_answers:
        noise = noise + ASKED_SD**2
    sight = _Sight(perception, conditions, features, city, fitted.sds[0])
    groups, group_wanted, group_noise = group_sights(fitted, sight.mean_features, perception.mean.size)
    stretch = float(
        np.mean([np.sqrt(1 + spread).mean() for spread in sight.spread])
    )  # shares are seen on a shrunken scale
    theta, moved = sight.best(wanted, noise, groups, stretch * group_wanted, stretch**2 * group_noise)
    own = _moved(perception.own, conditions.square, theta, moved, sight)
    return replace(
        perception,
        fit=None,  # its covariance knows nothing of the shares
        mean=moved.theta,
        covariance=moved.covariance,
        own=own,
        n_shares=len(conditions.areas),
        shares_of=question,
        shares_told=told,
    )


def classes_of(fitted: SmallAreas) -> Classes:
    """The people of the shares: sexes and ages in the proportions in which they were asked, taken as unrelated."""
    sexes, ages = fitted.groups.get("gender", {}), _ages(fitted)
    woman = sexes.get("woman", 0.5) / max(sexes.get("woman", 0.5) + sexes.get("man", 0.5), 1e-9)
    older = ages.get("age_65", 0.0)
    base = np.zeros(len(NAMES))
    for term, share in ages.items():
        if term and term != "age_65" and older < 1:
            base[COLUMN[term]] = share / (1 - older)
    rows = [(w, o) for w in (0.0, 1.0) for o in (0.0, 1.0) if (older if o else 1 - older) > 0]
    size = np.array([(woman if w else 1 - woman) * (older if o else 1 - older) for w, o in rows])
    group = np.zeros((len(rows), len(NAMES)))
    for row, (w, o) in zip(group, rows, strict=True):
        row[:] = 0.0 if o else base
        row[COLUMN["woman"]], row[COLUMN["age_65"]] = w, o
    women, old = (np.array(column) for column in zip(*rows, strict=True))
    frame = FRAME
    return Classes(size / size.sum(), women, old, group, np.zeros(len(rows)), frame)


def group_sights(fitted: SmallAreas, mean_features: Floats, size: int) -> tuple[Floats, Floats, Floats]:
    """Rows of coefficients that the differences between groups are sights of, their values and covariance."""
    rows: list[Floats] = []
    values: list[Floats] = []
    if {"woman", "man"} <= set(fitted.groups.get("gender", {})):
        codes = list(fitted.groups["gender"])
        drawn = fitted.offsets["gender"]
        row = np.zeros(size)
        row[COLUMN["woman"]] = 1.0
        row[COLUMN["woman_light"]], row[COLUMN["woman_people"]] = mean_features[0], mean_features[2]
        rows.append(row)
        values.append(drawn[:, codes.index("woman")] - drawn[:, codes.index("man")])
    if "age_band" in fitted.groups:
        drawn, codes = fitted.offsets["age_band"], list(fitted.groups["age_band"])
        share = np.array([fitted.groups["age_band"][code] for code in codes])
        of = np.array([_term_of(code) for code in codes], dtype=object)
        means = {
            term: drawn[:, of == term] @ (share[of == term] / share[of == term].sum()) for term in set(of) - {None}
        }
        for term in _AGES:
            if term and term in means and "" in means:
                row = np.zeros(size)
                row[COLUMN[term]] = 1.0
                if term == "age_65":
                    row[COLUMN["older_light"]] = mean_features[0]
                rows.append(row)
                values.append(means[term] - means[""])
    if not rows:
        return np.zeros((0, size)), np.zeros(0), np.zeros((0, 0))
    drawn = np.column_stack(values)
    return np.array(rows), drawn.mean(axis=0), np.atleast_2d(np.cov(drawn, rowvar=False))


@dataclass(frozen=True)
class _Moved:
    """Coefficients after the shares, and what moves the cells: slopes, precision and surprise of the sights."""

    theta: Floats
    covariance: Floats
    slope: Floats  # (sights, size) of coefficients
    own_slope: Floats  # (sights, areas)
    inverse: Floats  # of the covariance of the sights
    surprise: Floats


class _Sight:
    """The map's mean over each area as a function of coefficients and of what the areas differ by."""

    def __init__(
        self, perception: Perception, conditions: AreaConditions, features: Floats, city: City, area_sd: float
    ) -> None:
        classes, own = perception.classes, perception.own
        self.perception, self.conditions = perception, conditions
        self.n_areas = len(conditions.areas)
        self.mean_features = features.mean(axis=0)
        late = covariates.late(conditions.time, city.zone)
        now = own.at(float(late.mean()))
        inside = [conditions.square == number for number in range(self.n_areas)]
        self.own_mean = np.array([now.mean[here].mean() if here.any() else 0.0 for here in inside])
        across = [now.across[here].mean(axis=0) if here.any() else np.zeros(perception.mean.size) for here in inside]
        self.own_across = np.array(across)
        shared = [_shared(own, here, perception.nodes) for here in inside]
        self.own_variance = area_sd**2 + np.array(shared)
        self.area_sd = area_sd
        local = np.array([now.variance[here].mean() if here.any() else now.prior_variance for here in inside])
        within = np.maximum(local - np.array(shared), 0.0)  # how streets of an area differ from its mean
        self.forms: list[Floats] = []
        self.spread: list[Floats] = []  # variance of what streets and people of a row differ by
        for g in range(classes.share.size):
            self.forms.append(_form(perception, g, features, conditions.time, city))
            self.spread.append(classes.spread[g] + own.person_variance + within[conditions.area])

    def at(self, theta: Floats, own: Floats, joint: Floats) -> tuple[Floats, Floats, Floats]:
        """Probit of the expected mean over each area, its slope in coefficients and in the areas' own levels.

        joint : covariance of coefficients and then the areas' own levels
        """
        size, area = theta.size, self.conditions.area
        count = np.bincount(area, minlength=self.n_areas).astype(np.float64)
        mean, slope, own_slope = np.zeros(self.n_areas), np.zeros((self.n_areas, size)), np.zeros(self.n_areas)
        for share, form, spread in zip(self.perception.classes.share, self.forms, self.spread, strict=True):
            unsure = np.einsum("ij,ij->i", form @ joint[:size, :size], form) + np.diag(joint)[size + area]
            unsure += 2 * np.einsum("ij,ij->i", form, joint[size + area, :size])
            scale = 1 / np.sqrt(1 + spread + np.maximum(unsure, 0))
            z = (form @ theta + own[area]) * scale
            height = share * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) * scale
            mean += share * np.bincount(area, ndtr(z), self.n_areas) / count
            own_slope += np.bincount(area, height, self.n_areas) / count
            for number in range(self.n_areas):
                here = area == number
                slope[number] += height[here] @ form[here] / count[number]
        seen = ndtri(np.clip(mean, 1e-9, 1 - 1e-9))
        steep = np.exp(-0.5 * seen**2) / np.sqrt(2 * np.pi)
        return seen, slope / steep[:, None], np.diag(own_slope / steep)

    def best(
        self, wanted: Floats, noise: Floats, groups: Floats, group_wanted: Floats, group_noise: Floats
    ) -> tuple[Floats, _Moved]:
        """Where coefficients and areas agree best with the shares and with what they were before."""
        theta_0, own_0 = self.perception.mean, self.own_mean
        size = theta_0.size
        joint = np.zeros((size + self.n_areas, size + self.n_areas))
        joint[:size, :size] = self.perception.covariance
        joint[:size, size:], joint[size:, :size] = self.own_across.T, self.own_across
        joint[size:, size:] = np.diag(self.own_variance)
        start = np.concatenate([theta_0, own_0])
        here, after = start, joint
        errors = np.zeros((wanted.size + group_wanted.size,) * 2)
        errors[: wanted.size, : wanted.size] = noise
        errors[wanted.size :, wanted.size :] = group_noise
        whole = np.concatenate([wanted, group_wanted])
        for _ in range(_ROUNDS):
            seen, slope, own_slope = self.at(here[:size], here[size:], after)
            jacobian = np.vstack(
                [np.hstack([slope, own_slope]), np.hstack([groups, np.zeros((len(groups), self.n_areas))])]
            )
            expected = np.concatenate([seen, groups @ here[:size]]) + jacobian @ (start - here)
            inverse = np.linalg.inv(jacobian @ joint @ jacobian.T + errors)
            gain = joint @ jacobian.T @ inverse
            here = start + gain @ (whole - expected)
            after = joint - gain @ jacobian @ joint
            after = (after + after.T) / 2
        moved = _Moved(
            here[:size], after[:size, :size], jacobian[:, :size], jacobian[:, size:], inverse, whole - expected
        )
        return theta_0, moved


def _form(perception: Perception, g: int, features: Floats, times: npt.NDArray[np.datetime64], city: City) -> Floats:
    """Coefficients and cuts of the latent distance to "feels safe" of a class at each row, (n, size)."""
    classes = perception.classes
    woman, older = bool(classes.woman[g]), bool(classes.older[g])
    same = dict.fromkeys(("disability", "alone", "role", "familiarity"), "undisclosed")
    people = pd.DataFrame(
        {"time": times, "light_state": "dark", "trigger": "prompted", "gender": "woman" if woman else "man"}
        | {"age_band": "65+" if older else "25-44"}
        | same
    )
    rows = covariates.design(people, features, city.zone) - covariates.group_design(people) + classes.group[g]
    form = np.zeros((len(rows), perception.mean.size))
    form[:, : len(NAMES)] = rows
    form[:, len(NAMES) + perception.safe_from - 2] = -1.0
    return form


def _moved(
    own: PlaceEffect, square: npt.NDArray[np.int64], before: Floats, moved: _Moved, sight: _Sight
) -> PlaceEffect:
    """The effect of each 50 m cell after the shares: those of an area move alike, others have what areas differ by."""
    n_areas, size = sight.n_areas, before.size
    across = own.across_u.reshape(-1, size).astype(np.float64)
    member = np.zeros((square.size, n_areas))
    member[np.flatnonzero(square >= 0), square[square >= 0]] = 1.0
    covariance_prior = sight.perception.covariance
    own_part = member * sight.own_variance
    with_sights = across @ moved.slope.T + own_part @ moved.own_slope.T  # covariance of each cell with each sight
    gain = with_sights @ moved.inverse
    coefficients = covariance_prior @ moved.slope.T + sight.own_across.T @ moved.own_slope.T
    mean = own.mean_u.ravel() + gain @ moved.surprise
    variance = own.variance_u.ravel() + sight.area_sd**2 - np.einsum("ij,ij->i", gain, with_sights)
    shape = own.mean_u.shape
    return replace(
        own,
        mean_u=mean.reshape(shape).astype(np.float32),
        variance_u=np.maximum(variance, 1e-6).reshape(shape).astype(np.float32),
        across_u=(across - gain @ coefficients.T).reshape(own.across_u.shape).astype(np.float32),
        prior_variance_u=own.prior_variance_u + sight.area_sd**2,
    )


def _shared(own: PlaceEffect, here: npt.NDArray[np.bool_], nodes: tuple[tuple[float, float, float], ...]) -> float:
    """Variance of the mean effect over some 50 m cells, as far as it is not known from answers: their mean variance
    times the mean Matérn 5/2 correlation of two of them.
    """
    found = np.flatnonzero(here)
    if not found.size:
        return 0.0
    length = sum(node[0] * node[2] for node in nodes) if nodes else 350.0
    some = found[np.linspace(0, found.size - 1, min(found.size, 200)).astype(np.int64)]
    columns = own.mean_u.shape[1]
    place = np.column_stack([some % columns, some // columns]) * CELL_M
    away = np.sqrt(5) * np.hypot(*(place[:, None] - place[None]).transpose(2, 0, 1)) / length
    correlation = (1 + away + away**2 / 3) * np.exp(-away)
    return float(own.variance_u.ravel()[some].mean() * correlation.mean())


def _term_of(code: str) -> str | None:
    """The term of the response that an age band is of, None where it lies in several."""
    ages = [int(one) for one in code.rstrip("+").split("-") if one.isdigit()]
    if not ages:
        return None
    low, high = ages[0], ages[-1] if len(ages) > 1 else 150
    return next((term for term, (first, last) in _AGES.items() if first <= low and high <= last), None)


def _ages(fitted: SmallAreas) -> dict[str, float]:
    """Share of respondents of each age term; those of bands that lie in several are spread as the others."""
    shares: dict[str, float] = {}
    for code, share in fitted.groups.get("age_band", {}).items():
        term = _term_of(code)
        if term is not None:
            shares[term] = shares.get(term, 0.0) + share
    total = sum(shares.values())
    return {term: share / total for term, share in shares.items()} if total else {"": 1.0}
