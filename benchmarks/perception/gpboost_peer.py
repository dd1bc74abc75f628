"""GPBoost finds a field, the coefficients with it or all, and says what it took; runs in the peers' own environment.

PYTHON gpboost_peer.py PEER TASK PROBLEM.npz
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

KINDS: dict[str, dict[str, Any]] = {
    "FITC 300": {"gp_approx": "fitc", "num_ind_points": 300},
    "Vecchia 20": {"gp_approx": "vecchia", "num_neighbors": 20, "matrix_inversion_method": "cholesky"},
    "Vecchia 20 iterative": {"gp_approx": "vecchia", "num_neighbors": 20, "matrix_inversion_method": "iterative"},
}


def model(peer: str, place: Any) -> Any:
    import gpboost

    return gpboost.GPModel(
        gp_coords=place, cov_function="matern", cov_fct_shape=2.5, likelihood="bernoulli_probit",
        num_parallel_threads=1, **KINDS[peer],
    )  # fmt: skip


def main() -> None:
    peer, task, problem = sys.argv[1:]
    given = np.load(problem)
    columns = np.column_stack([np.ones(len(given["features"])), given["features"]])
    safe, covariance = given["safe"], given["covariance"]
    found = model(peer, given["place"][:1000])  # imports, and whatever it prepares once
    found.neg_log_likelihood(cov_pars=covariance, y=safe[:1000], fixed_effects=columns[:1000] @ given["beta"])
    found = model(peer, given["place"])
    begun = time.process_time()
    if task == "field":
        found.neg_log_likelihood(cov_pars=covariance, y=safe, fixed_effects=columns @ given["beta"])
    elif task == "mode":
        found.fit(y=safe, X=columns, params={"init_cov_pars": covariance, "estimate_cov_par_index": [0, 0]})
    else:
        found.fit(y=safe, X=columns)
    spent = time.process_time() - begun
    score = None
    if task != "field" and peer != "Vecchia 20 iterative":  # whose predictions take minutes
        asked = np.column_stack([np.ones(len(given["asked_features"])), given["asked_features"]])
        p = found.predict(gp_coords_pred=given["asked_place"], X_pred=asked, predict_response=True)["mu"]
        score = float(np.mean(np.log(np.where(given["asked_safe"] > 0, p, 1 - p))))
    print(json.dumps({"core_s": spent, "log_score": score}))


if __name__ == "__main__":
    main()
