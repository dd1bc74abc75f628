"""The ends of a layer's interval and how wide it is, as the map shows them."""

import numpy as np
import pytest

from dashboard.runs import Runs
from dashboard.scales import PARTS, SCALES
from dashboard.tiles import NOTHING
from tests import synthetic_atlas
from tests.synthetic_city import make_city


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    city = make_city(tmp_path_factory.mktemp("city") / "smalltown")
    synthetic_atlas.write_night(city, "2026-11-20", steps=1)
    return Runs(city)


def values(runs, layer):
    run = runs.get("2026-11-20")
    packed = runs.levels("2026-11-20", layer, 0, run.versions[0])[0][1:-1, 1:-1]
    value = (packed & 255).astype(float)
    return np.where(value == NOTHING, np.nan, value)


@pytest.mark.parametrize("layer", ["safety", "light", "footfall", "noise"])
def test_the_mean_lies_between_the_ends_and_nothing_is_told_where_it_is_not(runs, layer):
    lower, mean, upper, wide = (
        values(runs, name) for name in (f"{layer}_lower", layer, f"{layer}_upper", f"{layer}_sd")
    )
    known = np.isfinite(mean)
    assert known.any()
    for part in (lower, upper, wide):
        assert np.array_equal(np.isfinite(part), known)
    assert (lower[known] <= mean[known]).all()
    assert (mean[known] <= upper[known]).all()
    assert (lower[known] < upper[known]).any()


def test_the_ends_are_those_that_a_place_is_told_with(runs):
    run = runs.get("2026-11-20")
    fields = runs.fields(run, 0, ("noise", "noise_sd"))
    row, column = (int(n[0]) for n in np.nonzero(np.isfinite(fields["noise"])))
    low, high = SCALES["noise"].interval(float(fields["noise"][row, column]), float(fields["noise_sd"][row, column]))
    assert values(runs, "noise_lower")[row, column] == pytest.approx(float(SCALES["noise"].to_value(low)), abs=0.5)
    assert values(runs, "noise_upper")[row, column] == pytest.approx(float(SCALES["noise"].to_value(high)), abs=0.5)


def test_every_part_is_of_a_layer_with_an_error():
    assert all(SCALES[layer].sd for layer in PARTS.values())
