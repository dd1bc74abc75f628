"""Which lighting class a street section needs at an hour (CEN/TR 13201-1:2014): P = 6 - sum of weights, kept in 1..6.

A section's class comes from, in this order:

* its column `required_by_hour`, where the table has one: "18:00 P3; 23:00 P4; 05:00 P3", local, each from its time on;
* its `required_class`, where somebody stated it (`class_source` is not 'assumed'). With `lighting.adaptive` a stated P
  class is taken as that of the section's busiest night hour and gives way by the weight that use loses since;
* where it is assumed, by the parameters that its kind of street is taken to have (SITUATIONS, all assumed) and by how
  many people walk there at that hour. M and C classes do not follow footfall and stay.

Busy, normal and quiet are footfall against two thresholds of the city; the technical report gives no numbers. The ends
of footfall's 90 % interval give the least and the most that may be required.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import geopandas
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.lighting_classes import CLASSES
from sensors.city import ClassWeights, LightingSettings
from sensors.errors import LightingError, gather
from sensors.lanterns import LAMP_CLASS_OF_STREET

Floats = NDArray[np.float64]

BY_USE = "CEN/TR 13201-1, assumed parameters"
USES = ("quiet", "normal", "busy")
_HALF_WIDTH = 1.645  # of a 90 % interval, in sd
_ENTRY = re.compile(r"([01]\d|2[0-3]):([0-5]\d) ([A-Z]{1,2}\d)")


@dataclass(frozen=True)
class Situation:
    """What CEN/TR 13201-1 asks of a street, beside how many use it."""

    speed: str  # 'low' or 'walking'
    composition: str  # 'all', 'pedestrians_motor', 'pedestrians_cyclists', 'pedestrians' or 'cyclists'
    parked: bool
    ambient: str  # 'high', 'moderate' or 'low'


# By the typical installation of a kind of street (sensors/lanterns.py). Assumed: nobody looked at the street.
SITUATIONS = {
    "footpath": Situation("walking", "pedestrians_cyclists", False, "low"),
    "residential": Situation("low", "all", True, "low"),
    "nightlife": Situation("walking", "all", False, "high"),
}


def p_class(situation: Situation, use: str, weights: ClassWeights) -> str:
    """The P class of a situation at a use.

    >>> p_class(SITUATIONS["residential"], "quiet", ClassWeights())
    'P4'
    """
    total = (
        getattr(weights, f"speed_{situation.speed}")
        + getattr(weights, f"use_{use}")
        + getattr(weights, f"composition_{situation.composition}")
        + (weights.parked if situation.parked else 0)
        + getattr(weights, f"ambient_{situation.ambient}")
    )
    return f"P{min(max(6 - total, 1), 6)}"


def use_of(persons_h: float, lighting: LightingSettings) -> str:
    """Whether so many people an hour are quiet, normal or busy."""
    return "busy" if persons_h >= lighting.busy_from else "quiet" if persons_h < lighting.quiet_below else "normal"


def is_schedule(text: str) -> bool:
    """Whether a text states classes by hour.

    >>> is_schedule("18:00 P3; 23:00 P4"), is_schedule("18:00 P3, 23:00 P4")
    (True, False)
    """
    parts = [_ENTRY.fullmatch(part.strip()) for part in text.strip().strip(";").split(";")]
    return all(part is not None and part[3] in CLASSES for part in parts)


def required_at(
    sections: geopandas.GeoDataFrame,
    kinds: NDArray[np.object_],
    minute: int,
    persons_h: Floats,
    persons_sd: Floats,
    peak_h: Floats,
    lighting: LightingSettings,
) -> pd.DataFrame:
    """The class that each section needs at a local time.

    Parameters
    ----------
    sections : the table `sections`
    kinds : (n,) kind of the street of each
    minute : minutes after local midnight
    persons_h, persons_sd : (n,) footfall at that hour, median, and the sd of its logarithm
    peak_h : (n,) footfall of the section's busiest night hour of the week

    Returns
    -------
    DataFrame, a row a section
        required, required_least and required_most (at the ends of footfall's 90 % interval), required_source,
        required_how, use
    """
    problems = _problems(sections)
    if problems:
        raise LightingError(gather("places/sections", problems))
    listed = sections["required_by_hour"] if "required_by_hour" in sections else [""] * len(sections)
    rows = []
    for stated, source, kind, schedule, people, sd, peak in zip(
        sections["required_class"], sections["class_source"], kinds, listed, persons_h, persons_sd, peak_h, strict=True
    ):
        uses = [use_of(people * np.exp(way * _HALF_WIDTH * sd), lighting) for way in (0.0, -1.0, 1.0)]
        if isinstance(schedule, str) and schedule.strip():
            names, how = [_from_schedule(schedule, minute)] * 3, "stated by hour"
        else:
            choices = [_choice(str(stated or ""), str(source or ""), str(kind), use, peak, lighting) for use in uses]
            names, how = [name for name, _ in choices], choices[0][1]
        rows.append((names[0], names[1], names[2], str(source or ""), how, uses[0]))
    return pd.DataFrame(
        rows, columns=["required", "required_least", "required_most", "required_source", "required_how", "use"]
    )


def _choice(
    stated: str, source: str, kind: str, use: str, peak_h: float, lighting: LightingSettings
) -> tuple[str, str]:
    """Class, and how it was chosen."""
    family = CLASSES[stated].family if stated else ""
    if source == "assumed":
        situation = SITUATIONS.get(LAMP_CLASS_OF_STREET.get(kind, "footpath" if family == "P" else ""))
        if situation is None or family != "P":
            return stated, "assumed by kind of street"
        return p_class(situation, use, lighting.weights), BY_USE
    if family != "P" or not lighting.adaptive:
        return stated, "stated" if stated else ""
    weight = {word: int(getattr(lighting.weights, f"use_{word}")) for word in USES}
    lost = weight[use_of(peak_h, lighting)] - weight[use]
    base = int(stated[1:])
    number = max(base, min(base + max(lost, 0), 6))
    return f"P{number}", "stated for its busiest hour, CEN/TR 13201-1 since"


def _from_schedule(text: str, minute: int) -> str:
    """The entry that holds at a minute after midnight; before the first one the last still does."""
    entries = sorted((int(hour) * 60 + int(part), str(name)) for hour, part, name in _ENTRY.findall(text))
    begun = [name for at, name in entries if at <= minute]
    return begun[-1] if begun else entries[-1][1]


def _problems(sections: geopandas.GeoDataFrame) -> list[str]:
    stated = sections["required_class"].fillna("").astype(str)
    odd = sorted({name for name in stated if name and name not in CLASSES})
    problems = [
        f"required_class '{name[:20]}' of {int((stated == name).sum())} sections is not known; expected one like P3, "
        "C4 or M4, or nothing"
        for name in odd
    ]
    if "required_by_hour" in sections:
        texts = sorted({text for text in sections["required_by_hour"].fillna("").astype(str) if text.strip()})
        problems += [
            f"required_by_hour '{text[:40]}' is not like '18:00 P3; 23:00 P4'"
            for text in texts
            if not is_schedule(text)
        ]
    return problems
