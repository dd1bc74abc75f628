"""What becomes of messages: records of known sites, or reasons why they were refused.

A pure function of the messages and the site register. Who a device is comes from the topic, what it is (a real device,
a recording, a simulation) from the register; a payload is believed in neither.

`take` reads one message, whatever it is, and is the truth. `read` reads a whole group by column: what a topic means is
looked up once and kept, many messages that are alike are read by `sensors.alike`, other usual packs by
`sensors.quick_pack` and `sensors.columns`, and whatever is unusual goes to `take`, message by message, so that nothing
in one message can cost another its place.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ingest.limits import AHEAD, LOST
from ingest.log import Message
from sensors.alike import FEWEST, Alike
from sensors.city import City
from sensors.columns import Columns, Series, read_columns, series_records
from sensors.dialects import decode
from sensors.dialects.routing import matches
from sensors.exposure import cleaned, exposed
from sensors.quantities import QUANTITIES, quantity_named, topic_name
from sensors.quick_pack import RELATIVE_BELOW_S, Packs, QuickRecord, columns, quick_reader, usual
from sensors.reading import RECORD, Records, empty_records, joined
from sensors.register import SiteRegister
from sensors.wire import MAX_PAYLOAD, STATUS, Measurement, parse_topic

KEPT_OF_OVERSIZE = 4096  # bytes of a payload too large to read that are kept with its reason
ROUTES_KEPT = 200_000  # topics whose meaning is remembered; a device may make up as many as it likes
_REASON_LENGTH = 500
_TOPIC_LENGTH = 16_000  # characters of a topic that is no UTF-8, which grows when it is made text
_AHEAD_MS = int(AHEAD.astype("timedelta64[ms]").astype(np.int64))
_LOST_MS = int(LOST.astype("timedelta64[ms]").astype(np.int64))
_SANE_MS = 10**14  # a clock beyond it (year 5138) is left to the ordinary way


Row = tuple[int | float, ...]  # one value for each field of RECORD, times as ms
Indexes = npt.NDArray[np.int64]

_ROW = np.dtype([(name, "i8" if RECORD[name].kind == "M" else RECORD[name].str) for name in RECORD.names or ()])
# What a topic means, as a row of numbers: the site and quantity of its usual readings and from when until when that
# holds, and the number that whoever limits rates has given its identity (-1 before).
_FACTS = np.dtype([("site", "u4"), ("quantity", "u1"), ("starts", "i8"), ("ends", "i8"), ("bucket", "i8")])
READINGS, STATUS_KIND, STRANGER = 0, 1, 2  # kinds: of a known device, its status, of a device that nobody registered


class Taken(NamedTuple):
    """What a message held: rows for RECORD, the reasons for what was refused of it, and what of it may be kept."""

    rows: list[Row]
    reasons: list[str]
    kept: bytes


@dataclass(slots=True, eq=False)  # one a topic; comparing members costs more than looking it up
class Route:
    """What a topic means now.

    index : its row in `Intake.facts`
    identity : who speaks there; the device, or the topic where none is named
    read : the quick reading of its usual payloads, None where each message goes the ordinary way
    """

    topic: bytes
    text: str
    index: int
    identity: str
    kind: int
    read: Callable[[bytes], list[QuickRecord]] | None = None
    device: str = ""
    names: tuple[str, ...] = ()  # spellings of its quantity, '' for none


class Reading(NamedTuple):
    """What a group of messages came to; messages are told by their place in the group."""

    records: Records  # in order of arrival, without flags
    messages: Indexes  # (n_records,) the message of each
    refused: dict[int, Taken]  # messages of which something was refused
    kept: dict[int, bytes]  # payloads that are not kept as they came

    def among(self, places: Indexes, records: Records, messages: Indexes) -> Reading:
        """The same of a larger group, in which these messages have the given places and others hold other records."""
        theirs = places[self.messages]
        order = np.argsort(np.concatenate([messages, theirs]), kind="stable")
        return Reading(
            joined([records, self.records])[order],
            np.concatenate([messages, theirs])[order],
            {int(places[at]): taken for at, taken in self.refused.items()},
            {int(places[at]): payload for at, payload in self.kept.items()},
        )


class Intake:
    """Reads messages with the site register of a city, which may be changed while it runs."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._path = city.path / "places" / "sites.parquet"
        self._stamp: tuple[int, int, int] | None = None
        self._alike = Alike()
        self._routes: dict[bytes, Route] = {}
        self._routes_made = 0
        self.topics: list[bytes] = []  # as text in UTF-8, by `Route.index`
        self.facts = np.zeros(1024, _FACTS)  # by `Route.index`
        self.refresh()

    def refresh(self) -> bool:
        """Read the register again if its file has changed; whether it had."""
        stamp = None
        with suppress(FileNotFoundError):  # loading it says so in a sentence
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        if stamp is not None and stamp == self._stamp:
            return False
        self.register = SiteRegister.load(self._city)
        table = self.register.table
        self._simulated = set(table.site[table.origin == "simulated"].astype(int))
        self._forget_routes()
        self._stamp = stamp
        return True

    def prepare(self, now_ms: int) -> None:
        """Look up the topics of the register's sites before anything comes; a first group would pay 20 us for each."""
        own = f"{self._city.settings.broker.root}/{self._city.id}"
        table = self.register.table
        for device, quantity in zip(table["device"], table["quantity"], strict=True):
            if self._routes_made >= ROUTES_KEPT // 2:
                return
            topic = f"{own}/{device}/{topic_name(quantity)}".encode()
            if topic not in self._routes:
                self._route(topic, now_ms)

    def take(self, message: Message) -> Taken:
        """Rows and reasons of one message; at least one of either."""
        settings = self._city.settings
        topic, payload, received_ms = message.topic, message.payload, message.received_ms
        rows: list[Row] = []
        reasons: list[str] = []
        for outcome in decode(topic, payload, received_ms, settings.broker.root, settings.dialects):
            if not isinstance(outcome, Measurement):
                part = "" if outcome.part is None else f"record {outcome.part}: "
                reasons.append(_short(part + outcome.reason))
                if outcome.exposing:
                    return _nothing_kept(message, reasons[-1])
                continue
            if outcome.quantity == "devices_seen" and not settings.privacy.devices_seen_basis:
                return _nothing_kept(
                    message,
                    "devices_seen is refused until privacy.devices_seen_basis in city.toml names the legal basis on "
                    "which radio devices are counted",
                )
            site = self._site(outcome, received_ms)
            if isinstance(site, str):
                reasons.append(_short(site))
                continue
            rows.append(
                (
                    outcome.time_ms,
                    received_ms,
                    site,
                    QUANTITIES[outcome.quantity].code,
                    outcome.value,
                    outcome.duration_s,
                    0,
                    outcome.boot,
                    outcome.seq,
                    outcome.part,
                )
            )
        if len(payload) > MAX_PAYLOAD:
            return Taken(rows, reasons, kept_payload(payload))
        return Taken(rows, reasons, cleaned(topic, payload))

    def take_safely(self, message: Message) -> Taken:
        """As `take`; a decoder's own fault costs the message its place among the readings, and nobody anything."""
        try:
            return self.take(message)
        except Exception as error:
            reason = _short(f"the decoder failed on it: {type(error).__name__}: {error}")
            return Taken([], [reason], keepable(message.topic, message.payload))

    def routes(self, topics: Sequence[bytes], now_ms: int) -> list[Route]:
        """What each topic means at a time (ms since 1970, UTC)."""
        known = self._routes
        try:
            return [known[topic] for topic in topics]
        except KeyError:  # somebody speaks for the first time
            if self._routes_made + len(topics) > ROUTES_KEPT:
                self._forget_routes()
            return [known.get(topic) or self._route(topic, now_ms) for topic in topics]

    def read(
        self,
        routes: Sequence[Route],
        payloads: Sequence[bytes],
        received_ms: Indexes,
        index: Indexes | None = None,
    ) -> Reading:
        """What a group of messages holds.

        routes : of each message's topic
        received_ms : (n_messages,) array, ms since 1970, UTC
        index : `indexes(routes)`, where it is known
        """
        try:
            return self._read(routes, payloads, received_ms, indexes(routes) if index is None else index)
        except Exception:  # a fault of ours in reading by column costs time, and nobody a reading
            return self._merged([], range(len(routes)), routes, payloads, received_ms)

    def _read(
        self, routes: Sequence[Route], payloads: Sequence[bytes], received_ms: Indexes, index: Indexes
    ) -> Reading:
        if len(routes) < FEWEST:
            return self._decoded(routes, payloads, index, received_ms)
        found = self._alike.read(payloads, self.facts["quantity"][index], lambda at: routes[at].read)
        records, places = self._of_packs(index, found, received_ms), found.pack
        elsewhere = self._elsewhere(records, index[places])
        if np.count_nonzero(elsewhere):
            records, places = records[~elsewhere], places[~elsewhere]
        if len(places) == len(routes):
            return Reading(records, places, {}, {})
        rest = np.delete(np.arange(len(routes)), places)
        others = self._decoded(
            [routes[at] for at in rest.tolist()],
            [payloads[at] for at in rest.tolist()],
            index[rest],
            received_ms[rest],
        )
        return others.among(rest, records, places)

    def _decoded(
        self, routes: Sequence[Route], payloads: Sequence[bytes], index: Indexes, received_ms: Indexes
    ) -> Reading:
        """What some messages hold; `index` are their routes' places in `facts`."""
        whole = _all_quickly(routes, payloads)
        if whole is not None:
            records = self._of_packs(index, whole, received_ms)
            if not np.count_nonzero(self._elsewhere(records, index[whole.pack])):
                return Reading(records, whole.pack, {}, {})
        packs = [_quickly(route, payload) for route, payload in zip(routes, payloads, strict=True)]
        listed = [at for at, pack in enumerate(packs) if type(pack) is list]
        if listed:
            taken = usual([packs[at] for at in listed], [payloads[at] for at in listed])  # type: ignore[misc]
            for at, is_usual in zip(listed, taken, strict=True):
                packs[at] = packs[at] if is_usual else None
        parts: list[tuple[Records, Indexes]] = []
        unusual = [at for at, pack in enumerate(packs) if pack is None]
        for kind, make in ((list, self._of_lists), (Columns, self._of_columns)):
            members = [at for at, pack in enumerate(packs) if type(pack) is kind]
            if not members:
                continue
            places = np.array(members)
            theirs, bodies = [packs[at] for at in members], [payloads[at] for at in members]
            records, messages = make(index[places], theirs, bodies, received_ms[places])
            elsewhere = self._elsewhere(records, index[places][messages])
            if elsewhere.any():
                left = np.unique(messages[elsewhere])
                for at in places[left].tolist():
                    self._routes.pop(routes[at].topic, None)  # the next message finds the site of now
                unusual += places[left].tolist()
                stay = ~np.isin(messages, left)
                records, messages = records[stay], messages[stay]
            parts.append((records, places[messages]))
        if not unusual and len(parts) == 1:
            return Reading(*parts[0], {}, {})
        return self._merged(parts, unusual, routes, payloads, received_ms)

    def _of_packs(self, index: Indexes, packs: Packs, received_ms: Indexes) -> Records:
        """Records of usual packs.

        index : (n_packs,) array, of the route of each
        """
        routes, received = index[packs.pack], received_ms[packs.pack]
        time_s = packs.time_s
        relative = time_s < RELATIVE_BELOW_S
        if np.count_nonzero(relative):
            time_s = np.where(relative, time_s + received / 1000, time_s)
        records = np.empty(len(time_s), _ROW)
        records["time"] = np.rint(time_s * 1000)
        records["received"] = received
        records["site"] = self.facts["site"][routes]
        records["quantity"] = self.facts["quantity"][routes]
        records["value"] = packs.value
        records["duration_s"] = packs.duration_s
        records["flags"] = 0
        records["boot"] = packs.boot
        records["seq"] = packs.seq
        records["part"] = packs.part
        return records.view(RECORD)

    def _of_lists(
        self, index: Indexes, packs: Sequence[Any], payloads: Sequence[bytes], received_ms: Indexes
    ) -> tuple[Records, Indexes]:
        """Records of usual packs, and which pack each is of."""
        found = columns(packs, payloads)
        assert found is not None  # `usual` has asked
        return self._of_packs(index, found, received_ms), found.pack

    def _of_columns(
        self, index: Indexes, packs: Sequence[Any], _payloads: Sequence[bytes], received_ms: Indexes
    ) -> tuple[Records, Indexes]:
        """Records of packs of columns, and which pack each is of."""
        series: list[Series] = [pack.series[0] for pack in packs]
        spans = self.facts[index]
        records = series_records(series, spans["site"].tolist(), spans["quantity"].tolist(), received_ms.tolist())
        return records, np.repeat(np.arange(len(packs)), [len(one.values) for one in series])

    def _elsewhere(self, records: Records, routes: Indexes) -> npt.NDArray[np.bool_]:
        """Which records are not of the site that their topic has now, as `_site` says it."""
        time_ms, received = records["time"].astype(np.int64), records["received"].astype(np.int64)
        delay = received - time_ms
        moment = np.where((delay < -_AHEAD_MS) | (delay > _LOST_MS), received, time_ms)
        starts, ends = self.facts["starts"][routes], self.facts["ends"][routes]
        return (moment < starts) | (moment >= ends) | (received < 0) | (received >= _SANE_MS)

    def _merged(
        self,
        parts: list[tuple[Records, Indexes]],
        unusual: Sequence[int],
        routes: Sequence[Route],
        payloads: Sequence[bytes],
        received_ms: Indexes,
    ) -> Reading:
        """All records in order of arrival, those of unusual messages read one by one."""
        rows: list[Row] = []
        messages: list[int] = []
        refused: dict[int, Taken] = {}
        kept: dict[int, bytes] = {}
        for at in unusual:
            message = Message(routes[at].text, payloads[at], int(received_ms[at]))
            taken = self.take_safely(message)
            if taken.reasons:
                refused[at] = taken
            if taken.kept is not payloads[at]:
                kept[at] = taken.kept
            rows += taken.rows
            messages += [at] * len(taken.rows)
        parts = [*parts, (as_records(rows), np.array(messages, np.int64))]
        records = joined([part for part, _ in parts])
        places = np.concatenate([message for _, message in parts])
        order = np.argsort(places, kind="stable")
        return Reading(records[order], places[order], refused, kept)

    def _route(self, topic: bytes, now_ms: int) -> Route:
        text = topic_text(topic)
        settings = self._city.settings
        route = Route(topic, text, self._routes_made, text, READINGS)
        self._routes[topic] = route
        self._routes_made += 1
        self.topics.append(text.encode())
        if len(self.facts) <= route.index:
            self.facts = np.concatenate([self.facts, np.zeros(len(self.facts), _FACTS)])
        own = parse_topic(text)
        if own is not None and own.root == settings.broker.root:
            route.identity = route.device = own.device
            if own.leaf == STATUS:
                route.kind = STATUS_KIND
            elif not self.register.device_known(own.device):
                route.kind = STRANGER
        rule = next((rule for rule in settings.dialects if matches(rule.topic, text)), None)
        if rule is not None:
            route.identity = rule.device or route.identity
            known = not rule.device or self.register.device_known(rule.device)
            route.kind = READINGS if known else STRANGER
        self.facts[route.index] = (0, 0, 0, 0, -1)
        named = quantity_named(own.leaf) if own is not None and route.device else None
        if rule is not None or named is None:
            return route
        if named.name == "devices_seen" and not settings.privacy.devices_seen_basis:
            return route
        spans = self.register.spans(route.device, named.name)
        if any(one[1] > other[0] for one, other in itertools.pairwise(sorted(spans))):
            return route  # two sites at once: which one counts is for the ordinary way to say
        for starts, ends, site in spans:
            if starts <= now_ms < ends and (site not in self._simulated or self._city.simulated):
                self.facts[route.index] = (site, named.code, starts, ends, -1)
                route.names = ("", named.name, topic_name(named.name))
                route.read = quick_reader(named)
        return route

    def _forget_routes(self) -> None:
        self._routes.clear()
        self.topics.clear()
        self._routes_made = 0

    def _site(self, measurement: Measurement, received_ms: int) -> int | str:
        """The site of a measurement, or why it has none."""
        device, quantity = measurement.device, measurement.quantity
        delay_ms = received_ms - measurement.time_ms
        # A clock that cannot be right says nothing about where the device stood: it stands where it stands now.
        moment = received_ms if delay_ms < -_AHEAD_MS or delay_ms > _LOST_MS else measurement.time_ms
        site = self.register.site(device, quantity, moment)
        if site is None:
            if not self.register.device_known(device):
                return f"device '{device}' is not in the site register; add it with 'noctule site add'"
            return f"device '{device}' has no site for {quantity} at this time; see 'noctule site'"
        if site in self._simulated and not self._city.simulated:
            return f"device '{device}' is registered as simulated, and {self._city.name} is not declared simulated"
        return site


def indexes(routes: Sequence[Route]) -> Indexes:
    """(n,) array: each route's row in `Intake.facts`."""
    return np.fromiter([route.index for route in routes], np.int64, len(routes))


def _all_quickly(routes: Sequence[Route], payloads: Sequence[bytes]) -> Packs | None:
    """All payloads at once, where each is a usual pack, as nearly always; None where one is not."""
    if not payloads or max(map(len, payloads)) > MAX_PAYLOAD:
        return None
    try:
        packs = [route.read(payload) for route, payload in zip(routes, payloads, strict=True)]  # type: ignore[misc]
    except Exception:  # one is unusual, or has no reader
        return None
    return columns(packs, payloads)


def _quickly(route: Route, payload: bytes) -> list[QuickRecord] | Columns | None:
    """A usual payload as its reader gives it; None for whatever is to go the ordinary way."""
    if route.read is None or len(payload) > MAX_PAYLOAD:
        return None
    try:
        return route.read(payload)
    except Exception:  # unusual, or wrong: the ordinary way says which
        if payload[:1] != b"{":
            return None
    pack = read_columns(payload)
    if pack is None or pack.id not in ("", route.device) or len(pack.series) != 1 or not pack.readings:
        return None
    return pack if pack.series[0].quantity in route.names else None


def topic_text(topic: bytes) -> str:
    """A topic as text; one that is no UTF-8 (MQTT 1.5.4 forbids it) with marks where it is not."""
    try:
        return topic.decode()
    except UnicodeDecodeError:
        return topic.decode("utf-8", "replace")[:_TOPIC_LENGTH]


def kept_payload(payload: bytes) -> bytes:
    """What is kept of a refused payload: all of it, or the beginning of one that is too large to be read.

    Nothing, where even that beginning shows that people are identified in it.
    """
    if len(payload) <= MAX_PAYLOAD:
        return payload
    begins = payload[:KEPT_OF_OVERSIZE]
    return b"" if exposed(begins) else begins


def keepable(topic: str, payload: bytes) -> bytes:
    """What may be kept of a payload that nobody has read: nothing of one that identifies people."""
    try:
        if len(payload) > MAX_PAYLOAD:
            return kept_payload(payload)
        return b"" if exposed(payload) else cleaned(topic, payload)
    except Exception:  # whoever cannot be looked at is not kept
        return b""


def as_records(rows: list[Row]) -> Records:
    """Rows of `Taken` as a RECORD array."""
    if not rows:
        return empty_records()
    records: Records = np.array(rows, _ROW).view(RECORD)
    return records


def _nothing_kept(message: Message, reason: str) -> Taken:
    return Taken([], [_short(f"{reason}; {len(message.payload)} bytes, not kept")], b"")


def _short(reason: str) -> str:
    return reason if len(reason) <= _REASON_LENGTH else reason[: _REASON_LENGTH - 1] + "…"
