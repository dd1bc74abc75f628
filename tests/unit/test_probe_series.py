"""Places through a night: told by their cell, with the values that the map has there, in tables that run no formula."""

import csv

import numpy as np
import pytest

from dashboard.probe_series import MOST, ProbeSeries, plain, read_places, series_csv, snapped, told_series
from dashboard.runs import Runs
from dashboard.words import words
from tests import synthetic_atlas
from tests.synthetic_city import make_city


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    city = make_city(tmp_path_factory.mktemp("city") / "smalltown")
    synthetic_atlas.write_night(city, "2026-11-20", steps=3)
    return Runs(city)


def middle(runs):
    rows, columns = runs.frame.shape
    longitude, latitude = runs.frame.lonlat(rows // 2, columns // 2)
    return latitude, longitude


def test_an_address_names_at_most_six_places_and_nothing_else():
    assert len(read_places(";".join(["60.1,24.9"] * 20))) == MOST
    assert read_places("<script>;60.1,24.9,1;nan,1;1e3,2;60.1;;-91,0;60.1,24.9") == [(60.1, 24.9)]
    assert read_places("1," * 100_000) == []


def test_a_place_is_told_no_finer_than_the_square_that_answers_are_told_in(runs):
    latitude, longitude = middle(runs)
    fine, one = snapped(runs.frame, "light", (latitude, longitude))
    coarse, square = snapped(runs.frame, "safety", (latitude, longitude))
    cell_m = runs.frame.cell_m
    assert (one[0].stop - one[0].start) * cell_m == cell_m
    assert (square[0].stop - square[0].start) * cell_m >= 50
    assert snapped(runs.frame, "safety", coarse) == (coarse, square)
    assert snapped(runs.frame, "light", fine)[0] == fine


def test_a_place_outside_and_a_square_told_twice_are_left_out(runs):
    place = middle(runs)
    series = ProbeSeries(runs).of(runs.get("2026-11-20"), "safety", [(0.0, 0.0), place, place])
    assert len(series.places) == 1


def test_a_series_holds_what_the_pages_hold_and_nothing_for_steps_that_are_not_closed(runs):
    run, place = runs.get("2026-11-20"), middle(runs)
    series = ProbeSeries(runs).of(run, "noise", [place])
    _, square = snapped(runs.frame, "noise", place)
    page = runs.fields(run, 1, ("noise", "noise_sd"))
    assert series.value[0, 1] == pytest.approx(float(page["noise"][square][0, 0]), nan_ok=True)
    assert np.isfinite(series.value[0, :3]).all() or np.isnan(series.value[0, :3]).all()
    assert np.isnan(series.value[0, 3:]).all()
    told = told_series(series, run, "noise", words("en"), runs.city.zone)
    assert len(told["labels"]) == len(run.times) == len(told["value"][0])
    assert told["value"][0][-1] is None
    assert told["words"][0][-1] == "–"


def test_a_table_has_a_row_for_each_told_step_and_low_below_high(runs):
    run = runs.get("2026-11-20")
    series = ProbeSeries(runs).of(run, "light", [middle(runs)])
    lines = series_csv(series, run, "light", ["=SUM(A1)\nx", "note"]).splitlines()
    assert lines[:2] == ["# =SUM(A1) x", "# note"]
    rows = list(csv.DictReader(lines[2:]))
    assert len(rows) == int(np.isfinite(series.value).sum()) == 3
    assert all(float(row["low_90"]) < float(row["illuminance"]) < float(row["high_90"]) for row in rows)


def test_no_cell_of_a_table_begins_like_a_formula():
    assert [plain(cell) for cell in ("=1+1", "@x", "+a", "-b", "-12.5", "probe 1", -3.0)] == [
        "'=1+1", "'@x", "'+a", "'-b", "-12.5", "probe 1", -3.0,
    ]  # fmt: skip
