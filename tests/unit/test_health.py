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
from sensors.flags import Flag
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
