import geopandas
import numpy as np
import pytest
from shapely.geometry import Point

from analytics.grid import Grid
from analytics.light import illuminance_at
from analytics.photometry import DEFAULT_LUMENS, prepare_lamps
from analytics.surroundings import FEATURES, Surroundings, surroundings
from sensors.city import City
from sensors.places import save_place
from tests.synthetic_city import SOUTH, WEST, make_city
from tests.synthetic_light import lm63_file


@pytest.fixture(scope="module")
def city(tmp_path_factory) -> City:
    return make_city(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def town(city) -> Surroundings:
    return surroundings(city)


def cell(town: Surroundings, east: float, north: float) -> tuple[int, int]:
    row, column, inside = town.grid.cells(np.array([WEST + east]), np.array([SOUTH + north]))
    assert inside[0]
    return int(row[0]), int(column[0])


def test_the_grid_is_the_city_files(city, town):
    assert town.grid == Grid.of(city) == Grid(10.0, WEST, SOUTH, (32, 32))
    assert town.grid.easting[0] == WEST + 5.0
    assert np.all(np.diff(town.grid.northing) == 10.0)
    assert town.grid.dataset().northing.attrs["units"] == "m"


def test_points_outside_the_grid_are_told_apart():
    grid = Grid(10.0, 0.0, 0.0, (4, 5))
    row, column, inside = grid.cells(np.array([0.0, 49.9, 50.0, -0.1]), np.array([0.0, 39.9, 10.0, 10.0]))
    assert inside.tolist() == [True, True, False, False]
    assert (row[1], column[1]) == (3, 4)


def test_houses_are_indoors_and_streets_are_not(town):
    assert town.indoor[cell(town, 100, 100)]
    assert not town.indoor[cell(town, 160, 160)]
    assert town.street[cell(town, 200, 160)]
    assert not town.street[cell(town, 100, 100)]


def test_rows_ascend_northwards(town):
    park = cell(town, 210, 210)  # the block without a house
    assert not town.indoor[park]
    assert town.indoor[cell(town, 210, 100)]


def test_a_counter_stands_where_people_walk(town):
    rows = town.sites.of("people_flow")
    assert np.all(town.street[town.sites.row[rows], town.sites.column[rows]])


def test_venues_are_felt_around_them(town):
    near, far = cell(town, 155, 100), cell(town, 15, 15)
    venues = town.features[FEATURES.index("venues_100m")]
    assert venues[near] > 1.0
    assert venues[far] < 0.1 * venues[near]


def test_sites_know_their_lamps(city, town):
    row = town.sites.of("dimming")[3]
    lamp = town.sites.lamp_index[town.sites.lamp_start[row] : town.sites.lamp_start[row + 1]]
    table = city.places("sites")
    assert [town.lamps.lamp[index] for index in lamp] == [table[table.site == town.sites.site[row]].lamps.iloc[0]]


def test_site_numbers_are_found_and_strangers_are_not(town):
    numbers = np.array([town.sites.site[5], 99_999, 2**32 - 1], np.uint32)
    assert town.sites.rows(numbers).tolist() == [5, -1, -1]


def test_lamps_without_data_get_the_documented_default():
    columns = {
        "lamp": ["a"],
        "luminaire": [None],
        "lumens": [np.nan],
        "mf": [np.nan],
        "height_m": [np.nan],
        "source": [None],
    }
    lamps = prepare_lamps(geopandas.GeoDataFrame(columns, geometry=[Point(0, 0)]), 0.8)
    assert lamps.strength[0] == pytest.approx(0.8 * DEFAULT_LUMENS / (3 * np.pi))
    assert lamps.height_m[0] == 5.5


def test_the_digest_names_the_places(city, town, tmp_path):
    assert surroundings(City.open(city.path)).digest == town.digest
    other = make_city(tmp_path)
    lamps = other.places("lamps").copy()
    lamps.loc[3, "lumens"] = 4001.0
    save_place(other.path, "lamps", lamps)
    assert surroundings(City.open(other.path)).digest != town.digest


def test_a_lamp_of_a_photometric_file_lights_its_street_more_than_the_other_side(tmp_path):
    """The file's C = 0 faces the street: over all lamps beside Market Street, 5 m ahead against 5 m behind."""
    made = make_city(tmp_path)
    folder = made.path / "places" / "luminaires"
    folder.mkdir()
    text, lumens = lm63_file()
    (folder / "forward.ies").write_text(text)
    lamps = made.places("lamps").copy()
    lamps["luminaire"], lamps["lumens"] = "Forward", np.float32(2 * lumens)
    save_place(made.path, "lamps", lamps)
    around = surroundings(City.open(made.path))
    assert np.all(around.lamps.luminaire == 0)
    assert around.lamps.strength == pytest.approx(2 * lamps.mf.iloc[0], rel=0.01)  # twice the file's lumens
    alone = around.lamps
    ahead, behind = (
        illuminance_at(
            around,
            alone.easting[k] + way * np.cos(alone.azimuth[k]),
            alone.northing[k] + way * np.sin(alone.azimuth[k]),
            np.where(np.arange(alone.lamp.size) == k, 1.0, 0.0),
        )[0]
        for k in (5,)
        for way in (5.0, -5.0)
    )
    assert ahead / behind == pytest.approx(1.6 / 0.4, rel=0.01)
    street = made.places("streets").geometry.union_all()
    foot = Point(alone.easting[5] + 3 * np.cos(alone.azimuth[5]), alone.northing[5] + 3 * np.sin(alone.azimuth[5]))
    assert foot.distance(street) < Point(alone.easting[5], alone.northing[5]).distance(street)
