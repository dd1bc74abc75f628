"""A city from a council's files: a made-up one, and Melbourne as published."""

import gzip
import json

import pytest
import shapely

from sensors.build import build_city
from sensors.city import City
from sensors.council import draft_from_recipe
from sensors.errors import RecipeError
from sensors.places import check_city
from tests.shared_data import shared_data

RECIPE = """
format = 1
kind = "city"
id = "somewhere"
name = "Somewhere"
zone = "Australia/Melbourne"
crs = "EPSG:28355"
simulated = true
attribution = ["A council, CC BY 4.0"]
area = { west = 144.960, south = -37.820, east = 144.970, north = -37.812 }

[[streets]]
file = "lines.geojson.gz"
overlay = { file = "roads.geojson", columns = ["class"], width = "wide" }
columns.name = "name"
columns.width_m = "wide"
columns.kind = { column = "class", table = { Major = "primary" }, default = "footway" }

[[buildings]]
file = "houses.geojson"
columns = { height_m = "height" }

[[lamps]]
file = "lamps.csv"
position = ["lon", "lat"]
columns = { lamp = "id", watts = "w" }

[[venues]]
file = "bars.csv"
position = ["x", "y"]
crs = "EPSG:28355"
separator = ";"
keep = { year = [2014] }
columns = { name = "who", capacity = "seats", kind = { value = "bar" }, closes_min = { value = 840 } }

[[devices]]
file = "counters.csv"
position = ["lon", "lat"]
only_in = { file = "counts.csv", column = "sensor", on = "id" }
join = { file = "names.csv", column = "id", on = "id", columns = ["klass"] }
columns.device = { column = "id", text = "counter-{}" }
columns.quantity = { value = "people_flow" }
columns.sensor_class = "klass"

[history]
file = "counts.csv"
recipe = "readings"
demo_night = "2014-09-26"
"""


def features(*rows):
    parts = [
        {"type": "Feature", "properties": properties, "geometry": shapely.geometry.mapping(shape)}
        for shape, properties in rows
    ]
    return json.dumps({"type": "FeatureCollection", "features": parts}).encode()


def lonlat(west, south, east, north):
    return shapely.box(144.96 + west, -37.82 + south, 144.96 + east, -37.82 + north)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    street = shapely.LineString([(144.961, -37.816), (144.969, -37.816)])
    roads = features((lonlat(0.0, 0.0039, 0.005, 0.0041), {"class": "Major"}))
    bow = shapely.Polygon([(144.962, -37.815), (144.963, -37.814), (144.963, -37.815), (144.962, -37.814)])
    houses = features((bow, {"height": 9}), (lonlat(0.006, 0.006, 0.0061, 0.0061), {"height": None}))
    for name, content in {
        "lines.geojson.gz": gzip.compress(features((street, {"name": "Long Street"}))),
        "roads.geojson": roads,
        "houses.geojson": houses,
        "lamps.csv": b"id,lon,lat,w\nA,144.964,-37.816,70\nB,144.965,-37.816,\nC,,,50\nD,10.0,50.0,70\n",
        "bars.csv": b"who;seats;x;y;year\nThe Crown;200;320700;5812900;2014\nGone;10;320700;5812900;2012\n",
        "counters.csv": b"id,lon,lat\n1,144.964,-37.816\n2,144.966,-37.816\n",
        "names.csv": b"id,klass\n1,thermal\n",
        "counts.csv": b"sensor,n\n1,5\n",
    }.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE, "utf-8")
    return file


def test_a_made_up_council_becomes_a_city(data, recipe, tmp_path):
    built = build_city(tmp_path / "city", draft_from_recipe(str(recipe), data))
    assert check_city(built.path) == []
    city = City.open(built.path)
    streets = city.places("streets")
    assert sorted(streets.kind) == ["footway", "primary"]  # one line, cut where the road polygon ends
    assert streets.geometry.length.sum() == pytest.approx(704, abs=5)
    assert streets[streets.kind == "primary"].width_m.iloc[0] == pytest.approx(22.2, abs=0.5)
    assert city.places("lamps").watts.tolist() == [70.0, 115.0]  # the second is typical of a main road
    assert (city.places("lamps").source == "council").all()
    assert city.places("venues").name.tolist() == ["The Crown"]
    sites = city.places("sites")
    assert sites[["device", "origin", "sensor_class"]].to_numpy().tolist() == [["counter-1", "recorded", "thermal"]]
    assert built.repaired == {"buildings": 1}
    assert built.dropped["lamps: no position"] == 1
    assert built.dropped["lamps: outside the area"] == 1
    assert 'demo_night = "2014-09-26"' in (built.path / "history" / "history.toml").read_text("utf-8")
    assert (built.path / "history" / "counts.csv").read_bytes() == (data / "counts.csv").read_bytes()


def test_all_that_is_wrong_with_the_files_is_said_at_once(data, recipe):
    (data / "lines.geojson.gz").unlink()
    (data / "houses.geojson").write_bytes(b"{}")
    (data / "lamps.csv").write_text("id,lon,lat,w\nA,144.964,-37.816,bright\n", "utf-8")
    (data / "bars.csv").write_text("who;x;y;year\nThe Crown;320700;5812900;2014\n", "utf-8")
    (data / "counters.csv").write_text("id,lon,lat\n1,-37.816,144.964\n", "utf-8")
    with pytest.raises(RecipeError) as refusal:
        draft_from_recipe(str(recipe), data)
    message = str(refusal.value)
    for part in (
        "5 problems",
        "there is no file",
        "buildings[1]",
        "the first is 'bright' in row 1",
        "'bars.csv' has no column 'seats'; it has who, x, y, year",
        "are not degrees",
    ):
        assert part in message


def test_a_file_outside_the_data_folder_is_refused(data, recipe):
    recipe.write_text(RECIPE.replace('"lamps.csv"', '"../lamps.csv"'), "utf-8")
    with pytest.raises(RecipeError, match="outside the data folder"):
        draft_from_recipe(str(recipe), data)


def test_streets_in_another_place_than_the_area_are_refused(data, recipe):
    recipe.write_text(RECIPE.replace("144.960", "150.000").replace("144.970", "150.010"), "utf-8")
    with pytest.raises(RecipeError, match="no row lies in the city's area"):
        draft_from_recipe(str(recipe), data)


def test_melbourne_is_built_from_what_its_council_publishes(tmp_path):
    built = build_city(tmp_path / "melbourne", draft_from_recipe("melbourne", shared_data("melbourne")))
    assert check_city(built.path) == []
    city = City.open(built.path)
    sites = city.places("sites")
    counters = sites[sites.origin == "recorded"]
    assert len(counters) == 28
    assert (counters["quantity"] == "people_flow").all()
    assert set(sites[sites.origin == "simulated"]["quantity"]) == {
        "dimming", "lamp_ok", "illuminance", "sound_laeq", "sound_lamax",
    }  # fmt: skip
    assert city.simulated
    assert built.repaired["streets/road_segments_polygons.geojson.gz"] == 30
    lamps = city.places("lamps")
    assert set(lamps.source) == {"council", "assumed"}
    assert (lamps[["lumens", "watts", "height_m"]] > 0).all().all()
    assert built.counts["buildings"] > 7000
    assert len(city.settings.attribution) == 3
