"""About: what its chapters tell, what they keep back, and that no banned word stands on any page."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import msgspec
import numpy as np
import pandas as pd
import pytest

from analytics.walk_actions import into_journal, read_actions
from analytics.walk_route import route_of
from analytics.who_answered import Told, who_answered
from dashboard.app import VIEWS
from dashboard.basemap import Basemap
from dashboard.markdown_parts import markdown_parts
from dashboard.pages.chapters import CHAPTERS
from dashboard.pages.context import House, asked
from dashboard.roles import ROLES
from dashboard.runs import Runs
from dashboard.sensor_kinds import sensor_counts
from dashboard.words import LANGUAGES
from dashboard.you_said import you_said
from ingest.answers_desk import CampaignRow
from ingest.campaigns_told import kept_back
from ingest.inbox import collect
from sensors.city import (
    AboutSettings,
    City,
    PurposeSettings,
    SignInSettings,
    read_settings,
    review_passed,
    write_settings,
)
from sensors.clock import city_clock
from sensors.errors import CityError
from sensors.inbox import leave
from sensors.journal import Entry, add_entry
from tests import synthetic_atlas
from tests.synthetic_city import make_city
from tests.unit.test_inbox import given
from tests.unit.test_words import BANNED
from tests.walkers import walked

NOW = np.datetime64("2026-11-20T19:12", "ms")


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def house_of(city):
    made = House(city, city_clock(city.path), Runs(city), Basemap(city), True, "viewer", "")
    made.next_places.get = lambda _city: []
    return made


def settled(city, **changes):
    """The city with other settings."""
    write_settings(city.path, msgspec.structs.replace(city.settings, **changes))
    return City.open(city.path)


def text_of(part):
    """What a reader reads, without names of properties."""
    if isinstance(part, str):
        return part
    if isinstance(part, list | tuple):
        return " ".join(map(text_of, part))
    return text_of(getattr(part, "children", None) or "")


def people(city, women, men=0, **more):
    for number in range(1, women + men + 1):
        # An evening each, so that nothing looks as if few people had given many.
        time = f"2026-{9 + number // 25:02d}-{1 + number % 25:02d}T20:00:00.000Z"
        leave(city, given(number, gender="woman" if number <= women else "man", time=time, **more))
    collect(city)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", VIEWS)
def test_no_banned_word_stands_on_any_page_for_anybody(city, path, language):
    people(city, 12, 12)
    house = house_of(city)
    for role in ROLES:
        text = text_of(VIEWS[path].layout(house, asked(path, f"?lang={language}", role)))
        assert len(text) > 40
        assert not re.findall(BANNED[language], text, re.IGNORECASE), role


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_chapter_leads_to_every_other(city, language):
    house = house_of(city)
    for path in CHAPTERS.values():
        page = str(VIEWS[path].layout(house, asked(path, f"?lang={language}", "public")))
        assert all(f"href='{other}?lang={language}'" in page for other in CHAPTERS.values())


def test_what_the_city_has_not_said_is_told_as_that(city):
    page = text_of(VIEWS["/about/privacy"].layout(house_of(city), asked("/about/privacy", "?lang=en", "public")))
    assert page.count("The city has not said.") == 4  # contact, officer, legal basis, authority
    told = settled(city, about=AboutSettings(contact="lighting@example.org", legal_basis="public task"))
    page = text_of(VIEWS["/about/privacy"].layout(house_of(told), asked("/about/privacy", "?lang=en", "public")))
    assert "lighting@example.org" in page and page.count("The city has not said.") == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_privacy_tells_how_long_a_session_lasts_and_of_the_provider_that_a_city_has(city, language):
    provider = SignInSettings(
        issuer="https://id.example.org", client_id="noctule", public_url="https://night.example.org",
        roles={"*": "viewer"}, label="Town Account", longest_hours=60,
    )  # fmt: skip
    for told, named in ((city, False), (settled(city, sign_in=provider), True)):
        page = text_of(VIEWS["/about/privacy"].layout(house_of(told), asked("/about/privacy", f"?lang={language}", "")))
        assert ("Town Account" in page) == named and "{" not in page
        assert page.count(f"{60 if named else 72} h") == 2  # of the cookie and of the session


def test_what_a_city_says_of_itself_is_one_line(city):
    file = city.path / "city.toml"
    for wrong in ("x" * 401, "two\nlines"):
        write_settings(city.path, msgspec.structs.replace(city.settings, about=AboutSettings(contact=wrong)))
        with pytest.raises(CityError, match=r"about\.contact must be one line of at most 400"):
            read_settings(file)


def test_a_review_is_due_on_the_day_after_it_and_never_when_it_is_told_in_words(city):
    def passed(review, today):
        purpose = PurposeSettings(uses=("x",), review=review)
        return review_passed(msgspec.structs.replace(city.settings, purpose=purpose), today)

    assert not passed("2027-06-30", date(2027, 6, 30))
    assert passed("2027-06-30", date(2027, 7, 1))
    assert not passed("each spring", date(2099, 1, 1))


def test_about_says_when_the_review_is_overdue(city):
    late = settled(city, purpose=PurposeSettings(uses=("x",), responsible="y", review="2020-01-31"))
    for house, due in ((house_of(city), False), (house_of(late), True)):
        page = text_of(VIEWS["/about"].layout(house, asked("/about", "?lang=en", "public")))
        assert ("That day has passed" in page) == due


def test_nothing_is_told_of_nine_people(city):
    people(city, 9)
    assert who_answered(city).rows == ()


def test_a_group_of_nine_is_not_told_and_neither_is_the_rest(city):
    people(city, 21, 9)
    rows = {(row.column, row.code): row for row in who_answered(city).rows}
    assert rows["gender", "man"].sample is None and not rows["gender", "man"].nobody
    assert rows["gender", "woman"].sample == 1.0  # those too few count with the largest, so subtraction finds nobody
    assert rows["gender", "another"].nobody if ("gender", "another") in rows else True


def test_a_group_is_missing_beside_the_residents_that_the_city_tells(city):
    people(settled(city, resident_shares={"gender.woman": 0.5, "gender.man": 0.49}), 40, 10)
    rows = {(row.column, row.code): row for row in who_answered(City.open(city.path)).rows}
    assert rows["gender", "man"].under and not rows["gender", "woman"].under
    assert not replace(rows["gender", "man"], residents=None).under


def test_a_group_that_nobody_answered_for_is_missing_where_it_lives_here():
    assert Told("gender", "man", None, True, None, 0.4).under
    assert not Told("gender", "man", None, True, None, None).under
    assert not Told("gender", "man", None, False, None, 0.4).under  # too few to be told, so neither is this


def test_a_share_of_no_group_hides_no_other(city):
    people(settled(city, resident_shares={"gender.woman": 0.9, "gender.nonsense": 0.1}), 12, 12)
    rows = {(row.column, row.code): row for row in who_answered(City.open(city.path)).rows}
    assert rows["gender", "woman"].residents == 0.9 and rows["gender", "woman"].under


def test_about_tells_which_program_and_model_made_the_public_nights(city):
    synthetic_atlas.write_night(city, "2026-11-17", steps=2, level="public")
    synthetic_atlas.write_night(city, "2026-11-18", steps=2, level="public")
    page = text_of(VIEWS["/about"].layout(house_of(city), asked("/about", "?lang=en", "public")))
    assert "17 Nov 2026 – 18 Nov 2026" in page and "No public night" not in page


def test_the_smallest_told_campaign_is_kept_back_with_those_of_few_people():
    def row(name, people_):
        return CampaignRow(name, True, "recorded", people_, people_, "", "", 0)

    assert kept_back([row("a", 50), row("b", 12)]) == set()
    assert kept_back([row("a", 50), row("b", 12), row("c", None)]) == {"b", "c"}
    assert kept_back([row("c", None)]) == {"c"}


def test_what_a_walk_agreed_on_is_told_with_its_walk_and_how_long_it_took(city, tmp_path):
    walk = walked(city)
    route = route_of(city, walk)
    file = tmp_path / "actions.csv"
    agreed = "Mend the lamp,Lighting,2026-01-31,2\nCut the hedge,Parks,2099-01-01,\n"
    file.write_text(f"title,owner,due,stop\n{agreed}", "utf-8")
    into_journal(city, walk, route, read_actions(file, city, walk, route))
    told = you_said(city, NOW)
    assert told.agreed == 2 and told.median_days is None  # not yet
    journal = city.path / "journal" / "journal.csv"
    lines = journal.read_text("utf-8").splitlines()
    begun = next(line for line in lines if "Cut the hedge" in line).split(",")[3]
    ended = str(np.datetime64(begun[:19]) + np.timedelta64(10, "D")) + begun[19:]
    done = [line.replace(f"{begun},,", f"{begun},{ended},").replace(",open,", ",done,") if "hedge" in line else line
            for line in lines]  # fmt: skip
    journal.write_text("\n".join(done) + "\n", "utf-8")
    add_entry(city, Entry("", "decision", "Another thing", "2026-11-01T10:00:00Z"))
    add_entry(city, Entry("", "event", "A concert", "2026-11-01T10:00:00Z"))
    told = you_said(city, NOW)
    assert told.median_days == pytest.approx(10.0) and (len(told.waits), told.agreed) == (1, 2)
    by_title = {action.title: action for action in told.actions}
    assert set(by_title) == {"Mend the lamp", "Cut the hedge", "Another thing"}
    assert by_title["Mend the lamp"].walk == walk.title and by_title["Mend the lamp"].place == "stop 2: Stop at 1"
    assert by_title["Another thing"].walk == ""
    page = text_of(VIEWS["/about/done"].layout(house_of(city), asked("/about/done", "?lang=en", "public")))
    assert "half within 10 days (1 of 2 closed)" in page and "the walk " + walk.title in page


def test_a_journal_that_cannot_be_read_is_told_and_breaks_no_page(city):
    (city.path / "journal").mkdir()
    (city.path / "journal" / "journal.csv").write_text("nonsense\n1\n", "utf-8")
    page = text_of(VIEWS["/about/done"].layout(house_of(city), asked("/about/done", "?lang=en", "public")))
    assert "cannot be read at the moment" in page


def test_a_script_in_a_citys_model_card_is_text_and_no_link_leads_to_one():
    card = "# T\n\nA <script>alert(1)</script> [x](javascript:alert(1)) [y](https://example.org)\n\n"
    parts = markdown_parts(card + "| a |\n| --- |\n| 1 |\n", "Table")
    assert "<script>alert(1)</script>" in text_of(parts)
    assert "script" not in [type(part).__name__.lower() for part in parts]
    assert re.findall(r"href='([^']*)'", str(parts)) == ["https://example.org"]
    assert "aria-label" in str(parts[-1].to_plotly_json())


def test_the_model_card_says_that_nothing_was_validated_and_which_command_would(city):
    page = text_of(VIEWS["/about/model"].layout(house_of(city), asked("/about/model", "?lang=en", "public")))
    assert "No validation of this model has been kept" in page and "noctule validate" in page


def test_a_damaged_model_is_told_and_breaks_no_page(city):
    city.shelf("model").mkdir(parents=True)
    city.shelf("model", "current.json").write_text("{", "utf-8")
    for path in CHAPTERS.values():
        assert len(text_of(VIEWS[path].layout(house_of(city), asked(path, "?lang=fr", "public")))) > 100


def test_devices_are_counted_once_by_what_they_are_and_retired_ones_never():
    sites = pd.DataFrame(
        {
            "device": ["a", "a", "b", "c", "d"],
            "quantity": ["dimming", "lamp_ok", "people_flow", "people_in", "people_flow"],
            "sensor_class": ["", "", "stereo", "video-2", "beam"],
            "origin": ["device", "device", "simulated", "device", "device"],
            "valid_to": pd.to_datetime([None, None, None, None, "2026-01-01"]),
        }
    )
    counts = sensor_counts(sites)
    assert {kind: (one.devices, one.simulated) for kind, one in counts.items()} == {
        "controller": (1, 0), "overhead": (1, 1), "camera": (1, 0),
    }  # fmt: skip


def test_the_facts_are_read_anew_when_answers_come(city):
    house = house_of(city)
    people(city, 12)
    assert house.about.who(city).people == 12
    leave(city, given(40, time="2026-11-19T20:00:00.000Z"))
    collect(city)
    assert house.about.who(city).people == 13
