from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from analytics.ask_next import STEPS, ask_next, chosen_rows, list_of
from analytics.asking_value import Unsureness, asking_value, expected_map, shown_share
from analytics.model import fit
from ingest.surveys import import_answers
from noctule import app
from sensors.errors import ModelError
from sensors.night import Night
from tests.synthetic_city import make_city
from tests.unit.test_surveys import rows, written

POINTS = np.array([[0.0, 0.0], [50.0, 0.0], [200.0, 0.0], [2000.0, 0.0]])


def answered(folder, people, seed=0):
    city = make_city(folder / "town")
    if people:
        table = rows(people)
        table["time"] = [f"2026-11-{1 + i % 3:02d}T2{i % 2}:00:00Z" for i in range(people)]
        table["pseudonym"] = [f"p{i}" for i in range(people)]
        import_answers(city, written(folder, table), simulated=True)
    fit(city, Night.named("2026-11-20", city.zone))
    return city


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return answered(tmp_path_factory.mktemp("town"), 120)


def unsure():
    return Unsureness(POINTS, np.full(4, 0.15), 300.0, 0.16)


def test_asking_takes_most_away_where_one_asks_and_nothing_far_away():
    asked = unsure()
    asked.ask(0, 10)
    taken = 0.15 - asked.variance
    assert (np.diff(taken) < 0).all()
    assert taken[3] < 1e-4


def test_the_order_in_which_places_are_asked_does_not_matter():
    one, other = unsure(), unsure()
    for at, people in ((0, 10), (2, 20)):
        one.ask(at, people)
    for at, people in ((2, 20), (0, 10)):
        other.ask(at, people)
    np.testing.assert_allclose(one.variance, other.variance, rtol=1e-12)


def test_ten_people_and_ten_more_tell_what_twenty_tell():
    one, other = unsure(), unsure()
    one.ask(1, 10)
    one.ask(1, 10)
    other.ask(1, 20)
    np.testing.assert_allclose(one.variance, other.variance, rtol=1e-9)


def test_what_n_people_leave_at_a_place_is_the_law_of_two_variances():
    asked = unsure()
    asked.ask(0, 10)
    noise = (1 + 0.16) / (0.86 * 10)
    assert asked.variance[0] == pytest.approx(1 / (1 / 0.15 + 1 / noise))


def test_how_safe_people_feel_has_no_part_in_the_order(town):
    asking = asking_value(town)
    own = asking.perception.own
    turned = replace(own, mean_u=-own.mean_u, mean_v=-own.mean_v)
    other = replace(asking, perception=replace(asking.perception, own=turned, mean=-asking.perception.mean))
    assert chosen_rows(asking, 8) == chosen_rows(other, 8)
    np.testing.assert_array_equal(asking.value, other.value)


def test_places_of_the_list_lie_apart_and_come_by_what_asking_is_worth(town):
    places = ask_next(town, 4)
    assert places["rank"].tolist() == list(range(1, len(places) + 1))
    assert places["section"].is_unique
    near = places.geometry.apply(lambda point: places.geometry.distance(point).sort_values().iloc[1])
    assert near.min() >= 100
    asking = asking_value(town)
    assert places["section"].iloc[0] == asking.sections["section"].iloc[int(np.argmax(asking.value))]


def test_nobody_is_told_how_many_below_ten_have_answered(tmp_path):
    told = []
    for people in (8, 9):
        folder = tmp_path / str(people)
        folder.mkdir()
        places = ask_next(answered(folder, people), 4)
        assert set(places["people"]) <= set(STEPS)
        # What the whole city's coefficients make of the hatching moves with every answer, wherever it was given.
        told.append(places.drop(columns=["geometry", "shown_after"]))
    assert told[0].equals(told[1])


def test_a_city_without_answers_gets_a_plan_and_so_does_one_without_a_model(tmp_path):
    city = make_city(tmp_path / "bare")
    before = list_of(city, 3)
    assert before.model == "" and before.shown_now == 0.0
    assert "Nobody has answered yet" in before.text()
    assert len(before.places) >= 2 and (before.places["people"] >= 10).all()
    assert before.places["shown_after"].is_monotonic_increasing
    fit(city, Night.named("2026-11-20", city.zone))
    assert list_of(city, 3).model != ""


def test_asking_enough_people_shows_no_less_of_the_map(tmp_path):
    city = answered(tmp_path, 9)
    asking = asking_value(city)
    shares = [shown_share(asking, expected_map(asking, [(0, people)])) for people in (1, 9, 10, 40)]
    assert shares[0] == shares[1] == 0.0
    assert 0.0 < shares[2] <= shares[3]


def test_a_list_of_no_places_is_refused(town):
    with pytest.raises(ModelError, match="expected 1 to 100"):
        list_of(town, 0)


def test_the_command_gives_text_json_csv_and_geojson(town, tmp_path):
    run = CliRunner()
    path = str(town.path)
    text = run.invoke(app, ["ask-next", path, "--number", "3"]).stdout
    assert "un-hatch" in text and "SIMULATED" in text
    said = json.loads(run.invoke(app, ["ask-next", path, "--number", "3", "--json"]).stdout)
    assert [place["rank"] for place in said["places"]] == [1, 2, 3]
    csv, geojson = tmp_path / "a.csv", tmp_path / "a.geojson"
    assert run.invoke(app, ["ask-next", path, "--csv", str(csv), "--geojson", str(geojson)]).exit_code == 0
    assert csv.read_text("utf-8").startswith("rank,section,label")
    assert json.loads(geojson.read_text("utf-8"))["features"][0]["properties"]["rank"] == 1
