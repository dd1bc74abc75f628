"""Research with several views: a second night beside the first, the calendar, playing, probes, citing, taking along."""

from tests.journeys.town import NEEDS_CHROMIUM, screen_of, until, violations

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
    # What plays looks here for the second night's next steps.
    assert page.evaluate("window.noctule.beside.scene().frames.some(frame => frame.version)")


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


def test_the_calendar_is_a_grid_that_arrows_move_through_and_enter_opens(visit):
    page = visit("/research?night=2026-11-20", role="viewer")
    page.click(".calendar .this")
    cell = page.locator(".calendar [role=gridcell][tabindex='0']")
    assert "Friday 20 November 2026" in cell.get_attribute("aria-label").replace(",", "")
    assert "steps mapped" in cell.get_attribute("aria-label")
    assert page.locator(".calendar [role=gridcell][tabindex='0']").count() == 1
    assert violations(page) == []
    cell.focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Thursday")
    page.keyboard.press("PageUp")
    until(page, "document.activeElement.getAttribute('aria-label').includes('October')")
    page.keyboard.press("PageDown")
    until(page, "document.activeElement.getAttribute('aria-label').includes('November')")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('title').textContent.includes('19 November')")
    assert "night=2026-11-19" in page.url
    page.click("text=Compare with it")
    page.click(".calendar td.has >> text='20'")
    until(page, "location.search.includes('compare=2026-11-20')")
    until(page, "document.querySelectorAll('.calendar td.beside').length === 1")


def test_a_night_that_plays_asks_for_each_step_once_and_for_two_at_a_time(visit):
    page = visit("/research?night=2026-11-19&t=0&speed=4&loop=20:00-21:30", role="viewer")
    until(page, "document.querySelector('.timetools')")
    page.evaluate(  # how many steps a second is measured in benchmarks/dashboard
        "() => { window.shown = []; setInterval(() => { const n = window.noctule, at = n.bar.value;"
        " if (!n.busy() && window.shown.at(-1) !== at) window.shown.push(at); }, 10); }"
    )
    page.click(".play")
    until(page, "window.shown.length > 7 && new Set(window.shown).size >= 6")  # once through the stretch, and again
    before, shown = page.evaluate("[window.noctule.stats.requests, window.shown.length]")
    until(page, f"window.shown.length >= {shown + 6}")
    assert page.evaluate("window.noctule.stats.requests") == before  # and none again
    assert page.evaluate("window.noctule.fetching.most") <= 2
    page.click(".play")
    page.focus("body") if page.evaluate("document.activeElement === document.body") else page.evaluate(
        "document.activeElement.blur()"
    )
    place = page.evaluate("window.noctule.bar.value")
    page.keyboard.press("ArrowRight" if place < 7 else "ArrowLeft")
    until(page, f"window.noctule.bar.value === {place + (1 if place < 7 else -1)}")


def test_probes_stand_in_the_address_as_curves_and_as_a_table(visit):
    page = visit("/research?night=2026-11-19&t=1&layer=light", role="researcher")
    page.click("text=Add the middle of the map")
    until(page, "document.querySelectorAll('.probes .curves .line').length === 1")
    assert "probes=" in page.url
    assert page.locator(".probe-pin").count() == 1
    assert "lx" in page.text_content(".probes tbody td")
    page.click("text=All steps")
    assert page.locator(".probes .wide tbody tr").count() > 8
    with page.expect_download() as waiting:
        page.click(".probes a:has-text('CSV')")
    assert "illuminance,low_90,high_90" in waiting.value.path().read_text("utf-8")
    assert violations(page) == []
    page.click("text=Remove all")
    until(page, "!document.querySelector('.probes') && !location.search.includes('probes=')")


def test_a_view_is_cited_and_taken_along_as_a_picture(visit):
    page = visit("/research?night=2026-11-19&t=1&layer=light", role="researcher")
    page.click("summary:has-text('Cite this view')")
    until(page, "!!document.querySelector('#cite-bibtex')")
    cited = page.text_content("#cite-bibtex")
    assert "@misc{noctule-" in cited
    assert "SIMULATED" in cited
    assert "layer=light" in cited
    assert "--layer illuminance --step 2026-11-19T" in page.text_content("#cite-again")
    page.click("summary:has-text('Take it along')")
    with page.expect_download() as waiting:
        page.click("text=This step (PNG)")
    assert waiting.value.path().read_bytes().startswith(b"\x89PNG")
    assert violations(page) == []


def test_the_map_shows_the_ends_of_an_interval_and_how_unsure_a_layer_is(visit):
    page = visit("/research?night=2026-11-19&t=1&layer=light", role="viewer")
    shown = "window.noctule.view().layer + (window.noctule.busy() ? ' busy' : '')"
    for part in ("lower", "upper", "sd"):
        page.select_option("#part", part)
        until(page, f"({shown}) === 'light_{part}'")
        assert f"part={part}" in page.url
    assert page.is_visible(".legend[data-layer=light_sd]")
    assert not page.is_visible(".legend[data-layer=light]")
    page.mouse.move(*screen_of(page, *page.evaluate("(c => [c.lat, c.lng])(window.noctule.map.getCenter())")))
    until(page, "document.querySelector('.tip').textContent.endsWith('×')")
    page.go_back()
    until(page, f"({shown}) === 'light_upper'")
    assert page.is_visible(".legend[data-layer=light]")


def test_residuals_are_for_researchers_and_say_when_there_are_none(visit):
    page = visit("/research?night=2026-11-19&t=1&layer=noise", role="researcher")
    page.click("summary:has-text('Measured less mapped')")
    page.check("#residuals input")
    said = "document.querySelector('#residuals').textContent"
    until(page, f"/not on this machine|No sensor|readings of the night/.test({said})")
    assert "residuals=1" in page.url
    assert violations(page) == []
    assert visit("/research?night=2026-11-19", role="viewer").locator("#residuals").count() == 0
