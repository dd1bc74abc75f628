"""Live beside the map itself: what is usual, the last hours, the status line and who shares a stream."""

import numpy as np
import pytest

from analytics import atlas
from dashboard.runs import Runs
from tests import synthetic_atlas
from tests.journeys.town import NEEDS_CHROMIUM, screen_of, until, violations

pytestmark = NEEDS_CHROMIUM

FRIDAYS = ("2026-10-23", "2026-10-30", "2026-11-06", "2026-11-13")
STATUS = "document.getElementById('status').textContent"


@pytest.fixture(scope="module")
def usual(town):
    """Four Fridays on which the east was lit eight times as bright."""
    for name in FRIDAYS:
        night = synthetic_atlas.night(town.city, name)
        pages = []
        for step in atlas.night_steps(town.city, night)[:5]:
            page = synthetic_atlas.page(town.city, step)
            east = np.linspace(0, 1, page.sizes["easting"])[None, None, :] > 0.5
            page["illuminance"] = (page["illuminance"] * np.where(east, 8, 1)).astype("f4")
            pages.append((page, synthetic_atlas.meta(town.city)))
        atlas.write_night(town.city, night, pages, "atlas")
    return town


def test_versus_usual_colours_what_differs_and_greys_what_does_not(usual, visit):
    page = visit("/?lang=en&layer=light")
    assert page.is_hidden("#whom")
    # Which nights there are is looked up every few seconds.
    until(page, "(window.noctule.lookAgain(), !document.getElementById('versus').disabled)")
    page.focus("#versus")
    page.keyboard.press("Space")
    until(page, "window.noctule.stats.painted.startsWith('usual_light/now/')")
    assert "versus=usual" in page.url
    assert "4 earlier nights" in page.inner_text(".versus") and page.is_visible(".legend[data-layer=usual_light]")
    frame = Runs(usual.city).frame
    for column, sure in ((frame.shape[1] - 4, True), (4, False)):
        longitude, latitude = frame.lonlat(19, column)
        confidence = page.evaluate("([a, b]) => window.noctule.readTile(a, b)[1]", [latitude, longitude])
        assert (confidence >= 8) == sure
    longitude, latitude = frame.lonlat(19, frame.shape[1] - 4)
    page.evaluate("([a, b]) => window.noctule.map.setView([a, b], 17, { animate: false })", [latitude, longitude])
    page.wait_for_timeout(300)
    page.mouse.click(*screen_of(page, latitude, longitude))
    until(page, "/Differs from the usual/.test(document.getElementById('details').textContent)")
    said = page.inner_text("#details")
    assert "−88" in said and "%" in said and "SIMULATED" in said and "Usually" in said
    assert not violations(page)
    page.go_back()
    until(page, "window.noctule.stats.painted.startsWith('light/now/')")


def test_too_few_earlier_nights_are_said_and_cannot_be_chosen(usual, visit):
    page = visit("/research?lang=en&night=2026-11-19&versus=usual")
    assert page.is_disabled("#versus") and "at least 4" in page.inner_text(".versus")
    assert page.evaluate("window.noctule.stats.painted").startswith("safety/2026-11-19/")
    until(page, f"/^Replay · Thu.* 19 .*21:45/.test({STATUS})")


def test_an_earlier_step_is_called_a_replay_and_one_button_leads_back(town, visit):
    page = visit("/?lang=en")
    until(page, f"/Live/.test({STATUS})")
    page.focus("#time-range")
    page.keyboard.press("ArrowLeft")
    until(page, f"/Replay · Fri.* 20 .*20:45/.test({STATUS})")
    page.click("button.now")
    until(page, f"/Live · as of/.test({STATUS})")


def test_tabs_share_one_stream_and_the_next_takes_over(town, browser):
    context = browser.new_context(viewport={"width": 900, "height": 700})
    first, second = context.new_page(), context.new_page()
    for page in (first, second):
        page.goto(town.url + "/?lang=en")
        until(page, "!!(window.noctule && window.noctule.stats && window.noctule.stats.first)")
    assert [page.evaluate("window.noctule.streams || 0") for page in (first, second)] == [1, 0]
    told = town.map_now(2.0)
    until(second, f"window.noctule.stats.painted.endsWith('/{told['version']}')")
    first.close()
    until(second, "window.noctule.streams === 1")
    told = town.map_now(4.0)
    until(second, f"window.noctule.stats.painted.endsWith('/{told['version']}')")
    context.close()


def test_places_are_watched_by_keyboard_named_with_care_ordered_removed_and_kept(town, visit):
    longitude, latitude = Runs(town.city).frame.lonlat(19, 21)
    page = visit(f"/?lang=en&layer=light#17/{latitude:.6f}/{longitude:.6f}")
    page.click(".tools summary")
    page.wait_for_selector("#to-journal")

    def name(text):
        page.wait_for_selector(".watch form input")
        page.keyboard.press("Control+a")
        page.keyboard.type(text)
        page.keyboard.press("Enter")

    page.focus("[data-watch=middle]")
    page.keyboard.press("Enter")
    for refused, why in (("vénue-0 corner", "venue is called so"), ("<img src=x>", "simple signs"), (" ", "letter")):
        name(refused)
        until(page, f"/{why}/.test(document.getElementById('watch-told').textContent)")
    name("Park gate")
    until(page, "/lx/.test((document.querySelector('.watch .value') || {}).textContent)")
    until(page, "document.activeElement.className === 'go'")
    page.mouse.click(*screen_of(page, latitude, longitude + 0.0012))
    until(page, "!document.getElementById('details').hidden")
    page.click(".details [data-watch=place]")
    name("Stop & east")
    until(page, "document.querySelectorAll('.watch .value').length === 2")
    assert "interval" in page.inner_text(".watch") and "SIMULATED" in page.inner_text(".watch")
    assert not violations(page)
    page.click(".watch .card:nth-child(2) .earlier")
    until(page, "document.querySelector('.watch .go span').textContent === 'Stop & east'")
    page.click(".watch .card:nth-child(1) .remove")
    until(page, "document.querySelectorAll('.watch .card').length === 1 && document.activeElement.matches('.undo')")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('.watch .go span').textContent === 'Stop & east'")
    until(page, "document.querySelectorAll('.watch .value').length === 2")
    page.wait_for_timeout(400)
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/watch" in request.url else None)
    told = town.map_now(5.0)
    until(page, f"window.noctule.stats.painted.endsWith('/{told['version']}')")
    page.wait_for_timeout(400)
    assert len(asked) == 1  # one request for all places, and none without news
    page.reload()
    until(page, "document.querySelectorAll('.watch .value').length === 2")


def test_a_link_brings_places_only_when_asked_and_as_text(visit):
    hostile = "60.168,24.943,<img src=x onerror=alert(1)>;60.1681,24.9431,Venue 1;60.1682,24.9432,Corner;x;91,0,No"
    page = visit("/?lang=en&watch=" + hostile.replace("<", "%3C").replace(";", "%3B"))
    page.wait_for_selector(".keepthem")
    assert "<img src=x" in page.inner_text(".watch .ask") and not page.query_selector(".watch img")
    page.click(".keepthem")
    until(page, "document.querySelectorAll('.watch .card').length === 1")
    assert "Corner" in page.inner_text(".watch .card") and "Not taken" in page.inner_text(".watch")
    assert "watch=" not in page.url


def test_a_journal_entry_by_form_stands_on_every_screen_s_bar(town, visit):
    other = visit("/?lang=en")
    page = visit("/?lang=en", role="planner")
    page.click(".tools summary")
    page.wait_for_selector("#to-journal")
    page.focus("#to-journal")
    page.keyboard.press("Enter")
    page.wait_for_selector("#journal-kind")
    page.fill("#journal-title", "<b>Night market</b>")
    page.fill("#journal-end", "2026-11-19T01:00")
    page.click(".sheetform button[type=submit]")
    until(page, "/before the start/.test((document.querySelector('.sheetform em') || {}).textContent)")
    assert page.evaluate("document.activeElement.id") == "journal-end"
    visit.said[:] = [said for said in visit.said if "400" not in said]  # the browser notes that it was refused
    page.fill("#journal-end", "")
    assert not violations(page)
    page.click(".sheetform button[type=submit]")
    until(page, "/In the journal/.test(document.querySelector('.sheetform').textContent)")
    for screen in (page, other):
        until(screen, "/event: <b>Night market<.b>/.test((document.querySelector('.mark') || {}).title)")
    page.keyboard.press("Escape")
    until(page, "!document.querySelector('.sheetform') && document.activeElement.id === 'to-journal'")
    stranger = visit("/research?lang=en", role="researcher")
    assert not stranger.query_selector("#to-journal")


def test_a_kiosk_cycles_saved_views_and_outlives_the_server(town, browser):
    context = browser.new_context(viewport={"width": 1024, "height": 768})
    page = context.new_page()
    page.goto(town.url + "/?lang=en")
    until(page, "!!(window.noctule && window.noctule.stats && window.noctule.stats.first)")
    page.evaluate(
        "localStorage.setItem('noctule-views', JSON.stringify([{ name: 'Light', to: '/?lang=en&layer=light' },"
        " { name: 'Elsewhere', to: '//example.org/' }, { name: 'Script', to: 'javascript:alert(1)' }]))"
    )
    page.goto(town.url + "/?lang=en&kiosk=1&every=1")
    until(page, "document.documentElement.dataset.kiosk === '1' && !!window.noctule.stats.first")
    until(page, "window.noctule.stats.painted.startsWith('light/now/')")
    page.evaluate("window.same = true")
    town.stop()
    until(page, f"/Reconnecting/.test({STATUS})")
    town.start()
    told = town.map_now(1.0)
    until(page, f"window.noctule.stats.painted.endsWith('/{told['version']}') && /Live/.test({STATUS})", 40)
    assert page.evaluate("window.same")  # found again without loading anew
    assert "kiosk=1" in page.url and "every=10" in page.url
    assert page.is_hidden("nav") and page.evaluate("document.documentElement.className") == "still"
    page.keyboard.press("Escape")
    until(page, "!document.documentElement.dataset.kiosk")
    assert "kiosk" not in page.url and page.is_visible("nav")
    context.close()


def test_low_data_asks_only_when_it_is_asked(town, browser):
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = context.new_page()
    page.add_init_script("localStorage.setItem('noctule-saving', '1')")
    page.goto(town.url + "/?lang=en")
    until(page, "!!(window.noctule && window.noctule.stats && window.noctule.stats.first)")
    until(page, f"/low data/.test({STATUS})")
    assert page.evaluate("window.noctule.streams || 0") == 0
    before = page.evaluate("window.noctule.stats.painted")
    told = town.map_now(7.0)
    page.wait_for_timeout(1000)
    assert page.evaluate("window.noctule.stats.painted") == before
    page.evaluate("window.noctule.lookAgain()")
    until(page, f"window.noctule.stats.painted.endsWith('/{told['version']}')")
    context.close()
