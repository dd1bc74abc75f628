import geopandas
import numpy as np
import pytest
from shapely.geometry import LineString

from analytics import noise, sources
from analytics.grid import Grid
from analytics.kernels import density
from analytics.kernels import noise as kernels
from analytics.knowledge import learn_from
from analytics.observations import Said
from analytics.surroundings import Surroundings, surroundings
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records, sort_by_key
from tests.reference import density as density_reference
from tests.reference import noise as reference
from tests.synthetic_city import make_city

NIGHT = np.datetime64("2026-11-20T20:00", "ms")


@pytest.fixture(scope="module")
def town(tmp_path_factory) -> Surroundings:
    return surroundings(make_city(tmp_path_factory.mktemp("town")))


def spread(points: list[tuple[float, float, float]], cells=(12, 14), cell=10.0, reach=80.0, near=4.0) -> np.ndarray:
    east, north, power_db = (
        np.array(column, float) for column in zip(*sorted(points, key=lambda p: p[1]), strict=True)
    )
    out = np.zeros(cells, np.float32)
    kernels.spread_energy(0, cells[0], cell, 0.0, 0.0, reach, near**2, east, north, 10 ** (power_db / 10), out)
    return out


def level(energy: np.ndarray) -> np.ndarray:
    return 10 * np.log10(energy.astype(float))


@pytest.mark.kernel
def test_sources_spread_as_the_formula_says():
    points = [(33.0, 41.0, 90.0), (88.0, 20.0, 84.0), (-15.0, 60.0, 95.0)]
    out = spread(points)
    for row in range(12):
        for column in range(14):
            wanted = reference.energy(points, column * 10.0, row * 10.0, 80.0, 4.0)
            assert out[row, column] == pytest.approx(wanted, rel=2e-5)


@pytest.mark.kernel
def test_two_equal_sources_add_three_decibels():
    one, two = spread([(50.0, 50.0, 90.0)]), spread([(50.0, 50.0, 90.0)] * 2)
    heard = one > 0
    assert np.allclose(level(two[heard]) - level(one[heard]), 10 * np.log10(2), atol=1e-4)


@pytest.mark.kernel
def test_a_point_source_loses_six_decibels_a_doubling():
    out = level(spread([(0.0, 0.0, 100.0)], cells=(1, 40), reach=1000.0, near=1e-6))
    assert out[0, 10] - out[0, 20] == pytest.approx(6.0206, abs=1e-3)


@pytest.mark.kernel
def test_every_cell_sends_through_the_stencil():
    generator = np.random.default_rng(0)
    power = generator.uniform(0, 5, (9, 7)).astype(np.float32)
    stencil = generator.uniform(0, 1, (5, 5)).astype(np.float32)
    out = np.zeros_like(power)
    kernels.spread_cells(0, 9, stencil, power, np.empty((0, 0), np.float32), out)
    # the stencil is symmetric in use; the reference reads the cell a sender lies at
    assert np.allclose(out, reference.convolve(power.tolist(), stencil.tolist()), rtol=1e-5)


@pytest.mark.kernel
def test_the_quartic_sum_is_the_sum_over_points():
    points = [(12.0, 5.0, 3.0), (55.0, 31.0, 1.0), (90.0, 70.0, 2.0)]
    east, north, weight = (np.array(column) for column in zip(*points, strict=True))
    out = np.empty((10, 11), np.float32)
    density.quartic_sum(0, 10, 10.0, 0.0, 0.0, 45.0, east, north, weight, out)
    for row in range(10):
        for column in range(11):
            wanted = density_reference.quartic_sum(points, column * 10.0, row * 10.0, 45.0)
            assert out[row, column] == pytest.approx(wanted, abs=1e-5)


def road(aadt: float) -> np.ndarray:
    line = geopandas.GeoDataFrame({"aadt": [aadt]}, geometry=[LineString([(-2000, 205), (2400, 205)])], crs="EPSG:3067")
    streets = geopandas.GeoDataFrame({"kind": []}, geometry=[], crs="EPSG:3067")
    return sources.traffic_energy(Grid(10.0, 0.0, 0.0, (41, 41)), streets, line)


def test_a_thousand_vehicles_an_hour_give_66_decibels_at_ten_metres():
    column = level(road(1000.0))[:, 20]
    assert column[21] == pytest.approx(66.0, abs=1.0)  # 10 m from the line


def test_a_road_loses_three_decibels_a_doubling():
    column = level(road(1000.0))[:, 20]
    assert column[20 + 4] - column[20 + 8] == pytest.approx(3.0, abs=0.5)


def test_ten_times_the_traffic_is_ten_decibels_more():
    assert np.allclose(level(road(10_000.0)) - level(road(1000.0)), 10.0, atol=1e-3)


def test_a_counted_road_speaks_for_its_street_alone(town):
    line = LineString([(0, 100), (200, 100)])
    grid = Grid(10.0, 0.0, 0.0, (20, 20))
    streets = geopandas.GeoDataFrame({"kind": ["secondary"]}, geometry=[line], crs="EPSG:3067")
    counted = geopandas.GeoDataFrame({"aadt": [2000.0]}, geometry=[line], crs="EPSG:3067")
    nobody = geopandas.GeoDataFrame({"kind": []}, geometry=[], crs="EPSG:3067")
    assert np.array_equal(sources.traffic_energy(grid, streets, counted), sources.traffic_energy(grid, nobody, counted))


def test_the_shares_of_a_day_sum_to_one():
    quarters = np.datetime64("2026-11-20T00:00", "ms") + np.arange(96) * np.timedelta64(15, "m")
    assert sum(sources.traffic_share(t, "Europe/Helsinki") for t in quarters) / 4 == pytest.approx(1.0, rel=1e-6)


def test_levels_are_averaged_as_energy_over_their_seconds():
    readings = Said(
        np.array([0, 0, 1]), np.array([NIGHT] * 3), np.array([50.0, 60.0, 44.0]), np.array([900.0, 300.0, 60.0])
    )
    mean = noise.energy_mean(readings, 3)
    assert mean[0] == pytest.approx(10 * np.log10((3 * 1e5 + 1e6) / 4))
    assert mean[1] == pytest.approx(44.0)
    assert np.isnan(mean[2])


def test_people_talking_follow_their_law():
    power = 10 * np.log10(sources.voice_power(np.array([[45.0, 450.0, 45_000.0]], np.float32), 10.0))
    assert power[0, 1] - power[0, 0] == pytest.approx(10.0, abs=0.01)  # one person and fewer, in proportion
    assert power[0, 2] == pytest.approx(64 + 15 * np.log10(100), abs=0.01)


def heard(town: Surroundings, values: list[float], minutes: float = 10.0, seconds: float = 900.0) -> Records:
    rows = town.sites.of("sound_laeq")[: len(values)]
    records = empty_records(len(rows))
    records["time"] = NIGHT + np.timedelta64(int(minutes * 60_000), "ms")
    records["received"] = records["time"]
    records["site"] = town.sites.site[rows]
    records["quantity"] = QUANTITIES["sound_laeq"].code
    records["value"] = values
    records["duration_s"] = seconds
    return records


def field_of(town: Surroundings, *parts: Records) -> noise.NoiseField:
    people = np.full(town.grid.shape, 50.0, np.float32)
    origin = np.full(town.grid.shape, 2, np.uint8)
    records = sort_by_key(np.concatenate([empty_records(0), *parts]))
    return noise.noise_field(town, learn_from([], town).noise, people, origin, records, NIGHT)


def cell(town: Surroundings, index: int) -> tuple[int, int]:
    row = town.sites.of("sound_laeq")[index]
    return int(town.sites.row[row]), int(town.sites.column[row])


def test_a_meter_in_the_free_field_is_met_within_its_error(town):
    loud = field_of(town, heard(town, [60.0, 65.0]))
    assert not town.sites.facade[town.sites.of("sound_laeq")[1]]
    assert loud.level[cell(town, 1)] == pytest.approx(65.0, abs=2.0)
    assert loud.sd[cell(town, 1)] < 3.0


def test_a_facade_meter_reads_three_decibels_too_much(town):
    assert town.sites.facade[town.sites.of("sound_laeq")[0]]
    assert noise.free_field(np.array([60.0, 60.0]), np.array([True, False])).tolist() == [57.0, 60.0]
    assert field_of(town, heard(town, [70.0])).level[cell(town, 0)] == pytest.approx(67.0, abs=2.0)


def test_between_meters_the_error_is_at_least_five_decibels(town):
    field = field_of(town, heard(town, [55.0] * 6))
    assert np.all(field.sd[field.nearest >= 50.0] >= 5.0)
    assert np.all(field.sd > 0)


def test_a_short_measurement_weighs_less(town):
    long, short = field_of(town, heard(town, [60.0, 75.0])), field_of(town, heard(town, [60.0, 75.0], seconds=60.0))
    assert short.sd[cell(town, 1)] > long.sd[cell(town, 1)]


def test_a_silent_meter_lets_the_error_grow_back(town):
    sd = [field_of(town, heard(town, [60.0, 75.0], minutes)).sd[cell(town, 1)] for minutes in (10, -5, -60, -240)]
    assert sd[0] < 3.0 < 5.0 <= sd[1] <= sd[2] <= sd[3]
    assert np.isinf(field_of(town, heard(town, [60.0, 75.0], -60)).nearest[cell(town, 1)])
