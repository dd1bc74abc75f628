"""Pages of an atlas with made-up but plausible fields, for tests of whoever reads it.

Light falls off around lamps, footfall around venues and with the hour, noise with both; perceived safety follows them
in cells of 50 m, with a corner that has no evidence. Nothing is fitted: tests need known values, not true ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from analytics import atlas
from dashboard.ground import ground_mask
from dashboard.tiles import GridFrame
from sensors.city import City
from sensors.night import Night, rfc3339

MODEL = "m0del0" * 4
_ROW = {
    "lamps_changed": 12, "illuminance": 2.5, "illuminance_low": 1.0, "illuminance_high": 4.0, "safety": 3.1,
    "safety_low": 1.2, "safety_high": 5.0, "energy_kwh": 8.0, "passages": 420.0, "passages_low": 160.0,
    "passages_high": 680.0, "passages_untold": 90.0,
}  # fmt: skip


def night(city: City, name: str = "2026-11-20") -> Night:
    return Night.named(name, city.zone)


def page(city: City, step: np.datetime64, shift: float = 0.0) -> xr.Dataset:
    """All released layers of one step; `shift` points are added to perceived safety."""
    grid = city.settings.grid
    north = np.arange(grid.south + grid.cell_m / 2, grid.north, grid.cell_m)
    east = np.arange(grid.west + grid.cell_m / 2, grid.east, grid.cell_m)
    shape = (north.size, east.size)
    hour = float((step - atlas.night_steps(city, night_of(city, step))[0]) / np.timedelta64(1, "h"))
    lamps = city.places("lamps").geometry
    venues = city.places("venues").geometry
    lux = _around(lamps.x.to_numpy(), lamps.y.to_numpy(), east, north, 9.0) * 14 + 0.15
    crowd = _around(venues.x.to_numpy(), venues.y.to_numpy(), east, north, 70.0)
    people = (20 + 900 * crowd / max(1e-9, crowd.max())) * np.exp(-(((hour - 3.5) / 3.0) ** 2))
    noise = 42 + 9 * np.log10(1 + people)
    indoors = ~ground_mask(city, frame(city)) & _near_ground(city)
    score = 35 + 12 * np.log1p(lux) + 5 * np.log1p(people / 20) - 2.0 * hour + shift
    blocks = _coarse(score, max(1, round(50 / grid.cell_m)))
    sd = _coarse(
        3 + 17 * np.hypot(*np.meshgrid(np.linspace(-0.4, 1, shape[1]), np.linspace(-0.5, 1, shape[0]))) ** 2, 5
    )
    unknown = np.zeros(shape, bool)
    unknown[: shape[0] // 5, : shape[1] // 4] = True
    fields = {
        "illuminance": lux, "illuminance_sd": np.full(shape, 0.3), "illuminance_min": lux * 0.4,
        "illuminance_nearest": np.full(shape, 80.0),
        "footfall": people, "footfall_sd": 0.3 + sd / 20, "footfall_nearest": np.full(shape, 220.0),
        "noise": noise, "noise_sd": np.full(shape, 3.0),
        "noise_nearest": np.broadcast_to(np.linspace(0, 600, shape[1]), shape),
        "safety": np.where(unknown, np.nan, np.clip(np.rint(blocks), 0, 100)),
        "safety_sd": np.where(unknown, np.nan, sd),
        "safety_evidence": np.clip(1.05 - sd / 30, 0, 1) * ~unknown,
        "goes_light": (np.log1p(lux) - 1.2) / 3, "goes_people": np.log1p(people / 80) / 4,
        "goes_noise": -(noise - 55) / 90, "goes_hour": np.full(shape, 0.2 - hour / 20),
    }  # fmt: skip
    fields |= _of_groups(fields["safety"], sd)
    for name in ("safety", "safety_sd", "safety_evidence", "noise", "footfall", *(f for f in fields if "_of_" in f)):
        fields[name] = np.where(indoors, np.nan, fields[name])
    data = {name: (("time", "northing", "easting"), values[np.newaxis].astype("f4")) for name, values in fields.items()}
    for name in ("illuminance", "footfall", "noise"):
        data[f"{name}_origin"] = (("time", "northing", "easting"), np.full((1, *shape), 2 | 4, np.uint8))
    hatched = np.where(np.isnan(fields["safety"]) & ~indoors, 1, 0).astype(np.uint8)
    data["safety_hatched"] = (("time", "northing", "easting"), hatched[np.newaxis])
    return xr.Dataset(data, {"time": np.array([step], "datetime64[ms]"), "northing": north, "easting": east})


def _of_groups(safety: npt.NDArray[np.floating], sd: npt.NDArray[np.floating]) -> dict[str, npt.NDArray[np.floating]]:
    """Women nine points below men, whose gap cannot be told from nothing where the sd is large; few men in the east."""
    few = np.arange(safety.shape[1]) >= 0.8 * safety.shape[1]
    women, men = safety - 5, np.where(few, np.nan, safety + 4)
    gap, known = women - men, np.isfinite(safety)
    return {
        "safety_of_women": women, "safety_of_women_sd": sd, "safety_of_men": men, "safety_of_men_sd": sd,
        "safety_of_gap_women": gap, "safety_of_gap_women_sd": sd / 3,
        "safety_exceeds": np.where(known, 88.0, np.nan), "safety_n": np.where(known, 20.0, np.nan),
    }  # fmt: skip


def write_night(city: City, name: str, steps: int = 40, level: str = "atlas") -> None:
    """Close the first steps of a night."""
    chosen = night(city, name)
    pages = [(page(city, step), meta(city)) for step in atlas.night_steps(city, chosen)[:steps]]
    atlas.write_night(city, chosen, pages, level)


def write_now(
    city: City, name: str, frame_index: int, shift: float = 0.0, state: str = "live", mapper: str = "live"
) -> dict[str, Any]:
    """The provisional page of a step, as the mapper replaces it."""
    chosen = night(city, name)
    step = atlas.night_steps(city, chosen)[frame_index]
    as_of = step + np.timedelta64(11, "m")
    content = {
        "night": name,
        "step": rfc3339(step),
        "as_of": rfc3339(as_of),
        "state": state,
        "mapper": mapper,
        "sensors": {"newest": rfc3339(as_of), "live": 42, "silent": 3},
        "answers": {"count": 1532, "newest": rfc3339(step - np.timedelta64(5, "D")), "oldest": "2026-09-20T18:00:00Z"},
        "model": MODEL,
        "simulated": True,
    }
    return atlas.write_now(city, page(city, step, shift) if state == "live" else None, content)


def write_plan(city: City, name: str = "brighter-park", frames: int = 1) -> None:
    """A scenario's difference page."""
    steps = atlas.night_steps(city, night(city))[8:10]
    now = page(city, steps[0])
    shape = (frames, *now["safety"].shape[1:])
    ramp = np.broadcast_to(np.linspace(-8, 12, shape[2]), shape).astype("f4")
    dims = ("time", "northing", "easting")
    data = {
        "illuminance_change": (dims, np.broadcast_to(np.linspace(-4, 9, shape[2]), shape).astype("f4")),
        "safety_change": (dims, ramp),
        "safety_change_low": (dims, ramp - 5),
        "safety_change_high": (dims, ramp + 5),
    }
    pages = xr.Dataset(data, {"time": steps[:frames], "northing": now["northing"], "easting": now["easting"]})
    atlas.write_plan(
        city, name, pages, {"night": "2026-11-20", "table": [_ROW], "simulated": True, "title": "Brighter park"}
    )


def meta(city: City) -> dict[str, Any]:
    return {
        "model": MODEL,
        "places": "b" * 64,
        "settings": "d" * 12,
        "code": "c" * 12,
        "simulated": True,
        "records": 1200,
        "cut": "close",
        "attribution": city.settings.attribution,
        "written": "2026-11-21T04:00:00.000Z",
    }


def frame(city: City) -> GridFrame:
    grid = city.settings.grid
    shape = (round((grid.north - grid.south) / grid.cell_m), round((grid.east - grid.west) / grid.cell_m))
    return GridFrame(city.crs, grid.west, grid.south, grid.cell_m, shape)


def night_of(city: City, step: np.datetime64) -> Night:
    from sensors.night import night_of as of

    return of(step, city.zone)


def _around(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], east: npt.NDArray[np.float64],
    north: npt.NDArray[np.float64], reach_m: float,
) -> npt.NDArray[np.float64]:  # fmt: skip
    total = np.zeros((north.size, east.size))
    for px, py in zip(x, y, strict=True):
        total += np.exp(-((north - py) ** 2)[:, None] / 2 / reach_m**2) * np.exp(-((east - px) ** 2) / 2 / reach_m**2)
    return total


def _coarse(values: npt.NDArray[np.float64], cells: int) -> npt.NDArray[np.float64]:
    out = values.copy()
    for i in range(0, values.shape[0], cells):
        for j in range(0, values.shape[1], cells):
            out[i : i + cells, j : j + cells] = values[i : i + cells, j : j + cells].mean()
    return out


def _near_ground(city: City) -> npt.NDArray[np.bool_]:
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    at = frame(city)
    transform = Affine(at.cell_m, 0, at.west, 0, at.cell_m, at.south)
    shapes = list(city.places("buildings").geometry)
    return np.asarray(rasterize(shapes, at.shape, transform=transform, dtype="uint8"), bool)
