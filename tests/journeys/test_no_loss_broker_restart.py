"""The broker is stopped (SIGTERM) and started while ingest has not taken everything yet: it has written that down.

Our session, and what waits in it, survives; the sensors send again what has no PUBACK. CI restarts twice, `make
test-slow` ten times. A broker that is *killed* loses what it held; docs/brokers.md says so.
"""

from __future__ import annotations

import signal

import pytest

from tests.journeys.ledger import Ingest, Mosquitto, Sensors, all_arrive, balanced, needs_mosquitto, unhurried_town


@pytest.mark.parametrize(
    "restarts",
    [
        pytest.param(2, marks=needs_mosquitto),
        pytest.param(10, marks=[*needs_mosquitto, pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_a_broker_that_is_stopped_and_started_loses_nothing(tmp_path, restarts):
    city = unhurried_town(tmp_path / "town")
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(tmp_path / "broker")
    try:
        with Ingest(city, broker.url) as ingest:
            with Sensors(city, broker.url) as sensors:
                for _ in range(restarts):
                    sensors.publish(300)
                    ingest.process.send_signal(signal.SIGSTOP)  # so that something waits in the broker
                    sensors.publish(1_500)
                    broker.stop()
                    ingest.process.send_signal(signal.SIGCONT)
                    broker.start()
                sensors.publish(300)
                told = sensors.told()
            all_arrive(city, told)
            ingest.stop()
    finally:
        broker.stop()
    balanced(city, told)
