"""Picture tiles of the city's own places."""

import io

import numpy as np
import pytest
from PIL import Image

from dashboard.basemap import Basemap
from tests.synthetic_city import SOUTH, WEST, make_city


@pytest.fixture(scope="module")
def basemap(tmp_path_factory):
    return Basemap(make_city(tmp_path_factory.mktemp("city") / "town"))


def pixel_of(east_m, north_m, zoom):
    """Tile and pixel of a place of the town, metres from its corner."""
    from pyproj import Transformer

    to_mercator = Transformer.from_crs("EPSG:3067", "EPSG:3857", always_xy=True)
    x, y = to_mercator.transform(WEST + east_m, SOUTH + north_m)
    half = 20_037_508.342789244
    across, down = (0.5 + x / half / 2) * 2**zoom, (0.5 - y / half / 2) * 2**zoom
    return int(across), int(down), int(across % 1 * 256), int(down % 1 * 256)


def shown(basemap, east_m, north_m, zoom=17):
    x, y, column, row = pixel_of(east_m, north_m, zoom)
    return np.array(Image.open(io.BytesIO(basemap.tile(zoom, x, y))).convert("RGBA"))[row, column]


def test_buildings_cover_what_was_estimated_and_open_ground_does_not(basemap):
    assert shown(basemap, 107, 107)[3] > 200  # in the middle of a house
    assert shown(basemap, 210, 190)[3] == 0  # in the park


def test_a_tile_is_drawn_once_and_then_kept(basemap):
    x, y, _, _ = pixel_of(160, 160, 15)
    first = basemap.tile(15, x, y)
    file = next(basemap.shelf().glob("15/*@1.png"))
    stamp = file.stat().st_mtime_ns
    assert basemap.tile(15, x, y) == first
    assert file.stat().st_mtime_ns == stamp


def test_dense_screens_get_twice_the_pixels(basemap):
    x, y, _, _ = pixel_of(160, 160, 15)
    assert Image.open(io.BytesIO(basemap.tile(15, x, y, 2))).size == (512, 512)


@pytest.mark.parametrize("tile", [(3, 0, 0), (99, 0, 0), (15, -1, 0), (15, 0, 2**15)])
def test_tiles_that_do_not_exist_are_none(basemap, tile):
    assert basemap.tile(*tile) is None


def test_outside_the_city_nothing_is_drawn_and_nothing_kept(basemap):
    assert Image.open(io.BytesIO(basemap.tile(15, 3, 3))).size == (1, 1)
    assert not (basemap.shelf() / "15" / "3-3@1.png").exists()


def test_other_places_have_other_addresses(basemap, tmp_path):
    other = make_city(tmp_path / "other")
    (other.path / "places" / "areas.parquet").unlink()
    assert not set(Basemap(other).digests.values()) & set(basemap.digests.values())


def test_every_ground_has_tiles_and_an_address_of_its_own(basemap):
    x, y, column, row = pixel_of(107, 107, 17)
    light = {}
    for ground in basemap.digests:
        tile = Image.open(io.BytesIO(basemap.tile(17, x, y, 1, ground))).convert("RGBA")
        light[ground] = np.array(tile)[row, column, :3].sum()
    assert light["contrast"] < light["dark"] < light["light"]
    assert len(set(basemap.digests.values())) == 3
