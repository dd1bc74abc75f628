"""The frame around the map: the phone's tray, keys, the sheet of a view, and what axe-core says of every page."""

import io

import numpy as np
import pytest
from PIL import Image

from dashboard.app import VIEWS
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


@pytest.mark.parametrize(
    ("path", "phone", "language"),
    [("/", "upright", "en"), ("/", "small", "fr"), ("/", "on its side", "fr"), ("/research", "small", "fr")],
)
def test_at_its_lowest_stop_the_tray_leaves_the_map_four_fifths(visit, path, phone, language):
    width, height = PHONES[phone]
    page = visit(f"{path}?lang={language}", width, height, role="viewer")
    settled(page, "peek")
    page.wait_for_timeout(300)
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


MAPPED = ("/", "/plan", "/research")


@pytest.mark.parametrize("screen", [(1600, 900), (390, 844)], ids=["desktop", "phone"])
@pytest.mark.parametrize("path", MAPPED)
def test_no_pixel_of_the_map_shows_through_what_lies_over_it(visit, path, screen):
    """The map is painted in a colour that nothing else has, and then looked for where panels stand."""
    page = visit(f"{path}?lang=en&theme=dark", *screen, role="planner")
    parts = ["#panel", ".timebar"]
    if page.is_visible("#tray-handle"):
        page.click("#tray-handle")
        settled(page, "half")
        parts.append("#tray")
    page.evaluate(
        "() => { const paint = document.createElement('div'); paint.style.cssText ="
        " 'position:absolute;inset:0;z-index:10000;background:rgb(255,0,255)';"
        " document.getElementById('map').appendChild(paint); }"
    )
    shown = np.array(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)

    def painted(part):
        return (shown[part] == (255, 0, 255)).all(axis=-1)

    assert painted(np.s_[:, :]).mean() > 0.2  # the map is there at all
    for name in parts:
        if (name, path) == (".timebar", "/plan") and not page.is_visible(name):
            continue  # a plan of one step has none
        box = page.locator(name).bounding_box()
        left, top = round(box["x"]) + 15, round(box["y"]) + (15 if screen[0] > 700 else 3)
        right, bottom = round(box["x"] + box["width"]) - 15, min(round(box["y"] + box["height"]) - 15, screen[1])
        assert not painted(np.s_[top:bottom, left:right]).any(), name


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_page_fits_320_pixels_and_twice_the_size_of_text(visit, language):
    """320 x 568, and a desktop window of 1280 x 720 at 200 %, which is one of 640 x 360."""
    page = visit(f"/about?lang={language}", 320, 568, role="admin", waits=False)
    until(page, "!!document.querySelector('main')")
    for path in VIEWS:
        page.evaluate(f"window.noctule.go({{lang: '{language}'}}, '{path}')")
        until(page, f"location.pathname === '{path}' && !!document.querySelector('main')")
        page.wait_for_timeout(600)
        for width, height in ((320, 568), (640, 360)):
            page.set_viewport_size({"width": width, "height": height})
            if page.is_visible("#tray-handle") and page.evaluate(STOP) == "peek":
                page.click("#tray-handle")
                settled(page, "half")
            page.wait_for_timeout(100)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
            assert page.evaluate(BEYOND) == [], (path, width)
            page.click("#menu-button")
            assert page.is_visible("nav a[aria-current]"), (path, width)
            page.keyboard.press("Escape")


# Controls that are cut off at a side of the screen and cannot be brought into it by scrolling what they stand in.
BEYOND = """(() => {
  const moves = at => /auto|scroll/.test(getComputedStyle(at).overflowX) && at.scrollWidth > at.clientWidth + 1;
  const scrolls = one => { for (let at = one.parentElement; at; at = at.parentElement) if (moves(at)) return true; };
  const controls = [...document.querySelectorAll(':is(main, header) :is(button, a[href], select, input, summary)')];
  return controls.filter(one => {
    const box = one.getBoundingClientRect(), style = getComputedStyle(one);
    if (!box.width || style.visibility === 'hidden' || style.opacity === '0' || one.matches('.skip')) return false;
    return (box.left < -1 || box.right > innerWidth + 1) && !scrolls(one);
  }).map(one => (one.id || one.className || one.textContent).slice(0, 40));
})()"""


@pytest.mark.parametrize(("path", "language"), [("/", "fr"), ("/research", "en"), ("/plan", "fr")])
def test_tab_goes_header_layers_map_details_time_and_never_hides_what_it_reaches(visit, path, language):
    page = visit(f"{path}?lang={language}", 1280, 800, role="admin")
    page.focus("#map")
    page.keyboard.press("Enter")
    until(page, "!document.getElementById('details').hidden")
    page.evaluate("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    page.evaluate("document.querySelector('a.skip').focus()")
    order = []
    for seen in range(150):
        where, hidden = page.evaluate(REACHED)
        if where == "nowhere" or (seen > 4 and where == "header" and order[-1] != "header"):
            break
        assert not hidden, hidden
        if not order or order[-1] != where:
            order.append(where)
        page.keyboard.press("Tab")
    expected = [part for part in ("header", "panel", "map", "details", "time") if part in order]
    assert [part for part in order if part in expected] == expected, order
    assert {"header", "panel", "map", "details"} <= set(order)


# In which part of the page the focus is, and what of it nobody could see: its middle lies under something else.
REACHED = """(() => {
  const one = document.activeElement;
  if (!one || one === document.body) return ['nowhere', ''];
  const part = ['header', '#panel', '#map', '#details', '#time'].find(name => one.closest(name));
  const shown = one.closest('label') || one, box = shown.getBoundingClientRect();
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + Math.min(box.height, 40) / 2);
  const free = one.id === 'map' || box.width < 3 || one.closest('.track, .leaflet-container');
  const seen = free || (top && (shown.contains(top) || top.contains(shown)));
  const told = seen ? '' : (one.id || one.className || one.tagName) + ' under ' + (top && (top.id || top.className));
  return [part ? part.replace('#', '') : 'other', told];
})()"""
