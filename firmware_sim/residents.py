"""Answers of simulated residents: who is out where and when, and how safe they say they feel.

Residents are invented. Each has a gender, an age, habits and a temper of their own, and answers some four times in
eight weeks, on streets that people walk, when people walk them. Like a real campaign theirs is skewed: 55 % women, few
older people, most answers early on weekend evenings. What they answer follows `firmware_sim.safety` from the light
(dead lamps included), the crowd and the noise of that place and moment. The service imports the file as anyone's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyproj import Transformer

from firmware_sim import safety
from firmware_sim.crowd import STEP_MS, Passing, crowd_night, hours_of_evening, step_ends
from firmware_sim.lamps import Lamps, Lighting, lamp_night, sun_of
from firmware_sim.noise import Hearing
from firmware_sim.streams import stream
from firmware_sim.town import Floats, Ints, Town
from sensors.errors import CityError
from sensors.night import Night

INSTRUMENT = "core-4"
ANSWERS_EACH = 4
FEWEST_PEOPLE = 300
_CIVIL_DEG = -6.0
_LAST_HOUR = 30.0  # 06:00
_SPREAD_M = 4.0  # how far from the middle of the street people stand
_OWN_PLACES = 12  # streets that a resident comes by
_GENDERS = {"woman": 0.55, "man": 0.41, "another": 0.02, "undisclosed": 0.02}
_AGES = {"16-24": 0.30, "25-44": 0.42, "45-64": 0.19, "65+": 0.05, "undisclosed": 0.04}
_DISABILITY = {"no": 0.88, "yes": 0.08, "undisclosed": 0.04}
_ROLES = {"resident": 0.55, "visitor": 0.27, "worker": 0.14, "undisclosed": 0.04}
_FAMILIARITY = {"daily": 0.35, "often": 0.35, "seldom": 0.20, "first-time": 0.10}
_TRIGGERS = {"prompted": 0.50, "random-time": 0.25, "spontaneous": 0.20, "intercept": 0.05}
_NIGHT_WEIGHT = (0.8, 0.8, 0.9, 1.1, 1.9, 2.0, 0.7)  # of the evenings Monday to Sunday
Texts = npt.NDArray[np.object_]


def residents_answers(town: Town, nights: Sequence[Night], n: int) -> pd.DataFrame:
    """`n` answers of at least 300 people over the nights, in the columns that `noctule survey import` reads.

    Fewer people than 300 answer only when fewer than 300 answers are asked for.
    """
    generator = stream(town.seed, "residents", nights[0].date)
    people = min(n, max(FEWEST_PEOPLE, n // ANSWERS_EACH))
    person = _people(generator, people)
    who = np.concatenate([np.arange(people), generator.integers(0, people, n - people)])
    piece = _places(town, generator, people)[who, generator.integers(0, _OWN_PLACES, n)]
    points = town.walk.points[piece] + generator.normal(0.0, _SPREAD_M, (n, 2))
    night, times_ms = _moments(town, nights, generator, n)
    alone = generator.random(n) < 0.55
    trigger = _choose(generator, _TRIGGERS, n)
    eta = _conditions(town, nights, night, times_ms, points, person["gender"][who])
    eta += safety.place_effect(town, points) + _group_effect(person, who, alone, trigger)
    answer = safety.category(eta, generator.standard_normal(n))
    said_alone = np.where(generator.random(n) < 0.04, "undisclosed", np.where(alone, "alone", "accompanied"))
    lonlat = Transformer.from_crs(town.city.crs, "EPSG:4326", always_xy=True).transform(points[:, 0], points[:, 1])
    frame = pd.DataFrame(
        {
            "instrument": INSTRUMENT,
            "category": answer,
            "lon": np.round(lonlat[0], 6),
            "lat": np.round(lonlat[1], 6),
            "time": np.char.add(np.datetime_as_string(times_ms.astype("datetime64[ms]"), unit="s"), "Z"),
            "light_state": "dark",
            "gender": person["gender"][who],
            "age_band": person["age_band"][who],
            "disability": person["disability"][who],
            "alone": said_alone,
            "role": person["role"][who],
            "familiarity": person["familiarity"][who],
            "trigger": trigger,
            "weight": 1.0,
            "pseudonym": person["pseudonym"][who],
        }
    )
    frame = frame.iloc[np.lexsort((who, times_ms))].reset_index(drop=True)
    frame.insert(0, "response_id", [f"sim-{town.seed}-{nights[0].name}-{number:05d}" for number in range(n)])
    return frame


def _people(generator: np.random.Generator, n: int) -> dict[str, npt.NDArray[np.generic]]:
    return {
        "gender": _choose(generator, _GENDERS, n),
        "age_band": _choose(generator, _AGES, n),
        "disability": _choose(generator, _DISABILITY, n),
        "role": _choose(generator, _ROLES, n),
        "familiarity": _choose(generator, _FAMILIARITY, n),
        "temper": generator.normal(0.0, safety.PERSON_SD, n),
        "pseudonym": np.array([f"p{number:08x}" for number in generator.integers(0, 2**32, n)], object),
    }


def _choose(generator: np.random.Generator, shares: dict[str, float], n: int) -> Texts:
    return generator.choice(np.array(list(shares), object), n, p=list(shares.values()))


def _places(town: Town, generator: np.random.Generator, people: int) -> Ints:
    """Pieces of street that each person comes by, (people, 12): the busier, the likelier."""
    weight = town.base**0.7 * town.walk.length_m
    drawn = generator.choice(len(weight), (people, _OWN_PLACES), p=weight / weight.sum())
    return np.asarray(drawn, np.int64)


def _moments(town: Town, nights: Sequence[Night], generator: np.random.Generator, n: int) -> tuple[Ints, Ints]:
    """Night (row of `nights`) and time (UTC ms) of each answer: in the dark, when people are about."""
    densities = [_density(town, night) for night in nights]
    weights = np.array([_NIGHT_WEIGHT[night.weekday] for night in nights])
    weights *= [density.any() for density in densities]  # white nights have no dark hour
    if not weights.any():
        raise CityError(
            f"no night from {nights[0].name} to {nights[-1].name} gets dark at {town.city.name}; "
            "choose others with --until"
        )
    chosen = generator.choice(len(nights), n, p=weights / weights.sum())
    within = generator.random(n)
    times_ms = np.zeros(n, np.int64)
    for row, (night, density) in enumerate(zip(nights, densities, strict=True)):
        mine = np.flatnonzero(chosen == row)
        if len(mine):
            step = np.searchsorted(np.cumsum(density) / density.sum(), within[mine], side="right")
            ends = step_ends(night)[np.minimum(step, len(density) - 1)]
            times_ms[mine] = ends - generator.integers(0, STEP_MS, len(mine))
    return chosen, times_ms // 1000 * 1000


def _density(town: Town, night: Night) -> Floats:
    """How many answers come in each step of 5 minutes, relative; they thin out more slowly than the crowd."""
    hours = hours_of_evening(step_ends(night), night)
    dark = (sun_of(town, night) < _CIVIL_DEG) & (hours < _LAST_HOUR)
    return np.where(dark, np.exp(-np.maximum(hours - 21.0, 0.0) / 3.0) * np.where(hours < 18, 0.5, 1.0), 0.0)


def _conditions(
    town: Town, nights: Sequence[Night], night: Ints, times_ms: Ints, points: Floats, gender: npt.NDArray[np.generic]
) -> Floats:
    """What place and moment give to each answer, women's own view of light included."""
    passing = Passing.at(town, points)
    hearing = Hearing.at(town, points, "residents")
    lamps = Lamps.of(town)
    ground = np.zeros(len(points))
    lighting = Lighting.at(town, lamps, points, ground, ground > 0)
    eta = np.zeros(len(points))
    for row, evening in enumerate(nights):
        mine = np.flatnonzero(night == row)
        if not len(mine):
            continue
        crowd = crowd_night(town, evening)
        step = crowd.step_of(times_ms[mine])
        light = lighting.illuminance_at(lamp_night(town, lamps, evening), evening, mine, times_ms[mine])
        flow = passing.flow_at(town, crowd, mine, step)
        level = hearing.levels_at(town, crowd, mine, step)
        hours = hours_of_evening(times_ms[mine], evening)
        weekend = np.full(len(mine), float(evening.weekday in (4, 5)))
        women = (gender[mine] == "woman") * safety.COEFFICIENTS["woman x light"] * safety.light_term(light)
        eta[mine] = safety.conditions(light, flow, level, hours, weekend) + women
    return eta


def _group_effect(
    person: dict[str, npt.NDArray[np.generic]], who: Ints, alone: npt.NDArray[np.bool_], trigger: Texts
) -> Floats:
    effect = np.asarray(person["temper"], np.float64)[who] + alone * safety.COEFFICIENTS["alone"]
    for column, value in (("gender", "woman"), ("gender", "another"), ("age_band", "16-24"), ("age_band", "65+")):
        effect = effect + (person[column][who] == value) * safety.COEFFICIENTS[value]
    effect = effect + (person["disability"][who] == "yes") * safety.COEFFICIENTS["disability"]
    effect = effect + (person["role"][who] == "visitor") * safety.COEFFICIENTS["visitor"]
    return np.asarray(effect + (trigger == "spontaneous") * safety.COEFFICIENTS["spontaneous"], np.float64)
