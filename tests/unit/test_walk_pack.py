from __future__ import annotations

import csv
import datetime
import io
import json
import re
import socket
import xml.etree.ElementTree as ET

import msgspec
import openpyxl
import pandas as pd
import pytest
import shapely
from typer.testing import CliRunner

from analytics.phrases import LANGUAGES, phrases
from analytics.typeset import page_pictures, pdf
from analytics.walk_map import route_map, stop_map
from analytics.walk_pack import code, pack_content, write_pack
from analytics.walk_route import route_of
from analytics.walk_sheet import COLUMNS, completed, sheet_csv, sheet_rows
from analytics.walk_times import at_stops, beginning
from ingest.surveys import check_answers, load_table
from noctule import app
from sensors.city import City
from sensors.errors import WalkError
from sensors.walk import MOST_STOPS, Walk, make_stops, walk_settings, write_walk
from tests.synthetic_city import SOUTH, WEST, make_city
from tests.unit.test_words import BANNED

NIGHT = "2026-11-20"


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    return make_city(tmp_path_factory.mktemp("pack") / "town")


def a_walk(city, **changes):
    at = ((60.0, 120.0), (160.0, 280.0), (260.0, 120.0))
    labels = ["West Street", "Market & <b>North</b> #strong[x]", "Place d'été"]
    stops = make_stops(city, labels, [shapely.Point(WEST + e, SOUTH + n) for e, n in at], [-1] * 3)
    settings = walk_settings("autumn", "Autumn walk", NIGHT, url="https://night.example.org")
    return Walk(msgspec.structs.replace(settings, **changes), stops)


@pytest.fixture(scope="module")
def packed(city, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    write_pack(city, a_walk(city), out, participants=3)
    return out


def test_the_pack_has_all_that_a_group_takes_and_is_the_same_to_the_byte(city, packed, tmp_path):
    again = write_pack(city, a_walk(city), tmp_path, participants=3)
    assert {file.name for file in again} == {
        "booklet.pdf", "poster.pdf", "keying-sheet.xlsx", "keying-sheet.csv", "route.svg", "actions.csv",
    }  # fmt: skip
    for file in again:
        assert file.read_bytes() == (packed / file.name).read_bytes(), file.name


def test_it_is_printed_without_a_network(city, tmp_path, monkeypatch):
    def refused(*_args, **_more):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    write_pack(city, a_walk(city), tmp_path)


def test_the_booklet_has_six_pages_and_one_a_stop_and_the_poster_one(city):
    walk = a_walk(city)
    content, pictures = pack_content(city, walk, route_of(city, walk))
    assert len(page_pictures("walk-booklet", content, pictures, ppi=20)) == 6 + len(walk.stops)
    assert len(page_pictures("walk-poster", content, pictures, ppi=20)) == 1


def test_the_most_stops_and_long_names_still_take_one_page_each(city):
    points = [shapely.Point(WEST + 5 + 7.5 * number, SOUTH + 60) for number in range(MOST_STOPS)]
    stops = make_stops(
        city,
        ["Avenue de la Très Longue République / Rue du Général de Gaulle (12)"] * MOST_STOPS,
        points,
        [-1] * MOST_STOPS,
    )
    walk = Walk(a_walk(city).settings, stops)
    content, pictures = pack_content(city, walk, route_of(city, walk))
    assert len(page_pictures("walk-booklet", content, pictures, ppi=15)) == 6 + MOST_STOPS


def test_a_walk_without_an_address_has_no_codes_and_says_so(city):
    walk = a_walk(city, url="")
    content, pictures = pack_content(city, walk, route_of(city, walk))
    assert not [name for name in pictures if name.startswith("code")]
    assert pdf("walk-booklet", content, pictures).startswith(b"%PDF")


def test_each_stops_code_is_of_its_own_address(city):
    walk = a_walk(city)
    pictures = pack_content(city, walk, route_of(city, walk))[1]
    for stop in walk.stops.index:
        assert pictures[f"code-{stop}.svg"] == code(f"https://night.example.org/ask?walk=autumn&stop={stop}")
    assert len({pictures[f"code-{stop}.svg"] for stop in walk.stops.index}) == 3


def test_maps_are_drawn_of_the_citys_own_places_and_hold_names_as_text(city):
    walk = a_walk(city)
    route = route_of(city, walk)
    for picture in (route_map(city, walk, route), stop_map(city, walk, route, 2)):
        root = ET.fromstring(picture)
        assert root.tag.endswith("svg") and "href" not in picture and "url(" not in picture
    said = [text.text for text in ET.fromstring(route_map(city, walk, route)).iter() if text.tag.endswith("text")]
    assert {"1", "2", "3"} <= set(said)
    assert "Middle Road" in said


def test_the_dark_walk_is_in_the_dark_and_the_day_walk_ends_before_sunset(city):
    walk = a_walk(city)
    route = route_of(city, walk)
    dark, day = at_stops(city, walk, route, "dark"), at_stops(city, walk, route, "day")
    assert beginning(city, walk, route, "dark").strftime("%H:%M") == "20:00"
    assert day == sorted(day) and dark == sorted(dark)
    assert day[-1].strftime("%H:%M") < "15:25"  # sunset in Helsinki on 20 November
    summer = a_walk(city, date=datetime.date(2026, 6, 21))
    with pytest.raises(WalkError, match="does not get dark"):
        far = City(city.path, msgspec.structs.replace(city.settings, crs="EPSG:3067"))
        far.centre_lonlat = lambda: (25.0, 68.0)
        beginning(far, summer, route, "dark")


def test_hours_that_somebody_set_count(city):
    walk = a_walk(city, day_from="11:15", dark_from="22:30")
    route = route_of(city, walk)
    assert beginning(city, walk, route, "day").isoformat() == "2026-11-20T11:15:00+02:00"
    assert beginning(city, walk, route, "dark").isoformat() == "2026-11-20T22:30:00+02:00"


def test_the_sheet_has_a_row_a_participant_stop_and_light_in_the_columns_of_the_import(city):
    walk = a_walk(city)
    rows = sheet_rows(city, walk, route_of(city, walk), 4)
    assert len(rows) == 4 * 3 * 2
    assert len({row["response_id"] for row in rows}) == len(rows)
    assert [row["light_state"] for row in rows[:6]] == ["day"] * 3 + ["dark"] * 3
    read = list(csv.DictReader(io.StringIO(sheet_csv(rows))))
    assert tuple(read[0]) == COLUMNS


def test_a_keyed_sheet_is_taken_as_it_is_from_csv_and_from_xlsx(city, packed, tmp_path):
    walk = a_walk(city)
    for name in ("keying-sheet.csv", "keying-sheet.xlsx"):
        table = load_table(packed / name)
        table = table.astype(object)
        table.loc[:, "category"] = ["3"] * len(table)
        table.loc[0, "gender"] = "woman"
        keyed = tmp_path / "keyed.csv"
        completed(table, walk).to_csv(keyed, index=False)
        report = check_answers(keyed, city=city)
        assert (report.accepted, report.problems) == (len(table), [])
        assert completed(table, walk)["gender"].tolist()[:6] == ["woman"] * 6
        assert completed(table, walk)["gender"].tolist()[6:] == [""] * 12


def test_lists_of_the_workbook_allow_what_the_import_takes(packed):
    book = openpyxl.load_workbook(packed / "keying-sheet.xlsx")
    rules = {str(rule.sqref).split(":")[0]: rule.formula1 for rule in book["answers"].data_validations.dataValidation}
    head = [cell.value for cell in book["answers"][1]]
    letter = openpyxl.utils.get_column_letter(head.index("category") + 1)
    assert rules[f"{letter}2"] == '"1,2,3,4"'
    assert len(rules) == 6
    assert book.sheetnames == ["answers", "how to key"]


def test_rows_without_an_answer_are_nobodys_and_two_genders_of_one_person_are_refused(city):
    walk = a_walk(city)
    table = pd.DataFrame(
        {
            "Response_ID": ["p01-s1-day", "p01-s2-day", "p02-s1-day"],
            "category": [3.0, None, "4"],
            "pseudonym": ["p01", "p01", "p02"],
            "stop": [1, 2, 1.0],
            "gender": [None, "woman", "man"],
        }
    )
    done = completed(table, walk)
    assert done["response_id"].tolist() == ["p01-s1-day", "p02-s1-day"]
    assert done["category"].tolist() == ["3", "4"]
    assert done["gender"].tolist() == ["woman", "man"]
    for changed, says in (
        ({"gender": ["man", "woman", "man"]}, "gender of p01 is not the same"),
        ({"category": ""}, "holds no answer"),
        ({"stop": 9}, "stop '9' of the sheet is none of walk 'autumn', 1, 2, 3"),
    ):
        with pytest.raises(WalkError, match=says):
            completed(table.assign(**changed), walk)
    with pytest.raises(WalkError, match="lacks the columns stop"):
        completed(table.drop(columns="stop"), walk)
    with pytest.raises(WalkError, match="has 4803 rows"):
        completed(pd.concat([table] * 1601), walk)


def test_an_answer_is_of_its_stop_whatever_place_somebody_typed(city):
    walk = a_walk(city)
    table = pd.DataFrame(sheet_rows(city, walk, route_of(city, walk), 1)).assign(category="2", lon="0", lat="89")
    done = completed(table, walk)
    assert done["lon"].tolist() == [f"{walk.stops.lon[int(stop)]:.6f}" for stop in done["stop"]]
    assert done["lat"].tolist() == [f"{walk.stops.lat[int(stop)]:.6f}" for stop in done["stop"]]


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_printed_that_we_do_not_say(city, language):
    walk = a_walk(city)
    said = json.dumps(pack_content(city, walk, route_of(city, walk))[0]["say"][language], ensure_ascii=False)
    answers = [f'"{words}"' for words in pack_content(city, walk, route_of(city, walk))[0]["say"][language]["answers"]]
    for words in answers:  # the instrument's own words, as asked everywhere
        said = said.replace(words, "")
    assert re.search(BANNED[language], said, re.IGNORECASE) is None
    assert phrases(language)("word.simulated") in said


def test_the_command_packs_and_refuses_what_cannot_be(city, tmp_path):
    write_walk(city, a_walk(city))
    run = CliRunner()
    done = run.invoke(app, ["walk", "pack", str(city.path), "autumn", "--out", str(tmp_path / "a"), "--json"])
    assert done.exit_code == 0 and len(json.loads(done.stdout)) == 6
    assert run.invoke(app, ["walk", "pack", str(city.path), "nowhere"]).exit_code == 1
    bad = run.invoke(app, ["walk", "pack", str(city.path), "autumn", "--url", "javascript:alert(1)"])
    assert bad.exit_code == 1 and "url must be an address" in str(bad.exception)


def test_actions_that_somebody_typed_are_not_written_over(city, tmp_path):
    write_pack(city, a_walk(city), tmp_path)
    (tmp_path / "actions.csv").write_text("title,owner,due,stop\nMend the lamp,Lighting,2027-01-31,2\n", "utf-8")
    write_pack(city, a_walk(city), tmp_path)
    assert "Mend the lamp" in (tmp_path / "actions.csv").read_text("utf-8")
