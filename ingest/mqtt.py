"""The connection to a broker: receiving with acknowledgement by hand, and publishing until acknowledged.

This file and `fast_receive` are the only ones here that know paho.

One thread: the owner calls `step` in its own loop, callbacks only append to a queue, and an exception costs a
connection, never the loop. Every connection is a new paho client, so nothing of an old one (packet numbers above all:
MQTT 5 clause 4.4) can be acknowledged on the next; the session itself lives at the broker under our fixed client id.

MQTT 5 first. A broker that refuses it, or twice hangs up on it, is asked in MQTT 3.1.1 the next time, without receive
maximum and without retain handling.
"""

from __future__ import annotations

import logging
import os
import random
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.fast_receive import REFUSAL, FastClient, Raw, raw_of
from sensors.errors import BrokerError, CityError

_log = logging.getLogger(__name__)
if REFUSAL:
    _log.warning("messages are received by stock paho, at some fifty times the cost: %s", REFUSAL)

RECEIVE_MAXIMUM = 20_000  # un-acknowledged messages in flight; mosquitto's own 20 costs a third of the rate
MAXIMUM_PACKET = 262_144  # bytes; paho allocates whatever a length field says (paho.mqtt.python 571)
SESSION_EXPIRY_S = 7 * 86_400  # how long the broker keeps our queue while we are away
KEEPALIVE_S = 30
_CONNECT_TIMEOUT_S = 5.0
_CONNACK_TIMEOUT_S = 10.0
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.2, 30.0
_SETTLED_S = 5.0  # a connection that lived this long was a good one: back-off begins anew
_HANG_UPS = 2  # connections closed before their CONNACK until the other protocol is tried
_SHORT_LIVES = 3  # connections lost before they settled until we suspect a second client with our name
_TAKEN_OVER = 0x8E
_NO_ANSWER = 0x8D
_BAD_PROTOCOL = 132
_OTHER = {
    MQTTProtocolVersion.MQTTv5: MQTTProtocolVersion.MQTTv311,
    MQTTProtocolVersion.MQTTv311: MQTTProtocolVersion.MQTTv5,
}
_MERGED = 256  # messages; smaller batches join the one before, so that an inbox that waits holds few objects
_FILTERS_AT_ONCE = 500  # so that a SUBSCRIBE of device filters stays far below the largest packet
_IN_FLIGHT_OUT = 20  # what we publish un-acknowledged; mosquitto 2.0 ends a connection that exceeds its 20


class Address(NamedTuple):
    """A broker's address: mqtt://host:port, or mqtts:// for TLS."""

    host: str
    port: int
    tls: bool


class Filter(NamedTuple):
    """A topic filter, when its retained messages are sent (0 always, 2 never), and its highest quality of service."""

    topic: str
    retain_handling: int
    qos: int = 1


class Batch(NamedTuple):
    """Messages that the broker handed over on one connection, in order."""

    connection: int
    messages: list[Raw]
    size: int = 0  # in bytes, of topics and payloads and what the wire adds


@dataclass(frozen=True)
class Tls:
    """Whom we believe and who we are, on an mqtts:// connection.

    authority : PEM file of the authorities that are believed; the machine's own where there is none
    certificate, key : PEM files of our client certificate and its private key, where the broker asks for one; the
        certificate's file may hold the key as well
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later, host name and certificate checked; CityError where a file is not as it should be."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.authority is None:
            context.load_default_certs()
        else:
            _readable("authority", self.authority)
            try:
                context.load_verify_locations(self.authority)
            except ssl.SSLError as error:
                raise CityError(f"broker.authority: {self.authority} holds no certificate in PEM form") from error
        if self.certificate is not None:
            self._load_identity(context, self.certificate)
        elif self.key is not None:
            raise CityError("broker.key is set without broker.certificate; a private key alone says nothing of us")
        return context

    def _load_identity(self, context: ssl.SSLContext, certificate: Path) -> None:
        secret = self.key or certificate
        _readable("certificate", certificate)
        mode = _readable("key", secret)
        if mode & 0o077:
            raise CityError(
                f"broker.key: {secret} can be read by others (mode {mode:04o}); keep it to yourself: chmod 600 {secret}"
            )

        def encrypted() -> str:  # or OpenSSL asks for the password on the terminal
            raise CityError(f"broker.key: {secret} is encrypted, and nobody is there to type its password; decrypt it")

        try:
            context.load_cert_chain(certificate, self.key, encrypted)
        except ssl.SSLError as error:
            raise CityError(
                f"broker.certificate: {certificate} and {secret} are no certificate and its private key in PEM form "
                f"({_alert(error)})"
            ) from error


def parse_address(url: str) -> Address:
    """Take a broker URL apart; a user or password does not belong in it.

    >>> parse_address("mqtt://127.0.0.1:1884")
    Address(host='127.0.0.1', port=1884, tls=False)
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or port == -1 or parts.path not in ("", "/"):
        raise BrokerError(
            f"broker address '{_without_secret(url)}' is not understood; write mqtt://host:port or mqtts://"
        )
    if parts.username or parts.password:
        raise BrokerError(
            "a broker address holds no user or password; the account's name is broker.user in city.toml, its password "
            "NOCTULE_BROKER_PASSWORD or in secrets.toml"
        )
    tls = parts.scheme == "mqtts"
    return Address(parts.hostname, port or (8883 if tls else 1883), tls)


@dataclass
class _Link:
    """A connection that is made again whenever it is lost."""

    url: str
    client_id: str
    user: str | None = None
    password: str | None = None
    tls: Tls | None = None
    clean: bool = False
    state: str = field(default="retrying", init=False)  # connected, retrying or stopped
    sentence: str = field(default="not connected yet", init=False)
    connection: int = field(default=0, init=False)
    connects: int = field(
        default=0, init=False
    )  # how often a broker took us in; each after the first is a reconnection
    session_present: bool = field(default=False, init=False)  # whether the broker still had our session
    granted: dict[str, Any] = field(default_factory=dict, init=False)  # what its CONNACK set, by MQTT 5's names
    protocol: MQTTProtocolVersion = field(default=MQTTProtocolVersion.MQTTv5, init=False)

    def __post_init__(self) -> None:
        self.address = parse_address(self.url)
        self.spoken = f"{self.address.host}:{self.address.port}"
        self._context = (self.tls or Tls()).context() if self.address.tls else None
        self._client: paho.Client | None = None
        self._begun = 0.0
        self._failures = 0
        self._hang_ups = 0
        self._told = False  # that the broker does not speak a protocol; a hang-up may mean anything
        self._short_lives = 0
        self._retry_at = 0.0

    @property
    def session(self) -> str:
        """The client id for people: what follows a point in it is secret (`ingest.login`)."""
        return self.client_id.partition(".")[0]

    def step(self, timeout_s: float) -> None:
        """One turn of the connection: connect when it is time, or wait up to `timeout_s` for a packet."""
        if self.state == "stopped":
            time.sleep(timeout_s)
            return
        if self._client is None:
            wait = self._retry_at - time.monotonic()
            if wait > 0:
                time.sleep(min(wait, timeout_s))
            else:
                self._connect()
            return
        self._guarded(lambda client: client.loop(timeout_s))
        waited = time.monotonic() - self._begun
        if self._client is not None and self.state != "connected" and waited > _CONNACK_TIMEOUT_S:
            self._lost(f"the broker at {self.spoken} accepts connections and does not answer")

    def close(self) -> None:
        """Say goodbye; the session stays at the broker."""
        client, self._client = self._client, None
        self.state, self.sentence = "stopped", "stopped"
        if client is not None:
            with suppress(Exception):  # leaving: whatever paho objects to is of no consequence
                client.disconnect()
                client.loop(0.1)

    def _guarded(self, call: Callable[[paho.Client], MQTTErrorCode]) -> bool:
        """Let paho do something; whatever goes wrong costs this connection only. Whether it went well."""
        client = self._client
        if client is None:
            return False
        try:
            code = call(client)
        except Exception as error:  # paho raises many kinds on a broken packet (paho 365, 504, 704)
            self._broke(client)
            self._lost(f"the connection to {self.spoken} broke: {type(error).__name__}: {error}")
            return False
        if self._client is not client:
            return False  # a callback has already dealt with the end of this connection
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._lost(self._why_lost(client, paho.error_string(code)))
            return False
        return True

    def _why_lost(self, client: paho.Client, otherwise: str) -> str:
        """A sentence on a connection's end: what the socket said, where it said anything."""
        trouble = client.trouble if isinstance(client, FastClient) else None
        if isinstance(trouble, ssl.SSLError):
            self._hang_ups = 0  # says nothing about the protocol
            return f"the broker at {self.spoken} ended the encrypted connection: {_alert(trouble)}"
        sentence = f"the connection to {self.spoken} was lost ({trouble or otherwise})"
        if self._context is not None and self.state != "connected" and (self.tls is None or not self.tls.certificate):
            sentence += "; does the broker ask for a client certificate? broker.certificate and broker.key name ours"
        return sentence

    def _connect(self) -> None:
        self.connection += 1
        client = self._kind()(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            clean_session=None if self.protocol == MQTTProtocolVersion.MQTTv5 else self.clean,
            protocol=self.protocol,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = True
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(_IN_FLIGHT_OUT)
        if self.user:
            client.username_pw_set(self.user, self.password)
        if self._context is not None:
            client.tls_set_context(self._context)
        number = self.connection
        client.on_connect = lambda _c, _u, flags, reason, said: self._on_connect(
            number, flags.session_present, reason, said
        )
        client.on_disconnect = lambda _c, _u, flags, reason, _p: self._on_disconnect(
            number, reason, flags.is_disconnect_packet_from_server
        )
        self._prepare(client, number)
        self._client, self._begun = client, time.monotonic()
        self._hang_ups += 1  # taken back by the CONNACK
        try:
            client.connect(self.address.host, self.address.port, KEEPALIVE_S, **self._connect_arguments())
        except (OSError, ValueError) as error:
            self._hang_ups -= 1  # nobody listened, which says nothing about the protocol
            if isinstance(error, ssl.SSLCertVerificationError):
                self._lost(f"the certificate of the broker at {self.spoken} is not believed: {error.verify_message}")
            elif isinstance(error, ssl.SSLError):
                self._lost(f"the broker at {self.spoken} and we find no encryption in common: {_alert(error)}")
            else:
                self._lost(f"no broker answers at {self.spoken} ({error})")

    def _connect_arguments(self) -> dict[str, Any]:
        if self.protocol != MQTTProtocolVersion.MQTTv5:
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types here
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = MAXIMUM_PACKET
        if not self.clean:
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
        return {"clean_start": self.clean, "properties": properties}

    def _on_connect(self, number: int, session_present: bool, reason: Any, said: Properties | None) -> None:
        if number != self.connection:
            return
        if reason.is_failure:
            self._hang_ups = 0
            if reason.value == _BAD_PROTOCOL:
                self._hang_ups, self._told = _HANG_UPS, True
            self._lost(f"the broker at {self.spoken} refuses us: {reason}")
            return
        self._hang_ups = 0
        self.state = "connected"
        self.connects += 1
        self.session_present = bool(session_present)
        self.granted = said.json() if said is not None else {}  # type: ignore[no-untyped-call]
        self.sentence = f"connected to {self.spoken}" + ("" if session_present or self.clean else " (new session)")
        self._connected()

    def _on_disconnect(self, number: int, reason: Any, said: bool) -> None:
        """`said`: the broker gave this reason for leaving; otherwise paho did."""
        if number != self.connection or self._client is None:
            return
        if not said and reason.value == _NO_ANSWER:
            self._lost(f"the broker at {self.spoken} has stopped answering; no PINGRESP in {KEEPALIVE_S} s")
            return
        if not said:
            self._lost(self._why_lost(self._client, str(reason)))
            return
        if reason.value == _TAKEN_OVER:
            self._client = None
            self.state = "stopped"
            self.sentence = (
                f"another client took over the session '{self.session}' at {self.spoken}; stop the other ingest of "
                "this city, then start this one again"
            )
            return
        self._lost(f"the broker at {self.spoken} ended the connection ({reason})")

    def _lost(self, sentence: str) -> None:
        """Forget this connection; the next one is made after a pause that grows and is never quite the same."""
        self._client = None
        if self.state == "connected" and not self._told:
            self.protocol = MQTTProtocolVersion.MQTTv5  # a broker that only hung up may have been on its way down
        if self.state == "connected" and time.monotonic() - self._begun > _SETTLED_S:
            self._failures = self._short_lives = 0
        elif self.state == "connected":
            self._short_lives += 1
            if self._short_lives >= _SHORT_LIVES:  # mosquitto 2.0 takes a session over without saying so
                sentence += f"; does another client use the session '{self.session}'?"
        self.state, self.sentence = "retrying", sentence
        if self._hang_ups >= _HANG_UPS:
            self.protocol = _OTHER[self.protocol]
            self._hang_ups = 0
        delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        self._retry_at = time.monotonic() + delay * random.uniform(0.5, 1.0)  # spreads a city's clients

    def _kind(self) -> type[paho.Client]:
        """Which client the next connection is made with."""
        return paho.Client

    def _broke(self, client: paho.Client) -> None:
        """What is done when a client raised."""

    def _prepare(self, client: paho.Client, number: int) -> None:
        """Set further callbacks before connecting."""

    def _connected(self) -> None:
        """What is done on every new connection."""


@dataclass
class Subscriber(_Link):
    """Receives in a persistent session; nothing is acknowledged but by `acknowledge`.

    filters : what to subscribe to, on each connection
    stall_s : connect anew, with the same session, when so long nothing came although something did before and all of
        it is acknowledged; 0 never. Costs little where the silence was meant
    inbox : what arrived, in order, until the owner takes it out
    receiver : 'fast', or 'stock: ' and why
    """

    filters: Sequence[Filter] = ()
    stall_s: float = 0.0
    inbox: deque[Batch] = field(default_factory=deque, init=False)
    inbox_messages: int = field(default=0, init=False)
    inbox_bytes: int = field(default=0, init=False)
    receiver: str = field(default=f"stock: {REFUSAL}" if REFUSAL else "fast", init=False)
    _asked: dict[int, Sequence[Filter]] = field(default_factory=dict, init=False)  # by number of the SUBSCRIBE
    _unwanted: set[str] = field(default_factory=set, init=False)  # the session may still hold them
    _owed: int = field(default=0, init=False)  # messages of this connection that are not acknowledged
    _heard: float = field(default=0.0, init=False)  # when its last message came; 0 if none did

    @property
    def subscribed(self) -> bool:
        """Whether the broker has accepted all that was asked of it on this connection."""
        return self.state == "connected" and not self._asked

    def pop(self, limit: int) -> Batch | None:
        """Take the oldest messages out of the inbox, of one connection and up to `limit`; None when it is empty."""
        if not self.inbox:
            return None
        batch = self.inbox.popleft()
        if len(batch.messages) > limit:
            taken, left = batch.messages[:limit], batch.messages[limit:]
            size = _size(taken)
            self.inbox.appendleft(Batch(batch.connection, left, batch.size - size))
            batch = Batch(batch.connection, taken, size)
        self.inbox_messages -= len(batch.messages)
        self.inbox_bytes -= batch.size
        return batch

    def receive(self, timeout_s: float, limit: int) -> None:
        """Wait up to `timeout_s` for a message, then take in what is there, up to `limit` messages."""
        before = self.inbox_messages
        self.step(timeout_s)
        while before < self.inbox_messages < limit and self._may_have_more():
            before = self.inbox_messages
            self.step(0.0)
        if self.stall_s and self._heard and not self._owed and time.monotonic() - self._heard > self.stall_s:
            # mosquitto 2362: its count of what is in flight was wrong, and it sent nothing more on that connection.
            self._heard = 0.0
            self._lost(f"nothing has come from the broker at {self.spoken} for {self.stall_s:g} s; connecting anew")

    def take_in(self, connection: int, messages: list[Raw], size: int) -> None:
        """Put messages of a connection, `size` bytes of topics and payloads, at the end of the inbox."""
        self.inbox_messages += len(messages)
        self.inbox_bytes += size
        if connection == self.connection:
            self._owed += len(messages)
            self._heard = time.monotonic()
        if self.inbox:
            last = self.inbox[-1]
            if last.connection == connection and len(last.messages) < _MERGED:
                last.messages.extend(messages)
                self.inbox[-1] = last._replace(size=last.size + size)
                return
        self.inbox.append(Batch(connection, messages, size))

    def acknowledge(self, connection: int, messages: Sequence[Raw]) -> int:
        """Send PUBACKs in the order given, in one write; those of an earlier connection are forgotten.

        How many messages the broker may now forget. Give those of QoS 0 as well: they cost nothing, and `stall_s`
        counts what is still open.
        """
        if connection != self.connection or self.state != "connected":
            return 0
        self._owed -= len(messages)
        return len(messages) if self._guarded(lambda client: _acknowledge(client, messages)) else 0

    def set_filters(self, filters: Sequence[Filter]) -> None:
        """Subscribe to what is new or otherwise wanted than before, then unsubscribe from what no longer is wanted.

        In this order nothing falls between an old filter and a new one.
        """
        wanted, before = {one.topic for one in filters}, set(self.filters)
        new = [one for one in filters if one not in before]
        self._unwanted |= {one.topic for one in self.filters} - wanted
        self._unwanted -= wanted
        self.filters = tuple(filters)
        if self.state == "connected":
            self._subscribe(new)
            self._unsubscribe()

    def _kind(self) -> type[paho.Client]:
        return FastClient if self.receiver == "fast" else paho.Client

    def _broke(self, client: paho.Client) -> None:
        if isinstance(client, FastClient) and client.fault:
            self.receiver = f"stock: the fast receiver failed: {client.fault}"
            _log.warning("messages are received by %s", self.receiver)

    def _may_have_more(self) -> bool:
        client = self._client
        return client is not None and (not isinstance(client, FastClient) or client.more)

    def _prepare(self, client: paho.Client, number: int) -> None:
        def on_batch(messages: list[Raw], size: int) -> None:
            self.take_in(number, messages, size)

        def on_message(_client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
            raw = raw_of(message)
            if message.qos and not message.mid:  # forbidden by MQTT 2.2.1, and no acknowledgement could name it
                self._lost(f"the broker at {self.spoken} sent a message without its packet number")
            else:
                self.take_in(number, [raw], len(raw[0]) + len(raw[3]))

        def on_subscribe(_client: paho.Client, _userdata: Any, mid: int, reasons: list[Any], _properties: Any) -> None:
            refused = [
                f"'{wanted.topic}' ({reason})"
                for wanted, reason in zip(self._asked.pop(mid, ()), reasons, strict=False)
                if reason.is_failure
            ]
            if refused and number == self.connection:
                self._lost(f"the broker at {self.spoken} refuses the subscription to {_some(refused)}")

        client.on_message = on_message
        client.on_subscribe = on_subscribe
        if isinstance(client, FastClient):
            client.on_batch = on_batch
        self._asked.clear()
        self._owed, self._heard = 0, 0.0

    def _connected(self) -> None:
        self._subscribe(self.filters)
        self._unsubscribe()

    def _subscribe(self, filters: Sequence[Filter]) -> None:
        client = self._client
        for start in range(0, len(filters) if client else 0, _FILTERS_AT_ONCE):
            part = filters[start : start + _FILTERS_AT_ONCE]
            assert client is not None
            if self.protocol == MQTTProtocolVersion.MQTTv5:
                _code, mid = client.subscribe([(wanted.topic, _options(wanted)) for wanted in part])
            else:
                _code, mid = client.subscribe([(wanted.topic, wanted.qos) for wanted in part])
            if mid is not None:
                self._asked[mid] = part

    def _unsubscribe(self) -> None:
        gone = sorted(self._unwanted)
        for start in range(0, len(gone) if self._client else 0, _FILTERS_AT_ONCE):
            part = gone[start : start + _FILTERS_AT_ONCE]
            if self._guarded(lambda client, part=part: client.unsubscribe(part)[0]):  # type: ignore[misc]
                self._unwanted -= set(part)


@dataclass
class Publisher(_Link):
    """Publishes at QoS 1 and sends again, over as many connections as it takes, until the broker acknowledges.

    acknowledged : tokens of the messages that the broker has acknowledged, in order, until the owner takes them out
    """

    clean: bool = True
    window: int = _IN_FLIGHT_OUT
    acknowledged: deque[object] = field(default_factory=deque, init=False)
    _waiting: deque[tuple[str, bytes, bool, object]] = field(default_factory=deque, init=False)
    _flying: dict[int, tuple[str, bytes, bool, object]] = field(default_factory=dict, init=False)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, token: object = None) -> None:
        """Hand over a message; returns at once while fewer than `window` wait for their acknowledgement."""
        if len(payload) > MAXIMUM_PACKET:  # a broker would hang up on it, again and again
            raise BrokerError(f"a message of {len(payload)} bytes on '{topic}' is more than {MAXIMUM_PACKET}")
        self._waiting.append((topic, payload, retain, token))
        self._send()
        while self.unacknowledged >= self.window:
            self._turn(0.05)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything is acknowledged, or until the time is up; whether everything is."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self.unacknowledged and (deadline is None or time.monotonic() < deadline):
            self._turn(0.05)
        return not self.unacknowledged

    def pause(self, seconds: float) -> None:
        """Do nothing for so long, but keep the connection alive."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._turn(min(left, 0.25))

    @property
    def unacknowledged(self) -> int:
        """How many messages have no acknowledgement yet."""
        return len(self._waiting) + len(self._flying)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _turn(self, timeout_s: float) -> None:
        if self.state == "stopped":
            raise BrokerError(self.sentence)
        self.step(timeout_s)
        self._send()

    def _send(self) -> None:
        while self._waiting and self.state == "connected" and len(self._flying) < self.window:
            client = self._client
            if client is None:
                return
            message = self._waiting.popleft()
            try:
                information = client.publish(message[0], message[1], qos=1, retain=message[2])
            except (ValueError, RuntimeError) as error:
                raise BrokerError(f"topic '{message[0]}' cannot be published to: {error}") from error
            self._flying[information.mid] = message

    def _prepare(self, client: paho.Client, number: int) -> None:
        def on_publish(_client: paho.Client, _userdata: Any, mid: int, reason: Any, _properties: Any) -> None:
            message = self._flying.pop(mid, None) if number == self.connection else None
            if message is None:
                return
            if reason.is_failure:
                self._waiting.append(message)  # quota or a broker's bad moment: again, after what waits already
                self._lost(f"the broker at {self.spoken} refuses a message on '{message[0]}': {reason}")
            else:
                self.acknowledged.append(message[3])

        client.on_publish = on_publish

    def _connected(self) -> None:
        # Un-acknowledged on the old connection: once more, first, in order.
        self._waiting.extendleft(reversed(self._flying.values()))
        self._flying.clear()


def _options(wanted: Filter) -> SubscribeOptions:
    return SubscribeOptions(qos=wanted.qos, retainHandling=wanted.retain_handling)


def _acknowledge(client: paho.Client, messages: Sequence[Raw]) -> MQTTErrorCode:
    if isinstance(client, FastClient):
        return client.acknowledge(messages)
    for _topic, mid, header, _payload in messages:
        code = client.ack(mid, header >> 1 & 3)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return code
    return MQTTErrorCode.MQTT_ERR_SUCCESS


def _alert(error: ssl.SSLError) -> str:
    """What TLS says was wrong, without OpenSSL's numbers and file names."""
    return (error.reason or str(error)).lower().replace("_", " ")


def _readable(setting: str, file: Path) -> int:
    """The mode of a file that we can read; CityError otherwise."""
    try:
        with open(file, "rb") as opened:
            return os.fstat(opened.fileno()).st_mode & 0o7777
    except OSError as error:
        raise CityError(
            f"broker.{setting}: {file} cannot be read ({error.strerror}); paths begin at city.toml"
        ) from error


def _size(messages: Sequence[Raw]) -> int:
    return sum([len(topic) + len(payload) for topic, _, _, payload in messages])


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _without_secret(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
