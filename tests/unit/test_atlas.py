"""Laws of the atlas: a page is seen whole or not at all, never changes under its name, and has one digest."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from analytics import atlas
from sensors.city import City
from sensors.errors import ShelfLocked, StoreError
from sensors.night import Night
from tests.synthetic_city import make_city

META = {
    "model": "m1",
    "places": "p1",
    "settings": "0",
    "code": "0",
    "simulated": True,
    "attribution": ["Made up for tests"],
    "written": "2026-11-20T20:00:00.000Z",
    "records": 3,
    "cut": "2026-11-20T20:20:00.000Z",
}


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return make_city(tmp_path_factory.mktemp("town"))


@pytest.fixture
def night(city: City, request: pytest.FixtureRequest) -> Night:
    """A night of its own for each test, so that one city serves all."""
    day = 1 + sum(map(ord, request.node.name)) % 28
    month = 1 + len(request.node.name) % 12
    return Night.named(f"2025-{month:02d}-{day:02d}", city.zone)


def page(step: np.datetime64, value: float = 1.0, names: tuple[str, ...] = ("illuminance", "noise")) -> xr.Dataset:
    values = np.full((1, 4, 5), value, "f4")
    values[0, 0, 0] = np.nan
    layers = {name: (("time", "northing", "easting"), values, {"units": "lx"}) for name in names}
    axes = {"time": [step], "northing": np.arange(4) * 10.0 + 5, "easting": np.arange(5) * 10.0 + 5}
    return xr.Dataset(layers, axes, {"title": "test", "simulated": 1})


def test_a_written_step_is_read_back_bit_for_bit(city: City, night: Night) -> None:
    steps = atlas.night_steps(city, night)
    entry = atlas.write_step(city, night, page(steps[3], 2.5), META)
    back = atlas.open_step(city, night, steps[3])
    assert atlas.page_digest(back) == entry["digest"]
    assert back["noise"].attrs["units"] == "lx" and back.attrs["title"] == "test"
    whole, meta = atlas.open_night(city, night)
    assert whole.sizes["time"] == 1 and whole["time"].values[0] == steps[3]
    assert atlas.page_digest(whole.load()) == entry["digest"]
    assert meta["closed"] == [entry] and night.name in atlas.nights(city)


def test_a_step_that_is_not_closed_is_refused_and_never_shown_as_not_known(city: City, night: Night) -> None:
    steps = atlas.night_steps(city, night)
    atlas.write_step(city, night, page(steps[0]), META)
    with pytest.raises(StoreError, match="no closed page"):
        atlas.open_step(city, night, steps[1])


def test_writing_the_same_page_again_changes_nothing(city: City, night: Night) -> None:
    step = atlas.night_steps(city, night)[0]
    atlas.write_step(city, night, page(step), META)
    before = atlas.night_meta(city, night)
    atlas.write_step(city, night, page(step), META | {"written": "later"})
    assert atlas.night_meta(city, night) == before


def test_a_corrected_step_makes_a_new_version_and_the_old_one_keeps_its_bytes(city: City, night: Night) -> None:
    steps = atlas.night_steps(city, night)
    for step in steps[:2]:
        atlas.write_step(city, night, page(step, 1.0), META)
    old, _ = atlas.open_night(city, night)
    atlas.write_step(city, night, page(steps[0], 9.0), META)
    new, meta = atlas.open_night(city, night)
    assert meta["version"] == 2
    assert old["noise"].values[0, 1, 1] == 1.0
    assert new["noise"].values[0, 1, 1] == 9.0 and new["noise"].values[1, 1, 1] == 1.0


@pytest.mark.parametrize("change", ["model", "layers"])
def test_pages_of_one_version_share_model_and_layers(city: City, night: Night, change: str) -> None:
    steps = atlas.night_steps(city, night)
    atlas.write_step(city, night, page(steps[0]), META)
    if change == "model":
        atlas.write_step(city, night, page(steps[1]), META | {"model": "m2"})
    else:
        atlas.write_step(city, night, page(steps[1], names=("noise", "footfall")), META)
    meta = atlas.night_meta(city, night)
    assert meta is not None and meta["version"] == 2
    assert [entry["step"] for entry in meta["closed"]] == [meta["steps"][1]]


def test_a_step_outside_the_mapped_window_is_refused(city: City, night: Night) -> None:
    with pytest.raises(StoreError, match="not one of the"):
        atlas.write_step(city, night, page(night.start), META)


def test_a_whole_night_is_committed_once(city: City, night: Night) -> None:
    steps = atlas.night_steps(city, night)

    def pages() -> object:
        for step in steps:
            assert atlas.night_meta(city, night) is None
            yield page(step), META

    meta = atlas.write_night(city, night, pages())  # type: ignore[arg-type]
    assert meta is not None and len(meta["closed"]) == len(steps)
    assert atlas.write_night(city, night, []) is None
    assert atlas.night_meta(city, night) == meta


def test_the_digest_sees_value_type_name_and_place(night: Night) -> None:
    one = page(night.start)
    others = [
        page(night.start, 2.0),
        one.astype("f8"),
        one.rename(noise="sound"),
        one.assign_coords(easting=one["easting"] + 10),
        page(night.end),
    ]
    digests = {atlas.page_digest(dataset) for dataset in [one, *others]}
    assert len(digests) == 1 + len(others)


def test_the_digest_does_not_depend_on_order_layout_or_kind_of_nan(night: Night) -> None:
    one = page(night.start)
    other = one[["noise", "illuminance"]].transpose("easting", "northing", "time").transpose(*one["noise"].dims)
    values = one["noise"].values.copy()
    values.view("u4")[0, 0, 0] |= 1  # another payload of NaN
    other = other.assign(noise=(one["noise"].dims, values))
    assert atlas.page_digest(other) == atlas.page_digest(one)


def test_now_is_replaced_whole_and_may_be_empty(city: City) -> None:
    moment = np.datetime64("2026-11-20T18:00", "ms")
    with atlas.mapper_lock(city):
        for value in (1.0, 2.0):
            atlas.write_now(city, page(moment, value), {"state": "live"})
            shown, meta = atlas.open_now(city, ["noise"])
            assert shown is not None and meta["state"] == "live" and list(shown) == ["noise"]
            assert shown["noise"].values[0, 1, 1] == value
        atlas.write_now(city, None, {"state": "before-dusk"})
    shown, meta = atlas.open_now(city)
    assert shown is None and meta["state"] == "before-dusk" and meta["version"] == 3


def test_two_mappers_cannot_share_a_city(city: City) -> None:
    with atlas.mapper_lock(city), pytest.raises(ShelfLocked, match="another 'noctule map'"), atlas.mapper_lock(city):
        pass


def test_a_damaged_or_newer_page_is_refused_by_name(city: City, night: Night) -> None:
    folder = city.shelf("atlas", night.name)
    folder.mkdir(parents=True)
    (folder / "current.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        atlas.night_meta(city, night)
    (folder / "current.json").write_text('{"format": 99}')
    with pytest.raises(StoreError, match="format 99"):
        atlas.night_meta(city, night)
    (folder / "current.json").unlink()


def test_one_step_of_a_night_opens_within_20_ms(tmp_path: Path) -> None:
    city = make_city(tmp_path)
    night = Night.named("2026-11-20", city.zone)
    steps = atlas.night_steps(city, night)
    names = tuple(f"layer_{n}" for n in range(25))
    values = np.random.default_rng(0).random((1, 105, 170), "f4")
    big = xr.Dataset(
        dict.fromkeys(names, (("time", "northing", "easting"), values)),
        {"time": steps[:1], "northing": np.arange(105.0), "easting": np.arange(170.0)},
    )
    for step in steps[:6]:
        atlas.write_step(city, night, big.assign_coords(time=[step]), META)
    took = []
    atlas.open_step(city, night, steps[0], names[:2])
    for step in steps[1:6]:
        began = time.perf_counter()
        atlas.open_step(city, night, step, names[:2])
        took.append(time.perf_counter() - began)
    assert min(took) < 0.020, took
