from __future__ import annotations

import re

import pytest

from analytics.phrases import LANGUAGES, phrases
from analytics.typeset import page_pictures
from analytics.walk_map import route_map
from analytics.walk_report import Report, paper_content, report_content, report_html
from analytics.walk_route import route_of
from analytics.walk_sureness import Sureness
from analytics.walk_told import Part, Place, WalkTold
from sensors.journal import Entry
from tests.synthetic_city import make_city
from tests.unit.test_words import BANNED
from tests.walkers import AT, walked


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def full_report(city, stops=3):
    at = [(5 + 7.5 * number, 60.0) for number in range(stops)] if stops > 3 else AT
    walk = walked(city, "full", "<script>alert(1)</script> #strong[walk]", at)
    numbers = tuple(int(stop) for stop in walk.stops.index)
    told = WalkTold(
        kept=True, people=40, answers=3000, total=Place(numbers, 98, 2), change=(-18, -23, -14),
        places=[Place((stop,), 97, 40) for stop in numbers],
        parts=[Part({"gender": ("woman",)}, 20, 80, None), Part({"gender": ("man", "another")}, 20, 80, 3)] * 6,
        whole=True, mixed=50,
    )  # fmt: skip
    sure = Sureness("20:45", 32.0, 25.0, 29.0, 2, 1, 1, 0.5, 0.6)
    entry = Entry(
        "1", "measure", "A title that is long. " * 9, "2026-11-20T20:00:00+02:00", place="walk-full, stop 2: B",
        owner="An office with a long name " * 6, due="2027-01-31T23:59:00+02:00",
    )  # fmt: skip
    return Report(city, walk, route_of(city, walk), told, sure, [entry] * 60)


@pytest.mark.parametrize(("language", "stops"), [("en", 3), ("fr", 24)])
def test_it_is_two_pages_whatever_was_said(city, language, stops):
    report = full_report(city, stops)
    content = paper_content(report, phrases(language))
    pictures = {"route.svg": route_map(city, report.walk, report.route)}
    assert len(page_pictures("walk-report", content, pictures, ppi=15)) == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_holds_no_markup_of_others_and_no_word_that_we_do_not_say(city, language):
    report = full_report(city)
    page = report_html(report, phrases(language))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert re.search(BANNED[language], page, re.IGNORECASE) is None
    assert phrases(language)("word.simulated") in page
    assert "http" not in page


def test_that_everybody_agreed_is_not_told_of_people_who_know_one_another(city):
    content = report_content(full_report(city), phrases("en"))
    assert content["places"]["rows"][0][1:] == ["> 95 %", "< 5 %"]
    assert content["places"]["rows"][1][1:] == ["> 95 %", "40 %"]
    assert "-18" not in content["said"][0].replace("−", "-") and "-23" in content["said"][0].replace("−", "-")
