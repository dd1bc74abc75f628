"""The supervisor: secrets in one place, set-up that is whole or begun again, parts that come back."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

import noctule
from sensors.errors import CityError, StoreError
from tests.shared_data import ROOT
from tests.synthetic_city import make_city

ROOMS = ("sensors", "ingest", "analytics", "dashboard", "firmware_sim")


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


# ------------------------------------------------------------------------------------------------------------ secrets


def secrets(city, text, mode=0o600):
    file = city.path / "secrets.toml"
    file.write_text(text, "utf-8")
    file.chmod(mode)


def test_a_secret_comes_from_the_environment_or_else_from_its_file_or_is_empty(city, monkeypatch):
    monkeypatch.delenv("NOCTULE_BROKER_PASSWORD", raising=False)
    assert noctule.read_secret(city.path, "broker_password") == ""
    secrets(city, 'broker_password = "in the file"')
    assert noctule.read_secret(city.path, "broker_password") == "in the file"
    monkeypatch.setenv("NOCTULE_BROKER_PASSWORD", "in the air")
    assert noctule.read_secret(city.path, "broker_password") == "in the air"


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ('broker_password = "hush"', 0o644, "chmod 600"),
        ('broker_pasword = "hush"', 0o600, "'broker_pasword' is no secret"),
        ("broker_password = hush", 0o600, "is not TOML"),
    ],
)
def test_a_wrong_file_of_secrets_is_refused_without_quoting_it(city, monkeypatch, text, mode, said):
    monkeypatch.delenv("NOCTULE_BROKER_PASSWORD", raising=False)
    secrets(city, text, mode)
    with pytest.raises(CityError, match=said) as refusal:
        noctule.read_secret(city.path, "broker_password")
    assert "hush" not in str(refusal.value)


def test_no_room_reads_the_environment_for_itself():
    reading = re.compile(r"envvar=|environ(\.get\(|\[)[\"']NOCTULE|getenv\([\"']NOCTULE")
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    assert len(files) > 50
    assert [str(file) for file in files if reading.search(file.read_text("utf-8"))] == []


# ------------------------------------------------------------------------------------------------------------- set-up


@pytest.fixture
def set_ups(monkeypatch):
    """Replaces the long work of set-up by making the town; counts how often it was done."""
    done = []

    def set_up(prepared, source, night_name, seed, *, recorded):
        done.append(night_name)
        make_city(prepared).shelf().mkdir(exist_ok=True)

    monkeypatch.setattr(noctule, "_set_up", set_up)
    return done


def test_a_prepared_folder_is_kept_for_the_same_night_and_made_again_for_another(tmp_path, set_ups):
    for date in ("2026-11-20", "2026-11-20", "2026-10-24"):
        noctule._prepare(None, date, tmp_path, 1)
    assert set_ups == ["2026-11-20", "2026-10-24"]


@pytest.mark.parametrize("stamp", [None, "", '{"night": "2026-'])
def test_a_set_up_that_was_interrupted_is_begun_again(tmp_path, set_ups, stamp):
    noctule._prepare(None, "2026-11-20", tmp_path, 1)
    file = tmp_path / "prepared" / "helsinki" / "store" / "prepared.json"
    file.unlink() if stamp is None else file.write_text(stamp)
    noctule._prepare(None, "2026-11-20", tmp_path, 1)
    assert len(set_ups) == 2
    assert json.loads(file.read_text())["night"] == "2026-11-20"


def test_the_stamp_is_the_first_to_go(tmp_path, monkeypatch):
    prepared = tmp_path / "prepared"
    stamp = prepared / "store" / "prepared.json"
    stamp.parent.mkdir(parents=True)
    stamp.write_text("{}")

    def interrupted(_folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(noctule, "_removed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        noctule._set_up(prepared, None, "2026-11-20", 1, recorded=False)
    assert not stamp.exists()


def test_the_demos_own_copy_is_never_taken_for_a_source_and_so_never_removed(tmp_path, set_ups):
    own = make_city(tmp_path / "prepared" / "smalltown")
    with pytest.raises(CityError, match="own copy"):
        noctule._prepare(own, "2026-11-20", tmp_path, 1)
    assert (own.path / "city.toml").is_file()


@pytest.mark.parametrize("date", ["2026-02-30", "tomorrow", "20.11.2026", "1812-06-24", "9999-12-31"])
def test_a_nonsense_date_is_wrong_usage_before_any_work(tmp_path, date):
    result = CliRunner().invoke(noctule.app, ["demo", "--date", date, "--folder", str(tmp_path), "--prepare-only"])
    assert result.exit_code == 2
    assert "must be a day like" in result.output
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------------------------------------- parts

LASTING = "import time; time.sleep(60)"


@pytest.fixture
def parts(city, monkeypatch):
    monkeypatch.setattr(noctule, "_command", lambda code: [sys.executable, "-c", *code])
    monkeypatch.setattr(noctule, "_FIRST_PAUSE_S", 0.01)
    group = noctule._Parts(city)
    (city.shelf("run")).mkdir(parents=True)
    yield group
    group.stop()


def until(parts, happened):
    deadline = time.monotonic() + 20
    while not happened() and time.monotonic() < deadline:
        parts.look()
        time.sleep(0.02)
    assert happened()


def test_a_part_that_is_killed_comes_back_with_a_sentence(parts, capsys):
    parts.start("mapper", [LASTING])
    first = parts._parts["mapper"].process
    first.kill()
    until(parts, lambda: parts._parts["mapper"].process is not first)
    assert parts._parts["mapper"].process.poll() is None
    assert "was ended by SIGKILL; starting it again" in capsys.readouterr().out


def test_a_part_that_always_fails_ends_all_with_its_own_last_words(parts, capsys):
    parts.start("mapper", [LASTING])
    parts.start("ingest", ["print('the shelf is taken'); raise SystemExit(1)"])
    with pytest.raises(StoreError, match=r"ingest failed 6 times in a row.*the shelf is taken"):
        until(parts, lambda: False)
    assert capsys.readouterr().out.count("ended with 1 (the shelf is taken)") == 5


def test_failures_in_a_row_are_forgotten_after_a_life_that_lasted(parts, monkeypatch):
    monkeypatch.setattr(noctule, "_SETTLED_S", -1.0)
    parts.start("ingest", ["raise SystemExit(1)"])
    until(parts, lambda: parts._parts["ingest"].failures == 1)
    for _ in range(20):
        time.sleep(0.05)
        parts.look()
    assert parts._parts["ingest"].failures == 1


def test_a_service_that_ends_in_peace_is_started_again_but_a_replay_is_done(parts):
    parts.start("counts", ["pass"])
    parts.start("mapper", ["pass"])
    until(parts, lambda: "counts" not in parts._parts and parts._parts["mapper"].failures)


def test_without_a_place_to_write_it_is_one_sentence():
    for number, said in ((errno.ENOSPC, "the disk is full"), (errno.EROFS, "make it accessible")):
        sentence = noctule._no_place(OSError(number, os.strerror(number), "demo"))
        assert sentence.startswith("demo ")
        assert said in sentence


def test_parts_are_found_from_any_folder(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    (tmp_path / "sensors.py").write_text("raise RuntimeError('the wrong room')")
    done = subprocess.run(
        noctule._command(["night", "--help"]),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_line_of_set_up_is_cut_between_words():
    said = noctule._shortened("Helsinki is in demo/prepared/helsinki: " + "24 areas, " * 20)
    assert len(said) <= 100
    assert said.endswith("areas, …")
