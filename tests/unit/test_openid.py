"""An OpenID provider on loopback that lies as it is told to: only what is true begins a session."""

import base64
import json
import time
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from dashboard.accounts import sign_in_desk
from dashboard.app import build
from dashboard.audit import trail
from sensors.city import City, SignInSettings, write_settings
from tests.openid_provider import Provider
from tests.unit.test_app import ask
from tests.unit.test_signing_in import cookie_of, may_plan, served, with_cookie

SECRET = "between the two of us"


@pytest.fixture(scope="module")
def running():
    made = Provider()
    yield made
    made.stop()


@pytest.fixture
def provider(running):
    running.keys, running.key, running.header = [running.good], running.good, {"alg": "RS256", "kid": "one"}
    running.claims, running.codes, running.asked, running.calls = {}, {}, [], []
    return running


@pytest.fixture(scope="module")
def city(running, tmp_path_factory):
    return served(
        tmp_path_factory.mktemp("openid") / "town",
        public_url="http://127.0.0.1:8050", issuer=running.issuer, client_id="noctule", label="City <b>account</b>",
        roles={"lights": "planner", "walkers": "viewer"},
    )  # fmt: skip


@pytest.fixture
def app(city):
    return build(city.path, warm=False, oidc_secret=SECRET)


def begin(app, query=""):
    """The provider's address, and the cookie that this browser keeps."""
    status, headers, _ = ask(app, f"/sign-in/provider?{query}")
    assert status == 303
    return headers["location"], cookie_of(headers)


def come_back(app, query, kept):
    return ask(app, "/sign-in/back?" + urlencode(query), headers=with_cookie(kept) if kept else [])


def walk(app, provider):
    to, kept = begin(app)
    return come_back(app, provider.login(to), kept)


def test_who_comes_back_from_the_provider_is_signed_in_with_the_role_of_their_group(app, provider):
    assert b"City &lt;b&gt;account&lt;/b&gt;" in ask(app, "/sign-in")[2]
    to, kept = begin(app, "next=%2Fplan%3Flang%3Dfr")
    query = parse_qs(urlsplit(to).query)
    assert query["code_challenge_method"] == ["S256"] and query["response_type"] == ["code"]
    assert query["redirect_uri"] == ["http://127.0.0.1:8050/sign-in/back"] and query["scope"] == ["openid profile"]
    assert SECRET not in to
    status, headers, _ = come_back(app, provider.login(to), kept)
    assert (status, headers["location"]) == (303, "/plan?lang=fr")
    assert may_plan(app, with_cookie(cookie_of(headers)))
    form, authorization = provider.asked[0]
    assert base64.b64decode(authorization.removeprefix("Basic ")).decode().startswith("noctule:")
    assert "client_secret" not in form


def test_the_provider_is_asked_about_itself_once(app, provider):
    for _ in range(3):
        walk(app, provider)
    assert provider.calls.count("/.well-known/openid-configuration") == 1 and provider.calls.count("/keys") == 1


OTHER = RSAKey.generate_key(2048, {"kid": "one"}, auto_kid=False)
LIES = {
    "another nonce": {"claims": {"nonce": "another"}},
    "no nonce": {"claims": {"nonce": None}},
    "another audience": {"claims": {"aud": "somebody-else"}},
    "two audiences without saying which": {"claims": {"aud": ["noctule", "somebody-else"]}},
    "two audiences and the other's": {"claims": {"aud": ["noctule", "x"], "azp": "x"}},
    "no audience": {"claims": {"aud": None}},
    "another issuer": {"claims": {"iss": "http://127.0.0.1:1"}},
    "expired": {"claims": {"exp": int(time.time()) - 3600}},
    "no end": {"claims": {"exp": None}},
    "from the future": {"claims": {"iat": int(time.time()) + 3600}},
    "not yet": {"claims": {"nbf": int(time.time()) + 3600}},
    "a hash of another access token": {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}},
    "nobody": {"claims": {"preferred_username": None, "sub": ""}},
    "signed by another": {"key": OTHER},
    "signed by nobody": {"header": {"alg": "none"}},
    "signed with a secret": {
        "header": {"alg": "HS256", "kid": "one"}, "key": OctKey.import_key(SECRET + " and a little longer to be one")
    },
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_token_that_is_not_true_begins_no_session(app, provider, city, lie):
    for name, value in LIES[lie].items():
        setattr(provider, name, value)
    status, headers, body = walk(app, provider)
    assert status == 400 and b"Signing in did not work" in body
    assert "noctule_session=" not in headers["set-cookie"] and not may_plan(app, with_cookie(cookie_of(headers)))
    assert "sign-in failed" in [line["what"] for line in trail(sign_in_desk(city))[-2:]]


@pytest.mark.parametrize("groups", [[], ["strangers"], "strangers", None, {"lights": 1}, [["lights"]], 7])
def test_a_person_without_a_group_that_has_a_role_is_refused_and_told(app, provider, city, groups):
    provider.claims = {"groups": groups}
    status, headers, body = walk(app, provider)
    assert (
        status == 400 and b"anna has no role in this city" in body and "noctule_session=" not in headers["set-cookie"]
    )
    line = trail(sign_in_desk(city))[-1]
    assert (line["who"], line["what"]) == ("anna", "sign-in refused")


def test_of_several_groups_the_one_that_may_most_counts(app, provider):
    provider.claims = {"groups": ["walkers", "lights", "others"]}
    assert may_plan(app, with_cookie(cookie_of(walk(app, provider)[1])))
    provider.claims = {"groups": ["walkers"]}
    assert not may_plan(app, with_cookie(cookie_of(walk(app, provider)[1])))


def test_a_new_key_of_the_provider_is_fetched_and_an_old_one_forgotten(app, provider, monkeypatch):
    walk(app, provider)
    monkeypatch.setattr("dashboard.openid._KEYS_AGAIN_S", 0.0)
    provider.key = ECKey.generate_key("P-256", {"kid": "two"}, auto_kid=False)
    provider.keys, provider.header = [provider.key], {"alg": "ES256", "kid": "two"}
    assert walk(app, provider)[0] == 303
    provider.key, provider.header = provider.good, {"alg": "RS256", "kid": "one"}
    assert walk(app, provider)[0] == 400


@pytest.mark.parametrize(
    "change",
    [
        {"state": "another"}, {"state": ""}, {"code": ""}, {"code": "guessed"}, {"iss": "https://evil.example"},
        {"error": "access_denied"}, {"error": "<script>alert(1)</script>"},
    ],
)  # fmt: skip
def test_an_answer_that_was_not_asked_for_is_refused(app, provider, change):
    to, kept = begin(app)
    status, headers, body = come_back(app, provider.login(to) | change, kept)
    assert status == 400 and "noctule_session=" not in headers["set-cookie"] and b"alert(1)" not in body


def test_an_answer_belongs_to_the_browser_that_asked(app, provider):
    to, kept = begin(app)
    query = provider.login(to)
    assert come_back(app, query, "")[0] == 400  # another browser, which was made to open the address
    assert come_back(app, query, begin(app)[1])[0] == 400  # or which had begun an attempt of its own
    assert come_back(app, query, kept + "; " + begin(app)[1])[0] == 400  # or was given a second cookie
    assert come_back(app, query, kept)[0] == 303
    assert come_back(app, query, kept)[0] == 400  # a code is good for once


def _packed(**content):
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize(
    "kept",
    ["e30", "W10", "%%%", "A" * 9000, _packed(state=""), _packed(state="\ud800", nonce="a", verifier="b")],
)  # fmt: skip
def test_a_cookie_that_is_none_of_ours_begins_nothing(app, provider, kept):
    assert come_back(app, {"code": "x", "state": ""}, f"noctule_session-oidc={kept}")[0] == 400


def test_who_comes_back_again_and_again_is_slowed_and_fills_no_trail(app, provider, city):
    before = len(trail(sign_in_desk(city)))
    forged = f"noctule_session-oidc={_packed(state='a', nonce='b', verifier='c')}"
    answers = [come_back(app, {"code": "guess", "state": "a"}, forged) for _ in range(13)]
    assert [status for status, _, _ in answers] == [400] * 10 + [429] * 3
    assert b"Too many attempts" in answers[-1][2] and answers[-1][1]["retry-after"] == "12"
    assert len(provider.asked) <= 10 and len(trail(sign_in_desk(city))) == before + 10


def test_where_to_go_is_looked_at_again_when_somebody_comes_back(app, provider):
    to, kept = begin(app, "next=%2F%2Fevil.example")
    assert come_back(app, provider.login(to), kept)[1]["location"] == "/"
    name, _, packed = begin(app)[1].partition("=")
    content = json.loads(base64.urlsafe_b64decode(packed + "=="))
    to, kept = begin(app)
    content = json.loads(base64.urlsafe_b64decode(kept.partition("=")[2] + "=="))
    content["next"] = "https://evil.example"
    forged = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
    assert come_back(app, provider.login(to), f"{name}={forged}")[1]["location"] == "/"


def test_a_provider_that_calls_itself_otherwise_or_does_not_answer_is_told_in_a_sentence(city, provider, tmp_path):
    for issuer in (provider.issuer + "/other", provider.issuer + "/", "http://127.0.0.1:9"):
        settings = SignInSettings(
            public_url="http://127.0.0.1:8050", issuer=issuer, client_id="noctule", roles={"*": "viewer"}
        )
        made = served(tmp_path / "town")
        write_settings(made.path, city.settings.__class__(**{**_fields(made.settings), "sign_in": settings}))
        status, headers, body = ask(build(City.open(made.path).path, warm=False), "/sign-in/provider")
        assert status == 502 and b"Signing in did not work" in body and "location" not in headers


def _fields(settings):
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


def test_over_https_the_attempt_is_kept_by_this_host_alone(provider, tmp_path):
    made = served(
        tmp_path / "town", public_url="https://night.example.org", issuer=provider.issuer, client_id="noctule",
        roles={"*": "viewer"},
    )  # fmt: skip
    app = build(made.path, warm=False)
    _, headers, _ = ask(app, "/sign-in/provider")
    assert headers["set-cookie"].startswith("__Host-noctule-oidc=") and "; Secure" in headers["set-cookie"]
    provider.claims = {"groups": []}
    to, kept = begin(app)
    assert come_back(app, provider.login(to), kept)[0] == 303  # "*": whoever the provider lets in
    assert provider.asked[-1][1] == "" and provider.asked[-1][0]["client_id"] == "noctule"  # a client without a secret
