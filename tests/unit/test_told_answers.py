"""What a city tells of its answers, and that it remembers what it told."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import noctule
from analytics.told_answers import statistics
from sensors.answer import empty_answers
from sensors.errors import ModelError
from tests.synthetic_city import SOUTH, WEST, make_city

EVENING = np.datetime64("2026-01-15T20:00", "ms")  # long over by any clock that runs this


def answered(n: int, first: int = 0, **columns: object) -> pd.DataFrame:
    number = [str(first + i) for i in range(n)]
    table = pd.DataFrame(
        {
            "response_id": number, "instrument": "core-4", "item": "here", "category": np.tile([1, 3, 4], n)[:n],
            "k": 4, "easting": WEST + 25, "northing": SOUTH + 25, "time": EVENING, "light_state": "dark",
            "gender": "woman", "age_band": "25-44",
            "disability": "no", "alone": "alone", "role": "resident",
            "familiarity": "daily", "trigger": "prompted", "weight": 1.0, "campaign": "c", "origin": "real",
            "pseudonym": number,
            "consent_version": "1",
        }
        | columns
    )  # fmt: skip
    return table.astype(empty_answers().dtypes.to_dict())


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town", simulated=False)


def keep(city, *parts):
    city.shelf("answers").mkdir(parents=True, exist_ok=True)
    pd.concat(parts, ignore_index=True).to_parquet(city.shelf("answers") / "all.parquet")


def tell(city, **changed):
    return statistics(city, "core-4", **({"by": (), "window": "all", "zoom_m": 50.0} | changed))


def test_a_late_answer_changes_nothing_that_was_told(city):
    keep(city, answered(12))
    first = tell(city)
    assert first.told == 12 and first.rows["share_safe"].tolist() == [67]
    keep(city, answered(12), answered(1, 12, category=1))
    again = tell(city)
    pd.testing.assert_frame_equal(again.rows, first.rows)
    assert again.waiting == 1
    keep(city, answered(12), answered(10, 12, category=1))
    assert tell(city).rows["people"].tolist() == [22]


def test_an_erased_answer_is_forgotten_and_takes_its_atom_back(city):
    keep(city, answered(10))
    assert tell(city).told == 10
    keep(city, answered(9))
    assert tell(city).told == 0
    assert "9/here" not in (city.shelf("model") / "told-core-4.json").read_text("utf-8")


def test_those_who_never_go_out_alone_have_not_said_how_it_feels(city):
    keep(city, answered(12), answered(20, 12, category=0))
    assert tell(city).rows["people"].tolist() == [12]


def test_what_was_told_and_cannot_be_read_is_an_error_and_no_new_beginning(city):
    keep(city, answered(12))
    tell(city)
    path = city.shelf("model") / "told-core-4.json"
    for content in ("{", "[]", '{"format": 9}', '{"format": 1, "atoms": [{}], "people": 10, "share": 0.3}'):
        path.write_text(content, "utf-8")
        with pytest.raises(ModelError, match=r"told-core-4\.json"):
            tell(city)


def test_the_command_prints_rows_for_people_machines_and_spreadsheets(city, tmp_path):
    keep(city, answered(12), answered(12, 12, gender="man"))
    asked = ["statistics", str(city.path), "--by", "gender", "--zoom", "city"]
    said = json.loads(CliRunner().invoke(noctule.app, [*asked, "--json"]).output)
    assert [(row["gender"], row["people"], row["side_m"]) for row in said["rows"]] == [
        ("man", 12, None),
        ("woman", 12, None),
    ]
    shown = CliRunner().invoke(noctule.app, [*asked, "--csv", str(tmp_path / "rows.csv")])
    assert shown.exit_code == 0 and "24 answers to core-4 are told, 0 wait" in shown.output
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert math.isinf(rows["side_m"][0]) and set(rows["origin"]) == {"real"}


def test_a_question_without_a_safe_end_has_no_share_that_feels_safe(city):
    with pytest.raises(ModelError, match="no feeling"):
        statistics(city, "told-2", by=(), window="all", zoom_m=50.0)


def test_a_city_nobody_answered_in_tells_nothing(city):
    assert tell(city).to_dict()["rows"] == []
