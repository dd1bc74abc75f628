"""What the controllers of made-up street lamps report through a night, whole until a test breaks one of them.

A controller reports everything it knows every so many minutes, each in its own phase and with jitter, and at once when
its level changes. Lamps burn by `plan` while the sun is below -2 degrees, each up to three minutes off. A fault is a
change of the arrays: `town.power[town.of(3) & (town.time > ms("..."))] = 0`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ingest.lamp_faults import LampFault, find
from sensors.night import sun_elevation
from sensors.quantities import QUANTITIES
from sensors.reading import RECORD, Records

HELSINKI = (24.94, 60.17)
EVERYTHING = ("dimming", "dimming_command", "power", "lamp_ok", "supply_voltage")
WATTS = 40.0
# A winter night: full, 70 % from 22:00 local, half from midnight, full from 05:00.
PLAN = (("2026-11-20T10:00", 1.0), ("2026-11-20T20:00", 0.7), ("2026-11-20T22:00", 0.5), ("2026-11-21T03:00", 1.0))
Bools = npt.NDArray[np.bool_]


def ms(text: str) -> int:
    """A moment (UTC) as ms since 1970."""
    return int(np.datetime64(text, "ms").astype(np.int64))


class LampTown:
    """Reports of `count` controllers: arrays (n_reports,) that a test may change.

    cabinets : controllers are dealt to them in blocks; each cabinet has `circuits` circuits
    every_min, jitter : minutes between reports, and the share of them by which each is early or late
    loss : share of reports that never come
    on_change : whether a change of level is reported at once
    quantities : what is sent
    """

    def __init__(
        self,
        count: int = 12,
        *,
        cabinets: int = 2,
        circuits: int = 1,
        begin: str = "2026-11-20T10:00",
        end: str = "2026-11-21T10:00",
        plan: Sequence[tuple[str, float]] = PLAN,
        every_min: float = 15.0,
        jitter: float = 0.03,
        loss: float = 0.0,
        on_change: bool = True,
        seed: int = 1,
        quantities: Sequence[str] = EVERYTHING,
        lonlat: tuple[float, float] = HELSINKI,
    ) -> None:
        self.lonlat, self.quantities = lonlat, tuple(quantities)
        self.begin, self.end = ms(begin), ms(end)
        generator = np.random.default_rng(seed)
        beat = every_min * 60_000
        late = generator.integers(-180_000, 180_001, count)
        switches = self._switches(plan)
        phases = generator.uniform(0, beat, count)
        parts = []
        for row in range(count):
            beats = np.arange(self.begin + phases[row], self.end, beat)
            beats = beats + generator.uniform(-jitter, jitter, len(beats)) * beat
            changes = switches + late[row] + 5000 if on_change else []
            parts.append(np.sort(np.concatenate([beats, changes]).astype(np.int64)))
        self.row = np.repeat(np.arange(count), [len(part) for part in parts])
        self.time = np.concatenate(parts)
        kept = (self.time > self.begin) & (self.time <= self.end) & (generator.random(len(self.time)) >= loss)
        self.row, self.time = self.row[kept], self.time[kept]
        self.command = self.level(plan, self.time - late[self.row])
        self.act = self.command.copy()
        self.power = WATTS * np.where(self.act > 0, 0.08 + 0.92 * self.act, 0.01)
        self.ok = np.ones(len(self.time))
        self.volts = 230.0 + generator.normal(0, 2, len(self.time))
        self.heard = np.ones(len(self.time), bool)
        self.watts = np.full(count, WATTS)
        self.cabinet = [f"cabinet-{row * cabinets // count}" for row in range(count)]
        self.circuit = [f"{name}-{row % circuits}" for row, name in enumerate(self.cabinet)]

    def _switches(self, plan: Sequence[tuple[str, float]]) -> npt.NDArray[np.int64]:
        minutes = np.arange(self.begin, self.end, 60_000)
        return minutes[1:][np.diff(self.level(plan, minutes)) != 0]

    def level(self, plan: Sequence[tuple[str, float]], time: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The level that is planned at some moments; 0 by day."""
        moments = np.array([ms(text) for text, _ in plan])
        planned = np.array([level for _, level in plan])[np.maximum(np.searchsorted(moments, time, "right") - 1, 0)]
        minutes = np.arange(self.begin - 3_600_000, self.end + 3_600_000, 60_000)
        sun = sun_elevation(minutes.astype("datetime64[ms]"), self.lonlat[1], self.lonlat[0])
        return np.where(np.interp(time, minutes, sun) < -2.0, planned, 0.0)

    def of(self, *rows: int, begin: str = "", end: str = "") -> Bools:
        """The reports of some controllers, from `begin` on and before `end`."""
        found = np.isin(self.row, rows)
        if begin:
            found &= self.time >= ms(begin)
        if end:
            found &= self.time < ms(end)
        return found

    @property
    def burning(self) -> Bools:
        """Reports of a time at which the lamp is to burn."""
        return self.command > 0

    def records(self, seed: int = 0) -> Records:
        """All that was heard, in no order."""
        values = dict(zip(EVERYTHING, (self.act, self.command, self.power, self.ok, self.volts), strict=True))
        parts = []
        for name in self.quantities:
            part = np.zeros(int(self.heard.sum()), RECORD)
            part["site"] = self.row[self.heard] * len(EVERYTHING) + EVERYTHING.index(name)
            part["quantity"] = QUANTITIES[name].code
            part["time"] = part["received"] = self.time[self.heard].astype("datetime64[ms]")
            part["value"] = values[name][self.heard]
            part["seq"] = np.arange(len(part))
            parts.append(part)
        records = np.concatenate(parts)
        return records[np.random.default_rng(seed).permutation(len(records))]

    def sites(self) -> pd.DataFrame:
        """The register's rows of the controllers."""
        rows = [
            (row * len(EVERYTHING) + EVERYTHING.index(name), f"node-{row:02d}", name, f"lamp-{row:02d}")
            for row in range(len(self.watts))
            for name in self.quantities
        ]
        return pd.DataFrame(rows, columns=["site", "device", "quantity", "lamps"])

    def lamps(self) -> pd.DataFrame:
        """The assets."""
        names = [f"lamp-{row:02d}" for row in range(len(self.watts))]
        return pd.DataFrame({"lamp": names, "cabinet": self.cabinet, "circuit": self.circuit, "watts": self.watts})

    def faults(self, until: str = "") -> list[LampFault]:
        """What is found, of all that was sent by `until`; the end if empty."""
        end = np.datetime64(ms(until) if until else self.end, "ms")
        return find(self.records(), self.sites(), self.lamps(), until=end, lonlat=self.lonlat)

    def found(self, until: str = "") -> list[tuple[str, str]]:
        """(kind, device) of each fault; the cabinet or circuit where it is an outage."""
        return [(fault.kind, fault.device or fault.circuit or fault.cabinet) for fault in self.faults(until)]
