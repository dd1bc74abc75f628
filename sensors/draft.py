"""A city before its folder exists: layers of places as a source gave them, and what is still to be invented.

OpenStreetMap (`sensors.osm`) and a council's files (`sensors.council`) both end here; `sensors.build` makes the folder.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import geopandas

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LanternRule:
    """Where lamps are assumed along streets of some kinds, for a city whose road lanterns nobody publishes."""

    kinds: tuple[str, ...]  # of streets
    lamp_class: str  # a key of `sensors.lanterns.LAMP_CLASSES`
    spacing_m: float
    both_sides: bool
    narrow_m: float = 0.0  # a street narrower than this has lamps at its ends only
    lumens: float | None = None  # instead of the class's
    watts: float | None = None
    lit_only: bool = False  # only along streets that the source says are lit
    clear_m: float = 10.0  # none so near to a lantern of an earlier rule
    published_clear_m: float = 0.0  # none so near to a lamp that the source has


@dataclass(frozen=True, slots=True)
class VirtualDevices:
    """How many devices the builder invents for a simulated city."""

    footfall: int = 0
    noise: int = 0
    lux: int = 0
    controllers: str = "none"  # 'lamp': one on each lamp; 'circuit': one for each circuit of lamps; 'none'


@dataclass(frozen=True, slots=True)
class RecordedHistory:
    """A file of records that travels with the city folder, so that a demo can live through real nights."""

    file: Path
    recipe: str  # a name, or a file
    demo_night: str  # 'YYYY-MM-DD'


@dataclass
class Draft:
    """Everything a builder knows; layers carry some of the columns of `sensors.places.PLACES`, in any projection."""

    id: str
    name: str
    zone: str
    crs: str
    simulated: bool
    attribution: list[str]
    licence: str
    layers: dict[str, geopandas.GeoDataFrame]
    virtual: VirtualDevices
    area: tuple[float, float, float, float] | None = None  # west, south, east, north in degrees; None: the data's own
    cell_m: float = 10.0
    lanterns: list[LanternRule] = field(default_factory=list)
    history: RecordedHistory | None = None
    lamp_source: str = "assumed"  # of the lamps in the layer
    repaired: Counter[str] = field(default_factory=Counter)  # geometries made valid, by layer
    dropped: Counter[str] = field(default_factory=Counter)  # rows left out, by reason


def quiet(_line: str) -> None:
    """Says nothing."""


def slug(text: str) -> str:
    """A name as a topic level: lower-case ASCII letters, digits and single hyphens.

    >>> slug("Bou292_T Élysée")
    'bou292-t-elysee'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
