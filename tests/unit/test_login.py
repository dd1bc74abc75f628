"""How ingest logs in: a session's name that nobody guesses, and files that may lie beside city.toml."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ingest.login import session_name, tls_of
from sensors.city import BrokerSettings, City


@pytest.fixture
def city(tmp_path):
    class Settings:
        id = "town"
        broker = BrokerSettings(authority="ca.pem", certificate="/etc/ours.pem")

    return City(tmp_path, Settings())


def test_a_session_keeps_its_name_over_restarts(city):
    assert session_name(city, "0") == session_name(City(city.path, city.settings), "0")


def test_nobody_who_knows_the_city_knows_the_name(city, tmp_path):
    other = City(tmp_path / "elsewhere", city.settings)
    names = {session_name(city, "0"), session_name(city, "1"), session_name(other, "0")}
    assert len({name.partition(".")[2] for name in names}) == 3
    assert session_name(city, "0").partition(".")[0] == "noctule-town-0"


def test_only_its_owner_reads_it(city):
    session_name(city, "0")
    assert stat.S_IMODE(city.shelf("log", "0", "session").stat().st_mode) == 0o600


@pytest.mark.parametrize("broken", ["", "half", "ff" * 8 + "\nmore"])
def test_a_name_that_cannot_be_read_is_made_anew(city, broken):
    city.shelf("log", "0").mkdir(parents=True)
    city.shelf("log", "0", "session").write_text(broken)
    assert len(session_name(city, "0")) == len("noctule-town-0.") + 16


def test_certificates_lie_beside_the_settings_or_where_they_say(city):
    tls = tls_of(city)
    assert (tls.authority, tls.certificate, tls.key) == (city.path / "ca.pem", Path("/etc/ours.pem"), None)
