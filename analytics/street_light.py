"""Light of one street section, point by point as EN 13201-3:2015 (CIE 140) sums it; exact, in float64.

Frame: x along the road, y across it from the kerb, z up. A luminaire stands at (x, y, H); of the ray to a point h below
it and r away, d^2 = h^2 + r^2, gamma is the angle from the downward vertical and e the angle of incidence on a level
plane. I is in candela with the luminaire's flux, its level and the maintenance factor in it. With a the azimuth between
what a plane faces and the way from the point to the luminaire (clause 7 and its table; Esc as re-derived by
integration over a half cylinder in tests/reference/street_light.py):

    horizontal         E   = I cos e / d^2                     on the ground
    hemispherical      Ehs = I (1 + cos e) / (4 d^2)           on the ground
    vertical           Ev  = I sin e max(cos a, 0) / d^2       at 1.5 m
    semi-cylindrical   Esc = I sin e (1 + cos a) / (pi d^2)    at 1.5 m, over the whole circle
    cylindrical        Ez  = I sin e / (pi d^2)                at 1.5 m

Grid of illuminance (clause 7): the field is one spacing long. N = 10 points along where S <= 30 m, otherwise the least
N with D = S / N <= 3 m; across the least n >= 3 with d = W / n <= 1.5 m; the first points stand at D / 2 and d / 2.
The field lies between the luminaires at x = 0 and x = S; all from five spacings before it to five behind it count,
which is beyond the five mounting heights that the standard asks for wherever S >= H. With two rows S is the spacing
within a row. The grid's figures are as widely reproduced, not compared with the standard's own text.

A luminaire's street side faces +y from the near kerb and -y from the far one. `rotation_deg` turns it about the
vertical, anticlockwise from above; `tilt_deg` lifts its street side about the line along the road. A photometric file
has C = 0 (LM-63 road files) or C = 90 (EULUMDAT, CIE) on the street side, and cannot say which: it is an argument.

EN 13201-5: D_P = P / sum(E_i A_i) in W/(lx m2), D_E = sum(P_j t_j) / A in Wh/m2 a year.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analytics.hand_table import number, read_table
from analytics.lighting_classes import FAMILIES, PROVISIONAL, Method, Span, Verdict, highest_met, judge
from sensors.errors import LightingError, gather
from sensors.luminaire import ORIENTATIONS

Floats = NDArray[np.float64]

FACE_M = 1.5  # height of vertical planes: where a face is
SPACINGS = 5  # luminaires count this many spacings before and behind the field
ARRANGEMENTS = ("single", "opposite", "staggered")
FORWARD, BACK = 0.0, math.pi  # azimuths that planes face: along +x and -x

_SHORT_M, _SHORT_POINTS, _STEP_M = 30.0, 10, 3.0
_ACROSS_POINTS, _ACROSS_M = 3, 1.5
_PAIRS = 1 << 19  # points times luminaires at once: a few tens of MB
_MOST_LUMINAIRES, _MOST_POINTS = 10_000, 100_000  # a section has tens and hundreds
_MOST_PAIRS = 200_000_000  # about a minute
_MOST_M = 10_000.0
_DRIVER_SHARE = 0.08  # of full power at level 0 (analytics/plan.py)


class Source(Protocol):
    """What gives light: candela at full level and maintenance factor 1 towards C and gamma, degrees."""

    def intensity(self, c_deg: ArrayLike, gamma_deg: ArrayLike) -> Floats:
        """Candela, in the broadcast shape of the angles."""


@dataclass(frozen=True)
class Isotropic:
    """The same intensity everywhere."""

    candela: float

    def intensity(self, c_deg: ArrayLike, gamma_deg: ArrayLike) -> Floats:
        """Candela towards C and gamma."""
        return np.full(np.broadcast(c_deg, gamma_deg).shape, self.candela)


@dataclass(frozen=True)
class Lambert:
    """A flat plate that looks down: I = flux / pi cos gamma."""

    lumens: float

    def intensity(self, c_deg: ArrayLike, gamma_deg: ArrayLike) -> Floats:
        """Candela towards C and gamma; nothing upward."""
        _, gamma = np.broadcast_arrays(c_deg, np.asarray(gamma_deg, np.float64))
        return np.where(gamma < 90.0, self.lumens / np.pi * np.cos(np.radians(gamma)), 0.0)


@dataclass(frozen=True)
class Luminaires:
    """Luminaires over a road; (n,) arrays.

    along, across, height_m : metres; level : 0..1; faces_deg : where the street side looks, anticlockwise from +x;
    tilt_deg : how far that side is lifted
    """

    along: Floats
    across: Floats
    height_m: Floats
    level: Floats
    faces_deg: Floats
    tilt_deg: Floats


@dataclass(frozen=True)
class CalculationGrid:
    """The points of a field: their places along and across, and the distances D and d between them, metres."""

    along: Floats
    across: Floats
    step_along: float
    step_across: float

    def points(self) -> tuple[Floats, Floats]:
        """Along and across of every point, along first."""
        along, across = np.meshgrid(self.along, self.across, indexing="ij")
        return along.ravel(), across.ravel()


@dataclass(frozen=True)
class StreetLight:
    """The light of a section; arrays over the grid's points, in lx."""

    grid: CalculationGrid
    luminaires: int
    horizontal: Floats
    hemispherical: Floats
    cylindrical: Floats
    vertical_forward: Floats
    vertical_back: Floats
    semicylindrical_forward: Floats
    semicylindrical_back: Floats

    def values(self) -> dict[str, Span]:
        """What classes ask for."""
        average, spherical = float(self.horizontal.mean()), float(self.hemispherical.mean())
        lowest = float(self.horizontal.min())
        numbers = {
            "E_avg": average,
            "E_min": lowest,
            "U_o": lowest / average if average > 0 else 0.0,
            "Ehs_avg": spherical,
            "Ehs_U_o": float(self.hemispherical.min()) / spherical if spherical > 0 else 0.0,
            "Esc_min": float(min(self.semicylindrical_forward.min(), self.semicylindrical_back.min())),
            "Ev_min": float(min(self.vertical_forward.min(), self.vertical_back.min())),
        }
        return {name: Span.exact(value) for name, value in numbers.items()}

    def verdict(self, required: str) -> Verdict:
        """What the calculation says about a class."""
        return judge(required, self.values(), Method.DESIGN)

    def to_dict(self) -> dict[str, Any]:
        """As `noctule street-light --json` prints it; other programs build on the keys."""
        along, across = self.grid.points()
        values = {name: span.value for name, span in self.values().items()}
        return {
            "n_long": self.grid.along.size,
            "D": self.grid.step_along,
            "n_trans": self.grid.across.size,
            "d": self.grid.step_across,
            "luminaires": self.luminaires,
            "E_avg": values["E_avg"],
            "E_min": values["E_min"],
            "E_max": float(self.horizontal.max()),
            "U_o": values["U_o"],
            "Ehs_avg": values["Ehs_avg"],
            "Ehs_U_o": values["Ehs_U_o"],
            "Ez_min": float(self.cylindrical.min()),
            "Ev_min_forward": float(self.vertical_forward.min()),
            "Ev_min_back": float(self.vertical_back.min()),
            "Esc_min_forward": float(self.semicylindrical_forward.min()),
            "Esc_min_back": float(self.semicylindrical_back.min()),
            "points": [
                {"x": float(x), "y": float(y), "E": float(lux)}
                for x, y, lux in zip(along, across, self.horizontal, strict=True)
            ],
            "classes": {
                family: "not assessed" if family == "M" else highest_met(family, self.values()) for family in FAMILIES
            },
            "provisional_classes": list(PROVISIONAL),
        }


def calculation_grid(length_m: float, width_m: float, begin_m: float = 0.0) -> CalculationGrid:
    """The points of EN 13201-3 of a field that begins at `begin_m`, all in metres.

    >>> grid = calculation_grid(36.0, 7.0)
    >>> grid.along.size, grid.step_along, grid.across.size, float(grid.across[0])
    (12, 3.0, 5, 0.7)
    """
    problems = [
        f"{name} is {value:g} m; write one above 0"
        for name, value in (("length", length_m), ("width", width_m))
        if not 0 < value <= 100 * _MOST_M
    ]
    if not abs(begin_m) <= 100 * _MOST_M:
        problems.append(f"the field begins at {begin_m:g} m; write where along the road it does")
    if problems:
        raise LightingError(gather("street section", problems))
    along = _SHORT_POINTS if length_m <= _SHORT_M else math.ceil(length_m / _STEP_M - 1e-9)
    across = max(_ACROSS_POINTS, math.ceil(width_m / _ACROSS_M - 1e-9))
    if along * across > _MOST_POINTS:
        raise LightingError(
            f"a field of {length_m:g} x {width_m:g} m has {along * across:,} points; cut it in sections"
        )
    step_along, step_across = length_m / along, width_m / across
    return CalculationGrid(
        begin_m + _middles(along, step_along), _middles(across, step_across), step_along, step_across
    )


def rows_of(
    arrangement: str,
    *,
    height_m: float,
    spacing_m: float,
    width_m: float,
    overhang_m: float = 0.0,
    level: float = 1.0,
    tilt_deg: float = 0.0,
    rotation_deg: float = 0.0,
) -> Luminaires:
    """The luminaires of a regular road, out to five spacings before and behind its field.

    overhang_m : of the light's middle over the carriageway, from the kerb; negative behind it
    """
    problems = [
        f"{name} is {value:g} m; {wanted}"
        for name, value, wanted, right in (
            ("height", height_m, "a luminaire hangs above the ground and below 100 m", 0 < height_m <= 100),
            ("spacing", spacing_m, "write a length above 0", 0 < spacing_m <= _MOST_M),
            ("width", width_m, "write a width above 0", 0 < width_m <= _MOST_M),
            ("overhang", overhang_m, "write a distance from the kerb", abs(overhang_m) <= 1000),
        )
        if not right
    ]
    problems += _angle_problems(tilt_deg, rotation_deg)
    if not 0 <= level <= 1:
        problems.append(f"dim is {level:g}; a level lies between 0 and 1")
    if arrangement not in ARRANGEMENTS:
        problems.append(f"arrangement '{arrangement}' is none of {', '.join(ARRANGEMENTS)}")
    if problems:
        raise LightingError(gather("street section", problems))
    near = np.arange(-SPACINGS, SPACINGS + 2) * spacing_m
    far = {"single": near[:0], "opposite": near, "staggered": near[:-1] + spacing_m / 2}[arrangement]
    along = np.concatenate([near, far])
    return Luminaires(
        along=along,
        across=np.repeat([overhang_m, width_m - overhang_m], [near.size, far.size]),
        height_m=np.full(along.size, height_m),
        level=np.full(along.size, level),
        faces_deg=np.repeat([90.0, 270.0], [near.size, far.size]) + rotation_deg,
        tilt_deg=np.full(along.size, tilt_deg),
    )


def street_light(
    source: Source,
    luminaires: Luminaires,
    grid: CalculationGrid,
    *,
    maintenance_factor: float = 1.0,
    orientation: str = "street-c0",
) -> StreetLight:
    """The light of a section at the points of its grid."""
    if not 0 < maintenance_factor <= 1:
        raise LightingError(f"the maintenance factor is {maintenance_factor:g}; it lies above 0 and is at most 1")
    if orientation not in ORIENTATIONS:
        raise LightingError(f"orientation '{orientation}' is none of {', '.join(ORIENTATIONS)}")
    along, across = grid.points()
    if along.size * luminaires.along.size > _MOST_PAIRS:
        raise LightingError(
            f"{along.size:,} points and {luminaires.along.size:,} luminaires are too many for one section; cut it in "
            "sections, or ask 'noctule lighting' for a whole city"
        )
    sums = np.zeros((7, along.size))
    rows = max(1, _PAIRS // luminaires.along.size)
    for first in range(0, along.size, rows):
        part = slice(first, first + rows)
        sums[:2, part] = _on_ground(source, luminaires, along[part], across[part], orientation)
        sums[2:, part] = _at_faces(source, luminaires, along[part], across[part], orientation)
    return StreetLight(grid, luminaires.along.size, *(sums * maintenance_factor))


def source_named(text: str) -> Source:
    """A luminaire from 'isotropic:CD', 'lambert:LUMENS' or a photometric file."""
    kind, _, amount = text.partition(":")
    if kind in ("isotropic", "lambert"):
        unit = "candela" if kind == "isotropic" else "lumens"
        try:
            strength = float(amount)
        except ValueError:
            raise LightingError(f"'{text}' says no number; write for example {kind}:1000 ({unit})") from None
        if not (0 <= strength <= 1e9):
            raise LightingError(f"'{text}': {unit} must lie between 0 and 1e9")
        return Isotropic(strength) if kind == "isotropic" else Lambert(strength)
    from sensors.luminaire_files import read_luminaire

    return read_luminaire(text)


def street_share(source: Source, orientation: str, rotation_deg: float = 0.0) -> float:
    """Share of a luminaire's flux that leaves on its street side; NaN where it gives no light.

    >>> round(street_share(Lambert(1000.0), "street-c0"), 6)
    0.5
    """
    c, gamma = np.meshgrid(np.arange(-179.0, 180.0, 2.0), np.arange(0.5, 180.0))  # azimuths from the street, middles
    flux = source.intensity(c - rotation_deg + ORIENTATIONS[orientation], gamma) * np.sin(np.radians(gamma))
    total = float(flux.sum())
    return float(flux[np.abs(c) < 90.0].sum()) / total if total > 0 else math.nan


def power_density(watts: float, light: StreetLight) -> float:
    """EN 13201-5 power density indicator D_P of a field that so many watts light, in W/(lx m2); NaN in the dark."""
    area = light.grid.step_along * light.grid.step_across
    lumens = float(light.horizontal.sum()) * area
    return watts / lumens if lumens > 0 else math.nan


def energy_density(watts: float, hours: float, light: StreetLight) -> float:
    """EN 13201-5 annual energy indicator D_E in Wh/m2 of a field that so many watts light for so many hours a year."""
    return watts * hours / (light.grid.step_along * light.grid.step_across * light.horizontal.size)


def power_of(watts: float, level: float) -> float:
    """What a luminaire of so many watts takes at a level, its driver's own share (assumed 8 %) always with it."""
    return watts * (_DRIVER_SHARE + (1 - _DRIVER_SHARE) * level) if level > 0 else 0.0


def _middles(n: int, step: float) -> Floats:
    """Middles of n equal steps from 0."""
    return (np.arange(n, dtype=np.float64) + 0.5) * step


def _pairs(luminaires: Luminaires, along: Floats, across: Floats, z: float) -> tuple[Floats, Floats, Floats]:
    """From each luminaire to each point: along, across and down, metres, (points, luminaires)."""
    d_along = along[:, None] - luminaires.along
    d_across = across[:, None] - luminaires.across
    return d_along, d_across, np.broadcast_to(luminaires.height_m - z, d_along.shape)


def _candela(
    source: Source, luminaires: Luminaires, d_along: Floats, d_across: Floats, down: Floats, orientation: str
) -> Floats:
    """Intensity of each luminaire towards each point, at its level."""
    faces, tilt = np.radians(luminaires.faces_deg), np.radians(luminaires.tilt_deg)
    forward = d_along * np.cos(faces) + d_across * np.sin(faces)
    left = d_across * np.cos(faces) - d_along * np.sin(faces)
    tilted = forward * np.cos(tilt) - down * np.sin(tilt)
    below = forward * np.sin(tilt) + down * np.cos(tilt)
    gamma = np.degrees(np.arctan2(np.hypot(tilted, left), below))
    c = np.degrees(np.arctan2(left, tilted)) + ORIENTATIONS[orientation]
    return source.intensity(c, gamma) * luminaires.level


def _on_ground(
    source: Source, luminaires: Luminaires, along: Floats, across: Floats, orientation: str
) -> tuple[Floats, Floats]:
    """Horizontal and hemispherical illuminance."""
    d_along, d_across, down = _pairs(luminaires, along, across, 0.0)
    candela = _candela(source, luminaires, d_along, d_across, down, orientation)
    d2 = d_along**2 + d_across**2 + down**2
    cosine = down / np.sqrt(d2)
    return (candela * cosine / d2).sum(axis=1), (candela * (1 + cosine) / (4 * d2)).sum(axis=1)


def _at_faces(source: Source, luminaires: Luminaires, along: Floats, across: Floats, orientation: str) -> list[Floats]:
    """Cylindrical, vertical forward and back, semi-cylindrical forward and back."""
    d_along, d_across, down = _pairs(luminaires, along, across, FACE_M)
    candela = _candela(source, luminaires, d_along, d_across, down, orientation)
    r = np.hypot(d_along, d_across)
    d2 = r**2 + down**2
    if not d2.all():
        raise LightingError(f"a luminaire hangs at a point of the grid, {FACE_M:g} m up; is its height right?")
    per_area = candela / (d2 * np.sqrt(d2))  # times r: I sin e / d2, also straight below, where sin e is 0
    found = [(per_area * r).sum(axis=1) / np.pi]
    towards = -d_along  # r cos a of planes that face +x
    found += [(per_area * np.maximum(way * towards, 0.0)).sum(axis=1) for way in (1, -1)]
    found += [(per_area * (r + way * towards)).sum(axis=1) / np.pi for way in (1, -1)]
    return found


def _angle_problems(tilt_deg: float, rotation_deg: float) -> list[str]:
    problems = []
    if not abs(tilt_deg) <= 90:
        problems.append(f"tilt is {tilt_deg:g} degrees; it lies between -90 and 90")
    if not abs(rotation_deg) <= 360:
        problems.append(f"rotation is {rotation_deg:g} degrees; it lies between -360 and 360")
    return problems


def read_positions(
    file: Path,
    *,
    width_m: float,
    height_m: float | None = None,
    level: float = 1.0,
    tilt_deg: float = 0.0,
    rotation_deg: float = 0.0,
) -> Luminaires:
    """Luminaires from a CSV with the columns x, y, height_m and dim, in metres and 0..1.

    height_m, dim and tilt may be missing or empty: then they are the arguments' `height_m`, 1 and `tilt_deg`. `level`
    scales each dim. Where a luminaire faces is the column `faces` (degrees, anticlockwise from +x) or else across the
    road, from whichever side of its middle it stands on. A semicolon may part the columns, with decimal commas.
    """
    problems = _angle_problems(tilt_deg, rotation_deg)
    if not 0 <= level <= 1:
        problems.append(f"dim is {level:g}; a level lies between 0 and 1")
    names, rows = read_table(file, "x,y,height_m,dim", _MOST_LUMINAIRES)
    missing = [name for name in ("x", "y") if name not in names]
    if height_m is None and "height_m" not in names:
        missing.append("height_m")
    if missing:
        raise LightingError(
            f"{file} has the columns {', '.join(names)[:120] or 'of no name'}; expected x,y,height_m,dim, and "
            f"{' and '.join(missing)} is missing"
        )
    numbers: dict[str, list[float]] = {"x": [], "y": [], "height_m": [], "dim": [], "faces": [], "tilt": []}
    for line, row in rows:
        across = _cell(row, "y", None, -_MOST_M, _MOST_M, line, problems)
        facing = 90.0 if across <= width_m / 2 else 270.0
        numbers["x"].append(_cell(row, "x", None, -100 * _MOST_M, 100 * _MOST_M, line, problems))
        numbers["y"].append(across)
        numbers["height_m"].append(_cell(row, "height_m", height_m, 0.1, 100.0, line, problems))
        numbers["dim"].append(_cell(row, "dim", 1.0, 0.0, 1.0, line, problems) * level)
        numbers["faces"].append(_cell(row, "faces", facing, -360.0, 360.0, line, problems) + rotation_deg)
        numbers["tilt"].append(_cell(row, "tilt", tilt_deg, -90.0, 90.0, line, problems))
    if not rows:
        problems.append("it has no row")
    if problems:
        raise LightingError(gather(str(file), problems))
    return Luminaires(*(np.array(numbers[name]) for name in ("x", "y", "height_m", "dim", "faces", "tilt")))


def _cell(
    row: dict[str, str], name: str, otherwise: float | None, low: float, high: float, line: int, problems: list[str]
) -> float:
    """A number of a row within bounds; what is wrong is added to the problems."""
    text = row.get(name, "")
    if not text and otherwise is not None:
        return otherwise
    try:
        value = number(text)
    except ValueError:
        problems.append(f"line {line}: {name} '{text[:20]}' is no number")
        return 0.0
    if not low <= value <= high:
        problems.append(f"line {line}: {name} {value:g} does not lie between {low:g} and {high:g}")
        return 0.0
    return value
