"""Tonight's answers move `now` as a refit would, and a place only by ten people's answers at a time."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from analytics.fitting import fit_response, ladders_in, ladders_of
from analytics.live_answers import LiveAnswers
from analytics.model import Model
from analytics.place_effect import moved_effect, place_effect
from analytics.place_update import moved_by
from analytics.release import joining
from analytics.surroundings import surroundings
from sensors.answer import ANSWER_COLUMNS
from tests.synthetic_city import SOUTH, WEST, make_city
from tests.unit.test_perception import closing_places, world
from tests.worlds import CUTS, priors
from tests.worlds import world as made_world

NIGHT = "2026-11-20"
NOW = np.datetime64("2026-11-20T21:00", "ms")


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A desk whose model is of the night, with answers before it; fields are what the answers say they were."""
    city = make_city(tmp_path / "town")
    around = surroundings(city)
    table, raw = world(800)
    perception = fit_response(table, raw, city, around, closing_places(city, around), raw)
    model = Model("d", NIGHT, "p", SimpleNamespace(), perception, SimpleNamespace())
    conditions = raw.mean(numeric_only=True)

    def fields(city, surroundings, knowledge, table, progress=None):
        return pd.DataFrame([conditions] * len(table))

    monkeypatch.setattr("analytics.live_answers.fields_at_answers", fields)
    city.shelf("answers").mkdir(parents=True)
    city.shelf("atlas").mkdir(parents=True)
    return dataclasses.make_dataclass("Desk", ["city", "surroundings", "model"])(city, around, model)


def tonight(desk, n, category=1, first=0, minutes=0, east=75.0):
    """Answers of n people at one place tonight, as ingest keeps them."""
    table, _ = world(n)
    table = table.assign(
        easting=WEST + east, northing=SOUTH + 75.0, category=category, campaign="tonight", pseudonym="",
        time=NOW - np.timedelta64(60 - minutes, "m"), consent_version="",
    )  # fmt: skip
    table["response_id"] = [f"t{first + i}" for i in range(n)]
    table["pseudonym"] = [f"tonight-{first + i}" for i in range(n)]
    file = desk.city.shelf("answers") / "tonight.parquet"
    kept = table[list(ANSWER_COLUMNS)].astype(ANSWER_COLUMNS)
    if file.is_file():
        kept = pd.concat([pd.read_parquet(file), kept])
    kept.to_parquet(file)


def own(desk):
    effect = desk.model.perception.own
    return effect.mean_u[int((SOUTH + 75 - effect.south) // 50), int((WEST + 75 - effect.west) // 50)]


def test_without_an_answer_tonight_the_desk_is_the_same(desk):
    live = LiveAnswers(desk)
    assert live.look(NOW) is desk and live.look(NOW) is desk


def test_an_answer_of_tonight_moves_the_city_and_ten_peoples_move_their_place(desk):
    live = LiveAnswers(desk)
    tonight(desk, 9)
    few = live.look(NOW)
    assert few is not desk
    assert few.model.perception.mean[:5] != pytest.approx(desk.model.perception.mean[:5], abs=1e-9)
    assert live.look(NOW) is few  # nothing new
    tonight(desk, 1, first=9)
    enough = live.look(NOW)
    assert own(enough) < own(few) - 0.03  # ten people feel very unsafe there


@pytest.mark.parametrize("joined", [0, 10])
@pytest.mark.parametrize("waiting", [1, 9])
def test_what_waits_says_no_more_of_its_own_place_than_if_it_had_been_given_elsewhere(desk, joined, waiting):
    """East of the line between two cells of 400 m or west of it: the map west of it is the same."""
    file = desk.city.shelf("answers") / "tonight.parquet"
    seen = []
    for east in (75.0, 275.0):
        live = LiveAnswers(desk)
        if joined:
            tonight(desk, joined)
            live.look(NOW)
        tonight(desk, waiting, first=100, east=east)
        seen.append(own(live.look(NOW)))
        assert own(LiveAnswers(desk).look(NOW)) == pytest.approx(seen[-1], abs=1e-6)  # a mapper that starts anew
        file.unlink()
        (desk.city.shelf("atlas") / "joined.json").unlink(missing_ok=True)
    assert seen[0] == pytest.approx(seen[1], abs=1e-6)


def test_answers_to_come_and_those_of_before_count_for_nothing(desk):
    live = LiveAnswers(desk)
    tonight(desk, 12, minutes=90)
    assert live.look(NOW) is desk
    assert live.look(NOW + np.timedelta64(1, "h")) is not desk


def test_an_answer_that_is_erased_is_gone_from_now(desk):
    live = LiveAnswers(desk)
    tonight(desk, 12)
    moved = live.look(NOW)
    (desk.city.shelf("answers") / "tonight.parquet").unlink()
    assert moved is not desk and live.look(NOW) is desk


def test_a_model_of_published_shares_waits_for_noon(desk):
    shares = dataclasses.replace(desk.model.perception, fit=None)
    still = dataclasses.replace(desk, model=dataclasses.replace(desk.model, perception=shares))
    tonight(desk, 12)
    assert LiveAnswers(still).look(NOW) is still


def test_what_waits_joins_by_when_it_came_and_not_by_when_it_was_given():
    table = pd.DataFrame(
        {
            "response_id": [f"r{i}" for i in range(19)], "pseudonym": [f"p{i}" for i in range(19)],
            "weight": 1.0, "easting": 10.0, "northing": 10.0,
        }
    )  # fmt: skip
    first = joining(table[:10], frozenset())
    assert len(first) == 10
    assert joining(table, first) == first  # nine more wait
    assert joining(table[9:], frozenset()) == {f"r{i}" for i in range(9, 19)}
    one = table.assign(pseudonym="the same")
    assert joining(one, frozenset()) == frozenset()


def test_a_map_moved_by_its_factor_is_the_map_made_anew():
    from analytics.grid import Grid
    from analytics.place_fit import fit_with_places

    made = made_world(300, terms=3)
    fit = fit_with_places(made.answers, made.region, *priors(3), CUTS)
    grid = Grid(10.0, 0.0, 0.0, (100, 100))
    moved = moved_by(fit, made.answers)
    assert np.abs(fit.covariance - moved.fit.covariance - moved.factor @ moved.factor.T).max() < 1e-9
    quick = moved_effect(place_effect(grid, fit), grid, fit, moved)
    anew = place_effect(grid, moved.fit)
    for name in ("mean_u", "mean_v", "variance_u", "variance_v", "covariance_uv", "across_u", "across_v"):
        assert getattr(quick, name) == pytest.approx(getattr(anew, name), abs=2e-6)


def test_the_ladders_of_a_fit_can_be_read_from_its_names(desk):
    table, _ = world(50)
    assert ladders_in(desk.model.perception) == ladders_of(table)
