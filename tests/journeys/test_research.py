"""Research with several views: a second night beside the first, the calendar, playing, probes, citing, taking along."""

from tests.journeys.town import NEEDS_CHROMIUM, until, violations

pytestmark = NEEDS_CHROMIUM
BESIDE = "/research?night=2026-11-19&compare=2026-11-20&t=1"
PAINTED = "!!(window.noctule.beside && window.noctule.beside.view().version && !window.noctule.beside.busy())"


def test_two_nights_stand_under_an_edge_that_moves_by_keyboard(visit):
    page = visit(BESIDE + "&swipe=50", role="viewer")
    until(page, PAINTED)
    assert page.text_content(".side-a").startswith("Thu 19 Nov")
    assert page.text_content(".side-b").startswith("Fri 20 Nov")
    clip = "getComputedStyle(window.noctule.map.getPane('beside')).clipPath"
    before = page.evaluate(clip)
    page.focus("#compare-edge")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "swipe=52" in page.url
    assert page.evaluate(clip) != before
    assert "up to 52 % of the width" in page.get_attribute("#compare-edge", "aria-valuetext")
    assert violations(page) == []


def test_a_night_that_lacks_the_step_says_so_and_leaves_its_side_empty(visit):
    page = visit(BESIDE, role="viewer")
    until(page, PAINTED)
    page.focus("#time-range")
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('.side-b').textContent.includes('not mapped')")
    assert page.evaluate("window.noctule.beside.view().version") is None


def test_side_by_side_both_maps_keep_one_view_and_the_mark(visit):
    page = visit(BESIDE + "&mode=side&layer=light", role="viewer")
    until(page, PAINTED)
    assert page.locator(".simulated-mark").count() == 2
    assert page.locator(".mapb .simulated-mark").is_visible()
    page.evaluate("window.noctule.map.setZoom(17, {animate: false})")
    page.wait_for_timeout(200)
    page.focus(".mapb")
    before = page.evaluate("window.noctule.map.getCenter().lng")
    page.keyboard.press("ArrowRight")
    until(page, f"Math.abs(window.noctule.map.getCenter().lng - {before}) > 1e-5")
    page.keyboard.press("Enter")  # what is read on the second map is told of both
    until(page, "!document.getElementById('details').hidden")
    assert "Fri 20 Nov" in page.text_content("#details-body")
    assert violations(page) == []


def test_what_a_role_may_not_see_is_not_compared(visit):
    page = visit("/research?compare=plan-dim", role="viewer")
    assert "not for this role" in page.text_content("#compare")
    assert page.locator(".swipe").count() == 0
