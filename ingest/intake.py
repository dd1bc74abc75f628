"""What becomes of one message: records of known sites, or reasons why it was refused.

A pure function of the message and the site register. Who a device is comes from the topic, what it is (a real device,
a recording, a simulation) from the register; a payload is believed in neither.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import numpy as np

from ingest.log import Message
from ingest.screening import AHEAD, LOST
from sensors.city import City
from sensors.dialects import decode
from sensors.quantities import QUANTITIES
from sensors.reading import RECORD, Records
from sensors.register import SiteRegister
from sensors.wire import MAX_PAYLOAD, Measurement

KEPT_OF_OVERSIZE = 4096  # bytes of a payload too large to read that are kept with its reason
_REASON_LENGTH = 500
_AHEAD_MS = int(AHEAD.astype("timedelta64[ms]").astype(np.int64))
_LOST_MS = int(LOST.astype("timedelta64[ms]").astype(np.int64))


Row = tuple[int | float, ...]  # one value for each field of RECORD, times as ms

_ROW = np.dtype([(name, "i8" if RECORD[name].kind == "M" else RECORD[name].str) for name in RECORD.names or ()])


class Taken(NamedTuple):
    """What a message held: rows for RECORD, and the reasons for what was refused of it."""

    rows: list[Row]
    reasons: list[str]


class Intake:
    """Reads messages with the site register of a city, which may be changed while it runs."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._path = city.path / "places" / "sites.parquet"
        self._stamp: tuple[int, int, int] | None = None
        self.refresh()

    def refresh(self) -> bool:
        """Read the register again if its file has changed; whether it had."""
        stamp = None
        with suppress(FileNotFoundError):  # loading it says so in a sentence
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        if stamp is not None and stamp == self._stamp:
            return False
        self.register = SiteRegister.load(self._city)
        table = self.register.table
        self._simulated = set(table.site[table.origin == "simulated"].astype(int))
        self._stamp = stamp
        return True

    def take(self, message: Message) -> Taken:
        """Rows and reasons of one message; at least one of either."""
        rows: list[Row] = []
        reasons: list[str] = []
        for outcome in decode(message.topic, message.payload, message.received_ms, self._city.settings.broker.root):
            if not isinstance(outcome, Measurement):
                part = "" if outcome.part is None else f"record {outcome.part}: "
                reasons.append(_short(part + outcome.reason))
                continue
            site = self._site(outcome, message.received_ms)
            if isinstance(site, str):
                reasons.append(_short(site))
                continue
            rows.append(
                (
                    outcome.time_ms,
                    message.received_ms,
                    site,
                    QUANTITIES[outcome.quantity].code,
                    outcome.value,
                    outcome.duration_s,
                    0,
                    outcome.boot,
                    outcome.seq,
                    outcome.part,
                )
            )
        return Taken(rows, reasons)

    def _site(self, measurement: Measurement, received_ms: int) -> int | str:
        """The site of a measurement, or why it has none."""
        device, quantity = measurement.device, measurement.quantity
        delay_ms = received_ms - measurement.time_ms
        # A clock that cannot be right says nothing about where the device stood: it stands where it stands now.
        moment = received_ms if delay_ms < -_AHEAD_MS or delay_ms > _LOST_MS else measurement.time_ms
        site = self.register.site(device, quantity, moment)
        if site is None:
            if not self.register.device_known(device):
                return f"device '{device}' is not in the site register; add it with 'noctule site add'"
            return f"device '{device}' has no site for {quantity} at this time; see 'noctule site'"
        if site in self._simulated and not self._city.simulated:
            return f"device '{device}' is registered as simulated, and {self._city.name} is not declared simulated"
        return site


def kept_payload(payload: bytes) -> bytes:
    """What is kept of a refused payload: all of it, or the beginning of one that is too large to be read."""
    return payload if len(payload) <= MAX_PAYLOAD else payload[:KEPT_OF_OVERSIZE]


def as_records(rows: list[Row]) -> Records:
    """Rows of `Taken` as a RECORD array."""
    records: Records = np.array(rows, _ROW).view(RECORD)
    return records


def _short(reason: str) -> str:
    return reason if len(reason) <= _REASON_LENGTH else reason[: _REASON_LENGTH - 1] + "…"
