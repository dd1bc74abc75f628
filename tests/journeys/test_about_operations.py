"""About's chapters and Operations in a real browser: nothing that hinders, by keyboard, narrow, and live."""

import json
import re

import pytest

from tests.journeys.town import NEEDS_CHROMIUM, until, violations
from tests.unit.test_words import BANNED

pytestmark = NEEDS_CHROMIUM

CHAPTERS = ("/about", "/about/done", "/about/sensors", "/about/model", "/about/privacy", "/about/accessibility")


def opened(page, path):
    page.goto(path)
    until(page, "!!document.querySelector('main h1')")


@pytest.mark.parametrize(
    ("width", "height", "theme", "language", "chapters"),
    [(1600, 900, "dark", "en", CHAPTERS), (390, 844, "light", "fr", CHAPTERS[::3])],
)
def test_every_chapter_has_nothing_that_axe_objects_to(visit, town, width, height, theme, language, chapters):
    page = visit(f"/about?lang={language}&theme={theme}", width, height, role="public", waits=False)
    for path in chapters:
        opened(page, f"{town.url}{path}?lang={language}&theme={theme}")
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_chapters_are_reached_by_keyboard_and_fit_a_narrow_screen(visit, town):
    page = visit("/about?lang=en&theme=contrast", 320, 640, role="public", waits=False)
    until(page, "!!document.querySelector('.chapters a')")
    page.focus(".chapters a[href^='/about/privacy']")
    page.keyboard.press("Enter")
    until(page, "location.pathname === '/about/privacy' && !!document.querySelector('main h1')")
    assert "theme=contrast" in page.url
    assert page.inner_text("main h1").startswith("Privacy")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.querySelector('.chapters [aria-current]').textContent") == "Privacy"
    assert violations(page) == []


@pytest.mark.parametrize("language", ["en", "fr"])
def test_no_banned_word_stands_in_what_a_browser_draws(visit, town, language):
    page = visit(f"/?lang={language}", role="admin")
    for path in ("/", "/plan", "/research", "/answers"):  # what scripts draw; the rest tests/unit reads
        opened(page, f"{town.url}{path}?lang={language}")
        page.wait_for_timeout(300)
        said = page.evaluate(
            "document.body.innerText + ' ' + [...document.querySelectorAll('[aria-label],[title],[alt],option')]"
            ".map((one) => ['aria-label', 'title', 'alt'].map((name) => one.getAttribute(name) || '').join(' ')"
            " + ' ' + one.textContent).join(' ')"
        )
        assert len(said) > 200
        assert not re.findall(BANNED[language], said, re.IGNORECASE), path


def test_a_legend_leads_to_how_it_is_made(visit):
    page = visit("/?lang=en")
    page.click(".how a")
    until(page, "location.pathname === '/about' && !!document.querySelector('#method')")


def test_operations_is_for_admins_and_has_nothing_that_axe_objects_to(visit, town):
    page = visit("/operations?lang=en&theme=dark", role="viewer", waits=False)
    until(page, "!!document.querySelector('main')?.innerText.includes('looked after by admins')")
    assert page.query_selector("a.page-tab[href^='/operations']") is None
    assert page.request.get(f"{town.url}/operations.json").status == 403
    page.context.add_cookies([{"name": "noctule_role", "value": "admin", "url": town.url}])
    opened(page, f"{town.url}/operations?lang=en&theme=dark")
    assert violations(page) == []
    told = page.request.get(f"{town.url}/operations.json")
    assert told.status == 200 and "findings" in json.loads(told.text())


def test_operations_follows_what_ingest_says_without_being_asked(visit, town):
    page = visit("/operations?lang=fr&theme=light", 390, 844, role="admin", waits=False)
    until(page, "!!document.querySelector('.verdict')")
    assert "injoignable" not in page.inner_text(".verdict")
    town.beat("retrying")
    try:
        until(page, "document.querySelector('.verdict').innerText.includes('injoignable')", 12)
    finally:
        town.beat("connected")
    until(page, "!document.querySelector('.verdict').innerText.includes('injoignable')", 12)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
