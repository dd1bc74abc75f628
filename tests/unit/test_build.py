"""Laws of making a city folder."""

import geopandas
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from sensors.build import build_city, grid_around
from sensors.draft import Draft, VirtualDevices, slug
from sensors.errors import CityError
from sensors.places import check_city, load_place

CRS = "EPSG:3067"


def a_draft(**changes):
    def layer(columns, geometry):
        return geopandas.GeoDataFrame(columns, geometry=geometry, crs=CRS)

    west, south = 385_803.0, 6_671_807.0
    line = shapely.LineString([(west, south + 50), (west + 190, south + 50)])
    layers = {
        "streets": layer({"name": ["A"], "kind": ["residential"], "width_m": [9.0]}, [line]),
        "lamps": layer({"lamp": ["1", "2"]}, shapely.points([[west + 20, south + 45], [west + 120, south + 45]])),
        "buildings": layer({"height_m": [10.0]}, [shapely.box(west, south + 70, west + 60, south + 90)]),
        "venues": layer(
            {"name": ["V"], "kind": ["bar"], "capacity": [80.0], "closes_min": [840]},
            shapely.points([[west + 100, south + 60]]),
        ),
    }
    fields = {
        "id": "town", "name": "Town", "zone": "Europe/Helsinki", "crs": CRS, "simulated": True, "attribution": ["me"],
        "licence": "", "layers": layers, "virtual": VirtualDevices(footfall=1, noise=1, lux=1, controllers="lamp"),
        "lamp_source": "council",
    }  # fmt: skip
    return Draft(**(fields | changes))


# Metres of 1e-324: a fifth of one is nothing at all, and no edge lies west of nothing.
METRES = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(METRES, METRES, st.floats(1, 1e4), st.sampled_from([5.0, 10.0, 20.0]))
def test_the_grid_covers_the_data_with_whole_cells_and_no_more(west, south, side, cell):
    grid = grid_around((west, south, west + side, south + side), cell)
    assert grid.west <= west < grid.west + cell + 1e-6
    assert grid.east - cell - 1e-6 < west + side <= grid.east
    assert grid.west % cell == grid.north % cell == 0


def test_a_folder_that_is_a_city_is_not_overwritten(tmp_path):
    build_city(tmp_path / "town", a_draft())
    with pytest.raises(CityError, match="already a city"):
        build_city(tmp_path / "town", a_draft())
    (tmp_path / "file").write_text("x")
    with pytest.raises(CityError, match="is a file"):
        build_city(tmp_path / "file", a_draft())


def test_a_rebuild_gives_the_same_numbers_and_a_moved_device_a_new_one(tmp_path):
    first = build_city(tmp_path / "town", a_draft())
    before = load_place(first.path, "sites", CRS)
    build_city(first.path, a_draft(), rebuild=True)
    assert load_place(first.path, "sites", CRS).equals(before)

    draft = a_draft()
    lamps = draft.layers["lamps"]
    moved = [lamps.geometry[0], shapely.Point(lamps.geometry[1].x + 5, lamps.geometry[1].y)]
    draft.layers["lamps"] = lamps.set_geometry(geopandas.GeoSeries(moved, crs=CRS))
    build_city(first.path, draft, rebuild=True)
    after = load_place(first.path, "sites", CRS)
    assert after.site.is_unique
    still = after[after.valid_to.isna()].set_index(["device", "quantity"]).site
    old = before.set_index(["device", "quantity"]).site
    assert still["lamp-1", "dimming"] == old["lamp-1", "dimming"]
    assert still["lamp-2", "dimming"] > old.max()
    retired = after[after.site == old["lamp-2", "dimming"]]
    assert retired.valid_to.notna().all()
    assert check_city(first.path) == []


def test_two_builds_are_equal_byte_for_byte(tmp_path):
    one, two = (build_city(tmp_path / name, a_draft()) for name in ("one", "two"))
    for file in sorted((one.path / "places").iterdir()):
        assert file.read_bytes() == (two.path / "places" / file.name).read_bytes(), file.name


def test_only_a_simulated_city_gets_virtual_devices(tmp_path):
    built = build_city(tmp_path / "town", a_draft(simulated=False))
    assert built.counts["sites"] == 0


def test_a_device_named_twice_is_refused(tmp_path):
    draft = a_draft()
    draft.layers["devices"] = geopandas.GeoDataFrame(
        {"device": ["c", "c"], "quantity": ["people_flow"] * 2, "origin": ["recorded"] * 2},
        geometry=shapely.points([[385_900.0, 6_671_850.0]] * 2),
        crs=CRS,
    )
    with pytest.raises(CityError, match="'c' stands more than once"):
        build_city(tmp_path / "town", draft)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"crs": "EPSG:99999"}, "not known"),
        ({"crs": "EPSG:4326"}, "not projected"),
        ({"zone": "Nowhere"}, "no time zone"),
        ({"id": "A town"}, "lower-case"),
        ({"area": (10.0, 50.0, 10.01, 50.01)}, "no street lies in the city's area"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(tmp_path, changes, said):
    with pytest.raises(CityError, match=said):
        build_city(tmp_path / "town", a_draft(**changes))
    assert not (tmp_path / "town").exists()


def test_geometries_are_repaired_and_counted(tmp_path):
    draft = a_draft()
    bow = shapely.Polygon([(385_810, 6_671_900), (385_830, 6_671_910), (385_830, 6_671_900), (385_810, 6_671_910)])
    flat = shapely.Polygon([(385_810, 6_671_900), (385_810, 6_671_900), (385_820, 6_671_900), (385_810, 6_671_900)])
    draft.layers["buildings"] = geopandas.GeoDataFrame(
        {"height_m": [6.0, 6.0, 6.0]}, geometry=[bow, flat, None], crs=CRS
    )
    built = build_city(tmp_path / "town", draft)
    assert built.counts["buildings"] == 1
    assert built.repaired == {"buildings": 1}
    assert built.dropped == {"buildings: beyond repair": 1, "buildings: no geometry": 1}


@pytest.mark.parametrize(("text", "level"), [("Bou292_T", "bou292-t"), ("Élysée 3", "elysee-3"), ("--a--", "a")])
def test_a_slug_is_a_topic_level(text, level):
    assert slug(text) == level
