"""A layer of the whole city as one small picture, to stand beside the map."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from dashboard.palette import lookup, ramp_of
from dashboard.tiles import EMPTY, HATCHED, Packed

MOST_PIXELS = 280  # wide, so that it stays sharp on a screen of twice the density
_HATCHES = {"dark": (180, 169, 152, 90), "light": (94, 107, 122, 90), "contrast": (255, 255, 255, 130)}


def inset(levels: list[Packed], layer: str, ground: str = "dark") -> bytes:
    """A PNG, north up, of the finest level that is not wider than the picture; hatching as a light tint."""
    packed = next((level for level in levels if level.shape[1] - 2 <= MOST_PIXELS), levels[-1])[1:-1, 1:-1]
    table = lookup(ramp_of(layer), ground)
    value, confidence = packed & 255, packed >> 8
    known = value <= 100
    picture = np.zeros((*packed.shape, 4), np.uint8)
    picture[known] = table[np.minimum(confidence[known], len(table) - 1), value[known]]
    picture[(packed == HATCHED) & ~known] = _HATCHES[ground]
    picture[packed == EMPTY] = 0
    return _png(Image.fromarray(picture[::-1]))


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


NO_PICTURE = _png(Image.new("RGBA", (1, 1), (0, 0, 0, 0)))
