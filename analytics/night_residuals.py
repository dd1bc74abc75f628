"""What sensors measured over a night less what its pages say where they stand: one released number a site.

A site that corrects the map is on it too, so this is how far the map was left from what was measured, not how well it
foretells a place without a sensor (`noise_validation` and `noctule validate` try that). The mean over at least four
closed steps is all that leaves: no single reading, no single step.

noise      mean of measured less mapped level, dB
light      mean measured over mean mapped illuminance, of level sensors only: pages tell the light on the ground
footfall   people counted over people mapped in the same steps; counts are taken as they came, so a counter whose gain
           is calibrated differs by that gain
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analytics.atlas import open_night
from analytics.closing import step_length
from analytics.observations import Said, ordered, said
from analytics.surroundings import ORIGINS, PLANES, Sites, surroundings
from ingest.archive import night_records
from sensors.city import City
from sensors.flags import Flag
from sensors.night import Night
from sensors.quantities import QUANTITIES
from sensors.reading import Records

LEAST_STEPS = 4  # an hour
QUANTITY_OF = {"noise": "sound_laeq", "illuminance": "illuminance", "footfall": "people_flow"}
_HALF = 1.645  # of the central 90 % of a normal distribution
_HOUR_S = 3600.0


@dataclass(frozen=True)
class Residual:
    """A site's residual over a night.

    difference : dB, or for illuminance and footfall the ratio of measured to mapped less 1
    told : whether it is larger than the map's own 90 % interval there explains
    """

    site: int
    field: str
    easting: float
    northing: float
    difference: float
    told: bool
    steps: int
    simulated: bool


@dataclass(frozen=True)
class NightResiduals:
    """Residuals by site, and how many of the night's readings carry each reason to doubt them."""

    residuals: tuple[Residual, ...]
    readings: int
    doubted: dict[str, int]


def night_residuals(city: City, night: Night) -> NightResiduals:
    """The residuals of a night's sensors against its closed pages, and its flags counted; StoreError without pages."""
    pages, _ = open_night(city, night)
    sites = surroundings(city).sites
    codes = [QUANTITIES[name].code for name in QUANTITY_OF.values()]
    records = ordered(night_records(city, night, quantities=codes))
    steps = pages["time"].values.astype("datetime64[ms]")
    found: list[Residual] = []
    if steps.size:
        until = steps[-1] + step_length(city)
        for field, quantity in QUANTITY_OF.items():
            if field in pages and f"{field}_sd" in pages:
                readings = said(records, sites, quantity, steps[0], until)
                found += _of_field(field, readings, sites, steps, step_length(city), pages)
    return NightResiduals(tuple(found), int(records.size), doubted(records))


def doubted(records: Records) -> dict[str, int]:
    """How many readings carry each flag, by its name; flags that none carries are left out."""
    by_flags = Counter(records["flags"].tolist())
    counts = {flag: sum(n for flags, n in by_flags.items() if flags & flag) for flag in Flag}
    return {str(flag.name).lower(): count for flag, count in counts.items() if count}


def residual(field: str, measured: NDArray[np.float64], mapped: NDArray[np.float64]) -> float:
    """Measured less mapped over some steps: dB for noise, else the ratio of their sums less 1.

    >>> residual("noise", np.array([60.0, 62.0]), np.array([58.0, 60.0]))
    2.0
    >>> residual("footfall", np.array([30.0, 0.0]), np.array([10.0, 10.0]))
    0.5
    """
    if field == "noise":
        return float(np.mean(measured - mapped))
    return float(measured.sum() / mapped.sum() - 1.0)


def _of_field(
    field: str,
    readings: Said,
    sites: Sites,
    steps: NDArray[np.datetime64],
    length: np.timedelta64,
    pages: xr.Dataset,
) -> list[Residual]:
    # A reading belongs to the step whose interval (start, end] holds its end.
    step = np.searchsorted(steps, readings.time, side="left") - 1
    inside = sites.inside[readings.row] & (step >= 0)
    inside &= readings.time <= steps[np.maximum(step, 0)] + length
    if field == "illuminance":
        inside &= sites.plane[readings.row] == PLANES.index("horizontal")
    if field == "noise":
        inside &= ~sites.facade[readings.row]  # a facade adds its own echo, which pages do not hold
    rows = np.unique(readings.row[inside])
    if not rows.size:
        return []
    weight = np.maximum(readings.duration_s, 1.0)
    amount = 10 ** (readings.value / 10) if field == "noise" else readings.value
    total, seconds = (np.zeros((sites.site.size, steps.size)) for _ in range(2))
    counts = field == "footfall"
    np.add.at(total, (readings.row[inside], step[inside]), amount[inside] if counts else (amount * weight)[inside])
    np.add.at(seconds, (readings.row[inside], step[inside]), weight[inside])
    with np.errstate(divide="ignore", invalid="ignore"):
        measured = total[rows] / seconds[rows] * (_HOUR_S if counts else 1.0)
        measured = 10 * np.log10(measured) if field == "noise" else measured
    mapped, sd = (_at(pages, name, sites, rows) for name in (field, f"{field}_sd"))
    found = []
    for number, row in enumerate(rows):
        both = np.isfinite(measured[number]) & np.isfinite(mapped[number]) & np.isfinite(sd[number])
        if both.sum() < LEAST_STEPS:
            continue
        difference = residual(field, measured[number][both], mapped[number][both])
        if not np.isfinite(difference):
            continue
        # Errors of neighbouring steps are one error, so the mean's is taken to be no smaller than a step's.
        half = _HALF * float(np.mean(sd[number][both]))
        own = difference if field == "noise" else float(np.log(max(1.0 + difference, 1e-6)))
        place = float(sites.easting[row]), float(sites.northing[row])
        made = ORIGINS[sites.origin[row]] == "simulated"
        found.append(Residual(int(sites.site[row]), field, *place, difference, abs(own) > half, int(both.sum()), made))
    return found


def _at(pages: xr.Dataset, name: str, sites: Sites, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """A variable of the pages at sites, (sites, steps)."""
    places = {"northing": sites.row[rows], "easting": sites.column[rows]}
    where = {axis: xr.DataArray(place, dims="site") for axis, place in places.items()}
    return np.asarray(pages[name].isel(where).transpose("site", "time").values, np.float64)
