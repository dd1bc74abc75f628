"""An OpenID provider: where it sends people, what it says of them when they come back, whether to believe it.

Authorization code flow with PKCE (RFC 7636), state and nonce (OpenID Connect Core 1.0, 3.1); the ID token is believed
only with a signature by a key of the provider's, our own client in its audience, our nonce, and within its time.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sensors.city import SignInSettings

if TYPE_CHECKING:
    from joserfc.jwk import KeySet
    from joserfc.jwt import Token

# Signatures with keys that only the provider has; never 'none', never a secret that two know.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
LEEWAY_S = 60
BACK = "/sign-in/back"
_WAIT_S = 5.0
_KEPT_S = 3600.0  # what a provider says of itself
_KEYS_AGAIN_S = 60.0  # a token with an unknown key makes us look for new ones, not oftener


class OpenIdError(Exception):
    """What a provider sent cannot be believed, or it does not answer."""


@dataclass(frozen=True)
class Try:
    """One attempt to sign in, kept by the browser that makes it: nobody else can bring it to its end."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class Person:
    """Whom the provider names: `groups` are the values of its roles claim."""

    name: str
    groups: tuple[str, ...]


def new_try() -> Try:
    """Fresh secrets for one attempt."""
    return Try(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48))


class Provider:
    """The provider of a city.

    secret : the client's; empty for a client without one, which PKCE alone then protects
    """

    def __init__(self, settings: SignInSettings, secret: str) -> None:
        self._settings, self._secret = settings, secret
        self._lock = threading.Lock()
        self._told: tuple[float, dict[str, Any]] = (-1e9, {})
        self._keys: tuple[float, KeySet | None] = (-1e9, None)

    def address(self, attempt: Try) -> str:
        """Where to send the browser."""
        with self._client() as client:
            url, _ = client.create_authorization_url(
                self._endpoint("authorization_endpoint"),
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
            )
        return str(url)

    def person(self, attempt: Try, query: Mapping[str, str]) -> Person:
        """Who comes back; OpenIdError says why they are not believed.

        query : of the address to which the provider sent the browser
        """
        if not hmac.compare_digest(query.get("state", "").encode(), attempt.state.encode()):
            raise OpenIdError("state is not the one that this browser was given")
        if query.get("iss", self._settings.issuer) != self._settings.issuer:  # RFC 9207
            raise OpenIdError("the answer names another issuer")
        if query.get("error"):
            raise OpenIdError(f"the provider says {query['error'][:60]}")
        if not query.get("code"):
            raise OpenIdError("the answer holds no code")
        token = self._token(query["code"], attempt)
        claims = self._claims(token, attempt.nonce)
        return Person(self._name(claims), tuple(_groups(claims, self._settings.roles_claim)))

    def _token(self, code: str, attempt: Try) -> Mapping[str, Any]:
        import httpx
        from authlib.integrations.base_client import OAuthError

        endpoint = self._endpoint("token_endpoint")
        try:
            with self._client() as client:
                token: Mapping[str, Any] = client.fetch_token(
                    endpoint, grant_type="authorization_code", code=code, code_verifier=attempt.verifier
                )
        except (OAuthError, httpx.HTTPError, ValueError) as error:
            raise OpenIdError(f"the code was not taken: {type(error).__name__}") from error
        return token

    def _claims(self, token: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import JoseError

        raw = token.get("id_token")
        if not isinstance(raw, str):
            raise OpenIdError("there is no ID token in the answer")
        try:
            decoded = self._decoded(raw)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                {
                    "iss": {"essential": True, "value": self._settings.issuer},
                    "aud": {"essential": True, "value": self._settings.client_id},
                },
                {"nonce": nonce, "client_id": self._settings.client_id, "access_token": token.get("access_token")},
            )
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise OpenIdError(f"the ID token is not to be believed: {error}"[:200]) from error
        return dict(claims)

    def _decoded(self, raw: str) -> Token:
        from joserfc import jwt
        from joserfc.errors import JoseError

        try:
            return jwt.decode(raw, self._key_set(), algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            # Signed by a key that we have not seen, or by nobody: worth one look at the provider's keys.
            if time.monotonic() - self._keys[0] < _KEYS_AGAIN_S:
                raise
            return jwt.decode(raw, self._key_set(fresh=True), algorithms=ALGORITHMS)

    def _name(self, claims: Mapping[str, Any]) -> str:
        for name in (self._settings.name_claim, "email", "sub"):
            value = claims.get(name)
            if isinstance(value, str) and value.strip() and value.isprintable():
                return value.strip()[:80]
        raise OpenIdError("the ID token names nobody")

    def _client(self) -> Any:
        # Few cities have a provider, and these take half a second to load.
        from authlib.integrations.httpx_client import OAuth2Client

        told = self._metadata()
        ways = told.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        way = "client_secret_basic" if "client_secret_basic" in ways else "client_secret_post"
        return OAuth2Client(
            client_id=self._settings.client_id,
            client_secret=self._secret or None,
            scope=" ".join(self._settings.scopes),
            redirect_uri=self._settings.public_url + BACK,
            token_endpoint_auth_method=way if self._secret else "none",
            code_challenge_method="S256",
            timeout=_WAIT_S,
            follow_redirects=False,
        )

    def _endpoint(self, name: str) -> str:
        value = self._metadata().get(name)
        plain = self._settings.issuer.startswith("http://")  # a provider on this machine, for trying
        if not isinstance(value, str) or not value.startswith(("https://", "http://") if plain else "https://"):
            raise OpenIdError(f"the provider tells no {name} that can be used")
        return value

    def _metadata(self) -> dict[str, Any]:
        with self._lock:
            made, told = self._told
            if time.monotonic() - made < _KEPT_S:
                return told
            told = _fetched(self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
            if told.get("issuer") != self._settings.issuer:  # Discovery 4.3
                raise OpenIdError("the provider calls itself otherwise than sign_in.issuer")
            self._told = (time.monotonic(), told)
            return told

    def _key_set(self, *, fresh: bool = False) -> KeySet:
        from joserfc.jwk import KeySet

        made, keys = self._keys
        if keys is None or fresh or time.monotonic() - made > _KEPT_S:
            keys = KeySet.import_key_set(_fetched(self._endpoint("jwks_uri")))  # type: ignore[arg-type]  # checked by it
            self._keys = (time.monotonic(), keys)
        return keys


def _fetched(url: str) -> dict[str, Any]:
    import httpx

    try:
        answer = httpx.get(url, timeout=_WAIT_S, follow_redirects=False)
        answer.raise_for_status()
        content = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise OpenIdError(f"the provider does not answer: {type(error).__name__}") from error
    if not isinstance(content, dict):
        raise OpenIdError("the provider answers something else than was asked")
    return content


def _groups(claims: Mapping[str, Any], path: str) -> list[str]:
    """The values of a claim, of which points lead deeper; a text is one value."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return [found]
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
