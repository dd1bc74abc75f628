"""A faster city for one command: sets the city's clock when no supervisor has, and gives it back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sensors.clock import city_clock, clear_clock, set_clock
from sensors.errors import CityError


@contextmanager
def paced(city_path: Path, speed: float | None) -> Iterator[None]:
    """Run the city `speed` times as fast from now on; None leaves its clock alone."""
    if speed is None:
        yield
        return
    clock = city_clock(city_path)
    if clock.simulated:
        raise CityError(f"{city_path}: its clock is already set by a demo or a replay; leave --speed out to follow it")
    set_clock(city_path, clock.now(), speed)
    try:
        yield
    finally:
        clear_clock(city_path)
