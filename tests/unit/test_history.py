"""Laws of importing history: wall clocks, absent values, and doing it twice."""

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from ingest.archive import append_records, night_records
from ingest.history import as_records, import_history, read_history, within_nights
from sensors.errors import RecipeError
from sensors.flags import Flag
from sensors.night import Night
from sensors.reading import NO_SEQ, empty_records
from sensors.register import SiteRegister
from tests.shared_data import shared_data
from tests.synthetic_city import make_city

MELBOURNE = ZoneInfo("Australia/Melbourne")
HEAD = "sensor_id,hour_start_local,count\n"


@pytest.fixture
def counts(tmp_path):
    def write(*rows):
        file = tmp_path / "counts.csv"
        file.write_text(HEAD + "\n".join(rows) + "\n", "utf-8")
        return file

    return write


@pytest.fixture
def hourly(tmp_path):
    def recipe(doubled_hour):
        file = tmp_path / f"{doubled_hour}.toml"
        file.write_text(
            'format = 1\nkind = "history"\ntitle = "x"\ndevice = { column = "sensor_id", text = "counter-{}" }\n'
            'quantity = { value = "people_flow" }\nvalue = "count"\nduration_s = 3600.0\n'
            'time = { column = "hour_start_local", stamp = "start", zone = "city", format = "%Y-%m-%dT%H", '
            f'doubled_hour = "{doubled_hour}" }}\n',
            "utf-8",
        )
        return str(file)

    return recipe


def ends(history):
    return [f"{time:%dT%H:%M}" for time in history.rows.time]


def test_an_hour_is_named_by_its_start_and_kept_by_its_end(counts):
    history = read_history(counts("1,2014-09-16T20,100"), "melbourne-counts", MELBOURNE)
    row = history.rows.iloc[0]
    assert (row.device, row["quantity"], row.value, row.duration_s) == ("counter-1", "people_flow", 100.0, 3600.0)
    assert row.time == pd.Timestamp("2014-09-16T11:00")  # 21:00 AEST


def test_an_empty_count_is_absent_and_a_zero_is_a_count(counts):
    history = read_history(counts("1,2014-09-16T20,", "1,2014-09-16T21,0"), "melbourne-counts", MELBOURNE)
    assert history.rows.value.tolist() == [0.0]
    assert history.skipped == {"no value": 1}


def test_hours_around_the_skipped_one_follow_each_other(counts):
    rows = [f"1,2013-10-06T0{hour},5" for hour in (0, 1, 3, 4)]
    history = read_history(counts(*rows), "melbourne-counts", MELBOURNE)
    assert ends(history) == ["05T15:00", "05T16:00", "05T17:00", "05T18:00"]


def test_an_hour_that_does_not_exist_is_left_out_and_counted(counts):
    history = read_history(counts("1,2013-10-06T02,7", "1,2013-10-06T03,5"), "melbourne-counts", MELBOURNE)
    assert history.rows.value.tolist() == [5.0]
    assert list(history.skipped.values()) == [1]
    assert "'2013-10-06T02' is an hour that summer time skips" in history.skipped


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("drop", []),
        ("first", [("05T16:00", 3600.0)]),
        ("second", [("05T17:00", 3600.0)]),
        ("both", [("05T17:00", 7200.0)]),
    ],
)
def test_one_row_for_the_doubled_hour_is_what_the_recipe_says(counts, hourly, rule, expected):
    rows = ["1,2014-04-06T01,9", "1,2014-04-06T02,7", "1,2014-04-06T03,5"]
    history = read_history(counts(*rows), hourly(rule), MELBOURNE)
    doubled = history.rows[history.rows.value == 7.0]
    assert [(f"{row.time:%dT%H:%M}", row.duration_s) for row in doubled.itertuples()] == expected
    assert history.rows[history.rows.value == 9.0].time.iloc[0] == pd.Timestamp("2014-04-05T15:00")
    assert history.rows[history.rows.value == 5.0].time.iloc[0] == pd.Timestamp("2014-04-05T18:00")


def test_two_rows_for_the_doubled_hour_are_first_and_second_whatever_the_rule(counts, hourly):
    rows = ["1,2014-04-06T02,7", "2,2014-04-06T02,70", "1,2014-04-06T02,8", "2,2014-04-06T02,80"]
    for rule in ("drop", "first", "second", "both"):
        history = read_history(counts(*rows), hourly(rule), MELBOURNE)
        assert ends(history) == ["05T16:00", "05T16:00", "05T17:00", "05T17:00"]
        assert (history.rows.duration_s == 3600.0).all()


def test_times_without_a_zone_are_refused_where_a_zone_is_needed(tmp_path):
    file = tmp_path / "r.csv"
    file.write_text(
        "device,quantity,time,duration_s,value\n"
        "a,people_flow,2026-11-20T20:15:00,900,3\n"
        "a,people-flow,2026-11-20T20:15:00Z,900,4\n"
        "a,people_flow,2026-11-20T22:30:00.000+02:00,900,5\n"
        "a,shouting,2026-11-20T20:15:00Z,900,4\n"
        "a,people_flow,yesterday,900,4\n"
        "a,people_flow,2026-13-20T20:15:00Z,900,4\n"
        "a,people_flow,2026-11-20T20:15:00Z,long,4\n"
        "a,people_flow,2026-11-20T20:45:00Z,900,many\n",
        "utf-8",
    )
    history = read_history(file, "readings", ZoneInfo("Europe/Helsinki"))
    assert history.rows.value.tolist() == [4.0, 5.0]
    assert ends(history) == ["20T20:15", "20T20:30"]
    assert sum(history.skipped.values()) == 6


def test_a_file_without_a_usable_row_says_why(counts):
    with pytest.raises(RecipeError, match=r"no row can be used: .*'soon' is not a time"):
        read_history(counts("1,soon,5"), "melbourne-counts", MELBOURNE)
    with pytest.raises(RecipeError, match="has no column 'hour_start_local'"):
        file = counts()
        file.write_text("sensor_id,hour,count\n1,2,3\n")
        read_history(file, "melbourne-counts", MELBOURNE)


def readings(tmp_path, *rows):
    file = tmp_path / "readings.csv"
    file.write_text("device,quantity,time,duration_s,value\n" + "\n".join(rows) + "\n", "utf-8")
    return file


def test_imported_records_are_as_a_live_city_would_have_received_them(tmp_path):
    city = make_city(tmp_path / "town")
    file = readings(
        tmp_path,
        "counter-00,people_flow,2026-11-20T18:15:00Z,900,31",
        "counter-00,people_flow,2026-11-20T18:30:00Z,900,-4",
        "counter-99,people_flow,2026-11-20T18:30:00Z,900,4",
        "meter-00,sound_laeq,2026-11-20T18:15:00Z,900,55.5",
    )
    done = import_history(city, file, "readings")
    assert (done.new, done.kept, done.flagged, done.nights) == (3, 3, 1, 1)
    assert done.skipped == {"no site of counter-99 in the register": 1}
    records = night_records(city, Night(date(2026, 11, 20), city.zone))
    assert (records["received"] == records["time"]).all()
    assert (records["seq"] == NO_SEQ).all()
    assert (records["boot"] == 0).all()
    assert records["flags"][records["value"] == -4].tolist() == [int(Flag.RANGE)]
    sites = city.places("sites").set_index("site").device
    assert set(sites[records["site"]]) == {"counter-00", "meter-00"}


def test_importing_twice_adds_nothing(tmp_path):
    city = make_city(tmp_path / "town")
    rows = [f"counter-00,people_flow,2026-11-{day}T18:15:00Z,900,{day}" for day in range(10, 20)]
    file = readings(tmp_path, *rows)
    assert import_history(city, file, "readings").new == 10
    again = import_history(city, file, "readings")
    assert (again.new, again.kept) == (0, 10)
    assert len(night_records(city, Night(date(2026, 11, 12), city.zone))) == 1


@pytest.mark.parametrize(
    ("ends", "seconds", "new"),
    [(["19:00", "20:00"], 3600, ["20:00"]), (["18:30", "18:45", "19:00"], 900, ["18:30", "19:00"])],
)
def test_what_came_live_is_not_imported_again_whatever_its_intervals(tmp_path, ends, seconds, new):
    """The quarter hour up to 18:45 came live: it is there, and so is a part of the hour around it."""
    city = make_city(tmp_path / "town")
    quarter = np.datetime64("2026-11-20T18:45:00", "ms")
    live = empty_records(1)
    live["time"] = live["received"] = quarter
    live["site"] = SiteRegister.load(city).site("counter-00", "people_flow", quarter)
    live["quantity"], live["duration_s"], live["value"], live["seq"] = 7, 900, 12, 5
    append_records(city, live, "live")
    rows = [f"counter-00,people_flow,2026-11-20T{end}:00Z,{seconds},5" for end in ends]
    assert import_history(city, readings(tmp_path, *rows), "readings").new == len(new)
    stored = night_records(city, Night(date(2026, 11, 20), city.zone))
    assert [str(time)[11:16] for time in stored["time"][stored["seq"] == NO_SEQ]] == new


def test_nights_are_from_the_first_up_to_but_not_with_the_last(tmp_path):
    city = make_city(tmp_path / "town")
    hours = pd.date_range("2026-11-18T00:00", "2026-11-22T00:00", freq="1h")
    file = readings(tmp_path, *[f"counter-00,people_flow,{time:%Y-%m-%dT%H:%M:%S}Z,3600,5" for time in hours])
    history = read_history(file, "readings", city.zone)
    rows = within_nights(history.rows, city.zone, date(2026, 11, 19), date(2026, 11, 21))
    low, high = Night(date(2026, 11, 19), city.zone).start, Night(date(2026, 11, 21), city.zone).start
    assert rows.time.min() == pd.Timestamp(low)
    assert rows.time.max() == pd.Timestamp(high) - pd.Timedelta("1h")
    done = import_history(city, file, "readings", first=date(2026, 11, 19), until=date(2026, 11, 21))
    assert done.new == len(rows) == 48


def test_a_record_goes_to_the_site_that_was_valid_then(tmp_path):
    city = make_city(tmp_path / "town")
    rows = pd.DataFrame(
        {
            "device": ["counter-00", "counter-00"],
            "quantity": ["people_flow"] * 2,
            "time": pd.to_datetime(["2019-06-01", "2021-06-01"]),  # the town's sites begin with 2020
            "duration_s": [900.0, 900.0],
            "value": [1.0, 2.0],
        }
    )
    records, unknown = as_records(city, rows)
    assert records["value"].tolist() == [2.0]
    assert unknown == {"counter-00": 1}


def test_melbourne_has_its_known_gaps_and_no_other():
    file = shared_data("melbourne/footfall/hourly_2012_2014.csv.gz")
    history = read_history(file, "melbourne-counts", MELBOURNE)
    assert len(history.rows) + sum(history.skipped.values()) == 453_200
    assert history.skipped["no value"] == 11
    assert sum(count for reason, count in history.skipped.items() if "twice" in reason) == 15 + 15 + 26
    assert sum(count for reason, count in history.skipped.items() if "skips" in reason) == 15  # of 2012
    times = history.rows[history.rows.device == "counter-1"].time.to_numpy()
    gaps = np.flatnonzero(np.diff(np.sort(times)) > np.timedelta64(1, "h"))
    assert "2013-10-05T16" not in {str(np.datetime64(times[gap], "h")) for gap in gaps}  # the skipped hour is no gap
