"""Signing in: sessions, accounts and the trail, and what is asked of them by people who should not."""

import asyncio
import sqlite3
import subprocess
import sys
import time

import pytest
from msgspec.structs import replace

from dashboard.accounts import Accounts, sign_in_desk
from dashboard.app import build
from dashboard.audit import AUDIT, audit, purge, trail
from dashboard.desk import Desk
from dashboard.limits import MOST_STREAMS, RATES, Limits
from dashboard.peers import Peers
from dashboard.sessions import Sessions
from dashboard.signing_in import safe_next
from dashboard.visitors import Visitor, cookie
from sensors.city import City, SignInSettings, write_settings
from sensors.errors import AccountError, CityError
from tests.shared_data import ROOT
from tests.synthetic_city import make_city
from tests.unit.test_app import ask

PASSWORD = "three bats over the moon"
FORM = (b"content-type", b"application/x-www-form-urlencoded")


def served(folder, **settings):
    """A city with a purpose and settings of sign-in, and its folder."""
    made = make_city(folder)
    purpose = replace(made.settings.purpose, uses=("night walks",), responsible="the city")
    write_settings(made.path, replace(made.settings, purpose=purpose, sign_in=SignInSettings(**settings)))
    return City.open(made.path)


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    made = served(tmp_path_factory.mktemp("city") / "smalltown")
    accounts = Accounts(sign_in_desk(made))
    accounts.add("anna", "planner", PASSWORD)
    accounts.add("gone", "admin", PASSWORD)
    accounts.disable("gone")
    return made


@pytest.fixture
def app(city):
    return build(city.path, warm=False)


def sign_in(app, name="anna", password=PASSWORD, headers=(), **more):
    fields = "&".join(f"{key}={value}" for key, value in {"name": name, "password": password, **more}.items())
    return ask(app, "/sign-in", method="POST", body=fields.replace(" ", "+").encode(), headers=[FORM, *headers])


def cookie_of(headers):
    return headers["set-cookie"].partition(";")[0]


def with_cookie(text):
    return [(b"cookie", text.encode())]


def may_plan(app, headers=()):
    return ask(app, "/lighting?hour=23:00", headers=headers)[0] != 403


def test_a_password_begins_a_session_whose_role_is_the_accounts(app):
    status, headers, _ = sign_in(app, next="/plan?lang=fr".replace("?", "%3F").replace("=", "%3D"))
    assert (status, headers["location"]) == (303, "/plan?lang=fr")
    assert headers["set-cookie"].startswith("noctule_session=") and "; HttpOnly; SameSite=Lax" in headers["set-cookie"]
    assert may_plan(app, with_cookie(cookie_of(headers))) and not may_plan(app)


def test_what_lies_on_disk_is_neither_the_password_nor_the_token(app, city):
    _, headers, _ = sign_in(app)
    token = cookie_of(headers).partition("=")[2]
    held = b"".join(path.read_bytes() for path in city.shelf("").glob("desk.sqlite*"))
    assert token.encode() not in held and PASSWORD.encode() not in held and b"$argon2id$" in held


@pytest.mark.parametrize(
    ("name", "password"),
    [("anna", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD), ("", ""), ("a' OR 1=1 --", PASSWORD), ("anna", "")],
)
def test_a_wrong_password_and_a_name_that_is_not_there_read_the_same(app, name, password):
    status, headers, body = sign_in(app, name, password)
    assert status == 400 and "set-cookie" not in headers
    assert body == sign_in(app, "other", "x" * 30)[2]
    assert b"Name or password is not right." in body


def test_a_name_that_is_not_there_costs_what_a_wrong_password_costs(city):
    accounts = Accounts(sign_in_desk(city))

    def cost(name):
        start = time.perf_counter()
        accounts.role_for(name, "wrong but long enough")
        return time.perf_counter() - start

    cost("anna"), cost("nobody")
    known, unknown = min(cost("anna") for _ in range(5)), min(cost("nobody") for _ in range(5))
    assert 0.5 < known / unknown < 2


def test_signing_out_ends_the_session_on_the_server(app):
    mine = with_cookie(cookie_of(sign_in(app)[1]))
    assert may_plan(app, mine)
    status, headers, _ = ask(app, "/sign-out?lang=fr", method="POST", headers=[FORM, *mine])
    assert status == 303 and "Max-Age=0" in headers["set-cookie"] and headers["location"] == "/sign-in?lang=fr&out=1"
    assert not may_plan(app, mine)


@pytest.mark.parametrize(
    "change",
    [
        lambda accounts: accounts.set_role("bea", "viewer"),
        lambda accounts: accounts.set_password("bea", "another long sentence"),
        lambda accounts: accounts.disable("bea"),
        lambda accounts: accounts.remove("bea"),
    ],
)
def test_a_change_of_the_account_ends_its_sessions_with_the_next_request(city, change):
    accounts = Accounts(sign_in_desk(city))
    accounts.add("bea", "planner", PASSWORD)
    try:
        apps = [build(city.path, warm=False) for _ in range(2)]  # two web workers
        mine = with_cookie(cookie_of(sign_in(apps[0], "bea")[1]))
        assert all(may_plan(app, mine) for app in apps)
        change(accounts)  # by another process: it knows nothing of these two
        assert not any(may_plan(app, mine) for app in apps)
    finally:
        if accounts.there("bea"):
            accounts.remove("bea")


def test_an_event_stream_ends_with_the_session_that_opened_it(city, app, monkeypatch):
    monkeypatch.setattr("dashboard.push.HEARTBEAT_S", 0.05)
    desk, heard = sign_in_desk(city), []
    sessions = Sessions(desk, SignInSettings())
    token = sessions.open("anna", "planner", "account")
    scope = {
        "type": "http", "method": "GET", "path": "/live/events", "raw_path": b"/live/events", "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8050"), (b"cookie", f"noctule_session={token}".encode())], "scheme": "http",
        "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8050), "root_path": "", "http_version": "1.1",
    }  # fmt: skip

    async def stays():
        await asyncio.Event().wait()

    async def send(message):
        heard.append(message.get("body", b""))
        if len(heard) == 4:
            sessions.close(token)

    asyncio.run(asyncio.wait_for(app(scope, stays, send), 20))
    assert 4 <= len(heard) <= 6 and b": heartbeat" in b"".join(heard)


def test_a_session_ends_when_it_was_idle_and_in_any_case(city, monkeypatch):
    desk, now = sign_in_desk(city), time.time()
    clock = [now]
    monkeypatch.setattr("dashboard.sessions.time.time", lambda: clock[0])

    def seen(after_s):
        clock[0] = now + after_s
        return Sessions(desk, SignInSettings(idle_hours=1, longest_hours=3)).of(token) is not None

    token = Sessions(desk, SignInSettings()).open("anna", "planner", "account")
    assert [seen(hours * 3600) for hours in (0.9, 1.8, 2.7, 3.1)] == [True, True, True, False]
    clock[0] = now
    token = Sessions(desk, SignInSettings()).open("anna", "planner", "account")
    assert not seen(1.1 * 3600)


def test_what_was_read_before_the_desk_changed_is_not_remembered_after_it(city, monkeypatch):
    sessions, other = (Sessions(sign_in_desk(city), SignInSettings()) for _ in range(2))
    token, neighbour = (other.open("anna", "planner", "account") for _ in range(2))
    read = sessions._read

    def read_and_then_it_ends(digest):
        found = read(digest)
        monkeypatch.setattr(sessions, "_read", read)
        other.close(token)
        assert sessions.of(neighbour) is not None  # another request of this process sees that the desk changed
        return found

    monkeypatch.setattr(sessions, "_read", read_and_then_it_ends)
    assert sessions.of(token) is not None  # it was open when it was read
    assert sessions.of(token) is None


def test_who_writes_for_long_holds_up_no_request(city, monkeypatch):
    desk, now = sign_in_desk(city), time.time()
    sessions = Sessions(desk, SignInSettings())
    token = sessions.open("anna", "planner", "account")
    monkeypatch.setattr("dashboard.sessions.time.time", lambda: now + 120)  # when it was last used is to be noted
    writer = sqlite3.connect(desk.path)
    try:
        writer.execute("BEGIN IMMEDIATE")
        start = time.perf_counter()
        assert sessions.of(token) is not None
        assert time.perf_counter() - start < 2
    finally:
        writer.close()


def test_a_token_that_a_browser_brings_is_never_taken_over(app):
    fixed = "noctule_session=" + "A" * 43
    status, headers, _ = sign_in(app, headers=with_cookie(fixed))
    assert status == 303 and cookie_of(headers) != fixed
    assert not may_plan(app, with_cookie(fixed))
    again = sign_in(app, headers=with_cookie(cookie_of(headers)))[1]
    assert not may_plan(app, with_cookie(cookie_of(headers))) and may_plan(app, with_cookie(cookie_of(again)))


def test_a_second_cookie_of_the_same_name_makes_both_worthless(app):
    mine = cookie_of(sign_in(app)[1])
    assert not may_plan(app, with_cookie(f"{mine}; noctule_session={'B' * 43}"))
    assert not may_plan(app, [*with_cookie(f"noctule_session={'B' * 43}"), *with_cookie(mine)])
    scope = {"headers": [(b"cookie", b'a="1"; b=2; a=1')]}
    assert cookie(scope, "a") == "1"


@pytest.mark.parametrize(
    "forged",
    ["noctule_role=admin", "role=admin", "noctule_session=admin", "__Host-noctule=" + "A" * 43,
     "noctule_session=" + "\xff" * 43],
)  # fmt: skip
def test_a_role_cannot_be_sent(app, forged):
    assert not may_plan(app, [(b"cookie", forged.encode("latin-1"))])
    assert not may_plan(app, [(b"x-forwarded-user", b"anna"), (b"x-role", b"admin"), (b"authorization", b"Basic YTph")])


def test_over_https_the_cookie_is_the_hosts_alone_and_the_plain_one_counts_no_more(tmp_path):
    city = served(tmp_path / "town", public_url="https://night.example.org")
    Accounts(sign_in_desk(city)).add("anna", "planner", PASSWORD)
    app = build(city.path, warm=False)
    set_cookie = sign_in(app)[1]["set-cookie"]
    assert set_cookie.startswith("__Host-noctule=") and "; Secure" in set_cookie and "Path=/;" in set_cookie
    token = set_cookie.partition(";")[0]
    assert may_plan(app, with_cookie(token))
    assert not may_plan(app, with_cookie(token.replace("__Host-noctule", "noctule_session")))


def test_passwords_are_not_taken_over_an_open_connection(city):
    app = build(city.path, warm=False, here=False, role="public")
    for told in (b"x-forwarded-for", b"via", b"forwarded"):  # a proxy that nobody told us of
        status, headers, body = sign_in(app, headers=[(told, b"192.0.2.7")])
        assert status == 400 and "set-cookie" not in headers and b"https" in body
    assert sign_in(app)[0] == 303


@pytest.mark.parametrize("host", [b"evil.example", b"evil.example:8050", b"127.0.0.1.evil.example", b""])
def test_a_server_on_this_machine_answers_to_no_other_name(city, app, host):
    asked = [(b"sec-fetch-site", b"same-origin")]
    scope_host = [(b"host", host)]
    status, _, body = ask(app, "/live/scene", headers=[*asked, *scope_host])  # a second host beside the first
    assert status == 421 and b"sign_in.public_url" in body


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example", "///evil.example", "/\\evil.example", "https://evil.example/plan", "javascript:alert(1)",
        "/plan\r\nset-cookie: a=b", "/%0d%0a", "/nowhere", "/sign-out", "plan", "", "/\x00", "/plan/../x", "\\\\x",
        "/é", "http:/plan", "//127.0.0.1:8050/plan", "/" + "a" * 700,
    ],
)  # fmt: skip
def test_nobody_is_sent_elsewhere_afterwards(to):
    assert safe_next(to) == "/"


def test_one_is_sent_back_to_where_one_was():
    for to in ("/plan?lang=fr&scenario=a", "/research?night=2026-11-20&lang=en", "/about", "/about/privacy", "/"):
        assert safe_next(to) == to


@pytest.mark.parametrize(
    "headers",
    [
        [(b"sec-fetch-site", b"cross-site")], [(b"sec-fetch-site", b"same-site")],
        [(b"origin", b"https://evil.example")], [(b"origin", b"null")],
        [(b"sec-fetch-site", b"same-origin"), (b"sec-fetch-site", b"cross-site")],
        [(b"origin", b"http://127.0.0.1:8050"), (b"origin", b"https://evil.example")],
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/_dash-update-component", "/role", "/ask"])
def test_another_site_cannot_sign_anybody_in_or_out_or_press_a_button(app, path, headers):
    assert ask(app, path, method="POST", body=b"{}", headers=[FORM, *headers])[0] == 403


@pytest.mark.parametrize("kind", [b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data", b""])
def test_callbacks_take_json_alone_which_no_form_of_another_site_can_send(app, kind):
    status = ask(app, "/_dash-update-component", method="POST", body=b"{}", headers=[(b"content-type", kind)])[0]
    assert status == 415


@pytest.mark.parametrize("kind", [b"text/plain", b"application/json", b"multipart/form-data; boundary=x"])
def test_the_form_is_taken_as_a_form_alone(app, kind):
    body = b'{"name":"anna","password":"three bats over the moon"}'
    assert ask(app, "/sign-in", method="POST", body=body, headers=[(b"content-type", kind)])[0] == 415


def test_a_form_of_five_megabytes_and_one_without_an_end_are_refused(app):
    assert ask(app, "/sign-in", method="POST", headers=[FORM, (b"content-length", b"5000000")])[0] == 413
    chunked = [FORM, (b"transfer-encoding", b"chunked")]
    assert ask(app, "/sign-in", method="POST", body=b"a" * 5_000_000, headers=chunked)[0] == 413
    assert ask(app, "/role", method="POST", body=b"a" * 1_000_001, headers=chunked)[0] == 413
    assert ask(app, "/sign-in", method="POST", body=b"name=" + b"a" * 5_000, headers=chunked)[0] == 413


def test_a_field_that_is_sent_twice_is_refused(app):
    twice = b"name=anna&name=gone&password=x"
    assert ask(app, "/sign-in", method="POST", body=twice, headers=[FORM])[0] == 400


SCRIPT = '"><script>alert(1)</script>'


def test_a_script_in_any_field_is_never_part_of_the_page(app):
    from urllib.parse import quote

    fields = {key: quote(SCRIPT) for key in ("next", "lang", "theme")}
    pages = [sign_in(app, quote(SCRIPT), quote(SCRIPT), **fields)[2]]
    pages += [ask(app, "/sign-in?" + "&".join(f"{key}={value}" for key, value in fields.items()))[2]]
    for page in pages:
        assert b"<script" not in page and b"alert(1)" not in page
    assert "default-src 'none'" in ask(app, "/sign-in")[1]["content-security-policy"]


def test_the_page_may_not_be_framed_or_kept(app):
    _, headers, _ = ask(app, "/sign-in")
    assert "frame-ancestors 'none'" in headers["content-security-policy"] and headers["cache-control"] == "no-store"


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_page_speaks_both_languages_and_says_who_is_signed_in(app, language):
    assert f'<html lang="{language}"'.encode() in ask(app, f"/sign-in?lang={language}")[2]
    mine = with_cookie(cookie_of(sign_in(app)[1]))
    assert b"anna" in ask(app, f"/sign-in?lang={language}", headers=mine)[2]


@pytest.mark.parametrize(
    "path", ["//sign-in", "/sign-in/", "/sign-in//x", "/sign-in/../city.toml", "/sign-in/form.css/..", "/sign-out"]
)
def test_addresses_beside_these_are_not_there(app, path):
    assert ask(app, path)[0] in (404, 405)


def test_guessing_is_slowed_and_a_right_password_waits_as_well(app):
    answers = [sign_in(app, "anna", f"guess number {number}")[0] for number in range(13)]
    assert answers[:10] == [400] * 10 and answers[10:] == [429] * 3
    status, headers, body = sign_in(app)
    assert status == 429 and int(headers["retry-after"]) == 12 and b"Too many attempts" in body


def test_without_accounts_provider_or_proxy_everything_is_as_before(tmp_path):
    city = served(tmp_path / "town")
    app = build(city.path, warm=False)
    assert ask(app, "/overlay/sensors.json")[0] == 200
    assert b'type="password"' not in ask(app, "/sign-in")[2]
    assert sign_in(app)[0] == 400
    assert not city.shelf("desk.sqlite").exists()


def test_with_an_account_who_is_not_signed_in_is_public(app):
    assert ask(app, "/overlay/sensors.json")[0] == 403


def test_the_demo_keeps_its_switch_and_knows_no_sign_in(city):
    app = build(city.path, switch=True, warm=False)
    assert may_plan(app, with_cookie("noctule_role=planner"))
    assert ask(app, "/overlay/sensors.json")[0] == 200
    assert sign_in(app)[0] == 400


# ------------------------------------------------------------------------------------------------------- a proxy

PROXY = {
    "public_url": "https://night.example.org",
    "proxy_header": "X-Forwarded-User",
    "proxy_role_header": "X-Forwarded-Groups",
    "roles": {"lights": "planner", "staff": "viewer"},
}
NAMED = [(b"x-forwarded-user", b"anna@example.org"), (b"x-forwarded-groups", b"staff, lights")]


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    city = served(tmp_path_factory.mktemp("proxy") / "town", **PROXY, proxy_addresses=("127.0.0.1",))
    return city, build(city.path, warm=False)


def test_a_proxy_of_ours_says_who_asks(behind):
    _, app = behind
    assert may_plan(app, NAMED) and not may_plan(app)
    assert not may_plan(app, NAMED[:1])  # somebody without a group that has a role


@pytest.mark.parametrize(
    "headers",
    [
        [*NAMED, (b"x-forwarded-user", b"eve")], [*NAMED, (b"x-forwarded-groups", b"lights")],
        [(b"x_forwarded_user", b"anna"), NAMED[1]], [(b"x-forwarded-user", b""), NAMED[1]],
        [(b"x-forwarded-user", b"a\x1b[2J"), NAMED[1]], [(b"x-forwarded-user ", b"anna"), NAMED[1]],
    ],
)  # fmt: skip
def test_a_header_that_a_visitor_adds_to_the_proxys_makes_them_nobody(behind, headers):
    assert not may_plan(behind[1], headers)


def test_the_header_of_anybody_else_is_ignored_and_told_once(tmp_path):
    city = served(tmp_path / "town", **PROXY, proxy_addresses=("10.0.0.5",))
    app = build(city.path, warm=False)
    spoofed = [*NAMED, (b"x-forwarded-for", b"10.0.0.5")]
    assert not any(may_plan(app, spoofed) for _ in range(3))
    lines = trail(sign_in_desk(city))
    assert [line["what"] for line in lines].count("proxy header ignored") == 1


def test_the_address_behind_proxies_is_the_last_that_is_none_of_them():
    peers = Peers(SignInSettings(proxy_addresses=("10.0.0.0/24",)), here=False)

    def address(peer, said):
        return peers.address({"client": (peer, 1), "headers": [(b"x-forwarded-for", said.encode())] if said else []})

    assert address("10.0.0.5", "203.0.113.9, 198.51.100.7, 10.0.0.6") == "198.51.100.7"
    assert address("198.51.100.1", "203.0.113.9") == "198.51.100.1"
    assert address("10.0.0.5", "nonsense") == address("10.0.0.5", "") == "10.0.0.5"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"public_url": "night.example.org"}, "public_url"),
        ({"roles": {"x": "root"}}, "expected one of public"),
        ({"issuer": "http://login.example.org", "client_id": "a"}, "issuer"),
        ({"issuer": "https://login.example.org"}, "needs sign_in.client_id"),
        ({"proxy_header": "X Forwarded"}, "name of a header"),
        ({"proxy_header": "X-User"}, "needs sign_in.proxy_addresses"),
        ({"proxy_header": "X-User", "proxy_addresses": ("0.0.0.0/0",), "roles": {"*": "viewer"}}, "proxy_addresses"),
        ({"idle_hours": 80.0}, "idle_hours"),
        ({"hosts": ("a b",)}, "hosts"),
    ],
)
def test_wrong_settings_are_named(tmp_path, settings, said):
    with pytest.raises(CityError, match=said):
        served(tmp_path / "town", **settings)


# ------------------------------------------------------------------------------------------------ limits and trail


def test_playing_at_eight_times_and_panning_never_meet_a_limit(monkeypatch):
    limits, clock = Limits(), [0.0]
    monkeypatch.setattr("dashboard.limits.time.monotonic", lambda: clock[0])
    viewer = Visitor("viewer", "anna", "account", "key", "192.0.2.1")
    for frame in range(8 * 300):  # five minutes on two maps, with a dozen frames ahead at the start
        clock[0] = frame / 8
        assert all(limits.wait_s("tiles", viewer) == 0 for _ in range(14 if frame == 0 else 2))
        assert limits.wait_s("callbacks", viewer) == 0
    assert sum(limits.wait_s("tiles", viewer) == 0 for _ in range(1000)) <= RATES["tiles"].burst + 1


def test_a_flood_of_one_session_leaves_another_its_share():
    limits = Limits()
    one, other = (Visitor("viewer", name, "account", name, "192.0.2.1") for name in "ab")
    assert any(limits.wait_s("exports", one) for _ in range(20))
    assert limits.wait_s("exports", other) == 0


def test_streams_are_four_a_session_and_bounded_in_all():
    limits = Limits()
    viewer = Visitor("viewer", "anna", "account", "key", "192.0.2.1")
    assert [limits.stream_begins(viewer) for _ in range(5)] == [True] * 4 + [False]
    limits.stream_ends(viewer)
    assert limits.stream_begins(viewer)
    begun = sum(limits.stream_begins(Visitor("public", address=f"192.0.2.{n}")) for n in range(10) for _ in range(200))
    assert begun == MOST_STREAMS - 4


def test_five_plans_a_minute_are_computed_for_a_session():
    limits = Limits()
    planner = Visitor("planner", "anna", "account", "key")
    assert [limits.wait_s("jobs", planner) > 0 for _ in range(6)] == [False] * 5 + [True]


def test_a_limit_answers_429_and_when_to_come_again(app):
    mine = with_cookie(cookie_of(sign_in(app)[1]))
    answers = [ask(app, "/lighting?hour=99", headers=mine) for _ in range(11)]
    assert [status for status, _, _ in answers] == [404] * 10 + [429]
    assert answers[-1][1]["retry-after"] == "360"


def test_the_trail_says_who_did_what_and_holds_no_address(city):
    app = build(city.path, warm=False)
    mine = with_cookie(cookie_of(sign_in(app)[1]))
    sign_in(app, "anna", "wrong wrong wrong")
    sign_in(app, "my secret password", "x")
    assert ask(app, "/lighting?hour=23:00&format=csv", headers=mine)[0] == 200
    assert ask(app, "/export?night=2026-11-20&format=csv", headers=mine)[0] == 403
    ask(app, "/sign-out", method="POST", headers=[FORM, *mine])
    lines = [(line["who"], line["role"], line["what"]) for line in trail(sign_in_desk(city))]
    for line in [
        ("anna", "planner", "sign-in"), ("anna", "public", "sign-in failed"), ("", "public", "sign-in failed"),
        ("anna", "planner", "lighting"), ("anna", "planner", "refused"), ("anna", "planner", "sign-out"),
    ]:  # fmt: skip
        assert line in lines
    held = b"".join(path.read_bytes() for path in city.shelf("").glob("desk.sqlite*"))
    assert b"127.0.0.1" not in held and b"my secret" not in held


def test_a_refusal_that_is_repeated_is_one_line(city):
    app = build(city.path, warm=False)
    before = len(trail(sign_in_desk(city)))
    for _ in range(20):
        assert ask(app, "/export?night=2026-11-20&format=csv")[0] == 403
    assert len(trail(sign_in_desk(city))) == before + 1


def test_the_trail_only_grows(city, tmp_path):
    desk = Desk(make_city(tmp_path / "town"), *AUDIT)
    audit(desk, "anna", "sign-in\n\x1b[2J", "a" * 900)
    for wrong in ("UPDATE audit SET who = 'eve'", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="only grows"), desk.open() as connection:
            connection.execute(wrong)
    (line,) = trail(desk)
    assert line["who"] == "anna" and line["what"] and len(line["detail"]) == 300


def test_a_purge_takes_what_is_old_and_says_so(tmp_path):
    desk = Desk(make_city(tmp_path / "town"), *AUDIT)
    audit(desk, "anna", "sign-in")
    with desk.open() as connection:
        connection.execute(
            "INSERT INTO audit (time, who, role, what, detail) "
            "VALUES ('2024-01-05T00:00:00.000Z', 'bea', '', 'export', '')"
        )
    with pytest.raises(AccountError, match="last 30 days"):
        purge(desk, "2100-01-01")
    for asks in (purge, trail):
        with pytest.raises(AccountError, match="no day"):
            asks(desk, "yesterday")
    assert [line["what"] for line in trail(desk, "2024-01-06")] == ["sign-in"]
    assert purge(desk, "2024-02-01") == 1
    assert [line["what"] for line in trail(desk)] == ["sign-in", "purge"]
    with pytest.raises(sqlite3.IntegrityError), desk.open() as connection:
        connection.execute("DELETE FROM audit")


# ------------------------------------------------------------------------------------------------------ commands


def noctule(*arguments, said=""):
    return subprocess.run(
        [sys.executable, str(ROOT / "noctule.py"), *map(str, arguments)],
        input=said, capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip


def test_an_account_is_made_changed_and_removed_by_commands(tmp_path):
    import json

    city = served(tmp_path / "town").path
    made = noctule("account", "add", city, "Anna", "--role", "planner", "--stdin", said=PASSWORD + "\n")
    assert (made.returncode, made.stdout) == (0, "anna may sign in as planner.\n")
    assert noctule("account", "role", city, "anna", "researcher").returncode == 0
    Sessions(sign_in_desk(City.open(city)), SignInSettings()).open("anna", "researcher", "account")
    assert noctule("account", "sign-out", city, "Anna").stdout == "1 sessions of Anna ended.\n"
    rows = json.loads(noctule("account", "list", city, "--json").stdout)
    assert [(row["name"], row["role"], row["disabled"], row["sessions"]) for row in rows] == [
        ("anna", "researcher", False, 0)
    ]
    assert "everyone has one role" in noctule("account", "remove", city, "anna").stdout
    told = json.loads(noctule("account", "audit", city, "--json").stdout)
    assert [line["what"] for line in told] == [
        "account added", "account role", "sessions ended", "account removed"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "role", "password", "said"),
    [
        ("anna", "root", PASSWORD, "expected one of public, partner, viewer"),
        ("anna", "viewer", "short", "must have 12 to 256"),
        ("anna", "viewer", "anna anna anna", "holds the name"),
        ("Anna", "viewer", "Anna and Anna", "holds the name"),
        ("anna", "viewer", "aaaaaaaaaaaaaa", "over and over"),
        ("an na", "viewer", PASSWORD, "can be no account"),
        ("Ünal", "viewer", PASSWORD, "can be no account"),
        ("twice", "viewer", PASSWORD, "already"),
    ],
)
def test_an_account_that_cannot_be_is_refused_with_what_would_do(city, name, role, password, said):
    accounts = Accounts(sign_in_desk(city))
    if name == "twice" and not accounts.there("twice"):
        accounts.add("twice", role, password)
    with pytest.raises(AccountError, match=said) as refusal:
        accounts.add(name, role, password)
    assert PASSWORD not in str(refusal.value)


def test_a_short_name_may_stand_in_a_sentence(city):
    accounts = Accounts(sign_in_desk(city))
    accounts.add("ba", "viewer", PASSWORD)
    assert accounts.role_for("ba", PASSWORD) == "viewer"


def test_changing_an_account_that_is_not_there_is_refused(city):
    accounts = Accounts(sign_in_desk(city))
    for change in (
        lambda: accounts.remove("x"),
        lambda: accounts.disable("x"),
        lambda: accounts.set_role("x", "viewer"),
    ):
        with pytest.raises(AccountError, match="there is no account 'x'"):
            change()
