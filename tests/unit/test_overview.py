"""What `noctule health` says of a city is what its files say, to machines under the same names for ever."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ingest.archive import append_records
from ingest.health import write_health
from ingest.overview import overview
from sensors.city import City
from sensors.clock import set_clock
from sensors.errors import CityError
from sensors.flags import Flag
from sensors.night import Night
from sensors.places import save_place
from sensors.quantities import QUANTITIES
from sensors.reading import RECORD, Records
from tests.synthetic_city import make_city

NOW = np.datetime64("2026-11-20T22:00:00", "ms")
DUSK = np.datetime64("2026-11-20T18:00:00", "ms")
KEYS = {
    "state", "broker", "since", "last_received", "counts", "refused_by_reason", "devices_online", "sentence",
    "night", "readings", "failed", "flagged", "sites", "gaps", "conflicts",
}  # fmt: skip
SITE_KEYS = {  # one row a site
    "site", "device", "quantity", "origin", "last", "received", "value", "flags",
    "readings", "failed", "silent", "late",
}  # fmt: skip
SAID = {
    "state": "connected",
    "broker": "mqtt://127.0.0.1",
    "since": "2026-11-20T12:00:00Z",
    "last_received": "2026-11-20T21:59:00Z",
    "counts": {"received": 1, "stored": 120, "refused": 2, "duplicates": 3},
    "refused_by_reason": {"no JSON\x1b[2J": 2},
    "devices_online": 7,
    "sentence": "connected to a broker",
}


@pytest.fixture
def city(tmp_path) -> City:
    city = make_city(tmp_path / "town")
    set_clock(city.path, NOW, 1e-6)
    return city


def site_of(city: City, quantity: str) -> int:
    table = city.places("sites")
    return int(table[table["quantity"] == quantity]["site"].iloc[0])


def readings(city: City, quantity: str, numbers: list[int], *, until: np.datetime64 = NOW) -> Records:
    """A reading a minute up to a moment, with these message numbers."""
    records = np.zeros(len(numbers), RECORD)
    records["site"], records["quantity"], records["boot"] = site_of(city, quantity), QUANTITIES[quantity].code, 1
    records["seq"], records["value"], records["duration_s"] = numbers, 50, 60
    records["time"] = until - (np.arange(len(numbers))[::-1] * 60_000).astype("timedelta64[ms]")
    records["received"] = records["time"]
    return records


def test_an_empty_city_says_that_ingest_never_ran_and_that_all_is_silent(city):
    found = overview(city, drifting=True)
    told = found.to_dict()
    assert set(told) == {*KEYS, "drift"}
    assert (told["state"], told["readings"], told["failed"], told["flagged"]) == ("stopped", 0, 0, {})
    assert set(told["sites"][0]) == SITE_KEYS
    assert all(site["silent"] and site["last"] is None for site in told["sites"])
    lines = "\n".join(found.lines())
    n = len(city.places("sites"))
    assert "has never run" in lines and f"{n} sites in use, {n} silent, 0 late" in lines
    assert "no reading in the night of 2026-11-20" in lines
    assert lines.endswith("drift: no site has nights enough")


def test_a_city_without_a_site_says_how_to_add_one(city):
    save_place(city.path, "sites", city.places("sites").iloc[:0])
    found = overview(City.open(city.path), drifting=True)
    assert found.to_dict()["sites"] == []
    assert "noctule site add" in found.lines()[-1]


def test_a_city_without_counters_is_a_city(city):
    table = city.places("sites")
    save_place(city.path, "sites", table[table["quantity"] != "people_flow"])
    town = City.open(city.path)
    append_records(town, readings(town, "sound_laeq", [1, 2, 3]), "test")
    told = overview(town, drifting=True).to_dict()
    assert told["readings"] == 3
    assert not [site for site in told["sites"] if site["quantity"] == "people_flow"]


def test_the_lines_count_what_was_stored(city):
    noise = readings(city, "sound_laeq", [1, 2, 5, 6, 12])
    noise["flags"][1], noise["flags"][3] = Flag.RANGE, Flag.REPEAT | Flag.RATE
    light = readings(city, "illuminance", [1, 2, 3], until=DUSK)
    light["time"][1] = light["time"][0]
    light["value"] = [4, 5, 6]
    append_records(city, np.concatenate([noise, light]), "test")
    write_health(city, SAID)
    found = overview(city)
    told = found.to_dict()
    assert set(told) == KEYS
    assert (told["readings"], told["failed"]) == (8, 1)
    assert told["flagged"] == {"range": 1, "repeat": 1, "rate": 1}
    assert [(gap["after_seq"], gap["before_seq"], gap["missing"]) for gap in told["gaps"]] == [(6, 12, 5), (2, 5, 2)]
    (conflict,) = told["conflicts"]
    assert (conflict["lowest"], conflict["highest"], conflict["values"]) == (4, 5, 2)
    assert conflict["time"] == "2026-11-20T17:58:00.000Z"
    lines = found.lines()
    text = "\n".join(lines)
    n = len(city.places("sites"))
    assert lines[0] == "Smalltown: connected to a broker"
    assert "1 message received, 120 readings stored, 3 came twice, 2 refused" in text
    assert "refused 2 times: no JSON" in text and "\x1b" not in text
    assert f"{n} sites in use, {n - 1} silent, 0 late" in text
    assert "night of 2026-11-20 (SIMULATED): 8 readings, 1 failed" in text
    assert "1 range: value outside what this quantity can be" in text
    assert "7 message numbers of 1 device never came" in text
    assert "1 interval told twice, with different values" in text
    assert "drift" not in text


def test_json_has_all_rows_where_people_are_shown_some(city):
    found = overview(city)
    n = len(city.places("sites"))
    assert len(found.to_dict()["sites"]) == n
    assert f"and {n - 20} more; --json lists them all" in "\n".join(found.lines())
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["night"] == "2026-11-20"


def test_of_one_device_only_its_own_is_told_but_numbers_are_shared_by_its_sites(city):
    table = city.places("sites")
    device = table[table["quantity"] == "dimming"]["device"].iloc[0]
    dimming, lamp_ok = readings(city, "dimming", [1, 3, 7]), readings(city, "lamp_ok", [2, 4])
    append_records(city, np.concatenate([dimming, lamp_ok, readings(city, "sound_laeq", [1, 9])]), "test")
    told = overview(city, device=device).to_dict()
    assert told["readings"] == 5
    assert {site["device"] for site in told["sites"]} == {device}
    assert [(gap["after_seq"], gap["missing"]) for gap in told["gaps"]] == [(4, 2)]
    told = overview(city, site=site_of(city, "dimming")).to_dict()
    assert told["readings"] == 3
    assert [(gap["after_seq"], gap["missing"]) for gap in told["gaps"]] == [(4, 2)]
    with pytest.raises(CityError, match="no device ghost"):
        overview(city, device="ghost")


def test_another_night_is_told_by_its_own_readings(city):
    append_records(city, readings(city, "sound_laeq", [1, 5], until=NOW - np.timedelta64(2, "D")), "test")
    told = overview(city, night=Night.named("2026-11-18", city.zone)).to_dict()
    assert (told["night"], told["readings"], len(told["gaps"])) == ("2026-11-18", 2, 1)
    assert overview(city).to_dict()["readings"] == 0


def test_what_drifts_is_told_with_its_sentence(city):
    table = city.places("sites")
    meters = table[table["quantity"] == "sound_laeq"]["site"].tolist()
    parts = []
    for back in range(20):
        for number, site in enumerate(meters):
            part = readings(city, "sound_laeq", list(range(15)), until=NOW)
            part["site"], part["boot"] = site, back
            part["time"] = part["received"] = part["time"] + np.timedelta64(4 * 60 + 45 - 24 * 60 * (back + 1), "m")
            part["value"] = 40 + number * 0.1 + (0.5 * (20 - back) if number == 2 else 0)
            parts.append(part)
    append_records(city, np.concatenate(parts), "test")
    found = overview(city, drifting=True)
    told = found.to_dict()["drift"]
    assert [row["site"] for row in told if row["suspect"]] == [meters[2]]
    assert f"{len(meters)} sites looked at, 1 suspect" in "\n".join(found.lines())
    assert f"site {meters[2]} meter-02 sound_laeq: suspect: +" in found.lines()[-1]
