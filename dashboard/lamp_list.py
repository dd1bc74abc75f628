"""The lamps of a city as columns, for the table and the map of the Plan page: 50,000 in less than a megabyte.

What stands in the asset list is one body that is kept by its digest; what changes by the night, state and light, is a
second, small one. Columns of words that come again are a list of words and a number a lamp. Lamps come section by
section and places as steps from one to the next, which halves what is sent.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics import atlas
from analytics.scenario import lamp_streets
from dashboard.overlays import faults
from sensors.city import City
from sensors.errors import NoctuleError
from sensors.night import Night, parse_rfc3339

FORMAT = 1
_NOW_KEPT_S = 60.0
_REACH_M = 30.0  # a lamp belongs to the section nearest to it, no farther than this
_CODED = ("luminaire", "cabinet", "circuit", "source")
_NUMBERS = {"lumens": 0, "watts": 1, "height_m": 1, "cct_k": 0, "mf": 2}
_DEGREES = 1e6  # of a degree: a tenth of a metre

Objects = npt.NDArray[np.object_]
Sections = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Objects]


class LampList:
    """A city's lamps as the Plan page wants them, made once."""

    def __init__(self, city: City) -> None:
        self._city, self._lock = city, threading.Lock()
        self._made: tuple[str, bytes] | None = None
        self._now: tuple[float, bytes] = (-1e9, b"")

    def body(self) -> tuple[str, bytes]:
        """Digest of what is listed, and the gzipped list."""
        with self._lock:
            if self._made is None:
                text = json.dumps(
                    columns(self._city, self._sections), separators=(",", ":"), ensure_ascii=False
                ).encode()
                self._made = hashlib.sha256(text).hexdigest()[:12], gzip.compress(text, 6, mtime=0)
            return self._made

    @cached_property
    def _sections(self) -> Sections:
        return sections_of(self._city)

    @property
    def address(self) -> str:
        """Where the list lies, for as long as it is the same."""
        return f"/planning/lamps/{self.body()[0]}.json"

    def now(self) -> bytes:
        """What lamps last said of themselves and the light at each, gzipped; not older than a minute."""
        with self._lock:
            made, body = self._now
            if time.monotonic() - made > _NOW_KEPT_S:
                body = gzip.compress(json.dumps(states(self._city, self._sections), separators=(",", ":")).encode(), 5)
                self._now = (time.monotonic(), body)
            return body


def columns(city: City, sections: Sections) -> dict[str, Any]:
    """The lamps table as columns: `n`, texts as lists, `coded` as {words, codes}, numbers with null for not known."""
    order, section, required = sections
    lamps = city.places("lamps").iloc[order]
    points = lamps.to_crs("EPSG:4326").geometry
    longitude, latitude = (np.round(axis.to_numpy(float) * _DEGREES).astype(np.int64) for axis in (points.x, points.y))
    coded = {name: _coded(_texts(lamps, name)) for name in _CODED}
    coded |= {"street": _coded(lamp_streets(city)[order]), "required": _coded(required)}
    coded |= {"installed": _coded(_texts(lamps, "installed"))}
    return {
        "format": FORMAT,
        "n": len(lamps),
        "longitude": _steps(longitude),
        "latitude": _steps(latitude),
        "lamp": _texts(lamps, "lamp").tolist(),
        "asset_id": _texts(lamps, "asset_id").tolist(),
        "section": _steps(section),
        "coded": coded,
        **{name: _numbers(lamps, name, digits) for name, digits in _NUMBERS.items()},
    }


def states(city: City, sections: Sections) -> dict[str, Any]:
    """By lamp: a digit, 0 not known, 1 working, 2 fault; and the light at its foot in the newest night's 23:00, lx."""
    order = sections[0]
    known = faults(city)
    digits = "".join(str(known.get(str(lamp), 0)) for lamp in city.places("lamps")["lamp"].iloc[order])
    night, lux = _light(city)
    return {"states": digits, "night": night, "lux": [lux[row] for row in order] if lux else []}


def sections_of(city: City) -> Sections:
    """Rows of the city's lamps as they are listed, by section, circuit and identity; of each its section and its class.

    A lamp's section is the row of the nearest street section, -1 without one; its class is what that section requires.
    """
    lamps, found = city.places("lamps"), np.full(len(city.places("lamps")), -1, np.int64)
    required = np.full(len(lamps), "", object)
    sections = city.places("sections")
    if len(sections) and len(lamps):
        index, distance = sections.sindex.nearest(lamps.geometry, return_all=False, return_distance=True)
        near = distance <= _REACH_M
        found[index[0][near]] = index[1][near]
        classes = sections["required_class"].fillna("").astype(str).to_numpy(object)
        required[found >= 0] = classes[found[found >= 0]]
    keys = (_texts(lamps, "lamp").astype(str), _texts(lamps, "circuit").astype(str), found)
    order = np.lexsort(keys)
    return order, found[order], required[order]


def _light(city: City) -> tuple[str, list[float | None]]:
    """The newest night with a page, and the light at each lamp's foot in its step nearest to 23:00."""
    for name in reversed(atlas.nights(city)):
        try:
            page, meta = atlas.open_night(city, name)
            when = _nearest(city, name, [str(entry["step"]) for entry in meta["closed"]])
            row = [str(step) for step in meta["steps"]].index(when)
            field = page["illuminance"].isel(time=row)
        except (NoctuleError, OSError, KeyError, ValueError):
            continue
        points = city.places("lamps").geometry
        values = np.asarray(field.values, np.float64)
        easting, northing = page["easting"].values, page["northing"].values
        cell = float(easting[1] - easting[0])
        column = np.floor((points.x.to_numpy() - easting[0]) / cell + 0.5).astype(np.int64)
        line = np.floor((points.y.to_numpy() - northing[0]) / cell + 0.5).astype(np.int64)
        inside = (column >= 0) & (column < easting.size) & (line >= 0) & (line < northing.size)
        lux = np.full(len(points), np.nan)
        lux[inside] = values[line[inside], column[inside]]
        return name, [None if np.isnan(value) else float(f"{value:.2g}") for value in lux]
    return "", []


def _nearest(city: City, night: str, steps: Sequence[str]) -> str:
    wanted = Night.named(night, city.zone).time_of("23:00")
    return min(steps, key=lambda step: abs(int((parse_rfc3339(step) - wanted).astype(np.int64))))


def _texts(lamps: Any, name: str) -> Objects:
    if name not in lamps:
        return np.full(len(lamps), "", object)
    texts: Objects = lamps[name].fillna("").astype(str).to_numpy(object)
    return texts


def _coded(texts: Objects) -> dict[str, Any]:
    words, codes = np.unique(texts.astype(str), return_inverse=True)
    return {"words": words.tolist(), "codes": codes.tolist()}


def _steps(values: npt.NDArray[np.int64]) -> list[int]:
    """The first value, and from each to the next."""
    return [int(value) for value in np.diff(values, prepend=0)]


def _numbers(lamps: Any, name: str, digits: int) -> list[float | int | None]:
    if name not in lamps:
        return [None] * len(lamps)
    values = np.round(lamps[name].to_numpy(np.float64), digits)
    return [None if not np.isfinite(v) else int(v) if v == int(v) else float(v) for v in values]
