"""The list of where to ask next, made beside the page and shown once it is there; seconds to minutes for a city."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from sensors.city import City
from sensors.errors import NoctuleError

PLACES = 10
_AGAIN_S = 60.0  # a new fit gives a new list; asked oftener, the same model's comes from memory

_log = logging.getLogger("noctule.dashboard")


@dataclass
class NextPlaces:
    """Holds the last list of a city."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    _asked: float = -1e9
    _thread: threading.Thread | None = None

    def get(self, city: City) -> list[dict[str, Any]]:
        """The newest list there is, and one being made where it may be old; none where there is no model."""
        busy = self._thread is not None and self._thread.is_alive()
        if not busy and time.monotonic() - self._asked > _AGAIN_S:
            self._asked = time.monotonic()
            self._thread = threading.Thread(target=self._make, args=(city,), name="ask-next", daemon=True)
            self._thread.start()
        return self.rows

    def _make(self, city: City) -> None:
        from analytics.ask_next import ask_next

        try:
            self.rows = ask_next(city, PLACES).drop(columns="geometry").to_dict("records")
        except NoctuleError:
            self.rows = []  # no model yet: the page says so
        except Exception:
            _log.exception("the list of where to ask next could not be made")
            self.rows = []
