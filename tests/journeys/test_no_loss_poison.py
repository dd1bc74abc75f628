"""Poison among good messages: each is kept with its reason and acknowledged, and no good one waits behind it."""

from __future__ import annotations

import pytest

from ingest.dead_letters import letters as kept_letters
from sensors.wire import quantity_topic
from tests.journeys.ledger import QUANTITY, Ingest, Sensors, all_arrive, balanced, embedded, unhurried_town

POISON = {
    "broken JSON": b"{not json",
    "nothing at all": b"",
    "an empty pack": b"[]",
    "no value": b'[{"n":"sound_laeq","u":"dB","boot":1,"seq":900001}]',
    "not text": b"\xff\xfe\x00",
    "wrong types": b'[{"n":7,"u":"dB","v":"loud","boot":1,"seq":900002}]',
    "digits without end": b"1" * 200_000,
    "more than a float holds": b'[{"n":"sound_laeq","u":"dB","v":1e999,"boot":1,"seq":900003}]',
    "spliced packs": b'[{"v":1}],[{"v":2}]',
    "nested without end": b"[" * 50_000,
    "another unit": b'[{"n":"sound_laeq","u":"lx","v":50,"boot":1,"seq":900004}]',
    "a sequence number below zero": b'[{"n":"sound_laeq","u":"dB","v":50,"boot":1,"seq":-1}]',
    "a zstd frame": b"\x28\xb5\x2f\xfd" + b"\x00" * 60,
}


@pytest.mark.parametrize("good", [300, pytest.param(30_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_no_good_message_is_lost_among_poison(tmp_path, good):
    city = unhurried_town(tmp_path / "town")
    (tmp_path / "broker").mkdir()
    with embedded(tmp_path / "broker") as url, Ingest(city, url) as ingest:
        with Sensors(city, url) as sensors:
            topic = quantity_topic("noctule", city.id, sensors.devices[0], QUANTITY)
            for payload in POISON.values():
                sensors.publish(good // len(POISON))
                sensors.publisher.publish(topic, payload, token=("poison", 0, 0))
            sensors.publish(good // len(POISON))
            assert sensors.publisher.flush(120)
            told = {line for line in sensors.publisher.acknowledged if line[0] != "poison"}
        assert len(told) == sensors.sent
        all_arrive(city, told)
        ingest.stop()
    balanced(city, told)
    letters = [letter.message for letter in kept_letters(city)]
    assert len(letters) == len(POISON)
    assert all(letter.reason for letter in letters)
