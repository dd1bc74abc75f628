"""Who may say what at the broker: mosquitto's access list, written from the site register.

An account's name is a device's name (user and password, or the common name of a client certificate), and the topic
says which device speaks; this list ties the two together, so that ingest may believe a topic and never needs to
believe a payload. Everything is explicit, a line a device and quantity, where one pattern (`pattern write
ROOT/CITY/%u/+`) would do for most: the pattern lets every account invent quantities and topics below its name, keeps
letting in devices that were retired, and knows nothing of gateways. Mosquitto finds an account's lines once, when it
connects, so that their number costs nothing per message. The price: after a change of the register the list is
written again and mosquitto told (SIGHUP).

What mosquitto cannot say, ingest does: it refuses retained readings (an access list knows no retain flag). And
mosquitto 2.0 grants every subscription and filters what is delivered: a device that subscribes to '#' is told yes and
gets nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from sensors.city import City, DialectRule
from sensors.clock import city_clock
from sensors.dialects.table import device_name
from sensors.errors import CityError, gather
from sensors.register import SiteRegister
from sensors.wire import quantity_topic, status_topic

INGEST_USER = "noctule-ingest"  # where broker.user of city.toml names none
PROBE = "doctor"  # level under ROOT/CITY below which `noctule doctor` writes; no topic of a device has five levels
_UNFIT = re.compile(r"[+#/\s\x00]")  # in an account's name: wildcards, levels, and what ends a line of the file

Lines = dict[str, list[str]]  # account -> its lines, in order


def access_list(city: City) -> str:
    """The text of mosquitto's `acl_file` for a city.

    All shards of ingest log in as `broker.user` and may read the whole city: which devices are whose follows from the
    register, and changes without the broker.
    """
    broker = city.settings.broker
    readers = [broker.user or INGEST_USER]
    devices = _devices(city)
    gateways = _gateways(city.settings.dialects, devices)
    _refuse_unfit(city, [*devices, *gateways], readers)
    parts = [_head(city, len(devices), len(gateways))]
    parts += [_section(reader, _reading(city)) for reader in readers]
    parts += [_section(device, lines) for device, lines in devices.items()]
    parts += [_section(gateway, lines) for gateway, lines in gateways.items()]
    return "\n".join(parts)


def _head(city: City, devices: int, gateways: int) -> str:
    return (
        f"# Access at the broker of {city.name}, from the register of sites: {devices} devices, {gateways} gateways.\n"
        "# Written by 'noctule broker-acl'; write it again, then SIGHUP mosquitto, when a site changes.\n"
        "# Accounts are devices. What is not granted is refused: there is no line for those who have no account, no\n"
        "# wildcard where a device is named, and no device may read anything.\n"
        "# The retain flag cannot be told apart here: retained status is wanted, retained readings ingest refuses.\n"
    )


def _section(account: str, lines: Iterable[str]) -> str:
    return f"user {account}\n" + "".join(f"topic {line}\n" for line in lines)


def _reading(city: City) -> Iterator[str]:
    """What ingest needs, and `noctule doctor`, which logs in as ingest."""
    broker = city.settings.broker
    yield f"read {broker.root}/{city.id}/+/+"
    yield from dict.fromkeys(f"read {rule.topic}" for rule in city.settings.dialects)
    yield f"readwrite {broker.root}/{city.id}/{PROBE}/#"
    yield "read $SYS/broker/#"


def _devices(city: City) -> Lines:
    """Each device of today's register, or of one that is to come, with its own topics and those of dialects."""
    table = SiteRegister.load(city).table
    now = pd.Timestamp(city_clock(city.path).now())
    wanted = table[(table["valid_to"].isna() | (table["valid_to"] > now)) & (table["origin"] != "recorded")]
    root = city.settings.broker.root
    lines: Lines = {}
    for device, quantities in wanted.groupby("device", sort=True)["quantity"]:
        name = str(device)
        own = [f"write {quantity_topic(root, city.id, name, quantity)}" for quantity in np.unique(quantities)]
        lines[name] = [*own, f"write {status_topic(root, city.id, name)}"]
    for rule in city.settings.dialects:
        for device, theirs in _speakers(rule, lines):
            lines[device].append(f"write {_at_level(rule, theirs)}")
    return lines


def _speakers(rule: DialectRule, known: Lines) -> Iterator[tuple[str, str]]:
    """The devices whom a rule's topic names, by our name and by the one in the topic."""
    if rule.device:
        if rule.device in known:
            yield rule.device, ""
    elif rule.device_level:
        renamed = {ours: theirs for theirs, ours in rule.devices.items()}
        for device in known:
            if device in renamed:
                yield device, renamed[device]
            elif not rule.devices and device_name(device) == device:
                yield device, device


def _at_level(rule: DialectRule, theirs: str) -> str:
    """The rule's topic with a device's name where the rule says that it stands."""
    levels = rule.topic.split("/")
    if theirs and rule.device_level <= len(levels):
        levels[rule.device_level - 1] = theirs
    return "/".join(levels)


def _gateways(rules: Iterable[DialectRule], devices: Lines) -> Lines:
    """Accounts of those who speak for several devices: a network server, a gateway, an agent; one a rule.

    Where a rule names its devices the account may write their topics only, else all that the rule's filter matches.
    """
    lines: Lines = {}
    for rule in rules:
        if rule.device:
            continue  # the device's own account has it
        known = [theirs for _, theirs in _speakers(rule, devices)] if rule.device_level and rule.devices else []
        topics = [_at_level(rule, theirs) for theirs in known] or [rule.topic]
        name = f"gateway-{rule.dialect or _slug(rule.topic)}"
        if name in lines:
            name = f"gateway-{_slug(rule.topic)}"
        lines.setdefault(name, []).extend(f"write {topic}" for topic in topics)
    return lines


def _slug(topic: str) -> str:
    """What a topic filter says without its wildcards.

    >>> _slug("v3/+/devices/+/up")
    'v3-devices-up'
    """
    return device_name("-".join(level for level in topic.split("/") if level and level not in "+#")) or "all"


def _refuse_unfit(city: City, accounts: list[str], readers: list[str]) -> None:
    problems = [
        f"'{account}' cannot be the name of an account: it holds a wildcard, a slash or a space; name the device "
        "otherwise in places/sites.parquet"
        for account in accounts
        if not account or _UNFIT.search(account)
    ]
    problems += [
        f"'{account}' is also the account of ingest, which reads everything; choose another broker.user in city.toml"
        for account in accounts
        if account in readers
    ]
    problems += [
        f"broker.user '{reader}' cannot be the name of an account" for reader in readers if _UNFIT.search(reader)
    ]
    if problems:
        raise CityError(gather(f"{city.path}: no access list", problems))
