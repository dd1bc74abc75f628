"""What stands behind one place of the map: shares of measured, modelled and simulated, support, nearest sensor.

Read from a released page, and from what the city states of its surveys and layers; never from readings.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from analytics.grid import Grid
from sensors.city import City
from sensors.errors import ExportError
from sensors.night import Night, night_of, rfc3339

_FIELDS = ("illuminance", "noise", "footfall")
_FOR_PEOPLE = {"illuminance": "light", "noise": "noise", "footfall": "footfall"}


@dataclass(frozen=True)
class FieldHere:
    """One field of a cell: value, sd (of ln but for noise), per cent by origin, metres to the nearest live sensor."""

    value: float
    unit: str
    sd: float
    measured: int
    modelled: int
    simulated: int
    nearest_m: float | None


@dataclass(frozen=True)
class SurveyHere:
    """A survey of light that measured this very cell, or the nearest that it did."""

    survey: str
    plane: str
    height_m: float
    night: str
    age_days: int
    distance_m: float
    lux: float
    at_least: bool


@dataclass(frozen=True)
class Provenance:
    """Everything behind one place at one step; support_m : side of the smallest cell with enough answers, 0: none."""

    step: str
    easting: float
    northing: float
    support_m: int
    fields: dict[str, FieldHere] = field(default_factory=dict)
    surveys: list[SurveyHere] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return asdict(self)

    def text(self) -> str:
        """For people."""
        lines = [f"{self.step}, cell at easting {self.easting:.0f}, northing {self.northing:.0f}"]
        for name, here in self.fields.items():
            parts = {"measured": here.measured, "modelled": here.modelled, "simulated": here.simulated}
            shares = ", ".join(f"{word} {share} %" for word, share in parts.items() if share)
            near = "no live sensor" if here.nearest_m is None else f"nearest live sensor {here.nearest_m:.0f} m"
            lines.append(f"  {_FOR_PEOPLE[name]:<9} {here.value:.3g} {here.unit} (sd {here.sd:.2g}): {shares}; {near}")
        for one in self.surveys:
            bound = "at least " if one.at_least else ""
            lines.append(
                f"  surveyed  '{one.survey}', {one.night} ({one.age_days} days before): {bound}{one.lux:.3g} lx, "
                f"{one.plane} at {one.height_m:g} m, {one.distance_m:.0f} m away"
            )
        lines += [f"  layer     '{name}'" for name in self.layers]
        lines.append(f"  answers   {f'enough within {self.support_m} m' if self.support_m else 'too few nearby'}")
        return "\n".join(lines)


def provenance(city: City, night: Night, step: np.datetime64 | None, longitude: float, latitude: float) -> Provenance:
    """What stands behind a place (WGS 84) at a closed step of a night; the last one without `step`."""
    from pyproj import Transformer

    from analytics.atlas import closed_steps, open_night

    pages, meta = open_night(city, night)
    closed = closed_steps(meta)
    if step is None:
        at = len(closed) - 1
    elif step in closed:
        at = int(np.flatnonzero(closed == step)[0])
    else:
        raise ExportError(
            f"step {rfc3339(step)} is not closed; the night has {rfc3339(closed[0])} to {rfc3339(closed[-1])}"
        )
    east, north = Transformer.from_crs("EPSG:4326", city.crs, always_xy=True).transform(longitude, latitude)
    grid = Grid.of(city)
    row, column, inside = (side[0] for side in grid.cells(np.array([east]), np.array([north])))
    if not inside:
        raise ExportError(f"{latitude:g}, {longitude:g} is outside the map of {city.name}")
    page = pages.isel(time=at, northing=int(row), easting=int(column)).load()
    here = {str(name): page[name].item() for name in page.data_vars}
    found = {name: _field(name, here, page) for name in _FIELDS if f"{name}_measured" in here}
    if not found:
        raise ExportError(
            f"the pages of {night.name} do not say what is measured; 'noctule replay --write' makes new ones"
        )
    moment = closed[at]
    east, north = float(grid.easting[column]), float(grid.northing[row])
    return Provenance(
        step=rfc3339(moment),
        easting=east,
        northing=north,
        support_m=int(here.get("safety_support", 0)),
        fields=found,
        surveys=_surveys(city, moment, east, north),
        layers=_layers(city, moment, int(row), int(column)),
    )


def _field(name: str, here: dict[str, Any], page: Any) -> FieldHere:
    measured, simulated = int(here[f"{name}_measured"]), int(here[f"{name}_simulated"])
    nearest = float(here[f"{name}_nearest"])
    return FieldHere(
        value=float(here[name]),
        unit=str(page[name].attrs.get("units", "")),
        sd=float(here[f"{name}_sd"]),
        measured=measured,
        modelled=max(100 - measured - simulated, 0),
        simulated=simulated,
        nearest_m=nearest if np.isfinite(nearest) else None,
    )


def _surveys(city: City, moment: np.datetime64, east: float, north: float) -> list[SurveyHere]:
    from sensors.light_survey import load_surveys

    tonight = night_of(moment, city.zone).date
    found = []
    for terms, table in load_surveys(city):
        distance = np.hypot(table["easting"].to_numpy() - east, table["northing"].to_numpy() - north)
        nearest = int(np.argmin(distance))
        if distance[nearest] > 150.0:  # beyond which streets are not alike
            continue
        cell = table.iloc[nearest]
        night = night_of(np.datetime64(cell["time"], "ms"), city.zone)
        found.append(
            SurveyHere(
                terms.survey, terms.plane, terms.height_m, night.name, (tonight - night.date).days,
                float(distance[nearest]), float(cell["lux"]), bool(cell["at_least"]),
            )
        )  # fmt: skip
    return found


def _layers(city: City, moment: np.datetime64, row: int, column: int) -> list[str]:
    from sensors.city_layer import layer_terms, load_layer

    tonight = night_of(moment, city.zone).name
    return [
        terms.layer
        for terms in layer_terms(city)
        if terms.use == "background"
        and (terms.valid_from or tonight) <= tonight <= (terms.valid_to or tonight)
        and np.isfinite(load_layer(city, terms.layer)[1][0, row, column])
    ]
