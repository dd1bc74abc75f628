"""Shows released fields to three kinds of people.

The public words of this room; each is loaded on first use (PEP 562), so that starting a command stays quick.
"""

from importlib import import_module
from typing import Any

_WORDS = {
    "Basemap": "basemap",
    "LAYERS": "scales",
    "ROLES": "roles",
    "Runs": "runs",
    "SCALES": "scales",
    "build": "app",
    "lookup": "palette",
}

__all__ = sorted(_WORDS)  # one table of words instead of two that could part ways


def __getattr__(name: str) -> Any:
    if name not in _WORDS:
        raise AttributeError(f"module 'dashboard' has no attribute '{name}'")
    return getattr(import_module(f"dashboard.{_WORDS[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
