"""Does a broker keep what it acknowledges? Published to and asked, not guessed from its configuration.

The doctor speaks to the broker as ingest does, with the same clients and account, and only below its own prefix
`ROOT/CITY/doctor/<random>/`, which no device writes and no ingest hears. It publishes about 5,000 messages of 200
bytes, leaves no session and no retained message behind, and is done within half a minute.

What it looks for was measured or reported (docs/brokers.md): mosquitto's defaults drop acknowledged messages beyond
1,000 for a session that is away; versions before 2.0.13 may stall (mosquitto 2362), 2.0.16 and 2.0.21 read a limit of
0 otherwise than documented (2879, 3244).
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from ingest.acl import PROBE
from ingest.fast_receive import Raw
from ingest.finding import Finding, Severity, worst_first
from ingest.login import tls_of
from ingest.machine import examine_machine
from ingest.mqtt import MAXIMUM_PACKET, SESSION_EXPIRY_S, Filter, Publisher, Subscriber, Tls, parse_address
from sensors.city import City

MESSAGES = 5_000  # five times mosquitto's default queue
WATCHED_S = 11.0  # mosquitto says every ten seconds what it has dropped
_PAYLOAD = b"x" * 200  # the size of a reading
_ROUND_TRIPS = 50
_ANSWER_S = 6.0  # for a connection, a subscription, an answer
_ATTEMPTS = 4  # to connect: a broker that knows no MQTT 5 hangs up twice before it is asked in MQTT 3.1.1
_FLOOD_S = 12.0
_QUIET_S = 0.7  # without a message until no more are expected
_SLOW_S = 1.0  # a way through the broker that takes longer
_LEAST_IN_FLIGHT = 1_000  # below it ingest waits for the broker more than for its disk (reference: 20 costs a third)
_EXPIRES_SOON_DAYS, _EXPIRES_DAYS = 14, 45
_VERSION, _DROPPED = "$SYS/broker/version", "$SYS/broker/publish/messages/dropped"
_QUEUE_MENDED = "in mosquitto.conf: max_queued_messages 10000000 and max_queued_bytes 1073741824"
_DAY_S = 86_400


def examine(city: City | None, url: str = "", password: str = "", watched_s: float = WATCHED_S) -> list[Finding]:
    """Everything found at a broker, and on this machine where a city is given; worst first.

    url : broker, instead of the one in city.toml
    password : of the account `broker.user` of city.toml
    watched_s : least time during which the broker's own count of dropped messages is watched
    """
    findings = [] if city is None else examine_machine(city)
    return worst_first(findings + examine_broker(city, url, password, watched_s))


def examine_broker(city: City | None, url: str, password: str, watched_s: float = WATCHED_S) -> list[Finding]:
    """What the broker does with messages, on a prefix of our own; in the order in which it was found out."""
    if city is None:
        visit = _Visit(url, "", "", None, f"noctule/{PROBE}/{PROBE}/{secrets.token_hex(4)}")
    else:
        broker = city.settings.broker
        prefix = f"{broker.root}/{city.id}/{PROBE}/{secrets.token_hex(4)}"
        visit = _Visit(url or broker.url, broker.user, password, tls_of(city), prefix)
    began = time.monotonic()
    try:
        if visit.meet():
            for look in (_protocol, _transport, _anonymous, _round_trip, _packet, _retained, _queue):
                if not look(visit):
                    break
            _itself(visit, began + watched_s)
    finally:
        visit.leave()
    return visit.findings


# ------------------------------------------------------------------------------------------------------- the visit


@dataclass
class _Visit:
    """Connections to one broker, what was found through them, and what has to be cleared away."""

    url: str
    user: str
    password: str
    tls: Tls | None
    prefix: str
    findings: list[Finding] = field(default_factory=list)
    lost: bool = False  # that a message of ours was dropped: the broker's own count then grew because of us

    def __post_init__(self) -> None:
        self.address = parse_address(self.url)
        self.name = f"noctule-doctor-{secrets.token_hex(6)}"
        self.publisher = self.publish_as("publisher")
        self.itself: Subscriber | None = None
        self._open: list[Subscriber | Publisher] = [self.publisher]
        self._sessions: set[str] = set()
        self._retained: set[str] = set()

    def say(self, severity: Severity, subject: str, sentence: str, mend: str = "") -> None:
        """Note what was found."""
        self.findings.append(Finding(severity, subject, sentence, mend))

    def meet(self) -> bool:
        """Whether the broker lets us in."""
        within(
            _ANSWER_S,
            lambda: self.publisher.step(0.05),
            lambda: self.publisher.state == "connected" or self.publisher.connection > _ATTEMPTS,
        )
        if self.publisher.state == "connected":
            return True
        self.say(
            Severity.LOSES,
            "broker",
            f"{self.publisher.sentence}; nothing reaches ingest",
            "start the broker, or correct broker.url, broker.user or the certificates in city.toml",
        )
        return False

    def publish_as(self, name: str) -> Publisher:
        """Another connection that publishes by our account."""
        return Publisher(self.url, f"{self.name}-{name}", self.user or None, self.password or None, self.tls)

    def subscribe(self, name: str, *filters: Filter, keep: bool = False) -> Subscriber:
        """A connection that receives; with `keep` in a session that outlives it.

        Waits until it is connected, or has been refused.
        """
        subscriber = Subscriber(
            self.url,
            f"{self.name}-{name}",
            self.user or None,
            self.password or None,
            self.tls,
            clean=not keep,
            filters=filters,
        )
        self._open.append(subscriber)
        if keep:
            self._sessions.add(name)
        within(_ANSWER_S, lambda: subscriber.step(0.05), lambda: subscriber.state == "connected")
        return subscriber

    def send(self, topic: str, payload: bytes, *, retain: bool = False, wait_s: float = _ANSWER_S) -> bool:
        """Publish below our prefix; whether it was acknowledged in time."""
        if retain and payload:
            self._retained.add(topic)
        self.publisher.publish(f"{self.prefix}/{topic}", payload, retain=retain)
        within(
            wait_s,
            lambda: self.publisher.flush(0.05),
            lambda: not self.publisher.unacknowledged or self.publisher.state != "connected",  # it was refused
        )
        return not self.publisher.unacknowledged

    def leave(self) -> None:
        """Clear away sessions and retained messages, and go."""
        if self.publisher.state == "connected":
            for topic in self._retained:
                self.send(topic, b"", retain=True, wait_s=2.0)
        for link in self._open:
            link.close()
        for name in self._sessions:
            self.subscribe(name).close()  # a clean start ends the session


def within(seconds: float, turn: Callable[[], object], true: Callable[[], bool]) -> bool:
    """Take turns until something is true or the time is over; whether it is true."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() >= deadline:
            return False
        turn()
    return True


def _receive(subscriber: Subscriber, seconds: float, enough: Callable[[], bool], *, quiet_s: float = _QUIET_S) -> None:
    """Receive without acknowledging, until it is enough, the time is over, or nothing more comes."""
    deadline = heard = time.monotonic()
    deadline += seconds
    before = subscriber.inbox_messages
    while not enough() and (now := time.monotonic()) < deadline and now - heard < quiet_s:
        subscriber.receive(0.05, MESSAGES)
        if subscriber.inbox_messages != before:
            before, heard = subscriber.inbox_messages, time.monotonic()


def _take(subscriber: Subscriber) -> list[Raw]:
    """Take out and acknowledge what has arrived."""
    taken: list[Raw] = []
    while batch := subscriber.pop(MESSAGES):
        subscriber.acknowledge(batch.connection, batch.messages)
        taken += batch.messages
    return taken


# -------------------------------------------------------------------------------- what is looked at, one by one
# Each returns whether it makes sense to go on.


def _protocol(visit: _Visit) -> bool:
    granted = visit.publisher.granted
    if visit.publisher.protocol < 5:
        visit.say(
            Severity.RISK,
            "protocol",
            "the broker does not speak MQTT 5: how many messages may be on their way, how long our session is kept and "
            "whether retained messages come is then its own affair",
            "use a broker that speaks MQTT 5",
        )
        return True
    kept_s = granted.get("SessionExpiryInterval", SESSION_EXPIRY_S)
    visit.say(Severity.FINE, "protocol", "MQTT 5")
    if granted.get("RetainAvailable", 1) == 0:
        visit.say(
            Severity.RISK,
            "status",
            "the broker keeps no retained messages, so who is online is not known after a restart",
            "in mosquitto.conf: retain_available true",
        )
    if granted.get("MaximumQoS", 2) < 1:
        visit.say(
            Severity.LOSES,
            "quality of service",
            "the broker takes QoS 0 only, so nothing is ever acknowledged",
            "use a broker that takes QoS 1",
        )
    if kept_s < SESSION_EXPIRY_S:
        visit.say(
            Severity.RISK if kept_s >= 3600 else Severity.LOSES,
            "session",
            f"the broker keeps a session for {kept_s:,} s instead of the {SESSION_EXPIRY_S:,} s that ingest asks for",
            "raise the broker's limit of session expiry to seven days",
        )
    return True


def _transport(visit: _Visit) -> bool:
    """Whether others can listen, and when certificates end."""
    if not visit.address.tls:
        if _is_loopback(visit.address.host):
            visit.say(Severity.FINE, "transport", "in the clear, within this machine")
        else:
            visit.say(
                Severity.RISK,
                "transport",
                f"passwords and readings travel in the clear to {visit.address.host}",
                "listener 8883 with certfile and keyfile in mosquitto.conf, mqtts:// in broker.url",
            )
        return True
    ends = {"the broker's certificate": _broker_certificate_ends(visit)}
    if visit.tls is not None and visit.tls.certificate is not None:
        ends["our client certificate"] = certificate_ends(visit.tls.certificate.read_text("ascii"))
    for whose, end in ends.items():
        if end is None:
            continue
        days = (end - datetime.now(UTC)).days
        severity = (
            Severity.RISK if days < _EXPIRES_SOON_DAYS else Severity.NOTE if days < _EXPIRES_DAYS else Severity.FINE
        )
        visit.say(
            severity,
            "transport",
            f"TLS; {whose} ends in {days} days, on {end:%Y-%m-%d}",
            "" if severity is Severity.FINE else "renew it, then SIGHUP mosquitto",
        )
    return True


def _anonymous(visit: _Visit) -> bool:
    """Whether somebody without an account is let in."""
    authority = visit.tls.authority if visit.tls is not None else None
    nobody = Publisher(visit.url, f"{visit.name}-nobody", tls=Tls(authority))
    nobody.protocol = visit.publisher.protocol
    before = nobody.sentence
    within(_ANSWER_S / 2, lambda: nobody.step(0.05), lambda: nobody.sentence != before)
    let_in = nobody.state == "connected"
    nobody.close()
    if not let_in:
        visit.say(Severity.FINE, "accounts", "who has no account is refused")
    elif _is_loopback(visit.address.host):
        visit.say(
            Severity.NOTE,
            "accounts",
            "everybody on this machine may publish as any device",
            "for more than trying out: allow_anonymous false, password_file and acl_file ('noctule broker-acl')",
        )
    else:
        visit.say(
            Severity.RISK,
            "accounts",
            "everybody who reaches the broker may publish as any device",
            "in mosquitto.conf: allow_anonymous false, password_file and acl_file ('noctule broker-acl')",
        )
    return True


def _round_trip(visit: _Visit) -> bool:
    """How long a message takes through the broker, and whether it comes at all."""
    echo = visit.subscribe("echo", Filter(f"{visit.prefix}/echo", 2))
    took: list[float] = []
    for number in range(_ROUND_TRIPS):
        sent = time.perf_counter()
        if not visit.send("echo", b"%d" % number):
            break
        if not within(_ANSWER_S, lambda: echo.receive(0.05, MESSAGES), lambda: echo.inbox_messages > 0):
            break
        took.append(time.perf_counter() - sent)
        _take(echo)
        if sum(took) > _ANSWER_S:
            break
    told = echo.sentence if echo.state != "connected" else visit.publisher.sentence
    echo.close()
    if not took:
        visit.say(
            Severity.LOSES,
            "delivery",
            f"what we publish on {visit.prefix}/echo does not come back ({told}), so nothing more can be found out",
            f"let the account of ingest write and read {visit.prefix.rsplit('/', 1)[0]}/# ('noctule broker-acl')",
        )
        return False
    usual, longest = float(np.median(took)), max(took)
    visit.say(
        Severity.RISK if usual > _SLOW_S else Severity.FINE,
        "round trip",
        f"a message takes {1e3 * usual:.1f} ms through the broker and back, {1e3 * longest:.0f} ms at the longest of "
        f"{len(took)}",
        "the broker or the way to it is overloaded" if usual > _SLOW_S else "",
    )
    return True


def _packet(visit: _Visit) -> bool:
    """Whether the largest packet that ingest reads passes."""
    told = visit.publisher.granted.get("MaximumPacketSize", MAXIMUM_PACKET)
    mend = f"in mosquitto.conf: max_packet_size {MAXIMUM_PACKET}, and message_size_limit not below"
    if told < MAXIMUM_PACKET:
        visit.say(
            Severity.RISK,
            "packet size",
            f"the broker takes packets of {told:,} bytes at most; a pack of readings may have {MAXIMUM_PACKET:,}",
            mend,
        )
        return True
    topic = f"{visit.prefix}/packet"
    around = 1 + 3 + 2 + len(topic) + 2 + 1  # header, length, topic with its length, packet number, no properties
    heavy = visit.subscribe("heavy", Filter(topic, 2))
    large = visit.publish_as("large")
    large.publish(topic, b"x" * (MAXIMUM_PACKET - around))
    sent = large.flush(_ANSWER_S / 2)
    came = sent and within(
        _ANSWER_S, lambda: heavy.receive(0.05, MESSAGES), lambda: heavy.inbox_bytes > MAXIMUM_PACKET - 2 * around
    )
    told_why = large.sentence
    for link in (heavy, large):
        link.close()
    if came:
        visit.say(Severity.FINE, "packet size", f"a packet of {MAXIMUM_PACKET:,} bytes passes")
        return True
    if sent:
        visit.lost = True
    visit.say(
        Severity.LOSES if sent else Severity.RISK,
        "packet size",
        f"a packet of {MAXIMUM_PACKET:,} bytes was acknowledged and never delivered"
        if sent
        else f"a packet of {MAXIMUM_PACKET:,} bytes is not taken ({told_why}); a pack of readings may be as large",
        mend,
    )
    return True


def _retained(visit: _Visit) -> bool:
    """Whether readings can be retained, and whether we can ask not to be sent them."""
    if visit.publisher.granted.get("RetainAvailable", 1) == 0:
        return True
    topic = f"{visit.prefix}/illuminance"
    if not visit.send("illuminance", b"retained", retain=True):
        visit.say(Severity.FINE, "retained readings", "the broker refuses a retained message where readings go")
        return True
    asked = visit.subscribe("asked", Filter(topic, 0))
    _receive(asked, 3.0, lambda: asked.inbox_messages > 0)
    kept = any(header & 1 for _topic, _mid, header, _payload in _take(asked))
    asked.close()
    if not kept:
        visit.say(Severity.FINE, "retained readings", "the broker keeps no retained message where readings go")
        return True
    visit.say(
        Severity.NOTE,
        "retained readings",
        "the broker keeps a retained message on any topic that a device may write; ingest refuses those that are "
        "readings, for their age is unknown",
        "mosquitto's access list knows no retain flag; tell devices to retain their status only",
    )
    if visit.publisher.protocol < 5:
        return True
    spared = visit.subscribe("spared", Filter(topic, 2))
    _receive(spared, _QUIET_S, lambda: spared.inbox_messages > 0)
    if _take(spared):
        visit.say(
            Severity.NOTE,
            "retain handling",
            "the broker sends retained messages although we ask it not to (MQTT 5, 3.8.3.1); after each reconnect the "
            "same old messages are refused again",
        )
    spared.close()
    return True


def _queue(visit: _Visit) -> bool:
    """What becomes of acknowledged messages while a session is away, and while one does not acknowledge."""
    wanted = Filter(f"{visit.prefix}/queue", 2)
    away, held = (visit.subscribe(name, wanted, keep=True) for name in ("away", "held"))
    visit.send("queue", b"begin")  # a subscription holds when something came through it
    for session in (away, held):
        within(_ANSWER_S, lambda s=session: s.receive(0.05, MESSAGES), lambda s=session: s.inbox_messages > 0)  # type: ignore[misc]
        _take(session)
        session.step(0.0)
    away.close()
    token = object()
    for _ in range(MESSAGES):
        visit.publisher.publish(f"{visit.prefix}/queue", _PAYLOAD, token=token)
    visit.publisher.flush(_FLOOD_S)
    published = sum(found is token for found in visit.publisher.acknowledged)
    visit.publisher.acknowledged.clear()
    in_flight = _in_flight(visit, held, published)
    _kept_unacknowledged(visit, held, published, in_flight)
    _kept_away(visit, wanted, published)
    return True


def _in_flight(visit: _Visit, held: Subscriber, published: int) -> int:
    _receive(held, _FLOOD_S, lambda: held.inbox_messages >= published)
    in_flight = held.inbox_messages
    if in_flight < min(published, _LEAST_IN_FLIGHT):
        visit.say(
            Severity.RISK,
            "in flight",
            f"the broker sends {in_flight:,} messages and then waits for an acknowledgement, so ingest waits for the "
            "broker; and what waits there counts as its queue",
            "in mosquitto.conf: max_inflight_messages 65535",
        )
    else:
        visit.say(Severity.FINE, "in flight", f"{in_flight:,} messages un-acknowledged on one connection")
    return in_flight


def _kept_unacknowledged(visit: _Visit, held: Subscriber, published: int, in_flight: int) -> None:
    came = _arrived(held, published)
    if came < published:
        visit.lost = True
        visit.say(
            Severity.LOSES,
            "queue",
            f"of {published:,} acknowledged messages {published - came:,} never came to a subscriber that was "
            f"connected and slow ({in_flight:,} were on their way); they were dropped in silence",
            _QUEUE_MENDED,
        )


def _arrived(subscriber: Subscriber, wanted: int) -> int:
    """How many messages come while they are acknowledged, until all have come or no more do."""
    came = len(_take(subscriber))
    until = time.monotonic() + _FLOOD_S
    while came < wanted and time.monotonic() < until:
        _receive(subscriber, _QUIET_S, lambda: subscriber.inbox_messages > 0)
        more = len(_take(subscriber))
        if not more:
            break
        came += more
    subscriber.step(0.0)
    return came


def _kept_away(visit: _Visit, wanted: Filter, published: int) -> None:
    back = visit.subscribe("away", wanted, keep=True)
    if not back.session_present:
        visit.lost = True
        visit.say(
            Severity.LOSES,
            "session",
            "the broker forgot our session while we were away for a moment: whatever comes while ingest restarts is "
            "lost",
            "let the broker keep persistent sessions (mosquitto: persistence true, persistent_client_expiration 30d)",
        )
        return
    came = _arrived(back, published)
    if came < published:
        visit.lost = True
        visit.say(
            Severity.LOSES,
            "queue",
            f"of {published:,} messages acknowledged while our session was away {published - came:,} were dropped in "
            "silence: the broker's queue ends there",
            _QUEUE_MENDED,
        )
    else:
        visit.say(Severity.FINE, "queue", f"{came:,} messages waited for a session that was away, and all came")


def _itself(visit: _Visit, until: float) -> None:
    """What the broker says of itself under $SYS: its version, and whether it drops messages while we look."""
    itself = visit.subscribe("itself", Filter(_VERSION, 0), Filter(_DROPPED, 0))
    _receive(itself, 2.0, lambda: itself.inbox_messages >= 2, quiet_s=2.0)
    said = _said(itself)
    if _VERSION in said:
        _version(visit, said[_VERSION])
    else:
        visit.say(Severity.NOTE, "version", "the broker does not tell its version ($SYS/broker/version)")
    if not said.get(_DROPPED, "").isdigit():
        return
    before = int(said[_DROPPED])
    within(max(0.0, until - time.monotonic()), lambda: itself.receive(0.25, MESSAGES), lambda: False)
    after = int(_said(itself).get(_DROPPED, before))
    if after > before and not visit.lost:
        visit.say(
            Severity.LOSES,
            "dropped",
            f"the broker dropped {after - before:,} messages while we looked, none of them ours",
            f"{_QUEUE_MENDED}; and look for a client that is connected and does not read",
        )
    elif before and not visit.lost:
        visit.say(
            Severity.RISK,
            "dropped",
            f"the broker has dropped {before:,} messages since it started, none while we looked",
            f"{_QUEUE_MENDED}; a restart of the broker sets the count back",
        )
    elif not visit.lost:
        visit.say(Severity.FINE, "dropped", "the broker has dropped no message since it started")


def _said(subscriber: Subscriber) -> dict[str, str]:
    """The last payload on each topic, as text."""
    return {
        topic.decode("utf-8", "replace"): payload.decode("utf-8", "replace")
        for topic, _mid, _header, payload in _take(subscriber)
    }


def _version(visit: _Visit, text: str) -> None:
    found = re.search(r"mosquitto version (\d+)\.(\d+)\.(\d+)", text)
    if found is None:
        visit.say(Severity.FINE, "version", text)
        return
    version = (int(found[1]), int(found[2]), int(found[3]))
    troubles = []
    if version < (2, 0, 13):
        troubles.append("it may stop delivering to a client whose in-flight quota was used up (mosquitto 2362)")
    if version == (2, 0, 16):
        troubles.append("it drops everything under 'max_queued_messages 0' (mosquitto 2879)")
    if (2, 0, 19) <= version <= (2, 0, 21):
        troubles.append("it may disconnect quick publishers under 'max_queued_messages 0' (mosquitto 3244)")
    if version < (2, 0, 16):
        troubles.append("clients can make its memory grow (CVE-2023-28366, CVE-2023-0809, CVE-2023-3592)")
    name = ".".join(map(str, version))
    if troubles:
        visit.say(
            Severity.NOTE, "version", f"mosquitto {name}: {'; '.join(troubles)}", "install 2.0.18, or 2.0.22 and newer"
        )
    else:
        visit.say(Severity.FINE, "version", f"mosquitto {name}")


# ---------------------------------------------------------------------------------------------------- certificates


def _broker_certificate_ends(visit: _Visit) -> datetime | None:
    """When the certificate that the broker shows ends (UTC); None where it shows none to us."""
    context = (visit.tls or Tls()).context()
    with suppress(OSError):
        raw = socket.create_connection((visit.address.host, visit.address.port), _ANSWER_S)
        with raw, context.wrap_socket(raw, server_hostname=visit.address.host) as speaking:
            shown = speaking.getpeercert() or {}
            return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
    return None


def certificate_ends(pem: str) -> datetime | None:
    """When the first certificate of a PEM file ends, UTC; None where there is none.

    RFC 5280, 4.1: a certificate is SEQUENCE {SEQUENCE {[0] version, serial, algorithm, issuer, SEQUENCE {notBefore,
    notAfter}, ...}, ...}; times are UTCTime (two digits of the year, 1950-2049) or GeneralizedTime, both ending in Z.
    """
    found = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", pem, re.DOTALL)
    if found is None:
        return None
    der = ssl.PEM_cert_to_DER_cert(found[0])
    signed = _elements(_elements(der)[0][1])[0][1]
    fields = _elements(signed)
    validity = fields[4 if fields[0][0] == 0xA0 else 3][1]
    kind, end = _elements(validity)[1]
    text = end.decode("ascii")
    if kind == 0x17:
        text = ("20" if int(text[:2]) < 50 else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """The (tag, content) pairs of a DER sequence's content (X.690, 8.1.3)."""
    found, at = [], 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            octets = length & 0x7F
            length, at = int.from_bytes(der[at : at + octets], "big"), at + octets
        found.append((tag, der[at : at + length]))
        at += length
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
