"""The model and the arithmetic beside real levels: Leuven's hourly medians, Nantes' 519 points.

Neither city's sources are known here, so this cannot say how well a place is met; it says that levels, their fall
through the night and their spread are of the right size. How well a meter that is left out is met, `noctule noise
--leave-out` says for a city.
"""

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from analytics import footfall, levels, noise
from analytics.knowledge import learn_from
from analytics.surroundings import Surroundings, surroundings
from sensors.night import Night
from tests.shared_data import shared_data
from tests.synthetic_city import make_city

# Median LAF50 of Leuven's meters, Friday and Saturday, 20 h to 05 h (shared data README 6).
LEUVEN_L50 = np.array([52, 51, 51, 50, 48, 46, 44, 42, 41, 40])


@pytest.fixture(scope="module")
def town(tmp_path_factory) -> Surroundings:
    return surroundings(make_city(tmp_path_factory.mktemp("town")))


def street_levels(town: Surroundings, hours) -> np.ndarray:
    """Modelled LAeq on street cells by hour (Friday 20 November 2026), (hours, cells)."""
    night = Night.named("2026-11-20", ZoneInfo(town.zone))
    learnt = learn_from([], town)
    usual = footfall.place_level(town, learnt.coefficients)
    street = town.street & ~town.indoor
    found = []
    for hour in hours:
        moment = night.at(hour, 30)
        people = np.exp(usual + np.float32(learnt.footfall.at(moment, town.zone)))
        found.append(noise.background_level(town, people, moment)[street])
    return np.array(found)


def test_streets_lie_between_leuvens_medians_and_what_events_add_to_them(town):
    """A mean of energy is above the median, and by less than Nantes' 15 dB above L90, which lies lower still."""
    middle = np.median(street_levels(town, range(20, 30)), axis=1)
    above = middle - LEUVEN_L50
    assert np.all(above > 0.0)
    assert np.all(above < 15.0)


def test_streets_fall_through_the_night_as_in_leuven(town):
    """From 20 h to 04 h by 11 dB there; within the 3.3 dB by which Leuven's own residuals spread."""
    middle = np.median(street_levels(town, range(20, 30)), axis=1)
    assert middle[0] - middle[8] == pytest.approx(LEUVEN_L50[0] - LEUVEN_L50[8], abs=3.3)
    assert np.all(np.diff(middle[:8]) < 0.5)


def nantes() -> pd.DataFrame:
    return pd.read_csv(shared_data("nantes-soundscape/points.csv")).dropna(subset=["Leq", "L90"])


def test_nantes_points_lie_ten_to_twenty_decibels_above_their_background():
    points = nantes()
    assert len(points) == 511  # of 519 points, those that have both
    assert (points.Leq - points.L90).quantile([0.25, 0.5, 0.75]).tolist() == pytest.approx([10, 15, 20], abs=0.5)


def test_what_arithmetic_forbids_is_a_fault_of_the_file():
    """Nine tenths of the time are louder than L90, so LAeq >= L90 + 10 lg 0.9 whatever the tenth is."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        second = np.concatenate([np.full(90, generator.uniform(30, 60)), generator.uniform(20, 90, 10)])
        assert levels.laeq(second) >= levels.exceeded(second, 90) + 10 * np.log10(0.9) - 1e-9
    impossible = nantes().query("L90 > Leq + 0.4576")
    assert 0 < len(impossible) <= 3  # README: some rows have L90 above Leq


def test_a_background_with_events_has_nantes_spread():
    """Seconds of a background and passing events, as loud and as rare as in streets, by our own percentiles."""
    generator = np.random.default_rng(4)
    found = []
    for _ in range(100):
        second = 50 + generator.normal(0, 1.5, 600)
        for at in generator.integers(0, 600, generator.poisson(12)):
            second = np.maximum(second, 50 + generator.uniform(8, 32) - 1.0 * np.abs(np.arange(600) - at))
        of_bins = levels.exceeded_of_histogram(levels.histogram(second), 90)
        assert of_bins == pytest.approx(levels.exceeded(second, 90), abs=0.5)
        found.append(levels.laeq(second) - of_bins)
    lower, upper = np.percentile(found, [25, 75])
    assert 10 <= lower <= upper <= 20


def test_streets_by_day_lie_within_nantes_range(town):
    """41 to 96 dB there; the made-up town has quiet streets only, so its median says nothing about theirs."""
    by_day = street_levels(town, [15]).ravel()
    assert nantes().Leq.min() < by_day.min()
    assert by_day.max() < nantes().Leq.max()
