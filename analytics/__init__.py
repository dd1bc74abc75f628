"""Turns a night of readings and answers into fields.

The public words of this room; each is loaded on first use (PEP 562), so that starting a command stays quick. What bears
its module's name (`release.release`, `plan.plan`, `export.export`, `replay.replay`) is imported from there.
"""

from importlib import import_module
from typing import Any

_WORDS = {
    "Desk": "closing",
    "Grid": "grid",
    "Knowledge": "knowledge",
    "Mapper": "mapping",
    "Matern": "covariance",
    "Model": "model",
    "Perception": "response",
    "Scenario": "scenario",
    "Support": "release",
    "Surroundings": "surroundings",
    "fields_at": "fields",
    "fit": "model",
    "fit_ordered_probit": "ordinal",
    "fuse": "perception",
    "illuminance_at": "light",
    "illuminance_raster": "light",
    "krige": "kriging",
    "learn": "knowledge",
    "load_model": "model",
    "open_night": "atlas",
    "open_now": "atlas",
    "open_step": "atlas",
    "page_digest": "atlas",
    "publish": "publishing",
    "read_scenario": "scenario",
    "round_mantissa": "release",
    "safety_change": "perception",
}

__all__ = sorted(_WORDS)  # one table of words instead of two that could part ways


def __getattr__(name: str) -> Any:
    if name not in _WORDS:
        raise AttributeError(f"module 'analytics' has no attribute '{name}'")
    return getattr(import_module(f"analytics.{_WORDS[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
