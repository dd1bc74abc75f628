"""What can be wrong with a rule of `[[dialects]]` in city.toml: names that nobody knows, filters that are none."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sensors.city import DialectRule
from sensors.dialects.frames import decoder_problem
from sensors.dialects.routing import DIALECTS
from sensors.quantities import QUANTITIES, quantity_named

_DEVICE = re.compile(r"[a-z0-9-]+")  # one level of a topic of ours


def rule_problems(rule: DialectRule) -> list[str]:
    """Everything that is wrong with a rule, each as a sentence that says what would do."""
    problems = []
    if not is_filter(rule.topic):
        problems.append(f"topic '{rule.topic}' is no MQTT filter; write one like 'lamps/+/state' or 'noise/#'")
    problems += _unknown("dialect", rule.dialect, [dialect.name for dialect in DIALECTS])
    problems += filter(None, [decoder_problem(rule.decoder)])
    problems += _unknown("quantity", rule.quantity.replace("-", "_"), QUANTITIES)
    if rule.device_level < 0:
        problems.append(f"device_level {rule.device_level} must be a topic level, counted from 1")
    if rule.device and rule.device_level:
        problems.append("device and device_level both say who speaks; keep one")
    names = {"device": rule.device} | {f"devices.{theirs}": ours for theirs, ours in rule.devices.items()}
    problems += [
        f"{where} '{name}' must be lower-case letters, digits and hyphens, as in the site register"
        for where, name in names.items()
        if (name or where != "device") and not _DEVICE.fullmatch(name)
    ]
    for datastream, target in rule.datastreams.items():
        device, _, quantity = target.rpartition("/")
        if quantity_named(quantity) is None or not (_DEVICE.fullmatch(device) or (rule.device and not device)):
            problems.append(
                f"datastreams.{datastream} '{target}' must be DEVICE/QUANTITY with one of {', '.join(QUANTITIES)}"
            )
    return problems


def is_filter(text: str) -> bool:
    """Whether a text is an MQTT filter (MQTT 5, 4.7.1): + and # alone in their levels, # only in the last.

    Nothing in it ends a line, since filters are also written into the broker's access list.

    >>> is_filter("lamps/+/state"), is_filter("lamps/#/state"), is_filter("lamp+")
    (True, False, False)
    """
    levels = text.split("/")
    wild = [level for level in levels if "+" in level or "#" in level]
    return bool(text) and text.isprintable() and all(len(level) == 1 for level in wild) and "#" not in levels[:-1]


def _unknown(setting: str, name: str, known: Iterable[str]) -> list[str]:
    names = list(known)
    return [] if not name or name in names else [f"{setting} '{name}' is not known; expected one of {', '.join(names)}"]
