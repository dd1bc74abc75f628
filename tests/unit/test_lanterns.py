"""Laws of lamps where nobody says what they are."""

import geopandas
import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from sensors.draft import LanternRule
from sensors.lanterns import LAMP_CLASSES, assumed_lanterns, lamp_classes, with_cabinets, with_defaults

CRS = "EPSG:3067"


NONE = np.zeros((0, 2))


def streets(*rows):
    kinds, widths, lines = zip(*rows, strict=True)
    return geopandas.GeoDataFrame(
        {"kind": list(kinds), "width_m": list(widths)}, geometry=[shapely.LineString(line) for line in lines], crs=CRS
    )


def bare_lamps(points):
    count = len(points)
    return geopandas.GeoDataFrame(
        {"lamp": [str(row) for row in range(count)], "cabinet": "", "circuit": "", "switchable_unit": ""},
        geometry=shapely.points(np.asarray(points, float).reshape(-1, 2)),
        crs=CRS,
    )


def test_a_lamp_beside_a_pavement_of_a_main_road_is_a_road_lamp():
    network = streets(("footway", 3, [(0, 6), (100, 6)]), ("primary", 16, [(0, 0), (100, 0)]))
    assert lamp_classes(np.array([[50.0, 6.0]]), network) == ["arterial"]
    assert lamp_classes(np.array([[50.0, 40.0]]), network) == ["footpath"]


def test_known_values_of_a_lamp_stay_and_missing_ones_are_typical():
    lamps = bare_lamps([(50, 1), (60, 1)]).assign(watts=[250.0, np.nan])
    done = with_defaults(lamps, streets(("primary", 16, [(0, 0), (100, 0)])))
    assert done.watts.tolist() == [250.0, LAMP_CLASSES["arterial"].watts]
    assert (done.lumens == LAMP_CLASSES["arterial"].lumens).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 700), st.integers(0, 5))
def test_cabinets_hold_at_most_forty_lamps_and_not_few(count, seed):
    points = np.random.default_rng(seed).uniform(0, 1000, (count, 2))
    done = with_cabinets(bare_lamps(points))
    sizes = done.groupby("cabinet").size()
    assert sizes.max() <= 40
    assert sizes.min() >= min(count, 20)
    assert (done.groupby("circuit").cabinet.nunique() == 1).all()
    assert done.groupby("circuit").size().max() <= 12
    assert (done.switchable_unit == done.circuit).all()


def test_cabinets_are_contiguous_groups():
    east = [(1000 + 10 * row, 0) for row in range(30)]
    west = [(10 * row, 0) for row in range(30)]
    done = with_cabinets(bare_lamps([point for pair in zip(east, west, strict=True) for point in pair]))
    assert done.cabinet[0::2].nunique() == done.cabinet[1::2].nunique() == 1
    assert done.cabinet[0] != done.cabinet[1]


def test_lanterns_stand_on_both_sides_at_their_spacing():
    rule = LanternRule(("primary",), "arterial", spacing_m=35.0, both_sides=True)
    lanterns = assumed_lanterns(streets(("primary", 20, [(0, 0), (350, 0)])), [rule], NONE)
    assert len(lanterns) == 20
    assert set(lanterns.geometry.y.round(6)) == {7.0, -7.0}
    np.testing.assert_allclose(np.diff(sorted(set(lanterns.geometry.x.round(6)))), 35.0)
    assert (lanterns.source == "assumed").all()


def test_a_narrow_lane_has_lamps_at_its_ends_only():
    rule = LanternRule(("service",), "residential", spacing_m=30.0, both_sides=False, narrow_m=6.0, lumens=6000.0)
    lanterns = assumed_lanterns(streets(("service", 4, [(0, 0), (200, 0)])), [rule], NONE)
    assert sorted(zip(lanterns.geometry.x, lanterns.geometry.y, strict=True)) == [(0.0, 0.0), (200.0, 0.0)]
    assert (lanterns.lumens == 6000.0).all()
    assert (lanterns.watts == LAMP_CLASSES["residential"].watts).all()


def test_crossing_streets_do_not_put_two_lanterns_together():
    rule = LanternRule(("primary",), "arterial", spacing_m=30.0, both_sides=True)
    network = streets(
        *(("primary", 12, [(0, 40 * row), (400, 40 * row)]) for row in range(5)),
        *(("primary", 12, [(40 * row, 0), (40 * row, 160)]) for row in range(10)),
    )
    lanterns = assumed_lanterns(network, [rule], NONE)
    positions = shapely.get_coordinates(lanterns.geometry.to_numpy())
    assert cKDTree(positions).query(positions, k=2)[0][:, 1].min() > 10.0


def test_no_rule_gives_no_lantern():
    assert len(assumed_lanterns(streets(("primary", 12, [(0, 0), (400, 0)])), [], NONE)) == 0


def test_none_is_assumed_near_a_lamp_that_is_known_or_on_a_street_that_is_not_lit():
    rule = LanternRule(("primary",), "arterial", 20.0, both_sides=False, lit_only=True, published_clear_m=40.0)
    network = streets(("primary", 12, [(0, 0), (400, 0)]), ("primary", 12, [(0, 500), (400, 500)]))
    network["lit"] = ["yes", "no"]
    known = np.array([[200.0, 0.0]])
    lanterns = assumed_lanterns(network, [rule], known)
    places = shapely.get_coordinates(lanterns.geometry.to_numpy())
    assert len(places) > 10
    assert (places[:, 1] < 100).all()
    assert np.hypot(*(places - known).T).min() >= 40


def test_a_later_rule_keeps_clear_of_an_earlier_one():
    rules = [
        LanternRule(("primary",), "arterial", 30.0, both_sides=False),
        LanternRule(("footway",), "footpath", 20.0, both_sides=False, clear_m=30.0),
    ]
    network = streets(("primary", 12, [(0, 0), (400, 0)]), ("footway", 3, [(0, 10), (400, 10)]))
    assert (assumed_lanterns(network, rules, NONE).height_m == 10.0).all()
