"""Signing in and out in a browser, on a server without the demo's switch."""

import os
import subprocess
import sys

import pytest
from msgspec.structs import replace

from dashboard.accounts import Accounts, sign_in_desk
from sensors.city import SignInSettings, write_settings
from tests.journeys.town import NEEDS_CHROMIUM, ROOT, Town, until, violations
from tests.openid_provider import Provider

pytestmark = NEEDS_CHROMIUM
PASSWORD = "three bats over the moon"


class SigningTown(Town):
    """The small town as a city serves it: with a purpose, accounts, a provider, and two web workers."""

    def start(self):
        self.provider = Provider()
        purpose = replace(self.city.settings.purpose, uses=("night walks",), responsible="the city")
        write_settings(self.city.path, replace(self.city.settings, purpose=purpose, sign_in=self.settings()))
        self.accounts = Accounts(sign_in_desk(self.city))
        for name, role in (("anna", "planner"), ("bea", "viewer")):
            if not self.accounts.there(name):
                self.accounts.add(name, role, PASSWORD)
        command = [sys.executable, str(ROOT / "noctule.py"), "serve", str(self.city.path)]
        environment = os.environ | {"NOCTULE_OIDC_SECRET": "between the two of us"}
        command += ["--port", str(self.port), "--workers", "2"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment)
        self.await_answer()

    def stop(self):
        super().stop()
        self.provider.stop()

    def settings(self):
        return SignInSettings(
            public_url=self.url, issuer=self.provider.issuer, client_id="noctule", label="City account",
            roles={"lights": "planner"},
        )  # fmt: skip


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    made = SigningTown(tmp_path_factory.mktemp("signing") / "smalltown")
    yield made
    made.stop()


def type_in(page, name, password):
    """By keyboard alone: the name, Tab, the password, Enter."""
    page.focus("#name")
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("theme", ["dark", "light", "contrast"])
@pytest.mark.parametrize(("language", "width", "height"), [("en", 1600, 900), ("fr", 390, 844), ("fr", 320, 700)])
def test_the_page_is_whole_for_everybody(visit, language, width, height, theme):
    page = visit(f"/sign-in?lang={language}&theme={theme}&next=/plan", width, height, waits=False)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    sizes = page.evaluate(
        "[...document.querySelectorAll('a,button,input:not([type=hidden])')].map(e => e.offsetHeight)"
    )
    assert min(sizes) >= 24


def test_a_page_of_some_roles_leads_to_sign_in_and_back_and_sign_out_ends_it_in_every_tab(visit, town):
    page = visit("/plan?lang=en", waits=False)
    page.wait_for_selector("text=Sign in to see this")
    assert violations(page) == []
    page.click("text=Sign in to see this")
    type_in(page, "anna", "not this one")
    page.wait_for_selector("#wrong")
    assert violations(page) == [] and page.input_value("#password") == ""
    visit.said[:] = [text for text in visit.said if "400" not in text]  # what Chromium says of the refused form
    type_in(page, "Anna", PASSWORD)
    page.wait_for_selector("details.account")
    assert page.url.startswith(town.url + "/plan?lang=en")
    other = page.context.new_page()  # another tab, perhaps another worker
    other.goto(town.url + "/research")
    other.wait_for_selector("details.account")
    page.focus("details.account summary")
    page.keyboard.press("Enter")
    assert violations(page) == []
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=You are signed out")
    other.reload()
    other.wait_for_selector("text=Sign in")
    assert other.query_selector("details.account") is None


def test_the_citys_own_provider_signs_in_and_a_person_without_a_role_is_told(browser, town):
    context = browser.new_context()
    page = context.new_page()
    page.goto(town.url + "/answers?lang=en")
    page.click("text=Sign in to see this")
    page.click("text=Sign in with City account")
    page.wait_for_selector("details.account")
    assert page.url.startswith(town.url + "/answers?lang=en")
    kept = {one["name"]: one for one in context.cookies()}
    assert kept["noctule_session"]["httpOnly"] and kept["noctule_session"]["sameSite"] == "Lax"
    assert "noctule_session-oidc" not in kept
    context.clear_cookies()
    town.provider.claims = {"groups": ["strangers"]}
    page.goto(town.url + "/sign-in?lang=fr")
    page.click("text=Se connecter avec City account")
    page.wait_for_selector("text=anna n’a pas de rôle dans cette ville")
    assert violations(page) == []
    context.close()


def test_a_page_that_is_open_when_its_account_is_disabled_sees_tonight_no_more(visit, town):
    page = visit("/sign-in?next=/", waits=False)
    type_in(page, "bea", PASSWORD)
    page.wait_for_selector("details.account")
    ask = "async run => (await fetch('/live/scene?run=' + run)).status"
    until(page, "!!(window.noctule && window.noctule.stats && window.noctule.stats.first)")
    assert page.evaluate(ask, "now") == 200
    town.accounts.disable("bea")
    assert [page.evaluate(ask, "now") for _ in range(4)] == [403] * 4
    visit.said.clear()  # what Chromium says of the refusals
