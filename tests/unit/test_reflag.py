"""A night that is over is looked at once, twice is the same as once, and pages that closed before do not change."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import noctule
from ingest import reflag as module
from ingest.archive import append_records, night_records, read_manifest
from ingest.reflag import due, reflag, reflag_due
from ingest.screening import Screen
from sensors.clock import set_clock
from sensors.flags import FAIL, Flag
from sensors.journal import Entry, add_entry
from sensors.quantities import QUANTITIES
from sensors.reading import RECORD, Records
from tests.synthetic_city import make_city
from tests.unit.test_archive import Shard

NIGHT = "2026-11-20"
DUSK = np.datetime64("2026-11-20T18:00:00", "ms")
MORNING = np.datetime64("2026-11-21T15:00:00", "ms")


@pytest.fixture
def city(tmp_path):
    city = make_city(tmp_path / "town")
    set_clock(city.path, MORNING, 1e-6)
    return city


def site_of(city, quantity: str, number: int = 0) -> int:
    sites = city.places("sites")
    return int(sites[sites["quantity"] == quantity]["site"].iloc[number])


def levels(city, values: list[float], *, every_s: int = 300, quantity="sound_laeq", number=0, start=DUSK) -> Records:
    records = np.zeros(len(values), RECORD)
    records["site"], records["quantity"] = site_of(city, quantity, number), QUANTITIES[quantity].code
    records["value"], records["duration_s"], records["boot"] = values, every_s, 1
    records["seq"] = np.arange(len(values))
    records["time"] = start + (records["seq"].astype(np.int64) * every_s * 1000).astype("timedelta64[ms]")
    records["received"] = records["time"] + np.timedelta64(1, "s")
    records["flags"] = Screen().flags(records)
    return records


def stored(city, *parts: Records) -> None:
    shard = Shard(city)
    for part in parts:
        shard.store(part)
    shard.compact()


WITH_A_SCREAM = [50.0, 51.0, 49.0, 90.0, 50.0, 52.0, 51.0, 50.0]


def test_what_is_found_is_known_afterwards_and_a_second_look_finds_nothing(city):
    stored(city, levels(city, WITH_A_SCREAM))
    before = night_records(city, NIGHT, received_until=MORNING - np.timedelta64(1, "h")).tobytes()
    first = reflag(city, NIGHT)
    assert first.added == {"spike": 1} and first.written
    assert first.reasons == ["far from the values before and after"]
    assert night_records(city, NIGHT)["flags"].tolist() == [0, 0, 0, Flag.SPIKE, 0, 0, 0, 0]
    manifest = read_manifest(city)
    assert len(reflag(city, NIGHT).rows) == 0
    assert read_manifest(city) == manifest
    assert night_records(city, NIGHT, received_until=MORNING - np.timedelta64(1, "h")).tobytes() == before


def test_a_dry_run_writes_nothing(city):
    stored(city, levels(city, WITH_A_SCREAM))
    assert reflag(city, NIGHT, dry_run=True).added == {"spike": 1}
    assert not read_manifest(city).reflags
    assert due(city, MORNING) == [NIGHT]


def test_late_readings_correct_what_was_said(city):
    whole = levels(city, [50.0, 51.0, 49.0, 88.0, 90.0, 50.0, 52.0, 51.0, 50.0])
    stored(city, np.delete(whole, 3))  # without its neighbour 90 dB stand alone
    assert reflag(city, NIGHT).added == {"spike": 1}
    late = whole[3:4]
    late["received"] = MORNING
    append_records(city, late, "late")
    again = reflag(city, NIGHT)
    assert again.removed == {"spike": 1}
    assert "no longer" in again.reasons[0]
    assert not (night_records(city, NIGHT)["flags"] & Flag.SPIKE).any()


def test_what_came_out_of_order_is_judged_in_order(city):
    whole = levels(city, [50.0, *[7.0] * 8, 9.0], every_s=900, quantity="people_flow")
    order = np.array([0, 1, 2, 3, 6, 7, 8, 9, 4, 5])
    arrived = whole[order]
    arrived["received"] = np.sort(whole["received"]) + np.timedelta64(3, "h")
    arrived["flags"] = Screen().flags(arrived)
    stored(city, arrived)
    reflag(city, NIGHT)
    in_order = Screen().flags(whole) & Flag.REPEAT
    assert in_order.any()
    assert (night_records(city, NIGHT)["flags"] & Flag.REPEAT).tolist() == in_order.tolist()


def test_a_dead_lamp_is_told_by_its_own_readings_and_by_no_other(city):
    on, dead = [1.0] * 48, [1.0] * 10 + [0.0] * 38
    parts = []
    for number in range(6):
        parts.append(levels(city, on, every_s=900, quantity="dimming", number=number))
        ok = levels(city, dead if number == 2 else on, every_s=900, quantity="lamp_ok", number=number)
        ok["seq"] += 1000
        parts.append(ok)
    stored(city, *parts)
    reflag(city, NIGHT)
    records = night_records(city, NIGHT)
    told = records[(records["flags"] & Flag.LAMP) != 0]
    assert set(told["site"].tolist()) == {site_of(city, "lamp_ok", 2), site_of(city, "dimming", 2)}
    assert told["time"].min() == DUSK + np.timedelta64(10 * 15, "m")
    assert not (records["flags"] & np.uint16(int(FAIL))).any()


def crowded(city, weeks: int, tonight: list[float]) -> None:
    generator = np.random.default_rng(4)
    for week in range(1, weeks + 1):
        start = DUSK - np.timedelta64(7 * week, "D")
        usual = generator.poisson(60, 32).astype(float).tolist()
        append_records(city, levels(city, usual, every_s=900, quantity="people_flow", start=start), "history")
    records = levels(city, tonight, every_s=900, quantity="people_flow")
    records["seq"] += 5000
    append_records(city, records, "history")


def test_a_night_unlike_its_weeks_is_suspect_unless_the_journal_has_an_event(city):
    crowded(city, 6, [2000.0 + 10 * number for number in range(32)])
    assert reflag(city, NIGHT, dry_run=True).added["climatology"] >= 28
    add_entry(city, Entry("", "event", "Fireworks", "2026-11-20T19:00:00Z", "2026-11-20T23:00:00Z"))
    assert "climatology" not in reflag(city, NIGHT).added


def test_nights_are_due_when_they_are_over_and_again_a_day_after_late_readings(city):
    stored(city, levels(city, WITH_A_SCREAM))
    assert due(city, MORNING - np.timedelta64(6, "h")) == []
    assert due(city, MORNING) == [NIGHT]
    said: list[str] = []
    assert len(reflag_due(city, said.append)) == 1
    assert said == ["night of 2026-11-20: 8 readings, 1 spike"]
    assert reflag_due(city) == []
    late = levels(city, [50.0] * 9)[8:]
    append_records(city, late, "late")
    assert due(city, MORNING + np.timedelta64(1, "h")) == []
    assert due(city, MORNING + np.timedelta64(25, "h")) == [NIGHT]
    assert due(city, MORNING + np.timedelta64(60, "D")) == []


def test_new_rules_look_at_the_last_nights_again(city, monkeypatch):
    stored(city, levels(city, WITH_A_SCREAM))
    reflag_due(city)
    monkeypatch.setattr(module, "RULES", module.RULES + 1)
    assert due(city, MORNING) == [NIGHT]


def test_a_night_without_readings_is_nothing_to_talk_about(city):
    assert reflag(city, "2026-11-11").readings == 0


def test_the_command_says_what_it_found(city):
    stored(city, levels(city, WITH_A_SCREAM))
    runner = CliRunner()
    told = runner.invoke(noctule.app, ["reflag", str(city.path), "--night", NIGHT, "--dry-run", "--json"])
    assert told.exit_code == 0, told.output
    (entry,) = json.loads(told.output)
    assert entry["added"] == {"spike": 1} and entry["written"] is False
    assert entry["qartod"] == {"good": 7, "suspect": 1, "fail": 0}
    told = runner.invoke(noctule.app, ["reflag", str(city.path)])
    assert told.output == "night of 2026-11-20: 8 readings, 1 spike\n"
    assert "no night is due" in runner.invoke(noctule.app, ["reflag", str(city.path)]).output
    assert runner.invoke(noctule.app, ["reflag", str(city.path), "--night", "tonight"]).exit_code == 2


def test_the_archive_is_held_to_its_hashes_by_a_command(city):
    stored(city, levels(city, WITH_A_SCREAM))
    reflag(city, NIGHT)
    runner = CliRunner()
    command = ["health", str(city.path), "--verify"]
    assert runner.invoke(noctule.app, command).exit_code == 0
    path = city.shelf("readings", read_manifest(city).reflags[0].path)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    told = runner.invoke(noctule.app, command)
    assert told.exit_code == 1 and "SHA-256 differs" in told.output
