"""What a walk's answers may be told as: atoms of the one plan by which statistics of answers leave, of this walk alone.

By day and after dark apart, each cell of stops is told when enough people answered there (`analytics.release_plan`).
What was told is kept with all else that was, so that no later table of the city can be compared with a walk's and
give away fewer people than the rule wants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from analytics.release_plan import LADDERS, Atom, Plan, Told, plan_of
from analytics.told_answers import answers_to_tell, keep_told, told_before
from sensors.city import City
from sensors.instrument import load_instrument
from sensors.walk import Walk

INSTRUMENT = "core-4"
_NEVER, _ALWAYS = np.datetime64("1970-01-05", "D"), np.datetime64("9000-01-01", "D")  # no week is over, every week is
_RESAMPLES = 500


@dataclass(frozen=True)
class Place:
    """One or more stops that are told together; whole per cent, None where not told. One light may be missing."""

    stops: tuple[int, ...]
    day: int | None
    dark: int | None


@dataclass(frozen=True)
class Part:
    """One group of those who answered: column -> codes, people, whole per cent by light."""

    classes: dict[str, tuple[str, ...]]
    people: int
    day: int | None
    dark: int | None


@dataclass(frozen=True)
class WalkTold:
    """What a walk's answers say, as far as it may be told.

    people, answers : of what is told, None where fewer than enough took part; kept : whether anybody's answers are;
    total : all stops together; change : after dark against by day in points, with its 90 % interval; whole : whether
    every stop is in a row of `places`
    """

    kept: bool
    people: int | None
    answers: int | None
    total: Place | None
    change: tuple[int, int, int] | None
    places: list[Place]
    parts: list[Part]
    whole: bool
    mixed: int | None  # share of answers told before this closing, by day and after dark together


def tell_walk(city: City, walk: Walk) -> WalkTold:
    """Tell a walk's answers, and keep in mind that they were told; telling twice tells the same."""
    tool, rule = load_instrument(INSTRUMENT), city.settings.release
    every = answers_to_tell(city, tool)
    before = told_before(city, tool)
    standing = plan_of(
        every, city.zone, tonight=_NEVER, people=rule.minimum_people, share=rule.maximum_share, earlier=before
    )
    of_walk = every[every["campaign"] == walk.campaign]
    known = {one for atom in standing.atoms for one in atom.answers}
    fresh: list[Atom] = []
    for state in ("day", "dark"):
        open_ = of_walk[(of_walk["light_state"] == state) & ~of_walk["response_id"].isin(known)]
        fresh += plan_of(open_, city.zone, tonight=_ALWAYS, people=rule.minimum_people, share=rule.maximum_share).atoms
    plan = Plan((*standing.atoms, *fresh), 0, rule.minimum_people, rule.maximum_share)
    if before is None or plan.atoms != before.atoms:
        keep_told(city, tool, plan)
    return _told(city, walk, of_walk, plan, tool.safe_from)


def _told(city: City, walk: Walk, of_walk: pd.DataFrame, plan: Plan, safe_from: int) -> WalkTold:
    state = dict(zip(of_walk["response_id"], of_walk["light_state"], strict=True))
    own = [atom for atom in plan.atoms if atom.answers <= state.keys()]
    lights = [{state[one] for one in atom.answers} for atom in own]
    plans = {
        light: Plan(tuple(a for a, of in zip(own, lights, strict=True) if of == wanted), 0, plan.people, plan.share)
        for light, wanted in (("day", {"day"}), ("dark", {"dark"}), ("mixed", {"day", "dark"}))
    }
    ids = {light: {one for atom in of.atoms for one in atom.answers} for light, of in plans.items()}
    told = of_walk[of_walk["response_id"].isin(set().union(*ids.values()))]
    if told.empty:
        return WalkTold(bool(len(of_walk)), None, None, None, None, [], [], False, None)
    tables = {light: Told(of_walk, of, city.zone) for light, of in plans.items()}
    shares = {light: _share(tables[light], safe_from) if ids[light] else None for light in plans}
    places = _places(city, walk, tables, safe_from)
    stops = {stop for place in places for stop in place.stops}
    both = plans["day"].atoms and plans["dark"].atoms
    return WalkTold(
        kept=True,
        people=int(told["pseudonym"].nunique()),
        answers=len(told),
        total=Place(tuple(walk.stops.index), shares["day"], shares["dark"]),
        change=_change(of_walk, ids, safe_from) if both else None,
        places=places,
        parts=_parts(of_walk, own, tables, city, plan, safe_from),
        whole=stops == set(walk.stops.index),
        mixed=shares["mixed"],
    )


def _share(table: Told, safe_from: int) -> int | None:
    rows = table.statistics(zoom_m=np.inf, safe_from=safe_from)
    return int(rows["share_safe"].iloc[0]) if len(rows) else None


def _places(city: City, walk: Walk, tables: dict[str, Told], safe_from: int) -> list[Place]:
    """The stops in their order, those of one cell together."""
    points = _middles(city, walk)
    found: dict[tuple[int, ...], dict[str, int]] = {}
    for light in ("day", "dark"):
        for row in tables[light].statistics(zoom_m=50.0, safe_from=safe_from).to_dict("records"):
            west, south, side = (float(row[name]) for name in ("west", "south", "side_m"))
            inside = (points[:, 0] >= west) & (points[:, 0] < west + side)
            inside &= (points[:, 1] >= south) & (points[:, 1] < south + side)
            stops = tuple(int(stop) for stop in walk.stops.index[inside])
            if stops:
                found.setdefault(stops, {})[light] = int(row["share_safe"])
    return [Place(stops, of.get("day"), of.get("dark")) for stops, of in sorted(found.items())]


def _middles(city: City, walk: Walk) -> npt.NDArray[np.float64]:
    """Where the answers of each stop are kept: the middle of the nearest street section."""
    sections = city.places("sections").geometry.to_numpy()
    middles = shapely.line_interpolate_point(sections, 0.5, normalized=True)
    nearest = shapely.STRtree(middles).nearest(walk.stops.geometry.to_numpy())
    out: npt.NDArray[np.float64] = shapely.get_coordinates(middles[nearest])
    return out


def _parts(
    of_walk: pd.DataFrame, own: list[Atom], tables: dict[str, Told], city: City, plan: Plan, safe_from: int
) -> list[Part]:
    """Groups by one column at a time, as the plan's atoms allow; none where everybody would be the only one."""
    together = Told(of_walk, Plan(tuple(own), 0, plan.people, plan.share), city.zone)
    parts = []
    for column in LADDERS:
        rows = together.statistics(by=column, zoom_m=np.inf, safe_from=safe_from)
        if len(rows) < 2:
            continue
        shares: dict[str, dict[str, int]] = {}
        for light in ("day", "dark"):
            of_light = tables[light].statistics(by=column, zoom_m=np.inf, safe_from=safe_from)
            shares[light] = dict(zip(of_light[column], of_light["share_safe"], strict=True))
        for row in rows.to_dict("records"):
            said = str(row[column])
            day, dark = shares["day"].get(said), shares["dark"].get(said)
            parts.append(Part({column: tuple(said.split(", "))}, int(row["people"]), day, dark))
    return parts


def _change(of_walk: pd.DataFrame, ids: dict[str, set[str]], safe_from: int) -> tuple[int, int, int]:
    """After dark against by day, points, with a 90 % interval over people drawn again and again."""
    told = of_walk[of_walk["response_id"].isin(ids["day"] | ids["dark"])]
    person = pd.factorize(told["pseudonym"], sort=True)[0]
    safe = (told["category"].to_numpy() >= safe_from).astype(np.float64)
    weight = np.minimum(told["weight"].to_numpy(np.float64), 1.0)
    dark = (told["light_state"] == "dark").to_numpy()
    people = int(person.max()) + 1
    sums = np.stack(
        [np.bincount(person, weight * value * light, people) for light in (dark, ~dark) for value in (safe, 1.0)]
    )
    generator = np.random.default_rng(0)  # the same answers, the same interval
    drawn = generator.integers(0, people, (_RESAMPLES, people))
    resampled = sums[:, drawn].sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        changes = 100 * (resampled[0] / resampled[1] - resampled[2] / resampled[3])
        whole = sums.sum(axis=1)
        change = 100 * (whole[0] / whole[1] - whole[2] / whole[3])
    low, high = np.nanquantile(changes, [0.05, 0.95])
    return round(float(change)), round(float(low)), round(float(high))
