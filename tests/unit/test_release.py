from __future__ import annotations

import dataclasses
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from analytics.grid import Grid
from analytics.release import (
    Support,
    coarsen,
    effective_people,
    exceedance,
    public,
    release,
    round_mantissa,
    settled,
)
from analytics.views import HATCHED, SHOWN
from sensors.errors import ModelError
from tests.synthetic_city import SIDE, SOUTH, WEST, make_city

GRID = Grid(10.0, WEST, SOUTH, (32, 32))
OUTDOORS = np.zeros(GRID.shape, bool)


def answered(places, pseudonyms=None, weight=None, **columns):
    """An answer table with one row a place (offsets from the corner of the town)."""
    places = np.asarray(places, float).reshape(-1, 2)
    n = len(places)
    return pd.DataFrame(
        {
            "easting": WEST + places[:, 0],
            "northing": SOUTH + places[:, 1],
            "pseudonym": [f"p{i}" for i in range(n)] if pseudonyms is None else list(pseudonyms),
            "weight": np.ones(n, np.float32) if weight is None else np.asarray(weight, np.float32),
            "category": np.tile([1, 2, 3, 4], n)[:n],
            "gender": "woman",
        }
        | columns
    )


@st.composite
def surveys(draw):
    """Random survey sets: clustered places, people who answer often, unequal weights, groups."""
    n = draw(st.integers(0, 160))
    seed = draw(st.integers(0, 2**31))
    generator = np.random.default_rng(seed)
    centres = generator.uniform(0, SIDE, (draw(st.integers(1, 6)), 2))
    spread = draw(st.sampled_from([5.0, 40.0, 120.0]))
    places = centres[generator.integers(0, len(centres), n)] + generator.normal(0, spread, (n, 2))
    people = generator.integers(0, draw(st.integers(1, 120)), n)
    weight = generator.choice([0.2, 1.0, 1.0, 8.0], n)
    gender = generator.choice(["woman", "man", "another"], n, p=[0.5, 0.4, 0.1])
    return answered(np.clip(places, 0, SIDE - 1), [f"p{i}" for i in people], weight, gender=gender)


@settings(max_examples=20, deadline=None)
@given(surveys())
def test_a_supported_cell_lies_in_a_nested_cell_with_ten_people_and_no_smaller_one_has_them(answers):
    support = Support.of(answers, GRID, OUTDOORS)
    for row in range(support.size_m.shape[0]):
        for column in range(support.size_m.shape[1]):
            east, north = support.west + 50 * column + 25, support.south + 50 * row + 25
            enough = []
            for side in (50.0, 100.0, 200.0, 400.0):
                inside = (np.floor(answers["easting"] / side) == np.floor(east / side)) & (
                    np.floor(answers["northing"] / side) == np.floor(north / side)
                )
                weight = answers[inside].groupby("pseudonym")["weight"].sum().to_numpy(float)
                if weight.size >= 10 and weight.max() <= 0.3 * weight.sum() * (1 + 1e-9):
                    enough.append(side)
            assert support.size_m[row, column] == (min(enough) if enough else 0)


def test_nine_people_who_answer_often_are_still_nine():
    places = np.tile([[25.0, 25.0]], (90, 1))
    nine = answered(places, [f"p{i % 9}" for i in range(90)])
    assert not Support.of(nine, GRID, OUTDOORS).size_m.any()
    ten = answered(places, [f"p{i % 10}" for i in range(90)])
    assert Support.of(ten, GRID, OUTDOORS).size_m.any()


def test_one_loud_voice_takes_the_support_away():
    places = np.tile([[25.0, 25.0]], (12, 1))
    weight = np.ones(12)
    weight[0] = 5.0  # 31 % of 16
    assert not Support.of(answered(places, weight=weight), GRID, OUTDOORS).size_m.any()
    weight[0] = 4.0
    assert Support.of(answered(places, weight=weight), GRID, OUTDOORS).size_m.any()


def test_answers_without_a_pseudonym_count_as_one_person():
    alone = answered(np.tile([[25.0, 25.0]], (40, 1)), [""] * 40)
    assert not Support.of(alone, GRID, OUTDOORS).size_m.any()


def fused(city, safety=0.62, evidence=0.8, time="2026-11-20T20:00"):
    generator = np.random.default_rng(3)
    data = GRID.dataset().expand_dims(time=np.array([time], "datetime64[ms]"))
    shape = (1, *GRID.shape)
    named = {
        "illuminance": ("lx", generator.lognormal(1, 1, shape)),
        "noise": ("dB", generator.normal(55, 4, shape)),
        "safety": ("1", np.full(shape, safety) + generator.normal(0, 0.05, shape)),
        "safety_sd": ("1", np.full(shape, 0.08)),
        "safety_score": ("1", np.full(shape, 2.6)),
        "safety_evidence": ("1", np.full(shape, evidence)),
        "goes_light": ("probit", generator.normal(0, 0.2, shape)),
    }
    for name, (unit, values) in named.items():
        data[name] = (("time", "northing", "easting"), values.astype(np.float32), {"units": unit})
    data["noise_origin"] = (("time", "northing", "easting"), np.full(shape, 2, np.uint8))
    return data


def test_released_safety_is_a_whole_number_the_same_over_fifty_metres(tmp_path):
    city = make_city(tmp_path)
    everywhere = np.random.default_rng(0).uniform(0, SIDE, (3000, 2))
    out = release(fused(city), Support.of(answered(everywhere), GRID, OUTDOORS), city)
    safety = out["safety"].to_numpy()[0]
    assert np.array_equal(safety, np.rint(safety)) and 50 < safety.mean() < 75
    for row, column in ((0, 0), (10, 15), (25, 30)):
        block = safety[row // 5 * 5 : row // 5 * 5 + 5, column // 5 * 5 : column // 5 * 5 + 5]
        assert len(np.unique(block)) == 1


def test_nothing_is_said_inside_buildings_without_support_or_without_evidence(tmp_path):
    city = make_city(tmp_path)
    indoor = OUTDOORS.copy()
    indoor[10:15, 10:15] = True
    west_half = np.random.default_rng(0).uniform(0, [SIDE / 2 - 20, SIDE], (2000, 2))
    support = Support.of(answered(west_half), GRID, indoor)
    out = release(fused(city), support, city)
    hatched = np.isnan(out["safety"].to_numpy()[0])
    assert hatched[indoor].all()
    no_support = support.on(GRID.northing, GRID.easting) == 0
    assert hatched[no_support].all()
    assert not hatched[~no_support & ~indoor].any()
    for name in ("safety_sd", "safety_score", "goes_light"):
        assert np.array_equal(np.isnan(out[name].to_numpy()[0]), hatched)
    assert np.isfinite(out["illuminance"].to_numpy()).all()  # the fields are not about anyone
    unsure = release(fused(city, evidence=0.2), support, city)
    assert np.isnan(unsure["safety"].to_numpy()).all()


def test_a_house_does_not_lend_its_value_to_the_street(tmp_path):
    city = make_city(tmp_path)
    indoor = OUTDOORS.copy()
    indoor[0:5, 0:2] = True
    fields = fused(city)
    fields["safety"].to_numpy()[0, 0:5, 0:2] = 0.0
    support = Support.of(answered(np.tile([[25.0, 25.0]], (20, 1))), GRID, indoor)
    assert release(fields, support, city)["safety"].to_numpy()[0, 2, 3] > 50


def test_a_model_of_another_grid_is_refused(tmp_path):
    city = make_city(tmp_path)
    elsewhere = Support.of(answered([]), Grid(10.0, WEST + 5000, SOUTH, (32, 32)), OUTDOORS)
    with pytest.raises(ModelError, match="another grid"):
        release(fused(city), elsewhere, city)


def released(city, time):
    everywhere = answered(np.random.default_rng(0).uniform(0, SIDE, (3000, 2)))
    return release(fused(city, time=time), Support.of(everywhere, GRID, OUTDOORS), city)


def test_the_public_sees_a_step_only_a_day_after_its_end(tmp_path):
    city = make_city(tmp_path)
    page = released(city, "2026-11-20T20:00")
    assert public(page, np.datetime64("2026-11-21T20:14", "ms"), city).sizes["time"] == 0
    assert public(page, np.datetime64("2026-11-21T20:15", "ms"), city).sizes["time"] == 1


def test_the_public_level_has_cells_of_two_hundred_metres_with_edges_on_their_multiples(tmp_path):
    city = make_city(tmp_path)
    out = coarsen(released(city, "2026-11-20T20:00"), city)
    assert np.diff(out.easting).tolist() == [200.0]
    assert (out.easting.to_numpy() % 200).tolist() == [100.0, 100.0]
    assert out.sizes["northing"] == 2 and out["noise_origin"].dtype == np.uint8
    safety = out["safety"].to_numpy()
    assert np.array_equal(safety, np.rint(safety))
    assert "safety_support" not in out


def test_public_noise_is_averaged_as_energy(tmp_path):
    city = make_city(tmp_path)
    page = released(city, "2026-11-20T20:00")
    level = np.full((1, *GRID.shape), 50.0, np.float32)
    level[0, 20:, 20:] = 80.0
    page["noise"] = page["noise"].copy(data=level)
    mixed = coarsen(page, city)["noise"].to_numpy()[0]
    assert mixed[0, 0] == pytest.approx(50.0, abs=0.05)
    assert 70 < mixed[1, 1] <= 80  # an arithmetic mean would stay below 60


def test_fields_alone_are_released_without_answers(tmp_path):
    city = make_city(tmp_path)
    fields = fused(city)[["illuminance", "noise"]]
    out = release(fields, Support.of(answered([]), GRID, OUTDOORS), city)
    assert set(out) == {"illuminance", "noise"}


@given(st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False), st.integers(3, 20))
def test_rounding_a_mantissa_moves_by_at_most_half_its_last_bit(value, bits):
    array = np.array([value], np.float32)
    rounded = round_mantissa(array, bits)
    with np.errstate(over="ignore"):
        assert np.isinf(rounded[0]) or abs(float(rounded[0]) - value) <= abs(value) * 2.0 ** -(bits + 1) * (1 + 1e-6)
    assert np.array_equal(round_mantissa(rounded, bits), rounded)
    raw = int(rounded.view(np.uint32)[0])
    assert raw & ((1 << (23 - bits)) - 1) == 0


def test_rounding_leaves_what_is_not_known_and_what_is_whole():
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], np.float32)
    assert np.array_equal(round_mantissa(odd), odd, equal_nan=True)
    whole = np.array([1, 2, 3], np.uint8)
    assert round_mantissa(whole) is whole
    hundred = np.arange(101, dtype=np.float32)
    assert np.array_equal(round_mantissa(hundred), hundred)
    assert round_mantissa(np.array([np.pi]), 10)[0] == pytest.approx(np.pi, rel=2**-11)


def test_a_released_page_survives_the_round_trip_of_its_support(tmp_path):
    city = make_city(tmp_path)
    support = Support.of(answered(np.random.default_rng(0).uniform(0, SIDE, (500, 2))), GRID, OUTDOORS)
    again = Support.from_dict(support.to_dict())
    xr.testing.assert_identical(release(fused(city), support, city), release(fused(city), again, city))


@settings(max_examples=60, deadline=None)
@given(surveys(), st.integers(0, 2**31))
def test_the_models_of_two_days_differ_around_a_place_by_nobody_or_by_ten_people(answers, seed):
    nights = np.sort(np.random.default_rng(seed).integers(0, 12, len(answers)))
    answers = answers.assign(time=np.datetime64("2026-11-01T20:00", "ms") + nights * np.timedelta64(1, "D"))
    before = np.zeros(len(answers), bool)
    for night in range(12):
        known = nights <= night
        joined = np.zeros(len(answers), bool)
        joined[known] = settled(answers[known], ZoneInfo("Europe/Helsinki"))
        assert (joined | ~before).all()  # what was joined stays
        for _, new in answers[joined & ~before].groupby([np.floor(answers[c] / 400) for c in ("northing", "easting")]):
            assert new["pseudonym"].nunique() >= 10
        before = joined


def test_one_more_persons_answer_moves_no_support():
    answers = answered([[25.0, 25.0]] * 9 + [[160.0, 160.0]] * 12)
    answers["time"] = np.datetime64("2026-11-01T20:00", "ms")
    more = answered([[25.0, 25.0]], ["p99"]).assign(time=np.datetime64("2026-11-02T20:00", "ms"))
    zone = ZoneInfo("Europe/Helsinki")

    def support(table):
        return Support.of(table[settled(table, zone)], GRID, OUTDOORS).size_m

    np.testing.assert_array_equal(support(answers), support(pd.concat([answers, more], ignore_index=True)))


def test_a_layer_that_no_rule_is_written_for_stays_behind(tmp_path):
    city = make_city(tmp_path / "town")
    page = fused(city)
    page["safety_of_neighbours"] = page["safety_of_women"] = page["safety"].copy()
    page["goes_venues"] = page["goes_light"].copy()
    out = release(page, everywhere(), city)
    assert "safety_of_neighbours" not in out and "goes_venues" not in out
    assert np.isnan(out["safety_of_women"].to_numpy()).all()  # nobody counted how many women answered
    assert {"safety", "goes_light", "illuminance", "noise_origin"} <= set(out.data_vars)


def test_what_goes_with_it_and_its_error_are_hidden_wherever_the_value_is(tmp_path):
    city = make_city(tmp_path / "town")
    support = everywhere()
    support.size_m[:3] = 0
    out = release(fused(city), support, city)
    hidden = np.isnan(out["safety"].to_numpy())
    assert hidden.any() and not hidden.all()
    for name in ("safety_sd", "safety_score", "goes_light"):
        np.testing.assert_array_equal(np.isnan(out[name].to_numpy()), hidden)


def test_evidence_does_not_tell_where_in_its_support_somebody_answered(tmp_path):
    city = make_city(tmp_path / "town")
    page = fused(city, evidence=0.6)
    page["safety_evidence"][0, 2, 2] += 0.3  # one person's answer at one place
    support = everywhere()
    support.size_m[:] = 200
    support.size_m[:, 4:] = 0
    told = release(page, support, city)["safety_evidence"].to_numpy()[0]
    assert np.isnan(told[support.on(GRID.northing, GRID.easting) == 0]).all()
    for value in np.unique(told[np.isfinite(told)]):
        assert np.isclose(value, round(value * 20) / 20, atol=1e-3)
    block = support.on(GRID.northing, GRID.easting) > 0
    rows, columns = np.floor(GRID.northing / 200), np.floor(GRID.easting / 200)
    same = block & (rows == rows[2])[:, None] & (columns == columns[2])[None]
    assert same.sum() > 25 and np.unique(told[same]).size == 1


def everywhere() -> Support:
    """A town in which enough people answered in every cell."""
    support = Support.of(answered([]), GRID, OUTDOORS)
    support.size_m[:] = 50
    return support


def test_a_cell_says_by_which_rule_it_is_hatched(tmp_path):
    city = make_city(tmp_path / "town")
    support = dataclasses.replace(everywhere(), effective_n=np.full_like(everywhere().size_m, 40, np.float32))

    def reasons(page, support=support):
        out = release(page, support, city)
        assert (np.isfinite(out["safety"].to_numpy()) == (out["safety_hatched"].to_numpy() == SHOWN)).all()
        return set(np.unique(out["safety_hatched"].to_numpy()).tolist())

    assert reasons(fused(city)) == {SHOWN}
    assert reasons(fused(city, evidence=0.1)) == {HATCHED["too_little_evidence"]}
    old = dataclasses.replace(support, effective_n=np.full_like(support.size_m, 9.9, np.float32))
    assert reasons(fused(city), old) == {HATCHED["answers_too_old"]}
    nobody = dataclasses.replace(support, size_m=np.zeros_like(support.size_m))
    assert reasons(fused(city), nobody) == {HATCHED["too_few_people"]}
    beyond = fused(city).assign(safety_beyond=lambda page: page["safety"] * 0 + 1)
    assert reasons(beyond) == {HATCHED["unlike_any_answer"]}
    assert "safety_beyond" not in release(beyond, support, city)


def test_the_probability_that_more_than_half_feel_safe_is_that_of_the_latent_scale():
    """For one class of people exactly what perception.md says of m and v."""
    m, v, person = 0.4, 0.09, 0.3
    scale = np.sqrt(1 + v + person)
    share, sd = norm.cdf(m / scale), norm.pdf(m / scale) * np.sqrt(v) / scale
    assert exceedance(np.array([share]), np.array([sd])) == pytest.approx(norm.cdf(m / np.sqrt(v)), rel=1e-6)
    assert exceedance(np.array([0.5]), np.array([0.1]))[0] == pytest.approx(0.5)
    assert np.isnan(exceedance(np.array([np.nan]), np.array([0.1]))[0])
    assert exceedance(np.array([0.9]), np.array([0.0]))[0] == 1.0


def test_people_around_count_once_each_and_less_with_age():
    here = [[125.0, 125.0]] * 3 + [[145.0, 125.0]]
    table = answered(here, ["a", "a", "b", "c"])
    support = Support.of(table, GRID, OUTDOORS)
    found = effective_people(table, np.array([1.0, 1.0, 0.5, 1.0]), support, 100.0)
    row, column = (int((at + 125 - edge) // 50) for at, edge in ((SOUTH, support.south), (WEST, support.west)))
    assert found[row, column] == pytest.approx(2.5, abs=1e-3)  # a once, b half, c
    assert found[row, column + 2] == pytest.approx(2.5, abs=1e-3) and found[row, column + 3] == 0
    assert effective_people(table[:0], np.zeros(0), support, 100.0).max() == 0


def test_how_many_answered_around_is_told_in_steps_that_no_single_answer_moves_by_one(tmp_path):
    city = make_city(tmp_path / "town")
    few = dataclasses.replace(everywhere(), effective_n=np.full_like(everywhere().size_m, 37.4, np.float32))
    told = release(fused(city), few, city)["safety_n"].to_numpy()
    assert set(np.unique(told)) == {20.0}
    assert "safety_n" not in release(fused(city), everywhere(), city)
