"""Answering on a phone, in a real browser: without a network, with it again, with a receipt, and erased by it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest
from shapely import Point

from ingest.answers_desk import answers_desk
from ingest.archive import answers
from ingest.inbox import collect
from sensors.city import AskingSettings, City, write_settings
from sensors.clock import set_clock
from sensors.walk import Walk, WalkSettings, make_stops, write_walk
from tests.journeys.town import NEEDS_CHROMIUM
from tests.synthetic_city import SOUTH, WEST, make_city
from tests.unit.test_surveys import TO_LONLAT

ROOT = Path(__file__).resolve().parents[2]
SERVE = (
    "import sys, uvicorn\n"
    "from dashboard.app import build\n"
    "uvicorn.run(build(sys.argv[1], switch=True, warm=False), port=int(sys.argv[2]), log_level='warning', ws='none',\n"
    "            timeout_graceful_shutdown=1)\n"
)

pytestmark = NEEDS_CHROMIUM


def until(said, seconds=20.0):
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    made = make_city(tmp_path_factory.mktemp("ask") / "town")
    asking = AskingSettings(form=True, items=("worry-4",), each_per_hour=1e5, each_burst=1_000, all_per_minute=1e5)
    write_settings(made.path, msgspec.structs.replace(made.settings, asking=asking))
    set_clock(made.path, np.datetime64("2026-11-20T20:05", "ms"), 1e-6)
    city = City.open(made.path)
    points = [Point(WEST + 60.0, SOUTH + 100.0), Point(WEST + 260.0, SOUTH + 200.0)]
    stops = make_stops(city, ["Kiosk", "Bridge"], points, [-1, -1])
    write_walk(city, Walk(WalkSettings(format=1, id="harbour", title="Harbour", date=date(2026, 11, 20)), stops))
    return city


@pytest.fixture(autouse=True)
def empty_shelves(city):
    yield
    for shelf in ("answers", "inbox"):
        shutil.rmtree(city.shelf(shelf), ignore_errors=True)


@pytest.fixture(scope="module")
def url(city):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(city.path), str(port)], cwd=ROOT, env=environment)

    def answers_there():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(answers_there, 60)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


@pytest.fixture
def phone(browser, url):
    """A phone in French; at the end no error, and no request to anywhere else."""
    contexts, said, elsewhere = [], [], []

    def open_phone(**more):
        settings = {"viewport": {"width": 390, "height": 844}, "locale": "fr-FR", "is_mobile": True, "has_touch": True}
        context = browser.new_context(**settings | more)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda line: said.append(line.text) if "Content Security" in line.text else None)
        page.on("request", lambda asked: None if asked.url.startswith((url, "data:")) else elsewhere.append(asked.url))
        return context, page

    yield open_phone
    for context in contexts:
        context.close()
    assert said == [] and elsewhere == []


def fill(page, category=3, street="Middle Road · East Street"):
    page.check("[name=consent]")
    page.fill("#street", street)
    page.check(f"[name=item-core-4][value='{category}']")
    page.click("button.send")


def worker_ready(page):
    until(lambda: page.evaluate("navigator.serviceWorker.controller !== null"))


def test_an_answer_waits_without_a_network_is_sent_with_it_and_erased_by_its_receipt(phone, url, city):
    context, page = phone()
    page.goto(f"{url}/ask")
    assert page.evaluate("document.documentElement.lang") == "fr"
    worker_ready(page)
    context.set_offline(True)
    page.reload()  # the form itself comes from the phone
    fill(page)
    page.wait_for_selector("#waiting:not([hidden])")
    assert "1 réponse attend" in page.inner_text("#count") and "Conservée sur ce téléphone" in page.inner_text("#sent")
    assert collect(city).answers == 0
    page.reload()  # and waits on, also when the page is closed
    assert "1 réponse attend" in page.inner_text("#count")

    context.set_offline(False)
    page.wait_for_selector("#receipts .code")
    receipt = page.inner_text("#receipts .code")
    assert page.is_hidden("#waiting")
    assert collect(city).answers == 1
    (row,) = answers(city).to_dict("records")
    assert (row["category"], row["light_state"], row["trigger"]) == (3, "dark", "spontaneous")

    page.fill("#code", receipt.lower().replace("-", " "))
    page.click("#eraser button")
    page.wait_for_selector("text=Effacée")
    assert collect(city).erased == 1
    assert answers(city).empty


def test_a_walks_page_is_there_without_a_network_with_its_stops(phone, url, city):
    context, page = phone()
    page.goto(f"{url}/ask?lang=fr&walk=harbour&stop=1")
    worker_ready(page)
    page.wait_for_timeout(500)
    context.set_offline(True)
    page.reload()
    assert page.input_value("#stop") == "1" and "Harbour" in page.inner_text(".walk")
    page.select_option("#stop", "2")
    page.check("[name=consent]")
    page.check("[name=item-core-4][value='3']")
    page.click("button.send")
    page.wait_for_selector("#queue li")
    context.set_offline(False)
    page.wait_for_selector("#receipts .code")
    assert "Bridge" in page.inner_text("#receipts")
    collect(city)
    (row,) = answers(city).query("campaign == 'walk-harbour'").to_dict("records")
    assert row["trigger"] == "prompted"


def test_an_answer_that_waits_can_be_deleted_on_the_phone(phone, url, city):
    context, page = phone()
    page.goto(f"{url}/ask?lang=fr")
    worker_ready(page)
    context.set_offline(True)
    fill(page)
    page.wait_for_selector("#queue button")
    page.click("#queue button")
    assert page.is_hidden("#waiting")
    context.set_offline(False)
    page.reload()
    page.wait_for_timeout(300)
    assert collect(city).answers == 0


def test_the_phone_finds_its_place_and_sends_no_finer_than_a_section_needs(phone, url, city):
    lon, lat = TO_LONLAT.transform(WEST + 166.0, SOUTH + 111.0)
    where = {"latitude": lat + 1e-7, "longitude": lon + 1e-7, "accuracy": 8}
    _, page = phone(geolocation=where, permissions=["geolocation"])
    sent = []
    page.on("request", lambda asked: sent.append(asked.post_data) if asked.method == "POST" else None)
    page.goto(f"{url}/ask?lang=fr")
    page.click("#locate")
    page.wait_for_selector("text=Trouvée")
    page.check("[name=consent]")
    page.check("[name=item-core-4][value='4']")
    page.check("[name=item-worry-4][value='1']")
    page.check("[name=alone][value='alone']")
    page.click("button.send")
    page.wait_for_selector("#receipts .code")
    assert f'"lat":"{lat:.4f}"' in sent[0] and f'"lon":"{lon:.4f}"' in sent[0]
    assert collect(city).answers == 2  # two items of one response
    kept = answers(city)
    assert set(kept["instrument"]) == {"core-4", "worry-4"} and set(kept["alone"]) == {"alone"}
    # From the list of this phone it is erased with one press.
    page.click("#receipts button")
    page.wait_for_selector("#receipts >> text=Effacée")
    collect(city)
    assert answers(city).empty


def test_what_is_missing_is_told_where_it_is_missing(phone, url):
    _, page = phone()
    page.goto(f"{url}/ask?lang=fr")
    page.click("button.send")
    assert "cochez la case" in page.inner_text("#problem")
    page.check("[name=consent]")
    page.click("button.send")
    assert "l’une des réponses" in page.inner_text("#problem")
    page.check("[name=item-core-4][value='2']")
    page.click("button.send")
    assert "une rue" in page.inner_text("#problem")
    assert page.evaluate("document.activeElement.id") == "street"
    page.fill("#street", "Nulle part")
    page.click("button.send")
    page.wait_for_selector("#problem >> text=pas dans la liste")
    assert page.is_checked("[name=item-core-4][value='2']") and page.is_hidden("#waiting")


def test_another_person_on_the_same_phone_is_another_person(phone, url, city):
    _, page = phone()
    page.goto(f"{url}/ask?lang=fr")
    for category in (1, 2):
        fill(page, category=category)
        page.wait_for_selector(f"#receipts li:nth-child({category})")
    page.click("#another")
    fill(page, category=3)
    page.wait_for_selector("#receipts li:nth-child(3)")
    assert collect(city).answers == 3
    assert answers(city)["pseudonym"].nunique() == 2


def test_without_scripts_the_form_still_works(phone, url, city):
    _, page = phone(java_script_enabled=False)
    page.goto(f"{url}/ask?lang=fr")
    fill(page, category=2, street="West")
    page.wait_for_selector(".code")
    receipt = page.inner_text(".code")
    assert collect(city).answers == 1
    page.fill("#code", receipt)
    page.click("#eraser button")
    page.wait_for_selector("text=d’ici une minute")
    assert collect(city).erased == 1


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("scheme", ["light", "dark", "contrast"])
def test_nothing_keeps_anybody_from_the_form(phone, url, language, scheme):
    from axe_playwright_python.sync_playwright import Axe

    _, page = phone(**({"contrast": "more"} if scheme == "contrast" else {"color_scheme": scheme}))
    page.goto(f"{url}/ask?lang={language}")
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_the_form_reflows_at_320_pixels_with_targets_for_thumbs(phone, url):
    _, page = phone(viewport={"width": 320, "height": 568})
    page.goto(f"{url}/ask?lang=fr")
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    small = page.evaluate(
        "[...document.querySelectorAll('button,a,select,summary,.choice,.check,input:not([type=hidden])')]"
        ".filter((one) => one.offsetParent && !one.matches('.choice input, .check input'))"
        ".filter((one) => one.getBoundingClientRect().height < 44).map((one) => one.outerHTML)"
    )
    assert small == []


def test_the_form_can_be_filled_with_the_keyboard_alone(phone, url, city):
    _, page = phone(is_mobile=False, has_touch=False)
    page.goto(f"{url}/ask?lang=en")
    page.wait_for_selector("#streets option", state="attached")
    page.focus("[name=consent]")
    page.keyboard.press("Space")
    page.focus("#street")
    page.keyboard.type("West")
    page.focus("[name=item-core-4][value='1']")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.focus("button.send")
    page.keyboard.press("Enter")
    page.wait_for_selector("#receipts .code")
    assert page.evaluate("document.activeElement.id") == "sent"
    assert collect(city).answers == 1 and answers(city)["category"].tolist() == [2]


def test_whoever_looks_after_the_answers_decides_on_a_case_in_the_browser(phone, browser, url, city):
    _, page = phone()
    page.goto(f"{url}/ask?lang=en")
    for number in range(30):
        said = {"consent": "ask-1", "id": f"{number:016x}zz", "street": "Middle Road · East Street", "item-core-4": "1"}
        reply = page.request.post(f"{url}/ask", data=said, headers={"accept": "application/json"})
        assert reply.ok
    assert collect(city).held == 30
    context, desk = phone(viewport={"width": 1280, "height": 900}, is_mobile=False, has_touch=False)
    context.add_cookies([{"name": "noctule_role", "value": "planner", "url": url}])
    desk.goto(f"{url}/answers?lang=en")
    desk.wait_for_selector(".case")
    assert "30 answers in one place" in desk.inner_text(".case")
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(desk)
    assert found.violations_count == 0, found.generate_report()
    desk.click("text=Let in")
    desk.wait_for_selector("text=noted, being done")
    assert collect(city).decided == 1 and len(answers(city)) == 30
    desk.wait_for_selector(".case >> text=let in")
    assert answers_desk(city).decisions[0]["role"] == "planner"
    desk.click("text=Leave out")
    desk.wait_for_selector("text=noted, being done")
    collect(city)
    assert answers_desk(city).cases[0].state == "out"
