"""Campaigns and lamp reports as anybody may be told them: no number of few people, and none that a sum gives away.

The number of all answers is told elsewhere. So where campaigns of too few people are there, the smallest of the others
is not told either: what is left after taking the told ones from the sum is then enough people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingest.answers_desk import CampaignRow, answers_desk
from ingest.lamp_reports import answering, lamp_reports
from sensors.city import City
from sensors.errors import NoctuleError


@dataclass(frozen=True)
class CampaignTold:
    """One campaign; answers and people are None where they are not told."""

    campaign: str
    origin: str
    answers: int | None
    people: int | None
    oldest: str  # days, empty where the numbers are not told
    newest: str


@dataclass(frozen=True)
class ServiceTold:
    """How a service answers lamp reports; None where there are too few of them to be told."""

    service: str
    reports: int | None
    answered: int | None
    median_days: float | None  # None also where none was answered yet


def campaigns_told(city: City) -> list[CampaignTold]:
    """The campaigns of a city, the newest first, those without told numbers last."""
    rows = [row for row in answers_desk(city).campaigns if row.origin]  # all of it in quarantine: nothing to tell
    hidden = kept_back(rows)
    told = [
        CampaignTold(row.campaign, row.origin, None, None, "", "")
        if row.campaign in hidden
        else CampaignTold(row.campaign, row.origin, row.answers, row.people, row.oldest, row.newest)
        for row in rows
    ]
    return sorted(told, key=lambda one: (one.newest, one.campaign), reverse=True)


def kept_back(rows: list[CampaignRow]) -> set[str]:
    """Campaigns whose numbers are not told: those of few people, and with any of these the smallest of the others."""
    few = {row.campaign for row in rows if row.people is None}
    if not few:
        return set()
    others = [row for row in rows if row.people is not None]
    smallest = {min(others, key=lambda row: (row.people or 0, row.campaign)).campaign} if others else set()
    return few | smallest


def lamps_answered(city: City) -> list[ServiceTold]:
    """How services answer what people reported about lamps, by the app's own times; none where no app was imported."""
    try:
        table = lamp_reports(city)
    except (NoctuleError, OSError):
        return []
    fewest = city.settings.release.minimum_people
    rows = []
    for name, said in sorted(answering(table).items()):
        if said.reports < fewest:
            rows.append(ServiceTold(name, None, None, None))
        else:
            median = None if np.isnan(said.median_days) else float(said.median_days)
            rows.append(ServiceTold(name, said.reports, said.answered, median))
    return rows
