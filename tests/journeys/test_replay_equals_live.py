"""Replay equals live: the closed pages of a night, made while readings came in, come out again bit by bit.

A simulated evening goes through the real archive, fields, response, release and atlas. Readings arrive out of order,
twice, late and after a slow disk; live sees them in that order, replay all at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from analytics import atlas
from analytics.commands import replay as replay_command
from analytics.mapping import Mapper
from analytics.model import fit
from analytics.replay import replay
from ingest.archive import append_records
from sensors.answer import ANSWER_COLUMNS
from sensors.city import City, write_settings
from sensors.clock import clear_clock, set_clock
from sensors.errors import StoreError
from sensors.night import Night
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records
from tests.synthetic_city import make_city
from tests.unit.test_mapping import HandClock

MINUTE = np.timedelta64(60_000, "ms")
NIGHT = "2026-11-20"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A town with answers and a model, mapped from 20:00 to 22:00."""
    city = make_city(tmp_path_factory.mktemp("fitted") / "town")
    settings = msgspec.structs.replace(city.settings, night=msgspec.structs.replace(city.settings.night, to="22:00"))
    write_settings(city.path, settings)
    city = City.open(city.path)
    night = Night.named(NIGHT, city.zone)
    write_answers(city, night)
    fit(city, night)
    return city.path


@pytest.fixture
def city(fitted: Path, tmp_path: Path) -> City:
    shutil.copytree(fitted, tmp_path / "town")
    return City.open(tmp_path / "town")


@pytest.fixture
def night(city: City) -> Night:
    return Night.named(NIGHT, city.zone)


def live(city: City, night: Night, records: Records) -> dict[str, str]:
    """Let the mapper live through the evening, each reading stored when it was received; digests by step."""
    order = np.argsort(records["received"], kind="stable")
    records = records[order]
    clock = HandClock(night.time_of("20:00"))
    mapper = Mapper(city, clock, clock.monotonic)  # type: ignore[arg-type]
    stored = 0
    for minute in range(0, 150, 5):
        now = night.time_of("20:00") + minute * MINUTE
        upto = int(np.searchsorted(records["received"], now, side="right"))
        if upto > stored:
            append_records(city, records[stored:upto][::-1].copy(), f"minute {minute}")
            stored = upto
        clock.move_to(now)
        for _ in range(2):
            mapper.look()
        assert mapper.state != "trouble", mapper.sentence
    mapper.stop()
    return digests(city, night)


def digests(city: City, night: Night) -> dict[str, str]:
    meta = atlas.night_meta(city, night)
    assert meta is not None
    return {entry["step"]: entry["digest"] for entry in meta["closed"]}


def evening(city: City, night: Night, seed: int = 1) -> Records:
    """Two hours of all devices of the town, a report a quarter of an hour, with delays of seconds to an hour."""
    generator = np.random.default_rng(seed)
    sites = city.places("sites")
    ends = night.time_of("20:00") + np.arange(0, 121, 15) * MINUTE
    parts = []
    for site in sites.itertuples():
        records = empty_records(len(ends))
        jitter = generator.integers(0, 60_000, len(ends)).astype("timedelta64[ms]")
        records["time"] = ends - jitter
        delay = np.where(generator.random(len(ends)) < 0.1, generator.integers(300, 3600, len(ends)), 5)
        records["received"] = records["time"] + (delay * 1000).astype("timedelta64[ms]")
        records["site"], records["quantity"] = site.site, QUANTITIES[site.quantity].code
        records["duration_s"] = 900 if site.quantity in ("people_flow", "sound_laeq") else 0
        records["value"] = _values(site.quantity, generator, len(ends))
        records["boot"], records["seq"] = 1, np.arange(len(ends))
        parts.append(records)
    every = np.concatenate(parts)
    again = every[generator.random(len(every)) < 0.05].copy()  # delivered twice
    again["received"] += 7 * MINUTE
    return np.concatenate([every, again])


def test_replay_gives_the_bytes_that_live_closed_in_spite_of_late_and_repeated_readings(
    city: City, night: Night
) -> None:
    records = evening(city, night)
    late = records["received"] - records["time"] > 20 * MINUTE
    assert late.sum() > 20
    closed = live(city, night, records)
    assert len(closed) == 8
    page = atlas.open_step(city, night, night.time_of("21:00"))
    assert np.isfinite(page["safety"].values).any()
    assert np.isfinite(page["footfall_nearest"].values).all()
    set_clock(city.path, night.end, 1.0)
    [result] = replay(city, night, night)
    assert (result.equal, result.differing, result.unclosed) == (8, [], 0), result.sentence
    assert result.version is None and digests(city, night) == closed


def test_a_replay_under_other_settings_says_that_they_changed(city: City, night: Night) -> None:
    closed = live(city, night, evening(city, night))
    set_clock(city.path, night.end, 1.0)
    release = msgspec.structs.replace(city.settings.release, minimum_evidence=1.0)
    write_settings(city.path, msgspec.structs.replace(city.settings, release=release))
    [result] = replay(City.open(city.path), night, night)
    assert result.settings_changed and len(result.differing) == len(closed)
    assert "[release] of city.toml have changed since" in result.sentence
    with pytest.raises(StoreError, match="not every step is bit-equal"):
        replay_command(city.path, from_=NIGHT)
    assert "places have changed" not in result.sentence and "other code" not in result.sentence


def test_readings_that_come_after_the_close_change_a_new_run_and_never_the_closed_pages(
    city: City, night: Night
) -> None:
    records = evening(city, night)
    closed = live(city, night, records)
    late = records[:40].copy()
    late["seq"] += 1000
    late["received"] = night.time_of("23:30")
    late["value"] = 1.0 - late["value"]
    append_records(city, late, "a device that came back")
    set_clock(city.path, night.end, 1.0)
    [same] = replay(city, night, night)
    assert same.equal == 8 and digests(city, night) == closed
    [other] = replay(city, night, night, cut="all", write=True)
    assert len(other.differing) == 8 and other.version == 2
    [again] = replay(city, night, night)
    assert again.equal == 8, "a page written by a replay is reproduced with the cut that it names"


def test_a_reading_that_a_slow_disk_held_back_past_the_close_is_put_in_and_replay_agrees(
    city: City, night: Night
) -> None:
    records = evening(city, night)
    held = (records["received"] > night.time_of("20:28")) & (records["received"] < night.time_of("20:34"))
    assert held.sum() > 10
    live(city, night, records[~held])
    before = digests(city, night)
    append_records(city, records[held], "held back")
    clock = HandClock(night.time_of("22:30"))
    mapper = Mapper(city, clock, clock.monotonic)  # type: ignore[arg-type]
    for _ in range(12):
        mapper.look()
    mapper.stop()
    after = digests(city, night)
    assert after != before
    set_clock(city.path, night.end, 1.0)
    [result] = replay(city, night, night)
    assert result.equal == 8 and not result.differing


def test_a_night_that_nobody_mapped_becomes_pages_once(city: City, night: Night) -> None:
    append_records(city, evening(city, night), "history")
    set_clock(city.path, night.end, 1.0)
    results = replay(city, night.previous(), night)
    assert "no readings" in results[0].refused
    assert results[1].unclosed == 8 and results[1].version == 1
    [again] = replay(city, night, night)
    assert again.equal == 8 and again.version is None
    clear_clock(city.path)


def test_local_threads_and_a_cluster_of_two_workers_give_the_same_bytes(
    city: City, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import LocalCluster

    nights = [night, night.next(), night.next().next()]
    for number, each in enumerate(nights):
        records = evening(city, each, seed=number)
        records["boot"] = number
        append_records(city, records, f"evening {number}")
    set_clock(city.path, nights[-1].end, 1.0)
    assert [result.version for result in replay(city, nights[0], nights[-1])] == [1, 1, 1]
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        results = replay(city, nights[0], nights[-1], scheduler=cluster.scheduler_address)
    assert [(result.night, result.equal, result.refused) for result in results] == [(n.name, 8, "") for n in nights]
    whole = [xr.concat([atlas.open_step(city, n, s) for s in atlas.night_steps(city, n)], "time") for n in nights]
    assert not whole[0]["footfall"].identical(whole[1]["footfall"])


def _values(quantity: str, generator: np.random.Generator, n: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if quantity == "dimming":
        return generator.choice([1.0, 0.7], n)
    if quantity == "lamp_ok":
        return (generator.random(n) > 0.02).astype(float)
    if quantity == "people_flow":
        return generator.poisson(40, n).astype(float)
    if quantity == "sound_laeq":
        return generator.normal(58, 4, n)
    return np.asarray(generator.lognormal(2, 0.5, n))


def write_answers(city: City, night: Night, n: int = 240) -> None:
    generator = np.random.default_rng(5)
    grid = city.settings.grid
    columns: dict[str, object] = dict.fromkeys(ANSWER_COLUMNS, "undisclosed")
    columns |= {
        "response_id": [f"r{i}" for i in range(n)],
        "pseudonym": [f"p{i % 120}" for i in range(n)],
        "instrument": "core-4",
        "item": "safe-here",
        "category": generator.integers(1, 5, n),
        "k": 4,
        "easting": grid.west + generator.uniform(40, 280, n),
        "northing": grid.south + generator.uniform(40, 280, n),
        "time": [np.datetime64(night.previous().time_of("21:00"), "ms")] * n,
        "light_state": "dark",
        "gender": generator.choice(["woman", "man"], n),
        "trigger": "prompted",
        "weight": 1.0,
        "campaign": "test",
        "origin": "simulated",
    }
    city.shelf("answers").mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).astype(ANSWER_COLUMNS).to_parquet(city.shelf("answers") / "test.parquet")


@pytest.fixture(autouse=True)
def _one_clock(city: City) -> Iterator[None]:
    yield
    clear_clock(city.path)
