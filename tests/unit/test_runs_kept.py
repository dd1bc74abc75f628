"""What a server keeps of pages that it read: of `now` for browsers that still ask for it, of nights for curves."""

import numpy as np
import pytest

from dashboard import runs as module
from dashboard.runs import NOW, Runs
from tests import synthetic_atlas
from tests.synthetic_city import make_city


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def versions_kept(city, count):
    runs = Runs(city)
    told = []
    for shift in range(count):
        synthetic_atlas.write_now(city, "2026-11-20", 3, float(shift))
        told.append(runs.get(NOW).versions[0])
    return [runs.at(NOW, 0, version) is not None for version in told]


def test_the_last_few_pages_of_now_are_kept_for_browsers_that_ask_a_moment_late(city):
    assert versions_kept(city, 10) == [False] * 2 + [True] * 8


def test_of_pages_of_a_large_city_only_the_newest_stays_in_memory(city, monkeypatch):
    monkeypatch.setattr(module, "_KEPT_NOW_BYTES", 1_000)
    assert versions_kept(city, 3) == [False, False, True]


def test_a_curve_has_the_map_s_values_reads_each_page_once_and_makes_no_tiles(city, monkeypatch):
    synthetic_atlas.write_night(city, "2026-11-20", steps=3)
    runs = Runs(city)
    run = runs.get("2026-11-20")
    row, column = np.argwhere(np.isfinite(runs.fields(run, 0, ("noise",))["noise"]))[5]
    drawn = [int(runs.levels(run.name, "noise", frame, run.versions[frame])[0][row + 1, column + 1]) & 255
             for frame in range(3)]  # fmt: skip
    sds = [float(runs.fields(run, frame, ("noise_sd",))["noise_sd"][row, column]) for frame in range(3)]

    asked = []
    monkeypatch.setattr(runs, "fields", lambda *asks: asked.append(asks[1]) or Runs.fields(runs, *asks))
    monkeypatch.setattr(module, "pyramid", None)
    for _ in range(2):
        curve, spread = runs.curve(run, "noise", row, column), runs.spread(run, "noise", row, column)
        assert curve[:3] == [float(module.SCALES["noise"].to_quantity(value)) for value in drawn]
        assert spread[:3] == pytest.approx(sds, rel=1e-3)
        assert set(curve[3:]) == set(spread[3:]) == {None}
    assert asked == [0, 1, 2]
