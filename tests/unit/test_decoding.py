"""`noctule decode` says what becomes of a message in the keys that others build on."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from ingest.commands import register
from ingest.decoding import outcomes, received_at

app = typer.Typer()
register(app)

TOPIC = "noctule/helsinki/counter-3/people-flow"
RECEIVED = "2026-11-20T22:00:01Z"
GOOD = '[{"n":"people_flow","u":"count","v":12,"t":1795212000,"duration_s":900,"boot":1,"seq":3},{"v":50000,"t":60}]'


def run(payload: str, *arguments: str) -> tuple[int, list[dict]]:
    result = CliRunner().invoke(
        app, ["decode", "--topic", TOPIC, "--received", RECEIVED, *arguments, "-"], input=payload
    )
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


def test_a_measurement_has_the_agreed_keys():
    code, lines = run(GOOD)
    assert code == 0
    assert lines[0] == {
        "device": "counter-3",
        "quantity": "people_flow",
        "time": "2026-11-20T22:00:00.000Z",
        "value": 12.0,
        "unit": "count",
        "duration_s": 900.0,
        "flags": [],
    }
    assert lines[1]["flags"] == ["range"]


def test_all_refused_is_exit_code_one():
    code, lines = run("nonsense")
    assert code == 1
    assert [set(line) for line in lines] == [{"rejected", "reason"}]
    assert lines[0]["rejected"] is True


def test_partly_refused_is_exit_code_zero_and_keeps_the_order():
    code, lines = run('[{"v":"x"},{"v":3}]')
    assert code == 0
    assert ["rejected" in line for line in lines] == [True, False]


def test_a_file_that_is_not_there_and_a_time_that_is_none_are_wrong_usage():
    result = CliRunner().invoke(app, ["decode", "--topic", TOPIC, "no-such-file"])
    assert result.exit_code == 2
    result = CliRunner().invoke(app, ["decode", "--topic", TOPIC, "--received", "yesterday", "-"], input=GOOD)
    assert result.exit_code == 2


def test_a_time_needs_its_offset():
    assert received_at("2026-11-21T00:00:00+02:00") == received_at("2026-11-20T22:00:00Z") == 1_795_212_000_000
    with pytest.raises(ValueError, match="no offset"):
        received_at("2026-11-20T22:00:00")


def test_screening_is_that_of_the_service():
    (line,) = outcomes(TOPIC, b'[{"v":3,"t":1e9}]', received_at(RECEIVED))
    assert line["flags"] == ["clock"]
