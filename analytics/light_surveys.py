"""What surveys of light say of the lamps' model, cell by cell of the map.

A survey's cells are compared with the lamps' model in its own plane, at its own height and in the lamps' state of its
own time, in ln lx. With s the model's own sd, the departure y of cell i is

    y_i = b + g + L(place) + S(place) + e_i

b    what all lamps of the city are wrong by together, variance SHARED s^2
g    what the survey itself is wrong by (its `gain_sd`): a thousand readings do not make it smaller
L    streets: Matern 3/2 of about 150 m, variance v s^2        S    one lamp's pattern: 15 m, variance w s^2
e    the cell's own error: the surveyor's sd, and a spot that stands for a cell

The range of L, v, w and the spot's variance are estimated by marginal likelihood on a subset under log-normal priors
(likelihood.py's way). Only b + L + S is of the map. b + g is estimated by generalised least squares and split by the
variances of its parts. L is kriged with S as noise, counted once for the cells that share it, then what is left is
kriged at the short range. How far the correction follows a change of b + g (kriging a constant 1) gives the variance
that g leaves, so that a survey never becomes surer than its instrument.

Headlights: cells hold medians, and departures that are far off count less (Student's t with four degrees of freedom).
A cell at the end of the instrument ('at least') counts only where the rest expects less than that.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.covariance import Matern
from analytics.kriging import krige_at, krige_cells
from analytics.layers import MEASURED_BY, SIMULATED_BY, Stack, night_number
from analytics.sky import GLOW_LUX, sky_lux
from sensors.reading import empty_records

if TYPE_CHECKING:
    from analytics.surroundings import Surroundings
    from sensors.city import City
    from sensors.light_survey import Terms

SHARED = 0.3  # of the model's variance: lumens, dirt and heights that are assumed alike for all lamps
PATTERN_M = 15.0  # of one lamp: half of what stands between two
GROWTH_PER_DAY = 0.15**2 / 365.25  # dirt of 5 to 10 % a year (sensing.md A2), and lamps exchanged that nobody entered
_STREETS_M = 150.0  # as lux sensors of one street are alike (light_habits.py)
_FREEDOM = 4.0
_AT_LEAST_SD = 0.5  # of a cell that was this bright or brighter
_FLOOR_LUX = 0.05
_SKY_SD = 0.7
_CHANGED = 0.7  # of a cell's light from lamps changed since: a survey says nothing of it any more
_LIT = 0.5
_FIT_POINTS = 240
_LEAST_TO_FIT = 40
_SUM_POINTS = 600
_STREET_POINTS = 20_000  # cells that L is kriged from: one every 30 m of the streets of a large city
_GAUSS = 0.28867513459481287  # a cell's four points, as the map's own cells have them


@dataclass(frozen=True)
class Structure:
    """How departures resemble each other; variances of L and S in units of s^2, of the spot in (ln lx)^2."""

    streets_m: float
    streets: float
    pattern: float
    spot: float

    def local(self, lamps: NDArray[np.float32]) -> NDArray[np.float32]:
        """Variance of L + S in units of s^2, by what of a cell's light is lamps'; the sky has its own error."""
        return np.float32(1) + (np.float32(self.streets + self.pattern) - np.float32(1)) * lamps

    def kappa(self, lamps: NDArray[np.float32]) -> NDArray[np.float32]:
        """The variance of the model over what it says of itself."""
        return self.local(lamps) + np.float32(SHARED) * lamps * lamps


USUAL = Structure(_STREETS_M, 0.6, 0.3, 0.09)


@dataclass(frozen=True)
class Departed:
    """A survey's cells against the lamps' model, (n,): where, y, the model's sd s, own variance, and 'at least'.

    lamps : what of the light that is expected there is lamps', 0..1
    """

    easting: NDArray[np.float64]
    northing: NDArray[np.float64]
    y: NDArray[np.float64]
    s: NDArray[np.float64]
    own: NDArray[np.float64]
    at_least: NDArray[np.bool_]
    lamps: NDArray[np.float64]

    @property
    def lit(self) -> NDArray[np.bool_]:
        """Cells that lamps are expected to light; elsewhere a survey finds what is on no map, and nothing of lamps."""
        return self.lamps >= _LIT

    def only(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> Departed:
        """Some of the cells."""
        return Departed(*(getattr(self, one.name)[keep] for one in fields(self)))


@dataclass(frozen=True)
class Learnt:
    """What a survey says of the map's cells: b + L + S with its variance, and the structure that it was found with."""

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    structure: Structure
    shared: float  # estimate of b + g


def survey_stack(city: City, around: Surroundings, surveyed: list[tuple[Terms, pd.DataFrame]]) -> Stack:
    """All surveys of a city as layers of illuminance beyond the lamps' light."""
    model_sd, from_lamps = lamps_model(around)
    changes = _changes(city, around)
    stack = Stack.empty()
    for terms, table in surveyed:
        seen = departures(around, terms, table, changes)
        if not seen.y.size:
            continue
        learnt = learn(around, seen, terms.gain_sd, model_sd, from_lamps)
        stack = stack.joined(_observation(terms, learnt, model_sd, from_lamps))
    return stack


def lamps_model(around: Surroundings) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sd of ln illuminance by the lamps' model on a night, and what of the light is theirs; (northing, easting)."""
    from analytics.lamp_state import lamp_state
    from analytics.light import lamp_light

    evening = np.datetime64("2026-01-01T00:00", "ms")
    lamps, lamps_sd = lamp_light(around, lamp_state(around, empty_records(0), evening, GLOW_LUX))
    total = lamps + np.float32(GLOW_LUX)
    return (lamps_sd + np.float32(GLOW_LUX * _SKY_SD)) / total, lamps / total


def departures(
    around: Surroundings,
    terms: Terms,
    table: pd.DataFrame,
    changes: NDArray[np.int64] | None = None,
) -> Departed:
    """A survey's cells against the lamps' model in the survey's plane, height and time; those indoors are left out.

    changes : (n_lamps,) the night since which each lamp is as it is, as `hours.evening_of` counts them
    """
    from analytics.hours import evening_of
    from analytics.lamp_state import LampState, lamp_state
    from analytics.light import light_at

    row, column, inside = around.grid.cells(table["easting"].to_numpy(), table["northing"].to_numpy())
    table = table[inside & ~around.indoor[row, column]]
    n = len(table)
    easting, northing = table["easting"].to_numpy(np.float64), table["northing"].to_numpy(np.float64)
    time = table["time"].to_numpy("datetime64[ms]")
    vertical = terms.plane == "vertical"
    expected, weighted, changed, sky_share = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    for moment in np.unique(time):
        at = np.flatnonzero(time == moment)
        sky = sky_lux(moment, around.latitude, around.longitude)
        state = lamp_state(around, empty_records(0), moment, sky)
        sky_here = 0.5 * sky if vertical else sky  # a wall hides half of it
        states = [state]
        if changes is not None:
            later = changes > int(evening_of(np.array([moment]), around.zone)[0])
            if later.any():
                states.append(LampState(np.where(later, state.level, 0.0), state.sd, state.simulated))
        light = [np.zeros(at.size) for _ in states]
        for step_east in (-_GAUSS, _GAUSS):
            for step_north in (-_GAUSS, _GAUSS):
                for i, one in enumerate(states):
                    lamps, lamps_sd = light_at(
                        around,
                        one,
                        easting[at] + step_east * terms.cell_m,
                        northing[at] + step_north * terms.cell_m,
                        np.full(at.size, terms.height_m),
                        np.full(at.size, vertical),
                    )
                    light[i] += 0.25 * lamps
                    if i == 0:
                        weighted[at] += 0.25 * lamps_sd
        expected[at] = light[0] + sky_here
        weighted[at] += sky_here * _SKY_SD
        sky_share[at] = sky_here / expected[at]
        if len(light) > 1:
            changed[at] = light[1] / expected[at]
    lux = table["lux"].to_numpy(np.float64)
    spread = np.nan_to_num(table["spread"].to_numpy(np.float64))
    readings = table["readings"].to_numpy(np.float64)
    own = (terms.sd**2 + np.minimum(spread, 1.0) ** 2 / np.minimum(readings, 5.0)) * (2.0 if vertical else 1.0)
    own += (_FLOOR_LUX / np.maximum(expected, _FLOOR_LUX)) ** 2
    found = Departed(
        easting=easting,
        northing=northing,
        y=np.log((lux + _FLOOR_LUX) / (expected + _FLOOR_LUX)),
        s=np.maximum(weighted / expected, 0.05),
        own=own / (1.0 - np.minimum(changed, _CHANGED)) ** 2,
        at_least=table["at_least"].to_numpy(bool),
        lamps=1.0 - sky_share,
    )
    return found.only(changed < _CHANGED)


def learn(
    around: Surroundings,
    seen: Departed,
    gain_sd: float,
    model_sd: NDArray[np.float32],
    from_lamps: NDArray[np.float32] | float = 1.0,
) -> Learnt:
    """What departures say of every cell of the map.

    model_sd, from_lamps : (northing, easting), sd of the lamps' model, and what of a cell's light is theirs, 0..1
    """
    measured = seen.only(~seen.at_least)
    lit = measured.only(measured.lit)
    structure = fit_structure(lit)
    shared_variance = SHARED * float(np.median(seen.s)) ** 2 + gain_sd**2
    shared, left = _shared(lit, structure, shared_variance) if lit.y.size else (0.0, shared_variance)
    if seen.at_least.any():
        measured = _with_bounds(seen, measured, structure, shared)
    measured = _steadied(measured, structure, shared)
    b_variance = shared_variance - gain_sd**2
    values = measured.y - shared * measured.lamps
    lamps = np.asarray(from_lamps, np.float32)  # where only the sky shines, no lamp is wrong
    mean, variance, follows = _spread_out(around, measured, structure, values, model_sd, lamps)
    # b and b + g given the data: their means, and the variance of from_lamps x b - follows x (b + g)
    b = b_variance / shared_variance
    b_left = b_variance - b * b * (shared_variance - left)
    here = structure.local(lamps) / np.float32(structure.streets + structure.pattern)
    remains = lamps * lamps * np.float32(b_left) + follows * follows * np.float32(left)
    remains -= 2 * lamps * follows * np.float32(b * left)
    return Learnt(
        mean=(mean + lamps * np.float32(b * shared)).astype(np.float32),
        variance=(variance * here + np.maximum(remains, 0)).astype(np.float32),
        structure=structure,
        shared=shared,
    )


def fit_structure(seen: Departed, most: int = _FIT_POINTS) -> Structure:
    """Range and variances of departures by marginal likelihood on blocks of neighbours; the usual ones for a few."""
    if seen.y.size < _LEAST_TO_FIT:
        return USUAL
    part = seen.only(_neighbourhoods(seen, most))
    y, s = part.y - np.median(part.y), part.s
    distance = np.hypot(part.easting[:, None] - part.easting, part.northing[:, None] - part.northing)
    both = s[:, None] * s
    short = both * Matern(1.5, PATTERN_M, 1.0)(distance)
    everywhere = SHARED * both  # what the median left of b + g
    axes = (
        (_STREETS_M * 1.6 ** np.arange(-2, 2), USUAL.streets_m, 1.6),
        (USUAL.streets * 1.8 ** np.arange(-2, 3), USUAL.streets, 1.8),
        (USUAL.pattern * 2.0 ** np.arange(-2, 3), USUAL.pattern, 2.0),
        (USUAL.spot * 2.0 ** np.arange(-1, 4), USUAL.spot, 2.0),
    )
    logs = np.full([len(axis[0]) for axis in axes], -np.inf)
    for i, streets_m in enumerate(axes[0][0]):
        far = both * Matern(1.5, float(streets_m), 1.0)(distance)
        for j, streets in enumerate(axes[1][0]):
            for k, pattern in enumerate(axes[2][0]):
                known = streets * far + pattern * short + everywhere
                for m, spot in enumerate(axes[3][0]):
                    logs[i, j, k, m] = _log_evidence(known, part.own + spot, y)
    for place, (values, usual, factor) in enumerate(axes):
        shape = [1] * len(axes)
        shape[place] = -1
        logs = logs - 0.5 * ((np.log(values / usual) / np.log(factor)) ** 2).reshape(shape)
    weight = np.exp(logs - logs.max())
    weight /= weight.sum()
    found = []
    for place, (values, _, _) in enumerate(axes):
        others = tuple(other for other in range(len(axes)) if other != place)
        found.append(float(np.exp(np.sum(weight.sum(axis=others) * np.log(values)))))
    return Structure(*found)


def _log_evidence(known: NDArray[np.float64], own: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    from scipy.linalg import cholesky, solve_triangular

    lower = cholesky(known + np.diag(own), lower=True, check_finite=False)
    white = solve_triangular(lower, y, lower=True, check_finite=False)
    return float(-0.5 * white @ white - np.sum(np.log(np.diag(lower))))


def _neighbourhoods(seen: Departed, most: int) -> NDArray[np.bool_]:
    """Some whole blocks of 120 m, spread over the survey: near pairs tell the short range, far ones the long."""
    block = np.floor(seen.northing / 120.0) * 1_000_000 + np.floor(seen.easting / 120.0)
    names, place, count = np.unique(block, return_inverse=True, return_counts=True)
    order = np.random.default_rng(0).permutation(names.size)
    taken = order[: max(1, int(np.searchsorted(np.cumsum(count[order]), most)))]
    chosen = np.isin(place, taken)
    if chosen.sum() > most:  # one block of an image holds more
        chosen[np.flatnonzero(chosen)[most:]] = False
    return chosen


def _shared(seen: Departed, structure: Structure, prior: float) -> tuple[float, float]:
    """Estimate of b + g and its variance, by generalised least squares on cells spread over the survey."""
    from scipy.linalg import cho_factor, cho_solve

    pick = np.unique(np.linspace(0, seen.y.size - 1, min(seen.y.size, _SUM_POINTS)).astype(np.int64))
    part = seen.only(pick)
    distance = np.hypot(part.easting[:, None] - part.easting, part.northing[:, None] - part.northing)
    both = part.s[:, None] * part.s
    covariance = both * (
        Matern(1.5, structure.streets_m, structure.streets)(distance)
        + Matern(1.5, PATTERN_M, structure.pattern)(distance)
    )
    scale = structure.pattern * part.s**2 + part.own + structure.spot
    off = (part.y - np.median(part.y)) ** 2 / (scale + structure.streets * part.s**2)
    own = (part.own + structure.spot) * np.maximum(1.0, (_FREEDOM + off) / (_FREEDOM + 1.0))
    factor = cho_factor(covariance + np.diag(own))
    weights = cho_solve(factor, np.ones(pick.size))
    precision = float(weights.sum()) + 1.0 / prior
    return float(weights @ part.y) / precision, 1.0 / precision


def _streets_at(
    seen: Departed, structure: Structure, values: NDArray[np.float64], at: Departed
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """L and its variance at cells of a survey, kriged from lit ones with S and the cells' own errors as noise."""
    some = _thinned(seen)
    few = seen.only(some)
    mean, variance = krige_at(
        few.easting, few.northing, values[some] / few.s, _street_noise(few, structure), at.easting, at.northing,
        Matern(1.5, structure.streets_m, structure.streets),
    )  # fmt: skip
    return mean * at.s, variance * at.s**2


def _street_noise(seen: Departed, structure: Structure) -> NDArray[np.float64]:
    """Noise of each cell for L, in units of s^2: S counts once for all the cells that share it."""
    own = (seen.own + structure.spot) / seen.s**2
    return np.where(seen.lit, structure.pattern * _sharing(seen) + own, np.inf)


def _thinned(seen: Departed) -> NDArray[np.int64]:
    """One cell of each block, the blocks as small as leaves no more than streets need; all cells of a usual drive."""
    every = np.arange(seen.y.size)
    side = 10.0
    while every.size > _STREET_POINTS:
        side *= 1.5
        block = np.floor(seen.northing / side) * 10_000_000 + np.floor(seen.easting / side)
        every = np.sort(np.unique(block, return_index=True)[1])
    return every


def _sharing(seen: Departed) -> NDArray[np.float64]:
    """How many cells, weighed by their correlation in S, share the pattern of each cell; 1 if it stands alone."""
    from scipy.ndimage import convolve

    cell = 10.0
    column = np.floor((seen.easting - seen.easting.min()) / cell).astype(np.int64)
    row = np.floor((seen.northing - seen.northing.min()) / cell).astype(np.int64)
    present = np.zeros((int(row.max()) + 1, int(column.max()) + 1), np.float32)
    np.add.at(present, (row, column), np.float32(1))
    offset = np.arange(-5, 6) * cell
    near = Matern(1.5, PATTERN_M, 1.0)(np.hypot(offset[:, None], offset))
    count = convolve(present, near.astype(np.float32), mode="constant")
    return np.asarray(np.maximum(count[row, column], 1.0), np.float64)


def _with_bounds(seen: Departed, measured: Departed, structure: Structure, shared: float) -> Departed:
    """The cells with those 'at least' ones that the rest expects to be darker than they were."""
    bounds = seen.only(seen.at_least)
    expected = shared * bounds.lamps
    if measured.y.size:
        expected = expected + _streets_at(measured, structure, measured.y - shared * measured.lamps, bounds)[0]
    wide = replace(bounds, own=bounds.own + _AT_LEAST_SD**2).only(bounds.y > expected)
    return Departed(*(np.concatenate([getattr(measured, one.name), getattr(wide, one.name)]) for one in fields(wide)))


def _steadied(seen: Departed, structure: Structure, shared: float) -> Departed:
    """The cells with those far off from their streets counting less."""
    if not 0 < seen.y.size <= _STREET_POINTS:  # an image has no headlights, and its outliers a million neighbours
        return seen
    values = seen.y - shared * seen.lamps
    expected, variance = _streets_at(seen, structure, values, seen)
    scale = structure.pattern * seen.s**2 + seen.own + structure.spot
    off = ((values - expected) ** 2 + variance) / scale
    less = np.where(seen.lit, np.maximum(1.0, (_FREEDOM + off) / (_FREEDOM + 1.0)), 1.0)
    return replace(seen, own=(seen.own + structure.spot) * less - structure.spot)


def _spread_out(
    around: Surroundings,
    seen: Departed,
    structure: Structure,
    values: NDArray[np.float64],
    model_sd: NDArray[np.float32],
    lamps: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """L + S on the map with its variance, and how far it follows what all lamps share; (northing, easting)."""
    grid = around.grid
    streets = Matern(1.5, structure.streets_m, structure.streets)
    if not seen.y.size:
        none = np.zeros(grid.shape, np.float32)
        return none, np.float32(structure.streets + structure.pattern) * model_sd**2, none
    some = _thinned(seen)
    few = seen.only(some)
    noise = _street_noise(few, structure)

    def far(z: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        mean, variance = krige_cells(
            few.easting, few.northing, z[some] / few.s, noise, grid.easting, grid.northing, streets
        )
        taken = np.float32(structure.streets) - variance
        return mean * model_sd * lamps, (np.float32(structure.streets) - taken * lamps * lamps) * model_sd**2

    row, column, _ = grid.cells(seen.easting, seen.northing)
    mean, variance = far(values)
    follows, _ = far(seen.lamps)
    # what is left there: S, and what L is still unsure of, together at the short range
    rest = np.sqrt(variance + np.float32(structure.pattern) * model_sd**2)
    rest_here = rest[row, column].astype(np.float64)
    own = (seen.own + structure.spot) / rest_here**2
    near = Matern(1.5, PATTERN_M, 1.0)

    def short(z: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if some.size == seen.y.size:
            return krige_cells(seen.easting, seen.northing, z / rest_here, own, grid.easting, grid.northing, near)
        # an image says something of each cell itself; that its neighbours are alike is left to its stated error
        mean, variance = np.zeros(grid.shape, np.float32), np.ones(grid.shape, np.float32)
        mean[row, column], variance[row, column] = z / rest_here / (1.0 + own), own / (1.0 + own)
        return mean, variance

    more, share = short(values - mean[row, column])
    followed, _ = short(seen.lamps - follows[row, column])
    return mean + more * rest, share * rest**2, np.clip(follows + followed * rest, 0, 1)


def _observation(terms: Terms, learnt: Learnt, model_sd: NDArray[np.float32], from_lamps: NDArray[np.float32]) -> Stack:
    """What a survey says as an observation of each cell: what turns the prior of its model into what was learnt."""
    kappa = learnt.structure.kappa(from_lamps)
    prior = kappa * model_sd**2
    precision = 1.0 / learnt.variance - 1.0 / prior
    says = precision > 1e-3 / prior
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(says, learnt.mean / (learnt.variance * precision), np.nan)
        variance = np.where(says, 1.0 / precision, np.inf)
    return Stack(
        value=value.astype(np.float32)[np.newaxis],
        variance=variance.astype(np.float32)[np.newaxis],
        growth=np.array([GROWTH_PER_DAY]),
        night=np.array([night_number(terms.last)], np.int64),
        valid_from=np.array([-4_000_000], np.int64),
        valid_to=np.array([4_000_000], np.int64),
        by=np.array([SIMULATED_BY if terms.origin == "simulated" else MEASURED_BY], np.int64),
        kappa=kappa,
    )


def _changes(city: City, around: Surroundings) -> NDArray[np.int64]:
    """Since which night each lamp of `around` is as it is: installed then, or last worked on by the journal."""
    from sensors.journal import read_journal

    since = np.full(around.lamps.lamp.size, -4_000_000, np.int64)
    place = {name: index for index, name in enumerate(around.lamps.lamp.tolist())}
    table = city.places("lamps")
    for name, text in zip(table["lamp"].astype(str), table["installed"].fillna("").astype(str), strict=True):
        if name in place and (night := _year_or_day(text)) is not None:
            since[place[name]] = night
    journal = read_journal(city)
    done = journal[journal["kind"].isin(("works", "measure")) & (journal["status"] == "done")]
    for names, start, end in zip(done["lamps"], done["start_time"], done["end_time"], strict=True):
        moment = start if pd.isna(end) else end
        night = int(np.datetime64(moment, "D").astype(np.int64))
        for name in str(names).split(";"):
            if name in place:
                since[place[name]] = max(since[place[name]], night)
    return since


def _year_or_day(text: str) -> int | None:
    """The night that '2019-06-01', '2019-06' or '2019' begins with; None for what is no date."""
    for whole in (text[:10], f"{text}-01", f"{text}-01-01"):
        try:
            return night_number(whole) if whole else None
        except ValueError:
            continue
    return None
