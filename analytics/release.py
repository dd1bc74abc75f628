"""The one gate between what is computed and what anyone sees (DESIGN 3, perception.md 6).

Perceived safety leaves per 50 m cell (public: 200 m or more), never inside a building, as whole numbers of 100. A
cell's *support* is the smallest of its fixed, disjoint, nested cells (50, 100, 200, 400 m) in which at least 10 people
answered, none of them with more than 30 % of the weight. Without support, or with too little evidence, it is hatched.

Answers join what is said of their own place (support, and the place's own effect on the map) ten people at a time: in
each 400 m cell, answers wait until ten people have given some since the last ones joined. So the maps of two days
differ around a place by nobody's answers or by those of ten people, and never by one person's.

Counts and shares of answers themselves leave only for *parts*: the nested cells again, but a cell is divided only if
each of its quarters holds nobody or enough people. Parts are disjoint and each is enough, so whatever is put together
from them or taken from one another is nothing or enough people too (complementary suppression).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from analytics.grid import Grid
from sensors.city import City, ReleaseSettings
from sensors.errors import ModelError
from sensors.night import nights_of

Floats = npt.NDArray[np.float64]

SUPPORT_SIZES_M = (50.0, 100.0, 200.0, 400.0)
MANTISSA_BITS = 10
_CHANGE = ("safety_change", "safety_change_low", "safety_change_high")  # what a scenario would change
_OF_SAFETY = ("safety", "safety_sd", "safety_score", "goes_light", "goes_people", "goes_noise", "goes_hour", *_CHANGE)
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
        return plain if self.shares is None else plain | {"shares": self.shares}

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
    means = _cell_means(layers, (*names, "safety_evidence"), outdoors, _Blocks(northing, easting, rule.cell_m, support))
    shown = outdoors & (size > 0)[None] & (means["safety_evidence"] >= rule.minimum_evidence)
    if support.shares is not None:  # a published share is of many and hides nobody; its streets are told as a model's
        shown |= outdoors & support.shares[np.ix_(*support.lattice(northing, easting))][None]
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
    out["safety_support"] = xr.Variable(
        _DIMENSIONS,
        np.where(outdoors, size[None], 0).astype(np.uint16),
        {"units": "m", "long_name": "side of the smallest cell in which enough people answered; 0: none"},
    )
    return out


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
            row, column = _cells_of(northing, side)[0], _cells_of(easting, side)[0]
            shape = (len(evidence), int(row.max()) + 1, int(column.max()) + 1)
            mean = _block_mean(evidence.astype(np.float64), outdoors, row, column, shape)
            told[:, here] = mean[:, row[:, None], column[None, :]][:, here]
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
    row, northing = _cells_of(dataset.northing.to_numpy(), side)
    column, easting = _cells_of(dataset.easting.to_numpy(), side)
    shape = (dataset.sizes["time"], len(northing), len(easting))
    coords = {
        "time": dataset["time"],
        "northing": ("northing", northing, dict(dataset.northing.attrs)),
        "easting": ("easting", easting, dict(dataset.easting.attrs)),
    }
    out = xr.Dataset(coords=coords, attrs={**dataset.attrs, "level": "public", "cell_m": side})
    for name, variable in dataset.data_vars.items():
        values = variable.to_numpy()
        if values.dtype.kind == "f" and not str(name).endswith("_nearest"):
            decibel = variable.attrs.get("units", "").startswith("dB") and not str(name).endswith("_sd")
            values = values.astype(np.float64)
            values = 10.0 ** (values / 10) if decibel else values
            mean = _block_mean(values, np.isfinite(values), row, column, shape)
            mean = 10 * np.log10(mean) if decibel else mean
            mean = np.rint(mean) if name in ("safety", "safety_sd") else mean
            out[name] = (variable.dims, round_mantissa(mean.astype(np.float32)), dict(variable.attrs))
        elif str(name).endswith(("_measured", "_simulated")):
            mean = _block_mean(values.astype(np.float64), np.ones(values.shape, bool), row, column, shape)
            out[name] = (variable.dims, np.rint(mean).astype(np.uint8), dict(variable.attrs))
        elif str(name).endswith("_origin"):
            out[name] = (variable.dims, _joined_bits(values, row, column, shape), dict(variable.attrs))
    if "safety" in out:
        out["safety"].attrs["cell_m"] = side
    return out


def direct_statistics(
    answers: pd.DataFrame,
    *,
    by: str | None = None,
    safe_from: int = 3,
    people: int = 10,
    share: float = 0.30,
    largest_m: float = SUPPORT_SIZES_M[-1],
) -> pd.DataFrame:
    """Counts and shares of answers that may leave: one row a part, see the top of this module.

    answers : columns of `sensors.answer`; one instrument
    by : one column (such as 'gender') to divide parts by as well, where each of its codes has nobody or enough people

    Returns west, south, side_m, the code of `by` ('' for all), people, answers and `share_safe` (weighted, whole
    per cent) of each part. The answers of a cell without enough people are in no row.
    """
    rows = []
    for side, members in _parts(answers, largest_m, people, share):
        for code, group in _divided(members, by, people, share):
            weight = group["weight"].to_numpy(np.float64)
            safe = group["category"].to_numpy() >= safe_from
            first = group.iloc[0]
            rows.append(
                {
                    "west": float(np.floor(first["easting"] / side) * side),
                    "south": float(np.floor(first["northing"] / side) * side),
                    "side_m": side,
                    "group": code,
                    "people": int(group["pseudonym"].nunique()),
                    "answers": len(group),
                    "share_safe": int(np.rint(100 * weight[safe].sum() / weight.sum())),
                }
            )
    columns = ["west", "south", "side_m", "group", "people", "answers", "share_safe"]
    return pd.DataFrame(rows, columns=columns).sort_values(columns[:4], ignore_index=True)


def enough(group: pd.DataFrame, people: int, share: float) -> bool:
    """At least so many people, none with more than a share of the weight; those without a pseudonym are one."""
    weight = group.groupby("pseudonym")["weight"].sum().to_numpy(np.float64)
    return bool(weight.size >= people and weight.max() <= share * weight.sum() * (1 + 1e-9))


def _parts(answers: pd.DataFrame, side: float, people: int, share: float) -> list[tuple[float, pd.DataFrame]]:
    """Disjoint cells that hold enough people each, as small as their siblings allow."""
    found: list[tuple[float, pd.DataFrame]] = []
    for _, members in _by_cell(answers, side):
        if enough(members, people, share):
            found += _split(side, members, people, share)
    return found


def _split(side: float, members: pd.DataFrame, people: int, share: float) -> list[tuple[float, pd.DataFrame]]:
    quarters = [group for _, group in _by_cell(members, side / 2)]
    if side <= SUPPORT_SIZES_M[0] or not all(enough(quarter, people, share) for quarter in quarters):
        return [(side, members)]
    return [part for quarter in quarters for part in _split(side / 2, quarter, people, share)]


def _divided(members: pd.DataFrame, by: str | None, people: int, share: float) -> list[tuple[str, pd.DataFrame]]:
    if by is not None:
        groups = [(str(code), group) for code, group in members.groupby(by, sort=True, observed=True)]
        if all(enough(group, people, share) for _, group in groups):
            return groups
    return [("", members)]


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
    layers: Mapping[str, xr.Variable], names: Sequence[str], where: npt.NDArray[np.bool_], blocks: _Blocks
) -> dict[str, Floats]:
    """Means of layers over the released cells, all in one go: nine layers take a third of the time of one by one."""
    steps = len(where)
    together = np.concatenate([layers[name].to_numpy() for name in names])
    means = blocks.mean(together, np.tile(where, (len(names), 1, 1)))
    return {name: means[index * steps : (index + 1) * steps] for index, name in enumerate(names)}


class _Blocks:
    """Means over the 50 m cells, put back into each of their grid cells."""

    def __init__(self, northing: Floats, easting: Floats, side: float, support: Support) -> None:
        if side == support.cell_m:
            self.row, self.column = support.lattice(northing, easting)
        else:
            self.row, self.column = _cells_of(northing, side)[0], _cells_of(easting, side)[0]
        self.shape = (int(self.row.max()) + 1, int(self.column.max()) + 1)

    def mean(self, values: npt.NDArray[Any], where: npt.NDArray[np.bool_]) -> Floats:
        """(time, northing, easting) means of the cells `where` is true; NaN without any."""
        mean = _block_mean(values.astype(np.float64), where, self.row, self.column, (len(values), *self.shape))
        return mean[:, self.row[:, None], self.column[None, :]]


def _block_mean(
    values: Floats,
    where: npt.NDArray[np.bool_],
    row: npt.NDArray[np.intp],
    column: npt.NDArray[np.intp],
    shape: tuple[int, int, int],
) -> Floats:
    """Means of blocks of cells; blocks are runs of ascending rows and columns, so sums are always in one order."""
    starts_n = np.flatnonzero(np.diff(row, prepend=row[0] - 1))
    starts_e = np.flatnonzero(np.diff(column, prepend=column[0] - 1))

    def total(cells: npt.NDArray[Any]) -> Floats:
        return np.add.reduceat(np.add.reduceat(cells, starts_n, axis=1), starts_e, axis=2)

    if not len(values):
        return np.empty(shape)
    sums, counts = total(np.where(where, values, 0.0)), total(where.astype(np.float64))
    mean = np.full(shape, np.nan)
    known = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    mean[:, row[starts_n][:, None], column[starts_e][None, :]] = known
    return mean


def _joined_bits(
    values: npt.NDArray[Any], row: npt.NDArray[np.intp], column: npt.NDArray[np.intp], shape: tuple[int, int, int]
) -> npt.NDArray[Any]:
    starts_n = np.flatnonzero(np.diff(row, prepend=row[0] - 1))
    starts_e = np.flatnonzero(np.diff(column, prepend=column[0] - 1))
    joined = np.bitwise_or.reduceat(np.bitwise_or.reduceat(values, starts_n, axis=1), starts_e, axis=2)
    return np.asarray(joined, values.dtype).reshape(shape)


def _cells_of(centres: Floats, side: float) -> tuple[npt.NDArray[np.intp], Floats]:
    """Which fixed cell of a side each centre is in, from 0, and the centres of those cells."""
    number = np.floor(centres / side).astype(np.intp)
    first, last = int(number.min()), int(number.max())
    middles: Floats = (np.arange(first, last + 1, dtype=np.float64) + 0.5) * side
    return number - first, middles
