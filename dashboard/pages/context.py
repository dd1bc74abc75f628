"""What every page is given: who asks for what, in which language, of which city."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import parse_qs

from dashboard.about_facts import AboutFacts
from dashboard.audit import audit
from dashboard.basemap import Basemap
from dashboard.delay import may_see, nights_of
from dashboard.limits import Limits
from dashboard.next_places import NextPlaces
from dashboard.night_coverage import NightCoverage
from dashboard.operations import OperationsDesk
from dashboard.place_table import PlaceNames
from dashboard.roles import COOKIE
from dashboard.runs import Runs
from dashboard.scene import Viewer
from dashboard.visitors import VISITOR, Visitor, Visitors
from dashboard.words import Words, words
from sensors.city import City
from sensors.clock import Clock

THEMES = ("dark", "light", "contrast", "projector")


@dataclass(frozen=True)
class House:
    """What the server holds for as long as it runs."""

    city: City
    clock: Clock
    runs: Runs
    basemap: Basemap
    switch: bool  # whether visitors may choose their role: the demo on this machine
    role: str  # everyone's role where they may not
    palette: str  # address of the colour tables, without the ground
    coverage: NightCoverage = field(default_factory=NightCoverage)
    next_places: NextPlaces = field(default_factory=NextPlaces)
    place_names: PlaceNames = field(default_factory=PlaceNames)
    about: AboutFacts = field(default_factory=AboutFacts)
    operations: OperationsDesk = field(default_factory=OperationsDesk)
    here: bool = True  # whether only this machine reaches us
    limits: Limits = field(default_factory=Limits)

    @cached_property
    def visitors(self) -> Visitors:
        """Says of each request who sends it."""
        return Visitors(self.city, self.switch, self.role, here=self.here)

    def who(self, cookies: Mapping[str, str] | None = None) -> Visitor:
        """Who sends the request that is being answered; outside one, everyone, or whom the demo's switch chose."""
        chosen = (cookies or {}).get(COOKIE, "")
        return VISITOR.get() or Visitor(self.visitors.role_without_request(chosen))

    def note(self, what: str, detail: str = "") -> None:
        """Keep in the audit trail what the sender of this request did."""
        who = self.who()
        audit(self.visitors.desk, who.name, what, detail, who.role)

    def role_of(self, cookies: Mapping[str, str]) -> str:
        """The role of who sends the request that is being answered."""
        return self.who(cookies).role

    def may_run(self, role: str, run: str) -> bool:
        """Whether a role may see a run of the atlas as old as it is now."""
        return may_see(role, run, self.runs, self.clock)

    def nights_of(self, role: str) -> list[str]:
        """The runs of all nights that a role may see, oldest first."""
        return nights_of(role, self.runs, self.clock)


@dataclass(frozen=True)
class Asked:
    """One request for a page: its query, and who asks."""

    path: str
    query: dict[str, str]
    role: str
    say: Words

    @property
    def viewer(self) -> Viewer:
        """Who looks, and in which language."""
        return Viewer(self.role, self.say)


def theme_of(text: str) -> str:
    """The theme that an address chooses; empty where it leaves it to the device."""
    return text if text in THEMES else ""


def asked(path: str, search: str, role: str) -> Asked:
    """Read a page's address; of a value that is given twice the first counts, overlong ones are dropped."""
    query = {name: values[0] for name, values in parse_qs(search.lstrip("?")[:2000]).items() if len(values[0]) <= 160}
    return Asked(path, query, role, words(query.get("lang")))
