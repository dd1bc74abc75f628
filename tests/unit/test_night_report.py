"""Two pages of a night: whatever is there, and whatever is missing."""

import json
import re
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import noctule
from analytics.night_answers import night_answers
from analytics.night_facts import MOST_NIGHTS, night_facts, nights_between
from analytics.night_report import paper_content, pictures, report_content, report_html
from analytics.passing import passing
from analytics.phrases import LANGUAGES, phrases
from analytics.typeset import page_pictures
from ingest.archive import append_records
from sensors.answer import ANSWER_COLUMNS
from sensors.city import City
from sensors.errors import NoctuleError, StoreError
from sensors.journal import Entry, add_entry
from sensors.night import Night
from tests import synthetic_atlas
from tests.synthetic_city import make_city
from tests.unit.test_usual_differences import NIGHT, WEEKS, evening
from tests.unit.test_words import BANNED

SCRIPT = "<script>alert(1)</script> #strong[x] " * 12


def answers_of(city, night, people, each=1):
    """So many people who answered in a night, each so often."""
    rows = people * each
    who = np.repeat(np.arange(people), each)
    frame = pd.DataFrame({name: pd.Series([""] * rows, dtype="str") for name in ANSWER_COLUMNS})
    frame["response_id"] = [f"{night.name}-{number}" for number in range(rows)]
    frame["pseudonym"] = [f"{night.name}-{number}" for number in who]
    for name, value in {
        "instrument": "core-4", "item": "safe-here", "category": 3, "k": 4, "weight": 1.0, "gender": "woman",
        "age_band": "25-44", "role": "resident", "origin": "simulated", "campaign": "test", "light_state": "dark",
        "easting": 385_900.0, "northing": 6_671_900.0, "trigger": "prompted",
    }.items():  # fmt: skip
        frame[name] = value
    frame["time"] = np.datetime64(night.at(21), "ms")
    return frame.astype(ANSWER_COLUMNS)


def with_answers(city, *frames):
    folder = city.shelf("answers")
    folder.mkdir(parents=True, exist_ok=True)
    pd.concat(frames, ignore_index=True).to_parquet(folder / "test.parquet")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A town with eight weeks of readings, a loud and busy Friday, pages, answers, and a long journal."""
    city = make_city(tmp_path_factory.mktemp("full") / "town")
    night = Night.named(NIGHT, city.zone)
    generator = np.random.default_rng(2)
    parts = [evening(city, night.date - timedelta(days=7 * week), generator) for week in range(1, WEEKS + 1)]
    tonight = evening(city, night.date, generator, factor=2.5, louder=8.0, hours=range(20, 31))
    append_records(city, np.concatenate([*parts, tonight]), "test")
    synthetic_atlas.write_night(city, NIGHT, steps=12)
    with_answers(city, answers_of(city, night, 24))
    for number in range(30):
        due = "2026-11-01T12:00:00+02:00" if number == 0 else "2027-01-01T12:00:00+02:00"
        add_entry(city, Entry("", "measure", SCRIPT, f"2026-10-{number + 1:02d}T20:00:00+02:00", owner=SCRIPT, due=due))
    add_entry(city, Entry("", "event", SCRIPT, f"{NIGHT}T20:00:00+02:00", place="the square"))
    return City.open(city.path)


@pytest.fixture(scope="module")
def facts(full):
    return night_facts(full, [Night.named(NIGHT, full.zone)])


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    return make_city(tmp_path_factory.mktemp("nothing") / "town", simulated=False)


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_two_pages_whatever_there_is_to_say(facts, nothing, language):
    say = phrases(language)
    of_nothing = night_facts(nothing, [Night.named(NIGHT, nothing.zone)])
    for told in (facts, of_nothing):
        assert len(page_pictures("night-report", paper_content(told, say), pictures(told, say), ppi=15)) == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_holds_no_markup_of_others_and_no_word_that_we_do_not_say(facts, language):
    page = report_html(facts, phrases(language))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert re.search(BANNED[language], re.sub(r"<[^>]*>|&[a-z]+;", " ", page), re.IGNORECASE) is None
    assert re.search(r"(src|href)=|url\(http", page) is None


def test_what_is_simulated_says_so_on_page_and_map_and_what_is_not_does_not(facts, nothing):
    say = phrases("en")
    assert say("word.simulated") in report_html(facts, say) and say("word.simulated") in pictures(facts, say)["map.svg"]
    assert "SIMULATED" not in report_html(night_facts(nothing, [Night.named(NIGHT, nothing.zone)]), say)


def test_every_part_that_is_missing_is_a_sentence(nothing):
    say = phrases("en")
    content = report_content(night_facts(nothing, [Night.named(NIGHT, nothing.zone)]), say)
    assert "no released pages" in content["map_note"][0] and "no released pages" in content["pass"][0]
    assert content["sleep"] == [say("night_report.sleep_none")]
    assert content["gaps"] == [say("night_report.gaps_nothing")]
    assert content["answers"] == [say("night_report.answers_nobody")]
    assert content["actions"] == [say("night_report.actions_none")]
    assert "No lamp controller was heard" in content["lamps"][0]
    assert "Nothing could be compared" in content["differ"][0]
    assert all(not content[f"{name}_table"]["rows"] for name in ("differ", "pass", "sleep", "lamps", "actions"))


def test_a_busy_loud_night_is_told_with_how_many_would_differ_by_chance(facts):
    content = report_content(facts, phrases("en"))
    differ = facts.differences
    assert f"{len(differ.comparisons)} comparisons" in content["differ"][0]
    assert f"about {0.05 * len(differ.comparisons):.0f} of them would differ by chance" in content["differ"][0]
    assert {row[0] for row in content["differ_table"]["rows"]} == {"people passing", "sound level"}
    assert [row[2] for row in content["actions_table"]["rows"]].count("1 Nov 2026, overdue") == 1


def test_shares_are_weighted_by_who_passes(full):
    night = Night.named(NIGHT, full.zone)
    told = passing(full, night)
    from analytics import atlas

    pages = [atlas.open_step(full, night, step) for step in atlas.closed_steps(atlas.night_meta(full, night))]
    people = np.stack([page["footfall"].values[0] for page in pages]).astype(np.float64)
    safe = np.stack([page["safety"].values[0] for page in pages]).astype(np.float64)
    both = np.isfinite(people) & np.isfinite(safe)
    assert told.whole.safe == pytest.approx(np.average(safe[both], weights=people[both]))
    assert told.whole.low < told.whole.safe < told.whole.high and 0 < told.whole.shown < 1
    assert sum(hour.people for hour in told.hours) == pytest.approx(1.0)
    assert told.busiest == pages[int(np.argmax(np.nansum(people, axis=(1, 2))))]["time"].values[0]


def test_a_facade_above_the_limit_all_night_keeps_all_its_minutes(facts):
    facades = [one for one in facts.sleepers if one.mounting == "facade"]
    assert len(facades) == 3 and all(one.minutes == 480.0 for one in facades)
    assert all(one.year is not None and one.year.l_night is None for one in facades)
    assert "No Lnight yet" in " ".join(report_content(facts, phrases("en"))["sleep"])


@pytest.mark.parametrize(("people", "each", "told"), [(24, 1, 20), (10, 1, 10), (9, 3, 0), (1, 40, 0)])
def test_answers_of_a_night_are_told_in_tens_and_only_of_enough_people(tmp_path, people, each, told):
    city = make_city(tmp_path / "town")
    night = Night.named(NIGHT, city.zone)
    with_answers(city, answers_of(city, night, people, each))
    found = night_answers(city, [night])
    assert (found.people, found.told) == (told, int(told > 0))


def test_nobody_is_found_by_taking_one_period_from_another(tmp_path):
    city = make_city(tmp_path / "town")
    night = Night.named(NIGHT, city.zone)
    with_answers(city, answers_of(city, night, 3), answers_of(city, night.previous(), 12))
    both, alone = night_answers(city, [night.previous(), night]), night_answers(city, [night.previous()])
    assert both.people == alone.people == 10 and both.untold == 1


def test_who_is_missing_is_named(facts):
    assert facts.answers.few["gender"] == ("man", "another") and "resident" not in facts.answers.few["role"]
    assert "men" in report_content(facts, phrases("en"))["answers"][-1]


def test_a_period_is_the_nights_that_are_there_and_no_year(full):
    night = Night.named(NIGHT, full.zone)
    month = Night(night.date - timedelta(days=30), full.zone)
    assert [one.name for one in nights_between(full, month, night)] == [
        (night.date - timedelta(days=7 * week)).isoformat() for week in (4, 3, 2, 1, 0)
    ]
    far = Night(night.date - timedelta(days=MOST_NIGHTS), full.zone)
    with pytest.raises(StoreError, match="period"):
        nights_between(full, far, night)
    with pytest.raises(StoreError, match="period"):
        nights_between(full, night, month)
    future = Night.named("2031-01-01", full.zone)
    assert nights_between(full, future, future) == [future]


def test_the_command_writes_both_and_prints_numbers(full, tmp_path):
    ran = CliRunner().invoke(
        noctule.app, ["report", str(full.path), "--from", "2026-11-13", "--to", NIGHT, "--language", "fr", "--json",
                      "--out", str(tmp_path / "made")],
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    assert said["nights"] == ["2026-11-13", NIGHT] and said["differences"]["raw"] >= 0
    assert sorted(path.suffix for path in (tmp_path / "made").iterdir()) == [".html", ".pdf"]
    assert (tmp_path / "made" / "smalltown-2026-11-13-to-2026-11-20-report.fr.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--night", "../../etc/passwd"], 2),
        (["--night", "9999-12-31"], 2),
        (["--night", "2026-02-30"], 2),
        (["--from", NIGHT], 2),
        (["--from", NIGHT, "--to", "2026-11-01"], 2),
        (["--night", NIGHT, "--from", NIGHT, "--to", NIGHT], 2),
        (["--from", "1970-01-02", "--to", NIGHT], 1),
        (["--night", NIGHT, "--language", "../en"], 1),
        (["--night", NIGHT, "--out", "/dev/null/x"], 1),
    ],
)
def test_hostile_arguments_are_refused_with_a_reason(nothing, arguments, code):
    ran = CliRunner().invoke(noctule.app, ["report", str(nothing.path), *arguments])
    assert ran.exit_code == code
    if code == 1:  # `noctule` prints the reason
        assert isinstance(ran.exception, NoctuleError)


def test_the_same_night_gives_the_same_bytes(full, facts):
    from analytics.night_report import report_pdf

    say = phrases("en")
    again = night_facts(full, [Night.named(NIGHT, full.zone)])
    assert report_html(again, say) == report_html(facts, say) and report_pdf(again, say) == report_pdf(facts, say)
