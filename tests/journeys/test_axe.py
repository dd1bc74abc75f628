"""What axe-core says of every page in every language, on desktop and phone, in every theme: nothing.

One document a screen is taken through all pages, languages and themes in place, as a reader would, so that all of them
cost no more than CI can give. All rules are asked in the dark; in the other themes those that colours decide. The slow
test of `test_themes.py` asks everything everywhere.
"""

from importlib.resources import files

import pytest

from dashboard.app import VIEWS
from dashboard.words import LANGUAGES
from tests.journeys.town import NEEDS_CHROMIUM, until

SCREENS = {"desktop": (1600, 900), "phone": (390, 844)}
LOUD = "{resultTypes: ['violations'], preload: false}"
COLOURS = "{resultTypes: ['violations'], preload: false, runOnly: ['color-contrast', 'link-in-text-block']}"
FOUND = (
    "axe.run(document, %s).then(told => told.violations.flatMap("
    "one => one.nodes.map(node => [one.id, node.target.join(' '), (node.failureSummary || '').slice(0, 160)])))"
)

pytestmark = NEEDS_CHROMIUM


def go(page, path, language):
    """Another page or language in the same document, and wait until it is drawn."""
    with page.expect_response(lambda answer: "/_dash-update-component" in answer.url):
        page.evaluate(f"window.noctule.go({{lang: '{language}', theme: 'dark'}}, '{path}')")
    until(page, "!!document.querySelector('main')")
    page.wait_for_timeout(350)


def wear(page, theme):
    page.evaluate(f"window.noctule.address({{theme: '{theme}'}}); window.noctule.dress()")
    page.wait_for_timeout(60)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing_on_any_page_in_any_theme(visit, screen, language):
    page = visit(f"/about?lang={language}&theme=dark", *SCREENS[screen], role="admin", waits=False)
    until(page, "!!document.querySelector('main')")
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    found = {}
    for path in VIEWS:
        go(page, path, language)
        for theme, rules in (("dark", LOUD), ("light", COLOURS), ("contrast", COLOURS)):
            wear(page, theme)
            found[path, theme] = page.evaluate(FOUND % rules)
    assert {where: told for where, told in found.items() if told} == {}
