"""What a lamp is taken to give, from the table of lamps, the city's luminaires and its streets."""

import geopandas
import numpy as np
import pytest
from shapely.geometry import LineString, Point

from analytics.photometry import FILE_SD, MODEL_SD, prepare_lamps, street_bearing
from sensors.lanterns import LAMP_CLASSES
from tests.synthetic_light import luminaire


def table(points, **columns):
    n = len(points)
    given = {
        "lamp": [f"L{i}" for i in range(n)], "luminaire": [""] * n, "lumens": [np.nan] * n, "mf": [np.nan] * n,
        "height_m": [np.nan] * n, "watts": [np.nan] * n, "source": ["council"] * n,
    } | columns  # fmt: skip
    return geopandas.GeoDataFrame(given, geometry=[Point(*point) for point in points])


def streets(*lines, kind="residential"):
    kinds = [kind] * len(lines) if isinstance(kind, str) else kind
    return geopandas.GeoDataFrame({"kind": kinds}, geometry=[LineString(line) for line in lines])


ROAD = luminaire(np.full((1, 3), 300.0), lumens=5000.0)


def test_a_lamp_that_names_a_file_has_its_light_scaled_to_its_own_lumens():
    given = table(
        [(0, 0), (0, 10), (0, 20)], luminaire=["Road-A", "road-a", ""], lumens=[np.nan, 10_000, 10_000], mf=[0.8] * 3
    )
    lamps = prepare_lamps(given, 0.85, luminaires={"road-a": ROAD})
    assert lamps.luminaire.tolist() == [0, 0, -1]
    assert lamps.strength[:2] == pytest.approx([0.8, 1.6])
    assert lamps.model_sd.tolist() == [FILE_SD, FILE_SD, MODEL_SD["council"]]


def test_the_maintenance_factor_scales_all_light():
    for known in ({}, {"road-a": ROAD}):
        one, other = (
            prepare_lamps(table([(0, 0)], luminaire=["road-a"]), factor, luminaires=known).strength[0]
            for factor in (0.9, 0.6)
        )
        assert one / other == pytest.approx(1.5)


def test_a_file_faces_the_bearing_given_else_its_street():
    way = streets([(0, 20), (100, 20)])
    given = table([(10, 15), (20, 25), (30, 15)], luminaire=["a"] * 3, azimuth_deg=[np.nan, np.nan, 90.0])
    lamps = prepare_lamps(given, 0.85, luminaires={"a": ROAD}, streets=way)
    facing = dict(zip(lamps.lamp.tolist(), np.degrees(lamps.azimuth) % 360, strict=True))
    assert facing["L0"] == pytest.approx(90.0)  # from east: towards the street in the north
    assert facing["L1"] == pytest.approx(270.0)
    assert facing["L2"] == pytest.approx(0.0)  # bearing 90 is east


def test_a_lamp_beside_a_pavement_faces_the_carriageway_behind_it():
    ways = streets([(0, 2), (100, 2)], [(0, -8), (100, -8)], kind=["footway", "residential"])
    assert np.degrees(street_bearing(np.array([50.0]), np.array([0.0]), ways)) == pytest.approx([-90.0])


def test_a_lamp_on_the_very_line_faces_across_it():
    along = streets([(0, 0), (100, 0)])
    assert abs(np.degrees(street_bearing(np.array([50.0]), np.array([0.0]), along))[0]) == pytest.approx(90.0)


def test_tilt_counts_to_half_a_degree_and_only_with_a_file():
    given = table([(0, 0), (0, 5), (0, 9)], luminaire=["a", "a", ""], tilt_deg=[4.9, "", 10.0])
    lamps = prepare_lamps(given, 0.85, luminaires={"a": ROAD})
    assert np.degrees(lamps.tilt) == pytest.approx([5.0, 0.0, 0.0])
    assert len(lamps.kinds) == 2
    assert lamps.sources.table.tolist() == [1, 0, -1]


def test_a_lamp_hangs_over_its_street():
    way = streets([(0, 20), (100, 20)])
    lamps = prepare_lamps(table([(10, 15), (20, 25)], overhang_m=[2.0, 1.5]), 0.85, streets=way)
    assert np.column_stack([lamps.easting, lamps.northing]) == pytest.approx(np.array([[10, 17], [20, 23.5]]))


@pytest.mark.parametrize(
    ("kind", "name"), [("residential", "residential"), ("primary", "arterial"), ("footway", "footpath")]
)
def test_a_lamp_of_which_nothing_is_known_is_typical_for_its_street(kind, name):
    lamps = prepare_lamps(table([(10, 5)]), 1.0, streets=streets([(0, 0), (50, 0)], kind=kind))
    typical = LAMP_CLASSES[name]
    assert lamps.height_m[0] == typical.height_m
    assert lamps.strength[0] == pytest.approx(typical.lumens / (3 * np.pi))


def test_a_lamp_s_own_curve_goes_before_the_city_s():
    given = table([(0, 0), (0, 5)], dimming_curve=["linear", ""])
    assert prepare_lamps(given, 0.85, dimming_curve="dali-log").curve.tolist() == [0, 1]


def test_no_lamps_are_no_lamps():
    assert prepare_lamps(table([]), 0.85, luminaires={"a": ROAD}).strength.size == 0
