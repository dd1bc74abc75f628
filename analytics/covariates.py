"""What may go with an answer: transforms of the fields, of the hour and of who answered, each with its prior.

Forms and effect sizes are those of perception.md 2 and 3, in probit units (1 = one sd of individual noise):
light       L(E) = ln(1 + min(E, 50)/2) / ln 16: 0 in the dark, 1 at 30 lx, flat after 50
evenness    U = (E_min/E_mean - 0.1) / 0.3 within 0..1: poor up to 0.1, good from 0.4
people      F = ln(1 + f/2) / ln 16, f in passers a minute; crowd = ln(f/f0) above f0
noise       (LAeq - 60)/10, and what is left of it after people: (LAeq - (a + b F))/10
hour        natural cubic spline on hours since 18:00 local, knots every three hours, 0 at 21:00
closing     exp(-|minutes to or after closing|/30), fading with the distance to the venue
colour      (correlated colour temperature - 3,000 K) / 1,000 K of the lamps around, after dark
open view   mean free distance to the next wall over 50 m, 0 (shut in) to 1 (a square), less 1/2; and L times it
presence    exp(-distance/25 m) of a camera, staff or a patrol that people can see, at the hours at which it is there

The eventfulness and the peaks of noise (N2, N3) of the same chapter need fields that are not there yet; they join the
table below when they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import uniform_filter

from sensors.night import local_offset, nights_of
from sensors.places import PRESENCE

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[np.floating[Any]]
Times = npt.NDArray[np.datetime64]
Ints = npt.NDArray[np.int64]

LOG_16 = float(np.log(16.0))
FLAT_FROM_LX = 50.0
CROWD_FROM_PER_MINUTE = 30.0  # perception.md 2: until a cell's own 90th percentile is known
CLOSING_MINUTES = 30.0
PRESENCE_REACH_M = 25.0  # a camera or a member of staff is seen across a street; our choice, no source
CLOSING_REACH_M = 150.0  # a closing venue is heard and met about a block away; our choice, no source
EVEN_WITHIN_M = 50.0  # side of the window of the mean, the span of `illuminance_min` (25 m each way)
KNOTS_H = (0.0, 3.0, 6.0, 9.0, 12.0)  # 18:00, 21:00, 00:00, 03:00, 06:00
REFERENCE_KNOT = 1  # 21:00


@dataclass(frozen=True, slots=True)
class Term:
    """One number of the model: its prior, why that, and how a person reads it."""

    name: str
    part: str  # 'light', 'people', 'noise', 'hour', 'presence', 'view', 'group' or 'asking'
    mean: float
    sd: float
    words: str
    reason: str


_PLACE = (
    Term("light", "light", 0.8, 0.5, "light, dark to 30 lx", "Sheffield, Boyce, Israel: rises and saturates"),
    Term("light_even", "light", 0.3, 0.3, "light that is even", "5 lx at 2:1 felt like 20 lx at 15:1: 0.4 of light"),
    Term("people", "people", 0.4, 0.4, "people around", "people present lower fear, momentary studies"),
    Term("crowd", "people", -0.2, 0.3, "a crowd", "Cardiff, GB busy places: a rise, then a fall"),
    Term("noise", "noise", 0.0, 0.3, "sound, per 10 dB", "sign depends on the source"),
    Term("noise_rest", "noise", -0.1, 0.3, "sound that people do not explain, per 10 dB", "Turin: technological sound"),
    Term("closing_wave", "hour", 0.0, 0.3, "venues closing", "no published size"),
    Term("camera", "presence", 0.0, 0.3, "a camera in view", "22 controlled studies: little evidence either way"),
    Term("staff", "presence", 0.0, 0.3, "staff in view", "no published size; no sign is assumed"),
    Term("patrol", "presence", 0.0, 0.3, "a patrol in view", "reassures some and alarms others; no sign is assumed"),
    Term(
        "colour", "light", 0.0, 0.15, "colder light, per 1,000 K", "contradictory: small gain, minor, warm felt safer"
    ),
    Term("open", "view", 0.0, 0.3, "an open view", "prospect and entrapment carry light's link; no size"),
    Term("light_open", "light", 0.0, 0.25, "light where the view is open", "interactions are shrunken"),
)
_TIME = (
    Term("hour_18", "hour", 0.0, 0.5, "18:00 against 21:00", "no hour curve that could be verified"),
    Term("hour_00", "hour", 0.0, 0.5, "midnight against 21:00", "as 18:00"),
    Term("hour_03", "hour", 0.0, 0.5, "3:00 against 21:00", "as 18:00"),
    Term("hour_06", "hour", 0.0, 0.5, "6:00 against 21:00", "as 18:00"),
    Term("weekend", "hour", 0.0, 0.3, "a Friday or Saturday night", "no published size"),
)
_GROUP = (
    Term("woman", "group", -0.8, 0.4, "women", "GB 2021, E&W 2015, South Tyrol: -0.5 to -1.2"),
    Term("another_gender", "group", 0.0, 0.4, "people of another gender", "no published size; shrunken, not dropped"),
    Term("gender_undisclosed", "group", 0.0, 0.25, "gender not told", "shrunken, not dropped"),
    Term("age_16_24", "group", -0.1, 0.3, "16 to 24 years", "GB 2021: women 16-34 about -0.18"),
    Term("age_45_64", "group", 0.0, 0.25, "45 to 64 years", "shrunken"),
    Term("age_65", "group", -0.2, 0.4, "65 years and more", "GB 2021: women 75+ about -0.13"),
    Term("age_undisclosed", "group", 0.0, 0.25, "age not told", "shrunken, not dropped"),
    Term("disability", "group", -0.2, 0.4, "disabled people", "ONS: lower in every setting"),
    Term("disability_undisclosed", "group", 0.0, 0.25, "disability not told", "shrunken, not dropped"),
    Term("alone", "group", -0.3, 0.4, "being alone", "momentary fear is lower in company"),
    Term("alone_undisclosed", "group", 0.0, 0.25, "company not told", "shrunken, not dropped"),
    Term("visitor", "group", 0.0, 0.25, "visitors", "zero-mean, shrunken"),
    Term("worker", "group", 0.0, 0.25, "people at work", "zero-mean, shrunken"),
    Term("role_undisclosed", "group", 0.0, 0.25, "role not told", "shrunken, not dropped"),
    Term("here_often", "group", 0.0, 0.25, "here often, not daily", "zero-mean, shrunken"),
    Term("here_seldom", "group", 0.0, 0.25, "here seldom", "zero-mean, shrunken"),
    Term("first_time", "group", 0.0, 0.25, "here for the first time", "zero-mean, shrunken"),
    Term("familiarity_undisclosed", "group", 0.0, 0.25, "familiarity not told", "shrunken, not dropped"),
    Term("woman_alone", "group", 0.0, 0.25, "women alone, beyond both", "interactions are shrunken"),
)
_CROSSED = (
    Term("woman_light", "light", 0.0, 0.25, "light, for women beyond all", "interactions are shrunken"),
    Term("older_light", "light", 0.0, 0.25, "light, for 65+ beyond all", "interactions are shrunken"),
    Term("woman_camera", "presence", 0.0, 0.25, "a camera, for women beyond all", "interactions are shrunken"),
    Term("woman_staff", "presence", 0.0, 0.25, "staff, for women beyond all", "interactions are shrunken"),
    Term("woman_patrol", "presence", 0.0, 0.25, "a patrol, for women beyond all", "interactions are shrunken"),
    Term("woman_people", "people", 0.0, 0.25, "people around, for women beyond all", "732 people: people x gender"),
    Term("woman_late", "hour", 0.0, 0.25, "six hours later, for women beyond all", "interactions are shrunken"),
)
_ASKING = (
    Term("day", "asking", 1.0, 0.6, "daylight", "parks, GB 2022: the whole gap is 1.6-1.7, streets less"),
    Term("random_time", "asking", 0.0, 0.25, "asked at a random time", "against prompted"),
    Term("intercept", "asking", 0.0, 0.25, "asked in the street", "against prompted"),
    Term("panel", "asking", 0.0, 0.25, "asked in a panel", "against prompted"),
    Term("spontaneous", "asking", -0.3, 0.4, "spontaneous report", "self-selected by feeling"),
)

FEATURES: tuple[str, ...] = tuple(term.name for term in _PLACE)
TERMS: tuple[Term, ...] = _PLACE + _TIME + _GROUP + _CROSSED + _ASKING
NAMES: tuple[str, ...] = tuple(term.name for term in TERMS)
COLUMN: dict[str, int] = {name: index for index, name in enumerate(NAMES)}
# The preset for planners (perception.md 3): 47 studies hold little evidence that lighting lowers fear.
SCEPTICAL: dict[str, tuple[float, float]] = {"light": (0.3, 0.3)}
PRESETS = ("standard", "sceptical")
AFTER_DARK = ("light", "light_even", "colour", "light_open")  # what daylight makes nothing of

_LEVELS: dict[str, dict[str, str]] = {  # column of the answer -> code -> term; a code without a term is the reference
    "gender": {"woman": "woman", "another": "another_gender", "undisclosed": "gender_undisclosed"},
    "age_band": {
        "16-24": "age_16_24",
        "45-64": "age_45_64",
        "65+": "age_65",
        "undisclosed": "age_undisclosed",
    },
    "disability": {"yes": "disability", "undisclosed": "disability_undisclosed"},
    "alone": {"alone": "alone", "undisclosed": "alone_undisclosed"},
    "role": {"visitor": "visitor", "worker": "worker", "undisclosed": "role_undisclosed"},
    "familiarity": {
        "often": "here_often",
        "seldom": "here_seldom",
        "first-time": "first_time",
        "undisclosed": "familiarity_undisclosed",
    },
}
_TRIGGERS = {"random-time": "random_time", "intercept": "intercept", "panel": "panel", "spontaneous": "spontaneous"}
GROUP_COLUMNS: tuple[str, ...] = tuple(_LEVELS)
GROUP_TERMS: tuple[str, ...] = tuple(term.name for term in _GROUP)


def light(illuminance_lx: Array) -> Array:
    """How much light counts: 0 in the dark, 0.25 at 2 lx, 1 at 30 lx, flat after 50 lx.

    >>> light(np.array([0.0, 2.0, 30.0, 500.0])).round(3)
    array([0.   , 0.25 , 1.   , 1.175])
    """
    felt: Array = np.log1p(np.minimum(illuminance_lx, FLAT_FROM_LX) / 2) / LOG_16
    return felt


def light_slope(illuminance_lx: Array) -> Array:
    """Change of `light` per unit of ln lx, below the flat part."""
    capped = np.minimum(illuminance_lx, FLAT_FROM_LX)
    slope: Array = capped / (2 + capped) / LOG_16
    return slope


def evenness(illuminance_lx: Array, minimum_lx: Array, cell_m: float) -> Array:
    """How even light is on a street, 0 (poor) to 1 (good); NaN where the minimum is not known.

    illuminance_lx, minimum_lx : (n_northing, n_easting) arrays; the minimum is of the street within 25 m
    """
    known = np.isfinite(illuminance_lx)
    side = max(1, 2 * round(EVEN_WITHIN_M / 2 / cell_m) + 1)
    total = uniform_filter(np.where(known, illuminance_lx, 0).astype(np.float32), side, mode="constant")
    share = uniform_filter(known.astype(np.float32), side, mode="constant")
    # The running sums of the filter leave about 1e-7 of the largest value where nothing is.
    mean = np.where(share > 0.5 / side**2, total / np.maximum(share, 0.5 / side**2), np.nan)
    return evenness_of(minimum_lx, mean)


def evenness_of(minimum_lx: Array, mean_lx: Array) -> Array:
    """Evenness from the minimum and the mean: 0 up to a ratio of 0.1, 1 from 0.4.

    >>> evenness_of(np.array([0.5, 2.5, 5.0]), np.array([10.0, 10.0, 10.0]))
    array([0. , 0.5, 1. ])
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(mean_lx > 0, minimum_lx / mean_lx, 0.0)
    even: Array = np.clip((np.where(np.isnan(minimum_lx), np.nan, ratio) - 0.1) / 0.3, 0, 1)
    return even.astype(minimum_lx.dtype)


def people(footfall_per_hour: Array) -> Array:
    """How much people around count: 0 for nobody, 1 at 30 passers a minute."""
    return np.log1p(footfall_per_hour / 120) / LOG_16


def people_slope(footfall_per_hour: Array) -> Array:
    """Change of `people` per unit of ln footfall."""
    return footfall_per_hour / (120 + footfall_per_hour) / LOG_16


def crowd(footfall_per_hour: Array) -> Array:
    """How far a place is beyond busy: ln of the passers over 30 a minute, 0 below."""
    beyond: Array = np.log(np.maximum(footfall_per_hour / (60 * CROWD_FROM_PER_MINUTE), 1))
    return beyond


def noise(level_db: Array) -> Array:
    """LAeq in tens of dB above 60."""
    return (level_db - 60) / 10


def noise_rest(level_db: Array, people_around: Array, on_people: tuple[float, float]) -> Array:
    """LAeq that people do not explain, in tens of dB; `on_people` is (dB at nobody, dB per unit of `people`)."""
    return (level_db - (on_people[0] + on_people[1] * people_around)) / 10


def noise_explained(level_db: Floats, people_around: Floats, weight: Floats) -> tuple[float, float]:
    """What level people explain: intercept in dB and dB per unit of `people`, by weighted least squares."""
    mean_level, mean_people = np.average(level_db, weights=weight), np.average(people_around, weights=weight)
    spread = np.average((people_around - mean_people) ** 2, weights=weight)
    together = np.average((people_around - mean_people) * (level_db - mean_level), weights=weight)
    slope = float(together / spread) if spread > 1e-9 else 0.0
    return float(mean_level - slope * mean_people), slope


def hours_into_night(times: Times, zone: ZoneInfo) -> Floats:
    """Hours since 18:00 local, held within 0 (18:00) to 12 (06:00); daytime goes to the nearer end."""
    since = (_local_minutes(times, zone) / 60 - 18) % 24
    return np.where(since > 18, 0.0, np.minimum(since, 12.0))


def weekend(times: Times, zone: ZoneInfo) -> npt.NDArray[np.bool_]:
    """Whether the night began on a Friday or a Saturday."""
    days = nights_of(times, zone).astype(np.int64)
    return np.isin((days + 3) % 7, (4, 5))  # 1970-01-01 was a Thursday


def hour_curve(hours: Floats) -> Floats:
    """The four columns of the hour: a coefficient is the height of the curve at its knot above that at 21:00.

    hours : (n,) array within 0..12; returns (n, 4)
    """
    knots = np.array(KNOTS_H)
    return np.delete(_natural_spline(knots, np.asarray(hours, np.float64)), REFERENCE_KNOT, axis=1)


def closing_wave(times: Times, closes_min: Floats, nearness: Array, zone: ZoneInfo) -> Floats:
    """How near closing time is, 0..1, where `nearness` (n, c) says how near venues of each closing time are.

    times : (n,) array
    closes_min : (c,) array, minutes after local noon of a Friday or Saturday; on other nights nothing is known: 0
    """
    if closes_min.size == 0:
        return np.zeros(len(times))
    minutes = (_local_minutes(times, zone) - 720) % 1440
    near_time = np.exp(-np.abs(minutes[:, None] - closes_min[None, :]) / CLOSING_MINUTES)
    return np.where(weekend(times, zone), (near_time * nearness).max(axis=1), 0.0)


def presence_near(
    times: Times, kind: Ints, from_min: Ints, to_min: Ints, nearness: Array, zone: ZoneInfo
) -> npt.NDArray[np.float32]:
    """How near what people can see of cameras, staff and patrols is, (n, 3), 0..1.

    kind : (w,) index into PRESENCE; from_min, to_min : (w,) minutes after local noon; nearness : (n, w)
    """
    near = np.zeros((len(times), len(PRESENCE)), np.float32)
    minutes = (_local_minutes(times, zone) - 720) % 1440
    for index in range(kind.size):
        here = (minutes >= from_min[index]) & (minutes < to_min[index])
        np.maximum(near[:, kind[index]], np.where(here, nearness[:, index], 0), out=near[:, kind[index]])
    return near


def raw_features(
    illuminance_lx: Array,
    even: Array,
    level_db: Array,
    footfall_per_hour: Array,
    closing: Array,
    noise_on_people: tuple[float, float],
    presence: Array | None = None,
    lie: Array | None = None,
) -> Array:
    """Columns as FEATURES of n places, (n, 13), from what the fields say; not yet held within the answers' range.

    presence : (n, 3) as `presence_near` gives it; nothing is there without it
    lie : (n, 2) as `lie_of` gives it; the usual colour and view without it
    """
    felt, around = light(illuminance_lx), people(footfall_per_hour)
    columns = [
        felt,
        felt * even,
        around,
        crowd(footfall_per_hour),
        noise(level_db),
        noise_rest(level_db, around, noise_on_people),
        closing,
        *(np.zeros((len(PRESENCE), len(closing)), np.float32) if presence is None else presence.T),
    ]
    colour, view = np.zeros((2, len(closing)), np.float32) if lie is None else lie.T
    columns += [colour, view, felt * view]
    return np.stack([np.asarray(column, illuminance_lx.dtype) for column in columns], axis=-1)


def features_of(raw: pd.DataFrame, typical_even: float, noise_on_people: tuple[float, float]) -> Floats:
    """Columns as FEATURES of some places and times, (n, 13), NaN where not known; not held within any range.

    raw : illuminance, even, noise, footfall, closing and, where they are known, what is in view, colour and view
    """
    said = {name: raw[name].to_numpy(np.float64) for name in raw}
    even = np.where(np.isnan(said["even"]), typical_even, said["even"])
    columns = said["illuminance"], even, said["noise"], said["footfall"], said["closing"]
    none = np.zeros(len(raw))
    seen, lie = (np.column_stack([said.get(name, none) for name in names]) for names in (PRESENCE, ("colour", "view")))
    return raw_features(*columns, noise_on_people, seen, lie).astype(np.float64)


def group_design(answers: pd.DataFrame) -> Floats:
    """Columns of who answered, (n, p) with all other terms 0; a person who did not say has a term for that."""
    design = np.zeros((len(answers), len(NAMES)))
    for column, levels in _LEVELS.items():
        codes = answers[column].to_numpy(dtype=object)
        for code, term in levels.items():
            design[:, COLUMN[term]] = codes == code
    design[:, COLUMN["woman_alone"]] = design[:, COLUMN["woman"]] * design[:, COLUMN["alone"]]
    return design


def time_design(times: Times, zone: ZoneInfo) -> Floats:
    """Columns of the hour and the weekend, (n, p) with all other terms 0."""
    design = np.zeros((len(times), len(NAMES)))
    curve = hour_curve(hours_into_night(times, zone))
    for index, term in enumerate(("hour_18", "hour_00", "hour_03", "hour_06")):
        design[:, COLUMN[term]] = curve[:, index]
    design[:, COLUMN["weekend"]] = weekend(times, zone)
    return design


def lateness(times: Times, zone: ZoneInfo) -> Floats:
    """Hours after 21:00 in units of six, what women's own line of time runs over."""
    return (hours_into_night(times, zone) - KNOTS_H[REFERENCE_KNOT]) / 6


def late(times: Times, zone: ZoneInfo) -> Floats:
    """How late it is at night: 0 before 22:00, 1 from 01:00 on, a ramp between them."""
    return np.clip((hours_into_night(times, zone) - 4) / 3, 0.0, 1.0)


def design(answers: pd.DataFrame, features: Floats, zone: ZoneInfo) -> Floats:
    """The design matrix (n, p) of answers, columns as `NAMES`.

    features : (n, 13) array, columns as `FEATURES`; in daylight the light columns do not count
    """
    times = answers["time"].to_numpy().astype("datetime64[ms]")
    matrix = group_design(answers) + time_design(times, zone)
    dark = (answers["light_state"] != "day").to_numpy(np.float64)
    matrix[:, : len(FEATURES)] = features
    for name in AFTER_DARK:
        matrix[:, COLUMN[name]] *= dark
    woman, older = matrix[:, COLUMN["woman"]], matrix[:, COLUMN["age_65"]]
    matrix[:, COLUMN["woman_light"]] = woman * matrix[:, COLUMN["light"]]
    matrix[:, COLUMN["older_light"]] = older * matrix[:, COLUMN["light"]]
    matrix[:, COLUMN["woman_people"]] = woman * matrix[:, COLUMN["people"]]
    for kind in PRESENCE:
        matrix[:, COLUMN[f"woman_{kind}"]] = woman * matrix[:, COLUMN[kind]]
    matrix[:, COLUMN["woman_late"]] = woman * lateness(times, zone)
    matrix[:, COLUMN["day"]] = 1 - dark
    triggers = answers["trigger"].to_numpy(dtype=object)
    for code, term in _TRIGGERS.items():
        matrix[:, COLUMN[term]] = triggers == code
    return matrix


def priors(preset: str = "standard") -> tuple[Floats, Floats]:
    """Prior means and sd of the terms, (p,) each; 'sceptical' expects less of light."""
    changed = SCEPTICAL if preset == "sceptical" else {}
    pairs = [changed.get(term.name, (term.mean, term.sd)) for term in TERMS]
    return np.array([mean for mean, _ in pairs]), np.array([sd for _, sd in pairs])


def _local_minutes(times: Times, zone: ZoneInfo) -> Floats:
    """Minutes since the local midnight of 1970."""
    moment = times.astype("datetime64[ms]").astype(np.int64) + local_offset(times, zone).astype(np.int64)
    return moment / 60_000


def _natural_spline(knots: Floats, at: Floats) -> Floats:
    """Values at `at` of the natural cubic splines that are 1 at one knot and 0 at the others, (n, n_knots)."""
    n = knots.size
    step = np.diff(knots)
    # Second derivatives at the inner knots from the values at all: tridiagonal system, zero at both ends.
    inner, second = np.zeros((n - 2, n - 2)), np.zeros((n - 2, n))
    for row in range(n - 2):
        inner[row, row] = (step[row] + step[row + 1]) / 3
        if row:
            inner[row, row - 1] = inner[row - 1, row] = step[row] / 6
        second[row, row : row + 3] = [1 / step[row], -1 / step[row] - 1 / step[row + 1], 1 / step[row + 1]]
    bend = np.vstack([np.zeros(n), np.linalg.solve(inner, second), np.zeros(n)])
    left = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, n - 2)
    width = step[left]
    a, b = (knots[left + 1] - at) / width, (at - knots[left]) / width
    value = np.zeros((at.size, n))
    rows = np.arange(at.size)
    value[rows, left] += a
    value[rows, left + 1] += b
    value += ((a**3 - a) * width**2 / 6)[:, None] * bend[left] + ((b**3 - b) * width**2 / 6)[:, None] * bend[left + 1]
    return value
