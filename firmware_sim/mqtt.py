"""The only file of this room that knows MQTT: a connection of one device, or of a gateway for many.

A connection stores and forwards. Messages wait in a ring per device; the oldest is dropped, with its number counted,
when a ring is full. Nothing is done in paho's callbacks but taking a note; `pump` hands waiting messages to paho, at
QoS 1, no more than `in_flight` of them unacknowledged.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from sensors.errors import BrokerError

RING = 2_000  # messages that a device keeps while the broker is away (sensing.md E1)
_KEEPALIVE_S = 30
_SESSION_S = 300  # the broker keeps what is under way over a short cut
_BACKOFF_S = (1, 15)


@dataclass(frozen=True)
class Address:
    """Where the broker is and who we are there."""

    host: str
    port: int
    tls: bool = False
    user: str = ""
    password: str = ""

    @classmethod
    def parse(cls, url: str, user: str = "", password: str = "") -> Address:
        """mqtt://host[:port] or mqtts://...; BrokerError for anything else, an account among it.

        >>> Address.parse("mqtt://127.0.0.1").port
        1883
        """
        said = url.rpartition("@")[2]  # without the password that somebody may have put in
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BrokerError(f"broker address '{said}' cannot be read ({error}); write mqtt://host:1883") from None
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise BrokerError(f"broker address '{said}' must look like mqtt://host:1883 or mqtts://host:8883")
        if "@" in parts.netloc:
            raise BrokerError(
                "a broker address holds no user or password; the account's name is broker.user in city.toml, its "
                "password NOCTULE_BROKER_PASSWORD or in secrets.toml"
            )
        tls = parts.scheme == "mqtts"
        return cls(parts.hostname, port or (8883 if tls else 1883), tls, user, password)


@dataclass(frozen=True)
class Status:
    """A device's retained word about itself: said on every connection, and by the will when the line dies."""

    topic: str
    online: bytes
    offline: bytes


@dataclass
class Tally:
    """What became of the messages of a connection."""

    published: int = 0
    acknowledged: int = 0
    dropped: int = 0  # the oldest of a full ring


class Connection:
    """One MQTT session; `send` never blocks."""

    def __init__(
        self, address: Address, client_id: str, *, status: Status | None = None, ring: int = RING, in_flight: int = 20
    ) -> None:
        self.tally = Tally()
        self._address = address
        self._status = status
        self._ring = ring
        self._in_flight = in_flight
        self._rings: dict[str, deque[tuple[str, bytes]]] = {}
        self._turns: deque[str] = deque()  # a turn for each waiting message
        self._notes: deque[str] = deque()  # from the callbacks
        self._refusal: str | None = None
        self._up = threading.Event()
        self._under_way = 0
        self._client = self._make(client_id)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the line stands."""
        return self._up.is_set()

    @property
    def waiting(self) -> int:
        """Messages that are not yet acknowledged."""
        return len(self._turns) + self._under_way

    def start(self) -> None:
        """Begin to connect, again and again with back-off until it works."""
        self._client.connect_async(
            self._address.host, self._address.port, _KEEPALIVE_S, properties=_connect_properties()
        )
        self._client.loop_start()

    def send(self, device: str, topic: str, payload: bytes) -> None:
        """Put a message into the device's ring."""
        ring = self._rings.setdefault(device, deque())
        if len(ring) >= self._ring:
            ring.popleft()
            self.tally.dropped += 1
        else:
            self._turns.append(device)
        ring.append((topic, payload))

    def pump(self) -> None:
        """Hand over what may go now; BrokerError when the broker has refused us for good."""
        if self._refusal is not None:
            raise BrokerError(self._refusal)
        while self._notes:
            if self._notes.popleft() == "online":
                self._say_online()
            else:
                self._under_way -= 1
                self.tally.acknowledged += 1
        while self._turns and self._under_way < self._in_flight and self._up.is_set():
            topic, payload = self._rings[self._turns.popleft()].popleft()
            self._client.publish(topic, payload, qos=1)
            self._under_way += 1
            self.tally.published += 1

    def farewell(self, timeout_s: float = 2.0) -> None:
        """Say goodbye (a retained offline) and begin to close the line; `join` waits for the end."""
        if self._status is not None and self._up.is_set():
            note = self._client.publish(self._status.topic, self._status.offline, qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):  # the line went away in between: the will says the same
                note.wait_for_publish(timeout_s)
        self._client.disconnect()

    def join(self) -> None:
        """Wait until the line is closed; a line in back-off takes up to a second to notice."""
        self._client.loop_stop()

    def _make(self, client_id: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        if self._address.user:
            client.username_pw_set(self._address.user, self._address.password)
        if self._address.tls:
            client.tls_set()
        if self._status is not None:
            client.will_set(self._status.topic, self._status.offline, qos=1, retain=True)
        client.reconnect_delay_set(*_BACKOFF_S)
        client.max_inflight_messages_set(self._in_flight + 1)  # one more for the status
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    def _say_online(self) -> None:
        if self._status is not None:
            self._client.publish(self._status.topic, self._status.online, qos=1, retain=True)
            self._under_way += 1  # its acknowledgement is noted like any other
            self.tally.acknowledged -= 1

    def _on_connect(
        self,
        client: paho.Client,
        data: Any,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            where = f"{self._address.host}:{self._address.port}"
            self._refusal = f"the broker at {where} refuses us: {reason}; check user, password and its access list"
            return
        self._notes.append("online")
        self._up.set()

    def _on_disconnect(
        self,
        client: paho.Client,
        data: Any,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._up.clear()

    def _on_publish(self, client: paho.Client, data: Any, mid: int, reason: ReasonCode, properties: Properties) -> None:
        self._notes.append("acknowledged")


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left it untyped
    properties.SessionExpiryInterval = _SESSION_S
    return properties
