"""Where a request comes from and how: whom we believe about it, and under which names we may be asked.

Only a proxy of `sign_in.proxy_addresses` is believed when it says for whom it speaks; the server itself believes none.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from starlette.types import Scope

from sensors.city import SignInSettings

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"via", b"x-real-ip")


class Peers:
    """Who may speak for others.

    here : whether only this machine reaches us
    """

    def __init__(self, settings: SignInSettings, *, here: bool) -> None:
        self._proxies = [ip_network(text) for text in settings.proxy_addresses]
        url = urlsplit(settings.public_url)
        self._https = url.scheme == "https"
        # A name that leads to this machine without being ours would make every page of ours that page's own
        # (DNS rebinding); behind a proxy a wrong name is a setting that is missing.
        self._hosts = {*LOOPBACK, *settings.hosts, *([url.hostname] if url.hostname else [])}
        self._any_host = not here and not settings.public_url

    def trusted(self, scope: Scope) -> bool:
        """Whether the request comes straight from one of our proxies."""
        return self._is_proxy(_peer(scope))

    def address(self, scope: Scope) -> str:
        """The address that asks: behind our proxies the last one that is none of them."""
        peer = _peer(scope)
        if not self._is_proxy(peer):
            return peer
        said = b",".join(values(scope, b"x-forwarded-for")).decode("latin-1")[:2000]
        for hop in reversed(said.split(",")):
            address = hop.strip()
            if address and not self._is_proxy(address):
                return address if _is_address(address) else peer
        return peer

    def secure(self, scope: Scope) -> bool:
        """Whether the browser speaks https with us."""
        if self._https or scope.get("scheme") == "https":
            return True
        return self.trusted(scope) and values(scope, b"x-forwarded-proto") == [b"https"]

    def may_sign_in(self, scope: Scope) -> bool:
        """Whether a password may be sent this way: by https, or without leaving this machine."""
        if self.secure(scope):
            return True
        straight = not any(values(scope, name) for name in _FORWARDED)
        return straight and _is_address(_peer(scope)) and ip_address(_peer(scope)).is_loopback

    def known_host(self, scope: Scope) -> bool:
        """Whether we are asked by a name of ours."""
        if self._any_host:
            return True
        given = values(scope, b"host")
        if len(given) != 1:
            return False
        host = given[0].decode("latin-1").lower()
        name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
        return name in self._hosts

    def _is_proxy(self, address: str) -> bool:
        if not self._proxies or not _is_address(address):
            return False
        parsed = ip_address(address)
        return any(parsed.version == network.version and parsed in network for network in self._proxies)


def values(scope: Scope, name: bytes) -> list[bytes]:
    """All values of a header, in the order in which they came."""
    return [bytes(value) for key, value in scope["headers"] if key == name]


def _peer(scope: Scope) -> str:
    return str((scope.get("client") or ("",))[0])


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
