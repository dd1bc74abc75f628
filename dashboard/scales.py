"""How each layer's quantity becomes a whole number 0..100 for the browser, and back for people.

Perceived safety and evidence are already shares, shown as they are. Illuminance and footfall span decades, so equal
steps on the map are equal ratios: 0 is 0.05 lx (or 1 person an hour) and less, 100 is 100 lx (10,000 persons an hour)
and more. Noise is already logarithmic: 30 to 90 dB. Confidence 0..15 falls evenly with the standard deviation in
the layer's own terms and reaches 0 at `sd_none`.

Areas are averaged in the quantity itself: lux and persons as they are, levels only as energy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analytics.views import GAP, GAPS, GROUP, RESIDENTS

Floats = npt.NDArray[np.float32]

CONFIDENCE_TOP = 15
INTERVAL_SD = 1.645  # half of the central 90 % of a normal distribution
MEASURED, MODELLED, SIMULATED = 1, 2, 4  # bits of what a cell rests on
FADE_FROM_M, FADE_TO_M = 100.0, 400.0  # noise: full confidence within 100 m of a meter, none beyond 400 m


@dataclass(frozen=True, slots=True)
class Scale:
    """One layer: which variables of the atlas it shows and on what scale."""

    layer: str
    variable: str
    sd: str  # variable holding the standard deviation, '' where the layer has none
    kind: str  # 'share', 'log', 'linear', 'change' or 'ratio' (a change as the logarithm of a ratio)
    low: float
    high: float
    sd_none: float = 1.0  # standard deviation at which confidence is nil, in the layer's own terms
    unit: str = ""
    ticks: tuple[float, ...] = ()
    nearest: str = ""  # variable with the distance to the nearest live sensor, metres
    origin: str = ""  # variable with what each cell rests on; '' where a layer rests on answers

    @property
    def differs(self) -> bool:
        """Whether it is a difference, which has a sign and is grey where it cannot be told from 0."""
        return self.kind in ("change", "ratio")

    def to_value(self, quantity: npt.ArrayLike) -> Floats:
        """The quantity on 0..100, NaN kept.

        >>> SCALES["noise"].to_value([30.0, 60.0, 95.0]).tolist()
        [0.0, 50.0, 100.0]
        """
        amount = np.asarray(quantity, np.float32)
        if self.kind == "log":
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.log(np.maximum(amount, np.float32(self.low)) / self.low) / np.log(self.high / self.low)
        elif self.kind == "ratio":
            ratio = 0.5 + 0.5 * amount / np.log(self.high)
        elif self.kind == "change":
            ratio = 0.5 + 0.5 * np.arcsinh(amount / self.low) / np.arcsinh(self.high / self.low)
        else:
            ratio = (amount - self.low) / (self.high - self.low)
        return np.asarray(np.clip(ratio * 100, 0, 100), np.float32)

    def to_quantity(self, value: npt.ArrayLike) -> Floats:
        """Back from 0..100."""
        ratio = np.asarray(value, np.float32) / 100
        if self.kind == "log":
            return np.asarray(self.low * (self.high / self.low) ** ratio, np.float32)
        if self.kind == "ratio":
            return np.asarray((2 * ratio - 1) * np.log(self.high), np.float32)
        if self.kind == "change":
            return np.asarray(self.low * np.sinh((2 * ratio - 1) * np.arcsinh(self.high / self.low)), np.float32)
        return np.asarray(self.low + ratio * (self.high - self.low), np.float32)

    def confidence(self, sd: npt.ArrayLike, nearest_m: npt.ArrayLike | None = None) -> npt.NDArray[np.uint8]:
        """Steps 0..15 from the standard deviation, and for noise from the distance to the nearest live meter."""
        share = 1 - np.asarray(sd, np.float32) / self.sd_none
        if nearest_m is not None:
            fade = (FADE_TO_M - np.asarray(nearest_m, np.float32)) / (FADE_TO_M - FADE_FROM_M)
            share = np.minimum(share, fade)
        share = np.nan_to_num(np.clip(share, 0, 1), nan=0.0)
        return np.asarray(np.minimum(share * (CONFIDENCE_TOP + 1), CONFIDENCE_TOP), np.uint8)

    def interval(self, quantity: float, sd: float) -> tuple[float, float]:
        """Where the quantity likely lies: the central 90 % in the layer's own terms."""
        half = INTERVAL_SD * sd
        if self.kind == "log":
            return quantity * float(np.exp(-half)), quantity * float(np.exp(half))
        if self.kind == "share":
            return max(self.low, quantity - half), min(self.high, quantity + half)
        return quantity - half, quantity + half


_RATIOS = (-math.log(4), -math.log(2), 0.0, math.log(2), math.log(4))

SCALES: dict[str, Scale] = {
    scale.layer: scale
    for scale in (
        # Safety arrives released: whole numbers of 100, sd in points.
        Scale("safety", "safety", "safety_sd", "share", 0, 100, sd_none=24.0),
        Scale(
            "light", "illuminance", "illuminance_sd", "log", 0.05, 100, sd_none=1.0, unit="lx",
            ticks=(0.1, 1, 5, 20, 100), nearest="illuminance_nearest", origin="illuminance_origin",
        ),
        Scale(
            "footfall", "footfall", "footfall_sd", "log", 1, 10_000, sd_none=1.4, unit="/h",
            ticks=(1, 10, 100, 1000), nearest="footfall_nearest", origin="footfall_origin",
        ),
        Scale(
            "noise", "noise", "noise_sd", "linear", 30, 90, sd_none=12.0, unit="dB",
            ticks=(30, 45, 60, 75, 90), nearest="noise_nearest", origin="noise_origin",
        ),
        Scale("evidence", "safety_evidence", "", "share", 0, 1),
        *(Scale(f"safety_{view}", f"safety_of_{view}", f"safety_of_{view}_sd", "share", 0, 100, sd_none=24.0)
          for view in (RESIDENTS, *GROUP)),
        *(Scale(f"{GAP}{group}", f"safety_of_{GAP}{group}", f"safety_of_{GAP}{group}_sd", "change", 2, 40,
                ticks=(-40, -10, 0, 10, 40)) for group in GAPS),
        Scale("safety_change", "safety_change", "", "change", 2, 25, ticks=(-25, -5, 0, 5, 25)),
        Scale("light_change", "illuminance_change", "", "change", 1, 30, unit="lx", ticks=(-30, -5, 0, 5, 30)),
        # Versus usual: points and dB as they are, light and footfall as ln of a ratio, up to four times and a quarter.
        Scale("usual_safety", "safety", "safety_sd", "change", 2, 25, ticks=(-25, -5, 0, 5, 25)),
        Scale("usual_light", "illuminance", "illuminance_sd", "ratio", 0, 4, unit="%", ticks=_RATIOS),
        Scale("usual_footfall", "footfall", "footfall_sd", "ratio", 0, 4, unit="%", ticks=_RATIOS),
        Scale("usual_noise", "noise", "noise_sd", "change", 2, 20, unit="dB", ticks=(-20, -5, 0, 5, 20)),
        # How unsure a layer is: its standard deviation, as a factor where it is one of a logarithm.
        Scale("safety_sd", "safety", "safety_sd", "linear", 0, 30, ticks=(0, 10, 20, 30)),
        Scale("noise_sd", "noise", "noise_sd", "linear", 0, 12, unit="dB", ticks=(0, 4, 8, 12)),
        Scale("light_sd", "illuminance", "illuminance_sd", "linear", 1, 4, unit="×", ticks=(1, 2, 3, 4)),
        Scale("footfall_sd", "footfall", "footfall_sd", "linear", 1, 4, unit="×", ticks=(1, 2, 3, 4)),
    )
}  # fmt: skip

LAYERS = ("safety", "light", "footfall", "noise", "evidence")
CHANGES = ("safety_change", "light_change")
# Versus usual: each of these layers is the difference of another to what it usually is.
USUAL = {f"usual_{layer}": layer for layer in ("safety", "light", "footfall", "noise")}
# Parts of a layer that has an error: how unsure it is, and the ends of its 90 % interval on the layer's own scale.
SDS = {f"{layer}_sd": layer for layer in ("safety", "light", "footfall", "noise")}
ENDS = {f"{layer}_{end}": layer for layer in SDS.values() for end in ("lower", "upper")}
SCALES |= {name: replace(SCALES[layer], layer=name) for name, layer in ENDS.items()}
PARTS = SDS | ENDS
# Perceived safety of whom: everyone out at night is the layer itself.
EVERYONE = "everyone"
PEOPLE = (EVERYONE, RESIDENTS, *GROUP)
OF_GROUPS = tuple(f"safety_{view}" for view in PEOPLE[1:])
GAP_LAYERS = tuple(f"{GAP}{group}" for group in GAPS)


def drawn_from(layer: str) -> str:
    """The layer of a page that another is drawn from: of which it is a part, or whose difference to the usual it is.

    >>> [drawn_from(name) for name in ("safety_sd", "usual_noise", "light_upper", "safety_women")]
    ['safety', 'noise', 'light', 'safety_women']
    """
    return PARTS.get(layer) or USUAL.get(layer, layer)


def base_layer(layer: str) -> str:
    """What a layer is a variant of: the layer itself but for single groups and gaps.

    >>> [base_layer(name) for name in ("safety_women", "gap_women", "noise")]
    ['safety', 'gap', 'noise']
    """
    return "safety" if layer in OF_GROUPS else "gap" if layer in GAP_LAYERS else layer


def people_of(layer: str) -> str:
    """Of whom a layer speaks: a group or residents, everyone where it does not say.

    >>> [people_of(name) for name in ("safety_women", "gap_older", "safety", "noise")]
    ['women', 'older', 'everyone', 'everyone']
    """
    return layer.split("_", 1)[1] if base_layer(layer) != layer else EVERYONE
