from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from analytics.fields import fields_at
from analytics.model import current_model, fit, load_model
from analytics.perception import fuse
from analytics.release import release
from analytics.surroundings import surroundings
from ingest.surveys import import_answers, remove_answers
from sensors.errors import ModelError
from sensors.night import Night
from sensors.reading import empty_records
from tests.synthetic_city import make_city
from tests.unit.test_surveys import rows, written


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    folder = tmp_path_factory.mktemp("town")
    city = make_city(folder / "town")
    table = rows(150)
    table["time"] = [f"2026-11-{1 + i % 3:02d}T2{i % 2}:00:00Z" for i in range(150)]
    table["pseudonym"] = [f"p{i}" for i in range(150)]
    import_answers(city, written(folder, table), simulated=True)
    night = Night.named("2026-11-20", city.zone)
    return city, night, fit(city, night)


def page(city, model, night):
    around = surroundings(city)
    fields = fields_at(around, model.knowledge, empty_records(), night.steps()[8])
    return release(fuse(fields, model.perception, city), model.support, city)


def test_a_loaded_model_makes_the_same_page_to_the_bit(town):
    city, night, model = town
    again = load_model(city)
    assert again.digest == model.digest and again.night == "2026-11-20"
    xr.testing.assert_identical(page(city, again, night), page(city, model, night))
    assert np.isfinite(page(city, again, night)["safety"].to_numpy()).any()


def test_the_same_answers_give_the_same_digest_whenever_they_are_fitted(town):
    city, night, model = town
    assert fit(city, night).digest == model.digest
    assert current_model(city)["digest"] == model.digest


def test_the_digest_does_not_depend_on_the_citys_key(town, tmp_path):
    city, night, model = town
    twin = make_city(tmp_path / "twin")
    table = rows(150)
    table["time"] = [f"2026-11-{1 + i % 3:02d}T2{i % 2}:00:00Z" for i in range(150)]
    table["pseudonym"] = [f"p{i}" for i in range(150)]
    import_answers(twin, written(tmp_path, table), simulated=True)
    assert (city.shelf("answers") / "key").read_text() != (twin.shelf("answers") / "key").read_text()
    assert fit(twin, night).digest == model.digest


def test_a_summary_says_what_went_in(town):
    _, _, model = town
    summary = model.summary()
    json.dumps(summary)
    assert summary["answers"] == summary["people"] == 150 and summary["simulated"]
    assert summary["effective_answers"] < 150  # they are three weeks old
    assert {"term", "words", "prior_mean", "prior_sd", "mean", "sd", "overlap"} == set(summary["terms"][0])
    text = model.text("Smalltown")
    assert "SIMULATED" in text and "before asking" in text and "the answers say little" in text
    for word in ("danger", "unsafe area", "risk"):
        assert word not in text.lower()


def test_a_model_that_was_tampered_with_is_refused(town, tmp_path):
    import shutil

    city, _, model = town
    copy = make_city(tmp_path / "copy")
    shutil.copytree(city.shelf("model"), copy.shelf("model"))
    assert load_model(copy).digest == model.digest
    file = copy.shelf("model", model.digest) / "model.json"
    file.write_text(file.read_text().replace('"safe_from": 3', '"safe_from": 2'))
    with pytest.raises(ModelError, match="damaged"):
        load_model(copy)
    file.write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(copy)


def test_a_city_without_a_model_says_how_to_make_one(tmp_path):
    city = make_city(tmp_path)
    with pytest.raises(ModelError, match="noctule fit"):
        load_model(city)
    with pytest.raises(ModelError, match="no model 0123"):
        load_model(city, "0123")


def test_a_fit_without_answers_maps_fields_and_invites(tmp_path):
    city = make_city(tmp_path)
    night = Night.named("2026-11-20", city.zone)
    model = fit(city, night)
    out = page(city, load_model(city), night)
    assert np.isnan(out["safety"].to_numpy()).all() and np.isfinite(out["illuminance"].to_numpy()).any()
    assert "import answers" in out["safety"].attrs["invitation"]
    assert "without answers" in model.text("Smalltown") and not model.simulated


def test_erased_answers_are_gone_from_the_next_model(town, tmp_path):
    city = make_city(tmp_path / "town")
    night = Night.named("2026-11-20", city.zone)
    empty = fit(city, night).digest
    table = rows(20, time="2026-11-05T21:00:00Z")
    import_answers(city, written(tmp_path, table), simulated=True)
    assert fit(city, night).digest != empty
    remove_answers(city, campaign="autumn")
    assert fit(city, night).digest == empty


def test_answers_of_the_night_itself_and_later_do_not_enter(town, tmp_path):
    city = make_city(tmp_path / "town")
    table = rows(20, time="2026-11-20T21:00:00Z")
    import_answers(city, written(tmp_path, table), simulated=True)
    assert fit(city, Night.named("2026-11-20", city.zone)).perception.n_answers == 0
    assert fit(city, Night.named("2026-11-21", city.zone)).perception.n_answers == 20


def test_other_instruments_are_counted_and_not_mixed_in(town, tmp_path):
    city = make_city(tmp_path / "town")
    import_answers(city, written(tmp_path, rows(20, time="2026-11-05T21:00:00Z")), simulated=True)
    path = city.shelf("answers") / "autumn.parquet"
    table = pd.read_parquet(path)
    table.loc[:4, "instrument"] = "foca"
    table.to_parquet(path)
    perception = fit(city, Night.named("2026-11-20", city.zone)).perception
    assert (perception.n_answers, perception.not_used) == (15, 5)
