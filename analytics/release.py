"""The one gate between what is computed and what anyone sees (DESIGN 3, perception.md 6).

Perceived safety leaves per 50 m cell (public: 200 m or more), never inside a building, as whole numbers of 100. A
cell's *support* is the smallest of its fixed, disjoint, nested cells (50, 100, 200, 400 m) in which at least 10 people
answered, none of them with more than 30 % of the weight. Without support, or with too little evidence, it is hatched.

Answers join what is said of their own place (support, and the place's own effect on the map) ten people at a time: in
each 400 m cell, answers wait until ten people have given some since the last ones joined. So the maps of two days
differ around a place by nobody's answers or by those of ten people, and never by one person's.

Counts and shares of answers themselves leave by one plan over cells, zooms, windows and groups: `release_plan`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy.special import ndtr, ndtri

from analytics.grid import Grid
from analytics.squares import Squares, cells_of
from analytics.views import GAP, GROUP, HATCHED, OF, RESIDENTS, REST, SHOWN
from sensors.city import City, ReleaseSettings
from sensors.errors import ModelError
from sensors.night import nights_of

Floats = npt.NDArray[np.float64]

SUPPORT_SIZES_M = (50.0, 100.0, 200.0, 400.0)
MANTISSA_BITS = 10
_CHANGE = ("safety_change", "safety_change_low", "safety_change_high")  # what a scenario would change
_OF_SAFETY = (
    "safety",
    "safety_sd",
    "safety_score",
    "goes_light",
    "goes_people",
    "goes_noise",
    "goes_hour",
    "goes_presence",
    "goes_view",
    *_CHANGE,
)
_WHOLE = ("safety", "safety_sd")
_DIMENSIONS = ("time", "northing", "easting")


def round_mantissa(array: npt.NDArray[Any], bits: int = MANTISSA_BITS) -> npt.NDArray[Any]:
    """Floats with all but `bits` bits of their mantissa rounded away, to even; NaN, infinities and zeros stay.

    >>> round_mantissa(np.array([1.0, 1.0004, 1234.567], np.float32))
    array([1.000e+00, 1.000e+00, 1.235e+03], dtype=float32)
    """
    kinds: dict[Any, tuple[Any, int]] = {np.dtype("f4"): (np.uint32, 23), np.dtype("f8"): (np.uint64, 52)}
    if array.dtype not in kinds:
        return array
    unsigned, mantissa = kinds[array.dtype]
    shift = unsigned(mantissa - bits)
    if shift == 0:
        return array.copy()
    one = unsigned(1)
    raw = np.ascontiguousarray(array).view(unsigned)
    half = (one << (shift - one)) - one
    rounded = (raw + half + ((raw >> shift) & one)) >> shift << shift
    return np.where(np.isfinite(array), rounded.view(array.dtype), array)


@dataclass(frozen=True)
class Support:
    """Where enough people answered, laid out once at the fit.

    west, south : metres, corner of the first cell; size_m : (n_northing, n_easting) u2 on 50 m cells, side of the
    smallest nested cell with enough people, 0 where there is none; indoor : (northing, easting) bool on the grid
    """

    west: float
    south: float
    cell_m: float
    size_m: npt.NDArray[np.uint16]
    indoor: npt.NDArray[np.bool_]
    # Of a city where nobody answered: the 50 m cells of areas that a published share is of. None elsewhere.
    shares: npt.NDArray[np.bool_] | None = None
    # (n_northing, n_easting) f4 on 50 m cells: people who answered within a range; without it nothing is too old.
    effective_n: npt.NDArray[np.float32] | None = None
    # `size_m` of single groups and, as 'not_' of them, of those that they are compared with.
    groups: Mapping[str, npt.NDArray[np.uint16]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, answers: pd.DataFrame, grid: Grid, indoor: npt.NDArray[np.bool_], *, people: int = 10, share: float = 0.30
    ) -> Support:
        """Lay out the support of a city from its answers.

        people : fewest people a cell needs; share : largest part of the weight that one of them may carry
        """
        cell = SUPPORT_SIZES_M[0]
        west, south = np.floor(grid.west / cell) * cell, np.floor(grid.south / cell) * cell
        columns = int(np.ceil((grid.west + grid.shape[1] * grid.cell_m - west) / cell))
        rows = int(np.ceil((grid.south + grid.shape[0] * grid.cell_m - south) / cell))
        easting, northing = west + (np.arange(columns) + 0.5) * cell, south + (np.arange(rows) + 0.5) * cell
        size = np.zeros((rows, columns), np.uint16)
        for side in reversed(SUPPORT_SIZES_M):
            kept = {key for key, group in _by_cell(answers, side) if enough(group, people, share)}
            if kept:
                keys_n, keys_e = np.floor(northing / side).astype(int), np.floor(easting / side).astype(int)
                inside = np.array([[(int(n), int(e)) in kept for e in keys_e] for n in keys_n])
                size[inside] = int(side)
        return cls(float(west), float(south), cell, size, np.asarray(indoor, bool))

    def on(self, grid_northing: Floats, grid_easting: Floats) -> npt.NDArray[np.uint16]:
        """`size_m` at cell centres, (n_northing, n_easting)."""
        row, column = self.lattice(grid_northing, grid_easting)
        return self.size_m[np.ix_(row, column)]

    def on_grid(self, values: npt.NDArray[Any] | None, grid_northing: Floats, grid_easting: Floats) -> npt.NDArray[Any]:
        """Values of 50 m cells at cell centres, (n_northing, n_easting); infinite where there are none."""
        if values is None:
            return np.full((len(grid_northing), len(grid_easting)), np.inf)
        return np.asarray(values[np.ix_(*self.lattice(grid_northing, grid_easting))])

    def lattice(self, grid_northing: Floats, grid_easting: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Row and column of the 50 m cell of each cell centre."""
        row = np.floor((grid_northing - self.south) / self.cell_m).astype(np.intp)
        column = np.floor((grid_easting - self.west) / self.cell_m).astype(np.intp)
        if row.min() < 0 or column.min() < 0 or row.max() >= len(self.size_m) or column.max() >= self.size_m.shape[1]:
            raise ModelError("the model was fitted for another grid; run 'noctule fit' again")
        return row, column

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and arrays."""
        plain = {
            "west": self.west,
            "south": self.south,
            "cell_m": self.cell_m,
            "size_m": self.size_m,
            "indoor": self.indoor,
        }
        if self.shares is not None:
            plain["shares"] = self.shares
        if self.effective_n is not None:
            plain["effective_n"] = self.effective_n
        return plain | {"groups": dict(self.groups)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Support:
        """What `to_dict` gave."""
        return cls(**content)


def release(fields: xr.Dataset, support: Support, city: City) -> xr.Dataset:
    """What may leave of a step: fields as they are, perceived safety by the rule above.

    fields : what `perception.fuse` gave, dims (time, northing, easting)
    """
    layers = {str(name): fields.variables[name] for name in fields.data_vars}
    out = {name: _rounded(layer) for name, layer in layers.items() if not _about_safety(name)}
    if "safety" in layers:
        about = {name: layer for name, layer in layers.items() if _about_safety(name)}
        out |= _safety(about, fields.northing.to_numpy(), fields.easting.to_numpy(), support, city.settings.release)
    return xr.Dataset(out, fields.coords, fields.attrs)


def _safety(
    layers: Mapping[str, xr.Variable], northing: Floats, easting: Floats, support: Support, rule: ReleaseSettings
) -> dict[str, xr.Variable]:
    """What is said of how safe people feel; a layer that no rule is written for stays behind."""
    names = [name for name in _OF_SAFETY if name in layers]
    size = support.on(northing, easting)
    outdoors = np.isfinite(layers["safety"].to_numpy()) & ~support.indoor[None]
    # sd of a mean of cells that share their uncertainty almost wholly is the mean of their sd
    squares = _released_squares(northing, easting, rule.cell_m, support)
    means = _cell_means(layers, (*names, "safety_evidence"), outdoors, squares)
    why = _hatched(layers, means["safety_evidence"], support, rule, northing, easting)
    if support.shares is not None:  # a published share is of many and hides nobody; its streets are told as a model's
        why = np.where(support.shares[np.ix_(*support.lattice(northing, easting))][None], SHOWN, why)
    shown = outdoors & (why == SHOWN)
    out = {}
    for name in names:
        mean, attributes = means[name], dict(layers[name].attrs)
        if name in _WHOLE:
            mean, attributes["units"] = np.rint(mean * 100), "1/100"
        elif name == "safety_score":
            mean = np.round(mean, 1)
        out[name] = _variable(np.where(shown, mean, np.nan), attributes)
    out["safety"].attrs |= {
        "cell_m": rule.cell_m,
        "hatched": "NaN outdoors: too few people answered nearby, or too little evidence"
        if support.shares is None
        else "NaN outdoors: nobody answered and no published share is of this area",
    }
    evidence = np.where(
        outdoors, _evidence_told(layers["safety_evidence"].to_numpy(), outdoors, size, northing, easting), np.nan
    )
    out["safety_evidence"] = _variable(evidence, layers["safety_evidence"].attrs)
    sure = np.rint(100 * exceedance(_told(means["safety"]), _told(means["safety_sd"])))
    out["safety_exceeds"] = _variable(
        np.where(shown, np.clip(sure, 1, 99), np.nan),  # nothing of a model is certain
        {"units": "1/100", "long_name": "probability that more than half of the people feel safe"},
    )
    if support.effective_n is not None:
        n = _people_told(support.on_grid(support.effective_n, northing, easting))
        out["safety_n"] = _variable(
            np.where(shown, n[None], np.nan),
            {"units": "1", "long_name": "people who answered around, each once and older answers less; at least"},
        )
    out["safety_hatched"] = xr.Variable(
        _DIMENSIONS,
        np.where(outdoors, why, SHOWN).astype(np.uint8),
        {"long_name": "why nothing is said", "flag_values": list(HATCHED.values()), "flag_meanings": " ".join(HATCHED)},
    )
    out |= _of_groups(layers, shown, support, northing, easting)
    out["safety_support"] = xr.Variable(
        _DIMENSIONS,
        np.where(outdoors, size[None], 0).astype(np.uint16),
        {"units": "m", "long_name": "side of the smallest cell in which enough people answered; 0: none"},
    )
    return out


def _hatched(
    layers: Mapping[str, xr.Variable],
    evidence: Floats,
    support: Support,
    rule: ReleaseSettings,
    northing: Floats,
    easting: Floats,
) -> npt.NDArray[np.uint8]:
    """Why a cell is hatched, the first reason that holds; SHOWN where none does."""
    n = support.on_grid(support.effective_n, northing, easting)
    beyond = layers["safety_beyond"].to_numpy() > 0 if "safety_beyond" in layers else np.zeros(evidence.shape, bool)
    reasons = (
        (np.broadcast_to(support.on(northing, easting) == 0, evidence.shape), "too_few_people"),
        (np.broadcast_to(n < rule.minimum_people, evidence.shape), "answers_too_old"),
        (beyond, "unlike_any_answer"),
        (~(evidence >= rule.minimum_evidence), "too_little_evidence"),
    )
    return np.select([where for where, _ in reasons], [HATCHED[name] for _, name in reasons], SHOWN).astype(np.uint8)


def _of_groups(
    layers: Mapping[str, xr.Variable],
    shown: npt.NDArray[np.bool_],
    support: Support,
    northing: Floats,
    easting: Floats,
) -> dict[str, xr.Variable]:
    """Views of single groups where enough people of the group answered, gaps where enough of both did."""
    out = {}
    for name in (name for name in layers if name.startswith(OF)):
        view = name.removeprefix(OF).removesuffix("_sd")
        group = view.removeprefix(GAP)
        if view != RESIDENTS and group not in GROUP:
            continue  # no rule is written for it
        where = shown
        if view != RESIDENTS:
            for one in (group, REST + group) if view.startswith(GAP) else (group,):
                size = support.groups.get(one, np.zeros_like(support.size_m))
                where = where & (support.on_grid(size, northing, easting) > 0)[None]
        attributes = dict(layers[name].attrs) | {"units": "1/100"}
        out[name] = _variable(np.where(where, np.rint(100 * layers[name].to_numpy()), np.nan), attributes)
    return out


def exceedance(share: Floats, sd: Floats, than: float = 0.5) -> Floats:
    """Probability that the share of people who feel safe is above another, from its mean and sd.

    On the probit scale, where P = Phi(m / s) of one class of people has sd phi(m / s) sd_m / s: what
    Phi((m - s Phi^-1(c)) / sd_m) says there (perception.md 3), to the order of the delta rule for a mix of classes.
    """
    held = np.clip(share, 1e-6, 1 - 1e-6)
    z = ndtri(held)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = ndtr((z - ndtri(than)) * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) / np.maximum(sd, 1e-9))
    return np.asarray(np.where(np.isnan(share), np.nan, found))


def effective_people(answers: pd.DataFrame, count: Floats, support: Support, range_m: float) -> npt.NDArray[np.float32]:
    """People who answered within a range of each 50 m cell, each at most once and older answers less, (rows, columns).

    count : (n,) what each answer counts
    """
    from scipy.signal import fftconvolve  # takes a second to load, and only a fit needs it

    side = support.cell_m
    total = np.zeros(support.size_m.shape)
    if len(answers):
        whole = pd.Series(count).groupby(answers["pseudonym"].to_numpy()).transform("sum").to_numpy()
        row = np.floor((answers["northing"].to_numpy(np.float64) - support.south) / side).astype(np.intp)
        column = np.floor((answers["easting"].to_numpy(np.float64) - support.west) / side).astype(np.intp)
        np.add.at(total, (row, column), count / np.maximum(whole, 1.0))
    reach = int(range_m / side)
    away = np.arange(-reach, reach + 1)
    disc = (np.hypot(away[:, None], away[None, :]) * side <= range_m).astype(np.float64)
    around: npt.NDArray[np.float32] = np.maximum(fftconvolve(total, disc, mode="same"), 0).round(3).astype(np.float32)
    return around


def _told(share: Floats) -> Floats:
    """A share as it is told, so that what is made from it says no more than it does."""
    return np.asarray(np.rint(100 * share) / 100)


def _people_told(people: npt.NDArray[np.float32]) -> Floats:
    """Counts of people as they are told: the last of 10, 20, 50, 100, 200, 500 and 1,000 that is reached."""
    steps = np.array([0.0, 10, 20, 50, 100, 200, 500, 1000])
    return steps[np.searchsorted(steps, np.nan_to_num(people), side="right") - 1]


def _evidence_told(
    evidence: npt.NDArray[Any],
    outdoors: npt.NDArray[np.bool_],
    size: npt.NDArray[np.uint16],
    northing: Floats,
    easting: Floats,
) -> Floats:
    """Evidence as the mean over each cell's support, in steps of 0.05; NaN without support.

    In finer cells it would show where somebody answered: one answer of one person raises it around them by 0.02.
    """
    told = np.full(evidence.shape, np.nan)
    for side in SUPPORT_SIZES_M:
        here = size == int(side)
        if here.any():
            squares = Squares.of_side(northing, easting, side)
            told[:, here] = squares.back(squares.mean(evidence, outdoors))[:, here]
    return np.round(told * 20) / 20


def settled(answers: pd.DataFrame, zone: ZoneInfo, *, people: int = 10, share: float = 0.30) -> npt.NDArray[np.bool_]:
    """Which answers count for what is said of their own place, (n,) bool: they join enough people at a time.

    Whole nights at once, in their order, so that a later answer changes nothing about those before it; an erased one,
    or one brought in for a past night, may move the nights at which its cell was joined.
    """
    joined = np.zeros(len(answers), bool)
    night = nights_of(answers["time"].to_numpy().astype("datetime64[ms]"), zone)
    numbered = answers.assign(number=np.arange(len(answers)), night=night)
    for _, group in _by_cell(numbered, SUPPORT_SIZES_M[-1]):
        begun = None
        for day in np.unique(group["night"]):
            begun = day if begun is None else begun
            waiting = group[(group["night"] >= begun) & (group["night"] <= day)]
            if enough(waiting, people, share):
                joined[waiting["number"]] = True
                begun = None
    return joined


def joining(answers: pd.DataFrame, joined: frozenset[str], *, people: int = 10, share: float = 0.30) -> frozenset[str]:
    """Response ids of tonight's answers that speak of their own place on `now`: enough people's at a time.

    Those that do already, and in each 400 m cell all that wait once they are enough. By when they came, not by when
    they were given, since phones send later what was answered earlier.
    """
    found = set(joined)
    waiting = answers[~answers["response_id"].isin(joined)]
    for _, group in _by_cell(waiting, SUPPORT_SIZES_M[-1]):
        if enough(group, people, share):
            found |= set(group["response_id"])
    return frozenset(found)


def public(dataset: xr.Dataset, now: np.datetime64, city: City) -> xr.Dataset:
    """What anyone may see of a released night at `now` (UTC, city time): steps older than the delay, coarsened."""
    rule = city.settings.release
    delay = np.timedelta64(round(max(rule.public_delay_hours, 24.0) * 3_600_000), "ms")
    step = np.timedelta64(city.settings.night.step_minutes, "m")
    starts = dataset["time"].to_numpy().astype("datetime64[ms]")
    old = dataset.isel(time=np.flatnonzero(starts + step <= now.astype("datetime64[ms]") - delay))
    return coarsen(old, city)


def coarsen(dataset: xr.Dataset, city: City) -> xr.Dataset:
    """Released pages in cells of at least 200 m: means of what is shown, of energy where the unit is dB."""
    side = max(city.settings.release.public_cell_m, 200.0)
    row, northing = cells_of(dataset.northing.to_numpy(), side)
    column, easting = cells_of(dataset.easting.to_numpy(), side)
    squares = Squares(row, column)
    coords = {
        "time": dataset["time"],
        "northing": ("northing", northing, dict(dataset.northing.attrs)),
        "easting": ("easting", easting, dict(dataset.easting.attrs)),
    }
    out = xr.Dataset(coords=coords, attrs={**dataset.attrs, "level": "public", "cell_m": side})
    for name, variable in dataset.data_vars.items():
        values = variable.to_numpy()
        if name == "safety_n":
            continue  # steps of counts are not means
        if values.dtype.kind == "f" and not str(name).endswith("_nearest"):
            decibel = variable.attrs.get("units", "").startswith("dB") and not str(name).endswith("_sd")
            values = values.astype(np.float64)
            values = 10.0 ** (values / 10) if decibel else values
            mean = squares.mean(values, np.isfinite(values))
            mean = 10 * np.log10(mean) if decibel else mean
            mean = np.rint(mean) if variable.attrs.get("units") == "1/100" else mean
            out[name] = (variable.dims, round_mantissa(mean.astype(np.float32)), dict(variable.attrs))
        elif str(name).endswith(("_measured", "_simulated")):
            mean = squares.mean(values, np.ones(values.shape, bool))
            out[name] = (variable.dims, np.rint(mean).astype(np.uint8), dict(variable.attrs))
        elif str(name).endswith("_origin"):
            out[name] = (variable.dims, squares.joined(values), dict(variable.attrs))
    if "safety" in out:
        out["safety"].attrs["cell_m"] = side
    return out


def enough(group: pd.DataFrame, people: int, share: float) -> bool:
    """At least so many people, none with more than a share of the weight; those without a pseudonym are one."""
    weight = group.groupby("pseudonym")["weight"].sum().to_numpy(np.float64)
    return bool(weight.size >= people and weight.max() <= share * weight.sum() * (1 + 1e-9))


def _by_cell(answers: pd.DataFrame, side: float) -> Any:
    """Answers by the fixed cell of a side that holds them, keys (row, column) of whole multiples of the side."""
    if not len(answers):
        return []
    row = np.floor(answers["northing"].to_numpy() / side).astype(np.int64)
    column = np.floor(answers["easting"].to_numpy() / side).astype(np.int64)
    keys = pd.MultiIndex.from_arrays([row, column])
    place, distinct = keys.factorize(sort=True)
    return [(tuple(map(int, key)), answers[place == index]) for index, key in enumerate(distinct)]


def _about_safety(name: str) -> bool:
    return name.startswith(("safety", "goes_"))


def _rounded(layer: xr.Variable) -> xr.Variable:
    values = layer.to_numpy()
    return _variable(values, layer.attrs) if values.dtype.kind == "f" else xr.Variable(layer.dims, values, layer.attrs)


def _variable(values: npt.NDArray[Any], attributes: Mapping[Any, Any]) -> xr.Variable:
    return xr.Variable(_DIMENSIONS, round_mantissa(values.astype(np.float32, copy=False)), dict(attributes))


def _cell_means(
    layers: Mapping[str, xr.Variable], names: Sequence[str], where: npt.NDArray[np.bool_], squares: Squares
) -> dict[str, Floats]:
    """Means of layers over the released cells, all in one go: nine layers take a third of the time of one by one."""
    steps = len(where)
    together = np.concatenate([layers[name].to_numpy() for name in names])
    means = squares.back(squares.mean(together, np.tile(where, (len(names), 1, 1))))
    return {name: means[index * steps : (index + 1) * steps] for index, name in enumerate(names)}


def _released_squares(northing: Floats, easting: Floats, side: float, support: Support) -> Squares:
    if side == support.cell_m:
        return Squares(*support.lattice(northing, easting))
    return Squares.of_side(northing, easting, side)
