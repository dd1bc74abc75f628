"""Laws of sound past buildings: screened behind a block, kept together in a street, the same on any threads."""

import gzip
import json

import geopandas
import numpy as np
import pytest
import shapely
from shapely.geometry import LineString, box, shape

from analytics import sources
from analytics.grid import Grid
from analytics.kernels.jit import use_threads
from analytics.sound_paths import Blocks, SoundPaths, _rays, add_venues, blocks_of, cast, venue_patches, voice_factor
from tests.reference import noise as reference
from tests.shared_data import shared_data

GRID = Grid(10.0, 0.0, 0.0, (24, 30))
CRS = "EPSG:3067"


def open_field(grid: Grid = GRID) -> Blocks:
    return blocks_of(grid, np.zeros(grid.shape, bool))


def street(grid: Grid = GRID, width: int = 2) -> np.ndarray:
    """Blocks on both sides of a street along the middle rows."""
    built = np.zeros(grid.shape, bool)
    middle = grid.shape[0] // 2
    built[middle - 4 : middle] = True
    built[middle + width : middle + width + 4] = True
    return built


def level(energy: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(energy.astype(float), 1e-30))


def one_source(blocks: Blocks, east: float, north: float, grid: Grid = GRID, reach: float = 200.0) -> np.ndarray:
    return cast(grid, blocks, np.array([east]), np.array([north]), np.array([1e9]), reach, 4.0)


@pytest.mark.kernel
def test_each_cell_hears_what_the_plain_reference_says():
    generator = np.random.default_rng(2)
    grid = Grid(10.0, 0.0, 0.0, (11, 13))
    built = generator.random(grid.shape) < 0.2
    blocks = blocks_of(grid, built)
    found = one_source(blocks, 62.0, 47.0, grid, 60.0)
    for row in range(11):
        for column in range(13):
            i, j = row - 4, column - 6
            if i * i + j * j > 36:
                assert found[row, column] == 0
                continue
            d2 = (row * 10 + 5 - 47.0) ** 2 + (column * 10 + 5 - 62.0) ** 2
            between = reference.built_between(built.tolist(), 4, 6, i, j)
            narrow = (float(blocks.narrow[4, 6]) + float(blocks.narrow[row, column])) / 2
            wanted = 1e9 / (2 * np.pi * (d2 + 16)) * reference.passed_on(between, 10.0, d2**0.5, narrow)
            assert found[row, column] == pytest.approx(wanted, rel=2e-5)


def test_in_the_open_sound_spreads_freely():
    free = np.zeros(GRID.shape, np.float32)
    sources.spread(GRID, np.array([152.0]), np.array([117.0]), np.array([1e9]), 150.0, free)
    found = one_source(open_field(), 152.0, 117.0, reach=150.0)
    both = (found > 0) & (free > 0)
    assert both.sum() > 500
    assert np.allclose(found[both], free[both], rtol=1e-5)


def test_a_block_screens_by_ten_to_twenty_decibels():
    built = street()
    free, found = one_source(open_field(), 155.0, 125.0), one_source(blocks_of(GRID, built), 155.0, 125.0)
    yard = (21, 15)
    assert 10.0 <= level(free)[yard] - level(found)[yard] <= 20.0
    facade = (14, 15)  # the first built cell is the facade that is heard from the street
    assert level(found)[facade] == pytest.approx(level(free)[facade], abs=0.1)


def test_a_street_loses_three_decibels_a_doubling_until_the_next_crossing():
    grid = Grid(10.0, 0.0, 0.0, (24, 60))
    along = level(one_source(blocks_of(grid, street(grid)), 5.0, 125.0, grid, 400.0))[12]
    assert along[2] - along[4] == pytest.approx(3.0, abs=0.4)
    assert along[4] - along[8] == pytest.approx(3.0, abs=0.2)
    assert along[10] - along[20] == pytest.approx(6.0, abs=0.2)
    in_the_open = level(one_source(open_field(grid), 5.0, 125.0, grid, 400.0))[12]
    assert np.all(along - in_the_open <= 6.03)
    assert np.all(along - in_the_open >= -0.01)


def test_buildings_along_a_road_add_less_than_three_decibels_in_the_street():
    """A road is a line already; a facade adds 3 dB at itself (shared data README 6) and less on the pavement."""
    grid = Grid(10.0, 0.0, 0.0, (24, 80))
    line = geopandas.GeoDataFrame(
        {"aadt": [10_000.0], "kind": ["road"]}, geometry=[LineString([(-300, 130), (1100, 130)])], crs=CRS
    )
    nothing = geopandas.GeoDataFrame({"kind": []}, geometry=[], crs=CRS)
    free = level(sources.traffic_energy(grid, nothing, line))
    found = level(sources.traffic_energy(grid, nothing, line, blocks_of(grid, street(grid, 2))))
    assert 0.0 < found[13, 40] - free[13, 40] < 3.0
    assert free[21, 40] - found[21, 40] > 8.0


def test_a_square_is_no_street():
    built = np.zeros(GRID.shape, bool)
    built[:4], built[-4:], built[:, :4], built[:, -4:] = True, True, True, True
    blocks = blocks_of(GRID, built)
    assert blocks.narrow[12, 15] == 0
    assert blocks_of(GRID, street()).narrow[12, 15] == pytest.approx(1 / 20.0)
    assert not blocks.narrow[built].any()


def test_threads_and_bands_change_nothing():
    generator = np.random.default_rng(7)
    grid = Grid(10.0, 0.0, 0.0, (60, 50))
    blocks = blocks_of(grid, generator.random(grid.shape) < 0.3)
    east, north = generator.uniform(-50, 550, 200), generator.uniform(-50, 650, 200)
    power = 10 ** generator.uniform(7, 9, 200)
    found = []
    for threads in (1, 2):
        with use_threads(threads):
            at, patch = venue_patches(grid, blocks, np.ones(grid.shape, bool), east, north, 100.0, 4.0)
            energy = cast(grid, blocks, east, north, power, 150.0, 4.0)
            add_venues(SoundPaths(venue_cell=at, venue_patch=patch), power, energy)
            found.append((energy, voice_factor(grid, blocks, blocks.built == 0, np.ones((7, 7), np.float32))))
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])


def test_a_venues_patch_is_its_sound():
    blocks = blocks_of(GRID, street())
    east, north = np.array([155.0, 33.0]), np.array([125.0, 131.0])
    at, patch = venue_patches(GRID, blocks, blocks.built == 0, east, north, 100.0, 4.0)
    energy = np.zeros(GRID.shape, np.float32)
    add_venues(SoundPaths(venue_cell=at, venue_patch=patch), np.array([1e9, 0.0]), energy)
    assert np.allclose(energy, cast(GRID, blocks, east[:1], north[:1], np.array([1e9]), 100.0, 4.0), rtol=1e-5)


def test_a_venue_in_a_building_is_heard_in_its_street():
    built = street()
    walked = np.zeros(GRID.shape, bool)
    walked[12:14] = True
    at, _ = venue_patches(GRID, blocks_of(GRID, built), walked, np.array([155.0]), np.array([105.0]), 100.0, 4.0)
    assert at.tolist() == [[12, 15]]


def test_voices_stay_in_their_street():
    built = street()
    walked = np.zeros(GRID.shape, bool)
    walked[12:14] = True
    stencil = sources._voice_stencil(10.0)
    factor = voice_factor(GRID, blocks_of(GRID, built), walked, stencil)
    assert factor[12, 15] > 1.0
    assert factor[20, 15] < 0.1
    assert np.all(voice_factor(GRID, open_field(), walked, stencil) == 1.0)


@pytest.mark.kernel
def test_every_ray_ends_at_its_source():
    offset, parent, reach = _rays(90.0, 10.0)
    assert reach == 9
    assert (parent[1:] < np.arange(1, parent.size)).all()
    assert (np.hypot(*offset.T) <= 9).all()


def rails(kind: str, aadt: float) -> np.ndarray:
    line = geopandas.GeoDataFrame(
        {"aadt": [aadt], "kind": [kind]}, geometry=[LineString([(-500, 125), (800, 125)])], crs=CRS
    )
    return sources.sound_paths(GRID, open_field(), np.ones(GRID.shape, bool), line, (np.zeros(0), np.zeros(0))).rail


def test_rails_sound_by_their_trains():
    assert level(rails("rail", 1.0))[12 + 2, 15] == pytest.approx(52.0, abs=0.7)  # 68 - 10 lg(2 * 20 m)
    assert np.allclose(level(rails("tram", 200.0)) - level(rails("tram", 20.0)), 10.0, atol=1e-3)
    assert np.allclose(rails("tram", np.nan), rails("tram", 200.0))
    assert rails("road", 1000.0).size == 0


def test_a_rail_is_no_road():
    nothing = geopandas.GeoDataFrame({"kind": []}, geometry=[], crs=CRS)
    line = geopandas.GeoDataFrame(
        {"aadt": [100.0], "kind": ["rail"]}, geometry=[LineString([(0, 5), (300, 5)])], crs=CRS
    )
    assert not sources.traffic_energy(GRID, nothing, line).any()


def test_trains_follow_a_timetable():
    quarters = np.datetime64("2026-11-20T00:00", "ms") + np.arange(96) * np.timedelta64(15, "m")
    shares = np.array([sources.rail_share(moment, "UTC") for moment in quarters])
    assert shares.sum() / 4 == pytest.approx(1.0, rel=1e-6)
    assert shares[3 * 4] == 0.0
    assert shares[34] == pytest.approx(2.6 * shares[2])  # half past eight, half past midnight


def test_melbournes_trams_are_heard_where_they_run():
    file = shared_data("melbourne/traffic/osm_rail_tram_freeway_lines.geojson.gz")
    features = json.loads(gzip.decompress(file.read_bytes()))["features"]
    lines = geopandas.GeoDataFrame(
        {"kind": [one["properties"]["kind"] for one in features]},
        geometry=[shape(one["geometry"]) for one in features], crs="EPSG:4326",
    ).to_crs("EPSG:28355")  # fmt: skip
    lines = lines[lines.kind == "tram"].assign(aadt=np.nan)
    grid = Grid(10.0, 320_000.0, 5_812_000.0, (150, 150))  # the Hoddle grid
    near = lines[lines.intersects(box(grid.west, grid.south, grid.west + 1500, grid.south + 1500))]
    found = sources.sound_paths(grid, open_field(grid), np.ones(grid.shape, bool), near, (np.zeros(0), np.zeros(0)))
    hour = level(found.rail * sources.rail_share(np.datetime64("2026-11-20T11:00"), "UTC"))
    on_track = near.geometry.union_all().buffer(10)
    east, north = np.meshgrid(grid.easting, grid.northing)
    beside = shapely.contains_xy(on_track, east, north)
    assert beside.sum() > 100
    assert 50 < np.median(hour[beside]) < 72
    assert np.median(hour[beside]) > np.median(hour[~beside]) + 8
