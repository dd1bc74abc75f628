"""The public level: a night's closed pages, a day old and in cells of 200 m or more, under `store/public`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from analytics.atlas import Meta, night_meta, nights, open_night, write_night
from analytics.closing import step_length
from sensors.city import City
from sensors.night import Night, parse_rfc3339

_SHARED = ("model", "places", "settings", "code", "simulated", "attribution", "written")


def publish(city: City, now: np.datetime64) -> list[str]:
    """Write the public level of every night that has become old enough by `now` (city time); returns their names."""
    done = []
    for name in nights(city):
        meta = night_meta(city, name)
        public = night_meta(city, name, "public")
        if meta is None or not meta["closed"] or not is_old(city, meta, now):
            continue
        if public is None or public["made_from"] != made_from(meta):
            night = Night.named(name, city.zone)
            write_night(city, night, _pages(city, name, meta, now), "public", made_from=made_from(meta))
            done.append(name)
    return done


def is_old(city: City, meta: Meta, now: np.datetime64) -> bool:
    """Whether a night ended so long ago that the public may see it: `release.public_delay_hours`, at least 24."""
    delay = np.timedelta64(round(max(city.settings.release.public_delay_hours, 24.0) * 3600_000), "ms")
    return bool(parse_rfc3339(meta["steps"][-1]) + step_length(city) + delay <= now)


def made_from(meta: Meta) -> str:
    """Which pages a public night rests on: the version of the night's pages and how many of them were closed."""
    return f"version {meta['version']}, {len(meta['closed'])} steps"


def _pages(city: City, name: str, meta: Meta, now: np.datetime64) -> Iterator[tuple[xr.Dataset, Meta]]:
    from analytics.release import public

    pages, _ = open_night(city, name)
    for row, entry in enumerate(meta["closed"]):
        page = public(pages.isel(time=[row]).load(), now, city)
        yield page, {key: meta.get(key) for key in _SHARED} | {key: entry[key] for key in ("records", "cut", "places")}
