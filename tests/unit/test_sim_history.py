import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from firmware_sim import safety
from firmware_sim.crowd import hours_of_evening
from firmware_sim.history import COLUMNS, write_history
from firmware_sim.pace import paced
from firmware_sim.residents import residents_answers
from firmware_sim.sun import elevation_deg
from firmware_sim.town import Town
from firmware_sim.truth import Instruments, NightTruth
from sensors.city import City
from sensors.clock import city_clock, clear_clock, set_clock
from sensors.errors import CityError
from sensors.night import Night, nights_of, sun_elevation
from sensors.places import save_place
from tests.synthetic_city import SIDE, SOUTH, WEST, make_city

UNTIL = date(2026, 11, 20)
WEEKS = 3


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return make_city(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def history(city: City, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("history")
    write_history(city, out, weeks=WEEKS, until=Night(UNTIL, city.zone), seed=5, answers=1600)
    return out


@pytest.fixture(scope="module")
def answers(history: Path) -> pd.DataFrame:
    return pd.read_csv(history / "answers.csv")


def times_of(frame: pd.DataFrame) -> np.ndarray:  # type: ignore[type-arg]
    return pd.to_datetime(frame["time"], utc=True).dt.tz_localize(None).to_numpy().astype("datetime64[ms]")


def test_one_seed_gives_one_history_byte_for_byte(city: City, history: Path, tmp_path: Path) -> None:
    write_history(City.open(city.path), tmp_path, weeks=WEEKS, until=Night(UNTIL, city.zone), seed=5, answers=1600)
    for name in ("counts.csv", "noise.csv", "answers.csv"):
        assert (tmp_path / name).read_bytes() == (history / name).read_bytes()


def test_records_cover_the_nights_before_and_have_gaps(city: City, history: Path) -> None:
    for name, quantity, devices in (("counts", "people_flow", 6), ("noise", "sound_laeq", 6)):
        frame = pd.read_csv(history / f"{name}.csv")
        assert tuple(frame.columns) == COLUMNS
        assert set(frame["quantity"]) == {quantity}
        nights = np.unique(nights_of(times_of(frame), city.zone))
        assert len(nights) == 7 * WEEKS
        assert nights[-1] == np.datetime64("2026-11-19")
        full = devices * 7 * WEEKS * 52
        assert 0.9 * full < len(frame) < full


def test_history_is_what_the_live_night_of_that_seed_would_have_said(city: City, history: Path) -> None:
    town = Town.of(city, 5)
    truth = NightTruth.of(town, Instruments.of(town), Night(date(2026, 11, 13), city.zone))
    ends, counted, _ = truth.counted()
    frame = pd.read_csv(history / "counts.csv")
    times = times_of(frame)
    devices = truth.instruments.fleet.rows("people_flow")["device"].tolist()
    mine = np.flatnonzero(nights_of(times, city.zone) == np.datetime64("2026-11-13"))
    assert len(mine) > 200
    step = np.searchsorted(ends, times[mine].astype(np.int64))
    row = [devices.index(name) for name in frame["device"].to_numpy()[mine]]
    assert (counted[row, step] == frame["value"].to_numpy()[mine]).all()


def test_answers_are_given_in_the_dark_on_the_streets_of_the_city(city: City, answers: pd.DataFrame) -> None:
    times = times_of(answers)
    longitude, latitude = city.centre_lonlat()
    assert (sun_elevation(times, latitude, longitude) < -5.5).all()
    for night in np.unique(nights_of(times, city.zone)):
        mine = times[nights_of(times, city.zone) == night].astype(np.int64)
        assert hours_of_evening(mine, Night(night.item(), city.zone)).max() <= 30.1
    grid = city.settings.grid
    from pyproj import Transformer

    back = Transformer.from_crs("EPSG:4326", city.crs, always_xy=True)
    easting, northing = back.transform(answers["lon"].to_numpy(), answers["lat"].to_numpy())
    assert grid.west == WEST and grid.south == SOUTH
    assert ((easting > WEST - 20) & (easting < WEST + SIDE + 20)).all()
    assert ((northing > SOUTH - 20) & (northing < SOUTH + SIDE + 20)).all()


def test_controllers_find_the_sun_where_the_almanac_has_it() -> None:
    moments = np.arange(np.datetime64("2026-01-01", "ms"), np.datetime64("2027-01-01", "ms"), np.timedelta64(7001, "s"))
    for longitude, latitude in ((24.94, 60.17), (144.96, -37.81)):
        mine = elevation_deg(moments.astype(np.int64), longitude, latitude)
        assert np.abs(mine - sun_elevation(moments, latitude, longitude)).max() < 0.05


def test_those_who_answer_are_skewed_as_in_real_campaigns(answers: pd.DataFrame) -> None:
    assert len(answers) == 1600
    assert answers["response_id"].is_unique
    assert answers["pseudonym"].nunique() >= 300
    people = answers.drop_duplicates("pseudonym")
    assert people["gender"].eq("woman").mean() == pytest.approx(0.55, abs=0.08)
    assert 0 < people["age_band"].eq("65+").mean() < 0.10
    assert set(answers["category"]) == {1, 2, 3, 4}


def test_light_lifts_and_womanhood_lowers_what_is_reported(city: City, answers: pd.DataFrame) -> None:
    assert (
        answers[answers["gender"] == "man"]["category"].mean()
        > answers[answers["gender"] == "woman"]["category"].mean()
    )
    hours, weekend = np.array([23.0, 23.0]), np.zeros(2)
    dark, lit = safety.conditions(np.array([0.1, 20.0]), np.full(2, 100.0), np.full(2, 55.0), hours, weekend)
    assert lit - dark == pytest.approx(0.9 * (safety.light_term(np.array(20.0)) - safety.light_term(np.array(0.1))))


def test_coefficients_keep_within_the_priors_that_studies_give() -> None:
    priors = {  # perception.md 3: mean and sd
        "light": (0.8, 0.5),
        "footfall": (0.4, 0.4),
        "crowd": (-0.2, 0.3),
        "noise": (0.0, 0.3),
        "woman": (-0.8, 0.4),
        "alone": (-0.3, 0.4),
        "65+": (-0.2, 0.4),
        "woman x light": (0.0, 0.25),
    }
    for name, (mean, sd) in priors.items():
        assert abs(safety.COEFFICIENTS[name] - mean) <= 1.5 * sd


def test_where_it_never_gets_dark_nobody_is_asked(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(City, "centre_lonlat", lambda self: (25.0, 69.0))  # beyond the polar circle
    white, dark = Night(date(2026, 6, 21), city.zone), Night(date(2026, 11, 20), city.zone)
    with pytest.raises(CityError, match="gets dark"):
        residents_answers(Town.of(city, 1), [white], 50)
    both = residents_answers(Town.of(city, 1), [white, dark], 50)
    assert (nights_of(times_of(both), city.zone) == np.datetime64("2026-11-20")).all()


def test_a_city_whose_clock_is_set_keeps_it(city: City) -> None:
    set_clock(city.path, np.datetime64("2026-11-20T18:00", "ms"), 60)
    try:
        with pytest.raises(CityError, match="already set"), paced(city.path, 10):
            pass
    finally:
        clear_clock(city.path)
    with paced(city.path, 10):
        assert city_clock(city.path).speed == 10
    assert not city_clock(city.path).simulated


def test_a_city_with_recorded_counters_gets_no_counts_from_here(tmp_path: Path) -> None:
    city = make_city(tmp_path / "town")
    sites = city.places("sites").copy()
    sites.loc[sites["quantity"] == "people_flow", "origin"] = "recorded"
    save_place(city.path, "sites", sites)
    done = write_history(
        City.open(city.path), tmp_path / "out", weeks=1, until=Night(UNTIL, city.zone), seed=1, answers=50
    )
    assert (done.counts, done.people) == (0, 50)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["answers.csv", "noise.csv"]


def test_the_command_writes_and_says_what_it_wrote(city: City, tmp_path: Path) -> None:
    from noctule import app

    arguments = ["simulate-history", str(city.path), "--out", str(tmp_path), "--until", "2026-11-20", "--weeks", "1"]
    result = CliRunner().invoke(app, [*arguments, "--answers", "320"])
    assert result.exit_code == 0, result.output
    assert "SIMULATED" in result.output
    assert len(pd.read_csv(tmp_path / "answers.csv")) == 320
    wrong = CliRunner().invoke(app, [*arguments[:4], "--until", "Friday"])
    assert wrong.exit_code == 2


def test_only_typer_is_loaded_before_a_command_runs() -> None:
    code = "import sys, firmware_sim.commands; print('numpy' in sys.modules or 'paho' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
