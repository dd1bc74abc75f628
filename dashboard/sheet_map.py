"""A view of the map as one picture for paper: the values, the city over them, and the dots that were switched on.

It is put together of the same tiles as the screen, on light ground, so it can show nothing that the screen does not.
"""

from __future__ import annotations

import io
import math
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from dashboard.basemap import LAND
from dashboard.palette import lookup, ramp_of
from dashboard.tiles import HIGHEST_ZOOM, LOWEST_ZOOM, NOTHING, TILE, Block, GridFrame, Packed, render

GROUND = "light"
HATCH = (94, 107, 122, 150)
PIXELS = (1480, 1060)  # of the picture: some 190 to the inch of an A4 page on its side
_DENSE = 2  # basemap tiles of twice the pixels, so that names stay small and sharp
_EDGE = "#3b4656"

Box = tuple[float, float, float, float]  # west, south, east, north, degrees
Tile = Callable[[int, int, int], bytes | None]


@dataclass(frozen=True, slots=True)
class Dots:
    """Points of one kind: longitude, latitude, and the colour and the half width of each, the last in pixels."""

    kind: str
    points: list[tuple[float, float]]
    faults: list[bool]


# As on the screen: faint lamps, violet squares, blue diamonds, triangles where data was measured; here with an edge.
_LOOKS = {"lamps": ("#ffe3a3", 3.0), "venues": ("#b88be6", 5.0), "stops": ("#4f9fe8", 6.0), "sensors": ("#ffffff", 7.0)}
_FAULT = "#d97a00"


def map_picture(tile: Tile, frame: GridFrame, levels: list[Packed], layer: str, box: Box, dots: list[Dots]) -> Any:
    """The picture, of the shape of the paper's frame, with the whole of `box` in it.

    Parameters
    ----------
    tile : zoom, x, y to a basemap tile of 512 pixels
    levels : the frame's bytes on all levels of detail
    """
    west, north, east, south = _framed(box)
    wide, tall = PIXELS
    zoom = math.log2(wide / (east - west) / TILE / _DENSE)
    zoom = int(np.clip(round(zoom), LOWEST_ZOOM, HIGHEST_ZOOM))
    span = TILE * _DENSE * 2.0**zoom  # pixels around the world
    left, top = round(west * span), round(north * span)
    size = (max(1, round((east - west) * span)), max(1, round((south - north) * span)))
    picture = Image.new("RGBA", size, LAND[GROUND])
    picture.alpha_composite(_values(frame, levels, layer, (west, north, east, south), size))
    for x in range(left // (TILE * _DENSE), (left + size[0]) // (TILE * _DENSE) + 1):
        for y in range(top // (TILE * _DENSE), (top + size[1]) // (TILE * _DENSE) + 1):
            body = tile(zoom, x, y)
            if body is not None:
                _over(picture, body, (x * TILE * _DENSE - left, y * TILE * _DENSE - top))
    picture = picture.convert("RGB").resize((wide, tall), Image.Resampling.LANCZOS)
    _draw_dots(picture, dots, (west, north, east, south))
    return picture


def drawn(picture: Any, mark: str) -> str:
    """The picture as SVG with a mark across it where it is simulated."""
    wide, tall = picture.size
    body = io.BytesIO()
    picture.quantize(160, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(body, "PNG", optimize=True)
    marks = ""
    if mark:
        across, down = 21 * len(mark), 300
        places = [(x + (row % 2) * across / 2, y) for row, y in enumerate(range(150, tall, down))
                  for x in range(0, wide + across, across)]  # fmt: skip
        marks = "".join(
            f'<text x="{x:.0f}" y="{y}" font-size="34" font-weight="bold" text-anchor="middle" fill="#141c28" '
            f'fill-opacity="0.55" stroke="#ffffff" stroke-opacity="0.45" stroke-width="1" '
            f'font-family="Libertinus Serif, serif" transform="rotate(-17 {x:.0f} {y})">{escape(mark)}</text>'
            for x, y in places
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {wide} {tall}"><image width="{wide}" height="{tall}" '
        f'xlink:href="data:image/png;base64,{b64encode(body.getvalue()).decode()}"/>{marks}</svg>'
    )


def _framed(box: Box) -> tuple[float, float, float, float]:
    """A box in shares of the world, west, north, east, south, widened to the shape of the paper's frame."""
    west, south, east, north = box
    x0, x1 = ((degrees + 180.0) / 360.0 for degrees in (west, east))
    y0, y1 = (0.5 - math.asinh(math.tan(math.radians(degrees))) / 2 / math.pi for degrees in (north, south))
    shape = PIXELS[0] / PIXELS[1]
    wide = max(x1 - x0, (y1 - y0) * shape, PIXELS[0] / (TILE * _DENSE * 2.0**HIGHEST_ZOOM))
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - wide / 2, y - wide / shape / 2, x + wide / 2, y + wide / shape / 2


def _values(frame: GridFrame, levels: list[Packed], layer: str, world: tuple[float, ...], size: tuple[int, int]) -> Any:
    """The values in their colours, nearest pixel, in the size of the picture."""
    west, north, east, south = world
    zoom = max(LOWEST_ZOOM, min(frame.native_zoom, round(math.log2(size[0] / (east - west) / TILE))))
    top = 2**zoom - 1
    edges = (math.floor(place * 2**zoom) for place in (west, east, north, south))
    x0, x1, y0, y1 = (min(max(edge, 0), top) for edge in edges)
    block = Block(zoom, x0, x1, y0, y1)
    if not block.valid:
        return Image.new("RGBA", size, (0, 0, 0, 0))
    shape = (block.rows, block.columns, 2, TILE, TILE)
    tiles = np.frombuffer(render(frame, levels, block), np.uint8).reshape(shape)
    bands = np.add.accumulate(tiles, axis=-1, dtype=np.uint8).transpose(2, 0, 3, 1, 4)
    flat = bands.reshape(2, block.rows * TILE, block.columns * TILE)
    coloured = _coloured(flat[0], flat[1], layer)
    span = TILE * 2.0**zoom
    crop = (
        (west * span - x0 * TILE),
        (north * span - y0 * TILE),
        (east * span - x0 * TILE),
        (south * span - y0 * TILE),
    )
    return Image.fromarray(coloured).transform(size, Image.Transform.EXTENT, crop, Image.Resampling.NEAREST)


def _coloured(value: npt.NDArray[np.uint8], confidence: npt.NDArray[np.uint8], layer: str) -> npt.NDArray[np.uint8]:
    table = lookup(ramp_of(layer), GROUND)
    known = value != NOTHING
    out = np.zeros((*value.shape, 4), np.uint8)
    out[known] = table[np.minimum(confidence[known], len(table) - 1), np.minimum(value[known], 100)]
    row, column = np.arange(value.shape[0])[:, None], np.arange(value.shape[1])
    out[~known & (confidence == 0) & ((row + column) % 8 < 2)] = HATCH
    return out


def _over(picture: Any, body: bytes, corner: tuple[int, int]) -> None:
    """Lay a tile over the picture; what reaches beyond it is cut."""
    with Image.open(io.BytesIO(body)) as opened:
        tile = opened.convert("RGBA")
    if tile.width < TILE:  # where the city draws nothing
        return
    begin = (max(0, corner[0]), max(0, corner[1]))
    end = (min(picture.width, corner[0] + tile.width), min(picture.height, corner[1] + tile.height))
    if end[0] > begin[0] and end[1] > begin[1]:
        part = (begin[0] - corner[0], begin[1] - corner[1], end[0] - corner[0], end[1] - corner[1])
        picture.alpha_composite(tile.crop(part), begin)


def _draw_dots(picture: Any, dots: list[Dots], world: tuple[float, ...]) -> None:
    west, north, east, south = world
    draw = ImageDraw.Draw(picture)
    for each in dots:
        colour, half = _LOOKS[each.kind]
        crowded = len(each.points) > 4000
        for (longitude, latitude), fault in zip(each.points, each.faults, strict=True):
            x = ((longitude + 180) / 360 - west) / (east - west) * picture.width
            y = (0.5 - math.asinh(math.tan(math.radians(latitude))) / 2 / math.pi - north) / (south - north)
            y *= picture.height
            if not (-9 < x < picture.width + 9 and -9 < y < picture.height + 9):
                continue
            r = half * (1.8 if fault else 0.6 if crowded else 1.0)
            fill = _FAULT if fault else colour
            if each.kind == "lamps":
                draw.ellipse((x - r, y - r, x + r, y + r), fill, _EDGE)
                if fault:  # a cross as well, since colour alone says nothing on a grey print
                    draw.line((x - r, y - r, x + r, y + r), _EDGE, 2)
                    draw.line((x - r, y + r, x + r, y - r), _EDGE, 2)
            elif each.kind == "venues":
                draw.rectangle((x - r, y - r, x + r, y + r), fill, _EDGE)
            elif each.kind == "stops":
                draw.polygon([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], fill, _EDGE)
            else:
                draw.polygon([(x, y - r), (x + r, y + r * 0.8), (x - r, y + r * 0.8)], fill, _EDGE)
