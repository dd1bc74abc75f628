"""What several journeys share: the service of a small town, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.journeys.service import Service
from tests.journeys.town import CHROMIUM, Town, own, until

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Broker, ingest, mapper and dashboard of a small town; one for all journeys, because starting it takes longest."""
    with Service(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium (apt install chromium), which is not here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    made = Town(tmp_path_factory.mktemp("browser") / "smalltown")
    yield made
    made.stop()


@pytest.fixture
def visit(town, browser):
    """Opens pages, and at the end holds them to: no error, no policy violation, no request to anywhere else."""
    contexts, said, elsewhere = [], [], []

    def open_page(path="/", width=1600, height=900, role=None, waits=True, **more):
        context = browser.new_context(viewport={"width": width, "height": height}, **{"color_scheme": "dark", **more})
        contexts.append(context)
        if role:
            context.add_cookies([{"name": "noctule_role", "value": role, "url": town.url}])
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: elsewhere.append(request.url) if not own(request.url, town.url) else None)
        page.goto(town.url + path)
        if waits:
            until(page, "!!(window.noctule && window.noctule.stats && window.noctule.stats.first)")
            page.wait_for_timeout(150)
        return page

    open_page.said = said
    yield open_page
    for context in contexts:
        context.close()
    assert elsewhere == []
    assert said == []
