"""`noctule decode` says what becomes of a message in the keys that others build on."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from ingest.commands import register
from ingest.decoding import outcomes, received_at
from sensors.city import City, CitySettings, DialectRule, write_settings
from tests.synthetic_city import make_city

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


@pytest.fixture
def city(tmp_path):
    town = make_city(tmp_path, simulated=False)
    rule = DialectRule(topic="gateway/+/ngsi", dialect="ngsi", devices={"urn:mic": "meter-00", "urn:new": "meter-99"})
    content = {name: getattr(town.settings, name) for name in CitySettings.__struct_fields__}
    write_settings(tmp_path, CitySettings(**content | {"dialects": (rule,)}))
    return City.open(tmp_path)


def entity(name, **changes):
    given = {"id": name, "type": "NoiseLevelObserved", "LAeq": 61.5, "dateObserved": "2026-11-20T22:00:00Z"}
    return json.dumps(given | changes).encode()


def test_a_city_brings_its_rules_and_its_register(city):
    received = received_at(RECEIVED)
    (known,) = outcomes("gateway/1/ngsi", entity("urn:mic"), received, city=city)
    assert (known["device"], known["quantity"], "note" in known) == ("meter-00", "sound_laeq", False)
    (unknown,) = outcomes("gateway/1/ngsi", entity("urn:new"), received, city=city)
    assert "not in the site register" in unknown["note"]
    (other,) = outcomes("gateway/1/ngsi", entity("urn:mic", LAeq=None, LAmax=80), received, city=city)[1:]
    assert "the register has sound_laeq of it" in other["note"]


def test_radio_devices_are_counted_only_on_a_legal_basis(city):
    payload = b'[{"v":12,"t":1795212000}]'
    (line,) = outcomes("noctule/smalltown/node-1/devices-seen", payload, received_at(RECEIVED), city=city)
    assert line["rejected"]
    assert "devices_seen_basis" in line["reason"]


def test_a_decoder_that_nobody_knows_is_wrong_usage():
    result = CliRunner().invoke(app, ["decode", "--topic", TOPIC, "--decoder", "morse", "-"], input=GOOD)
    assert result.exit_code == 2
