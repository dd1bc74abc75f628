from dataclasses import replace

import numba
import numpy as np
import pytest
import xarray as xr

from analytics import warmup
from analytics.fields import fields_at
from analytics.footfall import log_rate
from analytics.kernels.jit import use_threads
from analytics.knowledge import Knowledge, learn_from
from analytics.surroundings import ORIGINS, Surroundings, surroundings
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records, sort_by_key
from tests.synthetic_city import make_city

pytestmark = pytest.mark.kernel

STEP = np.datetime64("2026-11-20T20:00", "ms")
LIKELY = {
    "dimming": (0.5, 1.0),
    "lamp_ok": (1, 1),
    "people_flow": (5, 90),
    "sound_laeq": (50, 66),
    "illuminance": (2, 20),
}


@pytest.fixture(scope="module")
def town(tmp_path_factory) -> Surroundings:
    return surroundings(make_city(tmp_path_factory.mktemp("town")))


def a_night(town: Surroundings, seed: int = 0, quantities=tuple(LIKELY)) -> Records:
    """Two hours of readings of every sensor, every quarter of an hour."""
    generator = np.random.default_rng(seed)
    parts = []
    for quantity in quantities:
        rows = town.sites.of(quantity)
        for back in range(8):
            part = empty_records(rows.size)
            part["time"] = STEP + np.timedelta64(15, "m") - np.timedelta64(15 * back, "m")
            part["received"] = part["time"] + np.timedelta64(2, "s")
            part["site"], part["quantity"] = town.sites.site[rows], QUANTITIES[quantity].code
            part["value"] = np.round(generator.uniform(*LIKELY[quantity], rows.size), 1)
            part["duration_s"] = 900.0
            part["seq"] = back
            parts.append(part)
    return sort_by_key(np.concatenate(parts))


@pytest.fixture(scope="module")
def night(town) -> Records:
    return a_night(town)


@pytest.fixture(scope="module")
def learnt(town, night) -> Knowledge:
    return learn_from([night], town)


@pytest.fixture(scope="module")
def fields(town, learnt, night) -> xr.Dataset:
    return fields_at(town, learnt, night, STEP)


def same_bits(one: xr.Dataset, two: xr.Dataset) -> bool:
    return all(np.array_equal(one[name].values, two[name].values) for name in one)


def test_every_layer_is_there_with_its_unit(town, fields):
    ends = ("", "_sd", "_origin", "_nearest", "_measured", "_simulated")
    names = {f"{field}{end}" for field in ("illuminance", "noise", "footfall") for end in ends}
    assert set(fields) == names | {"illuminance_min"}
    assert fields.sizes == {"time": 1, "northing": 32, "easting": 32}
    assert fields.time.values[0] == STEP
    assert fields.illuminance.attrs["units"] == "lx"
    assert "not legal metrology" in fields.noise.attrs["long_name"]
    for name, layer in fields.items():
        assert layer.dtype == (np.uint8 if name.endswith(("_origin", "_measured", "_simulated")) else np.float32)
        assert np.all(np.isfinite(layer))


def test_values_are_possible(fields):
    assert np.all(fields.illuminance > 0)
    assert np.all(fields.footfall > 0)
    assert np.all((fields.noise > 30) & (fields.noise < 90))
    assert all(np.all(fields[f"{name}_sd"] > 0) for name in ("illuminance", "noise", "footfall"))


def test_the_same_inputs_give_the_same_bits_in_any_order(town, learnt, night, fields):
    shuffled = night[np.random.default_rng(3).permutation(night.size)]
    assert same_bits(fields, fields_at(town, learnt, shuffled, STEP))


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="threads need compiled kernels")
def test_the_number_of_threads_changes_no_bit(town, learnt, night):
    with use_threads(1):
        one = fields_at(town, learnt, night, STEP)
    with use_threads(2):
        two = fields_at(town, learnt, night, STEP)
    assert same_bits(one, two)


def test_knowledge_read_back_gives_the_same_bits(town, learnt, night, fields):
    assert same_bits(fields, fields_at(town, Knowledge.from_dict(learnt.to_dict()), night, STEP))


def test_what_happens_after_the_step_changes_nothing(town, learnt, night, fields):
    later = a_night(town, seed=9)
    later["time"] += np.timedelta64(4, "h")
    assert same_bits(fields, fields_at(town, learnt, sort_by_key(np.concatenate([night, later])), STEP))


def test_no_records_are_answered_from_the_background(town):
    quiet = fields_at(town, learn_from([], town), empty_records(0), STEP)
    assert np.all(quiet.footfall_origin == 2)
    assert np.all(np.isinf(quiet.noise_nearest))
    assert np.all(np.isfinite(quiet.noise_sd))


def test_a_counter_draws_the_map_towards_its_count(town):
    nothing = learn_from([], town)
    row = town.sites.of("people_flow")[0]
    records = a_night(town, quantities=("people_flow",))
    records = records[(records["time"] > STEP) & (records["site"] == town.sites.site[row])]
    records["value"] = 1000.0
    cell = {"northing": town.sites.row[row], "easting": town.sites.column[row], "time": 0}
    crowd = float(fields_at(town, nothing, records, STEP).footfall[cell])
    usual = float(fields_at(town, nothing, empty_records(0), STEP).footfall[cell])
    assert usual < crowd < 4100.0
    assert crowd == pytest.approx(4000.0, rel=0.35)


def test_absent_is_not_zero(town):
    nothing = learn_from([], town)
    row = town.sites.of("people_flow")[0]
    records = a_night(town, quantities=("people_flow",))
    records = records[(records["time"] > STEP) & (records["site"] == town.sites.site[row])]
    records["value"] = 0.0
    cell = {"northing": town.sites.row[row], "easting": town.sites.column[row], "time": 0}
    nobody = float(fields_at(town, nothing, records, STEP).footfall[cell])
    silent = float(fields_at(town, nothing, empty_records(0), STEP).footfall[cell])
    assert nobody < 0.4 * silent


def test_a_silent_counter_widens_its_interval(town, learnt, night):
    row = town.sites.of("people_flow")[0]
    mine = night["site"] == town.sites.site[row]
    cell = {"northing": town.sites.row[row], "easting": town.sites.column[row], "time": 0}
    sd = [
        float(
            fields_at(town, learnt, night[~mine | (night["time"] <= STEP - np.timedelta64(h, "h"))], STEP).footfall_sd[
                cell
            ]
        )
        for h in (-1, 0, 1)
    ]
    assert sd[0] < sd[1] < sd[2]


def test_small_counts_are_less_sure():
    _, variance = log_rate(np.array([0.0, 4.0, 400.0]), np.ones(3))
    assert variance[0] > variance[1] > variance[2] > 1 / 25.0
    rate, _ = log_rate(np.array([100.0]), np.array([0.25]))
    assert np.exp(rate[0]) == pytest.approx(402.0)


def real(town: Surroundings, origin: str) -> Surroundings:
    return replace(
        town, sites=replace(town.sites, origin=np.full(town.sites.site.size, ORIGINS.index(origin), np.uint8))
    )


def test_origin_says_measured_near_a_real_sensor_and_modelled_elsewhere(town, night):
    recorded = real(town, "recorded")
    result = fields_at(recorded, learn_from([night], recorded), night, STEP)
    for field in ("illuminance", "noise", "footfall"):
        origin = result[f"{field}_origin"]
        assert set(np.unique(origin)) <= {1, 2}
        assert np.all(origin.values[result[f"{field}_nearest"].values < 10.0] == 1)


def test_origin_says_simulated_wherever_a_simulated_sensor_reaches(town, learnt, night, fields):
    assert np.all(fields.footfall_origin == 6)
    assert np.all(fields.noise_origin == 6)
    recorded = real(town, "recorded")
    origin = recorded.sites.origin.copy()
    origin[town.sites.of("people_flow")] = ORIGINS.index("simulated")
    mixed = replace(recorded, sites=replace(recorded.sites, origin=origin))
    result = fields_at(mixed, learn_from([], mixed), night, STEP)
    assert np.all(result.noise_origin.values & 4)  # simulated people are heard
    assert not np.any(result.illuminance_origin.values & 4)


def test_nearest_is_the_distance_to_the_nearest_live_sensor(town, learnt, night, fields):
    rows = town.sites.of("sound_laeq")
    north, east = np.meshgrid(town.grid.northing, town.grid.easting, indexing="ij")
    distance = np.hypot(east[..., None] - town.sites.easting[rows], north[..., None] - town.sites.northing[rows]).min(
        axis=-1
    )
    assert np.allclose(fields.noise_nearest.values[0], distance, atol=0.01)


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_after_warmup_a_step_compiles_nothing_more(town, learnt, night):
    from analytics.kernels import buckets, canyon, density, levels, light, noise, tiles

    warmup.compile_kernels()
    loops = [
        loop for module in (buckets, canyon, density, levels, light, noise, tiles) for loop in vars(module).values()
        if hasattr(loop, "signatures")
    ]  # fmt: skip
    before = [len(loop.signatures) for loop in loops]
    fields_at(town, learnt, night, STEP)
    assert [len(loop.signatures) for loop in loops] == before
