"""Reads what a phone sends as an answer: every field is hostile until it is understood, and leaves here coarsened.

The exact place and time end here. What comes out is `sensors.inbox.Given`: the middle of a street section, a quarter of
an hour, codes of closed lists, and two words that the phone made up: one for the answer, one for itself this month.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from sensors.answer import CODES
from sensors.city import City
from sensors.coarsening import nearest_middles, quarters
from sensors.inbox import Given, ItemAnswer
from sensors.instrument import load_instrument
from sensors.night import rfc3339, sun_elevation

if TYPE_CHECKING:
    from dashboard.street_list import StreetList
    from sensors.walk import Walk

CONSENT = "ask-1"  # of the text that people agree to; a changed text is a new version
CORE = "core-4"
LONGEST_WAIT_S = 7 * 86_400.0  # on a phone without a network; older answers say little of when they were given
DARK_DEG = -6.0
ABOUT = ("alone", "gender", "age_band", "disability", "role", "familiarity")
_WORD = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,4}([.,]\d{1,12})?", re.ASCII)
_WAITED = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)


class WrongAnswer(Exception):  # noqa: N818  # says what it is, and is told to a person in their own words
    """A field that cannot be taken: which one, the key of the sentence that says so, and what belongs into it."""

    def __init__(self, field: str, key: str, **values: str) -> None:
        super().__init__(key)
        self.field, self.key, self.values = field, key, values


@dataclass(frozen=True)
class Asker:
    """What an answer is read against: the city, what it asks, its places to choose from and the walk, if any."""

    city: City
    streets: StreetList
    walks: Mapping[str, Walk] = field(default_factory=dict)

    @property
    def instruments(self) -> list[str]:
        """What is asked: the core item, then what the city adds."""
        return [CORE, *(name for name in self.city.settings.asking.items if name != CORE)]


def read_given(fields: Mapping[str, str], asker: Asker, now: np.datetime64, speed: float = 1.0) -> tuple[Given, str]:
    """The answer that some fields hold, and the name of its place; WrongAnswer names the first field that is wrong.

    now : city time; speed : seconds of the city in one of the world, by which an answer that waited is older
    """
    city = asker.city
    if fields.get("consent", "") != CONSENT:
        raise WrongAnswer("consent", "ask.wrong.consent")
    word = fields.get("id", "")
    if not _WORD.fullmatch(word):
        raise WrongAnswer("id", "ask.wrong.id")
    time = quarters(np.array([now - _waited(fields.get("waited_s", ""), speed)], "datetime64[ms]"))[0]
    place, label, on_walk = _place(fields, asker, time)
    light_state = "dark" if _sun(city, time) < DARK_DEG else "day"
    items = _items(fields, asker.instruments, light_state)
    campaign, trigger = (f"walk-{on_walk}", "prompted") if on_walk else _campaign(fields, city, time)
    about: dict[str, Any] = {name: _code(fields, name) for name in ABOUT}
    month = str(time.astype("datetime64[M]"))
    phone = fields.get("phone", "")
    if phone and not _WORD.fullmatch(phone):
        raise WrongAnswer("phone", "ask.wrong.id")
    return (
        Given(
            response_id=_hashed("answer", word),
            campaign=campaign,
            time=rfc3339(time),
            easting=place[0],
            northing=place[1],
            items=items,
            light_state=light_state,
            trigger=trigger,
            origin="simulated" if city.simulated else "recorded",
            consent_version=CONSENT,
            pseudonym=_hashed("phone", month, phone) if phone else "",
            **about,
        ),
        label,
    )


def _hashed(*parts: str) -> str:
    """Of words with 96 random bits and more, so that no key is needed to keep them apart from guesses."""
    return hashlib.blake2b("\x1f".join(("ask", *parts)).encode(), digest_size=8).hexdigest()


def _waited(said: str, speed: float) -> np.timedelta64:
    if not said:
        return np.timedelta64(0, "ms")
    if not _WAITED.fullmatch(said):
        raise WrongAnswer("waited_s", "ask.wrong.time")
    seconds = float(said)
    if seconds > LONGEST_WAIT_S:
        raise WrongAnswer("waited_s", "ask.wrong.old")
    return np.timedelta64(int(seconds * max(speed, 0.0) * 1000), "ms")


def _place(fields: Mapping[str, str], asker: Asker, time: np.datetime64) -> tuple[tuple[float, float], str, str]:
    """Easting and northing of the section's middle, what the place is called, and the walk whose stop it is."""
    walk = asker.walks.get(fields.get("walk", ""))
    if walk is not None and fields.get("stop", ""):
        said = fields["stop"]
        number = int(said) if re.fullmatch(r"\d{1,3}", said, re.ASCII) else 0
        if number not in walk.stops.index:
            raise WrongAnswer("stop", "ask.wrong.stop")
        point = walk.stops.geometry[number]
        name = walk.id if _of_the_walk(walk, time, asker.city) else ""
        return _coarse(asker.city, point.x, point.y, "stop"), str(walk.stops["label"][number]), name
    if fields.get("lat", "") or fields.get("lon", ""):
        lat, lon = (_degrees(fields.get(name, ""), name) for name in ("lat", "lon"))
        if abs(lat) > 90 or abs(lon) > 180:
            raise WrongAnswer("lat", "ask.wrong.degrees")
        from pyproj import Transformer

        east, north = Transformer.from_crs("EPSG:4326", asker.city.crs, always_xy=True).transform(lon, lat)
        place = _coarse(asker.city, float(east), float(north), "lat")
        return place, asker.streets.at(place), ""
    said = fields.get("street", "").strip()
    if not said:
        raise WrongAnswer("street", "ask.wrong.noplace")
    found = asker.streets.find(said)
    if isinstance(found, list):
        if found:
            raise WrongAnswer("street", "ask.wrong.which", places="; ".join(found))
        raise WrongAnswer("street", "ask.wrong.street")
    label, place = found
    return place, label, ""


def _coarse(city: City, easting: float, northing: float, field: str) -> tuple[float, float]:
    places, inside = nearest_middles(city, np.array([easting]), np.array([northing]))
    if not inside[0]:
        raise WrongAnswer(field, "ask.wrong.outside", city=city.name)
    return float(places[0, 0]), float(places[0, 1])


def _of_the_walk(walk: Walk, time: np.datetime64, city: City) -> bool:
    """Whether a moment lies on the walk's day or the night after it, until noon: then it was the walk that asked."""
    local = datetime.fromtimestamp(int(time.astype("datetime64[s]").astype(np.int64)), city.zone)
    return walk.date in (local.date(), (local - timedelta(hours=12)).date())


def _degrees(said: str, field: str) -> float:
    if not _NUMBER.fullmatch(said.strip()):
        raise WrongAnswer(field, "ask.wrong.degrees")
    return float(said.strip().replace(",", "."))


def _items(fields: Mapping[str, str], instruments: list[str], light_state: str) -> tuple[ItemAnswer, ...]:
    """The core item, which is needed, and whatever else was answered."""
    items = []
    for name in instruments:
        said = fields.get(f"item-{name}", "")
        tool = load_instrument(name)
        if said == "" and name != CORE:
            continue
        category = int(said) if re.fullmatch(r"\d{1,2}", said, re.ASCII) else 0
        if not 1 <= category <= tool.categories:
            raise WrongAnswer(f"item-{name}", "ask.wrong.category")
        if light_state in tool.light_states:  # by day, what is only asked of the dark is no answer to it
            items.append(ItemAnswer(name, tool.items[0].id, tool.normalised(category), tool.categories))
    return tuple(items)


def _code(fields: Mapping[str, str], name: str) -> str:
    said = fields.get(name, "") or CODES[name][-1]
    if said not in CODES[name]:
        raise WrongAnswer(name, "ask.wrong.code")
    return said


def _campaign(fields: Mapping[str, str], city: City, time: np.datetime64) -> tuple[str, str]:
    """Campaign and trigger: those of a listed campaign while it lasts, else the month's own and spontaneous."""
    local = datetime.fromtimestamp(int(time.astype("datetime64[s]").astype(np.int64)), city.zone)
    listed = {campaign.id: campaign for campaign in city.settings.asking.campaigns}
    campaign = listed.get(fields.get("campaign", ""))
    if campaign is not None and (not campaign.until or local.date().isoformat() <= campaign.until):
        return f"ask-{campaign.id}", campaign.trigger
    return f"ask-{local:%Y-%m}", "spontaneous"


def _sun(city: City, time: np.datetime64) -> float:
    longitude, latitude = city.centre_lonlat()
    return float(sun_elevation(np.array([time], "datetime64[ms]"), latitude, longitude)[0])
