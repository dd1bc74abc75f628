from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

from analytics import small_area
from analytics.small_area import left_out, level_rows, sample_sizes, small_areas
from analytics.small_area_report import left_out_report, small_area_report
from ingest.area_shares import import_shares
from sensors.area_share import ALL, SHARE_COLUMNS
from sensors.errors import ModelError
from tests.reference.small_area import share_covariance, two_areas
from tests.shared_data import shared_data
from tests.synthetic_city import make_city

MELBOURNE = "melbourne/survey/perceived_safety_2018_2023.csv"


def table(*rows):
    """Shares of one question from (year, partition, code, share, n)."""
    columns = dict(zip(("year", "partition", "code", "share", "n"), zip(*rows, strict=True), strict=True))
    same = {"question": "here", "light_state": "dark", "design_effect": 1.0, "campaign": "a", "origin": "recorded"}
    return pd.DataFrame({**columns, **same, "words": columns["code"]})[list(SHARE_COLUMNS)].astype(SHARE_COLUMNS)


def town(seed, areas=6, years=4, n=120, area_sd=0.2, extra_sd=0.1):
    """Made-up respondents of a town, every table of them, and each area's true share over the years."""
    random = np.random.default_rng(seed)
    level = 0.3 + area_sd * random.standard_normal(areas)[:, None] + 0.1 * random.standard_normal(years)
    level = level + extra_sd * random.standard_normal((areas, years))
    rows, truth = [], np.zeros((areas, years))
    for year in range(years):
        people = pd.DataFrame({"area": np.repeat(np.arange(areas), n), "woman": random.random(areas * n) < 0.5})
        at = level[people["area"], year] + np.where(people["woman"], -0.3, 0.3)
        people["safe"] = random.random(len(people)) < ndtr(at)
        truth[:, year] = (ndtr(level[:, year] - 0.3) + ndtr(level[:, year] + 0.3)) / 2
        when = 2018 + year
        for area, part in people.groupby("area"):
            rows.append((when, "area", f"area {area}", part["safe"].mean(), len(part)))
        for woman, part in people.groupby("woman"):
            rows.append((when, "gender", "woman" if woman else "man", part["safe"].mean(), len(part)))
        rows.append((when, ALL, ALL, people["safe"].mean(), len(people)))
    return table(*rows), truth.mean(axis=1)


def test_two_areas_of_one_year_agree_with_sums_over_a_grid():
    def log_prior(a, t, e):
        return -small_area._AREA_RATE * a - small_area._OTHER_RATE * (t + e) + np.log(a * t * e)

    shares, sizes = (0.45, 0.7), (60, 25)
    mean, sd = two_areas(
        shares, sizes, small_area.AREA_SDS, small_area.YEAR_SDS, small_area.EXTRA_SDS, small_area.LEVEL_SD, log_prior
    )
    fitted = small_areas(table((2020, "area", "a", shares[0], sizes[0]), (2020, "area", "b", shares[1], sizes[1])))
    for area, one, its_sd in zip("ab", mean, sd, strict=True):
        found = fitted.share(area)
        assert found.mean == pytest.approx(one, abs=0.005)
        assert found.sd == pytest.approx(its_sd, rel=0.05)


def test_shares_of_areas_say_nothing_of_differences_between_sexes_of_the_same_people():
    area, woman = np.repeat(np.arange(3), (40, 20, 60)), np.tile([0, 1], 60)
    groups = np.array([*(area == one for one in range(3)), woman == 1, woman == 0, area >= 0], float)
    covariance = share_covariance(groups, 0.6)
    difference = np.array([0, 0, 0, 1, -1, 0])
    np.testing.assert_allclose(covariance[:3] @ difference, 0, atol=1e-15)
    assert np.linalg.matrix_rank(covariance[np.ix_([0, 1, 2, 5], [0, 1, 2, 5])]) == 3  # the total adds nobody


def test_tables_of_the_same_respondents_do_not_make_an_area_surer():
    whole, _ = town(1)
    alone = whole[whole["partition"] == "area"].reset_index(drop=True)
    for area in ("area 0", "area 5"):
        assert small_areas(whole).share(area) == small_areas(alone).share(area)


def test_what_the_total_says_beyond_the_areas_is_of_the_rest_of_the_city():
    some = table((2020, "area", "a", 0.5, 100), (2020, "area", "b", 0.6, 100), (2020, ALL, ALL, 0.7, 400))
    rows = level_rows(sample_sizes(some)[0])
    rest = rows[rows["code"] == small_area.REST].iloc[0]
    assert rest["trials"] == pytest.approx(200)
    assert rest["share"] == pytest.approx((280 - 110) / 200)


def test_an_area_that_is_not_told_is_foretold_from_what_the_total_leaves():
    shares, _ = town(11, areas=7, n=150)
    hidden = shares[(shares["partition"] != "area") | ~shares["code"].isin(["area 5", "area 6"])].copy()
    lifted = hidden.copy()
    total = lifted["partition"] == ALL
    lifted.loc[total, "share"] = lifted.loc[total, "share"] + 0.05  # all of it in the two that are not told
    low, high = (small_areas(one.reset_index(drop=True)).share("area 6") for one in (hidden, lifted))
    assert high.mean - low.mean == pytest.approx(0.05 * 7 / 2, abs=0.06)
    alone = small_areas(hidden[hidden["partition"] == "area"].reset_index(drop=True)).share("area 6")
    assert low.sd < alone.sd


def test_the_rest_of_the_city_foretells_its_areas_better_than_the_others_do():
    nearer, held = [], []
    for seed in range(15):
        shares, truth = town(300 + seed, areas=8, years=3, n=100, area_sd=0.3)
        hidden = shares[~shares["code"].isin(["area 6", "area 7"])].reset_index(drop=True)
        told = small_areas(hidden).share("area 6")
        alone = small_areas(hidden[hidden["partition"] == "area"].reset_index(drop=True)).share("area 6")
        for number in (6, 7):
            nearer.append((told.mean - truth[number]) ** 2 - (alone.mean - truth[number]) ** 2)
            held.append(told.low <= truth[number] <= told.high)
    assert np.mean(nearer) < 0
    assert 0.78 <= np.mean(held) <= 1.0  # 30 areas


def test_a_year_without_areas_has_its_total_or_else_the_sum_of_its_sexes():
    rows = level_rows(
        sample_sizes(
            table(
                (2019, ALL, ALL, 0.7, 400),
                (2019, "gender", "woman", 0.6, 200),
                (2020, "gender", "woman", 0.5, 100),
                (2020, "gender", "man", 0.8, 200),
            )
        )[0]
    )
    assert rows["share"].tolist() == pytest.approx([0.7, 0.7])
    assert rows["trials"].tolist() == [400, 300]


def test_an_area_of_few_respondents_is_drawn_to_the_city_and_one_of_many_is_not():
    fitted = small_areas(
        table(*((2020, "area", f"a{i}", 0.6 + 0.02 * i, 400) for i in range(5)), (2020, "area", "few", 0.2, 12))
    )
    assert fitted.share("few").mean > 0.4
    assert fitted.share("a4").mean == pytest.approx(0.68, abs=0.02)
    assert fitted.share("few").sd > 2 * fitted.share("a4").sd


def test_an_area_that_nobody_told_of_is_the_widest():
    fitted = small_areas(town(3)[0])
    asked = [fitted.share(area) for area in fitted.areas]
    unasked = fitted.share("elsewhere")
    assert unasked.sd > 2 * max(one.sd for one in asked)
    assert min(one.mean for one in asked) < unasked.mean < max(one.mean for one in asked)


def test_a_design_effect_of_two_is_half_the_respondents():
    whole, _ = town(4)
    halved = whole.assign(n=whole["n"] // 2)
    doubled = whole.assign(design_effect=np.float32(2.0))
    assert small_areas(doubled).share("area 1") == small_areas(halved).share("area 1")


def test_intervals_hold_the_truth_of_made_up_towns():
    held = []
    for seed in range(30):
        shares, truth = town(100 + seed, years=3, n=60)
        fitted = small_areas(shares)
        estimates = [fitted.share(f"area {number}") for number in range(truth.size)]
        held += [one.low <= true <= one.high for one, true in zip(estimates, truth, strict=True)]
    assert 0.84 <= np.mean(held) <= 0.96  # 180 areas: two standard errors around 0.90


def test_sexes_of_an_area_together_have_its_share_and_differ_as_they_were_made():
    shares, _ = town(5, years=6, n=400)
    fitted = small_areas(shares)
    women, men = (fitted.group_share("area 2", "gender", one).mean for one in ("woman", "man"))
    weight = fitted.groups["gender"]
    assert weight["woman"] * women + weight["man"] * men == pytest.approx(fitted.share("area 2").mean, abs=0.002)
    offsets = fitted.offsets["gender"].mean(axis=0)  # man, woman
    assert offsets[0] - offsets[1] == pytest.approx(0.6, abs=0.1)


def test_a_share_without_n_takes_the_smallest_of_its_group_and_is_told():
    shares = table((2019, "area", "a", 0.5, 80), (2020, "area", "a", 0.5, 120), (2021, "area", "a", 0.6, 0))
    sized, notes = sample_sizes(shares)
    assert sized["size"].tolist() == [80, 120, 80]
    assert "1 shares of 2021" in notes[0]


def test_shares_that_never_say_of_how_many_are_refused():
    with pytest.raises(ModelError, match="number of respondents"):
        small_areas(table((2020, "area", "a", 0.5, 0)))


def test_several_questions_are_not_fitted_in_one():
    both = table((2020, "area", "a", 0.5, 50), (2020, "area", "b", 0.5, 50))
    both["question"] = ["here", "there"]
    with pytest.raises(ModelError, match="several questions"):
        small_areas(both)


def test_a_left_out_area_is_foretold_without_its_rows_and_without_the_total_that_holds_it():
    shares, _ = town(6)
    other = shares.copy()
    other.loc[(other["partition"] == "area") & (other["code"] == "area 3"), "share"] = 0.05
    other.loc[other["partition"] == ALL, "share"] = 0.99
    assert left_out(shares, "area 3").foretold == left_out(other, "area 3").foretold
    assert left_out(other, "area 3").published == pytest.approx(0.05)


@pytest.fixture(scope="module")
def melbourne(tmp_path_factory):
    city = make_city(tmp_path_factory.mktemp("melbourne") / "town")
    import_shares(city, shared_data(MELBOURNE))
    return city


def test_suburbs_of_melbourne_left_out_one_at_a_time_are_foretold(melbourne):
    _, _, suburbs = left_out_report(melbourne, "neighbourhood_night").questions[0]
    assert len(suburbs) >= 6
    good = [one.covered and abs(one.error) <= one.sampling_sd + 0.06 for one in suburbs]
    assert sum(good) >= 4


def test_intervals_of_melbourne_do_not_hold_by_being_wide(melbourne):
    _, _, suburbs = left_out_report(melbourne, "neighbourhood_night").questions[0]
    assert all(one.foretold.high - one.foretold.low < 0.25 for one in suburbs)


def test_the_report_of_melbourne_names_suburbs_sexes_and_what_is_not_known(melbourne):
    report = small_area_report(melbourne, "neighbourhood_night")
    said = report.to_dict()["questions"][0]
    groups = {one["group"]: one["mean"] for one in said["groups"]}
    assert groups["woman"] < groups["man"] - 0.1
    text = report.text()
    assert "Carlton 3053" in text
    assert "no number of respondents" in text
    assert "within an area" in text
