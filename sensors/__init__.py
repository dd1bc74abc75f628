"""What a reading is, where it comes from, and how each dialect says it.

The public words of this room; each is loaded on first use (PEP 562), so that starting a command stays quick.
"""

from importlib import import_module
from typing import Any

_WORDS = {
    "ANSWER_COLUMNS": "answer",
    "City": "city",
    "Clock": "clock",
    "Flag": "flags",
    "Luminaire": "luminaire",
    "Measurement": "wire",
    "Night": "night",
    "NoctuleError": "errors",
    "PLACES": "places",
    "QUANTITIES": "quantities",
    "READING": "reading",
    "RECORD": "reading",
    "Rejection": "wire",
    "SiteRegister": "register",
    "check_city": "places",
    "city_clock": "clock",
    "decode": "dialects",
    "night_of": "night",
    "read_journal": "journal",
    "read_luminaire": "luminaire_files",
    "sun_times": "night",
}

__all__ = sorted(_WORDS)  # one table of words instead of two that could part ways


def __getattr__(name: str) -> Any:
    if name not in _WORDS:
        raise AttributeError(f"module 'sensors' has no attribute '{name}'")
    return getattr(import_module(f"sensors.{_WORDS[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
