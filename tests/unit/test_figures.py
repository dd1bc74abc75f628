"""Legends, curves and the words of a place."""

import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from dash._utils import to_json

from analytics.views import HATCHED
from dashboard.figures import curve_svg, details, legend, reasons
from dashboard.probe import Probe
from dashboard.scales import LAYERS
from dashboard.words import words

SAY, ZONE = words("en"), ZoneInfo("Europe/Helsinki")


def place(**changes):
    times = tuple(np.datetime64("2026-11-20T18:00", "ms") + np.timedelta64(15 * step, "m") for step in range(4))
    known = {
        "value": 72.0, "low": 64.4, "high": 79.6, "confidence": 9, "origins": ("modelled", "simulated"),
        "nearest_m": 84.0,
        "goes_with": {"light": 0.4, "people": -0.1, "noise": 0.01, "hour": -0.3}, "curve": (70.0, 71.0, None, 72.0),
        "times": times, "place": 3, "others": {"light": 12.3},
    }  # fmt: skip
    return Probe("safety", 24.9, 60.1, "value", **(known | changes))


def text(parts):
    return json.dumps(json.loads(to_json(parts)), ensure_ascii=False)


def test_a_place_says_value_interval_confidence_source_and_what_goes_with_it():
    said = text(details(place(), SAY, ZONE, True))
    for piece in ("72", "90\u00a0% interval: 64 to 80", "mixed as those who answered",
                  "Confidence: medium", "modelled, SIMULATED", "84 m away",
                  "the light (clearly)", "the hour (clearly)", "the people about (a little)", "SIMULATED"):  # fmt: skip
        assert piece in said
    assert "the sound" not in said  # a hundredth of a probit is nothing to speak of


def test_a_city_that_says_who_is_out_at_night_has_that_said_with_each_place():
    said = text(details(place(), SAY, ZONE, True, "out"))
    assert "people out at night" in said
    assert "those who answered" not in said


def test_a_city_of_published_shares_alone_says_that_its_streets_are_a_model():
    said = text(details(place(), SAY, ZONE, False, "shares"))
    assert "streets within it differ by is a model" in said
    assert "those who answered" not in said


def test_a_group_is_named_wherever_its_number_stands():
    women = dataclasses.replace(place(), layer="safety_women", groups={"safety_women": (72.0, 64.0, 80.0)}, people=20)
    said = text(details(women, SAY, ZONE, False))
    assert "Perceived safety · women" in said and "women: share that would likely say" in said
    assert "At least 20 people" in said and "those who answered" not in said
    gap = dataclasses.replace(women, layer="gap_women", value=-9.0, low=-15.2, high=-2.4, curve=(), goes_with={})
    said = text(details(gap, SAY, ZONE, False))
    assert "Women less men" in said and "−9" in said and "−15 to −2" in said and "−9.0" not in said


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_hatched_place_says_by_which_rule(language):
    say = words(language)
    for rule in (*HATCHED, "group_too_few"):
        said = text(details(Probe("safety", 24.9, 60.1, "hatched", why=rule), say, ZONE, False))
        assert json.dumps(say(f"hatched.{rule}"), ensure_ascii=False)[1:-1] in said
    assert text(details(Probe("light", 24.9, 60.1, "hatched"), say, ZONE, False))


def test_reasons_are_associations_strongest_first():
    safer, less = reasons({"light": 0.06, "people": 0.5, "noise": -0.2, "hour": 0.0}, SAY)
    assert safer == ["the people about (clearly)", "the light (a little)"]
    assert less == ["the sound (a little)"]


@pytest.mark.parametrize("state", ["hatched", "nothing", "outside"])
def test_a_place_without_a_value_never_shows_one(state):
    said = text(details(Probe("safety", 24.9, 60.1, state), SAY, ZONE, True))
    assert "likely" not in said
    assert "of 100" not in said


def test_noise_says_that_it_is_no_legal_metrology():
    assert "metrology" not in text(details(place(), SAY, ZONE, False))
    noise = Probe("noise", 24.9, 60.1, "value", 57.0, 52.0, 62.0, 12, ("modelled",), 30.0)
    assert "not legal metrology" in text(details(noise, SAY, ZONE, False))
    assert "57" in text(details(noise, SAY, ZONE, False))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_legend_has_the_hatched_entry(layer, language):
    assert words(language)("legend.hatched") in text(legend(layer, words(language)))


def test_a_curve_has_gaps_where_nothing_is_known():
    svg = curve_svg([10.0, 20.0, np.nan, 40.0, 50.0], ["a", "b", "c", "d", "<e>"], 4, 0, 100)
    root = ElementTree.fromstring(svg)
    path = next(part.get("d") for part in root.iter("{http://www.w3.org/2000/svg}path"))
    assert path.count("M") == 2
    assert "<e>" not in svg


def test_a_curve_names_its_colours_so_that_every_theme_can_put_in_its_own():
    svg = curve_svg([10.0, 20.0, 30.0], list("abc"), 1, 0, 100, [(5.0, 15.0)] * 3, [(50.0, "50")])
    used = set(re.findall(r'(?:fill|stroke)="([^"]+)"', svg)) - {"none"}
    assert used == {"{line}", "{soft}", "{sure}", "{strong}", "{warm}", "{solid}"}


def test_a_curve_lies_in_its_interval_and_names_its_scale():
    band = [(5.0, 15.0), (15.0, 30.0), (np.nan, np.nan), (30.0, 50.0), (np.nan, np.nan)]
    svg = curve_svg([10.0, 20.0, np.nan, 40.0, 50.0], list("abcde"), 4, 0, 100, band, [(50.0, "50"), (100.0, "<100>")])
    root = ElementTree.fromstring(svg)
    areas = [part for part in root.iter("{http://www.w3.org/2000/svg}path") if part.get("fill") != "none"]
    assert len(areas) == 2  # one for each stretch in which it is known
    said = [part.text for part in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "50" in said
    assert "<100>" in said


def test_a_layer_that_no_sensor_is_heard_of_says_so():
    assert "no sensor of this kind is heard" in text(details(place(nearest_m=float("inf")), SAY, ZONE, False))
