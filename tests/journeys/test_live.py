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


def test_a_server_that_goes_and_comes_is_found_without_a_reload(town, browser):
    context = browser.new_context(viewport={"width": 900, "height": 700})
    page = context.new_page()
    page.goto(town.url + "/?lang=fr")
    until(page, "!!(window.noctule && window.noctule.stats && window.noctule.stats.first)")
    page.evaluate("window.same = true")
    town.stop()
    until(page, f"/Reconnexion/.test({STATUS})")
    town.start()
    told = town.map_now(1.0)
    until(page, f"window.noctule.stats.painted.endsWith('/{told['version']}')", 40)
    until(page, f"/direct/i.test({STATUS})")
    assert page.evaluate("window.same")
    context.close()
