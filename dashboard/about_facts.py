"""What About tells of a city's answers and model: read from its files when one of them has changed, and then kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sensors.city import City


class AboutFacts:
    """Keeps what takes seconds to read; a second visitor waits for the first instead of reading as well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[tuple[int, ...], Any]] = {}

    def who(self, city: City) -> Any:
        """Who answered (`analytics.who_answered`)."""
        from analytics.who_answered import who_answered

        return self._get("who", city, lambda: who_answered(city))

    def card(self, city: City, language: str) -> str:
        """The model card as Markdown, around what the city wrote into its own."""
        from analytics.papers import paper_now

        card: str = self._get(f"card-{language}", city, lambda: paper_now(city, "model-card", language))
        return card

    def _get(self, name: str, city: City, make: Callable[[], Any]) -> Any:
        with self._lock:
            stamp = _stamp(city)
            kept = self._kept.get(name)
            if kept is None or kept[0] != stamp:
                kept = self._kept[name] = (stamp, make())
            return kept[1]


def _stamp(city: City) -> tuple[int, ...]:
    """Changes with each fit, judgement, import of answers, edited paper and setting."""
    files: list[Path] = [city.path / "city.toml", city.shelf("model", "current.json"), city.path / "places"]
    for folder in (city.shelf("answers"), city.path / "papers", city.shelf("model")):
        if folder.is_dir():
            files += [folder, *folder.glob("*.parquet"), *folder.glob("*.md"), *folder.glob("*/*.json")]
    return tuple(_moment(file) for file in sorted(files))


def _moment(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
