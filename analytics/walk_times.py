"""When a walk passes its stops by day and after dark, by the sun of its day where nobody has set the hours."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from analytics.walk_route import MINUTES_A_STOP, SPEED_M_PER_MIN, Route
from sensors.city import City
from sensors.errors import WalkError
from sensors.night import Night, sun_times
from sensors.walk import Walk

_QUARTER = timedelta(minutes=15)
_AFTER_DUSK = timedelta(minutes=15)  # so that all of the walk is dark
_BEFORE_SUNSET = timedelta(minutes=15)
_EARLIEST_DARK = time(20, 0)  # the mapped night begins here; earlier is another footfall
_EARLIEST_DAY = time(9, 0)


def beginning(city: City, walk: Walk, route: Route, state: str) -> datetime:
    """When the walk begins by day or after dark, local time of the city; WalkError where that is never on its day."""
    said = walk.settings.day_from if state == "day" else walk.settings.dark_from
    if said:
        return datetime.combine(walk.date, time.fromisoformat(said), city.zone)
    return _by_day(city, walk, route) if state == "day" else _after_dark(city, walk)


def at_stops(city: City, walk: Walk, route: Route, state: str) -> list[datetime]:
    """When the group stands at each stop, local time, to the minute."""
    start, gone = beginning(city, walk, route, state), 0.0
    out = []
    for at in range(len(walk.stops)):
        minutes = gone / SPEED_M_PER_MIN + (at + 0.5) * MINUTES_A_STOP
        moment = start.astimezone(UTC) + timedelta(minutes=round(minutes))
        out.append(moment.astimezone(city.zone))
        gone += float(route.legs_m[at]) if at < len(route.legs_m) else 0.0
    return out


def _after_dark(city: City, walk: Walk) -> datetime:
    longitude, latitude = city.centre_lonlat()
    sun = sun_times(latitude, longitude, Night.named(walk.date.isoformat(), city.zone))
    if sun.civil_dusk is None:
        if sun.dark_hours <= 0:
            raise WalkError(f"it does not get dark in {city.name} on {walk.date}; choose another day, or only 'day'")
        return datetime.combine(walk.date, _EARLIEST_DARK, city.zone)
    dusk = _local(sun.civil_dusk, city) + _AFTER_DUSK
    return max(_quarter(dusk), datetime.combine(walk.date, _EARLIEST_DARK, city.zone))


def _by_day(city: City, walk: Walk, route: Route) -> datetime:
    """As late as the whole walk is still in daylight, so that the same day is not a long wait."""
    longitude, latitude = city.centre_lonlat()
    sun = sun_times(latitude, longitude, Night.named(walk.date.isoformat(), city.zone))
    if sun.sunset is None:
        if sun.dark_hours >= 23:
            raise WalkError(f"it does not get light in {city.name} on {walk.date}; choose another day, or only 'dark'")
        return datetime.combine(walk.date, time(16, 0), city.zone)
    last = _local(sun.sunset, city) - _BEFORE_SUNSET - timedelta(minutes=route.minutes)
    return max(_quarter(last - _QUARTER), datetime.combine(walk.date, _EARLIEST_DAY, city.zone))


def _local(moment: np.datetime64, city: City) -> datetime:
    seconds = moment.astype("datetime64[s]").astype(np.int64)
    return datetime.fromtimestamp(int(seconds), city.zone)


def _quarter(moment: datetime) -> datetime:
    """The next whole quarter of an hour."""
    floor = moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)
    return floor if floor == moment else floor + _QUARTER


def ordered(states: Iterable[str]) -> list[str]:
    """By day and after dark, in the order in which they are walked."""
    return [state for state in ("day", "dark") if state in set(states)]


def day_named(day: date, language: str) -> str:
    """A day as people say it."""
    from babel.dates import format_date

    return str(format_date(day, "full", locale="en_GB" if language == "en" else language))
