from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import geopandas
import msgspec
import numpy as np
import pandas as pd
import pytest

from analytics import light_surveys
from analytics.covariance import Matern
from analytics.fields import fields_at
from analytics.grid import Grid
from analytics.knowledge import learn_from
from analytics.layers import Layers, Stack, road_map, road_share
from analytics.light import illuminance_at
from analytics.sky import sky_lux
from analytics.surroundings import ORIGINS, Surroundings, surroundings
from sensors.city import City, CitySettings, GridSettings, write_settings
from sensors.city_layer import LayerTerms, save_layer
from sensors.journal import Entry, add_entry
from sensors.light_survey import SURVEY_COLUMNS, Terms, save_survey
from sensors.lux_drive import read_lux_drive
from sensors.places import PLACES, empty_place, save_place
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records
from tests.shared_data import shared_data
from tests.synthetic_city import CRS, SOUTH, WEST, make_city

STEP = np.datetime64("2026-11-20T20:00", "ms")  # 22:00 in Helsinki
ZONE = "Europe/Helsinki"
NOTHING = np.zeros((32, 32), np.float32)
TERMS = Terms(
    survey="drive", plane="horizontal", height_m=1.5, sd=0.1, gain_sd=0.05, crs=CRS, cell_m=10.0, first="2026-11-20",
    last="2026-11-20",
)  # fmt: skip


@pytest.fixture
def city(tmp_path) -> City:
    return make_city(tmp_path / "town", simulated=False)


def drive(lux, at=None, time=STEP, at_least=False) -> pd.DataFrame:
    """Lux along the middle street, or at given cells."""
    if at is None:
        at = [(155.0 + 0 * east, east) for east in np.arange(5.0, 320.0, 10.0)]
    north, east = (np.array(side) for side in zip(*at, strict=True))
    return pd.DataFrame(
        {
            "easting": WEST + east, "northing": SOUTH + north, "time": time, "lux": lux, "readings": 4, "spread": 0.1,
            "at_least": at_least,
        }
    ).astype(SURVEY_COLUMNS)  # fmt: skip


def expected_on(around: Surroundings, factor: float, time=STEP, height=1.5) -> pd.DataFrame:
    """A drive that finds `factor` times what the lamps' model says, in every cell of the streets outdoors."""
    row, column = np.nonzero(around.street & ~around.indoor)
    at = [(10.0 * r + 5, 10.0 * c + 5) for r, c in zip(row, column, strict=True)]
    table = drive(1.0, at, time)
    terms = msgspec.structs.replace(TERMS, height_m=height)
    seen = light_surveys.departures(around, terms, table)
    assert seen.y.size == len(table)
    model = (1.0 + 0.05) / np.exp(seen.y)
    return table.assign(lux=(factor * model - 0.05).astype(np.float32))


def mapped(around: Surroundings, records: Records | None = None, step=STEP):
    return fields_at(around, learn_from([], around), empty_records(0) if records is None else records, step)


def lit(fields, around: Surroundings) -> np.ndarray:
    return fields.illuminance.values[0][around.street & ~around.indoor]


# --- weighing ---------------------------------------------------------------------------------------------------------


def layer(value: float, sd: float, by: int = 0, **changes) -> Stack:
    one = Stack(
        value=np.full((1, 32, 32), value, np.float32), variance=np.full((1, 32, 32), sd * sd, np.float32),
        growth=np.zeros(1), night=np.array([20_777]), valid_from=np.array([-4_000_000]),
        valid_to=np.array([4_000_000]), by=np.array([by]),
    )  # fmt: skip
    return replace(one, **changes)


def test_layers_are_weighed_by_their_precision():
    sd = np.full((32, 32), 0.6, np.float32)
    held = layer(1.0, 0.6).joined(layer(0.2, 0.3, by=2)).weigh(STEP, ZONE, sd)
    total = 1 / 0.36 + 1 / 0.36 + 1 / 0.09
    assert held.shift[3, 3] == pytest.approx((1.0 / 0.36 + 0.2 / 0.09) / total, rel=1e-5)
    assert held.sd[3, 3] == pytest.approx(total**-0.5, rel=1e-5)
    parts = held.measured[3, 3], held.simulated[3, 3], held.rest[3, 3]
    assert parts == pytest.approx((1 / 0.36 / total, 1 / 0.09 / total, 1 / 0.36 / total), rel=1e-5)


def test_nothing_known_changes_nothing():
    sd = np.full((32, 32), 0.6, np.float32)
    assert Stack.empty().weigh(STEP, ZONE, sd).sd is sd
    unknown = layer(np.nan, 0.3, variance=np.full((1, 32, 32), np.inf, np.float32)).weigh(STEP, ZONE, sd)
    assert np.all(unknown.shift == 0) and unknown.sd == pytest.approx(sd)


def test_a_layer_counts_only_on_nights_it_is_true_of():
    sd = np.full((32, 32), 0.6, np.float32)
    night = int(np.datetime64("2026-11-20", "D").astype(int))
    for first, last, counts in ((night, night, True), (night + 1, night + 9, False), (night - 9, night - 1, False)):
        one = layer(1.0, 0.1, valid_from=np.array([first]), valid_to=np.array([last]))
        assert bool(one.weigh(STEP, ZONE, sd).shift[0, 0] > 0.5) is counts


def test_a_city_without_layers_has_the_bits_it_had(city):
    around = surroundings(city)
    assert not around.layers.any
    plain = mapped(around)
    again = mapped(replace(around, layers=Layers()))
    assert all(np.array_equal(plain[name].values, again[name].values) for name in plain)


# --- surveys of light -------------------------------------------------------------------------------------------------


def test_a_survey_that_agrees_with_the_model_moves_nothing_and_makes_it_surer(city):
    around = surroundings(city)
    before = mapped(around)
    save_survey(city, TERMS, expected_on(around, 1.0))
    after_around = surroundings(city)
    after = mapped(after_around)
    assert after_around.digest != around.digest
    assert lit(after, around) == pytest.approx(lit(before, around), rel=0.03)
    assert np.all(after.illuminance_sd.values[0][around.street] < before.illuminance_sd.values[0][around.street])


def test_a_survey_that_finds_twice_the_light_doubles_the_map_whatever_the_dimming(city):
    around = surroundings(city)
    save_survey(city, TERMS, expected_on(around, 2.0))
    surveyed = surroundings(city)
    for hours in (0, 2):  # the schedule dims to 0.7 at 23:00
        step = STEP + np.timedelta64(hours, "h")
        ratio = lit(mapped(surveyed, step=step), around) / lit(mapped(around, step=step), around)
        assert np.quantile(ratio, (0.1, 0.5, 0.9)) == pytest.approx([2.0] * 3, rel=0.08)


def test_a_survey_of_lamps_says_nothing_of_daylight(city):
    around = surroundings(city)
    save_survey(city, TERMS, expected_on(around, 4.0))
    surveyed = surroundings(city)
    for step, bright in (("2026-06-20T10:00", True), ("2026-06-20T22:15", False)):  # noon, and a white night
        moment = np.datetime64(step, "ms")
        plain, after = mapped(around, step=moment), mapped(surveyed, step=moment)
        added = lit(after, around) - lit(plain, around)
        assert np.all(added > -1e-3)
        assert np.all(added < 4.0 * lit(mapped(around), around))  # at most what the lamps had too little
        if bright:
            assert after.illuminance.values == pytest.approx(plain.illuminance.values, rel=0.01)
            assert after.illuminance_sd.values == pytest.approx(plain.illuminance_sd.values, rel=0.02)


def test_a_survey_of_dimmed_hours_is_compared_with_dimmed_lamps(city):
    around = surroundings(city)
    late = STEP + np.timedelta64(2, "h")
    save_survey(city, TERMS, expected_on(around, 2.0, time=late))
    ratio = lit(mapped(surroundings(city)), around) / lit(mapped(around), around)
    assert np.median(ratio) == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(
    ("plane", "seen_as", "height"), [("horizontal", "horizontal", 2.0), ("vertical", "cylindrical", 1.2)]
)
def test_a_survey_is_compared_in_its_own_plane_at_its_own_height(city, plane, seen_as, height):
    around = surroundings(city)
    terms = msgspec.structs.replace(TERMS, plane=plane, height_m=height)
    seen = light_surveys.departures(around, terms, drive(10.0))
    corner = 5.0 / np.sqrt(3.0)
    lamps = np.mean(
        [
            illuminance_at(around, seen.easting + e, seen.northing + n, plane=seen_as, height_m=height)
            for e in (-corner, corner)
            for n in (-corner, corner)
        ],
        axis=0,
    )
    sky = sky_lux(STEP, around.latitude, around.longitude) * (0.5 if plane == "vertical" else 1.0)
    assert np.exp(-seen.y) * 10.05 == pytest.approx(lamps + sky + 0.05, rel=1e-6)


def test_a_thousand_readings_do_not_make_a_survey_surer_than_its_instrument(city):
    around = surroundings(city)
    sds = {}
    for gain in (0.05, 0.4):
        terms = msgspec.structs.replace(TERMS, gain_sd=gain)
        seen = light_surveys.departures(around, terms, expected_on(around, 1.0).assign(readings=1_000))
        model_sd = np.full((32, 32), 0.9, np.float32)
        variance = light_surveys.learn(around, seen, gain, model_sd).variance[around.street & ~around.indoor]
        sds[gain] = float(np.sqrt(np.median(variance)))
    assert sds[0.4] > 0.3  # of which 0.4 / sqrt(1 + 0.16 / b^2) is what nobody can tell from the lamps' own error
    assert sds[0.05] < 0.2


def test_headlights_move_a_survey_little(city):
    around = surroundings(city)
    clean = expected_on(around, 1.0)
    glare = clean.copy()
    hit = np.random.default_rng(0).choice(len(clean), len(clean) // 20, replace=False)
    glare.loc[hit, "lux"] *= 30
    means = []
    for table in (clean, glare):
        seen = light_surveys.departures(around, TERMS, table)
        learnt = light_surveys.learn(around, seen, 0.05, np.full((32, 32), 0.9, np.float32))
        means.append(learnt.mean[around.street & ~around.indoor])
    assert np.median(np.abs(means[1] - means[0])) < 0.12


def test_at_least_raises_where_less_is_expected_and_else_says_nothing(city):
    around = surroundings(city)
    clean = expected_on(around, 1.0)
    every = np.arange(len(clean)) % 3 == 0
    means = {}
    for name, factor in (("below", 0.3), ("above", 6.0)):
        table = clean.copy()
        table.loc[every, "lux"] *= factor
        table["at_least"] = every
        seen = light_surveys.departures(around, TERMS, table)
        means[name] = light_surveys.learn(around, seen, 0.05, np.full((32, 32), 0.9, np.float32)).mean
    open_ground = around.street & ~around.indoor
    others = light_surveys.departures(around, TERMS, clean[~every])
    alone = light_surveys.learn(around, others, 0.05, np.full((32, 32), 0.9, np.float32)).mean
    assert means["below"] == pytest.approx(alone, abs=1e-6)
    assert np.mean(means["above"][open_ground]) > np.mean(alone[open_ground]) + 0.1


def test_light_that_is_on_no_map_is_found_and_blames_no_lamp(city):
    around = surroundings(city)
    table = expected_on(around, 1.0)
    unlit = drive(6.0, at=[(215.0, 205.0), (215.0, 215.0)])  # the middle of the park
    seen = light_surveys.departures(around, TERMS, pd.concat([table, unlit], ignore_index=True))
    assert seen.lamps[-2:] == pytest.approx([0.45, 0.45], abs=0.02) and not seen.lit[-2:].any()
    model_sd = np.full((32, 32), 0.9, np.float32)
    both = light_surveys.learn(around, seen, 0.05, model_sd)
    streets = light_surveys.learn(around, seen.only(seen.lit), 0.05, model_sd)
    assert both.structure == streets.structure and both.shared == pytest.approx(streets.shared, abs=1e-6)
    assert np.exp(both.mean[21, 20]) > 3 * np.exp(streets.mean[21, 20])
    assert np.abs(both.mean - streets.mean)[around.street & ~around.indoor].max() < 0.05


def test_an_old_survey_says_less(city):
    around = surroundings(city)
    save_survey(city, TERMS, expected_on(around, 2.0))
    fresh = surroundings(city)
    aged = replace(fresh.layers.illuminance, night=fresh.layers.illuminance.night - 8 * 365)
    old = replace(fresh, layers=replace(fresh.layers, illuminance=aged))
    now, then = mapped(fresh), mapped(old)
    assert np.all(then.illuminance_sd.values[0][around.street] > now.illuminance_sd.values[0][around.street])
    assert np.median(lit(then, around)) < np.median(lit(now, around))
    assert np.median(lit(then, around)) > np.median(lit(mapped(around), around))


def test_a_survey_says_nothing_of_lamps_that_came_after_it(city):
    around = surroundings(city)
    table = expected_on(around, 2.0)
    lamps = city.places("lamps").copy()
    lamps["installed"] = "2027-03-01"
    save_place(city.path, "lamps", lamps)
    save_survey(city, TERMS, table)
    later = surroundings(City.open(city.path))
    assert later.layers.illuminance.size == 0


def test_works_in_the_journal_make_a_survey_of_before_say_nothing_there(city):
    around = surroundings(city)
    save_survey(city, TERMS, expected_on(around, 2.0))
    east = [lamp for lamp, x in zip(around.lamps.lamp, around.lamps.easting, strict=True) if x > WEST + 160]
    add_entry(
        city,
        Entry("", "measure", "New lanterns", "2027-01-10T10:00:00+02:00", lamps=";".join(east), status="done"),
    )
    changes = light_surveys._changes(city, around)
    seen = light_surveys.departures(around, TERMS, expected_on(around, 2.0), changes)
    assert 0 < seen.y.size < len(expected_on(around, 2.0))
    assert seen.easting.max() < WEST + 200


def test_a_survey_is_measured_and_no_live_sensor(city):
    around = surroundings(city)
    save_survey(city, TERMS, expected_on(around, 1.0))
    fields = mapped(surroundings(city))
    open_ground = around.street & ~around.indoor
    assert np.all(np.isinf(fields.illuminance_nearest))
    assert np.all(fields.illuminance_origin.values[0][open_ground] & 1)
    assert np.all(fields.illuminance_measured.values[0][open_ground] >= 50)
    assert np.all(fields.illuminance_simulated == 0)


def test_a_simulated_survey_says_so_wherever_it_reaches(tmp_path):
    town = make_city(tmp_path / "town", simulated=True)
    around = surroundings(town)
    save_survey(town, msgspec.structs.replace(TERMS, origin="simulated"), expected_on(around, 1.0))
    fields = mapped(surroundings(town))
    open_ground = around.street & ~around.indoor
    assert np.all(fields.illuminance_origin.values[0][open_ground] & 4)
    assert np.all(fields.illuminance_measured.values[0][open_ground] == 0)


def test_a_live_sensor_still_draws_a_surveyed_map(city):
    around = surroundings(city)
    save_survey(city, TERMS, expected_on(around, 1.0))
    surveyed = surroundings(city)
    row = surveyed.sites.of("illuminance")[0]
    records = empty_records(1)
    records["time"] = records["received"] = STEP + np.timedelta64(10, "m")
    records["site"], records["quantity"] = surveyed.sites.site[row], QUANTITIES["illuminance"].code
    cell = {"time": 0, "northing": surveyed.sites.row[row], "easting": surveyed.sites.column[row]}
    quiet = float(mapped(surveyed).illuminance[cell])
    records["value"], records["duration_s"] = 3 * quiet, 900
    heard = mapped(surveyed, records)
    assert quiet < float(heard.illuminance[cell]) < 3 * quiet
    assert float(heard.illuminance_nearest[cell]) < 10.0


def test_what_a_sensor_taught_and_a_survey_found_is_not_counted_twice(city):
    around = surroundings(city)
    row = around.sites.of("illuminance")[0]
    site, cell = around.sites.site[row], (0, around.sites.row[row], around.sites.column[row])
    plain = mapped(around).illuminance.values[cell]

    def twice(step: np.datetime64) -> Records:
        records = empty_records(1)
        records["time"] = records["received"] = step + np.timedelta64(10, "m")
        records["site"], records["quantity"] = site, QUANTITIES["illuminance"].code
        records["value"], records["duration_s"] = 2 * plain, 900
        return records

    nights = [twice(STEP - np.timedelta64(24 * days, "h")) for days in range(1, 9)]
    taught = learn_from(nights, around)
    save_survey(city, TERMS, expected_on(around, 2.0))
    surveyed = surroundings(city)
    silent = [fields_at(one, taught, empty_records(0), STEP).illuminance.values[cell] for one in (around, surveyed)]
    assert silent == pytest.approx([2 * plain] * 2, rel=0.2)
    live = fields_at(surveyed, taught, twice(STEP), STEP).illuminance.values[cell]
    assert live == pytest.approx(2 * plain, rel=0.15)


@pytest.mark.parametrize("rows", [[0], [0, 1, 2]])
def test_a_survey_of_a_few_cells_or_of_bounds_alone_is_laid_out(city, rows):
    around = surroundings(city)
    few = expected_on(around, 2.0).iloc[rows]
    for at_least in (False, True):
        seen = light_surveys.departures(around, TERMS, few.assign(at_least=at_least))
        learnt = light_surveys.learn(around, seen, 0.05, *light_surveys.lamps_model(around))
        assert np.isfinite(learnt.mean).all() and np.all(learnt.variance > 0)
    outside = few.assign(easting=WEST - 500)
    assert light_surveys.departures(around, TERMS, outside).y.size == 0


def town_of(generator: np.random.Generator, gain: float) -> tuple[light_surveys.Departed, np.ndarray]:
    """Departures along streets every 125 m of a town of 750 m, drawn from the stated structure, and the truth."""
    along, across = np.arange(5.0, 750.0, 10.0), np.arange(65.0, 750.0, 125.0)
    east = np.concatenate([np.tile(along, across.size), np.repeat(across, along.size)])
    north = np.concatenate([np.repeat(across, along.size), np.tile(along, across.size)])
    east, north = np.unique(np.stack([east, north]), axis=1)
    distance = np.hypot(east[:, None] - east, north[:, None] - north)
    s = 0.8
    covariance = s * s * (Matern(1.5, 150.0, 0.7)(distance) + Matern(1.5, 15.0, 0.4)(distance))
    field = np.linalg.cholesky(covariance + 1e-6 * np.eye(east.size)) @ generator.standard_normal(east.size)
    truth = field + np.sqrt(light_surveys.SHARED) * s * generator.standard_normal()
    noise = 0.35 * generator.standard_normal(east.size)
    n = east.size
    y = truth + gain * generator.standard_normal() + noise
    return (
        light_surveys.Departed(east, north, y, np.full(n, s), np.full(n, 0.04), np.zeros(n, bool), np.ones(n)),
        truth,
    )


def test_blocks_left_out_are_predicted_better_and_their_interval_is_true():
    grid = SimpleNamespace(grid=Grid(10.0, 0.0, 0.0, (75, 75)))
    model_sd = np.full((75, 75), 0.8, np.float32)
    covered, without, with_ = [], [], []
    for seed in range(10):
        gain = 0.25
        seen, truth = town_of(np.random.default_rng(seed), gain)
        out = (seen.easting // 125 + seen.northing // 125) % 3 == seed % 3
        learnt = light_surveys.learn(grid, seen.only(~out), gain, model_sd)
        row, column, _ = grid.grid.cells(seen.easting[out], seen.northing[out])
        error = truth[out] - learnt.mean[row, column]
        covered.append(np.mean(np.abs(error) < 1.645 * np.sqrt(learnt.variance[row, column])))
        without.append(np.median(np.abs(truth[out])))
        with_.append(np.median(np.abs(error)))
    assert np.mean(with_) < 0.8 * np.mean(without)
    assert 0.85 <= np.mean(covered) <= 0.95


def test_an_image_of_every_cell_tells_quarters_apart_and_is_no_surer_than_its_calibration():
    side = 150
    grid = SimpleNamespace(grid=Grid(10.0, 0.0, 0.0, (side, side)))
    north, east = (10.0 * cell.ravel() + 5 for cell in np.indices((side, side)))
    n, generator = north.size, np.random.default_rng(0)
    truth = np.where(east < 750, 0.2, 1.0)
    seen = light_surveys.Departed(
        east, north, truth + 0.6 * generator.standard_normal(n), np.full(n, 0.8), np.full(n, 0.36),
        np.zeros(n, bool), np.ones(n),
    )  # fmt: skip
    learnt = light_surveys.learn(grid, seen, 0.4, np.full((side, side), 0.8, np.float32))
    dim, bright = learnt.mean[:, :60].mean(), learnt.mean[:, 90:].mean()
    assert bright - dim == pytest.approx(0.8, abs=0.15)
    assert np.sqrt(learnt.variance).min() > 0.25


# --- rasters that a city already owns ---------------------------------------------------------------------------------


def held_layer(city: City, field: str, value: np.ndarray, sd: float, **changes) -> None:
    grid = city.settings.grid
    units = {"noise": "dB", "illuminance": "lx", "footfall": "persons/h"}
    terms = LayerTerms(
        layer=field, field=field, kind="modelled", unit=units[field], sd=sd, use="background", crs=city.crs,
        west=grid.west, south=grid.south, cell_m=grid.cell_m,
    )  # fmt: skip
    both = np.stack([value, np.full_like(value, sd)]).astype(np.float32)
    save_layer(city, msgspec.structs.replace(terms, **changes), both)


@pytest.mark.parametrize(
    ("field", "value", "sure", "changes"),
    [("illuminance", 3.0, 0.05, {}), ("noise", 62.0, 0.5, {"indicator": "laeq"}), ("footfall", 90.0, 0.05, {})],
)
def test_a_sure_layer_is_the_map_and_a_vague_one_is_not(city, field, value, sure, changes):
    around = surroundings(city)
    before = mapped(around)
    wide = {"illuminance": 3.0, "noise": 20.0, "footfall": 3.0}[field]
    held_layer(city, field, np.full((32, 32), value), wide, **changes)
    vague = mapped(surroundings(city))
    (city.path / "places" / "layers" / f"{field}.json").unlink()
    held_layer(city, field, np.full((32, 32), value), sure, **changes)
    after = mapped(surroundings(city))
    open_ground = around.street & ~around.indoor
    now = after[field].values[0][open_ground]
    log = (lambda a: a) if field == "noise" else np.log
    if field != "footfall":  # whose hour has its own share of the mean
        assert log(now) == pytest.approx(np.full(now.size, log(value)), abs=0.5 if field == "noise" else 0.1)
    towards = np.abs(log(vague[field].values[0][open_ground]) - log(before[field].values[0][open_ground]))
    whole = np.abs(log(now) - log(before[field].values[0][open_ground]))
    assert np.all(towards <= 0.15 * whole + 0.02)
    assert np.all(after[f"{field}_sd"].values <= before[f"{field}_sd"].values + 1e-6)
    assert np.all(after[f"{field}_measured"] == 0)  # modelled by somebody is modelled


def test_a_map_of_flows_is_the_mean_over_its_hours(city):
    held_layer(city, "footfall", np.full((32, 32), 90.0), 0.05)
    around = surroundings(city)
    learnt = learn_from([], around)
    week = [
        float(fields_at(around, learnt, empty_records(0), np.datetime64("2026-11-16T10:22:30") + np.timedelta64(h, "h"))
              .footfall.values[0][around.street & ~around.indoor].mean())
        for h in range(0, 168, 3)
    ]  # fmt: skip
    assert np.mean(week) == pytest.approx(90.0, rel=0.12)


def test_an_overlay_changes_no_map(city):
    around = surroundings(city)
    held_layer(city, "noise", np.full((32, 32), 80.0), 1.0, indicator="lden", use="overlay")
    assert surroundings(city).digest == around.digest


def test_a_map_of_road_noise_becomes_the_roads_of_the_model(city):
    around = surroundings(city)
    level = np.full((32, 32), 66.0, np.float32)
    level[:, :10] = np.nan
    energy, left = road_map(
        around.traffic, level, np.full((32, 32), 0.5, np.float32), "lden", np.empty((0, 0), np.float32)
    )
    lden = 10 * np.log10(energy * road_share("lden"))
    assert lden[:, 10:] == pytest.approx(66.0, abs=0.35)
    assert np.array_equal(energy[:, :10], around.traffic[:, :10])
    assert np.isnan(left[:, :10]).all() and np.all(left[:, 10:] < 2.2)


def test_lden_of_an_even_day_is_six_decibels_and_a_half_above_its_level():
    # Directive 2002/49/EC: 12 h, 4 h + 5 dB, 8 h + 10 dB of the same level
    even = 10 * np.log10((12 + 4 * 10**0.5 + 8 * 10) / 24)
    assert even == pytest.approx(6.4, abs=0.05)
    assert 10 * np.log10(road_share("lden") / (1 / 24)) < even  # roads are quieter by night
    assert road_share("lnight") < 1 / 24 < road_share("lden")


def test_a_measured_layer_is_measured_and_shares_add_up(city):
    held_layer(city, "illuminance", np.full((32, 32), 3.0), 0.2, kind="measured")
    fields = mapped(surroundings(city))
    assert np.all(fields.illuminance_measured >= 80) and np.all(fields.illuminance_origin & 1)
    for field in ("illuminance", "noise", "footfall"):
        total = fields[f"{field}_measured"].values.astype(int) + fields[f"{field}_simulated"].values
        assert np.all(total <= 100)


# --- shares of sensors ------------------------------------------------------------------------------------------------


def a_step(around: Surroundings) -> Records:
    parts = []
    for quantity, value in (("people_flow", 40.0), ("sound_laeq", 58.0), ("illuminance", 8.0)):
        rows = around.sites.of(quantity)
        part = empty_records(rows.size)
        part["time"] = part["received"] = STEP + np.timedelta64(15, "m")
        part["site"], part["quantity"] = around.sites.site[rows], QUANTITIES[quantity].code
        part["value"], part["duration_s"] = value, 900.0
        parts.append(part)
    return np.concatenate(parts)


def with_origin(around: Surroundings, origin: np.ndarray) -> Surroundings:
    return replace(around, sites=replace(around.sites, origin=origin.astype(np.uint8)))


def test_sensors_share_what_they_take_away(city):
    around = surroundings(city)
    fields = mapped(around, a_step(around))
    for field in ("illuminance", "noise", "footfall"):
        measured = fields[f"{field}_measured"].values[0]
        nearest = fields[f"{field}_nearest"].values[0]
        assert measured[nearest < 10].min() > measured[nearest > 120].max(initial=0)
        assert np.all(fields[f"{field}_simulated"] == 0)


def test_what_simulated_sensors_say_is_simulated_and_real_ones_first(city):
    around = surroundings(city)
    real = mapped(around, a_step(around))
    simulated = np.full(around.sites.site.size, ORIGINS.index("simulated"))
    all_simulated = mapped(with_origin(around, simulated), a_step(around))
    assert np.all(all_simulated.noise_measured == 0)
    assert np.all(all_simulated.illuminance_simulated.values >= real.illuminance_measured.values)
    mixed = around.sites.origin.copy().astype(int)
    lux = around.sites.of("illuminance")
    mixed[lux[0]] = ORIGINS.index("simulated")
    half = mapped(with_origin(around, mixed), a_step(around))
    both = half.illuminance_measured.values.astype(int) + half.illuminance_simulated.values
    assert np.abs(both - real.illuminance_measured.values).max() <= 1
    cell = (0, around.sites.row[lux[0]], around.sites.column[lux[0]])
    assert half.illuminance_simulated.values[cell] > half.illuminance_measured.values[cell]


# --- the drives of Cambridge ------------------------------------------------------------------------------------------


def cambridge(path: Path) -> tuple[City, Terms, pd.DataFrame]:
    """The poles of Cambridge as lamps of which nothing is known but a height, and the two drives as one survey."""
    poles = pd.read_csv(shared_data("cambridge-ma/light_poles.csv.gz"))
    crs = "EPSG:26919"
    points = geopandas.GeoSeries(geopandas.points_from_xy(poles.lon, poles.lat), crs=4326).to_crs(crs)
    box = [float(edge) for edge in np.round(points.total_bounds / 100) * 100]
    grid = GridSettings(west=box[0] - 100, south=box[1] - 100, east=box[2] + 100, north=box[3] + 100)
    write_settings(path, CitySettings(format=1, id="c", name="Cambridge", zone="America/New_York", crs=crs, grid=grid))
    for name in PLACES:
        frame = empty_place(name, crs)
        if name == "lamps":
            ids = [f"pole-{i}" for i in range(len(poles))]
            texts = {column: [""] * len(poles) for column in ("cabinet", "circuit", "luminaire", "installed")}
            numbers = {column: np.full(len(poles), np.nan) for column in ("lumens", "watts", "mf", "cct_k")}
            columns = {
                "lamp": ids, "asset_id": ids, "switchable_unit": ids, "height_m": 9.0, "source": "assumed", **texts,
                **numbers,
            }  # fmt: skip
            frame = geopandas.GeoDataFrame(columns, geometry=points.to_numpy(), crs=crs)
        save_place(path, name, frame)
    city = City.open(path)
    terms = Terms(survey="drives", plane="horizontal", height_m=1.5, sd=0.2, gain_sd=0.15)
    drives = shared_data("cambridge-ma/lux_drive_logs.csv.gz")
    terms, cells, _ = read_lux_drive(drives, city, terms, when="2014-07-15")
    return city, terms, cells


def test_blocks_of_cambridge_left_out_are_predicted_better_and_their_interval_is_true(tmp_path):
    city, terms, cells = cambridge(tmp_path)
    around = surroundings(city)
    seen = light_surveys.departures(around, terms, cells)
    model_sd, from_lamps = light_surveys.lamps_model(around)
    row, column, _ = around.grid.cells(seen.easting, seen.northing)
    block = (seen.easting // 250).astype(int) * 100_000 + (seen.northing // 250).astype(int)
    fold = np.random.default_rng(0).permutation(np.unique(block).size)[np.unique(block, return_inverse=True)[1]] % 5
    error, sd = np.empty(seen.y.size), np.empty(seen.y.size)
    for k in range(5):
        out = fold == k
        learnt = light_surveys.learn(around, seen.only(~out), terms.gain_sd, model_sd, from_lamps)
        error[out] = seen.y[out] - learnt.mean[row[out], column[out]]
        own = seen.own[out] + learnt.structure.spot  # of the cells that are predicted: they were measured too
        sd[out] = np.sqrt(learnt.variance[row[out], column[out]] + own)
    without = np.median(np.abs(seen.y)) / np.log(10)
    assert np.median(np.abs(error)) / np.log(10) < 0.85 * without
    assert 0.85 <= np.mean(np.abs(error) < 1.645 * sd) <= 0.95
