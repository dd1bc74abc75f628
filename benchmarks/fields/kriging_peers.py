"""One peer kriges once and says what it took; runs in the peers' own environment, on one thread.

PYTHON kriging_peers.py NAME PROBLEM.npz OUT.npz
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RANGE_M, VARIANCE, NOISE = 500.0, 1.0, 0.1


def matern(distance_m: Floats) -> Floats:
    r = np.sqrt(3.0) * distance_m / RANGE_M
    return np.asarray((1 + r) * np.exp(-r))


def gpboost(k: int) -> Any:
    def run(sensors: Floats, value: Floats, cells: Floats) -> tuple[Floats, Floats | None]:
        import gpboost

        model = gpboost.GPModel(
            gp_coords=sensors, cov_function="matern", cov_fct_shape=1.5, likelihood="gaussian", gp_approx="vecchia",
            num_neighbors=k, num_parallel_threads=1,
        )  # fmt: skip
        model.set_prediction_data(vecchia_pred_type="order_obs_first_cond_obs_only", num_neighbors_pred=k)
        said = model.predict(
            y=value, gp_coords_pred=cells, cov_pars=np.array([NOISE, VARIANCE, RANGE_M]), predict_var=True,
            predict_response=False,
        )  # fmt: skip
        return said["mu"], said["var"]

    return run


def numpy_local(k: int) -> Any:
    """The strong plain program: a k-d tree and LAPACK on stacks of small matrices."""

    def run(sensors: Floats, value: Floats, cells: Floats) -> tuple[Floats, Floats | None]:
        from scipy.spatial import cKDTree

        tree = cKDTree(sensors)
        mean, variance = np.empty(len(cells)), np.empty(len(cells))
        for first in range(0, len(cells), 8192):
            part = slice(first, first + 8192)
            distance, near = tree.query(cells[part], k)
            place = sensors[near]
            between = np.sqrt(((place[:, :, None] - place[:, None]) ** 2).sum(-1))
            c = VARIANCE * matern(distance)
            right = np.stack([c, value[near]], -1)
            solved = np.linalg.solve(VARIANCE * matern(between) + NOISE * np.eye(k), right)
            mean[part] = np.einsum("ij,ij->i", c, solved[:, :, 1])
            variance[part] = VARIANCE - np.einsum("ij,ij->i", c, solved[:, :, 0])
        return mean, variance

    return run


def verde_linear(sensors: Floats, value: Floats, cells: Floats) -> tuple[Floats, Floats | None]:
    import verde

    said = verde.Linear().fit((sensors[:, 0], sensors[:, 1]), value).predict((cells[:, 0], cells[:, 1]))
    return np.nan_to_num(said), None


PEERS = {
    "GPBoost k=16": gpboost(16),
    "GPBoost k=32": gpboost(32),
    "numpy k=16": numpy_local(16),
    "numpy k=32": numpy_local(32),
    "verde Linear": verde_linear,
}


def main() -> None:
    name, problem, out = sys.argv[1:]
    given = np.load(problem)
    centres = given["centres"]
    north, east = np.meshgrid(centres, centres, indexing="ij")
    cells = np.column_stack([east.ravel(), north.ravel()])
    sensors, value = given["sensors"], given["value"]
    PEERS[name](sensors[:200], value[:200], cells[:64])  # imports, and whatever it prepares once
    begun = time.process_time()
    mean, _ = PEERS[name](sensors, value, cells)
    spent = time.process_time() - begun
    np.savez(out, mean=np.asarray(mean)[given["pick"]])
    print(json.dumps({"core_s": spent}))


if __name__ == "__main__":
    main()
