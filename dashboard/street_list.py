"""The places that somebody without a locating phone can choose: street sections by the street that crosses, and stops.

A label is 'Street · crossing street' or a stop's name; it stands for the middle of one street section.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from sensors.city import City
from sensors.coarsening import nearest_middles, section_middles

BETWEEN = " · "
_NEAR_M = 250.0  # a section without a crossing this near is chosen by its street alone
_MOST_TOLD = 6

Objects = npt.NDArray[np.object_]


@dataclass(frozen=True)
class StreetList:
    """Labels and their places: (easting, northing) of section middles, metres."""

    places: dict[str, tuple[float, float]]
    _folded: dict[str, str] = field(init=False, repr=False)
    _names: dict[tuple[float, float], str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make labels easy to find however they are typed."""
        object.__setattr__(self, "_folded", {_fold(label): label for label in self.places})
        object.__setattr__(self, "_names", {place: label for label, place in self.places.items()})

    def at(self, place: tuple[float, float]) -> str:
        """What a section's middle is called; empty where it has no name of its own."""
        return self._names.get(place, "")

    @property
    def labels(self) -> list[str]:
        """In alphabetical order."""
        return sorted(self.places, key=str.casefold)

    def find(self, text: str) -> tuple[str, tuple[float, float]] | list[str]:
        """The label and place of what somebody typed, or the labels that it may mean, none if it means none."""
        wanted = _fold(text)
        if label := self._folded.get(wanted):
            return label, self.places[label]
        alike = [label for folded, label in sorted(self._folded.items()) if wanted and folded.startswith(wanted)]
        if len(alike) == 1:
            return alike[0], self.places[alike[0]]
        return alike[:_MOST_TOLD]


def street_list(city: City) -> StreetList:
    """The list of a city; seconds for a large one, so made once."""
    places: dict[str, tuple[float, float, float]] = {}  # label -> easting, northing, metres from the crossing
    sections = city.places("sections")
    middles = section_middles(city)
    inside = {(round(east, 3), round(north, 3)) for east, north in middles}
    names = sections["name"].fillna("").to_numpy(dtype=object)
    lines = sections.geometry.to_numpy()
    points = shapely.line_interpolate_point(lines, 0.5, normalized=True)
    tree = shapely.STRtree(lines)
    for at in np.flatnonzero(names != ""):
        east, north = float(points[at].x), float(points[at].y)
        if (round(east, 3), round(north, 3)) not in inside:
            continue
        label, distance = _label(int(at), points, lines, names, tree)
        if label not in places or distance < places[label][2]:
            places[label] = (east, north, distance)
    found = {label: (east, north) for label, (east, north, _) in places.items()}
    return StreetList(found | {name: place for name, place in _stops(city).items() if name not in found})


def _label(at: int, points: Objects, lines: Objects, names: Objects, tree: shapely.STRtree) -> tuple[str, float]:
    """What a section is called, and how far its middle is from the street that names it."""
    name = str(names[at])
    near = tree.query(points[at], predicate="dwithin", distance=_NEAR_M)
    others = near[(names[near] != name) & (names[near] != "")]
    if not len(others):
        return name, 0.0
    distance = shapely.distance(points[at], lines[others])
    closest = int(np.lexsort((names[others].astype(str), np.round(distance, 1)))[0])
    return f"{name}{BETWEEN}{names[others[closest]]}", float(distance[closest])


def _stops(city: City) -> dict[str, tuple[float, float]]:
    stops = city.places("stops")
    stops = stops[stops["name"].fillna("") != ""].drop_duplicates("name")
    points = shapely.centroid(stops.geometry.to_numpy())
    places, inside = nearest_middles(city, shapely.get_x(points), shapely.get_y(points))
    return {
        str(name): (float(place[0]), float(place[1]))
        for name, place, good in zip(stops["name"], places, inside, strict=True)
        if good
    }


def _fold(text: str) -> str:
    return " ".join(text.replace("·", " ").casefold().split())
