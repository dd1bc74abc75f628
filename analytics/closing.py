"""Closing a step: the one computation of a page, which live and replay share, and when it is due.

A step [t, t + 15 min) closes `close_after_minutes` of city time after its end. That moment is its *cut*: the page is
made in full from the readings received by then, sorted by key, with the model that was frozen for the night. Nothing
else goes in, so whoever has the readings, the places and the model makes the same bytes.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import xarray as xr

from analytics.atlas import Meta, closed_steps, night_steps
from sensors.city import City
from sensors.night import Night, Times, rfc3339
from sensors.reading import Records, unique_by_key

if TYPE_CHECKING:
    from analytics.model import Model
    from analytics.surroundings import Surroundings


def step_length(city: City) -> np.timedelta64:
    """How long a step lasts."""
    return np.timedelta64(city.settings.night.step_minutes * 60_000, "ms")


def cut_of(city: City, step: np.datetime64) -> np.datetime64:
    """When a step closes, UTC: readings received later do not count for its page."""
    cut: np.datetime64 = step.astype("datetime64[ms]") + _start_to_cut(city)
    return cut


def _start_to_cut(city: City) -> np.timedelta64:
    return step_length(city) + np.timedelta64(round(city.settings.night.close_after_minutes * 60_000), "ms")


def due_steps(city: City, night: Night, now: np.datetime64, meta: Meta | None) -> Times:
    """Starts of the night's steps whose cut is past and which have no closed page, in order.

    meta : the night's `current.json`, None where it has no page
    """
    steps = night_steps(city, night)
    past = steps + _start_to_cut(city) <= now
    done = np.isin(steps, closed_steps(meta)) if meta is not None else np.zeros(len(steps), bool)
    due: Times = steps[past & ~done]
    return due


def received_by(records: Records, cut: np.datetime64) -> Records:
    """The readings received by a cut, each once, in the order of the key."""
    return unique_by_key(records[records["received"] <= cut])


def changed_steps(city: City, meta: Meta, records: Records) -> Times:
    """Closed steps whose page was made from another number of readings than there are now for its cut.

    Ingest may hand on a reading after the cut that it had received before (a slow disk, a restart of ours): such a
    step is closed once more, so that a page is always what its cut says.
    """
    arrivals = np.sort(unique_by_key(records)["received"])
    steps = closed_steps(meta)
    counts = np.searchsorted(arrivals, steps + _start_to_cut(city), side="right")
    made_from = np.array([entry["records"] for entry in meta["closed"]], np.int64)
    changed: Times = steps[counts != made_from]
    return changed


@dataclass
class Desk:
    """What a page is made with besides readings: the city's surroundings and the night's frozen model."""

    city: City
    surroundings: Surroundings
    model: Model

    @classmethod
    def open(cls, city: City, model_digest: str | None = None) -> Desk:
        """The city's surroundings and one of its models (the current one without a digest)."""
        from analytics.model import load_model
        from analytics.surroundings import surroundings

        return cls(city, surroundings(city), load_model(city, model_digest))

    def page(self, records: Records, step: np.datetime64) -> xr.Dataset:
        """The released page of the interval (step, step + 15 min] from records in the order of their key."""
        from analytics.fields import fields_at
        from analytics.perception import fuse
        from analytics.release import release

        fields = fields_at(self.surroundings, self.model.knowledge, records, step)
        fused = fuse(fields, self.model.perception, self.city, self.model.support.indoor)
        return release(fused, self.model.support, self.city)

    def close(self, records: Records, step: np.datetime64, cut: np.datetime64 | None = None) -> tuple[xr.Dataset, Meta]:
        """The closed page of a step with its meta, from a superset of the readings that count for it.

        records : (n,) RECORD array of the night, in any order, late and repeated ones included
        cut : UTC; the step's own cut without it; a later one makes a new run with late data
        """
        by = cut_of(self.city, step) if cut is None else cut
        used = received_by(records, by)
        return self.page(used, step), self.meta | {"records": len(used), "cut": rfc3339(by)}

    @cached_property
    def meta(self) -> Meta:
        """What a page says about its making."""
        return {
            "model": self.model.digest,
            "places": self.surroundings.digest,
            "settings": settings_digest(self.city),
            "code": code_version(),
            "covariance": self.model.knowledge.covariances(),
            "simulated": simulated(self.city, self.model),
            "attribution": attribution(self.city),
        }


def simulated(city: City, model: Model) -> bool:
    """Whether anything behind the city's pages is simulated: the city itself, a site, or an answer of the model."""
    sites = city.places("sites")
    return bool(city.simulated or (sites["origin"] == "simulated").any() or model.simulated)


def attribution(city: City) -> list[str]:
    """Whom to name beside every picture and in every export, with the licence of surveys and maps that shape it."""
    from analytics.layers import in_use

    held = [f"{whose} ({licence})" if licence else whose for whose, licence in in_use(city)]
    return list(dict.fromkeys([*city.settings.attribution, *held]))


def settings_digest(city: City) -> str:
    """SHA-256, shortened, over the settings that shape a page and stand in neither its places nor its model."""
    shaping = (city.settings.night, city.settings.release)
    return hashlib.sha256(msgspec.json.encode(shaping, order="deterministic")).hexdigest()[:12]


@cache
def code_version() -> str:
    """What bit-equality is promised for: our source by its digest, the language, its packages, the processor."""
    parts = [f"python {platform.python_version()}", platform.machine(), f"source {_source_digest()}"]
    for name in ("noctule", "numpy", "numba", "scipy", "xarray"):
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # run from a clone that is not installed; the source's digest stands for it
            continue
    return ", ".join(parts)


def _source_digest() -> str:
    """SHA-256, shortened, over the Python files of analytics and of sensors, which are all that makes a page."""
    hasher = hashlib.sha256()
    house = Path(__file__).parents[1]
    for room in ("analytics", "sensors"):
        for file in sorted((house / room).rglob("*.py")):
            hasher.update(f"{file.relative_to(house)} ".encode())
            hasher.update(file.read_bytes())
    return hasher.hexdigest()[:12]
