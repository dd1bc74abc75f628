"""The map tried on answers that it has not seen: how much better than simpler guesses, and how honest its intervals.

The predictions are those of `held_out`; here they are scored.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from analytics import scores
from analytics.fitting import INSTRUMENT
from analytics.held_out import GUESSES, HeldOut, Progress, held_out, sample_of
from analytics.surroundings import Surroundings
from sensors.city import City
from sensors.instrument import load_instrument
from sensors.night import Night

GOOD_SKILL = 0.08  # against climatology, of a real city (perception.md 4)


@dataclass(frozen=True)
class Scheme:
    """What came of one way of leaving out; scores are means over answers, lower is better."""

    name: str
    answers: int
    distance_m: float  # median from an answer left out to the nearest kept
    score: dict[str, dict[str, float]]  # rps, log, brier of the map and of each guess
    skill: dict[str, scores.Skill]  # RPSS of the map against each guess
    pit: list[float]
    said: list[float]
    found: list[float]
    counted: list[int]
    calibration_error: float
    coverage: float  # of 90 % intervals of shares of blocks


@dataclass(frozen=True)
class Validation:
    """How a city's map does on answers it has not seen."""

    city: str
    night: str
    answers: int
    people: int
    simulated: bool
    preset: str
    sample: dict[str, Any]  # as `Sample.summary`
    schemes: list[Scheme] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and lists, as JSON takes them."""
        return asdict(self)


def validate(
    city: City,
    surroundings: Surroundings,
    knowledge: Any,
    *,
    before: Night | None = None,
    preset: str = "standard",
    progress: Progress | None = None,
) -> Validation:
    """Try the map of a city in four ways; ModelError where there are too few answers to leave any out.

    progress : called with (done, all) fits
    """
    sample = sample_of(city, surroundings, knowledge, before)
    tried = held_out(sample, city, surroundings, preset=preset, progress=progress)
    summary = sample.summary()
    return Validation(
        city=city.name,
        night="" if before is None else before.name,
        answers=summary["answers"],
        people=summary["people"],
        simulated=bool((sample.table["origin"] == "simulated").any()),
        preset=preset,
        sample=summary,
        schemes=[_scheme(part) for part in tried],
    )


def _scheme(part: HeldOut) -> Scheme:
    category, said = part.category, part.below
    safe_from = load_instrument(INSTRUMENT).safe_from
    rps = {guess: scores.ranked_probability(below, category) for guess, below in said.items()}
    together = part.person if part.name == "respondents" else part.square
    reliable = scores.reliability(said["map"], category, safe_from, person=part.person)
    return Scheme(
        name=part.name,
        answers=len(category),
        distance_m=part.distance_m,
        score={
            guess: {
                "rps": float(rps[guess].mean()),
                "log": float(scores.logarithmic(below, category).mean()),
                "brier": float(scores.brier(below, category, safe_from).mean()),
            }
            for guess, below in said.items()
        },
        skill={guess: scores.skill(rps["map"], rps[guess], together) for guess in GUESSES},
        pit=[float(share) for share in scores.pit(said["map"], category)],
        said=[float(value) for value in reliable.said],
        found=[float(value) for value in reliable.found],
        counted=[int(value) for value in reliable.answers],
        calibration_error=scores.calibration_error(said["map"], category, safe_from),
        coverage=scores.block_coverage(1 - said["map"][:, safe_from - 2], part.sd, category, safe_from, part.square),
    )
