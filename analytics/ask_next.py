"""Ask here next: where answers would tell the map most, for those who plan a survey and for nobody else.

Places are street sections, taken one after the other by footfall times variance (`analytics.asking_value`); each is
taken as asked before the next is looked for, and none lies within half a length of another. How many people make a
place's cell shown is found by the rule of release, in steps of ten, as if nobody had been asked there yet: how many
wait below ten is told to nobody. The list is no list of worst places: what people said is not in its order.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from analytics.asking_value import Asking, Unsureness, asking_value, expected_map, shown_share
from sensors.city import City
from sensors.errors import ModelError

STEPS = (10, 20, 40)  # people; fewer than ten are never told of, and beyond forty another place tells more
MOST = 100  # places of a list
HOST_M = 150.0  # a stop or a venue farther away is no host of this place
CLOSEST_M, FARTHEST_M = 100.0, 400.0  # between two places of the list


@dataclass(frozen=True)
class AskNext:
    """The list with what it is of.

    places : as `ask_next` gives it; shown_now : share of the night's footfall on streets where the map is shown, 0..1
    """

    city: str
    model: str
    night: str
    answers: int
    simulated: bool
    shown_now: float
    places: geopandas.GeoDataFrame

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        rows = json.loads(pd.DataFrame(self.places.drop(columns="geometry")).to_json(orient="records"))
        return {
            "city": self.city,
            "model": self.model,
            "night": self.night,
            "simulated": self.simulated,
            "footfall_shown_now": self.shown_now,
            "places": rows,
        }

    def csv(self) -> str:
        """The list as CSV, a name that a spreadsheet would run made harmless."""
        table = pd.DataFrame(self.places.drop(columns="geometry"))
        for name in ("label", "host"):
            table[name] = [f"'{text}" if text[:1] in "=+-@\t\r" and text else text for text in table[name]]
        return str(table.to_csv(index=False))

    def geojson(self) -> str:
        """The list as GeoJSON, WGS 84."""
        return str(self.places.to_crs("EPSG:4326").to_json(drop_id=True))

    def text(self) -> str:
        """The list for people."""
        lines = [
            f"{self.city}: where to ask next, by how many pass at night and how unsure the map is there",
            "For those who plan a survey. What people said has no part in the order: this is no list of places by how "
            "safe they feel.",
            f"The map shows {self.shown_now:.0%} of the night's footfall now.",
            "",
            f"{'':>3} {'place':<36}{'pass/h':>7}{'sd':>6}{'ask':>5}  {'how':<42}{'then shown':>10}",
        ]
        for row in self.places.itertuples():
            how = HOW[row.way].format(host=row.host, distance=row.host_m)
            name = f"near {row.label}" if row.near else row.label
            lines.append(
                f"{row.rank:>3} {name[:35]:<36}{row.footfall:>7.0f}{row.sd:>6.2f}{row.people:>5}  "
                f"{how[:41]:<42}{row.shown_after:>10.0%}"
            )
        lines += ["", *self.sentences()]
        if not self.answers:
            lines.append("Nobody has answered yet: shown means that enough people would have been asked around.")
        if self.simulated:
            lines.append("SIMULATED: not what people here said")
        return "\n".join(lines)

    def sentences(self) -> list[str]:
        """What the first three and all places together would make shown."""
        out = []
        for many in sorted({min(3, len(self.places)), len(self.places)} - {0}):
            part = self.places.iloc[:many]
            gain = max(float(part["shown_after"].iloc[-1]) - self.shown_now, 0.0)
            where = "this place" if many == 1 else f"these {many} places"
            out.append(f"{int(part['people'].sum())} answers at {where} un-hatch {gain:.0%} of the footfall.")
        return out


HOW = {
    "stop": "staffed, at the stop {host} ({distance:.0f} m)",
    "venue": "staffed, at {host} ({distance:.0f} m)",
    "pair": "a pair visit",
}


def ask_next(city: City, number: int = 20) -> geopandas.GeoDataFrame:
    """The places where answers would tell the map most, the first first; for planners and researchers only.

    number : how many places, 1 to 100

    Returns one row a place, its geometry the middle of a street section in the city's projection:
    `rank` from 1; `section` and `label`, its street's name, or where `near` the nearest street's that has one; `lon`,
    `lat`; `footfall`, persons/h in the mean of a night, two digits; `sd` of the place's own effect on the latent scale
    (never the estimate itself); `shown`, whether the map shows it now; `people`, how many people to ask so that it is
    shown, in steps of ten, at least ten and never the count of those who have answered; `way`, 'stop', 'venue' or
    'pair' (visit in pairs); `host` and `host_m`, the name and distance in metres of a stop or venue within 150 m that
    could be asked to help; `people_so_far` and `shown_after`, people asked here and before, and the share (0..1) of the
    night's footfall on streets where the map is then shown. It takes seconds; a model's list is kept in memory.
    """
    return list_of(city, number).places


def list_of(city: City, number: int = 20) -> AskNext:
    """The list with what it is of; `ask_next` says what its columns are."""
    if not 1 <= number <= MOST:
        raise ModelError(f"a list of {number} places cannot be made; expected 1 to {MOST}")
    from analytics.model import current_model

    try:
        digest = str(current_model(city)["digest"])
    except ModelError:
        return _made(city, number)
    return _of_model(city.path.resolve(), digest, number)


@lru_cache(maxsize=8)
def _of_model(path: Path, digest: str, number: int) -> AskNext:
    """The list of one model: the same until the next fit."""
    return _made(City.open(path), number)


def _made(city: City, number: int) -> AskNext:
    asking = asking_value(city)
    chosen = chosen_rows(asking, number)
    now = expected_map(asking, [])
    asked: list[tuple[int, int]] = []
    rows = []
    for row in chosen:
        people, shown = _people(asking, asked, row)
        rows.append({"people": people, "shown_after": shown_share(asking, shown)})
        asked.append((row, people))
    here = np.array(chosen, np.intp)
    places = asking.sections.iloc[here].reset_index(drop=True)
    places["rank"] = np.arange(1, len(here) + 1)
    places["label"], places["near"] = labels_of(asking, here)
    places[["lon", "lat"]] = _degrees(city, asking.points[here])
    places["footfall"] = [float(f"{value:.2g}") for value in asking.footfall[here]]
    places["sd"] = np.round(np.sqrt(asking.variance[here]), 2)
    r, c, _ = asking.surroundings.grid.cells(*asking.points[here].T)
    places["shown"] = now[r, c]
    places["people"] = [row["people"] for row in rows]
    places["people_so_far"] = places["people"].cumsum()
    places["shown_after"] = [round(row["shown_after"], 2) for row in rows]
    places[["way", "host", "host_m"]] = _hosts(city, asking.points[here])
    order = [
        "rank",
        "section",
        "label",
        "near",
        "lon",
        "lat",
        "footfall",
        "sd",
        "shown",
        "people",
        "way",
        "host",
        "host_m",
    ]
    return AskNext(
        city=city.name,
        model=asking.digest,
        night=asking.night,
        answers=asking.perception.n_answers,
        simulated=city.simulated or asking.perception.simulated,
        shown_now=round(shown_share(asking, now), 2),
        places=places[[*order, "people_so_far", "shown_after", "geometry"]],
    )


def labels_of(asking: Asking, rows: npt.NDArray[np.intp]) -> tuple[list[str], list[bool]]:
    """Names for people of some sections, and whether a name is of the nearest street that has one."""
    names = asking.sections["name"].to_numpy(dtype=object)
    named = np.flatnonzero(names != "")
    labels, near = [], []
    for row in rows:
        lent = not names[row] and named.size > 0
        of = named[np.argmin(np.hypot(*(asking.points[named] - asking.points[row]).T))] if lent else row
        labels.append(str(names[of]) or f"section {asking.sections['section'].iloc[row]}")
        near.append(bool(lent))
    return labels, near


def chosen_rows(asking: Asking, number: int) -> list[int]:
    """Rows of sections, each the most worth when ten people were asked at each of those before it."""
    person = asking.perception.own.person_variance
    unsure = Unsureness(asking.points, asking.variance, asking.length_m, person)
    apart = min(max(asking.length_m / 2, CLOSEST_M), FARTHEST_M)
    free = np.ones(len(asking.points), bool)
    chosen: list[int] = []
    while free.any() and len(chosen) < number:
        worth = np.where(free, asking.footfall * unsure.variance, -1.0)
        best = int(np.argmax(worth))
        chosen.append(best)
        unsure.ask(best, STEPS[0])
        free &= np.hypot(*(asking.points - asking.points[best]).T) >= apart
    return chosen


def _people(asking: Asking, asked: list[tuple[int, int]], row: int) -> tuple[int, npt.NDArray[np.bool_]]:
    """How many people make the map shown at a section, and what is shown then; the most of STEPS where none do."""
    r, c, _ = asking.surroundings.grid.cells(*asking.points[[row]].T)
    shown = np.zeros(asking.surroundings.grid.shape, bool)
    for people in STEPS:
        shown = expected_map(asking, [*asked, (row, people)])
        if shown[r[0], c[0]] or asking.surroundings.indoor[r[0], c[0]]:
            return people, shown
    return STEPS[-1], shown


def _degrees(city: City, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(city.crs, "EPSG:4326", always_xy=True).transform(points[:, 0], points[:, 1])
    return np.round(np.column_stack([lon, lat]), 6)


def _hosts(city: City, points: npt.NDArray[np.float64]) -> pd.DataFrame:
    """A stop, else a venue with a name, within reach of each point; else a visit in pairs."""
    found = [("pair", "", np.nan)] * len(points)
    for name, way in (("venues", "venue"), ("stops", "stop")):
        table = city.places(name)
        table = table[table["name"].fillna("").astype(str).str.strip() != ""] if len(table) else table
        if not len(table):
            continue
        tree = shapely.STRtree(table.geometry.to_numpy())
        near, distance = tree.query_nearest(shapely.points(points), return_distance=True, all_matches=False)
        for at, which, metres in zip(near[0], near[1], distance, strict=True):
            if metres <= HOST_M:
                found[at] = (way, str(table["name"].iloc[which]), float(np.round(metres)))
    return pd.DataFrame(found, columns=["way", "host", "host_m"])
