"""Samples an ordered probit with given columns and normal priors by PyMC and nutpie; runs without our own packages.

PYTHON pymc_posterior.py DESIGN.npz OUT.json
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

CHAINS, DRAWS, TUNE, SEED = 4, 5000, 1000, 20261128


def sampled(given, safe, edges):
    """Moments of coefficients, cuts and asked rows, and how well they are known."""
    import arviz
    import nutpie
    import pymc as pm
    from scipy.special import ndtr

    columns, mean, sd = given["columns"], given["mean"], given["sd"]
    terms, waves = slice(0, int(given["terms"])), slice(int(given["terms"]), columns.shape[1])
    with pm.Model() as model:
        beta = pm.Normal("beta", mean[terms], sd[terms], shape=mean[terms].size)
        z = pm.Normal("z", 0.0, 1.0, shape=mean[waves].size)
        cuts = pm.Normal(
            "cuts", given["cut_mean"], given["cut_sd"], shape=given["cut_mean"].size,
            transform=pm.distributions.transforms.ordered, initval=np.sort(given["cut_mean"]),
        )  # fmt: skip
        eta = pm.math.dot(columns[:, terms], beta) + pm.math.dot(columns[:, waves] * sd[waves], z)
        pm.OrderedProbit("y", eta=eta, cutpoints=cuts, compute_p=False, observed=given["category"] - 1)
    begun = time.perf_counter()
    trace = nutpie.sample(
        nutpie.compile_pymc_model(model), draws=DRAWS, tune=TUNE, chains=CHAINS, seed=SEED, progress_bar=False
    )
    seconds = time.perf_counter() - begun
    flat = trace.posterior.stack(draw_of_all=("chain", "draw"))
    beta, z, cuts = (flat[name].to_numpy() for name in ("beta", "z", "cuts"))
    asked = given["asked"]
    latent = asked[:, terms] @ beta + (asked[:, waves] * sd[waves]) @ z - cuts[safe]
    drawn = np.vstack([beta, cuts, latent])
    per_chain = np.moveaxis(drawn.reshape(len(drawn), CHAINS, DRAWS), 0, -1)
    effective = arviz.ess(arviz.convert_to_dataset(per_chain))["x"].to_numpy()
    split = arviz.rhat(arviz.convert_to_dataset(per_chain))["x"].to_numpy()
    return {
        "mean": drawn.mean(axis=1),
        "sd": drawn.std(axis=1, ddof=1),
        "p_safe": ndtr(latent).mean(axis=1),
        "exceeds": np.stack([(latent > edge).mean(axis=1) for edge in edges], axis=1),
    }, {
        "least_effective_draws": int(effective.min()), "largest_rhat": round(float(split.max()), 4),
        "divergences": int(trace.sample_stats["diverging"].sum()), "seconds": round(seconds, 1),
        "pymc": pm.__version__, "nutpie": nutpie.__version__, "draws": CHAINS * DRAWS,
    }  # fmt: skip


def main() -> None:
    source, target = sys.argv[1:]
    given = np.load(source)
    moments, how = sampled(given, int(given["safe"]), given["edges"])
    with open(target, "w", encoding="utf-8") as out:
        json.dump({"how": how} | {name: np.round(value, 5).tolist() for name, value in moments.items()}, out)


if __name__ == "__main__":
    main()
