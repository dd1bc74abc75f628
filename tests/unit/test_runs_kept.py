"""How many superseded pages of `now` a server keeps for browsers that still ask for them."""

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
