"""How much surer the map became around a walk's stops: the released map before the walk beside that after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
import xarray as xr

from analytics.model import Model, load_model
from analytics.walk_route import Route
from analytics.walk_times import at_stops
from sensors.city import City
from sensors.errors import ModelError
from sensors.night import Night
from sensors.walk import Walk

AROUND_M = 60.0  # of a stop
_WIDTH = 2 * 1.6449  # sd in a 90 % interval, from end to end

Singles = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sureness:
    """What the map shows around the stops before and after; widths in points of 100, None where there are none.

    time : local, of the step; before, after : mean width where both maps are shown; fresh : mean width where only the
    second is; shown, newly, hatched : how many stops; city_before, city_after : share of the night's footfall shown
    """

    time: str
    before: float | None
    after: float | None
    fresh: float | None
    shown: int
    newly: int
    hatched: int
    city_before: float
    city_after: float


def sureness(city: City, walk: Walk, route: Route, before: Model | None, after: Model) -> Sureness:
    """Both maps at the step in which the walk is at its middle; `before` is None where there was no map."""
    from analytics.fields import fields_at
    from analytics.surroundings import surroundings
    from sensors.reading import empty_records

    around = surroundings(city)
    step = _step(city, walk, route)
    maps = []
    for model in (before, after):
        if model is None:
            maps.append(np.full(around.grid.shape, np.nan, np.float32))
            continue
        fields = fields_at(around, model.knowledge, empty_records(), step)
        maps.append(_widths(fields, model, city))
    rate = np.nan_to_num(fields["footfall"].to_numpy()[0].astype(np.float64))
    rate = np.where(around.street & ~around.indoor, rate, 0.0)
    shown = [np.isfinite(one) for one in maps]
    city_shares = [float(rate[one].sum() / rate.sum()) if rate.sum() > 0 else 0.0 for one in shown]
    near = _near(around.grid.easting, around.grid.northing, walk)
    was = [bool(shown[0][stop].any()) for stop in near]
    is_ = [bool(shown[1][stop].any()) for stop in near]
    kept = [stop for stop, one, other in zip(near, was, is_, strict=True) if one and other]
    newly = [stop for stop, one, other in zip(near, was, is_, strict=True) if other and not one]
    return Sureness(
        time=_clock(step, city),
        before=_mean([maps[0][stop] for stop in kept]),
        after=_mean([maps[1][stop] for stop in kept]),
        fresh=_mean([maps[1][stop] for stop in newly]),
        shown=len(kept),
        newly=len(newly),
        hatched=len(near) - len(kept) - len(newly),
        city_before=city_shares[0],
        city_after=city_shares[1],
    )


def model_before(city: City, walk: Walk) -> Model | None:
    """The newest model that no answer of the walk has a part in: the current one, or the one before phones answered."""
    try:
        current = load_model(city)
    except ModelError:  # no map yet, or none that this version can read
        return None
    if walk.campaign not in current.perception.campaigns:
        return current
    found: list[Model] = []
    for path in sorted(city.shelf("model").glob("*/model.json")):
        try:
            model = load_model(city, path.parent.name)
        except ModelError:  # of another version, or damaged; it says nothing about the others
            continue
        if walk.campaign not in model.perception.campaigns:
            found.append(model)
    return max(found, key=lambda model: model.night) if found else None


def _widths(fields: xr.Dataset, model: Model, city: City) -> Singles:
    """Width of the 90 % interval of each cell that is shown, points; NaN where it is not."""
    from analytics.perception import fuse
    from analytics.release import release

    page = release(fuse(fields, model.perception, city), model.support, city)
    if "safety_sd" not in page:
        return np.full(fields["footfall"].shape[1:], np.nan, np.float32)
    return np.asarray(_WIDTH * page["safety_sd"].to_numpy()[0], np.float32)


def _step(city: City, walk: Walk, route: Route) -> np.datetime64:
    """The step of the mapped night in which the dark walk, or the only one, is at its middle stop."""
    state = "dark" if "dark" in walk.settings.light_states else "day"
    moments = at_stops(city, walk, route, state)
    night = Night.named(walk.date.isoformat(), city.zone)
    window = city.settings.night
    steps = night.steps(window.from_, window.to, window.step_minutes)
    middle = np.datetime64(int(moments[len(moments) // 2].timestamp() * 1000), "ms")
    at = int(np.searchsorted(steps, middle, side="right")) - 1
    step: np.datetime64 = steps[min(max(at, 0), len(steps) - 1)].astype("datetime64[ms]")
    return step


def _clock(step: np.datetime64, city: City) -> str:
    from datetime import datetime

    return f"{datetime.fromtimestamp(int(step.astype('datetime64[s]').astype(np.int64)), city.zone):%H:%M}"


def _near(
    easting: npt.NDArray[np.float64], northing: npt.NDArray[np.float64], walk: Walk
) -> list[npt.NDArray[np.bool_]]:
    """Cells around each stop."""
    points = shapely.get_coordinates(walk.stops.geometry.to_numpy())
    return [np.hypot(easting[None, :] - e, northing[:, None] - n) <= AROUND_M for e, n in points]


def _mean(widths: list[Singles]) -> float | None:
    values = np.concatenate(widths) if widths else np.empty(0, np.float32)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else None
