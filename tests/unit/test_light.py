import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from analytics import light
from analytics.distribution import distributions_of
from analytics.footprints import CUTOFF_M, Footprints
from analytics.grid import Grid
from analytics.kernels import light as kernels
from analytics.lamp_state import LampState, lamp_state, scheduled_level
from analytics.photometry import Lamps, peak_intensity
from analytics.sky import sky_lux
from analytics.surroundings import Surroundings, surroundings
from analytics.walls import no_walls
from sensors.luminaire import Luminaire
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records, sort_by_key
from tests.reference import light as reference
from tests.synthetic_city import make_city

NIGHT = np.datetime64("2026-11-20T20:00", "ms")


@pytest.fixture(scope="module")
def town(tmp_path_factory) -> Surroundings:
    return surroundings(make_city(tmp_path_factory.mktemp("town")))


Lamp = tuple[float, float, float, float, float]  # east, north, height, peak, b


def lamps_of(lamps: list[Lamp], luminaires: list[Luminaire] = [], azimuth=0.0, tilt=0.0) -> Lamps:  # noqa: B006  never changed
    """Lamps of the default distribution; with luminaires all have the first, `peak` times its candela."""
    east, north, height, strength, b = (
        np.array(column, float) for column in zip(*sorted(lamps, key=lambda lamp: lamp[1]), strict=True)
    )
    n = east.size
    return Lamps(
        lamp=np.arange(n).astype(str), easting=east, northing=north, height_m=height, strength=strength, shape=b,
        luminaire=np.full(n, 0 if luminaires else -1, np.int32), azimuth=np.full(n, azimuth), tilt=np.full(n, tilt),
        model_sd=np.full(n, 0.5), watts=np.full(n, np.nan), curve=np.zeros(n, np.uint8),
        distributions=distributions_of(luminaires),
    )  # fmt: skip


def around(lamps: Lamps, cells=(16, 16), cell=10.0, walls=None) -> SimpleNamespace:
    """As much of `Surroundings` as light needs; cell (0, 0) centred at (0, 0)."""
    grid = Grid(cell, -cell / 2, -cell / 2, cells)
    walls = no_walls() if walls is None else walls
    feet = Footprints(grid, lamps, walls, np.zeros((2 * cells[0], 2 * cells[1]), bool))
    return SimpleNamespace(grid=grid, lamps=lamps, walls=walls, footprints=feet)


def raster(lamps: list[Lamp], cells=(16, 16), cell=10.0, weight=None):
    feet = around(lamps_of(lamps), cells, cell).footprints
    return feet.light(np.ones(len(lamps)), np.ones(len(lamps)) if weight is None else np.asarray(weight, float))


def at(points: list[tuple[float, float, float]], lamps: list[Lamp], **plane):
    town = around(lamps_of(lamps))
    return np.array([light.illuminance_at(town, east, north, height_m=up, **plane)[0] for east, north, up in points])


@pytest.mark.kernel
@pytest.mark.parametrize("b", [0.0, 6.0])
def test_a_lamp_gives_what_the_formula_with_angles_gives(b):
    lamp = (0.0, 0.0, 6.0, 900.0, b)
    distances = [0.0, 1.0, 5.0, 17.0, 42.0]
    lux = at([(d, 0.0, 0.0) for d in distances], [lamp])
    assert lux == pytest.approx([reference.horizontal(d, 6.0, 900.0, b) for d in distances], rel=1e-6)
    vertical = at([(d, 0.0, 0.0) for d in distances[1:]], [lamp], plane="cylindrical")
    assert vertical == pytest.approx([reference.vertical_mean(d, 6.0, 900.0, b) for d in distances[1:]], rel=1e-5)


@pytest.mark.kernel
def test_illuminance_falls_with_the_square_of_all_lengths():
    near = at([(4.0, 3.0, 0.0)], [(0.0, 0.0, 5.0, 1000.0, 6.0)])[0]
    far = at([(8.0, 6.0, 0.0)], [(0.0, 0.0, 10.0, 1000.0, 6.0)])[0]
    assert near == pytest.approx(4 * far, rel=1e-9)


@pytest.mark.kernel
def test_a_lambert_lamp_falls_with_the_fourth_power_of_the_cosine():
    # cosine cubed of the plane and the distance, and one more of the source itself
    lux = at([(5.0, 0.0, 0.0)], [(0.0, 0.0, 5.0, 1000.0, 0.0)])[0]
    assert lux == pytest.approx(1000 / 25 * math.cos(math.pi / 4) ** 4, rel=1e-9)


@pytest.mark.parametrize("b", [0.0, 3.0, 6.0])
def test_the_distribution_gives_the_lumens_it_is_made_from(b):
    peak = float(peak_intensity(np.array([4000.0]), np.array([b]))[0])
    assert reference.flux(peak, b) == pytest.approx(4000.0, rel=1e-6)


@pytest.mark.kernel
def test_a_cell_holds_the_mean_over_its_area():
    lamp = (72.0, 68.0, 5.0, 800.0, 6.0)
    total, _ = raster([lamp])
    for row, column in [(7, 7), (6, 8), (3, 7), (9, 10)]:
        mean = reference.cell_mean(column * 10.0 - 72.0, row * 10.0 - 68.0, 10.0, 5.0, 800.0, 6.0)
        assert total[row, column] == pytest.approx(mean, abs=0.01 * reference.flux(800.0, 6.0) / 1000)
    flux_in = float(total.sum()) * 100.0
    assert flux_in == pytest.approx(reference.flux(800.0, 6.0), rel=0.06)  # what misses lies beyond the cutoff


@pytest.mark.kernel
def test_lamps_add():
    one, two = (50.0, 40.0, 5.0, 700.0, 6.0), (80.0, 95.0, 8.0, 1200.0, 6.0)
    together, _ = raster([one, two])
    assert np.allclose(together, raster([one])[0] + raster([two])[0], rtol=1e-5)


@pytest.mark.kernel
def test_light_is_mirrored_with_the_lamp():
    total, _ = raster([(70.0, 70.0, 6.0, 1000.0, 6.0)], cells=(15, 15))
    assert np.allclose(total, total[::-1, ::-1], rtol=1e-4)
    assert np.allclose(total, total.T, rtol=1e-4)


@pytest.mark.kernel
def test_nothing_lies_beyond_the_cutoff():
    total, _ = raster([(75.0, 75.0, 6.0, 1000.0, 6.0)])
    north, east = np.mgrid[:16, :16] * 10.0
    beyond = np.hypot(north - 75.0, east - 75.0) > CUTOFF_M
    assert np.all(total[beyond] == 0)
    assert np.all(total[~beyond] > 0)


@pytest.mark.kernel
def test_the_weighted_light_is_the_mean_weight_where_all_agree():
    total, weighted = raster([(50.0, 40.0, 5.0, 700.0, 6.0), (80.0, 95.0, 8.0, 1200.0, 6.0)], weight=[0.5, 0.5])
    assert np.allclose(weighted, 0.5 * total, rtol=1e-5)


@pytest.mark.kernel
def test_the_lowest_around_is_the_minimum_over_a_disc():
    value = np.random.default_rng(0).uniform(0, 9, (11, 13)).astype(np.float32)
    out = np.empty_like(value)
    kernels.lowest_around(0, 11, 2.5, value, out)
    assert np.array_equal(out, np.array(reference.lowest_around(value.tolist(), 2.5), np.float32))


def said(town: Surroundings, quantity: str, values: list[float], minutes: float = 5.0, rows=None) -> Records:
    rows = town.sites.of(quantity)[: len(values)] if rows is None else rows
    records = empty_records(len(rows))
    records["time"] = NIGHT + np.timedelta64(int(minutes * 60_000), "ms")
    records["received"] = records["time"]
    records["site"] = town.sites.site[rows]
    records["quantity"] = QUANTITIES[quantity].code
    records["value"] = values
    return records


def state_of(town: Surroundings, *parts: Records) -> LampState:
    until = NIGHT + np.timedelta64(15, "m")
    return lamp_state(town, sort_by_key(np.concatenate(parts)), until, 0.1)


def test_lamps_without_a_word_follow_the_schedule_with_a_wide_error(town):
    state = state_of(town, empty_records(0))
    assert np.all(state.level == 1.0)  # 22:15 local; the schedule dims at 23:00
    late = lamp_state(town, empty_records(0), NIGHT + np.timedelta64(75, "m"), 0.1)
    assert np.all(late.level == 0.7)
    assert np.all(state.sd > 0.3)


def test_a_reported_level_counts_and_is_sure(town):
    state = state_of(town, said(town, "dimming", [0.4]))
    lamp = town.sites.lamp_index[town.sites.lamp_start[town.sites.of("dimming")[0]]]
    assert state.level[lamp] == pytest.approx(0.4)
    assert state.sd[lamp] < 0.2
    assert np.sum(state.level != 1.0) == 1


def test_a_failed_lamp_is_dark_whatever_its_dimming_says(town):
    state = state_of(town, said(town, "dimming", [0.9]), said(town, "lamp_ok", [0.0]))
    assert np.sum(state.level == 0) == 1


def test_a_repaired_lamp_shines_again(town):
    state = state_of(town, said(town, "lamp_ok", [0.0], 1.0), said(town, "lamp_ok", [1.0], 2.0))
    assert np.all(state.level == 1.0)


def test_a_state_after_the_step_is_not_known_yet(town):
    assert np.all(state_of(town, said(town, "dimming", [0.4], 15.001)).level == 1.0)
    assert np.sum(state_of(town, said(town, "dimming", [0.4], 15.0)).level == np.float32(0.4)) == 1


def test_a_reading_that_physics_refuses_dims_nothing(town):
    flagged = said(town, "dimming", [0.4])
    flagged["flags"] = 1
    assert np.all(state_of(town, flagged).level == 1.0)


def test_lamps_are_off_by_day(town):
    state = lamp_state(town, empty_records(0), NIGHT, 5000.0)
    assert np.all(state.level == 0.0)


def test_dimming_all_lamps_scales_all_their_light(town):
    full, _ = light.lamp_light(town, state_of(town, empty_records(0)))
    half = LampState(np.full(town.lamps.easting.size, 0.5), np.zeros(town.lamps.easting.size), np.zeros(1, bool))
    assert np.allclose(light.lamp_light(town, half)[0], 0.5 * full, rtol=1e-5)


@pytest.mark.parametrize(
    ("time", "low", "high"),
    [
        ("2026-11-20T20:00", 0.1, 0.11),  # deep night
        ("2026-06-21T20:00", 50.0, 1500.0),  # 23:00 at midsummer: Helsinki's sun has just set
        ("2026-06-21T10:00", 50_000.0, 120_000.0),  # noon
        ("2026-11-20T13:25", 150.0, 1200.0),  # sunset
    ],
)
def test_the_sky_is_as_bright_as_the_sun_lets_it(town, time, low, high):
    assert low <= sky_lux(np.datetime64(time, "ms"), town.latitude, town.longitude) <= high


@pytest.mark.parametrize(
    ("local", "level"), [("14:00", 1.0), ("16:00", 1.0), ("22:59", 1.0), ("23:00", 0.7), ("04:59", 0.7), ("05:00", 1.0)]
)
def test_the_schedule_holds_from_each_of_its_times(town, local, level):
    time = np.datetime64(f"2026-11-20T{local}", "ms") - np.timedelta64(2, "h")  # Helsinki in winter
    assert scheduled_level(town, time) == level


def field_of(town: Surroundings, *parts: Records) -> light.LightField:
    from analytics.knowledge import learn_from

    records = sort_by_key(np.concatenate([empty_records(0), *parts]))
    return light.light_field(town, learn_from([], town).light, records, NIGHT)


def test_a_lux_sensor_draws_the_map_towards_its_value(town):
    row = town.sites.of("illuminance")[0]
    cell = town.sites.row[row], town.sites.column[row]
    before = field_of(town)
    bright = field_of(town, said(town, "illuminance", [60.0]))
    assert before.illuminance[cell] < bright.illuminance[cell] < 60.0
    assert bright.sd[cell] < before.sd[cell]
    assert bright.nearest[cell] < 10.0
    assert np.isinf(before.nearest[cell])


def test_a_vertical_sensor_is_compared_with_vertical_light(town):
    row = town.sites.of("illuminance")[0]
    records = said(town, "illuminance", [5.0])
    plane = town.sites.plane.copy()
    plane[row] = 1
    vertical = replace(town, sites=replace(town.sites, plane=plane))
    plane = plane.copy()
    plane[row] = 2
    none = replace(town, sites=replace(town.sites, plane=plane))
    cell = town.sites.row[row], town.sites.column[row]
    horizontal = field_of(town, records).illuminance[cell]
    assert field_of(vertical, records).illuminance[cell] != pytest.approx(float(horizontal), rel=0.01)
    assert np.isinf(field_of(none, records).nearest[cell])  # with no plane nothing can be compared


def with_sensor(town: Surroundings, *, height_m: float, plane: int = 0, facing_deg: float = np.nan) -> Surroundings:
    """The first lux sensor 3 m south of a lamp of 6 m or so, at a height of its own."""
    row, lamp = town.sites.of("illuminance")[0], 30
    changed = {
        "height_m": height_m, "plane": plane, "facing_deg": facing_deg, "easting": town.lamps.easting[lamp],
        "northing": town.lamps.northing[lamp] - 3.0,
    }  # fmt: skip
    columns = {name: getattr(town.sites, name).copy() for name in changed}
    for name, value in changed.items():
        columns[name][row] = value
    return replace(town, sites=replace(town.sites, **columns))


def departures_of(town: Surroundings, lux: float):
    records = said(town, "illuminance", [lux])
    return light.lux_departures(town, state_of(town, records), 0.1, records, NIGHT)


def test_a_level_sensor_above_its_lamps_says_nothing_of_the_ground(town):
    lamp_m = float(town.lamps.height_m[30])
    assert np.isfinite(departures_of(with_sensor(town, height_m=lamp_m - 2.0), 20.0).departure[0])
    assert np.isnan(departures_of(with_sensor(town, height_m=lamp_m + 0.5), 20.0).departure[0])


def test_the_nearer_to_its_lamp_a_sensor_hangs_the_less_its_height_lets_it_say(town):
    lamp_m = float(town.lamps.height_m[30])
    ground, low, high = (
        departures_of(with_sensor(town, height_m=height), 20.0).noise_variance[0] for height in (0.0, 1.0, lamp_m - 1.2)
    )
    assert ground < low < high


def test_a_wall_sensor_that_faces_its_lamp_expects_more_than_one_that_looks_away(town):
    south, north = (
        departures_of(with_sensor(town, height_m=1.5, plane=1, facing_deg=bearing), 5.0) for bearing in (180.0, 0.0)
    )
    unknown = departures_of(with_sensor(town, height_m=1.5, plane=1), 5.0)
    assert north.departure[0] < unknown.departure[0] < south.departure[0]
    assert north.noise_variance[0] < unknown.noise_variance[0]


def test_simulated_telemetry_marks_the_light_it_steers(town):
    assert np.all(field_of(town).origin == 2)
    marked = field_of(town, said(town, "dimming", [1.0])).origin == 6
    lamp = town.sites.lamp_index[town.sites.lamp_start[town.sites.of("dimming")[0]]]
    north, east = np.meshgrid(town.grid.northing, town.grid.easting, indexing="ij")
    near = np.hypot(east - town.lamps.easting[lamp], north - town.lamps.northing[lamp]) <= CUTOFF_M
    assert np.array_equal(marked, near)


def test_the_lowest_on_a_street_is_no_brighter_than_the_street(town):
    field = field_of(town)
    street = town.street & ~town.indoor
    assert np.all(field.lowest[street] <= field.illuminance[street])
