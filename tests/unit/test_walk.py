from __future__ import annotations

import datetime

import pytest
import shapely

from sensors.errors import WalkError
from sensors.walk import Walk, WalkSettings, make_stops, read_walk, walk_folder, walk_names, write_walk
from tests.synthetic_city import SOUTH, WEST, make_city

AT = ((40.0, 60.0), (160.0, 60.0), (160.0, 200.0))


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    return make_city(tmp_path_factory.mktemp("walks") / "town")


def a_walk(city, walk_id="autumn", **changes):
    points = [shapely.Point(WEST + east, SOUTH + north) for east, north in AT]
    stops = make_stops(city, ["South Street", "=Market Street", "Place d'été"], points, [0, 3, -1])
    settings = {"format": 1, "id": walk_id, "title": "Marche d'automne", "date": datetime.date(2026, 11, 20)}
    return Walk(WalkSettings(**{**settings, **changes}), stops)


def stops_file(city, text, walk_id="edited"):
    write_walk(city, a_walk(city, walk_id))
    (walk_folder(city, walk_id) / "stops.csv").write_text(text, "utf-8")
    return city


HEAD = "stop,label,lon,lat,easting,northing,section\n"


def test_a_walk_that_was_written_is_read_as_it_was(city):
    written = a_walk(city, url="https://night.example.org", repeats="spring")
    write_walk(city, written)
    read = read_walk(city, "autumn")
    assert read.settings == written.settings
    assert read.campaign == "walk-autumn"
    assert read.stops.index.tolist() == [1, 2, 3]
    assert read.stops.label.tolist() == written.stops.label.tolist()
    assert read.stops.section.tolist() == [0, 3, -1]
    assert read.stops.geometry.distance(written.stops.geometry).max() < 0.2
    assert "autumn" in walk_names(city)


def test_a_label_that_a_spreadsheet_would_run_is_kept_harmless(city):
    folder = write_walk(city, a_walk(city))
    assert "'=Market Street" in (folder / "stops.csv").read_text("utf-8")


def test_stops_go_by_their_numbers_and_a_stop_needs_one_pair_of_coordinates_only(city):
    stop = a_walk(city).stops.iloc[1]
    text = f"{HEAD}7,Later,{stop.lon:.6f},{stop.lat:.6f},,,\n2,Earlier,,,{WEST + 40},{SOUTH + 60},4\n"
    read = read_walk(stops_file(city, text), "edited")
    assert read.stops.index.tolist() == [2, 7]
    assert read.stops.label.tolist() == ["Earlier", "Later"]
    assert read.stops.geometry.loc[7].distance(stop.geometry) < 0.2
    assert read.stops.lon.loc[2] == pytest.approx(a_walk(city).stops.lon.loc[1], abs=1e-6)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("1,Far,10.0,50.0,,,", "not in Smalltown"),
        ("1,Nowhere,,,,,", "neither lon and lat nor easting and northing"),
        ("1,Odd,nan,60,,,", "must be two numbers"),
        ("1,Off,400,95,,,", "not on the globe"),
        (f"0,Zero,,,{WEST + 9},{SOUTH + 9},", "must be a number from 1 to 999"),
        (f"1,,,,{WEST + 9},{SOUTH + 9},", "the label must be one line"),
        (f"1,{'x' * 200},,,{WEST + 9},{SOUTH + 9},", "the label must be one line"),
        (f"1,A,,,{WEST + 9},{SOUTH + 9},minus", "section 'minus'"),
        (f"1,A,,,{WEST + 9},{SOUTH + 9},\n1,B,,,{WEST + 9},{SOUTH + 9},", "stop 1 stands twice"),
        ("", "it has 0 stops"),
        ('1,"open', "no CSV table"),
    ],
)
def test_a_stop_that_cannot_be_is_refused_with_its_line(city, row, says):
    with pytest.raises(WalkError, match=says):
        read_walk(stops_file(city, HEAD + row + "\n"), "edited")


def test_degrees_and_metres_of_two_places_are_not_one_stop(city):
    stop = a_walk(city).stops.iloc[1]
    text = f"{HEAD}1,Split,{stop.lon:.6f},{stop.lat:.6f},{WEST + 40},{SOUTH + 60},\n"
    with pytest.raises(WalkError, match="lie 120 m from easting and northing"):
        read_walk(stops_file(city, text), "edited")


@pytest.mark.parametrize("name", ["../town", "UPPER", "a--b", "", "x" * 41, "a/b", "autumn\n"])
def test_what_is_no_id_of_a_walk_opens_no_folder(city, name):
    with pytest.raises(WalkError, match="walk id"):
        read_walk(city, name)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"title": ""}, "the title"),
        ({"light_states": ("dusk",)}, "day, dark or both"),
        ({"url": "javascript:alert(1)"}, "url must be an address"),
        ({"repeats": "bad"}, "repeats must be the id"),
        ({"format": 2}, "format 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(city, changes, says):
    with pytest.raises(WalkError, match=says):
        write_walk(city, a_walk(city, "bad", **changes))


def test_unknown_settings_and_damaged_files_are_refused_by_name(city):
    file = write_walk(city, a_walk(city, "damaged")) / "walk.toml"
    text = file.read_text("utf-8")
    for damage, says in (("colour = 1\n", "colour"), ("[[", "docs/walks.md")):
        file.write_text(text + damage, "utf-8")
        with pytest.raises(WalkError, match=says):
            read_walk(city, "damaged")
    file.write_bytes(b"\xff" * 10)
    with pytest.raises(WalkError, match="cannot be read"):
        read_walk(city, "damaged")
    with pytest.raises(WalkError, match="has no walk 'unknown'; it has"):
        read_walk(city, "unknown")
