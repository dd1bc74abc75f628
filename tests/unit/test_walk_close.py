from __future__ import annotations

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from analytics.model import fit
from analytics.walk_close import close_walk
from analytics.walk_sureness import model_before
from noctule import app
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


def test_a_participant_who_asks_for_it_is_erased_by_the_receipts_of_the_sheet(city, tmp_path):
    walk = walked(city)
    sheet, receipts = tmp_path / "keyed.csv", tmp_path / "receipts.csv"
    keyed(city, walk, 11).to_csv(sheet, index=False)
    run = CliRunner()
    arguments = ["walk", "close", str(city.path), "autumn", "--sheet", str(sheet), "--no-fit", "--json"]
    first = run.invoke(app, [*arguments, "--receipts", str(receipts)])
    assert json.loads(first.stdout)["people"] == 11
    given = pd.read_csv(receipts).set_index("response_id")["receipt"]
    for response, receipt in given.items():
        if response.startswith("p03-"):
            assert run.invoke(app, ["survey", "remove", str(city.path), "--receipt", receipt]).exit_code == 0
    assert json.loads(run.invoke(app, arguments).stdout)["people"] == 10  # and the sheet does not bring them back


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "has no walk 'nowhere'"),
        (["autumn", "--sheet", "missing.csv"], "there is no file"),
        (["autumn", "--actions", "missing.csv"], "cannot be read"),
        (["Bad Id"], "walk id"),
    ],
)
def test_what_cannot_be_closed_is_refused_with_its_reason(city, arguments, says):
    walked(city)
    done = CliRunner().invoke(app, ["walk", "close", str(city.path), *arguments])
    assert done.exit_code == 1 and says in str(done.exception)
