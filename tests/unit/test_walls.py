"""What buildings hide from a lamp."""

import geopandas
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, Polygon, box

from analytics import light
from analytics.surroundings import surroundings
from analytics.walls import no_walls, walls_of
from sensors.city import write_settings
from tests.reference import light as reference
from tests.synthetic_city import make_city
from tests.synthetic_light import bare_town, lamps_of, luminaire

ISOTROPIC = luminaire(np.full(3, 1000.0))


def houses(*shapes, height=10.0):
    heights = np.broadcast_to(np.asarray(height, float), len(shapes))
    return geopandas.GeoDataFrame({"building": np.arange(len(shapes)), "height_m": heights}, geometry=list(shapes))


def lit(buildings, points, lamp=(0.0, 0.0), height=8.0, up=0.0):
    """Lux at points of a lamp among buildings."""
    lamps = lamps_of(*lamp, height, 1.0, luminaires=[ISOTROPIC])
    town = bare_town(lamps, walls=walls_of(buildings, lamps.easting, lamps.northing))
    east, north = np.array(points, float).T
    return light.illuminance_at(town, east, north, height_m=up)


@pytest.mark.kernel
def test_behind_a_house_it_is_dark_and_before_and_beside_it_nothing_changes():
    house = houses(box(10, -5, 20, 5))
    points = [(5.0, 0.0), (25.0, 0.0), (0.0, 25.0), (25.0, 20.0)]
    free = lit(houses(box(500, 500, 510, 510)), points)
    assert np.array_equal(lit(house, points) > 0, [True, False, True, True])
    assert np.array_equal(lit(house, points)[[0, 2, 3]], free[[0, 2, 3]])


@pytest.mark.kernel
def test_a_ray_passes_over_a_low_roof():
    """From 8 m to the ground at 40 m the ray is 4 m high half way: above a shed of 3 m, within a house of 5."""
    for height, free in [(3.0, True), (5.0, False)]:
        assert (lit(houses(box(19, -3, 20, 3), height=height), [(40.0, 0.0)])[0] > 0) == free


@pytest.mark.kernel
def test_a_house_of_unknown_height_is_above_all_lamps():
    assert lit(houses(box(10, -5, 20, 5), height=np.nan), [(25.0, 0.0)])[0] == 0.0


@pytest.mark.kernel
def test_a_lamp_on_a_house_is_not_hidden_by_it_but_by_the_next():
    own, next_house = box(-5, -5, 0.5, 5), box(10, -5, 20, 5)
    assert np.array_equal(lit(houses(own, next_house), [(5.0, 0.0), (-9.0, 0.0), (25.0, 0.0)]) > 0, [True, True, False])


@pytest.mark.kernel
def test_a_courtyard_is_open_and_parts_of_one_building_all_hide():
    ring = Polygon(box(-20, -20, 20, 20).exterior, [box(-12, -12, 12, 12).exterior])
    assert np.array_equal(lit(houses(ring), [(8.0, 3.0), (30.0, 0.0)]) > 0, [True, False])
    parts = MultiPolygon([box(10, -5, 12, 5), box(-12, -5, -10, 5)])
    assert not lit(houses(parts), [(20.0, 0.0), (-20.0, 0.0)]).any()


@st.composite
def towns(draw):
    corner = st.tuples(st.integers(-30, 30), st.integers(-30, 30))
    made = []
    for east, north in draw(st.lists(corner, min_size=1, max_size=4)):
        wide, deep = draw(st.integers(2, 12)), draw(st.integers(2, 12))
        made.append((box(east + 0.3, north + 0.2, east + wide, north + deep), draw(st.sampled_from([2.5, 6.0, 20.0]))))
    return made


@given(towns(), st.tuples(st.floats(-40, 40), st.floats(-40, 40)))
@settings(max_examples=60)
def test_a_lamp_sees_what_a_ray_tried_step_by_step_sees(town, at):
    shapes = [shape for shape, _ in town if not shape.intersects(Point(0, 0))]
    heights = [height for shape, height in town if not shape.intersects(Point(0, 0))]
    near_an_edge = any(shape.exterior.distance(Point(*at)) < 0.1 for shape in shapes)
    if not shapes or near_an_edge or np.hypot(*at) > 55:
        return
    walls = [(list(shape.exterior.coords)[:-1], height) for shape, height in zip(shapes, heights, strict=True)]
    seen = {reference.sees((d, 0.0, 8.0), at, walls) for d in (-1e-2, 0.0, 1e-2)}
    if len(seen) == 1:  # else the ray grazes a corner or a roof
        assert (lit(houses(*shapes, height=heights), [at])[0] > 0) == seen.pop()


@pytest.mark.kernel
def test_a_raster_cell_is_dimmed_by_the_share_of_its_ground_that_is_hidden():
    lamps = lamps_of(75.0, 75.0, 8.0, 1.0, luminaires=[ISOTROPIC])
    house = houses(box(90, 60, 100, 90))
    inside = np.zeros((32, 32), bool)
    free = light.illuminance_raster(bare_town(lamps)).to_numpy()
    town = bare_town(lamps, walls=walls_of(house, lamps.easting, lamps.northing), inside=inside)
    mapped = light.illuminance_raster(town).to_numpy()
    quarters = 4 * mapped[free > 0] / free[free > 0]
    assert np.allclose(quarters, np.rint(quarters), atol=0.01)  # in 255ths
    assert set(np.rint(quarters).astype(int)) == {0, 1, 2, 3, 4}
    assert np.all(mapped[7, 11:13] == 0)
    assert np.allclose(mapped[:, :8], free[:, :8], rtol=1e-6)


@pytest.mark.kernel
def test_ground_inside_a_house_does_not_darken_the_street_beside_it():
    """A cell half of which is a house: the lamp sees all of its open half."""
    lamps = lamps_of(70.0, 70.0, 8.0, 1.0, luminaires=[ISOTROPIC])
    house = houses(box(90, 40, 130, 100))  # from the middle of column 9 on
    inside = np.zeros((32, 32), bool)
    inside[9:21, 19:27] = True
    free = light.illuminance_raster(bare_town(lamps)).to_numpy()
    walls = walls_of(house, lamps.easting, lamps.northing)
    mapped = light.illuminance_raster(bare_town(lamps, walls=walls, inside=inside)).to_numpy()
    assert mapped[7, 9] == pytest.approx(free[7, 9], rel=1e-6)
    assert mapped[7, 11] == 0.0


def test_a_city_is_shaded_only_when_it_asks(tmp_path):
    import msgspec

    from sensors.city import City

    city = make_city(tmp_path)
    plain = surroundings(city)
    assert plain.walls.start.size == no_walls().start.size
    lighting = msgspec.structs.replace(city.settings.lighting, occlusion=True)
    write_settings(city.path, msgspec.structs.replace(city.settings, lighting=lighting))
    shaded = surroundings(City.open(city.path))
    assert shaded.digest != plain.digest
    before, after = light.illuminance_raster(plain).to_numpy(), light.illuminance_raster(shaded).to_numpy()
    assert np.all(after <= before * (1 + 1e-6))
    outside = ~plain.indoor
    assert after[outside].mean() < before[outside].mean()
    assert np.median(after[plain.street & outside] / before[plain.street & outside]) > 0.9
