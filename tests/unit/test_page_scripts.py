"""How much a page loads: bytes are exact, so they are held by a test that names what grew."""

from __future__ import annotations

import ast
import asyncio
import gzip
import re

import pytest

from dashboard.app import build
from dashboard.bundles import Bundles
from dashboard.page_scripts import OURS, addresses
from tests.shared_data import ROOT
from tests.synthetic_city import make_city
from tests.unit.test_app import ask

OWN_SCRIPTS = 25_000  # all of ours that Live loads, gzipped
ALL_SCRIPTS = 400_000
# What each may take, gzipped; a script that grows past it is better fetched when it is needed (dashboard/late/).
OWN = {
    "unseen.js": 900, "keys.js": 1_500, "live.js": 1_500, "map.js": 9_200, "paper.js": 1_800, "parts.js": 7_500,
    "tray.js": 3_300, "wiring.js": 2_500,
}  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    return build(make_city(tmp_path_factory.mktemp("scripts") / "smalltown").path, switch=True, warm=False)


def loaded(app):
    page = ask(app, "/?lang=en")[2].decode()
    return {address: ask(app, address)[2] for address in addresses(page)}


def name_of(address):
    return address.partition("?")[0].rpartition("/")[2]


def squeezed(body):
    return len(gzip.compress(body, 9))


def test_our_own_scripts_of_a_page_stay_small(app):
    sizes = {
        name_of(at): squeezed(body) for at, body in loaded(app).items() if at.startswith("/assets/") and ".js" in at
    }
    grown = {name: (size, OWN.get(name, 0)) for name, size in sizes.items() if size > OWN.get(name, 0)}
    assert grown == {}, f"(bytes now, bytes allowed) of each script that grew or is new: {grown}"
    assert sum(sizes.values()) <= OWN_SCRIPTS, sizes


def test_all_scripts_of_a_page_stay_within_what_a_phone_waits_for(app):
    sizes = {name_of(at): squeezed(body) for at, body in loaded(app).items() if ".js" in at}
    assert sum(sizes.values()) <= ALL_SCRIPTS - 100_000, sizes  # 300 kB now: what it may grow by is a decision


def test_what_no_page_uses_is_neither_loaded_nor_answered(app):
    page = ask(app, "/?lang=en")[2].decode()
    for bundle in ("dash/dcc/dash_core_components.js", "dash/dash_table/bundle.js", "dash/deps/polyfill@7.12.1.min.js"):
        assert bundle.rpartition(".js")[0] not in page
        assert ask(app, f"/_dash-component-suites/{bundle}")[0] == 404


def test_pages_use_no_core_component_of_dash_that_we_do_not_bring():
    for file in (ROOT / "dashboard").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "dcc":
                assert node.attr in OURS, f"{file.name}: dcc.{node.attr}; its bundle is on no page (page_scripts.py)"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dash.dcc"):
                pytest.fail(f"{file.name} imports from dash.dcc")


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_scripts_are_compressed_once_and_kept_for_ever(app, encoding):
    page = ask(app, "/?lang=en")[2].decode()
    for address in addresses(page):
        status, headers, body = ask(app, address, headers=[(b"accept-encoding", encoding.encode())])
        assert status == 200 and "immutable" in headers["cache-control"], address
        if len(body) > 800:  # what fits a packet is left alone
            assert headers["vary"] == "accept-encoding" and headers["content-encoding"] in ("zstd", "gzip"), address


def test_what_a_page_asks_dash_for_is_compressed_too(app):
    _, headers, _ = ask(app, "/_dash-dependencies")
    assert headers["content-encoding"] == "gzip" and headers["cache-control"] == "no-store"
    assert re.search(rb'rel="icon"[^>]+href="data:image/svg', ask(app, "/")[2])  # no request of its own


def test_what_a_page_loads_is_compressed_before_anybody_asks_and_nothing_else_with_such_pains(app, monkeypatch):
    page = ask(app, "/")[2].decode()
    asked = []

    async def scripts(scope, receive, send):
        asked.append(scope["path"])
        body = page.encode() if scope["path"] == "/" else b"x" * 2_000
        kind = b"text/html" if scope["path"] == "/" else b"text/javascript"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": body})

    made = Bundles(scripts)
    asyncio.run(made.prepare())
    asked.clear()
    monkeypatch.setattr("dashboard.bundles._squeezed", lambda *given: pytest.fail("compressed again"))
    for address in addresses(page):
        for encoding in (b"zstd", b"gzip"):
            headers = [(b"accept-encoding", encoding)]
            status, found, _ = ask(made, address, headers=headers)
            assert status == 200 and found["content-encoding"] in ("zstd", "gzip")
    assert asked == []  # all of it was kept
    pains = []
    monkeypatch.setattr(
        "dashboard.bundles._squeezed", lambda body, encoding, small: pains.append(small) or gzip.compress(body)
    )
    ask(made, addresses(page)[0] + "&x=1")
    assert pains == [False]
