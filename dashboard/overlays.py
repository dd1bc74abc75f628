"""Points over the map: lamps with their faults, venues, stops, and where data is measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from dashboard.words import Words
from ingest.health import site_health
from sensors.city import City
from sensors.errors import NoctuleError

KINDS = ("lamps", "venues", "stops", "sensors")
# Kinds that we have words for; another kind of place is shown without one.
_WORDS = {
    *(f"venues.{kind}" for kind in ("bar", "pub", "nightclub", "restaurant")),
    *(f"stops.{kind}" for kind in ("bus", "tram", "metro", "rail", "ferry")),
}
_UNKNOWN, _FINE, _FAULT = 0, 1, 2

Overlay = dict[str, Any]


def overlay(city: City, kind: str, say: Words, *, tonight: bool = True) -> Overlay:
    """Longitude and latitude, state, name and words of each place of a kind; empty where the city has no such table.

    tonight : whether who asks may hear what lamps say tonight; the public sees where they stand
    """
    try:
        # Where data is measured is the table of sites, of which one device may have several.
        table = city.places("sites" if kind == "sensors" else kind)
        table = table[table["lamps"] == ""] if kind == "sensors" else table
    except NoctuleError:
        return {"points": [], "states": [], "names": [], "texts": []}
    places = table.to_crs("EPSG:4326").geometry
    states, names = [_FINE] * len(table), [""] * len(table)
    if kind == "lamps":
        known = faults(city) if tonight else {}
        states = [known.get(str(lamp), _UNKNOWN) for lamp in table["lamp"]]
        names = [str(lamp) for lamp in table["lamp"]]
        words = (say("lamp.unknown"), say("lamp.fine"), say("lamp.fault"))
        texts = [words[state] for state in states]
    elif kind == "sensors":
        names = [str(device) for device in table["device"]]
        texts = [
            f"{say(f'quantity.{quantity}')} ({say(f'origin.{origin}')})"
            for quantity, origin in zip(table["quantity"], table["origin"], strict=True)
        ]
    else:
        names = [name if isinstance(name, str) else "" for name in table["name"]]
        texts = [say(f"{kind}.{place}") if f"{kind}.{place}" in _WORDS else "" for place in table["kind"]]
    # To a metre: a lamp is drawn larger, and fifty thousand weigh a tenth less.
    points = np.column_stack([places.x, places.y]).round(5).tolist()
    return {"points": points, "states": states, "names": names, "texts": texts}


def faults(city: City) -> dict[str, int]:
    """What each lamp's controller last said of it; lamps without a word are absent."""
    try:
        health = site_health(city)
        sites = city.places("sites").set_index("site")["lamps"]
    except NoctuleError:
        return {}
    said: dict[str, int] = {}
    reports = health[health["quantity"] == "lamp_ok"]
    for site, value in zip(reports["site"], reports["value"].to_numpy(float), strict=True):
        if np.isfinite(value):
            for lamp in str(sites.get(site, "")).split(";"):
                said[lamp] = _FINE if value >= 0.5 else _FAULT
    return said
