"""Who may what: every route and every server callback that is registered, for every role.

The tables are explicit. A route or a callback that they do not name fails here, and is to be added with who may use it:
a link that is hidden protects nothing, since a browser may send any request.
"""

import ast
import inspect
import json
import shutil
import textwrap

import numpy as np
import pytest
from msgspec.structs import replace

from dashboard.accounts import Accounts, sign_in_desk
from dashboard.app import build
from dashboard.gate import KINDS
from dashboard.push import heard_by
from dashboard.roles import ROLES
from dashboard.routes import Routes
from dashboard.sessions import Sessions
from dashboard.visitors import PLAIN_COOKIE
from sensors.city import City, write_settings
from sensors.clock import set_clock
from tests import synthetic_atlas
from tests.synthetic_city import make_city
from tests.unit.test_app import ask

OLD, TONIGHT = "2026-11-18", "2026-11-20"  # at the test's time the public may see the first, and nobody but viewers
ALL = frozenset(ROLES)
WORKING = ALL - {"public", "partner"}  # who sees tonight
PLANNING = frozenset({"planner", "admin"})
RESEARCHING = frozenset({"researcher", "admin"})
ANSWERING = frozenset({"planner", "researcher", "admin"})

# The first part of an address -> requests under it and who may make them; the others get 403. Of a method and an
# address a '{...}' stands for a tile of a run.
ROUTES = {
    "tiles": [
        ("GET", "{tile:now}", WORKING),
        ("GET", f"{{tile:{TONIGHT}}}", WORKING),
        ("GET", f"{{tile:{OLD}}}", ALL - {"public"}),
        ("GET", f"{{tile:public-{OLD}}}", ALL),
        ("GET", "{plan}", PLANNING),
    ],
    "inset": [
        ("GET", "/inset/gap_women/now/0/1.png", WORKING),
        ("GET", "/inset/gap_women/now/0/1/light.png", WORKING),
        ("GET", f"/inset/gap_women/{TONIGHT}/0/1.png", WORKING),
        ("GET", f"/inset/gap_women/{OLD}/0/1.png", ALL - {"public"}),
        ("GET", f"/inset/gap_women/public-{OLD}/0/1.png", ALL),
        ("GET", "/inset/gap_women/plan-brighter-park/0/1.png", PLANNING),
    ],
    "live": [
        ("GET", "/live/scene", ALL),
        ("GET", "/live/scene?run=now", WORKING),
        ("GET", f"/live/scene?run={TONIGHT}", WORKING),
        ("GET", f"/live/scene?run={OLD}", ALL - {"public"}),
        ("GET", f"/live/scene?run=public-{OLD}", ALL),
        ("GET", "/live/scene?run=plan-brighter-park", PLANNING),
    ],
    "overlay": [
        ("GET", "/overlay/lamps.json", ALL),
        ("GET", "/overlay/venues.json", ALL),
        ("GET", "/overlay/stops.json", ALL),
        ("GET", "/overlay/sensors.json", WORKING),
    ],
    "export": [
        ("GET", f"/export?night={TONIGHT}&format=csv", RESEARCHING),
        ("GET", f"/export?night={OLD}&format=csv", RESEARCHING),
    ],
    "report": [("GET", "/report?night=2026-11-01", WORKING), ("GET", f"/report?night={OLD}&lang=xx&n=1", WORKING)],
    "sheet": [
        ("GET", "/sheet?run=now&frame=0&layer=safety&box=-180,-85,180,85", WORKING),
        ("GET", f"/sheet?run={OLD}&frame=0&layer=safety&box=-180,-85,180,85", ALL - {"public"}),
        ("GET", f"/sheet?run=public-{OLD}&frame=0&layer=safety&box=-180,-85,180,85", ALL),
        ("GET", "/sheet?run=plan-brighter-park&frame=0&layer=safety_change&box=-180,-85,180,85", PLANNING),
    ],
    "operations.json": [("GET", "/operations.json", frozenset({"admin"}))],
    "lighting": [("GET", "/lighting?hour=23:00", PLANNING)],
    "planning": [
        *(("GET", f"/planning/{name}", PLANNING) for name in ("lamps", "lamps/now.json", "scenarios", "scenarios/1")),
        *(("GET", f"/planning/{name}", PLANNING) for name in ("scenarios/1/scenario.toml", "jobs", "results", "snap")),
        *(("POST", f"/planning/{name}", PLANNING) for name in ("scenarios", "scenarios/1", "import", "jobs")),
        *(("POST", f"/planning/{name}", PLANNING) for name in ("scenarios/1/keep", "jobs/1/cancel", "x")),
    ],
    "residuals": [
        ("GET", f"/residuals?night={TONIGHT}", RESEARCHING),
        ("GET", f"/residuals?night={OLD}", RESEARCHING),
    ],
    "picture": [
        ("GET", f"/picture?run={TONIGHT}&layer=safety&frame=0", RESEARCHING),
        ("GET", f"/picture?run=public-{OLD}&layer=safety&format=gif", RESEARCHING),
        ("GET", "/picture?run=plan-brighter-park&layer=safety_change", frozenset({"admin"})),
    ],
    "probes": [
        ("GET", "/probes?run=now&layer=safety", WORKING),
        ("GET", f"/probes?run={TONIGHT}&layer=safety", WORKING),
        ("GET", f"/probes?run={OLD}&layer=safety", ALL - {"public"}),
        ("GET", f"/probes?run=public-{OLD}&layer=safety", ALL),
        ("GET", "/probes?run=plan-brighter-park&layer=safety_change", PLANNING),
        ("GET", f"/probes?run={TONIGHT}&layer=safety&format=csv", RESEARCHING),
        ("GET", f"/probes?run=public-{OLD}&layer=safety&format=csv", RESEARCHING),
    ],
    # What is nobody's in particular: pictures of the ground, colours, scripts, a code for phones, the answer form.
    "base": [("GET", "/base/0/0/0/0.png", ALL)],
    "palette": [("GET", "/palette/0/dark.bin", ALL)],
    "late": [("GET", "/late/000000000000/x.js", ALL)],
    "qr.svg": [("GET", "/qr.svg?to=x", ALL)],
    "ask": [("GET", "/ask", ALL)],
    "sign-in": [("GET", "/sign-in", ALL), ("GET", "/sign-in/form.css", ALL), ("POST", "/sign-in", ALL)],
    "sign-out": [("POST", "/sign-out", ALL)],
    "journal": [("POST", "/journal", frozenset({"viewer", "planner", "admin"}))],
    "watch": [
        ("POST", "/watch?run=now", WORKING),
        ("POST", f"/watch?run={TONIGHT}", WORKING),
        ("POST", f"/watch?run={OLD}", ALL - {"public"}),
        ("POST", f"/watch?run=public-{OLD}", ALL),
        ("POST", "/watch?run=plan-brighter-park", PLANNING),
        ("POST", "/watch/names", ALL),
    ],
    # The demo's switch: whoever is at that machine.
    "role": [("POST", "/role", ALL)],
}
# What Dash answers itself. Layout and dependencies hold no data of the city; callbacks have a table of their own.
DASH = {"/_dash-layout": ALL, "/_dash-dependencies": ALL, "/assets/style.css": ALL}


def _reading(run, layer="safety"):
    return {"id": "map", "property": "reading", "value": {"lon": 0, "lat": 0, "run": run, "frame": 0, "layer": layer}}


def _view(run):
    value = {"run": run, "frame": 0, "layer": "safety", "version": "{version}", "zoom": 15, "box": [-180, -85, 180, 85]}
    return {"id": "to-table", "property": "asked", "value": value}


SEARCH = {"id": "url", "property": "search", "value": "?lang=en"}


def _page(path, search="?lang=en"):
    return [{"id": "url", "property": "pathname", "value": path}, SEARCH | {"value": search}]


# A server callback by its output -> calls with (inputs, states, who may, what the answer holds for who may and for
# nobody else). Pages that everybody may open are held by `test_every_page...` of test_app to draw themselves at all.
CALLBACKS = {
    "page.children": [
        (_page("/plan"), [], PLANNING, "Brighter park"),
        (_page("/answers"), [], ANSWERING, "answers-body"),
        (_page("/operations"), [], frozenset({"admin"}), "operations-body"),
        (_page("/research"), [], WORKING, f'"value": "{TONIGHT}"'),
        (_page("/research", f"?night={OLD}"), [], ALL - {"public"}, f"run={OLD}"),
        (_page("/research", f"?night={TONIGHT}"), [], RESEARCHING, "/export?"),
        (_page("/research", f"?night={TONIGHT}"), [], WORKING, "/report?"),
    ],
    "..details-body.children...details.hidden..": [
        ([_reading("now")], [SEARCH], WORKING, "big"),
        ([_reading(TONIGHT)], [SEARCH], WORKING, "big"),
        ([_reading(OLD)], [SEARCH], ALL - {"public"}, "big"),
        ([_reading(f"public-{OLD}")], [SEARCH], ALL, "big"),
        ([_reading("plan-brighter-park", "safety_change")], [SEARCH], PLANNING, "big"),
    ],
    "..places-body.children...places-title.children...places.hidden..": [
        ([_view("now")], [SEARCH], WORKING, '"Table"'),
        ([_view(TONIGHT)], [SEARCH], WORKING, '"Table"'),
        ([_view(OLD)], [SEARCH], ALL - {"public"}, '"Table"'),
        ([_view(f"public-{OLD}")], [SEARCH], ALL, '"Table"'),
    ],
    "operations-body.children": [
        (
            [{"id": "operations-tick", "property": "n_intervals", "value": 1}],
            [SEARCH],
            frozenset({"admin"}),
            '"Refused messages"',
        ),
    ],
    "..answers-body.children...answers-digest.data...answers-said.children..": [
        (
            [[], [], {"id": "answers-tick", "property": "n_intervals", "value": 1}],
            [{"id": "answers-digest", "property": "data", "value": ""}, SEARCH],
            ANSWERING,
            '"Ask here next"',
        ),
    ],
}


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    made = make_city(tmp_path_factory.mktemp("city") / "smalltown")
    synthetic_atlas.write_night(made, OLD, steps=2)
    synthetic_atlas.write_night(made, OLD, steps=2, level="public")
    synthetic_atlas.write_night(made, TONIGHT, steps=3)
    synthetic_atlas.write_now(made, TONIGHT, 3)
    synthetic_atlas.write_plan(made)
    set_clock(made.path, np.datetime64("2026-11-20T19:12", "ms"), 1e-6)
    return made


@pytest.fixture(scope="module")
def app(city):
    return build(city.path, switch=True, warm=False)


def registered_routes():
    """The keys of the table in `Routes._route`, by reading it: what is added there is found here."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(Routes._route)))
    return {key.value for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}


def server_callbacks(app):
    told = json.loads(ask(app, "/_dash-dependencies")[2])
    return {one["output"] for one in told if not one["clientside_function"]}


def test_every_route_stands_in_the_table():
    unnamed, gone = registered_routes() - set(ROUTES), set(ROUTES) - registered_routes()
    assert not unnamed, f"say in ROUTES of {__name__} who may ask for /{', /'.join(sorted(unnamed))}"
    assert not gone, f"ROUTES of {__name__} names routes that are not there: {gone}"


def test_every_server_callback_stands_in_the_table(app):
    unnamed, gone = server_callbacks(app) - set(CALLBACKS), set(CALLBACKS) - server_callbacks(app)
    assert not unnamed, f"say in CALLBACKS of {__name__} who gets what from {sorted(unnamed)}"
    assert not gone, f"CALLBACKS of {__name__} names callbacks that are not there: {gone}"


def test_every_route_that_works_on_a_night_stands_under_a_limit():
    """These do not, or count for themselves: files of ours, the scene, what the answer form and sign-in take."""
    free = {"base", "palette", "late", "qr.svg", "overlay", "live", "role", "ask", "sign-in", "sign-out"}
    assert set(KINDS) - {"_dash-update-component"} == registered_routes() - free


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("first", ROUTES)
def test_each_route_answers_who_may_and_refuses_the_others(app, city, first, role):
    for method, address, who in ROUTES[first]:
        status, _, body = ask(app, _address(city, address), method=method, role=role)
        assert (status != 403) == (role in who), (address, status)
        assert status != 403 or body == b""
        assert status < 500


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("path", [*DASH, "/"])
def test_what_dash_answers_is_for_everybody_and_tells_nothing_of_a_night(app, path, role):
    status, _, body = ask(app, path, role=role)
    assert status == 200
    assert TONIGHT.encode() not in body


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("output", CALLBACKS)
def test_each_callback_answers_who_may_and_tells_the_others_nothing(app, city, output, role):
    for inputs, states, who, told in CALLBACKS[output]:
        answer = call(app, city, output, inputs, states, role)
        assert (told in answer) == (role in who), (output, inputs, role, answer[:300])


@pytest.mark.parametrize("role", ROLES)
def test_the_stream_tells_of_tonight_and_of_plans_only_who_may_see_them(role):
    assert heard_by(role, "public")
    for layer in ("now", "night", "health", "journal"):
        assert heard_by(role, layer) == (role in WORKING)
    assert heard_by(role, "plan") == (role in PLANNING)


def test_a_partner_sees_an_old_night_as_finely_as_a_viewer_and_on_live_the_last_old_one(app):
    scene = json.loads(ask(app, "/live/scene", role="partner")[2])
    assert scene["night"] == OLD
    assert {frame["run"] for frame in scene["frames"]} == {OLD}


def test_a_night_becomes_a_partners_when_it_is_old_enough_for_the_public(city):
    from dashboard.delay import may_see, nights_of
    from dashboard.runs import Runs
    from sensors.clock import city_clock

    runs = Runs(city)
    try:
        for now, old in (("2026-11-22T03:59", False), ("2026-11-22T04:00", True)):  # 06:00 in Helsinki and a day
            set_clock(city.path, np.datetime64(now, "ms"), 1e-6)
            clock = city_clock(city.path)
            assert may_see("partner", TONIGHT, runs, clock) == old
            assert (TONIGHT in nights_of("partner", runs, clock)) == old
            assert not may_see("partner", "now", runs, clock)
            assert not may_see("public", TONIGHT, runs, clock)
    finally:
        set_clock(city.path, np.datetime64("2026-11-20T19:12", "ms"), 1e-6)


def test_a_partners_nights_are_known_without_opening_their_pages(city, monkeypatch):
    from dashboard.delay import may_see, nights_of
    from dashboard.runs import Runs
    from sensors.clock import city_clock

    runs = Runs(city)
    monkeypatch.setattr(runs, "get", lambda name: pytest.fail(f"{name} was opened"))
    assert nights_of("partner", runs, city_clock(city.path)) == [OLD]
    assert not may_see("partner", "2026-11-19", runs, city_clock(city.path))  # no such night


@pytest.fixture(scope="module")
def signing(city, tmp_path_factory):
    """The same city without the demo's switch, with somebody signed in in each role: application and cookies."""
    path = tmp_path_factory.mktemp("signing") / "smalltown"
    shutil.copytree(city.path, path)
    purpose = replace(city.settings.purpose, uses=("night walks",), responsible="the city")
    write_settings(path, replace(city.settings, purpose=purpose))
    made = City.open(path)
    desk = sign_in_desk(made)
    accounts, sessions = Accounts(desk), Sessions(desk, made.settings.sign_in)
    for role in ROLES:
        accounts.add(f"{role}-account", role, "three bats over the moon")

    def session(role):
        return [(b"cookie", f"{PLAIN_COOKIE}={sessions.open(f'{role}-account', role, 'account')}".encode())]

    return build(path, warm=False), session


@pytest.mark.parametrize("role", ROLES)
def test_a_session_opens_the_same_doors_as_the_demos_switch(signing, city, role):
    app, session = signing
    for requests in (rows for first, rows in ROUTES.items() if first not in ("role", "sign-in", "sign-out")):
        mine = session(role)  # a new one for each, so that no limit of a session is met
        for method, address, who in requests:
            status, _, _ = ask(app, _address(city, address), method=method, headers=mine)
            assert (status != 403) == (role in who), (address, status)


FORGED = {
    "the demo's cookie": [(b"cookie", b"noctule_role=admin")],
    "a role as a session": [(b"cookie", b"noctule_session=admin; __Host-noctule=admin")],
    "a session that nobody has": [(b"cookie", b"noctule_session=" + b"A" * 43)],
    "the digest of a token": [(b"cookie", b"noctule_session=" + b"0" * 64)],
    "a proxy's headers": [(b"x-forwarded-user", b"admin-account"), (b"x-forwarded-groups", b"admin")],
    "an address of this machine": [(b"x-forwarded-for", b"127.0.0.1"), (b"x-real-ip", b"127.0.0.1")],
    "a password": [(b"authorization", b"Basic YWRtaW4tYWNjb3VudDp4")],
    "a role": [(b"x-noctule-role", b"admin"), (b"x-role", b"admin")],
}


@pytest.mark.parametrize("forged", FORGED)
def test_what_is_forged_opens_what_the_public_may_and_no_more(signing, city, forged):
    app, _ = signing
    for requests in (rows for first, rows in ROUTES.items() if first not in ("role", "sign-in", "sign-out")):
        for method, address, who in requests:
            asked = _address(city, address)
            status, _, _ = ask(app, asked, method=method, headers=FORGED[forged])
            assert (status != 403) == ("public" in who), (address, status)


@pytest.mark.parametrize("role", ["root", "ADMIN", "", "viewer,admin", "ad min", "%61dmin"])
def test_a_role_that_is_none_is_nobodys_more_than_the_default(app, city, role):
    assert ask(app, "/lighting?hour=23:00", role=role or None)[0] == 403
    assert ask(app, f"/export?night={OLD}&format=csv", role=role or None)[0] == 403


def test_lamps_tell_the_public_where_they_stand_and_not_how_they_do_tonight(city, monkeypatch):
    from dashboard import overlays
    from dashboard.words import words

    monkeypatch.setattr(overlays, "faults", lambda city: {str(lamp): 2 for lamp in city.places("lamps")["lamp"]})
    assert set(overlays.overlay(city, "lamps", words("en"))["states"]) == {2}
    assert set(overlays.overlay(city, "lamps", words("en"), tonight=False)["states"]) == {0}


def _address(city, address):
    """An address of the table, with a tile of a run for '{tile:RUN}'; an old version is 204, not 403."""
    if not address.startswith("{"):
        return address
    run, layer = ("plan-brighter-park", "safety_change") if address == "{plan}" else (address[6:-1], "safety")
    return f"/tiles/v/{city.id}/{layer}/{run}/0/1/15/18650-18650/9482-9482.bin"


def call(app, city, output, inputs, states, role):
    """What a browser sends for a callback, and the text that comes back."""
    from dashboard.runs import Runs

    runs = Runs(city)
    longitude, latitude = runs.frame.lonlat(16, 20)
    given = json.loads(json.dumps([inputs, states]))
    for one in given[0]:
        value = one.get("value") if isinstance(one, dict) else None
        if isinstance(value, dict) and "lon" in value:
            value |= {"lon": longitude, "lat": latitude}
        if isinstance(value, dict) and "version" in value:
            value["version"] = runs.get(value["run"]).versions[0]
    names = [part.rpartition(".") for part in output.strip(".").split("...")]
    outputs = [{"id": name, "property": prop} for name, _, prop in names]
    changed = [f"{one['id']}.{one['property']}" for one in given[0] if isinstance(one, dict)]
    content = {
        "output": output, "outputs": outputs if output.startswith("..") else outputs[0], "inputs": given[0],
        "state": given[1], "changedPropIds": changed,
    }  # fmt: skip
    kind = [(b"content-type", b"application/json")]
    status, _, body = ask(
        app, "/_dash-update-component", method="POST", body=json.dumps(content).encode(), role=role, headers=kind
    )
    assert status == 200, (status, body[:300])
    return json.dumps(json.loads(body), ensure_ascii=False) if body else ""
