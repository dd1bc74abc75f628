from __future__ import annotations

import dataclasses
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import ndtr

from analytics import covariates
from analytics.covariates import COLUMN, FEATURES, NAMES
from analytics.fields import fields_at
from analytics.fitting import answers_to_fit, closing_places, fit_perception, fit_response, pooled_instruments
from analytics.kernels.jit import use_threads
from analytics.knowledge import learn_from
from analytics.perception import INVITATION, fuse, safety_change
from analytics.response import Perception
from analytics.sky import darkness
from analytics.surroundings import surroundings
from sensors.answer import ANSWER_COLUMNS, empty_answers
from sensors.city import City
from sensors.errors import ModelError
from sensors.flags import Flag
from sensors.night import Night
from sensors.quantities import QUANTITIES
from sensors.reading import empty_records
from tests.synthetic_city import SIDE, SOUTH, WEST, make_city

N = len(FEATURES)
HELSINKI = ZoneInfo("Europe/Helsinki")
TRUTH = {"light": 1.1, "people": 0.6, "woman": -0.9, "alone": -0.4, "noise_rest": -0.2, "hour_03": -0.3}
CUTS = np.array([-1.2, -0.3, 0.9])
STEP = np.datetime64("2026-11-20T20:00", "ms")  # ten at night in Helsinki, a Friday


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    city = make_city(tmp_path_factory.mktemp("town"))
    return city, surroundings(city)


def world(n=2500, seed=0, west=0.0, east=SIDE):
    """Answers of a world with a known truth: the table, what the fields said, and the design that made them."""
    generator = np.random.default_rng(seed)
    table = empty_answers().reindex(range(n))
    for name, dtype in ANSWER_COLUMNS.items():
        table[name] = pd.Series([""] * n, dtype="str") if dtype == "str" else np.zeros(n)
    choose = generator.choice
    table["response_id"] = [f"r{i}" for i in range(n)]
    table["instrument"], table["item"], table["k"] = "core-4", "safe-here", 4
    table["easting"] = WEST + generator.uniform(west, east, n)
    table["northing"] = SOUTH + generator.uniform(0, SIDE, n)
    nights = np.datetime64("2026-10-01", "D") + generator.integers(0, 49, n).astype("timedelta64[D]")
    table["time"] = nights.astype("datetime64[ms]") + (72 + generator.integers(0, 40, n)) * np.timedelta64(
        900_000, "ms"
    )
    table["light_state"], table["trigger"], table["campaign"], table["origin"] = "dark", "prompted", "made", "simulated"
    table["gender"] = choose(["woman", "man", "another", "undisclosed"], n, p=[0.5, 0.44, 0.03, 0.03])
    table["age_band"] = choose(["16-24", "25-44", "45-64", "65+"], n)
    table["disability"], table["role"], table["familiarity"] = "no", "resident", "daily"
    table["alone"] = choose(["alone", "accompanied"], n)
    table["weight"], table["count"] = 1.0, 1.0
    table["pseudonym"] = [f"p{i}" for i in range(n)]
    footfall = generator.lognormal(5, 1.2, n)
    raw = pd.DataFrame(
        {
            "illuminance": generator.lognormal(1.2, 1.1, n),
            "even": generator.uniform(0, 1, n),
            "noise": 50 + 10 * covariates.people(footfall) + generator.normal(0, 6, n),
            "footfall": footfall,
            "closing": 0.0,
            "view": np.random.default_rng(seed + 1000).uniform(-0.5, 0.5, n),  # which says nothing in this world
        }
    )
    on_people = covariates.noise_explained(raw["noise"].to_numpy(), covariates.people(footfall), np.ones(n))
    columns = [raw[name].to_numpy() for name in ("illuminance", "even", "noise", "footfall", "closing")]
    features = covariates.raw_features(*columns, on_people)
    design = covariates.design(table, features, HELSINKI)
    beta = np.zeros(len(NAMES))
    for name, value in TRUTH.items():
        beta[COLUMN[name]] = value
    table["latent"] = design @ beta + generator.normal(size=n)
    table["category"] = 1 + np.searchsorted(CUTS, table["latent"])
    return table, raw


def fitted(town, **options):
    city, around = town
    table, raw = world(**options)
    return fit_response(table, raw, city, around, closing_places(city, around), raw)


@pytest.fixture(scope="module")
def perception(town):
    return fitted(town)


def fields(town, **changed):
    _, around = town
    generator = np.random.default_rng(9)
    shape = around.grid.shape
    values = {
        "illuminance": generator.lognormal(1.2, 0.8, shape),
        "illuminance_sd": np.full(shape, 0.5),
        "noise": generator.normal(55, 4, shape),
        "noise_sd": np.full(shape, 3.0),
        "footfall": generator.lognormal(5, 1, shape),
        "footfall_sd": np.full(shape, 0.6),
    }
    values |= changed
    values["illuminance_min"] = values["illuminance"] * 0.3
    values["illuminance"] = np.where(around.indoor, np.nan, values["illuminance"])
    data = around.grid.dataset().expand_dims(time=np.array([STEP]))
    for name, value in values.items():
        data[name] = (("time", "northing", "easting"), np.broadcast_to(value, shape)[None].astype(np.float32))
    return data


def outdoors(data, name="safety"):
    values = data[name].to_numpy()
    return values[np.isfinite(values)]


def test_the_truth_of_a_simulated_world_is_recovered(town):
    away, inside = [], 0
    for seed in range(6):
        perception = fitted(town, n=1500, seed=seed)
        beta = np.zeros(len(NAMES))
        for name, value in TRUTH.items():
            beta[COLUMN[name]] = value
        sd = np.sqrt(np.diag(perception.covariance))[: len(NAMES)]
        asked = [COLUMN[name] for name in TRUTH]
        z = (perception.mean[: len(NAMES)] - beta)[asked] / sd[asked]
        away.append(z)
        inside += int((np.abs(z) < 1.645).sum())
    assert np.abs(np.concatenate(away)).max() < 4
    assert 0.75 <= inside / np.concatenate(away).size <= 1.0  # 90 % intervals; priors pull a little


def test_women_feel_less_safe_in_this_world_and_light_goes_with_safety(perception):
    table = perception.table().set_index("term")
    assert table.loc["woman", "mean"] < -0.5 and table.loc["light", "mean"] > 0.6
    assert table.loc["light", "overlap"] < 0.8
    assert table.loc["panel", "overlap"] == pytest.approx(1.0, abs=0.01)  # nobody was asked in a panel
    assert table.loc["panel", "mean"] == pytest.approx(0.0, abs=1e-6)


def test_the_map_agrees_with_the_shares_that_people_gave(town, perception):
    table, _ = world()
    share = (table["category"] >= 3).mean()
    out = fuse(fields(town), perception, town[0])
    assert outdoors(out).mean() == pytest.approx(share, abs=0.12)
    assert outdoors(out, "safety_score").mean() == pytest.approx(table["category"].mean(), abs=0.3)


def test_more_light_goes_with_more_people_who_feel_safe_up_to_its_flat_part(town, perception):
    means = [outdoors(fuse(fields(town, illuminance=lux), perception, town[0])).mean() for lux in (0.2, 2.0, 8.0)]
    assert means[0] < means[1] < means[2]
    beyond = [outdoors(fuse(fields(town, illuminance=lux), perception, town[0])).mean() for lux in (60.0, 600.0)]
    assert beyond[0] == pytest.approx(beyond[1], abs=1e-6)


@pytest.mark.parametrize("name", ["illuminance_sd", "footfall_sd", "noise_sd"])
def test_a_less_sure_field_widens_the_interval(town, perception, name):
    narrow = fuse(fields(town, **{name: 0.0}), perception, town[0])
    wide = fuse(fields(town, **{name: 3.0 if name != "noise_sd" else 12.0}), perception, town[0])
    assert (outdoors(wide, "safety_sd") >= outdoors(narrow, "safety_sd") - 1e-6).all()
    assert outdoors(wide, "safety_sd").mean() > outdoors(narrow, "safety_sd").mean() + 1e-4


def test_a_field_that_is_not_known_leaves_safety_known_but_wider(town, perception):
    known, unknown = fuse(fields(town), perception, town[0]), fuse(fields(town, noise=np.nan), perception, town[0])
    assert outdoors(unknown).size == outdoors(known).size
    assert outdoors(unknown, "safety_sd").mean() > outdoors(known, "safety_sd").mean() - 0.01
    assert np.ptp(outdoors(unknown, "goes_noise")) < 1e-5


def test_nothing_is_said_inside_buildings(town, perception):
    out = fuse(fields(town), perception, town[0])
    indoor = town[1].indoor
    for name in ("safety", "safety_sd", "safety_score", "safety_evidence", "goes_light", "goes_hour"):
        assert np.isnan(out[name].to_numpy()[0][indoor]).all(), name
        assert np.isfinite(out[name].to_numpy()[0][~indoor]).all(), name


@pytest.mark.kernel
def test_the_same_fields_give_the_same_bits_on_any_number_of_threads(town, perception):
    data = fields(town)
    before = data.copy(deep=True)
    first = fuse(data, perception, town[0])
    for threads in (1, 2, 3):
        with use_threads(threads):
            xr.testing.assert_identical(fuse(data, perception, town[0]), first)
    xr.testing.assert_identical(data, before)


@pytest.mark.kernel
def test_a_cell_is_what_the_formula_says(town, perception):
    from tests.reference import probit as reference

    city, _ = town
    data = fields(town)
    out = fuse(data, perception, city)
    forms, scales, p = _forms(perception, city), perception.scales, len(NAMES)
    for row, column in ((0, 0), (5, 30), (16, 16), (31, 2)):
        lux = float(data["illuminance"][0, row, column])
        if np.isnan(lux):
            continue
        even = covariates.evenness(data["illuminance"].to_numpy()[0], data["illuminance_min"].to_numpy()[0], 10.0)[
            row, column
        ]
        level, footfall = float(data["noise"][0, row, column]), float(data["footfall"][0, row, column])
        closing = 0.0
        for minute, near in zip(perception.places.closes_min, perception.places.nearness, strict=True):
            wave = np.exp(-abs(10 * 60 - minute) / 30)  # ten at night is 600 minutes after noon
            closing = max(closing, wave * near[row, column])
        on = scales.noise_on_people
        felt, around = np.log(1 + min(lux, 50) / 2) / np.log(16), np.log(1 + footfall / 120) / np.log(16)
        crowd = max(0.0, np.log(footfall / 1800))
        view = float(perception.places.view[row, column])
        x = np.array(
            [
                felt,
                felt * even,
                around,
                crowd,
                (level - 60) / 10,
                (level - on[0] - on[1] * around) / 10,
                closing,
                *(0, 0, 0, 0),  # nobody in view, lamps that tell no colour
                view,
                felt * view,
            ]
        )
        x = np.append(np.clip(x, scales.low, scales.high), 1.0)
        d_light = np.zeros(N + 1)
        d_light[0] = 0.5 * min(lux, 50) / (2 + min(lux, 50)) / np.log(16)
        d_light[1] = d_light[0] * even
        d_light[12] = d_light[0] * x[11]
        d_people = np.zeros(N + 1)
        d_people[2] = 0.6 * footfall / (120 + footfall) / np.log(16)
        d_people[3] = 0.6 * (crowd > 0)
        d_people[5] = -on[1] * d_people[2] / 10
        d_noise = np.zeros(N + 1)
        d_noise[4] = d_noise[5] = 0.3
        steps = [d_light, d_people, d_noise]
        place = perception.covariance[:N, :N]
        left_open = sum(d[:N] @ place @ d[:N] for d in steps)
        index = (
            int((SOUTH + 10 * row + 5 - perception.own.south) // 50),
            int((WEST + 10 * column + 5 - perception.own.west) // 50),
        )
        of = perception.own  # at ten at night nothing is late yet
        own = (float(of.mean_u[index]), float(of.variance_u[index]))
        share, sd, score = reference.population_view(
            x, steps, (forms, perception.mean, perception.covariance), left_open, perception.classes.share,
            perception.classes.spread, perception.mean[p:], 1, own, of.across_u[index].astype(float),
            of.person_variance,
        )  # fmt: skip
        assert float(out["safety"][0, row, column]) == pytest.approx(share, abs=2e-5)
        assert float(out["safety_sd"][0, row, column]) == pytest.approx(sd, rel=1e-3)
        assert float(out["safety_score"][0, row, column]) == pytest.approx(score, abs=1e-4)


def _forms(perception, city):
    """Each class's (N + 1, P) form at STEP, from the words of the model and not from the code that makes it."""
    moment = covariates.time_design(np.array([STEP]), city.zone)[0]
    late = (4 - 3) / 6  # ten at night is an hour after nine
    forms = []
    for g in range(perception.classes.share.size):
        form = np.zeros((N + 1, len(perception.names)))
        form[range(N), range(N)] = 1
        form[0, COLUMN["woman_light"]] = form[2, COLUMN["woman_people"]] = perception.classes.woman[g]
        form[0, COLUMN["older_light"]] = perception.classes.older[g]
        form[N, : len(NAMES)] = moment + perception.classes.group[g]
        form[N, COLUMN["woman_late"]] = perception.classes.woman[g] * late
        form[N, len(NAMES) + 1] = -1
        forms.append(form)
    return forms


def test_contributions_add_up_to_the_difference_between_places(town, perception):
    """Two places that differ in light only differ in the latent mean by the difference of goes_light."""
    single = dataclasses.replace(
        perception,
        classes=dataclasses.replace(
            perception.classes,
            share=np.ones(1),
            woman=np.ones(1),
            older=np.zeros(1),
            group=perception.classes.group[:1],
            spread=np.zeros(1),
        ),
        covariance=perception.covariance * 0,
        own=dataclasses.replace(
            perception.own,
            mean_u=perception.own.mean_u * 0,
            variance_u=perception.own.variance_u * 0,
            across_u=perception.own.across_u * 0,
            person_variance=0.0,
        ),
    )
    sure = {"illuminance_sd": 0.0, "noise_sd": 0.0, "footfall_sd": 0.0, "noise": 55.0, "footfall": 200.0}
    from scipy.special import ndtri

    out = fuse(fields(town, **sure), single, town[0])
    latent = ndtri(outdoors(out).astype(float))
    explained = sum(outdoors(out, f"goes_{part}") for part in ("light", "hour", "people", "view"))
    assert latent - explained == pytest.approx((latent - explained).mean(), abs=2e-3)
    assert np.ptp(latent) > 0.3


def test_instruments_of_one_construct_share_what_moves_them_and_keep_their_own_cuts(town):
    """Half of the answers on six points: the coefficients stay, and both ladders stand where they were drawn."""
    city, around = town
    table, raw = world(3000)
    other = np.arange(3000) % 2 == 0
    six = np.array([-1.8, -1.0, -0.4, 0.5, 1.4])
    table.loc[other, "category"] = 1 + np.searchsorted(six, table["latent"][other])
    table.loc[other, "instrument"], table.loc[other, "k"] = "reassurance-6", 6
    both = fit_response(table, raw, city, around, closing_places(city, around), raw)
    assert both.names[-8:] == (
        *(f"core-4 cut_{k}" for k in (1, 2, 3)),
        *(f"reassurance-6 cut_{k}" for k in range(1, 6)),
    )
    assert np.diff(both.mean[-5:]) == pytest.approx(np.diff(six), abs=0.2)
    assert np.diff(both.cuts) == pytest.approx(np.diff(CUTS), abs=0.2)
    assert both.mean[COLUMN["woman"]] == pytest.approx(TRUTH["woman"], abs=0.15)


def test_worry_and_areas_are_not_laid_on_the_scale_of_the_place():
    assert pooled_instruments() == ["audit-feeling-4", "core-4", "reassurance-6"]


def test_more_answers_are_more_evidence(town):
    same = fields(town, illuminance=3.0, noise=55.0, footfall=150.0)
    few, many = (fuse(same, fitted(town, n=n), town[0])["safety_evidence"].to_numpy()[0] for n in (150, 2500))
    assert np.nanmin(many - few) > 0.1
    assert np.nanmin(few) >= 0 and np.nanmax(many) <= 1


def test_more_answers_leave_a_narrower_interval_and_more_evidence(town, perception):
    few = fuse(fields(town), fitted(town, n=60), town[0])
    many = fuse(fields(town), perception, town[0])
    assert outdoors(many, "safety_sd").mean() < outdoors(few, "safety_sd").mean()
    assert outdoors(many, "safety_evidence").mean() > outdoors(few, "safety_evidence").mean()


def test_without_answers_nothing_is_said_and_people_are_invited(town):
    city, around = town
    table, raw = world(n=10)
    nobody = fit_response(table.iloc[:0], raw.iloc[:0], city, around, closing_places(city, around), raw)
    out = fuse(fields(town), nobody, city)
    assert np.isnan(out["safety"].to_numpy()).all()
    assert out["safety"].attrs["invitation"] == INVITATION
    assert np.isnan(safety_change(fields(town), fields(town), nobody, city)["safety_change"].to_numpy()).all()


def test_a_perception_survives_its_round_trip(town, perception):
    again = Perception.from_dict(perception.to_dict())
    xr.testing.assert_identical(fuse(fields(town), again, town[0]), fuse(fields(town), perception, town[0]))


def test_a_change_is_the_difference_of_two_maps_and_turns_with_them(town, perception):
    city, _ = town
    dim, bright = fields(town), fields(town)
    bright["illuminance"] = dim["illuminance"] * 2
    change = safety_change(dim, bright, perception, city)
    sensors = {"illuminance_sd": 0.0, "noise_sd": 0.0, "footfall_sd": 0.0}
    surely = [
        fuse(data.assign({k: data[k] * 0 for k in sensors}), perception, city)["safety"] for data in (dim, bright)
    ]
    assert outdoors(change, "safety_change") == pytest.approx(
        (surely[1] - surely[0]).to_numpy()[np.isfinite(change["safety_change"].to_numpy())], abs=1e-5
    )
    back = safety_change(bright, dim, perception, city)
    assert outdoors(back, "safety_change") == pytest.approx(-outdoors(change, "safety_change"), abs=1e-7)
    assert (outdoors(change, "safety_change_low") <= outdoors(change, "safety_change")).all()
    # the interval of a difference is far narrower than either map's
    width = outdoors(change, "safety_change_high") - outdoors(change, "safety_change_low")
    assert width.mean() < 0.5 * 2 * 1.645 * outdoors(fuse(dim, perception, city), "safety_sd").mean()


def test_no_change_is_surely_no_change(town, perception):
    change = safety_change(fields(town), fields(town), perception, town[0])
    for name in change:
        assert outdoors(change, name) == pytest.approx(0.0, abs=1e-12)


def test_the_population_view_follows_the_shares_of_the_city(town):
    means = []
    for share in (0.1, 0.9):
        city = City(town[0].path, msgspec.structs.replace(town[0].settings, group_shares={"woman": share}))
        table, raw = world()
        made = fit_response(table, raw, city, town[1], closing_places(*town), raw)
        assert made.classes.share @ made.classes.woman == pytest.approx(share, abs=1e-6)
        assert "group shares of city.toml" in made.classes.frame
        means.append(outdoors(fuse(fields(town), made, city)).mean())
    assert means[0] > means[1] + 0.1  # women of this world feel less safe


def test_shares_of_a_group_nobody_is_of_are_refused(town):
    settings = msgspec.structs.replace(town[0].settings, group_shares={"gender.martian": 0.5})
    table, raw = world(n=50)
    with pytest.raises(ModelError, match=r"gender\.martian"):
        fit_response(table, raw, City(town[0].path, settings), town[1], closing_places(*town), raw)


def test_classes_describe_the_same_people_as_the_answers(perception):
    """Phi over classes with their spread against Phi over every single group effect."""
    table, _ = world()
    effect = covariates.group_design(table) @ perception.mean[: len(NAMES)]
    one_by_one = ndtr(effect + 0.2).mean()
    classes = perception.classes
    centre = classes.group @ perception.mean[: len(NAMES)]
    merged = classes.share @ ndtr((centre + 0.2) / np.sqrt(1 + classes.spread))
    assert merged == pytest.approx(one_by_one, abs=2e-3)


def test_a_person_cannot_shout_and_old_answers_fade(town, tmp_path):
    city = make_city(tmp_path)
    table, _ = world(n=20)
    table = table.drop(columns="count")
    table["pseudonym"], table["time"] = "one", np.datetime64("2026-10-01T20:00", "ms")
    table.loc[10:, "time"] = np.datetime64("2026-07-03T21:00", "ms")
    (tmp_path / "store" / "answers").mkdir(parents=True)
    table.astype(ANSWER_COLUMNS)[list(ANSWER_COLUMNS)].to_parquet(tmp_path / "store" / "answers" / "a.parquet")
    used, left = answers_to_fit(city, Night.named("2026-10-01", HELSINKI))
    assert (len(used), left) == (10, 0)  # nothing of the night itself: the model is frozen at its noon
    assert used["count"].sum() == pytest.approx(3 * 0.5, rel=0.01)  # three at most, half after ninety nights
    later, _ = answers_to_fit(city, None)
    assert later["count"].sum() == pytest.approx(3 + 3 * 0.5, rel=0.01)


def test_a_whole_fit_on_an_empty_city_knows_nothing(tmp_path):
    from analytics.knowledge import learn

    city = make_city(tmp_path)
    around = surroundings(city)
    night = Night.named("2026-11-20", city.zone)
    perception = fit_perception(city, around, learn(city, night), before=night)
    assert perception.n_answers == 0 and perception.overlap() == pytest.approx(1.0, abs=0.01)
    with pytest.raises(ModelError, match="preset"):
        fit_perception(city, around, learn(city, night), preset="optimistic")


def test_it_is_dark_below_six_degrees_and_not_while_the_sun_is_up():
    assert darkness(np.datetime64("2026-11-20T20:00", "ms"), 60.17, 24.94) == 1.0
    assert darkness(np.datetime64("2026-11-20T10:00", "ms"), 60.17, 24.94) == 0.0
    midsummer = np.datetime64("2026-06-20T22:00", "ms")
    assert 0.0 < darkness(midsummer, 60.17, 24.94) <= 1.0
    assert darkness(midsummer, 70.0, 25.0) == 0.0  # the midnight sun


def test_features_are_in_the_order_of_their_names(perception):
    assert FEATURES == NAMES[: len(FEATURES)] == perception.names[: len(FEATURES)]


def test_a_sensor_that_falls_silent_widens_what_is_said_of_feeling_safe(town, perception):
    city, around = town
    counters = around.sites.of("people_flow")
    expected = fields_at(around, learn_from([], around), empty_records(), STEP)["footfall"].to_numpy()[0]
    cells = around.sites.row[counters], around.sites.column[counters]
    counts = empty_records(counters.size)
    counts["time"], counts["received"] = STEP + np.timedelta64(15, "m"), STEP + np.timedelta64(16, "m")
    counts["site"], counts["quantity"] = around.sites.site[counters], QUANTITIES["people_flow"].code
    counts["value"], counts["duration_s"] = np.round(expected[cells] / 4), 900.0  # all as usual: the mean stays

    def told(records):
        page = fields_at(around, learn_from([], around), records, STEP)
        return fuse(page, perception, city)["safety_sd"].to_numpy()[0][cells]

    refused = counts.copy()
    refused["flags"] = int(Flag.CLOCK)
    live, silent = told(counts), told(empty_records())
    assert (silent > live).all()
    np.testing.assert_array_equal(told(refused), silent)  # what physics refuses is as good as silence


def test_a_camera_that_goes_with_feeling_safer_is_found_and_only_said_where_one_is_in_view(town):
    city, around = town
    table, raw = world(2500)
    generator = np.random.default_rng(4)
    near = np.where(generator.random(len(table)) < 0.4, generator.uniform(0.5, 1, len(table)), 0.0)
    table["category"] = 1 + np.searchsorted(CUTS, table["latent"] + 0.7 * near)
    places = closing_places(city, around)
    seen = fit_response(table, raw.assign(camera=near), city, around, places, raw)
    found, sd = (seen.table().set_index("term").loc["camera", name] for name in ("mean", "sd"))
    assert abs(found - 0.7) < 3 * sd and found > 2 * sd and sd < 0.15
    assert "goes_presence" not in fuse(fields(town), seen, city)  # the city tells of no camera
    camera = np.zeros((1, *around.grid.shape), np.float32)
    camera[0, 16, 16] = 0.9
    there = dataclasses.replace(
        seen,
        places=dataclasses.replace(
            places,
            presence_kind=np.array([0]),
            presence_from=np.array([0]),
            presence_to=np.array([1440]),
            presence_near=camera,
        ),
    )
    without, out = fuse(fields(town), seen, city), fuse(fields(town), there, city)
    more = (out["safety"] - without["safety"]).to_numpy()[0]
    at = np.nanargmax(more)
    assert np.unravel_index(at, more.shape) == (16, 16) and np.nanmax(more) > 0.1
    assert np.nanmin(out["goes_presence"].to_numpy()) == 0


@pytest.mark.kernel
def test_the_table_of_the_normal_distribution_is_as_near_as_rounding_leaves_it():
    from scipy.stats import norm

    from analytics.kernels.probit import normal_cdf_of_table, normal_of_table

    for z in np.concatenate([np.random.default_rng(0).uniform(-8, 8, 400), [-8, -0.0, 1 / 32, 8]]).astype(np.float32):
        share, density = normal_of_table(z)
        assert abs(float(share) - norm.cdf(z)) < 4e-7 and abs(float(density) - norm.pdf(z)) < 4e-7
        assert normal_cdf_of_table(z) == share
    assert normal_of_table(np.float32(50))[0] == 1 and normal_of_table(np.float32(-50))[0] < 1e-15
