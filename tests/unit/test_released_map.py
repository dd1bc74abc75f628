"""The map on paper: no finer than it was released, no surer than it is."""

import re

import numpy as np
import pytest

from analytics.night_areas import areas_of
from analytics.phrases import LANGUAGES, phrases
from analytics.released_map import COLOURS, GREY, WIDTHS, colour_of, legend, released_map, tier_colours, tier_of
from tests import synthetic_atlas
from tests.synthetic_city import make_city


def lightness(colour):
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    return make_city(tmp_path_factory.mktemp("map") / "town")


@pytest.fixture(scope="module")
def page(city):
    from analytics import atlas

    return synthetic_atlas.page(city, atlas.night_steps(city, synthetic_atlas.night(city))[4])


@pytest.mark.parametrize("count", [8, 4, 2])
def test_lightness_rises_with_the_share_and_nothing_is_red(count):
    colours = tier_colours(count)
    assert len(set(colours)) == count
    assert np.all(np.diff([lightness(colour) for colour in colours]) > 0)
    for colour in colours:
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        assert not (red > 1.3 * green and red > 1.3 * blue)


def test_the_less_sure_the_fewer_colours_and_at_last_none():
    assert [tier_of(width / 3.29) for width in (5, *[w + 1 for w in WIDTHS])] == [0, 1, 2, 3]
    for sd, count in zip((2, 8, 14, 30), COLOURS, strict=True):
        assert len({colour_of(safe, sd) for safe in np.linspace(0, 100, 101)}) == count
    assert colour_of(10, 30) == colour_of(90, 30) == GREY


def test_what_is_hatched_is_hatched_and_no_cell_is_smaller_than_released(city, page):
    drawn = released_map(city, page, areas_of(city))
    assert drawn.count("url(#hatch)") > 0
    none = page.assign(safety_hatched=page["safety_hatched"] * 0)
    assert released_map(city, none, areas_of(city)).count("url(#hatch)") == 0
    grid = city.settings.grid
    scale = 1000 / max(grid.east - grid.west, (grid.north - grid.south) * 0.75)
    cells = re.findall(r'<rect x="[-\d.]+" y="[-\d.]+" width="([\d.]+)" height="([\d.]+)" fill="', drawn)
    assert min(float(width) for width, _ in cells) >= 49.9 * scale
    assert min(float(height) for _, height in cells) >= 49.9 * scale


def test_venues_and_streets_carry_no_names_and_a_mark_is_escaped(city, page):
    drawn = released_map(city, page, areas_of(city), "a <mark>")
    words = re.findall(r">([^<>]+)</text>", drawn)
    assert set(words) - {"a &lt;mark&gt;"} <= set(areas_of(city).names)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_legend_has_a_row_a_tier_and_words_for_hatching(language):
    drawn = legend(phrases(language), squares=True)
    assert drawn.count("<rect") == sum(COLOURS) + 2 + 2  # tiers; hatching and gaps; the pattern's own two
    assert phrases(language)("night_report.legend_title") in drawn
