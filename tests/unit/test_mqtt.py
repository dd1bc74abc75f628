"""The wire: what is said when a broker refuses, hangs up, takes over or comes back, against a scripted broker."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from ingest import mqtt as module
from ingest.fast_receive import FastClient
from ingest.mqtt import Address, Filter, Publisher, Raw, Subscriber, Tls, parse_address
from sensors.errors import BrokerError, CityError

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, UNSUBSCRIBE, PINGREQ = 1, 3, 4, 8, 10, 12
FILTERS = (Filter("noctule/town/+/+", 2), Filter("noctule/town/+/status", 0))


class ScriptedBroker:
    """Speaks just enough MQTT on a free port; `answer` decides what a CONNECT gets."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.context = context
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt{'s' if context else ''}://127.0.0.1:{self.listener.getsockname()[1]}"
        self.packets: list[tuple[int, bytes]] = []
        self.connections: list[socket.socket] = []
        self.answer = "accept"
        self.acknowledge = True
        self._stopped = False
        self._one_at_a_time = threading.Lock()  # TLS breaks when two threads send
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def send(self, data: bytes) -> None:
        with self._one_at_a_time:
            self.connections[-1].sendall(data)

    def deliver(self, topic: str, payload: bytes, mid: int, v5: bool = True) -> None:
        self.send(publish(topic, payload, mid, v5))

    def of(self, kind: int) -> list[bytes]:
        return [body for found, body in self.packets if found == kind]

    def close(self) -> None:
        self._stopped = True
        self._thread.join()
        for connection in (*self.connections, self.listener):
            connection.close()

    def _serve(self) -> None:
        while not self._stopped:
            # What TLS has decrypted already, select does not see.
            waiting = [one for one in self.connections if isinstance(one, ssl.SSLSocket) and one.pending()]
            for ready in waiting or select.select([self.listener, *self.connections], [], [], 0.02)[0]:
                if ready is self.listener:
                    self._accept()
                    continue
                try:
                    with self._one_at_a_time:
                        packet = _read(ready)
                except OSError:
                    packet = None
                if packet is None:
                    self.connections.remove(ready)
                    ready.close()
                else:
                    self.packets.append(packet)
                    with contextlib.suppress(OSError), self._one_at_a_time:
                        self._respond(ready, *packet)

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        try:
            connection.settimeout(5.0)
            self.connections.append(
                self.context.wrap_socket(connection, server_side=True) if self.context else connection
            )
        except OSError:
            connection.close()

    def _respond(self, connection: socket.socket, kind: int, body: bytes) -> None:
        if kind == CONNECT:
            v5 = body[6] == 5
            if self.answer == "hang up on 5" and v5:
                connection.shutdown(socket.SHUT_RDWR)
            elif self.answer == "refuse 5" and v5:
                connection.sendall(b"\x20\x03\x00\x84\x00")
            elif self.answer == "refuse":
                connection.sendall(b"\x20\x03\x00\x87\x00")
            elif self.answer != "silence":
                connection.sendall(b"\x20\x03\x01\x00\x00" if v5 else b"\x20\x02\x01\x00")
            self.v5 = v5
        elif kind == SUBSCRIBE:
            granted = b"\x01\x01" if self.answer != "refuse subscription" else b"\x87\x01"
            properties = b"\0" if self.v5 else b""
            connection.sendall(b"\x90" + _length(2 + len(properties) + 2) + body[:2] + properties + granted)
        elif kind == UNSUBSCRIBE:
            connection.sendall(b"\xb0\x04" + body[:2] + b"\0\0")
        elif kind == PUBLISH and self.acknowledge:
            (length,) = struct.unpack_from("!H", body)
            connection.sendall(b"\x40\x02" + body[2 + length : 4 + length])
        elif kind == PINGREQ and self.answer != "no pings":
            connection.sendall(b"\xd0\x00")


def publish(topic: str, payload: bytes, mid: int, v5: bool = True) -> bytes:
    body = struct.pack("!H", len(topic)) + topic.encode() + struct.pack("!H", mid) + (b"\0" if v5 else b"") + payload
    return bytes([0x32]) + _length(len(body)) + body


def _read(connection: socket.socket) -> tuple[int, bytes] | None:
    first = connection.recv(1)
    if not first:
        return None
    length, shift = 0, 0
    while True:
        byte = connection.recv(1)[0]
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return first[0] >> 4, body


def _length(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | (128 if number else 0))
        if not number:
            return bytes(out)


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    scripted = ScriptedBroker()
    yield scripted
    scripted.close()


@pytest.fixture(params=["fast", "stock: a test asked for it"])
def subscriber(broker, request) -> Iterator[Subscriber]:
    client = Subscriber(broker.url, "noctule-town-0", filters=FILTERS)
    assert client.receiver == "fast"
    client.receiver = request.param
    yield client
    client.close()


def until(condition, step, limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        step()


def connected(broker: ScriptedBroker, subscriber: Subscriber, subscriptions: int = 1) -> None:
    until(
        lambda: subscriber.state == "connected" and len(broker.of(SUBSCRIBE)) == subscriptions,
        lambda: subscriber.step(0.01),
    )


def taken(subscriber: Subscriber) -> tuple[int, list[Raw]]:
    """All that is in the inbox, of one connection."""
    messages: list[Raw] = []
    while batch := subscriber.pop(1000):
        assert batch.connection == subscriber.connection
        messages += batch.messages
    return subscriber.connection, messages


def test_the_connection_says_what_protects_us(broker, subscriber):
    connected(broker, subscriber)
    (connect,) = broker.of(CONNECT)
    assert connect[:7] == b"\0\x04MQTT\x05"
    assert connect[7] & 0x02 == 0  # clean start off: the session stays
    for identifier, value in ((0x11, struct.pack("!I", 7 * 86_400)), (0x21, struct.pack("!H", 20_000)),
                              (0x27, struct.pack("!I", 262_144))):  # fmt: skip
        assert bytes([identifier]) + value in connect
    assert connect.endswith(b"\0\x0enoctule-town-0")
    (subscription,) = broker.of(SUBSCRIBE)
    assert b"noctule/town/+/+" + bytes([2 << 4 | 1]) in subscription
    assert b"noctule/town/+/status" + bytes([0 << 4 | 1]) in subscription


def test_nothing_is_acknowledged_by_itself_and_everything_in_order_by_hand(broker, subscriber):
    connected(broker, subscriber)
    for mid in (5, 3, 9):
        broker.deliver("noctule/town/a/power", b"x", mid)
    until(lambda: subscriber.inbox_messages == 3, lambda: subscriber.receive(0.01, 100))
    assert broker.of(PUBACK) == []
    assert subscriber.acknowledge(*taken(subscriber)) == 3
    until(lambda: len(broker.of(PUBACK)) == 3, lambda: time.sleep(0.01))
    assert [struct.unpack("!H", body[:2])[0] for body in broker.of(PUBACK)] == [5, 3, 9]


def test_acknowledgements_of_an_old_connection_are_forgotten_on_the_next(broker, subscriber):
    connected(broker, subscriber)
    broker.deliver("noctule/town/a/power", b"x", 5)
    until(lambda: bool(subscriber.inbox), lambda: subscriber.receive(0.01, 100))
    old = taken(subscriber)
    broker.connections[-1].shutdown(socket.SHUT_RDWR)
    until(lambda: subscriber.state == "retrying", lambda: subscriber.step(0.01))
    connected(broker, subscriber, subscriptions=2)
    assert subscriber.acknowledge(*old) == 0
    broker.deliver("noctule/town/a/power", b"x", 5)
    until(lambda: bool(subscriber.inbox), lambda: subscriber.receive(0.01, 100))
    assert subscriber.acknowledge(*taken(subscriber)) == 1
    until(lambda: len(broker.of(PUBACK)) == 1, lambda: time.sleep(0.01))


def test_a_taken_over_session_stops_with_a_sentence(broker, subscriber):
    connected(broker, subscriber)
    broker.send(b"\xe0\x02\x8e\x00")
    until(lambda: subscriber.state != "connected", lambda: subscriber.step(0.01))
    assert subscriber.state == "stopped"
    assert "another client took over the session 'noctule-town-0'" in subscriber.sentence
    for _ in range(5):
        subscriber.step(0.01)
    assert len(broker.of(CONNECT)) == 1


@pytest.mark.parametrize("answer", ["refuse 5", "hang up on 5"])
def test_a_broker_without_mqtt_5_is_spoken_to_in_3(broker, subscriber, answer):
    broker.answer = answer
    connected(broker, subscriber)
    last = broker.of(CONNECT)[-1]
    assert last[6] == 4
    assert last[7] & 0x02 == 0  # clean session off
    broker.deliver("noctule/town/a/power", b"x", 5, v5=False)
    until(lambda: bool(subscriber.inbox), lambda: subscriber.receive(0.01, 100))
    assert taken(subscriber) == (subscriber.connection, [(b"noctule/town/a/power", 5, 0x32, b"x")])


def test_a_broker_that_only_hung_up_is_spoken_to_in_5_again(broker, subscriber):
    broker.answer = "hang up on 5"
    connected(broker, subscriber)
    broker.answer = "accept"
    broker.connections[-1].shutdown(socket.SHUT_RDWR)
    until(lambda: subscriber.state == "retrying", lambda: subscriber.step(0.01))
    connected(broker, subscriber, subscriptions=2)
    assert [connect[6] for connect in broker.of(CONNECT)] == [5, 5, 4, 5]


def test_a_refusal_is_said_in_words_and_tried_again(broker, subscriber):
    broker.answer = "refuse"
    until(lambda: "refuses us: Not authorized" in subscriber.sentence, lambda: subscriber.step(0.01))
    broker.answer = "accept"
    connected(broker, subscriber)


def test_a_refused_subscription_is_said(broker, subscriber):
    broker.answer = "refuse subscription"
    until(lambda: "refuses the subscription to 'noctule/town/+/+'" in subscriber.sentence,
          lambda: subscriber.step(0.01))  # fmt: skip
    assert subscriber.state == "retrying"


def test_attempts_become_rarer(subscriber, broker):
    broker.close()
    pauses = []
    for _ in range(6):
        subscriber._retry_at = 0.0
        subscriber.step(0.0)
        pauses.append(subscriber._retry_at - time.monotonic())
    assert pauses[0] < 0.3
    assert 3.0 < pauses[-1] < 7.0
    assert "no broker answers at" in subscriber.sentence


def test_garbage_from_the_broker_costs_a_connection_not_the_loop(broker, subscriber):
    connected(broker, subscriber)
    broker.send(b"\x32\x05\xff\xff\xff\xff\xff")  # a topic longer than its packet
    broker.send(b"\xf0\xff\xff\xff\xff\xff")
    until(lambda: subscriber.connection > 1, lambda: subscriber.step(0.01))
    connected(broker, subscriber, subscriptions=2)


def test_a_message_without_its_number_ends_the_connection(broker, subscriber):
    connected(broker, subscriber)
    broker.deliver("noctule/town/a/power", b"x", 0)
    until(lambda: "without its packet number" in subscriber.sentence, lambda: subscriber.receive(0.01, 100))
    assert subscriber.inbox_messages == 0


def test_a_topic_that_is_no_text_comes_as_it_is(broker, subscriber):
    connected(broker, subscriber)
    broker.send(b"\x32\x08\x00\x02\xff\xfe\x00\x07\x00x")
    until(lambda: subscriber.inbox_messages == 1, lambda: subscriber.receive(0.01, 100))
    assert taken(subscriber)[1] == [(b"\xff\xfe", 7, 0x32, b"x")]


def test_the_inbox_is_taken_out_in_order_and_never_more_than_asked_for(broker, subscriber):
    connected(broker, subscriber)
    broker.send(b"".join(publish("noctule/town/a/power", bytes(mid), mid) for mid in range(1, 31)))
    until(lambda: subscriber.inbox_messages == 30, lambda: subscriber.receive(0.01, 100))
    mids, sizes = [], []
    while batch := subscriber.pop(7):
        mids += [mid for _, mid, _, _ in batch.messages]
        sizes.append(len(batch.messages))
    assert mids == list(range(1, 31))
    assert max(sizes) == 7
    assert subscriber.inbox_messages == subscriber.inbox_bytes == 0
    assert subscriber.pop(7) is None


def test_filters_change_on_the_living_connection_and_new_ones_come_first(broker, subscriber):
    connected(broker, subscriber)
    live = Filter("noctule/#", 2, qos=0)
    subscriber.set_filters([FILTERS[1], live])
    until(lambda: bool(broker.of(UNSUBSCRIBE)), lambda: subscriber.step(0.01))
    assert [kind for kind, _ in broker.packets] == [CONNECT, SUBSCRIBE, SUBSCRIBE, UNSUBSCRIBE]
    (_, added), (removed,) = broker.of(SUBSCRIBE), broker.of(UNSUBSCRIBE)
    assert added.endswith(b"\0\x09noctule/#" + bytes([2 << 4 | 0]))
    assert b"status" not in added
    assert removed.endswith(b"noctule/town/+/+")
    assert len(broker.connections) == 1


def test_filters_that_changed_meanwhile_are_dropped_from_the_session_on_the_next_connection(broker, subscriber):
    connected(broker, subscriber)
    broker.connections[-1].shutdown(socket.SHUT_RDWR)
    until(lambda: subscriber.state == "retrying", lambda: subscriber.step(0.01))
    subscriber.set_filters(FILTERS[1:])
    connected(broker, subscriber, subscriptions=2)
    until(lambda: bool(broker.of(UNSUBSCRIBE)), lambda: subscriber.step(0.01))
    assert broker.of(UNSUBSCRIBE)[0].endswith(b"noctule/town/+/+")
    assert b"noctule/town/+/+" not in broker.of(SUBSCRIBE)[1]


def test_thousands_of_filters_go_out_in_parts_that_a_broker_takes(broker, subscriber):
    subscriber.filters = [Filter(f"noctule/town/counter-{number:05d}/+", 2) for number in range(1_200)]
    connected(broker, subscriber, subscriptions=3)
    parts = broker.of(SUBSCRIBE)
    assert sum(part.count(b"noctule/town/counter-") for part in parts) == 1_200
    assert max(map(len, parts)) < 65_536


def test_a_silent_connection_is_kept_alive_with_pings_and_left_when_none_is_answered(broker, subscriber, monkeypatch):
    monkeypatch.setattr(module, "KEEPALIVE_S", 1)
    connected(broker, subscriber)
    until(lambda: len(broker.of(PINGREQ)) >= 1, lambda: subscriber.step(0.05))
    assert subscriber.connection == 1
    broker.answer = "no pings"
    until(lambda: "stopped answering; no PINGRESP in 1 s" in subscriber.sentence, lambda: subscriber.step(0.05))
    connected(broker, subscriber, subscriptions=2)


def test_a_stalled_broker_is_connected_to_anew_once_nothing_is_open(broker, subscriber):
    subscriber.stall_s = 0.2
    connected(broker, subscriber)
    time.sleep(0.3)
    subscriber.receive(0.0, 100)
    assert subscriber.connection == 1  # nothing has ever come: a quiet city, not a stalled broker
    broker.deliver("noctule/town/a/power", b"x", 5)
    until(lambda: subscriber.inbox_messages == 1, lambda: subscriber.receive(0.01, 100))
    time.sleep(0.3)
    subscriber.receive(0.0, 100)
    assert subscriber.connection == 1  # not acknowledged: the silence may be ours
    subscriber.acknowledge(*taken(subscriber))
    until(lambda: "nothing has come" in subscriber.sentence, lambda: subscriber.receive(0.01, 100))
    connected(broker, subscriber, subscriptions=2)


def test_a_fault_of_the_fast_receiver_costs_a_connection_and_stock_paho_goes_on(broker, monkeypatch):
    subscriber = Subscriber(broker.url, "noctule-town-0", filters=FILTERS)

    def broken(client: FastClient, buffered: object) -> bool:
        raise RuntimeError("a bug")

    connected(broker, subscriber)
    monkeypatch.setattr(FastClient, "_take_publishes", broken)
    broker.deliver("noctule/town/a/power", b"x", 5)
    until(lambda: subscriber.state == "retrying", lambda: subscriber.receive(0.01, 100))
    assert subscriber.receiver == "stock: the fast receiver failed: RuntimeError: a bug"
    connected(broker, subscriber, subscriptions=2)
    broker.deliver("noctule/town/a/power", b"x", 5)
    until(lambda: subscriber.inbox_messages == 1, lambda: subscriber.receive(0.01, 100))
    assert subscriber.acknowledge(*taken(subscriber)) == 1
    subscriber.close()


def test_what_is_published_is_sent_again_until_it_is_acknowledged(broker):
    broker.acknowledge = False
    with Publisher(broker.url, "replay") as publisher:
        for number in range(5):
            publisher.publish("noctule/town/a/power", b"%d" % number, token=number)
        assert not publisher.flush(0.2)
        assert publisher.unacknowledged == 5
        broker.connections[-1].shutdown(socket.SHUT_RDWR)
        broker.acknowledge = True
        assert publisher.flush(5)
        assert list(publisher.acknowledged) == [0, 1, 2, 3, 4]


def test_a_publisher_waits_while_too_much_is_in_flight(broker):
    with Publisher(broker.url, "replay", window=3) as publisher:
        for number in range(50):
            publisher.publish("noctule/town/a/power", b"x", token=number)
            assert publisher.unacknowledged <= 3
        assert publisher.flush(5)
        assert list(publisher.acknowledged) == list(range(50))


def test_a_message_that_no_broker_would_take_is_refused_at_once(broker):
    with Publisher(broker.url, "replay") as publisher, pytest.raises(BrokerError, match="262145 bytes"):
        publisher.publish("noctule/town/a/power", bytes(262_145))


def test_addresses():
    assert parse_address("mqtt://broker.town") == Address("broker.town", 1883, False)
    assert parse_address("mqtts://broker.town") == Address("broker.town", 8883, True)
    assert parse_address("mqtt://[::1]:1884/") == Address("::1", 1884, False)


@pytest.mark.parametrize("url", ["", "broker", "http://broker", "mqtt://", "mqtt://h:port", "mqtt://h/topic"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(BrokerError, match="write mqtt://host:port"):
        parse_address(url)


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(BrokerError) as refusal:
        parse_address("mqtt://me:hush@broker")
    assert "hush" not in str(refusal.value)
    with pytest.raises(BrokerError) as refusal:
        parse_address("http://me:secret@broker")
    assert "secret" not in str(refusal.value)


# ---------------------------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def authority():
    return pytest.importorskip("trustme", reason="trustme makes the certificates").CA()


@pytest.fixture
def folder(authority, tmp_path):
    """Certificates as a city has them: its authority's, and that of its client `ingest`."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = authority.issue_cert(common_name="ingest")
    client.cert_chain_pems[0].write_to_path(tmp_path / "ingest.pem")
    client.private_key_pem.write_to_path(tmp_path / "ingest.key")
    (tmp_path / "ingest.key").chmod(0o600)
    return tmp_path


def serving(certificate, authority=None) -> ssl.SSLContext:
    """A broker's side; with an authority it asks for a client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if authority is not None:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextlib.contextmanager
def meeting(context: ssl.SSLContext, tls: Tls | None) -> Iterator[tuple[ScriptedBroker, Subscriber]]:
    broker = ScriptedBroker(context)
    client = Subscriber(broker.url, "noctule-town-0", filters=FILTERS, tls=tls)
    try:
        yield broker, client
    finally:
        client.close()
        broker.close()


def test_messages_come_and_are_acknowledged_over_tls(authority, folder):
    with meeting(serving(authority.issue_cert("127.0.0.1")), Tls(folder / "ca.pem")) as (broker, subscriber):
        connected(broker, subscriber)
        assert subscriber.receiver == "fast"
        total = b"".join(
            publish("noctule/town/a/power", bytes(900), mid) for mid in range(1, 501)
        )  # one write is dozens of records, of which one read takes one
        broker.send(total)
        until(lambda: subscriber.inbox_messages == 500, lambda: subscriber.receive(0.01, 1000))
        connection, messages = taken(subscriber)
        assert [mid for _, mid, _, _ in messages] == list(range(1, 501))
        assert subscriber.acknowledge(connection, messages) == 500
        until(lambda: len(broker.of(PUBACK)) == 500, lambda: subscriber.step(0.01))


def test_a_broker_that_says_goodbye_over_tls_is_connected_to_anew(authority, folder):
    """Its close_notify is no end of the socket yet; reading on after it would never end."""
    with meeting(serving(authority.issue_cert("127.0.0.1")), Tls(folder / "ca.pem")) as (broker, subscriber):
        connected(broker, subscriber)
        broker.send(publish("noctule/town/a/power", b"last", 1))
        leaving = broker.connections[-1]
        with contextlib.suppress(OSError):
            leaving.settimeout(0.1)  # it would wait for our own goodbye
            leaving.unwrap()
        until(lambda: subscriber.inbox_messages == 1, lambda: subscriber.receive(0.01, 10))
        leaving.shutdown(socket.SHUT_RDWR)
        until(lambda: subscriber.connection > 1 and subscriber.state == "connected", lambda: subscriber.step(0.01))


def test_a_broker_that_asks_for_a_certificate_gets_ours(authority, folder):
    tls = Tls(folder / "ca.pem", folder / "ingest.pem", folder / "ingest.key")
    with meeting(serving(authority.issue_cert("127.0.0.1"), authority), tls) as (broker, subscriber):
        connected(broker, subscriber)
        seen = broker.connections[-1].getpeercert()
        assert ((("commonName", "ingest"),)) in seen["subject"]


def test_a_broker_that_asks_for_a_certificate_refuses_who_has_none(authority, folder):
    context = serving(authority.issue_cert("127.0.0.1"), authority)
    with meeting(context, Tls(folder / "ca.pem")) as (_broker, subscriber):
        until(lambda: "certificate required" in subscriber.sentence, lambda: subscriber.step(0.01))
        assert subscriber.state == "retrying"
        assert "ended the encrypted connection" in subscriber.sentence


def test_a_broker_that_hangs_up_without_a_word_may_want_a_certificate(authority, folder):
    with meeting(serving(authority.issue_cert("127.0.0.1")), Tls(folder / "ca.pem")) as (broker, subscriber):
        broker.answer = "hang up on 5"  # as mosquitto 2.0.11 does
        until(lambda: "does the broker ask for a client certificate?" in subscriber.sentence,
              lambda: subscriber.step(0.01))  # fmt: skip


def test_an_authority_that_is_not_ours_is_not_believed(authority, folder):
    import trustme

    stranger = trustme.CA().issue_cert("127.0.0.1")
    with meeting(serving(stranger), Tls(folder / "ca.pem")) as (broker, subscriber):
        until(lambda: "not believed" in subscriber.sentence, lambda: subscriber.step(0.01))
        assert broker.of(CONNECT) == []  # so no password either


def test_a_certificate_of_another_host_is_not_believed(authority, folder):
    context = serving(authority.issue_cert("broker.elsewhere"))
    with meeting(context, Tls(folder / "ca.pem")) as (broker, subscriber):
        until(lambda: "not valid for '127.0.0.1'" in subscriber.sentence, lambda: subscriber.step(0.01))
        assert broker.of(CONNECT) == []


def test_an_expired_certificate_is_not_believed(authority, folder):
    import datetime

    expired = authority.issue_cert("127.0.0.1", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    with meeting(serving(expired), Tls(folder / "ca.pem")) as (broker, subscriber):
        until(lambda: "certificate has expired" in subscriber.sentence, lambda: subscriber.step(0.01))
        assert broker.of(CONNECT) == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_nothing_below_tls_1_2_is_spoken(authority, folder):
    context = serving(authority.issue_cert("127.0.0.1"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with meeting(context, Tls(folder / "ca.pem")) as (broker, subscriber):
        until(lambda: "no encryption in common" in subscriber.sentence, lambda: subscriber.step(0.01))
        assert broker.of(CONNECT) == []


def test_a_publisher_speaks_tls_as_well(authority, folder):
    broker = ScriptedBroker(serving(authority.issue_cert("127.0.0.1")))
    with Publisher(broker.url, "replay", tls=Tls(folder / "ca.pem")) as publisher:
        publisher.publish("noctule/town/a/power", b"x", token=1)
        assert publisher.flush(60)
    broker.close()


def test_a_key_that_others_can_read_is_refused(folder):
    (folder / "ingest.key").chmod(0o640)
    with pytest.raises(CityError, match=r"ingest\.key can be read by others \(mode 0640\).*chmod 600"):
        Subscriber("mqtts://broker", "x", tls=Tls(None, folder / "ingest.pem", folder / "ingest.key"))


def test_files_that_are_not_what_they_should_be_are_named(folder):
    for tls, sentence in (
        (Tls(folder / "none.pem"), r"broker\.authority: .*none\.pem cannot be read \(No such file"),
        (Tls(folder / "ingest.key"), r"broker\.authority: .*ingest\.key holds no certificate"),
        (Tls(None, folder / "none.pem"), r"broker\.certificate: .*none\.pem cannot be read"),
        (Tls(None, folder / "ingest.pem", folder / "none"), r"broker\.key: .*none cannot be read"),
        (Tls(None, folder / "ca.pem", folder / "ingest.key"), r"no certificate and its private key"),
        (Tls(None, None, folder / "ingest.key"), r"broker\.key is set without broker\.certificate"),
    ):
        with pytest.raises(CityError, match=sentence):
            tls.context()


def test_an_encrypted_key_is_refused_not_asked_about(folder, authority):
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((folder / "ingest.key").read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"hush")
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "ingest.key").write_bytes(key.private_bytes(pem, form, locked))
    with pytest.raises(CityError, match="is encrypted"):
        Tls(None, folder / "ingest.pem", folder / "ingest.key").context()
