"""How much of each night is mapped.

What is known of a night is kept by the stamp of its page, so that a thousand nights cost a thousand looks at a file's
date and not a thousand openings.
"""

from __future__ import annotations

from threading import Lock

from analytics import atlas
from dashboard.runs import PUBLIC, Runs
from dashboard.usual import level_of
from sensors.city import City
from sensors.errors import NoctuleError

Share = tuple[int, int]  # closed steps, all steps


class NightCoverage:
    """How many steps of each night are closed."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], Share]] = {}
        self._lock = Lock()

    def of(self, runs: Runs, names: list[str]) -> dict[str, Share]:
        """Closed and all steps of the runs named; those whose page cannot be read are left out."""
        found = {}
        for name in names:
            stamp = runs.stamp(name)
            if stamp is None:
                continue
            with self._lock:
                known = self._known.get(name)
            if known is None or known[0] != stamp:
                share = _share(runs.city, name)
                if share is None:
                    continue
                known = (stamp, share)
                with self._lock:
                    self._known[name] = known
            found[name] = known[1]
        return found


def _share(city: City, name: str) -> Share | None:
    try:
        meta = atlas.night_meta(city, name.removeprefix(PUBLIC), level_of(name))
        return None if meta is None else (len(meta["closed"]), len(meta["steps"]))
    except (NoctuleError, OSError, KeyError, ValueError):  # replaced while it was read; the next look succeeds
        return None
