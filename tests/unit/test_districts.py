from __future__ import annotations

import geopandas
import pandas as pd
import pytest
from shapely.geometry import Point, box
from typer.testing import CliRunner

from noctule import app
from sensors.districts import districts_of, import_districts
from sensors.errors import CityError
from tests.synthetic_city import CRS, SIDE, SOUTH, WEST, make_city


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def written(tmp_path, geometry, names, crs=CRS, name="areas.gpkg"):
    path = tmp_path / name
    geopandas.GeoDataFrame({"part": names}, geometry=geometry, crs=crs).to_file(path)
    return path


def halves():
    middle = WEST + SIDE / 2
    return [box(WEST - 900, SOUTH, middle, SOUTH + SIDE), box(middle, SOUTH, WEST + SIDE, SOUTH + SIDE)]


def test_areas_of_a_file_are_cut_at_the_edge_of_the_map(tmp_path, city):
    made = import_districts(city, written(tmp_path, halves(), ["West", "East"]), "part")
    kept = city.places("districts")
    assert kept["name"].tolist() == made["name"].tolist() == ["East", "West"]
    assert kept.area.tolist() == pytest.approx([SIDE**2 / 2] * 2)


def test_pieces_of_one_name_are_one_district(tmp_path, city):
    import_districts(city, written(tmp_path, halves(), ["Town", "Town"]), "part")
    assert city.places("districts").area.tolist() == pytest.approx([SIDE**2])


def test_around_points_each_spot_is_of_the_nearest_and_that_is_told(tmp_path, city):
    points = [Point(WEST + 20, SOUTH + 160), Point(WEST + 300, SOUTH + 160)]
    made = import_districts(city, written(tmp_path, points, ["West", "East"]), "part")
    assert made["source"].str.startswith("drawn around points").all()
    assert not made.geometry.iloc[0].intersection(made.geometry.iloc[1]).area
    assert made.geometry[made["name"] == "West"].iloc[0].contains(points[0])


def test_the_folder_is_still_in_order_and_a_wrong_file_is_refused_by_what_it_lacks(tmp_path, city):
    path = written(tmp_path, halves(), ["West", "East"])
    with pytest.raises(CityError, match="no column 'suburb'; it has part"):
        import_districts(city, path, "suburb")
    far = written(tmp_path, [box(0, 0, 10, 10)], ["Nowhere"], name="far.gpkg")
    with pytest.raises(CityError, match="of another city"):
        import_districts(city, far, "part")
    done = CliRunner().invoke(app, ["city", "districts", str(city.path), str(path), "--column", "part"])
    assert "2 districts" in done.stdout
    assert CliRunner().invoke(app, ["city", "check", str(city.path)]).exit_code == 0


def test_a_csv_of_points_needs_lon_and_lat(tmp_path, city):
    path = tmp_path / "points.csv"
    pd.DataFrame({"part": ["a"], "x": [1.0]}).to_csv(path, index=False)
    with pytest.raises(CityError, match="lon and lat"):
        import_districts(city, path, "part")


def test_points_without_a_place_or_a_name_are_passed_over(tmp_path, city):
    path = tmp_path / "points.csv"
    pd.DataFrame({"part": ["a", "b", None], "lon": [24.946, None, 24.946], "lat": [60.168, 60.1, 60.168]}).to_csv(path)
    assert import_districts(city, path, "part")["name"].tolist() == ["a"]


def test_a_district_is_of_the_area_of_its_own_name_before_one_that_has_it_among_others():
    districts = geopandas.GeoDataFrame(
        {"name": ["Melbourne (CBD)", "South Yarra", "North Melbourne", "West Melbourne (Residential)", "Docklands"]},
        geometry=[Point(0, 0)] * 5,
    )
    codes = ["melbourne + south yarra + st kilda road", "melbourne", "north melbourne + west melbourne", "carlton"]
    assert districts_of(codes, districts) == {
        "melbourne": [0],
        "melbourne + south yarra + st kilda road": [1],
        "north melbourne + west melbourne": [2, 3],
    }
