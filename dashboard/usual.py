"""Versus usual: the difference of a layer to the usual of the same weekday and quarter hour, as a layer of its own.

The usual of a weekday's step is read from earlier pages once and kept, so that a tile costs as much as any other. Its
layers are `usual_safety`, `usual_light` ...; a version of such a frame is tonight's, 'u', and the digest of the nights
that it was compared with.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.usual_pages import Usual, UsualNights, own_terms, unlike, usual_nights, usual_step
from dashboard.scales import SCALES, USUAL, Scale
from dashboard.words import Words
from ingest.usual_nights import WEEKS_LEAST
from sensors.city import City

_KEPT_BYTES = 160 * 2**20  # a step takes 13 MB for a million cells, 0.2 MB for a centre of 17,850
_NIGHTS_KEPT_S = 5.0  # nights are added by the day, journal entries by the hour
MARK = "u"

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Unlike:
    """A layer's difference, half of its interval, and the usual itself."""

    change: Floats
    half: Floats
    usual: Usual


class UsualFields:
    """What is usual, by night and step."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._nights: dict[tuple[str, str], tuple[float, UsualNights]] = {}
        self._fields: OrderedDict[tuple[str, str, str, str], Usual | None] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def nights(self, night: str, level: str) -> UsualNights:
        """The nights that a night of a level ('atlas', 'public') is compared with."""
        key = (night, level)
        made, found = self._nights.get(key, (-1e9, UsualNights((), "")))
        if time.monotonic() - made > _NIGHTS_KEPT_S:
            if len(self._nights) > 2000:
                self._nights.clear()
            try:
                found = usual_nights(self._city, night, level)
            except (OSError, ValueError):  # a page replaced or a journal half written: as before, until the next look
                return found
            self._nights[key] = (time.monotonic(), found)
        return found

    def unlike(self, layer: str, night: str, level: str, step: np.datetime64, fields: dict[str, Floats]) -> Unlike:
        """The difference of a page to its usual; not known anywhere where too few earlier nights have this step.

        Parameters
        ----------
        layer : one of `USUAL`
        fields : the page's variable of the layer and its standard deviation, (rows, columns)
        """
        scale = SCALES[USUAL[layer]]
        value, sd = fields[scale.variable], fields[scale.sd]
        usual = self._usual(scale, night, level, step)
        if usual is None or usual.mean.shape != value.shape:
            nothing = np.full(value.shape, np.nan, np.float32)
            return Unlike(nothing, nothing, Usual(nothing, nothing, nothing, np.zeros(value.shape, np.uint8)))
        change, half = unlike(own_terms(value, _least(scale)), np.asarray(sd, np.float32), usual)
        return Unlike(change, half, usual)

    def _usual(self, scale: Scale, night: str, level: str, step: np.datetime64) -> Usual | None:
        names, digest = self.nights(night, level)
        key = (level, digest, str(step), scale.variable)
        with self._lock:
            if key in self._fields:
                self._fields.move_to_end(key)
                return self._fields[key]
        made = usual_step(self._city, names, step, scale.variable, scale.sd, level, _least(scale))
        with self._lock:
            if key not in self._fields:
                self._fields[key] = made
                self._size += 0 if made is None else made.nbytes
            while self._size > _KEPT_BYTES and len(self._fields) > 1:
                _, old = self._fields.popitem(last=False)
                self._size -= 0 if old is None else old.nbytes
        return made


def level_of(run: str) -> str:
    """The level that a run is of: a public night is compared with public nights."""
    return "public" if run.startswith("public-") else "atlas"


def plain_version(version: str) -> str:
    """Tonight's part of a version.

    >>> plain_version("5f2cu1a2b3c"), plain_version("627")
    ('5f2c', '627')
    """
    return version.partition(MARK)[0]


def usual_told(fields: UsualFields, night: str, level: str, layers: tuple[str, ...], say: Words) -> dict[str, Any]:
    """What a page needs to offer the comparison: the digest, the layers, and in words what it is compared with."""
    found = fields.nights(night, level)
    offered = [layer for layer, base in USUAL.items() if base in layers]
    if not found.enough:
        words = say("usual.toofew", count=say.number(len(found.names)), least=say.number(WEEKS_LEAST))
        return {"digest": "", "layers": [], "words": words}
    first, last = say.short_day(found.names[-1]), say.short_day(found.names[0])
    words = say("usual.of", count=say.number(len(found.names)), first=first, last=last)
    return {"digest": found.digest, "layers": offered, "words": words}


def _least(scale: Scale) -> float:
    """Where a layer is compared as a ratio: the amount below which there is no difference any more."""
    return scale.low if scale.kind == "log" else 0.0
