"""The only file here that knows paho: receiving with acknowledgement by hand, and publishing until acknowledged.

One thread: the owner calls `step` in its own loop, callbacks only append to a queue, and an exception costs a
connection, never the loop. Every connection is a new paho client, so nothing of an old one (packet numbers above all:
MQTT 5 clause 4.4) can be acknowledged on the next; the session itself lives at the broker under our fixed client id.

MQTT 5 first. A broker that refuses it, or twice hangs up on it, is asked in MQTT 3.1.1 the next time, without receive
maximum and without retain handling.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from sensors.errors import BrokerError

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
_BAD_PROTOCOL = 132
_OTHER = {
    MQTTProtocolVersion.MQTTv5: MQTTProtocolVersion.MQTTv311,
    MQTTProtocolVersion.MQTTv311: MQTTProtocolVersion.MQTTv5,
}
_IN_FLIGHT_OUT = 20  # what we publish un-acknowledged; mosquitto 2.0 ends a connection that exceeds its 20


class Address(NamedTuple):
    """A broker's address: mqtt://host:port, or mqtts:// for TLS."""

    host: str
    port: int
    tls: bool


class Filter(NamedTuple):
    """A topic filter, and when its retained messages are sent: 0 always, 2 never."""

    topic: str
    retain_handling: int


class Delivery(NamedTuple):
    """A message as the broker handed it over on one connection."""

    connection: int
    mid: int
    qos: int
    topic: str
    payload: bytes
    retained: bool  # from the broker's store, so of unknown age


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
    clean: bool = False
    state: str = field(default="retrying", init=False)  # connected, retrying or stopped
    sentence: str = field(default="not connected yet", init=False)
    connection: int = field(default=0, init=False)
    protocol: MQTTProtocolVersion = field(default=MQTTProtocolVersion.MQTTv5, init=False)

    def __post_init__(self) -> None:
        self.address = parse_address(self.url)
        self.spoken = f"{self.address.host}:{self.address.port}"
        self._client: paho.Client | None = None
        self._begun = 0.0
        self._failures = 0
        self._hang_ups = 0
        self._told = False  # that the broker does not speak a protocol; a hang-up may mean anything
        self._short_lives = 0
        self._retry_at = 0.0

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
            self._lost(f"the connection to {self.spoken} broke: {type(error).__name__}: {error}")
            return False
        if self._client is not client:
            return False  # a callback has already dealt with the end of this connection
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._lost(f"the connection to {self.spoken} was lost ({paho.error_string(code)})")
            return False
        return True

    def _connect(self) -> None:
        self.connection += 1
        client = paho.Client(
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
        if self.address.tls:
            client.tls_set()
        number = self.connection
        client.on_connect = lambda _c, _u, flags, reason, _p: self._on_connect(number, flags.session_present, reason)
        client.on_disconnect = lambda _c, _u, flags, reason, _p: self._on_disconnect(
            number, reason if flags.is_disconnect_packet_from_server else None
        )
        self._prepare(client, number)
        self._client, self._begun = client, time.monotonic()
        self._hang_ups += 1  # taken back by the CONNACK
        try:
            client.connect(self.address.host, self.address.port, KEEPALIVE_S, **self._connect_arguments())
        except (OSError, ValueError) as error:
            self._hang_ups -= 1  # nobody listened, which says nothing about the protocol
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

    def _on_connect(self, number: int, session_present: bool, reason: Any) -> None:
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
        self.sentence = f"connected to {self.spoken}" + ("" if session_present or self.clean else " (new session)")
        self._connected()

    def _on_disconnect(self, number: int, reason: Any) -> None:
        """`reason` is what the broker gave for leaving, None where it gave none."""
        if number != self.connection or self._client is None:
            return
        if reason is None:
            self._lost(f"the connection to the broker at {self.spoken} was lost")
            return
        if reason.value == _TAKEN_OVER:
            self._client = None
            self.state = "stopped"
            self.sentence = (
                f"another client took over the session '{self.client_id}' at {self.spoken}; stop the other ingest of "
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
                sentence += f"; does another client use the session '{self.client_id}'?"
        self.state, self.sentence = "retrying", sentence
        if self._hang_ups >= _HANG_UPS:
            self.protocol = _OTHER[self.protocol]
            self._hang_ups = 0
        delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        self._retry_at = time.monotonic() + delay * random.uniform(0.5, 1.0)  # spreads a city's clients

    def _prepare(self, client: paho.Client, number: int) -> None:
        """Set further callbacks before connecting."""

    def _connected(self) -> None:
        """What is done on every new connection."""


@dataclass
class Subscriber(_Link):
    """Receives at QoS 1 in a persistent session; nothing is acknowledged but by `acknowledge`.

    filters : what to subscribe to, on each connection
    inbox : what arrived, in order, until the owner takes it out
    """

    filters: Sequence[Filter] = ()
    inbox: deque[Delivery] = field(default_factory=deque, init=False)
    inbox_bytes: int = field(default=0, init=False)

    def pop(self) -> Delivery:
        """Take the oldest message out of the inbox."""
        delivery = self.inbox.popleft()
        self.inbox_bytes -= len(delivery.payload)
        return delivery

    def receive(self, timeout_s: float, limit: int) -> None:
        """Wait up to `timeout_s` for a message, then take in what is there, up to `limit` messages."""
        before = len(self.inbox)
        self.step(timeout_s)
        while before < len(self.inbox) < limit and self._client is not None:
            before = len(self.inbox)
            self.step(0.0)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> int:
        """Send PUBACKs in order of arrival; those of earlier connections are forgotten. How many were sent."""
        sent = 0
        for delivery in deliveries:
            if delivery.connection != self.connection or self.state != "connected":
                continue
            mid, qos = delivery.mid, delivery.qos
            if qos and self._guarded(lambda client, mid=mid, qos=qos: client.ack(mid, qos)):  # type: ignore[misc]
                sent += 1
        return sent

    def _prepare(self, client: paho.Client, number: int) -> None:
        def on_message(_client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
            try:
                topic = message.topic
            except UnicodeDecodeError:  # forbidden by MQTT 1.5.4; kept with the topic that no dialect knows
                topic = "\N{REPLACEMENT CHARACTER}"
            self.inbox_bytes += len(message.payload)
            self.inbox.append(
                Delivery(number, message.mid, message.qos, topic, bytes(message.payload), bool(message.retain))
            )

        def on_subscribe(_client: paho.Client, _userdata: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
            refused = [
                f"'{wanted.topic}' ({reason})"
                for wanted, reason in zip(self.filters, reasons, strict=False)
                if reason.is_failure
            ]
            if refused and number == self.connection:
                self._lost(f"the broker at {self.spoken} refuses the subscription to {', '.join(refused)}")

        client.on_message = on_message
        client.on_subscribe = on_subscribe

    def _connected(self) -> None:
        client = self._client
        if client is None:
            return
        if self.protocol == MQTTProtocolVersion.MQTTv5:
            client.subscribe([(wanted.topic, _options(wanted)) for wanted in self.filters])
        else:
            client.subscribe([(wanted.topic, 1) for wanted in self.filters])


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
    return SubscribeOptions(qos=1, retainHandling=wanted.retain_handling)


def _without_secret(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
