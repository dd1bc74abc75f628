"""Why reports are kept apart from what people were asked: pooled they would place their own cut and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analytics.fitting import closing_places, fit_response
from analytics.surroundings import surroundings
from sensors.answer import ANSWER_COLUMNS, CODES, empty_answers
from tests.synthetic_city import SIDE, SOUTH, WEST, make_city

UNSAID = [f"{name}_undisclosed" for name in ("gender", "age", "disability", "alone", "role", "familiarity")]


def answered(n, seed, **said):
    """Made-up answers to the reference instrument that go with light and gender, and what the fields said of them."""
    generator = np.random.default_rng(seed)
    table = empty_answers().reindex(range(n))
    for name, dtype in ANSWER_COLUMNS.items():
        table[name] = "" if dtype == "str" else 1
    for name in ("gender", "age_band", "alone"):
        table[name] = generator.choice(CODES[name][:-1], n)
    table["disability"], table["role"], table["familiarity"] = "no", "resident", "daily"
    table["instrument"], table["k"], table["light_state"], table["trigger"] = "core-4", 4, "dark", "prompted"
    table["easting"], table["northing"] = WEST + generator.uniform(0, SIDE, n), SOUTH + generator.uniform(0, SIDE, n)
    nights = np.datetime64("2026-10-01T18:00", "ms") + generator.integers(0, 49, n) * np.timedelta64(24, "h")
    table["time"] = nights + generator.integers(0, 40, n) * np.timedelta64(15, "m")
    table["response_id"] = table["pseudonym"] = [f"{seed} {i}" for i in range(n)]
    table["weight"] = table["count"] = 1.0
    raw = pd.DataFrame(
        {
            "illuminance": generator.lognormal(1.2, 1.1, n),
            "even": generator.uniform(0, 1, n),
            "noise": generator.normal(55, 6, n),
            "footfall": generator.lognormal(5, 1.2, n),
            "closing": 0.0,
        }
    )
    latent = 0.5 * np.log(raw["illuminance"]) - 0.9 * (table["gender"] == "woman") + generator.normal(size=n)
    table["category"] = 1 + np.searchsorted([-1.2, -0.3, 0.9], latent)
    return table.assign(**said), raw


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_pooled_reports_would_place_their_own_cut_and_nothing_else(tmp_path, seed):
    """Six months of reports of one cell at their limit beside 300 answers: what was learnt of places stays."""
    city = make_city(tmp_path / "town")
    around = surroundings(city)
    places = closing_places(city, around)
    table, raw = answered(300, seed)
    unsaid = {name: "undisclosed" for name in CODES if "undisclosed" in CODES[name]}
    told = {"instrument": "report-2", "k": 2, "category": 1, "trigger": "spontaneous", "pseudonym": "cell"}
    reports, dark = answered(18, seed + 50, easting=WEST + 80, northing=SOUTH + 80, **told, **unsaid)
    dark["illuminance"] = 0.3
    before = fit_response(table, raw, city, around, places, raw)
    both, all_raw = pd.concat([table, reports], ignore_index=True), pd.concat([raw, dark], ignore_index=True)
    after = fit_response(both, all_raw, city, around, places, raw)
    sd = np.sqrt(np.diag(before.covariance))
    moved = dict(zip(before.names, np.abs(after.mean[: sd.size] - before.mean) / sd, strict=True))
    assert max(moved[name] for name in moved if name not in (*UNSAID, "spontaneous")) < 0.5
    assert after.names[-1] == "report-2 cut_1" and after.mean[-1] > 1.5  # its prior mean is 0, its sd 1.5
