"""The colours of every layer, as data: ramps, tiers of confidence and look-up tables for the browser.

Perceived safety uses a value-suppressing palette (Correll, Moritz and Heer 2018): eight colours where we are sure, then
four, two, one grey, so that nobody can read a fine difference out of a coarse estimate. No red anywhere, and lightness
rises with the value, so that the order survives a grey print and every common colour vision (adjacent CIE76 >= 5.3 in
protan, deutan and tritan simulation; reference palette of the design).

Each ramp has a twin for light ground, the same hues with their lightness reversed, so that more stands out more on
either; and one of four colours for high contrast, opaque, the lowest of which keeps 3 : 1 to black.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analytics.views import SAFETY_RAMP
from dashboard.scales import ENDS, SDS, USUAL, base_layer

Colours = npt.NDArray[np.float64]

LEVELS = 101  # values 0..100 as whole numbers
STEPS = 16  # confidence 0 (least) .. 15 (most)
TIER_BINS = (1, 2, 4, 8)  # colours per tier, least sure first; four confidence steps a tier
GREY = "#7d848f"
GROUNDS = ("dark", "light", "contrast")  # what a map is drawn on; a theme chooses one

RAMPS: dict[str, tuple[str, ...]] = {
    "safety": SAFETY_RAMP,
    "light": ("#2a3160", "#4c4a86", "#82638f", "#bd8a78", "#e6b96b", "#f8e08e", "#fff8dc"),
    # The low end is lifted well above the dark ground (#0d131c), else a quiet street looks like no street.
    "footfall": ("#1f4b58", "#22707a", "#2f9490", "#5fb9a2", "#a3d9bb", "#e4f7e6"),
    "noise": ("#2b356b", "#4b4a95", "#7a62b3", "#a97fc6", "#d5a2d6", "#f8d3ea"),
    "evidence": ("#33415a", "#45617f", "#5b87a1", "#7fb0bd", "#afd6d2", "#ecfaf0"),
    # Dark in the middle: on a dark map the largest differences must be the brightest, not those near nil.
    "safety_change": ("#dcb8ff", "#a678dc", "#4b535c", "#45b3a9", "#8ff7e6"),
    "light_change": ("#dcb8ff", "#a678dc", "#4b535c", "#45b3a9", "#8ff7e6"),
}
# Mirrored in CIELAB: lightness from 88 down to 34, hue kept, chroma as far as the screen goes.
_LIGHT: dict[str, tuple[str, ...]] = {
    "safety": ("#e8d5ff", "#bfc3ff", "#6cb9f8", "#0aadc5", "#079b86", "#168746", "#476d01", "#565200"),
    "light": ("#dbdafe", "#c4bcff", "#c69cd7", "#c3846e", "#a07508", "#756500", "#565033"),
    "footfall": ("#ade5f9", "#6dcdda", "#23b3af", "#02977d", "#347656", "#415544"),
    "noise": ("#dadaff", "#bfb6fe", "#b08ffb", "#a370c8", "#8f5592", "#6a445d"),
    "evidence": ("#ceddff", "#9ec2ec", "#6ea9ca", "#4d8e9e", "#43726e", "#455349"),
    "safety_change": ("#583582", "#9760dd", "#cdd8e6", "#038b82", "#005047"),
    "light_change": ("#583582", "#9760dd", "#cdd8e6", "#038b82", "#005047"),
}
# Lightness 48, 64, 80 and 96: as far apart as four colours can be on black.
_CONTRAST: dict[str, tuple[str, ...]] = {
    "safety": ("#845fc0", "#37a5d9", "#62dda1", "#fff4c0"),
    "light": ("#666cb2", "#b68cc8", "#f5be55", "#fdf4d0"),
    "footfall": ("#3e7a8c", "#1dacad", "#6edab9", "#e1fae4"),
    "noise": ("#626cba", "#a28af9", "#e8b3ff", "#ffeff9"),
    "evidence": ("#5f7296", "#6ba1c7", "#93d1da", "#e6f8eb"),
    "safety_change": ("#eedcfe", "#c28eff", "#555f6b", "#03b9ae", "#65f9e4"),
    "light_change": ("#eedcfe", "#c28eff", "#555f6b", "#03b9ae", "#65f9e4"),
}
TWINS = {"dark": RAMPS, "light": _LIGHT, "contrast": _CONTRAST}
GREYS = {"dark": GREY, "light": "#aeb4bd", "contrast": "#8f97a3"}
DIFFERENCES = ("safety_change", "light_change")  # grey unless distinguishable from 0

# How much of the grey is mixed in, least sure tier first.
_GREYING = {"safety": (0.92, 0.58, 0.30, 0.0)}
_MILD_GREYING = (0.55, 0.35, 0.15, 0.0)
_OPACITY = {"safety": (170, 200, 215, 225)}


@dataclass(frozen=True, slots=True)
class Tier:
    """One row of the legend: the colours that a degree of confidence may show."""

    colours: tuple[str, ...]


def ramp_of(layer: str) -> str:
    """Whose colours a layer has: those of perceived safety for any group, those of a change for any difference."""
    if layer in USUAL:
        return "safety_change"
    if layer in SDS:
        return "evidence"
    layer = ENDS.get(layer, layer)
    return {"safety": "safety", "gap": "safety_change"}.get(base_layer(layer), layer)


def interpolate(colours: tuple[str, ...], count: int) -> Colours:
    """`count` colours evenly along a ramp, shape (count, 3), 0..255."""
    stops = np.array([rgb(colour) for colour in colours])
    place = np.linspace(0.0, len(stops) - 1.0, count)
    lower = np.minimum(place.astype(int), len(stops) - 2)
    share = (place - lower)[:, None]
    return np.asarray(stops[lower] * (1 - share) + stops[lower + 1] * share)


def tiers(layer: str, ground: str = "dark") -> list[Tier]:
    """The legend's rows of a layer, surest first.

    >>> [len(tier.colours) for tier in tiers("safety")]
    [8, 4, 2, 1]
    """
    layer = ramp_of(layer)
    table = lookup(layer, ground)
    rows = []
    for tier in (3, 2, 1, 0):
        bins = TIER_BINS[tier] if layer == "safety" else 24
        middles = ((np.arange(bins) + 0.5) / bins * 100).astype(int)
        rows.append(Tier(tuple(_hex(table[tier * 4 + 3, value, :3]) for value in middles)))
    return rows


def lookup(layer: str, ground: str = "dark") -> npt.NDArray[np.uint8]:
    """RGBA of every confidence step and value on a ground, shape (16, 101, 4)."""
    table = np.zeros((STEPS, LEVELS, 4), np.uint8)
    for step in range(STEPS):
        table[step, :, :3] = np.rint(_colours(layer, step, ground))
        table[step, :, 3] = 255 if ground == "contrast" and layer != "noise" else _opacity(layer, step)
    return table


def _colours(layer: str, step: int, ground: str) -> Colours:
    """The colours of all values at one step of confidence, shape (101, 3)."""
    ramp, grey = TWINS[ground][layer], rgb(GREYS[ground])
    values, tier = np.arange(LEVELS), step // 4
    if layer in DIFFERENCES:
        return interpolate(ramp, LEVELS) if step >= STEPS // 2 else np.tile(grey, (LEVELS, 1))
    if layer == "safety":
        bins = min(TIER_BINS[tier], len(ramp))
        groups = interpolate(ramp, len(ramp)).reshape(bins, len(ramp) // bins, 3).mean(axis=1)
        return _greyed(groups[np.minimum((values * bins) // 100, bins - 1)], _GREYING["safety"][tier], grey)
    bins = len(ramp)
    flat = interpolate(ramp, bins)[np.minimum((values * bins) // 100, bins - 1)]
    return _greyed(flat if ground == "contrast" else interpolate(ramp, LEVELS), _MILD_GREYING[tier], grey)


def _opacity(layer: str, step: int) -> int:
    if layer in DIFFERENCES:
        return 215 if step >= STEPS // 2 else 120
    if layer == "safety":
        return _OPACITY["safety"][step // 4]
    # Noise fades away from its meters instead of only turning grey: beyond them it is a model's guess.
    return 45 + 11 * step if layer == "noise" else 212


def rgb(colour: str) -> Colours:
    """'#rrggbb' as three numbers 0..255."""
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)], float)


def _greyed(colour: Colours, share: float, grey: Colours) -> Colours:
    return colour * (1 - share) + grey * share


def _hex(colour: npt.NDArray[np.uint8]) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in colour)
