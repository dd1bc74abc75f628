"""Ingest stands still three times, as a process does that the system has no time for: the broker keeps what comes.

mosquitto's defaults lose 27,097 of 117,000 acknowledged readings here (three pauses of 10 s at 3,000 a second); with
the limits that we ship it loses none. CI pauses for 1 s, `make test-slow` for 10 s at a flow that would overrun the
defaults.
"""

from __future__ import annotations

import signal
import time

import pytest

from tests.journeys.ledger import Ingest, Mosquitto, Sensors, all_arrive, balanced, needs_mosquitto, unhurried_town


@pytest.mark.parametrize(
    ("seconds", "flow"),
    [
        pytest.param(1.0, 1_500, marks=needs_mosquitto),  # more than the 1,000 that a default mosquitto would queue
        pytest.param(10.0, 20_000, marks=[*needs_mosquitto, pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_what_comes_while_ingest_stands_still_is_kept(tmp_path, seconds, flow):
    city = unhurried_town(tmp_path / "town")
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(tmp_path / "broker")
    try:
        with Ingest(city, broker.url) as ingest:
            with Sensors(city, broker.url) as sensors:
                for _ in range(3):
                    sensors.publish(300)
                    ingest.process.send_signal(signal.SIGSTOP)
                    until = time.monotonic() + seconds
                    sensors.publish(flow)
                    time.sleep(max(0.0, until - time.monotonic()))
                    ingest.process.send_signal(signal.SIGCONT)
                sensors.publish(300)
                told = sensors.told()
            all_arrive(city, told)
            ingest.stop()
    finally:
        broker.stop()
    balanced(city, told)
