"""The lamps' model against light measured in the street: two night drives through Cambridge, Massachusetts.

Held out are whole squares of 250 m (19 of them, a fifth at a time, three ways of sharing them out): no reading of a
held-out square, and none of its neighbours' errors in the same street, tells what is expected there. The drives say
neither the sensor's height nor its plane: it is taken for horizontal, on a roof at 1.5 m. The inventory has no lumens.
What the other squares' readings fit is one mounting height, one overhang, a strength for each of three classes of
fixtures and the rest, and the light of what is no street lamp; nothing is clipped. Poles face the nearest place where
the drives passed, which is where their street is; of those places nothing but the position is used.

Found: median |log10 ratio| 0.220 (one intensity 0.249, a constant 0.318), with the other squares' readings 0.217. It
does not come to 0.17: both drives agree within 0.10 where they passed the same place, but what the model misses
resembles itself only some 20 m far, so readings in other squares say little of it: 0.20 with squares of 100 m, 0.19
with squares of 50 m.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import geopandas
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pyproj import Transformer
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from analytics import light
from analytics.covariance import Matern
from analytics.kriging import krige_at
from analytics.photometry import prepare_lamps
from tests.shared_data import shared_data
from tests.synthetic_light import bare_town

Floats = NDArray[np.float64]

CLASSES = ("A1", "A2", "A3", "")
HEIGHTS_M, OVERHANGS_M = (6.0, 7.0, 8.0), (0.0, 2.0, 4.0)
ROOF_M = 1.5
BLOCK_M, FOLDS, SHARINGS = 250.0, 5, 3
CORRELATION = Matern(1.5, 12.0, 1.0)  # half of what stands between two lamps
SPOT_SHARE = 0.25  # of the variance left: passages of the same place differ by so much


@dataclass
class Drives:
    """Readings in metres and ln lx, their poles, and the model's lux for 1 cd of each class by (height, overhang)."""

    east: Floats
    north: Floats
    ln_lux: Floats
    isotropic: Floats  # ln lux of all poles as points of 1 cd at 10 m
    units: dict[tuple[float, float], Floats]  # (classes, readings)

    def cells(self, side_m: float) -> NDArray[np.int64]:
        """Number of the square that each reading lies in."""
        square = np.floor(self.east / side_m) * 1e6 + np.floor(self.north / side_m)
        return np.unique(square, return_inverse=True)[1].ravel()


@dataclass
class Held:
    """Errors in ln lux of each reading while its square was held out, and half widths of 90 % intervals."""

    constant: Floats
    one: Floats
    lamps: Floats
    corrected: Floats
    lamps_half: Floats
    corrected_half: Floats


@pytest.fixture(scope="module")
def drives() -> Drives:
    folder = shared_data("cambridge-ma")
    poles, readings = (pd.read_csv(folder / f"{name}.csv.gz") for name in ("light_poles", "lux_drive_logs"))
    project = Transformer.from_crs(4326, "EPSG:26986", always_xy=True)
    pole = np.column_stack(project.transform(poles["lon"], poles["lat"]))
    reading = np.column_stack(project.transform(readings["lon"], readings["lat"]))
    kind = poles["FixtureTyp"].fillna("").str[:2].where(lambda word: word.isin(CLASSES), "").to_numpy(str)
    away, street = cKDTree(reading).query(pole)
    towards = reading[street] - pole
    units = {
        (height, overhang): np.array(
            [
                _light_of(pole[kind == one], towards[kind == one], away[kind == one], height, overhang, reading)
                for one in CLASSES
            ]
        )
        for height in HEIGHTS_M
        for overhang in OVERHANGS_M
    }
    pairs = cKDTree(reading).sparse_distance_matrix(cKDTree(pole), light.CUTOFF_M, output_type="coo_matrix")
    isotropic = np.bincount(pairs.row, 10.0 / (100.0 + pairs.data**2) ** 1.5, len(reading))
    return Drives(*reading.T.copy(), np.log(readings["lux"].to_numpy()), np.log(isotropic), units)


def _light_of(pole: Floats, towards: Floats, away: Floats, height_m: float, overhang_m: float, at: Floats) -> Floats:
    """Lux at the readings of lamps whose peak is 1 cd."""
    n = len(pole)
    lamps = geopandas.GeoDataFrame(
        {
            "lamp": np.arange(n).astype(str), "luminaire": "", "lumens": 3 * np.pi, "mf": 1.0, "height_m": height_m,
            "watts": np.nan, "source": "assumed", "azimuth_deg": np.degrees(np.arctan2(towards[:, 0], towards[:, 1])),
            "overhang_m": np.where(away < 25.0, np.minimum(overhang_m, away), 0.0),
        },
        geometry=geopandas.points_from_xy(*pole.T),
    )  # fmt: skip
    return light.illuminance_at(bare_town(prepare_lamps(lamps, 1.0)), *at.T, height_m=ROOF_M)


def fitted(drives: Drives, known: NDArray[np.bool_]) -> Floats:
    """Ln lux at every reading by the lamps' model as the known readings fit it; of these one a square of 5 m counts."""
    cell = drives.cells(5.0)[known]
    square = np.unique(cell, return_inverse=True)[1].ravel()
    said = pd.Series(drives.ln_lux[known]).groupby(square).median().to_numpy()
    usual = np.log([600.0] * len(CLASSES) + [0.5])
    best: tuple[float, Floats] | None = None
    for unit in drives.units.values():
        mean = np.array([np.bincount(square, one[known]) for one in unit]) / np.bincount(square)

        def errors(logs: Floats, mean: Floats = mean) -> Floats:
            return np.concatenate([np.log(np.exp(logs[:-1]) @ mean + np.exp(logs[-1])) - said, (logs - usual) / 3])

        logs = least_squares(errors, usual, loss="soft_l1", f_scale=0.3).x
        cost = float(np.abs(errors(logs)[: said.size]).mean())
        if best is None or cost < best[0]:
            best = cost, np.log(np.exp(logs[:-1]) @ unit + np.exp(logs[-1]))
    assert best is not None
    return best[1]


def hold_out(drives: Drives, seed: int, block_m: float = BLOCK_M) -> Held:
    """Every square held out once, a fifth of them at a time."""
    block = drives.cells(block_m)
    fold = (np.random.default_rng(seed).permutation(block.max() + 1) % FOLDS)[block]
    held = Held(*(np.zeros(drives.ln_lux.size) for _ in range(6)))
    small = drives.cells(5.0)
    for number in range(FOLDS):
        known, out = fold != number, fold == number
        ln_lux = drives.ln_lux
        held.constant[out] = ln_lux[out] - np.median(ln_lux[known])
        departure = ln_lux - drives.isotropic
        held.one[out] = departure[out] - np.median(departure[known])
        left = ln_lux - fitted(drives, known)
        table = pd.DataFrame({"east": drives.east, "north": drives.north, "left": left, "small": small})[known]
        cells = table.groupby("small").median()
        level = float(cells["left"].median())
        cells["left"] -= level
        sd = 1.4826 * float(cells["left"].abs().median())
        half = float(cells["left"].abs().quantile(0.9))
        held.lamps[out] = left[out] - level
        mean, variance = krige_at(
            cells["east"].to_numpy(), cells["north"].to_numpy(), cells["left"].clip(-2.5 * sd, 2.5 * sd).to_numpy(),
            SPOT_SHARE * sd**2, drives.east[out], drives.north[out],
            Matern(CORRELATION.nu, CORRELATION.range_m, (1 - SPOT_SHARE) * sd**2),
        )  # fmt: skip
        held.corrected[out] = held.lamps[out] - mean
        held.lamps_half[out] = half
        held.corrected_half[out] = half * np.sqrt(variance / sd**2 + SPOT_SHARE)
    return held


def median_log10(error: Floats) -> float:
    return float(np.median(np.abs(error)) / np.log(10))


@pytest.fixture(scope="module")
def held(drives: Drives) -> list[Held]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [hold_out(drives, seed) for seed in range(SHARINGS)]


def test_the_drives_are_the_ones_described(drives):
    assert drives.ln_lux.size == 17_610
    assert drives.cells(BLOCK_M).max() + 1 in range(15, 25)


def test_in_squares_held_out_the_lamps_model_beats_one_intensity_and_a_constant(held):
    for one in held:
        lamps = median_log10(one.lamps)
        assert lamps < 0.93 * median_log10(one.one)  # 0.22 against 0.25
        assert lamps < 0.75 * median_log10(one.constant)  # 0.31 and more


def test_what_other_squares_measured_makes_it_no_worse_and_near_them_better(held):
    background = np.mean([median_log10(one.lamps) for one in held])
    corrected = np.mean([median_log10(one.corrected) for one in held])
    assert corrected <= background
    assert corrected <= 0.225


@pytest.mark.parametrize(("block_m", "corrected"), [(100.0, 0.21), (50.0, 0.195)])
def test_in_smaller_squares_the_readings_around_say_more(drives, block_m, corrected):
    """Where drives pass within reach, all of the one intensity of 0.215 and more is beaten: 0.20 and 0.19."""
    one = hold_out(drives, 0, block_m)
    assert median_log10(one.corrected) < corrected
    assert median_log10(one.corrected) < median_log10(one.lamps) < median_log10(one.one)


def test_the_intervals_hold_what_was_measured_nine_times_in_ten(held):
    for one in held:
        assert 0.85 <= np.mean(np.abs(one.lamps) <= one.lamps_half) <= 0.95
        assert 0.85 <= np.mean(np.abs(one.corrected) <= one.corrected_half) <= 0.95
