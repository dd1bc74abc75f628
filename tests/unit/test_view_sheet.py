"""A view on paper shows what the screen shows, says what it must say, and takes no address at its word."""

import io

import numpy as np
import pytest
from PIL import Image

from dashboard.basemap import Basemap
from dashboard.pages.context import House
from dashboard.palette import lookup
from dashboard.place_table import Row
from dashboard.runs import Runs
from dashboard.sheet_map import PIXELS, Dots, drawn, map_picture
from dashboard.sheet_route import Sheets, own_link
from dashboard.tiles import NOTHING
from dashboard.view_sheet import MOST_PLACES, View, run_of, sheet_content, view_of, view_sheet
from dashboard.words import words
from sensors.clock import city_clock, set_clock
from tests import synthetic_atlas
from tests.synthetic_city import make_city

NIGHT = "2026-11-19"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    city = make_city(tmp_path_factory.mktemp("sheet") / "smalltown")
    synthetic_atlas.write_night(city, NIGHT, steps=3)
    synthetic_atlas.write_plan(city)
    set_clock(city.path, np.datetime64("2026-11-20T19:12", "ms"), 1e-6)
    return House(city, city_clock(city.path), Runs(city), Basemap(city), True, "viewer", "")


def view(house, layer="safety", frame=1, over=(), run=NIGHT, box=None):
    return View(run, frame, layer, over, box or house.runs.frame.bounds_lonlat, 15)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_sheet_is_a_tagged_pdf_in_its_language_and_small(house, language):
    body = view_sheet(house, "viewer", view(house, over=("stops",)), words(language), "http://127.0.0.1/?lang=fr")
    assert body.startswith(b"%PDF-") and len(body) < 1_500_000
    for told in (b"pdfuaid", b"/StructTreeRoot", f"/Lang({language})".encode()):
        assert told in body, told


def test_the_same_view_gives_the_same_bytes(house):
    first, second = (view_sheet(house, "viewer", view(house), words("en"), "") for _ in range(2))
    assert first == second


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_sheet_says_what_no_view_may_leave_without(house, language):
    say, run = words(language), house.runs.get(NIGHT)
    rows = [Row(f"Place {number}", 62.4, 13) for number in range(90)]
    content = sheet_content(house, run, view(house), rows, say)
    assert content["note"] == say("note.line") and content["model"] == say("note.model")
    assert content["sources"] and say("about.missing") in content["missing"]
    assert "20:15" in content["when"] and "20:30" in content["when"]  # the city's time, not the clock of the server
    assert len(content["rows"]) == MOST_PLACES and len(content["heads"]) == len(content["rows"][0]) == 3
    assert [len(tier["colours"]) for tier in content["tiers"]] == [8, 4, 2, 1]
    assert any("patr" in text for text in content["purpose"])


def test_numbers_stand_in_the_format_of_the_language(house):
    run = house.runs.get(NIGHT)
    cells = [
        sheet_content(house, run, view(house, "light"), [Row("A", 0.26, 13)], words(language))["rows"][0][1]
        for language in ("en", "fr")
    ]
    assert cells == ["0.26 lx", "0,26 lx"]


def test_a_pixel_of_the_picture_has_the_colour_of_its_value(house):
    run = house.runs.get(NIGHT)
    levels = house.runs.levels(NIGHT, "safety", 1, run.versions[1])
    longitude, latitude = run.frame.lonlat(19, 21)
    box = (longitude - 2e-4, latitude - 1e-4, longitude + 2e-4, latitude + 1e-4)
    picture = map_picture(lambda *place: None, run.frame, levels, "safety", box, [])
    assert picture.size == PIXELS
    packed = int(levels[0][20, 22])
    red, green, blue, alpha = (float(part) for part in lookup("safety", "light")[packed >> 8, packed & 255])
    land = np.array([0xF4, 0xF2, 0xED])
    called_for = np.array([red, green, blue]) * alpha / 255 + land * (1 - alpha / 255)
    middle = np.array(picture.getpixel((PIXELS[0] // 2, PIXELS[1] // 2)), float)
    assert packed & 255 != NOTHING and np.abs(middle - called_for).max() <= 3


def test_a_lamp_with_a_fault_is_drawn_as_more_than_a_colour(house):
    run = house.runs.get(NIGHT)
    levels = house.runs.levels(NIGHT, "safety", 1, run.versions[1])
    place = run.frame.lonlat(19, 21)
    shown = [
        np.array(map_picture(lambda *at: None, run.frame, levels, "safety", run.frame.bounds_lonlat,
                             [Dots("lamps", [place], [fault])]).convert("L"), int)
        for fault in (False, True)
    ]  # fmt: skip
    assert (np.abs(shown[0] - shown[1]) > 25).sum() >= 30


def test_simulated_is_drawn_across_the_picture(house):
    picture = Image.new("RGB", (400, 300), "white")
    mark = 'SIMULATED <"not" what people said>'
    assert drawn(picture, mark).count("SIMULATED &lt;&quot;not") >= 2
    assert "<text" not in drawn(picture, "")
    import base64

    inside = drawn(picture, "").split("base64,")[1].split('"')[0]
    assert Image.open(io.BytesIO(base64.b64decode(inside))).size == (400, 300)


def test_a_role_gets_no_sheet_of_what_it_may_not_see(house):
    assert view_sheet(house, "public", view(house), words("en"), "") is None
    plan = view(house, "safety_change", 0, run="plan-brighter-park")
    assert run_of(house, "viewer", plan) is None and run_of(house, "planner", plan) is not None


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"run": NIGHT, "frame": "1", "layer": "safety", "box": "1,2,3"},
        {"run": NIGHT, "frame": "1", "layer": "safety", "box": "nan,0,1,1"},
        {"run": NIGHT, "frame": "1", "layer": "safety", "box": "0,0,inf,1"},
        {"run": NIGHT, "frame": "1e3", "layer": "safety", "box": "0,0,1,1"},
        {"run": NIGHT, "frame": "1", "layer": "safety", "box": "2,0,1,1"},
        {"run": NIGHT, "frame": "1", "layer": "safety", "box": "0,-89,1,1"},
        {"run": NIGHT, "frame": "1", "layer": "safety", "box": "0,0,1,1", "zoom": "x"},
    ],
)
def test_an_address_without_sense_is_no_view(query):
    assert view_of(query) is None


@pytest.mark.parametrize(
    ("run", "frame", "layer"),
    [("../../etc", 0, "safety"), (NIGHT, -1, "safety"), (NIGHT, 99999, "safety"), (NIGHT, 1, "<script>")],
)
def test_a_view_of_nothing_that_is_there_is_refused(house, run, frame, layer):
    assert run_of(house, "admin", view(house, layer, frame, run=run)) is None


def test_a_view_far_from_the_city_shows_the_city(house):
    assert view_sheet(house, "viewer", view(house, box=(-179.0, -80.0, 179.0, 80.0)), words("en"), "")
    assert view_sheet(house, "viewer", view(house, box=(100.0, 10.0, 101.0, 11.0)), words("en"), "")


@pytest.mark.parametrize(
    ("to", "kept"),
    [
        ("http://here:80/?lang=en#15/1/2", True),
        ("http://elsewhere/?lang=en", False),
        ("javascript:alert(1)", False),
        ("http://here:80/" + "x" * 700, False),
        ("http://here:80/\n", False),
        ("http://[", False),
    ],
)
def test_only_an_address_of_this_server_is_printed(to, kept):
    assert bool(own_link({"headers": [(b"host", b"here:80")]}, to)) == kept


def test_a_sheet_is_set_once_a_minute_and_said_in_words_where_there_is_none(house):
    import asyncio

    def ask(query, role="viewer"):
        sheets = Sheets(house, lambda scope: role)
        scope = {"type": "http", "method": "GET", "path": "/sheet", "query_string": query.encode(), "headers": []}

        async def twice():
            first = await sheets(scope, None)
            return first, await sheets(scope, None)

        return asyncio.run(twice())

    good = f"run={NIGHT}&frame=1&layer=safety&box=" + ",".join(map(str, house.runs.frame.bounds_lonlat))
    (status, headers, body), (_, _, again) = ask(good)
    assert status == 200 and again is body
    assert dict(headers)[b"content-disposition"].endswith(b'safety.en.pdf"')
    (status, _, body), _ = ask(good.replace("frame=1", "frame=77"))
    assert status == 404 and body.decode() == words("en")("details.gone")
    assert ask(good, "public")[0][0] == 403
