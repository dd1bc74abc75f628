from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import covariates
from analytics.covariates import COLUMN, FEATURES, KNOTS_H, NAMES, TERMS
from sensors.answer import CODES

HELSINKI = ZoneInfo("Europe/Helsinki")


def one_answer(**changed):
    row = {
        "time": np.datetime64("2026-11-20T20:00", "ms"),
        "light_state": "dark",
        "gender": "man",
        "age_band": "25-44",
        "disability": "no",
        "alone": "accompanied",
        "role": "resident",
        "familiarity": "daily",
        "trigger": "prompted",
    }
    return pd.DataFrame([row | changed])


@pytest.mark.parametrize(("lux", "felt"), [(0, 0), (2, 0.25), (7.2, 0.55), (10, 0.65), (30, 1.0)])
def test_light_passes_through_the_published_points(lux, felt):
    assert covariates.light(np.array([float(lux)]))[0] == pytest.approx(felt, abs=0.005)


@given(st.floats(0, 1e4), st.floats(0, 1e4))
def test_more_light_never_counts_less_and_is_flat_after_fifty(a, b):
    low, high = covariates.light(np.array(sorted([a, b])))
    assert low <= high
    if min(a, b) >= 50:
        assert low == high


@pytest.mark.parametrize(
    ("value", "slope", "at"),
    [
        (covariates.light, covariates.light_slope, [0.1, 2.0, 20.0]),
        (covariates.people, covariates.people_slope, [1.0, 120.0, 4000.0]),
    ],
)
def test_a_slope_is_the_change_for_a_change_of_the_logarithm(value, slope, at):
    x = np.array(at)
    h = 1e-5
    assert slope(x) == pytest.approx((value(x * np.exp(h)) - value(x * np.exp(-h))) / (2 * h), rel=1e-6)


def test_people_count_one_at_thirty_a_minute_and_a_crowd_begins_there():
    assert covariates.people(np.array([0.0, 1800.0])) == pytest.approx([0.0, 1.0])
    assert covariates.crowd(np.array([0.0, 1799.0, 1800.0])) == pytest.approx([0, 0, 0])
    assert covariates.crowd(np.array([1800 * np.e]))[0] == pytest.approx(1.0)


def test_the_same_light_everywhere_is_even():
    lit = np.full((20, 20), 5.0, np.float32)
    assert covariates.evenness(lit, lit, 10.0) == pytest.approx(1.0)
    assert covariates.evenness(lit, lit / 10, 10.0) == pytest.approx(0.0, abs=1e-6)


def test_evenness_looks_past_houses_and_is_unknown_off_the_street():
    lit = np.full((20, 20), 5.0, np.float32)
    lowest = lit.copy()
    lit[:, 10:] = np.nan
    lowest[0, 0] = np.nan
    even = covariates.evenness(lit, lowest, 10.0)
    assert even[10, 9] == pytest.approx(1.0)
    assert np.isnan(even[0, 0])


def test_noise_that_people_explain_leaves_nothing_over():
    footfall = np.array([10.0, 100.0, 1000.0, 3000.0])
    around = covariates.people(footfall)
    level = 50 + 12 * around
    on_people = covariates.noise_explained(level, around, np.ones(4))
    assert on_people == pytest.approx((50, 12))
    assert covariates.noise_rest(level, around, on_people) == pytest.approx(0, abs=1e-9)
    assert covariates.noise_rest(level + 10, around, on_people) == pytest.approx(1)
    assert covariates.noise_explained(level, np.full(4, 0.3), np.ones(4))[1] == 0


def test_the_hours_curve_is_zero_at_nine_and_one_at_its_own_knot():
    curve = covariates.hour_curve(np.array(KNOTS_H))
    assert np.delete(curve, 1, axis=0) == pytest.approx(np.eye(4))
    assert curve[1] == pytest.approx(0)


def test_straight_lines_stay_straight_through_the_spline():
    hours = np.linspace(0, 12, 50)
    knots = np.array(KNOTS_H)
    heights = 0.3 * (knots - 3.0)
    assert covariates.hour_curve(hours) @ np.delete(heights, 1) == pytest.approx(0.3 * (hours - 3.0))


def test_hours_run_from_six_in_the_evening_local_and_are_held_in_daytime():
    local = ["2026-11-20T18:00+02:00", "2026-11-21T00:30+02:00", "2026-11-21T05:00+02:00", "2026-11-20T16:00+02:00"]
    local += ["2026-11-20T09:00+02:00"]
    times = pd.to_datetime(local, utc=True).tz_localize(None).to_numpy().astype("datetime64[ms]")
    assert covariates.hours_into_night(times, HELSINKI) == pytest.approx([0, 6.5, 11, 0, 12])
    summer = pd.to_datetime(["2026-07-20T23:00+03:00"], utc=True).tz_localize(None).to_numpy().astype("datetime64[ms]")
    assert covariates.hours_into_night(summer, HELSINKI) == pytest.approx([5])


def test_a_weekend_night_lasts_until_the_morning_after():
    friday_late = np.array(["2026-11-21T01:00", "2026-11-20T01:00", "2026-11-22T23:00"], "datetime64[ms]")
    assert covariates.weekend(friday_late, HELSINKI).tolist() == [True, False, False]


def test_the_closing_wave_is_highest_at_closing_and_fades_both_ways():
    closes = np.array([840.0])  # two in the morning
    around = np.datetime64("2026-11-21T00:00", "ms") + np.arange(-60, 61, 30).astype("timedelta64[m]")
    wave = covariates.closing_wave(around, closes, np.ones((5, 1)), HELSINKI)
    assert wave[2] == pytest.approx(1.0)
    assert wave == pytest.approx(wave[::-1])
    assert wave[1] == pytest.approx(np.exp(-1))
    assert covariates.closing_wave(around, closes, np.zeros((5, 1)), HELSINKI).max() == 0
    weekday = around - np.timedelta64(3, "D")
    assert covariates.closing_wave(weekday, closes, np.ones((5, 1)), HELSINKI).max() == 0


def test_every_code_has_a_term_but_one_reference():
    for column in covariates.GROUP_COLUMNS:
        zero = [code for code in CODES[column] if not covariates.group_design(one_answer(**{column: code})).any()]
        assert len(zero) == 1, (column, zero)


def test_light_does_not_count_by_day_and_day_has_its_own_offset():
    features = np.ones((1, len(FEATURES)))
    dark = covariates.design(one_answer(gender="woman"), features, HELSINKI)[0]
    day = covariates.design(one_answer(gender="woman", light_state="day"), features, HELSINKI)[0]
    for name in ("light", "light_even", "woman_light"):
        assert dark[COLUMN[name]] == 1 and day[COLUMN[name]] == 0
    assert dark[COLUMN["people"]] == day[COLUMN["people"]] == 1
    assert (dark[COLUMN["day"]], day[COLUMN["day"]]) == (0, 1)


def test_crossed_terms_are_products():
    features = np.full((1, len(FEATURES)), 0.5)
    row = covariates.design(one_answer(gender="woman", age_band="65+", alone="alone"), features, HELSINKI)[0]
    assert row[COLUMN["woman_light"]] == row[COLUMN["older_light"]] == 0.5
    assert row[COLUMN["woman_alone"]] == 1
    man = covariates.design(one_answer(), features, HELSINKI)[0]
    assert not man[[COLUMN[name] for name in ("woman_light", "older_light", "woman_people", "woman_late")]].any()


def test_each_term_has_a_name_of_its_own_a_prior_and_a_reason():
    assert len(set(NAMES)) == len(NAMES)
    assert all(term.sd > 0 and term.reason and term.words for term in TERMS)
    standard, sceptical = covariates.priors(), covariates.priors("sceptical")
    assert sceptical[0][COLUMN["light"]] == 0.3 < standard[0][COLUMN["light"]] == 0.8
    assert np.delete(standard[0], COLUMN["light"]).tolist() == np.delete(sceptical[0], COLUMN["light"]).tolist()


def test_what_is_in_view_counts_at_its_hours_and_the_nearest_of_its_kind():
    times = np.array(["2026-11-20T20:00", "2026-11-21T01:00"], "datetime64[ms]")  # 22:00 and 3:00 in Helsinki
    kind = np.array([0, 0, 2])
    from_min, to_min = np.array([0, 0, 600]), np.array([1440, 1440, 780])  # the patrol from 22:00 to 1:00
    near = np.array([[0.2, 0.7, 0.9], [0.2, 0.7, 0.9]], np.float32)
    found = covariates.presence_near(times, kind, from_min, to_min, near, HELSINKI)
    assert found == pytest.approx(np.array([[0.7, 0.0, 0.9], [0.7, 0.0, 0.0]]))


def test_no_sign_is_assumed_of_cameras_staff_and_patrols():
    mean, sd = covariates.priors()
    for name in ("camera", "staff", "patrol", "woman_camera", "woman_staff", "woman_patrol"):
        assert mean[COLUMN[name]] == 0 and 0.2 <= sd[COLUMN[name]] <= 0.4


def test_a_camera_counts_for_women_with_a_number_of_its_own():
    features = np.zeros((1, len(FEATURES)))
    features[0, COLUMN["camera"]] = 0.5
    man, woman = (covariates.design(one_answer(gender=g), features, HELSINKI)[0] for g in ("man", "woman"))
    assert man[COLUMN["camera"]] == woman[COLUMN["camera"]] == 0.5
    assert man[COLUMN["woman_camera"]] == 0 and woman[COLUMN["woman_camera"]] == 0.5
