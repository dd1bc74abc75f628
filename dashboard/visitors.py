"""Who asks, decided once for each request: by the demo's switch, a proxy of ours, a session, or nobody in particular.

Nothing that a browser sends is a role. The cookie names a session whose role stands on the desk; a proxy's header
counts only when the request comes straight from that proxy; the demo's switch is for a server that only this machine
reaches.
"""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import Scope

from dashboard.accounts import sign_in_desk
from dashboard.audit import audit
from dashboard.desk import Desk
from dashboard.peers import Peers, values
from dashboard.roles import COOKIE, mapped_role, role_of
from dashboard.sessions import Session, Sessions
from sensors.city import City

SECURE_COOKIE = "__Host-noctule"  # only https sets it, and no other host of the domain can
PLAIN_COOKIE = "noctule_session"  # on this machine without https
_LONGEST_NAME = 80
_SAID_AGAIN_S = 3600.0  # a proxy that is not believed is told of once in a while

_log = logging.getLogger("noctule.dashboard")


@dataclass(frozen=True)
class Visitor:
    """Who asks: a role and, of who is signed in, a name; `way` is 'account', 'oidc', 'proxy', 'switch' or ''."""

    role: str
    name: str = ""
    way: str = ""
    key: str = ""  # of the session, for what is counted by it
    address: str = ""  # where the request came from; it is counted by and never written down


# The visitor of the request that is being answered; the gate sets it, and callbacks run within it.
VISITOR: ContextVar[Visitor | None] = ContextVar("noctule_visitor", default=None)


class Visitors:
    """Says who asks.

    switch : whether visitors choose their role; otherwise : everyone's role where nobody can sign in
    here : whether only this machine reaches us
    """

    def __init__(self, city: City, switch: bool, otherwise: str, *, here: bool = True) -> None:
        self.settings = city.settings.sign_in
        self.desk: Desk = sign_in_desk(city)
        self.sessions = Sessions(self.desk, self.settings)
        self.peers = Peers(self.settings, here=here)
        self._switch, self._otherwise = switch, otherwise
        self._header = self.settings.proxy_header.lower().encode()
        self._groups = self.settings.proxy_role_header.lower().encode()
        self._said_s = -1e9

    @property
    def sign_in(self) -> bool:
        """Whether people can sign in here: a provider, a proxy or an account is there, and it is no demo."""
        if self._switch:
            return False
        return bool(self.settings.issuer or self._header) or self.sessions.any_account()

    def of(self, scope: Scope) -> Visitor:
        """Who sends a request."""
        address = self.peers.address(scope)
        if self._switch:
            return Visitor(role_of(cookie(scope, COOKIE), True, self._otherwise), way="switch", address=address)
        if (named := self._by_proxy(scope, address)) is not None:
            return named
        session = self.session(scope)
        if session is not None:
            return Visitor(session.role, session.name, session.way, session.key, address)
        return Visitor("public" if self.sign_in else self._otherwise, address=address)

    def session(self, scope: Scope) -> Session | None:
        """The session that a request's cookie names."""
        token = self.token(scope)
        return self.sessions.of(token) if token else None

    def token(self, scope: Scope) -> str:
        """The token in the cookie of the way by which the browser came."""
        return cookie(scope, SECURE_COOKIE if self.peers.secure(scope) else PLAIN_COOKIE)

    def role_without_request(self, chosen: str) -> str:
        """Everyone's role, or the one that the demo's switch chose."""
        return role_of(chosen, self._switch, "public" if self.sign_in else self._otherwise)

    def _by_proxy(self, scope: Scope, address: str) -> Visitor | None:
        if not self._header:
            return None
        given = values(scope, self._header)
        if not given:
            return None
        if not self.peers.trusted(scope):
            self._say_ignored()
            return None
        name = given[0].decode("utf-8", "replace").strip()
        groups = values(scope, self._groups) if self._groups else []
        # A header that stands twice was sent once by the visitor, and a proxy that lets it through is set up wrongly.
        if len(given) > 1 or len(groups) > 1 or not name or len(name) > _LONGEST_NAME or not name.isprintable():
            self._say_ignored()
            return None
        said = [part.strip() for part in b",".join(groups).decode("utf-8", "replace").split(",") if part.strip()]
        role = mapped_role(said, self.settings.roles) or "public"
        return Visitor(role, name, "proxy", f"proxy {name}", address)

    def _say_ignored(self) -> None:
        if time.monotonic() - self._said_s < _SAID_AGAIN_S:
            return
        self._said_s = time.monotonic()
        _log.warning("the header %s came from elsewhere than sign_in.proxy_addresses, or twice, and was ignored",
                     self.settings.proxy_header)  # fmt: skip
        audit(self.desk, "", "proxy header ignored", self.settings.proxy_header, "public")


def cookie(scope: Scope, name: str) -> str:
    """The value of a cookie; empty where it is not there, or there twice with different values.

    Who can set cookies for a neighbouring name can put a second one beside ours, and which comes first is theirs.
    """
    found = set()
    for header in values(scope, b"cookie"):
        for part in header.decode("latin-1").split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                found.add(value.strip('"'))
    return found.pop() if len(found) == 1 else ""
