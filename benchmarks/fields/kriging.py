"""Measure kriging: truth and speed, against the exact process and against the named peers.

    python -m benchmarks kriging [-- --rounds N --million N --json]

A square of 10 km, Matern-3/2 of 500 m, variance 1, noise variance 0.1, 5,000 sensors; nothing is fitted. Core-seconds
on one thread; ours and a peer run in turn and their ratio is taken in each round (`--rounds`; on a million cells
`--million`, 0 leaves that out: GPBoost takes minutes). Error is the rms difference of the mean to the exact process, in
posterior sds, at 4,000 cells. Cover is of simulated truth by the 90 % interval. A seam is the rms step between cells
where the lattice passes from one tile to the next, over that elsewhere.

Roofline: multiply-adds of the algebra a second, of the peak that a loop of nothing else reaches; correlations a second,
of the rate at which long rows of them are written; cells a second, of the rate of filling such a raster.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["NUMBA_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy and numba are imported

import numba
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.spatial.distance import cdist

from analytics import kriging
from analytics.covariance import Matern
from analytics.kernels import tiles
from analytics.kernels.blocks import ROWS, eliminate, subtract_products
from analytics.kernels.buckets import neighbourhood
from analytics.kernels.jit import over_rows, use_threads
from analytics.kernels.matern import correlations
from analytics.live_kriging import LiveField
from benchmarks.verdict import arguments, at_least, at_most, middle, report

Floats = NDArray[np.float64]

SIDE_M, SENSORS, NOISE = 10_000.0, 5_000, 0.1
COVARIANCE = Matern(1.5, 500.0, 1.0)
PACKAGES = ["gpboost==1.8.0", "verde", "scipy", "numpy<2.5"]
SMALL, LARGE = 250, 1_000
# peer: least ratio, aim
RATIOS = {
    SMALL: {"GPBoost k=16": (100, 150), "GPBoost k=32": (220, 300), "numpy k=32": (190, 250)},
    LARGE: {"verde Linear": (50, 60), "numpy k=16": (350, 500), "GPBoost k=16": (2_000, 3_000)},
}


def centres_of(cells: int) -> Floats:
    return (np.arange(cells) + 0.5) * SIDE_M / cells


def layout(kind: str, n: int, generator: np.random.Generator) -> Floats:
    """Positions (n, 2): at random, in rows along streets, in heaps, half of them in one spot, or a mixture."""
    if kind == "streets":
        place = generator.uniform(0, SIDE_M, (n, 2))
        place[: n // 2, 0] = np.round(place[: n // 2, 0] / 400) * 400
        place[n // 2 :, 1] = np.round(place[n // 2 :, 1] / 400) * 400
        return np.clip(place + generator.normal(0, 2, place.shape), 0, SIDE_M)
    if kind == "heaps":
        middles = generator.uniform(0, SIDE_M, (40, 2))
        return np.clip(middles[generator.integers(0, 40, n)] + generator.normal(0, 120, (n, 2)), 0, SIDE_M)
    if kind == "one spot":
        return np.vstack([layout("random", n - n // 2, generator), generator.normal(SIDE_M / 2, 15, (n // 2, 2))])
    if kind == "mixture":
        parts = (n // 3, n // 3, n - 2 * (n // 3))
        return np.vstack([layout(k, m, generator) for k, m in zip(("random", "heaps", "streets"), parts, strict=True)])
    return generator.uniform(0, SIDE_M, (n, 2))


def simulated(seed: int, cells: int = LARGE) -> Floats:
    """An exact sample of the field at cell centres, by circulant embedding."""
    generator = np.random.default_rng(seed)
    lag = np.minimum(np.arange(2 * cells), 2 * cells - np.arange(2 * cells)) * SIDE_M / cells
    spectrum = np.maximum(np.fft.fft2(COVARIANCE(np.hypot(lag[:, None], lag[None, :]))).real, 0)
    white = generator.standard_normal(spectrum.shape) + 1j * generator.standard_normal(spectrum.shape)
    return np.asarray(np.fft.fft2(np.sqrt(spectrum) * white).real[:cells, :cells] / (2 * cells))


def observed(truth: Floats, kind: str, n: int, seed: int) -> tuple[Floats, Floats]:
    """Sensors in cell centres of the truth, and what they say."""
    generator = np.random.default_rng(seed)
    cell = np.minimum((layout(kind, n, generator) / SIDE_M * len(truth)).astype(np.int64), len(truth) - 1)
    value = truth[cell[:, 1], cell[:, 0]] + np.sqrt(NOISE) * generator.standard_normal(n)
    return (cell + 0.5) * SIDE_M / len(truth), value


def exact(sensors: Floats, value: Floats, noise: float, points: Floats, covariance: Matern) -> tuple[Floats, Floats]:
    lower = cholesky(covariance(cdist(sensors, sensors)) + noise * np.eye(len(sensors)), lower=True)
    v = solve_triangular(lower, covariance(cdist(sensors, points)), lower=True)
    mean = v.T @ solve_triangular(lower, value, lower=True)
    return mean, covariance.variance - np.einsum("ij,ij->j", v, v)


def kriged(sensors: Floats, value: Floats, cells: int, noise: float = NOISE, covariance: Matern = COVARIANCE) -> Any:
    centres = centres_of(cells)
    return kriging.krige_cells(sensors[:, 0], sensors[:, 1], value, noise, centres, centres, covariance)


def best(call: Callable[[], Any], repeats: int, clock: Callable[[], float] = time.process_time) -> float:
    call()
    spent = []
    for _ in range(repeats):
        begun = clock()
        call()
        spent.append(clock() - begun)
    return min(spent)


# --- truth


def cover(seeds: int) -> dict[str, list[float]]:
    """Share of a million cells whose truth lies within the 90 % interval, and the seam ratio, by layout."""
    shares: dict[str, list[float]] = {"random": [], "streets": [], "heaps": [], "mixture": []}
    seams = []
    for seed in range(seeds):
        truth = simulated(100 + seed)
        for kind, found in shares.items():
            mean, variance = kriged(*observed(truth, kind, SENSORS, seed), LARGE)
            found.append(float(np.mean(np.abs(mean - truth) < 1.6449 * np.sqrt(variance))))
            seams.append(seam(mean))
    return {**shares, "seam": seams}


def seam(mean: NDArray[np.float32]) -> float:
    """Rms step between neighbouring cells across edges of tiles, over that within tiles."""
    sensors = kriging.prepare([0.0], [0.0], [0.0], NOISE, COVARIANCE, (centres_of(LARGE), centres_of(LARGE)))
    assert sensors is not None
    lattice = kriging.lattice_of(sensors, centres_of(LARGE), centres_of(LARGE), COVARIANCE)
    assert lattice is not None
    node = (np.arange(LARGE - 1) + 1.0) / lattice.factor - 0.5 + 2.0  # middle of a step, in nodes
    across = np.floor(node).astype(np.int64) % tiles.TILE == tiles.TILE - 1
    whole = mean.astype(np.float64)
    steps = np.diff(whole, axis=1) ** 2, np.diff(whole, axis=0).T ** 2
    return float(
        np.sqrt(np.mean([s[:, across].mean() for s in steps]) / np.mean([s[:, ~across].mean() for s in steps]))
    )


def hard_layouts(n: int) -> list[dict[str, Any]]:
    """Error against the exact process for every layout, smoothness and noise, everywhere and beside sensors."""
    layouts = ("random", "streets", "heaps", "mixture", "one spot")
    noises = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
    return [
        {"layout": kind, "nu": nu, "noise": noise, **_hard(kind, n, nu, noise)}
        for kind, nu, noise in itertools.product(layouts, (0.5, 1.5, 2.5), noises)
    ]


def _hard(kind: str, n: int, nu: float, noise: float, cells: int = LARGE) -> dict[str, float]:
    generator = np.random.default_rng(0)
    sensors, covariance = layout(kind, n, generator), Matern(nu, 500.0, 1.0)
    beside = np.clip(sensors[generator.choice(n, 400)], 0, SIDE_M - 1)
    cell = (np.vstack([generator.uniform(0, SIDE_M, (400, 2)), beside]) / SIDE_M * cells).astype(np.int64)
    lower = cholesky(covariance(cdist(sensors, sensors)) + 1e-8 * np.eye(n), lower=True)
    value = lower @ generator.standard_normal(n) + np.sqrt(noise) * generator.standard_normal(n)
    mean, variance = exact(sensors, value, noise, (cell + 0.5) * SIDE_M / cells, covariance)
    ours, own_variance = (
        a[cell[:, 1], cell[:, 0]].astype(np.float64) for a in kriged(sensors, value, cells, noise, covariance)
    )
    squares, sd_off = (ours - mean) ** 2, np.sqrt(own_variance / variance) - 1
    anywhere, near = slice(0, 400), slice(400, None)
    return {
        "error_sd": float(np.sqrt(squares[anywhere].mean() / variance[anywhere].mean())),
        "beside_sd": float(np.sqrt(squares[near].mean() / variance[near].mean())),
        "sd_off": float(np.sqrt(np.mean(sd_off**2))),
    }


# --- peers


def peers_python(peers: Path) -> Path:
    """The interpreter of an environment with the peers, made if it is not there."""
    home = peers / "kriging"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (home / "complete").touch()
    return python


def against(peers: Path, cells: int, rounds: int) -> tuple[list[dict[str, Any]], float]:
    """Each peer in turn with ours on the same problem; and our own error."""
    truth = simulated(0)
    sensors, value = observed(truth, "random", SENSORS, 1)
    pick = np.random.default_rng(9).choice(cells * cells, 4000, replace=False)
    centres = centres_of(cells)
    mean, variance = exact(
        sensors, value, NOISE, np.column_stack([centres[pick % cells], centres[pick // cells]]), COVARIANCE
    )
    sd = float(np.sqrt(np.mean(variance)))

    def error(of: Floats) -> float:
        return float(np.sqrt(np.mean((of - mean) ** 2)) / sd)

    own = error(kriged(sensors, value, cells)[0].ravel()[pick].astype(np.float64))
    python, rows = peers_python(peers), []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        problem, out = Path(folder, "problem.npz"), Path(folder, "out.npz")
        np.savez(problem, sensors=sensors, value=value, centres=centres, pick=pick)
        for name in RATIOS[cells]:
            theirs, ours = [], []
            for _ in range(rounds):
                ours.append(best(lambda: kriged(sensors, value, cells), 15))
                command = [str(python), str(Path(__file__).with_name("kriging_peers.py")), name, str(problem), str(out)]
                said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                theirs.append(json.loads(said.stdout.splitlines()[-1])["core_s"])
            rows.append({
                "cells": cells * cells, "peer": name, "core_s": middle(theirs), "error_sd": error(np.load(out)["mean"]),
                "ours_core_ms": middle(ours) * 1e3, "ours_error_sd": own,
                "times": middle([t / o for t, o in zip(theirs, ours, strict=True)]),
            })  # fmt: skip
    return rows, own


# --- ours alone


def live(repeats: int) -> dict[str, float]:
    generator = np.random.default_rng(3)
    east, north = generator.uniform(0, SIDE_M, (2, 3_000))
    value, centres = generator.standard_normal(3_000), centres_of(LARGE)
    grid = xr.Dataset(coords={"northing": centres, "easting": centres})
    field = LiveField(east, north, value, NOISE, grid, COVARIANCE)
    drawn = [(generator.choice(3_000, 100, replace=False), generator.standard_normal(100)) for _ in range(repeats + 1)]

    def update() -> None:
        which, new = drawn.pop()
        value[which] = new
        field.update(which, new)

    hundred = best(update, repeats)
    mean, variance = kriging.krige(east, north, value, NOISE, grid, COVARIANCE)
    off = float(np.abs(field.mean - mean).max())
    untouched = float(np.abs(field.variance - variance).max())
    one = best(lambda: field.update([5], generator.standard_normal(1)), repeats)
    rated = best(lambda: field.move([5], noise_variance=generator.uniform(0.1, 0.2, 1)), 9)
    tiles_of_one = field.move([5], noise_variance=0.3)
    return {
        "hundred_ms": hundred * 1e3, "one_ms": one * 1e3, "rated_anew_ms": rated * 1e3, "its_tiles": tiles_of_one,
        "rebuild_ms": best(field.rebuild, 5) * 1e3, "off_full": off, "variance_off_full": untouched,
        "kept_mb": field._weights.nbytes / 1e6,
    }  # fmt: skip


def scaling(repeats: int) -> tuple[float, bool]:
    """Wall time on one thread over that on two, and whether the bits are the same."""
    sensors, value = observed(simulated(0), "random", SENSORS, 1)
    centres = centres_of(LARGE)
    prepared = kriging.prepare(sensors[:, 0], sensors[:, 1], value, NOISE, COVARIANCE, (centres, centres))
    assert prepared is not None
    lattice = kriging.lattice_of(prepared, centres, centres, COVARIANCE)
    assert lattice is not None
    arguments_ = kriging.nodes_arguments(prepared, lattice, COVARIANCE)
    nodes = np.empty((2, *lattice.nodes), np.float32)
    rows = -(-lattice.nodes[0] // tiles.TILE)

    def kernels() -> None:
        over_rows(tiles.krige_tiles, rows, *arguments_, prepared.value, prepared.noise, nodes[0], nodes[1])

    wall: dict[int, list[float]] = {1: [], 2: []}
    maps = {}
    for _ in range(3):
        for threads, found in wall.items():
            with use_threads(threads):
                found.append(best(kernels, repeats, time.perf_counter))
                maps[threads] = kriged(sensors, value, LARGE)
    same = all(np.array_equal(a, b) for a, b in zip(maps[1], maps[2], strict=True))
    return min(wall[1]) / min(wall[2]), same


_M, _NODES = 64, tiles.TILE * tiles.TILE


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]  # numba has no types
def _peak(left: Any, right: Any, target: Any, rounds: Any) -> None:
    for _ in range(rounds):
        subtract_products(left, right, target, 0, 0, 64, 0, 256)


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]  # as above
def _rows(scale: Any, x: Any, y: Any, out: Any, rounds: Any) -> None:
    for i in range(rounds):
        correlations(3, scale, x, y, x[i % x.size], y[i % x.size], 0, x.size, out)


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]  # as above
def _factor(n: Any, s: Any, x: Any, y: Any, noisy: Any, u: Any, pending: Any, w: Any, pivots: Any, rounds: Any) -> None:
    for _ in range(rounds):
        tiles.factor(n, 3, s, x, y, noisy, u, pending, w, pivots)


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]  # as above
def _solve(
    n: Any, s: Any, node_x: Any, node_y: Any, x: Any, y: Any, u: Any, w: Any, v: Any, pivots: Any, mean: Any,
    variance: Any, rounds: Any,
) -> None:  # fmt: skip
    for _ in range(rounds):
        tiles.solve(n, 64, 3, s, node_x, node_y, x, y, u, w, v, pivots, mean, variance)


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]  # as above
def _substitute(u: Any, v: Any, pivots: Any, rounds: Any) -> None:
    for _ in range(rounds):
        for i in range(0, 64, ROWS):
            eliminate(u, v, v, i, 0, 64, i, pivots)


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]  # as above
def _search(
    tile_m: Any, k: Any, reach: Any, start: Any, n_east: Any, n_north: Any, width: Any, east: Any, north: Any,
    near: Any, distance: Any, found: Any,
) -> Any:  # fmt: skip
    total = 0
    for r in range(31):
        for c in range(31):
            total += neighbourhood(
                (c + 0.5) * tile_m, (r + 0.5) * tile_m, 0.5 * tile_m, k, reach, start, n_east, n_north, width, east,
                north, near, distance, found,
            )  # fmt: skip
    return total


def roofline(repeats: int) -> dict[str, float]:
    """Microseconds a tile of 64 sensors and 64 nodes, step by step, and shares of what the processor can do."""
    f, generator = np.float32, np.random.default_rng(0)
    x, y = generator.uniform(-560, 560, (2, _M)).astype(f)
    node_x, node_y = ((a.ravel() * 40.0).astype(f) for a in np.meshgrid(np.arange(8) - 3.5, np.arange(8) - 3.5))
    noisy, pending, w = np.full(_M, NOISE, f), generator.standard_normal(_M).astype(f), np.empty(_M, f)
    u, v, pivots = np.zeros((_M, _M), f), np.zeros((_M, _NODES), f), np.zeros((ROWS, ROWS), f)
    mean, variance, s = np.empty(_NODES, f), np.empty(_NODES, f), f(COVARIANCE.scale)
    rounds = 2_000

    def us(call: Callable[[], Any], each: int = rounds) -> float:
        return best(call, repeats) / each * 1e6

    left, right = np.full((256, 64), 1e-9, f), np.ones((256, 64), f)
    peak = 4 * 64 * 256 / us(lambda: _peak(left, right, np.zeros((4, 64), f), rounds))
    long_x, long_y, long_out = *generator.uniform(0, 1000, (2, 4096)).astype(f), np.empty(4096, f)
    rate = 4096 / us(lambda: _rows(s, long_x, long_y, long_out, rounds))
    factored = us(lambda: _factor(_M, s, x, y, noisy, u, pending.copy(), w, pivots, rounds))
    solved = us(lambda: _solve(_M, s, node_x, node_y, x, y, u, w, v, pivots, mean, variance, rounds))
    substituted = us(lambda: _substitute(u, v, pivots * 0 + f(0.1), rounds))
    filled = us(lambda: _rows(s, node_x, node_y, v[0], rounds * 64))
    sensors = generator.uniform(0, SIDE_M, (2, SENSORS))
    prepared = kriging.prepare(
        sensors[0], sensors[1], sensors[0], NOISE, COVARIANCE, (centres_of(LARGE), centres_of(LARGE))
    )
    assert prepared is not None
    b, reach = prepared.buckets, COVARIANCE.distance_at(5e-4)
    near, distance, found = np.empty(SENSORS, np.int64), np.empty(SENSORS + 16, f), np.empty(_M + 1, np.int64)
    searched = us(
        lambda: _search(
            320.0, _M, reach, b.start, b.n_east, b.n_north, b.width, b.east, b.north, near, distance, found
        ),
        31 * 31,
    )
    nodes, fine = generator.standard_normal((254, 254)).astype(f), np.empty((LARGE, LARGE), f)
    table, shift = tiles.upsample_weights(4)
    up = best(lambda: tiles.upsample(0, LARGE, nodes, 4, table, shift, f(-9), f(9), fine), repeats)
    fill = best(lambda: fine.fill(1.0), repeats)
    algebra = _M**2 / 2 * _NODES + _M**3 / 6  # multiply-adds
    evaluations = _M * _NODES + _M**2 / 2
    return {
        "search_us": searched, "factor_us": factored, "solve_us": solved, "upsample_ms": up * 1e3,
        "peak_gflops": 2e-3 * peak, "correlations_g_per_s": rate * 1e-3,
        "tile_share_of_peak": algebra / (factored + solved) / peak,
        "substitution_share_of_peak": _M**2 / 2 * _NODES / substituted / peak,
        "factor_share_of_peak": _M**3 / 6 / factored / peak,
        "tile_share_of_limits": (algebra / peak + evaluations / rate) / (factored + solved),
        "correlation_rows_share": 64 * 64 / filled / rate, "upsample_share_of_fill": fill / up,
    }  # fmt: skip


def main() -> int:
    asked = arguments(__doc__, rounds=3, million=1, seeds=20, repeats=15, hard=2000)
    gates = []
    result: dict[str, Any] = {}
    sensors, value = observed(simulated(0), "random", SENSORS, 1)
    for cells in (SMALL, LARGE):
        result[f"ours, {cells} x {cells}"] = {
            "core_ms": best(functools.partial(kriged, sensors, value, cells), asked.repeats) * 1e3
        }
    result["live"] = live(asked.repeats * 4)
    result["roofline"] = roofline(asked.repeats)
    times, same = scaling(asked.repeats)
    result["two threads"] = {"times": times, "same_bits": same}
    result["cover"] = found = cover(asked.seeds)
    result["layouts"] = rows = hard_layouts(asked.hard) if asked.hard else []
    result["peers"] = []
    for cells, rounds in ((SMALL, asked.rounds), (LARGE, asked.million)):
        if not rounds:
            continue
        compared, own = against(asked.peers, cells, rounds)
        result["peers"] += compared
        if cells == LARGE:
            gates.append(at_most("error of a million cells, posterior sd", own, 0.035))
        for row in compared:
            least, aim = RATIOS[cells][row["peer"]]
            gates.append(at_least(f"times {row['peer']} on {cells} x {cells} (aim {aim})", row["times"], least))
            smaller = row["error_sd"] / own
            gates.append(at_least(f"its error over ours on {cells} x {cells}", smaller, 1.0))
    for kind in ("random", "streets", "heaps", "mixture"):
        gates.append(at_least(f"least cover of {asked.seeds} seeds, {kind}", min(found[kind]), 0.87))
        gates.append(at_most(f"largest cover of {asked.seeds} seeds, {kind}", max(found[kind]), 0.93))
    gates.append(at_most("largest seam ratio", max(found["seam"]), 1.05))
    for kind in ("random", "streets", "heaps", "mixture"):
        of_kind = [row for row in rows if row["layout"] == kind]
        if of_kind:
            gates.append(
                at_most(f"largest error, {kind}, posterior sd", max(row["error_sd"] for row in of_kind), 0.035)
            )
            beside = max(row["beside_sd"] for row in of_kind)
            gates.append(at_most(f"largest error beside sensors, {kind}, posterior sd", beside, 0.035))
    gates += [
        at_least("times faster on two threads (aim 1.95)", times, 1.85),
        at_least("same bits on one and two threads", float(same), 1.0),
        at_most("100 of 3,000 sensors change a million cells, ms (aim 0.7)", result["live"]["hundred_ms"], 2.0),
        at_most("live against a full computation", result["live"]["off_full"], 1e-4),
    ]
    result["cover"] = {k: f"{min(v):.3f} to {max(v):.3f}, mean {np.mean(v):.3f}" for k, v in found.items()}
    return report({**result, "gates": gates}, asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
