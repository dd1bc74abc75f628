"""The map is tried on answers it has not seen, and says how it did."""

from __future__ import annotations

import json
from html import unescape

import numpy as np
import pytest

from analytics import printed_report, scores
from analytics.held_out import GUESSES, SCHEMES
from analytics.knowledge import learn_from
from analytics.phrases import LANGUAGES, phrases
from analytics.surroundings import surroundings
from analytics.validation import Validation, validate
from analytics.validation_report import validation_html, validation_pdf, validation_text
from sensors.answer import ANSWER_COLUMNS
from sensors.errors import ModelError
from tests.synthetic_city import make_city
from tests.unit.test_perception import world


def with_answers(folder, n: int):
    """A city whose answers were given at six moments, since each moment costs a map of all fields."""
    city = make_city(folder)
    table, _ = world(n)
    moments = np.datetime64("2026-10-02T19:00", "ms") + np.arange(6) * np.timedelta64(90, "m")
    table["time"] = moments[np.arange(n) % 6]
    table["pseudonym"] = [f"p{i % (n // 2)}" for i in range(n)]
    (folder / "store" / "answers").mkdir(parents=True)
    table.astype(ANSWER_COLUMNS)[list(ANSWER_COLUMNS)].to_parquet(folder / "store" / "answers" / "made.parquet")
    return city


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> Validation:
    city = with_answers(tmp_path_factory.mktemp("tried"), 400)
    around = surroundings(city)
    seen: list[tuple[int, int]] = []
    result = validate(city, around, learn_from([], around), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == len(seen)
    return result


def test_all_four_ways_of_leaving_out_are_judged(tried):
    assert tuple(scheme.name for scheme in tried.schemes) == SCHEMES
    assert tried.simulated and tried.answers == 400 and tried.people == 200
    for scheme in tried.schemes:
        assert set(scheme.score) == {"map", *GUESSES}
        assert scheme.answers == 400
        assert sum(scheme.pit) == pytest.approx(1)
        assert all(np.isfinite(list(one.values())).all() for one in scheme.score.values())


def test_groups_move_these_answers_so_the_map_beats_climatology(tried):
    for scheme in tried.schemes:
        if scheme.name != "blocks":  # the town is smaller than a block: a fold of it is nearly everything
            assert scheme.skill["climatology"].low > 0
            assert abs(scheme.calibration_error) < 0.08


def test_a_report_can_be_read_by_people_and_by_machines(tried):
    content = json.loads(json.dumps(tried.to_dict()))
    assert content["schemes"][0]["skill"]["climatology"]["value"] > 0
    page = validation_html(tried, phrases("en"))
    assert page.startswith("<!doctype html>") and "SIMULATED" in page
    for words in ("climatology", "area mean", "as the map&#x27;s cells", "random"):
        assert words in page
    assert "<script" not in page and "http" not in page.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_reports_of_a_language_hold_the_same_figures(tried, language, monkeypatch):
    say, printed = phrases(language), {}
    assert validation_pdf(tried, say).startswith(b"%PDF")
    monkeypatch.setattr(printed_report, "pdf", lambda template, content, pictures: printed.update(content) or b"")
    validation_pdf(tried, say)
    page, lines = unescape(validation_html(tried, say)), validation_text(tried, say)
    cells = [cell for part in printed["parts"] if part["kind"] == "table" for row in part["rows"] for cell in row]
    assert len(cells) == 5 * 6 * len(tried.schemes)
    for told in (*cells, printed["notice"], say("validation.cells")):
        assert told in page and told in lines


def test_no_bin_of_the_reliability_is_of_fewer_than_ten_people(tried):
    generator = np.random.default_rng(0)
    for scheme in tried.schemes:
        assert sum(scheme.counted) == 400 and min(number for number in scheme.counted if number) >= 10
    for seed in range(50):
        n = int(generator.integers(20, 200))
        below = np.sort(generator.beta(5, 2, (n, 3)), axis=1)
        person, category = generator.integers(0, n, n), generator.integers(1, 5, n)
        told = scores.reliability(below, category, 3, person=person)
        place = np.flatnonzero(told.answers)
        assert told.answers.sum() == n, seed
        said = 1 - below[:, 1]
        for low, high in zip([-1, *place[:-1]], place, strict=True):
            top = 10 if high == place[-1] else high + 1
            inside = (said >= (low + 1) / 10) & (said < top / 10)
            assert np.unique(person[inside]).size >= min(10, np.unique(person).size)


def test_too_few_answers_are_refused_with_how_many_there_are(tmp_path):
    city = with_answers(tmp_path, 40)
    around = surroundings(city)
    with pytest.raises(ModelError, match="40 answers"):
        validate(city, around, learn_from([], around))
