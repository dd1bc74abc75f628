"""Which nights a role may see now: all, those that are old enough for the public, or the public's own.

A partner sees a night as finely as a viewer does, and as late as the public.
"""

from __future__ import annotations

from functools import lru_cache

from analytics.atlas import night_meta
from analytics.publishing import is_old
from dashboard.roles import may, may_run
from dashboard.runs import Runs
from sensors.city import City
from sensors.clock import Clock
from sensors.errors import NoctuleError


def nights_of(role: str, runs: Runs, clock: Clock) -> list[str]:
    """The runs of all nights that a role may see, oldest first."""
    if may(role, "nights"):
        return runs.nights()
    if may(role, "old nights"):
        return [name for name in runs.nights() if _old(name, runs, clock)]
    return runs.nights(public=True)


def may_see(role: str, run: str, runs: Runs, clock: Clock) -> bool:
    """Whether a role may see a run of the atlas at this time."""
    return may_run(role, run, lambda night: _old(night, runs, clock))


def _old(night: str, runs: Runs, clock: Clock) -> bool:
    stamp = runs.stamp(night)
    try:
        steps = () if stamp is None else _steps(runs.city, night, stamp)
    except (NoctuleError, OSError, KeyError, ValueError):  # replaced while it was read; the next look succeeds
        return False
    return bool(steps) and is_old(runs.city, {"steps": steps}, clock.now())


@lru_cache(maxsize=2048)
def _steps(city: City, night: str, _stamp: tuple[int, ...]) -> tuple[str, ...]:
    """The last step of a night as its page stands, without opening the page: of a year there are many."""
    meta = night_meta(city, night)
    return tuple(meta["steps"][-1:]) if meta else ()
