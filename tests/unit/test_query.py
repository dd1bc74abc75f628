"""Readings of a box and of some hours are those that a plain look at the whole night finds."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import typer
from pyproj import Transformer
from typer.testing import CliRunner

from ingest.archive import append_records, night_records
from ingest.commands import register
from ingest.query import parse_bounds, readings_in_box, readings_table, sites_in_box
from sensors.errors import CityError
from sensors.night import Night
from sensors.quantities import QUANTITIES
from sensors.reading import NO_SEQ, RECORD, Records
from tests.synthetic_city import CRS, SOUTH, WEST, make_city

NIGHT = "2026-11-20"


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    town = make_city(tmp_path_factory.mktemp("town"))
    night = Night.named(NIGHT, town.zone)
    sites = town.places("sites")
    for part in range(3):  # three files, each of several row groups
        append_records(town, some(night, sites.site.to_numpy(), part), f"part {part}")
    return town


def some(night: Night, sites: np.ndarray, part: int) -> Records:
    generator = np.random.default_rng(part)
    records = np.zeros(70_000, RECORD)
    records["time"] = night.start + generator.integers(0, 86_400_000, len(records)).astype("m8[ms]")
    records["received"] = records["time"] + np.timedelta64(1, "s")
    records["site"] = generator.choice(sites, len(records))
    records["quantity"] = generator.choice([QUANTITIES["power"].code, QUANTITIES["sound_laeq"].code], len(records))
    records["value"] = part
    records["duration_s"] = 60.0
    records["seq"] = NO_SEQ
    return records


def degrees(west: float, south: float, east: float, north: float) -> tuple[float, float, float, float]:
    bounds = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform_bounds(west, south, east, north)
    return tuple(bounds)  # type: ignore[return-value]


def test_a_box_holds_the_sites_that_lie_in_it(city):
    box = degrees(WEST, SOUTH, WEST + 400, SOUTH + 300)
    sites = city.places("sites").to_crs("EPSG:4326")
    inside = sites.geometry.x.between(box[0], box[2]) & sites.geometry.y.between(box[1], box[3])
    assert 0 < inside.sum() < len(sites)
    assert sites_in_box(city, box) == sorted(sites.site[inside].tolist())


@pytest.mark.parametrize(("from_", "to"), [("22:00", "06:00"), ("", "23:00"), ("03:00", ""), ("", "")])
@pytest.mark.parametrize("quantity", [None, "power"])
def test_what_is_found_is_what_a_look_at_the_whole_night_finds(city, from_, to, quantity):
    night = Night.named(NIGHT, city.zone)
    box = degrees(WEST, SOUTH, WEST + 400, SOUTH + 300)
    codes = None if quantity is None else [QUANTITIES[quantity].code]
    found = readings_in_box(city, night, box, from_=from_, to=to, quantities=codes)
    everything = night_records(city, night)
    start = night.time_of(from_) if from_ else night.start
    end = night.time_of(to) if to else night.end
    meant = np.isin(everything["site"], sites_in_box(city, box))
    if from_ or to:
        meant &= (everything["time"] > start) & (everything["time"] <= end)
    if codes:
        meant &= np.isin(everything["quantity"], codes)
    assert 0 < len(found) < len(everything)
    np.testing.assert_array_equal(found, everything[meant])


def test_a_box_without_sites_holds_no_readings(city):
    assert len(readings_in_box(city, Night.named(NIGHT, city.zone), (0.0, 0.0, 1.0, 1.0))) == 0


@pytest.mark.parametrize("box", [(25.0, 60.0, 24.0, 61.0), (24.0, float("nan"), 25.0, 61.0)])
def test_what_is_no_box_is_refused_in_a_sentence(city, box):
    with pytest.raises(CityError, match="west,south,east,north"):
        sites_in_box(city, box)


def test_hours_in_the_wrong_order_are_refused_in_a_sentence(city):
    with pytest.raises(CityError, match="is not before"):
        readings_in_box(city, Night.named(NIGHT, city.zone), from_="06:00", to="22:00")


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "1e3,2,3,4", "1,2,3,nan", "a,b,c,d"])
def test_a_box_that_is_not_written_as_one_is_refused_in_a_sentence(text):
    with pytest.raises(CityError, match="write west,south,east,north"):
        parse_bounds(text)


def ask(*arguments: object):
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, ["readings", *map(str, arguments)])


def test_a_table_says_everything_about_each_reading_and_csv_and_parquet_say_the_same(city, tmp_path):
    box = ",".join(f"{edge:.7f}" for edge in degrees(WEST, SOUTH, WEST + 400, SOUTH + 300))
    asked = (city.path, "--night", NIGHT, "--box", box, "--from", "22:00", "--to", "23:00", "--quantity", "power")
    shown = ask(*asked)
    assert shown.exit_code == 0, shown.output
    assert "SIMULATED" in shown.stderr
    printed = pd.read_csv(io.StringIO(shown.stdout))
    assert ask(*asked, "--out", tmp_path / "r.parquet").exit_code == 0
    kept = pd.read_parquet(tmp_path / "r.parquet")
    night = Night.named(NIGHT, city.zone)
    bounds = parse_bounds(box)
    records = readings_in_box(city, night, bounds, from_="22:00", to="23:00", quantities=[QUANTITIES["power"].code])
    assert len(printed) == len(kept) == len(records) > 0
    assert printed.columns.tolist() == kept.columns.tolist() == readings_table(city, records).columns.tolist()
    assert set(kept["unit"]) == {"W"}
    assert kept["seq"].isna().all()
    np.testing.assert_array_equal(kept["site"], records["site"])
    np.testing.assert_array_equal(pd.to_datetime(printed["time"]), kept["time"])


@pytest.mark.parametrize(
    ("wrong", "word"),
    [(("--quantity", "smell"), "smell"), (("--from", "25:00"), "22:00"), (("--night", "yesterday"), "yesterday")],
)
def test_what_is_asked_wrongly_is_said_with_what_would_do(city, wrong, word):
    refused = ask(city.path, *wrong)
    assert refused.exit_code == 2
    assert word in refused.output


def test_an_empty_night_is_an_empty_table(city):
    shown = ask(city.path, "--night", "2020-01-01")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        "time,received,site,device,quantity,value,unit,duration_s,flags,origin,boot,seq,part"
    ]
