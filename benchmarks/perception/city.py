"""A city of a million cells with a response fitted to made-up answers, to lay one over the other."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analytics import covariates
from analytics.fitting import fit_response
from analytics.lie import open_view
from analytics.perception import fuse
from analytics.response import Places
from analytics.surroundings import Surroundings
from benchmarks.fields.town import CRS, STEP, town
from sensors.answer import ANSWER_COLUMNS, CODES
from sensors.city import City, CitySettings, GridSettings, PurposeSettings, write_settings

CELLS = 1000
_ANSWERS = 2000
_ASKED_M = 2000.0  # answers lie in the middle of the city


def refresh_seconds(repeats: int, cells: int = CELLS) -> dict[str, float]:
    """Core-seconds of laying the response over one step's fields: the population view, and all groups beside it."""
    around = town(cells, cells, meters=50, counters=50)
    with tempfile.TemporaryDirectory() as folder:
        city = _city(Path(folder), around)
        table, raw = _answers(around)
        perception = fit_response(table, raw, city, around, _closing(around), raw)
        fields = _fields(around)
        indoor = around.indoor

        def best(*more: Any) -> float:
            spent = []
            for _ in range(repeats + 1):
                begun = time.process_time()
                fuse(fields, perception, city, *more)
                spent.append(time.process_time() - begun)
            return min(spent[1:])

        return {"cells": float(cells * cells), "population": best(), "with_groups": best(indoor)}


def _city(path: Path, around: Surroundings) -> City:
    """A folder with settings and nothing else."""
    grid = around.grid
    height, width = (side * grid.cell_m for side in grid.shape)
    settings = CitySettings(
        format=1, id="bench", name="Bench", zone="Europe/Helsinki", crs=CRS, simulated=True,
        grid=GridSettings(west=grid.west, south=grid.south, east=grid.west + width, north=grid.south + height),
        purpose=PurposeSettings(uses=("measurement",), responsible="nobody", retention="none", review="2027-01-01"),
    )  # fmt: skip
    write_settings(path, settings)
    return City.open(path)


def _answers(around: Surroundings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers around the middle and what the fields said at each."""
    generator = np.random.default_rng(0)
    n = _ANSWERS
    middle = 0.5 * np.array(around.grid.shape) * around.grid.cell_m
    table = pd.DataFrame({name: [""] * n if dtype == "str" else np.zeros(n) for name, dtype in ANSWER_COLUMNS.items()})
    for column in ("gender", "age_band", "alone", "role"):
        table[column] = generator.choice(CODES[column][:2], n)
    table["age_band"] = generator.choice(CODES["age_band"][:4], n)
    number = np.arange(n).astype(str)
    night = np.datetime64("2026-10-01", "D") + generator.integers(0, 49, n)
    quarter = 72 + generator.integers(0, 40, n)
    table = table.assign(
        response_id=number, pseudonym=number, instrument="core-4", item="safe-here", k=4, weight=1.0, count=1.0,
        disability="no", familiarity="daily", light_state="dark", trigger="prompted", campaign="made",
        origin="simulated", category=generator.integers(1, 5, n),
        easting=middle[1] + generator.uniform(-0.5, 0.5, n) * _ASKED_M,
        northing=middle[0] + generator.uniform(-0.5, 0.5, n) * _ASKED_M,
        time=night.astype("datetime64[ms]") + quarter * np.timedelta64(900_000, "ms"),
    )  # fmt: skip
    footfall = generator.lognormal(5, 1.2, n)
    raw = pd.DataFrame({
        "illuminance": generator.lognormal(1.2, 1.1, n), "even": generator.uniform(0, 1, n), "footfall": footfall,
        "noise": 50 + 10 * covariates.people(footfall) + generator.normal(0, 6, n), "closing": 0.0,
        "view": generator.uniform(-0.5, 0.5, n),
    })  # fmt: skip
    return table, raw


def _closing(around: Surroundings) -> Places:
    """Two closing times and how near their venues are; no cameras, staff or patrols in view."""
    nearness = np.random.default_rng(7).uniform(0, 1, (2, *around.grid.shape)).astype(np.float32)
    nobody, never = np.zeros(0, np.int64), np.zeros((0, *around.grid.shape), np.float32)
    view = open_view(around.indoor, around.grid.cell_m)
    where = around.longitude, around.latitude, np.array([780.0, 840.0]), nearness
    return Places(*where, nobody, nobody, nobody, never, np.zeros_like(view), view)


def _fields(around: Surroundings) -> xr.Dataset:
    generator = np.random.default_rng(9)
    shape = around.grid.shape
    lux = generator.lognormal(1.2, 0.8, shape)
    values = {
        "illuminance": np.where(around.indoor, np.nan, lux), "illuminance_min": 0.3 * lux,
        "illuminance_sd": np.full(shape, 0.5), "noise": generator.normal(55, 4, shape), "noise_sd": np.full(shape, 3.0),
        "footfall": generator.lognormal(5, 1, shape), "footfall_sd": np.full(shape, 0.6),
    }  # fmt: skip
    data = around.grid.dataset().expand_dims(time=np.array([STEP]))
    for name, value in values.items():
        data[name] = (("time", "northing", "easting"), value[None].astype(np.float32))
    return data
