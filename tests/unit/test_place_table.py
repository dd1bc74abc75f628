"""The map as a table: what its pixels say, at most so many rows, never in the order of the value."""

import numpy as np
import pytest

from dashboard.place_table import MOST_ROWS, Names, Row, place_table, places_in_view, shortened
from dashboard.scales import SCALES
from dashboard.tiles import Block, GridFrame, pyramid, render
from dashboard.words import words

FRAME = GridFrame("EPSG:3067", 385_000.0, 6_671_000.0, 10.0, (40, 40))
EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)


def names_of(**cells):
    """Named places at cells (row, column) of the grid."""
    lonlat = np.array([FRAME.lonlat(*cell) for cell in cells.values()])
    return Names(tuple(cells), lonlat[:, 0], lonlat[:, 1])


def levels_of(quantity, layer="safety", sd=3.0, ground=True):
    shape = FRAME.shape
    return pyramid(SCALES[layer], quantity, np.full(shape, sd), None, np.full(shape, ground))


@pytest.fixture
def rising():
    return np.arange(1600, dtype=float).reshape(40, 40) / 16


def told(table):
    return str(table.to_plotly_json())


def test_a_row_says_what_the_pixel_of_its_place_says(rising):
    rows = places_in_view(names_of(Alpha=(7, 9)), FRAME, levels_of(rising), "safety", EVERYWHERE, FRAME.native_zoom)
    assert rows == [Row("Alpha", float(round(rising[7, 9])), 14)]


@pytest.mark.parametrize("zoom", [12, 13, 14, 15, 16, 17])
def test_at_every_zoom_a_row_says_what_the_tile_of_that_zoom_shows(rising, zoom):
    names, levels = names_of(**{f"P{row:02d}": (row, 39 - row) for row in range(40)}), levels_of(rising)
    zoom = min(zoom, FRAME.native_zoom)
    rows = places_in_view(names, FRAME, levels, "safety", EVERYWHERE, zoom)
    told = {row.name: round(row.value) for row in rows}
    for label, longitude, latitude in zip(names.labels, names.longitude, names.latitude, strict=True):
        down = 0.5 - np.log(np.tan(np.pi / 4 + np.radians(latitude) / 2)) / 2 / np.pi
        x, y = (longitude + 180) / 360 * 2**zoom, down * 2**zoom
        tile = np.frombuffer(render(FRAME, levels, Block(zoom, int(x), int(x), int(y), int(y))), np.uint8)
        pixels = np.cumsum(tile.reshape(2, 256, 256), axis=2, dtype=np.uint8)
        shown = pixels[0, int(y % 1 * 256), int(x % 1 * 256)]
        assert told.get(label, 255) == int(shown), label


def test_only_what_is_in_view_is_listed_in_the_order_of_the_alphabet(rising):
    names = names_of(Zeta=(3, 3), alpha=(30, 30), Mid=(4, 4))
    (west, south), (east, north) = FRAME.lonlat(0, 0), FRAME.lonlat(20, 20)
    box = (west, south, east, north)
    rows = places_in_view(names, FRAME, levels_of(rising), "safety", box, FRAME.native_zoom)
    assert [row.name for row in rows] == ["Mid", "Zeta"]
    everything = places_in_view(names, FRAME, levels_of(rising), "safety", EVERYWHERE, FRAME.native_zoom)
    assert [row.name for row in everything] == ["alpha", "Mid", "Zeta"]


def test_a_hatched_place_says_that_there_is_no_evidence_and_water_says_nothing(rising):
    nothing = np.full((40, 40), np.nan)
    names = names_of(Quay=(5, 5))
    hatched = places_in_view(names, FRAME, levels_of(nothing), "safety", EVERYWHERE, FRAME.native_zoom)
    assert hatched[0].value is None
    assert words("en")("legend.hatched") in told(place_table(hatched, "safety", words("en"), "now"))
    water = levels_of(nothing, ground=False)
    assert places_in_view(names, FRAME, water, "safety", EVERYWHERE, FRAME.native_zoom) == []


def test_a_difference_that_cannot_be_told_from_zero_is_not_told():
    table = told(place_table([Row("A", 7.0, 0), Row("B", 9.0, 15)], "gap_women", words("en"), "now"))
    assert words("en")("legend.grey") in table
    assert "+9" in table and "+7" not in table


def test_no_more_rows_than_a_page_can_bear_and_every_street_before_a_second_of_one():
    rows = [Row(f"Street {street:03d} · {crossing}", 1.0, 9) for street in range(150) for crossing in range(4)]
    shown = shortened(rows)
    assert len(shown) == MOST_ROWS
    assert len({row.name.split(" · ")[0] for row in shown}) == 150
    assert [row.name for row in shown] == sorted(row.name for row in shown)
    assert len(shortened([Row(f"{number:04d}", 1.0, 9) for number in range(5_000)])) == MOST_ROWS


def test_no_place_in_view_is_a_sentence():
    assert words("fr")("table.none") in told(place_table([], "safety", words("fr"), "now"))


@pytest.mark.parametrize("box", [(np.nan,) * 4, (np.inf, -np.inf, 0.0, 0.0), (1e308, 1e308, -1e308, -1e308)])
@pytest.mark.parametrize("zoom", [-(10**9), 10**9])
def test_an_absurd_view_lists_nothing(rising, box, zoom):
    assert places_in_view(names_of(A=(1, 1)), FRAME, levels_of(rising), "safety", box, zoom) == []
