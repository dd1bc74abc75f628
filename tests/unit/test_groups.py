"""Views of single groups and the gaps between them: what they are made of, and what of them may leave."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

from analytics.covariates import COLUMN
from analytics.fitting import closing_places, fit_response
from analytics.groups import everyone, passing, views_of
from analytics.perception import fuse
from analytics.place_effect import CELL_M
from analytics.release import Support, release
from analytics.response import Perception
from analytics.views import GAPS, GROUP, GROUPS
from sensors.city import City
from tests.synthetic_city import SOUTH, WEST
from tests.unit.test_perception import fields, fitted, town, world  # noqa: F401  # town is a fixture


@pytest.fixture(scope="module")
def perception(town):  # noqa: F811
    return fitted(town)


@pytest.fixture(scope="module")
def page(town, perception):  # noqa: F811
    return fuse(fields(town), perception, town[0], town[1].indoor)


def of_squares(values, where, grid):
    """Means over the 50 m cells, put back, in plain numpy."""
    row = np.floor((grid.northing - SOUTH) / CELL_M).astype(int)
    column = np.floor((grid.easting - WEST) / CELL_M).astype(int)
    out = np.full(values.shape, np.nan)
    for r in np.unique(row):
        for c in np.unique(column):
            cells = np.ix_(row == r, column == c)
            if where[cells].any():
                out[cells] = values[cells][where[cells]].mean()
    return out


def only(perception: Perception, name: str) -> Perception:
    return dataclasses.replace(perception, classes=perception.views[name])


@pytest.mark.kernel
@pytest.mark.parametrize("name", ["women", "men", "young", "older", "alone"])
def test_a_view_is_the_mean_of_what_its_people_are_expected_to_feel_in_each_square(town, perception, page, name):  # noqa: F811
    whole = fuse(fields(town), only(perception, name), town[0])["safety"].to_numpy()[0]
    where = np.isfinite(whole) & ~town[1].indoor
    mean = of_squares(whole, where, town[1].grid)
    found = page[f"safety_of_{name}"].to_numpy()[0]
    assert np.array_equal(np.isfinite(found), np.isfinite(mean))
    assert np.nanmax(np.abs(found - mean)) < 0.01  # a point: conditions in a square are not quite normal


def test_the_gap_is_the_difference_of_the_two_views_and_surer_than_either_would_make_it(page):
    def layer(name):
        return page[f"safety_of_{name}"].to_numpy()[0]

    assert layer("gap_women") == pytest.approx(layer("women") - layer("men"), abs=2e-6, nan_ok=True)
    assert (layer("gap_women")[np.isfinite(layer("women"))] < 0).all()  # as this world was made
    apart = np.hypot(layer("women_sd"), layer("men_sd"))
    known = np.isfinite(apart)
    assert (layer("gap_women_sd")[known] < apart[known]).all()


def test_the_sd_of_a_gap_is_that_of_draws_of_the_coefficients(town, perception):  # noqa: F811
    """With places and sensors known for sure, against a thousand draws in plain numpy."""
    sure = {"illuminance_sd": 0.0, "noise_sd": 0.0, "footfall_sd": 0.0}
    even = {"illuminance": 6.0, "noise": 56.0, "footfall": 240.0}
    own = perception.own
    still = dataclasses.replace(own, variance_u=own.variance_u * 0, across_u=own.across_u * 0, mean_u=own.mean_u * 0)
    known = dataclasses.replace(perception, own=still)
    out = fuse(fields(town, **even, **sure), known, town[0], town[1].indoor)
    generator = np.random.default_rng(0)
    draws = generator.multivariate_normal(perception.mean, perception.covariance, 4000)

    def shares(name):
        return np.array([share(town, dataclasses.replace(known, mean=draw), name) for draw in draws[:300]])

    gap = shares("women") - shares("men")
    found = outdoors_of(out["safety_of_gap_women"].to_numpy()[0], town[1].indoor)
    sd = outdoors_of(out["safety_of_gap_women_sd"].to_numpy()[0], town[1].indoor)
    assert found.mean() == pytest.approx(gap.mean(), abs=3 * gap.std() / 300**0.5 + 0.003)
    assert sd.mean() == pytest.approx(gap.std(), rel=0.15)


def outdoors_of(values, indoor):
    return values[np.isfinite(values) & ~indoor]


def share(town, perception, name):  # noqa: F811
    """P of a view at 6 lx, 56 dB and 240 people an hour with the mean as it stands, from the words of the model."""
    from analytics import covariates
    from tests.unit.test_perception import STEP

    classes, scales = perception.views[name], perception.scales
    evenness = np.array([(0.3 - 0.1) / 0.3])
    raw = covariates.raw_features(
        np.array([6.0]), evenness, np.array([56.0]), np.array([240.0]), np.zeros(1), scales.noise_on_people
    )
    x = np.clip(raw[0], scales.low, scales.high)
    moment = covariates.time_design(np.array([STEP]), town[0].zone)[0]
    total = 0.0
    for g, weight in enumerate(classes.share):
        row = moment + classes.group[g]
        row[: x.size] = x
        for feature in ("light", "people"):
            row[COLUMN[f"woman_{feature}"]] = classes.woman[g] * x[COLUMN[feature]]
        row[COLUMN["older_light"]] = classes.older[g] * x[COLUMN["light"]]
        row[COLUMN["woman_late"]] = classes.woman[g] / 6
        m = row @ perception.mean[: row.size] - perception.cuts[perception.safe_from - 2]
        total += weight * ndtr(m / np.sqrt(1 + classes.spread[g]))
    return total


def test_a_group_of_fewer_people_than_the_rule_asks_for_has_no_view():
    table, raw = world(400)
    few = table["age_band"] == "65+"
    table = table[~few | (few.cumsum() <= 9)]
    weight = np.ones(len(table))
    _, out = everyone(table, weight, raw.loc[table.index, "footfall"].to_numpy(), np.zeros(200), {})
    views = views_of(table, weight, out, np.zeros(200), {}, 10)
    assert "older" not in views and "gap_older" not in views and "women" in views
    assert "disabled" not in views  # nobody said so
    assert all(view.share.sum() == pytest.approx(0 if name.startswith("gap_") else 1) for name, view in views.items())


def test_every_group_is_of_codes_that_an_answer_can_have_and_no_code_is_on_both_sides():
    from sensors.answer import CODES

    for group in GROUPS:
        assert set(group.codes) <= set(CODES[group.column]) and set(group.rest) <= set(CODES[group.column])
        assert not set(group.codes) & set(group.rest) and "undisclosed" not in group.rest
    assert set(GAPS) < set(GROUP)


def test_a_square_counts_by_its_passers_and_not_by_how_many_were_asked_there():
    quiet, busy = 8, 2
    table = pd.DataFrame({"easting": [10.0] * quiet + [500.0] * busy, "northing": 10.0})
    factor = passing(table, np.array([100.0] * quiet + [200.0] * busy))
    assert factor[quiet:].sum() == pytest.approx(2 * factor[:quiet].sum())
    assert passing(table, np.full(quiet + busy, np.nan))[0] > 0
    held = passing(table, np.array([1.0] * quiet + [10_000.0] * busy))
    assert held.max() <= 10.001 * held.min()


def test_residents_are_those_who_answered_by_the_shares_of_the_census(town):  # noqa: F811
    table, raw = world(2500)
    shares = {"woman": 0.9, "man": 0.1}
    city = City(town[0].path, msgspec.structs.replace(town[0].settings, resident_shares=shares))
    made = fit_response(table, raw, city, town[1], closing_places(*town), raw)
    view = made.views["residents"]
    assert (view.share * view.woman).sum() == pytest.approx(0.9, abs=1e-6)
    assert "residents" in view.frame and "residents" not in made.classes.frame


def test_a_group_is_shown_only_where_enough_of_its_own_people_answered(town, page):  # noqa: F811
    city, around = town
    table, _ = world(600)
    support = Support.of(table, around.grid, around.indoor)
    west = table[table["easting"] < WEST + 100]
    mostly = dataclasses.replace(
        support,
        groups={
            "women": Support.of(west[west["gender"] == "woman"], around.grid, around.indoor).size_m,
            "not_women": Support.of(table[table["gender"] == "man"], around.grid, around.indoor).size_m,
        },
    )
    out = release(page, mostly, city)
    women, gap = (np.isfinite(out[f"safety_of_{name}"].to_numpy()[0]) for name in ("women", "gap_women"))
    everyone_here = np.isfinite(out["safety"].to_numpy()[0])
    assert women.any() and (women <= everyone_here).all() and (women < everyone_here).any()
    assert (gap <= women).all()
    assert not np.isfinite(out["safety_of_men"].to_numpy()).any()  # nothing is known of how many men answered


def test_a_view_survives_the_model_file(perception):
    again = Perception.from_dict(perception.to_dict())
    assert again.views.keys() == perception.views.keys()
    assert np.array_equal(again.views["women"].share, perception.views["women"].share)
    assert again.applicability.threshold == perception.applicability.threshold
