"""Laws of importing TALQ log reports: what has no unit or weighting is not taken, and twice adds nothing."""

import gzip
import json

import pytest
import typer
from typer.testing import CliRunner

from ingest.archive import night_records
from ingest.commands import register
from ingest.talq import import_talq, read_devices, read_talq
from sensors.errors import RecipeError
from tests.synthetic_city import make_city

app = typer.Typer()
register(app)

LAMP = "6f1c7c2e-0c1b-4f6a-9d0e-1a2b3c4d5e6f"
OTHER = "7f1c7c2e-0c1b-4f6a-9d0e-1a2b3c4d5e6f"
TIME = "2026-11-20T22:00:00Z"


def entry(name, value, *, address=f"/devices/{LAMP}/LampActuator01", time=TIME):
    return {"srcAddress": address, "timestamp": time, "attributeName": name, "attributeValue": value}


@pytest.fixture
def report(tmp_path):
    def write(*entries):
        file = tmp_path / "report.json"
        file.write_text(json.dumps({"entries": list(entries)}), "utf-8")
        return file

    return write


def rows(file, devices=None, **options):
    table = read_talq(file, devices or {LAMP: "lamp-1"}, **options).rows
    return [(row.device, row["quantity"], row.value) for _, row in table.iterrows()]


def test_percentages_become_fractions_and_failures_their_opposite(report):
    file = report(
        entry("actualLightState", 70),
        entry(
            "targetLightCommand", {"type": "AttributeCommand", "value": {"state": {"name": "LevelState", "level": 80}}}
        ),
        entry("lampFailure", {"type": "AttributeBoolean", "value": True}),
        entry("activePower", {"type": "AttributeFloat", "value": 36.5}),
        entry("supplyVoltage", 231.0),
        entry("lightLevel", 12.5),
    )
    assert rows(file) == [
        ("lamp-1", "dimming", pytest.approx(0.7)),
        ("lamp-1", "dimming_command", pytest.approx(0.8)),
        ("lamp-1", "lamp_ok", 0.0),
        ("lamp-1", "power", 36.5),
        ("lamp-1", "supply_voltage", 231.0),
        ("lamp-1", "illuminance", 12.5),
    ]


def test_energy_needs_its_unit_and_noise_its_weighting(report):
    file = report(entry("activeEnergy", 2.5), entry("noise", 61), entry("lampFailure", False))
    assert rows(file) == [("lamp-1", "lamp_ok", 1.0)]
    said = " ".join(read_talq(file, {LAMP: "lamp-1"}).skipped)
    assert "--energy-unit" in said
    assert "--a-weighted" in said
    assert rows(file, energy_unit="kWh", a_weighted=True)[:2] == [
        ("lamp-1", "energy", 2500.0),
        ("lamp-1", "sound_laeq", 61.0),
    ]


def test_an_address_is_known_by_as_much_of_it_as_is_named(report):
    file = report(
        entry("actualLightState", 10, address=f"/devices/{LAMP}/one"),
        entry("actualLightState", 20, address=f"/devices/{LAMP}/two"),
        entry("actualLightState", 30, address=OTHER.upper()),
        entry("actualLightState", 40, address="nobody"),
    )
    devices = {LAMP: "lamp-a", f"{LAMP}/two": "lamp-b", OTHER: "lamp-c"}
    assert [row[0] for row in rows(file, devices)] == ["lamp-a", "lamp-b", "lamp-c"]


@pytest.mark.parametrize("value", ["70", None, [], {"type": "AttributeString", "value": "bright"}, "on"])
def test_a_value_that_is_no_number_costs_its_entry(report, value):
    assert rows(report(entry("actualLightState", value), entry("lampFailure", False))) == [("lamp-1", "lamp_ok", 1.0)]


def test_a_time_without_zone_costs_its_entry(report):
    file = report(entry("actualLightState", 70, time="2026-11-20T22:00:00"), entry("lampFailure", False))
    assert len(rows(file)) == 1


def test_the_time_of_the_attribute_itself_wins(report):
    own = {"type": "AttributePercent", "value": 70, "timestamp": "2026-11-20T21:00:00Z"}
    table = read_talq(report(entry("actualLightState", own)), {LAMP: "lamp-1"}).rows
    assert str(table.time[0]) == "2026-11-20 21:00:00"


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"entries":{}}', "nonsense", '{"entries":[]}', '{"entries":[1]}', "1"]
)
def test_what_is_no_report_is_refused_with_a_sentence(tmp_path, content):
    file = tmp_path / "report.json"
    file.write_text(content, "utf-8")
    with pytest.raises(RecipeError, match=r"report\.json"):
        read_talq(file, {})


def test_the_same_report_twice_adds_nothing(tmp_path):
    city = make_city(tmp_path / "town", simulated=False)
    file = tmp_path / "report.json.gz"
    entries = [entry("actualLightState", 70), entry("lampFailure", False), entry("cloEnabled", True)]
    file.write_bytes(gzip.compress(json.dumps({"entries": entries}).encode()))
    first = import_talq(city, file, {LAMP: "node-lamp-000"})
    assert (first.read, first.new) == (3, 2)
    assert "attribute 'cloEnabled' is not taken" in first.skipped
    assert import_talq(city, file, {LAMP: "node-lamp-000"}).new == 0
    kept = night_records(city, "2026-11-20")
    assert sorted(round(float(value), 3) for value in kept["value"]) == [0.7, 1.0]


def test_the_command_says_what_became_of_it(tmp_path):
    make_city(tmp_path / "town", simulated=False)
    file, devices = tmp_path / "report.json", tmp_path / "lamps.csv"
    file.write_text(json.dumps({"entries": [entry("actualLightState", 70)]}), "utf-8")
    devices.write_text(f"address,device\n/devices/{LAMP},node-lamp-000\n", "utf-8")
    arguments = ["talq", "import", str(tmp_path / "town"), str(file), "--devices", str(devices)]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert json.loads(result.stdout)["new"] == 1
    assert CliRunner().invoke(app, [*arguments, "--energy-unit", "joule"]).exit_code == 2


def test_a_table_of_devices_without_its_columns_is_refused(tmp_path):
    file = tmp_path / "lamps.csv"
    file.write_text("lamp,name\n1,2\n", "utf-8")
    with pytest.raises(RecipeError, match="columns address and device"):
        read_devices(file)
