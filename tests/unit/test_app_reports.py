"""Reports of apps: categories decide, persons are refused, texts go nowhere, and a flood says no more than three."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import typer
from pyproj import Transformer
from typer.testing import CliRunner

from analytics.fitting import answers_to_fit, pooled_instruments
from ingest.app_reports import INSTRUMENT, check_reports, draft_text, import_reports, remove_reports
from ingest.archive import answers
from ingest.commands import register
from ingest.lamp_reports import answering, lamp_campaigns, lamp_reports, open_reports
from ingest.report_files import read_reports
from ingest.surveys import import_answers
from sensors.clock import set_clock
from sensors.errors import AnswerError
from tests.synthetic_city import CRS, SOUTH, WEST, make_city

TO_LONLAT = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
NOW = np.datetime64("2026-11-20T23:00", "ms")
MAPPING = """
format = 1
zone = "Europe/Helsinki"
[services]
"Street light out" = "lamp"
"Feeling unsafe" = "feeling"
"Nuisance" = "person"
"Pothole" = "pass"
"""


def request(number, category, east=60.0, north=75.0, **fields):
    lon, lat = TO_LONLAT.transform(WEST + east, SOUTH + north)
    usual = {
        "service_request_id": number,
        "service_code": "",
        "service_name": category,
        "description": "it is dark",
        "status": "open",
        "requested_datetime": "2026-11-10T20:08:00Z",
        "updated_datetime": "",
        "agency_responsible": "Lighting Services",
        "service_notice": "Within ten days",
        "lat": lat,
        "long": lon,
    }
    return usual | fields


@pytest.fixture
def city(tmp_path):
    city = make_city(tmp_path / "town")
    set_clock(city.path, NOW, 1.0)
    return city


@pytest.fixture
def mapping(tmp_path):
    file = tmp_path / "app.toml"
    file.write_text(MAPPING)
    return file


def written(tmp_path, rows, name="app.json"):
    file = tmp_path / name
    file.write_text(json.dumps(rows))
    return file


def taken_in(city, tmp_path, mapping, rows, **how):
    return import_reports(city, written(tmp_path, rows), mapping=mapping, simulated=True, **how)


def test_each_category_goes_where_the_mapping_says(city, tmp_path, mapping):
    rows = [
        request("1", "Street light out"),
        request("2", "Feeling unsafe"),
        request("3", "Nuisance"),
        request("4", "Pothole"),
        request("5", "Graffiti"),
        request("6", "Feeling unsafe", description="a gang stands there"),
    ]
    taken = taken_in(city, tmp_path, mapping, rows)
    assert (taken.lamps, taken.feelings, taken.persons, taken.passed, taken.unmapped) == (1, 1, 2, 2, 1)
    (answer,) = answers(city).to_dict("records")
    assert (answer["instrument"], answer["category"], answer["k"]) == (INSTRUMENT, 1, 2)
    assert (answer["trigger"], answer["campaign"]) == ("spontaneous", "app")
    assert lamp_reports(city)["agency"].tolist() == ["Lighting Services"]


def test_no_text_no_number_and_no_raw_point_is_on_disk_or_in_what_is_told(city, tmp_path, mapping):
    rows = [
        request(f"secret-{i}", kind, 60 + 3.7 * i, description=f"sesame {i}", status_notes="sesame too")
        for i, kind in enumerate(["Street light out", "Feeling unsafe", "Nuisance", "Street light out"])
    ]
    rows[0]["service_notice"] = "ask the man in the office"
    taken = taken_in(city, tmp_path, mapping, rows)
    stored = [path for path in (city.path / "store").rglob("*") if path.is_file()]
    everything = b"".join(path.read_bytes() for path in stored) + json.dumps(taken.to_dict()).encode()
    for word in (b"sesame", b"secret-", b"man in the office"):
        assert word not in everything
    kept = lamp_reports(city)
    lamps = city.places("lamps")
    places = {(round(x, 2), round(y, 2)) for x, y in zip(lamps.geometry.x, lamps.geometry.y, strict=True)}
    assert set(zip(kept["easting"], kept["northing"], strict=True)) <= places
    assert (kept["requested"].to_numpy().astype("datetime64[ms]").astype(int) % 900_000 == 0).all()


def test_the_same_file_twice_changes_nothing_and_a_newer_one_brings_the_answer(city, tmp_path, mapping):
    rows = [request("1", "Street light out"), request("2", "Feeling unsafe")]
    taken_in(city, tmp_path, mapping, rows)
    before = {path: path.read_bytes() for path in city.shelf().rglob("*.parquet")}
    assert taken_in(city, tmp_path, mapping, rows).known == 2
    assert {path: path.read_bytes() for path in city.shelf().rglob("*.parquet")} == before
    rows[0] |= {"status": "closed", "updated_datetime": "2026-11-14T20:08:00Z"}
    taken_in(city, tmp_path, mapping, rows)
    kept = lamp_reports(city)
    assert len(kept) == 1 and kept["state"].tolist() == ["closed"]
    assert answering(kept)["Lighting Services"].median_days == pytest.approx(4.0)
    assert open_reports(kept, NOW) == {} and open_reports(kept, np.datetime64("2026-11-12", "ms")) != {}


def test_a_change_of_a_request_that_is_still_open_is_no_answer(city, tmp_path, mapping):
    taken_in(city, tmp_path, mapping, [request("1", "Street light out", updated_datetime="2026-11-14T20:08:00Z")])
    assert answering(lamp_reports(city))["Lighting Services"].answered == 0


def test_a_lamp_report_joins_the_nearest_lamp_within_thirty_metres(city, tmp_path, mapping):
    lamps = city.places("lamps")
    lamp = lamps.iloc[5]
    east, north = lamp.geometry.x - WEST, lamp.geometry.y - SOUTH
    rows = [request("near", "Street light out", east + 3, north), request("far", "Street light out", 110.0, 110.0)]
    taken = taken_in(city, tmp_path, mapping, rows)
    kept = lamp_reports(city)
    assert taken.far_lamps == 1 and set(kept["lamp"]) == {str(lamp["lamp"]), ""}


def test_a_report_written_by_day_is_about_the_evening_before(city, tmp_path, mapping):
    rows = [
        request("noon", "Feeling unsafe", requested_datetime="2026-11-10T12:00:00+02:00"),
        request("night", "Feeling unsafe", requested_datetime="2026-11-10T23:10:00+02:00"),
        request("june", "Feeling unsafe", requested_datetime="2026-06-10T12:00:00+03:00"),
    ]
    taken_in(city, tmp_path, mapping, rows)
    local = answers(city)["time"].dt.tz_localize("UTC").dt.tz_convert("Europe/Helsinki")
    assert sorted(local.dt.strftime("%m-%d %H:%M")) == ["06-10 00:00", "11-09 21:00", "11-10 23:00"]


def test_a_flood_of_one_place_and_month_counts_as_one_person_who_says_three_things(city, tmp_path, mapping):
    def flood(first, count):
        return [
            request(str(i), "Feeling unsafe", 60, requested_datetime=f"2026-11-{1 + i % 18:02d}T{18 + i % 5}:00:00Z")
            for i in range(first, first + count)
        ]

    taken_in(city, tmp_path, mapping, flood(0, 40))
    kept = answers(city)
    assert len(kept) + check_held(city) == 40
    by_place = kept.groupby("pseudonym")["weight"].sum()
    assert len(by_place) == 1 and by_place.max() == pytest.approx(3.0, abs=1e-5)
    taken_in(city, tmp_path, mapping, flood(40, 40))
    more = answers(city)
    assert len(more) > len(kept) and more.groupby("pseudonym")["weight"].sum().max() == pytest.approx(3.0, abs=1e-5)


def test_no_flood_of_reports_moves_what_is_fitted(city, tmp_path, mapping):
    lon, lat = TO_LONLAT.transform(WEST + 60 + np.arange(12), SOUTH + np.full(12, 75.0))
    asked = pd.DataFrame(
        {"response_id": range(12), "category": 3, "lon": lon, "lat": lat, "time": "2026-11-10T20:00:00Z"}
    )
    asked.to_csv(tmp_path / "autumn.csv", index=False)
    import_answers(city, tmp_path / "autumn.csv", simulated=True)
    before, _ = answers_to_fit(city, None)
    rows = [request(str(i), "Feeling unsafe", 20 + i, requested_datetime="2026-11-12T19:00:00Z") for i in range(9)]
    taken_in(city, tmp_path, mapping, rows)
    after, left_out = answers_to_fit(city, None)
    assert INSTRUMENT not in pooled_instruments() and left_out == len(answers(city)) - 12
    pd.testing.assert_frame_equal(before, after)


def check_held(city):
    files = list((city.shelf("answers") / "quarantine").glob("*.parquet"))
    return sum(len(pd.read_parquet(file)) for file in files)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"requested_datetime": "yesterday"}, "must have its zone"),
        ({"requested_datetime": "2031-01-01T00:00:00Z"}, "has not come yet"),
        ({"requested_datetime": "1970-01-01T00:00:00Z"}, "before the year 2000"),
        ({"lat": "north"}, "no pair of numbers"),
        ({"lat": 91}, "not on the globe"),
        ({"lat": 0, "long": 0}, "the point 0, 0"),
        ({"lat": float("nan")}, ""),
        ({"lat": 48.85, "long": 2.35}, "is not in Smalltown"),
        ({"service_request_id": ""}, "no number"),
        ({"service_request_id": "good"}, "stands in the file twice"),
    ],
)
def test_a_wrong_report_is_left_out_and_told_with_its_number(city, tmp_path, mapping, changes, why):
    rows = [request("good", "Street light out"), request("bad", "Feeling unsafe") | changes]
    if changes.get("lat") != changes.get("lat"):
        rows[1]["lat"] = "nan"
        why = "not on the globe"
    taken = taken_in(city, tmp_path, mapping, rows)
    assert taken.wrong_rows == 1 and taken.lamps == 1
    assert taken.problems[0].startswith("report 2: ") and why in taken.problems[0]


def test_a_time_without_a_zone_takes_the_mappings(city, tmp_path, mapping):
    taken_in(city, tmp_path, mapping, [request("1", "Street light out", requested_datetime="2026-11-10T23:10:00")])
    assert str(lamp_reports(city)["requested"].iloc[0]) == "2026-11-10 21:00:00"


def test_reports_are_removed_together_and_never_mix_with_answers(city, tmp_path, mapping):
    lon, lat = TO_LONLAT.transform(WEST + 60, SOUTH + 75)
    table = pd.DataFrame(
        {"response_id": ["a"], "category": [3], "lon": lon, "lat": lat, "time": ["2026-11-10T20:00:00Z"]}
    )
    file = tmp_path / "autumn.csv"
    table.to_csv(file, index=False)
    import_answers(city, file, simulated=True)
    rows = [request("1", "Street light out"), request("2", "Feeling unsafe")]
    with pytest.raises(AnswerError, match="holds survey answers"):
        taken_in(city, tmp_path, mapping, rows, campaign="autumn")
    taken_in(city, tmp_path, mapping, rows, campaign="app-2026")
    assert remove_reports(city, campaign="app-2026") == (1, 1)
    assert lamp_campaigns(city) == [] and len(answers(city)) == 1
    for name in ("app-2026", "autumn", "../x"):
        with pytest.raises(AnswerError, match="there are no reports"):
            remove_reports(city, campaign=name)


def test_a_draft_names_every_category_once_and_can_be_read_back(tmp_path, city):
    rows = [request("1", "Street light out"), request("2", 'Anti-social "behaviour"\n'), request("3", "Éclairage")]
    rows += [request("4", "I feel unsafe here"), request("5", "Pothole"), request("6", "Pothole")]
    file = written(tmp_path, rows)
    draft = tmp_path / "draft.toml"
    draft.write_text(draft_text(read_reports(file)[1], "Europe/Helsinki"))
    taken = check_reports(file, mapping=draft, city=city)
    assert (taken.lamps, taken.feelings, taken.persons, taken.passed, taken.unmapped) == (2, 1, 1, 2, 0)
    assert taken.to_dict() == check_reports(file, city=city).to_dict()


def test_the_commands_explain_take_in_tell_who_answers_and_remove(city, tmp_path):
    app = typer.Typer()
    register(app)

    def run(*words):
        return CliRunner().invoke(app, ["reports", *map(str, words)])

    rows = [request("1", "Street light out"), request("2", "Feeling unsafe"), request("3", "Feeling unsafe", lat="x")]
    file, draft = written(tmp_path, rows), tmp_path / "draft.toml"
    checked = run("check", file, "--city", city.path, "--draft", draft)
    assert checked.exit_code == 1 and "report 3: its place is no pair of numbers" in checked.output
    assert run("check", file, "--draft", draft).exit_code == 2
    taken = run("import", city.path, file, "--mapping", draft, "--simulated", "--json")
    assert taken.exit_code == 0 and json.loads(taken.output)["lamp_reports"] == 1
    assert run("answering", city.path).output == "Lighting Services: none of 1 answered yet\n"
    assert json.loads(run("answering", city.path, "--json").output)[0]["median_days"] is None
    assert "1 reports of feelings and 1 of lamps" in run("remove", city.path, "--campaign", "app").output
    assert "no report about a lamp" in run("answering", city.path).output


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[services]\n"a" = "murder"', "none of lamp, feeling, person, pass"),
        ('format = 2\n[services]\n"a" = "lamp"', "format 2"),
        ('zone = "Mars/North"\n[services]\n"a" = "lamp"', "zone 'Mars/North'"),
        ("format = 1", "names no service"),
        ("colour = 1", "a mapping of reports has"),
        ("[[", "a mapping of reports has"),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(tmp_path, city, text, why):
    file = tmp_path / "m.toml"
    file.write_text(text)
    with pytest.raises(AnswerError, match=why):
        taken_in(city, tmp_path, file, [request("1", "Street light out")])


def test_a_file_without_anything_for_us_says_what_it_held(city, tmp_path, mapping):
    with pytest.raises(AnswerError, match="1 are passed over by the mapping and 1 are about persons"):
        taken_in(city, tmp_path, mapping, [request("1", "Pothole"), request("2", "Nuisance")])
    assert not list(city.shelf().rglob("*.parquet"))
