"""The places in view as a table: what the map's own pixels say there, for who does not read a map.

It reads the same bytes as the tiles of the zoom that is shown, so it can tell nothing finer than the map does, of
anybody it may be shown to. Rows stand in the order of the alphabet and cannot be ordered by value: a list of places
from worst to best is what this is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import numpy.typing as npt
from dash import html

from dashboard.basemap import HALF_EQUATOR_M
from dashboard.figures import amount_words, confidence_word
from dashboard.scales import SCALES, base_layer
from dashboard.street_list import BETWEEN, street_list
from dashboard.tiles import EMPTY, LOWEST_ZOOM, NOTHING, TILE, GridFrame, Packed
from dashboard.words import Words
from sensors.city import City

MOST_ROWS = 200
_SURE = 8  # confidence from which a difference can be told from 0

Floats = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]  # west, south, east, north, degrees


@dataclass(frozen=True, slots=True)
class Row:
    """A named place and what the map shows there."""

    name: str
    value: float | None  # the layer's quantity; None: no evidence
    confidence: int  # 0..15


@dataclass(frozen=True)
class Names:
    """Labels of a city's places and where they lie."""

    labels: tuple[str, ...]
    longitude: Floats
    latitude: Floats


@dataclass
class PlaceNames:
    """Holds a city's named places once somebody asked for them; laying them out takes a large city seconds."""

    _names: Names | None = None
    _lock: Lock = field(default_factory=Lock)

    def of(self, city: City) -> Names:
        """The names and places of a city."""
        with self._lock:
            if self._names is None:
                self._names = _names(city)
            return self._names


def places_in_view(names: Names, frame: GridFrame, levels: list[Packed], layer: str, box: Box, zoom: int) -> list[Row]:
    """What the tiles of a zoom show at every named place in a box; places of which the map says nothing are left out.

    Parameters
    ----------
    levels : the frame's bytes on all levels of detail
    box : west, south, east and north of the view, degrees
    zoom : of the tiles that are shown
    """
    west, south, east, north = box
    inside = (names.longitude >= west) & (names.longitude <= east)
    inside &= (names.latitude >= south) & (names.latitude <= north)
    chosen, shown = np.flatnonzero(inside), int(np.clip(zoom, LOWEST_ZOOM, frame.native_zoom))
    level = frame.level(shown)
    packed, cell_m = levels[level], frame.cell_m * 2**level
    easting, northing = _pixel_centres(frame.crs, names.longitude[chosen], names.latitude[chosen], shown)
    rows = np.floor((northing - frame.south) / cell_m).astype(int) + 1
    columns = np.floor((easting - frame.west) / cell_m).astype(int) + 1
    on_grid = (rows >= 0) & (rows < packed.shape[0]) & (columns >= 0) & (columns < packed.shape[1])
    found = []
    for place, row, column in zip(chosen[on_grid], rows[on_grid], columns[on_grid], strict=True):
        pixel = packed[row, column]
        if pixel == EMPTY:
            continue
        value, confidence = int(pixel) & 255, int(pixel) >> 8
        quantity = None if value == NOTHING else float(SCALES[layer].to_quantity(value))
        found.append(Row(names.labels[place], quantity, confidence))
    return sorted(found, key=lambda row: row.name.casefold())


def shortened(rows: list[Row], most: int = MOST_ROWS) -> list[Row]:
    """At most `most`: one for each street first, then others of them, evenly through the alphabet."""
    if len(rows) <= most:
        return rows
    firsts = sorted({row.name.split(BETWEEN, 1)[0]: place for place, row in reversed(list(enumerate(rows)))}.values())
    others = sorted(set(range(len(rows))) - set(firsts))
    chosen = _evenly(firsts, most)
    chosen += _evenly(others, most - len(chosen))
    return [rows[place] for place in sorted(chosen)]


def place_table(rows: list[Row], layer: str, say: Words, when: str) -> html.Table | html.P:
    """The table in words; one sentence where no named place is in view."""
    if not rows:
        return html.P(say("table.none"))
    shown = shortened(rows)
    count = say("table.count", shown=say.number(len(shown)), all=say.number(len(rows)))
    if len(shown) < len(rows):
        count += " " + say("table.nearer")
    body = [
        html.Tr([html.Th(name, scope="row"), *map(html.Td, told)])
        for name, *told in (cells(row, layer, say) for row in shown)
    ]
    return html.Table(
        [
            html.Caption(f"{when} · {count}"),
            html.Thead(html.Tr([html.Th(head, scope="col") for head in heads(layer, say)])),
            html.Tbody(body),
        ]
    )


def differs(layer: str) -> bool:
    """Whether a layer is a difference, grey where it cannot be told from 0."""
    return SCALES[layer].differs


def _evenly(places: list[int], most: int) -> list[int]:
    if len(places) <= most:
        return places
    return [places[at] for at in np.linspace(0, len(places) - 1, most).round().astype(int)]


def heads(layer: str, say: Words) -> list[str]:
    """What its columns are called; of evidence and of differences none says how sure."""
    return [say("table.place"), say("table.value"), *([say("table.confidence")] if _has_confidence(layer) else [])]


def cells(row: Row, layer: str, say: Words) -> list[str]:
    """A row in words, a text for each of `heads`."""
    if row.value is None:
        told, word = say("legend.hatched"), "–"
    elif differs(layer) and row.confidence < _SURE:
        told, word = say("legend.grey"), ""
    else:
        told, word = amount_words(layer, row.value, say), say(confidence_word(row.confidence))
    return [row.name, told, *([word] if _has_confidence(layer) else [])]


def _has_confidence(layer: str) -> bool:
    return base_layer(layer) != "evidence" and not differs(layer)


def _pixel_centres(crs: str, longitude: Floats, latitude: Floats, zoom: int) -> tuple[Floats, Floats]:
    """The middles of the tile pixels that cover some places: at the edge of a cell a pixel may show its neighbour."""
    from pyproj import Transformer

    pixel_m = 2 * HALF_EQUATOR_M / (TILE * 2**zoom)
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform(longitude, latitude)
    middle_x, middle_y = ((np.floor(np.asarray(part) / pixel_m) + 0.5) * pixel_m for part in (x, y))
    easting, northing = Transformer.from_crs("EPSG:3857", crs, always_xy=True).transform(middle_x, middle_y)
    return np.asarray(easting), np.asarray(northing)


def _names(city: City) -> Names:
    from pyproj import Transformer

    stops = set(city.places("stops")["name"].fillna(""))  # every platform of a station would be a row of its own
    places = {name: place for name, place in street_list(city).places.items() if name not in stops}
    easting, northing = (np.array([place[axis] for place in places.values()], float) for axis in (0, 1))
    longitude, latitude = Transformer.from_crs(city.crs, "EPSG:4326", always_xy=True).transform(easting, northing)
    return Names(tuple(places), np.asarray(longitude), np.asarray(latitude))
