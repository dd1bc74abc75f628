"""A pretend city of honest, faulty devices that speaks real MQTT; it shares nothing with the service but the wire.

The public words of this room; each is loaded on first use (PEP 562), so that starting a command stays quick.
"""

from importlib import import_module
from typing import Any

_WORDS = {
    "NightTruth": "truth",
    "Town": "town",
    "simulate": "devices",
    "write_history": "history",
}

__all__ = sorted(_WORDS)  # one table of words instead of two that could part ways


def __getattr__(name: str) -> Any:
    if name not in _WORDS:
        raise AttributeError(f"module 'firmware_sim' has no attribute '{name}'")
    return getattr(import_module(f"firmware_sim.{_WORDS[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
