"""What is asked of /planning: by those who may, by those who may not, and by those who send nonsense."""

import asyncio
import csv
import io
import json

import numpy as np
import pytest
from pyproj import Transformer

from analytics import atlas
from analytics.scenario import lamp_streets, parse_scenario
from dashboard.allowance import Allowance
from dashboard.app import build
from dashboard.basemap import Basemap
from dashboard.changed_lamps import as_csv, changed_lamps
from dashboard.lamp_list import columns, sections_of
from dashboard.pages.context import House
from dashboard.planning import Planning
from dashboard.roles import ROLES
from dashboard.runs import Runs
from dashboard.visitors import VISITOR, Visitor, Visitors
from sensors.clock import city_clock
from tests import synthetic_atlas
from tests.synthetic_city import SOUTH, WEST, make_city
from tests.unit.test_app import ask

JSON = (b"content-type", b"application/json")
DIM = {"what": "dim", "lamps": ["lamp-001"], "level": 0.5}


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    made = make_city(tmp_path_factory.mktemp("city") / "smalltown")
    synthetic_atlas.write_night(made, "2026-11-20", steps=14)
    synthetic_atlas.write_plan(made)
    return made


@pytest.fixture(scope="module")
def app(city):
    return build(city.path, switch=True, warm=False)


def send(app, path, content, role="planner", headers=(JSON,)):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    status, _, answer = ask(app, path, method="POST", body=body, role=role, headers=headers)
    return status, json.loads(answer) if answer else {}


GETS = (
    "/planning/lamps", "/planning/lamps/now.json", "/planning/scenarios", "/planning/scenarios/1", "/planning/jobs",
    "/planning/scenarios/1/scenario.toml", "/planning/results?names=brighter-park", "/planning/events",
    "/planning/snap?longitude=24.9&latitude=60.1",
)  # fmt: skip
POSTS = (
    "/planning/scenarios",
    "/planning/scenarios/1",
    "/planning/import",
    "/planning/jobs",
    "/planning/jobs/1/cancel",
)


@pytest.mark.parametrize("role", [role for role in ROLES if role not in ("planner", "admin")])
def test_only_planners_are_answered(app, role):
    assert {ask(app, path, role=role)[0] for path in GETS} == {403}
    assert {send(app, path, {}, role)[0] for path in POSTS} == {403}


def test_lamps_come_once_under_the_digest_of_what_they_are(app, city):
    status, headers, _ = ask(app, "/planning/lamps", role="planner")
    address = headers["location"]
    assert status == 302
    status, headers, body = ask(app, address, role="planner")
    assert status == 200 and "immutable" in headers["cache-control"]
    listed = json.loads(body)
    lamps = city.places("lamps").set_index("lamp").loc[listed["lamp"]]
    assert listed["n"] == len(city.places("lamps")) == len(set(listed["lamp"]))
    assert listed["asset_id"] == lamps["asset_id"].tolist()
    points = lamps.to_crs("EPSG:4326").geometry
    for name, axis in (("longitude", points.x), ("latitude", points.y)):
        assert np.abs(np.cumsum(listed[name]) / 1e6 - axis.to_numpy()).max() < 1e-6
    assert ask(app, "/planning/lamps/000000000000.json", role="planner")[0] == 404


def test_streets_of_the_list_are_those_that_a_scenario_means(city):
    listed = columns(city, sections_of(city))
    words, codes = listed["coded"]["street"].values()
    names = dict(zip(listed["lamp"], np.array(words)[codes], strict=True))
    names = np.array([names[lamp] for lamp in city.places("lamps")["lamp"]])
    assert names.tolist() == lamp_streets(city).tolist()
    change = parse_scenario(
        {"format": 1, "name": "a", "change": [{"what": "remove", "street": "Market Street"}]}, city, ""
    )
    assert change.changes[0].rows.tolist() == np.flatnonzero(names == "Market Street").tolist()


def test_light_at_a_lamp_is_that_of_its_cell_at_eleven(app, city):
    _, _, body = ask(app, "/planning/lamps/now.json", role="planner")
    now, listed = json.loads(body), columns(city, sections_of(city))
    assert now["night"] == "2026-11-20" and len(now["states"]) == len(now["lux"]) == len(city.places("lamps"))
    page, meta = atlas.open_night(city, "2026-11-20")
    step = [str(step) for step in meta["steps"]].index("2026-11-20T21:00:00.000Z")
    cells = page["illuminance"].isel(time=step)
    for lamp, lux in zip(listed["lamp"], now["lux"], strict=True):
        point = city.places("lamps").set_index("lamp").geometry[lamp]
        cell = float(cells.sel(easting=point.x, northing=point.y, method="nearest"))
        assert lux is None if np.isnan(cell) else lux == pytest.approx(cell, rel=0.06)


def test_a_scenario_is_made_saved_duplicated_and_handed_out(app):
    status, made = send(app, "/planning/scenarios", {"title": "Half", "changes": [DIM]})
    assert status == 200 and made["author"] == "planner" and made["changes"] == [DIM]
    here = f"/planning/scenarios/{made['id']}"
    status, saved = send(app, here, {"revision": 1, "title": "Half light", "changes": [DIM, DIM]})
    assert (status, saved["revision"], saved["title"]) == (200, 2, "Half light")
    status, stale = send(app, here, {"revision": 1, "changes": []})
    assert status == 409 and stale["current"]["revision"] == 2 and stale["current"]["changes"] == [DIM, DIM]
    status, copy = send(app, "/planning/scenarios", {"copy": made["id"], "title": "Copy"})
    assert status == 200 and copy["changes"] == [DIM, DIM] and copy["id"] != made["id"]
    status, _, toml = ask(app, here + "/scenario.toml", role="planner")
    assert status == 200
    status, again = send(app, "/planning/import", toml, headers=())
    assert status == 200 and again["changes"] == [DIM, DIM] and again["name"] != made["name"]
    for file in ("lamps.csv", "lamps.geojson"):
        assert b"A0001" in ask(app, f"{here}/{file}", role="planner")[2]
    for file in ("lamps.exe", "..", "scenario.toml.bak", "lamps.csv?version=99999"):
        assert ask(app, f"{here}/{file}", role="planner")[0] == 404


@pytest.mark.parametrize(
    ("path", "content", "headers"),
    [
        ("/planning/scenarios", b"{", (JSON,)),
        ("/planning/scenarios", b"[" * 100_000, (JSON,)),
        ("/planning/scenarios", {"title": "A"}, ()),  # as a form of another site could send it
        ("/planning/scenarios", {"title": "A", "changes": {}}, (JSON,)),
        ("/planning/scenarios", {"title": "A", "changes": [DIM | {"level": "high"}]}, (JSON,)),
        ("/planning/scenarios", {"title": ""}, (JSON,)),
        ("/planning/import", b"\xff\xfe", ()),
        ("/planning/import", b"a = " + b"[" * 50_000, ()),
        ("/planning/import", b"format = 9", ()),
        ("/planning/import", b"format = " + b"9" * 5000, ()),
        ("/planning/import", b'format = 1\n[[change]]\nwhat = "dim"\nlamps = ["nobody"]\nlevel = 1', ()),
    ],
)
def test_nonsense_is_refused_with_a_sentence(app, path, content, headers):
    status, told = send(app, path, content, headers=headers)
    assert status == 400 and told["error"]


def test_a_body_beyond_a_megabyte_is_refused(app):
    assert send(app, "/planning/import", b"#" * 1_000_001, headers=())[0] == 413


def test_a_save_of_another_site_is_refused(app):
    headers = (JSON, (b"sec-fetch-site", b"cross-site"))
    assert ask(app, "/planning/scenarios", method="POST", body=b"{}", role="planner", headers=headers)[0] == 403


@pytest.mark.parametrize(
    "path", ["/planning", "/planning/", "/planning/scenarios/-1", "/planning/scenarios/1e3", "/planning/jobs/9"]
)
def test_what_is_not_there_is_not_found(app, path):
    assert ask(app, path, role="planner")[0] == 404


def test_a_new_lamp_is_put_to_the_kerb_of_the_nearest_street(app, city):
    to = Transformer.from_crs(city.crs, "EPSG:4326", always_xy=True)
    longitude, latitude = to.transform(WEST + 190, SOUTH + 165)  # beside Middle Road, 14 m wide, at 160
    status, _, body = ask(app, f"/planning/snap?longitude={longitude}&latitude={latitude}", role="planner")
    put = json.loads(body)
    place = to.transform(put["longitude"], put["latitude"], direction="INVERSE")
    assert status == 200 and put["snapped"]
    assert place == pytest.approx((WEST + 190, SOUTH + 167), abs=0.2)
    assert ask(app, "/planning/snap?longitude=0&latitude=0", role="planner")[0] == 400
    assert ask(app, "/planning/snap?longitude=nan&latitude=x", role="planner")[0] == 404


def test_changed_lamps_say_before_and_after_and_no_cell_is_a_formula(city):
    content = {
        "format": 1,
        "name": "a",
        "change": [
            DIM | {"hours": ["23:00", "05:00"]},
            {"what": "replace", "lamps": ["lamp-001"], "cct_k": 2700},
            {"what": "remove", "lamps": ["lamp-002"]},
            {"what": "add", "positions": [list(city.centre_lonlat())], "lumens": 4000, "watts": 30, "height_m": 5},
        ],
    }
    rows = changed_lamps(parse_scenario(content, city, ""), city)
    assert [(row["lamp"], row["what"]) for row in rows] == [
        ("lamp-001", "dim; replace"), ("lamp-002", "remove"), ("new-4-1", "add"),
    ]  # fmt: skip
    assert (rows[0]["cct_k_before"], rows[0]["cct_k_after"], rows[0]["levels"]) == (3000.0, 2700.0, "23:00-05:00 0.50")
    assert rows[1]["lumens_after"] is None and rows[2]["lumens_before"] is None
    rows[0]["asset_id"] = "=HYPERLINK(1)"
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert read[0]["asset_id"] == "'=HYPERLINK(1)"


def test_saves_are_counted_by_session_and_not_by_the_address_of_a_proxy(city, monkeypatch):
    house = House(city, city_clock(city.path), Runs(city), Basemap(city), True, "viewer", "")
    planning = Planning(house)
    planning._saves = Allowance(0.0, 1.0, 100.0)
    scope = {"method": "POST", "path": "/planning/jobs", "query_string": b"", "headers": [], "client": ("10.0.0.1", 9)}

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    def status(key):
        visitor = Visitor("planner", key, "account", key, "10.0.0.1")
        monkeypatch.setattr(Visitors, "of", lambda self, scope: visitor)
        within = VISITOR.set(visitor)
        try:
            return asyncio.run(planning(scope, receive))[0]
        finally:
            VISITOR.reset(within)

    assert [status(key) for key in ("anna", "anna", "berit")] == [400, 429, 400]


def test_who_is_signed_in_is_the_author_and_the_trail_says_what_was_done(city, app, monkeypatch):
    from dashboard.accounts import sign_in_desk
    from dashboard.audit import trail

    monkeypatch.setattr(Visitors, "of", lambda self, scope: Visitor("planner", "Maija", "account", "k"))
    status, made = send(app, "/planning/scenarios", {"title": "Hers", "changes": [DIM]})
    assert status == 200 and made["author"] == "Maija"
    send(app, f"/planning/scenarios/{made['id']}", {"revision": 1, "archived": True})
    ask(app, f"/planning/scenarios/{made['id']}/lamps.csv?scenario={made['name']}", role="planner")
    told = [(line["who"], line["what"], line["detail"]) for line in trail(sign_in_desk(city))]
    assert ("Maija", "scenario archived", made["name"]) in told
    assert ("Maija", "planning", f"scenario={made['name']}") in told
