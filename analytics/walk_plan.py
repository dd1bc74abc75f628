"""Plans a night walk: stops where answers tell most, along a way of bounded length; or the stops of an earlier walk.

What some stops are worth together is the variance that ten people's answers at each would take away, summed over the
sections around with their footfall (`analytics.asking_value`): two stops that tell the same are worth little more than
one. Stops are street sections, since that is what their answers are coarsened to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import shapely

from analytics.ask_next import chosen_rows
from analytics.asking_value import Asking, Unsureness, asking_value
from analytics.orienteering import Worth, best_walk, walk_length
from analytics.walk_route import NEAR_M, Route, Ways, route_of
from analytics.walk_times import beginning, ordered
from sensors.city import City
from sensors.errors import WalkError
from sensors.walk import MOST_STOPS, Walk, WalkSettings, make_stops, read_walk

Floats = npt.NDArray[np.float64]

APART_M = 80.0  # closer stops are the same place to whoever stands there
PEOPLE = 10  # who answer at each stop
_CANDIDATES = 120  # sections looked at; the best by themselves, apart from one another
_CANDIDATES_APART_M = 40.0
_STARTS = 3  # tried where no start is given
_NUMBERED = re.compile(r"[A-Za-z]{1,3} ?\d+")  # a register's name for a lane, which stands on no sign
_CROSS_M = 60.0  # a street this near gives a stop the second half of its name


@dataclass(frozen=True)
class Planned:
    """A walk with its way, and what remains to be said of it."""

    walk: Walk
    route: Route
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        stops = [
            {"stop": stop.Index, "label": stop.label, "lon": round(stop.lon, 6), "lat": round(stop.lat, 6)}
            for stop in self.walk.stops.itertuples()
        ]
        return {
            "id": self.walk.id,
            "title": self.walk.title,
            "date": self.walk.date.isoformat(),
            "campaign": self.walk.campaign,
            "stops": stops,
            "day_from": self.walk.settings.day_from,
            "dark_from": self.walk.settings.dark_from,
            "legs_m": [round(float(leg)) for leg in self.route.legs_m],
            "length_m": round(self.route.length_m),
            "minutes": round(self.route.minutes),
            "notes": self.notes,
        }

    def text(self) -> str:
        """The walk for people."""
        walk, route = self.walk, self.route
        lines = [
            f"{walk.title} ({walk.id}), {walk.date:%d %B %Y}: {len(walk.stops)} stops, {route.length_m / 1000:.1f} km"
            f"{', a loop' if walk.settings.loop else ''}, about {route.minutes:.0f} min with the time at the stops",
            "",
        ]
        hours = {"day": walk.settings.day_from, "dark": walk.settings.dark_from}
        said = {"day": "by day from", "dark": "after dark from"}
        lines[1:1] = [", ".join(f"{said[state]} {hours[state]}" for state in ordered(walk.settings.light_states))]
        legs = [f"{leg:.0f} m on" for leg in route.legs_m]
        for stop, leg in zip(walk.stops.itertuples(), [*legs, ""], strict=False):
            lines.append(f"{stop.Index:>3}  {stop.label:<44} {stop.lat:.5f}, {stop.lon:.5f}   {leg}".rstrip())
        return "\n".join([*lines, *(["", *self.notes] if self.notes else [])])


def plan_walk(
    city: City,
    settings: WalkSettings,
    *,
    near: tuple[float, float] | None = None,
    to: tuple[float, float] | None = None,
    stops: int = 8,
    length_m: float = 2500.0,
) -> Planned:
    """A walk past the stops that are worth most together; nothing is written.

    near, to : latitude and longitude of where it begins and, where it is no loop, ends; it begins where answers tell
    most when `near` is not given
    """
    if not 1 <= stops <= MOST_STOPS:
        raise WalkError(f"a walk of {stops} stops cannot be planned; expected 1 to {MOST_STOPS}")
    if not 100 <= length_m <= 20_000:
        raise WalkError(f"a walk of {length_m:g} m cannot be planned; expected 100 to 20000")
    loop = settings.loop and to is None
    asking = asking_value(city)
    starts = [_nearest(asking, near)] if near is not None else chosen_rows(asking, _STARTS)
    end = _nearest(asking, to) if to is not None else None
    best: tuple[float, list[int]] | None = None
    for start in starts:
        found = _walk_from(asking, start, end, stops, length_m, loop)
        if best is None or found[0] > best[0]:
            best = found
    assert best is not None
    rows = best[1]
    return _planned(city, Walk(msgspec.structs.replace(settings, loop=loop), _stops(asking, rows)))


def repeat_walk(city: City, settings: WalkSettings) -> Planned:
    """The walk at the stops of an earlier one, under the same numbers and names; nothing is written."""
    earlier = read_walk(city, settings.repeats)
    return _planned(city, Walk(msgspec.structs.replace(settings, loop=earlier.settings.loop), earlier.stops.copy()))


def check_walk(city: City, walk_id: str) -> Planned:
    """A walk as it stands in its folder, changed by hand or not; WalkError where it cannot be walked as it is."""
    walk = read_walk(city, walk_id)
    return Planned(walk, route_of(city, walk), notes_of(city, walk))


def notes_of(city: City, walk: Walk) -> list[str]:
    """What whoever changed the stops should know: stops too close, off the streets, or of one section."""
    stops, sections = walk.stops, city.places("sections")
    points = stops.geometry.to_numpy()
    middles = shapely.line_interpolate_point(sections.geometry.to_numpy(), 0.5, normalized=True)
    nearest = shapely.STRtree(middles).nearest(points)
    number = sections["section"].to_numpy()[nearest]
    notes = []
    for at, one in enumerate(stops.index):
        off = float(shapely.distance(points[at], sections.geometry.to_numpy()[nearest[at]]))
        if off > NEAR_M:
            notes.append(f"stop {one} stands {off:.0f} m from any street section; move it onto a street")
        given = int(stops["section"].iloc[at])
        if given >= 0 and given != number[at]:
            notes.append(f"stop {one} is given section {given}, its answers go to the nearer section {number[at]}")
        for later in range(at + 1, len(stops)):
            apart = float(shapely.distance(points[at], points[later]))
            other = stops.index[later]
            if number[at] == number[later]:
                notes.append(f"stops {one} and {other} are of one street section: their answers cannot be told apart")
            elif apart < APART_M - 1:
                notes.append(f"stops {one} and {other} stand {apart:.0f} m apart; {APART_M:.0f} m and more tell more")
    return notes


def worth_of(asking: Asking, rows: npt.NDArray[np.intp]) -> Worth:
    """What sets of some sections, by their place in `rows`, are worth together: people/h times variance taken away."""
    points, variance, footfall = asking.points[rows], asking.variance[rows], asking.footfall[rows]
    person = asking.perception.own.person_variance
    known: dict[tuple[int, ...], float] = {}

    def worth(places: tuple[int, ...]) -> float:
        if places not in known:
            unsure = Unsureness(points, variance, asking.length_m, person)
            for place in places:
                unsure.ask(place, PEOPLE)
            known[places] = float(footfall @ (variance - unsure.variance))
        return known[places]

    return worth


def _planned(city: City, walk: Walk) -> Planned:
    """A walk with its way and with the hours at which it begins, so that they are there to be changed."""
    route = route_of(city, walk)
    hours = {f"{state}_from": f"{beginning(city, walk, route, state):%H:%M}" for state in walk.settings.light_states}
    timed = Walk(msgspec.structs.replace(walk.settings, **hours), walk.stops)
    return Planned(timed, route, notes_of(city, timed))


def _walk_from(
    asking: Asking, start: int, end: int | None, stops: int, length_m: float, loop: bool
) -> tuple[float, list[int]]:
    """What the best walk from a section is worth, and its sections in order."""
    rows = _candidates(asking, start, end, length_m / 2 if loop else length_m)
    points = asking.points[rows]
    ways = Ways(asking.city, points)
    gap = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    together = gap >= APART_M
    last = None if end is None else int(np.flatnonzero(rows == end)[0])
    if last not in (None, 0):
        together[0, last] = together[last, 0] = True
        if not ways.way_m[0, last] <= length_m:
            said = f"{ways.way_m[0, last]:.0f} m" if np.isfinite(ways.way_m[0, last]) else "no way"
            raise WalkError(f"from its beginning to its end it is {said} on foot, more than {length_m:g} m")
    worth = worth_of(asking, rows)
    walk = best_walk(
        ways.way_m, worth, longest_m=length_m, most=stops, together=together, first=0, last=last, loop=loop
    )
    assert walk_length(walk, ways.way_m, loop) <= length_m or len(walk) <= 2
    return worth(tuple(sorted(walk))), [int(rows[place]) for place in walk]


def _candidates(asking: Asking, start: int, end: int | None, reach_m: float) -> npt.NDArray[np.intp]:
    """The start, the end, and the sections within reach that are worth most by themselves, not too close together."""
    fixed = [start] if end is None or end == start else [start, end]
    within = np.hypot(*(asking.points - asking.points[start]).T) <= reach_m
    chosen = list(fixed)
    for row in np.argsort(-asking.value, kind="stable"):
        if len(chosen) >= _CANDIDATES:
            break
        near = np.hypot(*(asking.points[chosen] - asking.points[row]).T) < _CANDIDATES_APART_M
        if within[row] and not near.any() and asking.value[row] > 0:
            chosen.append(int(row))
    return np.array(chosen, np.intp)


def _nearest(asking: Asking, place: tuple[float, float]) -> int:
    """The section nearest to a latitude and longitude."""
    from pyproj import Transformer

    east, north = Transformer.from_crs("EPSG:4326", asking.city.crs, always_xy=True).transform(place[1], place[0])
    distance = np.hypot(*(asking.points - np.array([east, north])).T)
    nearest = int(np.argmin(distance))
    if not distance[nearest] <= 500:
        raise WalkError(f"{place[0]:g}, {place[1]:g} is not in {asking.city.name} or far from any street of it")
    return nearest


def _stops(asking: Asking, rows: list[int]) -> Any:
    points = [shapely.Point(*asking.points[row]) for row in rows]
    sections = [int(asking.sections["section"].iloc[row]) for row in rows]
    return make_stops(asking.city, _labels(asking, rows), points, sections)


def _labels(asking: Asking, rows: list[int]) -> list[str]:
    """A street and the one beside it, 'Market Street / South Street': names for people that stay the same each year."""
    names = asking.sections["name"].to_numpy(dtype=object)
    labels: list[str] = []
    for row in rows:
        distance = np.hypot(*(asking.points - asking.points[row]).T)
        order = np.argsort(distance, kind="stable")
        seen = list(dict.fromkeys(str(names[at]) for at in order if distance[at] <= 2 * _CROSS_M and names[at]))
        own = str(names[row]) or (seen[0] if seen else f"section {asking.sections['section'].iloc[row]}")
        other = next((name for name in seen if name != own and not _NUMBERED.fullmatch(name)), "")
        label = f"{own} / {other}" if other else own
        count = sum(known == label or known.startswith(f"{label} (") for known in labels)
        labels.append(f"{label} ({count + 1})" if count else label)
    return [label[:80] for label in labels]
