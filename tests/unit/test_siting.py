"""Laws of where virtual devices stand."""

import geopandas
import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from sensors.draft import VirtualDevices
from sensors.siting import choose, virtual_devices
from tests.synthetic_city import make_city

TABLES = ("streets", "sections", "buildings", "venues", "stops", "areas", "lamps")


@given(st.integers(1, 40), st.integers(0, 50), st.integers(0, 9))
def test_no_candidate_is_chosen_twice(candidates, count, seed):
    generator = np.random.default_rng(seed)
    points = generator.uniform(0, 1000, (candidates, 2))
    chosen = choose(points, generator.uniform(0, 1, candidates), count)
    assert len(chosen) == len(set(chosen)) == min(count, candidates)


def test_the_first_choice_is_the_best_and_the_next_is_not_beside_it():
    points = np.array([[0.0, 0.0], [5.0, 0.0], [400.0, 0.0]])
    assert choose(points, np.array([1.0, 0.99, 0.5]), 3) == [0, 2, 1]


def test_devices_are_placed_the_same_each_time_and_never_inside_a_building(tmp_path):
    city = make_city(tmp_path)
    layers = {name: city.places(name) for name in TABLES}
    layers["lamps"] = layers["lamps"].assign(source="council")
    wanted = VirtualDevices(footfall=4, noise=8, lux=3, controllers="lamp")
    first, second = virtual_devices(layers, wanted), virtual_devices(layers, wanted)
    assert first.drop(columns="geometry").equals(second.drop(columns="geometry"))
    assert first.geometry.equals(second.geometry)
    indoors = layers["buildings"].geometry.union_all()
    assert not first[first["quantity"] != "dimming"].intersects(indoors.buffer(-0.1)).any()
    counts = first.groupby("quantity").device.nunique().to_dict()
    assert counts["people_flow"] == 4
    assert counts["sound_laeq"] == counts["sound_lamax"] == 8
    assert counts["dimming"] == counts["lamp_ok"] == len(layers["lamps"])
    assert (first.origin == "simulated").all()


def test_a_meter_on_a_facade_says_so_and_one_in_a_park_is_free(tmp_path):
    city = make_city(tmp_path)
    layers = {name: city.places(name) for name in TABLES}
    meters = virtual_devices(layers, VirtualDevices(noise=8))
    walls = layers["buildings"].geometry.union_all().boundary
    facade = meters[meters.mounting == "facade"]
    assert len(facade)
    np.testing.assert_allclose(facade.distance(walls), 1.0, atol=1e-6)
    free = meters[meters.mounting == "free"]
    assert len(free)
    assert free.intersects(layers["areas"].geometry.union_all()).all()


def test_one_controller_for_a_circuit_names_all_its_lamps(tmp_path):
    city = make_city(tmp_path)
    layers = {name: city.places(name) for name in TABLES}
    rows = virtual_devices(layers, VirtualDevices(controllers="circuit"))
    dimming = rows[rows["quantity"] == "dimming"]
    named = [lamp for lamps in dimming.lamps for lamp in lamps.split(";")]
    assert sorted(named) == sorted(layers["lamps"].lamp)
    assert len(dimming) == layers["lamps"].circuit.nunique()


def test_a_city_without_lamps_and_parks_has_fewer_devices_and_no_error(tmp_path):
    city = make_city(tmp_path)
    layers = {name: city.places(name) for name in TABLES}
    layers["lamps"] = layers["lamps"].iloc[:0]
    layers["areas"] = layers["areas"].iloc[:0]
    layers["buildings"] = geopandas.GeoDataFrame({"height_m": []}, geometry=[], crs=city.crs)
    layers["stops"] = layers["stops"].iloc[:0]
    rows = virtual_devices(layers, VirtualDevices(footfall=2, noise=4, lux=2, controllers="lamp"))
    assert set(rows["quantity"]) == {"people_flow", "sound_laeq", "sound_lamax"}
    assert shapely.get_num_points(rows.geometry.to_numpy()).sum() == 0


def test_an_assumed_lantern_has_no_controller_of_its_own(tmp_path):
    city = make_city(tmp_path)
    layers = {name: city.places(name) for name in TABLES}
    layers["lamps"] = layers["lamps"].assign(source="assumed")
    assert not (virtual_devices(layers, VirtualDevices(lux=1, controllers="lamp"))["quantity"] == "dimming").any()
