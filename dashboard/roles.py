"""Who may see what. Checked on the server in every handler, never by hiding a link.

Until sign-in exists (an issue of its own), the role comes from a cookie that the page's own switch sets, on a server
that listens on this machine only; the page says so. A server that others can reach serves the public role and nothing
else.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

ROLES = ("public", "viewer", "planner", "researcher")
COOKIE = "noctule_role"
_START = "viewer"

_MAY: dict[str, frozenset[str]] = {
    "live": frozenset({"viewer", "planner", "researcher"}),
    "nights": frozenset({"viewer", "planner", "researcher"}),
    "plan": frozenset({"planner"}),
    "export": frozenset({"researcher"}),
    "sensors": frozenset({"viewer", "planner", "researcher"}),
}


def may(role: str, thing: str) -> bool:
    """Whether a role may see a thing: 'live', 'nights', 'plan', 'export' or 'sensors'."""
    return role in _MAY[thing]


def may_run(role: str, run: str) -> bool:
    """Whether a role may see a run of the atlas."""
    if run.startswith("public-"):
        return True
    if run.startswith("plan-"):
        return may(role, "plan")
    return may(role, "live" if run == "now" else "nights")


def role_of(cookie: str, switch: bool) -> str:
    """The role behind a request's Cookie header; 'public' wherever the demo's switch is off.

    >>> role_of("noctule_role=planner", switch=True), role_of("noctule_role=planner", switch=False)
    ('planner', 'public')
    """
    if not switch:
        return ROLES[0]
    try:
        jar = SimpleCookie(cookie)
    except CookieError:
        return _START
    chosen = jar[COOKIE].value if COOKIE in jar else _START
    return chosen if chosen in ROLES else _START
