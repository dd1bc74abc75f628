"""Value tiles: what a screen shows as two bands of bytes, all tiles of a screen in one body.

A tile is 256 x 256 web-mercator pixels of two bytes: value 0..100 (255: none) and confidence 0..15. A pixel without a
value says in its second band what to draw: 0 is hatched (people could be told, but there is no evidence), 255 is
nothing (water, indoors, outside the city). Rows are sent as horizontal differences modulo 256, which halves what is
sent.

The grid lies in projected metres, so a coarse lattice of pixels is projected and the pixels between are interpolated:
within a tile's width the projection bends by less than a hundredth of a cell (tests/unit/test_tiles.py). Where a pixel
is larger than a cell, it shows the mean of its cells and not one of them.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import numpy as np
import numpy.typing as npt
import zstandard
from pyproj import Transformer

from dashboard.scales import Scale

TILE = 256
NOTHING = 255
HATCHED = np.uint16(NOTHING)  # value none, confidence 0
EMPTY = np.uint16(NOTHING << 8 | NOTHING)  # value none, confidence none
LOWEST_ZOOM, HIGHEST_ZOOM = 8, 17
MOST_TILES = 80  # a 4K screen; more in one request is nobody's screen
_LATTICE = 64  # pixels between projected points
_EQUATOR_M = 40_075_016.685578488  # WGS 84 web mercator
_LEVELS = 6  # the grid and five halvings

_NEPER = np.float32(np.log(10) / 10)  # levels in dB as powers of e

Floats = npt.NDArray[np.float32]
Packed = npt.NDArray[np.uint16]  # value | confidence << 8


@dataclass(frozen=True, slots=True)
class GridFrame:
    """Where the cells lie: south-west corner and cell size in metres of the projection, and their number."""

    crs: str
    west: float
    south: float
    cell_m: float
    shape: tuple[int, int]  # northing, easting

    @property
    def bounds_lonlat(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees, around all four corners."""
        height, width = self.shape
        east, north = self.west + width * self.cell_m, self.south + height * self.cell_m
        return _to_lonlat(self.crs).transform_bounds(self.west, self.south, east, north)

    @property
    def native_zoom(self) -> int:
        """The zoom at which a third of a cell is at least a pixel; beyond it the browser enlarges pixels."""
        latitude = (self.bounds_lonlat[1] + self.bounds_lonlat[3]) / 2
        zoom = next((z for z in range(LOWEST_ZOOM, HIGHEST_ZOOM) if pixel_m(z, latitude) <= self.cell_m / 3), 0)
        return zoom or HIGHEST_ZOOM

    def level(self, zoom: int) -> int:
        """How often to halve the grid so that a cell is about a pixel."""
        latitude = (self.bounds_lonlat[1] + self.bounds_lonlat[3]) / 2
        ratio = pixel_m(zoom, latitude) / self.cell_m
        return int(np.clip(round(float(np.log2(ratio))), 0, _LEVELS - 1))

    def cell(self, longitude: float, latitude: float) -> tuple[int, int] | None:
        """Row and column (from the south-west) of a place, None outside."""
        easting, northing = _from_lonlat(self.crs).transform(longitude, latitude)
        if not (np.isfinite(easting) and np.isfinite(northing)):
            return None
        row = int(np.floor((northing - self.south) / self.cell_m))
        column = int(np.floor((easting - self.west) / self.cell_m))
        return (row, column) if 0 <= row < self.shape[0] and 0 <= column < self.shape[1] else None

    def lonlat(self, row: int, column: int) -> tuple[float, float]:
        """Longitude and latitude of a cell's centre, degrees."""
        easting, northing = self.west + (column + 0.5) * self.cell_m, self.south + (row + 0.5) * self.cell_m
        longitude, latitude = _to_lonlat(self.crs).transform(easting, northing)
        return float(longitude), float(latitude)


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle of tiles of one zoom, ends included."""

    zoom: int
    x0: int
    x1: int
    y0: int
    y1: int

    @property
    def valid(self) -> bool:
        """Whether these tiles exist and are few enough for one screen."""
        top = 2**self.zoom if 0 <= self.zoom <= HIGHEST_ZOOM else 0
        ordered = 0 <= self.x0 <= self.x1 < top and 0 <= self.y0 <= self.y1 < top
        return self.zoom >= LOWEST_ZOOM and ordered and self.columns * self.rows <= MOST_TILES

    @property
    def columns(self) -> int:
        """Tiles from west to east."""
        return self.x1 - self.x0 + 1

    @property
    def rows(self) -> int:
        """Tiles from north to south."""
        return self.y1 - self.y0 + 1


def pixel_m(zoom: int, latitude: float) -> float:
    """Ground size of a pixel in metres."""
    return float(_EQUATOR_M * np.cos(np.radians(latitude)) / (TILE * 2**zoom))


def pyramid(
    scale: Scale,
    quantity: npt.NDArray[np.floating],
    sd: npt.NDArray[np.floating] | None,
    nearest_m: npt.NDArray[np.floating] | None,
    ground: npt.NDArray[np.bool_],
) -> list[Packed]:
    """A field as bytes, and its means over 2 x 2, 4 x 4 ... cells; each with a border of nothing.

    Parameters
    ----------
    quantity, sd, nearest_m : (rows, columns) arrays
        The layer's quantity and its standard deviation in the layer's own terms, distance to the nearest live sensor
        in metres. NaN means not known.
    ground : (rows, columns) array
        Where people could be told something: not water, not indoors, not outside the city.
    """
    field = np.asarray(quantity, np.float32)  # sums of at most 1,024 cells, told as one of 101 values
    known = np.isfinite(field)
    sums: dict[str, Floats] = {
        "amount": np.where(known, _summed(scale, field), np.float32(0)),
        "weight": known.astype(np.float32),
        "ground": ground.astype(np.float32),
    }
    if sd is not None:
        sums["variance"] = _where_known(known, sd, scale.sd_none) ** 2
    if nearest_m is not None:
        sums["distance"] = _where_known(known, nearest_m, 1e6)
    levels = [_packed(scale, sums)]
    while len(levels) < _LEVELS:
        sums = {name: _halved(part) for name, part in sums.items()}
        levels.append(_packed(scale, sums))
    return levels


def native_values(scale: Scale, quantity: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """The values of a field's own cells as `pyramid` has them on its first level; NOTHING where not known."""
    field = np.asarray(quantity, np.float32)
    known = np.isfinite(field)
    value = _told(scale, _summed(scale, np.where(known, field, np.float32(0))))
    return np.where(known, value, NOTHING).astype(np.uint8)


def render(frame: GridFrame, levels: list[Packed], block: Block) -> bytes:
    """The tiles of a block, row by row from the north-west, each two bands of differences."""
    level = frame.level(block.zoom)
    packed = levels[level]
    pixels = packed.ravel().take(_pixel_cells(frame, level, packed.shape, block))
    tiles = pixels.view(np.uint8).reshape(block.rows, TILE, block.columns, TILE, 2).transpose(0, 2, 4, 1, 3)
    out = np.ascontiguousarray(tiles)
    out[..., 1:] = tiles[..., 1:] - tiles[..., :-1]
    return out.tobytes()


def compress(body: bytes, encoding: str) -> bytes:
    """For the wire: 'zstd', or 'gzip' where the browser knows no better."""
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=3).compress(body)
    squeeze = zlib.compressobj(1, zlib.DEFLATED, 31)
    return squeeze.compress(body) + squeeze.flush()


class ByteCache:
    """Recently made bodies, up to a total size in bytes; the least recently used go first."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._bodies: OrderedDict[object, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: object) -> bytes | None:
        """The body kept under a key."""
        with self._lock:
            if key in self._bodies:
                self._bodies.move_to_end(key)
            return self._bodies.get(key)

    def put(self, key: object, body: bytes) -> None:
        """Keep a body."""
        with self._lock:
            self._size += len(body) - len(self._bodies.pop(key, b""))
            self._bodies[key] = body
            while self._size > self._limit and self._bodies:
                self._size -= len(self._bodies.popitem(last=False)[1])


def _where_known(known: npt.NDArray[np.bool_], values: npt.NDArray[np.floating], unknown: float) -> Floats:
    """Values as single precision; nothing where nothing is known, `unknown` where only these are missing."""
    given = np.asarray(values, np.float32)
    return np.where(known, np.where(np.isnan(given), np.float32(unknown), given), np.float32(0))


def _summed(scale: Scale, field: Floats) -> Floats:
    """What of a quantity is summed over cells: levels as energy."""
    return np.exp(field * _NEPER) if scale.unit == "dB" else field


def _told(scale: Scale, mean: npt.NDArray[np.floating]) -> Floats:
    """The value, 0..100 in whole steps, of a mean of what is summed."""
    if scale.unit == "dB":
        with np.errstate(divide="ignore"):
            mean = np.log(mean)
        mean /= _NEPER
    value = scale.to_value(mean)
    return np.rint(value, out=value)


def _packed(scale: Scale, sums: dict[str, Floats]) -> Packed:
    """Sums over cells and how many cells were known, as bytes with a border of nothing."""
    weight = sums["weight"]
    known, share = weight > 0, np.maximum(weight, np.float32(1))
    value = _told(scale, sums["amount"] / share)
    distance = sums["distance"] / share if "distance" in sums else None
    deviation = np.sqrt(sums["variance"] / share) if "variance" in sums else np.zeros((), np.float32)
    packed = np.full((known.shape[0] + 2, known.shape[1] + 2), EMPTY)
    inside = packed[1:-1, 1:-1]
    inside[sums["ground"] > 0] = HATCHED
    confidence = np.left_shift(scale.confidence(deviation, distance), 8, dtype=np.uint16)
    np.copyto(inside, value.astype(np.uint16) | confidence, where=known)
    return packed


def _halved(sums: Floats) -> Floats:
    rows, columns = sums.shape
    even = np.pad(sums, ((0, rows % 2), (0, columns % 2))) if rows % 2 or columns % 2 else sums
    upper, lower = even[::2], even[1::2]
    down = upper + lower
    return np.asarray(down[:, ::2] + down[:, 1::2])


@lru_cache(maxsize=6)  # a screen's pixels are 7 MB; a handful serves every layer and step of the views open now
def _pixel_cells(frame: GridFrame, level: int, bordered: tuple[int, int], block: Block) -> npt.NDArray[np.int32]:
    """For each pixel of a block, its place in the bordered and flattened grid of a level."""
    span = _EQUATOR_M / 2**block.zoom
    half = _EQUATOR_M / 2
    height, width = block.rows * TILE, block.columns * TILE
    rows, columns = np.arange(0, height + 1, _LATTICE), np.arange(0, width + 1, _LATTICE)
    mercator_x = (block.x0 + columns / TILE) * span - half
    mercator_y = half - (block.y0 + rows / TILE) * span
    easting, northing = _from_mercator(frame.crs).transform(*np.meshgrid(mercator_x, mercator_y))
    cell_m = frame.cell_m * 2**level
    # +1 for the border; what lies outside is clipped onto it. Infinite where the projection does not reach.
    across = np.nan_to_num((easting - frame.west) / cell_m + 1, nan=-1e6, posinf=-1e6, neginf=-1e6)
    up = np.nan_to_num((northing - frame.south) / cell_m + 1, nan=-1e6, posinf=-1e6, neginf=-1e6)
    along_rows, along_columns = _hats(height, rows.size), _hats(width, columns.size)
    column = _between(along_rows, across, along_columns, bordered[1])
    row = _between(along_rows, up, along_columns, bordered[0])
    return row * np.int32(bordered[1]) + column


def _between(
    rows: npt.NDArray[np.float32], lattice: npt.NDArray[np.float64], columns: npt.NDArray[np.float32], size: int
) -> npt.NDArray[np.int32]:
    """Bilinear interpolation of a lattice as two small matrix products, cut to cell numbers.

    The outermost cells a projection-wide block can name are clipped first, so that single precision keeps 0.01 cell.
    """
    near = np.clip(lattice, -60_000, 60_000).astype(np.float32)
    return np.asarray(np.clip(rows @ near @ columns.T, 0, size - 1).astype(np.int32))


@lru_cache(maxsize=64)
def _hats(pixels: int, points: int) -> npt.NDArray[np.float32]:
    """Weights of lattice points for each pixel centre, shape (pixels, points)."""
    place = (np.arange(pixels) + 0.5) / _LATTICE
    lower = np.minimum(place.astype(int), points - 2)
    weights = np.zeros((pixels, points), np.float32)
    weights[np.arange(pixels), lower] = 1 - (place - lower)
    weights[np.arange(pixels), lower + 1] = place - lower
    return weights


@lru_cache(maxsize=8)
def _from_mercator(crs: str) -> Transformer:
    return Transformer.from_crs("EPSG:3857", crs, always_xy=True)


@lru_cache(maxsize=8)
def _from_lonlat(crs: str) -> Transformer:
    return Transformer.from_crs("EPSG:4326", crs, always_xy=True)


@lru_cache(maxsize=8)
def _to_lonlat(crs: str) -> Transformer:
    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
