"""How safe people feel on the map against the simulated truth of Helsinki, whole chain, on the demo's own Friday."""

import numpy as np
import pytest

from analytics.fields import fields_at
from analytics.model import fit
from analytics.perception import fuse
from analytics.surroundings import surroundings
from firmware_sim.history import write_history
from firmware_sim.town import Town
from firmware_sim.truth import Instruments, NightTruth
from ingest.archive import night_records
from ingest.history import import_history
from ingest.surveys import import_answers
from noctule import DEMO_ANSWERS, DEMO_NIGHT, DEMO_WEEKS
from sensors.build import build_city
from sensors.city import City
from sensors.night import Night
from sensors.osm import HELSINKI, draft_from_osm

pytestmark = pytest.mark.slow

SEED = 20  # the demo's own


def test_the_map_is_near_the_truth_and_its_interval_holds_it(tmp_path):
    build_city(tmp_path / "helsinki", draft_from_osm(HELSINKI))
    city = City.open(tmp_path / "helsinki")
    night, out = Night.named(DEMO_NIGHT, city.zone), tmp_path / "past"
    write_history(city, out, weeks=DEMO_WEEKS, until=night, seed=SEED, answers=DEMO_ANSWERS)
    for name in ("counts", "noise"):
        import_history(city, out / f"{name}.csv", "readings")
    import_answers(city, out / "answers.csv", campaign="residents", simulated=True)
    model = fit(city, night)
    around = surroundings(city)
    town = Town.of(city, SEED)
    points, ends, true = NightTruth.of(town, Instruments.of(town), night).places_sample()
    row, column, _ = around.grid.cells(points[:, 0], points[:, 1])
    records = night_records(city, night.date)
    away, sd, lit = [], [], []
    for i in range(0, len(ends), 8):
        step = ends.astype("datetime64[ms]")[i] - np.timedelta64(15, "m")
        page = fuse(fields_at(around, model.knowledge, records, step), model.perception, city)
        said, unsure = (page[name].to_numpy()[0][row, column] for name in ("safety", "safety_sd"))
        known = np.isfinite(said)
        dark = np.log(page["illuminance"].to_numpy()[0][row, column] / true["illuminance"][:, i])
        lit.append(np.abs(dark) < 1.645 * page["illuminance_sd"].to_numpy()[0][row, column])
        away.append(100 * (said - true["safety"][:, i])[known])
        sd.append(100 * unsure[known])
    assert 0.88 <= np.mean(np.concatenate(lit)) <= 0.99  # lamps by their schedule: no controller speaks in that night
    difference, wide = np.concatenate(away), np.concatenate(sd)
    assert np.sqrt(np.mean(difference**2)) < 7.0  # points of 100
    assert abs(difference.mean()) < 5.0
    assert 0.85 <= np.mean(np.abs(difference) < 1.645 * wide) <= 1.0
