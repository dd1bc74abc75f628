"""The frame around the map: the phone's tray, keys, the sheet of a view, and what axe-core says of every page."""

import pytest

from dashboard.runs import Runs
from tests.journeys.town import NEEDS_CHROMIUM, screen_of, until

PHONES = {"upright": (390, 844), "small": (320, 568), "on its side": (844, 390)}
STOP = "(document.querySelector('main') || document.body).dataset.tray"
# How far the tray reaches up, as a share of what lies under the header.
COVERED = (
    "(() => { const all = document.querySelector('main').getBoundingClientRect(),"
    " top = document.getElementById('tray').getBoundingClientRect().top; return (all.bottom - top) / all.height; })()"
)

pytestmark = NEEDS_CHROMIUM


def settled(page, stop):
    until(page, f"{STOP} === '{stop}'")
    page.wait_for_timeout(260)


def slide(page, by):
    """Drag the tray's handle by so many pixels as a finger does, upwards where negative."""
    box = page.locator("#tray-handle").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 9):
        at = [{"x": x, "y": y + by * step / 8}]
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": at})
        page.wait_for_timeout(40)
    page.wait_for_timeout(120)  # the finger rests, so that this is no throw
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.parametrize(("phone", "language"), [("upright", "en"), ("small", "fr"), ("on its side", "fr")])
def test_at_its_lowest_stop_the_tray_leaves_the_map_four_fifths(visit, phone, language):
    width, height = PHONES[phone]
    page = visit(f"/?lang={language}", width, height)
    settled(page, "peek")
    assert page.locator("header").bounding_box()["height"] == 48
    assert page.evaluate(COVERED) <= 0.2
    for shown in ("#tray .ramp", "#time .clock", ".sources", ".simulated-mark"):
        assert page.is_visible(shown), shown
    assert page.evaluate("document.documentElement.scrollWidth") == width
    reached = set()
    for _ in range(24):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('#panel, #details') ? 'beneath' : 'seen'"))
    assert reached == {"seen"}


@pytest.mark.parametrize("phone", ["small", "on its side"])
def test_the_tray_is_moved_by_presses_and_keys_and_its_stop_stands_in_the_address(visit, phone):
    page = visit("/?lang=en", *PHONES[phone])
    handle = page.locator("#tray-handle")
    assert handle.get_attribute("aria-expanded") == "false"
    handle.click()
    settled(page, "half")
    assert handle.get_attribute("aria-expanded") == "true" and "tray=half" in page.url
    assert page.is_visible("#layer")
    handle.click()
    settled(page, "full")
    assert page.evaluate(COVERED) >= 0.99
    page.reload()
    settled(page, "full")
    page.keyboard.press("Escape")
    settled(page, "half")
    page.keyboard.press("Escape")
    settled(page, "peek")
    assert "tray" not in page.url
    handle.focus()
    page.keyboard.press("ArrowUp")
    settled(page, "half")
    page.keyboard.press("ArrowDown")
    settled(page, "peek")
    handle.focus()
    page.keyboard.press("Enter")
    settled(page, "half")


def test_a_finger_drags_the_tray_to_the_nearest_stop(visit):
    page = visit("/?lang=en", 390, 844, has_touch=True)
    settled(page, "peek")
    slide(page, -330)
    settled(page, "half")
    slide(page, -300)
    settled(page, "full")
    slide(page, 40)
    settled(page, "full")
    slide(page, 650)
    settled(page, "peek")
    box = page.locator("#tray-handle").bounding_box()
    page.touchscreen.tap(box["x"] + 190, box["y"] + 12)
    settled(page, "half")


def test_a_place_that_is_read_lifts_the_tray_and_stays_in_sight(town, visit):
    longitude, latitude = Runs(town.city).frame.lonlat(19, 21)
    page = visit(f"/?lang=en#17/{latitude + 0.0012:.5f}/{longitude:.5f}", 390, 844, has_touch=True)
    settled(page, "peek")
    assert screen_of(page, latitude, longitude)[1] > 480  # where the tray comes to lie
    page.touchscreen.tap(*screen_of(page, latitude, longitude))
    settled(page, "half")
    until(page, "/of 100/.test(document.getElementById('details').textContent)")
    assert page.is_visible("#details") and page.is_hidden("#layer")
    page.wait_for_timeout(700)
    pin, top = page.locator(".pin").bounding_box(), page.locator("#tray").bounding_box()["y"]
    assert pin["y"] >= 48 and pin["y"] + pin["height"] <= top
    page.keyboard.press("Escape")
    settled(page, "peek")
    assert page.is_hidden("#details")


def test_a_screen_that_is_turned_has_the_other_frame(visit):
    page = visit("/?lang=en&tray=half", 390, 844)
    settled(page, "half")
    page.set_viewport_size({"width": 1280, "height": 800})
    until(page, f"!{STOP}")
    assert page.is_visible("#panel") and page.is_hidden("#tray") and page.is_hidden("#menu-button")
    page.set_viewport_size({"width": 844, "height": 390})
    settled(page, "half")


def test_the_sheet_of_a_view_comes_as_a_pdf(visit):
    page = visit("/?lang=fr&layer=light&over=stops")
    page.focus("#to-sheet")
    with page.expect_download() as told:
        page.keyboard.press("Enter")
    assert told.value.suggested_filename.endswith("-light.fr.pdf")
    with open(told.value.path(), "rb") as file:
        body = file.read()
    assert body.startswith(b"%PDF-") and b"/Lang(fr)" in body and len(body) < 1_500_000


@pytest.mark.parametrize("theme", ["dark", "light", "contrast"])
def test_the_browsers_own_print_has_what_a_picture_must_say_and_no_controls(visit, theme):
    page = visit(f"/?lang=en&theme={theme}")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    for shown in (".noteline", ".sources", "#legends .legend[data-layer=safety]", "#map", ".simulated-mark", ".clock"):
        assert page.is_visible(shown), shown
    for hidden in ("nav", "#layer", "#of", ".acts", ".play", "#time-range", "#theme", ".leaflet-control-zoom", "#tray"):
        assert page.is_hidden(hidden), hidden
    link = page.evaluate("getComputedStyle(document.getElementById('main'), '::after').content")
    assert "t=2026-11-20" in link and "#" in link
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    map_box, sources = page.locator("#map").bounding_box(), page.locator(".sources").bounding_box()
    assert sources["y"] >= map_box["y"] + map_box["height"]
    page.emulate_media(media="screen")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF-")


def test_letters_move_on_and_list_the_keys_until_they_are_switched_off(visit):
    page = visit("/?lang=en")
    page.focus("#map")
    page.keyboard.press("l")
    until(page, "window.noctule.stats.painted.startsWith('gap_')")
    page.keyboard.press("Shift+L")
    until(page, "window.noctule.stats.painted.startsWith('safety/')")
    page.keyboard.press("?")
    until(page, "document.querySelector('#keys-list').open")
    assert "Next layer" in page.inner_text("#keys-list")
    page.keyboard.press("Space")  # the box, which has the focus
    page.keyboard.press("Escape")
    until(page, "!document.querySelector('#keys-list').open")
    page.focus("#map")
    page.keyboard.press("l")
    page.wait_for_timeout(300)
    assert page.is_checked("input[name=layer][value=safety]")
    page.focus("#keys")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#keys-list').open")


def test_the_way_past_the_header_keeps_the_place_in_the_address(visit):
    page = visit("/?lang=en")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    place = page.evaluate("location.hash")
    page.keyboard.press("Enter")
    until(page, "document.activeElement.id === 'main'")
    assert page.evaluate("location.hash") == place
    page.keyboard.press("Tab")
    assert page.evaluate("!!document.activeElement.closest('#panel')")
