"""The kinds of sensors that a city may have, which of them this one has, and those that Noctule turns away."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

_LAMPS = {"dimming", "dimming_command", "lamp_ok", "power", "energy", "supply_voltage"}
_PEOPLE = {"people_flow", "people_in", "people_out", "people_present"}
# How a register spells the class of a counter; whatever else stands there is a counter whose kind is not said.
_COUNTERS = {
    "beam": ("beam", "infrared", "ir", "pir"),
    "overhead": ("stereo", "thermal", "overhead", "tof", "depth"),
    "camera": ("camera", "video", "optical", "ai"),
    "radar": ("radar", "lidar", "laser"),
    "floor": ("pressure", "floor", "loop", "mat"),
}
KINDS = (
    "controller",
    "lux",
    "beam",
    "overhead",
    "camera",
    "radar",
    "floor",
    "counter",
    "radio",
    "noise",
    "answers",
    "walk",
)
REFUSED = ("drone", "pictures", "voices")


@dataclass(frozen=True)
class Count:
    """How many devices of a kind a city has, and how many of them a simulator pretends."""

    devices: int = 0
    simulated: int = 0


def sensor_counts(sites: pd.DataFrame) -> dict[str, Count]:
    """Devices by kind, of sites that are in use.

    sites : columns of `places/sites`
    """
    here = sites[sites["valid_to"].isna()] if "valid_to" in sites else sites
    kind = [kind_of(quantity, name) for quantity, name in zip(here["quantity"], here["sensor_class"], strict=True)]
    found = {}
    for name, rows in here.assign(kind=kind).groupby("kind"):
        devices = rows.drop_duplicates("device")
        found[str(name)] = Count(len(devices), int((devices["origin"] == "simulated").sum()))
    return found


def kind_of(quantity: str, sensor_class: str) -> str:
    """The kind of a site by what it measures and, for counters, by the class in its register.

    >>> kind_of("people_flow", "stereo"), kind_of("people_in", ""), kind_of("sound_laeq", "2")
    ('overhead', 'counter', 'noise')
    """
    if quantity in _LAMPS:
        return "controller"
    if quantity == "illuminance":
        return "lux"
    if quantity == "devices_seen":
        return "radio"
    if quantity in _PEOPLE:
        words = str(sensor_class).lower().replace("-", " ").replace("_", " ").split()
        return next((kind for kind, names in _COUNTERS.items() if any(word in names for word in words)), "counter")
    return "noise"
