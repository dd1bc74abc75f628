"""What people can see of being looked after, taken in from a city's own list."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.fitting import closing_places
from analytics.surroundings import surroundings
from sensors.city import City
from sensors.errors import CityError
from sensors.places import PRESENCE
from sensors.presence import keep_presence, read_presence
from tests.synthetic_city import make_city


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def written(tmp_path, *rows, head="kind,lon,lat,from,to,source"):
    file = tmp_path / "presence.csv"
    file.write_text("\n".join([head, *rows]) + "\n", "utf-8")
    return file


def place(city):
    lon, lat = city.centre_lonlat()
    return f"{lon:.6f},{lat:.6f}"


def test_a_camera_is_near_where_it_stands_and_a_patrol_at_its_hours(city, tmp_path):
    file = written(tmp_path, f"camera,{place(city)},,,council", f"patrol,{place(city)},22:00,03:00,")
    keep_presence(city, read_presence(file, city))
    opened = City.open(city.path)
    seen = opened.places("presence")
    assert seen["kind"].tolist() == ["camera", "patrol"]
    assert seen[["from_min", "to_min"]].to_numpy().tolist() == [[0, 1440], [600, 900]]
    around = surroundings(opened)
    places = closing_places(opened, around)
    assert [PRESENCE[kind] for kind in places.presence_kind] == ["camera", "patrol"]
    at = np.unravel_index(places.presence_near[0].argmax(), around.grid.shape)
    there = seen.geometry.iloc[0]
    assert abs(around.grid.easting[at[1]] - there.x) <= 5 and abs(around.grid.northing[at[0]] - there.y) <= 5
    assert places.presence_near.max() > 0.7 and places.presence_near.min() < 0.1


def test_a_city_that_tells_of_none_has_none(city):
    places = closing_places(city, surroundings(city))
    assert places.presence_kind.size == 0 and places.presence_near.shape[0] == 0


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("drone,24.94,60.17,,,", "row 2: kind 'drone' is none of camera, staff, patrol"),
        ("camera,2494,60.17,,,", "row 2: lon '2494', lat '60.17' is not on the globe"),
        ("camera,x,60.17,,,", "is not on the globe"),
        ("staff,24.94,60.17,22:00,,", "must both be hours like 22:00"),
        ("staff,24.94,60.17,25:00,26:00,", "must both be hours like 22:00"),
        ("staff,24.94,60.17,11:00,13:00,", "must both be hours like 22:00"),  # over noon, which no night has
        ("camera,0.0,0.0,,,", "none of the 1 places"),
    ],
)
def test_wrong_rows_are_told(city, tmp_path, row, says):
    with pytest.raises(CityError, match=says.replace("(", r"\(")):
        read_presence(written(tmp_path, row), city)


def test_a_file_without_the_columns_or_that_is_no_file_is_refused(city, tmp_path):
    with pytest.raises(CityError, match="has no column kind"):
        read_presence(written(tmp_path, "1,2", head="lon,lat"), city)
    with pytest.raises(CityError, match="there is no file"):
        read_presence(tmp_path / "no.csv", city)
    with pytest.raises(CityError, match="cannot be read"):
        damaged = tmp_path / "x.geojson"
        damaged.write_bytes(b"\x00\xff")
        read_presence(damaged, city)
