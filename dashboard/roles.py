"""Who may see and do what. Checked on the server in every handler, never by hiding a link.

`public` is anybody, `partner` an association, a venue or students, `viewer` a working group; `_MAY` says what each may.
Without sign-in the role comes from a cookie that the page's own switch sets, on a server that listens on this machine
only; the page says so. Without the switch everyone has one role: 'viewer' on a server that only this machine reaches,
'public' on any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sensors.city import ROLES

COOKIE = "noctule_role"
__all__ = ["COOKIE", "ROLES", "mapped_role", "may", "may_run", "role_of"]

_TONIGHT = frozenset({"viewer", "planner", "researcher", "admin"})
_MAY: dict[str, frozenset[str]] = {
    "live": _TONIGHT,
    "nights": _TONIGHT,
    "old nights": _TONIGHT | {"partner"},  # as fine as a viewer's, and as late as the public's
    "plan": frozenset({"planner", "admin"}),
    "export": frozenset({"researcher", "admin"}),
    "report": _TONIGHT,
    "lighting": frozenset({"planner", "admin"}),
    "answers": frozenset({"planner", "researcher", "admin"}),
    "sensors": _TONIGHT,
    "journal": frozenset({"viewer", "planner", "admin"}),
    "operations": frozenset({"admin"}),
}


def may(role: str, thing: str) -> bool:
    """Whether a role may see or do a thing, one of 'live', 'nights', 'plan', 'export', 'journal' and so on."""
    return role in _MAY[thing]


def may_run(role: str, run: str, old: Callable[[str], bool]) -> bool:
    """Whether a role may see a run of the atlas; `old` says of a night whether it is old enough for the public.

    >>> [may_run("partner", run, lambda night: night < "2026-11-20") for run in ("2026-11-19", "2026-11-20", "now")]
    [True, False, False]
    """
    if run.startswith("public-"):
        return True
    if run.startswith("plan-"):
        return may(role, "plan")
    if run == "now":
        return may(role, "live")
    return may(role, "nights") or (may(role, "old nights") and old(run))


def role_of(chosen: str, switch: bool, otherwise: str) -> str:
    """The role of who asks: what the demo's switch chose, or everyone's role where there is no switch.

    >>> role_of("planner", True, "viewer"), role_of("planner", False, "public"), role_of("root", True, "viewer")
    ('planner', 'public', 'viewer')
    """
    return chosen if switch and chosen in ROLES else otherwise


def mapped_role(said: Iterable[str], roles: Mapping[str, str]) -> str | None:
    """The role of somebody of whom a provider or a proxy says these groups; of several the one that may most.

    >>> mapped_role(["staff", "lights"], {"lights": "planner", "staff": "viewer"}), mapped_role(["x"], {"y": "admin"})
    ('planner', None)
    """
    found = {roles[group] for group in (*said, "*") if group in roles}
    return max(found, key=ROLES.index, default=None)
