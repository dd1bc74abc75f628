"""What earlier nights taught, of light, noise and footfall: one value, frozen at noon and named by its content."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics.footfall import passing
from analytics.footfall_habits import learn_footfall
from analytics.light_habits import learn_light, night_departures
from analytics.noise_habits import learn_noise
from analytics.observations import Said, ordered, said
from analytics.profile import Profile
from analytics.special_nights import kinds_of_nights
from analytics.surroundings import Surroundings, surroundings
from sensors.city import City
from sensors.errors import ModelError
from sensors.night import Night
from sensors.reading import Records

FORMAT = 2  # 2: more features of places; levels of counters wander
HISTORY_NIGHTS = 182  # half a year: recent enough for a season, long enough for every hour of the week 26 times


@dataclass(frozen=True)
class Knowledge:
    """Everything learnt before a night; frozen at its noon.

    coefficients : (1 + FEATURES,) of `footfall.place_level`; before : name of the night, '' when not bounded
    """

    light: Profile
    noise: Profile
    footfall: Profile
    coefficients: NDArray[np.float64]
    before: str

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and lists, as JSON takes them."""
        parts = {name: getattr(self, name).to_dict() for name in ("light", "noise", "footfall")}
        return {"format": FORMAT, **parts, "coefficients": self.coefficients.tolist(), "before": self.before}

    def covariances(self) -> dict[str, dict[str, Any]]:
        """What a page says of the covariances behind its fields."""
        named = {"illuminance": self.light, "noise": self.noise, "footfall": self.footfall}
        return {name: profile.covariance_words() for name, profile in named.items()}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Knowledge":
        """What `to_dict` wrote; ModelError when an earlier version did."""
        if content["format"] != FORMAT:
            made = content["format"]
            raise ModelError(f"what was learnt has format {made}, this version reads {FORMAT}; run 'noctule fit'")
        parts = {name: Profile.from_dict(content[name]) for name in ("light", "noise", "footfall")}
        return cls(**parts, coefficients=np.array(content["coefficients"], np.float64), before=content["before"])


def learn(city: City, before: Night | None) -> Knowledge:
    """Learn from a city's archive, from the last half year of nights before one (all that there are when None)."""
    from ingest.archive import night_records, nights

    known = sorted(night for night in nights(city) if before is None or night < before.date)
    recent = (night_records(city, night) for night in known[-HISTORY_NIGHTS:])
    name = "" if before is None else before.name
    return learn_from(recent, surroundings(city), before=name, special=kinds_of_nights(city))


def learn_from(
    nights: Iterable[Records], around: Surroundings, *, before: str = "", special: Mapping[int, int] | None = None
) -> Knowledge:
    """Learn from the records of nights, one array a night, in any order; no nights give the defaults.

    special : kinds of nights out of the usual by days since 1970, past ones and those to come
    """
    sites = around.sites
    heard: dict[str, list[Said]] = {"people_flow": [], "sound_laeq": []}
    lux: list[NDArray[np.float64]] = []
    number = 0
    for night in nights:
        records = ordered(night)
        if not records.size:
            continue
        number += 1
        heard["people_flow"].append(passing(records, sites, None, records["time"][-1]))
        heard["sound_laeq"].append(said(records, sites, "sound_laeq", None, records["time"][-1]))
        lux.append(night_departures(around, records))
    walking, coefficients = learn_footfall(_joined(heard["people_flow"]), around, special or {})
    sound = learn_noise(_joined(heard["sound_laeq"]), around, walking, coefficients)
    seen = learn_light(lux, around)
    return Knowledge(
        light=replace(seen, nights=number),
        noise=replace(sound, nights=number),
        footfall=replace(walking, nights=number),
        coefficients=coefficients,
        before=before,
    )


def _joined(parts: list[Said]) -> Said:
    if not parts:
        empty = np.empty(0)
        return Said(empty.astype(np.int64), empty.astype("datetime64[ms]"), empty, empty)
    row, time, value, seconds = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "time", "value", "duration_s")
    )
    return Said(row, time, value, seconds)
