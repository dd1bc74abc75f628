"""Pictures to take along: of the map as it is, with what they must say, and of nothing that is not mapped."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dashboard.basemap import Basemap
from dashboard.citing import export_layer, latex
from dashboard.frame_picture import WIDEST, View, loop, still, window_of, wrapped
from dashboard.picturing import read_box
from dashboard.runs import Runs
from dashboard.words import words
from tests import synthetic_atlas
from tests.synthetic_city import make_city


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    city = make_city(tmp_path_factory.mktemp("city") / "smalltown")
    synthetic_atlas.write_night(city, "2026-11-20", steps=3)
    return SimpleNamespace(city=city, runs=Runs(city), basemap=Basemap(city))


def view(house, layer="safety", ground="dark"):
    return View(house.runs.get("2026-11-20"), layer, house.runs.frame.bounds_lonlat, ground)


def pixels(body):
    return np.asarray(Image.open(io.BytesIO(body)).convert("RGB")).astype(int)


@pytest.mark.parametrize("ground", ["dark", "light", "contrast"])
def test_a_picture_shows_the_layer_in_the_colours_of_the_map(house, ground):
    picture = pixels(still(house, view(house, ground=ground), 1, words("en")))
    assert max(picture.shape[:2]) > 300
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def test_every_language_layer_and_frame_that_is_mapped_has_a_picture_and_no_other(house):
    for layer in house.runs.get("2026-11-20").layers:
        assert still(house, view(house, layer), 0, words("fr")) is not None
    for frame in (3, 39, 9999):
        assert still(house, view(house), frame, words("en")) is None
    assert loop(house, view(house), [], words("en"), "gif") is None


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_loop_has_a_picture_for_each_step_and_begins_again(house, kind):
    moving = Image.open(io.BytesIO(loop(house, view(house, "footfall"), [0, 1, 2], words("en"), kind)))
    assert moving.n_frames == 3
    assert moving.info.get("loop", 0) == 0


def test_the_simulated_mark_is_part_of_the_picture(house, monkeypatch):
    marked = pixels(still(house, view(house, "noise"), 0, words("en")))
    monkeypatch.setattr(house.runs, "simulated", lambda run: frozenset())
    plain = pixels(still(house, view(house, "noise"), 0, words("en")))
    assert marked.shape[0] > plain.shape[0]  # it stands below as well
    high = plain.shape[0] // 2
    assert (np.abs(marked[:high] - plain[:high]).sum(axis=2) > 40).mean() > 0.01


def test_a_window_is_as_wide_as_asked_and_keeps_the_shape_of_its_box():
    window = window_of((24.93, 60.16, 24.96, 60.18), WIDEST)
    shape = (window.right - window.left) / (window.bottom - window.top)
    assert max(window.size) == WIDEST
    assert window.size[0] / window.size[1] == pytest.approx(shape, rel=0.01)


@pytest.mark.parametrize("text", ["24.9,59,24.9006,61", "24,60.17,26,60.1706"])
def test_a_strip_is_drawn_from_no_more_than_a_screen(text):
    window = window_of(read_box(text), WIDEST)
    assert max(window.right - window.left, window.bottom - window.top) <= 1.6 * WIDEST


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "a,b,c,d", "1e999,0,2,1", "0,0,90,80", "0,-89,1,0", "10,10,10,10", "1," * 99]
)
def test_what_is_no_box_is_refused(text):
    assert read_box(text) is None


def test_lines_are_no_longer_than_asked_and_lose_no_word():
    text = "Modelled from answers, light, sound and footfall. It is no measure of crime."
    lines = wrapped(text, 13, 200)
    assert len(lines) > 1
    assert " ".join(lines) == text


def test_citations_survive_latex_and_exports_know_the_layers():
    assert latex("50 % of R&D_{x}") == r"50 \% of R\&D\_\{x\}"
    assert [export_layer(name) for name in ("light", "evidence", "safety_women", "noise")] == [
        "illuminance", "safety", "groups", "noise",
    ]  # fmt: skip
