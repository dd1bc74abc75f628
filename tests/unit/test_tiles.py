"""Value tiles: the right cell under the right pixel, means where pixels are large, and nothing outside."""

import gzip

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from dashboard.scales import SCALES
from dashboard.tiles import (
    EMPTY,
    HATCHED,
    NOTHING,
    TILE,
    Block,
    ByteCache,
    GridFrame,
    compress,
    native_values,
    pixel_m,
    pyramid,
    render,
)  # fmt: skip

FRAME = GridFrame("EPSG:3067", 385_420.0, 6_671_450.0, 10.0, (170, 106))  # Helsinki: turned by 1.8 degrees in mercator


def unpack(body, block):
    tiles = np.frombuffer(body, np.uint8).reshape(block.rows, block.columns, 2, TILE, TILE)
    whole = np.cumsum(tiles, axis=-1, dtype=np.uint8)
    return whole.transpose(2, 0, 3, 1, 4).reshape(2, block.rows * TILE, block.columns * TILE)


def around(frame, zoom, reach=1):
    west, south, east, north = frame.bounds_lonlat
    longitude, latitude = (west + east) / 2, (south + north) / 2
    x = int((longitude + 180) / 360 * 2**zoom)
    y = int((0.5 - np.log(np.tan(np.pi / 4 + np.radians(latitude) / 2)) / (2 * np.pi)) * 2**zoom)
    return Block(zoom, x - reach, x + reach, y - reach, y + reach)


def pixel_lonlat(block, row, column):
    span = 2**block.zoom
    longitude = (block.x0 + (column + 0.5) / TILE) / span * 360 - 180
    latitude = np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * (block.y0 + (row + 0.5) / TILE) / span))))
    return longitude, latitude


def levels(values, sd=None, ground=None, layer="evidence"):
    ground = np.ones(values.shape, bool) if ground is None else ground
    return pyramid(SCALES[layer], values, sd, None, ground)


@pytest.mark.parametrize("zoom", [14, 15, 16])
def test_each_pixel_shows_the_cell_that_lies_under_it(zoom):
    number = np.arange(FRAME.shape[0] * FRAME.shape[1]).reshape(FRAME.shape) % 97
    block = around(FRAME, zoom)
    shown = unpack(render(FRAME, levels(number / 100), block), block)[0]
    generator = np.random.default_rng(3)
    rows, columns = generator.integers(0, 3 * TILE, (2, 3000))
    exact = Transformer.from_crs("EPSG:4326", FRAME.crs, always_xy=True)
    easting, northing = exact.transform(*pixel_lonlat(block, rows, columns))
    across, up = (easting - FRAME.west) / FRAME.cell_m, (northing - FRAME.south) / FRAME.cell_m
    inside = (across > 0) & (across < FRAME.shape[1]) & (up > 0) & (up < FRAME.shape[0])
    # Within a hundredth of a cell of an edge, either side is right.
    clear = inside & (np.abs(across % 1 - 0.5) < 0.49) & (np.abs(up % 1 - 0.5) < 0.49)
    assert clear.sum() > 200
    assert (shown[rows, columns][clear] == number[up[clear].astype(int), across[clear].astype(int)]).all()
    assert (shown[rows, columns][~inside & ((across < -0.01) | (up < -0.01))] == NOTHING).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(8, 16))
def test_a_uniform_city_is_uniform_at_every_zoom(zoom):
    block = around(FRAME, zoom, 0)
    value, confidence = unpack(render(FRAME, levels(np.full(FRAME.shape, 0.42), np.zeros(FRAME.shape)), block), block)
    assert set(np.unique(value)) <= {42, NOTHING}
    assert set(np.unique(confidence)) <= {15, NOTHING}


def test_large_pixels_show_means_and_not_one_of_their_cells():
    board = np.indices(FRAME.shape).sum(axis=0) % 2 * 1.0  # a chess board of 0 and 1
    coarse = levels(board)
    assert set(np.unique(coarse[1][1:-1, 1:-1] & 255)) == {50}


def test_means_leave_out_what_is_not_known():
    field = np.full((4, 4), np.nan)
    field[0, 0] = 0.8
    assert levels(field)[1][1, 1] & 255 == 80
    assert levels(field)[1][2, 2] == HATCHED


@pytest.mark.parametrize("layer", SCALES)
def test_a_cell_alone_has_the_value_of_the_map(layer):
    scale = SCALES[layer]
    quantity = np.linspace(scale.low - 1, scale.high + 1, 4001, dtype=np.float32).reshape(1, -1)
    quantity[0, ::7] = np.nan
    drawn = pyramid(scale, quantity, None, None, np.ones(quantity.shape, bool))[0][1:-1, 1:-1] & 255
    np.testing.assert_array_equal(native_values(scale, quantity), drawn)


def test_levels_are_averaged_as_energy():
    field = np.array([[40.0, 60.0], [40.0, 60.0]])
    mean = 10 * np.log10((1e4 + 1e6) / 2)
    value = int(levels(field, layer="noise")[1][1, 1]) & 255
    assert value == round((mean - 30) / 60 * 100)


def test_no_evidence_is_hatched_on_open_ground_and_nothing_elsewhere():
    ground = np.array([[True, False]])
    packed = levels(np.full((1, 2), np.nan), ground=ground)[0]
    assert packed[1, 1] == HATCHED
    assert packed[1, 2] == EMPTY


def test_the_native_zoom_shows_a_cell_as_several_pixels():
    latitude = FRAME.bounds_lonlat[1]
    assert pixel_m(FRAME.native_zoom, latitude) <= FRAME.cell_m / 3 < pixel_m(FRAME.native_zoom - 1, latitude)


@pytest.mark.parametrize(
    "block",
    [
        Block(7, 0, 0, 0, 0), Block(99, 0, 0, 0, 0), Block(10, 5, 4, 0, 0), Block(10, 0, 1024, 0, 0),
        Block(12, 0, 8, 0, 8),
    ],
)  # fmt: skip
def test_blocks_that_no_screen_asks_for_are_not_valid(block):
    assert not block.valid


@given(st.binary(max_size=4000))
def test_both_encodings_give_the_bytes_back(body):
    assert gzip.decompress(compress(body, "gzip")) == body
    assert zstandard.ZstdDecompressor().decompress(compress(body, "zstd")) == body


def test_the_cache_stays_within_its_size_and_keeps_what_was_used_last():
    cache = ByteCache(30)
    for name in "abc":
        cache.put(name, b"x" * 10)
    cache.get("a")
    cache.put("d", b"x" * 10)
    assert cache.get("b") is None
    assert cache.get("a") == b"x" * 10


def test_a_cell_and_its_centre_find_each_other():
    assert FRAME.cell(*FRAME.lonlat(17, 23)) == (17, 23)
    assert FRAME.cell(0.0, 0.0) is None
    assert FRAME.cell(999.0, 999.0) is None
