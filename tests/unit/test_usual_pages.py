"""The usual of a place: of which nights it is, what differs from it, and that no difference is claimed too easily."""

import numpy as np
import pytest

from analytics.usual_pages import own_terms, unlike, usual_nights, usual_of, usual_step
from dashboard.runs import Runs
from dashboard.scales import SCALES
from dashboard.scene import Viewer, night_scene
from dashboard.words import words
from sensors.clock import city_clock
from sensors.journal import Entry, add_entry
from tests import synthetic_atlas
from tests.synthetic_city import make_city

FRIDAYS = ("2026-10-16", "2026-10-23", "2026-10-30", "2026-11-06", "2026-11-13")


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    made = make_city(tmp_path_factory.mktemp("usual") / "smalltown")
    for name in (*FRIDAYS, "2026-11-19", "2026-11-20"):
        synthetic_atlas.write_night(made, name, steps=2)
    return made


def constant(value, nights=6, shape=(3, 4)):
    return np.full((nights, *shape), value, np.float32)


def test_the_usual_is_of_the_same_weekday_of_earlier_weeks(city):
    assert usual_nights(city, "2026-11-20").names == tuple(reversed(FRIDAYS))
    assert not usual_nights(city, "2026-11-19").enough


def test_a_holiday_is_no_usual_night(city):
    before = usual_nights(city, "2026-11-20")
    add_entry(city, Entry("", "holiday", "All Saints", "2026-11-06T00:00:00+02:00", "2026-11-07T00:00:00+02:00"))
    after = usual_nights(city, "2026-11-20")
    assert set(before.names) - set(after.names) == {"2026-11-06"} and before.digest != after.digest


def test_the_same_page_every_week_differs_from_its_usual_nowhere(city):
    runs = Runs(city)
    run = runs.get("2026-11-20")
    for layer in ("usual_safety", "usual_light", "usual_footfall", "usual_noise"):
        found = runs.unlike(run, layer, 1)
        known = np.isfinite(found.change)
        assert known.any()
        np.testing.assert_allclose(found.change[known], 0, atol=1e-4)
        assert (np.abs(found.change[known]) < found.half[known]).all()


def test_what_is_far_from_a_steady_usual_differs_and_what_is_near_does_not():
    usual = usual_of(constant(50), constant(2))
    for moved, differs in ((0.5, False), (30.0, True), (-30.0, True)):
        change, half = unlike(constant(50 + moved)[0], constant(2)[0], usual)
        np.testing.assert_allclose(change, moved)
        assert ((np.abs(change) > half) == differs).all()


def test_nights_that_vary_widen_the_interval():
    steady = usual_of(constant(50), constant(1))
    restless = usual_of(constant(50) + np.array([-9, 9, -9, 9, -9, 9], np.float32)[:, None, None], constant(1))
    tonight = constant(50)[0], constant(1)[0]
    assert (unlike(*tonight, restless)[1] > 3 * unlike(*tonight, steady)[1]).all()


def test_a_difference_of_chance_is_named_in_a_tenth_of_cases_at_most():
    rng = np.random.default_rng(5)
    nights = rng.normal(50, 4, (7, 200, 200)).astype(np.float32)
    change, half = unlike(nights[0], np.zeros((200, 200)), usual_of(nights[1:], np.zeros_like(nights[1:])))
    assert 0.05 < (np.abs(change) > half).mean() < 0.11


def test_less_than_four_nights_say_nothing():
    values = constant(50, 6)
    values[:3, 0, 0] = np.nan
    usual = usual_of(values, constant(1, 6))
    assert np.isnan(usual.mean[0, 0]) and np.isfinite(usual.mean[1:]).all()


def test_a_ratio_is_told_alike_in_both_directions():
    scale = SCALES["usual_light"]
    low, middle, high = scale.to_value(own_terms(np.array([0.5, 1.0, 2.0]), 0.05)).tolist()
    assert middle == 50 and high - 50 == pytest.approx(50 - low) and high == pytest.approx(75)
    np.testing.assert_allclose(np.exp(scale.to_quantity([25.0, 50.0, 75.0])), [0.5, 1.0, 2.0], rtol=1e-6)


def test_the_usual_of_a_step_that_no_earlier_night_closed_is_not_known(city):
    step = Runs(city).get("2026-11-20").times[0] + np.timedelta64(5, "h")
    names = usual_nights(city, "2026-11-20").names
    assert usual_step(city, names, step, "noise", "noise_sd", "atlas", 0.0) is None


def test_a_tile_of_the_comparison_is_of_one_set_of_nights(city):
    runs = Runs(city)
    run, digest = runs.get("2026-11-20"), runs.usual.nights("2026-11-20", "atlas").digest
    plain = run.versions[0]
    assert runs.levels("2026-11-20", "usual_light", 0, f"{plain}u{digest}")
    assert runs.levels("2026-11-20", "usual_light", 0, f"{plain}uffffff") is None  # of nights that changed since
    assert runs.levels("2026-11-20", "usual_light", 0, plain) is None
    assert runs.levels("2026-11-20", "light", 0, f"{plain}u{digest}") is None


def test_public_pages_are_compared_with_public_pages_alone(city):
    runs, say = Runs(city), words("en")
    synthetic_atlas.write_night(city, "2026-11-20", steps=2, level="public")
    few = night_scene(runs, city_clock(city.path), Viewer("public", say), "public-2026-11-20")["usual"]
    assert few["layers"] == [] and "0 earlier nights" in few["words"]  # whatever lies on the viewer's shelf
    for name in FRIDAYS:
        synthetic_atlas.write_night(city, name, steps=2, level="public")
    found = Runs(city).usual.nights("2026-11-20", "public")
    assert found.enough and found.digest != runs.usual.nights("2026-11-20", "atlas").digest


def test_the_page_says_of_which_nights_the_usual_is_or_that_they_are_too_few(city):
    say, clock = words("en"), city_clock(city.path)
    scene = night_scene(Runs(city), clock, Viewer("viewer", say), "2026-11-20")
    assert "usual_footfall" in scene["usual"]["layers"] and "4 earlier nights" in scene["usual"]["words"]
    assert set(scene["simulated"]) >= {"usual_light", "usual_safety"}
    few = night_scene(Runs(city), clock, Viewer("viewer", say), "2026-11-19")["usual"]
    assert few["layers"] == [] and "at least 4" in few["words"]
