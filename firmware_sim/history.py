"""Weeks of past records from the same truth that the live night comes from: counts, levels and answers, as CSV files.

counts.csv and noise.csv have the columns device, quantity, time, duration_s, value: a row is what a device said of the
15 minutes that end at `time` (RFC 3339, UTC), from 18:00 to 07:00 local, with the gaps that real records have. They
enter by `noctule history import`, answers.csv by `noctule survey import`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from firmware_sim.crowd import hours_of_evening
from firmware_sim.noise import mean_level
from firmware_sim.residents import residents_answers
from firmware_sim.streams import stream
from firmware_sim.town import Floats, Ints, Town
from firmware_sim.truth import STEP_15_MS, Fleet, Instruments, NightTruth
from sensors.city import City
from sensors.night import Night

FIRST_HOUR, LAST_HOUR = 18.0, 31.0  # local, 07:00 of the next day
_MISSING_SHARE = 0.005
_SILENT_NIGHT_SHARE = 0.03  # a device is away for some hours
COLUMNS = ("device", "quantity", "time", "duration_s", "value")


@dataclass(frozen=True)
class Written:
    """How many rows went into each file."""

    nights: int
    counts: int
    noise: int
    answers: int
    people: int


def write_history(city: City, out: Path, *, weeks: int, until: Night, seed: int, answers: int) -> Written:
    """Write counts.csv, noise.csv and answers.csv of the `weeks` before the night `until` into the folder `out`."""
    town = Town.of(city, seed)
    instruments = Instruments.of(town)
    nights = [Night(until.date - timedelta(days=back), city.zone) for back in range(7 * weeks, 0, -1)]
    counts, noise = _records(town, instruments, nights)
    said = residents_answers(town, nights, answers)
    out.mkdir(parents=True, exist_ok=True)
    for name, frame in (("counts", counts), ("noise", noise), ("answers", said)):
        if not len(frame):  # a city whose counters are recorded gets no counts from here
            (out / f"{name}.csv").unlink(missing_ok=True)
            continue
        beside = out / f"{name}.csv.new"
        frame.to_csv(beside, index=False, lineterminator="\n")
        beside.replace(out / f"{name}.csv")
    return Written(len(nights), len(counts), len(noise), len(said), said["pseudonym"].nunique())


def _records(town: Town, instruments: Instruments, nights: Sequence[Night]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What counters and meters said in the nights."""
    counts, noise = [], []
    for night in nights:
        truth = NightTruth.of(town, instruments, night)
        ends, counted, _ = truth.counted()
        levels = np.round(mean_level(truth.heard(), STEP_15_MS // 300_000), 1)
        hours = hours_of_evening(ends, night)
        window = (hours > FIRST_HOUR) & (hours <= LAST_HOUR)
        counts.append(_rows(town, instruments.fleet, "people_flow", night, ends[window], counted[:, window]))
        noise.append(_rows(town, instruments.fleet, "sound_laeq", night, ends[window], levels[:, window]))
    return pd.concat(counts, ignore_index=True), pd.concat(noise, ignore_index=True)


def _rows(
    town: Town,
    fleet: Fleet,
    quantity: str,
    night: Night,
    ends: Ints,
    values: Floats | npt.NDArray[np.int64],
) -> pd.DataFrame:
    """Rows of one kind of device in one night, without its gaps; by time, then device."""
    devices = fleet.rows(quantity)["device"].to_numpy(object)
    kept = ~_gaps(town, quantity, night, *values.shape)
    step, device = np.nonzero(kept.T)
    times = np.char.add(np.datetime_as_string(ends.astype("datetime64[ms]"), unit="s"), "Z").astype(object)
    columns = (devices[device], quantity, times[step], STEP_15_MS // 1000, values[device, step])
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _gaps(town: Town, quantity: str, night: Night, devices: int, steps: int) -> npt.NDArray[np.bool_]:
    """What is missing: single records, and stretches of some hours of a device, (devices, steps)."""
    generator = stream(town.seed, f"gaps {quantity}", night.date)
    missing = generator.random((devices, steps)) < _MISSING_SHARE
    first = generator.integers(0, steps, devices)
    last = first + generator.integers(4, steps, devices)
    away = generator.random(devices) < _SILENT_NIGHT_SHARE
    step = np.arange(steps)
    return np.asarray(missing | (away[:, None] & (step >= first[:, None]) & (step < last[:, None])))
