"""Kill the ingest, again and again: what the sensor's broker accepted is in the archive, once.

CI kills five times with each broker; `make test-slow` twenty times.
"""

from __future__ import annotations

import numpy as np
import pytest

from ingest.archive import follow
from ingest.health import read_health
from tests.journeys.ledger import (
    Ingest,
    Sensors,
    all_arrive,
    balanced,
    embedded,
    mosquitto,
    needs_mosquitto,
    unhurried_town,
)

PER_LIFE = 400  # messages published between two kills


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
@pytest.mark.parametrize("broker", [pytest.param(mosquitto, marks=needs_mosquitto), embedded])
def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(tmp_path, broker, kills):
    city = unhurried_town(tmp_path / "town")
    (tmp_path / "broker").mkdir()
    follower = follow(city)
    generator = np.random.default_rng(7)
    with broker(tmp_path / "broker") as url, Ingest(city, url) as ingest:
        with Sensors(city, url) as sensors:
            for _ in range(kills):
                sensors.publish(PER_LIFE // 2 + int(generator.integers(PER_LIFE // 2)))
                ingest.kill()  # while it still has its hands full
                sensors.publish(PER_LIFE // 4)  # nobody listens; the broker keeps them
                ingest.start()
            sensors.publish(PER_LIFE // 4)
            told = sensors.told()
        all_arrive(city, told)
        ingest.stop()
    assert read_health(city)["state"] == "stopped"
    balanced(city, told)
    followed = follower.poll()
    sites = city.places("sites").set_index("site")["device"]
    seen = {(sites[int(site)], int(boot), int(seq)) for site, boot, seq in followed[["site", "boot", "seq"]]}
    assert seen == told, "who follows live has not seen every reading"
