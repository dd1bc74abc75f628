"""Who answered, group by group, beside the people whom the city says there are: shares and never numbers.

By the rule of `analytics.audit`: no share is told of a group of too few people, and those too few even together count
with the largest, so that no difference tells their number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from analytics.audit import population_shares, sample_shares
from analytics.fitting import answers_to_fit
from analytics.model import current_model
from analytics.release import enough
from sensors.city import City
from sensors.errors import ModelError
from sensors.night import Night

Shares = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Told:
    """One group: its share of those who answered, of the people out at night and of the residents, 0..1.

    sample : None where too few people are of it; nobody : whether nobody is; out, residents : None where the city does
    not say
    """

    column: str
    code: str
    sample: float | None
    nobody: bool
    out: float | None
    residents: float | None

    @property
    def under(self) -> bool:
        """Whether clearly fewer of it answered than live here, or are out where only that is known."""
        known = self.residents if self.residents is not None else self.out
        if known is None or known <= 0:
            return False
        return self.nobody or (self.sample is not None and self.sample < 0.8 * known)


@dataclass(frozen=True)
class WhoAnswered:
    """All groups, and how many answers of how many people; `rows` is empty where not even all are enough people."""

    answers: int
    people: int
    enough: bool
    rows: tuple[Told, ...]


def who_answered(city: City) -> WhoAnswered:
    """Who gave the answers that the map rests on; before a first fit, all that there are."""
    try:
        night = Night.named(str(current_model(city)["night"]), city.zone)
    except ModelError:
        night = None
    table, _ = answers_to_fit(city, night)
    rule, settings = city.settings.release, city.settings
    if not len(table) or not enough(table, rule.minimum_people, rule.maximum_share):
        return WhoAnswered(0, 0, False, ())
    out, residents = _shares(settings.group_shares), _shares(settings.resident_shares)
    rows = tuple(
        Told(
            one.column,
            one.code,
            one.sample.value if one.sample.value == one.sample.value else None,  # NaN where too few
            one.nobody,
            out.get((one.column, one.code)),
            residents.get((one.column, one.code)),
        )
        for one in sample_shares(table, {}, people=rule.minimum_people, share=rule.maximum_share)
    )
    return WhoAnswered(len(table), int(table["pseudonym"].nunique()), True, rows)


def _shares(said: Mapping[str, float]) -> Shares:
    """What the city says of each group; a key that is none is left out here, and a fit refuses it by name."""
    out: dict[tuple[str, str], float] = {}
    for key, share in said.items():
        with contextlib.suppress(ModelError):
            out |= population_shares({key: share})
    return out
