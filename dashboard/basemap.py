"""The city's own buildings, water, parks and streets as picture tiles, drawn by us, so that no map server is asked.

One transparent layer lies over the values: buildings and water cover what was estimated for whole cells with their true
outlines, streets are thin dark lines, and names have a halo. Tiles are drawn in sheets (a drawing costs the
same for one tile as for sixteen), twice as large and then shrunk, because Pillow's lines have hard edges. They are
kept in `store/basemap/`, under a digest of the places and of what they are drawn on, and never change under their
address.
"""

from __future__ import annotations

import io
import math
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image, ImageDraw, ImageFont

from dashboard.ground import places_digest
from dashboard.tiles import HIGHEST_ZOOM, LOWEST_ZOOM, TILE
from sensors.city import City
from sensors.errors import CityError

LAND = {"dark": "#0d131c", "light": "#f4f2ed", "contrast": "#000000"}  # the page's own ground, under everything
STYLE = 3  # raise with any change of what is drawn, so that kept tiles are drawn anew
USUAL_ZOOMS = range(13, 18)  # a whole city to a street corner

_SHEET = {1: 4, 2: 2}  # tiles a side by density: sheets of the same number of pixels
_SMOOTH = 2  # drawn so many times larger
_MAJOR = {"motorway", "trunk", "primary", "secondary", "tertiary"}
HALF_EQUATOR_M = 20_037_508.342789244

Ink = tuple[int, int, int, int]
Line = npt.NDArray[np.float64]  # (points, 2) in shares of the world, from the north-west


@dataclass(frozen=True, slots=True)
class Inks:
    """What a city is drawn with on one ground."""

    building: Ink
    building_edge: Ink
    water: Ink
    park_edge: Ink
    street: Ink
    street_major: Ink
    name: Ink
    halo: Ink


INKS = {
    "dark": Inks(
        (24, 31, 43, 238), (52, 64, 82, 255), (20, 40, 62, 255), (86, 140, 104, 150),
        (7, 11, 17, 105), (7, 11, 17, 150), (222, 229, 238, 255), (9, 13, 19, 225),
    ),
    "light": Inks(
        (224, 222, 216, 240), (178, 174, 166, 255), (176, 205, 228, 255), (70, 122, 86, 150),
        (255, 255, 255, 120), (255, 255, 255, 190), (28, 34, 44, 255), (255, 255, 255, 230),
    ),
    "contrast": Inks(
        (0, 0, 0, 255), (170, 180, 195, 255), (0, 32, 84, 255), (140, 255, 170, 200),
        (0, 0, 0, 160), (0, 0, 0, 220), (255, 255, 255, 255), (0, 0, 0, 255),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Name:
    """A name set along a street at one zoom: middle in pixels of the world, slope in degrees."""

    text: str
    x: float
    y: float
    angle: float


class Basemap:
    """Draws and keeps a city's picture tiles."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._lock = Lock()
        self._names: dict[tuple[int, int], list[Name]] = {}

    @cached_property
    def digests(self) -> dict[str, str]:
        """By ground, which places and which style the tiles show; part of their address."""
        # Dark tiles keep the address they had before there was another ground.
        notes = {ground: f"style {STYLE}" + ("" if ground == "dark" else f" {ground}") for ground in INKS}
        return {ground: places_digest(self._city, note) for ground, note in notes.items()}

    def shelf(self, ground: str = "dark") -> Path:
        """Where the tiles of a ground are kept."""
        return self._city.shelf("basemap", self.digests[ground])

    def tile(self, zoom: int, x: int, y: int, density: int = 1, ground: str = "dark") -> bytes | None:
        """A PNG, 256 pixels times `density` (1 or 2) a side; None for a tile that does not exist."""
        if not LOWEST_ZOOM <= zoom <= HIGHEST_ZOOM or density not in (1, 2):
            return None
        if not (0 <= x < 2**zoom and 0 <= y < 2**zoom):
            return None
        file = self._file(zoom, x, y, density, ground)
        if not file.is_file():
            if not self._touches(zoom, x, y):
                return _clear_tile()
            with self._lock:
                if not file.is_file():
                    self._draw_sheet(zoom, x // _SHEET[density], y // _SHEET[density], density, ground)
        return file.read_bytes()

    def warm(self, density: int = 1, pause_s: float = 0.0, ground: str = "dark") -> None:
        """Draw all tiles of the usual zooms that are not there yet, leaving others `pause_s` between two drawings."""
        west, north, east, south = self._box
        for zoom in USUAL_ZOOMS:
            for y in range(int(north * 2**zoom), int(south * 2**zoom) + 1):
                for x in range(int(west * 2**zoom), int(east * 2**zoom) + 1):
                    if not self._file(zoom, x, y, density, ground).is_file():
                        self.tile(zoom, x, y, density, ground)
                        time.sleep(pause_s)

    def _touches(self, zoom: int, x: int, y: int) -> bool:
        west, north, east, south = self._box
        span = 2**zoom
        return bool(x + 1 >= west * span and x <= east * span and y + 1 >= north * span and y <= south * span)

    def _file(self, zoom: int, x: int, y: int, density: int, ground: str) -> Path:
        return self.shelf(ground) / f"{zoom}" / f"{x}-{y}@{density}.png"

    def _draw_sheet(self, zoom: int, column: int, row: int, density: int, ground: str) -> None:
        across = _SHEET[density]
        side = across * TILE * density
        scale = side * _SMOOTH * 2**zoom / across
        left, top = column * side * _SMOOTH, row * side * _SMOOTH
        sheet, inks = Image.new("RGBA", (side * _SMOOTH, side * _SMOOTH), (0, 0, 0, 0)), INKS[ground]
        self._draw_places(ImageDraw.Draw(sheet), scale, left, top, sheet.width, zoom, density, inks)
        sheet = sheet.resize((side, side), Image.Resampling.BOX)
        for name in self._names_at(zoom, density):
            _write(sheet, name, column * side, row * side, density, inks)
        for place in range(across * across):
            i, j = place % across, place // across
            size = TILE * density
            tile = sheet.crop((i * size, j * size, (i + 1) * size, (j + 1) * size))
            _keep(self._file(zoom, column * across + i, row * across + j, density, ground), _png(tile))

    def _draw_places(
        self,
        draw: ImageDraw.ImageDraw,
        scale: float,
        left: float,
        top: float,
        side: int,
        zoom: int,
        density: int,
        inks: Inks,
    ) -> None:
        unit = density * _SMOOTH  # one pixel of the page

        def seen(lines: list[Line], boxes: npt.NDArray[np.float64]) -> list[list[tuple[float, float]]]:
            margin = 40 * unit
            edges = boxes * scale - (left, top, left, top)
            hit = (edges[:, 2] > -margin) & (edges[:, 3] > -margin)
            hit &= (edges[:, 0] < side + margin) & (edges[:, 1] < side + margin)
            return [list(map(tuple, lines[place] * scale - (left, top))) for place in np.flatnonzero(hit)]

        places = self._places
        for ring in seen(*places["water"]):
            draw.polygon(ring, fill=inks.water)
        for ring in seen(*places["park"]):
            draw.line([*ring, ring[0]], fill=inks.park_edge, width=max(1, round(1.2 * unit)))
        width = 2.0 ** ((zoom - 15) / 1.6)
        for line in seen(*places["minor"]):
            draw.line(line, fill=inks.street, width=max(1, round(1.1 * width * unit)), joint="curve")
        for line in seen(*places["major"]):
            draw.line(line, fill=inks.street_major, width=max(1, round(2.4 * width * unit)), joint="curve")
        if zoom >= 13:
            edge = inks.building_edge if zoom >= 15 else None
            for ring in seen(*places["building"]):
                draw.polygon(ring, fill=inks.building, outline=edge, width=unit if zoom >= 15 else 1)

    @cached_property
    def _places(self) -> dict[str, tuple[list[Line], npt.NDArray[np.float64]]]:
        streets = self._city.places("streets")
        major = streets["kind"].isin(_MAJOR).to_numpy()
        shapes: dict[str, Any] = {
            "major": self._world(streets[major]),
            "minor": self._world(streets[~major]),
            "building": self._world(self._city.places("buildings")),
        }
        areas = self._areas
        for kind in ("water", "park"):
            shapes[kind] = [] if areas is None else self._world(areas[areas["kind"] == kind])
        drawn = {}
        for name, geometry in shapes.items():
            lines = [line for shape in geometry for line in _outlines(shape)]
            boxes = np.array([[*line.min(axis=0), *line.max(axis=0)] for line in lines]).reshape(-1, 4)
            drawn[name] = (lines, boxes)
        return drawn

    @property
    def _areas(self) -> Any:
        try:
            return self._city.places("areas")
        except CityError:  # a city may have no table of areas
            return None

    @cached_property
    def _box(self) -> tuple[float, float, float, float]:
        boxes = np.concatenate([boxes for _, boxes in self._places.values() if len(boxes)] or [np.zeros((1, 4))])
        west, north = boxes[:, :2].min(axis=0)
        east, south = boxes[:, 2:].max(axis=0)
        return float(west), float(north), float(east), float(south)

    def _world(self, table: Any) -> Any:
        """Geometry in shares of the web-mercator world, x to the east and y to the south."""
        mercator = table.to_crs("EPSG:3857").geometry.to_numpy()

        def shares(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return np.column_stack([0.5 + points[:, 0] / 2 / HALF_EQUATOR_M, 0.5 - points[:, 1] / 2 / HALF_EQUATOR_M])

        return shapely.transform(mercator, shares)

    def _names_at(self, zoom: int, density: int) -> list[Name]:
        """Street and park names that find room at a zoom, the same for every sheet."""
        if (zoom, density) not in self._names:
            self._names[zoom, density] = self._place_names(zoom, density)
        return self._names[zoom, density]

    def _place_names(self, zoom: int, density: int) -> list[Name]:
        if zoom < 14:
            return []
        scale = TILE * density * 2.0**zoom
        streets = self._city.places("streets")
        named = streets[streets["name"].fillna("") != ""]
        kinds = named["kind"].isin(_MAJOR).to_numpy()
        pieces: list[tuple[bool, float, str, Any]] = []
        world = self._world(named)
        for name in dict.fromkeys(named["name"]):
            chosen = (named["name"] == name).to_numpy()
            merged = shapely.line_merge(shapely.multilinestrings(shapely.get_parts(world[chosen])))
            longest = max(shapely.get_parts(merged), key=shapely.length)
            pieces.append((bool(kinds[chosen].any()), float(longest.length * scale), str(name), longest))
        placed: list[Name] = []
        taken: list[tuple[float, float, float, float]] = []
        font = drawn_font(12 * density)
        for _, length, text, line in sorted(pieces, key=lambda piece: piece[:3], reverse=True):
            wide = font.getlength(text)
            for share in (0.5, 0.3, 0.7):
                name = _along(text, line, share, wide, length, scale)
                if name and _room(name, wide, 12 * density, taken):
                    placed.append(name)
                    break
        return placed


def _along(text: str, line: Any, share: float, wide: float, length: float, scale: float) -> Name | None:
    """A name on the straight stretch around a share of a line, if there is one."""
    if length < wide * 1.1:
        return None
    half = min(wide / 2 / length, share, 1 - share)
    first = line.interpolate(share - half, normalized=True)
    last = line.interpolate(share + half, normalized=True)
    dx, dy = (last.x - first.x) * scale, (last.y - first.y) * scale
    if math.hypot(dx, dy) < 0.96 * 2 * half * length or 2 * half * length < wide * 0.98:
        return None
    angle = math.degrees(math.atan2(-dy, dx))
    angle = angle - 180 if angle > 90 else angle + 180 if angle < -90 else angle
    return Name(text, (first.x + last.x) / 2 * scale, (first.y + last.y) / 2 * scale, angle)


def _room(name: Name, wide: float, high: float, taken: list[tuple[float, float, float, float]]) -> bool:
    slope = math.radians(name.angle)
    half_x = (abs(math.cos(slope)) * wide + abs(math.sin(slope)) * high) / 2 + high * 0.6
    half_y = (abs(math.sin(slope)) * wide + abs(math.cos(slope)) * high) / 2 + high * 0.6
    box = (name.x - half_x, name.y - half_y, name.x + half_x, name.y + half_y)
    if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
        return False
    taken.append(box)
    return True


def _write(sheet: Image.Image, name: Name, left: float, top: float, density: int, inks: Inks) -> None:
    font = drawn_font(12 * density)
    wide, high = int(font.getlength(name.text)) + 10 * density, 22 * density
    reach = wide  # a turned label is nowhere farther from its middle than its length
    if not (-reach < name.x - left < sheet.width + reach and -reach < name.y - top < sheet.height + reach):
        return
    label = Image.new("RGBA", (wide, high), (*inks.halo[:3], 0))
    ImageDraw.Draw(label).text(
        (wide / 2, high / 2), name.text, inks.name, font, anchor="mm", stroke_width=2 * density, stroke_fill=inks.halo
    )
    turned = label.rotate(name.angle, Image.Resampling.BICUBIC, expand=True)
    corner = (round(name.x - left - turned.width / 2), round(name.y - top - turned.height / 2))
    # alpha_composite refuses corners outside, paste would punch holes: compose on a clipped window.
    window = (max(0, corner[0]), max(0, corner[1]))
    end = (min(sheet.width, corner[0] + turned.width), min(sheet.height, corner[1] + turned.height))
    if end[0] > window[0] and end[1] > window[1]:
        part = turned.crop((window[0] - corner[0], window[1] - corner[1], end[0] - corner[0], end[1] - corner[1]))
        sheet.alpha_composite(part, window)


def drawn_font(size: int) -> ImageFont.FreeTypeFont:
    """The font that pictures are written in, at a size in pixels."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)  # knows Cyrillic and Greek
    except OSError:
        font = ImageFont.load_default(size)
        assert isinstance(font, ImageFont.FreeTypeFont)
        return font


def _outlines(shape: Any) -> list[Line]:
    """Lines as they are, areas by their outer ring (an inner court is drawn as part of its building)."""
    parts = shapely.get_parts(shape)
    rings = [part.exterior if part.geom_type == "Polygon" else part for part in parts]
    return [np.asarray(ring.coords)[:, :2] for ring in rings if not ring.is_empty]


def _png(tile: Image.Image) -> bytes:
    body = io.BytesIO()
    tile.quantize(64, method=Image.Quantize.FASTOCTREE).save(body, "PNG", optimize=False)
    return body.getvalue()


def _keep(file: Path, body: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_bytes(body)
    beside.replace(file)


def _clear_tile() -> bytes:
    return _CLEAR


_CLEAR = _png(Image.new("RGBA", (1, 1), (0, 0, 0, 0)))
