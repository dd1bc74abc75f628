"""Unlike the usual same weekday: chance is not told as a difference, and a difference is not lost in chance."""

from datetime import timedelta

import numpy as np
import pytest

from analytics.differences_told import difference_rows, runs
from analytics.night_areas import areas_of, column_letter
from analytics.phrases import phrases
from analytics.usual_differences import compared, differences
from ingest.archive import append_records
from sensors.city import City
from sensors.journal import Entry, add_entry
from sensors.night import Night
from sensors.places import save_place
from sensors.quantities import QUANTITIES
from sensors.reading import empty_records
from tests.synthetic_city import make_city

NIGHT = "2026-11-20"
WEEKS = 8


def evening(city, day, generator, factor=1.0, louder=0.0, hours=range(20, 30)):
    """Hourly counts and levels of a night at every counter and meter of the town."""
    night = Night(day, city.zone)
    sites = city.places("sites")
    rows = []
    for quantity in ("people_flow", "sound_laeq"):
        for site in sites["site"][sites["quantity"] == quantity].astype(int):
            for hour in hours:
                value = 200 * factor * np.exp(generator.normal(0, 0.12))
                if quantity == "sound_laeq":
                    value = 55 + louder + generator.normal(0, 1.0)
                rows.append((site, QUANTITIES[quantity].code, night.at(hour) + np.timedelta64(1, "h"), value))
    records = empty_records(len(rows))
    for name, column in zip(("site", "quantity", "time", "value"), zip(*rows, strict=True), strict=True):
        records[name] = column
    records["received"], records["duration_s"], records["boot"] = records["time"], 3600.0, 1
    records["seq"] = np.arange(len(rows)) + 1000 * (day.toordinal() % 1000)
    return records


def town(tmp_path, weeks=WEEKS, name=NIGHT, **tonight):
    city = make_city(tmp_path / "town")
    generator = np.random.default_rng(1)
    night = Night.named(name, city.zone)
    parts = [evening(city, night.date - timedelta(days=7 * week), generator) for week in range(1, weeks + 1)]
    append_records(city, np.concatenate([*parts, evening(city, night.date, generator, **tonight)]), "test")
    return City.open(city.path), night


def test_a_usual_night_differs_in_nothing(tmp_path):
    city, night = town(tmp_path)
    found = differences(city, [night])
    assert len(found.comparisons) > 10 and found.named == [] and found.lacking == ("light",)
    assert found.expected == pytest.approx(0.05 * len(found.comparisons))
    assert {one.hour for one in found.comparisons} == {20, 21, 22, 23, 0, 1, 2, 3, 4, 5}


def test_twice_as_many_people_and_five_decibels_are_told_with_their_size(tmp_path):
    city, night = town(tmp_path, factor=2.0, louder=5.0)
    found = differences(city, [night])
    people = [one for one in found.named if one.what == "footfall"]
    sound = [one for one in found.named if one.what == "noise"]
    assert len(people) >= 8 and np.median([one.change for one in people]) == pytest.approx(np.log(2), abs=0.12)
    assert len(sound) >= 8 and np.median([one.change for one in sound]) == pytest.approx(5.0, abs=1.0)
    assert all(one.low < one.change < one.high for one in found.named)
    assert people[0].usual == pytest.approx(200, rel=0.15)
    rows = difference_rows(found, phrases("en"), several=False)["rows"]
    assert len(rows) < len(found.named) and any("20:00" in row[2] and "06:00" in row[2] for row in rows)


def test_hours_that_follow_one_another_are_told_once_and_all_of_them(tmp_path):
    city, night = town(tmp_path, factor=3.0)
    named = differences(city, [night]).named
    assert sorted(one.p for run in runs(named) for one in run) == sorted(one.p for one in named)


def test_three_weeks_are_too_few_to_know_what_is_usual(tmp_path):
    city, night = town(tmp_path, weeks=3, factor=5.0)
    found = differences(city, [night])
    assert found.comparisons == () and found.lacking == ("footfall", "noise", "light") and found.raw == 0


def test_a_night_with_an_event_is_no_usual_one(tmp_path):
    city, night = town(tmp_path)
    assert differences(city, [night]).earlier == WEEKS
    start = f"{night.date - timedelta(days=14)}T20:00:00+02:00"
    add_entry(city, Entry("", "event", "A festival of the whole city", start))
    assert differences(city, [night]).earlier == WEEKS - 1


@pytest.mark.parametrize("name", ["2026-10-24", "2026-03-28"])  # 25 and 23 hours in Helsinki
def test_hours_are_those_of_the_clock_when_the_clocks_change(tmp_path, name):
    city, night = town(tmp_path, name=name, hours=range(20, 27))
    found = differences(city, [night])
    assert {one.hour for one in found.comparisons} == {20, 21, 22, 23, 0, 1, 2} and found.named == []


def test_a_night_of_another_weekday_is_not_compared_with(tmp_path):
    city, night = town(tmp_path)
    assert differences(city, [night.previous()]).comparisons == ()


def test_several_nights_are_each_compared_with_their_weekday_before_the_first(tmp_path):
    city, night = town(tmp_path)
    earlier = Night(night.date - timedelta(days=7), city.zone)
    found = differences(city, [earlier, night])
    assert found.earlier == WEEKS - 1 and {one.nights for one in found.comparisons} == {2}


def test_of_chance_alone_p_is_below_any_level_no_oftener_than_that():
    generator = np.random.default_rng(7)
    values = generator.normal(size=(4000, 9)) * generator.gamma(8, 1 / 8, size=(4000, 1))
    p = compared(values, 1, 1e-9)[3]
    for level in (0.01, 0.05, 0.2):
        assert np.mean(p <= level) <= 1.25 * level
    assert np.mean(p <= 0.2) > 0.12


def test_squares_are_named_from_the_north_west_and_hold_every_point_of_the_map(tmp_path):
    city = make_city(tmp_path / "town")
    areas = areas_of(city)
    grid = city.settings.grid
    east, north = np.meshgrid(np.linspace(grid.west, grid.east - 1, 9), np.linspace(grid.south, grid.north - 1, 9))
    of = areas.of(east.ravel(), north.ravel())
    assert (of >= 0).all() and areas.squares
    assert areas.names[areas.of(np.array([grid.west]), np.array([grid.north - 1]))[0]] == "A1"
    assert areas.of(np.array([grid.west - 5000]), np.array([grid.south]))[0] == -1
    assert [column_letter(k) for k in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]


def test_where_a_city_has_districts_they_are_the_parts(tmp_path):
    import geopandas
    from shapely.geometry import box

    city = make_city(tmp_path / "town")
    grid = city.settings.grid
    half = (grid.west + grid.east) / 2
    table = {"district": [1, 2], "name": ["West", "East"], "source": ["test"] * 2}
    shapes = [box(grid.west, grid.south, half, grid.north), box(half, grid.south, grid.east, grid.north)]
    save_place(city.path, "districts", geopandas.GeoDataFrame(table, geometry=shapes, crs=city.crs))
    areas = areas_of(City.open(city.path))
    assert not areas.squares and areas.names == ("West", "East")
    middle = np.array([(grid.south + grid.north) / 2] * 3)
    assert areas.of(np.array([grid.west + 1, grid.east - 1, grid.west - 9]), middle).tolist() == [0, 1, -1]


def test_more_than_three_times_as_many_is_told_as_a_multiple(tmp_path):
    city, night = town(tmp_path, factor=6.0)
    rows = difference_rows(differences(city, [night]), phrases("en"), several=False)["rows"]
    told = [row[4] for row in rows if row[0] == "people passing"]
    assert told and all(text.startswith("× ") for text in told)
