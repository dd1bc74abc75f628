"""Footfall on the map against the simulated truth of Helsinki, on the demo's own Friday, far from counters too."""

from datetime import date, timedelta

import numpy as np
import pytest

from analytics.footfall import footfall_field
from analytics.knowledge import learn_from
from analytics.surroundings import surroundings
from firmware_sim.crowd import hours_of_evening
from firmware_sim.town import Town
from firmware_sim.truth import Instruments, NightTruth
from noctule import DEMO_NIGHT, DEMO_WEEKS
from sensors.build import build_city
from sensors.city import City
from sensors.night import Night
from sensors.osm import HELSINKI, draft_from_osm
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records, sort_by_key

pytestmark = pytest.mark.slow


def counts(truth: NightTruth, instruments: Instruments) -> Records:
    """What the counters say from 18:00 to 07:00, as `noctule simulate-history` writes it, without its gaps."""
    ends, told, _ = truth.counted()
    hours = hours_of_evening(ends, truth.night)
    window = (hours > 18.0) & (hours <= 31.0)
    sites = instruments.fleet.rows("people_flow")["site"].to_numpy()
    records = empty_records(len(sites) * int(window.sum()))
    records["site"] = np.repeat(sites, window.sum())
    records["time"] = records["received"] = np.tile(ends[window], len(sites)).astype("datetime64[ms]")
    records["quantity"], records["duration_s"] = QUANTITIES["people_flow"].code, 900.0
    records["value"] = told[:, window].ravel()
    return sort_by_key(records)


def test_the_interval_of_footfall_holds_the_simulated_truth_everywhere(tmp_path):
    build_city(tmp_path / "helsinki", draft_from_osm(HELSINKI))
    city = City.open(tmp_path / "helsinki")
    town = Town.of(city, 1)
    instruments = Instruments.of(town)
    friday = date.fromisoformat(DEMO_NIGHT)
    nights = [Night(friday - timedelta(days=back), city.zone) for back in range(7 * DEMO_WEEKS, -1, -1)]
    *past, tonight = [NightTruth.of(town, instruments, night) for night in nights]
    around = surroundings(city)
    knowledge = learn_from([counts(truth, instruments) for truth in past], around)
    records = counts(tonight, instruments)
    points, ends, fields = tonight.places_sample()
    row, column, _ = around.grid.cells(points[:, 0], points[:, 1])
    away, sd = np.empty((len(ends), len(points))), np.empty((len(ends), len(points)))
    for i, end in enumerate(ends.astype("datetime64[ms]")):
        heard = records[records["time"] <= end]
        field = footfall_field(around, knowledge.footfall, knowledge.coefficients, heard, end - np.timedelta64(15, "m"))
        away[i] = np.log(field.rate[row, column]) - np.log(fields["footfall"][:, i] + 1e-3)
        sd[i] = field.sd[row, column]
    held = np.abs(away) < 1.645 * sd
    busy = fields["footfall"].T >= 100.0
    assert 0.88 <= held.mean() <= 0.96
    assert held[busy].mean() >= 0.9
    assert np.exp(np.median(away)) < 1.6
    assert 0.75 < np.exp(np.median(away[busy])) < 1.25
