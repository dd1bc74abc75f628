"""What people said to a city and what it did: walks, campaigns, the journal, lamp reports, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np

from ingest.campaigns_told import CampaignTold, ServiceTold, campaigns_told, lamps_answered
from sensors.city import City
from sensors.errors import NoctuleError
from sensors.journal import read_journal
from sensors.walk import read_walk, walk_names

DEEDS = ("measure", "works", "decision", "closing-time")  # kinds of the journal that are something done
CLOSED = ("done", "dropped")
_LONGEST = 300  # characters of a cell that a page shows


@dataclass(frozen=True)
class WalkTold:
    """A walk that was held or is planned."""

    campaign: str
    title: str
    day: str
    stops: int


@dataclass(frozen=True)
class Action:
    """Something the city did or means to do; walk is the title of the walk that agreed on it."""

    kind: str
    title: str
    owner: str
    status: str
    place: str
    walk: str
    start: np.datetime64
    end: np.datetime64
    due: str
    late: bool
    outcome: str


@dataclass(frozen=True)
class YouSaid:
    """All of it.

    waits : days from a walk to its actions' end, of those closed with a day; agreed : how many actions walks agreed on
    """

    walks: list[WalkTold]
    campaigns: list[CampaignTold]
    actions: list[Action]
    lamps: list[ServiceTold]
    agreed: int
    waits: list[float]
    unread: bool  # whether something of it could not be read

    @property
    def median_days(self) -> float | None:
        """Half of the agreed actions that are closed took no longer; None where none is."""
        return median(self.waits) if self.waits else None


def you_said(city: City, now: np.datetime64) -> YouSaid:
    """What was said and done, newest first; a table that cannot be read is left out and told."""
    walks, unread = [], False
    for name in walk_names(city):
        try:
            walk = read_walk(city, name)
        except NoctuleError:
            unread = True
            continue
        walks.append(WalkTold(walk.campaign, walk.title[:_LONGEST], str(walk.date), len(walk.stops)))
    try:
        actions = _actions(city, {walk.campaign: walk.title for walk in walks}, now)
    except (NoctuleError, OSError):
        actions, unread = [], True
    try:
        campaigns = campaigns_told(city)
    except (NoctuleError, OSError):
        campaigns, unread = [], True
    agreed = [action for action in actions if action.walk]
    waits = [
        float((action.end - action.start) / np.timedelta64(1, "D"))
        for action in agreed
        if action.status in CLOSED and not np.isnat(action.end)
    ]
    walks.sort(key=lambda walk: walk.day, reverse=True)
    return YouSaid(walks, campaigns, actions, lamps_answered(city), len(agreed), waits, unread)


def _actions(city: City, titles: dict[str, str], now: np.datetime64) -> list[Action]:
    found = []
    journal = read_journal(city)
    table = journal[journal["kind"].isin(DEEDS)]
    starts, ends = (table[name].to_numpy().astype("datetime64[ms]") for name in ("start_time", "end_time"))
    for row, start, end in zip(table.to_dict("records"), starts, ends, strict=True):
        # A walk's actions name it at the beginning of their place: 'walk-ID' or 'walk-ID, stop 3: Station'.
        walk = titles.get(str(row["place"]).partition(",")[0], "")
        due = str(row["due"])[:10]
        late = bool(due) and row["status"] not in CLOSED and np.datetime64(due) < now.astype("datetime64[D]")
        place = str(row["place"]).partition(", ")[2] if walk else str(row["place"])
        found.append(
            Action(
                kind=str(row["kind"]),
                title=str(row["title"])[:_LONGEST],
                owner=str(row["owner"])[:_LONGEST],
                status=str(row["status"]),
                place=place[:_LONGEST],
                walk=walk,
                start=start,
                end=end,
                due=due,
                late=late,
                outcome=str(row["outcome"])[:_LONGEST],
            )
        )
    return sorted(found, key=lambda action: action.start, reverse=True)
