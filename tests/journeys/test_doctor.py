"""What the doctor finds at real mosquittos whose settings are known, and that it leaves nothing behind."""

from __future__ import annotations

import re
import time

import pytest

from ingest.doctor import MESSAGES, examine_broker
from ingest.finding import Severity, worst_first
from ingest.mqtt import Filter, Publisher, Subscriber
from sensors.city import City
from tests.brokers import needs_mosquitto, secured, stock, trial
from tests.synthetic_city import make_city

pytestmark = needs_mosquitto


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return make_city(tmp_path_factory.mktemp("doctor") / "town")


def found(findings, subject):
    """The findings about a subject, or nothing."""
    return [finding for finding in findings if finding.subject == subject]


def worst(findings):
    return worst_first(findings)[0].severity


def until_connected(subscriber):
    deadline = time.monotonic() + 60
    while subscriber.state != "connected":
        assert time.monotonic() < deadline, subscriber.sentence
        subscriber.step(0.05)
    for _ in range(6):  # and subscribed
        subscriber.step(0.05)


def drained(subscriber):
    while batch := subscriber.pop(10_000):
        yield from batch.messages


def with_account(town, folder, user="noctule-ingest"):
    """The same town, with an account in its settings."""
    folder.mkdir()
    text = (town.path / "city.toml").read_text("utf-8")
    assert 'user = ""' in text
    (folder / "city.toml").write_text(text.replace('user = ""', f'user = "{user}"'), "utf-8")
    (folder / "places").symlink_to(town.path / "places")
    return City.open(folder)


def test_its_defaults_lose_what_they_acknowledged(town, tmp_path):
    with stock(tmp_path / "b") as broker:
        findings = examine_broker(town, broker.url, "", watched_s=0.0)
    (queue,) = found(findings, "queue")
    assert queue.severity is Severity.LOSES
    assert f"{MESSAGES - 1_000:,} were dropped" in queue.sentence  # its default queue is 1,000 messages
    assert "max_queued_messages" in queue.mend


def test_the_settings_that_we_ship_lose_nothing(town, tmp_path):
    accounts = {"noctule-ingest": "correct"}
    city = with_account(town, tmp_path / "town")
    with secured(tmp_path / "b", city, accounts) as broker:
        findings = examine_broker(city, broker.url, "correct", watched_s=0.0)
    assert worst(findings) is Severity.NOTE, findings
    assert {finding.subject for finding in findings if finding.severity is Severity.NOTE} <= {
        "retained readings",  # what an access list cannot say
        "version",  # of Debian's mosquitto
    }
    assert "who has no account is refused" in found(findings, "accounts")[0].sentence


def test_what_is_tried_out_loses_nothing_and_is_open_to_this_machine(town, tmp_path):
    with trial(tmp_path / "b") as broker:
        findings = examine_broker(town, broker.url, "", watched_s=0.0)
    assert worst(findings) is Severity.NOTE, findings
    assert found(findings, "accounts")[0].severity is Severity.NOTE


def test_a_small_packet_limit_is_a_risk(town, tmp_path):
    with trial(tmp_path / "b", "max_packet_size 4096\n") as broker:
        (packet,) = found(examine_broker(town, broker.url, "", watched_s=0.0), "packet size")
    assert packet.severity is Severity.RISK
    assert "4,096" in packet.sentence


def test_payloads_that_are_dropped_are_told_from_payloads_that_pass(town, tmp_path):
    with stock(tmp_path / "b", "message_size_limit 4096\nmax_queued_messages 100000\n") as broker:
        (packet,) = found(examine_broker(town, broker.url, "", watched_s=0.0), "packet size")
    assert packet.severity is not Severity.FINE


def test_a_broker_without_retained_messages_forgets_who_is_online(town, tmp_path):
    with stock(tmp_path / "b", "retain_available false\nmax_queued_messages 100000\n") as broker:
        findings = examine_broker(town, broker.url, "", watched_s=0.0)
    assert found(findings, "status")[0].severity is Severity.RISK


def test_messages_that_the_broker_dropped_before_we_came_are_told(town, tmp_path):
    with stock(tmp_path / "b", "max_queued_messages 6000\n") as broker:
        gone = Subscriber(broker.url, "gone", filters=(Filter("elsewhere", 2),))
        until_connected(gone)
        gone.close()
        with Publisher(broker.url, "sender", window=500) as sender:
            for _ in range(7_000):
                sender.publish("elsewhere", b"x")
            assert sender.flush(60)
            sender.pause(2.0)  # the broker tells each second what it has dropped
        findings = examine_broker(town, broker.url, "", watched_s=0.0)
    (dropped,) = found(findings, "dropped")
    assert dropped.severity is Severity.RISK
    assert "dropped 1,000 messages since it started" in dropped.sentence


def test_an_account_that_may_not_probe_is_told_what_to_grant(town, tmp_path):
    city = with_account(town, tmp_path / "town", "lux-00")
    accounts = {"lux-00": "correct"}
    with secured(tmp_path / "b", town, accounts) as broker:  # where lux-00 is a device
        findings = examine_broker(city, broker.url, "correct", watched_s=0.0)
    (delivery,) = found(findings, "delivery")
    assert delivery.severity is Severity.LOSES
    assert "noctule/smalltown/doctor/#" in delivery.mend


def test_nothing_is_left_behind(town, tmp_path):
    with trial(tmp_path / "b") as broker:
        examine_broker(town, broker.url, "", watched_s=0.0)
        look = Subscriber(broker.url, "look", clean=True, filters=(Filter("#", 0),))
        until_connected(look)
        assert [topic for topic, *_ in drained(look)] == []
        look.close()
        names = set(re.findall(r"as (noctule-doctor-\S+)", broker.said()))
        assert {name.rsplit("-", 1)[1] for name in names} >= {"publisher", "away", "held"}
        for name in names:
            again = Subscriber(broker.url, name)
            until_connected(again)
            assert not again.session_present, name
            again.close()
