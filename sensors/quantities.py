"""The quantities that Noctule knows, each with one unit and a plausible range.

Illuminance in lux is not dimming (a setting between 0 and 1); the people who pass a line are not the people present in
an area and neither are the devices seen there. Levels are A-weighted and averaged as energy only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity: its code in a reading, its unit, and the range outside which a value cannot be true."""

    code: int
    name: str
    unit: str
    senml_units: tuple[str, ...]  # spellings accepted on the wire; the first is the one we write
    low: float
    high: float
    title: str


# Ranges: gross range test of sensing.md D (QARTOD), the widest that physics and the device allow.
_TABLE = (
    Quantity(1, "illuminance", "lx", ("lx",), 0.0, 150_000.0, "Illuminance on the site's plane"),
    Quantity(2, "dimming", "1", ("/", "1"), 0.0, 1.0, "Dimming level of the light output"),
    Quantity(3, "lamp_ok", "1", ("/", "1"), 0.0, 1.0, "Lamp working (1) or failed (0)"),
    Quantity(4, "power", "W", ("W",), -1.0, 5_000.0, "Electrical power"),
    Quantity(5, "sound_laeq", "dB", ("dB", "dBA", "dB(A)"), 20.0, 130.0, "A-weighted equivalent level"),
    Quantity(6, "sound_lamax", "dB", ("dB", "dBA", "dB(A)"), 20.0, 140.0, "A-weighted maximum level"),
    Quantity(7, "people_flow", "count", ("count",), 0.0, 40_000.0, "People who passed within the interval"),
    Quantity(8, "people_present", "count", ("count",), 0.0, 200_000.0, "People present in the area"),
    Quantity(9, "devices_seen", "count", ("count",), 0.0, 200_000.0, "Radio devices seen"),
    Quantity(10, "sound_lamin", "dB", ("dB", "dBA", "dB(A)"), 15.0, 130.0, "A-weighted minimum level"),
    Quantity(11, "sound_la10", "dB", ("dB", "dBA", "dB(A)"), 15.0, 135.0, "Level exceeded 10 % of the time"),
    Quantity(12, "sound_la50", "dB", ("dB", "dBA", "dB(A)"), 15.0, 130.0, "Level exceeded 50 % of the time"),
    Quantity(13, "sound_la90", "dB", ("dB", "dBA", "dB(A)"), 15.0, 130.0, "Level exceeded 90 % of the time"),
    Quantity(14, "people_in", "count", ("count",), 0.0, 40_000.0, "People who passed one way"),
    Quantity(15, "people_out", "count", ("count",), 0.0, 40_000.0, "People who passed the other way"),
    Quantity(16, "dimming_command", "1", ("/", "1"), 0.0, 1.0, "Dimming level that was ordered"),
    Quantity(17, "energy", "Wh", ("Wh",), 0.0, 1e9, "Electrical energy since the counter began"),
    Quantity(18, "supply_voltage", "V", ("V",), 0.0, 300.0, "Supply voltage"),
    Quantity(19, "sound_histogram", "s", ("s",), 0.0, 604_800.0, "Seconds at levels within one decibel"),
)

# A histogram of one-second levels is many values at once: one reading for each decibel at which the meter heard
# anything, whose `part` is the decibel (55: from 55 to below 56 dB) and whose value is how many seconds it lasted.
HISTOGRAM = "sound_histogram"
HISTOGRAM_FROM_DB, HISTOGRAM_BINS = 20, 100  # 20 to 120 dB; the first and the last bin hold what lies beyond

QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _TABLE}
_BY_CODE = {quantity.code: quantity for quantity in _TABLE}


def by_code(code: int) -> Quantity:
    """The quantity behind the code in a reading.

    >>> by_code(1).unit
    'lx'
    """
    return _BY_CODE[code]


def topic_name(name: str) -> str:
    """How a quantity is spelt in a topic, where only lower-case letters, digits and hyphens are used.

    >>> topic_name("people_flow")
    'people-flow'
    """
    return name.replace("_", "-")


def quantity_named(text: str) -> Quantity | None:
    """The quantity of one value that a topic or a record names, in either spelling, or None.

    A histogram is not of one value, so only `sensors.wire` and `sensors.histogram` read it.

    >>> quantity_named("sound-laeq").name
    'sound_laeq'
    """
    return None if is_histogram(text) else QUANTITIES.get(text.replace("-", "_"))


def is_histogram(text: str) -> bool:
    """Whether a topic or a record names the histogram of levels, in either spelling."""
    return text.replace("-", "_") == HISTOGRAM
