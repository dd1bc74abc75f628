"""Real brokers as a city runs them: who may say what, TLS and certificates, a restart, a hostile device.

docs/brokers.md refers to these tests: what a PUBACK means with each broker is what they show.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest.archive import night_records, nights
from ingest.broker import start_embedded
from ingest.health import read_health
from ingest.login import session_name
from ingest.mqtt import MAXIMUM_PACKET, Filter, Publisher, Subscriber, Tls
from sensors.city import BrokerSettings, City, read_settings, write_settings
from sensors.wire import Sample, encode_pack, quantity_topic, status_topic
from tests.brokers import free_port, needs_mosquitto, secured, stock, trial
from tests.shared_data import ROOT
from tests.synthetic_city import make_city

PATIENCE_S = 90.0
ACCOUNTS = {"noctule-ingest": "reads", "lux-00": "light", "counter-00": "people"}


def broker_test(test):
    for mark in needs_mosquitto:
        test = mark(test)
    return test


@pytest.fixture
def city(tmp_path):
    made = make_city(tmp_path / "town")
    return with_broker(made, user="noctule-ingest")


def with_broker(city, **changes):
    """The same city with other settings of its broker."""
    settings = read_settings(city.path / "city.toml")
    old = {name: getattr(settings.broker, name) for name in BrokerSettings.__struct_fields__}
    write_settings(city.path, msgspec.structs.replace(settings, broker=BrokerSettings(**(old | changes))))
    return City.open(city.path)


class Ingest:
    """`noctule ingest` in a process of its own."""

    def __init__(self, city, url, password=""):
        self.city, self.url, self.password = city, url, password

    def __enter__(self):
        secrets = self.city.path / "secrets.toml"
        secrets.write_text(f'broker_password = "{self.password}"\n', "utf-8")
        secrets.chmod(0o600)
        command = [sys.executable, "-m", "noctule", "ingest", str(self.city.path), "--broker", self.url]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()

    def until(self, true, what):
        deadline = time.monotonic() + PATIENCE_S
        while not true(read_health(self.city)):
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline, f"waited in vain for {what}: {read_health(self.city)}"
            time.sleep(0.05)

    def connected(self):
        self.until(lambda health: health["state"] == "connected", "a connection")


def lux(city, seq, value=12.5, device="lux-00"):
    """Topic and payload of a reading of a lux sensor, now."""
    now_ms = time.time_ns() // 1_000_000
    return (
        quantity_topic("noctule", city.id, device, "illuminance"),
        encode_pack([Sample("illuminance", now_ms, value, 0.0)], boot=1, seq=seq),
    )


def seqs(city):
    """The numbers of all stored readings, with whatever is there twice."""
    return sorted(int(number) for night in nights(city) for number in night_records(city, night)["seq"].tolist())


def turn_until(true, *links, seconds=PATIENCE_S):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, [link.sentence for link in links]
        for link in links:
            if isinstance(link, Publisher):
                link.flush(0.02)
            link.step(0.02)


def listening(broker, account, topic):
    """A subscriber that has been told yes."""
    subscriber = Subscriber(
        broker.url, f"listens-{account}", account, ACCOUNTS[account], clean=True, filters=(Filter(topic, 0),)
    )
    turn_until(lambda: subscriber.state == "connected", subscriber)
    for _ in range(10):
        subscriber.step(0.02)
    return subscriber


# ----------------------------------------------------------------------------------------------- who may say what


@broker_test
def test_what_a_device_writes_for_another_goes_nowhere(city, tmp_path):
    with secured(tmp_path / "b", city, ACCOUNTS) as broker:
        reader = listening(broker, "noctule-ingest", "noctule/smalltown/+/+")
        sender = Publisher(broker.url, "counter", "counter-00", ACCOUNTS["counter-00"])
        foreign, payload = lux(city, 1)
        sender.publish(foreign, payload)
        turn_until(lambda: "Not authorized" in sender.sentence, sender)  # MQTT 5 reason code 0x87
        assert foreign in sender.sentence
        sender.close()
        with Publisher(broker.url, "lux", "lux-00", ACCOUNTS["lux-00"]) as owner:
            owner.publish(*lux(city, 2))
            assert owner.flush(PATIENCE_S)
        turn_until(lambda: reader.inbox_messages, reader)
        batch = reader.pop(10)
        assert [
            (topic.decode(), b'"seq":2' in message.replace(b" ", b"")) for topic, _, _, message in batch.messages
        ] == [(foreign, True)]
        reader.close()


@broker_test
def test_a_quantity_that_the_register_does_not_know_is_refused_at_the_broker(city, tmp_path):
    with secured(tmp_path / "b", city, ACCOUNTS) as broker:
        sender = Publisher(broker.url, "lux", "lux-00", ACCOUNTS["lux-00"])
        sender.publish(quantity_topic("noctule", city.id, "lux-00", "sound_laeq"), b"[]")
        turn_until(lambda: "Not authorized" in sender.sentence, sender)
        sender.close()


@broker_test
def test_a_device_that_subscribes_to_everything_hears_nothing(city, tmp_path):
    with secured(tmp_path / "b", city, ACCOUNTS) as broker:
        curious = listening(broker, "counter-00", "#")
        system = listening(broker, "lux-00", "$SYS/#")
        reader = listening(broker, "noctule-ingest", "$SYS/broker/version")
        with Publisher(broker.url, "lux", "lux-00", ACCOUNTS["lux-00"]) as owner:
            owner.publish(*lux(city, 1))
            assert owner.flush(PATIENCE_S)
        turn_until(lambda: reader.inbox_messages, reader)
        for _ in range(50):
            curious.step(0.02)
            system.step(0.02)
        assert curious.inbox_messages == system.inbox_messages == 0
        for link in (curious, system, reader):
            link.close()


@broker_test
@pytest.mark.parametrize(("account", "password"), [(None, None), ("lux-00", "wrong"), ("lux-99", "light")])
def test_who_has_no_account_is_refused(city, tmp_path, account, password):
    with secured(tmp_path / "b", city, ACCOUNTS) as broker:
        stranger = Publisher(broker.url, "stranger", account, password)
        turn_until(lambda: "refuses us" in stranger.sentence, stranger)
        assert stranger.state == "retrying"
        stranger.close()


@broker_test
def test_a_device_cannot_take_the_queue_of_ingest(city, tmp_path):
    """Under the name of a session whoever comes gets its queue, and what he may not read is dropped."""
    with secured(tmp_path / "b", city, ACCOUNTS) as broker:

        def ingest():
            return Subscriber(
                broker.url,
                session_name(city, "0"),
                "noctule-ingest",
                ACCOUNTS["noctule-ingest"],
                filters=(Filter("noctule/smalltown/+/+", 2),),
            )

        first = ingest()
        turn_until(lambda: first.state == "connected", first)
        for _ in range(10):
            first.step(0.02)
        first.close()
        with Publisher(broker.url, "lux", "lux-00", ACCOUNTS["lux-00"]) as owner:
            for seq in range(100):
                owner.publish(*lux(city, seq))
            assert owner.flush(PATIENCE_S)
        for name in ("noctule-smalltown-0", "noctule-ingest"):  # all that a device can know
            thief = Subscriber(broker.url, name, "counter-00", ACCOUNTS["counter-00"], clean=True)
            turn_until(lambda thief=thief: thief.state == "connected", thief)
            thief.close()
        back = ingest()
        turn_until(lambda: back.inbox_messages == 100, back)
        assert back.session_present
        back.close()


@broker_test
def test_a_device_ends_the_connection_of_another_only_where_clients_choose_their_ids(city, tmp_path):
    for more, ended in (("", True), ("use_username_as_clientid true\n", False)):
        with secured(tmp_path / f"b{ended}", city, ACCOUNTS, more=more) as broker:
            owner = Publisher(broker.url, "same", "lux-00", ACCOUNTS["lux-00"])
            turn_until(lambda owner=owner: owner.state == "connected", owner)
            hostile = Publisher(broker.url, "same", "counter-00", ACCOUNTS["counter-00"])
            turn_until(lambda hostile=hostile: hostile.state == "connected", hostile)
            deadline = time.monotonic() + 1.0
            while owner.state == "connected" and time.monotonic() < deadline:
                owner.step(0.02)
            assert (owner.state == "retrying") is ended
            owner.close()
            hostile.close()


@broker_test
def test_a_last_will_on_anothers_topic_is_never_sent(city, tmp_path):
    with secured(tmp_path / "b", city, ACCOUNTS) as broker:
        reader = listening(broker, "noctule-ingest", "noctule/smalltown/+/status")
        for account, device in (("counter-00", "lux-00"), ("lux-00", "lux-00")):  # the second is told what comes
            client = paho.Client(CallbackAPIVersion.VERSION2, client_id=account, protocol=MQTTProtocolVersion.MQTTv5)
            client.username_pw_set(account, ACCOUNTS[account])
            client.will_set(status_topic("noctule", city.id, device), account.encode(), 1)
            client.connect("127.0.0.1", broker.port)
            while not client.is_connected():
                client.loop(0.05)
            client.socket().close()
        turn_until(lambda: reader.inbox_messages, reader)
        assert [payload for *_, payload in reader.pop(10).messages] == [b"lux-00"]
        reader.close()


@broker_test
@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_a_packet_beyond_the_limit_ends_its_senders_connection(city, tmp_path, protocol):
    with secured(tmp_path / "b", city, ACCOUNTS) as broker:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="large", protocol=protocol)
        client.username_pw_set("counter-00", ACCOUNTS["counter-00"])
        client.connect("127.0.0.1", broker.port)
        while not client.is_connected():
            client.loop(0.05)
        client.publish(quantity_topic("noctule", city.id, "counter-00", "people_flow"), bytes(MAXIMUM_PACKET), qos=1)
        deadline = time.monotonic() + PATIENCE_S
        while "Client large disconnected due to oversize packet" not in broker.said():
            assert time.monotonic() < deadline
            client.loop(0.05)


# --------------------------------------------------------------------------------------------- TLS and certificates


@pytest.fixture(scope="module")
def authority():
    return pytest.importorskip("trustme", reason="trustme makes the certificates").CA()


@pytest.fixture
def certificates(authority, tmp_path):
    """What the broker needs, as the shipped settings name it, and the client certificate of ingest."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    authority.cert_pem.write_to_path(folder / "ca.crt")
    server = authority.issue_cert("127.0.0.1")
    server.cert_chain_pems[0].write_to_path(folder / "server.crt")
    server.private_key_pem.write_to_path(folder / "server.key")
    for name in ("noctule-ingest", "lux-00"):
        client = authority.issue_cert(common_name=name)
        client.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
        client.private_key_pem.write_to_path(folder / f"{name}.key")
        (folder / f"{name}.key").chmod(0o600)
    return folder


def tls(certificates, name=""):
    return Tls(
        certificates / "ca.crt",
        certificates / f"{name}.crt" if name else None,
        certificates / f"{name}.key" if name else None,
    )


@broker_test
def test_readings_come_by_certificate_from_the_device_to_the_archive(city, tmp_path, certificates):
    city = with_broker(
        city,
        authority=str(certificates / "ca.crt"),
        certificate=str(certificates / "noctule-ingest.crt"),
        key=str(certificates / "noctule-ingest.key"),
    )
    with secured(tmp_path / "b", city, {"unused": "x"}, certificates=certificates, by_certificate=True) as broker:
        assert broker.url.startswith("mqtts://")
        with Ingest(city, broker.url) as ingest:
            ingest.connected()
            with Publisher(broker.url, "lux", tls=tls(certificates, "lux-00")) as sender:
                for seq in range(20):
                    sender.publish(*lux(city, seq))
                assert sender.flush(PATIENCE_S), sender.sentence
                sender.publish(quantity_topic("noctule", city.id, "counter-00", "people_flow"), b"[]")
                turn_until(lambda: "Not authorized" in sender.sentence, sender)  # the name in it is the account
            ingest.until(lambda health: health["counts"]["stored"] == 20, "twenty readings")
        stranger = Publisher(broker.url, "stranger", tls=tls(certificates))
        turn_until(lambda: stranger.connection > 1, stranger)  # refused once, and tried again
        assert stranger.state == "retrying"
        stranger.close()
    assert seqs(city) == list(range(20))


@broker_test
def test_a_password_over_tls_brings_readings_in_and_a_wrong_one_is_said(city, tmp_path, certificates):
    city = with_broker(city, authority=str(certificates / "ca.crt"))
    with secured(tmp_path / "b", city, ACCOUNTS, certificates=certificates) as broker:
        with Ingest(city, broker.url, "wrong") as ingest:
            ingest.until(lambda health: "refuses us" in health["sentence"], "the refusal")
            assert read_health(city)["state"] == "retrying"
            assert "wrong" not in read_health(city)["sentence"].replace("wrong version", "")
        with Ingest(city, broker.url, ACCOUNTS["noctule-ingest"]) as ingest:
            ingest.connected()
            with Publisher(broker.url, "lux", "lux-00", ACCOUNTS["lux-00"], tls(certificates)) as sender:
                sender.publish(*lux(city, 7))
                assert sender.flush(PATIENCE_S), sender.sentence
            ingest.until(lambda health: health["counts"]["stored"] == 1, "a reading")


@broker_test
def test_a_broker_whose_authority_is_not_ours_gets_no_password(city, tmp_path, certificates):
    other = pytest.importorskip("trustme").CA()
    other.cert_pem.write_to_path(tmp_path / "other.crt")
    city = with_broker(city, authority=str(tmp_path / "other.crt"))
    with (
        secured(tmp_path / "b", city, ACCOUNTS, certificates=certificates) as broker,
        Ingest(city, broker.url, ACCOUNTS["noctule-ingest"]) as ingest,
    ):
        ingest.until(lambda health: "certificate" in health["sentence"], "a word about the certificate")
        assert read_health(city)["state"] == "retrying"
        assert "New client connected" not in broker.said()


@broker_test
def test_a_broker_that_is_asked_without_tls_is_said_to_be_silent_or_gone(city, tmp_path, certificates):
    with secured(tmp_path / "b", city, ACCOUNTS, certificates=certificates) as broker:
        plain = Publisher(f"mqtt://127.0.0.1:{broker.port}", "plain", "lux-00", "light")
        turn_until(lambda: plain.connection > 1, plain)
        assert plain.state == "retrying"
        plain.close()


# ----------------------------------------------------------------------------------------- what a PUBACK is worth


def publish_with_restarts(city, broker, restarts):
    """What was acknowledged to a sender while the broker was stopped and started, and ingest was away each time."""
    sent = 0
    with Publisher(broker.url, "lux", "lux-00", ACCOUNTS["lux-00"]) as sender:
        for _ in range(restarts):
            with Ingest(city, broker.url, ACCOUNTS["noctule-ingest"]) as ingest:
                ingest.connected()
                for _ in range(50):
                    sender.publish(*lux(city, sent), token=sent)
                    sent += 1
            for _ in range(200):  # nobody listens: they are the broker's alone
                sender.publish(*lux(city, sent), token=sent)
                sent += 1
            assert sender.flush(PATIENCE_S)
            broker.restart(signal.SIGTERM)
        assert sender.flush(PATIENCE_S)
        return sent, set(sender.acknowledged)


@broker_test
def test_a_broker_that_is_stopped_and_started_loses_nothing(city, tmp_path):
    with secured(tmp_path / "b", city, ACCOUNTS) as broker:
        sent, acknowledged = publish_with_restarts(city, broker, 3)
        assert acknowledged == set(range(sent))
        with Ingest(city, broker.url, ACCOUNTS["noctule-ingest"]) as ingest:
            ingest.connected()
            deadline = time.monotonic() + PATIENCE_S
            while acknowledged - set(seqs(city)) and time.monotonic() < deadline:
                time.sleep(0.1)
    assert seqs(city) == sorted(acknowledged), "acknowledged readings were lost, or are there twice"


@pytest.mark.parametrize(
    ("start", "lost"),
    [pytest.param(trial, 0, marks=needs_mosquitto), pytest.param(stock, 4_000, marks=needs_mosquitto), ("embedded", 0)],
    ids=["shipped", "defaults", "embedded"],
)
def test_what_waits_for_an_ingest_that_is_away(tmp_path, start, lost):
    """5,000 messages: all of them with our settings, the first 1,000 with mosquitto's own."""
    embedded = start_embedded(free_port(), tmp_path / "e") if start == "embedded" else None
    opened = start(tmp_path / "b") if embedded is None else None
    try:
        url = embedded.url if embedded else opened.__enter__().url
        away = Subscriber(url, "away", filters=(Filter("t/#", 2),))
        turn_until(lambda: away.state == "connected", away)
        for _ in range(10):
            away.step(0.02)
        away.close()
        with Publisher(url, "sender") as sender:
            for number in range(5_000):
                sender.publish("t/x", b"%d" % number, token=number)
            assert sender.flush(PATIENCE_S)
            assert len(sender.acknowledged) == 5_000
        back = Subscriber(url, "away", filters=(Filter("t/#", 2),))
        came, quiet = 0, time.monotonic()
        while came < 5_000 - lost or time.monotonic() - quiet < 1.0:
            back.receive(0.05, 10_000)
            while batch := back.pop(10_000):
                back.acknowledge(batch.connection, batch.messages)
                came, quiet = came + len(batch.messages), time.monotonic()
            assert time.monotonic() - quiet < PATIENCE_S, f"{came} came"
        back.close()
        assert came == 5_000 - lost
    finally:
        if embedded:
            embedded.stop()
        if opened:
            opened.__exit__(None, None, None)


# -------------------------------------------------------------------------------------------------- hostile devices


@broker_test
def test_a_flooding_device_is_refused_and_the_others_are_all_stored(city, tmp_path):
    accounts = {f"lux-0{number}": "light" for number in range(2)} | ACCOUNTS
    with secured(tmp_path / "b", city, accounts) as broker, Ingest(city, broker.url, "reads") as ingest:
        ingest.connected()
        flood = Publisher(broker.url, "flood", "counter-00", accounts["counter-00"], window=500)
        honest = Publisher(broker.url, "honest", "lux-00", accounts["lux-00"])
        topic = quantity_topic("noctule", city.id, "counter-00", "people_flow")
        flooded = 0
        for seq in range(200):
            for _ in range(50):
                now_ms = time.time_ns() // 1_000_000
                flood.publish(
                    topic, encode_pack([Sample("people_flow", now_ms, 1.0, 60.0)], boot=1, seq=10_000 + flooded)
                )
                flooded += 1
            honest.publish(*lux(city, seq))
        assert flood.flush(PATIENCE_S)
        assert honest.flush(PATIENCE_S)
        ingest.until(
            lambda health: health["counts"]["received"] >= flooded + 200, "everything to be taken in or refused"
        )
        assert set(range(200)) <= set(seqs(city)), "an honest device's reading is missing"
        health = read_health(city)
        allowed = city.settings.ingest.burst + city.settings.ingest.messages_per_second * PATIENCE_S * 2
        assert health["counts"]["refused"] >= flooded - allowed
        assert health["counts"]["stored"] <= 200 + allowed
        flood.close()
        honest.close()


def test_the_settings_that_these_tests_use_are_those_that_we_ship():
    assert (ROOT / "ingest" / "deploy" / "mosquitto.conf").is_file()
    assert Path(ROOT / "docs" / "brokers.md").read_text("utf-8").count("tests/journeys/test_brokers.py") > 0
