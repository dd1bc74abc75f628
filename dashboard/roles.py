"""Who may see what. Checked on the server in every handler, never by hiding a link.

Until sign-in exists (an issue of its own), the role comes from a cookie that the page's own switch sets, on a server
that listens on this machine only; the page says so. Without the switch everyone has one role: 'viewer' on a server
that only this machine reaches, 'public' on any other.
"""

from __future__ import annotations

ROLES = ("public", "viewer", "planner", "researcher")
COOKIE = "noctule_role"

_MAY: dict[str, frozenset[str]] = {
    "live": frozenset({"viewer", "planner", "researcher"}),
    "nights": frozenset({"viewer", "planner", "researcher"}),
    "plan": frozenset({"planner"}),
    "export": frozenset({"researcher"}),
    "report": frozenset({"viewer", "planner", "researcher"}),
    "lighting": frozenset({"planner"}),
    "answers": frozenset({"planner", "researcher"}),
    "sensors": frozenset({"viewer", "planner", "researcher"}),
}


def may(role: str, thing: str) -> bool:
    """Whether a role may see a thing, one of 'live', 'nights', 'plan', 'export', 'report', 'lighting' and so on."""
    return role in _MAY[thing]


def may_run(role: str, run: str) -> bool:
    """Whether a role may see a run of the atlas."""
    if run.startswith("public-"):
        return True
    if run.startswith("plan-"):
        return may(role, "plan")
    return may(role, "live" if run == "now" else "nights")


def role_of(chosen: str, switch: bool, otherwise: str) -> str:
    """The role of who asks: what the demo's switch chose, or everyone's role where there is no switch.

    >>> role_of("planner", True, "viewer"), role_of("planner", False, "public"), role_of("admin", True, "viewer")
    ('planner', 'public', 'viewer')
    """
    return chosen if switch and chosen in ROLES else otherwise
