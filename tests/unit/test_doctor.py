"""What the doctor says of this machine, of certificates and of the embedded broker.

tests/journeys/test_doctor.py takes it to real mosquittos.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ingest.broker import start_embedded
from ingest.doctor import certificate_ends, examine, examine_broker
from ingest.finding import Finding, Severity, worst_first
from ingest.lock import shelf_lock
from ingest.machine import examine_machine
from sensors.city import City
from tests.brokers import free_port
from tests.synthetic_city import make_city


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return make_city(tmp_path_factory.mktemp("doctor") / "town")


def found(findings, subject):
    """The findings about a subject, or nothing."""
    return [finding for finding in findings if finding.subject == subject]


def with_account(town, folder, user="noctule-ingest"):
    """The same town, with an account in its settings."""
    folder.mkdir()
    text = (town.path / "city.toml").read_text("utf-8")
    assert 'user = ""' in text
    (folder / "city.toml").write_text(text.replace('user = ""', f'user = "{user}"'), "utf-8")
    (folder / "places").symlink_to(town.path / "places")
    return City.open(folder)


def test_the_embedded_broker_loses_nothing_and_sends_retained_messages_unasked(town, tmp_path):
    broker = start_embedded(free_port(), tmp_path)
    try:
        findings = examine_broker(town, broker.url, "", watched_s=0.0)
    finally:
        broker.stop()
    assert found(findings, "queue")[0].severity is Severity.FINE
    assert found(findings, "in flight")[0].severity is Severity.RISK
    assert found(findings, "retain handling")[0].severity is Severity.NOTE
    assert Severity.LOSES not in {finding.severity for finding in findings}


def test_a_broker_that_is_not_there_is_one_sentence(town):
    findings = examine_broker(town, f"mqtt://127.0.0.1:{free_port()}", "")
    assert [finding.severity for finding in findings] == [Severity.LOSES]
    assert "no broker answers at 127.0.0.1" in findings[0].sentence


def test_without_a_city_only_the_broker_is_looked_at(tmp_path):
    findings = examine(None, f"mqtt://127.0.0.1:{free_port()}")
    assert [finding.subject for finding in findings] == ["broker"]


def test_the_worst_comes_first_and_equals_stay_in_order():
    order = [Severity.FINE, Severity.LOSES, Severity.NOTE, Severity.RISK, Severity.LOSES]
    findings = [Finding(severity, str(place), "") for place, severity in enumerate(order)]
    assert [finding.subject for finding in worst_first(findings)] == ["1", "4", "3", "2", "0"]


def test_the_machine_is_looked_at_without_a_trace(town):
    before = sorted(town.shelf().rglob("*")) if town.shelf().exists() else []
    subjects = [finding.subject for finding in examine_machine(town)]
    assert subjects == ["disk", "sync", "clock", "installed"]
    assert sorted(town.shelf().rglob("*")) == before


def test_who_writes_a_shelf_is_told(town):
    with shelf_lock(town.shelf("log", "0"), "noctule ingest town"):
        (lock,) = found(examine_machine(town), "lock")
    assert "'noctule ingest town' (process " in lock.sentence
    assert found(examine_machine(town), "lock") == []


def test_a_store_that_cannot_be_written_loses_data(town, tmp_path):
    city = with_account(town, tmp_path / "town")
    city.shelf().write_text("a file where the store should be", "utf-8")
    assert examine_machine(city)[0].severity is Severity.LOSES


# Two certificates of the same key; the second ends after 2049, so that its year has four digits (RFC 5280, 4.1.2.5).
NEAR = """-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIUGv8ZQ4KkC8i26J4ruCbJNMxq25QwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbHV4LTAwMB4XDTI2MTEyNDA1MDgwMFoXDTM2MTEyMTA1MDgw
MFowETEPMA0GA1UEAwwGbHV4LTAwMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
Dfcx8jshJkJXPxLRnjeTA0a0I/U7o//xoq4Ud1hyBCwLtYXzPukeVLdR0Pn4eI/u
tPnQPejxWsdQ6XvDOJSA7KNTMFEwHQYDVR0OBBYEFLOJiNrWMg34wGFDNvh1ia1s
ky0TMB8GA1UdIwQYMBaAFLOJiNrWMg34wGFDNvh1ia1sky0TMA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgD3wj2XBzXeO3FjIMFJwOymkp/r6ydQ7+
EECwna8uKmYCIQCRoBA4J6PJT1NpxxUp2Au67+1gqDIr6pz0pXNLDYoCWg==
-----END CERTIFICATE-----
"""
FAR = """-----BEGIN CERTIFICATE-----
MIIBeTCCAR+gAwIBAgIUK4h/25UP8yLHRbi4v1XwtFQDCEYwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbHV4LTAwMCAXDTI2MTEyNDA1MDgwMFoYDzIwNjUwMzI0MDUw
ODAwWjARMQ8wDQYDVQQDDAZsdXgtMDAwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQN9zHyOyEmQlc/EtGeN5MDRrQj9Tuj//oirhR3WHIELAu1hfM+6R5Ut1HQ+fh4
j+60+dA96PFax1Dpe8M4lIDso1MwUTAdBgNVHQ4EFgQUs4mI2tYyDfjAYUM2+HWJ
rWyTLRMwHwYDVR0jBBgwFoAUs4mI2tYyDfjAYUM2+HWJrWyTLRMwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAgHJnz4+81L/7ki+BpydhE+NgOpMX
PM5hHZoUx3gkmMoCIEI+CDh6psFinm0/LuWnXzbr6qT8wxjpmZwMx0EW9QOU
-----END CERTIFICATE-----
"""


@pytest.mark.parametrize(
    ("pem", "ends"),
    [
        (NEAR, datetime(2036, 11, 21, 5, 8, tzinfo=UTC)),
        (FAR, datetime(2065, 3, 24, 5, 8, tzinfo=UTC)),
        ("a key before it\n" + NEAR + FAR, datetime(2036, 11, 21, 5, 8, tzinfo=UTC)),
        ("no certificate", None),
    ],
)
def test_a_certificate_says_when_it_ends(pem, ends):
    assert certificate_ends(pem) == ends
