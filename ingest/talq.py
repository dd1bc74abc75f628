"""TALQ log reports from a file: what a lighting department's central management system can hand over without a broker.

Source: TALQ 2.7.1 (talq-data-model-2-7-1, BSD-3). A LogReport holds `entries` of AttributeLogData: srcAddress
(/devices/UUID/FUNCTION), timestamp, attributeName, attributeValue. A value is plain, or an Attribute ({type, value})
whose value may be a Command ({state}) or a LevelState ({level}).

| attribute | becomes | rule |
|---|---|---|
| actualLightState | `dimming` | per cent of the physical output / 100 |
| targetLightCommand | `dimming_command` | the same of the command |
| lampFailure | `lamp_ok` | true is 0, false is 1 |
| activePower, supplyVoltage | `power`, `supply_voltage` | W, V |
| activeEnergy | `energy` | in the unit that the caller states, Wh or kWh: systems differ |
| lightLevel | `illuminance` | lx |
| noise | `sound_laeq` | only where the caller states that the levels are A-weighted: TALQ names no weighting |

Everything else is counted by name and left out. Imported as history is: `received` = `time`, unnumbered, so that the
same file twice adds nothing.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ingest.history import History, Imported, keep_history
from sensors.city import City
from sensors.dialects.parsing import number, parse_json, shown
from sensors.dialects.times import instant
from sensors.draft import Say, quiet
from sensors.errors import DecodeError, RecipeError

# attributeName -> quantity, factor to our unit
_TAKEN = {
    "actualLightState": ("dimming", 0.01),
    "targetLightCommand": ("dimming_command", 0.01),
    "lampFailure": ("lamp_ok", 1.0),
    "activePower": ("power", 1.0),
    "supplyVoltage": ("supply_voltage", 1.0),
    "activeEnergy": ("energy", 1.0),
    "lightLevel": ("illuminance", 1.0),
    "noise": ("sound_laeq", 1.0),
}
ENERGY_UNITS = {"Wh": 1.0, "kWh": 1000.0}
_LARGEST = 256 * 2**20  # bytes of a report, unpacked: two million entries, which still fit in memory


def import_talq(
    city: City,
    file: Path,
    devices: Mapping[str, str],
    *,
    energy_unit: str = "",
    a_weighted: bool = False,
    say: Say = quiet,
) -> Imported:
    """Add the entries of a TALQ log report to the archive.

    Parameters
    ----------
    devices : mapping
        TALQ address = our device: UUID, or UUID/FUNCTION where the functions of a device are several of ours.
    energy_unit : str
        'Wh' or 'kWh'; without it activeEnergy is left out.
    a_weighted : bool
        That the levels of `noise` are A-weighted equivalent levels.
    """
    say(f"reading {file}")
    history = read_talq(file, devices, energy_unit=energy_unit, a_weighted=a_weighted)
    return keep_history(city, history, file.name, f"{file.name}, a TALQ log report", say=say)


def read_talq(file: Path, devices: Mapping[str, str], *, energy_unit: str = "", a_weighted: bool = False) -> History:
    """The rows of a TALQ log report, before anyone asks whose sites these are; RecipeError when it is none."""
    skipped: Counter[str] = Counter()
    rows = []
    for entry in _entries(_content(file), file.name):
        try:
            rows.append(_row(entry, devices, ENERGY_UNITS.get(energy_unit), a_weighted))
        except DecodeError as error:
            skipped[str(error)] += 1
    if not rows:
        said = "; ".join(f"{count:,} entries: {reason}" for reason, count in skipped.most_common(10))
        raise RecipeError(f"'{file.name}': no entry can be used: {said or 'it holds none'}")
    table = pd.DataFrame(rows, columns=["device", "quantity", "time", "duration_s", "value"])
    table["time"] = table["time"].astype("int64").astype("datetime64[ms]")
    twice = table.duplicated(["device", "quantity", "time", "duration_s"])
    if twice.any():
        skipped["the same time of the same device again"] += int(twice.sum())
    return History(table[~twice].reset_index(drop=True), skipped, [])


def read_devices(file: Path) -> dict[str, str]:
    """TALQ address = our device, from a CSV file with the columns address and device; RecipeError when it is none."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            if not {"address", "device"} <= set(table.fieldnames or ()):
                raise RecipeError(f"'{file.name}' must have the columns address and device")
            return {
                row["address"].strip().lower().removeprefix("/devices/"): row["device"].strip()
                for row in table
                if row["address"] and row["device"]
            }
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecipeError(f"'{file}' cannot be read as a table of devices: {error}") from error


def _content(file: Path) -> Any:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            payload = stream.read(_LARGEST + 1)
    except (OSError, EOFError) as error:
        raise RecipeError(f"'{file}' cannot be read: {error}") from error
    if len(payload) > _LARGEST:
        raise RecipeError(f"'{file.name}' has more than {_LARGEST >> 20} MiB; import it in parts")
    try:
        return parse_json(payload)
    except DecodeError as error:
        raise RecipeError(f"'{file.name}' is no TALQ log report: {error}") from error


def _entries(content: Any, name: str) -> Iterator[dict[str, Any]]:
    """The entries of a report, or of several in an array."""
    reports = content if isinstance(content, list) else [content]
    for report in reports:
        entries = report.get("entries") if isinstance(report, dict) else None
        if not isinstance(entries, list):
            raise RecipeError(f"'{name}' is no TALQ log report: it has no 'entries'")
        yield from (entry if isinstance(entry, dict) else {} for entry in entries)


Row = tuple[str, str, int, float, float]  # device, quantity, time ms, duration_s, value


def _row(entry: Mapping[str, Any], devices: Mapping[str, str], energy_factor: float | None, a_weighted: bool) -> Row:
    name, address = entry.get("attributeName"), entry.get("srcAddress")
    if not isinstance(name, str) or name not in _TAKEN:
        raise DecodeError(f"attribute {shown(name)} is not taken")
    if name == "noise" and not a_weighted:
        raise DecodeError("noise states no frequency weighting; import with --a-weighted if it is A")
    quantity, factor = _TAKEN[name]
    if name == "activeEnergy":
        if energy_factor is None:
            raise DecodeError("activeEnergy needs its unit; import with --energy-unit Wh or kWh")
        factor = energy_factor
    device = _device(address, devices)
    if not device:
        raise DecodeError(f"address {shown(address)} has no device of ours")
    value = _value(entry.get("attributeValue"))
    if name == "lampFailure":
        if value not in (True, False):
            raise DecodeError(f"lampFailure {shown(value)} is neither true nor false")
        return device, quantity, _time(entry), 0.0, 0.0 if value else 1.0
    measured = number(value)
    if measured is None:
        raise DecodeError(f"{name} {shown(value)} is not a number")
    return device, quantity, _time(entry), 0.0, measured * factor


def _device(address: object, devices: Mapping[str, str]) -> str:
    """Our device for a TALQ address: by as much of it as is known, the longest first."""
    if not isinstance(address, str):
        return ""
    parts = address.lower().removeprefix("/devices/").split("/")[:3]  # UUID, function, attribute
    names = ("/".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((devices[name] for name in names if name in devices), "")


def _value(given: object) -> object:
    """The value itself: Attribute -> Command -> LevelState -> level, or whichever of these stands there."""
    for _ in range(4):
        if not isinstance(given, dict):
            break
        given = given.get("value", given.get("level", given.get("state")))
    return given


def _time(entry: Mapping[str, Any]) -> int:
    """When it was measured: as the Attribute itself says, else as the entry does."""
    own = entry.get("attributeValue")
    said = own.get("timestamp") if isinstance(own, dict) else None
    return instant(entry.get("timestamp") if said is None else said)
