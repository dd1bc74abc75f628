"""Keeps every reading once, durably, and says which to trust.

The public words of this room; each is loaded on first use (PEP 562), so that starting a command stays quick.
"""

from importlib import import_module
from typing import Any

_WORDS = {
    "Cursor": "archive",
    "Follower": "archive",
    "Publisher": "mqtt",
    "Screen": "screening",
    "Subscriber": "mqtt",
    "answers": "archive",
    "append_records": "archive",
    "follow": "archive",
    "night_records": "archive",
    "nights": "archive",
    "read_health": "health",
    "shelf_lock": "lock",
    "site_health": "health",
    "start_embedded": "broker",
    "stored_until": "archive",
}

__all__ = sorted(_WORDS)  # one table of words instead of two that could part ways


def __getattr__(name: str) -> Any:
    if name not in _WORDS:
        raise AttributeError(f"module 'ingest' has no attribute '{name}'")
    return getattr(import_module(f"ingest.{_WORDS[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
