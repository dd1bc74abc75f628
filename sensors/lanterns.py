"""What a street lamp is where nobody says: its height, flux and power by the street it lights, its cabinet, its place.

Typical installations: sensing.md A5 (middle of the ranges; LED). Everything set here is marked as assumed by the
column `source` or stands in a column the source did not have, and is meant to be replaced by an inventory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from sensors.draft import LanternRule


@dataclass(frozen=True, slots=True)
class LampClass:
    """A typical installation."""

    height_m: float
    lumens: float
    watts: float


LAMP_CLASSES: dict[str, LampClass] = {
    "footpath": LampClass(4.5, 2_200.0, 18.0),
    "residential": LampClass(5.5, 3_800.0, 30.0),
    "nightlife": LampClass(6.0, 6_000.0, 50.0),
    "collector": LampClass(8.0, 8_000.0, 65.0),
    "arterial": LampClass(10.0, 14_000.0, 115.0),
}

# Kinds are the values of OpenStreetMap's key `highway`; a recipe maps a council's own classes to them.
_CARRIAGEWAYS = {
    "motorway": "arterial",
    "trunk": "arterial",
    "primary": "arterial",
    "secondary": "collector",
    "tertiary": "collector",
    "busway": "collector",
    "unclassified": "residential",
    "residential": "residential",
    "living_street": "residential",
    "service": "residential",
    "road": "residential",
}
_NIGHTLIFE = {"pedestrian": "nightlife"}
LAMP_CLASS_OF_STREET = (
    _CARRIAGEWAYS | {f"{kind}_link": name for kind, name in _CARRIAGEWAYS.items()} | _NIGHTLIFE
)  # every other kind is a footpath

# Assumed lighting class (EN 13201-2) of a section by kind of street, middle of sensing.md A5.
_REQUIRED = {"footpath": "P5", "residential": "P4", "nightlife": "P2", "collector": "M4", "arterial": "M3"}
_FOOTPATHS = ("footway", "path", "steps", "cycleway", "track", "trail", "bridleway")
REQUIRED_CLASS_OF_STREET = {kind: _REQUIRED[name] for kind, name in LAMP_CLASS_OF_STREET.items()} | dict.fromkeys(
    _FOOTPATHS, _REQUIRED["footpath"]
)

MAINTENANCE_FACTOR = 0.85  # LED streets 0.80-0.90 (sensing.md A2)

# Pavements are mapped beside their street, so that the nearest line to a street lamp is often a footway. Within this
# distance of a carriageway the lamp is taken to light the carriageway.
_CARRIAGEWAY_M = 12.0
_CABINET_LAMPS = 40  # a cabinet feeds 10-40 lamps; halving until at most 40 gives groups of 20-40
_CIRCUIT_LAMPS = 12
_LEAST_GAP_M = 10.0  # two assumed lanterns nearer than this light the same crossing: one is left out
# Values of OpenStreetMap's key `lit` that mean light at night; a recipe's own column uses the same words.
_LIT = ("yes", "24/7", "automatic", "limited", "sunset-sunrise")
_SIDE_SHARE = 0.35  # a lantern stands this share of the width beside the middle: at the kerb of a road reserve


def with_defaults(lamps: geopandas.GeoDataFrame, streets: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The same lamps with height, flux, power and maintenance factor where they had none (NaN or no column)."""
    classes = lamp_classes(shapely.get_coordinates(lamps.geometry.to_numpy()), streets)
    frame = lamps.copy()
    for column in ("height_m", "lumens", "watts"):
        typical = np.array([getattr(LAMP_CLASSES[name], column) for name in classes], np.float32)
        known = pd.to_numeric(frame[column]).to_numpy(np.float32) if column in frame else np.full(len(frame), np.nan)
        frame[column] = np.where(np.isnan(known), typical, known).astype(np.float32)
    factor = frame["mf"].to_numpy(np.float32) if "mf" in frame else np.full(len(frame), np.nan)
    frame["mf"] = np.where(np.isnan(factor), MAINTENANCE_FACTOR, factor).astype(np.float32)
    return frame


def lamp_classes(points: npt.NDArray[np.float64], streets: geopandas.GeoDataFrame) -> list[str]:
    """Which typical installation stands at each point, (n, 2) metres, by the street it is likely to light."""
    if not len(points) or not len(streets):
        return ["residential"] * len(points)
    kinds = streets["kind"].to_numpy(dtype=object)
    lines = streets.geometry.to_numpy()
    where = shapely.points(points)
    nearest = np.atleast_1d(np.asarray(shapely.STRtree(lines).nearest(where)))
    found = [LAMP_CLASS_OF_STREET.get(kinds[index], "footpath") for index in nearest]
    roads = np.flatnonzero([kind in LAMP_CLASS_OF_STREET for kind in kinds])
    if not len(roads):
        return found
    points_near, roads_near = shapely.STRtree(lines[roads]).query_nearest(
        where, max_distance=_CARRIAGEWAY_M, all_matches=False
    )
    for point, road in zip(points_near, roads[roads_near], strict=True):
        found[point] = LAMP_CLASS_OF_STREET[kinds[road]]
    return found


def with_cabinets(lamps: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The same lamps with a cabinet, a circuit and a switchable unit where their source names none.

    Cabinets are contiguous: the lamps are halved along their longer side until a part has at most 40.
    """
    frame = lamps.copy()
    missing = frame["cabinet"] == ""
    positions = shapely.get_coordinates(frame.geometry.to_numpy())
    rows = np.flatnonzero(missing.to_numpy())
    cabinets = _halves(positions, rows, _CABINET_LAMPS)
    names = {column: frame[column].to_numpy(dtype=object).copy() for column in ("cabinet", "circuit")}
    for number, cabinet in enumerate(cabinets, 1):
        names["cabinet"][cabinet] = f"cabinet-{number:03d}"
        for branch, circuit in enumerate(_halves(positions, cabinet, _CIRCUIT_LAMPS), 1):
            names["circuit"][circuit] = f"cabinet-{number:03d}-{branch}"
    for column, values in names.items():
        frame[column] = values
    frame["switchable_unit"] = np.where(frame["switchable_unit"] == "", frame["circuit"], frame["switchable_unit"])
    return frame


def assumed_lanterns(
    streets: geopandas.GeoDataFrame, rules: Sequence[LanternRule], published: npt.NDArray[np.float64]
) -> geopandas.GeoDataFrame:
    """Road lanterns along streets by rule, where a city publishes none or not all; `source` is 'assumed'.

    Each stands beside the middle of the street by a share of its width, clear of lamps that are known and of lanterns
    of earlier rules by what its rule says; of those of one rule no two stand within 10 m.

    published : (n, 2) array
        Easting and northing of the lamps that are known.
    """
    parts: list[npt.NDArray[np.float64]] = []
    for rule in rules:
        chosen = streets[streets["kind"].isin(rule.kinds)]
        if rule.lit_only:
            chosen = chosen[chosen["lit"].isin(_LIT)]
        positions = _along(chosen, rule)
        positions = positions[_clear_of(published, positions, rule.published_clear_m)]
        positions = positions[_clear_of(np.concatenate([np.zeros((0, 2)), *parts]), positions, rule.clear_m)]
        parts.append(positions[_spaced(positions, _LEAST_GAP_M)])
    positions = np.concatenate([np.zeros((0, 2)), *parts])
    rule_of = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    columns = {
        column: np.array([_typical(rule, column) for rule in rules], np.float32)[rule_of]
        for column in ("height_m", "lumens", "watts")
    }
    return geopandas.GeoDataFrame(
        {
            "lamp": [f"road-{number:05d}" for number in range(1, len(positions) + 1)],
            **columns,
            "source": ["assumed"] * len(positions),
        },
        geometry=shapely.points(positions),
        crs=streets.crs,
    )


def _clear_of(
    standing: npt.NDArray[np.float64], positions: npt.NDArray[np.float64], clear_m: float
) -> npt.NDArray[np.bool_]:
    """Which positions have nothing standing within `clear_m`."""
    if not len(standing) or not len(positions) or not clear_m:
        return np.ones(len(positions), bool)
    from scipy.spatial import cKDTree  # a quarter of the import time of a map that places no lamps

    distance, _ = cKDTree(standing).query(positions, distance_upper_bound=clear_m)
    clear: npt.NDArray[np.bool_] = np.isinf(distance)
    return clear


def _typical(rule: LanternRule, column: str) -> float:
    own: float | None = getattr(rule, column, None)
    return float(getattr(LAMP_CLASSES[rule.lamp_class], column)) if own is None else own


def _along(streets: geopandas.GeoDataFrame, rule: LanternRule) -> npt.NDArray[np.float64]:
    """Positions (n, 2) of the lanterns of one rule."""
    lines = streets.geometry.to_numpy()
    lengths = shapely.length(lines)
    widths = streets["width_m"].to_numpy(np.float64)
    narrow = widths < rule.narrow_m
    counts = np.where(narrow, 2, np.round(lengths / rule.spacing_m)).astype(np.int64)
    of = np.repeat(np.arange(len(lines)), counts)
    number = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = np.where(narrow[of], number * 1.0, (number + 0.5) / np.maximum(counts[of], 1))
    at = share * lengths[of]
    middle = shapely.get_coordinates(shapely.line_interpolate_point(lines[of], at))
    before = shapely.get_coordinates(shapely.line_interpolate_point(lines[of], np.maximum(at - 1.0, 0.0)))
    after = shapely.get_coordinates(shapely.line_interpolate_point(lines[of], np.minimum(at + 1.0, lengths[of])))
    along = after - before
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    left = np.column_stack([-along[:, 1], along[:, 0]])
    aside = np.where(narrow[of], 0.0, np.nan_to_num(widths[of], nan=10.0) * _SIDE_SHARE)[:, None]
    positions = middle + left * aside
    if rule.both_sides:
        other = middle - left * aside
        positions = np.concatenate([positions, other[~narrow[of]]])
    return positions


def _spaced(positions: npt.NDArray[np.float64], gap_m: float) -> npt.NDArray[np.bool_]:
    """Which points stay when, in their order, none may be within `gap_m` of one that stayed before."""
    kept = np.ones(len(positions), bool)
    if len(positions) < 2:
        return kept
    from scipy.spatial import cKDTree  # as above

    pairs = cKDTree(positions).query_pairs(gap_m, output_type="ndarray")
    for first, second in pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]:
        if kept[first]:
            kept[second] = False
    return kept


def _halves(positions: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], most: int) -> list[npt.NDArray[np.int64]]:
    if not len(rows):
        return []
    if len(rows) <= most:
        return [rows]
    part = positions[rows]
    axis = int(np.argmax(np.ptp(part, axis=0)))
    order = rows[np.lexsort((rows, part[:, 1 - axis], part[:, axis]))]
    middle = len(order) // 2
    return _halves(positions, np.sort(order[:middle]), most) + _halves(positions, np.sort(order[middle:]), most)
