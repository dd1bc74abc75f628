"""Which nights a role may see now: all, those that are old enough for the public, or the public's own.

A partner sees a night as finely as a viewer does, and as late as the public.
"""

from __future__ import annotations

from analytics.publishing import is_old
from dashboard.roles import may, may_run
from dashboard.runs import Runs
from sensors.clock import Clock


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
    run = runs.get(night)
    return run is not None and bool(run.meta.get("steps")) and is_old(runs.city, run.meta, clock.now())
