"""What a lamp gives on each plane of EN 13201-3, from each kind of distribution, exactly and on the raster."""

import math

import numpy as np
import pytest

from analytics import footprints, light, street_light
from analytics.footprints import CUTOFF_M
from analytics.kernels.jit import use_threads
from tests.reference import light as reference
from tests.synthetic_light import bare_town, lamps_everywhere, lamps_of, luminaire, road_luminaires

CLOSED_FORM_LX = 5e-4
ISOTROPIC = luminaire(np.full(3, 1000.0))
PLANES = ["horizontal", "vertical", "semi-cylindrical", "cylindrical", "hemispherical"]


def facing(plane: str, bearing: float) -> dict[str, float]:
    return {"facing_deg": bearing} if plane in ("vertical", "semi-cylindrical") else {}


def alone(*, height=6.0, strength=1.0, one=ISOTROPIC, **more):
    return bare_town(lamps_of(0.0, 0.0, height, strength, luminaires=[one], **more))


def lux(town, east, north, plane, bearing=0.0, height_m=1.5):
    return float(light.illuminance_at(town, east, north, plane=plane, height_m=height_m, **facing(plane, bearing))[0])


@pytest.mark.kernel
@pytest.mark.parametrize("plane", PLANES)
def test_each_plane_is_the_mean_over_its_surface(plane):
    town = alone()
    for east, north, bearing in [(3.0, 4.0, 0.0), (-7.0, 2.0, 110.0), (12.0, -9.0, 250.0)]:
        sum_of_pieces = reference.on_plane(plane, 1000.0, -east, -north, 4.5, math.radians(bearing))
        assert lux(town, east, north, plane, bearing) == pytest.approx(sum_of_pieces, abs=CLOSED_FORM_LX)


@pytest.mark.kernel
def test_an_isotropic_lamp_gives_its_closed_forms():
    """1000 cd at 10 m: 10 lx below; 10 cos^3 aside; on the half sphere half of the ground's below."""
    town = alone(height=10.0)
    for d in (0.0, 5.0, 20.0):
        cosine = 10.0 / math.hypot(10.0, d)
        assert lux(town, d, 0.0, "horizontal", height_m=0.0) == pytest.approx(10 * cosine**3, abs=CLOSED_FORM_LX)
        assert lux(town, d, 0.0, "hemispherical", height_m=0.0) == pytest.approx(
            10 * cosine**2 * (1 + cosine) / 4, abs=CLOSED_FORM_LX
        )


@pytest.mark.kernel
def test_a_lambert_lamp_gives_its_closed_forms():
    """I = I0 cos gamma from a table of whole degrees: what linear interpolation costs is below the tolerance."""
    gamma = np.arange(0.0, 90.5, 0.5)
    town = alone(height=8.0, one=luminaire(400.0 * np.cos(np.radians(gamma)), gamma_deg=gamma))
    for d in (0.0, 3.0, 8.0, 24.0):
        cosine, d2 = 8.0 / math.hypot(8.0, d), 64.0 + d * d
        assert lux(town, d, 0.0, "horizontal", height_m=0.0) == pytest.approx(400 * cosine**2 / d2, abs=CLOSED_FORM_LX)
        sine = math.sqrt(1 - cosine**2)
        assert lux(town, d, 0.0, "cylindrical", height_m=0.0) == pytest.approx(
            400 * cosine * sine / (math.pi * d2), abs=CLOSED_FORM_LX
        )


@pytest.mark.kernel
def test_a_half_cylinder_that_faces_the_lamp_has_two_over_pi_of_the_wall():
    town = alone()
    north_of_it = (0.0, 8.0)  # the lamp is to the south
    wall = lux(town, *north_of_it, "vertical", 180.0)
    assert lux(town, *north_of_it, "semi-cylindrical", 180.0) / wall == pytest.approx(2 / math.pi, rel=1e-9)


@pytest.mark.kernel
def test_a_half_cylinder_sideways_has_half_and_from_behind_nothing_but_not_before():
    town = alone()
    front, side, nearly_behind, behind = (lux(town, 0.0, 8.0, "semi-cylindrical", b) for b in (180.0, 90.0, 10.0, 0.0))
    assert side == pytest.approx(front / 2, rel=1e-9)
    assert behind == pytest.approx(0.0, abs=1e-12)
    assert nearly_behind == pytest.approx(front * (1 - math.cos(math.radians(10))) / 2, rel=1e-9)
    assert lux(town, 0.0, 8.0, "vertical", 10.0) == 0.0


@pytest.mark.kernel
def test_both_half_cylinders_make_a_cylinder_and_a_cylinder_is_the_mean_wall():
    town = alone(one=road_luminaires(1)[0])
    halves = [lux(town, 5.0, 7.0, "semi-cylindrical", bearing) for bearing in (33.0, 213.0)]
    whole = lux(town, 5.0, 7.0, "cylindrical")
    assert sum(halves) / 2 == pytest.approx(whole, rel=1e-9)
    walls = [lux(town, 5.0, 7.0, "vertical", bearing) for bearing in range(360)]
    assert np.mean(walls) == pytest.approx(whole, rel=1e-4)


@pytest.mark.kernel
def test_under_the_lamp_all_walls_are_dark():
    town = alone()
    assert [lux(town, 0.0, 0.0, plane) for plane in PLANES[1:4]] == [0.0, 0.0, 0.0]


@pytest.mark.kernel
def test_light_falls_with_the_square_of_all_lengths_on_every_plane():
    near, far = alone(height=5.0), alone(height=10.0)
    for plane in PLANES:
        one = lux(near, 3.0, 4.0, plane, 200.0, height_m=0.0)
        assert one == pytest.approx(4 * lux(far, 6.0, 8.0, plane, 200.0, height_m=0.0), rel=1e-9)


@pytest.mark.kernel
def test_a_table_is_looked_up_as_its_file_says_turned_and_tilted():
    generator = np.random.default_rng(0)
    c_deg = np.array([0.0, 10.0, 25.0, 90.0, 140.0, 180.0, 275.0, 330.0])  # uneven, as files are
    gamma_deg = np.array([0.0, 10.0, 30.0, 45.0, 60.0, 65.0, 80.0, 90.0, 120.0, 180.0])
    table = generator.uniform(0, 500, (c_deg.size, gamma_deg.size))
    azimuth, tilt = 2.1, math.radians(12.5)
    town = alone(one=luminaire(table, c_deg, gamma_deg), azimuth=azimuth, tilt=tilt, height=7.0)
    for east, north in generator.uniform(-25, 25, (12, 2)):
        c, gamma = reference.tilted_angles(east, north, 7.0, azimuth, tilt)
        candela = reference.table_intensity(c_deg.tolist(), gamma_deg.tolist(), table.tolist(), c, gamma)
        expected = reference.on_plane("horizontal", candela, -east, -north, 7.0)
        assert lux(town, east, north, "horizontal", height_m=0.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.kernel
def test_a_luminaire_and_its_own_intensity_agree():
    one = road_luminaires(1)[0]
    town = alone(one=one, height=8.0)
    for d, turn in [(4.0, 0.3), (11.0, 2.2), (20.0, 5.1)]:
        candela = float(one.intensity(math.degrees(turn), math.degrees(math.atan2(d, 8.0))))
        expected = candela * 8.0 / math.hypot(8.0, d) ** 3
        at = (d * math.cos(turn), d * math.sin(turn))
        assert lux(town, *at, "horizontal", height_m=0.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.kernel
def test_turning_a_lamp_turns_its_light():
    one = road_luminaires(1)[0]
    maps = [
        light.illuminance_raster(
            bare_town(lamps_of(70.0, 70.0, 6.0, 5.0, luminaires=[one], azimuth=azimuth), cells=(15, 15))
        ).to_numpy()
        for azimuth in (0.4, 0.4 + math.pi / 2)
    ]
    # rows go north: turning from east to north is a turn of the array against numpy's
    assert np.allclose(np.rot90(maps[0], -1), maps[1], rtol=1e-4, atol=1e-5)
    assert not np.allclose(maps[0], maps[1], rtol=0.05)


@pytest.mark.kernel
def test_a_tilt_brings_light_to_the_street_side():
    one = road_luminaires(1)[0]
    flat, lifted = (alone(one=one, tilt=math.radians(tilt), height=6.0) for tilt in (0.0, 10.0))
    ahead, back = (25.0, 0.0), (-25.0, 0.0)
    assert lux(lifted, *ahead, "horizontal", height_m=0.0) > lux(flat, *ahead, "horizontal", height_m=0.0)
    assert lux(lifted, *back, "horizontal", height_m=0.0) < lux(flat, *back, "horizontal", height_m=0.0)


def test_the_raster_is_the_exact_table_within_a_two_hundredth_of_a_lux():
    """The gate of 0.005 lx rms: packed tables against the files' own, at the same points of 2,500 cells."""
    lamps = lamps_everywhere(125, 500.0, road_luminaires())  # 500 lamps a square kilometre, mean 4.6 lx
    town = bare_town(lamps, cells=(50, 50))
    fast = light.illuminance_raster(town).to_numpy().astype(np.float64)
    exact = light.illuminance_raster(town, height_m=1e-9).to_numpy()  # by the kernel of the other planes
    assert fast.mean() > 3.0
    assert math.sqrt(np.mean((fast - exact) ** 2)) <= 0.005
    assert np.abs(fast - exact).max() <= 0.1


def test_the_raster_is_the_exact_table_for_tilted_lamps_too():
    lamps = lamps_everywhere(60, 300.0, road_luminaires(2))
    tilted = lamps_of(
        lamps.easting, lamps.northing, lamps.height_m, lamps.strength, luminaires=road_luminaires(2),
        which=lamps.luminaire, azimuth=lamps.azimuth, tilt=np.radians(np.resize([0.0, 5.0, 15.0], 60)),
    )  # fmt: skip
    town = bare_town(tilted, cells=(30, 30))
    fast = light.illuminance_raster(town).to_numpy().astype(np.float64)
    exact = light.illuminance_raster(town, height_m=1e-9).to_numpy()
    assert math.sqrt(np.mean((fast - exact) ** 2)) <= 0.005


@pytest.mark.parametrize(("cell_m", "share"), [(5.0, 0.01), (10.0, 0.015), (20.0, 0.02)])
def test_a_cell_holds_its_mean_and_not_its_middle(cell_m, share):
    side = 200.0
    lamps = lamps_everywhere(20, side, road_luminaires(3), seed=5)
    cells = int(side / cell_m)
    town = bare_town(lamps, cells=(cells, cells), cell_m=cell_m)
    mapped = light.illuminance_raster(town).to_numpy()
    generator = np.random.default_rng(1)
    within = (np.arange(24) + 0.5) / 24 - 0.5
    errors, means = [], []
    for row, column in generator.integers(0, cells, (40, 2)):
        east, north = np.meshgrid((column + within) * cell_m, (row + within) * cell_m)
        mean = light.illuminance_at(town, east.ravel(), north.ravel()).mean()
        errors.append(mapped[row, column] - mean)
        means.append(mean)
    assert math.sqrt(np.mean(np.square(errors))) <= share * np.mean(means)


@pytest.mark.parametrize("plane", PLANES)
def test_every_plane_as_a_raster_is_the_mean_of_its_points(plane):
    town = bare_town(lamps_everywhere(12, 150.0, road_luminaires(2), seed=8), cells=(15, 15))
    mapped = light.illuminance_raster(town, plane=plane, **facing(plane, 60.0))
    assert mapped.attrs["units"] == "lx"
    assert mapped.attrs["height_m"] == (0.0 if plane in ("horizontal", "hemispherical") else 1.5)
    within = (np.arange(16) + 0.5) / 16 - 0.5
    errors, means = [], []
    for row, column in [(3, 4), (7, 7), (10, 2), (12, 13)]:
        east, north = np.meshgrid((column + within) * 10.0, (row + within) * 10.0)
        mean = light.illuminance_at(town, east.ravel(), north.ravel(), plane=plane, **facing(plane, 60.0)).mean()
        errors.append(float(mapped[row, column]) - mean)
        means.append(mean)
    assert np.abs(errors).max() <= 0.03 * np.mean(means)


def test_a_plane_that_is_none_or_faces_nowhere_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="there is no plane 'floor'; expected one of horizontal, vertical"):
        light.illuminance_raster(alone(), plane="floor")
    with pytest.raises(ValueError, match="needs the bearing that it faces"):
        light.illuminance_at(alone(), 0.0, 0.0, plane="semi-cylindrical")


def test_dimmed_lamps_give_what_all_lamps_anew_would():
    lamps = lamps_everywhere(400, 500.0, road_luminaires())
    feet = bare_town(lamps, cells=(50, 50)).footprints
    level = np.ones(400)
    total, _ = feet.light(level, np.zeros(400))
    generator = np.random.default_rng(2)
    for _ in range(20):  # twenty changes of forty lamps each
        which = generator.choice(400, 40, replace=False).astype(np.int64)
        new = generator.uniform(0, 1, 40)
        feet.dim(total, which, (new - level[which]).astype(np.float32))
        level[which] = new
    anew, _ = feet.light(level, np.zeros(400))
    assert np.abs(total - anew).max() <= 1e-4


def test_light_is_the_same_bits_on_any_number_of_threads_and_in_blocks(monkeypatch):
    lamps = lamps_everywhere(300, 400.0, road_luminaires())
    level, weight = np.linspace(0, 1, 300), np.linspace(0.2, 0.6, 300)
    maps = []
    for threads in (1, 2, 3):
        with use_threads(threads):
            maps.append(bare_town(lamps, cells=(40, 40)).footprints.light(level, weight))
    monkeypatch.setattr(footprints, "KEPT_BYTES", 0)
    monkeypatch.setattr(footprints, "_BLOCK_BYTES", 40_000)
    maps.append(bare_town(lamps, cells=(40, 40)).footprints.light(level, weight))
    for total, weighted in maps[1:]:
        assert np.array_equal(total, maps[0][0])
        assert np.array_equal(weighted, maps[0][1])


@pytest.mark.kernel
def test_a_lamp_outside_the_map_lights_its_edge():
    one = road_luminaires(1)[0]
    for east, north in [(-20.0, 30.0), (30.0, -20.0), (30.0, 95.0), (95.0, 30.0)]:
        town = bare_town(lamps_of(east, north, 6.0, 5.0, luminaires=[one]), cells=(8, 8))
        lit = light.illuminance_raster(town).to_numpy() > 0
        rows, columns = np.mgrid[:8, :8] * 10.0
        assert np.array_equal(lit, np.hypot(columns - east, rows - north) <= CUTOFF_M)


def test_footprints_of_fifty_thousand_lamps_stay_small():
    lamps = lamps_everywhere(5_000, 3_200.0, road_luminaires())
    assert bare_town(lamps, cells=(320, 320)).footprints.bytes * 10 < 30_000_000


@pytest.mark.kernel
def test_a_town_without_lamps_is_dark_on_every_plane():
    town = bare_town(lamps_of([], [], [], []), cells=(6, 6))
    for plane in PLANES:
        assert not light.illuminance_raster(town, plane=plane, **facing(plane, 0.0)).to_numpy().any()
    assert lux(town, 5.0, 5.0, "horizontal") == 0.0


@pytest.mark.parametrize("tilt", [0.0, 10.0])
def test_a_road_is_lit_as_the_grid_of_the_standard_has_it(tilt):
    """Three luminaires on a road, every point of the grid of EN 13201-3 and each plane, by another arithmetic."""
    one = road_luminaires(1)[0]
    along = np.array([0.0, 25.0, 50.0])
    row = street_light.Luminaires(
        along, np.full(3, -0.5), np.full(3, 7.0), np.ones(3), np.full(3, 90.0), np.full(3, tilt)
    )
    grid = street_light.calculation_grid(25.0, 7.0, 12.5)
    design = street_light.street_light(one, row, grid, maintenance_factor=0.8)
    lamps = lamps_of(along, -0.5, 7.0, 0.8, luminaires=[one], azimuth=math.pi / 2, tilt=math.radians(tilt))
    town = bare_town(lamps)
    east, north = grid.points()
    pairs = [
        (design.horizontal, "horizontal", 0.0),
        (design.hemispherical, "hemispherical", 0.0),
        (design.cylindrical, "cylindrical", 0.0),
        (design.vertical_forward, "vertical", 90.0),
        (design.semicylindrical_forward, "semi-cylindrical", 90.0),
        (design.semicylindrical_back, "semi-cylindrical", 270.0),
    ]
    for expected, plane, bearing in pairs:
        found = light.illuminance_at(town, east, north, plane=plane, **facing(plane, bearing))
        assert np.abs(found - expected).max() <= CLOSED_FORM_LX
    assert design.horizontal.max() > 1.0
