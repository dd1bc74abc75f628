"""The application's door: headers, roles, and what is asked of it by people who should not."""

import asyncio
import gzip
import json
import shutil

import numpy as np
import pytest

from dashboard.app import VIEWS, build
from dashboard.pages.context import asked
from dashboard.pages.plan import scenario_rows
from dashboard.pages.research import provenance, taking
from dashboard.roles import ROLES, may
from dashboard.runs import Run, Runs
from dashboard.tiles import TILE
from dashboard.words import words
from sensors.city import City, write_settings
from sensors.clock import set_clock
from sensors.errors import CityError
from tests import synthetic_atlas
from tests.synthetic_city import make_city


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    made = make_city(tmp_path_factory.mktemp("city") / "smalltown")
    synthetic_atlas.write_night(made, "2026-11-20", steps=3)
    synthetic_atlas.write_night(made, "2026-11-18", steps=2, level="public")
    synthetic_atlas.write_now(made, "2026-11-20", 3)
    synthetic_atlas.write_plan(made)
    set_clock(made.path, np.datetime64("2026-11-20T19:12", "ms"), 1e-6)
    return made


@pytest.fixture(scope="module")
def app(city):
    return build(city.path, switch=True, warm=False)


def ask(app, path, *, method="GET", body=b"", role=None, headers=()):
    """One request, without a server: status, headers and body."""
    path, _, query = path.partition("?")
    given = [(b"host", b"127.0.0.1:8050"), (b"accept-encoding", b"gzip"), *headers]
    given += [(b"cookie", f"noctule_role={role}".encode())] if role else []
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": given, "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 8050),
        "client": ("127.0.0.1", 5), "root_path": "", "state": {},
    }  # fmt: skip
    sent = []

    asked_for = []

    async def receive():
        if asked_for:
            await asyncio.Event().wait()  # the browser stays and says nothing more
        asked_for.append(True)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start = sent[0]
    answer = b"".join(message.get("body", b"") for message in sent[1:])
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    if found.get("content-encoding") == "gzip":
        answer = gzip.decompress(answer)
    return start["status"], found, answer


def tile_address(town, app, **changes):
    scene = json.loads(ask(app, "/live/scene")[2])
    frame = next(frame for frame in scene["frames"] if frame["version"])
    x, y = _tile_of(town)
    parts = {
        "city": town.id, "layer": "safety", "run": frame["run"], "frame": "0",
        "version": frame["version"], "zoom": "15",
        "xs": f"{x}-{x}", "ys": f"{y}-{y}",
    } | changes  # fmt: skip
    return "/tiles/v/{city}/{layer}/{run}/{frame}/{version}/{zoom}/{xs}/{ys}.bin".format(**parts)


def _tile_of(city, zoom=15):
    longitude, latitude = city.centre_lonlat()
    y = (0.5 - np.log(np.tan(np.pi / 4 + np.radians(latitude) / 2)) / (2 * np.pi)) * 2**zoom
    return int((longitude + 180) / 360 * 2**zoom), int(y)


@pytest.mark.parametrize("path", ["/", "/about", "/live/scene", "/nonsense", "/tiles/v/x", "/assets/style.css"])
def test_every_answer_carries_the_security_headers(app, path):
    _, headers, _ = ask(app, path)
    policy = headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'self' 'unsafe-inline'" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_there_is_no_api_page_no_websocket_and_no_way_around_the_pages(app):
    for path in ("/openapi.json", "/docs", "/redoc", "/_mcp", "/mcp", "/_dash-ws-callback", "/../city.toml"):
        assert ask(app, path)[0] == 404, path
    assert '"websocket"' not in ask(app, "/")[2].decode()


def test_the_page_says_its_language(app):
    assert b'<html lang="fr" ' in ask(app, "/?lang=fr")[2]
    assert b'<html lang="en" ' in ask(app, "/?lang=%22%3E%3Cscript%3E")[2]


def test_a_tile_is_answered_and_kept_for_ever(app, city):
    status, headers, body = ask(app, tile_address(city, app))
    assert status == 200
    assert len(body) == 2 * TILE * TILE
    assert "immutable" in headers["cache-control"]


@pytest.mark.parametrize(
    "change",
    [
        {"city": "elsewhere"}, {"layer": "crime"}, {"run": "2026-13-99"}, {"run": "..%2f..%2fcity"}, {"frame": "9999"},
        {"frame": "-1"}, {"zoom": "0"}, {"zoom": "99"}, {"xs": "5-4"}, {"xs": "0-99"}, {"ys": "9999999-9999999"},
        {"version": "'; drop"}, {"xs": "1e9-1e9"}, {"run": "plan-../../x"}, {"frame": "٣"},
    ],
)  # fmt: skip
def test_an_address_that_names_nothing_is_404_and_never_500(app, city, change):
    assert ask(app, tile_address(city, app, **change), role="planner")[0] == 404


def test_a_version_that_was_replaced_is_no_error(app, city):
    status, headers, body = ask(app, tile_address(city, app, version="0123456789ab"))
    assert (status, body, headers["cache-control"]) == (204, b"", "no-store")


@pytest.mark.parametrize(
    "path", ["/base/0/0/0/0.png", "/palette/x.bin", "/overlay/secrets.json", "/live/other", "/export"]
)
def test_other_addresses_that_name_nothing_are_404(app, path):
    assert ask(app, path, role="researcher")[0] == 404


def inset_address(app, **changes):
    scene = json.loads(ask(app, "/live/scene")[2])
    frame = next(frame for frame in scene["frames"] if frame["version"])
    parts = {"layer": "gap_women", "run": frame["run"], "frame": "0", "version": frame["version"]} | changes
    return "/inset/{layer}/{run}/{frame}/{version}.png".format(**parts)


def test_the_gap_between_groups_is_a_picture_beside_the_map_that_is_kept_for_ever(app):
    status, headers, body = ask(app, inset_address(app))
    assert status == 200 and body.startswith(b"\x89PNG") and "immutable" in headers["cache-control"]
    assert ask(app, inset_address(app))[2] == body
    assert ask(app, inset_address(app, run="now", version="1"), role="public")[0] == 403
    assert ask(app, inset_address(app, version="0123456789ab"))[0] == 200  # replaced meanwhile: an empty picture


@pytest.mark.parametrize(
    "change", [{"layer": "safety"}, {"layer": "gap_martians"}, {"layer": "gap_young"}, {"frame": "99"}, {"run": "../x"}]
)
def test_an_inset_of_what_is_not_there_is_404(app, change):
    assert ask(app, inset_address(app, **change))[0] == 404


def test_the_scene_names_the_groups_that_can_be_chosen(app):
    layers = json.loads(ask(app, "/live/scene")[2])["layers"]
    assert {"safety", "safety_women", "safety_men", "gap_women"} <= set(layers)
    assert not {"safety_disabled", "gap_older"} & set(layers)


def test_a_place_says_what_single_groups_feel_and_why_a_group_is_not_shown(city):
    from dashboard.probe import probe
    from dashboard.runs import Runs

    runs = Runs(city)
    run = runs.get("2026-11-20")
    rows, columns = runs.frame.shape
    ground = runs.ground(runs.frame)

    def at(layer, left, right, above=0.3):
        places = np.argwhere(ground & np.isfinite(runs.fields(run, 0, ("safety",))["safety"]))
        row, column = next(p for p in places if left * columns <= p[1] < right * columns and p[0] > above * rows)
        return probe(runs, run, 0, layer, *runs.frame.lonlat(int(row), int(column)))

    here = at("safety", 0.3, 0.7)
    assert here.groups["gap_women"][0] == pytest.approx(-9) and here.exceeds == 88 and here.people == 20
    assert here.groups["safety_women"][0] == here.value - 5
    few = at("safety_men", 0.85, 1.0)
    assert (few.state, few.why) == ("hatched", "group_too_few")
    assert at("safety", 0.85, 1.0).state == "value"


ALLOWED = {
    "live": {"viewer", "planner", "researcher", "admin"},
    "night": {"viewer", "planner", "researcher", "admin"},
    "public": set(ROLES),
    "plan": {"planner", "admin"},
    "sensors": {"viewer", "planner", "researcher", "admin"},
    "export": {"researcher", "admin"},
    "lighting": {"planner", "admin"},
    "report": {"viewer", "planner", "researcher", "admin"},
}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_what_it_may_in_every_handler(app, city, role):
    asks = {
        "live": tile_address(city, app, run="now", version="1"),
        "night": tile_address(city, app),
        "public": tile_address(city, app, run="public-2026-11-18"),
        "plan": tile_address(city, app, run="plan-brighter-park", layer="safety_change", version="1"),
        "sensors": "/overlay/sensors.json",
        "export": "/export?night=2026-11-20&format=xyz",
    }
    for thing, path in asks.items():
        if thing != "export":
            assert (ask(app, path, role=role)[0] != 403) == (role in ALLOWED[thing]), (role, thing)
    assert (ask(app, "/export?night=2026-11-20&format=csv", role=role)[0] != 403) == (role in ALLOWED["export"])
    assert (ask(app, "/lighting?hour=23:00", role=role)[0] != 403) == (role in ALLOWED["lighting"])
    # A night without pages: who may is told that there is none.
    assert (ask(app, "/report?night=2026-11-01", role=role)[0] != 403) == (role in ALLOWED["report"])
    for run in ("now", "2026-11-20"):
        assert (ask(app, f"/live/scene?run={run}", role=role)[0] != 403) == (role in ALLOWED["night"])


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_viewer_gets_the_night_report_as_a_pdf(app, language):
    status, headers, body = ask(app, f"/report?night=2026-11-20&lang={language}", role="viewer")
    assert status == 200 and headers["content-type"] == "application/pdf" and body.startswith(b"%PDF")
    assert f"smalltown-2026-11-20-report.{language}.pdf" in headers["content-disposition"]


@pytest.mark.parametrize(
    "query", ["", "night=", "night=2026-11-19", "night=../../x", "night=9999-12-31", "night=2026-11-20x", "lang=en"]
)
def test_a_report_of_no_night_is_not_there(app, query):
    assert ask(app, f"/report?{query}", role="viewer")[0] == 404
    assert ask(app, f"/report/{query}?night=2026-11-20", role="viewer")[0] == 404


def test_a_language_that_is_none_of_ours_is_english(app):
    _, headers, _ = ask(app, "/report?night=2026-11-20&lang=../../de", role="viewer")
    assert "report.en.pdf" in headers["content-disposition"]


@pytest.mark.parametrize("role", ["viewer", "public"])
def test_the_button_stands_where_the_report_may_be_had(app, city, role):
    page = str(taking(city, Runs(city).get("2026-11-20"), asked("/research", "?lang=fr", role)))
    assert ("/report?" in page) == (role in ALLOWED["report"])


@pytest.mark.parametrize("form", ["json", "csv", "geojson"])
def test_a_planner_gets_the_lighting_table(app, form):
    status, headers, body = ask(app, f"/lighting?hour=23:00&format={form}", role="planner")
    assert status == 200
    assert f"smalltown-lighting-2300.{form}" in headers["content-disposition"]
    assert b"cannot tell" in body
    assert b"compl" not in body
    if form == "json":
        assert len(json.loads(body)["rows"]) == 24


@pytest.mark.parametrize("query", ["hour=25:00", "hour=23", "format=xlsx", "hour=23:00&format=../etc", "hour=%0A23:00"])
def test_a_lighting_table_that_cannot_be_is_404(app, query):
    assert ask(app, f"/lighting?{query}", role="planner")[0] == 404
    assert ask(app, "/lighting/more", role="planner")[0] == 404


def test_the_public_role_starts_on_the_last_public_night(app):
    scene = json.loads(ask(app, "/live/scene", role="public")[2])
    assert scene["night"] == "2026-11-18"
    assert {frame["run"] for frame in scene["frames"]} == {"public-2026-11-18"}


def test_reading_a_place_asks_for_the_role_too(city):
    from dashboard.basemap import Basemap
    from dashboard.pages.context import House
    from dashboard.pages.stage import place_details
    from dashboard.runs import Runs
    from sensors.clock import city_clock

    house = House(city, city_clock(city.path), Runs(city), Basemap(city), True, "viewer", "/palette/x.bin")
    longitude, latitude = house.runs.frame.lonlat(16, 20)
    reading = {"lon": longitude, "lat": latitude, "run": "2026-11-20", "frame": 0, "layer": "safety"}
    assert len(place_details(house, asked("/", "", "viewer"), reading)) > 3
    assert len(place_details(house, asked("/", "", "public"), reading)) == 1
    for wrong in (
        {"run": "../x"},
        {"frame": 10**9},
        {"lon": "x"},
        {"lat": float("nan")},
        {"layer": "x"},
        {"lon": None},
    ):
        assert len(place_details(house, asked("/", "", "viewer"), reading | wrong)) <= 3
    assert len(place_details(house, asked("/", "", "viewer"), "nonsense")) == 1


def test_a_role_is_taken_only_from_the_list_and_only_with_the_switch(app, city):
    assert ask(app, "/role", method="POST", body=b"role=root")[0] == 404
    status, headers, _ = ask(app, "/role", method="POST", body=b"role=planner")
    assert status == 204
    assert "SameSite=Strict" in headers["set-cookie"]
    closed = build(city.path, switch=False, role="public", warm=False)
    assert ask(closed, "/role", method="POST", body=b"role=planner")[0] == 403
    assert ask(closed, tile_address(city, app), role="planner")[0] == 403


def test_another_site_cannot_send_anything(app):
    cross = [(b"sec-fetch-site", b"cross-site")]
    for path in ("/role", "/_dash-update-component"):
        assert ask(app, path, method="POST", body=b"{}", headers=cross)[0] == 403
    assert (
        ask(app, "/role", method="POST", body=b"role=viewer", headers=[(b"origin", b"https://evil.example")])[0] == 403
    )


def test_a_huge_body_is_refused(app):
    assert ask(app, "/role", method="POST", headers=[(b"content-length", b"5000000")])[0] == 413


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("path", VIEWS)
def test_every_page_has_a_layout_for_every_role_in_both_languages(city, path, role, language):
    from dashboard.basemap import Basemap
    from dashboard.pages.context import House
    from dashboard.runs import Runs
    from sensors.clock import city_clock

    house = House(city, city_clock(city.path), Runs(city), Basemap(city), True, "viewer", "/palette/x.bin")
    page = VIEWS[path].layout(house, asked(path, f"?lang={language}&layer=x&t=x&night=../..&scenario=../..", role))
    assert len(page) == (3 if path == "/plan" and may(role, "plan") else 2)  # the third is the desk


def test_a_city_with_an_empty_shelf_says_so(tmp_path):
    town = make_city(tmp_path / "town")
    scene = json.loads(ask(build(town.path, switch=True, warm=False), "/live/scene?lang=fr")[2])
    assert scene["state"] == "empty"
    assert "pas encore de carte" in scene["words"]["banner"]


def test_a_city_without_a_purpose_is_served_in_the_demo_only(city, tmp_path):
    folder = tmp_path / "town"
    shutil.copytree(city.path, folder)
    settings = City.open(folder).settings
    import msgspec

    write_settings(folder, msgspec.structs.replace(settings, purpose=type(settings.purpose)()))
    with pytest.raises(CityError, match=r"\[purpose\]"):
        build(folder, warm=False)
    build(folder, switch=True, warm=False)


def test_a_plan_claims_no_more_digits_than_its_interval_bears_and_names_its_night():
    row = {"passages": 5651.0, "passages_low": 3464.0, "passages_high": 7839.0, "safety": 1.5, "safety_low": 0.9,
           "safety_high": 2.0, "energy_kwh": -12.4, "lamps_changed": 220}  # fmt: skip
    said = dict(scenario_rows({"table": [row], "night": "2026-11-13", "typical": False}, words("en")))
    assert said["Planned with"] == "readings of Fri\u00a013\u00a0Nov"
    assert "+5,700\u00a0passages\n(90\u00a0%:\u00a03,500\u00a0to\u00a07,800)" in said.values()
    assert "+1.5\u00a0points\n(90\u00a0%:\u00a00.9\u00a0to\u00a02.0)" in said.values()
    assert "\u221212\u00a0kWh" in said.values()


def test_readings_used_are_those_of_the_last_step_and_not_a_sum_of_all(city):
    closed = [{"records": records, "step": "2026-11-20T18:00:00.000Z"} for records in (900, 1200, 1100)]
    meta = {"closed": closed, "code": "python 3.11.7, noctule", "written": "2026-11-21T04:13:13.172Z"}
    run = Run("n", "2026-11-20", (), np.array([], "M8[ms]"), (), frozenset(), meta, Runs(city).frame, None)
    said = str(provenance(run, asked("/research", "", "researcher"), city.zone))
    assert "1,200" in said
    assert "21 Nov 06:13" in said and "UTC" not in said  # Helsinki's time, as every time on the page
    assert "python 3.11.7, noctule" in said


def test_a_csv_is_of_the_step_and_the_layer_that_are_shown(app):
    step = "2026-11-20T18:15:00.000Z"
    status, _, body = ask(app, f"/export?night=2026-11-20&format=csv&layer=light&step={step}", role="researcher")
    assert status == 200
    head, *rows = [line for line in body.decode().splitlines() if not line.startswith("#")]
    assert "illuminance" in head
    assert rows
    assert all("2026-11-20T18:15:00" in row for row in rows)
    assert ask(app, "/export?night=2026-11-20&format=csv&layer=light&step=soon", role="researcher")[0] == 404


def test_the_link_to_a_csv_names_one_step_since_a_night_of_a_city_is_too_much_for_one(city):
    run = Runs(city).get("2026-11-20")
    links = str(taking(city, run, asked("/research", "", "researcher")))
    assert "format=csv&layer=safety&step=2026-11-20T18%3A30%3A00.000Z" in links


def test_only_an_embedded_page_may_stand_in_the_pages_that_the_city_names(city, tmp_path):
    from msgspec import structs

    folder = tmp_path / "town"
    shutil.copytree(city.path, folder)
    opened = City.open(folder)
    write_settings(
        folder,
        structs.replace(
            opened.settings, embed=structs.replace(opened.settings.embed, ancestors=("https://www.example.org",))
        ),
    )
    app = build(folder, switch=True, warm=False)

    def ancestors(path):
        policy = ask(app, path)[1]["content-security-policy"]
        return next(part for part in policy.split("; ") if part.startswith("frame-ancestors"))

    assert ancestors("/?embed=1") == "frame-ancestors 'self' https://www.example.org"
    assert ancestors("/research?lang=fr&embed=1") == "frame-ancestors 'self' https://www.example.org"
    for path in ("/", "/?embed=0", "/?embed=0&embed=1", "/about?embed=1", "/answers?embed=1", "/ask?embed=1"):
        assert "example.org" not in ask(app, path)[1]["content-security-policy"], path


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.org; script-src *",
        "*",
        "javascript:alert(1)",
        "https://a.org/path",
        "https://",
        "https://a.org b.org",
    ],
)
def test_what_is_no_origin_is_refused_as_an_ancestor(city, tmp_path, origin):
    folder = tmp_path / "town"
    shutil.copytree(city.path, folder)
    file = folder / "city.toml"
    settings = file.read_text("utf-8")
    assert "ancestors = []" in settings
    file.write_text(settings.replace("ancestors = []", f'ancestors = ["{origin}"]'), "utf-8")
    with pytest.raises(CityError, match=r"embed\.ancestors"):
        City.open(folder)


def test_a_picture_for_phones_is_made_of_our_own_addresses_only(app):
    good = "http%3A%2F%2F127.0.0.1%3A8050%2F%3Flang%3Dfr%2316%2F60.1%2F24.9"
    status, headers, body = ask(app, f"/qr.svg?to={good}")
    assert (status, headers["content-type"]) == (200, "image/svg+xml")
    assert b"<svg" in body and b"<script" not in body
    for to in ("https://elsewhere.example/", "javascript:alert(1)", "http://127.0.0.1:8050@elsewhere.example/", "", "http://[",
               "http://127.0.0.1:8050/?" + "x" * 700, "http://127.0.0.1:8050/%C3%A9%F0"):  # fmt: skip
        assert ask(app, f"/qr.svg?to={to}")[0] == 404, to


def test_the_page_wears_the_theme_of_its_address_and_no_other_word(app):
    assert b'data-theme="light"' in ask(app, "/?theme=light")[2]
    for theme in ("", "pink", "%22%3E%3Cscript%3E"):
        assert b"data-theme" not in ask(app, f"/?theme={theme}")[2]


@pytest.mark.parametrize("ground", ["dark", "light", "contrast"])
def test_every_ground_has_its_colours_and_no_other_has(app, ground):
    import hashlib

    from dashboard.routes import PALETTE_LAYERS, palettes

    digest = hashlib.sha256(b"".join(map(palettes, ("dark", "light", "contrast")))).hexdigest()[:12]
    status, _, body = ask(app, f"/palette/{digest}/{ground}.bin")
    assert status == 200 and len(body) == len(PALETTE_LAYERS) * 16 * 101 * 4
    for wrong in ("pink.bin", f"{ground}", f"x/{ground}.bin", "../dark.bin"):
        assert ask(app, f"/palette/{digest}/{wrong}")[0] == 404


def test_the_table_of_a_view_respects_who_asks(city):
    from dashboard.basemap import Basemap
    from dashboard.pages.context import House
    from dashboard.pages.stage import table_of_view
    from sensors.clock import city_clock

    house = House(city, city_clock(city.path), Runs(city), Basemap(city), True, "viewer", "")
    run = house.runs.get("2026-11-20")
    view = {
        "run": run.name,
        "frame": 0,
        "version": run.versions[0],
        "layer": "light",
        "zoom": 16,
        "box": [20, 50, 30, 70],
    }
    gone = words("en")("details.gone")

    def table(role, **changes):
        return str(table_of_view(house, asked("/", "lang=en", role), view | changes)[0].to_plotly_json())

    assert "Middle Road" in table("viewer")
    assert gone in table("public")
    for wrong in ({"run": "../x"}, {"frame": 99}, {"frame": "x"}, {"version": "0"}, {"layer": "crime"}, {"box": [1]},
                  {"box": "abcd"}, {"zoom": None}, {"zoom": 1e999}, {"box": [None] * 4}):  # fmt: skip
        assert gone in table("viewer", **wrong), wrong
    assert gone in str(table_of_view(house, asked("/", "lang=en", "viewer"), None)[0].to_plotly_json())


def test_a_copied_link_shows_its_night_tomorrow_too(city):
    from dashboard.basemap import Basemap
    from dashboard.pages.context import House
    from sensors.clock import city_clock

    house = House(city, city_clock(city.path), Runs(city), Basemap(city), True, "viewer", "")

    def follows(role, time):
        page = VIEWS["/"].layout(house, asked("/", f"t={time}", role))
        return next(part.url for part in page[-1]._traverse() if getattr(part, "id", "") == "follow").partition("run=")[
            2
        ]

    assert follows("viewer", "") == follows("viewer", "nonsense") == follows("viewer", "2") == ""
    assert follows("viewer", "2026-11-20T19:00:00Z") == ""  # tonight
    assert follows("public", "2026-11-18T19:00:00Z") == "public-2026-11-18"
    assert follows("public", "2026-11-20T19:00:00Z") == ""
    assert follows("viewer", "9999-12-31T23:59:59Z") == ""


def test_late_scripts_have_addresses_that_never_change_their_meaning(app, tmp_path, monkeypatch):
    from dashboard import late_scripts

    (tmp_path / "plan.js").write_text("window.x = 1;")
    monkeypatch.setattr(late_scripts, "_FOLDER", tmp_path)
    late = late_scripts.LateScripts()
    media, body = late.body(f"/late/{late.digest}/plan.js")
    assert media.startswith(b"text/javascript") and gzip.decompress(body) == b"window.x = 1;"
    for path in ("/late/000000000000/plan.js", f"/late/{late.digest}/other.js", f"/late/{late.digest}/../app.py"):
        assert late.body(path) is None
        assert ask(app, path)[0] == 404
