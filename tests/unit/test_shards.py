"""Each device has one shard, and keeps it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from ingest.mqtt import Filter
from ingest.shards import Mark, Session, Shard, all_subscribed, device_shards, left_over
from sensors.city import City, DialectRule
from sensors.dialects.routing import matches
from sensors.errors import CityError
from sensors.register import SiteRegister, add_site, move_site
from tests.synthetic_city import SOUTH, WEST, make_city


@pytest.fixture
def city(tmp_path) -> City:
    return make_city(tmp_path / "town")


def topics(city: City, shard: Shard) -> list[str]:
    return [one.topic for one in shard.filters(city, SiteRegister.load(city))]


@pytest.mark.parametrize("of", [2, 3, 5])
def test_every_device_is_taken_by_exactly_one_shard(city, of):
    filters = [topics(city, Shard(index, of)) for index in range(of)]
    for device in set(SiteRegister.load(city).table.device):
        for leaf in ("power", "status"):
            takers = [
                mine for mine in filters if any(matches(one, f"noctule/smalltown/{device}/{leaf}") for one in mine)
            ]
            assert len(takers) == 1


def test_one_shard_takes_the_city_by_wildcards(city):
    assert topics(city, Shard()) == ["noctule/smalltown/+/+", "noctule/smalltown/+/status"]


def test_a_device_that_gets_another_sensor_or_moves_stays_in_its_shard(city):
    site = add_site(city, device="new", quantity="power", easting=WEST + 50, northing=SOUTH + 50)
    before = device_shards(SiteRegister.load(city), 4)
    assert before["new"] == site % 4
    add_site(city, device="new", quantity="illuminance", easting=WEST + 50, northing=SOUTH + 50)
    move_site(city, site, easting=WEST + 60, northing=SOUTH + 60, since=np.datetime64("2026-11-20", "ms"))
    assert device_shards(SiteRegister.load(city), 4) == before


def test_foreign_topics_go_where_their_device_goes_and_otherwise_to_shard_0(city, monkeypatch):
    device = next(name for name, index in device_shards(SiteRegister.load(city), 2).items() if index == 1)
    rules = (
        DialectRule(topic="v3/+/devices/+/up"),
        DialectRule(topic="meters/7", device=device),
        DialectRule(topic="meters/8", device="nobody"),
    )
    town = City(city.path, msgspec.structs.replace(city.settings, dialects=rules))
    foreign = {index: [one for one in topics(town, Shard(index, 2)) if "smalltown" not in one] for index in (0, 1)}
    assert foreign == {0: ["v3/+/devices/+/up", "meters/8"], 1: ["meters/7"]}
    assert set(topics(town, Shard())) >= {rule.topic for rule in rules}


def test_sessions_are_named_after_the_division_and_one_of_one_as_ever():
    assert Shard().session("helsinki") == "noctule-helsinki-0"
    assert Shard(0, 2).session("helsinki") == "noctule-helsinki-0-of-2"


@pytest.mark.parametrize("text", ["", "2/2", "-1/2", "a", "1/", "0/0", "1/2/3"])
def test_a_shard_that_is_none_is_refused_in_a_sentence(text):
    with pytest.raises(CityError, match="0/2 and 1/2"):
        Shard.parse(text)


def test_only_shard_0_of_several_looks_for_unknown_devices_and_at_qos_0(city):
    assert Shard().discovery(city) == Shard(1, 2).discovery(city) == []
    (one,) = Shard(0, 2).discovery(city)
    assert (one.topic, one.qos) == ("noctule/smalltown/+/+", 0)


def test_marks_tell_when_a_new_division_is_complete_and_what_is_left_of_the_old(city):
    log = city.shelf("log")
    for index in range(3):
        Mark(3, Session(f"c{index}", [Filter("a/+", 2)]), subscribed=True).write(log / str(index))
    assert all_subscribed(log, 3)
    Mark(2, Session("d0", []), subscribed=True).write(log / "0")
    assert not all_subscribed(log, 2)
    Mark(2, Session("d1", []), subscribed=True).write(log / "1")
    assert all_subscribed(log, 2)
    assert left_over(log, 2) == [log / "2"]
    Mark(3, Session("c2", []), ended=True).write(log / "2")
    assert left_over(log, 2) == []
    assert Mark.read(log / "1") == Mark(2, Session("d1", []), subscribed=True)
    assert Mark.read(log / "7") is None
