"""What a map shows as one picture, or a night as a loop, for slides and papers: with all that it must say drawn in.

Value and ground are those of the tiles, so nothing finer leaves than a screen shows. A picture loses its page first, so
title, step, legend, the note line, the sources and the SIMULATED mark are part of it.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from dashboard import figures
from dashboard.basemap import LAND, drawn_font
from dashboard.palette import lookup, ramp_of, rgb
from dashboard.scales import ENDS, base_layer, drawn_from
from dashboard.tiles import HIGHEST_ZOOM, LOWEST_ZOOM, TILE, Block, Packed, render
from dashboard.words import Words

if TYPE_CHECKING:
    from dashboard.pages.context import House
    from dashboard.runs import Run

WIDEST, LOOP_WIDEST = 1280, 880  # pixels; a loop of a night stays below ten megabytes
MOST_FRAMES = 64
_SMALLEST_SIDE = 160
_MARGIN = 16
_FRAME_MS = 300
_LAST_MS = 1200  # the last step stands a while before the loop begins again

Box = tuple[float, float, float, float]  # west, south, east, north
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class View:
    """What is to be drawn: a run's layer in a box of longitude and latitude on a ground."""

    run: Run
    layer: str
    box: Box
    ground: str


@dataclass(frozen=True)
class _Window:
    """The box in pixels of a zoom, and what they are shrunk to."""

    zoom: int
    left: float
    top: float
    right: float
    bottom: float
    size: tuple[int, int]


def still(house: House, view: View, frame: int, say: Words) -> bytes | None:
    """One step as a PNG; None where it is not mapped."""
    sheet = _Sheet(house, view, say, WIDEST)
    picture = sheet.draw(frame)
    if picture is None:
        return None
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def loop(house: House, view: View, frames: list[int], say: Words, kind: str) -> bytes | None:
    """Steps one after another as an animated 'webp' or 'gif'; None where none of them is mapped."""
    sheet = _Sheet(house, view, say, LOOP_WIDEST)
    drawn = [picture for frame in frames[:MOST_FRAMES] if (picture := sheet.draw(frame)) is not None]
    if not drawn:
        return None
    times = [_FRAME_MS] * (len(drawn) - 1) + [_LAST_MS]
    out = io.BytesIO()
    if kind == "gif":
        # One palette for all, or colours would flicker between steps.
        first = drawn[len(drawn) // 2].quantize(192, method=Image.Quantize.MEDIANCUT)
        small = [picture.quantize(palette=first, dither=Image.Dither.NONE) for picture in drawn]
        small[0].save(out, "GIF", save_all=True, append_images=small[1:], duration=times, loop=0, optimize=False)
    else:
        drawn[0].save(out, "WEBP", save_all=True, append_images=drawn[1:], duration=times, loop=0, quality=80, method=0)
    return out.getvalue()


class _Sheet:
    """Everything around and under the values, which is the same for all steps."""

    def __init__(self, house: House, view: View, say: Words, widest: int) -> None:
        self._house, self._view, self._say = house, view, say
        self._window = window_of(view.box, widest)
        self._light = view.ground == "light"
        self._ink: Colour = (24, 32, 43) if self._light else (233, 238, 245)
        self._land = _tuple(LAND[view.ground])
        self._base = self._ground()
        self._table = lookup(ramp_of(view.layer), view.ground)
        self._marked = self._mark(self._window.size)
        self._feet = {simulated: self._foot(self._window.size[0], simulated) for simulated in (False, True)}

    def draw(self, frame: int) -> Image.Image | None:
        run, view = self._view.run, self._view
        version = run.versions[frame] if 0 <= frame < len(run.versions) else None
        levels = None if version is None else self._house.runs.levels(run.name, view.layer, frame, version)
        if levels is None:
            return None
        wide, high = self._window.size
        values = self._values(levels)
        area = Image.new("RGBA", (wide, high), (*self._land, 255))
        area.alpha_composite(values)
        area.alpha_composite(self._base)
        simulated = drawn_from(view.layer) in self._house.runs.simulated(run)
        if simulated:
            area.alpha_composite(self._marked)
        head, foot = self._head(run, frame, wide), self._feet[simulated]
        sheet = Image.new("RGB", (wide, head.height + high + foot.height), self._land)
        sheet.paste(head, (0, 0))
        sheet.paste(area.convert("RGB"), (0, head.height))
        sheet.paste(foot, (0, head.height + high))
        return sheet

    def _values(self, levels: list[Packed]) -> Image.Image:
        """The value tiles of the window, coloured, as large as the picture."""
        run, window = self._view.run, self._window
        deeper = max(0, window.zoom - max(LOWEST_ZOOM, run.frame.native_zoom))
        scale, zoom = 2**deeper, window.zoom - deeper
        edges = [edge / scale for edge in (window.left, window.top, window.right, window.bottom)]
        x0, y0 = (math.floor(edge / TILE) for edge in edges[:2])
        x1, y1 = (max(low, math.ceil(edge / TILE) - 1) for low, edge in zip((x0, y0), edges[2:], strict=True))
        top = 2**zoom - 1
        block = Block(zoom, *(int(np.clip(n, 0, top)) for n in (x0, x1, y0, y1)))
        raw = np.frombuffer(render(run.frame, levels, block), np.uint8)
        tiles = raw.reshape(block.rows, block.columns, 2, TILE, TILE)
        bands = np.add.accumulate(tiles, axis=-1, dtype=np.uint8).transpose(2, 0, 3, 1, 4)
        value, sure = bands.reshape(2, block.rows * TILE, block.columns * TILE)
        colours = self._coloured(value, sure)
        west, north = block.x0 * TILE, block.y0 * TILE
        across = (edges[0] - west, edges[1] - north, edges[2] - west, edges[3] - north)
        picture = Image.fromarray(colours, "RGBA")
        return picture.resize(window.size, Image.Resampling.NEAREST, box=_inside(across, picture.size))

    def _coloured(self, value: npt.NDArray[np.uint8], sure: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        known = value <= 100
        colours = self._table[np.where(known, np.minimum(sure, 15), 0), np.where(known, value, 0)]
        colours[~known] = 0
        rows, columns = np.indices(value.shape)
        hatched = ~known & (sure == 0) & ((rows + columns) % 8 < 2)
        colours[hatched] = (94, 107, 122, 143) if self._light else (152, 166, 180, 102)
        return colours

    def _ground(self) -> Image.Image:
        """Buildings, water, streets and names of the window."""
        window = self._window
        x0, y0 = (math.floor(edge / TILE) for edge in (window.left, window.top))
        x1, y1 = (math.ceil(edge / TILE) - 1 for edge in (window.right, window.bottom))
        sheet = Image.new("RGBA", ((x1 - x0 + 1) * TILE, (y1 - y0 + 1) * TILE), (0, 0, 0, 0))
        for x in range(x0, x1 + 1):
            for y in range(y0, y1 + 1):
                body = self._house.basemap.tile(window.zoom, x, y, 1, self._view.ground)
                if body is not None:
                    tile = Image.open(io.BytesIO(body)).convert("RGBA")
                    if tile.size == (TILE, TILE):
                        sheet.paste(tile, ((x - x0) * TILE, (y - y0) * TILE))
        cut = (window.left - x0 * TILE, window.top - y0 * TILE, window.right - x0 * TILE, window.bottom - y0 * TILE)
        return sheet.resize(window.size, Image.Resampling.LANCZOS, box=_inside(cut, sheet.size))

    def _mark(self, size: tuple[int, int]) -> Image.Image:
        text, font = self._say("simulated.mark"), drawn_font(17)
        far = int(math.hypot(*size))
        layer = Image.new("RGBA", (far * 2, far * 2), (0, 0, 0, 0))
        pen = ImageDraw.Draw(layer)
        fill = (20, 28, 40, 150) if self._light else (255, 255, 255, 125)
        halo = (255, 255, 255, 110) if self._light else (9, 13, 19, 110)
        across = int(font.getlength(text)) + 200
        for number, y in enumerate(range(0, far * 2, 190)):
            for x in range(-across // 2 * (number % 2), far * 2, across):
                pen.text((x, y), text, fill, font, stroke_width=2, stroke_fill=halo)
        turned = layer.rotate(17, Image.Resampling.BILINEAR)
        left, top = (layer.width - size[0]) // 2, (layer.height - size[1]) // 2
        return turned.crop((left, top, left + size[0], top + size[1]))

    def _head(self, run: Run, frame: int, wide: int) -> Image.Image:
        say, zone = self._say, self._house.city.zone
        when = say.moment(run.times[frame], zone)
        night = say.day(run.night) if run.night else ""
        lines = [
            (figures.layer_name(self._view.layer, say), 22),
            (" · ".join(part for part in (self._house.city.name, night, when) if part), 15),
            (say("note.line"), 14),
        ]
        return self._text(lines, wide)

    def _foot(self, wide: int, simulated: bool) -> Image.Image:
        say = self._say
        lines = [(say("note.model"), 13), (" · ".join([*self._house.city.settings.attribution, "Noctule"]), 12)]
        if simulated:
            lines.insert(0, (say("simulated.mark"), 15))
        text, legend = self._text(lines, wide), self._legend(wide)
        sheet = Image.new("RGB", (wide, legend.height + text.height), self._land)
        sheet.paste(legend, (0, 0))
        sheet.paste(text, (0, legend.height))
        return sheet

    def _text(self, lines: list[tuple[str, int]], wide: int) -> Image.Image:
        broken = [(part, size) for text, size in lines for part in wrapped(text, size, wide - 2 * _MARGIN)]
        high = sum(round(size * 1.45) for _, size in broken) + _MARGIN
        sheet = Image.new("RGB", (wide, high), self._land)
        pen, y = ImageDraw.Draw(sheet), _MARGIN // 2
        for text, size in broken:
            pen.text((_MARGIN, y), text, self._ink, drawn_font(size))
            y += round(size * 1.45)
        return sheet

    def _legend(self, wide: int) -> Image.Image:
        """The rows of colours with what they mean, surest first, and hatching."""
        say = self._say
        layer = ENDS.get(self._view.layer, self._view.layer)
        layer = "safety" if base_layer(layer) == "safety" else layer
        rows, ticks, unit = figures.legend_parts(layer, say, self._view.ground)
        sure = say("confidence.high")
        rows = [(row, say("details.confidence", word=word) if word == sure else word) for row, word in rows]
        long, font = min(360, wide - 2 * _MARGIN - 150), drawn_font(12)
        sheet = Image.new("RGB", (wide, len(rows) * 18 + 46), self._land)
        pen = ImageDraw.Draw(sheet)
        for number, (colours, word) in enumerate(rows):
            stops = np.linspace(_MARGIN, _MARGIN + long, len(colours) + 1)
            y = 8 + number * 18
            for (left, right), colour in zip(pairwise(stops), colours, strict=True):
                pen.rectangle((round(left), y, round(right) - 1, y + 13), _tuple(colour))
            pen.text((_MARGIN + long + 10, y), word, self._ink, font)
        y = 8 + len(rows) * 18
        for share, text in ticks:
            x = _MARGIN + long * share / 100
            at = "ls" if share < 15 else "rs" if share > 85 else "ms"
            pen.text((x, y + 12), text, self._ink, font, anchor=at)
        pen.text((_MARGIN + long + 10, y), unit.strip(), self._ink, font)
        y += 18
        pen.rectangle((_MARGIN, y, _MARGIN + 28, y + 12), outline=_tuple("#8e9bad"))
        for x in range(0, 40, 7):
            ends = (_MARGIN + max(0, x - 12), y + min(12, x), _MARGIN + min(28, x), y + max(0, x - 28))
            pen.line(ends, _tuple("#8e9bad"))
        pen.text((_MARGIN + 36, y), say("legend.hatched"), self._ink, font)
        return sheet


def window_of(box: Box, widest: int) -> _Window:
    """The pixels that show a box: as many as fit into `widest` either way, at the deepest zoom that has them."""
    west, south, east, north = box
    (x0, y0), (x1, y1) = _mercator(west, north), _mercator(east, south)
    zoom = HIGHEST_ZOOM
    while zoom > LOWEST_ZOOM and max(x1 - x0, y1 - y0) * TILE * 2**zoom > 1.6 * widest:
        zoom -= 1
    side = TILE * 2**zoom
    left, top, right, bottom = x0 * side, y0 * side, x1 * side, y1 * side
    shrink = min(widest / (right - left), widest / (bottom - top), 2.0)
    size = tuple(max(_SMALLEST_SIDE, round(length * shrink)) for length in (right - left, bottom - top))
    return _Window(zoom, left, top, right, bottom, (size[0], size[1]))


def wrapped(text: str, size: int, wide: float) -> list[str]:
    """Lines of a text that are no longer than so many pixels; a word alone may be."""
    font = drawn_font(size)
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and font.getlength(longer) > wide:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line]


def _mercator(longitude: float, latitude: float) -> tuple[float, float]:
    sine = math.sin(math.radians(latitude))
    return (longitude + 180) / 360, 0.5 - math.log((1 + sine) / (1 - sine)) / (4 * math.pi)


def _inside(cut: tuple[float, ...], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """A cut within a picture: rounding may lead a hair outside."""
    left, top, right, bottom = cut
    return max(0.0, left), max(0.0, top), min(float(size[0]), right), min(float(size[1]), bottom)


def _tuple(colour: str) -> Colour:
    red, green, blue = (int(part) for part in rgb(colour))
    return red, green, blue
