from __future__ import annotations

from dataclasses import replace

import geopandas
import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri
from shapely.geometry import box

from analytics import share_evidence
from analytics.covariates import COLUMN, NAMES
from analytics.fields import fields_at
from analytics.fitting import fit_perception
from analytics.knowledge import learn
from analytics.model import fit, load_model
from analytics.perception import fuse
from analytics.release import release
from analytics.response import Perception
from analytics.small_area import small_areas
from analytics.surroundings import surroundings
from ingest.area_shares import import_shares, remove_shares
from ingest.surveys import import_answers
from sensors.districts import import_districts
from sensors.night import Night
from sensors.reading import RECORD
from tests.synthetic_city import CRS, SIDE, SOUTH, WEST, make_city
from tests.unit.test_small_area import table
from tests.unit.test_surveys import rows, written

NIGHT = "2026-11-20"
HALF = 150.0  # metres from the west: an edge of the released cells
SHARES = {"West": 75.0, "East": 45.0}


def make_town(path, east=SIDE + 50):
    """A town whose western and eastern halves are districts, the eastern one up to some metres from the west."""
    city = make_city(path / "town")
    halves = [
        box(WEST, SOUTH, WEST + HALF, SOUTH + SIDE + 50),
        box(WEST + HALF, SOUTH, WEST + east, SOUTH + SIDE + 50),
    ]
    file = path / "districts.gpkg"
    geopandas.GeoDataFrame({"name": list(SHARES)}, geometry=halves, crs=CRS).to_file(file)
    import_districts(city, file, "name")
    return city


def bring(city, path, n=400, **shares):
    told = [("here_at_night", year, area, n, share, "area") for year in (2024, 2025) for area, share in shares.items()]
    told += [("here_at_night", 2025, sex, n, share, "gender") for sex, share in (("Female", 48.0), ("Male", 72.0))]
    file = path / "shares.csv"
    pd.DataFrame(told, columns=("question", "year", "group", "n", "pct_safe", "group_type")).to_csv(file, index=False)
    return import_shares(city, file)


def fitted(city):
    around, night = surroundings(city), Night.named(NIGHT, city.zone)
    knowledge = learn(city, before=night)
    return around, knowledge, fit_perception(city, around, knowledge, before=night)


def night_mean(city, around, knowledge, perception, name="safety"):
    """The mean of a layer over the streets of the western and of the eastern half, through a night."""
    night, street = Night.named(NIGHT, city.zone), around.street & ~around.indoor
    west = np.broadcast_to(around.grid.easting < WEST + HALF, street.shape)
    steps = night.steps(*around.window, around.step_minutes)[::8]
    pages = [
        fuse(fields_at(around, knowledge, np.empty(0, RECORD), step), perception, city)[name].to_numpy()[0]
        for step in steps
    ]
    mean = np.mean(pages, axis=0)
    return float(np.mean(mean[street & west])), float(np.mean(mean[street & ~west]))


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    path = tmp_path_factory.mktemp("shares")
    city = make_town(path)
    bring(city, path, **SHARES)
    return city, *fitted(city)


def test_the_mean_of_each_area_follows_its_share_without_any_answer(town):
    west, east = night_mean(*town)
    assert west == pytest.approx(0.75, abs=0.03)
    assert east == pytest.approx(0.45, abs=0.03)


def test_the_page_says_that_streets_are_a_model_and_whom_it_is_of(town):
    city, around, knowledge, perception = town
    step = Night.named(NIGHT, city.zone).steps(*around.window, around.step_minutes)[0]
    attributes = fuse(fields_at(around, knowledge, np.empty(0, RECORD), step), perception, city)["safety"].attrs
    assert "what streets within them differ by is a model" in attributes["basis"]
    assert attributes["people"].startswith("residents mixed as in the published shares")
    assert attributes["shares"] == 2


def test_an_area_moves_as_a_whole_and_its_streets_keep_most_of_their_variance(town):
    own = town[3].own
    west = own.mean_u[:, :3]
    assert np.ptp(west) < 1e-5
    assert own.mean_u[:, :3].mean() > own.mean_u[:, 4:6].mean()
    assert own.variance_u.min() > 0.0


def test_women_and_men_differ_as_their_table_says(town):
    perception = town[3]
    column = COLUMN["woman"]
    assert perception.mean[column] == pytest.approx(-0.6, abs=0.2)
    assert np.sqrt(perception.covariance[column, column]) < perception.prior_sd[column]


def test_the_level_of_one_area_agrees_with_a_sum_over_all_levels(tmp_path):
    city = make_town(tmp_path)
    around, knowledge, silent = fitted(city)
    cut = len(NAMES) + silent.safe_from - 2
    only_the_level = np.full(silent.mean.size, 1e-12)
    only_the_level[cut] = 1.5**2
    silent = replace(silent, covariance=np.diag(only_the_level))
    shares = small_areas(table((2024, "area", "west", 0.8, 25)))
    night = Night.named(NIGHT, city.zone)
    conditions = share_evidence.area_conditions(city, around, knowledge, night, shares, silent.own)
    said = share_evidence.conditioned(silent, shares, conditions, city, "here", 25)
    west = conditions.square.reshape(said.own.mean_u.shape) == 0
    found = said.own.mean_u[west].mean() - said.mean[cut]

    seen_by = replace(silent, scales=said.scales, classes=said.classes)
    features = said.scales.features(conditions.raw)
    sight = share_evidence._Sight(seen_by, conditions, features, city, shares.sds[0])
    wanted, noise = ndtri(shares.draws("west")).mean(), shares.levels()[1][0, 0]
    none = np.zeros((silent.mean.size + 1, silent.mean.size + 1))
    height = np.linspace(-3, 4, 701)
    theta = np.tile(silent.mean, (height.size, 1))
    theta[:, cut] = 0.0
    seen = np.array([sight.at(row, np.array([level]), none)[0][0] for row, level in zip(theta, height, strict=True)])
    prior = (height + silent.mean[cut]) ** 2 / (1.5**2 + sight.own_variance[0])
    weight = np.exp(-0.5 * (prior + (wanted - seen) ** 2 / noise))
    weight /= weight.sum()
    mean = weight @ height
    assert found == pytest.approx(mean, abs=0.03)
    variance = said.covariance[cut, cut] - 2 * said.own.across_u[west][:, cut].mean()
    variance += (said.own.variance_u[west] - silent.own.variance_u[west]).mean() - shares.sds[0] ** 2
    variance += sight.own_variance[0]  # of the area as a whole, without what its streets differ by
    assert np.sqrt(variance) == pytest.approx(np.sqrt(weight @ (height - mean) ** 2), rel=0.05)


def test_where_no_share_is_the_map_is_wider(tmp_path):
    city = make_town(tmp_path, east=SIDE - 150)  # the second district is a strip of 10 m
    bring(city, tmp_path, West=75.0)
    own = fitted(city)[2].own
    assert own.variance_u[:, -2:].min() > own.variance_u[:, :3].max()


def test_few_respondents_leave_the_map_less_sure_than_many(tmp_path):
    few, many = tmp_path / "few", tmp_path / "many"
    wide = []
    for path, n in ((few, 15), (many, 1500)):
        path.mkdir()
        city = make_town(path)
        bring(city, path, n=n, **SHARES)
        wide.append(night_mean(city, *fitted(city), "safety_sd")[0])
    assert wide[0] > wide[1]


def test_a_city_of_neither_answers_nor_districts_shows_no_invented_safety(tmp_path):
    city = make_city(tmp_path / "town")
    bring(city, tmp_path, **SHARES)
    assert fitted(city)[2].silent
    assert np.isnan(night_mean(city, *fitted(city))).all()


def test_shares_lift_the_level_that_few_answers_gave_and_many_answers_resist(tmp_path):
    gained = []
    for n in (12, 600):
        path = tmp_path / str(n)
        path.mkdir()
        city = make_town(path)
        low = rows(n, category=np.random.default_rng(n).choice([1, 2, 3], n), pseudonym="", gender="woman")
        import_answers(city, written(path, low), simulated=True)
        before = night_mean(city, *fitted(city))
        bring(city, path, West=85.0, East=85.0)
        after = night_mean(city, *fitted(city))
        gained.append(after[0] - before[0])
    assert gained[0] > gained[1] > 0


def test_what_leaves_without_any_answer_is_of_areas_with_a_share_and_hatched_elsewhere(tmp_path):
    city = make_town(tmp_path)
    bring(city, tmp_path, West=75.0)
    night, around = Night.named(NIGHT, city.zone), surroundings(city)
    model = load_model(city, fit(city, night).digest)
    step = night.steps(*around.window, around.step_minutes)[0]
    page = fuse(fields_at(around, model.knowledge, np.empty(0, RECORD), step), model.perception, city)
    told = release(page, model.support, city)
    west = np.broadcast_to(around.grid.easting < WEST + HALF, around.indoor.shape)
    shown = np.isfinite(told["safety"].to_numpy()[0])
    assert shown[west & ~around.indoor].all()
    assert not shown[~west].any()
    assert not (told["safety_support"].to_numpy() > 0).any()
    assert "no published share" in told["safety"].attrs["hatched"]
    assert "is a model" in told["safety"].attrs["basis"]
    assert "without answers" in model.text(city.name)


def test_one_answer_closes_what_only_shares_had_opened(tmp_path):
    city = make_town(tmp_path)
    bring(city, tmp_path, **SHARES)
    night = Night.named(NIGHT, city.zone)
    assert fit(city, night).support.shares is not None
    import_answers(city, written(tmp_path, rows(1)), simulated=True)
    assert fit(city, night).support.shares is None


def test_shares_that_are_removed_leave_no_trace_in_the_model(tmp_path):
    city, night = make_town(tmp_path), None
    night = Night.named(NIGHT, city.zone)
    import_answers(city, written(tmp_path, rows(40)), simulated=True)
    before = fit(city, night).digest
    bring(city, tmp_path, **SHARES)
    assert fit(city, night).digest != before
    remove_shares(city, campaign="shares")
    assert fit(city, night).digest == before


def test_a_response_of_before_shares_is_still_read(town):
    content = town[3].to_dict()
    for name in ("n_shares", "shares_of", "shares_told"):
        del content[name]
    assert Perception.from_dict(content).n_shares == 0
