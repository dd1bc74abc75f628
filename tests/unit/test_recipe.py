"""A recipe is refused with everything that is wrong with it in one message."""

import pytest

from sensors.errors import RecipeError
from sensors.recipe import Column, city_recipe, history_recipe, recipe_names

CITY = """
format = 1
kind = "city"
id = "somewhere"
name = "Somewhere"
zone = "Europe/Paris"
crs = "EPSG:2154"
attribution = ["A council, CC BY 4.0"]
area = { west = 2.0, south = 48.0, east = 2.1, north = 48.1 }

[[streets]]
file = "streets.geojson"
columns = { name = "nom", kind = { value = "residential" } }
"""
HISTORY = """
format = 1
kind = "history"
title = "Counts"
device = "id"
quantity = { value = "people_flow" }
value = "n"
duration_s = 3600.0
time = { column = "hour", stamp = "start", zone = "city", doubled_hour = "drop" }
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        file = tmp_path / "recipe.toml"
        file.write_text(text, "utf-8")
        return str(file)

    return write


def test_the_recipes_that_travel_along_are_sound():
    assert "melbourne" in recipe_names("city")
    for name in recipe_names("city"):
        assert city_recipe(name).attribution
    for name in recipe_names("history"):
        assert history_recipe(name).title


def test_a_plain_text_is_the_name_of_a_column(written):
    recipe = city_recipe(written(CITY))
    assert recipe.streets[0].columns == {"name": "nom", "kind": Column(value="residential")}


def test_all_that_is_wrong_is_said_at_once(written):
    text = CITY.replace("Europe/Paris", "Europe/Pariss").replace("EPSG:2154", "EPSG:4326")
    text = text.replace('name = "nom"', 'nmae = "nom"') + "\n[virtual]\nnoise = 'many'\nmicrophones = 3\n"
    with pytest.raises(RecipeError) as refusal:
        city_recipe(written(text))
    message = str(refusal.value)
    for part in (
        "5 problems",
        "zone 'Europe/Pariss'",
        "'EPSG:4326' is not projected",
        "streets[1].columns has 'nmae'",
        "virtual.noise",
        "unknown key 'virtual.microphones'",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("crs = ", "# crs = "), "'crs' is missing"),
        (("west = 2.0", "west = 3.0"), "west < east"),
        (('file = "streets.geojson"', ""), r"'streets\[1\].file' is missing"),
        (('"nom"', '{ column = "nom", value = "x" }'), "needs either 'column' or 'value'"),
        (('"nom"', '{ column = "nom", patterns = { "(" = "x" } }'), "no regular expression"),
        (('"nom"', '{ column = "nom", text = "no braces" }'), "must hold {} once"),
        (("format = 1", "format = 9"), "format 9"),
        (('kind = "city"', 'kind = "village"'), "its kind is 'village'"),
        (("id =", "id ]"), "is not TOML"),
        (("[[streets]]", '[history]\nfile="a"\nrecipe="b"\ndemo_night="soon"\n[[streets]]'), "like 2014"),
    ],
)
def test_each_fault_is_named(written, change, said):
    with pytest.raises(RecipeError, match=said):
        city_recipe(written(CITY.replace(*change, 1)))


def test_virtual_devices_need_a_city_declared_simulated(written):
    with pytest.raises(RecipeError, match="simulated = true"):
        city_recipe(written(CITY + "\n[virtual]\nnoise = 3\n"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"start"', '"middle"'), "time.stamp 'middle'"),
        (('zone = "city"', 'zone = "mars"'), "time.zone 'mars'"),
        (('"drop"', '"both"}\nx = {a = "b"'), "unknown key 'x'"),
        (('"people_flow"', '"people"'), "quantity 'people'"),
        (("3600.0", "-1.0"), "must be positive"),
    ],
)
def test_each_fault_of_a_history_recipe_is_named(written, change, said):
    with pytest.raises(RecipeError, match=said):
        history_recipe(written(HISTORY.replace(*change, 1)))


def test_one_record_of_both_doubled_hours_needs_hours(written):
    with pytest.raises(RecipeError, match="duration_s = 3600"):
        history_recipe(written(HISTORY.replace('"drop"', '"both"').replace("3600.0", "900.0")))


def test_an_unknown_recipe_names_the_known_ones(tmp_path):
    with pytest.raises(RecipeError, match="melbourne"):
        city_recipe("atlantis")
    with pytest.raises(RecipeError, match="there is no recipe file"):
        city_recipe(str(tmp_path / "none.toml"))
