"""What may be told of the answers to who looks after them: campaigns with counts, and what waits in quarantine.

Counts of fewer than ten people are not told, as nowhere; no single answer ever is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from ingest.campaigns import campaigns, campaigns_off, read_campaign
from ingest.quarantine import quarantined, read_decisions, read_quarantine
from sensors.city import City


@dataclass(frozen=True)
class CampaignRow:
    """One campaign. answers, people and held are None where fewer people than the release rule asks are behind them."""

    campaign: str
    on: bool
    origin: str
    answers: int | None
    people: int | None
    oldest: str  # days, empty where the counts are not told
    newest: str
    cases: int  # that wait in quarantine


@dataclass(frozen=True)
class CaseRow:
    """One case in quarantine: which rule, how many answers against how many usually, decided or not.

    answers is None where there are fewer than the release rule asks; neither place nor hour nor pseudonym is told.
    """

    case: str
    campaign: str
    night: str
    rule: str
    answers: int | None
    usual: float
    probability: float
    state: str
    held: str


@dataclass(frozen=True)
class Desk:
    """All of it."""

    campaigns: list[CampaignRow]
    cases: list[CaseRow]
    decisions: list[dict[str, Any]]
    fewest: int

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json; a probability that a rule does not give is null."""
        content = asdict(self)
        for case in content["cases"]:
            case["probability"] = None if np.isnan(case["probability"]) else case["probability"]
        return content

    def text(self) -> str:
        """For people."""
        lines = [f"{len(self.campaigns)} campaigns"]
        for row in self.campaigns:
            count = (
                f"{row.answers} answers of {row.people} people" if row.answers else f"fewer than {self.fewest} people"
            )
            off = "" if row.on else ", switched off"
            wait = f", {row.cases} cases wait" if row.cases else ""
            lines.append(f"  {row.campaign}: {count}{off}{wait} ({row.origin})")
        waiting = [case for case in self.cases if case.state == "waiting"]
        lines.append(f"{len(waiting)} cases wait, {len(self.cases) - len(waiting)} are decided")
        lines += [f"  {case.case}  {case.state:<8}{case.campaign}, night of {case.night}: {_why(case, self.fewest)}"
                  for case in self.cases]  # fmt: skip
        return "\n".join(lines)


def answers_desk(city: City) -> Desk:
    """Campaigns and cases of a city, the newest case first."""
    fewest = city.settings.release.minimum_people
    cases = [row for name in quarantined(city) for row in _cases(city, name)]
    on, off = campaigns(city), campaigns_off(city)
    names = sorted({*on, *off, *quarantined(city)})
    rows = [_campaign(city, name, name not in off, cases, fewest) for name in names]
    order = sorted(cases, key=lambda case: (case.state != "waiting", case.held, case.case))
    return Desk(rows, order, read_decisions(city), fewest)


def _campaign(city: City, name: str, on: bool, cases: list[CaseRow], fewest: int) -> CampaignRow:
    table = read_campaign(city, name)
    people = int(table["pseudonym"].nunique())
    told = people >= fewest
    days = table["time"].dt.strftime("%Y-%m-%d") if told else pd.Series(dtype=str)
    waiting = sum(case.campaign == name and case.state == "waiting" for case in cases)
    return CampaignRow(
        campaign=name,
        on=on,
        origin=str(table["origin"].iloc[0]) if len(table) else "",
        answers=int(table["response_id"].nunique()) if told else None,
        people=people if told else None,
        oldest=days.min() if told else "",
        newest=days.max() if told else "",
        cases=waiting,
    )


def _cases(city: City, campaign: str) -> list[CaseRow]:
    held = read_quarantine(city, campaign)
    from sensors.night import nights_of

    night = nights_of(held["time"].to_numpy().astype("datetime64[ms]"), city.zone).astype(str)
    fewest = city.settings.release.minimum_people
    rows = []
    for case, members in held.assign(night=night).groupby("case", sort=True):
        first = members.iloc[0]
        rows.append(
            CaseRow(
                case=str(case),
                campaign=campaign,
                night=str(members["night"].min()),
                rule=str(first["rule"]),
                answers=n if (n := int(members["response_id"].nunique())) >= fewest else None,
                usual=float(first["usual"]),
                probability=float(members["probability"].min()),
                state=str(first["state"]),
                held=f"{members['held'].min():%Y-%m-%dT%H:%M}Z",
            )
        )
    return rows


def _why(case: CaseRow, fewest: int) -> str:
    chance = "" if np.isnan(case.probability) else f", by chance with a probability of {case.probability:.1g}"
    n = f"fewer than {fewest}" if case.answers is None else str(case.answers)
    return {
        "many": f"{n} answers of one pseudonym in a night; more than {case.usual:.0f} are looked at",
        "burst": f"{n} answers in one place and hour, usually {case.usual:.1f}{chance}",
        "alike": f"{n} answers that agree in everything, in one place and hour{chance}",
        "surprise": f"{n} answers unlike what the model expected there{chance}",
    }.get(case.rule, f"{n} answers ({case.rule}{chance})")
