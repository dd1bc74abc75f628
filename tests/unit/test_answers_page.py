"""The answers page: who sees it, what it says, and what its buttons may ask for."""

from __future__ import annotations

import json
import re

import pytest

from dashboard.app import build
from dashboard.basemap import Basemap
from dashboard.pages import answers as page
from dashboard.pages.context import House, asked
from dashboard.roles import ROLES, may
from dashboard.runs import Runs
from dashboard.words import words
from ingest.inbox import collect
from sensors.clock import city_clock
from sensors.inbox import Decide, Switch, leave, waiting
from tests.synthetic_city import make_city
from tests.unit.test_app import ask
from tests.unit.test_inbox import given


@pytest.fixture
def city(tmp_path):
    made = make_city(tmp_path / "town")
    for number in range(1, 31):
        leave(made, given(number))
    collect(made)
    return made


@pytest.fixture
def house(city, monkeypatch):
    made = House(city, city_clock(city.path), Runs(city), Basemap(city), True, "viewer", "")
    monkeypatch.setattr(made.next_places, "get", lambda _city: [])
    return made


def said(parts):
    """All text of a page's parts."""
    plain = json.dumps([part.to_plotly_json() for part in parts], default=_plain, ensure_ascii=False)
    return " ".join(re.findall(r'"children": "([^"]+)"', plain))


def _plain(value):
    return value.to_plotly_json()


@pytest.mark.parametrize("role", ROLES)
def test_only_planners_researchers_and_admins_see_the_answers(house, role):
    text = said(page.layout(house, asked("/answers", "?lang=en", role)))
    assert ("30 answers in one place" in text) == may(role, "answers") == (role in ("planner", "researcher", "admin"))


def test_the_page_speaks_french(house):
    text = said(page.layout(house, asked("/answers", "?lang=fr", "planner")))
    assert "En quarantaine" in text and "30 réponses en un lieu" in text and "Admettre" in text


@pytest.mark.parametrize(
    ("probability", "said"),
    [(9e-6, "100,000"), (4e-9, "200,000,000"), (1e-9, "1,000,000,000"), (4e-39, "1,000,000,000"), (1e-5, "100,000"),
     (0.0, "1,000,000,000"), (0.4, "2"), (1.0, "1")],
)  # fmt: skip
def test_odds_are_told_to_one_digit(probability, said):
    assert page.odds(probability, words("en")) == said


def test_a_button_asks_for_what_it_says_and_nothing_else():
    button = {"type": "answers-decide", "case": "3f9a0c21d7", "state": "in"}
    assert page.note_of(button, "planner", "T") == Decide("3f9a0c21d7", "in", "planner", "T")
    switch = {"type": "answers-switch", "campaign": "autumn", "on": "off"}
    assert page.note_of(switch, "planner", "T") == Switch("autumn", False, "planner", "T")


@pytest.mark.parametrize(
    "pressed",
    [
        {},
        {"type": "answers-decide"},
        {"type": "answers-decide", "case": "../x", "state": "in"},
        {"type": "answers-decide", "case": "a" * 21, "state": "in"},
        {"type": "answers-decide", "case": "abc", "state": "gone"},
        {"type": "answers-switch", "campaign": "", "on": "off"},
        {"type": "answers-switch", "campaign": "x" * 81, "on": "off"},
        {"type": "answers-switch", "campaign": "autumn", "on": True},
        {"type": "other", "case": "abc", "state": "in"},
    ],
)
def test_what_is_no_button_of_ours_asks_for_nothing(pressed):
    assert page.note_of(pressed, "planner", "T") is None


@pytest.mark.parametrize(("role", "left"), [("viewer", 0), ("public", 0), ("planner", 1), ("researcher", 1)])
def test_a_decision_asks_for_the_role_too(city, role, left):
    from ingest.answers_desk import answers_desk

    app = build(city.path, switch=True, warm=False)
    case = answers_desk(city).cases[0].case
    identity = {"case": case, "state": "in", "type": "answers-decide"}
    name = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    outputs = [{"id": f"answers-{part}", "property": what} for part, what in
               (("body", "children"), ("digest", "data"), ("said", "children"))]  # fmt: skip
    body = {
        "output": "..answers-body.children...answers-digest.data...answers-said.children..",
        "outputs": outputs,
        "inputs": [
            [{"id": identity, "property": "n_clicks", "value": 1}],
            [],
            {"id": "answers-tick", "property": "n_intervals", "value": 0},
        ],
        "state": [
            {"id": "answers-digest", "property": "data", "value": ""},
            {"id": "url", "property": "search", "value": "?lang=en"},
        ],
        "changedPropIds": [f"{name}.n_clicks"],
    }
    headers = [(b"content-type", b"application/json")]
    status, _, answer = ask(
        app, "/_dash-update-component", method="POST", role=role, body=json.dumps(body).encode(), headers=headers
    )
    assert status == 200
    assert len(waiting(city)) == left
    assert (b"30 answers" in answer) == bool(left)
