"""Themes, the table, embedded pages and the address of a view, in a real browser."""

import re

import numpy as np
import pytest

from dashboard.basemap import LAND
from dashboard.palette import GROUNDS, lookup, rgb
from dashboard.runs import Runs
from tests.journeys.town import NEEDS_CHROMIUM, colour_at, screen_of, until, violations

THEMES = ("dark", "light", "contrast", "projector")
SCREENS = {"desktop": (1600, 900), "phone": (390, 844)}

pytestmark = NEEDS_CHROMIUM


def known_cell(city):
    """A cell of the park, open ground without lines of the basemap: its place and its pixel."""
    runs = Runs(city)
    now = runs.get("now")
    packed = int(runs.levels("now", "safety", 0, now.versions[0])[0][20, 22])
    return (*runs.frame.lonlat(19, 21), packed & 255, packed >> 8)


@pytest.mark.parametrize("ground", GROUNDS)
def test_a_pixel_has_the_colour_that_its_value_has_on_the_ground_of_the_theme(town, visit, ground):
    longitude, latitude, value, confidence = known_cell(town.city)
    page = visit(f"/?lang=en&theme={ground}#18/{latitude:.6f}/{longitude:.6f}")
    red, green, blue, alpha = (float(part) for part in lookup("safety", ground)[confidence, value])
    called_for = np.array([red, green, blue]) * alpha / 255 + rgb(LAND[ground]) * (1 - alpha / 255)
    page.evaluate("() => { document.querySelector('.simulated-mark').style.visibility = 'hidden'; }")
    assert np.abs(colour_at(page, *screen_of(page, latitude, longitude)) - called_for).max() <= 3


def test_the_theme_is_the_devices_until_somebody_chooses(visit):
    worn = "document.documentElement.dataset.theme"
    assert visit("/about", waits=False, color_scheme="light").evaluate(worn) == "light"
    assert visit("/about", waits=False, contrast="more").evaluate(worn) == "contrast"
    page = visit("/?lang=en", color_scheme="light")
    page.select_option("#theme", "dark")
    until(page, f"{worn} === 'dark'")
    assert "theme=dark" in page.url
    page.click("a.page-tab >> text=About")
    until(page, "location.pathname === '/about'")
    assert "theme=dark" in page.url
    page.select_option("#theme", "")
    until(page, f"{worn} === 'light'")
    assert "theme" not in page.url


@pytest.mark.slow
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_on_any_page(visit, theme, language, screen):
    width, height = SCREENS[screen]
    for path in ("/", "/research", "/plan", "/about", "/answers"):
        mapped = path not in ("/about", "/answers")
        page = visit(f"{path}?lang={language}&theme={theme}", width, height, role="planner", waits=mapped)
        until(page, "!!document.querySelector('main')")
        assert violations(page) == [], path
        if path == "/" and theme != "projector":
            if screen == "phone":
                page.click("#tray-handle")
                assert violations(page) == [], "half open"
            page.click("#to-table")
            until(page, "!document.getElementById('places').hidden")
            assert violations(page) == [], "the table"
        page.context.close()


@pytest.mark.parametrize("theme", THEMES)
def test_at_320_pixels_nothing_is_wider_than_the_screen(visit, theme):
    for path in ("/", "/about"):
        page = visit(f"{path}?lang=fr&theme={theme}", 320, 640, waits=path == "/")
        until(page, "!!document.querySelector('main')")
        assert page.evaluate("document.documentElement.scrollWidth") == 320
        page.click("#menu-button")
        for control in ("#theme",) if path == "/about" or theme == "projector" else ("#theme", "#to-table"):
            if control == "#to-table":
                page.keyboard.press("Escape")
                page.click("#tray-handle")
            page.locator(control).scroll_into_view_if_needed()
            box = page.locator(control).bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 320, control
        page.context.close()


def test_the_table_lists_what_the_map_shows_and_only_when_asked(town, visit):
    page = visit("/?lang=en")
    page.focus("#to-table")
    page.keyboard.press("Enter")
    until(page, "document.activeElement.id === 'places-title'")
    rows = page.evaluate(
        "[...document.querySelectorAll('#places tbody tr')].map(row => [...row.children].map(c => c.textContent))"
    )
    assert rows and len(rows) <= 200
    names = [row[0] for row in rows]
    assert names == sorted(names, key=str.casefold)
    from pyproj import Transformer

    from dashboard.street_list import street_list

    places = street_list(town.city).places
    to_lonlat = Transformer.from_crs(town.city.crs, "EPSG:4326", always_xy=True)
    told = 0
    for name, value, *_ in rows:
        longitude, latitude = to_lonlat.transform(*places[name])
        shown = page.evaluate("([a, b]) => window.noctule.readTile(a, b)", [latitude, longitude])
        if shown and shown[0] <= 100:
            told += int(value.split(" ")[0]) == shown[0]
        else:
            told += value == "No evidence"
    assert told == len(rows)
    page.keyboard.press("Escape")
    until(page, "document.getElementById('places').hidden && document.activeElement.id === 'to-table'")
    page.click("input[name=layer][value=light]", force=True)
    until(page, "window.noctule.stats.painted.startsWith('light/')")
    assert page.is_hidden("#places")
    page.click("#to-table")
    until(page, "/Light/.test(document.getElementById('places-title').textContent)")
    assert "lx" in page.inner_text("#places tbody")


def test_an_embedded_page_shows_the_map_and_what_it_must_say_and_nothing_else(visit):
    page = visit("/?lang=en&embed=1&layer=light", 640, 480)
    for shown in ("#map", ".noteline", ".legend[data-layer=light]", ".sources", ".simulated-mark"):
        assert page.is_visible(shown), shown
    outside = ("header", "nav", "#title", "#layer", "#of", "#overlays", "#time", ".acts", "#details", "#banner")
    for hidden in (*outside, "#status", ".clocks", "#places", "#wall", "#theme", "#role"):
        assert not page.is_visible(hidden), hidden
    assert page.evaluate("document.querySelector('.simulated-mark').style.visibility") == "visible"
    page.mouse.click(420, 240)
    page.wait_for_timeout(300)
    assert page.is_hidden("#details") and "at=" not in page.url
    assert violations(page) == []


def test_a_projector_shows_legend_clock_and_a_code_for_phones(visit):
    page = visit("/research?lang=en&theme=projector&layer=light", role="viewer")
    until(page, "document.querySelector('.wall img') && document.querySelector('.wall img').naturalWidth > 0")
    for shown in (".legend[data-layer=light]", ".noteline", ".clock", ".wall", "#theme"):
        assert page.is_visible(shown), shown
    until(page, "/t=2026/.test(document.querySelector('.wall a').href)")
    for hidden in ("nav", "#layer", "#of", "#time-range", "#to-table", "#night"):
        assert not page.is_visible(hidden), hidden
    link = page.get_attribute(".wall a", "href")
    assert "layer=light" in link and "t=2026-11-" in link and "theme" not in link and "#" in link


def test_back_undoes_a_choice_at_a_time_without_leaving_the_map(visit):
    page = visit("/?lang=en")
    painted = "window.noctule.stats.painted.startsWith('{}/')"
    page.click("input[name=layer][value=light]", force=True)
    until(page, painted.format("light"))
    page.click("input[name=layer][value=noise]", force=True)
    until(page, painted.format("noise"))
    page.select_option("#theme", "light")
    page.go_back()
    until(page, "document.documentElement.dataset.theme === 'dark'")
    page.go_back()
    until(page, painted.format("light"))
    assert page.is_checked("input[name=layer][value=light]")
    page.go_back()
    until(page, painted.format("safety"))
    page.go_forward()
    until(page, painted.format("light"))


def test_a_copied_link_shows_the_same_view_in_another_window(town, visit):
    page = visit("/?lang=en&of=women&over=stops", permissions=["clipboard-read", "clipboard-write"])
    page.focus("#time-range")
    page.keyboard.press("Home")
    until(page, "document.querySelector('.clock').textContent === '20:00'")
    page.click("#copy")
    until(page, "/copied/.test(document.querySelector('.acts').textContent)")
    link = page.evaluate("navigator.clipboard.readText()")
    assert re.search(r"t=2026-11-20T18%3A00", link)
    other = visit(link.removeprefix(town.url))
    until(other, "document.querySelector('.clock').textContent === '20:00'")
    until(other, "window.noctule.stats.painted.startsWith('safety_women/')")
    assert other.is_checked("#overlays input >> nth=2") or "over=stops" in other.url


def test_curve_and_small_map_wear_the_theme(town, visit):
    longitude, latitude, *_ = known_cell(town.city)
    page = visit(f"/?lang=en&at={latitude:.5f},{longitude:.5f}")
    until(
        page,
        "!!document.querySelector('#details .curve') && /dark.png$/.test(document.getElementById('gap-picture').src)",
    )
    dark = page.get_attribute("#details .curve", "src")
    page.select_option("#theme", "light")
    until(page, "/light.png$/.test(document.getElementById('gap-picture').src)")
    until(page, "decodeURIComponent(document.querySelector('#details .curve').src).includes('#1d6b3c')")
    assert page.get_attribute("#details .curve", "src") != dark and "%7B" not in page.get_attribute(
        "#details .curve", "src"
    )
    until(page, "document.getElementById('gap-picture').naturalWidth > 10")
