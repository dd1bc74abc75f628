"""The fitted response of feeling safe: coefficients, their uncertainty, whom it is of and what it was fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analytics import covariates
from analytics.applicability import EVERYWHERE, Applicability
from analytics.covariates import NAMES, Floats
from analytics.place_effect import PlaceEffect
from analytics.place_fit import PlaceFit


@dataclass(frozen=True)
class Places:
    """What stands still: where the sun is seen from, when venues close, what is in view, and how near it is.

    longitude, latitude : of the city, degrees; closes_min : (c,) minutes after local noon of bars' closing times;
    nearness : (c, northing, easting) f4, 1 at a venue, fading
    presence_kind : (w,) index into PRESENCE of each kind and span of hours; presence_from, presence_to : (w,) minutes
    after local noon; presence_near : (w, northing, easting) f4, 1 where it is, fading
    colour, view : (northing, easting) f4, of light and how open it is (analytics/lie.py), 0 the usual
    """

    longitude: float
    latitude: float
    closes_min: Floats
    nearness: npt.NDArray[np.float32]
    presence_kind: npt.NDArray[np.int64]
    presence_from: npt.NDArray[np.int64]
    presence_to: npt.NDArray[np.int64]
    presence_near: npt.NDArray[np.float32]
    colour: npt.NDArray[np.float32]
    view: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scales:
    """What the answers' own conditions fixed: ranges, typical values and the city's mean night.

    low, high : (13,) 1 and 99 % of the features at the answers; typical, typical_sd : (13,); city_mean : (13,) over the
    streets of a night; even : typical evenness; noise_on_people : intercept and slope in dB
    """

    low: Floats
    high: Floats
    typical: Floats
    typical_sd: Floats
    city_mean: Floats
    even: float
    noise_on_people: tuple[float, float]

    def features(self, raw: pd.DataFrame) -> Floats:
        """The features of some places and times as a fitted response sees them, (n, 13).

        raw : illuminance, even, noise, footfall, closing and, where they are known, what is in view, colour and view
        """
        found = covariates.features_of(raw, self.even, self.noise_on_people)
        return np.clip(np.where(np.isnan(found), self.typical, found), self.low, self.high)


@dataclass(frozen=True)
class Classes:
    """The people the population view is of, in classes that differ in how light and people go with their answers.

    share : (g,); woman, older : (g,) 0 or 1; group : (g, p) mean group columns of a class; spread : (g,) variance of
    the group effects within it; frame : whom they are, in words
    """

    share: Floats
    woman: Floats
    older: Floats
    group: Floats
    spread: Floats
    frame: str


@dataclass(frozen=True)
class Perception:
    """A fitted response. Without answers `n_answers` is 0 and everything it gives is unknown.

    names : of the p terms and then the cuts, those of the reference instrument first; mean, prior_mean, prior_sd :
    (p + cuts,); covariance : the same, squared
    safe_from, categories : of the reference instrument, first category that counts as feeling safe, and K
    """

    names: tuple[str, ...]
    mean: Floats
    covariance: Floats
    prior_mean: Floats
    prior_sd: Floats
    safe_from: int
    categories: int
    scales: Scales
    classes: Classes
    places: Places
    own: PlaceEffect
    nodes: tuple[tuple[float, float, float], ...]  # length-scale in m, sd, share of the posterior
    n_answers: int
    n_people: int
    effective_answers: float
    not_used: int
    newest: str
    oldest: str
    origins: tuple[str, ...]
    campaigns: tuple[str, ...]
    preset: str
    log_likelihood: float
    n_shares: int = 0  # areas whose published share says something of the map's level
    shares_of: str = ""  # the question of those shares
    shares_told: int = 0  # respondents behind them, as far as the tables say
    views: Mapping[str, Classes] = field(default_factory=dict)  # mixes of single groups, and gaps (analytics/groups.py)
    applicability: Applicability = EVERYWHERE
    fit: PlaceFit | None = None  # what tonight's answers may move; None where published shares had a part

    @property
    def cuts(self) -> Floats:
        """(K-1,) ascending, of the reference instrument."""
        return self.mean[len(NAMES) : len(NAMES) + self.categories - 1]

    @property
    def silent(self) -> bool:
        """Whether nobody has told anything: neither answers nor shares."""
        return self.n_answers == 0 and self.n_shares == 0

    @property
    def shares_alone(self) -> bool:
        """Whether nobody answered and published shares give the level."""
        return self.n_answers == 0 and self.n_shares > 0

    @property
    def simulated(self) -> bool:
        """Whether simulated answers are among those it was fitted to."""
        return "simulated" in self.origins

    def overlap(self) -> Floats:
        """How much of each number's posterior is its prior: shared area of the two densities, (p+K-1,), 0 to 1.

        Above 0.8 the answers say next to nothing about the term, and no effect may be claimed (perception.md 7).
        """
        return np.array(
            [
                _normal_overlap(*pair)
                for pair in zip(
                    self.prior_mean, self.prior_sd, self.mean, np.sqrt(np.diag(self.covariance)), strict=True
                )
            ]
        )

    def table(self) -> pd.DataFrame:
        """Each number with its words, prior, posterior and overlap."""
        words = {term.name: term.words for term in covariates.TERMS}
        return pd.DataFrame(
            {
                "term": self.names,
                "words": [words.get(name, name.replace("_", " ")) for name in self.names],
                "prior_mean": self.prior_mean,
                "prior_sd": self.prior_sd,
                "mean": self.mean,
                "sd": np.sqrt(np.diag(self.covariance)),
                "overlap": self.overlap(),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and arrays, nested by part."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content["own"] = self.own.to_dict()
        for name in ("scales", "classes", "places"):
            content[name] = _plain(getattr(self, name))
        content["views"] = {name: _plain(classes) for name, classes in self.views.items()}
        content["applicability"] = self.applicability.to_dict()
        content["fit"] = None if self.fit is None else self.fit.to_dict()
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Perception:
        """What `to_dict` gave."""
        values = dict(content)
        scales = dict(values["scales"])
        scales["noise_on_people"] = tuple(scales["noise_on_people"])
        values |= {
            "scales": Scales(**scales),
            "classes": Classes(**values["classes"]),
            "places": Places(**values["places"]),
            "own": PlaceEffect.from_dict(values["own"]),
            "views": {name: Classes(**classes) for name, classes in values["views"].items()},
            "applicability": Applicability.from_dict(values["applicability"]),
            "fit": None if values["fit"] is None else PlaceFit.from_dict(values["fit"]),
        }
        for name in ("names", "origins", "campaigns"):
            values[name] = tuple(values[name])
        values["nodes"] = tuple(tuple(node) for node in values["nodes"])
        return cls(**values)


def _plain(part: Any) -> dict[str, Any]:
    return {key: getattr(part, key) for key in part.__dataclass_fields__}


def _normal_overlap(mean_a: float, sd_a: float, mean_b: float, sd_b: float) -> float:
    """Area that two normal densities share."""
    low = min(mean_a - 6 * sd_a, mean_b - 6 * sd_b)
    high = max(mean_a + 6 * sd_a, mean_b + 6 * sd_b)
    at = np.linspace(low, high, 4001)
    a = np.exp(-0.5 * ((at - mean_a) / sd_a) ** 2) / sd_a
    b = np.exp(-0.5 * ((at - mean_b) / sd_b) ** 2) / sd_b
    return float(np.minimum(a, b).sum() * (at[1] - at[0]) / np.sqrt(2 * np.pi))
