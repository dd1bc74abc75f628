"""Health says what is so, even when the disk is full or the ingest is dead."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from ingest.archive import append_records
from ingest.commands import register
from ingest.health import health_path, read_health, site_health, write_health
from ingest.log import DEAD, Log, Message, pack_frame
from sensors.clock import set_clock
from sensors.errors import CityError
from sensors.flags import Flag
from sensors.quantities import QUANTITIES
from sensors.reading import empty_records
from tests.synthetic_city import make_city

app = typer.Typer()
register(app)

NOW = np.datetime64("2026-11-20T20:00:00", "ms")
SAID = {"state": "connected", "counts": {}, "sentence": "connected"}


@pytest.fixture
def city(tmp_path):
    town = make_city(tmp_path / "town")
    set_clock(town.path, NOW, 1.0)
    return town


def test_a_city_whose_ingest_never_ran_says_so(city):
    assert read_health(city)["state"] == "stopped"
    assert "never run" in read_health(city)["sentence"]


def test_what_was_written_is_read(city):
    write_health(city, SAID)
    assert read_health(city) == SAID


def test_an_ingest_that_fell_silent_is_stopped(city):
    write_health(city, SAID)
    past = health_path(city).stat().st_mtime - 60
    os.utime(health_path(city), (past, past))
    assert read_health(city)["state"] == "stopped"
    assert "nothing for 6" in read_health(city)["sentence"]


def test_on_a_full_disk_it_is_written_over_in_place(city, monkeypatch):
    write_health(city, SAID)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    write_health(city, SAID | {"sentence": "full"})
    assert read_health(city)["sentence"] == "full"


def test_half_written_health_is_no_reason_to_fail(city):
    write_health(city, SAID)
    health_path(city).write_text('{"state": "conn')
    assert read_health(city)["state"] == "stopped"


def test_sites_that_missed_three_reports_are_silent(city):
    sites = city.places("sites")["site"].to_numpy()[:4]
    records = empty_records(60)
    records["site"] = np.repeat(sites[:3], 20)
    records["quantity"] = 1
    ago = np.concatenate([np.arange(20)[::-1] * 15, 90 + np.arange(20)[::-1] * 15, 50 + np.arange(20)[::-1] * 20])
    records["time"] = NOW - ago.astype("timedelta64[m]")
    records["received"] = records["time"]
    records["flags"][19] = Flag.LATE
    append_records(city, records, "test")
    table = site_health(city).set_index("site")
    assert len(table) == len(city.places("sites"))
    assert table.loc[sites, "silent"].tolist() == [False, True, False, True]
    assert table.loc[sites, "readings"].tolist() == [20, 20, 20, 0]
    assert table.loc[sites[0], "late"]
    assert table.loc[sites[0], "last"] == NOW
    assert json.loads(table.to_json(date_format="iso"))


def test_the_last_reading_is_shown_however_long_ago_it_was(city):
    site = int(city.places("sites")["site"].iloc[0])
    records = empty_records(1)
    records["site"], records["quantity"] = site, 1
    records["time"] = records["received"] = NOW
    append_records(city, records, "test")
    for days in (400, -400):  # a system clock far from the data, either way
        set_clock(city.path, NOW + np.timedelta64(days, "D"), 1.0)
        row = site_health(city).set_index("site").loc[site]
        assert row["last"] == NOW
        assert row["readings"] == 0


def command(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["health", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def keep(city, seqs, *, at=NOW, value=50.0):
    """Readings of one noise meter, a message a minute; the device's name."""
    table = city.places("sites")
    site = table[table["quantity"] == "sound_laeq"].iloc[0]
    records = empty_records(len(seqs))
    records["site"], records["quantity"] = int(site["site"]), QUANTITIES["sound_laeq"].code
    records["time"] = records["received"] = at + np.arange(len(seqs)) * np.timedelta64(60_000, "ms")
    records["value"], records["duration_s"], records["boot"], records["seq"] = value, 60.0, 1, seqs
    append_records(city, records, "test")
    return str(site["device"])


def test_the_command_says_it_to_people_and_to_machines(city):
    assert "has never run" in command(str(city.path))
    assert f"{len(city.places('sites'))} silent" in command(str(city.path))
    said = json.loads(command(str(city.path), "--json"))
    assert said["state"] == "stopped"
    assert {"site", "device", "quantity", "last", "silent", "late"} <= set(said["sites"][0])


def test_refused_messages_are_listed_with_their_reasons(city):
    log = Log.open(city.shelf("log", "0"))
    log.append([pack_frame(DEAD, [Message("noctule/smalltown/ghost/power", b"\xffx", 1_795_204_800_000, "unknown")])])
    log.close()
    assert "2026-11-20T20:00:00.000Z  noctule/smalltown/ghost/power  unknown" in command(str(city.path), "--dead")
    (line,) = command(str(city.path), "--dead", "--json").splitlines()
    assert json.loads(line)["reason"] == "unknown"
    assert command(str(city.path), "--dead", "--device", "lux-00") == "the log holds no such refused message\n"


def test_that_nothing_was_refused_is_said(city):
    assert command(str(city.path), "--dead") == "no message was refused\n"
    assert command(str(city.path), "--dead", "--json") == ""


def test_what_a_stranger_wrote_commands_no_terminal_and_begins_no_line(city):
    log = Log.open(city.shelf("log", "0"))
    evil = Message("noctule/smalltown/a\x1b[2J/power", b"\x1b[31m\n", 1_795_204_800_000, "names '\n\x1b[31m\u202e'")
    log.append([pack_frame(DEAD, [evil])])
    log.close()
    said = command(str(city.path), "--dead")
    assert len(said.splitlines()) == 2
    assert r"a\x1b[2J/power  names '\n\x1b[31m\u202e'" in said
    assert said.replace("\n", "").isprintable()
    assert json.loads(command(str(city.path), "--dead", "--json"))["reason"] == evil.reason
    write_health(city, SAID | {"since": None, "refused_by_reason": {"it's \x1b[31m": 1}, "sentence": "\x1b[31m"})
    assert command(str(city.path)).replace("\n", "").isprintable()


def test_one_number_that_never_came_is_told_with_its_time_in_utc(city):
    device = keep(city, [1, 2, 4])
    said = command(str(city.path))
    assert "night of 2026-11-20 (SIMULATED): 3 readings, 0 failed" in said
    assert "  1 message number of 1 device never came" in said
    assert f"{device}        1     1 2026-11-20 20:01:00Z 2026-11-20 20:02:00Z" in said
    told = json.loads(command(str(city.path), "--json"))
    assert told["gaps"] == [
        {
            "device": device,
            "boot": 1,
            "after_seq": 2,
            "before_seq": 4,
            "missing": 1,
            "since": "2026-11-20T20:01:00.000Z",
            "until": "2026-11-20T20:02:00.000Z",
        }
    ]
    (site,) = [site for site in told["sites"] if site["device"] == device and site["readings"]]
    assert site["last"] == "2026-11-20T20:02:00.000Z"
    assert {site["last"] for site in told["sites"] if not site["readings"]} == {None}


def test_one_device_is_told_by_itself_and_a_night_that_is_over_too(city):
    device = keep(city, [1, 3], at=NOW - np.timedelta64(1, "D"))
    assert "no reading in the night of 2026-11-20" in command(str(city.path), "--device", device)
    said = command(str(city.path), "--device", device, "--night", "2026-11-19")
    assert "night of 2026-11-19 (SIMULATED): 2 readings, 0 failed" in said
    assert f"--dead --device {device}" in said
    assert "refused 0" not in said  # a number of the whole city
    assert "no reading in the night" in command(str(city.path), "--device", "lux-00", "--night", "2026-11-19")


@pytest.mark.parametrize("what", [("--device", "ghost"), ("--site", "4000")])
def test_a_device_that_is_not_in_the_register_is_refused(city, what):
    result = CliRunner().invoke(app, ["health", str(city.path), *what])
    assert isinstance(result.exception, CityError)
    assert f"no {what[0][2:]} {what[1]} in the site register" in str(result.exception)


@pytest.mark.parametrize(
    "options",
    [
        ("--out", "x.csv"), ("--tickets", "t.csv"), ("--all",), ("--format", "csv"),
        ("--reason", "json"), ("--since", "2026-11-20T00:00:00Z"), ("--dead", "--lamps"), ("--verify", "--drift"),
    ],
)  # fmt: skip
def test_options_that_would_say_nothing_are_wrong_usage(city, options):
    result = CliRunner().invoke(app, ["health", str(city.path), *options])
    assert result.exit_code == 2
    assert options[0] in result.output


def test_a_night_in_which_no_lamp_was_heard_is_no_list_without_faults(city):
    result = CliRunner().invoke(app, ["health", str(city.path), "--lamps"])
    assert isinstance(result.exception, CityError)
    assert "nothing can be said of its lamps" in str(result.exception)


def test_a_file_of_the_archive_that_was_changed_is_named(city):
    keep(city, [1, 2])
    assert command(str(city.path), "--verify") == "every file of the archive is as it was written\n"
    (file,) = city.shelf("readings").glob("night=*/*.parquet")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    result = CliRunner().invoke(app, ["health", str(city.path), "--verify"])
    assert result.exit_code == 1
    assert file.name in result.output
