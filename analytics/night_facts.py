"""All that a night report tells, gathered from a city's pages, archive, register and journal; what is missing is said.

Each part is there or is None; nothing is made up for a part that a city or a night lacks, and the lack of one part is
no reason to be silent about the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analytics import atlas
from analytics.night_answers import NightAnswers, night_answers
from analytics.passing import Passing, busiest_page, passing
from analytics.sleeping import Sleeper, sleepers
from analytics.usual_differences import Differences, differences
from ingest.archive import night_records, nights
from ingest.gaps import gaps
from ingest.lamp_faults import LAMP_QUANTITIES
from ingest.limits import COUNTED
from ingest.work_list import REPORTED, work_list
from sensors.city import City
from sensors.clock import city_clock
from sensors.errors import CityError, StoreError
from sensors.journal import read_journal
from sensors.night import Night
from sensors.quantities import HISTOGRAM

MOST_NIGHTS = 62  # two months; a year belongs to other reports
KIND_OF = {
    **dict.fromkeys(COUNTED, "counter"),
    **dict.fromkeys(("sound_laeq", "sound_lamax", HISTOGRAM), "meter"),
    **dict.fromkeys(LAMP_QUANTITIES, "lamp"),
    "illuminance": "lux",
}
_OPEN = ("planned", "open")
_TONIGHT = ("event", "holiday", "works", "closing-time", "measure")
Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Heard:
    """Of the devices of a kind in use: how many there are, and how many said nothing in any of the nights."""

    kind: str
    devices: int
    silent: int


@dataclass(frozen=True)
class Gaps:
    """What did not come: message numbers that are missing, of how many devices, and silent devices by kind."""

    missing: int
    devices: int
    heard: tuple[Heard, ...]


@dataclass(frozen=True)
class NightFacts:
    """What a report is of; a part is None or empty where a city or its nights lack it."""

    city: City
    nights: tuple[Night, ...]
    passing: tuple[Passing, ...]
    page: xr.Dataset | None
    differences: Differences
    sleepers: list[Sleeper]
    lamps: pd.DataFrame | None
    gaps: Gaps | None
    answers: NightAnswers
    journal: pd.DataFrame
    tonight: pd.DataFrame
    simulated: bool

    @property
    def several(self) -> bool:
        """Whether it is of a period."""
        return len(self.nights) > 1


def night_facts(city: City, wanted: Sequence[Night], tick: Tick = lambda done, total: None) -> NightFacts:
    """Gather everything of some nights, in their order; StoreError where they are too many."""
    if not 1 <= len(wanted) <= MOST_NIGHTS:
        raise StoreError(f"a night report is of 1 to {MOST_NIGHTS} nights; these are {len(wanted)}")
    chosen = tuple(sorted(wanted, key=lambda night: night.date))
    told = tuple(one for night in chosen if (one := passing(city, night)) is not None)
    page = busiest_page(city, told) if told else None
    unlike = differences(city, chosen, tick)
    asleep = sleepers(city, chosen)
    journal = read_journal(city)
    came = night_answers(city, chosen)
    simulated = (
        city.simulated
        or came.simulated
        or any(one.simulated for one in told)
        or bool((city.places("sites")["origin"] == "simulated").any())
    )
    return NightFacts(
        city,
        chosen,
        told,
        page if page is not None and "safety" in page else None,
        unlike,
        asleep,
        _lamps(city, chosen[-1]),
        _gaps(city, chosen),
        came,
        _open_actions(journal, chosen[-1]),
        _during(journal, chosen),
        simulated,
    )


def nights_between(city: City, first: Night, last: Night) -> list[Night]:
    """The nights of a period that have readings or pages; its last one where none has, so that the lack can be said."""
    days = (last.date - first.date).days + 1
    if not 1 <= days <= MOST_NIGHTS:
        raise StoreError(f"{first.name} to {last.name} is no period of 1 to {MOST_NIGHTS} nights; give two nearer ends")
    there = {day.isoformat() for day in nights(city)} | set(atlas.nights(city))
    every = [Night(first.date + timedelta(days=day), city.zone) for day in range(days)]
    return [night for night in every if night.name in there] or [last]


def _lamps(city: City, night: Night) -> pd.DataFrame | None:
    """The lamp work-list of the last night, those first that concern most; None where nothing was heard of any lamp."""
    sites = city.places("sites")
    lamps = sites["site"][sites["quantity"].isin(LAMP_QUANTITIES)].to_numpy(np.int64)
    if not len(city.places("lamps")):
        return None
    try:
        table = work_list(city, night, until=min(city_clock(city.path).now(), night.end))
    except CityError:
        return None
    plain = pd.DataFrame(table.drop(columns="geometry", errors="ignore"))
    if not len(night_records(city, night, sites=lamps.tolist())):
        # What controllers said on other nights is no news of this one; what people told stands.
        plain = plain[plain["kind"] == REPORTED]
        if plain.empty:
            return None
    return plain.sort_values(["lamps", "passages"], ascending=False, na_position="last", ignore_index=True)


def _gaps(city: City, wanted: Sequence[Night]) -> Gaps | None:
    """None where nothing came at all."""
    sites = city.places("sites")
    used = sites[_in_use(sites, wanted[-1])]
    missing, devices, spoke = 0, set(), np.zeros(0, np.int64)
    for night in wanted:
        records = night_records(city, night)
        spoke = np.union1d(spoke, np.unique(records["site"]).astype(np.int64))
        lost = gaps(records, sites)
        missing += int(lost["missing"].sum())
        devices |= set(lost["device"])
    if not spoke.size:
        return None
    heard = []
    kinds = used["quantity"].map(KIND_OF).fillna("other")
    for kind, part in used.assign(spoke=np.isin(used["site"].to_numpy(np.int64), spoke)).groupby(kinds):
        by_device = part.groupby("device")["spoke"].any()
        heard.append(Heard(str(kind), len(by_device), int((~by_device).sum())))
    return Gaps(missing, len(devices), tuple(heard))


def _in_use(sites: Any, night: Night) -> Any:
    begin, end = pd.Timestamp(night.start), pd.Timestamp(night.end)
    since, until = (pd.to_datetime(sites[name]) for name in ("valid_from", "valid_to"))
    return (since.isna() | (since < end)) & (until.isna() | (until > begin))


def _open_actions(journal: pd.DataFrame, night: Night) -> pd.DataFrame:
    """What is promised and not done: what is due first, then what began first."""
    begun = journal["start_time"].to_numpy("datetime64[ms]") <= night.end
    rows = journal[begun & journal["status"].isin(_OPEN).to_numpy() & (journal["kind"] != "holiday").to_numpy()]
    return rows.assign(none=rows["due"] == "").sort_values(["none", "due", "start_time"], ignore_index=True)


def _during(journal: pd.DataFrame, wanted: Sequence[Night]) -> pd.DataFrame:
    """What the journal has of the nights themselves."""
    begin, end = wanted[0].start, wanted[-1].end
    start = journal["start_time"].to_numpy("datetime64[ms]")
    over = journal["end_time"].to_numpy("datetime64[ms]")
    within = (start < end) & (np.where(np.isnat(over), start, over) >= begin)
    kept = within & journal["kind"].isin(_TONIGHT).to_numpy() & (journal["status"] != "dropped").to_numpy()
    return journal[kept].reset_index(drop=True)
