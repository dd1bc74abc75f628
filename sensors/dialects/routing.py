"""The table of all dialects, and how a message finds the one it is written in.

In this order: a rule of city.toml whose filter matches; our own topic shape, under which any dialect may be spoken and
the topic names device and quantity; a dialect's own topics; the content alone, with the device named by the topic.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sensors.city import DialectRule
from sensors.dialects import (
    chirpstack,
    column_packs,
    fiware,
    iot_agent,
    senml_packs,
    sensor_community,
    sensorthings,
    the_things_stack,
)
from sensors.dialects.parsing import BYTE_ORDER_MARK, parse_json, shown
from sensors.dialects.table import Dialect, Outcome, Source, device_name
from sensors.errors import DecodeError
from sensors.exposure import exposed
from sensors.quantities import HISTOGRAM, is_histogram, quantity_named
from sensors.wire import MAX_PAYLOAD, STATUS, Measurement, Rejection, Topic, parse_topic

# One line a dialect; the first that recognises a content reads it, so the stricter ones stand first.
DIALECTS: tuple[Dialect, ...] = (
    column_packs.DIALECT,
    senml_packs.DIALECT,
    the_things_stack.DIALECT,
    chirpstack.DIALECT,
    sensor_community.DIALECT,
    fiware.DIALECT,
    iot_agent.JSON,
    iot_agent.ULTRALIGHT,
    sensorthings.DIALECT,
)

FAULT = "the reader of"  # begins the reason for a message on which a reader itself failed: ours to mend

# Topic levels that say what a message is and not who sent it.
_GENERIC = re.compile(
    r"attr(ibute)?s|data|devices?|events?|json|measurements?|messages?|ngsi(-ld|v2)?|observations|readings?|senml|sensors?|"
    r"state|status|telemetry|ul|up|uplink|v\d(\.\d)?|values?|"
)


def decode(
    topic: str,
    payload: bytes,
    received_ms: int,
    root: str = "noctule",
    rules: Sequence[DialectRule] = (),
    dialects: Sequence[Dialect] | None = None,
) -> Outcome:
    """What a message says: measurements and rejections, at least one of them.

    Parameters
    ----------
    topic : str
        The topic as received.
    payload : bytes
        The payload as received; hostile until parsed.
    received_ms : int
        When it was received, ms since 1970, UTC (city time).
    root : str
        First level of our own topics.
    rules : sequence of DialectRule
        `[[dialects]]` of city.toml; the first whose filter matches holds.
    dialects : sequence of Dialect, optional
        The table to look in; all that we know if left out.
    """
    if len(payload) > MAX_PAYLOAD:
        return [Rejection(f"the payload has {len(payload)} bytes; at most {MAX_PAYLOAD} are read")]
    payload = payload.removeprefix(BYTE_ORDER_MARK)
    table = DIALECTS if dialects is None else tuple(dialects)
    value, problem = None, ""
    try:
        value = parse_json(payload)
    except DecodeError as error:
        problem = str(error)
    if reason := exposed(payload, value):
        return [Rejection(reason, exposing=True)]
    own = parse_topic(topic)
    if own is not None and own.root != root:
        own = None
    if own is not None and own.leaf == STATUS:
        return [Rejection("a status message holds no readings")]
    message = _Message(topic, payload, received_ms, value, own, guess=topic.split("/")[0] not in (root, ""))
    for rule in rules:
        if matches(rule.topic, topic):
            return _by_rule(rule, message, table)
    if own is not None:
        if problem and payload.lstrip()[:1] in (b"[", b"{"):
            return [Rejection(problem)]  # what is meant to be JSON is read as strictly as that of strangers
        return _at_our_topic(message, _recognised(table, value, payload) or senml_packs.DIALECT, own)
    if (spoken := _spoken_at(topic, table)) is not None:
        return _read(spoken, Source(topic, _level(topic, spoken.device_level)), message)
    found = _recognised(table, value, payload) if message.guess else None
    if found is None:
        return [Rejection(_tried(topic, table, root))]
    device, quantity = _named_by(topic)
    return _read(found, Source(topic, device, quantity=quantity), message)


def matches(topic_filter: str, topic: str) -> bool:
    """Whether an MQTT filter takes a topic (MQTT 5, 4.7).

    >>> matches("lamps/+/ngsi/#", "lamps/7/ngsi")
    True
    """
    if topic_filter == topic:
        return True
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("#", "+"):
        return False
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(levels) or level not in ("+", levels[at]):
            return False
    return len(wanted) == len(levels)


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    payload: bytes
    received_ms: int
    value: object  # the parsed JSON, None when it is none
    own: Topic | None  # the topic taken apart, where it is one of ours
    # Whether a level of the topic may be taken for the device's name when nothing says which. Below our root the access
    # list gives each device its own branch, so a level further down names nobody; in a topic that begins with '/' any
    # level may be the secret of an IoT Agent.
    guess: bool


def _by_rule(rule: DialectRule, message: _Message, table: Sequence[Dialect]) -> Outcome:
    topic = message.topic
    spoken = _spoken_at(topic, table)
    if rule.dialect:
        dialect = next((dialect for dialect in table if dialect.name == rule.dialect), None)
    else:
        dialect = spoken or _recognised(table, message.value, message.payload)
    if dialect is None:
        return [Rejection(f"the rule for {_without_key(rule.topic)} finds none of {_names(table)} in the message")]
    device = rule.device or _level(topic, rule.device_level, rule)
    if not device and dialect is spoken:
        device = _level(topic, dialect.device_level, rule)
    if not device and message.own is not None and not rule.devices:
        return _at_our_topic(message, dialect, message.own)
    if not device and message.guess and not rule.devices and not rule.datastreams:
        device = _named_by(topic)[0]
    source = Source(topic, device, rule.devices, rule.quantity, rule.decoder, rule.datastreams)
    return _read(dialect, source, message)


def _at_our_topic(message: _Message, dialect: Dialect, own: Topic) -> Outcome:
    """Any dialect under our topic, which names device and quantity."""
    named = quantity_named(own.leaf)
    if named is None:
        dialect = senml_packs.DIALECT  # says which quantities there are
    leaf = HISTOGRAM if is_histogram(own.leaf) else own.leaf  # which SenML alone can say
    source = Source(message.topic, own.device, quantity=named.name if named else leaf)
    return [
        Rejection(f"message says '{one.quantity}' under the topic of '{source.quantity}'", one.part)
        if isinstance(one, Measurement) and one.quantity != source.quantity
        else one
        for one in _read(dialect, source, message)
    ]


def _read(dialect: Dialect, source: Source, message: _Message) -> Outcome:
    try:
        outcome = dialect.read(source, message.payload, message.received_ms)
    except DecodeError as error:
        return [Rejection(str(error))]
    except Exception as error:  # a reader's fault costs one message, which is kept, and never the city's night
        return [Rejection(f"{FAULT} '{dialect.name}' failed on this message ({type(error).__name__})")]
    return [
        Rejection("nothing names the device: give 'device', 'device_level' or 'devices' in [[dialects]]", one.part)
        if isinstance(one, Measurement) and not one.device
        else one
        for one in outcome
    ] or [Rejection("the message holds no records")]


def _spoken_at(topic: str, table: Sequence[Dialect]) -> Dialect | None:
    """The dialect whose own topics these are, or None."""
    return next((dialect for dialect in table if any(matches(wanted, topic) for wanted in dialect.filters)), None)


def _recognised(table: Sequence[Dialect], value: object, payload: bytes) -> Dialect | None:
    return next((dialect for dialect in table if dialect.recognise(value, payload)), None)


def _level(topic: str, level: int, rule: DialectRule | None = None) -> str:
    """Our name for the device that a topic level names, counted from 1; '' for level 0 or one that is not there."""
    levels = topic.split("/")
    if not 0 < level <= len(levels):
        return ""
    theirs = levels[level - 1]
    return (rule.devices.get(theirs) if rule else None) or device_name(theirs)


def _named_by(topic: str) -> tuple[str, str]:
    """Device and quantity that a topic of nobody's names: the last level that is neither generic nor a quantity."""
    quantity = ""
    for level in reversed(topic.lower().split("/")):
        named = quantity_named(level)
        if named is not None:
            quantity = quantity or named.name
        elif not _GENERIC.fullmatch(level):
            return device_name(level), quantity
    return "", quantity


def _tried(topic: str, table: Sequence[Dialect], root: str) -> str:
    return (
        f"no dialect knows the topic {_without_key(topic)} or its content; tried {_names(table)} and our topics "
        f"'{root}/CITY/DEVICE/QUANTITY'; [[dialects]] in city.toml can name one (docs/dialects.md)"
    )


def _without_key(topic: str) -> str:
    """A topic as a reason may quote it: those of IoT Agents begin with '/' and hold a secret somewhere."""
    return shown("/…" if topic[:1] == "/" else topic)


def _names(table: Sequence[Dialect]) -> str:
    return ", ".join(dialect.name for dialect in table)
