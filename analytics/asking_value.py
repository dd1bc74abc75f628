"""What asking at each street section would be worth: how many people pass there at night times how unsure its map is.

Unsure is the variance of the place's own effect: what coefficients and sensors leave open is shared by the whole city
and does not shrink for asking here rather than there. Nothing of the estimate itself goes in, so the order of places
says nothing about how safe anyone feels there. Only answers that have joined ten people at a time stand behind the
variance (`release.settled`), so whoever compares two lists learns of ten people's answers or of none.

What n people asked at a place take away is the update of a Gaussian with covariance sqrt(v_i v_j) M(d_ij), M the
Matérn-5/2 correlation at the model's own length, and noise (1 + person variance) / (0.86 n): four categories keep 86 %
of what the latent scale would tell (perception.md 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import geopandas
import numpy as np
import numpy.typing as npt
import shapely

from analytics import covariates
from analytics.fields import fields_at
from analytics.footfall import footfall_field
from analytics.place_effect import CELL_M, PlaceEffect
from analytics.surroundings import Surroundings
from sensors.city import City
from sensors.errors import ModelError
from sensors.night import Night
from sensors.reading import empty_records

if TYPE_CHECKING:
    import xarray as xr

    from analytics.knowledge import Knowledge
    from analytics.release import Support
    from analytics.response import Perception

Floats = npt.NDArray[np.float64]

LENGTH_M = 300.0  # of a city that has no model of places yet
INFORMATION = 0.86  # of the latent scale in an answer of four categories
_ALIKE_M = 50.0  # a place within this of one that was asked about is of its kind
EVERY = 8  # steps of a quarter of an hour: a night in five looks


@dataclass(frozen=True)
class Asking:
    """The street sections of a city as places to ask at.

    sections : GeoDataFrame of their middles, columns `section`, `name`; footfall : (n,) persons/h, mean of the night
    variance : (n,) of the place's own effect, latent scale; length_m : of its Matérn-5/2 correlation
    fields : of the busiest look at the night; late : 0 to 1, how much of the late effect counts in the mean
    """

    city: City
    surroundings: Surroundings
    perception: Perception
    support: Support
    digest: str
    night: str
    sections: geopandas.GeoDataFrame
    footfall: Floats
    variance: Floats
    length_m: float
    late: float
    fields: xr.Dataset
    cell_footfall: Floats
    points: Floats = field(default_factory=lambda: np.zeros((0, 2)))

    @property
    def value(self) -> Floats:
        """Footfall times variance of each section, before anyone is asked."""
        return self.footfall * self.variance


def asking_value(city: City) -> Asking:
    """What asking at each street section would be worth, by the city's current model; by its priors without one."""
    from analytics.surroundings import surroundings

    around = surroundings(city)
    perception, knowledge, support, digest, night = _known(city, around)
    looks = night.steps(*around.window, around.step_minutes)[::EVERY]
    late = covariates.late(looks, city.zone)
    rates = np.stack([_footfall(around, knowledge, step) for step in looks])
    middle = float(np.average(late, weights=rates.sum(axis=(1, 2)) + 1e-9))
    sections, points = _sections(city)
    row, column, _ = around.grid.cells(points[:, 0], points[:, 1])
    mean = rates.mean(axis=0)
    variance = perception.own.at(middle).variance[_cell_of(perception.own, points)]
    return Asking(
        city=city,
        surroundings=around,
        perception=perception,
        support=support,
        digest=digest,
        night=night.name,
        sections=sections,
        footfall=mean[row, column],
        variance=variance,
        length_m=_length(perception),
        late=middle,
        fields=fields_at(around, knowledge, empty_records(), looks[int(np.argmax(rates.sum(axis=(1, 2))))]),
        cell_footfall=np.where(around.street & ~around.indoor, mean, 0.0),
        points=points,
    )


class Unsureness:
    """The variance of places as people are asked one place after the other."""

    def __init__(self, points: Floats, variance: Floats, length_m: float, person_variance: float) -> None:
        self.points = points
        self.before = variance
        self.variance = variance.copy()
        self.length_m = length_m
        self.person_variance = person_variance
        self._factors: list[Floats] = []

    def ask(self, at: int, people: int) -> None:
        """Take away what the answers of so many people, one at least, tell at one of the places."""
        distance = np.hypot(*(self.points - self.points[at]).T)
        covariance = np.sqrt(self.before * self.before[at]) * matern(distance / self.length_m)
        for factor in self._factors:
            covariance = covariance - factor * factor[at]
        noise = (1 + self.person_variance) / (INFORMATION * people)
        factor = covariance / np.sqrt(max(float(covariance[at]), 0.0) + noise)
        self._factors.append(factor)
        self.variance = np.maximum(self.variance - factor**2, 0.0)


def matern(scaled: Floats) -> Floats:
    """Matérn-5/2 correlation at distances in lengths.

    >>> matern(np.array([0.0])).tolist()
    [1.0]
    """
    a = np.sqrt(5) * scaled
    correlation: Floats = (1 + a + a**2 / 3) * np.exp(-a)
    return correlation


def expected_map(asking: Asking, asked: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    """Which cells would be shown had (section row, people) been asked besides, (northing, easting) bool.

    The rule of release itself says it, on a model whose places are as much surer and whose support is as much wider.
    In a city where nobody answered yet it says where enough people would have been asked.
    """
    support = replace(
        asking.support, size_m=_wider(asking, asked), effective_n=_more_people(asking, asked, asking.support)
    )
    if asking.perception.silent:
        size = support.on(asking.fields.northing.to_numpy(), asking.fields.easting.to_numpy())
        return np.asarray((size > 0) & ~asking.surroundings.indoor, bool)
    from analytics.perception import fuse
    from analytics.release import release

    surer = replace(asking.perception, own=_surer(asking, asked))
    page = release(_known_there(asking, fuse(asking.fields, surer, asking.city), asked), support, asking.city)
    return np.asarray(np.isfinite(page["safety"].to_numpy()[0]), bool)


def shown_share(asking: Asking, shown: npt.NDArray[np.bool_]) -> float:
    """The part of the night's footfall on streets that passes cells that are shown, 0 to 1."""
    total = float(asking.cell_footfall.sum())
    return float(asking.cell_footfall[shown].sum()) / total if total > 0 else 0.0


def _known(city: City, around: Surroundings) -> tuple[Perception, Knowledge, Support, str, Night]:
    """The current model; without one what earlier nights taught and nobody's answers."""
    from analytics.model import current_model, load_model

    try:
        current_model(city)
    except ModelError:
        from analytics.fitting import fit_perception
        from analytics.knowledge import learn
        from analytics.release import Support
        from sensors.answer import empty_answers
        from sensors.clock import city_clock
        from sensors.night import night_of

        night = night_of(city_clock(city.path).now(), city.zone)
        knowledge = learn(city, before=night)
        first = Night.named("2000-01-02", city.zone)  # before any answer
        perception = fit_perception(city, around, knowledge, before=first)
        return perception, knowledge, Support.of(empty_answers(), around.grid, around.indoor), "", night
    model = load_model(city)  # one that is there and cannot be read is refused
    return model.perception, model.knowledge, model.support, model.digest, Night.named(model.night, city.zone)


def _footfall(around: Surroundings, knowledge: Knowledge, step: np.datetime64) -> Floats:
    """Persons/h to expect in a step, 0 where it is not known."""
    found = footfall_field(around, knowledge.footfall, knowledge.coefficients, empty_records(), step)
    return np.nan_to_num(found.rate.astype(np.float64))


def _sections(city: City) -> tuple[geopandas.GeoDataFrame, Floats]:
    """The middles of the street sections within the grid, to which answers are coarsened."""
    table, grid = city.places("sections"), city.settings.grid
    middles = shapely.line_interpolate_point(table.geometry.to_numpy(), 0.5, normalized=True)
    points: Floats = shapely.get_coordinates(middles)
    inside = (points[:, 0] >= grid.west) & (points[:, 0] < grid.east)
    inside &= (points[:, 1] >= grid.south) & (points[:, 1] < grid.north)
    if not inside.any():
        raise ModelError(f"{city.name} has no street section within its grid; build the city again")
    names = table["name"].fillna("").astype(str).to_numpy()[inside]
    columns = {"section": table["section"].to_numpy()[inside], "name": names}
    return geopandas.GeoDataFrame(columns, geometry=middles[inside], crs=city.crs), points[inside]


def _cell_of(own: PlaceEffect, points: Floats) -> npt.NDArray[np.intp]:
    """The 50 m cell of each point, as `PlaceEffect.at` orders them."""
    rows, columns = own.mean_u.shape
    row = np.clip(np.floor((points[:, 1] - own.south) / CELL_M), 0, rows - 1).astype(np.intp)
    column = np.clip(np.floor((points[:, 0] - own.west) / CELL_M), 0, columns - 1).astype(np.intp)
    return np.asarray(row * columns + column, np.intp)


def _length(perception: Perception) -> float:
    """The model's mean length; of one that knows no places the usual one."""
    if not perception.nodes:
        return LENGTH_M
    weight = np.array([node[2] for node in perception.nodes], np.float64)
    length = np.array([node[0] for node in perception.nodes], np.float64)
    return float(np.average(length, weights=weight)) if weight.sum() > 0 else LENGTH_M


def _surer(asking: Asking, asked: Sequence[tuple[int, int]]) -> PlaceEffect:
    """The place effect as sure as it would be; its late part is as much surer as its part at all hours."""
    own = asking.perception.own
    rows, columns = own.mean_u.shape
    east = own.west + (np.arange(columns) + 0.5) * CELL_M
    north = own.south + (np.arange(rows) + 0.5) * CELL_M
    cells = np.column_stack([np.tile(east, rows), np.repeat(north, columns)])
    before = own.at(asking.late).variance
    at = asking.points[[row for row, _ in asked]].reshape(-1, 2)
    where = np.concatenate([cells, at])
    known = np.concatenate([before, before[_cell_of(own, at)]])
    unsure = Unsureness(where, known, asking.length_m, own.person_variance)
    for number, (_, people) in enumerate(asked):
        unsure.ask(len(cells) + number, people)
    left = unsure.variance[: len(cells)] / np.maximum(before, 1e-12)
    kept = left.reshape(rows, columns).astype(np.float32)
    return replace(
        own,
        variance_u=own.variance_u * kept,
        variance_v=own.variance_v * kept,
        covariance_uv=own.covariance_uv * kept,
        across_u=own.across_u * kept[..., None],
        across_v=own.across_v * kept[..., None],
    )


def _more_people(asking: Asking, asked: Sequence[tuple[int, int]], support: Support) -> npt.NDArray[np.float32] | None:
    """`Support.effective_n` with those asked besides, who count for all cells within a range of twice the length."""
    if support.effective_n is None:
        return None
    rows, columns = support.size_m.shape
    east = support.west + (np.arange(columns) + 0.5) * support.cell_m
    north = support.south + (np.arange(rows) + 0.5) * support.cell_m
    more = support.effective_n.copy()
    for row, people in asked:
        e, n = asking.points[row]
        more[np.hypot(north[:, None] - n, east[None, :] - e) <= 2 * asking.length_m] += np.float32(people)
    return more


def _known_there(asking: Asking, fused: xr.Dataset, asked: Sequence[tuple[int, int]]) -> xr.Dataset:
    """The map of a step where the places asked are no longer unlike all that was asked about."""
    if "safety_beyond" not in fused:
        return fused
    beyond = fused["safety_beyond"].to_numpy().copy()
    for row, _ in asked:
        e, n = asking.points[row]
        away = np.hypot(fused.northing.to_numpy()[:, None] - n, fused.easting.to_numpy()[None, :] - e)
        beyond[:, away <= _ALIKE_M] = 0
    return fused.assign(safety_beyond=(fused["safety_beyond"].dims, beyond))


def _wider(asking: Asking, asked: Sequence[tuple[int, int]]) -> npt.NDArray[np.uint16]:
    """`Support.size_m` with enough people asked at some places: each of the nested cells around a place holds them."""
    from analytics.release import SUPPORT_SIZES_M

    support = asking.support
    size = support.size_m.copy()
    rows, columns = size.shape
    east = support.west + (np.arange(columns) + 0.5) * support.cell_m
    north = support.south + (np.arange(rows) + 0.5) * support.cell_m
    least = asking.city.settings.release.minimum_people
    for row, people in asked:
        if people < least:
            continue
        for side in reversed(SUPPORT_SIZES_M):
            e, n = np.floor(asking.points[row] / side)
            inside = (np.floor(north / side) == n)[:, None] & (np.floor(east / side) == e)[None, :]
            size[inside & ((size == 0) | (size > side))] = int(side)
    return size
