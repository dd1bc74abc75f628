from __future__ import annotations

import pytest

from analytics.model import fit
from analytics.walk_close import close_walk
from analytics.walk_sureness import model_before
from sensors.night import Night
from tests.synthetic_city import make_city
from tests.walkers import NIGHT, keyed, take, walked


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def test_the_map_of_before_is_one_without_the_walk(city):
    assert model_before(city, walked(city)) is None
    walk = walked(city)
    first = fit(city, Night.named(NIGHT, city.zone))
    assert model_before(city, walk).digest == first.digest
    take(city, walk, keyed(city, walk, 12))
    second = fit(city, Night.named("2026-11-22", city.zone))
    assert walk.campaign in second.perception.campaigns
    assert model_before(city, walk).digest == first.digest


def test_closing_without_a_fit_says_that_the_map_is_as_it_was(city):
    walk = walked(city)
    take(city, walk, keyed(city, walk, 12))
    closed = close_walk(city, walk, refit=False)
    assert closed.sure is None and not closed.fitted
    assert "not in the map yet" in (city.path / "walks" / "autumn" / "report.en.html").read_text("utf-8")
