"""Two shards of one city, killed in turn, then a city that is divided otherwise: what the sensors were told stays.

CI kills each shard twice and divides twice; `make test-slow` kills ten times and divides more often.
"""

from __future__ import annotations

import contextlib

import pytest

from ingest.archive import follow, read_manifest
from ingest.health import read_health
from ingest.shards import Mark
from tests.journeys.ledger import (
    Ingest,
    Sensors,
    all_arrive,
    balanced,
    embedded,
    mosquitto,
    needs_mosquitto,
    unhurried_town,
    until,
)

PER_LIFE = 300
_BROKERS = [pytest.param(mosquitto, marks=needs_mosquitto), embedded]


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
@pytest.mark.parametrize("broker", _BROKERS)
def test_two_shards_killed_in_turn_lose_nothing(tmp_path, broker, kills):
    city = unhurried_town(tmp_path / "town")
    (tmp_path / "broker").mkdir()
    follower = follow(city)
    with broker(tmp_path / "broker") as url, Ingest(city, url, "0/2") as first, Ingest(city, url, "1/2") as second:
        with Sensors(city, url) as sensors:
            for _ in range(kills):
                for shard in (first, second):
                    sensors.publish(PER_LIFE)
                    shard.kill()
                    sensors.publish(PER_LIFE // 2)
                    shard.start()
            told = sensors.told()
        all_arrive(city, told)
        second.stop()
        first.stop()  # the last to go: it archives what the other has shown
    assert read_health(city)["state"] == "stopped"
    positions = read_manifest(city).positions
    assert sorted(positions) == ["0", "1"], "one shard takes in everything"
    balanced(city, told)
    devices = city.places("sites").set_index("site")["device"]
    followed = follower.poll()
    seen = [(devices[int(site)], int(boot), int(seq)) for site, boot, seq in followed[["site", "boot", "seq"]]]
    assert sorted(seen) == sorted(told), "who follows live has not seen every reading once"


@pytest.mark.parametrize(
    ("broker", "divisions"),
    [
        pytest.param(mosquitto, [1, 2], marks=needs_mosquitto),
        pytest.param(mosquitto, [1, 2, 1, 3], marks=[*needs_mosquitto, pytest.mark.slow]),
        pytest.param(embedded, [1, 2, 1, 3], marks=pytest.mark.slow),
    ],
)
def test_a_city_is_divided_anew_without_losing_what_waits_at_the_broker(tmp_path, broker, divisions):
    """One process, then two, and so on, at last one; messages wait at the broker for each session that is given up."""
    city = unhurried_town(tmp_path / "town")
    (tmp_path / "broker").mkdir()
    with broker(tmp_path / "broker") as url, Sensors(city, url) as sensors:
        for of in divisions:
            with contextlib.ExitStack() as running:
                shards = [running.enter_context(Ingest(city, url, f"{index}/{of}")) for index in range(of)]
                until(lambda shards=shards: _settled(city, len(shards)), "the new division does not settle")
                sensors.publish(PER_LIFE)
                all_arrive(city, sensors.told())
                for shard in reversed(shards):
                    shard.stop()
            sensors.publish(PER_LIFE)  # nobody listens: they wait for the division that was
        with contextlib.ExitStack() as running:
            last = running.enter_context(Ingest(city, url, "0/1"))
            told = sensors.told()
            all_arrive(city, told)
            until(lambda: _settled(city, 1), "the last division does not settle")
            last.stop()
    balanced(city, told)


def _settled(city, of: int) -> bool:
    """Whether every shard is subscribed and no session of an old division is left."""
    marks = [Mark.read(city.shelf("log", str(index))) for index in range(of)]
    return all(mark is not None and mark.of == of and mark.subscribed and not mark.old for mark in marks)
