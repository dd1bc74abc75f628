"""Laws of the mapper: every step closes once, in order, from what its cut allows; `now` always says how it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from analytics import atlas, mapping
from analytics.closing import Desk
from analytics.mapping import Mapper
from ingest.archive import append_records
from ingest.tail import Upto
from sensors.city import City
from sensors.errors import ModelError
from sensors.night import Night
from sensors.reading import Records, empty_records
from tests.synthetic_city import make_city

MINUTE = np.timedelta64(60_000, "ms")


@dataclass
class HandClock:
    """A city clock and a monotonic clock that stand still until they are moved together."""

    city_time: np.datetime64
    seconds: float = 0.0
    speed: float = 60.0

    def now(self) -> np.datetime64:
        return self.city_time

    def monotonic(self) -> float:
        return self.seconds

    def move_to(self, moment: np.datetime64) -> None:
        self.seconds += max(2.5, float((moment - self.city_time) / np.timedelta64(1, "s")) / self.speed)
        self.city_time = moment


class CountingDesk(Desk):
    """Makes pages that hold how many readings went in, and where in time; no physics."""

    def page(self, records: Records, step: np.datetime64) -> xr.Dataset:
        ended = records[(records["time"] > step) & (records["time"] <= step + 15 * MINUTE)]
        layers = {"count": float(len(ended)), "sum": float(np.sum(ended["value"], dtype=np.float64))}
        axes = {"time": [step], "northing": np.arange(2) * 10.0, "easting": np.arange(3) * 10.0}
        return xr.Dataset(
            {
                name: (("time", "northing", "easting"), np.full((1, 2, 3), value, "f4"))
                for name, value in layers.items()
            },
            axes,
        )


def open_desk(city: City, digest: str | None = None) -> Desk:
    knowledge = SimpleNamespace(covariances=lambda: {"noise": {"range_m": 150.0}})
    said = SimpleNamespace(shares_alone=digest == "shares", fit=None)
    model = SimpleNamespace(
        digest=digest or "m1", simulated=True, night="2026-11-19", knowledge=knowledge, perception=said
    )
    return CountingDesk(city, SimpleNamespace(digest="p1"), model)  # type: ignore[arg-type]


@pytest.fixture
def city(tmp_path: Path) -> City:
    return make_city(tmp_path / "town")


@pytest.fixture
def night(city: City) -> Night:
    return Night.named("2026-11-20", city.zone)


@pytest.fixture
def clock(night: Night) -> HandClock:
    return HandClock(night.time_of("20:00"))


@pytest.fixture
def mapper(city: City, clock: HandClock) -> Iterator[Mapper]:
    made = Mapper(city, clock, clock.monotonic, open_desk)  # type: ignore[arg-type]
    yield made
    made.stop()


def store(city: City, night: Night, clock_times: list[str], received: list[str] | None = None, site: int = 0) -> None:
    records = empty_records(len(clock_times))
    records["time"] = [night.time_of(clock) for clock in clock_times]
    records["received"] = [night.time_of(clock) for clock in (received or clock_times)]
    records["site"], records["quantity"], records["value"], records["duration_s"] = site, 7, 3.0, 900.0
    append_records(city, records, "test")


def closed(city: City, night: Night) -> dict[str, Any]:
    meta = atlas.night_meta(city, night)
    return {} if meta is None else {entry["step"][11:16]: entry for entry in meta["closed"]}


def look(mapper: Mapper, times: int = 3) -> None:
    for _ in range(times):
        mapper.look()


def test_a_step_closes_after_its_cut_and_grace_and_only_then(
    city: City, night: Night, clock: HandClock, mapper: Mapper
) -> None:
    store(city, night, ["20:10", "20:15"])
    for moment, steps in (("20:15", []), ("20:20", []), ("20:21", ["18:00"]), ("20:35", ["18:00"])):
        clock.move_to(night.time_of(moment))
        look(mapper)
        assert list(closed(city, night)) == steps
    assert closed(city, night)["18:00"]["records"] == 2


def test_a_step_waits_until_ingest_has_stored_what_it_received_by_the_cut_but_not_for_ever(
    city: City, night: Night, clock: HandClock, mapper: Mapper
) -> None:
    def say(moment: str) -> None:
        Upto(city.shelf("log", "0")).say(int(night.time_of(moment).astype(np.int64)))

    city.shelf("log", "0").mkdir(parents=True)
    say("20:20")
    clock.move_to(night.time_of("20:25"))
    look(mapper)
    assert closed(city, night) == {}
    say("20:21")
    clock.move_to(night.time_of("20:26"))
    look(mapper)
    assert list(closed(city, night)) == ["18:00"]
    clock.move_to(night.time_of("20:49"))
    look(mapper)
    assert list(closed(city, night)) == ["18:00"]
    clock.move_to(night.time_of("20:51"))
    look(mapper)
    assert list(closed(city, night)) == ["18:00", "18:15"]


def test_late_readings_change_no_closed_page(city: City, night: Night, clock: HandClock, mapper: Mapper) -> None:
    store(city, night, ["20:10"])
    clock.move_to(night.time_of("20:25"))
    look(mapper)
    before = atlas.night_meta(city, night)
    store(city, night, ["20:11"], received=["20:26"], site=1)
    clock.move_to(night.time_of("20:30"))
    look(mapper)
    assert atlas.night_meta(city, night) == before


def test_a_reading_that_ingest_had_by_the_cut_and_handed_on_later_is_put_in(
    city: City, night: Night, clock: HandClock, mapper: Mapper
) -> None:
    store(city, night, ["20:10"])
    clock.move_to(night.time_of("20:25"))
    look(mapper)
    store(city, night, ["20:11"], received=["20:19"], site=1)
    clock.move_to(night.time_of("20:26"))
    look(mapper)
    meta = atlas.night_meta(city, night)
    assert meta is not None and meta["version"] == 2 and meta["closed"][0]["records"] == 2


def test_overdue_steps_are_closed_in_order_and_told_until_done(
    city: City, night: Night, clock: HandClock, mapper: Mapper
) -> None:
    store(city, night, ["20:10", "21:10"])
    clock.move_to(night.time_of("22:00"))
    seen, states = [], []
    for _ in range(9):
        mapper.look()
        seen.append(len(closed(city, night)))
        states.append(mapper.state)
    assert seen == [1, 2, 3, 4, 5, 6, 7, 7, 7]
    assert states[0] == "catching-up" and states[-1] != "catching-up"
    assert list(closed(city, night)) == sorted(closed(city, night))


def test_a_restarted_mapper_goes_on_with_the_nights_model_and_closes_what_was_missed(
    city: City, night: Night, clock: HandClock, mapper: Mapper
) -> None:
    clock.move_to(night.time_of("20:25"))
    look(mapper)
    mapper.stop()
    opened: list[str | None] = []

    def open_and_note(city: City, digest: str | None) -> Desk:
        opened.append(digest)
        return open_desk(city, digest)

    again = Mapper(city, clock, clock.monotonic, open_and_note)  # type: ignore[arg-type]
    clock.move_to(night.time_of("21:00"))
    look(again, 6)
    again.stop()
    assert opened == ["m1"]
    assert list(closed(city, night)) == ["18:00", "18:15", "18:30"]


def test_the_last_steps_close_also_when_the_clock_leaps_to_the_next_evening(
    city: City, night: Night, clock: HandClock, mapper: Mapper
) -> None:
    clock.move_to(night.time_of("05:50"))
    look(mapper, 45)
    assert len(closed(city, night)) == 38
    clock.move_to(night.next().time_of("20:00"))
    look(mapper, 6)
    assert len(closed(city, night)) == 40
    assert closed(city, night.next()) == {}


def test_now_follows_readings_and_says_what_phase_it_is(
    city: City, night: Night, clock: HandClock, mapper: Mapper
) -> None:
    clock.move_to(night.time_of("19:00"))
    look(mapper)
    page, meta = atlas.open_now(city)
    assert page is None and meta["state"] == "before-dusk" and "20:00" in meta["sentence"]
    clock.move_to(night.time_of("20:10"))
    look(mapper)
    page, meta = atlas.open_now(city)
    assert page is not None and page["count"].values.max() == 0
    assert meta["mapper"] == "no-readings" and meta["sensors"]["live"] == 0 and meta["simulated"]
    store(city, night, ["20:05", "20:09"])
    clock.seconds += 1
    look(mapper)
    page, meta = atlas.open_now(city)
    assert page is not None and page["count"].values.max() == 2
    assert meta["sensors"]["live"] == 1 and meta["sensors"]["newest"].startswith("2026-11-20T18:09")
    assert meta["mapper"] == "no-answers" and meta["answers"]["count"] == 0
    clock.move_to(night.time_of("06:30"))
    look(mapper, 45)
    page, meta = atlas.open_now(city)
    assert page is None and meta["state"] == "after"


def test_a_city_of_published_shares_alone_says_so_and_not_that_it_knows_nothing(
    city: City, night: Night, clock: HandClock
) -> None:
    store(city, night, ["20:05"])
    mapper = Mapper(city, clock, open_desk=lambda city, digest: open_desk(city, "shares"))
    look(mapper)
    assert atlas.open_now(city)[1]["mapper"] == "shares-alone"
    assert "published shares" in mapper.sentence
    mapper.stop()


def test_now_is_not_replaced_more_often_than_agreed_and_ages_without_readings(
    city: City, night: Night, clock: HandClock, mapper: Mapper
) -> None:
    look(mapper)
    first = atlas.open_now(city)[1]["version"]
    store(city, night, ["20:00"])
    clock.seconds += mapping.RENDER_EVERY_S / 2
    look(mapper)
    assert atlas.open_now(city)[1]["version"] == first
    clock.seconds += mapping.RENDER_EVERY_S
    look(mapper)
    assert atlas.open_now(city)[1]["version"] == first + 1
    clock.move_to(night.time_of("20:03"))
    look(mapper)
    assert atlas.open_now(city)[1]["version"] == first + 2


def test_without_a_model_the_mapper_says_so_and_begins_once_there_is_one(
    city: City, night: Night, clock: HandClock
) -> None:
    fitted: list[int] = []

    def maybe(city: City, digest: str | None) -> Desk:
        if not fitted:
            raise ModelError("no model")
        return open_desk(city, digest)

    mapper = Mapper(city, clock, clock.monotonic, maybe)  # type: ignore[arg-type]
    clock.move_to(night.time_of("21:00"))
    look(mapper)
    health = json.loads(city.shelf("health", "map.json").read_text())
    assert health["state"] == "no-model" and "noctule fit" in health["sentence"]
    assert atlas.open_now(city)[0] is None
    fitted.append(1)
    clock.move_to(night.time_of("21:01"))
    look(mapper, 8)
    assert mapper.state == "no-readings" and len(closed(city, night)) == 3
    mapper.stop()
    assert json.loads(city.shelf("health", "map.json").read_text())["state"] == "stopped"


def test_trouble_is_told_and_the_mapper_goes_on(
    city: City, night: Night, clock: HandClock, mapper: Mapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(mapping, "write_now", full)
        look(mapper)
        assert mapper.state == "trouble" and "No space left" in mapper.sentence
    clock.move_to(night.time_of("20:02"))
    look(mapper)
    assert mapper.state == "no-readings" and atlas.open_now(city)[0] is not None
