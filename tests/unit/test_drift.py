"""A sensor that drifts away from its neighbours is suspect within four weeks, and a season is no drift."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.archive import append_records
from ingest.drift import DRIFT_COLUMNS, LEAST_NIGHTS, NIGHTS, drift, mann_kendall
from sensors.city import City
from sensors.flags import Flag
from sensors.night import Night
from sensors.places import save_place
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records
from tests.reference.drift import plain_trend
from tests.synthetic_city import make_city

LAST = date(2026, 11, 20)


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def sites_of(city, quantity: str) -> list[int]:
    table = city.places("sites")
    return table[table["quantity"] == quantity]["site"].astype(int).tolist()


def nightly(
    city, quantity: str, values: np.ndarray, *, last: date = LAST, hours: tuple[int, int] = (25, 29)
) -> Records:
    """Readings every quarter of an hour between local hours: values (n_sites, n_nights) of the sites of a quantity."""
    parts = []
    for column in range(values.shape[1]):
        night = Night(last - timedelta(days=values.shape[1] - 1 - column), city.zone)
        ends = np.arange(night.at(hours[0]), night.at(hours[1]), np.timedelta64(15, "m")) + np.timedelta64(15, "m")
        for site, value in zip(sites_of(city, quantity), values[:, column], strict=True):
            if np.isnan(value):
                continue
            part = empty_records(len(ends))
            part["site"], part["quantity"], part["value"] = site, QUANTITIES[quantity].code, value
            part["time"] = part["received"] = ends
            part["duration_s"] = 900
            parts.append(part)
    return np.concatenate(parts)


def judged(city, *, last: date = LAST, most: int = NIGHTS):
    return drift(city, Night(last, city.zone), most=most).set_index("site")


def levels(city, nights: int, *, seed: int = 1, sd: float = 1.0) -> np.ndarray:
    """Of the noise meters: weather that all of them hear, and what each hears by itself."""
    generator = np.random.default_rng(seed)
    n = len(sites_of(city, "sound_laeq"))
    return 42.0 + generator.normal(0, 3, nights) + generator.normal(0, sd, (n, nights))


@pytest.mark.parametrize("weeks", [2, 3, 4])
def test_a_slow_drift_of_ten_decibels_is_found_within_its_weeks(city, weeks):
    values = levels(city, 7 * weeks)
    values[2] += np.linspace(0, 10, 7 * weeks)
    append_records(city, nightly(city, "sound_laeq", values), "test")
    table = judged(city)
    site = sites_of(city, "sound_laeq")[2]
    assert table.index[0] == site
    assert table[table["suspect"]].index.tolist() == [site]
    row = table.loc[site]
    assert row["change"] == pytest.approx(10, abs=2)
    assert (row["nights"], row["unit"], row["against"]) == (7 * weeks, "dB", "3 neighbours")
    assert row["sentence"].startswith("suspect: +") and "check it before" in row["sentence"]


def test_healthy_sensors_are_seldom_suspect_and_a_season_that_all_hear_never_makes_them_so(city):
    suspects = 0
    for seed in range(4):
        town = make_city(city.path.parent / f"town-{seed}")
        values = levels(town, NIGHTS, seed=seed, sd=3.0) + np.linspace(0, 8, NIGHTS)  # leaves fall, the wind rises
        append_records(town, nightly(town, "sound_laeq", values), "test")
        suspects += int(judged(town)["suspect"].sum())
    assert suspects <= 1  # 24 sites, of which chance takes one in a hundred


def test_a_meter_that_stood_still_or_moved_by_less_than_matters_is_left_in_peace(city):
    values = np.full((6, NIGHTS), 42.0)
    values[1] += np.linspace(0, 1.2, NIGHTS)  # clear, and too small
    append_records(city, nightly(city, "sound_laeq", values), "test")
    table = judged(city)
    assert not table["suspect"].any()
    assert table.loc[sites_of(city, "sound_laeq")[1], "p"] < 0.01
    assert set(table["sentence"]) == {f"no drift beyond chance in {NIGHTS} nights"}


def test_one_neighbour_that_drifts_draws_no_other_into_suspicion(city):
    values = levels(city, NIGHTS, sd=0.5)
    values[0] += np.linspace(0, -12, NIGHTS)
    append_records(city, nightly(city, "sound_laeq", values), "test")
    assert judged(city)["suspect"].sum() == 1


@pytest.mark.parametrize(("nights", "found"), [(9, 0), (10, 1)])
def test_with_few_nights_nothing_is_said(city, nights, found):
    values = levels(city, nights, sd=0.3)
    values[2] += np.linspace(0, 30, nights)
    append_records(city, nightly(city, "sound_laeq", values), "test")
    assert judged(city)["suspect"].sum() == found
    assert (len(judged(city)) > 0) == (nights >= LEAST_NIGHTS)
    assert tuple(drift(city, Night(LAST, city.zone)).columns) == DRIFT_COLUMNS


def test_only_the_last_nights_count_and_failed_readings_do_not(city):
    values = levels(city, NIGHTS + 14, sd=0.5)
    values[2, :14] -= 20  # before
    records = nightly(city, "sound_laeq", values)
    loud = values.copy()
    loud[1] += np.linspace(0, 200, NIGHTS + 14)
    wrong = nightly(city, "sound_laeq", loud)
    wrong["time"] += np.timedelta64(1, "s")
    wrong["flags"] = Flag.RANGE
    append_records(city, np.concatenate([records, wrong]), "test")
    table = judged(city)
    assert not table["suspect"].any()
    assert set(table["nights"]) == {NIGHTS}


def test_quiet_hours_are_local_ones_across_the_change_of_clocks(city):
    """From summer to winter time; what is louder an hour earlier stays out."""
    last = date(2026, 11, 8)
    values = levels(city, NIGHTS, sd=0.3)
    quiet = nightly(city, "sound_laeq", values, last=last, hours=(28, 29))
    values[1] += np.linspace(0, 30, NIGHTS)
    loud = nightly(city, "sound_laeq", values, last=last, hours=(27, 28))
    append_records(city, np.concatenate([quiet, loud]), "test")
    assert not judged(city, last=last)["suspect"].any()
    assert judged(city, last=last)["change"].abs().max() < 1


def test_the_background_level_is_watched_where_it_is_sent(city):
    table = city.places("sites")
    meter = table[table["quantity"] == "sound_laeq"].iloc[[0]].copy()
    meter["site"], meter["quantity"] = np.uint32(table["site"].max() + 1), "sound_la90"
    save_place(city.path, "sites", pd.concat([table, meter], ignore_index=True))
    city = City.open(city.path)
    values = levels(city, NIGHTS)
    append_records(city, nightly(city, "sound_laeq", values), "test")
    append_records(city, nightly(city, "sound_la90", values[:1] - 4), "test")
    watched = judged(city)
    device = meter["device"].iloc[0]
    assert watched[watched["device"] == device]["quantity"].tolist() == ["sound_la90"]


def test_light_that_fades_is_told_as_a_share(city):
    values = np.exp(np.random.default_rng(3).normal(2, 0.03, (4, NIGHTS)))
    values[1] *= np.linspace(1, 0.5, NIGHTS)
    append_records(city, nightly(city, "illuminance", values), "test")
    table = judged(city)
    site = sites_of(city, "illuminance")[1]
    assert table[table["suspect"]].index.tolist() == [site]
    assert "-5" in table.loc[site, "sentence"] or "-4" in table.loc[site, "sentence"]
    assert "%" in table.loc[site, "sentence"]


def test_the_twilight_of_a_northern_spring_is_no_drift(city):
    """It adds the same lux to a dim place and to a bright one, which is not the same in ln."""
    twilight = np.exp(np.linspace(np.log(0.01), np.log(3.0), NIGHTS))
    lamps = np.array([0.4, 8.0, 12.0, 10.0])[:, None] * np.exp(np.random.default_rng(5).normal(0, 0.02, (4, NIGHTS)))
    last = date(2026, 6, 5)  # the sun is at -7 degrees at midnight
    append_records(city, nightly(city, "illuminance", lamps + twilight, last=last), "test")
    assert not drift(city, Night(last, city.zone))["suspect"].any()


def test_a_counter_that_loses_people_is_found_and_a_quiet_week_of_all_is_not(city):
    generator = np.random.default_rng(2)
    usual = np.where(np.arange(NIGHTS) > 20, 30.0, 60.0)  # holidays
    values = np.rint(generator.normal(usual, 3, (6, NIGHTS)))
    values[4] = np.rint(values[4] * np.linspace(1, 0.4, NIGHTS))
    append_records(city, nightly(city, "people_flow", values, hours=(12, 36)), "test")
    table = judged(city)
    assert table[table["suspect"]].index.tolist() == [sites_of(city, "people_flow")[4]]


def test_a_city_without_readings_or_without_sensors_has_no_drift(city, tmp_path):
    assert len(judged(city)) == 0
    empty = make_city(tmp_path / "empty")
    save_place(empty.path, "sites", empty.places("sites").iloc[:0])
    assert len(judged(City.open(empty.path))) == 0


@given(st.lists(st.one_of(st.none(), st.sampled_from([-1.5, 0.0, 0.25, 1.0, 3.0])), min_size=4, max_size=30))
def test_the_plain_trend_is_the_same(values):
    series = [np.nan if value is None else value for value in values]
    slope, chance = mann_kendall(series)
    if sum(value is not None for value in values) < 4:
        assert np.isnan(slope) and chance == 1.0
        return
    plain = plain_trend(values)
    assert slope == pytest.approx(plain[0], abs=1e-12)
    assert chance == pytest.approx(plain[1], abs=1e-9)


def test_a_trend_turned_round_is_as_clear_and_a_constant_added_changes_nothing():
    values = np.random.default_rng(1).normal(0, 1, 20) + np.linspace(0, 2, 20)
    slope, chance = mann_kendall(values)
    assert mann_kendall(-values) == (pytest.approx(-slope), chance)
    assert mann_kendall(values + 8) == (pytest.approx(slope), chance)
