"""Packs of our own wire as columns: a header that is said once, then one array for each column.

    {"boot": 3, "seq": 812, "n": "people_flow", "duration_s": 900, "bt": 1795208400, "t": [0, 900], "v": [41, 38]}

`t` are times as SenML has them (RFC 8428 4.5.3): seconds since 1970, added to `bt` where it is given, and relative to
the receipt below 2**28; each is the END of its interval. `v` are the values in our units, null where there is none;
for several quantities it is an object with an array for each: {"v": {"sound_laeq": [...], "sound_lamax": [...]}}.
`n` names the quantity, otherwise the topic does. `u` is its unit, or an object of units. `duration_s` is one number,
or an array. `seq` is the message's number, or an array with a number for each row, which a device that stores readings
one by one sends as it stored them; such numbers may also stand in `n`. `id` may repeat the device of the topic.
JSON or CBOR, with the same names; all arrays are equally long.

A reading's part in its message is its row with one number for the message, and zero with a number for each row; with
several quantities these count quantities first: row * n_quantities + column. A pack of fifty costs a fifth of what
fifty SenML records do, so `read_columns` reads what is wholly right, and `decode_columns` says what is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import cbor2
import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from sensors.cbor import parse_cbor
from sensors.errors import DecodeError
from sensors.exposure import listed_medium
from sensors.quantities import QUANTITIES, quantity_named
from sensors.reading import NO_SEQ, Records, empty_records
from sensors.wire import Measurement, Rejection

MAX_READINGS = 5_000  # in a message: a pack is what a device stored, not an archive
_RELATIVE_BELOW = 2**28  # RFC 8428 4.5.3
_EARLIEST_S, _LATEST_S = -62e9, 250e9  # what a calendar holds
_LARGEST = 3e38  # of a 32-bit float
_QUICK_LARGEST = 1e28  # the slow reading refuses whole numbers of more than 30 digits
_LONGEST_S = 7 * 86_400.0
_TOP = 2**32 - 1
_PLAIN = {int, float, str, type(None)}


class Series(NamedTuple):
    """One quantity of a pack, with as many values as times; all of it is right."""

    quantity: str  # '' where the topic names it
    times_s: list[float]  # since 1970, UTC, or before the receipt where below 2**28; ends of the intervals
    values: list[float]
    durations_s: float | list[float]
    boot: int
    seqs: int | list[int]
    parts: Sequence[int]


class Columns(NamedTuple):
    """A pack that is wholly right."""

    id: str  # the device as the payload has it; '' where it does not say, and otherwise it must be the topic's
    series: list[Series]
    readings: int


class _Pack(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    t: list[float]
    v: list[float | None] | dict[str, list[float | None]]
    id: str | UnsetType = UNSET
    n: str | list[int] | UnsetType = UNSET
    u: str | dict[str, str] | UnsetType = UNSET
    boot: int | UnsetType = UNSET
    seq: int | list[int] | UnsetType = UNSET
    duration_s: float | list[float] | UnsetType = UNSET
    bt: float | UnsetType = UNSET


_decoder = msgspec.json.Decoder(_Pack)


def read_columns(payload: bytes) -> Columns | None:
    """A pack of columns that is wholly right and has no member but ours; None for everything else.

    >>> read_columns(b'{"n": "people_flow", "t": [1795208400], "v": [41]}').series[0].values
    [41.0]
    """
    try:
        if payload[:1] == b"{":
            pack = _decoder.decode(payload)
            # A member that stands twice is for the other reading to refuse. There are as many members as colons, since
            # no text of a right pack holds one (id, quantities, units).
            if payload.count(b":") != _members(pack):
                return None
        elif 0xA2 <= (payload[:1] or b"\0")[0] <= 0xBF:  # a CBOR map of at least two members
            pack = msgspec.convert(_plain(parse_cbor(payload)), _Pack)
        else:
            return None
    except Exception:  # cbor2 raises many kinds on hostile bytes; whatever it is, the slow reading says what is wrong
        return None
    times, values = pack.t, pack.v
    boot = 0 if pack.boot is UNSET else pack.boot
    seqs: int | list[int] = NO_SEQ if pack.seq is UNSET else pack.seq
    durations: float | list[float] = 0.0 if pack.duration_s is UNSET else pack.duration_s
    unit: str | dict[str, str] = "" if pack.u is UNSET else pack.u
    rows = len(times)
    if not 0 < rows <= MAX_READINGS or not 0 <= boot <= _TOP:
        return None
    if _may_be_a_medium(pack):
        return None
    if pack.bt is not UNSET:
        base = pack.bt
        if not abs(base) < _LATEST_S:
            return None
        times = [base + time for time in times]
    if not (min(times) > _EARLIEST_S and max(times) < _LATEST_S and math.isfinite(sum(times))):  # CBOR knows NaN
        return None
    name = ""
    if isinstance(pack.n, str):
        name = pack.n
    elif isinstance(pack.n, list):
        if pack.seq is not UNSET:
            return None
        seqs = pack.n
    if isinstance(durations, list):
        if len(durations) != rows or not math.isfinite(sum(durations)):
            return None
        if not (min(durations) >= 0 and max(durations) <= _LONGEST_S):
            return None
    elif not 0 <= durations <= _LONGEST_S:
        return None
    if isinstance(seqs, list):
        if len(seqs) != rows or min(seqs) < 0 or max(seqs) >= _TOP:
            return None
    elif not 0 <= seqs <= _TOP:
        return None
    device = "" if pack.id is UNSET else pack.id
    if isinstance(values, list):
        series = _one(name, unit, times, values, durations, boot, seqs)
        return None if series is None else Columns(device, [series], len(series.values))
    found = None if name else _several(times, values, unit, durations, boot, seqs)
    return None if found is None else Columns(device, found, sum(len(series.values) for series in found))


def _members(pack: _Pack) -> int:
    """How many different members a pack has."""
    optional = (pack.id, pack.n, pack.u, pack.boot, pack.seq, pack.duration_s, pack.bt)
    inner = sum(len(member) for member in (pack.v, pack.u) if isinstance(member, dict))
    return 9 - optional.count(UNSET) + inner


def _may_be_a_medium(pack: _Pack) -> bool:
    """Whether a column may be the bytes of a picture or a sound, which is for `sensors.exposure` to say."""
    values = pack.v.values() if isinstance(pack.v, dict) else (pack.v,)
    columns = (pack.t, pack.n, pack.seq, pack.duration_s, *values)
    return any(isinstance(column, list) and listed_medium(column) for column in columns)


def _one(
    name: str,
    unit: str | dict[str, str],
    times: list[float],
    values: list[float | None],
    durations: float | list[float],
    boot: int,
    seqs: int | list[int],
    width: int = 1,
    column: int = 0,
) -> Series | None:
    """A column as a series, without its nulls; None when anything of it is wrong."""
    rows = len(times)
    if len(values) != rows or not _is_unit(name, unit):
        return None
    parts: Sequence[int] = range(column, rows * width, width) if isinstance(seqs, int) else [column] * rows
    if None in values:
        there = [row for row in range(rows) if values[row] is not None]
        times, values, parts = [times[row] for row in there], [values[row] for row in there], [parts[r] for r in there]
        durations = [durations[row] for row in there] if isinstance(durations, list) else durations
        seqs = [seqs[row] for row in there] if isinstance(seqs, list) else seqs
    known: list[float] = values  # type: ignore[assignment]  # the nulls are gone
    if known and not (min(known) > -_QUICK_LARGEST and max(known) < _QUICK_LARGEST and math.isfinite(sum(known))):
        return None
    return Series(name, times, known, durations, boot, seqs, parts)


def _plain(pack: Any) -> Any:
    """The pack, if it is made of what JSON is made of; CBOR has sets and decimals, which msgspec would convert."""
    for member in pack.values():
        for part in member.values() if isinstance(member, dict) else (member,):
            if not {*map(type, part if isinstance(part, list) else (part,))} <= _PLAIN:
                raise TypeError
    return pack


def _several(
    times: list[float],
    columns: dict[str, list[float | None]],
    units: str | dict[str, str],
    durations: float | list[float],
    boot: int,
    seqs: int | list[int],
) -> list[Series] | None:
    if not columns or len(columns) * len(times) > MAX_READINGS:
        return None
    if isinstance(units, str):
        if units:
            return None
        units = {}
    elif not units.keys() <= columns.keys():
        return None
    found: list[Series] = []
    for column, (name, values) in enumerate(columns.items()):
        unit = units.get(name, "")
        series = _one(name, unit, times, values, durations, boot, seqs, len(columns), column) if name else None
        if series is None:
            return None
        found.append(series)
    return found if len({quantity_named(series.quantity) for series in found}) == len(found) else None


def _is_unit(name: str, unit: str | dict[str, str]) -> bool:
    """Whether a column's name is a quantity of ours and its unit one that is written for it."""
    if not name:
        return not unit  # only the topic says what it measures, so only the slow reading can judge the unit
    quantity = quantity_named(name)
    if quantity is None or isinstance(unit, dict):
        return False
    return not unit or unit in quantity.senml_units


def series_records(
    series: Sequence[Series], sites: Sequence[int], codes: Sequence[int], received_ms: Sequence[int]
) -> Records:
    """Records of many series at once, in their order: the cost of numpy is paid once for a group, not once a pack.

    Parameters
    ----------
    series : sequence of Series
    sites, codes, received_ms : sequences as long
        Of each series: its site, the code of its quantity, and when it was received, ms since 1970, UTC.
    """
    counts = [len(one.values) for one in series]
    total = sum(counts)
    records = empty_records(total)
    times = np.fromiter(chain.from_iterable(one.times_s for one in series), float, total)
    received = np.repeat(np.asarray(received_ms, "i8"), counts)
    time_ms = np.rint(times * 1000).astype("i8")
    relative = times < _RELATIVE_BELOW
    if relative.any():
        time_ms[relative] += received[relative]
    records["time"] = time_ms.view("M8[ms]")
    records["received"] = received.view("M8[ms]")
    records["site"] = np.repeat(np.asarray(sites, "u4"), counts)
    records["quantity"] = np.repeat(np.asarray(codes, "u1"), counts)
    records["value"] = np.fromiter(chain.from_iterable(one.values for one in series), "f4", total)
    records["duration_s"] = _spread([one.durations_s for one in series], counts, "f4")
    records["boot"] = np.repeat(np.asarray([one.boot for one in series], "u4"), counts)
    records["seq"] = _spread([one.seqs for one in series], counts, "u4")
    records["part"] = np.fromiter(chain.from_iterable(one.parts for one in series), "u2", total)
    return records


def _spread(columns: Sequence[Any], counts: Sequence[int], kind: str) -> Any:
    """A value for each reading, from one number or one array for each series."""
    if not any(isinstance(column, list) for column in columns):
        return np.repeat(np.asarray(columns, kind), counts)
    arrays = (
        column if isinstance(column, list) else [column] * count for column, count in zip(columns, counts, strict=True)
    )
    return np.fromiter(chain.from_iterable(arrays), kind, sum(counts))


def encode_columns(
    series: Sequence[tuple[str, Sequence[float | None]]],
    times_ms: Sequence[int],
    duration_s: float,
    boot: int,
    seq: int,
    *,
    cbor: bool = False,
) -> bytes:
    """A pack of columns: one array of values for each quantity, all at the same times (ms since 1970, UTC)."""
    base = times_ms[0] // 1000
    pack: dict[str, Any] = {"boot": boot, "seq": seq, "duration_s": duration_s, "bt": base}
    pack["t"] = [(time - base * 1000) / 1000 for time in times_ms]
    if len(series) == 1:
        pack["n"], pack["v"] = series[0]
    else:
        pack["v"] = dict(series)
    return cbor2.dumps(pack) if cbor else msgspec.json.encode(pack)


def decode_columns(pack: dict[Any, Any], device: str, quantity: str, received_ms: int) -> list[Measurement | Rejection]:
    """Measurements and rejections of a pack, value by value; DecodeError when the pack as a whole cannot be read.

    Parameters
    ----------
    pack : dict
        The parsed payload.
    device : str
        The device that the topic names.
    quantity : str
        The quantity that the topic names; '' where it names none.
    received_ms : int
        When the message was received, ms since 1970, UTC; relative times refer to it.
    """
    strange = next((name for name in pack if isinstance(name, str) and name.endswith("_")), None)
    if strange is not None:
        raise DecodeError(f"member '{strange[:60]}' must be understood and is not")
    if pack.get("id", "") not in ("", device):
        raise DecodeError("the pack names another device than its topic")
    times = _numbers(pack.get("t"), "t")
    if not times:
        raise DecodeError("the pack has no times")
    base, boot, numbers = pack.get("bt", 0), pack.get("boot", 0), pack.get("seq", NO_SEQ)
    if not _is_number(base):
        raise DecodeError("'bt' must be a number")
    if not _is_whole(boot):
        raise DecodeError("'boot' must be a whole number below 2**32")
    name = pack.get("n", "")
    if isinstance(name, list):
        if "seq" in pack:
            raise DecodeError("the pack numbers its rows twice, in 'n' and in 'seq'")
        name, numbers = "", name
    if not isinstance(name, str):
        raise DecodeError("'n' must be the name of a quantity, or an array of sequence numbers")
    seqs = _numbers(numbers, "n or seq") if isinstance(numbers, list) else [numbers] * len(times)
    if not all(_is_whole(seq) for seq in seqs):
        raise DecodeError("sequence numbers must be whole numbers below 2**32")
    durations = pack.get("duration_s", 0.0)
    spans = _numbers(durations, "duration_s") if isinstance(durations, list) else [durations] * len(times)
    columns = _columns(pack.get("v"), name)
    _same_length(
        len(times), {"seq": seqs, "duration_s": spans, **{f"v {key}".strip(): columns[key] for key in columns}}
    )
    if len(times) * len(columns) > MAX_READINGS:
        raise DecodeError(f"the pack has {len(times) * len(columns)} readings; at most {MAX_READINGS} are read")
    units = pack.get("u", "")
    width, rows = len(columns), not isinstance(numbers, list)
    outcome: list[Measurement | Rejection] = []
    for column, (key, values) in enumerate(columns.items()):
        unit = units.get(key, "") if isinstance(units, dict) else units
        wrong = _wrong_column(key, quantity, unit)
        if wrong:
            outcome.append(Rejection(wrong))
            continue
        known = quantity_named(key or quantity)
        assert known is not None
        for row, value in enumerate(values):
            if value is None:
                continue
            part = (row * width if rows else 0) + column
            time_s = times[row] + base
            problem = _wrong_value(value, time_s, spans[row])
            if problem:
                outcome.append(Rejection(problem, part))
                continue
            time_ms = round(time_s * 1000) + (received_ms if time_s < _RELATIVE_BELOW else 0)
            outcome.append(
                Measurement(
                    device, known.name, time_ms, float(value), known.unit, float(spans[row]), boot, seqs[row], part
                )
            )
    return outcome or [Rejection("the pack holds no values")]


def is_columns(value: object) -> bool:
    """Whether a parsed payload has the shape of a pack of columns."""
    return isinstance(value, dict) and isinstance(value.get("t"), list) and isinstance(value.get("v"), list | dict)


def _columns(values: object, name: str) -> dict[str, list[Any]]:
    if isinstance(values, list):
        return {name: values}
    if not isinstance(values, dict) or not values:
        raise DecodeError("'v' must be an array of values, or an object with an array for each quantity")
    if name:
        raise DecodeError(f"the pack names '{name[:60]}' and has several columns")
    names = [quantity_named(key) if isinstance(key, str) else None for key in values]
    twice = [known.name for at, known in enumerate(names) if known is not None and known in names[:at]]
    if twice:
        raise DecodeError(f"the pack has two columns of {twice[0]}")
    if not all(isinstance(column, list) for column in values.values()):
        raise DecodeError("each column of 'v' must be an array")
    return {str(key): column for key, column in values.items()}


def _same_length(rows: int, columns: dict[str, list[Any]]) -> None:
    uneven = [f"{len(column)} in {name[:60]}" for name, column in columns.items() if len(column) != rows]
    if uneven:
        raise DecodeError(f"the pack has {rows} times and {', '.join(uneven[:5])}; columns are equally long")


def _numbers(values: object, name: str) -> list[Any]:
    if not isinstance(values, list) or not all(_is_number(value) for value in values):
        raise DecodeError(f"'{name}' must be an array of numbers")
    return values


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _TOP


def _wrong_column(name: str, quantity: str, unit: object) -> str | None:
    expected = ", ".join(f"'{known}'" for known in QUANTITIES)
    known = quantity_named(name or quantity)
    if known is None:
        return (
            f"column names {repr((name or quantity)[:60]) if name or quantity else 'no quantity'}; expected {expected}"
        )
    if name and quantity and quantity_named(quantity) is not known:
        return f"column names '{known.name}' under the topic of '{quantity}'"
    if unit and unit not in known.senml_units:
        return f"{known.name} came in '{str(unit)[:20]}'; expected '{known.senml_units[0]}'"
    return None


def _wrong_value(value: object, time_s: float, duration_s: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "value is no number"
    if not abs(value) < _LARGEST:
        return "value is not a finite number"
    if not _EARLIEST_S < time_s < _LATEST_S:
        return "time is outside what a calendar holds"
    if isinstance(duration_s, bool) or not isinstance(duration_s, int | float) or not 0 <= duration_s <= _LONGEST_S:
        return f"duration_s must be a number of seconds between 0 and {_LONGEST_S:.0f}"
    return None
